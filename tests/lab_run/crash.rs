//! SIGKILL at any moment: the next start finds what the last one left, keeps what its configuration wants and removes
//! the rest.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::daemon::Daemon;
use crate::lab::ns::Namespace;
use crate::lab::{Lan, Node, PATIENCE, poll, root, until_or};

/// How often the plug is pulled.
const MOMENTS: usize = 200;
/// Machines that do it side by side.
const MACHINES: usize = 8;

/// Everything that a daemon puts into the kernel. The second one lacks much of the first, and has something else.
const CONFS: [(&str, usize); 2] = [
    (
        "global_defs {
    vrrp_version 3
    nftables
}
static_ipaddress {
    10.9.9.9/24 dev eth0
}
static_routes {
    10.20.0.0/16 via 10.66.0.2 dev eth0
}
static_rules {
    from 10.20.0.0/16 table 20 priority 20
}
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    priority 150
    advert_int 0.05
    no_accept
    virtual_ipaddress {
        10.66.0.100/24
        10.66.0.101/32
    }
    virtual_ipaddress_excluded {
        fd66::100/64 dev eth0
    }
    virtual_routes {
        10.30.0.0/16 via 10.66.0.2 dev eth0
    }
    virtual_rules {
        from 10.30.0.0/16 table 30 priority 30
    }
}
vrrp_instance M {
    interface eth0
    virtual_router_id 2
    use_vmac
    advert_int 0.05
    virtual_ipaddress {
        10.66.0.110/24
    }
}
",
        2,
    ),
    (
        "global_defs {
    vrrp_version 3
}
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    priority 150
    advert_int 0.05
    promote_secondaries
    virtual_ipaddress {
        10.66.0.101/32
        10.66.0.120/24
    }
    virtual_rules {
        from 10.30.0.0/16 table 30 priority 30
        from 10.31.0.0/16 table 31 priority 31
    }
}
",
        1,
    ),
];

/// What the kernel holds, without what differs from time to time: numbers of interfaces, lifetimes, order.
fn picture(ns: &Namespace) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for args in [
        "-o addr",
        "-o -d link",
        "-4 route show table all",
        "-6 route show table all",
        "-4 rule",
        "-6 rule",
    ] {
        for line in ns.ip(args).lines() {
            let line = match args {
                "-o addr" | "-o -d link" => line.split_once(": ").map_or(line, |(_, l)| l),
                _ => line,
            };
            let mut words = line.split_whitespace();
            let mut kept = vec![args.to_owned()];
            while let Some(word) = words.next() {
                match word {
                    "link-netnsid" => _ = words.next(),
                    _ => kept.push(word.split("@if").next().unwrap_or(word).to_owned()),
                }
            }
            lines.insert(kept.join(" "));
        }
    }
    ns.run(|| {
        let rules = Command::new("nft").args(["list", "ruleset"]).output();
        let rules = rules.expect("nftables is installed").stdout;
        lines.extend(String::from_utf8_lossy(&rules).lines().map(str::to_owned));
        for family in ["ipv4", "ipv6"] {
            let all = fs::read_dir(format!("/proc/sys/net/{family}/conf"));
            for interface in all.into_iter().flatten().flatten() {
                for value in fs::read_dir(interface.path())
                    .into_iter()
                    .flatten()
                    .flatten()
                {
                    let (path, text) = (value.path(), fs::read_to_string(value.path()));
                    lines.insert(format!("{}: {}", path.display(), text.unwrap_or_default()));
                }
            }
        }
    });
    lines
}

/// `LAB_SEED` for other moments.
fn first_seed() -> u64 {
    let given = std::env::var("LAB_SEED").ok();
    given.and_then(|s| s.parse().ok()).unwrap_or(1)
}

/// Numbers from a seed: xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }

    fn pause(&mut self, longest: Duration) {
        let micros = u64::try_from(longest.as_micros()).expect("short");
        // The very moment is what is left to chance.
        std::thread::sleep(Duration::from_micros(self.below(micros)));
    }
}

fn start(node: &Node, conf: usize) -> Daemon {
    node.start(env!("CARGO_BIN_EXE_keepalived-rs").as_ref(), CONFS[conf].0)
}

fn masters(daemon: &Daemon, conf: usize) {
    let wanted = CONFS[conf].1;
    until_or(
        || format!("{wanted} masters\n{}", daemon.log()),
        PATIENCE,
        || {
            let log = daemon.log();
            (log.matches("Entering MASTER STATE").count() >= wanted).then_some(())
        },
    );
}

#[track_caller]
fn settles(node: &Node, wanted: &BTreeSet<String>, story: &str) {
    if poll(PATIENCE, || (picture(&node.ns) == *wanted).then_some(())).is_some() {
        return;
    }
    let got = picture(&node.ns);
    let missing: Vec<_> = wanted.difference(&got).collect();
    let left: Vec<_> = got.difference(wanted).collect();
    panic!(
        "{story}\nmissing: {missing:#?}\ntoo much: {left:#?}\n{}",
        node.last_log()
    );
}

/// One machine: how the kernel looks without us and with each configuration, how long things take, then the moments.
fn machine(number: usize, next: &AtomicUsize) {
    let lan = Lan::new("eth0", &["10.66.0.1/24"]);
    let node = lan.node(0);
    // No address is tentative, no link-local one comes late.
    for interface in ["all", "default", "eth0"] {
        node.ns
            .sysctl(&format!("net/ipv6/conf/{interface}/accept_dad"), "0");
    }
    let settled = || !node.ip("addr").contains("tentative");
    until_or(|| node.ip("addr"), PATIENCE, || settled().then_some(()));
    let before = picture(&node.ns);
    let begun = Instant::now();
    let mut daemon = start(node, 0);
    masters(&daemon, 0);
    let to_master = begun.elapsed();
    let kept = picture_at_rest(node);
    let begun = Instant::now();
    node.configure(CONFS[1].0);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("Reload complete");
    let to_reload = begun.elapsed();
    let begun = Instant::now();
    daemon.stop();
    let to_stop = begun.elapsed();
    settles(node, &before, "after the first stop");
    let mut daemon = start(node, 1);
    masters(&daemon, 1);
    let pictures = [kept, picture_at_rest(node)];
    daemon.stop();
    settles(node, &before, "after the second stop");
    assert_ne!(pictures[0], pictures[1]);
    loop {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        if turn >= MOMENTS {
            return;
        }
        let seed = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(first_seed() + turn as u64);
        let mut chance = Chance(seed);
        let first = usize::try_from(chance.below(2)).expect("small");
        let second = usize::try_from(chance.below(2)).expect("small");
        let mut daemon = start(node, first);
        let phase = match turn % 4 {
            0 => {
                chance.pause(to_master / 4);
                "start"
            }
            1 => {
                chance.pause(to_master * 5 / 4);
                "election"
            }
            2 => {
                masters(&daemon, first);
                node.configure(CONFS[second].0);
                daemon.signal(Signal::SIGHUP);
                chance.pause(to_reload * 5 / 4);
                "reload"
            }
            _ => {
                masters(&daemon, first);
                daemon.terminate();
                chance.pause(to_stop * 5 / 4);
                "stop"
            }
        };
        daemon.kill();
        let story = format!(
            "machine {number}, turn {turn}: killed in the {phase} of {first}, then {second}"
        );
        let mut daemon = start(node, second);
        masters(&daemon, second);
        settles(node, &pictures[second], &story);
        let status = daemon.stop();
        assert!(status.success(), "{story}: {status}\n{}", daemon.log());
        settles(node, &before, &format!("{story}, then stopped"));
        // Else the directory fills with logs.
        node.logs()
            .into_iter()
            .for_each(|log| _ = fs::remove_file(log));
    }
}

/// The picture, once it has been the same for a while.
fn picture_at_rest(node: &Node) -> BTreeSet<String> {
    let mut last = picture(&node.ns);
    let mut since = Instant::now();
    until_or(
        || node.last_log(),
        PATIENCE,
        || {
            let now = picture(&node.ns);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_secs(2)).then(|| last.clone())
        },
    )
}

#[test]
fn killed_at_any_moment_the_next_start_leaves_the_kernel_as_a_fresh_one() {
    if !root() {
        return;
    }
    let _alone = crate::alone();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let machines: Vec<_> = (0..MACHINES)
            .map(|number| {
                let next = &next;
                scope.spawn(move || machine(number, next))
            })
            .collect();
        for machine in machines {
            if let Err(panic) = machine.join() {
                next.store(MOMENTS, Ordering::Relaxed); // the others need not go on
                std::panic::resume_unwind(panic);
            }
        }
    });
}
