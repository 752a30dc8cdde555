//! What the kernel holds for us: the only place that decides which addresses, routes and rules are added and removed.
//!
//! Work is done by a thread of its own, in the order in which it was asked for; frames stand in the same line, so that
//! an address is announced after it is there. Here nothing waits: what was asked for counts as ours at once, and the
//! answer corrects that. Never touches what is in no configuration.

mod beat;
mod duplicates;
mod entry;
mod flights;
mod guard;
mod holdings;
mod leftovers;
mod links;
mod news;
mod patience;
mod record;
mod ways;
mod worker;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use self::beat::Beats;
use self::duplicates::Duplicates;
use self::entry::{Key, Owner, rank};
use self::flights::{Cause, Flight, absent};
use self::guard::Guard;
use self::holdings::Holdings;
use self::leftovers::Leftovers;
use self::links::Links;
use self::patience::Patience;
use self::record::Record;
use self::worker::{Answers, Frame, Worker};
use super::heritage::News;
use super::spare::Ward;
use crate::model::Config;
use crate::model::net::IfName;
use crate::model::process::{Buffer, Buffers};
use crate::sys::fibwatch::FibWatch;
use crate::sys::monitor::Monitor;
use crate::sys::netlink::BATCH;
use crate::sys::view::View;
use crate::vrrp::desired::Desired;
use crate::vrrp::{IfIndex, InstanceId};

/// Operations that are answered together: what is to be done about the answers must not delay an advertisement.
const PORTION: usize = BATCH;

/// Names a place in the line; a later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Milestone(pub(super) u64);

/// What there is from the kernel.
#[derive(Debug)]
pub(super) enum Heard {
    /// An order is done: to be given to [`Kernel::conclude`].
    Done(Answers),
    /// Something changed: [`Kernel::take_news`].
    News,
    /// The link of an interface that was asked for it: [`Kernel::beat`].
    Beat(IfName, bool),
    /// The thread for kernel work is dead.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Kernel {
    monitor: Monitor,
    /// Of routes and rules, where we have some.
    fib: Option<FibWatch>,
    /// Of links that do not tell by themselves.
    beats: Option<Beats>,
    worker: Worker,
    /// On their way into the line, together: each waking of the thread costs more than a frame.
    frames: VecDeque<Frame>,
    flights: VecDeque<Flight>,
    /// How many operations in flight are about a thing: until they are answered, what the monitor says about it may be
    /// out of date.
    unsettled: HashMap<Key, u32>,
    /// Unsettled things that went away meanwhile, and who removed them.
    gone: HashMap<Key, Option<u32>>,
    holdings: Holdings,
    leftovers: Leftovers,
    record: Record,
    /// What is in force.
    config: Option<Arc<Config>>,
    /// Who wants something on an interface that does not exist, by its name.
    unmet: BTreeSet<(IfName, Owner)>,
    /// Whose desires must be looked at again.
    again: BTreeSet<Owner>,
    statics: Desired,
    /// `vrrp_restore_deleted`.
    restore: bool,
    patience: Patience,
    duplicates: Duplicates,
    guard: Guard,
    links: Links,
    /// Which interfaces are set up.
    up: HashMap<u32, bool>,
    reached: Vec<Milestone>,
}

impl Kernel {
    /// Must be called inside a runtime. `held`: where to put on file what is ours, if anywhere.
    ///
    /// # Errors
    /// The kernel denies netlink or packet sockets.
    pub(super) fn open(held: Option<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            monitor: Monitor::open()?,
            fib: None,
            beats: None,
            worker: Worker::start()?,
            frames: VecDeque::new(),
            flights: VecDeque::new(),
            unsettled: HashMap::new(),
            gone: HashMap::new(),
            holdings: Holdings::default(),
            leftovers: Leftovers::default(),
            record: Record::new(held),
            config: None,
            unmet: BTreeSet::new(),
            again: BTreeSet::new(),
            statics: Desired::default(),
            restore: false,
            patience: Patience::default(),
            duplicates: Duplicates::default(),
            guard: Guard::default(),
            links: Links::default(),
            up: HashMap::new(),
            reached: Vec::new(),
        })
    }

    /// The thread that carries out what is asked for.
    pub(super) fn worker_thread(&self) -> libc::pid_t {
        self.worker.thread_number()
    }

    /// The same, as spare threads see it.
    pub(super) fn worker_ward(&self) -> &Arc<Ward> {
        self.worker.ward()
    }

    pub(super) fn view(&self) -> &View {
        self.monitor.view()
    }

    /// Takes what a new configuration says besides its instances. To be called before they hear of it.
    pub(super) fn configure(&mut self, config: &Arc<Config>) {
        self.restore = config.global.restore_deleted;
        self.resize(&config.global.process.buffers);
        self.links.configure(config);
        self.watch_links(config);
        self.patience = Patience::default();
        let has_ways = |d: &Desired| !d.routes.is_empty() || !d.rules.is_empty();
        let statics = &config.statics;
        self.guard.call(&config.global.firewall.nftables.table);
        self.statics = Desired {
            guarded: false,
            addresses: entry::fixed(statics),
            routes: statics.routes.iter().map(|s| s.entry.clone()).collect(),
            rules: statics.rules.iter().map(|s| s.entry.clone()).collect(),
        };
        let virtual_ways = |i: &std::sync::Arc<crate::model::vrrp::Instance>| {
            !i.routes.is_empty() || !i.rules.is_empty()
        };
        if !has_ways(&self.statics) && !config.instances.iter().any(virtual_ways) {
            self.fib = None;
        } else if self.fib.is_none() {
            self.fib = FibWatch::open()
                .inspect_err(|e| tracing::error!(err = %e, "cannot watch routes and rules"))
                .ok();
        }
        self.record(config);
    }

    /// keepalived has a socket of each kind in each process; here one serves both.
    fn resize(&self, buffers: &Buffers) {
        let command = buffers.vrrp_command.or(buffers.lvs_command);
        let monitor = buffers.vrrp_monitor.or(buffers.lvs_monitor);
        let size = |b: Buffer| b.octets.and_then(|n| usize::try_from(n).ok());
        let done = [
            size(command).map_or(Ok(()), |n| self.worker.resize(n, command.force)),
            size(monitor).map_or(Ok(()), |n| self.monitor.resize(n, monitor.force)),
        ];
        for e in done.into_iter().filter_map(Result::err) {
            tracing::warn!(err = %e, "cannot set the receive buffer of a netlink socket");
        }
    }

    fn watch_links(&mut self, config: &Config) {
        let asked = beat::asked(config);
        if self.beats.as_ref().is_some_and(|beats| beats.is(&asked)) {
            return;
        }
        self.links.ask(&asked);
        self.beats = None;
        if !asked.is_empty() {
            self.beats = Beats::start(asked)
                .inspect_err(|e| tracing::error!(err = %e, "cannot ask interfaces for their links"))
                .ok();
        }
    }

    /// Has a file written, if there is something to write, before the kernel hears what is asked for later.
    pub(super) fn save(&mut self, news: Option<(PathBuf, String)>) {
        if let Some((path, text)) = news {
            self.worker.save(path, text);
        }
    }

    /// The same for the list of masters.
    pub(super) fn save_masters(&mut self, news: Option<News>) {
        if let Some(news) = news {
            self.worker.save_masters(news);
        }
    }

    /// Nothing of ours is left in the kernel.
    pub(super) fn nothing_left(&self) {
        self.record.remove();
    }

    /// Puts what the configuration wants in any case in force, or, at the end, nothing.
    pub(super) fn converge_statics(&mut self) {
        self.go_for(Owner::Statics, self.statics.clone(), Cause::Repair);
    }

    pub(super) fn forget_statics(&mut self) {
        self.statics = Desired::default();
        self.converge_statics();
    }

    /// Brings an instance's things to `desired`; answered by [`crate::vrrp::Event::Converged`].
    pub(super) fn converge(&mut self, instance: InstanceId, desired: Desired) {
        self.go_for(Owner::Instance(instance), desired, Cause::Asked);
    }

    /// Puts back what went away and is wanted, of everybody to whom that happened. `desired` says what an instance
    /// wants.
    pub(super) fn mend(&mut self, desired: impl Fn(InstanceId) -> Desired) {
        for owner in std::mem::take(&mut self.again) {
            match owner {
                Owner::Instance(id) => self.go_for(owner, desired(id), Cause::Repair),
                Owner::Statics => self.converge_statics(),
            }
        }
    }

    /// Sends a frame after all work asked for before. Leaves with the next [`Kernel::flush`].
    pub(super) fn frame(&mut self, interface: IfIndex, octets: Vec<u8>) {
        self.frames.push_back(Frame {
            interface: interface.0,
            iface: self.links.name(interface),
            octets,
        });
    }

    /// Lets the frames go that were asked for until now.
    pub(super) fn flush(&mut self) {
        if !self.frames.is_empty() {
            self.worker.frames(std::mem::take(&mut self.frames));
        }
    }

    /// [`Kernel::reached`] will say when all that was asked for before is done.
    pub(super) fn milestone(&mut self, milestone: Milestone) {
        match self.flights.back_mut() {
            Some(flight) => flight.milestones.push(milestone),
            None => self.reached.push(milestone),
        }
    }

    pub(super) fn reached(&mut self) -> Vec<Milestone> {
        std::mem::take(&mut self.reached)
    }

    /// Something was asked for and is not done.
    pub(super) fn busy(&self) -> bool {
        !self.flights.is_empty() || !self.again.is_empty()
    }

    /// Waits until the kernel has something to tell. Cancel safe.
    pub(super) async fn heard(&mut self) -> Heard {
        let routes = async {
            match &self.fib {
                Some(watch) => watch.readable().await,
                None => std::future::pending().await,
            }
        };
        let beat = async {
            match &mut self.beats {
                Some(beats) => beats.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased; // The news are read before an answer is believed anyway.
            answers = self.worker.done() => answers.map_or(Heard::Nothing, Heard::Done),
            news = async { tokio::select! { n = self.monitor.readable() => n, n = routes => n } } => match news {
                Ok(()) => Heard::News,
                Err(_) => std::future::pending().await, // The runtime ends.
            },
            (name, running) = beat => Heard::Beat(name, running),
        }
    }

    fn go_for(&mut self, owner: Owner, desired: Desired, cause: Cause) {
        self.unmet.retain(|(_, waiting)| *waiting != owner);
        let view = self.monitor.view();
        let (before, after) = self.guard.towards(owner, &desired, view);
        self.worker.block(before);
        let (known, unmet) = entry::wanted(desired, self.monitor.view());
        for (dev, what) in unmet {
            tracing::warn!(iface = %dev, "no such interface, not set: {what}");
            self.unmet.insert((dev, owner));
        }
        let mut ops = self.holdings.towards(owner, known);
        ops.sort_by_key(rank);
        if ops.is_empty() && cause == Cause::Asked {
            self.depart(owner, Vec::new(), cause, true);
        }
        let mut rest = ops.chunks(PORTION).peekable();
        while let Some(portion) = rest.next() {
            self.depart(owner, portion.to_vec(), cause, rest.peek().is_none());
        }
        self.worker.free(after);
    }

    /// The firewall's tables were made anew.
    pub(super) fn guard_again(&mut self) {
        self.worker.block(self.guard.again());
    }

    /// Removes everything that is ours, at once: for an edge that ends before its time.
    pub(super) fn withdraw(&mut self) {
        let mut requests = self.holdings.removals();
        requests.extend(self.leftovers.removals());
        match self.worker.end() {
            Ok(mut route) => {
                for answer in route.execute(requests) {
                    if let Err(refusal) = answer
                        && !absent(refusal.errno)
                    {
                        tracing::warn!(err = %refusal, "cannot remove what is ours");
                    }
                }
            }
            Err(e) => tracing::error!(err = %e, "cannot remove what is ours"),
        }
        self.record.remove();
    }
}
