//! In a guest that has IPVS: how soon all is checked, and how soon a change is in the kernel.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::daemon::Daemon;
use crate::lab::ns::Namespace;
use crate::lab::{TempDir, poll};
use crate::routers::Which::{self, Ours, Stock};
use crate::servers::{Journal, Kind, POOL, answer, conf};
use crate::{LIMIT, Settings};

/// Servers that are checked by HTTP and by TLS: as many as a guest's processor answers.
const DEAR: usize = 500;
/// Servers of which one is changed.
const MANY: usize = 40_000;

fn weight_in_kernel(director: &Namespace, servers: usize) -> Option<String> {
    let vs = (servers - 1) / POOL;
    let mut command = Command::new("ipvsadm");
    command.args(["-Ln", "-t", &format!("10.78.{}.{}:80", vs >> 8, vs & 255)]);
    let out = director.run(|| command.output()).ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let last = format!("10.77.{}.{}:", (servers - 1) >> 8, (servers - 1) & 255);
    let line = text.lines().find(|l| l.contains(&last))?;
    line.split_whitespace().nth(3).map(str::to_owned)
}

fn world(kind: Kind) -> (Namespace, Journal, TempDir) {
    let director = Namespace::new();
    director.ip("route add local 10.77.0.0/16 dev lo");
    let journal = Journal::default();
    answer(&director, kind, &journal);
    (director, journal, TempDir::new())
}

fn name(which: Which) -> &'static str {
    match which {
        Ours => "ours",
        Stock => "stock",
    }
}

/// From the start until all are checked, and how many checks there are in a second from then on.
fn start(which: Which, kind: Kind, servers: usize, seconds: u64) -> String {
    let (director, journal, dir) = world(kind);
    let path = dir.path().join("keepalived.conf");
    fs::write(&path, conf(kind, servers, 1, 1)).expect("our own directory");
    let began = Instant::now();
    let mut daemon = Daemon::start(&director, &which.binary(), dir.path(), 1, &path, &["-C"]);
    let (mut seen, mut at) = (HashSet::new(), 0);
    let all = poll(LIMIT, || {
        let journal = journal.lock();
        seen.extend(journal.iter().skip(at).map(|(_, to)| *to));
        at = journal.len();
        (seen.len() >= servers).then(|| journal.last().map(|(when, _)| *when))
    });
    let all = all.flatten().map_or(0, |when| (when - began).as_millis());
    let (first, window) = (journal.lock().len(), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let checks = (journal.lock().len() - first) as u128;
    let rate = checks * 1000 / window.elapsed().as_millis().max(1);
    daemon.kill();
    format!(
        "{:<6} {:>5} {servers:>7} {all:>12} {rate:>9}\n",
        name(which),
        kind.word()
    )
}

/// One weight of many is changed.
fn reload(which: Which, servers: usize) -> String {
    let (kind, delay) = (Kind::Tcp, u32::try_from(servers / 400).unwrap_or(1).max(2));
    let (director, journal, dir) = world(kind);
    let path = dir.path().join("keepalived.conf");
    fs::write(&path, conf(kind, servers, 1, delay)).expect("our own directory");
    let mut daemon = Daemon::start(&director, &which.binary(), dir.path(), 1, &path, &["-C"]);
    let held = |weight: &str| weight_in_kernel(&director, servers).as_deref() == Some(weight);
    poll(LIMIT, || held("1").then_some(()));
    // A second without news from the start: checks go on, some hundred in a second.
    poll(LIMIT, || {
        (journal.lock().len() > servers / 40).then_some(())
    });
    fs::write(&path, conf(kind, servers, 9, delay)).expect("our own directory");
    let (from, began) = (journal.lock().len(), Instant::now());
    daemon.signal(Signal::SIGHUP);
    let there = poll(LIMIT, || held("9").then(|| began.elapsed()));
    // Until checks go on.
    poll(LIMIT, || {
        (journal.lock().len() > from + servers / 40).then_some(())
    });
    let times: Vec<Instant> = journal.lock()[from.saturating_sub(1)..]
        .iter()
        .map(|(when, _)| *when)
        .collect();
    let gaps = times.windows(2).map(|t| t[1] - t[0]);
    let gap = gaps.max().unwrap_or_default().as_millis();
    daemon.kill();
    let there = there.unwrap_or_default().as_millis();
    format!(
        "{:<6} {:>5} {servers:>7} {there:>12} {gap:>9}\n",
        name(which),
        kind.word()
    )
}

/// Inside the guest.
pub(crate) fn measure(settings: &Settings) -> String {
    let mut table = String::new();
    let mut say = |line: String| {
        let _ = std::io::stderr().write_all(line.as_bytes());
        table += &line;
    };
    say("        kind servers  all checked  checks/s\n".to_owned());
    let tcp = settings.servers.iter().map(|n| (Kind::Tcp, *n));
    for (kind, servers) in tcp.chain([(Kind::Http, DEAR), (Kind::Tls, DEAR / 5)]) {
        for which in [Stock, Ours] {
            say(start(which, kind, servers, settings.seconds));
        }
    }
    say("        kind servers       reload       gap\n".to_owned());
    for which in [Stock, Ours] {
        say(reload(which, MANY));
    }
    table
}
