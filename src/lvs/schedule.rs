//! Which checker is due when: one place for each of tens of thousands of them, one ordered set of those that wait and one of
//! those that run, and the start times that spread them.
//!
//! Pure: the random part comes from a seed. Source: keepalived.conf(5) `warmup`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::CheckId;
use crate::time::Mono;

/// Where new handles of checkers come from.
#[derive(Debug, Default)]
pub(crate) struct CheckIds {
    made: u32,
    /// Of checkers that are gone.
    free: Vec<CheckId>,
}

impl CheckIds {
    /// One that was never given before.
    pub(crate) fn fresh(&mut self) -> CheckId {
        if let Some(id) = self.free.pop() {
            return CheckId::new(id.place(), id.tenant().wrapping_add(1));
        }
        self.made += 1;
        CheckId::new(self.made - 1, 0)
    }

    /// Its place is free for another one.
    pub(crate) fn give_back(&mut self, id: CheckId) {
        self.free.push(id);
    }
}

/// What a checker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// Its next attempt has its time.
    Waits,
    /// An attempt is being made; it is given up at its time.
    Runs,
}

/// The place of one checker.
#[derive(Debug)]
struct Entry<T> {
    /// Nobody is here.
    what: Option<T>,
    at: Mono,
    tenant: u32,
    doing: Doing,
}

/// All checkers with what belongs to each, and their times. Those that are not in it have none.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    entries: Vec<Entry<T>>,
    waiting: BTreeSet<(Mono, u32)>,
    running: BTreeSet<(Mono, u32)>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            waiting: BTreeSet::new(),
            running: BTreeSet::new(),
        }
    }
}

impl<T> Agenda<T> {
    fn at(&self, id: CheckId) -> Option<&Entry<T>> {
        let entry = self.entries.get(id.place() as usize)?;
        (entry.tenant == id.tenant() && entry.what.is_some()).then_some(entry)
    }

    fn at_mut(&mut self, id: CheckId) -> Option<&mut Entry<T>> {
        let entry = self.entries.get_mut(id.place() as usize)?;
        (entry.tenant == id.tenant() && entry.what.is_some()).then_some(entry)
    }

    /// A checker comes, or `what` belongs to it from now on. True: it was not there.
    pub(crate) fn enter(&mut self, id: CheckId, what: T) -> bool {
        if let Some(entry) = self.at_mut(id) {
            entry.what = Some(what);
            return false;
        }
        let empty = || Entry {
            what: None,
            at: Mono::NEVER,
            tenant: 0,
            doing: Doing::Nothing,
        };
        let place = id.place() as usize;
        if place >= self.entries.len() {
            self.entries.resize_with(place + 1, empty);
        }
        if let Some(entry) = self.entries.get_mut(place) {
            (entry.what, entry.tenant) = (Some(what), id.tenant());
        }
        true
    }

    /// It goes. True: an attempt was being made.
    pub(crate) fn leave(&mut self, id: CheckId) -> bool {
        let ran = self.rest(id) == Doing::Runs;
        if let Some(entry) = self.at_mut(id) {
            entry.what = None;
        }
        ran
    }

    #[cfg(test)]
    pub(crate) const ENTRY: usize = size_of::<Entry<T>>();

    /// No more memory than is needed for those that are here.
    pub(crate) fn shrink(&mut self) {
        let used = self.entries.iter().rposition(|e| e.what.is_some());
        self.entries.truncate(used.map_or(0, |last| last + 1));
        self.entries.shrink_to_fit();
    }

    pub(crate) fn get(&self, id: CheckId) -> Option<&T> {
        self.at(id)?.what.as_ref()
    }

    /// Takes it out of the sets; returns what it did.
    fn rest(&mut self, id: CheckId) -> Doing {
        let Some(entry) = self.at_mut(id) else {
            return Doing::Nothing;
        };
        let key = (entry.at, id.place());
        let did = std::mem::replace(&mut entry.doing, Doing::Nothing);
        match did {
            Doing::Nothing => false,
            Doing::Waits => self.waiting.remove(&key),
            Doing::Runs => self.running.remove(&key),
        };
        did
    }

    /// Its next attempt is due `at`, and none runs.
    pub(crate) fn plan(&mut self, id: CheckId, at: Mono) {
        self.rest(id);
        if let Some(entry) = self.at_mut(id) {
            (entry.at, entry.doing) = (at, Doing::Waits);
            self.waiting.insert((at, id.place()));
        }
    }

    /// An attempt runs, to be given up at `until`.
    pub(crate) fn run(&mut self, id: CheckId, until: Mono) {
        self.rest(id);
        if let Some(entry) = self.at_mut(id) {
            (entry.at, entry.doing) = (until, Doing::Runs);
            self.running.insert((until, id.place()));
        }
    }

    /// Its attempt is over; false if none ran.
    pub(crate) fn end(&mut self, id: CheckId) -> bool {
        self.at(id).is_some_and(|e| e.doing == Doing::Runs) && self.rest(id) == Doing::Runs
    }

    /// When its next attempt is due, if it waits for that.
    pub(crate) fn planned(&self, id: CheckId) -> Option<Mono> {
        let entry = self.at(id)?;
        (entry.doing == Doing::Waits).then_some(entry.at)
    }

    /// How many attempts run.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// When the next attempt is due, [`Mono::NEVER`] if none is.
    pub(crate) fn next_due(&self) -> Mono {
        self.waiting.first().map_or(Mono::NEVER, |&(at, _)| at)
    }

    /// When the next attempt is given up, [`Mono::NEVER`] if none is.
    pub(crate) fn next_late(&self) -> Mono {
        self.running.first().map_or(Mono::NEVER, |&(at, _)| at)
    }

    /// Takes out the one that has been due for the longest time.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<CheckId> {
        self.waiting.first().filter(|(at, _)| *at <= now)?;
        let (_, place) = self.waiting.pop_first()?;
        self.popped(place)
    }

    /// Takes out the one whose attempt has been overdue for the longest time.
    pub(crate) fn pop_late(&mut self, now: Mono) -> Option<CheckId> {
        self.running.first().filter(|(at, _)| *at <= now)?;
        let (_, place) = self.running.pop_first()?;
        self.popped(place)
    }

    fn popped(&mut self, place: u32) -> Option<CheckId> {
        let entry = self.entries.get_mut(place as usize)?;
        entry.doing = Doing::Nothing;
        Some(CheckId::new(place, entry.tenant))
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

    fn at(micros: u64) -> Mono {
        Mono::from_micros(micros)
    }

    #[test]
    fn a_time_that_moves_comes_once() {
        let (mut ids, mut agenda) = (CheckIds::default(), Agenda::default());
        let [one, two] = [ids.fresh(), ids.fresh()];
        assert!(agenda.enter(one, 'a') && agenda.enter(two, 'b') && !agenda.enter(two, 'c'));
        agenda.plan(one, at(10));
        agenda.plan(two, at(5));
        agenda.plan(one, at(3));
        assert_eq!(
            (agenda.next_due(), agenda.planned(one)),
            (at(3), Some(at(3)))
        );
        assert_eq!(agenda.pop_due(at(2)), None);
        assert_eq!(agenda.pop_due(at(20)), Some(one));
        assert_eq!(agenda.pop_due(at(20)), Some(two));
        assert_eq!(agenda.pop_due(at(20)), None);
        assert_eq!(agenda.next_due(), Mono::NEVER);
        assert_eq!((agenda.get(one), agenda.get(two)), (Some(&'a'), Some(&'c')));
    }

    #[test]
    fn who_runs_does_not_wait_and_who_is_gone_does_neither() {
        let (mut ids, mut agenda) = (CheckIds::default(), Agenda::default());
        let [one, two] = [ids.fresh(), ids.fresh()];
        agenda.enter(one, ());
        agenda.enter(two, ());
        agenda.plan(one, at(1));
        agenda.run(one, at(9));
        assert_eq!((agenda.next_due(), agenda.running()), (Mono::NEVER, 1));
        assert!(agenda.end(one) && !agenda.end(one));
        agenda.run(one, at(9));
        assert_eq!(agenda.pop_late(at(8)), None);
        assert_eq!(agenda.pop_late(at(9)), Some(one));
        agenda.run(one, at(9));
        agenda.plan(two, at(5));
        assert!(agenda.leave(one) && !agenda.leave(two) && !agenda.leave(two));
        assert_eq!(
            (agenda.next_due(), agenda.next_late()),
            (Mono::NEVER, Mono::NEVER)
        );
        ids.give_back(one);
        let other = ids.fresh();
        assert_eq!((other.place(), other == one), (one.place(), false));
        agenda.enter(other, ());
        agenda.plan(one, at(1));
        assert_eq!((agenda.get(one), agenda.next_due()), (None, Mono::NEVER));
        agenda.leave(other);
        agenda.shrink();
        assert_eq!(agenda.entries.capacity(), 0);
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
