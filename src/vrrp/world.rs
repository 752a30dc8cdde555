//! What is known about this machine: interfaces, their addresses, verdicts on scripts.
//!
//! Facts only, each replaced by the next; what follows from them for an instance is computed in `priority`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::Config;
use crate::model::net::{Family, IfName};

use super::priority::ScriptState;
use super::{IfIndex, InterfaceFacts};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct World {
    links: BTreeMap<IfIndex, Link>,
    by_name: BTreeMap<IfName, IfIndex>,
    scripts: BTreeMap<Arc<str>, ScriptState>,
    /// All virtual addresses: never a source of advertisements, whoever set them.
    virtual_addresses: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Link {
    facts: Arc<InterfaceFacts>,
    source_v4: Option<IpAddr>,
    source_v6: Option<IpAddr>,
}

impl Link {
    fn new(facts: Arc<InterfaceFacts>, virtual_addresses: &BTreeSet<IpAddr>) -> Self {
        let mut own = facts
            .addrs
            .iter()
            .map(|(addr, _)| *addr)
            .filter(|addr| !virtual_addresses.contains(addr));
        // keepalived: the first one in the kernel's order, not the lowest.
        let source_v4 = own.clone().find(IpAddr::is_ipv4);
        let source_v6 = own.find(is_link_local);
        Self {
            facts,
            source_v4,
            source_v6,
        }
    }

    /// What instances look at: an address of no concern changes nothing of it.
    fn essence(&self) -> (&IfName, bool, Option<IpAddr>, Option<IpAddr>) {
        let facts = &self.facts;
        (&facts.name, facts.running, self.source_v4, self.source_v6)
    }
}

fn is_link_local(addr: &IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}

impl World {
    /// Learns what the configuration says: which addresses are virtual, which scripts there are. `start`: nobody has
    /// run yet, so that scripts without a result are waited for.
    ///
    /// A script that is known already keeps its verdict until the next one, even if its command changed: a bad one must
    /// not count as good meanwhile. Verdicts may come before the configuration that names the script.
    pub(super) fn apply(&mut self, config: &Config, start: bool) {
        self.virtual_addresses = config
            .instances
            .iter()
            .flat_map(|i| i.addresses.iter().chain(&i.excluded))
            .map(|a| a.addr)
            .collect();
        let links = std::mem::take(&mut self.links);
        self.links = links
            .into_iter()
            .map(|(index, link)| (index, Link::new(link.facts, &self.virtual_addresses)))
            .collect();
        let mut known = std::mem::take(&mut self.scripts);
        self.scripts = config
            .scripts
            .iter()
            .map(|script| {
                let without_result = match (script.init_fail, start) {
                    (true, _) => ScriptState::Bad,
                    (false, true) => ScriptState::Pending,
                    (false, false) => ScriptState::Unknown,
                };
                let state = known.remove(&script.name).unwrap_or(without_result);
                (script.name.clone(), state)
            })
            .collect();
    }

    /// Takes new facts. The names whose users must look again: none where nothing of concern changed.
    pub(super) fn learn(&mut self, facts: Arc<InterfaceFacts>) -> Vec<IfName> {
        let index = facts.index;
        let name = facts.name.clone();
        let new = Link::new(facts, &self.virtual_addresses);
        let mut changed = Vec::new();
        if let Some(old) = self.links.get(&index) {
            if old.essence() == new.essence() {
                self.links.insert(index, new);
                return changed;
            }
            if old.facts.name != name {
                changed.push(old.facts.name.clone());
                self.release(&changed[0].clone(), index);
            }
        }
        self.links.insert(index, new);
        self.by_name.insert(name.clone(), index);
        changed.push(name);
        changed
    }

    /// Forgets an interface. The name whose users must look again.
    pub(super) fn forget(&mut self, index: IfIndex) -> Option<IfName> {
        let link = self.links.remove(&index)?;
        self.release(&link.facts.name, index);
        Some(link.facts.name.clone())
    }

    /// A name may belong to a new interface before the old one is gone.
    fn release(&mut self, name: &IfName, index: IfIndex) {
        if self.by_name.get(name) == Some(&index) {
            self.by_name.remove(name);
        }
    }

    /// Takes a verdict. False if it is the known one.
    pub(super) fn judge(&mut self, script: &Arc<str>, good: bool) -> bool {
        let state = if good {
            ScriptState::Good
        } else {
            ScriptState::Bad
        };
        self.scripts.insert(script.clone(), state) != Some(state)
    }

    pub(super) fn script(&self, name: &str) -> ScriptState {
        self.scripts
            .get(name)
            .copied()
            .unwrap_or(ScriptState::Unknown)
    }

    /// False for an interface that does not exist.
    pub(super) fn running(&self, name: &IfName) -> bool {
        self.facts(name).is_some_and(|facts| facts.running)
    }

    pub(super) fn facts(&self, name: &IfName) -> Option<&InterfaceFacts> {
        self.link(name).map(|link| &*link.facts)
    }

    /// Where advertisements of `family` come from unless configured: the first IPv4 address, or an IPv6 link-local one.
    pub(super) fn source(&self, name: &IfName, family: Family) -> Option<IpAddr> {
        let link = self.link(name)?;
        match family {
            Family::V4 => link.source_v4,
            Family::V6 => link.source_v6,
        }
    }

    fn link(&self, name: &IfName) -> Option<&Link> {
        self.links.get(self.by_name.get(name)?)
    }
}
