//! From a configured command to a running process, for every script that the daemon runs.
//!
//! Source: keepalived.conf(5), "Scripts and users".

use std::ffi::OsStr;

use crate::model::track::Command;
use crate::sys::privs::Credentials;
use crate::sys::process::{Child, ProcessError, Program};

/// Starts `command` with `appended` after its own arguments. Never waits. Must be called inside a runtime.
///
/// # Errors
/// When there is no process to be had; that the command cannot be executed is told by the child's end.
pub(crate) fn start(command: &Command, appended: &[&str]) -> Result<Child, ProcessError> {
    let own = command.argv.iter().map(OsStr::new);
    let argv = own.chain(appended.iter().map(OsStr::new));
    let credentials = command.user.as_ref().map(|user| Credentials {
        uid: user.uid,
        gid: user.gid,
        groups: user.groups.clone(),
    });
    Program::new(&command.path, argv, credentials)?.start()
}
