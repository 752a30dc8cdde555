//! What a route tells TCP: the words that become `RTA_METRICS`.

use super::super::super::source::Code;
use super::super::super::table::{Args, Fault, Row, key};
use super::super::super::value;
use super::{RouteLine, refuse};
use crate::model::route::{Locked, Metric};

type Line = Row<RouteLine>;

fn put(v: &mut RouteLine, metric: Metric, value: u32, locked: bool) {
    v.route.metrics.insert(metric, Locked { value, locked });
}

/// `lock`, if it is there.
fn lock(a: &mut Args<'_, '_>) -> bool {
    let locked = a.peek() == Some("lock");
    if locked {
        a.opt();
    }
    locked
}

fn lockable(v: &mut RouteLine, a: &mut Args<'_, '_>, metric: Metric) -> Result<(), Fault> {
    let locked = lock(a);
    let value = a.strict(0..=u32::MAX)?;
    put(v, metric, value, locked);
    Ok(())
}

fn plain(v: &mut RouteLine, a: &mut Args<'_, '_>, metric: Metric, max: u32) -> Result<(), Fault> {
    a.strict(0..=max).map(|n| put(v, metric, n, false))
}

fn time(v: &mut RouteLine, a: &mut Args<'_, '_>, metric: Metric, scale: u32) -> Result<(), Fault> {
    let locked = lock(a);
    let value = kernel_time(a, scale)?;
    put(v, metric, value, locked);
    Ok(())
}

const COUNT: &str = "[lock] <uint>";
const TIME: &str = "[lock] <number>[s|ms], 200ms..=120s";

pub(super) const MTU: Line = key("mtu", COUNT, |v, a| lockable(v, a, Metric::Mtu));
pub(super) const ADVMSS: Line = key("advmss", COUNT, |v, a| lockable(v, a, Metric::AdvMss));
pub(super) const REORDERING: Line = key("reordering", COUNT, |v, a| {
    lockable(v, a, Metric::Reordering)
});
pub(super) const CWND: Line = key("cwnd", COUNT, |v, a| lockable(v, a, Metric::Cwnd));
pub(super) const SSTHRESH: Line = key("ssthresh", COUNT, |v, a| lockable(v, a, Metric::SsThresh));
pub(super) const HOPLIMIT: Line = key("hoplimit", "0..=255", |v, a| {
    plain(v, a, Metric::HopLimit, 255)
});
pub(super) const RTT: Line = key("rtt", TIME, |v, a| time(v, a, Metric::Rtt, 8));
pub(super) const RTTVAR: Line = key("rttvar", TIME, |v, a| time(v, a, Metric::RttVar, 4));
pub(super) const RTO_MIN: Line = key("rto_min", TIME, |v, a| time(v, a, Metric::RtoMin, 1));
pub(super) const WINDOW: Line = key("window", "<uint>", |v, a| {
    plain(v, a, Metric::Window, u32::MAX)
});
pub(super) const INITCWND: Line = key("initcwnd", "<uint>", |v, a| {
    plain(v, a, Metric::InitCwnd, u32::MAX)
});
pub(super) const INITRWND: Line = key("initrwnd", "<uint>", |v, a| {
    plain(v, a, Metric::InitRwnd, u32::MAX)
});
pub(super) const FEATURES: Line = key("features", "ecn", |v, a| {
    match a.word()? {
        "ecn" => put(v, Metric::Features, 1, false),
        word => a.warn(Code::BadValue, format!("feature {word} not supported")),
    }
    Ok(())
});
pub(super) const QUICKACK: Line = key("quickack", "0|1", |v, a| plain(v, a, Metric::QuickAck, 1));
pub(super) const FASTOPEN: Line = key("fastopen_no_cookie", "0|1", |v, a| {
    plain(v, a, Metric::FastOpenNoCookie, 1)
});
pub(super) const CONGCTL: Line = key("congctl", "[lock] <NAME>", |v, a| {
    let locked = lock(a);
    let name = a.word()?;
    // `TCP_CA_NAME_MAX`, linux/tcp.h.
    if name.len() > 15 {
        return refuse(a, format!("congctl {name} is too long"));
    }
    let value = name.into();
    v.route.congctl = Some(Locked { value, locked });
    Ok(())
});

/// Digits with a unit behind.
fn split_unit(word: &str) -> (&str, &str) {
    let end = word
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(word.len());
    word.split_at(end)
}

/// A number in the kernel's unit, of which a millisecond has `scale`: as it is, or in seconds or milliseconds.
fn kernel_time(a: &mut Args<'_, '_>, scale: u32) -> Result<u32, Fault> {
    let word = a.word()?;
    let (number, unit) = split_unit(word);
    let (places, per_unit) = match unit {
        "" => (0, 1),
        "ms" | "msec" | "msecs" => (0, u128::from(scale)),
        "s" | "sec" | "secs" => (3, u128::from(scale)),
        _ => return refuse(a, format!("Invalid {} {word} for route", a.keyword())),
    };
    let Some(found) = value::decimal(number, places) else {
        return refuse(a, format!("Invalid {} {word} for route", a.keyword()));
    };
    if found.rounded {
        a.warn(
            Code::Rounded,
            format!("number '{number}' has too many decimal places"),
        );
    }
    let units = match places {
        0 => u128::from(found.value.as_secs()) * per_unit,
        _ => found.value.as_millis() * per_unit,
    };
    let (min, max) = (200 * u128::from(scale), 120_000 * u128::from(scale));
    let used = units.clamp(min, max);
    if used != units {
        a.warn(
            Code::OutOfRange,
            format!("{word} is not in 200ms..=120s - using the nearest"),
        );
    }
    Ok(u32::try_from(used).unwrap_or(u32::MAX))
}
