//! Instances and what they need, for tests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Config;
use crate::model::global::Global;
use crate::model::net::{Family, IfName, VirtualAddress};
use crate::model::track::{Command, OtherTracks, Script, Weight};
use crate::model::vrrp::{Instance, Notify, Priority, SyncGroup, Version, Vrid};

pub(super) fn name(s: &str) -> IfName {
    IfName::new(s).expect("a name")
}

pub(super) fn priority(n: u8) -> Priority {
    Priority::new(n).expect("not zero")
}

pub(super) fn vrid(n: u8) -> Vrid {
    Vrid(n.try_into().expect("not zero"))
}

/// `V1` on eth0, virtual router 51, one address 10.0.0.100/24.
pub(super) fn model(priority: u8) -> Instance {
    let mut model = listing(&["10.0.0.100"]);
    model.priority = self::priority(priority);
    model
}

/// `V1` on eth0, virtual router 51, with these addresses; over IPv6 in version 3.
pub(super) fn listing(addrs: &[&str]) -> Instance {
    let mut model = Instance::new("V1", name("eth0"), vrid(51), &Global::default());
    for addr in addrs {
        let addr: IpAddr = addr.parse().expect("an address");
        model.family = addr.into();
        let addr = VirtualAddress::new(addr, 24, name("eth0"));
        model.addresses.push(addr.into());
    }
    if model.family == Family::V6 {
        model.version = Version::V3;
        model.mcast_group = Global::default().vrrp_mcast_group6.into();
    }
    model
}

pub(super) fn config(models: &[Instance]) -> Config {
    Config {
        instances: models.iter().cloned().map(Arc::new).collect(),
        ..Config::default()
    }
}

/// All `models` in one sync group `G`.
pub(super) fn grouped(models: &[Instance]) -> Config {
    Config {
        groups: vec![Arc::new(group(models))],
        ..config(models)
    }
}

/// The sync group `G` of these, which tracks nothing.
pub(super) fn group(models: &[Instance]) -> SyncGroup {
    SyncGroup {
        name: "G".into(),
        members: models.iter().map(|m| m.name.clone()).collect(),
        tracking_weight: false,
        track_interfaces: Vec::new(),
        track_scripts: Vec::new(),
        other_tracks: OtherTracks::default(),
        notify: Notify::default(),
    }
}

/// Once a second, by default a fault when it fails.
pub(super) fn script(name: &str, init_fail: bool) -> Script {
    const SECOND: Duration = Duration::from_secs(1);
    Script {
        name: name.into(),
        command: Command {
            path: "/bin/true".into(),
            argv: Vec::new(),
            user: None,
        },
        interval: SECOND,
        timeout: SECOND,
        rise: 1,
        fall: 1,
        init_fail,
        weight: Weight::Fault,
        reverse: false,
    }
}
