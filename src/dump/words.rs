//! How values look in the dump files: addresses, routes, rules, commands, instants.
//!
//! The same forms stand in the text files and in the JSON. Source: keepalived's dump files.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::time::Duration;

use crate::model::net::Family;
use crate::model::net::{PreferredLft, Scope, VirtualAddress};
use crate::model::route::{
    Encap, Insert, Locked, Metric, NextHop, Prefix, Realms, Route, RouteType, Rule, RuleAction,
    Table, TunnelHeader,
};
use crate::model::track::{Command, TrackProcess};
use crate::model::vrrp::Instance;

/// A flag as most lines have it.
pub(super) fn enabled(on: bool) -> &'static str {
    if on { "enabled" } else { "disabled" }
}

/// A flag as some lines have it.
pub(super) fn yes(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

/// `N sec`, or `N.NNN sec`.
pub(super) struct Seconds(pub(super) Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{} sec", self.0.as_secs()),
            ms => write!(f, "{}.{ms:03} sec", self.0.as_secs()),
        }
    }
}

/// Seconds with six decimals.
pub(super) struct Micros(pub(super) Duration);

impl Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

/// Each word in single quotes, one blank between them.
pub(super) struct Words<'a>(pub(super) &'a Command);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Command {
            argv,
            path,
            user: _,
        } = self.0;
        for (n, word) in argv.iter().enumerate() {
            match n {
                0 => write!(f, "'{}'", path.display())?,
                _ => write!(f, " '{word}'")?,
            }
        }
        Ok(())
    }
}

/// The configured arguments of a tracked process, each in single quotes.
pub(super) fn parameters(t: &TrackProcess) -> Option<String> {
    let (_, rest) = t.process.split_first()?;
    let quoted: Vec<_> = rest.iter().map(|p| format!("'{p}'")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" "))
}

/// [`Words`], then who runs it.
pub(super) struct Quoted<'a>(pub(super) &'a Command);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (uid, gid) = self.0.user.as_ref().map_or((0, 0), |u| (u.uid, u.gid));
        write!(f, "{}, uid:gid {uid}:{gid}", Words(self.0))
    }
}

/// `ADDR[/LEN]`; no length where all bits count.
struct Net(IpAddr, u8);

impl Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.0.is_ipv4() { 32 } else { 128 };
        match self.1 {
            len if len == host => write!(f, "{}", self.0),
            len => write!(f, "{}/{len}", self.0),
        }
    }
}

impl From<Prefix> for Net {
    fn from(p: Prefix) -> Self {
        Self(p.addr, p.len)
    }
}

/// A virtual or static address; without a broadcast address its third word is the device, which exporters rely on.
pub(super) struct Address<'a> {
    pub(super) addr: &'a VirtualAddress,
    /// The interface that the device is a VMAC of.
    pub(super) base: Option<&'a str>,
    pub(super) track_group: Option<&'a str>,
    /// Held now.
    pub(super) set: bool,
    /// The firewall drops packets to it.
    pub(super) blocked: bool,
}

impl<'a> Address<'a> {
    /// A virtual address of `instance`.
    pub(super) fn held(instance: &'a Instance, addr: &'a VirtualAddress, set: bool) -> Self {
        let base = instance.links.iter().find_map(|link| {
            let on_it = link.name.as_str() == addr.dev.as_str();
            on_it.then(|| link.base.as_str())
        });
        Self {
            addr,
            base,
            track_group: None,
            set,
            blocked: set && instance.no_accept,
        }
    }
}

impl Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a = self.addr;
        write!(f, "{}", Net(a.addr, a.prefix_len))?;
        // keepalived: `brd` before `dev`, which then is no longer the third word.
        if let Some(brd) = a.broadcast {
            write!(f, " brd {brd}")?;
        }
        write!(f, " dev {}", a.dev)?;
        if let Some(base) = self.base {
            write!(f, "@{base}")?;
        }
        if a.use_vmac {
            f.write_str(" use_vmac")?;
        }
        write!(f, " scope {}", scope(a.scope))?;
        if let Some(label) = &a.label {
            write!(f, " label {label}")?;
        }
        if let Some(peer) = a.peer {
            let host = if peer.is_ipv4() { 32 } else { 128 };
            write!(f, " peer {peer}/{host}")?;
        }
        let v6 = matches!(a.addr, IpAddr::V6(_));
        for (on, word) in [
            (a.home, " home"),
            (v6 && !a.nodad, " -nodad"),
            (a.mngtmpaddr, " mngtmpaddr"),
            (a.noprefixroute, " noprefixroute"),
            (a.autojoin, " autojoin"),
            (!a.track, " no_track"),
        ] {
            if on {
                f.write_str(word)?;
            }
        }
        if let Some(group) = self.track_group {
            write!(f, " track_group {group}")?;
        }
        match a.preferred_lft {
            PreferredLft::Forever if v6 => f.write_str(" preferred_lft forever")?,
            PreferredLft::For(Duration::ZERO) if v6 => f.write_str(" deprecated")?,
            PreferredLft::For(lft) if v6 => write!(f, " preferred_lft {}", lft.as_secs())?,
            PreferredLft::Forever | PreferredLft::For(_) => {}
        }
        for (on, word) in [(self.set, " set"), (self.blocked, " nftable_set")] {
            if on {
                f.write_str(word)?;
            }
        }
        Ok(())
    }
}

/// The name that iproute2 gives it, or the number.
fn scope(scope: Scope) -> String {
    match scope {
        Scope(0) => "global".into(),
        Scope(200) => "site".into(),
        Scope(253) => "link".into(),
        Scope(254) => "host".into(),
        Scope(255) => "nowhere".into(),
        Scope(n) => n.to_string(),
    }
}

/// A virtual or static route.
pub(super) struct RouteLine<'a> {
    pub(super) route: &'a Route,
    pub(super) track_group: Option<&'a str>,
}

impl Display for RouteLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.route;
        f.write_str(match r.insert {
            Insert::Prepend => "prepend",
            Insert::Add => "add",
            Insert::Append => "append",
        })?;
        if let Some(kind) = kind(r.kind) {
            write!(f, " {kind}")?;
        }
        write!(f, " {}", Net::from(r.dest))?;
        optional(f, "from", r.source.map(Net::from))?;
        optional(f, "src", r.prefsrc)?;
        if r.tos != 0 {
            write!(f, " tos {}", r.tos)?;
        }
        if let Some(encap) = &r.encap {
            write_encap(f, encap)?;
        }
        via(f, r.via)?;
        optional(f, "dev", r.dev.as_ref())?;
        if r.table != Table::MAIN {
            write!(f, " table {}", r.table.0)?;
        }
        if r.protocol.0 != 0 {
            write!(f, " proto {}", r.protocol.0)?;
        }
        if r.scope != Scope(0) {
            write!(f, " scope {}", r.scope.0)?;
        }
        optional(f, "metric", r.priority)?;
        if r.onlink {
            f.write_str(" onlink")?;
        }
        if let Some(realms) = r.realms {
            write_realms(f, "realms", realms)?;
        }
        optional(
            f,
            "expires",
            r.expires.map(|e| format!("{}sec", e.as_secs())),
        )?;
        if let Some(c) = &r.congctl {
            locked(f, "congctl", c, &c.value)?;
        }
        for (metric, value) in &r.metrics {
            write_metric(f, *metric, value)?;
        }
        optional(f, "pref", r.pref.map(|p| preference(p.0)))?;
        optional(f, "ttl-propagate", r.ttl_propagate.map(enabled))?;
        for hop in &r.nexthops {
            write_hop(f, hop)?;
        }
        if !r.track {
            f.write_str(" no_track")?;
        }
        optional(f, "track_group", self.track_group)
    }
}

/// ` NAME VALUE`, or nothing.
fn optional(f: &mut fmt::Formatter<'_>, name: &str, value: Option<impl Display>) -> fmt::Result {
    value.map_or(Ok(()), |v| write!(f, " {name} {v}"))
}

fn via(f: &mut fmt::Formatter<'_>, via: Option<IpAddr>) -> fmt::Result {
    match via {
        Some(IpAddr::V4(a)) => write!(f, " via inet {a}"),
        Some(IpAddr::V6(a)) => write!(f, " via inet6 {a}"),
        None => Ok(()),
    }
}

fn locked<T>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    of: &Locked<T>,
    value: impl Display,
) -> fmt::Result {
    let lock = if of.locked { " lock" } else { "" };
    write!(f, " {name}{lock} {value}")
}

/// Times in milliseconds, whatever the kernel's unit.
fn write_metric(f: &mut fmt::Formatter<'_>, metric: Metric, value: &Locked<u32>) -> fmt::Result {
    let n = value.value;
    match metric {
        Metric::Mtu => locked(f, "mtu", value, n),
        Metric::Window => locked(f, "window", value, n),
        Metric::Rtt => locked(f, "rtt", value, format_args!("{}ms", n / 8)),
        Metric::RttVar => locked(f, "rttvar", value, format_args!("{}ms", n / 4)),
        Metric::SsThresh => locked(f, "ssthresh", value, n),
        Metric::Cwnd => locked(f, "cwnd", value, n),
        Metric::AdvMss => locked(f, "advmss", value, n),
        Metric::Reordering => locked(f, "reordering", value, n),
        Metric::HopLimit => locked(f, "hoplimit", value, n),
        Metric::InitCwnd => locked(f, "initcwnd", value, n),
        Metric::Features if n == 1 => locked(f, "features", value, "ecn"),
        Metric::Features => locked(f, "features", value, n),
        Metric::RtoMin => locked(f, "rto_min", value, format_args!("{n}ms")),
        Metric::InitRwnd => locked(f, "initrwnd", value, n),
        Metric::QuickAck => locked(f, "quickack", value, n),
        Metric::FastOpenNoCookie => locked(f, "fastopen_no_cookie", value, n),
    }
}

fn write_realms(f: &mut fmt::Formatter<'_>, name: &str, r: Realms) -> fmt::Result {
    match r.source {
        0 => write!(f, " {name} {}", r.dest),
        source => write!(f, " {name} {source}/{}", r.dest),
    }
}

fn write_hop(f: &mut fmt::Formatter<'_>, hop: &NextHop) -> fmt::Result {
    f.write_str(" nexthop")?;
    if let Some(encap) = &hop.encap {
        write_encap(f, encap)?;
    }
    via(f, hop.via)?;
    optional(f, "dev", hop.dev.as_ref())?;
    optional(f, "weight", hop.weight)?;
    if hop.onlink {
        f.write_str(" onlink")?;
    }
    hop.realms.map_or(Ok(()), |r| write_realms(f, "realm", r))
}

fn write_encap(f: &mut fmt::Formatter<'_>, encap: &Encap) -> fmt::Result {
    match encap {
        Encap::Ip(header) => write_tunnel(f, "ip", header, ["tos", "ttl"]),
        Encap::Ip6(header) => write_tunnel(f, "ip6", header, ["tc", "hoplimit"]),
        Encap::Mpls(labels) => {
            let labels: Vec<_> = labels.iter().map(u32::to_string).collect();
            write!(f, " encap mpls {}", labels.join("/"))
        }
        Encap::Ila(locator) => write!(f, " encap ila {locator}"),
    }
}

fn write_tunnel<A: Display>(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    header: &TunnelHeader<A>,
    [tos, ttl]: [&str; 2],
) -> fmt::Result {
    write!(f, " encap {kind}")?;
    optional(f, "id", header.id)?;
    optional(f, "dst", header.dst.as_ref())?;
    optional(f, "src", header.src.as_ref())?;
    optional(f, tos, header.tos)?;
    optional(f, ttl, header.ttl)?;
    optional(f, "flags", header.flags)
}

/// The word of a route that is not unicast.
fn kind(kind: RouteType) -> Option<String> {
    Some(match kind.0 {
        0 | 1 => return None,
        2 => "local".into(),
        3 => "broadcast".into(),
        4 => "anycast".into(),
        5 => "multicast".into(),
        6 => "blackhole".into(),
        7 => "unreachable".into(),
        8 => "prohibit".into(),
        9 => "throw".into(),
        10 => "nat".into(),
        11 => "xresolve".into(),
        n => n.to_string(),
    })
}

fn preference(pref: u8) -> &'static str {
    match pref {
        1 => "high",
        3 => "low",
        _ => "medium",
    }
}

/// A virtual or static rule.
pub(super) struct RuleLine<'a> {
    pub(super) rule: &'a Rule,
    pub(super) track_group: Option<&'a str>,
}

impl Display for RuleLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.rule;
        if r.invert {
            f.write_str("not ")?;
        }
        // keepalived: "all" where nothing was said, not where `from all` was.
        match (r.from, r.to, r.family) {
            (Some(from), _, _) => write!(f, "from {}", Net::from(from))?,
            (None, Some(_), _) => f.write_str("from all")?,
            (None, None, Family::V4) => f.write_str("from 0.0.0.0/0")?,
            (None, None, Family::V6) => f.write_str("from ::/0")?,
        }
        optional(f, "to", r.to.map(Net::from))?;
        write!(
            f,
            " priority {} tos {:#x}",
            r.preference,
            r.tos.unwrap_or(0)
        )?;
        if let Some(mark) = r.fwmark {
            write!(f, " fwmark {:#x}", mark.value)?;
            if mark.mask != u32::MAX {
                write!(f, "/{:#x}", mark.mask)?;
            }
        }
        optional(f, "iif", r.iif.as_ref())?;
        optional(f, "oif", r.oif.as_ref())?;
        optional(f, "suppress_prefixlen", r.suppress_prefixlength)?;
        optional(f, "suppress_ifgroup", r.suppress_ifgroup)?;
        optional(f, "tunnel-id", r.tunnel_id)?;
        let range = |(a, b): (u32, u32)| format!("{a}-{b}");
        optional(
            f,
            "uidrange",
            r.uids.as_ref().map(|u| range((*u.start(), *u.end()))),
        )?;
        if r.action == RuleAction::L3Mdev {
            f.write_str(" l3mdev")?;
        }
        if r.protocol.0 != 0 {
            write!(f, " protocol {}", r.protocol.0)?;
        }
        optional(f, "ipproto", r.ip_protocol)?;
        for (name, ports) in [("sport", &r.sport), ("dport", &r.dport)] {
            let ports = ports.as_ref();
            optional(
                f,
                name,
                ports.map(|p| range(((*p.start()).into(), (*p.end()).into()))),
            )?;
        }
        if let Some(realms) = r.realms {
            write!(f, " realms {}/{}", realms.source, realms.dest)?;
        }
        match r.action {
            RuleAction::Table(table) => write!(f, " lookup {}", table.0)?,
            RuleAction::L3Mdev => f.write_str(" lookup 0")?,
            RuleAction::Goto(preference) => write!(f, " goto {preference}")?,
            RuleAction::Nop => f.write_str(" nop")?,
            RuleAction::Blackhole => f.write_str(" type blackhole")?,
            RuleAction::Unreachable => f.write_str(" type unreachable")?,
            RuleAction::Prohibit => f.write_str(" type prohibit")?,
        }
        if !r.track {
            f.write_str(" no_track")?;
        }
        optional(f, "track_group", self.track_group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::Fake;

    /// What keepalived 2.2.7 prints for the same lines.
    #[test]
    fn routes_and_rules_look_as_keepalived_prints_them() {
        let text = "
static_routes {
  10.1.0.0/24 via 10.9.0.1 dev eth0 src 10.9.0.5 tos 16 table 100 metric 5 mtu 1400 hoplimit 3 cwnd lock 10 realms 1/2 onlink
  2001:db8::/64 via fe80::1 dev eth0 pref high expires 30
  fd77::/64 from fd78::/64 via fe80::2 dev eth0 metric 7
  10.8.0.0/24 dev eth0 encap ip id 5 dst 1.2.3.4 src 4.3.2.1 tos 3 ttl 9
  fd79::/64 dev eth0 encap ip6 id 5 dst fd00::1 src fd00::2 tc 3 hoplimit 9
  append 10.11.0.0/24 dev eth0
  10.15.0.0/24 dev eth0 scope link
  default via 10.9.0.1 dev eth0 metric 800
  10.18.0.0/24 dev eth0 mtu lock 1400 fastopen_no_cookie 1 ttl-propagate enabled
}
static_rules {
  not from 10.1.0.0/24 to 10.2.0.0/24 tos 0x10 fwmark 5/0xff iif eth0 oif eth0 table main priority 100
  from 10.1.0.0/24 fwmark 7 table main priority 101
  from 10.1.0.0/24 tos 0x10 iif eth0 table main priority 102 no_track
  to 10.1.0.0/24 table 101 priority 3000
  from 10.1.0.0/24 realms 1/2 suppress_prefixlength 3 suppress_ifgroup 4 table 100 priority 82
  from all unreachable priority 77
  from all goto 200 priority 80
  from all ipproto tcp sport 10-20 dport 30-31 table 100 priority 85
  from all uidrange 10-20 table 100 priority 84
}";
        let config = Fake::with(text).load().config;
        let route = |r: &crate::model::route::Static<Route>| {
            let (route, track_group) = (&r.entry, r.group.as_deref());
            RouteLine { route, track_group }.to_string()
        };
        let routes: Vec<_> = config.statics.routes.iter().map(route).collect();
        let printed = [
            "prepend 10.1.0.0/24 src 10.9.0.5 tos 16 via inet 10.9.0.1 dev eth0 table 100 proto 18 metric 5 onlink realms 1/2 mtu 1400 cwnd lock 10 hoplimit 3",
            "prepend 2001:db8::/64 via inet6 fe80::1 dev eth0 proto 18 expires 30sec pref high",
            "prepend fd77::/64 from fd78::/64 via inet6 fe80::2 dev eth0 proto 18 metric 7",
            "prepend 10.8.0.0/24 encap ip id 5 dst 1.2.3.4 src 4.3.2.1 tos 3 ttl 9 dev eth0 proto 18",
            "prepend fd79::/64 encap ip6 id 5 dst fd00::1 src fd00::2 tc 3 hoplimit 9 dev eth0 proto 18",
            "append 10.11.0.0/24 dev eth0 proto 18",
            "prepend 10.15.0.0/24 dev eth0 proto 18 scope 253",
            "prepend 0.0.0.0/0 via inet 10.9.0.1 dev eth0 proto 18 metric 800",
            "prepend 10.18.0.0/24 dev eth0 proto 18 mtu lock 1400 fastopen_no_cookie 1 ttl-propagate enabled",
        ];
        assert_eq!(routes, printed);
        let rule = |r: &crate::model::route::Static<Rule>| {
            let (rule, track_group) = (&r.entry, r.group.as_deref());
            RuleLine { rule, track_group }.to_string()
        };
        let rules: Vec<_> = config.statics.rules.iter().map(rule).collect();
        let printed = [
            "not from 10.1.0.0/24 to 10.2.0.0/24 priority 100 tos 0x10 fwmark 0x5/0xff iif eth0 oif eth0 protocol 18 lookup 254",
            "from 10.1.0.0/24 priority 101 tos 0x0 fwmark 0x7 protocol 18 lookup 254",
            "from 10.1.0.0/24 priority 102 tos 0x10 iif eth0 lookup 254 no_track",
            "from all to 10.1.0.0/24 priority 3000 tos 0x0 protocol 18 lookup 101",
            "from 10.1.0.0/24 priority 82 tos 0x0 suppress_prefixlen 3 suppress_ifgroup 4 protocol 18 realms 1/2 lookup 100",
            "from 0.0.0.0/0 priority 77 tos 0x0 protocol 18 type unreachable",
            "from 0.0.0.0/0 priority 80 tos 0x0 protocol 18 goto 200",
            "from 0.0.0.0/0 priority 85 tos 0x0 protocol 18 ipproto 6 sport 10-20 dport 30-31 lookup 100",
            "from 0.0.0.0/0 priority 84 tos 0x0 uidrange 10-20 protocol 18 lookup 100",
        ];
        assert_eq!(rules, printed);
    }
}
