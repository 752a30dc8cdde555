//! Orders on their way to the kernel and back: which requests an operation takes, and what the answers mean.
//!
//! What was asked for counts as ours at once; a refusal corrects that, and is told here and nowhere else.

use std::collections::VecDeque;

use nix::errno::Errno;

use super::entry::{Entry, Key, Owner, key_of};
use super::worker::Answers;
use super::{Kernel, Milestone, record};
use crate::daemon::bus::VrrpUpdate;
use crate::reconcile::Op;
use crate::sys::link;
use crate::sys::netlink::{Refusal, Request};
use crate::vrrp::Event;
use crate::vrrp::task::outbox::Outbox;
use crate::vrrp::task::terms;

/// Why something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The core wants to be told when it is done.
    Asked,
    /// Something that is wanted went away, or can be had at last.
    Repair,
}

/// What the thread was asked for and has not answered yet: to bring somebody's things to what he desires.
#[derive(Debug)]
pub(super) struct Flight {
    owner: Owner,
    /// Each with the number of its requests.
    ops: Vec<(Op<Key, Entry>, usize)>,
    cause: Cause,
    /// It is the last part of its order.
    last: bool,
    /// Reached when this is answered.
    pub(super) milestones: Vec<Milestone>,
}

impl Kernel {
    pub(super) fn depart(
        &mut self,
        owner: Owner,
        ops: Vec<Op<Key, Entry>>,
        cause: Cause,
        last: bool,
    ) {
        self.flush();
        let additions = ops.iter().filter_map(|op| match op {
            Op::Add(key, entry) | Op::Replace { key, to: entry, .. } => record::line(key, entry),
            Op::Del(..) => None,
        });
        self.note(additions.collect());
        let (mut requests, mut given_up) = (Vec::new(), Vec::new());
        let mut counted = Vec::with_capacity(ops.len());
        for op in ops {
            let steps = self.steps(owner, &op);
            self.holdings.settle(owner, &op);
            if let Op::Del(Key::Address(key), _) = &op {
                given_up.push(key.local);
            }
            *self.unsettled.entry(key_of(&op).clone()).or_default() += 1;
            counted.push((op, steps.len()));
            requests.extend(steps);
        }
        self.flights.push_back(Flight {
            owner,
            ops: counted,
            cause,
            last,
            milestones: Vec::new(),
        });
        self.worker.request(requests, given_up);
    }

    /// For what nobody holds.
    pub(super) fn depart_unasked(&mut self, requests: Vec<Request>) {
        self.flights.push_back(Flight {
            owner: Owner::Statics,
            ops: Vec::new(),
            cause: Cause::Repair,
            last: true,
            milestones: Vec::new(),
        });
        self.worker.request(requests, Vec::new());
    }

    /// The requests for one operation; none where the kernel is there already.
    fn steps(&mut self, owner: Owner, op: &Op<Key, Entry>) -> Vec<Request> {
        match op {
            Op::Del(key, _) | Op::Add(key, _) if self.holdings.shared(key, owner) => Vec::new(),
            Op::Del(key, entry) => entry.del(key).into_iter().collect(),
            Op::Add(key, entry) => {
                let there = self.there(key, entry);
                self.leftovers.claim(key);
                match there {
                    Some(true) => Vec::new(),
                    Some(false) => entry.del(key).into_iter().chain(entry.add(key)).collect(),
                    None => entry.add(key).into_iter().collect(),
                }
            }
            Op::Replace { key, from, to } => from.del(key).into_iter().chain(to.add(key)).collect(),
        }
    }

    /// Whether the kernel has it, and if so, whether it will do. `None`: it has not, or nobody knows.
    fn there(&self, key: &Key, entry: &Entry) -> Option<bool> {
        match (key, entry) {
            _ if self.unsettled.contains_key(key) => None,
            (Key::Address(key), Entry::Address(vip)) => {
                let there = self.monitor.view().address_options(key)?;
                Some(terms::will_do(&there, &terms::options(vip)))
            }
            (Key::Address(_) | Key::Route(..) | Key::Rule(_), _) => None,
        }
    }

    /// What the oldest of our orders met with. Before the core hears that it is done, it hears all that the kernel has
    /// told until now.
    pub(in crate::vrrp::task) fn conclude(
        &mut self,
        answers: Answers,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        let Some(flight) = self.flights.pop_front() else {
            return;
        };
        for (op, _) in &flight.ops {
            if let Some(count) = self.unsettled.get_mut(key_of(op)) {
                *count -= 1;
                if *count == 0 {
                    self.unsettled.remove(key_of(op));
                }
            }
        }
        if self.flights.is_empty() {
            // A takeover of thousands leaves nothing behind.
            self.flights = VecDeque::new();
            self.unsettled.shrink_to_fit();
        }
        if flight.last && flight.cause == Cause::Asked {
            self.take_due_news(events, updates);
        }
        let mut answers = answers.into_iter();
        let mut announce = false;
        for (op, requests) in &flight.ops {
            let verdicts = answers.by_ref().take(*requests);
            let refusals = verdicts.filter_map(|answer| outcome(answer, op).err());
            // The last word is that on the request that completes the operation.
            match refusals.last() {
                Some(refusal) => self.complain(flight.owner, op, &refusal),
                None => announce |= matches!(op, Op::Add(Key::Address(_), _)),
            }
        }
        for (op, _) in &flight.ops {
            self.miss(key_of(op), events);
        }
        match (flight.owner, flight.cause) {
            (Owner::Instance(id), Cause::Asked) if flight.last => {
                events.push_back(Event::Converged(id));
            }
            (Owner::Instance(id), Cause::Repair) if announce => {
                events.push_back(Event::Mended(id));
            }
            (Owner::Instance(_) | Owner::Statics, Cause::Asked | Cause::Repair) => {}
        }
        self.reached.extend(flight.milestones);
    }

    /// An operation was refused: what was to be set is not ours.
    fn complain(&mut self, owner: Owner, op: &Op<Key, Entry>, refusal: &Refusal) {
        let (verb, entry) = match op {
            Op::Del(_, entry) => ("remove", entry),
            Op::Add(key, entry) | Op::Replace { key, to: entry, .. } => {
                self.holdings.lost(key);
                ("set", entry)
            }
        };
        // Routes and addresses that the kernel does not take while their interface is as it is.
        let waits = matches!(
            refusal.errno,
            Errno::ENODEV | Errno::ENETDOWN | Errno::ENETUNREACH
        );
        if waits && verb == "set" {
            let devs = entry.interfaces().into_iter().cloned();
            self.unmet.extend(devs.map(|dev| (dev, owner)));
        }
        if refusal.errno == Errno::ENODEV && verb == "set" {
            let view = self.monitor.view();
            let current = entry.key(view);
            let replaced = current.as_ref().is_some_and(|key| key != key_of(op));
            let unheard = entry.interfaces().into_iter().any(|dev| {
                let dev = dev.as_str();
                link::index_of(dev) != view.index_of(dev)
            });
            if replaced {
                // The news of the other interface came before this answer, and will not come again.
                self.again.insert(owner);
            }
            if replaced || unheard || current.is_none() {
                return tracing::debug!("its interface is gone meanwhile: {}", entry.words());
            }
        }
        tracing::warn!(err = %refusal, "cannot {verb} {}", entry.words());
    }
}

pub(super) fn absent(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EADDRNOTAVAIL | Errno::ENODEV | Errno::ESRCH | Errno::ENOENT
    )
}

/// "There already" when adding and "not there" when deleting is what was wanted.
fn outcome(answer: Result<(), Refusal>, op: &Op<Key, Entry>) -> Result<(), Refusal> {
    match (answer, op) {
        (Err(e), Op::Add(..) | Op::Replace { .. }) if e.errno == Errno::EEXIST => Ok(()),
        (Err(e), Op::Del(..)) if absent(e.errno) => Ok(()),
        // The deletion that goes before; an addition is never refused like this.
        (Err(e), Op::Add(..) | Op::Replace { .. })
            if matches!(e.errno, Errno::EADDRNOTAVAIL | Errno::ESRCH | Errno::ENOENT) =>
        {
            Ok(())
        }
        (answer, _) => answer,
    }
}
