//! A list that nearly always has one member, which then lies where the list does: among thousands of instances, a block of
//! memory for each would cost more than what is in it.

use std::ops::{Deref, DerefMut};
use std::slice;

/// See the module.
#[derive(Clone, Debug)]
pub(super) enum Several<T> {
    One(T),
    /// None, or more than one.
    Others(Box<[T]>),
}

impl<T> From<Vec<T>> for Several<T> {
    fn from(all: Vec<T>) -> Self {
        match <[T; 1]>::try_from(all) {
            Ok([one]) => Self::One(one),
            Err(all) => Self::Others(all.into()),
        }
    }
}

impl<T> Deref for Several<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::Others(all) => all,
        }
    }
}

impl<T> DerefMut for Several<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::One(one) => slice::from_mut(one),
            Self::Others(all) => all,
        }
    }
}
