//! From the results of single attempts to a verdict: how many failures are forgiven, and when to look again.
//!
//! Pure. Knows one checker and nothing about the server it belongs to. Source: keepalived.conf(5) `retry`,
//! `delay_loop`, `delay_before_retry`, `alpha`.

use std::time::Duration;

use crate::model::lvs::Checker;

/// What is believed about one checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    up: bool,
    /// There has been a result that counts: a failure, or a success of every page.
    ran: bool,
    /// Failures in a row, while they may be forgiven.
    tries: u32,
    /// Which page comes next.
    page: u32,
    /// The page that made it go down is looked at alone, until it is good.
    stuck: bool,
}

/// What a result has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// As it was.
    None,
    /// Up was assumed, and is now known.
    ConfirmedUp,
    /// Down was assumed (`alpha`), and is now known.
    ConfirmedDown,
    Up,
    /// After this many retries; `None` where none was due.
    Down {
        retries: Option<u32>,
    },
}

impl Verdict {
    /// Nothing is known yet: up is assumed, with `alpha` down.
    pub(crate) fn new(cfg: &Checker) -> Self {
        Self {
            up: !cfg.alpha,
            ..Self::assumed_up()
        }
    }

    /// Nothing is known yet, and the server serves already.
    pub(crate) fn assumed_up() -> Self {
        Self {
            up: true,
            ran: false,
            tries: 0,
            page: 0,
            stuck: false,
        }
    }

    /// An earlier run has found it down.
    pub(crate) fn found_down() -> Self {
        Self {
            up: false,
            ran: true,
            ..Self::assumed_up()
        }
    }

    pub(crate) fn is_up(self) -> bool {
        self.up
    }

    /// Which page the next attempt is for.
    pub(crate) fn page(self) -> usize {
        self.page as usize
    }

    /// Takes over what a reload has changed.
    pub(crate) fn reload(&mut self, cfg: &Checker) {
        self.tries = self.tries.min(cfg.retry);
        if self.page() >= cfg.check.pages() {
            self.page = 0;
        }
    }

    /// There has been a result.
    pub(crate) fn has_run(self) -> bool {
        self.ran
    }

    /// Failures in a row that were forgiven.
    pub(crate) fn tries(self) -> u32 {
        self.tries
    }

    /// One attempt was a success. The next one follows after the returned span, counted from the end of this one.
    pub(crate) fn on_success(&mut self, cfg: &Checker) -> (Change, Duration) {
        let pages = cfg.check.pages();
        self.tries = 0;
        let next = match cfg.check.is_hasty() && !(self.up && self.ran) {
            true => Duration::ZERO,
            false => cfg.delay_loop,
        };
        // The page that failed is good; now all of them have to be, from the first one on, also where it is the only one.
        if cfg.check.is_page() && std::mem::take(&mut self.stuck) {
            self.page = 0;
            return (Change::None, next);
        }
        self.page = u32::try_from((self.page() + 1) % pages).unwrap_or(0);
        if self.page != 0 {
            return (Change::None, next);
        }
        let change = match (self.up, self.ran) {
            (true, true) => Change::None,
            (true, false) => Change::ConfirmedUp,
            (false, _) => Change::Up,
        };
        (self.up, self.ran, self.stuck) = (true, true, false);
        (change, cfg.delay_loop)
    }

    /// One attempt was a failure. The very first result is believed at once, later ones after `retry` retries; a mail
    /// server always has its retries.
    pub(crate) fn on_failure(&mut self, cfg: &Checker) -> (Change, Duration) {
        let counts = cfg.check.always_retries() || (self.up && self.ran);
        if counts && self.tries < cfg.retry {
            self.tries += 1;
            return (Change::None, cfg.delay_before_retry);
        }
        let change = match (self.up, self.ran) {
            (true, ran) => Change::Down {
                retries: (cfg.retry > 0 && (ran || cfg.check.always_counts())).then_some(cfg.retry),
            },
            (false, true) => Change::None,
            (false, false) => Change::ConfirmedDown,
        };
        *self = Self {
            up: false,
            ran: true,
            tries: 0,
            page: self.page,
            stuck: true,
        };
        let next = match cfg.check.is_page() {
            false => cfg.delay_loop,
            true => cfg.delay_loop.max(cfg.delay_before_retry),
        };
        (change, next)
    }

    /// Somebody else has watched: it holds at once, without retries.
    pub(crate) fn on_told(&mut self, up: bool) -> Change {
        let change = match (self.up, up, self.ran) {
            (true, true, true) | (false, false, true) => Change::None,
            (true, true, false) => Change::ConfirmedUp,
            (false, false, false) => Change::ConfirmedDown,
            (false, true, _) => Change::Up,
            (true, false, _) => Change::Down { retries: None },
        };
        (self.up, self.ran) = (up, true);
        change
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::lvs::checker::Check;
    use crate::lvs::checker::connect::Connect;
    use crate::lvs::checker::http::{Http, Protocol, Url};
    use crate::lvs::checker::smtp::Smtp;
    use crate::lvs::service::tests::checker;

    const LOOP: Duration = Duration::from_secs(6);
    const RETRY: Duration = Duration::from_secs(3);

    fn cfg(retry: u32, alpha: bool) -> Checker {
        let mut checker = checker(80);
        (checker.retry, checker.alpha) = (retry, alpha);
        (checker.delay_loop, checker.delay_before_retry) = (LOOP, RETRY);
        checker
    }

    #[test]
    fn the_first_failure_is_believed_without_retries() {
        let cfg = cfg(3, false);
        let mut v = Verdict::new(&cfg);
        let down = Change::Down { retries: None };
        assert_eq!(v.on_failure(&cfg), (down, LOOP));
        assert_eq!(v.on_failure(&cfg), (Change::None, LOOP));
        assert_eq!(v.on_success(&cfg), (Change::Up, LOOP));
    }

    #[test]
    fn later_failures_are_forgiven_until_the_retries_are_used_up() {
        let cfg = cfg(2, false);
        let mut v = Verdict::new(&cfg);
        assert_eq!(v.on_success(&cfg), (Change::ConfirmedUp, LOOP));
        assert_eq!(v.on_failure(&cfg), (Change::None, RETRY));
        assert_eq!(v.on_failure(&cfg), (Change::None, RETRY));
        let down = Change::Down { retries: Some(2) };
        assert_eq!(v.on_failure(&cfg), (down, LOOP));
    }

    #[test]
    fn a_success_starts_the_count_anew() {
        let cfg = cfg(1, false);
        let mut v = Verdict::new(&cfg);
        v.on_success(&cfg);
        for _ in 0..5 {
            assert_eq!(v.on_failure(&cfg), (Change::None, RETRY));
            assert_eq!(v.on_success(&cfg), (Change::None, LOOP));
        }
    }

    #[test]
    fn alpha_is_down_until_the_first_success() {
        let cfg = cfg(3, true);
        let mut v = Verdict::new(&cfg);
        assert!(!v.is_up());
        assert_eq!(v.on_failure(&cfg), (Change::ConfirmedDown, LOOP));
        assert_eq!(v.on_failure(&cfg), (Change::None, LOOP));
        assert_eq!(v.on_success(&cfg), (Change::Up, LOOP));
    }

    /// `HTTP_GET` with that many pages.
    fn pages(count: usize, fast_recovery: bool) -> Checker {
        let http = Http {
            tls: None,
            protocol: Protocol::V10,
            urls: vec![Url::new("/"); count],
            fast_recovery,
        };
        let to = Connect::to(([10, 0, 0, 1], 80).into());
        Checker {
            check: Check::Http(to, Arc::new(http)),
            ..cfg(1, false)
        }
    }

    #[test]
    fn pages_come_in_turn_and_a_bad_one_is_looked_at_alone_until_it_is_good() {
        let cfg = pages(3, false);
        let mut v = Verdict::new(&cfg);
        let mut turn = |good: bool| {
            let page = v.page();
            let (change, next) = match good {
                true => v.on_success(&cfg),
                false => v.on_failure(&cfg),
            };
            (page, change, next)
        };
        assert_eq!(turn(true), (0, Change::None, LOOP));
        assert_eq!(turn(true), (1, Change::None, LOOP));
        assert_eq!(turn(true), (2, Change::ConfirmedUp, LOOP));
        assert_eq!(turn(true), (0, Change::None, LOOP));
        assert_eq!(turn(false), (1, Change::None, RETRY));
        let down = Change::Down { retries: Some(1) };
        assert_eq!(turn(false), (1, down, LOOP));
        assert_eq!(turn(false), (1, Change::None, LOOP));
        assert_eq!(turn(true), (1, Change::None, LOOP));
        assert_eq!(turn(true), (0, Change::None, LOOP));
        assert_eq!(turn(true), (1, Change::None, LOOP));
        assert_eq!(turn(true), (2, Change::Up, LOOP));
    }

    #[test]
    fn the_only_page_has_to_be_good_twice_after_it_has_failed() {
        let mut cfg = pages(1, false);
        let mut v = Verdict::new(&cfg);
        assert_eq!(v.on_success(&cfg), (Change::ConfirmedUp, LOOP));
        assert_eq!(v.on_failure(&cfg), (Change::None, RETRY));
        let timing = Arc::make_mut(&mut cfg.timing);
        timing.delay_before_retry = LOOP * 2;
        let down = Change::Down { retries: Some(1) };
        assert_eq!(v.on_failure(&cfg), (down, LOOP * 2));
        assert_eq!(v.on_success(&cfg), (Change::None, LOOP));
        assert_eq!(v.on_failure(&cfg), (Change::None, LOOP * 2));
        assert_eq!(v.on_success(&cfg), (Change::None, LOOP));
        assert_eq!(v.on_success(&cfg), (Change::Up, LOOP));
    }

    #[test]
    fn fast_recovery_leaves_the_delays_out_until_all_pages_were_good() {
        let cfg = pages(2, true);
        let mut v = Verdict::new(&cfg);
        assert_eq!(v.on_success(&cfg), (Change::None, Duration::ZERO));
        assert_eq!(v.on_success(&cfg), (Change::ConfirmedUp, LOOP));
        assert_eq!(v.on_success(&cfg), (Change::None, LOOP));
    }

    #[test]
    fn a_mail_server_has_its_retries_in_every_round() {
        let smtp = Smtp {
            helo_name: "me".into(),
        };
        let to = Connect::to(([10, 0, 0, 1], 25).into());
        let cfg = Checker {
            check: Check::Smtp(to, Box::new(smtp)),
            ..cfg(1, false)
        };
        let mut v = Verdict::new(&cfg);
        let down = Change::Down { retries: Some(1) };
        assert_eq!(v.on_failure(&cfg), (Change::None, RETRY));
        assert_eq!(v.on_failure(&cfg), (down, LOOP));
        assert_eq!(v.on_failure(&cfg), (Change::None, RETRY));
        assert_eq!(v.on_failure(&cfg), (Change::None, LOOP));
        assert_eq!(v.on_success(&cfg), (Change::Up, LOOP));
    }

    #[test]
    fn what_others_watch_holds_at_once() {
        let cfg = cfg(3, false);
        let mut v = Verdict::new(&cfg);
        assert_eq!(v.on_told(true), Change::ConfirmedUp);
        assert_eq!(v.on_told(false), Change::Down { retries: None });
        assert_eq!(v.on_told(false), Change::None);
        assert_eq!(v.on_told(true), Change::Up);
    }

    proptest! {
        #[test]
        fn up_means_fewer_failures_in_a_row_than_are_final(
            retry in 0_u32..4,
            results in proptest::collection::vec(any::<bool>(), 1..40),
        ) {
            let cfg = cfg(retry, false);
            let mut v = Verdict::new(&cfg);
            let mut in_a_row = 0;
            let mut up = true;
            for (n, good) in results.into_iter().enumerate() {
                let was = v.is_up();
                let (change, next) = if good { v.on_success(&cfg) } else { v.on_failure(&cfg) };
                in_a_row = if good { 0 } else { in_a_row + 1 };
                up = good || (up && n > 0 && in_a_row <= retry);
                prop_assert_eq!(v.is_up(), up);
                prop_assert_eq!(matches!(change, Change::Up | Change::Down { .. }), was != up);
                prop_assert_eq!(next, if up && !good { RETRY } else { LOOP });
            }
        }
    }
}
