//! Keyed difference of two models: what a reload does, in the order in which it is done.
//!
//! Start is a difference from the empty model, stop a difference to it. Identity ([`Keyed`]) is what the wire or the
//! kernel sees, never the label: a renamed instance is a change, not a failover.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// One step of a reload. Equal objects on both sides are no step at all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change<'a, T> {
    /// Only the old model has it.
    Removed(&'a T),
    /// Only the new model has it.
    Added(&'a T),
    /// Both have it, old first, and they differ.
    Changed(&'a T, &'a T),
}

/// How a running object takes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reload {
    /// Nothing that matters while running has changed.
    Keep,
    /// It goes on running and takes the new values as an event.
    Adjust,
    /// It is removed and added anew.
    Restart,
}

impl Reload {
    /// The heavier of the two that is needed.
    pub(crate) fn of(restart: bool, adjust: bool) -> Self {
        match (restart, adjust) {
            (true, _) => Self::Restart,
            (false, true) => Self::Adjust,
            (false, false) => Self::Keep,
        }
    }
}

/// What stays itself across a reload.
pub(crate) trait Keyed: PartialEq {
    /// See [`Keyed::key`].
    type Key: Eq + Hash;

    /// The identity that the wire or the kernel sees; unique within one model.
    fn key(&self) -> Self::Key;
}

/// Removals, then additions, then changes, each in the order of the list they come from. Linear in both lists.
pub(crate) fn diff<'a, B, T>(old: &'a [B], new: &'a [B]) -> Vec<Change<'a, B>>
where
    B: Borrow<T>,
    T: Keyed,
{
    let known: HashMap<T::Key, &B> = old.iter().map(|o| (o.borrow().key(), o)).collect();
    let mut kept = HashMap::with_capacity(new.len());
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for n in new {
        let key = n.borrow().key();
        match known.get(&key) {
            None => added.push(Change::Added(n)),
            Some(o) if (*o).borrow() != n.borrow() => changed.push(Change::Changed(*o, n)),
            Some(_) => {}
        }
        kept.insert(key, ());
    }
    let mut steps: Vec<_> = old
        .iter()
        .filter(|o| !kept.contains_key(&(*o).borrow().key()))
        .map(Change::Removed)
        .collect();
    steps.append(&mut added);
    steps.append(&mut changed);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Thing(u8, char);

    impl Keyed for Thing {
        type Key = u8;

        fn key(&self) -> u8 {
            self.0
        }
    }

    #[test]
    fn removals_come_first_then_additions_then_changes() {
        let old = [Thing(1, 'a'), Thing(2, 'a'), Thing(3, 'a')];
        let new = [Thing(4, 'n'), Thing(3, 'b'), Thing(2, 'a')];
        assert_eq!(
            diff::<_, Thing>(&old, &new),
            [
                Change::Removed(&old[0]),
                Change::Added(&new[0]),
                Change::Changed(&old[2], &new[1]),
            ]
        );
    }

    #[test]
    fn loading_the_same_again_does_nothing() {
        let model = [Thing(1, 'a'), Thing(2, 'b')];
        assert_eq!(diff::<_, Thing>(&model, &model), []);
    }
}
