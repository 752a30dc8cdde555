//! What the kernel holds for us: the only place that decides which addresses are added and removed.
//!
//! Work is done by a thread of its own, in the order in which it was asked for; frames stand in the same line, so that
//! an address is announced after it is there. Here nothing waits: what was asked for counts as ours at once, and the
//! answer corrects that. Never touches an address that is in no configuration.

mod holdings;
mod worker;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use nix::errno::Errno;

use self::holdings::{Holdings, Vip};
use self::worker::{Answers, Frame, Worker};
use super::outbox::Outbox;
use super::terms;
use crate::daemon::bus::VrrpUpdate;
use crate::model::Config;
use crate::model::net::IfName;
use crate::reconcile::Op;
use crate::sys::addr::{self, AddressKey};
use crate::sys::monitor::Monitor;
use crate::sys::netlink::{BATCH, Refusal, Request};
use crate::sys::view::{Change, View};
use crate::vrrp::desired::Desired;
use crate::vrrp::{Event, IfIndex, InstanceId, InterfaceFacts};

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
    /// The thread for kernel work is dead.
    Nothing,
}

/// What the thread was asked for and has not answered yet.
#[derive(Debug)]
struct Flight {
    purpose: Purpose,
    /// Reached when this is answered.
    milestones: Vec<Milestone>,
}

#[derive(Debug)]
enum Purpose {
    /// Bring an instance's addresses to what it desires.
    Converge {
        instance: InstanceId,
        /// Each with the number of its requests.
        ops: Vec<(Op<AddressKey, Vip>, usize)>,
        /// The core asked and wants to be told.
        answer: bool,
    },
    /// Remove what an earlier run left.
    Remove(Vec<AddressKey>),
}

#[derive(Debug)]
pub(super) struct Kernel {
    monitor: Monitor,
    worker: Worker,
    /// On their way into the line, together: each waking of the thread costs more than a frame.
    frames: VecDeque<Frame>,
    flights: VecDeque<Flight>,
    /// How many operations in flight are about an address: until they are answered, what the monitor says about it may
    /// be out of date.
    unsettled: HashMap<AddressKey, u32>,
    /// Unsettled addresses that went away meanwhile, and who removed them.
    gone: BTreeMap<AddressKey, Option<u32>>,
    holdings: Holdings,
    /// In the configuration and in the kernel when we started: left behind by an earlier run.
    leftovers: BTreeSet<AddressKey>,
    /// Instances that want an address on an interface that does not exist, by its name.
    unmet: BTreeSet<(IfName, InstanceId)>,
    /// Instances whose desires must be looked at again.
    again: BTreeSet<InstanceId>,
    /// What the core was told last.
    told: HashMap<IfIndex, Arc<InterfaceFacts>>,
    reached: Vec<Milestone>,
}

impl Kernel {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// The kernel denies netlink or packet sockets.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            monitor: Monitor::open()?,
            worker: Worker::start()?,
            frames: VecDeque::new(),
            flights: VecDeque::new(),
            unsettled: HashMap::new(),
            gone: BTreeMap::new(),
            holdings: Holdings::default(),
            leftovers: BTreeSet::new(),
            unmet: BTreeSet::new(),
            again: BTreeSet::new(),
            told: HashMap::new(),
            reached: Vec::new(),
        })
    }

    pub(super) fn view(&self) -> &View {
        self.monitor.view()
    }

    /// Brings an instance's addresses to `desired`; answered by [`Event::Converged`].
    pub(super) fn converge(&mut self, instance: InstanceId, desired: Desired) {
        self.go_for(instance, desired, true);
    }

    /// Instances that something happened to: they are to be handed to [`Kernel::repair`] with what they desire.
    pub(super) fn again(&mut self) -> BTreeSet<InstanceId> {
        std::mem::take(&mut self.again)
    }

    /// As [`Kernel::converge`], unasked and unanswered.
    pub(super) fn repair(&mut self, instance: InstanceId, desired: Desired) {
        self.go_for(instance, desired, false);
    }

    /// Sends a frame after all work asked for before. Leaves with the next [`Kernel::flush`].
    pub(super) fn frame(&mut self, interface: IfIndex, octets: Vec<u8>) {
        let iface = self.told.get(&interface).map(|facts| facts.name.clone());
        self.frames.push_back(Frame {
            interface: interface.0,
            iface,
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
        tokio::select! {
            biased; // The news are read before an answer is believed anyway.
            answers = self.worker.done() => answers.map_or(Heard::Nothing, Heard::Done),
            news = self.monitor.readable() => match news {
                Ok(()) => Heard::News,
                Err(_) => std::future::pending().await, // The runtime ends.
            },
        }
    }

    /// Takes a bounded part of the news.
    pub(super) fn take_news(
        &mut self,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        // What our own work does to addresses is told when it is done.
        let changes = if self.flights.is_empty() {
            self.monitor.turn()
        } else {
            self.monitor.glance()
        };
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
        self.remove(doomed);
    }

    /// Removes the rest of them, unless what was asked for until now has claimed it. To be called once, after the
    /// first configuration is in force.
    pub(super) fn sweep_leftovers(&mut self) {
        let rest = std::mem::take(&mut self.leftovers).into_iter().collect();
        self.remove(rest);
    }

    fn remove(&mut self, keys: Vec<AddressKey>) {
        let requests = keys.iter().map(addr::del).collect();
        self.depart(Purpose::Remove(keys), requests, Vec::new());
    }

    fn go_for(&mut self, instance: InstanceId, desired: Desired, answer: bool) {
        self.unmet.retain(|(_, waiting)| *waiting != instance);
        let ops = self.operations(instance, desired);
        let mut rest = ops.chunks(PORTION).peekable();
        if rest.peek().is_none() && answer {
            self.depart(Purpose::nothing(instance), Vec::new(), Vec::new());
        }
        while let Some(portion) = rest.next() {
            let (mut requests, mut given_up) = (Vec::new(), Vec::new());
            let mut done = Vec::with_capacity(portion.len());
            for op in portion {
                let steps = self.steps(instance, op);
                self.holdings.settle(instance, op);
                if let Op::Del(key, _) = op {
                    given_up.push(key.local);
                }
                done.push((op.clone(), steps.len()));
                requests.extend(steps);
            }
            let purpose = Purpose::Converge {
                instance,
                ops: done,
                answer: answer && rest.peek().is_none(),
            };
            self.depart(purpose, requests, given_up);
        }
    }

    fn depart(&mut self, purpose: Purpose, requests: Vec<Request>, given_up: Vec<IpAddr>) {
        self.flush();
        for key in purpose.keys() {
            *self.unsettled.entry(key).or_default() += 1;
        }
        self.flights.push_back(Flight {
            purpose,
            milestones: Vec::new(),
        });
        self.worker.request(requests, given_up);
    }

    /// From what the instance holds to what it desires.
    fn operations(&mut self, instance: InstanceId, desired: Desired) -> Vec<Op<AddressKey, Vip>> {
        let mut known = Vec::with_capacity(desired.addresses.len());
        for vip in desired.addresses {
            match self.monitor.view().index_of(vip.dev.as_str()) {
                Some(index) => known.push((terms::key(&vip, index), Vip::new(vip))),
                None => {
                    tracing::warn!(addr = %vip.addr, iface = %vip.dev, "no such interface, the address is not set");
                    self.unmet.insert((vip.dev, instance));
                }
            }
        }
        self.holdings.towards(instance, known)
    }

    /// The requests for one operation; none where the kernel is there already.
    fn steps(&mut self, instance: InstanceId, op: &Op<AddressKey, Vip>) -> Vec<Request> {
        match op {
            Op::Del(key, _) if self.holdings.shared(key, instance) => Vec::new(),
            Op::Del(key, _) => vec![addr::del(key)],
            Op::Add(key, _) if self.holdings.shared(key, instance) => Vec::new(),
            Op::Add(key, vip) => {
                self.leftovers.remove(key);
                let unsettled = self.unsettled.contains_key(key);
                match self.monitor.view().address_options(key) {
                    Some(_) if unsettled => vec![addr::add(key, vip.options())],
                    Some(there) if terms::will_do(there, vip.options()) => Vec::new(),
                    Some(_) => vec![addr::del(key), addr::add(key, vip.options())],
                    None => vec![addr::add(key, vip.options())],
                }
            }
            Op::Replace { key, to, .. } => vec![addr::del(key), addr::add(key, to.options())],
        }
    }

    /// What the oldest of our orders met with. Before the core hears that it is done, it hears all that the kernel has
    /// told until now.
    pub(super) fn conclude(
        &mut self,
        answers: Answers,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        let Some(flight) = self.flights.pop_front() else {
            return;
        };
        for key in flight.purpose.keys() {
            if let Some(count) = self.unsettled.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.unsettled.remove(&key);
                }
            }
        }
        if let Purpose::Converge { answer: true, .. } = flight.purpose {
            self.take_all_news(events, updates);
        }
        let mut answers = answers.into_iter();
        match &flight.purpose {
            Purpose::Converge { instance, ops, .. } => {
                for (op, requests) in ops {
                    let verdicts = answers.by_ref().take(*requests);
                    let refusals = verdicts.filter_map(|answer| outcome(answer, op).err());
                    // The last word is that on the request that completes the operation.
                    if let Some(refusal) = refusals.last() {
                        self.complain(*instance, op, &refusal);
                    }
                }
            }
            Purpose::Remove(keys) => {
                for (answer, key) in answers.zip(keys) {
                    complain_of_removal(answer, key);
                }
            }
        }
        for key in flight.purpose.keys() {
            self.miss(key, events);
        }
        if let Purpose::Converge {
            instance,
            answer: true,
            ..
        } = flight.purpose
        {
            events.push_back(Event::Converged(instance));
        }
        self.reached.extend(flight.milestones);
    }

    /// An operation was refused: what was to be set is not ours.
    fn complain(&mut self, instance: InstanceId, op: &Op<AddressKey, Vip>, refusal: &Refusal) {
        let (verb, key, vip) = match op {
            Op::Del(key, vip) => ("remove", key, vip),
            Op::Add(key, vip) | Op::Replace { key, to: vip, .. } => {
                self.holdings.lost(key);
                ("set", key, vip)
            }
        };
        if refusal.errno == Errno::ENODEV {
            self.unmet.insert((vip.address().dev.clone(), instance));
        }
        let iface = self.monitor.view().name_of(key.index).unwrap_or_default();
        tracing::warn!(addr = %key.local, prefix_len = key.prefix_len, iface, err = %refusal, "cannot {verb} address");
    }

    /// Removes everything that is ours, at once: for an edge that ends before its time.
    pub(super) fn withdraw(&mut self) {
        let mut keys = self.holdings.all();
        keys.extend(std::mem::take(&mut self.leftovers));
        match self.worker.end() {
            Ok(mut route) => {
                let answers = route.execute(keys.iter().map(addr::del).collect());
                for (answer, key) in answers.into_iter().zip(&keys) {
                    complain_of_removal(answer, key);
                }
            }
            Err(e) => tracing::error!(err = %e, "cannot remove our addresses"),
        }
    }

    /// Turns changes in the kernel into events, in their order.
    fn digest(
        &mut self,
        changes: Vec<Change>,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        for change in changes {
            match change {
                Change::Link(link) => {
                    let Some(facts) = terms::facts(&link) else {
                        continue;
                    };
                    let served = |(name, _): &&(IfName, InstanceId)| *name == facts.name;
                    let waiting = self.unmet.iter().filter(served);
                    self.again.extend(waiting.map(|(_, instance)| *instance));
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
                    let up = self.monitor.view().has(key.local);
                    let addr = key.local;
                    updates.put(VrrpUpdate::Address { addr, up });
                    self.gone.insert(key, by);
                    self.miss(key, events);
                }
            }
        }
    }

    /// An address may have gone away; once nothing of ours is on its way to it that can be told.
    fn miss(&mut self, key: AddressKey, events: &mut VecDeque<Event>) {
        if self.unsettled.contains_key(&key) {
            return;
        }
        let Some(by) = self.gone.remove(&key) else {
            return;
        };
        if self.monitor.view().address_options(&key).is_some() {
            return; // It is there again.
        }
        self.leftovers.remove(&key);
        for (instance, vip) in self.holdings.lost(&key) {
            if by == Some(self.worker.port()) {
                // Removing an address took it along: the kernel's way with secondary addresses.
                self.again.insert(instance);
            } else {
                let addr = vip.into_address();
                events.push_back(Event::AddressLost { instance, addr });
            }
        }
    }
}

impl Purpose {
    /// All is as the instance desires.
    fn nothing(instance: InstanceId) -> Self {
        Self::Converge {
            instance,
            ops: Vec::new(),
            answer: true,
        }
    }

    /// What it is about.
    fn keys(&self) -> Vec<AddressKey> {
        match self {
            Self::Converge { ops, .. } => ops.iter().map(|(op, _)| *key_of(op)).collect(),
            Self::Remove(keys) => keys.clone(),
        }
    }
}

fn key_of(op: &Op<AddressKey, Vip>) -> &AddressKey {
    match op {
        Op::Del(key, _) | Op::Add(key, _) | Op::Replace { key, .. } => key,
    }
}

fn complain_of_removal(answer: Result<(), Refusal>, key: &AddressKey) {
    if let Err(refusal) = answer
        && !absent(refusal.errno)
    {
        tracing::warn!(addr = %key.local, err = %refusal, "cannot remove address");
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
