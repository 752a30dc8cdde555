//! A storm of reloads over many masters: nobody on the wire may notice.
//!
//! `LAB_STORM=full` makes it a thousand reloads; `LAB_OURS` names another binary, such as an optimised one.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::daemon::{Daemon, now};
use crate::lab::witness::stood_still;
use crate::lab::{Lan, Node, PATIENCE, root, until_or};
use crate::routers::LATE;

/// Half of them IPv4, half IPv6.
const INSTANCES: usize = 500;
/// Between reloads.
const PACE: Duration = Duration::from_millis(100);
/// Between advertisements, and what counts as a gap.
const INTERVAL: Duration = Duration::from_secs(1);

fn conf(turn: usize) -> String {
    // Every second turn something changes that concerns no instance.
    let unrelated = turn / 2;
    let mut text = format!(
        "global_defs {{\n router_id lab{unrelated}\n vrrp_version 3\n vrrp_garp_master_repeat 1\n \
         vrrp_garp_master_delay 0\n script_user root\n}}\n\
         vrrp_script s {{\n script \"/bin/true {unrelated}\"\n interval 100\n}}\n"
    );
    for n in 0..INSTANCES {
        let (vrid, address) = match n % 2 {
            0 => (n / 2 + 1, format!("10.67.{}.1/32", n / 2)),
            _ => (n / 2 + 1, format!("fe80::67:{n:x}/128")),
        };
        // Writing to a String cannot fail.
        _ = write!(
            text,
            "vrrp_instance V{n} {{\n interface eth0\n virtual_router_id {vrid}\n advert_int 1\n \
             virtual_ipaddress {{\n {address}\n }}\n}}\n"
        );
    }
    match turn % 10 {
        // Refused: what it says cannot be.
        3 => text.replacen("interface eth0", "interface nosuch0", 1),
        // Complained of.
        7 => text + "bogus 1\n",
        _ => text,
    }
}

/// In one step: a reload must not see half of it, which would be another configuration.
fn put(node: &Node, turn: usize) {
    let draft = node.file("draft.conf", &conf(turn), 0o644);
    fs::rename(draft, node.path("keepalived.conf")).expect("our own files");
}

/// Resident kilobytes and open files.
fn weight(daemon: &Daemon) -> (usize, usize) {
    let pid = daemon.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let rss = rss.and_then(|l| l.split_whitespace().next()?.parse().ok());
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    (rss.expect("a number"), files.count())
}

#[test]
fn a_storm_of_reloads_changes_nothing_on_the_wire() {
    if !root() {
        return;
    }
    let _alone = crate::alone();
    let full = std::env::var_os("LAB_STORM").is_some_and(|word| word == "full");
    let reloads = if full { 1_000 } else { 150 };
    let lan = Lan::new("eth0", &["10.66.0.1/24"]);
    let node = lan.node(0);
    let ours = std::env::var_os("LAB_OURS").map(PathBuf::from);
    let ours = ours.unwrap_or_else(|| env!("CARGO_BIN_EXE_keepalived-rs").into());
    let mut daemon = node.start(&ours, &conf(0));
    let masters = |d: &Daemon| d.log().matches("Entering MASTER STATE").count();
    until_or(
        || format!("{} masters", masters(&daemon)),
        Duration::from_secs(60),
        || (masters(&daemon) == INSTANCES).then_some(()),
    );
    let begun = now();
    let quiet = daemon.log().len();
    let mut early = None;
    let start = Instant::now();
    let said = |d: &Daemon, what: &str| d.log().matches(what).count();
    // On a busy machine one reload takes the place of many: it goes on until enough have been taken, and one refused.
    let enough =
        |d: &Daemon| said(d, "Reload complete") > reloads / 10 && said(d, "Reload refused") > 0;
    let mut turn = 0;
    while turn < reloads || (turn < 10 * reloads && !enough(&daemon)) {
        turn += 1;
        put(node, turn);
        daemon.signal(Signal::SIGHUP);
        if turn == reloads / 3 {
            early = Some(weight(&daemon));
        }
        let next = PACE * u32::try_from(turn).expect("few");
        std::thread::sleep(next.saturating_sub(start.elapsed())); // the pace of the storm
    }
    let ended = now();
    // The last one that is good is in force before the end.
    let taken = |d: &Daemon| said(d, "Reload complete");
    let so_far = taken(&daemon);
    put(node, 20 * reloads);
    daemon.signal(Signal::SIGHUP);
    until_or(
        || "the last reload".to_owned(),
        PATIENCE,
        || (taken(&daemon) > so_far).then_some(()),
    );
    let weighs = weight(&daemon);
    let (early_rss, early_files) = early.expect("a third of the way");
    let refused = said(&daemon, "Reload refused");
    let files = weighs.1;
    let story = format!(
        "{turn} reloads in {:?}: {} taken, {refused} refused, \
         resident {early_rss} -> {} kB, files {early_files} -> {files}",
        start.elapsed(),
        taken(&daemon),
        weighs.0
    );
    let mut last: HashMap<(IpAddr, u8), u64> = HashMap::new();
    let mut longest = Duration::ZERO;
    // What the machine stood still for is not the daemon's; asked only where it would count.
    let mut gap = |from: u64, to: u64| {
        let gap = Duration::from_nanos(to - from);
        if gap > longest {
            longest = longest.max(gap.saturating_sub(stood_still(from, to)));
        }
    };
    for seen in lan.events() {
        let Some(advert) = seen.advert() else {
            continue;
        };
        if seen.at > ended {
            break;
        }
        assert_ne!(
            advert.priority,
            0,
            "an instance has resigned: {story}\n{}",
            daemon
                .log()
                .lines()
                .filter(|l| !l.contains("ratuitous") && !l.contains("nsolicited"))
                .map(|l| format!("{l}\n"))
                .collect::<String>()
        );
        let before = last.insert((advert.src, advert.vrid), seen.at);
        if let Some(before) = before.filter(|_| seen.at > begun) {
            gap(before.max(begun), seen.at);
        }
    }
    for at in last.values() {
        gap(*at, ended);
    }
    let story = format!("longest gap {longest:?}, {story}");
    if full {
        // For whoever asked for it; not through `println!`, which the test runner keeps to itself.
        let _ = writeln!(std::io::stderr(), "{story}");
    }
    assert_eq!(last.len(), INSTANCES, "{story}");
    // The short storm runs beside other tests, on a machine that may be busy.
    let late = if full { Duration::ZERO } else { LATE };
    assert!(longest <= INTERVAL * 3 / 2 + late, "{story}");
    assert_eq!(masters(&daemon), INSTANCES, "transitions: {story}");
    let log = daemon.log();
    let mut since = log[quiet..].lines();
    assert_eq!(since.find(|l| l.contains("Entering")), None, "{story}");
    assert!(refused > 0 && taken(&daemon) > reloads / 10, "{story}");
    assert!(files <= early_files + 2, "descriptors: {story}");
    // A third of the storm has seen every size that there is.
    assert!(
        weighs.0 <= early_rss + early_rss / 10 + 1024,
        "memory: {story}"
    );
    assert!(daemon.stop().success(), "{}", daemon.log());
}
