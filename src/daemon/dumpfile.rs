//! Writes the dump files: whole before anybody can see them, never through a link, mode 0666 less the umask.
//!
//! Readers wait for the name to come, for a new time, or for the event "closed after writing" on the very name, so all
//! three happen each time. Source: keepalived(8), inotify(7).

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where the dump files go: `TMPDIR` when it is an absolute path of a directory, else /tmp.
pub(crate) fn directory(tmpdir: Option<OsString>) -> PathBuf {
    let wanted = tmpdir.map(PathBuf::from);
    let usable = wanted.filter(|dir| dir.is_absolute() && dir.is_dir());
    usable.unwrap_or_else(|| "/tmp".into())
}

/// Replaces `name` in `dir`.
///
/// # Errors
/// Permissions, a full disk. The old file is as it was then.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let draft = dir.join(format!("{name}.{:06}", std::process::id()));
    _ = fs::remove_file(&draft); // of a process of the same number that was killed in this very place
    let written = fill(&draft, text).and_then(|()| fs::rename(&draft, dir.join(name)));
    if written.is_err() {
        _ = fs::remove_file(&draft); // it may never have come into being
    }
    written?;
    // Opened for writing and closed: the event that some readers wait for.
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(dir.join(name))
        .map(drop)
}

fn fill(draft: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o666);
    options.open(draft)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_replaced_not_followed() {
        let dir = std::env::temp_dir().join(format!("ka-dump-{}", std::process::id()));
        fs::create_dir(&dir).expect("a new directory");
        let precious = dir.join("precious");
        fs::write(&precious, "old").expect("a file");
        std::os::unix::fs::symlink(&precious, dir.join("keepalived.data")).expect("a link");
        write(&dir, "keepalived.data", "new").expect("room for a file");
        let read = |name: &str| fs::read_to_string(dir.join(name)).expect("a file");
        assert_eq!(
            (read("precious"), read("keepalived.data")),
            ("old".into(), "new".into())
        );
        assert_eq!(fs::read_dir(&dir).expect("a directory").count(), 2);
        fs::remove_dir_all(&dir).expect("our directory");
    }

    #[test]
    fn an_odd_tmpdir_is_ignored() {
        assert_eq!(directory(Some("relative".into())), Path::new("/tmp"));
        assert_eq!(directory(Some("/proc".into())), Path::new("/proc"));
        assert_eq!(directory(None), Path::new("/tmp"));
    }
}
