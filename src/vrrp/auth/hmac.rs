//! `auth_hmac`: who is believed, what is fresh, and in which form advertisements leave.
//!
//! Nothing is stored on disk. The wall clock comes from the edge; in `time` mode the clocks of the routers have to agree
//! to within the window. Source: keepalived 2.4; departures that heal two masters are marked.

use std::net::IpAddr;
use std::time::Duration;

use crate::model::auth::{AntiReplay, Hmac, HmacMode};
use crate::model::unicast::Unicast;
use crate::wire::trailer::{self, Sequence, Signed, TRAILER, Trailer};

use super::super::PacketFault;

/// Senders of a multicast group that are told apart.
const SENDERS: usize = 4;

/// Whether an advertisement carries a trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vrrp) enum Form {
    Plain,
    Signed,
}

/// A trailer that was found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vrrp) struct Verdict {
    pub(in crate::vrrp) form: Form,
    /// The sender's clock differs from ours by more than half of the window, in seconds: not yet a fault.
    pub(in crate::vrrp) skewed: Option<u64>,
}

/// The last sequence number sent, and of each sender the last one heard.
#[derive(Debug, Default)]
pub(in crate::vrrp) struct Replay {
    sent: Option<Sequence>,
    /// The one heard last is the last.
    heard: Vec<(IpAddr, Sequence)>,
    /// A master of lower rank spoke in the form that we do not send, so it did not hear us.
    other_form: bool,
}

impl Replay {
    /// In which forms an advertisement leaves.
    ///
    /// keepalived: in one form only, so that two routers on different steps of a migration are masters both. A master
    /// that hears one of lower rank in the other form answers in that form too, and keeps doing so.
    pub(in crate::vrrp) fn forms(&self, hmac: &Hmac) -> &'static [Form] {
        match (hmac.mode, self.other_form) {
            (HmacMode::Enforce, _) | (HmacMode::Permissive, false) => &[Form::Signed],
            (HmacMode::Permissive, true) => &[Form::Signed, Form::Plain],
            (HmacMode::ReceiveOnly, false) => &[Form::Plain],
            (HmacMode::ReceiveOnly, true) => &[Form::Plain, Form::Signed],
        }
    }

    /// A master of lower rank spoke in this form.
    pub(in crate::vrrp) fn heard_lower(&mut self, hmac: &Hmac, form: Form) {
        self.other_form |= !self.forms(hmac).contains(&form) && hmac.mode != HmacMode::Enforce;
    }

    /// The trailer for an advertisement that leaves now. `wall`: since 1970.
    pub(in crate::vrrp) fn sign(
        &mut self,
        hmac: &Hmac,
        what: Signed<'_>,
        wall: Duration,
    ) -> Option<[u8; TRAILER]> {
        let clock = Sequence::at(wall);
        let sequence = match (self.sent, hmac.replay) {
            (Some(sent), AntiReplay::Time(window)) if beyond(sent.ahead_of(wall), window) => clock,
            (Some(sent), _) if !clock.is_after(sent) => sent.next(),
            (Some(_) | None, _) => clock,
        };
        self.sent = Some(sequence);
        let trailer = Trailer {
            key: hmac.active,
            sequence,
        };
        let key = hmac.keys.get(&hmac.active)?;
        Some(trailer.sign(what, &key.expose()))
    }

    /// Whether a packet is to be believed. `octets`: its trailer, if it has one.
    ///
    /// # Errors
    /// What keepalived counts and reports, in its order.
    pub(in crate::vrrp) fn check(
        &mut self,
        hmac: &Hmac,
        unicast: Option<&Unicast>,
        what: Signed<'_>,
        octets: Option<&[u8; TRAILER]>,
        wall: Duration,
    ) -> Result<Verdict, PacketFault> {
        let Some(octets) = octets else {
            return match hmac.mode {
                HmacMode::Enforce => Err(PacketFault::HmacMissing),
                HmacMode::Permissive | HmacMode::ReceiveOnly => Ok(Verdict {
                    form: Form::Plain,
                    skewed: None,
                }),
            };
        };
        let trailer = Trailer::parse(octets).map_err(|_| PacketFault::HmacMalformed)?;
        let off = trailer.sequence.ahead_of(wall);
        let skewed = match hmac.replay {
            AntiReplay::Time(window) if off.unsigned_abs() > window.as_secs() => {
                return Err(PacketFault::HmacStale { off });
            }
            AntiReplay::Time(window) => {
                Some(off.unsigned_abs()).filter(|s| s * 2 > window.as_secs())
            }
            AntiReplay::Monotonic => None,
        };
        let key = hmac.keys.get(&trailer.key);
        let key = key.ok_or(PacketFault::HmacUnknownKey(trailer.key))?;
        if !trailer::verifies(octets, what, &key.expose()) {
            return Err(PacketFault::HmacInvalid);
        }
        if unicast.is_some_and(|u| u.peers.iter().all(|p| p.addr != what.src)) {
            return Err(PacketFault::NotAPeer);
        }
        self.note(hmac, unicast, what.src, trailer.sequence, wall)?;
        Ok(Verdict {
            form: Form::Signed,
            skewed,
        })
    }

    /// Remembers a good sequence number, unless it was there before.
    fn note(
        &mut self,
        hmac: &Hmac,
        unicast: Option<&Unicast>,
        src: IpAddr,
        new: Sequence,
        wall: Duration,
    ) -> Result<(), PacketFault> {
        let known = self.heard.iter().position(|(sender, _)| *sender == src);
        if let Some((_, last)) = known.map(|at| self.heard.remove(at)) {
            // In time mode what is older than the window would not be accepted again anyway.
            let counts = match hmac.replay {
                AntiReplay::Time(window) => {
                    !beyond(last.ahead_of(wall), window) && !beyond(-last.ahead_of(wall), window)
                }
                AntiReplay::Monotonic => true,
            };
            if counts && !new.is_after(last) {
                self.heard.push((src, last));
                return Err(PacketFault::HmacReplay);
            }
        }
        let room = unicast.map_or(SENDERS, |u| u.peers.len());
        if self.heard.len() >= room {
            self.heard.remove(0);
        }
        self.heard.push((src, new));
        Ok(())
    }
}

/// More seconds than the window.
fn beyond(ahead: i64, window: Duration) -> bool {
    u64::try_from(ahead).is_ok_and(|secs| secs > window.as_secs())
}

#[cfg(test)]
mod tests;
