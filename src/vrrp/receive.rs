//! Is this packet a valid advertisement for this instance? keepalived's checks in keepalived's order.
//!
//! It never changes a timer: what a packet does is decided in `instance`. Sources: RFC 3768 §7.1, RFC 9568 §7.1.

mod arrival;
mod memory;

use std::net::IpAddr;
use std::time::Duration;

use crate::model::auth::Auth;
use crate::model::net::Family;
use crate::model::unicast::OldChecksum;
use crate::model::vrrp::{Instance, Version};
use crate::time::Centis;
use crate::wire::checksum::Sum;
use crate::wire::ip;
use crate::wire::trailer::{Signed, TRAILER};
use crate::wire::vrrp::{self as wire, Header, Over};

pub(super) use self::arrival::{Arrival, Envelope};
use self::memory::Known;
pub(super) use self::memory::Memory;
use super::auth::{self, Claim, Form};
use super::tally::Tally;
use super::{PacketFault, advert};

/// Shorter packets are padded by Ethernet to this many octets.
const ETHERNET_MIN: usize = 46;

/// A valid advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) src: IpAddr,
    /// 0: the sender resigns.
    pub(super) priority: u8,
    /// The sender's interval: in version 2 the same as ours.
    pub(super) interval: Duration,
    /// `auth_hmac`: with a trailer or without.
    pub(super) form: Form,
    /// Unicast: the sender has the old checksum.
    pub(super) old_checksum: bool,
    /// What is worth a line though the packet is obeyed: its interval, its addresses, its clock.
    pub(super) oddities: [Option<PacketFault>; 3],
}

/// What matters besides the packet itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// Who was obeyed last; with `skip_check_adv_addr` its list is trusted.
    pub(super) master: Option<IpAddr>,
    /// By the wall clock, since 1970: for `auth_hmac`.
    pub(super) wall: Duration,
    /// `owner_ignore_adverts`, and we run as the owner.
    pub(super) deaf: bool,
}

/// Runs every check and counts.
///
/// # Errors
/// The first check that failed; the packet must have no effect.
pub(super) fn check(
    model: &Instance,
    arrival: &Arrival<'_>,
    circumstances: Circumstances,
    memory: &mut Memory,
    counters: &mut Tally,
) -> Result<Heard, PacketFault> {
    if !circumstances.deaf
        && let Some(heard) = memory.known.as_ref().and_then(|k| k.matches(arrival))
    {
        counters.advert_received += 1;
        note_resignation(&heard, counters);
        return Ok(heard);
    }
    let result = examine(model, arrival, circumstances, memory);
    match result {
        Ok(heard) => {
            counters.advert_received += 1;
            note_resignation(&heard, counters);
            if heard.oddities[1].is_some() {
                counters.rare().address_list_errors += 1;
            } else if let Auth::None | Auth::Pass(_) = model.auth {
                let regular = heard.oddities.iter().all(Option::is_none);
                memory.known = regular.then(|| Box::new(Known::new(arrival, &heard)));
            }
        }
        Err(fault) => count(fault, counters),
    }
    result
}

fn examine(
    model: &Instance,
    arrival: &Arrival<'_>,
    circumstances: Circumstances,
    memory: &mut Memory,
) -> Result<Heard, PacketFault> {
    let header = &arrival.header;
    let (over, version) = (over(model), number(model.version));
    // keepalived: our own version decides how long a packet must be.
    let bare = arrival.ip_header + wire::length(version, over, header.count);
    let got = arrival.ip_header + arrival.pdu.len();
    let trailed = matches!(model.auth, Auth::Hmac(_)) && got == bare + TRAILER;
    let want = if trailed { got } else { bare };
    if got < want {
        return Err(PacketFault::TooShort { got, want });
    }
    if !fits(got, want) {
        return Err(PacketFault::TooLong { got, want });
    }
    if model.unicast.is_none() && arrival.ttl != ip::TTL {
        return Err(PacketFault::Ttl(arrival.ttl));
    }
    if header.version != version {
        return Err(PacketFault::Version {
            got: header.version,
            want: version,
        });
    }
    let octets = arrival.pdu;
    let (pdu, rest) = octets
        .split_at_checked(bare - arrival.ip_header)
        .unwrap_or((octets, &[]));
    let (form, skewed) = match &model.auth {
        Auth::Hmac(hmac) => {
            let signed = Signed {
                src: arrival.src,
                pdu,
            };
            let trailer = rest.first_chunk().filter(|_| trailed);
            let unicast = model.unicast.as_ref();
            let verdict =
                memory
                    .seals()
                    .replay
                    .check(hmac, unicast, signed, trailer, circumstances.wall)?;
            (verdict.form, verdict.skewed.map(PacketFault::HmacSkewed))
        }
        Auth::None | Auth::Pass(_) | Auth::Ah(_) => (Form::Plain, None),
    };
    let (interval, learned) = interval(model, arrival, (pdu, got - want), memory)?;
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
    let style = checksum(model, arrival, pdu).ok_or(PacketFault::Checksum)?;
    if circumstances.deaf {
        return Err(PacketFault::Deaf);
    }
    known_peer(model, arrival)?;
    let trusted = model.skip_check_adv_addr && circumstances.master == Some(arrival.src);
    let listed = address_oddity(model, header, pdu, Listed { trusted });
    Ok(Heard {
        src: arrival.src,
        priority: header.priority,
        interval,
        form,
        old_checksum: style == Style::Old,
        oddities: [learned, listed, skewed],
    })
}

/// The sender's interval, and what is odd about it; in version 2 the sender must prove first who it is. `padding`: octets at
/// the end of the packet.
fn interval(
    model: &Instance,
    arrival: &Arrival<'_>,
    (pdu, padding): (&[u8], usize),
    memory: &mut Memory,
) -> Result<(Duration, Option<PacketFault>), PacketFault> {
    let header = &arrival.header;
    match model.version {
        Version::V2 => {
            let data = match over(model) {
                Over::V4 => pdu.last_chunk(),
                Over::V6 => None,
            };
            let envelope = arrival.envelope.map(|e| Envelope {
                payload: &e.payload[..e.payload.len() - padding],
                ..e
            });
            let claim = Claim {
                auth_type: header.auth_type(),
                data,
                envelope,
            };
            auth::check(&model.auth, claim, memory)?;
            let (got, want) = (header.advert_int(), advert::seconds(model));
            if got != want {
                return Err(PacketFault::Interval { got, want });
            }
            Ok((model.advert_int, None))
        }
        Version::V3 => {
            let (got, want) = (header.max_advertise_interval(), advert::centis(model));
            let (got, want): (Duration, Duration) = (got.max(Centis(1)).into(), want.into());
            let learned = (got != want).then_some(PacketFault::IntervalLearned { got, want });
            Ok((got, learned))
        }
    }
}

/// What is known of the address list before looking at it.
#[derive(Clone, Copy, Debug)]
struct Listed {
    /// `skip_check_adv_addr`: the sender's earlier lists were accepted.
    trusted: bool,
}

/// `check_unicast_src`, `min_ttl`, `max_ttl`.
fn known_peer(model: &Instance, arrival: &Arrival<'_>) -> Result<(), PacketFault> {
    let Some(unicast) = model.unicast.as_ref().filter(|u| u.check_source) else {
        return Ok(());
    };
    let peer = unicast.peers.iter().find(|p| p.addr == arrival.src);
    let allowed = &peer.ok_or(PacketFault::NotAPeer)?.ttl;
    if !allowed.contains(&arrival.ttl) {
        return Err(PacketFault::PeerTtl(arrival.ttl));
    }
    Ok(())
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

/// How a checksum was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Current,
    /// `old_unicast_checksum`.
    Old,
}

/// `None`: it is wrong. Over IPv6 the kernel has verified it.
fn checksum(model: &Instance, arrival: &Arrival<'_>, pdu: &[u8]) -> Option<Style> {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (arrival.src, arrival.dst) else {
        return Some(Style::Current);
    };
    let len = u16::try_from(pdu.len()).unwrap_or(u16::MAX);
    let right = |pseudo: Sum| pseudo.add(pdu).checksum() == 0;
    let style = model.unicast.as_ref().map(|u| u.old_checksum);
    if style != Some(OldChecksum::Always) && right(advert::pseudo_v4(model, src, dst, len)) {
        return Some(Style::Current);
    }
    // keepalived: with v3_checksum_as_v2 whatever comes is right; at least it has to be one of the two.
    if model.checksum_as_v2
        && model.version == Version::V3
        && right(Sum::pseudo_v4(src, dst, ip::VRRP, len))
    {
        return Some(Style::Current);
    }
    match (style, model.mcast_group) {
        // keepalived: who was recognised once must not change any more, and is not answered in kind.
        (Some(OldChecksum::Recognised | OldChecksum::Always), IpAddr::V4(group)) => {
            right(advert::pseudo_v4(model, src, group, len)).then_some(Style::Old)
        }
        (None | Some(OldChecksum::Never), _) | (_, IpAddr::V6(_)) => None,
    }
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

fn note_resignation(heard: &Heard, counters: &mut Tally) {
    if heard.priority == 0 {
        counters.rare().priority_zero_received += 1;
    }
}

fn count(fault: PacketFault, counters: &mut Tally) {
    let counter = match fault {
        PacketFault::TooShort { .. }
        | PacketFault::TooLong { .. }
        | PacketFault::TotalLength { .. } => &mut counters.rare().packet_length_errors,
        PacketFault::Ttl(_) => &mut counters.rare().ttl_errors,
        PacketFault::Version { .. } => &mut counters.rare().version_errors,
        PacketFault::AuthTypeUnknown(_) => &mut counters.rare().invalid_auth_type,
        PacketFault::AuthTypeMismatch { .. } => &mut counters.rare().auth_type_mismatch,
        PacketFault::Password
        | PacketFault::AhDigest
        | PacketFault::AhSpi
        | PacketFault::AhReplay { .. } => &mut counters.rare().auth_failures,
        PacketFault::HmacMissing => &mut counters.rare().hmac_missing,
        PacketFault::HmacMalformed => &mut counters.rare().hmac_malformed,
        PacketFault::HmacUnknownKey(_) => &mut counters.rare().hmac_unknown_key,
        PacketFault::HmacInvalid => &mut counters.rare().hmac_invalid,
        PacketFault::HmacStale { .. } => &mut counters.rare().hmac_stale,
        PacketFault::HmacReplay => &mut counters.rare().hmac_replay,
        PacketFault::NotAPeer => {
            counters.advert_received += 1;
            return;
        }
        PacketFault::PeerTtl(_) => {
            counters.advert_received += 1;
            &mut counters.rare().ttl_errors
        }
        PacketFault::Type(_) => &mut counters.rare().invalid_type,
        PacketFault::Checksum => &mut counters.rare().checksum_errors,
        PacketFault::AddressCount { .. } | PacketFault::AddressMissing(_) => {
            &mut counters.rare().address_list_errors
        }
        // keepalived: never counted.
        PacketFault::Interval { .. }
        | PacketFault::IntervalLearned { .. }
        | PacketFault::HmacSkewed(_)
        | PacketFault::Deaf => return,
    };
    *counter += 1;
}

#[cfg(test)]
mod tests;
