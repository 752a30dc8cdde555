//! An instance as backup: when its master counts as dead, whom it obeys. Sources: RFC 3768 §6.4.2, RFC 9568 §6.4.2.

use std::net::IpAddr;
use std::time::Duration;

use tracing::debug;

use crate::time::Mono;

use super::instance::{Instance, State, Turn, skew};
use super::receive::Heard;
use super::told::{Matter, Told};
use super::{Action, Report};

/// A wake-up that is late by less, or by less than this part of an interval, is the machine's normal jitter.
const JITTER: Duration = Duration::from_millis(1);
const JITTER_PART: u32 = 4;
/// Where processors stand still at all, one may do so for this long: a real-time thread waits for what runs in the kernel, or
/// for the time that is kept for everybody else.
const STANDSTILL: Duration = Duration::from_millis(50);
/// Late wake-ups in a row that excuse the master: a machine that stops again and again cannot judge, but must not wait for
/// ever either.
const EXCUSES: u8 = 3;

/// RFC 9568 Backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backup {
    /// When the master counts as dead.
    pub(super) down_at: Mono,
    /// Between the master's advertisements: ours until one is heard (RFC 9568 `Active_Adver_Interval`).
    pub(super) interval: Duration,
    preempt: Preempt,
    /// Sync group: the timer expired; it waits for the other members.
    wish: bool,
    /// The master has said itself that it is none any more: it has resigned, or has a lower priority than ours.
    gone: bool,
    /// So often in a row the timer expired late and was given a little more.
    roused: u8,
}

/// `preempt_delay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preempt {
    /// No lower-priority master was heard.
    Idle,
    /// One was; it is obeyed until then, and not any more afterwards.
    At(Mono),
}

/// Time that this machine has lost when a timer is served: it was asleep, or did nothing for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// Since the timer ran out. Time spent on others whose timers ran out at the same time is none.
    pub(super) own: Duration,
    /// Before this one's timer ran out; and when the machine went on.
    pub(super) lately: Duration,
    pub(super) woke_at: Mono,
}

impl Lost {
    /// Nothing is late.
    pub(super) const NOTHING: Self = Self {
        own: Duration::ZERO,
        lately: Duration::ZERO,
        woke_at: Mono::from_micros(0),
    };
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

impl Instance {
    /// Whoever wakes up late, what waited in its sockets being read, has lost time that the master may have lost too, on
    /// the same host or a like one: it waits for as long again, and longer after a long sleep.
    pub(super) fn master_is_silent(
        &mut self,
        now: Mono,
        b: Backup,
        lost: Lost,
        out: &mut Vec<Action>,
    ) -> Turn {
        let down = self.down(b.interval);
        let more = self.excuse(&b, lost, down);
        if let Some(more) = more.filter(|_| b.roused < EXCUSES) {
            let (own, lately) = (lost.own, lost.lately);
            let instance = &self.model.name;
            debug!(%instance, ?own, ?lately, ?more, "late itself, gives its master a little more time");
            if lost.own > down {
                self.report_overslept(lost.own, out);
            }
            self.state = State::Backup(Backup {
                down_at: now + more,
                roused: b.roused + 1,
                ..b
            });
            return Turn::Stay;
        }
        out.push(Action::Report(Report::MasterDown {
            instance: self.model.name.clone(),
        }));
        Turn::Timeout
    }

    /// How much longer the master may be silent for what this machine has `lost`; `down`: how long it may be anyway.
    ///
    /// The master may have lost more than we have, but less than all intervals but one leaves it time to speak: that is no
    /// reason to wait. Neither is anything for one that has said that it goes.
    fn excuse(&self, b: &Backup, lost: Lost, down: Duration) -> Option<Duration> {
        // A timer that was set since then has lost nothing.
        let shared = b.roused == 0 && !b.gone && b.down_at < lost.woke_at + down;
        let late = if shared {
            lost.own.max(lost.lately)
        } else {
            lost.own
        };
        if late > down {
            // Even where our master is gone somebody else may be there.
            return Some(down);
        }
        let theirs = (late * 2).max(STANDSTILL);
        let silencing = b.interval * self.model.down_timer_adverts.saturating_sub(1);
        let normal = (b.interval / JITTER_PART).max(JITTER);
        let excused = late > normal && theirs > silencing && !b.gone;
        excused.then(|| late.min(b.interval))
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

    pub(super) fn hear_as_backup(
        &mut self,
        now: Mono,
        mut b: Backup,
        heard: Heard,
        out: &mut Vec<Action>,
    ) -> Turn {
        let ours = self.priority();
        if heard.priority == 0 {
            (b.down_at, b.wish) = (now + self.skew(b.interval), false);
            b.gone = self.master == Some(heard.src);
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
            b.gone |= self.master == Some(heard.src);
            self.state = State::Backup(b);
            self.tell(Matter::LowerIgnored, heard.src, heard.priority, out);
            return Turn::Stay;
        }
        self.mind_gap(now, &b, &heard, out);
        b.interval = heard.interval;
        (b.down_at, b.wish) = (now + self.down(b.interval), false);
        (b.gone, b.roused) = (false, 0);
        self.state = State::Backup(b);
        self.master_priority = heard.priority;
        self.obey(heard.src, out);
        Turn::Stay
    }

    /// A network that loses or delays advertisements is worth a line long before it costs a failover. Where we woke up late
    /// ourselves, that is told instead.
    fn mind_gap(&mut self, now: Mono, b: &Backup, heard: &Heard, out: &mut Vec<Action>) {
        if self.master != Some(heard.src) || b.roused > 0 {
            return;
        }
        let limit = self.down(b.interval);
        let gap = limit.saturating_sub(b.down_at.since(now));
        if now < b.down_at && gap >= b.interval * 7 / 4 {
            let matter = Matter::Late { gap, limit };
            self.tell(matter, heard.src, heard.priority, out);
        }
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
            gone: false,
            roused: 0,
        };
        self.leave(State::Backup(backup), out);
    }
}
