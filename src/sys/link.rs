//! Interfaces on top of others: macvlan and ipvlan, made and removed by route netlink.
//!
//! Never touches an interface that it was not told to. Source: rtnetlink(7), linux/if_link.h.

use std::io;
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLMSG_DONE, NLMSG_ERROR};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, IpVlanFlags, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};

use super::netlink::{self, DATAGRAM, Request};
pub(crate) use super::view::LinkTold;

/// `MACVLAN_MODE_PRIVATE`: does not talk to other macvlans of the same base.
pub(crate) const PRIVATE: u32 = 1;
/// `IPVLAN_MODE_L2`.
pub(crate) const L2: u16 = 0;
/// `IPVLAN_F_PRIVATE`.
pub(crate) const IPVLAN_PRIVATE: u16 = 1;
/// `IPVLAN_F_VEPA`.
pub(crate) const IPVLAN_VEPA: u16 = 2;

/// What an interface is, as far as we make such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Other,
    /// `mode`: `MACVLAN_MODE_*`.
    Macvlan { mode: u32 },
    /// `mode`: `IPVLAN_MODE_*`; `flags`: `IPVLAN_F_*`.
    Ipvlan { mode: u16, flags: u16 },
}

/// An interface to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewLink {
    pub(crate) name: String,
    /// Index of the interface below.
    pub(crate) base: u32,
    pub(crate) kind: Kind,
    /// Default: the kernel's choice.
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) group: u32,
}

/// `RTM_NEWLINK`: makes it, down. Refused with `EEXIST` where the name is taken, `EADDRNOTAVAIL` or `EADDRINUSE` where
/// the MAC is.
pub(crate) fn add(new: &NewLink) -> Request {
    let (kind, data) = match new.kind {
        Kind::Macvlan { mode } => (
            InfoKind::MacVlan,
            InfoData::MacVlan(vec![InfoMacVlan::Mode(mode.into())]),
        ),
        Kind::Ipvlan { mode, flags } => (
            InfoKind::IpVlan,
            InfoData::IpVlan(vec![
                InfoIpVlan::Mode(mode.into()),
                InfoIpVlan::Flags(IpVlanFlags::from_bits_retain(flags)),
            ]),
        ),
        // Nobody asks for it; the kernel would refuse.
        Kind::Other => (InfoKind::Other(String::new()), InfoData::Other(Vec::new())),
    };
    let mut message = LinkMessage::default();
    let attributes = &mut message.attributes;
    attributes.push(LinkAttribute::IfName(new.name.clone()));
    attributes.push(LinkAttribute::Link(new.base));
    if let Some(mac) = new.mac {
        attributes.push(LinkAttribute::Address(mac.to_vec()));
    }
    if new.group != 0 {
        attributes.push(LinkAttribute::Group(new.group));
    }
    let info = vec![LinkInfo::Kind(kind), LinkInfo::Data(data)];
    attributes.push(LinkAttribute::LinkInfo(info));
    Request::new(
        &RouteNetlinkMessage::NewLink(message),
        NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// Sets an interface up.
pub(crate) fn up(index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    set(message)
}

/// Sets an interface down and gives it another name, which older kernels refuse for one that is up.
pub(crate) fn rename(index: u32, name: &str) -> [Request; 2] {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.change_mask = LinkFlags::Up;
    let down = set(message.clone());
    message.header.change_mask = LinkFlags::empty();
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    [down, set(message)]
}

/// Puts an interface into the group that it is in: the kernel tells everybody about it once more.
pub(crate) fn tell_again(index: u32, group: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Group(group));
    set(message)
}

fn set(message: LinkMessage) -> Request {
    Request::new(&RouteNetlinkMessage::NewLink(message), 0)
}

/// `RTM_DELLINK`.
pub(crate) fn del(index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    Request::new(&RouteNetlinkMessage::DelLink(message), 0)
}

/// The index of an interface of this thread's namespace.
pub(crate) fn index_of(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

/// All interfaces of this thread's namespace.
///
/// # Errors
/// No netlink, no memory, no descriptors.
pub(crate) fn list() -> io::Result<Vec<LinkTold>> {
    let fd = netlink::open(0)?;
    let mut octets = Vec::new();
    let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
    netlink::append(&mut octets, 1, &Request::new(&all, NLM_F_DUMP));
    netlink::send_all(fd.as_fd(), &octets)?;
    let mut found = Vec::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let got = match netlink::receive(fd.as_fd(), &mut buffer) {
            Ok(got) => got,
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        for (header, payload) in netlink::messages(&buffer[..got]) {
            match header.message_type {
                NLMSG_DONE | NLMSG_ERROR => return Ok(found),
                _ => found.extend(LinkTold::parse(payload)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::netlink::RouteSocket;
    use super::super::testnet::{in_namespace, index, ip, veth};
    use super::*;

    #[test]
    fn a_macvlan_is_made_seen_told_about_and_removed() {
        in_namespace(|| {
            veth("a", "b");
            let mut route = RouteSocket::open().expect("netlink");
            let new = NewLink {
                name: "vrrp.51".into(),
                base: index("a"),
                kind: Kind::Macvlan { mode: PRIVATE },
                mac: Some([0, 0, 0x5e, 0, 1, 51]),
                group: 7,
            };
            let mut one = |request| route.execute(vec![request]).remove(0);
            assert_eq!(one(add(&new)), Ok(()));
            assert_eq!(one(add(&new)).map_err(|e| e.errno), Err(Errno::EEXIST));
            let made = list().expect("a list");
            let made = made.iter().find(|l| l.name == "vrrp.51").expect("a link");
            assert_eq!(
                (made.kind, made.mac, made.base, made.group),
                (new.kind, [0, 0, 0x5e, 0, 1, 51], new.base, 7)
            );
            assert_eq!(made.flags & 1, 0, "it is down at first");
            assert_eq!(one(up(made.index)), Ok(()));
            assert_eq!(one(tell_again(new.base, 0)), Ok(()));
            assert!(ip("-d link show vrrp.51").contains("macvlan mode private"));
            assert_eq!(one(del(made.index)), Ok(()));
            assert_eq!(index_of("vrrp.51"), None);
        });
    }
}
