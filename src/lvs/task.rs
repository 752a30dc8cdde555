//! The LVS task: feeds the core with commands and check results, and carries out what it asks for.
//!
//! It never touches IPVS while no `virtual_server` is configured, and it removes nothing that it does not own.

mod held;
mod legacy;
mod marker;
mod table;
mod terms;
mod unit;
mod whole;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::{Future, pending, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::checker::{Down, Good, Tools, connect};
use super::director::Director;
use super::{Action, Attempt, CheckId, Event, Report, Said, Told};
use crate::daemon::bus::{self, LvsCommand, Notice, Release, TrackerUpdate, VrrpState, VrrpUpdate};
use crate::model::Config;
use crate::model::global::FlushOnStop;
use crate::model::process::IpvsNamespace;
use crate::sys::clock::{self, Alarm};
use crate::sys::netns::Place;
use crate::sys::swarm::{Seat, Swarm};
use crate::time::Mono;
use legacy::{Claim, Entry, Legacy};
use marker::Marker;
use table::{Batch, Table};
use whole::Whole;

/// Attempts at once, if the limit on open files allows: what a machine full of dead real servers keeps waiting.
const MOST_ATTEMPTS: usize = 16384;
/// Files for everything but attempts.
const OTHER_FILES: u64 = 256;

/// Deadlines are kept to this: with thousands of checkers one waking serves many of them. A hundredth of the shortest
/// interval that people use.
const TICK: Duration = Duration::from_millis(10);

/// Results that are taken in before anything else has its turn.
const BURST: usize = 64;

/// The task's ends of the channels.
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<LvsCommand>,
    /// Instance states and addresses, for `ha_suspend` and the sync daemon.
    pub(crate) vrrp: mpsc::Receiver<VrrpUpdate>,
    /// Files and BFD sessions, for `FILE_CHECK` and `BFD_CHECK`.
    pub(crate) trackers: mpsc::Receiver<TrackerUpdate>,
    /// Real servers and quorums that went up or down.
    pub(crate) notices: mpsc::Sender<Notice>,
    /// The file that tells a successor what of ours may be in the kernel; `None`: nobody is told.
    pub(crate) held: Option<PathBuf>,
}

/// Runs until [`LvsCommand::Stop`] is carried out, or the daemon's end of `commands` is gone.
pub(crate) async fn run(inbox: Inbox) {
    let mut alarm = match Alarm::new() {
        Ok(alarm) => alarm,
        Err(err) => return error!(%err, "no timer, virtual servers are not served"),
    };
    let Inbox {
        mut commands,
        mut vrrp,
        mut trackers,
        notices,
        held,
    } = inbox;
    let mut task = match Tools::new() {
        Ok(tools) => Task::new(tools, held),
        Err(err) => return error!(%err, "no epoll, virtual servers are not served"),
    };
    let swarm = Rc::clone(&task.tools.swarm);
    loop {
        if task.advance() {
            task.end(&notices);
            return;
        }
        let wake_at = next_tick(task.deadline());
        let room = task.pending.len() < bus::NOTICES;
        // Nobody goes first: with more to do than there is time, all of them have their turn.
        tokio::select! {
            () = alarm.sleep_until(wake_at), if room => task.wake(),
            () = swarm.turn(), if room => task.heard(),
            command = commands.recv(), if task.stopping.is_none() => match command {
                Some(command) => task.command(command).await,
                None => task.stop(Release::All, None),
            },
            batch = progress(&mut task.table) => {
                task.settle(batch);
                // A long queue must not keep the other tasks of this thread waiting.
                tokio::task::yield_now().await;
            }
            over = next_over(&mut task.probes, &swarm), if room => match over {
                Some(over) => task.probed(over),
                None => task.heard(),
            },
            Ok(permit) = notices.reserve(), if !task.pending.is_empty() => {
                if let Some(notice) = task.pending.pop_front() {
                    permit.send(notice);
                }
            }
            Some(update) = vrrp.recv() => task.followed(update),
            Some(update) = trackers.recv() => task.told(update),
        }
    }
}

/// The first tick that is not before `at`.
fn next_tick(at: Mono) -> Mono {
    let tick = u64::try_from(TICK.as_micros()).unwrap_or(1);
    at.as_micros()
        .checked_next_multiple_of(tick)
        .map_or(Mono::NEVER, Mono::from_micros)
}

/// The next attempt that is over; `None`: there are connections to hear of first. An attempt whose time is up while its
/// answer waits has got the answer.
async fn next_over(probes: &mut FuturesUnordered<Running>, swarm: &Swarm) -> Option<Over> {
    poll_fn(|cx| {
        if swarm.catch_up() && swarm.has_dialled() {
            return Poll::Ready(None);
        }
        match probes.poll_next_unpin(cx) {
            Poll::Ready(None) => Poll::Pending, // Whoever adds one asks again.
            over @ (Poll::Ready(Some(_)) | Poll::Pending) => over,
        }
    })
    .await
}

/// Without a table there is no progress.
async fn progress(table: &mut Option<Table>) -> Batch {
    match table {
        Some(table) => table.progress().await,
        None => pending().await,
    }
}

/// An attempt and its result; `None`: it was given up.
type Over = (CheckId, Option<Result<Good, Down>>);

/// One attempt on its way that is more than a connection.
type Running = Pin<Box<dyn Future<Output = Over>>>;

/// How to give an attempt up.
enum Underway {
    Runs(AbortHandle),
    Dials(Seat),
}

/// The edge of the core.
struct Task {
    director: Director,
    table: Option<Table>,
    marker: Marker,
    probes: FuturesUnordered<Running>,
    cancels: HashMap<CheckId, Underway>,
    /// What attempts share.
    tools: Rc<Tools>,
    /// Attempts that were over before they began.
    failed: Vec<(CheckId, Down)>,
    /// Not yet sent to the daemon.
    pending: VecDeque<Notice>,
    /// Whoever waits for a configuration to be in force.
    applying: Vec<oneshot::Sender<()>>,
    stopping: Option<Option<oneshot::Sender<()>>>,
    /// What instances told before there was a table.
    states: HashMap<Arc<str>, VrrpState>,
    flush_on_stop: FlushOnStop,
    legacy: Legacy,
    /// What it tells has been dealt with.
    begun: bool,
}

impl Task {
    fn new(tools: Tools, held: Option<PathBuf>) -> Self {
        let seed = clock::now().as_micros() ^ u64::from(std::process::id()).rotate_left(32);
        Self {
            director: Director::new(seed, 1),
            table: None,
            marker: Marker::default(),
            probes: FuturesUnordered::new(),
            cancels: HashMap::new(),
            tools: Rc::new(tools),
            failed: Vec::new(),
            pending: VecDeque::new(),
            applying: Vec::new(),
            stopping: None,
            states: HashMap::new(),
            flush_on_stop: FlushOnStop::default(),
            legacy: Legacy::new(held),
            begun: false,
        }
    }

    fn deadline(&self) -> Mono {
        let table = self.table.as_ref().map_or(Mono::NEVER, Table::deadline);
        self.director.deadline().min(table)
    }

    /// Starts what can be started. True: all is done and the task ends.
    fn advance(&mut self) -> bool {
        let idle = match &mut self.table {
            Some(table) => {
                while let Some(key) = table.next_ready() {
                    table.converge(clock::now(), &key, &self.director.desired(&key));
                }
                table.is_idle()
            }
            None => true,
        };
        if idle && self.legacy.is_wide() {
            let mut legacy = std::mem::take(&mut self.legacy);
            legacy.narrow(self.claims());
            self.legacy = legacy;
        }
        if idle {
            // Whoever asked may have gone away meanwhile; there is nobody to tell then.
            self.applying.drain(..).for_each(|done| _ = done.send(()));
        }
        idle && self.stopping.is_some()
    }

    fn end(mut self, notices: &mpsc::Sender<Notice>) {
        // What does not fit any more has nobody to read it.
        self.pending
            .drain(..)
            .for_each(|notice| _ = notices.try_send(notice));
        drop(self.table);
        // What stays by request stays for good.
        self.legacy.narrow(std::iter::empty());
        if let Some(Some(done)) = self.stopping {
            _ = done.send(());
        }
    }

    fn wake(&mut self) {
        self.hear_first();
        let now = clock::now();
        if let Some(table) = &mut self.table {
            table.wake(now);
        }
        self.event(Event::Wake);
        // Most that was begun just now is known already where the servers are near.
        self.tools.swarm.look();
        self.dialled();
    }

    /// Before time is called, takes in what came while this thread could not run: a machine that stood still for longer than
    /// its real servers may take must not find all of them dead.
    fn hear_first(&mut self) {
        self.tools.swarm.catch_up();
        self.dialled();
        while let Some(over) = self.probes.next().now_or_never().flatten() {
            self.probed(over);
        }
    }

    /// Takes in news of connections, and lets attempts go on that they concern.
    fn heard(&mut self) {
        self.dialled();
        if let Some(over) = self.probes.next().now_or_never().flatten() {
            self.probed(over);
        }
    }

    /// Takes in what became of connections.
    fn dialled(&mut self) {
        while let Some((id, down)) = self.failed.pop() {
            self.over(id, Err(down));
        }
        while let Some((name, result)) = self.tools.swarm.dialled() {
            self.over(CheckId(name), connect::made(result).map(|()| Good::Plain));
        }
    }

    fn over(&mut self, id: CheckId, result: Result<Good, Down>) {
        self.cancels.remove(&id);
        self.event(Event::Probed { id, result });
    }

    async fn command(&mut self, command: LvsCommand) {
        match command {
            LvsCommand::Apply { config, done } => {
                self.apply(config).await;
                self.applying.push(done);
            }
            // Whoever asked may be gone.
            LvsCommand::Snapshot(reply) => _ = reply.send(self.director.snapshot()),
            LvsCommand::Alive(reply) => _ = reply.send(()),
            LvsCommand::Stop { release, done } => self.stop(release, Some(done)),
        }
    }

    /// Without IPVS nothing is checked either; the next configuration tries again.
    async fn apply(&mut self, config: Arc<Config>) {
        let settings = &config.global.ipvs;
        let serves = !config.virtual_servers.is_empty();
        let place = ipvs_place(&config);
        let left = match std::mem::replace(&mut self.begun, true) {
            true => BTreeSet::new(),
            false => self.legacy.settle_in(&place),
        };
        if self.table.is_none() && (serves || Whole::is_needed(settings) || !left.is_empty()) {
            info!("Initializing ipvs");
            match Table::open(clock::now(), &place).await {
                Ok(table) => self.table = Some(table),
                Err(err) => {
                    error!("IPVS: Can't initialize ipvs: {err}; virtual servers are not served");
                    return;
                }
            }
        }
        if let Some(table) = &mut self.table
            && !left.is_empty()
        {
            let left = table.left_out(&left).await;
            self.event(Event::Left(left));
        }
        self.director.allow(attempts_for(&config));
        self.flush_on_stop = settings.flush_on_stop;
        self.event(Event::Apply(Arc::clone(&config)));
        let wanted: BTreeSet<Entry> = match left.is_empty() {
            true => BTreeSet::new(),
            false => self.claims().flat_map(Claim::entries).collect(),
        };
        // Which role a sync daemon has is known later.
        let goes = |e: &&Entry| !wanted.contains(e) || **e == Entry::SyncDaemons;
        for entry in left.iter().filter(goes) {
            match (entry, &mut self.table) {
                (Entry::Table(name), _) => self.marker.discard(name, &place),
                (_, Some(table)) => table.discard(entry.clone()),
                (_, None) => {}
            }
        }
        self.put_on_file();
        if let Some(table) = &mut self.table {
            table.apply(settings, serves);
            for (name, state) in self.states.drain() {
                table.follow(name, state);
            }
        }
        self.marker.converge(self.director.marking(), &place);
    }

    fn put_on_file(&mut self) {
        let mut legacy = std::mem::take(&mut self.legacy);
        legacy.widen(self.claims());
        self.legacy = legacy;
    }

    /// All that may be in the kernel on our behalf.
    fn claims(&self) -> impl Iterator<Item = Claim> {
        let going_on = self.stopping.is_none();
        let marking = self.director.marking();
        let table = (!marking.spans.is_empty()).then_some(Claim::Table(marking.table));
        let daemons = going_on && self.director.config().global.ipvs.sync_daemon.is_some();
        let daemons = daemons.then_some(Claim::SyncDaemons);
        let found = self.table.as_ref().and_then(Table::found_timeouts);
        let found = found.filter(|_| going_on).map(Claim::Timeouts);
        let services = self.director.names().map(Claim::of);
        services.chain(table).chain(daemons).chain(found)
    }

    /// Something that checkers follow.
    fn told(&mut self, update: TrackerUpdate) {
        let told = match update {
            TrackerUpdate::File { name, value } => Told::File {
                name,
                value: value.into(),
            },
            TrackerUpdate::Bfd { name, up } => Told::Bfd { name, up },
            // No checker follows these.
            TrackerUpdate::Script { .. } | TrackerUpdate::Process { .. } => return,
        };
        self.event(Event::Told(told));
    }

    /// Something that virtual servers or the sync daemon follow.
    fn followed(&mut self, update: VrrpUpdate) {
        match update {
            VrrpUpdate::Address { addr, up } => self.event(Event::Address { addr, up }),
            VrrpUpdate::Instance { name, state } => match &mut self.table {
                Some(table) => table.follow(name, state),
                None => _ = self.states.insert(name, state),
            },
        }
    }

    fn stop(&mut self, release: Release, done: Option<oneshot::Sender<()>>) {
        self.stopping = Some(done);
        match release {
            Release::All => {
                self.event(Event::Stop);
                // Opened long ago, if at all.
                let marking = self.director.marking();
                self.marker.converge(marking, &Place::Here);
                if let Some(table) = &mut self.table {
                    table.stop(self.flush_on_stop == FlushOnStop::Table);
                }
            }
            Release::Nothing => {
                self.marker.forget();
                if let Some(table) = &mut self.table {
                    table.forget();
                }
            }
        }
    }

    fn settle(&mut self, batch: Batch) {
        let Some(table) = &mut self.table else {
            return;
        };
        let before = table.found_timeouts();
        table.settle(clock::now(), batch);
        if table.found_timeouts() != before {
            self.put_on_file();
        }
    }

    /// Takes in an attempt that is over, and others that are over by now.
    fn probed(&mut self, first: Over) {
        let mut next = Some(first);
        let mut left = BURST;
        while let Some((id, result)) = next {
            if let Some(result) = result {
                self.over(id, result);
            }
            left -= 1;
            next = match left {
                0 => None,
                _ => self.probes.next().now_or_never().flatten(),
            };
        }
    }

    fn event(&mut self, event: Event) {
        for action in self.director.on_event(clock::now(), event) {
            self.execute(action);
        }
    }

    fn execute(&mut self, action: Action) {
        match action {
            Action::Probe(attempt) => self.probe(attempt),
            Action::Cancel(id) => match self.cancels.remove(&id) {
                Some(Underway::Runs(handle)) => handle.abort(),
                Some(Underway::Dials(seat)) => self.tools.swarm.hang_up(seat),
                None => {}
            },
            Action::Converge(key) => {
                if let Some(table) = &mut self.table {
                    table.mark(&key);
                }
            }
            Action::Notice(notice) => self.pending.push_back(notice),
            Action::Report(report) => tell(&report),
        }
    }

    fn probe(&mut self, attempt: Attempt) {
        let id = attempt.id;
        if let Some(connect) = attempt.checker().and_then(|c| c.check.dials()) {
            match connect.dial(&self.tools.swarm, id.0) {
                Ok(seat) => _ = self.cancels.insert(id, Underway::Dials(seat)),
                Err(down) => self.failed.push((id, down)),
            }
            return;
        }
        let (handle, registration) = AbortHandle::new_pair();
        self.cancels.insert(id, Underway::Runs(handle));
        let tools = Rc::clone(&self.tools);
        let one = async move {
            match attempt.checker() {
                Some(c) => c.check.probe(c.connect_timeout, attempt.page, &tools).await,
                None => Ok(Good::Plain), // The core makes no such attempt.
            }
        };
        self.probes.push(Box::pin(async move {
            (id, Abortable::new(one, registration).await.ok())
        }));
    }
}

fn tell(report: &Report) {
    match report {
        Report::Check {
            said: Said::Trouble(_),
            ..
        } => warn!("{report}"),
        Report::Check { .. }
        | Report::Server { .. }
        | Report::Quorum { .. }
        | Report::Sorry { .. }
        | Report::AliveServers { .. }
        | Report::Removed(_) => info!("{report}"),
    }
}

/// `net_namespace_ipvs`.
fn ipvs_place(config: &Config) -> Place {
    match &config.global.process.ipvs_namespace {
        IpvsNamespace::Own => Place::Here,
        IpvsNamespace::Default => Place::First,
        IpvsNamespace::Named(name) => Place::Named(Arc::clone(name)),
    }
}

/// How many attempts may run at once for `config`. Raises the limit on open files as far as it needs and may.
fn attempts_for(config: &Config) -> usize {
    let servers = config
        .virtual_servers
        .iter()
        .flat_map(|vs| &vs.real_servers);
    let wanted = servers.map(|rs| rs.checkers.len()).sum::<usize>();
    let wanted = wanted.clamp(1, MOST_ATTEMPTS);
    let files = u64::try_from(wanted).unwrap_or(u64::MAX) + OTHER_FILES;
    let Ok((mut soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    if soft < files && soft < hard {
        let raised = files.min(hard);
        match setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
            Ok(()) => soft = raised,
            Err(err) => warn!(%err, "cannot raise the limit on open files"),
        }
    }
    let room = usize::try_from(soft.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
    wanted.min(room.max(1))
}

#[cfg(test)]
mod tests;
