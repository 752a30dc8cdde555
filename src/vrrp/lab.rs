//! Test LAN: N routers on one simulated network with latency, loss, partition, links, scripts and freezes. The clock
//! jumps from deadline to deadline; every random choice comes from the seed.
//!
//! Here is what happens to the machines; how packets travel is in `network`, what must hold meanwhile in `promises`.

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
use super::{Action, Event, IfIndex};

mod chaos;
mod dice;
mod network;
mod node;
mod pauses;
mod promises;
mod shape;
mod stories;

use self::dice::Dice;
use self::network::Parcel;
use self::node::Node;

/// What a right wall clock shows at the origin of our own.
const DAY: Duration = Duration::from_secs(1_795_260_000);
/// Packets that wait in the socket of a frozen router; more are lost.
const SOCKET: usize = 100;

/// A broken promise, in words.
type Outcome = Result<(), String>;

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

fn eth0() -> IfName {
    IfName::new("eth0").expect("a name")
}

fn eth1() -> IfName {
    IfName::new("eth1").expect("a name")
}
