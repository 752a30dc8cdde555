//! The daemon's own loop: from the first configuration in force to the end of the last task.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bus::{Notice, Release};
use super::claims::Claims;
use super::dumps::Dumps;
use super::identity::{Identity, PidFiles};
use super::outcome::Answer;
use super::overview::Overview;
use super::place::Place;
use super::reload::{self, Marker, Parts, Read, Reload};
use super::reload_time::ReloadTime;
use super::run::parts;
use super::signals::{Request, Requests};
use super::status::Status;
use super::supervise::End;
use super::systemd::Systemd;
use super::tasks::{Ended, Releases, Tasks};
use super::tidy::{self, Tidy};
use crate::cli::Options;
use crate::config::LoadOptions;
use crate::dump::{self, status::Found};
use crate::model::Config;
use crate::model::notify::Lifecycle;
use crate::model::twins;
use crate::notify::Notifier;
use crate::notify::lifecycle::{self, Moment};
use crate::sys::{clock, link, spare, startup};
use crate::time::Mono;

/// Exit code when a task or the daemon itself failed.
pub(super) const FAILED: u8 = 70;
/// Exit code when a permission is missing.
const DENIED: u8 = 4;
/// How long notifications may take after the stop: on a busy machine the scripts of some instances, one after the other.
// keepalived: leaves them to run, whoever waits for them.
const NOTIFY_PATIENCE: Duration = Duration::from_secs(3);
/// How long after a change the sentence for systemd is said: changes seldom come alone.
const STATUS_DELAY: Duration = Duration::from_millis(200);

/// What a request means for the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

/// The daemon's own loop and what it holds.
pub(super) struct Daemon {
    requests: Requests,
    tasks: Tasks,
    notices: Receiver<Notice>,
    notifier: Notifier,
    reload: Reload,
    source: LoadOptions,
    parts: Parts,
    /// In force; empty until the start is complete.
    config: Arc<Config>,
    /// See [`Read::torn`]: what is in force came from such a file, so the next one like it is not refused.
    pub(super) torn: bool,
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
    overview: Overview,
    claims: Claims,
    started: Mono,
    /// The last one: when it was over, and whether it was taken.
    reloaded: Option<(Mono, bool)>,
    marker: Option<Marker>,
    place: Place,
    /// `-u`, which beats the configuration.
    fixed_umask: bool,
    /// `-s`: the file's `net_namespace` does not count.
    namespace: Option<String>,
}

impl Daemon {
    /// Starts the tasks and begins to take signals.
    ///
    /// # Errors
    /// No thread, no descriptors.
    pub(super) fn start(
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
            overview: Overview::new(pid_files.main()),
            claims: Claims::default(),
            started: clock::now(),
            reloaded: None,
            pid_files,
            tidy: Tidy::default(),
            status: Status::new(|name| link::index_of(name).is_some()),
            status_at: None,
            reload_time: None,
            marker: None,
            place: Place::default(),
            fixed_umask: options.umask.is_some(),
            namespace: options.namespace.clone(),
        })
    }

    /// Everything from the first configuration to the end. Returns the exit code.
    pub(super) async fn live(
        mut self,
        config: Arc<Config>,
        report: &mut Option<startup::Report>,
    ) -> u8 {
        if let Some(script) = &config.global.notify.startup
            && self.start_up(script).await == Next::Stop
        {
            return self.stop(0).await;
        }
        self.marker = self.pid_files.marker(&config).and_then(Marker::make);
        self.notifier.apply(&config);
        tidy::before_start();
        if let Err(ended) = self.tasks.apply(&config).await {
            return self.fail(ended).await;
        }
        self.settle(config);
        self.marker = None;
        self.tidy.now(&self.config.global.process);
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
            Request::Status => self.show().await,
        }
        Next::GoOn
    }

    /// Answers `keepalived-rs status`, if it was that.
    async fn show(&self) {
        if !self.overview.asked() {
            return;
        }
        let services = match self.config.virtual_servers.is_empty() {
            true => Vec::new(),
            false => self.tasks.services().await,
        };
        let found = Found {
            instances: &self.tasks.snapshot().await,
            trackers: &self.tasks.trackers().await,
            services: &services,
            now: clock::now(),
            started: self.started,
            reload: self.reloaded,
            claims: &self.claims.known(),
            fetched: spare::fetched(),
        };
        let status = dump::status::status(&self.config, &found, std::process::id());
        self.overview.answer(&status);
    }

    /// Feeds systemd's watchdog, if it has one.
    pub(super) fn watched(&self, period: Option<Duration>) -> Option<JoinHandle<()>> {
        period.map(|period| {
            let systemd = self.systemd.clone();
            let beats = self.tasks.heartbeat(period, move || systemd.alive());
            tokio::task::spawn_local(beats)
        })
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
                    if let Notice::Instance { instance, state, .. } = &notice {
                        self.claims.heard(&self.config, instance, *state);
                        self.tidy.stirred(&self.config.global.process, Instant::now());
                    }
                    self.status_at.get_or_insert_with(|| Instant::now() + STATUS_DELAY);
                    self.notifier.accept(notice);
                }
                () = self.notifier.progress() => {}
                () = self.claims.progress() => {}
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
            let word = Identity::fixed_word(&self.config, new, self.namespace.as_deref());
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
                let config = twins::keep(&self.config, config);
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
                self.claims.apply(&self.config);
                self.torn = torn;
                self.tidy.now(&self.config.global.process);
                tracing::info!("Reload complete");
            }
            None => tracing::error!("Reload refused, the old configuration stays in force"),
        }
        self.marker = None;
        self.status.reloaded(&self.config, taken);
        self.reloaded = Some((clock::now(), taken));
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
pub(super) async fn at(instant: Option<Instant>) {
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
