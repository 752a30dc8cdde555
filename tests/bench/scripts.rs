//! Many scripts at once, ours beside stock keepalived: when they start, what that costs, and what it does to adverts.
//!
//!     sudo cargo bench --bench scripts -- [--scripts N] [--seconds N] [--only ours|stock]
//!
//! One instance at 100 ms tracks N scripts (1,000) with an interval of a second, each a small static program, which the
//! C compiler makes at the beginning, that writes down when it runs. What comes out, after a warm-up of three seconds:
//!
//! | column | |
//! |---|---|
//! | runs/s | scripts that ran in a second |
//! | late | how far a start is from a whole number of seconds after the first start of its script: median, 99 %, worst, in ms |
//! | advert | how far two advertisements are from 100 ms: median, 99.9 %, worst, in ms |
//! | daemon, scripts | processor time in a second, of all processes of the daemon and of what they have waited for, in ms |
//!
//! Absolute figures drift with the machine and its load: compare rows. `LAB_OURS` and `LAB_STOCK` name other binaries.

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../lab/routers.rs"]
mod routers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use lab::daemon::Daemon;
use lab::{Lan, TempDir};
use nix::unistd::Pid;
use routers::Which::{self, Ours, Stock};

const WARM_UP: Duration = Duration::from_secs(3);
const INTERVAL_NS: u64 = 1_000_000_000;
const ADVERT_NS: u64 = 100_000_000;

/// Writes its number and the time to a file: 12 octets at once, so that no two runs mix.
const PROGRAM: &str = r#"
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct timespec t;
    unsigned char out[12];
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint32_t id = (uint32_t)atoi(argv[2]);
    uint64_t at = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    memcpy(out, &id, 4);
    memcpy(out + 4, &at, 8);
    int fd = open(argv[1], O_WRONLY | O_APPEND);
    return fd < 0 || write(fd, out, 12) != 12;
}
"#;

struct Settings {
    scripts: usize,
    seconds: u64,
    only: Option<Which>,
}

fn settings() -> Option<Settings> {
    let mut found = Settings {
        scripts: 1000,
        seconds: 20,
        only: None,
    };
    let mut words = std::env::args().skip(1).filter(|w| w != "--bench");
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()?.as_str()) {
            ("--scripts", n) => found.scripts = n.parse().ok()?,
            ("--seconds", n) => found.seconds = n.parse().ok()?,
            ("--only", "ours") => found.only = Some(Ours),
            ("--only", "stock") => found.only = Some(Stock),
            _ => return None,
        }
    }
    Some(found)
}

fn conf(scripts: usize, program: &str, out: &str) -> String {
    let mut text = String::from("global_defs {\n script_user root\n}\n");
    let mut tracks = String::new();
    for n in 0..scripts {
        // A String takes all.
        let _ = write!(
            text,
            "vrrp_script s{n} {{\n script \"{program} {out} {n}\"\n interval 1\n timeout 10\n weight 1\n}}\n"
        );
        let _ = writeln!(tracks, "  s{n}");
    }
    text + &format!(
        "vrrp_instance V {{\n interface eth0\n version 3\n virtual_router_id 66\n priority 100\n advert_int 0.1
 virtual_ipaddress {{\n 10.66.0.100/24\n }}\n track_script {{\n{tracks} }}\n}}\n"
    )
}

/// Processor time of a process and its children, and of what they have waited for, in milliseconds.
fn cpu(pid: Pid) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<u64> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|w| w.parse().unwrap_or(0))
        .collect();
    let ticks = |n: usize| fields.get(n).copied().unwrap_or(0) * 10; // USER_HZ is 100
    let (mut own, mut waited) = (ticks(11) + ticks(12), ticks(13) + ticks(14));
    let tasks = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let keepalived = |p: &i32| {
        let name = fs::read_to_string(format!("/proc/{p}/comm")).unwrap_or_default();
        name.starts_with("keepalived")
    };
    for child in tasks
        .split_whitespace()
        .filter_map(|w| w.parse().ok())
        .filter(keepalived)
    {
        let (more, more_waited) = cpu(Pid::from_raw(child));
        own += more;
        waited += more_waited;
    }
    (own, waited)
}

/// Each script's starts, in nanoseconds.
fn starts(octets: &[u8]) -> BTreeMap<u32, Vec<u64>> {
    let mut all: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for record in octets.chunks_exact(12) {
        let (id, at) = record.split_at(4);
        let id = u32::from_ne_bytes(id.try_into().expect("four octets"));
        let at = u64::from_ne_bytes(at.try_into().expect("eight octets"));
        all.entry(id).or_default().push(at);
    }
    all
}

/// Median, a high part per thousand, and the worst, in milliseconds with two decimals.
fn spread(mut all: Vec<u64>, high: usize) -> String {
    all.sort_unstable();
    let at = |n: usize| {
        all.get(n.min(all.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0)
    };
    let ms = |ns: u64| format!("{}.{:02}", ns / 1_000_000, ns / 10_000 % 100);
    let (median, high) = (at(all.len() / 2), at(all.len() * high / 1000));
    format!("{:>7} {:>8} {:>9}", ms(median), ms(high), ms(at(all.len())))
}

fn measure(which: Which, settings: &Settings, program: &str) -> String {
    let lan = Lan::new("eth0", &["10.66.0.1/24"]);
    let node = lan.node(0);
    let out = node.file("starts", "", 0o666);
    let daemon: Daemon = which.start(
        node,
        &conf(settings.scripts, program, &out.display().to_string()),
    );
    daemon.wait_log("Entering MASTER STATE");
    let wait = |until: Instant| std::thread::sleep(until.saturating_duration_since(Instant::now()));
    wait(Instant::now() + WARM_UP);
    let began = Instant::now();
    let (before, skip) = (cpu(daemon.pid()), fs::metadata(&out).map_or(0, |m| m.len()));
    let first = lab::daemon::now();
    wait(began + Duration::from_secs(settings.seconds));
    let after = cpu(daemon.pid());
    let last = lab::daemon::now();
    let octets = fs::read(&out).expect("our own file");
    let millis = u64::try_from(began.elapsed().as_millis()).expect("a short time");
    let skip = usize::try_from(skip).expect("a small file");
    let runs = (octets.len() - skip) as u64 / 12 * 1000 / millis;
    let late: Vec<u64> = starts(&octets)
        .values()
        .flat_map(|at| at.iter().skip(3).map(|t| (t - at[0]) % INTERVAL_NS))
        .map(|phase| phase.min(INTERVAL_NS - phase))
        .collect();
    let adverts: Vec<u64> = lan
        .events()
        .iter()
        .filter(|s| s.advert().is_some() && (first..last).contains(&s.at))
        .map(|s| s.at)
        .collect();
    let adverts = adverts
        .windows(2)
        .map(|p| (p[1] - p[0]).abs_diff(ADVERT_NS));
    let name = if which == Ours { "ours" } else { "stock" };
    let per_second = |ms: u64| ms * 1000 / millis;
    format!(
        "{name:<6} {runs:>6}  {}  {}  {:>6} {:>7}\n",
        spread(late, 990),
        spread(adverts.collect(), 999),
        per_second(after.0 - before.0),
        per_second(after.1 - before.1),
    )
}

fn main() -> ExitCode {
    if !lab::root() {
        return ExitCode::SUCCESS;
    }
    let mut err = std::io::stderr();
    let Some(settings) = settings() else {
        let _ = writeln!(
            err,
            "usage: [--scripts N] [--seconds N] [--only ours|stock]"
        );
        return ExitCode::FAILURE;
    };
    let dir = TempDir::new();
    let (source, program) = (dir.path().join("run.c"), dir.path().join("run"));
    fs::write(&source, PROGRAM).expect("a file in our own directory");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-static", "-o"])
        .arg(&program)
        .arg(&source);
    assert!(gcc.status().is_ok_and(|s| s.success()), "gcc is needed");
    let program = program.display().to_string();
    let mut table = format!(
        "{} scripts at 1 s for {} s\n       runs/s  late p50      p99       max  advert p50  p99.9       max  daemon scripts\n",
        settings.scripts, settings.seconds
    );
    for which in [Stock, Ours] {
        if settings.only.is_none_or(|only| only == which) {
            table += &measure(which, &settings, &program);
        }
    }
    let _ = err.write_all(table.as_bytes());
    ExitCode::SUCCESS
}
