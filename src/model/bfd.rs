//! `bfd_instance`. Source: keepalived.conf(5), RFC 5880 §6.8.1, RFC 5881, RFC 5883.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::diff::Keyed;
use super::track::Weight;

/// One `bfd_instance`. Neighbour, source and `multihop` together are unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BfdInstance {
    /// Name of the block, 1..=31 octets; unique.
    pub(crate) name: Arc<str>,
    /// `neighbor_ip`.
    pub(crate) neighbor: IpAddr,
    /// `source_ip`, of the neighbour's family, default the kernel's choice.
    pub(crate) source: Option<IpAddr>,
    /// `min_rx`: Required Min RX Interval, 1..=4294967 ms, default 10.
    pub(crate) min_rx: Duration,
    /// `min_tx`: Desired Min TX Interval while up, 1..=4294967 ms, default 10.
    pub(crate) min_tx: Duration,
    /// `idle_tx`: Desired Min TX Interval while not up, 1000..=4294967 ms, default 1000.
    pub(crate) idle_tx: Duration,
    /// `multiplier`: Detect Mult, 1..=255, default 5.
    pub(crate) multiplier: u8,
    /// `passive`: nothing is sent until the peer was heard (RFC 5880 §6.1).
    pub(crate) passive: bool,
    /// `ttl` or `hoplimit` of what is sent, 1..=255, default 255, IPv6 64.
    // keepalived: RFC 5881 §5 wants 255 for IPv6, too.
    pub(crate) ttl: u8,
    /// `max_hops`: how much lower the TTL of what is received may be, at most `ttl`, default 0; `None`: any.
    pub(crate) max_hops: Option<u8>,
    /// `multihop`: port 4784 (RFC 5883) instead of 3784.
    pub(crate) multihop: bool,
    /// What `track_bfd` lines start from, default `Fault`.
    pub(crate) weight: Weight,
    pub(crate) reverse: bool,
    /// Changes are told to instances and groups.
    pub(crate) tells_vrrp: bool,
    /// Changes are told to checkers.
    pub(crate) tells_checkers: bool,
}

impl Keyed for BfdInstance {
    type Key = Arc<str>;

    fn key(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}
