//! The three tasks and the daemon's ends of their channels: what one wants of all of them at once.
//!
//! A task without work is started all the same and holds nothing: start, reload and stop are then one path, whatever
//! the configuration and `-P`, `-C` leave of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::bus::{
    self, InstanceSnapshot, LvsCommand, Notice, Release, ServiceSnapshot, TrackCommand,
    TrackSnapshot, VrrpCommand,
};
use super::supervise::{self, End, Running};
use crate::model::Config;
use crate::{lvs, track, vrrp};

/// How long a new configuration may take to be in force until the daemon goes on without knowing.
const APPLY_PATIENCE: Duration = Duration::from_secs(30);
/// How long the answer to a question for the dump files may take.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(1);

/// What of the kernel is left as it is on stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Releases {
    pub(crate) vrrp: Release,
    pub(crate) ipvs: Release,
}

/// A task ended although nobody had asked it to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) name: &'static str,
    pub(crate) end: End,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Tasks {
    vrrp: (mpsc::Sender<VrrpCommand>, Running),
    track: (mpsc::Sender<TrackCommand>, Running),
    lvs: (mpsc::Sender<LvsCommand>, Running),
}

impl Tasks {
    /// Starts them, without configuration, on the `LocalSet` this is called in; the VRRP task on a thread of its own,
    /// so that nothing else in the process can delay an advertisement. `held`: the files that tell a successor what of
    /// ours may be in the kernel, of the VRRP task and of the LVS task.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(crate) fn start(
        [held, held_ipvs]: [PathBuf; 2],
    ) -> io::Result<(Self, mpsc::Receiver<Notice>)> {
        let (to_vrrp, vrrp_commands) = mpsc::channel(bus::COMMANDS);
        let (to_track, track_commands) = mpsc::channel(bus::COMMANDS);
        let (to_lvs, lvs_commands) = mpsc::channel(bus::COMMANDS);
        let (tracker_updates, trackers) = mpsc::channel(bus::TRACKER_UPDATES);
        let (to_checkers, checkers) = mpsc::channel(bus::TRACKER_UPDATES);
        let (vrrp_updates, from_vrrp) = mpsc::channel(bus::VRRP_UPDATES);
        let (to_daemon, notices) = mpsc::channel(bus::NOTICES);
        let for_vrrp = vrrp::task::Inbox {
            commands: vrrp_commands,
            trackers,
            updates: vrrp_updates,
            notices: to_daemon.clone(),
            held: Some(held),
        };
        let for_track = track::task::Inbox {
            commands: track_commands,
            updates: tracker_updates,
            checkers: to_checkers,
        };
        let for_lvs = lvs::task::Inbox {
            commands: lvs_commands,
            vrrp: from_vrrp,
            trackers: checkers,
            notices: to_daemon,
            held: Some(held_ipvs),
        };
        let vrrp = supervise::on_thread("keepalived_vrrp", || vrrp::task::run(for_vrrp))?;
        let track = supervise::locally("track", track::task::run(for_track));
        let lvs = supervise::locally("lvs", lvs::task::run(for_lvs));
        let tasks = Self {
            vrrp: (to_vrrp, vrrp),
            track: (to_track, track),
            lvs: (to_lvs, lvs),
        };
        Ok((tasks, notices))
    }

    /// Start or reload: waits until the configuration is in force everywhere, or a task is gone. One that does not
    /// answer keeps nobody from stopping the daemon later.
    pub(crate) async fn apply(&mut self, config: &Arc<Config>) -> Result<(), Ended> {
        let applied = timeout(APPLY_PATIENCE, self.apply_all(config)).await;
        applied.unwrap_or_else(|_| {
            tracing::error!("A task does not answer, the configuration may not be in force");
            Ok(())
        })
    }

    async fn apply_all(&mut self, config: &Arc<Config>) -> Result<(), Ended> {
        let (vrrp_done, in_vrrp) = oneshot::channel();
        let (track_done, in_track) = oneshot::channel();
        let (lvs_done, in_lvs) = oneshot::channel();
        // An error means that the task is gone; its end tells more.
        let config = || Arc::clone(config);
        _ = self
            .vrrp
            .0
            .send(VrrpCommand::Apply {
                config: config(),
                done: vrrp_done,
            })
            .await;
        _ = self
            .lvs
            .0
            .send(LvsCommand::Apply {
                config: config(),
                done: lvs_done,
            })
            .await;
        // Verdicts are of use only to a VRRP task that knows the scripts.
        let vrrp = in_vrrp.await;
        _ = self
            .track
            .0
            .send(TrackCommand::Apply {
                config: config(),
                done: track_done,
            })
            .await;
        match (vrrp, in_track.await, in_lvs.await) {
            (Ok(()), Ok(()), Ok(())) => Ok(()),
            (_, _, _) => Err(self.ended().await),
        }
    }

    /// Waits until one of them ends. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Ended {
        let (name, end) = tokio::select! {
            end = self.vrrp.1.ended() => (self.vrrp.1.name, end),
            end = self.track.1.ended() => (self.track.1.name, end),
            end = self.lvs.1.ended() => (self.lvs.1.name, end),
        };
        Ended { name, end }
    }

    /// Tells all to resign, withdraw and end, VRRP first. Does not wait.
    pub(crate) fn ask_to_stop(&self, releases: Releases) {
        let (vrrp_done, _) = oneshot::channel();
        let (track_done, _) = oneshot::channel();
        let (lvs_done, _) = oneshot::channel();
        let release = releases.vrrp;
        // An error means that the task is gone already, or does nothing any more; its end is what is waited for.
        _ = self.vrrp.0.try_send(VrrpCommand::Stop {
            release,
            done: vrrp_done,
        });
        let release = releases.ipvs;
        _ = self.lvs.0.try_send(LvsCommand::Stop {
            release,
            done: lvs_done,
        });
        _ = self
            .track
            .0
            .try_send(TrackCommand::Stop { done: track_done });
    }

    /// After [`Tasks::ask_to_stop`]: waits until all have ended, or `patience` has (`child_wait_time`). Says whether it
    /// was a good end.
    pub(crate) async fn all_ended(mut self, patience: Duration) -> bool {
        let mut good = true;
        let all = [&mut self.vrrp.1, &mut self.lvs.1, &mut self.track.1];
        for running in all.into_iter().filter(|r| !r.is_over()) {
            match timeout(patience, running.ended()).await {
                Ok(End::Finished) => {}
                Ok(End::Failed(_) | End::Panicked) => good = false,
                Err(_) => {
                    tracing::error!(
                        "{} process failed to die - forcing termination",
                        running.name
                    );
                    running.abandon();
                    good = false;
                }
            }
        }
        good
    }

    /// The state of every instance, in configuration order. Empty when the VRRP task does not answer in time.
    pub(crate) async fn snapshot(&self) -> Vec<InstanceSnapshot> {
        let (reply, answer) = oneshot::channel();
        _ = self.vrrp.0.try_send(VrrpCommand::Snapshot(reply)); // no answer then
        match timeout(SNAPSHOT_PATIENCE, answer).await {
            Ok(Ok(instances)) => instances,
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("The VRRP task does not say how it is");
                Vec::new()
            }
        }
    }

    /// The state of every virtual server, in configuration order. Empty when the LVS task does not answer in time.
    pub(crate) async fn services(&self) -> Vec<ServiceSnapshot> {
        let (reply, answer) = oneshot::channel();
        _ = self.lvs.0.try_send(LvsCommand::Snapshot(reply)); // no answer then
        match timeout(SNAPSHOT_PATIENCE, answer).await {
            Ok(Ok(services)) => services,
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("The LVS task does not say how it is");
                Vec::new()
            }
        }
    }

    /// How trackers are. Empty when the track task does not answer in time.
    pub(crate) async fn trackers(&self) -> TrackSnapshot {
        let (reply, answer) = oneshot::channel();
        _ = self.track.0.try_send(TrackCommand::Snapshot(reply)); // no answer then
        match timeout(SNAPSHOT_PATIENCE, answer).await {
            Ok(Ok(trackers)) => trackers,
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("The track task does not say how it is");
                TrackSnapshot::default()
            }
        }
    }

    /// Watches over the tasks: `told` each time that all of them have turned within `period`. Never ends.
    pub(crate) fn heartbeat<F: Fn()>(
        &self,
        period: Duration,
        told: F,
    ) -> impl Future<Output = ()> + use<F> {
        let (vrrp, track, lvs) = (
            self.vrrp.0.clone(),
            self.track.0.clone(),
            self.lvs.0.clone(),
        );
        async move {
            loop {
                tokio::time::sleep(period).await;
                let (reply_vrrp, vrrp_turned) = oneshot::channel();
                let (reply_track, track_turned) = oneshot::channel();
                let (reply_lvs, lvs_turned) = oneshot::channel();
                // Where there is no room, or nobody, there is no answer either.
                _ = vrrp.try_send(VrrpCommand::Alive(reply_vrrp));
                _ = track.try_send(TrackCommand::Alive(reply_track));
                _ = lvs.try_send(LvsCommand::Alive(reply_lvs));
                let all = async { tokio::join!(vrrp_turned, track_turned, lvs_turned) };
                match timeout(period, all).await {
                    Ok((Ok(()), Ok(()), Ok(()))) => told(),
                    Ok((vrrp, track, lvs)) => tracing::warn!(
                        vrrp = vrrp.is_ok(),
                        track = track.is_ok(),
                        lvs = lvs.is_ok(),
                        "A task does not turn, the watchdog is not fed"
                    ),
                    Err(_) => tracing::warn!("A task does not turn, the watchdog is not fed"),
                }
            }
        }
    }

    /// Zeroes the counters.
    pub(crate) async fn clear_stats(&self) {
        _ = self.vrrp.0.send(VrrpCommand::ClearStats).await; // a task that is gone counts no more
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A VRRP task that panics when it gets a configuration, beside two that say which commands they got.
    fn with_bad_vrrp(said: watch::Sender<Vec<&'static str>>) -> Tasks {
        let (to_vrrp, mut vrrp) = mpsc::channel::<VrrpCommand>(1);
        let (to_track, mut track) = mpsc::channel::<TrackCommand>(1);
        let (to_lvs, mut lvs) = mpsc::channel::<LvsCommand>(1);
        let bad = || async move {
            let command = vrrp.recv().await;
            panic!("on purpose, at {command:?}")
        };
        let by_lvs = said.clone();
        let lvs = async move {
            while let Some(command) = lvs.recv().await {
                match command {
                    LvsCommand::Apply { config: _, done } => _ = done.send(()),
                    LvsCommand::Snapshot(reply) => _ = reply.send(Vec::new()),
                    LvsCommand::Alive(reply) => _ = reply.send(()),
                    LvsCommand::Stop { release: _, done } => {
                        by_lvs.send_modify(|s| s.push("lvs stops"));
                        _ = done.send(());
                        return;
                    }
                }
            }
        };
        let track = async move {
            while let Some(command) = track.recv().await {
                match command {
                    TrackCommand::Apply { config: _, done } => _ = done.send(()),
                    TrackCommand::Snapshot(_) | TrackCommand::Alive(_) => {}
                    TrackCommand::Stop { done } => {
                        said.send_modify(|s| s.push("track stops"));
                        _ = done.send(());
                        return;
                    }
                }
            }
        };
        Tasks {
            vrrp: (to_vrrp, supervise::on_thread("bad", bad).expect("a thread")),
            track: (to_track, supervise::locally("track", track)),
            lvs: (to_lvs, supervise::locally("lvs", lvs)),
        }
    }

    #[test]
    fn the_death_of_the_vrrp_thread_is_noticed_and_the_others_are_stopped() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let (said, heard) = watch::channel(Vec::new());
            let mut tasks = with_bad_vrrp(said);
            let ended = tasks.apply(&Arc::default()).await.expect_err("a dead task");
            assert!(matches!(
                ended,
                Ended {
                    name: "bad",
                    end: End::Panicked
                }
            ));
            let releases = Releases {
                vrrp: Release::All,
                ipvs: Release::All,
            };
            // The bad one has told its end already; the patience of the stop must not be spent on it.
            tasks.ask_to_stop(releases);
            let stopped = timeout(LIMIT / 2, tasks.all_ended(LIMIT)).await;
            assert_eq!(stopped, Ok(true));
            let mut heard = heard.borrow().clone();
            heard.sort_unstable();
            assert_eq!(heard, ["lvs stops", "track stops"]);
        });
    }
}
