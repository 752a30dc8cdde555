//! VRRP: a pure core that decides, and a task that talks to the kernel.
//!
//! The core ([`router`]) is a function of events; it knows no clock, no socket and no kernel. The task feeds it with
//! frames, interface facts and tracker verdicts, and carries out its actions in order.
//! Sources: RFC 3768, RFC 9568; departures that keepalived makes are marked `// keepalived:`.

pub(crate) mod task;
mod timers;
mod told;
mod world;

mod advert;
mod auth;
mod backup;
pub(crate) mod desired;
mod garp;
mod instance;
#[cfg(test)]
mod lab;
mod master;
mod priority;
mod receive;
mod reload;
pub(crate) mod router;
mod sync;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::{Notice, Release, TrackerUpdate, VrrpState};
use crate::model::Config;
use crate::model::net::{Family, IfName, VirtualAddress};

/// Index of a network interface, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IfIndex(pub(crate) u32);

/// Handle of a running instance; stable as long as its [`crate::model::vrrp::InstanceKey`] stays configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InstanceId(pub(crate) u32);

/// All that matters about an interface, as one snapshot: a later one replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceFacts {
    pub(crate) index: IfIndex,
    pub(crate) name: IfName,
    /// `IFF_UP` and `IFF_RUNNING`.
    pub(crate) running: bool,
    /// `IFF_NOARP`: nothing is announced here.
    pub(crate) noarp: bool,
    /// Octets; bounds the address list of an advertisement.
    pub(crate) mtu: u32,
    /// Link-layer address; all zero where there is none.
    pub(crate) mac: [u8; 6],
    /// `net.ipv6.conf.IF.forwarding`: neighbour advertisements carry the Router flag.
    pub(crate) forwarding: bool,
    /// In the kernel's order: address and prefix length. IPv6 addresses that are tentative or failed are left out.
    pub(crate) addrs: Vec<(IpAddr, u8)>,
}

/// A received IP packet of protocol 112.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where it came in.
    pub(crate) ingress: IfIndex,
    /// IPv4: the whole packet, header included. IPv6: the payload, with what the kernel said about the header.
    pub(crate) packet: Packet,
}

/// What a raw socket delivers, by family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    V4(Vec<u8>),
    V6 {
        src: std::net::Ipv6Addr,
        dst: std::net::Ipv6Addr,
        hop_limit: u8,
        payload: Vec<u8>,
    },
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Time passed.
    Wake,
    /// Start or reload.
    Apply(Arc<Config>),
    /// Stop: resign everywhere, want nothing in the kernel any more (or, with [`Release::Nothing`], leave silently and
    /// let everything stay). The core is done once every [`Action::Converge`] is answered.
    Stop(Release),
    /// A packet for one of our sockets.
    Heard(Frame),
    /// An interface appeared or changed.
    Interface(Arc<InterfaceFacts>),
    /// An interface is gone.
    InterfaceGone(IfIndex),
    /// A tracker has a verdict.
    Tracker(TrackerUpdate),
    /// What [`Action::Converge`] asked for is done (or could not be done: the rest is in force). Exactly one for each
    /// `Converge`, in their order, also when the instance is gone by then: the core counts them.
    Converged(InstanceId),
    /// Somebody else deleted this address, which the instance holds.
    AddressLost {
        instance: InstanceId,
        addr: VirtualAddress,
    },
}

/// What to do about it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send an advertisement now, without waiting. IPv4: a whole packet, header included (`IP_HDRINCL`). IPv6: the
    /// payload; the kernel writes header and checksum.
    SendAdvert {
        interface: IfIndex,
        src: IpAddr,
        dst: IpAddr,
        octets: Vec<u8>,
    },
    /// Send an Ethernet frame (gratuitous ARP, neighbour advertisement) after all kernel work asked for before.
    SendFrame { interface: IfIndex, octets: Vec<u8> },
    /// Make the kernel hold what [`router::Router::desired`] says for this instance (read it when carrying this out);
    /// answered by [`Event::Converged`].
    Converge(InstanceId),
    /// The set of sockets that must be open has changed: [`router::Router::sockets`].
    Listen,
    /// Tell the daemon (scripts, FIFOs, mail).
    Notice(Notice),
    /// Tell the operator.
    Report(Report),
}

/// A socket that must be open: all instances of one family on one interface and multicast group share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Socket {
    pub(crate) interface: IfIndex,
    /// Multicast group to join and to bind to; its family is the socket's.
    pub(crate) group: IpAddr,
}

/// What the operator must see. `task.rs` words it; keepalived's words where people search for them. The names are those
/// of instances, or of groups where a field says `group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// `(NAME) Entering X STATE`; `init`: the first state after start or after an instance was added.
    Entered {
        instance: Arc<str>,
        state: VrrpState,
        init: bool,
    },
    /// Why an instance cannot run: one for each cause when it appears, before `Entered`.
    Fault {
        instance: Arc<str>,
        cause: FaultCause,
    },
    /// `VRRP_Group(GROUP) Syncing instances to X state`.
    Syncing { group: Arc<str>, state: VrrpState },
    /// `Receive advertisement timeout`: the master is silent. Detail.
    MasterDown { instance: Arc<str> },
    /// The master is another one than before. Detail.
    MasterIs { instance: Arc<str>, master: IpAddr },
    /// Backup: a master of lower priority was not obeyed. Once for each master.
    LowerPriorityIgnored {
        instance: Arc<str>,
        from: IpAddr,
        priority: u8,
        ours: u8,
    },
    /// Backup: the master resigned. Detail.
    MasterResigned { instance: Arc<str>, from: IpAddr },
    /// Master: another master of lower rank was heard and told. Once for each peer.
    LowerPriorityHeard {
        instance: Arc<str>,
        from: IpAddr,
        priority: u8,
        ours: u8,
    },
    /// Master: a better master was heard; we give way.
    HigherPriorityHeard {
        instance: Arc<str>,
        from: IpAddr,
        priority: u8,
        ours: u8,
    },
    /// An advertisement came with our own source address and priority: a loop, or a duplicate address.
    OwnAddressHeard { instance: Arc<str>, from: IpAddr },
    /// Another owner (priority 255) does not give way: we run at 254 until it is gone.
    OwnershipConceded { instance: Arc<str>, from: IpAddr },
    /// A packet was not obeyed (or, where [`PacketFault`] says so, only odd). Once for each peer and kind until the
    /// instance changes state or a new master is accepted.
    BadPacket {
        instance: Arc<str>,
        from: IpAddr,
        fault: PacketFault,
    },
    /// A packet so short, or so odd, that it belongs to no instance. Once for each interface.
    Runt { interface: IfIndex },
    /// `(NAME) Changing effective priority from P to Q`.
    PriorityChanged {
        instance: Arc<str>,
        from: u8,
        to: u8,
    },
    /// An address that the master holds was deleted by somebody else.
    AddressDeleted {
        instance: Arc<str>,
        addr: VirtualAddress,
    },
    /// `sent 0 priority`. Detail.
    Resigned { instance: Arc<str> },
    /// We woke up so late that another router may be master by now; the instance listens first.
    Overslept { instance: Arc<str>, by: Duration },
}

/// Why an instance cannot run. Each holds on its own; the instance leaves FAULT when none is left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultCause {
    /// Its own interface or a tracked one (weight 0) is not up and running, or does not exist.
    InterfaceDown(IfName),
    /// A tracked interface (weight 0, `reverse`) is up.
    InterfaceUp(IfName),
    /// The interface has no address that could be the source of advertisements.
    NoSource(Family),
    /// A tracked script (weight 0) is bad; with `reverse`, good.
    Script(Arc<str>),
    /// A tracked script (weight 0) has no result yet since start. Silent: neither reported nor notified.
    ScriptPending(Arc<str>),
}

/// What was wrong with a packet for one of our instances, in the order in which it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketFault {
    TooShort {
        got: usize,
        want: usize,
    },
    TooLong {
        got: usize,
        want: usize,
    },
    /// TTL or hop limit is not 255.
    Ttl(u8),
    Version {
        got: u8,
        want: u8,
    },
    /// Not one of 0, 1, 2 (version 2).
    AuthTypeUnknown(u8),
    AuthTypeMismatch {
        got: u8,
        want: u8,
    },
    /// Another password.
    Password,
    /// Version 2, seconds. Not obeyed.
    Interval {
        got: u8,
        want: u8,
    },
    /// Type nibble is not 1.
    Type(u8),
    /// The length in the IPv4 header is not that of the packet.
    TotalLength {
        got: usize,
        want: usize,
    },
    /// Version 3: another interval than ours. Obeyed (RFC 9568 §6.4.2).
    IntervalLearned {
        got: Duration,
        want: Duration,
    },
    Checksum,
    /// Another number of addresses than ours. keepalived: obeyed.
    AddressCount {
        got: u8,
        want: u8,
    },
    /// One of our addresses is not listed. keepalived: obeyed.
    AddressMissing(IpAddr),
}

/// Statistics of one instance (`keepalived.stats`), since start or the last clearing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) advert_received: u64,
    pub(crate) advert_sent: u64,
    pub(crate) became_master: u64,
    pub(crate) released_master: u64,
    pub(crate) packet_length_errors: u64,
    pub(crate) ttl_errors: u64,
    pub(crate) invalid_type: u64,
    pub(crate) advert_interval_errors: u64,
    pub(crate) address_list_errors: u64,
    pub(crate) invalid_auth_type: u64,
    pub(crate) auth_type_mismatch: u64,
    pub(crate) auth_failures: u64,
    pub(crate) version_errors: u64,
    pub(crate) checksum_errors: u64,
    pub(crate) priority_zero_received: u64,
    pub(crate) priority_zero_sent: u64,
}
