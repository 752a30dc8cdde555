//! One thing in the kernel that somebody wants there: an address, a route or a rule.

use std::sync::Arc;

use crate::model::net::{IfName, VirtualAddress};
use crate::model::route::{Route, Rule, Statics};
use crate::reconcile::Op;
use crate::sys::addr::{self, AddressKey};
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Address(AddressKey),
    Route(Box<(RouteHead, Attrs)>),
    Rule(Box<fib::Rule>),
}

/// A thing with the line it comes from. Equal to another one if the kernel is told the same.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Shared with the configuration: what the kernel is told follows from it.
    Address(Arc<VirtualAddress>),
    Route(Box<(fib::Route, Route)>),
    Rule(Box<(fib::Rule, Rule)>),
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(a), Self::Address(b)) => terms::options(a) == terms::options(b),
            (Self::Route(a), Self::Route(b)) => a.0 == b.0,
            (Self::Rule(a), Self::Rule(b)) => a.0 == b.0,
            (Self::Address(..) | Self::Route(..) | Self::Rule(..), _) => false,
        }
    }
}

impl Entry {
    pub(super) fn address(vip: Arc<VirtualAddress>, index: u32) -> (Key, Self) {
        let key = terms::key(&vip, index);
        (Key::Address(key), Self::Address(vip))
    }

    pub(super) fn add(&self, key: &Key) -> Option<Request> {
        match (self, key) {
            (Self::Address(vip), Key::Address(key)) => Some(addr::add(key, &terms::options(vip))),
            (Self::Route(route), _) => Some(route.0.add()),
            (Self::Rule(rule), _) => Some(rule.0.add()),
            (Self::Address(..), Key::Route(..) | Key::Rule(_)) => None,
        }
    }

    pub(super) fn del(&self, key: &Key) -> Option<Request> {
        match (self, key) {
            (Self::Address(..), Key::Address(key)) => Some(addr::del(key)),
            (Self::Route(route), _) => Some(route.0.del()),
            (Self::Rule(rule), _) => Some(rule.0.del()),
            (Self::Address(..), Key::Route(..) | Key::Rule(_)) => None,
        }
    }

    /// What identifies it with the interfaces as they are in `view`; `None`: one of them is not there.
    pub(super) fn key(&self, view: &View) -> Option<Key> {
        Some(match self {
            Self::Address(vip) => Key::Address(terms::key(vip, view.index_of(vip.dev.as_str())?)),
            Self::Route(route) => {
                let told = ways::route(&route.1, view).ok()?;
                Key::Route(Box::new((told.head, told.identity)))
            }
            Self::Rule(rule) => Key::Rule(Box::new(rule.0.clone())),
        })
    }

    /// The interfaces that it needs.
    pub(super) fn interfaces(&self) -> Vec<&IfName> {
        match self {
            Self::Address(vip) => vec![&vip.dev],
            Self::Route(route) => {
                let (_, route) = &**route;
                let hops = route.nexthops.iter().filter_map(|hop| hop.dev.as_ref());
                route.dev.iter().chain(hops).collect()
            }
            Self::Rule(..) => Vec::new(),
        }
    }

    /// Whether its loss matters.
    pub(super) fn tracked(&self) -> bool {
        match self {
            Self::Address(vip) => vip.track,
            Self::Route(route) => route.1.track,
            Self::Rule(rule) => rule.1.track,
        }
    }

    pub(super) fn into_lost(self) -> Lost {
        match self {
            Self::Address(vip) => Lost::Address(vip),
            Self::Route(route) => Lost::Route(Box::new(route.1)),
            Self::Rule(rule) => Lost::Rule(Box::new(rule.1)),
        }
    }

    /// What it is, for the log: `address 10.0.0.1/24 on eth0`.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Address(vip) => {
                format!("address {}/{} on {}", vip.addr, vip.prefix_len, vip.dev)
            }
            Self::Route(route) => {
                format!("route {} in table {}", route.1.dest, route.1.table.0)
            }
            Self::Rule(rule) => format!("rule {}", rule.1.preference),
        }
    }
}

/// `static_ipaddress`.
pub(super) fn fixed(statics: &Statics) -> Vec<Arc<VirtualAddress>> {
    let all = statics.addresses.iter();
    all.map(|s| Arc::new(s.entry.clone())).collect()
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
                let key = Key::Route(Box::new((told.head, told.identity.clone())));
                known.push((key, Entry::Route(Box::new((told, route)))));
            }
            Err(Missing(dev)) => unmet.push((dev, format!("route {}", route.dest))),
        }
    }
    for rule in desired.rules {
        let told = ways::rule(&rule);
        let key = Key::Rule(Box::new(told.clone()));
        known.push((key, Entry::Rule(Box::new((told, rule)))));
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
