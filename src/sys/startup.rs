//! What a daemon does to itself before it has threads: fork, signal mask, limits, environment.
//!
//! Everything here belongs to the first moments of the process, while there is one thread and no runtime.
//! Source: fork(2), setsid(2), sigprocmask(2), setrlimit(2), keepalived(8).

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::ForkResult;

/// Keeps every signal back until [`release_signals`]: none is lost and none kills while its handler is not there yet.
/// Threads made meanwhile never see a signal.
pub(crate) fn hold_signals() {
    // Cannot fail: the kernel leaves out of the set what cannot be blocked.
    _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
}

/// Lets this thread, and no other, take signals.
pub(crate) fn release_signals() -> io::Result<()> {
    Ok(SigSet::empty().thread_set_mask()?)
}

/// File mode creation mask, 0..=0o777.
pub(crate) fn set_umask(mask: u32) {
    umask(Mode::from_bits_truncate(mask));
}

/// Core files of any size.
pub(crate) fn allow_core_files() -> io::Result<()> {
    Ok(setrlimit(
        Resource::RLIMIT_CORE,
        RLIM_INFINITY,
        RLIM_INFINITY,
    )?)
}

/// The kernel's pattern for the names of core files, changed until this is dropped.
#[derive(Debug)]
pub(crate) struct CorePattern {
    before: String,
}

impl CorePattern {
    const PATH: &str = "/proc/sys/kernel/core_pattern";

    /// # Errors
    /// Not privileged.
    pub(crate) fn set(pattern: &str) -> io::Result<Self> {
        let before = std::fs::read_to_string(Self::PATH)?;
        std::fs::write(Self::PATH, pattern)?;
        Ok(Self { before })
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        _ = std::fs::write(Self::PATH, &self.before); // it was allowed before
    }
}

/// Takes a variable out of the environment, so that no script inherits it.
pub(crate) fn take_env(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: the caller is the only thread, as the module demands, so nobody reads the environment meanwhile.
    unsafe { std::env::remove_var(name) };
    Some(value)
}

/// Which of the two processes this is.
#[derive(Debug)]
pub(crate) enum Side {
    /// The one that was started; it waits for [`Launched::outcome`] and leaves.
    Launcher(Launched),
    /// The daemon, in a session of its own.
    Daemon(Report),
}

/// The launcher's end of the pipe.
#[derive(Debug)]
pub(crate) struct Launched(OwnedFd);

impl Launched {
    /// Waits until the daemon says how its start went. `None`: it died without a word.
    pub(crate) fn outcome(self) -> Option<u8> {
        let mut code = [0_u8];
        let read = std::fs::File::from(self.0).read_exact(&mut code);
        read.ok().map(|()| code[0])
    }
}

/// The daemon's end of the pipe.
#[derive(Debug)]
pub(crate) struct Report(OwnedFd);

impl Report {
    /// Sends the launcher home with this exit code. A launcher that is gone misses it.
    pub(crate) fn send(self, code: u8) {
        _ = std::fs::File::from(self.0).write_all(&[code]);
    }
}

/// Forks. The daemon gets a session of its own, `/` as working directory and /dev/null as standard descriptors.
///
/// # Errors
/// Out of processes or descriptors; in the daemon also when /dev/null cannot be opened.
pub(crate) fn daemonise() -> io::Result<Side> {
    let (theirs, ours) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: the process has one thread, as the module demands, so the child may do anything that the parent may.
    match unsafe { nix::unistd::fork()? } {
        ForkResult::Parent { child: _ } => {
            drop(ours);
            Ok(Side::Launcher(Launched(theirs)))
        }
        ForkResult::Child => {
            drop(theirs);
            nix::unistd::setsid()?;
            std::env::set_current_dir("/")?;
            let null = OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")?;
            nix::unistd::dup2_stdin(null.as_fd())?;
            nix::unistd::dup2_stdout(null.as_fd())?;
            nix::unistd::dup2_stderr(null.as_fd())?;
            Ok(Side::Daemon(Report(ours)))
        }
    }
}

/// Makes this file, appended to, the standard error. New files get 0644 less the umask; links are not followed.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn redirect_stderr(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    Ok(nix::unistd::dup2_stderr(options.open(path)?.as_fd())?)
}
