//! The Internet checksum (RFC 1071), with the pseudo headers of IPv4 and IPv6 (RFC 768, RFC 8200 §8.1).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A one's complement sum in the making. Parts of an odd number of octets count as zero padded: only the last one may
/// be odd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(
    /// Carries are put back now and then: never more than a few of them are left.
    u32,
);

impl Sum {
    /// Nothing summed yet: the pseudo header of protocols without one.
    pub(crate) const ZERO: Self = Self(0);

    /// The sum with `octets` in it.
    pub(crate) fn add(self, octets: &[u8]) -> Self {
        let (words, odd) = octets.as_chunks::<2>();
        let words = words.iter().map(|w| u64::from(u16::from_be_bytes(*w)));
        let odd = odd.iter().map(|o| u64::from(*o) << 8);
        Self::of(u64::from(self.0) + words.sum::<u64>() + odd.sum::<u64>())
    }

    /// The sum with one 16-bit word in it.
    pub(crate) fn add_word(self, word: u16) -> Self {
        Self::of(u64::from(self.0) + u64::from(word))
    }

    /// Both sums together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self::of(u64::from(self.0) + u64::from(other.0))
    }

    /// With the carries put back, so far as they do not fit.
    fn of(mut sum: u64) -> Self {
        loop {
            match u32::try_from(sum) {
                Ok(sum) => return Self(sum),
                Err(_) => sum = (sum & 0xffff) + (sum >> 16),
            }
        }
    }

    /// The checksum: over octets that include their own correct one it is 0.
    pub(crate) fn checksum(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap_or(u16::MAX)
    }

    /// Pseudo header of IPv4; `len`: octets of the payload.
    pub(crate) fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, len: u16) -> Self {
        Self::ZERO
            .add(&src.octets())
            .add(&dst.octets())
            .add_word(u16::from(protocol))
            .add_word(len)
    }

    /// Pseudo header of IPv6; `len`: octets of the payload.
    pub(crate) fn pseudo_v6(src: Ipv6Addr, dst: Ipv6Addr, next_header: u8, len: u16) -> Self {
        Self::ZERO
            .add(&src.octets())
            .add(&dst.octets())
            .add_word(len)
            .add_word(u16::from(next_header))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        let sum = Sum::ZERO.add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.checksum(), !0xddf2);
        assert_eq!(Sum::ZERO.add(&[0xab]), Sum::ZERO.add(&[0xab, 0x00]));
    }

    proptest! {
        #[test]
        fn octets_with_their_checksum_sum_to_zero(mut octets in prop::collection::vec(any::<u8>(), 0..200)) {
            if octets.len() % 2 == 1 {
                octets.push(0);
            }
            let checksum = Sum::ZERO.add(&octets).checksum();
            octets.extend(checksum.to_be_bytes());
            prop_assert_eq!(Sum::ZERO.add(&octets).checksum(), 0);
        }
    }
}
