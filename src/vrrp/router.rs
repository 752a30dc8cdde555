//! All instances of this machine as one function of events: it finds the instance, keeps the deadlines, applies reloads.
//!
//! It never waits, reads no clock and touches no kernel. Source: RFC 3768, RFC 9568, keepalived's behaviour.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::desired::Desired;
use super::{Action, Event, IfIndex, InstanceId, InterfaceFacts, Socket};
use crate::daemon::bus::InstanceSnapshot;
use crate::time::Mono;

/// The VRRP core. One per process.
#[derive(Debug, Default)]
pub(crate) struct Router {
    interfaces: BTreeMap<IfIndex, Arc<InterfaceFacts>>,
}

impl Router {
    /// A router that runs nothing until [`Event::Apply`]. Interface facts may come before or after.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes one event and says what to do about it, in order. `now` never goes back; a [`Event::Wake`] before
    /// [`Router::deadline`] does nothing.
    pub(crate) fn on_event(&mut self, _now: Mono, event: Event) -> Vec<Action> {
        match event {
            Event::Interface(facts) => {
                self.interfaces.insert(facts.index, facts);
            }
            Event::InterfaceGone(index) => {
                self.interfaces.remove(&index);
            }
            Event::Wake
            | Event::Apply(_)
            | Event::Stop(_)
            | Event::Heard(_)
            | Event::Tracker(_)
            | Event::Converged(_)
            | Event::AddressLost { .. } => {}
        }
        Vec::new()
    }

    /// When the next [`Event::Wake`] is due; [`Mono::NEVER`] if nothing is waited for. O(1).
    pub(crate) fn deadline(&self) -> Mono {
        Mono::NEVER
    }

    /// What the kernel should hold for `instance`; nothing for one that is gone.
    pub(crate) fn desired(&self, _instance: InstanceId) -> Desired {
        Desired::default()
    }

    /// What must be listened to, sorted, each once. Changes are announced by [`Action::Listen`].
    pub(crate) fn sockets(&self) -> Vec<Socket> {
        Vec::new()
    }

    /// Every instance as it stands, in file order.
    pub(crate) fn snapshot(&self) -> Vec<InstanceSnapshot> {
        Vec::new()
    }

    /// Sets all counters to zero.
    pub(crate) fn clear_stats(&mut self) {}
}
