//! The options of `keepalived-rs reload`, which stock keepalived does not have.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, Command, value_parser};

use super::check::Usage;

/// Whom to ask, and how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReloadOptions {
    /// `None`: the usual one.
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) patience: Duration,
}

fn command() -> Command {
    Command::new("keepalived-rs reload")
        .about("Have the running daemon read its configuration again, and wait for the outcome.")
        .after_help(
            "Exit status: 0 it is in force, 1 it was refused and the old one stays, 2 nobody answered.",
        )
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
                .default_value("60")
                .value_parser(value_parser!(u32))
                .help("How long to wait"),
        )
}

/// Reads the words behind `reload`.
///
/// # Errors
/// When there is nothing to do: `--help`, or a mistake.
pub(super) fn parse(words: impl IntoIterator<Item = String>) -> Result<ReloadOptions, Usage> {
    let matches = command().try_get_matches_from(words).map_err(|e| Usage {
        asked: e.kind() == ErrorKind::DisplayHelp,
        text: e.to_string(),
    })?;
    let seconds = matches.get_one::<u32>("timeout").copied().unwrap_or(60);
    Ok(ReloadOptions {
        pid_file: matches.get_one::<String>("pid").map(PathBuf::from),
        patience: Duration::from_secs(seconds.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_a_minute_for_the_usual_daemon() {
        command().debug_assert();
        let of = |line: &str| parse(line.split_whitespace().map(str::to_owned));
        let plain = of("").expect("valid");
        assert_eq!(
            (plain.pid_file, plain.patience),
            (None, Duration::from_secs(60))
        );
        let other = of("-p /run/x.pid --timeout=5").expect("valid");
        assert_eq!(other.pid_file, Some("/run/x.pid".into()));
        assert_eq!(other.patience, Duration::from_secs(5));
        assert!(of("--help").expect_err("help").asked);
        assert!(!of("now").expect_err("a mistake").asked);
    }
}
