//! LVS: decides which real servers serve, and keeps the kernel's IPVS table equal to that.
//!
//! The core ([`director`]) is a function of events; it knows no clock, no socket and no kernel. The task carries out
//! its actions: it runs the checks, and makes the kernel's table what [`desired`] says. Sources: keepalived.conf(5),
//! linux/ip_vs.h; behaviour as observed on keepalived 2.2.7 and 2.4.3.

pub(crate) mod checker;
pub(crate) mod desired;
pub(crate) mod director;
pub(crate) mod marks;
pub(crate) mod schedule;
pub(crate) mod service;
mod snapshot;
pub(crate) mod task;
pub(crate) mod verdict;
pub(crate) mod words;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::daemon::bus::Notice;
use crate::model::Config;
use crate::model::lvs::{Checker, ServiceKey, Transport, VirtualServer};
use checker::http::{Judged, Lengths};
use checker::{Check, Down, Good, Local};
use desired::Front;

/// Handle of a running checker, never used twice: its place in the upper half, and in the lower one how many checkers had
/// that place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CheckId(pub(crate) u64);

impl CheckId {
    fn new(place: u32, tenant: u32) -> Self {
        Self(u64::from(place) << 32 | u64::from(tenant))
    }

    fn place(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn tenant(self) -> u32 {
        self.0 as u32
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Time passed.
    Wake,
    /// Before the first configuration: destinations of an earlier run that get no new connections: taken out, or of weight 0.
    Left(HashSet<(Front, SocketAddr)>),
    /// Start or reload.
    Apply(Arc<Config>),
    /// Stop: serve nothing any more.
    Stop,
    /// News for checkers that make no attempts themselves (`FILE_CHECK`, `BFD_CHECK`).
    Told(Told),
    /// An address came to (`up`) or left an interface of this machine: `ha_suspend`.
    Address { addr: IpAddr, up: bool },
    /// An attempt that [`Action::Probe`] asked for is over.
    Probed {
        id: CheckId,
        result: Result<Good, Down>,
    },
}

/// News for checkers that make no attempts themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The number in a `track_file`.
    File { name: Arc<str>, value: i64 },
    /// Whether a BFD session is up.
    Bfd { name: Arc<str>, up: bool },
}

/// What to do about it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make one attempt; answered by [`Event::Probed`].
    Probe(Attempt),
    /// Give the attempt up; nobody waits for its result any more.
    Cancel(CheckId),
    /// Make the kernel hold what `desired` says for this virtual server.
    Converge(ServiceKey),
    /// Tell the daemon (scripts, FIFOs, mail).
    Notice(Notice),
    /// Tell the operator.
    Report(Report),
}

/// One attempt of one checker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) id: CheckId,
    pub(crate) vs: Arc<VirtualServer>,
    /// Index into the virtual server's real servers.
    pub(crate) server: usize,
    /// Index into the real server's checkers.
    pub(crate) check: usize,
    /// Which `url`.
    pub(crate) page: usize,
}

impl Attempt {
    /// What to run. `None` never happens for an attempt that the core has made.
    pub(crate) fn checker(&self) -> Option<&Checker> {
        self.vs
            .real_servers
            .get(self.server)
            .and_then(|rs| rs.checkers.get(self.check))
    }
}

/// What the operator must see; `words` puts it into keepalived's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// About one checker.
    Check {
        rs: Rs,
        check: Box<Check>,
        said: Said,
    },
    /// About one real server.
    Server { rs: Rs, what: ServerChange },
    /// About the quorum.
    Quorum {
        vs: ServiceKey,
        what: QuorumChange,
        sums: Sums,
    },
    /// About the sorry server.
    Sorry { rs: Rs, what: SorryChange },
    /// The alive servers of the virtual server leave the pool, or come back to it.
    AliveServers { vs: ServiceKey, into_pool: Way },
    /// A reload has taken the virtual server away.
    Removed(ServiceKey),
}

/// A real or sorry server, with the virtual server it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rs {
    pub(crate) vs: ServiceKey,
    /// That of the virtual server.
    pub(crate) transport: Option<Transport>,
    pub(crate) addr: SocketAddr,
}

/// What is told about a checker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Its first check is due soon.
    Activating,
    /// `ha_suspend`: at start none of the addresses is here.
    Deactivating,
    /// `ha_suspend`: the last of the addresses has left.
    Suspending,
    /// The first success, or the first one after a failure.
    Success,
    /// A page of a server that is down was good: its index.
    PageGood { page: usize, judged: Judged },
    /// A page is good, and not as long as the server says: its index. Once per difference.
    PageLength { page: usize, lengths: Lengths },
    /// One failure that need not be final (`log_all_failures`).
    AttemptFailed(Down),
    /// The verdict, with the number of retries that were allowed before it; `None`: there was none. `down`: what the last
    /// attempt found; nothing where somebody else has watched.
    Failed {
        retries: Option<u32>,
        down: Option<Down>,
    },
    /// Trouble on this machine, told once: no verdict, another attempt follows.
    Trouble(Local),
}

/// Into the pool, or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// How a server that is out of the pool is kept from serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Not in the kernel's table.
    Removed,
    /// In the table with weight 0 (`inhibit_on_failure`).
    Inhibited,
}

/// What is told about a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerChange {
    Up(Absence),
    Down(Absence),
    /// A reload has taken it away.
    NoLongerExists,
    Weight {
        from: u32,
        to: u32,
        active: Way,
    },
    /// Stop. `Inhibited`: it was down, but still in the table.
    ShuttingDown(Absence),
}

/// What is told about a quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuorumChange {
    Gained,
    Lost,
    /// At start.
    StartingUp,
    /// At start or reload, when the sorry server has to serve.
    StartingDown,
}

/// The numbers of a quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) quorum: u32,
    pub(crate) hysteresis: u32,
    /// Of the weights of the servers that are alive.
    pub(crate) alive: u64,
}

/// What is told about a sorry server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SorryChange {
    Starts(Absence),
    Ends(Absence),
}
