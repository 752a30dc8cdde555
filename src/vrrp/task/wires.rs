//! The raw sockets of the task: opened and closed by difference, shared by all instances on an interface.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::net::IpAddr;

use super::report;
use crate::sys::raw::{Device, Ears, Heard, Proto, Speaker};
use crate::sys::view::View;
use crate::vrrp::{IfIndex, InterfaceFacts, Socket};

/// VRRP's protocol number (RFC 9568 §5.1.1.4) and the place of its checksum.
const VRRP: Proto = Proto {
    number: 112,
    checksum_at: 6,
};

/// Interface and whether IPv6.
type Voice = (IfIndex, bool);

#[derive(Debug)]
pub(super) struct Wires {
    ears: Ears,
    speakers: HashMap<Voice, Speaker>,
    wanted: BTreeSet<Socket>,
    /// Those of `wanted` that listen.
    open: BTreeSet<Socket>,
    /// Whose last send failed: one line is enough.
    mute: HashSet<Voice>,
    /// Whether the interfaces of our sockets run, as told last.
    running: HashMap<IfIndex, bool>,
}

impl Wires {
    /// # Errors
    /// Out of descriptors.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            ears: Ears::open(VRRP)?,
            speakers: HashMap::new(),
            wanted: BTreeSet::new(),
            open: BTreeSet::new(),
            mute: HashSet::new(),
            running: HashMap::new(),
        })
    }

    /// From now on these sockets, and no others.
    pub(super) fn listen(&mut self, wanted: Vec<Socket>, view: &View) {
        self.wanted = wanted.into_iter().collect();
        for socket in self
            .open
            .difference(&self.wanted)
            .copied()
            .collect::<Vec<_>>()
        {
            self.close(socket);
        }
        self.retry(view);
    }

    /// Tries again to open what could not be opened, as after a change of an interface.
    pub(super) fn retry(&mut self, view: &View) {
        if self.open.len() == self.wanted.len() {
            return; // The usual case: all of them are open.
        }
        for socket in self
            .wanted
            .difference(&self.open)
            .copied()
            .collect::<Vec<_>>()
        {
            let Some(device) = device(socket.interface, view) else {
                continue; // Gone; the core will hear of it.
            };
            match self.ears.add(&device, socket.group) {
                Ok(()) => {
                    self.open.insert(socket);
                    // The first advertisement of a takeover should not wait for this.
                    let _ = self.speaker(socket.interface, socket.group.is_ipv6(), view);
                }
                Err(e) => {
                    tracing::warn!(iface = %device.name, group = %socket.group, err = %e, "cannot listen");
                }
            }
        }
    }

    /// Tells the operator when an interface that we use goes down or up.
    pub(super) fn note(&mut self, facts: &InterfaceFacts) {
        let ours = |socket: &Socket| socket.interface == facts.index;
        let before = self.running.insert(facts.index, facts.running);
        if before.is_some_and(|was| was != facts.running) && self.wanted.iter().any(ours) {
            report::link(&facts.name, facts.running);
        }
    }

    /// The interface is gone, and our sockets are deaf.
    pub(super) fn forget(&mut self, interface: IfIndex) {
        let deaf = |socket: &&Socket| socket.interface == interface;
        for socket in self.open.iter().filter(deaf).copied().collect::<Vec<_>>() {
            self.close(socket);
        }
        self.running.remove(&interface);
        for v6 in [false, true] {
            self.speakers.remove(&(interface, v6));
            self.mute.remove(&(interface, v6));
        }
    }

    fn close(&mut self, socket: Socket) {
        self.ears.remove(socket.interface.0, socket.group);
        self.open.remove(&socket);
    }

    /// Sends one advertisement, now or not at all.
    pub(super) fn send(
        &mut self,
        interface: IfIndex,
        src: IpAddr,
        dst: IpAddr,
        octets: &[u8],
        view: &View,
    ) {
        let voice = (interface, dst.is_ipv6());
        let sent = self
            .speaker(interface, dst.is_ipv6(), view)
            .and_then(|speaker| speaker.send(src, dst, octets));
        match sent {
            Ok(()) => {
                self.mute.remove(&voice);
            }
            Err(e) if self.mute.insert(voice) => {
                let iface = view.name_of(interface.0).unwrap_or_default();
                let down = matches!(
                    e.raw_os_error(),
                    Some(libc::ENETDOWN | libc::ENETUNREACH | libc::ENODEV | libc::ENXIO)
                );
                // A link that is down is told of as such, by the core.
                if down {
                    tracing::debug!(iface, dst = %dst, err = %e, "cannot send advertisements");
                } else {
                    tracing::warn!(iface, dst = %dst, err = %e, "cannot send advertisements");
                }
            }
            Err(_) => {}
        }
    }

    fn speaker(&mut self, interface: IfIndex, v6: bool, view: &View) -> io::Result<&Speaker> {
        let slot = match self.speakers.entry((interface, v6)) {
            std::collections::hash_map::Entry::Occupied(slot) => return Ok(slot.into_mut()),
            std::collections::hash_map::Entry::Vacant(slot) => slot,
        };
        let device = device(interface, view).ok_or(io::ErrorKind::NotFound)?;
        Ok(slot.insert(Speaker::open(VRRP, &device, v6)?))
    }

    /// Waits until a packet may be there. Cancel safe.
    pub(super) async fn readable(&self) {
        if self.ears.readable().await.is_err() {
            std::future::pending().await // The runtime ends.
        }
    }

    /// Takes a bounded number of packets.
    pub(super) fn turn(&mut self, heard: &mut VecDeque<Heard>) {
        self.ears.turn(heard);
    }
}

fn device(interface: IfIndex, view: &View) -> Option<Device> {
    Some(Device {
        index: interface.0,
        name: view.name_of(interface.0)?.to_owned(),
    })
}
