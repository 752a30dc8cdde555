//! VRRP between real daemons on a LAN of network namespaces: ours against ours, and ours against stock keepalived.
//!
//! `LAB_OURS` names another binary to run in our place (`LAB_OURS=/usr/sbin/keepalived` checks the laboratory itself),
//! `LAB_STOCK` another stock keepalived.

#[path = "../lab/mod.rs"]
mod lab;

mod election;

use std::path::PathBuf;
use std::time::Duration;

use lab::daemon::Daemon;
use lab::{Lan, Node};

/// Which daemon a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Ours,
    Stock,
}

impl Which {
    fn binary(self) -> PathBuf {
        let (variable, default) = match self {
            Self::Ours => ("LAB_OURS", env!("CARGO_BIN_EXE_keepalived-rs")),
            Self::Stock => ("LAB_STOCK", "/usr/sbin/keepalived"),
        };
        std::env::var_os(variable).map_or_else(|| PathBuf::from(default), PathBuf::from)
    }

    fn start(self, node: &Node, conf: &str) -> Daemon {
        node.start(&self.binary(), conf)
    }
}

/// Runs one story with every pair that a person may put on a LAN: ours with ours, and either with stock.
macro_rules! with_every_pair {
    ($($story:ident)*) => {$(
        mod $story {
            use crate::Which::{Ours, Stock};

            #[test]
            fn two_of_ours() {
                if crate::lab::root() {
                    super::story::$story(Ours, Ours);
                }
            }

            #[test]
            fn our_master_stock_backup() {
                if crate::lab::root() {
                    super::story::$story(Ours, Stock);
                }
            }

            #[test]
            fn stock_master_our_backup() {
                if crate::lab::root() {
                    super::story::$story(Stock, Ours);
                }
            }
        }
    )*};
}
use with_every_pair;

/// The address that the routers of most stories share.
const VIP: &str = "10.66.0.100";

/// A busy machine may be this late; the benchmark, not these tests, measures how late a daemon is on an idle one.
const LATE: Duration = Duration::from_millis(400);
/// The wire is timed by the wall clock, the daemon's timers by the monotonic one: what their rates may differ by.
const DRIFT: Duration = Duration::from_millis(2);

/// Two routers and the address they share.
fn lan() -> Lan {
    Lan::new("eth0", &["10.66.0.1/24", "10.66.0.2/24"])
}

/// Master down interval of version 2 at one second, with the backup's own priority (RFC 3768 §6.1).
fn down_interval(priority: u64) -> Duration {
    Duration::from_secs(3) + skew_time(priority)
}

fn skew_time(priority: u64) -> Duration {
    Duration::from_micros((256 - priority) * 1_000_000 / 256)
}

/// A configuration of one instance; `more` goes into the instance, `before` before it.
fn conf(priority: u8, before: &str, more: &str) -> String {
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
fn assert_on_time(lan: &Lan, what: &str, from: u64, to: u64, bound: Duration) {
    let took = Duration::from_nanos(to.saturating_sub(from));
    assert!(
        took + DRIFT >= bound,
        "{what} after {took:?}, before the bound {bound:?}\n{}",
        lan.story()
    );
    assert!(
        took <= bound + LATE,
        "{what} after {took:?}, long after the bound {bound:?}\n{}",
        lan.story()
    );
}
