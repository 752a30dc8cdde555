//! Checkers: what they inherit from their real and virtual server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Around;
use crate::config::blocks::checkers::{CheckerDraft, Common, Kind, TimingDraft};
use crate::config::blocks::real_server::RealDraft;
use crate::config::blocks::virtual_server::ServerDraft;
use crate::config::source::{Code, Diag};
use crate::lvs::checker::Check;
use crate::lvs::checker::connect::Connect;
use crate::lvs::checker::file::File;
use crate::lvs::checker::misc::Misc;
use crate::model::lvs::Checker;
use crate::model::track::Weight;

const DELAY_LOOP: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a kind of checker takes where nothing is said.
struct Defaults {
    retry: u32,
    /// `None`: `delay_loop`.
    delay_before_retry: Option<Duration>,
}

fn defaults(kind: &Kind) -> Defaults {
    let of = |retry, seconds: Option<u64>| Defaults {
        retry,
        delay_before_retry: seconds.map(Duration::from_secs),
    };
    match kind {
        Kind::Tcp | Kind::Udp(_) | Kind::Smtp(_) | Kind::Ping => of(1, Some(1)),
        Kind::Http(_) => of(1, Some(3)),
        Kind::Dns(_) => of(3, None),
        Kind::Misc(_) => of(0, Some(1)),
        // Told by others, who have done all the retrying.
        Kind::File(_) | Kind::Bfd(_) => of(0, Some(1)),
    }
}

/// The checkers of a real server that can be run. `addr`: where they connect to if they do not say.
pub(super) fn checkers(
    rs: &RealDraft,
    addr: SocketAddr,
    vs: &ServerDraft,
    around: &mut Around<'_, '_>,
) -> Vec<Checker> {
    let drafts = rs.checkers.iter();
    drafts
        .filter_map(|c| {
            let check = check(c, rs, addr, vs, around)?;
            Some(timed(c, check, &rs.timing, &vs.timing, around))
        })
        .collect()
}

/// What is said nearest wins: checker, real server, virtual server, default.
fn timed(
    c: &CheckerDraft,
    check: Check,
    rs: &TimingDraft,
    vs: &TimingDraft,
    around: &Around<'_, '_>,
) -> Checker {
    let levels = [&c.common.timing, rs, vs];
    let nearest = |of: fn(&TimingDraft) -> Option<Duration>| levels.iter().find_map(|t| of(t));
    let delay_loop = nearest(|t| t.delay_loop).unwrap_or(DELAY_LOOP);
    let defaults = defaults(&c.kind);
    let told = matches!(check, Check::File(_));
    let log_all = c.common.log_all_failures;
    Checker {
        delay_loop,
        connect_timeout: nearest(|t| t.connect_timeout).unwrap_or(CONNECT_TIMEOUT),
        retry: levels
            .iter()
            .find_map(|t| t.retry)
            .unwrap_or(defaults.retry),
        delay_before_retry: nearest(|t| t.delay_before_retry)
            .or(defaults.delay_before_retry)
            .unwrap_or(delay_loop),
        warmup: nearest(|t| t.warmup).unwrap_or(delay_loop),
        // What is in a file is known from the start.
        alpha: !told && levels.iter().find_map(|t| t.alpha).unwrap_or(false),
        log_all_failures: log_all.unwrap_or(around.global.log_all_failures),
        check,
    }
}

/// `None`: it cannot be run, which was said.
fn check(
    c: &CheckerDraft,
    rs: &RealDraft,
    addr: SocketAddr,
    vs: &ServerDraft,
    around: &mut Around<'_, '_>,
) -> Option<Check> {
    let connect = connect(&c.common, addr);
    Some(match &c.kind {
        Kind::Tcp => Check::Tcp(connect),
        Kind::Ping => Check::Ping(connect),
        Kind::Udp(options) => Check::Udp(connect, options.clone()),
        Kind::Smtp(options) => Check::Smtp(connect, options.clone()),
        Kind::Dns(options) => Check::Dns(connect, options.clone()),
        Kind::Http(draft) => {
            let host = rs.virtualhost.as_ref().or(vs.virtualhost.as_ref());
            let options = draft.clone().resolve(host.cloned(), &around.ssl);
            Check::Http(connect, Arc::new(options))
        }
        Kind::Misc(draft) => {
            let script = around.scripts.notify(draft.script.clone(), around.diags)?;
            let timeout = draft.timeout.or(vs.timing.delay_loop);
            Check::Misc(Misc {
                command: script.command.clone(),
                timeout: timeout.unwrap_or(DELAY_LOOP),
                dynamic: draft.dynamic,
            })
        }
        Kind::File(draft) => {
            let file = around
                .files
                .iter()
                .find(|f| Some(&f.name) == draft.file.as_ref())?;
            let (weight, reverse) = match draft.weight {
                Some((weight, reverse)) => (weight, reverse),
                None => match file.weight {
                    Weight::Fault => (0, None),
                    Weight::Adjust(weight) => (weight.into(), None),
                },
            };
            Check::File(File {
                file: Arc::clone(&file.name),
                weight,
                reverse: reverse.unwrap_or(file.reverse),
            })
        }
        Kind::Bfd(options) => Check::Bfd(options.clone()),
    })
}

fn connect(c: &Common, addr: SocketAddr) -> Connect {
    let d = &c.connect;
    let (ip, port) = (d.ip.unwrap_or(addr.ip()), d.port.unwrap_or(addr.port()));
    Connect {
        bind_addr: d.bind_ip,
        bind_port: d.bind_port,
        bind_if: d.bind_if.clone(),
        fwmark: d.fwmark,
        ..Connect::to(SocketAddr::new(ip, port))
    }
}

/// Thresholds that the kernel takes: the lower one must not be above the upper one.
pub(super) fn thresholds(rs: &RealDraft, around: &mut Around<'_, '_>) -> (u32, u32) {
    if rs.lthreshold > rs.uthreshold {
        let text = format!(
            "lthreshold {} is above uthreshold {} - ignored",
            rs.lthreshold, rs.uthreshold
        );
        let weight = crate::config::source::Weight::Log;
        around
            .diags
            .push(Diag::at(rs.span, Code::Conflict, text).weighing(weight));
        return (rs.uthreshold, 0);
    }
    (rs.uthreshold, rs.lthreshold)
}
