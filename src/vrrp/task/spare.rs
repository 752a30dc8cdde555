//! Spare threads, which move the VRRP thread and the one for kernel work to another processor when theirs stands still.
//!
//! A real-time thread that becomes ready while its processor is inside the kernel waits until that is over: 20 to 50 ms, many
//! times in a row, where a disk writes, on a kernel that does not preempt itself; a backup at 10 ms waits for 36. The other
//! processors are free meanwhile. So while the task is real-time, and may use more than one processor, two threads sit on two of
//! them, wake up a moment after each deadline, and fetch whoever is late, or was interrupted in its work and is not let go on.
//! They own nothing and decide nothing else; without them everything is as it was. They share with those they watch over one
//! number each, when it is due.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use crate::sys::{clock, schedule, spare};
use crate::time::Mono;

/// Who is later is fetched. Ordinary lateness of a real-time thread is a tenth of it, and a backup at 10 ms waits for 36.
const SLACK: Duration = Duration::from_millis(2);
/// Who was fetched and is still late is not fetched again before.
const AGAIN: Duration = Duration::from_millis(5);
/// The longest sleep of a spare thread: a deadline may have come nearer meanwhile. No more than half of an interval.
const NAPS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));
/// Octets: it calls nothing deep.
const STACK: usize = 128 << 10;

/// One thread that is watched over: when it is due, in microseconds, or one of the two below.
#[derive(Debug)]
pub(super) struct Ward {
    /// 0: it has not said yet.
    thread: AtomicI32,
    due: AtomicU64,
    fetched_at: AtomicU64,
    /// Wakes it, if its timer cannot.
    wake: Notify,
}

/// It runs, as far as it is let.
const NOT_DUE: u64 = Mono::NEVER.as_micros();
/// It sleeps until there is something to do, without a deadline.
const IDLE: u64 = NOT_DUE - 1;

impl Ward {
    pub(super) fn new() -> Self {
        Self {
            thread: AtomicI32::new(0),
            due: AtomicU64::new(NOT_DUE),
            fetched_at: AtomicU64::new(0),
            wake: Notify::new(),
        }
    }

    /// The calling thread is meant.
    pub(super) fn is_here(&self) {
        self.thread.store(schedule::own_thread(), Ordering::Relaxed);
    }

    /// It runs.
    pub(super) fn runs(&self) {
        self.due.store(NOT_DUE, Ordering::Relaxed);
    }

    /// It goes to sleep until somebody has something for it.
    pub(super) fn idles(&self) {
        self.due.store(IDLE, Ordering::Relaxed);
    }

    /// There is something for it to do since now, if it idles.
    pub(super) fn is_wanted(&self) {
        if self.due.load(Ordering::Relaxed) == IDLE {
            let now = clock::now().as_micros();
            // It may have begun.
            let _ = self
                .due
                .compare_exchange(IDLE, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// To be polled before anything else that the thread waits for. Never ready.
    pub(super) fn awake(&self) -> impl Future<Output = ()> {
        poll_fn(|_| {
            self.runs();
            Poll::Pending
        })
    }

    /// To be polled after everything else that the thread waits for, the last of it until `deadline`. Ready when a spare
    /// thread had to wake it.
    pub(super) async fn asleep(&self, deadline: Mono) {
        let woken = self.wake.notified();
        tokio::pin!(woken);
        poll_fn(|cx| {
            self.due
                .store(deadline.as_micros().min(IDLE), Ordering::Relaxed);
            woken.as_mut().poll(cx)
        })
        .await;
    }

    /// What is to be done for it at `now`. `still`: what the last look has left.
    fn look(&self, now: Mono, still: &mut Option<Still>) -> Step {
        let due = Mono::from_micros(self.due.load(Ordering::Relaxed));
        let fetched_at = self.fetched_at.load(Ordering::Relaxed);
        let thread = self.thread.load(Ordering::Relaxed);
        let since = if due == Mono::NEVER {
            *still = spare::used(thread).map(|used| Still::at(now, used, *still));
            still.map_or(due, |still| still.since)
        } else {
            *still = None;
            due
        };
        let step = match judge(now, since, Mono::from_micros(fetched_at)) {
            // It may wait for something else than a processor.
            Step::Fetch if still.is_some() && !spare::is_ready(thread) => Step::Look(now + SLACK),
            step @ (Step::Fetch | Step::Look(_)) => step,
        };
        let claim = |at: u64| {
            self.fetched_at
                .compare_exchange(fetched_at, at, Ordering::Relaxed, Ordering::Relaxed)
        };
        match step {
            Step::Fetch if claim(now.as_micros()).is_err() => Step::Look(now + AGAIN),
            Step::Fetch | Step::Look(_) => step,
        }
    }
}

/// Somebody who runs, and since when he has had no processor for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Still {
    since: Mono,
    /// Processor time until then.
    used: Duration,
}

impl Still {
    /// He has `used` so much processor time until `now`.
    fn at(now: Mono, used: Duration, before: Option<Self>) -> Self {
        let same = before.filter(|before| before.used == used);
        same.unwrap_or(Self { since: now, used })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is late.
    Fetch,
    /// Nothing is to be done before.
    Look(Mono),
}

/// About somebody who is `due`, and was fetched at `fetched_at`.
fn judge(now: Mono, due: Mono, fetched_at: Mono) -> Step {
    if due.as_micros() >= IDLE {
        return Step::Look(Mono::NEVER);
    }
    let at = (due + SLACK).max(fetched_at + AGAIN);
    if at <= now {
        Step::Fetch
    } else {
        Step::Look(at)
    }
}

/// How long a spare thread may sleep, by the `shortest` of all intervals.
fn nap(shortest: Option<Duration>) -> Duration {
    let (least, most) = NAPS;
    shortest.map_or(most, |interval| (interval / 2).clamp(least, most))
}

/// The two of `cpus` where spare threads sit: far from each other, since neighbours may be two halves of one processor. None of
/// less than two.
fn posts(cpus: &[usize]) -> Vec<usize> {
    match cpus {
        [first, .., last] => vec![*first, *last],
        [] | [_] => Vec::new(),
    }
}

/// Those who are watched over, and the threads that do.
#[derive(Debug)]
pub(super) struct Spares {
    wards: Arc<[Arc<Ward>; 2]>,
    /// Those that are there.
    squad: Option<Squad>,
}

/// Threads that were started together.
#[derive(Debug)]
struct Squad {
    end: Arc<AtomicBool>,
    terms: Terms,
}

impl Drop for Squad {
    /// They end with their sleep.
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

/// What spare threads are started for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    /// Of those that are watched over.
    priority: u8,
    nap: Duration,
    posts: Vec<usize>,
}

impl Spares {
    /// None yet. `wards`: in the order in which they are fetched.
    pub(super) fn new(wards: [Arc<Ward>; 2]) -> Self {
        Self {
            wards: Arc::new(wards),
            squad: None,
        }
    }

    /// `priority`: of the calling thread, if it is real-time; `shortest`: of all intervals. The processors are those that it
    /// may use now.
    pub(super) fn arrange(&mut self, priority: Option<u8>, shortest: Option<Duration>) {
        let terms = priority.map(|priority| Terms {
            priority,
            nap: nap(shortest),
            posts: posts(&spare::processors().unwrap_or_default()),
        });
        if terms.as_ref() != self.squad.as_ref().map(|squad| &squad.terms) {
            self.squad = None;
            self.squad = terms.map(|terms| start(&self.wards, terms));
        }
    }
}

/// What cannot be started is told of once.
fn start(wards: &Arc<[Arc<Ward>; 2]>, terms: Terms) -> Squad {
    let (priority, nap) = (terms.priority, terms.nap);
    let end = Arc::new(AtomicBool::new(false));
    let told = Arc::new(AtomicBool::new(false));
    for &cpu in &terms.posts {
        let (wards, ended) = (Arc::clone(wards), Arc::clone(&end));
        let complained = Arc::clone(&told);
        let started = thread::Builder::new()
            .name("vrrp spare".to_owned())
            .stack_size(STACK)
            .spawn(move || match spare::post(cpu, priority) {
                Ok(()) => watch(cpu, nap, &wards, &ended),
                Err(e) => complain(&complained, &e),
            });
        if let Err(e) = started {
            complain(&told, &e);
        }
    }
    Squad { end, terms }
}

/// Once for both.
fn complain(told: &AtomicBool, err: &std::io::Error) {
    if !told.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %err,
            "no spare thread helps when the processor of the VRRP thread stands still; everything else goes on as usual"
        );
    }
}

/// The life of a spare thread on `cpu`.
fn watch(cpu: usize, nap: Duration, wards: &[Arc<Ward>; 2], end: &AtomicBool) {
    let mut stills = [None; 2];
    loop {
        let now = clock::now();
        let mut next = now + nap;
        for (ward, still) in wards.iter().zip(&mut stills) {
            match ward.look(now, still) {
                Step::Look(at) => next = next.min(at),
                Step::Fetch => {
                    let thread = ward.thread.load(Ordering::Relaxed);
                    // Whoever has ended is not late.
                    let _ = spare::fetch(thread, cpu, || ward.wake.notify_one());
                    next = next.min(now + AGAIN);
                }
            }
        }
        // Deadlines that are close to each other are looked after together.
        clock::block_until(next.max(now + SLACK));
        if end.load(Ordering::Relaxed) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Mono = Mono::from_micros(1_000_000);

    #[test]
    fn who_is_late_is_fetched_once_in_a_while() {
        let never = Mono::ZERO;
        assert_eq!(judge(Mono::ZERO, DUE, never), Step::Look(DUE + SLACK));
        assert_eq!(judge(DUE + SLACK, DUE, never), Step::Fetch);
        let fetched = DUE + SLACK;
        assert_eq!(judge(fetched, DUE, fetched), Step::Look(fetched + AGAIN));
        assert_eq!(judge(fetched + AGAIN, DUE, fetched), Step::Fetch);
        // The next deadline is another matter.
        let next = DUE + SLACK * 10;
        assert_eq!(judge(next, next, fetched), Step::Look(next + SLACK));
    }

    #[test]
    fn who_has_nothing_to_do_is_let_be() {
        let ward = Ward::new();
        let (long, idle) = (Mono::from_micros(1 << 60), Step::Look(Mono::NEVER));
        ward.idles();
        assert_eq!(ward.look(long, &mut None), idle);
        ward.is_wanted();
        assert_eq!(ward.look(long, &mut None), Step::Fetch);
        assert_eq!(ward.look(long, &mut None), Step::Look(long + AGAIN));
        ward.runs();
        ward.is_wanted();
        assert!(matches!(ward.look(long + AGAIN, &mut None), Step::Look(_)));
    }

    #[test]
    fn who_runs_and_gets_no_processor_is_late_since_he_had_one() {
        let ms = Duration::from_millis;
        let first = Still::at(DUE, ms(7), None);
        let stuck = Still::at(DUE + SLACK, ms(7), Some(first));
        assert_eq!(judge(DUE + SLACK, stuck.since, Mono::ZERO), Step::Fetch);
        let goes_on = Still::at(DUE + SLACK, ms(8), Some(first));
        assert_eq!(goes_on.since, DUE + SLACK);
    }

    #[test]
    fn who_works_is_not_fetched() {
        let ward = Ward::new();
        ward.is_here();
        let mut still = None;
        let look = |at, still: &mut _| ward.look(at, still);
        assert_eq!(look(DUE, &mut still), Step::Look(DUE + SLACK));
        let used = still.expect("a look at a thread that runs").used;
        while spare::used(schedule::own_thread()) == Some(used) {}
        assert_eq!(look(DUE + SLACK, &mut still), Step::Look(DUE + SLACK * 2));
    }

    #[test]
    fn spare_threads_sit_far_apart_and_one_processor_has_none() {
        assert!(posts(&[]).is_empty());
        assert!(posts(&[3]).is_empty());
        assert_eq!(posts(&[0, 1]), [0, 1]);
        assert_eq!(posts(&[2, 3, 4, 5]), [2, 5]);
    }

    #[test]
    fn a_nap_is_half_of_the_shortest_interval() {
        assert_eq!(
            nap(Some(Duration::from_millis(10))),
            Duration::from_millis(5)
        );
        assert_eq!(nap(Some(Duration::from_secs(40))), NAPS.1);
        assert_eq!(nap(None), NAPS.1);
    }
}
