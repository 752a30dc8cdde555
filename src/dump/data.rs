//! `keepalived.data`: configuration and state of the VRRP side.

mod instance;
mod interfaces;
mod members;
mod sockets;
mod trackers;

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use super::Times;
use super::global::Part;
use super::lines::Lines;
use super::words::{Address, RouteLine, RuleLine};
use crate::daemon::bus::{InstanceSnapshot, TrackSnapshot};
use crate::model::Config;
use crate::model::track::Weight;
pub(crate) use interfaces::{Hardware, Interface};

/// What was found when the file was asked for. The default: nothing, as for `-d`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now<'a> {
    pub(crate) instances: &'a [InstanceSnapshot],
    /// `None`: the trackers were not asked.
    pub(crate) trackers: Option<&'a TrackSnapshot>,
    /// Those of the machine, by their numbers.
    pub(crate) interfaces: &'a [Interface],
}

/// The file. Instances without a snapshot are shown without their run-time lines, as `-d` does.
pub(crate) fn data(config: &Config, now: &Now<'_>, times: &Times) -> String {
    let mut text = Text(super::global::global(config, Part::Vrrp));
    let nothing = TrackSnapshot::default();
    let trackers = now.trackers.unwrap_or(&nothing);
    text.garp_groups(config);
    text.statics(config, now.interfaces);
    text.section_of("VRRP Topology", &config.instances);
    let groups = config.groups.iter();
    let groups: HashMap<&str, &str> = groups
        .flat_map(|g| g.members.iter().map(|m| (&**m, &*g.name)))
        .collect();
    let found = now.instances.iter().map(|s| (&*s.instance.name, s));
    let found: HashMap<&str, &InstanceSnapshot> = found.collect();
    for instance in &config.instances {
        let group = groups.get(&*instance.name).copied();
        let snapshot = found.get(&*instance.name).copied();
        text.instance(instance, group, snapshot, now.interfaces, times);
    }
    text.sockets(now);
    text.section_of("VRRP Sync groups", &config.groups);
    for group in &config.groups {
        text.group(group, now.instances);
    }
    text.section_of("VRRP Scripts", &config.scripts);
    for script in &config.scripts {
        text.script(script, config, trackers.scripts.get(&script.name));
    }
    // keepalived: those of checkers are none of the VRRP part's.
    let tracked: HashSet<&str> = {
        let instances = config.instances.iter().map(|i| &i.other_tracks);
        let groups = config.groups.iter().map(|g| &g.other_tracks);
        let files = instances.chain(groups).flat_map(|t| &t.files);
        files.map(|t| &*t.name).collect()
    };
    let files = config.track_files.iter();
    let files: Vec<_> = files.filter(|f| tracked.contains(&*f.name)).collect();
    text.section_of("VRRP Track files", &files);
    for file in files {
        text.track_file(file, config, trackers.files.get(&file.name));
    }
    text.section_of("VRRP Track processes", &config.track_processes);
    for process in &config.track_processes {
        text.track_process(process, config, trackers.processes.get(&process.name));
    }
    text.bfds(config);
    text.section_of("Interfaces", now.interfaces);
    for interface in now.interfaces {
        text.interface(interface, config, now.interfaces);
    }
    text.0
}

struct Text(String);

impl Lines for Text {
    fn text(&mut self) -> &mut String {
        &mut self.0
    }
}

impl Text {
    fn section(&mut self, title: &str) {
        self.line(format_args!("------< {title} >------"));
    }

    /// The heading of what is not empty.
    fn section_of<T>(&mut self, title: &str, members: &[T]) {
        if !members.is_empty() {
            self.section(title);
        }
    }

    /// Nothing when there are no members.
    fn list<T: Display>(&mut self, label: &str, members: impl IntoIterator<Item = T>) {
        let mut members = members.into_iter().peekable();
        if members.peek().is_some() {
            self.line(format_args!("   {label} :"));
        }
        members.for_each(|m| self.line(format_args!("     {m}")));
    }

    fn statics(&mut self, config: &Config, interfaces: &[Interface]) {
        let statics = &config.statics;
        self.section_of("Static Addresses", &statics.addresses);
        for a in &statics.addresses {
            let device = interfaces.iter().find(|i| i.name == a.entry.dev.as_str());
            let line = Address {
                addr: &a.entry,
                base: None,
                track_group: a.group.as_deref(),
                set: device.is_some_and(|i| i.addresses.contains(&a.entry.addr)),
                blocked: false,
            };
            self.line(format_args!("     {line}"));
        }
        self.section_of("Static Routes", &statics.routes);
        for r in &statics.routes {
            let (route, track_group) = (&r.entry, r.group.as_deref());
            self.line(format_args!("     {}", RouteLine { route, track_group }));
        }
        self.section_of("Static Rules", &statics.rules);
        for r in &statics.rules {
            let (rule, track_group) = (&r.entry, r.group.as_deref());
            self.line(format_args!("     {}", RuleLine { rule, track_group }));
        }
        self.section_of("Static Track groups", &config.track_groups);
        for group in &config.track_groups {
            self.line(format_args!(" Static Track Group = {}", group.name));
            self.list("VRRP member instances", &group.members);
        }
    }
}

/// `W` or `W reverse`.
pub(super) struct Weighted(pub(super) Weight, pub(super) bool);

impl Display for Weighted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let weight = match self.0 {
            Weight::Fault => 0,
            Weight::Adjust(n) => n,
        };
        write!(f, "{weight}{}", if self.1 { " reverse" } else { "" })
    }
}

#[cfg(test)]
pub(crate) mod tests;
