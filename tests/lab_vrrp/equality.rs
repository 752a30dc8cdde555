//! What the kernel holds is what it would hold under stock keepalived: addresses, routes and rules with all their
//! options, before a router becomes master, while it is master, after it has left, and after it has stopped.

use std::fmt::Write as _;
use std::process::Command;

use crate::lab::ns::Namespace;
use crate::lab::{Lan, PATIENCE, TempDir, root, until_or};
use crate::routers::Which::{self, Ours, Stock};

const CONF: &str = include_str!("equality.conf");

/// When something is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Backup,
    Master,
    Left,
    Stopped,
}

/// Whose lines are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Stock,
    Both,
}

/// Differences: the stage from which on lines that contain a text are left out, whose, and why.
const EXPLAINED: &[(Stage, &str, Side, &str)] = &[
    (
        Stage::Left,
        "10.3.0.",
        Side::Stock,
        "stock asks for the removal of the wrong address where there is a peer, and leaves it behind",
    ),
    (
        Stage::Backup,
        "fd19::/32",
        Side::Both,
        "stock reads `encap ip6` and forgets it: its route has no tunnel",
    ),
];

const SHOWN: &[&str] = &[
    "-o -d addr",
    "-d -4 route show table all",
    "-d -6 route show table all",
    "-d -4 rule",
    "-d -6 rule",
];

struct Router {
    lan: Lan,
    which: Which,
}

impl Router {
    fn new(which: Which) -> Self {
        let lan = Lan::new("eth0", &["10.1.0.1/24"]);
        let node = lan.node(0);
        node.ip("link add eth1 address 02:00:00:00:01:01 type veth peer name far address 02:00:00:00:01:02");
        node.ip("link set eth1 up");
        node.ip("link set far up");
        node.ip("addr add fd01::1/64 dev eth0 nodad");
        Self { lan, which }
    }

    /// What ip(8) shows, without what differs for a good reason.
    fn shown(&self, stage: Stage) -> String {
        let mut text = String::new();
        for command in SHOWN {
            let _ = writeln!(text, "# ip {command}");
            for line in self.lan.node(0).ip(command).lines() {
                let left_out = |(from, what, side, _): &(Stage, &str, Side, &str)| {
                    let here = *side == Side::Both || self.which == Stock;
                    here && *from as u8 <= stage as u8 && line.contains(what)
                };
                if EXPLAINED.iter().any(left_out) {
                    continue;
                }
                let _ = writeln!(text, "{}", steady(line));
            }
        }
        text
    }
}

/// Without the seconds that are left, and the protocol of addresses, which 2.4 sets and 2.2 does not.
fn steady(line: &str) -> String {
    let address = line.contains(" inet");
    let mut words = Vec::new();
    let mut all = line.split_whitespace();
    while let Some(word) = all.next() {
        match word {
            "proto" if address => {
                all.next();
            }
            "tentative" => {}
            word if word.ends_with("sec") && word.starts_with(|c: char| c.is_ascii_digit()) => {
                words.push("N sec");
            }
            word => words.push(word),
        }
    }
    words.join(" ")
}

/// Lines of one that the other has not.
fn difference(stock: &str, ours: &str) -> String {
    let mut text = String::new();
    for (sign, one, other) in [('-', stock, ours), ('+', ours, stock)] {
        for line in one.lines().filter(|l| !other.lines().any(|o| o == *l)) {
            let _ = writeln!(text, "{sign} {line}");
        }
    }
    text
}

fn assert_equal(stage: Stage, stock: &Router, ours: &Router) {
    let now = || (stock.shown(stage), ours.shown(stage));
    until_or(
        || {
            let (stock, ours) = now();
            format!("{stage:?}: equal to stock\n{}", difference(&stock, &ours))
        },
        PATIENCE,
        || {
            let (stock, ours) = now();
            (stock == ours).then_some(())
        },
    );
}

#[test]
fn addresses_routes_and_rules_are_those_of_stock() {
    if !root() {
        return;
    }
    let (stock, ours) = (Router::new(Stock), Router::new(Ours));
    let both = [&stock, &ours];
    let mut daemons = both.map(|r| r.which.start(r.lan.node(0), CONF));
    for daemon in &daemons {
        daemon.wait_log("(V) Entering BACKUP STATE");
    }
    assert_equal(Stage::Backup, &stock, &ours);
    for r in both {
        r.lan.node(0).wait_has("10.1.0.100", true);
    }
    assert_equal(Stage::Master, &stock, &ours);
    let held = ours.shown(Stage::Master);
    for part in [
        "10.18.0.0/16",
        "blackhole fd18::/32",
        "tun_id 77",
        "encap ip id 5",
    ] {
        assert!(held.contains(part), "{part} is not there:\n{held}");
    }
    for r in both {
        r.lan.cable(0, false);
    }
    for r in both {
        r.lan.node(0).wait_has("10.1.0.100", false);
    }
    assert_equal(Stage::Left, &stock, &ours);
    for r in both {
        r.lan.cable(0, true);
    }
    for r in both {
        r.lan.node(0).wait_has("10.1.0.100", true);
    }
    assert_equal(Stage::Master, &stock, &ours);
    for daemon in &mut daemons {
        daemon.stop();
    }
    assert_equal(Stage::Stopped, &stock, &ours);
}

/// What this laboratory leaves out, and why.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    (
        "virtual_ipaddress",
        "use_vmac",
        "the laboratory of VMACs looks at it",
    ),
    (
        "virtual_routes",
        "inet",
        "keepalived skips the word behind it",
    ),
    (
        "virtual_routes",
        "inet6",
        "keepalived skips the word behind it",
    ),
    ("virtual_routes", "gw", "another name of via, refused by -t"),
    ("virtual_routes", "as", "refused by keepalived, too"),
    ("virtual_routes", "vrf", "not every kernel has VRFs"),
    (
        "virtual_rules",
        "inet",
        "keepalived skips the word behind it",
    ),
    (
        "virtual_rules",
        "inet6",
        "keepalived skips the word behind it",
    ),
];

#[test]
fn every_option_of_an_address_a_route_or_a_rule_is_there() {
    let all = include_str!("../../src/config/tests/keywords.tsv");
    let mut missing = Vec::new();
    for (block, more) in [
        ("virtual_ipaddress", "virtual_ipaddress_excluded"),
        ("virtual_routes", ""),
        ("virtual_rules", ""),
    ] {
        let mut inside = false;
        let mut words = Vec::new();
        for line in CONF.lines().map(str::trim) {
            match line.strip_suffix(" {") {
                Some(name) => inside = name == block || name == more,
                None if line == "}" => inside = false,
                None if inside => words.extend(line.split_whitespace()),
                None => {}
            }
        }
        let rows = all.lines().map(|row| row.split('\t').collect::<Vec<_>>());
        let within = format!("vrrp_instance/{block}");
        let keywords = rows.filter(|row| row[0] == within).map(|row| row[1]);
        for keyword in keywords.filter(|k| !k.starts_with('(')) {
            let left_out = |(of, word, _): &(&str, &str, &str)| *of == block && *word == keyword;
            match (words.contains(&keyword), LEFT_OUT.iter().any(left_out)) {
                (false, false) => missing.push(format!("{block}: {keyword}")),
                (true, true) => missing.push(format!("{block}: {keyword} is there")),
                (true, false) | (false, true) => {}
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What `-t` says about the number of addresses of an instance.
fn listed(which: Which, ns: &Namespace, dir: &TempDir, lines: &str, addresses: &str) -> String {
    let path = dir.path().join("many.conf");
    let text = format!(
        "vrrp_instance V {{\n interface eth0\n virtual_router_id 5\n {lines}\n virtual_ipaddress {{\n{addresses} }}\n}}\n"
    );
    std::fs::write(&path, text).expect("our own directory");
    let mut command = Command::new(which.binary());
    command.arg("-t").arg("-f").arg(&path);
    let out = ns.run(|| command.output()).expect("it runs");
    let said =
        String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    let mut lines = said.lines();
    let line = lines.find_map(|l| Some(&l[l.find("Number of VIPs")?..]));
    line.unwrap_or("all").to_owned()
}

#[test]
fn as_many_addresses_are_listed_as_stock_lists() {
    if !root() {
        return;
    }
    let (ns, dir) = (Namespace::new(), TempDir::new());
    ns.ip("link add eth0 type veth peer name far");
    ns.ip("addr add 10.99.0.1/24 dev eth0");
    let many = |of: fn(u32) -> String| (0..300).map(of).collect::<String>();
    let v4 = many(|n| format!("10.{}.{}.1\n", n / 200, n % 200));
    let v6 = many(|n| format!("fe80::{:x}\n", n + 256));
    let ah = "authentication {\n auth_type AH\n auth_pass abc\n }";
    for mtu in [576, 577, 578, 1285, 1286, 1500, 1502] {
        ns.ip(&format!("link set eth0 mtu {mtu}"));
        for (lines, addresses) in [("", &v4), ("version 3", &v4), (ah, &v4), ("", &v6)] {
            if mtu < 1280 && addresses == &v6 {
                continue; // IPv6 has left the interface.
            }
            assert_eq!(
                listed(Ours, &ns, &dir, lines, addresses),
                listed(Stock, &ns, &dir, lines, addresses),
                "mtu {mtu}, {lines}: ours, stock"
            );
        }
    }
}
