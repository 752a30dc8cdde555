//! Which sockets the router listens on, with which buffers, and which instance a packet is for.
//!
//! Knows nothing of what is in a packet but its virtual router and its sender.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Router;
use crate::model::Config;
use crate::model::auth::Auth;
use crate::model::process::PacketBuffer;
use crate::vrrp::instance::Instance;
use crate::vrrp::receive::Arrival;
use crate::vrrp::{Action, IfIndex, InstanceId, Report, Socket};

/// Instances from which on a socket gets a larger buffer than the kernel's usual one, which holds some 277 packets: less than
/// two advertisements of 140 masters, which may all speak in the same instant.
const CROWD: u32 = 138;
/// Octets of buffer for each of a crowd: four advertisements, of 768 octets as the kernel counts, which doubles what it is
/// asked for.
const ROOM: u32 = 4 * 768 / 2;

impl Router {
    /// Computes anew which packets are whose; asks for other sockets if these have changed.
    pub(in crate::vrrp) fn listen(&mut self, out: &mut Vec<Action>) {
        let signs = |i: &Instance| matches!(i.model.auth, Auth::Hmac(_));
        self.signs = self.instances.iter().any(signs);
        let before = self.sockets();
        self.listeners.clear();
        for i in self.instances.iter() {
            if let Some(socket) = i.socket() {
                let all = self.listeners.entry(socket).or_default();
                all.push((i.model.vrid.0.get(), i.id));
            }
        }
        for all in self.listeners.values_mut() {
            all.sort_unstable();
            all.shrink_to_fit();
        }
        if self.sockets() != before {
            out.push(Action::Listen);
        }
    }

    /// The instance a packet is for: of several, the one that has the sender as a peer, or else the first.
    pub(super) fn listener(&self, socket: &Socket, vrid: u8, src: IpAddr) -> Option<InstanceId> {
        let all = self.listeners.get(socket)?;
        let from = all.partition_point(|(of, _)| *of < vrid);
        let len = all[from..].partition_point(|(of, _)| *of == vrid);
        let knows = |(_, id): &&(u8, InstanceId)| {
            let model = self.instances.get(*id).map(|i| &i.model);
            let unicast = model.and_then(|m| m.unicast.as_ref());
            unicast.is_some_and(|u| u.peers.iter().any(|p| p.addr == src))
        };
        match &all[from..from + len] {
            [] => None,
            [(_, id)] => Some(*id),
            several @ [first, ..] => Some(several.iter().find(knows).unwrap_or(first).1),
        }
    }

    /// `log_unknown_vrids`.
    pub(super) fn note_stranger(
        &mut self,
        interface: Option<IfIndex>,
        arrival: &Arrival<'_>,
        out: &mut Vec<Action>,
    ) {
        let told = |c: &Arc<Config>| c.global.log_unknown_vrids;
        let vrid = arrival.header.vrid;
        if self.config.as_ref().is_some_and(told) && self.strangers.insert((interface, vrid)) {
            out.push(Action::Report(Report::UnknownVrid {
                interface,
                vrid,
                from: arrival.src,
            }));
        }
    }

    /// What must be listened to, sorted, each once. Changes are announced by [`Action::Listen`].
    pub(crate) fn sockets(&self) -> Vec<Socket> {
        self.listeners.keys().copied().collect()
    }

    /// The receive buffers that sockets need, in octets, where that is not what the kernel gives anyway: those of all
    /// instances that share a socket together. keepalived: `kernel_rx_buf_size`, else `vrrp_rx_bufs_policy`, else the
    /// kernel's own, whatever number of instances there is.
    pub(crate) fn buffers(&self) -> BTreeMap<Socket, u32> {
        let mut sizes = BTreeMap::new();
        let Some(buffers) = self.config.as_ref().map(|c| &c.global.process.buffers) else {
            return sizes;
        };
        for (socket, all) in &self.listeners {
            let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
            if count > CROWD {
                sizes.insert(*socket, count.saturating_mul(ROOM));
            }
        }
        let mut asked: BTreeMap<Socket, u32> = BTreeMap::new();
        for instance in self.instances.iter() {
            let Some(socket) = instance.socket() else {
                continue;
            };
            let times = |octets: u32| octets.saturating_mul(buffers.vrrp_packets_multiplier);
            let by_policy = match buffers.vrrp_packets {
                PacketBuffer::System => None,
                PacketBuffer::Octets(n) => Some(n),
                PacketBuffer::Mtu => {
                    let facts = instance
                        .model
                        .voice()
                        .and_then(|name| self.world.facts(name));
                    facts.map(|facts| times(facts.mtu))
                }
                PacketBuffer::Advert => instance.template.as_ref().map(|t| times(t.len())),
            };
            if let Some(size) = instance.model.rx_buffer.or(by_policy) {
                let sum = asked.entry(socket).or_default();
                *sum = sum.saturating_add(size);
            }
        }
        sizes.extend(asked);
        sizes
    }
}
