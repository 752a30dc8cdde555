//! Which addresses are looked after, when they are asked about, and when an answer is believed. Pure.
//!
//! An answer counts half a second after it came, if its address is still ours then: while masters change, both may answer
//! for a moment.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::Claimed;
use crate::daemon::rows::{Named, Rows};
use crate::model::net::{IfName, VirtualAddress};
use crate::model::vrrp::Instance;
use crate::time::Mono;
use crate::wire::arp::{Mac, Said};

/// After becoming master: the old one has let go by then.
const FIRST: Duration = Duration::from_secs(1);
/// After the first question.
const SECOND: Duration = Duration::from_secs(4);
/// After the others, while nobody else answers.
const SELDOM: Duration = Duration::from_secs(300);
/// While somebody does.
const OFTEN: Duration = Duration::from_secs(30);
/// Before an answer is believed.
const DOUBT: Duration = Duration::from_millis(500);
/// Questions without an answer, until somebody who answered is believed to be gone.
const PATIENCE: u8 = 2;
/// Of the others with addresses of one instance those that are kept in mind.
const OTHERS: usize = 16;
/// Questions in one turn, and how long the next turn waits then.
const BURST: usize = 64;
const PAUSE: Duration = Duration::from_millis(50);

/// Somebody else who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Other {
    addr: Ipv4Addr,
    mac: Mac,
    /// Not believed before.
    doubted: Option<Mono>,
    /// Questions since its last answer.
    unanswered: u8,
}

/// A master.
#[derive(Debug)]
struct Watch {
    instance: Arc<Instance>,
    asked: u8,
    /// The next questions.
    next: Mono,
    /// `None`, nearly always: nobody.
    #[expect(
        clippy::box_collection,
        reason = "one word in each of thousands that have none"
    )]
    others: Option<Box<Vec<Other>>>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Probe { addr: Ipv4Addr, dev: IfName },
    Tell(Claimed),
    Ended(Claimed),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Table {
    watched: Rows<Watch>,
    /// Their addresses in order, to pass quickly over what others say of others; `None`: to be made anew.
    addresses: Option<Vec<Ipv4Addr>>,
    /// The earliest of what is due.
    next: Option<Mono>,
}

/// The IPv4 addresses of an instance.
fn addresses(instance: &Instance) -> impl Iterator<Item = (Ipv4Addr, &VirtualAddress)> {
    let all = instance.addresses.iter().chain(&instance.excluded);
    all.filter_map(|address| match address.addr {
        IpAddr::V4(addr) => Some((addr, &**address)),
        IpAddr::V6(_) => None,
    })
}

impl Named for Watch {
    fn name(&self) -> &str {
        &self.instance.name
    }
}

impl Watch {
    fn others(&self) -> &[Other] {
        self.others.as_deref().map_or(&[], Vec::as_slice)
    }

    fn others_mut(&mut self) -> &mut [Other] {
        self.others
            .as_deref_mut()
            .map_or(&mut [], Vec::as_mut_slice)
    }

    /// Forgets all that are not kept.
    fn keep(&mut self, is_kept: impl FnMut(&Other) -> bool) {
        if let Some(others) = &mut self.others {
            others.retain(is_kept);
        }
        self.others.take_if(|others| others.is_empty());
    }

    fn due(&self) -> Mono {
        let doubts = self.others().iter().filter_map(|o| o.doubted);
        doubts.fold(self.next, Mono::min)
    }

    fn claimed(&self, other: &Other) -> Claimed {
        Claimed {
            instance: Arc::clone(&self.instance.name),
            addr: IpAddr::V4(other.addr),
            mac: other.mac,
        }
    }

    fn believe(&mut self, now: Mono, acts: &mut Vec<Act>) {
        let mut told = Vec::new();
        for other in self.others_mut() {
            if other.doubted.take_if(|at| *at <= now).is_some() {
                told.push(*other);
            }
        }
        if !told.is_empty() {
            self.next = self.next.min(now + OFTEN);
        }
        acts.extend(told.iter().map(|other| Act::Tell(self.claimed(other))));
    }

    /// Asks about every address.
    fn ask(&mut self, now: Mono, acts: &mut Vec<Act>) {
        let silent = |o: &&Other| o.unanswered >= PATIENCE;
        let gone: Vec<Other> = self.others().iter().filter(silent).copied().collect();
        self.keep(|o| !silent(&o));
        acts.extend(gone.iter().map(|other| Act::Ended(self.claimed(other))));
        for other in self.others_mut() {
            other.unanswered += 1;
        }
        acts.extend(addresses(&self.instance).map(|(addr, a)| Act::Probe {
            addr,
            dev: a.dev.clone(),
        }));
        self.asked = self.asked.saturating_add(1);
        let pause = match (self.others.is_none(), self.asked) {
            (false, _) => OFTEN,
            (true, 1) => SECOND,
            (true, _) => SELDOM,
        };
        self.next = now + pause;
    }
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Whether that address is looked after.
    pub(super) fn knows(&mut self, addr: Ipv4Addr) -> bool {
        let watched = &self.watched;
        let sorted = || {
            let all = watched.iter().flat_map(|w| addresses(&w.instance));
            let mut all: Vec<Ipv4Addr> = all.map(|(addr, _)| addr).collect();
            all.sort_unstable();
            all
        };
        let all = self.addresses.get_or_insert_with(sorted);
        all.binary_search(&addr).is_ok()
    }

    /// Instances whose addresses are looked after.
    pub(super) fn masters(&self) -> Vec<Arc<str>> {
        let all = self.watched.iter();
        all.map(|w| Arc::clone(&w.instance.name)).collect()
    }

    /// Looks after the addresses of that instance.
    pub(super) fn master(&mut self, instance: &Arc<Instance>, now: Mono) {
        if addresses(instance).next().is_none() {
            self.gone(&instance.name);
            return;
        }
        self.addresses = None;
        let new = || Watch {
            instance: Arc::clone(instance),
            asked: 0,
            next: now + FIRST,
            others: None,
        };
        let watch = self.watched.get_or_insert_with(&instance.name, new);
        watch.instance = Arc::clone(instance);
        let there = |o: &Other| addresses(instance).any(|(addr, _)| addr == o.addr);
        watch.keep(there);
        let due = watch.due();
        self.next = Some(self.next.map_or(due, |at| at.min(due)));
    }

    /// That instance is no master any more.
    pub(super) fn gone(&mut self, name: &str) {
        if self.watched.remove(name) {
            self.addresses = None;
        }
        if self.is_empty() {
            self.next = None;
        }
    }

    /// Somebody who is not we said that. Only an answer is evidence: an announcement may be that of the next master, of
    /// which we shall hear in a moment. It is a reason to ask.
    pub(super) fn heard(&mut self, said: &Said, now: Mono) {
        for watch in self.watched.iter_mut() {
            if !addresses(&watch.instance).any(|(addr, _)| addr == said.addr) {
                continue;
            }
            let same = |o: &&mut Other| (o.addr, o.mac) == (said.addr, said.mac);
            if let Some(other) = watch.others_mut().iter_mut().find(same) {
                other.unanswered = 0;
            } else if !said.reply {
                watch.next = watch.next.min(now + FIRST);
            } else if watch.others().len() < OTHERS {
                watch.others.get_or_insert_default().push(Other {
                    addr: said.addr,
                    mac: said.mac,
                    doubted: Some(now + DOUBT),
                    unanswered: 0,
                });
            }
            let due = watch.due();
            self.next = Some(self.next.map_or(due, |at| at.min(due)));
        }
    }

    /// When [`Table::due`] has something to do; perhaps earlier.
    pub(super) fn next(&self) -> Option<Mono> {
        self.next
    }

    pub(super) fn due(&mut self, now: Mono) -> Vec<Act> {
        let mut acts = Vec::new();
        for watch in self.watched.iter_mut() {
            watch.believe(now, &mut acts);
            if watch.next <= now {
                if acts.len() < BURST {
                    watch.ask(now, &mut acts);
                } else {
                    watch.next = now + PAUSE;
                }
            }
        }
        self.next = self.watched.iter().map(Watch::due).min();
        acts
    }

    /// Those that were told and not ended.
    pub(super) fn claimed(&self) -> Vec<Claimed> {
        let of = |watch: &Watch| {
            let believed = watch.others().iter().filter(|o| o.doubted.is_none());
            believed.map(|o| watch.claimed(o)).collect::<Vec<_>>()
        };
        self.watched.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::global::Global;
    use crate::model::vrrp::Vrid;

    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 9]);
    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

    fn at(ms: u64) -> Mono {
        Mono::from_micros(ms * 1000)
    }

    fn instance(name: &str, addrs: &[&str]) -> Arc<Instance> {
        let eth0 = IfName::new("eth0").expect("a name");
        let vrid = Vrid(1.try_into().expect("not zero"));
        let mut instance = Instance::new(name, eth0.clone(), vrid, &Global::default());
        instance.addresses = addrs
            .iter()
            .map(|a| VirtualAddress::new(a.parse().expect("an address"), 24, eth0.clone()).into())
            .collect();
        Arc::new(instance)
    }

    fn said(reply: bool) -> Said {
        Said {
            addr: VIP,
            mac: OTHER,
            reply,
        }
    }

    fn probes(acts: &[Act]) -> usize {
        let probe = |a: &&Act| matches!(a, Act::Probe { .. });
        acts.iter().filter(probe).count()
    }

    #[test]
    fn a_master_asks_a_second_later_and_then_ever_less_often() {
        let mut table = Table::default();
        table.master(
            &instance("V", &["10.0.0.100", "10.0.0.101", "fd00::1"]),
            at(0),
        );
        assert_eq!(table.next(), Some(at(1_000)));
        assert!(table.due(at(999)).is_empty());
        assert_eq!(probes(&table.due(at(1_000))), 2);
        assert_eq!(table.next(), Some(at(5_000)));
        assert_eq!(probes(&table.due(at(5_000))), 2);
        assert_eq!(table.next(), Some(at(305_000)));
        table.gone("V");
        assert_eq!((table.next(), table.is_empty()), (None, true));
        // Nothing to ask about.
        table.master(&instance("6", &["fd00::1"]), at(0));
        assert!(table.is_empty());
    }

    #[test]
    fn who_answers_is_told_once_and_when_that_ends() {
        let mut table = Table::default();
        table.master(&instance("V", &["10.0.0.100"]), at(0));
        table.due(at(1_000));
        assert!(table.knows(VIP) && !table.knows(Ipv4Addr::new(10, 0, 0, 1)));
        table.heard(&said(true), at(1_001));
        assert!(table.claimed().is_empty(), "not believed yet");
        assert_eq!(table.next(), Some(at(1_501)));
        let claimed = Claimed {
            instance: "V".into(),
            addr: VIP.into(),
            mac: OTHER,
        };
        assert_eq!(table.due(at(1_501)), [Act::Tell(claimed.clone())]);
        assert_eq!(table.claimed(), std::slice::from_ref(&claimed));
        // It goes on answering: nothing is told again.
        for turn in 1..10 {
            let now = table.next().expect("more questions");
            assert_eq!(probes(&table.due(now)), 1, "{turn}");
            table.heard(&said(true), now);
        }
        let mut ended = Vec::new();
        for _ in 0..=PATIENCE {
            let now = table.next().expect("more questions");
            ended = table.due(now);
        }
        assert_eq!(ended[0], Act::Ended(claimed));
        assert!(table.claimed().is_empty());
    }

    #[test]
    fn masters_that_change_are_not_told() {
        let mut table = Table::default();
        let instance = instance("V", &["10.0.0.100"]);
        table.master(&instance, at(0));
        table.due(at(1_000));
        // The next master announces, and even answers, before we hear that we are none.
        table.heard(&said(false), at(1_001));
        table.heard(&said(true), at(1_002));
        table.gone("V");
        assert!(table.due(at(10_000)).is_empty());
        // An announcement alone makes us ask.
        table.master(&instance, at(20_000));
        table.due(at(21_000));
        table.due(at(25_000));
        table.heard(&said(false), at(60_000));
        assert_eq!(table.next(), Some(at(61_000)));
        let acts = table.due(at(61_000));
        assert_eq!((acts.len(), probes(&acts)), (1, 1));
    }

    #[test]
    fn many_masters_do_not_ask_all_at_once() {
        let mut table = Table::default();
        for n in 0..1_000 {
            table.master(&instance(&format!("V{n}"), &["10.0.0.100"]), at(0));
        }
        let (mut sent, mut turns) = (0, 0);
        while table.next().is_some_and(|next| next < at(4_000)) {
            let acts = table.due(table.next().expect("just seen"));
            assert!(probes(&acts) <= BURST);
            sent += probes(&acts);
            turns += 1;
        }
        assert_eq!(sent, 1_000);
        assert!(turns <= 1_000 / BURST + 1, "{turns}");
    }

    #[test]
    fn a_reload_takes_away_and_adds_addresses() {
        let mut table = Table::default();
        table.master(&instance("V", &["10.0.0.100"]), at(0));
        table.due(at(1_000));
        table.heard(&said(true), at(1_000));
        table.due(at(2_000));
        assert_eq!(table.claimed().len(), 1);
        table.master(&instance("V", &["10.0.0.101"]), at(3_000));
        assert!(table.claimed().is_empty() && !table.knows(VIP));
        assert!(table.knows(Ipv4Addr::new(10, 0, 0, 101)));
    }
}
