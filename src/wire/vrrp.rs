//! The VRRP advertisement, versions 2 and 3, IPv4 and IPv6. Sources: RFC 3768 §5, RFC 9568 §5, RFC 2338 §5.3.6 for the
//! 8 authentication octets that every version 2 packet over IPv4 still carries.
//!
//! [`Header`] looks at any octets and judges nothing: the core checks in keepalived's order. [`Advert`] is a whole,
//! valid advertisement.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::checksum::Sum;
use crate::time::Centis;

/// Octets before the addresses.
pub(crate) const HEADER: usize = 8;
/// Octets of authentication data: version 2 over IPv4.
pub(crate) const AUTH: usize = 8;
/// Where the priority and the checksum are in the packet.
pub(crate) const PRIORITY_AT: usize = 2;
pub(crate) const CHECKSUM_AT: usize = 6;
/// The only type there is.
pub(crate) const ADVERTISEMENT: u8 = 1;

/// The first 8 octets, as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// 4 bits.
    pub(crate) version: u8,
    /// 4 bits; [`ADVERTISEMENT`].
    pub(crate) kind: u8,
    pub(crate) vrid: u8,
    /// 0: the master resigns; 255: the sender owns the addresses.
    pub(crate) priority: u8,
    /// Number of addresses that follow.
    pub(crate) count: u8,
    /// Octets 4 and 5: [`Header::auth_type`] and [`Header::advert_int`], or [`Header::max_advertise_interval`].
    pub(crate) timing: [u8; 2],
}

impl Header {
    /// The header and the octets after it; `None` below 8 octets.
    pub(crate) fn parse(pdu: &[u8]) -> Option<(Self, &[u8])> {
        let (&[first, vrid, priority, count, t0, t1, _, _], rest) =
            pdu.split_first_chunk::<HEADER>()?;
        let header = Self {
            version: first >> 4,
            kind: first & 0x0f,
            vrid,
            priority,
            count,
            timing: [t0, t1],
        };
        Some((header, rest))
    }

    /// Version 2: 0 none, 1 password, 2 authentication header.
    pub(crate) fn auth_type(&self) -> u8 {
        self.timing[0]
    }

    /// Version 2: seconds.
    pub(crate) fn advert_int(&self) -> u8 {
        self.timing[1]
    }

    /// Version 3; the reserved bits before it are ignored (RFC 9568 §5.2.6).
    pub(crate) fn max_advertise_interval(&self) -> Centis {
        Centis(u16::from_be_bytes(self.timing) & 0x0fff)
    }
}

/// What the versions do not have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    V2 {
        auth_type: u8,
        /// Seconds.
        advert_int: u8,
        /// IPv4 only; zero without a password.
        auth_data: [u8; AUTH],
    },
    /// 12 bits.
    V3 { max_advertise_interval: Centis },
}

/// The listed addresses, at most 255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    V4(Vec<Ipv4Addr>),
    V6(Vec<Ipv6Addr>),
}

/// A valid advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advert {
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    pub(crate) timing: Timing,
    pub(crate) addresses: Addresses,
}

/// IP version below an advertisement, which does not tell it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    V4,
    V6,
}

/// Why octets are not a valid advertisement.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdvertError {
    Short {
        got: usize,
    },
    /// Neither 2 nor 3.
    Version(u8),
    /// Type nibble.
    Kind(u8),
    /// The number of addresses wants another length.
    Length {
        got: usize,
        want: usize,
    },
    Checksum,
}

/// Octets of an advertisement of `version` with `count` addresses.
pub(crate) fn length(version: u8, over: Over, count: u8) -> usize {
    let count = usize::from(count);
    match (over, version) {
        (Over::V4, 2) => HEADER + 4 * count + AUTH,
        (Over::V4, _) => HEADER + 4 * count,
        (Over::V6, _) => HEADER + 16 * count,
    }
}

impl Advert {
    /// `pseudo`: sum of the pseudo header; [`Sum::ZERO`] where there is none (version 2 over IPv4).
    ///
    /// # Errors
    /// The first thing that is wrong. Reserved bits are not.
    #[cfg(test)]
    pub(crate) fn parse(pdu: &[u8], over: Over, pseudo: Sum) -> Result<Self, AdvertError> {
        let (header, body) = Header::parse(pdu).ok_or(AdvertError::Short { got: pdu.len() })?;
        if header.kind != ADVERTISEMENT {
            return Err(AdvertError::Kind(header.kind));
        }
        let want = length(header.version, over, header.count);
        if pdu.len() != want {
            return Err(AdvertError::Length {
                got: pdu.len(),
                want,
            });
        }
        if pseudo.add(pdu).checksum() != 0 {
            return Err(AdvertError::Checksum);
        }
        let timing = match header.version {
            2 => Timing::V2 {
                auth_type: header.auth_type(),
                advert_int: header.advert_int(),
                auth_data: match over {
                    Over::V4 => body.last_chunk().copied().unwrap_or_default(),
                    Over::V6 => [0; AUTH],
                },
            },
            3 => Timing::V3 {
                max_advertise_interval: header.max_advertise_interval(),
            },
            other => return Err(AdvertError::Version(other)),
        };
        let count = usize::from(header.count);
        let addresses = match over {
            Over::V4 => Addresses::V4(v4(body).take(count).collect()),
            Over::V6 => Addresses::V6(v6(body).take(count).collect()),
        };
        Ok(Self {
            vrid: header.vrid,
            priority: header.priority,
            timing,
            addresses,
        })
    }

    /// The octets, with a checksum that includes `pseudo`. Addresses past the 255th are left out.
    pub(crate) fn emit(&self, pseudo: Sum) -> Vec<u8> {
        let version = match self.timing {
            Timing::V2 { .. } => 2_u8,
            Timing::V3 { .. } => 3,
        };
        let (over, total) = match &self.addresses {
            Addresses::V4(a) => (Over::V4, a.len()),
            Addresses::V6(a) => (Over::V6, a.len()),
        };
        let count = u8::try_from(total).unwrap_or(u8::MAX);
        let [t0, t1] = match self.timing {
            Timing::V2 {
                auth_type,
                advert_int,
                ..
            } => [auth_type, advert_int],
            Timing::V3 {
                max_advertise_interval: Centis(c),
            } => (c & 0x0fff).to_be_bytes(),
        };
        let mut pdu = Vec::with_capacity(length(version, over, count));
        pdu.extend([
            version << 4 | ADVERTISEMENT,
            self.vrid,
            self.priority,
            count,
            t0,
            t1,
            0,
            0,
        ]);
        match &self.addresses {
            Addresses::V4(a) => a
                .iter()
                .take(usize::from(count))
                .for_each(|a| pdu.extend(a.octets())),
            Addresses::V6(a) => a
                .iter()
                .take(usize::from(count))
                .for_each(|a| pdu.extend(a.octets())),
        }
        if let (Timing::V2 { auth_data, .. }, Over::V4) = (self.timing, over) {
            pdu.extend(auth_data);
        }
        let checksum = pseudo.add(&pdu).checksum();
        pdu[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&checksum.to_be_bytes());
        pdu
    }
}

/// The octets after the header as IPv4 addresses; authentication data are not told apart.
pub(crate) fn v4(body: &[u8]) -> impl Iterator<Item = Ipv4Addr> + Clone {
    body.as_chunks::<4>().0.iter().map(|&c| c.into())
}

/// The octets after the header as IPv6 addresses.
pub(crate) fn v6(body: &[u8]) -> impl Iterator<Item = Ipv6Addr> + Clone {
    body.as_chunks::<16>().0.iter().map(|&c| c.into())
}

#[cfg(test)]
mod tests;
