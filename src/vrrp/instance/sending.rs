//! What an instance sends, from where, and where it listens: its source address, its socket, its advertisements.
//!
//! Decides neither when nor with which priority, and never changes its state. Sources: RFC 3768 §5, RFC 9568 §5,
//! keepalived's `auth_hmac`.

use std::net::IpAddr;
use std::time::Duration;

use super::{Instance, Voice};
use crate::model::auth::{Auth, Hmac};
use crate::time::Mono;
use crate::vrrp::advert::{Seal, Template};
use crate::vrrp::auth::Form;
use crate::vrrp::world::World;
use crate::vrrp::{Action, Protocol, Report, Socket};
use crate::wire::trailer::Signed;

impl Instance {
    /// Looks up interface and source again. True if another socket is needed than before. When the source is gone the
    /// old one stays for the resignation.
    pub(in crate::vrrp) fn attach(&mut self, world: &World) -> bool {
        let before = self.socket();
        self.set_wall(world.wall());
        let model = &self.model;
        let source = world.source_of(model);
        if source.is_some() && source != self.source() {
            self.template = source.and_then(|src| Template::new(model, src));
        }
        let facts = model.voice().map(|name| world.facts(name));
        self.voice = match facts {
            None => Voice::Anywhere,
            Some(None) => Voice::Nowhere,
            Some(Some(facts)) => Voice::At(facts.index),
        };
        self.socket() != before
    }

    /// `None`: the interface does not exist, or has no address yet that unicast could listen at.
    pub(in crate::vrrp) fn socket(&self) -> Option<Socket> {
        let interface = match self.voice {
            Voice::Nowhere => return None,
            Voice::Anywhere => None,
            Voice::At(index) => Some(index),
        };
        let protocol = match self.model.auth {
            Auth::Ah(_) => Protocol::Ah,
            Auth::None | Auth::Pass(_) | Auth::Hmac(_) => Protocol::Vrrp,
        };
        let local = match self.model.unicast {
            Some(_) => self.source()?,
            None => self.model.mcast_group,
        };
        Some(Socket {
            interface,
            protocol,
            local,
        })
    }

    /// Source of its advertisements.
    pub(in crate::vrrp) fn source(&self) -> Option<IpAddr> {
        self.template.as_ref().map(|t| t.src)
    }

    /// One advertisement, to every peer in unicast.
    pub(in crate::vrrp) fn send(&mut self, now: Mono, priority: u8, out: &mut Vec<Action>) {
        if self.socket().is_none() || self.template.is_none() {
            return;
        }
        self.counters.advert_sent += 1;
        match &self.model.clone().auth {
            Auth::None | Auth::Pass(_) => self.emit(priority, Seal::None, out),
            Auth::Ah(key) => {
                let sequence = self.memory.seals().ah.advance();
                self.emit(priority, Seal::Ah(key, sequence), out);
            }
            Auth::Hmac(hmac) => {
                for form in self.memory.seals().replay.forms(hmac) {
                    match form {
                        Form::Plain => self.emit(priority, Seal::None, out),
                        Form::Signed => self.emit_signed(now, priority, hmac, out),
                    }
                }
            }
        }
    }

    fn emit_signed(&mut self, now: Mono, priority: u8, hmac: &Hmac, out: &mut Vec<Action>) {
        let wall = self.wall_at(now);
        let Some(template) = &self.template else {
            return;
        };
        let what = Signed {
            src: template.src,
            pdu: &template.pdu(priority),
        };
        if let Some(trailer) = self.memory.seals().replay.sign(hmac, what, wall) {
            self.emit(priority, Seal::Trailer(&trailer), out);
        }
    }

    fn emit(&mut self, priority: u8, seal: Seal<'_>, out: &mut Vec<Action>) {
        let (Some(socket), Some(template)) = (self.socket(), &self.template) else {
            return;
        };
        self.ip_id = self.ip_id.checked_add(1).unwrap_or(1);
        out.extend(template.targets.iter().map(|to| Action::SendAdvert {
            socket,
            src: template.src,
            dst: to.dst,
            hop_limit: template.hop_limit,
            octets: template.emit(to, self.ip_id, priority, seal),
        }));
    }

    /// Since 1970, for `auth_hmac`.
    pub(super) fn wall_at(&self, now: Mono) -> Duration {
        self.memory.wall() + Duration::from_micros(now.as_micros())
    }

    /// By the wall clock: the origin of [`Mono`]. Of use for `auth_hmac` only.
    pub(in crate::vrrp) fn set_wall(&mut self, wall: Duration) {
        if let Auth::Hmac(_) = self.model.auth {
            self.memory.seals().wall = wall;
        }
    }

    /// A master of lower rank was heard. keepalived: what is sent next counts on from its packet, which
    /// [`receive::check`] has noted already.
    pub(in crate::vrrp) fn note_lower(&mut self, form: Form) {
        if let Auth::Hmac(hmac) = &self.model.auth {
            self.memory.seals().replay.heard_lower(hmac, form);
        }
    }

    /// A new master begins, and with it sequence numbers that were used up.
    pub(in crate::vrrp) fn renew(&mut self) {
        self.memory.renew();
    }

    /// `times` advertisements of priority 0. keepalived: only the last one is counted as such.
    pub(in crate::vrrp) fn resign(&mut self, now: Mono, times: u8, out: &mut Vec<Action>) {
        for _ in 0..times {
            self.send(now, 0, out);
        }
        if times > 0 {
            self.counters.rare().priority_zero_sent += 1;
            out.push(Action::Report(Report::Resigned {
                instance: self.model.name.clone(),
            }));
        }
    }
}
