//! The interfaces that the daemon makes, and the kernel settings that go with them: the only place that changes either.
//!
//! Everything is a comparison of what is wanted with what is there: a start, a reload, an interface that somebody
//! deleted and one that an earlier run left are all the same. Never touches an interface that does not bear a wanted
//! name, nor a setting for longer than it is needed.

mod addresses;
mod likeness;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::path::PathBuf;

use self::likeness::{copied, fits, kind, mac, similar, sort};
pub(super) use self::likeness::{settled, stray};
use super::firewall::{Firewall, Style, Vmac};
use super::leavings::{Leaving, Leavings};
use super::settings::KernelSettings;
use crate::model::net::IfName;
use crate::model::vmac::SubLink;
use crate::sys::link::{self, Kind, LinkTold, NewLink};
use crate::sys::netlink::{Refusal, Request, RouteSocket};
use crate::sys::nft::Family;
use crate::sys::sysctl;
use crate::sys::view::View;
use crate::vrrp::links::{Settings, Wanted, WantedLink, own_settings};

/// What is wanted, with the details that depend on what is there now.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    wanted: Wanted,
    /// Per interface the link-local address of its base.
    copied: BTreeMap<IfName, (Ipv6Addr, u8)>,
    /// Tables of the firewall that somebody else has deleted.
    lost: BTreeSet<Family>,
}

impl Order {
    pub(super) fn new(wanted: Wanted, lost: BTreeSet<Family>, view: &View) -> Self {
        let copied = wanted
            .links
            .iter()
            .filter_map(|w| Some((w.link.name.clone(), copied(&wanted, &w.link, view)?)));
        let copied = copied.collect();
        Self {
            wanted,
            copied,
            lost,
        }
    }
}

/// The VMAC that somebody has renamed, found under a name that nobody wants: it gets its name back, since the kernel lets no
/// other interface with its MAC be up. keepalived: makes another one, which stays down for good.
fn renamed(
    w: &WantedLink,
    base: &LinkTold,
    there: &[LinkTold],
    wanted: &Wanted,
    route: &mut RouteSocket,
) -> Option<LinkTold> {
    let of_others = |name: &str| wanted.links.iter().any(|w| w.link.name.as_str() == name);
    let mut fitting = there
        .iter()
        .filter(|l| w.link.is_vmac() && fits(&w.link, base.index, l));
    let other = fitting.find(|l| !of_others(&l.name))?;
    tracing::warn!(instance = %w.instance, iface = %w.link.name, before = other.name, "an interface with the MAC of ours gets its name");
    let requests = link::rename(other.index, w.link.name.as_str());
    for request in requests {
        ask(route, request, "give its name to", &w.link);
    }
    // It is down, and set up as a new one is.
    let name = w.link.name.as_str().to_owned();
    link::index_of(&name).map(|_| LinkTold {
        name,
        ..other.clone()
    })
}

/// An interface that we brought into being, or took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    index: u32,
    /// The address that stands on it all the time.
    copied: Option<(Ipv6Addr, u8)>,
}

/// An interface of ours that is there: its index, that of its base, the address that it shares with it.
type Ready<'a> = (&'a WantedLink, u32, u32, Option<(Ipv6Addr, u8)>);

/// What the firewall has to know of them.
fn guarded(ready: &[Ready<'_>]) -> Vec<Vmac> {
    let vmac = |&(w, index, base, copied): &Ready<'_>| {
        let link = &w.link;
        link.is_vmac().then(|| Vmac {
            index,
            name: link.name.as_str().to_owned(),
            base,
            v4: link.v4,
            v6: link.v6,
            copied: copied.map(|(addr, _)| addr),
        })
    };
    ready.iter().filter_map(vmac).collect()
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Links {
    held: BTreeMap<IfName, (Held, WantedLink)>,
    kernel: KernelSettings,
    firewall: Firewall,
    /// Made or taken over, and still down: nothing may leave before all that goes with them is there.
    down: Vec<u32>,
    leavings: Leavings,
    /// What an earlier run has left was looked at.
    looked: bool,
}

impl Links {
    /// `left`: the file that tells a successor what was changed.
    pub(super) fn new(left: Option<PathBuf>) -> Self {
        Self {
            leavings: Leavings::new(left),
            ..Self::default()
        }
    }

    /// Makes, takes over or repairs what is wanted. True: tables of the firewall were made anew.
    pub(super) fn make(&mut self, order: &Order, route: &mut RouteSocket) -> bool {
        let Order {
            wanted,
            copied,
            lost,
        } = order;
        self.firewall.forget(lost);
        let mut there = match link::list() {
            Ok(there) => there,
            Err(e) => {
                tracing::error!(err = %e, "cannot list the interfaces");
                return false;
            }
        };
        let style = Style::of(&wanted.firewall);
        if !std::mem::replace(&mut self.looked, true) {
            self.adopt(order, &there, route);
        }
        let settings = self.kernel.of(wanted);
        self.put_on_file(wanted, &settings);
        self.kernel.set(settings);
        let mut ready = Vec::new();
        for w in &wanted.links {
            let find = |name: &IfName| there.iter().find(|l| l.name == name.as_str());
            let Some(base) = find(&w.link.base).cloned() else {
                continue; // It may come.
            };
            let found = find(&w.link.name).cloned().or_else(|| {
                let found = renamed(w, &base, &there, wanted, route)?;
                self.held.remove(&w.link.name);
                Some(found)
            });
            let copy = copied.get(&w.link.name).copied();
            if let Some(index) = self.one(w, &base, found, route) {
                ready.push((w, index, base.index, copy));
            }
            // Names that were taken may be free now.
            there.retain(|l| l.name != w.link.name.as_str());
        }
        let vmacs = guarded(&ready);
        let anew = self.firewall.settle(&style, &vmacs, &wanted.guarded);
        let up: Vec<Request> = self.down.drain(..).map(link::up).collect();
        for refusal in route.execute(up).into_iter().filter_map(Result::err) {
            tracing::warn!(err = %refusal, "cannot set up an interface of ours");
        }
        self.address_all(&ready, route);
        anew
    }

    /// The index of the interface once it is there.
    fn one(
        &mut self,
        w: &WantedLink,
        base: &LinkTold,
        found: Option<LinkTold>,
        route: &mut RouteSocket,
    ) -> Option<u32> {
        let link = &w.link;
        if let Some(found) = found {
            let known = self.held.get(&link.name).map(|(held, _)| held.index);
            if fits(link, base.index, &found) {
                if known != Some(found.index) {
                    tracing::info!(instance = %w.instance, iface = %link.name, "took over an interface of an earlier run");
                    self.furnish(w, found.index);
                }
                return Some(found.index);
            }
            if !similar(kind(link), found.kind) {
                tracing::error!(instance = %w.instance, iface = %link.name, "the name of our interface is taken by another one");
                return None;
            }
            tracing::warn!(instance = %w.instance, iface = %link.name, "replacing an interface that has the name of ours");
            ask(route, link::del(found.index), "replace", link);
        }
        self.held.remove(&link.name);
        let new = NewLink {
            name: link.name.as_str().to_owned(),
            base: base.index,
            kind: kind(link),
            mac: mac(link),
            group: link.group.unwrap_or(base.group),
        };
        if let Err(refusal) = first(route, link::add(&new)) {
            tracing::error!(instance = %w.instance, iface = %link.name, base = %link.base, err = %refusal,
                "cannot make an interface");
            return None;
        }
        let index = link::index_of(&new.name)?;
        tracing::info!(
            "({}): Success creating {} interface {}",
            w.instance,
            sort(link),
            link.name
        );
        self.furnish(w, index);
        if link.tell_base {
            let again = link::tell_again(base.index, base.group);
            ask(route, again, "have the kernel tell about the base of", link);
        }
        Some(index)
    }

    /// Settings, while it is down.
    fn furnish(&mut self, w: &WantedLink, index: u32) {
        for (key, value) in own_settings(&w.link) {
            if let Err(e) = put(&key, value) {
                tracing::warn!(instance = %w.instance, key, value, err = %e, "cannot change a kernel setting");
            }
        }
        let held = Held {
            index,
            copied: None,
        };
        self.held.insert(w.link.name.clone(), (held, w.clone()));
        self.down.push(index);
    }

    /// Sender of our changes of the firewall, once there was one.
    pub(super) fn firewall_port(&self) -> Option<u32> {
        self.firewall.port()
    }

    /// Removes what is no longer wanted. To be called when nobody uses it any more. True: tables of the firewall were made anew.
    pub(super) fn remove_others(&mut self, order: &Order, route: &mut RouteSocket) -> bool {
        self.firewall.forget(&order.lost);
        let all = std::mem::take(&mut self.held);
        for (name, (held, w)) in all {
            if order.wanted.has(&name) {
                self.held.insert(name, (held, w));
                continue;
            }
            // Somebody else may have removed it, and made another one of that name.
            if link::index_of(name.as_str()) != Some(held.index) {
                continue;
            }
            match first(route, link::del(held.index)) {
                Ok(()) => tracing::info!(
                    "({}): Success removing {} interface {name}",
                    w.instance,
                    sort(&w.link)
                ),
                Err(refusal) => {
                    tracing::warn!(iface = %name, err = %refusal, "cannot remove an interface");
                }
            }
        }
        let settings = self.kernel.of(&order.wanted);
        self.kernel.set(settings.clone());
        let left = self.held.values().map(|(held, w)| {
            let base = link::index_of(w.link.base.as_str()).unwrap_or_default();
            (w, held.index, base, held.copied)
        });
        let left: Vec<Ready<'_>> = left.collect();
        let style = Style::of(&order.wanted.firewall);
        let vmacs = guarded(&left);
        let anew = self.firewall.settle(&style, &vmacs, &order.wanted.guarded);
        self.put_on_file(&order.wanted, &settings);
        anew
    }

    /// Takes over what an earlier run has changed: settings are put back when they are not wanted any more, the rest
    /// goes now unless it is wanted.
    fn adopt(&mut self, order: &Order, there: &[LinkTold], route: &mut RouteSocket) {
        for leaving in self.leavings.earlier() {
            match leaving {
                Leaving::Setting { key, before, ours } => {
                    self.kernel.adopt(key, before, ours);
                }
                Leaving::Link(name) => {
                    let wanted = order.wanted.links.iter();
                    let wanted = wanted.clone().any(|w| w.link.name.as_str() == name);
                    let ours = |l: &&LinkTold| l.name == name && l.kind != Kind::Other;
                    if let Some(link) = there.iter().find(ours).filter(|_| !wanted) {
                        tracing::info!(
                            iface = name,
                            "removing an interface of an earlier run that has left the configuration"
                        );
                        if let Err(refusal) = first(route, link::del(link.index)) {
                            tracing::warn!(iface = name, err = %refusal, "cannot remove an interface");
                        }
                    }
                }
                Leaving::Table(name) => {
                    self.firewall.remove_earlier(&name);
                }
            }
        }
    }

    /// Puts on file what is there and what is about to be.
    fn put_on_file(&mut self, wanted: &Wanted, settings: &Settings) {
        let mut all = self.kernel.leavings(settings);
        let names = wanted.links.iter().map(|w| &w.link.name);
        let names = names.chain(self.held.keys());
        all.extend(names.map(|name| Leaving::Link(name.as_str().to_owned())));
        all.extend(self.firewall.tables().map(Leaving::Table));
        if !wanted.links.is_empty() || !wanted.guarded.is_empty() {
            let table = Style::of(&wanted.firewall).table;
            all.insert(Leaving::Table(table.as_ref().to_owned()));
        }
        self.leavings.replace(all);
    }

    /// Removes all of it.
    pub(super) fn withdraw(&mut self, route: &mut RouteSocket) {
        self.remove_others(&Order::default(), route);
    }
}

/// Writes a setting unless it is that already.
fn put(key: &str, value: &str) -> std::io::Result<()> {
    match sysctl::read(key)? == value {
        true => Ok(()),
        false => sysctl::write(key, value),
    }
}

fn first(route: &mut RouteSocket, request: Request) -> Result<(), Refusal> {
    route.execute(vec![request]).into_iter().collect()
}

/// True: done. What is there already, or gone already, is no failure.
fn ask(route: &mut RouteSocket, request: Request, what: &str, link: &SubLink) -> bool {
    use nix::errno::Errno::{EADDRNOTAVAIL, EEXIST};
    match first(route, request) {
        Ok(()) => true,
        Err(refusal) => {
            if !matches!(refusal.errno, EEXIST | EADDRNOTAVAIL) {
                tracing::warn!(iface = %link.name, err = %refusal, "cannot {what} an interface of ours");
            }
            false
        }
    }
}
