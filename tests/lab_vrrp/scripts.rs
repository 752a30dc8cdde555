//! Scripts: hostile ones that must not delay an advertisement, and the calls that notify scripts get.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use crate::lab::witness::stood_still;
use crate::lab::{Lan, PATIENCE, millis, root, until_or};
use crate::routers::Which::{self, Ours, Stock};
use crate::routers::{conf, lan};

/// Runs a router with one script for a while; its log. Fails if advertisements were late.
fn with_script(name: &str, text: &str, settings: &str, expect: &str) {
    if !root() {
        return;
    }
    let lan = lan();
    let path = lan.node(0).file("script", text, 0o755);
    let block = format!(
        "vrrp_script s {{\n script {}\n interval 1\n weight 5\n {settings}\n}}",
        path.display()
    );
    run(name, &lan, &block, expect);
}

fn run(name: &str, lan: &Lan, block: &str, expect: &str) {
    let daemon = Ours.start(lan.node(0), &conf(150, block, "track_script { s }"));
    daemon.wait_log(expect);
    let at = lan.wait("eight advertisements", PATIENCE, |seen| {
        let at: Vec<u64> = seen
            .iter()
            .filter(|s| s.node == 0 && s.advert().is_some())
            .map(|s| s.at)
            .collect();
        (at.len() >= 8).then_some(at)
    });
    let gaps = at.windows(2);
    let mut late: Vec<u64> = gaps
        .map(|p| (p[1] - p[0]).abs_diff(1_000_000_000))
        .collect();
    late.sort_unstable();
    // One that the machine made late costs two gaps; the script runs every second.
    let late = late[late.len() - 3];
    let _ = writeln!(
        std::io::stderr(),
        "script that {name}: advertisements {} ms late",
        millis(late)
    );
    let stalled = stood_still(at[0], at[at.len() - 1]);
    assert!(
        Duration::from_nanos(late) < Duration::from_millis(200) + stalled,
        "{} ms late\n{}",
        millis(late),
        lan.story()
    );
    assert!(!daemon.log().contains("FAULT"), "{}", daemon.log());
}

#[test]
fn a_script_that_sleeps_for_ever_times_out() {
    with_script(
        "sleeps for ever",
        "#!/bin/sh\nexec sleep 100000\n",
        "timeout 1",
        "VRRP_Script(s) timed_out",
    );
}

#[test]
fn a_script_that_ignores_sigterm_is_killed() {
    let text = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n";
    with_script(
        "ignores SIGTERM",
        text,
        "timeout 1",
        "VRRP_Script(s) timed_out",
    );
}

#[test]
fn a_script_that_leaves_a_daemon_behind_succeeds() {
    let text = "#!/bin/sh\nsetsid sleep 100000 &\nexit 0\n";
    with_script("forks a daemon", text, "", "VRRP_Script(s) succeeded");
}

#[test]
fn a_script_that_prints_a_gigabyte_succeeds() {
    let text = "#!/bin/sh\nexec head -c 1000000000 /dev/zero\n";
    // Nobody says how long a busy machine takes for that.
    with_script(
        "prints 1 GB",
        text,
        "timeout 60",
        "VRRP_Script(s) succeeded",
    );
}

#[test]
fn a_script_that_fails_fails() {
    with_script(
        "fails",
        "#!/bin/sh\nexit 3\n",
        "",
        "VRRP_Script(s) failed (exited with status 3)",
    );
}

#[test]
fn a_script_whose_interpreter_is_missing_fails() {
    with_script(
        "has no interpreter",
        "#!/nonexistent/interpreter\n",
        "",
        "VRRP_Script(s) failed",
    );
}

#[test]
fn a_script_that_does_not_exist_is_not_tracked() {
    if root() {
        let lan = lan();
        let path = lan.node(0).path("nothing");
        let block = format!(
            "vrrp_script s {{\n script {}\n interval 1\n}}",
            path.display()
        );
        run(
            "does not exist",
            &lan,
            &block,
            "Disabling track script s since not found/accessible",
        );
    }
}

#[test]
fn a_script_that_is_a_directory_is_not_tracked() {
    if root() {
        let lan = lan();
        let path = lan.node(0).path("folder");
        fs::create_dir(&path).expect("a directory in our own");
        let block = format!(
            "vrrp_script s {{\n script {}\n interval 1\n}}",
            path.display()
        );
        run("is a directory", &lan, &block, "Disabling track script s");
    }
}

/// The calls that every kind of notify script gets on the way through all states, transition by transition.
fn calls(which: Which) -> Vec<Vec<String>> {
    let lan = lan();
    let journal = lan.node(0).path("journal");
    let text = format!("#!/bin/sh\necho \"$@\" >>{}\n", journal.display());
    let script = lan.node(0).file("n.sh", &text, 0o755);
    let s = script.display();
    let notify = format!(
        "notify_master \"{s} i-master 'a b'\"\n notify_backup \"{s} i-backup\"\n notify_fault \"{s} i-fault\"
 notify_stop \"{s} i-stop\"\n notify \"{s} i-any\""
    );
    let group = format!(
        "vrrp_sync_group G {{\n group {{\n V\n }}\n notify_master \"{s} g-master\"\n notify_backup \"{s} g-backup\"
 notify_fault \"{s} g-fault\"\n notify \"{s} g-any\"\n}}"
    );
    let mut steps: Vec<Vec<String>> = Vec::new();
    let mut read = 0;
    let mut step = |what: &str, lines: usize| {
        let fresh = until_or(
            || format!("{what}\n{}", lan.story()),
            PATIENCE,
            || {
                let text = fs::read_to_string(&journal).unwrap_or_default();
                // More than these belong to the next step, and are missed in none.
                let fresh = text.lines().skip(read).take(lines).map(str::to_owned);
                let fresh: Vec<String> = fresh.collect();
                (fresh.len() == lines).then_some(fresh)
            },
        );
        read += fresh.len();
        steps.push(fresh);
    };
    let mut daemon = which.start(lan.node(0), &conf(150, &group, &notify));
    step("four calls for BACKUP", 4);
    step("four calls for MASTER", 4);
    lan.cable(0, false);
    step("four calls for FAULT", 4);
    lan.cable(0, true);
    step("four calls for BACKUP again", 4);
    step("four calls for MASTER again", 4);
    let _better = Stock.start(lan.node(1), &conf(200, "", ""));
    step("four calls for BACKUP under a better router", 4);
    daemon.stop();
    step("three calls for STOP", 3);
    steps
}

#[test]
fn notify_scripts_are_called_as_stock_calls_them() {
    if !root() {
        return;
    }
    let (ours, stock) = std::thread::scope(|scope| {
        let stock = scope.spawn(|| calls(Stock));
        (calls(Ours), stock.join().expect("stock keepalived runs"))
    });
    let sorted = |steps: &[Vec<String>]| -> Vec<Vec<String>> {
        let sorted = |calls: &Vec<String>| {
            let mut calls = calls.clone();
            calls.sort();
            calls
        };
        steps.iter().map(sorted).collect()
    };
    // Stock starts the scripts of one transition without waiting for one another: what they write comes in any order.
    assert_eq!(sorted(&ours), sorted(&stock), "ours, then stock's");
    // Ours run one after the other, the specific one first.
    for calls in &ours {
        for kind in ["i-", "g-"] {
            let any = calls
                .iter()
                .position(|c| c.starts_with(&format!("{kind}any")));
            let specific = calls
                .iter()
                .position(|c| c.starts_with(kind) && !c.contains("any"));
            assert!(specific.is_none() || specific < any, "{calls:?}");
        }
    }
}
