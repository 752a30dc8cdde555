//! The log: `tracing` events → one bounded queue → one thread → console and syslog.
//!
//! A logging call never waits, neither for a terminal nor for syslogd: what finds no room in the queue is counted and
//! reported later. Nothing is written before [`Log::start`] or [`Log::flush`], so a fork between [`Log::install`] and
//! [`Log::start`] takes the lines along. Source: syslog(3), RFC 3164, keepalived(8) `-l -D -S -G`.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that wait to be written: every instance of a large configuration says a few things at once. The channel takes
/// memory only for what is in it.
const QUEUE: usize = 16_384;
/// Where syslogd listens.
const SYSLOG: &str = "/dev/log";
/// How long one line may take to be handed to syslogd.
const SYSLOG_PATIENCE: Duration = Duration::from_secs(1);

/// What to log, and where to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `-n -l`: standard error, with the time.
    pub(crate) console: bool,
    /// syslog with this facility (`LOG_DAEMON` …), none with `-G`.
    pub(crate) facility: Option<i32>,
    /// The least important level of our own messages: INFO, DEBUG with `-D`, TRACE with `-DD`.
    pub(crate) level: Level,
    /// Appended to the identities: `_NAMESPACE_INSTANCE`.
    pub(crate) suffix: String,
}

/// Who speaks: each has an identity in syslog, as keepalived's processes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            (Some("vrrp" | "track" | "notify" | "reconcile" | "sys"), _) => Self::Vrrp,
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
#[derive(Debug)]
struct Line {
    at: SystemTime,
    level: Level,
    speaker: Speaker,
    text: String,
}

enum Item {
    Line(Line),
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
        };
        // Fails when a test of the same process was here before; its log is as good.
        _ = tracing_subscriber::registry().with(layer).try_init();
        let writer = Writer {
            settings,
            socket: None,
            lost,
        };
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
}

impl<S: Subscriber> Layer<S> for Queue {
    fn enabled(&self, meta: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let ours = meta.target().starts_with(env!("CARGO_CRATE_NAME"));
        let library = match self.level >= Level::DEBUG {
            true => Level::WARN,
            false => Level::ERROR,
        };
        *meta.level() <= if ours { self.level } else { library }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.into())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let line = Line {
            at: SystemTime::now(),
            level: *event.metadata().level(),
            speaker: Speaker::of(event.metadata().target()),
            text: text.message + &text.fields,
        };
        if self.queue.try_send(Item::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An event in words: the message, then ` key=value` for each field.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail; a value whose formatting fails is left out.
        _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name if name.starts_with("log.") => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// The end of the queue.
struct Writer {
    settings: Settings,
    /// To syslogd, while it answers.
    socket: Option<UnixDatagram>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, lines: &mut Receiver<Item>) {
        while let Some(item) = lines.blocking_recv() {
            self.take(item);
            self.report_lost();
        }
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Line(line) => self.write(&line),
            Item::Flush(done) => _ = done.send(()), // whoever asked may have lost patience
        }
    }

    fn report_lost(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.write(&Line {
                at: SystemTime::now(),
                level: Level::WARN,
                speaker: Speaker::Daemon,
                text: format!(
                    "Log lines were lost, they came faster than they could be written count={lost}"
                ),
            });
        }
    }

    fn write(&mut self, line: &Line) {
        // A line stays a line, whatever a name or a script put into it.
        let text = line.text.replace(|c: char| c.is_control(), " ");
        let now = Local::of(line.at);
        if self.settings.console {
            // In one piece, between the lines of others. It may be closed; there is no better place to say so.
            _ = io::stderr().write_all(format!("{now}: {text}\n").as_bytes());
        }
        if let Some(facility) = self.settings.facility {
            let ident = line.speaker.ident();
            let priority = facility | severity(line.level);
            let stamp = now.without_year();
            let (suffix, pid) = (&self.settings.suffix, std::process::id());
            self.send(&format!(
                "<{priority}>{stamp} {ident}{suffix}[{pid}]: {text}"
            ));
        }
    }

    /// Once more with a new socket when the old one fails: syslogd may have been started anew.
    fn send(&mut self, datagram: &str) {
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect().ok();
            }
            match &self.socket {
                Some(s) if s.send(datagram.as_bytes()).is_ok() => return,
                Some(_) | None => self.socket = None,
            }
        }
    }
}

fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SYSLOG)?;
    socket.set_write_timeout(Some(SYSLOG_PATIENCE))?;
    Ok(socket)
}

/// keepalived logs its details as LOG_INFO too; filters in rsyslog.conf that drop debug must not drop them.
fn severity(level: Level) -> i32 {
    match level {
        Level::ERROR => libc::LOG_ERR,
        Level::WARN => libc::LOG_WARNING,
        Level::INFO | Level::DEBUG => libc::LOG_INFO,
        Level::TRACE => libc::LOG_DEBUG,
    }
}

/// A moment in the local time zone. Prints like ctime(3).
pub(crate) struct Local(libc::tm);

impl Local {
    /// `at` in the zone of `TZ` or /etc/localtime.
    pub(crate) fn of(at: SystemTime) -> Self {
        let secs = at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let secs = libc::time_t::try_from(secs).unwrap_or(libc::time_t::MAX);
        // SAFETY: all zero is a valid `tm`: numbers and a null pointer.
        let mut tm: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are valid for the call; `localtime_r` keeps neither.
        unsafe { libc::localtime_r(&raw const secs, &raw mut tm) };
        Self(tm)
    }

    fn month(&self) -> &'static str {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let month = usize::try_from(self.0.tm_mon).ok();
        month.and_then(|m| MONTHS.get(m)).copied().unwrap_or("???")
    }

    fn weekday(&self) -> &'static str {
        const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let day = usize::try_from(self.0.tm_wday).ok();
        day.and_then(|d| DAYS.get(d)).copied().unwrap_or("???")
    }

    /// `Sat, 21 Nov 2026 14:02:53 +0100`, the date of RFC 5322 §3.3.
    pub(crate) fn in_mail(&self) -> String {
        let (t, year) = (&self.0, self.0.tm_year + 1900);
        let (sign, offset) = match t.tm_gmtoff {
            west @ ..0 => ('-', -west / 60),
            east => ('+', east / 60),
        };
        format!(
            "{}, {:02} {} {year} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            self.weekday(),
            t.tm_mday,
            self.month(),
            t.tm_hour,
            t.tm_min,
            t.tm_sec,
            offset / 60,
            offset % 60
        )
    }

    /// `Nov 21 14:02:53`, the stamp of RFC 3164 §4.1.2.
    pub(crate) fn without_year(&self) -> String {
        let t = &self.0;
        let (month, day) = (self.month(), t.tm_mday);
        format!(
            "{month} {day:2} {:02}:{:02}:{:02}",
            t.tm_hour, t.tm_min, t.tm_sec
        )
    }

    /// `Sat Nov 21 14:02:53`, and the year.
    pub(crate) fn with_year(&self) -> (String, i32) {
        let day = format!("{} {}", self.weekday(), self.without_year());
        (day, self.0.tm_year + 1900)
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, year) = self.with_year();
        write!(f, "{day} {year}")
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
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
        let lines = std::iter::from_fn(|| match lines.try_recv() {
            Ok(Item::Line(line)) => Some(line),
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
        let texts: Vec<_> = lines.iter().map(|l| l.text.as_str()).collect();
        let fields = "no luck iface=\"eth0\" reason=entity not found from=[1, 2]";
        assert_eq!(texts, ["(VI_1) Entering MASTER STATE", fields]);
    }

    #[test]
    fn a_full_queue_loses_lines_and_counts_them() {
        let (lines, lost) = said(Level::INFO, 3, || {
            (0..10).for_each(|n| tracing::info!("line {n}"));
        });
        assert_eq!((lines.len(), lost), (3, 7));
        assert_eq!(lines[2].text, "line 2");
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
        let text = Local::of(UNIX_EPOCH + Duration::from_secs(86_400 * 200)).to_string();
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
            level: Level::INFO,
            suffix: String::new(),
        };
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            settings,
            socket: None,
            lost,
        };
        let mut log = Log {
            queue,
            waiting: Some((lines, writer)),
        };
        log.flush(Duration::ZERO);
        log.start().expect("a thread");
        log.flush(LIMIT);
        let line = Line {
            at: UNIX_EPOCH,
            level: Level::INFO,
            speaker: Speaker::Daemon,
            text: String::new(),
        };
        assert!(
            log.queue.try_send(Item::Line(line)).is_ok(),
            "the thread lives"
        );
    }

    const LIMIT: Duration = Duration::from_secs(10);
}
