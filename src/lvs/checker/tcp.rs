//! `TCP_CHECK`: a connection that is accepted is health.

use std::net::{IpAddr, SocketAddr};

use crate::model::net::IfName;

/// Options of `TCP_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpCheck {
    /// `connect_ip`, `connect_port`, default the real server's.
    pub(crate) target: SocketAddr,
    /// `bindto`: source address, default the kernel's choice.
    pub(crate) bind_addr: Option<IpAddr>,
    /// `bind_port`: source port, default 0 = the kernel's choice.
    pub(crate) bind_port: u16,
    /// `bind_if`: source interface (`SO_BINDTODEVICE`).
    pub(crate) bind_if: Option<IfName>,
    /// `fwmark` on the connection (`SO_MARK`), 0 = none.
    pub(crate) fwmark: u32,
}
