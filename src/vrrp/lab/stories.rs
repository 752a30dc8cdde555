//! Stories of two or three routers that chance would seldom tell.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::net::VirtualAddress;
use crate::model::vrrp::{Instance as Model, Version};
use crate::vrrp::sample::{config, model};

const SECOND: Duration = Duration::from_secs(1);

/// A LAN of routers with these models, all started at once.
fn lab(models: &[Model]) -> Lab {
    let mut lab = Lab::new(7, vec!["V1".to_owned()], false);
    for model in models {
        lab.add(config(std::slice::from_ref(model)));
    }
    for n in 0..models.len() {
        lab.start(n).expect("a start");
    }
    lab
}

fn run(lab: &mut Lab, span: Duration) {
    lab.run_for(span)
        .unwrap_or_else(|broken| panic!("{broken}"));
}

/// When node `n` first spoke at or after `from`, and with which priority.
fn first_word(lab: &Lab, n: usize, from: Mono) -> Option<(Duration, u8)> {
    let mut words = lab.nodes[n].sent.iter().filter(|(at, _, _)| *at >= from);
    words
        .next()
        .map(|(at, _, priority)| (at.since(from), *priority))
}

#[test]
fn the_better_one_is_elected_and_the_other_follows_a_crash_after_its_down_time() {
    let mut lab = lab(&[model(150), model(100)]);
    run(&mut lab, SECOND * 10);
    assert_eq!(lab.masters_of(0), [0]);
    let last = lab.nodes[0].sent.last().expect("it spoke").0;
    let crash = lab.now;
    lab.crash(0);
    run(&mut lab, SECOND * 10);
    assert_eq!(lab.masters_of(0), [1]);
    let (after, priority) = first_word(&lab, 1, crash).expect("it took over");
    assert_eq!(priority, 100);
    let silence = (crash + after).since(last);
    let down = Duration::from_micros(3_609_375);
    assert!(
        silence >= down && silence <= down + lab.latency,
        "{silence:?}"
    );
}

#[test]
fn a_stop_hands_over_within_the_skew_time() {
    let mut lab = lab(&[model(150), model(100)]);
    run(&mut lab, SECOND * 10);
    let stop = lab.now;
    lab.stop(0).expect("a stop");
    run(&mut lab, SECOND * 2);
    let (after, _) = first_word(&lab, 1, stop).expect("it took over");
    let skew = Duration::from_micros(609_375);
    assert!(after >= skew && after <= skew + lab.latency, "{after:?}");
}

#[test]
fn a_better_one_that_returns_takes_over_unless_it_is_told_not_to() {
    for (preempt, master) in [(true, 0), (false, 1)] {
        let mut better = model(150);
        better.preempt = preempt;
        let mut lab = lab(&[better, model(100)]);
        run(&mut lab, SECOND * 10);
        lab.crash(0);
        run(&mut lab, SECOND * 10);
        lab.start(0).expect("a start");
        lab.promise(lab.latency * 2);
        run(&mut lab, SECOND * 10);
        assert_eq!(lab.masters_of(0), [master]);
    }
}

#[test]
fn a_partition_makes_two_masters_and_its_end_one() {
    let mut lab = lab(&[model(150), model(100), model(50)]);
    run(&mut lab, SECOND * 10);
    lab.nodes[1].side = 1;
    lab.nodes[2].side = 1;
    run(&mut lab, SECOND * 10);
    assert_eq!(lab.masters_of(0), [0, 1]);
    lab.nodes[1].side = 0;
    lab.nodes[2].side = 0;
    lab.promise(SECOND + lab.latency * 2);
    lab.master_from = lab.now;
    run(&mut lab, SECOND * 10);
    assert_eq!(lab.masters_of(0), [0]);
}

#[test]
fn a_frozen_backup_that_may_not_preempt_does_not_take_over_when_it_wakes() {
    for frozen in [4, 5, 6, 60] {
        let mut meek = model(200);
        meek.preempt = false;
        let mut lab = lab(&[model(100), meek]);
        lab.crash(1);
        run(&mut lab, SECOND * 10);
        lab.start(1).expect("a start");
        run(&mut lab, SECOND * 10);
        assert_eq!(lab.masters_of(0), [0]);
        lab.freeze(1);
        run(&mut lab, SECOND * frozen);
        lab.calm = true;
        lab.thaw(1)
            .unwrap_or_else(|broken| panic!("after {frozen} s: {broken}"));
        run(&mut lab, SECOND * 10);
        assert_eq!(lab.masters_of(0), [0], "frozen for {frozen} s");
    }
}

#[test]
fn a_frozen_master_listens_before_it_speaks() {
    let mut meek = model(150);
    meek.preempt = false;
    let mut lab = lab(&[meek, model(100)]);
    run(&mut lab, SECOND * 10);
    assert_eq!(lab.masters_of(0), [0]);
    lab.freeze(0);
    run(&mut lab, SECOND * 30);
    assert_eq!(lab.masters_of(0), [1]);
    let thaw = lab.now;
    lab.thaw(0).unwrap_or_else(|broken| panic!("{broken}"));
    lab.promise(Duration::ZERO);
    run(&mut lab, SECOND * 30);
    assert_eq!(first_word(&lab, 0, thaw), None);
    assert_eq!(lab.masters_of(0), [1]);
}

#[test]
fn version_2_masters_that_disagree_about_the_interval_never_hear_each_other() {
    let mut other = model(100);
    other.advert_int = SECOND * 2;
    let mut lab = lab(&[model(150), other]);
    run(&mut lab, SECOND * 20);
    assert_eq!(lab.masters_of(0), [0, 1]);
}

#[test]
fn version_3_backups_learn_the_masters_interval() {
    let [mut master, mut backup] = [model(150), model(100)];
    master.version = Version::V3;
    backup.version = Version::V3;
    master.advert_int = SECOND * 5;
    let mut lab = lab(&[master, backup]);
    run(&mut lab, SECOND * 200);
    assert_eq!(lab.masters_of(0), [0]);
    lab.promise(Duration::ZERO);
    lab.master_from = lab.now;
    run(&mut lab, SECOND * 200);
}

#[test]
fn different_address_lists_do_not_make_two_masters() {
    let mut more = model(100);
    let addr = VirtualAddress::new([10, 0, 0, 101].into(), 24, eth0());
    more.addresses.push(addr.into());
    let mut lab = lab(&[model(150), more]);
    run(&mut lab, SECOND * 20);
    assert_eq!(lab.masters_of(0), [0]);
}

#[test]
fn an_hour_of_peace_changes_nothing() {
    let mut lab = lab(&[model(150), model(100)]);
    run(&mut lab, SECOND * 10);
    lab.promise(Duration::ZERO);
    lab.master_from = lab.now;
    let (spoken, now) = (lab.nodes[0].sent.len(), lab.now);
    run(&mut lab, SECOND * 3600);
    assert_eq!(lab.nodes[0].sent.len() - spoken, 3600);
    let last = lab.nodes[0].sent.last().expect("it spoke").0;
    assert!(last.since(now) <= SECOND * 3600);
    assert!(lab.nodes[1].sent.is_empty());
}

#[test]
fn routers_on_different_steps_of_a_migration_to_signatures_have_one_master() {
    use crate::model::auth::{AntiReplay, Auth, Hmac, HmacMode, Secret};
    use HmacMode::{Enforce, Permissive, ReceiveOnly};
    let signing = |priority, mode| {
        let mut model = model(priority);
        model.auth = Auth::Hmac(Arc::new(Hmac {
            keys: [(1, Secret::new(vec![7; 32]))].into(),
            active: 1,
            replay: AntiReplay::Time(SECOND * 5),
            mode,
        }));
        model
    };
    // In keepalived a master in receive-only and a backup in enforce are masters both.
    for better in [Enforce, Permissive, ReceiveOnly] {
        for other in [Enforce, Permissive, ReceiveOnly] {
            let mut lab = lab(&[signing(150, better), signing(100, other)]);
            run(&mut lab, SECOND * 6);
            assert_eq!(lab.masters_of(0), [0], "{better:?} and {other:?}");
            lab.promise(Duration::ZERO);
            run(&mut lab, SECOND * 60);
            lab.crash(0);
            run(&mut lab, SECOND * 5);
            assert_eq!(lab.masters_of(0), [1], "{better:?} and {other:?}");
        }
    }
}

#[test]
fn a_master_that_lost_its_ah_numbers_is_believed_again_as_soon_as_it_hears_higher_ones() {
    let sealed = |priority| {
        let mut model = model(priority);
        model.auth = crate::model::auth::Auth::Ah(crate::model::auth::Secret::new(vec![7; 8]));
        model
    };
    let mut lab = lab(&[sealed(150), sealed(100)]);
    run(&mut lab, SECOND * 60);
    assert_eq!(lab.masters_of(0), [0]);
    lab.crash(0);
    lab.start(0).expect("a start");
    lab.promise(SECOND);
    let start = lab.now;
    run(&mut lab, Duration::from_millis(3_500));
    assert_eq!(
        lab.masters_of(0),
        [0],
        "its numbers begin at 1, as in keepalived"
    );
    run(&mut lab, SECOND * 2);
    let (_, priority) = first_word(&lab, 1, start).expect("it could not believe number 1");
    assert_eq!(priority, 100);
    lab.promise(Duration::ZERO);
    run(&mut lab, SECOND * 60);
    assert_eq!(lab.masters_of(0), [0]);
}

#[test]
fn one_router_with_the_old_checksum_of_unicast_is_understood_and_understands() {
    use crate::model::unicast::{OldChecksum, Peer, Unicast};
    let speaking = |priority, own: u8, old_checksum| {
        let mut model = model(priority);
        model.version = Version::V3;
        model.unicast = Some(Unicast {
            peers: vec![Peer::new([10, 0, 0, 3 - own].into())],
            fault_no_peer: false,
            check_source: false,
            ttl: None,
            old_checksum,
        });
        model
    };
    let forms = [OldChecksum::Recognised, OldChecksum::Always];
    // keepalived: whoever recognises the old one goes on sending the new one, which the other one refuses.
    for better in forms {
        for other in forms {
            let mut lab = lab(&[speaking(150, 1, better), speaking(100, 2, other)]);
            run(&mut lab, SECOND * 8);
            assert_eq!(lab.masters_of(0), [0], "{better:?} and {other:?}");
            lab.promise(Duration::ZERO);
            run(&mut lab, SECOND * 60);
            lab.crash(0);
            run(&mut lab, SECOND * 5);
            assert_eq!(lab.masters_of(0), [1], "{better:?} and {other:?}");
        }
    }
}

#[test]
fn two_routers_with_one_address_and_one_priority_are_told_apart_when_one_moves() {
    let mut lab = lab(&[model(100), model(100)]);
    let moved = |lab: &mut Lab, host: u8| {
        lab.alter(1, |node| node.facts.addrs[0].0 = [10, 0, 0, host].into())
            .expect("another address");
    };
    moved(&mut lab, 1);
    run(&mut lab, SECOND * 10);
    // Nothing tells their advertisements apart: each takes the other's for its own echo.
    let told = |lab: &Lab| lab.masters_of(0);
    let before = told(&lab);
    moved(&mut lab, 2);
    lab.promise(SECOND + lab.latency * 2);
    run(&mut lab, SECOND * 10);
    assert_eq!((before, told(&lab)), (vec![0, 1], vec![1]));
}
