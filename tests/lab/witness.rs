//! How long the machine itself stood still: threads that sleep for a moment and see when they are woken late. What a
//! daemon does late meanwhile is not its doing. Timers of the same kind as its own; no daemon is asked.
//!
//! And how long the kernel let somebody wait who wanted to change the network: all namespaces have one lock, and the
//! laboratories beside this one hold it for long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use nix::libc;
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::unistd::Pid;
use socket2::{Domain, Protocol, Socket, Type};

use super::daemon::now;

/// Between looks.
const STEP: Duration = Duration::from_millis(5);
/// Less is usual.
const LATE: u64 = 10_000_000;

/// What some threads have waited for in vain.
struct Waits {
    /// When something was to happen, and when it did.
    over: Mutex<Vec<(u64, u64)>>,
    /// When it is to happen next, by thread: whoever asks may be woken before it. 0: nothing is waited for.
    next: [AtomicU64; 4],
}

static PROCESSORS: Waits = Waits::new();
static LOCK: Waits = Waits::new();

impl Waits {
    const fn new() -> Self {
        Self {
            over: Mutex::new(Vec::new()),
            next: [const { AtomicU64::new(0) }; 4],
        }
    }

    /// `wait` is to be over after `pause`; of the `nth` thread.
    fn watch(&self, nth: usize, pause: Duration, wait: impl FnOnce()) {
        let due = now() + u64::try_from(pause.as_nanos()).expect("it fits");
        self.next[nth].store(due, Ordering::Relaxed);
        wait();
        let at = now();
        if at > due + LATE {
            let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
            over.push((due, at));
        }
        self.next[nth].store(0, Ordering::Relaxed);
    }

    /// The sum over all threads between two instants.
    fn within(&self, from: u64, to: u64) -> Duration {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let at = now();
        let last = self.next.iter().map(|due| due.load(Ordering::Relaxed));
        let last = last.filter(|due| {
            let is_over = || over.iter().rev().any(|(was, _)| was == due);
            *due > 0 && at > due + LATE && !is_over()
        });
        let all = over.iter().copied().chain(last.map(|due| (due, at)));
        let within = all.map(|(due, at)| at.min(to).saturating_sub(due.max(from)));
        Duration::from_nanos(within.sum())
    }
}

/// One thread for each processor that this process may use, and one for the lock, until it ends.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let ours = sched_getaffinity(Pid::from_raw(0)).expect("our own processors");
        let cpus = (0..CpuSet::count()).filter(|cpu| ours.is_set(*cpu).unwrap_or(false));
        for (nth, cpu) in cpus.take(PROCESSORS.next.len()).enumerate() {
            std::thread::spawn(move || watch_processor(nth, cpu));
        }
        std::thread::spawn(watch_lock);
    });
}

fn watch_processor(nth: usize, cpu: usize) {
    let mut own = CpuSet::new();
    let pinned = own
        .set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &own));
    pinned.expect("one of our own processors");
    loop {
        PROCESSORS.watch(nth, STEP, || std::thread::sleep(STEP));
    }
}

/// Sets the loopback interface of a namespace of its own up again and again, once it is up: nothing but the lock takes
/// time.
fn watch_lock() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace");
    let netlink = Domain::from(libc::AF_NETLINK);
    let route = Some(Protocol::from(libc::NETLINK_ROUTE));
    let socket = Socket::new(netlink, Type::RAW, route).expect("a socket");
    // struct nlmsghdr: a request that is acknowledged; struct ifinfomsg: interface 1, its flag IFF_UP.
    let mut request = Vec::new();
    request.extend(32_u32.to_ne_bytes());
    request.extend(libc::RTM_NEWLINK.to_ne_bytes());
    request.extend(5_u16.to_ne_bytes());
    request.extend([0; 8 + 4]);
    for word in [1_u32, 1, 1] {
        request.extend(word.to_ne_bytes());
    }
    let mut answer = [std::mem::MaybeUninit::uninit(); 128];
    loop {
        std::thread::sleep(STEP * 4);
        LOCK.watch(0, Duration::ZERO, || {
            let answered = socket.send(&request).and_then(|_| socket.recv(&mut answer));
            answered.expect("the kernel answers");
        });
    }
}

/// For how long between two instants, in nanoseconds since the epoch, the machine let somebody wait who wanted to run;
/// the sum over its processors.
pub(crate) fn stood_still(from: u64, to: u64) -> Duration {
    PROCESSORS.within(from, to)
}

/// For how long between two instants the machine stood still, or the kernel let those wait who wanted to change addresses:
/// before that nobody can announce them.
pub(crate) fn locked(from: u64, to: u64) -> Duration {
    stood_still(from, to) + LOCK.within(from, to)
}
