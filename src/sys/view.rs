//! What the kernel says about links and their addresses, kept as a picture of the present.
//!
//! Pure: octets of route netlink in, changes out. Lenient: of each message only the attributes that matter are read,
//! so that a new or odd attribute never hides a link that went down. Source: rtnetlink(7).

mod addresses;
mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_MULTIPART, NetlinkHeader};

use self::addresses::{Addresses, Effect};
use self::told::AddressTold;
pub(crate) use self::told::LinkTold;
#[cfg(test)]
pub(super) use self::told::ip;
pub(super) use self::told::{attributes, number};
use super::addr::{AddressKey, AddressOptions, flag};

/// The address that a message of route netlink speaks of.
pub(super) fn address(payload: &[u8]) -> Option<AddressKey> {
    AddressTold::parse(payload).map(|told| told.key)
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
    /// IPv6: duplicate address detection has found that somebody else has it, or has ended well.
    AddressChecked { key: AddressKey, good: bool },
    /// An address is gone. `by`: the port of the socket that asked for it; `None` where that was missed.
    AddressGone { key: AddressKey, by: Option<u32> },
}

#[derive(Debug)]
struct Entry {
    link: LinkTold,
    forwarding: bool,
    /// Last round of dumps in which it was seen.
    round: u32,
}

/// The picture.
#[derive(Debug, Default)]
pub(crate) struct View {
    links: BTreeMap<u32, Entry>,
    addresses: Addresses,
    names: HashMap<String, u32>,
    /// Links of which a part changed that is reported at the end of a reading.
    dirty: BTreeSet<u32>,
    changes: Vec<Change>,
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
        let stale = |(&index, entry): (&u32, &Entry)| (entry.round != round).then_some(index);
        let links: Vec<u32> = self.links.iter().filter_map(stale).collect();
        for index in links {
            self.link_gone(index, None);
        }
        let stale = |index: &u32| self.addresses.stale(*index, round);
        let addresses: Vec<AddressKey> = self.links.keys().flat_map(stale).collect();
        for key in addresses {
            self.address_gone(&key, None);
        }
    }

    /// Takes one message. Anything that is not about links, addresses or forwarding is passed over.
    pub(crate) fn apply(&mut self, header: &NetlinkHeader, payload: &[u8]) {
        let by = Some(header.port_number);
        match header.message_type {
            told::RTM_NEWLINK => {
                if let Some(told) = LinkTold::parse(payload) {
                    self.link(told);
                }
            }
            told::RTM_DELLINK => {
                if let Some(told) = LinkTold::parse(payload) {
                    self.link_gone(told.index, by);
                }
            }
            told::RTM_NEWADDR => {
                if let Some(told) = AddressTold::parse(payload) {
                    self.address(told, header.flags & NLM_F_MULTIPART != 0);
                }
            }
            told::RTM_DELADDR => {
                if let Some(told) = AddressTold::parse(payload) {
                    self.address_gone(&told.key, by);
                }
            }
            told::RTM_NEWNETCONF => {
                if let Some((index, on)) = told::forwarding(payload) {
                    self.forwarding(index, on);
                }
            }
            _ => {}
        }
    }

    /// What changed since the last call, in order; at its end the links of which only addresses changed.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        for index in std::mem::take(&mut self.dirty) {
            self.report(index);
        }
        self.urgent_changes()
    }

    /// As [`View::changes`], without the end.
    pub(crate) fn urgent_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The interface of this name.
    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// The routing table of a VRF, by the name of its interface.
    pub(crate) fn vrf_table(&self, name: &str) -> Option<u32> {
        self.links.get(&self.index_of(name)?)?.link.vrf_table
    }

    /// The name of an interface.
    pub(crate) fn name_of(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|entry| entry.link.name.as_str())
    }

    /// What the kernel says about an interface.
    pub(crate) fn link_named(&self, name: &str) -> Option<&LinkTold> {
        Some(&self.links.get(&self.index_of(name)?)?.link)
    }

    /// The addresses of an interface, in the kernel's order.
    pub(crate) fn addresses_of(&self, index: u32) -> impl Iterator<Item = AddressKey> {
        self.addresses.in_order(index)
    }

    /// Those of them that packets may be sent from.
    pub(crate) fn usable_addresses_of(&self, index: u32) -> impl Iterator<Item = AddressKey> {
        self.addresses.usable(index).into_iter()
    }

    /// How the kernel holds an address, if it does.
    pub(crate) fn address_options(&self, key: &AddressKey) -> Option<AddressOptions> {
        self.addresses.options(key)
    }

    /// Who set an address that is there (`IFA_PROTO`); `None`: nobody knows.
    pub(crate) fn address_proto(&self, key: &AddressKey) -> Option<u8> {
        self.addresses.proto(key)
    }

    /// Whether any interface has this address.
    pub(crate) fn has(&self, addr: IpAddr) -> bool {
        self.addresses.has(addr)
    }

    /// The addresses of all interfaces.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = AddressKey> {
        let links = self.links.keys();
        links.flat_map(|index| self.addresses.in_order(*index))
    }

    fn report(&mut self, index: u32) {
        let Some(entry) = self.links.get(&index) else {
            return;
        };
        self.changes.push(Change::Link(Link {
            index,
            name: entry.link.name.clone(),
            flags: entry.link.flags,
            mtu: entry.link.mtu,
            mac: entry.link.mac,
            forwarding: entry.forwarding,
            addresses: self.addresses.usable(index),
        }));
        self.dirty.remove(&index);
    }

    fn link(&mut self, told: LinkTold) {
        let (index, round) = (told.index, self.round);
        if let Some(entry) = self.links.get_mut(&index) {
            entry.round = round;
            if entry.link == told {
                return;
            }
        }
        let name = told.name.clone();
        let before = match self.links.get_mut(&index) {
            Some(entry) => Some(std::mem::replace(&mut entry.link, told)),
            None => {
                let entry = Entry {
                    link: told,
                    forwarding: false,
                    round,
                };
                self.links.insert(index, entry);
                None
            }
        };
        if let Some(before) = before {
            self.forget_name(&before.name, index);
        }
        self.names.insert(name, index);
        self.report(index);
    }

    /// Names move from link to link: only the owner gives one up.
    fn forget_name(&mut self, name: &str, index: u32) {
        if self.names.get(name) == Some(&index) {
            self.names.remove(name);
        }
    }

    fn link_gone(&mut self, index: u32, by: Option<u32>) {
        let Some(entry) = self.links.remove(&index) else {
            return;
        };
        self.dirty.remove(&index);
        self.forget_name(&entry.link.name, index);
        let gone: Vec<AddressKey> = self.addresses.in_order(index).collect();
        for key in gone {
            self.addresses.remove(&key);
            self.changes.push(Change::AddressGone { key, by });
        }
        self.changes.push(Change::LinkGone(index));
    }

    fn address(&mut self, mut told: AddressTold, dumped: bool) {
        let key = told.key;
        let Some(entry) = self.links.get(&key.index) else {
            return; // Links are asked for first: one that is not known is gone again.
        };
        let own_label = told.options.label.as_deref() == Some(entry.link.name.as_str());
        told.options.label = told.options.label.filter(|_| !own_label);
        let before = self.addresses.flags(&key);
        let now = told.flags;
        let unfit = flag::TENTATIVE | flag::DADFAILED;
        match before {
            Some(before) if before & unfit != now & unfit => {
                let failed = now & flag::DADFAILED != 0;
                if failed || now & unfit == 0 {
                    let good = !failed;
                    self.changes.push(Change::AddressChecked { key, good });
                }
            }
            None if now & flag::DADFAILED != 0 => {
                let good = false;
                self.changes.push(Change::AddressChecked { key, good });
            }
            Some(_) | None => {}
        }
        match self.addresses.put(told, dumped, self.round) {
            Effect::New => {
                self.dirty.insert(key.index);
                self.changes.push(Change::AddressNew(key));
            }
            Effect::Changed => {
                self.dirty.insert(key.index);
            }
            Effect::None => {}
        }
    }

    fn address_gone(&mut self, key: &AddressKey, by: Option<u32>) {
        if self.addresses.remove(key) {
            self.dirty.insert(key.index);
            self.changes.push(Change::AddressGone { key: *key, by });
        }
    }

    fn forwarding(&mut self, index: u32, on: bool) {
        if let Some(entry) = self.links.get_mut(&index)
            && entry.forwarding != on
        {
            entry.forwarding = on;
            self.dirty.insert(index);
        }
    }
}
