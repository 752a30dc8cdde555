//! VRRP: a pure core that decides, and a task that talks to the kernel.
//!
//! The core ([`router`]) is a function of events; it knows no clock, no socket and no kernel. The task feeds it with
//! frames, interface facts and tracker verdicts, and carries out its actions in order.
//! Sources: RFC 3768, RFC 9568; departures that keepalived makes are marked `// keepalived:`.

pub(crate) mod task;

use std::net::IpAddr;
use std::sync::Arc;

use crate::daemon::bus::{Notice, TrackerUpdate};
use crate::model::Config;
use crate::model::net::{IfName, VirtualAddress};

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
    /// Stop: resign everywhere, want nothing in the kernel any more.
    Stop,
    /// A packet for one of our sockets.
    Heard(Frame),
    /// An interface appeared or changed.
    Interface(Arc<InterfaceFacts>),
    /// An interface is gone.
    InterfaceGone(IfIndex),
    /// A tracker has a verdict.
    Tracker(TrackerUpdate),
    /// What [`Action::Converge`] asked for is done (or could not be done: the rest is in force).
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
    /// Make the kernel hold what `desired` says for this instance; answered by [`Event::Converged`].
    Converge(InstanceId),
    /// Tell the daemon (scripts, FIFOs, mail).
    Notice(Notice),
    /// Tell the operator.
    Report(Report),
}

/// What the operator must see. `task.rs` words it; keepalived's words where people search for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {}

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
