//! `nexthop`: the hops of a multipath route, which end the line.

use super::super::super::source::Code;
use super::super::super::table::{Args, Fault};
use super::super::route_words::{interface, realms, same_family};
use super::{RouteLine, encap};
use crate::model::net::Family;
use crate::model::route::NextHop;

/// The words behind the first `nexthop`. A hop with a mistake is dropped with all that follow it; the route is kept.
pub(super) fn read(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    loop {
        match hop(v, a) {
            Ok(hop) => v.route.nexthops.push(hop),
            Err(fault) if fault.is_missing() => return Err(fault),
            Err(fault) => {
                a.report(fault);
                a.rest().for_each(drop);
                return Ok(());
            }
        }
        match a.opt() {
            None => return Ok(()),
            Some("nexthop") => {}
            Some(word) => {
                let text = format!("Route has trailing nonsense after nexthops - {word}");
                let fault = a.whole_fault(Code::UnknownWord, text);
                a.report(fault);
                a.rest().for_each(drop);
                return Ok(());
            }
        }
    }
}

fn hop(v: &mut RouteLine, a: &mut Args<'_, '_>) -> Result<NextHop, Fault> {
    let mut hop = NextHop::default();
    while let Some(word) = a.peek() {
        if !["via", "dev", "oif", "weight", "onlink", "encap", "realms"].contains(&word) {
            break;
        }
        a.opt();
        match word {
            "via" => {
                let forced = match a.peek() {
                    Some("inet") => Some(Family::V4),
                    Some("inet6") => Some(Family::V6),
                    Some(_) | None => None,
                };
                if let Some(family) = forced {
                    a.opt();
                    same_family(a, &mut v.family, family, "nexthop")?;
                }
                let addr = a.addr()?;
                same_family(a, &mut v.family, addr.into(), "nexthop")?;
                hop.via = Some(addr);
            }
            "weight" => hop.weight = Some(a.strict(1..=256_u16)?),
            "onlink" => hop.onlink = true,
            "encap" => hop.encap = Some(encap::read(a)?),
            "realms" => hop.realms = Some(realms(a, "nexthop")?),
            _ => hop.dev = Some(interface(a, v.dynamic, "VROUTE nexthop")?),
        }
    }
    Ok(hop)
}
