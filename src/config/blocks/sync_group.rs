//! `vrrp_sync_group`.

use std::rc::Rc;
use std::sync::Arc;

use super::super::source::Span;
use super::super::table::{Block, filled, key, lines, raw, renamed, words};
use super::command;
use super::root::Trackers;
use super::tracking::{self, TrackDraft, other as other_tracker};
use super::vrrp_instance::NotifyDraft;
use crate::model::track::InterfaceTrack;

/// A `vrrp_sync_group` block.
#[derive(Clone, Debug)]
pub(crate) struct GroupDraft {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
    /// How many scripts were known when the block began.
    pub(crate) scripts_before: usize,
    pub(crate) dynamic: bool,
    pub(crate) members: Vec<(Arc<str>, Span)>,
    pub(crate) track_interfaces: Vec<InterfaceTrack>,
    pub(crate) track_scripts: Vec<TrackDraft>,
    pub(crate) tracking_weight: bool,
    pub(crate) notify: NotifyDraft,
    pub(crate) track_files: Vec<TrackDraft>,
    pub(crate) track_processes: Vec<TrackDraft>,
    pub(crate) track_bfds: Vec<TrackDraft>,
    known: Rc<Trackers>,
}

impl GroupDraft {
    pub(crate) fn new(name: &str, span: Span, known: Rc<Trackers>, dynamic: bool) -> Self {
        Self {
            name: name.into(),
            span,
            scripts_before: known.scripts.get(),
            dynamic,
            members: Vec::new(),
            track_interfaces: Vec::new(),
            track_scripts: Vec::new(),
            tracking_weight: false,
            notify: NotifyDraft::default(),
            track_files: Vec::new(),
            track_processes: Vec::new(),
            track_bfds: Vec::new(),
            known,
        }
    }
}

pub(crate) static VRRP_SYNC_GROUP: Block<GroupDraft> = Block {
    name: "vrrp_sync_group",
    rows: &[
        filled(words("group", "{ <INSTANCE> ... }", |v, a| {
            let name = a.word()?;
            v.members.push((name.into(), a.here()));
            Ok(())
        })),
        lines(
            "track_interface",
            "{ <IFNAME> [weight <int> [reverse]] ... }",
            |v, a| tracking::interface(a, &v.name, v.dynamic, &mut v.track_interfaces),
        ),
        lines(
            "track_script",
            "{ <NAME> [weight <int> [reverse|noreverse]] ... }",
            |v, a| tracking::tracked(a, &v.name, &mut v.track_scripts),
        ),
        raw(key(
            "notify_backup",
            "<CMD> [<USER> [[:]<GROUP>]]",
            |v, a| command::script(a, &mut v.notify.backup, v.known.nobody),
        )),
        raw(key(
            "notify_master",
            "<CMD> [<USER> [[:]<GROUP>]]",
            |v, a| command::script(a, &mut v.notify.master, v.known.nobody),
        )),
        raw(key(
            "notify_fault",
            "<CMD> [<USER> [[:]<GROUP>]]",
            |v, a| command::script(a, &mut v.notify.fault, v.known.nobody),
        )),
        raw(key("notify_stop", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.notify.stop, v.known.nobody)
        })),
        raw(key("notify", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.notify.any, v.known.nobody)
        })),
        key("smtp_alert", "[<bool>]", |v, a| {
            a.bool().map(|on| v.notify.smtp_alert = Some(on))
        }),
        key("notify_priority_changes", "[<bool>]", |v, a| {
            a.bool().map(|on| v.notify.priority_changes = Some(on))
        }),
        lines(
            "track_file",
            "{ <NAME> [weight <int> [reverse|noreverse]] ... }",
            |v, a| other_tracker(a, &v.name, &v.known.files, "file", &mut v.track_files),
        ),
        lines(
            "track_process",
            "{ <NAME> [weight <int> [reverse|noreverse]] ... }",
            |v, a| {
                other_tracker(
                    a,
                    &v.name,
                    &v.known.processes,
                    "process",
                    &mut v.track_processes,
                )
            },
        ),
        lines(
            "track_bfd",
            "{ <NAME> [weight <int> [reverse|noreverse]] ... }",
            |v, a| other_tracker(a, &v.name, &v.known.bfds, "bfd", &mut v.track_bfds),
        ),
        renamed("global_tracking", "sync_group_tracking_weight"),
        key("sync_group_tracking_weight", "flag", |v, a| {
            a.flag().map(|on| v.tracking_weight = on)
        }),
    ],
    more: &[],
};
