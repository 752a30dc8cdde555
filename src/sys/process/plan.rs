//! Between the start of a process and exec: what it does to itself before it is its program.
//!
//! It may share the daemon's memory, and the thread-local storage of the thread that started it, both of which are in use:
//! so it allocates nothing, takes no lock, calls nothing of the C library, and writes only to its own stack and to its
//! [`super::stage::Stage`]. Sources: execve(2), prctl(2), close_range(2), sched_setscheduler(2), rt_sigaction(2).

use std::ffi::{CStr, CString};
use std::sync::{Arc, OnceLock};

use nix::sys::resource::{Resource, getrlimit};

use crate::sys::privs::Credentials;
use crate::sys::rawcall::call;

/// What a file runs with that the kernel does not recognise.
const SHELL: &CStr = c"/bin/sh";
/// Octets of the kernel's signal set.
const SIGNAL_SET: usize = 8;

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

/// What to run and as whom.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) path: CString,
    pub(super) argv: Vec<CString>,
    pub(super) credentials: Option<Credentials>,
}

/// All that the child needs, made before it exists and kept until it is its program.
#[derive(Debug)]
pub(super) struct Plan {
    words: Arc<Words>,
    /// Of `words`; ends with a null pointer, as do the other lists.
    argv: Vec<*const libc::c_char>,
    /// The same for [`SHELL`].
    by_shell: Vec<*const libc::c_char>,
    env: &'static [*const libc::c_char],
    parent: libc::pid_t,
    /// What becomes standard output and error; /dev/null if there is none.
    output: Option<i32>,
    limits: Option<&'static Original>,
}

// SAFETY: the pointers lead to what `words` and statics own; nobody writes there.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

impl Plan {
    /// `env`: lines that end with a null pointer.
    pub(super) fn new(
        words: Arc<Words>,
        env: &'static [*const libc::c_char],
        output: Option<i32>,
    ) -> Self {
        let argv = pointers(&words.argv);
        let mut by_shell = vec![SHELL.as_ptr(), words.path.as_ptr()];
        by_shell.extend(argv.iter().skip(1));
        if argv.len() == 1 {
            by_shell.push(std::ptr::null());
        }
        Self {
            argv,
            by_shell,
            words,
            env,
            parent: nix::unistd::getpid().as_raw(),
            output,
            limits: ORIGINAL.get(),
        }
    }

    /// Whether the child runs as somebody else.
    pub(super) fn changes_user(&self) -> bool {
        self.words.credentials.is_some()
    }

    /// In the child: becomes the program. Returns only to say what failed, and the errno.
    pub(super) fn run(&self) -> (Step, i32) {
        // SAFETY: system calls with plain numbers and with pointers to what the parent prepared; the lists end with a
        // null pointer, and nobody writes there.
        unsafe {
            let _ = call(libc::SYS_setpgid, [0; 5]);
            default_signals();
            if let Err(errno) = self.streams() {
                return (Step::Stdio, errno);
            }
            close_others_on_exec();
            if let Some(limits) = self.limits {
                limits.restore();
            }
            normal_scheduling();
            if let Some(credentials) = &self.words.credentials
                && let Err(errno) = credentials.assume()
            {
                return (Step::Credentials, errno);
            }
            // After the change of user, which clears it. The parent may have died before.
            let death = [libc::PR_SET_PDEATHSIG as usize, libc::SIGTERM as usize];
            let _ = call(libc::SYS_prctl, [death[0], death[1], 0, 0, 0]);
            if call(libc::SYS_getppid, [0; 5]) != Ok(self.parent as usize) {
                let own = call(libc::SYS_getpid, [0; 5]).unwrap_or(0);
                let _ = call(libc::SYS_kill, [own, libc::SIGKILL as usize, 0, 0, 0]);
            }
            unblock_signals();
            match self.execute(&self.words.path, &self.argv) {
                libc::ENOEXEC => (Step::Exec, self.execute(SHELL, &self.by_shell)),
                errno => (Step::Exec, errno),
            }
        }
    }

    /// Returns only with an errno.
    unsafe fn execute(&self, path: &CStr, argv: &[*const libc::c_char]) -> i32 {
        let (path, argv, env) = (path.as_ptr(), argv.as_ptr(), self.env.as_ptr());
        let words = [path as usize, argv as usize, env as usize, 0, 0];
        // SAFETY: as in `run`.
        unsafe { call(libc::SYS_execve, words) }.err().unwrap_or(0)
    }

    unsafe fn streams(&self) -> Result<(), i32> {
        const NULL: &CStr = c"/dev/null";
        let at = libc::AT_FDCWD as isize as usize;
        let flags = (libc::O_RDWR | libc::O_CLOEXEC) as usize;
        // SAFETY: as in `run`.
        unsafe {
            let null = call(libc::SYS_openat, [at, NULL.as_ptr() as usize, flags, 0, 0])?;
            let output = self.output.map_or(null, |fd| fd as usize);
            for (stream, from) in [(0, null), (1, output), (2, output)] {
                if from == stream {
                    // It stands there already, but must outlive exec.
                    call(libc::SYS_fcntl, [from, libc::F_SETFD as usize, 0, 0, 0])?;
                } else {
                    call(libc::SYS_dup3, [from, stream, 0, 0, 0])?;
                }
            }
        }
        Ok(())
    }
}

/// A list as `execve` takes it, with the null pointer at its end. Valid as long as `words`.
pub(super) fn pointers(words: &[CString]) -> Vec<*const libc::c_char> {
    let end = std::iter::once(std::ptr::null());
    words.iter().map(|w| w.as_ptr()).chain(end).collect()
}

/// Handled signals become default by exec itself, ignored ones do not; and no handler of the daemon may ever run here.
unsafe fn default_signals() {
    // All zero asks for the default; larger than the kernel's structure is anywhere.
    let default = [0_u64; 8];
    let default = default.as_ptr() as usize;
    for signal in 1..=64 {
        // SAFETY: the structure is only read. Those that cannot be changed fail and change nothing.
        let _ = unsafe { call(libc::SYS_rt_sigaction, [signal, default, 0, SIGNAL_SET, 0]) };
    }
}

unsafe fn unblock_signals() {
    let none = [0_u64; 2];
    let (how, none) = (libc::SIG_SETMASK as usize, none.as_ptr() as usize);
    // SAFETY: the set is only read.
    let _ = unsafe { call(libc::SYS_rt_sigprocmask, [how, none, 0, SIGNAL_SET, 0]) };
}

/// Ours are all marked already; this one is for those that the daemon was started with or a library opened.
unsafe fn close_others_on_exec() {
    /// More descriptors than any sane parent hands down; only for kernels before 5.11.
    const MANY: usize = 4096;
    let last = libc::c_uint::MAX as usize;
    let flags = libc::CLOSE_RANGE_CLOEXEC as usize;
    // SAFETY: plain numbers.
    unsafe {
        if call(libc::SYS_close_range, [3, last, flags, 0, 0]).is_err() {
            let close = libc::FD_CLOEXEC as usize;
            for fd in 3..MANY {
                let _ = call(libc::SYS_fcntl, [fd, libc::F_SETFD as usize, close, 0, 0]);
            }
        }
    }
}

/// Limits and nice value that the daemon was started with.
#[derive(Debug)]
struct Original {
    /// Resource; soft, hard as the kernel takes them.
    limits: Vec<(usize, [u64; 2])>,
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
    let limit = |r: Resource| {
        let (soft, hard) = getrlimit(r).ok()?;
        Some((r as usize, [soft, hard]))
    };
    // SAFETY: plain numbers.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    ORIGINAL.get_or_init(|| Original {
        limits: changed_by_us.into_iter().filter_map(limit).collect(),
        nice,
    });
}

impl Original {
    /// In the child. What cannot be set back stays: the program is more important than its limits.
    unsafe fn restore(&self) {
        // SAFETY: the limits are only read; the rest are plain numbers.
        unsafe {
            for (resource, limit) in &self.limits {
                let limit = limit.as_ptr() as usize;
                let _ = call(libc::SYS_prlimit64, [0, *resource, limit, 0, 0]);
            }
            let (who, nice) = (libc::PRIO_PROCESS as usize, self.nice as isize as usize);
            let _ = call(libc::SYS_setpriority, [who, 0, nice, 0, 0]);
        }
    }
}

unsafe fn normal_scheduling() {
    let param = [0_i32; 2];
    // SAFETY: `param` is only read; the rest are plain numbers.
    unsafe {
        let now = call(libc::SYS_sched_getscheduler, [0; 5]).unwrap_or(0);
        if now & !(libc::SCHED_RESET_ON_FORK as usize) != libc::SCHED_OTHER as usize {
            let normal = [0, libc::SCHED_OTHER as usize, param.as_ptr() as usize, 0, 0];
            let _ = call(libc::SYS_sched_setscheduler, normal);
        }
    }
}
