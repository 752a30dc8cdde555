//! On this machine's own kernel, whose clocks are exact: what a check costs, and what a real server takes in memory.
//!
//! The daemons are told that there is an IPVS (`ipvs.c`). Processor time is that of the scheduler
//! (`/proc/PID/task/TID/schedstat`, nanoseconds), of all threads of all processes of the daemon, system calls included;
//! other load on the machine does not count, though it makes caches cold. Rounds alternate between the two.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::ns::Namespace;
use crate::lab::{TempDir, poll};
use crate::routers::Which::{self, Ours, Stock};
use crate::servers::{Journal, Kind, answer, conf, family};
use crate::{LIMIT, Settings};

/// After this both are at rest: what only the start needed has gone back to the kernel.
const REST: Duration = Duration::from_secs(25);

/// Who answers the checks, for all rows.
struct World {
    director: Namespace,
    dir: TempDir,
    preloaded: PathBuf,
}

/// Of all processes of a daemon.
struct Cost {
    /// Nanoseconds of processor time for each check.
    check: u64,
    /// KiB resident.
    memory: u64,
}

/// Nanoseconds of processor time.
fn time(pid: Pid) -> u64 {
    let threads = family(pid).into_iter().flat_map(|pid| {
        let threads = fs::read_dir(format!("/proc/{pid}/task"));
        threads.into_iter().flatten().flatten()
    });
    let spent = threads.filter_map(|t| {
        let text = fs::read_to_string(t.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    spent.sum()
}

fn resident(pid: Pid) -> u64 {
    let of = |pid: Pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find(|l| l.starts_with("VmRSS"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    family(pid).into_iter().filter_map(of).sum()
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new();
        let preloaded = dir.path().join("ipvs.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/checks/ipvs.c");
        let built = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&preloaded, &source])
            .status();
        assert!(
            built.is_ok_and(|s| s.success()),
            "cc builds {}",
            source.display()
        );
        let director = Namespace::new();
        director.ip("route add local 10.77.0.0/16 dev lo");
        director.sysctl("net/core/somaxconn", "16384");
        // As many connections as there are in a minute.
        director.sysctl("net/ipv4/ip_local_port_range", "1024 65535");
        Self {
            director,
            dir,
            preloaded,
        }
    }

    fn cost(
        &self,
        which: Which,
        kind: Kind,
        servers: usize,
        (seconds, rest): (u64, Duration),
        journal: &Journal,
    ) -> Cost {
        let path = self.dir.path().join("keepalived.conf");
        fs::write(&path, conf(kind, servers, 1, 1)).expect("our own directory");
        let mut command = Command::new(which.binary());
        command.args(["-n", "-l", "-D", "-C", "-f"]).arg(&path);
        for option in ["-p", "-c", "-r", "-b"] {
            let file = self.dir.path().join(format!("pid{option}"));
            // Who was killed has left it behind.
            let _ = fs::remove_file(&file);
            command.arg(option).arg(file);
        }
        command
            .env("LD_PRELOAD", &self.preloaded)
            .env("TMPDIR", self.dir.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (before, began) = (journal.lock().len(), Instant::now());
        let mut child = self
            .director
            .spawn(&mut command)
            .expect("the daemon starts");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"));
        // Two rounds: what is made once is made.
        let running = poll(LIMIT, || {
            (journal.lock().len() > before + 2 * servers).then_some(())
        });
        let (first, spent) = (journal.lock().len(), time(pid));
        std::thread::sleep(Duration::from_secs(seconds));
        let (last, all) = (journal.lock().len(), time(pid));
        // At rest: what only the start needed has gone back by then.
        std::thread::sleep(rest.saturating_sub(began.elapsed()));
        let memory = resident(pid);
        for pid in family(pid).into_iter().rev() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = child.wait();
        assert!(
            running.is_some(),
            "{which:?} checks {servers} servers by {}",
            kind.word()
        );
        Cost {
            check: (all - spent) / (last - first).max(1) as u64,
            memory,
        }
    }
}

fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

/// How much less the second is than the first, in percent.
fn ahead(stock: u64, ours: u64) -> String {
    let (stock, ours) = (i128::from(stock), i128::from(ours));
    format!("{} %", (stock - ours) * 100 / stock.max(1))
}

pub(crate) fn measure(settings: &Settings) -> String {
    let mut table = String::new();
    let mut say = |line: String| {
        let _ = std::io::stderr().write_all(line.as_bytes());
        table += &line;
    };
    let world = World::new();
    let journal = Journal::default();
    for kind in [Kind::Tcp, Kind::Http, Kind::Tls] {
        answer(&world.director, kind, &journal);
    }
    say(format!(
        "{:<28} {:>10} {:>10} {:>8}   least {:>9} {:>9}\n",
        "processor time, us a check", "stock", "ours", "less", "stock", "ours"
    ));
    for (kind, servers) in [(Kind::Tcp, 1000), (Kind::Http, 1000), (Kind::Tls, 300)] {
        let (mut stock, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            for (which, all) in [(Stock, &mut stock), (Ours, &mut ours)] {
                all.push(
                    world
                        .cost(
                            which,
                            kind,
                            servers,
                            (settings.seconds, Duration::ZERO),
                            &journal,
                        )
                        .check
                        / 100,
                );
            }
        }
        let least = |all: &[u64]| all.iter().min().copied().unwrap_or(0);
        let (least_stock, least_ours) = (least(&stock), least(&ours));
        let (stock, ours) = (median(stock), median(ours));
        let tenth = |n: u64| format!("{}.{}", n / 10, n % 10);
        say(format!(
            "{:<28} {:>10} {:>10} {:>8}   least {:>9} {:>9}\n",
            format!("{} {servers}", kind.word()),
            tenth(stock),
            tenth(ours),
            ahead(stock, ours),
            tenth(least_stock),
            tenth(least_ours),
        ));
    }
    say(format!(
        "{:<28} {:>10} {:>10} {:>8}\n",
        "resident memory, KiB", "stock", "ours", "less"
    ));
    let few = 10;
    let base = [Stock, Ours].map(|w| world.cost(w, Kind::Tcp, few, (1, REST), &journal).memory);
    for servers in settings.servers.iter().copied() {
        let [stock, ours] = [Stock, Ours].map(|w| {
            world
                .cost(w, Kind::Tcp, servers, (1, REST), &journal)
                .memory
        });
        let mut line = String::new();
        let _ = writeln!(
            line,
            "{:<28} {stock:>10} {ours:>10} {:>8}",
            format!("TCP {servers}, in all"),
            ahead(stock, ours)
        );
        let more = (servers - few).max(1) as u64;
        let grown = |all: u64, base: u64| all.saturating_sub(base) * 1024 / more;
        let (stock, ours) = (grown(stock, base[0]), grown(ours, base[1]));
        let _ = writeln!(
            line,
            "{:<28} {stock:>10} {ours:>10} {:>8}",
            "  octets for each more",
            ahead(stock, ours)
        );
        say(line);
    }
    table
}
