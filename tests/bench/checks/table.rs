//! The weight of one destination in the kernel's IPVS table: two small requests, and no process that looks for it. Sources:
//! linux/netlink.h, linux/genetlink.h, linux/ip_vs.h.

use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

const CONTROLLER: u16 = 0x10;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NESTED: u16 = 0x8000;

fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len() + 4).expect("a few octets");
    let mut all = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    all.extend(value);
    all.resize(all.len().next_multiple_of(4), 0);
    all
}

fn attrs(mut octets: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while let [a, b, c, d, ..] = *octets {
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let Some(value) = octets.get(4..len) else {
            break;
        };
        all.push((u16::from_ne_bytes([c, d]) & !NESTED, value));
        octets = octets.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

fn value(octets: &[u8], kind: u16) -> Option<&[u8]> {
    let mut all = attrs(octets).into_iter();
    all.find(|(k, _)| *k == kind).map(|(_, v)| v)
}

/// Asks, and returns the attributes of all answers.
fn ask(fd: &OwnedFd, family: u16, flags: u16, cmd: u8, body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let len = u32::try_from(20 + body.len()).ok()?;
    let mut message = len.to_ne_bytes().to_vec();
    message.extend(family.to_ne_bytes());
    message.extend((REQUEST | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend([cmd, 1, 0, 0]);
    message.extend(body);
    let (fd, kernel) = (fd.as_raw_fd(), NetlinkAddr::new(0, 0));
    sendto(fd, &message, &kernel, MsgFlags::empty()).ok()?;
    let (mut room, mut found) = (vec![0; 65536], Vec::new());
    loop {
        let came = recv(fd, &mut room, MsgFlags::empty()).ok()?;
        let mut left = room.get(..came)?;
        while let [a, b, c, d, e, f, ..] = *left {
            let len = u32::from_ne_bytes([a, b, c, d]) as usize;
            match u16::from_ne_bytes([e, f]) {
                ERROR => return None,
                DONE => return Some(found),
                _ => found.push(left.get(20..len)?.to_vec()),
            }
            left = left.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        if flags == 0 {
            return Some(found);
        }
    }
}

/// `None`: it is not there. In the network namespace of the calling thread.
pub(crate) fn weight(service: SocketAddrV4, dest: SocketAddrV4) -> Option<u32> {
    let address = |at: SocketAddrV4| [&at.ip().octets()[..], &[0; 12]].concat();
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )
    .ok()?;
    let named = ask(&fd, CONTROLLER, 0, 3, &attr(2, b"IPVS\0"))?;
    let family = value(named.first()?, 1)?;
    let family = u16::from_ne_bytes(family.try_into().ok()?);
    let named = [
        attr(1, &2_u16.to_ne_bytes()),
        attr(2, &6_u16.to_ne_bytes()),
        attr(3, &address(service)),
        attr(4, &service.port().to_be_bytes()),
    ];
    let dests = ask(&fd, family, DUMP, 8, &attr(1 | NESTED, &named.concat()))?;
    let dests = dests.iter().filter_map(|d| value(d, 2));
    let mut weights = dests.filter(|d| {
        let at = (value(d, 1), value(d, 2));
        at == (Some(&address(dest)), Some(&dest.port().to_be_bytes()))
    });
    let weight = value(weights.next()?, 4)?;
    weight.try_into().ok().map(u32::from_ne_bytes)
}
