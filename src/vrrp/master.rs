//! An instance as master: its advertisements, what it makes of other masters. Sources: RFC 3768 §6.4.3, RFC 9568 §6.4.3.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::time::Duration;

use crate::daemon::bus::VrrpState;
use crate::time::Mono;

use super::garp::{self, Plan, Rounds};
use super::instance::{Instance, State, Turn, skew};
use super::priority::BELOW_OWNER;
use super::receive::Heard;
use super::told::{Matter, Told};
use super::world::World;
use super::{Action, Report};

/// How long a master that has been silent for too long listens at most before it speaks again: what others have said meanwhile
/// is in our sockets, which are read first, or will be in a moment.
const HARK: Duration = Duration::from_millis(50);
/// The part of an interval that it listens at most: the patience of others may be about to end, which a whole interval of
/// silence more would turn into a takeover.
const HARK_PART: u32 = 16;

/// A lower-priority master is answered at most this often, so that a flood of its packets is not answered by a flood.
const ANSWER_SPACING: Duration = Duration::from_millis(10);

/// RFC 9568 Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Master {
    pub(super) advert_at: Mono,
    /// The last advertisement left.
    sent_at: Mono,
    /// It was silent for so long that it listens before it speaks again.
    roused: bool,
    /// The last answer to a lower-priority master left.
    answered_at: Option<Mono>,
    pub(super) garp: Plan,
}

/// Two owners; ours is the higher address, so the other one should give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// Advertisements still to send before patience begins to run out.
    adverts_left: u8,
    /// The other one's interval, or ours if longer.
    interval: Duration,
    /// When patience ends; [`Mono::NEVER`] while adverts are left.
    until: Mono,
    /// The last packet of the other owner.
    heard_at: Mono,
}

impl Master {
    fn may_answer(&self, now: Mono) -> bool {
        self.answered_at
            .is_none_or(|at| now.since(at) >= ANSWER_SPACING)
    }
}

impl Instance {
    /// Whether it was silent for so long that there may be another master, and has not listened since. With `nopreempt` there
    /// may be one as soon as the timer of the best of the others has run out. Otherwise it need not fear one, and would only
    /// bring a takeover about if it listened while the others still wait.
    pub(super) fn overslept(&self, now: Mono) -> bool {
        let State::Master(m) = &self.state else {
            return false;
        };
        let patience = match self.model.preempt {
            true => self.advert_int() * (self.model.down_timer_adverts + 1),
            false => self.others_patience(),
        };
        now.since(m.sent_at) > patience && !m.roused
    }

    /// How long the best of the others waits: `timer_expired_backup`.
    fn others_patience(&self) -> Duration {
        let (interval, other) = (self.advert_int(), self.model.timer_expired_backup);
        interval * self.model.down_timer_adverts + skew(self.model.version, other, interval)
    }

    /// Others may have taken over meanwhile.
    fn report_late(&mut self, now: Mono, m: &Master, out: &mut Vec<Action>) {
        if now.since(m.sent_at) > self.others_patience() && !m.roused {
            self.report_overslept(now.since(m.advert_at), out);
        }
    }

    pub(super) fn advert_is_due(&mut self, now: Mono, m: Master, out: &mut Vec<Action>) -> Turn {
        let interval = self.advert_int();
        self.report_late(now, &m, out);
        if self.overslept(now) {
            if !self.model.preempt {
                return Turn::Overslept; // Whoever is master meanwhile may stay.
            }
            // Nobody else may be master at all: giving everything up would be a failover for nothing, and so would be a
            // long silence.
            let advert_at = now + (interval / HARK_PART).min(HARK);
            self.state = State::Master(Master {
                advert_at,
                roused: true,
                garp: m.garp.not_before(advert_at),
                ..m
            });
            return Turn::Stay;
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

    pub(super) fn hear_as_master(
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
        self.report_late(now, &m, out);
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
        if rank(self) == Ordering::Less && heard.priority == 255 && self.patience_ended(now, heard)
        {
            self.concede(now, Some(heard.src));
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
        self.note_lower(heard.form);
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
            garp::announce(self.id, &self.model, Rounds::of(rounds), world, out);
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
    fn patience_ended(&mut self, now: Mono, heard: Heard) -> bool {
        let interval = heard.interval.max(self.advert_int());
        let known = self.conflict.as_deref().copied();
        let recent = known.filter(|c| now.since(c.heard_at) <= self.down(interval));
        let conflict = recent.unwrap_or(Conflict {
            adverts_left: 2,
            interval,
            until: Mono::NEVER,
            heard_at: now,
        });
        self.conflict = Some(Box::new(Conflict {
            heard_at: now,
            ..conflict
        }));
        recent.is_some_and(|c| c.until <= now)
    }

    /// `None`: we are the owner again.
    pub(super) fn concede(&mut self, now: Mono, to: Option<IpAddr>) {
        if !self.model.is_owner() || self.conceded_to.as_deref().copied() == to {
            return;
        }
        self.conceded_to = to.map(Box::new);
        let from = self.standing.priority;
        self.standing.priority = if to.is_some() {
            BELOW_OWNER
        } else {
            self.model.priority.get()
        };
        self.reskew(now, from);
    }

    /// Sends an advertisement now; the next one is due an interval later.
    pub(super) fn advertise(&mut self, now: Mono, out: &mut Vec<Action>) {
        let interval = self.advert_int();
        self.send(now, self.priority(), out);
        self.last_sent_at = Some(now);
        if let State::Master(m) = &mut self.state {
            (m.sent_at, m.advert_at, m.roused) = (now, now + interval, false);
            if let Some(c) = &mut self.conflict
                && c.adverts_left > 0
            {
                c.adverts_left -= 1;
                if c.adverts_left == 0 {
                    c.until = now + c.interval * 6 / 5;
                }
            }
        }
    }

    /// The advertisement leaves first; then the kernel gets the addresses; in the line of kernel work the frames that
    /// announce them stand behind them.
    pub(super) fn become_master(&mut self, now: Mono, world: &World, out: &mut Vec<Action>) {
        let init = self.state == State::Idle;
        self.concede(now, None);
        self.renew();
        self.counters.became_master += 1;
        self.told = Told::default();
        self.conflict = None;
        self.master = None;
        self.inherits_until = None; // ours now
        self.state = State::Master(Master {
            advert_at: now,
            sent_at: now,
            roused: false,
            answered_at: None,
            garp: Plan::NONE,
        });
        self.advertise(now, out);
        self.report_entered(VrrpState::Master, init, out);
        self.addresses_changed(now, world, out);
    }

    /// The addresses are not what they were: puts them in force and announces them.
    pub(super) fn addresses_changed(&mut self, now: Mono, world: &World, out: &mut Vec<Action>) {
        if let State::Master(_) = self.state {
            self.converge(out);
            self.announce(now, world, out);
        }
    }

    /// The whole programme of announcements, from the first burst on.
    pub(super) fn announce(&mut self, now: Mono, world: &World, out: &mut Vec<Action>) {
        if let State::Master(m) = &mut self.state {
            let rounds = m.garp.start(now, &self.model.garp);
            garp::announce(self.id, &self.model, Rounds::of(rounds), world, out);
        }
    }

    /// One [`Action::Converge`] is answered.
    pub(super) fn converged(&mut self) {
        self.converging = self.converging.saturating_sub(1);
    }
}
