//! Reload.

use super::*;
use crate::model::vrrp::{Auth, Version};

#[test]
fn a_master_stays_master_under_another_name_priority_version_and_password() {
    let mut rig = Rig::master(config(&[model(150)]));
    let mut changed = model(90);
    changed.name = "renamed".into();
    changed.advert_int = SECOND * 3;
    changed.auth = Auth::Pass(*b"s3cret\0\0");
    let actions = rig.reload(config(&[changed.clone()]));
    assert_eq!(sent(&actions), [90]);
    assert_eq!((notices(&actions), converges(&actions)), (vec![], 0));
    assert_eq!(rig.remaining(), SECOND * 3);
    assert_eq!(rig.counters(V1).became_master, 1, "counters are kept");
    changed.version = Version::V3;
    changed.auth = Auth::None;
    let actions = rig.reload(config(&[changed]));
    assert_eq!((sent(&actions), notices(&actions)), (vec![90], vec![]));
    assert_eq!(rig.state(V1), VrrpState::Master);
}

#[test]
fn a_backup_waits_anew_and_is_not_announced_again() {
    let mut rig = Rig::new(config(&[model(150)]));
    rig.pass(SECOND * 3);
    let actions = rig.reload(config(&[model(255)]));
    assert_eq!((sent(&actions), notices(&actions)), (vec![], vec![]));
    assert_eq!(rig.remaining(), Duration::from_micros(3_003_906));
}

#[test]
fn the_same_again_changes_nothing() {
    let mut rig = Rig::master(grouped(&[model(150), second(150)]));
    let actions = rig.reload(grouped(&[model(150), second(150)]));
    assert_eq!(sent(&actions), [150, 150]);
    assert_eq!(actions.len(), 2, "{actions:?}");
}

#[test]
fn changed_addresses_are_put_in_force_and_all_are_announced() {
    let mut rig = Rig::master(config(&[model(150)]));
    rig.pass(SECOND * 10);
    let mut more = model(150);
    let addr = VirtualAddress::new([10, 0, 0, 101].into(), 24, name("eth0"));
    more.addresses.push(addr.into());
    let actions = rig.reload(config(&[more.clone()]));
    assert_eq!((converges(&actions), frames(&actions)), (1, 10));
    assert_eq!(rig.router.desired(V1).addresses, more.addresses);
    assert_eq!(frames(just(&rig.pass(SECOND * 10))), 10);
}

#[test]
fn another_key_is_another_instance() {
    let mut rig = Rig::master(config(&[model(150)]));
    let mut moved = model(150);
    moved.vrid = vrid(99);
    let actions = rig.reload(config(&[moved]));
    assert_eq!(sent(&actions), [0]);
    assert_eq!(notices(&actions), ["V1 DELETED 150", "V1 BACKUP 150"]);
    assert!(rig.router.desired(V1).addresses.is_empty());
    assert_eq!(rig.state(V2), VrrpState::Backup);
    assert_eq!(rig.remaining(), DOWN_150);
}

#[test]
fn an_instance_that_leaves_in_fault_is_not_told() {
    let mut rig = Rig::new(config(&[model(150)]));
    rig.interface(eth(0, false));
    assert!(notices(&rig.reload(config(&[]))).is_empty());
    assert_eq!(rig.router.deadline(), Mono::NEVER);
    assert_eq!(rig.router.snapshot().len(), 0);
}

#[test]
fn a_new_member_joins_a_group_that_is_master() {
    let mut rig = Rig::master(grouped(&[model(150)]));
    let actions = rig.reload(grouped(&[model(150), second(150)]));
    assert_eq!(sent(&actions), [150, 150]);
    assert_eq!(notices(&actions), ["V2 MASTER 150"]);
    assert_eq!(rig.state(V1), VrrpState::Master);
}

#[test]
fn members_that_differ_meet_as_backups() {
    let mut rig = Rig::new(config(&[model(150), second(150)]));
    for _ in 0..4 {
        rig.pass(SECOND);
        rig.hear(&second(150), 2, 200);
    }
    assert_eq!(
        (rig.state(V1), rig.state(V2)),
        (VrrpState::Master, VrrpState::Backup)
    );
    let actions = rig.reload(grouped(&[model(150), second(150)]));
    assert_eq!(
        (rig.state(V1), rig.state(V2)),
        (VrrpState::Backup, VrrpState::Backup)
    );
    assert_eq!(notices(&actions), ["V1 BACKUP 150", "G BACKUP"]);
}

#[test]
fn a_new_script_does_not_block_and_a_known_one_keeps_its_verdict() {
    let mut rig = Rig::master(config(&[model(150)]));
    let mut watched = model(150);
    watched.track_scripts.push(track_script(Weight::Fault));
    let with = with_script(config(&[watched]), false);
    assert!(notices(&rig.reload(with.clone())).is_empty());
    assert_eq!(rig.state(V1), VrrpState::Master);
    assert_eq!(notices(&rig.script(false)), ["V1 FAULT 150"]);
    assert!(notices(&rig.reload(with)).is_empty(), "still bad");
    assert_eq!(
        notices(&rig.reload(config(&[model(150)]))),
        ["V1 BACKUP 150"]
    );
}

#[test]
fn a_tracker_that_is_bad_already_faults_at_the_reload_that_names_it() {
    let mut rig = Rig::master(config(&[model(150)]));
    let mut watching = model(150);
    watching.track_interfaces.push(InterfaceTrack {
        interface: name("eth7"),
        weight: Weight::Fault,
        reverse: false,
    });
    let actions = rig.reload(config(&[watching]));
    assert_eq!(notices(&actions), ["V1 FAULT 150"]);
    // keepalived: speaks up once before it looks at what the reload has brought.
    assert_eq!(sent(&actions), [0, 0]);
}

#[test]
fn a_group_formed_of_running_instances_is_announced_alone() {
    let mut rig = Rig::master(config(&[model(150), second(150)]));
    let actions = rig.reload(grouped(&[model(150), second(150)]));
    assert_eq!(notices(&actions), ["G MASTER"]);
}
