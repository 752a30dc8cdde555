//! All instances of this machine as one function of events: it finds the instance, keeps the deadlines, tells the rest
//! of the house.
//!
//! It never waits, reads no clock and touches no kernel. Transitions are in `sync`, start and reload in `reload`; here is
//! the state, the order of events, and what time brings.
//! Source: RFC 3768, RFC 9568, keepalived's behaviour.

mod changes;
mod listeners;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::{InstanceSnapshot, Notice, TrackerUpdate, VrrpState};
use crate::model::Config;
use crate::model::net::IfName;
use crate::model::vrrp::{Instance as Model, InstanceKey};
use crate::time::Mono;

use super::backup::Lost as Missed;
use super::desired::{self, Desired};
use super::instance::{Instance, State};
use super::receive::Arrival;
use super::slab::Slab;
use super::sync::Unit;
use super::tally::Tally;
use super::throttle::Throttle;
use super::timers::{Lateness, Timers};
use super::world::World;
use super::{Action, Event, Frame, IfIndex, InstanceId, Report, Socket};

/// How much too early an advertisement may leave together with another one; a hundredth of its interval at most.
const EARLY: Duration = Duration::from_micros(500);

/// Instances that one [`Event::Wake`] serves: what thousands have to say at once leaves bit by bit, the first of it
/// before the last is thought of, and is never in memory all at once.
const SERVED: usize = 64;

/// The VRRP core. One per process.
#[derive(Debug, Default)]
pub(crate) struct Router {
    /// What runs now; `None` before the first [`Event::Apply`].
    pub(super) config: Option<Arc<Config>>,
    pub(super) world: World,
    pub(super) instances: Slab,
    /// Those of the configuration, in its order.
    pub(super) in_file_order: Vec<InstanceId>,
    pub(super) units: Vec<Unit>,
    /// What the daemon was told last about each group.
    pub(super) groups: BTreeMap<Arc<str>, VrrpState>,
    /// Who must look again when an interface or a script changes.
    pub(super) watchers: BTreeMap<IfName, Vec<InstanceId>>,
    /// Who looks again whatever interface changes: `track_src_ip` without an interface.
    pub(super) roamers: Vec<InstanceId>,
    pub(super) dependents: BTreeMap<Tracked, Vec<InstanceId>>,
    pub(super) timers: Timers,
    lateness: Lateness,
    /// Whose packet is it? By socket, then by virtual router, in order; several of one have peers of their own.
    listeners: BTreeMap<Socket, Vec<(u8, InstanceId)>>,
    /// Interfaces on which a runt was reported.
    runts: BTreeSet<Option<IfIndex>>,
    /// The instant of the event at hand.
    now: Mono,
    /// After [`Event::Stop`]: what the daemon is told once the kernel holds nothing of ours.
    farewell: Option<Vec<Notice>>,
    /// Some instance signs with the time.
    signs: bool,
    /// Limits on what announces addresses.
    pub(super) throttle: Throttle,
    /// `vrrp_startup_delay`, `vrrp_delay_after_boot`: until then nobody is heard and no timer begins.
    pub(super) ready_at: Mono,
    /// Until the first configuration: what an earlier run was master of.
    pub(super) inheritance: Inheritance,
    /// How often an instance has lost its last cause of a fault.
    recoveries: u64,
    /// Unknown virtual routers that were reported.
    strangers: BTreeSet<(Option<IfIndex>, u8)>,
}

/// Instances that an earlier run, which ended without resigning, was master for, and until when nobody else can have taken
/// over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inheritance(pub(crate) BTreeMap<InstanceKey, Mono>);

/// What instances track besides interfaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tracked {
    Script(Arc<str>),
    File(Arc<str>),
    Process(Arc<str>),
    Bfd(Arc<str>),
}

impl Tracked {
    fn of(update: &TrackerUpdate) -> Self {
        match update {
            TrackerUpdate::Script { name, .. } => Self::Script(name.clone()),
            TrackerUpdate::File { name, .. } => Self::File(name.clone()),
            TrackerUpdate::Process { name, .. } => Self::Process(name.clone()),
            TrackerUpdate::Bfd { name, .. } => Self::Bfd(name.clone()),
        }
    }
}

impl Router {
    /// A router that runs nothing until [`Event::Apply`]. Interfaces that exist should be made known before, or their
    /// instances begin in FAULT.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes one event and says what to do about it, in order. `now` never goes back; a [`Event::Wake`] before
    /// [`Router::deadline`] does nothing.
    pub(crate) fn on_event(&mut self, now: Mono, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        self.now = now;
        match event {
            Event::Converged(id) => self.converged(id, &mut out),
            Event::Interface(_)
            | Event::InterfaceGone(_)
            | Event::Wake
            | Event::Apply(_)
            | Event::Stop(_)
            | Event::Heard(_)
            | Event::WallClock(_)
            | Event::Tracker(_)
            | Event::Lost { .. }
            | Event::Mended(_)
                if self.farewell.is_some() => {}
            Event::Wake => self.wake(now, &mut out),
            Event::Heard(frame) => self.hear(now, &frame, &mut out),
            Event::WallClock(wall) => {
                self.world.set_wall(wall);
                self.instances.iter_mut().for_each(|i| i.set_wall(wall));
            }
            Event::Interface(facts) => self.learn(now, facts, &mut out),
            Event::InterfaceGone(index) => {
                if let Some(name) = self.world.forget(index) {
                    self.interfaces_changed(now, &[name], &mut out);
                }
            }
            Event::Tracker(update) => {
                if self.world.judge(&update) {
                    let tracked = Tracked::of(&update);
                    let dependents = self.dependents.get(&tracked).cloned().unwrap_or_default();
                    self.look_again(now, &dependents, &mut out);
                }
            }
            Event::Apply(config) => {
                self.runts.clear();
                self.strangers.clear();
                let intervals = config.instances.iter().map(|i| i.advert_int);
                self.lateness.pace(now, intervals.min());
                self.apply(now, config, &mut out);
            }
            Event::Lost {
                instance,
                entry,
                by,
            } => self.lost(now, instance, entry, by, &mut out),
            Event::Mended(id) => self.mended(now, id, &mut out),
            Event::Stop(release) => self.stop(now, release, &mut out),
        }
        let instances = &self.instances;
        self.timers
            .settle(|id| instances.get(id).map_or(Mono::NEVER, Instance::deadline));
        self.lateness.settle(now, self.timers.first_at());
        let world = &self.world;
        self.throttle
            .pass(now, &mut out, |index| world.name_of(index));
        out
    }

    /// To be said before the first [`Event::Apply`].
    pub(crate) fn inherit(&mut self, inheritance: Inheritance) {
        self.inheritance = inheritance;
    }

    /// When the next [`Event::Wake`] is due; [`Mono::NEVER`] if nothing is waited for. O(1).
    pub(crate) fn deadline(&self) -> Mono {
        if self.farewell.is_some() {
            return Mono::NEVER;
        }
        let others = self.throttle.deadline().min(self.lateness.deadline());
        self.timers.first_at().min(others)
    }

    /// Somebody's timer has run out at `now`, and what it means depends on what was said until then: all of that must be heard
    /// before [`Event::Wake`]. A backup would believe that its master is silent, a master that nobody else is there. So must
    /// what came during a pause, or its arrival would be taken for later than it was.
    pub(crate) fn must_hear_first(&self, now: Mono) -> bool {
        let (at, instance) = match self.timers.first() {
            Some((at, id)) if at <= now => (at, self.instances.get(id)),
            // Only a pause is to be noticed: what came in it came before its end.
            Some(_) | None => return self.lateness.paused(now),
        };
        instance.is_some_and(|i| match i.state {
            State::Idle | State::Fault => false,
            State::Backup(_) => true,
            // Who may not preempt must give way before he answers anybody.
            State::Master(_) if !i.model.preempt && i.overslept(now) => false,
            State::Master(_) => now.since(at) >= i.advert_int(),
        })
    }

    /// What the kernel should hold for `instance`; nothing for one that is gone.
    pub(crate) fn desired(&self, instance: InstanceId) -> Desired {
        self.instances
            .get(instance)
            .map(desired::of)
            .unwrap_or_default()
    }

    /// Some instance signs its advertisements, so it has to hear of [`Event::WallClock`].
    pub(crate) fn wants_wall_clock(&self) -> bool {
        self.signs
    }

    /// Every instance as it stands, in file order.
    pub(crate) fn snapshot(&self) -> Vec<InstanceSnapshot> {
        let all = self.in_file_order.iter();
        all.filter_map(|id| self.instances.get(*id))
            .map(Instance::snapshot)
            .collect()
    }

    /// Those that are master, in file order.
    pub(crate) fn masters(&self) -> impl Iterator<Item = &Arc<Model>> {
        let all = self.in_file_order.iter();
        all.filter_map(|id| self.instances.get(*id))
            .filter(|i| matches!(i.state, State::Master(_)))
            .map(|i| &i.model)
    }

    /// What the daemon was told of each instance last.
    pub(crate) fn announced(&self) -> impl Iterator<Item = (&Arc<str>, VrrpState)> {
        let told = |i: &'_ Instance| i.announced;
        let all = self.instances.iter();
        all.filter_map(move |i| Some((&i.model.name, told(i)?)))
    }

    /// Sets all counters to zero.
    pub(crate) fn clear_stats(&mut self) {
        for instance in self.instances.iter_mut() {
            instance.counters = Tally::default();
        }
    }

    fn wake(&mut self, now: Mono, out: &mut Vec<Action>) {
        self.lateness.note(now, self.timers.first_at());
        for _ in 0..SERVED {
            let next = self.timers.first().filter(|(at, id)| {
                // Somebody is due: who is due next leaves with him, and need not be woken up for.
                *at <= now || !out.is_empty() && *at <= now + EARLY && self.may_be_early(*id)
            });
            let Some((at, id)) = next else {
                break;
            };
            let (world, at) = (&self.world, at.max(now));
            let id = self.oversleeper(at, id).unwrap_or(id);
            if let Some(instance) = self.instances.get_mut(id) {
                let lost = self.lateness.of(now, instance.deadline());
                let turn = instance.wake(at, lost, world, out);
                self.turn(at, id, turn, out);
            }
            let instances = &self.instances;
            self.timers
                .settle(|id| instances.get(id).map_or(Mono::NEVER, Instance::deadline));
        }
        if self.throttle.deadline() <= now {
            let (instances, world) = (&self.instances, &self.world);
            let is_master = |id| {
                instances
                    .get(id)
                    .is_some_and(|i| matches!(i.state, State::Master(_)))
            };
            let mut due = Vec::new();
            self.throttle
                .due(now, is_master, |index| world.name_of(index), &mut due);
            out.append(&mut due);
        }
    }

    /// Another member of its group that was silent for too long: it decides for all whether any of them speaks.
    fn oversleeper(&self, now: Mono, id: InstanceId) -> Option<InstanceId> {
        let unit = self.units.get(self.instances.get(id)?.unit)?;
        let mut others = unit.members.iter().filter(|m| **m != id);
        let overslept = |m: &&InstanceId| self.instances.get(**m).is_some_and(|i| i.overslept(now));
        others.find(overslept).copied()
    }

    /// An advertisement may; a timeout may not.
    fn may_be_early(&self, id: InstanceId) -> bool {
        self.instances
            .get(id)
            .is_some_and(|i| matches!(i.state, State::Master(_)) && i.advert_int() >= EARLY * 100)
    }

    fn hear(&mut self, now: Mono, frame: &Frame, out: &mut Vec<Action>) {
        let Some(arrival) = Arrival::of(&frame.packet) else {
            let interface = frame.socket.interface;
            if self.runts.insert(interface) {
                out.push(Action::Report(Report::Runt { interface }));
            }
            return;
        };
        if now < self.ready_at {
            return;
        }
        let Some(id) = self.listener(&frame.socket, arrival.header.vrid, arrival.src) else {
            self.note_stranger(frame.socket.interface, &arrival, out);
            return;
        };
        // Who was silent for too long decides about that first, and his group with him: then he may hear as a backup.
        let itself = self.instances.get(id).filter(|i| i.overslept(now));
        let late = itself.map(|_| id).or_else(|| self.oversleeper(now, id));
        if let Some((late, instance)) = late.and_then(|l| Some((l, self.instances.get_mut(l)?))) {
            // None of them is a backup.
            let turn = instance.wake(now, Missed::NOTHING, &self.world, out);
            self.turn(now, late, turn, out);
        }
        if let Some(instance) = self.instances.get_mut(id) {
            let turn = instance.hear(now, &arrival, &self.world, out);
            self.turn(now, id, turn, out);
        }
    }

    /// To be called whenever an instance may have another deadline.
    pub(super) fn touch(&mut self, id: InstanceId) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.look_at_the_clock(self.now);
            self.timers.set(id, instance.deadline());
        }
    }

    fn converged(&mut self, id: InstanceId, out: &mut Vec<Action>) {
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        instance.converged();
        let unit = instance.unit;
        self.touch(id);
        self.flush(unit, out);
        self.say_farewell(out);
    }
}

#[cfg(test)]
mod tests;
