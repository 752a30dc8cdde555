//! Interfaces that instances bring along: `use_vmac`, `use_ipvlan`. Source: keepalived.conf(5).

use std::net::IpAddr;
use std::sync::Arc;

use super::net::IfName;

/// An interface that the daemon makes on top of another one, for an instance or for some of its addresses. It is there
/// whatever state the instance is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubLink {
    /// Default: `vmac_prefix`, a dot and the VRID, or what is free; or the name of one that is there already.
    pub(crate) name: IfName,
    /// The interface below.
    pub(crate) base: IfName,
    pub(crate) kind: SubLinkKind,
    /// `group`, default that of `base`.
    pub(crate) group: Option<u32>,
    /// It carries IPv4: an instance's advertisements or an address.
    pub(crate) v4: bool,
    /// It carries IPv6: an instance's advertisements or an address.
    pub(crate) v6: bool,
    /// `netlink_notify_msg`: the kernel tells about `base` once more when this is made.
    pub(crate) tell_base: bool,
}

/// What kind of interface; what the wire sees of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SubLinkKind {
    /// A macvlan of mode private. `mac`: default 00:00:5e:00:01:VRID, IPv6 00:00:5e:00:02:VRID (RFC 9568 §7.3).
    Macvlan { mac: [u8; 6] },
    /// An ipvlan of mode L2.
    Ipvlan {
        mode: IpvlanMode,
        /// Stands on it all the time and is the source of advertisements. IPv4 cannot do without.
        addr: Option<(IpAddr, u8)>,
    },
}

/// Who may talk to whom among the ipvlans of one base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum IpvlanMode {
    #[default]
    Bridge,
    Private,
    Vepa,
}

/// The interfaces that come with an instance, and what else it wants of interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SubLinks {
    /// `use_vmac`, `use_ipvlan`: what the instance lives on, on top of `interface`.
    pub(crate) own: Option<Arc<SubLink>>,
    /// `vmac_xmit_base`: advertisements use `interface` all the same.
    pub(crate) xmit_base: bool,
    /// Those of single addresses: `use_vmac` in their lines, `use_vmac_addr`.
    pub(crate) of_addresses: Vec<Arc<SubLink>>,
    /// `promote_secondaries`: an address of `interface` whose primary one is deleted stays; not with a VMAC.
    pub(crate) promote_secondaries: bool,
}

impl SubLinks {
    /// `promote_secondaries`, where it counts.
    pub(crate) fn promotes(&self) -> bool {
        self.promote_secondaries && self.own.is_none()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<SubLink>> {
        self.own.iter().chain(&self.of_addresses)
    }

    /// The address of `use_ipvlan`.
    pub(crate) fn ipvlan_address(&self) -> Option<IpAddr> {
        match self.own.as_ref()?.kind {
            SubLinkKind::Ipvlan { addr, mode: _ } => addr.map(|(addr, _)| addr),
            SubLinkKind::Macvlan { mac: _ } => None,
        }
    }
}

impl SubLink {
    /// No ipvlan.
    pub(crate) fn is_vmac(&self) -> bool {
        matches!(self.kind, SubLinkKind::Macvlan { mac: _ })
    }
}
