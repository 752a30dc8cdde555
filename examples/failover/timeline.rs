//! Watches the wire, the logs, the interfaces and the answers to the pings, and tells what happens as it happens.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::lab::Lan;
use crate::lab::daemon::now;
use crate::lab::frame::{Event, Seen};
use crate::probe::Probe;
use crate::screen::{Kind, Screen};
use crate::{ROUTERS, VIP, seconds};

/// How often logs and interfaces are looked at; the wire has the kernel's timestamps.
const LOOK: Duration = Duration::from_millis(20);
/// Longer without an answer is a silence.
const SILENT: u64 = 50_000_000;

/// How long a line is held back, so that what is noticed later but happened earlier stands before it.
const HOLD: u64 = 60_000_000;

/// One line to be: when, who, what.
pub(crate) type Line = (u64, &'static str, Kind, String);

struct Watch<'a> {
    lan: &'a Lan,
    probe: &'a Probe,
    frames: usize,
    /// Per router: octets read of each of its logs.
    read: [Vec<usize>; 2],
    holds: [bool; 2],
    state: [&'static str; 2],
    silent_since: Option<u64>,
}

/// Runs until `stop`. `deeds`: what is done to the routers.
pub(crate) fn tell(
    lan: &Lan,
    probe: &Probe,
    screen: &Screen,
    deeds: &Receiver<Line>,
    stop: &AtomicBool,
) {
    let mut watch = Watch {
        lan,
        probe,
        frames: 0,
        read: [Vec::new(), Vec::new()],
        holds: [false; 2],
        state: ["-"; 2],
        silent_since: None,
    };
    let mut held: Vec<Line> = Vec::new();
    loop {
        let last = stop.load(Ordering::Relaxed);
        held.extend(watch.wire());
        held.extend(watch.logs());
        held.extend(watch.addresses());
        held.extend(watch.pings());
        held.extend(deeds.try_iter());
        held.sort_by_key(|line| line.0);
        let until = if last { u64::MAX } else { now() - HOLD };
        for (at, who, kind, text) in held.drain(..held.partition_point(|line| line.0 < until)) {
            screen.event(at, who, kind, &text);
        }
        if last {
            break;
        }
        screen.status(&watch.status(screen));
        std::thread::sleep(LOOK);
    }
    screen.status("");
}

impl Watch<'_> {
    fn wire(&mut self) -> Vec<Line> {
        let fresh = self.lan.capture.since(self.frames);
        self.frames += fresh.len();
        let mut lines: Vec<(Line, u32)> = Vec::new();
        for Seen {
            at, node, event, ..
        } in fresh
        {
            let Some(&who) = ROUTERS.get(node) else {
                continue;
            };
            let (kind, text) = match event {
                Event::Advert(a) if a.priority == 0 => {
                    (Kind::Resign, "advert, priority 0: I resign".to_owned())
                }
                Event::Advert(a) => (Kind::Advert, format!("advert, priority {}", a.priority)),
                Event::Announce(addr) => (
                    Kind::Announce,
                    format!("gratuitous ARP: {addr} is at {who}"),
                ),
                Event::Other => continue,
            };
            match lines.last_mut() {
                Some((last, times)) if (last.1, last.2, &last.3) == (who, kind, &text) => {
                    *times += 1
                }
                _ => lines.push(((at, who, kind, text), 1)),
            }
        }
        let count = |((at, who, kind, text), times): (Line, u32)| {
            let text = if times > 1 {
                format!("{text} ({times} times)")
            } else {
                text
            };
            (at, who, kind, text)
        };
        lines.into_iter().map(count).collect()
    }

    fn logs(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (n, who) in ROUTERS.into_iter().enumerate() {
            for (i, log) in self.lan.node(n).logs().into_iter().enumerate() {
                if self.read[n].len() <= i {
                    self.read[n].push(0);
                }
                let text = fs::read_to_string(&log).unwrap_or_default();
                let fresh = &text[self.read[n][i].min(text.len())..];
                let whole = fresh.rfind('\n').map_or(0, |end| end + 1);
                self.read[n][i] += whole;
                for line in fresh[..whole].lines() {
                    let Some((kind, text)) = understand(line) else {
                        continue;
                    };
                    if let Kind::Master | Kind::Backup | Kind::Fault = kind {
                        self.state[n] = text;
                    }
                    let text = if let Kind::Good | Kind::Bad = kind {
                        format!("script web: {text}")
                    } else {
                        text.to_owned()
                    };
                    lines.push((now(), who, kind, text));
                }
            }
        }
        lines
    }

    fn addresses(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (n, who) in ROUTERS.into_iter().enumerate() {
            let holds = self.lan.node(n).has(VIP);
            if holds != self.holds[n] {
                self.holds[n] = holds;
                let text = format!(
                    "{VIP} {} eth0 of {who}",
                    if holds { "is on" } else { "has left" }
                );
                lines.push((now(), who, Kind::Address, text));
            }
        }
        lines
    }

    fn pings(&mut self) -> Vec<Line> {
        let last = self.probe.last();
        let silent = last != 0 && now().saturating_sub(last) > SILENT;
        match (self.silent_since, silent) {
            (None, true) => {
                self.silent_since = Some(last);
                vec![(last, "ping", Kind::Bad, format!("{VIP} is silent"))]
            }
            (Some(since), false) => {
                self.silent_since = None;
                let took = Duration::from_nanos(last.saturating_sub(since));
                vec![(
                    last,
                    "ping",
                    Kind::Good,
                    format!("{VIP} answers again, after {}", seconds(took)),
                )]
            }
            (None, false) | (Some(_), true) => Vec::new(),
        }
    }

    fn status(&self, screen: &Screen) -> String {
        let router = |n: usize| {
            let colour = match self.state[n] {
                "MASTER" => "1;32",
                "FAULT" => "1;31",
                _ => "34",
            };
            let addr = if self.holds[n] { " ◆" } else { "" };
            format!(
                "{} {}{addr}",
                ROUTERS[n],
                screen.paint(colour, self.state[n])
            )
        };
        let ping = match (self.probe.last(), self.silent_since) {
            (0, _) => screen.paint("2", "no answer yet"),
            (_, None) => screen.paint("32", &format!("{} answers", self.probe.count())),
            (_, Some(since)) => screen.paint(
                "1;31",
                &format!(
                    "silent for {}",
                    seconds(Duration::from_nanos(now() - since))
                ),
            ),
        };
        format!("  {}   {}   ping {VIP}: {ping}", router(0), router(1))
    }
}

/// The lines of the log that the timeline shows.
fn understand(line: &str) -> Option<(Kind, &'static str)> {
    [
        ("Entering MASTER STATE", Kind::Master, "MASTER"),
        ("Entering BACKUP STATE", Kind::Backup, "BACKUP"),
        ("Entering FAULT STATE", Kind::Fault, "FAULT"),
        (
            "VRRP_Script(web) succeeded",
            Kind::Good,
            "the service is well",
        ),
        ("VRRP_Script(web) failed", Kind::Bad, "the service is down"),
    ]
    .into_iter()
    .find_map(|(text, kind, said)| line.contains(text).then_some((kind, said)))
}
