//! Between fork and exec: what a child does to itself before it is its program.
//!
//! Allocates nothing and takes no lock, since another thread may have held one when the fork came.
//! Sources: signal-safety(7), execve(2), prctl(2), close_range(2), sched_setscheduler(2).

use std::ffi::CStr;
use std::io;
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::sys::privs::Credentials;

/// What a file runs with that the kernel does not recognise.
pub(super) const SHELL: &CStr = c"/bin/sh";

/// Where a child can fail before it is its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Stdio,
    Credentials,
    Exec,
}

impl Step {
    pub(super) const ALL: [Self; 3] = [Self::Stdio, Self::Credentials, Self::Exec];

    /// What was tried, for messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stdio => "open /dev/null",
            Self::Credentials => "change user",
            Self::Exec => "execute",
        }
    }
}

/// All that the child needs, made before the fork.
pub(super) struct Plan<'a> {
    pub(super) path: &'a CStr,
    pub(super) credentials: Option<&'a Credentials>,
    /// Ends with a null pointer, as do the other lists.
    pub(super) argv: &'a [*const libc::c_char],
    /// The same for [`SHELL`].
    pub(super) by_shell: &'a [*const libc::c_char],
    pub(super) env: &'a [*const libc::c_char],
    pub(super) parent: libc::pid_t,
}

impl Plan<'_> {
    /// In the child: becomes the program. Returns only to say what failed. Only calls that signal-safety(7) allows,
    /// or that are bare system calls.
    pub(super) fn run(&self) -> (Step, io::Error) {
        // SAFETY: system calls with plain numbers and with pointers to what the parent prepared; the lists end with a
        // null pointer, and the memory is a copy that nobody else writes.
        unsafe {
            libc::setpgid(0, 0);
            default_signals();
            let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            if null < 0 || (0..3).any(|fd| libc::dup2(null, fd) < 0) {
                return (Step::Stdio, io::Error::last_os_error());
            }
            close_others_on_exec();
            original_limits();
            if let Some(credentials) = self.credentials
                && let Err(e) = credentials.assume()
            {
                return (Step::Credentials, e);
            }
            // After the change of user, which clears it. The parent may have died before.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            if libc::getppid() != self.parent {
                libc::raise(libc::SIGKILL);
            }
            unblock_signals();
            libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.env.as_ptr());
            let mut err = io::Error::last_os_error();
            if err.raw_os_error() == Some(libc::ENOEXEC) {
                libc::execve(SHELL.as_ptr(), self.by_shell.as_ptr(), self.env.as_ptr());
                err = io::Error::last_os_error();
            }
            (Step::Exec, err)
        }
    }
}

/// Handled signals become default by exec itself, ignored ones do not.
fn default_signals() {
    // SAFETY: a zeroed sigaction is a valid one that asks for the default; the calls with numbers that cannot be
    // changed fail and change nothing.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=64 {
            libc::sigaction(signal, &raw const default, std::ptr::null_mut());
        }
    }
}

fn unblock_signals() {
    // SAFETY: `none` is made by `sigemptyset` before it is read.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ours are all marked already; this one is for those that the daemon was started with or a library opened. They close
/// with exec and not now, because the way to report a failure is among them.
fn close_others_on_exec() {
    /// More descriptors than any sane parent hands down; only for kernels before 5.11.
    const MANY: i32 = 4096;
    // SAFETY: plain numbers.
    unsafe {
        let done = libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
        if done != 0 {
            for fd in 3..MANY {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
}

/// Limits and nice value that the daemon was started with.
#[derive(Debug)]
struct Original {
    limits: Vec<(Resource, u64, u64)>,
    nice: i32,
}

static ORIGINAL: OnceLock<Original> = OnceLock::new();

/// Remembers what children are to run with. To be called once at start, before the daemon changes any of its own
/// limits or its priority; later calls do nothing, and without one children get what the daemon has.
pub(crate) fn keep_original_limits() {
    let changed_by_us = [
        Resource::RLIMIT_NOFILE,
        Resource::RLIMIT_CORE,
        Resource::RLIMIT_RTTIME,
        Resource::RLIMIT_RTPRIO,
        Resource::RLIMIT_MEMLOCK,
    ];
    let limit = |r| getrlimit(r).ok().map(|(soft, hard)| (r, soft, hard));
    // SAFETY: plain numbers.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    ORIGINAL.get_or_init(|| Original {
        limits: changed_by_us.into_iter().filter_map(limit).collect(),
        nice,
    });
}

/// In the child. What cannot be set back stays: the program is more important than its limits.
fn original_limits() {
    // SAFETY: `normal` is valid and only read; the rest are plain numbers.
    unsafe {
        if libc::sched_getscheduler(0) & !libc::SCHED_RESET_ON_FORK != libc::SCHED_OTHER {
            let mut normal: libc::sched_param = std::mem::zeroed();
            normal.sched_priority = 0;
            libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const normal);
        }
    }
    if let Some(original) = ORIGINAL.get() {
        for (resource, soft, hard) in &original.limits {
            let _ = setrlimit(*resource, *soft, *hard);
        }
        // SAFETY: plain numbers.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, original.nice) };
    }
}
