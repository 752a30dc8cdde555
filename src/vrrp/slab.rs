//! Instances by their number, side by side in memory: a block of its own for each of thousands would cost more, and leave
//! what is freed between them to nobody.
//!
//! A number is never used twice, so that a late answer cannot meet the wrong one.

use std::num::NonZeroU32;

use super::InstanceId;
use super::instance::Instance;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Slab {
    /// In the order of their numbers; `None`: gone, until [`Slab::close_ranks`].
    places: Vec<Option<Instance>>,
    /// By their numbers; `None`: gone.
    place_of: Vec<Option<Place>>,
}

/// One more than the index.
#[derive(Clone, Copy, Debug)]
struct Place(NonZeroU32);

impl Place {
    /// `None`: there are too many.
    fn of(index: usize) -> Option<Self> {
        let index = u32::try_from(index).ok()?;
        index.checked_add(1).and_then(NonZeroU32::new).map(Self)
    }

    fn index(self) -> usize {
        usize::try_from(self.0.get() - 1).unwrap_or(usize::MAX)
    }
}

impl Slab {
    fn place(&self, id: InstanceId) -> Option<usize> {
        let place = self.place_of.get(usize::try_from(id.0).ok()?)?;
        place.map(Place::index)
    }

    pub(super) fn get(&self, id: InstanceId) -> Option<&Instance> {
        self.places.get(self.place(id)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: InstanceId) -> Option<&mut Instance> {
        let place = self.place(id)?;
        self.places.get_mut(place)?.as_mut()
    }

    /// So many are to be there, and no more.
    pub(super) fn reserve(&mut self, all: usize) {
        let more = all.saturating_sub(self.places.len());
        self.places.reserve_exact(more);
    }

    /// The number of the instance that is added next.
    pub(super) fn next(&self) -> InstanceId {
        InstanceId(u32::try_from(self.place_of.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn add(&mut self, instance: Instance) {
        self.place_of.push(Place::of(self.places.len()));
        self.places.push(Some(instance));
    }

    pub(super) fn remove(&mut self, id: InstanceId) -> Option<Instance> {
        let place = self.place(id)?;
        self.places.get_mut(place)?.take()
    }

    /// Gives the room back that those who are gone have left.
    pub(super) fn close_ranks(&mut self) {
        if self.places.iter().all(Option::is_some) {
            return;
        }
        self.places.retain(Option::is_some);
        self.places.shrink_to_fit();
        self.place_of.fill(None);
        for (index, instance) in self.places.iter().flatten().enumerate() {
            if let Ok(number) = usize::try_from(instance.id.0)
                && let Some(place) = self.place_of.get_mut(number)
            {
                *place = Place::of(index);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.places.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.places.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::sample;

    #[test]
    fn a_number_means_one_instance_for_ever() {
        let mut slab = Slab::default();
        let add = |slab: &mut Slab| {
            let id = slab.next();
            slab.add(Instance::new(id, sample::model(100).into()));
            id
        };
        let first: Vec<InstanceId> = (0..6).map(|_| add(&mut slab)).collect();
        for n in [0, 3, 5] {
            assert_eq!(slab.remove(first[n]).map(|i| i.id), Some(first[n]));
            assert!(slab.remove(first[n]).is_none() && slab.get(first[n]).is_none());
        }
        slab.close_ranks();
        let later = add(&mut slab);
        let left = [first[1], first[2], first[4], later];
        assert!(slab.iter().map(|i| i.id).eq(left));
        assert!(
            left.iter()
                .all(|id| slab.get(*id).is_some_and(|i| i.id == *id))
        );
        assert!([0, 3, 5].iter().all(|n| slab.get_mut(first[*n]).is_none()));
        assert_eq!(slab.places.len(), 4);
    }
}
