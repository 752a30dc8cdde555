//! The part of the kernel's table that one virtual server needs: what we hold there, and what an answer means for it.
//!
//! Never sends anything itself. Source: linux/ip_vs.h; what the kernel answers was tried on Linux 6.1.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;

use nix::errno::Errno;
use tracing::{error, info, warn};

use super::held::{DestOp, Held};
use super::terms;
use crate::lvs::desired::Wanted;
use crate::model::lvs::ServiceKey;
use crate::reconcile::{Op, Owned};
use crate::sys::genl::{GenlError, Request};
use crate::sys::ipvs::dest::Dest;
use crate::sys::ipvs::service::{Service, ServiceId};
use crate::sys::ipvs::{Call, Told};

/// How often in a row a virtual server is read again at once.
const ROUNDS: u32 = 3;

/// Logged when our entries are not as we left them.
pub(super) const ELSEWHERE: &str = "somebody else changed the IPVS table, restoring our part";

/// What a request was for.
#[derive(Debug)]
pub(super) enum Step {
    Read,
    ReadDests,
    Service(Op<ServiceId, Service>),
    Dest(DestOp),
}

/// When a virtual server is to be converged again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    Now,
    Later,
}

/// What an error means for the entry it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It is as it should be.
    Settled,
    /// What we believed to be in the table is not true (any more).
    Stale,
    Refused,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// Services whose state is known.
    read: HashSet<ServiceId>,
    services: Owned<ServiceId, Service>,
    dests: HashMap<ServiceId, Held>,
    /// What of this round the kernel has carried out, not yet in `dests`.
    carried_out: HashMap<ServiceId, Vec<DestOp>>,
    /// Services that we have taken over or asked for: ours from that moment on, whatever the answer.
    asked: HashMap<ServiceId, Service>,
    /// Destinations that the configuration names, while services are read: ours if they are found.
    configured: BTreeSet<SocketAddr>,
    /// The configuration names some.
    is_configured: bool,
    /// Requests without an answer.
    pub(super) outstanding: usize,
    /// What is wanted may differ from what is held.
    pub(super) dirty: bool,
    /// This round has met traces of somebody else.
    stale: bool,
    /// This round has met a refusal.
    refused: bool,
    /// Rounds in a row that have met traces of somebody else.
    rounds: u32,
    /// The refusals that were logged, until a round goes well.
    said: HashSet<String>,
}

impl Unit {
    /// Begins a round: what has to be asked or changed for `wanted`, in order.
    pub(super) fn begin_round(&mut self, wanted: &[Wanted]) -> Vec<(ServiceId, Step, Request)> {
        let configured = wanted.iter().flat_map(|w| &w.configured);
        self.is_configured = configured.clone().next().is_some();
        let services: Vec<_> = wanted.iter().map(terms::service).collect();
        let unknown = services.iter().filter(|s| !self.read.contains(&s.id));
        let mut requests: Vec<_> = unknown
            .map(|s| (s.id, Step::Read, Call::OneService(&s.id).request()))
            .collect();
        // Once the questions are answered, the changes follow.
        self.dirty = !requests.is_empty();
        if self.dirty {
            self.configured.extend(configured);
        } else {
            self.changes(&services, wanted, &mut requests);
        }
        self.outstanding = requests.len();
        requests
    }

    fn changes(
        &mut self,
        services: &[Service],
        wanted: &[Wanted],
        requests: &mut Vec<(ServiceId, Step, Request)>,
    ) {
        let keyed: Vec<_> = services.iter().map(|s| (s.id, s.clone())).collect();
        for op in self.services.towards(&keyed) {
            let (id, call) = match &op {
                Op::Del(id, s) => (*id, Call::DelService(s)),
                Op::Add(id, s) => {
                    self.asked.insert(*id, s.clone());
                    (*id, Call::NewService(s))
                }
                Op::Replace { key, to, .. } => (*key, Call::SetService(to)),
            };
            let request = call.request();
            requests.push((id, Step::Service(op), request));
        }
        for (s, w) in services.iter().zip(wanted) {
            let dests: Vec<_> = w.dests.iter().map(terms::dest).collect();
            for op in self.dests.entry(s.id).or_default().towards(&dests) {
                let request = match &op {
                    Op::Del(_, d) => Call::DelDest(s, d),
                    Op::Add(_, d) => Call::NewDest(s, d),
                    Op::Replace { to, .. } => Call::SetDest(s, to),
                }
                .request();
                requests.push((s.id, Step::Dest(op), request));
            }
        }
    }

    /// Takes in an answer; returns what has to be asked because of it, in the same round.
    pub(super) fn take_in(
        &mut self,
        vs: &ServiceKey,
        id: ServiceId,
        step: Step,
        answer: Result<Told, GenlError>,
    ) -> Option<(Step, Request)> {
        self.outstanding = self.outstanding.saturating_sub(1);
        let error = match (&step, answer) {
            (Step::Read, Ok(told)) => {
                let found = told.services.into_iter().find(|s| s.id == id);
                return self.found(vs, id, found);
            }
            (Step::Read, Err(GenlError::Refused(Errno::ESRCH))) => {
                return self.found(vs, id, None);
            }
            (Step::ReadDests, Ok(told)) => {
                let ours = |d: &Dest| self.configured.contains(&d.addr);
                let dests = Held::found(told.dests.into_iter().filter(ours));
                self.dests.insert(id, dests);
                self.read.insert(id);
                return None;
            }
            (Step::Service(_) | Step::Dest(_), Ok(_)) => {
                self.settle(id, step);
                return None;
            }
            (_, Err(error)) => error,
        };
        match meaning(&step, error) {
            Meaning::Settled => self.settle(id, step),
            Meaning::Stale => {
                self.stale = true;
                self.unread(&id);
            }
            Meaning::Refused => {
                self.refused = true;
                let text = complaint(id, &step, error);
                if self.said.insert(text.clone()) {
                    error!("{text}");
                }
            }
        }
        None
    }

    fn found(
        &mut self,
        vs: &ServiceKey,
        id: ServiceId,
        found: Option<Service>,
    ) -> Option<(Step, Request)> {
        let Some(service) = found else {
            self.read.insert(id);
            return None;
        };
        if self.asked.insert(id, service.clone()).is_none() {
            info!(%vs, "virtual server is in the IPVS table already, taking it over");
        }
        self.services.insert(id, service);
        Some((Step::ReadDests, Call::AllDests(&id).request()))
    }

    fn settle(&mut self, id: ServiceId, step: Step) {
        match step {
            Step::Read | Step::ReadDests => {}
            Step::Service(op) => {
                self.services.settle(&op);
                if let Op::Del(..) = op {
                    self.dests.remove(&id);
                    self.carried_out.remove(&id);
                    self.asked.remove(&id);
                }
            }
            Step::Dest(op) => {
                if self.dests.contains_key(&id) {
                    self.carried_out.entry(id).or_default().push(op);
                }
            }
        }
    }

    /// Forgets what was believed about a service, so that the next round reads it.
    fn unread(&mut self, id: &ServiceId) {
        self.read.remove(id);
        self.services.remove(id);
        self.dests.remove(id);
        self.carried_out.remove(id);
    }

    /// All requests are answered.
    pub(super) fn end_round(&mut self, vs: &ServiceKey) -> Again {
        self.configured = BTreeSet::new();
        for (id, ops) in std::mem::take(&mut self.carried_out) {
            if let Some(dests) = self.dests.get_mut(&id) {
                dests.settle(&ops);
            }
        }
        let stale = std::mem::take(&mut self.stale);
        if std::mem::take(&mut self.refused) {
            self.rounds = 0;
            return Again::Later;
        }
        if !stale {
            if self.dirty {
                return Again::Now;
            }
            self.rounds = 0;
            self.said.clear();
            return Again::No;
        }
        self.rounds += 1;
        match self.rounds {
            1 => warn!(%vs, "{ELSEWHERE}"),
            2..=ROUNDS => {}
            _ => {
                self.rounds = 0;
                return Again::Later;
            }
        }
        Again::Now
    }

    /// Compares our services with those that are in the table. True: something is wrong and has to be read again.
    pub(super) fn audit(&mut self, vs: &ServiceKey, found: &HashMap<ServiceId, &Service>) -> bool {
        let held = self.services.in_order().into_iter();
        let wrong: Vec<_> = held
            .filter(|(id, service)| found.get(id) != Some(service))
            .map(|(id, _)| *id)
            .collect();
        if wrong.is_empty() {
            return false;
        }
        warn!(%vs, "{ELSEWHERE}");
        wrong.iter().for_each(|id| self.unread(id));
        true
    }

    /// Nothing is held, and nothing was wanted last.
    pub(super) fn is_over(&self) -> bool {
        self.services.is_empty() && !self.is_configured && self.outstanding == 0
    }

    /// All services that are, or may be, in the table on our behalf.
    pub(super) fn ours(&self) -> impl Iterator<Item = &Service> {
        self.asked.values()
    }
}

fn meaning(step: &Step, error: GenlError) -> Meaning {
    let errno = match error {
        GenlError::Refused(errno) => errno,
        GenlError::Lost
        | GenlError::Interrupted
        | GenlError::Malformed(_)
        | GenlError::Namespace
        | GenlError::Socket(_) => return Meaning::Stale,
    };
    match (step, errno) {
        (Step::Service(Op::Del(..)), Errno::ESRCH) | (Step::Dest(Op::Del(..)), Errno::ENOENT) => {
            Meaning::Settled
        }
        (Step::Service(Op::Add(..)) | Step::Dest(Op::Add(..)), Errno::EEXIST)
        | (Step::Service(Op::Replace { .. }), Errno::ESRCH)
        | (Step::Dest(Op::Replace { .. }), Errno::ENOENT)
        | (Step::Dest(_), Errno::ESRCH) => Meaning::Stale,
        _ => Meaning::Refused,
    }
}

/// In keepalived's words.
fn complaint(id: ServiceId, step: &Step, error: GenlError) -> String {
    let (command, dest) = match step {
        Step::Read | Step::ReadDests => return format!("IPVS: cannot read {id}: {error}"),
        Step::Service(Op::Add(..)) => ("IP_VS_SO_SET_ADD(1154)", None),
        Step::Service(Op::Replace { .. }) => ("IP_VS_SO_SET_EDIT(1155)", None),
        Step::Service(Op::Del(..)) => ("IP_VS_SO_SET_DEL(1156)", None),
        Step::Dest(Op::Add(key, _)) => ("IP_VS_SO_SET_ADDDEST(1159)", Some(key)),
        Step::Dest(Op::Del(key, _)) => ("IP_VS_SO_SET_DELDEST(1160)", Some(key)),
        Step::Dest(Op::Replace { key, .. }) => ("IP_VS_SO_SET_EDITDEST(1161)", Some(key)),
    };
    let text = match (step, error) {
        (Step::Service(_), GenlError::Refused(Errno::ENOENT)) => {
            "Scheduler or persistence engine not found(2)".to_owned()
        }
        (_, error) => error.to_string(),
    };
    match dest {
        Some(dest) => format!("IPVS cmd {command} error: {text} ({id} -> {dest})"),
        None => format!("IPVS cmd {command} error: {text} ({id})"),
    }
}

#[cfg(test)]
mod tests;
