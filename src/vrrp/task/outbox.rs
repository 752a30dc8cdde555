//! What leaves for other tasks. Never waits: what does not fit now is kept, the latest word on each object, and
//! offered again.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::daemon::bus::{Notice, VrrpUpdate};

/// Messages for which there is always room; that for a burst of thousands goes with the burst.
const KEPT: usize = 64;

/// Messages of one kind on their way to one task.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    to: Sender<T>,
    waiting: VecDeque<T>,
    /// The channel was full: what waits now may wait long. Bounded by the number of objects from here on.
    full: bool,
    /// Nobody wants to know.
    muted: bool,
}

/// Knows whether a later message makes an earlier one needless.
pub(super) trait Supersedes {
    fn supersedes(&self, earlier: &Self) -> bool;
}

impl<T: Supersedes> Outbox<T> {
    pub(super) fn new(to: Sender<T>) -> Self {
        Self {
            to,
            waiting: VecDeque::new(),
            full: false,
            muted: false,
        }
    }

    /// Passes nothing on until [`Outbox::unmute`].
    pub(super) fn muted(to: Sender<T>) -> Self {
        Self {
            muted: true,
            ..Self::new(to)
        }
    }

    /// Passes on what is put into it from now on. True: until now it did not.
    pub(super) fn unmute(&mut self) -> bool {
        std::mem::take(&mut self.muted)
    }

    /// Puts a message behind the others; it leaves with the next [`Outbox::flush`]. Waking up another thread costs
    /// more than a frame, so that is done after the frames.
    pub(super) fn put(&mut self, message: T) {
        if self.muted {
            return;
        }
        if self.full {
            self.waiting.retain(|earlier| !message.supersedes(earlier));
        }
        self.waiting.push_back(message);
    }

    /// Sends as much as fits.
    pub(super) fn flush(&mut self) {
        while !self.full
            && let Some(message) = self.waiting.pop_front()
        {
            match self.to.try_send(message) {
                Ok(()) => {}
                Err(TrySendError::Full(message)) => {
                    self.waiting.push_front(message);
                    self.full = true;
                }
                // Nobody listens any more.
                Err(TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT);
        }
    }

    /// Messages wait for room in the channel.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Waits until there is room, and fills it. Cancel safe.
    pub(super) async fn progress(&mut self) {
        if let (Ok(slot), Some(message)) = (self.to.reserve().await, self.waiting.pop_front()) {
            slot.send(message);
        }
        self.full = false;
        self.flush();
    }
}

impl Supersedes for VrrpUpdate {
    fn supersedes(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Instance { name, .. }, Self::Instance { name: other, .. }) => name == other,
            (Self::Address { addr, .. }, Self::Address { addr: other, .. }) => addr == other,
            (Self::Instance { .. }, Self::Address { .. })
            | (Self::Address { .. }, Self::Instance { .. }) => false,
        }
    }
}

impl Supersedes for Notice {
    fn supersedes(&self, earlier: &Self) -> bool {
        let name = |notice: &Self| match notice {
            Self::Instance { instance, .. } => Some((0, Arc::clone(&instance.name))),
            Self::Group { group, .. } => Some((1, Arc::clone(&group.name))),
            Self::LowerPriorityHeard { instance, .. } => Some((2, Arc::clone(&instance.name))),
            Self::PriorityChanged { instance, .. } => Some((3, Arc::clone(&instance.name))),
            Self::RealServer { .. } | Self::VirtualServer { .. } | Self::ServerMail { .. } => None,
        };
        name(self).is_some_and(|own| name(earlier) == Some(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::bus::VrrpState::{self, Backup, Fault, Master};

    fn instance(name: &str, state: VrrpState) -> VrrpUpdate {
        VrrpUpdate::Instance {
            name: name.into(),
            state,
        }
    }

    #[test]
    fn what_does_not_fit_is_kept_latest_word_last_and_sent_when_there_is_room() {
        let (to, mut from) = tokio::sync::mpsc::channel(1);
        let mut outbox = Outbox::new(to);
        for name in ["a", "b"] {
            outbox.put(instance(name, Master));
        }
        outbox.flush();
        assert!(outbox.is_full());
        for state in [Backup, Master, Fault] {
            outbox.put(instance("a", state));
            outbox.put(instance("b", state));
        }
        outbox.put(instance("a", Backup));
        outbox.flush();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let got = runtime.block_on(async {
            let mut got = Vec::new();
            while outbox.is_full() {
                tokio::select! {
                    biased;
                    message = from.recv() => got.push(message.expect("a message")),
                    () = outbox.progress() => {}
                }
            }
            got.push(from.recv().await.expect("the last message"));
            got
        });
        let left = [
            instance("a", Master),
            instance("b", Fault),
            instance("a", Backup),
        ];
        assert_eq!(got, left);
    }

    #[test]
    fn a_receiver_that_is_gone_costs_nothing() {
        let (to, from) = tokio::sync::mpsc::channel(1);
        drop(from);
        let mut outbox = Outbox::new(to);
        outbox.put(instance("a", Master));
        outbox.flush();
        assert!(outbox.waiting.is_empty() && !outbox.is_full());
    }
}
