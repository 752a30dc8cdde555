//! What the checker blocks of a real server have in common: timing, where to connect to and from where. What each kind
//! adds stands beside its probe, in `lvs/checker`.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Block, Fault, Row, key};
use super::checks::ifname;
use super::command::Nobody;
use super::root::Trackers;
use crate::lvs::checker::bfd::Bfd;
use crate::lvs::checker::connect::Source;
use crate::lvs::checker::dns::Dns;
use crate::lvs::checker::file::FileDraft;
use crate::lvs::checker::http::rows::HttpDraft;
use crate::lvs::checker::misc::MiscDraft;
use crate::lvs::checker::smtp::Smtp;
use crate::lvs::checker::udp::Udp;

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

/// Where a checker connects to, and from where.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectDraft {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) from: Source,
}

/// What every checker block may hold.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// The real server's address.
    pub(crate) real: IpAddr,
    /// Boxed because most checkers have none, and there may be very many checkers; likewise `connect`.
    pub(crate) timing: Option<Box<TimingDraft>>,
    pub(crate) connect: Option<Box<ConnectDraft>>,
    pub(crate) log_all_failures: Option<bool>,
    pub(crate) known: Rc<Trackers>,
    /// Who runs scripts that name no user.
    pub(crate) no_script_user: Nobody,
}

/// A checker block that is being read; `own`: what its kind adds.
#[derive(Clone, Debug)]
pub(crate) struct Draft<K> {
    pub(crate) common: Common,
    pub(crate) own: K,
}

/// What a kind of checker adds to its block.
pub(crate) trait Own: Default + 'static {
    /// The checkers that the block makes; none where the reason has been reported already.
    ///
    /// # Errors
    /// It lacks what its kind cannot do without.
    fn finish(self, common: Common, a: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault>;
}

/// A kind whose block holds nothing of its own.
macro_rules! plain {
    ($($name:ident)*) => {$(
        impl Own for $name {
            fn finish(self, common: Common, _: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault> {
                Ok(vec![common.with(Kind::$name)])
            }
        }

        /// See [`Kind`].
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct $name;
    )*};
}

plain!(Tcp Ping);

/// A checker block that can be used.
#[derive(Clone, Debug)]
pub(crate) struct CheckerDraft {
    pub(crate) common: Common,
    pub(crate) kind: Kind,
}

/// What the kinds add; names are not resolved yet.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Tcp,
    Udp(Box<Udp>),
    Http(Box<HttpDraft>),
    Smtp(Smtp),
    Dns(Box<Dns>),
    Ping,
    Misc(Box<MiscDraft>),
    File(FileDraft),
    Bfd(Bfd),
}

impl Kind {
    /// Whether it connects to anything.
    pub(super) fn connects(&self) -> bool {
        match self {
            Self::Tcp
            | Self::Udp(_)
            | Self::Http(_)
            | Self::Smtp(_)
            | Self::Dns(_)
            | Self::Ping => true,
            Self::Misc(_) | Self::File(_) | Self::Bfd(_) => false,
        }
    }
}

impl Common {
    /// The checker of that kind.
    pub(crate) fn with(self, kind: Kind) -> CheckerDraft {
        CheckerDraft { common: self, kind }
    }
}

/// What several blocks have in common.
pub(crate) trait Timed {
    fn timing(&mut self) -> &mut TimingDraft;
}

impl<K> Timed for Draft<K> {
    fn timing(&mut self) -> &mut TimingDraft {
        self.common.timing.get_or_insert_default()
    }
}

const MICRO: Duration = super::global::MICRO;
/// Longest `connect_timeout`.
const MAX: Duration = super::global::MAX_DECIMAL;
/// Longest delay: what fits 64 bits of microseconds.
const LONGEST: Duration = Duration::from_micros(u64::MAX);

pub(super) fn delay_loop<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(MICRO..=LONGEST)
        .map(|d| v.timing().delay_loop = Some(d))
}

pub(super) fn connect_timeout<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(MICRO..=MAX)
        .map(|d| v.timing().connect_timeout = Some(d))
}

pub(super) fn delay_before_retry<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(Duration::ZERO..=LONGEST)
        .map(|d| v.timing().delay_before_retry = Some(d))
}

pub(super) fn warmup<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(Duration::ZERO..=LONGEST)
        .map(|d| v.timing().warmup = Some(d))
}

/// `retry` of a server: 0 is refused.
pub(super) fn retry<T: Timed>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.strict(1..=u32::MAX).map(|n| v.timing().retry = Some(n))
}

/// An address of the family that the other end has, if that is known.
fn same_family(
    slot: &mut Option<IpAddr>,
    other: Option<IpAddr>,
    a: &mut Args<'_, '_>,
) -> Result<(), Fault> {
    *slot = None;
    let addr = a.addr()?;
    if other.is_some_and(|o| o.is_ipv4() != addr.is_ipv4()) {
        return Err(a.fault(
            Code::WrongFamily,
            format!("{addr} is of the other family than its other end - ignored"),
        ));
    }
    *slot = Some(addr);
    Ok(())
}

impl<K: 'static> Draft<K> {
    fn connect(&mut self) -> &mut ConnectDraft {
        self.common.connect.get_or_insert_default()
    }

    /// How often and how patiently.
    pub(crate) const TIMING_ROWS: &'static [Row<Self>] = &[
        key("alpha", "[<bool>]", |v, a| {
            a.bool().map(|on| v.timing().alpha = Some(on))
        }),
        key("retry", "number", |v, a| {
            a.int(0..=u32::MAX).map(|n| v.timing().retry = Some(n))
        }),
        key("delay_before_retry", "seconds", delay_before_retry),
        key("warmup", "seconds", warmup),
        key("delay_loop", "seconds, > 0", delay_loop),
        key("log_all_failures", "[<bool>]", |v, a| {
            a.bool().map(|on| v.common.log_all_failures = Some(on))
        }),
    ];

    /// Where to connect to, and from where.
    pub(crate) const CONNECT_ROWS: &'static [Row<Self>] = &[
        key(
            "connect_ip",
            "<IP>, default that of the real server",
            |v, a| {
                let connect = v.connect();
                let other = connect.from.addr;
                same_family(&mut connect.ip, other, a)
            },
        ),
        key(
            "connect_port",
            "1..=65535, default that of the real server",
            |v, a| a.int(1..=u16::MAX).map(|n| v.connect().port = Some(n)),
        ),
        key("bindto", "<IP>", |v, a| {
            let real = v.common.real;
            let connect = v.connect();
            let other = connect.ip.unwrap_or(real);
            same_family(&mut connect.from.addr, Some(other), a)
        }),
        key("bind_if", "<IFNAME>", |v, a| {
            ifname(a).map(|i| v.connect().from.interface = Some(i))
        }),
        key("bind_port", "1..=65535", |v, a| {
            a.int(1..=u16::MAX).map(|n| v.connect().from.port = n)
        }),
        key("connect_timeout", "seconds, > 0", connect_timeout),
        key("fwmark", "mark of the connection", |v, a| {
            a.int(0..=u32::MAX).map(|n| v.connect().from.fwmark = n)
        }),
    ];
}

pub(super) static TCP_CHECK: Block<Draft<Tcp>> = Block {
    name: "virtual_server/real_server/TCP_CHECK",
    rows: Draft::<Tcp>::CONNECT_ROWS,
    more: &[Draft::<Tcp>::TIMING_ROWS],
};

pub(super) static PING_CHECK: Block<Draft<Ping>> = Block {
    name: "virtual_server/real_server/PING_CHECK",
    rows: Draft::<Ping>::CONNECT_ROWS,
    more: &[Draft::<Ping>::TIMING_ROWS],
};
