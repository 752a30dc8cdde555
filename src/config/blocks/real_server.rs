//! `real_server`, and the table of its checkers.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use super::super::source::{Code, Span};
use super::super::table::{Args, Block, Fault, Row, key, raw, sub};
use super::checkers::{
    CheckerDraft, Common, Draft, Kind, Own, PING_CHECK, TCP_CHECK, Timed, TimingDraft,
    connect_timeout, delay_before_retry, delay_loop, retry, warmup,
};
use super::checks::{only_text, text};
use super::command::{self, CommandDraft, Nobody};
use super::lvs_words::{endpoint, method};
use super::root::Trackers;
use super::virtual_server::ServerDraft;
use crate::lvs::checker::{bfd, dns, file, http, misc, smtp, udp};
use crate::model::lvs::Method;

/// A `real_server` block.
#[derive(Clone, Debug)]
pub(crate) struct RealDraft {
    pub(crate) span: Span,
    pub(crate) addr: SocketAddr,
    pub(crate) known: Rc<Trackers>,
    pub(crate) no_script_user: Nobody,
    pub(crate) method: Option<Method>,
    pub(crate) weight: Option<u32>,
    pub(crate) inhibit_on_failure: Option<bool>,
    pub(crate) uthreshold: u32,
    pub(crate) lthreshold: u32,
    /// Boxed because most servers have none, and there may be very many servers.
    pub(crate) timing: Option<Box<TimingDraft>>,
    pub(crate) smtp_alert: Option<bool>,
    pub(crate) virtualhost: Option<Arc<str>>,
    pub(crate) snmp_name: Option<Arc<str>>,
    pub(crate) notify_up: Option<Box<CommandDraft>>,
    pub(crate) notify_down: Option<Box<CommandDraft>>,
    pub(crate) checkers: Vec<CheckerDraft>,
}

impl Timed for RealDraft {
    fn timing(&mut self) -> &mut TimingDraft {
        self.timing.get_or_insert_default()
    }
}

/// Reads the block of a real server.
pub(super) fn real_server(v: &mut ServerDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let addr = endpoint(a, "real server")?;
    let mut real = RealDraft {
        span: a.span(),
        addr,
        known: Rc::clone(&v.known),
        no_script_user: v.no_script_user,
        method: v.method,
        weight: None,
        inhibit_on_failure: None,
        uthreshold: 0,
        lthreshold: 0,
        timing: None,
        smtp_alert: None,
        virtualhost: None,
        snmp_name: None,
        notify_up: None,
        notify_down: None,
        checkers: Vec::new(),
    };
    a.block(&REAL_SERVER, &mut real);
    v.real.push(real);
    Ok(())
}

/// Reads a checker block and keeps what can be used.
fn checker<K: Own>(
    v: &mut RealDraft,
    a: &mut Args<'_, '_>,
    block: &'static Block<Draft<K>>,
) -> Result<(), Fault> {
    let mut draft = Draft {
        common: Common {
            real: v.addr.ip(),
            timing: None,
            connect: None,
            log_all_failures: None,
            known: Rc::clone(&v.known),
            no_script_user: v.no_script_user,
        },
        own: K::default(),
    };
    a.block(block, &mut draft);
    for checker in draft.own.finish(draft.common, a)? {
        let connect = checker.common.connect.as_deref();
        let target = connect.and_then(|c| c.ip).unwrap_or(checker.common.real);
        let bound = connect.is_some_and(|c| c.from.interface.is_some());
        if checker.kind.connects() && is_link_local(target) && !bound {
            let text = format!("Checker link local address {target} requires a bind_if");
            a.report(a.whole_fault(Code::NoValue, text));
            continue;
        }
        if let Kind::Bfd(bfd) = &checker.kind
            && v.checkers
                .iter()
                .any(|c| matches!(&c.kind, Kind::Bfd(o) if o == bfd))
        {
            let text = format!("BFD_CHECK - RS already monitoring {}", bfd.name);
            a.report(a.whole_fault(Code::Duplicate, text));
            continue;
        }
        if v.checkers.is_empty() {
            // Mostly there is one.
            v.checkers.reserve_exact(1);
        }
        v.checkers.push(checker);
    }
    Ok(())
}

fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

pub(crate) static REAL_SERVER: Block<RealDraft> = Block {
    name: "virtual_server/real_server",
    rows: &[
        key(
            "weight",
            "0..=2147483647, default that of the virtual server",
            |v, a| a.int(0..=2_147_483_647_u32).map(|n| v.weight = Some(n)),
        ),
        key("lvs_method", "NAT|DR|TUN", |v, a| {
            method(a).map(|m| v.method = Some(m))
        }),
        key("uthreshold", "connections, 0 = none", |v, a| {
            a.int(0..=u32::MAX).map(|n| v.uthreshold = n)
        }),
        key("lthreshold", "connections, 0 = none", |v, a| {
            a.int(0..=u32::MAX).map(|n| v.lthreshold = n)
        }),
        key("inhibit_on_failure", "[<bool>]", |v, a| {
            a.bool().map(|on| v.inhibit_on_failure = Some(on))
        }),
        key("alpha", "[<bool>]", |v, a| {
            a.bool().map(|on| v.timing().alpha = Some(on))
        }),
        key("retry", "≥ 1", retry),
        key("delay_before_retry", "seconds", delay_before_retry),
        key("warmup", "seconds", warmup),
        key("connect_timeout", "seconds, > 0", connect_timeout),
        key("delay_loop", "seconds, > 0", delay_loop),
        raw(key("notify_up", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.notify_up, v.no_script_user)
        })),
        raw(key("notify_down", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.notify_down, v.no_script_user)
        })),
        key("smtp_alert", "[<bool>]", |v, a| {
            a.bool().map(|on| v.smtp_alert = Some(on))
        }),
        key("virtualhost", "<STRING>", |v, a| {
            text(&mut v.virtualhost, a)
        }),
        key("snmp_name", "<STRING>", |v, a| {
            only_text(&mut v.snmp_name, a)
        }),
    ],
    more: &[CHECKERS],
};

/// The kinds of checkers.
const CHECKERS: &[Row<RealDraft>] = &[
    sub("TCP_CHECK", &TCP_CHECK, |v, a| checker(v, a, &TCP_CHECK)),
    sub("UDP_CHECK", &udp::UDP_CHECK, |v, a| {
        checker(v, a, &udp::UDP_CHECK)
    }),
    sub("HTTP_GET", &http::rows::HTTP_GET, |v, a| {
        checker(v, a, &http::rows::HTTP_GET)
    }),
    sub("SSL_GET", &http::rows::SSL_GET, |v, a| {
        checker(v, a, &http::rows::SSL_GET)
    }),
    sub("SMTP_CHECK", &smtp::SMTP_CHECK, |v, a| {
        checker(v, a, &smtp::SMTP_CHECK)
    }),
    sub("DNS_CHECK", &dns::DNS_CHECK, |v, a| {
        checker(v, a, &dns::DNS_CHECK)
    }),
    sub("PING_CHECK", &PING_CHECK, |v, a| checker(v, a, &PING_CHECK)),
    sub("MISC_CHECK", &misc::MISC_CHECK, |v, a| {
        checker(v, a, &misc::MISC_CHECK)
    }),
    sub("FILE_CHECK", &file::FILE_CHECK, |v, a| {
        checker(v, a, &file::FILE_CHECK)
    }),
    sub("BFD_CHECK", &bfd::BFD_CHECK, |v, a| {
        checker(v, a, &bfd::BFD_CHECK)
    }),
];
