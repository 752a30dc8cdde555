//! One line of `static_routes` or `virtual_routes`, in the words of `ip route`.
//!
//! keepalived skips the word behind `inet` and `inet6`; here it is read, with a complaint. Source: keepalived.conf(5),
//! ip-route(8).

mod encap;
mod hops;
mod metrics;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::names::Names;
use super::super::source::Code;
use super::super::table::{Args, Block, Fault, Row, key, renamed};
use super::super::value;
use super::ip_line;
use super::route_words::{force_family, interface, named_octet, realms, same_family};
use crate::model::net::{Family, IfName, Scope};
use crate::model::route::{
    Insert, NextHop, Prefix, Protocol, Route, RouteType, RouterPreference, Table,
};

/// A route while its line is read.
#[derive(Clone, Debug)]
pub(crate) struct RouteLine {
    route: Route,
    /// That of any address in it.
    family: Option<Family>,
    dest: Option<Dest>,
    /// The second gateway, from `or`.
    or: Option<IpAddr>,
    /// `track_group`.
    group: Option<Arc<str>>,
    /// An interface need not exist.
    dynamic: bool,
}

#[derive(Clone, Copy, Debug)]
enum Dest {
    /// `default`, of the family of the other addresses.
    Any,
    To(Prefix),
}

/// A complaint that drops the line.
fn refuse<T>(a: &Args<'_, '_>, text: impl Into<String>) -> Result<T, Fault> {
    Err(a.whole_fault(Code::BadValue, text))
}

fn type_of(word: &str) -> Option<RouteType> {
    Some(RouteType(match word {
        "unicast" => 1,
        "local" => 2,
        "broadcast" | "brd" => 3,
        "anycast" => 4,
        "multicast" => 5,
        "blackhole" => 6,
        "unreachable" => 7,
        "prohibit" => 8,
        "throw" => 9,
        "nat" => 10,
        "xresolve" => 11,
        "" => 0,
        number => u8::try_from(value::any_radix(number)?).ok()?,
    }))
}

/// `[<type>] <IP>[/<plen>]|default|any|all|default6`, the first word taken already.
fn destination(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let mut word = a.last();
    if let Some(kind) = type_of(word) {
        v.route.kind = kind;
        word = a.word()?;
    }
    match word {
        "default" | "any" | "all" => v.dest = Some(Dest::Any),
        "default6" => {
            same_family(a, &mut v.family, Family::V6, "route")?;
            v.dest = Some(Dest::Any);
        }
        _ => {
            let Some((addr, len)) = ip_line::prefix(a, word) else {
                return refuse(a, format!("unknown route keyword {word}"));
            };
            same_family(a, &mut v.family, addr.into(), "route")?;
            v.dest = Some(Dest::To(Prefix { addr, len }));
        }
    }
    Ok(())
}

/// An address of the route's family.
fn address(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<IpAddr, Fault> {
    let addr = a.addr()?;
    same_family(a, &mut v.family, addr.into(), "route")?;
    Ok(addr)
}

/// `[inet|inet6] <IP>`
fn gateway(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let forced = match a.peek() {
        Some("inet") => Some(Family::V4),
        Some("inet6") => Some(Family::V6),
        Some(_) | None => None,
    };
    if let Some(family) = forced {
        a.opt();
        same_family(a, &mut v.family, family, "route")?;
    }
    v.route.via = Some(address(v, a)?);
    Ok(())
}

fn dev(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    v.route.dev = Some(interface(a, v.dynamic, "VROUTE nexthop")?);
    Ok(())
}

fn tos(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    v.route.tos = named_octet(a, Names::DsField, "TOS value")?;
    Ok(())
}

fn priority(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.strict(0..=u32::MAX).map(|n| v.route.priority = Some(n))
}

/// A VRF that exists. Devices whose kind cannot be told are believed.
fn vrf(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    let Some(found) = IfName::new(name).filter(|_| a.host().interface(name).is_some()) else {
        return refuse(a, format!("VRF {name} not found for route"));
    };
    let about = a
        .host()
        .read(format!("/sys/class/net/{name}/uevent").as_ref());
    if about.is_ok_and(|text| !String::from_utf8_lossy(&text).contains("DEVTYPE=vrf")) {
        return refuse(a, format!("Route specified VRF {name} is not a VRF"));
    }
    v.route.vrf = Some(found);
    Ok(())
}

/// What only IPv6 has.
fn only_v6(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    match *v.family.get_or_insert(Family::V6) {
        Family::V6 => Ok(()),
        Family::V4 => refuse(a, format!("{} is only valid for IPv6", a.keyword())),
    }
}

pub(crate) static ROUTE_LINE: Block<RouteLine> = Block {
    name: "route",
    rows: &[
        key("to", "<destination>", |v, a| {
            a.word()?;
            destination(v, a)
        }),
        key("inet", "IPv4", |v, a| {
            force_family(a, &mut v.family, Family::V4, "route")
        }),
        key("inet6", "IPv6", |v, a| {
            force_family(a, &mut v.family, Family::V6, "route")
        }),
        key("via", "[inet|inet6] <IP>", gateway),
        renamed("gw", "via"),
        key("or", "<IP>, a second gateway", |v, a| {
            a.warn(
                Code::Deprecated,
                "\"or\" for routes is deprecated. Please use \"nexthop\"",
            );
            let second = address(v, a)?;
            match v.or {
                Some(_) => a.warn(
                    Code::Repeated,
                    "\"or\" route already specified - ignoring subsequent",
                ),
                None => v.or = Some(second),
            }
            Ok(())
        }),
        key("src", "<IP>", |v, a| {
            v.route.prefsrc = Some(address(v, a)?);
            Ok(())
        }),
        key("from", "<IPv6>[/<plen>]", |v, a| {
            let word = a.word()?;
            match ip_line::prefix(a, word) {
                Some((addr @ IpAddr::V6(_), len)) => {
                    same_family(a, &mut v.family, Family::V6, "route")?;
                    v.route.source = Some(Prefix { addr, len });
                    Ok(())
                }
                Some((IpAddr::V4(_), _)) | None => refuse(
                    a,
                    format!("route from address only supported with IPv6 ({word})"),
                ),
            }
        }),
        key("as", "[to] <x>, ignored", |_, a| {
            if a.word()? == "to" {
                _ = a.opt();
            }
            a.warn(Code::Useless, "\"as to\" for MPLS only - ignoring");
            Ok(())
        }),
        key("tos", "0..=255|name of rt_dsfield", tos),
        key("dsfield", "as tos", tos),
        key("table", "<uint>|name of rt_tables, default main", |v, a| {
            let word = a.word()?;
            match a.named(Names::Table, word) {
                Some(n) => v.route.table = Table(n),
                None => return refuse(a, format!("Routing table {word} not found for route")),
            }
            Ok(())
        }),
        key(
            "protocol",
            "0..=255|name of rt_protos, default keepalived",
            |v, a| {
                named_octet(a, Names::Protocol, "Protocol").map(|n| v.route.protocol = Protocol(n))
            },
        ),
        key(
            "scope",
            "0..=255|name of rt_scopes, default global",
            |v, a| named_octet(a, Names::Scope, "Scope").map(|n| v.route.scope = Scope(n)),
        ),
        key("metric", "<uint>", priority),
        key("priority", "as metric", priority),
        key("preference", "as metric", priority),
        key("dev", "<IFNAME>", dev),
        key("oif", "as dev", dev),
        key("onlink", "flag", |v, a| {
            a.flag().map(|on| v.route.onlink = on)
        }),
        key("encap", "ip|ip6|mpls|ila ...", |v, a| {
            match encap::read(a) {
                Ok(found) => v.route.encap = Some(found),
                Err(fault) if fault.is_missing() => return Err(fault),
                Err(fault) => {
                    a.report(fault);
                    a.skip_to_known(&ROUTE_LINE);
                }
            }
            Ok(())
        }),
        key("expires", "seconds, IPv6 only", |v, a| {
            let seconds = a.strict(0..=u32::MAX)?;
            only_v6(v, a)?;
            v.route.expires = Some(Duration::from_secs(seconds.into()));
            Ok(())
        }),
        metrics::MTU,
        metrics::ADVMSS,
        metrics::REORDERING,
        metrics::CWND,
        metrics::SSTHRESH,
        metrics::HOPLIMIT,
        metrics::RTT,
        metrics::RTTVAR,
        metrics::RTO_MIN,
        metrics::WINDOW,
        metrics::INITCWND,
        metrics::INITRWND,
        metrics::FEATURES,
        metrics::QUICKACK,
        metrics::CONGCTL,
        metrics::FASTOPEN,
        key("realms", "<realm>[/<realm>], IPv4 only", |v, a| {
            v.route.realms = Some(realms(a, "route")?);
            same_family(a, &mut v.family, Family::V4, "route")
        }),
        key("pref", "low|medium|high|0..=255, IPv6 only", |v, a| {
            let word = a.word()?;
            let number = match word {
                "low" => Some(3),
                "medium" => Some(0),
                "high" => Some(1),
                number => number.parse().ok(),
            };
            let Some(number) = number else {
                return refuse(a, format!("pref {word} not low, medium or high"));
            };
            only_v6(v, a)?;
            v.route.pref = Some(RouterPreference(number));
            Ok(())
        }),
        key("ttl-propagate", "enabled|disabled", |v, a| {
            match a.word()? {
                "enabled" => v.route.ttl_propagate = Some(true),
                "disabled" => v.route.ttl_propagate = Some(false),
                word => a.warn(
                    Code::BadValue,
                    format!("ttl-propagate value {word} not recognised"),
                ),
            }
            Ok(())
        }),
        insert("add", |v, _| {
            v.route.insert = Insert::Add;
            Ok(())
        }),
        insert("prepend", |v, _| {
            v.route.insert = Insert::Prepend;
            Ok(())
        }),
        insert("append", |v, _| {
            v.route.insert = Insert::Append;
            Ok(())
        }),
        key(
            "nexthop",
            "{via [inet|inet6] <IP>|dev <IFNAME>|weight 1..=256|onlink|encap ...|realms ...}...",
            hops::read,
        ),
        key("no_track", "flag", |v, a| {
            a.flag().map(|on| v.route.track = !on)
        }),
        key("track_group", "<NAME>, static routes only", |v, a| {
            v.group = Some(a.word()?.into());
            Ok(())
        }),
        key("vrf", "<IFNAME>", vrf),
    ],
    more: &[],
};

type Put = fn(&mut RouteLine, &mut Args<'_, '_>) -> Result<(), Fault>;

const fn insert(keyword: &'static str, put: Put) -> Row<RouteLine> {
    key(keyword, "how it is inserted, default prepend", put)
}

/// Reads a line. `dynamic`: its interfaces need not exist. The second is its `track_group`, not yet looked up.
pub(crate) fn read(
    a: &mut Args<'_, '_>,
    dynamic: bool,
) -> Result<(Route, Option<Arc<str>>), Fault> {
    let any = Prefix::any(Family::V4);
    let mut v = RouteLine {
        route: Route::new(any),
        family: None,
        dest: None,
        or: None,
        group: None,
        dynamic,
    };
    a.inline(&ROUTE_LINE, &mut v, destination)?;
    let family = v.family.unwrap_or(Family::V4);
    let dest = match v.dest {
        Some(Dest::Any) => Prefix::any(family),
        Some(Dest::To(prefix)) => prefix,
        None => return refuse(a, "Route has no destination"),
    };
    let mut route = Route {
        family,
        dest,
        ..v.route
    };
    if let Some(or) = v.or {
        let hop = |via| NextHop {
            via: Some(via),
            dev: route.dev.clone(),
            ..NextHop::default()
        };
        let both: Vec<_> = route.via.into_iter().chain([or]).map(hop).collect();
        route.via = None;
        route.nexthops.splice(0..0, both);
    }
    if route.track && route.protocol != Protocol::KEEPALIVED {
        let text =
            "Route cannot be tracked if protocol is not RTPROT_KEEPALIVED(18), resetting protocol";
        let fault = a.whole_fault(Code::Conflict, text);
        a.report(fault);
        route.protocol = Protocol::KEEPALIVED;
    }
    Ok((route, v.group))
}

/// Reads a line that is no static one.
pub(crate) fn read_virtual(a: &mut Args<'_, '_>, dynamic: bool) -> Result<Route, Fault> {
    match read(a, dynamic)? {
        (route, None) => Ok(route),
        (_, Some(_)) => refuse(a, "track_group is for static routes only"),
    }
}
