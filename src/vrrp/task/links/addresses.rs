//! The addresses that stand on an interface of ours whatever state its instances are in: a link-local one that it shares with
//! its base, and that of an ipvlan.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{Links, Ready, ask};
use crate::model::vmac::SubLinkKind;
use crate::sys::addr::{self, AddressKey, AddressOptions, flag};
use crate::sys::arrivals::Arrivals;
use crate::sys::netlink::RouteSocket;

/// How long the kernel may take to tell of an address.
const PATIENCE: Duration = Duration::from_millis(100);

/// Scope of link-local addresses, rtnetlink(7).
const SCOPE_LINK: u8 = 253;

impl Links {
    /// The addresses that stand there whatever state an instance is in. What was there before goes when the kernel has told of
    /// what is there now: between the two an instance would have nothing to speak from.
    pub(super) fn address_all(&mut self, ready: &[Ready<'_>], route: &mut RouteSocket) {
        let copies = ready.iter().any(|(_, _, _, copy)| copy.is_some());
        let arrivals = copies.then(Arrivals::open).and_then(Result::ok);
        let (mut fresh, mut outdated) = (BTreeSet::new(), Vec::new());
        for &(w, index, _, copy) in ready {
            let Some((held, _)) = self.held.get_mut(&w.link.name) else {
                continue;
            };
            let before = std::mem::replace(&mut held.copied, copy);
            let old = before.filter(|_| before != copy);
            outdated.extend(old.map(|(addr, len)| (w, key(index, addr.into(), len))));
            if let Some((addr, len)) = copy {
                let key = key(index, addr.into(), len);
                if ask(
                    route,
                    addr::add(&key, &unused()),
                    "set the address of",
                    &w.link,
                ) {
                    fresh.insert(key);
                }
            }
            if let SubLinkKind::Ipvlan {
                addr: Some((addr, len)),
                ..
            } = w.link.kind
            {
                let plain = AddressOptions {
                    scope: 0,
                    preferred_lft: None,
                    ..unused()
                };
                let request = addr::add(&key(index, addr, len), &plain);
                ask(route, request, "set the address of", &w.link);
            }
        }
        // An instance waits for one that is not told in time.
        if let Some(Err(e)) = arrivals.map(|arrivals| arrivals.wait(fresh, PATIENCE)) {
            tracing::debug!(err = %e, "cannot wait for addresses");
        }
        for (w, key) in outdated {
            ask(route, addr::del(&key), "remove an address of", &w.link);
        }
    }
}

fn key(index: u32, addr: IpAddr, prefix_len: u8) -> AddressKey {
    AddressKey {
        index,
        local: addr,
        remote: addr,
        prefix_len,
    }
}

/// An address that the kernel should never choose as a source.
fn unused() -> AddressOptions {
    AddressOptions {
        label: None,
        broadcast: None,
        scope: SCOPE_LINK,
        flags: flag::NODAD,
        preferred_lft: Some(0),
    }
}
