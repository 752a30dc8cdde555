//! `virtual_server` and `real_server`. Source: keepalived.conf(5), linux/ip_vs.h.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::diff::Keyed;
use super::net::Family;
use super::track::NotifyScript;
use crate::lvs::checker::Check;

/// `protocol`, the transport of a virtual server. The discriminant is the IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Transport {
    Tcp = 6,
    Udp = 17,
    Sctp = 132,
}

/// `lvs_method` / `lb_kind`: how packets reach the real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Nat,
    /// Direct routing.
    Dr,
    /// `TUN`, IP in IP.
    Tun,
}

/// `lvs_sched` / `lb_algo`, with the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Lblc,
    Lblcr,
    Dh,
    Sh,
    Mh,
    Sed,
    Nq,
    Fo,
    Ovf,
    Twos,
}

/// What the kernel knows a virtual server by; its identity across reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ServiceKey {
    Address {
        addr: IpAddr,
        port: u16,
        transport: Transport,
    },
}

/// One `virtual_server_group`: addresses and marks that a virtual server may stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerGroup {
    /// Name of the block; unique.
    pub(crate) name: Arc<str>,
    /// In file order, at least one.
    pub(crate) entries: Vec<GroupEntry>,
}

/// One line of a `virtual_server_group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum GroupEntry {
    /// Every address from `first` to `last`, both included, of one family.
    Addresses {
        first: IpAddr,
        last: IpAddr,
        /// 0: none.
        port: u16,
    },
    /// `fwmark`; without a family it has that of the servers.
    Fwmark { mark: u32, family: Option<Family> },
}

/// One `virtual_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtualServer {
    pub(crate) key: ServiceKey,
    /// Default wlc.
    pub(crate) scheduler: Scheduler,
    /// `persistence_timeout`: how long a client stays with its real server, 1..=2678400 s; `None`: off.
    pub(crate) persistence: Option<Duration>,
    /// `quorum`: sum of weights that makes the service available, ≥ 1, default 1.
    pub(crate) quorum: u32,
    /// `hysteresis`, default 0, below `quorum`.
    pub(crate) hysteresis: u32,
    /// `alpha`: real servers are down until their first success.
    pub(crate) alpha: bool,
    /// `omega`: notify downs on stop.
    pub(crate) omega: bool,
    /// `real_server`, in file order; addresses are unique.
    pub(crate) real_servers: Vec<RealServer>,
    /// `sorry_server`: used while the quorum is lost.
    pub(crate) sorry_server: Option<SorryServer>,
    /// `quorum_up`, `quorum_down`, `smtp_alert` (default off).
    pub(crate) hooks: Hooks,
}

/// Who hears of the ups and downs of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hooks {
    pub(crate) up: Option<Arc<NotifyScript>>,
    pub(crate) down: Option<Arc<NotifyScript>>,
    /// `smtp_alert`, default `smtp_alert_checker`, else the global `smtp_alert`, else by the kind of server.
    pub(crate) mail: bool,
}

impl Keyed for VirtualServer {
    type Key = ServiceKey;

    fn key(&self) -> ServiceKey {
        self.key
    }
}

/// `sorry_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SorryServer {
    pub(crate) addr: SocketAddr,
    pub(crate) method: Method,
    /// `sorry_server_inhibit`: weight 0 instead of removal.
    pub(crate) inhibit: bool,
}

/// One `real_server`; its address is its identity within the virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RealServer {
    pub(crate) addr: SocketAddr,
    /// `weight`, 0..=2147483647, default 1.
    pub(crate) weight: u32,
    pub(crate) method: Method,
    /// `inhibit_on_failure`: weight 0 instead of removal.
    pub(crate) inhibit_on_failure: bool,
    /// Upper and lower connection thresholds, default 0 = none.
    pub(crate) uthreshold: u32,
    pub(crate) lthreshold: u32,
    pub(crate) checkers: Vec<Checker>,
    /// `notify_up`, `notify_down`, `smtp_alert` (default on).
    pub(crate) hooks: Hooks,
}

impl Keyed for RealServer {
    type Key = SocketAddr;

    fn key(&self) -> SocketAddr {
        self.addr
    }
}

/// One checker of a real server: timing here, what to do in [`Check`]. All inheritance is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checker {
    pub(crate) check: Check,
    /// `delay_loop`: from the end of a check to the next one, > 0, default 60 s.
    pub(crate) delay_loop: Duration,
    /// `connect_timeout`, default 5 s.
    pub(crate) connect_timeout: Duration,
    /// `retry`: failures in a row that are forgiven.
    pub(crate) retry: u32,
    /// `delay_before_retry`.
    pub(crate) delay_before_retry: Duration,
    /// `warmup`: the first check comes 1 s + a random part of this after start, default `delay_loop`.
    pub(crate) warmup: Duration,
    /// `alpha`.
    pub(crate) alpha: bool,
    /// `log_all_failures`.
    pub(crate) log_all_failures: bool,
}
