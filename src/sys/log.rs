//! The log: `tracing` events → one bounded queue → one thread → console and syslog.
//!
//! A logging call never waits, neither for a terminal nor for syslogd: what finds no room in the queue is counted and
//! reported later. Nothing is written before [`Log::start`] or [`Log::flush`], so a fork between [`Log::install`] and
//! [`Log::start`] takes the lines along. A line is worded on the thread that says it; the VRRP task does so after its
//! packets have left. Source: syslog(3), RFC 3164, keepalived(8) `-l -D -S -G -g`.

mod local;
mod said;
mod writer;

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

pub(crate) use self::local::Local;
use self::said::Said;
use self::writer::Writer;

/// Lines that wait to be written: every instance of a large configuration says a few things at once. The channel takes
/// memory only for what is in it.
const QUEUE: usize = 16_384;

/// What to log, and where to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `-n -l`: standard error, with the time.
    pub(crate) console: bool,
    /// syslog with this facility (`LOG_DAEMON` …), none with `-G`.
    pub(crate) facility: Option<i32>,
    /// `-g`: these files, with the time; one for each speaker.
    pub(crate) file: Option<PathBuf>,
    /// Console and files get JSON instead of text.
    pub(crate) json: bool,
    /// The least important level of our own messages: INFO, DEBUG with `-D`, TRACE with `-DD`.
    pub(crate) level: Level,
    /// Other levels, by the first part of the module's path; a later one counts.
    pub(crate) areas: Vec<(&'static str, Level)>,
    /// Appended to the identities: `_NAMESPACE_INSTANCE`.
    pub(crate) suffix: String,
}

/// Who speaks: each has an identity in syslog, as keepalived's processes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Speaker {
    Daemon,
    Vrrp,
    Checkers,
}

impl Speaker {
    /// By the module that the message comes from.
    fn of(target: &str) -> Self {
        let ours = target.strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::"));
        let mut parts = ours.unwrap_or_default().split("::");
        match (parts.next(), parts.next()) {
            (Some("lvs"), _) | (Some("sys"), Some("ipvs" | "genl")) => Self::Checkers,
            (Some("vrrp" | "track" | "notify" | "reconcile" | "sys" | "addresses"), _) => {
                Self::Vrrp
            }
            _ => Self::Daemon,
        }
    }

    fn ident(self) -> &'static str {
        match self {
            Self::Daemon => "Keepalived",
            Self::Vrrp => "Keepalived_vrrp",
            Self::Checkers => "Keepalived_healthcheckers",
        }
    }
}

/// One message.
#[derive(Clone, Debug)]
struct Line {
    at: SystemTime,
    level: Level,
    /// The module that it comes from.
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Line {
    /// The message, then ` key=value` for each field.
    fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            _ = write!(text, " {name}={value}"); // writing to a String cannot fail
        }
        text
    }
}

/// The part of the program that a module of ours belongs to: `vrrp`, `lvs` …; `None`: a library's.
fn area(target: &str) -> Option<&str> {
    let ours = target.strip_prefix(env!("CARGO_CRATE_NAME"))?;
    Some(
        ours.trim_start_matches("::")
            .split("::")
            .next()
            .unwrap_or_default(),
    )
}

enum Item {
    Said(Said),
    /// Answer when everything before is written.
    Flush(std::sync::mpsc::SyncSender<()>),
}

/// The owner's end of the log.
pub(crate) struct Log {
    queue: Sender<Item>,
    /// Until the thread has it.
    waiting: Option<(Receiver<Item>, Writer)>,
}

impl Log {
    /// Makes this the process's log. `log` records of libraries come in too, errors only (with `-D` warnings too: the
    /// netlink crates warn of every attribute that is younger than they are).
    pub(crate) fn install(settings: Settings) -> Self {
        let (queue, lines) = channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let layer = Queue {
            queue: queue.clone(),
            lost: Arc::clone(&lost),
            level: settings.level,
            areas: settings.areas.clone(),
        };
        // Fails when a test of the same process was here before; its log is as good.
        _ = tracing_subscriber::registry().with(layer).try_init();
        let writer = Writer::new(settings, lost);
        Self {
            queue,
            waiting: Some((lines, writer)),
        }
    }

    /// Appends `suffix` to the identities. To be called before [`Log::start`].
    pub(crate) fn rename(&mut self, suffix: String) {
        if let Some((_, writer)) = &mut self.waiting {
            writer.settings.suffix = suffix;
        }
    }

    /// Starts writing, on a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be made; nothing is written then.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let Some((mut lines, writer)) = self.waiting.take() else {
            return Ok(());
        };
        let builder = std::thread::Builder::new().name("keepalived_log".into());
        builder.spawn(move || writer.run(&mut lines)).map(drop)
    }

    /// Writes everything that was said so far, waiting no longer than `patience`.
    pub(crate) fn flush(&mut self, patience: Duration) {
        if let Some((lines, writer)) = &mut self.waiting {
            while let Ok(item) = lines.try_recv() {
                writer.take(item);
            }
            return;
        }
        let deadline = Instant::now() + patience;
        let (done, written) = sync_channel(1);
        let mut item = Item::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(item) {
            if Instant::now() >= deadline {
                return;
            }
            item = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        // Too late or written: there is nothing more to do in either case.
        _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// The tracing layer: words an event and queues it.
struct Queue {
    queue: Sender<Item>,
    lost: Arc<AtomicU64>,
    level: Level,
    areas: Vec<(&'static str, Level)>,
}

impl<S: Subscriber> Layer<S> for Queue {
    fn enabled(&self, meta: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let most = match area(meta.target()) {
            Some(area) => {
                let mut own = self.areas.iter().rev();
                own.find(|(name, _)| *name == area)
                    .map_or(self.level, |(_, level)| *level)
            }
            None if self.level >= Level::DEBUG => Level::WARN,
            None => Level::ERROR,
        };
        *meta.level() <= most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = self.areas.iter().map(|(_, level)| *level);
        levels.chain([self.level]).max().map(Into::into)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.queue.try_send(Item::Said(Said::new(event))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `say` logs at `level`, in a queue of `room` lines that nobody reads; and how many were lost.
    fn said(level: Level, room: usize, say: impl FnOnce()) -> (Vec<Line>, u64) {
        let (queue, mut lines) = channel(room);
        let lost = Arc::new(AtomicU64::new(0));
        let layer = Queue {
            queue,
            lost: Arc::clone(&lost),
            level,
            areas: vec![("lvs", Level::ERROR), ("track", Level::TRACE)],
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
        let lines = std::iter::from_fn(|| match lines.try_recv() {
            Ok(Item::Said(said)) => Some(said.line()),
            Ok(Item::Flush(_)) | Err(_) => None,
        });
        (lines.collect(), lost.load(Ordering::Relaxed))
    }

    #[test]
    fn an_event_is_its_message_and_its_fields() {
        let reason = io::Error::from(io::ErrorKind::NotFound);
        let (lines, _) = said(Level::INFO, 9, || {
            tracing::info!("(VI_1) Entering MASTER STATE");
            tracing::warn!(iface = "eth0", reason = %reason, from = ?[1, 2], "no luck");
            tracing::debug!("a detail");
        });
        let texts: Vec<_> = lines.iter().map(Line::text).collect();
        let fields = "no luck iface=\"eth0\" reason=entity not found from=[1, 2]";
        assert_eq!(texts, ["(VI_1) Entering MASTER STATE", fields]);
    }

    #[test]
    fn a_full_queue_loses_lines_and_counts_them() {
        let (lines, lost) = said(Level::INFO, 3, || {
            (0..10).for_each(|n| tracing::info!("line {n}"));
        });
        assert_eq!((lines.len(), lost), (3, 7));
        assert_eq!(lines[2].text(), "line 2");
    }

    #[test]
    fn libraries_may_only_complain() {
        let say = || {
            tracing::error!(target: "netlink_proto", "e");
            tracing::warn!(target: "netlink_proto", "w");
            tracing::info!(target: "netlink_proto", "i");
        };
        assert_eq!(said(Level::INFO, 9, say).0.len(), 1);
        assert_eq!(said(Level::DEBUG, 9, say).0.len(), 2);
    }

    #[test]
    fn an_area_may_say_more_or_less() {
        let say = || {
            tracing::warn!(target: "keepalived_rs::lvs::task", "too much");
            tracing::error!(target: "keepalived_rs::lvs::task", "an error");
            tracing::trace!(target: "keepalived_rs::track", "a trace");
            tracing::debug!(target: "keepalived_rs::vrrp", "a detail");
        };
        let (lines, _) = said(Level::INFO, 9, say);
        let texts: Vec<_> = lines.iter().map(Line::text).collect();
        assert_eq!(texts, ["an error", "a trace"]);
    }

    #[test]
    fn the_module_decides_who_speaks() {
        let ident = |target: &str| Speaker::of(target).ident();
        assert_eq!(ident("keepalived_rs::vrrp::task"), "Keepalived_vrrp");
        assert_eq!(ident("keepalived_rs::track::script"), "Keepalived_vrrp");
        assert_eq!(
            ident("keepalived_rs::lvs::task"),
            "Keepalived_healthcheckers"
        );
        assert_eq!(
            ident("keepalived_rs::sys::ipvs"),
            "Keepalived_healthcheckers"
        );
        assert_eq!(ident("keepalived_rs::daemon::run"), "Keepalived");
        assert_eq!(ident("log"), "Keepalived");
        assert_eq!(ident(module_path!()), "Keepalived_vrrp");
    }

    #[test]
    fn a_moment_prints_like_ctime() {
        let text =
            Local::of(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 200)).to_string();
        // Whatever the zone is, it is this day or a neighbour.
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(
            (words[1], words[4], text.len()),
            ("Jul", "1970", 24),
            "{text}"
        );
        assert!(["18", "19", "20"].contains(&words[2]), "{text}");
    }

    #[test]
    fn a_flush_before_the_start_writes_and_returns() {
        let (queue, lines) = channel(9);
        let settings = Settings {
            console: false,
            facility: None,
            file: None,
            json: false,
            level: Level::INFO,
            areas: Vec::new(),
            suffix: String::new(),
        };
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(settings, lost);
        let mut log = Log {
            queue,
            waiting: Some((lines, writer)),
        };
        log.flush(Duration::ZERO);
        log.start().expect("a thread");
        log.flush(LIMIT);
        let (done, written) = sync_channel(1);
        assert!(
            log.queue.try_send(Item::Flush(done)).is_ok() && written.recv_timeout(LIMIT).is_ok(),
            "the thread lives"
        );
    }

    const LIMIT: Duration = Duration::from_secs(10);
}
