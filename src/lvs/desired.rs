//! What the kernel should hold for one virtual server, as a function of its configuration and its state.
//!
//! Pure, and the only place that decides it: a check result, a reload and a stop all end here. Source:
//! keepalived.conf(5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::service::Service;
use crate::model::lvs::{
    Listen, Method, Persistence, Scheduler, SchedulerFlags, Transport, VirtualServer,
};
use crate::model::net::Family;

/// What clients talk to: one service of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Front {
    /// Port 0: every port.
    At(SocketAddr, Option<Transport>),
    Fwmark {
        mark: u32,
        family: Family,
    },
}

impl Front {
    /// Where packets for a server with that address and method go: only NAT can change the port.
    pub(super) fn dest(self, server: SocketAddr, method: Method) -> SocketAddr {
        let own = match self {
            Self::At(at, _) => at.port(),
            Self::Fwmark { .. } => 0,
        };
        match (method, server.port()) {
            (Method::Nat, 1..) => server,
            (Method::Nat | Method::Dr | Method::Tun(_), _) => SocketAddr::new(server.ip(), own),
        }
    }
}

/// Every service that a virtual server stands for, in the order in which they are made. `mark`: what the firewall marks all
/// its addresses with, one service for each family then.
fn fronts(cfg: &VirtualServer, mark: Option<u32>) -> Vec<Front> {
    let Some(mark) = mark else {
        return one_by_one(cfg).collect();
    };
    let listens = |family: Family| {
        cfg.listen.iter().any(|l| match *l {
            Listen::Addresses { first, .. } => first.is_ipv4() == (family == Family::V4),
            Listen::Fwmark { family: of, .. } => of == family,
        })
    };
    let families = [Family::V4, Family::V6].into_iter().filter(|f| listens(*f));
    families
        .map(|family| Front::Fwmark { mark, family })
        .collect()
}

pub(super) fn one_by_one(cfg: &VirtualServer) -> impl Iterator<Item = Front> + '_ {
    cfg.listen.iter().flat_map(move |listen| {
        let (first, count) = match *listen {
            Listen::Addresses { first, last, .. } => (first, number(last) - number(first)),
            Listen::Fwmark { .. } => (Ipv4Addr::UNSPECIFIED.into(), 0),
        };
        (0..=count).map(move |n| match *listen {
            Listen::Addresses { port, .. } => {
                Front::At(SocketAddr::new(nth(first, n), port), cfg.transport)
            }
            Listen::Fwmark { mark, family } => Front::Fwmark { mark, family },
        })
    })
}

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The address that many behind `first`, which is there.
fn nth(first: IpAddr, n: u128) -> IpAddr {
    match first {
        IpAddr::V4(v4) => {
            let n = u32::try_from(n).unwrap_or(u32::MAX);
            Ipv4Addr::from(u32::from(v4).saturating_add(n)).into()
        }
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6).saturating_add(n)).into(),
    }
}

/// One service of the kernel with everything in it that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) front: Front,
    pub(crate) scheduler: Scheduler,
    pub(crate) flags: SchedulerFlags,
    pub(crate) ops: bool,
    /// `None`: off.
    pub(crate) persistence: Option<Persistence>,
    /// Those that are to be in the table now, addresses unique.
    pub(crate) dests: Vec<WantedDest>,
    /// All that the configuration names, in the table or not: what is ours if it is found there.
    pub(crate) configured: Vec<SocketAddr>,
}

/// One destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WantedDest {
    pub(crate) addr: SocketAddr,
    pub(crate) method: Method,
    /// 0: in the table, but gets nothing new.
    pub(crate) weight: u32,
    pub(crate) uthreshold: u32,
    pub(crate) lthreshold: u32,
}

/// Every service that the virtual server needs. `mark`: see [`super::marks`].
pub(crate) fn desired(service: &Service, mark: Option<u32>) -> Vec<Wanted> {
    let cfg = service.cfg();
    fronts(cfg, mark)
        .into_iter()
        .map(|front| Wanted {
            front,
            scheduler: cfg.scheduler,
            flags: cfg.flags,
            ops: cfg.ops,
            persistence: cfg.persistence.clone(),
            dests: dests(service, front),
            configured: configured(cfg, front),
        })
        .collect()
}

/// The names of all that the virtual server may have in the kernel: every service with all its destinations.
pub(crate) fn names(
    cfg: &VirtualServer,
    mark: Option<u32>,
) -> impl Iterator<Item = (Front, Vec<SocketAddr>)> {
    let fronts = fronts(cfg, mark).into_iter();
    fronts.map(|front| (front, configured(cfg, front)))
}

fn configured(cfg: &VirtualServer, front: Front) -> Vec<SocketAddr> {
    let real = cfg.real_servers.iter().map(|rs| (rs.addr, rs.method));
    let sorry = cfg.sorry_server.iter().map(|s| (s.addr, s.method));
    real.chain(sorry)
        .map(|(addr, method)| front.dest(addr, method))
        .collect()
}

fn dests(service: &Service, front: Front) -> Vec<WantedDest> {
    let cfg = service.cfg();
    let serving_sorry = service.sorry_serves();
    let mut dests: Vec<WantedDest> = Vec::with_capacity(cfg.real_servers.len() + 1);
    for (n, rs) in cfg.real_servers.iter().enumerate() {
        let serves = service.is_alive(n) && serving_sorry.is_none();
        let stands_in = serving_sorry.is_some_and(|sorry| sorry.addr == rs.addr);
        if stands_in || !(serves || rs.inhibit_on_failure) {
            continue;
        }
        dests.push(WantedDest {
            addr: front.dest(rs.addr, rs.method),
            method: rs.method,
            weight: if serves { service.weight(n) } else { 0 },
            uthreshold: rs.uthreshold,
            lthreshold: rs.lthreshold,
        });
    }
    if let Some(sorry) = &cfg.sorry_server {
        let doubles = cfg.real_servers.iter().any(|rs| rs.addr == sorry.addr);
        if serving_sorry.is_some() || (sorry.inhibit && !doubles) {
            dests.push(WantedDest {
                addr: front.dest(sorry.addr, sorry.method),
                method: sorry.method,
                weight: u32::from(serving_sorry.is_some()),
                uthreshold: 0,
                lthreshold: 0,
            });
        }
    }
    dests
}
