//! Random reloads: a router that comes to a configuration by a reload, or by being killed and started with it, has in the
//! kernel what one has that was started with it; and who is the same in both stays what he is.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use nix::sys::signal::Signal;

use crate::dice::Dice;
use crate::lab::daemon::Daemon;
use crate::lab::{Lan, Node, PATIENCE, root, until_or};
use crate::routers::Which::Ours;

/// Changes of configuration for each seed.
const CHANGES: usize = 8;
/// Instances that may be there.
const INSTANCES: usize = 5;

/// Each of them or not; `#` becomes the number of the instance.
fn some(dice: &mut Dice, of: &[&str], number: usize) -> Vec<String> {
    let chosen = of.iter().filter(|_| dice.below(2) == 0);
    chosen
        .map(|line| line.replace('#', &number.to_string()))
        .collect()
}

/// What a file says of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Router {
    lines: Vec<String>,
    /// Block and what stands in it.
    blocks: Vec<(&'static str, Vec<String>)>,
}

impl Router {
    /// Numbers from 3 on speak IPv6.
    fn new(dice: &mut Dice, number: usize) -> Self {
        let v6 = number >= 3;
        let mut lines = vec![
            format!("virtual_router_id {}", number + 10),
            "version 3".to_owned(),
            "advert_int 0.1".to_owned(),
            format!("priority {}", 100 + 10 * dice.below(3)),
            format!("interface {}", dice.pick(&["eth0", "eth1"])),
        ];
        let vmac = dice.pick(&[
            "",
            "",
            "use_vmac",
            "use_vmac\n vmac_xmit_base",
            "use_vmac own#",
        ]);
        lines.push(vmac.replace('#', &number.to_string()));
        lines.extend(some(
            dice,
            &["no_accept", "nopreempt", "promote_secondaries"],
            number,
        ));
        let (first, more, excluded): (_, &[&str], &[&str]) = match v6 {
            true => (
                format!("fe80::{number}:64"),
                &[
                    "fd01::#:1/64",
                    "fd01::#:2/64 preferred_lft 0",
                    "fd02::#:3/128 dev eth1",
                ],
                &["fd03::#:4/64", "fd03::#:5/64 dev eth0 nodad"],
            ),
            false => (
                format!("10.1.1{number}.1/24"),
                &[
                    "10.1.1#.2/24",
                    "10.1.1#.3/32 dev eth1",
                    "10.5.#.4/24 dev eth0 label eth0:v# brd -",
                    "10.5.#.5/32 scope link",
                    "10.6.#.6 use_vmac",
                ],
                &["10.1.1#.7/24", "fd04::#:8/64", "10.7.#.9/24 dev eth1"],
            ),
        };
        let mut addresses = vec![first];
        addresses.extend(some(dice, more, number));
        let routes: &[&str] = match v6 {
            true => &[
                "fd20:#::/32 via fd01::9 dev eth0",
                "fd21:#::/32 dev eth1 metric 7",
            ],
            false => &[
                "10.20.#.0/24 via 10.1.0.2 dev eth0",
                "10.21.#.0/24 dev eth1 metric 5 table 2#",
                "blackhole 10.22.#.0/24",
            ],
        };
        let rules: &[&str] = match v6 {
            true => &["from fd20:#::/32 table 2# preference 30#"],
            false => &[
                "from 10.20.#.0/24 table 2# preference 20#",
                "to 10.21.#.0/24 iif eth1 table 2# preference 21#",
            ],
        };
        let blocks = vec![
            ("virtual_ipaddress", addresses),
            ("virtual_ipaddress_excluded", some(dice, excluded, number)),
            ("virtual_routes", some(dice, routes, number)),
            ("virtual_rules", some(dice, rules, number)),
        ];
        Self { lines, blocks }
    }
}

/// A whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    /// Lines of `global_defs`.
    globals: Vec<String>,
    statics: Vec<String>,
    routers: Vec<Option<Router>>,
    /// Members of a sync group.
    together: BTreeSet<usize>,
}

impl File {
    fn new(dice: &mut Dice) -> Self {
        let mut file = Self {
            globals: Vec::new(),
            statics: Vec::new(),
            routers: vec![None; INSTANCES],
            together: BTreeSet::new(),
        };
        for _ in 0..8 {
            file.change(dice);
        }
        file
    }

    fn change(&mut self, dice: &mut Dice) {
        let number = dice.below(INSTANCES);
        match dice.below(8) {
            0 => self.routers[number] = None,
            1..=3 => self.routers[number] = Some(Router::new(dice, number)),
            // One part of it is another one.
            4..=5 => {
                let other = Router::new(dice, number);
                if let Some(router) = &mut self.routers[number] {
                    let part = dice.below(router.blocks.len());
                    router.blocks[part] = other.blocks[part].clone();
                }
            }
            6 => {
                if !self.together.remove(&number) {
                    self.together.insert(number);
                }
            }
            _ => {
                self.globals = some(dice, &["disable_local_igmp", "vrrp_garp_master_delay 1"], 0);
                let statics = [
                    "static_ipaddress {\n 10.30.0.1/24 dev eth1\n}",
                    "static_routes {\n 10.31.0.0/24 via 10.1.0.3 dev eth0\n}",
                    "static_rules {\n from 10.31.0.0/24 table 31 preference 31\n}",
                ];
                self.statics = some(dice, &statics, 0);
            }
        }
    }

    fn group(&self) -> Vec<usize> {
        let there = |n: &&usize| self.routers[**n].is_some();
        self.together.iter().filter(there).copied().collect()
    }

    fn text(&self) -> String {
        let mut text = format!(
            "global_defs {{\n router_id lab\n {}\n}}\n",
            self.globals.join("\n ")
        );
        for block in &self.statics {
            let _ = writeln!(text, "{block}");
        }
        for (number, router) in self.routers.iter().enumerate() {
            let Some(Router { lines, blocks }) = router else {
                continue;
            };
            let _ = writeln!(text, "vrrp_instance V{number} {{\n {}", lines.join("\n "));
            for (block, lines) in blocks.iter().filter(|(_, lines)| !lines.is_empty()) {
                let _ = writeln!(text, " {block} {{\n  {}\n }}", lines.join("\n  "));
            }
            text.push_str("}\n");
        }
        let group = self.group();
        if group.len() > 1 {
            let members: String = group.iter().map(|n| format!("  V{n}\n")).collect();
            let _ = writeln!(text, "vrrp_sync_group G {{\n group {{\n{members} }}\n}}");
        }
        text
    }

    /// Instances that are the same in both, and of whom nobody else has a say.
    fn untouched(&self, other: &Self) -> Vec<usize> {
        let same = |n: &usize| {
            let groups = [self.group(), other.group()];
            self.routers[*n].is_some()
                && self.routers[*n] == other.routers[*n]
                && !groups.iter().any(|group| group.contains(n))
        };
        (0..INSTANCES).filter(same).collect()
    }
}

const SHOWN: &[&str] = &[
    "-o -d addr",
    "-o -d link show type macvlan",
    "-4 route show table all",
    "-6 route show table all",
    "-4 rule",
    "-6 rule",
];

const SETTINGS: &[&str] = &[
    "ipv4/conf/*/arp_ignore",
    "ipv4/conf/*/arp_filter",
    "ipv4/conf/*/rp_filter",
    "ipv4/conf/*/promote_secondaries",
    "ipv4/conf/*/accept_local",
    "ipv6/conf/*/disable_ipv6",
    "ipv6/conf/*/addr_gen_mode",
    "ipv4/igmp_link_local_mcast_reports",
];

fn lan() -> Lan {
    let lan = Lan::new("eth0", &["10.1.0.1/24"]);
    let node = lan.node(0);
    node.ip(
        "link add eth1 address 02:00:00:00:01:01 type veth peer name far address 02:00:00:00:01:02",
    );
    node.ip("link set eth1 up");
    node.ip("link set far up");
    node.ip("addr add 10.2.0.1/24 dev eth1");
    node.ip("addr add fd01::1/64 dev eth0 nodad");
    crate::kernel::wait_shows(node, "-6 addr show to fe80::/64", "tentative", false);
    lan
}

/// Everything that a router may have changed, in an order of its own: who was there first is a matter of history.
fn kernel(node: &Node) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for command in SHOWN {
        let lines = plain(&node.ip(command));
        all.extend(
            lines
                .lines()
                .map(|line| format!("{command}: {}", steady(line))),
        );
    }
    let script = format!(
        "cd /proc/sys/net; grep . {} 2>/dev/null; nft list ruleset",
        SETTINGS.join(" ")
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]);
    let out = node.ns.run(|| command.output()).expect("sh runs");
    let mut within: Vec<&str> = Vec::new();
    let said = plain(&String::from_utf8_lossy(&out.stdout));
    for line in said.lines().map(str::trim) {
        if let Some(block) = line.strip_suffix('{') {
            within.push(block);
        } else if line == "}" {
            within.pop();
        } else {
            let words = line.split([' ', ',', '\t']);
            let mut words: Vec<_> = words
                .filter(|w| !matches!(*w, "elements" | "=" | "{" | "}"))
                .collect();
            words.sort_unstable();
            all.insert(format!("{}: {}", within.concat(), words.join(" ").trim()));
        }
    }
    // A name that a killed router has left on another interface is taken, for stock, too.
    all.into_iter()
        .map(|l| l.replace("vrrp1.", "vrrp."))
        .collect()
}

/// With one name for each VMAC: one that is there already keeps its own, and says so, and one that a killed router has left
/// on another interface makes others take the next.
fn plain(text: &str) -> String {
    let text = text.replace("vrrp1.", "vrrp.").replace("vrrp6.", "vrrp.");
    (0..INSTANCES).fold(text, |text, n| {
        text.replace(&format!("vrrp.1{n}"), &format!("own{n}"))
    })
}

/// Without what tells which was first, and how long it lives.
fn steady(line: &str) -> String {
    let words = line.split_whitespace();
    let without_index =
        words.skip_while(|w| w.ends_with(':') && w.starts_with(|c: char| c.is_ascii_digit()));
    let kept = without_index.filter(|w| !matches!(*w, "secondary" | "tentative"));
    let kept = kept.filter(|w| !w.ends_with("sec"));
    kept.collect::<Vec<_>>().join(" ")
}

fn assert_equal(what: &str, came: &Node, wanted: &dyn Fn() -> BTreeSet<String>) {
    until_or(
        || {
            let (came, wanted) = (kernel(came), wanted());
            let more: Vec<_> = came.difference(&wanted).collect();
            let less: Vec<_> = wanted.difference(&came).collect();
            format!("{what}: too much {more:#?}, missing {less:#?}")
        },
        PATIENCE,
        || (kernel(came) == wanted()).then_some(()),
    );
}

/// A router that listens to signals.
fn start(node: &Node, file: &File) -> Daemon {
    let daemon = Ours.start(node, &file.text());
    daemon.wait_log("Startup complete");
    wait_masters(&daemon, file, 0);
    daemon
}

/// All instances are masters: nobody else is there.
fn wait_masters(daemon: &Daemon, file: &File, before: usize) {
    let there = file.routers.iter().enumerate().filter(|(_, r)| r.is_some());
    for (number, _) in there {
        let state = |log: &str| {
            let of = format!("(V{number}) Entering ");
            let last = log.lines().rfind(|l| l.contains(&of));
            last.is_some_and(|l| l.contains("MASTER"))
        };
        until_or(
            || format!("V{number} is master\n{}\n{}", file.text(), daemon.log()),
            PATIENCE,
            || (daemon.log().len() > before && state(&daemon.log())).then_some(()),
        );
    }
}

/// One seed's story.
fn play(seed: u64) {
    if !root() {
        return;
    }
    let mut dice = Dice(seed);
    let (travelled, fresh) = (lan(), lan());
    let (node, other) = (travelled.node(0), fresh.node(0));
    let bare = kernel(other);
    let mut file = File::new(&mut dice);
    let mut daemon = start(node, &file);
    for change in 0..CHANGES {
        let before = file.clone();
        while file == before {
            for _ in 0..=dice.below(3) {
                file.change(&mut dice);
            }
        }
        let what = format!(
            "seed {seed}, change {change}, from\n{}\nto\n{}",
            before.text(),
            file.text()
        );
        let killed = dice.below(3) == 0;
        let said = daemon.log().len();
        if killed {
            daemon.kill();
            daemon = start(node, &file);
        } else {
            node.configure(&file.text());
            daemon.signal(Signal::SIGHUP);
            wait_masters(&daemon, &file, said);
        }
        let mut reference = start(other, &file);
        assert_equal(&format!("{what}\n{}", daemon.log()), node, &|| {
            kernel(other)
        });
        reference.stop();
        assert_equal(&format!("{what}, stopped"), other, &|| bare.clone());
        let log = daemon.log();
        let news = if killed { &log } else { &log[said..] };
        // An interface that is replaced is gone for a moment, which is no fault of its addresses.
        let mut refused = news.lines().filter(|line| line.contains("cannot "));
        assert!(
            refused.all(|line| line.contains("No such device") && !line.contains(" address ")),
            "{what}\n{news}"
        );
        // Whoever was late listens first, as he has to.
        let late = |line: &str| {
            line.contains("A thread timer expired") || line.contains("woke up too late")
        };
        if !killed && !news.lines().any(late) {
            for n in before.untouched(&file) {
                let moved = format!("(V{n}) Entering");
                assert!(!news.contains(&moved), "V{n} is the same, {what}\n{news}");
            }
        }
    }
    daemon.stop();
    assert_equal(&format!("seed {seed}, the end"), node, &|| bare.clone());
}

/// `LAB_SEED` for other stories.
fn seed(n: u64) -> u64 {
    let given = std::env::var("LAB_SEED").ok();
    given.and_then(|s| s.parse().ok()).unwrap_or(1) * 100 + n
}

#[test]
fn a_router_that_has_come_a_long_way_is_as_one_that_has_just_begun() {
    play(seed(1));
}

#[test]
fn so_is_another_one() {
    play(seed(2));
}

#[test]
fn and_a_third_one() {
    play(seed(3));
}
