//! What is known about this machine: interfaces, their addresses, verdicts on scripts.
//!
//! Facts only, each replaced by the next; what follows from them for an instance is computed in `priority`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::bus::TrackerUpdate;
use crate::model::Config;
use crate::model::net::{Family, IfName};
use crate::model::vrrp::Instance;

use super::priority::ScriptState;
use super::{IfIndex, InterfaceFacts};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct World {
    links: BTreeMap<IfIndex, Link>,
    by_name: BTreeMap<IfName, IfIndex>,
    scripts: BTreeMap<Arc<str>, ScriptState>,
    files: BTreeMap<Arc<str>, i32>,
    processes: BTreeMap<Arc<str>, bool>,
    bfds: BTreeMap<Arc<str>, bool>,
    /// All virtual addresses, in order: never a source of advertisements, whoever set them.
    virtual_addresses: Vec<IpAddr>,
    /// `unicast_src_ip` and `mcast_src_ip` of all instances.
    configured_sources: BTreeSet<IpAddr>,
    /// By the wall clock: the origin of [`crate::time::Mono`].
    wall: Duration,
}

#[derive(Debug)]
struct Link {
    facts: Arc<InterfaceFacts>,
    source_v4: Option<IpAddr>,
    source_v6: Option<IpAddr>,
    /// Those of the configured sources that it has.
    sources: Vec<IpAddr>,
}

impl Link {
    fn new(
        facts: Arc<InterfaceFacts>,
        virtual_addresses: &[IpAddr],
        configured_sources: &BTreeSet<IpAddr>,
        before: [Option<IpAddr>; 2],
    ) -> Self {
        let own = facts
            .addrs
            .iter()
            .map(|(addr, _)| *addr)
            .filter(|addr| virtual_addresses.binary_search(addr).is_err());
        // keepalived: what is in use stays as long as it is there; else the first one in the kernel's order, not the
        // lowest.
        let [kept_v4, kept_v6] =
            before.map(|source| source.filter(|s| own.clone().any(|a| a == *s)));
        let source_v4 = kept_v4.or_else(|| own.clone().find(IpAddr::is_ipv4));
        let source_v6 = kept_v6.or_else(|| own.clone().find(is_link_local));
        let configured = facts.addrs.iter().map(|(addr, _)| *addr);
        let configured = configured.filter(|addr| configured_sources.contains(addr));
        Self {
            sources: configured.collect(),
            facts,
            source_v4,
            source_v6,
        }
    }

    /// What instances look at: an address of no concern changes nothing of it.
    fn essence(&self) -> (&IfName, bool, [Option<IpAddr>; 2], &[IpAddr]) {
        let facts = &self.facts;
        (&facts.name, facts.running, self.in_use(), &self.sources)
    }

    /// Sources of advertisements: IPv4, IPv6.
    fn in_use(&self) -> [Option<IpAddr>; 2] {
        [self.source_v4, self.source_v6]
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
        let all = config.instances.iter();
        let all = all.flat_map(|i| i.addresses.iter().chain(&i.excluded));
        self.virtual_addresses = all.map(|a| a.addr).collect();
        self.virtual_addresses.sort_unstable();
        self.virtual_addresses.dedup();
        self.virtual_addresses.shrink_to_fit();
        self.configured_sources = config.instances.iter().filter_map(|i| i.source).collect();
        let links = std::mem::take(&mut self.links);
        self.links = links
            .into_iter()
            .map(|(index, link)| (index, self.link_of(link.facts.clone(), Some(&link))))
            .collect();
        self.files
            .retain(|name, _| config.track_files.iter().any(|f| f.name == *name));
        self.processes
            .retain(|name, _| config.track_processes.iter().any(|p| p.name == *name));
        self.bfds
            .retain(|name, _| config.bfds.iter().any(|b| b.name == *name));
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
        let new = self.link_of(facts, self.links.get(&index));
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
    pub(super) fn judge(&mut self, update: &TrackerUpdate) -> bool {
        match update {
            TrackerUpdate::Script { name, good } => {
                let state = if *good {
                    ScriptState::Good
                } else {
                    ScriptState::Bad
                };
                self.scripts.insert(name.clone(), state) != Some(state)
            }
            TrackerUpdate::File { name, value } => {
                self.files.insert(name.clone(), *value) != Some(*value)
            }
            TrackerUpdate::Process { name, good } => {
                self.processes.insert(name.clone(), *good) != Some(*good)
            }
            TrackerUpdate::Bfd { name, up } => self.bfds.insert(name.clone(), *up) != Some(*up),
        }
    }

    /// 0 until something else was told.
    pub(super) fn file(&self, name: &str) -> i32 {
        self.files.get(name).copied().unwrap_or(0)
    }

    /// `None`: not told yet.
    pub(super) fn process(&self, name: &str) -> Option<bool> {
        self.processes.get(name).copied()
    }

    /// keepalived: down until something else was told.
    pub(super) fn bfd(&self, name: &str) -> bool {
        self.bfds.get(name).copied().unwrap_or(false)
    }

    /// The name of an interface.
    pub(super) fn name_of(&self, index: IfIndex) -> Option<&IfName> {
        self.links.get(&index).map(|link| &link.facts.name)
    }

    pub(super) fn script(&self, name: &str) -> ScriptState {
        self.scripts
            .get(name)
            .copied()
            .unwrap_or(ScriptState::Unknown)
    }

    /// The link-layer address of an interface.
    pub(super) fn mac(&self, index: IfIndex) -> Option<[u8; 6]> {
        self.links.get(&index).map(|link| link.facts.mac)
    }

    /// False for an interface that does not exist.
    pub(super) fn running(&self, name: &IfName) -> bool {
        self.facts(name).is_some_and(|facts| facts.running)
    }

    pub(super) fn facts(&self, name: &IfName) -> Option<&InterfaceFacts> {
        self.link(name).map(|link| &*link.facts)
    }

    /// Where the advertisements of an instance come from: what is configured, or the first IPv4 address of its
    /// interface, or an IPv6 link-local one.
    pub(super) fn source_of(&self, model: &Instance) -> Option<IpAddr> {
        let first = || {
            let link = self.link(model.source_interface()?)?;
            match model.family {
                Family::V4 => link.source_v4,
                Family::V6 => link.source_v6,
            }
        };
        model.source.or_else(first)
    }

    /// Whether `addr`, one of the configured sources, is on this interface, or on any.
    pub(super) fn has(&self, name: Option<&IfName>, addr: IpAddr) -> bool {
        match name {
            Some(name) => self.link(name).is_some_and(|l| l.sources.contains(&addr)),
            None => self.links.values().any(|l| l.sources.contains(&addr)),
        }
    }

    /// By the wall clock: the origin of [`crate::time::Mono`]. Zero while nobody has told.
    pub(super) fn wall(&self) -> Duration {
        self.wall
    }

    pub(super) fn set_wall(&mut self, wall: Duration) {
        self.wall = wall;
    }

    /// `before`: what was known of this interface.
    fn link_of(&self, facts: Arc<InterfaceFacts>, before: Option<&Link>) -> Link {
        let in_use = before.map_or([None; 2], Link::in_use);
        Link::new(
            facts,
            &self.virtual_addresses,
            &self.configured_sources,
            in_use,
        )
    }

    fn link(&self, name: &IfName) -> Option<&Link> {
        self.links.get(self.by_name.get(name)?)
    }
}
