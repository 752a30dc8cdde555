//! What a witness on the LAN understands of a frame.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A frame that a node sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Nanoseconds since the epoch, by the kernel.
    pub(crate) at: u64,
    /// Index of the sender.
    pub(crate) node: usize,
    pub(crate) event: Event,
    /// The whole Ethernet frame.
    pub(crate) octets: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Advert(Advert),
    /// Gratuitous ARP or unsolicited neighbour advertisement.
    Announce(IpAddr),
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advert {
    pub(crate) version: u8,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    pub(crate) src: IpAddr,
}

impl Seen {
    pub(crate) fn new(at: u64, node: usize, octets: Vec<u8>) -> Self {
        let event = decode(&octets).unwrap_or(Event::Other);
        Self {
            at,
            node,
            event,
            octets,
        }
    }

    pub(crate) fn advert(&self) -> Option<&Advert> {
        match &self.event {
            Event::Advert(advert) => Some(advert),
            Event::Announce(_) | Event::Other => None,
        }
    }

    /// The priority it advertises, if it is an advertisement.
    pub(crate) fn priority(&self) -> Option<u8> {
        self.advert().map(|a| a.priority)
    }

    pub(crate) fn announces(&self, addr: &str) -> bool {
        self.event == Event::Announce(addr.parse().expect("an address"))
    }
}

fn decode(frame: &[u8]) -> Option<Event> {
    match frame.get(12..14)? {
        [0x08, 0x00] => {
            let ip = &frame[14..];
            let payload = ip.get(usize::from(ip.first()? & 15) * 4..)?;
            let vrrp = match *ip.get(9)? {
                112 => payload,
                // Behind an authentication header.
                51 if *payload.first()? == 112 => payload.get(24..)?,
                _ => return None,
            };
            let src: [u8; 4] = ip.get(12..16)?.try_into().ok()?;
            advert(vrrp, Ipv4Addr::from(src).into())
        }
        [0x86, 0xdd] => {
            let src: [u8; 16] = frame.get(22..38)?.try_into().ok()?;
            let payload = frame.get(54..)?;
            match frame.get(20)? {
                112 => advert(payload, Ipv6Addr::from(src).into()),
                58 if *payload.first()? == 136 => {
                    let target: [u8; 16] = payload.get(8..24)?.try_into().ok()?;
                    Some(Event::Announce(Ipv6Addr::from(target).into()))
                }
                _ => None,
            }
        }
        [0x08, 0x06] => {
            let (sender, target): ([u8; 4], [u8; 4]) = (
                frame.get(28..32)?.try_into().ok()?,
                frame.get(38..42)?.try_into().ok()?,
            );
            (sender == target).then(|| Event::Announce(Ipv4Addr::from(sender).into()))
        }
        _ => None,
    }
}

fn advert(vrrp: &[u8], src: IpAddr) -> Option<Event> {
    let &[kind, vrid, priority, _, ..] = vrrp else {
        return None;
    };
    Some(Event::Advert(Advert {
        version: kind >> 4,
        vrid,
        priority,
        src,
    }))
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Advert(a) => write!(
                f,
                "advert vrid {} priority {} from {} (v{})",
                a.vrid, a.priority, a.src, a.version
            ),
            Self::Announce(addr) => write!(f, "announces {addr}"),
            Self::Other => f.write_str("something else"),
        }
    }
}
