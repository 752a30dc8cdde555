//! How it is, in one sentence for `systemctl status`. Follows the notices; asks only whether an interface exists.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bus::{Notice, VrrpState};
use super::rows::{Named, Rows};
use crate::model::Config;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Status {
    states: Rows<(Arc<str>, VrrpState)>,
    /// Real servers that are down, each with its virtual server.
    down: BTreeSet<(Arc<str>, Arc<str>)>,
    /// The last reload was refused.
    refused: bool,
    said: String,
    /// Whether there is an interface of that name; `None`: all are.
    is_there: Option<fn(&str) -> bool>,
}

impl Named for (Arc<str>, VrrpState) {
    fn name(&self) -> &str {
        &self.0
    }
}

impl Status {
    /// `is_there`: whether there is an interface of that name.
    pub(super) fn new(is_there: fn(&str) -> bool) -> Self {
        Self {
            is_there: Some(is_there),
            ..Self::default()
        }
    }

    fn state_of(&self, name: &str) -> Option<VrrpState> {
        self.states.get(name).map(|(_, state)| *state)
    }

    fn entered(&mut self, name: &Arc<str>, state: VrrpState) {
        let new = || (Arc::clone(name), state);
        self.states.get_or_insert_with(name, new).1 = state;
    }

    /// Interfaces that do not exist, of instances in fault.
    fn missing<'a>(&self, config: &'a Config) -> BTreeSet<&'a str> {
        let in_fault = |name: &str| self.state_of(name) == Some(VrrpState::Fault);
        let faulty = config.instances.iter().filter(|i| in_fault(&i.name));
        let names = faulty.filter_map(|i| i.interface.as_ref());
        let gone = |name: &&str| self.is_there.is_some_and(|is_there| !is_there(name));
        names.map(|name| name.as_str()).filter(gone).collect()
    }

    /// Takes note of what happened.
    pub(super) fn heard(&mut self, notice: &Notice) {
        match notice {
            Notice::Instance {
                instance, state, ..
            } => {
                self.entered(&instance.name, *state);
            }
            Notice::RealServer { vs, rs, up, .. } => {
                let server = (Arc::clone(vs), Arc::clone(rs));
                match up {
                    true => self.down.remove(&server),
                    false => self.down.insert(server),
                };
            }
            Notice::Group { .. }
            | Notice::LowerPriorityHeard { .. }
            | Notice::PriorityChanged { .. }
            | Notice::VirtualServer { .. }
            | Notice::ServerMail { .. } => {}
        }
    }

    /// A reload is over.
    pub(super) fn reloaded(&mut self, config: &Config, taken: bool) {
        self.refused = !taken;
        let there: BTreeSet<&str> = config.instances.iter().map(|i| &*i.name).collect();
        self.states.retain(|(name, _)| there.contains(&**name));
        if config.virtual_servers.is_empty() {
            self.down.clear();
        }
    }

    /// The sentence, unless it was said already.
    pub(super) fn news(&mut self, config: &Config) -> Option<String> {
        let sentence = self.sentence(config);
        (sentence != self.said).then(|| {
            self.said.clone_from(&sentence);
            sentence
        })
    }

    /// What to say in any case.
    pub(super) fn sentence(&self, config: &Config) -> String {
        let mut parts = Vec::new();
        let all = config.instances.len();
        if all > 0 {
            let mut states = Vec::new();
            for (state, word) in [
                (VrrpState::Master, "master"),
                (VrrpState::Backup, "backup"),
                (VrrpState::Fault, "in fault"),
            ] {
                let of: Vec<_> = self.states.iter().filter(|(_, s)| *s == state).collect();
                match (of.len(), of.first()) {
                    (0, _) | (_, None) => {}
                    (n, Some(_)) if n == all && n > 1 => states.push(format!("all {n} {word}")),
                    (1, Some((name, _))) => states.push(format!("{name} {word}")),
                    (n, Some(_)) => states.push(format!("{n} {word}")),
                }
            }
            let plural = if all == 1 { "instance" } else { "instances" };
            if states.is_empty() {
                parts.push(format!("{all} {plural}"));
            } else {
                parts.push(format!("{all} {plural}: {}", states.join(", ")));
            }
            let missing = self.missing(config);
            if let Some(first) = missing.first() {
                let more = match missing.len() - 1 {
                    0 => String::new(),
                    n => format!(" and {n} more"),
                };
                parts.push(format!("waiting for interface {first}{more}"));
            }
        }
        let servers: usize = config
            .virtual_servers
            .iter()
            .map(|v| v.real_servers.len())
            .sum();
        if servers > 0 {
            let up = servers.saturating_sub(self.down.len());
            parts.push(format!("{up} of {servers} real servers up"));
        }
        let refused = if self.refused {
            "; the last reload was refused, the configuration before it is in force"
        } else {
            ""
        };
        if parts.is_empty() {
            return format!("Running, nothing is configured{refused}");
        }
        format!("Running {}{refused}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::global::Global;
    use crate::model::net::IfName;
    use crate::model::vrrp::{Instance, Vrid};

    #[test]
    fn the_sentence_follows_the_states() {
        let instance = |name: &str, vrid: u8| {
            let eth0 = IfName::new("eth0").expect("a name");
            let vrid = Vrid(vrid.try_into().expect("not zero"));
            Arc::new(Instance::new(name, eth0, vrid, &Global::default()))
        };
        let config = Config {
            instances: vec![instance("A", 1), instance("B", 2)],
            ..Config::default()
        };
        let mut status = Status::default();
        assert_eq!(status.sentence(&config), "Running 2 instances");
        for (n, state) in [(0, VrrpState::Master), (1, VrrpState::Fault)] {
            status.heard(&Notice::Instance {
                instance: Arc::clone(&config.instances[n]),
                state,
                priority: 100,
            });
        }
        let two = "Running 2 instances: A master, B in fault";
        assert_eq!(status.news(&config).as_deref(), Some(two));
        assert_eq!(status.news(&config), None);
        status.is_there = Some(|name| name != "eth0");
        let waiting = format!("{two}, waiting for interface eth0");
        assert_eq!(status.news(&config), Some(waiting));
        let one = Config {
            instances: vec![instance("A", 1)],
            ..Config::default()
        };
        status.reloaded(&one, true);
        assert_eq!(status.sentence(&one), "Running 1 instance: A master");
        status.reloaded(&one, false);
        assert!(
            status
                .sentence(&one)
                .contains("the last reload was refused")
        );
        assert_eq!(
            Status::default().sentence(&Config::default()),
            "Running, nothing is configured"
        );
    }
}
