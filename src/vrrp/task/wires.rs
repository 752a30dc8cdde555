//! The raw sockets of the task: opened and closed by difference, shared by all instances on an interface.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::io;

use super::{report, terms};
use crate::sys::raw::{Device, Ears, Heard, Route, Speaker};
use crate::sys::view::View;
use crate::vrrp::{IfIndex, InterfaceFacts, Protocol, Socket};

/// An advertisement on its way.
pub(super) type Outgoing = (Socket, Route, Vec<u8>);

/// Interface, protocol, and whether IPv6: whoever agrees in these shares a socket for sending.
type Voice = (Option<IfIndex>, Protocol, bool);

fn voice(socket: &Socket) -> Voice {
    (socket.interface, socket.protocol, socket.local.is_ipv6())
}

#[derive(Debug)]
pub(super) struct Wires {
    ears: Ears,
    speakers: HashMap<Voice, Speaker>,
    wanted: BTreeSet<Socket>,
    /// Those of `wanted` that listen.
    open: BTreeSet<Socket>,
    /// Their receive buffers, where somebody asks for one.
    sizes: BTreeMap<Socket, u32>,
    /// Whose last send failed: one line is enough.
    mute: HashSet<Voice>,
    /// Whether the interfaces of our sockets run, as told last.
    running: HashMap<IfIndex, bool>,
    /// What leaves in one call, and through which socket.
    volley: Vec<(Route, Vec<u8>)>,
    volley_of: Option<Voice>,
}

impl Wires {
    /// # Errors
    /// Out of descriptors.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            ears: Ears::open()?,
            speakers: HashMap::new(),
            wanted: BTreeSet::new(),
            open: BTreeSet::new(),
            sizes: BTreeMap::new(),
            mute: HashSet::new(),
            running: HashMap::new(),
            volley: Vec::new(),
            volley_of: None,
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

    /// From now on these receive buffers, in octets.
    pub(super) fn resize(&mut self, sizes: BTreeMap<Socket, u32>) {
        for (socket, size) in &sizes {
            if self.open.contains(socket) && self.sizes.get(socket) != Some(size) {
                self.ears.resize(terms::ear(socket), *size);
            }
        }
        self.sizes = sizes;
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
            let device = device(socket.interface, view);
            if socket.interface.is_some() && device.is_none() {
                continue; // Gone; the core will hear of it.
            }
            match self.ears.add(terms::ear(&socket), device.as_ref()) {
                Ok(()) => {
                    self.open.insert(socket);
                    if let Some(size) = self.sizes.get(&socket) {
                        self.ears.resize(terms::ear(&socket), *size);
                    }
                    // The first advertisement of a takeover should not wait for this.
                    let _ = self.speaker(voice(&socket), view);
                }
                Err(e) => {
                    let iface = device.map(|device| device.name);
                    tracing::warn!(iface, addr = %socket.local, err = %e, "cannot listen");
                }
            }
        }
    }

    /// Tells the operator when an interface that we use goes down or up.
    pub(super) fn note(&mut self, facts: &InterfaceFacts) {
        let ours = |socket: &Socket| socket.interface == Some(facts.index);
        let before = self.running.insert(facts.index, facts.running);
        if before.is_some_and(|was| was != facts.running) && self.wanted.iter().any(ours) {
            report::link(&facts.name, facts.running);
        }
    }

    /// The interface is gone, and our sockets are deaf.
    pub(super) fn forget(&mut self, interface: IfIndex) {
        let deaf = |socket: &&Socket| socket.interface == Some(interface);
        for socket in self.open.iter().filter(deaf).copied().collect::<Vec<_>>() {
            self.close(socket);
        }
        self.running.remove(&interface);
        self.speakers
            .retain(|(index, ..), _| *index != Some(interface));
        self.mute.retain(|(index, ..)| *index != Some(interface));
    }

    fn close(&mut self, socket: Socket) {
        self.ears.remove(terms::ear(&socket));
        self.open.remove(&socket);
    }

    /// Sends advertisements, now or not at all, in order.
    pub(super) fn send(&mut self, adverts: &mut Vec<Outgoing>, view: &View) {
        for (socket, route, octets) in adverts.drain(..) {
            let voice = voice(&socket);
            if self.volley_of != Some(voice) {
                self.fire(view);
            }
            self.volley_of = Some(voice);
            self.volley.push((route, octets));
        }
        self.fire(view);
    }

    /// Sends what was collected for one speaker.
    fn fire(&mut self, view: &View) {
        let Some(voice) = self.volley_of.take() else {
            return;
        };
        let volley = std::mem::take(&mut self.volley);
        let mut failures = Vec::new();
        match self.speaker(voice, view) {
            Ok(speaker) => speaker.send_all(&volley, |route, e| failures.push((*route, e))),
            Err(e) => failures.extend(volley.first().map(|(route, _)| (*route, e))),
        }
        if failures.is_empty() {
            self.mute.remove(&voice);
        }
        for (route, e) in failures {
            if self.mute.insert(voice) {
                complain(voice, &route, &e, view);
            }
        }
        self.volley = volley;
        self.volley.clear();
    }

    fn speaker(&mut self, voice: Voice, view: &View) -> io::Result<&Speaker> {
        let slot = match self.speakers.entry(voice) {
            std::collections::hash_map::Entry::Occupied(slot) => return Ok(slot.into_mut()),
            std::collections::hash_map::Entry::Vacant(slot) => slot,
        };
        let (interface, protocol, v6) = voice;
        let device = device(interface, view);
        if interface.is_some() && device.is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let proto = terms::proto(protocol);
        Ok(slot.insert(Speaker::open(proto, device.as_ref(), v6)?))
    }

    /// The descriptors of an instance's sockets, for hearing and for speaking.
    pub(super) fn fds(&self, socket: &Socket) -> Option<(i32, i32)> {
        let ear = self.ears.fd(terms::ear(socket))?;
        Some((ear, self.speakers.get(&voice(socket))?.fd()))
    }

    /// Waits until a packet may be there. Cancel safe.
    pub(super) async fn readable(&self) {
        if self.ears.readable().await.is_err() {
            std::future::pending().await // The runtime ends.
        }
    }

    /// Whether packets are there now.
    pub(super) fn has_more(&mut self) -> bool {
        self.ears.has_more()
    }

    /// Takes a bounded number of packets.
    pub(super) fn turn(&mut self, heard: &mut VecDeque<Heard>) {
        self.ears.turn(heard);
    }
}

fn complain(voice: Voice, route: &Route, e: &io::Error, view: &View) {
    let (interface, ..) = voice;
    let iface = interface.and_then(|index| view.name_of(index.0));
    let dst = route.dst;
    let down = matches!(
        e.raw_os_error(),
        Some(libc::ENETDOWN | libc::ENETUNREACH | libc::ENODEV | libc::ENXIO)
    );
    // A link that is down is told of as such, by the core.
    if down {
        tracing::debug!(iface, %dst, err = %e, "cannot send advertisements");
    } else {
        tracing::warn!(iface, %dst, err = %e, "cannot send advertisements");
    }
}

fn device(interface: Option<IfIndex>, view: &View) -> Option<Device> {
    let index = interface?.0;
    let name = view.name_of(index)?.to_owned();
    Some(Device { index, name })
}
