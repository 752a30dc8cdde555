//! FIFOs: one line for each event, and the scripts that read them.
//!
//! Nothing here waits for a reader. What the pipe does not take is kept and written when there is room
//! ([`super::backlog`]). Source: keepalived.conf(5), `notify_fifo`.
// keepalived: makes its FIFOs anew at every reload, so that readers have to open them again, and loses lines without a
// word when a pipe is full. Ours stay as long as path and owner do.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::backlog::{Backlog, Line};
use super::queue::About;
use super::told_state;
use crate::daemon::bus::{Notice, VrrpState};
use crate::model::notify::{Fifo as Config, GlobalNotify};
use crate::sys::fifo::Fifo;
use crate::sys::process::{Children, End, Signal};
use crate::track::command::{self, Outcome};

/// How often is looked whether a reader has read all, at stop.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// What a reading script gets at stop between SIGTERM and SIGKILL.
const LAST_GRACE: Duration = Duration::from_millis(100);

/// What a FIFO is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Everything,
    Vrrp,
    Lvs,
}

impl Subject {
    const ALL: [Self; 3] = [Self::Everything, Self::Vrrp, Self::Lvs];

    fn keyword(self) -> &'static str {
        match self {
            Self::Everything => "notify_fifo",
            Self::Vrrp => "vrrp_notify_fifo",
            Self::Lvs => "lvs_notify_fifo",
        }
    }

    fn configured(self, notify: &GlobalNotify) -> Option<&Config> {
        match self {
            Self::Everything => notify.fifo.as_ref(),
            Self::Vrrp => notify.vrrp_fifo.as_ref(),
            Self::Lvs => notify.lvs_fifo.as_ref(),
        }
    }
}

/// One FIFO in use.
#[derive(Debug)]
struct Pipe {
    subject: Subject,
    config: Config,
    fifo: Fifo,
    backlog: Backlog,
    /// Lines were dropped and that was said, and since then the reader has not caught up.
    complained: bool,
    /// The run of its script, until that has ended.
    run: Option<u64>,
}

/// All FIFOs.
#[derive(Debug, Default)]
pub(crate) struct Fifos {
    pipes: Vec<Pipe>,
    scripts: Children<u64>,
    started: u64,
}

impl Fifos {
    /// Start or reload. One that cannot be used is complained about and left out. Must be called inside a runtime.
    pub(crate) fn apply(&mut self, notify: &GlobalNotify) {
        let mut old = std::mem::take(&mut self.pipes);
        for subject in Subject::ALL {
            let was = old.iter().position(|p| p.subject == subject);
            let was = was.map(|at| old.swap_remove(at));
            let Some(config) = subject.configured(notify) else {
                was.iter().for_each(|pipe| self.end_script(pipe));
                continue;
            };
            let same = |p: &Pipe| (&p.config.path, p.config.owner) == (&config.path, config.owner);
            let mut pipe = match was {
                Some(pipe) if same(&pipe) => pipe,
                other => {
                    other.iter().for_each(|pipe| self.end_script(pipe));
                    drop(other); // before one of the same name is made
                    match open(subject, config) {
                        Some(pipe) => pipe,
                        None => continue,
                    }
                }
            };
            if pipe.run.is_none() || pipe.config.script != config.script {
                self.end_script(&pipe);
                pipe.config = config.clone();
                self.start_script(&mut pipe);
            }
            self.pipes.push(pipe);
        }
    }

    /// Writes what `notice` says, or keeps it until there is room. Never waits.
    pub(crate) fn accept(&mut self, notice: &Notice) {
        let Some((subject, line)) = line(notice) else {
            return;
        };
        let told = |pipe: &&mut Pipe| [Subject::Everything, subject].contains(&pipe.subject);
        for pipe in self.pipes.iter_mut().filter(told) {
            pipe.put(line.clone());
        }
    }

    /// See [`super::Notifier::progress`].
    pub(crate) async fn progress(&mut self) {
        let waiting = self.pipes.iter_mut().filter(|p| !p.backlog.is_empty());
        let room: Vec<_> = waiting.map(|p| Box::pin(p.progress())).collect();
        let written = async {
            if room.is_empty() {
                return pending().await;
            }
            select_all(room).await;
        };
        tokio::select! {
            () = written => {}
            end = self.scripts.next() => self.on_end(end),
        }
    }

    /// At stop: lets readers read what was written and ends their scripts, a little after `deadline` at the latest.
    pub(crate) async fn drain(&mut self, deadline: Instant) {
        let written = async {
            while self.pipes.iter().any(|p| !p.backlog.is_empty()) {
                self.progress().await;
            }
            while self
                .pipes
                .iter()
                .any(|p| p.run.is_some() && p.fifo.unread() > 0)
            {
                tokio::select! {
                    end = self.scripts.next() => self.on_end(end),
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
        };
        let written = timeout_at(deadline, written).await;
        if written.is_err() {
            for pipe in self.pipes.iter().filter(|p| !p.backlog.is_empty()) {
                warn!(fifo = %pipe.config.path.display(), "fifo is not read: its last lines are lost");
            }
        }
        // To a reader this is the end of the file, upon which most of them end.
        let runs: Vec<u64> = self.pipes.drain(..).filter_map(|p| p.run).collect();
        let _ = timeout_at(deadline, self.all_ended()).await;
        runs.iter().for_each(|run| self.signal(*run, Signal::Term));
        // What outlives this is killed when the set of children is dropped.
        let _ = tokio::time::timeout(LAST_GRACE, self.all_ended()).await;
        *self = Self::default();
    }

    async fn all_ended(&mut self) {
        while !self.scripts.is_empty() {
            let end = self.scripts.next().await;
            self.on_end(end);
        }
    }

    fn end_script(&self, pipe: &Pipe) {
        if let Some(run) = pipe.run {
            self.signal(run, Signal::Term);
        }
    }

    fn start_script(&mut self, pipe: &mut Pipe) {
        pipe.run = None;
        if let Some(script) = &pipe.config.script {
            self.started += 1;
            let path = pipe.config.path.to_string_lossy();
            let started = command::start(&script.command, &[&path]);
            self.scripts.insert(self.started, started);
            pipe.run = Some(self.started);
        }
    }

    fn on_end(&mut self, (run, end): (u64, End)) {
        self.signal(run, Signal::Kill); // what is left of its group
        self.scripts.release(run);
        let Some(pipe) = self.pipes.iter_mut().find(|p| p.run == Some(run)) else {
            return; // It was told to end.
        };
        pipe.run = None;
        let script = pipe.config.script.as_ref();
        let script = script.map(|s| s.command.path.display().to_string());
        match command::outcome(end) {
            (_, Some(reason)) => {
                warn!(script, err = %reason, "fifo script cannot be run");
            }
            (Outcome::Status(0), None) => info!(script, "fifo script has ended"),
            (Outcome::Status(status), None) => warn!(script, status, "fifo script failed"),
            (Outcome::Signal(signal), None) => warn!(script, signal, "fifo script was killed"),
        }
    }

    fn signal(&self, run: u64, signal: Signal) {
        if let Err(e) = self.scripts.signal(run, signal) {
            warn!(err = %e, "cannot end a fifo script");
        }
    }
}

fn open(subject: Subject, config: &Config) -> Option<Pipe> {
    match Fifo::open(&config.path, config.owner) {
        Ok(fifo) => Some(Pipe {
            subject,
            config: config.clone(),
            fifo,
            backlog: Backlog::default(),
            complained: false,
            run: None,
        }),
        Err(e) => {
            warn!(keyword = subject.keyword(), reason = %e, "Unable to use a fifo");
            None
        }
    }
}

impl Pipe {
    fn put(&mut self, line: Line) {
        let waits = !self.backlog.is_empty();
        let dropped = self.backlog.push(line);
        if dropped && !self.complained {
            self.complained = true;
            warn!(fifo = %self.config.path.display(), "fifo is read too slowly: only the last states are kept");
        }
        if !waits {
            self.flush();
        }
    }

    /// Writes as much as there is room for.
    fn flush(&mut self) {
        while let Some(octets) = self.backlog.next() {
            match self.fifo.write(octets) {
                Ok(written) => self.backlog.wrote(written),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    warn!(fifo = %self.config.path.display(), err = %e, "cannot write to a fifo");
                    self.backlog = Backlog::default();
                }
            }
        }
        self.complained = false;
    }

    async fn progress(&mut self) {
        if self.fifo.writable().await.is_ok() {
            self.flush();
        }
    }
}

/// Who is told, and the line. `None`: no FIFO has a part in it.
fn line(notice: &Notice) -> Option<(Subject, Line)> {
    let vrrp = |kind: &str, name: &str, what: String, about: About| {
        let subject = format!("{kind} \"{name}\"");
        let text = format!("{subject} {what}\n").into();
        let subject = subject.into();
        Some((
            Subject::Vrrp,
            Line {
                subject,
                about,
                text,
            },
        ))
    };
    let lvs = |subject: String, up: bool| {
        let text = format!("{subject} {}\n", if up { "UP" } else { "DOWN" });
        let (subject, text): (Arc<str>, _) = (subject.into(), text.into());
        let about = About::State;
        Some((
            Subject::Lvs,
            Line {
                subject,
                about,
                text,
            },
        ))
    };
    match notice {
        Notice::Instance {
            instance,
            state,
            priority,
        } => {
            let what = format!("{} {priority}", told_state(instance, *state).word());
            vrrp("INSTANCE", &instance.name, what, About::State)
        }
        Notice::Group { group, state } => {
            let what = format!("{} 0", state.word());
            vrrp("GROUP", &group.name, what, About::State)
        }
        Notice::LowerPriorityHeard { instance, priority } => {
            let what = format!("{}_RX_LOWER_PRI {priority}", VrrpState::Master.word());
            vrrp("INSTANCE", &instance.name, what, About::Incident)
        }
        Notice::PriorityChanged {
            instance,
            state,
            priority,
        } => {
            let what = format!("{}_PRIORITY {priority}", state.word());
            vrrp("INSTANCE", &instance.name, what, About::Incident)
        }
        Notice::RealServer { vs, rs, up, .. } => lvs(format!("RS {rs} {vs}"), *up),
        Notice::VirtualServer { vs, up, .. } => lvs(format!("VS {vs}"), *up),
        Notice::ServerMail { .. } => None,
    }
}

#[cfg(test)]
mod tests;
