//! How the kernel schedules the calling thread: nice value, real-time priority, processors, memory that stays.
//!
//! A real-time thread that does not wait for longer than its limit gets SIGXCPU, which would end the process: here it
//! makes the thread an ordinary one until [`restore`], so that it neither starves the machine nor dies. Children are
//! ordinary from the start. A thread that works for the real-time one may [`follow`] it: were it an ordinary one, the other
//! would wait for it behind every program of the machine whenever it holds what both need. Sources: sched(7), getrlimit(2), mlockall(2), setpriority(2).

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// What is wanted. The default is what a process starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// -20..=19.
    pub(crate) nice: i8,
    /// `SCHED_RR`, 1..=99.
    pub(crate) real_time: Option<u8>,
    /// Empty: all.
    pub(crate) cpus: Vec<usize>,
    /// How long a real-time thread may run without waiting (`RLIMIT_RTTIME`).
    pub(crate) limit: Duration,
    /// The whole process stays in memory.
    pub(crate) locked: bool,
}

/// A real-time thread, as the handler of SIGXCPU sees it.
struct Slot {
    /// 0: none.
    thread: AtomicI32,
    priority: AtomicU8,
    /// It was made an ordinary one.
    demoted: AtomicBool,
}

impl Slot {
    const fn new() -> Self {
        Self {
            thread: AtomicI32::new(0),
            priority: AtomicU8::new(0),
            demoted: AtomicBool::new(false),
        }
    }

    fn set(&self, thread: libc::pid_t, priority: Option<u8>) -> io::Result<()> {
        let Some(priority) = priority else {
            self.thread.store(0, Ordering::SeqCst);
            return scheduler(thread, libc::SCHED_OTHER, 0);
        };
        self.priority.store(priority, Ordering::SeqCst);
        self.thread.store(thread, Ordering::SeqCst);
        scheduler(thread, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, priority)
    }

    /// Async-signal-safe.
    fn demote(&self) {
        let thread = self.thread.load(Ordering::SeqCst);
        if thread != 0 && scheduler(thread, libc::SCHED_OTHER, 0).is_ok() {
            self.demoted.store(true, Ordering::SeqCst);
        }
    }

    /// Whether it had been demoted; if so, it is real-time again.
    fn restore(&self) -> bool {
        let demoted =
            self.demoted.load(Ordering::Relaxed) && self.demoted.swap(false, Ordering::SeqCst);
        let thread = self.thread.load(Ordering::Relaxed);
        if demoted && thread != 0 {
            // It was allowed before.
            let priority = self.priority.load(Ordering::Relaxed);
            let _ = scheduler(thread, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, priority);
        }
        demoted
    }
}

/// The real-time thread.
static LEADER: Slot = Slot::new();
/// The one that follows it.
static FOLLOWER: Slot = Slot::new();
/// SIGXCPU is ours.
static HANDLED: AtomicBool = AtomicBool::new(false);

/// Brings the calling thread from `old` to `new`. What cannot be done is left as it was: a name for it, and why.
pub(crate) fn apply(old: &Plan, new: &Plan) -> Vec<(&'static str, io::Error)> {
    let mut failed = Vec::new();
    let mut note = |what, result: io::Result<()>| {
        if let Err(e) = result {
            failed.push((what, e));
        }
    };
    if new.nice != old.nice {
        note("nice value", nice(new.nice));
    }
    if new.cpus != old.cpus {
        note("processors", processors(&new.cpus));
    }
    if new.locked != old.locked {
        note("memory lock", lock(new.locked));
    }
    let limited = new.real_time.is_some() && new.limit != old.limit;
    if new.real_time != old.real_time || limited {
        note("real-time priority", real_time(new.real_time, new.limit));
    }
    failed
}

fn nice(value: i8) -> io::Result<()> {
    // SAFETY: no pointers are passed. On Linux 0 names the calling thread.
    let rc = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value.into()) };
    answer(rc)
}

fn processors(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in 0..CpuSet::count() {
        if cpus.is_empty() || cpus.contains(&cpu) {
            set.set(cpu)?;
        }
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

fn lock(locked: bool) -> io::Result<()> {
    if locked {
        // What is touched stays: no page is brought in only to be locked.
        let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
        mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault)?;
    } else {
        munlockall()?;
    }
    Ok(())
}

/// `limit` counts only while real-time.
fn real_time(priority: Option<u8>, limit: Duration) -> io::Result<()> {
    if priority.is_some() {
        if !HANDLED.swap(true, Ordering::SeqCst) {
            // SAFETY: the handler does nothing but atomic loads and stores and two system calls, all of them async-signal-safe.
            unsafe { signal_hook::low_level::register(libc::SIGXCPU, demote) }?;
        }
        let (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
        let soft = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        setrlimit(Resource::RLIMIT_RTTIME, soft.min(hard), hard)?;
    }
    LEADER.set(own_thread(), priority)
}

/// The calling thread's number.
pub(crate) fn own_thread() -> libc::pid_t {
    // SAFETY: no pointers are passed; the call cannot fail.
    unsafe { libc::gettid() }
}

/// Makes another thread of the process real-time one step below `leader`, or, where there is no such step, an ordinary one. It
/// has to wait now and then, see [`is_real_time`].
///
/// # Errors
/// Not privileged; no real-time time for this group.
pub(crate) fn follow(thread: libc::pid_t, leader: Option<u8>) -> io::Result<()> {
    let below = leader.and_then(|priority| priority.checked_sub(1));
    FOLLOWER.set(thread, below.filter(|priority| *priority > 0))
}

/// Makes the calling thread a `SCHED_FIFO` one. It has to wait all the time.
///
/// # Errors
/// Not privileged; no real-time time for this group.
pub(super) fn first_in_first_out(priority: u8) -> io::Result<()> {
    scheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, priority)
}

/// Whether the calling thread is.
pub(crate) fn is_real_time() -> bool {
    // SAFETY: no pointers are passed.
    let policy = unsafe { libc::sched_getscheduler(0) };
    policy & !libc::SCHED_RESET_ON_FORK == libc::SCHED_RR
}

/// The handler of SIGXCPU, which the kernel gives to the thread that it is about, if it can.
fn demote() {
    let own = own_thread();
    let all = [&LEADER, &FOLLOWER];
    let is_own = |slot: &&&Slot| slot.thread.load(Ordering::SeqCst) == own;
    match all.iter().find(is_own) {
        Some(slot) => slot.demote(),
        None => all.iter().for_each(|slot| slot.demote()),
    }
}

/// Whether the limit was reached by the leader since the last call; whoever has reached it is real-time again.
pub(crate) fn restore() -> bool {
    FOLLOWER.restore();
    LEADER.restore()
}

/// `thread`: 0 is the calling one.
fn scheduler(thread: libc::pid_t, policy: libc::c_int, priority: u8) -> io::Result<()> {
    let param = libc::sched_param {
        sched_priority: priority.into(),
    };
    // SAFETY: `param` outlives the call, which only reads it.
    answer(unsafe { libc::sched_setscheduler(thread, policy, &raw const param) })
}

fn answer(rc: libc::c_int) -> io::Result<()> {
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy without flags, and real-time priority, of the calling thread.
    fn policy() -> (libc::c_int, libc::c_int) {
        let mut param = libc::sched_param { sched_priority: 0 };
        // SAFETY: no pointers but to `param`, which outlives the call.
        let policy = unsafe {
            libc::sched_getparam(0, &raw mut param);
            libc::sched_getscheduler(0)
        };
        (policy & !libc::SCHED_RESET_ON_FORK, param.sched_priority)
    }

    #[test]
    fn a_real_time_thread_that_does_not_wait_becomes_ordinary_and_is_restored() {
        let thread = std::thread::spawn(|| {
            let plan = Plan {
                real_time: Some(1),
                limit: Duration::from_millis(2),
                cpus: vec![0],
                ..Plan::default()
            };
            let failed = apply(&Plan::default(), &plan);
            if failed.iter().any(|(what, _)| *what == "real-time priority") {
                return; // Not privileged, or no real-time time for this group.
            }
            assert_eq!(policy(), (libc::SCHED_RR, 1));
            let end = std::time::Instant::now() + Duration::from_secs(20);
            while policy().0 == libc::SCHED_RR && std::time::Instant::now() < end {
                std::hint::spin_loop();
            }
            assert_eq!(policy().0, libc::SCHED_OTHER);
            assert!(restore() && !restore());
            assert_eq!(policy(), (libc::SCHED_RR, 1));
            assert!(apply(&plan, &Plan::default()).is_empty());
            assert_eq!(policy(), (libc::SCHED_OTHER, 0));
        });
        thread.join().expect("nothing in the thread panics");
    }
}
