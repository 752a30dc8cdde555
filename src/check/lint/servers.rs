//! Rules about virtual servers.

use crate::check::finding::Finding;
use crate::check::places::Places;
use crate::config::source::{Code, Span};
use crate::lvs::checker::Check;
use crate::model::lvs::{ServiceKey, VirtualServer};

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

/// A script that may take longer than the time until it is run again.
pub(super) fn slow_check(p: &Places<'_>, found: &mut Vec<Finding>) {
    for server in &p.node.loaded.config.virtual_servers {
        let checkers = server.real_servers.iter().flat_map(|r| &r.checkers);
        let slow = |c: &&crate::model::lvs::Checker| match &c.check {
            Check::Misc(misc) => misc.timeout > c.delay_loop,
            Check::Tcp(_)
            | Check::Udp(..)
            | Check::Http(..)
            | Check::Smtp(..)
            | Check::Dns(..)
            | Check::Ping(_)
            | Check::File(_)
            | Check::Bfd(_) => false,
        };
        if let Some(checker) = checkers.clone().find(slow) {
            let text = format!(
                "virtual_server {}: a MISC_CHECK may take longer than its delay_loop of {:?}",
                shown(server),
                checker.delay_loop
            );
            let place = place(p, server, &["delay_loop", "real_server"]);
            found.push(p.node.finding(Code::SlowCheck, place, text));
        }
    }
}
