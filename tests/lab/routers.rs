//! Two routers that share an address: what most VRRP stories begin with.
//!
//! `LAB_OURS` names another binary to run in our place (`LAB_OURS=/usr/sbin/keepalived` checks the laboratory itself),
//! `LAB_STOCK` another stock keepalived.
#![allow(
    dead_code,
    reason = "shared by several binaries, none of which uses all of it"
)]

use std::path::PathBuf;
use std::time::Duration;

use crate::lab::daemon::Daemon;
use crate::lab::frame::Seen;
use crate::lab::witness::stood_still;
use crate::lab::{Lan, Node};

/// Which daemon a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Ours,
    Stock,
}

impl Which {
    pub(crate) fn binary(self) -> PathBuf {
        let (variable, default) = match self {
            Self::Ours => ("LAB_OURS", env!("CARGO_BIN_EXE_keepalived-rs")),
            Self::Stock => ("LAB_STOCK", "/usr/sbin/keepalived"),
        };
        std::env::var_os(variable).map_or_else(|| PathBuf::from(default), PathBuf::from)
    }

    pub(crate) fn start(self, node: &Node, conf: &str) -> Daemon {
        node.start(&self.binary(), conf)
    }
}

/// The last advertisement of `node` with this priority before `end`: the first one of its successor, so that all of its
/// own have been heard. What the test does to a router takes a moment, in which one more may leave.
#[track_caller]
pub(crate) fn last(lan: &Lan, node: usize, priority: u8, end: &Seen) -> Seen {
    let found = lan
        .events()
        .into_iter()
        .rfind(|s| s.node == node && s.at < end.at && s.priority() == Some(priority));
    found.unwrap_or_else(|| {
        panic!(
            "no advertisement at {priority} of node {node}\n{}",
            lan.story()
        )
    })
}

/// The address that the routers of most stories share.
pub(crate) const VIP: &str = "10.66.0.100";

/// A busy machine may be this late; the benchmark, not these tests, measures how late a daemon is on an idle one.
pub(crate) const LATE: Duration = Duration::from_millis(400);
/// The wire is timed by the wall clock, the daemon's timers by the monotonic one: what their rates may differ by.
pub(crate) const DRIFT: Duration = Duration::from_millis(2);

/// A frame from which time is counted may leave this long after its sender's clock was read.
const SENT: Duration = Duration::from_millis(8);

/// Two routers and the address they share.
pub(crate) fn lan() -> Lan {
    Lan::new("eth0", &["10.66.0.1/24", "10.66.0.2/24"])
}

/// Master down interval of version 2 at one second, with the backup's own priority (RFC 3768 §6.1).
pub(crate) fn down_interval(priority: u64) -> Duration {
    Duration::from_secs(3) + skew_time(priority)
}

pub(crate) fn skew_time(priority: u64) -> Duration {
    Duration::from_micros((256 - priority) * 1_000_000 / 256)
}

/// A configuration of one instance; `more` goes into the instance, `before` before it.
pub(crate) fn conf(priority: u8, before: &str, more: &str) -> String {
    format!(
        "global_defs {{
    router_id lab
    script_user root
}}
{before}
vrrp_instance V {{
    state BACKUP
    interface eth0
    virtual_router_id 66
    priority {priority}
    advert_int 1
    virtual_ipaddress {{
        {VIP}/24
    }}
    {more}
}}
"
    )
}

/// Asserts that `took` is not before the protocol's bound, nor later than a busy machine explains.
#[track_caller]
pub(crate) fn assert_on_time(lan: &Lan, what: &str, from: u64, to: u64, bound: Duration) {
    assert_in_time(lan, what, (from, from), to, bound);
}

/// As [`assert_on_time`]; what time is counted from took place between two instants. It takes a busy machine a while to
/// start a program.
#[track_caller]
pub(crate) fn assert_in_time(
    lan: &Lan,
    what: &str,
    (earliest, latest): (u64, u64),
    to: u64,
    bound: Duration,
) {
    let took = Duration::from_nanos(to.saturating_sub(earliest));
    assert!(
        took + DRIFT + SENT >= bound,
        "{what} after {took:?}, before the bound {bound:?}\n{}",
        lan.story()
    );
    let took = Duration::from_nanos(to.saturating_sub(latest));
    let stalled = stood_still(latest, to);
    assert!(
        took <= bound + LATE + stalled,
        "{what} after {took:?}, long after the bound {bound:?} (the machine stood still for {stalled:?})\n{}",
        lan.story()
    );
}
