//! The LVS task: feeds the core with commands and check results, and carries out what it asks for.
//!
//! It never touches IPVS while no `virtual_server` is configured, and it removes nothing that it does not own.

use tokio::sync::mpsc;

use crate::daemon::bus::{LvsCommand, Notice, VrrpUpdate};

/// The task's ends of the channels.
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<LvsCommand>,
    /// Instance states and addresses, for `ha_suspend` and the sync daemon.
    pub(crate) vrrp: mpsc::Receiver<VrrpUpdate>,
    /// Real servers and quorums that went up or down.
    pub(crate) notices: mpsc::Sender<Notice>,
}

/// Runs until [`LvsCommand::Stop`] is carried out, or the daemon's end of `commands` is gone.
pub(crate) async fn run(mut inbox: Inbox) {
    loop {
        let command = tokio::select! {
            command = inbox.commands.recv() => command,
            Some(_) = inbox.vrrp.recv() => continue, // nobody here follows an instance yet
        };
        match command {
            // Whoever asked may have gone away meanwhile; there is nobody to tell then.
            Some(LvsCommand::Apply { config: _, done }) => _ = done.send(()),
            Some(LvsCommand::Stop { release: _, done }) => {
                _ = done.send(());
                return;
            }
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::daemon::bus::{self, Release};

    #[tokio::test]
    async fn answers_commands_and_ends_at_stop() {
        let (to, commands) = mpsc::channel(bus::COMMANDS);
        let (_vrrp_to, vrrp) = mpsc::channel(bus::VRRP_UPDATES);
        let (notices, _heard) = mpsc::channel(bus::NOTICES);
        let (done, applied) = oneshot::channel();
        let config = Arc::default();
        assert!(to.send(LvsCommand::Apply { config, done }).await.is_ok());
        let (done, stopped) = oneshot::channel();
        let release = Release::All;
        assert!(to.send(LvsCommand::Stop { release, done }).await.is_ok());
        run(Inbox {
            commands,
            vrrp,
            notices,
        })
        .await;
        assert_eq!((applied.await, stopped.await), (Ok(()), Ok(())));
    }
}
