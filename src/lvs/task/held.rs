//! The destinations of one service, as the kernel holds them on our behalf.
//!
//! Nothing but the entries themselves, one after the other: there may be tens of thousands, and what finds one by its
//! address is needed only while they are compared. Source: the order in which keepalived works, see [`crate::reconcile`].

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use crate::reconcile::Op;
use crate::sys::ipvs::dest::Dest;

/// A step towards what is wanted.
pub(super) type DestOp = Op<SocketAddr, Dest>;

/// See the module; in the order in which they went in.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Dest>);

impl Held {
    /// Those that were found.
    pub(super) fn found(dests: impl IntoIterator<Item = Dest>) -> Self {
        Self(dests.into_iter().collect::<Box<[_]>>().into())
    }

    /// What leads from here to `wanted`: first the deletions, oldest first, then additions and replacements in the order of
    /// `wanted`. Where an address is wanted twice, the first one counts.
    pub(super) fn towards(&self, wanted: &[Dest]) -> Vec<DestOp> {
        if self.0 == wanted {
            return Vec::new();
        }
        let held: HashMap<SocketAddr, &Dest> = self.0.iter().map(|d| (d.addr, d)).collect();
        let mut seen = HashSet::with_capacity(wanted.len());
        let mut ops = Vec::new();
        for to in wanted.iter().filter(|d| seen.insert(d.addr)) {
            match held.get(&to.addr) {
                None => ops.push(Op::Add(to.addr, *to)),
                Some(from) if *from == to => {}
                Some(from) => ops.push(Op::Replace {
                    key: to.addr,
                    from: **from,
                    to: *to,
                }),
            }
        }
        let gone = self.0.iter().filter(|d| !seen.contains(&d.addr));
        let dels: Vec<_> = gone.map(|d| Op::Del(d.addr, *d)).collect();
        [dels, ops].concat()
    }

    /// Takes note of operations of one [`Held::towards`] that the kernel has carried out.
    pub(super) fn settle(&mut self, ops: &[DestOp]) {
        let (mut gone, mut values) = (HashSet::new(), HashMap::new());
        let mut fresh = Vec::new();
        for op in ops {
            match op {
                Op::Del(addr, _) => _ = gone.insert(*addr),
                Op::Add(_, dest) => fresh.push(*dest),
                Op::Replace { key, to, .. } => _ = values.insert(*key, *to),
            }
        }
        if !gone.is_empty() {
            self.0.retain(|d| !gone.contains(&d.addr));
        }
        if !values.is_empty() {
            for dest in &mut self.0 {
                if let Some(to) = values.get(&dest.addr) {
                    *dest = *to;
                }
            }
        }
        self.0.reserve_exact(fresh.len());
        self.0.append(&mut fresh);
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dests(all: &[(u8, u32)]) -> Vec<Dest> {
        let one = |&(last, weight): &(u8, u32)| Dest {
            weight,
            ..Dest::named(([10, 0, 0, last], 80).into())
        };
        all.iter().map(one).collect()
    }

    proptest! {
        /// There is one comparison for everything else that the kernel holds; this one says the same.
        #[test]
        fn the_steps_are_those_of_every_other_comparison(
            before in proptest::collection::vec((0_u8..20, 0_u32..3), 0..30),
            wanted in proptest::collection::vec((0_u8..20, 0_u32..3), 0..30),
        ) {
            let (mut held, mut owned) = (Held::default(), crate::reconcile::Owned::default());
            for round in [before, wanted] {
                let round = dests(&round);
                let keyed: Vec<_> = round.iter().map(|d| (d.addr, *d)).collect();
                let ops = held.towards(&round);
                prop_assert_eq!(&ops, &owned.towards(&keyed));
                held.settle(&ops);
                ops.iter().for_each(|op| owned.settle(op));
                let kept: Vec<_> = owned.in_order().into_iter().map(|(_, d)| *d).collect();
                prop_assert_eq!(&held.0, &kept);
                prop_assert_eq!(held.0.capacity(), held.0.len());
                prop_assert_eq!(held.towards(&round), []);
            }
        }
    }
}
