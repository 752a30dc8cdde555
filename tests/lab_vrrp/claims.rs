//! What a master says of others who answer for its addresses.

use std::net::Ipv4Addr;

use crate::kernel::{PATIENCE, conf};
use crate::lab::Lan;
use crate::lab::daemon::now;
use crate::lab::frame::Seen;
use crate::lab::root;
use crate::routers::Which::{Ours, Stock};
use crate::routers::{VIP, lan};

const SAID: &str = "is on another machine, too";

/// Asks for the address in nobody's name.
fn probes(seen: &Seen) -> bool {
    let vip: Ipv4Addr = VIP.parse().expect("an address");
    let field = |from: usize, to: usize| seen.octets.get(from..to).unwrap_or_default();
    field(12, 14) == [8, 6] && field(28, 32) == [0; 4] && field(38, 42) == vip.octets()
}

/// Waits until `node` has asked again, and whoever wanted to answer had the time that an answer is doubted.
fn asked(lan: &Lan, node: usize) {
    let since = now();
    lan.wait("it asks", PATIENCE, |seen| {
        let mut later = seen.iter().filter(|s| s.node == node && s.at > since);
        later.any(probes).then_some(())
    });
    let asked = now();
    lan.advert("time passes", node, asked + 1_500_000_000, |_| true);
}

#[test]
fn a_machine_that_has_the_address_too_is_named() {
    if !root() {
        return;
    }
    let lan = lan();
    lan.node(1).ip(&format!("addr add {VIP}/24 dev eth0"));
    let router = Ours.start(lan.node(0), &conf("", &format!("{VIP}/24"), ""));
    router.wait_log(SAID);
    let mac = lan.node(1).ip("-o link show dev eth0");
    let words: Vec<&str> = mac.split_whitespace().collect();
    let at = words.iter().position(|w| *w == "link/ether");
    let mac = at.and_then(|at| words.get(at + 1)).expect("an address");
    router.wait_log(&format!("(V) {VIP} {SAID}: {mac} answers ARP for it"));
    // What it says changes nothing.
    assert!(lan.node(0).has(VIP));
}

#[test]
fn with_a_vmac_it_asks_below() {
    if !root() {
        return;
    }
    let lan = lan();
    lan.node(1).ip(&format!("addr add {VIP}/24 dev eth0"));
    let router = Ours.start(lan.node(0), &conf("", &format!("{VIP}/24"), "use_vmac"));
    router.wait_log(SAID);
}

#[test]
fn routers_that_change_their_roles_say_nothing_of_it() {
    if !root() {
        return;
    }
    for (better, worse) in [(Ours, Ours), (Stock, Ours), (Ours, Stock)] {
        let lan = lan();
        let addresses = format!("{VIP}/24");
        // A busy machine must not make masters of both.
        let conf = conf("", &addresses, "").replace("advert_int 0.1", "advert_int 0.3");
        let lower = conf.replace("priority 150", "priority 100");
        let backup = worse.start(lan.node(1), &lower);
        lan.advert("one is master", 1, 0, |a| a.priority == 100);
        if worse == Ours {
            asked(&lan, 1);
        }
        let master = better.start(lan.node(0), &conf);
        lan.advert("the better one is", 0, 0, |a| a.priority == 150);
        if better == Ours {
            asked(&lan, 0);
        }
        lan.cable(0, false);
        let failed = now();
        lan.advert("the other again", 1, failed, |a| a.priority == 100);
        if worse == Ours {
            asked(&lan, 1);
        }
        for daemon in [&master, &backup] {
            assert!(!daemon.log().contains(SAID), "{}", lan.story());
        }
    }
}

#[test]
fn it_can_be_told_not_to_ask() {
    if !root() {
        return;
    }
    let lan = lan();
    lan.node(1).ip(&format!("addr add {VIP}/24 dev eth0"));
    let text = conf("vrrp_arp_probe off", &format!("{VIP}/24"), "");
    let router = Ours.start(lan.node(0), &text);
    router.wait_log("Entering MASTER STATE");
    let master = now();
    // Later than a first question would come.
    lan.advert("time passes", 0, master + 2_500_000_000, |_| true);
    assert!(!lan.events().iter().any(probes), "{}", lan.story());
    assert!(!router.log().contains(SAID));
}
