//! From the words of the configuration to those of the kernel.

use std::net::SocketAddr;

use crate::lvs::desired::{Wanted, WantedDest};
use crate::model::lvs::{Method, Scheduler, ServiceKey};
use crate::sys::ipvs::dest::{Dest, Forward, Tunnel};
use crate::sys::ipvs::service::{Granularity, Persistence, Service, ServiceId};

pub(super) fn service_id(key: &ServiceKey) -> ServiceId {
    match key {
        ServiceKey::Address {
            addr,
            port,
            transport,
        } => ServiceId::Address {
            addr: SocketAddr::new(*addr, *port),
            protocol: *transport as u8,
        },
    }
}

pub(super) fn service(wanted: &Wanted) -> Service {
    let ipv6 = match &wanted.key {
        ServiceKey::Address { addr, .. } => addr.is_ipv6(),
    };
    Service {
        id: service_id(&wanted.key),
        scheduler: scheduler(wanted.scheduler).to_owned(),
        flags: 0,
        persistence: wanted.persistence.map(|timeout| Persistence {
            timeout: u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX),
            granularity: Granularity::host(ipv6),
            engine: None,
        }),
    }
}

pub(super) fn dest(wanted: &WantedDest) -> Dest {
    Dest {
        addr: wanted.addr,
        forward: match wanted.method {
            Method::Nat => Forward::Masquerade,
            Method::Dr => Forward::DirectRoute,
            Method::Tun => Forward::Tunnel(Tunnel::Ipip),
        },
        weight: wanted.weight,
        upper_threshold: wanted.uthreshold,
        lower_threshold: wanted.lthreshold,
    }
}

/// Names of the scheduler modules.
fn scheduler(scheduler: Scheduler) -> &'static str {
    match scheduler {
        Scheduler::Rr => "rr",
        Scheduler::Wrr => "wrr",
        Scheduler::Lc => "lc",
        Scheduler::Wlc => "wlc",
        Scheduler::Lblc => "lblc",
        Scheduler::Lblcr => "lblcr",
        Scheduler::Dh => "dh",
        Scheduler::Sh => "sh",
        Scheduler::Mh => "mh",
        Scheduler::Sed => "sed",
        Scheduler::Nq => "nq",
        Scheduler::Fo => "fo",
        Scheduler::Ovf => "ovf",
        Scheduler::Twos => "twos",
    }
}
