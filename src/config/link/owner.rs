//! An owner's priority never changes: it has no weighted trackers. keepalived: but processes may have a weight.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::source::{Code, Diag, Diags, Span};
use crate::model::track::{OtherTracks, Tracked, Weight};
use crate::model::vrrp::{Instance, SyncGroup};

/// Complains about one block.
struct Voice<'a> {
    name: &'a str,
    span: Span,
    diags: &'a mut Diags,
}

impl Voice<'_> {
    fn say(&mut self, text: &str) {
        let text = format!("({}) {text}", self.name);
        let diag = Diag::bare(Some(self.span), Code::Conflict, text);
        self.diags.push(diag);
    }
}

/// Leaves out what has a weight. `given`: files whose weight stands in the instance itself.
pub(super) fn instance(v: &mut Instance, given: &HashSet<Arc<str>>, span: Span, diags: &mut Diags) {
    if !v.is_owner() {
        return;
    }
    let name = Arc::clone(&v.name);
    let name = &*name;
    let mut voice = Voice { name, span, diags };
    v.track_interfaces.retain(|t| {
        let keep = t.weight == Weight::Fault;
        if !keep {
            let name = &t.interface;
            voice.say(&format!(
                "ignoring {name} tracked interface due to address owner"
            ));
        }
        keep
    });
    v.track_scripts.retain(|t| {
        let keep = t.weight == Weight::Fault;
        if !keep {
            let name = &t.script;
            voice.say(&format!(
                "ignoring tracked script {name} with weights due to address_owner"
            ));
        }
        keep
    });
    let OtherTracks {
        files,
        processes: _,
        bfds,
    } = &mut v.other_tracks;
    for t in files.iter_mut().filter(|t| !given.contains(&t.name)) {
        if t.weight != Weight::Fault {
            let name = &t.name;
            voice.say(&format!(
                "ignoring weight from tracked file {name} due to address_owner. specify weight 0"
            ));
            t.weight = Weight::Fault;
        }
    }
    for (what, list) in [("file", files), ("bfd", bfds)] {
        list.retain(|t| match t.weight {
            Weight::Fault => true,
            Weight::Adjust(weight) => {
                let name = &t.name;
                voice.say(&format!(
                    "ignoring tracked {what} {name} with weight {weight} due to address_owner"
                ));
                false
            }
        });
    }
}

/// Takes the weights of a group away that one of `owners` is in.
pub(super) fn group(g: &mut SyncGroup, owners: &HashSet<Arc<str>>, span: Span, diags: &mut Diags) {
    if !g.members.iter().any(|m| owners.contains(m)) {
        return;
    }
    let name = Arc::clone(&g.name);
    let name = &*name;
    let mut voice = Voice { name, span, diags };
    let mut clear = |what: &str, name: &str, weight: &mut Weight, how: &str| {
        if *weight != Weight::Fault {
            voice.say(&format!(
                "Cannot have weighted track {what} '{name}' with member having priority 255 - {how}"
            ));
            *weight = Weight::Fault;
        }
    };
    for t in &mut g.track_interfaces {
        let name = t.interface.as_str();
        clear("interface", name, &mut t.weight, "clearing weight");
    }
    for t in &mut g.track_scripts {
        clear("script", &t.script, &mut t.weight, "clearing weight");
    }
    let OtherTracks {
        files,
        processes,
        bfds,
    } = &mut g.other_tracks;
    let lists: [(&str, &mut Vec<Tracked>); 3] =
        [("file", files), ("process", processes), ("bfd", bfds)];
    for (what, list) in lists {
        for t in list {
            clear(what, &t.name, &mut t.weight, "setting weight 0");
        }
    }
}
