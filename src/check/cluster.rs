//! `check --cluster`: the files of all nodes, and what breaks between them.
//!
//! Instances are matched by what the network sees, not by name: family, virtual addresses, VRID. Interfaces, scripts and
//! users of the other machines are taken to exist. Source: RFC 9568 §7.1, keepalived's checks of advertisements.

mod elsewhere;
mod instances;
mod matching;
mod peers;
mod servers;

pub(super) use self::elsewhere::Elsewhere;
use super::finding::Finding;
use super::places::Places;

/// Everything that is wrong between the nodes; at least two make sense.
pub(super) fn findings(nodes: &[Places<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    let routers = matching::routers(nodes);
    for router in &routers {
        instances::compare(nodes, router, &mut found);
        peers::compare(nodes, router, &mut found);
    }
    instances::groups(nodes, &routers, &mut found);
    servers::compare(nodes, &mut found);
    found
}

#[cfg(test)]
mod tests;
