//! Many health checks at once, ours beside stock keepalived.
//!
//!     cargo bench --bench checks -- [--only GROUP] [--servers N,N] [--many N,N] [--seconds N] [--rounds N]
//!
//! | group | |
//! |---|---|
//! | `cost` | processor time for each check by TCP, HTTP and TLS |
//! | `memory` | the memory that real servers take |
//! | `reload` | one weight of 4,000, of 40,000 (`--many`) is changed: how long until the kernel is asked, the longest pause of checks |
//! | `table` | from the start to the first check of the last server, and checks in a second from then on |
//! | `kernel` | one weight of 1,000, of 4,000 (`--many`) is changed: how long until it is in the kernel |
//!
//! The first three need root and a C compiler, and run on this machine's kernel. The others run in a guest that has IPVS
//! (Debian packages of `tests/lab_ipvs`); a guest is several times slower than its host: compare columns. Stock begins to
//! check a second after its start and after each reload, ours a second after the start. What is not over within its limit
//! is told as `> N`, the seconds that were waited. `LAB_OURS` and `LAB_STOCK` name other binaries.

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
use std::time::{Duration, Instant};

use routers::Which::Ours;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(180);
/// How long the start with very many servers may take, and how long a reload: stock takes minutes for each.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long something took, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Took {
    In(u64),
    /// It was not over when so much had passed.
    Beyond(u64),
    /// What comes before it was not over.
    NotBegun,
}

impl Took {
    /// Of what began then; `None`: it is not over.
    fn of(began: Instant, over: Option<Duration>) -> Self {
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        match over {
            Some(took) => Self::In(micros(took)),
            None => Self::Beyond(micros(began.elapsed())),
        }
    }

    /// In seconds.
    fn word(self) -> String {
        match self {
            Self::In(n) => format!("{}.{:03}", n / 1_000_000, n / 1000 % 1000),
            Self::Beyond(n) => format!("> {}", n / 1_000_000),
            Self::NotBegun => "-".to_owned(),
        }
    }
}

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
    /// Servers of which one is changed; empty: as many as the part is for.
    many: Vec<usize>,
    seconds: u64,
    /// Measurements of which the median counts.
    rounds: usize,
    only: Option<Part>,
}

impl Settings {
    fn runs(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    fn many(&self, otherwise: [usize; 2]) -> Vec<usize> {
        match self.many.is_empty() {
            true => otherwise.to_vec(),
            false => self.many.clone(),
        }
    }
}

/// How much less the second is than the first, in percent.
fn ahead(stock: u64, ours: u64) -> String {
    let (stock, ours) = (i128::from(stock), i128::from(ours));
    format!("{} %", (stock - ours) * 100 / stock.max(1))
}

/// How many times the second is in the first.
fn of_both(stock: Took, ours: Took) -> String {
    let (more, stock, ours) = match (stock, ours) {
        (Took::In(stock), Took::In(ours)) => ("", stock, ours),
        (Took::Beyond(stock), Took::In(ours)) => ("> ", stock, ours),
        (Took::NotBegun, _) | (_, Took::Beyond(_) | Took::NotBegun) => return "-".to_owned(),
    };
    let hundredth = stock * 100 / ours.max(1);
    format!("{more}{}.{:02}", hundredth / 100, hundredth % 100)
}

/// What became of a daemon of which one of many real servers was changed.
#[derive(Clone, Copy, Debug)]
struct Reloaded {
    /// From the start until all are checked.
    start: Took,
    /// From the signal until the kernel has it, or is asked for it.
    there: Took,
    /// The longest time without a check from then on.
    pause: Took,
}

impl Reloaded {
    const NAMES: [&str; 3] = [
        "  start until all are checked",
        "  reload until the kernel has it",
        "  longest pause of checks",
    ];

    /// As they are named.
    fn all(self) -> [Took; 3] {
        [self.start, self.there, self.pause]
    }
}

/// Who is checked sooner than this after a start is measured more than once.
const QUICK: u64 = 30_000_000;

/// The medians of several rounds; of what takes minutes, one is enough.
fn medians(rounds: usize, mut one: impl FnMut() -> Reloaded) -> [Took; 3] {
    let mut all = vec![one().all()];
    while all.len() < rounds.min(3) && all[0][0] < Took::In(QUICK) {
        all.push(one().all());
    }
    [0, 1, 2].map(|n| {
        let mut all: Vec<_> = all.iter().map(|one| one[n]).collect();
        all.sort_unstable();
        all[all.len() / 2]
    })
}

/// The longest time without a check since `began`, when `from` had been made. `goes_on`: there were some again.
fn pause(journal: &servers::Journal, from: usize, began: Instant, goes_on: bool) -> Took {
    let journal = journal.lock();
    let times = journal.get(from..).unwrap_or_default();
    let times = times.iter().map(|(when, _)| *when);
    let end = (!goes_on).then(Instant::now);
    let times: Vec<Instant> = [began].into_iter().chain(times).chain(end).collect();
    let gaps = times
        .windows(2)
        .map(|t| t[1].saturating_duration_since(t[0]));
    match (Took::of(began, gaps.max()), goes_on) {
        (Took::In(so_far), false) => Took::Beyond(so_far),
        (took, _) => took,
    }
}

/// What goes on, for whoever waits.
fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "  .. {text}");
}

fn list(words: &str) -> Option<Vec<usize>> {
    words.split(',').map(|n| n.parse().ok()).collect()
}

fn settings() -> Option<Settings> {
    let mut found = Settings {
        servers: vec![1000, 10_000],
        many: Vec::new(),
        seconds: 10,
        rounds: 5,
        only: None,
    };
    let mut words = std::env::args().skip(1).filter(|w| w != "--bench");
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()?.as_str()) {
            ("--servers", words) => found.servers = list(words)?,
            ("--many", words) => found.many = list(words)?,
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
            "usage: [--only cost|memory|reload|table|kernel] [--servers N,N] [--many N,N] [--seconds N] [--rounds N]"
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
