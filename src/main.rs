//! keepalived-rs: VRRP failover, tracking and LVS health checking; a drop-in replacement for keepalived.
#![allow(dead_code, reason = "the parts are being put together")]

mod cli;
mod config;
mod daemon;
mod dump;
mod lvs;
mod model;
mod notify;
mod reconcile;
mod sys;
mod time;
mod track;
mod vrrp;
mod wire;

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::cli::{Cli, Task};
use crate::daemon::{check, signals, version};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let Cli {
        task,
        options,
        complaints,
        operands,
    } = cli::parse(words.iter().cloned());
    complaints.iter().for_each(|line| complain(line));
    if !operands.is_empty() {
        say(&format!("Unexpected argument(s): {} ", operands.join(" ")));
    }
    ExitCode::from(match task {
        Task::Run => daemon::run(&options, &words),
        Task::TestConfig(file) => check::run(&options, file.as_deref()),
        Task::Version => {
            complain(version::text().trim_end());
            0
        }
        Task::Help => {
            complain(cli::HELP.trim_end());
            0
        }
        Task::Signum(name) => match signals::number(&name) {
            Some(number) => {
                say(&number.to_string());
                0
            }
            None => {
                complain(&format!("Unknown sigfunc {name}"));
                1
            }
        },
        Task::Genhash => {
            complain("genhash is not there yet: it comes with HTTP_GET and its digests");
            1
        }
        Task::Fail => 1,
    })
}

/// A line on standard output, which may be closed.
fn say(line: &str) {
    _ = writeln!(io::stdout(), "{line}");
}

/// A line on standard error, which may be closed.
fn complain(line: &str) {
    _ = writeln!(io::stderr(), "{line}");
}
