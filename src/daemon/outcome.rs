//! `keepalived-rs reload`: asks the daemon for a reload and tells what became of it.
//!
//! Whoever asks makes an empty file beside the pid file, sends SIGHUP and waits until the daemon has put the outcome in
//! its place; a daemon that is asked by SIGHUP alone writes nothing. A file that was there when reading began is
//! answered by that reload, so the answer is never that of an earlier one.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::dumpfile;

/// The configuration was refused, or a part of the daemon did not take it.
const REFUSED: u8 = 1;
/// Nobody was there to ask, or nobody answered.
const UNANSWERED: u8 = 2;
/// Between looks at the file.
const LOOK: Duration = Duration::from_millis(20);
/// The first line of an outcome.
const TAKEN: &str = "taken";

/// Beside the pid file.
fn path(pid_file: &Path) -> PathBuf {
    pid_file.with_extension("outcome")
}

/// The daemon's side.
#[derive(Debug)]
pub(super) struct Answer {
    path: PathBuf,
    /// Somebody waits for the reload that is under way.
    asked: bool,
}

impl Answer {
    pub(super) fn new(pid_file: &Path) -> Self {
        Self {
            path: path(pid_file),
            asked: false,
        }
    }

    /// Reading begins.
    pub(super) fn begin(&mut self) {
        // A link is nobody's question.
        self.asked = fs::symlink_metadata(&self.path).is_ok_and(|about| about.is_file());
    }

    /// The reload is over.
    pub(super) fn end(&mut self, taken: bool, findings: &[String]) {
        if !std::mem::take(&mut self.asked) {
            return;
        }
        let verdict = if taken { TAKEN } else { "refused" };
        let mut text = format!("{verdict}\n");
        for line in findings {
            text += &format!("{}\n", line.replace(char::is_control, " "));
        }
        let (dir, name) = (
            self.path.parent(),
            self.path.file_name().and_then(|n| n.to_str()),
        );
        if let (Some(dir), Some(name)) = (dir, name)
            && let Err(e) = dumpfile::write(dir, name, &text)
        {
            tracing::warn!(reason = %e, "Unable to tell what became of the reload");
        }
    }
}

/// The side of the command line: returns the exit code.
pub(crate) fn ask(pid_file: &Path, patience: Duration) -> u8 {
    match try_ask(pid_file, patience) {
        Ok(text) => {
            let (verdict, findings) = text.split_once('\n').unwrap_or((&text, ""));
            let taken = verdict == TAKEN;
            // Both may be closed; the exit code says the rest.
            _ = io::stderr().write_all(findings.as_bytes());
            _ = match taken {
                true => writeln!(io::stdout(), "The configuration is in force"),
                false => writeln!(
                    io::stderr(),
                    "Reload refused, the old configuration stays in force"
                ),
            };
            if taken { 0 } else { REFUSED }
        }
        Err(e) => {
            _ = writeln!(io::stderr(), "{}: {e}", pid_file.display());
            UNANSWERED
        }
    }
}

fn try_ask(pid_file: &Path, patience: Duration) -> io::Result<String> {
    let text = fs::read_to_string(pid_file)?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 1);
    let pid = pid.ok_or_else(|| io::Error::other("holds no number of a process"))?;
    let question = path(pid_file);
    _ = fs::remove_file(&question); // of somebody who went away
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(&question)?;
    let pid = nix::unistd::Pid::from_raw(pid);
    let sent = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP);
    let answer = sent.map_err(io::Error::from).and_then(|()| {
        let end = Instant::now() + patience;
        loop {
            let answer = fs::read_to_string(&question)?;
            // It is put there whole.
            if !answer.is_empty() {
                return Ok(answer);
            }
            if nix::sys::signal::kill(pid, None).is_err() {
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
