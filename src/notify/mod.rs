//! Notifications: tells the world what happened, by scripts.
//!
//! Lives in the daemon's own loop. It never waits for a script: one that hangs delays only later scripts of the same
//! object. Source: keepalived.conf(5), `notify` and its kin.

mod queue;
mod script;

use tokio::time::Instant;

use crate::daemon::bus::Notice;

/// Everything that is told to the world.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    scripts: script::Scripts,
}

impl Notifier {
    /// Nothing waits, nothing runs.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes note of what happened; [`Notifier::progress`] does the work. Never waits.
    pub(crate) fn accept(&mut self, notice: Notice) {
        self.scripts.accept(&notice);
    }

    /// Does the next piece of work: starts a script, or takes note of the end of one. Waits for ever when there is
    /// nothing to do, so it belongs into a `select!` in a loop; it may be dropped at any time and called again.
    pub(crate) async fn progress(&mut self) {
        self.scripts.progress().await;
    }

    /// At stop, after the last [`Notifier::accept`]: tells the last state of every object and returns when all scripts
    /// have ended, a little after `deadline` at the latest. What still runs then is ended.
    pub(crate) async fn drain(&mut self, deadline: Instant) {
        self.scripts.drain(deadline).await;
    }
}
