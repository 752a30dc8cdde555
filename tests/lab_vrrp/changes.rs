//! Interfaces that come, go, change their name, their size, their owner or their machine under a running router.

mod elsewhere;

use nix::sys::signal::Signal;

use crate::kernel::{PATIENCE, conf, wait_shows};
use crate::lab::daemon::{Daemon, now};
use crate::lab::ns::Namespace;
use crate::lab::{Lan, root, until_or};
use crate::routers::Which::{self, Ours, Stock};
use crate::routers::{VIP, lan};

/// Priority 150 on node 0, priority 100 on node 1, at 100 ms; the first one is master. The other one waits for a second
/// and more, since a busy machine must not make it one.
fn pair(before: &str, more: &str) -> (Lan, Daemon, Daemon) {
    let lan = lan();
    let more = format!("down_timer_adverts 10\n {more}");
    let text = conf(before, &format!("{VIP}/24"), &more);
    let master = Ours.start(lan.node(0), &text);
    lan.node(0).wait_has(VIP, true);
    let backup = Ours.start(lan.node(1), &text.replace("priority 150", "priority 100"));
    backup.wait_log("(V) Entering BACKUP STATE");
    (lan, master, backup)
}

/// Node 0 loses its address to node 1 and takes it back: `away` and `back` are done to it.
fn leaves_and_returns(away: &dyn Fn(&Lan), back: &dyn Fn(&Lan)) {
    if !root() {
        return;
    }
    let (lan, master, _backup) = pair("", "");
    away(&lan);
    master.wait_log("(V) Entering FAULT STATE");
    lan.node(1).wait_has(VIP, true);
    back(&lan);
    master.wait_log_times("(V) Entering MASTER STATE", 2);
    lan.node(0).wait_has(VIP, true);
    lan.node(1).wait_has(VIP, false);
}

#[test]
fn an_interface_that_is_renamed_takes_no_address_along_and_may_come_back() {
    leaves_and_returns(
        &|lan| {
            let node = lan.node(0);
            node.ip("link set eth0 down");
            node.ip("link set eth0 name other");
            node.ip("link set other up");
            wait_shows(node, "addr show dev other", VIP, false);
        },
        &|lan| {
            let node = lan.node(0);
            node.ip("link set other down");
            node.ip("link set other name eth0");
            node.ip("link set eth0 up");
        },
    );
}

#[test]
fn an_interface_that_is_renamed_while_it_is_up_takes_no_address_along() {
    leaves_and_returns(
        &|lan| {
            lan.node(0).ip("link set eth0 name other");
            wait_shows(lan.node(0), "addr show dev other", VIP, false);
        },
        &|lan| _ = lan.node(0).ip("link set other name eth0"),
    );
}

#[test]
fn an_interface_that_is_deleted_and_made_again_is_the_same_to_its_instance() {
    leaves_and_returns(&|lan| _ = lan.node(0).ip("link del eth0"), &|lan| {
        lan.plug(0, "10.66.0.1/24", "02:00:00:00:00:77")
    });
}

#[test]
fn an_interface_that_is_moved_to_another_namespace_and_back_is_the_same_to_its_instance() {
    if !root() {
        return;
    }
    let elsewhere = Namespace::new();
    leaves_and_returns(
        &|lan| {
            _ = lan
                .node(0)
                .ip(&format!("link set eth0 netns {}", elsewhere.path()))
        },
        &|lan| {
            let back = lan.node(0).ns.path();
            elsewhere.ip(&format!("link set eth0 netns {back}"));
            lan.node(0).ip("link set eth0 up");
            lan.node(0).ip("addr add 10.66.0.1/24 dev eth0");
        },
    );
}

/// Node 0 speaks, and nobody else does, for ten advertisements after `since`.
fn goes_on(lan: &Lan, since: u64) {
    lan.wait("ten advertisements", PATIENCE, |seen| {
        let ours = seen.iter().filter(|s| s.node == 0 && s.at > since);
        (ours.filter(|s| s.priority() == Some(150)).count() >= 10).then_some(())
    });
    let seen = lan.events();
    let other = |s: &&crate::lab::frame::Seen| {
        s.at > since && s.advert().is_some() && (s.node != 0 || s.priority() != Some(150))
    };
    assert!(!seen.iter().any(|s| other(&s)), "{}", lan.story());
}

#[test]
fn another_mtu_another_group_or_an_alias_is_no_transition() {
    if !root() {
        return;
    }
    let (lan, master, backup) = pair("", "");
    let changed = now();
    for change in [
        "link set eth0 mtu 1400",
        "link set eth0 mtu 1500",
        "link set eth0 group 7",
        "link set eth0 alias uplink",
        "link set eth0 txqueuelen 10",
        "link set eth0 allmulticast on",
    ] {
        lan.node(0).ip(change);
    }
    goes_on(&lan, changed);
    for daemon in [&master, &backup] {
        let log = daemon.log();
        assert_eq!(
            log.matches("Entering").count(),
            log.matches("(V) Entering").count()
        );
        assert!(!log.contains("FAULT"), "{log}");
    }
}

#[test]
fn a_port_of_a_bridge_goes_on_speaking() {
    if !root() {
        return;
    }
    // keepalived: a port that leaves its bridge is taken for an interface that is deleted, for the kernel says so to
    // those who ask about bridges.
    let (lan, master, _backup) = pair("", "");
    let changed = now();
    lan.node(0).ip("link add br9 type bridge");
    lan.node(0).ip("link set eth0 master br9");
    goes_on(&lan, changed);
    let freed = now();
    lan.node(0).ip("link set eth0 nomaster");
    goes_on(&lan, freed);
    assert!(!master.log().contains("FAULT"), "{}", master.log());
}

#[test]
fn a_link_that_blinks_within_its_delay_is_no_transition() {
    if !root() {
        return;
    }
    // The delay may not exceed what a backup waits: two and a half intervals of a second.
    let delays = "}\ninterface_up_down_delays {\n eth0 2 1\n";
    let lan = lan();
    let text = conf(delays, &format!("{VIP}/24"), "").replace("advert_int 0.1", "advert_int 1");
    let master = Ours.start(lan.node(0), &text);
    lan.node(0).wait_has(VIP, true);
    let gone = now();
    lan.cable(0, false);
    wait_shows(lan.node(0), "link show eth0", "NO-CARRIER", true);
    lan.cable(0, true);
    wait_shows(lan.node(0), "link show eth0", "NO-CARRIER", false);
    let back = now();
    lan.advert("it goes on", 0, back + 2_500_000_000, |a| a.priority == 150);
    // On a busy machine it is no blink.
    let brief = back - gone < 1_900_000_000;
    let fault = master.log().contains("FAULT");
    assert!(!brief || !fault, "{}", master.log());
    let times = |line: &str| master.log().matches(line).count();
    let lines = ["(V) Entering FAULT STATE", "(V) Entering BACKUP STATE"];
    let before = lines.map(times);
    let pulled = now();
    lan.cable(0, false);
    master.wait_log_times(lines[0], before[0] + 1);
    assert!(now() - pulled >= 1_900_000_000, "{}", master.log());
    let plugged = now();
    lan.cable(0, true);
    master.wait_log_times(lines[1], before[1] + 1);
    assert!(now() - plugged >= 900_000_000, "{}", master.log());
}

#[test]
fn a_link_that_is_asked_is_known_by_whatever_way_works() {
    if !root() {
        return;
    }
    for way in ["", "MII", "ETHTOOL", "IOCTL"] {
        let polled = format!("}}\nlinkbeat_interfaces {{\n eth0 {way}\n");
        let lan = lan();
        let master = Ours.start(lan.node(0), &conf(&polled, &format!("{VIP}/24"), ""));
        lan.node(0).wait_has(VIP, true);
        lan.cable(0, false);
        master.wait_log("(V) Entering FAULT STATE");
        lan.cable(0, true);
        master.wait_log_times("(V) Entering MASTER STATE", 2);
        lan.node(0).wait_has(VIP, true);
        // These interfaces have no MII.
        let told = "linkbeat: it does not answer in the configured way";
        assert_eq!(
            master.log().matches(told).count(),
            usize::from(way == "MII"),
            "{}",
            master.log()
        );
    }
}

/// What a router does when somebody takes away a static address or route that its instance depends on.
fn deprived(which: Which, deletion: &str) -> (bool, bool) {
    let lan = lan();
    let statics = "
track_group tied {
    group {
        V
    }
}
static_ipaddress {
    10.9.9.9/24 dev eth0 track_group tied
}
static_routes {
    10.20.0.0/16 via 10.66.0.2 dev eth0 track_group tied
}
";
    let text = conf("", &format!("{VIP}/24"), "") + statics;
    let router = which.start(lan.node(0), &text);
    lan.node(0).wait_has(VIP, true);
    wait_shows(lan.node(0), "route", "10.20.0.0/16", true);
    let deleted = now();
    lan.node(0).ip(deletion);
    // Whoever minds does so long before he has spoken so often.
    let resigned = lan.wait("it resigns or goes on", PATIENCE, |seen| {
        let since = seen.iter().filter(|s| s.at >= deleted);
        let told = since.filter_map(crate::lab::frame::Seen::priority);
        let told: Vec<u8> = told.collect();
        let resigned = told.contains(&0);
        (resigned || told.len() > 50).then_some(resigned)
    });
    router.wait_log_times("(V) Entering MASTER STATE", 1 + usize::from(resigned));
    let shown = lan.node(0).ip("addr") + &lan.node(0).ip("route");
    let whole = shown.contains("10.9.9.9") && shown.contains("10.20.0.0/16");
    (resigned, whole)
}

#[test]
fn a_static_entry_of_a_track_group_is_missed_by_its_instances() {
    if !root() {
        return;
    }
    for deletion in ["addr del 10.9.9.9/24 dev eth0", "route del 10.20.0.0/16"] {
        let (ours, stock) = (deprived(Ours, deletion), deprived(Stock, deletion));
        assert_eq!(ours.0, stock.0, "{deletion}: {ours:?}, stock {stock:?}");
    }
}

/// How often each address is announced in the three and a half seconds after the router has become master.
fn announced(which: Which, more: &str) -> [usize; 2] {
    let lan = lan();
    let more = format!("garp_extra_if 1\n garp_master_delay 0\n garp_master_repeat 1\n {more}");
    let addresses = "10.66.0.100/24\n 10.66.0.101/24";
    let _master = which.start(lan.node(0), &conf("", addresses, &more));
    let first = lan.advert("it is master", 0, 0, |a| a.priority == 150);
    // By its own clock: whatever was due before this one has left, however late, and nothing that is due after it.
    let end = first.at + 3_500_000_000;
    let end = lan.advert("it still is", 0, end, |_| true).at;
    let end = lan.advert("and still", 0, end + 1, |_| true).at;
    let seen = lan.events();
    ["10.66.0.100", "10.66.0.101"].map(|addr| {
        let ours = seen.iter().filter(|s| s.announces(addr) && s.at < end);
        ours.count()
    })
}

#[test]
fn addresses_elsewhere_are_announced_again_and_again_with_garp_extra_if() {
    if !root() {
        return;
    }
    for more in ["use_vmac", ""] {
        let (ours, stock) = (announced(Ours, more), announced(Stock, more));
        assert_eq!(ours, stock, "{more}: ours, stock");
    }
    // Nothing else leaves the VMAC of such an instance, so that switches forget it; 2.2 does not look who speaks.
    assert_eq!(announced(Ours, "use_vmac\n vmac_xmit_base"), [4, 4]);
}

#[test]
fn rules_that_somebody_else_flushes_come_back() {
    if !root() {
        return;
    }
    let lan = lan();
    let node = lan.node(0);
    let router = Ours.start(node, &conf("", &format!("{VIP}/24"), "no_accept"));
    node.wait_has(VIP, true);
    let rules = || crate::vmac::ruleset(node);
    let before = rules();
    assert!(before.contains(VIP), "{before}");
    let mut flush = std::process::Command::new("nft");
    let flushed = node.ns.run(|| flush.args(["flush", "ruleset"]).status());
    assert!(flushed.expect("nftables is installed").success());
    until_or(
        || format!("{before}\n{}\n{}", rules(), router.log()),
        PATIENCE,
        || (rules() == before).then_some(()),
    );
    assert!(!router.log().contains("Entering FAULT"), "{}", router.log());
    assert_eq!(
        router.log().matches("(V) Entering").count(),
        2,
        "backup, then master"
    );
}

#[test]
fn twins_with_other_peers_are_two_routers() {
    if !root() {
        return;
    }
    let lan = Lan::new("eth0", &["10.66.0.1/24", "10.66.0.2/24", "10.66.0.3/24"]);
    let one = |name: &str, peer: u8, vip: &str, priority: u8| {
        format!(
            "vrrp_instance {name} {{
    interface eth0
    virtual_router_id 66
    version 3
    advert_int 0.1
    down_timer_adverts 10
    priority {priority}
    unicast_peer {{
        10.66.0.{peer}
    }}
    virtual_ipaddress {{
        {vip}/24
    }}
}}
"
        )
    };
    let mut master = Ours.start(
        lan.node(0),
        &(one("A", 2, "10.66.0.101", 150) + &one("B", 3, "10.66.0.102", 150)),
    );
    lan.node(0).wait_has("10.66.0.101", true);
    lan.node(0).wait_has("10.66.0.102", true);
    let _a = Ours.start(lan.node(1), &one("A", 1, "10.66.0.101", 100));
    // The better one of this pair.
    let _b = Ours.start(lan.node(2), &one("B", 1, "10.66.0.102", 200));
    lan.node(2).wait_has("10.66.0.102", true);
    master.wait_log("(B) Entering BACKUP STATE");
    lan.node(0).wait_has("10.66.0.102", false);
    assert!(lan.node(0).has("10.66.0.101"), "{}", master.log());
    // The first one leaves the file: the second one does not become what that was.
    let became = |state: &str| {
        master
            .log()
            .matches(&format!("(B) Entering {state}"))
            .count()
    };
    let before = (became("MASTER"), became("BACKUP"));
    let left = now();
    lan.node(0).configure(&one("B", 3, "10.66.0.102", 150));
    master.signal(Signal::SIGHUP);
    master.wait_log("Reload complete");
    lan.node(1).wait_has("10.66.0.101", true);
    lan.node(0).wait_has("10.66.0.101", false);
    lan.advert("the better one goes on", 2, left + 500_000_000, |a| {
        a.priority == 200
    });
    assert!(!lan.node(0).has("10.66.0.102"), "{}", master.log());
    assert_eq!(
        (became("MASTER"), became("BACKUP")),
        before,
        "{}",
        master.log()
    );
    master.stop();
    assert!(!lan.node(2).has("10.66.0.101"));
}
