//! Random stories: simulated children that exit, hang, ignore signals, or never end at all, under random configurations.
//!
//! After every step it checks what must always hold: no two runs of a script at once, no run too soon, none that outlives its
//! timeout or that nobody waits for.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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
