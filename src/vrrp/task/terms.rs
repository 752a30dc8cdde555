//! From the words of the configuration to those of the kernel, and back.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::net::{IfName, PreferredLft, VirtualAddress};
use crate::sys::addr::{AddressKey, AddressOptions, flag};
use crate::sys::raw::{Ear, Heard, Proto};
use crate::sys::view::Link;
use crate::vrrp::{Frame, IfIndex, InterfaceFacts, Packet, Protocol, Socket};

/// `IFF_UP`, `IFF_RUNNING`, `IFF_NOARP`: netdevice(7).
const UP: u32 = 0x1;
const RUNNING: u32 = 0x40;
const NOARP: u32 = 0x80;

/// How the kernel names a virtual address on the interface `index`.
pub(super) fn key(vip: &VirtualAddress, index: u32) -> AddressKey {
    AddressKey {
        index,
        local: vip.addr,
        remote: vip.peer.unwrap_or(vip.addr),
        prefix_len: vip.prefix_len,
    }
}

/// What the kernel is told about it.
pub(super) fn options(vip: &VirtualAddress) -> AddressOptions {
    let v6 = vip.addr.is_ipv6();
    let flags = [
        (vip.nodad && v6, flag::NODAD),
        (vip.home && v6, flag::HOMEADDRESS),
        (vip.mngtmpaddr && v6, flag::MANAGETEMPADDR),
        (vip.noprefixroute, flag::NOPREFIXROUTE),
        (vip.autojoin, flag::MCAUTOJOIN),
    ];
    AddressOptions {
        label: vip.label.clone().filter(|_| !v6),
        // keepalived: a peer leaves no room for a broadcast address.
        broadcast: vip.broadcast.filter(|_| !v6 && vip.peer.is_none()),
        scope: vip.scope.0,
        flags: flags
            .into_iter()
            .filter(|&(on, _)| on)
            .fold(0, |all, (_, bit)| all | bit),
        preferred_lft: match vip.preferred_lft {
            PreferredLft::Forever => None,
            // One less than "for ever" at most.
            PreferredLft::For(span) => Some(
                u32::try_from(span.as_secs()).map_or(u32::MAX - 1, |secs| secs.min(u32::MAX - 1)),
            ),
        },
    }
}

/// Whether an address that is there already will do: what a user of it could tell apart.
pub(super) fn will_do(there: &AddressOptions, wanted: &AddressOptions) -> bool {
    (&there.label, there.broadcast, there.scope) == (&wanted.label, wanted.broadcast, wanted.scope)
}

/// `None` for an interface whose name cannot stand in a configuration.
pub(super) fn facts(link: &Link) -> Option<Arc<InterfaceFacts>> {
    let addr = |key: &AddressKey| -> (IpAddr, u8) { (key.local, key.prefix_len) };
    Some(Arc::new(InterfaceFacts {
        index: IfIndex(link.index),
        name: IfName::new(&link.name)?,
        running: link.flags & (UP | RUNNING) == UP | RUNNING,
        noarp: link.flags & NOARP != 0,
        mtu: link.mtu,
        mac: link.mac,
        forwarding: link.forwarding,
        addrs: link.addresses.iter().map(addr).collect(),
    }))
}

/// VRRP's protocol number (RFC 9568 §5.1.1.4) and the place of its checksum.
const VRRP: Proto = Proto {
    number: 112,
    checksum_at: 6,
};
/// That of the authentication header, over IPv4 only.
const AH: Proto = Proto {
    number: 51,
    checksum_at: 0,
};

pub(super) fn proto(protocol: Protocol) -> Proto {
    match protocol {
        Protocol::Vrrp => VRRP,
        Protocol::Ah => AH,
    }
}

/// A socket of the core as the kernel's part of the house names it, and back.
pub(super) fn ear(socket: &Socket) -> Ear {
    Ear {
        index: socket.interface.map(|index| index.0),
        proto: proto(socket.protocol),
        local: socket.local,
    }
}

fn socket(ear: Ear) -> Socket {
    Socket {
        interface: ear.index.map(IfIndex),
        protocol: if ear.proto == AH {
            Protocol::Ah
        } else {
            Protocol::Vrrp
        },
        local: ear.local,
    }
}

pub(super) fn frame(heard: Heard) -> Frame {
    match heard {
        Heard::V4 { ear, packet, .. } => Frame {
            socket: socket(ear),
            packet: Packet::V4(packet),
        },
        Heard::V6 {
            ear,
            src,
            dst,
            hop_limit,
            payload,
            ..
        } => Frame {
            socket: socket(ear),
            packet: Packet::V6 {
                src,
                dst,
                hop_limit,
                payload,
            },
        },
    }
}
