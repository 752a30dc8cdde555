//! The interfaces of the machine, and the groups of those that share limits for announcements.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Text, Weighted};
use crate::dump::lines::Lines as _;
use crate::dump::words::Micros;
use crate::model::Config;
use crate::model::links::GarpGroup;
use crate::model::net::IfName;
use crate::model::track::{InterfaceTrack, Weight};
use crate::model::vrrp::Instance;

/// `IFF_*`, netdevice(7).
const UP: u32 = 1;
const BROADCAST: u32 = 2;
const LOOPBACK: u32 = 8;
const RUNNING: u32 = 0x40;
const NOARP: u32 = 0x80;
const MULTICAST: u32 = 0x1000;

/// What kind of link-layer address an interface has: `ARPHRD_*`, linux/if_arp.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hardware {
    Ethernet,
    Loopback,
    Other(u16),
}

/// An interface as the kernel tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) index: u32,
    /// `IFF_*`.
    pub(crate) flags: u32,
    pub(crate) mtu: u32,
    pub(crate) group: u32,
    pub(crate) hardware: Hardware,
    /// Link-layer address; of Ethernet only.
    pub(crate) mac: Option<[u8; 6]>,
    /// In the order of the kernel.
    pub(crate) addresses: Vec<IpAddr>,
    /// `net.ipv4.conf.*`, as they are now.
    pub(crate) arp_ignore: u8,
    pub(crate) arp_filter: u8,
    pub(crate) rp_filter: u8,
    pub(crate) promote_secondaries: u8,
}

impl Interface {
    pub(crate) fn is_up(&self) -> bool {
        self.flags & UP != 0 && self.flags & RUNNING != 0
    }

    /// `UP, RUNNING`
    fn state(&self) -> String {
        let has = |flag| self.flags & flag != 0;
        let not = |flag| if has(flag) { "" } else { "not " };
        let mut state = format!("{}UP, {}RUNNING", not(UP), not(RUNNING));
        for (said, word) in [
            (!has(BROADCAST), ", no broadcast"),
            (has(LOOPBACK), ", loopback"),
            (has(NOARP), ", no arp"),
            (!has(MULTICAST), ", no multicast"),
        ] {
            if said {
                state += word;
            }
        }
        state
    }
}

/// Six octets in hexadecimal.
fn mac(octets: [u8; 6]) -> String {
    octets.map(|o| format!("{o:02x}")).join(":")
}

/// Those that were given one, then each interface of an instance by itself where there are limits for all.
fn garp_groups(config: &Config) -> Vec<GarpGroup> {
    let mut groups = config.garp_groups.clone();
    let (garp, gna) = (config.global.garp_interval, config.global.gna_interval);
    if garp.is_zero() && gna.is_zero() {
        return groups;
    }
    let some = |d: Duration| (!d.is_zero()).then_some(d);
    let mut grouped: BTreeSet<IfName> = groups.iter().flat_map(|g| g.interfaces.clone()).collect();
    for interface in config.instances.iter().filter_map(|i| i.interface.as_ref()) {
        if grouped.insert(interface.clone()) {
            groups.push(GarpGroup {
                interfaces: vec![interface.clone()],
                garp_interval: some(garp),
                gna_interval: some(gna),
            });
        }
    }
    groups
}

impl Text {
    /// `Gratuitous ARP delays`.
    pub(super) fn garp_groups(&mut self, config: &Config) {
        let groups = garp_groups(config);
        self.section_of("Gratuitous ARP delays", &groups);
        for group in groups {
            self.section("GARP delay group");
            for (what, interval) in [("GARP", group.garp_interval), ("GNA", group.gna_interval)] {
                if let Some(interval) = interval {
                    self.line(format_args!(" {what} interval = {}", Micros(interval)));
                }
            }
            self.line(" Interfaces");
            for name in &group.interfaces {
                self.line(format_args!("  {name}"));
            }
        }
    }

    pub(super) fn interface(&mut self, i: &Interface, config: &Config, all: &[Interface]) {
        self.line(format_args!(" Name = {}", i.name));
        self.pair("index", i.index);
        let ours = |a: &&IpAddr| {
            let virtuals =
                |v: &Arc<Instance>| v.addresses.iter().chain(&v.excluded).any(|x| x.addr == **a);
            config.instances.iter().any(virtuals)
        };
        let first = |fits: fn(&IpAddr) -> bool| {
            let found = i.addresses.iter().find(|a| fits(a) && !ours(a));
            found.map_or_else(|| "(none)".to_owned(), IpAddr::to_string)
        };
        self.pair("IPv4 address", first(IpAddr::is_ipv4));
        // keepalived: only what advertisements may come from.
        let local = |a: &IpAddr| match a {
            IpAddr::V6(a) => a.is_unicast_link_local(),
            IpAddr::V4(_) => false,
        };
        self.pair("IPv6 address", first(local));
        if let Some(address) = i.mac {
            self.pair("MAC", mac(address));
            self.pair("MAC broadcast", mac([0xff; 6]));
        }
        self.pair("State", i.state());
        self.pair("Seen up", u8::from(i.is_up()));
        self.pair("Delayed state change running", false);
        let delay = config
            .delays
            .iter()
            .find(|d| d.interface.as_str() == i.name);
        let (up, down) = delay.map_or_else(Default::default, |d| (d.up, d.down));
        for (label, delay) in [("Up", up), ("Down", down)] {
            let micros = delay.as_micros();
            let label = format!("{label} debounce timer");
            self.pair(&label, format_args!("{micros}us"));
        }
        self.pair("Group", i.group);
        let on_it = self.own_link(i, config, all);
        self.pair("MTU", i.mtu);
        match i.hardware {
            Hardware::Ethernet => self.pair("HW Type", "ETHERNET"),
            Hardware::Loopback => self.pair("HW Type", "LOOPBACK"),
            Hardware::Other(n) => self.pair("HW Type", format_args!("UNKNOWN ({n})")),
        }
        let mut beats = config.linkbeat.iter();
        let asked =
            config.global.process.linkbeat_polling || beats.any(|b| b.interface.as_str() == i.name);
        if !asked {
            self.line("   NIC netlink status update");
        }
        let groups = garp_groups(config);
        let mut groups = groups.iter();
        if let Some(group) = groups.find(|g| g.interfaces.iter().any(|n| n.as_str() == i.name)) {
            for (what, interval) in [("ARP", group.garp_interval), ("NA", group.gna_interval)] {
                if let Some(interval) = interval {
                    let ms = interval.as_millis();
                    self.line(format_args!("   Gratuitous {what} interval {ms}ms"));
                }
            }
        }
        self.settings(i, config, on_it);
        self.users(i, config);
    }

    /// What is said of an interface that we made. True: it is one.
    fn own_link(&mut self, i: &Interface, config: &Config, all: &[Interface]) -> bool {
        let mut links = config.instances.iter().flat_map(|v| v.links.iter());
        let Some(own) = links.find(|l| l.name.as_str() == i.name) else {
            return false;
        };
        let base = all.iter().find(|b| b.name == own.base.as_str());
        let state = base.map_or_else(|| "not UP, not RUNNING".to_owned(), Interface::state);
        let (sort, base) = match own.is_vmac() {
            true => ("VMAC type private", &own.base),
            false => ("IPVLAN type L2", &own.base),
        };
        self.line(format_args!(
            "   {sort}, underlying interface = {base}, state = {state}"
        ));
        self.line("   I/f created by keepalived");
        true
    }

    fn settings(&mut self, i: &Interface, config: &Config, own: bool) {
        let on_it = config.instances.iter().flat_map(|v| v.links.iter());
        let on_it = on_it.filter(|l| l.base.as_str() == i.name && l.is_vmac() && l.v4);
        let on_it = on_it.count();
        self.line(format_args!("   Reset ARP config counter {on_it}"));
        self.line(format_args!("   Original arp_ignore {}", i.arp_ignore));
        self.line(format_args!("   Original arp_filter {}", i.arp_filter));
        if own || on_it > 0 {
            self.line(format_args!("   rp_filter {}", i.rp_filter));
        }
        let promote = i.promote_secondaries;
        self.line(format_args!("   Original promote_secondaries {promote}"));
        let promoting = config.instances.iter().filter(|v| {
            let here = v.interface.as_ref().is_some_and(|n| n.as_str() == i.name);
            here && v.links.promotes()
        });
        let promoting = promoting.count();
        self.line(format_args!(
            "   Reset promote_secondaries counter {promoting}"
        ));
    }

    /// Which instances look at it: their own first, then those of groups.
    fn users(&mut self, i: &Interface, config: &Config) {
        let here = |t: &&InterfaceTrack| t.interface.as_str() == i.name;
        let line = |name: &str, t: &InterfaceTrack| {
            format!("{name}, weight {}", Weighted(t.weight, t.reverse))
        };
        let mut users = Vec::new();
        for v in &config.instances {
            let own = v.links.own.as_ref().map(|l| l.name.as_str());
            let own = own
                .into_iter()
                .chain(v.interface.as_ref().map(IfName::as_str));
            if own.into_iter().any(|name| name == i.name) && !v.dont_track_primary {
                users.push(format!(
                    "{}, weight {}",
                    v.name,
                    Weighted(Weight::Fault, false)
                ));
            }
            let tracked = v.track_interfaces.iter().filter(here);
            users.extend(tracked.map(|t| line(&v.name, t)));
        }
        for group in &config.groups {
            for t in group.track_interfaces.iter().filter(here) {
                users.extend(group.members.iter().map(|name| line(name, t)));
            }
        }
        self.list("Tracking VRRP instances", users);
    }
}
