//! The timeline: coloured, with a line of state at the bottom on a terminal; plain text when piped.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

use crate::lab::daemon::now;

/// What a line is about; decides its mark and its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// We do something to a router.
    Deed,
    Master,
    Backup,
    Fault,
    Advert,
    Resign,
    Announce,
    Address,
    Good,
    Bad,
}

impl Kind {
    fn mark(self) -> &'static str {
        match self {
            Self::Deed => "►",
            Self::Master | Self::Backup | Self::Fault => "●",
            Self::Advert | Self::Resign => "→",
            Self::Announce => "⇒",
            Self::Address => "◆",
            Self::Good => "✓",
            Self::Bad => "✗",
        }
    }

    /// SGR parameters.
    fn colour(self) -> &'static str {
        match self {
            Self::Deed => "1;35",
            Self::Master => "1;32",
            Self::Backup => "1;34",
            Self::Fault | Self::Bad => "1;31",
            Self::Advert => "2",
            Self::Resign => "33",
            Self::Announce => "36",
            Self::Address | Self::Good => "32",
        }
    }
}

pub(crate) struct Screen {
    terminal: bool,
    start: u64,
    /// The line at the bottom; a writer holds it, so that lines never mix.
    status: Mutex<String>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some()
            || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let terminal = std::io::stdout().is_terminal() && !plain;
        Self {
            terminal,
            start: now(),
            status: Mutex::new(String::new()),
        }
    }

    /// One event of the timeline.
    pub(crate) fn event(&self, at: u64, who: &str, kind: Kind, text: &str) {
        let since = at.saturating_sub(self.start) / 1_000_000;
        let time = format!("{:>3}.{:03}", since / 1000, since % 1000);
        let line = format!(
            "{time}  {who:<6} {}",
            self.paint(kind.colour(), &format!("{} {text}", kind.mark()))
        );
        self.print(&line);
    }

    /// A line as it is.
    pub(crate) fn print(&self, line: &str) {
        let status = self.status.lock().unwrap_or_else(|e| e.into_inner());
        let mut out = std::io::stdout().lock();
        let _ = if self.terminal {
            write!(out, "\r\x1b[K{line}\n{status}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }

    /// Replaces the line at the bottom; there is none when piped.
    pub(crate) fn status(&self, text: &str) {
        let mut status = self.status.lock().unwrap_or_else(|e| e.into_inner());
        if self.terminal && *status != text {
            text.clone_into(&mut status);
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\r\x1b[K{status}").and_then(|()| out.flush());
        }
    }

    pub(crate) fn paint(&self, colour: &str, text: &str) -> String {
        if self.terminal {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
