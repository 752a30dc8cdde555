//! `-t`: reads the configuration, says what is wrong with it, and touches nothing.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use super::host::Machine;
use super::{GONE, load_options};
use crate::check::terminal;
use crate::cli::Options;
use crate::config::{self, Loudness};
use crate::sys::{netns, startup};

/// Complains to `file`, else to standard error. Returns the exit code of `-t`.
pub(crate) fn run(options: &Options, file: Option<&Path>) -> u8 {
    startup::set_umask(options.umask.unwrap_or(super::UMASK));
    if let Some(path) = file
        && let Err(e) = startup::redirect_stderr(path)
    {
        _ = writeln!(
            io::stderr(),
            "Unable to open log file {} - {e}",
            path.display()
        );
        return 1;
    }
    if let Some(name) = &options.namespace
        && let Err(e) = netns::enter(name)
    {
        _ = writeln!(
            io::stderr(),
            "{e}\nUnable to set network namespace {name} - exiting"
        );
        return GONE;
    }
    let host = match Machine::snapshot() {
        Ok(host) => host,
        Err(e) => {
            _ = writeln!(io::stderr(), "Unable to list the network interfaces: {e}");
            return 4;
        }
    };
    let loading = load_options(options);
    let mut out = io::stderr().lock();
    if file.is_none() && out.is_terminal() {
        let loaded = config::load(&loading, &host);
        let exit = loaded.test_exit();
        // Standard error may be closed; the exit code says the rest.
        _ = terminal::write(&mut out, loading, loaded, &host);
        return exit;
    }
    let loaded = config::load_model(&loading, &host);
    let exit = loaded.test_exit();
    for (loudness, text) in loaded.messages() {
        match loudness {
            // Standard error may be closed; the exit code says the rest.
            Loudness::Note | Loudness::Complaint => _ = writeln!(out, "{text}"),
            Loudness::Log => {}
        }
    }
    exit
}
