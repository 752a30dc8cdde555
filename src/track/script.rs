//! When scripts run and what becomes of each run. A pure core: it knows no clock and no process.
//!
//! A script starts at once and then every `interval`, counted from its first start; a period that comes while a run is
//! still going is skipped, and so are periods that nobody was awake for. A run that takes longer than `timeout` is a
//! failure, and its process group is ended: SIGTERM, then SIGKILL, and what survives even that (stuck in the kernel) is
//! given up, so that checks go on. No run is ever forgotten: each one that started is waited for until it has ended.
//! Source: keepalived.conf(5), `vrrp_script`; measured behaviour of keepalived 2.2.7 and 2.4.3.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::command::Outcome;
use super::run::{Due, Life};
use super::verdict::{Health, Thresholds, Verdict};
use crate::daemon::bus::{LastRun, RunState, ScriptSnapshot};
use crate::model::diff::Reload;
use crate::model::track::Script;
use crate::time::Mono;

/// Runs of one script that may be stuck in the kernel at once; then it is not started any more, and each period counts
/// as a failure. Bounds what a dead file server can pile up.
pub(crate) const MAX_STUCK: usize = 8;

/// One run of one script; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RunId {
    script: u64,
    run: u64,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Time passed. Handles one due thing; [`Scripts::deadline`] tells when to come again, perhaps at once.
    Wake,
    /// A started run ended, whatever was sent to it before.
    Ended {
        run: RunId,
        outcome: Outcome,
        /// Its last line of output.
        said: Option<Arc<str>>,
    },
}

/// What to do about it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start it now. Answered by [`Event::Ended`], also when it cannot be started.
    Start { run: RunId, script: Arc<Script> },
    /// SIGTERM to the process group of a run.
    Terminate(RunId),
    /// SIGKILL to the process group of a run, or what is left of it after the run has ended.
    Kill(RunId),
    /// What counts from now on.
    Verdict { script: Arc<str>, health: Health },
    /// Tell the operator.
    Report { script: Arc<str>, report: Report },
}

/// What the operator must see about a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The exit status is another than last time.
    NowReturning(i32),
    /// The verdict is good.
    Succeeded,
    /// The verdict is bad, because of this.
    Failed(Failure),
    /// A period was skipped; said once until a run has ended in time.
    StillRunning,
    /// A period was skipped while a timed-out run was being ended; said as rarely.
    StillEnding,
    /// A run survived SIGKILL; so many of this script do now.
    GivenUp { stuck: usize },
    /// After a reload the verdict is what it was.
    Considered(Health),
    /// A run took more than three quarters of its `timeout`; said once until one takes less than half.
    Slow { took: Duration, timeout: Duration },
}

/// What made a verdict bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Status(i32),
    Signal(i32),
    TimedOut,
    /// Not started, because [`MAX_STUCK`] earlier runs do not end.
    Stuck,
}

/// One script that is run, or was run and is being ended.
#[derive(Debug)]
struct Tracked {
    script: Arc<Script>,
    verdict: Verdict,
    /// The newest run, unless it has ended or was given up.
    newest: Option<(RunId, Life)>,
    /// When the newest run was started.
    started_at: Mono,
    /// The last run that has ended.
    last: Option<LastRun>,
    /// When the next period begins; [`Mono::NEVER`] once it is not to be run any more.
    next_at: Mono,
    /// It ran before, so `next_at` is on the grid of its periods.
    anchored: bool,
    /// A skipped period was reported, and since then no run has ended in time.
    skip_said: bool,
    /// A slow run was reported, and since then none was fast.
    slow_said: bool,
    /// The last exit status; the operator hears of changes.
    status: i32,
    /// Given up, not ended.
    stuck: BTreeSet<RunId>,
    runs: u64,
}

impl Tracked {
    fn new(script: Arc<Script>, now: Mono) -> Self {
        Self {
            verdict: fresh_verdict(&script),
            script,
            newest: None,
            started_at: now,
            last: None,
            next_at: now,
            anchored: false,
            skip_said: false,
            slow_said: false,
            status: 0,
            stuck: BTreeSet::new(),
            runs: 0,
        }
    }

    fn deadline(&self) -> Mono {
        let life = self.newest.map_or(Mono::NEVER, |(_, life)| life.deadline());
        life.min(self.next_at)
    }

    fn report(&self, report: Report) -> Action {
        Action::Report {
            script: Arc::clone(&self.script.name),
            report,
        }
    }

    fn verdict_action(&self, health: Health) -> Action {
        Action::Verdict {
            script: Arc::clone(&self.script.name),
            health,
        }
    }

    /// The run's own deadline goes before the next period, so that a run that times out when its period ends, as it
    /// does by default, is reported as that and not as still running.
    fn on_wake(&mut self, now: Mono, id: u64) -> Vec<Action> {
        if let Some((run, life)) = &mut self.newest
            && let Some(due) = life.on_wake(now)
        {
            let run = *run;
            return match due {
                Due::Terminate => self.on_timeout(run),
                Due::Kill => vec![Action::Kill(run)],
                Due::GiveUp => {
                    self.newest = None;
                    self.stuck.insert(run);
                    let stuck = self.stuck.len();
                    vec![self.report(Report::GivenUp { stuck })]
                }
            };
        }
        if now >= self.next_at {
            self.on_period(now, id)
        } else {
            Vec::new()
        }
    }

    // keepalived: what counts is how the run ends after SIGTERM, so a script that catches it and exits with 0 is a
    // success. Here a timeout is a failure, at once and whatever the script does about it.
    fn on_timeout(&mut self, run: RunId) -> Vec<Action> {
        let mut actions = vec![Action::Terminate(run)];
        actions.extend(self.on_result(Err(Failure::TimedOut)));
        actions
    }

    fn on_period(&mut self, now: Mono, id: u64) -> Vec<Action> {
        self.next_at = if self.anchored {
            following(self.next_at, self.script.interval, now)
        } else {
            // From the real first start: many scripts that begin together spread out by as long as starting them took.
            now + self.script.interval
        };
        self.anchored = true;
        match self.newest {
            None if self.stuck.len() >= MAX_STUCK => self.on_result(Err(Failure::Stuck)),
            None => self.start(now, id),
            Some((_, life)) if life.is_running() => self.on_skip(Report::StillRunning),
            Some(_) => self.on_skip(Report::StillEnding),
        }
    }

    fn start(&mut self, now: Mono, id: u64) -> Vec<Action> {
        self.runs += 1;
        let run = RunId {
            script: id,
            run: self.runs,
        };
        let limit_at = now + self.script.timeout;
        self.newest = Some((run, Life::Running { limit_at }));
        self.started_at = now;
        let script = Arc::clone(&self.script);
        vec![Action::Start { run, script }]
    }

    fn on_skip(&mut self, report: Report) -> Vec<Action> {
        let said = std::mem::replace(&mut self.skip_said, true);
        if said {
            Vec::new()
        } else {
            vec![self.report(report)]
        }
    }

    fn on_ended(
        &mut self,
        now: Mono,
        run: RunId,
        outcome: Outcome,
        said: Option<Arc<str>>,
    ) -> Vec<Action> {
        let newest = self.newest.filter(|(newest, _)| *newest == run);
        let Some((_, life)) = newest else {
            self.stuck.remove(&run);
            return Vec::new();
        };
        self.newest = None;
        self.last = Some(LastRun {
            outcome,
            took: now.since(self.started_at),
            said,
        });
        if !life.is_running() {
            // The result was counted when it timed out; what remains is the rest of its group.
            return vec![Action::Kill(run)];
        }
        self.skip_said = false;
        let mut actions = self.on_result(match outcome {
            Outcome::Status(0) => Ok(()),
            Outcome::Status(n) => Err(Failure::Status(n)),
            Outcome::Signal(n) => Err(Failure::Signal(n)),
        });
        actions.extend(self.mind_time(now));
        actions
    }

    /// Who takes nearly as long as he may will be late some day, which counts as a failure.
    fn mind_time(&mut self, now: Mono) -> Option<Action> {
        let (took, timeout) = (now.since(self.started_at), self.script.timeout);
        if took < timeout / 2 {
            self.slow_said = false;
        }
        let slow = took > timeout * 3 / 4 && !std::mem::replace(&mut self.slow_said, true);
        slow.then(|| self.report(Report::Slow { took, timeout }))
    }

    fn on_result(&mut self, result: Result<(), Failure>) -> Vec<Action> {
        let mut actions = Vec::new();
        let (health, reason) = match result {
            Ok(()) => (Health::Good, Report::Succeeded),
            Err(failure) => (Health::Bad, Report::Failed(failure)),
        };
        let news = self.verdict.on_result(health);
        // First who depends on it, then who reads about it.
        actions.extend(news.map(|h| self.verdict_action(h)));
        let status = match result {
            Ok(()) => Some(0),
            Err(Failure::Status(n)) => Some(n),
            Err(Failure::Signal(_) | Failure::TimedOut | Failure::Stuck) => None,
        };
        if let Some(status) = status.filter(|s| *s != self.status) {
            self.status = status;
            actions.push(self.report(Report::NowReturning(status)));
        }
        actions.extend(news.map(|_| self.report(reason)));
        actions
    }

    fn snapshot(&self) -> ScriptSnapshot {
        ScriptSnapshot {
            good: self.verdict.health().map(|h| h == Health::Good),
            result: self.verdict.counter(),
            run: match self.newest {
                None => RunState::Idle,
                Some((_, Life::Running { .. })) => RunState::Running,
                Some((_, Life::Terminated { .. })) => RunState::Terminated,
                Some((_, Life::Killed { .. })) => RunState::Killed,
            },
            last: self.last.clone(),
            stuck: self.stuck.len(),
        }
    }

    /// No more periods; a run that is going is ended, without a result.
    fn retire(&mut self, now: Mono) -> Vec<Action> {
        self.next_at = Mono::NEVER;
        match &mut self.newest {
            Some((run, life)) if life.is_running() => {
                *life = Life::terminated(now);
                vec![Action::Terminate(*run)]
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn is_retired(&self) -> bool {
        self.next_at == Mono::NEVER
    }

    /// Reload: other values for the same command.
    fn adjust(&mut self, script: Arc<Script>, now: Mono) {
        if self.verdict.is_tried() {
            self.verdict.set_thresholds(thresholds(&script));
        } else {
            self.verdict = fresh_verdict(&script);
        }
        // A shorter interval must not wait for the end of a long old one; a longer one begins with the next period.
        self.next_at = self.next_at.min(now + script.interval);
        self.script = script;
    }
}

/// The first instant after `now` that is a whole number of intervals after `last`. An interval of zero is read as one
/// microsecond.
fn following(last: Mono, interval: Duration, now: Mono) -> Mono {
    let interval = interval.max(Duration::from_micros(1));
    let missed = now.since(last).as_micros() / interval.as_micros();
    let steps = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
    last + interval.saturating_mul(steps)
}

fn thresholds(script: &Script) -> Thresholds {
    Thresholds {
        rise: script.rise,
        fall: script.fall,
    }
}

fn fresh_verdict(script: &Script) -> Verdict {
    Verdict::new(thresholds(script), script.init_fail.then_some(Health::Bad))
}

/// All scripts that run.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    /// By a number of their own, since a script that was replaced may still be ending. In the order of the file.
    tracked: BTreeMap<u64, Tracked>,
    /// The deadline of each in `tracked`, earliest first.
    deadlines: BTreeSet<(Mono, u64)>,
    added: u64,
}

impl Scripts {
    /// When the next [`Event::Wake`] is due; [`Mono::NEVER`] when nothing is to be done.
    pub(crate) fn deadline(&self) -> Mono {
        self.deadlines.first().map_or(Mono::NEVER, |(at, _)| *at)
    }

    /// Every script was retired and none is running any more, apart from those that were given up.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    /// How they are, by name.
    pub(crate) fn snapshot(&self) -> BTreeMap<Arc<str>, ScriptSnapshot> {
        let running = self.tracked.values().filter(|t| !t.is_retired());
        running
            .map(|t| (Arc::clone(&t.script.name), t.snapshot()))
            .collect()
    }

    /// `now` never goes back; an early `Wake` does nothing. A `Wake` handles one script, so that no burst of starts
    /// keeps other events waiting.
    pub(crate) fn on_event(&mut self, now: Mono, event: Event) -> Vec<Action> {
        match event {
            Event::Wake => {
                let due = self.deadlines.first().filter(|(at, _)| *at <= now);
                let Some((_, id)) = due.copied() else {
                    return Vec::new();
                };
                self.with(id, |tracked| tracked.on_wake(now, id))
            }
            Event::Ended { run, outcome, said } => self.with(run.script, |tracked| {
                tracked.on_ended(now, run, outcome, said)
            }),
        }
    }

    /// Start or reload: run these from now on, each name once. Scripts with the same name and command keep verdict and
    /// periods; a running old version of others is ended. Says every verdict that is in force, also the old ones.
    pub(crate) fn apply(&mut self, now: Mono, scripts: &[Arc<Script>]) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut running: BTreeMap<Arc<str>, u64> = self
            .tracked
            .iter()
            .filter(|(_, tracked)| !tracked.is_retired())
            .map(|(id, tracked)| (Arc::clone(&tracked.script.name), *id))
            .collect();
        for script in scripts {
            let old = running.remove(&script.name);
            let kept = old.filter(|id| {
                let class = self.tracked.get(id).map(|t| t.script.reload_class(script));
                matches!(class, Some(Reload::Keep | Reload::Adjust))
            });
            if let Some(id) = kept {
                actions.extend(self.with(id, |tracked| {
                    tracked.adjust(Arc::clone(script), now);
                    let standing = tracked.verdict.health();
                    let mut actions: Vec<_> = standing
                        .map(|h| tracked.verdict_action(h))
                        .into_iter()
                        .collect();
                    if tracked.verdict.is_tried() {
                        let said = standing.map(|h| tracked.report(Report::Considered(h)));
                        actions.extend(said);
                    }
                    actions
                }));
                continue;
            }
            if let Some(id) = old {
                actions.extend(self.with(id, |tracked| tracked.retire(now)));
            }
            self.added += 1;
            let tracked = Tracked::new(Arc::clone(script), now);
            let assumed = tracked.verdict.health();
            actions.extend(assumed.map(|h| tracked.verdict_action(h)));
            self.deadlines.insert((tracked.deadline(), self.added));
            self.tracked.insert(self.added, tracked);
        }
        for id in running.into_values() {
            actions.extend(self.with(id, |tracked| tracked.retire(now)));
        }
        actions
    }

    /// Changes one script and keeps `deadlines` in step; forgets it once it is retired and idle.
    fn with(&mut self, id: u64, change: impl FnOnce(&mut Tracked) -> Vec<Action>) -> Vec<Action> {
        let Some(tracked) = self.tracked.get_mut(&id) else {
            return Vec::new(); // A stuck run of a script that is long gone.
        };
        self.deadlines.remove(&(tracked.deadline(), id));
        let actions = change(tracked);
        if tracked.is_retired() && tracked.newest.is_none() {
            self.tracked.remove(&id);
        } else {
            self.deadlines.insert((tracked.deadline(), id));
        }
        actions
    }
}

#[cfg(test)]
mod tests;
