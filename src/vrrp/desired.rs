//! What the kernel should hold for an instance. Compared with what it does hold by `reconcile`.

use crate::model::net::VirtualAddress;

use super::instance::{Instance, State};

/// Everything that one instance wants in the kernel now. Empty unless it is MASTER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Desired {
    /// `virtual_ipaddress`, then `virtual_ipaddress_excluded`, in file order: the order of adding; removed in the same
    /// order.
    pub(crate) addresses: Vec<VirtualAddress>,
}

/// What `instance` wants in the state it is in.
pub(super) fn of(instance: &Instance) -> Desired {
    let addresses = match instance.state {
        State::Master(_) => {
            let model = &instance.model;
            model
                .addresses
                .iter()
                .chain(&model.excluded)
                .cloned()
                .collect()
        }
        State::Idle | State::Fault | State::Backup(_) => Vec::new(),
    };
    Desired { addresses }
}
