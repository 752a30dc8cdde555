//! `track_file`, `track_process` and `track_bfd`: names find what they track, and its weight where they give none.

use std::sync::Arc;

use crate::config::blocks::tracking::TrackDraft;
use crate::config::source::{Code, Diag, Diags};
use crate::model::bfd::BfdInstance;
use crate::model::track::{OtherTracks, TrackFile, TrackProcess, Tracked, Weight};

/// Everything that can be tracked by name, scripts apart.
pub(super) struct Targets {
    pub(super) files: Vec<Arc<TrackFile>>,
    pub(super) processes: Vec<Arc<TrackProcess>>,
    pub(super) bfds: Vec<Arc<BfdInstance>>,
}

/// The lists of an instance or a group; their names are known.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) files: Vec<TrackDraft>,
    pub(super) processes: Vec<TrackDraft>,
    pub(super) bfds: Vec<TrackDraft>,
}

impl Targets {
    /// Resolves the lists.
    pub(super) fn resolve(&self, lists: Lists) -> OtherTracks {
        let file = |t: &TrackDraft| {
            let found = self.files.iter().find(|f| f.name == t.name)?;
            Some((found.weight, found.reverse))
        };
        let process = |t: &TrackDraft| {
            let found = self.processes.iter().find(|p| p.name == t.name)?;
            Some((found.weight, found.reverse))
        };
        let bfd = |t: &TrackDraft| {
            let found = self.bfds.iter().find(|b| b.name == t.name)?;
            Some((found.weight, found.reverse))
        };
        OtherTracks {
            files: all(lists.files, file),
            processes: all(lists.processes, process),
            bfds: all(lists.bfds, bfd),
        }
    }
}

fn all(
    drafts: Vec<TrackDraft>,
    target: impl Fn(&TrackDraft) -> Option<(Weight, bool)>,
) -> Vec<Tracked> {
    let one = |t: TrackDraft| {
        let (weight, reverse) = target(&t)?;
        Some(Tracked {
            weight: t.weight.unwrap_or(weight),
            reverse: t.reverse.unwrap_or(reverse),
            name: t.name,
        })
    };
    drafts.into_iter().filter_map(one).collect()
}

/// Leaves out what has a weight: a sync group forbids it to its member `owner`. keepalived: processes may have one.
pub(super) fn only_faults(tracks: &mut OtherTracks, owner: &str, diags: &mut Diags) {
    let OtherTracks {
        files,
        processes: _,
        bfds,
    } = tracks;
    for (what, list) in [("file", files), ("bfd", bfds)] {
        list.retain(|t| {
            let keep = t.weight == Weight::Fault;
            if !keep {
                let text = format!(
                    "({owner}) ignoring tracked {what} {} with weights due to SYNC group",
                    t.name
                );
                diags.push(Diag::bare(None, Code::Conflict, text));
            }
            keep
        });
    }
}
