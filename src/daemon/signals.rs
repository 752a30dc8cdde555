//! The signals that the world sends a daemon, by keepalived's numbers. Everything else that can be caught does nothing.
//! Source: keepalived(8) `--signum`, signal(7).

use std::io;

use futures_util::StreamExt as _;
use libc::c_int;
use signal_hook_tokio::Signals;

/// glibc's SIGRTMIN + 2; scripts have the number built in, so it is this number with any C library.
const JSON: c_int = 36;
/// glibc's SIGRTMAX - 1, likewise.
const STATS_CLEAR: c_int = 63;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Reload,
    Stop,
    /// Write the state.
    Data,
    /// Write the statistics.
    Stats,
    /// Write the statistics, then zero them.
    StatsClear,
    Json,
    /// Answer who wants to know how everything is. Not keepalived's.
    Status,
}

/// The number that `--signum NAME` prints. Case matters.
pub(crate) fn number(name: &str) -> Option<c_int> {
    Some(match name {
        "STOP" => libc::SIGTERM,
        "RELOAD" => libc::SIGHUP,
        "DATA" => libc::SIGUSR1,
        "STATS" => libc::SIGUSR2,
        "STATS_CLEAR" => STATS_CLEAR,
        "JSON" => JSON,
        _ => return None,
    })
}

/// The arriving signals. Equal ones may merge.
pub(crate) struct Requests {
    signals: Signals,
    ignore_sigint: bool,
}

impl Requests {
    /// Installs the handlers. Must be called inside a runtime. Handlers, unlike ignored signals, are not inherited by
    /// the programs we run.
    ///
    /// # Errors
    /// Out of descriptors.
    pub(crate) fn listen(ignore_sigint: bool) -> io::Result<Self> {
        let named = [
            libc::SIGHUP,
            libc::SIGINT,
            libc::SIGTERM,
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGQUIT,
            libc::SIGALRM,
            libc::SIGVTALRM,
            libc::SIGPROF,
            libc::SIGIO,
            libc::SIGURG,
            libc::SIGPWR,
            libc::SIGSTKFLT,
            libc::SIGTSTP,
            libc::SIGTTIN,
            libc::SIGTTOU,
        ];
        let signals = Signals::new(named.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()))?;
        Ok(Self {
            signals,
            ignore_sigint,
        })
    }

    /// Waits for the next one that means something. Cancel safe.
    pub(crate) async fn next(&mut self) -> Request {
        loop {
            return match self.signals.next().await {
                Some(libc::SIGHUP) => Request::Reload,
                Some(libc::SIGTERM) => Request::Stop,
                Some(libc::SIGINT) if !self.ignore_sigint => Request::Stop,
                Some(libc::SIGUSR1) => Request::Data,
                Some(libc::SIGUSR2) => Request::Stats,
                Some(STATS_CLEAR) => Request::StatsClear,
                Some(JSON) => Request::Json,
                Some(libc::SIGURG) => Request::Status,
                Some(_) => continue,
                None => std::future::pending().await, // it ends only when its handle says so; nobody has it
            };
        }
    }
}
