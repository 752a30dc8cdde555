//! `keepalived.data`: configuration and state of the VRRP side.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use crate::daemon::bus::{InstanceSnapshot, VrrpState};
use crate::model::Config;
use crate::model::global::Global;
use crate::model::net::{Family, PreferredLft, Scope, VirtualAddress};
use crate::model::track::{Command, InterfaceTrack, Script, ScriptTrack, Weight};
use crate::model::vrrp::{Auth, Instance, Notify, SyncGroup, Version};

/// The file. Instances without a snapshot are shown without their run-time lines, as `-d` does.
pub(crate) fn data(config: &Config, snapshots: &[InstanceSnapshot]) -> String {
    let mut text = Text::default();
    text.global(&config.global);
    if !config.instances.is_empty() {
        text.section("VRRP Topology");
    }
    for instance in &config.instances {
        let group = config
            .groups
            .iter()
            .find(|g| g.members.contains(&instance.name));
        let snapshot = snapshots.iter().find(|s| s.instance.name == instance.name);
        text.instance(instance, group.map(|g| &*g.name), snapshot);
    }
    if !config.groups.is_empty() {
        text.section("VRRP Sync groups");
    }
    config.groups.iter().for_each(|g| text.group(g, snapshots));
    if !config.scripts.is_empty() {
        text.section("VRRP Scripts");
    }
    config.scripts.iter().for_each(|s| text.script(s));
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl Display) {
        _ = writeln!(self.0, "{line}"); // writing to a String cannot fail
    }

    /// `   Label = value`
    fn pair(&mut self, label: &str, value: impl Display) {
        self.line(format_args!("   {label} = {value}"));
    }

    fn section(&mut self, title: &str) {
        self.line(format_args!("------< {title} >------"));
    }

    /// Nothing when there are no members.
    fn list<T: Display>(&mut self, label: &str, members: impl IntoIterator<Item = T>) {
        let mut members = members.into_iter().peekable();
        if members.peek().is_some() {
            self.line(format_args!("   {label} :"));
        }
        members.for_each(|m| self.line(format_args!("     {m}")));
    }

    fn global(&mut self, g: &Global) {
        self.section("Global definitions");
        if let Some(id) = &g.router_id {
            self.line(format_args!(" Router ID = {id}"));
        }
        let version = match g.vrrp_version {
            Version::V2 => 2,
            Version::V3 => 3,
        };
        let pairs: [(&str, &dyn Display); 10] = [
            ("Dynamic interfaces", &g.dynamic_interfaces),
            ("VRRP IPv4 mcast group", &g.vrrp_mcast_group4),
            ("VRRP IPv6 mcast group", &g.vrrp_mcast_group6),
            ("Gratuitous ARP delay", &g.garp.master_delay.as_secs()),
            ("Gratuitous ARP repeat", &g.garp.master_repeat),
            (
                "Gratuitous ARP refresh timer",
                &g.garp.master_refresh.as_secs(),
            ),
            (
                "Gratuitous ARP refresh repeat",
                &g.garp.master_refresh_repeat,
            ),
            (
                "Gratuitous ARP lower priority delay",
                &g.garp.lower_prio_delay.as_secs(),
            ),
            (
                "Gratuitous ARP lower priority repeat",
                &g.garp.lower_prio_repeat,
            ),
            ("VRRP default protocol version", &version),
        ];
        for (label, value) in pairs {
            self.line(format_args!(" {label} = {value}"));
        }
        let security = if g.script_security {
            "enabled"
        } else {
            "disabled"
        };
        self.line(format_args!(" Script security {security}"));
    }

    fn instance(&mut self, i: &Instance, group: Option<&str>, now: Option<&InstanceSnapshot>) {
        self.line(format_args!(" VRRP Instance = {}", i.name));
        let version = match i.version {
            Version::V2 => 2,
            Version::V3 => 3,
        };
        self.pair("VRRP Version", version);
        if let Some(group) = group {
            self.pair("Sync group", group);
        }
        if i.family == Family::V6 {
            self.line("   Using Native IPv6");
        }
        if let Some(now) = now {
            self.pair("State", now.state.word());
            self.pair("Wantstate", now.state.word());
        }
        self.pair("Interface", &i.interface);
        if i.dont_track_primary {
            self.line("   VRRP interface tracking disabled");
        }
        if i.skip_check_adv_addr {
            self.line("   Skip checking advert IP addresses");
        }
        if let Some(source) = i.source {
            self.pair(
                "Using src_ip",
                format_args!("{source} (from configuration)"),
            );
        }
        self.line(format_args!("   Multicast address {}", i.mcast_group));
        self.pair("Gratuitous ARP delay", i.garp.master_delay.as_secs());
        self.pair("Gratuitous ARP repeat", i.garp.master_repeat);
        self.pair("Gratuitous ARP refresh", i.garp.master_refresh.as_secs());
        self.pair(
            "Gratuitous ARP refresh repeat",
            i.garp.master_refresh_repeat,
        );
        self.pair(
            "Gratuitous ARP lower priority delay",
            i.garp.lower_prio_delay.as_secs(),
        );
        self.pair(
            "Gratuitous ARP lower priority repeat",
            i.garp.lower_prio_repeat,
        );
        self.pair("Down timer adverts", i.down_timer_adverts);
        let (lower, higher) = (!i.lower_prio_no_advert, i.higher_prio_send_advert);
        self.pair("Send advert after receive lower priority advert", lower);
        self.pair("Send advert after receive higher priority advert", higher);
        self.pair("Virtual Router ID", i.vrid);
        self.pair("Priority", i.priority);
        if let Some(now) = now {
            self.pair("Effective priority", now.effective_priority);
        }
        match i.version {
            Version::V2 => self.pair(
                "Advert interval",
                format_args!("{} sec", i.advert_int.as_secs()),
            ),
            Version::V3 => {
                self.pair(
                    "Advert interval",
                    format_args!("{} milli-sec", i.advert_int.as_millis()),
                );
            }
        }
        self.pair("Preempt", if i.preempt { "enabled" } else { "disabled" });
        if i.preempt_delay > Duration::ZERO {
            self.pair(
                "Preempt delay",
                format_args!("{} secs", i.preempt_delay.as_secs()),
            );
        }
        match (i.version, &i.auth) {
            (Version::V2, Auth::None) => self.pair("Authentication type", "none"),
            (_, Auth::Pass(_)) => {
                self.pair("Authentication type", "SIMPLE_PASSWORD");
                self.pair("Password", "********");
            }
            (Version::V3, Auth::None) => {}
        }
        let set = now.is_some_and(|n| n.state == VrrpState::Master);
        let shown = |addr| Shown { addr, set };
        self.line(format_args!("   Virtual IP ({}):", i.addresses.len()));
        i.addresses
            .iter()
            .for_each(|a| self.line(format_args!("     {}", shown(a))));
        self.list("Virtual IP Excluded", i.excluded.iter().map(shown));
        self.tracked(&i.track_interfaces, &i.track_scripts);
        self.notify(&i.notify);
    }

    fn group(&mut self, g: &SyncGroup, snapshots: &[InstanceSnapshot]) {
        let mut members = snapshots
            .iter()
            .filter(|s| g.members.contains(&s.instance.name));
        // The members of a group are in one state, or on their way to it.
        let state = members.next().map_or("INIT", |s| s.state.word());
        self.line(format_args!(" VRRP Sync Group = {}, {state}", g.name));
        self.list("VRRP member instances", &g.members);
        self.tracked(&g.track_interfaces, &g.track_scripts);
        self.notify(&g.notify);
    }

    fn tracked(&mut self, interfaces: &[InterfaceTrack], scripts: &[ScriptTrack]) {
        let line = |name: &str, weight: Weight, reverse: bool| {
            let reverse = if reverse { " reverse" } else { "" };
            format!("{name} weight {}{reverse}", number(weight))
        };
        let lines = interfaces
            .iter()
            .map(|t| line(t.interface.as_str(), t.weight, t.reverse));
        self.list("Tracked interfaces", lines);
        let lines = scripts.iter().map(|t| line(&t.script, t.weight, t.reverse));
        self.list("Tracked scripts", lines);
    }

    fn notify(&mut self, n: &Notify) {
        let scripts = [
            ("Backup", &n.backup),
            ("Master", &n.master),
            ("Fault", &n.fault),
            ("Stop", &n.stop),
            ("Generic", &n.any),
        ];
        for (event, script) in scripts {
            if let Some(script) = script {
                let label = format!("{event} state transition script");
                self.pair(&label, Quoted(&script.command));
            }
        }
    }

    fn script(&mut self, s: &Script) {
        self.line(format_args!(" VRRP Script = {}", s.name));
        self.pair("Command", Quoted(&s.command));
        self.pair("Interval", Seconds(s.interval));
        self.pair("Timeout", Seconds(s.timeout));
        self.pair("Rise", s.rise);
        self.pair("Fall", s.fall);
    }
}

fn number(weight: Weight) -> i16 {
    match weight {
        Weight::Fault => 0,
        Weight::Adjust(n) => n,
    }
}

/// `N sec`, or `N.NNN sec`.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{} sec", self.0.as_secs()),
            ms => write!(f, "{}.{ms:03} sec", self.0.as_secs()),
        }
    }
}

/// Each word in single quotes, then who runs it.
struct Quoted<'a>(&'a Command);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, word) in self.0.argv.iter().enumerate() {
            write!(f, "{}'{word}'", if n == 0 { "" } else { " " })?;
        }
        match &self.0.user {
            Some(user) => write!(f, ", uid:gid {}:{}", user.uid, user.gid),
            None => Ok(()),
        }
    }
}

/// A virtual address; its third word is always the device.
struct Shown<'a> {
    addr: &'a VirtualAddress,
    set: bool,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a = self.addr;
        write!(f, "{}", a.addr)?;
        let host = if a.addr.is_ipv4() { 32 } else { 128 };
        if a.prefix_len != host {
            write!(f, "/{}", a.prefix_len)?;
        }
        // keepalived: `brd` before `dev`, which then is no longer the third word.
        if let Some(brd) = a.broadcast {
            write!(f, " brd {brd}")?;
        }
        write!(f, " dev {}", a.dev)?;
        match a.scope {
            Scope(0) => f.write_str(" scope global")?,
            Scope(200) => f.write_str(" scope site")?,
            Scope(253) => f.write_str(" scope link")?,
            Scope(254) => f.write_str(" scope host")?,
            Scope(255) => f.write_str(" scope nowhere")?,
            Scope(n) => write!(f, " scope {n}")?,
        }
        if let Some(label) = &a.label {
            write!(f, " label {label}")?;
        }
        if let Some(peer) = a.peer {
            write!(f, " peer {peer}/{host}")?;
        }
        let v6 = matches!(a.addr, IpAddr::V6(_));
        let flags = [
            (a.home, " home"),
            (v6 && !a.nodad, " -nodad"),
            (a.mngtmpaddr, " mngtmpaddr"),
            (a.noprefixroute, " noprefixroute"),
            (a.autojoin, " autojoin"),
            (!a.track, " no_track"),
        ];
        flags
            .iter()
            .filter(|(on, _)| *on)
            .try_for_each(|(_, word)| f.write_str(word))?;
        match a.preferred_lft {
            PreferredLft::Forever if v6 => f.write_str(" preferred_lft forever")?,
            PreferredLft::For(Duration::ZERO) => f.write_str(" deprecated")?,
            PreferredLft::For(lft) => write!(f, " preferred_lft {}", lft.as_secs())?,
            PreferredLft::Forever => {}
        }
        if self.set {
            f.write_str(" set")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::net::IfName;
    use crate::model::vrrp::Vrid;

    pub(crate) fn snapshot(name: &str) -> InstanceSnapshot {
        let eth0 = IfName::new("eth0").expect("a name");
        let vrid = Vrid(51.try_into().expect("not zero"));
        let mut instance = Instance::new(name, eth0.clone(), vrid, &Global::default());
        let ip = [10, 10, 0, 100].into();
        let mut vip = VirtualAddress::new(ip, 24, eth0.clone());
        vip.label = Some("eth0:vip".into());
        let v6 = "fd10::100".parse().expect("an address");
        instance.addresses = vec![vip, VirtualAddress::new(v6, 64, eth0)];
        InstanceSnapshot {
            instance: Arc::new(instance),
            state: VrrpState::Master,
            effective_priority: 98,
            counters: Default::default(),
        }
    }

    /// What the usual exporter does: attributes have exactly three leading spaces, list members five.
    fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        let prefix = format!("   {name} = ");
        text.lines().find_map(|l| l.strip_prefix(&prefix))
    }

    #[test]
    fn exporters_find_what_they_look_for() {
        let now = snapshot("VI_1");
        let config = Config {
            instances: vec![Arc::clone(&now.instance)],
            ..Config::default()
        };
        let text = data(&config, &[now]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines
                .iter()
                .filter(|l| **l == " VRRP Instance = VI_1")
                .count(),
            1
        );
        assert_eq!(attribute(&text, "State"), Some("MASTER"));
        assert_eq!(attribute(&text, "Wantstate"), Some("MASTER"));
        assert_eq!(attribute(&text, "Interface"), Some("eth0"));
        assert_eq!(attribute(&text, "Gratuitous ARP delay"), Some("5"));
        assert_eq!(attribute(&text, "Virtual Router ID"), Some("51"));
        assert_eq!(attribute(&text, "Effective priority"), Some("98"));
        let at = lines
            .iter()
            .position(|l| *l == "   Virtual IP (2):")
            .expect("a list");
        let v4 = "     10.10.0.100/24 dev eth0 scope global label eth0:vip set";
        let v6 = "     fd10::100/64 dev eth0 scope global preferred_lft forever set";
        assert_eq!(lines[at + 1..at + 3], [v4, v6]);
        let head = lines
            .iter()
            .position(|l| l.contains("VRRP Topology"))
            .expect("a section");
        assert!(lines[head..head + 6].iter().any(|l| l.contains("State")));
    }

    #[test]
    fn without_snapshots_there_is_no_state() {
        let config = Config {
            instances: vec![snapshot("VI_1").instance],
            ..Config::default()
        };
        assert_eq!(attribute(&data(&config, &[]), "State"), None);
    }

    #[test]
    fn no_secret_is_shown() {
        let mut instance = Instance::clone(&snapshot("VI_1").instance);
        instance.auth = Auth::Pass(*b"secret12");
        let config = Config {
            instances: vec![Arc::new(instance)],
            ..Config::default()
        };
        let text = data(&config, &[]);
        assert_eq!(attribute(&text, "Password"), Some("********"));
        assert!(!text.contains("secret12"));
    }
}
