//! Desired × owned → ordered operations, for whatever the kernel holds on our behalf: addresses, routes, rules, IPVS.
//!
//! Pure: says what is to be done and in which order, never does it. Things that are not in [`Owned`] are not ours and
//! never appear in an operation. Source: the order in which keepalived works, deletions first, each in the order of
//! the configuration.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// One step towards what is desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op<K, V> {
    /// Owned, no longer desired.
    Del(K, V),
    /// Desired, not owned.
    Add(K, V),
    /// Owned under the same key with another value.
    Replace { key: K, from: V, to: V },
}

/// What we have put into the kernel, in the order in which it went in.
#[derive(Clone, Debug)]
pub(crate) struct Owned<K, V> {
    /// Boxed: most owners hold one thing, and a table has room for four.
    entries: HashMap<K, Box<(u64, V)>>,
    /// Rank of the next entry.
    next: u64,
}

impl<K, V> Default for Owned<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            next: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone + PartialEq> Owned<K, V> {
    /// Takes note of an entry, at the end, or in its old place where the key is known.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let rank = self.entries.get(&key).map_or(self.next, |entry| entry.0);
        self.next = self.next.max(rank + 1);
        self.entries.insert(key, Box::new((rank, value)));
    }

    /// Forgets an entry: it is gone, or it is no longer ours.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|entry| entry.1)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.1)
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, oldest first.
    pub(crate) fn in_order(&self) -> Vec<(&K, &V)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_unstable_by_key(|(_, entry)| entry.0);
        all.into_iter()
            .map(|(key, entry)| (key, &entry.1))
            .collect()
    }

    /// What leads from here to `desired`: first the deletions, oldest first, then additions and replacements in the
    /// order of `desired`. Where a key is desired twice, the first one counts.
    pub(crate) fn towards(&self, desired: &[(K, V)]) -> Vec<Op<K, V>> {
        let mut seen = HashSet::with_capacity(desired.len());
        let wanted: Vec<_> = desired.iter().filter(|(key, _)| seen.insert(key)).collect();
        let mut ops: Vec<_> = self
            .in_order()
            .into_iter()
            .filter(|(key, _)| !seen.contains(key))
            .map(|(key, value)| Op::Del(key.clone(), value.clone()))
            .collect();
        ops.extend(wanted.into_iter().filter_map(|(key, to)| {
            let (key, to) = (key.clone(), to.clone());
            match self.get(&key) {
                None => Some(Op::Add(key, to)),
                Some(from) if *from == to => None,
                Some(from) => Some(Op::Replace {
                    key,
                    from: from.clone(),
                    to,
                }),
            }
        }));
        ops
    }

    /// Takes note of an operation that the kernel has carried out.
    pub(crate) fn settle(&mut self, op: &Op<K, V>) {
        match op {
            Op::Del(key, _) => {
                self.remove(key);
            }
            Op::Add(key, value) | Op::Replace { key, to: value, .. } => {
                self.insert(key.clone(), value.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(entries: &[(u8, u8)]) -> Owned<u8, u8> {
        let mut o = Owned::default();
        for &(key, value) in entries {
            o.insert(key, value);
        }
        o
    }

    #[test]
    fn deletions_come_first_and_everything_keeps_its_order() {
        let o = owned(&[(9, 0), (3, 0), (5, 0), (1, 0)]);
        assert_eq!(
            o.towards(&[(7, 0), (3, 1), (1, 0), (2, 0)]),
            [
                Op::Del(9, 0),
                Op::Del(5, 0),
                Op::Add(7, 0),
                Op::Replace {
                    key: 3,
                    from: 0,
                    to: 1
                },
                Op::Add(2, 0),
            ]
        );
    }

    #[test]
    fn a_key_desired_twice_counts_once() {
        assert_eq!(owned(&[]).towards(&[(1, 0), (1, 5)]), [Op::Add(1, 0)]);
        assert_eq!(owned(&[(1, 0)]).towards(&[(1, 0), (1, 5)]), []);
    }

    proptest! {
        #[test]
        fn applying_the_operations_gives_what_is_desired_and_nothing_is_left_to_do(
            before in proptest::collection::vec((0_u8..20, 0_u8..3), 0..30),
            desired in proptest::collection::vec((0_u8..20, 0_u8..3), 0..30),
        ) {
            let mut o = owned(&before);
            let ops = o.towards(&desired);
            for op in &ops {
                match op {
                    Op::Del(key, value) => prop_assert_eq!(o.get(key), Some(value)),
                    Op::Add(key, _) => prop_assert!(!o.contains(key)),
                    Op::Replace { key, from, to } => {
                        prop_assert_eq!(o.get(key), Some(from));
                        prop_assert_ne!(from, to);
                    }
                }
                o.settle(op);
            }
            for (key, value) in o.in_order() {
                prop_assert_eq!(desired.iter().find(|(k, _)| k == key).map(|(_, v)| v), Some(value));
            }
            for (key, _) in &desired {
                prop_assert!(o.contains(key));
            }
            prop_assert_eq!(o.towards(&desired), []);
        }
    }
}
