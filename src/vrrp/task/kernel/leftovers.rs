//! What an earlier run left in the kernel: found at start, removed unless somebody wants it at once.

use std::collections::HashMap;

use super::entry::{self, Entry, Key, Owner};
use super::{Cause, Kernel};
use crate::model::Config;
use crate::model::diff::Keyed as _;
use crate::reconcile::Op;
use crate::sys::netlink::Request;
use crate::vrrp::desired::Desired;
use crate::vrrp::router::Inheritance;

/// In the configuration and, as far as we can tell, in the kernel when we started.
#[derive(Debug, Default)]
pub(super) struct Leftovers(HashMap<Key, Entry>);

impl Leftovers {
    /// Somebody wants it: it is his now.
    pub(super) fn claim(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Takes all of them.
    pub(super) fn removals(&mut self) -> Vec<Request> {
        let all = std::mem::take(&mut self.0);
        all.iter()
            .filter_map(|(key, entry)| entry.del(key))
            .collect()
    }
}

impl Kernel {
    /// Looks for what `config` may want in the kernel and is there already, and removes what nobody who is master at once (an
    /// owner, an heir) and no static entry will want in a moment. To be called once, before the first configuration is
    /// in force.
    pub(in crate::vrrp::task) fn find_leftovers(
        &mut self,
        config: &Config,
        Inheritance(heirs): &Inheritance,
    ) {
        let mut doomed = Vec::new();
        for instance in &config.instances {
            let addresses = instance.addresses.iter().chain(&instance.excluded);
            let desired = Desired {
                guarded: false,
                addresses: addresses.cloned().collect(),
                routes: instance.routes.clone(),
                rules: instance.rules.clone(),
            };
            let (wanted, _) = entry::wanted(desired, self.monitor.view());
            for (key, entry) in wanted {
                if let (Key::Address(key), Entry::Address(vip)) = (&key, &entry) {
                    if self.monitor.view().address_options(key).is_none() {
                        continue;
                    }
                    tracing::info!(addr = %vip.addr, iface = %vip.dev, "found an address of an earlier run");
                }
                if instance.is_owner() || heirs.contains_key(&instance.key()) {
                    self.leftovers.0.insert(key, entry);
                } else {
                    doomed.push(Op::Del(key, entry));
                }
            }
        }
        self.discard(doomed);
        self.discard_forgotten(config);
    }

    /// Removes the rest of them, unless what was asked for until now has claimed it. To be called once, after the
    /// first configuration is in force.
    pub(in crate::vrrp::task) fn sweep_leftovers(&mut self) {
        let rest = std::mem::take(&mut self.leftovers.0);
        self.discard(
            rest.into_iter()
                .map(|(key, entry)| Op::Del(key, entry))
                .collect(),
        );
    }

    fn discard(&mut self, mut doomed: Vec<Op<Key, Entry>>) {
        doomed.sort_by_key(entry::rank);
        if !doomed.is_empty() {
            self.depart(Owner::Statics, doomed, Cause::Repair, true);
        }
    }
}
