//! Reading the configuration, for the start and for reloads: at a reload on a thread of its own, so that a large file
//! delays no health check, and never with an effect before it is known to be usable.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::host::Machine;
use crate::config::{self, LoadOptions, Loaded, Loudness};
use crate::model::Config;

/// Exit code when the machine does not let itself be looked at.
const DENIED: u8 = 4;

/// Which parts of a configuration this daemon runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    /// Off with `-C`.
    pub(crate) vrrp: bool,
    /// Off with `-P`.
    pub(crate) checkers: bool,
}

impl Parts {
    /// The configuration without the parts that are off.
    fn of(self, config: &Arc<Config>) -> Arc<Config> {
        if self.vrrp && self.checkers {
            return Arc::clone(config);
        }
        let mut config = Config::clone(config);
        if !self.vrrp {
            config.instances.clear();
            config.groups.clear();
            config.scripts.clear();
        }
        if !self.checkers {
            config.virtual_servers.clear();
        }
        Arc::new(config)
    }
}

/// Reads and logs what was found. `Err`: the exit code of a daemon that starts with it.
pub(crate) fn read(options: &LoadOptions, parts: Parts) -> Result<Arc<Config>, u8> {
    let host = Machine::snapshot().map_err(|e| {
        tracing::error!(reason = %e, "Unable to list the network interfaces");
        DENIED
    })?;
    let loaded = config::load_model(options, &host);
    say(&loaded);
    match loaded.refusal() {
        Some(code) => Err(code),
        None => Ok(parts.of(&loaded.config)),
    }
}

fn say(loaded: &Loaded) {
    for (loudness, text) in loaded.messages() {
        match loudness {
            Loudness::Note => tracing::info!("{text}"),
            Loudness::Log | Loudness::Complaint => tracing::warn!("{text}"),
        }
    }
}

/// At most one reload at a time; requests that come meanwhile become one more.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    reading: Option<JoinHandle<Result<Arc<Config>, u8>>>,
    again: bool,
}

impl Reload {
    /// Begins to read, or remembers to. Says whether it began.
    pub(crate) fn request(&mut self, options: &LoadOptions, parts: Parts) -> bool {
        if self.reading.is_some() {
            tracing::debug!("Reload already in progress, request queued");
            self.again = true;
            return false;
        }
        let options = options.clone();
        self.reading = Some(tokio::task::spawn_blocking(move || read(&options, parts)));
        true
    }

    /// Waits for the outcome: `None`, the new configuration cannot be used. For ever when nothing is being read.
    /// Cancel safe.
    pub(crate) async fn outcome(&mut self) -> Option<Arc<Config>> {
        let Some(reading) = &mut self.reading else {
            return std::future::pending().await;
        };
        let outcome = reading.await;
        self.reading = None;
        // An error is a panic of the reader; its hook has logged it, and the old configuration is as good as ever.
        outcome.ok()?.ok()
    }

    /// Whether somebody asked meanwhile; forgets it.
    pub(crate) fn take_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }
}
