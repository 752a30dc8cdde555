//! How long the machine itself stood still, whatever the daemons did. Where one processor does, in somebody's system call, a
//! daemon may go on by another; where all do, or each is many times slower for a while, nothing helps.
//!
//! One thread on each processor, more urgent than any daemon here, sleeps a millisecond and sends itself a datagram, over and
//! over. A late end of the sleep is time that the processor was taken away for; a late datagram is time in which the kernel
//! handed over no packet there.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};

const SLEEP: Duration = Duration::from_millis(1);

/// Once, on one processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    /// Since [`Machine::start`].
    pub(crate) at: Duration,
    pub(crate) processor: usize,
    /// Of the sleep, beyond what was asked for.
    pub(crate) asleep: Duration,
    /// Of the datagram.
    pub(crate) deaf: Duration,
}

/// See the module.
pub(crate) struct Machine {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Vec<Pause>>>,
}

impl Machine {
    /// `least`: shorter pauses are not kept.
    pub(crate) fn start(least: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = thread::available_parallelism().map_or(1, usize::from);
        let start = Instant::now();
        let threads = (0..count)
            .map(|processor| {
                let stop = stop.clone();
                thread::spawn(move || look(processor, least, start, &stop))
            })
            .collect();
        Self { stop, threads }
    }

    /// The pauses, in their order.
    pub(crate) fn end(self) -> Vec<Pause> {
        self.stop.store(true, Ordering::Relaxed);
        let all = self.threads.into_iter().filter_map(|t| t.join().ok());
        let mut all: Vec<Pause> = all.flatten().collect();
        all.sort_by_key(|pause| pause.at);
        all
    }
}

fn look(processor: usize, least: Duration, start: Instant, stop: &AtomicBool) -> Vec<Pause> {
    let mut set = CpuSet::new();
    // Where either is refused, the pauses are those of an ordinary thread: longer, not shorter.
    let _ = set.set(processor);
    let _ = sched_setaffinity(Pid::from_raw(0), &set);
    let _ = Command::new("chrt")
        .args(["-f", "-p", "99", &gettid().to_string()])
        .output();
    let mut pauses = Vec::new();
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
        socket.connect(socket.local_addr()?)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(socket)
    }) else {
        return pauses;
    };
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        thread::sleep(SLEEP);
        let asleep = began.elapsed().saturating_sub(SLEEP);
        let sent = Instant::now();
        let mut octet = [0];
        let heard = socket.send(&octet).and_then(|_| socket.recv(&mut octet));
        let deaf = sent.elapsed();
        if asleep.max(deaf) >= least || heard.is_err() {
            pauses.push(Pause {
                at: start.elapsed(),
                processor,
                asleep,
                deaf,
            });
        }
    }
    pauses
}
