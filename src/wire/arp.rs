//! ARP over Ethernet: gratuitous, probes, and what others say. Source: RFC 826, RFC 5227 §3; the fields as keepalived fills them.

use std::fmt;
use std::net::Ipv4Addr;

/// Octets of the whole frame, unpadded.
pub(crate) const FRAME: usize = 42;

/// Ethernet type, hardware type Ethernet, protocol IPv4, address lengths, operation.
/// keepalived: a request, though it announces.
const FIXED: [u8; 10] = [0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1];
const BROADCAST: [u8; 6] = [0xff; 6];

/// "`addr` is at `mac`", to everybody on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gratuitous {
    pub(crate) mac: [u8; 6],
    pub(crate) addr: Ipv4Addr,
}

/// The frame is not such a gratuitous ARP.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotGratuitous;

impl Gratuitous {
    /// Takes an Ethernet frame; padding after the 42 octets is allowed.
    ///
    /// # Errors
    /// [`NotGratuitous`] unless every fixed field is what [`Gratuitous::emit`] writes and both addresses are the same.
    #[cfg(test)]
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, NotGratuitous> {
        let octets: &[u8; FRAME] = frame.first_chunk().ok_or(NotGratuitous)?;
        let mac = octets[22..28].try_into().map_err(|_| NotGratuitous)?;
        let addr: [u8; 4] = octets[28..32].try_into().map_err(|_| NotGratuitous)?;
        let this = Self {
            mac,
            addr: addr.into(),
        };
        (this.emit() == *octets)
            .then_some(this)
            .ok_or(NotGratuitous)
    }

    /// The whole frame. keepalived: the target hardware address is the broadcast address.
    pub(crate) fn emit(&self) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        let mut rest = &mut frame[..];
        for part in [
            &BROADCAST[..],
            &self.mac,
            &FIXED,
            &self.mac,
            &self.addr.octets(),
            &BROADCAST,
            &self.addr.octets(),
        ] {
            let (head, tail) = rest.split_at_mut(part.len());
            head.copy_from_slice(part);
            rest = tail;
        }
        frame
    }
}

/// A link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// "Who has `addr`?", in nobody's name, so that no cache changes. Source: RFC 5227 §2.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The asker's.
    pub(crate) mac: [u8; 6],
    pub(crate) addr: Ipv4Addr,
}

impl Probe {
    /// The whole frame.
    pub(crate) fn emit(&self) -> [u8; FRAME] {
        let mut frame = Gratuitous {
            mac: self.mac,
            addr: self.addr,
        }
        .emit();
        frame[28..38].fill(0); // the sender's address, and the hardware address that is asked for
        frame
    }
}

/// What somebody says of an address of his, by asking, answering or announcing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) addr: Ipv4Addr,
    pub(crate) mac: Mac,
    /// An answer, not a question.
    pub(crate) reply: bool,
}

impl Said {
    /// Takes an Ethernet frame; padding is allowed. `None`: not ARP for IPv4 over Ethernet, or in nobody's name.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let octets: &[u8; FRAME] = frame.first_chunk()?;
        let (fixed, operation) = (octets.get(12..20)?, octets.get(20..22)?);
        let reply = match operation {
            [0, 1] => false,
            [0, 2] => true,
            _ => return None,
        };
        let mac: [u8; 6] = octets.get(22..28)?.try_into().ok()?;
        let addr: [u8; 4] = octets.get(28..32)?.try_into().ok()?;
        let somebody = addr != [0; 4] && fixed == FIXED.get(..8)?;
        somebody.then_some(Self {
            addr: addr.into(),
            mac: Mac(mac),
            reply,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::packets;

    #[test]
    fn frames_equal_those_of_keepalived() {
        let ours = [2, 0, 0, 0, 0, 1];
        for (name, mac, addr) in [
            ("v2-none-garp", ours, [10, 0, 0, 100]),
            ("v2-3vips-garp", ours, [10, 0, 0, 100]),
            ("v2-3vips-garp2", ours, [10, 0, 0, 101]),
            ("v2-3vips-garp3", ours, [10, 0, 0, 9]),
            (
                "v3-ipv4-vmac-garp",
                [0, 0, 0x5e, 0, 1, 0x33],
                [10, 0, 0, 100],
            ),
        ] {
            let garp = Gratuitous {
                mac,
                addr: addr.into(),
            };
            let frame = packets::frame(name);
            assert_eq!(garp.emit()[..], frame[..], "{name}");
            assert_eq!(Gratuitous::parse(&frame), Ok(garp), "{name}");
        }
    }

    #[test]
    fn every_cut_and_flip_is_refused_or_another_frame() {
        let frame = packets::frame("v2-none-garp");
        for cut in 0..frame.len() {
            assert_eq!(Gratuitous::parse(&frame[..cut]), Err(NotGratuitous));
        }
        for bit in 0..frame.len() * 8 {
            // Both copies of either address must agree, so one flipped bit never goes unnoticed.
            assert_eq!(
                Gratuitous::parse(&packets::flip(&frame, bit)),
                Err(NotGratuitous),
                "bit {bit}"
            );
        }
    }

    /// RFC 5227 §2.1.1.
    #[test]
    fn a_probe_asks_in_nobodys_name_and_answers_are_understood() {
        let (mac, addr) = ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 100));
        let probe = Probe { mac, addr }.emit();
        let want =
            "ffffffffffff02000000000108060001080006040001020000000001000000000000000000000a000064";
        let hex: String = probe.iter().map(|o| format!("{o:02x}")).collect();
        assert_eq!(hex, want);
        assert_eq!(Said::parse(&probe), None, "in nobody's name");
        let garp = Gratuitous { mac, addr }.emit();
        let mut said = Said {
            addr,
            mac: Mac(mac),
            reply: false,
        };
        assert_eq!(Said::parse(&garp), Some(said));
        let mut answer = garp;
        answer[21] = 2;
        said.reply = true;
        assert_eq!(Said::parse(&answer), Some(said));
        assert_eq!(said.mac.to_string(), "02:00:00:00:00:01");
        for cut in 0..answer.len() {
            assert_eq!(Said::parse(&answer[..cut]), None);
        }
        for octet in 12..22 {
            let mut other = answer;
            other[octet] ^= 0x40;
            assert_eq!(Said::parse(&other), None, "octet {octet}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_taken(octets in prop::collection::vec(any::<u8>(), 0..80), mac: [u8; 6], addr: [u8; 4]) {
            let _ = (Gratuitous::parse(&octets), Said::parse(&octets));
            let garp = Gratuitous { mac, addr: addr.into() };
            let mut padded = garp.emit().to_vec();
            padded.extend(octets);
            prop_assert_eq!(Gratuitous::parse(&padded), Ok(garp));
        }
    }
}
