//! One instance, with its state where that is known.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::{Interface, Text};
use crate::daemon::bus::{InstanceSnapshot, VrrpState};
use crate::dump::Times;
use crate::dump::lines::Lines as _;
use crate::dump::words::{Address, Micros, RouteLine, RuleLine, Seconds, enabled, yes};
use crate::model::net::{Family, VirtualAddress};
use crate::model::unicast::{OldChecksum, Unicast};
use crate::model::vrrp::{Auth, Deletion, Instance, Priority, Version};
use crate::vrrp::FaultCause;

impl Text {
    pub(super) fn instance(
        &mut self,
        i: &Instance,
        group: Option<&str>,
        now: Option<&InstanceSnapshot>,
        interfaces: &[Interface],
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
        self.interfaces_of(i, interfaces);
        if i.dont_track_primary {
            self.line("   VRRP interface tracking disabled");
        }
        if i.skip_check_adv_addr {
            self.line("   Skip checking advert IP addresses");
        }
        if i.strict {
            self.line("   Enforcing strict VRRP compliance");
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
        if i.unicast.is_none() {
            let group = i.mcast_group;
            let named = |f: &&Interface| i.voice().is_some_and(|n| n.as_str() == f.name);
            match interfaces.iter().find(named).filter(|_| group.is_ipv6()) {
                Some(f) => self.line(format_args!(
                    "   Multicast address {group}, ifindex {}",
                    f.index
                )),
                None => self.line(format_args!("   Multicast address {group}")),
            }
        }
        self.garp(i);
        if i.priority == Priority::OWNER {
            self.pair(
                "Address owner ignores received adverts",
                i.owner_ignore_adverts,
            );
        }
        self.pair("Virtual Router ID", i.vrid);
        self.pair("Priority", i.priority);
        if let Some(now) = now {
            self.pair("Effective priority", now.effective_priority);
            self.pair("Total priority", now.effective_priority);
        }
        if !i.preempt {
            let other = now.and_then(|n| n.master).map_or(0, |m| m.priority);
            self.pair("Highest other priority", other);
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
        self.pair("Accept", enabled(!i.no_accept));
        self.pair("Preempt", enabled(i.preempt));
        if i.preempt_delay > Duration::ZERO {
            let secs = i.preempt_delay.as_secs();
            self.pair("Preempt delay", format_args!("{secs} secs"));
        }
        self.pair("Promote_secondaries", enabled(i.links.promotes()));
        self.auth(i);
        self.addresses(i, now);
        if let Some(unicast) = &i.unicast {
            self.unicast(i, unicast);
        }
        match now.map(|n| n.fds) {
            Some(Some((hears, speaks))) => {
                self.line(format_args!("   fd_in {hears}, fd_out {speaks}"));
            }
            Some(None) => self.line("   No sockets allocated"),
            None => {}
        }
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
        if now.state == VrrpState::Master && i.priority == Priority::OWNER {
            // keepalived: counts other owners; here each one is a line of the log.
            self.pair("Rogue master counter", 0);
            self.pair("Roger timer thread", "(nil)");
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
        self.own_faults(i, &now.causes);
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
        // keepalived: an owner waits for nobody.
        let down = match i.priority {
            Priority::OWNER => 1,
            _ => now.master_down.as_micros(),
        };
        self.pair("Master down timer", format_args!("{down} usecs"));
    }

    /// Faults of the interface that the instance is on.
    fn own_faults(&mut self, i: &Instance, causes: &[FaultCause]) {
        let own = causes.iter().filter_map(|c| match c {
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
    }

    fn flags(&mut self, i: &Instance) {
        let any = !i.preempt || i.skip_check_adv_addr || i.dont_track_primary;
        let any = any || i.unicast.is_some() || i.links.own.is_some() || i.source.is_some();
        self.line(if any { "   Flags:" } else { "   Flags: none" });
        if let Some(unicast) = &i.unicast {
            let twin = if i.twin > 0 {
                " with VRID duplication"
            } else {
                ""
            };
            self.line(format_args!("     Using unicast{twin}"));
            if unicast.fault_no_peer {
                self.line("     If unicast go to fault state if no peers");
            }
        }
    }

    /// What it is on, and what that is on.
    fn interfaces_of(&mut self, i: &Instance, interfaces: &[Interface]) {
        let base = i.interface.as_ref();
        let Some(own) = &i.links.own else {
            if let Some(base) = base {
                self.pair("Interface", base);
            }
            if let Some(vrf) = &i.vrf {
                self.pair("VRF", vrf);
            }
            return;
        };
        let name = &own.name;
        let there = interfaces.iter().find(|f| f.name == name.as_str());
        let up = there.is_some_and(Interface::is_up);
        let sort = if own.is_vmac() { "VMAC" } else { "IPVLAN" };
        self.line(format_args!(
            "   Use {sort}, i/f name {name}, is_up = {up}, xmit_base = {}",
            i.links.xmit_base
        ));
        let sort = if own.is_vmac() { "vmac" } else { "ipvlan" };
        let xmit = if i.links.xmit_base {
            ", xmit base i/f"
        } else {
            ""
        };
        let base = &own.base;
        self.pair("Interface", format_args!("{name}, {sort} on {base}{xmit}"));
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
        for (n, (label, value)) in pairs.into_iter().enumerate() {
            self.pair(label, value);
            if let (6, Some(extra)) = (n, g.extra) {
                let sort = if extra.all { "i/f" } else { "VMAC" };
                let secs = extra.interval.as_secs();
                let label = format!("Gratuitous ARP for each secondary {sort}");
                self.pair(&label, format_args!("{secs}s"));
            }
        }
    }

    fn auth(&mut self, i: &Instance) {
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
        if i.version == Version::V3 && i.family == Family::V4 {
            self.pair("VRRPv3 uses VRRPv2 checksum", enabled(i.checksum_as_v2));
        }
    }

    fn addresses(&mut self, i: &Instance, now: Option<&InstanceSnapshot>) {
        let set = now.is_some_and(|n| n.state == VrrpState::Master);
        let shown = |addr: &Arc<VirtualAddress>| Address::held(i, addr, set).to_string();
        self.line(format_args!("   Virtual IP ({}):", i.addresses.len()));
        for a in &i.addresses {
            self.line(format_args!("     {}", shown(a)));
        }
        self.list("Virtual IP Excluded", i.excluded.iter().map(shown));
    }

    fn unicast(&mut self, i: &Instance, u: &Unicast) {
        if let Some(ttl) = u.ttl {
            self.pair("Unicast TTL", ttl);
        } else if i.family == Family::V4 {
            self.pair("Unicast TTL", 255);
        }
        let checked = yes(u.check_source);
        self.line(format_args!("   Check unicast src : {checked}"));
        let peer = |p: &crate::model::unicast::Peer| {
            let (min, max) = (p.ttl.start(), p.ttl.end());
            format!("{} min_ttl {min} max_ttl {max}", p.addr)
        };
        self.list("Unicast Peer", u.peers.iter().map(peer));
        let compatible = match u.old_checksum {
            OldChecksum::Recognised => "no",
            OldChecksum::Always => "yes",
            OldChecksum::Never => "never",
        };
        self.pair("Unicast checksum compatibility", compatible);
    }
}

fn number_of(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}
