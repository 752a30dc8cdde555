//! Destinations, that is real servers, as attributes: `IPVS_CMD_ATTR_DEST`. Source: linux/ip_vs.h.

use std::net::SocketAddr;

use super::{AF_INET, AF_INET6, addr_octets, addr_of, u16_of, u32_of};
use crate::sys::genl::{Attrs, GenlError, attrs};

const IPVS_DEST_ATTR_ADDR: u16 = 1;
const IPVS_DEST_ATTR_PORT: u16 = 2;
const IPVS_DEST_ATTR_FWD_METHOD: u16 = 3;
const IPVS_DEST_ATTR_WEIGHT: u16 = 4;
const IPVS_DEST_ATTR_U_THRESH: u16 = 5;
const IPVS_DEST_ATTR_L_THRESH: u16 = 6;
const IPVS_DEST_ATTR_ADDR_FAMILY: u16 = 11;
const IPVS_DEST_ATTR_TUN_TYPE: u16 = 13;
const IPVS_DEST_ATTR_TUN_PORT: u16 = 14;
const IPVS_DEST_ATTR_TUN_FLAGS: u16 = 15;

/// `IP_VS_CONN_F_MASQ`, `_LOCALNODE`, `_TUNNEL`, `_DROUTE`, `_BYPASS`.
const FWD_MASQ: u32 = 0;
const FWD_LOCALNODE: u32 = 1;
const FWD_TUNNEL: u32 = 2;
const FWD_DROUTE: u32 = 3;

/// `IP_VS_CONN_F_TUNNEL_TYPE_*`.
const TUNNEL_IPIP: u8 = 0;
const TUNNEL_GUE: u8 = 1;
const TUNNEL_GRE: u8 = 2;

/// What is done about checksums of the outer header (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelChecksum {
    None = 0,
    Checksum = 1,
    /// Remote checksum offload.
    Remote = 2,
}

/// How a packet is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tunnel {
    Ipip,
    /// To this UDP port.
    Gue {
        port: u16,
        checksum: TunnelChecksum,
    },
    Gre {
        checksum: TunnelChecksum,
    },
}

/// How packets reach a destination (`IP_VS_CONN_F_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    Masquerade,
    Local,
    Tunnel(Tunnel),
    DirectRoute,
    Bypass,
}

/// A destination with its parameters. Its address and port are its identity within the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dest {
    pub(crate) addr: SocketAddr,
    pub(crate) forward: Forward,
    /// 0..=2147483647.
    pub(crate) weight: u32,
    /// 0: no limit.
    pub(crate) upper_threshold: u32,
    /// Not above `upper_threshold`.
    pub(crate) lower_threshold: u32,
}

impl Dest {
    /// Enough to find it again: what commands that remove it look at.
    pub(crate) fn named(addr: SocketAddr) -> Self {
        Self {
            addr,
            forward: Forward::Masquerade,
            weight: 0,
            upper_threshold: 0,
            lower_threshold: 0,
        }
    }

    pub(super) fn attrs(&self) -> Attrs {
        let ip = self.addr.ip();
        let af = if ip.is_ipv6() { AF_INET6 } else { AF_INET };
        let forward = match self.forward {
            Forward::Masquerade => FWD_MASQ,
            Forward::Local => FWD_LOCALNODE,
            Forward::Tunnel(_) => FWD_TUNNEL,
            Forward::DirectRoute => FWD_DROUTE,
            Forward::Bypass => FWD_DROUTE + 1,
        };
        let attrs = Attrs::default()
            .u16(IPVS_DEST_ATTR_ADDR_FAMILY, af)
            .bytes(IPVS_DEST_ATTR_ADDR, &addr_octets(ip))
            .be16(IPVS_DEST_ATTR_PORT, self.addr.port())
            .u32(IPVS_DEST_ATTR_FWD_METHOD, forward)
            .u32(IPVS_DEST_ATTR_WEIGHT, self.weight);
        let attrs = match self.forward {
            Forward::Tunnel(tunnel) => tunnel.add_to(attrs),
            Forward::Masquerade | Forward::Local | Forward::DirectRoute | Forward::Bypass => attrs,
        };
        attrs
            .u32(IPVS_DEST_ATTR_U_THRESH, self.upper_threshold)
            .u32(IPVS_DEST_ATTR_L_THRESH, self.lower_threshold)
    }

    pub(super) fn parse(octets: &[u8]) -> Result<Self, GenlError> {
        let (mut af, mut addr, mut port, mut forward, mut weight) = (None, None, None, None, None);
        let (mut upper, mut lower) = (None, None);
        let (mut tunnel, mut tunnel_port, mut tunnel_flags) = (0, 0, 0);
        for found in attrs(octets) {
            let (kind, value) = found?;
            match kind {
                IPVS_DEST_ATTR_ADDR_FAMILY => af = u16_of(value),
                IPVS_DEST_ATTR_ADDR => addr = value.first_chunk::<16>(),
                IPVS_DEST_ATTR_PORT => port = u16_of(value).map(u16::from_be),
                IPVS_DEST_ATTR_FWD_METHOD => forward = u32_of(value),
                IPVS_DEST_ATTR_WEIGHT => weight = u32_of(value),
                IPVS_DEST_ATTR_U_THRESH => upper = u32_of(value),
                IPVS_DEST_ATTR_L_THRESH => lower = u32_of(value),
                IPVS_DEST_ATTR_TUN_TYPE => tunnel = value.first().copied().unwrap_or(0),
                IPVS_DEST_ATTR_TUN_PORT => tunnel_port = u16_of(value).map_or(0, u16::from_be),
                IPVS_DEST_ATTR_TUN_FLAGS => tunnel_flags = u16_of(value).unwrap_or(0),
                _ => {} // Statistics and what later kernels add.
            }
        }
        let dest = || {
            let forward = match forward? {
                FWD_MASQ => Forward::Masquerade,
                FWD_LOCALNODE => Forward::Local,
                FWD_TUNNEL => Forward::Tunnel(Tunnel::parse(tunnel, tunnel_port, tunnel_flags)?),
                FWD_DROUTE => Forward::DirectRoute,
                _ => Forward::Bypass,
            };
            Some(Self {
                addr: SocketAddr::new(addr_of(addr?, af? == AF_INET6), port?),
                forward,
                weight: weight?,
                upper_threshold: upper?,
                lower_threshold: lower?,
            })
        };
        dest().ok_or(GenlError::Malformed("destination"))
    }
}

impl Tunnel {
    fn add_to(self, attrs: Attrs) -> Attrs {
        match self {
            Self::Ipip => attrs.u8(IPVS_DEST_ATTR_TUN_TYPE, TUNNEL_IPIP),
            Self::Gue { port, checksum } => attrs
                .u8(IPVS_DEST_ATTR_TUN_TYPE, TUNNEL_GUE)
                .be16(IPVS_DEST_ATTR_TUN_PORT, port)
                .u16(IPVS_DEST_ATTR_TUN_FLAGS, checksum as u16),
            Self::Gre { checksum } => attrs
                .u8(IPVS_DEST_ATTR_TUN_TYPE, TUNNEL_GRE)
                .u16(IPVS_DEST_ATTR_TUN_FLAGS, checksum as u16),
        }
    }

    fn parse(kind: u8, port: u16, flags: u16) -> Option<Self> {
        let checksum = match flags {
            0 => TunnelChecksum::None,
            1 => TunnelChecksum::Checksum,
            2 => TunnelChecksum::Remote,
            _ => return None,
        };
        match kind {
            TUNNEL_IPIP => Some(Self::Ipip),
            TUNNEL_GUE => Some(Self::Gue { port, checksum }),
            TUNNEL_GRE => Some(Self::Gre { checksum }),
            _ => None,
        }
    }
}
