//! The track task: runs what the core asks for and carries verdicts to the VRRP task.
//!
//! It never waits for the VRRP task: what the channel does not take is kept, the latest verdict per script, and offered
//! again. It never waits for a script: a run is a future among others.

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{error, info, warn};

use super::command;
use super::file::Files;
use super::process::Processes;
use super::script::{Action, Event, Failure, Report, RunId, Scripts};
use super::verdict::Health;
use crate::daemon::bus::{TrackCommand, TrackSnapshot, TrackerUpdate};
use crate::model::Config;
use crate::model::track::{Script, TrackProcess};
use crate::sys::clock::{self, Alarm};
use crate::sys::process::{Children, End, Signal};

/// What running scripts get at stop to end by themselves after SIGTERM; then they are killed.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// The ends of the channels that the task owns.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<TrackCommand>,
    /// To the VRRP task: first verdicts and changes; after a reload all verdicts in force, once more.
    pub(crate) updates: mpsc::Sender<TrackerUpdate>,
    /// To the LVS task, the same about files and BFD sessions that checkers follow.
    pub(crate) checkers: mpsc::Sender<TrackerUpdate>,
}

/// Runs until [`TrackCommand::Stop`], or until nobody can send one any more.
///
/// Scripts are started on the thread that polls this, and get SIGTERM when that thread ends. At a reload the VRRP task
/// must have the new configuration before this one gets it: a first verdict on a changed script can follow at once.
pub(crate) async fn run(mut inbox: Inbox) {
    let mut alarm = match Alarm::new() {
        Ok(alarm) => alarm,
        Err(e) => {
            error!(err = %e, "no timer for scripts: none is run");
            return;
        }
    };
    let mut scripts = Scripts::default();
    let (mut files, mut processes) = (Files::new(), Processes::new());
    let mut edge = Edge {
        outbox: Outbox::new(inbox.updates),
        checkers: Outbox::new(inbox.checkers),
        children: Children::default(),
    };
    let stopped = loop {
        tokio::select! {
            biased;
            command = inbox.commands.recv() => match command {
                Some(TrackCommand::Apply { config, done }) => {
                    let actions = scripts.apply(clock::now(), &tracked(&config));
                    edge.execute(actions);
                    for (name, value) in files.apply(&config.track_files) {
                        edge.tell_file(name, value);
                    }
                    let buffer = &config.global.process.buffers.process_monitor;
                    for (name, good) in processes.apply(&counted(&config), buffer) {
                        edge.outbox.put(TrackerUpdate::Process { name, good });
                    }
                    let _ = done.send(()); // The daemon may have stopped waiting.
                }
                Some(TrackCommand::Alive(reply)) => _ = reply.send(()),
                Some(TrackCommand::Snapshot(reply)) => {
                    let snapshot = TrackSnapshot {
                        scripts: scripts.snapshot(),
                        files: files.snapshot(),
                        processes: processes.snapshot(),
                    };
                    let _ = reply.send(snapshot); // The daemon may have stopped waiting.
                }
                Some(TrackCommand::Stop { done }) => break Some(done),
                None => break None,
            },
            // Before the deadlines: a script that ended while this process slept has not timed out.
            end = edge.children.next() => edge.on_end(&mut scripts, end),
            () = edge.outbox.deliver() => {}
            () = edge.checkers.deliver() => {}
            (name, value) = files.next() => edge.tell_file(name, value),
            (name, good) = processes.next() => {
                edge.outbox.put(TrackerUpdate::Process { name, good });
            }
            () = alarm.sleep_until(scripts.deadline()) => {
                edge.execute(scripts.on_event(clock::now(), Event::Wake));
                // One start at a time: the other tasks of this thread come in between.
                tokio::task::yield_now().await;
            }
        }
    };
    edge.execute(scripts.apply(clock::now(), &[]));
    let deadline = clock::now() + STOP_GRACE;
    while !edge.children.is_empty() {
        tokio::select! {
            end = edge.children.next() => edge.on_end(&mut scripts, end),
            () = alarm.sleep_until(deadline) => break,
        }
    }
    drop(edge); // Kills what is left.
    if let Some(done) = stopped {
        let _ = done.send(()); // The daemon may have stopped waiting.
    }
}

/// The scripts that an instance or a group tracks, in the order of the file. The others are not run.
fn tracked(config: &Config) -> Vec<Arc<Script>> {
    let instances = config.instances.iter().flat_map(|i| &i.track_scripts);
    let groups = config.groups.iter().flat_map(|g| &g.track_scripts);
    let names: BTreeSet<&str> = instances.chain(groups).map(|t| &*t.script).collect();
    let scripts = config.scripts.iter();
    scripts
        .filter(|s| names.contains(&*s.name))
        .map(Arc::clone)
        .collect()
}

/// The kinds of processes that an instance or a group tracks. The others are not looked for.
fn counted(config: &Config) -> Vec<Arc<TrackProcess>> {
    let instances = config.instances.iter().map(|i| &i.other_tracks);
    let groups = config.groups.iter().map(|g| &g.other_tracks);
    let names: BTreeSet<&str> = instances
        .chain(groups)
        .flat_map(|t| &t.processes)
        .map(|t| &*t.name)
        .collect();
    let kinds = config.track_processes.iter();
    kinds
        .filter(|p| names.contains(&*p.name))
        .map(Arc::clone)
        .collect()
}

/// What the task holds of the world.
struct Edge {
    outbox: Outbox,
    /// To the LVS task.
    checkers: Outbox,
    children: Children<RunId>,
}

impl Edge {
    /// Instances and checkers follow the same files.
    fn tell_file(&mut self, name: Arc<str>, value: i32) {
        let update = TrackerUpdate::File { name, value };
        self.checkers.put(update.clone());
        self.outbox.put(update);
    }

    fn on_end(&mut self, scripts: &mut Scripts, (run, end): (RunId, End)) {
        let (outcome, reason) = command::outcome(end);
        let said = self.children.last_line(run).map(Arc::from);
        let ended = Event::Ended { run, outcome, said };
        let actions = scripts.on_event(clock::now(), ended);
        // The operator hears the reason when the core has something to say, not at every period.
        if let Some(reason) = reason
            && let Some(script) = actions.iter().find_map(reported)
        {
            warn!(tracker = %script, err = %reason, "script cannot be run");
        }
        self.execute(actions);
        self.children.release(run); // After the last signal to its group: this gives the number away.
    }

    fn execute(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start { run, script } => {
                    let started = command::start_heard(&script.command);
                    self.children.insert(run, started);
                }
                Action::Terminate(run) => self.signal(run, Signal::Term),
                Action::Kill(run) => self.signal(run, Signal::Kill),
                Action::Verdict { script, health } => self.outbox.put(update(&script, health)),
                Action::Report { script, report } => say(&script, report),
            }
        }
    }

    fn signal(&self, run: RunId, signal: Signal) {
        if let Err(e) = self.children.signal(run, signal) {
            warn!(err = %e, "cannot end a script");
        }
    }
}

fn reported(action: &Action) -> Option<&str> {
    match action {
        Action::Report { script, .. } => Some(script),
        Action::Start { .. } | Action::Terminate(_) | Action::Kill(_) | Action::Verdict { .. } => {
            None
        }
    }
}

/// In keepalived's words where it has any.
fn say(script: &str, report: Report) {
    match report {
        Report::NowReturning(status) => info!("Script `{script}` now returning {status}"),
        Report::Succeeded => info!("VRRP_Script({script}) succeeded"),
        Report::Failed(Failure::Status(status)) => {
            info!("VRRP_Script({script}) failed (exited with status {status})");
        }
        Report::Failed(Failure::Signal(signal)) => {
            info!("VRRP_Script({script}) failed (due to signal {signal})");
        }
        Report::Failed(Failure::TimedOut) => info!("VRRP_Script({script}) timed_out"),
        Report::Failed(Failure::Stuck) => {
            info!("VRRP_Script({script}) failed (earlier runs do not end)");
        }
        Report::StillRunning => {
            info!("Track script {script} is already running, expect idle - skipping run");
        }
        Report::StillEnding => {
            info!("Track script {script} is being timed out, expect idle - skipping run");
        }
        Report::GivenUp { stuck } => {
            warn!(tracker = %script, stuck, "script does not die by SIGKILL, checks go on without it");
        }
        Report::Slow { took, timeout } => {
            warn!(tracker = %script, ?took, ?timeout, "the script takes nearly as long as it may; a run that takes longer counts as failed");
        }
        Report::Considered(Health::Good) => {
            info!("VRRP_Script({script}) considered successful on reload");
        }
        Report::Considered(Health::Bad) => {
            info!("VRRP_Script({script}) considered unsuccessful on reload");
        }
    }
}

/// Verdicts on their way to one task. What the channel does not take waits here, the latest on each object.
struct Outbox {
    updates: mpsc::Sender<TrackerUpdate>,
    /// First come first.
    unsent: VecDeque<TrackerUpdate>,
}

impl Outbox {
    fn new(updates: mpsc::Sender<TrackerUpdate>) -> Self {
        Self {
            updates,
            unsent: VecDeque::new(),
        }
    }

    /// Never waits.
    fn put(&mut self, update: TrackerUpdate) {
        let mut update = update;
        if self.unsent.is_empty() {
            update = match self.updates.try_send(update) {
                Ok(()) | Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(update)) => update,
            };
        }
        let mut unsent = self.unsent.iter_mut();
        match unsent.find(|earlier| about(earlier) == about(&update)) {
            Some(earlier) => *earlier = update,
            None => self.unsent.push_back(update),
        }
    }

    /// Hands on one verdict when there is room; waits for ever when there is none to hand on. Cancel safe.
    async fn deliver(&mut self) {
        if self.unsent.is_empty() {
            return pending().await;
        }
        match (self.updates.reserve().await, self.unsent.pop_front()) {
            (Ok(room), Some(update)) => room.send(update),
            (Ok(_), None) => {}
            // Nobody listens any more: the process is about to end.
            (Err(_), _) => self.unsent.clear(),
        }
    }
}

/// The kind of object and its name.
fn about(update: &TrackerUpdate) -> (u8, &str) {
    match update {
        TrackerUpdate::Script { name, .. } => (0, name),
        TrackerUpdate::File { name, .. } => (1, name),
        TrackerUpdate::Process { name, .. } => (2, name),
        TrackerUpdate::Bfd { name, .. } => (3, name),
    }
}

fn update(script: &Arc<str>, health: Health) -> TrackerUpdate {
    TrackerUpdate::Script {
        name: Arc::clone(script),
        good: health == Health::Good,
    }
}

#[cfg(test)]
mod tests;
