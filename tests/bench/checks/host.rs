//! On this machine's own kernel, whose clocks are exact: what a check costs, what a real server takes in memory, and how long
//! checks pause when one of many real servers is changed.
//!
//! The daemons are told that there is an IPVS (`ipvs.c`). Processor time is that of the scheduler
//! (`/proc/PID/task/TID/schedstat`, nanoseconds), of all threads of all processes of the daemon, system calls included;
//! other load on the machine does not count, though it makes caches cold. Memory is the share of each page that is the
//! daemon's (`smaps_rollup`, Pss): what its processes have in common counts once. Rounds alternate between the two.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::lab::ns::Namespace;
use crate::lab::{TempDir, poll};
use crate::routers::Which::{self, Ours, Stock};
use crate::servers::{Journal, Kind, answer, conf, family};
use crate::{
    LIMIT, PATIENCE, Part, Reloaded, Settings, Took, ahead, medians, of_both, pause, progress,
};

/// After this both are at rest: what only the start needed has gone back to the kernel.
const REST: Duration = Duration::from_secs(25);

/// Checks in a second while one of many is changed: a pause of a few milliseconds shows.
const RATE: u32 = 4000;

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

/// Nanoseconds of the clock that `ipvs.c` reads.
fn monotonic() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every kernel has it");
    now.tv_sec() * 1_000_000_000 + now.tv_nsec()
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
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find(|l| l.starts_with("Pss:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    family(pid).into_iter().filter_map(of).sum()
}

/// A daemon, ended when dropped.
struct Running {
    child: Child,
    pid: Pid,
}

impl Drop for Running {
    fn drop(&mut self) {
        for pid in family(self.pid).into_iter().rev() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
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

    /// When real servers were changed in the kernel, nanoseconds of the monotonic clock.
    fn changes(&self) -> Vec<i64> {
        let text = fs::read_to_string(self.dir.path().join("changes")).unwrap_or_default();
        text.lines().filter_map(|l| l.parse().ok()).collect()
    }

    fn configure(&self, conf: &str) -> PathBuf {
        let path = self.dir.path().join("keepalived.conf");
        fs::write(&path, conf).expect("our own directory");
        path
    }

    fn start(&self, which: Which, conf: &str) -> Running {
        let mut command = Command::new(which.binary());
        command.args(["-n", "-l", "-D", "-C", "-f"]);
        command.arg(self.configure(conf));
        for option in ["-p", "-c", "-r", "-b"] {
            let file = self.dir.path().join(format!("pid{option}"));
            // Who was killed has left it behind.
            let _ = fs::remove_file(&file);
            command.arg(option).arg(file);
        }
        let changes = self.dir.path().join("changes");
        let _ = fs::remove_file(&changes);
        command
            .env("LD_PRELOAD", &self.preloaded)
            .env("CHANGES", changes)
            .env("TMPDIR", self.dir.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = self
            .director
            .spawn(&mut command)
            .expect("the daemon starts");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"));
        Running { child, pid }
    }

    /// One weight of many is changed.
    fn reload(&self, which: Which, servers: usize, journal: &Journal) -> Reloaded {
        let delay = (u32::try_from(servers).unwrap_or(u32::MAX) / RATE).max(2);
        let conf = |weight| conf(Kind::Tcp, servers, weight, delay);
        let (before, began) = (journal.lock().len(), Instant::now());
        let daemon = self.start(which, &conf(1));
        let mut seen = HashSet::new();
        let mut at = before;
        let all = poll(PATIENCE, || {
            let journal = journal.lock();
            let fresh = journal.iter().skip(at);
            at = journal.len();
            seen.extend(fresh.map(|(_, to)| *to));
            (seen.len() >= servers).then(|| began.elapsed())
        });
        let start = Took::of(began, all);
        progress(&format!(
            "{which:?}, {servers}: checked once after {} s",
            start.word()
        ));
        let mut found = Reloaded {
            start,
            there: Took::NotBegun,
            pause: Took::NotBegun,
        };
        // Until checks go their way: who was late with all of them has made up for it.
        let enough = journal.lock().len() + servers / 4;
        let settled =
            all.and_then(|_| poll(PATIENCE, || (journal.lock().len() > enough).then_some(())));
        if settled.is_none() {
            return found;
        }
        self.configure(&conf(9));
        let (from, first, began) = (monotonic(), journal.lock().len(), Instant::now());
        kill(daemon.pid, Signal::SIGHUP).expect("a process of ours");
        let asked = poll(PATIENCE, || {
            let at = self.changes().into_iter().find(|at| *at > from)?;
            Some(Duration::from_nanos(u64::try_from(at - from).unwrap_or(0)))
        });
        found.there = Took::of(began, asked);
        progress(&format!(
            "{which:?}, {servers}: reloaded after {} s",
            found.there.word()
        ));
        // Checks go on, and whoever began all of them anew has begun.
        let (enough, settled) = (
            journal.lock().len() + servers / 20,
            Instant::now() + Duration::from_secs(1),
        );
        let goes_on = asked.and_then(|_| {
            poll(LIMIT, || {
                let enough = journal.lock().len() > enough;
                (enough && Instant::now() > settled).then_some(())
            })
        });
        found.pause = pause(journal, first, began, goes_on.is_some());
        found
    }

    fn cost(
        &self,
        which: Which,
        kind: Kind,
        servers: usize,
        (seconds, rest): (u64, Duration),
        journal: &Journal,
    ) -> Cost {
        let (before, began) = (journal.lock().len(), Instant::now());
        let daemon = self.start(which, &conf(kind, servers, 1, 1));
        let pid = daemon.pid;
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
        drop(daemon);
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
    if settings.runs(Part::Cost) {
        processor(&world, settings, &journal, &mut say);
    }
    if settings.runs(Part::Memory) {
        memory(&world, settings, &journal, &mut say);
    }
    if settings.runs(Part::Reload) {
        reloads(&world, settings, &journal, &mut say);
    }
    table
}

fn processor(world: &World, settings: &Settings, journal: &Journal, say: &mut dyn FnMut(String)) {
    say(format!(
        "{:<28} {:>10} {:>10} {:>8}   least {:>9} {:>9}\n",
        "processor time, us a check", "stock", "ours", "less", "stock", "ours"
    ));
    for (kind, servers) in [(Kind::Tcp, 1000), (Kind::Http, 1000), (Kind::Tls, 300)] {
        let (mut stock, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            for (which, all) in [(Stock, &mut stock), (Ours, &mut ours)] {
                let measured = (settings.seconds, Duration::ZERO);
                all.push(world.cost(which, kind, servers, measured, journal).check / 100);
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
}

fn memory(world: &World, settings: &Settings, journal: &Journal, say: &mut dyn FnMut(String)) {
    let line = |what: &str, [stock, ours]: [u64; 2]| {
        format!(
            "{what:<28} {stock:>10} {ours:>10} {:>8}\n",
            ahead(stock, ours)
        )
    };
    say(format!(
        "{:<28} {:>10} {:>10} {:>8}\n",
        "memory, KiB", "stock", "ours", "less"
    ));
    let few = 10;
    let of = |servers| {
        let one = |w| world.cost(w, Kind::Tcp, servers, (1, REST), journal).memory;
        [Stock, Ours].map(one)
    };
    let base = of(few);
    say(line(&format!("TCP {few}, in all"), base));
    for servers in settings.servers.iter().copied() {
        let all = of(servers);
        say(line(&format!("TCP {servers}, in all"), all));
        let more = (servers - few).max(1) as u64;
        let grown = |n: usize| all[n].saturating_sub(base[n]) * 1024 / more;
        say(line("  octets for each more", [grown(0), grown(1)]));
    }
}

fn reloads(world: &World, settings: &Settings, journal: &Journal, say: &mut dyn FnMut(String)) {
    for servers in settings.many([4000, 40_000]) {
        let [stock, ours] =
            [Stock, Ours].map(|w| medians(settings.rounds, || world.reload(w, servers, journal)));
        say(format!(
            "{:<32} {:>10} {:>10} {:>10}\n",
            format!("1 of {servers} changed, s"),
            "stock",
            "ours",
            "ratio"
        ));
        for (n, what) in Reloaded::NAMES.into_iter().enumerate() {
            say(format!(
                "{what:<32} {:>10} {:>10} {:>10}\n",
                stock[n].word(),
                ours[n].word(),
                of_both(stock[n], ours[n])
            ));
        }
    }
}
