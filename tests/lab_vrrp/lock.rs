//! The kernel has one lock for all changes of its network configuration. Whoever holds it, adverts go out in time.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::daemon::now;
use crate::lab::ns::Namespace;
use crate::lab::root;
use crate::lab::witness::stood_still;
use crate::routers::Which::Ours;
use crate::routers::{VIP, lan};

/// Pairs of interfaces that are deleted at one stroke: that takes the lock for most of a second.
const PAIRS: usize = 3000;
/// The address of W.
const OTHER: &str = "10.66.0.101";
const INTERVAL: Duration = Duration::from_millis(100);

/// V alone here; W better at the other router, with an interval so short that its takeover falls into the time for which
/// the lock is held.
fn conf(w: u8) -> String {
    format!(
        "vrrp_instance V {{
    interface eth0
    virtual_router_id 66
    priority {w}
    version 3
    advert_int 0.1
    virtual_ipaddress {{
        {VIP}/24
    }}
}}
vrrp_instance W {{
    interface eth0
    virtual_router_id 67
    priority {}
    version 3
    advert_int 0.05
    virtual_ipaddress {{
        {OTHER}/24
    }}
}}
",
        250 - w
    )
}

#[test]
fn a_lock_that_is_held_for_long_delays_no_advertisement() {
    if !root() {
        return;
    }
    let lan = lan();
    let mut other = Ours.start(lan.node(1), &conf(100));
    lan.node(1).wait_has(OTHER, true);
    let _router = Ours.start(lan.node(0), &conf(150));
    lan.node(0).wait_has(VIP, true);
    lan.node(1).wait_has(OTHER, true);
    let crowd = Namespace::new();
    let mut batch = String::new();
    for n in 0..PAIRS {
        let _ = writeln!(batch, "link add a{n} group 7 type veth peer name b{n}");
    }
    let batch = lan.node(0).file("crowd", &batch, 0o644);
    crowd.ip(&format!("-batch {}", batch.display()));
    let mut command = Command::new("ip");
    command
        .args(["link", "del", "group", "7"])
        .stdin(Stdio::null());
    let from = other.kill();
    let mut deletion = crowd.spawn(&mut command).expect("iproute2 is installed");
    assert!(deletion.wait().expect("it ends").success());
    let held = Duration::from_nanos(now() - from);
    lan.node(0).wait_has(OTHER, true);
    let until = now();
    lan.advert("adverts go on", 0, until, |a| a.vrid == 66);
    let times: Vec<u64> = lan
        .events()
        .iter()
        .filter(|s| s.node == 0 && s.advert().is_some_and(|a| a.vrid == 66))
        .map(|s| s.at)
        .collect();
    let gaps = times.windows(2).filter(|w| w[1] >= from && w[0] <= until);
    let longest = gaps.map(|w| Duration::from_nanos(w[1] - w[0])).max();
    let longest = longest.expect("adverts meanwhile");
    // Half an interval more than one; a busy machine gets a part of the time that the lock was held for.
    let bound = INTERVAL * 3 / 2 + held / 5 + stood_still(from, until);
    assert!(
        longest <= bound,
        "the lock was held for {held:?}, an advertisement came after {longest:?}\n{}",
        lan.story()
    );
}
