//! The lines of addresses, routes and rules, and what concerns interfaces.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::sheet::{Sheet, seconds, word, words};
use crate::config::value;
use crate::model::links::{GarpGroup, Linkbeat, LinkbeatKind, UpDownDelay};
use crate::model::net::{Family, PreferredLft, Scope, VirtualAddress};
use crate::model::route::{
    Encap, Insert, Locked, Mark, Metric, NextHop, Prefix, Protocol, Realms, Route, RouteType,
    RouterPreference, Rule, RuleAction, Static, Statics, Table, TrackGroup, TunnelHeader,
};

/// Words of a line, one after the other.
struct Line(String);

impl Line {
    fn word(&mut self, word: impl Display) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0 += &word.to_string();
    }

    /// `NAME VALUE`, if there is a value.
    fn option(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.word(name);
            self.word(value);
        }
    }

    fn flag(&mut self, name: &str, on: bool) {
        if on {
            self.word(name);
        }
    }
}

/// Whether a word names that address.
pub(super) fn is_address(word: &str, addr: std::net::IpAddr) -> bool {
    value::with_suffix(word).is_some_and(|(a, _)| a == addr)
}

/// A line of `virtual_ipaddress` or `static_ipaddress`.
pub(super) fn address(address: &VirtualAddress) -> String {
    let VirtualAddress {
        addr,
        prefix_len,
        dev,
        label,
        broadcast,
        scope,
        peer,
        preferred_lft,
        home,
        nodad,
        mngtmpaddr,
        noprefixroute,
        autojoin,
        track,
        use_vmac,
    } = address;
    let mut line = Line(String::new());
    match peer {
        // With a prefix length the line would be complained about.
        Some(peer) => {
            line.word(addr);
            line.option("peer", Some(peer));
        }
        None => line.word(format_args!("{addr}/{prefix_len}")),
    }
    line.option("dev", Some(word(dev.as_str())));
    line.option("brd", broadcast.as_ref());
    line.option("label", label.as_ref().map(|l| word(l)));
    let scope = addr.is_ipv4().then_some(scope);
    line.option("scope", scope.map(|Scope(n)| n));
    line.option(
        "preferred_lft",
        Some(match preferred_lft {
            PreferredLft::Forever => "forever".to_owned(),
            PreferredLft::For(time) => seconds(*time),
        }),
    );
    line.flag("home", *home);
    line.flag("-nodad", !nodad);
    line.flag("mngtmpaddr", *mngtmpaddr);
    line.flag("noprefixroute", *noprefixroute);
    line.flag("autojoin", *autojoin);
    line.flag("no_track", !track);
    line.flag("use_vmac", *use_vmac);
    line.0
}

fn prefix(Prefix { addr, len }: &Prefix) -> String {
    format!("{addr}/{len}")
}

fn realms(Realms { source, dest }: Realms) -> String {
    format!("{source}/{dest}")
}

fn metric(name: Metric) -> &'static str {
    match name {
        Metric::Mtu => "mtu",
        Metric::Window => "window",
        Metric::Rtt => "rtt",
        Metric::RttVar => "rttvar",
        Metric::SsThresh => "ssthresh",
        Metric::Cwnd => "cwnd",
        Metric::AdvMss => "advmss",
        Metric::Reordering => "reordering",
        Metric::HopLimit => "hoplimit",
        Metric::InitCwnd => "initcwnd",
        Metric::Features => "features",
        Metric::RtoMin => "rto_min",
        Metric::InitRwnd => "initrwnd",
        Metric::QuickAck => "quickack",
        Metric::FastOpenNoCookie => "fastopen_no_cookie",
    }
}

fn tunnel<A: Display>(kind: &str, [class, limit]: [&str; 2], header: &TunnelHeader<A>) -> String {
    let TunnelHeader {
        id,
        dst,
        src,
        tos,
        ttl,
        flags,
    } = header;
    let mut line = Line(kind.to_owned());
    line.option("id", *id);
    line.option("dst", dst.as_ref());
    line.option("src", src.as_ref());
    line.option(class, *tos);
    line.option(limit, *ttl);
    line.option("flags", *flags);
    line.0
}

fn encap(encap: &Encap) -> String {
    match encap {
        Encap::Ip(header) => tunnel("ip", ["tos", "ttl"], header),
        Encap::Ip6(header) => tunnel("ip6", ["tc", "hoplimit"], header),
        Encap::Mpls(labels) => {
            let labels: Vec<String> = labels.iter().map(u32::to_string).collect();
            format!("mpls {}", labels.join("/"))
        }
        Encap::Ila(locator) => {
            let groups = [48, 32, 16, 0].map(|bits| format!("{:x}", locator >> bits & 0xffff));
            format!("ila {}", groups.join(":"))
        }
    }
}

fn hop(hop: &NextHop) -> String {
    let NextHop {
        via,
        dev,
        weight,
        onlink,
        encap: tunnel,
        realms: realm,
    } = hop;
    let mut line = Line("nexthop".to_owned());
    line.option("via", via.as_ref());
    line.option("dev", dev.as_ref().map(|d| word(d.as_str())));
    line.option("weight", *weight);
    line.flag("onlink", *onlink);
    line.option("encap", tunnel.as_ref().map(encap));
    line.option("realms", realm.map(realms));
    line.0
}

/// A line of `virtual_routes` or `static_routes`.
pub(super) fn route(route: &Route) -> String {
    let Route {
        family,
        dest,
        kind: RouteType(kind),
        source,
        via,
        prefsrc,
        tos,
        table: Table(table),
        vrf,
        protocol: Protocol(protocol),
        scope: Scope(scope),
        priority,
        dev,
        onlink,
        encap: tunnel,
        expires,
        metrics,
        congctl,
        realms: realm,
        pref,
        ttl_propagate,
        insert,
        nexthops,
        track,
    } = route;
    let mut line = Line(String::new());
    line.flag("unicast", *kind == RouteType::UNICAST.0);
    if *kind != RouteType::UNICAST.0 {
        line.word(kind);
    }
    match (*dest == Prefix::any(*family), family) {
        (true, Family::V4) => line.word("default"),
        (true, Family::V6) => line.word("default6"),
        (false, _) => line.word(prefix(dest)),
    }
    line.option("from", source.as_ref().map(prefix));
    line.option("via", via.as_ref());
    line.option("dev", dev.as_ref().map(|d| word(d.as_str())));
    line.option("src", prefsrc.as_ref());
    line.option("tos", Some(tos).filter(|n| **n > 0));
    line.option("table", Some(table));
    line.option("vrf", vrf.as_ref().map(|v| word(v.as_str())));
    line.option("protocol", Some(protocol));
    line.option("scope", Some(scope));
    line.option("metric", *priority);
    line.flag("onlink", *onlink);
    line.option("encap", tunnel.as_ref().map(encap));
    line.option("expires", expires.map(seconds));
    for (name, Locked { value, locked }) in metrics {
        line.word(metric(*name));
        line.flag("lock", *locked);
        match name {
            Metric::Features => line.word("ecn"),
            Metric::Mtu
            | Metric::Window
            | Metric::Rtt
            | Metric::RttVar
            | Metric::SsThresh
            | Metric::Cwnd
            | Metric::AdvMss
            | Metric::Reordering
            | Metric::HopLimit
            | Metric::InitCwnd
            | Metric::RtoMin
            | Metric::InitRwnd
            | Metric::QuickAck
            | Metric::FastOpenNoCookie => line.word(value),
        }
    }
    if let Some(Locked { value, locked }) = congctl {
        line.word("congctl");
        line.flag("lock", *locked);
        line.word(word(value));
    }
    line.option("realms", realm.map(realms));
    line.option("pref", pref.map(|RouterPreference(n)| n));
    let spread = |on| if on { "enabled" } else { "disabled" };
    line.option("ttl-propagate", ttl_propagate.map(spread));
    match insert {
        Insert::Prepend => {}
        Insert::Add => line.word("add"),
        Insert::Append => line.word("append"),
    }
    line.flag("no_track", !track);
    // They end the line.
    nexthops.iter().for_each(|h| line.word(hop(h)));
    line.0
}

fn range<N: Display>(range: &RangeInclusive<N>) -> String {
    format!("{}-{}", range.start(), range.end())
}

/// A line of `virtual_rules` or `static_rules`.
pub(super) fn rule(rule: &Rule) -> String {
    let Rule {
        family,
        preference,
        action,
        invert,
        from,
        to,
        tos,
        fwmark,
        realms: realm,
        suppress_prefixlength,
        suppress_ifgroup,
        iif,
        oif,
        tunnel_id,
        uids,
        protocol: Protocol(protocol),
        ip_protocol,
        sport,
        dport,
        track,
    } = rule;
    let mut line = Line(String::new());
    line.flag("not", *invert);
    match (from, to, family) {
        (Some(from), _, _) => line.option("from", Some(prefix(from))),
        (None, None, Family::V6) => line.word("inet6 inet6"),
        (None, _, _) => line.word("from all"),
    }
    line.option("to", to.as_ref().map(prefix));
    line.option("preference", Some(preference));
    match action {
        RuleAction::Table(Table(table)) => line.option("lookup", Some(table)),
        RuleAction::L3Mdev => line.word("l3mdev"),
        RuleAction::Goto(target) => line.option("goto", Some(target)),
        RuleAction::Nop => line.word("nop"),
        RuleAction::Blackhole => line.word("blackhole"),
        RuleAction::Unreachable => line.word("unreachable"),
        RuleAction::Prohibit => line.word("prohibit"),
    }
    line.option("tos", *tos);
    line.option(
        "fwmark",
        fwmark.map(|Mark { value, mask }| format!("{value:#x}/{mask:#x}")),
    );
    line.option("realms", realm.map(realms));
    line.option("suppress_prefixlength", *suppress_prefixlength);
    line.option("suppress_ifgroup", *suppress_ifgroup);
    line.option("iif", iif.as_ref().map(|d| word(d.as_str())));
    line.option("oif", oif.as_ref().map(|d| word(d.as_str())));
    line.option("tunnel-id", *tunnel_id);
    line.option("uidrange", uids.as_ref().map(range));
    line.option("protocol", Some(protocol));
    line.option("ipproto", *ip_protocol);
    line.option("sport", sport.as_ref().map(range));
    line.option("dport", dport.as_ref().map(range));
    line.flag("no_track", !track);
    line.0
}

/// Whether a word of a line is one by which to know a route.
pub(super) fn is_route(route: &Route, word: &str) -> bool {
    match word {
        "default" | "any" | "all" | "default6" => route.dest == Prefix::any(route.family),
        _ => is_address(word, route.dest.addr),
    }
}

/// Whether a word of a line is one by which to know a rule.
pub(super) fn is_rule(rule: &Rule, word: &str) -> bool {
    let selected = [&rule.from, &rule.to];
    let any = selected.into_iter().flatten();
    let by_address = any.into_iter().any(|p| is_address(word, p.addr));
    by_address || word.parse() == Ok(rule.preference)
}

/// With its `track_group`.
fn followed<T>(line: String, entry: &Static<T>) -> String {
    let Static { entry: _, group } = entry;
    let mut line = Line(line);
    line.option("track_group", group.as_ref().map(|g| word(g)));
    line.0
}

/// `track_group`, then `static_ipaddress`, `static_routes`, `static_rules`, which name it.
pub(super) fn statics(s: &mut Sheet<'_>, groups: &[std::sync::Arc<TrackGroup>], statics: &Statics) {
    for group in groups {
        let TrackGroup { name, members } = &**group;
        let said = s.top("track_group", name);
        s.block(&format!("track_group {}", word(name)), &said, |s| {
            let said = s.inner("group");
            s.block("group", &said, |s| {
                s.entry(&words(members.iter().map(|m| &**m)), &said);
            });
        });
    }
    let Statics {
        addresses,
        routes,
        rules,
    } = statics;
    s.lines(
        "static_ipaddress",
        addresses,
        |a, said| is_address(said, a.entry.addr),
        |_, a| followed(address(&a.entry), a),
    );
    s.lines(
        "static_routes",
        routes,
        |r, said| is_route(&r.entry, said),
        |_, r| static_route(r),
    );
    s.lines(
        "static_rules",
        rules,
        |r, said| is_rule(&r.entry, said),
        |_, r| followed(rule(&r.entry), r),
    );
}

/// The `track_group` stands before the hops, which end the line.
fn static_route(entry: &Static<Route>) -> String {
    let line = route(&entry.entry);
    match line.find(" nexthop ") {
        Some(at) => {
            let (head, hops) = line.split_at(at);
            followed(head.to_owned(), entry) + hops
        }
        None => followed(line, entry),
    }
}

/// `garp_group`, `linkbeat_interfaces`, `interface_up_down_delays`.
pub(super) fn links(
    s: &mut Sheet<'_>,
    groups: &[GarpGroup],
    beats: &[Linkbeat],
    delays: &[UpDownDelay],
) {
    let said = s.inner("garp_group");
    for (n, group) in groups.iter().enumerate() {
        let GarpGroup {
            interfaces,
            garp_interval,
            gna_interval,
        } = group;
        let from = said.get(n..=n).unwrap_or_default();
        s.block("garp_group", from, |s| {
            s.lines(
                "interfaces",
                interfaces,
                |i, said| i.as_str() == said,
                |_, i| word(i.as_str()).into_owned(),
            );
            s.option("garp_interval", garp_interval.map(seconds));
            s.option("gna_interval", gna_interval.map(seconds));
        });
    }
    s.lines(
        "linkbeat_interfaces",
        beats,
        |b, said| b.interface.as_str() == said,
        |_, Linkbeat { interface, kind }| {
            let kind = kind.map(|k| match k {
                LinkbeatKind::Mii => "MII",
                LinkbeatKind::Ethtool => "ETHTOOL",
                LinkbeatKind::Ioctl => "IOCTL",
            });
            words([Some(interface.as_str()), kind].into_iter().flatten())
        },
    );
    s.lines(
        "interface_up_down_delays",
        delays,
        |d, said| d.interface.as_str() == said,
        |_, delay| {
            let UpDownDelay {
                interface,
                down,
                up,
            } = delay;
            let name = word(interface.as_str());
            format!("{name} {} {}", seconds(*down), seconds(*up))
        },
    );
}
