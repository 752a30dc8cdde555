//! Interfaces on their way to the core: what it was told last, and what it is told later.
//!
//! `interface_up_down_delays`: a link must have changed for a while to count; a change back within that time never
//! happened. Source: keepalived.conf(5).

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::beat::Asked;
use crate::model::Config;
use crate::model::links::UpDownDelay;
use crate::model::net::IfName;
use crate::time::Mono;
use crate::vrrp::{Event, IfIndex, InterfaceFacts};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Links {
    delays: Vec<UpDownDelay>,
    /// `linkbeat_interfaces`: what asking them has shown last, which counts instead of the kernel's word.
    beats: BTreeMap<IfName, bool>,
    /// What the kernel says: facts, and whether it is set up.
    said: BTreeMap<IfIndex, (Arc<InterfaceFacts>, bool)>,
    /// What the core was told last.
    told: BTreeMap<IfIndex, Arc<InterfaceFacts>>,
    /// What it is told when that has been so until then.
    held: BTreeMap<IfIndex, (Arc<InterfaceFacts>, Mono)>,
}

impl Links {
    pub(super) fn configure(&mut self, config: &Config) {
        self.delays.clone_from(&config.delays);
    }

    /// These are asked from now on.
    pub(super) fn ask(&mut self, asked: &Asked) {
        self.beats.retain(|name, _| asked.contains_key(name));
    }

    /// What asking an interface has shown.
    pub(super) fn beat(
        &mut self,
        now: Mono,
        name: &IfName,
        running: bool,
        events: &mut VecDeque<Event>,
    ) {
        self.beats.insert(name.clone(), running);
        let of_name = |(facts, _): &&(Arc<InterfaceFacts>, bool)| facts.name == *name;
        if let Some((facts, up)) = self.said.values().find(of_name).cloned() {
            self.learn(now, facts, up, events);
        }
    }

    pub(super) fn name(&self, index: IfIndex) -> Option<IfName> {
        self.told.get(&index).map(|facts| facts.name.clone())
    }

    /// Takes new facts about an interface. `up`: it is set up, whatever its link is.
    pub(super) fn learn(
        &mut self,
        now: Mono,
        facts: Arc<InterfaceFacts>,
        up: bool,
        events: &mut VecDeque<Event>,
    ) {
        let index = facts.index;
        self.said.insert(index, (Arc::clone(&facts), up));
        let running = self.beats.get(&facts.name).map(|beat| up && *beat);
        let facts = match running {
            Some(running) if running != facts.running => Arc::new(InterfaceFacts {
                running,
                ..(*facts).clone()
            }),
            Some(_) | None => facts,
        };
        let Some(told) = self.told.get(&index) else {
            return self.tell(facts, events);
        };
        if told.running == facts.running {
            self.held.remove(&index);
            return self.tell(facts, events);
        }
        let delay = self.delay(&facts.name, facts.running);
        if delay.is_zero() {
            return self.tell(facts, events);
        }
        let until = self.held.get(&index).map_or(now + delay, |(_, at)| *at);
        let meanwhile = InterfaceFacts {
            running: told.running,
            ..(*facts).clone()
        };
        self.tell(Arc::new(meanwhile), events);
        self.held.insert(index, (facts, until));
    }

    fn tell(&mut self, facts: Arc<InterfaceFacts>, events: &mut VecDeque<Event>) {
        if self.told.get(&facts.index) != Some(&facts) {
            self.told.insert(facts.index, Arc::clone(&facts));
            events.push_back(Event::Interface(facts));
        }
    }

    pub(super) fn forget(&mut self, index: IfIndex, events: &mut VecDeque<Event>) {
        self.held.remove(&index);
        self.said.remove(&index);
        if self.told.remove(&index).is_some() {
            events.push_back(Event::InterfaceGone(index));
        }
    }

    fn delay(&self, name: &IfName, up: bool) -> Duration {
        let found = self.delays.iter().find(|d| d.interface == *name);
        found.map_or(Duration::ZERO, |d| if up { d.up } else { d.down })
    }

    /// When [`Links::tick`] has something to tell.
    pub(super) fn deadline(&self) -> Mono {
        let ends = self.held.values().map(|(_, until)| *until);
        ends.min().unwrap_or(Mono::NEVER)
    }

    /// Tells what has been so for long enough.
    pub(super) fn tick(&mut self, now: Mono, events: &mut VecDeque<Event>) {
        let due = |(index, (_, until)): (&IfIndex, &(_, Mono))| (*until <= now).then_some(*index);
        let mut due: Vec<IfIndex> = self.held.iter().filter_map(due).collect();
        due.sort_unstable();
        for index in due {
            if let Some((facts, _)) = self.held.remove(&index) {
                self.tell(facts, events);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(running: bool) -> Arc<InterfaceFacts> {
        Arc::new(InterfaceFacts {
            index: IfIndex(1),
            name: IfName::new("eth0").expect("a name"),
            running,
            noarp: false,
            mtu: 1500,
            mac: [0; 6],
            forwarding: false,
            addrs: Vec::new(),
        })
    }

    fn running(events: &mut VecDeque<Event>) -> Vec<bool> {
        let state = |event: Event| {
            let Event::Interface(facts) = event else {
                panic!("{event:?}");
            };
            facts.running
        };
        events.drain(..).map(state).collect()
    }

    #[test]
    fn a_change_counts_when_it_has_lasted_and_a_change_back_never_happened() {
        let at = |secs| Mono::ZERO + Duration::from_secs(secs);
        let delay = UpDownDelay {
            interface: IfName::new("eth0").expect("a name"),
            down: Duration::from_secs(3),
            up: Duration::ZERO,
        };
        let mut links = Links {
            delays: vec![delay],
            ..Links::default()
        };
        let mut events = VecDeque::new();
        links.learn(at(0), facts(true), true, &mut events);
        assert_eq!(running(&mut events), [true]);
        links.learn(at(10), facts(false), true, &mut events);
        links.learn(at(12), facts(false), true, &mut events);
        assert_eq!(links.deadline(), at(13));
        links.learn(at(12), facts(true), true, &mut events);
        assert_eq!(links.deadline(), Mono::NEVER);
        links.learn(at(20), facts(false), true, &mut events);
        links.tick(at(22), &mut events);
        assert!(running(&mut events).is_empty());
        links.tick(at(23), &mut events);
        assert_eq!(running(&mut events), [false]);
        links.learn(at(24), facts(true), true, &mut events);
        assert_eq!(running(&mut events), [true]);
    }
    #[test]
    fn what_asking_has_shown_counts_while_the_interface_is_set_up() {
        let mut links = Links::default();
        let mut events = VecDeque::new();
        links.learn(Mono::ZERO, facts(true), true, &mut events);
        assert_eq!(running(&mut events), [true]);
        let name = IfName::new("eth0").expect("a name");
        links.beat(Mono::ZERO, &name, false, &mut events);
        assert_eq!(running(&mut events), [false]);
        links.learn(Mono::ZERO, facts(true), true, &mut events);
        assert!(running(&mut events).is_empty());
        links.beat(Mono::ZERO, &name, true, &mut events);
        assert_eq!(running(&mut events), [true]);
        links.learn(Mono::ZERO, facts(false), false, &mut events);
        assert_eq!(running(&mut events), [false]);
    }
}
