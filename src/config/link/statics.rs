//! Static entries: track groups find their instances, rules their numbers.

use std::sync::Arc;

use crate::config::blocks::Draft;
use crate::config::blocks::rule_line::RuleDraft;
use crate::config::blocks::statics::{StaticsDraft, TrackGroupDraft};
use crate::config::source::{Code, Diag, Diags, Weight};
use crate::model::global::Global;
use crate::model::net::IfName;
use crate::model::route::{Rule, Static, Statics, TrackGroup};
use crate::model::vrrp::Instance;

/// The preference of the first rule that says none; each further one gets the number below.
const FIRST_PREFERENCE: u32 = 16384;

/// Rules that have their numbers.
pub(super) struct Numbered {
    pub(super) of_statics: Vec<Static<Rule>>,
    /// As many as there are instances, in the same order.
    pub(super) of_instances: Vec<Vec<Rule>>,
}

/// Numbers the rules without a preference, counting down in the order of the file.
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
    let mut free = FIRST_PREFERENCE;
    for (of, draft) in all {
        let (span, group) = (draft.span, draft.group.clone());
        let rule = draft.numbered(|| {
            let text = format!(
                "Rule has no preference specified - setting to {free}. This is probably not what you want."
            );
            diags.push(Diag::at(span, Code::Defaulted, text));
            let taken = free;
            free = free.saturating_sub(1);
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
            diags.push(Diag::at(span, Code::NotFound, text).weighing(Weight::Log));
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
