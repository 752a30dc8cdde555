//! What a master sends, and what it makes of other masters.

use super::*;
use crate::model::vrrp::InitialState;

#[test]
fn adverts_keep_their_rhythm_however_late_the_wake_ups_are() {
    let mut rig = Rig::new(config(&[model(150)]));
    rig.pass(DOWN_150);
    let began = rig.now;
    for n in 1..100_u32 {
        assert_eq!(rig.router.deadline(), began + SECOND * n);
        rig.now = rig.router.deadline() + Duration::from_millis(u64::from(n % 50));
        assert_eq!(sent(&rig.event(Event::Wake)), [150]);
    }
    // Late by more than an interval: nothing is caught up.
    rig.now = rig.router.deadline() + SECOND * 3 / 2;
    assert_eq!(sent(&rig.event(Event::Wake)), [150]);
    assert_eq!(rig.remaining(), SECOND);
}

#[test]
fn the_identification_counts_from_one_and_skips_zero() {
    let mut rig = Rig::new(config(&[model(150)]));
    let ids = |actions: &[(Mono, Action)]| -> Vec<u16> {
        let octets = actions.iter().filter_map(|(_, a)| match a {
            Action::SendAdvert { octets, .. } => Some(u16::from_be_bytes([octets[4], octets[5]])),
            Action::SendFrame { .. }
            | Action::Converge(_)
            | Action::Listen
            | Action::Notice(_)
            | Action::Report(_) => None,
        });
        octets.collect()
    };
    let first = rig.pass(DOWN_150 + SECOND * 2);
    assert_eq!(ids(&first), [1, 2, 3]);
    let many = ids(&rig.pass(SECOND * 65_536));
    assert_eq!(many.len(), 65_536);
    assert_eq!(many[65_531..65_534], [65_535, 1, 2]);
}

#[test]
fn a_flood_of_bad_packets_does_not_move_the_adverts() {
    let mut rig = Rig::new(config(&[model(150)]));
    rig.pass(DOWN_150);
    let began = rig.now;
    let mut wrong_password = packet(&model(150), 2, 200);
    wrong_password[24] = 1;
    let mut wrong_checksum = packet(&model(150), 2, 200);
    wrong_checksum[26] ^= 1;
    let wrong_version = {
        let mut octets = packet(&model(150), 2, 200);
        octets[20] = 0x31;
        octets
    };
    let cut = packet(&model(150), 2, 200)[..39].to_vec();
    let bad = [wrong_password, wrong_checksum, wrong_version, cut];
    let (mut adverts, mut lines) = (Vec::new(), 0);
    for n in 0..500_000_u32 {
        rig.now = began + Duration::from_micros(10) * n;
        if rig.router.deadline() <= rig.now {
            let actions = rig.event(Event::Wake);
            if !sent(&actions).is_empty() {
                adverts.push(rig.now.since(began));
            }
        }
        let mut octets = bad[n as usize % bad.len()].clone();
        octets[15] = u8::try_from(n / 4 % 200).expect("an octet"); // ever new sources
        let actions = rig.hear_octets(octets);
        assert!(sent(&actions).is_empty());
        lines += actions.len();
    }
    assert_eq!(adverts, [SECOND, SECOND * 2, SECOND * 3, SECOND * 4]);
    assert!(lines <= 32, "{lines} lines");
    assert_eq!(rig.state(V1), VrrpState::Master);
}

#[test]
fn a_flood_of_lower_masters_is_not_answered_by_a_flood() {
    let mut rig = Rig::new(config(&[model(150)]));
    rig.pass(DOWN_150);
    let began = rig.now;
    let mut answers = 0;
    for n in 0..100_000_u32 {
        rig.now = began + Duration::from_micros(10) * n;
        if rig.router.deadline() <= rig.now {
            rig.event(Event::Wake);
        }
        answers += sent(&rig.hear(&model(150), 2, 100)).len();
    }
    assert_eq!(answers, 100);
}

#[test]
fn a_lower_master_is_told_at_once_and_the_addresses_are_announced_now_and_later() {
    let mut rig = Rig::new(config(&[model(150)]));
    rig.pass(DOWN_150 + SECOND * 10);
    let actions = rig.hear(&model(150), 2, 149);
    assert_eq!((sent(&actions), frames(&actions)), (vec![150], 5));
    assert_eq!(rig.remaining(), SECOND);
    let later = rig.pass(SECOND * 20);
    assert_eq!(frames(just(&later)), 5);
    let at = later
        .iter()
        .find(|(_, a)| matches!(a, Action::SendFrame { .. }))
        .map(|(at, _)| *at);
    assert_eq!(at, Some(Mono::ZERO + DOWN_150 + SECOND * 15));
}

#[test]
fn lower_prio_no_advert_only_announces() {
    let mut quiet = model(150);
    quiet.lower_prio_no_advert = true;
    let mut rig = Rig::master(config(&[quiet.clone()]));
    let before = rig.router.deadline();
    let actions = rig.hear(&quiet, 2, 149);
    assert_eq!((sent(&actions), frames(&actions)), (vec![], 5));
    assert_eq!(rig.router.deadline(), before);
}

#[test]
fn equal_priorities_are_decided_by_the_address() {
    // We are 10.0.0.1.
    let mut rig = Rig::master(config(&[model(150)]));
    rig.hear(&model(150), 2, 150);
    assert_eq!(rig.state(V1), VrrpState::Backup);
    let mut low = model(150);
    low.source = Some([10, 0, 0, 77].into());
    let mut rig = Rig::master(config(&[low]));
    assert_eq!(sent(&rig.hear(&model(150), 76, 150)), [150]);
    assert_eq!(rig.state(V1), VrrpState::Master);
    let same = rig.hear(&model(150), 77, 150);
    assert!(matches!(
        reports(&same)[..],
        [Report::OwnAddressHeard { .. }]
    ));
    assert_eq!(same.len(), 1);
}

#[test]
fn a_better_master_is_followed_without_resigning() {
    let mut rig = Rig::master(config(&[model(150)]));
    let actions = rig.hear(&model(150), 2, 151);
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
    assert_eq!(rig.remaining(), DOWN_150);
    assert!(rig.router.desired(V1).addresses.is_empty());
    let later = rig.pass(DOWN_150 - MICROSECOND);
    assert_eq!(later, [], "no gratuitous ARP outlives MASTER");
    let counters = rig.counters(V1);
    assert_eq!((counters.became_master, counters.released_master), (1, 1));
}

#[test]
fn higher_prio_send_advert_speaks_once_before_it_follows() {
    let mut last_word = model(150);
    last_word.higher_prio_send_advert = true;
    let mut rig = Rig::master(config(&[last_word.clone()]));
    assert_eq!(sent(&rig.hear(&last_word, 2, 151)), [150]);
    assert_eq!(rig.state(V1), VrrpState::Backup);
}

#[test]
fn a_master_that_resigns_is_answered_and_nothing_else() {
    let mut rig = Rig::master(config(&[model(150)]));
    let actions = rig.hear(&model(150), 2, 0);
    assert_eq!((sent(&actions), actions.len()), (vec![150], 1));
    assert_eq!(rig.remaining(), SECOND);
}

#[test]
fn of_two_owners_the_lower_address_yields() {
    let mut owner = model(255);
    owner.initial_state = InitialState::Master;
    let mut rig = Rig::new(config(&[owner.clone()]));
    rig.hear(&owner, 2, 255);
    assert_eq!(rig.state(V1), VrrpState::Backup);
}

#[test]
fn the_higher_owner_loses_patience_and_recovers_when_the_other_is_gone() {
    let mut owner = model(255);
    owner.initial_state = InitialState::Master;
    owner.source = Some([10, 0, 0, 77].into());
    let mut rig = Rig::new(config(&[owner.clone()]));
    let mut conceded_at = None;
    for n in 1..10 {
        rig.pass(SECOND);
        let actions = rig.hear(&owner, 2, 255);
        if rig.state(V1) == VrrpState::Backup && conceded_at.is_none() {
            conceded_at = Some(n);
            assert!(
                reports(&actions)
                    .iter()
                    .any(|r| matches!(r, Report::OwnershipConceded { .. }))
            );
            assert_eq!(
                rig.remaining(),
                SECOND * 3 + Duration::from_micros(7_812),
                "as 254"
            );
        }
    }
    // The answer and the next advertisement, then 1.2 s: the packet at 4 s is the one too many.
    assert_eq!(conceded_at, Some(4));
    // Silence makes it master again, as an owner.
    assert_eq!(sent(just(&rig.pass(SECOND * 4))), [255]);
}

#[test]
fn a_master_that_overslept_listens_first() {
    let mut meek = model(150);
    meek.preempt = false;
    let mut rig = Rig::master(config(&[meek]));
    rig.pass(SECOND);
    rig.now += SECOND * 10;
    let actions = rig.event(Event::Wake);
    assert_eq!(sent(&actions), [0_u8; 0], "neither 150 nor 0");
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
    assert!(matches!(reports(&actions)[0], Report::Overslept { .. }));
    assert_eq!(frames(&actions), 0);
    assert_eq!(rig.remaining(), DOWN_150);
    // Who may take over from a lower one anyway speaks at once while others still have patience.
    let mut rig = Rig::master(config(&[model(150)]));
    rig.now = rig.router.deadline() + SECOND * 5 / 2;
    assert_eq!(sent(&rig.event(Event::Wake)), [150]);
    // Later he keeps what he has while he listens.
    let overslept = || {
        let mut rig = Rig::master(config(&[model(150)]));
        rig.pass(SECOND);
        rig.now += SECOND * 10;
        let actions = rig.event(Event::Wake);
        assert_eq!((sent(&actions), notices(&actions)), (vec![], vec![]));
        assert!(matches!(reports(&actions)[..], [Report::Overslept { .. }]));
        assert_eq!(rig.remaining(), SECOND / 20);
        rig
    };
    let mut rig = overslept();
    rig.now += SECOND * 10;
    assert_eq!(sent(&rig.event(Event::Wake)), [150], "late again: no end");
    let mut rig = overslept();
    let actions = rig.hear(&model(200), 9, 200);
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
    let mut rig = overslept();
    assert_eq!(sent(&rig.hear(&model(100), 9, 100)), [150]);
    assert_eq!(rig.state(V1), VrrpState::Master);
}

#[test]
fn what_was_said_before_is_heard_before_a_timer_is_believed() {
    let rig = Rig::master(config(&[model(150)]));
    let due = rig.router.deadline();
    assert!(!rig.router.must_hear_first(due - MICROSECOND));
    assert!(!rig.router.must_hear_first(due), "an advertisement is due");
    assert!(rig.router.must_hear_first(due + SECOND));
    let mut meek = model(150);
    meek.preempt = false;
    let rig = Rig::master(config(&[meek]));
    let due = rig.router.deadline();
    assert!(rig.router.must_hear_first(due + SECOND));
    assert!(!rig.router.must_hear_first(due + SECOND * 5), "gives way");
    let rig = Rig::new(config(&[model(150)]));
    let due = rig.router.deadline();
    assert!(!rig.router.must_hear_first(due - MICROSECOND));
    assert!(rig.router.must_hear_first(due), "a takeover is due");
    let mut quick = model(150);
    quick.version = crate::model::vrrp::Version::V3;
    quick.advert_int = SECOND / 100;
    let rig = Rig::new(config(&[quick]));
    let look = rig.router.deadline();
    assert!(!rig.router.must_hear_first(look), "nothing has paused");
    assert!(rig.router.must_hear_first(look + SECOND / 1000));
}

#[test]
fn a_refresh_comes_after_the_second_burst() {
    let mut fresh = model(150);
    fresh.garp.master_refresh = SECOND * 10;
    fresh
        .excluded
        .push(VirtualAddress::new([10, 0, 9, 9].into(), 32, name("eth0")).into());
    let mut rig = Rig::new(config(&[fresh]));
    let actions = rig.pass(DOWN_150);
    assert_eq!(frames(just(&actions)), 10);
    let began = rig.now;
    let later = rig.pass(SECOND * 26);
    let mut at: Vec<u64> = later
        .iter()
        .filter(|(_, a)| matches!(a, Action::SendFrame { .. }))
        .map(|(at, _)| at.since(began).as_secs())
        .collect();
    assert_eq!(at.len(), 10 + 2 + 2);
    at.dedup();
    assert_eq!(at, [5, 15, 25]);
}

/// keepalived: what was learned is put back on becoming MASTER only if details are logged.
#[test]
fn what_was_learned_as_a_backup_does_not_outlive_our_own_reign() {
    let mut ours = model(150);
    ours.version = crate::model::vrrp::Version::V3;
    let mut theirs = ours.clone();
    theirs.advert_int = SECOND * 5;
    let mut rig = Rig::new(config(&[ours.clone()]));
    rig.hear(&theirs, 2, 200);
    rig.pass(SECOND * 20);
    assert_eq!(rig.state(V1), VrrpState::Master);
    rig.event(Event::Lost {
        instance: V1,
        entry: crate::vrrp::Lost::Address(ours.addresses[0].clone()),
        by: "somebody".into(),
    });
    assert_eq!(rig.remaining(), Duration::from_micros(414_062)); // 106/256 x 1 s
}

#[test]
fn an_address_deleted_by_somebody_else_costs_a_skew_time() {
    let mut rig = Rig::master(config(&[model(150)]));
    let addr = model(150).addresses[0].clone();
    let lost = |addr: &Arc<VirtualAddress>| Event::Lost {
        instance: V1,
        entry: crate::vrrp::Lost::Address(addr.clone()),
        by: "somebody".into(),
    };
    let actions = rig.event(lost(&addr));
    assert_eq!(sent(&actions), [0]);
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
    assert_eq!(rig.remaining(), Duration::from_micros(414_062));
    // Late news about what is not wanted any more.
    assert_eq!(rig.event(lost(&addr)), []);

    let mut careless = model(150);
    Arc::make_mut(&mut careless.addresses[0]).track = false;
    let mut rig = Rig::master(config(&[careless.clone()]));
    assert_eq!(rig.event(lost(&careless.addresses[0])), []);
    assert_eq!(rig.state(V1), VrrpState::Master);
}
