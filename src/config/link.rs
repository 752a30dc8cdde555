//! Names → references, and the checks that need more than one statement.
//!
//! Here drafts become the model: defaults that depend on each other are settled, trackers and groups find what they name,
//! scripts find their files. Source: keepalived's behaviour.

mod global;
mod instance;
mod notify;
mod owner;
mod scripts;
mod servers;
mod statics;
mod sub_links;
mod tracks;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use self::instance::Linked;
use self::scripts::Scripts;
use self::tracks::{Lists, Targets};
use super::Unread;
use super::blocks::Draft;
use super::blocks::server_group;
use super::blocks::sync_group::GroupDraft;
use super::blocks::tracking::TrackDraft;
use super::blocks::vrrp_instance::NotifyDraft;
use super::host::Host;
use super::source::{Code, Concern, Diag, Diags};
use super::table::Gathered;
use crate::model::Config;
use crate::model::diff::Keyed;
use crate::model::global::Global;
use crate::model::links::Linkbeat;
use crate::model::net::{Family, IfName};
use crate::model::track::ScriptTrack;
use crate::model::twins;
use crate::model::vrrp::{Deletion, Instance, Notify, SyncGroup, Terms};

/// Makes the model of what was read; virtual servers are read here.
pub(super) fn link(
    mut draft: Draft,
    mut unread: Unread<'_>,
    host: &dyn Host,
    gathered: &mut Gathered,
) -> Config {
    let diags = &mut gathered.diags;
    diags.about(Concern::Vrrp);
    absent_scripts(&draft, diags);
    let rules = statics::number(&mut draft, diags);
    diags.about(Concern::Daemon);
    let mut scripts = Scripts::new(host, &draft.global.model);
    notify::lifecycle(&mut draft.global, &mut scripts, diags);
    scripts.say("start/shutdown scripts", diags);
    let server_groups = server_group::unique(std::mem::take(&mut draft.server_groups));
    diags.about(Concern::Checkers);
    let mut servers = servers::Servers::new(&server_groups, &draft.global.model);
    while unread.read(host, gathered, &mut draft) {
        let diags = &mut gathered.diags;
        for server in std::mem::take(&mut draft.servers) {
            if servers.is_first() {
                notify::lvs_fifos(&mut draft.global, &mut scripts, diags);
            }
            let around = servers::Around {
                global: &draft.global.model,
                files: &draft.track_files,
                scripts: &mut scripts,
                diags,
            };
            servers.link(server, around);
        }
    }
    let virtual_servers = servers.into_model();
    let diags = &mut gathered.diags;
    scripts.say("check scripts", diags);
    diags.about(Concern::Vrrp);
    // keepalived: an interface that does not exist is the end of it, nothing about instances is looked at any more.
    let mut unheard = Diags::default();
    let diags = if diags.unusable_by(Code::NoInterface) {
        diags.push(Diag::bare(
            None,
            Code::NoInterface,
            "Non-existent interface specified in configuration",
        ));
        &mut unheard
    } else {
        diags
    };
    if !draft.instances.is_empty() {
        notify::vrrp_fifos(&mut draft.global, &mut scripts, diags);
    }
    let mut global = draft.global.model;
    if virtual_servers.is_empty() {
        // None of those that are written can be used.
        global.notify.lvs_fifo = None;
    }
    // Without an instance nobody looks at scripts either.
    scripts.define(draft.scripts, draft.instances.is_empty(), diags);
    let grouped = group_options(&draft.groups);
    let targets = Targets {
        files: draft.track_files,
        processes: draft.track_processes,
        bfds: draft.bfds,
    };
    let mut names = sub_links::Names::new(&draft.instances, host);
    let (mut instances, mut known) = (Vec::new(), HashSet::new());
    let mut sync_daemon = draft.global.sync_daemon;
    let mut linkbeat = draft.linkbeat;
    let mut shared = VecDeque::new();
    for (mut i, rules) in draft.instances.into_iter().zip(rules.of_instances) {
        let of_group = grouped.get(&i.name);
        let weighted = of_group.is_none_or(|g| g.weighted);
        let changes = &mut i.notify.priority_changes;
        *changes = changes.or_else(|| of_group?.priority_changes);
        let (name, span) = (Arc::clone(&i.name), i.span);
        if let Some((interface, span)) = i.sync_daemon.take() {
            sync_daemon.get_or_insert_with(|| global::of_instance(interface, &name, span));
        }
        let polled = i.interface.clone().filter(|_| i.linkbeat);
        linkbeat.extend(polled.map(|interface| Linkbeat {
            interface,
            kind: None,
        }));
        let given = i.track_files.iter().filter(|t| t.weight.is_some());
        let given = given.map(|t| Arc::clone(&t.name)).collect();
        let mut other_tracks = targets.resolve(Lists {
            files: std::mem::take(&mut i.track_files),
            processes: std::mem::take(&mut i.track_processes),
            bfds: std::mem::take(&mut i.track_bfds),
        });
        if !weighted {
            tracks::only_faults(&mut other_tracks, &name, diags);
        }
        match instance::link(i, &global, weighted, &mut scripts, &mut names, diags) {
            Linked::Runs(instance) => {
                let mut instance = *instance;
                (instance.rules, instance.other_tracks) = (rules, other_tracks);
                owner::instance(&mut instance, &given, span, diags);
                share(&mut instance, &mut shared);
                instances.push(Arc::new(instance));
            }
            Linked::Unusable => continue,
        }
        known.insert(name);
    }
    twins::number(&mut instances);
    distinct(&instances, diags);
    let owners = instances.iter().filter(|i| i.is_owner());
    let members = Members {
        known,
        owners: owners.map(|i| Arc::clone(&i.name)).collect(),
    };
    let groups = groups(
        draft.groups,
        &members,
        &targets,
        &global,
        &mut scripts,
        diags,
    );
    doubly_tracked(&groups, &instances, diags);
    scripts.say("scripts", diags);
    global.ipvs.sync_daemon = global::sync_daemon(sync_daemon, &instances, diags);
    let track_groups = statics::groups(draft.track_groups, &instances, diags);
    let statics = statics::link(draft.statics, rules.of_statics, &global, &track_groups);
    statics::follow(&mut instances, &statics, &track_groups);
    let mut delays = draft.delays;
    statics::bound_delays(&mut delays, &instances, diags);
    Config {
        global: Arc::new(global),
        instances,
        groups,
        scripts: scripts.into_model(),
        track_files: targets.files,
        track_processes: targets.processes,
        bfds: targets.bfds,
        garp_groups: draft.garp_groups,
        linkbeat,
        delays,
        statics,
        track_groups,
        server_groups,
        virtual_servers,
    }
}

/// Different terms that are remembered while instances are read.
const TERMS: usize = 16;

/// Lets an instance have the terms of one before it, where they are equal.
fn share(instance: &mut Instance, known: &mut VecDeque<Arc<Terms>>) {
    if let Some(same) = known.iter().find(|terms| **terms == instance.terms) {
        instance.terms = Arc::clone(same);
        return;
    }
    known.truncate(TERMS - 1);
    known.push_front(Arc::clone(&instance.terms));
}

/// What an instance gets from its group.
#[derive(Clone, Copy)]
struct OfGroup {
    /// Members may have weighted trackers of their own.
    weighted: bool,
    priority_changes: Option<bool>,
}

/// By instance.
fn group_options(groups: &[GroupDraft]) -> HashMap<Arc<str>, OfGroup> {
    let mut found = HashMap::new();
    for g in groups {
        let options = OfGroup {
            weighted: g.tracking_weight,
            priority_changes: g.notify.priority_changes,
        };
        for (member, _) in &g.members {
            found.entry(Arc::clone(member)).or_insert(options);
        }
    }
    found
}

/// An instance that is compared by its key, which is made when it is needed: kept, the keys would be larger than all else.
struct ByKey<'a>(&'a Instance);

impl PartialEq for ByKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for ByKey<'_> {}

impl Hash for ByKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

/// Two instances must not be the same virtual router.
fn distinct(instances: &[Arc<Instance>], diags: &mut Diags) {
    let mut seen = HashSet::with_capacity(instances.len());
    for i in instances {
        if let Some(ByKey(first)) = seen.get(&ByKey(i)) {
            let family = match i.family {
                Family::V4 => "IPv4",
                Family::V6 => "IPv6",
            };
            let text = format!(
                "{} and {} both use VRID {} with {family} on interface {}",
                first.name,
                i.name,
                i.vrid,
                i.interface.as_ref().map_or("none", IfName::as_str)
            );
            diags.push(Diag::bare(None, Code::SameVrid, text));
        } else {
            seen.insert(ByKey(i));
        }
    }
}

/// Complains about names in `track_script` that are no script's.
fn absent_scripts(draft: &Draft, diags: &mut Diags) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (order, s) in draft.scripts.iter().enumerate() {
        first.entry(&s.name).or_insert(order);
    }
    let of_instances = draft.instances.iter();
    let of_instances = of_instances.map(|i| (&i.name, &i.track_scripts, i.scripts_before));
    let of_groups = draft.groups.iter();
    let of_groups = of_groups.map(|g| (&g.name, &g.track_scripts, g.scripts_before));
    for (owner, tracks, before) in of_instances.chain(of_groups) {
        for t in tracks {
            if first.get(&*t.name).is_none_or(|order| *order >= before) {
                let text = format!("({owner}) track script {} not found, ignoring...", t.name);
                diags.push(Diag::at(t.span, Code::NotFound, text));
            }
        }
    }
}

/// Looks up the scripts that `track_script` names; those that do not exist or are not run are left out silently.
fn tracked(tracks: Vec<TrackDraft>, before: usize, scripts: &Scripts<'_>) -> Vec<ScriptTrack> {
    let mut found = Vec::new();
    for t in tracks {
        let Some(script) = scripts.named(&t.name, before) else {
            continue;
        };
        if script.runs {
            found.push(ScriptTrack {
                script: t.name,
                weight: t.weight.unwrap_or(script.weight),
                reverse: t.reverse.unwrap_or(script.reverse),
            });
        }
    }
    found
}

fn hooks(
    draft: NotifyDraft,
    global: &Global,
    scripts: &mut Scripts<'_>,
    diags: &mut Diags,
) -> Notify {
    let mut one = |command| scripts.notify(command, diags);
    let mail = &global.mail;
    let alert = draft.smtp_alert.or(mail.alert_vrrp).or(mail.alert);
    let changes = draft.priority_changes;
    Notify {
        master: one(draft.master),
        backup: one(draft.backup),
        fault: one(draft.fault),
        stop: one(draft.stop),
        any: one(draft.any),
        rx_lower_pri: one(draft.rx_lower_pri),
        deletion: if draft.tell_deletion {
            Deletion::Told(one(draft.deleted))
        } else {
            Deletion::AsFault
        },
        priority_changes: changes.unwrap_or(global.notify.priority_changes),
        mail: alert.unwrap_or(false),
    }
}

/// An interface is tracked by the group or by its member, not by both.
fn doubly_tracked(groups: &[Arc<SyncGroup>], instances: &[Arc<Instance>], diags: &mut Diags) {
    let by_name: HashMap<_, _> = instances.iter().map(|i| (&i.name, i)).collect();
    for group in groups {
        for t in &group.track_interfaces {
            for i in group.members.iter().filter_map(|m| by_name.get(m)) {
                let own = i.interface.as_ref() == Some(&t.interface) && !i.dont_track_primary;
                if own
                    || i.track_interfaces
                        .iter()
                        .any(|o| o.interface == t.interface)
                {
                    let text = format!(
                        "({}) track_interface {} is configured on VRRP instance and sync group. Remove vrrp instance or \
                         sync group config",
                        i.name, t.interface
                    );
                    diags.push(Diag::bare(None, Code::Conflict, text));
                }
            }
        }
    }
}

/// Who may be in a sync group.
struct Members {
    /// Instances that exist.
    known: HashSet<Arc<str>>,
    /// Those with priority 255.
    owners: HashSet<Arc<str>>,
}

fn groups(
    drafts: Vec<GroupDraft>,
    members: &Members,
    targets: &Targets,
    global: &Global,
    scripts: &mut Scripts<'_>,
    diags: &mut Diags,
) -> Vec<Arc<SyncGroup>> {
    let mut taken: HashSet<Arc<str>> = HashSet::new();
    let mut found = Vec::new();
    for g in drafts {
        let mut found_members = Vec::new();
        for (member, span) in g.members {
            let (code, text) = if !members.known.contains(&member) {
                let text = format!(
                    "Virtual router {member} specified in sync group {} doesn't exist - ignoring",
                    g.name
                );
                (Code::NotFound, text)
            } else if !taken.insert(Arc::clone(&member)) {
                let text = format!(
                    "Virtual router {member} cannot exist in more than one sync group; ignoring {}",
                    g.name
                );
                (Code::Duplicate, text)
            } else {
                found_members.push(member);
                continue;
            };
            diags.push(Diag::bare(Some(span), code, text));
        }
        if found_members.is_empty() {
            let text = format!(
                "Sync group {}, no matching virtual router found in group declaration - removing",
                g.name
            );
            diags.push(Diag::bare(Some(g.span), Code::SmallGroup, text));
            continue;
        }
        if found_members.len() == 1 {
            let text = format!(
                "Sync group {} has only 1 virtual router(s) - this probably isn't what you want",
                g.name
            );
            diags.push(Diag::bare(Some(g.span), Code::SmallGroup, text));
        }
        let track_scripts = tracked(g.track_scripts, g.scripts_before, scripts);
        let mut group = SyncGroup {
            name: g.name,
            members: found_members,
            tracking_weight: g.tracking_weight,
            track_interfaces: g.track_interfaces,
            track_scripts,
            other_tracks: targets.resolve(Lists {
                files: g.track_files,
                processes: g.track_processes,
                bfds: g.track_bfds,
            }),
            notify: hooks(g.notify, global, scripts, diags),
        };
        owner::group(&mut group, &members.owners, g.span, diags);
        found.push(Arc::new(group));
    }
    found
}
