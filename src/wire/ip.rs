//! The IPv4 header of an advertisement, as keepalived builds it itself (`IP_HDRINCL`), and as it is received.
//!
//! Source: RFC 791. The kernel writes and checks the header checksum; here it is neither.

use std::net::Ipv4Addr;

/// IP protocol number of VRRP.
pub(crate) const VRRP: u8 = 112;
/// IP protocol number of the authentication header (RFC 2402).
pub(crate) const AH: u8 = 51;
/// Octets of a header without options: the only one that is sent.
pub(crate) const HEADER: usize = 20;
/// DSCP CS6, "network control": type of service and traffic class of every advertisement.
pub(crate) const TOS: u8 = 0xc0;
/// TTL and hop limit of multicast advertisements; a receiver that finds less knows that it was routed.
pub(crate) const TTL: u8 = 255;
/// Where [`Ipv4Header::emit`] puts the identification.
pub(crate) const ID_AT: usize = 4;
/// Where it puts the length of the packet and the destination.
pub(crate) const LENGTH_AT: usize = 2;
pub(crate) const DST_AT: usize = 16;

/// The fields of an IPv4 header that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv4Header {
    pub(crate) tos: u8,
    /// As written in the header; [`Ipv4Header::parse`] does not compare it with the octets at hand.
    pub(crate) total_length: u16,
    pub(crate) id: u16,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) src: Ipv4Addr,
    pub(crate) dst: Ipv4Addr,
}

/// Why octets are not an IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpError {
    /// Fewer octets than the header says, or than the shortest header has.
    Short { got: usize },
    /// Version nibble.
    Version(u8),
    /// Header length nibble, in words of 4 octets, below 5.
    HeaderLength(u8),
}

impl Ipv4Header {
    /// The header and the octets after it (options are skipped).
    ///
    /// # Errors
    /// When there is no whole header.
    pub(crate) fn parse(packet: &[u8]) -> Result<(Self, &[u8]), IpError> {
        let short = IpError::Short { got: packet.len() };
        let Some((
            &[
                first,
                tos,
                l0,
                l1,
                i0,
                i1,
                _,
                _,
                ttl,
                protocol,
                _,
                _,
                s0,
                s1,
                s2,
                s3,
                d0,
                d1,
                d2,
                d3,
            ],
            _,
        )) = packet.split_first_chunk::<HEADER>()
        else {
            return Err(short);
        };
        if first >> 4 != 4 {
            return Err(IpError::Version(first >> 4));
        }
        let words = first & 0x0f;
        if words < 5 {
            return Err(IpError::HeaderLength(words));
        }
        let payload = packet.get(usize::from(words) * 4..).ok_or(short)?;
        let header = Self {
            tos,
            total_length: u16::from_be_bytes([l0, l1]),
            id: u16::from_be_bytes([i0, i1]),
            ttl,
            protocol,
            src: Ipv4Addr::new(s0, s1, s2, s3),
            dst: Ipv4Addr::new(d0, d1, d2, d3),
        };
        Ok((header, payload))
    }

    /// 20 octets: no options, no flags (fragmentation is allowed), checksum left at zero for the kernel.
    pub(crate) fn emit(&self) -> [u8; HEADER] {
        let [l0, l1] = self.total_length.to_be_bytes();
        let [i0, i1] = self.id.to_be_bytes();
        let [s0, s1, s2, s3] = self.src.octets();
        let [d0, d1, d2, d3] = self.dst.octets();
        [
            0x45,
            self.tos,
            l0,
            l1,
            i0,
            i1,
            0,
            0,
            self.ttl,
            self.protocol,
            0,
            0,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::checksum::Sum;
    use crate::wire::packets;

    #[test]
    fn the_header_equals_that_of_keepalived_but_for_the_checksum() {
        for name in [
            "v2-none",
            "v2-3vips",
            "v3-ipv4",
            "v3-ipv4-mcastsrc",
            "v2-none-prio0",
        ] {
            let packet = packets::ip(name);
            let (header, payload) = Ipv4Header::parse(&packet).expect("a captured packet");
            assert_eq!(
                (header.tos, header.ttl, header.protocol),
                (TOS, TTL, VRRP),
                "{name}"
            );
            assert_eq!(
                usize::from(header.total_length),
                HEADER + payload.len(),
                "{name}"
            );
            let mut octets = header.emit();
            let checksum = Sum::ZERO.add(&octets).checksum().to_be_bytes();
            octets[10..12].copy_from_slice(&checksum);
            assert_eq!(octets, packet[..HEADER], "{name}");
        }
    }

    #[test]
    fn cut_headers_and_other_versions_are_refused() {
        let packet = packets::ip("v2-none");
        for cut in 0..HEADER {
            assert_eq!(
                Ipv4Header::parse(&packet[..cut]),
                Err(IpError::Short { got: cut })
            );
        }
        let with = |first: u8| {
            let mut p = packet.clone();
            p[0] = first;
            Ipv4Header::parse(&p).map(|(_, payload)| payload.len())
        };
        assert_eq!(with(0x65), Err(IpError::Version(6)));
        assert_eq!(with(0x44), Err(IpError::HeaderLength(4)));
        assert_eq!(with(0x46), Ok(packet.len() - 24));
        assert_eq!(with(0x4f), Err(IpError::Short { got: packet.len() }));
    }

    proptest! {
        #[test]
        fn any_octets_are_taken(octets in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok((header, payload)) = Ipv4Header::parse(&octets) {
                prop_assert!(payload.len() + HEADER <= octets.len());
                let again = header.emit();
                prop_assert_eq!(Ipv4Header::parse(&again), Ok((header, &[][..])));
            }
        }
    }
}
