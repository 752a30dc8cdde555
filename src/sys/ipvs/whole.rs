//! What concerns the whole of IPVS: connection timeouts and the sync daemons, as attributes. Source: linux/ip_vs.h.

use std::net::IpAddr;

use super::u32_of;
use crate::sys::genl::Attrs;

pub(super) const IPVS_CMD_ATTR_DAEMON: u16 = 3;
pub(super) const IPVS_CMD_ATTR_TIMEOUT_TCP: u16 = 4;
pub(super) const IPVS_CMD_ATTR_TIMEOUT_TCP_FIN: u16 = 5;
pub(super) const IPVS_CMD_ATTR_TIMEOUT_UDP: u16 = 6;

const IPVS_DAEMON_ATTR_STATE: u16 = 1;
const IPVS_DAEMON_ATTR_MCAST_IFN: u16 = 2;
const IPVS_DAEMON_ATTR_SYNC_ID: u16 = 3;
const IPVS_DAEMON_ATTR_SYNC_MAXLEN: u16 = 4;
const IPVS_DAEMON_ATTR_MCAST_GROUP: u16 = 5;
const IPVS_DAEMON_ATTR_MCAST_GROUP6: u16 = 6;
const IPVS_DAEMON_ATTR_MCAST_PORT: u16 = 7;
const IPVS_DAEMON_ATTR_MCAST_TTL: u16 = 8;

/// How long idle connections are kept, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timeouts {
    pub(crate) tcp: u32,
    pub(crate) tcp_fin: u32,
    pub(crate) udp: u32,
}

impl Timeouts {
    pub(super) fn attrs(self) -> Attrs {
        Attrs::default()
            .u32(IPVS_CMD_ATTR_TIMEOUT_TCP, self.tcp)
            .u32(IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, self.tcp_fin)
            .u32(IPVS_CMD_ATTR_TIMEOUT_UDP, self.udp)
    }
}

/// The values of `found`, once all three are there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    tcp: Option<u32>,
    tcp_fin: Option<u32>,
    udp: Option<u32>,
}

impl Parts {
    pub(super) fn take(&mut self, kind: u16, value: &[u8]) {
        match kind {
            IPVS_CMD_ATTR_TIMEOUT_TCP => self.tcp = u32_of(value),
            IPVS_CMD_ATTR_TIMEOUT_TCP_FIN => self.tcp_fin = u32_of(value),
            IPVS_CMD_ATTR_TIMEOUT_UDP => self.udp = u32_of(value),
            _ => {} // What later kernels add.
        }
    }

    pub(super) fn whole(self) -> Option<Timeouts> {
        Some(Timeouts {
            tcp: self.tcp?,
            tcp_fin: self.tcp_fin?,
            udp: self.udp?,
        })
    }
}

/// `IP_VS_STATE_MASTER`, `IP_VS_STATE_BACKUP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Role {
    /// Sends the connections of this machine.
    Master = 1,
    /// Takes those of the others in.
    Backup = 2,
}

/// A sync daemon of the kernel; `None`: the kernel's own value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncDaemon {
    /// At most 15 octets.
    pub(crate) interface: String,
    pub(crate) id: u8,
    pub(crate) maxlen: Option<u16>,
    pub(crate) port: Option<u16>,
    pub(crate) ttl: Option<u8>,
    pub(crate) group: Option<IpAddr>,
}

impl SyncDaemon {
    pub(super) fn attrs(&self, role: Role) -> Attrs {
        let mut attrs = Attrs::default()
            .u32(IPVS_DAEMON_ATTR_STATE, role as u32)
            .text(IPVS_DAEMON_ATTR_MCAST_IFN, &self.interface)
            .u32(IPVS_DAEMON_ATTR_SYNC_ID, self.id.into());
        if let Some(maxlen) = self.maxlen {
            attrs = attrs.u16(IPVS_DAEMON_ATTR_SYNC_MAXLEN, maxlen);
        }
        if let Some(port) = self.port {
            // Not in network order, unlike all other ports.
            attrs = attrs.u16(IPVS_DAEMON_ATTR_MCAST_PORT, port);
        }
        if let Some(ttl) = self.ttl {
            attrs = attrs.u8(IPVS_DAEMON_ATTR_MCAST_TTL, ttl);
        }
        match self.group {
            Some(IpAddr::V4(group)) => attrs.bytes(IPVS_DAEMON_ATTR_MCAST_GROUP, &group.octets()),
            Some(IpAddr::V6(group)) => attrs.bytes(IPVS_DAEMON_ATTR_MCAST_GROUP6, &group.octets()),
            None => attrs,
        }
    }
}

/// What a daemon is stopped by.
pub(super) fn end_of(role: Role, id: u8) -> Attrs {
    Attrs::default()
        .u32(IPVS_DAEMON_ATTR_STATE, role as u32)
        .u32(IPVS_DAEMON_ATTR_SYNC_ID, id.into())
}
