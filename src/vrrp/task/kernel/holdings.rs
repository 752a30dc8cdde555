//! Who holds what. Two may hold the same thing; it goes when the last of them lets go.

use std::collections::{HashMap, HashSet};

use super::entry::{Entry, Key, Owner, rank};
use crate::reconcile::{Op, Owned};
use crate::sys::netlink::Request;

#[derive(Debug, Default)]
pub(super) struct Holdings {
    owned: HashMap<Owner, Owned<Key, Entry>>,
    holders: HashMap<Key, HashSet<Owner>>,
}

impl Holdings {
    /// What leads somebody to `desired`.
    pub(super) fn towards(
        &mut self,
        owner: Owner,
        desired: Vec<(Key, Entry)>,
    ) -> Vec<Op<Key, Entry>> {
        let owned = self.owned.entry(owner).or_default();
        let ops = owned.towards(&desired);
        // What is equal for the kernel may differ for us, as `no_track` does.
        for (key, entry) in desired {
            if owned.get(&key).is_some_and(|held| *held == entry) {
                owned.insert(key, entry);
            }
        }
        if owned.is_empty() && ops.is_empty() {
            self.owned.remove(&owner);
        }
        ops
    }

    /// Notes an operation that is done.
    pub(super) fn settle(&mut self, owner: Owner, op: &Op<Key, Entry>) {
        self.owned.entry(owner).or_default().settle(op);
        match op {
            Op::Del(key, _) => self.let_go(key, owner),
            Op::Add(key, _) | Op::Replace { key, .. } => {
                self.holders.entry(key.clone()).or_default().insert(owner);
            }
        }
        if self.owned.get(&owner).is_some_and(Owned::is_empty) {
            self.owned.remove(&owner);
        }
    }

    fn let_go(&mut self, key: &Key, owner: Owner) {
        if let Some(holders) = self.holders.get_mut(key) {
            holders.remove(&owner);
            if holders.is_empty() {
                self.holders.remove(key);
            }
        }
    }

    /// Somebody else holds it too.
    pub(super) fn shared(&self, key: &Key, owner: Owner) -> bool {
        let holders = self.holders.get(key);
        holders.is_some_and(|all| all.iter().any(|holder| *holder != owner))
    }

    /// The address is gone from the kernel: who held it?
    pub(super) fn lost(&mut self, key: &Key) -> Vec<(Owner, Entry)> {
        let mut losers: Vec<_> = self
            .holders
            .remove(key)
            .unwrap_or_default()
            .into_iter()
            .collect();
        losers.sort_unstable();
        losers
            .into_iter()
            .filter_map(|owner| {
                let entry = self.owned.get_mut(&owner)?.remove(key)?;
                Some((owner, entry))
            })
            .collect()
    }

    /// Forgets the routes of those whose routes the kernel may have dropped without a word. Returns who they are.
    pub(super) fn doubt_routes(&mut self) -> Vec<Owner> {
        let routes: Vec<(Key, Vec<Owner>)> = self
            .holders
            .iter()
            .filter(|(key, _)| matches!(key, Key::Route(..)))
            .map(|(key, owners)| (key.clone(), owners.iter().copied().collect()))
            .collect();
        let mut owners = Vec::new();
        for (key, of) in routes {
            self.lost(&key);
            owners.extend(of);
        }
        owners
    }

    /// One of those who hold it, and how.
    pub(super) fn held(&self, key: &Key) -> Option<(Owner, Entry)> {
        let owner = *self.holders.get(key)?.iter().next()?;
        Some((owner, self.owned.get(&owner)?.get(key)?.clone()))
    }

    /// Routes and rules with their keys.
    pub(super) fn ways(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        let entry = |key, owners: &HashSet<Owner>| {
            let owner = owners.iter().next()?;
            Some((key, self.owned.get(owner)?.get(key)?))
        };
        self.holders
            .iter()
            .filter(|(key, _)| !matches!(key, Key::Address(_)))
            .filter_map(move |(key, owners)| entry(key, owners))
    }

    /// What removes everything that is ours.
    pub(super) fn removals(&self) -> Vec<Request> {
        let of = |owned: &Owned<Key, Entry>| -> Vec<Op<Key, Entry>> { owned.towards(&[]) };
        let mut all: Vec<_> = self.owned.values().flat_map(of).collect();
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
            Entry::address(VirtualAddress::new(addr, 24, dev.clone()), 1)
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
        if let Entry::Address(_, vip) = &mut wanted[0].1 {
            vip.track = false;
        }
        assert_eq!(h.towards(id, wanted.clone()), []);
        let lost = h.lost(&wanted[0].0);
        assert!(!lost[0].1.tracked());
    }
}
