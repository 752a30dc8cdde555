//! The order of one object's notification scripts. A pure core: it knows no clock and no process.
//!
//! One script at a time: the next one starts when the one before has ended. States that come meanwhile wait; the last
//! one is never dropped, so whatever is lost in between, the last script that runs names the last state.
//!
//! A script may run for as long as it likes while nothing waits for it. Once something does, [`HANG_LIMIT`] counts,
//! from the start of the script; then its process group is ended and only the newest of the waiting states is told.
//! Source: keepalived.conf(5), `notify`.
// keepalived: starts all scripts at once and waits for none, so that their effects overlap and the last state need not
// be the last one told.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Mono;
use crate::track::run::{Due, Life, TERM_GRACE};

/// How long a script may keep others waiting, from its own start.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(30);
/// Transitions that wait at most; the oldest ones are dropped for newer ones. Enough for any burst that a well-meaning
/// set of scripts catches up with.
pub(crate) const MAX_WAITING: usize = 8;
/// From SIGTERM to SIGKILL when the daemon stops and the last state waits.
pub(crate) const HURRIED_GRACE: Duration = Duration::from_millis(100);

/// What the calls of a notification are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The object entered a state. The newest one is never dropped.
    State,
    /// Something happened to it. Dropped before any state is, and told once for as often as it happens while it waits.
    Incident,
}

/// What to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action<C> {
    /// Answered by [`Queue::on_ended`], also when it cannot be started.
    Start(C),
    /// SIGTERM to the group of what runs.
    Terminate,
    /// SIGKILL to the group of what runs, or to what is left of it.
    Kill,
    /// What runs did not die by SIGKILL; its end means nothing to this queue any more.
    GiveUp,
    /// So many transitions were never told.
    Dropped(usize),
}

/// The scripts of one object; `C` is one call.
#[derive(Debug)]
pub(crate) struct Queue<C> {
    running: Option<Running>,
    /// What is left of the transition that is being told.
    rest: VecDeque<C>,
    /// What came after that one, oldest first.
    waiting: VecDeque<(About, Vec<C>)>,
    /// The daemon stops, and everything must have ended by then.
    stop_at: Option<Mono>,
}

#[derive(Debug)]
struct Running {
    started_at: Mono,
    life: Life,
}

impl<C> Default for Queue<C> {
    fn default() -> Self {
        Self {
            running: None,
            rest: VecDeque::new(),
            waiting: VecDeque::new(),
            stop_at: None,
        }
    }
}

impl<C> Queue<C> {
    /// When [`Queue::on_wake`] is due.
    pub(crate) fn deadline(&self) -> Mono {
        let running = self.running.as_ref();
        running.map_or(Mono::NEVER, |r| r.life.deadline())
    }

    /// Nothing runs and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none() && self.rest.is_empty() && self.waiting.is_empty()
    }

    /// A notification: these calls, in this order, after everything that came before. No calls: nothing to do.
    pub(crate) fn accept(&mut self, now: Mono, calls: Vec<C>, about: About) -> Vec<Action<C>> {
        let again =
            about == About::Incident && matches!(self.waiting.back(), Some((About::Incident, _)));
        if calls.is_empty() || again {
            return Vec::new();
        }
        self.waiting.push_back((about, calls));
        let mut actions = self.keep_newest(MAX_WAITING);
        actions.extend(self.go_on(now));
        actions
    }

    /// `now` never goes back; does nothing before [`Queue::deadline`].
    pub(crate) fn on_wake(&mut self, now: Mono) -> Vec<Action<C>> {
        let Some(running) = &mut self.running else {
            return Vec::new();
        };
        match running.life.on_wake(now) {
            None => Vec::new(),
            Some(Due::Terminate) => {
                let grace = self.stop_at.map_or(TERM_GRACE, |_| HURRIED_GRACE);
                let kill_at = now + grace;
                running.life = Life::Terminated { kill_at };
                vec![Action::Terminate]
            }
            Some(Due::Kill) => vec![Action::Kill],
            Some(Due::GiveUp) => {
                self.running = None;
                let mut actions = vec![Action::GiveUp];
                actions.extend(self.after_hang(now));
                actions
            }
        }
    }

    /// What ran has ended, and was not given up before.
    pub(crate) fn on_ended(&mut self, now: Mono) -> Vec<Action<C>> {
        match self.running.take() {
            Some(ended) if !ended.life.is_running() => {
                // It was told to end; so is the rest of its group.
                let mut actions = vec![Action::Kill];
                actions.extend(self.after_hang(now));
                actions
            }
            Some(_) | None => self.go_on(now),
        }
    }

    /// The daemon stops: only the newest transition is still told. From now on a script that keeps another one waiting
    /// gets half of the time that is left until `stop_at`.
    pub(crate) fn hurry(&mut self, now: Mono, stop_at: Mono) -> Vec<Action<C>> {
        self.stop_at = Some(stop_at);
        let actions = self.keep_newest(1);
        if !self.waiting.is_empty() {
            self.rest.clear();
        }
        self.limit(now);
        actions
    }

    /// What is old news by now is not worth another wait.
    fn after_hang(&mut self, now: Mono) -> Vec<Action<C>> {
        let mut actions = self.keep_newest(1);
        if !self.waiting.is_empty() {
            self.rest.clear();
        }
        actions.extend(self.go_on(now));
        actions
    }

    fn keep_newest(&mut self, most: usize) -> Vec<Action<C>> {
        let dropped = self.waiting.len().saturating_sub(most);
        for _ in 0..dropped {
            let mut waiting = self.waiting.iter();
            let at = waiting.position(|(about, _)| *about == About::Incident);
            self.waiting.remove(at.unwrap_or(0));
        }
        if dropped == 0 {
            Vec::new()
        } else {
            vec![Action::Dropped(dropped)]
        }
    }

    /// Starts the next call if nothing runs.
    fn go_on(&mut self, now: Mono) -> Vec<Action<C>> {
        let mut actions = Vec::new();
        if self.running.is_none() {
            if self.rest.is_empty() {
                let next = self.waiting.pop_front();
                self.rest = next.map(|(_, calls)| calls.into()).unwrap_or_default();
            }
            let Some(call) = self.rest.pop_front() else {
                return actions;
            };
            actions.push(Action::Start(call));
            self.running = Some(Running {
                started_at: now,
                life: Life::Running {
                    limit_at: Mono::NEVER,
                },
            });
        }
        self.limit(now);
        actions
    }

    /// What runs must not keep the next one waiting for ever.
    fn limit(&mut self, now: Mono) {
        let somebody_waits = !self.rest.is_empty() || !self.waiting.is_empty();
        if let Some(running) = self.running.as_mut().filter(|_| somebody_waits) {
            let limit_at = match self.stop_at {
                None => running.started_at + HANG_LIMIT,
                Some(stop_at) => now + stop_at.since(now) / 2,
            };
            running.life.set_limit(limit_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Action::{Dropped, GiveUp, Kill, Start, Terminate};
    use super::*;
    use crate::track::run::KILL_GRACE;

    const T: Mono = Mono::ZERO;

    fn state<C>(q: &mut Queue<C>, now: Mono, calls: Vec<C>) -> Vec<Action<C>> {
        q.accept(now, calls, About::State)
    }

    #[test]
    fn no_incident_pushes_out_a_state_and_repeats_are_told_once() {
        let mut q = Queue::default();
        state(&mut q, T, vec![0]);
        for n in 1..MAX_WAITING {
            state(&mut q, T, vec![n]);
            q.accept(T, vec![100 + n], About::Incident);
            assert_eq!(q.accept(T, vec![200 + n], About::Incident), []);
        }
        let mut told = Vec::new();
        while let [Start(n)] = q.on_ended(T)[..] {
            told.push(n);
        }
        let states = told.iter().filter(|n| **n < 100);
        assert!(states.eq(&(1..MAX_WAITING).collect::<Vec<_>>()), "{told:?}");
        assert_eq!(told.last(), Some(&(100 + MAX_WAITING - 1)));
    }

    #[test]
    fn one_call_at_a_time_in_the_order_of_the_transitions() {
        let mut q = Queue::default();
        assert_eq!(state(&mut q, T, vec![1, 2]), [Start(1)]);
        assert_eq!(state(&mut q, T, vec![3]), []);
        assert_eq!(q.on_ended(T), [Start(2)]);
        assert_eq!(q.on_ended(T), [Start(3)]);
        assert_eq!(q.on_ended(T), []);
        assert!(q.is_idle());
    }

    #[test]
    fn a_script_that_nobody_waits_for_has_no_limit() {
        let mut q = Queue::default();
        state(&mut q, T, vec![1]);
        assert_eq!(q.deadline(), Mono::NEVER);
        state(&mut q, T + HANG_LIMIT / 2, vec![2]);
        assert_eq!(q.deadline(), T + HANG_LIMIT);
    }

    #[test]
    fn a_script_that_hangs_is_ended_and_only_the_newest_state_follows() {
        let mut q = Queue::default();
        state(&mut q, T, vec![1, 2]);
        state(&mut q, T, vec![3, 4]);
        state(&mut q, T, vec![5, 6]);
        let limit = T + HANG_LIMIT;
        assert_eq!(q.on_wake(limit), [Terminate]);
        assert_eq!(q.on_wake(limit + TERM_GRACE), [Kill]);
        let end = limit + TERM_GRACE + KILL_GRACE;
        assert_eq!(q.on_wake(end), [GiveUp, Dropped(1), Start(5)]);
        assert_eq!(q.on_ended(end), [Start(6)]);
    }

    #[test]
    fn the_rest_of_a_group_that_was_told_to_end_is_killed_before_the_next_call() {
        let mut q = Queue::default();
        state(&mut q, T, vec![1, 2]);
        q.on_wake(T + HANG_LIMIT);
        assert_eq!(q.on_ended(T + HANG_LIMIT), [Kill, Start(2)]);
    }

    #[test]
    fn a_burst_drops_the_oldest() {
        let mut q = Queue::default();
        for n in 0..=MAX_WAITING {
            assert!(!state(&mut q, T, vec![n]).contains(&Dropped(1)));
        }
        assert_eq!(state(&mut q, T, vec![99]), [Dropped(1)]);
        assert_eq!(q.on_ended(T), [Start(2)]);
    }

    #[test]
    fn at_stop_the_last_state_is_told_soon() {
        let mut q = Queue::default();
        state(&mut q, T, vec![1, 2]);
        state(&mut q, T, vec![3]);
        state(&mut q, T, vec![4, 5]);
        let soon = T + Duration::from_millis(500);
        assert_eq!(q.hurry(T, T + Duration::from_secs(1)), [Dropped(1)]);
        assert_eq!(q.on_wake(soon), [Terminate]);
        assert_eq!(q.deadline(), soon + HURRIED_GRACE);
        assert_eq!(q.on_ended(soon), [Kill, Start(4)]);
        assert_eq!(q.deadline(), soon + Duration::from_millis(250));
        assert_eq!(q.on_ended(soon), [Start(5)]);
        assert_eq!(q.deadline(), Mono::NEVER);
    }

    #[test]
    fn at_stop_what_nobody_waits_for_goes_on() {
        let mut q = Queue::default();
        state(&mut q, T, vec![1]);
        assert_eq!(q.hurry(T, T), []);
        assert_eq!(q.deadline(), Mono::NEVER);
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A transition with so many scripts.
        Accept(usize),
        /// The running script ends.
        End,
        /// Time passes, in ms.
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0usize..3).prop_map(Step::Accept),
            3 => Just(Step::End),
            2 => (0u64..40_000).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn the_last_state_is_always_told_last(story in proptest::collection::vec(steps(), 0..60)) {
            let mut q = Queue::default();
            let (mut now, mut running, mut told, mut last) = (T, false, Vec::new(), None);
            let follow = |actions: Vec<Action<(usize, usize)>>, running: &mut bool, told: &mut Vec<_>| {
                for action in actions {
                    match action {
                        Start(call) => {
                            assert!(!*running, "two at once");
                            *running = true;
                            told.push(call);
                        }
                        GiveUp => *running = false,
                        Terminate => assert!(*running),
                        Kill | Dropped(_) => {}
                    }
                }
            };
            let tail = std::iter::repeat_n(Step::End, 3 * MAX_WAITING);
            for (n, step) in story.into_iter().chain(tail).enumerate() {
                let actions = match step {
                    Step::Accept(scripts) => {
                        last = (scripts > 0).then_some((n, scripts.saturating_sub(1))).or(last);
                        state(&mut q, now, (0..scripts).map(|call| (n, call)).collect())
                    }
                    Step::End if running => {
                        running = false;
                        q.on_ended(now)
                    }
                    Step::End => Vec::new(),
                    Step::Pass(ms) => {
                        now += Duration::from_millis(ms);
                        q.on_wake(now)
                    }
                };
                follow(actions, &mut running, &mut told);
                prop_assert!(running || q.is_idle(), "something waits for nothing");
            }
            prop_assert!(q.is_idle());
            prop_assert!(told.is_sorted(), "out of order: {told:?}");
            prop_assert_eq!(told.last().copied(), last);
        }
    }
}
