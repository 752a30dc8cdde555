//! Whose status is still to be taken: no zombie stays, and no status is taken from its owner.
//!
//! Children that were killed and dropped end a little later; their status is taken in passing. So is that of strangers:
//! as the first process of a container, this one is given every orphan, and nobody else would ever collect them.
//! Source: waitid(2), prctl(2) `PR_SET_CHILD_SUBREAPER`, pid_namespaces(7).

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::heard::{self, Heard};
use super::stage::Stage;
use super::{Take, status_of};

/// Daemons that scripts have left behind with our pipe as their output; more than any sane set of scripts leaves.
const MAX_TALKERS: usize = 64;

/// All children of this process that are ours.
#[derive(Debug)]
pub(super) struct Book {
    /// Unreaped, so that the numbers are still theirs.
    held: BTreeSet<i32>,
    /// Those among them that nobody waits for any more.
    left: Vec<(i32, OwnedFd, Box<Stage>)>,
    /// What those may say whom ended children have left behind; the oldest first.
    talkers: VecDeque<OwnedFd>,
}

static BOOK: Mutex<Book> = Mutex::new(Book {
    held: BTreeSet::new(),
    left: Vec::new(),
    talkers: VecDeque::new(),
});

/// The book of this process. Held for a few system calls at most.
pub(super) fn book() -> MutexGuard<'static, Book> {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    /// `pid` was forked just now.
    pub(super) fn hold(&mut self, pid: i32) {
        self.held.insert(pid);
    }

    /// The status of `pid` was taken by other means.
    pub(super) fn forget(&mut self, pid: i32) {
        self.held.remove(&pid);
    }

    /// Takes the status of a child. False: it still runs.
    pub(super) fn take(&mut self, pid: i32, pidfd: BorrowedFd<'_>) -> bool {
        let gone = !matches!(status_of(pidfd, Take::Take), Ok(None));
        if gone {
            self.forget(pid);
        }
        gone
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.left.is_empty() && self.talkers.is_empty()
    }

    /// Nobody waits for this one any more; it was killed.
    pub(super) fn leave(&mut self, pid: i32, pidfd: OwnedFd, stage: Box<Stage>) {
        self.left.push((pid, pidfd, stage));
    }

    /// A child has ended, or is about to. Somebody whom it has started may hold the other end of its output: to close ours
    /// would kill that one as soon as it speaks.
    pub(super) fn keep_listening(&mut self, heard: Option<Heard>) {
        let Some(fd) = heard.and_then(Heard::rest) else {
            return;
        };
        self.talkers.push_back(fd);
        if self.talkers.len() > MAX_TALKERS {
            self.talkers.pop_front();
        }
    }
}

/// Takes the status of those that have ended since they were dropped, and of strangers. Done whenever a process is
/// started; the owner of the process may do it more often. Never waits.
pub(crate) fn collect_left() {
    let mut book = book();
    for (pid, fd, stage) in std::mem::take(&mut book.left) {
        if !book.take(pid, fd.as_fd()) {
            book.leave(pid, fd, stage);
        }
    }
    book.talkers.retain(heard::swallow);
    if adopts_strangers() {
        // One of ours may stand in the way; its owner is about to take it, and the next call gets past.
        while let Ok(Some(pid)) = some_zombie() {
            if book.held.contains(&pid) {
                break;
            }
            // SAFETY: an ended child that nobody here knows; no status is asked for.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
        }
    }
}

/// Orphans become children of this process.
fn adopts_strangers() -> bool {
    let mut subreaper: libc::c_int = 0;
    // SAFETY: `subreaper` is a valid place for the answer.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut subreaper) };
    subreaper != 0 || std::process::id() == 1
}

/// A child that has ended, whoever it is; its status stays.
fn some_zombie() -> io::Result<Option<i32>> {
    // SAFETY: `info` is a valid place for the answer and zeroed, which reads as "no process".
    let (rc, pid) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let rc = libc::waitid(libc::P_ALL, 0, &raw mut info, options);
        (rc, info.si_pid())
    };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((pid != 0).then_some(pid))
}
