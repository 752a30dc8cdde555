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
#[cfg(test)]
mod captured;
pub(crate) mod desired;
mod garp;
mod instance;
#[cfg(test)]
mod lab;
pub(crate) mod links;
mod master;
mod priority;
mod receive;
mod reload;
pub(crate) mod router;
#[cfg(test)]
mod sample;
mod slab;
mod sync;
mod tally;
mod throttle;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::{Notice, Release, TrackerUpdate, VrrpState};
use crate::model::Config;
use crate::model::net::{Family, IfName, VirtualAddress};
use crate::model::route::{Route, Rule};
use crate::model::vrrp::Instance;

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
    /// Octets; what a receive buffer counts in.
    pub(crate) mtu: u32,
    /// Link-layer address; all zero where there is none.
    pub(crate) mac: [u8; 6],
    /// `net.ipv6.conf.IF.forwarding`: neighbour advertisements carry the Router flag.
    pub(crate) forwarding: bool,
    /// In the kernel's order: address and prefix length. IPv6 addresses that are tentative or failed are left out.
    pub(crate) addrs: Vec<(IpAddr, u8)>,
}

/// A received IP packet of protocol 112 or 51.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where it came in.
    pub(crate) socket: Socket,
    /// IPv4: the whole packet, header included. IPv6: the payload, with what the kernel said about the header.
    pub(crate) packet: Packet,
}

#[cfg(test)]
impl Frame {
    /// A packet that came in on `interface`, through the socket for its destination and protocol.
    fn on(interface: IfIndex, packet: Packet) -> Self {
        let (local, protocol) = match &packet {
            Packet::V4(octets) => {
                let dst = octets.get(16..20).and_then(<[_]>::first_chunk::<4>);
                let dst = dst.copied().unwrap_or_default();
                let ah = octets.get(9) == Some(&crate::wire::ip::AH);
                (dst.into(), if ah { Protocol::Ah } else { Protocol::Vrrp })
            }
            Packet::V6 { dst, .. } => ((*dst).into(), Protocol::Vrrp),
        };
        let socket = Socket {
            interface: Some(interface),
            protocol,
            local,
        };
        Self { socket, packet }
    }
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
    /// The wall clock was set: what it showed, since 1970, at the origin of [`crate::time::Mono`]. Of use for `auth_hmac` only,
    /// whose instances must hear it before they send.
    WallClock(Duration),
    /// An interface appeared or changed.
    Interface(Arc<InterfaceFacts>),
    /// An interface is gone.
    InterfaceGone(IfIndex),
    /// A tracker has a verdict.
    Tracker(TrackerUpdate),
    /// What [`Action::Converge`] asked for is done (or could not be done: the rest is in force). Exactly one for each
    /// `Converge`, in their order, also when the instance is gone by then: the core counts them.
    Converged(InstanceId),
    /// Somebody else deleted something that the instance holds. `by`: who it was, as far as the kernel tells.
    Lost {
        instance: InstanceId,
        entry: Lost,
        by: Arc<str>,
    },
    /// Addresses that the instance wants are in the kernel again, or at last: nobody has heard of them yet.
    Mended(InstanceId),
}

/// Something that an instance wants in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    Address(Arc<VirtualAddress>),
    Route(Box<Route>),
    Rule(Box<Rule>),
}

/// What to do about it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send an advertisement now, without waiting. IPv4: a whole packet, header included (`IP_HDRINCL`). IPv6: the
    /// payload; the kernel writes header and checksum.
    SendAdvert {
        /// Whose interface and protocol are used.
        socket: Socket,
        src: IpAddr,
        dst: IpAddr,
        /// IPv6: instead of the kernel's choice.
        hop_limit: Option<u8>,
        octets: Vec<u8>,
    },
    /// Send an Ethernet frame (gratuitous ARP, neighbour advertisement) after all kernel work asked for before.
    SendFrame {
        instance: InstanceId,
        interface: IfIndex,
        octets: Vec<u8>,
    },
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

/// A socket that must be open: all instances that hear the same address there share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Socket {
    /// The instance's interface, or its VRF's; none: unicast wherever routes lead.
    pub(crate) interface: Option<IfIndex>,
    pub(crate) protocol: Protocol,
    /// Multicast group to join and to bind to, or our own address; its family is the socket's.
    pub(crate) local: IpAddr,
}

/// What stands directly behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Protocol {
    /// 112.
    Vrrp,
    /// 51, an authentication header before the advertisement: `auth_type AH`.
    Ah,
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
    Runt { interface: Option<IfIndex> },
    /// `log_unknown_vrids`: a packet for a virtual router that is not ours. Once for each of them.
    UnknownVrid {
        interface: Option<IfIndex>,
        vrid: u8,
        from: IpAddr,
    },
    /// `(NAME) Changing effective priority from P to Q`.
    PriorityChanged {
        instance: Arc<str>,
        from: u8,
        to: u8,
    },
    /// Something that the master holds was deleted by somebody else.
    Deleted {
        instance: Arc<str>,
        entry: Lost,
        by: Arc<str>,
    },
    /// `setting VIPs.` and the like, `removing` unless `set`: the kernel is asked for what an instance holds. Detail.
    Holding {
        instance: Arc<str>,
        set: bool,
        kinds: Kinds,
    },
    /// `Sending/queueing gratuitous ARPs on IF for A`: rounds of announcements of an address begin. Detail.
    Announcing {
        instance: Arc<str>,
        iface: IfName,
        addr: IpAddr,
    },
    /// No interface of this machine has the configured source of advertisements: what is sent to it is not heard
    /// here. Once, until the address is there.
    ForeignSource { instance: Arc<str>, source: IpAddr },
    /// Backup: at least one advertisement of the master was lost or came late; after `limit` this router takes over. Once
    /// for each master.
    Late {
        instance: Arc<str>,
        from: IpAddr,
        gap: Duration,
        limit: Duration,
    },
    /// `sent 0 priority`. Detail.
    Resigned { instance: Arc<str> },
    /// We woke up so late that another router may be master by now; the instance listens first.
    Overslept { instance: Arc<str>, by: Duration },
}

/// Which of its lists an instance has something in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// `virtual_ipaddress`.
    pub(crate) addresses: bool,
    /// `virtual_ipaddress_excluded`.
    pub(crate) excluded: bool,
    pub(crate) routes: bool,
    pub(crate) rules: bool,
}

impl Kinds {
    fn of(model: &Instance) -> Self {
        Self {
            addresses: !model.addresses.is_empty(),
            excluded: !model.excluded.is_empty(),
            routes: !model.routes.is_empty(),
            rules: !model.rules.is_empty(),
        }
    }
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
    /// `track_src_ip`: the configured source is not an address of the interface.
    SourceMissing(IpAddr),
    /// `unicast_fault_no_peer`.
    NoPeer,
    /// A tracked script (weight 0) is bad; with `reverse`, good.
    Script(Arc<str>),
    /// A tracked file, process or BFD session (weight 0) is bad; with `reverse`, good.
    File(Arc<str>),
    Process(Arc<str>),
    Bfd(Arc<str>),
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
    /// Authentication header: another digest, so another password.
    AhDigest,
    /// Authentication header: the index is not the sender's address.
    AhSpi,
    /// Authentication header: a sequence number that has been used.
    AhReplay {
        got: u32,
        last: u32,
    },
    /// `auth_hmac`, `mode enforce`: there is no trailer.
    HmacMissing,
    HmacMalformed,
    /// Signed at another time than now: seconds ahead of our clock.
    HmacStale {
        off: i64,
    },
    HmacUnknownKey(u8),
    HmacInvalid,
    HmacReplay,
    /// The sender's clock is this many seconds off, more than half of what is allowed. Obeyed.
    HmacSkewed(u64),
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
    /// `owner_ignore_adverts`: we own the addresses.
    Deaf,
    /// `check_unicast_src`: the sender is none of the peers.
    NotAPeer,
    /// `min_ttl`, `max_ttl` of that peer.
    PeerTtl(u8),
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
    pub(crate) hmac_missing: u64,
    pub(crate) hmac_malformed: u64,
    pub(crate) hmac_unknown_key: u64,
    pub(crate) hmac_invalid: u64,
    pub(crate) hmac_stale: u64,
    pub(crate) hmac_replay: u64,
    pub(crate) priority_zero_received: u64,
    pub(crate) priority_zero_sent: u64,
    /// How often it woke up so late that it listened before it went on.
    pub(crate) overslept: u64,
}
