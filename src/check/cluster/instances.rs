//! Instances of one virtual router, and the groups that hold them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::matching::Router;
use crate::check::finding::Finding;
use crate::check::lint::weighted;
use crate::check::places::Places;
use crate::config::source::{Code, Weight};
use crate::model::auth::Auth;
use crate::model::vrrp::{InitialState, Instance, Version};

/// What two instances of one virtual router differ in, at the second one; the first one is shown beside it.
struct Pair<'n> {
    nodes: &'n [Places<'n>],
    first: (usize, &'n Instance),
    second: (usize, &'n Instance),
}

impl Pair<'_> {
    fn say(&self, code: Code, keywords: &[&str], text: &str) -> Finding {
        let (at, instance) = self.second;
        let (other_at, other) = self.first;
        let (node, other_node) = (&self.nodes[at], &self.nodes[other_at]);
        let text = format!("({}) {text}", instance.name);
        let place = node.of_instance(&instance.name, keywords);
        let finding = node.node.finding(code, place, text);
        match other_node.of_instance(&other.name, keywords) {
            Some(span) => finding.with(other_node.node, span, format!("instance {}", other.name)),
            None => finding,
        }
    }

    /// The file of the first one.
    fn other(&self) -> &str {
        &self.nodes[self.first.0].node.name
    }
}

/// Everything about one virtual router.
pub(super) fn compare(nodes: &[Places<'_>], router: &Router, found: &mut Vec<Finding>) {
    let Some(((at, first), others)) = router.split_first() else {
        return;
    };
    if others.is_empty() && nodes.len() > 1 {
        let node = &nodes[*at];
        let text = format!(
            "({}) no other node has an instance with this VRID or these addresses: nobody takes over",
            first.name
        );
        let place = node.of_instance(&first.name, &["virtual_router_id"]);
        found.push(node.node.finding(Code::NoCounterpart, place, text));
    }
    for (other_at, other) in others {
        let pair = Pair {
            nodes,
            first: (*at, first),
            second: (*other_at, other),
        };
        differences(&pair, found);
    }
    election(nodes, router, found);
}

fn version(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}

fn listed<'a>(addrs: impl IntoIterator<Item = &'a IpAddr>) -> String {
    let all: Vec<String> = addrs.into_iter().map(IpAddr::to_string).collect();
    all.join(", ")
}

fn differences(pair: &Pair<'_>, found: &mut Vec<Finding>) {
    let ((_, a), (_, b)) = (pair.first, pair.second);
    let other = pair.other();
    if a.vrid != b.vrid {
        let text = format!(
            "VRID {} here, {} in {other}: both become master",
            b.vrid, a.vrid
        );
        found.push(pair.say(Code::VridDiffers, &["virtual_router_id"], &text));
    }
    if a.version != b.version {
        let (here, there) = (version(b.version), version(a.version));
        let text = format!("version {here} here, {there} in {other}: neither hears the other");
        found.push(pair.say(Code::VersionDiffers, &["version"], &text));
    }
    if a.advert_int != b.advert_int {
        let text = format!(
            "advert_int {:?} here, {:?} in {other}",
            b.advert_int, a.advert_int
        );
        let mut finding = pair.say(Code::IntervalDiffers, &["advert_int"], &text);
        if (a.version, b.version) == (Version::V3, Version::V3) {
            // In version 3 backups follow the master.
            finding.diag.weight = Weight::Note;
        }
        found.push(finding);
    }
    authentication(pair, found);
    if a.unicast.is_some() != b.unicast.is_some() {
        let text = format!("one of this and {other} uses unicast_peer, the other one multicast");
        found.push(pair.say(Code::WayDiffers, &["unicast_peer", "mcast_dst_ip"], &text));
    } else if a.unicast.is_none() && a.mcast_group != b.mcast_group {
        let text = format!("group {} here, {} in {other}", b.mcast_group, a.mcast_group);
        found.push(pair.say(Code::WayDiffers, &["mcast_dst_ip"], &text));
    }
    addresses(pair, found);
}

fn authentication(pair: &Pair<'_>, found: &mut Vec<Finding>) {
    let ((_, a), (_, b)) = (pair.first, pair.second);
    let other = pair.other();
    let kind = |auth: &Auth| match auth {
        Auth::None => "no authentication",
        Auth::Pass(_) => "auth_type PASS",
        Auth::Ah(_) => "auth_type AH",
        Auth::Hmac(_) => "auth_hmac",
    };
    let keywords = ["authentication", "auth_hmac"];
    if kind(&a.auth) != kind(&b.auth) {
        let text = format!("{} here, {} in {other}", kind(&b.auth), kind(&a.auth));
        found.push(pair.say(Code::AuthDiffers, &keywords, &text));
        return;
    }
    let heard = match (&a.auth, &b.auth) {
        (Auth::Hmac(a), Auth::Hmac(b)) => {
            let knows = |by: &crate::model::auth::Hmac, of: &crate::model::auth::Hmac| {
                by.keys.get(&of.active) == of.keys.get(&of.active)
            };
            knows(a, b) && knows(b, a)
        }
        _ if a.auth == b.auth => true,
        _ => false,
    };
    if !heard {
        let text = format!("the key differs from that in {other}");
        found.push(pair.say(Code::AuthDiffers, &keywords, &text));
    }
}

fn addresses(pair: &Pair<'_>, found: &mut Vec<Finding>) {
    let ((_, a), (_, b)) = (pair.first, pair.second);
    let other = pair.other();
    let lists = [
        ("virtual_ipaddress", &a.addresses, &b.addresses),
        ("virtual_ipaddress_excluded", &a.excluded, &b.excluded),
    ];
    for (keyword, there, here) in lists {
        let there: Vec<IpAddr> = there.iter().map(|x| x.addr).collect();
        let here: Vec<IpAddr> = here.iter().map(|x| x.addr).collect();
        let (set_there, set_here): (BTreeSet<_>, BTreeSet<_>) =
            (there.iter().collect(), here.iter().collect());
        if set_there != set_here {
            let missing = set_there.difference(&set_here).copied();
            let extra = set_here.difference(&set_there).copied();
            let parts = [
                ("missing here", listed(missing)),
                ("missing there", listed(extra)),
            ];
            let parts: Vec<String> = parts
                .iter()
                .filter(|(_, list)| !list.is_empty())
                .map(|(what, list)| format!("{what}: {list}"))
                .collect();
            let text = format!("{keyword} differs from {other}: {}", parts.join("; "));
            found.push(pair.say(Code::AddressesDiffer, &[keyword], &text));
        } else if there != here && keyword == "virtual_ipaddress" {
            let text = format!("{keyword} has another order in {other}");
            let mut finding = pair.say(Code::AddressesDiffer, &[keyword], &text);
            finding.diag.weight = Weight::Note;
            found.push(finding);
        }
    }
}

/// Who becomes master, and whether that is as meant.
fn election(nodes: &[Places<'_>], router: &Router, found: &mut Vec<Finding>) {
    for (n, (at, b)) in router.iter().enumerate() {
        let equal = |(_, a): &&(usize, Arc<Instance>)| a.priority == b.priority;
        let Some((other_at, a)) = router[..n].iter().find(equal) else {
            continue;
        };
        // Who is first stays, or trackers decide: that is a plan.
        let planned =
            !a.preempt && !b.preempt || !weighted(a).is_empty() || !weighted(b).is_empty();
        if planned && !a.is_owner() {
            continue;
        }
        let pair = Pair {
            nodes,
            first: (*other_at, a),
            second: (*at, b),
        };
        let text = match a.is_owner() {
            true => format!(
                "priority 255 here and in {}: only one can own the addresses",
                pair.other()
            ),
            false => format!(
                "priority {} here and in {}: the higher address decides",
                b.priority,
                pair.other()
            ),
        };
        found.push(pair.say(Code::EqualPriorities, &["priority"], &text));
    }
    let masters =
        |(_, i): &&(usize, Arc<Instance>)| i.initial_state == InitialState::Master && !i.is_owner();
    let mut masters = router.iter().filter(masters);
    if let (Some((other_at, a)), Some((at, b))) = (masters.next(), masters.next()) {
        let pair = Pair {
            nodes,
            first: (*other_at, a),
            second: (*at, b),
        };
        let text = format!(
            "state MASTER here and in {}: both begin as master",
            pair.other()
        );
        found.push(pair.say(Code::MastersTwice, &["state"], &text));
    }
    let top = router.iter().max_by_key(|(_, i)| i.priority);
    let Some((top_at, top)) = top else {
        return;
    };
    for (at, lower) in router {
        if lower.priority < top.priority && !lower.preempt && top.preempt {
            let pair = Pair {
                nodes,
                first: (*top_at, top),
                second: (*at, lower),
            };
            let text = format!(
                "nopreempt has no effect here: {} has the higher priority and no nopreempt",
                pair.other()
            );
            found.push(pair.say(Code::NopreemptElsewhere, &["nopreempt"], &text));
        }
    }
    weights(nodes, router, found);
}

/// The best or the worst that trackers can make of a priority.
fn reach(instance: &Instance, sign: i32) -> i32 {
    let base = i32::from(instance.priority.get());
    if instance.is_owner() {
        return base;
    }
    let moves = weighted(instance).into_iter().map(|(_, _, w)| i32::from(w));
    let moves: i32 = moves.filter(|w| w.signum() == sign).sum();
    (base + moves).clamp(1, 254)
}

/// The first one stays first whatever its trackers say.
fn weights(nodes: &[Places<'_>], router: &Router, found: &mut Vec<Finding>) {
    let Some((at, first)) = router.iter().max_by_key(|(_, i)| reach(i, 1)) else {
        return;
    };
    let others = router.iter().filter(|(n, _)| n != at);
    let Some((other_at, second)) = others.max_by_key(|(_, i)| reach(i, 1)) else {
        return;
    };
    let all = weighted(first);
    let files = all.iter().any(|(list, _, _)| *list == "track_file");
    let (worst, best) = (reach(first, -1), reach(second, 1));
    if all.is_empty() || files || first.is_owner() || worst <= best {
        return;
    }
    let pair = Pair {
        nodes,
        first: (*other_at, second),
        second: (*at, first),
    };
    let lists: Vec<&str> = all.iter().map(|(list, _, _)| *list).collect();
    let text = format!(
        "the weights of trackers never change the master: at worst the priority is {worst} here and at best {best} in {}",
        pair.other()
    );
    let mut keywords = lists;
    keywords.push("priority");
    found.push(pair.say(Code::WeightTooSmall, &keywords, &text));
}

/// `vrrp_sync_group`s that hold the same routers hold the same others, too.
pub(super) fn groups(nodes: &[Places<'_>], routers: &[Router], found: &mut Vec<Finding>) {
    let number = |node: usize, name: &str| {
        let of = |r: &Router| r.iter().any(|(n, i)| *n == node && *i.name == *name);
        routers.iter().position(of)
    };
    let members = |node: usize, names: &[Arc<str>]| -> BTreeSet<usize> {
        names.iter().filter_map(|m| number(node, m)).collect()
    };
    let Some(first) = nodes.first() else {
        return;
    };
    for group in &first.node.loaded.config.groups {
        let here = members(0, &group.members);
        for (n, node) in nodes.iter().enumerate().skip(1) {
            let elsewhere = &node.node.loaded.config.groups;
            let overlap = |g: &&Arc<crate::model::vrrp::SyncGroup>| {
                !members(n, &g.members).is_disjoint(&here)
            };
            let other = elsewhere.iter().find(overlap);
            let present = |r: &&usize| routers[**r].iter().any(|(at, _)| *at == n);
            let there = other.map(|g| members(n, &g.members)).unwrap_or_default();
            let wanted: BTreeSet<usize> = here.iter().filter(present).copied().collect();
            if wanted.len() < 2 && other.is_none() || wanted == there {
                continue;
            }
            let (node_name, name) = (&first.node.name, &group.name);
            let text = match other {
                Some(g) => format!(
                    "sync group {} holds other virtual routers than {name} of {node_name}",
                    g.name
                ),
                None => format!("no sync group holds the virtual routers of {name} of {node_name}"),
            };
            let place = other.and_then(|g| node.of("vrrp_sync_group", &g.name, &["group"]));
            let finding = node.node.finding(Code::GroupDiffers, place, text);
            found.push(match first.of("vrrp_sync_group", name, &["group"]) {
                Some(span) => finding.with(first.node, span, "this group"),
                None => finding,
            });
        }
    }
}
