//! Units: instances that change state together. A sync group is one; an instance without a group is one of its own.
//!
//! Every transition of an instance goes through here, so that the members of a group never disagree. Source:
//! keepalived's `vrrp_sync_group`.

use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::{Notice, VrrpState};
use crate::model::few::Few;
use crate::model::vrrp::{InitialState, SyncGroup};
use crate::time::Mono;

use super::backup::Wait;
use super::garp;
use super::instance::{Instance, Silence, State, Turn};
use super::router::Router;
use super::{Action, FaultCause, InstanceId, Report};

/// See the module.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) group: Option<Arc<SyncGroup>>,
    /// In the group's order; never empty. One, nearly always.
    pub(super) members: Few<InstanceId>,
    /// Notices that wait until the kernel holds what they speak of. `None`, for months: nothing does.
    #[expect(
        clippy::box_collection,
        reason = "one word in each of thousands that have none"
    )]
    outbox: Option<Box<Vec<Notice>>>,
}

impl Unit {
    pub(super) fn new(group: Option<Arc<SyncGroup>>, members: Few<InstanceId>) -> Self {
        Self {
            group,
            members,
            outbox: None,
        }
    }

    /// Queues notices behind those that wait.
    fn put(&mut self, notices: impl IntoIterator<Item = Notice>) {
        self.outbox.get_or_insert_default().extend(notices);
    }

    /// What waits is handed out; the memory goes with it.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Notice> + use<> {
        self.outbox.take().into_iter().flat_map(|all| *all)
    }
}

/// Who goes first, and how often it resigns on leaving MASTER.
#[derive(Clone, Copy, Debug)]
struct Leader {
    id: InstanceId,
    resignations: u8,
}

/// In which order a group and its members are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    GroupFirst,
    GroupLast,
}

impl Router {
    /// Does what an event at one member means for all.
    pub(super) fn turn(&mut self, now: Mono, id: InstanceId, turn: Turn, out: &mut Vec<Action>) {
        let Some(unit) = self.instances.get(id).map(|i| i.unit) else {
            return;
        };
        let leader = Leader {
            id,
            resignations: 0,
        };
        match turn {
            Turn::Stay => self.touch(id),
            Turn::Timeout => self.timeout(now, unit, id, out),
            Turn::Yield { interval } => {
                self.enter_backup(now, unit, leader, Wait::Full, Some(interval), out)
            }
            Turn::Overslept => self.enter_backup(now, unit, leader, Wait::Full, None, out),
            Turn::Reannounce => {
                self.touch(id);
                if let Some(i) = self.instances.get(id) {
                    let notice = Notice::LowerPriorityHeard {
                        instance: i.model.clone(),
                        priority: i.priority(),
                    };
                    self.tell_later(unit, notice, out);
                }
                for other in self.others(unit, id) {
                    let world = &self.world;
                    if let Some(instance) = self.instances.get_mut(other) {
                        instance.reannounce(now, world, out);
                    }
                    self.touch(other);
                }
            }
        }
    }

    /// The timer of a backup expired. keepalived: a group takes over only when every member's master is silent.
    fn timeout(&mut self, now: Mono, unit: usize, id: InstanceId, out: &mut Vec<Action>) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.wish(now);
        }
        self.touch(id);
        let members = self.members(unit);
        let all = members
            .iter()
            .all(|m| self.instances.get(*m).is_some_and(Instance::wishes));
        if all {
            self.enter_master(now, unit, id, out);
        }
    }

    /// Brings a unit to where its members may be: after start, a reload, a change of what is tracked.
    pub(super) fn reconsider(&mut self, now: Mono, unit: usize, out: &mut Vec<Action>) {
        let members = self.members(unit);
        let instances: Vec<&Instance> = members
            .iter()
            .filter_map(|m| self.instances.get(*m))
            .collect();
        let Some(first) = instances.first() else {
            return;
        };
        let count = |state: VrrpState| instances.iter().filter(|i| i.named() == state).count();
        let (idle, masters) = (count(VrrpState::Stop), count(VrrpState::Master));
        let (backups, all) = (count(VrrpState::Backup), instances.len());
        let faulty = instances.iter().find(|i| !i.standing.causes.is_empty());
        // keepalived: the member that recovered last leads a group that leaves FAULT.
        let told = instances.iter().any(|i| i.announced.is_some());
        let recovered = if told && count(VrrpState::Fault) == all {
            instances.iter().max_by_key(|i| i.recovery)
        } else {
            None
        };
        let leader = faulty.or(recovered).unwrap_or(first).id;
        if faulty.is_some() {
            self.enter_fault(now, unit, leader, out);
        } else if masters == 0 && instances.iter().all(|i| i.inherits(now)) {
            self.enter_master(now, unit, leader, out);
        } else if idle == all {
            self.start(now, unit, out);
        } else if masters == all || backups == all {
            // They are where they may be; a group that a reload formed of them is news.
            let state = first.named();
            self.announce(unit, members, state, Order::GroupFirst, out);
        } else if masters + idle == all {
            // New members of a running group join it.
            self.enter_master(now, unit, leader, out);
        } else {
            let leader = Leader {
                id: leader,
                resignations: 0,
            };
            self.enter_backup(now, unit, leader, Wait::Full, None, out);
        }
    }

    /// keepalived: only owners start as master, a group of them only if all want to.
    fn start(&mut self, now: Mono, unit: usize, out: &mut Vec<Action>) {
        let members = self.members(unit);
        let wants =
            |i: &Instance| i.model.is_owner() && i.model.initial_state == InitialState::Master;
        let all = members
            .iter()
            .all(|m| self.instances.get(*m).is_some_and(wants));
        if all && now >= self.ready_at {
            return self.enter_master(now, unit, members[0], out);
        }
        self.syncing(unit, VrrpState::Backup, out);
        let begins_at = now.max(self.ready_at);
        for id in members.iter() {
            if let Some(instance) = self.instances.get_mut(*id) {
                let wait = match wants(instance) {
                    true if all => Wait::Skew,
                    true => Wait::Owner,
                    false => Wait::Full,
                };
                instance.become_backup(begins_at, wait, None, out);
            }
            self.touch(*id);
        }
        self.announce(unit, members, VrrpState::Backup, Order::GroupFirst, out);
    }

    fn enter_master(&mut self, now: Mono, unit: usize, leader: InstanceId, out: &mut Vec<Action>) {
        self.syncing(unit, VrrpState::Master, out);
        let members = self.led_by(unit, leader);
        for id in members.iter() {
            let world = &self.world;
            if let Some(instance) = self
                .instances
                .get_mut(*id)
                .filter(|i| i.named() != VrrpState::Master)
            {
                instance.become_master(now, world, out);
            }
            self.touch(*id);
        }
        self.announce(unit, members, VrrpState::Master, Order::GroupLast, out);
    }

    /// `interval`: that of the leader's new master.
    fn enter_backup(
        &mut self,
        now: Mono,
        unit: usize,
        leader: Leader,
        wait: Wait,
        interval: Option<Duration>,
        out: &mut Vec<Action>,
    ) {
        let members = self.led_by(unit, leader.id);
        let order = self.order(&members);
        self.syncing(unit, VrrpState::Backup, out);
        let begins_at = now.max(self.ready_at);
        for id in members.iter() {
            if let Some(instance) = self
                .instances
                .get_mut(*id)
                .filter(|i| i.named() != VrrpState::Backup)
            {
                if let (State::Master(_), true) = (instance.state, *id == leader.id) {
                    instance.resign(now, leader.resignations, out);
                }
                let interval = interval.filter(|_| *id == leader.id);
                let was_faulty = instance.state == State::Fault;
                instance.become_backup(begins_at, wait, interval, out);
                if was_faulty {
                    out.extend(garp::announce_source(*id, &instance.model, &self.world));
                }
            }
            self.touch(*id);
        }
        self.announce(unit, members, VrrpState::Backup, order, out);
    }

    /// Somebody else deleted an address of a master. keepalived: it resigns, and comes back after the skew time.
    pub(super) fn give_up(&mut self, now: Mono, id: InstanceId, out: &mut Vec<Action>) {
        if let Some(unit) = self.instances.get(id).map(|i| i.unit) {
            let leader = Leader {
                id,
                resignations: 1,
            };
            self.enter_backup(now, unit, leader, Wait::Skew, None, out);
        }
    }

    /// keepalived: a faulty master resigns twice, the others of its group once. While only first results of scripts
    /// are missing nobody is told.
    fn enter_fault(&mut self, now: Mono, unit: usize, leader: InstanceId, out: &mut Vec<Action>) {
        let members = self.led_by(unit, leader);
        let causes = || {
            members
                .iter()
                .filter_map(|m| self.instances.get(*m))
                .flat_map(|i| i.standing.causes.iter())
        };
        let pending = causes().all(|c| matches!(c, FaultCause::ScriptPending(_)));
        let fresh = members
            .iter()
            .all(|m| self.instances.get(*m).is_none_or(|i| i.announced.is_none()));
        let silent = pending && fresh;
        let order = self.order(&members);
        let moves = members.iter().any(|m| {
            self.instances
                .get(*m)
                .is_some_and(|i| i.named() != VrrpState::Fault)
        });
        if moves && !silent {
            self.syncing(unit, VrrpState::Fault, out);
        }
        for id in members.iter() {
            if let Some(instance) = self
                .instances
                .get_mut(*id)
                .filter(|i| i.named() != VrrpState::Fault)
            {
                if let State::Master(_) = instance.state {
                    instance.resign(
                        now,
                        if instance.standing.causes.is_empty() {
                            1
                        } else {
                            2
                        },
                        out,
                    );
                }
                instance.become_faulty(if silent { Silence::Yes } else { Silence::No }, out);
            }
            if let Some(instance) = self.instances.get_mut(*id).filter(|_| !pending) {
                instance.disinherit(out);
            }
            self.touch(*id);
        }
        if !silent {
            self.announce(unit, members, VrrpState::Fault, order, out);
        }
    }

    /// What was never announced begins with the group.
    fn order(&self, members: &[InstanceId]) -> Order {
        let fresh = members
            .iter()
            .all(|m| self.instances.get(*m).is_none_or(|i| i.announced.is_none()));
        if fresh {
            Order::GroupFirst
        } else {
            Order::GroupLast
        }
    }

    fn syncing(&self, unit: usize, state: VrrpState, out: &mut Vec<Action>) {
        if let Some(group) = self.units.get(unit).and_then(|u| u.group.as_ref()) {
            out.push(Action::Report(Report::Syncing {
                group: group.name.clone(),
                state,
            }));
        }
    }

    /// Queues the notices for all who were not announced in this state yet.
    fn announce(
        &mut self,
        unit: usize,
        members: Few<InstanceId>,
        state: VrrpState,
        order: Order,
        out: &mut Vec<Action>,
    ) {
        let mut notices = Vec::with_capacity(members.len() + 1);
        for id in members.iter() {
            if let Some(instance) = self
                .instances
                .get_mut(*id)
                .filter(|i| i.announced != Some(state))
            {
                instance.announced = Some(state);
                notices.push(Notice::Instance {
                    instance: instance.model.clone(),
                    state,
                    priority: instance.priority(),
                });
            }
        }
        if let Some(unit) = self.units.get_mut(unit) {
            if let Some(group) = &unit.group
                && self.groups.insert(group.name.clone(), state) != Some(state)
            {
                let at = match order {
                    Order::GroupFirst => 0,
                    Order::GroupLast => notices.len(),
                };
                let group = group.clone();
                notices.insert(at, Notice::Group { group, state });
            }
            unit.put(notices);
        }
        self.flush(unit, out);
    }

    /// Queues a notice behind those that wait for the kernel.
    pub(super) fn tell_later(&mut self, unit: usize, notice: Notice, out: &mut Vec<Action>) {
        if let Some(unit) = self.units.get_mut(unit) {
            unit.put([notice]);
        }
        self.flush(unit, out);
    }

    /// Hands out what waits in a unit's outbox, unless the kernel is still busy with one of its members.
    pub(super) fn flush(&mut self, unit: usize, out: &mut Vec<Action>) {
        let instances = &self.instances;
        if let Some(unit) = self.units.get_mut(unit) {
            let busy = |id: &InstanceId| instances.get(*id).is_some_and(|i| i.converging > 0);
            if !unit.members.iter().any(busy) {
                out.extend(unit.take().map(Action::Notice));
            }
        }
    }

    fn members(&self, unit: usize) -> Few<InstanceId> {
        let unit = self.units.get(unit);
        unit.map_or_else(|| Vec::new().into(), |u| u.members.clone())
    }

    /// All but one.
    fn others(&self, unit: usize, id: InstanceId) -> Vec<InstanceId> {
        let members = self.members(unit);
        members.iter().copied().filter(|m| *m != id).collect()
    }

    /// The leader, then the others in the group's order.
    fn led_by(&self, unit: usize, leader: InstanceId) -> Few<InstanceId> {
        let mut members = self.members(unit);
        members.sort_by_key(|m| *m != leader);
        members
    }
}
