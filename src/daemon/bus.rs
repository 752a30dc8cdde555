//! Every message between the tasks, and the capacity of every channel.
//!
//! All channels are bounded. The VRRP task never waits for a receiver: what it cannot send now it keeps, latest state
//! per object, and offers again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::Config;
use crate::model::lvs::VirtualServer;
use crate::model::track::NotifyScript;
use crate::model::vrrp::{Instance, SyncGroup};
use crate::time::Mono;
use crate::track::command::Outcome;
use crate::vrrp::{FaultCause, Socket};
use crate::wire::arp::Mac;

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
    /// Answer, to show that the task still turns.
    Alive(oneshot::Sender<()>),
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
    /// How every script, file and kind of process is, for the dump files.
    Snapshot(oneshot::Sender<TrackSnapshot>),
    /// Answer, to show that the task still turns.
    Alive(oneshot::Sender<()>),
    /// End running scripts, then the task.
    Stop { done: oneshot::Sender<()> },
}

/// Run-time values of trackers for dumps, each by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrackSnapshot {
    pub(crate) scripts: BTreeMap<Arc<str>, ScriptSnapshot>,
    /// The number in the file.
    pub(crate) files: BTreeMap<Arc<str>, i32>,
    pub(crate) processes: BTreeMap<Arc<str>, ProcessSnapshot>,
}

/// A `vrrp_script` that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptSnapshot {
    /// `None` before the first result.
    pub(crate) good: Option<bool>,
    /// keepalived's counter, 0..rise + fall: good from `rise` on.
    pub(crate) result: u32,
    pub(crate) run: RunState,
    /// The last run that has ended.
    pub(crate) last: Option<LastRun>,
    /// Runs that do not end even by SIGKILL.
    pub(crate) stuck: usize,
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastRun {
    pub(crate) outcome: Outcome,
    /// From start to end.
    pub(crate) took: Duration,
    /// Its last line of output.
    pub(crate) said: Option<Arc<str>>,
}

/// What a script is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunState {
    Idle,
    Running,
    /// SIGTERM was sent.
    Terminated,
    /// SIGKILL was sent.
    Killed,
}

/// A `vrrp_track_process`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessSnapshot {
    /// Processes of that kind.
    pub(crate) count: usize,
    /// The verdict in force; `None` before the first count.
    pub(crate) good: Option<bool>,
    /// The contrary is about to be said.
    pub(crate) delayed: bool,
}

/// An address of ours that somebody else answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) instance: Arc<str>,
    pub(crate) addr: IpAddr,
    pub(crate) mac: Mac,
}

/// What the daemon asks of the LVS task.
#[derive(Debug)]
pub(crate) enum LvsCommand {
    /// Start or reload.
    Apply {
        config: Arc<Config>,
        done: oneshot::Sender<()>,
    },
    /// Every virtual server as it stands, for the dump files.
    Snapshot(oneshot::Sender<Vec<ServiceSnapshot>>),
    /// Answer, to show that the task still turns.
    Alive(oneshot::Sender<()>),
    /// Remove services and destinations, then end.
    Stop {
        release: Release,
        done: oneshot::Sender<()>,
    },
}

/// Run-time values of one virtual server for dumps.
#[derive(Clone, Debug)]
pub(crate) struct ServiceSnapshot {
    pub(crate) vs: Arc<VirtualServer>,
    pub(crate) quorum_met: bool,
    /// Its real servers, in file order.
    pub(crate) servers: Vec<ServerSnapshot>,
}

/// Run-time values of one real server.
#[derive(Clone, Debug)]
pub(crate) struct ServerSnapshot {
    pub(crate) alive: bool,
    /// The one in force.
    pub(crate) weight: u32,
    /// Wanted in the kernel's table.
    pub(crate) in_table: bool,
    /// Its checkers, in file order.
    pub(crate) checks: Vec<CheckSnapshot>,
}

/// Run-time values of one checker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckSnapshot {
    /// False while `ha_suspend` holds it.
    pub(crate) enabled: bool,
    pub(crate) up: bool,
    /// There has been a result.
    pub(crate) ran: bool,
    /// Failures in a row that were forgiven.
    pub(crate) tries: u32,
}

/// Track task → VRRP task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TrackerUpdate {
    /// The verdict on a `vrrp_script` changed, or its first one is here.
    Script { name: Arc<str>, good: bool },
    /// The number in a `track_file`, and each change of it. 0 for a file that is missing, empty or no number.
    File { name: Arc<str>, value: i32 },
    /// Whether a `vrrp_track_process` has its quorum: the first verdict and changes.
    Process { name: Arc<str>, good: bool },
    /// Whether the session of a `bfd_instance` is up. Down until the first word.
    #[cfg_attr(not(test), expect(dead_code, reason = "not sent yet"))]
    Bfd { name: Arc<str>, up: bool },
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
    /// An instance entered a state. [`VrrpState::Deleted`]: it left the configuration, which without `notify_deleted` is
    /// told as FAULT.
    Instance {
        instance: Arc<Instance>,
        state: VrrpState,
        /// The effective one.
        priority: u8,
    },
    Group {
        group: Arc<SyncGroup>,
        state: VrrpState,
    },
    /// A master heard an advertisement of lower priority: `notify_master_rx_lower_pri`, and a line for FIFOs.
    LowerPriorityHeard {
        instance: Arc<Instance>,
        /// Our own, the effective one.
        priority: u8,
    },
    /// A tracker changed the effective priority of a MASTER or BACKUP: a line for FIFOs, with
    /// `notify_priority_changes`. Not sent for a priority that a reload has changed.
    PriorityChanged {
        instance: Arc<Instance>,
        state: VrrpState,
        priority: u8,
    },
    /// A real server came up or went down: `notify_up`, `notify_down`, and a line for FIFOs. Scripts of one real server
    /// keep their order.
    RealServer {
        /// Both as in messages: `[ADDR]:PROTO:PORT`.
        vs: Arc<str>,
        rs: Arc<str>,
        up: bool,
        script: Option<Arc<NotifyScript>>,
    },
    /// A virtual server gained or lost its quorum: `quorum_up`, `quorum_down`, and a line for FIFOs.
    VirtualServer {
        /// As in messages: `[ADDR]:PROTO:PORT`, `FWM MARK`, `[GROUP]:0`.
        vs: Arc<str>,
        up: bool,
        script: Option<Arc<NotifyScript>>,
    },
    /// A mail about a real server, or without `rs` about the quorum. Sent only where `smtp_alert` asks for it.
    ServerMail {
        vs: Arc<str>,
        rs: Option<Arc<str>>,
        up: bool,
        /// What stands between `=> ` and ` <=`, such as `TCP CHECK failed on service`.
        text: Arc<str>,
    },
}

/// Run-time values of one instance for dumps.
#[derive(Clone, Debug)]
pub(crate) struct InstanceSnapshot {
    pub(crate) instance: Arc<Instance>,
    pub(crate) state: VrrpState,
    pub(crate) effective_priority: u8,
    pub(crate) counters: crate::vrrp::Counters,
    /// When it entered the state; `None`: it never entered one.
    pub(crate) since: Option<Mono>,
    /// The master that a backup obeys.
    pub(crate) master: Option<MasterSeen>,
    /// When the master counts as dead, or our next advertisement is due.
    pub(crate) read_until: Option<Mono>,
    /// RFC 9568 Active_Down_Interval, by the interval in force.
    pub(crate) master_down: Duration,
    pub(crate) last_sent_at: Option<Mono>,
    /// Where its advertisements come from.
    pub(crate) source: Option<IpAddr>,
    /// What it hears with.
    pub(crate) socket: Option<Socket>,
    /// Descriptors that it hears and speaks with.
    pub(crate) fds: Option<(i32, i32)>,
    /// Why it cannot run.
    pub(crate) causes: Vec<FaultCause>,
}

/// The master as a backup sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MasterSeen {
    pub(crate) addr: IpAddr,
    /// In its last advertisement.
    pub(crate) priority: u8,
    /// Between its advertisements.
    pub(crate) interval: Duration,
}
