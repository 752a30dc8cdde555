//! Which instances of the nodes are one virtual router.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::check::places::Places;
use crate::model::vrrp::Instance;

/// One virtual router: node and instance, each node once, in the order of the nodes.
pub(super) type Router = Vec<(usize, Arc<Instance>)>;

fn addresses(instance: &Instance) -> BTreeSet<IpAddr> {
    instance.addresses.iter().map(|a| a.addr).collect()
}

/// First by common addresses, the same VRID going before another one; what is left, by VRID and interface, then by VRID.
pub(super) fn routers(nodes: &[Places<'_>]) -> Vec<Router> {
    let mut found: Vec<Router> = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        let mut left: Vec<&Arc<Instance>> = node.node.loaded.config.instances.iter().collect();
        let rules: [fn(&Instance, &Instance) -> bool; 4] = [
            |a, b| a.vrid == b.vrid && !addresses(a).is_disjoint(&addresses(b)),
            |a, b| !addresses(a).is_disjoint(&addresses(b)),
            |a, b| a.vrid == b.vrid && a.interface == b.interface,
            |a, b| a.vrid == b.vrid,
        ];
        for same in rules {
            left.retain(|instance| {
                let fits = |router: &&mut Router| {
                    let absent = router.iter().all(|(member, _)| *member != n);
                    let alike = |(_, o): &(usize, Arc<Instance>)| {
                        o.family == instance.family && same(o, instance)
                    };
                    absent && router.iter().any(alike)
                };
                match found.iter_mut().find(fits) {
                    Some(router) => {
                        router.push((n, Arc::clone(instance)));
                        false
                    }
                    None => true,
                }
            });
        }
        found.extend(left.into_iter().map(|i| vec![(n, Arc::clone(i))]));
    }
    found
}
