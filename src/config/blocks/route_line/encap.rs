//! `encap`: the lightweight tunnel of a route or of a next hop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::super::names::Names;
use super::super::super::table::{Args, Fault};
use super::super::route_words::named_octet;
use super::refuse;
use crate::model::route::{Encap, TunnelHeader};

/// Highest MPLS label, 20 bits.
const MAX_LABEL: u32 = 0xf_ffff;

/// The words behind `encap`.
pub(super) fn read(a: &mut Args<'_, '_>) -> Result<Encap, Fault> {
    match a.word()? {
        "ip" => header::<Ipv4Addr>(a, "ip", ["tos", "ttl"], |addr| match addr {
            IpAddr::V4(addr) => Some(addr),
            IpAddr::V6(_) => None,
        })
        .map(Encap::Ip),
        "ip6" => header::<Ipv6Addr>(a, "ip6", ["tc", "hoplimit"], |addr| match addr {
            IpAddr::V6(addr) => Some(addr),
            IpAddr::V4(_) => None,
        })
        .map(Encap::Ip6),
        "mpls" => {
            let word = a.word()?;
            let labels = word
                .split('/')
                .map(|l| l.parse().ok().filter(|n| *n <= MAX_LABEL));
            match labels.collect() {
                Some(labels) => Ok(Encap::Mpls(labels)),
                None => refuse(a, format!("invalid mpls address {word} for encapsulation")),
            }
        }
        "ila" => {
            let word = a.word()?;
            match locator(word) {
                Some(locator) => Ok(Encap::Ila(locator)),
                None => refuse(a, format!("invalid ila locator {word} for encapsulation")),
            }
        }
        word => refuse(a, format!("Unknown encap type - {word}")),
    }
}

/// Four groups of 16 bits in hexadecimal.
fn locator(word: &str) -> Option<u64> {
    let group = |g: &str| u16::from_str_radix(g, 16).ok().filter(|_| g.len() <= 4);
    let groups: Vec<u16> = word.split(':').map(group).collect::<Option<_>>()?;
    let all = groups
        .iter()
        .fold(0_u64, |sum, g| sum << 16 | u64::from(*g));
    (groups.len() == 4).then_some(all)
}

/// `[class, limit]`: what the family calls TOS and TTL.
fn header<A>(
    a: &mut Args<'_, '_>,
    kind: &str,
    [class, limit]: [&str; 2],
    of: fn(IpAddr) -> Option<A>,
) -> Result<TunnelHeader<A>, Fault> {
    let mut found = TunnelHeader::default();
    while let Some(word) = a.peek() {
        let known = ["id", "dst", "src", "flags", class, limit].contains(&word);
        if !known {
            break;
        }
        a.opt();
        match word {
            "id" => found.id = Some(a.strict(0..=u64::MAX)?),
            "dst" => found.dst = Some(endpoint(a, kind, of)?),
            "src" => found.src = Some(endpoint(a, kind, of)?),
            "flags" => found.flags = Some(a.strict(0..=u16::MAX)?),
            _ if word == class => found.tos = Some(named_octet(a, Names::DsField, class)?),
            _ => found.ttl = Some(a.strict(0..=u8::MAX)?),
        }
    }
    match found.dst.is_some() || found.id.is_some() {
        true => Ok(found),
        false => refuse(a, format!("address or id missing for {kind} encapsulation")),
    }
}

fn endpoint<A>(a: &mut Args<'_, '_>, kind: &str, of: fn(IpAddr) -> Option<A>) -> Result<A, Fault> {
    let addr = a.addr()?;
    match of(addr) {
        Some(addr) => Ok(addr),
        None => refuse(
            a,
            format!("address {addr} not valid for {kind} encapsulation"),
        ),
    }
}
