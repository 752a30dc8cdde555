//! From single results to a verdict: `rise` and `fall`. A pure core.
//!
//! The first result decides at once, whatever `rise` and `fall` say. After that `fall` failures in a row make a good
//! tracker bad and `rise` successes in a row make a bad one good; a contrary result in between starts the count again.
//! Source: keepalived.conf(5), `vrrp_script`; measured behaviour of keepalived 2.4.3.

/// What a tracker says about its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Health {
    Good,
    Bad,
}

/// `rise` and `fall`, both ≥ 1; 0 is read as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// Successes in a row that make a bad tracker good.
    pub(crate) rise: u32,
    /// Failures in a row that make a good tracker bad.
    pub(crate) fall: u32,
}

/// The verdict on one tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    thresholds: Thresholds,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No result yet. `assumed` is what counts until there is one.
    Untried { assumed: Option<Health> },
    /// `failures` in a row so far, below `fall`.
    Good { failures: u32 },
    /// `successes` in a row so far, below `rise`.
    Bad { successes: u32 },
}

impl Verdict {
    /// `assumed`: what counts until the first result: nothing, or bad with `init_fail`.
    // keepalived: reads `init_fail` and ignores it. The manual says that such a script starts as failed, and so it does.
    pub(crate) fn new(thresholds: Thresholds, assumed: Option<Health>) -> Self {
        Self {
            thresholds,
            state: State::Untried { assumed },
        }
    }

    /// What counts now; `None`: nothing is known and nothing is assumed.
    pub(crate) fn health(&self) -> Option<Health> {
        match self.state {
            State::Untried { assumed } => assumed,
            State::Good { .. } => Some(Health::Good),
            State::Bad { .. } => Some(Health::Bad),
        }
    }

    /// keepalived's single counter, 0..rise + fall: good from `rise` on.
    pub(crate) fn counter(&self) -> u32 {
        let Thresholds { rise, fall } = self.thresholds;
        let (rise, fall) = (rise.max(1), fall.max(1));
        match self.state {
            State::Untried { .. } => rise - 1,
            State::Good { failures } => (rise + fall - 1).saturating_sub(failures),
            State::Bad { successes } => successes,
        }
    }

    /// There was at least one result.
    pub(crate) fn is_tried(&self) -> bool {
        match self.state {
            State::Untried { .. } => false,
            State::Good { .. } | State::Bad { .. } => true,
        }
    }

    /// One more result. `Some` when it is the first one or changes the verdict.
    pub(crate) fn on_result(&mut self, result: Health) -> Option<Health> {
        let before = self.state;
        self.state = match (before, result) {
            (State::Untried { .. } | State::Good { .. }, Health::Good) => {
                State::Good { failures: 0 }
            }
            (State::Untried { .. } | State::Bad { .. }, Health::Bad) => State::Bad { successes: 0 },
            (State::Good { failures }, Health::Bad) => {
                let failures = failures.saturating_add(1);
                if failures >= self.thresholds.fall {
                    State::Bad { successes: 0 }
                } else {
                    State::Good { failures }
                }
            }
            (State::Bad { successes }, Health::Good) => {
                let successes = successes.saturating_add(1);
                if successes >= self.thresholds.rise {
                    State::Good { failures: 0 }
                } else {
                    State::Bad { successes }
                }
            }
        };
        let news = !matches!(
            (before, self.state),
            (State::Good { .. }, State::Good { .. }) | (State::Bad { .. }, State::Bad { .. })
        );
        if news { self.health() } else { None }
    }

    /// Reload: other thresholds for the same script. The verdict stays, and so does the count towards the next one.
    pub(crate) fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }
}

#[cfg(test)]
mod tests {
    use super::Health::{Bad, Good};
    use super::*;
    use proptest::prelude::*;

    fn verdict(rise: u32, fall: u32) -> Verdict {
        Verdict::new(Thresholds { rise, fall }, None)
    }

    #[test]
    fn one_result_is_enough_at_the_start() {
        for first in [Good, Bad] {
            let mut v = verdict(5, 7);
            assert_eq!(v.health(), None);
            assert_eq!(v.on_result(first), Some(first));
            assert_eq!(v.on_result(first), None);
        }
    }

    #[test]
    fn init_fail_counts_as_bad_until_the_first_result() {
        let mut v = Verdict::new(Thresholds { rise: 3, fall: 3 }, Some(Bad));
        assert_eq!((v.health(), v.is_tried()), (Some(Bad), false));
        assert_eq!(v.on_result(Good), Some(Good));
    }

    #[test]
    fn a_contrary_result_starts_the_count_again() {
        let mut v = verdict(2, 3);
        let story = [Good, Bad, Bad, Good, Bad, Bad, Bad, Good, Bad, Good, Good];
        let news: Vec<_> = story.iter().map(|r| v.on_result(*r)).collect();
        let mut expected = [None; 11];
        expected[0] = Some(Good);
        expected[6] = Some(Bad);
        expected[10] = Some(Good);
        assert_eq!(news, expected);
    }

    #[test]
    fn a_lower_threshold_takes_effect_with_the_next_result() {
        let mut v = verdict(1, 10);
        for result in [Good, Bad, Bad, Bad] {
            v.on_result(result);
        }
        v.set_thresholds(Thresholds { rise: 1, fall: 2 });
        assert_eq!(v.health(), Some(Good));
        assert_eq!(v.on_result(Bad), Some(Bad));
    }

    /// keepalived's own bookkeeping as it can be seen in its dumps: one counter, 0 ..= rise + fall - 1.
    struct Counter {
        r: u32,
        tried: bool,
    }

    impl Counter {
        fn on_result(&mut self, rise: u32, fall: u32, result: Health) -> Health {
            let top = rise + fall - 1;
            self.r = match result {
                Good if self.r >= rise - 1 => top,
                Good => self.r + 1,
                Bad if !self.tried || self.r <= rise => 0,
                Bad => self.r - 1,
            };
            self.tried = true;
            if self.r >= rise { Good } else { Bad }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn verdicts_equal_those_of_the_single_counter(
            rise in 1u32..6, fall in 1u32..6, story in proptest::collection::vec(any::<bool>(), 0..60)
        ) {
            let mut v = verdict(rise, fall);
            let mut counter = Counter { r: rise - 1, tried: false };
            let mut last = None;
            for success in story {
                let result = if success { Good } else { Bad };
                let news = v.on_result(result);
                let expected = Some(counter.on_result(rise, fall, result));
                prop_assert_eq!(v.health(), expected);
                prop_assert_eq!(v.counter(), counter.r);
                prop_assert_eq!(news, if last == expected { None } else { expected });
                last = expected;
            }
        }
    }
}
