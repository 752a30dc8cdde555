//! What the kernel should hold for an instance. Compared with what it does hold by `reconcile`.

use std::sync::Arc;

use crate::model::net::VirtualAddress;
use crate::model::route::{Route, Rule};

use super::instance::{Instance, State};

/// Everything that somebody wants in the kernel now: an instance nothing unless it is MASTER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Desired {
    /// `virtual_ipaddress`, then `virtual_ipaddress_excluded`, in file order: the order of adding; removed in the same
    /// order.
    pub(crate) addresses: Vec<Arc<VirtualAddress>>,
    /// `no_accept`: packets to and from the addresses are dropped, from before they are there until they are gone.
    pub(crate) guarded: bool,
    /// `virtual_routes`: added after the addresses, removed before them.
    pub(crate) routes: Vec<Route>,
    /// `virtual_rules`: added after the routes, removed before them.
    pub(crate) rules: Vec<Rule>,
}

/// What `instance` wants in the state it is in.
pub(super) fn of(instance: &Instance) -> Desired {
    match instance.state {
        State::Fault if instance.inherits_until.is_some() => all(instance),
        State::Master(_) => all(instance),
        State::Idle | State::Fault | State::Backup(_) => Desired::default(),
    }
}

fn all(instance: &Instance) -> Desired {
    let model = &instance.model;
    let addresses = model.addresses.iter().chain(&model.excluded);
    Desired {
        addresses: addresses.cloned().collect(),
        guarded: model.no_accept,
        routes: model.routes.clone(),
        rules: model.rules.clone(),
    }
}
