//! Who holds what. Two may hold the same thing; it goes when the last of them lets go.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::entry::{Entry, Key, Owner, rank};
use crate::reconcile::{Op, Owned};
use crate::sys::netlink::Request;

type Thing = (Key, Entry);

/// Somebody's things, in the order in which they went in. Most have one, which lies where it is looked for: thousands of small
/// blocks, made while a takeover goes on, would stand between what it takes for a moment and keep all of that.
#[derive(Debug)]
enum Things {
    One(Thing),
    Several(VecDeque<Thing>),
}

impl Things {
    fn none() -> Self {
        Self::Several(VecDeque::new())
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Several(all) => all.is_empty(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Thing> {
        let (one, several) = match self {
            Self::One(thing) => (Some(thing), None),
            Self::Several(all) => (None, Some(all)),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Thing> {
        let (one, several) = match self {
            Self::One(thing) => (Some(thing), None),
            Self::Several(all) => (None, Some(all)),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    fn entry(&self, key: &Key) -> Option<&Entry> {
        self.iter().find(|(k, _)| k == key).map(|(_, entry)| entry)
    }

    fn entry_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        let mut all = self.iter_mut();
        all.find(|(k, _)| k == key).map(|(_, entry)| entry)
    }

    fn push(&mut self, thing: Thing) {
        *self = match std::mem::replace(self, Self::none()) {
            Self::One(first) => Self::Several([first, thing].into()),
            Self::Several(all) if all.is_empty() => Self::One(thing),
            Self::Several(mut all) => {
                all.push_back(thing);
                Self::Several(all)
            }
        };
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        match self {
            Self::One((k, _)) if k != key => None,
            Self::One(_) => match std::mem::replace(self, Self::none()) {
                Self::One((_, entry)) => Some(entry),
                Self::Several(_) => None,
            },
            Self::Several(all) => {
                let at = all.iter().position(|(k, _)| k == key)?;
                let (_, entry) = all.remove(at)?;
                Some(entry)
            }
        }
    }
}

/// Values by their keys, sorted: a table of thousands would be half empty.
#[derive(Debug)]
struct Sorted<K, V>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Sorted<K, V> {
    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(k, _)| k.cmp(key))
    }

    fn get(&self, key: &K) -> Option<&V> {
        let (_, value) = self.0.get(self.find(key).ok()?)?;
        Some(value)
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// The value of `key`, which is `new` if there was none.
    fn or_insert(&mut self, key: K, new: V) -> &mut V {
        let at = self.find(&key).unwrap_or_else(|at| {
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(self.0.len() / 8 + 1);
            }
            self.0.insert(at, (key, new));
            at
        });
        &mut self.0[at].1
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let (_, value) = self.0.remove(self.find(key).ok()?);
        if self.0.len() < self.0.capacity() / 2 {
            self.0.shrink_to_fit();
        }
        Some(value)
    }

    fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.0.iter()
    }
}

#[derive(Debug, Default)]
pub(super) struct Holdings {
    owned: Sorted<Owner, Things>,
    /// One of those who hold a thing.
    holder: Sorted<Key, Owner>,
    /// All of them, where they are several.
    shared: HashMap<Key, BTreeSet<Owner>>,
}

impl Holdings {
    /// What leads somebody to `desired`.
    pub(super) fn towards(
        &mut self,
        owner: Owner,
        desired: Vec<(Key, Entry)>,
    ) -> Vec<Op<Key, Entry>> {
        let Some(things) = self.owned.get_mut(&owner) else {
            return Owned::default().towards(&desired);
        };
        let mut owned = Owned::default();
        for (key, entry) in things.iter() {
            owned.insert(key.clone(), entry.clone());
        }
        let ops = owned.towards(&desired);
        // What is equal for the kernel may differ for us, as `no_track` does.
        let mut desired: HashMap<Key, Entry> = desired.into_iter().rev().collect();
        for (key, held) in things.iter_mut() {
            if let Some(entry) = desired.remove(key).filter(|entry| entry == held) {
                *held = entry;
            }
        }
        ops
    }

    /// Notes an operation that is done.
    pub(super) fn settle(&mut self, owner: Owner, op: &Op<Key, Entry>) {
        match op {
            Op::Del(key, _) => {
                self.take(owner, key);
                self.let_go(key, owner);
            }
            Op::Add(key, entry) | Op::Replace { key, to: entry, .. } => {
                let things = self.owned.or_insert(owner, Things::none());
                match things.entry_mut(key) {
                    Some(held) => *held = entry.clone(),
                    None => things.push((key.clone(), entry.clone())),
                }
                let first = *self.holder.or_insert(key.clone(), owner);
                if first != owner {
                    let all = self.shared.entry(key.clone()).or_default();
                    all.extend([first, owner]);
                }
            }
        }
    }

    fn take(&mut self, owner: Owner, key: &Key) -> Option<Entry> {
        let things = self.owned.get_mut(&owner)?;
        let entry = things.remove(key)?;
        if things.is_empty() {
            self.owned.remove(&owner);
        }
        Some(entry)
    }

    fn let_go(&mut self, key: &Key, owner: Owner) {
        let mut next = None;
        if let Some(all) = self.shared.get_mut(key) {
            all.remove(&owner);
            next = all.first().copied();
            if all.len() < 2 {
                self.shared.remove(key);
            }
        }
        match (next, self.holder.get_mut(key)) {
            (Some(next), Some(holder)) => *holder = next,
            (None, Some(holder)) if *holder == owner => {
                self.holder.remove(key);
            }
            (_, Some(_) | None) => {}
        }
    }

    /// Somebody else holds it too.
    pub(super) fn shared(&self, key: &Key, owner: Owner) -> bool {
        self.shared.contains_key(key) || self.holder.get(key).is_some_and(|h| *h != owner)
    }

    /// The address is gone from the kernel: who held it?
    pub(super) fn lost(&mut self, key: &Key) -> Vec<(Owner, Entry)> {
        let one = self.holder.remove(key);
        let all = self.shared.remove(key);
        let losers = all.unwrap_or_else(|| one.into_iter().collect());
        let take = |owner| Some((owner, self.take(owner, key)?));
        losers.into_iter().filter_map(take).collect()
    }

    /// Forgets the routes of those whose routes the kernel may have dropped without a word. Returns who they are.
    pub(super) fn doubt_routes(&mut self) -> Vec<Owner> {
        // In order of keys addresses come first: usually there is nothing behind them.
        let is_address = |(key, _): &(Key, Owner)| matches!(key, Key::Address(_));
        let from = self.holder.0.partition_point(is_address);
        let keys = self.holder.0[from..].iter().map(|(key, _)| key);
        let is_route = |key: &&Key| matches!(key, Key::Route(..));
        let routes: Vec<Key> = keys.filter(is_route).cloned().collect();
        let losers = routes.iter().flat_map(|key| self.lost(key));
        losers.map(|(owner, _)| owner).collect()
    }

    /// One of those who hold it, and how.
    pub(super) fn held(&self, key: &Key) -> Option<(Owner, Entry)> {
        let owner = *self.holder.get(key)?;
        let entry = self.owned.get(&owner)?.entry(key)?;
        Some((owner, entry.clone()))
    }

    /// Routes and rules with their keys.
    pub(super) fn ways(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        let ways = self.owned.iter().flat_map(|(_, things)| things.iter());
        ways.filter(|(key, _)| !matches!(key, Key::Address(_)))
            .map(|(key, entry)| (key, entry))
    }

    /// What removes everything that is ours.
    pub(super) fn removals(&self) -> Vec<Request> {
        let all = self.owned.iter().flat_map(|(_, things)| things.iter());
        let mut all: Vec<_> = all
            .map(|(key, entry)| Op::Del(key.clone(), entry.clone()))
            .collect();
        all.sort_by_key(rank);
        all.iter()
            .filter_map(|op| match op {
                Op::Del(key, entry) => entry.del(key),
                Op::Add(..) | Op::Replace { .. } => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::net::{IfName, VirtualAddress};
    use crate::vrrp::InstanceId;

    fn desired(addrs: &[&str]) -> Vec<(Key, Entry)> {
        let dev = IfName::new("a").expect("a name");
        let vips = addrs.iter().map(|addr| {
            let addr = addr.parse().expect("an address");
            Entry::address(VirtualAddress::new(addr, 24, dev.clone()).into(), 1)
        });
        vips.collect()
    }

    #[test]
    fn an_address_of_two_instances_goes_with_the_last() {
        let (one, two) = (Owner::Instance(InstanceId(1)), Owner::Statics);
        let mut h = Holdings::default();
        let wanted = desired(&["10.0.0.1"]);
        for instance in [one, two] {
            for op in h.towards(instance, wanted.clone()) {
                h.settle(instance, &op);
            }
        }
        let key = wanted[0].0.clone();
        assert!(h.shared(&key, one));
        for op in h.towards(one, Vec::new()) {
            h.settle(one, &op);
        }
        assert!(!h.shared(&key, two));
        assert_eq!(h.removals().len(), 1);
        let losers: Vec<_> = h.lost(&key).into_iter().map(|(id, _)| id).collect();
        assert_eq!(losers, [two]);
        assert!(h.removals().is_empty());
        assert_eq!(h.towards(two, wanted).len(), 1);
    }

    #[test]
    fn a_change_that_the_kernel_does_not_see_is_no_operation_but_is_noted() {
        let id = Owner::Statics;
        let mut h = Holdings::default();
        let mut wanted = desired(&["10.0.0.1"]);
        for op in h.towards(id, wanted.clone()) {
            h.settle(id, &op);
        }
        if let Entry::Address(vip) = &mut wanted[0].1 {
            std::sync::Arc::make_mut(vip).track = false;
        }
        assert_eq!(h.towards(id, wanted.clone()), []);
        let lost = h.lost(&wanted[0].0);
        assert!(!lost[0].1.tracked());
    }
}
