//! One virtual server: which of its real servers are alive, whether they make a quorum, and who serves otherwise.
//!
//! Pure. A server is alive while none of its checkers is down; everything else follows from that, the configuration and
//! one memory: whether the quorum was met, which hysteresis needs. Never says how the kernel gets there; see
//! [`super::desired`]. Source: keepalived.conf(5) `quorum`, `hysteresis`, `sorry_server`, `inhibit_on_failure`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::checker::{Down, Local};
use super::verdict::{Change, Verdict};
use super::{
    Absence, Action, CheckId, QuorumChange, Report, Rs, Said, ServerChange, SorryChange, Sums, Way,
};
use crate::daemon::bus::Notice;
use crate::model::lvs::{Checker, Hooks, RealServer, SorryServer, VirtualServer};
use crate::model::track::NotifyScript;

/// Where new handles of checkers come from.
#[derive(Debug, Default)]
pub(crate) struct CheckIds(u64);

impl CheckIds {
    fn fresh(&mut self) -> CheckId {
        self.0 += 1;
        CheckId(self.0)
    }
}

/// A checker at run time.
#[derive(Clone, Debug)]
struct Health {
    id: CheckId,
    verdict: Verdict,
    /// What was last reported about this machine, so that it is reported once.
    trouble: Option<Local>,
}

/// A virtual server at run time.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    cfg: Arc<VirtualServer>,
    /// The last word on the quorum; within the hysteresis it stays.
    quorum_met: bool,
    /// The checkers of each real server, in the order of the configuration.
    servers: Vec<Vec<Health>>,
}

impl Service {
    /// A virtual server that was not there before.
    pub(crate) fn start(
        cfg: Arc<VirtualServer>,
        ids: &mut CheckIds,
        out: &mut Vec<Action>,
    ) -> Self {
        let servers = cfg.real_servers.iter().map(|rs| untried(rs, ids)).collect();
        let mut service = Self {
            cfg,
            quorum_met: false,
            servers,
        };
        out.push(Action::Converge(service.cfg.key.clone()));
        if service.quorum_holds() {
            service.quorum_met = true;
            service.tell_quorum(QuorumChange::Gained, out);
            service.notice_quorum(out);
        } else if service.sorry_serves().is_some() {
            service.tell_quorum(QuorumChange::StartingDown, out);
            service.tell_sorry(None, out);
            service.notice_quorum(out);
        }
        service
    }

    pub(crate) fn cfg(&self) -> &Arc<VirtualServer> {
        &self.cfg
    }

    /// The handles of all checkers, with the indices of real server and checker.
    pub(crate) fn checks(&self) -> impl Iterator<Item = (CheckId, usize, usize)> {
        self.servers.iter().enumerate().flat_map(|(s, checks)| {
            let one = move |(c, h): (usize, &Health)| (h.id, s, c);
            checks.iter().enumerate().map(one)
        })
    }

    /// Whether the real server would serve. `server`: its index in the configuration.
    pub(crate) fn is_alive(&self, server: usize) -> bool {
        self.servers.get(server).is_some_and(|s| alive(s))
    }

    #[cfg(test)]
    pub(crate) fn quorum_met(&self) -> bool {
        self.quorum_met
    }

    /// The sorry server, while it stands in for the real ones.
    pub(crate) fn sorry_serves(&self) -> Option<&SorryServer> {
        self.cfg.sorry_server.as_ref().filter(|_| !self.quorum_met)
    }

    /// Takes in the result of one attempt. Returns when the next one is due, counted from now.
    pub(crate) fn on_result(
        &mut self,
        server: usize,
        check: usize,
        result: Result<(), Down>,
        out: &mut Vec<Action>,
    ) -> Duration {
        let cfg = Arc::clone(&self.cfg);
        let (Some(rs), Some(checks)) = (cfg.real_servers.get(server), self.servers.get_mut(server))
        else {
            return Duration::MAX;
        };
        let (Some(checker), Some(health)) = (rs.checkers.get(check), checks.get_mut(check)) else {
            return Duration::MAX;
        };
        let name = Rs {
            vs: cfg.key.clone(),
            transport: cfg.transport,
            addr: rs.addr,
        };
        let mut tell = |said| out.push(told(&name, checker, said));
        let (change, next) = match result {
            Err(Down::Local(trouble)) => {
                if health.trouble.replace(trouble) != Some(trouble) {
                    tell(Said::Trouble(trouble));
                }
                return checker.delay_loop;
            }
            Ok(()) => health.verdict.on_success(checker),
            Err(down @ (Down::Connect(_) | Down::Timeout)) => {
                if checker.log_all_failures && health.verdict.is_up() {
                    tell(Said::AttemptFailed(down));
                }
                health.verdict.on_failure(checker)
            }
        };
        health.trouble = None;
        match change {
            Change::None => return next,
            Change::Up | Change::ConfirmedUp => tell(Said::Success),
            Change::Down { retries } => tell(Said::Failed { retries }),
            Change::ConfirmedDown => tell(Said::Failed { retries: None }),
        }
        let failing = checks.iter().filter(|h| !h.verdict.is_up()).count();
        match (change, failing) {
            (Change::Up, 0) => self.server_up(&name, rs, out),
            (Change::Down { .. }, 1) => self.server_down(&name, rs, out),
            // keepalived: a server that was never alive is reported as down once per checker.
            (Change::ConfirmedDown, _) => self.notice_server(&name, Way::Out, out),
            (Change::Up | Change::Down { .. } | Change::ConfirmedUp | Change::None, _) => {}
        }
        next
    }

    /// Takes over a new configuration of the same virtual server. What is known about checkers that stay is kept.
    pub(crate) fn reload(
        &mut self,
        cfg: Arc<VirtualServer>,
        ids: &mut CheckIds,
        out: &mut Vec<Action>,
    ) {
        let sorry_before = self.sorry_serves().cloned();
        let old = std::mem::replace(&mut self.cfg, Arc::clone(&cfg));
        let checks = std::mem::take(&mut self.servers);
        let stays: HashMap<_, _> = cfg.real_servers.iter().map(|rs| (rs.addr, ())).collect();
        let mut known = HashMap::with_capacity(checks.len());
        for (rs, checks) in old.real_servers.iter().zip(checks) {
            if stays.contains_key(&rs.addr) {
                known.insert(rs.addr, (rs, checks));
            } else {
                let in_pool = alive(&checks) && sorry_before.is_none();
                self.server_gone(rs, &checks, in_pool || rs.inhibit_on_failure, out);
            }
        }
        for rs in &cfg.real_servers {
            let checks = match known.remove(&rs.addr) {
                Some((before, checks)) => self.server_stays((before, checks), rs, ids, out),
                None => untried(rs, ids),
            };
            self.servers.push(checks);
        }
        out.push(Action::Converge(cfg.key.clone()));
        let was_met = self.quorum_met;
        self.quorum_met = self.quorum_holds();
        match (was_met, self.quorum_met) {
            (true, false) if cfg.sorry_server.is_some() => {
                self.tell_quorum(QuorumChange::StartingDown, out);
            }
            (true, false) => self.tell_quorum(QuorumChange::Lost, out),
            (false, true) => self.tell_quorum(QuorumChange::Gained, out),
            (true, true) | (false, false) => {}
        }
        self.tell_sorry(sorry_before.as_ref(), out);
        if was_met != self.quorum_met {
            self.notice_quorum(out);
        }
    }

    /// A reload has taken the virtual server away.
    pub(crate) fn remove(&self, out: &mut Vec<Action>) {
        out.push(Action::Report(Report::Removed(self.cfg.key.clone())));
        let pool_is_out = self.sorry_serves().is_some();
        for (rs, checks) in self.cfg.real_servers.iter().zip(&self.servers) {
            let held = rs.inhibit_on_failure || (alive(checks) && !pool_is_out);
            self.leave(rs, checks, held, out);
        }
        out.push(Action::Converge(self.cfg.key.clone()));
    }

    /// The daemon ends. Scripts hear of it only with `omega`.
    pub(crate) fn stop(&self, out: &mut Vec<Action>) {
        for (rs, checks) in self.cfg.real_servers.iter().zip(&self.servers) {
            let name = self.name(rs.addr);
            let what = ServerChange::ShuttingDown(if alive(checks) {
                Absence::Removed
            } else {
                absence(rs)
            });
            out.push(Action::Report(Report::Server {
                rs: name.clone(),
                what,
            }));
            if self.cfg.omega && alive(checks) {
                self.notice_server(&name, Way::Out, out);
            }
        }
        if self.cfg.omega {
            self.notice_virtual(Way::Out, out);
        }
        out.push(Action::Converge(self.cfg.key.clone()));
    }

    /// Whether the quorum is met now, given whether it was.
    fn quorum_holds(&self) -> bool {
        let Sums {
            quorum,
            hysteresis,
            alive,
        } = self.sums();
        if self.quorum_met {
            alive > 0 && alive >= u64::from(quorum.saturating_sub(hysteresis))
        } else {
            alive >= u64::from(quorum) + u64::from(hysteresis)
        }
    }

    fn sums(&self) -> Sums {
        let servers = self.cfg.real_servers.iter().zip(&self.servers);
        Sums {
            quorum: self.cfg.quorum,
            hysteresis: self.cfg.hysteresis,
            alive: servers
                .filter(|(_, checks)| alive(checks))
                .map(|(rs, _)| u64::from(rs.weight))
                .sum(),
        }
    }

    fn server_up(&mut self, name: &Rs, rs: &RealServer, out: &mut Vec<Action>) {
        let what = ServerChange::Up(absence(rs));
        out.push(Action::Report(Report::Server {
            rs: name.clone(),
            what,
        }));
        out.push(Action::Converge(name.vs.clone()));
        self.notice_server(name, Way::In, out);
        self.follow_quorum(out);
    }

    fn server_down(&mut self, name: &Rs, rs: &RealServer, out: &mut Vec<Action>) {
        let what = ServerChange::Down(absence(rs));
        out.push(Action::Report(Report::Server {
            rs: name.clone(),
            what,
        }));
        out.push(Action::Converge(name.vs.clone()));
        self.notice_server(name, Way::Out, out);
        self.follow_quorum(out);
    }

    fn follow_quorum(&mut self, out: &mut Vec<Action>) {
        let holds = self.quorum_holds();
        if holds == self.quorum_met {
            return;
        }
        let sorry_before = self.sorry_serves().cloned();
        self.quorum_met = holds;
        self.tell_quorum(
            if holds {
                QuorumChange::Gained
            } else {
                QuorumChange::Lost
            },
            out,
        );
        self.tell_sorry(sorry_before.as_ref(), out);
        self.notice_quorum(out);
    }

    /// Reports a sorry server that begins or ends to serve. `before`: the one that served until now.
    fn tell_sorry(&self, before: Option<&SorryServer>, out: &mut Vec<Action>) {
        let now = self.sorry_serves();
        if before.map(|s| s.addr) == now.map(|s| s.addr) {
            return;
        }
        let vs = self.cfg.key.clone();
        let absence = |s: &SorryServer| {
            if s.inhibit {
                Absence::Inhibited
            } else {
                Absence::Removed
            }
        };
        let news = [
            before.map(|s| (s.addr, SorryChange::Ends(absence(s)))),
            now.map(|s| (s.addr, SorryChange::Starts(absence(s)))),
        ];
        for (addr, what) in news.into_iter().flatten() {
            let rs = self.name(addr);
            out.push(Action::Report(Report::Sorry { rs, what }));
        }
        let into_pool = if now.is_some() { Way::Out } else { Way::In };
        out.push(Action::Report(Report::AliveServers { vs, into_pool }));
    }

    fn tell_quorum(&self, what: QuorumChange, out: &mut Vec<Action>) {
        let (vs, sums) = (self.cfg.key.clone(), self.sums());
        out.push(Action::Report(Report::Quorum { vs, what, sums }));
    }

    fn notice_quorum(&self, out: &mut Vec<Action>) {
        let way = if self.quorum_met { Way::In } else { Way::Out };
        self.notice_virtual(way, out);
    }

    fn notice_virtual(&self, way: Way, out: &mut Vec<Action>) {
        out.push(Action::Notice(Notice::VirtualServer {
            vs: self.cfg.key.to_string().into(),
            up: way == Way::In,
            script: hook(&self.cfg.hooks, way),
        }));
    }

    fn notice_server(&self, name: &Rs, way: Way, out: &mut Vec<Action>) {
        let mut servers = self.cfg.real_servers.iter();
        let hooks = servers.find(|rs| rs.addr == name.addr).map(|rs| &rs.hooks);
        out.push(Action::Notice(Notice::RealServer {
            vs: name.vs.to_string().into(),
            rs: name.to_string().into(),
            up: way == Way::In,
            script: hooks.and_then(|h| hook(h, way)),
        }));
    }

    /// A server that a reload has taken away.
    fn server_gone(
        &self,
        rs: &RealServer,
        checks: &[Health],
        in_table: bool,
        out: &mut Vec<Action>,
    ) {
        let rs_name = self.name(rs.addr);
        out.push(Action::Report(Report::Server {
            rs: rs_name.clone(),
            what: ServerChange::NoLongerExists,
        }));
        self.leave(rs, checks, in_table, out);
    }

    fn leave(&self, rs: &RealServer, checks: &[Health], in_table: bool, out: &mut Vec<Action>) {
        let name = self.name(rs.addr);
        if in_table {
            let what = ServerChange::Down(Absence::Removed);
            out.push(Action::Report(Report::Server {
                rs: name.clone(),
                what,
            }));
        }
        if alive(checks) {
            self.notice_server(&name, Way::Out, out);
        }
    }

    /// A server that both configurations have: takes its known checkers over.
    fn server_stays(
        &self,
        (before, mut known): (&RealServer, Vec<Health>),
        rs: &RealServer,
        ids: &mut CheckIds,
        out: &mut Vec<Action>,
    ) -> Vec<Health> {
        let was_alive = alive(&known);
        let mut old_checkers: Vec<_> = before.checkers.iter().collect();
        let checks: Vec<_> = rs
            .checkers
            .iter()
            .map(
                |new| match old_checkers.iter().position(|old| old.check == new.check) {
                    Some(at) => {
                        old_checkers.swap_remove(at);
                        known.swap_remove(at)
                    }
                    // What serves already goes on serving until the first result.
                    None if was_alive => health(Verdict::assumed_up(), ids),
                    None if !new.check.runs() => health(Verdict::assumed_up(), ids),
                    None => health(Verdict::new(new), ids),
                },
            )
            .collect();
        let name = self.name(rs.addr);
        let mut tell = |what| {
            out.push(Action::Report(Report::Server {
                rs: name.clone(),
                what,
            }))
        };
        if before.weight != rs.weight {
            tell(ServerChange::Weight {
                from: before.weight,
                to: rs.weight,
                active: if was_alive { Way::In } else { Way::Out },
            });
        }
        if !was_alive && alive(&checks) {
            tell(ServerChange::Up(absence(before)));
            self.notice_server(&name, Way::In, out);
        }
        checks
    }

    /// What messages call a server of this virtual server.
    pub(crate) fn name(&self, addr: SocketAddr) -> Rs {
        Rs {
            vs: self.cfg.key.clone(),
            transport: self.cfg.transport,
            addr,
        }
    }
}

fn told(rs: &Rs, checker: &Checker, said: Said) -> Action {
    let rs = rs.clone();
    let check = Box::new(checker.check.clone());
    Action::Report(Report::Check { rs, check, said })
}

fn alive(checks: &[Health]) -> bool {
    checks.iter().all(|h| h.verdict.is_up())
}

fn untried(rs: &RealServer, ids: &mut CheckIds) -> Vec<Health> {
    let verdict = |c: &Checker| match c.check.runs() {
        true => Verdict::new(c),
        false => Verdict::assumed_up(),
    };
    let checkers = rs.checkers.iter();
    checkers.map(|c| health(verdict(c), ids)).collect()
}

fn health(verdict: Verdict, ids: &mut CheckIds) -> Health {
    Health {
        id: ids.fresh(),
        verdict,
        trouble: None,
    }
}

fn absence(rs: &RealServer) -> Absence {
    if rs.inhibit_on_failure {
        Absence::Inhibited
    } else {
        Absence::Removed
    }
}

fn hook(hooks: &Hooks, way: Way) -> Option<Arc<NotifyScript>> {
    match way {
        Way::In => hooks.up.clone(),
        Way::Out => hooks.down.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
