//! Which addresses the firewall drops packets to and from: those of masters that must not accept them (`no_accept`).
//!
//! Packets are dropped from before an address is there until it is gone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::entry::Owner;
use crate::sys::nft::{Batch, Element, Family};
use crate::sys::view::View;
use crate::vrrp::desired::Desired;
use crate::vrrp::task::firewall;

/// Family, set, element.
type Dropped = (Family, &'static str, Element);

/// What is dropped no more.
#[derive(Debug)]
pub(super) struct Freed {
    table: Arc<str>,
    elements: Vec<Dropped>,
}

impl Freed {
    pub(super) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// All of it at once: nothing of it happens where one element is not there.
    pub(super) fn whole(&self) -> Batch {
        self.batch(&self.elements)
    }

    /// Each element alone.
    pub(super) fn each(&self) -> impl Iterator<Item = Batch> {
        self.elements
            .iter()
            .map(|e| self.batch(std::slice::from_ref(e)))
    }

    fn batch(&self, elements: &[Dropped]) -> Batch {
        let mut batch = Batch::default();
        for (family, set, element) in elements {
            batch.remove(*family, &self.table, set, std::slice::from_ref(element));
        }
        batch
    }
}

#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Name of the table.
    table: Arc<str>,
    held: HashMap<Owner, BTreeSet<Dropped>>,
}

impl Guard {
    pub(super) fn call(&mut self, table: &Arc<str>) {
        self.table = Arc::clone(table);
    }

    /// What leads `owner` to `desired`: before its addresses change, and after.
    pub(super) fn towards(
        &mut self,
        owner: Owner,
        desired: &Desired,
        view: &View,
    ) -> (Batch, Freed) {
        let element = |vip: &Arc<crate::model::net::VirtualAddress>| {
            let index = view.index_of(vip.dev.as_str())?;
            Some(firewall::dropped(vip.addr, index))
        };
        let wanted: BTreeSet<Dropped> = match desired.guarded {
            true => desired.addresses.iter().filter_map(element).collect(),
            false => BTreeSet::new(),
        };
        let old = self.held.remove(&owner).unwrap_or_default();
        // Another one may hold the same, as everywhere.
        let others: HashSet<_> = self.held.values().flatten().collect();
        let change = |from: &BTreeSet<Dropped>, to: &BTreeSet<Dropped>| {
            let list = to.difference(from).filter(|e| !others.contains(e));
            list.cloned().collect::<Vec<_>>()
        };
        let (more, less) = (change(&old, &wanted), change(&wanted, &old));
        let mut before = Batch::default();
        for (family, set, element) in more {
            before.add(family, &self.table, set, &[element]);
        }
        if !wanted.is_empty() {
            self.held.insert(owner, wanted);
        }
        let table = Arc::clone(&self.table);
        (
            before,
            Freed {
                table,
                elements: less,
            },
        )
    }

    /// All of it, for tables that were made anew.
    pub(super) fn again(&self) -> Batch {
        let all: BTreeSet<_> = self.held.values().flatten().collect();
        let mut batch = Batch::default();
        for (family, set, element) in all {
            batch.add(*family, &self.table, set, std::slice::from_ref(element));
        }
        batch
    }
}
