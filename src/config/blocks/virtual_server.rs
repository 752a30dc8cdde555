//! `virtual_server`.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::source::{Code, Span};
use super::super::table::{Args, Block, Fault, Row, gone, key, raw, sub};
use super::super::value;
use super::checkers::{
    Timed, TimingDraft, connect_timeout, delay_before_retry, delay_loop, retry, warmup,
};
use super::checks::{only_text, text};
use super::command::{self, CommandDraft, Nobody};
use super::lvs_words::{endpoint, method, scheduler, transport};
use super::real_server::{REAL_SERVER, RealDraft, real_server};
use super::root::Trackers;
use crate::model::lvs::{Granularity, Method, Scheduler, SchedulerFlags, Transport};
use crate::model::net::Family;

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
    pub(crate) flags: SchedulerFlags,
    /// `persistence_timeout`.
    pub(crate) persistence: Option<Duration>,
    pub(crate) granularity: Option<Granularity>,
    pub(crate) engine: Option<Arc<str>>,
    /// `ip_family`.
    pub(crate) family: Option<Family>,
    pub(crate) ha_suspend: bool,
    pub(crate) smtp_alert: Option<bool>,
    pub(crate) timing: TimingDraft,
    pub(crate) inhibit_on_failure: bool,
    pub(crate) weight: u32,
    pub(crate) quorum: u32,
    pub(crate) hysteresis: u32,
    pub(crate) omega: bool,
    pub(crate) ops: bool,
    pub(crate) virtualhost: Option<Arc<str>>,
    pub(crate) snmp_name: Option<Arc<str>>,
    pub(crate) quorum_up: Option<Box<CommandDraft>>,
    pub(crate) quorum_down: Option<Box<CommandDraft>>,
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
            flags: SchedulerFlags::default(),
            persistence: None,
            granularity: None,
            engine: None,
            family: None,
            ha_suspend: false,
            smtp_alert: None,
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
            sorry: None,
            real: Vec::new(),
        })
    }
}

impl Timed for ServerDraft {
    fn timing(&mut self) -> &mut TimingDraft {
        &mut self.timing
    }
}

/// A flag of a scheduler that must have been named before it; `set` only where it is just that one.
fn scheduler_flag(
    v: &mut ServerDraft,
    a: &mut Args<'_, '_>,
    needed: Scheduler,
    set: fn(&mut SchedulerFlags),
) -> Result<(), Fault> {
    match v.scheduler {
        // keepalived: the flags of sh are silently without effect under mh, and the reverse.
        Some(found @ (Scheduler::Sh | Scheduler::Mh)) => {
            if found == needed {
                set(&mut v.flags);
            }
            Ok(())
        }
        Some(_) | None => Err(a.fault(
            Code::Useless,
            format!("only after lvs_sched {needed:?} - ignored").to_lowercase(),
        )),
    }
}

pub(crate) static VIRTUAL_SERVER: Block<ServerDraft> = Block {
    name: "virtual_server",
    rows: &[
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
                let Some(sorry) = &mut v.sorry else {
                    let text = "there is no sorry_server before it - ignored";
                    return Err(a.fault(Code::Useless, text));
                };
                sorry.method = Some(method(a)?);
                Ok(())
            },
        ),
        sub("real_server", &REAL_SERVER, real_server),
        gone("nat_mask", ""),
    ],
    more: &[TIMING_ROWS, KERNEL_ROWS, MORE_ROWS],
};

/// How its checkers are timed that do not say it themselves.
const TIMING_ROWS: &[Row<ServerDraft>] = &[
    key("delay_loop", "seconds, > 0, default 60", delay_loop),
    key("retry", "≥ 1", retry),
    key("delay_before_retry", "seconds", delay_before_retry),
    key("warmup", "seconds", warmup),
    key(
        "connect_timeout",
        "seconds, > 0, default 5",
        connect_timeout,
    ),
];

/// What the kernel does with packets and clients.
const KERNEL_ROWS: &[Row<ServerDraft>] = &[
    key("ip_family", "inet|inet6", |v, a| {
        let family = match a.word()? {
            "inet" => Family::V4,
            "inet6" => Family::V6,
            word => {
                return Err(a.fault(Code::BadValue, format!("unknown family '{word}' - ignored")));
            }
        };
        match &v.target {
            Target::Address(addr) if Family::from(addr.ip()) != family => {
                Err(a.fault(Code::WrongFamily, "is not that of the address - ignored"))
            }
            Target::Address(_) | Target::Fwmark(_) | Target::Group(_) => {
                v.family.get_or_insert(family);
                Ok(())
            }
        }
    }),
    key("hashed", "flag, without effect", |v, a| {
        scheduler_flag(v, a, Scheduler::Sh, |_| {})
    }),
    key("ops", "flag", |v, a| a.flag().map(|on| v.ops = on)),
    key("flag-1", "flag", |v, a| {
        a.flag().map(|on| v.flags.first = on)
    }),
    key("flag-2", "flag", |v, a| {
        a.flag().map(|on| v.flags.second = on)
    }),
    key("flag-3", "flag", |v, a| {
        a.flag().map(|on| v.flags.third = on)
    }),
    key("sh-port", "flag, after lvs_sched sh", |v, a| {
        scheduler_flag(v, a, Scheduler::Sh, |f| f.second = true)
    }),
    key("sh-fallback", "flag, after lvs_sched sh", |v, a| {
        scheduler_flag(v, a, Scheduler::Sh, |f| f.first = true)
    }),
    key("mh-port", "flag, after lvs_sched mh", |v, a| {
        scheduler_flag(v, a, Scheduler::Mh, |f| f.second = true)
    }),
    key("mh-fallback", "flag, after lvs_sched mh", |v, a| {
        scheduler_flag(v, a, Scheduler::Mh, |f| f.first = true)
    }),
    key("persistence_engine", "<NAME>", |v, a| {
        let name = a.word()?;
        let mut end = name.len().min(MAX_ENGINE);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        v.engine = Some(name[..end].into());
        match end < name.len() {
            false => Ok(()),
            true => Err(a.fault(Code::TooLong, "longer than 15 characters - cut")),
        }
    }),
    key(
        "persistence_granularity",
        "<IPv4 netmask>|1..=128",
        |v, a| {
            let word = a.word()?;
            let family = match &v.target {
                Target::Address(at) => Some(at.ip().into()),
                Target::Fwmark(_) | Target::Group(_) => None,
            };
            v.granularity = Some(granularity(word, family).ok_or_else(|| {
                a.fault(
                    Code::BadValue,
                    format!("invalid granularity '{word}' - ignored"),
                )
            })?);
            v.persistence.get_or_insert(Duration::from_secs(360));
            Ok(())
        },
    ),
];

/// `IP_VS_PENAME_MAXLEN` without the zero at the end.
const MAX_ENGINE: usize = 15;

/// A number is a length with IPv6 and where the family is not known; with IPv4 it is a mask, as `inet_aton` reads it.
fn granularity(word: &str, family: Option<Family>) -> Option<Granularity> {
    let mask = match value::address(word) {
        Some(IpAddr::V4(mask)) => Some(mask),
        Some(IpAddr::V6(_)) => return None,
        None => None,
    };
    match (family, mask) {
        (Some(Family::V4) | None, Some(mask)) => Some(Granularity::V4(mask)),
        (Some(Family::V6), Some(_)) => None,
        (Some(Family::V4), None) => {
            let digits = word.bytes().all(|b| b.is_ascii_digit());
            let number: u32 = word.parse().ok().filter(|_| digits)?;
            Some(Granularity::V4(number.into()))
        }
        (Some(Family::V6) | None, None) => {
            let len = value::whole(word).filter(|w| !w.junk)?.value;
            let len = u8::try_from(len).ok().filter(|n| (1..=128).contains(n))?;
            Some(Granularity::V6(len))
        }
    }
}

/// Further rows.
const MORE_ROWS: &[Row<ServerDraft>] = &[
    key("ha_suspend", "flag", |v, a| match v.target {
        Target::Fwmark(_) => Err(a.fault(Code::Useless, "is not possible with fwmark - cleared")),
        Target::Address(_) | Target::Group(_) => a.flag().map(|on| v.ha_suspend = on),
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
