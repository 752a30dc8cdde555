//! Named pipes that we write to: made or found, and in either case ours alone to hand out.
//!
//! Never waits and never follows a link. The pipe is held open for reading too, so that it exists without a reader and
//! no write raises SIGPIPE. Sources: fifo(7), mkfifo(3), pipe(7), open(2).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, geteuid, mkfifo};

use super::fd::WatchedFd;

/// Mode of one that we make, less the umask.
const MODE: Mode = Mode::from_bits_truncate(0o644);

/// Why there is none.
#[derive(Debug)]
pub(crate) enum FifoError {
    /// What stands there is a link, a file, a device.
    NotFifo { path: PathBuf },
    /// A FIFO of somebody who is neither the daemon's user nor the configured one.
    Foreign { path: PathBuf, uid: u32 },
    /// It was exchanged between two looks at it.
    Exchanged { path: PathBuf },
    Io {
        call: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl fmt::Display for FifoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFifo { path } => write!(f, "{} exists and is not a fifo", path.display()),
            Self::Foreign { path, uid } => {
                write!(f, "{} belongs to another user ({uid})", path.display())
            }
            Self::Exchanged { path } => write!(f, "{} is being exchanged", path.display()),
            Self::Io { call, path, source } => write!(f, "{call} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for FifoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotFifo { .. } | Self::Foreign { .. } | Self::Exchanged { .. } => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}

/// A FIFO. Dropping it removes the file if we made it and it is still the same.
#[derive(Debug)]
pub(crate) struct Fifo {
    path: PathBuf,
    fd: WatchedFd,
    /// Device and inode.
    identity: (u64, u64),
    made: bool,
}

impl Fifo {
    /// Makes the FIFO, mode 0644 less the umask, and gives it to `owner` (user, group); or opens one that is there, if it
    /// belongs to the daemon's user or to `owner`'s. Must be called inside a runtime.
    ///
    /// # Errors
    /// See [`FifoError`]. Nothing is left behind then.
    pub(crate) fn open(path: &Path, owner: Option<(u32, u32)>) -> Result<Self, FifoError> {
        let failed = |call: &'static str| {
            let path = path.to_path_buf();
            move |source| FifoError::Io { call, path, source }
        };
        let made = match mkfifo(path, MODE) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(e) => return Err(failed("mkfifo")(e.into())),
        };
        let opened = Self::open_existing(path, owner.map(|(uid, _)| uid)).and_then(|file| {
            if let Some((uid, gid)) = owner.filter(|_| made) {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                nix::unistd::fchown(&file, Some(uid), Some(gid))
                    .map_err(|e| failed("chown")(e.into()))?;
            }
            let facts = file.metadata().map_err(failed("stat"))?;
            let fd = WatchedFd::writable_only(OwnedFd::from(file)).map_err(failed("watch"))?;
            Ok((fd, (facts.dev(), facts.ino())))
        });
        match opened {
            Ok((fd, identity)) => Ok(Self {
                path: path.to_path_buf(),
                fd,
                identity,
                made,
            }),
            Err(e) => {
                if made {
                    let _ = fs::remove_file(path); // it is of no use to anybody
                }
                Err(e)
            }
        }
    }

    /// Looked at first, since opening a device can have effects; and once more, since it may be another one by then.
    fn open_existing(path: &Path, owner: Option<u32>) -> Result<File, FifoError> {
        let failed = |call: &'static str| {
            move |source| FifoError::Io {
                call,
                path: path.to_path_buf(),
                source,
            }
        };
        let before = fs::symlink_metadata(path).map_err(failed("stat"))?;
        if !before.file_type().is_fifo() {
            return Err(FifoError::NotFifo { path: path.into() });
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).custom_flags(flags);
        let file = file.open(path).map_err(failed("open"))?;
        let facts = file.metadata().map_err(failed("stat"))?;
        if (facts.dev(), facts.ino()) != (before.dev(), before.ino()) {
            return Err(FifoError::Exchanged { path: path.into() });
        }
        let uid = facts.uid();
        if uid != geteuid().as_raw() && Some(uid) != owner {
            return Err(FifoError::Foreign {
                path: path.into(),
                uid,
            });
        }
        Ok(file)
    }

    /// One attempt to write; as many octets as there was room for. A piece of up to `PIPE_BUF` octets goes whole or not
    /// at all.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room: [`Fifo::writable`] then waits for some.
    pub(crate) fn write(&self, octets: &[u8]) -> io::Result<usize> {
        self.fd
            .write(|fd| nix::unistd::write(fd, octets).map_err(io::Error::from))
    }

    /// Waits until there may be room. Cancel safe.
    ///
    /// # Errors
    /// When the runtime ends.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.fd.writable().await
    }

    /// Octets that nobody has read yet.
    pub(crate) fn unread(&self) -> usize {
        let mut count: libc::c_int = 0;
        // SAFETY: the descriptor is open, `count` is a valid place for the answer.
        let rc =
            unsafe { libc::ioctl(self.fd.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
        if rc < 0 {
            return 0;
        }
        usize::try_from(count).unwrap_or(0)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let same = |facts: fs::Metadata| (facts.dev(), facts.ino()) == self.identity;
        if self.made && fs::symlink_metadata(&self.path).is_ok_and(same) {
            let _ = fs::remove_file(&self.path); // whoever can keep us from it may keep it
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ka-fifo-{}-{name}", std::process::id()));
        fs::create_dir(&dir).expect("a new directory");
        dir
    }

    fn in_runtime(test: impl FnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async { test() });
    }

    #[test]
    fn one_that_we_made_goes_with_us_and_one_that_was_there_stays() {
        let dir = scratch("made");
        let path = dir.join("fifo");
        in_runtime(|| {
            let fifo = Fifo::open(&path, None).expect("a new one");
            assert!(fs::symlink_metadata(&path).is_ok_and(|f| f.file_type().is_fifo()));
            assert_eq!(fifo.write(b"one\n").ok(), Some(4));
            assert_eq!(fifo.unread(), 4);
            drop(fifo);
            assert!(!path.exists());
            mkfifo(&path, MODE).expect("a FIFO");
            drop(Fifo::open(&path, None).expect("the same"));
            assert!(path.exists());
            let fifo = Fifo::open(&path, None).expect("the same");
            fs::remove_file(&path).expect("our file");
            fs::write(&path, "another").expect("a file");
            drop(fifo);
            assert!(path.exists(), "somebody else's file was removed");
        });
        fs::remove_dir_all(&dir).expect("our directory");
    }

    #[test]
    fn what_was_planted_is_refused_and_left_alone() {
        let dir = scratch("planted");
        let (file, link, fifo) = (dir.join("file"), dir.join("link"), dir.join("fifo"));
        fs::write(&file, "precious").expect("a file");
        mkfifo(&fifo, MODE).expect("a FIFO");
        std::os::unix::fs::symlink(&fifo, &link).expect("a link");
        in_runtime(|| {
            for path in [&file, &link] {
                let refused = Fifo::open(path, None).expect_err("no FIFO");
                assert!(matches!(refused, FifoError::NotFifo { .. }), "{refused}");
            }
            if geteuid().is_root() {
                nix::unistd::chown(&fifo, Some(Uid::from_raw(4711)), None).expect("root may");
                let refused = Fifo::open(&fifo, None).expect_err("not ours");
                assert!(matches!(refused, FifoError::Foreign { uid: 4711, .. }));
                Fifo::open(&fifo, Some((4711, 4711))).expect("that of the configured user");
            }
        });
        assert_eq!(fs::read_to_string(&file).expect("a file"), "precious");
        fs::remove_dir_all(&dir).expect("our directory");
    }
}
