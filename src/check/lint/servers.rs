//! Rules about virtual servers.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::check::finding::Finding;
use crate::check::places::Places;
use crate::config::source::{Code, Span};
use crate::lvs::checker::Check;
use crate::model::lvs::{Checker, ServiceKey, VirtualServer};

/// As its header may be written.
fn forms(server: &VirtualServer) -> Vec<String> {
    match &server.key {
        ServiceKey::Address { addr, port: 0, .. } => vec![addr.to_string(), format!("{addr} 0")],
        ServiceKey::Address { addr, port, .. } => vec![format!("{addr} {port}")],
        ServiceKey::Fwmark { mark, .. } => vec![format!("fwmark {mark}")],
        ServiceKey::Group { name, .. } => vec![format!("group {name}")],
    }
}

/// What messages call it.
pub(crate) fn shown(server: &VirtualServer) -> String {
    forms(server).swap_remove(0)
}

/// Where it says one of `keywords`, or else where it begins.
pub(crate) fn place(p: &Places<'_>, server: &VirtualServer, keywords: &[&str]) -> Option<Span> {
    let mut forms = forms(server).into_iter();
    forms.find_map(|form| p.of("virtual_server", &form, keywords))
}

/// A real server at the address of the service itself.
pub(super) fn real_is_virtual(p: &Places<'_>, found: &mut Vec<Finding>) {
    for server in &p.node.loaded.config.virtual_servers {
        let ServiceKey::Address { addr, port, .. } = &server.key else {
            continue;
        };
        let same = |ip, at: u16| ip == *addr && (at == *port || at == 0);
        let mut real = server.real_servers.iter();
        if let Some(real) = real.find(|r| same(r.addr.ip(), r.addr.port())) {
            let text = format!(
                "virtual_server {}: the real_server {} is the virtual address itself",
                shown(server),
                real.addr
            );
            let place = place(p, server, &["real_server"]);
            found.push(p.node.finding(Code::RealIsVirtual, place, text));
        }
    }
}

/// The last resort is one of those that are down.
pub(super) fn sorry_is_real(p: &Places<'_>, found: &mut Vec<Finding>) {
    for server in &p.node.loaded.config.virtual_servers {
        let Some(sorry) = &server.sorry_server else {
            continue;
        };
        if server.real_servers.iter().any(|r| r.addr == sorry.addr) {
            let text = format!(
                "virtual_server {}: the sorry_server {} is a real_server as well: it is used when it is down",
                shown(server),
                sorry.addr
            );
            let place = place(p, server, &["sorry_server"]);
            found.push(p.node.finding(Code::SorryIsReal, place, text));
        }
    }
}

/// A check that may take longer than the time until it is run again.
pub(super) fn slow_check(p: &Places<'_>, found: &mut Vec<Finding>) {
    for server in &p.node.loaded.config.virtual_servers {
        let slow = |c: &Checker| {
            let (name, longest) = match &c.check {
                Check::Misc(misc) => ("a MISC_CHECK", misc.timeout),
                Check::Tcp(_) => ("a TCP_CHECK", c.connect_timeout),
                Check::Udp(..) => ("a UDP_CHECK", c.connect_timeout),
                Check::Http(..) => ("a check of a page", c.connect_timeout),
                Check::Smtp(..) => ("a SMTP_CHECK", c.connect_timeout),
                Check::Dns(..) => ("a DNS_CHECK", c.connect_timeout),
                Check::Ping(_) => ("a PING_CHECK", c.connect_timeout),
                Check::File(_) | Check::Bfd(_) => return None,
            };
            (longest > c.delay_loop).then_some((name, longest, c.delay_loop))
        };
        let mut checkers = server.real_servers.iter().flat_map(|r| &r.checkers);
        if let Some((name, longest, delay_loop)) = checkers.find_map(slow) {
            let text = format!(
                "virtual_server {}: {name} may take {longest:?}, which is longer than its delay_loop of {delay_loop:?}",
                shown(server),
            );
            let place = place(p, server, &["delay_loop", "real_server"]);
            found.push(p.node.finding(Code::SlowCheck, place, text));
        }
    }
}

/// Where instances bring addresses, those of services are among them.
pub(super) fn server_nowhere(p: &Places<'_>, found: &mut Vec<Finding>) {
    let config = &p.node.loaded.config;
    let of_instances = config.instances.iter();
    let of_instances = of_instances.flat_map(|i| i.addresses.iter().chain(&i.excluded));
    let statics = config.statics.addresses.iter().map(|s| s.entry.addr);
    let mut known: HashSet<IpAddr> = of_instances.map(|a| a.addr).collect();
    if known.is_empty() {
        return;
    }
    known.extend(statics);
    known.extend(p.host.addresses());
    for server in &config.virtual_servers {
        let ServiceKey::Address { addr, .. } = &server.key else {
            continue;
        };
        if !known.contains(addr) {
            let text = format!(
                "virtual_server {}: no instance has the address, and this machine has not",
                shown(server)
            );
            let place = place(p, server, &[]);
            found.push(p.node.finding(Code::ServerNowhere, place, text));
        }
    }
}

/// With `ops` there are no connections that could persist.
pub(super) fn ops_persistent(p: &Places<'_>, found: &mut Vec<Finding>) {
    for server in &p.node.loaded.config.virtual_servers {
        if server.ops && server.persistence.is_some() {
            let text = format!(
                "virtual_server {}: ops schedules every packet for itself, persistence keeps clients at one server",
                shown(server)
            );
            let keywords = ["persistence_timeout", "persistence_granularity", "ops"];
            let place = place(p, server, &keywords);
            found.push(p.node.finding(Code::OpsPersistent, place, text));
        }
    }
}
