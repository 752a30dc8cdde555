//! FAULT and priorities.

use super::*;

fn track(n: u8, weight: Weight) -> InterfaceTrack {
    InterfaceTrack {
        interface: name(&format!("eth{n}")),
        weight,
        reverse: false,
    }
}

#[test]
fn a_master_without_link_resigns_twice() {
    let mut rig = Rig::master(config(&[model(150)]));
    let actions = rig.interface(eth(0, false));
    assert_eq!(sent(&actions), [0, 0]);
    assert_eq!(notices(&actions), ["V1 FAULT 150"]);
    assert_eq!(converges(&actions), 1);
    assert_eq!(rig.router.deadline(), Mono::NEVER);
    assert_eq!(rig.counters(V1).priority_zero_sent, 1);
    let cause = FaultCause::InterfaceDown(name("eth0"));
    assert_eq!(
        reports(&actions)[0],
        Report::Fault {
            instance: "V1".into(),
            cause
        }
    );
}

#[test]
fn a_backup_without_link_says_nothing() {
    let mut rig = Rig::new(config(&[model(150)]));
    let actions = rig.interface(eth(0, false));
    assert_eq!((sent(&actions), converges(&actions)), (vec![], 0));
    assert_eq!(notices(&actions), ["V1 FAULT 150"]);
    assert_eq!(rig.hear(&model(150), 2, 200), []);
    assert_eq!(rig.counters(V1).advert_received, 0);
}

#[test]
fn leaving_fault_costs_a_full_down_time_even_for_an_owner() {
    let mut rig = Rig::master(config(&[model(255)]));
    rig.interface(eth(0, false));
    rig.pass(SECOND);
    let actions = rig.interface(eth(0, true));
    assert_eq!(notices(&actions), ["V1 BACKUP 255"]);
    assert_eq!(rig.remaining(), Duration::from_micros(3_003_906));
}

#[test]
fn every_tracked_interface_must_come_back() {
    let mut watching = model(150);
    watching.track_interfaces = vec![track(1, Weight::Fault), track(2, Weight::Fault)];
    let mut rig = Rig {
        router: Router::new(),
        now: Mono::ZERO,
    };
    for n in 0..3 {
        rig.interface(eth(n, true));
    }
    rig.reload(config(&[watching]));
    rig.interface(eth(1, false));
    rig.interface(eth(2, false));
    assert_eq!(rig.interface(eth(1, true)), [], "one is still down");
    assert_eq!(rig.state(V1), VrrpState::Fault);
    assert_eq!(notices(&rig.interface(eth(2, true))), ["V1 BACKUP 150"]);
}

#[test]
fn dont_track_primary_keeps_a_master_without_link() {
    let mut stubborn = model(150);
    stubborn.dont_track_primary = true;
    let mut rig = Rig::master(config(&[stubborn]));
    assert_eq!(rig.interface(eth(0, false)), []);
    assert_eq!(rig.state(V1), VrrpState::Master);
    assert_eq!(sent(just(&rig.pass(SECOND))), [150]);
}

#[test]
fn the_source_is_the_first_address_that_is_not_virtual_and_stays() {
    let mut rig = Rig::master(config(&[model(150)]));
    let src = |actions: &[(Mono, Action)]| match actions {
        [(_, Action::SendAdvert { src, .. })] => *src,
        other => panic!("{other:?}"),
    };
    let with = |addrs: &[[u8; 4]]| InterfaceFacts {
        addrs: addrs.iter().map(|a| ((*a).into(), 24)).collect(),
        ..eth(0, true)
    };
    let own = rig.interface(with(&[[10, 0, 0, 1], [10, 0, 0, 100]]));
    assert_eq!(own, [], "our own address appeared");
    let before_it = rig.interface(with(&[[10, 0, 0, 100], [10, 0, 0, 5], [10, 0, 0, 1]]));
    assert_eq!(before_it, []);
    assert_eq!(src(&rig.pass(SECOND)), IpAddr::from([10, 0, 0, 1]));
    rig.interface(with(&[[10, 0, 0, 100], [10, 0, 0, 5], [10, 0, 0, 6]]));
    assert_eq!(src(&rig.pass(SECOND)), IpAddr::from([10, 0, 0, 5]));
    let actions = rig.interface(with(&[[10, 0, 0, 100]]));
    assert_eq!(notices(&actions), ["V1 FAULT 150"]);
    assert_eq!(sent(&actions), [0, 0], "with the source it had");
    let actions = rig.interface(with(&[[10, 0, 0, 6]]));
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
}

#[test]
fn an_interface_may_go_and_come_back_as_another() {
    let mut rig = Rig::master(config(&[model(150)]));
    let actions = rig.event(Event::InterfaceGone(ETH0));
    assert_eq!(notices(&actions), ["V1 FAULT 150"]);
    assert_eq!(sent(&actions), [0_u8; 0], "there is nothing to send on");
    assert!(actions.contains(&Action::Listen));
    assert_eq!(rig.router.sockets(), []);
    let again = InterfaceFacts {
        index: IfIndex(9),
        ..eth(0, true)
    };
    let actions = rig.interface(again);
    assert_eq!(notices(&actions), ["V1 BACKUP 150"]);
    let socket = Socket {
        interface: Some(IfIndex(9)),
        protocol: Protocol::Vrrp,
        local: Ipv4Addr::new(224, 0, 0, 18).into(),
    };
    assert_eq!(rig.router.sockets(), [socket]);
}

#[test]
fn an_interface_may_be_renamed() {
    let mut rig = Rig::new(config(&[model(150)]));
    let away = InterfaceFacts {
        name: name("wan0"),
        ..eth(0, true)
    };
    assert_eq!(notices(&rig.interface(away)), ["V1 FAULT 150"]);
    assert_eq!(notices(&rig.interface(eth(0, true))), ["V1 BACKUP 150"]);
}

#[test]
fn weights_move_the_priority_and_the_running_timer() {
    let mut watching = model(150);
    watching
        .track_scripts
        .push(track_script(Weight::Adjust(-50)));
    let mut rig = Rig::new(with_script(config(&[watching]), false));
    rig.pass(SECOND);
    let actions = rig.script(false);
    let (instance, from, to) = ("V1".into(), 150, 100);
    assert_eq!(
        reports(&actions),
        [Report::PriorityChanged { instance, from, to }]
    );
    assert_eq!(rig.remaining(), Duration::from_micros(2_609_375));
    rig.pass(SECOND * 3);
    let before = rig.router.deadline();
    assert_eq!(
        sent(&rig.script(true)),
        [0_u8; 0],
        "from the next scheduled one on"
    );
    assert_eq!(rig.router.deadline(), before);
    assert_eq!(sent(just(&rig.pass(SECOND))), [150]);
}

#[test]
fn a_weight_that_shrinks_the_skew_below_what_has_passed_makes_a_master_now() {
    let mut watching = model(1);
    watching
        .track_scripts
        .push(track_script(Weight::Adjust(253)));
    let mut rig = Rig::new(with_script(config(&[watching]), false));
    rig.pass(SECOND * 3 + SECOND / 2);
    rig.script(true);
    assert_eq!(rig.router.deadline(), rig.now);
    assert_eq!(sent(&rig.event(Event::Wake)), [254]);
}

#[test]
fn priorities_are_clamped_and_owners_keep_theirs() {
    for (base, weight, expected) in [
        (250, 100, 254),
        (10, -100, 1),
        (255, -100, 255),
        (254, 1, 254),
    ] {
        let mut watching = model(base);
        let weight = Weight::Adjust(weight);
        watching.track_interfaces = vec![track(1, weight)];
        let mut rig = Rig::new(config(&[watching]));
        if weight == Weight::Adjust(100) || weight == Weight::Adjust(1) {
            rig.interface(eth(1, true));
        }
        assert_eq!(
            rig.router.snapshot()[0].effective_priority,
            expected,
            "{base} {weight:?}"
        );
    }
}

#[test]
fn reverse_turns_the_sign_and_the_fault() {
    for (weight, up, priority, state) in [
        (Weight::Adjust(20), true, 130, VrrpState::Backup),
        (Weight::Adjust(20), false, 150, VrrpState::Backup),
        (Weight::Adjust(-20), true, 150, VrrpState::Backup),
        (Weight::Adjust(-20), false, 170, VrrpState::Backup),
        (Weight::Fault, true, 150, VrrpState::Fault),
        (Weight::Fault, false, 150, VrrpState::Backup),
    ] {
        let mut watching = model(150);
        watching.track_interfaces = vec![InterfaceTrack {
            reverse: true,
            ..track(1, weight)
        }];
        let mut rig = Rig::new(config(&[watching]));
        rig.interface(eth(1, up));
        let snapshot = &rig.router.snapshot()[0];
        assert_eq!(
            (snapshot.effective_priority, snapshot.state),
            (priority, state),
            "{weight:?} {up}"
        );
    }
}

#[test]
fn the_interface_of_what_it_holds_must_be_up_whatever_else_is_tracked() {
    let elsewhere = |track: bool| {
        let mut model = model(150);
        let mut addr = VirtualAddress::new([10, 1, 0, 100].into(), 24, name("eth1"));
        addr.track = track;
        model.excluded.push(addr.into());
        model.dont_track_primary = true;
        model.track_interfaces = vec![self::track(1, Weight::Adjust(10))];
        model
    };
    let (mut rig, _) = Rig::start(config(&[elsewhere(true)]));
    assert_eq!(rig.state(V1), VrrpState::Fault, "it is not there yet");
    rig.interface(eth(1, true));
    rig.pass(DOWN_150);
    assert_eq!(rig.state(V1), VrrpState::Master);
    let actions = rig.interface(eth(1, false));
    assert_eq!(sent(&actions), [0, 0]);
    assert_eq!(rig.state(V1), VrrpState::Fault);
    rig.interface(eth(1, true));
    rig.pass(DOWN_150);
    assert_eq!(rig.state(V1), VrrpState::Master);
    // `no_track`, also by a reload; and its own interface does not count here.
    rig.reload(config(&[elsewhere(false)]));
    rig.interface(eth(1, false));
    rig.interface(eth(0, false));
    assert_eq!(rig.state(V1), VrrpState::Master);
}
