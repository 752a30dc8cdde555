//! Every message between the tasks, and the capacity of every channel.
//!
//! All channels are bounded. The VRRP task never waits for a receiver: what it cannot send now it keeps, latest state
//! per object, and offers again.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::model::Config;
use crate::model::lvs::{ServiceKey, VirtualServer};
use crate::model::vrrp::{Instance, SyncGroup};

/// Commands to a task: one per reload or signal, sent by the daemon, which waits.
pub(crate) const COMMANDS: usize = 16;
/// Tracker verdicts on their way to the VRRP task: a burst of every script of a large configuration.
pub(crate) const TRACKER_UPDATES: usize = 4096;
/// Instance states on their way to the LVS task: a burst of every instance of a large configuration.
pub(crate) const VRRP_UPDATES: usize = 4096;
/// Notices on their way to the daemon: several transitions of every instance of a large configuration.
pub(crate) const NOTICES: usize = 16384;

/// What the daemon asks of the VRRP task.
#[derive(Debug)]
pub(crate) enum VrrpCommand {
    /// Start or reload: run this configuration from now on. `done` is answered once it is in force.
    Apply {
        config: Arc<Config>,
        done: oneshot::Sender<()>,
    },
    /// Resign, withdraw everything, end. `done` is answered when the kernel holds nothing of ours.
    Stop {
        release: Release,
        done: oneshot::Sender<()>,
    },
    /// The state of every instance, for the dump files.
    Snapshot(oneshot::Sender<Vec<InstanceSnapshot>>),
    /// Zero the counters (after a snapshot was taken).
    ClearStats,
}

/// What is left behind on stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Priority 0 is sent, addresses are removed.
    All,
    /// `--dont-release-vrrp` / `--dont-release-ipvs`: everything stays, silently.
    Nothing,
}

/// What the daemon asks of the track task.
#[derive(Debug)]
pub(crate) enum TrackCommand {
    /// Start or reload.
    Apply {
        config: Arc<Config>,
        done: oneshot::Sender<()>,
    },
    /// End running scripts, then the task.
    Stop { done: oneshot::Sender<()> },
}

/// What the daemon asks of the LVS task.
#[derive(Debug)]
pub(crate) enum LvsCommand {
    /// Start or reload.
    Apply {
        config: Arc<Config>,
        done: oneshot::Sender<()>,
    },
    /// Remove services and destinations, then end.
    Stop {
        release: Release,
        done: oneshot::Sender<()>,
    },
}

/// Track task → VRRP task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TrackerUpdate {
    /// The verdict on a `vrrp_script` changed, or its first one is here.
    Script { name: Arc<str>, good: bool },
}

/// VRRP task → LVS task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VrrpUpdate {
    /// An instance entered a state.
    Instance { name: Arc<str>, state: VrrpState },
    /// An address appeared on (`up`) or left an interface of this machine.
    Address { addr: IpAddr, up: bool },
}

/// The states of an instance or a group as scripts, FIFOs and mails name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum VrrpState {
    /// RFC 9568 Active.
    Master,
    Backup,
    Fault,
    /// The daemon ends.
    Stop,
    /// The instance left the configuration.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "notify_deleted has no effect yet")
    )]
    Deleted,
}

impl VrrpState {
    /// The word scripts are called with.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
        }
    }
}

/// Every task → daemon: what happened, for scripts, FIFOs, mail. In the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Instance {
        instance: Arc<Instance>,
        state: VrrpState,
        priority: u8,
    },
    Group {
        group: Arc<SyncGroup>,
        state: VrrpState,
    },
    RealServer {
        vs: Arc<VirtualServer>,
        rs: std::net::SocketAddr,
        up: bool,
    },
    VirtualServer {
        vs: ServiceKey,
        up: bool,
    },
}

/// Run-time values of one instance for dumps.
#[derive(Clone, Debug)]
pub(crate) struct InstanceSnapshot {
    pub(crate) instance: Arc<Instance>,
    pub(crate) state: VrrpState,
    pub(crate) effective_priority: u8,
    pub(crate) counters: crate::vrrp::Counters,
}
