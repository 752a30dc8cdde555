//! Static entries: track groups find their instances, rules their numbers.

use std::sync::Arc;

use crate::config::blocks::Draft;
use crate::config::blocks::rule_line::RuleDraft;
use crate::config::blocks::statics::{StaticsDraft, TrackGroupDraft};
use crate::config::source::{Code, Diag, Diags, Weight as Heed};
use crate::model::global::Global;
use crate::model::links::UpDownDelay;
use crate::model::net::{Family, IfName};
use crate::model::route::{Route, Rule, Static, Statics, TrackGroup};
use crate::model::track::{InterfaceTrack, Weight};
use crate::model::vrrp::Instance;

/// The preference of the first rule that says none; each further one gets the number below.
const FIRST_PREFERENCE: u32 = 16384;

/// Rules that have their numbers.
pub(super) struct Numbered {
    pub(super) of_statics: Vec<Static<Rule>>,
    /// As many as there are instances, in the same order.
    pub(super) of_instances: Vec<Vec<Rule>>,
}

/// Numbers the rules without a preference, counting down in the order of the file, IPv4 and IPv6 each for itself.
pub(super) fn number(draft: &mut Draft, diags: &mut Diags) -> Numbered {
    const STATIC: usize = usize::MAX;
    let mut all: Vec<(usize, RuleDraft)> = Vec::new();
    all.extend(draft.statics.rules.drain(..).map(|r| (STATIC, r)));
    for (of, i) in draft.instances.iter_mut().enumerate() {
        all.extend(i.rules.drain(..).map(|r| (of, r)));
    }
    all.sort_by_key(|(_, r)| (r.span.file, r.span.line));
    let mut found = Numbered {
        of_statics: Vec::new(),
        of_instances: vec![Vec::new(); draft.instances.len()],
    };
    let (mut free4, mut free6) = (FIRST_PREFERENCE, FIRST_PREFERENCE);
    for (of, draft) in all {
        let (span, group) = (draft.span, draft.group.clone());
        let free = match draft.family() {
            Family::V4 => &mut free4,
            Family::V6 => &mut free6,
        };
        let rule = draft.numbered(|| {
            let text = format!(
                "Rule has no preference specified - setting to {free}. This is probably not what you want."
            );
            diags.push(Diag::at(span, Code::Defaulted, text));
            let taken = *free;
            *free = free.saturating_sub(1);
            taken
        });
        match found.of_instances.get_mut(of) {
            Some(rules) => rules.push(rule),
            None => found.of_statics.push(Static { entry: rule, group }),
        }
    }
    found
}

/// Groups with at least one instance that exists.
pub(super) fn groups(
    drafts: Vec<TrackGroupDraft>,
    instances: &[Arc<Instance>],
    diags: &mut Diags,
) -> Vec<Arc<TrackGroup>> {
    let mut found = Vec::new();
    for draft in drafts {
        let name = draft.name;
        let known = |member: &Arc<str>| instances.iter().any(|i| i.name == *member);
        let mut members = Vec::new();
        for (member, span) in draft.members {
            if known(&member) {
                members.push(member);
                continue;
            }
            let text = format!("track_group {name}: instance {member} does not exist - ignoring");
            diags.push(Diag::at(span, Code::NotFound, text).weighing(Heed::Log));
        }
        if !members.is_empty() {
            found.push(Arc::new(TrackGroup { name, members }));
        }
    }
    found
}

/// Fills in default interfaces, and forgets groups that did not come to be.
pub(super) fn link(
    draft: StaticsDraft,
    rules: Vec<Static<Rule>>,
    global: &Global,
    groups: &[Arc<TrackGroup>],
) -> Statics {
    let exists = |group: Option<Arc<str>>| group.filter(|g| groups.iter().any(|k| k.name == *g));
    let default = IfName::new(global.static_interface());
    let addresses = draft.addresses.into_iter().filter_map(|s| {
        let dev = s.entry.dev.clone().or_else(|| default.clone())?;
        Some(Static {
            entry: s.entry.on(&dev),
            group: exists(s.group),
        })
    });
    let routes = draft.routes.into_iter().map(|s| Static {
        group: exists(s.group),
        ..s
    });
    let rules = rules.into_iter().map(|s| Static {
        group: exists(s.group),
        ..s
    });
    Statics {
        addresses: addresses.collect(),
        routes: routes.collect(),
        rules: rules.collect(),
    }
}

/// Members of a group follow the interfaces of the static entries that name it.
pub(super) fn follow(
    instances: &mut [Arc<Instance>],
    statics: &Statics,
    groups: &[Arc<TrackGroup>],
) {
    let route = |r: &Route| -> Vec<IfName> {
        let hops = r.nexthops.iter().filter_map(|hop| hop.dev.as_ref());
        r.dev.iter().chain(hops).cloned().collect()
    };
    let mut followed: Vec<(&Arc<str>, IfName)> = Vec::new();
    for s in &statics.addresses {
        followed.extend(s.group.iter().map(|g| (g, s.entry.dev.clone())));
    }
    for s in &statics.routes {
        let devs = route(&s.entry);
        followed.extend(
            s.group
                .iter()
                .flat_map(|g| devs.iter().cloned().map(move |d| (g, d))),
        );
    }
    for s in &statics.rules {
        followed.extend(s.group.as_ref().zip(s.entry.iif.clone()));
    }
    for (group, interface) in followed {
        let members = groups.iter().filter(|g| g.name == *group);
        let members: Vec<&Arc<str>> = members.flat_map(|g| &g.members).collect();
        for instance in instances.iter_mut().filter(|i| members.contains(&&i.name)) {
            let known = instance.interface.as_ref() == Some(&interface)
                || instance
                    .track_interfaces
                    .iter()
                    .any(|t| t.interface == interface);
            if !known {
                Arc::make_mut(instance)
                    .track_interfaces
                    .push(InterfaceTrack {
                        interface: interface.clone(),
                        weight: Weight::Fault,
                        reverse: false,
                    });
            }
        }
    }
}

/// keepalived: a delay may not hide a dead link for longer than a backup waits for adverts.
pub(super) fn bound_delays(
    delays: &mut [UpDownDelay],
    instances: &[Arc<Instance>],
    diags: &mut Diags,
) {
    for delay in delays {
        let of = instances
            .iter()
            .filter(|i| i.interface.as_ref() == Some(&delay.interface));
        let bound = |i: &Arc<Instance>| {
            i.advert_int * (i.down_timer_adverts.max(2) - 1) - i.advert_int / 256
        };
        let Some(bound) = of.map(bound).min() else {
            continue;
        };
        for (name, value) in [("down", &mut delay.down), ("up", &mut delay.up)] {
            if *value > bound {
                let text = format!(
                    "interface_up_down_delays {}: {name} delay {value:?} reduced to {bound:?}, or adverts would be missed",
                    delay.interface
                );
                diags.push(Diag::bare(None, Code::OutOfRange, text).weighing(Heed::Log));
                *value = bound;
            }
        }
    }
}
