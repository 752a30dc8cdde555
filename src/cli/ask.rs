//! The options of `keepalived-rs reload` and `keepalived-rs status`, which stock keepalived does not have.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, Command, value_parser};

use super::check::Usage;

/// What the running daemon is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `reload`: to read its configuration again.
    Reload,
    /// `status`: how everything is.
    Status,
}

impl Asked {
    /// By the first word of the command line.
    pub(super) fn named(word: &str) -> Option<Self> {
        match word {
            "reload" => Some(Self::Reload),
            "status" => Some(Self::Status),
            _ => None,
        }
    }

    pub(super) fn command(self) -> Command {
        let (name, about, after, patience) = match self {
            Self::Reload => (
                "keepalived-rs reload",
                "Have the running daemon read its configuration again, and wait for the outcome.",
                "Exit status: 0 it is in force, 1 it was refused and the old one stays, 2 nobody answered.",
                "60",
            ),
            Self::Status => (
                "keepalived-rs status",
                "Show how the running daemon's instances, trackers and virtual servers are.",
                "Exit status: 0 all is well, 1 a line begins with '!', 2 nobody answered.",
                "5",
            ),
        };
        Command::new(name)
            .about(about)
            .after_help(after)
            .no_binary_name(true)
            .arg(
                Arg::new("pid")
                    .short('p')
                    .long("pid")
                    .value_name("FILE")
                    .help("Pid file of the daemon [/run/keepalived.pid]"),
            )
            .arg(
                Arg::new("timeout")
                    .long("timeout")
                    .value_name("SECONDS")
                    .default_value(patience)
                    .value_parser(value_parser!(u32))
                    .help("How long to wait"),
            )
    }
}

/// Whom to ask what, and how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskOptions {
    pub(crate) asked: Asked,
    /// `None`: the usual one.
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) patience: Duration,
}

/// Reads the words behind the first.
///
/// # Errors
/// When there is nothing to do: `--help`, or a mistake.
pub(super) fn parse(
    asked: Asked,
    words: impl IntoIterator<Item = String>,
) -> Result<AskOptions, Usage> {
    let matches = asked
        .command()
        .try_get_matches_from(words)
        .map_err(|e| Usage {
            asked: e.kind() == ErrorKind::DisplayHelp,
            text: e.to_string(),
        })?;
    let seconds = matches.get_one::<u32>("timeout").copied();
    Ok(AskOptions {
        asked,
        pid_file: matches.get_one::<String>("pid").map(PathBuf::from),
        patience: Duration::from_secs(seconds.unwrap_or_default().into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_daemon_is_asked_and_waited_for() {
        for (asked, patience) in [(Asked::Reload, 60), (Asked::Status, 5)] {
            asked.command().debug_assert();
            let of = |line: &str| parse(asked, line.split_whitespace().map(str::to_owned));
            let plain = of("").expect("valid");
            assert_eq!(plain.pid_file, None);
            assert_eq!(plain.patience, Duration::from_secs(patience));
            let other = of("-p /run/x.pid --timeout=7").expect("valid");
            assert_eq!(other.pid_file, Some("/run/x.pid".into()));
            assert_eq!(other.patience, Duration::from_secs(7));
            assert!(of("--help").expect_err("help").asked);
            assert!(!of("now").expect_err("a mistake").asked);
        }
    }
}
