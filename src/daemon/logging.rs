//! What the command line says about the log, in the terms of the log. Source: keepalived(8) `-D -S -g -G -l`, `--log-level`.

use tracing::Level;

use super::dumpfile;
use crate::cli::{self, Area, Facility, Options};
use crate::sys::log::Settings;

/// All of it.
pub(super) fn settings(options: &Options) -> Settings {
    let facility = match options.facility {
        Facility::Daemon => libc::LOG_DAEMON,
        Facility::User => libc::LOG_USER,
        Facility::Local(n) => libc::LOG_LOCAL0 + (i32::from(n) << 3),
    };
    let mut of_all = options.log_levels.iter().rev();
    let of_all = of_all.find(|(area, _)| *area == Area::All);
    let of_all = of_all.map(|(_, l)| level(*l));
    Settings {
        file: options
            .log_file
            .as_ref()
            .map(|path| match path.as_os_str().is_empty() {
                true => dumpfile::directory(std::env::var_os("TMPDIR")).join("keepalived.log"),
                false => path.clone(),
            }),
        areas: areas(options),
        json: options.log_json,
        console: options.foreground && options.log_console,
        facility: (!options.no_syslog).then_some(facility),
        level: of_all.unwrap_or(match options.log_detail {
            0 => Level::INFO,
            1 => Level::DEBUG,
            _ => Level::TRACE,
        }),
        suffix: String::new(),
    }
}

fn level(level: cli::Level) -> Level {
    match level {
        cli::Level::Error => Level::ERROR,
        cli::Level::Warn => Level::WARN,
        cli::Level::Info => Level::INFO,
        cli::Level::Debug => Level::DEBUG,
        cli::Level::Trace => Level::TRACE,
    }
}

/// The modules that make up each area.
fn areas(options: &Options) -> Vec<(&'static str, Level)> {
    let modules = |area: &Area| -> &'static [&'static str] {
        match area {
            Area::All => &[],
            Area::Vrrp => &["vrrp", "reconcile"],
            Area::Track => &["track", "bfd"],
            Area::Lvs => &["lvs"],
            Area::Notify => &["notify"],
            Area::Config => &["config", "model"],
            Area::Daemon => &["daemon", "dump", "sys"],
        }
    };
    let all = options.log_levels.iter();
    let all = all.flat_map(|(area, l)| modules(area).iter().map(|m| (*m, level(*l))));
    let addresses = match options.address_monitoring {
        true => Level::INFO,
        false => Level::ERROR,
    };
    all.chain([("addresses", addresses)]).collect()
}
