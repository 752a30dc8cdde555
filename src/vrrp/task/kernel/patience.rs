//! How often something is put back that somebody else keeps deleting.

use std::collections::HashMap;
use std::time::Duration;

use super::entry::Key;
use crate::time::Mono;

/// How often within [`WINDOW`], and then no more: whoever keeps deleting it means it, and two daemons must not fight for ever.
const LIMIT: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// First restoration in the window, and how many there were since.
    spent: HashMap<Key, (Mono, u32)>,
}

/// What is to be done about a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    PutBack,
    Yield,
}

impl Patience {
    pub(super) fn reply(&mut self, key: &Key, now: Mono) -> Reply {
        let (since, count) = self.spent.entry(key.clone()).or_insert((now, 0));
        if now.since(*since) > WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count > LIMIT {
            Reply::Yield
        } else {
            Reply::PutBack
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::addr::AddressKey;

    #[test]
    fn it_ends_after_some_times_and_comes_back_after_a_while() {
        let local = [10, 0, 0, 1].into();
        let key = Key::Address(AddressKey {
            index: 1,
            local,
            remote: local,
            prefix_len: 24,
        });
        let mut patience = Patience::default();
        for _ in 0..LIMIT {
            assert_eq!(patience.reply(&key, Mono::ZERO), Reply::PutBack);
        }
        assert_eq!(patience.reply(&key, Mono::ZERO), Reply::Yield);
        let later = Mono::ZERO + WINDOW * 2;
        assert_eq!(patience.reply(&key, later), Reply::PutBack);
    }
}
