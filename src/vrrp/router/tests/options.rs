//! Options that change when or to whom something is said: trackers of numbers and processes, delays, unicast, notices.

use super::*;
use crate::model::auth::{Auth, Secret};
use crate::model::global::{ExtraIf, Global};
use crate::model::track::{OtherTracks, TrackFile, TrackProcess, Tracked};
use crate::model::unicast::{OldChecksum, Peer, Unicast};
use crate::model::vrrp::{Deletion, InitialState};
use crate::vrrp::Socket;

fn tracked(name: &str, weight: Weight, reverse: bool) -> Vec<Tracked> {
    vec![Tracked {
        name: name.into(),
        weight,
        reverse,
    }]
}

fn file(value: i32) -> Event {
    let name = "F".into();
    Event::Tracker(TrackerUpdate::File { name, value })
}

fn priority_with(track: fn(Vec<Tracked>) -> OtherTracks, weight: Weight, event: Event) -> u8 {
    let mut tracking = model(100);
    tracking.other_tracks = track(tracked("F", weight, false));
    let mut rig = Rig::new(config(&[tracking]));
    rig.event(event);
    rig.router.instances.get(V1).expect("it runs").priority()
}

fn files(files: Vec<Tracked>) -> OtherTracks {
    OtherTracks {
        files,
        ..OtherTracks::default()
    }
}

fn processes(processes: Vec<Tracked>) -> OtherTracks {
    OtherTracks {
        processes,
        ..OtherTracks::default()
    }
}

fn bfds(bfds: Vec<Tracked>) -> OtherTracks {
    OtherTracks {
        bfds,
        ..OtherTracks::default()
    }
}

#[test]
fn the_number_in_a_file_times_its_weight_is_added() {
    let with = |weight, value| priority_with(files, Weight::Adjust(weight), file(value));
    assert_eq!(with(1, 20), 120);
    assert_eq!(with(-2, 20), 60);
    assert_eq!(with(2, 100), 254, "no more than there is");
    assert_eq!(with(1, i32::MAX), 254);
}

#[test]
fn a_file_can_put_into_fault() {
    let state = |weight, reverse, value| {
        let mut tracking = model(100);
        tracking.other_tracks = files(tracked("F", weight, reverse));
        let mut rig = Rig::new(config(&[tracking]));
        rig.event(file(1));
        rig.event(file(value));
        rig.state(V1)
    };
    assert_eq!(state(Weight::Fault, false, 0), VrrpState::Backup);
    assert_eq!(state(Weight::Fault, false, 7), VrrpState::Fault);
    assert_eq!(state(Weight::Fault, true, 0), VrrpState::Fault);
    assert_eq!(state(Weight::Fault, true, -7), VrrpState::Backup);
    assert_eq!(state(Weight::Adjust(1), false, -253), VrrpState::Backup);
    assert_eq!(state(Weight::Adjust(1), false, -254), VrrpState::Fault);
    assert_eq!(state(Weight::Adjust(2), true, 127), VrrpState::Fault);
}

#[test]
fn processes_and_sessions_count_like_scripts() {
    let process = |good| {
        let name = "F".into();
        Event::Tracker(TrackerUpdate::Process { name, good })
    };
    let bfd = |up| {
        let name = "F".into();
        Event::Tracker(TrackerUpdate::Bfd { name, up })
    };
    let (plus, minus) = (Weight::Adjust(10), Weight::Adjust(-10));
    assert_eq!(priority_with(processes, plus, process(true)), 110);
    assert_eq!(priority_with(processes, minus, process(false)), 90);
    assert_eq!(priority_with(bfds, plus, bfd(true)), 110);
    assert_eq!(priority_with(bfds, minus, bfd(true)), 100);
    let mut tracking = model(100);
    tracking.other_tracks = bfds(tracked("F", Weight::Fault, false));
    let mut rig = Rig::new(config(&[tracking]));
    assert_eq!(rig.state(V1), VrrpState::Fault, "a session begins as down");
    rig.event(bfd(true));
    assert_eq!(rig.state(V1), VrrpState::Backup);
    let actions = rig.event(bfd(false));
    assert_eq!(notices(&actions), ["V1 FAULT 100"]);
}

#[test]
fn what_a_group_tracks_counts_for_every_member() {
    let mut config = grouped(&[model(100), second(100)]);
    let mut group = crate::model::vrrp::SyncGroup::clone(&config.groups[0]);
    group.other_tracks = files(tracked("F", Weight::Adjust(1), false));
    config.groups = vec![Arc::new(group)];
    let mut rig = Rig::new(config);
    rig.event(file(30));
    for id in [V1, V2] {
        assert_eq!(
            rig.router.instances.get(id).expect("it runs").priority(),
            130
        );
    }
}

#[test]
fn what_is_known_of_a_file_outlives_a_reload() {
    let mut tracking = model(100);
    tracking.other_tracks = files(tracked("F", Weight::Adjust(1), false));
    let mut config = config(&[tracking]);
    config.track_files.push(Arc::new(TrackFile {
        name: "F".into(),
        path: "/run/f".into(),
        weight: Weight::Adjust(1),
        reverse: false,
        init: None,
    }));
    let mut rig = Rig::new(config.clone());
    rig.event(file(5));
    rig.reload(config);
    assert_eq!(
        rig.router.instances.get(V1).expect("it runs").priority(),
        105
    );
}

#[test]
fn nothing_begins_before_the_startup_delay_is_over() {
    let delayed = |models: &[Model]| Config {
        global: Arc::new(Global {
            startup_delay: SECOND * 3,
            ..Global::default()
        }),
        ..config(models)
    };
    let mut rig = Rig::new(delayed(&[model(150)]));
    assert_eq!(rig.remaining(), SECOND * 3 + DOWN_150);
    rig.hear(&model(150), 9, 200);
    assert_eq!(
        rig.remaining(),
        SECOND * 3 + DOWN_150,
        "nobody is heard yet"
    );
    let mut owner = model(255);
    owner.initial_state = InitialState::Master;
    let mut rig = Rig::new(delayed(&[owner]));
    assert_eq!(rig.state(V1), VrrpState::Backup);
    rig.pass(SECOND * 3 + SECOND / 256);
    assert_eq!(rig.state(V1), VrrpState::Master);
}

#[test]
fn a_priority_that_trackers_change_is_told_where_that_is_wanted() {
    let mut tracking = model(100);
    tracking.other_tracks = files(tracked("F", Weight::Adjust(1), false));
    tracking.notify.priority_changes = true;
    let told = |actions: &[Action]| {
        let changed = |a: &Action| {
            let Action::Notice(Notice::PriorityChanged {
                state, priority, ..
            }) = a
            else {
                return None;
            };
            Some((*state, *priority))
        };
        actions.iter().filter_map(changed).collect::<Vec<_>>()
    };
    let mut rig = Rig::new(config(std::slice::from_ref(&tracking)));
    assert_eq!(told(&rig.event(file(5))), [(VrrpState::Backup, 105)]);
    assert_eq!(told(&rig.event(file(5))), []);
    tracking.priority = priority(120);
    assert_eq!(
        told(&rig.reload(config(&[tracking]))),
        [],
        "a reload is no news"
    );
    assert_eq!(told(&rig.event(file(6))), [(VrrpState::Backup, 126)]);
}

#[test]
fn a_lower_priority_master_and_a_deletion_are_told() {
    let mut rig = Rig::master(config(&[model(150)]));
    let actions = rig.hear(&model(150), 9, 100);
    let heard = |a: &&Action| {
        matches!(
            a,
            Action::Notice(Notice::LowerPriorityHeard { priority: 150, .. })
        )
    };
    assert_eq!(actions.iter().filter(heard).count(), 1);
    let mut told = model(150);
    told.notify.deletion = Deletion::Told(None);
    let mut rig = Rig::master(config(&[told]));
    let actions = rig.reload(config(&[]));
    assert_eq!(notices(&actions), ["V1 DELETED 150"]);
}

fn to(peers: &[u8]) -> Unicast {
    Unicast {
        peers: peers
            .iter()
            .map(|n| Peer::new([10, 0, 0, *n].into()))
            .collect(),
        fault_no_peer: true,
        check_source: false,
        ttl: None,
        old_checksum: OldChecksum::Recognised,
    }
}

fn unicast(priority: u8, peers: &[u8]) -> Model {
    let mut model = model(priority);
    model.unicast = Some(to(peers));
    model
}

#[test]
fn a_unicast_instance_listens_at_its_source_and_speaks_to_each_peer() {
    let mut rig = Rig::master(config(&[unicast(150, &[2, 3])]));
    let own = Socket {
        interface: Some(ETH0),
        protocol: Protocol::Vrrp,
        local: [10, 0, 0, 1].into(),
    };
    assert_eq!(rig.router.sockets(), [own]);
    let sent = |actions: &[(Mono, Action)]| {
        let dst = |a: &(Mono, Action)| {
            let Action::SendAdvert { dst, octets, .. } = &a.1 else {
                return None;
            };
            Some((*dst, octets[4..6].to_vec()))
        };
        actions.iter().filter_map(dst).collect::<Vec<_>>()
    };
    let copies = sent(&rig.pass(SECOND));
    let (first, second) = (&copies[0], &copies[1]);
    assert_eq!(
        (first.0, second.0),
        ([10, 0, 0, 2].into(), [10, 0, 0, 3].into())
    );
    assert_eq!(first.1, second.1, "one identification for all copies");
    assert_eq!(copies.len(), 2);
    // Another source: another socket.
    let moved = InterfaceFacts {
        addrs: vec![([10, 0, 0, 7].into(), 24)],
        ..eth(0, true)
    };
    assert!(rig.interface(moved).contains(&Action::Listen));
    assert_eq!(rig.router.sockets()[0].local, IpAddr::from([10, 0, 0, 7]));
}

#[test]
fn without_peers_a_unicast_instance_may_be_kept_in_fault() {
    let mut rig = Rig::new(config(&[unicast(150, &[])]));
    assert_eq!(rig.state(V1), VrrpState::Fault);
    rig.reload(config(&[unicast(150, &[2])]));
    assert_eq!(rig.state(V1), VrrpState::Backup);
}

#[test]
fn a_tracked_source_that_is_missing_is_a_fault_until_it_comes() {
    let mut tracking = model(150);
    (tracking.source, tracking.track_source) = (Some([10, 0, 0, 77].into()), true);
    let mut rig = Rig::new(config(&[tracking]));
    assert_eq!(rig.state(V1), VrrpState::Fault);
    let with = |last: u8| InterfaceFacts {
        addrs: vec![([10, 0, 0, 1].into(), 24), ([10, 0, 0, last].into(), 24)],
        ..eth(0, true)
    };
    rig.interface(with(77));
    assert_eq!(rig.state(V1), VrrpState::Backup);
    rig.interface(with(78));
    assert_eq!(rig.state(V1), VrrpState::Fault);
}

#[test]
fn a_unicast_source_that_no_interface_has_is_told_once_and_used() {
    let foreign = |last: u8| Model {
        source: Some([10, 0, 0, last].into()),
        ..unicast(150, &[2])
    };
    let told = |actions: &[Action], last: u8| {
        let source = IpAddr::from([10, 0, 0, last]);
        let is = |r: &Report| matches!(r, Report::ForeignSource { source: s, .. } if *s == source);
        reports(actions).iter().filter(|r| is(r)).count()
    };
    let with = |last: u8| InterfaceFacts {
        addrs: vec![([10, 0, 0, 1].into(), 24), ([10, 0, 0, last].into(), 24)],
        ..eth(0, true)
    };
    let (mut rig, actions) = Rig::start(config(&[foreign(77)]));
    assert_eq!((told(&actions, 77), rig.state(V1)), (1, VrrpState::Backup));
    assert_eq!(told(&rig.interface(with(76)), 77), 0);
    assert_eq!(told(&rig.interface(with(77)), 77), 0);
    assert_eq!(told(&rig.interface(with(78)), 77), 1);
    assert_eq!(told(&rig.reload(config(&[foreign(79)])), 79), 1);
    // Where everybody listens to everything, an answer arrives wherever it was sent to.
    let multicast = Model {
        source: Some([10, 0, 0, 77].into()),
        ..model(150)
    };
    assert_eq!(told(&Rig::start(config(&[multicast])).1, 77), 0);
}

#[test]
fn a_unicast_instance_without_interface_needs_no_link() {
    let mut anywhere = unicast(150, &[2]);
    (anywhere.interface, anywhere.source) = (None, Some([10, 0, 0, 1].into()));
    Arc::make_mut(&mut anywhere.addresses[0]).track = false;
    let mut rig = Rig::master(config(&[anywhere]));
    assert_eq!(rig.router.sockets()[0].interface, None);
    rig.interface(eth(0, false));
    assert_eq!(rig.state(V1), VrrpState::Master);
}

#[test]
fn unicast_says_where_it_is_when_a_fault_ends() {
    let mut rig = Rig::new(config(&[unicast(150, &[2])]));
    rig.interface(eth(0, false));
    assert_eq!(frames(&rig.interface(eth(0, true))), 1);
    let mut rig = Rig::new(config(&[model(150)]));
    rig.interface(eth(0, false));
    assert_eq!(frames(&rig.interface(eth(0, true))), 0);
}

#[test]
fn addresses_elsewhere_are_announced_again_and_again() {
    let mut extra = model(150);
    extra.garp.extra = Some(ExtraIf {
        all: true,
        interval: SECOND * 60,
    });
    (extra.garp.master_repeat, extra.garp.master_delay) = (1, Duration::ZERO);
    let elsewhere = VirtualAddress::new([10, 1, 0, 100].into(), 24, name("eth1"));
    extra.excluded.push(elsewhere.into());
    let mut rig = Rig::new(config(&[extra]));
    rig.interface(eth(1, true));
    rig.pass(DOWN_150 + SECOND);
    let announced = |actions: Vec<(Mono, Action)>| {
        let on = |a: &(Mono, Action)| {
            let Action::SendFrame { interface, .. } = &a.1 else {
                return None;
            };
            Some(interface.0)
        };
        actions.iter().filter_map(on).collect::<Vec<_>>()
    };
    assert_eq!(announced(rig.pass(SECOND * 120)), [3, 3]);
}

#[test]
fn an_owner_that_is_deaf_ignores_another_one() {
    let mut owner = model(255);
    (owner.initial_state, owner.owner_ignore_adverts) = (InitialState::Master, true);
    let mut rig = Rig::new(config(std::slice::from_ref(&owner)));
    rig.pass(SECOND);
    for _ in 0..20 {
        rig.hear(&owner, 200, 255);
        rig.pass(SECOND);
    }
    assert_eq!(rig.state(V1), VrrpState::Master);
}

#[test]
fn a_new_master_counts_on_behind_the_last_one() {
    let mut ah = model(150);
    ah.auth = Auth::Ah(Secret::new(b"s3cret\0\0".to_vec()));
    let mut rig = Rig::new(config(std::slice::from_ref(&ah)));
    let template = Template::new(&ah, [10, 0, 0, 9].into()).expect("one family");
    let Auth::Ah(key) = &ah.auth else {
        unreachable!();
    };
    let octets = template.emit(&template.targets[0], 1, 200, Seal::Ah(key, 41));
    rig.hear_octets(octets);
    let sent = rig.pass(SECOND * 4);
    let sequence = sent.iter().find_map(|(_, a)| {
        let Action::SendAdvert { octets, .. } = a else {
            return None;
        };
        octets.get(28..32).map(<[u8]>::to_vec)
    });
    assert_eq!(sequence, Some(vec![0, 0, 0, 42]));
}

#[test]
fn a_process_that_was_never_judged_changes_nothing() {
    let mut tracking = model(100);
    tracking.other_tracks = processes(tracked("F", Weight::Fault, false));
    let mut config = config(&[tracking]);
    config.track_processes.push(Arc::new(TrackProcess {
        name: "F".into(),
        process: vec!["sleep".into()],
        arguments: crate::model::track::Arguments::Any,
        full_command: false,
        weight: Weight::Fault,
        reverse: false,
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    }));
    assert_eq!(Rig::new(config).state(V1), VrrpState::Backup);
}

#[test]
fn receive_buffers_of_a_socket_add_up() {
    let sizes = |policy, own: Option<u32>| {
        let mut global = Global::default();
        global.process.buffers.vrrp_packets = policy;
        let mut second = second(100);
        second.rx_buffer = own;
        let config = Config {
            global: Arc::new(global),
            ..config(&[model(100), second])
        };
        let rig = Rig::new(config);
        rig.router.buffers().into_values().collect::<Vec<u32>>()
    };
    assert!(
        sizes(PacketBuffer::System, None).is_empty(),
        "the kernel knows"
    );
    assert_eq!(sizes(PacketBuffer::System, Some(30_000)), [30_000]);
    assert_eq!(sizes(PacketBuffer::Octets(50_000), Some(30_000)), [80_000]);
    assert_eq!(sizes(PacketBuffer::Mtu, None), [2 * 3 * 1500]);
    // 20 octets of IP header, 8 of VRRP's, an address, 8 of authentication.
    assert_eq!(sizes(PacketBuffer::Advert, None), [2 * 3 * 40]);
}

#[test]
fn an_instance_among_thousands_is_small() {
    // Octets. What all of them have in common is not in them; what few of them need is behind a pointer.
    let size = size_of::<crate::vrrp::instance::Instance>();
    assert!(size <= 480, "{size} octets for each instance");
    let size = size_of::<Model>();
    assert!(size <= 104, "{size} octets of the configuration");
    let (one, other) = (model(150), second(150));
    assert_eq!(one.terms, other.terms);
}

#[test]
fn a_router_that_nobody_has_is_told_of_once_where_that_is_wanted() {
    let told = |wanted: bool| {
        let mut config = config(&[model(100)]);
        config.global = Arc::new(Global {
            log_unknown_vrids: wanted,
            ..Global::default()
        });
        let mut rig = Rig::new(config);
        rig.pass(SECOND);
        let mut all = Vec::new();
        for vrid in [52, 52, 53, 51] {
            let mut other = model(100);
            other.vrid = super::vrid(vrid);
            all.extend(reports(&rig.hear(&other, 2, 150)));
        }
        let vrids = all.into_iter().filter_map(|report| {
            let Report::UnknownVrid { vrid, .. } = report else {
                return None;
            };
            Some(vrid)
        });
        vrids.collect::<Vec<u8>>()
    };
    assert_eq!(told(true), [52, 53]);
    assert!(told(false).is_empty());
}
