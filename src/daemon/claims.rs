//! Looks whether somebody else answers for the addresses of our masters, and says so: a router that died without letting
//! go of them, a real server that should be quiet about its copy, a machine that was given one by hand.
//!
//! Lives in the daemon's own loop; the VRRP task knows nothing of it. Whatever goes wrong here costs a remark, never an
//! address. IPv6 is left to the kernel's own duplicate address detection. Source: RFC 5227 §2.1.1.

mod table;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::table::{Act, Table};
use super::bus::{Claimed, VrrpState};
use crate::model::Config;
use crate::model::vrrp::Instance;
use crate::sys::arp::ArpSocket;
use crate::sys::clock;
use crate::sys::link::{self, LinkTold};
use crate::sys::raw::FrameSocket;
use crate::time::Mono;
use crate::wire::arp::{Mac, Probe, Said};

/// Frames that are read before something else has its turn.
const TURN: usize = 64;
/// How long a list of our own link-layer addresses serves: a flood of ARP must not make us ask the kernel for each frame.
const OWN_LASTS: Duration = Duration::from_secs(1);

/// How long nobody listens after the sockets could not be had.
const DEAF_FOR: Duration = Duration::from_secs(60);

/// Open while there are addresses to look after.
#[derive(Debug)]
struct Sockets {
    hear: ArpSocket,
    speak: FrameSocket,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Claims {
    table: Table,
    sockets: Option<Sockets>,
    /// They could not be had, which was said once: when to try again.
    deaf: Option<Mono>,
    /// Our own link-layer addresses, and when they were read.
    own: Option<(Mono, Vec<Mac>)>,
}

impl Claims {
    /// An instance entered a state.
    pub(super) fn heard(&mut self, config: &Config, instance: &Arc<Instance>, state: VrrpState) {
        let now = clock::now();
        if state == VrrpState::Master && config.global.arp_probe {
            self.table.master(instance, now);
        } else {
            self.table.gone(&instance.name);
        }
        self.listen();
    }

    /// After a reload: instances that stay masters may have other addresses.
    pub(super) fn apply(&mut self, config: &Config) {
        let instances: HashMap<&str, &Arc<Instance>> =
            config.instances.iter().map(|i| (&*i.name, i)).collect();
        let now = clock::now();
        for name in self.table.masters() {
            match instances.get(&*name).filter(|_| config.global.arp_probe) {
                Some(instance) => self.table.master(instance, now),
                None => self.table.gone(&name),
            }
        }
        self.listen();
    }

    /// What is known now.
    pub(super) fn known(&self) -> Vec<Claimed> {
        self.table.claimed()
    }

    /// Opens or closes the sockets, as there is something to do for them.
    fn listen(&mut self) {
        self.listen_at(clock::now(), || {
            let hear = ArpSocket::open()?;
            FrameSocket::open().map(|speak| Sockets { hear, speak })
        });
    }

    fn listen_at(&mut self, now: Mono, open: impl FnOnce() -> io::Result<Sockets>) {
        if self.table.is_empty() {
            (self.sockets, self.deaf) = (None, None);
            return;
        }
        if self.sockets.is_some() || self.deaf.is_some_and(|again| now < again) {
            return;
        }
        match open() {
            Ok(sockets) => {
                self.sockets = Some(sockets);
                if self.deaf.take().is_some() {
                    tracing::info!("Looking for others with our addresses again");
                }
            }
            Err(e) => self.lose(now, &e),
        }
    }

    fn lose(&mut self, now: Mono, e: &io::Error) {
        self.sockets = None;
        if self.deaf.replace(now + DEAF_FOR).is_none() {
            tracing::warn!(reason = %e, "Unable to look for others with our addresses");
        }
    }

    /// Does the next piece of work. Waits for ever when there is nothing to do. Cancel safe.
    pub(super) async fn progress(&mut self) {
        let wall = |at: Mono| Instant::now() + at.since(clock::now());
        let Some(sockets) = &self.sockets else {
            super::life::at(self.deaf.map(wall)).await;
            return self.listen();
        };
        let due = self.table.next().map(wall);
        tokio::select! {
            heard = sockets.hear.readable() => match heard {
                Ok(()) => self.read(),
                Err(e) => self.lose(clock::now(), &e),
            },
            () = super::life::at(due) => self.act(),
        }
    }

    fn read(&mut self) {
        let Some(sockets) = &self.sockets else {
            return;
        };
        let (mut octets, mut said) = ([0; 64], Vec::new());
        for _ in 0..TURN {
            match sockets.hear.receive(&mut octets) {
                Ok(length) => said.extend(Said::parse(octets.get(..length).unwrap_or_default())),
                // Nothing more; or an interface went down, which others tell.
                Err(_) => break,
            }
        }
        said.retain(|said: &Said| self.table.knows(said.addr));
        if said.is_empty() {
            return;
        }
        let now = clock::now();
        if self
            .own
            .as_ref()
            .is_none_or(|(at, _)| now.since(*at) >= OWN_LASTS)
        {
            let links = links();
            let own = links.iter().filter(|l| l.kind == link::Kind::Other);
            self.own = Some((now, own.map(|l| Mac(l.mac)).collect()));
        }
        // A machine with two interfaces on one link answers with both.
        let own = self.own.as_ref().map_or(&[][..], |(_, own)| own);
        for said in said.iter().filter(|said| !own.contains(&said.mac)) {
            self.table.heard(said, now);
        }
    }

    fn act(&mut self) {
        let acts = self.table.due(clock::now());
        let links = if acts.is_empty() { Vec::new() } else { links() };
        for act in acts {
            match act {
                Act::Probe { addr, dev } => {
                    if let Some(sockets) = &self.sockets
                        && let Some(out) = below(&links, dev.as_str())
                    {
                        let frame = Probe { mac: out.mac, addr }.emit();
                        // Down or gone: the next time, perhaps.
                        _ = sockets.speak.send(out.index, &frame);
                    }
                }
                Act::Tell(claimed) => tracing::warn!(
                    "({}) {} is on another machine, too: {} answers ARP for it",
                    claimed.instance,
                    claimed.addr,
                    claimed.mac
                ),
                Act::Ended(claimed) => tracing::info!(
                    "({}) {} is on this machine only: {} answers no more",
                    claimed.instance,
                    claimed.addr,
                    claimed.mac
                ),
            }
        }
    }
}

fn links() -> Vec<LinkTold> {
    link::list().unwrap_or_else(|e: io::Error| {
        tracing::debug!(reason = %e, "unable to list the network interfaces");
        Vec::new()
    })
}

/// Where a question about an address on that interface goes out: an address on a VMAC is asked for below it.
fn below<'a>(links: &'a [LinkTold], name: &str) -> Option<&'a LinkTold> {
    let link = links.iter().find(|l| l.name == *name)?;
    match link.kind {
        link::Kind::Other => Some(link),
        link::Kind::Macvlan { .. } | link::Kind::Ipvlan { .. } => {
            links.iter().find(|l| l.index == link.base)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::global::Global;
    use crate::model::net::{IfName, VirtualAddress};
    use crate::model::vrrp::Vrid;

    #[test]
    fn whoever_cannot_listen_tries_again_later() {
        let mut claims = Claims::default();
        let unasked = || -> io::Result<Sockets> { panic!("this is not the time") };
        let denied = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        // There is nothing to listen for.
        claims.listen_at(Mono::ZERO, unasked);
        let eth0 = IfName::new("eth0").expect("a name");
        let vrid = Vrid(1.try_into().expect("not zero"));
        let mut instance = Instance::new("V", eth0.clone(), vrid, &Global::default());
        let addr = VirtualAddress::new([10, 0, 0, 100].into(), 24, eth0);
        instance.addresses = [addr.into()].into();
        claims.table.master(&Arc::new(instance), Mono::ZERO);
        claims.listen_at(Mono::ZERO, denied);
        let again = Mono::ZERO + DEAF_FOR;
        assert_eq!(claims.deaf, Some(again));
        claims.listen_at(again - Duration::from_micros(1), unasked);
        claims.listen_at(again, denied);
        assert_eq!(claims.deaf, Some(again + DEAF_FOR));
        claims.table.gone("V");
        claims.listen_at(again, unasked);
        assert_eq!(claims.deaf, None, "the next master begins anew");
    }
}
