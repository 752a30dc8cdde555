//! The `notify*` scripts of instances, groups and real servers, and those of quorums.
//!
//! For each transition first the script of the state, then `notify`. The order within an object is that of the
//! transitions ([`super::queue`]); objects do not wait for each other. Source: keepalived.conf(5), `notify`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::queue::{About, Action, Queue};
use super::told_state;
use crate::daemon::bus::{Notice, VrrpState};
use crate::model::diff::Keyed;
use crate::model::net::IfName;
use crate::model::track::NotifyScript;
use crate::model::vrrp::{Deletion, InstanceKey, Notify};
use crate::sys::clock;
use crate::sys::process::{Children, End, Signal};
use crate::time::Mono;
use crate::track::command::{self, Outcome};

/// At stop: what scripts that are still running get between SIGTERM and SIGKILL.
const LAST_GRACE: Duration = Duration::from_millis(100);

/// Whose scripts keep an order. Stays the same when an instance is renamed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Object {
    Instance(InstanceKey),
    Group(Arc<str>),
    /// Virtual, real.
    RealServer(Arc<str>, Arc<str>),
    VirtualServer(Arc<str>),
}

/// One call of one script.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    script: Arc<NotifyScript>,
    /// After the configured arguments.
    appended: Vec<String>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.script.command.path.display())?;
        let own = self.script.command.argv.iter().skip(1);
        own.chain(&self.appended)
            .try_for_each(|word| write!(f, " {word}"))
    }
}

/// A run of a call: which object's, and for messages what is run.
#[derive(Debug)]
struct Run {
    object: Object,
    call: Call,
}

/// All notification scripts: those that run and those that wait.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    /// Only objects that have something to run.
    queues: BTreeMap<Object, Queue<Call>>,
    /// To be started, in order; so that a burst of notices is not a burst of forks.
    to_start: VecDeque<(Object, Call)>,
    /// The newest run of each object, by its number among all runs.
    newest: BTreeMap<Object, u64>,
    runs: HashMap<u64, Run>,
    children: Children<u64>,
    started: u64,
}

impl Scripts {
    /// Queues what `notice` asks for. Never waits, starts nothing.
    pub(crate) fn accept(&mut self, notice: &Notice) {
        let Some((object, calls, about)) = asked_for(notice) else {
            return;
        };
        if calls.is_empty() && !self.queues.contains_key(&object) {
            return;
        }
        self.with(&object, |queue| queue.accept(clock::now(), calls, about));
    }

    /// See [`super::Notifier::progress`].
    pub(crate) async fn progress(&mut self) {
        if let Some((object, call)) = self.to_start.pop_front() {
            self.start(object, call);
            // One start at a time: the other tasks of this thread come in between.
            return tokio::task::yield_now().await;
        }
        let deadlines = self.queues.values().map(Queue::deadline);
        let deadline = deadlines.min().unwrap_or(Mono::NEVER);
        tokio::select! {
            end = self.children.next() => self.on_end(end),
            () = sleep_until(deadline) => self.wake(),
        }
    }

    /// See [`super::Notifier::drain`].
    pub(crate) async fn drain(&mut self, deadline: Instant) {
        let now = clock::now();
        let stop_at = now + deadline.saturating_duration_since(Instant::now());
        for object in self.queues.keys().cloned().collect::<Vec<_>>() {
            self.with(&object, |queue| queue.hurry(now, stop_at));
        }
        let finished = tokio::time::timeout_at(deadline, self.settle()).await;
        if finished.is_ok() {
            return;
        }
        self.to_start.clear();
        for (run, Run { call, .. }) in &self.runs {
            warn!(script = %call, "notify script is ended: the daemon stops");
            self.signal(*run, Signal::Term);
        }
        let ends = async {
            while !self.children.is_empty() {
                let (run, _) = self.children.next().await;
                self.signal(run, Signal::Kill); // what is left of its group
                self.children.release(run);
            }
        };
        // What outlives this is killed when the set of children is dropped.
        let _ = tokio::time::timeout(LAST_GRACE, ends).await;
        *self = Self::default();
    }

    async fn settle(&mut self) {
        while !self.queues.is_empty() {
            self.progress().await;
        }
    }

    fn start(&mut self, object: Object, call: Call) {
        self.started += 1;
        let run = self.started;
        let appended: Vec<&str> = call.appended.iter().map(String::as_str).collect();
        let started = command::start(&call.script.command, &appended);
        self.children.insert(run, started);
        self.newest.insert(object.clone(), run);
        self.runs.insert(run, Run { object, call });
    }

    fn on_end(&mut self, (run, end): (u64, End)) {
        if let Some(Run { object, call }) = self.runs.remove(&run) {
            match command::outcome(end) {
                (_, Some(reason)) => {
                    warn!(script = %call, err = %reason, "notify script cannot be run");
                }
                (Outcome::Status(0), None) => {}
                (Outcome::Status(status), None) => {
                    info!(script = %call, status, "notify script failed");
                }
                (Outcome::Signal(signal), None) => {
                    info!(script = %call, signal, "notify script was killed");
                }
            }
            // One that was given up has no say any more.
            if self.newest.get(&object) == Some(&run) {
                self.with(&object, |queue| queue.on_ended(clock::now()));
            }
        }
        self.children.release(run); // After the last signal to its group: this gives the number away.
    }

    fn wake(&mut self) {
        let now = clock::now();
        let queues = self.queues.iter();
        let due: Vec<Object> = queues
            .filter(|(_, queue)| queue.deadline() <= now)
            .map(|(object, _)| object.clone())
            .collect();
        for object in due {
            self.with(&object, |queue| queue.on_wake(now));
        }
    }

    /// Changes one queue and carries out what it wants; forgets it once it has nothing to run.
    fn with(
        &mut self,
        object: &Object,
        change: impl FnOnce(&mut Queue<Call>) -> Vec<Action<Call>>,
    ) {
        let queue = self.queues.entry(object.clone()).or_default();
        for action in change(queue) {
            match action {
                Action::Start(call) => {
                    self.newest.remove(object);
                    self.to_start.push_back((object.clone(), call));
                }
                Action::Terminate => self.end(object, Signal::Term),
                Action::Kill => self.end(object, Signal::Kill),
                Action::GiveUp => {
                    if let Some(run) = self.newest.remove(object)
                        && let Some(Run { call, .. }) = self.runs.get(&run)
                    {
                        warn!(script = %call, "notify script does not die by SIGKILL, later ones go on without it");
                    }
                }
                Action::Dropped(count) => {
                    warn!(object = %object, count, "states changed faster than notify scripts run: only the last is told");
                }
            }
        }
        if self.queues.get(object).is_some_and(Queue::is_idle) {
            self.queues.remove(object);
            self.newest.remove(object);
        }
    }

    fn end(&self, object: &Object, signal: Signal) {
        let Some(run) = self.newest.get(object) else {
            return;
        };
        if signal == Signal::Term
            && let Some(Run { call, .. }) = self.runs.get(run)
        {
            warn!(script = %call, "notify script keeps others waiting and is ended");
        }
        self.signal(*run, signal);
    }

    fn signal(&self, run: u64, signal: Signal) {
        if let Err(e) = self.children.signal(run, signal) {
            warn!(err = %e, "cannot end a notify script");
        }
    }
}

/// tokio's own timer: a late end of a script that hangs costs nobody anything.
async fn sleep_until(deadline: Mono) {
    if deadline == Mono::NEVER {
        return std::future::pending().await;
    }
    tokio::time::sleep(deadline.since(clock::now())).await;
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(key) => {
                let interface = key
                    .interface
                    .as_ref()
                    .map_or("no interface", IfName::as_str);
                write!(f, "{interface} vrid {}", key.vrid)
            }
            Self::Group(name) | Self::VirtualServer(name) => f.write_str(name),
            Self::RealServer(vs, rs) => write!(f, "{rs} of {vs}"),
        }
    }
}

/// Whose scripts a notice starts, which, and what they are about. `None`: scripts have no part in it.
fn asked_for(notice: &Notice) -> Option<(Object, Vec<Call>, About)> {
    match notice {
        Notice::Instance {
            instance,
            state,
            priority,
        } => {
            let who = ["INSTANCE", &instance.name];
            let said = told_state(instance, *state);
            let calls = calls(&instance.notify, *state, said, who, *priority);
            Some((Object::Instance(instance.key()), calls, About::State))
        }
        Notice::Group { group, state } => {
            let calls = calls(&group.notify, *state, *state, ["GROUP", &group.name], 0);
            Some((Object::Group(Arc::clone(&group.name)), calls, About::State))
        }
        Notice::LowerPriorityHeard { instance, .. } => {
            let script = &instance.notify.rx_lower_pri;
            let object = Object::Instance(instance.key());
            Some((object, plain(script), About::Incident))
        }
        Notice::RealServer { vs, rs, script, .. } => {
            let object = Object::RealServer(Arc::clone(vs), Arc::clone(rs));
            Some((object, plain(script), About::State))
        }
        Notice::VirtualServer { vs, script, .. } => {
            let object = Object::VirtualServer(Arc::clone(vs));
            Some((object, plain(script), About::State))
        }
        Notice::PriorityChanged { .. } | Notice::ServerMail { .. } => None,
    }
}

/// A script that gets its own arguments only.
fn plain(script: &Option<Arc<NotifyScript>>) -> Vec<Call> {
    let call = script.as_ref().map(|script| Call {
        script: Arc::clone(script),
        appended: Vec::new(),
    });
    call.into_iter().collect()
}

/// The script of the state with its own arguments only, then `notify` with what happened.
// keepalived: `notify_fault` is not run when a removal is told as FAULT.
fn calls(
    notify: &Notify,
    state: VrrpState,
    said: VrrpState,
    who: [&str; 2],
    priority: u8,
) -> Vec<Call> {
    let own = match (state, &notify.deletion) {
        (VrrpState::Master, _) => &notify.master,
        (VrrpState::Backup, _) => &notify.backup,
        (VrrpState::Fault, _) => &notify.fault,
        (VrrpState::Stop, _) => &notify.stop,
        (VrrpState::Deleted, Deletion::Told(script)) => script,
        (VrrpState::Deleted, Deletion::AsFault) => &None,
    };
    let [kind, name] = who;
    let what = [kind, name, said.word(), &priority.to_string()].map(String::from);
    let any = notify.any.iter().map(|script| Call {
        script: Arc::clone(script),
        appended: what.to_vec(),
    });
    plain(own).into_iter().chain(any).collect()
}

#[cfg(test)]
mod tests;
