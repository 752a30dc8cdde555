//! The IPsec authentication header of `auth_type AH`: HMAC-MD5-96 over IPv4. Sources: RFC 2402 §2, RFC 2403; departures
//! that keepalived makes.

use std::net::Ipv4Addr;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use super::ip;

/// Octets of the header with its digest.
pub(crate) const HEADER: usize = 24;
/// Its length in words of 4 octets, less 2 (RFC 2402 §2.2).
const LENGTH: u8 = 4;
/// Where sequence number and digest are in the header.
const SEQUENCE_AT: usize = 8;
const DIGEST_AT: usize = 12;
/// Octets of the IP header that change on the way: type of service; flags and fragment offset; time to live; checksum.
const TOS: usize = 1;
const FRAGMENT: std::ops::Range<usize> = 6..8;
const TTL: usize = 8;
const CHECKSUM: std::ops::Range<usize> = 10..12;

/// What the header says, apart from the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuthHeader {
    /// Protocol of what follows.
    pub(crate) next: u8,
    /// keepalived: the sender's address.
    pub(crate) spi: Ipv4Addr,
    pub(crate) sequence: u32,
}

impl AuthHeader {
    /// The header and the octets after it; `None` when there are too few, or its length is another one.
    pub(crate) fn parse(octets: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = octets.split_first_chunk::<HEADER>()?;
        let &[next, length, _, _, s0, s1, s2, s3, n0, n1, n2, n3, ..] = header;
        let this = Self {
            next,
            spi: Ipv4Addr::new(s0, s1, s2, s3),
            sequence: u32::from_be_bytes([n0, n1, n2, n3]),
        };
        (length == LENGTH).then_some((this, rest))
    }

    /// The header with an empty digest: [`sign`] fills it in.
    pub(crate) fn emit(&self) -> [u8; HEADER] {
        let mut octets = [0; HEADER];
        (octets[0], octets[1]) = (self.next, LENGTH);
        octets[4..8].copy_from_slice(&self.spi.octets());
        octets[SEQUENCE_AT..DIGEST_AT].copy_from_slice(&self.sequence.to_be_bytes());
        octets
    }
}

/// Writes sequence number and digest into a whole packet: IP header without options, authentication header, the rest.
/// Does nothing to octets that are too short for that.
pub(crate) fn sign(packet: &mut [u8], sequence: u32, key: &[u8]) {
    let Some((header, payload)) = packet.split_first_chunk_mut::<{ ip::HEADER }>() else {
        return;
    };
    if payload.len() < HEADER {
        return;
    }
    payload[SEQUENCE_AT..DIGEST_AT].copy_from_slice(&sequence.to_be_bytes());
    payload[DIGEST_AT..HEADER].fill(0);
    let digest = digest(header, payload, key).finalize().into_bytes();
    payload[DIGEST_AT..HEADER].copy_from_slice(&digest[..HEADER - DIGEST_AT]);
}

/// Whether the digest is right, in constant time. `header`: the first 20 octets of the packet. `payload`: from the
/// authentication header to the end, without padding.
pub(crate) fn verifies(header: &[u8; ip::HEADER], payload: &[u8], key: &[u8]) -> bool {
    let Some(claimed) = payload.get(DIGEST_AT..HEADER) else {
        return false;
    };
    digest(header, payload, key)
        .verify_truncated_left(claimed)
        .is_ok()
}

/// Over everything that does not change on the way. keepalived: the time to live of a multicast packet does not.
fn digest(header: &[u8; ip::HEADER], payload: &[u8], key: &[u8]) -> Hmac<Md5> {
    let mut header = *header;
    header[TOS] = 0;
    header[FRAGMENT].fill(0);
    header[CHECKSUM].fill(0);
    let &[.., d0, d1, d2, d3] = &header;
    if !Ipv4Addr::new(d0, d1, d2, d3).is_multicast() {
        header[TTL] = 0;
    }
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("any length of key will do");
    mac.update(&header);
    mac.update(payload.get(..DIGEST_AT).unwrap_or_default());
    mac.update(&[0; HEADER - DIGEST_AT]);
    mac.update(payload.get(HEADER..).unwrap_or_default());
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::packets;

    const KEY: &[u8] = b"s3cret\0\0";

    fn parts(packet: &[u8]) -> (&[u8; ip::HEADER], &[u8]) {
        packet.split_first_chunk().expect("a packet")
    }

    #[test]
    fn every_digest_equals_that_of_keepalived() {
        for (name, sequence) in [
            ("v2-ah", 1),
            ("v2-ah-second", 2),
            ("v2-ah-prio0", 4),
            ("v2-ah-ka227", 1),
            ("v2-ah-ka227-second", 2),
            ("v2-unicast-ah", 1),
        ] {
            let packet = packets::ip(name);
            let (header, payload) = parts(&packet);
            assert!(verifies(header, payload, KEY), "{name}");
            assert!(!verifies(header, payload, b"s3cret\0x"), "{name}");
            let (ah, _) = AuthHeader::parse(payload).expect("an authentication header");
            let spi = Ipv4Addr::new(10, 0, 0, 1);
            let want = AuthHeader {
                next: ip::VRRP,
                spi,
                sequence,
            };
            assert_eq!(ah, want, "{name}");
            let mut again = packet.clone();
            let at = ip::HEADER;
            let unsigned = AuthHeader { sequence: 0, ..ah };
            again[at..at + HEADER].copy_from_slice(&unsigned.emit());
            sign(&mut again, sequence, KEY);
            assert_eq!(again, packet, "{name}");
        }
    }

    #[test]
    fn a_digest_covers_all_but_what_changes_on_the_way() {
        let packet = packets::ip("v2-ah");
        for bit in 0..packet.len() * 8 {
            let flipped = packets::flip(&packet, bit);
            let (header, payload) = parts(&flipped);
            let free = matches!(bit / 8, 1 | 6 | 7 | 10 | 11);
            assert_eq!(verifies(header, payload, KEY), free, "bit {bit}");
        }
        for cut in 0..HEADER {
            assert!(!verifies(&[0; ip::HEADER], &packet[20..20 + cut], KEY));
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_taken(mut octets in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some((header, rest)) = AuthHeader::parse(&octets) {
                prop_assert_eq!(rest.len() + HEADER, octets.len());
                let again = header.emit();
                prop_assert_eq!(AuthHeader::parse(&again), Some((header, &[][..])));
            }
            sign(&mut octets, 1, b"key");
        }
    }
}
