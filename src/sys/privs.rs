//! Who a child process is: user, group, supplementary groups.
//!
//! Called between fork and exec: [`Credentials::assume`] allocates nothing, takes no lock and goes past the C library,
//! which would change the user of all threads that it knows of. The daemon itself never changes its own user. Source:
//! credentials(7), setuid(2), setgroups(2).

use std::collections::BTreeSet;

use super::rawcall::call;

/// Those that take numbers of 32 bits.
#[cfg(any(target_arch = "arm", target_arch = "x86"))]
mod number {
    pub(super) use libc::{
        SYS_setgid32 as SETGID, SYS_setgroups32 as SETGROUPS, SYS_setuid32 as SETUID,
    };
}
#[cfg(not(any(target_arch = "arm", target_arch = "x86")))]
mod number {
    pub(super) use libc::{SYS_setgid as SETGID, SYS_setgroups as SETGROUPS, SYS_setuid as SETUID};
}

/// What a process runs as. The numbers are those of the kernel; names were looked up when the configuration was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups; empty: none are kept.
    pub(crate) groups: Vec<u32>,
}

impl Credentials {
    /// Real and effective user and group of this process.
    fn is_already(&self) -> bool {
        // SAFETY: these four calls take no arguments and cannot fail.
        let (uid, euid, gid, egid) = unsafe {
            (
                libc::getuid(),
                libc::geteuid(),
                libc::getgid(),
                libc::getegid(),
            )
        };
        (uid, euid, gid, egid) == (self.uid, self.uid, self.gid, self.gid)
    }

    /// There is nothing to change: user, group and supplementary groups of this process are these.
    pub(super) fn is_already_whole(&self) -> bool {
        // To have one's own group once more gives no rights.
        let more = |groups: Vec<u32>| -> BTreeSet<u32> {
            groups.into_iter().filter(|g| *g != self.gid).collect()
        };
        let groups = nix::unistd::getgroups().map(|all| all.into_iter().map(|g| g.as_raw()));
        let same = groups.is_ok_and(|all| more(all.collect()) == more(self.groups.clone()));
        self.is_already() && same
    }

    /// Makes the calling process run as these, for good. An unprivileged process that already does keeps its
    /// supplementary groups, which it could not change.
    ///
    /// # Errors
    /// Whatever the kernel says (an errno), above all `EPERM` without `CAP_SETUID` and `CAP_SETGID`. The process may then
    /// have changed in part and must not go on.
    pub(crate) fn assume(&self) -> Result<(), i32> {
        let groups = [self.groups.len(), self.groups.as_ptr() as usize, 0, 0, 0];
        // SAFETY: the pointer and the length describe `groups`, which is only read.
        if let Err(errno) = unsafe { call(number::SETGROUPS, groups) } {
            let allowed = self.is_already() && errno == libc::EPERM;
            return if allowed { Ok(()) } else { Err(errno) };
        }
        // SAFETY: plain numbers; the group goes first, while the right to change it is still there.
        unsafe {
            call(number::SETGID, [self.gid as usize, 0, 0, 0, 0])?;
            call(number::SETUID, [self.uid as usize, 0, 0, 0, 0])?;
        }
        Ok(())
    }
}
