//! A machine of the laboratory: its router, its interfaces, its trackers, and what it was heard to say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::{Notice, TrackerUpdate};
use crate::model::Config;
use crate::model::net::VirtualAddress;
use crate::time::Mono;
use crate::vrrp::router::Router;
use crate::vrrp::{IfIndex, InstanceId, InterfaceFacts, Packet, Protocol, Socket};

use super::{eth0, eth1};

const ETH0: IfIndex = IfIndex(2);
const ETH1: IfIndex = IfIndex(3);

/// What a machine's trackers say. The default is a healthy one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trackers {
    pub(super) script: bool,
    /// The number in the file.
    pub(super) file: i32,
    pub(super) process: bool,
    pub(super) bfd: bool,
    /// eth1 is up; it only is tracked.
    pub(super) spare: bool,
}

impl Default for Trackers {
    fn default() -> Self {
        Self {
            script: true,
            file: 0,
            process: true,
            bfd: true,
            spare: true,
        }
    }
}

impl Trackers {
    pub(super) fn updates(self) -> [TrackerUpdate; 4] {
        [
            TrackerUpdate::File {
                name: "number".into(),
                value: self.file,
            },
            TrackerUpdate::Process {
                name: "worker".into(),
                good: self.process,
            },
            TrackerUpdate::Bfd {
                name: "path".into(),
                up: self.bfd,
            },
            TrackerUpdate::Script {
                name: "chk".into(),
                good: self.script,
            },
        ]
    }
}

/// One router and its machine.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) router: Router,
    pub(super) config: Arc<Config>,
    /// Its interface; whatever it is called for the moment.
    pub(super) facts: InterfaceFacts,
    pub(super) plugged: bool,
    pub(super) trackers: Trackers,
    /// Interfaces that the router was told of.
    pub(super) told_of: BTreeSet<IfIndex>,
    /// How far its wall clock is ahead of the right time.
    pub(super) clock: Duration,
    /// A crashed one neither hears nor speaks, and holds nothing.
    pub(super) alive: bool,
    pub(super) frozen: bool,
    pub(super) socket: VecDeque<Packet>,
    /// Only nodes on the same side hear each other.
    pub(super) side: u8,
    /// Which of the lab's virtual routers it is MASTER of.
    pub(super) masters: Vec<bool>,
    /// The last advertisement for each of them was refused for its authentication.
    pub(super) doubts: Vec<bool>,
    pub(super) notices: Vec<Notice>,
    /// Instant, virtual router and priority of every advertisement.
    pub(super) sent: Vec<(Mono, u8, u8)>,
    pub(super) garps: u64,
    /// What its kernel was asked to hold, by instance.
    pub(super) held: BTreeMap<InstanceId, Vec<Arc<VirtualAddress>>>,
    /// Counts restarts: an answer of the kernel to a former life is lost.
    pub(super) life: u32,
}

impl Node {
    /// The machine with 10.0.0.n and fe80::n, n from 1 on, of a network with so many virtual routers.
    pub(super) fn new(n: u8, config: Config, virtual_routers: usize) -> Self {
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n.into());
        Self {
            router: Router::new(),
            config: Arc::new(config),
            facts: InterfaceFacts {
                index: ETH0,
                name: eth0(),
                running: true,
                noarp: false,
                mtu: 1500,
                mac: [2, 0, 0, 0, 0, n],
                forwarding: false,
                addrs: vec![
                    (IpAddr::from([10, 0, 0, n]), 24),
                    (IpAddr::from(link_local), 64),
                ],
            },
            plugged: true,
            trackers: Trackers::default(),
            told_of: BTreeSet::new(),
            clock: Duration::ZERO,
            alive: false,
            frozen: false,
            socket: VecDeque::new(),
            side: 0,
            masters: vec![false; virtual_routers],
            doubts: vec![false; virtual_routers],
            notices: Vec::new(),
            sent: Vec::new(),
            garps: 0,
            held: BTreeMap::new(),
            life: 0,
        }
    }

    pub(super) fn connected(&self) -> bool {
        self.plugged && self.facts.running
    }

    /// All interfaces of the machine. Its daemon makes the VMACs, in no time.
    pub(super) fn links(&self) -> Vec<InterfaceFacts> {
        let mut links = vec![InterfaceFacts {
            index: ETH1,
            name: eth1(),
            running: self.trackers.spare,
            mac: [2, 0, 0, 0, 1, self.facts.mac[5]],
            addrs: Vec::new(),
            ..self.facts.clone()
        }];
        if self.plugged {
            links.push(self.facts.clone());
            let instances = self.config.instances.iter();
            links.extend(instances.filter_map(|i| {
                let name = i.links.own.as_ref()?.name.clone();
                let local = self.facts.addrs.iter().filter(|(addr, _)| addr.is_ipv6());
                Some(InterfaceFacts {
                    index: IfIndex(self.facts.index.0 * 100 + u32::from(i.vrid.0.get())),
                    name,
                    addrs: local.copied().collect(),
                    ..self.facts.clone()
                })
            }));
        }
        links
    }

    /// The sockets that a packet comes in through.
    pub(super) fn ears(&self, packet: &Packet) -> Vec<Socket> {
        let (dst, protocol): (IpAddr, _) = match packet {
            Packet::V4(octets) => {
                let ah = octets[9] == crate::wire::ip::AH;
                let protocol = if ah { Protocol::Ah } else { Protocol::Vrrp };
                let dst: [u8; 4] = *octets[16..].first_chunk().expect("a whole header");
                (dst.into(), protocol)
            }
            Packet::V6 { dst, .. } => ((*dst).into(), Protocol::Vrrp),
        };
        let links = self.links();
        let there = |index: &IfIndex| links.iter().any(|l| l.index == *index && *index != ETH1);
        let mut ears = self.router.sockets();
        ears.retain(|s| {
            s.local == dst && s.protocol == protocol && s.interface.as_ref().is_none_or(there)
        });
        ears
    }
}
