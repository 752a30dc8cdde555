//! Gives back memory that only a start or a reload needed: at once what reading a configuration took, a little later
//! what the takeovers that followed took.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::sys::resident;

/// From a configuration in force until its takeovers are over, second burst of announcements included.
const TAKEOVERS: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tidy {
    again_at: Option<Instant>,
}

impl Tidy {
    /// A configuration is in force.
    pub(super) fn now(&mut self) {
        resident::shed_text();
        resident::shed_heap();
        self.again_at = Some(Instant::now() + TAKEOVERS);
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
