//! Which checker is due when: one ordered set for tens of thousands of them, and the start times that spread them.
//!
//! Pure: the random part comes from a seed. Source: keepalived.conf(5) `warmup`.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::CheckId;
use crate::time::Mono;

/// Deadlines, at most one per checker.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(Mono, CheckId)>,
    by_check: HashMap<CheckId, Mono>,
}

impl Deadlines {
    /// Sets or moves the deadline of `id`.
    pub(crate) fn set(&mut self, id: CheckId, at: Mono) {
        if let Some(before) = self.by_check.insert(id, at) {
            self.by_time.remove(&(before, id));
        }
        self.by_time.insert((at, id));
    }

    /// Forgets the deadline of `id`; false if it had none.
    pub(crate) fn remove(&mut self, id: CheckId) -> bool {
        match self.by_check.remove(&id) {
            Some(at) => self.by_time.remove(&(at, id)),
            None => false,
        }
    }

    pub(crate) fn get(&self, id: CheckId) -> Option<Mono> {
        self.by_check.get(&id).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_check.len()
    }

    /// The earliest deadline, [`Mono::NEVER`] if there is none.
    pub(crate) fn first(&self) -> Mono {
        self.by_time.first().map_or(Mono::NEVER, |&(at, _)| at)
    }

    /// Takes out the earliest of those that have passed.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<CheckId> {
        let &(at, id) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.remove(id);
        Some(id)
    }
}

/// A stream of numbers from a seed (SplitMix64): spreads load, guards no secret.
#[derive(Clone, Debug)]
pub(crate) struct Spread(u64);

impl Spread {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform between zero and `span`, in microseconds.
    pub(crate) fn up_to(&mut self, span: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        // The high half of the product: no division, and no bias that matters.
        let part = (u128::from(z) * (u128::from(span) + 1)) >> 64;
        Duration::from_micros(u64::try_from(part).unwrap_or(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_moves_fires_once() {
        let mut d = Deadlines::default();
        let at = Mono::from_micros;
        d.set(CheckId(1), at(10));
        d.set(CheckId(2), at(5));
        d.set(CheckId(1), at(3));
        assert_eq!(d.first(), at(3));
        assert_eq!(d.pop_due(at(2)), None);
        assert_eq!(d.pop_due(at(20)), Some(CheckId(1)));
        assert_eq!(d.pop_due(at(20)), Some(CheckId(2)));
        assert_eq!(d.pop_due(at(20)), None);
        assert_eq!((d.first(), d.len()), (Mono::NEVER, 0));
    }

    #[test]
    fn the_spread_covers_its_span_and_never_leaves_it() {
        let span = Duration::from_secs(6);
        let mut s = Spread::new(7);
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let part = s.up_to(span);
            assert!(part <= span);
            let tenth = (part.as_micros() * 10 / 6_000_001) as usize;
            tenths[tenth] += 1;
        }
        assert!(tenths.iter().all(|n| (900..1100).contains(n)), "{tenths:?}");
        assert_eq!(s.up_to(Duration::ZERO), Duration::ZERO);
    }
}
