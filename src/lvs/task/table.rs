//! The kernel's IPVS table: what in it is ours, and the one way in which it changes.
//!
//! Each virtual server converges on its own: its services are read once, so that what is there already is taken over;
//! then the difference between what is held and what is wanted is carried out, while further wishes wait. An answer
//! that shows that somebody else was at work makes it read again. Entries that the configuration does not name are
//! never touched, except that a service of ours takes everything in it along when it goes. Dropping the table withdraws
//! what is ours. Source: linux/ip_vs.h.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tracing::{debug, info};

use super::legacy::Entry;
use super::terms;
use super::unit::{Again, Step, Unit};
use super::whole::{self, Whole};
use crate::daemon::bus::VrrpState;
use crate::lvs::desired::{Front, Wanted};
use crate::model::global::IpvsSettings;
use crate::model::lvs::ServiceKey;
use crate::sys::genl::{GenlError, Request};
use crate::sys::ipvs::dest::Dest;
use crate::sys::ipvs::service::{Service, ServiceId};
use crate::sys::ipvs::whole::{Role, Timeouts};
use crate::sys::ipvs::{Call, Ipvs, Told};
use crate::sys::module::{self, ModuleError};
use crate::sys::netns::Place;
use crate::time::Mono;

/// The kernel module; it brings everything but the schedulers, which the kernel fetches itself.
const MODULE: &str = "ip_vs";
/// After a refusal by the kernel, until it is asked again.
const RETRY: Duration = Duration::from_secs(10);
/// IPVS announces no changes: how often we look whether our services are still there.
const AUDIT: Duration = Duration::from_secs(30);

/// Requests without an answer at which no more virtual servers are begun with: several batches.
const ENOUGH: usize = 256;

/// What a request was for.
#[derive(Debug)]
enum Tag {
    /// No virtual server in particular.
    Table,
    /// The settings of the whole table.
    Whole(whole::Step),
    Unit(ServiceKey, ServiceId, Box<Step>),
    /// Something that an earlier run has left and nobody wants any more; how messages name it.
    Forgotten(String),
}

/// Some answers of the kernel.
#[derive(Debug)]
pub(super) struct Batch(Vec<(Tag, Result<Told, GenlError>)>);

/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    ipvs: Ipvs<Tag>,
    units: HashMap<ServiceKey, Unit>,
    /// Dirty, and without outstanding requests.
    ready: VecDeque<ServiceKey>,
    retries: BTreeSet<(Mono, ServiceKey)>,
    next_audit: Mono,
    whole: Whole,
    /// Requests about virtual servers without an answer.
    outstanding: usize,
}

/// Why there is no table.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The kernel has no IPVS, and loading it did not help.
    Missing(Option<ModuleError>),
    Kernel(GenlError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(Some(e)) => {
                write!(f, "kernel module {MODULE} is not loaded and cannot be: {e}")
            }
            Self::Missing(None) => write!(f, "kernel module {MODULE} brings no IPVS"),
            Self::Kernel(e) => e.fmt(f),
        }
    }
}

impl Table {
    /// Opens the kernel's table and loads IPVS if it is not there.
    ///
    /// # Errors
    /// See [`OpenError`]; no IPVS or no privileges.
    pub(super) async fn open(now: Mono, place: &Place) -> Result<Self, OpenError> {
        const NO_FAMILY: GenlError = GenlError::Refused(Errno::ENOENT);
        let mut ipvs = match Ipvs::open(place).await {
            Err(NO_FAMILY) => {
                let loaded = module::load(MODULE).await;
                Ipvs::open(place).await.map_err(|e| match e {
                    NO_FAMILY => OpenError::Missing(loaded.err()),
                    GenlError::Refused(_)
                    | GenlError::Lost
                    | GenlError::Interrupted
                    | GenlError::Malformed(_)
                    | GenlError::Namespace
                    | GenlError::Socket(_) => OpenError::Kernel(e),
                })?
            }
            opened => opened.map_err(OpenError::Kernel)?,
        };
        // Without the permission to ask there is none to change anything.
        ipvs.submit(Tag::Table, Call::Info.request());
        for (_, told) in ipvs.next_done().await {
            if let Some(info) = told.map_err(OpenError::Kernel)?.info {
                let [_, major, minor, patch] = info.version.to_be_bytes();
                let buckets = info.conn_tab_size;
                debug!(buckets, "IPVS {major}.{minor}.{patch}");
            }
        }
        Ok(Self {
            ipvs,
            units: HashMap::new(),
            ready: VecDeque::new(),
            retries: BTreeSet::new(),
            next_audit: now + AUDIT,
            whole: Whole::default(),
            outstanding: 0,
        })
    }

    /// When [`Table::wake`] is needed.
    pub(super) fn deadline(&self) -> Mono {
        let retry = self.retries.first().map_or(Mono::NEVER, |&(at, _)| at);
        let idle = self.units.is_empty();
        retry.min(if idle { Mono::NEVER } else { self.next_audit })
    }

    pub(super) fn wake(&mut self, now: Mono) {
        while self.retries.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.retries.pop_first() {
                self.mark(&key);
            }
        }
        if now >= self.next_audit {
            self.next_audit = now + AUDIT;
            if !self.units.is_empty() {
                self.ipvs.submit(Tag::Table, Call::AllServices.request());
            }
        }
    }

    /// Start or reload: timeouts, sync daemons, and at start the flush, before anything else.
    pub(super) fn apply(&mut self, settings: &IpvsSettings, serves: bool) {
        let requests = self.whole.apply(settings, serves);
        self.ask(requests);
    }

    /// The destinations of `left` that are not in the table, or with weight 0. Before anything else is asked for.
    pub(super) async fn left_out(
        &mut self,
        left: &BTreeSet<Entry>,
    ) -> HashSet<(Front, SocketAddr)> {
        let mut known: BTreeMap<ServiceId, HashSet<SocketAddr>> = BTreeMap::new();
        for entry in left {
            if let Entry::Dest(id, addr) = entry {
                known.entry(*id).or_default().insert(*addr);
            }
        }
        for id in known.keys() {
            self.ipvs.submit(Tag::Table, Call::AllDests(id).request());
        }
        let mut answers = Vec::with_capacity(known.len());
        while answers.len() < known.len() {
            answers.extend(self.ipvs.next_done().await);
        }
        let mut out = HashSet::new();
        for ((id, mut dests), (_, answer)) in known.into_iter().zip(answers) {
            let (Some(front), Ok(told)) = (terms::front(&id), answer) else {
                continue;
            };
            for dest in told.dests.iter().filter(|d| d.weight > 0) {
                dests.remove(&dest.addr);
            }
            out.extend(dests.into_iter().map(|addr| (front, addr)));
        }
        out
    }

    /// Removes what an earlier run has left, if it is still there. Before anything else is asked for.
    pub(super) fn discard(&mut self, entry: Entry) {
        let (name, request) = match entry {
            Entry::Service(id) => {
                let service = Service::named(id);
                (id.to_string(), Call::DelService(&service).request())
            }
            Entry::Dest(id, addr) => {
                let (service, dest) = (Service::named(id), Dest::named(addr));
                let request = Call::DelDest(&service, &dest).request();
                (format!("{id} -> {addr}"), request)
            }
            Entry::SyncDaemons => {
                for role in [Role::Master, Role::Backup] {
                    let request = Call::DelDaemon(role, 0).request();
                    self.ask(vec![(whole::Step::Clear, request)]);
                }
                return;
            }
            Entry::Timeouts(found) => return self.whole.inherit(found),
            Entry::Table(_) => return, // not in here
        };
        self.outstanding += 1;
        self.ipvs.submit(Tag::Forgotten(name), request);
    }

    /// The timeouts that were there before ours, once they have been asked for.
    pub(super) fn found_timeouts(&self) -> Option<Timeouts> {
        self.whole.found()
    }

    /// An instance entered a state: sync daemons may follow it.
    pub(super) fn follow(&mut self, name: Arc<str>, state: VrrpState) {
        let requests = self.whole.follow(name, state);
        self.ask(requests);
    }

    /// Puts the settings of the whole table back. `flush`: and takes all services of everybody away, at once.
    pub(super) fn stop(&mut self, flush: bool) {
        if flush {
            self.forget();
            self.ask(vec![(whole::Step::Flush, Call::Flush.request())]);
        }
        let requests = self.whole.stop();
        self.ask(requests);
    }

    fn ask(&mut self, requests: Vec<(whole::Step, Request)>) {
        for (step, request) in requests {
            self.outstanding += 1;
            self.ipvs.submit(Tag::Whole(step), request);
        }
    }

    /// The virtual server may want something else than it has.
    pub(super) fn mark(&mut self, key: &ServiceKey) {
        let unit = self.units.entry(key.clone()).or_default();
        let waits = std::mem::replace(&mut unit.dirty, true);
        if !waits && unit.outstanding == 0 {
            self.ready.push_back(key.clone());
        }
    }

    /// A virtual server that was marked and can be converged now. Not more of them than the kernel has something to do:
    /// what waits as a request takes far more memory than what waits as a key.
    pub(super) fn next_ready(&mut self) -> Option<ServiceKey> {
        match self.outstanding < ENOUGH {
            true => self.ready.pop_front(),
            false => None,
        }
    }

    /// Nothing is on its way, and nothing waits but retries.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.outstanding == 0
    }

    /// Leaves everything as it is, for good.
    pub(super) fn forget(&mut self) {
        self.units.clear();
        self.ready.clear();
        self.retries.clear();
    }

    /// Queues what leads from what is held to what is wanted.
    pub(super) fn converge(&mut self, now: Mono, key: &ServiceKey, wanted: &[Wanted]) {
        let Some(unit) = self.units.get_mut(key) else {
            return;
        };
        for (id, step, request) in unit.begin_round(wanted) {
            self.outstanding += 1;
            let tag = Tag::Unit(key.clone(), id, Box::new(step));
            self.ipvs.submit(tag, request);
        }
        if unit.outstanding == 0 {
            self.round_ends(now, key);
        }
    }

    /// Carries out what is queued, and takes the answers in. Returns after each batch of them; cancel safe.
    pub(super) async fn progress(&mut self) -> Batch {
        Batch(self.ipvs.next_done().await)
    }

    /// Takes in what [`Table::progress`] has brought.
    pub(super) fn settle(&mut self, now: Mono, batch: Batch) {
        for (tag, answer) in batch.0 {
            let (key, id, step) = match tag {
                Tag::Table => {
                    self.audited(answer);
                    continue;
                }
                Tag::Whole(step) => {
                    self.outstanding = self.outstanding.saturating_sub(1);
                    let more = self.whole.take_in(step, answer);
                    self.ask(more);
                    continue;
                }
                Tag::Forgotten(name) => {
                    self.outstanding = self.outstanding.saturating_sub(1);
                    if answer.is_ok() {
                        info!(
                            "IPVS: removed {name}, which an earlier run has left and nobody wants"
                        );
                    }
                    continue;
                }
                Tag::Unit(key, id, step) => (key, id, *step),
            };
            self.outstanding = self.outstanding.saturating_sub(1);
            let Some(unit) = self.units.get_mut(&key) else {
                continue;
            };
            if let Some((step, request)) = unit.take_in(&key, id, step, answer) {
                unit.outstanding += 1;
                self.outstanding += 1;
                let tag = Tag::Unit(key.clone(), id, Box::new(step));
                self.ipvs.submit(tag, request);
            }
            if unit.outstanding == 0 {
                self.round_ends(now, &key);
            }
        }
    }

    /// All requests of a virtual server are answered.
    fn round_ends(&mut self, now: Mono, key: &ServiceKey) {
        let Some(unit) = self.units.get_mut(key) else {
            return;
        };
        let again = unit.end_round(key);
        if again == Again::Later {
            self.retries.insert((now + RETRY, key.clone()));
        }
        if again == Again::Now || unit.dirty {
            unit.dirty = true;
            self.ready.push_back(key.clone());
        } else if again == Again::No && unit.is_over() {
            self.units.remove(key);
        }
    }

    fn audited(&mut self, answer: Result<Told, GenlError>) {
        let Ok(told) = answer else {
            return; // The next audit asks again.
        };
        let found: HashMap<_, _> = told.services.iter().map(|s| (s.id, s)).collect();
        let units = self.units.iter_mut();
        let lost: Vec<_> = units
            .filter_map(|(key, unit)| unit.audit(key, &found).then(|| key.clone()))
            .collect();
        lost.iter().for_each(|key| self.mark(key));
    }
}

/// Withdraws what is ours: nothing after an orderly stop, everything when the task unwinds.
impl Drop for Table {
    fn drop(&mut self) {
        for service in self.units.values().flat_map(Unit::ours) {
            self.ipvs
                .submit(Tag::Table, Call::DelService(service).request());
        }
        self.ipvs.finish_now();
    }
}
