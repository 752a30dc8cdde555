//! `virtual_server`, `real_server`, `virtual_server_group`, `SSL`. Source: keepalived.conf(5), linux/ip_vs.h.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::diff::Keyed;
use super::few::Few;
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

/// What is done about checksums of a tunnel's outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TunnelChecksum {
    /// `nocsum`, the default.
    None,
    /// `csum`.
    Checksum,
    /// `remcsum`: remote checksum offload.
    Remote,
}

/// `type`: how a packet is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tunnel {
    /// The default.
    Ipip,
    Gue {
        /// UDP port, never 0.
        port: u16,
        checksum: TunnelChecksum,
    },
    /// Never with [`TunnelChecksum::Remote`].
    Gre { checksum: TunnelChecksum },
}

/// `lvs_method` / `lb_kind`: how packets reach the real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Nat,
    /// Direct routing.
    Dr,
    Tun(Tunnel),
}

impl Method {
    /// Whether the real server may be of another family than the virtual one.
    pub(crate) fn is_tunnel(self) -> bool {
        match self {
            Self::Tun(_) => true,
            Self::Nat | Self::Dr => false,
        }
    }
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

/// What a scheduler makes of its flags: `IP_VS_SVC_F_SCHED1` to `3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SchedulerFlags {
    /// `flag-1`, `sh-fallback`, `mh-fallback`.
    pub(crate) first: bool,
    /// `flag-2`, `sh-port`, `mh-port`.
    pub(crate) second: bool,
    /// `flag-3`.
    pub(crate) third: bool,
}

/// `persistence_granularity`: how many clients count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Granularity {
    /// A netmask.
    V4(Ipv4Addr),
    /// A prefix length, 1..=128.
    V6(u8),
}

/// Clients stay with their real server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Persistence {
    /// `persistence_timeout`, 1..=2678400 s, default 360 s.
    pub(crate) timeout: Duration,
    /// Default: every address for itself.
    pub(crate) granularity: Option<Granularity>,
    /// `persistence_engine`, at most 15 octets.
    pub(crate) engine: Option<Arc<str>>,
}

/// What a virtual server is known by; its identity across reloads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ServiceKey {
    Address {
        addr: IpAddr,
        /// 0: every port.
        port: u16,
        transport: Transport,
    },
    /// `mark` is never 0.
    Fwmark { mark: u32, family: Family },
    /// `number`: which one of those that use the group, from 0.
    Group { name: Arc<str>, number: u32 },
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

/// What a virtual server listens to: the kernel has a service for each address and each mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Listen {
    /// Every address from `first` to `last`, both included, of one family; at most [`MOST_ADDRESSES`].
    Addresses {
        first: IpAddr,
        last: IpAddr,
        /// 0: every port; only with persistence.
        port: u16,
    },
    /// `mark` is never 0.
    Fwmark { mark: u32, family: Family },
}

/// The largest range of a group that is made into services.
pub(crate) const MOST_ADDRESSES: u128 = 1 << 16;

/// One `virtual_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtualServer {
    pub(crate) key: ServiceKey,
    /// In the order of the group: addresses first, then marks. At least one.
    pub(crate) listen: Vec<Listen>,
    /// `None`: nothing but marks, or a group without `protocol`.
    pub(crate) transport: Option<Transport>,
    /// Default wlc.
    pub(crate) scheduler: Scheduler,
    pub(crate) flags: SchedulerFlags,
    /// `ops`: every packet is scheduled for itself; only UDP and marks.
    pub(crate) ops: bool,
    /// Default off.
    pub(crate) persistence: Option<Persistence>,
    /// `ha_suspend`: checks pause while none of its addresses is on this machine.
    pub(crate) ha_suspend: bool,
    /// `quorum`: sum of weights that makes the service available, ≥ 1, default 1.
    pub(crate) quorum: u32,
    /// `hysteresis`, default 0, below `quorum`.
    pub(crate) hysteresis: u32,
    /// `alpha`: real servers are down until their first success.
    pub(crate) alpha: bool,
    /// `omega`: notify downs on stop.
    pub(crate) omega: bool,
    /// `virtualhost`, default none.
    pub(crate) virtualhost: Option<Arc<str>>,
    /// `snmp_name`, default none.
    pub(crate) snmp_name: Option<Arc<str>>,
    /// `real_server`, in file order; addresses are unique.
    pub(crate) real_servers: Vec<RealServer>,
    /// `sorry_server`: used while the quorum is lost.
    pub(crate) sorry_server: Option<SorryServer>,
    /// `quorum_up`, `quorum_down`, `smtp_alert` (default off).
    pub(crate) hooks: Hooks,
}

/// Who hears of the ups and downs of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Hooks {
    pub(crate) up: Option<Arc<NotifyScript>>,
    pub(crate) down: Option<Arc<NotifyScript>>,
    /// `smtp_alert`, default `smtp_alert_checker`, else the global `smtp_alert`, else by the kind of server.
    pub(crate) mail: bool,
}

impl Keyed for VirtualServer {
    type Key = ServiceKey;

    fn key(&self) -> ServiceKey {
        self.key.clone()
    }
}

/// `sorry_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SorryServer {
    /// Port 0: that of the service.
    pub(crate) addr: SocketAddr,
    pub(crate) method: Method,
    /// `sorry_server_inhibit`: weight 0 instead of removal.
    pub(crate) inhibit: bool,
}

/// One `real_server`; its address is its identity within the virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RealServer {
    /// Port 0: that of the service.
    pub(crate) addr: SocketAddr,
    /// `weight`, 0..=2147483647, default 1.
    pub(crate) weight: u32,
    /// Shared by all real servers that have the same: there may be hundreds of thousands.
    pub(crate) terms: Arc<RealTerms>,
    pub(crate) checkers: Few<Checker>,
}

impl Deref for RealServer {
    type Target = RealTerms;

    fn deref(&self) -> &RealTerms {
        &self.terms
    }
}

/// Terms of its own, for tests that want others.
#[cfg(test)]
impl std::ops::DerefMut for RealServer {
    fn deref_mut(&mut self) -> &mut RealTerms {
        Arc::make_mut(&mut self.terms)
    }
}

/// What a real server has in common with others: everything but its name, its weight and its checkers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RealTerms {
    pub(crate) method: Method,
    /// `inhibit_on_failure`: weight 0 instead of removal.
    pub(crate) inhibit_on_failure: bool,
    /// Upper and lower connection thresholds, default 0 = none; the lower one is not above the upper one.
    pub(crate) uthreshold: u32,
    pub(crate) lthreshold: u32,
    /// `virtualhost`, default that of the virtual server.
    pub(crate) virtualhost: Option<Arc<str>>,
    /// `snmp_name`, default none.
    pub(crate) snmp_name: Option<Arc<str>>,
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
    /// Shared by all checkers that are timed alike: there may be hundreds of thousands.
    pub(crate) timing: Arc<Timing>,
}

impl Deref for Checker {
    type Target = Timing;

    fn deref(&self) -> &Timing {
        &self.timing
    }
}

/// Timing of its own, for tests that want another one.
#[cfg(test)]
impl std::ops::DerefMut for Checker {
    fn deref_mut(&mut self) -> &mut Timing {
        Arc::make_mut(&mut self.timing)
    }
}

/// When a checker tries, and how soon it believes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Timing {
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
    /// `log_all_failures`, default `checker_log_all_failures`.
    pub(crate) log_all_failures: bool,
}
