//! The servers behind a virtual server: real ones, the sorry server, and how many make a quorum.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::{Settling, checkers, word};
use crate::config::blocks::real_server::RealDraft;
use crate::config::blocks::virtual_server::Target;
use crate::config::source::{Code, Span};
use crate::model::lvs::{GroupEntry, Hooks, Method, RealServer, RealTerms, SorryServer};
use crate::model::net::Family;

impl Settling<'_, '_, '_, '_> {
    /// Whether a server of that family can be used; the first one that is not tunnelled decides it.
    fn fits(&mut self, addr: SocketAddr, method: Method) -> bool {
        let family = Family::from(addr.ip());
        method.is_tunnel() || *self.family.get_or_insert(family) == family
    }

    pub(super) fn real_servers(&mut self) -> Option<Vec<RealServer>> {
        let draft = self.draft;
        let real = std::mem::take(&mut self.real);
        let mut found = Vec::with_capacity(real.len());
        let mut seen = HashSet::with_capacity(real.len());
        let mut no_method = false;
        for rs in real {
            let method = rs.method.or(draft.method).unwrap_or_else(|| {
                no_method = true;
                Method::Nat
            });
            if !self.fits(rs.addr, method) {
                let text = format!(
                    "Address family of virtual server and real server {} don't match - skipping real server.",
                    rs.addr.ip()
                );
                self.say_at(rs.span, Code::WrongFamily, text);
                continue;
            }
            if !seen.insert(rs.addr) {
                let (vs, rs_name) = (&self.name, self.real_name(rs.addr));
                let text =
                    format!("VS {vs}: real server {rs_name} is duplicated - removing second rs");
                self.say_at(rs.span, Code::Duplicate, text);
                continue;
            }
            let addr = self.port(rs.span, rs.addr, method, "real server");
            found.push(self.real(rs, addr, method));
        }
        if no_method {
            let text = format!(
                "Virtual server {}: no forwarding method set, setting default NAT",
                self.name
            );
            self.say(Code::Defaulted, text);
        }
        if found.is_empty() {
            return self.no_real_server();
        }
        Some(found)
    }

    pub(super) fn no_real_server<T>(&mut self) -> Option<T> {
        let text = format!(
            "Virtual server {} has no real servers - ignoring",
            self.name
        );
        self.say(Code::NoRealServer, text);
        None
    }

    fn real_name(&self, addr: SocketAddr) -> String {
        format!("[{}]:{}:{}", addr.ip(), word(self.transport), addr.port())
    }

    /// Where packets reach a server: only NAT can change the port.
    fn port(&mut self, span: Span, addr: SocketAddr, method: Method, what: &str) -> SocketAddr {
        let (given, nat) = (addr.port(), method == Method::Nat);
        match (&self.draft.target, self.at) {
            (Target::Address(_), Some(at)) => {
                if nat && given != 0 {
                    return addr;
                }
                if given != 0 && given != at.port() {
                    let (vs, name) = (&self.name, self.real_name(addr));
                    let text = format!(
                        "WARNING - virtual server {vs} and {what} {name} ports don't match - resetting"
                    );
                    self.say_at(span, Code::Conflict, text);
                }
                SocketAddr::new(addr.ip(), at.port())
            }
            (Target::Fwmark(_), _) | (Target::Address(_), None) => {
                if nat {
                    return addr;
                }
                if given != 0 {
                    let (vs, name) = (&self.name, self.real_name(addr));
                    let text = format!(
                        "WARNING - fwmark virtual server {vs}, {what} {name} has port specified - clearing"
                    );
                    self.say_at(span, Code::Conflict, text);
                }
                SocketAddr::new(addr.ip(), 0)
            }
            (Target::Group(_), _) => {
                let other = |e: &GroupEntry| match e {
                    GroupEntry::Addresses { port, .. } => *port != given,
                    GroupEntry::Fwmark { .. } => false,
                };
                if !nat && given != 0 && self.entries.iter().any(other) {
                    let (vs, name) = (&self.name, self.real_name(addr));
                    let text = format!("virtual server {vs} and {what} {name} ports don't match");
                    self.say_at(span, Code::Conflict, text);
                }
                addr
            }
        }
    }

    fn real(&mut self, mut rs: RealDraft, addr: SocketAddr, method: Method) -> RealServer {
        let vs = self.draft;
        let up = self.script(rs.notify_up.take());
        let down = self.script(rs.notify_down.take());
        let (uthreshold, lthreshold) = checkers::thresholds(&rs, &mut self.around);
        // A port that means nothing to the kernel still means something to checkers.
        let target = match addr.port() {
            0 => rs.addr,
            _ => addr,
        };
        let checkers = checkers::checkers(&mut rs, target, vs, self.servers, &mut self.around);
        let mail = &self.around.global.mail;
        let alert = mail.alert_checker.or(mail.alert);
        let terms = RealTerms {
            method,
            inhibit_on_failure: rs.inhibit_on_failure.unwrap_or(vs.inhibit_on_failure),
            uthreshold,
            lthreshold,
            virtualhost: rs.virtualhost.or_else(|| vs.virtualhost.clone()),
            snmp_name: rs.snmp_name.take(),
            hooks: Hooks {
                up,
                down,
                mail: rs.smtp_alert.or(alert).unwrap_or(true),
            },
        };
        RealServer {
            addr,
            weight: rs.weight.unwrap_or(vs.weight),
            terms: self.servers.terms.shared(terms),
            checkers,
        }
    }

    pub(super) fn sorry_server(&mut self, real_servers: &[RealServer]) -> Option<SorryServer> {
        let draft = self.draft;
        let sorry = draft.sorry.as_ref()?;
        let method = sorry.method.or(draft.method).unwrap_or(Method::Nat);
        if !self.fits(sorry.addr, method) {
            let text = format!(
                "Address family of virtual server and sorry server {} don't match - skipping sorry server.",
                sorry.addr.ip()
            );
            self.say(Code::WrongFamily, text);
            return None;
        }
        let addr = self.port(draft.span, sorry.addr, method, "sorry server");
        let double = real_servers.iter().find(|rs| rs.addr == addr);
        Some(SorryServer {
            addr,
            method,
            inhibit: double.map_or(sorry.inhibit, |rs| rs.inhibit_on_failure),
        })
    }

    pub(super) fn quorum(&mut self, real_servers: &[RealServer]) -> (u32, u32) {
        let (mut quorum, mut hysteresis) = (self.draft.quorum, self.draft.hysteresis);
        let total: u64 = real_servers.iter().map(|r| u64::from(r.weight)).sum();
        if u64::from(quorum) > total {
            let text = format!(
                "Warning - quorum {quorum} for {} exceeds total weight of real servers {total}, reducing quorum to {total}",
                self.name
            );
            self.say(Code::Conflict, text);
            quorum = u32::try_from(total).unwrap_or(u32::MAX).max(1);
        }
        if hysteresis >= quorum {
            let text = format!(
                "Virtual server {}: hysteresis {hysteresis} >= quorum {quorum}; setting hysteresis to {}",
                self.name,
                quorum - 1
            );
            self.say(Code::Conflict, text);
            hysteresis = quorum - 1;
        }
        (quorum, hysteresis)
    }
}
