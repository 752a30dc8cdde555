//! The life of the daemon: start, the loop, the stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task::LocalSet;
use tokio::time::Instant;
use tracing::Level;

use super::bus::{Notice, Release};
use super::dumps::Dumps;
use super::identity::{Identity, PidFiles};
use super::outcome::Answer;
use super::pidfile::PidFileError;
use super::place::Place;
use super::reload::{self, Marker, Parts, Read, Reload};
use super::reload_time::ReloadTime;
use super::signals::{Request, Requests};
use super::status::Status;
use super::supervise::{self, End};
use super::systemd::{self, Systemd};
use super::tasks::{Ended, Releases, Tasks};
use super::tidy::Tidy;
use super::{GONE, UMASK, dumpfile, dumps, load_options, version};
use crate::cli::{self, Area, Facility, Options};
use crate::config::LoadOptions;
use crate::dump;
use crate::dump::data::Now;
use crate::model::Config;
use crate::model::auth::mask_keys;
use crate::model::notify::Lifecycle;
use crate::notify::Notifier;
use crate::notify::lifecycle::{self, Moment};
use crate::sys::log::{Log, Settings};
use crate::sys::{clock, link, netns, process, resident, startup, wipe};

/// Exit code when a task or the daemon itself failed.
const FAILED: u8 = 70;
/// Exit code when a permission is missing.
const DENIED: u8 = 4;
/// How long notifications may take after the stop.
const NOTIFY_PATIENCE: Duration = Duration::from_secs(1);
/// How long after a change the sentence for systemd is said: changes seldom come alone.
const STATUS_DELAY: Duration = Duration::from_millis(200);
/// How long the last log lines may take.
const LOG_PATIENCE: Duration = Duration::from_secs(1);

/// Runs the daemon until it is stopped; `words` is its command line. Returns the exit code: in daemon mode in both
/// processes, first in the one that was started.
pub(crate) fn run(options: &Options, words: &[String]) -> u8 {
    process::keep_original_limits();
    resident::keep_large_apart();
    if let Err(e) = startup::hold_signals() {
        tracing::error!(reason = %e, "Unable to hold signals"); // and may lose one that comes too early
    }
    startup::set_umask(options.umask.unwrap_or(UMASK));
    let systemd = Systemd::new(startup::take_env(systemd::VARIABLE));
    let watchdog = systemd::watchdog(systemd::WATCHDOG.map(startup::take_env));
    let mut log = Log::install(log_settings(options));
    supervise::log_panics();
    greet(options, words);
    let mut report = None;
    let code = match prepare(options) {
        Ok(Prepared::Launcher(launched)) => {
            _ = startup::release_signals(); // so that it can be interrupted while it waits
            return launched.outcome().unwrap_or(FAILED);
        }
        Ok(Prepared::Daemon {
            config,
            torn,
            source,
            report: to_launcher,
        }) => {
            report = to_launcher;
            log.rename(Identity::new(options, &config).log_suffix());
            if let Err(e) = log.start() {
                tracing::error!(reason = %e, "Unable to start the log thread");
            }
            let pattern = options.core_pattern.as_deref().map(core_pattern);
            let code = serve(
                options,
                (config, torn),
                source,
                (systemd, watchdog),
                &mut report,
            );
            drop(pattern); // back to what it was
            code
        }
        Err(code) => code,
    };
    tracing::info!("Stopped {}", version::STANDS_FOR);
    log.flush(LOG_PATIENCE);
    report.into_iter().for_each(|r| r.send(code)); // the start was never complete
    code
}

fn log_settings(options: &Options) -> Settings {
    let facility = match options.facility {
        Facility::Daemon => libc::LOG_DAEMON,
        Facility::User => libc::LOG_USER,
        Facility::Local(n) => libc::LOG_LOCAL0 + (i32::from(n) << 3),
    };
    let mut of_all = options.log_levels.iter().rev();
    let of_all = of_all.find(|(area, _)| *area == Area::All);
    let of_all = of_all.map(|(_, level)| log_level(*level));
    Settings {
        file: options
            .log_file
            .as_ref()
            .map(|path| match path.as_os_str().is_empty() {
                true => dumpfile::directory(std::env::var_os("TMPDIR")).join("keepalived.log"),
                false => path.clone(),
            }),
        areas: log_areas(options),
        json: options.log_json,
        console: options.foreground && options.log_console,
        facility: (!options.no_syslog).then_some(facility),
        level: of_all.unwrap_or(match options.log_detail {
            0 => Level::INFO,
            1 => Level::DEBUG,
            _ => Level::TRACE,
        }),
        suffix: String::new(),
    }
}

fn log_level(level: cli::Level) -> Level {
    match level {
        cli::Level::Error => Level::ERROR,
        cli::Level::Warn => Level::WARN,
        cli::Level::Info => Level::INFO,
        cli::Level::Debug => Level::DEBUG,
        cli::Level::Trace => Level::TRACE,
    }
}

/// The modules that make up each area.
fn log_areas(options: &Options) -> Vec<(&'static str, Level)> {
    let modules = |area: &Area| -> &'static [&'static str] {
        match area {
            Area::All => &[],
            Area::Vrrp => &["vrrp", "reconcile"],
            Area::Track => &["track", "bfd"],
            Area::Lvs => &["lvs"],
            Area::Notify => &["notify"],
            Area::Config => &["config", "model"],
            Area::Daemon => &["daemon", "dump", "sys"],
        }
    };
    let all = options.log_levels.iter();
    let all = all.flat_map(|(area, level)| modules(area).iter().map(|m| (*m, log_level(*level))));
    let addresses = match options.address_monitoring {
        true => Level::INFO,
        false => Level::ERROR,
    };
    all.chain([("addresses", addresses)]).collect()
}

fn greet(options: &Options, words: &[String]) {
    tracing::info!("Starting {}", version::STANDS_FOR);
    tracing::info!("Running on {}", version::kernel());
    let words: Vec<_> = words.iter().map(|w| format!("'{w}'")).collect();
    tracing::info!("Command line: {}", words.join(" "));
    for long in &options.without_effect {
        tracing::warn!("Option --{long} is accepted but has no effect yet");
    }
}

/// Who goes on after the fork, if there was one.
enum Prepared {
    Launcher(startup::Launched),
    Daemon {
        config: Arc<Config>,
        /// See [`Read::torn`].
        torn: bool,
        /// Where later reloads read.
        source: LoadOptions,
        /// To the launcher, until the start is complete.
        report: Option<startup::Report>,
    },
}

/// Everything before the first thread. `Err`: the exit code.
fn prepare(options: &Options) -> Result<Prepared, u8> {
    if options.core_dump
        && let Err(e) = startup::allow_core_files()
    {
        tracing::warn!(reason = %e, "Unable to allow core files");
    }
    if let Some(name) = &options.namespace {
        enter(name)?;
    }
    match wipe::pad() {
        Ok(pad) => mask_keys(pad),
        Err(e) => tracing::warn!(reason = %e, "keys will be in core files as they are"),
    }
    let mut source = load_options(options);
    let Read { config, torn, .. } = reload::read(&source, parts(options));
    let config = config?;
    if options.umask.is_none() {
        startup::set_umask(config.global.process.files.umask);
    }
    if options.namespace.is_none()
        && let Some(name) = &config.global.net_namespace
    {
        enter(name)?;
        source.in_namespace = true;
    }
    if options.dump_conf {
        let text = dump::data::data(&config, &Now::default(), &dumps::times());
        text.lines().for_each(|line| tracing::info!("{line}"));
    }
    if options.foreground {
        return Ok(Prepared::Daemon {
            config,
            torn,
            source,
            report: None,
        });
    }
    // The daemon works in `/`.
    if let Ok(path) = std::path::absolute(&source.path) {
        source.path = path.to_string_lossy().into_owned();
    }
    match startup::daemonise() {
        Ok(startup::Side::Launcher(launched)) => Ok(Prepared::Launcher(launched)),
        Ok(startup::Side::Daemon(report)) => Ok(Prepared::Daemon {
            config,
            torn,
            source,
            report: Some(report),
        }),
        Err(e) => {
            tracing::error!(reason = %e, "Unable to become a daemon");
            Err(FAILED)
        }
    }
}

/// Sets the kernel's pattern until dropped.
fn core_pattern(pattern: &str) -> Option<startup::CorePattern> {
    startup::CorePattern::set(pattern)
        .inspect_err(|e| tracing::warn!(reason = %e, "Unable to set core_pattern"))
        .ok()
}

fn enter(name: &str) -> Result<(), u8> {
    netns::enter(name).map_err(|e| {
        let reason = std::error::Error::source(&e).map(ToString::to_string);
        tracing::error!(reason, "{e}");
        tracing::error!("Unable to set network namespace {name} - exiting");
        GONE
    })
}

fn parts(options: &Options) -> Parts {
    Parts {
        vrrp: !options.no_vrrp,
        checkers: !options.no_checkers,
        bfd: !options.no_bfd,
    }
}

/// Serves until the stop. Returns the exit code.
fn serve(
    options: &Options,
    (config, torn): (Arc<Config>, bool),
    source: LoadOptions,
    (systemd, watchdog): (Systemd, Option<Duration>),
    report: &mut Option<startup::Report>,
) -> u8 {
    let identity = Identity::new(options, &config);
    let pid_files = match PidFiles::claim(options, &identity, &config) {
        Ok(files) => files,
        Err(e @ PidFileError::Locked(_)) => {
            tracing::warn!("{e}");
            tracing::error!("daemon is already running");
            return GONE;
        }
        Err(e @ PidFileError::Write { .. }) => {
            let reason = std::error::Error::source(&e).map(ToString::to_string);
            tracing::error!(reason, "{e}");
            return GONE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            tracing::error!(reason = %e, "Unable to make the runtime");
            return FAILED;
        }
    };
    let life = async {
        let daemon = Daemon::start(options, source, pid_files, systemd);
        match daemon {
            Ok(mut daemon) => {
                daemon.torn = torn;
                let watched = watchdog.map(|period| {
                    let systemd = daemon.systemd.clone();
                    let beats = daemon.tasks.heartbeat(period, move || systemd.alive());
                    tokio::task::spawn_local(beats)
                });
                let code = daemon.live(config, report).await;
                watched.into_iter().for_each(|beats| beats.abort());
                code
            }
            Err(e) => {
                tracing::error!(reason = %e, "Unable to start");
                FAILED
            }
        }
    };
    // A panic in here drops the ends of the channels, upon which each task withdraws what it owns.
    let run = std::panic::AssertUnwindSafe(|| LocalSet::new().block_on(&runtime, life));
    let code = std::panic::catch_unwind(run).unwrap_or(FAILED);
    runtime.shutdown_background(); // a file that is still being read keeps nobody
    code
}

/// What a request means for the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

/// The daemon's own loop and what it holds.
struct Daemon {
    requests: Requests,
    tasks: Tasks,
    notices: Receiver<Notice>,
    notifier: Notifier,
    reload: Reload,
    source: LoadOptions,
    parts: Parts,
    /// In force; empty until the start is complete.
    config: Arc<Config>,
    /// What is in force came from a file that ends inside a block: no reason to refuse the next one like it.
    torn: bool,
    dumps: Dumps,
    releases: Releases,
    systemd: Systemd,
    pid_files: PidFiles,
    tidy: Tidy,
    status: Status,
    /// When the sentence is due; many changes at once are one.
    status_at: Option<Instant>,
    reload_time: Option<ReloadTime>,
    answer: Answer,
    marker: Option<Marker>,
    place: Place,
    /// `-u`, which beats the configuration.
    fixed_umask: bool,
}

impl Daemon {
    /// Starts the tasks and begins to take signals.
    fn start(
        options: &Options,
        source: LoadOptions,
        pid_files: PidFiles,
        systemd: Systemd,
    ) -> io::Result<Self> {
        let (tasks, notices) = Tasks::start(pid_files.held())?;
        let requests = Requests::listen(options.ignore_sigint)?;
        startup::release_signals()?;
        let release = |keep| if keep { Release::Nothing } else { Release::All };
        Ok(Self {
            requests,
            tasks,
            notices,
            notifier: Notifier::new(),
            reload: Reload::default(),
            source,
            parts: parts(options),
            config: Arc::default(),
            torn: false,
            dumps: Dumps::new(std::env::var_os("TMPDIR"), options.namespace.clone()),
            releases: Releases {
                vrrp: release(options.keep_vrrp),
                ipvs: release(options.keep_ipvs),
            },
            systemd,
            answer: Answer::new(pid_files.main()),
            pid_files,
            tidy: Tidy::default(),
            status: Status::new(|name| link::index_of(name).is_some()),
            status_at: None,
            reload_time: None,
            marker: None,
            place: Place::default(),
            fixed_umask: options.umask.is_some(),
        })
    }

    /// Everything from the first configuration to the end. Returns the exit code.
    async fn live(mut self, config: Arc<Config>, report: &mut Option<startup::Report>) -> u8 {
        if let Some(script) = &config.global.notify.startup
            && self.start_up(script).await == Next::Stop
        {
            return self.stop(0).await;
        }
        self.marker = self.pid_files.marker(&config).and_then(Marker::make);
        self.notifier.apply(&config);
        if let Err(ended) = self.tasks.apply(&config).await {
            return self.fail(ended).await;
        }
        self.settle(config);
        self.marker = None;
        self.tidy.now();
        tracing::info!("Startup complete");
        self.systemd.ready(&self.status.sentence(&self.config));
        if let Some(report) = report.take() {
            report.send(0);
        }
        match self.attend().await {
            Ok(()) => self.stop(0).await,
            Err(ended) => self.fail(ended).await,
        }
    }

    /// Takes what a configuration says about the process itself. It is in force from now on.
    fn settle(&mut self, config: Arc<Config>) {
        let process = &config.global.process;
        let files = &process.files;
        if !self.fixed_umask {
            startup::set_umask(files.umask);
        }
        self.place.apply(process);
        let (path, repeat) = (files.reload_time.as_deref(), files.reload_repeat);
        let same = match (&self.reload_time, path) {
            (Some(watch), Some(path)) => watch.is(path, repeat),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            self.reload_time = path.map(|path| ReloadTime::watch(path, repeat));
        }
        self.config = config;
    }

    /// Runs the script and attends to requests meanwhile.
    async fn start_up(&mut self, script: &Lifecycle) -> Next {
        let mut script = std::pin::pin!(lifecycle::run(Moment::Startup, script));
        loop {
            tokio::select! {
                () = &mut script => return Next::GoOn,
                request = self.requests.next() => {
                    if self.obey(request).await == Next::Stop {
                        return Next::Stop;
                    }
                }
            }
        }
    }

    async fn obey(&mut self, request: Request) -> Next {
        match request {
            Request::Stop => return Next::Stop,
            Request::Reload => self.begin_reload(),
            Request::Data => {
                let instances = self.tasks.snapshot().await;
                let trackers = self.tasks.trackers().await;
                self.dumps.data(&self.config, &instances, &trackers);
                if !self.config.virtual_servers.is_empty() {
                    let services = self.tasks.services().await;
                    self.dumps.checkers(&self.config, &services, &trackers);
                }
            }
            Request::Stats => {
                let instances = self.tasks.snapshot().await;
                self.dumps.stats(&self.config, &instances, "");
            }
            Request::StatsClear => {
                let instances = self.tasks.snapshot().await;
                self.dumps.stats(&self.config, &instances, " and clearing");
                self.tasks.clear_stats().await;
            }
            Request::Json => {
                let instances = self.tasks.snapshot().await;
                let trackers = self.tasks.trackers().await;
                self.dumps.json(&self.config, &instances, &trackers);
            }
        }
        Next::GoOn
    }

    /// Attends to whatever comes, until the stop is asked for.
    async fn attend(&mut self) -> Result<(), Ended> {
        loop {
            tokio::select! {
                biased; // a stop must not wait behind a burst of notices
                request = self.requests.next() => {
                    if self.obey(request).await == Next::Stop {
                        return Ok(());
                    }
                }
                ended = self.tasks.ended() => return Err(ended),
                read = self.reload.outcome() => self.end_reload(read).await?,
                () = time_of(&mut self.reload_time) => self.begin_reload(),
                () = at(self.status_at) => self.tell_status(),
                Some(notice) = self.notices.recv() => {
                    self.status.heard(&notice);
                    self.status_at.get_or_insert_with(|| Instant::now() + STATUS_DELAY);
                    self.notifier.accept(notice);
                }
                () = self.notifier.progress() => {}
                () = self.tidy.later() => {}
            }
        }
    }

    fn tell_status(&mut self) {
        self.status_at = None;
        if let Some(sentence) = self.status.news(&self.config) {
            self.systemd.status(&sentence);
        }
    }

    fn begin_reload(&mut self) {
        if self.reload.request(&self.source, self.parts) {
            tracing::info!("Reloading ...");
            self.answer.begin();
            self.marker = self.pid_files.marker(&self.config).and_then(Marker::make);
            self.systemd.reloading(clock::now().as_micros());
        }
    }

    async fn end_reload(&mut self, read: Read) -> Result<(), Ended> {
        let Read {
            config,
            mut findings,
            torn,
        } = read;
        if let Some(path) = &self.config.global.reload_check_log {
            reload::write_findings(path.as_ref(), &findings);
        }
        let half = torn && !self.torn;
        if half && config.is_ok() {
            let text =
                "The file ends inside a block, or is empty, as if it were not written completely";
            tracing::error!("{text}");
            findings.push(text.to_owned());
        }
        let mut fixed = |new: &Arc<Config>| {
            let word = Identity::fixed_word(&self.config, new);
            if let Some(word) = word {
                let text = format!("Cannot change {word} at a reload - please restart keepalived");
                tracing::error!("{text}");
                findings.push(text);
            }
            word.is_none()
        };
        let config = config.ok().filter(|_| !half).filter(&mut fixed);
        let taken = config.is_some();
        match config {
            Some(config) => {
                if let Err(e) = self.pid_files.extend(&config) {
                    tracing::warn!("{e}");
                }
                self.notifier.apply(&config);
                self.tasks.apply(&config).await?;
                if config.global.notify.states_on_reload {
                    let instances = self.tasks.snapshot().await;
                    self.notifier.tell_states(&config, &instances);
                }
                self.settle(config);
                self.torn = torn;
                self.tidy.now();
                tracing::info!("Reload complete");
            }
            None => tracing::error!("Reload refused, the old configuration stays in force"),
        }
        self.marker = None;
        self.status.reloaded(&self.config, taken);
        self.answer.end(taken, &findings);
        self.systemd.ready(&self.status.sentence(&self.config));
        if self.reload.take_again() {
            tracing::debug!("Processing queued reload");
            self.begin_reload();
        }
        Ok(())
    }

    /// A task is gone: says so and stops the others. Returns the exit code.
    async fn fail(self, Ended { name, end }: Ended) -> u8 {
        let code = match end {
            End::Failed(e) => {
                tracing::error!(task = name, reason = %e, "A task cannot work, stopping");
                if e.kind() == io::ErrorKind::PermissionDenied {
                    DENIED
                } else {
                    FAILED
                }
            }
            End::Finished | End::Panicked => {
                tracing::error!(task = name, "A task died, stopping");
                FAILED
            }
        };
        self.stop(code).await
    }

    /// Stops the tasks and lets the last scripts run. Returns `code`, or why the stop itself went wrong.
    async fn stop(mut self, code: u8) -> u8 {
        self.tasks.ask_to_stop(self.releases); // before anything else: every microsecond of an advertisement counts
        tracing::info!("Stopping");
        self.systemd.stopping();
        let patience = self.config.global.process.child_wait_time;
        let mut ended = std::pin::pin!(self.tasks.all_ended(patience));
        let mut good = None;
        while good.is_none() {
            tokio::select! {
                biased;
                all = &mut ended => good = Some(all),
                Some(notice) = self.notices.recv() => self.notifier.accept(notice),
                () = self.notifier.progress() => {}
            }
        }
        while let Ok(notice) = self.notices.try_recv() {
            self.notifier.accept(notice);
        }
        self.notifier.drain(Instant::now() + NOTIFY_PATIENCE).await;
        if let Some(script) = &self.config.global.notify.shutdown {
            lifecycle::run(Moment::Shutdown, script).await;
        }
        match (code, good) {
            (0, Some(true)) => 0,
            (0, _) => FAILED,
            (code, _) => code,
        }
    }
}

/// Waits for that instant; for ever without one.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Waits until the file says that it is time; for ever without one.
async fn time_of(file: &mut Option<ReloadTime>) {
    match file {
        Some(file) => file.due().await,
        None => std::future::pending().await,
    }
}
