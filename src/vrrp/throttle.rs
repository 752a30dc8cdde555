//! Limits on gratuitous ARP and neighbour advertisements: `garp_interval`, `gna_interval`, per interface or per
//! `garp_group`.
//!
//! Frames that may not leave yet wait in a lane, one entry for each frame with the number of times it is still to be
//! sent; entries take turns, so that each address is heard early. Nothing is lost, and nothing is sent for an instance
//! that is no master any more. Source: keepalived.conf(5).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::Config;
use crate::model::net::IfName;
use crate::time::Mono;

use super::{Action, IfIndex, InstanceId};

/// What shares a limit: an interface or a group of them, and the kind of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LaneId(Road, Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Road {
    Interface(IfIndex),
    /// Place of the group in the configuration.
    Group(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Arp,
    Neighbour,
}

/// A frame and whose it is.
type Entry = (InstanceId, IfIndex, Vec<u8>);

#[derive(Debug, Default)]
struct Lane {
    /// When the next frame may leave.
    free_at: Mono,
    turns: VecDeque<Entry>,
    /// How often each of `turns` is still to be sent, ≥ 1.
    left: BTreeMap<Entry, u32>,
}

/// `[garp_interval, gna_interval]`; zero: no limit.
type Limits = [Duration; 2];

/// See the module. The default: no limits.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// Of every interface without a group.
    common: Limits,
    groups: Vec<Limits>,
    group_of: BTreeMap<IfName, usize>,
    lanes: BTreeMap<LaneId, Lane>,
}

impl Throttle {
    /// Takes the limits of a configuration. What waits goes on waiting.
    pub(super) fn apply(&mut self, config: &Config) {
        let global = &config.global;
        self.common = [global.garp_interval, global.gna_interval];
        let [arp, neighbour] = self.common;
        let limits = |g: &crate::model::links::GarpGroup| {
            [
                g.garp_interval.unwrap_or(arp),
                g.gna_interval.unwrap_or(neighbour),
            ]
        };
        self.groups = config.garp_groups.iter().map(limits).collect();
        self.group_of = config
            .garp_groups
            .iter()
            .enumerate()
            .flat_map(|(at, g)| g.interfaces.iter().map(move |i| (i.clone(), at)))
            .collect();
    }

    fn is_idle(&self) -> bool {
        self.common == Limits::default() && self.groups.is_empty() && self.lanes.is_empty()
    }

    /// Takes out of `out` what may not leave yet. `name`: that of an interface.
    pub(super) fn pass<'a>(
        &mut self,
        now: Mono,
        out: &mut Vec<Action>,
        name: impl Fn(IfIndex) -> Option<&'a IfName>,
    ) {
        if self.is_idle() {
            return;
        }
        // How often each frame stands in this batch: one more round is no second entry.
        let mut batch: BTreeMap<(LaneId, Entry), u32> = BTreeMap::new();
        out.retain(|action| {
            let Action::SendFrame {
                instance,
                interface,
                octets,
            } = action
            else {
                return true;
            };
            let Some((id, limit)) = self.lane_of(*interface, octets, name(*interface)) else {
                return true;
            };
            let lane = self.lanes.entry(id).or_default();
            if lane.turns.is_empty() && lane.free_at <= now {
                lane.free_at = now + limit;
                return true;
            }
            let entry = (*instance, *interface, octets.clone());
            let times = batch.entry((id, entry.clone())).or_default();
            *times += 1;
            match lane.left.get_mut(&entry) {
                Some(left) => *left = (*left).max(*times),
                None => {
                    lane.left.insert(entry.clone(), *times);
                    lane.turns.push_back(entry);
                }
            }
            false
        });
    }

    /// Lets go what is due. `is_master`: others have nothing to announce any more.
    pub(super) fn due<'a>(
        &mut self,
        now: Mono,
        is_master: impl Fn(InstanceId) -> bool,
        name: impl Fn(IfIndex) -> Option<&'a IfName>,
        out: &mut Vec<Action>,
    ) {
        let due: Vec<LaneId> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.free_at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            lane.turns.retain(|(instance, ..)| is_master(*instance));
            lane.left.retain(|(instance, ..), _| is_master(*instance));
            let Some(entry) = lane.turns.pop_front() else {
                self.lanes.remove(&id);
                continue;
            };
            let (instance, interface, octets) = entry.clone();
            let again = lane.left.get_mut(&entry).is_some_and(|left| {
                *left = left.saturating_sub(1);
                *left > 0
            });
            if again {
                lane.turns.push_back(entry);
            } else {
                lane.left.remove(&entry);
            }
            let limit = self.lane_of(interface, &octets, name(interface));
            let next_at = now + limit.map_or(Duration::ZERO, |(_, limit)| limit);
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.free_at = next_at;
            }
            out.push(Action::SendFrame {
                instance,
                interface,
                octets,
            });
        }
    }

    /// When something may leave next.
    pub(super) fn deadline(&self) -> Mono {
        let waiting = self.lanes.values().filter(|lane| !lane.turns.is_empty());
        waiting
            .map(|lane| lane.free_at)
            .min()
            .unwrap_or(Mono::NEVER)
    }

    /// `None`: no limit.
    fn lane_of(
        &self,
        interface: IfIndex,
        octets: &[u8],
        name: Option<&IfName>,
    ) -> Option<(LaneId, Duration)> {
        let kind = match octets.get(12..14) {
            Some([0x08, 0x06]) => Kind::Arp,
            Some(_) | None => Kind::Neighbour,
        };
        let group = name.and_then(|name| self.group_of.get(name)).copied();
        let (road, [arp, neighbour]) = match group {
            Some(at) => (Road::Group(at), *self.groups.get(at)?),
            None => (Road::Interface(interface), self.common),
        };
        let limit = match kind {
            Kind::Arp => arp,
            Kind::Neighbour => neighbour,
        };
        (!limit.is_zero()).then_some((LaneId(road, kind), limit))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::global::Global;
    use crate::model::links::GarpGroup;

    const SECOND: Duration = Duration::from_secs(1);
    const V1: InstanceId = InstanceId(0);

    fn names() -> [IfName; 3] {
        ["eth0", "eth1", "eth2"].map(|n| IfName::new(n).expect("a name"))
    }

    /// A gratuitous ARP whose only content is a number.
    fn arp(interface: u32, n: u8) -> Action {
        let mut octets = vec![0; 12];
        octets.extend([0x08, 0x06, n]);
        Action::SendFrame {
            instance: V1,
            interface: IfIndex(interface),
            octets,
        }
    }

    /// The numbers of those that leave from one second to the next.
    fn seconds(throttle: &mut Throttle, frames: Vec<Action>, is_master: bool) -> Vec<Vec<u8>> {
        let names = names();
        let name = |i: IfIndex| names.get(i.0 as usize);
        let number = |out: Vec<Action>| -> Vec<u8> {
            let octets = out.into_iter().map(|a| {
                let Action::SendFrame { octets, .. } = a else {
                    panic!("{a:?}");
                };
                octets[14]
            });
            octets.collect()
        };
        let mut out = frames;
        throttle.pass(Mono::ZERO, &mut out, name);
        let mut all = vec![number(out)];
        while throttle.deadline() != Mono::NEVER {
            let mut out = Vec::new();
            throttle.due(throttle.deadline(), |_| is_master, name, &mut out);
            all.push(number(out));
        }
        all
    }

    fn limited(interval: Duration, groups: Vec<GarpGroup>) -> Throttle {
        let global = Global {
            garp_interval: interval,
            ..Global::default()
        };
        let mut throttle = Throttle::default();
        throttle.apply(&Config {
            global: Arc::new(global),
            garp_groups: groups,
            ..Config::default()
        });
        throttle
    }

    #[test]
    fn all_repeats_leave_one_at_a_time_and_addresses_take_turns() {
        let mut throttle = limited(SECOND, Vec::new());
        let rounds = [1, 2, 1, 2, 1, 2].map(|n| arp(0, n)).to_vec();
        let left = seconds(&mut throttle, rounds, true);
        assert_eq!(left, [[1], [2], [1], [2], [1], [2]]);
    }

    #[test]
    fn interfaces_have_limits_of_their_own_unless_they_share_one() {
        let frames = || vec![arp(0, 1), arp(1, 2), arp(2, 3)];
        let left = seconds(&mut limited(SECOND, Vec::new()), frames(), true);
        assert_eq!(left, [[1, 2, 3]]);
        let group = GarpGroup {
            interfaces: names()[..2].to_vec(),
            garp_interval: Some(SECOND),
            gna_interval: None,
        };
        let left = seconds(&mut limited(Duration::ZERO, vec![group]), frames(), true);
        assert_eq!(left, [vec![1, 3], vec![2]]);
    }

    #[test]
    fn nothing_is_announced_for_who_is_no_master_any_more() {
        let mut throttle = limited(SECOND, Vec::new());
        let left = seconds(&mut throttle, vec![arp(0, 1), arp(0, 2)], false);
        assert_eq!(left, [vec![1], vec![]]);
    }

    #[test]
    fn a_burst_while_the_last_one_waits_adds_nothing() {
        let mut throttle = limited(SECOND, Vec::new());
        let names = names();
        let mut first = vec![arp(0, 1), arp(0, 1), arp(0, 1)];
        throttle.pass(Mono::ZERO, &mut first, |i| names.get(i.0 as usize));
        let left = seconds(&mut throttle, vec![arp(0, 1), arp(0, 1)], true);
        assert_eq!(left.iter().flatten().count(), 2);
    }
}
