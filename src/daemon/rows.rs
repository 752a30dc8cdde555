//! Rows with a name each, in the order of these names: a map of thousands would be a third empty.

use std::ops::{Deref, DerefMut};

/// What a row goes by. It never changes while the row is there.
pub(super) trait Named {
    fn name(&self) -> &str;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Rows<T>(Vec<T>);

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Named> Rows<T> {
    /// `Err`: where it would have to be.
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|row| row.name().cmp(name))
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.0.get(self.find(name).ok()?)
    }

    /// The row of that name, which is `new` where there was none.
    pub(super) fn get_or_insert_with(&mut self, name: &str, new: impl FnOnce() -> T) -> &mut T {
        let at = self.find(name).unwrap_or_else(|at| {
            self.0.insert(at, new());
            at
        });
        &mut self.0[at]
    }

    /// True: there was one. With the last row its memory goes.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let found = self.find(name);
        if let Ok(at) = found {
            self.0.remove(at);
        }
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        found.is_ok()
    }

    /// Keeps the rows that `is_kept` says, and no more memory than they need.
    pub(super) fn retain(&mut self, is_kept: impl FnMut(&T) -> bool) {
        self.0.retain(is_kept);
        self.0.shrink_to_fit();
    }
}

impl<T> Deref for Rows<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Rows<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}
