//! A list that mostly has one item, which then lies in the list itself: among thousands of lists, a block of memory for each
//! would cost more than what is in it.

use std::ops::{Deref, DerefMut};

/// See the module. Used as a slice; it neither grows nor shrinks.
#[derive(Clone, Debug)]
pub(crate) enum Few<T> {
    One(T),
    /// Any other number.
    Many(Box<[T]>),
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(items: Vec<T>) -> Self {
        match <[T; 1]>::try_from(items) {
            Ok([one]) => Self::One(one),
            Err(items) => Self::Many(items.into()),
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(items) => items,
        }
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T: Eq> Eq for Few<T> {}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(items) => items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_there_are_they_are_those() {
        for count in 0..4 {
            let items: Vec<u8> = (0..count).collect();
            let mut few = Few::from(items.clone());
            assert_eq!(&few[..], &items);
            assert_eq!(matches!(few, Few::One(_)), count == 1);
            assert_eq!((&few).into_iter().count(), usize::from(count));
            few.iter_mut().for_each(|n| *n += 1);
            assert_eq!(few == Few::from(items), count == 0);
        }
    }
}
