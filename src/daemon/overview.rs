//! `keepalived-rs status`: asks the daemon how everything is.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::outcome::UNANSWERED;
use super::question::{self, Kind, Question};
use crate::dump::status::Status;

/// There is something that somebody should look at.
const TROUBLE: u8 = 1;
/// The first line of an answer.
const WELL: &str = "well";

/// The daemon's side.
#[derive(Debug)]
pub(super) struct Overview {
    question: Question,
}

impl Overview {
    pub(super) fn new(pid_file: &Path) -> Self {
        Self {
            question: Question::new(Kind::Status, pid_file),
        }
    }

    /// Whether somebody wants to know.
    pub(super) fn asked(&self) -> bool {
        self.question.asked()
    }

    pub(super) fn answer(&self, status: &Status) {
        let verdict = if status.well { WELL } else { "trouble" };
        self.question.answer(&format!("{verdict}\n{}", status.text));
    }
}

/// The side of the command line: returns the exit code.
pub(crate) fn ask(pid_file: &Path, patience: Duration) -> u8 {
    match question::ask(Kind::Status, pid_file, patience) {
        Ok(text) => {
            let (verdict, text) = text.split_once('\n').unwrap_or((&text, ""));
            // It may be closed; the exit code says the rest.
            _ = io::stdout().write_all(text.as_bytes());
            if verdict == WELL { 0 } else { TROUBLE }
        }
        Err(e) => {
            _ = writeln!(io::stderr(), "{}: {e}", pid_file.display());
            UNANSWERED
        }
    }
}
