//! Unsolicited neighbour advertisement over Ethernet. Source: RFC 4861 §4.4, §7.2.6; the fields as keepalived fills them.

use std::net::Ipv6Addr;

use super::checksum::Sum;

/// Octets of the whole frame.
pub(crate) const FRAME: usize = 86;

/// ff02::1 and its Ethernet address: all nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
/// Ethernet type; version 6, class and flow label 0; payload length 32; ICMPv6; hop limit 255.
const FIXED: [u8; 10] = [0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, ICMPV6, 255];
const ICMPV6: u8 = 58;
const ADVERTISEMENT: u8 = 136;
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;
/// Option "target link-layer address", 1 unit of 8 octets.
const TARGET_MAC: [u8; 2] = [2, 1];
/// Where the ICMPv6 message and its checksum are in the frame.
const ICMP_AT: usize = 54;
const CHECKSUM_AT: usize = 56;

/// "`addr` is at `mac`", to all nodes of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsolicited {
    pub(crate) mac: [u8; 6],
    /// Target and, as keepalived does it, source of the packet.
    pub(crate) addr: Ipv6Addr,
    /// The sender forwards IPv6 packets.
    pub(crate) router: bool,
}

/// The frame is not such an advertisement.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotUnsolicited;

impl Unsolicited {
    /// Takes an Ethernet frame.
    ///
    /// # Errors
    /// [`NotUnsolicited`] unless every other field is what [`Unsolicited::emit`] writes.
    #[cfg(test)]
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, NotUnsolicited> {
        let octets: &[u8; FRAME] = frame.try_into().map_err(|_| NotUnsolicited)?;
        let mac = octets[6..12].try_into().map_err(|_| NotUnsolicited)?;
        let addr: [u8; 16] = octets[22..38].try_into().map_err(|_| NotUnsolicited)?;
        let this = Self {
            mac,
            addr: addr.into(),
            router: octets[ICMP_AT + 4] & ROUTER != 0,
        };
        (this.emit() == *octets)
            .then_some(this)
            .ok_or(NotUnsolicited)
    }

    /// The whole frame, checksum included.
    pub(crate) fn emit(&self) -> [u8; FRAME] {
        let flags = if self.router {
            OVERRIDE | ROUTER
        } else {
            OVERRIDE
        };
        let mut frame = [0; FRAME];
        let mut rest = &mut frame[..];
        for part in [
            &ALL_NODES_MAC[..],
            &self.mac,
            &FIXED,
            &self.addr.octets(),
            &ALL_NODES.octets(),
            &[ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0],
            &self.addr.octets(),
            &TARGET_MAC,
            &self.mac,
        ] {
            let (head, tail) = rest.split_at_mut(part.len());
            head.copy_from_slice(part);
            rest = tail;
        }
        let checksum = Sum::pseudo_v6(self.addr, ALL_NODES, ICMPV6, 32)
            .add(&frame[ICMP_AT..])
            .checksum();
        frame[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&checksum.to_be_bytes());
        frame
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::packets;

    #[test]
    fn frames_equal_those_of_keepalived() {
        let (ours, vmac) = ([2, 0, 0, 0, 0, 1], [0, 0, 0x5e, 0, 2, 0x33]);
        for (name, mac, addr) in [
            ("v3-ipv6-na", ours, "fe80::100"),
            ("v3-ipv6-na2", ours, "2001:db8::100"),
            ("v3-ipv6-vmac-na", vmac, "fe80::100"),
            ("v3-ipv6-vmac-na2", vmac, "2001:db8::100"),
        ] {
            let addr = addr.parse().expect("an address");
            let na = Unsolicited {
                mac,
                addr,
                router: false,
            };
            let frame = packets::frame(name);
            assert_eq!(na.emit()[..], frame[..], "{name}");
            assert_eq!(Unsolicited::parse(&frame), Ok(na), "{name}");
        }
    }

    #[test]
    fn a_forwarding_node_says_so() {
        let na = Unsolicited {
            mac: [2; 6],
            addr: ALL_NODES,
            router: true,
        };
        assert_eq!(na.emit()[ICMP_AT + 4], 0xa0);
        assert_eq!(Unsolicited::parse(&na.emit()), Ok(na));
    }

    #[test]
    fn every_cut_and_flip_is_refused() {
        let frame = packets::frame("v3-ipv6-na");
        for cut in 0..frame.len() {
            assert_eq!(Unsolicited::parse(&frame[..cut]), Err(NotUnsolicited));
        }
        for bit in 0..frame.len() * 8 {
            assert_eq!(
                Unsolicited::parse(&packets::flip(&frame, bit)),
                Err(NotUnsolicited),
                "bit {bit}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_taken(octets in prop::collection::vec(any::<u8>(), 0..120), mac: [u8; 6], addr: [u8; 16], router: bool) {
            let _ = Unsolicited::parse(&octets);
            let na = Unsolicited { mac, addr: addr.into(), router };
            prop_assert_eq!(Unsolicited::parse(&na.emit()), Ok(na));
        }
    }
}
