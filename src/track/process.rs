//! `vrrp_track_process`: counts processes, by what the kernel tells or by looking at all of them.
//!
//! The process connector tells of every start and end. Where there is none (another user or process namespace, a kernel
//! without it), everybody is counted every [`POLL`]; and once more whenever the connector has lost something. Counting
//! happens on a thread of its own. Source: keepalived.conf(5), `vrrp_track_process`.
// keepalived: without the connector it counts once, at start, and never again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::census::{Census, Identity, matches, needs_words};
use crate::daemon::bus::ProcessSnapshot;
use crate::model::process::Buffer;
use crate::model::track::TrackProcess;
use crate::sys::clock;
use crate::sys::connector::{Connector, ProcessEvent};
use crate::sys::procfs;
use crate::time::Mono;

/// How often everybody is counted where nobody tells.
const POLL: Duration = Duration::from_secs(1);

/// Events that are kept while everybody is counted.
const MAX_MEANWHILE: usize = 65_536;

/// Who tells of processes.
#[derive(Debug)]
enum Source {
    /// Nothing is looked for.
    Closed,
    Connector {
        connector: Connector,
        /// It has said that it will tell us; before that, everybody is counted now and then.
        listening: bool,
    },
    Polling,
}

/// All kinds of processes that are looked for.
#[derive(Debug)]
pub(crate) struct Processes {
    census: Census,
    source: Source,
    buffer: Buffer,
    counting: Option<JoinHandle<Vec<BTreeSet<i32>>>>,
    /// When everybody is counted next.
    count_at: Mono,
    /// What the connector said while everybody was being counted.
    meanwhile: Vec<ProcessEvent>,
    /// What is counted now is about another configuration, or something was lost.
    stale: bool,
    said: Vec<(Arc<str>, bool)>,
}

impl Processes {
    /// Nothing is looked for.
    pub(crate) fn new() -> Self {
        Self {
            census: Census::default(),
            source: Source::Closed,
            buffer: Buffer::default(),
            counting: None,
            count_at: Mono::NEVER,
            meanwhile: Vec::new(),
            stale: false,
            said: Vec::new(),
        }
    }

    /// Start or reload. Returns the verdicts that are in force. Must be called inside a runtime.
    pub(crate) fn apply(
        &mut self,
        kinds: &[Arc<TrackProcess>],
        buffer: &Buffer,
    ) -> Vec<(Arc<str>, bool)> {
        let anew = self.census.apply(kinds);
        if kinds.is_empty() {
            *self = Self::new();
            return Vec::new();
        }
        if matches!(self.source, Source::Closed) || self.buffer != *buffer {
            self.buffer = *buffer;
            self.open();
        }
        if anew {
            self.count_anew();
        }
        let now = clock::now();
        self.settle(now);
        self.said.clear();
        self.census.verdicts()
    }

    /// How they are, by name.
    pub(crate) fn snapshot(&self) -> BTreeMap<Arc<str>, ProcessSnapshot> {
        self.census.snapshot()
    }

    fn open(&mut self) {
        let buffer = self.buffer.octets.map(|n| (n, self.buffer.force));
        self.source = match Connector::open(buffer) {
            Ok(connector) => Source::Connector {
                connector,
                listening: false,
            },
            Err(e) => {
                info!(err = %e, "no process connector: processes are counted every second");
                Source::Polling
            }
        };
        self.count_anew();
    }

    fn count_anew(&mut self) {
        self.stale = self.counting.is_some();
        self.count_at = clock::now();
    }

    /// The next verdict that is new. Waits for ever when nothing is looked for. Cancel safe.
    pub(crate) async fn next(&mut self) -> (Arc<str>, bool) {
        loop {
            if let Some(said) = self.said.pop() {
                return said;
            }
            let due_at = match self.counting {
                Some(_) => self.census.deadline(),
                None => self.census.deadline().min(self.count_at),
            };
            tokio::select! {
                events = next_events(&self.source) => self.on_events(events),
                counted = finished(&mut self.counting) => self.on_counted(counted),
                () = sleep_until(due_at) => self.on_time(),
            }
        }
    }

    fn on_time(&mut self) {
        let now = clock::now();
        if now >= self.count_at && self.counting.is_none() {
            let kinds = self.census.kinds();
            self.counting = Some(tokio::task::spawn_blocking(move || count(&kinds)));
            self.count_at = Mono::NEVER;
        }
        self.settle(now);
    }

    fn on_counted(&mut self, counted: Option<Vec<BTreeSet<i32>>>) {
        let now = clock::now();
        let stale = std::mem::take(&mut self.stale);
        if let Some(all) = counted.filter(|_| !stale) {
            self.census.count(all);
        }
        // What was told while counting went on is at least as new.
        for event in std::mem::take(&mut self.meanwhile) {
            self.take(event);
        }
        let told = matches!(
            self.source,
            Source::Connector {
                listening: true,
                ..
            }
        );
        self.count_at = match (stale, told) {
            (true, _) => now,
            (false, true) => self.count_at,
            (false, false) => now + POLL,
        };
        self.settle(now);
    }

    fn on_events(&mut self, events: std::io::Result<Vec<ProcessEvent>>) {
        match events {
            Ok(events) => {
                for event in events {
                    if let ProcessEvent::Listening(errno) = event {
                        self.on_listening(errno);
                    } else if self.counting.is_some() {
                        self.remember(event);
                    } else {
                        self.take(event);
                    }
                }
                self.settle(clock::now());
            }
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                debug!("the process connector has lost events: processes are counted anew");
                self.meanwhile.clear();
                self.count_anew();
            }
            Err(e) => {
                warn!(err = %e, "the process connector has failed: processes are counted every second");
                self.source = Source::Polling;
                self.count_anew();
            }
        }
    }

    /// For the end of the count; more than fits is as good as lost.
    fn remember(&mut self, event: ProcessEvent) {
        if self.meanwhile.len() < MAX_MEANWHILE {
            self.meanwhile.push(event);
        } else {
            self.meanwhile.clear();
            self.count_anew();
        }
    }

    /// What was told before the count began is in it; what came since is told.
    fn on_listening(&mut self, errno: i32) {
        if let Source::Connector { listening, .. } = &mut self.source {
            if errno == 0 {
                debug!("proc_events has confirmed it is configured");
                *listening = true;
            } else {
                info!(
                    errno,
                    "no process connector: processes are counted every second"
                );
                self.source = Source::Polling;
            }
            self.count_anew();
        }
    }

    fn take(&mut self, event: ProcessEvent) {
        match event {
            ProcessEvent::Listening(_) => {}
            ProcessEvent::Forked { parent, child } => self.census.forked(parent, child),
            ProcessEvent::Changed(pid) => {
                let kinds = self.census.kinds();
                self.census.changed(pid, &identity(pid, &kinds));
            }
            ProcessEvent::Ended(pid) => self.census.ended(pid),
        }
    }

    fn settle(&mut self, now: Mono) {
        let mut news = self.census.settle(now);
        news.reverse(); // the first one is taken from the end
        for n in news {
            if n.good {
                info!("Quorum gained for tracked process {}", n.name);
            } else if !n.first {
                info!("Quorum lost for tracked process {}", n.name);
            }
            self.said.insert(0, (n.name, n.good));
        }
    }
}

fn identity(pid: i32, kinds: &[Arc<TrackProcess>]) -> Identity {
    let words = kinds.iter().any(|k| needs_words(k));
    Identity {
        name: procfs::name(pid),
        words: if words {
            procfs::words(pid)
        } else {
            Vec::new()
        },
    }
}

/// Looks at everybody.
fn count(kinds: &[Arc<TrackProcess>]) -> Vec<BTreeSet<i32>> {
    let mut all = vec![BTreeSet::new(); kinds.len()];
    for pid in procfs::processes() {
        let identity = identity(pid, kinds);
        for (kind, pids) in kinds.iter().zip(&mut all) {
            if matches(kind, &identity) {
                pids.insert(pid);
            }
        }
    }
    all
}

async fn next_events(source: &Source) -> std::io::Result<Vec<ProcessEvent>> {
    match source {
        Source::Connector { connector, .. } => connector.next().await,
        Source::Closed | Source::Polling => pending().await,
    }
}

/// `None`: the count has failed.
async fn finished(
    counting: &mut Option<JoinHandle<Vec<BTreeSet<i32>>>>,
) -> Option<Vec<BTreeSet<i32>>> {
    let Some(running) = counting else {
        return pending().await;
    };
    let counted = running.await.ok();
    *counting = None;
    counted
}

async fn sleep_until(at: Mono) {
    if at == Mono::NEVER {
        return pending().await;
    }
    sleep(at.since(clock::now())).await;
}

#[cfg(test)]
mod tests;
