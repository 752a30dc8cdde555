//! keepalived-rs: VRRP failover, tracking and LVS health checking; a drop-in replacement for keepalived.
//!
//! ```text
//! keepalived.conf ─► config ─► model ─ diff ─► Command ─► each task       daemon: signals, reload, notify, reaping
//!    ┌─────────┐ TrackerUpdate ┌──────────┐ VrrpUpdate ┌─────────┐
//!    │  track  │ ────────────► │   vrrp   │ ─────────► │   lvs   │        every task ── Notice ──► daemon ─► notify
//!    └─────────┘               └──────────┘            └─────────┘
//!  scripts, interfaces     raw IP 112, addresses     checks, quorum, IPVS
//! ```
//!
//! Three tasks, each the only owner of its state, joined by bounded channels (`daemon/bus.rs`). Each is a loop around
//! pure cores that know no clock, no socket and no kernel. What always holds:
//!
//! - Nothing delays an advertisement: the VRRP task has a thread and a runtime of its own and waits for nobody, not
//!   for the log, not for a script, not for the other tasks.
//! - What the kernel holds of ours has one writer per kind, which compares what is desired with what it owns. A
//!   transition, a reload, a lost interface and a stop all end in that comparison.
//! - A configuration takes effect as a whole or not at all. Start is a reload from nothing, stop a reload to nothing.
//! - A task that dies withdraws what it owns; the others are stopped, and the process ends with exit code 70.

mod check;
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

use crate::cli::{Asked, Cli, Task};
use crate::daemon::{signals, version};
use crate::lvs::checker::genhash;

/// Wipes what is given back while a configuration with keys in it is read.
#[global_allocator]
static ALLOCATOR: sys::wipe::Wiping = sys::wipe::Wiping;

fn main() -> ExitCode {
    // Before anything else: a daemon that was just started must not die of a SIGHUP.
    sys::startup::hold_signals();
    let words: Vec<String> = std::env::args_os()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let Cli {
        task,
        options,
        complaints,
        operands,
    } = cli::parse(words.iter().cloned());
    if !matches!(task, Task::Run) {
        _ = sys::startup::release_signals(); // cannot fail; what only says something is to be interrupted as usual
    }
    complaints.iter().for_each(|line| complain(line));
    if !operands.is_empty() {
        say(&format!("Unexpected argument(s): {} ", operands.join(" ")));
    }
    ExitCode::from(match task {
        Task::Run => daemon::run(&options, &words),
        Task::TestConfig(file) => daemon::check::run(&options, file.as_deref()),
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
        Task::Adopt => daemon::adopt::run(&options),
        Task::Genhash => {
            let (name, words) = cli::genhash_words(&words);
            genhash::run(&name, words)
        }
        Task::Check(options) => check::run(&options),
        Task::CheckUsage(usage) => {
            if usage.asked {
                say(usage.text.trim_end());
                0
            } else {
                complain(usage.text.trim_end());
                check::NOTHING_CHECKED
            }
        }
        Task::Ask(options) => {
            let pid_file = options.pid_file.unwrap_or_else(|| daemon::PID_FILE.into());
            match options.asked {
                Asked::Reload => daemon::outcome::ask(&pid_file, options.patience),
                Asked::Status => daemon::overview::ask(&pid_file, options.patience),
            }
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
