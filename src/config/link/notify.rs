//! FIFOs and the scripts of start and stop.

use std::sync::Arc;
use std::time::Duration;

use super::scripts::Scripts;
use crate::config::blocks::command::CommandDraft;
use crate::config::blocks::global::{FifoDraft, GlobalDraft};
use crate::config::source::Diags;
use crate::model::notify::{Fifo, Lifecycle};
use crate::model::track::NotifyScript;

/// How long `startup_script` and `shutdown_script` may take.
const LIFECYCLE_TIMEOUT: Duration = Duration::from_secs(10);

/// `startup_script` and `shutdown_script`.
pub(super) fn lifecycle(draft: &mut GlobalDraft, scripts: &mut Scripts<'_>, diags: &mut Diags) {
    let mut one = |command: &mut Option<Box<CommandDraft>>, timeout: Option<Duration>| {
        let script = scripts.notify(command.take(), diags)?;
        let timeout = timeout.unwrap_or(LIFECYCLE_TIMEOUT);
        Some(Lifecycle { script, timeout })
    };
    draft.model.notify.startup = one(&mut draft.startup, draft.startup_timeout);
    draft.model.notify.shutdown = one(&mut draft.shutdown, draft.shutdown_timeout);
}

/// `lvs_notify_fifo` and `notify_fifo`, as the side of virtual servers sees them.
pub(super) fn lvs_fifos(draft: &mut GlobalDraft, scripts: &mut Scripts<'_>, diags: &mut Diags) {
    let script = scripts.notify(draft.lvs_fifo_script.take(), diags);
    draft.model.notify.lvs_fifo = fifo(draft.lvs_fifo.take(), script);
    common_fifo(draft, scripts, diags);
}

/// `vrrp_notify_fifo` and `notify_fifo`, as the side of instances sees them.
pub(super) fn vrrp_fifos(draft: &mut GlobalDraft, scripts: &mut Scripts<'_>, diags: &mut Diags) {
    let script = scripts.notify(draft.vrrp_fifo_script.take(), diags);
    draft.model.notify.vrrp_fifo = fifo(draft.vrrp_fifo.take(), script);
    common_fifo(draft, scripts, diags);
}

/// Both sides use its script, and each says so when scripts are not secure; other complaints come once.
fn common_fifo(draft: &mut GlobalDraft, scripts: &mut Scripts<'_>, diags: &mut Diags) {
    let mut unheard = Diags::default();
    let diags = if draft.model.notify.fifo.is_some() {
        &mut unheard
    } else {
        diags
    };
    let script = scripts.notify(draft.fifo_script.clone(), diags);
    draft.model.notify.fifo = fifo(draft.fifo.clone(), script);
}

fn fifo(draft: Option<FifoDraft>, script: Option<Arc<NotifyScript>>) -> Option<Fifo> {
    let FifoDraft { path, owner } = draft?;
    Some(Fifo {
        path,
        owner,
        script,
    })
}
