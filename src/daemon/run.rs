//! The start of the process, step by step: what must be before the first thread, then the tasks, and the exit code of it all.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::LocalSet;

use super::identity::{Identity, PidFiles};
use super::life::{Daemon, FAILED};
use super::logging;
use super::pidfile::PidFileError;
use super::reload::{self, Parts, Read};
use super::systemd::{self, Systemd};
use super::{GONE, UMASK, dumps, load_options, supervise, version};
use crate::cli::Options;
use crate::config::LoadOptions;
use crate::dump;
use crate::dump::data::Now;
use crate::model::Config;
use crate::model::auth::mask_keys;
use crate::model::process::AutoPriority;
use crate::sys::log::Log;
use crate::sys::{netns, process, resident, startup, wipe};

/// keepalived's words, for whoever has not decided about `max_auto_priority`.
const ADVICE: &str = "NOTICE: setting config option max_auto_priority should result in better keepalived performance";

/// How long the last log lines may take.
const LOG_PATIENCE: Duration = Duration::from_secs(1);

/// Runs the daemon until it is stopped; `words` is its command line. Signals must be held already
/// ([`startup::hold_signals`]). Returns the exit code: in daemon mode in both processes, first in the one that was started.
pub(crate) fn run(options: &Options, words: &[String]) -> u8 {
    process::keep_original_limits();
    resident::keep_large_apart();
    startup::set_umask(options.umask.unwrap_or(UMASK));
    let systemd = Systemd::new(startup::take_env(systemd::VARIABLE));
    let watchdog = systemd::watchdog(systemd::WATCHDOG.map(startup::take_env));
    let mut log = Log::install(logging::settings(options));
    supervise::log_panics();
    greet(options, words);
    let mut report = None;
    let code = match prepare(options) {
        Ok(Prepared::Launcher(launched)) => {
            _ = startup::release_signals(); // so that it can be interrupted while it waits
            return launched.outcome().unwrap_or(FAILED);
        }
        Ok(Prepared::Daemon {
            config,
            torn,
            source,
            report: to_launcher,
        }) => {
            report = to_launcher;
            log.rename(Identity::new(options, &config).log_suffix());
            if let Err(e) = log.start() {
                tracing::error!(reason = %e, "Unable to start the log thread");
            }
            let pattern = options.core_pattern.as_deref().map(core_pattern);
            let code = serve(
                options,
                (config, torn),
                source,
                (systemd, watchdog),
                &mut report,
            );
            drop(pattern); // back to what it was
            code
        }
        Err(code) => code,
    };
    tracing::info!("Stopped {}", version::STANDS_FOR);
    log.flush(LOG_PATIENCE);
    report.into_iter().for_each(|r| r.send(code)); // the start was never complete
    code
}

fn greet(options: &Options, words: &[String]) {
    tracing::info!("Starting {}", version::STANDS_FOR);
    tracing::info!("Running on {}", version::kernel());
    let words: Vec<_> = words.iter().map(|w| format!("'{w}'")).collect();
    tracing::info!("Command line: {}", words.join(" "));
    for long in &options.without_effect {
        tracing::warn!("Option --{long} is accepted but has no effect yet");
    }
}

/// Who goes on after the fork, if there was one.
enum Prepared {
    Launcher(startup::Launched),
    Daemon {
        config: Arc<Config>,
        /// See [`Read::torn`].
        torn: bool,
        /// Where later reloads read.
        source: LoadOptions,
        /// To the launcher, until the start is complete.
        report: Option<startup::Report>,
    },
}

/// Everything before the first thread. `Err`: the exit code.
fn prepare(options: &Options) -> Result<Prepared, u8> {
    if options.core_dump
        && let Err(e) = startup::allow_core_files()
    {
        tracing::warn!(reason = %e, "Unable to allow core files");
    }
    if let Some(name) = &options.namespace {
        enter(name)?;
    }
    match wipe::pad() {
        Ok(pad) => mask_keys(pad),
        Err(e) => tracing::warn!(reason = %e, "keys will be in core files as they are"),
    }
    let mut source = load_options(options);
    let Read { config, torn, .. } = reload::read(&source, parts(options));
    let config = config?;
    if config.global.process.auto_priority == AutoPriority::Off {
        tracing::info!("{ADVICE}");
    }
    if options.umask.is_none() {
        startup::set_umask(config.global.process.files.umask);
    }
    if options.namespace.is_none()
        && let Some(name) = &config.global.net_namespace
    {
        enter(name)?;
        source.in_namespace = true;
    }
    if options.dump_conf {
        let text = dump::data::data(&config, &Now::default(), &dumps::times());
        text.lines().for_each(|line| tracing::info!("{line}"));
    }
    if options.foreground {
        return Ok(Prepared::Daemon {
            config,
            torn,
            source,
            report: None,
        });
    }
    // The daemon works in `/`.
    if let Ok(path) = std::path::absolute(&source.path) {
        source.path = path.to_string_lossy().into_owned();
    }
    match startup::daemonise() {
        Ok(startup::Side::Launcher(launched)) => Ok(Prepared::Launcher(launched)),
        Ok(startup::Side::Daemon(report)) => Ok(Prepared::Daemon {
            config,
            torn,
            source,
            report: Some(report),
        }),
        Err(e) => {
            tracing::error!(reason = %e, "Unable to become a daemon");
            Err(FAILED)
        }
    }
}

/// Sets the kernel's pattern until dropped.
fn core_pattern(pattern: &str) -> Option<startup::CorePattern> {
    startup::CorePattern::set(pattern)
        .inspect_err(|e| tracing::warn!(reason = %e, "Unable to set core_pattern"))
        .ok()
}

fn enter(name: &str) -> Result<(), u8> {
    netns::enter(name).map_err(|e| {
        let reason = std::error::Error::source(&e).map(ToString::to_string);
        tracing::error!(reason, "{e}");
        tracing::error!("Unable to set network namespace {name} - exiting");
        GONE
    })
}

/// What `-P`, `-C` and `-B` leave.
pub(super) fn parts(options: &Options) -> Parts {
    Parts {
        vrrp: !options.no_vrrp,
        checkers: !options.no_checkers,
        bfd: !options.no_bfd,
    }
}

/// Serves until the stop. Returns the exit code.
fn serve(
    options: &Options,
    (config, torn): (Arc<Config>, bool),
    source: LoadOptions,
    (systemd, watchdog): (Systemd, Option<Duration>),
    report: &mut Option<startup::Report>,
) -> u8 {
    let identity = Identity::new(options, &config);
    let pid_files = match PidFiles::claim(options, &identity, &config) {
        Ok(files) => files,
        Err(e @ PidFileError::Locked(_)) => {
            tracing::warn!("{e}");
            tracing::error!("daemon is already running");
            return GONE;
        }
        Err(e @ PidFileError::Write { .. }) => {
            let reason = std::error::Error::source(&e).map(ToString::to_string);
            tracing::error!(reason, "{e}");
            return GONE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            tracing::error!(reason = %e, "Unable to make the runtime");
            return FAILED;
        }
    };
    let life = async {
        let daemon = Daemon::start(options, source, pid_files, systemd);
        match daemon {
            Ok(mut daemon) => {
                daemon.torn = torn;
                let watched = daemon.watched(watchdog);
                let code = daemon.live(config, report).await;
                watched.into_iter().for_each(|beats| beats.abort());
                code
            }
            Err(e) => {
                tracing::error!(reason = %e, "Unable to start");
                FAILED
            }
        }
    };
    // A panic in here drops the ends of the channels, upon which each task withdraws what it owns.
    let run = std::panic::AssertUnwindSafe(|| LocalSet::new().block_on(&runtime, life));
    let code = std::panic::catch_unwind(run).unwrap_or(FAILED);
    runtime.shutdown_background(); // a file that is still being read keeps nobody
    code
}
