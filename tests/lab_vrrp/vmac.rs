//! Interfaces of the daemon's own: what the kernel holds, what leaves them, and what becomes of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::daemon::Daemon;
use crate::lab::frame::Seen;
use crate::lab::witness::stood_still;
use crate::lab::{Lan, Node, root, until, until_or};
use crate::routers::Which::{self, Ours, Stock};

const LIMIT: Duration = crate::lab::PATIENCE;

/// One instance named V on eth0 with a VMAC, and these lines in it.
fn instance(priority: u8, lines: &str) -> String {
    format!(
        "global_defs {{\n router_id lab\n script_user root\n}}
vrrp_instance V {{\n interface eth0\n use_vmac\n virtual_router_id 51\n priority {priority}\n version 3\n advert_int 0.2
 {lines}\n}}\n"
    )
}

const V4: &str = "virtual_ipaddress {\n 10.66.0.100/24\n }";
const V6: &str = "virtual_ipaddress {\n fe80::100\n 2001:db8::100/64\n }";

/// As the lab's routers, with IPv6 addresses that need no time to be usable.
fn lan() -> Lan {
    let lan = Lan::new("eth0", &["10.66.0.1/24", "10.66.0.2/24"]);
    for n in 0..2 {
        let node = lan.node(n);
        node.ip(&format!("addr add fe80::{}/64 dev eth0 nodad", n + 1));
        node.ip(&format!("addr add 2001:db8::{}/64 dev eth0 nodad", n + 1));
    }
    lan
}

/// Everything that the kernel holds and that a VMAC may change, by name.
pub(crate) fn kernel(node: &Node) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let inside = || {
        let mut found = BTreeMap::new();
        for family in ["ipv4", "ipv6"] {
            let root = format!("/proc/sys/net/{family}/conf");
            for interface in std::fs::read_dir(&root).expect("settings").flatten() {
                for setting in std::fs::read_dir(interface.path()).expect("settings") {
                    let path = setting.expect("a setting").path();
                    let text = std::fs::read_to_string(&path).unwrap_or_default();
                    let key = path.to_string_lossy().replace("/proc/sys/net/", "");
                    found.insert(key, text.trim().to_owned());
                }
            }
        }
        found
    };
    all.extend(node.ns.run(inside));
    for (what, command) in [("link", "-d link show"), ("addr", "addr show")] {
        let mut name = String::new();
        for line in node.ip(command).lines() {
            if !line.starts_with(' ') {
                name = line
                    .split([':', '@'])
                    .nth(1)
                    .unwrap_or("?")
                    .trim()
                    .to_owned();
            }
            let words = line.split_whitespace().filter(|w| !w.ends_with(':'));
            let line = words.collect::<Vec<_>>().join(" ").replace(" proto 18", "");
            // The kernel thinks about it for a second.
            let line = line
                .replace(" state UNKNOWN", " state UP")
                .replace(" tentative", "");
            let all: &mut String = all.entry(format!("{what} {name}")).or_default();
            *all += &line;
            all.push('\n');
        }
    }
    all.insert("nftables".to_owned(), ruleset(node));
    all
}

/// `nft list ruleset`.
pub(crate) fn ruleset(node: &Node) -> String {
    let mut command = std::process::Command::new("nft");
    command.args(["list", "ruleset"]);
    let out = node
        .ns
        .run(|| command.output())
        .expect("nftables is installed");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn has_link(node: &Node, name: &str) -> bool {
    let out = node.ns.try_ip(&format!("link show dev {name}"));
    out.status.success()
}

fn wait_link(node: &Node, name: &str, wanted: bool) {
    until_or(
        || format!("link {name}: {wanted}\n{}", node.last_log()),
        LIMIT,
        || (has_link(node, name) == wanted).then_some(()),
    );
}

fn wait_addr(node: &Node, interface: &str, addr: &str, wanted: bool) {
    let found = || {
        let all = node.ns.addresses();
        let addr = addr.parse().expect("an address");
        all.contains(&(interface.to_owned(), addr)) == wanted
    };
    until_or(
        || format!("{addr} on {interface}: {wanted}\n{}", node.last_log()),
        LIMIT,
        || found().then_some(()),
    );
}

/// As [`kernel`], once it has been the same for a while: a state is told before all that belongs to it is done.
fn kernel_at_rest(node: &Node) -> BTreeMap<String, String> {
    let (mut last, mut since) = (kernel(node), Instant::now());
    until("nothing changes any more", LIMIT, || {
        let now = kernel(node);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(1)).then(|| last.clone())
    })
}

/// What there is as backup, as master, as backup again, after the stop.
fn life(which: Which, lines: &str, vip: &str) -> Vec<BTreeMap<String, String>> {
    let lan = lan();
    let node = lan.node(0);
    let mut seen = Vec::new();
    // A better router makes it backup first and last.
    let mut better = Stock.start(lan.node(1), &instance(200, lines));
    lan.advert("the better one", 1, 0, |a| a.priority == 200);
    let mut daemon = which.start(node, &instance(100, lines));
    daemon.wait_log("Entering BACKUP STATE");
    seen.push(kernel_at_rest(node));
    better.stop();
    wait_addr(node, "vrrp.51", vip, true);
    seen.push(kernel_at_rest(node));
    let mut better = Stock.start(lan.node(1), &instance(200, lines));
    wait_addr(node, "vrrp.51", vip, false);
    seen.push(kernel_at_rest(node));
    daemon.stop();
    wait_link(node, "vrrp.51", false);
    seen.push(kernel_at_rest(node));
    better.stop();
    seen
}

/// Differences that are meant, and why.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (
        "ipv4/conf/eth0/arp_filter",
        "after",
        "stock forgets to put it back",
    ),
    (
        "ipv4/conf/eth0/arp_ignore",
        "after",
        "stock forgets to put it back",
    ),
    (
        "ipv4/conf/vrrp.51/arp_ignore",
        "IPv6",
        "2.4 sets it on IPv6 VMACs, too, 2.2 does not",
    ),
    (
        "nftables",
        "IPv6",
        "2.4 stops answers from the base's address and old reports, too, 2.2 does not",
    ),
];

fn same_kernel(lines: &str, vip: &str) {
    if !root() {
        return;
    }
    let (ours, stock) = std::thread::scope(|scope| {
        let stock = scope.spawn(|| life(Stock, lines, vip));
        (life(Ours, lines, vip), stock.join().expect("stock runs"))
    });
    let v6 = vip.contains(':');
    for (n, when) in ["as backup", "as master", "as backup again", "after"]
        .iter()
        .enumerate()
    {
        let keys = ours[n].keys().chain(stock[n].keys());
        for key in keys {
            let explained = EXPLAINED.iter().any(|(what, where_, _)| {
                what == key && (where_ == when || (*where_ == "IPv6" && v6))
            });
            if !explained {
                assert_eq!(ours[n].get(key), stock[n].get(key), "{when}: {key}");
            }
        }
    }
    // What stock forgets: all is as it was.
    for setting in ["arp_filter", "arp_ignore"] {
        let key = format!("ipv4/conf/eth0/{setting}");
        assert_eq!(ours[3][&key], "0", "{key}");
    }
}

#[test]
fn the_kernel_holds_what_stock_has_it_hold_ipv4() {
    same_kernel(V4, "10.66.0.100");
}

#[test]
fn the_kernel_holds_what_stock_has_it_hold_ipv6() {
    same_kernel(V6, "2001:db8::100");
}

/// Everything that makes the kernel of a backup speak: memberships, questions, pings, a link that flaps. From its start
/// on, after it was master, and after a reload.
fn provoke(lan: &Lan, group: &str) {
    let node = lan.node(1);
    for _ in 0..3 {
        node.ip("link set eth0 down");
        node.ip("link set eth0 up");
    }
    node.ip("addr add fe80::2/64 dev eth0 nodad");
    // Whoever knows the answer does not ask, and nobody answers.
    lan.node(0).ns.try_ip("neigh flush all");
    for (from, addr) in [
        (0, "10.66.0.2"),
        (0, "10.66.0.100"),
        (0, "fe80::2%eth0"),
        (0, "2001:db8::100"),
        (1, "10.66.0.100"),
        (1, "2001:db8::100"),
    ] {
        let mut command = std::process::Command::new("ping");
        command.args(["-c", "1", "-W", "1", addr]);
        let _ = lan.node(from).ns.run(|| command.output());
    }
    // Whoever sets an IPv6 address by hand has the kernel ask whether it is free: that is not the router's.
    let unasked = if group.contains(':') { "nodad" } else { "" };
    node.ip(&format!("addr add {group} dev vrrp.51 autojoin {unasked}"));
    node.ip(&format!("addr del {group} dev vrrp.51"));
}

/// What left the VMAC of node 1 while it was no master: from its own first advertisement until that of another router it
/// may speak.
fn out_of_turn(lan: &Lan, mac: [u8; 6]) -> Vec<Seen> {
    // What was on its way when the other one spoke.
    const GRACE: u64 = 100_000_000;
    let (mut reigns, mut until) = (false, 0);
    let mut found = Vec::new();
    for s in lan.events() {
        match (s.node, s.priority()) {
            (0, Some(1..)) if reigns => {
                let stalled = stood_still(s.at, s.at + 10 * GRACE).as_nanos();
                let grace = GRACE + u64::try_from(stalled).expect("it fits");
                (reigns, until) = (false, s.at + grace);
            }
            (1, Some(_)) if s.at > until => reigns = true,
            _ => {}
        }
        let from_vmac = s.octets.get(6..12) == Some(&mac[..]);
        if s.node == 1 && from_vmac && !reigns && s.at > until {
            found.push(s);
        }
    }
    found
}

/// Whether the rule with these words is there and has kept something back.
fn has_stopped(rules: &str, rule: &str) -> bool {
    let line = rules.lines().find(|l| l.contains(rule));
    line.is_some_and(|l| l.contains("counter packets") && !l.contains("counter packets 0 "))
}

/// A backup's MAC must not be learned anywhere but at the master's port, whatever the backup's kernel would like to say.
/// `stopped`: the rules that must have kept it from saying something, or else the laboratory proves nothing.
fn silent_backup(lines: &str, vip: &str, mac: [u8; 6], group: &str, stopped: &[&str]) {
    if !root() {
        return;
    }
    let lan = lan();
    let counting = |priority| {
        instance(priority, lines).replace("router_id lab", "router_id lab\n nftables_counters")
    };
    let mut master = Ours.start(lan.node(0), &counting(150));
    wait_addr(lan.node(0), "vrrp.51", vip, true);
    let mut backup = Ours.start(lan.node(1), &counting(100));
    backup.wait_log("Entering BACKUP STATE");
    wait_link(lan.node(1), "vrrp.51", true);
    provoke(&lan, group);
    master.stop();
    wait_addr(lan.node(1), "vrrp.51", vip, true);
    let mut master = Ours.start(lan.node(0), &counting(150));
    wait_addr(lan.node(0), "vrrp.51", vip, true);
    wait_addr(lan.node(1), "vrrp.51", vip, false);
    provoke(&lan, group);
    let node = lan.node(1);
    node.configure(&counting(100).replace("router_id lab", "router_id other"));
    backup.signal(Signal::SIGHUP);
    backup.wait_log("Reload complete");
    let mut rules = String::new();
    for _ in 0..4 {
        provoke(&lan, group);
        // Late enough for delayed reports: the second of the kernel's two comes within a second.
        let mark = crate::lab::daemon::now();
        lan.advert("the master goes on", 0, mark + 3_000_000_000, |_| true);
        rules = ruleset(node);
        if stopped.iter().all(|rule| has_stopped(&rules, rule)) {
            break;
        }
    }
    let spoken = out_of_turn(&lan, mac);
    assert!(
        spoken.is_empty(),
        "the backup speaks: {spoken:02x?}\n{rules}"
    );
    let port = lan.port_of(mac);
    assert_eq!(
        port.as_deref(),
        Some("p0"),
        "the bridge learned it elsewhere"
    );
    for rule in stopped {
        assert!(
            has_stopped(&rules, rule),
            "{rule}: the kernel never tried\n{rules}"
        );
    }
    backup.stop();
    master.stop();
    for n in 0..2 {
        assert_eq!(ruleset(lan.node(n)), "", "rules are left");
    }
}

#[test]
fn a_backup_is_silent_ipv4() {
    silent_backup(V4, "10.66.0.100", MAC4, "239.1.2.3/32", &["igmp"]);
}

#[test]
fn a_backup_is_silent_ipv6() {
    let stopped = [
        "icmpv6 type nd-neighbor-advert",
        "@mld-report",
        "icmpv6 type nd-router-solicit",
    ];
    silent_backup(V6, "2001:db8::100", MAC6, "ff05::1234/128", &stopped);
}

/// Router 0 of priority 150, router 1 of priority 100: election, failover, failback, all from the MAC of the RFC.
fn story(one: Which, two: Which, lines: &str, vip: &str, mac: [u8; 6]) {
    if !root() {
        return;
    }
    let lan = lan();
    let mut backup = two.start(lan.node(1), &instance(100, lines));
    backup.wait_log("Entering BACKUP STATE");
    let mut master = one.start(lan.node(0), &instance(150, lines));
    lan.advert("the better one is master", 0, 0, |a| a.priority == 150);
    wait_addr(lan.node(0), "vrrp.51", vip, true);
    wait_addr(lan.node(1), "vrrp.51", vip, false);
    let gone = master.terminate();
    lan.advert("it resigns", 0, gone, |a| a.priority == 0);
    let at = lan
        .advert("the other takes over", 1, gone, |a| a.priority == 100)
        .at;
    wait_addr(lan.node(1), "vrrp.51", vip, true);
    master.wait_exit();
    let mut master = one.start(lan.node(0), &instance(150, lines));
    lan.advert("failback", 0, at, |a| a.priority == 150);
    wait_addr(lan.node(1), "vrrp.51", vip, false);
    let from = |s: &Seen| s.octets.get(6..12) == Some(&mac[..]);
    for s in lan.events().iter().filter(|s| s.advert().is_some()) {
        assert!(from(s), "{} {:02x?}", s.event, s.octets.get(6..12));
    }
    master.stop();
    backup.stop();
    assert!(!has_link(lan.node(0), "vrrp.51") && !has_link(lan.node(1), "vrrp.51"));
}

macro_rules! stories {
    ($($name:ident: $one:ident $two:ident $lines:ident $vip:literal $mac:expr;)*) => {$(
        #[test]
        fn $name() {
            story($one, $two, $lines, $vip, $mac);
        }
    )*};
}

const MAC4: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];
const MAC6: [u8; 6] = [0, 0, 0x5e, 0, 2, 51];

stories! {
    our_master_stock_backup_ipv4: Ours Stock V4 "10.66.0.100" MAC4;
    stock_master_our_backup_ipv4: Stock Ours V4 "10.66.0.100" MAC4;
    our_master_stock_backup_ipv6: Ours Stock V6 "2001:db8::100" MAC6;
    stock_master_our_backup_ipv6: Stock Ours V6 "2001:db8::100" MAC6;
}

fn index(node: &Node, name: &str) -> String {
    let text = node.ip(&format!("-o link show dev {name}"));
    text.split(':').next().unwrap_or_default().to_owned()
}

/// A router alone on the LAN that has become master.
fn with_master(story: impl FnOnce(&Node, Daemon)) {
    if !root() {
        return;
    }
    let lan = lan();
    let daemon = Ours.start(lan.node(0), &instance(150, V4));
    wait_addr(lan.node(0), "vrrp.51", "10.66.0.100", true);
    story(lan.node(0), daemon);
}

#[test]
fn after_a_crash_the_interface_is_taken_over() {
    with_master(|node, mut daemon| {
        let before = index(node, "vrrp.51");
        daemon.kill();
        assert!(has_link(node, "vrrp.51"), "a crash leaves it");
        let mut daemon = Ours.start(node, &instance(150, V4));
        daemon.wait_log("took over an interface");
        daemon.wait_log("Entering MASTER STATE");
        assert_eq!(index(node, "vrrp.51"), before, "it is the same one");
        daemon.stop();
        assert!(!has_link(node, "vrrp.51"));
    });
}

#[test]
fn a_vmac_that_somebody_deletes_comes_back_and_so_does_the_master() {
    with_master(|node, mut daemon| {
        node.ip("link del vrrp.51");
        daemon.wait_log("Entering FAULT STATE");
        daemon.wait_log_times("Success creating VMAC interface vrrp.51", 2);
        daemon.wait_log_times("Entering MASTER STATE", 2);
        wait_addr(node, "vrrp.51", "10.66.0.100", true);
        daemon.stop();
    });
}

#[test]
fn a_vmac_that_somebody_renames_gets_its_name_back_and_so_does_the_master() {
    with_master(|node, mut daemon| {
        let before = index(node, "vrrp.51");
        // What is told of other interfaces by chance must not be what makes it look.
        until("the address of the base is checked", LIMIT, || {
            (!node.ip("addr show").contains("tentative")).then_some(())
        });
        node.ip("link set vrrp.51 down");
        node.ip("link set vrrp.51 name mine");
        // It may have its name back by now.
        node.ns.try_ip("link set mine up");
        daemon.wait_log("Entering FAULT STATE");
        daemon.wait_log_times("Entering MASTER STATE", 2);
        wait_addr(node, "vrrp.51", "10.66.0.100", true);
        assert_eq!(index(node, "vrrp.51"), before, "it is the same one");
        assert!(!has_link(node, "mine"));
        daemon.stop();
        assert!(!has_link(node, "vrrp.51"));
    });
}

#[test]
fn an_interface_with_the_mac_of_a_vmac_is_taken_for_it() {
    if !root() {
        return;
    }
    for which in [Ours, Stock] {
        let lan = lan();
        let node = lan.node(0);
        node.ip("link add mine link eth0 address 00:00:5e:00:01:33 type macvlan mode private");
        // stock 2.2 waits for somebody to set it up, ours sets it up.
        if which == Stock {
            node.ip("link set mine up");
        }
        let mut daemon = which.start(node, &instance(150, V4));
        wait_addr(node, "mine", "10.66.0.100", true);
        assert!(!has_link(node, "vrrp.51"), "{which:?}");
        daemon.stop();
        wait_link(node, "mine", false);
    }
}

#[test]
fn another_link_local_address_of_the_base_is_no_transition() {
    if !root() {
        return;
    }
    let lan = lan();
    let node = lan.node(0);
    let daemon = Ours.start(node, &instance(150, V6));
    wait_addr(node, "vrrp.51", "2001:db8::100", true);
    // The kernel's own, once it is sure of it.
    crate::kernel::wait_shows(node, "-6 addr show dev eth0", "fe80::ff:fe00:1/64", true);
    crate::kernel::wait_shows(node, "-6 addr show dev eth0", "tentative", false);
    let deleted = crate::lab::daemon::now();
    node.ip("addr del fe80::1/64 dev eth0");
    lan.wait("it speaks from the other one", LIMIT, |seen| {
        let other: std::net::IpAddr = "fe80::ff:fe00:1".parse().expect("an address");
        let from = |s: &&Seen| {
            s.advert()
                .is_some_and(|a| a.src == other && a.priority == 150)
        };
        seen.iter().find(|s| s.at > deleted && from(s)).map(drop)
    });
    assert!(!daemon.log().contains("FAULT"), "{}", daemon.log());
}

#[test]
fn the_base_comes_and_goes_and_the_vmac_with_it() {
    with_master(|node, mut daemon| {
        node.ip("link set eth0 down");
        daemon.wait_log("Entering FAULT STATE");
        node.ip("link set eth0 up");
        daemon.wait_log_times("Entering MASTER STATE", 2);
        wait_addr(node, "vrrp.51", "10.66.0.100", true);
        daemon.stop();
        let key = "/proc/sys/net/ipv4/conf/eth0/arp_ignore";
        let value = node
            .ns
            .run(|| std::fs::read_to_string(key).unwrap_or_default());
        assert_eq!(value.trim(), "0");
    });
}

#[test]
fn a_reload_makes_and_removes_interfaces_and_leaves_the_others_alone() {
    with_master(|node, mut daemon| {
        let before = index(node, "vrrp.51");
        let second = "vrrp_instance W {\n interface eth0\n use_vmac own\n virtual_router_id 52\n priority 100\n advert_int 1
 virtual_ipaddress {\n 10.66.0.101/24\n }\n}\n";
        node.configure(&(instance(150, V4) + second));
        daemon.signal(Signal::SIGHUP);
        wait_addr(node, "own", "10.66.0.101", true);
        assert_eq!(index(node, "vrrp.51"), before);
        node.configure(&instance(150, V4));
        daemon.signal(Signal::SIGHUP);
        wait_link(node, "own", false);
        assert_eq!(index(node, "vrrp.51"), before);
        assert_eq!(
            daemon.log().matches("(V) Entering").count(),
            2,
            "no transition"
        );
        daemon.stop();
    });
}

/// The rules of a master that does not accept packets for its address; whether its neighbour gets an answer.
fn refusing(which: Which) -> (String, bool, String) {
    let lan = lan();
    let node = lan.node(0);
    let mut daemon = which.start(node, &instance(150, &format!("no_accept\n {V4}")));
    wait_addr(node, "vrrp.51", "10.66.0.100", true);
    let rules = until_or(
        || daemon.log(),
        LIMIT,
        || Some(ruleset(node)).filter(|rules| rules.contains("10.66.0.100")),
    );
    let mut command = std::process::Command::new("ping");
    command.args(["-c", "1", "-W", "1", "10.66.0.100"]);
    let answer = lan.node(1).ns.run(|| command.output());
    let answered = answer.expect("ping is installed").status.success();
    daemon.stop();
    (rules, answered, ruleset(node))
}

#[test]
fn a_master_that_does_not_accept_has_the_rules_of_stock_and_no_answer() {
    if !root() {
        return;
    }
    let (ours, stock) = std::thread::scope(|scope| {
        let stock = scope.spawn(|| refusing(Stock));
        (refusing(Ours), stock.join().expect("stock runs"))
    });
    assert_eq!(ours, stock, "rules, an answer, what is left");
    assert!(ours.0.contains("10.66.0.100") && !ours.1 && ours.2.is_empty());
}
