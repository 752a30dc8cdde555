//! The memory that a new process runs in until it is its program, and the making of that process.
//!
//! A copy of the daemon's memory would cost more than everything else about a script: so the child shares it, on a stack of
//! its own, and the daemon goes on meanwhile, since exec can hang on a dead file server. Only a child that changes its user
//! gets a copy, because such a change would mark the daemon's memory as not to be dumped. Sources: clone(2), mmap(2).

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::unistd::{SysconfVar, sysconf};

use super::plan::{Plan, Step};
use crate::sys::rawcall::LEAVES_ERRNO_ALONE;

/// Octets of the stack: more than unoptimised code needs for some system calls.
const STACK: usize = 32 * 1024;
/// Unused ones that are kept for the next child.
const SPARE: usize = 32;
/// Exit status of a child that could not become its program, as shells have it; the true reason stands on its stage.
pub(super) const NOT_RUN: i32 = 127;

/// A piece of memory that both sides see, whether or not they share the rest: a page in which the child writes why it could
/// not become its program, a page that nobody may touch, and the stack.
#[derive(Debug)]
struct Memory {
    base: NonNull<libc::c_void>,
    octets: usize,
}

// SAFETY: it owns what it points to.
unsafe impl Send for Memory {}
// SAFETY: what is read and written through a shared reference is atomic.
unsafe impl Sync for Memory {}

static POOL: Mutex<Vec<Memory>> = Mutex::new(Vec::new());

fn pool() -> std::sync::MutexGuard<'static, Vec<Memory>> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn take() -> io::Result<Self> {
        let spare = pool().pop();
        let memory = spare.map_or_else(Self::map, Ok)?;
        memory.report().store(0, Ordering::Relaxed);
        Ok(memory)
    }

    fn map() -> io::Result<Self> {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        let page = page.and_then(|n| usize::try_from(n).ok()).unwrap_or(4096);
        let octets = 2 * page + STACK.next_multiple_of(page);
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping; the second page of it is then closed to everybody.
        unsafe {
            let base = libc::mmap(std::ptr::null_mut(), octets, access, kind, -1, 0);
            if base == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let made = NonNull::new(base).map(|base| Self { base, octets });
            let made = made.ok_or(io::ErrorKind::OutOfMemory)?;
            if libc::mprotect(base.byte_add(page), page, libc::PROT_NONE) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(made)
        }
    }

    fn report(&self) -> &AtomicU64 {
        // SAFETY: the first octets of the mapping, which is aligned to a page, and lives as long as `self`.
        unsafe { self.base.cast::<AtomicU64>().as_ref() }
    }

    fn top(&self) -> *mut libc::c_void {
        // SAFETY: one past the end of the mapping.
        unsafe { self.base.as_ptr().byte_add(self.octets) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody uses any more.
        unsafe { libc::munmap(self.base.as_ptr(), self.octets) };
    }
}

/// Memory and plan of one child. Must not be dropped before that child is its program or has ended.
#[derive(Debug)]
pub(super) struct Stage {
    plan: Plan,
    /// `None` only while being dropped.
    memory: Option<Memory>,
    shared: bool,
}

impl Stage {
    /// # Errors
    /// Out of memory.
    pub(super) fn new(plan: Plan) -> io::Result<Box<Self>> {
        let shared = LEAVES_ERRNO_ALONE && !plan.changes_user();
        let memory = Some(Memory::take()?);
        Ok(Box::new(Self {
            plan,
            memory,
            shared,
        }))
    }

    /// Starts the child; its number and a descriptor of it. Does not wait for exec. All signals must be blocked on the
    /// calling thread.
    ///
    /// # Errors
    /// No process to be had.
    pub(super) fn enter(&self) -> io::Result<(i32, OwnedFd)> {
        let memory = self.memory.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let share = if self.shared { libc::CLONE_VM } else { 0 };
        let flags = libc::SIGCHLD | libc::CLONE_PIDFD | share;
        let (mut pidfd, stage) = (-1_i32, std::ptr::from_ref(self).cast_mut().cast());
        // SAFETY: the child gets a stack of its own that grows down from the end of the mapping; the stage stays where it
        // is, boxed, until the child is gone (see `Child`); what the child does, `Plan::run` answers for.
        let pid = unsafe { libc::clone(act, memory.top(), flags, stage, &raw mut pidfd) };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pidfd < 0 {
            // A kernel that knows the call but not the flag. It is our unreaped child.
            // SAFETY: plain numbers.
            pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
        }
        if pidfd < 0 {
            let e = io::Error::last_os_error();
            kill_unwatched(pid);
            return Err(e);
        }
        // SAFETY: a descriptor that was opened just now and belongs to nobody else.
        Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
    }

    /// Why it could not become its program; `None`: it did.
    pub(super) fn failure(&self) -> Option<(Step, io::Error)> {
        let report = self.memory.as_ref()?.report().load(Ordering::Acquire);
        let (step, errno) = (report >> 32, report as u32);
        let step = Step::ALL.into_iter().find(|s| *s as u64 + 1 == step)?;
        Some((step, io::Error::from_raw_os_error(errno.cast_signed())))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            let mut pool = pool();
            if pool.len() < SPARE {
                pool.push(memory);
            }
        }
    }
}

/// Nothing can watch it, so it must not run. It was started just now: this wait is short.
pub(super) fn kill_unwatched(pid: i32) {
    // SAFETY: `pid` is an unreaped child of ours; no status is asked for.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
}

/// The child begins here; what this returns is its exit status.
extern "C" fn act(stage: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `Stage::enter` passes itself, and lives on.
    let stage = unsafe { &*stage.cast::<Stage>() };
    let (step, errno) = stage.plan.run();
    if let Some(memory) = &stage.memory {
        let report = (step as u64 + 1) << 32 | u64::from(errno.cast_unsigned());
        memory.report().store(report, Ordering::Release);
    }
    NOT_RUN
}
