//! Routes and rules as route netlink speaks of them: how they are asked for, and what notifications say about them.
//!
//! Both are a fixed head and a list of attributes; what is asked for is kept in that form, so that nothing that can be
//! said gets lost on the way. Source: rtnetlink(7), linux/rtnetlink.h, linux/fib_rules.h.

#[cfg(test)]
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};

use super::genl::Attrs;
use super::netlink::Request;
#[cfg(test)]
use super::view::ip;
use super::view::{attributes, number};

pub(crate) const RTM_NEWROUTE: u16 = 24;
pub(crate) const RTM_DELROUTE: u16 = 25;
pub(crate) const RTM_NEWRULE: u16 = 32;
pub(crate) const RTM_DELRULE: u16 = 33;

/// `RT_TABLE_COMPAT`: the table does not fit the head.
const COMPAT: u8 = 252;
/// `RTPROT_KEEPALIVED`.
pub(crate) const KEEPALIVED: u8 = 18;

/// `RTA_*`.
pub(crate) mod rta {
    pub(crate) const DST: u16 = 1;
    pub(crate) const SRC: u16 = 2;
    pub(crate) const OIF: u16 = 4;
    pub(crate) const GATEWAY: u16 = 5;
    pub(crate) const PRIORITY: u16 = 6;
    pub(crate) const PREFSRC: u16 = 7;
    pub(crate) const METRICS: u16 = 8;
    pub(crate) const MULTIPATH: u16 = 9;
    pub(crate) const FLOW: u16 = 11;
    pub(crate) const TABLE: u16 = 15;
    pub(crate) const PREF: u16 = 20;
    pub(crate) const ENCAP_TYPE: u16 = 21;
    pub(crate) const ENCAP: u16 = 22;
    pub(crate) const EXPIRES: u16 = 23;
    pub(crate) const TTL_PROPAGATE: u16 = 26;
    /// `RTAX_LOCK`, `RTAX_CC_ALGO`: members of [`METRICS`].
    pub(crate) const LOCK: u16 = 1;
    pub(crate) const CC_ALGO: u16 = 16;
}

/// `FRA_*`.
pub(crate) mod fra {
    pub(crate) const DST: u16 = 1;
    pub(crate) const SRC: u16 = 2;
    pub(crate) const IIFNAME: u16 = 3;
    pub(crate) const GOTO: u16 = 4;
    pub(crate) const PRIORITY: u16 = 6;
    pub(crate) const FWMARK: u16 = 10;
    pub(crate) const FLOW: u16 = 11;
    pub(crate) const TUN_ID: u16 = 12;
    pub(crate) const SUPPRESS_IFGROUP: u16 = 13;
    pub(crate) const SUPPRESS_PREFIXLEN: u16 = 14;
    pub(crate) const TABLE: u16 = 15;
    pub(crate) const FWMASK: u16 = 16;
    pub(crate) const OIFNAME: u16 = 17;
    pub(crate) const L3MDEV: u16 = 19;
    pub(crate) const UID_RANGE: u16 = 20;
    pub(crate) const PROTOCOL: u16 = 21;
    pub(crate) const IP_PROTO: u16 = 22;
    pub(crate) const SPORT_RANGE: u16 = 23;
    pub(crate) const DPORT_RANGE: u16 = 24;
}

/// `FIB_RULE_INVERT`.
pub(crate) const INVERT: u32 = 2;
/// `RTNH_F_ONLINK`.
pub(crate) const ONLINK: u8 = 4;

/// How a route is put among others that match the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Before them.
    Prepend,
    /// Not at all if there is one.
    Only,
    /// Behind them.
    Append,
}

/// `struct rtmsg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RouteHead {
    pub(crate) v6: bool,
    pub(crate) dst_len: u8,
    pub(crate) src_len: u8,
    pub(crate) tos: u8,
    pub(crate) table: u32,
    pub(crate) protocol: u8,
    pub(crate) scope: u8,
    /// `RTN_*`.
    pub(crate) kind: u8,
    pub(crate) flags: u8,
}

/// A route to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) head: RouteHead,
    /// What is needed to find it again: destination, source, gateway, interface, priority, next hops.
    pub(crate) identity: Attrs,
    /// The rest.
    pub(crate) more: Attrs,
    pub(crate) place: Place,
}

impl Route {
    /// `RTM_NEWROUTE`; refused with `EEXIST` where the same one is there.
    pub(crate) fn add(&self) -> Request {
        let place = match self.place {
            Place::Prepend => 0,
            Place::Only => NLM_F_EXCL,
            Place::Append => NLM_F_APPEND,
        };
        self.request(
            RTM_NEWROUTE,
            NLM_F_CREATE | place,
            &[&self.identity, &self.more],
        )
    }

    /// `RTM_DELROUTE`; refused with `ESRCH` where it is not there.
    pub(crate) fn del(&self) -> Request {
        self.request(RTM_DELROUTE, 0, &[&self.identity])
    }

    fn request(&self, kind: u16, flags: u16, parts: &[&Attrs]) -> Request {
        let h = &self.head;
        let table = u8::try_from(h.table).unwrap_or(COMPAT);
        let mut body = vec![
            family(h.v6),
            h.dst_len,
            h.src_len,
            h.tos,
            table,
            h.protocol,
            h.scope,
            h.kind,
            h.flags,
            0,
            0,
            0,
        ];
        for part in parts {
            body.extend(part.octets());
        }
        body.extend(Attrs::default().u32(rta::TABLE, h.table).octets());
        Request::raw(kind, flags, body)
    }

    /// Whether a notification is about this route.
    pub(crate) fn is(&self, told: &RouteTold) -> bool {
        let (h, t) = (&self.head, &told.head);
        let same = (h.v6, h.dst_len, h.src_len, h.tos, h.table, h.kind)
            == (t.v6, t.dst_len, t.src_len, t.tos, t.table, t.kind);
        // Next hops come in words of the kernel's own: a route of several is known by the rest.
        same && attributes(self.identity.octets())
            .filter(|(kind, _)| *kind != rta::MULTIPATH)
            .all(|(kind, value)| told.says(kind, value))
    }
}

/// A route as a notification shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteTold {
    pub(crate) head: RouteHead,
    attrs: Told,
}

impl RouteTold {
    /// `struct rtmsg`, then attributes. `None`: makes no sense.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let (head, rest) = payload.split_first_chunk::<12>()?;
        let &[
            af,
            dst_len,
            src_len,
            tos,
            table,
            protocol,
            scope,
            kind,
            flags,
            ..,
        ] = head;
        let attrs = Told::parse(rest);
        Some(Self {
            head: RouteHead {
                v6: i32::from(af) == libc::AF_INET6,
                dst_len,
                src_len,
                tos,
                table: attrs.table(rta::TABLE).unwrap_or(table.into()),
                protocol,
                scope,
                kind,
                flags,
            },
            attrs,
        })
    }

    fn says(&self, kind: u16, value: &[u8]) -> bool {
        let same = |told: &[u8]| told.starts_with(value) || value.starts_with(told);
        self.attrs.get(kind).map_or_else(|| is_zero(value), same)
    }

    /// Where it leads to.
    #[cfg(test)]
    pub(crate) fn dst(&self) -> Option<IpAddr> {
        ip(self.attrs.get(rta::DST)?)
    }
}

/// `struct fib_rule_hdr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RuleHead {
    pub(crate) v6: bool,
    pub(crate) dst_len: u8,
    pub(crate) src_len: u8,
    pub(crate) tos: u8,
    pub(crate) table: u32,
    /// `FR_ACT_*`.
    pub(crate) action: u8,
    pub(crate) flags: u32,
}

/// A rule to ask for: all of it is its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rule {
    pub(crate) head: RuleHead,
    pub(crate) attrs: Attrs,
}

impl Rule {
    /// `RTM_NEWRULE`; refused with `EEXIST` where the same one is there.
    pub(crate) fn add(&self) -> Request {
        self.request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// `RTM_DELRULE`; refused with `ENOENT` where it is not there.
    pub(crate) fn del(&self) -> Request {
        self.request(RTM_DELRULE, 0)
    }

    fn request(&self, kind: u16, flags: u16) -> Request {
        let h = &self.head;
        let table = u8::try_from(h.table).unwrap_or(COMPAT);
        let mut body = vec![
            family(h.v6),
            h.dst_len,
            h.src_len,
            h.tos,
            table,
            0,
            0,
            h.action,
        ];
        body.extend(h.flags.to_ne_bytes());
        body.extend(self.attrs.octets());
        if h.table != 0 {
            body.extend(Attrs::default().u32(fra::TABLE, h.table).octets());
        }
        Request::raw(kind, flags, body)
    }

    /// Whether a notification is about this rule.
    pub(crate) fn is(&self, told: &RuleTold) -> bool {
        // The kernel adds flags of its own (a target or an interface that is missing).
        let t = RuleHead {
            flags: told.head.flags & INVERT,
            ..told.head
        };
        self.head == t
            && attributes(self.attrs.octets()).all(|(kind, value)| told.says(kind, value))
    }
}

/// A rule as a notification shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleTold {
    pub(crate) head: RuleHead,
    attrs: Told,
}

impl RuleTold {
    /// `struct fib_rule_hdr`, then attributes. `None`: makes no sense.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let (head, rest) = payload.split_first_chunk::<12>()?;
        let &[
            af,
            dst_len,
            src_len,
            tos,
            table,
            _,
            _,
            action,
            f0,
            f1,
            f2,
            f3,
        ] = head;
        let attrs = Told::parse(rest);
        Some(Self {
            head: RuleHead {
                v6: i32::from(af) == libc::AF_INET6,
                dst_len,
                src_len,
                tos,
                table: attrs.table(fra::TABLE).unwrap_or(table.into()),
                action,
                flags: u32::from_ne_bytes([f0, f1, f2, f3]),
            },
            attrs,
        })
    }

    fn says(&self, kind: u16, value: &[u8]) -> bool {
        let same = |told: &[u8]| told == value;
        self.attrs.get(kind).map_or_else(|| is_zero(value), same)
    }
}

fn family(v6: bool) -> u8 {
    let af = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    u8::try_from(af).unwrap_or_default()
}

/// What is zero need not be said.
fn is_zero(value: &[u8]) -> bool {
    value.iter().all(|b| *b == 0)
}

/// The attributes of a notification, by their kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told(Vec<(u16, Vec<u8>)>);

impl Told {
    fn parse(octets: &[u8]) -> Self {
        let all = attributes(octets).map(|(kind, value)| (kind, value.to_vec()));
        Self(all.collect())
    }

    fn get(&self, kind: u16) -> Option<&[u8]> {
        let (_, value) = self.0.iter().find(|(k, _)| *k == kind)?;
        Some(value)
    }

    /// The routing table, which the head has no room for where its number is large.
    fn table(&self, kind: u16) -> Option<u32> {
        self.get(kind).and_then(number)
    }
}
