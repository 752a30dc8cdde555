//! What an instance remembers of packets: the last good one, so that its repetition is known at a glance, and the numbers that
//! keep old ones from being played again.

use std::net::IpAddr;
use std::time::Duration;

use super::{Arrival, Heard};
use crate::vrrp::auth::{Counter, Form, Replay};

/// The last packet that passed every check and had nothing odd. Its repetition, octet for octet, needs none of them: that
/// is what a healthy network delivers.
#[derive(Debug)]
pub(super) struct Known {
    pdu: Box<[u8]>,
    ttl: u8,
    src: IpAddr,
    interval: Duration,
    form: Form,
    old_checksum: bool,
}

impl Known {
    pub(super) fn new(arrival: &Arrival<'_>, heard: &Heard) -> Self {
        Self {
            pdu: arrival.pdu.into(),
            ttl: arrival.ttl,
            src: heard.src,
            interval: heard.interval,
            form: heard.form,
            old_checksum: heard.old_checksum,
        }
    }

    pub(super) fn matches(&self, arrival: &Arrival<'_>) -> Option<Heard> {
        let whole = arrival.total_length == arrival.ip_header + arrival.pdu.len();
        let same = self.src == arrival.src && self.ttl == arrival.ttl && *self.pdu == *arrival.pdu;
        (whole && same).then_some(Heard {
            src: self.src,
            priority: arrival.header.priority,
            interval: self.interval,
            form: self.form,
            old_checksum: self.old_checksum,
            oddities: [None; 3],
        })
    }
}

/// What an instance remembers of packets, and what it knows besides its model when one comes.
#[derive(Debug, Default)]
pub(in crate::vrrp) struct Memory {
    pub(super) known: Option<Box<Known>>,
    seals: Option<Box<Seals>>,
}

/// What makes packets genuine, for those who ask for it.
#[derive(Debug, Default)]
pub(in crate::vrrp) struct Seals {
    /// The authentication header's sequence number.
    pub(in crate::vrrp) ah: Counter,
    /// The sequence numbers of `auth_hmac`.
    pub(in crate::vrrp) replay: Replay,
    /// By the wall clock: the origin of [`crate::time::Mono`].
    pub(in crate::vrrp) wall: Duration,
}

impl Memory {
    /// To be called when the model changes. Sequence numbers stay, or old packets could be played again.
    pub(in crate::vrrp) fn forget(&mut self) {
        self.known = None;
    }

    /// What was sealed, and with which numbers.
    pub(in crate::vrrp) fn seals(&mut self) -> &mut Seals {
        self.seals.get_or_insert_default()
    }

    /// By the wall clock: the origin of [`crate::time::Mono`]; zero for those who do not ask for it.
    pub(in crate::vrrp) fn wall(&self) -> Duration {
        self.seals.as_ref().map_or(Duration::ZERO, |s| s.wall)
    }

    /// A new master begins; used up sequence numbers do so, too.
    pub(in crate::vrrp) fn renew(&mut self) {
        if let Some(seals) = &mut self.seals {
            seals.ah.renew();
        }
    }
}
