//! What leaves for other tasks. Never waits: what does not fit now is kept, the latest word on each object, and
//! offered again.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::daemon::bus::{Notice, VrrpUpdate};

/// Messages of one kind on their way to one task.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    to: Sender<T>,
    /// Did not fit. Bounded by the number of objects.
    kept: VecDeque<T>,
}

/// Knows whether a later message makes an earlier one needless.
pub(super) trait Supersedes {
    fn supersedes(&self, earlier: &Self) -> bool;
}

impl<T: Supersedes> Outbox<T> {
    pub(super) fn new(to: Sender<T>) -> Self {
        Self {
            to,
            kept: VecDeque::new(),
        }
    }

    pub(super) fn send(&mut self, message: T) {
        if !self.kept.is_empty() {
            self.kept.retain(|earlier| !message.supersedes(earlier));
            self.kept.push_back(message);
            return;
        }
        if let Err(TrySendError::Full(message)) = self.to.try_send(message) {
            self.kept.push_back(message);
        }
    }

    /// Nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Waits until one of the kept messages is gone; at once where there is none. Cancel safe.
    pub(super) async fn progress(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        match self.to.reserve().await {
            Ok(slot) => {
                if let Some(message) = self.kept.pop_front() {
                    slot.send(message);
                }
            }
            // Nobody listens any more.
            Err(_) => self.kept.clear(),
        }
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
            Self::RealServer { .. } | Self::VirtualServer { .. } => None,
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
        outbox.send(instance("a", Master));
        for state in [Backup, Master, Fault] {
            outbox.send(instance("a", state));
            outbox.send(instance("b", state));
        }
        outbox.send(instance("a", Backup));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut got = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    message = from.recv() => got.push(message.expect("a message")),
                    () = outbox.progress(), if !outbox.is_empty() => {}
                    else => break,
                }
                if outbox.is_empty() && from.is_empty() {
                    break;
                }
            }
            assert_eq!(
                got,
                [
                    instance("a", Master),
                    instance("b", Fault),
                    instance("a", Backup)
                ]
            );
        });
    }

    #[test]
    fn a_receiver_that_is_gone_costs_nothing() {
        let (to, from) = tokio::sync::mpsc::channel(1);
        drop(from);
        let mut outbox = Outbox::new(to);
        outbox.send(instance("a", Master));
        assert!(outbox.is_empty());
    }
}
