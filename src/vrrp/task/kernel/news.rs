//! What happens in the kernel without us, and what becomes of what is ours.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::{Entry, Key, Owner};
use super::patience::Reply;
use super::{Cause, Kernel};
use crate::daemon::bus::VrrpUpdate;
use crate::model::net::IfName;
use crate::reconcile::Op;
use crate::sys::addr::AddressKey;
use crate::sys::clock;
use crate::sys::fibwatch::FibChange;
use crate::sys::netlink;
use crate::sys::view::Change;
use crate::time::Mono;
use crate::vrrp::task::outbox::Outbox;
use crate::vrrp::task::terms;
use crate::vrrp::{Event, IfIndex};

/// `IFF_UP`: netdevice(7).
const UP: u32 = 1;

/// Who removed something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Culprit {
    /// It went along with something that we removed: the kernel's way with secondary addresses.
    Ours,
    /// The kernel itself: the interface is down or gone.
    Kernel,
    /// In words.
    Somebody(Arc<str>),
}

impl Kernel {
    /// Takes a bounded part of the news.
    pub(in crate::vrrp::task) fn take_news(
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
        self.take_fib_news(events);
    }

    /// Takes all news that are there.
    pub(in crate::vrrp::task) fn take_all_news(
        &mut self,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        let changes = self.monitor.drain();
        self.digest(changes, events, updates);
        self.take_fib_news(events);
    }

    /// Takes all news that are there. While more of our own work is under way, it does not list all addresses of an interface
    /// again: that could be after each of hundreds of takeovers.
    pub(super) fn take_due_news(
        &mut self,
        events: &mut VecDeque<Event>,
        updates: &mut Outbox<VrrpUpdate>,
    ) {
        if self.flights.is_empty() {
            return self.take_all_news(events, updates);
        }
        let changes = self.monitor.skim();
        self.digest(changes, events, updates);
        self.take_fib_news(events);
    }

    /// An interface was asked for its link.
    pub(in crate::vrrp::task) fn beat(
        &mut self,
        name: &IfName,
        running: bool,
        events: &mut VecDeque<Event>,
    ) {
        self.links.beat(clock::now(), name, running, events);
    }

    /// When [`Kernel::tick`] has something to do.
    pub(in crate::vrrp::task) fn deadline(&self) -> Mono {
        self.links.deadline().min(self.duplicates.deadline())
    }

    /// Does what is due.
    pub(in crate::vrrp::task) fn tick(&mut self, now: Mono, events: &mut VecDeque<Event>) {
        self.links.tick(now, events);
        for key in self.duplicates.due(now) {
            let key = Key::Address(key);
            // Where it is not there any more nobody wants it.
            if let Some((owner, entry)) = self.holdings.held(&key) {
                let (from, to) = (entry.clone(), entry);
                let op = Op::Replace { key, from, to };
                self.depart(owner, vec![op], Cause::Repair, true);
            }
        }
    }

    /// `-a`: the log leaves this area out unless it is asked for.
    fn tell_address(&self, key: &AddressKey, what: &str) {
        let interface = self.monitor.view().name_of(key.index).unwrap_or("?");
        let addr = key.local;
        tracing::info!(target: concat!(env!("CARGO_CRATE_NAME"), "::addresses"),
            "Netlink reflector reports IP {addr} {what} {interface}");
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
                    let up = link.flags & UP != 0;
                    if self.up.insert(link.index, up) == Some(false) && up {
                        self.doubt_routes();
                    }
                    let served = |(name, _): &&(IfName, Owner)| *name == facts.name;
                    let waiting = self.unmet.iter().filter(served);
                    self.again.extend(waiting.map(|(_, owner)| *owner));
                    self.links.learn(clock::now(), facts, up, events);
                }
                Change::LinkGone(index) => {
                    self.up.remove(&index);
                    self.links.forget(IfIndex(index), events);
                }
                Change::AddressNew(key) => {
                    self.tell_address(&key, "added to");
                    updates.put(VrrpUpdate::Address {
                        addr: key.local,
                        up: true,
                    });
                }
                Change::AddressChecked { key, good } => self.checked(key, good, events),
                Change::AddressGone { key, by } => {
                    self.tell_address(&key, "removed from");
                    let up = self.monitor.view().has(key.local);
                    let addr = key.local;
                    updates.put(VrrpUpdate::Address { addr, up });
                    // Routes that lead over it may have gone along, without a word if they are IPv4.
                    if addr.is_ipv4() {
                        self.doubt_routes();
                    }
                    let key = Key::Address(key);
                    self.gone.insert(key.clone(), by);
                    self.miss(&key, events);
                }
            }
        }
    }

    fn take_fib_news(&mut self, events: &mut VecDeque<Event>) {
        let changes = match &mut self.fib {
            Some(watch) => watch.turn(),
            None => return,
        };
        for change in changes {
            let is = |(key, entry): &(&Key, &Entry)| match (&change, entry) {
                (FibChange::Route { told, .. }, Entry::Route(route)) => route.0.is(told),
                (FibChange::Rule { told, .. }, Entry::Rule(rule)) => rule.0.is(told),
                (FibChange::Unknown, _) => matches!(key, Key::Rule(_)),
                (FibChange::Route { .. } | FibChange::Rule { .. }, _) => false,
            };
            let by = match change {
                FibChange::Route { by, .. } | FibChange::Rule { by, .. } => Some(by),
                FibChange::Unknown => {
                    self.doubt_routes();
                    None
                }
            };
            let gone: Vec<Key> = self
                .holdings
                .ways()
                .filter(is)
                .map(|(key, _)| key.clone())
                .collect();
            for key in gone {
                self.gone.insert(key.clone(), by);
                self.miss(&key, events);
            }
        }
    }

    /// The kernel drops IPv4 routes without a word when their interface goes down or loses its last address: they are
    /// asked for again, which changes nothing where they are still there.
    fn doubt_routes(&mut self) {
        let owners = self.holdings.doubt_routes();
        self.again.extend(owners);
    }

    /// The kernel has looked whether somebody else has an address.
    fn checked(&mut self, key: AddressKey, good: bool, events: &mut VecDeque<Event>) {
        let Some((owner, entry)) = self.holdings.held(&Key::Address(key)) else {
            self.duplicates.forget(&key);
            return;
        };
        if !good {
            let again = self.duplicates.found(key, clock::now());
            tracing::warn!(
                ?again,
                "somebody else on the link has our {}",
                entry.words()
            );
        } else if self.duplicates.forget(&key)
            && let Owner::Instance(id) = owner
        {
            tracing::info!("ours alone at last: {}", entry.words());
            events.push_back(Event::Mended(id));
        }
    }

    /// Something may have gone away, which can be told once no operation on it is in flight.
    pub(super) fn miss(&mut self, key: &Key, events: &mut VecDeque<Event>) {
        if self.unsettled.contains_key(key) {
            return;
        }
        let Some(by) = self.gone.remove(key) else {
            return;
        };
        let view = self.monitor.view();
        let mut linkless = false;
        if let Key::Address(key) = key {
            if view.address_options(key).is_some() {
                return; // It is there again.
            }
            linkless = view.name_of(key.index).is_none();
        }
        self.leftovers.claim(key);
        let losers = self.holdings.lost(key);
        if losers.is_empty() {
            return;
        }
        let culprit = match by {
            Some(port) if port == self.worker.port() => Culprit::Ours,
            Some(0) => Culprit::Kernel,
            Some(_) | None if linkless => Culprit::Kernel,
            Some(port) => Culprit::Somebody(netlink::who(port).into()),
            None => Culprit::Somebody("unknown".into()),
        };
        for (owner, entry) in losers {
            match &culprit {
                Culprit::Ours => {
                    self.again.insert(owner);
                }
                Culprit::Kernel => {
                    let devs = entry.interfaces().into_iter().cloned();
                    self.unmet.extend(devs.map(|dev| (dev, owner)));
                    self.again.insert(owner);
                }
                Culprit::Somebody(by) => self.deleted(owner, key, entry, by, events),
            }
        }
    }

    /// Somebody else deleted something. keepalived: an instance gives up, a static entry is put back.
    fn deleted(
        &mut self,
        owner: Owner,
        key: &Key,
        entry: Entry,
        by: &Arc<str>,
        events: &mut VecDeque<Event>,
    ) {
        let put_back = match owner {
            Owner::Statics => true,
            Owner::Instance(_) => self.restore,
        };
        if put_back && entry.tracked() {
            let what = entry.words();
            match self.patience.reply(key, clock::now()) {
                Reply::PutBack => {
                    tracing::warn!(%by, "somebody deleted our {what}, putting it back");
                    self.again.insert(owner);
                    return;
                }
                Reply::Yield => {
                    tracing::warn!(%by, "somebody keeps deleting our {what}, not putting it back any more");
                }
            }
        }
        if let Owner::Instance(instance) = owner {
            events.push_back(Event::Lost {
                instance,
                entry: entry.into_lost(),
                by: Arc::clone(by),
            });
        }
    }
}
