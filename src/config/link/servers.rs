//! `virtual_server`: inheritance, and the corrections after reading.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::scripts::Scripts;
use crate::config::blocks::virtual_server::{
    CheckerDraft, CheckerKind, RealDraft, ServerDraft, Target, TimingDraft,
};
use crate::config::source::{Code, Diag, Diags, Span, Weight};
use crate::lvs::checker::Check;
use crate::lvs::checker::tcp::TcpCheck;
use crate::model::global::Mail;
use crate::model::lvs::{
    Checker, Hooks, Method, RealServer, Scheduler, ServiceKey, SorryServer, Transport,
    VirtualServer,
};

const DELAY_LOOP: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Persistence that a server without a port must have.
const PERSISTENCE: Duration = Duration::from_secs(360);

/// How messages name the transport.
fn word(transport: Option<Transport>) -> &'static str {
    match transport {
        Some(Transport::Tcp) => "tcp",
        Some(Transport::Udp) => "udp",
        Some(Transport::Sctp) => "sctp",
        None => "none",
    }
}

/// Makes the virtual servers that can be used. `groups`: the ports of each `virtual_server_group`.
pub(super) fn link(
    drafts: Vec<ServerDraft>,
    groups: &HashMap<String, Vec<u16>>,
    mail: &Mail,
    scripts: &mut Scripts<'_>,
    diags: &mut Diags,
) -> Vec<Arc<VirtualServer>> {
    let mut places: HashMap<ServiceKey, usize> = HashMap::new();
    let mut found: Vec<Arc<VirtualServer>> = Vec::new();
    for draft in drafts {
        let Some(server) =
            Settling::of(&draft, groups, diags).and_then(|s| s.finish(mail, scripts))
        else {
            continue;
        };
        // keepalived lets the second of two equal ones stand; the kernel has one service for both, so the second counts.
        match places.get(&server.key) {
            Some(at) => found[*at] = Arc::new(server),
            None => {
                places.insert(server.key, found.len());
                found.push(Arc::new(server));
            }
        }
    }
    found
}

/// A virtual server whose settings are being completed and corrected, in keepalived's order.
struct Settling<'a> {
    draft: &'a ServerDraft,
    diags: &'a mut Diags,
    /// Without an address: by fwmark or group.
    at: Option<SocketAddr>,
    /// The ports of its group.
    group_ports: &'a [u16],
    transport: Option<Transport>,
    name: String,
}

impl<'a> Settling<'a> {
    /// `None`: its group does not exist, which is only logged.
    fn of(
        draft: &'a ServerDraft,
        groups: &'a HashMap<String, Vec<u16>>,
        diags: &'a mut Diags,
    ) -> Option<Self> {
        let mut group_ports = &[][..];
        let at = match &draft.target {
            Target::Address(at) => Some(*at),
            Target::Fwmark(_) => None,
            Target::Group(name) => {
                let Some(ports) = groups.get(name) else {
                    let text = format!("Virtual server group {name} does not exist - ignoring");
                    diags.push(
                        Diag::bare(Some(draft.span), Code::NotFound, text).weighing(Weight::Log),
                    );
                    return None;
                };
                group_ports = ports;
                None
            }
        };
        let mut s = Self {
            draft,
            diags,
            at,
            group_ports,
            transport: draft.transport,
            name: String::new(),
        };
        s.rename();
        Some(s)
    }

    /// What messages call it.
    fn rename(&mut self) {
        self.name = match (&self.draft.target, self.at) {
            (Target::Fwmark(mark), _) => format!("FWM {mark}"),
            (Target::Group(name), _) => format!("[{name}]:0"),
            (Target::Address(at), _) => {
                format!("[{}]:{}:{}", at.ip(), word(self.transport), at.port())
            }
        };
    }

    fn say(&mut self, code: Code, text: String) {
        self.say_at(self.draft.span, code, text);
    }

    fn say_at(&mut self, span: Span, code: Code, text: String) {
        self.diags.push(Diag::bare(Some(span), code, text));
    }

    /// `None`: nothing that could be used, or not built yet.
    fn finish(mut self, mail: &Mail, scripts: &mut Scripts<'_>) -> Option<VirtualServer> {
        let draft = self.draft;
        if draft.real.is_empty() {
            return self.no_real_server();
        }
        let (of_virtual, of_real) = hooks(draft, mail, scripts, self.diags);
        let transport = self.protocol();
        let persistence = self.persistence();
        let scheduler = draft.scheduler.unwrap_or_else(|| {
            let text = format!(
                "Virtual server {}: no scheduler set, setting default 'wlc'",
                self.name
            );
            self.say(Code::Defaulted, text);
            Scheduler::Wlc
        });
        let real_servers = self.real_servers(of_real)?;
        let (quorum, hysteresis) = self.quorum(&real_servers);
        let Some(at) = self.at else {
            let text =
                "virtual servers by fwmark and by group are understood but have no effect yet";
            self.diags
                .push(Diag::at(draft.span, Code::NoEffectYet, text));
            return None;
        };
        let sorry_server = draft.sorry.as_ref().map(|s| SorryServer {
            addr: if s.addr.port() == 0 {
                SocketAddr::new(s.addr.ip(), at.port())
            } else {
                s.addr
            },
            method: s.method.or(draft.method).unwrap_or(Method::Nat),
            inhibit: s.inhibit,
        });
        Some(VirtualServer {
            key: ServiceKey::Address {
                addr: at.ip(),
                port: at.port(),
                transport,
            },
            scheduler,
            persistence,
            quorum,
            hysteresis,
            alpha: draft.timing.alpha.unwrap_or(false),
            omega: draft.omega,
            real_servers,
            sorry_server,
            hooks: of_virtual,
        })
    }

    fn protocol(&mut self) -> Transport {
        let draft = self.draft;
        match (&draft.target, self.transport) {
            (Target::Address(_), None) => {
                let text = format!(
                    "Virtual server {}: no protocol set - defaulting to UDP",
                    self.name
                );
                self.say(Code::Defaulted, text);
                self.transport = Some(Transport::Udp);
                self.rename();
            }
            (Target::Fwmark(_), Some(_)) => {
                let text = format!(
                    "Warning: Virtual server {}: protocol specified for fwmark - protocol will be ignored",
                    self.name
                );
                self.say(Code::Useless, text);
                self.transport = None;
            }
            (Target::Address(_), Some(_)) | (Target::Fwmark(_), None) | (Target::Group(_), _) => {}
        }
        let transport = self.transport.unwrap_or(Transport::Udp);
        if draft.ops && transport != Transport::Udp {
            let text = format!(
                "Virtual server {}: one packet scheduling requires UDP - resetting",
                self.name
            );
            self.say(Code::Conflict, text);
        }
        transport
    }

    /// Without a port there must be persistence.
    fn persistence(&mut self) -> Option<Duration> {
        let no_port = match self.at {
            Some(at) => at.port() == 0,
            None => self.group_ports.contains(&0),
        };
        if no_port && self.draft.persistence.is_none() {
            let text = format!(
                "Virtual server {}: zero port only valid for persistent services - setting",
                self.name
            );
            self.say(Code::Defaulted, text);
            return Some(PERSISTENCE);
        }
        self.draft.persistence
    }

    fn real_servers(&mut self, hooks: Vec<Hooks>) -> Option<Vec<RealServer>> {
        let draft = self.draft;
        let mut found = Vec::with_capacity(draft.real.len());
        let mut seen = HashSet::with_capacity(draft.real.len());
        let mut no_method = false;
        for (rs, hooks) in draft.real.iter().zip(hooks) {
            let method = rs.method.or(draft.method).unwrap_or_else(|| {
                no_method = true;
                Method::Nat
            });
            if self.at.is_some_and(|at| at.is_ipv4() != rs.addr.is_ipv4()) && method != Method::Tun
            {
                let text = format!(
                    "Address family of virtual server and real server {} don't match - skipping real server.",
                    rs.addr.ip()
                );
                self.say_at(rs.span, Code::WrongFamily, text);
                continue;
            }
            if !seen.insert(rs.addr) {
                let (vs, rs_name) = (&self.name, self.real_name(rs));
                let text =
                    format!("VS {vs}: real server {rs_name} is duplicated - removing second rs");
                self.say_at(rs.span, Code::Duplicate, text);
                continue;
            }
            let addr = self.real_port(rs, method);
            found.push(real(rs, addr, method, draft, hooks));
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

    fn no_real_server<T>(&mut self) -> Option<T> {
        let text = format!(
            "Virtual server {} has no real servers - ignoring",
            self.name
        );
        self.say(Code::NoRealServer, text);
        None
    }

    fn real_name(&self, rs: &RealDraft) -> String {
        format!(
            "[{}]:{}:{}",
            rs.addr.ip(),
            word(self.transport),
            rs.addr.port()
        )
    }

    /// Where packets reach the real server: only NAT can change the port.
    fn real_port(&mut self, rs: &RealDraft, method: Method) -> SocketAddr {
        let (given, nat) = (rs.addr.port(), method == Method::Nat);
        let (vs, name) = (self.name.clone(), self.real_name(rs));
        match (&self.draft.target, self.at) {
            (Target::Address(_), Some(at)) => {
                if nat {
                    return if given == 0 {
                        SocketAddr::new(rs.addr.ip(), at.port())
                    } else {
                        rs.addr
                    };
                }
                if given != 0 && given != at.port() {
                    let text = format!(
                        "WARNING - virtual server {vs} and real server {name} ports don't match - resetting"
                    );
                    self.say_at(rs.span, Code::Conflict, text);
                }
                SocketAddr::new(rs.addr.ip(), at.port())
            }
            (Target::Fwmark(_), _) | (Target::Address(_), None) => {
                if !nat && given != 0 {
                    let text = format!(
                        "WARNING - fwmark virtual server {vs}, real server {name} has port specified - clearing"
                    );
                    self.say_at(rs.span, Code::Conflict, text);
                }
                rs.addr
            }
            (Target::Group(_), _) => {
                if !nat && given != 0 && self.group_ports.iter().any(|p| *p != given) {
                    let text =
                        format!("virtual server {vs} and real server {name} ports don't match");
                    self.say_at(rs.span, Code::Conflict, text);
                }
                rs.addr
            }
        }
    }

    fn quorum(&mut self, real_servers: &[RealServer]) -> (u32, u32) {
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
                "Warning - hysteresis {hysteresis} for {} must be less than quorum {quorum}, reducing",
                self.name
            );
            self.say(Code::Conflict, text);
            hysteresis = quorum - 1;
        }
        (quorum, hysteresis)
    }
}

/// The hooks of a virtual server and those of its real servers, in file order.
fn hooks(
    draft: &ServerDraft,
    mail: &Mail,
    scripts: &mut Scripts<'_>,
    diags: &mut Diags,
) -> (Hooks, Vec<Hooks>) {
    let alert = mail.alert_checker.or(mail.alert);
    let of_virtual = Hooks {
        up: scripts.notify(draft.quorum_up.clone(), diags),
        down: scripts.notify(draft.quorum_down.clone(), diags),
        mail: draft.smtp_alert.or(alert).unwrap_or(false),
    };
    let of_real = draft.real.iter().map(|r| Hooks {
        up: scripts.notify(r.notify_up.clone(), diags),
        down: scripts.notify(r.notify_down.clone(), diags),
        mail: r.smtp_alert.or(alert).unwrap_or(true),
    });
    let of_real = of_real.collect();
    for checker in draft.real.iter().flat_map(|r| &r.checkers) {
        scripts.notify(checker.script.clone(), diags);
    }
    (of_virtual, of_real)
}

fn real(
    rs: &RealDraft,
    addr: SocketAddr,
    method: Method,
    vs: &ServerDraft,
    hooks: Hooks,
) -> RealServer {
    RealServer {
        addr,
        weight: rs.weight.unwrap_or(vs.weight),
        method,
        inhibit_on_failure: rs.inhibit_on_failure.unwrap_or(vs.inhibit_on_failure),
        uthreshold: rs.uthreshold,
        lthreshold: rs.lthreshold,
        checkers: rs
            .checkers
            .iter()
            .filter(|c| c.kind == CheckerKind::Tcp)
            .map(|c| checker(c, addr, &rs.timing, &vs.timing))
            .collect(),
        hooks,
    }
}

/// What is said nearest wins: checker, real server, virtual server, default.
fn checker(c: &CheckerDraft, addr: SocketAddr, rs: &TimingDraft, vs: &TimingDraft) -> Checker {
    let levels = [&c.timing, rs, vs];
    let nearest = |of: fn(&TimingDraft) -> Option<Duration>| levels.iter().find_map(|t| of(t));
    let delay_loop = nearest(|t| t.delay_loop).unwrap_or(DELAY_LOOP);
    let target = SocketAddr::new(
        c.connect.ip.unwrap_or(addr.ip()),
        c.connect.port.unwrap_or(addr.port()),
    );
    Checker {
        check: Check::Tcp(TcpCheck {
            target,
            bind_addr: c.connect.bind_ip,
            bind_port: c.connect.bind_port,
            bind_if: c.connect.bind_if.clone(),
            fwmark: c.connect.fwmark,
        }),
        delay_loop,
        connect_timeout: nearest(|t| t.connect_timeout).unwrap_or(CONNECT_TIMEOUT),
        retry: levels.iter().find_map(|t| t.retry).unwrap_or(1),
        delay_before_retry: nearest(|t| t.delay_before_retry).unwrap_or(Duration::from_secs(1)),
        warmup: nearest(|t| t.warmup).unwrap_or(delay_loop),
        alpha: levels.iter().find_map(|t| t.alpha).unwrap_or(false),
        log_all_failures: c.log_all_failures.unwrap_or(false),
    }
}
