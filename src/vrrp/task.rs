//! The VRRP task: carries events from kernel and channels to the core and its actions back.
//!
//! Never waits for anything but the next event: packets leave by non-blocking sends, kernel work is done by a thread of
//! its own, notices wait in a backlog. While it is real-time, spare threads watch that its processor does not make it wait
//! either. Should the core panic, the task resigns and removes its addresses while it unwinds. Start, reload and stop are in
//! [`life`].

mod firewall;
mod heritage;
mod kernel;
mod leavings;
mod life;
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
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::task::yield_now;

use self::heritage::Heritage;
pub(crate) use self::heritage::bequeath;
use self::kernel::{Heard, Kernel};
use self::life::{Applying, Phase, Promise};
use self::outbox::Outbox;
use self::spare::Ward;
use self::station::{Station, Word};
use self::tuning::Tuning;
use self::wires::{Outgoing, Wires};
use super::router::Router;
use super::{Action, Event};
use crate::daemon::bus::{Notice, Release, TrackerUpdate, VrrpCommand, VrrpUpdate};
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
