//! The nftables tables of the daemon. They drop packets to and from addresses that a router must not accept (`no_accept`), and
//! keep group memberships, router solicitations and neighbour advertisements from leaving through a VMAC, where they would
//! teach the switches that its MAC is here.
//!
//! Memberships leave through the base instead. Never lists what is there. Source: the rules that keepalived makes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::model::{firewall, net};
use crate::sys::nft::{Batch, Element, Family, Header, NftError, NftSocket, Rule, Set, key, meta};

/// `NF_INET_LOCAL_IN`, `NF_INET_LOCAL_OUT`.
const IN: u32 = 1;
const OUT: u32 = 3;
/// IP protocols.
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;
/// ICMPv6 types.
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const MLD_REPORT: u8 = 131;
const MLD2_REPORT: u8 = 143;

const MAP: &str = "vmac_map";
const VMACS: &str = "vmac_set";
const PARENTS: &str = "parent_link_local";
const REPORTS: &str = "mld-report";
const CHAIN: &str = "out";
const CHAIN_IN: &str = "in";
const VIPS: &str = "vips";
const LOCAL_VIPS: &str = "vips_link_local";
const DISCOVERY: &str = "neighbor-discovery";
const NEIGHBOUR_SOLICITATION: u8 = 135;
/// The first ten bits, which tell a link-local address: RFC 4291 §2.4.
const LOCAL_MASK: [u8; 16] = [0xff, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// In the order of [`Firewall`]'s tables.
const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];

/// How the tables are made; another one means new tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) table: Arc<str>,
    priority: i32,
    counters: bool,
}

impl Style {
    pub(super) fn of(model: &firewall::Firewall) -> Self {
        Self {
            table: Arc::clone(&model.nftables.table),
            priority: model.nftables.priority,
            counters: model.counters,
        }
    }
}

/// A VMAC, by what the kernel calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vmac {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) base: u32,
    pub(super) v4: bool,
    pub(super) v6: bool,
    /// The address that it shares with its base.
    pub(super) copied: Option<Ipv6Addr>,
}

/// What the sets of one family hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    /// There are addresses whose packets are dropped; which ones, the thread for kernel work adds ([`dropped`]).
    guards: bool,
    map: BTreeSet<Element>,
    /// IPv6 only, as the next.
    vmacs: BTreeSet<Element>,
    parents: BTreeSet<Element>,
}

impl Content {
    fn of(family: Family, vmacs: &[Vmac], guards: bool) -> Self {
        let mut content = Self {
            guards,
            ..Self::default()
        };
        for vmac in vmacs {
            let index = vmac.index.to_ne_bytes().to_vec();
            if match family {
                Family::Ip => vmac.v4,
                Family::Ip6 => vmac.v6,
            } {
                content.map.insert(Element {
                    key: index.clone(),
                    data: Some(vmac.base.to_ne_bytes().to_vec()),
                });
            }
            if family == Family::Ip6 && vmac.v6 {
                content.vmacs.insert(Element {
                    key: index,
                    data: None,
                });
                content.parents.extend(vmac.copied.map(|addr| {
                    let mut key = addr.octets().to_vec();
                    key.extend(vmac.name.bytes());
                    key.resize(32, 0);
                    Element { key, data: None }
                }));
            }
        }
        content
    }

    fn is_empty(&self) -> bool {
        self.map.is_empty() && !self.guards
    }

    /// Which parts there are.
    fn shape(&self) -> (bool, bool) {
        (self.map.is_empty(), self.guards)
    }

    fn sets(&self) -> [(&'static str, &BTreeSet<Element>); 3] {
        [
            (MAP, &self.map),
            (VMACS, &self.vmacs),
            (PARENTS, &self.parents),
        ]
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    socket: Option<NftSocket>,
    /// What we have made, by family.
    held: [Option<(Style, Content)>; 2],
}

impl Firewall {
    /// Makes the tables hold this; a family that needs nothing has none. True: one was made anew, and knows nothing of
    /// dropped addresses.
    pub(super) fn settle(
        &mut self,
        style: &Style,
        vmacs: &[Vmac],
        guarded: &BTreeSet<net::Family>,
    ) -> bool {
        let mut anew = false;
        for (n, family) in FAMILIES.into_iter().enumerate() {
            let guards = guarded.contains(&match family {
                Family::Ip => net::Family::V4,
                Family::Ip6 => net::Family::V6,
            });
            let wanted = Content::of(family, vmacs, guards);
            let (batch, next) = match (&self.held[n], wanted.is_empty()) {
                (None, true) => continue,
                (Some((style, _)), true) => (gone(style, family), None),
                (Some((old, content)), false)
                    if old == style && content.shape() == wanted.shape() =>
                {
                    let batch = difference(style, family, content, &wanted);
                    (batch, Some((style.clone(), wanted)))
                }
                (old, false) => {
                    let mut batch = Batch::default();
                    if let Some((old, _)) = old {
                        batch.del_table(family, &old.table);
                    }
                    whole(&mut batch, style, family, &wanted);
                    anew |= guards;
                    (batch, Some((style.clone(), wanted)))
                }
            };
            match self.commit(batch) {
                Ok(()) => self.held[n] = next,
                // The next change tries to make all of it anew.
                Err(e) => {
                    self.held[n] = None;
                    tracing::error!(table = %style.table, err = %e, "cannot set the firewall");
                }
            }
        }
        anew
    }

    /// Somebody else has deleted these tables.
    pub(super) fn forget(&mut self, lost: &BTreeSet<Family>) {
        for (n, family) in FAMILIES.iter().enumerate() {
            if lost.contains(family) {
                self.held[n] = None;
            }
        }
    }

    /// Sender of our changes, once there was one.
    pub(super) fn port(&self) -> Option<u32> {
        self.socket.as_ref()?.port().ok()
    }

    /// Names of the tables that there are.
    pub(super) fn tables(&self) -> impl Iterator<Item = String> {
        let held = self.held.iter().flatten();
        held.map(|(style, _)| style.table.as_ref().to_owned())
    }

    /// Removes a table that an earlier run may have left. What is wanted of it is made anew.
    pub(super) fn remove_earlier(&mut self, table: &str) {
        for family in FAMILIES {
            let mut batch = Batch::default();
            batch.fresh_table(family, table); // so that there is one
            batch.del_table(family, table);
            if let Err(e) = self.commit(batch) {
                tracing::warn!(table, err = %e, "cannot remove a table of an earlier run");
            }
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<(), NftError> {
        if self.socket.is_none() {
            self.socket = Some(NftSocket::open().map_err(NftError::Socket)?);
        }
        match &mut self.socket {
            Some(socket) => socket.commit(batch),
            None => Ok(()),
        }
    }
}

fn gone(style: &Style, family: Family) -> Batch {
    let mut batch = Batch::default();
    batch.del_table(family, &style.table);
    batch
}

fn difference(style: &Style, family: Family, from: &Content, to: &Content) -> Batch {
    let mut batch = Batch::default();
    for ((name, old), (_, new)) in from.sets().into_iter().zip(to.sets()) {
        let less: Vec<_> = old.difference(new).cloned().collect();
        let more: Vec<_> = new.difference(old).cloned().collect();
        batch.remove(family, &style.table, name, &less);
        batch.add(family, &style.table, name, &more);
    }
    batch
}

/// The table as keepalived makes it.
fn whole(batch: &mut Batch, style: &Style, family: Family, content: &Content) {
    let table = &*style.table;
    batch.fresh_table(family, table);
    batch.base_chain(family, table, CHAIN, (OUT, style.priority));
    if content.map.is_empty() {
        return guard(batch, style, family);
    }
    let index = |name, data| Set {
        name,
        key: key::IF_INDEX,
        key_len: 4,
        data,
        constant: false,
    };
    batch.set(family, table, &index(MAP, Some((key::IF_INDEX, 4))));
    match family {
        Family::Ip => {
            let report = Rule::default()
                .payload(Header::Network, 9, 1)
                .is(&[IGMP])
                .payload(Header::Network, 16, 4)
                .leaves_through("macvlan")
                .meta_beside(meta::OIF)
                .copy_through(MAP)
                .drop(style.counters);
            batch.rule(family, table, CHAIN, &report);
        }
        Family::Ip6 => whole6(batch, style, &index(VMACS, None)),
    }
    for (name, elements) in content.sets() {
        let elements: Vec<_> = elements.iter().cloned().collect();
        batch.add(family, table, name, &elements);
    }
    if content.guards {
        guard(batch, style, family);
    }
}

/// What drops packets to and from addresses.
fn guard(batch: &mut Batch, style: &Style, family: Family) {
    let table = &*style.table;
    batch.base_chain(family, table, CHAIN_IN, (IN, style.priority));
    // Destination and source: where they are in the header, and how long.
    let (places, key, key_len) = match family {
        Family::Ip => ([16, 12], key::IP_ADDR, 4),
        Family::Ip6 => ([24, 8], key::IP6_ADDR, 16),
    };
    let vips = Set {
        name: VIPS,
        key,
        key_len,
        data: None,
        constant: false,
    };
    batch.set(family, table, &vips);
    if family == Family::Ip6 {
        guard6(batch, style);
    }
    for (chain, place) in [CHAIN_IN, CHAIN].into_iter().zip(places) {
        let rule = Rule::default()
            .payload(Header::Network, place, key_len)
            .found_in(VIPS);
        batch.rule(family, table, chain, &rule.drop(style.counters));
    }
}

/// Neighbour discovery still works; a link-local address is dropped on its own interface only.
fn guard6(batch: &mut Batch, style: &Style) {
    let (family, table) = (Family::Ip6, &*style.table);
    let discovery = Set {
        name: DISCOVERY,
        key: key::ICMP6_TYPE,
        key_len: 1,
        data: None,
        constant: true,
    };
    let local = Set {
        name: LOCAL_VIPS,
        key: key::pair(key::IP6_ADDR, key::IF_INDEX),
        key_len: 20,
        data: None,
        constant: false,
    };
    batch.set(family, table, &discovery);
    batch.set(family, table, &local);
    let types = [NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT].map(|kind| Element {
        key: vec![kind],
        data: None,
    });
    batch.add(family, table, DISCOVERY, &types);
    let ways = [
        (CHAIN_IN, "in_link_local", 24, meta::IIF),
        (CHAIN, "out_link_local", 8, meta::OIF),
    ];
    for (chain, local_chain, place, interface) in ways {
        batch.chain(family, table, local_chain);
        let pass = Rule::default()
            .payload(Header::Network, 6, 1)
            .is(&[ICMPV6])
            .payload(Header::Transport, 0, 1)
            .found_in(DISCOVERY);
        batch.rule(family, table, chain, &pass.accept(style.counters));
        let split = Rule::default()
            .payload(Header::Network, place, 16)
            .masked(&LOCAL_MASK)
            .is(&LOCAL);
        let split = split.go_to(local_chain, style.counters);
        batch.rule(family, table, chain, &split);
        let ours = Rule::default()
            .payload(Header::Network, place, 16)
            .meta_beside(interface)
            .found_in(LOCAL_VIPS);
        batch.rule(family, table, local_chain, &ours.drop(style.counters));
    }
}

/// The element that has packets to and from `addr` on the interface `index` dropped, and its set.
pub(super) fn dropped(addr: IpAddr, index: u32) -> (Family, &'static str, Element) {
    let element = |key| Element { key, data: None };
    match addr {
        IpAddr::V4(addr) => (Family::Ip, VIPS, element(addr.octets().to_vec())),
        IpAddr::V6(addr) if addr.is_unicast_link_local() => {
            let key = [addr.octets().as_slice(), &index.to_ne_bytes()].concat();
            (Family::Ip6, LOCAL_VIPS, element(key))
        }
        IpAddr::V6(addr) => (Family::Ip6, VIPS, element(addr.octets().to_vec())),
    }
}

/// The address of an element that [`dropped`] has made.
pub(super) fn address(element: &Element) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(element.key.as_slice()) {
        return Some(octets.into());
    }
    let octets: &[u8; 16] = element.key.first_chunk()?;
    Some((*octets).into())
}

fn whole6(batch: &mut Batch, style: &Style, vmacs: &Set<'_>) {
    let (family, table) = (Family::Ip6, &*style.table);
    let parents = Set {
        name: PARENTS,
        key: key::pair(key::IP6_ADDR, key::IF_NAME),
        key_len: 32,
        data: None,
        constant: false,
    };
    let reports = Set {
        name: REPORTS,
        key: key::ICMP6_TYPE,
        key_len: 1,
        data: None,
        constant: true,
    };
    for set in [vmacs, &parents, &reports] {
        batch.set(family, table, set);
    }
    let types = [MLD_REPORT, MLD2_REPORT].map(|kind| Element {
        key: vec![kind],
        data: None,
    });
    batch.add(family, table, REPORTS, &types);
    let icmp = || {
        let protocol = Rule::default().meta(meta::L4PROTO).is(&[ICMPV6]);
        protocol.payload(Header::Transport, 0, 1)
    };
    let answer = icmp()
        .is(&[NEIGHBOUR_ADVERTISEMENT])
        .leaves_through("macvlan")
        .payload(Header::Network, 8, 16)
        .meta_beside(meta::OIFNAME)
        .found_in(PARENTS);
    let report = icmp()
        .found_in(REPORTS)
        .payload(Header::Network, 24, 16)
        .leaves_through("macvlan")
        .meta_beside(meta::OIF)
        .copy_through(MAP);
    let solicitation = icmp()
        .is(&[ROUTER_SOLICITATION])
        .leaves_through("macvlan")
        .meta_beside(meta::OIF)
        .beside_found_in(VMACS);
    for rule in [answer, report, solicitation] {
        batch.rule(family, table, CHAIN, &rule.drop(style.counters));
    }
}
