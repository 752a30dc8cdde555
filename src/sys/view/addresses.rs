//! The addresses of all links, those of each in the kernel's own order, which decides about the source of packets.
//!
//! Thousands of them are a good part of what a daemon needs: they lie side by side in few large blocks, and what hardly
//! any address has lies elsewhere. Source: what dumps show after additions, deletions and promotions (the tests of the
//! monitor compare).

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::super::addr::{AddressKey, AddressOptions, flag};
use super::told::AddressTold;

/// Addresses in one block: to make room among them must not take long, and a block that is full is parted.
const RUN: usize = 2048;
/// Room that a block gets beforehand, at most.
const ROOM: usize = 64;

/// An address as the kernel holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    index: u32,
    local: IpAddr,
    prefix_len: u8,
    scope: u8,
    proto: Option<u8>,
    /// All of `IFA_F_*`.
    flags: u32,
    /// Last round of dumps in which it was seen.
    round: u32,
    /// Its place among those that came before and later; see [`Place`].
    arrival: i64,
    /// `None`: nothing.
    rare: Option<Box<Rare>>,
}

/// What most addresses have not got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    /// A remote end.
    remote: Option<IpAddr>,
    label: Option<Arc<str>>,
    broadcast: Option<Ipv4Addr>,
    preferred_lft: Option<u32>,
}

impl Held {
    fn new(told: AddressTold, arrival: i64, round: u32) -> Self {
        let AddressTold {
            key,
            options,
            flags,
            proto,
        } = told;
        let rare = Rare {
            remote: Some(key.remote).filter(|remote| *remote != key.local),
            label: options.label,
            broadcast: options.broadcast,
            preferred_lft: options.preferred_lft,
        };
        Self {
            index: key.index,
            local: key.local,
            prefix_len: key.prefix_len,
            scope: options.scope,
            proto,
            flags,
            round,
            arrival,
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }

    fn key(&self) -> AddressKey {
        AddressKey {
            index: self.index,
            local: self.local,
            remote: self
                .rare
                .as_ref()
                .and_then(|rare| rare.remote)
                .unwrap_or(self.local),
            prefix_len: self.prefix_len,
        }
    }

    fn options(&self) -> AddressOptions {
        let rare = self.rare.as_deref().cloned().unwrap_or_default();
        AddressOptions {
            label: rare.label,
            broadcast: rare.broadcast,
            scope: self.scope,
            flags: self.flags & flag::SETTABLE,
            preferred_lft: rare.preferred_lft,
        }
    }

    fn place(&self) -> Place {
        Place::of(self.local, self.scope, self.flags, self.arrival)
    }
}

/// Sorts as the kernel's lists do: IPv4 before IPv6. IPv4: primary addresses before secondary ones, narrower scopes
/// first, else in order of arrival. IPv6: wider scopes first, else the latest arrival first, which is why the arrivals
/// of what a dump shows, where the latest stands first, count backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Primary4(Reverse<u8>, i64),
    Secondary4(i64),
    V6(u8, Reverse<i64>),
}

impl Place {
    fn of(local: IpAddr, scope: u8, flags: u32, arrival: i64) -> Self {
        match (local, flags & flag::SECONDARY) {
            (IpAddr::V4(_), 0) => Self::Primary4(Reverse(scope), arrival),
            (IpAddr::V4(_), _) => Self::Secondary4(arrival),
            (IpAddr::V6(_), _) => Self::V6(scope, Reverse(arrival)),
        }
    }
}

/// What a message about an address meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    New,
    /// Its place or its flags changed.
    Changed,
    None,
}

/// All addresses of all links, sorted by their keys: a table would be half empty, and a second order of them costs more than
/// to sort those of a link when they are asked for, which is when something has changed.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// None is empty.
    runs: Vec<Vec<Held>>,
    arrivals: i64,
}

/// Run, and place in it.
type At = (usize, usize);

impl Addresses {
    /// `Err`: where it would have to be.
    fn find(&self, key: &AddressKey) -> Result<At, At> {
        let before = |run: &Vec<Held>| run.last().is_some_and(|held| held.key() < *key);
        let run = self.runs.partition_point(before);
        let last = self.runs.len().saturating_sub(1);
        match self.runs.get(run) {
            Some(held) => match held.binary_search_by(|held| held.key().cmp(key)) {
                Ok(at) => Ok((run, at)),
                Err(at) => Err((run, at)),
            },
            None => Err((last, self.runs.last().map_or(0, Vec::len))),
        }
    }

    fn at(&self, (run, at): At) -> Option<&Held> {
        self.runs.get(run)?.get(at)
    }

    fn get(&self, key: &AddressKey) -> Option<&Held> {
        self.at(self.find(key).ok()?)
    }

    fn insert(&mut self, (mut run, mut at): At, held: Held) {
        if self.runs.is_empty() {
            self.runs.push(Vec::new());
        }
        let len = self.runs[run].len();
        if len >= RUN {
            // At the end, where those of a dump go in, one that is full stays full.
            let from = if at == len { len } else { len / 2 };
            let behind = self.runs[run].split_off(from);
            self.runs[run].shrink_to_fit();
            self.runs.insert(run + 1, behind);
            if at >= from {
                (run, at) = (run + 1, at - from);
            }
        }
        let run = &mut self.runs[run];
        if run.len() == run.capacity() {
            run.reserve_exact((run.len() / 4).clamp(1, ROOM));
        }
        run.insert(at, held);
    }

    /// `dumped`: part of a dump, which shows all addresses of a link in their order.
    pub(super) fn put(&mut self, told: AddressTold, dumped: bool, round: u32) -> Effect {
        let at = self.find(&told.key);
        let old = at.ok().and_then(|at| self.at(at));
        let old = old.map(|held| (held.place(), held.arrival, held.flags));
        let (local, scope, flags) = (told.key.local, told.options.scope, told.flags);
        let place = |arrival| Place::of(local, scope, flags, arrival);
        let arrival = match old {
            Some((there, arrival, _)) if !dumped && there == place(arrival) => arrival,
            // New, or a secondary address that was promoted: it moves to the end of the primary ones.
            Some(_) | None => {
                self.arrivals += 1;
                if dumped && local.is_ipv6() {
                    -self.arrivals
                } else {
                    self.arrivals
                }
            }
        };
        let effect = match old {
            None => Effect::New,
            Some((there, _, before)) if (there, before) == (place(arrival), flags) => Effect::None,
            Some(_) => Effect::Changed,
        };
        let held = Held::new(told, arrival, round);
        match at {
            Ok((run, at)) => self.runs[run][at] = held,
            Err(at) => self.insert(at, held),
        }
        effect
    }

    /// False: it was not there.
    pub(super) fn remove(&mut self, key: &AddressKey) -> bool {
        let Ok((at_run, at)) = self.find(key) else {
            return false;
        };
        let run = &mut self.runs[at_run];
        run.remove(at);
        if run.is_empty() {
            self.runs.remove(at_run);
        } else if run.len() < run.capacity() / 2 {
            run.shrink_to_fit();
        }
        true
    }

    pub(super) fn options(&self, key: &AddressKey) -> Option<AddressOptions> {
        self.get(key).map(Held::options)
    }

    /// All of `IFA_F_*`.
    pub(super) fn flags(&self, key: &AddressKey) -> Option<u32> {
        self.get(key).map(|held| held.flags)
    }

    /// `IFA_PROTO`; `None`: not there, or the kernel does not tell.
    pub(super) fn proto(&self, key: &AddressKey) -> Option<u8> {
        self.get(key)?.proto
    }

    /// Whether any link has this address.
    pub(super) fn has(&self, addr: IpAddr) -> bool {
        self.runs.iter().flatten().any(|held| held.local == addr)
    }

    fn ordered(&self, index: u32) -> Vec<&Held> {
        let before = |run: &Vec<Held>| run.last().is_some_and(|held| held.index < index);
        let first = self.runs.partition_point(before);
        let mut all = Vec::new();
        for run in &self.runs[first..] {
            let from = run.partition_point(|held| held.index < index);
            let to = run.partition_point(|held| held.index <= index);
            all.extend(&run[from..to]);
            if to < run.len() {
                break;
            }
        }
        all.sort_unstable_by_key(|held| held.place());
        all
    }

    /// Those of a link.
    pub(super) fn in_order(&self, index: u32) -> impl Iterator<Item = AddressKey> {
        self.ordered(index).into_iter().map(Held::key)
    }

    /// Those of a link that packets may be sent from. One that nobody is asked about is tentative for no longer than the
    /// kernel takes to tell so a second time.
    pub(super) fn usable(&self, index: u32) -> Vec<AddressKey> {
        let good = |flags: u32| {
            let tentative = flags & (flag::TENTATIVE | flag::NODAD) == flag::TENTATIVE;
            flags & flag::DADFAILED == 0 && !tentative
        };
        let all = self.ordered(index).into_iter();
        all.filter(|held| good(held.flags)).map(Held::key).collect()
    }

    /// Those of a link that were not seen in `round`.
    pub(super) fn stale(&self, index: u32, round: u32) -> Vec<AddressKey> {
        let all = self.ordered(index).into_iter();
        all.filter(|held| held.round != round)
            .map(Held::key)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn told(index: u32, n: u32) -> AddressTold {
        let local = IpAddr::from(Ipv4Addr::from(0x0a00_0000 + n));
        AddressTold {
            key: AddressKey {
                index,
                local,
                remote: local,
                prefix_len: 24,
            },
            options: AddressOptions {
                label: n.is_multiple_of(5).then(|| "eth0:1".into()),
                broadcast: n.is_multiple_of(7).then_some(Ipv4Addr::BROADCAST),
                scope: 0,
                flags: 0,
                preferred_lft: n.is_multiple_of(11).then_some(60),
            },
            flags: 0x80,
            proto: Some(18),
        }
    }

    #[test]
    fn what_was_put_in_is_told_again() {
        let mut all = Addresses::default();
        for n in 0..100 {
            let mut one = told(1, n);
            if n.is_multiple_of(3) {
                one.key.remote = Ipv4Addr::LOCALHOST.into();
            }
            assert_eq!(all.put(one.clone(), false, 0), Effect::New);
            assert_eq!(all.options(&one.key), Some(one.options.clone()));
            assert_eq!(all.put(one, false, 0), Effect::None);
        }
    }

    #[test]
    fn blocks_that_are_full_are_parted_and_those_of_a_dump_stay_full() {
        let mut all = Addresses::default();
        let count = 5 * RUN;
        for n in 0..count {
            all.put(told(1, u32::try_from(n).expect("few")), true, 0);
        }
        assert_eq!(all.runs.len(), 5);
        all.put(told(0, 7), false, 0);
        assert_eq!(all.runs.len(), 6);
        assert_eq!(all.in_order(1).count(), count);
        assert_eq!(all.in_order(0).count(), 1);
    }

    proptest! {
        #[test]
        fn each_link_has_its_own(moves in prop::collection::vec((0..3_u32, 0..6000_u32, 0..4_u8), 1..200)) {
            let mut all = Addresses::default();
            let mut model = BTreeSet::new();
            for index in 0..3 {
                for n in 0..u32::try_from(RUN).expect("few") {
                    all.put(told(index, 2 * n), true, 0);
                    model.insert((index, 2 * n));
                }
            }
            for (index, n, what) in moves {
                let one = told(index, n);
                if what == 0 {
                    prop_assert_eq!(all.remove(&one.key), model.remove(&(index, n)));
                } else {
                    prop_assert_eq!(all.put(one, false, 1) == Effect::New, model.insert((index, n)));
                }
            }
            for index in 0..3 {
                let here: BTreeSet<_> = all.in_order(index).map(|key| key.local).collect();
                let there = model.iter().filter(|(i, _)| *i == index);
                let there: BTreeSet<_> = there.map(|(_, n)| told(0, *n).key.local).collect();
                prop_assert_eq!(here, there);
            }
            prop_assert!(all.runs.iter().all(|run| !run.is_empty() && run.len() <= RUN));
        }
    }
}
