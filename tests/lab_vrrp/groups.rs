//! Sync groups: instances that are master together or not at all.

use std::fs;

use crate::lab::daemon::{Daemon, now};
use crate::lab::{Lan, PATIENCE, root};
use crate::routers::Which::{self, Ours, Stock};
use crate::routers::{assert_on_time, lan, skew_time};

const VIPS: [&str; 2] = ["10.66.0.101", "10.66.0.102"];

/// Two instances in a group; the first tracks a script, on the router that has one.
fn start(which: Which, lan: &Lan, node: usize, priority: u8) -> Daemon {
    let flag = lan.node(node).file("healthy", "", 0o644);
    let text = format!("#!/bin/sh\n[ -e {} ]\n", flag.display());
    let script = lan.node(node).file("check.sh", &text, 0o755);
    let instance = |name: &str, vrid: u8, vip: &str, more: &str| {
        format!(
            "vrrp_instance {name} {{\n state BACKUP\n interface eth0\n virtual_router_id {vrid}\n priority {priority}
 advert_int 1\n virtual_ipaddress {{\n {vip}/24\n }}\n {more}\n}}\n"
        )
    };
    let conf = format!(
        "global_defs {{\n script_user root\n}}\nvrrp_script check {{\n script {}\n interval 1\n}}
vrrp_sync_group G {{\n group {{\n A\n B\n }}\n}}\n{}{}",
        script.display(),
        instance("A", 71, VIPS[0], "track_script {\n check\n }"),
        instance("B", 72, VIPS[1], ""),
    );
    which.start(lan.node(node), &conf)
}

fn holds(lan: &Lan, node: usize, wanted: bool) {
    for vip in VIPS {
        lan.node(node).wait_has(vip, wanted);
    }
}

/// The script of one member fails: both leave, and the other router takes both.
fn together(a: Which, b: Which) {
    if !root() {
        return;
    }
    let lan = lan();
    let master = start(a, &lan, 0, 150);
    let _backup = start(b, &lan, 1, 100);
    holds(&lan, 0, true);
    master.wait_log("VRRP_Group(G) Syncing instances to MASTER state");
    let broken = now();
    fs::remove_file(lan.node(0).path("healthy")).expect("our own file");
    let of = |vrid: u8, node: usize, zero: bool| {
        lan.wait("an advertisement of the member", PATIENCE, |seen| {
            let found = seen.iter().rfind(|s| {
                let told = s
                    .advert()
                    .is_some_and(|a| a.vrid == vrid && (a.priority == 0) == zero);
                s.node == node && s.at > broken && told
            });
            found.cloned()
        })
    };
    for vrid in [71, 72] {
        of(vrid, 0, true);
    }
    let first = lan.advert("the backup takes over", 1, broken, |_| true);
    // A group goes when its last member may: the second to resign counts.
    let resigned = [71, 72]
        .map(|vrid| of(vrid, 0, true).at)
        .into_iter()
        .max()
        .unwrap_or_default();
    assert_on_time(&lan, "takeover", resigned, first.at, skew_time(100));
    holds(&lan, 1, true);
    holds(&lan, 0, false);
    master.wait_log("VRRP_Group(G) Syncing instances to FAULT state");
    lan.node(0).file("healthy", "", 0o644);
    holds(&lan, 0, true);
    holds(&lan, 1, false);
}

#[test]
fn two_of_ours_move_together() {
    together(Ours, Ours);
}

#[test]
fn our_master_and_a_stock_backup_move_together() {
    together(Ours, Stock);
}

#[test]
fn a_stock_master_and_our_backup_move_together() {
    together(Stock, Ours);
}
