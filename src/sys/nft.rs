//! nftables by netlink: tables, chains, sets and rules, changed in transactions of which all or nothing happens.
//!
//! Knows only what it is told to write; never lists. Source: linux/netfilter/nf_tables.h, nfnetlink.h.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NLMSG_ERROR};

use super::genl::Attrs;
use super::netlink::{self, DATAGRAM};

const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NLM_F_APPEND: u16 = 0x800;
/// Elements per message: an attribute has 64 KiB at most, an element takes about 60 octets.
const ELEMENTS: usize = 500;

/// Types of set keys, as `nft` numbers them.
pub(crate) mod key {
    pub(crate) const IP_ADDR: u32 = 7;
    pub(crate) const IP6_ADDR: u32 = 8;
    pub(crate) const INET_SERVICE: u32 = 13;
    pub(crate) const MARK: u32 = 19;
    pub(crate) const IF_INDEX: u32 = 20;
    pub(crate) const ICMP6_TYPE: u32 = 29;
    pub(crate) const IF_NAME: u32 = 41;
    /// One after the other.
    pub(crate) const fn pair(first: u32, second: u32) -> u32 {
        first << 6 | second
    }
}

/// `NFT_META_*`.
pub(crate) mod meta {
    pub(crate) const MARK: u32 = 3;
    pub(crate) const IIF: u32 = 4;
    pub(crate) const OIF: u32 = 5;
    pub(crate) const OIFNAME: u32 = 7;
    pub(crate) const L4PROTO: u32 = 16;
    pub(crate) const OIFKIND: u32 = 27;
}

/// Registers of 16 octets.
const REG_1: u32 = 1;
const REG_2: u32 = 2;
/// `NFT_REG_VERDICT`.
const REG_VERDICT: u32 = 0;
/// `NF_DROP`, `NF_ACCEPT`, `NFT_GOTO`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const GOTO: u32 = 0xffff_fffc;
/// `NFT_RETURN`.
const RETURN: u32 = 0xffff_fffb;
/// `NFT_REG32_00`: the first word of [`REG_1`].
const WORD_0: u32 = 8;

/// Which part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// `NFT_PAYLOAD_NETWORK_HEADER`.
    Network = 1,
    /// `NFT_PAYLOAD_TRANSPORT_HEADER`.
    Transport = 2,
}

/// `NFPROTO_*` of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    Ip = 2,
    Ip6 = 10,
}

/// Why a transaction did not happen.
#[derive(Debug)]
pub(crate) enum NftError {
    /// The kernel said no; the number of the message, from 0.
    Refused {
        nth: u32,
        errno: Errno,
    },
    Socket(io::Error),
}

impl fmt::Display for NftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { nth, errno } => write!(f, "step {nth}: {}", errno.desc()),
            Self::Socket(e) => write!(f, "netlink socket: {e}"),
        }
    }
}

impl std::error::Error for NftError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { .. } => None,
            Self::Socket(e) => Some(e),
        }
    }
}

fn be(kind: u16, value: u32) -> Attrs {
    Attrs::default().bytes(kind, &value.to_be_bytes())
}

trait More {
    fn be32(self, kind: u16, value: u32) -> Self;
}

impl More for Attrs {
    fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }
}

/// A set or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set<'a> {
    pub(crate) name: &'a str,
    /// Of [`key`].
    pub(crate) key: u32,
    /// Octets.
    pub(crate) key_len: u32,
    /// A map: type and length of what the keys lead to.
    pub(crate) data: Option<(u32, u32)>,
    pub(crate) constant: bool,
}

/// Key, and for a map what it leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    pub(crate) data: Option<Vec<u8>>,
}

/// Keys from `first` to `last`, both included, of several fields, each of which is a range of its own; and what they lead
/// to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: Vec<u8>,
    pub(crate) last: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// What a rule does, expression by expression.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rule(Attrs);

impl Rule {
    fn expr(self, name: &str, data: &Attrs) -> Self {
        let expr = Attrs::default().text(1, name).nest(2, data);
        Self(self.0.nest(1, &expr))
    }

    /// Octets of the packet into the first register.
    pub(crate) fn payload(self, header: Header, offset: u32, len: u32) -> Self {
        let data = be(1, REG_1).be32(2, header as u32).be32(3, offset);
        self.expr("payload", &data.be32(4, len))
    }

    /// Octets of the packet behind the first `behind` octets of the first register, a multiple of four.
    pub(crate) fn payload_behind(self, behind: u32, header: Header, offset: u32, len: u32) -> Self {
        let data = be(1, WORD_0 + behind / 4).be32(2, header as u32);
        self.expr("payload", &data.be32(3, offset).be32(4, len))
    }

    /// Goes on with what `map` gives for what begins in the first register.
    pub(crate) fn looked_up(self, map: &str) -> Self {
        let data = be(2, REG_1).be32(3, REG_1);
        self.expr("lookup", &data.text(1, map))
    }

    /// The first register becomes the mark of the packet.
    pub(crate) fn set_mark(self) -> Self {
        self.expr("meta", &be(2, meta::MARK).be32(3, REG_1))
    }

    /// Back to where the chain was called from.
    pub(crate) fn back(self, counted: bool) -> Self {
        self.verdict(&be(1, RETURN), counted)
    }

    /// Something about the packet into the first register.
    pub(crate) fn meta(self, what: u32) -> Self {
        self.expr("meta", &be(2, what).be32(1, REG_1))
    }

    /// Something about the packet into the second register.
    pub(crate) fn meta_beside(self, what: u32) -> Self {
        self.expr("meta", &be(2, what).be32(1, REG_2))
    }

    /// Goes on if the first register holds this.
    pub(crate) fn is(self, octets: &[u8]) -> Self {
        self.equal(REG_1, octets)
    }

    fn equal(self, register: u32, octets: &[u8]) -> Self {
        let value = Attrs::default().bytes(1, octets);
        // NFT_CMP_EQ
        let data = be(1, register).be32(2, 0).nest(3, &value);
        self.expr("cmp", &data)
    }

    /// Goes on if the packet leaves through this kind of interface.
    pub(crate) fn leaves_through(self, kind: &str) -> Self {
        let mut octets = [0; 16];
        for (to, from) in octets.iter_mut().zip(kind.bytes()) {
            *to = from;
        }
        self.meta_beside(meta::OIFKIND).equal(REG_2, &octets)
    }

    /// Goes on if what begins in the first register is in a set.
    pub(crate) fn found_in(self, set: &str) -> Self {
        let data = be(2, REG_1);
        self.expr("lookup", &data.text(1, set))
    }

    /// Goes on if the second register is in a set.
    pub(crate) fn beside_found_in(self, set: &str) -> Self {
        let data = be(2, REG_2);
        self.expr("lookup", &data.text(1, set))
    }

    /// Sends a copy to the address in the first register, through the interface that `map` gives for the second one.
    pub(crate) fn copy_through(self, map: &str) -> Self {
        let found = be(2, REG_2).be32(3, REG_2);
        let copy = be(1, REG_1).be32(2, REG_2);
        self.expr("lookup", &found.text(1, map)).expr("dup", &copy)
    }

    /// Keeps the bits of the first register that are set in `mask`.
    pub(crate) fn masked(self, mask: &[u8; 16]) -> Self {
        let value = |octets: &[u8]| Attrs::default().bytes(1, octets);
        let data = be(1, REG_1).be32(2, REG_1).be32(3, 16);
        let data = data.nest(4, &value(mask)).nest(5, &value(&[0; 16]));
        self.expr("bitwise", &data)
    }

    pub(crate) fn drop(self, counted: bool) -> Self {
        self.verdict(&be(1, DROP), counted)
    }

    pub(crate) fn accept(self, counted: bool) -> Self {
        self.verdict(&be(1, ACCEPT), counted)
    }

    pub(crate) fn go_to(self, chain: &str, counted: bool) -> Self {
        self.verdict(&be(1, GOTO).text(2, chain), counted)
    }

    fn verdict(self, verdict: &Attrs, counted: bool) -> Self {
        let counted = match counted {
            true => self.expr("counter", &Attrs::default()),
            false => self,
        };
        let verdict = Attrs::default().nest(2, verdict);
        counted.expr("immediate", &be(1, REG_VERDICT).nest(2, &verdict))
    }
}

/// What happens as a whole or not at all.
#[derive(Debug)]
pub(crate) struct Batch {
    octets: Vec<u8>,
    count: u32,
    sets: u32,
}

impl Default for Batch {
    fn default() -> Self {
        let mut batch = Self {
            octets: Vec::new(),
            count: 0,
            sets: 0,
        };
        batch.frame(BATCH_BEGIN, NLM_F_REQUEST, (0, SUBSYSTEM), &[]);
        batch
    }
}

impl Batch {
    /// Nothing would happen.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn frame(&mut self, kind: u16, flags: u16, (family, resource): (u8, u16), attrs: &[u8]) {
        let len = u32::try_from(20 + attrs.len()).unwrap_or(u32::MAX);
        self.octets.extend(len.to_ne_bytes());
        self.octets.extend(kind.to_ne_bytes());
        self.octets.extend(flags.to_ne_bytes());
        self.octets.extend(self.count.to_ne_bytes());
        self.octets.extend([0; 4]);
        self.octets.extend([family, 0]);
        self.octets.extend(resource.to_be_bytes());
        self.octets.extend(attrs);
    }

    fn push(&mut self, message: u16, flags: u16, family: Family, attrs: &Attrs) {
        let kind = SUBSYSTEM << 8 | message;
        let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        self.frame(kind, flags, (family as u8, 0), attrs.octets());
        self.count += 1;
    }

    /// A table with nothing in it, whatever was there before.
    pub(crate) fn fresh_table(&mut self, family: Family, name: &str) {
        let attrs = Attrs::default().text(1, name);
        self.push(NEWTABLE, NLM_F_CREATE, family, &attrs);
        self.push(DELTABLE, 0, family, &attrs);
        self.push(NEWTABLE, NLM_F_CREATE, family, &attrs);
    }

    pub(crate) fn del_table(&mut self, family: Family, name: &str) {
        let attrs = Attrs::default().text(1, name);
        // So that it is there to be deleted.
        self.push(NEWTABLE, NLM_F_CREATE, family, &attrs);
        self.push(DELTABLE, 0, family, &attrs);
    }

    /// A filter of what passes `hook` (`NF_INET_*`); all else passes.
    pub(crate) fn base_chain(
        &mut self,
        family: Family,
        table: &str,
        name: &str,
        (hook, priority): (u32, i32),
    ) {
        let hook = be(1, hook).bytes(2, &priority.to_be_bytes());
        let attrs = Attrs::default().text(1, table).text(3, name).nest(4, &hook);
        // NF_ACCEPT
        let attrs = attrs.be32(5, 1).text(7, "filter");
        self.push(NEWCHAIN, NLM_F_CREATE, family, &attrs);
    }

    /// A chain that others go to.
    pub(crate) fn chain(&mut self, family: Family, table: &str, name: &str) {
        let attrs = Attrs::default().text(1, table).text(3, name);
        self.push(NEWCHAIN, NLM_F_CREATE, family, &attrs);
    }

    pub(crate) fn set(&mut self, family: Family, table: &str, set: &Set<'_>) {
        self.sets += 1;
        // NFT_SET_CONSTANT, NFT_SET_MAP
        let flags = u32::from(set.constant) << 1 | u32::from(set.data.is_some()) << 3;
        let mut attrs = Attrs::default().text(1, table).text(2, set.name);
        if flags != 0 {
            attrs = attrs.be32(3, flags);
        }
        attrs = attrs.be32(4, set.key).be32(5, set.key_len);
        if let Some((kind, len)) = set.data {
            attrs = attrs.be32(6, kind).be32(7, len);
        }
        // For `nft`, which would show numbers the wrong way round: NFTNL_UDATA_SET_KEYBYTEORDER, .._DATABYTEORDER.
        let order = |kind: u32| -> [u8; 4] {
            let host = !matches!(kind, key::IP_ADDR | key::IP6_ADDR);
            (if host { 1_u32 } else { 2 }).to_ne_bytes()
        };
        let mut user = [[0, 4].as_slice(), &order(set.key)].concat();
        if let Some((kind, _)) = set.data {
            user.extend([1, 4]);
            user.extend(order(kind));
        }
        let attrs = attrs.be32(10, self.sets).bytes(13, &user);
        self.push(NEWSET, NLM_F_CREATE, family, &attrs);
    }

    /// A map from ranges: type of the key and octets of its fields; type and octets of what they lead to.
    pub(crate) fn range_map(
        &mut self,
        family: Family,
        table: &str,
        name: &str,
        (key, fields): (u32, &[u32]),
        (data, data_len): (u32, u32),
    ) {
        // NFT_SET_INTERVAL, NFT_SET_MAP, NFT_SET_CONCAT
        const FLAGS: u32 = 4 | 8 | 0x80;
        self.sets += 1;
        let key_len: u32 = fields.iter().map(|f| f.next_multiple_of(4)).sum();
        let fields = fields.iter().fold(Attrs::default(), |list, octets| {
            list.nest(1, &be(1, *octets))
        });
        let attrs = Attrs::default().text(1, table).text(2, name);
        let attrs = attrs.be32(3, FLAGS).be32(4, key).be32(5, key_len);
        let attrs = attrs.be32(6, data).be32(7, data_len);
        let attrs = attrs.nest(9, &Attrs::default().nest(2, &fields));
        // For `nft`, as below: a mark is a number of the host's.
        let user = [[1, 4].as_slice(), &1_u32.to_ne_bytes()].concat();
        let attrs = attrs.be32(10, self.sets).bytes(13, &user);
        self.push(NEWSET, NLM_F_CREATE, family, &attrs);
    }

    pub(crate) fn add_ranges(&mut self, family: Family, table: &str, map: &str, ranges: &[Range]) {
        let value = |octets: &[u8]| Attrs::default().bytes(1, octets);
        for part in ranges.chunks(ELEMENTS / 2) {
            let list = part.iter().fold(Attrs::default(), |list, r| {
                let one = Attrs::default().nest(1, &value(&r.first));
                let one = one.nest(2, &value(&r.data)).nest(10, &value(&r.last));
                list.nest(1, &one)
            });
            let attrs = Attrs::default().text(2, map).text(1, table);
            self.push(NEWSETELEM, NLM_F_CREATE, family, &attrs.nest(3, &list));
        }
    }

    /// Adds a rule at the end of a chain.
    pub(crate) fn rule(&mut self, family: Family, table: &str, chain: &str, rule: &Rule) {
        let attrs = Attrs::default().text(1, table).text(2, chain);
        let attrs = attrs.nest(4, &rule.0);
        self.push(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family, &attrs);
    }

    pub(crate) fn add(&mut self, family: Family, table: &str, set: &str, elements: &[Element]) {
        self.elements(NEWSETELEM, NLM_F_CREATE, family, (table, set), elements);
    }

    pub(crate) fn remove(&mut self, family: Family, table: &str, set: &str, elements: &[Element]) {
        self.elements(DELSETELEM, 0, family, (table, set), elements);
    }

    fn elements(
        &mut self,
        message: u16,
        flags: u16,
        family: Family,
        (table, set): (&str, &str),
        elements: &[Element],
    ) {
        let value = |octets: &[u8]| Attrs::default().bytes(1, octets);
        for part in elements.chunks(ELEMENTS) {
            let list = part.iter().fold(Attrs::default(), |list, e| {
                let mut one = Attrs::default().nest(1, &value(&e.key));
                if let Some(data) = &e.data {
                    one = one.nest(2, &value(data));
                }
                list.nest(1, &one)
            });
            let attrs = Attrs::default().text(2, set).text(1, table);
            self.push(message, flags, family, &attrs.nest(3, &list));
        }
    }
}

/// A connection to nftables of the network namespace it was opened in.
#[derive(Debug)]
pub(crate) struct NftSocket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl NftSocket {
    /// # Errors
    /// No netlink, no memory, no descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkNetFilter,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self {
            fd,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// Sender of our requests, as it stands in the notifications they cause.
    ///
    /// # Errors
    /// As getsockname(2).
    pub(crate) fn port(&self) -> io::Result<u32> {
        netlink::port_of(self.fd.as_fd())
    }

    /// Does it. The kernel answers before this returns.
    ///
    /// # Errors
    /// [`NftError::Refused`]: nothing has changed.
    pub(crate) fn commit(&mut self, mut batch: Batch) -> Result<(), NftError> {
        if batch.is_empty() {
            return Ok(());
        }
        batch.frame(BATCH_END, NLM_F_REQUEST, (0, SUBSYSTEM), &[]);
        let sent = netlink::send_all(self.fd.as_fd(), &batch.octets);
        sent.map_err(|e| NftError::Socket(e.into()))?;
        let mut outcome = Ok(());
        loop {
            let got = match netlink::receive(self.fd.as_fd(), &mut self.buffer) {
                Ok(got) => got,
                Err(Errno::EINTR) => continue,
                // All that will come is here.
                Err(_) => return outcome,
            };
            for (header, payload) in netlink::messages(&self.buffer[..got]) {
                let number = payload.first_chunk().map_or(0, |n| i32::from_ne_bytes(*n));
                if header.message_type == NLMSG_ERROR && number != 0 && outcome.is_ok() {
                    outcome = Err(NftError::Refused {
                        nth: header.sequence_number,
                        errno: Errno::from_raw(number.saturating_neg()),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testnet::in_namespace;
    use super::*;

    #[test]
    fn a_transaction_happens_as_a_whole_or_not_at_all() {
        in_namespace(|| {
            let mut nft = NftSocket::open().expect("netlink");
            let set = Set {
                name: "s",
                key: key::IF_INDEX,
                key_len: 4,
                data: None,
                constant: false,
            };
            let one = |n: u32| Element {
                key: n.to_ne_bytes().to_vec(),
                data: None,
            };
            let mut batch = Batch::default();
            batch.fresh_table(Family::Ip, "t");
            batch.set(Family::Ip, "t", &set);
            batch.add(Family::Ip, "t", "s", &[one(1)]);
            match nft.commit(batch) {
                // This kernel has no nftables.
                Err(NftError::Refused { nth: 0, .. } | NftError::Socket(_)) => return,
                made => made.expect("a table"),
            }
            let mut batch = Batch::default();
            batch.del_table(Family::Ip, "t");
            batch.remove(Family::Ip, "t", "s", &[one(1)]);
            assert!(matches!(
                nft.commit(batch),
                Err(NftError::Refused { nth: 2, .. })
            ));
            // It is all still there.
            let mut batch = Batch::default();
            batch.remove(Family::Ip, "t", "s", &[one(1)]);
            nft.commit(batch).expect("the element is there");
            let mut batch = Batch::default();
            batch.del_table(Family::Ip, "t");
            nft.commit(batch).expect("the table is there");
        });
    }
}
