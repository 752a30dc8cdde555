//! How long the machine itself stood still: threads that sleep for a moment and see when they are woken late. What a
//! daemon does late meanwhile is not its doing. Timers of the same kind as its own; no daemon is asked.

use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::daemon::now;

/// Between looks.
const STEP: Duration = Duration::from_millis(5);
/// Less is usual.
const LATE: u64 = 10_000_000;

/// When a thread was to wake up, and when it did.
static PAUSES: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// One thread for each processor that this process may use, until it ends.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let ours = sched_getaffinity(Pid::from_raw(0)).expect("our own processors");
        let cpus = (0..CpuSet::count()).filter(|cpu| ours.is_set(*cpu).unwrap_or(false));
        for cpu in cpus.take(4) {
            std::thread::spawn(move || watch(cpu));
        }
    });
}

fn watch(cpu: usize) {
    let mut own = CpuSet::new();
    let pinned = own
        .set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &own));
    pinned.expect("one of our own processors");
    loop {
        let due = now() + u64::try_from(STEP.as_nanos()).expect("it fits");
        std::thread::sleep(STEP);
        let at = now();
        if at > due + LATE {
            PAUSES
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((due, at));
        }
    }
}

/// For how long between two instants, in nanoseconds since the epoch, the machine let somebody wait who wanted to run;
/// the sum over its processors.
pub(crate) fn stood_still(from: u64, to: u64) -> Duration {
    let pauses = PAUSES.lock().unwrap_or_else(PoisonError::into_inner);
    let within = pauses
        .iter()
        .map(|(due, at)| at.min(&to).saturating_sub(*due.max(&from)));
    Duration::from_nanos(within.sum())
}
