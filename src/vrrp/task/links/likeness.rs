//! What an interface of ours looks like to the kernel, and whether one that is there fits. Changes nothing.

use std::net::{IpAddr, Ipv6Addr};

use crate::model::vmac::{IpvlanMode, SubLink, SubLinkKind};
use crate::sys::link::{self, Kind, LinkTold};
use crate::sys::view::View;
use crate::vrrp::links::{Wanted, WantedLink};

/// `IFF_UP`.
const UP: u32 = 1;

/// Whether the interfaces on or called `name` are as they should be, as far as can be seen without asking.
pub(in crate::vrrp::task) fn settled(wanted: &Wanted, name: &str, view: &View) -> bool {
    let touched = |w: &&WantedLink| w.link.name.as_str() == name || w.link.base.as_str() == name;
    wanted.links.iter().filter(touched).all(|w| {
        let Some(base) = view.index_of(w.link.base.as_str()) else {
            return true; // Nothing can be done.
        };
        let Some(there) = view.link_named(w.link.name.as_str()) else {
            return false;
        };
        let copy = copied(wanted, &w.link, view).filter(|_| there.flags & UP != 0);
        let has = |addr| view.addresses_of(there.index).any(|key| key.local == addr);
        fits(&w.link, base, there) && copy.is_none_or(|(addr, _)| has(IpAddr::V6(addr)))
    })
}

/// Whether the interface called `name` could be one of ours that somebody has renamed.
pub(in crate::vrrp::task) fn stray(wanted: &Wanted, name: &str, view: &View) -> bool {
    let there = view.link_named(name);
    let sub = there.is_some_and(|there| there.kind != Kind::Other);
    let mut links = wanted.links.iter();
    sub && links.all(|w| w.link.name.as_str() != name)
}

pub(super) fn copied(wanted: &Wanted, link: &SubLink, view: &View) -> Option<(Ipv6Addr, u8)> {
    let base = view.index_of(link.base.as_str())?;
    let usable = view.usable_addresses_of(base);
    wanted.copied(link, usable.map(|key| (key.local, key.prefix_len)))
}

pub(super) fn kind(link: &SubLink) -> Kind {
    match &link.kind {
        SubLinkKind::Macvlan { mac: _ } => Kind::Macvlan {
            mode: link::PRIVATE,
        },
        SubLinkKind::Ipvlan { mode, addr: _ } => Kind::Ipvlan {
            mode: link::L2,
            flags: match mode {
                IpvlanMode::Bridge => 0,
                IpvlanMode::Private => link::IPVLAN_PRIVATE,
                IpvlanMode::Vepa => link::IPVLAN_VEPA,
            },
        },
    }
}

pub(super) fn mac(link: &SubLink) -> Option<[u8; 6]> {
    match &link.kind {
        SubLinkKind::Macvlan { mac } => Some(*mac),
        SubLinkKind::Ipvlan { .. } => None,
    }
}

/// `there` is what `link` wants.
pub(super) fn fits(link: &SubLink, base: u32, there: &LinkTold) -> bool {
    let same_mac = mac(link).is_none_or(|mac| mac == there.mac);
    there.base == base && there.kind == kind(link) && same_mac
}

/// Both are macvlans, or both ipvlans.
pub(super) fn similar(a: Kind, b: Kind) -> bool {
    matches!(
        (a, b),
        (Kind::Macvlan { .. }, Kind::Macvlan { .. }) | (Kind::Ipvlan { .. }, Kind::Ipvlan { .. })
    )
}

/// "VMAC", "IPVLAN": keepalived's words.
pub(super) fn sort(link: &SubLink) -> &'static str {
    match link.kind {
        SubLinkKind::Macvlan { .. } => "VMAC",
        SubLinkKind::Ipvlan { .. } => "IPVLAN",
    }
}
