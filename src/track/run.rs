//! The life of one run of a script: until its limit, and how it is ended after that. A pure core.
//!
//! At its limit a run's process group gets SIGTERM, [`TERM_GRACE`] later SIGKILL, and [`KILL_GRACE`] after that it is
//! given up: what survives SIGKILL is stuck in the kernel. Source: measured behaviour of keepalived 2.4.3.

use std::time::Duration;

use crate::time::Mono;

/// From SIGTERM to SIGKILL, as in keepalived.
pub(crate) const TERM_GRACE: Duration = Duration::from_secs(2);
/// From SIGKILL to giving up, as in keepalived.
pub(crate) const KILL_GRACE: Duration = Duration::from_secs(2);

/// Where a run stands. Leaving a state cancels its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Running { limit_at: Mono },
    Terminated { kill_at: Mono },
    Killed { give_up_at: Mono },
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The limit has passed: SIGTERM to the group.
    Terminate,
    /// SIGKILL to the group.
    Kill,
    /// Wait for it no longer.
    GiveUp,
}

impl Life {
    /// The next instant at which something is due; [`Mono::NEVER`] for a run without a limit.
    pub(crate) fn deadline(self) -> Mono {
        match self {
            Self::Running { limit_at: at }
            | Self::Terminated { kill_at: at }
            | Self::Killed { give_up_at: at } => at,
        }
    }

    /// It runs and nobody asked it to end.
    pub(crate) fn is_running(self) -> bool {
        match self {
            Self::Running { .. } => true,
            Self::Terminated { .. } | Self::Killed { .. } => false,
        }
    }

    /// `now` never goes back. `None`: nothing is due.
    pub(crate) fn on_wake(&mut self, now: Mono) -> Option<Due> {
        if now < self.deadline() {
            return None;
        }
        let (next, due) = match self {
            Self::Running { .. } => (Self::terminated(now), Due::Terminate),
            Self::Terminated { .. } => {
                let give_up_at = now + KILL_GRACE;
                (Self::Killed { give_up_at }, Due::Kill)
            }
            Self::Killed { .. } => {
                let give_up_at = Mono::NEVER;
                (Self::Killed { give_up_at }, Due::GiveUp)
            }
        };
        *self = next;
        Some(due)
    }

    /// Moves the limit of a run that was not asked to end yet.
    pub(crate) fn set_limit(&mut self, limit_at: Mono) {
        if self.is_running() {
            *self = Self::Running { limit_at };
        }
    }

    /// It was sent SIGTERM at `now`.
    pub(crate) fn terminated(now: Mono) -> Self {
        let kill_at = now + TERM_GRACE;
        Self::Terminated { kill_at }
    }
}
