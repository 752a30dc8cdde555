//! What others do to a router: delete its address, pull its interface, kill it, reload it.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::daemon::{Daemon, now};
use crate::lab::witness::{locked, stood_still};
use crate::lab::{Lan, PATIENCE, millis, poll, root, until, until_or};
use crate::routers::Which::{self, Ours, Stock};
use crate::routers::{
    LATE, VIP, assert_in_time, assert_on_time, conf, down_interval, lan, last, skew_time,
};

#[test]
fn a_deleted_address_costs_a_resignation_and_comes_back() {
    if !root() {
        return;
    }
    let lan = lan();
    let master = Ours.start(lan.node(0), &conf(150, "", ""));
    let _backup = Stock.start(lan.node(1), &conf(100, "", ""));
    lan.node(0).wait_has(VIP, true);
    let deleted = now();
    lan.node(0).ip(&format!("addr del {VIP}/24 dev eth0"));
    let resigned = lan.advert("the master resigns", 0, deleted, |a| a.priority == 0);
    let again = lan.advert("it is master again", 0, resigned.at, |a| a.priority == 150);
    // keepalived: the timer after a lost address is the skew alone, so a good router is back before its backup.
    assert_on_time(&lan, "return", resigned.at, again.at, skew_time(150));
    lan.node(0).wait_has(VIP, true);
    let stalled = stood_still(resigned.at, again.at) > (skew_time(100) - skew_time(150)) / 4;
    assert!(
        stalled
            || lan
                .events()
                .iter()
                .all(|s| s.node == 0 || s.advert().is_none()),
        "{}",
        lan.story()
    );
    master.wait_log_times("(V) Entering BACKUP STATE", 2);
    master.wait_log_times("(V) Entering MASTER STATE", 2);
}

#[test]
fn an_interface_that_is_set_down_and_up_is_a_fault_and_a_return() {
    if !root() {
        return;
    }
    let lan = lan();
    let master = Ours.start(lan.node(0), &conf(150, "", ""));
    let _backup = Ours.start(lan.node(1), &conf(100, "", ""));
    lan.node(0).wait_has(VIP, true);
    lan.node(0).ip("link set eth0 down");
    master.wait_log("(V) Entering FAULT STATE");
    lan.node(0).wait_has(VIP, false);
    lan.node(1).wait_has(VIP, true);
    let up = now();
    lan.node(0).ip("link set eth0 up");
    lan.advert("it is master again", 0, up, |a| a.priority == 150);
    lan.node(0).wait_has(VIP, true);
    lan.node(1).wait_has(VIP, false);
}

#[test]
fn an_interface_without_an_address_of_its_own_is_a_fault_until_it_gets_one() {
    if !root() {
        return;
    }
    let lan = Lan::new("eth0", &["", "10.66.0.2/24"]);
    let router = Ours.start(lan.node(0), &conf(150, "", ""));
    router.wait_log("entering FAULT state (no IPv4 address for interface)");
    let given = now();
    lan.node(0).ip("addr add 10.66.0.1/24 dev eth0");
    let given = (given, now());
    let first = lan.advert("it becomes master", 0, given.0, |a| a.priority == 150);
    let bound = down_interval(150);
    assert_in_time(&lan, "first advertisement", given, first.at, bound);
}

#[test]
fn an_address_left_by_a_killed_master_is_removed_by_its_successor() {
    if !root() {
        return;
    }
    let lan = lan();
    let mut master = Ours.start(lan.node(0), &conf(150, "", ""));
    let _backup = Ours.start(lan.node(1), &conf(100, "", ""));
    lan.node(0).wait_has(VIP, true);
    let killed = master.kill();
    assert!(
        lan.node(0).has(VIP),
        "a killed daemon cannot have tidied up"
    );
    lan.advert("the backup takes over", 1, killed, |a| a.priority == 100);
    lan.node(1).wait_has(VIP, true);
    // nopreempt: it stays a backup, so nothing but tidying up can remove the address.
    let again = Ours.start(lan.node(0), &conf(150, "", "nopreempt"));
    again.wait_log("(V) Entering BACKUP STATE");
    lan.node(0).wait_has(VIP, false);
    assert!(lan.node(1).has(VIP));
}

#[test]
fn an_address_left_by_a_killed_master_does_not_hinder_its_return() {
    if !root() {
        return;
    }
    let lan = lan();
    let mut master = Ours.start(lan.node(0), &conf(150, "", ""));
    lan.node(0).wait_has(VIP, true);
    master.kill();
    let started = now();
    let mut again = Ours.start(lan.node(0), &conf(150, "", ""));
    lan.advert("it is master again", 0, started, |a| a.priority == 150);
    lan.node(0).wait_has(VIP, true);
    assert_eq!(
        lan.node(0).ip("-4 addr show dev eth0").matches(VIP).count(),
        1
    );
    assert_eq!(again.stop().code(), Some(0), "{}", again.log());
    lan.node(0).wait_has(VIP, false);
}

#[test]
fn a_reload_that_changes_something_else_is_no_transition() {
    if !root() {
        return;
    }
    let lan = lan();
    let master = Ours.start(lan.node(0), &conf(150, "", ""));
    let backup = Ours.start(lan.node(1), &conf(100, "", ""));
    lan.advert("the better router is master", 0, 0, |a| a.priority == 150);
    lan.node(0).wait_has(VIP, true);
    master.wait_log("(V) Entering MASTER STATE");
    let script = lan.node(0).file("ok.sh", "#!/bin/sh\nexit 0\n", 0o755);
    let block = format!(
        "# a remark\nvrrp_script unused {{\n script {}\n}}",
        script.display()
    );
    for (n, daemon) in [(0, &master), (1, &backup)] {
        let priority = [150, 100][n];
        lan.node(n).configure(
            &conf(priority, &block, "garp_master_refresh 0")
                .replace("router_id lab", "router_id x"),
        );
        daemon.signal(Signal::SIGHUP);
        daemon.wait_log("Reload");
    }
    let reloaded = now();
    lan.wait("five advertisements", PATIENCE, |seen| {
        (seen
            .iter()
            .filter(|s| s.node == 0 && s.at > reloaded && s.advert().is_some())
            .count()
            >= 5)
            .then_some(())
    });
    let seen = lan.events();
    let at: Vec<u64> = seen
        .iter()
        .filter(|s| s.priority() == Some(150))
        .map(|s| s.at)
        .collect();
    let longest = at.windows(2).map(|p| p[1] - p[0]).max().unwrap_or_default();
    let stalled = stood_still(at[0], at[at.len() - 1]);
    assert!(
        Duration::from_nanos(longest) < Duration::from_millis(1400) + stalled,
        "{} ms without an advertisement\n{}",
        millis(longest),
        lan.story()
    );
    assert!(
        seen.iter()
            .all(|s| s.advert().is_none() || s.priority() == Some(150)),
        "{}",
        lan.story()
    );
    for daemon in [&master, &backup] {
        let log = daemon.log();
        let after = &log[log.find("Reload").unwrap_or_default()..];
        assert!(!after.contains("Entering "), "a transition: {log}");
        assert!(
            !after.contains("removing VIPs"),
            "the address flapped: {log}"
        );
    }
}

#[test]
fn a_kernel_without_ipvs_is_one_error_and_vrrp_goes_on() {
    if !root() {
        return;
    }
    if std::path::Path::new("/proc/net/ip_vs").exists() {
        // The host's kernel has IPVS: the other half of the promise is kept by lab_ipvs.
        return;
    }
    let lan = lan();
    let servers = "virtual_server 10.66.0.100 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP
 real_server 10.66.0.9 80 {\n TCP_CHECK {\n }\n }\n}";
    let router = Ours.start(lan.node(0), &conf(150, servers, ""));
    lan.advert("it is master", 0, 0, |a| a.priority == 150);
    lan.node(0).wait_has(VIP, true);
    let log = router.log();
    let errors: Vec<&str> = log.lines().filter(|l| l.contains("ip_vs")).collect();
    assert_eq!(errors.len(), 1, "{log}");
}

/// Router 0 is master, is frozen until router 1 has taken over, and goes on; when that was.
fn frozen_until_it_is_replaced(more: &str) -> (Lan, Daemon, Daemon, u64) {
    let quick = format!("version 3\n advert_int 0.1\n {more}");
    let lan = lan();
    let master = Ours.start(lan.node(0), &conf(150, "", &quick));
    // Of two that start at once and do not preempt either may be the first.
    lan.node(0).wait_has(VIP, true);
    let backup = Stock.start(lan.node(1), &conf(100, "", &quick));
    backup.wait_log("(V) Entering BACKUP STATE");
    let frozen = now();
    master.signal(Signal::SIGSTOP);
    lan.advert("the backup takes over", 1, frozen, |a| a.priority == 100);
    lan.node(1).wait_has(VIP, true);
    let thawed = now();
    master.signal(Signal::SIGCONT);
    master.wait_log("woke up too late");
    (lan, master, backup, thawed)
}

#[test]
fn a_master_that_was_frozen_listens_and_leaves_its_successor_alone() {
    if !root() {
        return;
    }
    let (lan, master, _backup, thawed) = frozen_until_it_is_replaced("nopreempt");
    master.wait_log_times("(V) Entering BACKUP STATE", 2);
    lan.node(0).wait_has(VIP, false);
    lan.advert("its successor goes on", 1, thawed + 1_000_000_000, |_| true);
    let seen = lan.events();
    let spoke = |s: &&crate::lab::frame::Seen| {
        s.node == 0 && s.at > thawed && (s.advert().is_some() || s.announces(VIP))
    };
    // Its successor has to be heard every third of a second.
    let stalled = stood_still(thawed, now()) > Duration::from_millis(90);
    let silent = !seen.iter().any(|s| spoke(&s));
    assert!(stalled || silent, "{}", lan.story());
}

#[test]
fn a_master_that_was_frozen_and_is_the_better_one_has_the_address_to_itself_again() {
    if !root() {
        return;
    }
    let (lan, _master, _backup, _) = frozen_until_it_is_replaced("");
    lan.node(1).wait_has(VIP, false);
    lan.node(0).wait_has(VIP, true);
}

/// What is told of priorities by a daemon with these lines of `global_defs` that stands still for a while as a master.
fn told_of_priority(which: Which, global: &str) -> Vec<String> {
    let lan = lan();
    let node = lan.node(0);
    let global =
        format!("min_auto_priority_delay 300000\n vrrp_rlimit_rttime 10000000\n {global}\n");
    let conf = conf(150, "", "version 3").replace("advert_int 1", "advert_int 0.1");
    let conf = conf.replace("router_id lab\n", &format!("router_id lab\n {global}"));
    let mut daemon = which.start(node, &conf);
    daemon.wait_log("(V) Entering MASTER STATE");
    let pid = std::fs::read_to_string(node.path("vrrp.pid")).expect("the VRRP process");
    let pid = Pid::from_raw(pid.trim().parse().expect("a number"));
    let send = |signal| kill(pid, signal).expect("a process of ours");
    // Stock does not tell of each: it may have been at work on the very timer.
    until_or(
        || {
            format!(
                "{which:?}: a timer that is served late in\n{}",
                daemon.log()
            )
        },
        PATIENCE,
        || {
            let stopped = now();
            send(Signal::SIGSTOP);
            until("a second passes", PATIENCE, || {
                (now() > stopped + 1_000_000_000).then_some(())
            });
            send(Signal::SIGCONT);
            let told = || daemon.log().contains("A thread timer expired ");
            poll(Duration::from_millis(500), || told().then_some(()))
        },
    );
    assert!(daemon.stop().success(), "{}", daemon.log());
    let log = daemon.log();
    let what = [
        "NOTICE: setting config option",
        "A thread timer expired ",
        "Set realtime priority ",
    ];
    let told = what.into_iter().filter_map(|what| {
        let line = log.lines().find(|l| l.contains(what))?;
        // How late it was: as it came.
        line[line.find(what)?..].split(char::is_numeric).next()
    });
    told.map(str::to_owned).collect()
}

#[test]
fn priorities_are_advised_and_raised_in_the_words_of_stock() {
    if !root() {
        return;
    }
    for (global, lines) in [
        ("max_auto_priority 1", 2),
        ("max_auto_priority -1", 1),
        ("", 2),
    ] {
        let (ours, stock) = std::thread::scope(|scope| {
            let stock = scope.spawn(|| told_of_priority(Stock, global));
            let ours = told_of_priority(Ours, global);
            (ours, stock.join().expect("stock keepalived runs"))
        });
        assert_eq!(ours, stock, "{global}");
        assert_eq!(ours.len(), lines, "{global}: {ours:?}");
    }
}

/// The kilobytes of files, of its own text before all, that a process has in memory.
fn text_in_memory(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid());
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssFile:"));
    let number = line.and_then(|l| l.trim().split(' ').next()?.parse().ok());
    number.unwrap_or_default()
}

#[test]
fn a_backup_that_has_given_memory_back_takes_over_in_time() {
    if !root() {
        return;
    }
    let lan = lan();
    let quick = "version 3";
    let conf = |priority| conf(priority, "", quick).replace("advert_int 1", "advert_int 0.1");
    let mut master = Ours.start(lan.node(0), &conf(150));
    lan.node(0).wait_has(VIP, true);
    let backup = Ours.start(lan.node(1), &conf(100));
    backup.wait_log("(V) Entering BACKUP STATE");
    // A while after its start it gives back what only that has needed.
    let mut most = 0;
    until("it gives text back", Duration::from_secs(60), || {
        let kilobytes = text_in_memory(&backup);
        most = most.max(kilobytes);
        (kilobytes + 1024 < most).then_some(())
    });
    let killed = master.kill();
    let first = lan.advert("the backup takes over", 1, killed, |a| a.priority == 100);
    let from = last(&lan, 0, 150, &first).at;
    let bound = Duration::from_micros(360_937);
    assert_on_time(&lan, "takeover", from, first.at, bound);
    let announced = lan.wait("it is announced", PATIENCE, |seen| {
        let mut all = seen.iter();
        all.find(|s| s.node == 1 && s.at >= first.at && s.announces(VIP))
            .cloned()
    });
    let took = Duration::from_nanos(announced.at - first.at);
    let most = LATE + locked(first.at, announced.at);
    assert!(took < most, "announced after {took:?}\n{}", lan.story());
}
