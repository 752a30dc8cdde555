//! The track task: what the pure cores cannot do. It has the channels.
//!
//! It never waits for the VRRP task: what the channel does not take is kept, the latest verdict per script, and offered
//! again.

use tokio::sync::mpsc;

use crate::daemon::bus::{TrackCommand, TrackerUpdate};

/// The ends of the channels that the task owns.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<TrackCommand>,
    /// To the VRRP task: first verdicts and changes.
    pub(crate) updates: mpsc::Sender<TrackerUpdate>,
}

/// Runs until [`TrackCommand::Stop`], or until nobody can send one any more.
///
/// Scripts are started on the thread that polls this, and get SIGTERM when that thread ends.
pub(crate) async fn run(mut inbox: Inbox) {
    while let Some(command) = inbox.commands.recv().await {
        match command {
            TrackCommand::Apply { config: _, done } => {
                let _ = done.send(()); // a daemon that no longer asks
            }
            TrackCommand::Stop { done } => {
                let _ = done.send(()); // a daemon that no longer asks
                return;
            }
        }
    }
}
