//! Is this packet a valid advertisement for this instance? keepalived's checks in keepalived's order.
//!
//! It never changes a timer: what a packet does is decided in `instance`. Sources: RFC 3768 §7.1, RFC 9568 §7.1.

use std::net::IpAddr;
use std::time::Duration;

use crate::model::net::Family;
use crate::model::vrrp::{Instance, Version};
use crate::time::Centis;
use crate::wire::checksum::Sum;
use crate::wire::ip::{self, Ipv4Header};
use crate::wire::vrrp::{self as wire, Header, Over};

use super::{Counters, Packet, PacketFault, advert, auth};

/// Shorter packets are padded by Ethernet to this many octets.
const ETHERNET_MIN: usize = 46;

/// A packet that is long enough to say for whom it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) header: Header,
    /// TTL or hop limit.
    ttl: u8,
    /// Octets of the IP header at hand: 0 over IPv6.
    ip_header: usize,
    /// What the IP header says; over IPv6 the kernel has compared it already.
    total_length: usize,
    /// From the VRRP header to the end, padding included.
    pub(super) pdu: &'a [u8],
}

impl<'a> Arrival<'a> {
    /// `None` for a runt: no whole IP header, or fewer than 8 octets after it; or another protocol.
    pub(super) fn of(packet: &'a Packet) -> Option<Self> {
        match packet {
            Packet::V4(octets) => {
                let (ip, pdu) = Ipv4Header::parse(octets).ok()?;
                let (header, _) = Header::parse(pdu)?;
                (ip.protocol == ip::VRRP).then_some(Self {
                    src: ip.src.into(),
                    dst: ip.dst.into(),
                    header,
                    ttl: ip.ttl,
                    ip_header: octets.len() - pdu.len(),
                    total_length: ip.total_length.into(),
                    pdu,
                })
            }
            Packet::V6 {
                src,
                dst,
                hop_limit,
                payload,
            } => {
                let (header, _) = Header::parse(payload)?;
                Some(Self {
                    src: (*src).into(),
                    dst: (*dst).into(),
                    header,
                    ttl: *hop_limit,
                    ip_header: 0,
                    total_length: payload.len(),
                    pdu: payload,
                })
            }
        }
    }
}

/// A valid advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) src: IpAddr,
    /// 0: the sender resigns.
    pub(super) priority: u8,
    /// The sender's interval: in version 2 the same as ours.
    pub(super) interval: Duration,
    /// What is worth a line though the packet is obeyed.
    pub(super) oddities: [Option<PacketFault>; 2],
}

/// The last packet that passed every check. Its repetition, octet for octet, needs none of them: that is what a
/// healthy network delivers.
#[derive(Debug, Default)]
pub(super) struct Known {
    pdu: Vec<u8>,
    heard: Option<Heard>,
}

impl Known {
    fn matches(&self, arrival: &Arrival<'_>) -> Option<Heard> {
        let whole = arrival.total_length == arrival.ip_header + arrival.pdu.len();
        self.heard.filter(|heard| {
            heard.src == arrival.src && arrival.ttl == ip::TTL && whole && self.pdu == arrival.pdu
        })
    }

    fn remember(&mut self, arrival: &Arrival<'_>, heard: Heard) {
        self.pdu.clear();
        self.pdu.extend(arrival.pdu);
        self.heard = Some(heard);
    }

    /// To be called when the model changes.
    pub(super) fn forget(&mut self) {
        self.heard = None;
    }
}

/// Runs every check and counts. `master`: who was obeyed last; with `skip_check_adv_addr` its list is trusted.
///
/// # Errors
/// The first check that failed; the packet must have no effect.
pub(super) fn check(
    model: &Instance,
    arrival: &Arrival<'_>,
    master: Option<IpAddr>,
    known: &mut Known,
    counters: &mut Counters,
) -> Result<Heard, PacketFault> {
    if let Some(heard) = known.matches(arrival) {
        counters.advert_received += 1;
        counters.priority_zero_received += u64::from(heard.priority == 0);
        return Ok(heard);
    }
    let trusted = model.skip_check_adv_addr && master == Some(arrival.src);
    let result = examine(model, arrival, Listed { trusted });
    match result {
        Ok(heard) => {
            counters.advert_received += 1;
            counters.priority_zero_received += u64::from(heard.priority == 0);
            if heard.oddities[1].is_some() {
                counters.address_list_errors += 1;
            } else {
                known.remember(arrival, heard);
            }
        }
        Err(fault) => count(fault, counters),
    }
    result
}

/// What is known of the address list before looking at it.
#[derive(Clone, Copy, Debug)]
struct Listed {
    /// `skip_check_adv_addr`: the sender's earlier lists were accepted.
    trusted: bool,
}

fn examine(model: &Instance, arrival: &Arrival<'_>, listed: Listed) -> Result<Heard, PacketFault> {
    let header = &arrival.header;
    let (over, version) = (over(model), number(model.version));
    // keepalived: our own version decides how long a packet must be.
    let want = arrival.ip_header + wire::length(version, over, header.count);
    let got = arrival.ip_header + arrival.pdu.len();
    if got < want {
        return Err(PacketFault::TooShort { got, want });
    }
    if !fits(got, want) {
        return Err(PacketFault::TooLong { got, want });
    }
    if arrival.ttl != ip::TTL {
        return Err(PacketFault::Ttl(arrival.ttl));
    }
    if header.version != version {
        return Err(PacketFault::Version {
            got: header.version,
            want: version,
        });
    }
    let pdu = arrival
        .pdu
        .get(..want - arrival.ip_header)
        .unwrap_or(arrival.pdu);
    let (interval, learned) = match model.version {
        Version::V2 => {
            let data = match over {
                Over::V4 => pdu.last_chunk(),
                Over::V6 => None,
            };
            auth::check(&model.auth, header.auth_type(), data)?;
            let (got, want) = (header.advert_int(), advert::seconds(model));
            if got != want {
                return Err(PacketFault::Interval { got, want });
            }
            (model.advert_int, None)
        }
        Version::V3 => {
            let (got, want) = (header.max_advertise_interval(), advert::centis(model));
            let (got, want): (Duration, Duration) = (got.max(Centis(1)).into(), want.into());
            let learned = (got != want).then_some(PacketFault::IntervalLearned { got, want });
            (got, learned)
        }
    };
    if header.kind != wire::ADVERTISEMENT {
        return Err(PacketFault::Type(header.kind));
    }
    if arrival.total_length != want
        && !(arrival.total_length > want && fits(arrival.total_length, want))
    {
        return Err(PacketFault::TotalLength {
            got: arrival.total_length,
            want,
        });
    }
    if checksum(model.version, arrival, pdu) != 0 {
        return Err(PacketFault::Checksum);
    }
    Ok(Heard {
        src: arrival.src,
        priority: header.priority,
        interval,
        oddities: [learned, address_oddity(model, header, pdu, listed)],
    })
}

/// `got` octets, at least `want`, may be `want` octets with the padding of a short Ethernet frame.
fn fits(got: usize, want: usize) -> bool {
    got == want || (want < ETHERNET_MIN && got > want && (got - want) % 4 == 2)
}

fn over(model: &Instance) -> Over {
    match model.family {
        Family::V4 => Over::V4,
        Family::V6 => Over::V6,
    }
}

fn number(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}

/// 0 when it is right. Over IPv6 the kernel has verified it.
fn checksum(version: Version, arrival: &Arrival<'_>, pdu: &[u8]) -> u16 {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (arrival.src, arrival.dst) else {
        return 0;
    };
    let pseudo = match version {
        Version::V2 => Sum::ZERO,
        Version::V3 => Sum::pseudo_v4(
            src,
            dst,
            ip::VRRP,
            u16::try_from(pdu.len()).unwrap_or(u16::MAX),
        ),
    };
    pseudo.add(pdu).checksum()
}

/// keepalived: a different address list is reported and counted, and the packet is obeyed all the same.
fn address_oddity(
    model: &Instance,
    header: &Header,
    pdu: &[u8],
    listed: Listed,
) -> Option<PacketFault> {
    let ours = u8::try_from(model.addresses.len()).unwrap_or(u8::MAX);
    if header.count != ours {
        return Some(PacketFault::AddressCount {
            got: header.count,
            want: ours,
        });
    }
    if listed.trusted {
        return None;
    }
    let body = pdu.get(wire::HEADER..).unwrap_or_default();
    let missing = |at: usize, addr: IpAddr| match addr {
        IpAddr::V4(addr) => !lists(wire::v4(body).take(ours.into()), at, addr),
        IpAddr::V6(addr) => !lists(wire::v6(body).take(ours.into()), at, addr),
    };
    let mut addrs = model.addresses.iter().map(|a| a.addr).enumerate();
    addrs
        .find(|(at, addr)| *at < ours.into() && missing(*at, *addr))
        .map(|(_, addr)| PacketFault::AddressMissing(addr))
}

/// `addr` is most likely where it is in our own list.
fn lists<A: PartialEq>(mut listed: impl Iterator<Item = A> + Clone, at: usize, addr: A) -> bool {
    listed.clone().nth(at).is_some_and(|a| a == addr) || listed.any(|a| a == addr)
}

fn count(fault: PacketFault, counters: &mut Counters) {
    let counter = match fault {
        PacketFault::TooShort { .. }
        | PacketFault::TooLong { .. }
        | PacketFault::TotalLength { .. } => &mut counters.packet_length_errors,
        PacketFault::Ttl(_) => &mut counters.ttl_errors,
        PacketFault::Version { .. } => &mut counters.version_errors,
        PacketFault::AuthTypeUnknown(_) => &mut counters.invalid_auth_type,
        PacketFault::AuthTypeMismatch { .. } => &mut counters.auth_type_mismatch,
        PacketFault::Password => &mut counters.auth_failures,
        PacketFault::Type(_) => &mut counters.invalid_type,
        PacketFault::Checksum => &mut counters.checksum_errors,
        PacketFault::AddressCount { .. } | PacketFault::AddressMissing(_) => {
            &mut counters.address_list_errors
        }
        // keepalived: never counted.
        PacketFault::Interval { .. } | PacketFault::IntervalLearned { .. } => return,
    };
    *counter += 1;
}

#[cfg(test)]
mod tests;
