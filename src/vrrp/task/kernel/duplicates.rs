//! IPv6 addresses of ours that somebody else has too (the kernel looks with `-nodad`): such an address is of no use.
//!
//! It is tried again, later each time, for as long as it is wanted: after a failover the other one may take its time.
//! Source: RFC 4862 §5.4.

use std::collections::HashMap;
use std::time::Duration;

use crate::sys::addr::AddressKey;
use crate::time::Mono;

/// Until the first try, doubled with each, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Duplicates(HashMap<AddressKey, Attempt>);

#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// [`Mono::NEVER`] while the kernel looks.
    at: Mono,
    delay: Duration,
}

impl Duplicates {
    /// Somebody else has it. Returns when it is tried again.
    pub(super) fn found(&mut self, key: AddressKey, now: Mono) -> Duration {
        let delay = self
            .0
            .get(&key)
            .map_or(FIRST, |a| (a.delay * 2).min(LONGEST));
        let at = now + delay;
        self.0.insert(key, Attempt { at, delay });
        delay
    }

    /// It is not there any more, or good. True: it was a duplicate before.
    pub(super) fn forget(&mut self, key: &AddressKey) -> bool {
        self.0.remove(key).is_some()
    }

    pub(super) fn deadline(&self) -> Mono {
        self.0.values().map(|a| a.at).min().unwrap_or(Mono::NEVER)
    }

    /// Those to be tried again now.
    pub(super) fn due(&mut self, now: Mono) -> Vec<AddressKey> {
        let mut due = Vec::new();
        for (key, attempt) in &mut self.0 {
            if attempt.at <= now {
                attempt.at = Mono::NEVER;
                due.push(*key);
            }
        }
        due.sort_unstable();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tries_become_rarer_until_it_is_good() {
        let local = [0xfd00, 0, 0, 0, 0, 0, 0, 1].into();
        let key = AddressKey {
            index: 1,
            local,
            remote: local,
            prefix_len: 64,
        };
        let at = |secs| Mono::ZERO + Duration::from_secs(secs);
        let mut duplicates = Duplicates::default();
        assert!(!duplicates.forget(&key));
        duplicates.found(key, at(0));
        assert_eq!(duplicates.due(at(0)), []);
        assert_eq!(duplicates.due(at(1)), [key]);
        assert_eq!(duplicates.deadline(), Mono::NEVER);
        duplicates.found(key, at(2));
        assert_eq!(duplicates.deadline(), at(4));
        for _ in 0..10 {
            duplicates.found(key, at(2));
        }
        assert_eq!(duplicates.deadline(), at(62));
        assert!(duplicates.forget(&key));
    }
}
