//! The trailer of `auth_hmac`: sequence number and HMAC-SHA-256 behind an advertisement.
//!
//! Source: keepalived 2.4, frames captured from it. The digest covers the sender's address and the advertisement with
//! its checksum taken as zero; neither the IP header nor the destination.

use std::net::IpAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::vrrp::CHECKSUM_AT;

/// Octets.
pub(crate) const TRAILER: usize = 28;
/// Octets before the digest.
const HEAD: usize = 12;
/// The only type of extension there is.
const KIND: u8 = 1;

/// When something was signed: seconds since 1970, fraction of 1/65536 s, counter. Grows from one to the next; compared
/// as a serial number, since the seconds overflow in 2106.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence(u64);

impl Sequence {
    /// `wall`: since 1970.
    pub(crate) fn at(wall: Duration) -> Self {
        let fraction = u64::from(wall.subsec_nanos()) * 65_536 / 1_000_000_000;
        Self(wall.as_secs() << 32 | fraction << 16)
    }

    /// The next one within the same instant.
    pub(crate) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    pub(crate) fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// How far it is from `wall`, in whole seconds, and which way.
    pub(crate) fn ahead_of(self, wall: Duration) -> i64 {
        let of = |Self(n): Self| u32::try_from(n >> 32).unwrap_or_default();
        of(self)
            .wrapping_sub(of(Self::at(wall)))
            .cast_signed()
            .into()
    }
}

/// What a trailer says, apart from the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    /// Number of the key.
    pub(crate) key: u8,
    pub(crate) sequence: Sequence,
}

/// Another type, or reserved octets that are not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    /// The sender, as it knows itself.
    pub(crate) src: IpAddr,
    /// The advertisement without trailer; its first two octets are in the pseudo header too.
    pub(crate) pdu: &'a [u8],
}

impl Trailer {
    /// # Errors
    /// [`Malformed`]; nothing is verified.
    pub(crate) fn parse(octets: &[u8; TRAILER]) -> Result<Self, Malformed> {
        let &[kind, key, r0, r1, s0, s1, s2, s3, f0, f1, c0, c1, ..] = octets;
        if (kind, r0, r1) != (KIND, 0, 0) {
            return Err(Malformed);
        }
        let sequence = Sequence(u64::from_be_bytes([s0, s1, s2, s3, f0, f1, c0, c1]));
        Ok(Self { key, sequence })
    }

    /// The octets with their digest.
    pub(crate) fn sign(&self, what: Signed<'_>, key: &[u8]) -> [u8; TRAILER] {
        let mut octets = [0; TRAILER];
        (octets[0], octets[1]) = (KIND, self.key);
        octets[4..HEAD].copy_from_slice(&self.sequence.0.to_be_bytes());
        let digest = digest(what, &octets, key).finalize().into_bytes();
        octets[HEAD..].copy_from_slice(&digest[..TRAILER - HEAD]);
        octets
    }
}

/// Whether the digest is right, in constant time.
pub(crate) fn verifies(octets: &[u8; TRAILER], what: Signed<'_>, key: &[u8]) -> bool {
    digest(what, octets, key)
        .verify_truncated_left(&octets[HEAD..])
        .is_ok()
}

fn digest(what: Signed<'_>, octets: &[u8; TRAILER], key: &[u8]) -> Hmac<Sha256> {
    let mut pseudo = [0; 20];
    let &[first, vrid, ..] = what.pdu else {
        return Hmac::new_from_slice(key).expect("any length of key will do");
    };
    (pseudo[1], pseudo[2]) = (first >> 4, vrid);
    match what.src {
        IpAddr::V4(src) => {
            pseudo[0] = 4;
            pseudo[4..8].copy_from_slice(&src.octets());
        }
        IpAddr::V6(src) => {
            pseudo[0] = 6;
            pseudo[4..].copy_from_slice(&src.octets());
        }
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length of key will do");
    mac.update(&pseudo);
    mac.update(what.pdu.get(..CHECKSUM_AT).unwrap_or(what.pdu));
    mac.update(&[0; 2]);
    mac.update(what.pdu.get(CHECKSUM_AT + 2..).unwrap_or_default());
    mac.update(&octets[..HEAD]);
    mac.update(&[0; 16]);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::packets;

    /// Octets 0 to 31.
    fn counted() -> Vec<u8> {
        (0..32).collect()
    }

    /// Source, advertisement and trailer of a captured packet.
    fn parts(packet: &[u8]) -> (IpAddr, &[u8], &[u8; TRAILER]) {
        let (src, payload): (IpAddr, &[u8]) = if packet[0] >> 4 == 4 {
            let src: [u8; 4] = packet[12..16].try_into().expect("4 octets");
            (src.into(), &packet[20..])
        } else {
            let src: [u8; 16] = packet[8..24].try_into().expect("16 octets");
            (src.into(), &packet[40..])
        };
        let (pdu, trailer) = payload.split_last_chunk().expect("a trailer");
        (src, pdu, trailer)
    }

    #[test]
    fn every_digest_equals_that_of_keepalived() {
        let ascii = b"0123456789abcdef0123456789abcdef".to_vec();
        for (name, id, key) in [
            ("v2-ipv4-hmac", 7, &ascii),
            ("v2-ipv4-hmac-second", 7, &ascii),
            ("v3-ipv4-hmac", 1, &counted()),
            ("v3-ipv4-hmac-second", 1, &counted()),
            ("v3-ipv4-unicast-hmac", 1, &counted()),
            ("v3-ipv4-unicast-hmac-second", 1, &counted()),
            ("v3-ipv6-hmac", 1, &counted()),
        ] {
            let packet = packets::ip(name);
            let (src, pdu, octets) = parts(&packet);
            let what = Signed { src, pdu };
            assert!(verifies(octets, what, key), "{name}");
            let trailer = Trailer::parse(octets).expect("a good trailer");
            assert_eq!(trailer.key, id, "{name}");
            assert_eq!(trailer.sign(what, key), *octets, "{name}");
        }
    }

    #[test]
    fn every_flip_is_noticed_but_in_the_checksum() {
        let packet = packets::ip("v3-ipv4-hmac");
        for bit in 20 * 8..packet.len() * 8 {
            let flipped = packets::flip(&packet, bit);
            let (src, pdu, octets) = parts(&flipped);
            let at = bit / 8 - 20;
            // The type nibble is in no pseudo header, but in the advertisement itself.
            let free = (CHECKSUM_AT..CHECKSUM_AT + 2).contains(&at);
            assert_eq!(
                verifies(octets, Signed { src, pdu }, &counted()),
                free,
                "octet {at}"
            );
        }
    }

    #[test]
    fn sequences_grow_with_the_clock_and_across_its_overflow() {
        let at = |secs, millis: u32| Sequence::at(Duration::new(secs, millis * 1_000_000));
        assert!(at(5, 1).is_after(at(5, 0)) && at(5, 0).next().is_after(at(5, 0)));
        assert!(!at(5, 0).is_after(at(5, 0)));
        let late = u64::from(u32::MAX);
        assert!(at(late + 1, 0).is_after(at(late, 0)));
        assert_eq!(at(7, 0).ahead_of(Duration::from_secs(5)), 2);
        assert_eq!(at(late, 0).ahead_of(Duration::from_secs(late + 2)), -2);
    }

    proptest! {
        #[test]
        fn any_octets_are_taken(octets: [u8; TRAILER], pdu in prop::collection::vec(any::<u8>(), 0..40)) {
            let what = Signed { src: [10, 0, 0, 1].into(), pdu: &pdu };
            prop_assert!(!verifies(&octets, what, b"a key"));
            if let Ok(trailer) = Trailer::parse(&octets) {
                let signed = trailer.sign(what, b"a key");
                prop_assert_eq!(Trailer::parse(&signed), Ok(trailer));
            }
        }
    }
}
