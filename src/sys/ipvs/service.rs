//! Virtual services as attributes: `IPVS_CMD_ATTR_SERVICE`. Source: linux/ip_vs.h.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::{AF_INET, AF_INET6, addr_octets, addr_of, u16_of, u32_of};
use crate::sys::genl::{Attrs, GenlError, attrs};

const IPVS_SVC_ATTR_AF: u16 = 1;
const IPVS_SVC_ATTR_PROTOCOL: u16 = 2;
const IPVS_SVC_ATTR_ADDR: u16 = 3;
const IPVS_SVC_ATTR_PORT: u16 = 4;
const IPVS_SVC_ATTR_FWMARK: u16 = 5;
const IPVS_SVC_ATTR_SCHED_NAME: u16 = 6;
const IPVS_SVC_ATTR_FLAGS: u16 = 7;
const IPVS_SVC_ATTR_TIMEOUT: u16 = 8;
const IPVS_SVC_ATTR_NETMASK: u16 = 9;
const IPVS_SVC_ATTR_PE_NAME: u16 = 11;

/// `IP_VS_SVC_F_PERSISTENT`.
const SVC_F_PERSISTENT: u32 = 1;
/// `IP_VS_SVC_F_HASHED`: set by the kernel in what it tells.
const SVC_F_HASHED: u32 = 2;

/// What the kernel finds a service by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ServiceId {
    /// `protocol`: the number of the IP protocol.
    Address { addr: SocketAddr, protocol: u8 },
    /// Packets that carry this mark, never 0.
    Fwmark { mark: u32, ipv6: bool },
}

impl ServiceId {
    pub(crate) fn is_ipv6(&self) -> bool {
        match self {
            Self::Address { addr, .. } => addr.is_ipv6(),
            Self::Fwmark { ipv6, .. } => *ipv6,
        }
    }

    pub(super) fn attrs(&self) -> Attrs {
        let af = if self.is_ipv6() { AF_INET6 } else { AF_INET };
        let attrs = Attrs::default().u16(IPVS_SVC_ATTR_AF, af);
        match self {
            Self::Address { addr, protocol } => attrs
                .u16(IPVS_SVC_ATTR_PROTOCOL, u16::from(*protocol))
                .bytes(IPVS_SVC_ATTR_ADDR, &addr_octets(addr.ip()))
                .be16(IPVS_SVC_ATTR_PORT, addr.port()),
            Self::Fwmark { mark, .. } => attrs.u32(IPVS_SVC_ATTR_FWMARK, *mark),
        }
    }
}

/// As keepalived names a service in messages about kernel errors.
impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { addr, protocol } => {
                let name = match protocol {
                    6 => "tcp",
                    17 => "udp",
                    132 => "sctp",
                    _ => "none",
                };
                write!(f, "{}:{name}:{}", addr.ip(), addr.port())
            }
            Self::Fwmark { mark, ipv6: false } => write!(f, "Fwm {mark}"),
            Self::Fwmark { mark, ipv6: true } => write!(f, "Fwm {mark} inet6"),
        }
    }
}

/// How many clients count as one (`IPVS_SVC_ATTR_NETMASK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granularity {
    /// A netmask.
    V4(Ipv4Addr),
    /// A prefix length, 1..=128.
    V6(u8),
}

impl Granularity {
    /// Every address is a client of its own.
    pub(crate) fn host(ipv6: bool) -> Self {
        if ipv6 {
            Self::V6(128)
        } else {
            Self::V4(Ipv4Addr::BROADCAST)
        }
    }

    /// Addresses are in network order, lengths in that of the host.
    fn octets(self) -> [u8; 4] {
        match self {
            Self::V4(mask) => mask.octets(),
            Self::V6(len) => u32::from(len).to_ne_bytes(),
        }
    }
}

/// Clients stay with their real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Persistence {
    /// Seconds, at least 1.
    pub(crate) timeout: u32,
    pub(crate) granularity: Granularity,
    /// `IPVS_SVC_ATTR_PE_NAME`, at most 15 octets.
    pub(crate) engine: Option<String>,
}

/// A service with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) id: ServiceId,
    /// `IPVS_SVC_ATTR_SCHED_NAME`, at most 15 octets.
    pub(crate) scheduler: String,
    /// `IP_VS_SVC_F_*` without the persistent and the hashed bit.
    pub(crate) flags: u32,
    pub(crate) persistence: Option<Persistence>,
}

impl Service {
    /// Enough to find it again: what commands that remove it, or something in it, look at.
    pub(crate) fn named(id: ServiceId) -> Self {
        Self {
            id,
            scheduler: String::new(),
            flags: 0,
            persistence: None,
        }
    }

    pub(super) fn attrs(&self) -> Attrs {
        let Some(p) = &self.persistence else {
            return self.without_persistence();
        };
        let mut attrs = self
            .id
            .attrs()
            .text(IPVS_SVC_ATTR_SCHED_NAME, &self.scheduler);
        if let Some(engine) = &p.engine {
            attrs = attrs.text(IPVS_SVC_ATTR_PE_NAME, engine);
        }
        attrs
            .bytes(IPVS_SVC_ATTR_FLAGS, &flags(self.flags | SVC_F_PERSISTENT))
            .u32(IPVS_SVC_ATTR_TIMEOUT, p.timeout)
            .bytes(IPVS_SVC_ATTR_NETMASK, &p.granularity.octets())
    }

    /// As commands about destinations carry it.
    pub(super) fn without_persistence(&self) -> Attrs {
        self.id
            .attrs()
            .text(IPVS_SVC_ATTR_SCHED_NAME, &self.scheduler)
            .bytes(IPVS_SVC_ATTR_FLAGS, &flags(self.flags))
            .u32(IPVS_SVC_ATTR_TIMEOUT, 0)
            .bytes(
                IPVS_SVC_ATTR_NETMASK,
                &Granularity::host(self.id.is_ipv6()).octets(),
            )
    }

    pub(super) fn parse(octets: &[u8]) -> Result<Self, GenlError> {
        let (mut af, mut protocol, mut addr, mut port, mut mark) = (None, None, None, None, None);
        let (mut scheduler, mut bits, mut timeout, mut netmask) = (None, None, None, None);
        let mut engine = None;
        for found in attrs(octets) {
            let (kind, value) = found?;
            match kind {
                IPVS_SVC_ATTR_AF => af = u16_of(value),
                IPVS_SVC_ATTR_PROTOCOL => protocol = u16_of(value),
                IPVS_SVC_ATTR_ADDR => addr = value.first_chunk::<16>(),
                IPVS_SVC_ATTR_PORT => port = u16_of(value).map(u16::from_be),
                IPVS_SVC_ATTR_FWMARK => mark = u32_of(value),
                IPVS_SVC_ATTR_SCHED_NAME => scheduler = text_of(value),
                IPVS_SVC_ATTR_FLAGS => bits = value.get(..4).and_then(u32_of),
                IPVS_SVC_ATTR_TIMEOUT => timeout = u32_of(value),
                IPVS_SVC_ATTR_NETMASK => netmask = value.first_chunk::<4>().copied(),
                IPVS_SVC_ATTR_PE_NAME => engine = text_of(value),
                _ => {} // Statistics and what later kernels add.
            }
        }
        let service = || {
            let ipv6 = af? == AF_INET6;
            let id = match mark {
                Some(mark) => ServiceId::Fwmark { mark, ipv6 },
                None => ServiceId::Address {
                    addr: SocketAddr::new(addr_of(addr?, ipv6), port?),
                    protocol: u8::try_from(protocol?).ok()?,
                },
            };
            let bits = bits?;
            let granularity = if ipv6 {
                Granularity::V6(u8::try_from(u32::from_ne_bytes(netmask?)).ok()?)
            } else {
                Granularity::V4(netmask?.into())
            };
            Some(Self {
                id,
                scheduler: scheduler?,
                flags: bits & !(SVC_F_PERSISTENT | SVC_F_HASHED),
                persistence: (bits & SVC_F_PERSISTENT != 0).then_some(Persistence {
                    timeout: timeout?,
                    granularity,
                    engine,
                }),
            })
        };
        service().ok_or(GenlError::Malformed("service"))
    }
}

/// `struct ip_vs_flags`: values, and a mask that says that all of them count.
fn flags(bits: u32) -> [u8; 8] {
    let mut octets = [0xff; 8];
    octets[..4].copy_from_slice(&bits.to_ne_bytes());
    octets
}

fn text_of(value: &[u8]) -> Option<String> {
    let text = value.split(|&octet| octet == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}
