//! Who is master, and from when on: the stories that every operator knows.

use crate::with_every_pair;

with_every_pair! {
    the_higher_priority_becomes_master
    a_killed_master_is_replaced_at_the_down_interval
    a_stopped_master_is_replaced_within_the_skew_time
    a_master_that_loses_its_link_is_replaced
    a_failing_script_with_weight_lowers_the_priority
    a_failing_script_without_weight_is_a_fault
    a_better_router_preempts
    nopreempt_leaves_a_live_master_alone
    preempt_delay_holds_a_better_router_back
}

mod story {
    use std::fs;
    use std::time::Duration;

    use crate::lab::daemon::{Daemon, now};
    use crate::lab::frame::Seen;
    use crate::lab::witness::{locked, stood_still};
    use crate::lab::{Lan, Node, PATIENCE};
    use crate::routers::{
        DRIFT, LATE, VIP, Which, assert_in_time, assert_on_time, conf, down_interval, lan, last,
        skew_time,
    };

    /// Starts both; the better one is master when this returns.
    fn settled(lan: &Lan, a: Which, b: Which, a_before: &str, a_more: &str) -> (Daemon, Daemon) {
        let master = a.start(lan.node(0), &conf(150, a_before, a_more));
        let backup = b.start(lan.node(1), &conf(100, "", ""));
        lan.advert("the better router is master", 0, 0, |a| a.priority == 150);
        lan.node(0).wait_has(VIP, true);
        (master, backup)
    }

    /// The backup takes over from `since` on, when the last advertisement of the other one at `priority` is `bound` old;
    /// checks that, that it announces the address, and who carries it.
    fn takes_over(lan: &Lan, since: u64, priority: u8, bound: Duration) -> Seen {
        let first = lan.advert("the backup takes over", 1, since, |a| a.priority == 100);
        let from = last(lan, 0, priority, &first);
        assert_on_time(lan, "takeover", from.at, first.at, bound);
        let announced = lan.wait("the address is announced", PATIENCE, |seen| {
            seen.iter()
                .find(|s| s.node == 1 && s.at >= first.at && s.announces(VIP))
                .cloned()
        });
        let took = Duration::from_nanos(announced.at - first.at);
        let stalled = locked(first.at, announced.at);
        assert!(took < LATE + stalled, "announced late\n{}", lan.story());
        lan.node(1).wait_has(VIP, true);
        first
    }

    /// The better router takes the address back from the backup.
    fn takes_back(lan: &Lan, since: u64) -> Seen {
        let first = lan.advert("the better router is back", 0, since, |a| a.priority == 150);
        lan.node(0).wait_has(VIP, true);
        lan.node(1).wait_has(VIP, false);
        first
    }

    /// A script that succeeds as long as a file exists; the file, and the script's block.
    fn script(node: &Node, weight: &str) -> (std::path::PathBuf, String) {
        let flag = node.file("healthy", "", 0o644);
        let path = node.file(
            "check.sh",
            &format!("#!/bin/sh\n[ -e {} ]\n", flag.display()),
            0o755,
        );
        let block = format!(
            "vrrp_script check {{\n script {}\n interval 1\n {weight}\n}}",
            path.display()
        );
        (flag, block)
    }

    pub(super) fn the_higher_priority_becomes_master(a: Which, b: Which) {
        let lan = lan();
        let started = now();
        let master = a.start(lan.node(0), &conf(150, "", ""));
        let other_started = now();
        let backup = b.start(lan.node(1), &conf(100, "", ""));
        master.wait_log("(V) Entering BACKUP STATE");
        let runs = now();
        backup.wait_log("(V) Entering BACKUP STATE");
        lan.advert("the better router is master", 0, 0, |a| a.priority == 150);
        lan.node(0).wait_has(VIP, true);
        let all = lan.events();
        let first = all.iter().find(|s| s.advert().is_some());
        let first = first.expect("an advertisement").at;
        // Who starts later than his priority is worth is not the first.
        let worth = skew_time(100) - skew_time(150);
        let stalled = stood_still(started, first) > worth / 4;
        let stalled =
            stalled || Duration::from_nanos(runs.saturating_sub(other_started)) > worth / 2;
        if !stalled {
            let what = "first advertisement";
            assert_in_time(&lan, what, (started, runs), first, down_interval(150));
        }
        master.wait_log("(V) Entering MASTER STATE");
        lan.wait("four advertisements", PATIENCE, |seen| {
            (seen.iter().filter(|s| s.priority() == Some(150)).count() >= 4).then_some(())
        });
        let seen = lan.events();
        assert!(
            stalled || seen.iter().all(|s| s.node == 0 || s.advert().is_none()),
            "the backup spoke\n{}",
            lan.story()
        );
        assert!(!lan.node(1).has(VIP));
        let at: Vec<u64> = seen
            .iter()
            .filter(|s| s.node == 0 && s.advert().is_some())
            .map(|s| s.at)
            .collect();
        for pair in at.windows(2) {
            // One that was late does not delay the next, so an interval may also be shorter.
            let off = Duration::from_nanos((pair[1] - pair[0]).abs_diff(1_000_000_000));
            let late = LATE + stood_still(pair[0] - 1_000_000_000, pair[1]);
            assert!(off < late, "an interval is off by {off:?}\n{}", lan.story());
        }
    }

    pub(super) fn a_killed_master_is_replaced_at_the_down_interval(a: Which, b: Which) {
        let lan = lan();
        let (mut master, _backup) = settled(&lan, a, b, "", "");
        let killed = master.kill();
        lan.node(0).ip(&format!("addr del {VIP}/24 dev eth0"));
        takes_over(&lan, killed, 150, down_interval(100));
        let again = now();
        let _master = a.start(lan.node(0), &conf(150, "", ""));
        takes_back(&lan, again);
    }

    pub(super) fn a_stopped_master_is_replaced_within_the_skew_time(a: Which, b: Which) {
        let lan = lan();
        let (mut master, _backup) = settled(&lan, a, b, "", "");
        let told = master.terminate();
        lan.advert("the master resigns", 0, told, |a| a.priority == 0);
        takes_over(&lan, told, 0, skew_time(100));
        assert_eq!(master.wait_exit().code(), Some(0), "{}", master.log());
        lan.node(0).wait_has(VIP, false);
        let zeros = lan
            .events()
            .iter()
            .filter(|s| s.priority() == Some(0))
            .count();
        assert_eq!(zeros, 1, "resigned more than once\n{}", lan.story());
    }

    pub(super) fn a_master_that_loses_its_link_is_replaced(a: Which, b: Which) {
        let lan = lan();
        let (master, _backup) = settled(&lan, a, b, "", "");
        let pulled = now();
        lan.cable(0, false);
        master.wait_log("(V) Entering FAULT STATE");
        lan.node(0).wait_has(VIP, false);
        takes_over(&lan, pulled, 150, down_interval(100));
        let plugged = now();
        lan.cable(0, true);
        let first = takes_back(&lan, plugged);
        // Out of FAULT it is a backup that waits its whole timer, however good its priority.
        assert!(
            first.at - plugged >= (down_interval(150) - DRIFT).as_nanos() as u64,
            "{}",
            lan.story()
        );
    }

    pub(super) fn a_failing_script_with_weight_lowers_the_priority(a: Which, b: Which) {
        let lan = lan();
        let (flag, block) = script(lan.node(0), "weight -100");
        let (master, _backup) = settled(&lan, a, b, &block, "track_script { check }");
        master.wait_log("VRRP_Script(check) succeeded");
        let broken = now();
        fs::remove_file(&flag).expect("our own file");
        lan.advert("the lower priority", 0, broken, |a| a.priority == 50);
        master.wait_log("Changing effective priority from 150 to 50");
        let first = lan.advert("the backup preempts", 1, broken, |a| a.priority == 100);
        assert_on_time(
            &lan,
            "takeover",
            last(&lan, 0, 150, &first).at,
            first.at,
            down_interval(100),
        );
        lan.node(0).wait_has(VIP, false);
        lan.node(1).wait_has(VIP, true);
        let mended = now();
        fs::write(&flag, "").expect("our own file");
        takes_back(&lan, mended);
    }

    pub(super) fn a_failing_script_without_weight_is_a_fault(a: Which, b: Which) {
        let lan = lan();
        let (flag, block) = script(lan.node(0), "");
        let (master, _backup) = settled(&lan, a, b, &block, "track_script { check }");
        let broken = now();
        fs::remove_file(&flag).expect("our own file");
        lan.advert("the master resigns", 0, broken, |a| a.priority == 0);
        master.wait_log("(V) Entering FAULT STATE");
        let first = lan.advert("the backup takes over", 1, broken, |a| a.priority == 100);
        let resigned = last(&lan, 0, 0, &first).at;
        assert_on_time(&lan, "takeover", resigned, first.at, skew_time(100));
        // keepalived: on the way to FAULT it resigns twice.
        assert_eq!(
            lan.events()
                .iter()
                .filter(|s| s.priority() == Some(0))
                .count(),
            2,
            "{}",
            lan.story()
        );
        lan.node(0).wait_has(VIP, false);
        let mended = now();
        fs::write(&flag, "").expect("our own file");
        takes_back(&lan, mended);
    }

    pub(super) fn a_better_router_preempts(a: Which, b: Which) {
        let lan = lan();
        let _backup = b.start(lan.node(1), &conf(100, "", ""));
        lan.advert("the only router is master", 1, 0, |a| a.priority == 100);
        let started = now();
        let master = a.start(lan.node(0), &conf(150, "", ""));
        master.wait_log("(V) Entering BACKUP STATE");
        let runs = now();
        let first = takes_back(&lan, started);
        let bound = down_interval(150);
        assert_in_time(&lan, "preemption", (started, runs), first.at, bound);
        // One may have been on its way.
        let grace = LATE + stood_still(first.at, now());
        let late = first.at + u64::try_from(grace.as_nanos()).expect("it fits");
        lan.advert("it goes on", 0, late + 1_500_000_000, |_| true);
        let after = lan
            .events()
            .into_iter()
            .filter(|s| s.node == 1 && s.at > late);
        assert_eq!(
            after.filter(|s| s.advert().is_some()).count(),
            0,
            "it did not fall silent\n{}",
            lan.story()
        );
    }

    pub(super) fn nopreempt_leaves_a_live_master_alone(a: Which, b: Which) {
        let lan = lan();
        let mut other = b.start(lan.node(1), &conf(100, "", ""));
        lan.advert("the only router is master", 1, 0, |a| a.priority == 100);
        let better = a.start(lan.node(0), &conf(150, "", "nopreempt"));
        better.wait_log("(V) Entering BACKUP STATE");
        let backup = now();
        lan.wait("six more advertisements", PATIENCE, |seen| {
            (seen
                .iter()
                .filter(|s| s.node == 1 && s.at > backup && s.advert().is_some())
                .count()
                >= 6)
                .then_some(())
        });
        assert!(
            lan.events()
                .iter()
                .all(|s| s.node == 1 || s.advert().is_none()),
            "it preempted\n{}",
            lan.story()
        );
        let killed = other.kill();
        let first = lan.advert("the better router takes over", 0, killed, |a| {
            a.priority == 150
        });
        let from = last(&lan, 1, 100, &first);
        assert_on_time(&lan, "takeover", from.at, first.at, down_interval(150));
        lan.node(0).wait_has(VIP, true);
    }

    pub(super) fn preempt_delay_holds_a_better_router_back(a: Which, b: Which) {
        let lan = lan();
        let _other = b.start(lan.node(1), &conf(100, "", ""));
        lan.advert("the only router is master", 1, 0, |a| a.priority == 100);
        let started = now();
        let better = a.start(lan.node(0), &conf(150, "", "preempt_delay 2"));
        better.wait_log("(V) Entering BACKUP STATE");
        let runs = now();
        let heard = [started, runs].map(|since| {
            lan.advert("a lower advertisement", 1, since, |a| a.priority == 100)
                .at
        });
        let first = takes_back(&lan, started);
        // The delay runs from the first lower advertisement; until it has passed, each of them restarts the timer, and
        // what is left of the timer is waited for.
        let took = heard.map(|heard| Duration::from_nanos(first.at.saturating_sub(heard)));
        assert!(
            took[0] + DRIFT >= down_interval(150),
            "after {took:?}\n{}",
            lan.story()
        );
        let stalled = stood_still(heard[1], first.at);
        assert!(
            took[1] <= Duration::from_secs(3) + down_interval(150) + LATE + stalled,
            "after {took:?}\n{}",
            lan.story()
        );
    }
}
