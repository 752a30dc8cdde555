//! What must hold on the simulated LAN. After every event at a node: the members of a group agree, addresses are wanted exactly
//! while MASTER, nobody with `nopreempt` deposes a master, nothing that is due stays undone. As time goes by: no two masters
//! for longer than promised.
//!
//! Looks and never changes anything but its own notes. Source: the promises of the crate docs, RFC 9568 §6.

use std::time::Duration;

use super::{Lab, Outcome};
use crate::vrrp::instance::State;

impl Lab {
    /// What must hold after every event at node `n`.
    pub(super) fn check(&mut self, n: usize) -> Outcome {
        let router = &self.nodes[n].router;
        if router.deadline() < self.now && !self.waking {
            return Err(format!(
                "node {n} leaves undone what was due at {:?}",
                router.deadline()
            ));
        }
        for unit in &router.units {
            let mut states = unit
                .members
                .iter()
                .filter_map(|id| router.instances.get(*id))
                .map(|i| i.named());
            let first = states.next();
            if states.any(|state| Some(state) != first) {
                return Err(format!("node {n}: members of {unit:?} disagree"));
            }
        }
        let mut now = vec![false; self.routers.len()];
        for instance in router.instances.iter() {
            let master = matches!(instance.state, State::Master(_));
            if router.desired(instance.id).addresses.is_empty() == master {
                return Err(format!(
                    "node {n}: {} wants the wrong addresses",
                    instance.model.name
                ));
            }
            let name = &instance.model.name;
            if let Some(at) = self.place_of(name) {
                now[at] = master;
                let took = master && !self.nodes[n].masters[at];
                let others = || (0..self.nodes.len()).any(|o| o != n && self.is_master(o, at));
                // Nobody can tell the numbers of a router that lost its memory in a crash from a replay: with an
                // authentication header its adverts are refused, here and in keepalived, until it has heard a higher one.
                let deaf = self.nodes[n].doubts[at];
                if took && self.calm && !instance.model.preempt && !deaf && others() {
                    return Err(format!(
                        "node {n} takes virtual router {name} from a live master in spite of nopreempt"
                    ));
                }
            }
        }
        if self.nodes[n].masters != now {
            self.nodes[n].masters = now;
            self.count_masters();
        }
        Ok(())
    }

    fn is_master(&self, n: usize, at: usize) -> bool {
        let node = &self.nodes[n];
        node.alive && !node.frozen && node.masters[at]
    }

    /// How many masters the virtual router at this place has.
    pub(super) fn masters_of(&self, at: usize) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|n| self.is_master(*n, at))
            .collect()
    }

    pub(super) fn count_masters(&mut self) {
        for at in 0..self.routers.len() {
            let crowded = self.masters_of(at).len() > 1;
            self.crowded_since[at] = match (crowded, self.crowded_since[at]) {
                (true, None) => Some(self.now),
                (true, since) => since,
                (false, _) => None,
            };
        }
    }

    /// From now on the network is whole: no more than `limit` with two masters.
    pub(super) fn promise(&mut self, limit: Duration) {
        self.crowd_limit = Some(limit);
        for since in self.crowded_since.iter_mut().flatten() {
            *since = self.now;
        }
    }

    pub(super) fn check_crowds(&self) -> Outcome {
        let Some(limit) = self.crowd_limit else {
            return Ok(());
        };
        for (at, since) in self.crowded_since.iter().enumerate() {
            let long = since.map(|s| self.now.since(s)).unwrap_or_default();
            if long > limit {
                return Err(format!(
                    "virtual router {} has two masters for {long:?}",
                    self.routers[at]
                ));
            }
            if self.now >= self.master_from && self.masters_of(at).is_empty() {
                return Err(format!("virtual router {} has no master", self.routers[at]));
            }
        }
        Ok(())
    }
}
