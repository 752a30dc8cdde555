//! Virtual servers: whoever is master serves the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::check::finding::Finding;
use crate::check::lint::{place, shown};
use crate::check::places::Places;
use crate::config::source::Code;
use crate::model::lvs::{ServiceKey, VirtualServer};

type Services<'n> = BTreeMap<&'n ServiceKey, &'n Arc<VirtualServer>>;

/// The first node that has any is compared with all others.
pub(super) fn compare(nodes: &[Places<'_>], found: &mut Vec<Finding>) {
    let services = |p: &'_ Places<'_>| -> usize { p.node.loaded.config.virtual_servers.len() };
    let Some(first) = nodes.iter().find(|p| services(p) > 0) else {
        return;
    };
    let all = of(first);
    for node in nodes.iter().filter(|n| n.node.number != first.node.number) {
        let here = of(node);
        if here.is_empty() {
            let text = format!("has no virtual_server, but {} has", first.node.name);
            let text = format!("{} {text}", node.node.name);
            let finding = first.node.finding(Code::ServersDiffer, None, text);
            found.push(finding);
            continue;
        }
        for (key, server) in &all {
            match here.get(key) {
                None => found.push(missing(first, server, node)),
                Some(other) => differences(first, server, node, other, found),
            }
        }
        for (_, server) in here.iter().filter(|(key, _)| !all.contains_key(*key)) {
            found.push(missing(node, server, first));
        }
    }
}

fn of<'n>(p: &'n Places<'_>) -> Services<'n> {
    let all = p.node.loaded.config.virtual_servers.iter();
    all.map(|v| (&v.key, v)).collect()
}

fn missing(has: &Places<'_>, server: &VirtualServer, lacks: &Places<'_>) -> Finding {
    let text = format!(
        "virtual_server {}: {} has none",
        shown(server),
        lacks.node.name
    );
    let place = place(has, server, &[]);
    has.node.finding(Code::ServersDiffer, place, text)
}

fn differences(
    first: &Places<'_>,
    a: &VirtualServer,
    node: &Places<'_>,
    b: &VirtualServer,
    found: &mut Vec<Finding>,
) {
    let real =
        |v: &VirtualServer| -> BTreeSet<_> { v.real_servers.iter().map(|r| r.addr).collect() };
    let (there, here) = (real(a), real(b));
    let other = &first.node.name;
    let mut texts = Vec::new();
    if there != here {
        let list = |set: Vec<String>| set.join(", ");
        let missing = list(there.difference(&here).map(ToString::to_string).collect());
        let extra = list(here.difference(&there).map(ToString::to_string).collect());
        texts.push(format!(
            "real servers differ from {other} (only there: {missing}; only here: {extra})"
        ));
    }
    if a.scheduler != b.scheduler {
        texts.push(format!("lvs_sched differs from {other}"));
    }
    if a.persistence != b.persistence {
        texts.push(format!(
            "persistence differs from {other}: clients lose their real server"
        ));
    }
    for text in texts {
        let text = format!("virtual_server {}: {text}", shown(b));
        let finding = node
            .node
            .finding(Code::ServersDiffer, place(node, b, &[]), text);
        found.push(match place(first, a, &[]) {
            Some(span) => finding.with(first.node, span, "and there"),
            None => finding,
        });
    }
}
