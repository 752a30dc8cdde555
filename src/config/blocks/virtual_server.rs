//! `virtual_server`, `real_server` and their checkers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::source::{Code, Span};
use super::super::table::{Args, Block, Fault, gone, key, raw, sub};
use super::super::value;
use super::command::{self, CommandDraft};
use crate::model::lvs::{Method, Scheduler, Transport};
use crate::model::net::IfName;

/// Timing and verdict settings that a checker, a real server and a virtual server may each have.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimingDraft {
    pub(crate) retry: Option<u32>,
    pub(crate) delay_before_retry: Option<Duration>,
    pub(crate) warmup: Option<Duration>,
    pub(crate) delay_loop: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) alpha: Option<bool>,
}

/// A `virtual_server` block.
#[derive(Clone, Debug)]
pub(crate) struct ServerDraft {
    pub(crate) span: Span,
    pub(crate) addr: IpAddr,
    /// 0: none.
    pub(crate) port: u16,
    pub(crate) transport: Option<Transport>,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) method: Option<Method>,
    pub(crate) persistence: Option<Duration>,
    pub(crate) timing: TimingDraft,
    pub(crate) inhibit_on_failure: bool,
    pub(crate) weight: u32,
    pub(crate) quorum: u32,
    pub(crate) hysteresis: u32,
    pub(crate) omega: bool,
    pub(crate) quorum_up: Option<CommandDraft>,
    pub(crate) quorum_down: Option<CommandDraft>,
    pub(crate) sorry: Option<SorryDraft>,
    pub(crate) real: Vec<RealDraft>,
}

/// `sorry_server`.
#[derive(Clone, Debug)]
pub(crate) struct SorryDraft {
    pub(crate) addr: SocketAddr,
    pub(crate) method: Option<Method>,
    pub(crate) inhibit: bool,
    pub(crate) span: Span,
}

/// A `real_server` block.
#[derive(Clone, Debug)]
pub(crate) struct RealDraft {
    pub(crate) span: Span,
    pub(crate) addr: SocketAddr,
    pub(crate) method: Option<Method>,
    pub(crate) weight: Option<u32>,
    pub(crate) inhibit_on_failure: Option<bool>,
    pub(crate) uthreshold: u32,
    pub(crate) lthreshold: u32,
    pub(crate) timing: TimingDraft,
    pub(crate) notify_up: Option<CommandDraft>,
    pub(crate) notify_down: Option<CommandDraft>,
    pub(crate) checkers: Vec<CheckerDraft>,
}

/// A checker block.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckerDraft {
    pub(crate) timing: TimingDraft,
    pub(crate) connect: ConnectDraft,
    pub(crate) log_all_failures: bool,
}

/// Where a checker connects to, and from where.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectDraft {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) bind_ip: Option<IpAddr>,
    pub(crate) bind_port: u16,
    pub(crate) bind_if: Option<IfName>,
    pub(crate) fwmark: u32,
}

const MICRO: Duration = super::global::MICRO;
const MAX: Duration = super::global::MAX_DECIMAL;

/// `<IP> [<PORT>]`; port 0 and none are the same. What follows `/` or `-` is cut off, as keepalived does.
fn endpoint(a: &mut Args<'_, '_>, what: &str) -> Result<SocketAddr, Fault> {
    let word = a.word()?;
    let port = a.peek();
    let shown = port.map_or_else(|| word.to_owned(), |p| format!("{word}/{p}"));
    let bad = |a: &Args<'_, '_>| {
        a.whole_fault(
            Code::InvalidAddress,
            format!("Invalid {what} IP address/port {shown} - skipping"),
        )
    };
    let (addr, cut) = value::address_of(word).ok_or_else(|| bad(a))?;
    let port = match port {
        Some(_) => a.strict(0..=u16::MAX).map_err(|_| bad(a))?,
        None => 0,
    };
    if cut {
        a.log(Code::Useless, format!("only {addr} of '{word}' is used"));
    }
    Ok(SocketAddr::new(addr, port))
}

impl ServerDraft {
    /// Reads the words behind `virtual_server`.
    pub(crate) fn header(a: &mut Args<'_, '_>) -> Result<Self, Fault> {
        let at = endpoint(a, "virtual server")?;
        Ok(Self {
            span: a.span(),
            addr: at.ip(),
            port: at.port(),
            transport: None,
            scheduler: None,
            method: None,
            persistence: None,
            timing: TimingDraft::default(),
            inhibit_on_failure: false,
            weight: 1,
            quorum: 1,
            hysteresis: 0,
            omega: false,
            quorum_up: None,
            quorum_down: None,
            sorry: None,
            real: Vec::new(),
        })
    }
}

/// `lvs_sched`.
fn scheduler(a: &mut Args<'_, '_>) -> Result<Scheduler, Fault> {
    let word = a.word()?;
    Ok(match word {
        "rr" => Scheduler::Rr,
        "wrr" => Scheduler::Wrr,
        "lc" => Scheduler::Lc,
        "wlc" => Scheduler::Wlc,
        "lblc" => Scheduler::Lblc,
        "lblcr" => Scheduler::Lblcr,
        "dh" => Scheduler::Dh,
        "sh" => Scheduler::Sh,
        "mh" => Scheduler::Mh,
        "sed" => Scheduler::Sed,
        "nq" => Scheduler::Nq,
        "fo" => Scheduler::Fo,
        "ovf" => Scheduler::Ovf,
        "twos" => Scheduler::Twos,
        _ => {
            return Err(a.whole_fault(
                Code::BadValue,
                format!("Invalid lvs_scheduler '{word}' - ignoring"),
            ));
        }
    })
}

/// `lvs_method`.
fn method(a: &mut Args<'_, '_>) -> Result<Method, Fault> {
    let word = a.word()?;
    Ok(match word {
        "NAT" => Method::Nat,
        "DR" => Method::Dr,
        "TUN" => Method::Tun,
        _ => {
            let text = format!("PARSER : unknown [{word}] routing method for virtual server.");
            return Err(a.whole_fault(Code::BadValue, text));
        }
    })
}

/// `protocol`.
fn transport(a: &mut Args<'_, '_>) -> Result<Transport, Fault> {
    let word = a.word()?;
    Ok(match word.to_ascii_uppercase().as_str() {
        "TCP" => Transport::Tcp,
        "UDP" => Transport::Udp,
        "SCTP" => Transport::Sctp,
        _ => return Err(a.fault(Code::BadValue, format!("unknown protocol '{word}'"))),
    })
}

/// What several blocks have in common.
trait Timed {
    fn timing(&mut self) -> &mut TimingDraft;
}

impl Timed for ServerDraft {
    fn timing(&mut self) -> &mut TimingDraft {
        &mut self.timing
    }
}

impl Timed for RealDraft {
    fn timing(&mut self) -> &mut TimingDraft {
        &mut self.timing
    }
}

impl Timed for CheckerDraft {
    fn timing(&mut self) -> &mut TimingDraft {
        &mut self.timing
    }
}

fn delay_loop<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(MICRO..=MAX).map(|d| v.timing().delay_loop = Some(d))
}

fn connect_timeout<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(MICRO..=MAX)
        .map(|d| v.timing().connect_timeout = Some(d))
}

fn delay_before_retry<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(Duration::ZERO..=MAX)
        .map(|d| v.timing().delay_before_retry = Some(d))
}

fn warmup<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(Duration::ZERO..=MAX)
        .map(|d| v.timing().warmup = Some(d))
}

/// `retry` of a server: 0 is refused.
fn retry<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.strict(1..=u32::MAX).map(|n| v.timing().retry = Some(n))
}

pub(crate) static VIRTUAL_SERVER: Block<ServerDraft> = Block {
    name: "virtual_server",
    rows: &[
        key("delay_loop", "seconds, > 0, default 60", delay_loop),
        key(
            "lvs_sched",
            "rr|wrr|lc|wlc|lblc|sh|mh|dh|fo|ovf|lblcr|sed|nq|twos, default wlc",
            |v, a| scheduler(a).map(|s| v.scheduler = Some(s)),
        ),
        key("lb_algo", "as lvs_sched", |v, a| {
            scheduler(a).map(|s| v.scheduler = Some(s))
        }),
        key("lvs_method", "NAT|DR|TUN, default NAT", |v, a| {
            method(a).map(|m| v.method = Some(m))
        }),
        key("lb_kind", "as lvs_method", |v, a| {
            method(a).map(|m| v.method = Some(m))
        }),
        key("protocol", "TCP|UDP|SCTP", |v, a| {
            transport(a).map(|t| v.transport = Some(t))
        }),
        key(
            "persistence_timeout",
            "[seconds], 1..=2678400, without a value 360",
            |v, a| {
                let seconds = match a.peek() {
                    None => 360,
                    Some(_) => a.strict(1..=2_678_400_u32).map_err(|_| {
                        a.whole_fault(Code::OutOfRange, "persistence_timeout invalid")
                    })?,
                };
                v.persistence = Some(Duration::from_secs(seconds.into()));
                Ok(())
            },
        ),
        key("retry", "≥ 1", retry),
        key("delay_before_retry", "seconds", delay_before_retry),
        key("warmup", "seconds", warmup),
        key(
            "connect_timeout",
            "seconds, > 0, default 5",
            connect_timeout,
        ),
        key("inhibit_on_failure", "flag", |v, a| {
            a.flag().map(|on| v.inhibit_on_failure = on)
        }),
        key("weight", "1..=2147483647, default 1", |v, a| {
            a.int(1..=2_147_483_647_u32).map(|n| v.weight = n)
        }),
        key("alpha", "flag", |v, a| {
            a.flag().map(|on| v.timing.alpha = Some(on))
        }),
        key("omega", "flag", |v, a| a.flag().map(|on| v.omega = on)),
        key("quorum", "≥ 1, default 1", |v, a| {
            v.quorum = 1;
            a.int(1..=u32::MAX).map(|n| v.quorum = n)
        }),
        key("hysteresis", "default 0", |v, a| {
            a.int(0..=u32::MAX).map(|n| v.hysteresis = n)
        }),
        raw(key("quorum_up", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.quorum_up)
        })),
        raw(key("quorum_down", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.quorum_down)
        })),
        key("sorry_server", "<IP> [<PORT>]", |v, a| {
            let addr = endpoint(a, "sorry server")?;
            v.sorry = Some(SorryDraft {
                addr,
                method: None,
                inhibit: false,
                span: a.span(),
            });
            Ok(())
        }),
        key(
            "sorry_server_inhibit",
            "flag, after sorry_server",
            |v, a| match &mut v.sorry {
                Some(sorry) => a.flag().map(|on| sorry.inhibit = on),
                None => Err(a.fault(
                    Code::Useless,
                    "there is no sorry_server before it - ignored",
                )),
            },
        ),
        key(
            "sorry_server_lvs_method",
            "as lvs_method, after sorry_server",
            |v, a| {
                let found = method(a)?;
                match &mut v.sorry {
                    Some(sorry) => {
                        sorry.method = Some(found);
                        Ok(())
                    }
                    None => Err(a.fault(
                        Code::Useless,
                        "there is no sorry_server before it - ignored",
                    )),
                }
            },
        ),
        sub("real_server", &REAL_SERVER, |v, a| {
            let addr = endpoint(a, "real server")?;
            let mut real = RealDraft {
                span: a.span(),
                addr,
                method: v.method,
                weight: None,
                inhibit_on_failure: None,
                uthreshold: 0,
                lthreshold: 0,
                timing: TimingDraft::default(),
                notify_up: None,
                notify_down: None,
                checkers: Vec::new(),
            };
            a.block(&REAL_SERVER, &mut real);
            v.real.push(real);
            Ok(())
        }),
        gone("nat_mask", ""),
    ],
};

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
            a.bool().map(|on| v.timing.alpha = Some(on))
        }),
        key("retry", "≥ 1", retry),
        key("delay_before_retry", "seconds", delay_before_retry),
        key("warmup", "seconds", warmup),
        key("connect_timeout", "seconds, > 0", connect_timeout),
        key("delay_loop", "seconds, > 0", delay_loop),
        raw(key("notify_up", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.notify_up)
        })),
        raw(key("notify_down", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.notify_down)
        })),
        sub("TCP_CHECK", &TCP_CHECK, |v, a| {
            a.no_more();
            let mut checker = CheckerDraft::default();
            a.block(&TCP_CHECK, &mut checker);
            v.checkers.push(checker);
            Ok(())
        }),
    ],
};

pub(crate) static TCP_CHECK: Block<CheckerDraft> = Block {
    name: "virtual_server/real_server/TCP_CHECK",
    rows: &[
        key(
            "connect_ip",
            "<IP>, default that of the real server",
            |v, a| a.addr().map(|addr| v.connect.ip = Some(addr)),
        ),
        key(
            "connect_port",
            "1..=65535, default that of the real server",
            |v, a| a.strict(1..=u16::MAX).map(|n| v.connect.port = Some(n)),
        ),
        key("bindto", "<IP>", |v, a| {
            a.addr().map(|addr| v.connect.bind_ip = Some(addr))
        }),
        key("bind_if", "<IFNAME>", |v, a| {
            let name = a.word()?;
            v.connect.bind_if = IfName::new(name);
            match v.connect.bind_if {
                Some(_) => Ok(()),
                None => Err(a.fault(
                    Code::TooLong,
                    format!("'{name}' cannot be the name of an interface"),
                )),
            }
        }),
        key("bind_port", "1..=65535", |v, a| {
            a.strict(1..=u16::MAX).map(|n| v.connect.bind_port = n)
        }),
        key("connect_timeout", "seconds, > 0", connect_timeout),
        key("fwmark", "mark of the connection", |v, a| {
            a.strict(0..=u32::MAX).map(|n| v.connect.fwmark = n)
        }),
        key("alpha", "[<bool>]", |v, a| {
            a.bool().map(|on| v.timing.alpha = Some(on))
        }),
        key("retry", "0..", |v, a| {
            a.strict(0..=u32::MAX).map(|n| v.timing.retry = Some(n))
        }),
        gone("nb_get_retry", "retry"),
        key("delay_before_retry", "seconds", delay_before_retry),
        key("warmup", "seconds", warmup),
        key("delay_loop", "seconds, > 0", delay_loop),
        key("log_all_failures", "[<bool>]", |v, a| {
            a.bool().map(|on| v.log_all_failures = on)
        }),
    ],
};
