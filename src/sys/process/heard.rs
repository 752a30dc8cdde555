//! What a child says: everything is read, so that it never waits, and the end of it is kept.
//!
//! Source: pipe(7).

use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};

use crate::sys::fd::WatchedFd;

/// Octets that are kept.
const KEPT: usize = 256;
/// Octets that are read at once, and how often at most before others have their turn: a whole pipe.
const PIECE: usize = 16 * 1024;
const PIECES: usize = 4;

/// Our end of the pipe that is a child's standard output and error.
#[derive(Debug)]
pub(super) struct Heard {
    fd: WatchedFd,
    end: Mutex<End>,
}

/// The last octets.
#[derive(Debug, Default)]
struct End {
    octets: Vec<u8>,
    /// Nobody can say anything any more.
    closed: bool,
}

impl End {
    fn push(&mut self, piece: &[u8]) {
        let piece = &piece[piece.len().saturating_sub(KEPT)..];
        self.octets.extend_from_slice(piece);
        let old = self.octets.len().saturating_sub(KEPT);
        self.octets.drain(..old);
    }

    fn last_line(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.octets);
        let line = text.lines().map(str::trim).rfind(|l| !l.is_empty())?;
        Some(line.chars().filter(|c| !c.is_control()).collect())
    }
}

impl Heard {
    /// Our end, and that of the child. Must be called inside a runtime.
    ///
    /// # Errors
    /// Out of descriptors.
    pub(super) fn open() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        // Ours only: a program does not expect that writing can fail for want of room.
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let fd = WatchedFd::readable_only(ours)?;
        let end = Mutex::default();
        Ok((Self { fd, end }, theirs))
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what there is, but not for ever. True: there may be more.
    fn hear(&self) -> bool {
        let mut piece = [0; PIECE];
        for _ in 0..PIECES {
            match self.fd.read(|fd| Ok(read(fd, &mut piece)?)) {
                Ok(0) => {
                    self.end().closed = true;
                    return false;
                }
                Ok(n) => self.end().push(piece.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.end().closed = true;
                    return false;
                }
            }
        }
        true
    }

    pub(super) fn last_line(&self) -> Option<String> {
        self.hear();
        self.end().last_line()
    }

    /// The descriptor, if somebody can still say something.
    pub(super) fn rest(self) -> Option<OwnedFd> {
        self.hear();
        let open = !self.end().closed;
        open.then(|| self.fd.as_fd().try_clone_to_owned().ok())
            .flatten()
    }
}

/// Hears the next piece; waits for ever when there is nobody to hear. Cancel safe.
pub(super) async fn listen(heard: Option<&Heard>) {
    match heard {
        Some(heard) if !heard.end().closed => {
            if heard.fd.readable().await.is_err() {
                heard.end().closed = true;
            } else if heard.hear() {
                tokio::task::yield_now().await;
            }
        }
        Some(_) | None => pending().await,
    }
}

/// Reads what was said meanwhile. False: nobody can say anything any more.
pub(super) fn swallow(fd: &OwnedFd) -> bool {
    let mut piece = [0; PIECE];
    // Once more than a pipe holds, to see its end.
    for _ in 0..=PIECES {
        match read(fd, &mut piece) {
            Ok(0) => return false,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return e == nix::errno::Errno::EAGAIN,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_last_that_says_something() {
        let said = |pieces: &[&str]| {
            let mut end = End::default();
            pieces.iter().for_each(|p| end.push(p.as_bytes()));
            end.last_line()
        };
        assert_eq!(said(&[]), None);
        assert_eq!(said(&["\n \n"]), None);
        assert_eq!(said(&["one\ntw", "o\n\n"]).as_deref(), Some("two"));
        assert_eq!(
            said(&["no line feed\u{1b}[0m"]).as_deref(),
            Some("no line feed[0m")
        );
        let long = "x".repeat(10 * KEPT);
        assert_eq!(said(&[&long]).map(|l| l.len()), Some(KEPT));
        assert_eq!(said(&[&long, "\nend\n"]).as_deref(), Some("end"));
    }
}
