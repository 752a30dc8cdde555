//! Unicast instances that are the same but for their peers: which number each has.
//!
//! The number is part of what an instance is to a reload and must stay its own, whoever joins or leaves the file: else
//! the one that stays takes over the state of the one that left. With several in one file, whoever shares a peer with
//! one that runs is that one; else whoever has its name; the others get the lowest numbers that are left.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Config;
use super::diff::Keyed as _;
use super::vrrp::{Hears, Instance, InstanceKey};

/// What twins have in common: the key without a number.
pub(crate) fn kin(instance: &Instance) -> InstanceKey {
    let mut key = instance.key();
    if let Hears::Unicast(_, twin) = &mut key.hears {
        *twin = 0;
    }
    key
}

/// The same of one that may have a twin: not without peers.
fn kin_of_many(instance: &Instance) -> Option<InstanceKey> {
    peers(instance).next().map(|_| kin(instance))
}

/// The addresses of its unicast peers; none of an instance that speaks to a group.
pub(crate) fn peers(instance: &Instance) -> impl Iterator<Item = IpAddr> {
    let unicast = instance.unicast.iter();
    unicast.flat_map(|u| u.peers.iter().map(|p| p.addr))
}

/// Numbers those of a new file, in its order. Who has a peer in common with an earlier one gets no number of its own, nor
/// does who comes when all are taken: both have one key, and that is a complaint.
pub(crate) fn number(instances: &mut [Arc<Instance>]) {
    let mut seen: HashMap<InstanceKey, (u8, HashSet<IpAddr>)> = HashMap::new();
    for i in instances {
        let Some(kin) = kin_of_many(i) else {
            continue;
        };
        let Some((count, known)) = seen.get_mut(&kin) else {
            seen.insert(kin, (0, peers(i).collect()));
            continue;
        };
        if peers(i).any(|p| known.contains(&p)) || *count == u8::MAX {
            continue;
        }
        *count += 1;
        known.extend(peers(i));
        Arc::make_mut(i).twin = *count;
    }
}

/// `new` with the numbers that its instances have in `old`, the configuration that runs.
pub(crate) fn keep(old: &Config, mut new: Arc<Config>) -> Arc<Config> {
    let any = |config: &Config| config.instances.iter().any(|i| i.twin > 0);
    if any(old) || any(&new) {
        renumber(&old.instances, &mut Arc::make_mut(&mut new).instances);
    }
    new
}

/// What makes one of the old and one of the new the same, the stronger sign first.
const SIGNS: [fn(&Instance, &Instance) -> bool; 2] = [
    |a, b| peers(a).any(|p| peers(b).any(|q| p == q)),
    |a, b| a.name == b.name,
];

fn renumber(old: &[Arc<Instance>], new: &mut [Arc<Instance>]) {
    let mut families: HashMap<InstanceKey, Vec<&mut Arc<Instance>>> = HashMap::new();
    for i in new {
        if let Some(kin) = kin_of_many(i) {
            families.entry(kin).or_default().push(i);
        }
    }
    let mut earlier: HashMap<InstanceKey, Vec<&Arc<Instance>>> = HashMap::new();
    for i in old {
        if let Some(kin) = kin_of_many(i) {
            earlier.entry(kin).or_default().push(i);
        }
    }
    for (kin, mut family) in families {
        let of_old = earlier.remove(&kin).unwrap_or_default();
        let numbers: HashSet<u8> = family.iter().map(|i| i.twin).collect();
        let alone = family.len() == 1 && of_old.len() <= 1;
        // Some with one number: complained of.
        if numbers.len() < family.len() || (alone && of_old.iter().all(|o| o.twin == 0)) {
            continue;
        }
        let mut taken: HashSet<u8> = HashSet::new();
        let mut given: Vec<Option<u8>> = vec![None; family.len()];
        for same in SIGNS {
            for (i, number) in family.iter().zip(&mut given).filter(|(_, n)| n.is_none()) {
                let mut candidates = of_old.iter().filter(|o| same(o, i));
                *number = candidates.find_map(|o| taken.insert(o.twin).then_some(o.twin));
            }
        }
        for (i, number) in family.iter_mut().zip(given) {
            let free = || (0..=u8::MAX).find(|n| !taken.contains(n));
            let Some(number) = number.or_else(free) else {
                continue; // as many as there are numbers, and each has one
            };
            taken.insert(number);
            if i.twin != number {
                Arc::make_mut(i).twin = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::global::Global;
    use crate::model::net::IfName;
    use crate::model::unicast::{OldChecksum, Peer, Unicast};
    use crate::model::vrrp::Vrid;

    fn one(name: &str, peers: &[u8]) -> Arc<Instance> {
        let eth0 = IfName::new("eth0").expect("a name");
        let vrid = Vrid(1.try_into().expect("not zero"));
        let mut instance = Instance::new(name, eth0, vrid, &Global::default());
        instance.unicast = Some(Unicast {
            peers: peers
                .iter()
                .map(|n| Peer::new([10, 0, 0, *n].into()))
                .collect(),
            fault_no_peer: false,
            check_source: false,
            ttl: None,
            old_checksum: OldChecksum::Never,
        });
        Arc::new(instance)
    }

    fn file(instances: &[Arc<Instance>]) -> Config {
        let mut instances = instances.to_vec();
        number(&mut instances);
        Config {
            instances,
            ..Config::default()
        }
    }

    /// The number of each after a reload.
    fn kept(old: &Config, new: &[Arc<Instance>]) -> (Vec<u8>, Arc<Config>) {
        let config = keep(old, Arc::new(file(new)));
        (config.instances.iter().map(|i| i.twin).collect(), config)
    }

    #[test]
    fn who_stays_keeps_its_number_whoever_leaves_joins_or_stands_before_it() {
        let (a, b, c) = (one("A", &[2]), one("B", &[3]), one("C", &[4]));
        let both = file(&[a.clone(), b.clone()]);
        assert_eq!(kept(&both, &[b.clone(), a.clone()]).0, [1, 0]);
        assert_eq!(kept(&both, &[c.clone(), a.clone(), b.clone()]).0, [2, 0, 1]);
        let (numbers, alone) = kept(&both, std::slice::from_ref(&b));
        assert_eq!(numbers, [1]);
        assert_eq!(kept(&alone, std::slice::from_ref(&b)).0, [1]);
        assert_eq!(kept(&alone, &[a.clone(), b.clone()]).0, [0, 1]);
        assert_eq!(kept(&alone, &[c, b]).0, [0, 1]);
        assert_eq!(kept(&file(std::slice::from_ref(&a)), &[a]).0, [0]);
    }

    #[test]
    fn a_peer_tells_more_than_a_name_and_a_name_more_than_the_order() {
        let both = file(&[one("A", &[2, 5]), one("B", &[3])]);
        assert_eq!(kept(&both, &[one("A", &[3]), one("B", &[5])]).0, [1, 0]);
        assert_eq!(kept(&both, &[one("B", &[8]), one("A", &[9])]).0, [1, 0]);
        assert_eq!(kept(&both, &[one("X", &[8]), one("A", &[9])]).0, [1, 0]);
        // Each number is given once, and a stranger gets what is left.
        assert_eq!(kept(&both, &[one("X", &[2]), one("Y", &[5])]).0, [0, 1]);
    }

    #[test]
    fn one_that_has_no_twin_may_change_its_peers() {
        let old = file(&[one("A", &[2])]);
        assert_eq!(kept(&old, &[one("B", &[9])]).0, [0]);
        let other = one("A", &[]);
        assert_eq!(kept(&old, &[other]).0, [0]);
    }
}
