//! Who a child process is: user, group, supplementary groups.
//!
//! Called between fork and exec: [`Credentials::assume`] allocates nothing and takes no lock. The daemon itself never
//! changes its own user. Source: credentials(7), setuid(2), setgroups(2).

use std::io;

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

    /// Makes the calling process run as these, for good. An unprivileged process that already does keeps its
    /// supplementary groups, which it could not change.
    ///
    /// # Errors
    /// Whatever the kernel says, above all `EPERM` without `CAP_SETUID` and `CAP_SETGID`. The process may then have
    /// changed in part and must not go on.
    pub(crate) fn assume(&self) -> io::Result<()> {
        // SAFETY: the pointer and the length describe `groups`, which is only read.
        let set_groups = unsafe { libc::setgroups(self.groups.len(), self.groups.as_ptr()) };
        if set_groups != 0 {
            let err = io::Error::last_os_error();
            let allowed = self.is_already() && err.raw_os_error() == Some(libc::EPERM);
            return if allowed { Ok(()) } else { Err(err) };
        }
        // SAFETY: plain numbers; the group goes first, while the right to change it is still there.
        if unsafe { libc::setgid(self.gid) } != 0 || unsafe { libc::setuid(self.uid) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}
