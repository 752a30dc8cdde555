//! Small files for a successor, in the run directory: replaced as a whole, and good only where they were written.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Puts `text` in the place of what is at `path`, all of it or nothing.
///
/// # Errors
/// As of files.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    // A file of that name was left by somebody who died while writing; a link is not followed but removed.
    let _ = fs::remove_file(&draft);
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(&draft)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&draft, path)
}

/// This boot, and the network namespace of the calling thread, as a line.
pub(crate) fn place() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let ns = fs::metadata("/proc/thread-self/ns/net").map_or(0, |about| about.ino());
    format!("place {} {ns}", boot.trim())
}
