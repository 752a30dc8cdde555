//! Notifications: tells the world what happened, by scripts.
//!
//! Lives in the daemon's own loop. It never waits for a script: one that hangs delays only later scripts of the same
//! object. Source: keepalived.conf(5), `notify` and its kin.

use tokio::time::Instant;

use crate::daemon::bus::Notice;

/// Everything that is told to the world.
#[derive(Debug, Default)]
pub(crate) struct Notifier {}

impl Notifier {
    /// Nothing waits, nothing runs.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes note of what happened; [`Notifier::progress`] does the work. Never waits.
    pub(crate) fn accept(&mut self, _notice: Notice) {}

    /// Does the next piece of work: starts a script, or takes note of the end of one. Waits for ever when there is
    /// nothing to do, so it belongs into a `select!` in a loop; it may be dropped at any time and called again.
    pub(crate) async fn progress(&mut self) {
        std::future::pending().await
    }

    /// At stop, after the last [`Notifier::accept`]: runs what waits and ends what still runs at `deadline`.
    pub(crate) async fn drain(&mut self, _deadline: Instant) {}
}
