//! `keepalived_check.data`: virtual servers, real servers and their checkers.

mod checkers;

use std::net::SocketAddr;
use std::sync::Arc;

use super::data::Weighted;
use super::global::{Part, global};
use super::lines::Lines;
use super::words::{Micros, Quoted, yes};
use crate::daemon::bus::{ServerSnapshot, ServiceSnapshot, TrackSnapshot};
use crate::lvs::checker::Check;
use crate::model::Config;
use crate::model::lvs::{
    Checker, Granularity, GroupEntry, Hooks, Method, RealServer, Scheduler, ServerGroup,
    ServiceKey, Transport, Tunnel, TunnelChecksum, VirtualServer,
};
use crate::model::net::Family;

/// The file. Virtual servers without a snapshot are shown without their run-time lines, as `-d` does.
pub(crate) fn check(
    config: &Config,
    snapshots: &[ServiceSnapshot],
    trackers: &TrackSnapshot,
) -> String {
    let mut text = Text(global(config, Part::Other));
    text.ssl(config);
    text.line("------< LVS Topology >------");
    text.line(" System is compiled with LVS v1.2.1");
    config.server_groups.iter().for_each(|g| text.group(g));
    let by_key = snapshots.iter().map(|s| (&s.vs.key, s));
    let by_key: std::collections::HashMap<_, _> = by_key.collect();
    for vs in &config.virtual_servers {
        text.virtual_server(vs, by_key.get(&vs.key).copied());
    }
    let checked = |vs: &VirtualServer| vs.real_servers.iter().any(|rs| !rs.checkers.is_empty());
    if config.virtual_servers.iter().any(|vs| checked(vs)) {
        text.line("------< Health checkers >------");
    }
    for vs in &config.virtual_servers {
        let now = by_key.get(&vs.key).copied();
        for (n, rs) in vs.real_servers.iter().enumerate() {
            let now = now.and_then(|s| s.servers.get(n));
            for (m, checker) in rs.checkers.iter().enumerate() {
                text.checker(vs, rs, checker, now.and_then(|s| s.checks.get(m)));
            }
        }
    }
    text.track_files(config, trackers);
    text.bfds(config);
    text.0
}

struct Text(String);

impl Lines for Text {
    fn text(&mut self) -> &mut String {
        &mut self.0
    }
}

impl Text {
    fn ssl(&mut self, config: &Config) {
        self.line("------< SSL definitions >------");
        let ssl = &config.global.ssl;
        if *ssl == crate::model::global::Ssl::default() {
            self.line(" Using autogen SSL context");
            return;
        }
        if ssl.password.is_some() {
            self.line(" Password : ********");
        }
        for (label, file) in [
            ("ca-file", &ssl.ca),
            ("Certificate file", &ssl.certificate),
            ("Key file", &ssl.key),
        ] {
            if let Some(file) = file {
                self.line(format_args!(" {label} : {}", file.display()));
            }
        }
    }

    fn group(&mut self, g: &ServerGroup) {
        let has = |family| {
            let of = |e: &GroupEntry| match e {
                GroupEntry::Addresses { first, .. } => Some(Family::from(*first)),
                GroupEntry::Fwmark { family, .. } => *family,
            };
            yes(g.entries.iter().any(|e| of(e) == Some(family)))
        };
        self.line(" ------< Virtual server group >------");
        self.line(format_args!(
            " Virtual Server Group = {}, IPv4 = {}, IPv6 = {}",
            g.name,
            has(Family::V4),
            has(Family::V6)
        ));
        for entry in &g.entries {
            match entry {
                GroupEntry::Addresses { first, last, port } if first == last => {
                    self.pair("VIP", format_args!("{first}, VPORT = {port}"));
                }
                GroupEntry::Addresses { first, last, port } => {
                    self.pair("VIP Range", format_args!("{first}-{last}, VPORT = {port}"));
                }
                GroupEntry::Fwmark { mark, family: _ } => self.pair("FWMARK", mark),
            }
            self.line("     reloaded = False");
        }
    }

    fn virtual_server(&mut self, vs: &VirtualServer, now: Option<&ServiceSnapshot>) {
        self.line(" ------< Virtual server >------");
        match &vs.key {
            ServiceKey::Address { addr, port, .. } => {
                self.line(format_args!(" VS VIP = {addr}, VPORT = {port}"));
            }
            ServiceKey::Fwmark { mark, .. } => self.line(format_args!(" VS FWMARK = {mark}")),
            ServiceKey::Group { name, number } => {
                self.line(format_args!(" VS GROUP = [{name}]:{number}"));
            }
        }
        if let Some(host) = &vs.virtualhost {
            self.pair("VirtualHost", host);
        }
        if let Some(name) = &vs.snmp_name {
            self.pair("SNMP name", name);
        }
        self.scheduling(vs);
        let inhibit = vs.real_servers.iter().all(|rs| rs.inhibit_on_failure);
        let inhibit = inhibit && !vs.real_servers.is_empty();
        self.switch("alpha", vs.alpha);
        self.switch("omega", vs.omega);
        self.switch("Inhibit on failure", inhibit);
        let (quorum, hysteresis) = (vs.quorum, vs.hysteresis);
        self.pair(
            "quorum",
            format_args!("{quorum}, hysteresis = {hysteresis}"),
        );
        self.scripts(&vs.hooks, ["Quorum up", "Quorum down"]);
        self.pair("Using smtp notification", yes(vs.hooks.mail));
        if let Some(rs) = vs.real_servers.first() {
            self.pair("default forwarding method", method(rs.method));
        }
        if let Some(sorry) = &vs.sorry_server {
            let serves = now.is_some_and(|n| !n.quorum_met);
            self.pair("sorry server", server(sorry.addr, vs.transport));
            self.line(format_args!(
                "     forwarding method = {}",
                method(sorry.method)
            ));
            let on = if sorry.inhibit { "ON" } else { "OFF" };
            self.line(format_args!("     Inhibit on failure is {on}"));
            self.line(format_args!("     set = {}", u8::from(serves)));
            self.line(format_args!("     alive = {}", u8::from(serves)));
        }
        if let Some(now) = now {
            self.pair("VS alive", 1);
            self.pair("quorum_state_up", u8::from(now.quorum_met));
            self.pair("reloaded", 0);
        }
        for (n, rs) in vs.real_servers.iter().enumerate() {
            self.real_server(vs, rs, now.and_then(|s| s.servers.get(n)));
        }
    }

    fn scheduling(&mut self, vs: &VirtualServer) {
        let six = |e: &crate::model::lvs::Listen| match e {
            crate::model::lvs::Listen::Addresses { first, .. } => first.is_ipv6(),
            crate::model::lvs::Listen::Fwmark { family, .. } => *family == Family::V6,
        };
        let six = vs.listen.iter().any(six);
        self.pair("Address family", if six { "inet6" } else { "inet" });
        if let Some(checker) = vs.real_servers.iter().flat_map(|rs| &rs.checkers).next() {
            self.pair("delay_loop", Micros(checker.delay_loop));
        }
        self.pair("lvs_sched", vs.scheduler.word());
        let flags = &vs.flags;
        let flags: &[(&str, bool)] = match vs.scheduler {
            Scheduler::Mh => &[("mh-port", flags.second), ("mh-fallback", flags.first)],
            Scheduler::Sh => &[("sh-port", flags.second), ("sh-fallback", flags.first)],
            Scheduler::Rr
            | Scheduler::Wrr
            | Scheduler::Lc
            | Scheduler::Wlc
            | Scheduler::Lblc
            | Scheduler::Lblcr
            | Scheduler::Dh
            | Scheduler::Sed
            | Scheduler::Nq
            | Scheduler::Fo
            | Scheduler::Ovf
            | Scheduler::Twos => &[
                ("flag-1", flags.first),
                ("flag-2", flags.second),
                ("flag-3", flags.third),
            ],
        };
        self.pair("Hashed", "disabled");
        for (name, on) in flags {
            self.pair(name, super::words::enabled(*on));
        }
        self.pair("One packet scheduling", super::words::enabled(vs.ops));
        if let Some(p) = &vs.persistence {
            self.pair("persistence timeout", p.timeout.as_secs());
            match p.granularity {
                Some(Granularity::V4(mask)) => self.pair("persistence granularity", mask),
                Some(Granularity::V6(len)) => self.pair("persistence granularity", len),
                None => {}
            }
            if let Some(engine) = &p.engine {
                self.pair("persistence engine", engine);
            }
        }
        if let Some(transport) = vs.transport {
            self.pair("protocol", transport.word().to_uppercase());
        }
    }

    /// `   Label is ON`
    fn switch(&mut self, label: &str, on: bool) {
        let on = if on { "ON" } else { "OFF" };
        self.line(format_args!("   {label} is {on}"));
    }

    fn scripts(&mut self, hooks: &Hooks, labels: [&str; 2]) {
        for (label, script) in labels.into_iter().zip([&hooks.up, &hooks.down]) {
            if let Some(script) = script {
                let label = format!("{label} notify script");
                self.pair(&label, Quoted(&script.command));
            }
        }
    }

    fn real_server(&mut self, vs: &VirtualServer, rs: &RealServer, now: Option<&ServerSnapshot>) {
        self.line("   ------< Real server >------");
        let effective = now.map_or(rs.weight, |n| n.weight);
        self.line(format_args!(
            "   RIP = {}, RPORT = {}, WEIGHT = {} EFF WEIGHT = {effective}",
            rs.addr.ip(),
            rs.addr.port(),
            rs.weight
        ));
        self.pair("forwarding method", method(rs.method));
        self.switch("Alpha", rs.checkers.iter().any(|c| c.alpha));
        if let Some(checker) = rs.checkers.first() {
            self.pair("connection timeout", Micros(checker.connect_timeout));
        }
        let (low, high) = (rs.lthreshold, rs.uthreshold);
        self.pair("connection limit range", format_args!("{low} -> {high}"));
        if let Some(checker) = rs.checkers.first() {
            self.pair("Delay loop", Micros(checker.delay_loop));
        }
        self.switch("Inhibit on failure", rs.inhibit_on_failure);
        self.scripts(&rs.hooks, ["RS up", "RS down"]);
        if let Some(host) = &rs.virtualhost
            && rs.virtualhost != vs.virtualhost
        {
            self.pair("VirtualHost", host);
        }
        self.pair("Using smtp notification", yes(rs.hooks.mail));
        self.pair("initial weight", rs.weight);
        if let Some(now) = now {
            self.pair("effective weight", now.weight);
            self.pair("alive", u8::from(now.alive));
            let failed = now.checks.iter().filter(|c| !c.up).count();
            self.pair("num failed checkers", failed);
            self.pair("RS set", u8::from(now.in_table));
            self.pair("reloaded", 0);
        }
        let (mut files, mut bfds) = (Vec::new(), Vec::new());
        for checker in &rs.checkers {
            match &checker.check {
                Check::File(f) => files.push(format!("{}, weight {}", f.file, f.weight)),
                Check::Bfd(b) => bfds.push(b.name.to_string()),
                Check::Tcp(_)
                | Check::Udp(..)
                | Check::Http(..)
                | Check::Smtp(..)
                | Check::Dns(..)
                | Check::Ping(_)
                | Check::Misc(_) => {}
            }
        }
        for (label, names) in [("Tracked Files", files), ("Tracked BFDs", bfds)] {
            if !names.is_empty() {
                self.line(format_args!("   {label}"));
            }
            names
                .iter()
                .for_each(|n| self.line(format_args!("     {n}")));
        }
    }

    /// The files that checkers follow, with who follows them.
    fn track_files(&mut self, config: &Config, trackers: &TrackSnapshot) {
        let followed: Vec<(&Arc<str>, String)> = checkers(config)
            .filter_map(|(vs, rs, checker)| match &checker.check {
                Check::File(f) => {
                    let reverse = if f.reverse { " reverse" } else { "" };
                    let rs = server(rs.addr, vs.transport);
                    let line = format!("{} -> {rs}, weight {}{reverse}", vs.key, f.weight);
                    Some((&f.file, line))
                }
                Check::Tcp(_)
                | Check::Udp(..)
                | Check::Http(..)
                | Check::Smtp(..)
                | Check::Dns(..)
                | Check::Ping(_)
                | Check::Misc(_)
                | Check::Bfd(_) => None,
            })
            .collect();
        let files = config.track_files.iter();
        let files: Vec<_> = files
            .filter(|t| followed.iter().any(|(name, _)| **name == t.name))
            .collect();
        if !files.is_empty() {
            self.line("------< Checker track files >------");
        }
        for t in files {
            self.line(format_args!(" Track file = {}", t.name));
            self.pair("File", t.path.display());
            if let Some(value) = trackers.files.get(&t.name) {
                self.pair("Status", value);
            }
            self.pair("Weight", Weighted(t.weight, t.reverse));
            self.line("   Tracking instances :");
            for (_, line) in followed.iter().filter(|(name, _)| **name == t.name) {
                self.line(format_args!("     {line}"));
            }
        }
    }

    /// keepalived: every session that tells checkers something, followed or not.
    fn bfds(&mut self, config: &Config) {
        let told: Vec<_> = config.bfds.iter().filter(|b| b.tells_checkers).collect();
        if !told.is_empty() {
            self.line("------< Checker track BFDs >------");
        }
        for b in told {
            self.line(format_args!(" Checker Track BFD = {}", b.name));
            self.line("   Tracking RS :");
            for (vs, rs, checker) in checkers(config) {
                if matches!(&checker.check, Check::Bfd(by) if by.name == b.name) {
                    self.line(format_args!("   {}", server(rs.addr, vs.transport)));
                }
            }
        }
    }
}

/// Every checker with what it is about, in file order.
fn checkers(config: &Config) -> impl Iterator<Item = (&VirtualServer, &RealServer, &Checker)> {
    let servers = config.virtual_servers.iter();
    let servers = servers.flat_map(|vs| vs.real_servers.iter().map(move |rs| (&**vs, rs)));
    servers.flat_map(|(vs, rs)| rs.checkers.iter().map(move |c| (vs, rs, c)))
}

fn server(addr: SocketAddr, transport: Option<Transport>) -> String {
    let transport = transport.map_or("none", Transport::word);
    format!("[{}]:{transport}:{}", addr.ip(), addr.port())
}

fn method(method: Method) -> String {
    let sums = |c| match c {
        TunnelChecksum::None => "nocsum",
        TunnelChecksum::Checksum => "csum",
        TunnelChecksum::Remote => "remcsum",
    };
    match method {
        Method::Nat => "NAT".into(),
        Method::Dr => "DR".into(),
        Method::Tun(Tunnel::Ipip) => "TUN, type = IPIP".into(),
        Method::Tun(Tunnel::Gue { port, checksum }) => {
            format!("TUN, type = GUE, port = {port}, csum = {}", sums(checksum))
        }
        Method::Tun(Tunnel::Gre { checksum }) => {
            format!("TUN, type = GRE, csum = {}", sums(checksum))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::Fake;

    /// Lines of keepalived's that ours does not have: a run-time value in a file without a run, or nothing that exists
    /// here.
    const NOT_OURS: [&str; 21] = [
        "     Alive: ",
        "   reloaded = ",
        "   connection timeout = ",
        "   delay_loop = ",
        "     set = ",
        "     alive = ",
        "   VS alive = ",
        "   quorum_state_up = ",
        "   effective weight = ",
        "   previous effective_weight = ",
        "   alive = ",
        "   num failed checkers = ",
        "   RS set = ",
        "   Enabled = ",
        "   Up = ",
        "   Has run = ",
        "   Current weight = ",
        "   Retries iterations = ",
        "   Last ",
        "   Status = ",
        "   Log all failures = ", // keepalived: without the global setting
    ];
    /// Of them those that a run shows neither.
    const NEVER: [&str; 3] = [
        "     Last SSL error",
        "     ICMP seq no",
        "     Reloaded = ",
    ];

    /// keepalived 2.4.3 wrote the lines for the same file. One checker was cut out: where `SMTP_CHECK` has a `host`,
    /// keepalived has another, broken one for the default address.
    #[test]
    fn the_file_has_the_lines_of_keepalived_in_their_order() {
        let mut fake = Fake::with(include_str!("../../tests/dumps/check.conf"));
        fake.scripts_in = Some("/usr/bin/true /usr/bin/test".into());
        fake.files.insert("/run/ka-cfile".into(), b"0".to_vec());
        let loaded = fake.load();
        let ours = check(&loaded.config, &[], &TrackSnapshot::default());
        let wrote = include_str!("../../tests/dumps/check.data");
        let start = ours.find("------< SSL").expect("a section");
        let ours = ours[start..].lines();
        let not_ours = |l: &&str| NOT_OURS.iter().chain(&NEVER).any(|p| l.starts_with(p));
        let theirs: Vec<_> = wrote.lines().filter(|l| !not_ours(l)).collect();
        let ours: Vec<_> = ours.filter(|l| !not_ours(l)).collect();
        for (n, line) in ours.iter().enumerate() {
            assert_eq!(
                Some(line),
                theirs.get(n),
                "after {:?}",
                &ours[n.saturating_sub(12)..n]
            );
        }
        assert_eq!(ours.len(), theirs.len());
    }
}
