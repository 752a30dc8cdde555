//! Where the lines go: console, files, syslog. On a thread of its own; a reader that stops reading costs lines, not time.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc::Receiver;
use tracing::Level;

use super::{Item, Line, Local, Settings, Speaker, area};

/// Where syslogd listens.
const SYSLOG: &str = "/dev/log";
/// How long one line may take to be handed to syslogd.
const SYSLOG_PATIENCE: Duration = Duration::from_secs(1);
/// How long one line may take to find room at the console, in milliseconds.
const CONSOLE_PATIENCE: u16 = 200;
/// How often the very same complaint is written within [`REPEAT`]; the others are counted.
const LOUD: u64 = 3;
/// How long a complaint counts as the same.
const REPEAT: Duration = Duration::from_secs(60);
/// Complaints that are remembered; beyond, nothing is counted.
const REMEMBERED: usize = 1024;

/// The end of the queue.
pub(super) struct Writer {
    pub(super) settings: Settings,
    /// To syslogd, while it answers.
    socket: Option<UnixDatagram>,
    files: HashMap<Speaker, File>,
    /// Nobody reads the console.
    deaf: bool,
    /// Complaints: since when, how often.
    repeated: HashMap<String, (SystemTime, u64, Line)>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn new(settings: Settings, lost: Arc<AtomicU64>) -> Self {
        Self {
            settings,
            socket: None,
            files: HashMap::new(),
            deaf: false,
            repeated: HashMap::new(),
            lost,
        }
    }

    pub(super) fn run(mut self, lines: &mut Receiver<Item>) {
        while let Some(item) = lines.blocking_recv() {
            self.take(item);
            self.report_lost();
        }
    }

    pub(super) fn take(&mut self, item: Item) {
        match item {
            Item::Said(said) => self.say(&said.line()),
            Item::Flush(done) => {
                self.sum_up(SystemTime::now() + REPEAT * 2);
                _ = done.send(()); // whoever asked may have lost patience
            }
        }
    }

    fn say(&mut self, line: &Line) {
        self.sum_up(line.at);
        if self.is_loud(line) {
            self.write(line);
        }
    }

    /// Whether a line is written, or only counted. Lines that the daemon itself says answer somebody.
    fn is_loud(&mut self, line: &Line) -> bool {
        let complaint = line.level <= Level::WARN;
        if !complaint || Speaker::of(line.target) == Speaker::Daemon {
            return true;
        }
        let text = line.text();
        if let Some((_, times, _)) = self.repeated.get_mut(&text) {
            *times += 1;
            return *times <= LOUD;
        }
        if self.repeated.len() < REMEMBERED {
            self.repeated.insert(text, (line.at, 1, line.clone()));
        }
        true
    }

    /// Says how often what was only counted has come.
    fn sum_up(&mut self, now: SystemTime) {
        let over = |since: &SystemTime| {
            let age = now.duration_since(*since);
            age.is_ok_and(|age| age >= REPEAT)
        };
        if !self.repeated.values().any(|(since, ..)| over(since)) {
            return;
        }
        let mut told = Vec::new();
        self.repeated.retain(|_, (since, times, line)| {
            let over = over(since);
            if over && *times > LOUD {
                line.fields.push(("repeated", (*times - LOUD).to_string()));
                line.at = now;
                told.push(line.clone());
            }
            !over
        });
        told.iter().for_each(|line| self.write(line));
    }

    fn report_lost(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.write(&Line {
                at: SystemTime::now(),
                level: Level::WARN,
                target: concat!(env!("CARGO_CRATE_NAME"), "::daemon"),
                message: "Log lines were lost, they came faster than they could be written"
                    .to_owned(),
                fields: vec![("count", lost.to_string())],
            });
        }
    }

    fn write(&mut self, line: &Line) {
        // A line stays a line, whatever a name or a script put into it.
        let text = line.text().replace(|c: char| c.is_control(), " ");
        let now = Local::of(line.at);
        let speaker = Speaker::of(line.target);
        if self.settings.console {
            let shown = match self.settings.json {
                true => json(line, speaker),
                false => format!("{now}: {text}\n"),
            };
            // Whoever has stopped reading is not waited for again until he reads.
            let patience = if self.deaf { 0 } else { CONSOLE_PATIENCE };
            self.deaf = !console(&shown, patience);
            if self.deaf {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        if self.settings.file.is_some() {
            let shown = match self.settings.json {
                true => json(line, speaker),
                false => format!("{}: {text}\n", now.with_nanos(line.at)),
            };
            self.append(speaker, &shown);
        }
        if let Some(facility) = self.settings.facility {
            let ident = speaker.ident();
            let priority = facility | severity(line.level);
            let stamp = now.without_year();
            let (suffix, pid) = (&self.settings.suffix, std::process::id());
            self.send(&format!(
                "<{priority}>{stamp} {ident}{suffix}[{pid}]: {text}"
            ));
        }
    }

    /// Anew when the file was moved away, as those do who keep logs short.
    fn append(&mut self, speaker: Speaker, shown: &str) {
        let Some(file) = &self.settings.file else {
            return;
        };
        let path = path_of(file, speaker, &self.settings.suffix);
        let there = fs::symlink_metadata(&path).map(|about| (about.dev(), about.ino()));
        let same = |open: &File| {
            let open = open.metadata().map(|about| (about.dev(), about.ino()));
            open.ok() == there.as_ref().ok().copied()
        };
        if !self.files.get(&speaker).is_some_and(same) {
            self.files.remove(&speaker);
            // There is no better place to say that it cannot be opened.
            if let Ok(open) = open(&path) {
                self.files.insert(speaker, open);
            }
        }
        if let Some(file) = self.files.get_mut(&speaker)
            && file.write_all(shown.as_bytes()).is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Once more with a new socket when the old one fails: syslogd may have been started anew.
    fn send(&mut self, datagram: &str) {
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect().ok();
            }
            match &self.socket {
                Some(s) => match s.send(datagram.as_bytes()) {
                    Ok(_) => return,
                    // It does not read: another socket would not help.
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    Err(_) => self.socket = None,
                },
                None => return,
            }
        }
    }
}

/// The name of a speaker's file: what tells speakers and daemons apart stands before the extension.
fn path_of(file: &Path, speaker: Speaker, suffix: &str) -> PathBuf {
    let of = match speaker {
        Speaker::Daemon => "",
        Speaker::Vrrp => "_vrrp",
        Speaker::Checkers => "_checkers",
    };
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(of);
    name.push(suffix);
    if let Some(extension) = file.extension() {
        name.push(".");
        name.push(extension);
    }
    file.with_file_name(name)
}

fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(flags);
    options.open(path)
}

/// In one piece, between the lines of others. False: nobody reads, and it was left out.
fn console(shown: &str, patience: u16) -> bool {
    let mut err = io::stderr();
    let fd = err.as_fd();
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    match poll(&mut fds, PollTimeout::from(patience)) {
        Ok(0) => false,
        // It may be closed; there is no better place to say so.
        Ok(_) | Err(_) => {
            _ = err.write_all(shown.as_bytes());
            true
        }
    }
}

/// One object on one line.
fn json(line: &Line, speaker: Speaker) -> String {
    let since = line.at.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let mut object = serde_json::Map::new();
    let seconds = format!("{}.{:06}", since.as_secs(), since.subsec_micros());
    object.insert("time".into(), seconds.into());
    object.insert("level".into(), line.level.as_str().to_lowercase().into());
    object.insert("ident".into(), speaker.ident().into());
    object.insert(
        "area".into(),
        area(line.target).unwrap_or(line.target).into(),
    );
    object.insert("message".into(), line.message.as_str().into());
    for (name, value) in &line.fields {
        // Text that was quoted for people.
        let value = value
            .strip_prefix('"')
            .and_then(|v| v.strip_suffix('"'))
            .unwrap_or(value);
        object.insert((*name).into(), value.into());
    }
    format!("{}\n", serde_json::Value::Object(object))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, secs: u64) -> Line {
        Line {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(secs),
            level: Level::WARN,
            target: "keepalived_rs::vrrp::task",
            message: text.to_owned(),
            fields: vec![("iface", "\"eth0\"".to_owned())],
        }
    }

    fn writer(dir: &Path, json: bool) -> Writer {
        let settings = Settings {
            console: false,
            facility: None,
            file: Some(dir.join("ka.log")),
            json,
            level: Level::INFO,
            areas: Vec::new(),
            suffix: "_green".to_owned(),
        };
        Writer::new(settings, Arc::default())
    }

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ka-log-{name}-{}", std::process::id()));
        fs::create_dir(&dir).expect("a new directory");
        dir
    }

    #[test]
    fn a_repeated_complaint_is_written_and_then_counted() {
        let dir = dir("repeat");
        let mut writer = writer(&dir, false);
        for n in 0..100 {
            writer.say(&line("no luck", 1_000 + n / 10));
        }
        writer.say(&line("something else", 2_000));
        let text = fs::read_to_string(dir.join("ka_vrrp_green.log")).expect("a file");
        let texts: Vec<_> = text
            .lines()
            .filter_map(|l| l.split_once(": "))
            .map(|l| l.1)
            .collect();
        let once = "no luck iface=\"eth0\"";
        assert_eq!(
            texts,
            [
                once,
                once,
                once,
                "no luck iface=\"eth0\" repeated=97",
                "something else iface=\"eth0\""
            ]
        );
        fs::remove_dir_all(dir).expect("our directory");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let dir = dir("moved");
        let mut writer = writer(&dir, true);
        let file = dir.join("ka_vrrp_green.log");
        writer.say(&line("one", 1));
        fs::rename(&file, dir.join("old")).expect("our file");
        writer.say(&line("two", 2));
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&file).expect("a new file")).expect("JSON");
        assert_eq!(json["message"], "two");
        assert_eq!(
            (&json["iface"], &json["area"]),
            (&"eth0".into(), &"vrrp".into())
        );
        assert_eq!(
            (&json["level"], &json["time"]),
            (&"warn".into(), &"2.000000".into())
        );
        fs::remove_dir_all(dir).expect("our directory");
    }
}
