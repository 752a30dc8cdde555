//! The wires of the simulated LAN and the kernels at their ends: packets that take their time or get lost, and addresses that
//! are there a while after they were asked for.
//!
//! Knows no configuration, and of a packet only what a switch has to.

use std::net::IpAddr;
use std::time::Duration;

use super::{Lab, Outcome, SOCKET};
use crate::time::Mono;
use crate::vrrp::{Event, Frame, InstanceId, Packet};

/// Something on its way.
#[derive(Debug)]
pub(super) enum Parcel {
    Packet {
        to: usize,
        packet: Packet,
    },
    Converged {
        node: usize,
        life: u32,
        id: InstanceId,
    },
}

impl Lab {
    pub(super) fn hear(&mut self, n: usize, packet: Packet) -> Outcome {
        // What each instance has heard, and what of that it did not believe.
        let heard = |lab: &Self| -> Vec<(String, u64, u64)> {
            let all = lab.nodes[n].router.instances.iter();
            let counted = all.map(|i| {
                let counters = i.counters.all();
                let refused = counters.auth_failures;
                (i.model.name.to_string(), counters.advert_received, refused)
            });
            counted.collect()
        };
        let before = heard(self);
        for socket in self.nodes[n].ears(&packet) {
            let packet = packet.clone();
            self.event(n, Event::Heard(Frame { socket, packet }))?;
        }
        for (was, is) in before.iter().zip(heard(self)) {
            if let Some(at) = self.place_of(&is.0).filter(|_| *was != is) {
                self.nodes[n].doubts[at] = is.2 > was.2;
            }
        }
        Ok(())
    }

    pub(super) fn deliver(&mut self, parcel: Parcel) -> Outcome {
        match parcel {
            Parcel::Packet { to, packet } => {
                let node = &mut self.nodes[to];
                if !node.alive || !node.connected() {
                    Ok(())
                } else if node.frozen {
                    if node.socket.len() < SOCKET {
                        node.socket.push_back(packet);
                    }
                    Ok(())
                } else {
                    self.hear(to, packet)
                }
            }
            Parcel::Converged { node, life, id } => {
                let there = &self.nodes[node];
                if !there.alive || there.life != life {
                    Ok(())
                } else if there.frozen {
                    let later = self.now + Duration::from_millis(10);
                    self.post(later, Parcel::Converged { node, life, id });
                    Ok(())
                } else {
                    let desired = self.nodes[node].router.desired(id).addresses;
                    self.nodes[node].held.insert(id, desired);
                    self.event(node, Event::Converged(id))
                }
            }
        }
    }

    pub(super) fn post(&mut self, at: Mono, parcel: Parcel) {
        self.sequence += 1;
        self.parcels.insert((at, self.sequence), parcel);
    }

    pub(super) fn send(
        &mut self,
        from: usize,
        src: IpAddr,
        dst: IpAddr,
        hop_limit: Option<u8>,
        octets: Vec<u8>,
    ) {
        let packet = match (src, dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => Packet::V6 {
                src,
                dst,
                hop_limit: hop_limit.unwrap_or(if dst.is_multicast() { 255 } else { 64 }),
                payload: octets,
            },
            (IpAddr::V4(_), _) | (IpAddr::V6(_), IpAddr::V4(_)) => Packet::V4(octets),
        };
        let [_, vrid, priority] = start_of_pdu(&packet);
        let sent = (self.now, vrid, priority);
        self.nodes[from].sent.push(sent);
        if !self.nodes[from].connected() {
            return;
        }
        for to in 0..self.nodes.len() {
            let there = &self.nodes[to];
            let meant = dst.is_multicast() || there.facts.addrs.iter().any(|(a, _)| *a == dst);
            let heard = to != from && meant && there.side == self.nodes[from].side;
            if heard && self.dice.below(100) >= self.loss {
                let at = self.now + self.dice.up_to(self.latency);
                let packet = packet.clone();
                self.post(at, Parcel::Packet { to, packet });
            }
        }
    }
}

/// Version and type, VRID, priority.
fn start_of_pdu(packet: &Packet) -> [u8; 3] {
    let pdu = match packet {
        Packet::V4(octets) if octets[9] == crate::wire::ip::AH => &octets[44..],
        Packet::V4(octets) => &octets[20..],
        Packet::V6 { payload, .. } => payload,
    };
    *pdu.first_chunk().expect("an advertisement")
}
