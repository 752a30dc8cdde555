//! What happens to the daemons while they are measured.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::machine::Pause;
use crate::{Copy, Count, say};

/// From the start of one stall to that of the next: what the last one caused is over, and so is what its announcements
/// cost (the second burst leaves after 5 s).
const STALLS: Duration = Duration::from_secs(7);

/// Looks at both copies once a second and tells of each second in which somebody changed his state.
pub(crate) struct Watch<'a> {
    copies: &'a [Copy<'a>],
    start: Instant,
    seen: Vec<Count>,
    seen_at: Duration,
    changes: Vec<Changes>,
}

/// Between two looks, some changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changes {
    /// Since the start.
    from: Duration,
    until: Duration,
    /// At the master, at the backup.
    pub(crate) count: [usize; 2],
}

impl Changes {
    /// Whether the machine stood still meanwhile, or no more than `patience` before: what a backup waits, so that it may have
    /// been without its master's advertisements for that long, however well both daemons did.
    pub(crate) fn explained(&self, pauses: &[Pause], patience: Duration) -> bool {
        let fits = |p: &Pause| p.at + patience >= self.from && p.at <= self.until + p.asleep;
        pauses.iter().any(fits)
    }
}

impl<'a> Watch<'a> {
    pub(crate) fn start(copies: &'a [Copy<'a>]) -> Self {
        Self {
            copies,
            start: Instant::now(),
            seen: copies.iter().map(Copy::count).collect(),
            seen_at: Duration::ZERO,
            changes: Vec::new(),
        }
    }

    /// What there was.
    pub(crate) fn end(self) -> Vec<Changes> {
        self.changes
    }

    /// One second, or what is left of `window`. False: it is over.
    fn second(&mut self, window: Duration) -> bool {
        let left = window.saturating_sub(self.start.elapsed());
        thread::sleep(left.min(Duration::from_secs(1)));
        self.look("");
        self.start.elapsed() < window
    }

    /// Changes of state of master and backup since the last look.
    fn look(&mut self, why: &str) {
        let now: Vec<Count> = self.copies.iter().map(Copy::count).collect();
        let changes = |n: usize| now[n].transitions - self.seen[n].transitions;
        let (master, backup) = (changes(0), changes(1));
        if master + backup > 0 || !why.is_empty() {
            let at = self.start.elapsed().as_millis();
            say(&format!(
                "  {at:>6} ms: {why} {master} changes of state at the master, {backup} at the backup"
            ));
        }
        self.seen = now;
        let from = std::mem::replace(&mut self.seen_at, self.start.elapsed());
        if master + backup > 0 {
            self.changes.push(Changes {
                from,
                until: self.seen_at,
                count: [master, backup],
            });
        }
    }

    /// Only watches for as long as `window`.
    pub(crate) fn peace(&mut self, window: Duration) {
        while self.second(window) {}
    }

    /// Stops the master, the backup and both in turn for `stall`, until `window` is over.
    pub(crate) fn stalls(&mut self, stall: Duration, window: Duration) {
        let victims: [(&str, &[usize]); 3] = [
            ("the master was stopped:", &[0]),
            ("the backup was stopped:", &[1]),
            ("both were stopped:", &[0, 1]),
        ];
        for (why, victims) in victims.into_iter().cycle() {
            if self.start.elapsed() + STALLS > window {
                return;
            }
            let pids: Vec<_> = victims
                .iter()
                .flat_map(|n| self.copies[*n].ns.processes())
                .collect();
            let signal = |signal| {
                for pid in &pids {
                    let _ = kill(*pid, signal); // one that has ended is missed later
                }
            };
            let next = Instant::now() + STALLS;
            signal(Signal::SIGSTOP);
            thread::sleep(stall);
            signal(Signal::SIGCONT);
            thread::sleep(Duration::from_secs(1));
            self.look(why);
            thread::sleep(next.saturating_duration_since(Instant::now()));
            self.look("");
        }
    }
}
