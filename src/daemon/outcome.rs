//! `keepalived-rs reload`: asks the daemon for a reload and tells what became of it.
//!
//! A question that was there when reading began is answered by that reload, so the answer is never that of an earlier
//! one. A daemon that is asked by SIGHUP alone writes nothing.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::question::{self, Kind, Question};

/// The configuration was refused, or a part of the daemon did not take it.
const REFUSED: u8 = 1;
/// Nobody was there to ask, or nobody answered.
pub(super) const UNANSWERED: u8 = 2;
/// The first line of an outcome.
const TAKEN: &str = "taken";

/// The daemon's side.
#[derive(Debug)]
pub(super) struct Answer {
    question: Question,
    /// Somebody waits for the reload that is under way.
    asked: bool,
}

impl Answer {
    pub(super) fn new(pid_file: &Path) -> Self {
        Self {
            question: Question::new(Kind::Reload, pid_file),
            asked: false,
        }
    }

    /// Reading begins.
    pub(super) fn begin(&mut self) {
        self.asked = self.question.asked();
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
        self.question.answer(&text);
    }
}

/// The side of the command line: returns the exit code.
pub(crate) fn ask(pid_file: &Path, patience: Duration) -> u8 {
    match question::ask(Kind::Reload, pid_file, patience) {
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
