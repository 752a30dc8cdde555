//! One instance: its state with its deadlines, its priority, and what an advertisement does to it.
//!
//! It decides for itself only; what its sync group makes of that is in `sync`. Sources: RFC 3768 §6.4, RFC 9568 §6.4.

mod sending;
mod transitions;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::{InstanceSnapshot, MasterSeen, VrrpState};
use crate::model::vrrp::{Instance as Model, Version};
use crate::time::{Centis, Mono};

pub(super) use self::transitions::Silence;
use super::advert::Template;
use super::backup::{Backup, Lost};
use super::garp;
use super::master::{Conflict, Master};
use super::priority::{Standing, Watch};
use super::receive::{self, Arrival, Circumstances, Memory};
use super::tally::Tally;
use super::told::{Matter, Told};
use super::world::World;
use super::{Action, FaultCause, IfIndex, InstanceId, Report};

/// See the module.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) model: Arc<Model>,
    /// `None`: nothing but its own interface.
    pub(super) watch: Option<Box<Watch>>,
    /// Index of its unit in the router.
    pub(super) unit: usize,
    pub(super) state: State,
    pub(super) standing: Standing,
    /// Its place in the order in which instances lost their last cause of a fault, from 1; 0: it never had one.
    pub(super) recovery: u64,
    voice: Voice,
    /// `None`: there is no source address.
    pub(super) template: Option<Template>,
    /// Identification of the last IPv4 packet.
    ip_id: u16,
    /// The other owner that did not give way: we run at 254.
    pub(super) conceded_to: Option<Box<IpAddr>>,
    /// As master: another owner that should give way.
    pub(super) conflict: Option<Box<Conflict>>,
    /// The last master that was obeyed.
    pub(super) master: Option<IpAddr>,
    /// Its priority in the last advertisement.
    pub(super) master_priority: u8,
    /// When the last advertisement left that was not a resignation.
    pub(super) last_sent_at: Option<Mono>,
    /// The state that was seen last, for the dumps.
    seen: VrrpState,
    /// Since when it is that.
    since: Option<Mono>,
    memory: Memory,
    pub(super) told: Told,
    pub(super) counters: Tally,
    /// [`Action::Converge`]s that are not answered yet.
    pub(super) converging: u32,
    /// What the daemon was told last.
    pub(super) announced: Option<VrrpState>,
    /// The effective priority as it was when trackers were looked at last.
    pub(super) noted_priority: Option<u8>,
    /// An earlier run was master here, and nobody else can be before then: what it left stays where it is until we
    /// know whether we may be master.
    pub(super) inherits_until: Option<Mono>,
}

/// Where its packets leave and come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    /// There is no such interface.
    Nowhere,
    /// Unicast without an interface: where routes lead.
    Anywhere,
    At(IfIndex),
}

/// What an instance is, with everything that ends when it is something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not started yet, or stopped.
    Idle,
    /// Waits for every [`FaultCause`] to go.
    Fault,
    Backup(Backup),
    Master(Master),
}

/// What the unit must do after an event at one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Stay,
    /// The master is dead.
    Timeout,
    /// There is a better master, with this interval.
    Yield {
        interval: Duration,
    },
    /// A lower-priority master was heard: the other members announce their addresses too.
    Reannounce,
    /// Another router may have become master long ago, and may stay it: `nopreempt`.
    Overslept,
}

impl Instance {
    /// Idle; [`Instance::attach`] must follow.
    pub(super) fn new(id: InstanceId, model: Arc<Model>) -> Self {
        Self {
            id,
            model,
            watch: None,
            unit: 0,
            state: State::Idle,
            standing: Standing::default(),
            recovery: 0,
            voice: Voice::Nowhere,
            template: None,
            ip_id: 0,
            conceded_to: None,
            conflict: None,
            master: None,
            master_priority: 0,
            last_sent_at: None,
            seen: VrrpState::Stop,
            since: None,
            memory: Memory::default(),
            told: Told::default(),
            counters: Tally::default(),
            converging: 0,
            announced: None,
            noted_priority: None,
            inherits_until: None,
        }
    }

    /// Takes a new model of the same key. [`Instance::attach`] must follow.
    pub(super) fn adjust(&mut self, model: Arc<Model>) {
        if *model == *self.model {
            self.model = model;
            return;
        }
        self.model = model;
        self.template = None;
        self.memory.forget();
        self.told = Told::default();
        self.standing.foreign_source = false; // it may be another one
        if !self.model.is_owner() {
            self.conceded_to = None;
        }
    }

    /// Takes what trackers say now.
    pub(super) fn stand(&mut self, now: Mono, new: Standing, out: &mut Vec<Action>) {
        let old = std::mem::replace(&mut self.standing, new);
        let (from, to) = (old.priority, self.standing.priority);
        for cause in &*self.standing.causes {
            let silent = matches!(cause, FaultCause::ScriptPending(_));
            if !silent && !old.causes.contains(cause) {
                out.push(Action::Report(Report::Fault {
                    instance: self.model.name.clone(),
                    cause: cause.clone(),
                }));
            }
        }
        if let Some(source) = self.model.source
            && self.standing.foreign_source
            && !old.foreign_source
        {
            out.push(Action::Report(Report::ForeignSource {
                instance: self.model.name.clone(),
                source,
            }));
        }
        if from == to || self.state == State::Idle {
            return;
        }
        self.reskew(now, from);
        out.push(Action::Report(Report::PriorityChanged {
            instance: self.model.name.clone(),
            from,
            to,
        }));
    }

    /// The running timer follows the changed skew.
    pub(super) fn reskew(&mut self, now: Mono, from: u8) {
        let (version, to) = (self.model.version, self.standing.priority);
        if let State::Backup(b) = &mut self.state {
            let (before, after) = (
                skew(version, from, b.interval),
                skew(version, to, b.interval),
            );
            let down_at = if after > before {
                b.down_at + (after - before)
            } else {
                b.down_at - (before - after)
            };
            b.down_at = down_at.max(now);
        }
    }

    /// What is sent and compared: 1..=255.
    pub(super) fn priority(&self) -> u8 {
        self.standing.priority
    }

    /// Our own interval. Never zero, whatever the model says.
    pub(super) fn advert_int(&self) -> Duration {
        self.model.advert_int.max(Centis(1).into())
    }

    pub(super) fn skew(&self, interval: Duration) -> Duration {
        skew(self.model.version, self.priority(), interval)
    }

    /// RFC 9568 `Active_Down_Interval`.
    pub(super) fn down(&self, interval: Duration) -> Duration {
        interval * self.model.down_timer_adverts + self.skew(interval)
    }

    pub(super) fn deadline(&self) -> Mono {
        match &self.state {
            State::Idle => Mono::NEVER,
            State::Fault => self.inherits_until.unwrap_or(Mono::NEVER),
            State::Backup(b) => b.down_at,
            State::Master(m) => m.advert_at.min(m.garp.deadline()),
        }
    }

    /// A deadline may be here.
    pub(super) fn wake(
        &mut self,
        now: Mono,
        lost: Lost,
        world: &World,
        out: &mut Vec<Action>,
    ) -> Turn {
        match self.state {
            State::Idle => Turn::Stay,
            State::Fault => {
                if self.inherits_until.is_some_and(|until| until <= now) {
                    self.disinherit(out);
                }
                Turn::Stay
            }
            State::Backup(b) if b.down_at <= now => self.master_is_silent(now, b, lost, out),
            State::Backup(_) => Turn::Stay,
            State::Master(m) => {
                let turn = if m.advert_at <= now {
                    self.advert_is_due(now, m, out)
                } else {
                    Turn::Stay
                };
                if let (Turn::Stay, State::Master(m)) = (turn, &mut self.state) {
                    let rounds = m.garp.due(now, &self.model.garp);
                    garp::announce(self.id, &self.model, rounds, world, out);
                }
                turn
            }
        }
    }

    pub(super) fn report_overslept(&mut self, by: Duration, out: &mut Vec<Action>) {
        self.counters.rare().overslept += 1;
        out.push(Action::Report(Report::Overslept {
            instance: self.model.name.clone(),
            by,
        }));
    }

    /// A packet for this instance came in. In FAULT it is ignored, uncounted.
    pub(super) fn hear(
        &mut self,
        now: Mono,
        arrival: &Arrival<'_>,
        world: &World,
        out: &mut Vec<Action>,
    ) -> Turn {
        match self.state {
            State::Idle | State::Fault => return Turn::Stay,
            State::Backup(_) | State::Master(_) => {}
        }
        let circumstances = Circumstances {
            master: self.master,
            wall: self.wall_at(now),
            deaf: self.model.owner_ignore_adverts && self.priority() == 255,
        };
        let heard = match receive::check(
            &self.model,
            arrival,
            circumstances,
            &mut self.memory,
            &mut self.counters,
        ) {
            Ok(heard) => heard,
            Err(fault) => {
                self.tell(Matter::Packet(fault), arrival.src, 0, out);
                return Turn::Stay;
            }
        };
        if let Some(template) = &mut self.template {
            template.follow(heard.src, heard.old_checksum);
        }
        if self
            .conceded_to
            .as_ref()
            .is_some_and(|owner| **owner != heard.src || heard.priority != 255)
        {
            self.concede(now, None);
        }
        let turn = match self.state {
            State::Idle | State::Fault => Turn::Stay,
            State::Backup(b) => self.hear_as_backup(now, b, heard, out),
            State::Master(m) => self.hear_as_master(now, m, heard, world, out),
        };
        for oddity in heard.oddities.into_iter().flatten() {
            self.tell(Matter::Packet(oddity), heard.src, 0, out);
        }
        turn
    }

    /// Reports once for each peer.
    pub(super) fn tell(
        &mut self,
        matter: Matter,
        from: IpAddr,
        priority: u8,
        out: &mut Vec<Action>,
    ) {
        if self.told.is_news(matter, from) {
            let ours = self.priority();
            out.push(Action::Report(matter.report(
                &self.model.name,
                from,
                priority,
                ours,
            )));
        }
    }

    /// Notes when the state changed.
    pub(super) fn look_at_the_clock(&mut self, now: Mono) {
        let state = self.named();
        if self.seen != state {
            (self.seen, self.since) = (state, Some(now));
        }
    }

    /// As it stands, for the dumps.
    pub(super) fn snapshot(&self) -> InstanceSnapshot {
        let obeyed = |b: &Backup| {
            let addr = self.master?;
            Some(MasterSeen {
                addr,
                priority: self.master_priority,
                interval: b.interval,
            })
        };
        let (master, interval, read_until) = match &self.state {
            State::Idle | State::Fault => (None, self.advert_int(), None),
            State::Backup(b) => (obeyed(b), b.interval, Some(b.down_at)),
            State::Master(m) => (None, self.advert_int(), Some(m.advert_at)),
        };
        InstanceSnapshot {
            instance: self.model.clone(),
            state: self.named(),
            effective_priority: self.priority(),
            counters: self.counters.all(),
            since: self.since,
            master,
            read_until,
            master_down: self.down(interval),
            last_sent_at: self.last_sent_at,
            source: self.source(),
            socket: self.socket(),
            fds: None,
            causes: self.standing.causes.to_vec(),
        }
    }

    /// The state as scripts and dumps name it.
    pub(super) fn named(&self) -> VrrpState {
        match self.state {
            State::Idle => VrrpState::Stop,
            State::Fault => VrrpState::Fault,
            State::Backup(_) => VrrpState::Backup,
            State::Master(_) => VrrpState::Master,
        }
    }
}

/// `Skew_Time`: RFC 3768 §6.1, RFC 9568 §6.1. Whole microseconds.
pub(super) fn skew(version: Version, priority: u8, interval: Duration) -> Duration {
    let of = match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => interval,
    };
    let micros = of.as_micros() * u128::from(256 - u16::from(priority)) / 256;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
