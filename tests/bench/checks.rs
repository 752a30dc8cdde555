//! Many health checks at once, ours beside stock keepalived.
//!
//!     cargo bench --bench checks -- [--only GROUP] [--servers N,N] [--many N] [--seconds N] [--rounds N]
//!
//! | group | |
//! |---|---|
//! | `cost` | processor time for each check by TCP, HTTP and TLS |
//! | `memory` | the memory that real servers take |
//! | `reload` | one weight of 40,000 (`--many`) is changed: how long until the kernel is asked, the longest pause of checks |
//! | `table` | from the start to the first check of the last server, and checks in a second from then on |
//! | `kernel` | one weight of 40,000 is changed: how long until it is in the kernel |
//!
//! The first three need root and a C compiler, and run on this machine's kernel. The others run in a guest that has IPVS
//! (Debian packages of `tests/lab_ipvs`); a guest is several times slower than its host: compare columns. Stock begins to
//! check a second after its start and after each reload, ours a second after the start. `LAB_OURS` and `LAB_STOCK` name
//! other binaries.

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
#[path = "checks/table.rs"]
mod table;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use routers::Which::Ours;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(180);
/// How long the start with very many servers may take, and how long a reload: stock takes minutes.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Cost,
    Memory,
    Reload,
    Table,
    Kernel,
}

impl Part {
    const ALL: [(&str, Self); 5] = [
        ("cost", Self::Cost),
        ("memory", Self::Memory),
        ("reload", Self::Reload),
        ("table", Self::Table),
        ("kernel", Self::Kernel),
    ];

    fn in_guest(self) -> bool {
        match self {
            Self::Cost | Self::Memory | Self::Reload => false,
            Self::Table | Self::Kernel => true,
        }
    }
}

struct Settings {
    servers: Vec<usize>,
    /// Servers of which one is changed.
    many: usize,
    seconds: u64,
    /// Measurements of which the median counts.
    rounds: usize,
    only: Option<Part>,
}

impl Settings {
    fn runs(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// How much less the second is than the first, in percent.
fn ahead(stock: u64, ours: u64) -> String {
    let (stock, ours) = (i128::from(stock), i128::from(ours));
    format!("{} %", (stock - ours) * 100 / stock.max(1))
}

/// Microseconds as seconds; what never came to an end is said to be so.
fn seconds(micros: Option<u64>) -> String {
    match micros {
        Some(n) => format!("{}.{:03}", n / 1_000_000, n / 1000 % 1000),
        None => format!("> {}", PATIENCE.as_secs()),
    }
}

/// How many times the second is in the first.
fn of_both(stock: Option<u64>, ours: Option<u64>) -> String {
    let limit = u64::try_from(PATIENCE.as_micros()).unwrap_or(u64::MAX);
    let Some(ours) = ours else {
        return "-".to_owned();
    };
    let more = if stock.is_none() { "> " } else { "" };
    let hundredth = stock.unwrap_or(limit) * 100 / ours.max(1);
    format!("{more}{}.{:02}", hundredth / 100, hundredth % 100)
}

fn settings() -> Option<Settings> {
    let mut found = Settings {
        servers: vec![1000, 10_000],
        many: 40_000,
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
            ("--many", n) => found.many = n.parse().ok()?,
            ("--seconds", n) => found.seconds = n.parse().ok()?,
            ("--rounds", n) => found.rounds = n.parse().ok()?,
            ("--only", name) => {
                let part = Part::ALL.iter().find(|(word, _)| *word == name)?;
                found.only = Some(part.1);
            }
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
            "usage: [--only cost|memory|reload|table|kernel] [--servers N,N] [--many N] [--seconds N] [--rounds N]"
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
    if settings.only.is_none_or(|part| !part.in_guest()) {
        said(host::measure(&settings));
    }
    if settings.only.is_some_and(|part| !part.in_guest()) {
        return ExitCode::SUCCESS;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut guest = Command::new(root.join("tests/uml/uml-run"));
    guest.args(["--timeout", "5400", "--mem", "1024M", "--share"]);
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
