//! File descriptors that the runtime watches: the one place that registers a descriptor with the reactor.
//!
//! Never blocks: what is registered here must be non-blocking. Source: epoll(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `setsockopt(2)` with a value of fixed size, for what no crate has a name for.
///
/// # Errors
/// As the call.
pub(super) fn set_option<T: Copy>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the descriptor is open; the value outlives the call and its true size is given.
    let rc = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether anybody has the regular file at `path` open for writing. False where nobody can say: no such file, no right to
/// ask, a file system without leases.
pub(crate) fn is_being_written(path: &Path) -> bool {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let Ok(file) = opened else {
        return false;
    };
    let lease = |kind: libc::c_int| {
        // SAFETY: the descriptor is open, and the argument is a number.
        let rc = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
        if rc < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // A lease for reading is given only while nobody writes. It ends at once.
    match lease(libc::F_RDLCK) {
        Ok(()) => _ = lease(libc::F_UNLCK),
        Err(e) => return e.raw_os_error() == Some(libc::EAGAIN),
    }
    false
}

/// An owned descriptor that knows its number for as long as it lives, as the reactor needs it.
#[derive(Debug)]
struct Owned(OwnedFd);

impl AsRawFd for Owned {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A non-blocking descriptor together with its place in the reactor. Closes it when dropped.
#[derive(Debug)]
pub(crate) struct WatchedFd(AsyncFd<Owned>);

impl WatchedFd {
    /// Watches for readability only. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the reactor refuses the descriptor (a regular file, no more watches).
    pub(crate) fn readable_only(fd: OwnedFd) -> io::Result<Self> {
        Self::with(fd, Interest::READABLE)
    }

    /// Watches for writability only. Must be called inside a runtime.
    ///
    /// # Errors
    /// As [`WatchedFd::readable_only`].
    pub(crate) fn writable_only(fd: OwnedFd) -> io::Result<Self> {
        Self::with(fd, Interest::WRITABLE)
    }

    fn with(fd: OwnedFd, interest: Interest) -> io::Result<Self> {
        // SAFETY: `Owned` returns the same open descriptor for its whole life, hands it to nobody else, and `AsyncFd`
        // deregisters it before it is closed.
        unsafe { AsyncFd::register_with_interest(Owned(fd), interest) }
            .map(Self)
            .map_err(|e| e.into_parts().1)
    }

    /// Waits until the descriptor may be readable. Stays so until [`WatchedFd::read`] found nothing.
    /// Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }

    /// Waits until the descriptor may be writable. Cancel safe.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.0.writable().await.map(drop)
    }

    /// One non-blocking attempt. `WouldBlock` makes [`WatchedFd::readable`] wait for the next arrival.
    pub(crate) fn read<R>(
        &self,
        attempt: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.settle(Interest::READABLE, attempt(self.as_fd()))
    }

    /// One non-blocking attempt. `WouldBlock` makes [`WatchedFd::writable`] wait for room.
    pub(crate) fn write<R>(
        &self,
        attempt: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.settle(Interest::WRITABLE, attempt(self.as_fd()))
    }

    /// Tells the reactor what an attempt showed. The attempt itself does not ask the reactor first, which may not
    /// have looked yet.
    fn settle<R>(&self, interest: Interest, result: io::Result<R>) -> io::Result<R> {
        if let Err(e) = &result
            && e.kind() == io::ErrorKind::WouldBlock
        {
            self.clear(interest);
        }
        result
    }

    /// There is nothing more to read: [`WatchedFd::readable`] waits for the next arrival.
    pub(crate) fn exhausted(&self) {
        self.clear(Interest::READABLE);
    }

    fn clear(&self, interest: Interest) {
        let nothing = |_: &Owned| Err::<(), _>(io::ErrorKind::WouldBlock.into());
        // Always an error: that is what clears it.
        let _ = self.0.try_io(interest, nothing);
    }
}

impl AsFd for WatchedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().0.as_fd()
    }
}
