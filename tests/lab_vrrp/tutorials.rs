//! The setups that tutorials teach: the same file on stock keepalived and on ours ends the same way at every step.

use std::fs;
use std::path::PathBuf;

use crate::lab::daemon::Daemon;
use crate::lab::frame::Seen;
use crate::lab::{Lan, PATIENCE, root};
use crate::routers::Which::{self, Ours, Stock};

/// One setup of two files.
struct Setup {
    name: &'static str,
    interface: &'static str,
    /// Of the two machines.
    addrs: [&'static str; 2],
    vip: &'static str,
    /// `-P` where the file has virtual servers and stock, without IPVS in the kernel, would give up altogether.
    options: &'static [&'static str],
}

/// What can be seen after a step: who advertises at which priority, and `ip addr` of both machines.
type Step = (String, Option<(usize, u8)>, [String; 2]);

struct Pair {
    lan: Lan,
    which: Which,
    setup: Setup,
    steps: Vec<Step>,
}

impl Pair {
    fn new(which: Which, setup: Setup) -> Self {
        let lan = Lan::new(setup.interface, &setup.addrs);
        for node in 0..2 {
            lan.node(node).file(
                "nginx_check.sh",
                &format!(
                    "#!/bin/sh\n[ ! -e {} ]\n",
                    lan.node(node).path("broken").display()
                ),
                0o755,
            );
        }
        Self {
            lan,
            which,
            setup,
            steps: Vec::new(),
        }
    }

    fn start(&self, node: usize) -> Daemon {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!(
            "tests/lab_vrrp/tutorials/{}-{}.conf",
            self.setup.name,
            node + 1
        ));
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let node = self.lan.node(node);
        let dir = node.path("");
        let text = text.replace("@DIR@/", &dir.display().to_string());
        let daemon = node.start_with(&self.which.binary(), &text, self.setup.options);
        daemon.wait_log("Startup complete");
        // From now on its timer runs.
        daemon.wait_log(" Entering ");
        daemon
    }

    /// Waits until things are quiet, that is six advertisements of one machine in a row, which is longer than anybody waits
    /// who would like to be master, and notes what is to be seen.
    fn settle(&mut self, step: &str) {
        let from = crate::lab::daemon::now();
        let winner = self.lan.wait(step, PATIENCE, |seen| {
            let adverts: Vec<&Seen> = seen
                .iter()
                .filter(|s| s.at > from && s.advert().is_some())
                .collect();
            let last = adverts.last_chunk::<6>()?;
            let who = (last[0].node, last[0].priority()?);
            last.iter()
                .all(|s| (s.node, s.priority()) == (who.0, Some(who.1)))
                .then_some(who)
        });
        self.lan.node(winner.0).wait_has(self.setup.vip, true);
        self.lan.node(1 - winner.0).wait_has(self.setup.vip, false);
        let addrs = [0, 1].map(|n| self.lan.node(n).ip_addr());
        self.steps.push((step.to_owned(), Some(winner), addrs));
    }

    /// Notes the states that each machine went through.
    fn transitions(&mut self) {
        for n in 0..2 {
            let mut states = String::new();
            for log in self.lan.node(n).logs() {
                let text = fs::read_to_string(&log).unwrap_or_default();
                for line in text
                    .lines()
                    .filter(|l| l.contains(" Entering ") && l.contains(" STATE"))
                {
                    states += &line[line.find('(').unwrap_or_default()..];
                    states += "; ";
                }
            }
            self.steps.push((
                format!("transitions of node {n}: {states}"),
                None,
                [String::new(), String::new()],
            ));
        }
    }

    /// First alone, then with its backup, then stopped, then back, then the backup killed and back.
    fn story(mut self, first: usize) -> Vec<Step> {
        let second = 1 - first;
        let mut a = self.start(first);
        self.settle("one is started");
        let mut b = self.start(second);
        self.settle("the other is started");
        a.stop();
        self.settle("the first is stopped");
        let _a = self.start(first);
        self.settle("the first is back");
        b.stop();
        self.settle("the second is stopped");
        let _b = self.start(second);
        self.settle("the second is back");
        self.transitions();
        self.steps
    }

    /// The service of the better router breaks and is mended.
    fn service_story(mut self) -> Vec<Step> {
        let _a = self.start(0);
        self.settle("one is started");
        let _b = self.start(1);
        self.settle("the other is started");
        let broken = self.lan.node(0).file("broken", "", 0o644);
        self.lan.advert("the other takes over", 1, 0, |_| true);
        self.settle("the service of the first is broken");
        let mended = crate::lab::daemon::now();
        fs::remove_file(broken).expect("our own file");
        self.lan.advert("the first is back", 0, mended, |_| true);
        self.settle("the service is mended");
        self.transitions();
        self.steps
    }
}

/// Runs a story with two of stock and with two of ours.
fn same(setup: fn() -> Setup, story: fn(Pair) -> Vec<Step>) {
    if !root() {
        return;
    }
    let (ours, stock) = std::thread::scope(|scope| {
        let stock = scope.spawn(move || story(Pair::new(Stock, setup())));
        (
            story(Pair::new(Ours, setup())),
            stock.join().expect("stock keepalived runs"),
        )
    });
    for (ours, stock) in ours.iter().zip(&stock) {
        assert_eq!(ours, stock, "ours, then stock's");
    }
    assert_eq!(ours.len(), stock.len());
}

fn setup(
    name: &'static str,
    interface: &'static str,
    addrs: [&'static str; 2],
    vip: &'static str,
) -> Setup {
    Setup {
        name,
        interface,
        addrs,
        vip,
        options: &[],
    }
}

fn script_bonus() -> Setup {
    setup(
        "script-bonus",
        "eth0",
        ["10.63.0.154/24", "10.63.0.155/24"],
        "10.63.0.158",
    )
}

fn label() -> Setup {
    setup(
        "label",
        "eth1",
        ["192.168.31.11/24", "192.168.31.12/24"],
        "192.168.31.5",
    )
}

fn service() -> Setup {
    setup(
        "service",
        "ens33",
        ["192.168.37.11/24", "192.168.37.12/24"],
        "192.168.37.100",
    )
}

fn no_such_script() -> Setup {
    setup(
        "no-such-script",
        "ens33",
        ["192.168.37.11/24", "192.168.37.12/24"],
        "192.168.37.100",
    )
}

fn lvs() -> Setup {
    Setup {
        options: &["-P"],
        ..setup(
            "lvs",
            "eth0",
            ["10.1.1.161/24", "10.1.1.162/24"],
            "10.1.1.166",
        )
    }
}

fn nopreempt() -> Setup {
    setup(
        "nopreempt",
        "eth0",
        ["10.1.1.161/24", "10.1.1.162/24"],
        "10.1.1.166",
    )
}

fn script_malus() -> Setup {
    setup(
        "script-malus",
        "eth0",
        ["10.1.1.161/24", "10.1.1.162/24"],
        "10.1.1.166",
    )
}

#[test]
fn a_script_that_is_worth_something() {
    same(script_bonus, |pair| pair.story(0));
}

#[test]
fn a_script_that_is_worth_something_breaks() {
    same(script_bonus, Pair::service_story);
}

#[test]
fn a_labelled_address() {
    same(label, |pair| pair.story(0));
}

#[test]
fn the_backup_comes_first() {
    same(label, |pair| pair.story(1));
}

#[test]
fn a_service_that_must_run() {
    same(service, Pair::service_story);
}

#[test]
fn a_script_that_was_never_installed() {
    same(no_such_script, |pair| pair.story(0));
}

#[test]
fn a_pair_of_load_balancers() {
    same(lvs, |pair| pair.story(0));
}

#[test]
fn a_better_router_that_does_not_preempt() {
    same(nopreempt, |pair| pair.story(0));
}

#[test]
fn a_service_that_runs_nowhere() {
    same(script_malus, |pair| pair.story(0));
}
