//! From one state to the next: what follows when an instance enters FAULT or BACKUP, ends, or survives a reload.
//!
//! How it becomes master is in `master`. Nothing here decides that it is time to go: the sync group does, for all of its
//! members. Sources: RFC 3768 §6.4, RFC 9568 §6.4.

use super::{Instance, State};
use crate::daemon::bus::VrrpState;
use crate::model::vrrp::Version;
use crate::time::Mono;
use crate::vrrp::garp::{self, Rounds};
use crate::vrrp::told::Told;
use crate::vrrp::world::World;
use crate::vrrp::{Action, Kinds, Report};

impl Instance {
    /// `silent`: no line about it.
    pub(in crate::vrrp) fn become_faulty(&mut self, silent: Silence, out: &mut Vec<Action>) {
        let before = self.state;
        if silent == Silence::Yes {
            self.state = State::Fault;
            self.settle(before, out);
        } else {
            self.leave(State::Fault, out);
        }
    }

    /// The daemon ends: nothing is wanted any more.
    pub(in crate::vrrp) fn become_idle(&mut self, out: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.state, State::Idle);
        self.disinherit(out);
        if let State::Master(_) = before {
            self.counters.released_master += 1;
            self.converge(out);
        }
    }

    /// From any state to one that holds nothing in the kernel.
    pub(in crate::vrrp) fn leave(&mut self, next: State, out: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.state, next);
        // keepalived: who waited for the first result of a script enters BACKUP later, no longer "(init)".
        let first_fault = self.state == State::Fault && self.announced.is_none();
        let init = before == State::Idle || first_fault;
        self.report_entered(self.named(), init, out);
        self.settle(before, out);
    }

    /// Whether it may go on as the master that an earlier run was.
    pub(in crate::vrrp) fn inherits(&self, now: Mono) -> bool {
        self.inherits_until.is_some_and(|until| until > now)
    }

    /// What an earlier run left is of no more use.
    pub(in crate::vrrp) fn disinherit(&mut self, out: &mut Vec<Action>) {
        if self.inherits_until.take().is_some() {
            self.converge(out);
        }
    }

    pub(in crate::vrrp) fn settle(&mut self, before: State, out: &mut Vec<Action>) {
        self.told = Told::default();
        if self.state != State::Fault {
            self.disinherit(out);
        }
        match before {
            State::Master(_) => {
                self.counters.released_master += 1;
                self.converge(out);
            }
            // keepalived: what an earlier run may have left is removed at start.
            State::Idle => self.converge(out),
            State::Fault | State::Backup(_) => {}
        }
    }

    pub(in crate::vrrp) fn converge(&mut self, out: &mut Vec<Action>) {
        self.converging += 1;
        out.push(Action::Converge(self.id));
        out.push(Action::Report(Report::Holding {
            instance: self.model.name.clone(),
            set: matches!(self.state, State::Master(_)),
            kinds: Kinds::of(&self.model),
        }));
    }

    /// After a reload that this instance survived.
    pub(in crate::vrrp) fn resume(&mut self, now: Mono, world: &World, out: &mut Vec<Action>) {
        match self.state {
            State::Idle | State::Fault => {}
            State::Backup(mut b) => {
                if self.model.version == Version::V2 {
                    b.interval = self.advert_int();
                }
                b.down_at = now + self.down(b.interval);
                self.state = State::Backup(b);
            }
            State::Master(_) => {
                self.advertise(now, out);
                if !self.model.garp.master_refresh.is_zero() {
                    garp::announce(
                        self.id,
                        &self.model,
                        Rounds::of(self.model.garp.master_refresh_repeat),
                        world,
                        out,
                    );
                }
            }
        }
    }

    pub(in crate::vrrp) fn report_entered(
        &self,
        state: VrrpState,
        init: bool,
        out: &mut Vec<Action>,
    ) {
        out.push(Action::Report(Report::Entered {
            instance: self.model.name.clone(),
            state,
            init,
        }));
    }
}

/// Is it worth a line?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vrrp) enum Silence {
    Yes,
    No,
}
