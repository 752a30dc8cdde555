//! Unicast: each names the others.

use std::net::IpAddr;

use super::matching::Router;
use crate::check::finding::Finding;
use crate::check::places::Places;
use crate::config::source::Code;

/// The peers of one virtual router.
pub(super) fn compare(nodes: &[Places<'_>], router: &Router, found: &mut Vec<Finding>) {
    let sources: Vec<Option<IpAddr>> = router.iter().map(|(_, i)| i.source).collect();
    let all_known = sources.iter().all(Option::is_some);
    for (n, (at, instance)) in router.iter().enumerate() {
        let Some(unicast) = &instance.unicast else {
            continue;
        };
        let node = &nodes[*at];
        let place = node.of_instance(&instance.name, &["unicast_peer"]);
        for (m, source) in sources.iter().enumerate() {
            let (other_at, other) = &router[m];
            let Some(source) = source.filter(|_| m != n && other.unicast.is_some()) else {
                continue;
            };
            if unicast.peers.iter().any(|p| p.addr == source) {
                continue;
            }
            let other_node = &nodes[*other_at];
            let text = format!(
                "({}) unicast_peer does not name {source}, the source of {} in {}: it hears nothing from here",
                instance.name, other.name, other_node.node.name
            );
            let finding = node.node.finding(Code::PeerMissing, place, text);
            let there = other_node.of_instance(&other.name, &["unicast_src_ip", "mcast_src_ip"]);
            found.push(match there {
                Some(span) => finding.with(other_node.node, span, "its source"),
                None => finding,
            });
        }
        let nobody = |addr: &IpAddr| !sources.contains(&Some(*addr));
        let strangers = unicast.peers.iter().map(|p| p.addr).filter(nobody);
        for stranger in strangers.filter(|_| all_known && router.len() > 1) {
            let text = format!(
                "({}) unicast_peer {stranger} is the source of none of the other nodes",
                instance.name
            );
            found.push(node.node.finding(Code::PeerUnknown, place, text));
        }
    }
}
