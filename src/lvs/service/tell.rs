//! What a virtual server tells: lines for the operator, notices for scripts, FIFOs and mail.

use std::sync::Arc;

use super::{Service, alive, told, weight};
use crate::daemon::bus::Notice;
use crate::lvs::{
    Absence, Action, QuorumChange, Report, Rs, Said, ServerChange, SorryChange, Way, words,
};
use crate::model::lvs::{Hooks, RealServer, SorryServer};
use crate::model::track::NotifyScript;

impl Service {
    /// `rs_init_notifies`.
    pub(super) fn tell_all_alive(&self, out: &mut Vec<Action>) {
        for (rs, checks) in self.cfg.real_servers.iter().zip(self.servers.iter()) {
            if alive(checks) {
                self.notice_server(&self.name(rs.addr), Way::In, out);
            }
        }
    }

    /// The same about every checker.
    pub(crate) fn tell_checkers(&self, said: &Said, out: &mut Vec<Action>) {
        for rs in &self.cfg.real_servers {
            let name = self.name(rs.addr);
            out.extend(rs.checkers.iter().map(|c| told(&name, c, said.clone())));
        }
    }

    /// Reports a sorry server that begins to serve, or no longer does. `before`: the one that served until now.
    pub(super) fn tell_sorry(&self, before: Option<&SorryServer>, out: &mut Vec<Action>) {
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

    pub(super) fn tell_quorum(&self, what: QuorumChange, out: &mut Vec<Action>) {
        let (vs, sums) = (self.cfg.key.clone(), self.sums());
        out.push(Action::Report(Report::Quorum { vs, what, sums }));
    }

    pub(super) fn notice_quorum(&self, what: QuorumChange, out: &mut Vec<Action>) {
        let way = if self.quorum_met { Way::In } else { Way::Out };
        self.notice_virtual(way, words::quorum(what, &self.sums()), out);
    }

    /// `text`: of the mail.
    pub(super) fn notice_virtual(&self, way: Way, text: String, out: &mut Vec<Action>) {
        let vs: Arc<str> = self.cfg.key.to_string().into();
        out.push(Action::Notice(Notice::VirtualServer {
            vs: Arc::clone(&vs),
            up: way == Way::In,
            script: hook(&self.cfg.hooks, way),
        }));
        if self.cfg.hooks.mail {
            out.push(Action::Notice(Notice::ServerMail {
                vs,
                rs: None,
                up: way == Way::In,
                text: text.into(),
            }));
        }
    }

    pub(super) fn notice_server(&self, name: &Rs, way: Way, out: &mut Vec<Action>) {
        out.push(Action::Notice(Notice::RealServer {
            vs: name.vs.to_string().into(),
            rs: name.to_string().into(),
            up: way == Way::In,
            script: self.hooks(name).and_then(|h| hook(h, way)),
        }));
    }

    pub(super) fn mail_server(&self, name: &Rs, way: Way, text: String, out: &mut Vec<Action>) {
        if self.hooks(name).is_some_and(|h| h.mail) {
            out.push(Action::Notice(Notice::ServerMail {
                vs: name.vs.to_string().into(),
                rs: Some(name.to_string().into()),
                up: way == Way::In,
                text: text.into(),
            }));
        }
    }

    fn hooks(&self, name: &Rs) -> Option<&Hooks> {
        let mut servers = self.cfg.real_servers.iter();
        servers.find(|rs| rs.addr == name.addr).map(|rs| &rs.hooks)
    }

    /// A reload has changed the weight in the configuration.
    pub(super) fn tell_weight(
        &self,
        rs: &RealServer,
        from: u32,
        server: usize,
        out: &mut Vec<Action>,
    ) {
        let Some(checks) = self.servers.get(server) else {
            return;
        };
        let to = weight(rs, checks);
        if from != to {
            let active = if alive(checks) { Way::In } else { Way::Out };
            out.push(Action::Report(Report::Server {
                rs: self.name(rs.addr),
                what: ServerChange::Weight { from, to, active },
            }));
        }
    }
}

fn hook(hooks: &Hooks, way: Way) -> Option<Arc<NotifyScript>> {
    match way {
        Way::In => hooks.up.clone(),
        Way::Out => hooks.down.clone(),
    }
}
