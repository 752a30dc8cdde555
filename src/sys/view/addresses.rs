//! The addresses of one link, in the kernel's own order, which decides about the source of packets.
//!
//! Source: what dumps show after additions, deletions and promotions (the tests of the monitor compare).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::super::addr::{AddressKey, AddressOptions, flag};
use super::told::AddressTold;

/// An address as the kernel holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
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

/// All addresses of one link.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    held: HashMap<AddressKey, Held>,
    order: BTreeMap<Place, AddressKey>,
    arrivals: i64,
}

impl Addresses {
    /// `dumped`: part of a dump, which shows all addresses of a link in their order.
    pub(super) fn put(&mut self, told: AddressTold, dumped: bool, round: u32) -> Effect {
        let old = self.held.get(&told.key);
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
        if let Some(old) = old {
            self.order.remove(&old.place);
        }
        self.order.insert(place, told.key);
        let held = Held {
            place,
            options: told.options,
            flags: told.flags,
            proto: told.proto,
            round,
        };
        self.held.insert(told.key, held);
        effect
    }

    /// False: it was not there.
    pub(super) fn remove(&mut self, key: &AddressKey) -> bool {
        let Some(held) = self.held.remove(key) else {
            return false;
        };
        self.order.remove(&held.place);
        true
    }

    pub(super) fn options(&self, key: &AddressKey) -> Option<&AddressOptions> {
        self.held.get(key).map(|held| &held.options)
    }

    /// All of `IFA_F_*`.
    pub(super) fn flags(&self, key: &AddressKey) -> Option<u32> {
        self.held.get(key).map(|held| held.flags)
    }

    /// `IFA_PROTO`; `None`: not there, or the kernel does not tell.
    pub(super) fn proto(&self, key: &AddressKey) -> Option<u8> {
        self.held.get(key)?.proto
    }

    pub(super) fn in_order(&self) -> impl Iterator<Item = &AddressKey> {
        self.order.values()
    }

    /// Those that packets may be sent from.
    pub(super) fn usable(&self) -> Vec<AddressKey> {
        let bad = flag::TENTATIVE | flag::DADFAILED;
        let usable = |key: &&AddressKey| self.held.get(key).is_some_and(|h| h.flags & bad == 0);
        self.in_order().filter(usable).copied().collect()
    }

    /// Those not seen in `round`.
    pub(super) fn stale(&self, round: u32) -> Vec<AddressKey> {
        let stale = |key: &&AddressKey| self.held.get(key).is_some_and(|h| h.round != round);
        self.in_order().filter(stale).copied().collect()
    }
}
