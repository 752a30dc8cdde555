//! The life of the task: a configuration comes into force, is replaced, and everything goes at the stop.
//!
//! A configuration waits until its interfaces are there; whoever asked for it, or for the stop, is answered when the kernel has
//! done all that followed. Nothing here waits for that: promises are kept when the line of kernel work has reached them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Task;
use super::kernel::Milestone;
use crate::daemon::bus::{Release, VrrpCommand, VrrpUpdate};
use crate::model::Config;
use crate::model::global::IpvsSettings;
use crate::sys::clock;
use crate::vrrp::links::Wanted;
use crate::vrrp::{Action, Event};

/// Where the task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Stop was asked for; the kernel still has to follow.
    Stopping,
    Over,
}

/// Whom to tell when a place in the line of kernel work is reached.
#[derive(Debug)]
pub(super) struct Promise {
    milestone: Milestone,
    done: Option<oneshot::Sender<()>>,
}

/// A configuration on its way to be in force.
#[derive(Debug)]
pub(super) struct Applying {
    config: Arc<Config>,
    done: oneshot::Sender<()>,
}

/// Whether the LVS task has to do with states and addresses. Elsewhere a copy of them would only take memory.
fn has_followers(config: &Config) -> bool {
    !config.virtual_servers.is_empty() || config.global.ipvs != IpvsSettings::default()
}

impl Task {
    pub(super) fn command(&mut self, command: VrrpCommand) {
        match command {
            VrrpCommand::Apply { config, done } => {
                let intervals = config.instances.iter().map(|i| i.advert_int);
                self.tuning.apply(&config.global.process, intervals.min());
                self.catch_up();
                let asked = self.station.want(Wanted::of(&config), self.kernel.view());
                if config.global.firewall.iptables.is_some() {
                    let table = &config.global.firewall.nftables.table;
                    tracing::info!("vrrp_iptables: nftables is used instead, table {table}");
                }
                let applying = Applying { config, done };
                match asked {
                    true => self.applying = Some(applying),
                    false => self.apply(applying),
                }
            }
            VrrpCommand::Stop { release, done } => self.stop(release, Some(done)),
            VrrpCommand::Snapshot(reply) => {
                let mut instances = self.router.snapshot();
                for now in &mut instances {
                    now.fds = now.socket.and_then(|socket| self.wires.fds(&socket));
                }
                let _ = reply.send(instances); // who asked may have gone away
            }
            VrrpCommand::ClearStats => self.router.clear_stats(),
            VrrpCommand::Alive(reply) => _ = reply.send(()),
        }
    }

    /// The interfaces of a new configuration, or those that somebody else had changed, are there.
    pub(super) fn links_are_there(&mut self, anew: bool) {
        if anew {
            self.kernel.guard_again();
        }
        self.catch_up();
        let idle = self.station.settle(self.kernel.view());
        if let Some(applying) = self.applying.take_if(|_| idle) {
            self.apply(applying);
        }
    }

    /// With [`Release::Nothing`] they stay.
    fn links_are_gone(&mut self) -> bool {
        self.release == Release::Nothing || self.station.leave(self.kernel.view())
    }

    fn apply(&mut self, Applying { config, done }: Applying) {
        let first = !std::mem::replace(&mut self.started, true);
        if first {
            let inheritance = self.heritage.earlier(&config, clock::now());
            self.kernel.find_leftovers(&config, &inheritance);
            self.router.inherit(inheritance);
            self.catch_up();
        }
        self.kernel.configure(&config);
        self.heritage.doubt();
        if has_followers(&config) && self.updates.unmute() {
            self.tell_followers();
        }
        self.step(Event::Apply(config));
        self.wires.resize(self.router.buffers());
        self.kernel.converge_statics();
        if first {
            self.kernel.sweep_leftovers();
        }
        self.promise(Some(done));
    }

    /// How everything is that virtual servers may follow; each change of it is told from now on.
    fn tell_followers(&mut self) {
        for (name, state) in self.router.announced() {
            let name = Arc::clone(name);
            self.updates.put(VrrpUpdate::Instance { name, state });
        }
        for key in self.kernel.view().addresses() {
            let (addr, up) = (key.local, true);
            self.updates.put(VrrpUpdate::Address { addr, up });
        }
    }

    pub(super) fn stop(&mut self, release: Release, done: Option<oneshot::Sender<()>>) {
        self.phase = Phase::Stopping;
        self.release = release;
        self.step(Event::Stop(release));
        if release == Release::All {
            self.kernel.forget_statics();
        }
        self.promise(done);
    }

    /// `done` is answered when all that was asked for until now is done.
    fn promise(&mut self, done: Option<oneshot::Sender<()>>) {
        self.milestones += 1;
        let milestone = Milestone(self.milestones);
        self.promises.push_back(Promise { milestone, done });
        self.kernel.milestone(milestone);
    }

    /// Keeps the promises whose places in the line of kernel work are reached.
    pub(super) fn keep_reached(&mut self) {
        for milestone in self.kernel.reached() {
            self.keep(milestone);
        }
    }

    fn keep(&mut self, milestone: Milestone) {
        // What was done last may have more to follow.
        if self.phase == Phase::Stopping && (self.busy() || !self.links_are_gone()) {
            self.kernel.milestone(milestone);
            return;
        }
        if self.phase == Phase::Running {
            self.station.tidy(self.kernel.view());
        }
        let kept = |promise: &Promise| promise.milestone <= milestone;
        while self.promises.front().is_some_and(kept) {
            if let Some(done) = self.promises.pop_front().and_then(|p| p.done) {
                // Who asked may have gone away.
                let _ = done.send(());
            }
        }
        if self.phase == Phase::Stopping && self.promises.is_empty() {
            self.phase = Phase::Over;
            if self.release == Release::All {
                self.kernel.nothing_left();
                self.heritage.remove();
            }
        }
    }

    /// Resigns and removes what is ours, as far as that is possible now.
    pub(super) fn withdraw(&mut self) {
        let farewell = catch_unwind(AssertUnwindSafe(|| {
            self.router
                .on_event(clock::now(), Event::Stop(Release::All))
        }));
        // A core that panics again has nothing to say; its addresses go all the same.
        for action in farewell.unwrap_or_default() {
            match action {
                Action::SendAdvert { .. } => self.execute(action),
                Action::SendFrame { .. }
                | Action::Converge(_)
                | Action::Listen
                | Action::Notice(_)
                | Action::Report(_) => {}
            }
        }
        self.send_adverts();
        self.kernel.withdraw();
        self.station.withdraw();
        self.heritage.remove();
    }
}
