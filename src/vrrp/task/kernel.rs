//! What the kernel holds for us: the only place that adds and removes addresses.
//!
//! Work is done in the order in which it was asked for, in small batches between deadlines; frames stand in the same
//! line, so that an address is announced after it is there. Never touches an address that is in no configuration.

mod holdings;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use nix::errno::Errno;

use self::holdings::{Holdings, Vip};
use super::outbox::Outbox;
use super::{report, terms};
use crate::daemon::bus::VrrpUpdate;
use crate::model::Config;
use crate::model::net::IfName;
use crate::reconcile::Op;
use crate::sys::addr::{self, AddressKey};
use crate::sys::monitor::Monitor;
use crate::sys::netlink::{BATCH, Refusal, Request, RouteSocket};
use crate::sys::raw::FrameSocket;
use crate::sys::view::{Change, View};
use crate::vrrp::router::Router;
use crate::vrrp::{Event, IfIndex, InstanceId, InterfaceFacts};

/// Requests and frames per turn: well below a millisecond.
const PORTION: usize = BATCH;

/// One thing to do.
#[derive(Debug)]
enum Work {
    /// Bring an instance's addresses to what it desires now.
    Converge {
        instance: InstanceId,
        /// The core asked and wants to be told.
        answer: bool,
    },
    /// The rest of that.
    Apply {
        instance: InstanceId,
        ops: VecDeque<Op<AddressKey, Vip>>,
        answer: bool,
    },
    Frame {
        interface: IfIndex,
        octets: Vec<u8>,
    },
    /// Remove what an earlier run left and nobody has claimed by now.
    Sweep,
    /// Everything before this is done.
    Reached(Milestone),
}

/// Names a place in the line; a later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Milestone(pub(super) u64);

#[derive(Debug)]
pub(super) struct Kernel {
    monitor: Monitor,
    route: RouteSocket,
    frames: FrameSocket,
    /// The next frame did not fit the queue of its interface.
    stuck: bool,
    line: VecDeque<Work>,
    holdings: Holdings,
    /// In the configuration and in the kernel when we started: left behind by an earlier run.
    leftovers: BTreeSet<AddressKey>,
    /// Instances that want an address on an interface that does not exist, by its name.
    unmet: BTreeSet<(IfName, InstanceId)>,
    /// What the core was told last.
    told: HashMap<IfIndex, Arc<InterfaceFacts>>,
    reached: Vec<Milestone>,
    /// Who has what the core asked for; not told yet.
    converged: Vec<InstanceId>,
    /// The kernel has something to say about our last work.
    unread: bool,
    /// Frames sent in this turn without standing in line.
    at_once: usize,
}

impl Kernel {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// The kernel denies netlink or packet sockets.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            monitor: Monitor::open()?,
            route: RouteSocket::open()?,
            frames: FrameSocket::open()?,
            stuck: false,
            line: VecDeque::new(),
            holdings: Holdings::default(),
            leftovers: BTreeSet::new(),
            unmet: BTreeSet::new(),
            told: HashMap::new(),
            reached: Vec::new(),
            converged: Vec::new(),
            unread: false,
            at_once: 0,
        })
    }

    pub(super) fn view(&self) -> &View {
        self.monitor.view()
    }

    pub(super) fn converge(&mut self, instance: InstanceId) {
        self.line.push_back(Work::Converge {
            instance,
            answer: true,
        });
    }

    /// Sends a frame after all work asked for before: now, if there is none.
    pub(super) fn frame(&mut self, interface: IfIndex, octets: Vec<u8>) {
        if self.line.is_empty() && self.at_once < PORTION && self.emit(interface, &octets) {
            self.at_once += 1;
        } else {
            self.line.push_back(Work::Frame { interface, octets });
        }
    }

    /// [`Kernel::reached`] will say when all that was asked for before is done.
    pub(super) fn milestone(&mut self, milestone: Milestone) {
        self.line.push_back(Work::Reached(milestone));
    }

    pub(super) fn reached(&mut self) -> Vec<Milestone> {
        std::mem::take(&mut self.reached)
    }

    /// There is something to do, and nothing to wait for.
    pub(super) fn busy(&self) -> bool {
        !self.line.is_empty() && !self.stuck
    }

    /// The line waits for room in the queue of an interface.
    pub(super) fn stuck(&self) -> bool {
        self.stuck
    }

    /// Waits for that room. Cancel safe.
    pub(super) async fn room(&self) {
        if self.frames.writable().await.is_err() {
            std::future::pending::<()>().await; // The runtime ends.
        }
    }

    /// There is room again.
    pub(super) fn go_on(&mut self) {
        self.stuck = false;
    }

    /// A new turn: a portion of frames may leave at once again.
    pub(super) fn next_turn(&mut self) {
        self.at_once = 0;
    }

    /// Waits until the kernel has something to tell. Cancel safe.
    pub(super) async fn news(&self) {
        if self.monitor.readable().await.is_err() {
            std::future::pending::<()>().await; // The runtime ends.
        }
    }

    /// Takes a bounded part of the news.
    pub(super) fn take_news(
        &mut self,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        let changes = self.monitor.turn();
        self.digest(changes, events, updates);
    }

    /// Takes all news that are there.
    pub(super) fn take_all_news(
        &mut self,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        let changes = self.monitor.drain();
        self.digest(changes, events, updates);
    }

    /// Looks for addresses of `config` that are on their interfaces already and removes those that no owner (who is
    /// master at once) will want in a moment. To be called once, before the first configuration is in force.
    pub(super) fn find_leftovers(&mut self, config: &Config) {
        let mut doomed = Vec::new();
        for instance in &config.instances {
            for vip in instance.addresses.iter().chain(&instance.excluded) {
                let view = self.monitor.view();
                let Some(index) = view.index_of(vip.dev.as_str()) else {
                    continue;
                };
                let key = terms::key(vip, index);
                if view.address_options(&key).is_none() || !self.leftovers.insert(key) {
                    continue;
                }
                tracing::info!(addr = %key.local, iface = %vip.dev, "found an address of an earlier run");
                if !instance.is_owner() {
                    doomed.push(key);
                }
            }
        }
        for key in &doomed {
            self.leftovers.remove(key);
        }
        self.remove(&doomed);
    }

    /// Removes the rest of them, unless what was asked for until now has claimed it. To be called once, after the
    /// first configuration is in force.
    pub(super) fn sweep_leftovers(&mut self) {
        self.line.push_back(Work::Sweep);
    }

    /// Does a bounded part of the work. What the kernel says about it is read afterwards, so that the frames that
    /// announce an address follow it at once, and before the core is told that it is done.
    pub(super) fn work(
        &mut self,
        router: &Router,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        let mut room = PORTION;
        while room > 0
            && !self.stuck
            && let Some(work) = self.line.pop_front()
        {
            room = room.saturating_sub(self.portion(work, room, router, events, updates));
        }
        self.conclude(events, updates);
    }

    /// Does one thing, or as much of it as there is room for. Returns how much that was.
    fn portion(
        &mut self,
        work: Work,
        room: usize,
        router: &Router,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) -> usize {
        match work {
            Work::Frame { interface, octets } => {
                if !self.emit(interface, &octets) {
                    self.stuck = true;
                    self.line.push_front(Work::Frame { interface, octets });
                }
                1
            }
            Work::Converge { instance, answer } => {
                // What earlier work brought about must be known before it is built upon.
                self.conclude(events, updates);
                let ops = self.operations(router, instance);
                self.line.push_front(Work::Apply {
                    instance,
                    ops,
                    answer,
                });
                0
            }
            Work::Apply {
                instance,
                mut ops,
                answer,
            } => {
                let batch: Vec<_> = ops.drain(..ops.len().min(room)).collect();
                let done = batch.len();
                self.carry_out(instance, batch);
                self.unread = true;
                if !ops.is_empty() {
                    self.line.push_front(Work::Apply {
                        instance,
                        ops,
                        answer,
                    });
                } else if answer {
                    self.converged.push(instance);
                }
                done
            }
            Work::Sweep => {
                self.conclude(events, updates);
                let keys: Vec<_> = std::mem::take(&mut self.leftovers).into_iter().collect();
                self.remove(&keys);
                self.unread = true;
                keys.len()
            }
            Work::Reached(milestone) => {
                self.reached.push(milestone);
                0
            }
        }
    }

    /// Reads what the kernel says about our work, then tells the core of what is done.
    fn conclude(&mut self, events: &mut VecDeque<Event>, updates: &mut Outbox<VrrpUpdate>) {
        if std::mem::take(&mut self.unread) {
            self.take_all_news(events, updates);
        }
        events.extend(self.converged.drain(..).map(Event::Converged));
    }

    /// False: there is no room now.
    fn emit(&mut self, interface: IfIndex, octets: &[u8]) -> bool {
        match self.frames.send(interface.0, octets) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => false,
            Err(e) => {
                tracing::debug!(index = interface.0, err = %e, "cannot send a frame");
                true
            }
            Ok(()) => {
                report::announced(octets, self.view().name_of(interface.0).unwrap_or_default());
                true
            }
        }
    }

    /// From what the instance holds to what it desires.
    fn operations(
        &mut self,
        router: &Router,
        instance: InstanceId,
    ) -> VecDeque<Op<AddressKey, Vip>> {
        self.unmet.retain(|(_, waiting)| *waiting != instance);
        let mut desired = Vec::new();
        for vip in router.desired(instance).addresses {
            match self.monitor.view().index_of(vip.dev.as_str()) {
                Some(index) => desired.push((terms::key(&vip, index), Vip::new(vip))),
                None => {
                    tracing::warn!(addr = %vip.addr, iface = %vip.dev, "no such interface, the address is not set");
                    self.unmet.insert((vip.dev, instance));
                }
            }
        }
        self.holdings.towards(instance, desired).into()
    }

    /// Carries out operations for one instance and notes what came of them.
    fn carry_out(&mut self, instance: InstanceId, ops: Vec<Op<AddressKey, Vip>>) {
        let mut requests = Vec::with_capacity(ops.len());
        // For each request the operation it serves, and whether it is the one that completes it.
        let mut purposes = Vec::with_capacity(ops.len());
        for (n, op) in ops.iter().enumerate() {
            let steps = self.steps(instance, op);
            if steps.is_empty() {
                self.holdings.settle(instance, op);
            }
            let last = steps.len();
            for (at, step) in steps.into_iter().enumerate() {
                requests.push(step);
                purposes.push((n, at + 1 == last));
            }
        }
        for (answer, (n, completes)) in self.route.execute(requests).into_iter().zip(purposes) {
            let op = &ops[n];
            match outcome(answer, op) {
                Ok(()) if completes => self.holdings.settle(instance, op),
                Ok(()) => {}
                Err(refusal) => self.complain(instance, op, &refusal),
            }
        }
    }

    /// The requests for one operation; none where the kernel is there already.
    fn steps(&mut self, instance: InstanceId, op: &Op<AddressKey, Vip>) -> Vec<Request> {
        match op {
            Op::Del(key, _) if self.holdings.shared(key, instance) => Vec::new(),
            Op::Del(key, _) => vec![addr::del(key)],
            Op::Add(key, _) if self.holdings.shared(key, instance) => Vec::new(),
            Op::Add(key, vip) => {
                self.leftovers.remove(key);
                match self.monitor.view().address_options(key) {
                    Some(there) if terms::will_do(there, vip.options()) => Vec::new(),
                    Some(_) => vec![addr::del(key), addr::add(key, vip.options())],
                    None => vec![addr::add(key, vip.options())],
                }
            }
            Op::Replace { key, to, .. } => vec![addr::del(key), addr::add(key, to.options())],
        }
    }

    fn complain(&mut self, instance: InstanceId, op: &Op<AddressKey, Vip>, refusal: &Refusal) {
        let (verb, key, vip) = match op {
            Op::Del(key, vip) => ("remove", key, vip),
            Op::Add(key, vip) | Op::Replace { key, to: vip, .. } => ("set", key, vip),
        };
        if refusal.errno == Errno::ENODEV {
            self.unmet.insert((vip.address().dev.clone(), instance));
        }
        let iface = self.monitor.view().name_of(key.index).unwrap_or_default();
        tracing::warn!(addr = %key.local, prefix_len = key.prefix_len, iface, err = %refusal, "cannot {verb} address");
    }

    fn remove(&mut self, keys: &[AddressKey]) {
        let answers = self.route.execute(keys.iter().map(addr::del).collect());
        for (answer, key) in answers.into_iter().zip(keys) {
            if let Err(refusal) = answer
                && !absent(refusal.errno)
            {
                tracing::warn!(addr = %key.local, err = %refusal, "cannot remove address");
            }
        }
    }

    /// Removes everything that is ours, at once: for an edge that ends before its time.
    pub(super) fn withdraw(&mut self) {
        let mut keys = self.holdings.all();
        keys.extend(std::mem::take(&mut self.leftovers));
        self.remove(&keys);
    }

    /// Turns changes in the kernel into events, in their order.
    fn digest(
        &mut self,
        changes: Vec<Change>,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        let mut repair = BTreeSet::new();
        for change in changes {
            match change {
                Change::Link(link) => {
                    let Some(facts) = terms::facts(&link) else {
                        continue;
                    };
                    let served = |(name, _): &&(IfName, InstanceId)| *name == facts.name;
                    repair.extend(
                        self.unmet
                            .iter()
                            .filter(served)
                            .map(|(_, waiting)| *waiting),
                    );
                    if self.told.get(&facts.index) != Some(&facts) {
                        self.told.insert(facts.index, Arc::clone(&facts));
                        events.push_back(Event::Interface(facts));
                    }
                }
                Change::LinkGone(index) => {
                    let index = IfIndex(index);
                    if self.told.remove(&index).is_some() {
                        events.push_back(Event::InterfaceGone(index));
                    }
                }
                Change::AddressNew(key) => updates.put(VrrpUpdate::Address {
                    addr: key.local,
                    up: true,
                }),
                Change::AddressGone { key, by } => {
                    let view = self.monitor.view();
                    updates.put(VrrpUpdate::Address {
                        addr: key.local,
                        up: view.has(key.local),
                    });
                    if view.address_options(&key).is_some() {
                        continue; // It is there again.
                    }
                    self.leftovers.remove(&key);
                    for (instance, vip) in self.holdings.lost(&key) {
                        if by == Some(self.route.port()) {
                            // Removing an address took it along: the kernel's way with secondary addresses.
                            repair.insert(instance);
                        } else {
                            let addr = vip.into_address();
                            events.push_back(Event::AddressLost { instance, addr });
                        }
                    }
                }
            }
        }
        for instance in repair {
            self.line.push_back(Work::Converge {
                instance,
                answer: false,
            });
        }
    }
}

fn absent(errno: Errno) -> bool {
    matches!(errno, Errno::EADDRNOTAVAIL | Errno::ENODEV)
}

/// "There already" when adding and "not there" when deleting is what was wanted.
fn outcome(answer: Result<(), Refusal>, op: &Op<AddressKey, Vip>) -> Result<(), Refusal> {
    match (answer, op) {
        (Err(e), Op::Add(..) | Op::Replace { .. }) if e.errno == Errno::EEXIST => Ok(()),
        (Err(e), Op::Del(..)) if absent(e.errno) => Ok(()),
        // The deletion that goes before; an addition is never refused like this.
        (Err(e), Op::Add(..) | Op::Replace { .. }) if e.errno == Errno::EADDRNOTAVAIL => Ok(()),
        (answer, _) => answer,
    }
}
