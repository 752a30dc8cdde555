//! `keepalived.data`: configuration and state of the VRRP side.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::Times;
use super::global::Part;
use super::words::{Address, Micros, Quoted, RouteLine, RuleLine, Seconds, enabled, yes};
use crate::daemon::bus::{
    InstanceSnapshot, ProcessSnapshot, RunState, ScriptSnapshot, TrackSnapshot, VrrpState,
};
use crate::model::Config;
use crate::model::net::{Family, VirtualAddress};
use crate::model::track::{
    Arguments, InterfaceTrack, OtherTracks, Script, ScriptTrack, TrackFile, TrackProcess, Weight,
};
use crate::model::vrrp::{Auth, Deletion, Instance, Notify, SyncGroup, Version};
use crate::track::command::Outcome;
use crate::vrrp::FaultCause;

/// The file. Instances without a snapshot are shown without their run-time lines, as `-d` does.
pub(crate) fn data(
    config: &Config,
    snapshots: &[InstanceSnapshot],
    trackers: &TrackSnapshot,
    times: &Times,
) -> String {
    let mut text = Text(super::global::global(config, Part::Vrrp));
    text.statics(config);
    text.section_of("VRRP Topology", &config.instances);
    let groups = config.groups.iter();
    let groups: HashMap<&str, &str> = groups
        .flat_map(|g| g.members.iter().map(|m| (&**m, &*g.name)))
        .collect();
    let now = snapshots.iter().map(|s| (&*s.instance.name, s));
    let now: HashMap<&str, &InstanceSnapshot> = now.collect();
    for instance in &config.instances {
        let group = groups.get(&*instance.name).copied();
        let snapshot = now.get(&*instance.name).copied();
        text.instance(instance, group, snapshot, times);
    }
    text.section_of("VRRP Sync groups", &config.groups);
    config.groups.iter().for_each(|g| text.group(g, snapshots));
    text.section_of("VRRP Scripts", &config.scripts);
    for script in &config.scripts {
        text.script(script, config, trackers.scripts.get(&script.name));
    }
    text.section_of("VRRP Track files", &config.track_files);
    for file in &config.track_files {
        text.track_file(file, config, trackers.files.get(&file.name));
    }
    text.section_of("VRRP Track processes", &config.track_processes);
    for process in &config.track_processes {
        text.track_process(process, config, trackers.processes.get(&process.name));
    }
    let bfds = config.bfds.iter().filter(|b| b.tells_vrrp);
    let bfds: Vec<_> = bfds.collect();
    text.section_of("VRRP Track BFDs", &bfds);
    for bfd in bfds {
        text.line(format_args!(" VRRP Track BFD = {}", bfd.name));
        text.pair("Weight", Weighted(bfd.weight, bfd.reverse));
        text.line("   Tracking VRRP instances :");
        text.trackers(config, |t| &t.bfds, &bfd.name);
    }
    text.0
}

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

    /// The heading of what is not empty.
    fn section_of<T>(&mut self, title: &str, members: &[T]) {
        if !members.is_empty() {
            self.section(title);
        }
    }

    /// Nothing when there are no members.
    fn list<T: Display>(&mut self, label: &str, members: impl IntoIterator<Item = T>) {
        let mut members = members.into_iter().peekable();
        if members.peek().is_some() {
            self.line(format_args!("   {label} :"));
        }
        members.for_each(|m| self.line(format_args!("     {m}")));
    }

    fn statics(&mut self, config: &Config) {
        let statics = &config.statics;
        self.section_of("Static Addresses", &statics.addresses);
        for a in &statics.addresses {
            let line = Address {
                addr: &a.entry,
                base: None,
                track_group: a.group.as_deref(),
                set: false,
            };
            self.line(format_args!("     {line}"));
        }
        self.section_of("Static Routes", &statics.routes);
        for r in &statics.routes {
            let (route, track_group) = (&r.entry, r.group.as_deref());
            self.line(format_args!("     {}", RouteLine { route, track_group }));
        }
        self.section_of("Static Rules", &statics.rules);
        for r in &statics.rules {
            let (rule, track_group) = (&r.entry, r.group.as_deref());
            self.line(format_args!("     {}", RuleLine { rule, track_group }));
        }
        self.section_of("Static Track groups", &config.track_groups);
        for group in &config.track_groups {
            self.line(format_args!(" Static Track Group = {}", group.name));
            self.list("VRRP member instances", &group.members);
        }
    }

    fn instance(
        &mut self,
        i: &Instance,
        group: Option<&str>,
        now: Option<&InstanceSnapshot>,
        times: &Times,
    ) {
        self.line(format_args!(" VRRP Instance = {}", i.name));
        self.pair("VRRP Version", number_of(i.version));
        if let Some(group) = group {
            self.pair("Sync group", group);
        }
        if i.family == Family::V6 {
            self.line("   Using Native IPv6");
        }
        if let Some(now) = now {
            self.state(i, now, times);
        } else {
            self.flags(i);
        }
        if let Some(interface) = &i.interface {
            self.pair("Interface", interface);
        }
        if i.dont_track_primary {
            self.line("   VRRP interface tracking disabled");
        }
        if i.skip_check_adv_addr {
            self.line("   Skip checking advert IP addresses");
        }
        let in_use = now.and_then(|n| n.source);
        match (i.source, in_use) {
            (Some(source), _) => {
                let source = format_args!("{source} (from configuration)");
                self.pair("Using src_ip", source);
            }
            (None, Some(source)) => self.pair("Using src_ip", source),
            (None, None) => self.pair("Using src_ip", "(none)"),
        }
        match &i.unicast {
            None => self.line(format_args!("   Multicast address {}", i.mcast_group)),
            Some(unicast) => {
                let peers = unicast.peers.iter().map(|p| p.addr);
                self.list("Unicast Peer", peers);
            }
        }
        self.garp(i);
        self.pair("Virtual Router ID", i.vrid);
        self.pair("Priority", i.priority);
        if let Some(now) = now {
            self.pair("Effective priority", now.effective_priority);
            self.pair("Total priority", now.effective_priority);
        }
        let interval = i.advert_int;
        match i.version {
            Version::V2 => self.pair("Advert interval", Seconds(interval)),
            Version::V3 => {
                let ms = interval.as_millis();
                self.pair("Advert interval", format_args!("{ms} milli-sec"));
            }
        }
        if let Some(now) = now {
            let at = now.last_sent_at.map_or(Duration::ZERO, |at| times.wall(at));
            self.pair("Last advert sent", Micros(at));
        }
        self.pair("Preempt", enabled(i.preempt));
        if i.preempt_delay > Duration::ZERO {
            let secs = i.preempt_delay.as_secs();
            self.pair("Preempt delay", format_args!("{secs} secs"));
        }
        match (i.version, &i.auth) {
            (Version::V2, Auth::None) => self.pair("Authentication type", "none"),
            (_, Auth::Pass(_)) => {
                self.pair("Authentication type", "SIMPLE_PASSWORD");
                self.pair("Password", "********");
            }
            (_, Auth::Ah(_)) => {
                self.pair("Authentication type", "IPSEC_AH");
                self.pair("Password", "********");
            }
            (_, Auth::Hmac(hmac)) => {
                self.pair("Authentication extension", "HMAC-SHA256");
                self.pair("Active key", hmac.active);
            }
            (Version::V3, Auth::None) => {}
        }
        let set = now.is_some_and(|n| n.state == VrrpState::Master);
        let shown = |addr: &VirtualAddress| Address::held(addr, set).to_string();
        self.line(format_args!("   Virtual IP ({}):", i.addresses.len()));
        for a in &i.addresses {
            self.line(format_args!("     {}", shown(a)));
        }
        self.list("Virtual IP Excluded", i.excluded.iter().map(shown));
        let route = |route| RouteLine {
            route,
            track_group: None,
        };
        self.list("Virtual Routes", i.routes.iter().map(route));
        let rule = |rule| RuleLine {
            rule,
            track_group: None,
        };
        self.list("Virtual Rules", i.rules.iter().map(rule));
        self.tracked(&i.track_interfaces, &i.track_scripts, &i.other_tracks);
        self.pair("Using smtp notification", yes(i.notify.mail));
        let deletion = match i.notify.deletion {
            Deletion::AsFault => "Fault",
            Deletion::Told(_) => "Deleted",
        };
        self.pair("Notify deleted", deletion);
        self.notify(&i.notify);
        self.pair("Notify priority changes", i.notify.priority_changes);
    }

    /// The lines that change while the daemon runs.
    fn state(&mut self, i: &Instance, now: &InstanceSnapshot, times: &Times) {
        self.pair("State", now.state.word());
        if let Some(master) = &now.master {
            self.pair("Master router", master.addr);
            self.pair("Master priority", master.priority);
            if i.version == Version::V3 {
                let ms = master.interval.as_millis();
                self.pair("Master advert interval", format_args!("{ms} milli-sec"));
            }
        }
        self.flags(i);
        self.pair("Wantstate", now.state.word());
        self.pair("Number of config faults", 0);
        let of_trackers = |c: &&FaultCause| match c {
            FaultCause::Script(_)
            | FaultCause::ScriptPending(_)
            | FaultCause::File(_)
            | FaultCause::Process(_)
            | FaultCause::Bfd(_) => true,
            FaultCause::InterfaceDown(name) | FaultCause::InterfaceUp(name) => {
                Some(name) != i.interface.as_ref()
            }
            FaultCause::NoSource(_) | FaultCause::SourceMissing(_) | FaultCause::NoPeer => false,
        };
        let trackers = now.causes.iter().filter(of_trackers).count();
        self.pair("Number of tracker faults", trackers);
        let own = now.causes.iter().filter_map(|c| match c {
            FaultCause::InterfaceDown(name) if Some(name) == i.interface.as_ref() => {
                Some("i/f down")
            }
            FaultCause::NoSource(_) | FaultCause::SourceMissing(_) => Some("no source IP address"),
            FaultCause::NoPeer => Some("no unicast peers"),
            FaultCause::InterfaceDown(_)
            | FaultCause::InterfaceUp(_)
            | FaultCause::Script(_)
            | FaultCause::File(_)
            | FaultCause::Process(_)
            | FaultCause::Bfd(_)
            | FaultCause::ScriptPending(_) => None,
        });
        let own: Vec<_> = own.collect();
        if own.is_empty() {
            self.line("   Flags of interface faults - (none)");
        } else {
            self.line("   Flags of interface faults:");
            own.iter().for_each(|c| self.line(format_args!("     {c}")));
        }
        let pending = |c: &&FaultCause| matches!(c, FaultCause::ScriptPending(_));
        let pending = now.causes.iter().filter(pending).count();
        self.pair("Number of track scripts init", pending);
        let since = now.since.map_or(Duration::ZERO, |at| times.wall(at));
        self.pair("Last transition", times.full(since));
        if now.counters.overslept > 0 {
            self.pair("Late wake-ups", now.counters.overslept);
        }
        match now.read_until {
            Some(at) => self.pair("Read timeout", times.full(times.wall(at))),
            None => self.pair("Read timeout", "DISABLED"),
        }
        let down = now.master_down.as_micros();
        self.pair("Master down timer", format_args!("{down} usecs"));
    }

    fn flags(&mut self, i: &Instance) {
        let any = !i.preempt || i.skip_check_adv_addr || i.dont_track_primary;
        self.line(if any { "   Flags:" } else { "   Flags: none" });
    }

    fn garp(&mut self, i: &Instance) {
        let g = &i.garp;
        let pairs: [(&str, &dyn Display); 9] = [
            ("Gratuitous ARP delay", &g.master_delay.as_secs()),
            ("Gratuitous ARP repeat", &g.master_repeat),
            ("Gratuitous ARP refresh", &g.master_refresh.as_secs()),
            ("Gratuitous ARP refresh repeat", &g.master_refresh_repeat),
            (
                "Gratuitous ARP lower priority delay",
                &g.lower_prio_delay.as_secs(),
            ),
            ("Gratuitous ARP lower priority repeat", &g.lower_prio_repeat),
            ("Down timer adverts", &i.down_timer_adverts),
            (
                "Send advert after receive lower priority advert",
                &!i.lower_prio_no_advert,
            ),
            (
                "Send advert after receive higher priority advert",
                &i.higher_prio_send_advert,
            ),
        ];
        for (label, value) in pairs {
            self.pair(label, value);
        }
    }

    fn group(&mut self, g: &SyncGroup, snapshots: &[InstanceSnapshot]) {
        let members = || {
            let mine = |s: &&InstanceSnapshot| g.members.contains(&s.instance.name);
            snapshots.iter().filter(mine)
        };
        // The members of a group are in one state, or on their way to it.
        let state = members().next().map_or("INIT", |s| s.state.word());
        self.line(format_args!(" VRRP Sync Group = {}, {state}", g.name));
        let faulty = members().filter(|s| s.state == VrrpState::Fault).count();
        let init = members().filter(|s| s.since.is_none()).count();
        self.line(format_args!(
            "   Num member fault {faulty}, num member init {init}"
        ));
        self.list("VRRP member instances", &g.members);
        self.pair("Using smtp notification", yes(g.notify.mail));
        self.tracked(&g.track_interfaces, &g.track_scripts, &g.other_tracks);
        self.notify(&g.notify);
    }

    fn tracked(
        &mut self,
        interfaces: &[InterfaceTrack],
        scripts: &[ScriptTrack],
        others: &OtherTracks,
    ) {
        let line =
            |name: &str, weight, reverse| format!("{name} weight {}", Weighted(weight, reverse));
        let lines = interfaces
            .iter()
            .map(|t| line(t.interface.as_str(), t.weight, t.reverse));
        self.list("Tracked interfaces", lines);
        let lines = scripts.iter().map(|t| line(&t.script, t.weight, t.reverse));
        self.list("Tracked scripts", lines);
        let OtherTracks {
            files,
            processes,
            bfds,
        } = others;
        for (label, tracked, mark) in [
            ("Tracked files", files, ','),
            ("Tracked processes", processes, ','),
            ("Tracked BFDs", bfds, ':'),
        ] {
            let line = |t: &crate::model::track::Tracked| {
                format!("{}{mark} weight {}", t.name, Weighted(t.weight, t.reverse))
            };
            self.list(label, tracked.iter().map(line));
        }
    }

    fn notify(&mut self, n: &Notify) {
        let deleted = match &n.deletion {
            Deletion::Told(script) => script.as_ref(),
            Deletion::AsFault => None,
        };
        let scripts = [
            ("Backup", n.backup.as_ref()),
            ("Master", n.master.as_ref()),
            ("Fault", n.fault.as_ref()),
            ("Stop", n.stop.as_ref()),
            ("Deleted", deleted),
            ("Generic", n.any.as_ref()),
            ("Master rx lower pri", n.rx_lower_pri.as_ref()),
        ];
        for (event, script) in scripts {
            if let Some(script) = script {
                let label = format!("{event} state transition script");
                self.pair(&label, Quoted(&script.command));
            }
        }
    }

    fn script(&mut self, s: &Script, config: &Config, now: Option<&ScriptSnapshot>) {
        self.line(format_args!(" VRRP Script = {}", s.name));
        self.pair("Command", super::words::Words(&s.command));
        self.pair("Interval", Seconds(s.interval));
        self.pair("Timeout", Seconds(s.timeout));
        self.pair("Rise", s.rise);
        self.pair("Fall", s.fall);
        if let Some(now) = now {
            self.pair("Result", now.result);
            let init = if now.good.is_none() {
                "INIT"
            } else {
                "unknown"
            };
            self.pair("Init state", init);
            let good = now.result >= s.rise;
            self.pair("Status", if good { "GOOD" } else { "BAD" });
        }
        let (uid, gid) = s.command.user.as_ref().map_or((0, 0), |u| (u.uid, u.gid));
        self.pair("Script uid:gid", format_args!("{uid}:{gid}"));
        self.line("   VRRP instances :");
        let tracks = config.instances.iter().flat_map(|i| {
            let mine = i.track_scripts.iter().filter(|t| t.script == s.name);
            mine.map(|t| format!("{}, weight {}", i.name, Weighted(t.weight, t.reverse)))
        });
        self.list("Tracking instances", tracks);
        let Some(now) = now else {
            return;
        };
        self.pair(
            "State",
            match now.run {
                RunState::Idle => "idle",
                RunState::Running => "running",
                RunState::Terminated => "requested termination",
                RunState::Killed => "forcing termination",
            },
        );
        // keepalived: says nothing about runs that are over.
        if let Some((outcome, took)) = now.last {
            let took = Micros(took);
            match outcome {
                Outcome::Status(n) => {
                    self.pair("Last run", format_args!("exit status {n} after {took} sec"));
                }
                Outcome::Signal(n) => {
                    self.pair("Last run", format_args!("signal {n} after {took} sec"));
                }
            }
        }
        if now.stuck > 0 {
            self.pair("Stuck runs", now.stuck);
        }
    }

    fn track_file(&mut self, t: &TrackFile, config: &Config, now: Option<&i32>) {
        self.line(format_args!(" Track file = {}", t.name));
        self.pair("File", t.path.display());
        if let Some(value) = now {
            self.pair("Status", value);
        }
        self.pair("Weight", Weighted(t.weight, t.reverse));
        self.trackers(config, |o| &o.files, &t.name);
    }

    fn track_process(&mut self, t: &TrackProcess, config: &Config, now: Option<&ProcessSnapshot>) {
        self.line(format_args!(" VRRP Track process = {}", t.name));
        let (process, parameters) = t
            .process
            .split_first()
            .map_or(("", &[][..]), |(p, rest)| (&**p, rest));
        self.pair("Process", process);
        if !parameters.is_empty() {
            let quoted: Vec<_> = parameters.iter().map(|p| format!("'{p}'")).collect();
            self.pair("Parameters", quoted.join(" "));
        }
        match t.arguments {
            Arguments::Any => {}
            Arguments::Exact => self.pair("Param match", "exact"),
            Arguments::Initial => self.pair("Param match", "initial"),
            Arguments::Partial => self.pair("Param match", "partial"),
        }
        self.pair("Min processes", t.quorum);
        if let Some(max) = t.quorum_max {
            self.pair("Max processes", max);
        }
        if let Some(now) = now {
            self.pair("Current processes", now.count);
            self.pair("Have quorum", now.good == Some(true));
        }
        self.pair("Weight", Weighted(t.weight, t.reverse));
        self.pair(
            "Terminate delay",
            format_args!("{}s", Micros(t.terminate_delay)),
        );
        self.pair("Fork delay", format_args!("{}s", Micros(t.fork_delay)));
        if let Some(now) = now {
            let word = |runs: bool| if runs { "" } else { "not " };
            let (up, down) = (now.good == Some(false), now.good == Some(true));
            let (up, down) = (word(now.delayed && up), word(now.delayed && down));
            self.line(format_args!("   Fork delay timer {up}running"));
            self.line(format_args!("   Terminate delay timer {down}running"));
        }
        self.pair("Full command", t.full_command);
        self.trackers(config, |o| &o.processes, &t.name);
    }

    /// Who tracks the thing of that name.
    fn trackers(
        &mut self,
        config: &Config,
        of: impl Fn(&OtherTracks) -> &[crate::model::track::Tracked],
        name: &str,
    ) {
        let lines = config.instances.iter().flat_map(|i| {
            let mine = of(&i.other_tracks).iter().filter(|t| &*t.name == name);
            mine.map(|t| format!("{}, weight {}", i.name, Weighted(t.weight, t.reverse)))
        });
        let lines: Vec<_> = lines.collect();
        self.list("Tracking instances", lines);
    }
}

/// `W` or `W reverse`.
struct Weighted(Weight, bool);

impl Display for Weighted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let weight = match self.0 {
            Weight::Fault => 0,
            Weight::Adjust(n) => n,
        };
        write!(f, "{weight}{}", if self.1 { " reverse" } else { "" })
    }
}

fn number_of(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::global::Global;
    use crate::model::net::IfName;
    use crate::model::vrrp::Vrid;

    pub(crate) const UTC: Times = Times {
        origin: Duration::from_secs(1_795_264_464),
        local: |_| ("Sat Nov 21 12:34:24".into(), 2026),
    };

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
            since: None,
            master: None,
            read_until: None,
            master_down: Duration::from_secs(3),
            last_sent_at: None,
            source: None,
            causes: Vec::new(),
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
        let text = data(&config, &[now], &TrackSnapshot::default(), &UTC);
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
        assert_eq!(
            attribute(
                &data(&config, &[], &TrackSnapshot::default(), &UTC),
                "State"
            ),
            None
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let mut instance = Instance::clone(&snapshot("VI_1").instance);
        instance.auth = Auth::Pass(*b"secret12");
        let config = Config {
            instances: vec![Arc::new(instance)],
            ..Config::default()
        };
        let text = data(&config, &[], &TrackSnapshot::default(), &UTC);
        assert_eq!(attribute(&text, "Password"), Some("********"));
        assert!(!text.contains("secret12"));
    }
}
