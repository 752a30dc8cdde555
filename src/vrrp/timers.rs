//! The earliest of many deadlines. Each instance owns its own; here they are only put in order.
//!
//! A heap with one live entry for each instance. A deadline that moves back (every advertisement a backup hears) costs
//! nothing: its entry is moved when it comes up. One that moves forward gets a second entry; the first is dropped when
//! it comes up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::time::Mono;

use super::InstanceId;
use super::backup::Lost;

/// How late timers are served: what this machine has lost, and its neighbours perhaps with it.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// Since when timers that have run out are being served, one portion after the other; `None`: none is left.
    since: Option<Mono>,
    /// The greatest lateness of one such series, and when it began.
    lately: (Duration, Mono),
    /// Where intervals are short a pause may be a good part of what a backup waits, without a timer that runs out in it: one
    /// runs out this often only to notice pauses.
    pulse: Option<Duration>,
    pulse_at: Option<Mono>,
}

/// Intervals from which on nobody looks for pauses: those that matter there are noticed anyway.
const SLOW: Duration = Duration::from_millis(100);
/// Less than this is the machine's normal jitter.
const NORMAL: Duration = Duration::from_micros(500);

impl Lateness {
    /// `shortest`: of the intervals of all instances.
    pub(super) fn pace(&mut self, now: Mono, shortest: Option<Duration>) {
        self.pulse = shortest.filter(|interval| *interval <= SLOW).map(|i| i / 2);
        self.pulse_at = self.pulse.map(|pulse| now + pulse);
    }

    /// When somebody has to look for pauses.
    pub(super) fn deadline(&self) -> Mono {
        self.pulse_at.unwrap_or(Mono::NEVER)
    }

    /// The look for pauses is late itself.
    pub(super) fn paused(&self, now: Mono) -> bool {
        now.since(self.deadline()) > NORMAL
    }

    /// The earliest timer, of `first`, is served at `now`.
    pub(super) fn note(&mut self, now: Mono, first: Mono) {
        let first = first.min(self.deadline());
        if self.deadline() <= now {
            self.pulse_at = self.pulse.map(|pulse| now + pulse);
        }
        if self.since.is_none() && first <= now {
            self.since = Some(now);
            let late = now.since(first);
            let (greatest, at) = self.lately;
            if late > NORMAL && now + late > at + greatest {
                self.lately = (late, now);
            }
        }
    }

    /// `first`: the earliest timer that is left.
    pub(super) fn settle(&mut self, now: Mono, first: Mono) {
        if first > now {
            self.since = None;
        }
    }

    /// What was lost when a timer that ran out at `at` is served at `now`.
    pub(super) fn of(&self, now: Mono, at: Mono) -> Lost {
        let (late, woke_at) = self.lately;
        Lost {
            own: self.since.unwrap_or(now).since(at),
            lately: late,
            woke_at,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Mono, InstanceId)>>,
    /// When the live entry of an instance comes up, by its number; [`Mono::NEVER`]: it has none.
    live: Vec<Mono>,
}

impl Timers {
    /// `id` has `deadline` from now on.
    pub(super) fn set(&mut self, id: InstanceId, deadline: Mono) {
        let live = self.live_mut(id);
        if deadline < *live {
            *live = deadline;
            self.heap.push(Reverse((deadline, id)));
        }
    }

    /// Puts the earliest deadline in front; `deadline` tells what an instance waits for now.
    pub(super) fn settle(&mut self, deadline: impl Fn(InstanceId) -> Mono) {
        while let Some(&Reverse((at, id))) = self.heap.peek() {
            if *self.live_mut(id) != at {
                self.heap.pop();
                continue;
            }
            let actual = deadline(id);
            if actual == at {
                break;
            }
            self.heap.pop();
            *self.live_mut(id) = actual;
            if actual != Mono::NEVER {
                self.heap.push(Reverse((actual, id)));
            }
        }
    }

    /// The earliest deadline, if it was settled.
    pub(super) fn first(&self) -> Option<(Mono, InstanceId)> {
        self.heap.peek().map(|Reverse(first)| *first)
    }

    /// When it is; [`Mono::NEVER`]: there is none.
    pub(super) fn first_at(&self) -> Mono {
        self.first().map_or(Mono::NEVER, |(at, _)| at)
    }

    fn live_mut(&mut self, id: InstanceId) -> &mut Mono {
        let at = usize::try_from(id.0).unwrap_or(usize::MAX);
        if at >= self.live.len() {
            self.live.resize(at + 1, Mono::NEVER);
        }
        &mut self.live[at]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_front_is_always_the_earliest(moves in prop::collection::vec((0..8_u32, 0..1000_u64), 1..200)) {
            let mut timers = Timers::default();
            let mut deadlines = [Mono::NEVER; 8];
            for (id, at) in moves {
                let at = if at == 0 { Mono::NEVER } else { Mono::from_micros(at) };
                deadlines[id as usize] = at;
                timers.set(InstanceId(id), at);
                timers.settle(|id| deadlines[id.0 as usize]);
                let first = deadlines.iter().copied().min().filter(|d| *d != Mono::NEVER);
                prop_assert_eq!(timers.first().map(|(at, _)| at), first);
                prop_assert!(timers.heap.len() <= 200);
            }
        }
    }
}
