//! The advertisement of one instance, built once and patched for each sending. Source: RFC 3768 §5, RFC 9568 §5.

use std::net::IpAddr;

use crate::model::net::Family;
use crate::model::vrrp::{Instance, Version};
use crate::time::Centis;
use crate::wire::checksum::Sum;
use crate::wire::ip::{self, Ipv4Header};
use crate::wire::vrrp::{self as wire, Addresses, Advert, Timing};

use super::auth;

/// Everything of an advertisement but its identification, its priority and its checksum.
#[derive(Debug)]
pub(super) struct Template {
    /// IPv4: the whole packet. IPv6: the payload, whose checksum the kernel writes.
    octets: Vec<u8>,
    /// Where the VRRP packet begins in `octets`.
    pdu_at: usize,
    /// Over everything that the checksum covers, with priority and checksum zero.
    sum: Sum,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
}

impl Template {
    /// `None` where `src` is not of the instance's family.
    pub(super) fn new(model: &Instance, src: IpAddr) -> Option<Self> {
        let dst = model.mcast_group;
        let advert = Advert {
            vrid: model.vrid.0.get(),
            priority: 0,
            timing: timing(model),
            addresses: addresses(model),
        };
        let mut pdu = advert.emit(Sum::ZERO);
        pdu[wire::CHECKSUM_AT..wire::CHECKSUM_AT + 2].fill(0);
        let len = u16::try_from(pdu.len()).ok()?;
        let (octets, pseudo) = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let header = Ipv4Header {
                    tos: ip::TOS,
                    total_length: len + 20,
                    id: 0,
                    ttl: ip::TTL,
                    protocol: ip::VRRP,
                    src,
                    dst,
                };
                let pseudo = match model.version {
                    Version::V2 => Sum::ZERO,
                    Version::V3 => Sum::pseudo_v4(src, dst, ip::VRRP, len),
                };
                ([&header.emit()[..], &pdu].concat(), pseudo)
            }
            (IpAddr::V6(_), IpAddr::V6(_)) => (pdu.clone(), Sum::ZERO),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        Some(Self {
            pdu_at: octets.len() - pdu.len(),
            octets,
            sum: pseudo.add(&pdu),
            src,
            dst,
        })
    }

    /// The octets to send; `id`: IPv4 identification, not 0 (the kernel would choose one).
    pub(super) fn emit(&self, id: u16, priority: u8) -> Vec<u8> {
        let mut octets = self.octets.clone();
        octets[self.pdu_at + wire::PRIORITY_AT] = priority;
        if self.src.is_ipv4() {
            octets[ip::ID_AT..ip::ID_AT + 2].copy_from_slice(&id.to_be_bytes());
            let checksum = self.sum.add_word(u16::from(priority) << 8).checksum();
            let at = self.pdu_at + wire::CHECKSUM_AT;
            octets[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        }
        octets
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::global::Global;
    use crate::model::net::{IfName, VirtualAddress};
    use crate::model::vrrp::{Auth, Vrid};
    use crate::wire::packets;

    fn model(addrs: &[&str]) -> Instance {
        let eth0 = IfName::new("eth0").expect("a name");
        let vrid = Vrid(51.try_into().expect("not zero"));
        let mut model = Instance::new("V1", eth0.clone(), vrid, &Global::default());
        for addr in addrs {
            let addr: IpAddr = addr.parse().expect("an address");
            model.family = addr.into();
            model
                .addresses
                .push(VirtualAddress::new(addr, 24, eth0.clone()));
        }
        if model.family == Family::V6 {
            model.version = Version::V3;
            model.mcast_group = Global::default().vrrp_mcast_group6.into();
        }
        model
    }

    /// The captured packet as it left keepalived's hands: the kernel writes the header checksum.
    fn handed_over(name: &str) -> Vec<u8> {
        let mut packet = packets::ip(name);
        packet[10..12].fill(0);
        packet
    }

    #[test]
    fn every_packet_equals_that_of_keepalived() {
        let pass = |text: &[u8; 8]| {
            let mut m = model(&["10.0.0.100"]);
            m.auth = Auth::Pass(*text);
            m
        };
        let mut two_seconds = model(&["10.0.0.100", "10.0.0.101", "10.0.0.9"]);
        two_seconds.advert_int = Duration::from_secs(2);
        let mut v3 = model(&["10.0.0.100"]);
        (v3.version, v3.advert_int) = (Version::V3, Duration::from_millis(500));
        let mut long = v3.clone();
        (long.vrid, long.advert_int) = (
            Vrid(std::num::NonZeroU8::MAX),
            Duration::from_millis(40_950),
        );
        let none = model(&["10.0.0.100"]);
        for (name, model, src, id, priority) in [
            ("v2-none", &none, "10.0.0.1", 1, 150),
            ("v2-none-prio0", &none, "10.0.0.1", 4, 0),
            ("v2-owner", &none, "10.0.0.1", 1, 255),
            ("v2-pass", &pass(b"s3cret\0\0"), "10.0.0.1", 1, 150),
            ("v2-pass-prio0", &pass(b"s3cret\0\0"), "10.0.0.1", 4, 0),
            ("v2-pass-truncated", &pass(b"abcdefgh"), "10.0.0.1", 1, 150),
            ("v2-3vips", &two_seconds, "10.0.0.1", 1, 150),
            ("v3-ipv4", &v3, "10.0.0.1", 1, 150),
            ("v3-ipv4-prio0", &v3, "10.0.0.1", 7, 0),
            ("v3-ipv4-mcastsrc", &long, "10.0.0.77", 1, 255),
        ] {
            let template =
                Template::new(model, src.parse().expect("an address")).expect("one family");
            assert_eq!(template.emit(id, priority), handed_over(name), "{name}");
        }
    }

    #[test]
    fn over_ipv6_the_checksum_is_left_to_the_kernel() {
        let six = model(&["fe80::100", "2001:db8::100"]);
        let mut old = six.clone();
        old.version = Version::V2;
        for (name, model, priority) in [
            ("v3-ipv6", &six, 150),
            ("v3-ipv6-prio0", &six, 0),
            ("v2-ipv6", &old, 150),
        ] {
            let mut payload = packets::ip(name).split_off(40);
            payload[wire::CHECKSUM_AT..wire::CHECKSUM_AT + 2].fill(0);
            let template =
                Template::new(model, "fe80::1".parse().expect("an address")).expect("one family");
            assert_eq!(template.emit(1, priority), payload, "{name}");
        }
        assert!(Template::new(&six, "10.0.0.1".parse().expect("an address")).is_none());
    }
}
