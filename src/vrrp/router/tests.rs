use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::daemon::bus::Release;
use crate::model::net::VirtualAddress;
use crate::model::process::PacketBuffer;
use crate::model::track::{InterfaceTrack, ScriptTrack, Weight};
use crate::model::vrrp::Instance as Model;
use crate::time::MICROSECOND;
use crate::vrrp::advert::{Seal, Template};
use crate::vrrp::sample::{config, grouped, model, name, priority, script, vrid};
use crate::vrrp::{FaultCause, InterfaceFacts, Packet, Protocol};

mod backup;
mod fault;
mod heir;
mod master;
mod options;
mod reload;
mod start;
mod sync;

const ETH0: IfIndex = IfIndex(2);
const V1: InstanceId = InstanceId(0);
const V2: InstanceId = InstanceId(1);
const SECOND: Duration = Duration::from_secs(1);
/// Master down time of priority 150 and of priority 100.
const DOWN_150: Duration = Duration::from_micros(3_414_062);
const DOWN_100: Duration = Duration::from_micros(3_609_375);

/// `V2` on eth0, virtual router 52, one address 10.0.0.200/24.
fn second(priority: u8) -> Model {
    let mut model = model(priority);
    (model.name, model.vrid) = ("V2".into(), vrid(52));
    Arc::make_mut(&mut model.addresses[0]).addr = [10, 0, 0, 200].into();
    model
}

/// The configuration knows the script `chk`.
fn with_script(mut config: Config, init_fail: bool) -> Config {
    config.scripts.push(Arc::new(script("chk", init_fail)));
    config
}

fn track_script(weight: Weight) -> ScriptTrack {
    ScriptTrack {
        script: "chk".into(),
        weight,
        reverse: false,
    }
}

fn eth(n: u8, running: bool) -> InterfaceFacts {
    InterfaceFacts {
        index: IfIndex(u32::from(n) + 2),
        name: name(&format!("eth{n}")),
        running,
        noarp: false,
        mtu: 1500,
        mac: [2, 0, 0, 0, 0, 1],
        forwarding: false,
        addrs: vec![([10, n, 0, 1].into(), 24)],
    }
}

/// One router on eth0 with 10.0.0.1, whose kernel answers at once, and its clock.
struct Rig {
    router: Router,
    now: Mono,
}

impl Rig {
    /// Runs `config` since time zero; with what it did at once.
    fn start(config: Config) -> (Self, Vec<Action>) {
        let mut rig = Self {
            router: Router::new(),
            now: Mono::ZERO,
        };
        let mut actions = rig.event(Event::Interface(Arc::new(eth(0, true))));
        actions.extend(rig.event(Event::Apply(Arc::new(config))));
        (rig, actions)
    }

    /// The same, without what it did.
    fn new(config: Config) -> Self {
        Self::start(config).0
    }

    /// A rig that just became master, [`Rig::now`] long after its start.
    fn master(config: Config) -> Self {
        let mut rig = Self::new(config);
        rig.pass(SECOND * 4);
        rig
    }

    /// Hands in one event; every `Converge` is answered at once.
    fn event(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.router.on_event(self.now, event);
        let mut at = 0;
        while at < actions.len() {
            if let Action::Converge(id) = actions[at] {
                let answer = self.router.on_event(self.now, Event::Converged(id));
                actions.extend(answer);
            }
            at += 1;
        }
        actions
    }

    /// Lets time pass; what happened with its instants.
    fn pass(&mut self, span: Duration) -> Vec<(Mono, Action)> {
        let until = self.now + span;
        let mut all = Vec::new();
        while self.router.deadline() <= until {
            self.now = self.router.deadline();
            let now = self.now;
            all.extend(self.event(Event::Wake).into_iter().map(|a| (now, a)));
        }
        self.now = until;
        all
    }

    /// Hears `model` speak with another priority from 10.0.0.`host`.
    fn hear(&mut self, model: &Model, host: u8, priority: u8) -> Vec<Action> {
        let octets = packet(model, host, priority);
        self.hear_octets(octets)
    }

    fn hear_octets(&mut self, octets: Vec<u8>) -> Vec<Action> {
        let packet = Packet::V4(octets);
        self.event(Event::Heard(Frame::on(ETH0, packet)))
    }

    fn interface(&mut self, facts: InterfaceFacts) -> Vec<Action> {
        self.event(Event::Interface(Arc::new(facts)))
    }

    fn script(&mut self, good: bool) -> Vec<Action> {
        self.event(Event::Tracker(TrackerUpdate::Script {
            name: "chk".into(),
            good,
        }))
    }

    fn reload(&mut self, config: Config) -> Vec<Action> {
        self.event(Event::Apply(Arc::new(config)))
    }

    fn state(&self, id: InstanceId) -> VrrpState {
        self.router
            .instances
            .get(id)
            .map(Instance::named)
            .expect("it runs")
    }

    fn counters(&self, id: InstanceId) -> crate::vrrp::Counters {
        self.router
            .instances
            .get(id)
            .map(|i| i.counters.all())
            .expect("it runs")
    }

    /// From now to the next deadline.
    fn remaining(&self) -> Duration {
        self.router.deadline().since(self.now)
    }
}

/// What a neighbour with the configuration `model` would send.
fn packet(model: &Model, host: u8, priority: u8) -> Vec<u8> {
    let template = Template::new(model, [10, 0, 0, host].into()).expect("one family");
    template.emit(&template.targets[0], 7, priority, Seal::None)
}

/// Priorities of the advertisements among `actions`, in order.
fn sent<'a>(actions: impl IntoIterator<Item = &'a Action>) -> Vec<u8> {
    let octets = actions.into_iter().filter_map(|a| match a {
        Action::SendAdvert { octets, .. } => Some(octets[22]),
        Action::SendFrame { .. }
        | Action::Converge(_)
        | Action::Listen
        | Action::Notice(_)
        | Action::Report(_) => None,
    });
    octets.collect()
}

/// How many gratuitous frames are among `actions`.
fn frames<'a>(actions: impl IntoIterator<Item = &'a Action>) -> usize {
    let frames = actions
        .into_iter()
        .filter(|a| matches!(a, Action::SendFrame { .. }));
    frames.count()
}

/// The notices among `actions` as `NAME STATE PRIORITY`; groups without priority.
fn notices<'a>(actions: impl IntoIterator<Item = &'a Action>) -> Vec<String> {
    let notices = actions.into_iter().filter_map(|a| match a {
        Action::Notice(notice) => Some(notice),
        Action::SendAdvert { .. }
        | Action::SendFrame { .. }
        | Action::Converge(_)
        | Action::Listen
        | Action::Report(_) => None,
    });
    notices
        .map(|notice| match notice {
            Notice::Instance {
                instance,
                state,
                priority,
            } => format!("{} {} {priority}", instance.name, state.word()),
            Notice::Group { group, state } => format!("{} {}", group.name, state.word()),
            Notice::LowerPriorityHeard { instance, priority } => {
                format!("{} MASTER_RX_LOWER_PRI {priority}", instance.name)
            }
            Notice::PriorityChanged {
                instance,
                state,
                priority,
            } => format!("{} {}_PRIORITY {priority}", instance.name, state.word()),
            Notice::RealServer { .. }
            | Notice::VirtualServer { .. }
            | Notice::ServerMail { .. } => {
                unreachable!("not ours")
            }
        })
        .collect()
}

fn reports<'a>(actions: impl IntoIterator<Item = &'a Action>) -> Vec<Report> {
    let reports = actions.into_iter().filter_map(|a| match a {
        Action::Report(report) => Some(report.clone()),
        Action::SendAdvert { .. }
        | Action::SendFrame { .. }
        | Action::Converge(_)
        | Action::Listen
        | Action::Notice(_) => None,
    });
    reports.collect()
}

fn converges(actions: &[Action]) -> usize {
    actions
        .iter()
        .filter(|a| matches!(a, Action::Converge(_)))
        .count()
}

fn just(timed: &[(Mono, Action)]) -> Vec<&Action> {
    timed.iter().map(|(_, action)| action).collect()
}
