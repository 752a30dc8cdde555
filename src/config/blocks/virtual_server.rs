//! `virtual_server`, `real_server` and their checkers.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::source::{Code, Span};
use super::super::table::{Args, Block, Fault, Row, gone, key, raw, sub};
use super::super::value;
use super::checkers;
use super::checks::{flag, only_text, text};
use super::command::{self, CommandDraft, Nobody};
use super::root::Trackers;
use crate::model::lvs::{Method, Scheduler, Transport};
use crate::model::net::IfName;
use crate::model::track::Credentials;

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

/// What a virtual server is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Port 0: none.
    Address(SocketAddr),
    Fwmark(u32),
    Group(String),
}

/// A `virtual_server` block.
#[derive(Clone, Debug)]
pub(crate) struct ServerDraft {
    pub(crate) span: Span,
    pub(crate) target: Target,
    pub(crate) known: Rc<Trackers>,
    /// Who runs scripts that name no user.
    pub(crate) no_script_user: Nobody,
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
    pub(crate) ops: bool,
    pub(crate) virtualhost: Option<Arc<str>>,
    pub(crate) snmp_name: Option<Arc<str>>,
    pub(crate) quorum_up: Option<CommandDraft>,
    pub(crate) quorum_down: Option<CommandDraft>,
    pub(crate) smtp_alert: Option<bool>,
    pub(crate) sorry: Option<SorryDraft>,
    pub(crate) real: Vec<RealDraft>,
}

/// `sorry_server`.
#[derive(Clone, Debug)]
pub(crate) struct SorryDraft {
    pub(crate) addr: SocketAddr,
    pub(crate) method: Option<Method>,
    pub(crate) inhibit: bool,
}

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
    pub(crate) timing: TimingDraft,
    pub(crate) virtualhost: Option<Arc<str>>,
    pub(crate) snmp_name: Option<Arc<str>>,
    pub(crate) notify_up: Option<CommandDraft>,
    pub(crate) notify_down: Option<CommandDraft>,
    pub(crate) smtp_alert: Option<bool>,
    pub(crate) checkers: Vec<CheckerDraft>,
}

/// The kinds of checker blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckerKind {
    Tcp,
    /// `HTTP_GET` and `SSL_GET`.
    Http,
    Smtp,
    Dns,
    Udp,
    Ping,
    Misc,
    File,
    Bfd,
}

/// A checker block.
#[derive(Clone, Debug)]
pub(crate) struct CheckerDraft {
    pub(crate) kind: CheckerKind,
    pub(crate) timing: TimingDraft,
    pub(crate) connect: ConnectDraft,
    pub(crate) log_all_failures: Option<bool>,
    /// What the kind cannot do without is there.
    pub(crate) complete: bool,
    /// A name that may stand only once was given.
    pub(crate) named: bool,
    /// `misc_path`, and who runs it.
    pub(crate) script: Option<CommandDraft>,
    pub(crate) user: Option<Credentials>,
    pub(crate) bad_user: bool,
    pub(crate) known: Rc<Trackers>,
    pub(crate) virtualhost: Option<Arc<str>>,
    pub(crate) sni_name: Option<Arc<str>>,
}

/// Where a checker connects to, and from where.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectDraft {
    /// The real server's address.
    pub(crate) real: Option<IpAddr>,
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
    pub(crate) fn header(
        a: &mut Args<'_, '_>,
        known: Rc<Trackers>,
        no_script_user: Nobody,
    ) -> Result<Self, Fault> {
        let target = match a.peek() {
            Some("fwmark") => {
                a.opt();
                Target::Fwmark(a.strict(0..=u32::MAX)?)
            }
            Some("group") => {
                a.opt();
                a.present()?;
                Target::Group(a.word()?.to_owned())
            }
            Some(_) | None => Target::Address(endpoint(a, "virtual server")?),
        };
        Ok(Self {
            span: a.span(),
            target,
            known,
            no_script_user,
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
            ops: false,
            virtualhost: None,
            snmp_name: None,
            quorum_up: None,
            quorum_down: None,
            smtp_alert: None,
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
        "TUN" => {
            tunnel(a)?;
            Method::Tun
        }
        _ => {
            let text = format!("PARSER : unknown [{word}] routing method for virtual server.");
            return Err(a.whole_fault(Code::BadValue, text));
        }
    })
}

/// The words behind a method: `[type {ipip|gue port N|gre} [nocsum|csum|remcsum]]`.
fn tunnel(a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let (mut kind, mut port, mut sum) = ("ipip", false, "");
    while let Some(word) = a.opt() {
        match word {
            "type" => kind = a.word()?,
            "port" => port = a.int(1..=u16::MAX).map(|_| true)?,
            "nocsum" | "csum" | "remcsum" => sum = word,
            _ => {
                return Err(a.fault(
                    Code::UnknownWord,
                    format!("unknown option '{word}' - ignored"),
                ));
            }
        }
    }
    let fits = match kind {
        "ipip" => !port && matches!(sum, "" | "nocsum"),
        "gue" => port,
        "gre" => !port && sum != "remcsum",
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => Err(a.fault(
            Code::Conflict,
            format!("tunnel options that do not fit type {kind} - ignored"),
        )),
    }
}

/// A flag of a scheduler that must have been named before it.
fn scheduler_flag(v: &ServerDraft, a: &mut Args<'_, '_>, needed: Scheduler) -> Result<(), Fault> {
    match v.scheduler {
        Some(Scheduler::Sh | Scheduler::Mh) => Ok(()),
        Some(_) | None => Err(a.fault(
            Code::Useless,
            format!("only after lvs_sched {needed:?} - ignored").to_lowercase(),
        )),
    }
}

/// Reads a checker block and keeps it if it can be used.
fn checker(
    v: &mut RealDraft,
    a: &mut Args<'_, '_>,
    kind: CheckerKind,
    block: &Block<CheckerDraft>,
) -> Result<(), Fault> {
    a.no_more();
    let mut draft = CheckerDraft {
        kind,
        timing: TimingDraft::default(),
        connect: ConnectDraft {
            real: Some(v.addr.ip()),
            ..ConnectDraft::default()
        },
        log_all_failures: None,
        complete: false,
        named: false,
        script: None,
        user: None,
        bad_user: false,
        known: Rc::clone(&v.known),
        virtualhost: None,
        sni_name: None,
    };
    a.block(block, &mut draft);
    checkers::finish(&draft, a)?;
    if draft.bad_user {
        return Ok(());
    }
    if let Some(script) = draft.script.as_mut() {
        script.user = draft.user.clone();
        if script.user.is_none() && v.no_script_user != Nobody::Somebody {
            v.no_script_user.say(a);
            let shown: Vec<String> = script.argv.iter().map(|w| format!("'{w}'")).collect();
            let text = format!(
                "Unable to set default user for misc script {} - removing",
                shown.join(" ")
            );
            return Err(a.whole_fault(Code::Script, text).complaint());
        }
    }
    v.checkers.push(draft);
    Ok(())
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
pub(super) trait Timed {
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

pub(super) fn delay_loop<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(MICRO..=MAX).map(|d| v.timing().delay_loop = Some(d))
}

pub(super) fn connect_timeout<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(MICRO..=MAX)
        .map(|d| v.timing().connect_timeout = Some(d))
}

pub(super) fn delay_before_retry<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(Duration::ZERO..=MAX)
        .map(|d| v.timing().delay_before_retry = Some(d))
}

pub(super) fn warmup<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
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
            command::script(a, &mut v.quorum_up, v.no_script_user)
        })),
        raw(key("quorum_down", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.quorum_down, v.no_script_user)
        })),
        key("sorry_server", "<IP> [<PORT>]", |v, a| {
            let addr = endpoint(a, "sorry server")?;
            v.sorry = Some(SorryDraft {
                addr,
                method: None,
                inhibit: false,
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
                known: Rc::clone(&v.known),
                no_script_user: v.no_script_user,
                method: v.method,
                weight: None,
                inhibit_on_failure: None,
                uthreshold: 0,
                lthreshold: 0,
                timing: TimingDraft::default(),
                virtualhost: None,
                snmp_name: None,
                notify_up: None,
                notify_down: None,
                smtp_alert: None,
                checkers: Vec::new(),
            };
            a.block(&REAL_SERVER, &mut real);
            v.real.push(real);
            Ok(())
        }),
        gone("nat_mask", ""),
    ],
    more: &[MORE_ROWS],
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
        sub("TCP_CHECK", &checkers::TCP_CHECK, |v, a| {
            checker(v, a, CheckerKind::Tcp, &checkers::TCP_CHECK)
        }),
        sub("UDP_CHECK", &checkers::UDP_CHECK, |v, a| {
            checker(v, a, CheckerKind::Udp, &checkers::UDP_CHECK)
        }),
        sub("HTTP_GET", &checkers::HTTP_GET, |v, a| {
            checker(v, a, CheckerKind::Http, &checkers::HTTP_GET)
        }),
        sub("SSL_GET", &checkers::SSL_GET, |v, a| {
            checker(v, a, CheckerKind::Http, &checkers::SSL_GET)
        }),
        sub("SMTP_CHECK", &checkers::SMTP_CHECK, |v, a| {
            checker(v, a, CheckerKind::Smtp, &checkers::SMTP_CHECK)
        }),
        sub("DNS_CHECK", &checkers::DNS_CHECK, |v, a| {
            checker(v, a, CheckerKind::Dns, &checkers::DNS_CHECK)
        }),
        sub("PING_CHECK", &checkers::PING_CHECK, |v, a| {
            checker(v, a, CheckerKind::Ping, &checkers::PING_CHECK)
        }),
        sub("MISC_CHECK", &checkers::MISC_CHECK, |v, a| {
            checker(v, a, CheckerKind::Misc, &checkers::MISC_CHECK)
        }),
        sub("FILE_CHECK", &checkers::FILE_CHECK, |v, a| {
            checker(v, a, CheckerKind::File, &checkers::FILE_CHECK)
        }),
        sub("BFD_CHECK", &checkers::BFD_CHECK, |v, a| {
            checker(v, a, CheckerKind::Bfd, &checkers::BFD_CHECK)
        }),
    ],
    more: &[],
};

/// Rows of `virtual_server` without effect so far.
const MORE_ROWS: &[Row<ServerDraft>] = &[
    key("ip_family", "inet|inet6", |v, a| {
        let v4 = match a.word()? {
            "inet" => true,
            "inet6" => false,
            word => {
                return Err(a.fault(Code::BadValue, format!("unknown family '{word}' - ignored")));
            }
        };
        match &v.target {
            Target::Address(addr) if addr.is_ipv4() != v4 => {
                Err(a.fault(Code::WrongFamily, "is not that of the address - ignored"))
            }
            Target::Address(_) | Target::Fwmark(_) | Target::Group(_) => Ok(()),
        }
    }),
    key("hashed", "flag", |v, a| scheduler_flag(v, a, Scheduler::Sh)),
    key("ops", "flag", |v, a| a.flag().map(|on| v.ops = on)),
    key("flag-1", "flag", flag),
    key("flag-2", "flag", flag),
    key("flag-3", "flag", flag),
    key("sh-port", "flag, after lvs_sched sh", |v, a| {
        scheduler_flag(v, a, Scheduler::Sh)
    }),
    key("sh-fallback", "flag, after lvs_sched sh", |v, a| {
        scheduler_flag(v, a, Scheduler::Sh)
    }),
    key("mh-port", "flag, after lvs_sched mh", |v, a| {
        scheduler_flag(v, a, Scheduler::Mh)
    }),
    key("mh-fallback", "flag, after lvs_sched mh", |v, a| {
        scheduler_flag(v, a, Scheduler::Mh)
    }),
    key("persistence_engine", "<NAME>", |_, a| {
        match a.word()?.len() {
            0..=15 => Ok(()),
            _ => Err(a.fault(Code::TooLong, "longer than 15 characters - cut")),
        }
    }),
    key(
        "persistence_granularity",
        "<IPv4 netmask>|1..=128",
        |v, a| {
            let word = a.word()?;
            let mask = value::address(word).is_some_and(|m| m.is_ipv4());
            if !mask && value::whole(word).is_none_or(|w| w.junk || !(1..=128).contains(&w.value)) {
                return Err(a.fault(
                    Code::BadValue,
                    format!("invalid granularity '{word}' - ignored"),
                ));
            }
            v.persistence.get_or_insert(Duration::from_secs(360));
            Ok(())
        },
    ),
    key("ha_suspend", "flag", |v, a| match v.target {
        Target::Fwmark(_) => Err(a.fault(Code::Useless, "is not possible with fwmark - cleared")),
        Target::Address(_) | Target::Group(_) => Ok(()),
    }),
    key("smtp_alert", "[<bool>]", |v, a| {
        a.bool().map(|on| v.smtp_alert = Some(on))
    }),
    key("virtualhost", "<STRING>", |v, a| {
        text(&mut v.virtualhost, a)
    }),
    key("snmp_name", "<STRING>", |v, a| {
        only_text(&mut v.snmp_name, a)
    }),
];
