//! `unicast_peer` and what goes with it. Source: keepalived.conf(5).

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Whom an instance speaks to instead of a multicast group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unicast {
    /// In file order, each once, all of the instance's family. None: nobody is told anything.
    pub(crate) peers: Vec<Peer>,
    /// `unicast_fault_no_peer`: without peers the instance stays in FAULT.
    pub(crate) fault_no_peer: bool,
    /// `check_unicast_src`, default `vrrp_check_unicast_src`; a `min_ttl` or `max_ttl` implies it: only peers are heard.
    pub(crate) check_source: bool,
    /// `unicast_ttl`: TTL or hop limit of advertisements, default 255 over IPv4 and the kernel's (64) over IPv6.
    pub(crate) ttl: Option<u8>,
    pub(crate) old_checksum: OldChecksum,
}

/// One line of `unicast_peer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) addr: IpAddr,
    /// `min_ttl`, `max_ttl`: what its packets may have left, default anything.
    pub(crate) ttl: RangeInclusive<u8>,
}

impl Peer {
    /// A peer at any distance.
    #[cfg(test)]
    pub(crate) fn new(addr: IpAddr) -> Self {
        Self { addr, ttl: 0..=255 }
    }
}

/// `old_unicast_checksum`: keepalived before 1.3.7 put the multicast group for the peer's address into the checksum of
/// version 3 over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldChecksum {
    /// Whoever sends it gets it.
    Recognised,
    Always,
    Never,
}
