//! One thing in the kernel that somebody wants there: an address, a route or a rule.

use crate::model::net::{IfName, VirtualAddress};
use crate::model::route::{Route, Rule};
use crate::reconcile::Op;
use crate::sys::addr::{self, AddressKey, AddressOptions};
use crate::sys::fib::{self, RouteHead};
use crate::sys::genl::Attrs;
use crate::sys::netlink::Request;
use crate::sys::view::View;
use crate::vrrp::desired::Desired;
use crate::vrrp::task::terms;
use crate::vrrp::{InstanceId, Lost};

use super::ways::{self, Missing};

/// Who wants something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    Instance(InstanceId),
    /// `static_ipaddress`, `static_routes`, `static_rules`.
    Statics,
}

/// What identifies a thing in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Address(AddressKey),
    Route(RouteHead, Attrs),
    Rule(fib::Rule),
}

/// A thing with the line it comes from. Equal to another one if the kernel is told the same.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Address(AddressOptions, VirtualAddress),
    Route(fib::Route, Box<Route>),
    Rule(fib::Rule, Box<Rule>),
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(a, _), Self::Address(b, _)) => a == b,
            (Self::Route(a, _), Self::Route(b, _)) => a == b,
            (Self::Rule(a, _), Self::Rule(b, _)) => a == b,
            (Self::Address(..) | Self::Route(..) | Self::Rule(..), _) => false,
        }
    }
}

impl Entry {
    pub(super) fn address(vip: VirtualAddress, index: u32) -> (Key, Self) {
        let key = terms::key(&vip, index);
        (Key::Address(key), Self::Address(terms::options(&vip), vip))
    }

    pub(super) fn add(&self, key: &Key) -> Option<Request> {
        match (self, key) {
            (Self::Address(options, _), Key::Address(key)) => Some(addr::add(key, options)),
            (Self::Route(route, _), _) => Some(route.add()),
            (Self::Rule(rule, _), _) => Some(rule.add()),
            (Self::Address(..), Key::Route(..) | Key::Rule(_)) => None,
        }
    }

    pub(super) fn del(&self, key: &Key) -> Option<Request> {
        match (self, key) {
            (Self::Address(..), Key::Address(key)) => Some(addr::del(key)),
            (Self::Route(route, _), _) => Some(route.del()),
            (Self::Rule(rule, _), _) => Some(rule.del()),
            (Self::Address(..), Key::Route(..) | Key::Rule(_)) => None,
        }
    }

    /// The interfaces that it needs.
    pub(super) fn interfaces(&self) -> Vec<&IfName> {
        match self {
            Self::Address(_, vip) => vec![&vip.dev],
            Self::Route(_, route) => {
                let hops = route.nexthops.iter().filter_map(|hop| hop.dev.as_ref());
                route.dev.iter().chain(hops).collect()
            }
            Self::Rule(..) => Vec::new(),
        }
    }

    /// Whether its loss matters.
    pub(super) fn tracked(&self) -> bool {
        match self {
            Self::Address(_, vip) => vip.track,
            Self::Route(_, route) => route.track,
            Self::Rule(_, rule) => rule.track,
        }
    }

    pub(super) fn into_lost(self) -> Lost {
        match self {
            Self::Address(_, vip) => Lost::Address(vip),
            Self::Route(_, route) => Lost::Route(route),
            Self::Rule(_, rule) => Lost::Rule(rule),
        }
    }

    /// What it is, for the log: `address 10.0.0.1/24 on eth0`.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Address(_, vip) => {
                format!("address {}/{} on {}", vip.addr, vip.prefix_len, vip.dev)
            }
            Self::Route(_, route) => format!("route {} in table {}", route.dest, route.table.0),
            Self::Rule(_, rule) => format!("rule {}", rule.preference),
        }
    }
}

/// What cannot be set as long as an interface is missing: its name, and what it is, for the log.
pub(super) type Unmet = (IfName, String);

/// What somebody wants, in the kernel's terms, in the order of adding; and what must wait for an interface.
pub(super) fn wanted(desired: Desired, view: &View) -> (Vec<(Key, Entry)>, Vec<Unmet>) {
    let (mut known, mut unmet) = (Vec::new(), Vec::new());
    for vip in desired.addresses {
        match view.index_of(vip.dev.as_str()) {
            Some(index) => known.push(Entry::address(vip, index)),
            None => unmet.push((vip.dev.clone(), format!("address {}", vip.addr))),
        }
    }
    for route in desired.routes {
        match ways::route(&route, view) {
            Ok(told) => {
                let key = Key::Route(told.head, told.identity.clone());
                known.push((key, Entry::Route(told, Box::new(route))));
            }
            Err(Missing(dev)) => unmet.push((dev, format!("route {}", route.dest))),
        }
    }
    for rule in desired.rules {
        let told = ways::rule(&rule);
        known.push((Key::Rule(told.clone()), Entry::Rule(told, Box::new(rule))));
    }
    (known, unmet)
}

/// Addresses go first when something is added, and last when something is removed: routes may need them.
pub(super) fn rank(op: &Op<Key, Entry>) -> u8 {
    match op {
        Op::Del(Key::Rule(_), _) => 0,
        Op::Del(Key::Route(..), _) => 1,
        Op::Del(Key::Address(_), _) => 2,
        Op::Add(Key::Address(_), _)
        | Op::Replace {
            key: Key::Address(_),
            ..
        } => 3,
        Op::Add(Key::Route(..), _)
        | Op::Replace {
            key: Key::Route(..),
            ..
        } => 4,
        Op::Add(Key::Rule(_), _)
        | Op::Replace {
            key: Key::Rule(_), ..
        } => 5,
    }
}

pub(super) fn key_of(op: &Op<Key, Entry>) -> &Key {
    match op {
        Op::Del(key, _) | Op::Add(key, _) | Op::Replace { key, .. } => key,
    }
}
