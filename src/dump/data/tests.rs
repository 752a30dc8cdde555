use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::daemon::bus::VrrpState;
use crate::model::global::Global;
use crate::model::net::IfName;
use crate::model::net::VirtualAddress;
use crate::model::vrrp::{Auth, Instance, Vrid};

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
    instance.addresses = vec![vip.into(), VirtualAddress::new(v6, 64, eth0).into()];
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
        socket: None,
        fds: None,
        causes: Vec::new(),
    }
}

fn of(instances: &[InstanceSnapshot]) -> Now<'_> {
    Now {
        instances,
        ..Now::default()
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
    let text = data(&config, &of(&[now]), &UTC);
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
fn an_address_that_the_firewall_guards_says_so_while_it_is_held() {
    let mut now = snapshot("VI_1");
    Arc::make_mut(&mut now.instance).no_accept = true;
    let config = Config {
        instances: vec![now.instance.clone()],
        ..Config::default()
    };
    let line = "10.10.0.100/24 dev eth0 scope global label eth0:vip set nftable_set\n";
    assert!(data(&config, &of(&[now.clone()]), &UTC).contains(line));
    now.state = VrrpState::Backup;
    assert!(!data(&config, &of(&[now]), &UTC).contains("vip set"));
}

#[test]
fn a_source_of_its_own_is_a_flag_that_has_no_name() {
    let mut now = snapshot("VI_1");
    let flags = |now: &InstanceSnapshot| {
        let config = Config {
            instances: vec![now.instance.clone()],
            ..Config::default()
        };
        let text = data(&config, &of(std::slice::from_ref(now)), &UTC);
        let line = text
            .lines()
            .find(|l| l.starts_with("   Flags") && !l.contains("faults"));
        line.map(str::to_owned)
    };
    assert_eq!(flags(&now).as_deref(), Some("   Flags: none"));
    Arc::make_mut(&mut now.instance).source = Some([10, 0, 0, 1].into());
    assert_eq!(flags(&now).as_deref(), Some("   Flags:"));
}

#[test]
fn without_snapshots_there_is_no_state() {
    let config = Config {
        instances: vec![snapshot("VI_1").instance],
        ..Config::default()
    };
    assert_eq!(
        attribute(&data(&config, &Now::default(), &UTC), "State"),
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
    let text = data(&config, &Now::default(), &UTC);
    assert_eq!(attribute(&text, "Password"), Some("********"));
    assert!(!text.contains("secret12"));
}
