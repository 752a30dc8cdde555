//! One look at a file, which may take as long as its file system likes.
//!
//! Reads regular files only, and little of them. Source: keepalived's parsing of numbers, strtol(3), statfs(2).

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::sys::statfs::{
    AFS_SUPER_MAGIC, CODA_SUPER_MAGIC, FUSE_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, PROC_SUPER_MAGIC,
    SMB_SUPER_MAGIC, SYSFS_MAGIC, statfs,
};

use crate::model::track::InitFile;

/// File systems that change without inotify knowing: others write to them, or nobody does. 9p, CIFS, SMB 2, Ceph, OCFS2
/// and GFS2 have no names in nix.
const REMOTE: [FsType; 13] = [
    NFS_SUPER_MAGIC,
    SMB_SUPER_MAGIC,
    AFS_SUPER_MAGIC,
    CODA_SUPER_MAGIC,
    FUSE_SUPER_MAGIC,
    PROC_SUPER_MAGIC,
    SYSFS_MAGIC,
    FsType(0x0102_1997),
    FsType(0xff53_4d42),
    FsType(0xfe53_4d42),
    FsType(0x00c3_6400),
    FsType(0x7461_636f),
    FsType(0x0116_1970),
];
/// More digits than any number that matters has.
const HEAD: u64 = 128;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// 0 where there is no number.
    pub(super) value: i32,
    /// It is there, without content.
    pub(super) empty: bool,
    /// There is a directory in which the file could be.
    pub(super) directory: bool,
    /// It is on a file system of [`REMOTE`].
    pub(super) remote: bool,
    /// The file is a symbolic link.
    pub(super) link: bool,
}

pub(super) fn at(path: &Path) -> Look {
    let folder = super::folder(path);
    let kind = statfs(folder).ok().map(|s| s.filesystem_type());
    let head = head(path);
    Look {
        value: head.as_ref().map_or(0, |text| number(text)),
        empty: head.is_ok_and(|text| text.is_empty()),
        directory: folder.is_dir(),
        remote: kind.is_some_and(|k| REMOTE.contains(&k)),
        link: fs::symlink_metadata(path).is_ok_and(|f| f.is_symlink()),
    }
}

/// The beginning of a regular file.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = options.read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = Vec::new();
    file.take(HEAD).read_to_end(&mut text)?;
    Ok(text)
}

/// The whole number that `text` begins with, as C writes them: decimal, `0x` hexadecimal, `0` octal. 0 without one; what
/// does not fit is cut.
pub(super) fn number(text: &[u8]) -> i32 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16, rest)
        }
        [b'0', rest @ ..] => (8, rest),
        all => (10, all),
    };
    let digits = digits.iter().map_while(|d| char::from(*d).to_digit(radix));
    let size = digits.fold(0_i64, |sum, digit| {
        (sum * i64::from(radix) + i64::from(digit)).min(i64::from(i32::MAX) + 1)
    });
    let value = if negative { -size } else { size };
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Makes the file of `init_file`, mode 0666 less the umask; one that is there stays unless it is to be overwritten.
///
/// # Errors
/// Permissions; a link or anything else that is no regular file is not written to.
pub(super) fn init(path: &Path, init: InitFile) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    options.write(true).mode(0o666).custom_flags(flags);
    let made = options.create_new(true).open(path);
    let mut file = match made {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && init.overwrite => {
            let file = options.create_new(false).open(path)?;
            if !file.metadata()?.is_file() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            file.set_len(0)?;
            file
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    };
    writeln!(file, "{}", init.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_writes_them() {
        let of = |text: &str| number(text.as_bytes());
        assert_eq!(of("10\n"), 10);
        assert_eq!(of(" -5 and more"), -5);
        assert_eq!(of("0x1F"), 31);
        assert_eq!(of("010"), 8);
        assert_eq!(of("0x"), 0);
        assert_eq!(of(""), 0);
        assert_eq!(of("up"), 0);
        assert_eq!(of("99999999999999999999"), i32::MAX);
        assert_eq!(of("-99999999999999999999"), i32::MIN);
    }
}
