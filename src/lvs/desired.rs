//! What the kernel should hold for one virtual server, as a function of its configuration and its state.
//!
//! Pure, and the only place that decides it: a check result, a reload and a stop all end here. Source:
//! keepalived.conf(5).

use std::net::SocketAddr;
use std::time::Duration;

use super::service::Service;
use crate::model::lvs::{Method, Scheduler, ServiceKey};

/// One service of the kernel with everything in it that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) key: ServiceKey,
    pub(crate) scheduler: Scheduler,
    /// Whole seconds; `None`: off.
    pub(crate) persistence: Option<Duration>,
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

/// Every service that the virtual server needs.
pub(crate) fn desired(service: &Service) -> Vec<Wanted> {
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
            addr: rs.addr,
            method: rs.method,
            weight: if serves { rs.weight } else { 0 },
            uthreshold: rs.uthreshold,
            lthreshold: rs.lthreshold,
        });
    }
    if let Some(sorry) = &cfg.sorry_server {
        let doubles = cfg.real_servers.iter().any(|rs| rs.addr == sorry.addr);
        if serving_sorry.is_some() || (sorry.inhibit && !doubles) {
            dests.push(WantedDest {
                addr: sorry.addr,
                method: sorry.method,
                weight: u32::from(serving_sorry.is_some()),
                uthreshold: 0,
                lthreshold: 0,
            });
        }
    }
    let real = cfg.real_servers.iter().map(|rs| rs.addr);
    let sorry = cfg.sorry_server.iter().map(|s| s.addr);
    vec![Wanted {
        key: cfg.key,
        scheduler: cfg.scheduler,
        persistence: cfg.persistence,
        dests,
        configured: real.chain(sorry).collect(),
    }]
}
