//! `startup_script` and `shutdown_script`: one run, waited for.
//!
//! The daemon goes on whatever becomes of it. Source: keepalived.conf(5), `startup_script`.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::model::notify::Lifecycle;
use crate::sys::process::{Children, Signal};
use crate::track::command::{self, Outcome};
use crate::track::run::{KILL_GRACE, TERM_GRACE};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Startup,
    Shutdown,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "startup",
            Self::Shutdown => "shutdown",
        })
    }
}

/// Runs it and waits for its end; past its time its group is ended. Dropping this ends it at once.
pub(crate) async fn run(moment: Moment, lifecycle: &Lifecycle) {
    let command = &lifecycle.script.command;
    debug!("Running {moment} script {}", command.path.display());
    let mut children = Children::default();
    children.insert((), command::start(command, &[]));
    let steps: [(Duration, Option<Signal>); 3] = [
        (lifecycle.timeout, Some(Signal::Term)),
        (TERM_GRACE, Some(Signal::Kill)),
        (KILL_GRACE, None),
    ];
    let mut timed_out = false;
    for (patience, then) in steps {
        if let Ok(((), end)) = timeout(patience, children.next()).await {
            if timed_out {
                let _ = children.signal((), Signal::Kill); // what is left of its group
            }
            return say(moment, command::outcome(end));
        }
        timed_out = true;
        if let Some(signal) = then {
            warn!("{moment} script takes too long and is ended");
            if let Err(e) = children.signal((), signal) {
                warn!(err = %e, "cannot end a script");
            }
        }
    }
    warn!("{moment} script does not die by SIGKILL, going on without it");
}

/// In keepalived's words, the doubled one included.
fn say(moment: Moment, outcome: (Outcome, Option<String>)) {
    match outcome {
        (_, Some(reason)) => warn!(err = %reason, "{moment} script cannot be run"),
        (Outcome::Status(0), None) => debug!("{moment} script script succeeded"),
        (Outcome::Status(n), None) => info!("{moment} script script failed, status {n}"),
        (Outcome::Signal(n), None) => info!("{moment} script script killed by signal {n}"),
    }
}
