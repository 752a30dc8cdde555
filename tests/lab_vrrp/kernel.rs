//! What a router keeps in the kernel when others meddle with it, and what a killed one leaves to its successor.

use crate::lab::daemon::{Daemon, now};
use crate::lab::{Lan, Node, root, until_or};
use crate::routers::Which::{Ours, Stock};
use crate::routers::{VIP, lan};

pub(crate) use crate::lab::PATIENCE;

/// Version 3, an advertisement each 100 ms: master after 0.34 s.
pub(crate) fn conf(before: &str, addresses: &str, more: &str) -> String {
    format!(
        "global_defs {{
    router_id lab
    {before}
}}
vrrp_instance V {{
    interface eth0
    virtual_router_id 66
    priority 150
    version 3
    advert_int 0.1
    virtual_ipaddress {{
        {addresses}
    }}
    {more}
}}
"
    )
}

/// Waits until what ip(8) shows contains a text, or does not.
pub(crate) fn wait_shows(node: &Node, command: &str, text: &str, wanted: bool) {
    until_or(
        || {
            let shown = node.ip(command);
            format!(
                "ip {command}: {text}, {wanted}\n{shown}\n{}",
                node.last_log()
            )
        },
        PATIENCE,
        || (node.ip(command).contains(text) == wanted).then_some(()),
    );
}

/// A router alone, with routes and rules, and static ones.
fn alone(before: &str) -> (Lan, Daemon) {
    let lan = lan();
    let statics = "
static_ipaddress {
    10.9.9.9/24 dev eth0
}
static_routes {
    10.20.0.0/16 via 10.66.0.2 dev eth0
}
static_rules {
    from 10.20.0.0/16 table 20 priority 20
}
";
    let more = "virtual_routes {
        10.30.0.0/16 via 10.66.0.2 dev eth0
        10.31.0.0/16 via 10.66.0.2
    }
    virtual_rules {
        from 10.30.0.0/16 table 30 priority 30
    }";
    let conf = conf(before, &format!("{VIP}/24"), more) + statics;
    let router = Ours.start(lan.node(0), &conf);
    wait_shows(lan.node(0), "rule", "30:", true);
    wait_shows(lan.node(0), "rule", "20:", true);
    (lan, router)
}

#[test]
fn a_deleted_route_or_rule_costs_a_resignation_and_comes_back() {
    if !root() {
        return;
    }
    let (lan, router) = alone("");
    let node = lan.node(0);
    // stock 2.2: it does not notice a route whose interface is left to the kernel.
    let deletions = [
        "route del 10.30.0.0/16",
        "route del 10.31.0.0/16",
        "rule del priority 30",
    ];
    for (turn, deletion) in deletions.iter().enumerate() {
        let deleted = now();
        node.ip(deletion);
        lan.advert("it resigns", 0, deleted, |a| a.priority == 0);
        router.wait_log_times("(V) Entering MASTER STATE", turn + 2);
        wait_shows(node, "route", "10.30.0.0/16", true);
        wait_shows(node, "route", "10.31.0.0/16", true);
        wait_shows(node, "rule", "30:", true);
    }
    assert!(router.log().contains("deleted by somebody else"));
}

#[test]
fn with_vrrp_restore_deleted_it_is_put_back_until_patience_ends() {
    if !root() {
        return;
    }
    let (lan, router) = alone("vrrp_restore_deleted");
    let node = lan.node(0);
    let start = now();
    for _ in 0..5 {
        node.ip(&format!("addr del {VIP}/24 dev eth0"));
        node.wait_has(VIP, true);
    }
    node.ip("route del 10.30.0.0/16");
    wait_shows(node, "route", "10.30.0.0/16", true);
    node.ip("rule del priority 30");
    wait_shows(node, "rule", "30:", true);
    let resigned = |lan: &Lan| {
        let all = lan.events();
        all.iter()
            .any(|s| s.at > start && s.advert().is_some_and(|a| a.priority == 0))
    };
    assert!(!resigned(&lan), "{}", lan.story());
    // The sixth time within a minute.
    node.ip(&format!("addr del {VIP}/24 dev eth0"));
    lan.advert("it resigns", 0, start, |a| a.priority == 0);
    router.wait_log("not putting it back any more");
    node.wait_has(VIP, true);
}

#[test]
fn static_entries_come_back_whoever_takes_them_away() {
    if !root() {
        return;
    }
    let (lan, mut router) = alone("");
    let node = lan.node(0);
    node.ip("addr del 10.9.9.9/24 dev eth0");
    node.ip("route del 10.20.0.0/16");
    node.ip("rule del priority 20");
    let all_there = || {
        node.wait_has("10.9.9.9", true);
        wait_shows(node, "route", "10.20.0.0/16", true);
        wait_shows(node, "rule", "20:", true);
    };
    all_there();
    // The kernel drops the routes of an interface that is set down, without a word.
    node.ip("link set eth0 down");
    wait_shows(node, "route", "10.20.0.0/16", false);
    node.ip("link set eth0 up");
    all_there();
    router.stop();
    wait_shows(node, "route", "10.20.0.0/16", false);
    wait_shows(node, "rule", "20:", false);
    node.wait_has("10.9.9.9", false);
}

#[test]
fn what_a_killed_router_left_goes_also_when_it_has_left_the_file() {
    if !root() {
        return;
    }
    let (lan, mut router) = alone("");
    let node = lan.node(0);
    router.kill();
    for (command, text) in [("rule", "30:"), ("rule", "20:"), ("route", "10.30.0.0/16")] {
        assert!(node.ip(command).contains(text), "nothing was left");
    }
    // Somebody else's.
    node.ip("route add 10.40.0.0/16 via 10.66.0.2");
    let mut next = Ours.start(node, &conf("", "10.66.0.101/24", ""));
    node.wait_has("10.66.0.101", true);
    for (command, text) in [
        ("rule", "30:"),
        ("rule", "20:"),
        ("route", "10.30.0.0/16"),
        ("route", "10.20.0.0/16"),
    ] {
        wait_shows(node, command, text, false);
    }
    node.wait_has(VIP, false);
    node.wait_has("10.9.9.9", false);
    assert!(node.ip("route").contains("10.40.0.0/16"));
    assert!(node.path("vrrp.held").exists());
    next.stop();
    assert!(!node.path("vrrp.held").exists());
}

#[test]
fn a_killed_master_that_comes_back_at_once_goes_on_as_master() {
    if !root() {
        return;
    }
    let lan = lan();
    let (node, other) = (lan.node(0), lan.node(1));
    let script = node.file("check.sh", "#!/bin/sh\nexit 0\n", 0o755);
    let script = format!(
        "vrrp_script check {{\n script {}\n interval 1\n}}\n",
        script.display()
    );
    // The other one waits for 12 s: a start under load is in time.
    let patient = |adverts: u8, more: &str| {
        let text = conf(
            "",
            &format!("{VIP}/24"),
            &format!("down_timer_adverts {adverts}\n{more}"),
        );
        text.replace("advert_int 0.1", "advert_int 0.3")
    };
    let text = script + &patient(10, "track_script {\n check\n }");
    let mut router = Ours.start(node, &text);
    node.wait_has(VIP, true);
    let _backup = Ours.start(
        other,
        &patient(40, "").replace("priority 150", "priority 100"),
    );
    let (_monitor, changes) = monitor(node);
    let killed = router.kill();
    let next = Ours.start(node, &text);
    next.wait_log("(V) Entering MASTER STATE");
    lan.advert("it speaks again", 0, killed, |a| a.priority == 150);
    let others = lan.events();
    let spoke = |s: &crate::lab::frame::Seen| s.node == 1 && s.advert().is_some();
    assert!(
        !others.iter().any(spoke),
        "the backup spoke\n{}",
        lan.story()
    );
    let changes = std::fs::read_to_string(changes).expect("a file of ours");
    assert!(!changes.contains(VIP), "it was touched: {changes}");
    assert!(node.has(VIP) && !other.has(VIP));
    assert!(
        !next.log().contains("Entering BACKUP STATE"),
        "{}",
        next.log()
    );
}

#[test]
fn a_running_keepalived_is_adopted_without_touching_its_addresses() {
    if !root() {
        return;
    }
    let lan = lan();
    let (node, other) = (lan.node(0), lan.node(1));
    // Version 2, 1 s, as stock 2.2.7 has it; others wait for 10.4 s where they can.
    let text = conf("", &format!("{VIP}/24"), "").replace("advert_int 0.1", "advert_int 1");
    let stock = Stock.start(node, &text);
    node.wait_has(VIP, true);
    let patient = text.replace("priority 150", "priority 100\n    down_timer_adverts 10");
    let _backup = Ours.start(other, &patient);
    let (_monitor, changes) = monitor(node);
    let adopted = now();
    let mut adopt = std::process::Command::new(Ours.binary());
    adopt
        .arg("adopt")
        .arg("-f")
        .arg(node.file("adopted.conf", &text, 0o644));
    for (option, file) in [("-p", "pid"), ("-r", "vrrp.pid"), ("-c", "checkers.pid")] {
        adopt.arg(option).arg(node.path(file));
    }
    let mut adopt = node.ns.spawn(&mut adopt).expect("it runs");
    assert!(adopt.wait().expect("it ends").success(), "{}", stock.log());
    let next = Ours.start(node, &text);
    next.wait_log("(V) Entering MASTER STATE");
    lan.advert("it speaks", 0, adopted, |a| a.priority == 150);
    let spoke = |s: &crate::lab::frame::Seen| {
        s.at > adopted && s.advert().is_some_and(|a| a.priority != 150)
    };
    assert!(!lan.events().iter().any(spoke), "{}", lan.story());
    let changes = std::fs::read_to_string(changes).expect("a file of ours");
    assert!(!changes.contains(VIP), "it was touched: {changes}");
    assert!(node.has(VIP) && !other.has(VIP));
}

/// What the kernel tells about a node's links and addresses from now on, written to a file.
pub(crate) fn monitor(node: &Node) -> (Ending, std::path::PathBuf) {
    let path = node.path("changes");
    let out = std::fs::File::create(&path).expect("a file of ours");
    let mut command = std::process::Command::new("ip");
    command
        .args(["-o", "monitor", "link", "address"])
        .stdout(out);
    let child = node.ns.spawn(&mut command).expect("ip runs");
    // It listens when it tells of what we do now.
    let listens = || {
        node.ip("addr add 127.0.0.7/32 dev lo");
        node.ip("addr del 127.0.0.7/32 dev lo");
        let text = std::fs::read_to_string(&path).ok()?;
        text.contains("127.0.0.7").then_some(())
    };
    until_or(|| "ip monitor is silent".to_owned(), PATIENCE, listens);
    (Ending(child), path)
}

/// A process that ends with its owner.
pub(crate) struct Ending(std::process::Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_link_layer_address_is_announced() {
    if !root() {
        return;
    }
    let (lan, _router) = alone("");
    lan.wait("the first burst", PATIENCE, |seen| {
        let garps = seen.iter().filter(|s| s.announces(VIP));
        (garps.count() >= 5).then_some(())
    });
    let changed = now();
    lan.node(0).ip("link set eth0 address 02:00:00:00:00:77");
    lan.wait("another burst", PATIENCE, |seen| {
        let garps = seen.iter().filter(|s| s.at > changed && s.announces(VIP));
        (garps.count() >= 5).then_some(())
    });
}

#[test]
fn a_duplicate_ipv6_address_is_tried_again_until_it_is_ours_alone() {
    if !root() {
        return;
    }
    let lan = lan();
    lan.node(1).ip("addr add fd66::5/64 dev eth0 nodad");
    let excluded = "virtual_ipaddress_excluded {
        fd66::5/64 -nodad
    }";
    let router = Ours.start(lan.node(0), &conf("", &format!("{VIP}/24"), excluded));
    router.wait_log("somebody else on the link has our address fd66::5/64");
    wait_shows(lan.node(0), "-6 addr", "dadfailed", true);
    lan.node(1).ip("addr del fd66::5/64 dev eth0");
    router.wait_log("ours alone at last");
    wait_shows(lan.node(0), "-6 addr", "dadfailed", false);
    lan.node(0).wait_has("fd66::5", true);
}

/// Notifications that the kernel had to drop, of all netlink sockets of a node.
fn dropped(node: &Node) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/netlink");
    let table = node.ns.run(read).expect("netlink is there");
    let drops = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace().skip(8);
        columns.next()?.parse::<u64>().ok()
    });
    drops.sum()
}

#[test]
fn what_was_missed_while_notifications_were_lost_is_seen_all_the_same() {
    if !root() {
        return;
    }
    let lan = lan();
    let node = lan.node(0);
    let tiny = "vrrp_netlink_monitor_rcv_bufs 4096\n vrrp_netlink_cmd_rcv_bufs 4096";
    let router = Ours.start(node, &conf(tiny, &format!("{VIP}/24"), ""));
    node.wait_has(VIP, true);
    router.wait_log("(V) Entering MASTER STATE");
    router.signal(nix::sys::signal::Signal::SIGSTOP);
    let mut storm = String::new();
    for n in 0..250 {
        storm += &format!("addr add 10.77.0.{n}/32 dev lo\naddr del 10.77.0.{n}/32 dev lo\n");
    }
    let storm = node.file("storm", &storm, 0o644);
    node.ip(&format!("-batch {}", storm.display()));
    node.ip(&format!("addr del {VIP}/24 dev eth0"));
    node.ip("addr add 10.66.0.9/24 dev eth0");
    let deleted = now();
    assert!(dropped(node) > 0, "the buffer was large enough");
    router.signal(nix::sys::signal::Signal::SIGCONT);
    lan.advert("it resigns", 0, deleted, |a| a.priority == 0);
    router.wait_log_times("(V) Entering MASTER STATE", 2);
    node.wait_has(VIP, true);
}
