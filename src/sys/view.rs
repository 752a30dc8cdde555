//! What the kernel says about links and their addresses, kept as a picture of the present.
//!
//! Pure: octets of route netlink in, changes out. Lenient: of each message only the attributes that matter are read,
//! so that a new or odd attribute never hides a link that went down. Addresses stand in the kernel's own order.
//! Source: rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/netconf.h; for the order net/ipv4/devinet.c's and
//! net/ipv6/addrconf.c's observable behaviour.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_core::{NLM_F_MULTIPART, NetlinkHeader};

use super::addr::{AddressKey, AddressOptions, flag};

/// Message types and attributes (linux/rtnetlink.h, if_link.h, if_addr.h, netconf.h).
mod rtm {
    pub(super) const NEWLINK: u16 = 16;
    pub(super) const DELLINK: u16 = 17;
    pub(super) const NEWADDR: u16 = 20;
    pub(super) const DELADDR: u16 = 21;
    pub(super) const NEWNETCONF: u16 = 80;

    pub(super) const IFLA_ADDRESS: u16 = 1;
    pub(super) const IFLA_IFNAME: u16 = 3;
    pub(super) const IFLA_MTU: u16 = 4;

    pub(super) const IFA_ADDRESS: u16 = 1;
    pub(super) const IFA_LOCAL: u16 = 2;
    pub(super) const IFA_LABEL: u16 = 3;
    pub(super) const IFA_BROADCAST: u16 = 4;
    pub(super) const IFA_CACHEINFO: u16 = 6;
    pub(super) const IFA_FLAGS: u16 = 8;

    pub(super) const NETCONFA_IFINDEX: u16 = 1;
    pub(super) const NETCONFA_FORWARDING: u16 = 2;
}

/// An interface as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `IFF_*`, netdevice(7).
    pub(crate) flags: u32,
    pub(crate) mtu: u32,
    /// Link-layer address, if it has six octets; else zero.
    pub(crate) mac: [u8; 6],
    /// `net.ipv6.conf.IF.forwarding`.
    pub(crate) forwarding: bool,
    /// In the kernel's order, IPv4 first. IPv6 addresses that are tentative or failed are left out.
    pub(crate) addresses: Vec<AddressKey>,
}

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// An interface appeared, or something about it or its addresses changed.
    Link(Link),
    /// An interface is gone, and its addresses with it.
    LinkGone(u32),
    /// An address that was not there is there.
    AddressNew(AddressKey),
    /// An address is gone. `by`: the port of the socket that asked for it; `None` where that was missed.
    AddressGone { key: AddressKey, by: Option<u32> },
}

/// An address as the kernel holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// Place among the addresses of the link.
    place: Place,
    options: AddressOptions,
    /// All of `IFA_F_*`.
    flags: u32,
    /// Last round of dumps in which it was seen.
    round: u32,
}

/// Sorts as the kernel's lists do: IPv4 before IPv6. IPv4: primary addresses before secondary ones, narrower scopes
/// first, else in order of arrival. IPv6: wider scopes first, else the latest arrival first, which is why the arrivals
/// of what a dump shows, where the latest stands first, count backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Primary4(Reverse<u8>, i64),
    Secondary4(i64),
    V6(u8, Reverse<i64>),
}

#[derive(Debug)]
struct Entry {
    name: String,
    flags: u32,
    mtu: u32,
    mac: [u8; 6],
    forwarding: bool,
    addresses: HashMap<AddressKey, Held>,
    order: BTreeMap<Place, AddressKey>,
    round: u32,
}

/// The picture.
#[derive(Debug, Default)]
pub(crate) struct View {
    links: BTreeMap<u32, Entry>,
    names: HashMap<String, u32>,
    /// On how many interfaces an address is.
    counts: HashMap<IpAddr, usize>,
    /// Links of which a part changed that is reported at the end of a reading.
    dirty: BTreeSet<u32>,
    changes: Vec<Change>,
    /// Arrivals so far.
    arrivals: i64,
    round: u32,
}

impl View {
    /// Starts a round of dumps: what is not seen until [`View::sweep`] is gone.
    pub(crate) fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Ends a round of dumps.
    pub(crate) fn sweep(&mut self) {
        let round = self.round;
        let stale: Vec<u32> = self.stale_links();
        for index in stale {
            self.link_gone(index, None);
        }
        let mut lost = Vec::new();
        for entry in self.links.values() {
            let old = entry
                .order
                .values()
                .filter(|key| entry.addresses.get(key).is_some_and(|h| h.round != round));
            lost.extend(old.copied());
        }
        for key in lost {
            self.address_gone(&key, None);
        }
    }

    fn stale_links(&self) -> Vec<u32> {
        let stale = self.links.iter().filter(|(_, e)| e.round != self.round);
        stale.map(|(&index, _)| index).collect()
    }

    /// Takes one message. Anything that is not about links, addresses or forwarding is passed over.
    pub(crate) fn apply(&mut self, header: &NetlinkHeader, payload: &[u8]) {
        let by = header.port_number;
        match header.message_type {
            rtm::NEWLINK => self.link(payload, None),
            rtm::DELLINK => self.link(payload, Some(by)),
            rtm::NEWADDR => self.address_new(payload, header.flags & NLM_F_MULTIPART != 0),
            rtm::DELADDR => {
                if let Some(told) = Told::parse(payload) {
                    self.address_gone(&told.key, Some(by));
                }
            }
            rtm::NEWNETCONF => self.netconf(payload),
            _ => {}
        }
    }

    /// What changed since the last call, in order; at its end the links of which only addresses changed.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        for index in std::mem::take(&mut self.dirty) {
            self.report(index);
        }
        std::mem::take(&mut self.changes)
    }

    /// The interface of this name.
    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// The name of an interface.
    pub(crate) fn name_of(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|entry| entry.name.as_str())
    }

    /// How the kernel holds an address, if it does.
    pub(crate) fn address_options(&self, key: &AddressKey) -> Option<&AddressOptions> {
        let entry = self.links.get(&key.index)?;
        entry.addresses.get(key).map(|held| &held.options)
    }

    /// Whether any interface has this address.
    pub(crate) fn has(&self, addr: IpAddr) -> bool {
        self.counts.contains_key(&addr)
    }

    /// The addresses of all interfaces.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &AddressKey> {
        self.links.values().flat_map(|entry| entry.order.values())
    }

    fn uncount(&mut self, addr: IpAddr) {
        if let Some(count) = self.counts.get_mut(&addr) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&addr);
            }
        }
    }

    fn report(&mut self, index: u32) {
        let Some(entry) = self.links.get(&index) else {
            return;
        };
        let usable = |key: &&AddressKey| {
            let held = entry.addresses.get(key);
            held.is_some_and(|h| h.flags & (flag::TENTATIVE | flag::DADFAILED) == 0)
        };
        self.changes.push(Change::Link(Link {
            index,
            name: entry.name.clone(),
            flags: entry.flags,
            mtu: entry.mtu,
            mac: entry.mac,
            forwarding: entry.forwarding,
            addresses: entry.order.values().filter(usable).copied().collect(),
        }));
        self.dirty.remove(&index);
    }

    /// `struct ifinfomsg`: family, pad, type (2), index (4), flags (4), change (4).
    fn link(&mut self, payload: &[u8], gone: Option<u32>) {
        let &[
            family,
            _,
            _,
            _,
            i0,
            i1,
            i2,
            i3,
            f0,
            f1,
            f2,
            f3,
            _,
            _,
            _,
            _,
            ref rest @ ..,
        ] = payload
        else {
            return;
        };
        // Bridges and IPv6 tell about their side of a link in messages of the same type.
        if i32::from(family) != libc::AF_UNSPEC {
            return;
        }
        let index = u32::from_ne_bytes([i0, i1, i2, i3]);
        if gone.is_some() {
            self.link_gone(index, gone);
            return;
        }
        let round = self.round;
        let known = self.links.contains_key(&index);
        let entry = self.links.entry(index).or_insert_with(|| Entry {
            name: String::new(),
            flags: 0,
            mtu: 0,
            mac: [0; 6],
            forwarding: false,
            addresses: HashMap::new(),
            order: BTreeMap::new(),
            round,
        });
        entry.round = round;
        let before = (entry.name.clone(), entry.flags, entry.mtu, entry.mac);
        entry.flags = u32::from_ne_bytes([f0, f1, f2, f3]);
        for (kind, value) in attributes(rest) {
            match kind {
                rtm::IFLA_IFNAME => entry.name = text(value),
                rtm::IFLA_MTU => entry.mtu = number(value).unwrap_or(entry.mtu),
                rtm::IFLA_ADDRESS => entry.mac = value.try_into().unwrap_or_default(),
                _ => {}
            }
        }
        let after = (entry.name.clone(), entry.flags, entry.mtu, entry.mac);
        if !known || before != after {
            if self.names.get(&before.0) == Some(&index) {
                self.names.remove(&before.0);
            }
            self.names.insert(after.0, index);
            self.report(index);
        }
    }

    fn link_gone(&mut self, index: u32, by: Option<u32>) {
        let Some(entry) = self.links.remove(&index) else {
            return;
        };
        self.dirty.remove(&index);
        if self.names.get(&entry.name) == Some(&index) {
            self.names.remove(&entry.name);
        }
        for &key in entry.order.values() {
            self.uncount(key.local);
            self.changes.push(Change::AddressGone { key, by });
        }
        self.changes.push(Change::LinkGone(index));
    }

    /// `dumped`: part of a dump, which shows all addresses of a link in their order.
    fn address_new(&mut self, payload: &[u8], dumped: bool) {
        let Some(told) = Told::parse(payload) else {
            return;
        };
        let Told {
            family,
            key,
            scope,
            flags,
            ..
        } = told;
        let index = key.index;
        let round = self.round;
        let Some(entry) = self.links.get_mut(&index) else {
            return; // Links are asked for first: one that is not known is gone again.
        };
        let class = |arrival| match (i32::from(family), flags & flag::SECONDARY) {
            (libc::AF_INET, 0) => Place::Primary4(Reverse(scope), arrival),
            (libc::AF_INET, _) => Place::Secondary4(arrival),
            _ => Place::V6(scope, Reverse(arrival)),
        };
        let old = entry.addresses.get(&key);
        // A secondary address that is promoted moves to the end of the primary ones.
        let place = match old {
            Some(old) if !dumped && old.place == class(old.place.arrival()) => old.place,
            Some(_) | None => {
                self.arrivals += 1;
                let negative = dumped && i32::from(family) != libc::AF_INET;
                class(if negative {
                    -self.arrivals
                } else {
                    self.arrivals
                })
            }
        };
        let held = Held {
            place,
            options: AddressOptions {
                label: told.label.filter(|l| *l != entry.name).map(Into::into),
                broadcast: told.broadcast,
                scope,
                flags: flags & flag::SETTABLE,
                preferred_lft: told.preferred_lft,
            },
            flags,
            round,
        };
        if let Some(old) = old {
            if (old.place, old.flags) != (place, flags) {
                self.dirty.insert(index);
            }
            entry.order.remove(&old.place);
        } else {
            self.dirty.insert(index);
            *self.counts.entry(key.local).or_default() += 1;
            self.changes.push(Change::AddressNew(key));
        }
        entry.order.insert(place, key);
        entry.addresses.insert(key, held);
    }

    fn address_gone(&mut self, key: &AddressKey, by: Option<u32>) {
        let Some(entry) = self.links.get_mut(&key.index) else {
            return;
        };
        if let Some(held) = entry.addresses.remove(key) {
            entry.order.remove(&held.place);
            self.dirty.insert(key.index);
            self.changes.push(Change::AddressGone { key: *key, by });
            self.uncount(key.local);
        }
    }

    /// `struct netconfmsg`: family; then attributes, aligned.
    fn netconf(&mut self, payload: &[u8]) {
        let Some((&family, rest)) = payload.split_first() else {
            return;
        };
        if i32::from(family) != libc::AF_INET6 {
            return;
        }
        let (mut index, mut forwarding) = (None, None);
        for (kind, value) in attributes(rest.get(3..).unwrap_or_default()) {
            match kind {
                rtm::NETCONFA_IFINDEX => index = number(value),
                rtm::NETCONFA_FORWARDING => forwarding = number(value).map(|n| n != 0),
                _ => {}
            }
        }
        if let (Some(index), Some(forwarding)) = (index, forwarding)
            && let Some(entry) = self.links.get_mut(&index)
            && entry.forwarding != forwarding
        {
            entry.forwarding = forwarding;
            self.dirty.insert(index);
        }
    }
}

/// What one address message says.
struct Told {
    family: u8,
    key: AddressKey,
    scope: u8,
    flags: u32,
    label: Option<String>,
    broadcast: Option<Ipv4Addr>,
    preferred_lft: Option<u32>,
}

impl Told {
    /// `struct ifaddrmsg`: family, prefix length, flags, scope, index (4); then attributes. `None`: makes no sense.
    fn parse(payload: &[u8]) -> Option<Self> {
        let &[
            family,
            prefix_len,
            old_flags,
            scope,
            i0,
            i1,
            i2,
            i3,
            ref rest @ ..,
        ] = payload
        else {
            return None;
        };
        let (mut local, mut remote, mut label, mut broadcast) = (None, None, None, None);
        let (mut flags, mut preferred_lft) = (u32::from(old_flags), None);
        for (kind, value) in attributes(rest) {
            match kind {
                rtm::IFA_LOCAL => local = ip(value),
                rtm::IFA_ADDRESS => remote = ip(value),
                rtm::IFA_LABEL => label = Some(text(value)),
                rtm::IFA_BROADCAST => {
                    broadcast = value.try_into().ok().map(|o: [u8; 4]| Ipv4Addr::from(o));
                }
                rtm::IFA_FLAGS => flags = number(value).unwrap_or(flags),
                rtm::IFA_CACHEINFO => {
                    preferred_lft = number(value).filter(|&seconds| seconds != u32::MAX);
                }
                _ => {}
            }
        }
        // IPv4 shows this kind of address as preferred for ever all the same.
        if flags & flag::DEPRECATED != 0 {
            preferred_lft = Some(0);
        }
        // IPv6 names an address without a remote end in IFA_ADDRESS alone.
        let (local, remote) = (local.or(remote)?, remote.or(local)?);
        let index = u32::from_ne_bytes([i0, i1, i2, i3]);
        Some(Self {
            family,
            key: AddressKey {
                index,
                local,
                remote,
                prefix_len,
            },
            scope,
            flags,
            label,
            broadcast,
            preferred_lft,
        })
    }
}

impl Place {
    fn arrival(self) -> i64 {
        match self {
            Self::Primary4(_, n) | Self::Secondary4(n) | Self::V6(_, Reverse(n)) => n,
        }
    }
}

/// Kind and value of each attribute, up to the first that makes no sense.
fn attributes(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
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
fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|n| u32::from_ne_bytes(*n))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}
