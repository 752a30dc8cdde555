//! Gives back memory that was needed for a while only: at once what reading a configuration took, a little later what
//! takeovers took, those of a start and all that come afterwards.
//!
//! Not where the configuration asks for real time or for memory that stays (`vrrp_rt_priority`, `vrrp_no_swap`,
//! `max_auto_priority`): text that is gone is read from a disk that may be busy, and whoever looks through the heap keeps the
//! VRRP thread from it meanwhile. There, only the start gives back anything: nobody is master yet.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::model::process::{AutoPriority, Process};
use crate::sys::resident;

/// From a change of state until all is over that follows, second burst of announcements included.
const TAKEOVERS: Duration = Duration::from_secs(15);
/// Changes that never end are waited for no longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a part of the process is to be served at once, whatever it costs.
fn is_prompt(process: &Process) -> bool {
    let all = [&process.vrrp, &process.checker];
    let raised = matches!(process.auto_priority, AutoPriority::UpTo(_));
    raised || all.iter().any(|s| s.rt_priority.is_some() || s.no_swap)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tidy {
    /// What there is to give back has grown since.
    since: Option<Instant>,
    /// When it is given back.
    again_at: Option<Instant>,
    started: bool,
}

impl Tidy {
    /// A configuration is in force.
    pub(super) fn now(&mut self, process: &Process) {
        let first = !std::mem::replace(&mut self.started, true);
        if first || !is_prompt(process) {
            shed();
        }
        self.stirred(process, Instant::now());
    }

    /// An instance has changed its state.
    pub(super) fn stirred(&mut self, process: &Process, now: Instant) {
        if is_prompt(process) {
            (self.since, self.again_at) = (None, None);
            return;
        }
        let last = *self.since.get_or_insert(now) + PATIENCE;
        self.again_at = Some(last.min(now + TAKEOVERS));
    }

    /// What is left to do, when it is time. Cancel safe.
    pub(super) async fn later(&mut self) {
        match self.again_at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
        (self.since, self.again_at) = (None, None);
        shed();
    }
}

/// The first configuration is read and about to be in force: from then on all pages may be locked.
pub(super) fn before_start() {
    shed();
}

fn shed() {
    resident::shed_text();
    resident::shed_heap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takeovers_took_is_given_back_once_they_are_over() {
        let mut tidy = Tidy::default();
        let process = Process::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        for n in 0..40 {
            tidy.stirred(&process, start + second * n);
            assert_eq!(tidy.again_at, Some(start + second * n + TAKEOVERS));
        }
        tidy.stirred(&process, start + second * 58);
        assert_eq!(tidy.again_at, Some(start + PATIENCE));
    }

    #[test]
    fn whoever_is_served_at_once_keeps_what_it_has() {
        let mut tidy = Tidy::default();
        let mut process = Process::default();
        tidy.stirred(&process, Instant::now());
        process.vrrp.rt_priority = Some(50);
        tidy.stirred(&process, Instant::now());
        assert_eq!((tidy.since, tidy.again_at), (None, None));
    }
}
