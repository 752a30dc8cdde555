//! `virtual_server`: inheritance, and the corrections after reading.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::scripts::Scripts;
use crate::config::blocks::virtual_server::{
    CheckerDraft, CheckerKind, RealDraft, ServerDraft, Target, TimingDraft,
};
use crate::config::source::{Code, Diag, Diags, Span};
use crate::lvs::checker::Check;
use crate::lvs::checker::tcp::TcpCheck;
use crate::model::lvs::{
    Checker, Method, RealServer, Scheduler, ServiceKey, SorryServer, Transport, VirtualServer,
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

/// Makes the virtual servers that can be used.
pub(super) fn link(
    drafts: Vec<ServerDraft>,
    scripts: &mut Scripts<'_>,
    diags: &mut Diags,
) -> Vec<Arc<VirtualServer>> {
    let mut keys = HashSet::new();
    let mut found = Vec::new();
    for draft in drafts {
        if let Some(server) = one(draft, scripts, diags) {
            // The second of two equal ones is the one keepalived ends up with; the kernel has one service for both.
            if keys.insert(server.key) {
                found.push(Arc::new(server));
            } else if let Some(slot) = found
                .iter_mut()
                .find(|s: &&mut Arc<VirtualServer>| s.key == server.key)
            {
                *slot = Arc::new(server);
            }
        }
    }
    found
}

fn one(draft: ServerDraft, scripts: &mut Scripts<'_>, diags: &mut Diags) -> Option<VirtualServer> {
    let span = draft.span;
    let at = match &draft.target {
        Target::Address(at) => *at,
        Target::Fwmark(_) | Target::Group(_) => {
            let text =
                "virtual servers by fwmark and by group are understood but have no effect yet";
            diags.push(Diag::at(span, Code::NoEffectYet, text));
            return None;
        }
    };
    run_scripts(&draft, scripts, diags);
    let mut say =
        |span: Span, code: Code, text: String| diags.push(Diag::bare(Some(span), code, text));
    let named = |t: Option<Transport>| format!("[{}]:{}:{}", at.ip(), word(t), at.port());
    let transport = draft.transport.unwrap_or_else(|| {
        let text = format!(
            "Virtual server {}: no protocol set - defaulting to UDP",
            named(None)
        );
        say(span, Code::Defaulted, text);
        Transport::Udp
    });
    let name = named(Some(transport));
    let mut persistence = draft.persistence;
    if at.port() == 0 && persistence.is_none() {
        say(
            span,
            Code::Defaulted,
            format!("Virtual server {name}: persistence is needed without a port - setting 360"),
        );
        persistence = Some(PERSISTENCE);
    }
    let scheduler = draft.scheduler.unwrap_or_else(|| {
        say(
            span,
            Code::Defaulted,
            format!("Virtual server {name}: no scheduler set, setting default 'wlc'"),
        );
        Scheduler::Wlc
    });
    let mut real_servers = Vec::new();
    let mut seen = HashSet::new();
    let mut no_method = false;
    for rs in &draft.real {
        let real_name = format!(
            "[{}]:{}:{}",
            rs.addr.ip(),
            word(Some(transport)),
            rs.addr.port()
        );
        let method = rs.method.or(draft.method).unwrap_or_else(|| {
            no_method = true;
            Method::Nat
        });
        if rs.addr.is_ipv4() != at.ip().is_ipv4() && method != Method::Tun {
            let text = format!(
                "Address family of virtual server and real server {} don't match - skipping real server.",
                rs.addr.ip()
            );
            say(rs.span, Code::WrongFamily, text);
            continue;
        }
        if !seen.insert(rs.addr) {
            let text =
                format!("VS {name}: real server {real_name} is duplicated - removing second rs");
            say(rs.span, Code::Duplicate, text);
            continue;
        }
        let addr = real_port(rs, method, at.port()).unwrap_or_else(|addr| {
            let text =
                format!("WARNING - virtual server {name} and real server {real_name} ports don't match - resetting");
            say(rs.span, Code::Conflict, text);
            addr
        });
        real_servers.push(real(rs, addr, method, &draft));
    }
    if no_method {
        say(
            span,
            Code::Defaulted,
            format!("Virtual server {name}: no forwarding method set, setting default NAT"),
        );
    }
    if real_servers.is_empty() {
        say(
            span,
            Code::NoRealServer,
            format!("Virtual server {name} has no real servers - ignoring"),
        );
        return None;
    }
    let total: u64 = real_servers.iter().map(|r| u64::from(r.weight)).sum();
    let mut quorum = draft.quorum;
    if u64::from(quorum) > total {
        let text = format!(
            "Warning - quorum {quorum} for {name} exceeds total weight of real servers {total}, reducing quorum to {total}"
        );
        say(span, Code::Conflict, text);
        quorum = u32::try_from(total).unwrap_or(u32::MAX).max(1);
    }
    let mut hysteresis = draft.hysteresis;
    if hysteresis >= quorum && hysteresis > 0 {
        say(
            span,
            Code::Conflict,
            format!("Virtual server {name}: hysteresis must be below the quorum - reducing"),
        );
        hysteresis = quorum - 1;
    }
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
    })
}

/// Looks at the scripts of a virtual server.
fn run_scripts(draft: &ServerDraft, scripts: &mut Scripts<'_>, diags: &mut Diags) {
    let of_real = draft
        .real
        .iter()
        .flat_map(|r| [&r.notify_up, &r.notify_down]);
    let of_checkers = draft
        .real
        .iter()
        .flat_map(|r| r.checkers.iter().map(|c| &c.script));
    for script in [&draft.quorum_up, &draft.quorum_down]
        .into_iter()
        .chain(of_real)
        .chain(of_checkers)
    {
        scripts.notify(script.clone(), diags);
    }
}

/// The port that packets reach the real server at. `Err`: another one was asked for, which only NAT can do.
fn real_port(rs: &RealDraft, method: Method, port: u16) -> Result<SocketAddr, SocketAddr> {
    let at = SocketAddr::new(rs.addr.ip(), port);
    match (method, rs.addr.port()) {
        (Method::Nat, 0) => Ok(at),
        (Method::Nat, _) => Ok(rs.addr),
        (Method::Dr | Method::Tun, given) if given == 0 || given == port => Ok(at),
        (Method::Dr | Method::Tun, _) => Err(at),
    }
}

fn real(rs: &RealDraft, addr: SocketAddr, method: Method, vs: &ServerDraft) -> RealServer {
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
