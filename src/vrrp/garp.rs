//! Gratuitous ARP and unsolicited neighbour advertisements: which are due when, and the frames.
//!
//! A [`Plan`] lives in the MASTER state and dies with it. Source: keepalived's `garp_*` keywords; RFC 9568 §6.4.1.

use std::net::IpAddr;

use crate::model::net::VirtualAddress;
use crate::model::vrrp::{Garp, Instance};
use crate::time::Mono;
use crate::wire::arp::Gratuitous;
use crate::wire::ndisc::Unsolicited;

use super::Action;
use super::world::World;

/// The rounds that are still to come. A round announces every address once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Second burst after becoming MASTER or a change of the addresses.
    second_at: Mono,
    /// Second burst after a lower-priority master was heard.
    lower_prio_at: Mono,
    refresh_at: Mono,
}

impl Plan {
    /// Nothing is to come.
    pub(super) const NONE: Self = Self {
        second_at: Mono::NEVER,
        lower_prio_at: Mono::NEVER,
        refresh_at: Mono::NEVER,
    };

    /// The first burst is sent now: rounds.
    pub(super) fn start(&mut self, now: Mono, garp: &Garp) -> u32 {
        self.second_at = after(now, garp.master_delay);
        self.refresh_at = match garp.master_refresh {
            d if d.is_zero() => Mono::NEVER,
            // keepalived: the first refresh waits for the second burst too.
            d => now + garp.master_delay + d,
        };
        garp.master_repeat
    }

    /// A lower-priority master was heard: rounds to send now.
    pub(super) fn lower_prio(&mut self, now: Mono, garp: &Garp) -> u32 {
        if garp.lower_prio_repeat > 0 {
            self.lower_prio_at = after(now, garp.lower_prio_delay);
        }
        garp.lower_prio_repeat
    }

    pub(super) fn deadline(&self) -> Mono {
        self.second_at.min(self.lower_prio_at).min(self.refresh_at)
    }

    /// Takes what is due out of the plan: rounds to send now.
    pub(super) fn due(&mut self, now: Mono, garp: &Garp) -> u32 {
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
        rounds
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
pub(super) fn announce(model: &Instance, rounds: u32, world: &World, out: &mut Vec<Action>) {
    if rounds == 0 {
        return;
    }
    let one: Vec<Action> = model
        .addresses
        .iter()
        .chain(&model.excluded)
        .filter_map(|addr| frame(addr, world))
        .collect();
    for _ in 0..rounds {
        out.extend_from_slice(&one);
    }
}

/// `None` where the interface does not exist, or does not resolve addresses.
fn frame(addr: &VirtualAddress, world: &World) -> Option<Action> {
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
        assert_eq!(plan.due(at(5), &garp), 5);
        assert_eq!(plan.deadline(), at(15));
        assert_eq!(plan.due(at(15), &garp), 1);
        assert_eq!(plan.deadline(), at(25));
    }

    #[test]
    fn a_lower_master_costs_a_burst_now_and_one_later() {
        let garp = Garp::default();
        let mut plan = Plan::NONE;
        assert_eq!(plan.lower_prio(at(1), &garp), 5);
        assert_eq!(plan.deadline(), at(6));
        assert_eq!(plan.due(at(6), &garp), 5);
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
