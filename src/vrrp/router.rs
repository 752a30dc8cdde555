//! All instances of this machine as one function of events: it finds the instance, keeps the deadlines, tells the rest
//! of the house.
//!
//! It never waits, reads no clock and touches no kernel. Transitions are in `sync`, start and reload in `reload`.
//! Source: RFC 3768, RFC 9568, keepalived's behaviour.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::{InstanceSnapshot, Notice, Release, TrackerUpdate, VrrpState};
use crate::model::Config;
use crate::model::auth::Auth;
use crate::model::net::IfName;
use crate::model::process::PacketBuffer;
use crate::model::vrrp::{Instance as Model, InstanceKey};
use crate::time::Mono;

use super::backup::Lost as Missed;
use super::desired::{self, Desired};
use super::instance::{Instance, State};
use super::priority::{self, Watch};
use super::receive::Arrival;
use super::slab::Slab;
use super::sync::Unit;
use super::tally::Tally;
use super::throttle::Throttle;
use super::timers::{Lateness, Timers};
use super::world::World;
use super::{Action, Event, Frame, IfIndex, InstanceId, InterfaceFacts, Lost, Report, Socket};

/// How much too early an advertisement may leave together with another one; a hundredth of its interval at most.
const EARLY: Duration = Duration::from_micros(500);

/// Instances that one [`Event::Wake`] serves: what thousands have to say at once leaves bit by bit, the first of it
/// before the last is thought of, and is never in memory all at once.
const SERVED: usize = 64;

/// Instances from which on a socket gets a larger buffer than the kernel's usual one, which holds some 277 packets: less than
/// two advertisements of 140 masters, which may all speak in the same instant.
const CROWD: u32 = 138;
/// Octets of buffer for each of a crowd: four advertisements, of 768 octets as the kernel counts, which doubles what it is
/// asked for.
const ROOM: u32 = 4 * 768 / 2;

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
    /// before [`Event::Wake`]. A backup would believe that its master is silent, a master that nobody else is there.
    pub(crate) fn must_hear_first(&self, now: Mono) -> bool {
        let (at, instance) = match self.timers.first() {
            Some((at, id)) if at <= now => (at, self.instances.get(id)),
            Some(_) | None => return false,
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

    /// What must be listened to, sorted, each once. Changes are announced by [`Action::Listen`].
    pub(crate) fn sockets(&self) -> Vec<Socket> {
        self.listeners.keys().copied().collect()
    }

    /// The receive buffers that sockets need, in octets, where that is not what the kernel gives anyway: those of all
    /// instances that share a socket together. keepalived: `kernel_rx_buf_size`, else `vrrp_rx_bufs_policy`, else the
    /// kernel's own, whatever number of instances there is.
    pub(crate) fn buffers(&self) -> BTreeMap<Socket, u32> {
        let mut sizes = BTreeMap::new();
        let Some(buffers) = self.config.as_ref().map(|c| &c.global.process.buffers) else {
            return sizes;
        };
        for (socket, all) in &self.listeners {
            let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
            if count > CROWD {
                sizes.insert(*socket, count.saturating_mul(ROOM));
            }
        }
        let mut asked: BTreeMap<Socket, u32> = BTreeMap::new();
        for instance in self.instances.iter() {
            let Some(socket) = instance.socket() else {
                continue;
            };
            let times = |octets: u32| octets.saturating_mul(buffers.vrrp_packets_multiplier);
            let by_policy = match buffers.vrrp_packets {
                PacketBuffer::System => None,
                PacketBuffer::Octets(n) => Some(n),
                PacketBuffer::Mtu => {
                    let facts = instance
                        .model
                        .voice()
                        .and_then(|name| self.world.facts(name));
                    facts.map(|facts| times(facts.mtu))
                }
                PacketBuffer::Advert => instance.template.as_ref().map(|t| times(t.len())),
            };
            if let Some(size) = instance.model.rx_buffer.or(by_policy) {
                let sum = asked.entry(socket).or_default();
                *sum = sum.saturating_add(size);
            }
        }
        sizes.extend(asked);
        sizes
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

    /// Of several the one that has the sender for a peer, or else the first.
    fn listener(&self, socket: &Socket, vrid: u8, src: IpAddr) -> Option<InstanceId> {
        let all = self.listeners.get(socket)?;
        let from = all.partition_point(|(of, _)| *of < vrid);
        let len = all[from..].partition_point(|(of, _)| *of == vrid);
        let knows = |(_, id): &&(u8, InstanceId)| {
            let model = self.instances.get(*id).map(|i| &i.model);
            let unicast = model.and_then(|m| m.unicast.as_ref());
            unicast.is_some_and(|u| u.peers.iter().any(|p| p.addr == src))
        };
        match &all[from..from + len] {
            [] => None,
            [(_, id)] => Some(*id),
            several @ [first, ..] => Some(several.iter().find(knows).unwrap_or(first).1),
        }
    }

    /// `log_unknown_vrids`.
    fn note_stranger(
        &mut self,
        interface: Option<IfIndex>,
        arrival: &Arrival<'_>,
        out: &mut Vec<Action>,
    ) {
        let told = |c: &Arc<Config>| c.global.log_unknown_vrids;
        let vrid = arrival.header.vrid;
        if self.config.as_ref().is_some_and(told) && self.strangers.insert((interface, vrid)) {
            out.push(Action::Report(Report::UnknownVrid {
                interface,
                vrid,
                from: arrival.src,
            }));
        }
    }

    fn learn(&mut self, now: Mono, facts: Arc<InterfaceFacts>, out: &mut Vec<Action>) {
        let moved = self
            .world
            .mac(facts.index)
            .is_some_and(|mac| mac != facts.mac);
        let name = facts.name.clone();
        let names = self.world.learn(facts);
        self.interfaces_changed(now, &names, out);
        if moved {
            self.announce_on(now, &name, out);
        }
    }

    fn interfaces_changed(&mut self, now: Mono, names: &[IfName], out: &mut Vec<Action>) {
        let mut ids: Vec<InstanceId> = names
            .iter()
            .filter_map(|name| self.watchers.get(name))
            .flatten()
            .chain(self.roamers.iter().filter(|_| !names.is_empty()))
            .copied()
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut moved = false;
        for id in &ids {
            if let Some(instance) = self.instances.get_mut(*id) {
                moved |= instance.attach(&self.world);
            }
        }
        if moved {
            self.listen(out);
        }
        self.look_again(now, &ids, out);
    }

    /// `notify_priority_changes`.
    fn note_priority(&mut self, id: InstanceId, out: &mut Vec<Action>) {
        let Some(i) = self.instances.get_mut(id) else {
            return;
        };
        let now = i.priority();
        let changed = i.noted_priority.replace(now).is_some_and(|was| was != now);
        let runs = matches!(i.state, State::Master(_) | State::Backup(_));
        if !changed || !runs || !i.model.notify.priority_changes {
            return;
        }
        let notice = Notice::PriorityChanged {
            instance: i.model.clone(),
            state: i.named(),
            priority: now,
        };
        let unit = i.unit;
        self.tell_later(unit, notice, out);
    }

    /// Recomputes what trackers make of these instances, and what follows.
    fn look_again(&mut self, now: Mono, ids: &[InstanceId], out: &mut Vec<Action>) {
        let mut units = Vec::with_capacity(ids.len());
        for id in ids {
            self.stand(now, *id, out);
            self.note_priority(*id, out);
            units.extend(self.instances.get(*id).map(|i| i.unit));
        }
        units.sort_unstable();
        units.dedup();
        for unit in units {
            self.reconsider(now, unit, out);
        }
    }

    pub(super) fn stand(&mut self, now: Mono, id: InstanceId, out: &mut Vec<Action>) {
        if let Some(i) = self.instances.get_mut(id) {
            let standing = priority::standing(
                &i.model,
                Watch::kept(&i.watch),
                i.conceded_to.is_some(),
                &self.world,
            );
            if standing.causes.is_empty() && !i.standing.causes.is_empty() {
                self.recoveries += 1;
                i.recovery = self.recoveries;
            }
            i.stand(now, standing, out);
        }
        self.touch(id);
    }

    /// Whose packets are whose, from scratch; asks for other sockets if that needs some.
    pub(super) fn listen(&mut self, out: &mut Vec<Action>) {
        let signs = |i: &Instance| matches!(i.model.auth, Auth::Hmac(_));
        self.signs = self.instances.iter().any(signs);
        let before = self.sockets();
        self.listeners.clear();
        for i in self.instances.iter() {
            if let Some(socket) = i.socket() {
                let all = self.listeners.entry(socket).or_default();
                all.push((i.model.vrid.0.get(), i.id));
            }
        }
        for all in self.listeners.values_mut() {
            all.sort_unstable();
            all.shrink_to_fit();
        }
        if self.sockets() != before {
            out.push(Action::Listen);
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

    /// The link-layer address of an interface is another one: neighbours must hear of it.
    fn announce_on(&mut self, now: Mono, name: &IfName, out: &mut Vec<Action>) {
        let mut ids = Vec::new();
        for instance in self.instances.iter_mut() {
            let mut all = instance
                .model
                .addresses
                .iter()
                .chain(&instance.model.excluded);
            if all.any(|a| a.dev == *name) {
                ids.push(instance.id);
                instance.announce(now, &self.world, out);
            }
        }
        for id in ids {
            self.touch(id);
        }
    }

    /// keepalived: what is marked `no_track` is not missed.
    fn lost(
        &mut self,
        now: Mono,
        id: InstanceId,
        entry: Lost,
        by: Arc<str>,
        out: &mut Vec<Action>,
    ) {
        let Some(instance) = self.instances.get(id) else {
            return;
        };
        let State::Master(_) = instance.state else {
            return;
        };
        let model = &instance.model;
        let missed = match &entry {
            Lost::Address(addr) => {
                let mut all = model.addresses.iter().chain(&model.excluded);
                addr.track && all.any(|a| a == addr)
            }
            Lost::Route(route) => route.track && model.routes.contains(route),
            Lost::Rule(rule) => rule.track && model.rules.contains(rule),
        };
        if missed {
            out.push(Action::Report(Report::Deleted {
                instance: model.name.clone(),
                entry,
                by,
            }));
            self.give_up(now, id, out);
        }
    }

    fn mended(&mut self, now: Mono, id: InstanceId, out: &mut Vec<Action>) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.announce(now, &self.world, out);
        }
        self.touch(id);
    }

    fn stop(&mut self, now: Mono, release: Release, out: &mut Vec<Action>) {
        // Every resignation leaves before any kernel work is asked for.
        if release == Release::All {
            for instance in self.instances.iter_mut() {
                if let State::Master(_) = instance.state {
                    instance.resign(now, 1, out);
                }
            }
        }
        let mut farewell: Vec<Notice> = self.units.iter_mut().flat_map(Unit::take).collect();
        for id in self.units.iter().flat_map(|u| u.members.iter()) {
            let Some(instance) = self.instances.get_mut(*id) else {
                continue;
            };
            farewell.push(Notice::Instance {
                instance: instance.model.clone(),
                state: VrrpState::Stop,
                priority: instance.priority(),
            });
            if release == Release::All {
                instance.become_idle(out);
            }
        }
        let groups = self.units.iter().filter_map(|u| u.group.clone());
        farewell.extend(groups.map(|group| Notice::Group {
            group,
            state: VrrpState::Stop,
        }));
        self.farewell = Some(farewell);
        self.say_farewell(out);
    }

    fn say_farewell(&mut self, out: &mut Vec<Action>) {
        if let Some(farewell) = &mut self.farewell
            && self.instances.iter().all(|i| i.converging == 0)
        {
            out.extend(farewell.drain(..).map(Action::Notice));
        }
    }
}

#[cfg(test)]
mod tests;
