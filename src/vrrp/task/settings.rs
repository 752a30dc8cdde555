//! Kernel settings of interfaces that others made, and of the whole machine: what they were, so that they can go back to it.
//!
//! Never puts back what somebody else has changed since. Source: the kernel's ip-sysctl.rst.

use std::collections::{BTreeMap, BTreeSet};

use super::leavings::Leaving;
use crate::sys::sysctl;
use crate::vrrp::links::{Settings, Wanted};

/// A setting that was another one before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Changed {
    before: String,
    ours: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct KernelSettings {
    changed: BTreeMap<String, Changed>,
    /// `rp_filter`s, as they were decided when the first VMAC came.
    rp_filters: Option<Settings>,
}

impl KernelSettings {
    /// Counts a change of an earlier run as ours. Another value is somebody else's, or it had not yet come to it.
    pub(super) fn adopt(&mut self, key: String, before: String, ours: String) {
        if sysctl::read(&key).is_ok_and(|now| now == ours) {
            self.changed.insert(key, Changed { before, ours });
        }
    }

    /// What a successor has to know once `settings` are in force.
    pub(super) fn leavings(&self, settings: &Settings) -> BTreeSet<Leaving> {
        let setting = |key: &String, before: &str, ours: &str| Leaving::Setting {
            key: key.clone(),
            before: before.to_owned(),
            ours: ours.to_owned(),
        };
        let mut all = BTreeSet::new();
        for (key, ours) in settings {
            match self.changed.get(key) {
                Some(changed) => _ = all.insert(setting(key, &changed.before, ours)),
                None => {
                    let before = sysctl::read(key).ok().filter(|before| before != ours);
                    all.extend(before.map(|before| setting(key, &before, ours)));
                }
            }
        }
        for (key, changed) in &self.changed {
            all.insert(setting(key, &changed.before, &changed.ours));
        }
        all
    }

    /// What `wanted` needs.
    pub(super) fn of(&mut self, wanted: &Wanted) -> Settings {
        let mut settings = wanted.settings();
        if !wanted.needs_own_rp_filters() {
            self.rp_filters = None;
        } else {
            let plan = self
                .rp_filters
                .get_or_insert_with(|| wanted.rp_filters(&rp_filters()));
            settings.extend(plan.clone());
        }
        settings
    }

    /// Puts them in force, and puts back those that are no longer wanted.
    pub(super) fn set(&mut self, settings: Settings) {
        let over: BTreeSet<String> = self.changed.keys().cloned().collect();
        for key in over.iter().filter(|key| !settings.contains_key(*key)) {
            self.undo(key);
        }
        for (key, value) in settings {
            self.change(key, value);
        }
    }

    fn change(&mut self, key: String, ours: String) {
        let before = match sysctl::read(&key) {
            Ok(before) => before,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                // Its interface is not there; another one of that name begins anew.
                self.changed.remove(&key);
                return;
            }
            Err(e) => return tracing::warn!(key, err = %e, "cannot read a kernel setting"),
        };
        if before == ours {
            return;
        }
        match sysctl::write(&key, &ours) {
            Ok(()) => {
                tracing::info!(
                    "setting sysctl net.{} from {before} to {ours}",
                    dotted(&key)
                );
                // What was there first is what it goes back to.
                let first = self.changed.get(&key).map(|c| c.before.clone());
                let before = first.unwrap_or(before);
                self.changed.insert(key, Changed { before, ours });
            }
            Err(e) => {
                tracing::warn!(key, value = ours, err = %e, "cannot change a kernel setting");
            }
        }
    }

    /// Back to what it was, unless somebody else has changed it since.
    fn undo(&mut self, key: &str) {
        let Some(Changed { before, ours }) = self.changed.remove(key) else {
            return;
        };
        match sysctl::read(key) {
            Ok(now) if now == ours => match sysctl::write(key, &before) {
                Ok(()) => tracing::info!("resetting sysctl net.{} to {before}", dotted(key)),
                Err(e) => {
                    tracing::warn!(key, value = before, err = %e, "cannot change a kernel setting");
                }
            },
            // Not ours any more, or gone with its interface.
            Ok(_) | Err(_) => {}
        }
    }
}

fn dotted(key: &str) -> String {
    key.replace('/', ".")
}

fn rp_filters() -> BTreeMap<String, u8> {
    let names = sysctl::names("ipv4/conf");
    let value = |name: &str| {
        let text = sysctl::read(&format!("ipv4/conf/{name}/rp_filter")).ok()?;
        text.parse().ok()
    };
    names
        .into_iter()
        .filter_map(|name| Some((name.clone(), value(&name)?)))
        .collect()
}
