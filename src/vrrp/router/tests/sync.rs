//! Sync groups.

use super::*;

fn group() -> [Model; 2] {
    [model(150), second(150)]
}

#[test]
fn a_group_takes_over_only_when_every_master_is_silent() {
    let [a, b] = group();
    let mut rig = Rig::new(grouped(&[a.clone(), b.clone()]));
    for _ in 0..10 {
        rig.pass(SECOND);
        rig.hear(&b, 2, 200);
        assert_eq!(rig.state(V1), VrrpState::Backup);
    }
    let actions = rig.pass(DOWN_150);
    assert_eq!(sent(just(&actions)), [150, 150]);
    assert_eq!(rig.now.since(Mono::ZERO), SECOND * 10 + DOWN_150);
    // The last one to expire goes first.
    assert_eq!(
        notices(just(&actions)),
        ["V2 MASTER 150", "V1 MASTER 150", "G MASTER"]
    );
}

#[test]
fn an_advertisement_takes_the_wish_of_a_member_back() {
    let [a, b] = group();
    let mut rig = Rig::new(grouped(&[a.clone(), b.clone()]));
    rig.pass(SECOND * 2);
    rig.hear(&b, 2, 200);
    rig.pass(SECOND * 2); // V1 wishes
    rig.hear(&a, 2, 200); // and is answered
    rig.pass(SECOND * 2); // V2 wishes
    assert_eq!(rig.state(V1), VrrpState::Backup);
    assert_eq!(sent(just(&rig.pass(SECOND * 2))), [150, 150]);
}

#[test]
fn members_follow_the_one_that_yields_without_resigning() {
    let [a, b] = group();
    let mut rig = Rig::master(grouped(&[a, b.clone()]));
    let actions = rig.hear(&b, 2, 200);
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert_eq!(
        notices(&actions),
        ["V2 BACKUP 150", "V1 BACKUP 150", "G BACKUP"]
    );
    assert_eq!(rig.remaining(), DOWN_150);
}

#[test]
fn a_fault_of_one_is_a_fault_of_all() {
    let [a, mut b] = group();
    b.interface = Some(name("eth1"));
    Arc::make_mut(&mut b.addresses[0]).dev = name("eth1");
    let mut rig = Rig {
        router: Router::new(),
        now: Mono::ZERO,
    };
    rig.interface(eth(0, true));
    rig.interface(eth(1, true));
    rig.reload(grouped(&[a, b]));
    rig.pass(SECOND * 4);
    assert_eq!(rig.state(V1), VrrpState::Master);
    let actions = rig.interface(eth(1, false));
    let by_interface = |n: u32| {
        let on = actions
            .iter()
            .filter(move |a| matches!(a, Action::SendAdvert { socket, .. } if socket.interface == Some(IfIndex(n))));
        sent(on)
    };
    assert_eq!((by_interface(2), by_interface(3)), (vec![0], vec![0, 0]));
    assert_eq!(
        notices(&actions),
        ["V2 FAULT 150", "V1 FAULT 150", "G FAULT"]
    );
    assert_eq!(
        rig.interface(eth(0, false)).len(),
        1,
        "a second reason is only reported"
    );
    assert_eq!(rig.interface(eth(1, true)), []);
    let actions = rig.interface(eth(0, true));
    assert_eq!(
        notices(&actions),
        ["V1 BACKUP 150", "V2 BACKUP 150", "G BACKUP"]
    );
}

#[test]
fn a_lower_master_of_one_makes_all_members_announce() {
    let [a, b] = group();
    let mut rig = Rig::master(grouped(&[a.clone(), b]));
    let actions = rig.hear(&a, 2, 100);
    assert_eq!((sent(&actions), frames(&actions)), (vec![150], 10));
}

#[test]
fn the_whole_group_comes_back_together_after_an_address_was_deleted() {
    let [a, b] = group();
    let addr = a.addresses[0].clone();
    let mut rig = Rig::master(grouped(&[a, b]));
    let actions = rig.event(Event::Lost {
        instance: V1,
        entry: crate::vrrp::Lost::Address(addr),
        by: "somebody".into(),
    });
    assert_eq!(sent(&actions), [0]);
    assert_eq!(rig.state(V2), VrrpState::Backup);
    let actions = rig.pass(Duration::from_micros(414_062));
    assert_eq!(sent(just(&actions)), [150, 150]);
}

#[test]
fn what_the_group_tracks_counts_for_every_member() {
    let [a, mut b] = group();
    // The instance's own line gives way to the group's, unless it has weight 0.
    b.track_scripts.push(track_script(Weight::Adjust(-7)));
    let mut config = grouped(&[a, b]);
    let mut group = crate::model::vrrp::SyncGroup::clone(&config.groups[0]);
    group.track_scripts.push(track_script(Weight::Adjust(-50)));
    config.groups[0] = Arc::new(group);
    let mut rig = Rig::new(with_script(config, false));
    rig.script(false);
    let priorities: Vec<u8> = rig
        .router
        .snapshot()
        .iter()
        .map(|s| s.effective_priority)
        .collect();
    assert_eq!(priorities, [100, 100]);
}

#[test]
fn a_master_that_overslept_takes_its_group_along() {
    let [mut a, mut b] = group();
    (a.preempt, b.preempt) = (false, false);
    let mut rig = Rig::master(grouped(&[a, b]));
    rig.now += SECOND * 30;
    let actions = rig.event(Event::Wake);
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert_eq!(
        (rig.state(V1), rig.state(V2)),
        (VrrpState::Backup, VrrpState::Backup)
    );
}
