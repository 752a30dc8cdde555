//! Child processes: each in a process group of its own, with nothing of the daemon's but its environment.
//!
//! A child is held by a pidfd, so its end is an event like any other and its number cannot come to mean another process
//! while it is held. Nothing here waits: not for the child, and not for exec either, which can hang on a dead file
//! server; its failure is read when the child has ended.
//! Sources: clone(2), pidfd_open(2), waitid(2), kill(2).

mod book;
mod children;
mod heard;
mod plan;
mod stage;

use std::ffi::{CString, OsStr};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::{Arc, Once, OnceLock};

use nix::sys::signal::{SigSet, SigmaskHow};

use self::book::book;
pub(crate) use self::book::collect_left;
pub(crate) use self::children::{Children, End};
use self::heard::Heard;
use self::plan::{Plan, Words};
pub(crate) use self::plan::{Step, keep_original_limits};
use self::stage::Stage;
use super::fd::WatchedFd;
use super::privs::Credentials;

/// Not handed on: the loader and the shell would obey the first three, the fourth belongs to the daemon alone.
// keepalived: 2.4 drops the first three; 2.2.7 drops none.
const WITHHELD: [&str; 4] = ["IFS", "LD_PRELOAD", "LD_LIBRARY_PATH", "NOTIFY_SOCKET"];

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
    words: Arc<Words>,
    output: Output,
}

/// Where standard output and error go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Nowhere,
    LastLine,
}

impl Program {
    /// `argv` starts with the name the program is called by. What it says goes to /dev/null.
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
            words: Arc::new(Words {
                path: word(path.as_os_str())?,
                argv: argv.into_iter().map(word).collect::<Result<_, _>>()?,
                credentials: credentials.filter(|c| !c.is_already_whole()),
            }),
            output: Output::Nowhere,
        })
    }

    /// Its last line of output will be kept: [`Child::last_line`].
    pub(crate) fn heard(mut self) -> Self {
        self.output = Output::LastLine;
        self
    }

    /// Starts it on the calling thread, whose end sends the child SIGTERM. Must be called inside a runtime.
    ///
    /// The child leads a process group of its own; its standard input is /dev/null, and so is its output unless it is
    /// heard; every other descriptor is closed; no signal is blocked, ignored or handled; resource limits, nice value and
    /// scheduling are those the daemon was started with ([`keep_original_limits`]); the umask is the daemon's. A file that
    /// the kernel does not recognise is run by `/bin/sh`.
    ///
    /// # Errors
    /// [`ProcessError::Start`] when there is no process to be had. A program that cannot be executed is not an error
    /// here: see [`Ended::NotRun`].
    pub(crate) fn start(&self) -> Result<Child, ProcessError> {
        let start = |call: &'static str| move |source| ProcessError::Start { call, source };
        keep_statuses();
        collect_left();
        let (heard, speak) = match self.output {
            Output::Nowhere => (None, None),
            Output::LastLine => Heard::open()
                .map(|(heard, speak)| (Some(heard), Some(speak)))
                .map_err(start("pipe"))?,
        };
        let plan = Plan::new(
            Arc::clone(&self.words),
            environment(),
            speak.as_ref().map(AsRawFd::as_raw_fd),
        );
        let stage = Stage::new(plan).map_err(start("mmap"))?;
        // No signal may reach the child while the daemon's handlers are still in place there.
        let mut before = SigSet::empty();
        let block = Some(&SigSet::all());
        nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_SETMASK, block, Some(&mut before))
            .map_err(|e| start("sigmask")(e.into()))?;
        // Held until the child is in the book: it could end at once, and nobody may take it for a stranger.
        let mut book = book();
        let entered = stage.enter();
        // Cannot fail: the same call succeeded above.
        let _ = nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        let (pid, pidfd) = entered.map_err(start("clone"))?;
        book.hold(pid);
        // Both sides do this, so that the group exists for whoever comes first. Fails once the child is its program,
        // which then did it itself.
        // SAFETY: plain numbers.
        unsafe { libc::setpgid(pid, pid) };
        let watched = WatchedFd::readable_only(pidfd).map_err(start("watch pidfd"));
        let held = watched.map(|pidfd| (pidfd, stage)).inspect_err(|_| {
            book.forget(pid);
            stage::kill_unwatched(pid);
        })?;
        Ok(Child {
            pid,
            held: Some(held),
            heard,
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

/// The daemon's environment without [`WITHHELD`], as `execve` takes it. It does not change after the start.
fn environment() -> &'static [*const libc::c_char] {
    struct Lines(Vec<*const libc::c_char>);
    // SAFETY: the lines are never freed, and nobody writes there.
    unsafe impl Send for Lines {}
    // SAFETY: as above.
    unsafe impl Sync for Lines {}
    static LINES: OnceLock<Lines> = OnceLock::new();
    let lines = LINES.get_or_init(|| {
        let lines = std::env::vars_os()
            .filter(|(name, _)| !WITHHELD.iter().any(|w| name == w))
            .filter_map(|(name, value)| {
                let mut line = name.into_vec();
                line.push(b'=');
                line.extend_from_slice(value.as_bytes());
                CString::new(line).ok()
            });
        let lines: Vec<CString> = lines.collect();
        Lines(plan::pointers(lines.leak()))
    });
    &lines.0
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
    /// `None` only while being dropped.
    held: Option<(WatchedFd, Box<Stage>)>,
    /// `None`: nobody listens.
    heard: Option<Heard>,
}

impl Child {
    /// Its process number, and that of its group.
    #[cfg(test)]
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end. Cancel safe, and says the same again if asked again.
    pub(crate) async fn ended(&self) -> Ended {
        let Some((pidfd, stage)) = &self.held else {
            return Ended::Unknown(io::ErrorKind::NotFound.into());
        };
        loop {
            let readable = tokio::select! {
                biased;
                readable = pidfd.readable() => readable,
                () = heard::listen(self.heard.as_ref()) => continue,
            };
            if let Err(e) = readable {
                return Ended::Unknown(e);
            }
            let status = pidfd.read(|fd| {
                status_of(fd, Take::Leave).and_then(|s| s.ok_or(io::ErrorKind::WouldBlock.into()))
            });
            match status {
                // It may have exited so itself; only one that was not run has left a reason.
                Ok(Ended::Status(stage::NOT_RUN)) => {
                    return match stage.failure() {
                        Some((step, source)) => Ended::NotRun { step, source },
                        None => Ended::Status(stage::NOT_RUN),
                    };
                }
                Ok(other) => return other,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Ended::Unknown(e),
            }
        }
    }

    /// The last line that it has said so far, if anybody listened and there was one.
    pub(crate) fn last_line(&self) -> Option<String> {
        self.heard.as_ref()?.last_line()
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
        let Some((pidfd, stage)) = self.held.take() else {
            return;
        };
        let mut book = book();
        // Whoever it has left behind may still speak, and must not be harmed by nobody listening.
        book.keep_listening(self.heard.take());
        if book.take(self.pid, pidfd.as_fd()) {
            return;
        }
        let _ = self.signal(Signal::Kill); // Nobody is left who could be told.
        if book.take(self.pid, pidfd.as_fd()) {
            return;
        }
        match pidfd.as_fd().try_clone_to_owned() {
            Ok(fd) => book.leave(self.pid, fd, stage),
            // It may be running on its stage still, which must then stay for ever.
            Err(_) => drop(Box::leak(stage)),
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
