//! All virtual servers together: carries configurations out, and says which check is to be made when.
//!
//! Pure; one event in, actions out. A check that waits costs an entry in a list and one in a set, no task and no timer of its
//! own.
//! Source: keepalived.conf(5) `delay_loop`, `warmup`, `connect_timeout`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::checker::{Down, Good};
use super::desired::{Front, Wanted, desired, names};
use super::marks::{Marking, Marks};
use super::schedule::{Agenda, CheckIds, Spread};
use super::service::{Manners, Service};
use super::{Action, Attempt, CheckId, Event, Report, Said, Told};
use crate::model::Config;
use crate::model::diff::{Change, diff};
use crate::model::global::FlushOnStop;
use crate::model::lvs::{ServiceKey, VirtualServer};
use crate::time::Mono;

/// From start to the first check, before the random part.
const SETTLE: Duration = Duration::from_secs(1);

/// Attempts that are begun in one turn. Where thousands are due at the same moment, the first of them are over before the
/// last begin, which saves sockets and memory.
const BURST: usize = 64;

/// Where a checker belongs.
#[derive(Clone, Debug)]
struct Place {
    /// The same for all of a virtual server: there may be hundreds of thousands of places.
    vs: Arc<ServiceKey>,
    server: u32,
    check: u32,
}

impl Place {
    /// Of real server and checker in the configuration.
    fn indices(&self) -> (usize, usize) {
        (self.server as usize, self.check as usize)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Director {
    config: Arc<Config>,
    services: HashMap<ServiceKey, Service>,
    /// All checkers: attempts to be made, and attempts that are being made.
    agenda: Agenda<Place>,
    ids: CheckIds,
    spread: Spread,
    /// Running attempts whose successor is due an interval after their start, not after their end.
    started: HashMap<CheckId, Mono>,
    /// How many attempts may run at once.
    budget: usize,
    /// What was last told about each file and each session.
    known: Vec<Told>,
    /// Until the first configuration, see [`Event::Left`].
    left: HashSet<(Front, SocketAddr)>,
    /// The addresses of this machine.
    present: BTreeSet<IpAddr>,
    marks: Marks,
}

impl Director {
    /// `seed`: decides when first checks come. `budget`: attempts at once, at least 1; each may hold a socket.
    pub(crate) fn new(seed: u64, budget: usize) -> Self {
        Self {
            config: Arc::default(),
            services: HashMap::new(),
            agenda: Agenda::default(),
            ids: CheckIds::default(),
            spread: Spread::new(seed),
            started: HashMap::new(),
            budget: budget.max(1),
            known: Vec::new(),
            left: HashSet::new(),
            present: BTreeSet::new(),
            marks: Marks::default(),
        }
    }

    /// Changes the number of attempts at once, at least 1.
    pub(crate) fn allow(&mut self, budget: usize) {
        self.budget = budget.max(1);
    }

    /// When the next [`Event::Wake`] is needed.
    pub(crate) fn deadline(&self) -> Mono {
        let next = if self.agenda.running() < self.budget {
            self.agenda.next_due()
        } else {
            Mono::NEVER
        };
        self.agenda.next_late().min(next)
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn service(&self, key: &ServiceKey) -> Option<&Service> {
        self.services.get(key)
    }

    /// What the kernel should hold for this virtual server; nothing if it is not configured (any more).
    pub(crate) fn desired(&self, key: &ServiceKey) -> Vec<Wanted> {
        let service = self.services.get(key);
        let mark = self.marks.of(key);
        service.map(|s| desired(s, mark)).unwrap_or_default()
    }

    /// The names of all that may be in the kernel for the configuration, see [`names`].
    pub(super) fn names(&self) -> impl Iterator<Item = (Front, Vec<SocketAddr>)> {
        let servers = self.config.virtual_servers.iter();
        let known = servers.filter(|vs| self.services.contains_key(&vs.key));
        known.flat_map(|vs| names(vs, self.marks.of(&vs.key)))
    }

    /// What the firewall should mark.
    pub(super) fn marking(&self) -> Marking {
        self.marks.marking(&self.config)
    }

    /// `now` never goes back; an early [`Event::Wake`] does nothing.
    pub(crate) fn on_event(&mut self, now: Mono, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        let begin = matches!(event, Event::Wake);
        match event {
            Event::Wake => {}
            Event::Left(left) => self.left = left,
            Event::Apply(config) => self.apply(now, config, &mut out),
            Event::Stop => self.stop(&mut out),
            Event::Told(told) => self.told(told, &mut out),
            Event::Address { addr, up } => self.address(addr, up, &mut out),
            Event::Probed { id, result } => {
                if self.agenda.end(id) {
                    self.result(now, id, result, &mut out);
                }
            }
        }
        while let Some(id) = self.agenda.pop_late(now) {
            out.push(Action::Cancel(id));
            self.result(now, id, Err(Down::Timeout), &mut out);
        }
        for _ in 0..if begin { BURST } else { 0 } {
            if self.agenda.running() >= self.budget {
                break;
            }
            let Some(id) = self.agenda.pop_due(now) else {
                break;
            };
            self.probe(now, id, &mut out);
        }
        out
    }

    fn probe(&mut self, now: Mono, id: CheckId, out: &mut Vec<Action>) {
        let Some(place) = self.agenda.get(id) else {
            return;
        };
        let (server, check) = place.indices();
        let Some(service) = self.services.get(&*place.vs) else {
            return;
        };
        let attempt = Attempt {
            id,
            vs: Arc::clone(service.cfg()),
            server,
            check,
            page: service.page(server, check),
        };
        let Some(checker) = attempt.checker() else {
            return;
        };
        if self.is_suspended(service) {
            return self.agenda.plan(id, now + checker.delay_loop);
        }
        let limit = checker.check.limit(checker.connect_timeout);
        if checker.check.counts_from_start() {
            self.started.insert(id, now);
        }
        let until = limit.map_or(Mono::NEVER, |l| now + l);
        self.agenda.run(id, until);
        out.push(Action::Probe(attempt));
    }

    fn result(
        &mut self,
        now: Mono,
        id: CheckId,
        result: Result<Good, Down>,
        out: &mut Vec<Action>,
    ) {
        let Some(place) = self.agenda.get(id) else {
            return;
        };
        let (server, check) = place.indices();
        if let Some(service) = self.services.get_mut(&*place.vs) {
            let next = service.on_result(server, check, result, out);
            let from = match self.started.is_empty() {
                true => now,
                false => self.started.remove(&id).unwrap_or(now),
            };
            // A script that ran longer than its interval is started again at once.
            self.agenda.plan(id, (from + next).max(now));
        }
    }

    fn apply(&mut self, now: Mono, config: Arc<Config>, out: &mut Vec<Action>) {
        let old = std::mem::replace(&mut self.config, Arc::clone(&config));
        let manners = Manners::of(&config.global);
        self.forget(&config);
        let left = std::mem::take(&mut self.left);
        let mut fresh = Vec::new();
        for change in diff::<_, VirtualServer>(&old.virtual_servers, &config.virtual_servers) {
            match change {
                Change::Removed(vs) => {
                    if let Some(service) = self.services.remove(&vs.key) {
                        service.remove(out);
                        self.place(&vs.key, ids(&service), &mut fresh, out);
                    }
                }
                // The configuration refuses a second virtual server of the same key; here the first one counts.
                Change::Added(vs) if self.services.contains_key(&vs.key) => {}
                Change::Added(vs) => {
                    let known = (&self.known[..], &left);
                    let service =
                        Service::start(Arc::clone(vs), manners, known, &mut self.ids, out);
                    self.services.insert(vs.key.clone(), service);
                    self.place(&vs.key, HashSet::new(), &mut fresh, out);
                }
                Change::Changed(_, vs) => {
                    if let Some(service) = self.services.get_mut(&vs.key) {
                        let before = ids(service);
                        let cfg = Arc::clone(vs);
                        service.reload(cfg, manners, &self.known, &mut self.ids, out);
                        self.place(&vs.key, before, &mut fresh, out);
                        self.hasten(now, &vs.key);
                    }
                }
            }
        }
        for id in fresh {
            self.begin(now, id, out);
        }
        self.agenda.shrink();
        let before: Vec<_> = config
            .virtual_servers
            .iter()
            .map(|vs| self.marks.of(&vs.key))
            .collect();
        self.marks.apply(&config);
        for (vs, before) in config.virtual_servers.iter().zip(before) {
            if self.marks.of(&vs.key) != before {
                out.push(Action::Converge(vs.key.clone()));
            }
        }
    }

    /// Brings `places` in line with a service after a change; `before`: the checkers that it had. New ones are added
    /// to `fresh`, those that are gone are forgotten.
    fn place(
        &mut self,
        vs: &ServiceKey,
        mut before: HashSet<CheckId>,
        fresh: &mut Vec<CheckId>,
        out: &mut Vec<Action>,
    ) {
        if let Some(service) = self.services.get(vs) {
            let key = Arc::new(vs.clone());
            for (id, server, check) in service.checks() {
                let number = |index| u32::try_from(index).unwrap_or(u32::MAX);
                let place = Place {
                    vs: Arc::clone(&key),
                    server: number(server),
                    check: number(check),
                };
                self.agenda.enter(id, place);
                if !before.remove(&id) {
                    fresh.push(id);
                }
            }
        }
        for id in before {
            if self.agenda.leave(id) {
                out.push(Action::Cancel(id));
            }
            self.started.remove(&id);
            self.ids.give_back(id);
        }
    }

    /// Schedules the first attempt of a checker.
    fn begin(&mut self, now: Mono, id: CheckId, out: &mut Vec<Action>) {
        let Some(place) = self.agenda.get(id) else {
            return;
        };
        let (server, check) = place.indices();
        let Some(service) = self.services.get(&*place.vs) else {
            return;
        };
        let Some(rs) = service.cfg().real_servers.get(server) else {
            return;
        };
        let checker = rs.checkers.get(check);
        if let Some(checker) = checker {
            let rs = service.name(rs.addr);
            out.push(Action::Report(Report::Check {
                rs,
                check: Box::new(checker.check.clone()),
                said: match self.is_suspended(service) {
                    true => Said::Deactivating,
                    false => Said::Activating,
                },
            }));
            if !checker.check.is_tried() {
                return;
            }
            // What an earlier run believed may have been true for a moment only.
            let at = match service.is_recalled(server, check) {
                true => now,
                false => now + SETTLE + self.spread.up_to(checker.warmup),
            };
            self.agenda.plan(id, at);
        }
    }

    /// A shorter `delay_loop` holds at once: no check waits longer than its new interval.
    fn hasten(&mut self, now: Mono, vs: &ServiceKey) {
        let Some(service) = self.services.get(vs) else {
            return;
        };
        for (id, server, check) in service.checks() {
            let rs = service.cfg().real_servers.get(server);
            let Some(checker) = rs.and_then(|rs| rs.checkers.get(check)) else {
                continue;
            };
            let latest = now + checker.delay_loop.max(SETTLE + checker.warmup);
            if self.agenda.planned(id).is_some_and(|at| at > latest) {
                self.agenda.plan(id, latest);
            }
        }
    }

    fn is_suspended(&self, service: &Service) -> bool {
        service.is_suspended(|first, last| self.present.range(first..=last).next().is_some())
    }

    /// Remembers what was told, and tells those who follow it.
    fn told(&mut self, told: Told, out: &mut Vec<Action>) {
        self.known.retain(|k| !same_source(k, &told));
        for vs in &self.config.virtual_servers {
            if let Some(service) = self.services.get_mut(&vs.key) {
                service.on_told(&told, out);
            }
        }
        self.known.push(told);
    }

    /// What was told about files and sessions that are not configured any more means nothing.
    fn forget(&mut self, config: &Config) {
        self.known.retain(|k| match k {
            Told::File { name, .. } => config.track_files.iter().any(|f| f.name == *name),
            Told::Bfd { name, .. } => config.bfds.iter().any(|b| b.name == *name),
        });
    }

    /// `ha_suspend`: an address came or left.
    fn address(&mut self, addr: IpAddr, up: bool, out: &mut Vec<Action>) {
        let following = |d: &Self| -> HashSet<ServiceKey> {
            let all = d.config.virtual_servers.iter().filter(|vs| vs.ha_suspend);
            let services = all.filter_map(|vs| d.services.get(&vs.key));
            let paused = services.filter(|s| d.is_suspended(s));
            paused.map(|s| s.cfg().key.clone()).collect()
        };
        let before = following(self);
        match up {
            true => self.present.insert(addr),
            false => self.present.remove(&addr),
        };
        let after = following(self);
        let told = [
            (before.difference(&after), Said::Activating),
            (after.difference(&before), Said::Suspending),
        ];
        for (keys, said) in told {
            for service in keys.filter_map(|key| self.services.get(key)) {
                service.tell_checkers(&said, out);
            }
        }
    }

    fn stop(&mut self, out: &mut Vec<Action>) {
        let config = std::mem::take(&mut self.config);
        self.marks = Marks::default();
        let told = config.global.ipvs.flush_on_stop == FlushOnStop::No;
        for vs in &config.virtual_servers {
            if let Some(service) = self.services.remove(&vs.key) {
                service.stop(told, out);
                let gone = ids(&service);
                self.place(&vs.key, gone, &mut Vec::new(), out);
            }
        }
    }
}

fn same_source(a: &Told, b: &Told) -> bool {
    match (a, b) {
        (Told::File { name, .. }, Told::File { name: other, .. })
        | (Told::Bfd { name, .. }, Told::Bfd { name: other, .. }) => name == other,
        (Told::File { .. }, Told::Bfd { .. }) | (Told::Bfd { .. }, Told::File { .. }) => false,
    }
}

fn ids(service: &Service) -> HashSet<CheckId> {
    service.checks().map(|(id, ..)| id).collect()
}

#[cfg(test)]
mod tests;
