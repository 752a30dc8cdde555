//! In a guest that has IPVS: how soon all is checked, and how soon a change is in the kernel.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::daemon::Daemon;
use crate::lab::ns::Namespace;
use crate::lab::{TempDir, poll};
use crate::routers::Which::{self, Ours, Stock};
use crate::servers::{Journal, Kind, answer, conf, place};
use crate::{
    LIMIT, PATIENCE, Part, Reloaded, Settings, Took, medians, of_both, pause, progress, table,
};

/// Servers that are checked by HTTP and by TLS: as many as a guest's processor answers.
const DEAR: usize = 500;

fn world(kind: Kind) -> (Namespace, Journal, TempDir) {
    let director = Namespace::new();
    director.ip("route add local 10.77.0.0/16 dev lo");
    let journal = Journal::default();
    answer(&director, kind, &journal);
    (director, journal, TempDir::new())
}

/// From the start until all are checked, and how many checks there are in a second from then on.
fn start(which: Which, kind: Kind, servers: usize, seconds: u64) -> (Took, u64) {
    let (director, journal, dir) = world(kind);
    let path = dir.path().join("keepalived.conf");
    fs::write(&path, conf(kind, servers, 1, 1)).expect("our own directory");
    let began = Instant::now();
    let mut daemon = Daemon::start(&director, &which.binary(), dir.path(), 1, &path, &["-C"]);
    let (mut seen, mut at) = (HashSet::new(), 0);
    let all = poll(LIMIT, || {
        let journal = journal.lock();
        let all = journal.iter().skip(at).find(|(_, to)| {
            seen.insert(*to);
            seen.len() >= servers
        });
        at = journal.len();
        all.map(|(when, _)| when.saturating_duration_since(began))
    });
    let all = Took::of(began, all);
    let (first, window) = (journal.lock().len(), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let checks = (journal.lock().len() - first) as u128;
    let rate = checks * 1000 / window.elapsed().as_millis().max(1);
    daemon.kill();
    (all, u64::try_from(rate).unwrap_or(0))
}

/// One weight of many is changed.
fn reload(which: Which, servers: usize) -> Reloaded {
    let (kind, delay) = (Kind::Tcp, u32::try_from(servers / 400).unwrap_or(1).max(2));
    let (director, journal, dir) = world(kind);
    let path = dir.path().join("keepalived.conf");
    fs::write(&path, conf(kind, servers, 1, delay)).expect("our own directory");
    let began = Instant::now();
    let mut daemon = Daemon::start(&director, &which.binary(), dir.path(), 1, &path, &["-C"]);
    let (vs, rs) = place(servers - 1);
    let held = |weight| director.run(|| table::weight(vs, rs)) == Some(weight);
    let (mut seen, mut at) = (HashSet::new(), 0);
    let all = poll(PATIENCE, || {
        let journal = journal.lock();
        seen.extend(journal.iter().skip(at).map(|(_, to)| *to));
        at = journal.len();
        let all = seen.len() >= servers;
        drop(journal);
        (all && held(1)).then(|| began.elapsed())
    });
    let mut found = Reloaded {
        start: Took::of(began, all),
        there: Took::NotBegun,
        pause: Took::NotBegun,
    };
    progress(&format!(
        "{which:?}, {servers}: checked once after {} s",
        found.start.word()
    ));
    if all.is_none() {
        return found;
    }
    fs::write(&path, conf(kind, servers, 9, delay)).expect("our own directory");
    let (from, began) = (journal.lock().len(), Instant::now());
    daemon.signal(Signal::SIGHUP);
    let there = poll(PATIENCE, || held(9).then(|| began.elapsed()));
    found.there = Took::of(began, there);
    progress(&format!(
        "{which:?}, {servers}: reloaded after {} s",
        found.there.word()
    ));
    // Until checks go on.
    let enough = journal.lock().len() + servers / 40;
    let goes_on = there.and_then(|_| poll(LIMIT, || (journal.lock().len() > enough).then_some(())));
    found.pause = pause(&journal, from, began, goes_on.is_some());
    daemon.kill();
    found
}

/// Inside the guest.
pub(crate) fn measure(settings: &Settings) -> String {
    let mut table = String::new();
    let mut say = |line: String| {
        let _ = std::io::stderr().write_all(line.as_bytes());
        table += &line;
    };
    if settings.runs(Part::Table) {
        let head = [
            "from the start, s",
            "stock",
            "ours",
            "ratio",
            "checks/s",
            "",
        ];
        say(row(head));
        let tcp = settings.servers.iter().map(|n| (Kind::Tcp, *n));
        for (kind, servers) in tcp.chain([(Kind::Http, DEAR), (Kind::Tls, DEAR / 5)]) {
            let both = [Stock, Ours].map(|w| start(w, kind, servers, settings.seconds));
            let [(stock, stock_rate), (ours, our_rate)] = both;
            say(row([
                &format!("{} {servers}, all checked", kind.word()),
                &stock.word(),
                &ours.word(),
                &of_both(stock, ours),
                &stock_rate.to_string(),
                &our_rate.to_string(),
            ]));
        }
    }
    if settings.runs(Part::Kernel) {
        for servers in settings.many([1000, 4000]) {
            let [stock, ours] =
                [Stock, Ours].map(|w| medians(settings.rounds, || reload(w, servers)));
            say(row([
                &format!("1 of {servers} changed, s"),
                "stock",
                "ours",
                "ratio",
                "",
                "",
            ]));
            for (n, what) in Reloaded::NAMES.into_iter().enumerate() {
                say(row([
                    what,
                    &stock[n].word(),
                    &ours[n].word(),
                    &of_both(stock[n], ours[n]),
                    "",
                    "",
                ]));
            }
        }
    }
    table
}

fn row([what, stock, ours, ratio, stock_rate, our_rate]: [&str; 6]) -> String {
    format!("{what:<32} {stock:>10} {ours:>10} {ratio:>8} {stock_rate:>9} {our_rate:>9}\n")
}
