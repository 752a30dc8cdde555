use std::net::Ipv4Addr;

use super::*;
use crate::model::global::Global;
use crate::model::net::VirtualAddress;
use crate::model::vrrp::{Instance as Model, Priority, Vrid};
use crate::time::MICROSECOND;
use crate::vrrp::Packet;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const ETH0: IfIndex = IfIndex(2);

fn name(s: &str) -> IfName {
    IfName::new(s).expect("a name")
}

fn micros(us: u64) -> Mono {
    Mono::from_micros(us)
}

/// `V1` on eth0, virtual router 51, one address 10.0.0.100/24.
fn model(priority: u8) -> Model {
    let vrid = Vrid(51.try_into().expect("not zero"));
    let mut model = Model::new("V1", name("eth0"), vrid, &Global::default());
    model.priority = Priority::new(priority).expect("not zero");
    model.addresses.push(VirtualAddress::new(
        [10, 0, 0, 100].into(),
        24,
        name("eth0"),
    ));
    model
}

fn config(models: &[Model]) -> Arc<Config> {
    Arc::new(Config {
        instances: models.iter().cloned().map(Arc::new).collect(),
        ..Config::default()
    })
}

fn eth0() -> InterfaceFacts {
    InterfaceFacts {
        index: ETH0,
        name: name("eth0"),
        running: true,
        noarp: false,
        mtu: 1500,
        mac: [2, 0, 0, 0, 0, 1],
        forwarding: false,
        addrs: vec![([10, 0, 0, 1].into(), 24)],
    }
}

/// A router on eth0 with 10.0.0.1 that runs `models` since time zero.
fn router(models: &[Model]) -> (Router, Vec<Action>) {
    let mut router = Router::new();
    router.on_event(Mono::ZERO, Event::Interface(Arc::new(eth0())));
    let actions = router.on_event(Mono::ZERO, Event::Apply(config(models)));
    (router, actions)
}

/// What a neighbour would send for `model`.
fn packet(model: &Model, src: [u8; 4], priority: u8) -> Vec<u8> {
    let mut model = model.clone();
    model.source = Some(src.into());
    let template = super::super::advert::Template::new(&model, src.into()).expect("one family");
    template.emit(7, priority)
}

fn heard(model: &Model, src: [u8; 4], priority: u8) -> Event {
    Event::Heard(Frame {
        ingress: ETH0,
        packet: Packet::V4(packet(model, src, priority)),
    })
}

fn priorities(actions: &[Action]) -> Vec<u8> {
    let sent = actions.iter().filter_map(|a| match a {
        Action::SendAdvert { octets, .. } => Some(octets[22]),
        Action::SendFrame { .. }
        | Action::Converge(_)
        | Action::Listen
        | Action::Notice(_)
        | Action::Report(_) => None,
    });
    sent.collect()
}

#[test]
fn silence_makes_a_master_exactly_at_the_deadline() {
    let (mut router, _) = router(&[model(100)]);
    let id = InstanceId(0);
    assert_eq!(router.on_event(Mono::ZERO, Event::Converged(id)).len(), 1);
    let t = router.deadline();
    assert_eq!(t, micros(3_609_375)); // 3 s + 156/256 s
    assert_eq!(router.on_event(t - MICROSECOND, Event::Wake), []);
    let actions = router.on_event(t, Event::Wake);
    assert_eq!(priorities(&actions), [100]);
    assert!(
        matches!(actions.last(), Some(Action::Converge(InstanceId(0)))),
        "{actions:?}"
    );
    assert_eq!(router.desired(id).addresses, model(100).addresses);
    let actions = router.on_event(t, Event::Converged(id));
    assert_eq!(actions.len(), 6, "{actions:?}");
}
