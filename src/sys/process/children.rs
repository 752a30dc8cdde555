//! A set of children, each known by a key of its owner's, whose ends arrive one by one.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{Child, Ended, ProcessError, Signal};

/// How a child ended, or why there was none.
pub(crate) type End = Result<Ended, ProcessError>;

type Waiting<K> = Pin<Box<dyn Future<Output = (K, End)> + Send>>;

/// Children that run, or whose status was not taken yet. Dropping it ends them all: see [`Child`].
#[derive(Debug)]
pub(crate) struct Children<K> {
    held: BTreeMap<K, Arc<Child>>,
    ends: FuturesUnordered<Waiting<K>>,
}

impl<K> Default for Children<K> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            ends: FuturesUnordered::new(),
        }
    }
}

impl<K: Copy + Ord + Send + 'static> Children<K> {
    /// Takes in what was just started. That there is no child is an end, too: it arrives like any other.
    pub(crate) fn insert(&mut self, key: K, started: Result<Child, ProcessError>) {
        match started {
            Ok(child) => {
                let child = Arc::new(child);
                self.held.insert(key, Arc::clone(&child));
                self.ends
                    .push(Box::pin(async move { (key, Ok(child.ended().await)) }));
            }
            Err(e) => self.ends.push(Box::pin(ready((key, Err(e))))),
        }
    }

    /// The next end; waits for ever when there is nobody to wait for. The child stays here until
    /// [`Children::release`], so that its group can still be signalled. Cancel safe.
    pub(crate) async fn next(&mut self) -> (K, End) {
        match self.ends.next().await {
            Some(end) => end,
            None => pending().await,
        }
    }

    /// Signals the group of a child; does nothing when it was released.
    ///
    /// # Errors
    /// As [`Child::signal`].
    pub(crate) fn signal(&self, key: K, signal: Signal) -> Result<(), ProcessError> {
        self.held
            .get(&key)
            .map_or(Ok(()), |child| child.signal(signal))
    }

    /// See [`Child::last_line`].
    pub(crate) fn last_line(&self, key: K) -> Option<String> {
        self.held.get(&key)?.last_line()
    }

    /// Takes the status of a child that has ended, and with it its number.
    pub(crate) fn release(&mut self, key: K) {
        self.held.remove(&key);
    }

    /// Nobody runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.ends.is_empty()
    }
}
