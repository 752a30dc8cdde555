//! The advertisement of one instance, built once and patched for each sending. Source: RFC 3768 §5, RFC 9568 §5.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;

use crate::model::auth::{Auth, Secret};
use crate::model::few::Few;
use crate::model::net::Family;
use crate::model::unicast::OldChecksum;
use crate::model::vrrp::{Instance, Version};
use crate::time::Centis;
use crate::wire::ah::{self, AuthHeader};
use crate::wire::checksum::Sum;
use crate::wire::ip::{self, Ipv4Header};
use crate::wire::trailer::TRAILER;
use crate::wire::vrrp::{self as wire, Addresses, Advert, Timing};

use super::auth;

/// Everything of an advertisement but its identification, its priority, its checksum and its signature.
#[derive(Debug)]
pub(super) struct Template {
    /// IPv4: the whole packet. IPv6: the payload, whose checksum the kernel writes.
    octets: Octets,
    /// Where the VRRP packet begins in `octets`.
    pdu_at: u16,
    /// Over the VRRP packet, with priority and checksum zero, without pseudo header.
    sum: Sum,
    pub(super) src: IpAddr,
    /// In the order in which they are served; all of the family of `src`.
    pub(super) targets: Few<Target>,
    /// Over IPv6, where the kernel shall not choose.
    pub(super) hop_limit: Option<u8>,
}

/// Those of an IPv4 packet with an advertisement of two addresses are 36.
const FEW: usize = 38;

/// Nearly always few: a block of its own would cost more than they do.
#[derive(Debug)]
enum Octets {
    Few { len: u8, octets: [u8; FEW] },
    Many(Box<[u8]>),
}

impl Octets {
    fn of(all: Vec<u8>) -> Self {
        let mut octets = [0; FEW];
        match (octets.get_mut(..all.len()), u8::try_from(all.len())) {
            (Some(room), Ok(len)) => {
                room.copy_from_slice(&all);
                Self::Few { len, octets }
            }
            (_, _) => Self::Many(all.into()),
        }
    }
}

impl Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Few { len, octets } => &octets[..usize::from(*len)],
            Self::Many(all) => all,
        }
    }
}

/// The multicast group, or one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) dst: IpAddr,
    pseudo: Sum,
    /// Instead of `pseudo` for a peer that knows no other checksum: `old_unicast_checksum`.
    old: Sum,
    old_fashioned: bool,
}

/// What makes an advertisement genuine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seal<'a> {
    None,
    /// Key and sequence number of the authentication header.
    Ah(&'a Secret, u32),
    Trailer(&'a [u8; TRAILER]),
}

impl Template {
    /// `None` where `src` is not of the instance's family.
    pub(super) fn new(model: &Instance, src: IpAddr) -> Option<Self> {
        let advert = Advert {
            vrid: model.vrid.0.get(),
            priority: 0,
            timing: timing(model),
            addresses: addresses(model),
        };
        let mut pdu = advert.emit(Sum::ZERO);
        pdu[wire::CHECKSUM_AT..wire::CHECKSUM_AT + 2].fill(0);
        let len = u16::try_from(pdu.len()).ok()?;
        let targets: Option<Vec<Target>> = destinations(model)
            .map(|dst| Target::new(model, src, dst, len))
            .collect();
        let head = match src {
            IpAddr::V4(src) => head(model, src, len),
            IpAddr::V6(_) => Vec::new(),
        };
        Some(Self {
            pdu_at: u16::try_from(head.len()).ok()?,
            sum: Sum::ZERO.add(&pdu),
            octets: Octets::of([head, pdu].concat()),
            src,
            targets: targets?.into(),
            hop_limit: model.unicast.as_ref().and_then(|u| u.ttl),
        })
    }

    /// Octets of a packet, signature apart.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.octets.len()).unwrap_or(u32::MAX)
    }

    /// Octets 0 to the end of the VRRP packet, with this priority and no checksum: what [`Seal::Trailer`] signs.
    pub(super) fn pdu(&self, priority: u8) -> Vec<u8> {
        let mut pdu = self.octets[usize::from(self.pdu_at)..].to_vec();
        pdu[wire::PRIORITY_AT] = priority;
        pdu
    }

    /// The octets to send to one of the targets; `id`: IPv4 identification, not 0 (the kernel would choose one).
    pub(super) fn emit(&self, to: &Target, id: u16, priority: u8, seal: Seal<'_>) -> Vec<u8> {
        let trailer: &[u8] = match seal {
            Seal::Trailer(trailer) => trailer,
            Seal::None | Seal::Ah(..) => &[],
        };
        let mut octets = Vec::with_capacity(self.octets.len() + trailer.len());
        octets.extend_from_slice(&self.octets);
        octets.extend_from_slice(trailer);
        let pdu_at = usize::from(self.pdu_at);
        octets[pdu_at + wire::PRIORITY_AT] = priority;
        if let IpAddr::V4(dst) = to.dst {
            let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
            octets[ip::LENGTH_AT..ip::LENGTH_AT + 2].copy_from_slice(&length.to_be_bytes());
            octets[ip::ID_AT..ip::ID_AT + 2].copy_from_slice(&id.to_be_bytes());
            octets[ip::DST_AT..ip::DST_AT + 4].copy_from_slice(&dst.octets());
            let pseudo = if to.old_fashioned { to.old } else { to.pseudo };
            let sum = self.sum.plus(pseudo).add_word(u16::from(priority) << 8);
            let at = pdu_at + wire::CHECKSUM_AT;
            octets[at..at + 2].copy_from_slice(&sum.checksum().to_be_bytes());
        }
        if let Seal::Ah(key, sequence) = seal {
            ah::sign(&mut octets, sequence, &key.expose());
        }
        octets
    }

    /// This peer sends the old checksum of unicast, or does not any more: it gets the same.
    pub(super) fn follow(&mut self, peer: IpAddr, old_fashioned: bool) {
        for target in self.targets.iter_mut().filter(|t| t.dst == peer) {
            target.old_fashioned = old_fashioned;
        }
    }
}

impl Target {
    fn new(model: &Instance, src: IpAddr, dst: IpAddr, len: u16) -> Option<Self> {
        let (pseudo, old) = match (src, dst, model.mcast_group) {
            (IpAddr::V4(src), IpAddr::V4(dst), group) => {
                let over = |dst| pseudo_v4(model, src, dst, len);
                let old = match group {
                    IpAddr::V4(group) => over(group),
                    IpAddr::V6(_) => over(dst),
                };
                (over(dst), old)
            }
            // The kernel writes it.
            (IpAddr::V6(_), IpAddr::V6(_), _) => (Sum::ZERO, Sum::ZERO),
            (IpAddr::V4(_), IpAddr::V6(_), _) | (IpAddr::V6(_), IpAddr::V4(_), _) => return None,
        };
        let old_fashioned = model
            .unicast
            .as_ref()
            .is_some_and(|u| u.old_checksum == OldChecksum::Always);
        Some(Self {
            dst,
            pseudo,
            old,
            old_fashioned,
        })
    }
}

/// Pseudo header of the checksum; `len`: octets of the VRRP packet.
pub(super) fn pseudo_v4(model: &Instance, src: Ipv4Addr, dst: Ipv4Addr, len: u16) -> Sum {
    match model.version {
        Version::V2 => Sum::ZERO,
        Version::V3 if model.checksum_as_v2 => Sum::ZERO,
        Version::V3 => Sum::pseudo_v4(src, dst, ip::VRRP, len),
    }
}

/// To whom advertisements go.
fn destinations(model: &Instance) -> impl Iterator<Item = IpAddr> {
    let peers = model.unicast.iter().flat_map(|u| &u.peers).map(|p| p.addr);
    peers.chain(model.unicast.is_none().then_some(model.mcast_group))
}

/// IP header and, where there is one, authentication header; `len`: octets of the VRRP packet.
fn head(model: &Instance, src: Ipv4Addr, len: u16) -> Vec<u8> {
    let authenticated = matches!(model.auth, Auth::Ah(_));
    let header = Ipv4Header {
        tos: ip::TOS,
        total_length: len,
        id: 0,
        ttl: model
            .unicast
            .as_ref()
            .and_then(|u| u.ttl)
            .unwrap_or(ip::TTL),
        protocol: if authenticated { ip::AH } else { ip::VRRP },
        src,
        dst: Ipv4Addr::UNSPECIFIED,
    };
    let mut head = header.emit().to_vec();
    if authenticated {
        let ah = AuthHeader {
            next: ip::VRRP,
            spi: src,
            sequence: 0,
        };
        head.extend(ah.emit());
    }
    head
}

fn timing(model: &Instance) -> Timing {
    match model.version {
        Version::V2 => {
            let (auth_type, auth_data) = auth::on_wire(&model.auth);
            Timing::V2 {
                auth_type,
                advert_int: seconds(model),
                auth_data,
            }
        }
        Version::V3 => Timing::V3 {
            max_advertise_interval: centis(model),
        },
    }
}

/// `advert_int` as version 2 writes it.
pub(super) fn seconds(model: &Instance) -> u8 {
    u8::try_from(model.advert_int.as_secs()).unwrap_or(u8::MAX)
}

/// `advert_int` as version 3 writes it.
pub(super) fn centis(model: &Instance) -> Centis {
    Centis::of(model.advert_int).unwrap_or(Centis(u16::MAX))
}

/// `virtual_ipaddress`; an address of the other family cannot be listed.
fn addresses(model: &Instance) -> Addresses {
    let listed = model.addresses.iter().map(|a| a.addr);
    match model.family {
        Family::V4 => Addresses::V4(
            listed
                .filter_map(|a| match a {
                    IpAddr::V4(a) => Some(a),
                    IpAddr::V6(_) => None,
                })
                .collect(),
        ),
        Family::V6 => Addresses::V6(
            listed
                .filter_map(|a| match a {
                    IpAddr::V6(a) => Some(a),
                    IpAddr::V4(_) => None,
                })
                .collect(),
        ),
    }
}
