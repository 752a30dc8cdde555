//! An instant in a file that outlives the process without a system call: a page of the file is mapped, and storing a number
//! there is all it takes. Whatever ends the process, the page belongs to the file.
//!
//! The page must never wait for a disk, so it lies in memory in any case: where its directory does not, elsewhere ([`in_memory`]).
//!
//! The instant is one of `CLOCK_BOOTTIME`, which stands still at no suspend and is nobody's to set. Source: mmap(2),
//! clock_gettime(2).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

/// Length of the file in octets: one number, native byte order, microseconds.
const LENGTH: usize = size_of::<u64>();

/// A file system in memory that is there nearly everywhere.
const MEMORY: &str = "/dev/shm";

/// Where a file that is meant for `path` lies: there, or in memory under a name of its own, should `path` be on a disk. Whoever
/// writes there may have to wait for others who write, for as long as the disk takes: also for storing to a mapped page.
pub(crate) fn in_memory(path: &Path) -> PathBuf {
    let volatile = |dir: &Path| {
        let kind = statfs(dir).map(|fs| fs.filesystem_type());
        kind == Ok(TMPFS_MAGIC)
    };
    let dir = path.parent().unwrap_or(path);
    let other = Path::new(MEMORY);
    if volatile(dir) || !volatile(other) {
        return path.to_owned();
    }
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mut name = std::ffi::OsString::from("keepalived-rs");
    for part in dir
        .join(path.file_name().unwrap_or_default())
        .iter()
        .skip(1)
    {
        name.push("-");
        name.push(part);
    }
    other.join(name)
}

/// See the module. The file stays when this goes.
#[derive(Debug)]
pub(crate) struct Heartbeat(NonNull<AtomicU64>);

// SAFETY: the mapping belongs to this value alone, and what is in it is atomic.
unsafe impl Send for Heartbeat {}

impl Heartbeat {
    /// Opens the file, or makes it; what it says stays until the first [`Heartbeat::beat`].
    ///
    /// # Errors
    /// As of files; a link at `path` is not followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path)?;
        if !is_ours(&file)? {
            return Err(io::Error::other("not a regular file of ours"));
        }
        file.set_len(LENGTH as u64)?;
        let length = NonZeroUsize::new(LENGTH).expect("eight is not zero");
        let flags = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other; the file is long enough.
        let page = unsafe { mmap(None, length, flags, MapFlags::MAP_SHARED, &file, 0) }?;
        Ok(Self(page.cast()))
    }

    /// Alive now.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(since_boot().as_micros()).unwrap_or(u64::MAX);
        // SAFETY: the mapping lives as long as `self`, begins at a page and is long enough for the number.
        unsafe { self.0.as_ref() }.store(now, Ordering::Relaxed);
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length and nobody looks at it any more.
        let _ = unsafe { munmap(self.0.cast(), LENGTH) };
    }
}

/// How long ago the last beat was; `None`: there is none, or it is not of this boot.
pub(crate) fn age(path: &Path) -> Option<Duration> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path);
    let mut octets = [0; LENGTH];
    let mut file = file.ok().filter(|file| is_ours(file).unwrap_or(false))?;
    file.read_exact(&mut octets).ok()?;
    match u64::from_ne_bytes(octets) {
        0 => None,
        micros => since_boot().checked_sub(Duration::from_micros(micros)),
    }
}

/// Where everybody may make files, one may be somebody else's.
fn is_ours(file: &File) -> io::Result<bool> {
    let about = file.metadata()?;
    Ok(about.is_file() && about.uid() == nix::unistd::geteuid().as_raw())
}

fn since_boot() -> Duration {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid place for a timespec. The call cannot fail: the clock exists and the pointer is good.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut ts) };
    let secs = u64::try_from(ts.tv_sec).unwrap_or(0);
    Duration::new(secs, u32::try_from(ts.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_read_by_whoever_comes_after() {
        let name = format!("keepalived-rs-heartbeat-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        assert_eq!(age(&path), None);
        let heart = Heartbeat::open(&path).expect("a file of ours");
        assert_eq!(age(&path), None);
        heart.beat();
        drop(heart);
        assert!(age(&path).is_some_and(|age| age < Duration::from_secs(60)));
        let again = Heartbeat::open(&path).expect("a file of ours");
        assert!(age(&path).is_some(), "opening it is no beat");
        drop(again);
        std::fs::write(&path, u64::MAX.to_ne_bytes()).expect("writable");
        assert_eq!(age(&path), None, "an instant to come is of another boot");
        std::fs::remove_file(&path).expect("ours");
        std::os::unix::fs::symlink("/dev/null", &path).expect("writable");
        assert!(Heartbeat::open(&path).is_err());
        std::fs::remove_file(&path).expect("ours");
    }

    #[test]
    fn a_file_on_a_disk_is_kept_in_memory_instead() {
        let [run, shm] = ["/dev/shm/vrrp.alive", "/proc/vrrp.alive"].map(Path::new);
        assert_eq!(in_memory(run), run);
        let other = in_memory(shm);
        let there = Path::new("/dev/shm/keepalived-rs-proc-vrrp.alive");
        assert!(other == there || other == shm, "{}", other.display());
    }
}
