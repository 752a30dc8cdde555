//! A thousand transitions in ten seconds, told by slow scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use crate::lab::daemon::Daemon;
use crate::lab::{Lan, PATIENCE, until_or};
use crate::routers::Which::Ours;
use crate::routers::lan;

const INSTANCES: usize = 50;
const FLAPS: usize = 10;

fn conf(script: &str, fifo: &str) -> String {
    let mut text = format!("global_defs {{\n script_user root\n vrrp_notify_fifo {fifo}\n}}\n");
    for n in 1..=INSTANCES {
        let _ = write!(
            text,
            "vrrp_instance V{n} {{\n interface eth0\n version 3\n virtual_router_id {n}\n advert_int 1
 priority 100\n virtual_ipaddress {{\n 10.66.1.{n}/32\n }}\n notify \"{script}\"\n}}\n"
        );
    }
    text
}

fn descriptors(daemon: &Daemon) -> usize {
    let dir = fs::read_dir(format!("/proc/{}/fd", daemon.pid()));
    dir.map_or(0, Iterator::count)
}

fn last_states(lan: &Lan) -> BTreeMap<String, String> {
    let text = fs::read_to_string(lan.node(0).path("calls")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    lines.collect() // a later one replaces an earlier one
}

#[test]
fn after_a_storm_everybody_knows_the_last_state_and_nothing_is_left() {
    if !crate::lab::root() {
        return;
    }
    let lan = lan();
    let node = lan.node(0);
    let calls = node.path("calls").display().to_string();
    let text = format!("#!/bin/sh\nsleep 0.2\necho \"$@\" >>{calls}\n");
    let script = node.file("n.sh", &text, 0o755).display().to_string();
    let fifo = node.path("fifo").display().to_string();
    let mut daemon = Ours.start(node, &conf(&script, &fifo));
    let everybody = |state: &str, limit: u64| {
        until_or(
            || format!("everybody is told {state}\n{:?}", last_states(&lan)),
            Duration::from_secs(limit),
            || {
                let told = last_states(&lan);
                let all = told.len() == INSTANCES && told.values().all(|s| s == state);
                all.then_some(())
            },
        );
    };
    everybody("BACKUP", 60);
    let before = descriptors(&daemon);
    let began = Instant::now();
    for flap in 1..=FLAPS {
        lan.cable(0, false);
        daemon.wait_log_times("Entering FAULT STATE", flap * INSTANCES);
        lan.cable(0, true);
        daemon.wait_log_times("Entering BACKUP STATE\n", flap * INSTANCES);
    }
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!(
            "{} transitions in {:?}\n",
            2 * FLAPS * INSTANCES,
            began.elapsed()
        )
        .as_bytes(),
    );
    lan.cable(0, false);
    everybody("FAULT", 60);
    until_or(
        || "the scripts are gone, zombies too".to_owned(),
        PATIENCE,
        || (node.ns.processes().len() == 1 && descriptors(&daemon) <= before).then_some(()),
    );
    daemon.stop();
    let lines = last_states(&lan);
    assert!(lines.values().all(|s| s == "STOP"), "{lines:?}");
    assert!(node.ns.processes().is_empty());
    assert!(!node.path("fifo").exists());
}
