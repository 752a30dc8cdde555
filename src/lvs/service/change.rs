//! A virtual server whose configuration changes, or that goes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Health, Manners, Service, absence, alive, untried, weight, with_known};
use crate::lvs::schedule::CheckIds;
use crate::lvs::verdict::Verdict;
use crate::lvs::{Absence, Action, QuorumChange, Report, ServerChange, Sums, Told, Way, words};
use crate::model::lvs::{Checker, RealServer, VirtualServer};

impl Service {
    /// Takes over a new configuration of the same virtual server. What is known about checkers that stay is kept.
    pub(crate) fn reload(
        &mut self,
        cfg: Arc<VirtualServer>,
        manners: Manners,
        known: &[Told],
        ids: &mut CheckIds,
        out: &mut Vec<Action>,
    ) {
        self.manners = manners;
        let sorry_before = self.sorry_serves().cloned();
        let stays: HashSet<_> = cfg.real_servers.iter().map(|rs| rs.addr).collect();
        let mut kept = HashMap::with_capacity(stays.len());
        let old = Arc::clone(&self.cfg);
        for (rs, checks) in old
            .real_servers
            .iter()
            .zip(std::mem::take(&mut self.servers).into_lists())
        {
            if stays.contains(&rs.addr) {
                kept.insert(rs.addr, (rs, checks));
            } else {
                let in_pool = alive(&checks) && sorry_before.is_none();
                let what = ServerChange::NoLongerExists;
                let name = self.name(rs.addr);
                out.push(Action::Report(Report::Server { rs: name, what }));
                self.leave(rs, &checks, in_pool || rs.inhibit_on_failure, out);
            }
        }
        self.cfg = Arc::clone(&cfg);
        for rs in &cfg.real_servers {
            match kept.remove(&rs.addr) {
                Some(before) => self.server_stays(before, rs, known, ids, out),
                None => {
                    let checks = untried(rs, known, ids);
                    if manners.tell_start && alive(&checks) {
                        self.notice_server(&self.name(rs.addr), Way::In, out);
                    }
                    self.servers.push(checks);
                }
            }
        }
        self.servers.complete();
        out.push(Action::Converge(cfg.key.clone()));
        let was_met = self.quorum_met;
        self.quorum_met = self.quorum_holds();
        let what = match (was_met, self.quorum_met) {
            (true, false) if cfg.sorry_server.is_some() => Some(QuorumChange::StartingDown),
            (true, false) => Some(QuorumChange::Lost),
            (false, true) => Some(QuorumChange::Gained),
            (true, true) | (false, false) => None,
        };
        if let Some(what) = what {
            self.tell_quorum(what, out);
        }
        self.tell_sorry(sorry_before.as_ref(), out);
        if let Some(what) = what {
            self.notice_quorum(what, out);
        }
    }

    /// A reload has taken the virtual server away.
    pub(crate) fn remove(&self, out: &mut Vec<Action>) {
        out.push(Action::Report(Report::Removed(self.cfg.key.clone())));
        for (rs, checks) in self.cfg.real_servers.iter().zip(self.servers.iter()) {
            let held = rs.inhibit_on_failure || (alive(checks) && self.holds(rs));
            self.leave(rs, checks, held, out);
        }
        if self.quorum_met {
            let sums = Sums {
                alive: 0,
                ..self.sums()
            };
            self.notice_virtual(Way::Out, words::quorum(QuorumChange::Lost, &sums), out);
        }
        out.push(Action::Converge(self.cfg.key.clone()));
    }

    /// The daemon ends. Scripts hear of it only with `omega`. `told`: the operator hears of every server.
    pub(crate) fn stop(&self, told: bool, out: &mut Vec<Action>) {
        for (rs, checks) in self.cfg.real_servers.iter().zip(self.servers.iter()) {
            let name = self.name(rs.addr);
            let what = ServerChange::ShuttingDown(match alive(checks) {
                true => Absence::Removed,
                false => absence(rs),
            });
            if told {
                out.push(Action::Report(Report::Server {
                    rs: name.clone(),
                    what,
                }));
            }
            if self.cfg.omega && alive(checks) && self.holds(rs) {
                self.notice_server(&name, Way::Out, out);
            }
        }
        if self.cfg.omega {
            self.notice_virtual(Way::Out, "Shutting down".to_owned(), out);
        }
        out.push(Action::Converge(self.cfg.key.clone()));
    }

    /// Whether the table holds the server, if it is alive.
    fn holds(&self, rs: &RealServer) -> bool {
        rs.inhibit_on_failure || self.sorry_serves().is_none()
    }

    fn leave(&self, rs: &RealServer, checks: &[Health], in_table: bool, out: &mut Vec<Action>) {
        let name = self.name(rs.addr);
        // Who made room for the sorry server was told of then, with the virtual server.
        if !in_table {
            return;
        }
        out.push(Action::Report(Report::Server {
            rs: name.clone(),
            what: ServerChange::Down(Absence::Removed),
        }));
        if alive(checks) {
            // The hooks of the configuration that had it.
            self.notice_server(&name, Way::Out, out);
            self.mail_server(&name, Way::Out, "Removing".to_owned(), out);
        }
    }

    /// A server that both configurations have: takes its known checkers over.
    fn server_stays(
        &mut self,
        (before, mut old): (&RealServer, Vec<Health>),
        rs: &RealServer,
        known: &[Told],
        ids: &mut CheckIds,
        out: &mut Vec<Action>,
    ) {
        let was_alive = alive(&old);
        let had = weight(before, &old);
        let mut old_checkers: Vec<_> = before.checkers.iter().collect();
        let mut one = |new: &Checker| {
            let at = old_checkers.iter().position(|o| o.check == new.check);
            if let Some(at) = at {
                old_checkers.swap_remove(at);
                let mut kept = old.swap_remove(at);
                kept.verdict.reload(new);
                return kept;
            }
            // What serves already goes on serving until the first result.
            let verdict = match was_alive {
                true => Verdict::assumed_up(),
                false => Verdict::new(new),
            };
            with_known(Health::new(verdict, ids.fresh()), &new.check, known)
        };
        let checks: Vec<_> = rs.checkers.iter().map(&mut one).collect();
        let is_alive = alive(&checks);
        self.servers.push(checks);
        self.tell_weight(rs, had, self.servers.len() - 1, out);
        if !was_alive && is_alive {
            let name = self.name(rs.addr);
            let what = ServerChange::Up(absence(before));
            out.push(Action::Report(Report::Server {
                rs: name.clone(),
                what,
            }));
            self.notice_server(&name, Way::In, out);
        }
    }
}
