//! Start and reload: from what runs to what the new configuration wants, without disturbing what stays.
//!
//! An instance stays itself while its key does; its name, priority, version, addresses and timers may change under it.
//! Source: keepalived's reload.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::daemon::bus::{Notice, VrrpState};
use crate::model::Config;
use crate::model::diff::{Change, Keyed, Reload, diff};
use crate::model::few::Few;
use crate::model::vrrp::{Deletion, Instance as Model, InstanceKey, SyncGroup};
use crate::time::Mono;

use super::instance::{Instance, State};
use super::priority::Watch;
use super::router::{Inheritance, Router, Tracked};
use super::sync::Unit;
use super::{Action, InstanceId};

/// Instances that live on, and which of the things that they want in the kernel have changed.
type Survivors = BTreeMap<InstanceId, Renewed>;

/// Made for each reload: kept, it would be a good part of what an instance costs.
type ByKey = BTreeMap<InstanceKey, InstanceId>;

#[derive(Clone, Copy, Debug, Default)]
struct Renewed {
    addresses: bool,
    /// Routes or rules.
    ways: bool,
}

impl Router {
    pub(super) fn apply(&mut self, now: Mono, config: Arc<Config>, out: &mut Vec<Action>) {
        let old = self.config.replace(config.clone());
        let start = old.is_none();
        let old = old.unwrap_or_default();
        self.world.apply(&config, start);
        self.throttle.apply(&config);
        if start {
            let global = &config.global;
            let after_boot = Mono::from_micros(0) + global.delay_after_boot;
            self.ready_at = match global.startup_delay {
                d if d.is_zero() => after_boot,
                d => after_boot.max(now + d),
            };
        }
        for unit in &mut self.units {
            out.extend(unit.take().map(Action::Notice));
        }
        let known = self.instances.iter().map(|i| (i.model.key(), i.id));
        let mut by_key: ByKey = known.collect();
        let all = by_key.values();
        let mut survivors: Survivors = all.map(|id| (*id, Renewed::default())).collect();
        self.instances.reserve(config.instances.len());
        for change in diff::<_, Model>(&old.instances, &config.instances) {
            match change {
                Change::Removed(model) => {
                    self.remove(now, model, &mut by_key, &mut survivors, out);
                }
                Change::Added(model) => self.add(model, &mut by_key),
                Change::Changed(was, model) if was.reload_class(model) == Reload::Restart => {
                    self.remove(now, was, &mut by_key, &mut survivors, out);
                    self.add(model, &mut by_key);
                }
                Change::Changed(was, model) => {
                    let Some(&id) = by_key.get(&model.key()) else {
                        continue;
                    };
                    if let Some(instance) = self.instances.get_mut(id) {
                        instance.adjust(model.clone());
                    }
                    let renewed = Renewed {
                        addresses: was.addresses != model.addresses
                            || was.excluded != model.excluded,
                        ways: was.routes != model.routes || was.rules != model.rules,
                    };
                    survivors.insert(id, renewed);
                }
            }
        }
        self.instances.close_ranks();
        let Inheritance(mut heirs) = std::mem::take(&mut self.inheritance);
        heirs.retain(|_, until| *until > now && now >= self.ready_at);
        for instance in self.instances.iter_mut().filter(|_| !heirs.is_empty()) {
            instance.inherits_until = heirs.get(&instance.model.key()).copied();
        }
        let of = |model: &Arc<Model>| by_key.get(&model.key()).copied();
        self.in_file_order = config.instances.iter().filter_map(of).collect();
        self.form_units(&config, &by_key);
        self.index();
        for instance in self.instances.iter_mut() {
            instance.attach(&self.world);
        }
        self.listen(out);
        for &id in by_key.values() {
            self.stand(now, id, out);
            // A priority that the reload itself has changed is not reported as a tracker's.
            if let Some(i) = self.instances.get_mut(id) {
                i.noted_priority = Some(i.priority());
            }
        }
        // First, so that a member that has to leave MASTER with its group does not advertise and announce before.
        for unit in 0..self.units.len() {
            self.reconsider(now, unit, out);
        }
        for (id, renewed) in survivors {
            self.resume(now, id, renewed, out);
        }
    }

    fn add(&mut self, model: &Arc<Model>, by_key: &mut ByKey) {
        let id = self.instances.next();
        self.instances.add(Instance::new(id, model.clone()));
        by_key.insert(model.key(), id);
    }

    /// keepalived: one advertisement of priority 0; a notification unless it was in FAULT, or as `notify_deleted` says.
    fn remove(
        &mut self,
        now: Mono,
        model: &Model,
        by_key: &mut ByKey,
        survivors: &mut Survivors,
        out: &mut Vec<Action>,
    ) {
        let Some(mut instance) = by_key
            .remove(&model.key())
            .and_then(|id| self.instances.remove(id))
        else {
            return;
        };
        survivors.remove(&instance.id);
        if let State::Master(_) = instance.state {
            instance.resign(now, 1, out);
        }
        let news = match instance.model.notify.deletion {
            Deletion::Told(_) => true,
            Deletion::AsFault => instance.named() != VrrpState::Fault,
        };
        instance.become_idle(out);
        if news {
            out.push(Action::Notice(Notice::Instance {
                instance: instance.model.clone(),
                state: VrrpState::Deleted,
                priority: instance.priority(),
            }));
        }
    }

    /// A master speaks up with its new data; a backup waits anew.
    fn resume(&mut self, now: Mono, id: InstanceId, renewed: Renewed, out: &mut Vec<Action>) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.resume(now, &self.world, out);
            match (renewed.addresses, &instance.state) {
                (true, _) => instance.addresses_changed(now, &self.world, out),
                (false, State::Master(_)) if renewed.ways => instance.converge(out),
                (false, State::Idle | State::Fault | State::Backup(_) | State::Master(_)) => {}
            }
        }
        self.touch(id);
    }

    /// One unit for each group, then one for each instance without.
    fn form_units(&mut self, config: &Config, by_key: &ByKey) {
        let by_name: BTreeMap<&str, &Arc<Model>> =
            config.instances.iter().map(|i| (&*i.name, i)).collect();
        let mut units: Vec<Unit> = Vec::with_capacity(config.groups.len() + config.instances.len());
        let mut grouped = BTreeSet::new();
        for group in &config.groups {
            let members: Vec<InstanceId> = group
                .members
                .iter()
                .filter_map(|name| by_key.get(&by_name.get(&**name)?.key()).copied())
                .filter(|id| !grouped.contains(id))
                .collect();
            grouped.extend(members.iter().copied());
            if !members.is_empty() {
                units.push(Unit::new(Some(group.clone()), members.into()));
            }
        }
        let alone = config
            .instances
            .iter()
            .filter_map(|model| by_key.get(&model.key()))
            .filter(|id| !grouped.contains(*id));
        units.extend(alone.map(|id| Unit::new(None, Few::One(*id))));
        self.units = units;
        self.groups
            .retain(|name, _| config.groups.iter().any(|g| g.name == *name));
        self.join();
    }

    /// Tells every instance its unit and what it watches.
    fn join(&mut self) {
        for (at, unit) in self.units.iter().enumerate() {
            let group: Option<&SyncGroup> = unit.group.as_deref();
            for id in unit.members.iter() {
                if let Some(instance) = self.instances.get_mut(*id) {
                    instance.unit = at;
                    instance.watch = Watch::new(&instance.model, group);
                }
            }
        }
    }

    /// Who must look again at what.
    fn index(&mut self) {
        self.watchers.clear();
        self.roamers.clear();
        self.dependents.clear();
        for i in self.instances.iter() {
            let watch = Watch::kept(&i.watch);
            let tracked = watch.interfaces.iter().map(|t| &t.interface);
            // One of many addresses, each once.
            let carriers: BTreeSet<_> = i.model.carriers().collect();
            let own = i.model.own_interfaces().chain(carriers);
            for name in tracked.chain(own) {
                self.watchers.entry(name.clone()).or_default().push(i.id);
            }
            if i.model.track_source && i.model.interface.is_none() {
                self.roamers.push(i.id);
            }
            let others = &watch.others;
            let scripts = watch.scripts.iter().map(|t| &t.script);
            let tracked = scripts.cloned().map(Tracked::Script);
            let names = |list: &[crate::model::track::Tracked]| {
                list.iter().map(|t| t.name.clone()).collect::<Vec<_>>()
            };
            let tracked = tracked
                .chain(names(&others.files).into_iter().map(Tracked::File))
                .chain(names(&others.processes).into_iter().map(Tracked::Process))
                .chain(names(&others.bfds).into_iter().map(Tracked::Bfd));
            for thing in tracked {
                self.dependents.entry(thing).or_default().push(i.id);
            }
        }
    }
}
