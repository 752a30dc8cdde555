//! Is the sender who it claims to be? Version 2's password and authentication header here, `auth_hmac` in `hmac`.
//!
//! The password (RFC 2338 §5.3.6.2) protects against mistakes, not people. No key leaves this module but as a digest.

mod hmac;

pub(super) use self::hmac::{Form, Replay};

use std::net::Ipv4Addr;

use crate::model::auth::{Auth, Secret};
use crate::wire::ah;
use crate::wire::vrrp::AUTH;

use super::PacketFault;
use super::receive::{Envelope, Memory};

/// Authentication types on the wire.
const NONE: u8 = 0;
const PASS: u8 = 1;
const AH: u8 = 2;

/// The largest sequence number that is sent; so many packets take 136 years.
const LAST: u32 = 0xffff_fffe;

/// Type and data as they are sent.
pub(super) fn on_wire(auth: &Auth) -> (u8, [u8; AUTH]) {
    match auth {
        Auth::None | Auth::Hmac(_) => (NONE, [0; AUTH]),
        Auth::Pass(password) => (PASS, *password),
        Auth::Ah(_) => (AH, [0; AUTH]),
    }
}

/// What a version 2 packet brings for its authentication.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) auth_type: u8,
    /// The last octets of the packet; none over IPv6.
    pub(super) data: Option<&'a [u8; AUTH]>,
    /// The authentication header with all around it.
    pub(super) envelope: Option<Envelope<'a>>,
}

/// `memory`: has the last sequence number of the authentication header, which moves when a packet is good.
///
/// # Errors
/// What keepalived counts and reports, in its order.
pub(super) fn check(auth: &Auth, claim: Claim<'_>, memory: &mut Memory) -> Result<(), PacketFault> {
    let (want, password) = on_wire(auth);
    let got = claim.auth_type;
    if got > AH {
        return Err(PacketFault::AuthTypeUnknown(got));
    }
    if got != want {
        return Err(PacketFault::AuthTypeMismatch { got, want });
    }
    match auth {
        Auth::Pass(_) if claim.data.is_some_and(|data| !same(data, &password)) => {
            Err(PacketFault::Password)
        }
        Auth::Ah(key) => memory.seals().ah.check(key, claim.envelope),
        Auth::None | Auth::Pass(_) | Auth::Hmac(_) => Ok(()),
    }
}

/// Takes the same time wherever the first difference is.
fn same(a: &[u8; AUTH], b: &[u8; AUTH]) -> bool {
    a.iter().zip(b).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
}

/// How far behind the common number a sender may be whose own last number is behind that.
const LAG: u32 = 16;

/// Senders whose last number is remembered.
const SENDERS: usize = 4;

/// The sequence number of the authentication header. keepalived: one for what is sent and what is received, so that
/// a backup that takes over goes on where the master was.
///
/// Two masters that speak in the same instant have the same number, and would never hear each other in keepalived: here
/// each sender may be a little behind, as long as its own numbers grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    last: u32,
    /// The one heard last is the last.
    of: Vec<(Ipv4Addr, u32)>,
}

impl Counter {
    /// That of the next packet to send.
    pub(super) fn advance(&mut self) -> u32 {
        self.last = (self.last + 1).min(LAST);
        self.last
    }

    /// A new master whose numbers are used up begins again.
    pub(super) fn renew(&mut self) {
        if self.last == LAST {
            *self = Self::default();
        }
    }

    fn check(&mut self, key: &Secret, envelope: Option<Envelope<'_>>) -> Result<(), PacketFault> {
        let Some(Envelope {
            ip,
            header,
            payload,
        }) = envelope
        else {
            return Err(PacketFault::Password);
        };
        if !ah::verifies(ip, payload, &key.expose()) {
            return Err(PacketFault::AhDigest);
        }
        let &[.., s0, s1, s2, s3, _, _, _, _] = ip;
        if header.spi.octets() != [s0, s1, s2, s3] {
            return Err(PacketFault::AhSpi);
        }
        let got = header.sequence;
        let known = self.of.iter().position(|(sender, _)| *sender == header.spi);
        let last = known.map_or(0, |at| self.of[at].1);
        if got <= last || got.saturating_add(LAG) <= self.last {
            let last = last.max(self.last);
            return Err(PacketFault::AhReplay { got, last });
        }
        match known {
            Some(at) => drop(self.of.remove(at)),
            None if self.of.len() >= SENDERS => drop(self.of.remove(0)),
            None => {}
        }
        self.of.push((header.spi, got));
        self.last = self.last.max(got.min(LAST));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(auth: &Auth, auth_type: u8, data: Option<&[u8; 8]>) -> Result<(), PacketFault> {
        let claim = Claim {
            auth_type,
            data,
            envelope: None,
        };
        check(auth, claim, &mut Memory::default())
    }

    #[test]
    fn the_password_decides_only_where_the_types_agree() {
        let ours = Auth::Pass(*b"s3cret\0\0");
        assert_eq!(judge(&ours, 1, Some(b"s3cret\0\0")), Ok(()));
        assert_eq!(
            judge(&ours, 1, Some(b"s3cret\0x")),
            Err(PacketFault::Password)
        );
        assert_eq!(
            judge(&ours, 0, Some(&[0; 8])),
            Err(PacketFault::AuthTypeMismatch { got: 0, want: 1 })
        );
        assert_eq!(
            judge(&Auth::None, 2, Some(&[0; 8])),
            Err(PacketFault::AuthTypeMismatch { got: 2, want: 0 })
        );
        assert_eq!(
            judge(&ours, 3, Some(&[0; 8])),
            Err(PacketFault::AuthTypeUnknown(3))
        );
        assert_eq!(judge(&Auth::None, 0, Some(b"whatever")), Ok(()));
        assert_eq!(judge(&Auth::None, 0, None), Ok(()));
    }

    #[test]
    fn used_up_sequence_numbers_stay_until_the_next_master() {
        let mut counter = Counter {
            last: LAST - 1,
            ..Counter::default()
        };
        assert_eq!((counter.advance(), counter.advance()), (LAST, LAST));
        counter.renew();
        assert_eq!(counter.advance(), 1);
        counter.renew();
        assert_eq!(counter.advance(), 2);
    }
}
