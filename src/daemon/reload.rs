//! Reading the configuration, for the start and for reloads: at a reload on a thread of its own, so that a large file
//! delays no health check, never while somebody is still writing it, and never with an effect before it is known to be
//! usable.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinHandle;

use super::host::Machine;
use crate::config::source::Concern;
use crate::config::{self, LoadOptions, Loaded, Loudness};
use crate::model::Config;
use crate::sys::{fd, wipe};

/// How long a reload waits for somebody who is writing a file of the configuration.
const WRITERS: Duration = Duration::from_secs(3);
/// Between looks at that.
const LOOK: Duration = Duration::from_millis(20);
/// Times of files are up to this old when they are set.
const COARSE: Duration = Duration::from_millis(10);

/// Exit code when the machine does not let itself be looked at.
const DENIED: u8 = 4;

/// Which parts of a configuration this daemon runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    /// Off with `-C`.
    pub(crate) vrrp: bool,
    /// Off with `-P`.
    pub(crate) checkers: bool,
    /// Off with `-B`.
    pub(crate) bfd: bool,
}

impl Parts {
    /// Whether what a finding is about is run.
    fn run(self, concern: Concern) -> bool {
        match concern {
            Concern::Daemon => true,
            Concern::Vrrp => self.vrrp,
            Concern::Checkers => self.checkers,
        }
    }

    /// The configuration without the parts that are off.
    fn of(self, config: &Arc<Config>) -> Arc<Config> {
        if self.vrrp && self.checkers && self.bfd {
            return Arc::clone(config);
        }
        let mut config = Config::clone(config);
        if !self.vrrp {
            config.instances.clear();
            config.groups.clear();
            config.scripts.clear();
        }
        if !self.checkers {
            config.virtual_servers.clear();
        }
        if !self.bfd {
            config.bfds.clear();
        }
        Arc::new(config)
    }
}

/// What reading has come to.
#[derive(Debug)]
pub(crate) struct Read {
    /// `Err`: the exit code of a daemon that starts with it.
    pub(crate) config: Result<Arc<Config>, u8>,
    /// What was said about it.
    pub(crate) findings: Vec<String>,
    /// See [`Loaded::torn`].
    pub(crate) torn: bool,
}

impl Read {
    /// Nothing was read; the old configuration is as good as ever.
    fn nothing(why: String) -> Self {
        Self {
            config: Err(DENIED),
            findings: vec![why],
            torn: false,
        }
    }
}

/// When reading is worth something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Now,
    /// Nobody is writing any of the files.
    Written,
}

/// Reads and logs what was found. No key in it is left in memory but those in the result.
pub(crate) fn read(options: &LoadOptions, parts: Parts) -> Read {
    read_when(When::Now, options, parts)
}

/// Whether somebody writes one of the files, or has done so since.
fn is_moving(loaded: &Loaded, since: SystemTime) -> bool {
    loaded.files.paths().any(|path| {
        let modified = fs::metadata(path).and_then(|about| about.modified());
        let news = modified.is_ok_and(|at| at + COARSE >= since && at <= SystemTime::now());
        news || fd::is_being_written(path)
    })
}

/// Not longer than [`WRITERS`].
fn load_written(options: &LoadOptions, host: &Machine) -> Loaded {
    let until = Instant::now() + WRITERS;
    let mut told = false;
    loop {
        let since = SystemTime::now();
        let loaded = config::load_model(options, host);
        if Instant::now() >= until || !is_moving(&loaded, since) {
            return loaded;
        }
        if !std::mem::replace(&mut told, true) {
            tracing::debug!("The configuration is being written, reading it again");
        }
        std::thread::sleep(LOOK); // on a thread of its own
    }
}

fn read_when(when: When, options: &LoadOptions, parts: Parts) -> Read {
    wipe::carefully(|| read_and_say(when, options, parts))
}

fn read_and_say(when: When, options: &LoadOptions, parts: Parts) -> Read {
    let host = match Machine::snapshot() {
        Ok(host) => host,
        Err(e) => {
            tracing::error!(reason = %e, "Unable to list the network interfaces");
            return Read::nothing(format!("Unable to list the network interfaces: {e}"));
        }
    };
    let loaded = match when {
        When::Now => config::load_model(options, &host),
        When::Written => load_written(options, &host),
    };
    for path in loaded.files.paths() {
        tracing::debug!("Opening file '{}'.", path.display());
    }
    tracing::info!("Configuration file {}", options.path);
    let findings = say(&loaded, parts);
    let config = match loaded.refusal_for(|concern| parts.run(concern)) {
        Some(code) => Err(code),
        None => Ok(parts.of(&loaded.config)),
    };
    if let Ok(config) = &config
        && let Some(dir) = &config.global.process.files.config_save
        && let Err(e) = save(dir, &loaded)
    {
        tracing::warn!(dir = %dir.display(), reason = %e, "Unable to save the configuration");
    }
    let torn = loaded.torn;
    drop(loaded);
    Read {
        config: config.map(|config| elsewhere(&config)),
        findings,
        torn,
    }
}

/// The same, in another part of the heap: where it was made it lies scattered among what reading took, and keeps all of its
/// pages. A thread that is new has a part of its own, which another one takes over.
fn elsewhere(config: &Arc<Config>) -> Arc<Config> {
    std::thread::scope(|scope| {
        let copy = || Arc::new(config.laid_together());
        let thread = std::thread::Builder::new().spawn_scoped(scope, copy);
        let copied = thread.map(std::thread::ScopedJoinHandle::join);
        match copied {
            Ok(Ok(copy)) => copy,
            // It is as good where it is, only larger.
            Ok(Err(_)) | Err(_) => Arc::clone(config),
        }
    })
}

fn say(loaded: &Loaded, parts: Parts) -> Vec<String> {
    let mut said = Vec::new();
    for (loudness, text) in loaded.messages_for(|concern| parts.run(concern)) {
        match loudness {
            Loudness::Note => tracing::info!("{text}"),
            Loudness::Log | Loudness::Complaint => tracing::warn!("{text}"),
        }
        said.push(text);
    }
    said
}

/// `config_save_dir`: the files that were read, one after the other, under the number of the load.
fn save(dir: &Path, loaded: &Loaded) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut text = String::new();
    for path in loaded.files.paths() {
        text += &format!("# {}\n", path.display());
        text += &String::from_utf8_lossy(&fs::read(path)?);
    }
    let free = (0..).map(|n| dir.join(format!("keepalived.conf.{n}")));
    for path in free {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        match options.open(&path) {
            Ok(mut file) => return std::io::Write::write_all(&mut file, text.as_bytes()),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// `reload_check_config FILE`: what was found goes there, too. Links are not followed.
pub(crate) fn write_findings(path: &Path, findings: &[String]) {
    let text: String = findings.iter().map(|line| format!("{line}\n")).collect();
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let written = options
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    if let Err(e) = written {
        tracing::warn!(path = %path.display(), reason = %e, "Unable to write what was found");
    }
}

/// At most one reload at a time; requests that come meanwhile become one more.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    reading: Option<JoinHandle<Read>>,
    again: bool,
}

impl Reload {
    /// Begins to read, or remembers to. Says whether it began.
    pub(crate) fn request(&mut self, options: &LoadOptions, parts: Parts) -> bool {
        if self.reading.is_some() {
            tracing::debug!("Reload already in progress, request queued");
            self.again = true;
            return false;
        }
        let options = options.clone();
        let read = move || read_when(When::Written, &options, parts);
        self.reading = Some(tokio::task::spawn_blocking(read));
        true
    }

    /// Waits for the outcome. For ever when nothing is being read. Cancel safe.
    pub(crate) async fn outcome(&mut self) -> Read {
        let Some(reading) = &mut self.reading else {
            return std::future::pending().await;
        };
        let outcome = reading.await;
        self.reading = None;
        // A panic of the reader: its hook has logged it.
        outcome.unwrap_or_else(|_| Read::nothing("Internal error, please report".to_owned()))
    }

    /// Whether somebody asked meanwhile; forgets it.
    pub(crate) fn take_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }
}

/// `reload_file`: a file that exists while a configuration is on its way into force. Gone with its owner.
#[derive(Debug)]
pub(crate) struct Marker(PathBuf);

impl Marker {
    /// Mode 0644 whatever the umask; links are not followed.
    pub(crate) fn make(path: PathBuf) -> Option<Self> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let made = options.open(&path).and_then(|file| {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(fs::Permissions::from_mode(0o644))
        });
        match made {
            Ok(()) => Some(Self(path)),
            Err(e) => {
                tracing::warn!(path = %path.display(), reason = %e, "Unable to make reload_file");
                None
            }
        }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0); // somebody else was faster
    }
}
