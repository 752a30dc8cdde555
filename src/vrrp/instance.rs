//! One instance: its state with its deadlines, what an advertisement does to it, what it sends.
//!
//! It decides for itself only; what its sync group makes of that is in `sync`. Sources: RFC 3768 §6.4, RFC 9568 §6.4.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::VrrpState;
use crate::model::vrrp::{Instance as Model, Version};
use crate::time::{Centis, Mono};

use super::advert::Template;
use super::garp::{self, Plan};
use super::priority::{BELOW_OWNER, Standing, Watch};
use super::receive::{self, Arrival, Heard, Known};
use super::told::{Matter, Told};
use super::world::World;
use super::{Action, Counters, FaultCause, IfIndex, InstanceId, Report};

/// A lower-priority master is answered at most this often, so that a flood of its packets is not answered by a flood.
const ANSWER_SPACING: Duration = Duration::from_millis(10);
/// A wake-up that is late by less is the machine's normal jitter.
const JITTER: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) model: Arc<Model>,
    pub(super) watch: Watch,
    /// Index of its unit in the router.
    pub(super) unit: usize,
    pub(super) state: State,
    pub(super) standing: Standing,
    /// `None`: the interface does not exist.
    pub(super) interface: Option<IfIndex>,
    /// `None`: there is no source address.
    template: Option<Template>,
    /// Identification of the last IPv4 packet.
    ip_id: u16,
    /// The other owner that did not give way: we run at 254.
    pub(super) conceded_to: Option<IpAddr>,
    /// The last master that was obeyed.
    master: Option<IpAddr>,
    known: Known,
    told: Told,
    pub(super) counters: Counters,
    /// [`Action::Converge`]s that are not answered yet.
    pub(super) converging: u32,
    /// What the daemon was told last.
    pub(super) announced: Option<VrrpState>,
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

/// RFC 9568 Backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backup {
    /// When the master counts as dead.
    pub(super) down_at: Mono,
    /// Between the master's advertisements: ours until one is heard (RFC 9568 `Active_Adver_Interval`).
    interval: Duration,
    preempt: Preempt,
    /// Sync group: the timer expired; it waits for the other members.
    pub(super) wish: bool,
    /// The timer expired late and was given a little more.
    roused: bool,
}

/// `preempt_delay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preempt {
    /// No lower-priority master was heard.
    Idle,
    /// One was; it is obeyed until then, and not any more afterwards.
    At(Mono),
}

/// RFC 9568 Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Master {
    advert_at: Mono,
    /// The last advertisement left.
    sent_at: Mono,
    /// The last answer to a lower-priority master left.
    answered_at: Option<Mono>,
    pub(super) garp: Plan,
    /// Rounds to announce once the kernel has the addresses.
    announce: Announce,
    conflict: Option<Conflict>,
}

/// What follows when the kernel holds what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announce {
    Nothing,
    /// The whole programme from the first burst on.
    Start,
}

/// Two owners; ours is the higher address, so the other one should give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Conflict {
    /// Advertisements still to send before patience begins to run out.
    adverts_left: u8,
    /// The other one's interval, or ours if longer.
    interval: Duration,
    /// When patience ends; [`Mono::NEVER`] while adverts are left.
    until: Mono,
    /// The last packet of the other owner.
    heard_at: Mono,
}

/// How long a new backup waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// `Master_Down_Interval`.
    Full,
    /// `Skew_Time`.
    Skew,
    /// An owner that may not start as master on its own.
    Owner,
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
    /// Another router may be master since long: listen.
    Overslept,
}

impl Instance {
    /// Idle; [`Instance::attach`] must follow.
    pub(super) fn new(id: InstanceId, model: Arc<Model>) -> Self {
        Self {
            id,
            model,
            watch: Watch::default(),
            unit: 0,
            state: State::Idle,
            standing: Standing::default(),
            interface: None,
            template: None,
            ip_id: 0,
            conceded_to: None,
            master: None,
            known: Known::default(),
            told: Told::default(),
            counters: Counters::default(),
            converging: 0,
            announced: None,
        }
    }

    /// Looks up interface and source again. True if the interface is another one than before.
    pub(super) fn attach(&mut self, world: &World) -> bool {
        let model = &self.model;
        let interface = world.facts(&model.interface).map(|facts| facts.index);
        let source = model
            .source
            .or_else(|| world.source(&model.interface, model.family));
        if source != self.source() {
            self.template = source.and_then(|src| Template::new(model, src));
        }
        let moved = interface != self.interface;
        self.interface = interface;
        moved
    }

    /// Takes a new model of the same key. [`Instance::attach`] must follow.
    pub(super) fn adjust(&mut self, model: Arc<Model>) {
        if *model == *self.model {
            self.model = model;
            return;
        }
        self.model = model;
        self.template = None;
        self.known.forget();
        self.told = Told::default();
        if !self.model.is_owner() {
            self.conceded_to = None;
        }
    }

    /// Source of its advertisements.
    fn source(&self) -> Option<IpAddr> {
        self.template.as_ref().map(|t| t.src)
    }

    /// Takes what trackers say now.
    pub(super) fn stand(&mut self, new: Standing, out: &mut Vec<Action>) {
        let old = std::mem::replace(&mut self.standing, new);
        let (from, to) = (old.priority, self.standing.priority);
        for cause in &self.standing.causes {
            let silent = matches!(cause, FaultCause::ScriptPending(_));
            if !silent && !old.causes.contains(cause) {
                out.push(Action::Report(Report::Fault {
                    instance: self.model.name.clone(),
                    cause: cause.clone(),
                }));
            }
        }
        if from == to || self.state == State::Idle {
            return;
        }
        self.reskew(from);
        out.push(Action::Report(Report::PriorityChanged {
            instance: self.model.name.clone(),
            from,
            to,
        }));
    }

    /// The running timer follows the changed skew.
    fn reskew(&mut self, from: u8) {
        let (version, to) = (self.model.version, self.standing.priority);
        if let State::Backup(b) = &mut self.state {
            let (before, after) = (
                skew(version, from, b.interval),
                skew(version, to, b.interval),
            );
            b.down_at = if after > before {
                b.down_at + (after - before)
            } else {
                b.down_at - (before - after)
            };
        }
    }

    /// What is sent and compared: 1..=255.
    pub(super) fn priority(&self) -> u8 {
        self.standing.priority
    }

    /// Our own interval. Never zero, whatever the model says.
    fn advert_int(&self) -> Duration {
        self.model.advert_int.max(Centis(1).into())
    }

    fn skew(&self, interval: Duration) -> Duration {
        skew(self.model.version, self.priority(), interval)
    }

    /// RFC 9568 `Active_Down_Interval`.
    fn down(&self, interval: Duration) -> Duration {
        interval * self.model.down_timer_adverts + self.skew(interval)
    }

    pub(super) fn deadline(&self) -> Mono {
        match &self.state {
            State::Idle | State::Fault => Mono::NEVER,
            State::Backup(b) => b.down_at,
            State::Master(m) => m.advert_at.min(m.garp.deadline()),
        }
    }

    /// A deadline may be here.
    pub(super) fn wake(&mut self, now: Mono, world: &World, out: &mut Vec<Action>) -> Turn {
        match self.state {
            State::Idle | State::Fault => Turn::Stay,
            State::Backup(b) if b.down_at <= now => self.master_is_silent(now, b, out),
            State::Backup(_) => Turn::Stay,
            State::Master(mut m) => {
                let rounds = m.garp.due(now, &self.model.garp);
                self.state = State::Master(m);
                let turn = if m.advert_at <= now {
                    self.advert_is_due(now, m, out)
                } else {
                    Turn::Stay
                };
                if turn == Turn::Stay {
                    garp::announce(&self.model, rounds, world, out);
                }
                turn
            }
        }
    }

    /// Whoever wakes up late may have the master's packets still unread in its socket: it listens first.
    fn master_is_silent(&mut self, now: Mono, b: Backup, out: &mut Vec<Action>) -> Turn {
        let late = now.since(b.down_at);
        let (skew, down) = (self.skew(b.interval), self.down(b.interval));
        if late > skew.max(JITTER) && !b.roused {
            let more = if late > down { down } else { skew };
            if late > down {
                self.report_overslept(late, out);
            }
            self.state = State::Backup(Backup {
                down_at: now + more,
                roused: true,
                ..b
            });
            return Turn::Stay;
        }
        out.push(Action::Report(Report::MasterDown {
            instance: self.model.name.clone(),
        }));
        Turn::Timeout
    }

    fn advert_is_due(&mut self, now: Mono, m: Master, out: &mut Vec<Action>) -> Turn {
        let interval = self.advert_int();
        let others_patience = interval * self.model.down_timer_adverts
            + skew(self.model.version, BELOW_OWNER, interval);
        if now.since(m.sent_at) > others_patience {
            self.report_overslept(now.since(m.advert_at), out);
            return Turn::Overslept;
        }
        self.advertise(now, out);
        if let State::Master(new) = &mut self.state {
            // Counted from the deadline, not from now: the interval does not drift.
            let on_time = m.advert_at + interval;
            if on_time > now {
                new.advert_at = on_time;
            }
        }
        Turn::Stay
    }

    fn report_overslept(&self, by: Duration, out: &mut Vec<Action>) {
        out.push(Action::Report(Report::Overslept {
            instance: self.model.name.clone(),
            by,
        }));
    }

    /// Sync group: our master is silent; wait for the others. The timer runs again, should they not follow.
    pub(super) fn wish(&mut self, now: Mono) {
        let down = |b: &Backup| self.down(b.interval);
        if let State::Backup(b) = self.state {
            self.state = State::Backup(Backup {
                down_at: now + down(&b),
                wish: true,
                ..b
            });
        }
    }

    /// Its master is silent.
    pub(super) fn wishes(&self) -> bool {
        matches!(self.state, State::Backup(b) if b.wish)
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
        let heard = match receive::check(&self.model, arrival, &mut self.known, &mut self.counters)
        {
            Ok(heard) => heard,
            Err(fault) => {
                self.tell(Matter::Packet(fault), arrival.src, 0, out);
                return Turn::Stay;
            }
        };
        for oddity in heard.oddities.into_iter().flatten() {
            self.tell(Matter::Packet(oddity), heard.src, 0, out);
        }
        if self
            .conceded_to
            .is_some_and(|owner| owner != heard.src || heard.priority != 255)
        {
            self.concede(None);
        }
        match self.state {
            State::Idle | State::Fault => Turn::Stay,
            State::Backup(b) => self.hear_as_backup(now, b, heard, out),
            State::Master(m) => self.hear_as_master(now, m, heard, world, out),
        }
    }

    fn hear_as_backup(
        &mut self,
        now: Mono,
        mut b: Backup,
        heard: Heard,
        out: &mut Vec<Action>,
    ) -> Turn {
        let ours = self.priority();
        if heard.priority == 0 {
            (b.down_at, b.wish) = (now + self.skew(b.interval), false);
            self.state = State::Backup(b);
            out.push(Action::Report(Report::MasterResigned {
                instance: self.model.name.clone(),
                from: heard.src,
            }));
            return Turn::Stay;
        }
        let lower = heard.priority < ours;
        match b.preempt {
            Preempt::At(_) if !lower => b.preempt = Preempt::Idle,
            Preempt::Idle if lower => b.preempt = Preempt::At(now + self.model.preempt_delay),
            Preempt::Idle | Preempt::At(_) => {}
        }
        let delayed = matches!(b.preempt, Preempt::At(at) if now < at);
        if lower && self.model.preempt && !delayed {
            self.state = State::Backup(b);
            self.tell(Matter::LowerIgnored, heard.src, heard.priority, out);
            return Turn::Stay;
        }
        b.interval = heard.interval;
        (b.down_at, b.wish, b.roused) = (now + self.down(b.interval), false, false);
        self.state = State::Backup(b);
        self.obey(heard.src, out);
        Turn::Stay
    }

    /// Remembers the master; another one than before is news.
    fn obey(&mut self, master: IpAddr, out: &mut Vec<Action>) {
        if self.master == Some(master) {
            return;
        }
        self.master = Some(master);
        self.told = Told::default();
        out.push(Action::Report(Report::MasterIs {
            instance: self.model.name.clone(),
            master,
        }));
    }

    fn hear_as_master(
        &mut self,
        now: Mono,
        m: Master,
        heard: Heard,
        world: &World,
        out: &mut Vec<Action>,
    ) -> Turn {
        let Some(own_address) = self.source() else {
            return Turn::Stay;
        };
        if heard.priority == 0 {
            self.answer(now, m, out);
            return Turn::Stay;
        }
        let rank = |m: &Self| {
            heard
                .priority
                .cmp(&m.priority())
                .then(heard.src.cmp(&own_address))
        };
        if rank(self) == Ordering::Less
            && heard.priority == 255
            && self.patience_ended(now, m, heard)
        {
            self.concede(Some(heard.src));
            out.push(Action::Report(Report::OwnershipConceded {
                instance: self.model.name.clone(),
                from: heard.src,
            }));
        }
        match rank(self) {
            Ordering::Equal => {
                self.tell(Matter::OwnAddress, heard.src, heard.priority, out);
                Turn::Stay
            }
            Ordering::Less => self.hear_lower(now, heard, world, out),
            Ordering::Greater => {
                if self.model.higher_prio_send_advert {
                    self.advertise(now, out);
                }
                out.push(Action::Report(Report::HigherPriorityHeard {
                    instance: self.model.name.clone(),
                    from: heard.src,
                    priority: heard.priority,
                    ours: self.priority(),
                }));
                self.master = Some(heard.src);
                Turn::Yield {
                    interval: heard.interval,
                }
            }
        }
    }

    fn hear_lower(
        &mut self,
        now: Mono,
        heard: Heard,
        world: &World,
        out: &mut Vec<Action>,
    ) -> Turn {
        self.tell(Matter::LowerHeard, heard.src, heard.priority, out);
        let State::Master(m) = self.state else {
            return Turn::Stay;
        };
        if !m.may_answer(now) {
            return Turn::Stay;
        }
        if self.model.lower_prio_no_advert {
            self.state = State::Master(Master {
                answered_at: Some(now),
                ..m
            });
        } else {
            self.answer(now, m, out);
        }
        self.reannounce(now, world, out);
        Turn::Reannounce
    }

    /// A lower-priority master may have drawn traffic to itself, from us or from another member of our group.
    pub(super) fn reannounce(&mut self, now: Mono, world: &World, out: &mut Vec<Action>) {
        if let State::Master(m) = &mut self.state {
            let rounds = m.garp.lower_prio(now, &self.model.garp);
            garp::announce(&self.model, rounds, world, out);
        }
    }

    fn answer(&mut self, now: Mono, m: Master, out: &mut Vec<Action>) {
        if m.may_answer(now) {
            self.state = State::Master(Master {
                answered_at: Some(now),
                ..m
            });
            self.advertise(now, out);
        }
    }

    /// Another owner was heard. keepalived: after two more of our advertisements and 1.2 intervals it should be gone.
    fn patience_ended(&mut self, now: Mono, m: Master, heard: Heard) -> bool {
        let interval = heard.interval.max(self.advert_int());
        let recent = m
            .conflict
            .filter(|c| now.since(c.heard_at) <= self.down(interval));
        let conflict = recent.unwrap_or(Conflict {
            adverts_left: 2,
            interval,
            until: Mono::NEVER,
            heard_at: now,
        });
        let conflict = Some(Conflict {
            heard_at: now,
            ..conflict
        });
        self.state = State::Master(Master { conflict, ..m });
        recent.is_some_and(|c| c.until <= now)
    }

    /// `None`: we are the owner again.
    fn concede(&mut self, to: Option<IpAddr>) {
        if !self.model.is_owner() || self.conceded_to == to {
            return;
        }
        self.conceded_to = to;
        let from = self.standing.priority;
        self.standing.priority = if to.is_some() {
            BELOW_OWNER
        } else {
            self.model.priority.get()
        };
        self.reskew(from);
    }

    /// Sends an advertisement now; the next one is due an interval later.
    pub(super) fn advertise(&mut self, now: Mono, out: &mut Vec<Action>) {
        let interval = self.advert_int();
        self.send(self.priority(), out);
        if let State::Master(m) = &mut self.state {
            (m.sent_at, m.advert_at) = (now, now + interval);
            if let Some(c) = &mut m.conflict
                && c.adverts_left > 0
            {
                c.adverts_left -= 1;
                if c.adverts_left == 0 {
                    c.until = now + c.interval * 6 / 5;
                }
            }
        }
    }

    fn send(&mut self, priority: u8, out: &mut Vec<Action>) {
        let (Some(interface), Some(template)) = (self.interface, &self.template) else {
            return;
        };
        self.ip_id = self.ip_id.checked_add(1).unwrap_or(1);
        self.counters.advert_sent += 1;
        out.push(Action::SendAdvert {
            interface,
            src: template.src,
            dst: template.dst,
            octets: template.emit(self.ip_id, priority),
        });
    }

    /// `times` advertisements of priority 0. keepalived: only the last one is counted as such.
    pub(super) fn resign(&mut self, times: u8, out: &mut Vec<Action>) {
        for _ in 0..times {
            self.send(0, out);
        }
        if times > 0 {
            self.counters.priority_zero_sent += 1;
            out.push(Action::Report(Report::Resigned {
                instance: self.model.name.clone(),
            }));
        }
    }

    /// The advertisement leaves first; then the kernel gets the addresses; when it has them, they are announced.
    pub(super) fn become_master(&mut self, now: Mono, out: &mut Vec<Action>) {
        let init = self.state == State::Idle;
        self.concede(None);
        self.counters.became_master += 1;
        self.told = Told::default();
        self.master = None;
        self.state = State::Master(Master {
            advert_at: now,
            sent_at: now,
            answered_at: None,
            garp: Plan::NONE,
            announce: Announce::Start,
            conflict: None,
        });
        self.advertise(now, out);
        self.report_entered(VrrpState::Master, init, out);
        self.converge(out);
    }

    /// `interval`: the new master's, if it is known.
    pub(super) fn become_backup(
        &mut self,
        now: Mono,
        wait: Wait,
        interval: Option<Duration>,
        out: &mut Vec<Action>,
    ) {
        let interval = interval.unwrap_or(self.advert_int());
        let wait = match wait {
            Wait::Full => self.down(interval),
            Wait::Skew => self.skew(interval),
            Wait::Owner => interval + skew(self.model.version, 255, interval),
        };
        let backup = Backup {
            down_at: now + wait,
            interval,
            preempt: Preempt::Idle,
            wish: false,
            roused: false,
        };
        self.leave(State::Backup(backup), out);
    }

    /// `silent`: no line about it.
    pub(super) fn become_faulty(&mut self, silent: Silence, out: &mut Vec<Action>) {
        let before = self.state;
        if silent == Silence::Yes {
            self.state = State::Fault;
            self.settle(before, out);
        } else {
            self.leave(State::Fault, out);
        }
    }

    /// The daemon ends: nothing is wanted any more.
    pub(super) fn become_idle(&mut self, out: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.state, State::Idle);
        if let State::Master(_) = before {
            self.counters.released_master += 1;
            self.converge(out);
        }
    }

    /// From any state to one that holds nothing in the kernel.
    fn leave(&mut self, next: State, out: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.state, next);
        let init = before == State::Idle || self.announced.is_none();
        self.report_entered(self.named(), init, out);
        self.settle(before, out);
    }

    fn settle(&mut self, before: State, out: &mut Vec<Action>) {
        self.told = Told::default();
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

    /// The addresses are not what they were: put them in force, then announce them.
    pub(super) fn addresses_changed(&mut self, out: &mut Vec<Action>) {
        if let State::Master(m) = &mut self.state {
            m.announce = Announce::Start;
            self.converge(out);
        }
    }

    fn converge(&mut self, out: &mut Vec<Action>) {
        self.converging += 1;
        out.push(Action::Converge(self.id));
    }

    /// One [`Action::Converge`] is answered.
    pub(super) fn converged(&mut self, now: Mono, world: &World, out: &mut Vec<Action>) {
        self.converging = self.converging.saturating_sub(1);
        if let State::Master(m) = &mut self.state
            && self.converging == 0
            && m.announce == Announce::Start
        {
            m.announce = Announce::Nothing;
            let rounds = m.garp.start(now, &self.model.garp);
            garp::announce(&self.model, rounds, world, out);
        }
    }

    /// After a reload that this instance survived.
    pub(super) fn resume(&mut self, now: Mono, world: &World, out: &mut Vec<Action>) {
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
                        &self.model,
                        self.model.garp.master_refresh_repeat,
                        world,
                        out,
                    );
                }
            }
        }
    }

    fn report_entered(&self, state: VrrpState, init: bool, out: &mut Vec<Action>) {
        out.push(Action::Report(Report::Entered {
            instance: self.model.name.clone(),
            state,
            init,
        }));
    }

    /// Reports once for each peer.
    fn tell(&mut self, matter: Matter, from: IpAddr, priority: u8, out: &mut Vec<Action>) {
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

/// Is it worth a line?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    Yes,
    No,
}

impl Master {
    fn may_answer(&self, now: Mono) -> bool {
        self.answered_at
            .is_none_or(|at| now.since(at) >= ANSWER_SPACING)
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
