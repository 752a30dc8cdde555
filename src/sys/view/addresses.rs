//! The addresses of one link, in the kernel's own order, which decides about the source of packets.
//!
//! Source: what dumps show after additions, deletions and promotions (the tests of the monitor compare).

use std::cmp::Reverse;
use std::net::IpAddr;

use super::super::addr::{AddressKey, AddressOptions, flag};
use super::told::AddressTold;

/// An address as the kernel holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    key: AddressKey,
    place: Place,
    options: AddressOptions,
    /// All of `IFA_F_*`.
    flags: u32,
    proto: Option<u8>,
    /// Last round of dumps in which it was seen.
    round: u32,
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
    fn of(told: &AddressTold, arrival: i64) -> Self {
        let scope = told.options.scope;
        match (told.key.local, told.flags & flag::SECONDARY) {
            (IpAddr::V4(_), 0) => Self::Primary4(Reverse(scope), arrival),
            (IpAddr::V4(_), _) => Self::Secondary4(arrival),
            (IpAddr::V6(_), _) => Self::V6(scope, Reverse(arrival)),
        }
    }

    fn arrival(self) -> i64 {
        match self {
            Self::Primary4(_, n) | Self::Secondary4(n) | Self::V6(_, Reverse(n)) => n,
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

/// All addresses of one link, sorted by their keys: a table would be half empty, and a second order of them costs more than
/// to sort them when it is asked for, which is when something has changed.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    held: Vec<Held>,
    arrivals: i64,
}

impl Addresses {
    fn find(&self, key: &AddressKey) -> Result<usize, usize> {
        self.held.binary_search_by(|held| held.key.cmp(key))
    }

    fn get(&self, key: &AddressKey) -> Option<&Held> {
        self.held.get(self.find(key).ok()?)
    }

    /// `dumped`: part of a dump, which shows all addresses of a link in their order.
    pub(super) fn put(&mut self, told: AddressTold, dumped: bool, round: u32) -> Effect {
        let at = self.find(&told.key);
        let old = at.ok().and_then(|at| self.held.get(at));
        let place = match old {
            Some(old) if !dumped && old.place == Place::of(&told, old.place.arrival()) => old.place,
            // New, or a secondary address that was promoted: it moves to the end of the primary ones.
            Some(_) | None => {
                self.arrivals += 1;
                let backwards = dumped && told.key.local.is_ipv6();
                let arrival = if backwards {
                    -self.arrivals
                } else {
                    self.arrivals
                };
                Place::of(&told, arrival)
            }
        };
        let effect = match old {
            None => Effect::New,
            Some(old) if (old.place, old.flags) == (place, told.flags) => Effect::None,
            Some(_) => Effect::Changed,
        };
        let held = Held {
            key: told.key,
            place,
            options: told.options,
            flags: told.flags,
            proto: told.proto,
            round,
        };
        match at {
            Ok(at) => self.held[at] = held,
            Err(at) => {
                if self.held.len() == self.held.capacity() {
                    self.held.reserve_exact(self.held.len() / 4 + 1);
                }
                self.held.insert(at, held);
            }
        }
        effect
    }

    /// False: it was not there.
    pub(super) fn remove(&mut self, key: &AddressKey) -> bool {
        let Ok(at) = self.find(key) else {
            return false;
        };
        self.held.remove(at);
        if self.held.len() < self.held.capacity() / 2 {
            self.held.shrink_to_fit();
        }
        true
    }

    pub(super) fn options(&self, key: &AddressKey) -> Option<&AddressOptions> {
        self.get(key).map(|held| &held.options)
    }

    /// All of `IFA_F_*`.
    pub(super) fn flags(&self, key: &AddressKey) -> Option<u32> {
        self.get(key).map(|held| held.flags)
    }

    /// `IFA_PROTO`; `None`: not there, or the kernel does not tell.
    pub(super) fn proto(&self, key: &AddressKey) -> Option<u8> {
        self.get(key)?.proto
    }

    pub(super) fn has(&self, addr: IpAddr) -> bool {
        let at = self.held.partition_point(|held| held.key.local < addr);
        self.held.get(at).is_some_and(|held| held.key.local == addr)
    }

    fn ordered(&self) -> Vec<&Held> {
        let mut all: Vec<&Held> = self.held.iter().collect();
        all.sort_unstable_by_key(|held| held.place);
        all
    }

    pub(super) fn in_order(&self) -> impl Iterator<Item = &AddressKey> {
        self.ordered().into_iter().map(|held| &held.key)
    }

    /// Those that packets may be sent from. One that nobody is asked about is tentative for no longer than the kernel takes to
    /// tell so a second time.
    pub(super) fn usable(&self) -> Vec<AddressKey> {
        let good = |flags: u32| {
            let tentative = flags & (flag::TENTATIVE | flag::NODAD) == flag::TENTATIVE;
            flags & flag::DADFAILED == 0 && !tentative
        };
        let all = self.ordered().into_iter();
        all.filter(|held| good(held.flags))
            .map(|held| held.key)
            .collect()
    }

    /// Those not seen in `round`.
    pub(super) fn stale(&self, round: u32) -> Vec<AddressKey> {
        let all = self.ordered().into_iter();
        all.filter(|held| held.round != round)
            .map(|held| held.key)
            .collect()
    }
}
