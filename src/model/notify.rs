//! Notifications of the whole daemon: FIFOs, the scripts of start and stop. Source: keepalived.conf(5).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::track::NotifyScript;

/// What `global_defs` says about notifications other than mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GlobalNotify {
    /// `notify_fifo`: told everything.
    pub(crate) fifo: Option<Fifo>,
    /// `vrrp_notify_fifo`: told of instances and groups.
    pub(crate) vrrp_fifo: Option<Fifo>,
    /// `lvs_notify_fifo`: told of virtual and real servers.
    pub(crate) lvs_fifo: Option<Fifo>,
    /// `vrrp_notify_priority_changes`: what instances start from.
    pub(crate) priority_changes: bool,
    /// `fifo_write_vrrp_states_on_reload`: after a reload unchanged states are told once more.
    pub(crate) states_on_reload: bool,
    /// `startup_script`: before anything else is done.
    pub(crate) startup: Option<Lifecycle>,
    /// `shutdown_script`: after everything else.
    pub(crate) shutdown: Option<Lifecycle>,
}

/// One `*notify_fifo` with its `*notify_fifo_script`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fifo {
    pub(crate) path: PathBuf,
    /// User and group that it is given to; `None`: it stays the daemon's.
    pub(crate) owner: Option<(u32, u32)>,
    /// Runs beside the daemon and is given the path after its own arguments.
    pub(crate) script: Option<Arc<NotifyScript>>,
}

/// `startup_script` or `shutdown_script`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lifecycle {
    pub(crate) script: Arc<NotifyScript>,
    /// `*_script_timeout`, 1..=1000 s, default 10 s.
    pub(crate) timeout: Duration,
}
