//! Test LAN: N routers on one simulated network with latency, loss, partition, links, scripts and freezes. The clock
//! jumps from deadline to deadline; every random choice comes from the seed.
//!
//! After every event it checks what must always hold: the members of a group agree, addresses are wanted exactly while
//! MASTER, only a master speaks, nothing that is due stays undone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::Release;
use crate::model::Config;
use crate::model::net::IfName;
use crate::time::Mono;

use super::instance::State;
use super::router::Router;
use super::{Action, Event, Frame, IfIndex, InstanceId, Packet};

mod chaos;
mod node;
mod pauses;
mod shape;
mod stories;

use self::node::Node;

/// What a right wall clock shows at the origin of our own.
const DAY: Duration = Duration::from_secs(1_795_260_000);
/// Packets that wait in the socket of a frozen router; more are lost.
const SOCKET: usize = 100;

/// A broken promise, in words.
type Outcome = Result<(), String>;

/// SplitMix64.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    /// 0..n
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn up_to(&mut self, span: Duration) -> Duration {
        let micros = u64::try_from(span.as_micros()).expect("a short span");
        Duration::from_micros(self.below(micros + 1))
    }
}

/// Something on its way.
#[derive(Debug)]
enum Parcel {
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

/// See the module.
struct Lab {
    now: Mono,
    nodes: Vec<Node>,
    dice: Dice,
    /// Propagation of a packet, at most.
    latency: Duration,
    /// Packets that are lost, in percent.
    loss: u64,
    /// How long the kernel takes for a change, at most.
    kernel: Duration,
    parcels: BTreeMap<(Mono, u64), Parcel>,
    sequence: u64,
    /// The virtual routers, by the name of their instances, and since when each has two masters.
    routers: Vec<String>,
    crowded_since: Vec<Option<Mono>>,
    /// Longest time with two masters; `None`: faults happen, nothing is promised.
    crowd_limit: Option<Duration>,
    /// From then on every virtual router has a master.
    master_from: Mono,
    /// Nobody with `nopreempt` takes over while there is a master.
    calm: bool,
    /// A router catches up with its socket; what is due comes after that.
    waking: bool,
    trace: Option<Vec<String>>,
}

impl Lab {
    /// A LAN without loss whose packets take up to 1 ms, and kernels that take up to 1 ms. `trace`: remember what
    /// happens.
    fn new(seed: u64, routers: Vec<String>, trace: bool) -> Self {
        Self {
            now: Mono::from_micros(1_000_000),
            nodes: Vec::new(),
            dice: Dice(seed),
            latency: Duration::from_millis(1),
            loss: 0,
            kernel: Duration::from_millis(1),
            parcels: BTreeMap::new(),
            sequence: 0,
            crowded_since: vec![None; routers.len()],
            routers,
            crowd_limit: None,
            master_from: Mono::NEVER,
            calm: false,
            waking: false,
            trace: trace.then(Vec::new),
        }
    }

    /// Adds a machine with 10.0.0.n and fe80::n, n from 1 on; [`Lab::start`] makes it run.
    fn add(&mut self, config: Config) -> usize {
        let n = u8::try_from(self.nodes.len() + 1).expect("a small LAN");
        self.nodes.push(Node::new(n, config, self.routers.len()));
        self.nodes.len() - 1
    }

    /// Starts a daemon on node `n`, anew if one was running: whatever ran there is gone without a word.
    fn start(&mut self, n: usize) -> Outcome {
        let node = &mut self.nodes[n];
        node.router = Router::new();
        node.life += 1;
        node.alive = true;
        node.frozen = false;
        node.socket.clear();
        node.held.clear();
        node.doubts.fill(false);
        node.told_of.clear();
        let config = node.config.clone();
        let wall = DAY + node.clock;
        self.event(n, Event::WallClock(wall))?;
        self.tell_links(n)?;
        self.event(n, Event::Apply(config))?;
        self.tell_trackers(n)
    }

    fn awake(&self, n: usize) -> bool {
        self.nodes[n].alive && !self.nodes[n].frozen
    }

    /// What there is of interfaces, and what is not any more.
    fn tell_links(&mut self, n: usize) -> Outcome {
        if !self.awake(n) {
            return Ok(());
        }
        let links = self.nodes[n].links();
        let now: BTreeSet<IfIndex> = links.iter().map(|l| l.index).collect();
        let before = std::mem::replace(&mut self.nodes[n].told_of, now.clone());
        for gone in before.difference(&now) {
            self.event(n, Event::InterfaceGone(*gone))?;
        }
        for link in links {
            self.event(n, Event::Interface(Arc::new(link)))?;
        }
        Ok(())
    }

    fn tell_trackers(&mut self, n: usize) -> Outcome {
        if !self.awake(n) {
            return Ok(());
        }
        for update in self.nodes[n].trackers.updates() {
            self.event(n, Event::Tracker(update))?;
        }
        Ok(())
    }

    /// Changes what is known of node `n`'s machine, and tells its router.
    fn alter(&mut self, n: usize, change: impl FnOnce(&mut Node)) -> Outcome {
        change(&mut self.nodes[n]);
        self.tell_links(n)?;
        self.tell_trackers(n)
    }

    /// Sets its wall clock to so much ahead of the right time.
    fn set_clock(&mut self, n: usize, ahead: Duration) -> Outcome {
        self.nodes[n].clock = ahead;
        if self.awake(n) {
            return self.event(n, Event::WallClock(DAY + ahead));
        }
        Ok(())
    }

    fn crash(&mut self, n: usize) {
        self.note(|| format!("node {n} crashes"));
        self.nodes[n].alive = false;
        self.nodes[n].masters.fill(false);
        self.count_masters();
    }

    fn reload(&mut self, n: usize, config: Config) -> Outcome {
        let config = Arc::new(config);
        self.nodes[n].config = config.clone();
        if self.awake(n) {
            self.event(n, Event::Apply(config))?;
        }
        self.tell_links(n)?;
        self.tell_trackers(n)
    }

    /// SIGSTOP.
    fn freeze(&mut self, n: usize) {
        if self.nodes[n].alive {
            self.note(|| format!("node {n} freezes"));
            self.nodes[n].frozen = true;
            self.count_masters();
        }
    }

    /// SIGCONT after a long sleep, in which anything may have changed: what waits in the socket comes first, then what is
    /// due, then a reload.
    fn thaw(&mut self, n: usize) -> Outcome {
        if !self.nodes[n].frozen {
            return Ok(());
        }
        self.stir(n)?;
        let config = self.nodes[n].config.clone();
        let wall = DAY + self.nodes[n].clock;
        self.event(n, Event::WallClock(wall))?;
        self.tell_links(n)?;
        self.event(n, Event::Apply(config))?;
        self.tell_trackers(n)
    }

    /// SIGCONT: what waits in the socket comes first, then what is due.
    fn stir(&mut self, n: usize) -> Outcome {
        self.nodes[n].frozen = false;
        self.waking = true;
        while let Some(packet) = self.nodes[n].socket.pop_front() {
            self.hear(n, packet)?;
        }
        self.waking = false;
        self.event(n, Event::Wake)
    }

    fn stop(&mut self, n: usize) -> Outcome {
        self.event(n, Event::Stop(Release::All))?;
        self.nodes[n].masters.fill(false);
        self.count_masters();
        Ok(())
    }

    fn hear(&mut self, n: usize, packet: Packet) -> Outcome {
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

    /// The virtual router of the instances with this name.
    fn place_of(&self, name: &str) -> Option<usize> {
        self.routers.iter().position(|router| router == name)
    }

    fn run_for(&mut self, span: Duration) -> Outcome {
        self.run_until(self.now + span)
    }

    fn run_until(&mut self, until: Mono) -> Outcome {
        loop {
            let parcel_at = self
                .parcels
                .first_key_value()
                .map_or(Mono::NEVER, |((at, _), _)| *at);
            let awake = self
                .nodes
                .iter()
                .enumerate()
                .filter(|(_, n)| n.alive && !n.frozen);
            let (wake_at, sleeper) = awake
                .map(|(at, n)| (n.router.deadline(), at))
                .min()
                .unwrap_or((Mono::NEVER, 0));
            let next = parcel_at.min(wake_at);
            if next > until {
                self.now = until;
                return self.check_crowds();
            }
            self.now = self.now.max(next);
            self.check_crowds()?;
            if wake_at <= parcel_at {
                self.event(sleeper, Event::Wake)?;
            } else if let Some((_, parcel)) = self.parcels.pop_first() {
                self.deliver(parcel)?;
            }
        }
    }

    fn deliver(&mut self, parcel: Parcel) -> Outcome {
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

    /// Hands an event to node `n` and carries out what it asks for.
    fn event(&mut self, n: usize, event: Event) -> Outcome {
        if self.trace.is_some() {
            let line = format!("node {n} <- {event:?}");
            self.note(|| line);
        }
        let actions = self.nodes[n].router.on_event(self.now, event);
        for action in actions {
            if self.trace.is_some() {
                let line = format!("node {n} -> {action:?}");
                self.note(|| line);
            }
            self.execute(n, action)?;
        }
        self.check(n)
    }

    fn execute(&mut self, n: usize, action: Action) -> Outcome {
        match action {
            Action::SendAdvert {
                src,
                dst,
                hop_limit,
                octets,
                ..
            } => self.send(n, src, dst, hop_limit, octets),
            Action::SendFrame { octets, .. } => {
                let node = &mut self.nodes[n];
                node.garps += 1;
                // Unicast may say where it is itself, which is no virtual address.
                let own = |(addr, _): &(IpAddr, u8)| match addr {
                    IpAddr::V4(addr) => octets.get(38..42) == Some(&addr.octets()[..]),
                    IpAddr::V6(addr) => octets.get(62..78) == Some(&addr.octets()[..]),
                };
                let mut all = node.router.instances.iter();
                let any = all.any(|i| matches!(i.state, State::Master(_)));
                if !any && !node.facts.addrs.iter().any(own) {
                    return Err(format!("node {n} announces addresses as no master"));
                }
            }
            Action::Converge(id) => {
                // The kernel works in order: nothing is answered before what was asked for earlier.
                let last = self.parcels.iter().rev().find_map(|((at, _), p)| {
                    matches!(p, Parcel::Converged { node, .. } if *node == n).then_some(*at)
                });
                let done =
                    (self.now + self.dice.up_to(self.kernel)).max(last.unwrap_or(Mono::ZERO));
                let life = self.nodes[n].life;
                self.post(done, Parcel::Converged { node: n, life, id });
            }
            Action::Notice(notice) => self.nodes[n].notices.push(notice),
            Action::Listen | Action::Report(_) => {}
        }
        Ok(())
    }

    fn post(&mut self, at: Mono, parcel: Parcel) {
        self.sequence += 1;
        self.parcels.insert((at, self.sequence), parcel);
    }

    fn send(
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

    /// What must hold after every event at node `n`.
    fn check(&mut self, n: usize) -> Outcome {
        let router = &self.nodes[n].router;
        if router.deadline() < self.now && !self.waking {
            return Err(format!(
                "node {n} leaves undone what was due at {:?}",
                router.deadline()
            ));
        }
        for unit in &router.units {
            let mut states = unit
                .members
                .iter()
                .filter_map(|id| router.instances.get(*id))
                .map(|i| i.named());
            let first = states.next();
            if states.any(|state| Some(state) != first) {
                return Err(format!("node {n}: members of {unit:?} disagree"));
            }
        }
        let mut now = vec![false; self.routers.len()];
        for instance in router.instances.iter() {
            let master = matches!(instance.state, State::Master(_));
            if router.desired(instance.id).addresses.is_empty() == master {
                return Err(format!(
                    "node {n}: {} wants the wrong addresses",
                    instance.model.name
                ));
            }
            let name = &instance.model.name;
            if let Some(at) = self.place_of(name) {
                now[at] = master;
                let took = master && !self.nodes[n].masters[at];
                let others = || (0..self.nodes.len()).any(|o| o != n && self.is_master(o, at));
                // Nobody can tell the numbers of a router that lost its memory in a crash from a replay: with an
                // authentication header its adverts are refused, here and in keepalived, until it has heard a higher one.
                let deaf = self.nodes[n].doubts[at];
                if took && self.calm && !instance.model.preempt && !deaf && others() {
                    return Err(format!(
                        "node {n} takes virtual router {name} from a live master in spite of nopreempt"
                    ));
                }
            }
        }
        if self.nodes[n].masters != now {
            self.nodes[n].masters = now;
            self.count_masters();
        }
        Ok(())
    }

    fn is_master(&self, n: usize, at: usize) -> bool {
        let node = &self.nodes[n];
        node.alive && !node.frozen && node.masters[at]
    }

    /// How many masters the virtual router at this place has.
    fn masters_of(&self, at: usize) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|n| self.is_master(*n, at))
            .collect()
    }

    fn count_masters(&mut self) {
        for at in 0..self.routers.len() {
            let crowded = self.masters_of(at).len() > 1;
            self.crowded_since[at] = match (crowded, self.crowded_since[at]) {
                (true, None) => Some(self.now),
                (true, since) => since,
                (false, _) => None,
            };
        }
    }

    /// From now on the network is whole: no more than `limit` with two masters.
    fn promise(&mut self, limit: Duration) {
        self.crowd_limit = Some(limit);
        for since in self.crowded_since.iter_mut().flatten() {
            *since = self.now;
        }
    }

    fn check_crowds(&self) -> Outcome {
        let Some(limit) = self.crowd_limit else {
            return Ok(());
        };
        for (at, since) in self.crowded_since.iter().enumerate() {
            let long = since.map(|s| self.now.since(s)).unwrap_or_default();
            if long > limit {
                return Err(format!(
                    "virtual router {} has two masters for {long:?}",
                    self.routers[at]
                ));
            }
            if self.now >= self.master_from && self.masters_of(at).is_empty() {
                return Err(format!("virtual router {} has no master", self.routers[at]));
            }
        }
        Ok(())
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let micros = self.now.as_micros();
            trace.push(format!(
                "{}.{:06} {}",
                micros / 1_000_000,
                micros % 1_000_000,
                line()
            ));
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

fn eth0() -> IfName {
    IfName::new("eth0").expect("a name")
}

fn eth1() -> IfName {
    IfName::new("eth1").expect("a name")
}
