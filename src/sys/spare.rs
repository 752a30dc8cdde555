//! Moves a thread away from a processor that stands still.
//!
//! A kernel that does not preempt itself lets a real-time thread wait for as long as somebody else's system call takes: tens
//! of milliseconds where a disk writes. It chooses the processor when the thread wakes up, by who is real-time there, and
//! never again; another processor may be free all the while. Taking the first one out of the thread's mask moves it at once,
//! and giving it back moves nothing. Sources: sched(7), sched_setaffinity(2).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::schedule;

/// How often it was done.
static FETCHED: AtomicU64 = AtomicU64::new(0);

/// How often a thread of this process was moved so.
pub(crate) fn fetched() -> u64 {
    FETCHED.load(Ordering::Relaxed)
}

/// The processors that the calling thread may use, in order.
///
/// # Errors
/// More than `CpuSet` can name.
pub(crate) fn processors() -> io::Result<Vec<usize>> {
    let mask = sched_getaffinity(Pid::from_raw(0))?;
    let may = |cpu: &usize| mask.is_set(*cpu) == Ok(true);
    Ok((0..CpuSet::count()).filter(may).collect())
}

/// Makes the calling thread one that runs only on `cpu`, and before all others there of a real-time priority up to `priority`.
///
/// # Errors
/// Not privileged; not a processor that may be used.
pub(crate) fn post(cpu: usize, priority: u8) -> io::Result<()> {
    sched_setaffinity(Pid::from_raw(0), &only(cpu)?)?;
    schedule::first_in_first_out(priority.saturating_add(1).min(99))
}

/// Moves `thread`, which waits for its processor or is woken by `wake`, to `cpu`, where the calling thread runs. Where it may run
/// afterwards is as before. False: it may not run here, or not elsewhere.
///
/// # Errors
/// There is no such thread any more.
pub(crate) fn fetch(thread: libc::pid_t, cpu: usize, wake: impl FnOnce()) -> Result<bool, Errno> {
    let thread = Pid::from_raw(thread);
    let mask = sched_getaffinity(thread)?;
    let here = only(cpu)?;
    if mask == here || mask.is_set(cpu) != Ok(true) {
        return Ok(false);
    }
    sched_setaffinity(thread, &here)?;
    wake();
    sched_setaffinity(thread, &mask)?;
    FETCHED.fetch_add(1, Ordering::Relaxed);
    Ok(true)
}

/// Processor time that another thread of this process has had; `None`: there is no such thread.
pub(crate) fn used(thread: libc::pid_t) -> Option<Duration> {
    /// `CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED`: the clock of a thread by its number, linux/posix-timers_types.h.
    const OF_THREAD: libc::clockid_t = 4 | 2;
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid place for a timespec; a clock that does not exist is refused.
    let rc = unsafe { libc::clock_gettime(!thread << 3 | OF_THREAD, &raw mut ts) };
    let secs = u64::try_from(ts.tv_sec).ok()?;
    let nanos = u32::try_from(ts.tv_nsec).ok()?;
    (rc == 0).then(|| Duration::new(secs, nanos))
}

/// Whether another thread of this process could run now, if it had a processor.
pub(crate) fn is_ready(thread: libc::pid_t) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    // The name before it may contain anything.
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|s| s.starts_with(" R")))
}

fn only(cpu: usize) -> Result<CpuSet, Errno> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(set)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicI32};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_is_fetched_and_may_run_where_it_might_before() {
        let here = processors().expect("a mask");
        let number = AtomicI32::new(0);
        let (wake, woken) = mpsc::channel::<()>();
        // It may run before it is allowed elsewhere again.
        let (own, moved) = (&number, &AtomicBool::new(false));
        thread::scope(|scope| {
            let other = scope.spawn(move || {
                own.store(schedule::own_thread(), Ordering::Release);
                let _ = woken.recv();
                while !moved.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                processors()
            });
            while number.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            let thread = number.load(Ordering::Acquire);
            assert!(used(thread).is_some());
            let before = fetched();
            let fetches = fetch(thread, here[0], || drop(wake));
            moved.store(true, Ordering::Release);
            let fetches = fetches.expect("it lives");
            assert_eq!(fetches, here.len() > 1);
            assert!(fetched() >= before + u64::from(fetches));
            let after = other.join().expect("nothing in the thread panics");
            assert_eq!(after.expect("a mask"), here);
        });
    }

    /// One more than the kernel gives (`PID_MAX_LIMIT`).
    const NOBODY: libc::pid_t = 4_194_305;

    #[test]
    fn who_runs_is_ready_and_whom_there_is_not_has_used_nothing() {
        assert!(is_ready(schedule::own_thread()));
        assert!(!is_ready(NOBODY));
        assert_eq!(used(NOBODY), None);
    }
}
