//! From a configured command to a running process and its exit status, for every script that the daemon runs.
//!
//! Source: keepalived.conf(5), "Scripts and users".

use std::ffi::OsStr;
use std::io;

use crate::model::track::Command;
use crate::sys::privs::Credentials;
use crate::sys::process::{Child, End, Ended, ProcessError, Program};

/// Exit status that stands for a command that is there and cannot be run, as in shells.
const NOT_EXECUTABLE: i32 = 126;
/// Exit status that stands for a command that is not there, as in shells.
const NOT_FOUND: i32 = 127;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit status; also 126 (cannot be run) and 127 (not there) for what was not run.
    // keepalived: a failed exec exits with 0 and counts as a success.
    Status(i32),
    /// Killed by a signal.
    Signal(i32),
}

/// Starts `command` with `appended` after its own arguments; what it says goes nowhere. Never waits. Must be called inside
/// a runtime.
///
/// # Errors
/// When there is no process to be had; that the command cannot be executed is told by the child's end.
pub(crate) fn start(command: &Command, appended: &[&str]) -> Result<Child, ProcessError> {
    program(command, appended)?.start()
}

/// As [`start`], and keeps the last line that it says.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_heard(command: &Command) -> Result<Child, ProcessError> {
    program(command, &[])?.heard().start()
}

fn program(command: &Command, appended: &[&str]) -> Result<Program, ProcessError> {
    let own = command.argv.iter().map(OsStr::new);
    let argv = own.chain(appended.iter().map(OsStr::new));
    let credentials = command.user.as_ref().map(|user| Credentials {
        uid: user.uid,
        gid: user.gid,
        groups: user.groups.clone(),
    });
    Program::new(&command.path, argv, credentials)
}

/// What an end means, and for the operator the reason why the command was not run, if it was not.
pub(crate) fn outcome(end: End) -> (Outcome, Option<String>) {
    match end {
        Ok(Ended::Status(n)) => (Outcome::Status(n), None),
        Ok(Ended::Signal(n)) => (Outcome::Signal(n), None),
        Ok(Ended::NotRun { step, source }) => {
            let missing = source.kind() == io::ErrorKind::NotFound;
            let status = if missing { NOT_FOUND } else { NOT_EXECUTABLE };
            let reason = format!("{}: {source}", step.word());
            (Outcome::Status(status), Some(reason))
        }
        Ok(Ended::Unknown(e)) => (Outcome::Status(NOT_EXECUTABLE), Some(e.to_string())),
        Err(e) => (Outcome::Status(NOT_EXECUTABLE), Some(e.to_string())),
    }
}
