//! Child processes: each in a process group of its own, with nothing of the daemon's but its environment.
//!
//! A child is held by a pidfd, so its end is an event like any other and its number cannot come to mean another process
//! while it is held. Nothing here waits: not for the child, and not for exec either, which can hang on a dead file
//! server; its failure is read when the child has ended.
//! Sources: fork(2), pidfd_open(2), waitid(2), kill(2).

mod book;
mod children;
mod plan;

use std::ffi::{CString, OsStr};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Once;

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow};

use self::book::book;
pub(crate) use self::book::collect_left;
pub(crate) use self::children::{Children, End};
use self::plan::{Plan, SHELL};
pub(crate) use self::plan::{Step, keep_original_limits};
use super::fd::WatchedFd;
use super::privs::Credentials;

/// Not handed on: the loader and the shell would obey the first three, the fourth belongs to the daemon alone.
// keepalived: 2.4 drops the first three; 2.2.7 drops none.
const WITHHELD: [&str; 4] = ["IFS", "LD_PRELOAD", "LD_LIBRARY_PATH", "NOTIFY_SOCKET"];

/// Exit status of a child that could not become its program, as shells have it; the true reason comes by another way.
const NOT_RUN: i32 = 127;

/// A failed call.
#[derive(Debug)]
pub(crate) enum ProcessError {
    /// A word holds a zero octet, which no program can be given.
    ZeroOctet { word: String },
    /// No process or no descriptor for it.
    Start {
        call: &'static str,
        source: io::Error,
    },
    /// A signal could not be sent.
    Signal { group: i32, source: io::Error },
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroOctet { word } => write!(f, "word {word:?} holds a zero octet"),
            Self::Start { call, source } => write!(f, "{call}: {source}"),
            Self::Signal { group, source } => {
                write!(f, "signal to process group {group}: {source}")
            }
        }
    }
}

impl std::error::Error for ProcessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ZeroOctet { .. } => None,
            Self::Start { source, .. } | Self::Signal { source, .. } => Some(source),
        }
    }
}

fn failed(call: &'static str) -> ProcessError {
    ProcessError::Start {
        call,
        source: io::Error::last_os_error(),
    }
}

/// How a child ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It exited with this status, 0..=255.
    Status(i32),
    /// A signal of this number killed it.
    Signal(i32),
    /// It never became its program.
    NotRun { step: Step, source: io::Error },
    /// Somebody else took its status, or the runtime ends.
    Unknown(io::Error),
}

/// What to run, in the form the kernel takes it.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: CString,
    argv: Vec<CString>,
    /// `None`: as the daemon.
    credentials: Option<Credentials>,
}

impl Program {
    /// `argv` starts with the name the program is called by.
    ///
    /// # Errors
    /// [`ProcessError::ZeroOctet`].
    pub(crate) fn new<'a>(
        path: &Path,
        argv: impl IntoIterator<Item = &'a OsStr>,
        credentials: Option<Credentials>,
    ) -> Result<Self, ProcessError> {
        let word = |w: &OsStr| {
            CString::new(w.as_bytes()).map_err(|_| ProcessError::ZeroOctet {
                word: w.to_string_lossy().into_owned(),
            })
        };
        Ok(Self {
            path: word(path.as_os_str())?,
            argv: argv.into_iter().map(word).collect::<Result<_, _>>()?,
            credentials,
        })
    }

    /// Starts it on the calling thread, whose end sends the child SIGTERM. Must be called inside a runtime.
    ///
    /// The child leads a process group of its own; its standard streams are /dev/null and every other descriptor is
    /// closed; no signal is blocked, ignored or handled; resource limits, nice value and scheduling are those the
    /// daemon was started with ([`keep_original_limits`]); the umask is the daemon's. A file that the kernel does not
    /// recognise is run by `/bin/sh`.
    ///
    /// # Errors
    /// [`ProcessError::Start`] when there is no process to be had. A program that cannot be executed is not an error
    /// here: see [`Ended::NotRun`].
    pub(crate) fn start(&self) -> Result<Child, ProcessError> {
        keep_statuses();
        collect_left();
        let env = environment();
        let (env, argv) = (pointers(&env), pointers(&self.argv));
        let mut by_shell = vec![SHELL.as_ptr(), self.path.as_ptr()];
        by_shell.extend(argv.iter().skip(1));
        if self.argv.is_empty() {
            by_shell.push(std::ptr::null());
        }
        let (report, report_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .map_err(|e| ProcessError::Start {
                call: "pipe",
                source: e.into(),
            })?;
        let parent = nix::unistd::getpid();
        let plan = Plan {
            path: &self.path,
            credentials: self.credentials.as_ref(),
            argv: &argv,
            by_shell: &by_shell,
            env: &env,
            parent: parent.as_raw(),
        };

        // No signal may reach the child while the daemon's handlers are still in place there.
        let mut before = SigSet::empty();
        let block = Some(&SigSet::all());
        nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_SETMASK, block, Some(&mut before))
            .map_err(|e| ProcessError::Start {
                call: "sigmask",
                source: e.into(),
            })?;
        // Held until the child is in the book: it could end at once, and nobody may take it for a stranger.
        let mut book = book();
        // SAFETY: the child calls only what is safe after fork in a process with threads (see `Plan::run`) and leaves
        // through `execve` or `_exit`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let (step, source) = plan.run();
            let mut octets = [0; 8];
            octets[..4].copy_from_slice(&(step as u32).to_ne_bytes());
            octets[4..].copy_from_slice(&source.raw_os_error().unwrap_or(0).to_ne_bytes());
            // SAFETY: `octets` is valid for its length; `_exit` runs no destructors, which belong to the parent.
            unsafe {
                libc::write(report_end.as_raw_fd(), octets.as_ptr().cast(), octets.len());
                libc::_exit(NOT_RUN);
            }
        }
        let forked = if pid < 0 {
            Err(failed("fork"))
        } else {
            Ok(pid)
        };
        // Cannot fail: the same call succeeded above.
        let _ = nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        let pid = forked?;
        book.hold(pid);
        drop(report_end);
        // Both sides do this, so that the group exists for whoever comes first. Fails once the child is its program,
        // which then did it itself.
        // SAFETY: plain numbers.
        unsafe { libc::setpgid(pid, pid) };
        watch(pid)
            .map(|pidfd| Child {
                pid,
                report,
                pidfd: Some(pidfd),
            })
            .inspect_err(|_| {
                book.forget(pid);
                // Nothing can watch it, so it must not run. It was forked just now: this wait is short.
                // SAFETY: `pid` is an unreaped child of ours; no status is asked for.
                unsafe {
                    libc::kill(pid, libc::SIGKILL);
                    libc::waitpid(pid, std::ptr::null_mut(), 0);
                }
            })
    }
}

/// Whoever starts us may ignore SIGCHLD, and then the kernel would throw the statuses of our children away.
fn keep_statuses() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: zeroed sigactions are valid and ask for the default; the first call only reads the present one.
        unsafe {
            let mut present: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut present);
            let ignored = present.sa_sigaction == libc::SIG_IGN;
            if ignored || present.sa_flags & libc::SA_NOCLDWAIT != 0 {
                let default: libc::sigaction = std::mem::zeroed();
                libc::sigaction(libc::SIGCHLD, &raw const default, std::ptr::null_mut());
            }
        }
    });
}

fn watch(pid: i32) -> Result<WatchedFd, ProcessError> {
    // SAFETY: plain numbers; the result is checked below.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let raw = i32::try_from(raw)
        .ok()
        .filter(|fd| *fd >= 0)
        .ok_or_else(|| failed("pidfd_open"))?;
    // SAFETY: a descriptor that was opened just now and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    WatchedFd::readable_only(fd).map_err(|source| ProcessError::Start {
        call: "watch pidfd",
        source,
    })
}

/// The daemon's environment without [`WITHHELD`].
fn environment() -> Vec<CString> {
    std::env::vars_os()
        .filter(|(name, _)| !WITHHELD.iter().any(|w| name == w))
        .filter_map(|(name, value)| {
            let mut line = name.into_vec();
            line.push(b'=');
            line.extend_from_slice(value.as_bytes());
            CString::new(line).ok()
        })
        .collect()
}

/// A list as `execve` takes it, with the null pointer at its end. Valid as long as `words`.
fn pointers(words: &[CString]) -> Vec<*const libc::c_char> {
    let end = std::iter::once(std::ptr::null());
    words.iter().map(|w| w.as_ptr()).chain(end).collect()
}

/// A signal for a process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Term,
    Kill,
}

/// A process that was started and whose status was not taken yet, so that its number stays its own.
///
/// Dropping it takes the status of one that has ended; one that still runs is killed with its group.
#[derive(Debug)]
pub(crate) struct Child {
    pid: i32,
    /// Where the child says why it could not become its program.
    report: OwnedFd,
    /// `None` only while being dropped.
    pidfd: Option<WatchedFd>,
}

impl Child {
    /// Its process number, and that of its group.
    #[cfg(test)]
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end. Cancel safe, and says the same again if asked again.
    pub(crate) async fn ended(&self) -> Ended {
        let Some(pidfd) = &self.pidfd else {
            return Ended::Unknown(io::ErrorKind::NotFound.into());
        };
        loop {
            if let Err(e) = pidfd.readable().await {
                return Ended::Unknown(e);
            }
            let status = pidfd.read(|fd| {
                status_of(fd, Take::Leave).and_then(|s| s.ok_or(io::ErrorKind::WouldBlock.into()))
            });
            match status {
                Ok(Ended::Status(NOT_RUN)) => return self.why_not_run(),
                Ok(other) => return other,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Ended::Unknown(e),
            }
        }
    }

    /// The child itself may have exited with [`NOT_RUN`]; only one that was not run reports.
    fn why_not_run(&self) -> Ended {
        let mut octets = [0; 8];
        let (Ok(8), [a, b, c, d, e, f, g, h]) =
            (nix::unistd::read(&self.report, &mut octets), octets)
        else {
            return Ended::Status(NOT_RUN);
        };
        let step = u32::from_ne_bytes([a, b, c, d]);
        let step = Step::ALL.into_iter().find(|s| *s as u32 == step);
        Ended::NotRun {
            step: step.unwrap_or(Step::Exec),
            source: io::Error::from_raw_os_error(i32::from_ne_bytes([e, f, g, h])),
        }
    }

    /// Sends `signal` to all that is left of its group, also when the child itself has ended.
    ///
    /// # Errors
    /// [`ProcessError::Signal`] when nobody in the group may be signalled. That nobody is left is no error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let number = match signal {
            Signal::Term => libc::SIGTERM,
            Signal::Kill => libc::SIGKILL,
        };
        // SAFETY: plain numbers. The group is ours: its leader is unreaped, so the number was not given away.
        if unsafe { libc::kill(-self.pid, number) } == 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        if source.raw_os_error() == Some(libc::ESRCH) {
            return Ok(());
        }
        Err(ProcessError::Signal {
            group: self.pid,
            source,
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(pidfd) = self.pidfd.take() else {
            return;
        };
        let mut book = book();
        if book.take(self.pid, pidfd.as_fd()) {
            return;
        }
        let _ = self.signal(Signal::Kill); // Nobody is left who could be told.
        if !book.take(self.pid, pidfd.as_fd())
            && let Ok(fd) = pidfd.as_fd().try_clone_to_owned()
        {
            book.leave(self.pid, fd);
        }
    }
}

/// Whether looking at a status takes it, and with it the process number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Take {
    Take,
    Leave,
}

/// `None`: it still runs. Never waits.
fn status_of(pidfd: BorrowedFd<'_>, take: Take) -> io::Result<Option<Ended>> {
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(io::Error::other)?;
    let keep = match take {
        Take::Take => 0,
        Take::Leave => libc::WNOWAIT,
    };
    // SAFETY: `info` is a valid place for the answer and zeroed, which reads as "no process".
    let (rc, pid, code, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let rc = libc::waitid(
            libc::P_PIDFD,
            id,
            &raw mut info,
            libc::WEXITED | libc::WNOHANG | keep,
        );
        (rc, info.si_pid(), info.si_code, info.si_status())
    };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(match (pid, code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some(Ended::Status(status)),
        (_, _) => Some(Ended::Signal(status)),
    })
}

#[cfg(test)]
mod tests;
