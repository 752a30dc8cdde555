//! Routes and rules: the lines of `static_routes`, `virtual_routes`, `static_rules` and `virtual_rules`.
//!
//! Words follow `ip route` and `ip rule`; numbers are those of linux/rtnetlink.h and linux/fib_rules.h. Names from the
//! files of iproute2 are resolved. Source: keepalived.conf(5), ip-route(8), ip-rule(8).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::net::{Family, IfName, Scope, VirtualAddress};

/// An address and how many of its bits count, 0..=32 or 0..=128. Host bits are kept as written; the kernel masks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Prefix {
    pub(crate) addr: IpAddr,
    pub(crate) len: u8,
}

impl Prefix {
    /// `0.0.0.0/0` or `::/0`.
    pub(crate) fn any(family: Family) -> Self {
        let addr = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self { addr, len: 0 }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

/// A routing table, 0..=4294967295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Table(pub(crate) u32);

impl Table {
    /// `RT_TABLE_MAIN`.
    pub(crate) const MAIN: Self = Self(254);
}

/// Who made a route or a rule (`RTPROT_*`), 0..=255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Protocol(pub(crate) u8);

impl Protocol {
    /// `RTPROT_UNSPEC`.
    pub(crate) const UNSPEC: Self = Self(0);
    /// `RTPROT_KEEPALIVED`.
    pub(crate) const KEEPALIVED: Self = Self(18);
}

/// What the kernel does with a packet that a route matches (`RTN_*`), 0..=255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RouteType(pub(crate) u8);

impl RouteType {
    /// `RTN_UNICAST`.
    pub(crate) const UNICAST: Self = Self(1);
}

/// `realms`, IPv4 only: 0..=255 each; no source realm is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Realms {
    pub(crate) source: u8,
    pub(crate) dest: u8,
}

/// What a route tells TCP and the neighbourhood; the discriminant is the kernel's `RTAX_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub(crate) enum Metric {
    /// Octets.
    Mtu = 2,
    /// Octets.
    Window = 3,
    /// In units of 1/8 ms.
    Rtt = 4,
    /// In units of 1/4 ms.
    RttVar = 5,
    /// Segments.
    SsThresh = 6,
    /// Segments.
    Cwnd = 7,
    /// Octets.
    AdvMss = 8,
    /// Segments.
    Reordering = 9,
    /// 0..=255.
    HopLimit = 10,
    /// Segments.
    InitCwnd = 11,
    /// Bits: 1 is `ecn`.
    Features = 12,
    /// Milliseconds.
    RtoMin = 13,
    /// Segments.
    InitRwnd = 14,
    /// 0 or 1.
    QuickAck = 15,
    /// 0 or 1.
    FastOpenNoCookie = 17,
}

/// A metric's value; locked: the kernel never learns a better one (`lock`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Locked<T> {
    pub(crate) value: T,
    pub(crate) locked: bool,
}

/// `encap`: lightweight tunnels, linux/lwtunnel.h.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Encap {
    Ip(TunnelHeader<Ipv4Addr>),
    Ip6(TunnelHeader<Ipv6Addr>),
    /// Labels, 0..=1048575, outermost first; at least one.
    Mpls(Vec<u32>),
    /// The locator, 64 bits.
    Ila(u64),
}

/// The outer header of `encap ip` and `encap ip6`; what is not said is the kernel's choice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TunnelHeader<A> {
    pub(crate) id: Option<u64>,
    pub(crate) dst: Option<A>,
    pub(crate) src: Option<A>,
    /// `tos`, or `tc`.
    pub(crate) tos: Option<u8>,
    /// `ttl`, or `hoplimit`.
    pub(crate) ttl: Option<u8>,
    pub(crate) flags: Option<u16>,
}

impl<A> Default for TunnelHeader<A> {
    fn default() -> Self {
        Self {
            id: None,
            dst: None,
            src: None,
            tos: None,
            ttl: None,
            flags: None,
        }
    }
}

/// `pref`, IPv6 only, as the kernel numbers it (`ICMPV6_ROUTER_PREF_*`): 0 medium, 1 high, 3 low (RFC 4191 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RouterPreference(pub(crate) u8);

/// How a route is put among those that match the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Insert {
    /// Before them (`NLM_F_CREATE` alone).
    #[default]
    Prepend,
    /// Not at all if there is one (`NLM_F_EXCL`).
    Add,
    /// Behind them (`NLM_F_APPEND`).
    Append,
}

/// One `nexthop` of a multipath route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NextHop {
    /// `via`, of the route's family.
    pub(crate) via: Option<IpAddr>,
    pub(crate) dev: Option<IfName>,
    /// `weight`, 1..=256; `None`: 1.
    pub(crate) weight: Option<u16>,
    pub(crate) onlink: bool,
    pub(crate) encap: Option<Encap>,
    pub(crate) realms: Option<Realms>,
}

/// One line of `static_routes` or `virtual_routes`. Every address in it is of `family`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) family: Family,
    pub(crate) dest: Prefix,
    /// Default unicast.
    pub(crate) kind: RouteType,
    /// `from`, IPv6 only.
    pub(crate) source: Option<Prefix>,
    pub(crate) via: Option<IpAddr>,
    /// `src`: preferred source address.
    pub(crate) prefsrc: Option<IpAddr>,
    pub(crate) tos: u8,
    /// Default main. With `vrf` that VRF's table counts.
    pub(crate) table: Table,
    pub(crate) vrf: Option<IfName>,
    /// Default keepalived, and always so for a tracked route.
    pub(crate) protocol: Protocol,
    /// Default global.
    pub(crate) scope: Scope,
    /// `metric`; `None`: the kernel's default.
    pub(crate) priority: Option<u32>,
    pub(crate) dev: Option<IfName>,
    pub(crate) onlink: bool,
    pub(crate) encap: Option<Encap>,
    /// `expires`, whole seconds, IPv6 only; `None`: never.
    pub(crate) expires: Option<Duration>,
    pub(crate) metrics: BTreeMap<Metric, Locked<u32>>,
    /// `congctl` (`RTAX_CC_ALGO`).
    pub(crate) congctl: Option<Locked<Arc<str>>>,
    /// IPv4 only.
    pub(crate) realms: Option<Realms>,
    pub(crate) pref: Option<RouterPreference>,
    /// `ttl-propagate`, MPLS.
    pub(crate) ttl_propagate: Option<bool>,
    pub(crate) insert: Insert,
    /// `nexthop`, in file order; the first is that of `via` if both `via` and `or` are given.
    pub(crate) nexthops: Vec<NextHop>,
    /// Put back when somebody deletes it. True unless `no_track` was given.
    pub(crate) track: bool,
}

impl Route {
    /// A unicast route to `dest` with every option at its default.
    pub(crate) fn new(dest: Prefix) -> Self {
        Self {
            family: dest.addr.into(),
            dest,
            kind: RouteType::UNICAST,
            source: None,
            via: None,
            prefsrc: None,
            tos: 0,
            table: Table::MAIN,
            vrf: None,
            protocol: Protocol::KEEPALIVED,
            scope: Scope(0),
            priority: None,
            dev: None,
            onlink: false,
            encap: None,
            expires: None,
            metrics: BTreeMap::new(),
            congctl: None,
            realms: None,
            pref: None,
            ttl_propagate: None,
            insert: Insert::default(),
            nexthops: Vec::new(),
            track: true,
        }
    }
}

/// What a rule does with the packets it selects (`FR_ACT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RuleAction {
    /// `table` / `lookup`, never 0.
    Table(Table),
    /// `l3mdev`: the table of the L3 master device.
    L3Mdev,
    /// Goes on at the rule of that preference, above the own one.
    Goto(u32),
    Nop,
    Blackhole,
    Unreachable,
    Prohibit,
}

/// `fwmark`, with the bits of it that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mark {
    pub(crate) value: u32,
    /// Default all bits.
    pub(crate) mask: u32,
}

/// One line of `static_rules` or `virtual_rules`; a selector that is `None` matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) family: Family,
    /// Lowest first, 0..=4294967295; unsaid, keepalived counts down from 16384.
    pub(crate) preference: u32,
    pub(crate) action: RuleAction,
    /// `not`.
    pub(crate) invert: bool,
    pub(crate) from: Option<Prefix>,
    pub(crate) to: Option<Prefix>,
    pub(crate) tos: Option<u8>,
    pub(crate) fwmark: Option<Mark>,
    pub(crate) realms: Option<Realms>,
    pub(crate) suppress_prefixlength: Option<u32>,
    pub(crate) suppress_ifgroup: Option<u32>,
    pub(crate) iif: Option<IfName>,
    pub(crate) oif: Option<IfName>,
    pub(crate) tunnel_id: Option<u64>,
    pub(crate) uids: Option<RangeInclusive<u32>>,
    /// Default keepalived, or unspecified with `no_track`.
    pub(crate) protocol: Protocol,
    /// `ipproto`, 0..=127.
    pub(crate) ip_protocol: Option<u8>,
    pub(crate) sport: Option<RangeInclusive<u16>>,
    pub(crate) dport: Option<RangeInclusive<u16>>,
    /// Put back when somebody deletes it. True unless `no_track` was given.
    pub(crate) track: bool,
}

impl Rule {
    /// A rule that selects everything.
    pub(crate) fn new(family: Family, preference: u32, action: RuleAction) -> Self {
        Self {
            family,
            preference,
            action,
            invert: false,
            from: None,
            to: None,
            tos: None,
            fwmark: None,
            realms: None,
            suppress_prefixlength: None,
            suppress_ifgroup: None,
            iif: None,
            oif: None,
            tunnel_id: None,
            uids: None,
            protocol: Protocol::KEEPALIVED,
            ip_protocol: None,
            sport: None,
            dport: None,
            track: true,
        }
    }
}

/// An entry of `static_ipaddress`, `static_routes` or `static_rules`: there from start to stop, whatever instances do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Static<T> {
    pub(crate) entry: T,
    /// `track_group`: names an existing [`TrackGroup`].
    pub(crate) group: Option<Arc<str>>,
}

/// All of them, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statics {
    pub(crate) addresses: Vec<Static<VirtualAddress>>,
    pub(crate) routes: Vec<Static<Route>>,
    pub(crate) rules: Vec<Static<Rule>>,
}

/// One `track_group`: instances that track the interface of the static entries that name the group, with weight 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrackGroup {
    /// Name of the block; unique.
    pub(crate) name: Arc<str>,
    /// Names of existing instances, in file order; at least one.
    pub(crate) members: Vec<Arc<str>>,
}
