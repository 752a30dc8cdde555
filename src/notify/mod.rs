//! Notifications: tells the world what happened, by scripts, FIFOs and mail.
//!
//! Lives in the daemon's own loop. It never waits for a script, a reader or a server: one that hangs delays only what is told to
//! itself. Source: keepalived.conf(5), `notify` and its kin.

mod backlog;
mod fifo;
pub(crate) mod lifecycle;
mod mail;
mod queue;
mod script;
mod smtp;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::daemon::bus::{InstanceSnapshot, Notice, VrrpState};
use crate::model::Config;
use crate::model::vrrp::{Deletion, Instance};

/// What an instance in that state is said to be: without `notify_deleted` one that was removed is said to be faulty.
fn told_state(instance: &Instance, state: VrrpState) -> VrrpState {
    let as_fault = instance.notify.deletion == Deletion::AsFault;
    if state == VrrpState::Deleted && as_fault {
        VrrpState::Fault
    } else {
        state
    }
}

/// Everything that is told to the world.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    scripts: script::Scripts,
    fifos: fifo::Fifos,
    mails: mail::Mails,
    /// What groups were last said to be.
    groups: BTreeMap<Arc<str>, VrrpState>,
}

impl Notifier {
    /// Nothing waits, nothing runs.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Start or reload, before the tasks get the configuration: what they tell is told by these rules. Must be called
    /// inside a runtime.
    pub(crate) fn apply(&mut self, config: &Config) {
        self.fifos.apply(&config.global.notify);
        self.mails.apply(&config.global);
        let named = |name: &str| config.groups.iter().any(|g| *g.name == *name);
        self.groups.retain(|name, _| named(name));
    }

    /// After a reload, with `fifo_write_vrrp_states_on_reload`: FIFOs are told of all states once more, except MASTER.
    // keepalived: masters are left out.
    pub(crate) fn tell_states(&mut self, config: &Config, instances: &[InstanceSnapshot]) {
        for group in &config.groups {
            if let Some(state) = self.groups.get(&group.name) {
                let (group, state) = (Arc::clone(group), *state);
                self.fifos.accept(&Notice::Group { group, state });
            }
        }
        let waiting = [VrrpState::Backup, VrrpState::Fault];
        for i in instances.iter().filter(|i| waiting.contains(&i.state)) {
            self.fifos.accept(&Notice::Instance {
                instance: Arc::clone(&i.instance),
                state: i.state,
                priority: i.effective_priority,
            });
        }
    }

    /// Takes note of what happened; [`Notifier::progress`] does the work. Never waits.
    pub(crate) fn accept(&mut self, notice: Notice) {
        if let Notice::Group { group, state } = &notice {
            self.groups.insert(Arc::clone(&group.name), *state);
        }
        self.fifos.accept(&notice);
        self.mails.accept(&notice);
        self.scripts.accept(&notice);
    }

    /// Does the next piece of work: starts a script, or takes note of the end of one. Waits for ever when there is
    /// nothing to do, so it belongs into a `select!` in a loop; it may be dropped at any time and called again.
    pub(crate) async fn progress(&mut self) {
        tokio::select! {
            () = self.scripts.progress() => {}
            () = self.fifos.progress() => {}
            () = self.mails.progress() => {}
        }
    }

    /// At stop, after the last [`Notifier::accept`]: tells the last state of every object and returns when all scripts
    /// have ended, a little after `deadline` at the latest. What still runs then is ended.
    pub(crate) async fn drain(&mut self, deadline: Instant) {
        tokio::join!(
            self.scripts.drain(deadline),
            self.fifos.drain(deadline),
            self.mails.drain(deadline)
        );
    }
}
