//! What one message of route netlink says, as far as it matters here.
//!
//! Lenient: only the attributes that are needed are read. Source: linux/rtnetlink.h, if_link.h, if_addr.h, netconf.h.

use std::net::{IpAddr, Ipv4Addr};

use super::super::addr::{AddressKey, AddressOptions, flag};
use super::super::link::Kind;

pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
pub(super) const RTM_NEWNETCONF: u16 = 80;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
/// And what lies in `IFLA_LINKINFO`.
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_GROUP: u16 = 27;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
/// Of a macvlan (4 octets) and of an ipvlan (2 octets); the latter has flags, too.
const MODE: u16 = 1;
const IPVLAN_FLAGS: u16 = 2;
const IFLA_VRF_TABLE: u16 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;

const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_FORWARDING: u16 = 2;

/// About a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkTold {
    pub(crate) index: u32,
    /// `IFF_*`, netdevice(7).
    pub(crate) flags: u32,
    pub(crate) name: String,
    pub(crate) mtu: u32,
    /// Zero where it has not six octets.
    pub(crate) mac: [u8; 6],
    /// `IFLA_LINK`: the interface below; 0 without one.
    pub(crate) base: u32,
    /// `IFLA_MASTER`: the bridge, bond or VRF that it is part of; 0 without one.
    pub(crate) master: u32,
    /// `IFLA_GROUP`.
    pub(crate) group: u32,
    pub(crate) kind: Kind,
    /// The routing table of a VRF.
    pub(crate) vrf_table: Option<u32>,
}

impl LinkTold {
    /// `struct ifinfomsg`: family, pad, type (2), index (4), flags (4), change (4); then attributes. `None`: not about
    /// the link itself (bridges and IPv6 tell about their side of it in messages of the same type).
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let (head, rest) = payload.split_first_chunk::<16>()?;
        let &[family, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = head;
        if i32::from(family) != libc::AF_UNSPEC {
            return None;
        }
        let mut told = Self {
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            flags: u32::from_ne_bytes([f0, f1, f2, f3]),
            ..Self::default()
        };
        for (kind, value) in attributes(rest) {
            match kind {
                IFLA_IFNAME => told.name = text(value),
                IFLA_MTU => told.mtu = number(value).unwrap_or_default(),
                IFLA_ADDRESS => told.mac = value.try_into().unwrap_or_default(),
                IFLA_LINK => told.base = number(value).unwrap_or_default(),
                IFLA_MASTER => told.master = number(value).unwrap_or_default(),
                IFLA_GROUP => told.group = number(value).unwrap_or_default(),
                IFLA_LINKINFO => {
                    told.kind = kind_of(value);
                    told.vrf_table = vrf_table(value);
                }
                _ => {}
            }
        }
        Some(told)
    }
}

fn kind_of(info: &[u8]) -> Kind {
    let find = |octets, wanted| {
        let mut found = attributes(octets).filter(move |&(kind, _)| kind == wanted);
        found.next().map(|(_, value)| value)
    };
    let data = find(info, IFLA_INFO_DATA).unwrap_or_default();
    let short = |wanted| {
        let value = find(data, wanted).and_then(<[u8]>::first_chunk);
        value.map_or(0, |n| u16::from_ne_bytes(*n))
    };
    match find(info, IFLA_INFO_KIND).map(text).as_deref() {
        Some("macvlan") => Kind::Macvlan {
            mode: find(data, MODE).and_then(number).unwrap_or_default(),
        },
        Some("ipvlan") => Kind::Ipvlan {
            mode: short(MODE),
            flags: short(IPVLAN_FLAGS),
        },
        Some(_) | None => Kind::Other,
    }
}

/// About an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddressTold {
    pub(super) key: AddressKey,
    pub(super) options: AddressOptions,
    /// All of `IFA_F_*`.
    pub(super) flags: u32,
    /// Who set it; kernels before 5.18 do not tell.
    pub(super) proto: Option<u8>,
}

impl AddressTold {
    /// `struct ifaddrmsg`: family, prefix length, flags, scope, index (4); then attributes. `None`: makes no sense.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let (head, rest) = payload.split_first_chunk::<8>()?;
        let &[_, prefix_len, old_flags, scope, i0, i1, i2, i3] = head;
        let (mut local, mut remote, mut label, mut broadcast) = (None, None, None, None);
        let (mut flags, mut preferred_lft, mut proto) = (u32::from(old_flags), None, None);
        for (kind, value) in attributes(rest) {
            match kind {
                IFA_LOCAL => local = ip(value),
                IFA_ADDRESS => remote = ip(value),
                IFA_LABEL => label = Some(text(value).into()),
                IFA_BROADCAST => {
                    broadcast = value.try_into().ok().map(|o: [u8; 4]| Ipv4Addr::from(o));
                }
                IFA_PROTO => proto = value.first().copied(),
                IFA_FLAGS => flags = number(value).unwrap_or(flags),
                IFA_CACHEINFO => preferred_lft = number(value).filter(|&secs| secs != u32::MAX),
                _ => {}
            }
        }
        // IPv4 shows this kind of address as preferred for ever all the same.
        if flags & flag::DEPRECATED != 0 {
            preferred_lft = Some(0);
        }
        Some(Self {
            key: AddressKey {
                index: u32::from_ne_bytes([i0, i1, i2, i3]),
                // IPv6 names an address without a remote end in IFA_ADDRESS alone.
                local: local.or(remote)?,
                remote: remote.or(local)?,
                prefix_len,
            },
            options: AddressOptions {
                label,
                broadcast,
                scope,
                flags: flags & flag::SETTABLE,
                preferred_lft,
            },
            flags,
            proto,
        })
    }
}

fn vrf_table(info: &[u8]) -> Option<u32> {
    let find = |octets, wanted| {
        let mut found = attributes(octets).filter(move |&(kind, _)| kind == wanted);
        found.next().map(|(_, value)| value)
    };
    (text(find(info, IFLA_INFO_KIND)?) == "vrf").then_some(())?;
    number(find(find(info, IFLA_INFO_DATA)?, IFLA_VRF_TABLE)?)
}

/// About IPv6 forwarding: interface and setting.
pub(super) fn forwarding(payload: &[u8]) -> Option<(u32, bool)> {
    // struct netconfmsg is one octet, padded to four.
    let (head, rest) = payload.split_first_chunk::<4>()?;
    if i32::from(head[0]) != libc::AF_INET6 {
        return None;
    }
    let find = |wanted| {
        let mut found = attributes(rest).filter(|&(kind, _)| kind == wanted);
        found.next().and_then(|(_, value)| number(value))
    };
    Some((find(NETCONFA_IFINDEX)?, find(NETCONFA_FORWARDING)? != 0))
}

/// Kind and value of each attribute, up to the first that makes no sense.
pub(in crate::sys) fn attributes(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let &[l0, l1, k0, k1, ..] = rest else {
            return None;
        };
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]), value))
    })
}

fn text(value: &[u8]) -> String {
    let value = value.split(|&b| b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// The first four octets as a number.
pub(in crate::sys) fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|n| u32::from_ne_bytes(*n))
}

pub(in crate::sys) fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_octets_are_read_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (LinkTold::parse(&octets), AddressTold::parse(&octets), forwarding(&octets));
        }
    }
}
