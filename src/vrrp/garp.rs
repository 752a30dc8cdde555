//! Gratuitous ARP and unsolicited neighbour advertisements: which are due when, and the frames.
//!
//! A [`Plan`] lives in the MASTER state and dies with it. Source: keepalived's `garp_*` keywords; RFC 9568 §6.4.1.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::net::VirtualAddress;
use crate::model::vrrp::{Garp, Instance};
use crate::time::Mono;
use crate::wire::arp::Gratuitous;
use crate::wire::ndisc::Unsolicited;

use super::world::World;
use super::{Action, InstanceId, Report};

/// The rounds that are still to come. A round announces every address once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Second burst after becoming MASTER or a change of the addresses.
    second_at: Mono,
    /// Second burst after a lower-priority master was heard.
    lower_prio_at: Mono,
    refresh_at: Mono,
    /// `garp_extra_if`: addresses on other interfaces.
    extra_at: Mono,
}

/// What to send now: rounds of all addresses, and a round of those on interfaces other than the instance's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rounds {
    pub(super) all: u32,
    pub(super) extra: bool,
}

impl Rounds {
    /// So many of all addresses.
    pub(super) fn of(all: u32) -> Self {
        Self { all, extra: false }
    }
}

impl Plan {
    /// Nothing is to come.
    pub(super) const NONE: Self = Self {
        second_at: Mono::NEVER,
        lower_prio_at: Mono::NEVER,
        refresh_at: Mono::NEVER,
        extra_at: Mono::NEVER,
    };

    /// The first burst is sent now: rounds.
    pub(super) fn start(&mut self, now: Mono, garp: &Garp) -> u32 {
        self.second_at = after(now, garp.master_delay);
        self.refresh_at = match garp.master_refresh {
            d if d.is_zero() => Mono::NEVER,
            // keepalived: the first refresh waits for the second burst too.
            d => now + garp.master_delay + d,
        };
        self.extra_at = garp.extra.map_or(Mono::NEVER, |e| now + e.interval);
        garp.master_repeat
    }

    /// A lower-priority master was heard: rounds to send now.
    pub(super) fn lower_prio(&mut self, now: Mono, garp: &Garp) -> u32 {
        if garp.lower_prio_repeat > 0 {
            self.lower_prio_at = after(now, garp.lower_prio_delay);
        }
        garp.lower_prio_repeat
    }

    /// The same with nothing before `at`.
    pub(super) fn not_before(self, at: Mono) -> Self {
        Self {
            second_at: self.second_at.max(at),
            lower_prio_at: self.lower_prio_at.max(at),
            refresh_at: self.refresh_at.max(at),
            extra_at: self.extra_at.max(at),
        }
    }

    pub(super) fn deadline(&self) -> Mono {
        let ours = self.second_at.min(self.lower_prio_at).min(self.refresh_at);
        ours.min(self.extra_at)
    }

    /// Takes what is due out of the plan: rounds to send now.
    pub(super) fn due(&mut self, now: Mono, garp: &Garp) -> Rounds {
        let mut rounds = 0;
        if self.second_at <= now {
            self.second_at = Mono::NEVER;
            rounds += garp.master_repeat;
        }
        if self.lower_prio_at <= now {
            self.lower_prio_at = Mono::NEVER;
            rounds += garp.lower_prio_repeat;
        }
        if self.refresh_at <= now {
            self.refresh_at = match garp.master_refresh {
                d if d.is_zero() => Mono::NEVER,
                d => now + d,
            };
            rounds += garp.master_refresh_repeat;
        }
        let extra = self.extra_at <= now;
        if extra {
            self.extra_at = garp.extra.map_or(Mono::NEVER, |e| now + e.interval);
        }
        Rounds { all: rounds, extra }
    }
}

fn after(now: Mono, delay: std::time::Duration) -> Mono {
    if delay.is_zero() {
        Mono::NEVER
    } else {
        now + delay
    }
}

/// Asks for `rounds` rounds: each all virtual addresses, then all excluded ones.
pub(super) fn announce(
    id: InstanceId,
    model: &Instance,
    rounds: Rounds,
    world: &World,
    out: &mut Vec<Action>,
) {
    if rounds.extra {
        let all = model.garp.extra.is_some_and(|e| e.all);
        let own = model.links.own.as_ref().filter(|link| link.is_vmac());
        // Where adverts leave, switches are reminded by them.
        let on_vmac =
            |addr: &VirtualAddress| addr.use_vmac || own.is_some_and(|link| link.name == addr.dev);
        let elsewhere = |addr: &&Arc<VirtualAddress>| {
            model.voice() != Some(&addr.dev) && (all || on_vmac(addr))
        };
        let addrs = model.addresses.iter().chain(&model.excluded);
        out.extend(
            addrs
                .filter(elsewhere)
                .filter_map(|addr| frame(id, addr, world)),
        );
    }
    let rounds = rounds.all;
    if rounds == 0 {
        return;
    }
    let mut one = Vec::new();
    for addr in model.addresses.iter().chain(&model.excluded) {
        if let Some(frame) = frame(id, addr, world) {
            one.push(frame);
            out.push(Action::Report(Report::Announcing {
                instance: model.name.clone(),
                iface: addr.dev.clone(),
                addr: addr.addr,
            }));
        }
    }
    for _ in 0..rounds {
        out.extend_from_slice(&one);
    }
}

/// The source of unicast advertisements, which have to find their way back. keepalived: once when FAULT ends. A configured
/// source that the interface has not got is somebody else's, and not ours to announce.
pub(super) fn announce_source(id: InstanceId, model: &Instance, world: &World) -> Option<Action> {
    let (Some(_), Some(dev)) = (&model.unicast, &model.interface) else {
        return None;
    };
    let source = world.source_of(model)?;
    let facts = world.facts(dev)?;
    facts.addrs.iter().find(|(addr, _)| *addr == source)?;
    frame(id, &VirtualAddress::new(source, 32, dev.clone()), world)
}

/// `None` where the interface does not exist, or does not resolve addresses.
fn frame(instance: InstanceId, addr: &VirtualAddress, world: &World) -> Option<Action> {
    let facts = world.facts(&addr.dev).filter(|facts| !facts.noarp)?;
    let mac = facts.mac;
    let octets = match addr.addr {
        IpAddr::V4(addr) => Gratuitous { mac, addr }.emit().to_vec(),
        IpAddr::V6(addr) => Unsolicited {
            mac,
            addr,
            router: facts.forwarding,
        }
        .emit()
        .to_vec(),
    };
    Some(Action::SendFrame {
        instance,
        interface: facts.index,
        octets,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(s: u64) -> Mono {
        Mono::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn a_second_burst_and_refreshes_follow_the_first() {
        let garp = Garp {
            master_refresh: Duration::from_secs(10),
            ..Garp::default()
        };
        let mut plan = Plan::NONE;
        assert_eq!(plan.start(at(0), &garp), 5);
        assert_eq!(plan.deadline(), at(5));
        assert_eq!(plan.due(at(5), &garp), Rounds::of(5));
        assert_eq!(plan.deadline(), at(15));
        assert_eq!(plan.due(at(15), &garp), Rounds::of(1));
        assert_eq!(plan.deadline(), at(25));
    }

    #[test]
    fn a_lower_master_costs_a_burst_now_and_one_later() {
        let garp = Garp::default();
        let mut plan = Plan::NONE;
        assert_eq!(plan.lower_prio(at(1), &garp), 5);
        assert_eq!(plan.deadline(), at(6));
        assert_eq!(plan.due(at(6), &garp), Rounds::of(5));
        assert_eq!(plan, Plan::NONE);
        let quiet = Garp {
            lower_prio_repeat: 0,
            ..garp
        };
        assert_eq!(plan.lower_prio(at(1), &quiet), 0);
        assert_eq!(plan, Plan::NONE);
    }

    #[test]
    fn without_a_delay_there_is_one_burst() {
        let garp = Garp {
            master_delay: Duration::ZERO,
            ..Garp::default()
        };
        let mut plan = Plan::NONE;
        assert_eq!(plan.start(at(0), &garp), 5);
        assert_eq!(plan, Plan::NONE);
    }
}
