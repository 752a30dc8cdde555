//! The VRRP task: carries events from kernel and channels to the core and its actions back.
//!
//! Never waits for anything but the next event: packets leave by non-blocking sends, kernel work is done by a thread of
//! its own, notices wait in a backlog. While it is real-time, spare threads watch that its processor does not make it wait
//! either. Should the core panic, the task resigns and
//! removes its addresses while it unwinds.

mod firewall;
mod heritage;
mod kernel;
mod leavings;
mod links;
mod outbox;
mod report;
mod settings;
mod spare;
mod station;
mod terms;
mod tuning;
mod wires;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio::task::yield_now;

use self::heritage::Heritage;
pub(crate) use self::heritage::bequeath;
use self::kernel::{Heard, Kernel, Milestone};
use self::outbox::Outbox;
use self::spare::Ward;
use self::station::{Station, Word};
use self::tuning::Tuning;
use self::wires::{Outgoing, Wires};
use super::links::Wanted;
use super::router::Router;
use super::{Action, Event};
use crate::daemon::bus::{Notice, Release, TrackerUpdate, VrrpCommand, VrrpUpdate};
use crate::model::Config;
use crate::model::global::IpvsSettings;
use crate::sys::clock::{self, Alarm};
use crate::sys::raw::Route;
use crate::time::Mono;

/// Turns of the loop after which the runtime gets a chance to look at its descriptors: a task that always has
/// something to do would otherwise not hear of new things.
const TURNS: u32 = 32;

/// Packets that came after a timer ran out, and are heard before it is believed: what came earlier may stand behind them, in
/// other sockets.
const AFTERWARDS: usize = 256;
/// Sockets that are looked at before a timer is believed, one of them several times.
const HEARD_OUT: usize = 4096;

/// A wall clock that moves by less against ours is left alone.
const CLOCK_STEP: Duration = Duration::from_millis(10);

/// The ends of the channels that belong to this task.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) commands: Receiver<VrrpCommand>,
    pub(crate) trackers: Receiver<TrackerUpdate>,
    /// States and addresses, for the LVS task.
    pub(crate) updates: Sender<VrrpUpdate>,
    pub(crate) notices: Sender<Notice>,
    /// Where to put on file what of ours may be in the kernel, for a successor; `None`: nowhere.
    pub(crate) held: Option<PathBuf>,
}

/// Runs until [`VrrpCommand::Stop`] is carried out, or nobody can send it any more. Wants a current-thread runtime of
/// its own.
///
/// # Errors
/// Before the first command: the kernel denies what the task cannot work without (netlink, raw sockets). After that
/// only if the thread for kernel work has died.
pub(crate) async fn run(inbox: Inbox) -> io::Result<()> {
    let Inbox {
        mut commands,
        mut trackers,
        updates,
        notices,
        held,
    } = inbox;
    let mut alarm = Alarm::new()?;
    let mut task = Task::open(updates, notices, held)?;
    let mut trackers_open = true;
    let mut turn = 0_u32;
    while task.phase != Phase::Over {
        turn = turn.wrapping_add(1);
        if turn.is_multiple_of(TURNS) {
            yield_now().await;
        }
        let deadline = task.router.deadline().min(task.kernel.deadline());
        let idle = task.events.is_empty();
        tokio::select! {
            biased; // Deadlines first: a flood of packets must not delay an advertisement.
            () = task.ward.awake() => {}
            () = alarm.sleep_until(deadline) => task.wake(deadline),
            () = std::future::ready(()), if !idle => task.go_on(),
            command = commands.recv(), if task.phase == Phase::Running && task.applying.is_none() => match command {
                Some(command) => task.command(command),
                None => task.stop(Release::All, None),
            },
            update = trackers.recv(), if trackers_open => match update {
                Some(update) => task.step(Event::Tracker(update)),
                None => trackers_open = false,
            },
            heard = task.kernel.heard() => task.heed(heard)?,
            word = task.station.heard() => match word {
                Word::Done { anew } => task.links_are_there(anew),
                Word::TablesGone => task.station.restore(task.kernel.view()),
            },
            () = task.wires.readable() => task.listen(),
            () = task.notices.progress(), if task.notices.is_full() => {}
            () = task.updates.progress(), if task.updates.is_full() => {}
            () = task.ward.asleep(deadline) => {}
        }
        task.ward.runs();
        task.tuning.turn();
        task.keep_reached();
        if task.phase == Phase::Running {
            let news = task.heritage.due(clock::now(), task.router.masters());
            task.kernel.save_masters(news);
        }
        task.notices.flush();
        task.updates.flush();
    }
    Ok(())
}

/// Whether the LVS task has to do with states and addresses. Elsewhere a copy of them would only take memory.
fn has_followers(config: &Config) -> bool {
    !config.virtual_servers.is_empty() || config.global.ipvs != IpvsSettings::default()
}

/// Where the task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Stop was asked for; the kernel still has to follow.
    Stopping,
    Over,
}

/// Whom to tell when a place in the line of kernel work is reached.
#[derive(Debug)]
struct Promise {
    milestone: Milestone,
    done: Option<oneshot::Sender<()>>,
}

/// A configuration on its way to be in force.
#[derive(Debug)]
struct Applying {
    config: Arc<Config>,
    done: oneshot::Sender<()>,
}

struct Task {
    router: Router,
    /// When its last event happened.
    last: Mono,
    /// What the core believes of the wall clock: its value at the origin of [`Mono`].
    wall: Duration,
    kernel: Kernel,
    heritage: Heritage,
    station: Station,
    wires: Wires,
    /// What leaves at the end of this event.
    adverts: Vec<Outgoing>,
    tuning: Tuning,
    /// This thread, as spare threads see it.
    ward: Arc<Ward>,
    notices: Outbox<Notice>,
    updates: Outbox<VrrpUpdate>,
    /// What the core must hear before anything from outside.
    events: VecDeque<Event>,
    promises: VecDeque<Promise>,
    milestones: u64,
    /// A configuration is in force.
    started: bool,
    phase: Phase,
    /// Waits until its interfaces are there.
    applying: Option<Applying>,
    /// What a task that ends before its time leaves behind.
    release: Release,
}

impl Task {
    fn open(
        updates: Sender<VrrpUpdate>,
        notices: Sender<Notice>,
        held: Option<PathBuf>,
    ) -> io::Result<Self> {
        let kernel = Kernel::open(held.clone())?;
        let ward = Arc::new(Ward::new());
        ward.is_here();
        let mut task = Self {
            router: Router::new(),
            last: clock::now(),
            wall: Duration::ZERO,
            heritage: Heritage::new(held.as_deref()),
            station: Station::start(held.as_ref().map(|path| path.with_extension("links")))?,
            wires: Wires::open()?,
            adverts: Vec::new(),
            tuning: Tuning::new(
                kernel.worker_thread(),
                [Arc::clone(&ward), Arc::clone(kernel.worker_ward())],
            ),
            ward,
            kernel,
            notices: Outbox::new(notices),
            updates: Outbox::muted(updates),
            events: VecDeque::new(),
            promises: VecDeque::new(),
            milestones: 0,
            started: false,
            phase: Phase::Running,
            applying: None,
            release: Release::All,
        };
        task.catch_up();
        Ok(task)
    }

    /// Brings the core to what is true in the kernel now.
    fn catch_up(&mut self) {
        self.kernel
            .take_all_news(&mut self.events, &mut self.updates);
        self.mend();
        while let Some(event) = self.events.pop_front() {
            self.step(event);
        }
    }

    fn busy(&self) -> bool {
        !self.events.is_empty() || self.kernel.busy()
    }

    fn wake(&mut self, deadline: Mono) {
        let now = clock::now();
        self.tuning.late(now.since(deadline));
        if self.router.must_hear_first(now) {
            self.hear_out(now);
        }
        self.step(Event::Wake);
        self.kernel.tick(clock::now(), &mut self.events);
        // Whoever is late has to listen all the same, or he would not hear that somebody else is master.
        if self.router.deadline() <= clock::now() {
            self.listen();
        }
    }

    /// One event that waits inside.
    fn go_on(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.step(event);
        }
    }

    /// What came from the kernel, or from the thread that works on it.
    fn heed(&mut self, heard: Heard) -> io::Result<()> {
        let (events, updates) = (&mut self.events, &mut self.updates);
        match heard {
            Heard::Done(answers) => self.kernel.conclude(answers, events, updates),
            Heard::News => self.kernel.take_news(events, updates),
            Heard::Beat(name, running) => self.kernel.beat(&name, running, events),
            Heard::Nothing => {
                return Err(io::Error::other("the thread for kernel work has ended"));
            }
        }
        self.mend();
        Ok(())
    }

    /// Puts back what went away and is wanted.
    fn mend(&mut self) {
        let router = &self.router;
        self.kernel.mend(|instance| router.desired(instance));
    }

    /// What has come until `now`. A flood that goes on meanwhile is left for later.
    fn hear_out(&mut self, now: Mono) {
        let mut late = 0;
        for _ in 0..HEARD_OUT {
            if late >= AFTERWARDS || !self.wires.has_more() {
                return;
            }
            late += self.listen_for(now);
        }
    }

    fn listen(&mut self) {
        self.listen_for(clock::now());
    }

    /// Takes the packets of one socket, a bounded number: how many of them came after `until`.
    fn listen_for(&mut self, until: Mono) -> usize {
        let mut heard = VecDeque::new();
        self.wires.turn(&mut heard);
        let mut late = 0;
        for packet in heard {
            // A deadline that counts from a packet counts from its arrival, not from our waking up.
            let arrived = clock::now() - packet.waited();
            late += usize::from(arrived > until);
            self.step_at(arrived, Event::Heard(terms::frame(packet)));
        }
        late
    }

    /// Takes one event to the core and carries out what it asks for.
    fn step(&mut self, event: Event) {
        self.step_at(clock::now(), event);
    }

    /// As [`Task::step`], for something that happened a moment ago.
    fn step_at(&mut self, at: Mono, event: Event) {
        match &event {
            Event::InterfaceGone(index) => {
                self.wires.forget(*index);
                self.station.look(None, self.kernel.view());
            }
            Event::Interface(facts) => {
                self.station
                    .look(Some(facts.name.as_str()), self.kernel.view());
                self.wires.retry(self.kernel.view());
                self.wires.note(facts);
            }
            Event::Wake
            | Event::Apply(_)
            | Event::Stop(_)
            | Event::Heard(_)
            | Event::WallClock(_)
            | Event::Tracker(_)
            | Event::Converged(_)
            | Event::Lost { .. }
            | Event::Mended(_) => {}
        }
        // What the core has seen already does not go back.
        self.last = self.last.max(at);
        let starts = matches!(event, Event::Apply(_));
        if starts || self.router.wants_wall_clock() {
            self.tell_wall_clock();
        }
        // What is sent is sent before anybody is told: wording a line takes longer than sending an advertisement.
        let (told, done): (Vec<_>, Vec<_>) = self
            .router
            .on_event(self.last, event)
            .into_iter()
            .partition(|action| matches!(action, Action::Report(_)));
        for action in done {
            self.execute(action);
        }
        self.send_adverts();
        self.kernel.flush();
        for action in told {
            self.execute(action);
        }
    }

    /// What is sent in one turn leaves together.
    fn send_adverts(&mut self) {
        if !self.adverts.is_empty() {
            self.wires.send(&mut self.adverts, self.kernel.view());
            self.heritage.beat();
        }
    }

    /// Tells the core what time it is, if that is news.
    fn tell_wall_clock(&mut self) {
        let since_origin = Duration::from_micros(clock::now().as_micros());
        let wall = clock::wall().saturating_sub(since_origin);
        if wall.abs_diff(self.wall) > CLOCK_STEP {
            self.wall = wall;
            self.router.on_event(self.last, Event::WallClock(wall));
        }
    }

    fn execute(&mut self, action: Action) {
        match action {
            Action::SendAdvert {
                socket,
                src,
                dst,
                hop_limit,
                octets,
            } => {
                let route = Route {
                    src,
                    dst,
                    hop_limit,
                };
                self.adverts.push((socket, route, octets));
            }
            Action::SendFrame {
                interface, octets, ..
            } => self.kernel.frame(interface, octets),
            Action::Converge(instance) => {
                let desired = self.router.desired(instance);
                self.kernel.converge(instance, desired);
            }
            Action::Listen => {
                self.send_adverts();
                self.wires.resize(self.router.buffers());
                self.wires.listen(self.router.sockets(), self.kernel.view());
            }
            Action::Notice(notice) => self.notify(notice),
            Action::Report(report) => report::tell(&report),
        }
    }

    fn notify(&mut self, notice: Notice) {
        if let Notice::Instance {
            instance, state, ..
        } = &notice
        {
            self.heritage.doubt();
            self.updates.put(VrrpUpdate::Instance {
                name: instance.name.clone(),
                state: *state,
            });
        }
        self.notices.put(notice);
    }

    fn command(&mut self, command: VrrpCommand) {
        match command {
            VrrpCommand::Apply { config, done } => {
                let intervals = config.instances.iter().map(|i| i.advert_int);
                self.tuning.apply(&config.global.process, intervals.min());
                self.catch_up();
                let asked = self.station.want(Wanted::of(&config), self.kernel.view());
                if config.global.firewall.iptables.is_some() {
                    let table = &config.global.firewall.nftables.table;
                    tracing::info!("vrrp_iptables: nftables is used instead, table {table}");
                }
                let applying = Applying { config, done };
                match asked {
                    true => self.applying = Some(applying),
                    false => self.apply(applying),
                }
            }
            VrrpCommand::Stop { release, done } => self.stop(release, Some(done)),
            VrrpCommand::Snapshot(reply) => {
                let mut instances = self.router.snapshot();
                for now in &mut instances {
                    now.fds = now.socket.and_then(|socket| self.wires.fds(&socket));
                }
                let _ = reply.send(instances); // who asked may have gone away
            }
            VrrpCommand::ClearStats => self.router.clear_stats(),
            VrrpCommand::Alive(reply) => _ = reply.send(()),
        }
    }

    /// The interfaces of a new configuration, or those that somebody else had changed, are there.
    fn links_are_there(&mut self, anew: bool) {
        if anew {
            self.kernel.guard_again();
        }
        self.catch_up();
        let idle = self.station.settle(self.kernel.view());
        if let Some(applying) = self.applying.take_if(|_| idle) {
            self.apply(applying);
        }
    }

    /// With [`Release::Nothing`] they stay.
    fn links_are_gone(&mut self) -> bool {
        self.release == Release::Nothing || self.station.leave(self.kernel.view())
    }

    fn apply(&mut self, Applying { config, done }: Applying) {
        let first = !std::mem::replace(&mut self.started, true);
        if first {
            let inheritance = self.heritage.earlier(&config, clock::now());
            self.kernel.find_leftovers(&config, &inheritance);
            self.router.inherit(inheritance);
            self.catch_up();
        }
        self.kernel.configure(&config);
        self.heritage.doubt();
        if has_followers(&config) && self.updates.unmute() {
            self.tell_followers();
        }
        self.step(Event::Apply(config));
        self.wires.resize(self.router.buffers());
        self.kernel.converge_statics();
        if first {
            self.kernel.sweep_leftovers();
        }
        self.promise(Some(done));
    }

    /// How everything is that virtual servers may follow; each change of it is told from now on.
    fn tell_followers(&mut self) {
        for (name, state) in self.router.announced() {
            let name = Arc::clone(name);
            self.updates.put(VrrpUpdate::Instance { name, state });
        }
        for key in self.kernel.view().addresses() {
            let (addr, up) = (key.local, true);
            self.updates.put(VrrpUpdate::Address { addr, up });
        }
    }

    fn stop(&mut self, release: Release, done: Option<oneshot::Sender<()>>) {
        self.phase = Phase::Stopping;
        self.release = release;
        self.step(Event::Stop(release));
        if release == Release::All {
            self.kernel.forget_statics();
        }
        self.promise(done);
    }

    /// `done` is answered when all that was asked for until now is done.
    fn promise(&mut self, done: Option<oneshot::Sender<()>>) {
        self.milestones += 1;
        let milestone = Milestone(self.milestones);
        self.promises.push_back(Promise { milestone, done });
        self.kernel.milestone(milestone);
    }

    /// Keeps the promises whose places in the line of kernel work are reached.
    fn keep_reached(&mut self) {
        for milestone in self.kernel.reached() {
            self.keep(milestone);
        }
    }

    fn keep(&mut self, milestone: Milestone) {
        // What was done last may have more to follow.
        if self.phase == Phase::Stopping && (self.busy() || !self.links_are_gone()) {
            self.kernel.milestone(milestone);
            return;
        }
        if self.phase == Phase::Running {
            self.station.tidy(self.kernel.view());
        }
        let kept = |promise: &Promise| promise.milestone <= milestone;
        while self.promises.front().is_some_and(kept) {
            if let Some(done) = self.promises.pop_front().and_then(|p| p.done) {
                // Who asked may have gone away.
                let _ = done.send(());
            }
        }
        if self.phase == Phase::Stopping && self.promises.is_empty() {
            self.phase = Phase::Over;
            if self.release == Release::All {
                self.kernel.nothing_left();
                self.heritage.remove();
            }
        }
    }

    /// Resigns and removes what is ours, as far as that is possible now.
    fn withdraw(&mut self) {
        let farewell = catch_unwind(AssertUnwindSafe(|| {
            self.router
                .on_event(clock::now(), Event::Stop(Release::All))
        }));
        // A core that panics again has nothing to say; its addresses go all the same.
        for action in farewell.unwrap_or_default() {
            match action {
                Action::SendAdvert { .. } => self.execute(action),
                Action::SendFrame { .. }
                | Action::Converge(_)
                | Action::Listen
                | Action::Notice(_)
                | Action::Report(_) => {}
            }
        }
        self.send_adverts();
        self.kernel.withdraw();
        self.station.withdraw();
        self.heritage.remove();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.phase != Phase::Over && self.release == Release::All {
            self.withdraw();
        }
    }
}

#[cfg(test)]
mod tests;
