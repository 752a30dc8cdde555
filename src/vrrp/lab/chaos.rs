//! Random networks, random faults, then peace: what must hold for every seed.
//!
//! `KEEPALIVED_LAB_SEEDS`: how many seeds (default 5,000). `KEEPALIVED_LAB_SEED`: run this one only.

use std::sync::Arc;
use std::time::Duration;

use super::node::Trackers;
use super::shape::{Proof, Shape};
use super::*;
use crate::daemon::bus::{Notice, VrrpState};
use crate::vrrp::InterfaceFacts;

/// One random story. The trace is empty unless asked for.
fn story(seed: u64, trace: bool) -> (Outcome, Vec<String>) {
    let mut dice = Dice(seed);
    let shape = Shape::random(&mut dice);
    let mut lab = Lab::new(dice.below(u64::MAX), shape.routers(), trace);
    lab.latency = dice.up_to((shape.interval / 20).min(Duration::from_millis(5)));
    lab.kernel = dice.up_to(shape.interval / 4);
    for n in 1..=2 + u8::try_from(dice.below(3)).expect("small") {
        let config = shape.config(n, &mut dice);
        let n = lab.add(config);
        lab.nodes[n].clock = dice.up_to(shape.window() / 10);
    }
    if trace {
        lab.note(|| format!("{shape:?}"));
    }
    let outcome = play(&mut lab, &shape, &mut dice);
    (outcome, lab.trace.unwrap_or_default())
}

fn play(lab: &mut Lab, shape: &Shape, dice: &mut Dice) -> Outcome {
    let intended: Vec<Arc<Config>> = lab.nodes.iter().map(|n| n.config.clone()).collect();
    let clocks: Vec<Duration> = lab.nodes.iter().map(|n| n.clock).collect();
    let facts: Vec<InterfaceFacts> = lab.nodes.iter().map(|n| n.facts.clone()).collect();
    for n in 0..lab.nodes.len() {
        lab.start(n)?;
        lab.run_for(dice.up_to(shape.interval))?;
    }
    for _ in 0..dice.below(24) {
        lab.run_for(dice.up_to(shape.interval * 5))?;
        mischief(lab, shape, dice)?;
    }
    lab.run_for(dice.up_to(shape.interval * 5))?;

    lab.loss = 0;
    for (n, config) in intended.iter().enumerate() {
        lab.nodes[n].side = 0;
        lab.thaw(n)?;
        if lab.nodes[n].alive {
            lab.reload(n, Config::clone(config))?;
        } else {
            lab.nodes[n].config = config.clone();
            lab.start(n)?;
        }
        lab.set_clock(n, clocks[n])?;
        lab.alter(n, |node| {
            node.plugged = true;
            node.trackers = Trackers::default();
            node.facts = InterfaceFacts {
                index: node.facts.index,
                ..facts[n].clone()
            };
        })?;
    }
    if let Proof::Hmac { .. } = shape.proof {
        // What was signed by a wrong clock is remembered until it is out of every window.
        lab.run_for(shape.window() * 3)?;
    }
    let slack = lab.latency * 3 + Duration::from_micros(1);
    // Whose sequence number is behind has to hear the other one before he can be heard; so has who has to be told in which
    // form to speak.
    let twice = shape.lower_prio_no_advert && !matches!(shape.proof, Proof::None | Proof::Pass);
    lab.run_until(lab.now.max(shape.booted_at))?;
    lab.promise(shape.interval * if twice { 2 } else { 1 } + slack);
    lab.run_for(shape.startup_delay + shape.down() + slack)?;
    lab.master_from = lab.now;
    lab.check_crowds()?;
    lab.calm = true;
    lab.run_for(shape.down() * 2 + shape.interval * 6)?;
    judge(lab)
}

/// One random fault, or the end of one.
fn mischief(lab: &mut Lab, shape: &Shape, dice: &mut Dice) -> Outcome {
    let n = usize::try_from(dice.below(lab.nodes.len() as u64)).expect("small");
    match dice.below(18) {
        10 => {
            let number = i32::try_from(dice.below(5)).expect("small") - 2;
            lab.alter(n, |node| node.trackers.file = number)
        }
        11 => {
            let good = dice.one_in(2);
            lab.alter(n, |node| node.trackers.process = good)
        }
        12 => {
            let up = dice.one_in(2);
            lab.alter(n, |node| node.trackers.bfd = up)
        }
        13 => {
            let up = dice.one_in(2);
            lab.alter(n, |node| node.trackers.spare = up)
        }
        14 => {
            // Pulled out, or back as another one.
            let plugged = dice.one_in(2);
            lab.alter(n, |node| {
                if plugged && !node.plugged {
                    node.facts.index.0 += 10;
                    node.facts.mac[3] += 1;
                }
                node.plugged = plugged;
            })
        }
        15 => {
            let name = if dice.one_in(2) { eth0() } else { eth2() };
            lab.alter(n, |node| node.facts.name = name)
        }
        16 => {
            let addrs = dice.one_in(2);
            let mtu = [1500, 576, 1280, 9000][usize::try_from(dice.below(4)).expect("small")];
            lab.alter(n, |node| {
                node.facts.mtu = mtu;
                if !addrs {
                    node.facts.addrs.clear();
                }
            })
        }
        17 if shape.clocks_may_jump() => {
            let ahead = dice.up_to(shape.window() * 3);
            lab.set_clock(n, ahead)
        }
        0 => {
            for node in &mut lab.nodes {
                node.side = u8::try_from(dice.below(2)).expect("small");
            }
            Ok(())
        }
        1 => lab.alter(n, |node| node.facts.running = false),
        2 => lab.alter(n, |node| node.facts.running = true),
        3 => {
            let good = dice.one_in(2);
            lab.alter(n, |node| node.trackers.script = good)
        }
        4 => {
            lab.crash(n);
            Ok(())
        }
        5 => lab.start(n),
        6 => {
            lab.freeze(n);
            Ok(())
        }
        7 => lab.thaw(n),
        8 => {
            let mut config = shape.config(u8::try_from(n + 1).expect("small"), dice);
            for instance in &mut config.instances {
                if shape.is_multicast() && dice.one_in(8) {
                    Arc::make_mut(instance).mcast_group = shape.another_group();
                }
            }
            if dice.one_in(3) {
                let gone = config.instances.pop();
                config.groups.clear();
                config
                    .instances
                    .extend(gone.filter(|_| config.instances.is_empty()));
            }
            lab.reload(n, config)
        }
        _ => {
            lab.loss = dice.below(60);
            let node = &lab.nodes[n];
            let lost = node
                .router
                .instances
                .iter()
                .find(|i| matches!(i.state, State::Master(_)));
            match lost.map(|i| (i.id, i.model.addresses[0].clone())) {
                Some((instance, addr)) if node.alive && !node.frozen => lab.event(
                    n,
                    Event::Lost {
                        instance,
                        entry: crate::vrrp::Lost::Address(addr),
                        by: "somebody".into(),
                    },
                ),
                Some(_) | None => Ok(()),
            }
        }
    }
}

fn eth2() -> IfName {
    IfName::new("eth2").expect("a name")
}

/// The state of things when all is quiet.
fn judge(lab: &Lab) -> Outcome {
    for (at, name) in lab.routers.iter().enumerate() {
        let masters = lab.masters_of(at);
        let &[master] = &masters[..] else {
            return Err(format!("virtual router {name} has the masters {masters:?}"));
        };
        let model = |n: usize| {
            lab.nodes[n]
                .router
                .instances
                .iter()
                .find(|i| *i.model.name == **name)
        };
        let preempts = |n: usize| model(n).is_none_or(|i| i.model.preempt && !i.model.is_owner());
        let grouped = lab
            .nodes
            .iter()
            .any(|n| n.router.units.iter().any(|u| u.group.is_some()));
        if !grouped && (0..lab.nodes.len()).all(preempts) {
            let rank = |n: &usize| model(*n).map(|i| i.priority());
            let best = (0..lab.nodes.len()).filter_map(|n| rank(&n)).max();
            if rank(&master) != best {
                return Err(format!(
                    "virtual router {name}: node {master} is master, but not the best"
                ));
            }
        }
    }
    for (n, node) in lab.nodes.iter().enumerate() {
        for (id, held) in &node.held {
            if *held != node.router.desired(*id).addresses {
                return Err(format!("node {n}: the kernel holds {held:?} for {id:?}"));
            }
        }
        for instance in node.router.instances.iter() {
            let told = node.notices.iter().rev().find_map(|notice| match notice {
                Notice::Instance {
                    instance: i, state, ..
                } if i.name == instance.model.name => Some(*state),
                Notice::Instance { .. }
                | Notice::Group { .. }
                | Notice::LowerPriorityHeard { .. }
                | Notice::PriorityChanged { .. }
                | Notice::ServerMail { .. }
                | Notice::RealServer { .. }
                | Notice::VirtualServer { .. } => None,
            });
            if told != Some(instance.named()) {
                return Err(format!(
                    "node {n}: {} is {:?}, told was {told:?}",
                    instance.model.name,
                    instance.named()
                ));
            }
            if instance.converging != 0 {
                return Err(format!(
                    "node {n}: {} waits for the kernel",
                    instance.model.name
                ));
            }
            if instance.named() == VrrpState::Fault {
                return Err(format!(
                    "node {n}: {} is in FAULT: {:?}",
                    instance.model.name, instance.standing
                ));
            }
        }
    }
    Ok(())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_network_comes_to_rest_with_one_master() {
    let seeds = match number("KEEPALIVED_LAB_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KEEPALIVED_LAB_SEEDS").unwrap_or(5_000),
    };
    for seed in seeds {
        if let (Err(_), _) = story(seed, false) {
            let (outcome, trace) = story(seed, true);
            let from = trace.len().saturating_sub(400);
            panic!("seed {seed}: {outcome:?}\n{}", trace[from..].join("\n"));
        }
    }
}
