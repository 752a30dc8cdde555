//! Routes and rules from the words of the configuration to those of the kernel.
//!
//! Says everything that a line says and nothing more: what is left out is the kernel's choice, as with ip(8). Source:
//! linux/rtnetlink.h, linux/fib_rules.h, linux/lwtunnel.h; the requests of keepalived for the same lines.

use std::net::IpAddr;

use crate::model::net::{Family, IfName};
use crate::model::route::{
    Encap, Insert, NextHop, Prefix, Realms, Route, RouteType, Rule, RuleAction, TunnelHeader,
};
use crate::sys::fib::{self, INVERT, ONLINK, Place, RouteHead, RuleHead, fra, rta};
use crate::sys::genl::Attrs;
use crate::sys::view::View;

/// A line names an interface that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing(pub(super) IfName);

/// # Errors
/// An interface of it does not exist.
pub(super) fn route(model: &Route, view: &View) -> Result<fib::Route, Missing> {
    let index = |dev: &IfName| {
        view.index_of(dev.as_str())
            .ok_or_else(|| Missing(dev.clone()))
    };
    let v6 = model.family == Family::V6;
    let mut identity = prefix(Attrs::default(), rta::DST, Some(&model.dest));
    identity = prefix(identity, rta::SRC, model.source.as_ref());
    if let Some(via) = model.via {
        identity = addr(identity, rta::GATEWAY, via);
    }
    if let Some(dev) = &model.dev {
        identity = identity.u32(rta::OIF, index(dev)?);
    }
    if let Some(priority) = model.priority {
        identity = identity.u32(rta::PRIORITY, priority);
    }
    if !model.nexthops.is_empty() {
        let mut hops = Vec::new();
        for hop in &model.nexthops {
            // keepalived: the interface of the route is that of hops that name none.
            let dev = hop.dev.as_ref().or(model.dev.as_ref());
            hops.extend(next_hop(hop, dev.map(index).transpose()?.unwrap_or(0)));
        }
        identity = identity.bytes(rta::MULTIPATH, &hops);
    }
    let table = match &model.vrf {
        Some(vrf) => {
            index(vrf)?;
            view.vrf_table(vrf.as_str()).unwrap_or(model.table.0)
        }
        None => model.table.0,
    };
    Ok(fib::Route {
        head: RouteHead {
            v6,
            dst_len: model.dest.len,
            src_len: model.source.as_ref().map_or(0, |p| p.len),
            tos: model.tos,
            table,
            protocol: model.protocol.0,
            scope: model.scope.0,
            kind: model.kind.0,
            flags: if model.onlink { ONLINK } else { 0 },
        },
        identity,
        more: more(model),
        place: match model.insert {
            // keepalived: a route of any special kind is added as with `add`.
            Insert::Prepend if model.kind == RouteType::UNICAST => Place::Prepend,
            Insert::Prepend | Insert::Add => Place::Only,
            Insert::Append => Place::Append,
        },
    })
}

/// What is not needed to find a route again.
fn more(model: &Route) -> Attrs {
    let mut more = Attrs::default();
    if let Some(src) = model.prefsrc {
        more = addr(more, rta::PREFSRC, src);
    }
    if let Some(tunnel) = &model.encap {
        more = encap(more, tunnel);
    }
    if let Some(expires) = model.expires {
        let seconds = u32::try_from(expires.as_secs()).unwrap_or(u32::MAX);
        more = more.u32(rta::EXPIRES, seconds);
    }
    if let Some(r) = model.realms {
        more = more.u32(rta::FLOW, realms(r));
    }
    if let Some(pref) = model.pref {
        more = more.u8(rta::PREF, pref.0);
    }
    if let Some(on) = model.ttl_propagate {
        more = more.u8(rta::TTL_PROPAGATE, on.into());
    }
    let (mut metrics, mut locks) = (Attrs::default(), 0_u32);
    if let Some(cc) = &model.congctl {
        metrics = metrics.text(rta::CC_ALGO, &cc.value);
        locks |= u32::from(cc.locked) << rta::CC_ALGO;
    }
    for (metric, value) in &model.metrics {
        let kind = *metric as u16;
        metrics = metrics.u32(kind, value.value);
        locks |= u32::from(value.locked) << kind;
    }
    if locks != 0 {
        metrics = metrics.u32(rta::LOCK, locks);
    }
    if metrics != Attrs::default() {
        more = more.bytes(rta::METRICS, metrics.octets());
    }
    more
}

/// `struct rtnexthop` and its attributes.
fn next_hop(hop: &NextHop, index: u32) -> Vec<u8> {
    let mut attrs = Attrs::default();
    if let Some(via) = hop.via {
        attrs = addr(attrs, rta::GATEWAY, via);
    }
    if let Some(tunnel) = &hop.encap {
        attrs = encap(attrs, tunnel);
    }
    if let Some(r) = hop.realms {
        attrs = attrs.u32(rta::FLOW, realms(r));
    }
    let len = u16::try_from(attrs.octets().len() + 8).unwrap_or(u16::MAX);
    let mut octets = len.to_ne_bytes().to_vec();
    octets.push(if hop.onlink { ONLINK } else { 0 });
    // The kernel counts weights from 0.
    let weight = hop.weight.unwrap_or(1).saturating_sub(1);
    octets.push(u8::try_from(weight).unwrap_or(u8::MAX));
    octets.extend(index.to_ne_bytes());
    octets.extend(attrs.octets());
    octets
}

/// `LWTUNNEL_ENCAP_*` and what belongs to it.
fn encap(attrs: Attrs, tunnel: &Encap) -> Attrs {
    let (kind, body) = match tunnel {
        Encap::Mpls(labels) => {
            let last = labels.len().saturating_sub(1);
            let stack: Vec<u8> = labels
                .iter()
                .enumerate()
                .flat_map(|(n, label)| (label << 12 | u32::from(n == last) << 8).to_be_bytes())
                .collect();
            (1, Attrs::default().bytes(1, &stack))
        }
        Encap::Ip(header) => (2, tunnel_header(header)),
        Encap::Ila(locator) => (3, Attrs::default().bytes(1, &locator.to_be_bytes())),
        Encap::Ip6(header) => (4, tunnel_header(header)),
    };
    attrs
        .bytes(rta::ENCAP, body.octets())
        .u16(rta::ENCAP_TYPE, kind)
}

/// `LWTUNNEL_IP_*`, and `LWTUNNEL_IP6_*` with the same numbers.
fn tunnel_header<A: Copy + Into<IpAddr>>(header: &TunnelHeader<A>) -> Attrs {
    let mut attrs = Attrs::default();
    if let Some(id) = header.id {
        attrs = attrs.bytes(1, &id.to_be_bytes());
    }
    if let Some(dst) = header.dst {
        attrs = addr(attrs, 2, dst.into());
    }
    if let Some(src) = header.src {
        attrs = addr(attrs, 3, src.into());
    }
    if let Some(ttl) = header.ttl {
        attrs = attrs.u8(4, ttl);
    }
    if let Some(tos) = header.tos {
        attrs = attrs.u8(5, tos);
    }
    if let Some(flags) = header.flags {
        // keepalived: in the order of the machine, although the kernel reads them in that of the network.
        attrs = attrs.u16(6, flags);
    }
    attrs
}

pub(super) fn rule(model: &Rule) -> fib::Rule {
    let mut attrs = prefix(Attrs::default(), fra::SRC, model.from.as_ref());
    attrs = prefix(attrs, fra::DST, model.to.as_ref());
    attrs = attrs.u32(fra::PRIORITY, model.preference);
    if let Some(mark) = model.fwmark {
        attrs = attrs
            .u32(fra::FWMARK, mark.value)
            .u32(fra::FWMASK, mark.mask);
    }
    if let Some(r) = model.realms {
        attrs = attrs.u32(fra::FLOW, realms(r));
    }
    if let Some(len) = model.suppress_prefixlength {
        attrs = attrs.u32(fra::SUPPRESS_PREFIXLEN, len);
    }
    if let Some(group) = model.suppress_ifgroup {
        attrs = attrs.u32(fra::SUPPRESS_IFGROUP, group);
    }
    if let Some(dev) = &model.iif {
        attrs = attrs.text(fra::IIFNAME, dev.as_str());
    }
    if let Some(dev) = &model.oif {
        attrs = attrs.text(fra::OIFNAME, dev.as_str());
    }
    if let Some(id) = model.tunnel_id {
        attrs = attrs.bytes(fra::TUN_ID, &id.to_be_bytes());
    }
    if let Some(uids) = &model.uids {
        let both = [uids.start().to_ne_bytes(), uids.end().to_ne_bytes()].concat();
        attrs = attrs.bytes(fra::UID_RANGE, &both);
    }
    if let Some(protocol) = model.ip_protocol {
        attrs = attrs.u8(fra::IP_PROTO, protocol);
    }
    for (kind, ports) in [
        (fra::SPORT_RANGE, &model.sport),
        (fra::DPORT_RANGE, &model.dport),
    ] {
        if let Some(ports) = ports {
            let both = [ports.start().to_ne_bytes(), ports.end().to_ne_bytes()].concat();
            attrs = attrs.bytes(kind, &both);
        }
    }
    // `FR_ACT_*`.
    let (action, table) = match model.action {
        RuleAction::Table(table) => (1, table.0),
        RuleAction::L3Mdev => {
            attrs = attrs.u8(fra::L3MDEV, 1);
            (1, 0)
        }
        RuleAction::Goto(target) => {
            attrs = attrs.u32(fra::GOTO, target);
            (2, 0)
        }
        RuleAction::Nop => (3, 0),
        RuleAction::Blackhole => (6, 0),
        RuleAction::Unreachable => (7, 0),
        RuleAction::Prohibit => (8, 0),
    };
    attrs = attrs.u8(fra::PROTOCOL, model.protocol.0);
    fib::Rule {
        head: RuleHead {
            v6: model.family == Family::V6,
            dst_len: model.to.as_ref().map_or(0, |p| p.len),
            src_len: model.from.as_ref().map_or(0, |p| p.len),
            tos: model.tos.unwrap_or(0),
            table,
            action,
            flags: if model.invert { INVERT } else { 0 },
        },
        attrs,
    }
}

fn realms(realms: Realms) -> u32 {
    u32::from(realms.source) << 16 | u32::from(realms.dest)
}

/// A prefix of no length is left out: it is what is meant without.
fn prefix(attrs: Attrs, kind: u16, prefix: Option<&Prefix>) -> Attrs {
    match prefix {
        Some(p) if p.len > 0 => addr(attrs, kind, p.addr),
        Some(_) | None => attrs,
    }
}

fn addr(attrs: Attrs, kind: u16, addr: IpAddr) -> Attrs {
    match addr {
        IpAddr::V4(addr) => attrs.bytes(kind, &addr.octets()),
        IpAddr::V6(addr) => attrs.bytes(kind, &addr.octets()),
    }
}
