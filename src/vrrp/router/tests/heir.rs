//! What a run that was killed leaves to the next one.

use super::*;
use crate::model::diff::Keyed as _;
use crate::model::global::Global;
use crate::vrrp::router::Inheritance;

/// A router that finds at its start, second 10, that an earlier run was master for `heirs` until then.
fn heir(config: Config, heirs: &[(&Model, Duration)]) -> (Rig, Vec<Action>) {
    let mut rig = Rig {
        router: Router::new(),
        now: Mono::ZERO + SECOND * 10,
    };
    rig.interface(eth(0, true));
    let (now, heirs) = (rig.now, heirs.iter());
    let heirs = heirs.map(|(model, span)| (model.key(), now + *span));
    rig.router.inherit(Inheritance(heirs.collect()));
    let actions = rig.reload(config);
    (rig, actions)
}

fn watched() -> (Model, Config) {
    let mut model = model(150);
    model.track_scripts.push(track_script(Weight::Fault));
    let config = with_script(config(std::slice::from_ref(&model)), false);
    (model, config)
}

#[test]
fn goes_on_as_master_at_once() {
    let v1 = model(150);
    let (mut rig, actions) = heir(config(std::slice::from_ref(&v1)), &[(&v1, SECOND)]);
    assert_eq!(sent(&actions), [150]);
    assert_eq!(notices(&actions), ["V1 MASTER 150"]);
    assert_eq!(rig.router.desired(V1).addresses, v1.addresses);
    // Somebody better is obeyed as ever.
    rig.hear(&v1, 9, 200);
    assert_eq!(rig.state(V1), VrrpState::Backup);
    assert!(rig.router.desired(V1).addresses.is_empty());
    assert_eq!(rig.remaining(), DOWN_150);
}

#[test]
fn starts_as_anybody_when_others_may_have_taken_over() {
    let v1 = model(150);
    let (rig, actions) = heir(config(std::slice::from_ref(&v1)), &[(&v1, Duration::ZERO)]);
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert_eq!(rig.remaining(), DOWN_150);
    assert!(rig.router.desired(V1).addresses.is_empty());
}

#[test]
fn waits_for_its_script_with_the_addresses_where_they_are() {
    let (v1, config) = watched();
    let (mut rig, actions) = heir(config, &[(&v1, SECOND)]);
    assert_eq!((sent(&actions), notices(&actions)), (vec![], vec![]));
    assert_eq!(rig.router.desired(V1).addresses, v1.addresses);
    rig.pass(SECOND / 2);
    let actions = rig.script(true);
    assert_eq!(sent(&actions), [150]);
    assert_eq!(notices(&actions), ["V1 MASTER 150"]);
}

#[test]
fn a_bad_script_costs_the_inheritance() {
    let (v1, config) = watched();
    let (mut rig, _) = heir(config, &[(&v1, SECOND)]);
    let actions = rig.script(false);
    assert_eq!(notices(&actions), ["V1 FAULT 150"]);
    assert_eq!(converges(&actions), 1);
    assert!(rig.router.desired(V1).addresses.is_empty());
    assert_eq!(notices(&rig.script(true)), ["V1 BACKUP 150"]);
}

#[test]
fn a_script_that_takes_too_long_costs_it_too() {
    let (v1, config) = watched();
    let (mut rig, _) = heir(config, &[(&v1, SECOND)]);
    assert_eq!(rig.remaining(), SECOND);
    rig.now = rig.router.deadline();
    let actions = rig.event(Event::Wake);
    assert_eq!(converges(&actions), 1);
    assert!(rig.router.desired(V1).addresses.is_empty());
    assert_eq!(rig.router.deadline(), Mono::NEVER);
    assert_eq!(notices(&rig.script(true)), ["V1 BACKUP 150"]);
}

#[test]
fn a_group_goes_on_only_as_a_whole() {
    let (a, b) = (model(150), second(150));
    let both = [(&a, SECOND), (&b, SECOND)];
    let (_, actions) = heir(grouped(&[a.clone(), b.clone()]), &both);
    assert_eq!(sent(&actions), [150, 150]);
    let (rig, actions) = heir(grouped(&[a.clone(), b.clone()]), &both[..1]);
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert_eq!(converges(&actions), 3, "one for what it inherited");
    assert!(rig.router.desired(V1).addresses.is_empty());
}

#[test]
fn a_delay_after_the_start_is_kept() {
    let v1 = model(150);
    let mut config = config(std::slice::from_ref(&v1));
    config.global = Arc::new(Global {
        startup_delay: SECOND * 5,
        ..Global::default()
    });
    let (rig, actions) = heir(config, &[(&v1, SECOND)]);
    assert_eq!(sent(&actions), [0_u8; 0]);
    assert!(rig.router.desired(V1).addresses.is_empty());
}
