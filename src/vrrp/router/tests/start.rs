//! Start and stop.

use super::*;
use crate::model::vrrp::InitialState;

#[test]
fn silence_makes_a_master_exactly_at_the_deadline() {
    let mut rig = Rig::new(config(&[model(100)]));
    let t = rig.router.deadline();
    assert_eq!(t, Mono::ZERO + DOWN_100); // 3 s + 156/256 s
    rig.now = t - MICROSECOND;
    assert_eq!(rig.event(Event::Wake), []);
    rig.now = t;
    let actions = rig.event(Event::Wake);
    assert_eq!(sent(&actions), [100]);
    assert_eq!(rig.router.desired(V1).addresses, model(100).addresses);
}

#[test]
fn a_new_master_speaks_then_takes_the_addresses_then_announces_them_then_tells() {
    let mut rig = Rig::new(config(&[model(150)]));
    let actions = rig.pass(DOWN_150);
    let order: Vec<&str> = just(&actions)
        .into_iter()
        .map(|a| match a {
            Action::SendAdvert { .. } => "advert",
            Action::SendFrame { .. } => "garp",
            Action::Converge(_) => "converge",
            Action::Listen => "listen",
            Action::Notice(_) => "notice",
            Action::Report(Report::Entered { .. }) => "entered",
            Action::Report(Report::Holding { .. }) => "setting",
            Action::Report(Report::Announcing { .. }) => "announcing",
            Action::Report(_) => "report",
        })
        .collect();
    let garps = ["garp"; 5];
    let expected = [
        &["report", "advert", "entered", "converge"][..],
        &["setting", "announcing"],
        &garps,
        &["notice"],
    ]
    .concat();
    assert_eq!(order, expected);
}

#[test]
fn notices_wait_for_the_kernel_and_keep_their_order() {
    let mut rig = Rig::new(config(&[model(150)]));
    rig.now = rig.router.deadline();
    let mut actions = rig.router.on_event(rig.now, Event::Wake);
    // A better master comes before the kernel has the addresses.
    let packet = Packet::V4(packet(&model(150), 9, 200));
    let heard = Event::Heard(Frame::on(ETH0, packet));
    actions.extend(rig.router.on_event(rig.now, heard));
    assert!(notices(&actions).is_empty());
    assert_eq!(converges(&actions), 2);
    assert_eq!(rig.router.on_event(rig.now, Event::Converged(V1)), []);
    let last = rig.router.on_event(rig.now, Event::Converged(V1));
    assert_eq!(notices(&last), ["V1 MASTER 150", "V1 BACKUP 150"]);
    assert_eq!(frames(&last), 0);
}

#[test]
fn state_master_does_not_hasten_a_router_that_owns_nothing() {
    let mut eager = model(150);
    eager.initial_state = InitialState::Master;
    let (rig, actions) = Rig::start(config(&[eager]));
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert_eq!(rig.remaining(), DOWN_150);
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
    assert_eq!(converges(&actions), 1, "what an earlier run left must go");
}

#[test]
fn an_owner_is_master_at_once_unless_its_state_is_backup() {
    let mut owner = model(255);
    owner.initial_state = InitialState::Master;
    let (rig, actions) = Rig::start(config(&[owner.clone()]));
    assert_eq!(sent(&actions), [255]);
    assert_eq!(rig.state(V1), VrrpState::Master);
    owner.initial_state = InitialState::Backup;
    let (rig, actions) = Rig::start(config(&[owner]));
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert_eq!(rig.remaining(), Duration::from_micros(3_003_906));
}

#[test]
fn a_group_is_announced_first_at_start_and_last_later() {
    let (mut rig, actions) = Rig::start(grouped(&[model(150), second(150)]));
    assert_eq!(
        notices(&actions),
        ["G BACKUP", "V1 BACKUP 150", "V2 BACKUP 150"]
    );
    let actions = rig.pass(DOWN_150);
    assert_eq!(
        notices(just(&actions)),
        ["V2 MASTER 150", "V1 MASTER 150", "G MASTER"]
    );
}

#[test]
fn a_group_of_owners_starts_as_master_only_if_all_want_to() {
    let (mut a, mut b) = (model(255), second(255));
    (a.initial_state, b.initial_state) = (InitialState::Master, InitialState::Master);
    let (_, actions) = Rig::start(grouped(&[a.clone(), b]));
    assert_eq!(sent(&actions), [255, 255]);
    let (rig, actions) = Rig::start(grouped(&[a, second(100)]));
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert_eq!(rig.remaining(), SECOND + Duration::from_micros(3_906));
}

#[test]
fn a_script_without_result_keeps_its_instance_silent() {
    let mut watched = model(150);
    watched.track_scripts.push(track_script(Weight::Fault));
    let config = with_script(config(&[watched.clone()]), false);
    let (mut rig, actions) = Rig::start(config.clone());
    assert!(notices(&actions).is_empty());
    assert!(matches!(
        reports(&actions)[..],
        [Report::Holding { set: false, .. }]
    ));
    assert_eq!(rig.router.deadline(), Mono::NEVER);
    assert!(rig.hear(&watched, 2, 0).is_empty());
    assert_eq!(rig.counters(V1).advert_received, 0);
    let actions = rig.script(true);
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
    assert_eq!(rig.remaining(), DOWN_150);

    let mut rig = Rig::new(config);
    let actions = rig.script(false);
    assert_eq!(notices(&actions), ["V1 FAULT 150"]);
    let cause = FaultCause::Script("chk".into());
    let instance = "V1".into();
    assert_eq!(reports(&actions), [Report::Fault { instance, cause }]);
}

#[test]
fn one_silent_member_keeps_its_group_silent() {
    let mut watched = second(150);
    watched.track_scripts.push(track_script(Weight::Fault));
    let (mut rig, actions) = Rig::start(with_script(grouped(&[model(150), watched]), false));
    assert!(notices(&actions).is_empty());
    let actions = rig.script(true);
    assert_eq!(
        notices(&actions),
        ["G BACKUP", "V1 BACKUP 150", "V2 BACKUP 150"]
    );
}

#[test]
fn init_fail_means_bad_until_the_first_result() {
    let mut watched = model(150);
    watched.track_scripts.push(track_script(Weight::Fault));
    let (mut rig, actions) = Rig::start(with_script(config(&[watched]), true));
    assert_eq!(notices(&actions), ["V1 FAULT 150"]);
    assert_eq!(notices(&rig.script(true)), ["V1 BACKUP 150"]);
}

#[test]
fn a_weighted_script_without_result_neither_blocks_nor_counts() {
    let mut watched = model(150);
    watched
        .track_scripts
        .push(track_script(Weight::Adjust(-50)));
    let (mut rig, actions) = Rig::start(with_script(config(&[watched]), false));
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
    assert_eq!(rig.remaining(), DOWN_150);
    rig.script(false);
    assert_eq!(rig.remaining(), DOWN_100);
}

#[test]
fn a_verdict_before_the_first_configuration_counts() {
    let mut watched = model(150);
    watched.track_scripts.push(track_script(Weight::Fault));
    let mut rig = Rig {
        router: Router::new(),
        now: Mono::ZERO,
    };
    rig.interface(eth(0, true));
    assert_eq!(rig.script(true), []);
    let actions = rig.reload(with_script(config(&[watched]), false));
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
}

#[test]
fn stop_resigns_once_and_says_so_when_the_kernel_holds_nothing() {
    let mut idle = second(100);
    idle.preempt = false;
    let mut rig = Rig::new(config(&[model(150), idle.clone()]));
    rig.hear(&idle, 9, 100);
    rig.pass(DOWN_150);
    let actions = rig.router.on_event(rig.now, Event::Stop(Release::All));
    assert_eq!(sent(&actions), [0]);
    assert!(notices(&actions).is_empty());
    assert_eq!(converges(&actions), 1);
    assert!(rig.router.desired(V1).addresses.is_empty());
    assert_eq!(rig.router.deadline(), Mono::NEVER);
    let actions = rig.router.on_event(rig.now, Event::Converged(V1));
    assert_eq!(notices(&actions), ["V1 STOP 150", "V2 STOP 100"]);
    assert_eq!(rig.router.on_event(rig.now + SECOND * 9, Event::Wake), []);
    assert_eq!(rig.counters(V1).priority_zero_sent, 1);
}

#[test]
fn at_stop_groups_are_told_after_all_instances() {
    let mut third = model(50);
    (third.name, third.vrid) = ("V3".into(), vrid(53));
    let mut config = grouped(&[model(150), second(150)]);
    config.instances.push(Arc::new(third));
    let mut rig = Rig::new(config);
    let actions = rig.event(Event::Stop(Release::All));
    assert_eq!(
        notices(&actions),
        ["V1 STOP 150", "V2 STOP 150", "V3 STOP 50", "G STOP"]
    );
}

#[test]
fn a_stop_that_releases_nothing_is_silent() {
    let mut rig = Rig::master(config(&[model(150)]));
    let actions = rig.event(Event::Stop(Release::Nothing));
    assert_eq!((sent(&actions), converges(&actions)), (vec![], 0));
    assert_eq!(notices(&actions), ["V1 STOP 150"]);
    assert!(!rig.router.desired(V1).addresses.is_empty());
    assert_eq!(rig.router.deadline(), Mono::NEVER);
}
