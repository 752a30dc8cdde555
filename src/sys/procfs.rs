//! Processes as /proc shows them. Source: proc(5).

use std::fs::{self, File};
use std::io::Read as _;

/// Longest command line that is looked at; the rest cannot be matched.
const WORDS_MAX: u64 = 65536;

/// The numbers of all processes that can be seen. May take milliseconds where there are thousands.
pub(crate) fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().to_str()?.parse().ok());
    names.collect()
}

/// The name that the kernel keeps of a process, at most 15 octets; empty if it is gone.
pub(crate) fn name(pid: i32) -> Vec<u8> {
    let mut name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    if name.last() == Some(&b'\n') {
        name.pop();
    }
    name
}

/// The name of the file that it runs, without its directory; `None` if it is gone or has ended and nobody took notice.
pub(crate) fn binary(pid: i32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    // A package that is replaced deletes the file under the process.
    Some(name.trim_end_matches(" (deleted)").to_owned())
}

/// Who started it; `None` if it is gone.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may contain anything, brackets too.
    let (_, after) = stat.rsplit_once(") ")?;
    after.split_whitespace().nth(1)?.parse().ok()
}

/// The words of its command line; none if it is gone or a kernel thread. A process that is stuck in the kernel can make
/// this wait.
pub(crate) fn words(pid: i32) -> Vec<Vec<u8>> {
    let mut line = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline"));
    let read = file.and_then(|f| f.take(WORDS_MAX).read_to_end(&mut line));
    if read.is_err() || line.is_empty() {
        return Vec::new();
    }
    if line.last() == Some(&0) {
        line.pop();
    }
    line.split(|octet| *octet == 0)
        .map(<[u8]>::to_vec)
        .collect()
}
