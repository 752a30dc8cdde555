//! Gives back memory that only a start or a reload needed: at once what reading a configuration took, a little later
//! what the takeovers that followed took.
//!
//! Not where the configuration asks for real time or for memory that stays (`vrrp_rt_priority`, `vrrp_no_swap`,
//! `max_auto_priority`): text that is gone is read from a disk that may be busy, and whoever looks through the heap keeps the
//! VRRP thread from it meanwhile. There, only the start gives back anything: nobody is master yet.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::model::process::{AutoPriority, Process};
use crate::sys::resident;

/// From a configuration in force until its takeovers are over, second burst of announcements included.
const TAKEOVERS: Duration = Duration::from_secs(15);

/// Whether a part of the process is to be served at once, whatever it costs.
fn is_prompt(process: &Process) -> bool {
    let all = [&process.vrrp, &process.checker];
    let raised = matches!(process.auto_priority, AutoPriority::UpTo(_));
    raised || all.iter().any(|s| s.rt_priority.is_some() || s.no_swap)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tidy {
    again_at: Option<Instant>,
    started: bool,
}

impl Tidy {
    /// A configuration is in force.
    pub(super) fn now(&mut self, process: &Process) {
        let first = !std::mem::replace(&mut self.started, true);
        let prompt = is_prompt(process);
        if first || !prompt {
            resident::shed_text();
            resident::shed_heap();
        }
        self.again_at = (!prompt).then(|| Instant::now() + TAKEOVERS);
    }

    /// What is left to do, when it is time. Cancel safe.
    pub(super) async fn later(&mut self) {
        match self.again_at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.again_at = None;
        resident::shed_text();
        resident::shed_heap();
    }
}
