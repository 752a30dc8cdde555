//! Pid files: how the world finds the daemon, and how a second one finds out that there is a first.
//!
//! A lock on the open file says that its owner lives, so a stale file or a number that is in use again does not block a
//! start; keepalived itself holds no lock, so a number counts too if what runs by it is a keepalived. The content is complete before the name exists; links are never followed; nothing is
//! touched between start and stop. Source: fcntl(2) open file description locks, keepalived(8) `-p -r -c`.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::sys::procfs;

/// Octets of a pid file that are read: more than any number has.
const PID_MAX: u64 = 32;

/// Numbers the drafts of this process.
static DRAFTS: AtomicU32 = AtomicU32::new(0);

/// Why a pid file is not ours.
#[derive(Debug)]
pub(crate) enum PidFileError {
    /// Another daemon lives.
    Locked(PathBuf),
    /// Not a plain file, a missing directory, a permission.
    Write { path: PathBuf, source: io::Error },
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path) => {
                write!(f, "Another process has pid file {} locked", path.display())
            }
            Self::Write { path, source: _ } => {
                write!(f, "Unable to create pid file {}", path.display())
            }
        }
    }
}

impl std::error::Error for PidFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Locked(_) => None,
            Self::Write { path: _, source } => Some(source),
        }
    }
}

/// A pid file of this process. Dropping it removes the file, if it is still the one we made.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl PidFile {
    /// Writes the number of this process to `path`, mode 0644. A file that nobody holds a lock on is replaced.
    ///
    /// # Errors
    /// See [`PidFileError`].
    pub(crate) fn claim(path: &Path) -> Result<Self, PidFileError> {
        match Self::try_claim(path) {
            Ok(Some(file)) => Ok(Self {
                path: path.to_owned(),
                file,
            }),
            Ok(None) => Err(PidFileError::Locked(path.to_owned())),
            Err(source) => Err(PidFileError::Write {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// `None`: somebody else holds the lock.
    fn try_claim(path: &Path) -> io::Result<Option<File>> {
        loop {
            let old = match open(path) {
                Ok(old) => Some(old),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(e),
            };
            if let Some(old) = &old {
                if !old.metadata()?.is_file() {
                    return Err(Errno::EEXIST.into());
                }
                if !lock(old)? || names_keepalived(old) {
                    return Ok(None);
                }
                if !is_at(old, path) {
                    continue; // Its owner replaced or removed it between our opening and our locking.
                }
            }
            let (pid, nth) = (std::process::id(), DRAFTS.fetch_add(1, Ordering::Relaxed));
            let draft = {
                let mut draft = path.as_os_str().to_owned();
                draft.push(format!(".{pid}.{nth}"));
                PathBuf::from(draft)
            };
            let made = write(&draft).and_then(|file| {
                // While we hold the lock of the old file nobody else replaces it; without one, the first link wins.
                let placed = match &old {
                    Some(_) => fs::rename(&draft, path),
                    None => fs::hard_link(&draft, path),
                };
                placed.map(|()| file)
            });
            if old.is_none() || made.is_err() {
                _ = fs::remove_file(&draft); // only the draft's name; it may never have come into being
            }
            match made {
                Ok(file) => return Ok(Some(file)),
                Err(e) if old.is_none() && e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if is_at(&self.file, &self.path) {
            _ = fs::remove_file(&self.path); // somebody else was faster
        }
    }
}

/// Does not wait on a FIFO, does not follow a link.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

fn write(draft: &Path) -> io::Result<File> {
    _ = fs::remove_file(draft); // of a process of the same number that was killed in this very place
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o644)
        .custom_flags(flags)
        .open(draft)?;
    // The process's umask is not for pid files.
    file.set_permissions(Permissions::from_mode(0o644))?;
    lock(&file)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Whether the file has the number of a keepalived that lives, and not ours.
fn names_keepalived(file: &File) -> bool {
    let mut text = String::new();
    let read = file.take(PID_MAX).read_to_string(&mut text);
    let pid = text.trim().parse::<i32>().ok().filter(|pid| *pid > 0);
    let ours = i32::try_from(std::process::id()).ok();
    let binary = pid
        .filter(|_| read.is_ok() && pid != ours)
        .and_then(procfs::binary);
    binary.is_some_and(|name| matches!(&*name, "keepalived" | "keepalived-rs"))
}

/// Whether we hold the write lock now.
fn lock(file: &File) -> io::Result<bool> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Whether `path` is a name of this very file.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => same(a, b),
        (Ok(_) | Err(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes when the test ends.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ka-pid-{name}-{}", std::process::id()));
            fs::create_dir(&path).expect("a new directory");
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    fn held(path: &Path) -> PidFile {
        PidFile::claim(path).expect("the file is free")
    }

    #[test]
    fn the_file_says_who_and_goes_with_its_owner() {
        let dir = Dir::new("who");
        let path = dir.0.join("x.pid");
        let file = held(&path);
        let text = fs::read_to_string(&path).expect("a pid file");
        assert_eq!(text, format!("{}\n", std::process::id()));
        assert_eq!(
            fs::metadata(&path).expect("a pid file").mode() & 0o7777,
            0o644
        );
        assert!(matches!(
            PidFile::claim(&path),
            Err(PidFileError::Locked(_))
        ));
        drop(file);
        assert_eq!(fs::read_dir(&dir.0).expect("a directory").count(), 0);
    }

    #[test]
    fn a_stale_file_is_replaced_even_if_its_number_lives() {
        let dir = Dir::new("stale");
        let path = dir.0.join("x.pid");
        fs::write(&path, "1\n").expect("a stale file");
        let file = held(&path);
        let text = fs::read_to_string(&path).expect("a pid file");
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_keepalived_without_a_lock_counts_while_it_lives() {
        let dir = Dir::new("stock");
        let (path, binary) = (dir.0.join("x.pid"), dir.0.join("keepalived"));
        // By another process: what is open for writing here is in the children of other tests, and then nobody can run it.
        let mut copy = std::process::Command::new("cp");
        let copied = copy.arg("/bin/sleep").arg(&binary).status();
        assert!(copied.expect("a program of that name").success());
        let mut other = std::process::Command::new(&binary)
            .arg("60")
            .spawn()
            .expect("it runs");
        fs::write(&path, format!("{}\n", other.id())).expect("its pid file");
        let refused = matches!(PidFile::claim(&path), Err(PidFileError::Locked(_)));
        other.kill().expect("our child");
        // Even before anybody has taken notice of its end.
        until_gone(&other);
        let file = held(&path);
        other.wait().expect("our child");
        assert!(refused, "beside a keepalived that runs");
        drop(file);
    }

    fn until_gone(child: &std::process::Child) {
        let pid = i32::try_from(child.id()).expect("a pid fits");
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while procfs::binary(pid).is_some() {
            assert!(std::time::Instant::now() < end, "it does not end");
            std::thread::yield_now();
        }
    }

    #[test]
    fn links_and_other_things_are_left_alone() {
        let dir = Dir::new("link");
        let (path, target) = (dir.0.join("x.pid"), dir.0.join("target"));
        fs::write(&target, "precious").expect("a file");
        std::os::unix::fs::symlink(&target, &path).expect("a link");
        assert!(matches!(
            PidFile::claim(&path),
            Err(PidFileError::Write { .. })
        ));
        assert!(matches!(
            PidFile::claim(&dir.0),
            Err(PidFileError::Write { .. })
        ));
        let lost = dir.0.join("no/such.pid");
        assert!(matches!(
            PidFile::claim(&lost),
            Err(PidFileError::Write { .. })
        ));
        assert_eq!(fs::read_to_string(&target).expect("a file"), "precious");
    }

    #[test]
    fn a_file_that_is_no_longer_ours_stays() {
        let dir = Dir::new("theirs");
        let path = dir.0.join("x.pid");
        let file = held(&path);
        fs::remove_file(&path).expect("our file");
        fs::write(&path, "7\n").expect("their file");
        drop(file);
        assert_eq!(fs::read_to_string(&path).expect("their file"), "7\n");
    }

    #[test]
    fn of_many_that_start_at_once_exactly_one_wins() {
        let dir = Dir::new("race");
        for round in 0..50 {
            let path = dir.0.join(format!("{round}.pid"));
            if round % 2 == 0 {
                fs::write(&path, "1\n").expect("a stale file");
            }
            let start = std::sync::Barrier::new(4);
            let claims = std::thread::scope(|s| {
                let contend = || {
                    start.wait();
                    PidFile::claim(&path)
                };
                let threads: Vec<_> = (0..4).map(|_| s.spawn(contend)).collect();
                threads
                    .into_iter()
                    .map(|t| t.join().expect("no panic"))
                    .collect::<Vec<_>>()
            });
            assert_eq!(
                claims.iter().filter(|c| c.is_ok()).count(),
                1,
                "round {round}"
            );
        }
    }
}
