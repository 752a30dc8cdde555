//! What the kernel should hold for an instance. Compared with what it does hold by `reconcile`.

use crate::model::net::VirtualAddress;

/// Everything that one instance wants in the kernel now. Empty unless it is MASTER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Desired {
    /// `virtual_ipaddress`, then `virtual_ipaddress_excluded`, in file order: the order of adding; removed in the same
    /// order.
    pub(crate) addresses: Vec<VirtualAddress>,
}
