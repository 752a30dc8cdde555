//! Addresses on interfaces: how the kernel identifies them, what it keeps about them, and how it is told.
//!
//! Requests are complete: nothing is left for the kernel or a library to invent (rtnetlink's own request type invents
//! a broadcast address). Source: rtnetlink(7), linux/if_addr.h.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Request;
pub(super) use super::view::address as told;

/// `IFA_PROTO` of addresses that keepalived adds: its routing protocol number (linux/rtnetlink.h `RTPROT_KEEPALIVED`).
pub(crate) const PROTO: u8 = 18;

/// "For ever" in `struct ifa_cacheinfo`.
const FOREVER: u32 = u32::MAX;

/// What makes an address that address: the kernel holds at most one per key (IPv6 goes by index and address alone,
/// but wants the right prefix length for a deletion).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AddressKey {
    /// Interface.
    pub(crate) index: u32,
    /// `IFA_LOCAL`.
    pub(crate) local: IpAddr,
    /// `IFA_ADDRESS`: the remote end where there is one, else equal to `local`.
    pub(crate) remote: IpAddr,
    /// 0..=32, 0..=128.
    pub(crate) prefix_len: u8,
}

/// What can be chosen about an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddressOptions {
    /// `IFA_LABEL`, IPv4 only; `None`: the interface's name.
    pub(crate) label: Option<Arc<str>>,
    /// `IFA_BROADCAST`, IPv4 only.
    pub(crate) broadcast: Option<Ipv4Addr>,
    /// `ifa_scope`: 0 global, 200 site, 253 link, 254 host, 255 nowhere.
    pub(crate) scope: u8,
    /// `IFA_F_*`, only those that a user may set.
    pub(crate) flags: u32,
    /// Seconds for which the address is preferred as a source; `None`: for ever.
    pub(crate) preferred_lft: Option<u32>,
}

/// `IFA_F_*` that a user may set (linux/if_addr.h).
pub(crate) mod flag {
    pub(crate) const NODAD: u32 = 0x02;
    pub(crate) const HOMEADDRESS: u32 = 0x10;
    pub(crate) const MANAGETEMPADDR: u32 = 0x100;
    pub(crate) const NOPREFIXROUTE: u32 = 0x200;
    pub(crate) const MCAUTOJOIN: u32 = 0x400;
    /// All of them.
    pub(crate) const SETTABLE: u32 =
        NODAD | HOMEADDRESS | MANAGETEMPADDR | NOPREFIXROUTE | MCAUTOJOIN;

    /// IPv4: another address of the same subnet came first.
    pub(crate) const SECONDARY: u32 = 0x01;
    /// IPv6: somebody else has it.
    pub(crate) const DADFAILED: u32 = 0x08;
    /// Not to be chosen as a source.
    pub(crate) const DEPRECATED: u32 = 0x20;
    /// IPv6: duplicate address detection has not ended.
    pub(crate) const TENTATIVE: u32 = 0x40;
}

/// `RTM_NEWADDR`; refused with `EEXIST` where the key is taken.
pub(crate) fn add(key: &AddressKey, options: &AddressOptions) -> Request {
    let mut message = message(key);
    message.header.scope = options.scope.into();
    let attributes = &mut message.attributes;
    if let Some(label) = &options.label {
        attributes.push(AddressAttribute::Label(label.to_string()));
    }
    if let Some(broadcast) = options.broadcast {
        attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    if options.flags != 0 {
        let flags = AddressFlags::from_bits_retain(options.flags);
        attributes.push(AddressAttribute::Flags(flags));
    }
    if let Some(seconds) = options.preferred_lft {
        let mut info = CacheInfo::default();
        info.ifa_preferred = seconds;
        info.ifa_valid = FOREVER;
        attributes.push(AddressAttribute::CacheInfo(info));
    }
    // Kernels before 5.18 do not know it and pass over it.
    let proto = AddressProtocol::Other(PROTO);
    attributes.push(AddressAttribute::Protocol(proto));
    Request::new(
        &RouteNetlinkMessage::NewAddress(message),
        NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// `RTM_DELADDR`; refused with `EADDRNOTAVAIL` where there is no such address, `ENODEV` where there is no interface.
pub(crate) fn del(key: &AddressKey) -> Request {
    Request::new(&RouteNetlinkMessage::DelAddress(message(key)), 0)
}

/// The address that a request is about; `None`: it is about something else.
pub(crate) fn key_of(request: &Request) -> Option<AddressKey> {
    /// `RTM_NEWADDR`, `RTM_DELADDR`.
    const KINDS: [u16; 2] = [20, 21];
    let (kind, body) = request.parts();
    KINDS.contains(&kind).then(|| told(body)).flatten()
}

fn message(key: &AddressKey) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match key.local {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = key.prefix_len;
    message.header.index = key.index;
    message.attributes = vec![
        AddressAttribute::Local(key.local),
        AddressAttribute::Address(key.remote),
    ];
    message
}

#[cfg(test)]
mod tests;
