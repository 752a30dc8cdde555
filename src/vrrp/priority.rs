//! What follows from trackers for an instance: its effective priority, and whether it may run at all.
//!
//! Both are functions of the model and of what is known about interfaces and scripts; nothing is counted up or down, so
//! nothing can stick. Source: keepalived's weights; RFC 9568 §6.1 for the range.

use std::ops::Deref;

use crate::model::track::{InterfaceTrack, OtherTracks, ScriptTrack, Tracked, Weight};
use crate::model::vrrp::{Instance, Priority, SyncGroup};

use super::FaultCause;
use super::world::World;

/// What an instance and its group watch together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) interfaces: Vec<InterfaceTrack>,
    pub(super) scripts: Vec<ScriptTrack>,
    pub(super) others: OtherTracks,
}

/// That of most instances.
static NOTHING: Watch = Watch {
    interfaces: Vec::new(),
    scripts: Vec::new(),
    others: OtherTracks {
        files: Vec::new(),
        processes: Vec::new(),
        bfds: Vec::new(),
    },
};

impl Watch {
    /// `None`: nothing. Where both watch the same thing the group's line counts, unless the instance's has weight 0.
    pub(super) fn new(instance: &Instance, group: Option<&SyncGroup>) -> Option<Box<Self>> {
        let (interfaces, scripts) = group.map_or((&[][..], &[][..]), |g| {
            (&g.track_interfaces, &g.track_scripts)
        });
        let watch = Self {
            interfaces: merge(
                &instance.track_interfaces,
                interfaces,
                |a, b| a.interface == b.interface,
                |t| t.weight,
            ),
            scripts: merge(
                &instance.track_scripts,
                scripts,
                |a, b| a.script == b.script,
                |t| t.weight,
            ),
            others: others(&instance.other_tracks, group.map(|g| &g.other_tracks)),
        };
        (watch != NOTHING).then(|| Box::new(watch))
    }

    /// What an instance has kept of it.
    pub(super) fn kept(watch: &Option<Box<Self>>) -> &Self {
        watch.as_deref().unwrap_or(&NOTHING)
    }
}

fn others(own: &OtherTracks, group: Option<&OtherTracks>) -> OtherTracks {
    let merged = |of: fn(&OtherTracks) -> &[Tracked]| {
        let group = group.map_or(&[][..], of);
        merge(of(own), group, |a, b| a.name == b.name, |t| t.weight)
    };
    OtherTracks {
        files: merged(|t| &t.files),
        processes: merged(|t| &t.processes),
        bfds: merged(|t| &t.bfds),
    }
}

fn merge<T: Clone>(
    own: &[T],
    group: &[T],
    same: impl Fn(&T, &T) -> bool,
    weight: impl Fn(&T) -> Weight,
) -> Vec<T> {
    let wins = |o: &T| weight(o) == Weight::Fault;
    let kept = own
        .iter()
        .filter(|o| wins(o) || !group.iter().any(|g| same(o, g)));
    let added = group
        .iter()
        .filter(|g| !own.iter().any(|o| wins(o) && same(o, g)));
    kept.chain(added).cloned().collect()
}

/// What is known about a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptState {
    /// No result since start: who depends on it waits.
    Pending,
    /// No result, and nobody waits: it came with a reload.
    Unknown,
    Good,
    Bad,
}

/// Why an instance cannot run; sorted, each once. None, nearly always: it can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Causes(Option<Box<Known>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known(Vec<FaultCause>);

impl Causes {
    fn new(mut all: Vec<FaultCause>) -> Self {
        all.sort_unstable();
        all.dedup();
        Self((!all.is_empty()).then(|| Box::new(Known(all))))
    }
}

impl Deref for Causes {
    type Target = [FaultCause];

    fn deref(&self) -> &[FaultCause] {
        self.0.as_ref().map_or(&[], |all| &all.0)
    }
}

/// What trackers make of an instance now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// 1..=254, or 255 for an owner.
    pub(super) priority: u8,
    /// Why it cannot run.
    pub(super) causes: Causes,
    /// It can run, but no interface has the source that is configured for its unicast advertisements.
    pub(super) foreign_source: bool,
}

/// How a tracked thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Good,
    Bad,
    /// No result: it adds nothing.
    Unknown,
}

/// `conceded`: an owner that runs at 254 because another one does not give way.
pub(super) fn standing(model: &Instance, watch: &Watch, conceded: bool, world: &World) -> Standing {
    let mut causes = own_causes(model, world);
    let sum = tracked(watch, world, &mut causes);
    let unicast_source = model.source.filter(|_| model.unicast.is_some());
    Standing {
        priority: effective(model.priority, sum, conceded),
        foreign_source: causes.is_empty()
            && unicast_source.is_some_and(|source| !world.has(None, source)),
        causes: Causes::new(causes),
    }
}

/// What keeps it from running whatever it tracks: its own interfaces, its source, its peers.
fn own_causes(model: &Instance, world: &World) -> Vec<FaultCause> {
    let mut causes = Vec::new();
    for name in model.own_interfaces() {
        if !model.dont_track_primary && !world.running(name) {
            causes.push(FaultCause::InterfaceDown(name.clone()));
        }
    }
    let lame = model.carriers().filter(|name| !world.running(name));
    causes.extend(lame.map(|name| FaultCause::InterfaceDown(name.clone())));
    match world.source_of(model) {
        None => causes.push(FaultCause::NoSource(model.family)),
        Some(source) if model.track_source && !world.has(model.interface.as_ref(), source) => {
            causes.push(FaultCause::SourceMissing(source));
        }
        Some(_) => {}
    }
    if let Some(unicast) = &model.unicast
        && unicast.fault_no_peer
        && unicast.peers.is_empty()
    {
        causes.push(FaultCause::NoPeer);
    }
    causes
}

/// The sum of the weights that count now. What is tracked without a weight adds a cause if it is bad.
fn tracked(watch: &Watch, world: &World, causes: &mut Vec<FaultCause>) -> i32 {
    let mut sum = 0_i32;
    for track in &watch.interfaces {
        let health = if world.running(&track.interface) {
            Health::Good
        } else {
            Health::Bad
        };
        match effect(track.weight, track.reverse, health) {
            Effect::Add(n) => sum += i32::from(n),
            Effect::Fault if track.reverse => {
                causes.push(FaultCause::InterfaceUp(track.interface.clone()))
            }
            Effect::Fault => causes.push(FaultCause::InterfaceDown(track.interface.clone())),
        }
    }
    for track in &watch.scripts {
        let state = world.script(&track.script);
        if track.weight == Weight::Fault && state == ScriptState::Pending {
            causes.push(FaultCause::ScriptPending(track.script.clone()));
            continue;
        }
        let health = match state {
            ScriptState::Good => Health::Good,
            ScriptState::Bad => Health::Bad,
            ScriptState::Pending | ScriptState::Unknown => Health::Unknown,
        };
        match effect(track.weight, track.reverse, health) {
            Effect::Add(n) => sum += i32::from(n),
            Effect::Fault => causes.push(FaultCause::Script(track.script.clone())),
        }
    }
    for track in &watch.others.files {
        match number(track, world.file(&track.name)) {
            Effect::Add(n) => sum += i32::from(n),
            Effect::Fault => causes.push(FaultCause::File(track.name.clone())),
        }
    }
    for track in &watch.others.processes {
        let health = match world.process(&track.name) {
            Some(true) => Health::Good,
            Some(false) => Health::Bad,
            None => Health::Unknown,
        };
        match effect(track.weight, track.reverse, health) {
            Effect::Add(n) => sum += i32::from(n),
            Effect::Fault => causes.push(FaultCause::Process(track.name.clone())),
        }
    }
    for track in &watch.others.bfds {
        let health = if world.bfd(&track.name) {
            Health::Good
        } else {
            Health::Bad
        };
        match effect(track.weight, track.reverse, health) {
            Effect::Add(n) => sum += i32::from(n),
            Effect::Fault => causes.push(FaultCause::Bfd(track.name.clone())),
        }
    }
    sum
}

/// What a tracked thing does to those that track it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Add(i16),
    Fault,
}

fn effect(weight: Weight, reverse: bool, health: Health) -> Effect {
    match (weight, health) {
        (_, Health::Unknown) => Effect::Add(0),
        (Weight::Fault, Health::Good) if reverse => Effect::Fault,
        (Weight::Fault, Health::Bad) if !reverse => Effect::Fault,
        (Weight::Fault, Health::Good | Health::Bad) => Effect::Add(0),
        (Weight::Adjust(n), Health::Good) if n > 0 => Effect::Add(if reverse { -n } else { n }),
        (Weight::Adjust(n), Health::Bad) if n < 0 => Effect::Add(if reverse { -n } else { n }),
        (Weight::Adjust(_), Health::Good | Health::Bad) => Effect::Add(0),
    }
}

/// What the number in a file does. keepalived: a product of -254 or less is a failure.
fn number(track: &Tracked, value: i32) -> Effect {
    let sign = if track.reverse { -1 } else { 1 };
    match track.weight {
        Weight::Fault if (value != 0) != track.reverse => Effect::Fault,
        Weight::Fault => Effect::Add(0),
        Weight::Adjust(weight) => {
            let product = i64::from(value) * i64::from(weight) * sign;
            match i16::try_from(product.min(253)) {
                Ok(n) if n > -254 => Effect::Add(n),
                Ok(_) | Err(_) => Effect::Fault,
            }
        }
    }
}

/// The only place where a priority is clamped. Weights do not touch an owner.
fn effective(base: Priority, sum: i32, conceded: bool) -> u8 {
    match (base, conceded) {
        (Priority::OWNER, false) => Priority::OWNER.get(),
        (Priority::OWNER, true) => BELOW_OWNER,
        (base, _) => u8::try_from((i32::from(base.get()) + sum).clamp(1, BELOW_OWNER.into()))
            .unwrap_or(BELOW_OWNER),
    }
}

/// The highest priority of a router that does not own the addresses.
pub(super) const BELOW_OWNER: u8 = 254;
