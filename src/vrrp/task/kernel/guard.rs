//! Which addresses the firewall drops packets to and from: those of masters that must not accept them (`no_accept`).
//!
//! Packets are dropped from before an address is there until it is gone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::entry::Owner;
use crate::sys::nft::{Batch, Element, Family};
use crate::sys::view::View;
use crate::vrrp::desired::Desired;
use crate::vrrp::task::firewall;

/// Family, set, element.
type Dropped = (Family, &'static str, Element);

/// How many addresses a line of the log names; the others are only counted.
const NAMED: usize = 8;

/// Addresses whose packets are to be dropped, or to pass again.
#[derive(Debug)]
pub(super) struct Addresses {
    table: Arc<str>,
    elements: Vec<Dropped>,
}

impl Addresses {
    pub(super) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Has the packets of all of them dropped.
    pub(super) fn block(&self) -> Batch {
        let mut batch = Batch::default();
        for (family, set, element) in &self.elements {
            batch.add(*family, &self.table, set, std::slice::from_ref(element));
        }
        batch
    }

    /// Lets the packets of all of them pass; nothing of it happens where one element is not there.
    pub(super) fn free(&self) -> Batch {
        self.freeing(&self.elements)
    }

    /// The same, each element alone.
    pub(super) fn free_each(&self) -> impl Iterator<Item = Batch> {
        self.elements
            .iter()
            .map(|e| self.freeing(std::slice::from_ref(e)))
    }

    fn freeing(&self, elements: &[Dropped]) -> Batch {
        let mut batch = Batch::default();
        for (family, set, element) in elements {
            batch.remove(*family, &self.table, set, std::slice::from_ref(element));
        }
        batch
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.elements.iter();
        let addresses = addresses.filter_map(|(_, _, element)| firewall::address(element));
        for (n, addr) in addresses.take(NAMED).enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{addr}")?;
        }
        match self.elements.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
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
    ) -> (Addresses, Addresses) {
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
        if !wanted.is_empty() {
            self.held.insert(owner, wanted);
        }
        (self.addresses(more), self.addresses(less))
    }

    /// All of it, for tables that were made anew.
    pub(super) fn again(&self) -> Addresses {
        let all: BTreeSet<_> = self.held.values().flatten().collect();
        self.addresses(all.into_iter().cloned().collect())
    }

    fn addresses(&self, elements: Vec<Dropped>) -> Addresses {
        Addresses {
            table: Arc::clone(&self.table),
            elements,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_names_some_addresses_and_counts_the_others() {
        let addresses = |count: u8| Addresses {
            table: Arc::from("keepalived"),
            elements: (1..=count)
                .map(|n| firewall::dropped([10, 0, 0, n].into(), 7))
                .collect(),
        };
        assert_eq!(addresses(2).to_string(), "10.0.0.1, 10.0.0.2");
        assert!(addresses(11).to_string().ends_with("10.0.0.8 and 3 more"));
        let local = [0xfe80, 0, 0, 0, 0, 0, 0, 5].into();
        let one = Addresses {
            table: Arc::from("keepalived"),
            elements: vec![firewall::dropped(local, 7)],
        };
        assert_eq!(one.to_string(), "fe80::5");
    }
}
