//! Many health checks at once, ours beside stock keepalived.
//!
//!     cargo bench --bench checks -- [--only cost|table] [--servers N,N] [--seconds N] [--rounds N]
//!
//! `cost` needs root and a C compiler, and runs on this machine's kernel: processor time for each check by TCP, HTTP and
//! TLS, and the memory that real servers take. `table` runs in a guest that has IPVS (Debian packages of
//! `tests/lab_ipvs`) and prints:
//!
//! | column | |
//! |---|---|
//! | all checked | from the start to the first check of the last server, in ms; stock and ours both begin after a second |
//! | checks/s | that ended in a second, afterwards |
//! | reload | one weight of all is changed: from SIGHUP until it is in the kernel, in ms |
//! | gap | the longest time without a check around that reload, in ms |
//!
//! A guest is several times slower than its host: compare rows. `LAB_OURS` and `LAB_STOCK` name other binaries.

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../lab/routers.rs"]
mod routers;

#[path = "checks/guest.rs"]
mod guest;
#[path = "checks/host.rs"]
mod host;
#[path = "checks/servers.rs"]
mod servers;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use routers::Which::Ours;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Cost,
    Table,
}

struct Settings {
    servers: Vec<usize>,
    seconds: u64,
    /// Measurements of which the median counts.
    rounds: usize,
    only: Option<Part>,
}

fn settings() -> Option<Settings> {
    let mut found = Settings {
        servers: vec![1000, 10_000],
        seconds: 10,
        rounds: 5,
        only: None,
    };
    let mut words = std::env::args().skip(1).filter(|w| w != "--bench");
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()?.as_str()) {
            ("--servers", list) => {
                found.servers = list
                    .split(',')
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .ok()?;
            }
            ("--seconds", n) => found.seconds = n.parse().ok()?,
            ("--rounds", n) => found.rounds = n.parse().ok()?,
            ("--only", "cost") => found.only = Some(Part::Cost),
            ("--only", "table") => found.only = Some(Part::Table),
            _ => return None,
        }
    }
    Some(found)
}

fn main() -> ExitCode {
    let mut err = std::io::stderr();
    let Some(settings) = settings() else {
        let _ = writeln!(
            err,
            "usage: [--only cost|table] [--servers N,N] [--seconds N] [--rounds N]"
        );
        return ExitCode::FAILURE;
    };
    let said = |table: String| {
        let _ = std::io::stdout().write_all(table.as_bytes());
    };
    if std::env::var_os("UML_RUN").is_some() {
        said(guest::measure(&settings));
        return ExitCode::SUCCESS;
    }
    if settings.only != Some(Part::Table) {
        said(host::measure(&settings));
    }
    if settings.only == Some(Part::Cost) {
        return ExitCode::SUCCESS;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut guest = Command::new(root.join("tests/uml/uml-run"));
    guest.args(["--timeout", "1200", "--mem", "1024M", "--share"]);
    guest.arg(Ours.binary().parent().expect("a file is in a directory"));
    for name in ["LAB_OURS", "LAB_STOCK"] {
        if std::env::var_os(name).is_some() {
            guest.args(["--env", name]);
        }
    }
    guest
        .arg("--")
        .arg(std::env::current_exe().expect("this binary"));
    guest.args(std::env::args_os().skip(1)).current_dir(root);
    match guest.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}
