//! Stories: simulated children that exit, hang, ignore signals, or never end at all.

use std::path::PathBuf;

use proptest::prelude::*;

use super::Action::{Kill, Start, Terminate};
use super::*;
use crate::model::track::Command;
use crate::model::track::Weight;
use crate::track::run::{KILL_GRACE, TERM_GRACE};

const SECOND: Duration = Duration::from_secs(1);

fn script(name: &str, interval: Duration, timeout: Duration) -> Arc<Script> {
    Arc::new(Script {
        name: name.into(),
        command: Command {
            path: PathBuf::from("/bin/check"),
            argv: vec!["check".into()],
            user: None,
        },
        interval,
        timeout,
        rise: 1,
        fall: 1,
        init_fail: false,
        weight: Weight::Fault,
        reverse: false,
    })
}

fn at(secs: u64) -> Mono {
    Mono::from_micros(secs * 1_000_000)
}

fn scripts(list: &[Arc<Script>]) -> Scripts {
    let mut scripts = Scripts::default();
    assert_eq!(scripts.apply(Mono::ZERO, list), []);
    scripts
}

fn verdict(health: Health) -> Action {
    Action::Verdict {
        script: "a".into(),
        health,
    }
}

fn report(report: Report) -> Action {
    Action::Report {
        script: "a".into(),
        report,
    }
}

/// The run that `actions` start, when that is all they do.
fn started(actions: &[Action]) -> RunId {
    let [Start { run, .. }] = actions else {
        panic!("not one start: {actions:?}");
    };
    *run
}

fn wake(scripts: &mut Scripts, now: Mono) -> Vec<Action> {
    scripts.on_event(now, Event::Wake)
}

fn end(scripts: &mut Scripts, now: Mono, run: RunId, outcome: Outcome) -> Vec<Action> {
    let said = None;
    scripts.on_event(now, Event::Ended { run, outcome, said })
}

#[test]
fn a_script_that_nearly_takes_too_long_is_told_once_until_it_is_fast_again() {
    let mut all = scripts(&[script("a", SECOND * 10, SECOND * 4)]);
    let slow = |actions: &[Action]| {
        let like = |a: &&Action| {
            matches!(
                a,
                Action::Report {
                    report: Report::Slow { .. },
                    ..
                }
            )
        };
        actions.iter().filter(like).count()
    };
    for (turn, took, told) in [
        (0, 2, 0),
        (1, 3, 0),
        (2, 4, 1),
        (3, 4, 0),
        (4, 1, 0),
        (5, 4, 1),
    ] {
        let begun = at(turn * 10);
        let run = started(&wake(&mut all, begun));
        // A little less, or it is a timeout.
        let ended = begun + SECOND * took - Duration::from_millis(1);
        let actions = end(&mut all, ended, run, Outcome::Status(0));
        assert_eq!(slow(&actions), told, "turn {turn}");
    }
}

#[test]
fn periods_are_counted_from_start_to_start() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    for n in 0..5 {
        assert_eq!(s.deadline(), at(n));
        let run = started(&wake(&mut s, at(n)));
        let late = at(n) + Duration::from_millis(700);
        end(&mut s, late, run, Outcome::Status(0));
    }
}

#[test]
fn periods_that_nobody_was_awake_for_are_not_made_up_for() {
    let mut s = scripts(&[script("a", SECOND, SECOND * 100)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    end(&mut s, Mono::ZERO, run, Outcome::Status(0));
    let late = at(7) + Duration::from_millis(300);
    started(&wake(&mut s, late));
    assert_eq!(s.deadline(), at(8));
}

#[test]
fn the_first_result_and_every_change_are_told_and_worded_as_keepalived_does() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    let expected = [
        (
            Outcome::Status(3),
            vec![
                verdict(Health::Bad),
                report(Report::NowReturning(3)),
                report(Report::Failed(Failure::Status(3))),
            ],
        ),
        (Outcome::Status(3), vec![]),
        (Outcome::Status(4), vec![report(Report::NowReturning(4))]),
        (Outcome::Signal(9), vec![]),
        (
            Outcome::Status(0),
            vec![
                verdict(Health::Good),
                report(Report::NowReturning(0)),
                report(Report::Succeeded),
            ],
        ),
        (
            Outcome::Signal(9),
            vec![
                verdict(Health::Bad),
                report(Report::Failed(Failure::Signal(9))),
            ],
        ),
    ];
    for (n, (outcome, actions)) in (0..).zip(expected) {
        let run = started(&wake(&mut s, at(n)));
        assert_eq!(end(&mut s, at(n), run, outcome), actions, "result {n}");
    }
}

#[test]
fn a_timeout_fails_at_once_and_ends_the_group_in_steps() {
    let mut s = scripts(&[script("a", SECOND * 100, SECOND)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    assert_eq!(s.deadline(), at(1));
    let timed_out = report(Report::Failed(Failure::TimedOut));
    let told = [Terminate(run), verdict(Health::Bad), timed_out];
    assert_eq!(wake(&mut s, at(1)), told);
    assert_eq!(s.deadline(), at(3));
    assert_eq!(wake(&mut s, at(3)), [Kill(run)]);
    assert_eq!(s.deadline(), at(5));
    assert_eq!(wake(&mut s, at(5)), [report(Report::GivenUp { stuck: 1 })]);
    assert_eq!(s.deadline(), at(100));
    started(&wake(&mut s, at(100)));
    assert_eq!(end(&mut s, at(100), run, Outcome::Signal(9)), []);
}

#[test]
fn exit_status_0_after_a_timeout_is_no_success() {
    let mut s = scripts(&[script("a", SECOND * 10, SECOND)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    wake(&mut s, at(1));
    assert_eq!(end(&mut s, at(1), run, Outcome::Status(0)), [Kill(run)]);
    let run = started(&wake(&mut s, at(10)));
    let good = [verdict(Health::Good), report(Report::Succeeded)];
    assert_eq!(end(&mut s, at(10), run, Outcome::Status(0)), good);
}

#[test]
fn skipped_periods_are_said_once_per_run() {
    let mut s = scripts(&[script("a", SECOND, SECOND * 10)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    assert_eq!(wake(&mut s, at(1)), [report(Report::StillRunning)]);
    assert_eq!(wake(&mut s, at(2)), []);
    end(&mut s, at(2), run, Outcome::Status(0));
    started(&wake(&mut s, at(3)));
    assert_eq!(wake(&mut s, at(4)), [report(Report::StillRunning)]);
}

#[test]
fn a_script_that_hangs_in_every_run_fills_no_log() {
    let mut s = scripts(&[script("a", SECOND, SECOND * 3 / 2)]);
    let mut skips = 0;
    for _ in 0..40 {
        let now = s.deadline();
        for action in wake(&mut s, now) {
            match action {
                Terminate(run) => drop(end(&mut s, now, run, Outcome::Signal(15))),
                Action::Report { report, .. } => {
                    skips += u32::from(report == Report::StillRunning);
                }
                Start { .. } | Kill(_) | Action::Verdict { .. } => {}
            }
        }
    }
    assert_eq!(skips, 1);
}

#[test]
fn what_never_ends_does_not_pile_up() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    let (mut starts, mut now) = (Vec::new(), Mono::ZERO);
    while now < at(1000) {
        now = s.deadline();
        starts.extend(wake(&mut s, now).iter().filter_map(|a| match a {
            Start { run, .. } => Some(*run),
            Terminate(_) | Kill(_) | Action::Verdict { .. } | Action::Report { .. } => None,
        }));
    }
    assert_eq!(starts.len(), MAX_STUCK);
    end(&mut s, now, starts[3], Outcome::Signal(9));
    now = s.deadline();
    started(&wake(&mut s, now));
}

#[test]
fn init_fail_is_told_before_the_first_result() {
    let mut failing = (*script("a", SECOND, SECOND)).clone();
    failing.init_fail = true;
    let mut s = Scripts::default();
    let told = s.apply(Mono::ZERO, &[Arc::new(failing)]);
    assert_eq!(told, [verdict(Health::Bad)]);
}

#[test]
fn a_reload_keeps_the_verdict_of_an_unchanged_command_and_its_periods() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    end(&mut s, Mono::ZERO, run, Outcome::Status(0));
    let considered = [
        verdict(Health::Good),
        report(Report::Considered(Health::Good)),
    ];
    let half = Mono::ZERO + SECOND / 2;
    assert_eq!(s.apply(half, &[script("a", SECOND, SECOND)]), considered);
    assert_eq!(s.deadline(), at(1));
    assert_eq!(
        s.apply(half, &[script("a", SECOND * 9, SECOND)]),
        considered
    );
    started(&wake(&mut s, at(1)));
    assert_eq!(
        wake(&mut s, at(2)).first(),
        Some(&Terminate(RunId { script: 1, run: 2 }))
    );
}

#[test]
fn a_changed_command_begins_without_a_verdict_and_ends_the_old_run() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    let old = started(&wake(&mut s, Mono::ZERO));
    let mut other = (*script("a", SECOND, SECOND)).clone();
    other.command.argv.push("-x".into());
    let half = Mono::ZERO + SECOND / 2;
    assert_eq!(s.apply(half, &[Arc::new(other)]), [Terminate(old)]);
    let new = started(&wake(&mut s, half));
    assert_eq!(end(&mut s, half, old, Outcome::Status(1)), [Kill(old)]);
    let good = [verdict(Health::Good), report(Report::Succeeded)];
    assert_eq!(end(&mut s, half, new, Outcome::Status(0)), good);
}

#[test]
fn what_is_removed_while_running_is_ended_and_forgotten() {
    let mut s = scripts(&[script("a", SECOND, SECOND), script("b", SECOND, SECOND)]);
    let a = started(&wake(&mut s, Mono::ZERO));
    assert_eq!(s.apply(Mono::ZERO, &[]), [Terminate(a)]);
    assert!(!s.is_empty());
    assert_eq!(wake(&mut s, at(2)), [Kill(a)]);
    assert_eq!(end(&mut s, at(2), a, Outcome::Signal(9)), [Kill(a)]);
    assert!(s.is_empty());
    assert_eq!(s.deadline(), Mono::NEVER);
}

#[test]
fn a_snapshot_tells_the_result_the_last_run_and_what_goes_on() {
    let mut s = scripts(&[script("s", SECOND, SECOND)]);
    let now = |s: &Scripts| s.snapshot()["s"].clone();
    let fresh = now(&s);
    assert_eq!(
        (fresh.good, fresh.run, fresh.last),
        (None, RunState::Idle, None)
    );
    let run = started(&wake(&mut s, at(0)));
    assert_eq!(now(&s).run, RunState::Running);
    end(&mut s, at(0) + SECOND / 4, run, Outcome::Status(3));
    let failed = now(&s);
    let last = Some(LastRun {
        outcome: Outcome::Status(3),
        took: SECOND / 4,
        said: None,
    });
    assert_eq!(
        (failed.good, failed.result, failed.last),
        (Some(false), 0, last)
    );
}

/// What a simulated child does.
#[derive(Clone, Copy, Debug)]
enum Nature {
    /// Exits by itself.
    Exits { after_ms: u64, status: i32 },
    /// Ends this long after SIGTERM, with this status.
    Obeys { after_ms: u64, status: i32 },
    /// Ends this long after SIGKILL.
    Stubborn { after_ms: u64 },
    /// Somebody else kills it.
    Dies { after_ms: u64, signal: i32 },
    /// Cannot be started: it is not there (127), or not allowed (126).
    NotRun { status: i32 },
}

#[derive(Debug)]
struct Simulated {
    script: Arc<str>,
    nature: Nature,
    started_at: Mono,
    ends_at: Option<(Mono, Outcome)>,
    termed_at: Option<Mono>,
    killed_at: Option<Mono>,
    given_up: bool,
}

/// The world around the core, with everything that must hold at all times.
struct World {
    core: Scripts,
    now: Mono,
    children: BTreeMap<RunId, Simulated>,
    natures: Vec<Nature>,
    next_nature: usize,
    /// Per script: last start, last verdict told.
    starts: BTreeMap<Arc<str>, Mono>,
    told: BTreeMap<Arc<str>, Health>,
    config: Vec<Arc<Script>>,
    reloaded_at: Mono,
}

impl World {
    fn carry_out(&mut self, actions: Vec<Action>, ended: Option<RunId>) {
        for action in actions {
            match action {
                Start { run, script } => self.start(run, &script),
                Terminate(run) => {
                    let child = self
                        .children
                        .get_mut(&run)
                        .expect("TERM reaches a held child");
                    assert_eq!(child.termed_at, None, "TERM twice");
                    child.termed_at = Some(self.now);
                    if let Nature::Obeys { after_ms, status } = child.nature {
                        let end = self.now + Duration::from_millis(after_ms);
                        child.ends_at.get_or_insert((end, Outcome::Status(status)));
                    }
                }
                Kill(run) if ended == Some(run) => {}
                Kill(run) => {
                    let child = self
                        .children
                        .get_mut(&run)
                        .expect("KILL reaches a held child");
                    let termed_at = child.termed_at.expect("TERM comes before KILL");
                    assert!(self.now >= termed_at + TERM_GRACE);
                    assert_eq!(child.killed_at, None, "KILL twice");
                    child.killed_at = Some(self.now);
                    let wait = match child.nature {
                        Nature::Stubborn { after_ms } => after_ms,
                        Nature::Exits { .. }
                        | Nature::Obeys { .. }
                        | Nature::Dies { .. }
                        | Nature::NotRun { .. } => 0,
                    };
                    let end = self.now + Duration::from_millis(wait);
                    child.ends_at.get_or_insert((end, Outcome::Signal(9)));
                }
                Action::Verdict { script, health } => {
                    self.told.insert(script, health);
                }
                Action::Report {
                    script,
                    report: Report::GivenUp { stuck },
                } => {
                    assert!(stuck <= MAX_STUCK);
                    let limit = self.now - KILL_GRACE;
                    for child in self.children.values_mut() {
                        let due = child.killed_at.is_some_and(|at| at <= limit);
                        child.given_up |= child.script == script && due;
                    }
                }
                Action::Report { .. } => {}
            }
        }
    }

    fn start(&mut self, run: RunId, script: &Arc<Script>) {
        let held = self.children.values();
        let rivals = held.filter(|c| {
            let old = c.termed_at.is_some_and(|at| at <= self.reloaded_at);
            c.script == script.name && !c.given_up && !old
        });
        assert_eq!(rivals.count(), 0, "two runs of {} at once", script.name);
        if let Some(last) = self.starts.get(&script.name) {
            assert!(self.now >= *last + self.shortest(&script.name), "too soon");
        }
        self.starts.insert(Arc::clone(&script.name), self.now);
        let nature = self.natures[self.next_nature % self.natures.len()];
        self.next_nature += 1;
        let ends_at = match nature {
            Nature::Exits { after_ms, status } => {
                Some((Duration::from_millis(after_ms), Outcome::Status(status)))
            }
            Nature::Dies { after_ms, signal } => {
                Some((Duration::from_millis(after_ms), Outcome::Signal(signal)))
            }
            Nature::NotRun { status } => Some((Duration::ZERO, Outcome::Status(status))),
            Nature::Obeys { .. } | Nature::Stubborn { .. } => None,
        };
        let child = Simulated {
            script: Arc::clone(&script.name),
            nature,
            started_at: self.now,
            ends_at: ends_at.map(|(after, outcome)| (self.now + after, outcome)),
            termed_at: None,
            killed_at: None,
            given_up: false,
        };
        assert!(
            self.children.insert(run, child).is_none(),
            "a run used twice"
        );
    }

    /// Reloads may change an interval; then only the shortest one binds.
    fn shortest(&self, name: &str) -> Duration {
        let of = self.config.iter().find(|s| &*s.name == name);
        of.map_or(Duration::ZERO, |s| s.interval)
    }

    /// The next thing that happens: a child's end, or a deadline of the core. `None`: nothing before `until`.
    fn step(&mut self, until: Mono) -> bool {
        let ends = self.children.iter().filter_map(|(run, c)| {
            let (at, outcome) = c.ends_at?;
            Some((at, *run, outcome))
        });
        let end = ends.min_by_key(|(at, run, _)| (*at, *run));
        let deadline = self.core.deadline();
        assert!(
            deadline >= self.now || deadline <= until,
            "a deadline in the past stays"
        );
        match end {
            Some((at, run, outcome)) if at <= deadline.max(self.now) && at <= until => {
                self.now = self.now.max(at);
                self.children.remove(&run);
                let said = None;
                let ended = Event::Ended { run, outcome, said };
                let actions = self.core.on_event(self.now, ended);
                self.carry_out(actions, Some(run));
                true
            }
            _ if deadline <= until => {
                self.now = self.now.max(deadline);
                let actions = self.core.on_event(self.now, Event::Wake);
                self.carry_out(actions, None);
                true
            }
            _ => false,
        }
    }

    fn run_until(&mut self, until: Mono) {
        while self.step(until) {
            self.check();
        }
        self.now = until;
    }

    fn check(&self) {
        for (run, child) in &self.children {
            let Some(script) = self.config.iter().find(|s| s.name == child.script) else {
                continue;
            };
            if child.termed_at.is_none() {
                let limit = child.started_at + script.timeout.max(LONGEST);
                assert!(self.now <= limit, "{run:?} outlives its timeout: {child:?}");
            }
            if child.killed_at.is_none()
                && let Some(termed_at) = child.termed_at
            {
                assert!(
                    self.now <= termed_at + TERM_GRACE,
                    "{run:?} was never killed"
                );
            }
        }
    }
}

/// The longest timeout that the stories use: a reload may have shortened the one that binds a run.
const LONGEST: Duration = Duration::from_secs(5);

fn natures() -> impl Strategy<Value = Nature> {
    prop_oneof![
        4 => (0u64..4000, 0i32..3).prop_map(|(after_ms, status)| Nature::Exits { after_ms, status }),
        2 => (0u64..4500, 0i32..2).prop_map(|(after_ms, status)| Nature::Obeys { after_ms, status }),
        1 => (0u64..60_000).prop_map(|after_ms| Nature::Stubborn { after_ms }),
        1 => (0u64..4000, 1i32..32).prop_map(|(after_ms, signal)| Nature::Dies { after_ms, signal }),
        1 => (126i32..128).prop_map(|status| Nature::NotRun { status }),
    ]
}

#[derive(Clone, Debug)]
enum Turn {
    Pass { ms: u64 },
    Reload(Vec<(u8, u64, u64, bool)>),
}

/// Name, interval, timeout, and whether the command is the other one.
fn configs() -> impl Strategy<Value = Vec<(u8, u64, u64, bool)>> {
    let one = (0u8..4, 100u64..3000, 50u64..5000, any::<bool>());
    proptest::collection::vec(one, 0..4)
}

fn turns() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (0u64..20_000).prop_map(|ms| Turn::Pass { ms }),
        1 => configs().prop_map(Turn::Reload),
    ]
}

fn config(raw: &[(u8, u64, u64, bool)]) -> Vec<Arc<Script>> {
    let mut by_name = BTreeMap::new();
    for (name, interval, timeout, other) in raw {
        let name = format!("s{name}");
        let mut s = (*script(
            &name,
            Duration::from_millis(*interval),
            Duration::from_millis(*timeout),
        ))
        .clone();
        if *other {
            s.command.argv.push("other".into());
        }
        by_name.insert(name, Arc::new(s));
    }
    by_name.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    #[test]
    fn no_story_loses_a_run_or_a_check(
        first in configs(),
        turns in proptest::collection::vec(turns(), 1..8),
        natures in proptest::collection::vec(natures(), 1..20),
    ) {
        let mut world = World {
            core: Scripts::default(),
            now: Mono::ZERO,
            children: BTreeMap::new(),
            natures,
            next_nature: 0,
            starts: BTreeMap::new(),
            told: BTreeMap::new(),
            config: Vec::new(),
            reloaded_at: Mono::ZERO,
        };
        for turn in std::iter::once(Turn::Reload(first)).chain(turns) {
            match turn {
                Turn::Pass { ms } => {
                    let until = world.now + Duration::from_millis(ms);
                    world.run_until(until);
                }
                Turn::Reload(raw) => {
                    world.config = config(&raw);
                    world.starts.clear(); // A changed script starts at once.
                    world.told.clear();
                    world.reloaded_at = world.now;
                    let actions = world.core.apply(world.now, &world.config);
                    world.carry_out(actions, None);
                }
            }
        }
        // Checks go on: whatever happened, each script has a verdict within one whole life of its newest run.
        let whole_life = LONGEST + TERM_GRACE + KILL_GRACE + Duration::from_secs(6);
        let until = world.now + whole_life;
        world.run_until(until);
        for s in &world.config {
            prop_assert!(world.told.contains_key(&s.name), "{} has no verdict", s.name);
        }
        // Stop: every run is waited for, and then no timer is left.
        let actions = world.core.apply(world.now, &[]);
        world.config.clear();
        world.carry_out(actions, None);
        let until = world.now + Duration::from_secs(100);
        world.run_until(until);
        prop_assert!(world.children.is_empty(), "{:?}", world.children);
        prop_assert!(world.core.is_empty());
        prop_assert_eq!(world.core.deadline(), Mono::NEVER);
    }
}
