//! Checkers: what they inherit from their real and virtual server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Around, Servers};
use crate::config::blocks::checkers::{CheckerDraft, Common, Kind, TimingDraft};
use crate::config::blocks::real_server::RealDraft;
use crate::config::blocks::virtual_server::ServerDraft;
use crate::config::source::{Code, Diag};
use crate::lvs::checker::Check;
use crate::lvs::checker::connect::{Connect, Source};
use crate::lvs::checker::file::File;
use crate::lvs::checker::misc::Misc;
use crate::model::few::Few;
use crate::model::lvs::{Checker, Timing};
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
    rs: &mut RealDraft,
    addr: SocketAddr,
    vs: &ServerDraft,
    servers: &mut Servers<'_>,
    around: &mut Around<'_, '_>,
) -> Few<Checker> {
    let drafts = std::mem::take(&mut rs.checkers);
    let mut found = Vec::with_capacity(drafts.len());
    for mut c in drafts {
        let timing = timing(&c, rs.timing.as_deref(), &vs.timing, around);
        let host = rs.virtualhost.as_ref().or(vs.virtualhost.as_ref());
        let connect = connect(&mut c.common, addr);
        if let Some(check) = check(c.kind, connect, host, vs, servers, around) {
            let timing = servers.timings.shared(timing);
            found.push(Checker { check, timing });
        }
    }
    found.into()
}

/// What is said nearest wins: checker, real server, virtual server, default.
fn timing(
    c: &CheckerDraft,
    rs: Option<&TimingDraft>,
    vs: &TimingDraft,
    around: &Around<'_, '_>,
) -> Timing {
    let levels = [c.common.timing.as_deref(), rs, Some(vs)];
    let levels = || levels.iter().copied().flatten();
    let nearest = |of: fn(&TimingDraft) -> Option<Duration>| levels().find_map(of);
    let delay_loop = nearest(|t| t.delay_loop).unwrap_or(DELAY_LOOP);
    let defaults = defaults(&c.kind);
    let told = matches!(c.kind, Kind::File(_));
    let log_all = c.common.log_all_failures;
    Timing {
        delay_loop,
        connect_timeout: nearest(|t| t.connect_timeout).unwrap_or(CONNECT_TIMEOUT),
        retry: levels().find_map(|t| t.retry).unwrap_or(defaults.retry),
        delay_before_retry: nearest(|t| t.delay_before_retry)
            .or(defaults.delay_before_retry)
            .unwrap_or(delay_loop),
        warmup: nearest(|t| t.warmup).unwrap_or(delay_loop),
        // What is in a file is known from the start.
        alpha: !told && levels().find_map(|t| t.alpha).unwrap_or(false),
        log_all_failures: log_all.unwrap_or(around.global.log_all_failures),
    }
}

/// `None`: it cannot be run, which was said. `host`: the `virtualhost` of its servers.
fn check(
    kind: Kind,
    connect: Connect,
    host: Option<&Arc<str>>,
    vs: &ServerDraft,
    servers: &Servers<'_>,
    around: &mut Around<'_, '_>,
) -> Option<Check> {
    Some(match kind {
        Kind::Tcp => Check::Tcp(connect),
        Kind::Ping => Check::Ping(connect),
        Kind::Udp(options) => Check::Udp(connect, options),
        Kind::Smtp(options) => Check::Smtp(connect, Box::new(options)),
        Kind::Dns(options) => Check::Dns(connect, options),
        Kind::Http(draft) => {
            let options = draft.resolve(host.cloned(), &servers.ssl);
            Check::Http(connect, Arc::new(options))
        }
        Kind::Misc(draft) => {
            let script = around.scripts.notify(draft.script, around.diags)?;
            let timeout = draft.timeout.or(vs.timing.delay_loop);
            Check::Misc(Box::new(Misc {
                command: script.command.clone(),
                timeout: timeout.unwrap_or(DELAY_LOOP),
                dynamic: draft.dynamic,
            }))
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
        Kind::Bfd(options) => Check::Bfd(options),
    })
}

fn connect(c: &mut Common, addr: SocketAddr) -> Connect {
    let Some(d) = c.connect.take() else {
        return Connect::to(addr);
    };
    let (ip, port) = (d.ip.unwrap_or(addr.ip()), d.port.unwrap_or(addr.port()));
    Connect {
        target: SocketAddr::new(ip, port),
        from: Some(d.from)
            .filter(|f| *f != Source::default())
            .map(Box::new),
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
