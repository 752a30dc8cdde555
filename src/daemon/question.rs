//! How another process asks the daemon something: a file beside the pid file, and a signal.
//!
//! Whoever asks makes an empty file, sends the signal and waits until the daemon has put its answer in that place, whole.
//! A daemon that gets the signal alone answers nobody. What was asked before somebody went away is answered to the next
//! one who asks the same, so each removes what it finds first.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::dumpfile;

/// Between looks at the file.
const LOOK: Duration = Duration::from_millis(20);

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What became of a reload.
    Reload,
    /// How everything is.
    Status,
}

impl Kind {
    fn path(self, pid_file: &Path) -> PathBuf {
        pid_file.with_extension(match self {
            Self::Reload => "outcome",
            Self::Status => "status",
        })
    }

    fn signal(self) -> Signal {
        match self {
            Self::Reload => Signal::SIGHUP,
            // Whoever else gets it by mistake ignores it.
            Self::Status => Signal::SIGURG,
        }
    }
}

/// The daemon's side.
#[derive(Debug)]
pub(super) struct Question {
    path: PathBuf,
}

impl Question {
    pub(super) fn new(kind: Kind, pid_file: &Path) -> Self {
        Self {
            path: kind.path(pid_file),
        }
    }

    /// Whether somebody waits for an answer.
    pub(super) fn asked(&self) -> bool {
        // A link is nobody's question; what is not empty is an answer that has not been fetched yet.
        fs::symlink_metadata(&self.path).is_ok_and(|about| about.is_file() && about.len() == 0)
    }

    /// `text`: not empty. Nothing is written when nobody waits any more.
    pub(super) fn answer(&self, text: &str) {
        if !self.asked() {
            return;
        }
        let (dir, name) = (
            self.path.parent(),
            self.path.file_name().and_then(|n| n.to_str()),
        );
        if let (Some(dir), Some(name)) = (dir, name)
            && let Err(e) = dumpfile::write(dir, name, text)
        {
            tracing::warn!(file = %self.path.display(), reason = %e, "Unable to answer");
        }
    }
}

/// The other side.
///
/// # Errors
/// No daemon, no right to ask it, no answer within `patience`.
pub(super) fn ask(kind: Kind, pid_file: &Path, patience: Duration) -> io::Result<String> {
    let text = fs::read_to_string(pid_file)?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 1);
    let pid = pid.ok_or_else(|| io::Error::other("holds no number of a process"))?;
    let pid = Pid::from_raw(pid);
    let question = kind.path(pid_file);
    _ = fs::remove_file(&question); // of somebody who went away
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(&question)?;
    let sent = kill(pid, kind.signal());
    let answer = sent.map_err(io::Error::from).and_then(|()| {
        let end = Instant::now() + patience;
        loop {
            let answer = fs::read_to_string(&question)?;
            // It is put there whole.
            if !answer.is_empty() {
                return Ok(answer);
            }
            if kill(pid, None).is_err() {
                return Err(io::Error::other("the daemon has ended"));
            }
            if Instant::now() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(LOOK);
        }
    });
    _ = fs::remove_file(&question); // gone already, perhaps
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_written_once_and_only_for_who_waits() {
        let dir = std::env::temp_dir().join(format!("ka-question-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let pid_file = dir.join("keepalived.pid");
        let path = Kind::Reload.path(&pid_file);
        let question = Question::new(Kind::Reload, &pid_file);
        let at = || fs::read_to_string(&path).ok();

        assert!(!question.asked());
        question.answer("for nobody");
        assert_eq!(at(), None);

        fs::write(&path, "").expect("a question");
        assert!(question.asked());
        question.answer("first");
        assert_eq!(at().as_deref(), Some("first"));
        // The next reload begins before it is fetched.
        assert!(!question.asked());
        question.answer("second");
        assert_eq!(at().as_deref(), Some("first"));

        fs::remove_dir_all(&dir).expect("ours");
    }
}
