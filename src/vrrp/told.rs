//! What has been reported about packets: each matter once for each peer.
//!
//! Bounded: whoever invents source addresses gets no more lines than [`PEERS`] peers would.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{PacketFault, Report};

/// Peers told apart.
const PEERS: usize = 8;

/// Something that a packet made worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matter {
    Packet(PacketFault),
    /// Backup: a lower-priority master is not obeyed.
    LowerIgnored,
    /// Master: a lower-priority master is answered.
    LowerHeard,
    /// Our own address and priority.
    OwnAddress,
    /// Backup: how long the master has been silent, and how long that is tolerated.
    Late {
        gap: Duration,
        limit: Duration,
    },
}

impl Matter {
    pub(super) fn report(
        self,
        instance: &Arc<str>,
        from: IpAddr,
        priority: u8,
        ours: u8,
    ) -> Report {
        let instance = instance.clone();
        match self {
            Self::Packet(fault) => Report::BadPacket {
                instance,
                from,
                fault,
            },
            Self::LowerIgnored => Report::LowerPriorityIgnored {
                instance,
                from,
                priority,
                ours,
            },
            Self::LowerHeard => Report::LowerPriorityHeard {
                instance,
                from,
                priority,
                ours,
            },
            Self::OwnAddress => Report::OwnAddressHeard { instance, from },
            Self::Late { gap, limit } => Report::Late {
                instance,
                from,
                gap,
                limit,
            },
        }
    }

    /// One bit for each kind; the values in it make no difference.
    fn bit(self) -> u32 {
        let n = match self {
            Self::LowerIgnored => 0,
            Self::LowerHeard => 1,
            Self::OwnAddress => 2,
            Self::Late { .. } => 30,
            Self::Packet(fault) => match fault {
                PacketFault::TooShort { .. } => 3,
                PacketFault::TooLong { .. } => 4,
                PacketFault::Ttl(_) => 5,
                PacketFault::Version { .. } => 6,
                PacketFault::AuthTypeUnknown(_) => 7,
                PacketFault::AuthTypeMismatch { .. } => 8,
                PacketFault::Password => 9,
                PacketFault::Interval { .. } => 10,
                PacketFault::Type(_) => 11,
                PacketFault::TotalLength { .. } => 12,
                PacketFault::IntervalLearned { .. } => 13,
                PacketFault::Checksum => 14,
                PacketFault::AddressCount { .. } => 15,
                PacketFault::AddressMissing(_) => 16,
                PacketFault::AhDigest => 17,
                PacketFault::AhSpi => 18,
                PacketFault::AhReplay { .. } => 19,
                PacketFault::HmacMissing => 20,
                PacketFault::HmacMalformed => 21,
                PacketFault::HmacStale { .. } => 22,
                PacketFault::HmacUnknownKey(_) => 23,
                PacketFault::HmacInvalid => 24,
                PacketFault::HmacReplay => 25,
                PacketFault::HmacSkewed(_) => 26,
                PacketFault::Deaf => 27,
                PacketFault::NotAPeer => 28,
                PacketFault::PeerTtl(_) => 29,
            },
        };
        1 << n
    }
}

/// See the module. The default: nothing was told, as nearly always.
#[derive(Debug, Default)]
pub(super) struct Told(Option<Box<Peers>>);

#[derive(Debug, Default)]
struct Peers(Vec<(IpAddr, u32)>);

impl Told {
    /// True the first time.
    pub(super) fn is_news(&mut self, matter: Matter, from: IpAddr) -> bool {
        let bit = matter.bit();
        let Peers(peers) = &mut **self.0.get_or_insert_default();
        if let Some((_, told)) = peers.iter_mut().find(|(peer, _)| *peer == from) {
            let news = *told & bit == 0;
            *told |= bit;
            return news;
        }
        let room = peers.len() < PEERS;
        if room {
            peers.push((from, bit));
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_news_once_for_each_peer_and_peers_are_bounded() {
        let mut told = Told::default();
        let peer = |n: u8| IpAddr::from([10, 0, 0, n]);
        assert!(told.is_news(Matter::Packet(PacketFault::Ttl(1)), peer(1)));
        assert!(!told.is_news(Matter::Packet(PacketFault::Ttl(2)), peer(1)));
        assert!(told.is_news(Matter::Packet(PacketFault::Checksum), peer(1)));
        assert!(told.is_news(Matter::Packet(PacketFault::Ttl(1)), peer(2)));
        let lines = (0..=255).filter(|n| told.is_news(Matter::LowerHeard, peer(*n)));
        assert_eq!(lines.count(), PEERS);
    }
}
