//! `reload_time_file`: a file that says when to reload next. Watched with its directory, so that it may come and go.
//!
//! One line: a time of day, or a date and a time, both local unless a `Z` follows. Source: keepalived.conf(5).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{EventStream, Inotify, WatchMask};

use crate::sys::civil::{Civil, Zone};
use crate::sys::clock;

/// The longest line that is looked at.
const LINE: usize = 64;
/// The wall clock may be set: it is looked at this often at least.
const LOOK: Duration = Duration::from_secs(30);
/// Seconds of a day.
const DAY: u64 = 86_400;

/// What the line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Today, or tomorrow when it has passed.
    TimeOfDay(Civil, Zone),
    At(Civil, Zone),
}

/// Reads the line. `None`: not a time.
fn parse(line: &str) -> Option<Told> {
    let line = line.trim();
    let (line, zone) = match line.strip_suffix('Z') {
        Some(line) => (line.trim_end(), Zone::Utc),
        None => (line, Zone::Local),
    };
    let numbers = |text: &str, by: char| -> Option<[i32; 3]> {
        let parts: Vec<&str> = text.split(by).collect();
        let digits = |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
        if parts.len() != 3 || !parts.iter().all(digits) {
            return None;
        }
        let numbers: Vec<i32> = parts.iter().filter_map(|p| p.parse().ok()).collect();
        numbers.try_into().ok()
    };
    let (date, time) = match line.split_once(' ') {
        Some((date, time)) => (Some(date), time.trim_start()),
        None => (None, line),
    };
    let [hour, minute, second] = numbers(time, ':')?;
    let date_of = |text: &str| {
        let [year, month, day] = numbers(text, '-')?;
        let year = if year < 100 { year + 2000 } else { year };
        ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((year, month, day))
    };
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (year, month, day) = match date {
        Some(date) => date_of(date)?,
        None => (0, 0, 0),
    };
    let civil = Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
    };
    Some(match date {
        Some(_) => Told::At(civil, zone),
        None => Told::TimeOfDay(civil, zone),
    })
}

/// Seconds since 1970 of what was told, seen from `now`. `None`: it has passed.
fn due(told: Told, now: u64) -> Option<u64> {
    match told {
        Told::At(civil, zone) => civil.to_unix(zone).filter(|at| *at > now),
        Told::TimeOfDay(time, zone) => {
            let on = |day: u64| {
                let date = Civil::of(day, zone);
                let there = Civil {
                    hour: time.hour,
                    minute: time.minute,
                    second: time.second,
                    ..date
                };
                there.to_unix(zone)
            };
            on(now).filter(|at| *at > now).or_else(|| on(now + DAY))
        }
    }
}

/// The file and when it wants a reload.
pub(super) struct ReloadTime {
    path: PathBuf,
    /// `reload_repeat`: a time of day counts each day.
    repeat: bool,
    events: Option<EventStream<Vec<u8>>>,
    told: Option<Told>,
    at: Option<u64>,
}

impl ReloadTime {
    /// Must be called inside a runtime.
    pub(super) fn watch(path: &Path, repeat: bool) -> Self {
        let events = events(path)
            .inspect_err(|e| {
                tracing::warn!(path = %path.display(), reason = %e, "Unable to watch reload_time_file");
            })
            .ok();
        let mut watch = Self {
            path: path.to_owned(),
            repeat,
            events,
            told: None,
            at: None,
        };
        watch.look();
        watch
    }

    /// Whether it is about this file, and so.
    pub(super) fn is(&self, path: &Path, repeat: bool) -> bool {
        self.path == path && self.repeat == repeat
    }

    fn now() -> u64 {
        clock::wall().as_secs()
    }

    fn look(&mut self) {
        let text = std::fs::read(&self.path).ok();
        let line = text.map(|t| {
            let text = String::from_utf8_lossy(t.get(..LINE).unwrap_or(&t)).into_owned();
            text.lines().next().unwrap_or_default().to_owned()
        });
        let told = line.as_deref().and_then(parse);
        let at = told.and_then(|told| due(told, Self::now()));
        if let Some(line) = &line {
            match (told, at) {
                (None, _) => {
                    tracing::info!("Reload time {line} format is incorrect - ignoring");
                }
                (Some(_), None) => tracing::info!("Reload time {line} is in the past - ignoring"),
                (Some(_), Some(_)) => {}
            }
        }
        let shown = |at: u64| Civil::of(at, Zone::Local);
        match (self.at, at) {
            (None, Some(at)) => tracing::info!("Scheduling reload for {}", shown(at)),
            (Some(old), Some(new)) if old != new => {
                tracing::info!("Reload time updated from {} to {}", shown(old), shown(new));
            }
            (Some(old), None) => tracing::info!("Cancelling reload scheduled for {}", shown(old)),
            (None, None) | (Some(_), Some(_)) => {}
        }
        (self.told, self.at) = (told, at);
    }

    /// Waits until it is time. Cancel safe.
    pub(super) async fn due(&mut self) {
        loop {
            let left = self
                .at
                .map(|at| Duration::from_secs(at).saturating_sub(clock::wall()));
            if left.is_some_and(|left| left.is_zero()) {
                return self.over();
            }
            let pause = left.unwrap_or(LOOK).min(LOOK);
            let event = async {
                match &mut self.events {
                    Some(events) => events.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                event = event => match event {
                    Some(Ok(event)) if event.name.as_deref() == self.path.file_name() => self.look(),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => self.events = None, // it is never found out why
                },
            }
        }
    }

    /// The reload comes: the next one is tomorrow, or when the file says so again.
    fn over(&mut self) {
        match self.told {
            Some(told @ Told::TimeOfDay(..)) if self.repeat => {
                self.at = due(told, Self::now());
                if let Some(at) = self.at {
                    tracing::info!("Scheduling reload for {}", Civil::of(at, Zone::Local));
                }
            }
            Some(_) | None => {
                (self.told, self.at) = (None, None);
                _ = std::fs::remove_file(&self.path); // somebody else was faster
            }
        }
    }
}

fn events(path: &Path) -> io::Result<EventStream<Vec<u8>>> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let inotify = Inotify::init()?;
    let mask = WatchMask::CREATE
        | WatchMask::CLOSE_WRITE
        | WatchMask::MOVED_TO
        | WatchMask::MOVED_FROM
        | WatchMask::DELETE;
    inotify.watches().add(dir, mask)?;
    inotify.into_event_stream(vec![0; 4096])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_time_or_a_date_and_a_time() {
        let civil = |text: &str| match parse(text) {
            Some(Told::At(c, zone) | Told::TimeOfDay(c, zone)) => Some((c.to_string(), zone)),
            None => None,
        };
        let at = |s: &str, zone| Some((s.to_owned(), zone));
        assert_eq!(
            civil("2027-02-03 04:05:06"),
            at("2027-02-03 04:05:06", Zone::Local)
        );
        assert_eq!(
            civil("27-02-03 04:05:06Z\n"),
            at("2027-02-03 04:05:06", Zone::Utc)
        );
        assert!(matches!(
            parse("04:05:06 Z"),
            Some(Told::TimeOfDay(_, Zone::Utc))
        ));
        for wrong in [
            "",
            "4",
            "24:00:00",
            "1:2",
            "2027-13-01 00:00:00",
            "x:y:z",
            "1:2:3:4",
            "+1:2:3",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_of_day_that_has_passed_is_tomorrows() {
        let now = 1_795_264_464; // 2026-11-21 12:34:24 UTC
        let at = |text: &str| due(parse(text).expect("a time"), now);
        assert_eq!(at("12:34:25 Z"), Some(now + 1));
        assert_eq!(at("12:34:24 Z"), Some(now + DAY));
        assert_eq!(at("2026-11-21 12:34:25 Z"), Some(now + 1));
        assert_eq!(at("2026-11-21 12:34:24 Z"), None);
    }
}
