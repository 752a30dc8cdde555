//! The process: start, reload and stop are one path; signals, notifications, pid files.
//!
//! Nothing here ever makes the VRRP task wait. Source: keepalived(8).

pub(crate) mod adopt;
pub(crate) mod bus;
pub(crate) mod check;
mod claims;
mod dumpfile;
mod dumps;
pub(crate) mod host;
mod identity;
mod interfaces;
mod life;
mod logging;
pub(crate) mod outcome;
pub(crate) mod overview;
mod pidfile;
mod place;
mod question;
mod reload;
mod reload_time;
mod rows;
mod run;
pub(crate) mod signals;
mod status;
mod supervise;
mod systemd;
mod tasks;
mod tidy;
pub(crate) mod version;

use crate::cli::Options;
use crate::config::LoadOptions;
pub(crate) use run::run;

/// keepalived's file mode creation mask.
const UMASK: u32 = 0o177;
/// Where the pid file is unless something else says so.
pub(crate) const PID_FILE: &str = "/run/keepalived.pid";
/// Exit code where keepalived leaves without an error: another daemon runs, no pid file, no such namespace.
const GONE: u8 = 0;

/// What the command line says about the configuration.
fn load_options(options: &Options) -> LoadOptions {
    let default = LoadOptions::default();
    LoadOptions {
        path: options.config_file.clone().unwrap_or(default.path),
        config_id: options.config_id.clone(),
        in_namespace: options.namespace.is_some(),
        strict_includes: options.strict_includes,
    }
}
