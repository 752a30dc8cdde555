//! One virtual server: which of its real servers are alive, whether they make a quorum, and who serves otherwise.
//!
//! Pure. A server is alive while none of its checkers is down; everything else follows from that, the configuration and
//! one memory: whether the quorum was met, which hysteresis needs. Never says how the kernel gets there; see
//! [`super::desired`]. Source: keepalived.conf(5) `quorum`, `hysteresis`, `sorry_server`, `inhibit_on_failure`.

mod change;
mod health;
mod recall;
mod tell;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use self::health::{Health, Healths, Share};
use super::checker::{Check, Down, Good};
use super::desired::Front;
use super::schedule::CheckIds;
use super::verdict::{Change, Verdict};
use super::{
    Absence, Action, CheckId, QuorumChange, Report, Rs, Said, ServerChange, Sums, Told, Way,
};
use crate::model::global::Global;
use crate::model::lvs::{Checker, Listen, RealServer, SorryServer, VirtualServer};

/// What global settings say about telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manners {
    /// `rs_init_notifies`: servers that serve at start are told, too.
    pub(crate) tell_start: bool,
    /// Without `no_checker_emails`: a mail for every checker, not only for servers that change.
    pub(crate) mail_checkers: bool,
}

impl Manners {
    pub(crate) fn of(global: &Global) -> Self {
        Self {
            tell_start: global.rs_init_notifies,
            mail_checkers: global.mail.every_checker,
        }
    }
}

/// Octets for each checker.
#[cfg(test)]
pub(crate) const CHECKER: usize = size_of::<Health>();

/// A virtual server at run time.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    cfg: Arc<VirtualServer>,
    manners: Manners,
    /// The last word on the quorum; within the hysteresis it stays.
    quorum_met: bool,
    /// The checkers of each real server.
    servers: Healths,
}

impl Service {
    /// A virtual server that was not there before. `known`: what was told to checkers that watch nothing themselves.
    /// `left`: see [`super::Event::Left`].
    pub(crate) fn start(
        cfg: Arc<VirtualServer>,
        manners: Manners,
        (known, left): (&[Told], &HashSet<(Front, SocketAddr)>),
        ids: &mut CheckIds,
        out: &mut Vec<Action>,
    ) -> Self {
        let mut servers = Healths::default();
        for rs in &cfg.real_servers {
            servers.push(untried(rs, known, ids));
        }
        servers.complete();
        let mut service = Self {
            cfg,
            manners,
            quorum_met: false,
            servers,
        };
        service.recall(left);
        out.push(Action::Converge(service.cfg.key.clone()));
        if manners.tell_start {
            service.tell_all_alive(out);
        }
        if service.quorum_holds() {
            service.quorum_met = true;
            service.tell_quorum(QuorumChange::Gained, out);
            service.notice_quorum(QuorumChange::StartingUp, out);
        } else if service.sorry_serves().is_some() {
            service.tell_quorum(QuorumChange::StartingDown, out);
            service.tell_sorry(None, out);
            service.notice_quorum(QuorumChange::StartingDown, out);
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

    /// Which page the next attempt of a checker is for.
    pub(crate) fn page(&self, server: usize, check: usize) -> usize {
        let health = self.servers.get(server).and_then(|s| s.get(check));
        health.map_or(0, |h| h.verdict.page())
    }

    /// Whether the real server would serve. `server`: its index in the configuration.
    pub(crate) fn is_alive(&self, server: usize) -> bool {
        self.servers.get(server).is_some_and(alive)
    }

    /// What the kernel gets: the configured weight and what checkers add to it.
    pub(crate) fn weight(&self, server: usize) -> u32 {
        let rs = self.cfg.real_servers.get(server);
        rs.zip(self.servers.get(server))
            .map_or(0, |(rs, checks)| weight(rs, checks))
    }

    /// `ha_suspend`: whether checks pause, because none of the addresses is in `present`.
    pub(crate) fn is_suspended(&self, present: impl Fn(IpAddr, IpAddr) -> bool) -> bool {
        let here = |l: &Listen| match *l {
            Listen::Addresses { first, last, .. } => present(first, last),
            Listen::Fwmark { .. } => false,
        };
        self.cfg.ha_suspend && !self.cfg.listen.iter().any(here)
    }

    /// What is believed about each checker of a real server.
    pub(super) fn verdicts(&self, server: usize) -> impl Iterator<Item = Verdict> {
        let checks = self.servers.get(server);
        checks.into_iter().flatten().map(|h| h.verdict)
    }

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
        result: Result<Good, Down>,
        out: &mut Vec<Action>,
    ) -> Duration {
        let cfg = Arc::clone(&self.cfg);
        let Some((rs, checker)) = found(&cfg, server, check) else {
            return Duration::MAX;
        };
        let (name, from) = (self.name(rs.addr), self.weight(server));
        let Some(health) = self.health(server, check) else {
            return Duration::MAX;
        };
        let mut tell = |said| out.push(told(&name, checker, said));
        // What this machine cannot do says nothing about the other one.
        // keepalived: for UDP_CHECK it does.
        if let Err(Down::Local(trouble)) = result
            && !matches!(checker.check, Check::Udp(..))
        {
            if health.is_news(trouble) {
                tell(Said::Trouble(trouble));
            }
            return checker.delay_loop;
        }
        health.is_well();
        let (change, next, down) = match result {
            Ok(good) => {
                if let Good::Page(judged, lengths) = good {
                    let page = health.verdict.page();
                    if let Some(lengths) = health.length_is_news(page, lengths) {
                        tell(Said::PageLength { page, lengths });
                    }
                    if !health.verdict.is_up() {
                        tell(Said::PageGood { page, judged });
                    }
                }
                if let Good::Weight(wanted) = good {
                    health.set_share(wanted.map_or(Share::None, Share::Sets));
                }
                let (change, next) = health.verdict.on_success(checker);
                (change, next, None)
            }
            Err(down) => {
                if checker.log_all_failures && health.verdict.is_up() {
                    tell(Said::AttemptFailed(down));
                }
                let (change, next) = health.verdict.on_failure(checker);
                (change, next, Some(down))
            }
        };
        self.settle((server, check), from, change, down, out);
        next
    }

    /// Takes in what a checker is told that watches nothing itself.
    pub(crate) fn on_told(&mut self, what: &Told, out: &mut Vec<Action>) {
        let cfg = Arc::clone(&self.cfg);
        for (server, rs) in cfg.real_servers.iter().enumerate() {
            for (check, checker) in rs.checkers.iter().enumerate() {
                let Some((up, share)) = heard(&checker.check, what) else {
                    continue;
                };
                let from = self.weight(server);
                let Some(health) = self.health(server, check) else {
                    continue;
                };
                health.set_share(share);
                let change = health.verdict.on_told(up);
                self.settle((server, check), from, change, None, out);
            }
        }
    }

    /// What follows from a change of one checker, or of what it adds to the weight, which was `from`.
    fn settle(
        &mut self,
        (server, check): (usize, usize),
        from: u32,
        change: Change,
        down: Option<Down>,
        out: &mut Vec<Action>,
    ) {
        let cfg = Arc::clone(&self.cfg);
        let Some((rs, checker)) = found(&cfg, server, check) else {
            return;
        };
        let name = self.name(rs.addr);
        self.reweigh(server, from, out);
        let (said, way) = match change {
            Change::None => return,
            Change::Up | Change::ConfirmedUp => (Said::Success, Way::In),
            Change::Down { retries } => (Said::Failed { retries, down }, Way::Out),
            Change::ConfirmedDown => {
                let retries = None;
                (Said::Failed { retries, down }, Way::Out)
            }
        };
        if !(change == Change::ConfirmedDown && checker.check.is_page()) {
            out.push(told(&name, checker, said.clone()));
        }
        let checks = self.servers.get(server).unwrap_or_default();
        let failing = checks.iter().filter(|h| !h.verdict.is_up()).count();
        let changed = match (change, failing) {
            (Change::Up, 0) => {
                self.server_changes(server, Way::In, out);
                true
            }
            (Change::Down { .. }, 1) => {
                self.server_changes(server, Way::Out, out);
                true
            }
            // keepalived: a server that was never alive is reported as down once per checker.
            (Change::ConfirmedDown, _) => {
                if !checker.check.is_page() {
                    self.notice_server(&name, Way::Out, out);
                }
                false
            }
            (Change::Up | Change::Down { .. } | Change::ConfirmedUp | Change::None, _) => false,
        };
        if change != Change::ConfirmedUp && (changed || self.manners.mail_checkers) {
            self.mail_server(
                &name,
                way,
                super::words::mail(&checker.check, way, down),
                out,
            );
        }
    }

    fn health(&mut self, server: usize, check: usize) -> Option<&mut Health> {
        self.servers.at_mut(server, check)
    }

    /// Tells when what the kernel has is not the weight any more.
    fn reweigh(&mut self, server: usize, from: u32, out: &mut Vec<Action>) {
        let cfg = Arc::clone(&self.cfg);
        let Some(rs) = cfg.real_servers.get(server) else {
            return;
        };
        let to = self.weight(server);
        if from == to {
            return;
        }
        let active = if self.is_alive(server) {
            Way::In
        } else {
            Way::Out
        };
        let what = ServerChange::Weight { from, to, active };
        let rs = self.name(rs.addr);
        out.push(Action::Report(Report::Server { rs, what }));
        out.push(Action::Converge(self.cfg.key.clone()));
        self.follow_quorum(out);
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
        let servers = self.cfg.real_servers.iter().zip(self.servers.iter());
        Sums {
            quorum: self.cfg.quorum,
            hysteresis: self.cfg.hysteresis,
            alive: servers
                .filter(|(_, checks)| alive(checks))
                .map(|(rs, checks)| u64::from(weight(rs, checks)))
                .sum(),
        }
    }

    fn server_changes(&mut self, server: usize, way: Way, out: &mut Vec<Action>) {
        let cfg = Arc::clone(&self.cfg);
        let Some(rs) = cfg.real_servers.get(server) else {
            return;
        };
        let what = match way {
            Way::In => ServerChange::Up(absence(rs)),
            Way::Out => ServerChange::Down(absence(rs)),
        };
        let name = self.name(rs.addr);
        out.push(Action::Report(Report::Server {
            rs: name.clone(),
            what,
        }));
        out.push(Action::Converge(name.vs.clone()));
        self.notice_server(&name, way, out);
        self.follow_quorum(out);
    }

    fn follow_quorum(&mut self, out: &mut Vec<Action>) {
        let holds = self.quorum_holds();
        if holds == self.quorum_met {
            return;
        }
        let sorry_before = self.sorry_serves().cloned();
        self.quorum_met = holds;
        let what = match holds {
            true => QuorumChange::Gained,
            false => QuorumChange::Lost,
        };
        self.tell_quorum(what, out);
        self.tell_sorry(sorry_before.as_ref(), out);
        self.notice_quorum(what, out);
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

fn found(cfg: &VirtualServer, server: usize, check: usize) -> Option<(&RealServer, &Checker)> {
    let rs = cfg.real_servers.get(server)?;
    Some((rs, rs.checkers.get(check)?))
}

fn told(rs: &Rs, checker: &Checker, said: Said) -> Action {
    let rs = rs.clone();
    let check = Box::new(checker.check.clone());
    Action::Report(Report::Check { rs, check, said })
}

/// Whether a checker is up by what was told, and what it adds to the weight; `None`: it is about another one.
fn heard(check: &Check, what: &Told) -> Option<(bool, Share)> {
    match (check, what) {
        (Check::Bfd(bfd), Told::Bfd { name, up }) if bfd.name == *name => Some((*up, Share::None)),
        (Check::File(file), Told::File { name, value }) if file.file == *name => {
            if file.weight == 0 {
                return Some(((*value == 0) != file.reverse, Share::None));
            }
            let sign = if file.reverse { -1 } else { 1 };
            let sum = value
                .saturating_mul(i64::from(file.weight))
                .saturating_mul(sign);
            Some((sum > i64::from(i32::MIN), Share::Adds(sum)))
        }
        (_, Told::Bfd { .. } | Told::File { .. }) => None,
    }
}

fn alive(checks: &[Health]) -> bool {
    checks.iter().all(|h| h.verdict.is_up())
}

fn weight(rs: &RealServer, checks: &[Health]) -> u32 {
    let added: i64 = checks.iter().map(|h| h.share().of(rs.weight)).sum();
    let most = i64::from(i32::MAX);
    let sum = i64::from(rs.weight).saturating_add(added).clamp(0, most);
    u32::try_from(sum).unwrap_or(0)
}

/// Checkers of which nothing is known but what was told to others of their kind.
fn untried(rs: &RealServer, known: &[Told], ids: &mut CheckIds) -> Vec<Health> {
    let checkers = rs.checkers.iter();
    checkers
        .map(|c| with_known(Health::new(Verdict::new(c), ids.fresh()), &c.check, known))
        .collect()
}

fn with_known(mut health: Health, check: &Check, known: &[Told]) -> Health {
    let mut told = known.iter().filter_map(|t| heard(check, t));
    if let Some((up, share)) = told.next_back() {
        health.set_share(share);
        health.verdict.on_told(up);
    }
    health
}

fn absence(rs: &RealServer) -> Absence {
    if rs.inhibit_on_failure {
        Absence::Inhibited
    } else {
        Absence::Removed
    }
}

#[cfg(test)]
pub(crate) mod tests;
