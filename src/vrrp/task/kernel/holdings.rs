//! Which instance holds which address. Two instances may hold the same one; it goes when the last of them lets go.

use std::collections::{HashMap, HashSet};

use crate::model::net::VirtualAddress;
use crate::reconcile::{Op, Owned};
use crate::sys::addr::{AddressKey, AddressOptions};
use crate::vrrp::InstanceId;
use crate::vrrp::task::terms;

/// A virtual address with what the kernel is told about it. Equal to another one if the kernel is told the same.
#[derive(Clone, Debug)]
pub(super) struct Vip {
    options: AddressOptions,
    address: VirtualAddress,
}

impl Vip {
    pub(super) fn new(address: VirtualAddress) -> Self {
        Self {
            options: terms::options(&address),
            address,
        }
    }

    pub(super) fn options(&self) -> &AddressOptions {
        &self.options
    }

    pub(super) fn address(&self) -> &VirtualAddress {
        &self.address
    }

    pub(super) fn into_address(self) -> VirtualAddress {
        self.address
    }
}

impl PartialEq for Vip {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
    }
}

#[derive(Debug, Default)]
pub(super) struct Holdings {
    owned: HashMap<InstanceId, Owned<AddressKey, Vip>>,
    holders: HashMap<AddressKey, HashSet<InstanceId>>,
}

impl Holdings {
    /// What leads an instance to `desired`.
    pub(super) fn towards(
        &mut self,
        instance: InstanceId,
        desired: Vec<(AddressKey, Vip)>,
    ) -> Vec<Op<AddressKey, Vip>> {
        let owned = self.owned.entry(instance).or_default();
        let ops = owned.towards(&desired);
        // What is equal for the kernel may differ for us, as `no_track` does.
        for (key, vip) in desired {
            if owned.get(&key).is_some_and(|held| *held == vip) {
                owned.insert(key, vip);
            }
        }
        if owned.is_empty() && ops.is_empty() {
            self.owned.remove(&instance);
        }
        ops
    }

    /// Notes an operation that is done.
    pub(super) fn settle(&mut self, instance: InstanceId, op: &Op<AddressKey, Vip>) {
        self.owned.entry(instance).or_default().settle(op);
        match op {
            Op::Del(key, _) => self.let_go(key, instance),
            Op::Add(key, _) | Op::Replace { key, .. } => {
                self.holders.entry(*key).or_default().insert(instance);
            }
        }
        if self.owned.get(&instance).is_some_and(Owned::is_empty) {
            self.owned.remove(&instance);
        }
    }

    fn let_go(&mut self, key: &AddressKey, instance: InstanceId) {
        if let Some(holders) = self.holders.get_mut(key) {
            holders.remove(&instance);
            if holders.is_empty() {
                self.holders.remove(key);
            }
        }
    }

    /// Somebody else holds it too.
    pub(super) fn shared(&self, key: &AddressKey, instance: InstanceId) -> bool {
        let holders = self.holders.get(key);
        holders.is_some_and(|all| all.iter().any(|holder| *holder != instance))
    }

    /// The address is gone from the kernel: who held it?
    pub(super) fn lost(&mut self, key: &AddressKey) -> Vec<(InstanceId, Vip)> {
        let mut losers: Vec<_> = self
            .holders
            .remove(key)
            .unwrap_or_default()
            .into_iter()
            .collect();
        losers.sort_unstable();
        losers
            .into_iter()
            .filter_map(|instance| {
                let vip = self.owned.get_mut(&instance)?.remove(key)?;
                Some((instance, vip))
            })
            .collect()
    }

    /// Every address that is ours.
    pub(super) fn all(&self) -> Vec<AddressKey> {
        self.holders.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::net::IfName;

    fn desired(addrs: &[&str]) -> Vec<(AddressKey, Vip)> {
        let dev = IfName::new("a").expect("a name");
        let vips = addrs.iter().map(|addr| {
            let addr = addr.parse().expect("an address");
            Vip::new(VirtualAddress::new(addr, 24, dev.clone()))
        });
        vips.map(|vip| (terms::key(&vip.address, 1), vip)).collect()
    }

    #[test]
    fn an_address_of_two_instances_goes_with_the_last() {
        let (one, two) = (InstanceId(1), InstanceId(2));
        let mut h = Holdings::default();
        let wanted = desired(&["10.0.0.1"]);
        for instance in [one, two] {
            for op in h.towards(instance, wanted.clone()) {
                h.settle(instance, &op);
            }
        }
        let key = wanted[0].0;
        assert!(h.shared(&key, one));
        for op in h.towards(one, Vec::new()) {
            h.settle(one, &op);
        }
        assert!(!h.shared(&key, two));
        assert_eq!(h.all(), [key]);
        let losers: Vec<_> = h.lost(&key).into_iter().map(|(id, _)| id).collect();
        assert_eq!(losers, [two]);
        assert!(h.all().is_empty());
        assert_eq!(h.towards(two, wanted).len(), 1);
    }

    #[test]
    fn a_change_that_the_kernel_does_not_see_is_no_operation_but_is_noted() {
        let id = InstanceId(1);
        let mut h = Holdings::default();
        let mut wanted = desired(&["10.0.0.1"]);
        for op in h.towards(id, wanted.clone()) {
            h.settle(id, &op);
        }
        wanted[0].1.address.track = false;
        assert_eq!(h.towards(id, wanted.clone()), []);
        let lost = h.lost(&wanted[0].0);
        assert!(!lost[0].1.address.track);
    }
}
