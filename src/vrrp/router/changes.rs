//! What changes around the instances: interfaces, trackers, and things in the kernel that somebody else has taken away or that
//! are back. Each change finds the instances that it concerns, and has their standing computed anew.
//!
//! Nothing here moves an instance to another state: that is for its unit to decide, in `sync`.

use std::sync::Arc;

use super::Router;
use crate::daemon::bus::Notice;
use crate::model::net::IfName;
use crate::time::Mono;
use crate::vrrp::instance::State;
use crate::vrrp::priority::{self, Watch};
use crate::vrrp::{Action, InstanceId, InterfaceFacts, Lost, Report};

impl Router {
    pub(super) fn learn(&mut self, now: Mono, facts: Arc<InterfaceFacts>, out: &mut Vec<Action>) {
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

    pub(super) fn interfaces_changed(
        &mut self,
        now: Mono,
        names: &[IfName],
        out: &mut Vec<Action>,
    ) {
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

    /// Computes anew what follows from trackers for these instances, and what their units do about it.
    pub(super) fn look_again(&mut self, now: Mono, ids: &[InstanceId], out: &mut Vec<Action>) {
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

    pub(in crate::vrrp) fn stand(&mut self, now: Mono, id: InstanceId, out: &mut Vec<Action>) {
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

    /// keepalived: what is marked `no_track` is not missed.
    pub(super) fn lost(
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

    pub(super) fn mended(&mut self, now: Mono, id: InstanceId, out: &mut Vec<Action>) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.announce(now, &self.world, out);
        }
        self.touch(id);
    }
}
