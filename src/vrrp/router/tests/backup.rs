//! What a backup makes of what it hears.

use super::*;
use crate::model::vrrp::Version;

#[test]
fn a_master_that_resigns_is_followed_after_the_skew_time() {
    let mut rig = Rig::new(config(&[model(100)]));
    rig.pass(SECOND);
    rig.hear(&model(100), 2, 0);
    assert_eq!(rig.remaining(), Duration::from_micros(609_375));
    assert_eq!(rig.counters(V1).priority_zero_received, 1);
}

#[test]
fn a_master_of_equal_or_higher_priority_is_obeyed() {
    for theirs in [100, 101, 254, 255] {
        let mut rig = Rig::new(config(&[model(100)]));
        rig.pass(SECOND * 3);
        rig.hear(&model(100), 2, theirs);
        assert_eq!(rig.remaining(), DOWN_100, "{theirs}");
    }
}

#[test]
fn a_lower_master_is_ignored_and_the_timer_runs_on() {
    let mut rig = Rig::new(config(&[model(100)]));
    rig.pass(SECOND * 3);
    let first = rig.hear(&model(100), 2, 99);
    assert_eq!(rig.remaining(), DOWN_100 - SECOND * 3);
    let told = Report::LowerPriorityIgnored {
        instance: "V1".into(),
        from: [10, 0, 0, 2].into(),
        priority: 99,
        ours: 100,
    };
    assert_eq!(reports(&first), [told]);
    assert_eq!(rig.hear(&model(100), 2, 98), []);
}

#[test]
fn a_lost_advertisement_is_told_once_before_it_costs_a_failover() {
    let mut rig = Rig::new(config(&[model(100)]));
    let late = |actions: &[Action]| {
        let all = reports(actions).into_iter();
        all.filter(|r| matches!(r, Report::Late { .. })).count()
    };
    rig.pass(SECOND * 3);
    assert_eq!(late(&rig.hear(&model(100), 2, 150)), 0, "the first one");
    for _ in 0..3 {
        rig.pass(SECOND * 3 / 2);
        assert_eq!(late(&rig.hear(&model(100), 2, 150)), 0, "a little late");
    }
    rig.pass(SECOND * 2);
    let told = reports(&rig.hear(&model(100), 2, 150));
    let lost = Report::Late {
        instance: "V1".into(),
        from: [10, 0, 0, 2].into(),
        gap: SECOND * 2,
        limit: DOWN_100,
    };
    assert_eq!(told, [lost]);
    rig.pass(SECOND * 3);
    assert_eq!(late(&rig.hear(&model(100), 2, 150)), 0, "told already");
}

#[test]
fn nopreempt_obeys_any_master() {
    let mut meek = model(100);
    meek.preempt = false;
    let mut rig = Rig::new(config(&[meek.clone()]));
    rig.pass(SECOND * 3);
    rig.hear(&meek, 2, 1);
    assert_eq!(rig.remaining(), DOWN_100);
}

#[test]
fn preempt_delay_is_followed_by_the_rest_of_a_down_time() {
    let mut patient = model(150);
    patient.preempt_delay = SECOND * 2;
    let mut rig = Rig::new(config(&[patient.clone()]));
    // The delay runs from the first lower-priority advertisement on.
    for _ in 0..2 {
        rig.pass(SECOND);
        rig.hear(&patient, 2, 100);
        assert_eq!(rig.remaining(), DOWN_150);
    }
    rig.pass(SECOND);
    rig.hear(&patient, 2, 100);
    assert_eq!(rig.remaining(), DOWN_150 - SECOND);
    let actions = rig.pass(DOWN_150 - SECOND);
    assert_eq!(sent(just(&actions)), [150]);
}

#[test]
fn a_better_master_cancels_the_preempt_delay() {
    let mut patient = model(150);
    patient.preempt_delay = SECOND * 2;
    let mut rig = Rig::new(config(&[patient.clone()]));
    rig.hear(&patient, 2, 100);
    rig.pass(SECOND);
    rig.hear(&patient, 3, 200);
    rig.pass(SECOND * 2);
    // The delay begins anew: this one is obeyed.
    rig.hear(&patient, 2, 100);
    assert_eq!(rig.remaining(), DOWN_150);
}

#[test]
fn version_3_waits_by_the_masters_interval_and_sends_by_its_own() {
    let mut ours = model(150);
    ours.version = Version::V3;
    let mut theirs = ours.clone();
    theirs.advert_int = SECOND * 2;
    let mut rig = Rig::new(config(&[ours.clone()]));
    let actions = rig.hear(&theirs, 2, 200);
    assert_eq!(rig.remaining(), Duration::from_micros(6_828_125)); // 3 x 2 s + 106/256 x 2 s
    let told = reports(&actions);
    assert!(matches!(
        told[..],
        [Report::MasterIs { .. }, Report::BadPacket { .. }]
    ));
    assert_eq!(rig.hear(&theirs, 2, 200), []);
    let actions = rig.pass(Duration::from_micros(6_828_125));
    assert_eq!(sent(just(&actions)), [150]);
    assert_eq!(rig.remaining(), SECOND);
    // What was learned is forgotten: a master of our own interval is waited for by that.
    rig.hear(&ours, 2, 200);
    assert_eq!(rig.remaining(), DOWN_150);
}

#[test]
fn the_shortest_interval_has_the_down_time_of_the_formula() {
    let mut quick = model(100);
    quick.version = Version::V3;
    quick.advert_int = Duration::from_millis(10);
    let mut rig = Rig::new(config(&[quick]));
    assert_eq!(rig.pass(Duration::from_micros(36_092)), []);
    assert_eq!(sent(just(&rig.pass(MICROSECOND))), [100]);
}

#[test]
fn version_2_ignores_another_interval() {
    let ours = model(100);
    let mut theirs = ours.clone();
    theirs.advert_int = SECOND * 2;
    let mut rig = Rig::new(config(&[ours]));
    rig.pass(SECOND);
    let actions = rig.hear(&theirs, 2, 200);
    assert_eq!(rig.remaining(), DOWN_100 - SECOND);
    assert_eq!(reports(&actions).len(), 1);
    assert_eq!(rig.hear(&theirs, 2, 200), []);
}

#[test]
fn an_invalid_packet_leaves_the_timer_alone_and_is_told_once_for_each_peer() {
    let mut rig = Rig::new(config(&[model(100)]));
    rig.pass(SECOND);
    let bad = |host| {
        let mut octets = packet(&model(100), host, 200);
        octets[8] = 64; // TTL
        octets
    };
    assert_eq!(rig.hear_octets(bad(2)).len(), 1);
    assert_eq!(rig.hear_octets(bad(2)).len(), 0);
    assert_eq!(rig.hear_octets(bad(3)).len(), 1);
    assert_eq!(rig.remaining(), DOWN_100 - SECOND);
    assert_eq!(rig.counters(V1).ttl_errors, 3);
    // A new master is obeyed: what was told may be told again.
    rig.hear(&model(100), 9, 200);
    assert_eq!(rig.hear_octets(bad(2)).len(), 1);
}

#[test]
fn packets_for_others_are_nobodys_business() {
    let mut rig = Rig::new(config(&[model(100)]));
    assert_eq!(rig.hear(&second(200), 2, 200), []);
    let mut elsewhere = model(100);
    elsewhere.mcast_group = [224, 0, 0, 99].into();
    assert_eq!(rig.hear(&elsewhere, 2, 200), []);
    assert_eq!(rig.counters(V1), crate::vrrp::Counters::default());
    assert_eq!(
        reports(&rig.hear_octets(vec![0x45; 27])),
        [Report::Runt {
            interface: Some(ETH0)
        }]
    );
    assert_eq!(rig.hear_octets(vec![0x45; 27]), []);
}

#[test]
fn a_backup_that_wakes_late_listens_before_it_takes_over() {
    let mut rig = Rig::new(config(&[model(100)]));
    // As late as this a master would be with one advertisement of three.
    rig.now = rig.router.deadline() + SECOND;
    assert_eq!(sent(&rig.event(Event::Wake)), [100]);
    // Very late: the master may have spoken long ago; its packets are still in the socket.
    let mut rig = Rig::new(config(&[model(100)]));
    rig.now = rig.router.deadline() + SECOND * 2;
    assert_eq!(rig.event(Event::Wake), []);
    assert_eq!(
        rig.remaining(),
        SECOND,
        "what was lost, an interval at most"
    );
    assert_eq!(sent(just(&rig.pass(SECOND))), [100]);
    // Again and again, but not for ever.
    let mut rig = Rig::new(config(&[model(100)]));
    for _ in 0..3 {
        rig.now = rig.router.deadline() + SECOND * 3 / 2;
        assert_eq!(rig.event(Event::Wake), []);
        assert_eq!(rig.remaining(), SECOND);
    }
    rig.now = rig.router.deadline() + SECOND * 3 / 2;
    assert_eq!(sent(&rig.event(Event::Wake)), [100]);
    // Frozen for longer than a master may be silent.
    let mut rig = Rig::new(config(&[model(100)]));
    rig.now = rig.router.deadline() + SECOND * 60;
    let actions = rig.event(Event::Wake);
    assert!(matches!(reports(&actions)[..], [Report::Overslept { .. }]));
    assert_eq!(rig.remaining(), DOWN_100);
}

#[test]
fn what_a_backup_has_lost_counts_where_it_would_have_silenced_a_master() {
    let ms = Duration::from_millis;
    for (interval, adverts, late, excused) in [
        (ms(1000), 3, ms(1000), false),
        (ms(1000), 3, ms(1001), true),
        (ms(1000), 1, ms(250), false),
        (ms(1000), 1, ms(251), true),
        (ms(100), 3, ms(97), false),
        (ms(100), 3, ms(101), true),
        (ms(10), 3, Duration::from_micros(2_500), false),
        (ms(10), 3, ms(3), true),
    ] {
        let mut model = model(100);
        model.version = Version::V3;
        (model.advert_int, model.down_timer_adverts) = (interval, adverts);
        let mut rig = Rig::new(config(&[model]));
        let down = interval * adverts + interval * 156 / 256;
        assert_eq!(rig.pass(down - MICROSECOND), []);
        rig.now = Mono::ZERO + down + late;
        let spoke = !sent(&rig.event(Event::Wake)).is_empty();
        assert_eq!(spoke, !excused, "{late:?} of {interval:?}, {adverts}");
    }
}

#[test]
fn a_master_that_has_said_that_it_goes_is_given_no_more_time() {
    // The last word of the master, and of somebody else.
    for (last, other, excused) in [
        (None, None, true),
        (Some(0), None, false),
        (Some(50), None, false),
        (None, Some(0), true),
        (None, Some(50), true),
    ] {
        let mut rig = Rig::new(config(&[model(100)]));
        rig.hear(&model(100), 2, 150);
        for (host, word) in [(2, last), (3, other)] {
            if let Some(priority) = word {
                rig.hear(&model(100), host, priority);
            }
        }
        rig.now = rig.router.deadline() + SECOND * 2;
        let spoke = !sent(&rig.event(Event::Wake)).is_empty();
        assert_eq!(spoke, !excused, "{last:?}, {other:?}");
        // Frozen for longer than a master may be silent: there may be another one.
        let mut rig = Rig::new(config(&[model(100)]));
        rig.hear(&model(100), 2, 150);
        rig.hear(&model(100), 2, last.unwrap_or(150));
        rig.now = rig.router.deadline() + SECOND * 60;
        assert!(sent(&rig.event(Event::Wake)).is_empty());
        assert_eq!(rig.remaining(), DOWN_100);
        // It has come back.
        rig.hear(&model(100), 2, 150);
        rig.now = rig.router.deadline() + SECOND * 2;
        assert!(sent(&rig.event(Event::Wake)).is_empty());
    }
}
