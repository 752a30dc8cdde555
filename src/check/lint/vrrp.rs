//! Rules about instances.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::check::finding::Finding;
use crate::check::places::Places;
use crate::config::source::Code;
use crate::model::net::{IfName, VirtualAddress};
use crate::model::vrrp::{InitialState, Instance};

/// `state MASTER` alone makes an address owner.
pub(super) fn owner_by_accident(p: &Places<'_>, found: &mut Vec<Finding>) {
    for instance in &p.node.loaded.config.instances {
        let Some(block) = p.block("vrrp_instance", &instance.name) else {
            continue;
        };
        if let Some(state) = p.said(block, "state")
            && instance.initial_state == InitialState::Master
            && instance.is_owner()
            && p.said(block, "priority").is_none()
        {
            let text = format!(
                "({}) state MASTER without priority means priority 255: no other router can take over",
                instance.name
            );
            let finding = p.node.finding(Code::OwnerByAccident, Some(state), text);
            found.push(finding.with(p.node, block.span, "this instance has no priority"));
        }
    }
}

/// Two instances of one node would both put an address on one interface. With VMACs each has an interface of its own.
pub(super) fn address_twice(p: &Places<'_>, found: &mut Vec<Finding>) {
    let mut seen: HashMap<(IpAddr, &IfName), &Instance> = HashMap::new();
    for instance in &p.node.loaded.config.instances {
        for a in instance.addresses.iter().chain(&instance.excluded) {
            let Some(first) = seen.insert((a.addr, &a.dev), instance) else {
                continue;
            };
            let has_vmac = |i: &Instance| {
                let block = p.block("vrrp_instance", &i.name);
                block.is_some_and(|b| p.said(b, "use_vmac").is_some())
            };
            if first.name == instance.name || has_vmac(first) || has_vmac(instance) {
                continue;
            }
            let keywords = ["virtual_ipaddress", "virtual_ipaddress_excluded"];
            let place = |name: &str| p.of_instance(name, &keywords);
            let text = format!(
                "({}) {} is an address of {} as well: when one of them gives way, it takes the address from the other",
                instance.name, a.addr, first.name
            );
            let finding = p
                .node
                .finding(Code::AddressTwice, place(&instance.name), text);
            found.push(match place(&first.name) {
                Some(span) => finding.with(p.node, span, "and here"),
                None => finding,
            });
        }
    }
}

/// A peer that is an address of this machine hears nothing but the instance itself.
pub(super) fn own_peer(p: &Places<'_>, found: &mut Vec<Finding>) {
    let here = p.host.addresses();
    let instances = &p.node.loaded.config.instances;
    let virtual_ones: Vec<IpAddr> = instances
        .iter()
        .flat_map(|i| i.addresses.iter().chain(&i.excluded))
        .map(|a| a.addr)
        .collect();
    for instance in instances {
        let Some(unicast) = &instance.unicast else {
            continue;
        };
        for peer in unicast.peers.iter().map(|peer| peer.addr) {
            let whose = if instance.source == Some(peer) {
                "unicast_src_ip of this instance"
            } else if virtual_ones.contains(&peer) {
                "a virtual address: it moves with the master"
            } else if here.contains(&peer) {
                "an address of this machine"
            } else {
                continue;
            };
            let text = format!(
                "({}) unicast_peer names {peer}, which is {whose}",
                instance.name
            );
            let place = p.of_instance(&instance.name, &["unicast_peer"]);
            found.push(p.node.finding(Code::OwnPeer, place, text));
        }
    }
}

/// Priority 255 says that the machine has the addresses for itself.
pub(super) fn owner_elsewhere(p: &Places<'_>, found: &mut Vec<Finding>) {
    for instance in &p.node.loaded.config.instances {
        let Some(block) = p.block("vrrp_instance", &instance.name) else {
            continue;
        };
        let Some(said) = p.said(block, "priority").filter(|_| instance.is_owner()) else {
            continue;
        };
        let has = |a: &VirtualAddress| {
            let nets = p.host.prefixes(a.dev.as_str());
            // What is not known is not complained about.
            nets.is_empty() || nets.iter().any(|(net, _)| *net == a.addr)
        };
        if let Some(address) = instance.addresses.iter().find(|a| !has(a)) {
            let text = format!(
                "({}) priority 255 is for the owner of the addresses, but {} is not configured on {}",
                instance.name, address.addr, address.dev
            );
            found.push(p.node.finding(Code::OwnerElsewhere, Some(said), text));
        }
    }
}

/// Interfaces below one bridge are one link: each instance hears the other one.
pub(super) fn vrid_on_bridge(p: &Places<'_>, found: &mut Vec<Finding>) {
    let mut seen: HashMap<_, &Instance> = HashMap::new();
    for instance in &p.node.loaded.config.instances {
        let interface = instance
            .interface
            .as_ref()
            .filter(|_| instance.unicast.is_none());
        let Some(bridge) = interface.and_then(|i| p.host.bridge_of(i.as_str())) else {
            continue;
        };
        let key = (bridge, instance.family, instance.vrid, instance.mcast_group);
        let Some(first) = seen.get(&key) else {
            seen.insert(key, instance);
            continue;
        };
        let text = format!(
            "({}) VRID {} is that of {} as well, and their interfaces are ports of {}: each hears the other one",
            instance.name, instance.vrid, first.name, key.0
        );
        let at = |i: &Instance| p.of_instance(&i.name, &["virtual_router_id"]);
        let finding = p.node.finding(Code::VridOnBridge, at(instance), text);
        found.push(match at(first) {
            Some(span) => finding.with(p.node, span, "and here"),
            None => finding,
        });
    }
}

/// The members of a sync group change state together, so that the election is between groups.
pub(super) fn group_members_differ(p: &Places<'_>, found: &mut Vec<Finding>) {
    let config = &p.node.loaded.config;
    for group in &config.groups {
        let members = config
            .instances
            .iter()
            .filter(|i| group.members.contains(&i.name));
        let members: Vec<_> = members.collect();
        let Some((first, others)) = members.split_first() else {
            continue;
        };
        for other in others {
            let (keyword, what) = if other.preempt != first.preempt {
                ("nopreempt", "nopreempt")
            } else if other.priority != first.priority {
                ("priority", "another priority")
            } else {
                continue;
            };
            let text = format!(
                "({}) {what} is not the same as in {}, which is in the same sync group {}: whichever moves first moves both",
                other.name, first.name, group.name
            );
            let at = |i: &Instance| p.of_instance(&i.name, &[keyword]);
            let finding = p.node.finding(Code::GroupMembersDiffer, at(other), text);
            found.push(match at(first) {
                Some(span) => finding.with(p.node, span, "the other one"),
                None => finding,
            });
        }
    }
}

/// Whether `addr` is in the network of that address.
fn within(addr: IpAddr, (net, len): (IpAddr, u8)) -> bool {
    match (addr, net) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            u32::from(a) & mask == u32::from(n) & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            u128::from(a) & mask == u128::from(n) & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// An address without a network of its own, in none of those that its interface has.
pub(super) fn outside_prefix(p: &Places<'_>, found: &mut Vec<Finding>) {
    for instance in &p.node.loaded.config.instances {
        for a in &instance.addresses {
            let host_length = if a.addr.is_ipv4() { 32 } else { 128 };
            let link_local = matches!(a.addr, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if a.prefix_len != host_length || a.peer.is_some() || link_local {
                continue;
            }
            let mut nets = p.host.prefixes(a.dev.as_str());
            // Addresses of full length, such as virtual ones that are set already, say nothing about the network.
            nets.retain(|(net, len)| net.is_ipv4() == a.addr.is_ipv4() && *len < host_length);
            nets.retain(|(net, _)| !matches!(net, IpAddr::V6(v6) if v6.is_unicast_link_local()));
            if nets.is_empty() || nets.iter().any(|net| within(a.addr, *net)) {
                continue;
            }
            let text = format!(
                "({}) {} is in no network of {}: without a route to it nobody on that link asks for it",
                instance.name, a.addr, a.dev
            );
            let place = p.of_instance(&instance.name, &["virtual_ipaddress"]);
            found.push(p.node.finding(Code::OutsidePrefix, place, text));
        }
    }
}

/// With `vrrp_strict` only an owner answers at its addresses.
pub(super) fn strict_drops(p: &Places<'_>, found: &mut Vec<Finding>) {
    let dropping = |i: &&std::sync::Arc<Instance>| {
        let accepts = p
            .block("vrrp_instance", &i.name)
            .is_some_and(|b| p.said(b, "accept").is_some());
        i.strict && !i.is_owner() && !i.addresses.is_empty() && !accepts
    };
    if let Some(instance) = p.node.loaded.config.instances.iter().find(dropping) {
        let block = p.block("vrrp_instance", &instance.name);
        let own = block.and_then(|b| p.said(b, "strict_mode"));
        let text = format!(
            "({}) in strict mode packets to the virtual addresses are dropped, even ping, unless the priority is 255",
            instance.name
        );
        let place = own.or_else(|| p.global(&["vrrp_strict"]));
        found.push(p.node.finding(Code::StrictDrops, place, text));
    }
}

/// Recipients without a relay, and alerts without a recipient.
pub(super) fn mail_nowhere(p: &Places<'_>, found: &mut Vec<Finding>) {
    let mail = &p.node.loaded.config.global.mail;
    if !mail.to.is_empty() && mail.server.is_none() {
        let text = "there are recipients, but no smtp_server: no mail is sent";
        let place = p.global(&["notification_email"]);
        found.push(p.node.finding(Code::MailNowhere, place, text));
    }
    if !mail.to.is_empty() {
        return;
    }
    let alerts = [
        ("smtp_alert", mail.alert),
        ("smtp_alert_vrrp", mail.alert_vrrp),
        ("smtp_alert_checker", mail.alert_checker),
    ];
    let on = alerts.iter().find(|(_, on)| *on == Some(true));
    let own = |i: &&std::sync::Arc<Instance>| {
        let block = p.block("vrrp_instance", &i.name);
        i.notify.mail && block.is_some_and(|b| p.said(b, "smtp_alert").is_some())
    };
    let own = p.node.loaded.config.instances.iter().find(own);
    let place = match (on, own) {
        (Some((keyword, _)), _) => p.global(&[keyword]),
        (None, Some(i)) => p.of_instance(&i.name, &["smtp_alert"]),
        (None, None) => return,
    };
    let text = "smtp_alert is on, but notification_email names nobody: no mail is sent";
    found.push(p.node.finding(Code::AlertNowhere, place, text));
}
