//! What the process looks like to the machine: the name of its main thread, and how that is scheduled.
//!
//! keepalived has a process for each part; here the checkers live on the main thread and VRRP on one of its own, which
//! takes care of itself. So `checker_*` arranges the main thread, and `bfd_*` nothing. Source: keepalived.conf(5).

use std::sync::Arc;

use crate::model::process::{Process, Scheduling};
use crate::sys::schedule::{self, Plan};

/// What of it is in force.
#[derive(Debug, Default)]
pub(super) struct Place {
    plan: Plan,
    name: Option<Arc<str>>,
    /// The operator was told what cannot be.
    told: bool,
}

impl Place {
    /// To be called on the main thread.
    pub(super) fn apply(&mut self, process: &Process) {
        let wanted = process.names.main.clone();
        if wanted != self.name {
            let name = wanted.as_deref().unwrap_or("keepalived");
            // The first thread's name is the process's, which ps, pgrep and killall go by.
            if let Err(e) = std::fs::write("/proc/self/comm", name) {
                tracing::warn!(reason = %e, "Unable to change the name of the process");
            }
            self.name = wanted;
        }
        let plan = plan(&process.checker);
        for (what, err) in schedule::apply(&self.plan, &plan) {
            tracing::warn!(%err, "cannot set the {what} of the health checkers' thread");
        }
        self.plan = plan;
        if !std::mem::replace(&mut self.told, true) {
            tell(process);
        }
    }
}

/// Keywords that another arrangement of processes leaves without an object.
fn tell(process: &Process) {
    let names = &process.names;
    if names.checker.is_some() || names.bfd.is_some() {
        tracing::info!(
            "The health checkers and BFD are part of the one process, which has the name of process_name"
        );
    }
    if process.checker.rt_priority.is_some() {
        tracing::warn!(
            "checker_rt_priority: the health checkers share their thread with scripts' ends and signals, \
             which must not starve the machine; they stay ordinary"
        );
    }
    if process.bfd != Scheduling::default() {
        tracing::warn!(
            "bfd_priority and its like: BFD has no thread of its own, vrrp_* and checker_* count"
        );
    }
}

fn plan(s: &Scheduling) -> Plan {
    Plan {
        nice: s.nice,
        real_time: None,
        cpus: s
            .cpus
            .iter()
            .filter_map(|cpu| usize::try_from(*cpu).ok())
            .collect(),
        limit: s.rlimit_rttime,
        locked: s.no_swap,
    }
}
