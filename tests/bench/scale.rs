//! Many instances, ours beside stock keepalived: what they cost, and whether they stand a machine that has no time.
//!
//!     sudo cargo bench --bench scale -- [--case NAME] [--seconds N] [--hog] [--real-time] [--stall MS]
//!                                       [--only ours|stock]
//!
//! For each case and each daemon two copies run in two network namespaces that veth pairs join: one becomes master of
//! every instance, the other stays backup. Each copy has a binary of its own in memory, as two machines would have.
//!
//! | case | instances | interfaces | advert_int |
//! |---|---|---|---|
//! | `one` | 1 | 1 | 1 s |
//! | `hundred` | 100 | 1 | 1 s |
//! | `tenth` | 255 | 1 | 0.1 s |
//! | `dense` | 255 | 1 | 0.01 s |
//! | `wide` | 4000 | 500 | 1 s |
//!
//! What comes out, once the master holds everything and its announcements are over, for the next N seconds (60):
//!
//! | column | |
//! |---|---|
//! | adverts/s | that left the master |
//! | CPU | microseconds on a processor, user and system, of all threads and processes, for each advertisement |
//! | PSS, private | KiB, of all processes |
//! | false | instances that changed their state, though nothing was wrong |
//! | unexplained | those of them in whose second no processor stood still for half of what a backup waits |
//!
//! `--hog` gives each processor one loop that never ends and the disk one writer that always syncs; `--real-time` adds
//! `vrrp_rt_priority 50` to the configuration. `--stall` stops master, backup and both in turn for that many
//! milliseconds, every seven seconds; what `false` counts then is what that led to. A line tells of each second with changes,
//! and of each time that a processor stood still for half of what a backup waits: the most urgent thread there got no time.
//! Absolute figures drift with the machine and its load: compare rows.
//! `LAB_OURS` and `LAB_STOCK` name other binaries.

mod hogs;
#[path = "../lab/mod.rs"]
mod lab;
#[path = "scale/machine.rs"]
mod machine;
#[path = "../lab/routers.rs"]
mod routers;
#[path = "scale/trouble.rs"]
mod trouble;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use hogs::Hogs;
use lab::daemon::Daemon;
use lab::ns::Namespace;
use lab::{TempDir, poll};
use machine::Machine;
use nix::unistd::Pid;
use routers::Which::{self, Ours, Stock};
use trouble::Watch;

/// From the last transition until announcements are over (5 s) and what starting needed is given back (15 s).
const SETTLE: Duration = Duration::from_secs(18);
/// How long the master may take to hold everything.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    interfaces: usize,
    /// On each interface.
    instances: usize,
    advert_int: &'static str,
}

const CASES: [Case; 5] = [
    case("one", 1, 1, "1"),
    case("hundred", 1, 100, "1"),
    case("tenth", 1, 255, "0.1"),
    case("dense", 1, 255, "0.01"),
    case("wide", 500, 8, "1"),
];

const fn case(
    name: &'static str,
    interfaces: usize,
    instances: usize,
    advert_int: &'static str,
) -> Case {
    Case {
        name,
        interfaces,
        instances,
        advert_int,
    }
}

struct Settings {
    cases: Vec<Case>,
    window: Duration,
    hog: bool,
    real_time: bool,
    stall: Option<Duration>,
    only: Option<Which>,
}

fn settings() -> Option<Settings> {
    let mut found = Settings {
        cases: Vec::new(),
        window: Duration::from_secs(60),
        hog: false,
        real_time: false,
        stall: None,
        only: None,
    };
    let mut words = std::env::args().skip(1).filter(|w| w != "--bench");
    while let Some(word) = words.next() {
        match word.as_str() {
            "--hog" => found.hog = true,
            "--real-time" => found.real_time = true,
            "--seconds" => found.window = Duration::from_secs(words.next()?.parse().ok()?),
            "--stall" => found.stall = Some(Duration::from_millis(words.next()?.parse().ok()?)),
            "--case" => {
                let name = words.next()?;
                found.cases.push(*CASES.iter().find(|c| c.name == name)?);
            }
            "--only" => {
                found.only = Some(match words.next()?.as_str() {
                    "ours" => Ours,
                    "stock" => Stock,
                    _ => return None,
                });
            }
            _ => return None,
        }
    }
    if found.cases.is_empty() {
        found.cases = CASES.to_vec();
    }
    Some(found)
}

impl Case {
    fn all(self) -> usize {
        self.interfaces * self.instances
    }

    /// After how long a silence the backup may rightly take over.
    fn patience(self) -> Duration {
        let interval: f64 = self.advert_int.parse().unwrap_or(1.0);
        Duration::from_secs_f64(interval).mul_f64(2.6) // one advertisement is just over
    }

    fn conf(self, priority: u8, real_time: bool) -> String {
        let rt = if real_time {
            " vrrp_rt_priority 50\n vrrp_rlimit_rttime 1000000\n"
        } else {
            ""
        };
        let mut text = format!("global_defs {{\n router_id bench\n vrrp_version 3\n{rt}}}\n");
        for link in 0..self.interfaces {
            let (high, low) = (link / 250, link % 250);
            for vrid in 1..=self.instances {
                // A String takes all.
                let _ = write!(
                    text,
                    "vrrp_instance V{link}_{vrid} {{\n state BACKUP\n interface e{link}\n virtual_router_id {vrid}\n \
                     priority {priority}\n advert_int {}\n virtual_ipaddress {{\n 10.{}.{low}.{vrid}/32\n }}\n}}\n",
                    self.advert_int,
                    100 + high
                );
            }
        }
        text
    }

    /// Two namespaces, joined.
    fn network(self, dir: &Path) -> [Namespace; 2] {
        let both = [Namespace::new(), Namespace::new()];
        let [left, right] = &both;
        let mut makes = String::new();
        let mut sets = [String::new(), String::new()];
        for link in 0..self.interfaces {
            let _ = writeln!(
                makes,
                "link add e{link} type veth peer name e{link} netns {}",
                right.path()
            );
            for (node, set) in sets.iter_mut().enumerate() {
                let _ = writeln!(
                    set,
                    "addr add 10.{}.{}.{}/24 dev e{link}\nlink set e{link} up",
                    10 + link / 250,
                    link % 250,
                    node + 1
                );
            }
        }
        let batch = |ns: &Namespace, name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).expect("a file in our own directory");
            ns.ip(&format!("-batch {}", path.display()));
        };
        batch(left, "links", &makes);
        for (ns, set) in [left, right].into_iter().zip(&sets) {
            batch(ns, "addresses", set);
        }
        both
    }
}

/// One daemon and where it runs.
struct Copy<'a> {
    ns: &'a Namespace,
    daemon: Daemon,
}

/// What a copy has used or done until now.
#[derive(Clone, Copy, Debug)]
struct Count {
    /// Nanoseconds.
    cpu: u64,
    adverts: u64,
    transitions: usize,
}

impl Copy<'_> {
    fn held(&self) -> usize {
        let virtual_address = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets()[0] == 10 && ip.octets()[1] >= 100,
            IpAddr::V6(_) => false,
        };
        let all = self.ns.addresses();
        all.iter().filter(|(_, ip)| virtual_address(ip)).count()
    }

    fn count(&self) -> Count {
        let tasks = self.ns.processes().into_iter().flat_map(tasks);
        let sent = self
            .ns
            .run(|| fs::read_to_string("/proc/thread-self/net/dev"))
            .unwrap_or_default();
        let log = self.daemon.log();
        Count {
            cpu: tasks.map(|task| on_processor(&task)).sum(),
            adverts: sent.lines().filter_map(sent_packets).sum(),
            transitions: log.matches(" STATE").count(),
        }
    }

    /// PSS and private memory, KiB.
    fn memory(&self) -> (u64, u64) {
        let mut sum = (0, 0);
        for pid in self.ns.processes() {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            for line in text.lines() {
                let mut words = line.split_whitespace();
                let kind = words.next().unwrap_or_default();
                let size: u64 = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
                match kind {
                    "Pss:" => sum.0 += size,
                    "Private_Clean:" | "Private_Dirty:" => sum.1 += size,
                    _ => {}
                }
            }
        }
        sum
    }
}

fn tasks(pid: Pid) -> Vec<PathBuf> {
    let all = fs::read_dir(format!("/proc/{pid}/task"));
    let all = all.into_iter().flatten().flatten();
    all.map(|task| task.path()).collect()
}

/// Nanoseconds; /proc/PID/task/TID/schedstat.
fn on_processor(task: &Path) -> u64 {
    let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|w| w.parse().ok()).unwrap_or(0)
}

/// A line of /proc/net/dev about one of our interfaces.
fn sent_packets(line: &str) -> Option<u64> {
    let (name, counts) = line.split_once(':')?;
    name.trim().strip_prefix('e')?.parse::<u32>().ok()?;
    counts.split_whitespace().nth(9)?.parse().ok()
}

/// What one copy cost.
#[derive(Clone, Copy, Debug)]
struct Row {
    adverts: u64,
    /// Nanoseconds.
    per_advert: u64,
    pss: u64,
    private: u64,
    changed: usize,
    unexplained: usize,
}

fn measure(which: Which, case: Case, settings: &Settings) -> Result<[Row; 2], String> {
    let dir = TempDir::new();
    let network = case.network(dir.path());
    // In memory, so that what is resident does not depend on how the file system reads ahead.
    let memory = Path::new("/dev/shm");
    let memory = if memory.is_dir() { memory } else { dir.path() };
    let mut binaries = Vec::new();
    let mut copies = Vec::new();
    for (node, ns) in network.iter().enumerate() {
        let own = dir.path().join(node.to_string());
        fs::create_dir(&own).map_err(|e| e.to_string())?;
        let binary = Temporary(memory.join(format!("scale-{}-{node}", std::process::id())));
        fs::copy(which.binary(), &binary.0).map_err(|e| e.to_string())?;
        let conf = own.join("conf");
        let text = case.conf([200, 100][node], settings.real_time);
        fs::write(&conf, text).map_err(|e| e.to_string())?;
        let daemon = Daemon::start(ns, &binary.0, &own, 0, &conf, &[]);
        binaries.push(binary);
        copies.push(Copy { ns, daemon });
    }
    let [master, backup] = &copies[..] else {
        return Err("two copies were started".to_owned());
    };
    let ready = || (master.held() == case.all() && backup.held() == 0).then_some(());
    if poll(PATIENCE, ready).is_none() {
        return Err(format!(
            "the master holds {} of {} addresses, the backup {}",
            master.held(),
            case.all(),
            backup.held()
        ));
    }
    thread::sleep(SETTLE);
    let hogs = settings.hog.then(|| Hogs::start(dir.path()));
    let machine = Machine::start(case.patience() / 2);
    let (before, start) = ([master.count(), backup.count()], Instant::now());
    let mut watch = Watch::start(&copies);
    match settings.stall {
        Some(stall) => watch.stalls(stall, settings.window),
        None => watch.peace(settings.window),
    }
    let (after, took) = ([master.count(), backup.count()], start.elapsed());
    drop(hogs);
    let (changes, pauses) = (watch.end(), machine.end());
    for pause in &pauses {
        say(&format!(
            "  {:>6} ms: processor {} stood still for {} ms, and handed over no packet for {} ms",
            pause.at.as_millis(),
            pause.processor,
            pause.asleep.as_millis(),
            pause.deaf.as_millis()
        ));
    }
    let adverts = after[0].adverts - before[0].adverts;
    let row = |node: usize| {
        let (pss, private) = copies[node].memory();
        Row {
            adverts: adverts * 1000 / u64::try_from(took.as_millis()).unwrap_or(1).max(1),
            per_advert: (after[node].cpu - before[node].cpu) / adverts.max(1),
            pss,
            private,
            changed: after[node].transitions - before[node].transitions,
            unexplained: changes
                .iter()
                .filter(|c| !c.explained(&pauses, case.patience()))
                .map(|c| c.count[node])
                .sum(),
        }
    };
    Ok([row(0), row(1)])
}

/// A file that goes away with its owner.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// With two decimals.
fn hundredths(value: u64, base: u64) -> String {
    let percent = value * 100 / base.max(1);
    format!("{}.{:02}", percent / 100, percent % 100)
}

fn main() -> ExitCode {
    if !lab::root() {
        return ExitCode::SUCCESS;
    }
    let Some(settings) = settings() else {
        say("see the head of tests/bench/scale.rs for the options");
        return ExitCode::FAILURE;
    };
    say(
        "| case | role | daemon | adverts/s | CPU | PSS | private | false | unexplained | CPU ratio | PSS ratio |",
    );
    say("|---|---|---|---|---|---|---|---|---|---|---|");
    for &case in &settings.cases {
        let mut of_stock = None;
        for which in [Stock, Ours] {
            if settings.only.is_some_and(|only| only != which) {
                continue;
            }
            let rows = match measure(which, case, &settings) {
                Ok(rows) => rows,
                Err(why) => {
                    say(&format!("{} {which:?}: {why}", case.name));
                    continue;
                }
            };
            let base: [Row; 2] = *of_stock.get_or_insert(rows);
            for ((role, row), base) in ["master", "backup"].iter().zip(rows).zip(base) {
                say(&format!(
                    "| {} | {role} | {which:?} | {} | {} | {} | {} | {} | {} | {} | {} |",
                    case.name,
                    row.adverts,
                    hundredths(row.per_advert, 1000),
                    row.pss,
                    row.private,
                    row.changed,
                    row.unexplained,
                    hundredths(row.per_advert, base.per_advert),
                    hundredths(row.pss, base.pss),
                ));
            }
        }
    }
    ExitCode::SUCCESS
}
