//! From the words of the configuration to those of the kernel.

use crate::lvs::desired::{Front, Wanted, WantedDest};
use crate::model::lvs::{Granularity, Method, Transport, Tunnel, TunnelChecksum};
use crate::model::net::Family;
use crate::sys::ipvs::dest::{self, Dest, Forward};
use crate::sys::ipvs::service::{self, Persistence, Service, ServiceId};

/// `IP_VS_SVC_F_ONEPACKET`, `_SCHED1` to `_SCHED3`.
const ONE_PACKET: u32 = 4;
const SCHED: [u32; 3] = [8, 0x10, 0x20];

pub(super) fn service_id(front: &Front) -> ServiceId {
    match *front {
        Front::At(addr, transport) => ServiceId::Address {
            addr,
            protocol: transport.map_or(0, |t| t as u8),
        },
        Front::Fwmark { mark, family } => ServiceId::Fwmark {
            mark,
            ipv6: family == Family::V6,
        },
    }
}

/// `None`: no virtual server asks for it.
pub(super) fn front(id: &ServiceId) -> Option<Front> {
    let transports = [Transport::Tcp, Transport::Udp, Transport::Sctp];
    Some(match *id {
        ServiceId::Address { addr, protocol } => {
            let transport = transports.into_iter().find(|t| *t as u8 == protocol);
            Front::At(addr, Some(transport?))
        }
        ServiceId::Fwmark { mark, ipv6 } => Front::Fwmark {
            mark,
            family: if ipv6 { Family::V6 } else { Family::V4 },
        },
    })
}

pub(super) fn service(wanted: &Wanted) -> Service {
    let id = service_id(&wanted.front);
    let flags = wanted.flags;
    let scheduling = [flags.first, flags.second, flags.third].into_iter();
    let bits = scheduling.zip(SCHED).filter(|(on, _)| *on);
    let ops = if wanted.ops { ONE_PACKET } else { 0 };
    Service {
        id,
        scheduler: wanted.scheduler.word().to_owned(),
        flags: bits.fold(ops, |all, (_, bit)| all | bit),
        persistence: wanted.persistence.as_ref().map(|p| Persistence {
            timeout: u32::try_from(p.timeout.as_secs()).unwrap_or(u32::MAX),
            granularity: match (p.granularity, id.is_ipv6()) {
                (Some(Granularity::V4(mask)), false) => service::Granularity::V4(mask),
                (Some(Granularity::V6(len)), true) => service::Granularity::V6(len),
                (_, ipv6) => service::Granularity::host(ipv6),
            },
            engine: p.engine.as_deref().map(str::to_owned),
        }),
    }
}

pub(super) fn dest(wanted: &WantedDest) -> Dest {
    Dest {
        addr: wanted.addr,
        forward: match wanted.method {
            Method::Nat => Forward::Masquerade,
            Method::Dr => Forward::DirectRoute,
            Method::Tun(kind) => Forward::Tunnel(tunnel(kind)),
        },
        weight: wanted.weight,
        upper_threshold: wanted.uthreshold,
        lower_threshold: wanted.lthreshold,
    }
}

fn tunnel(kind: Tunnel) -> dest::Tunnel {
    let sum = |checksum| match checksum {
        TunnelChecksum::None => dest::TunnelChecksum::None,
        TunnelChecksum::Checksum => dest::TunnelChecksum::Checksum,
        TunnelChecksum::Remote => dest::TunnelChecksum::Remote,
    };
    match kind {
        Tunnel::Ipip => dest::Tunnel::Ipip,
        Tunnel::Gue { port, checksum } => dest::Tunnel::Gue {
            port,
            checksum: sum(checksum),
        },
        Tunnel::Gre { checksum } => dest::Tunnel::Gre {
            checksum: sum(checksum),
        },
    }
}
