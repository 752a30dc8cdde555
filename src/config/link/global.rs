//! What `global_defs` names.

use std::sync::Arc;

use crate::config::blocks::global_net::SyncDaemonDraft;
use crate::config::source::{Code, Diag, Diags, Span, Weight};
use crate::model::global::SyncDaemon;
use crate::model::net::IfName;
use crate::model::vrrp::Instance;

/// `lvs_sync_daemon_interface` of an instance, which is older: as `lvs_sync_daemon INTERFACE inst INSTANCE id 0`.
pub(super) fn of_instance(interface: IfName, instance: &Arc<str>, span: Span) -> SyncDaemonDraft {
    SyncDaemonDraft {
        model: SyncDaemon {
            instance: Some(Arc::clone(instance)),
            ..SyncDaemon::on(interface)
        },
        // keepalived: this one does not take the id of its instance.
        id: Some(0),
        span,
    }
}

/// `lvs_sync_daemon`: without the instance that it names there is none.
pub(super) fn sync_daemon(
    draft: Option<SyncDaemonDraft>,
    instances: &[Arc<Instance>],
    diags: &mut Diags,
) -> Option<SyncDaemon> {
    let SyncDaemonDraft { model, id, span } = draft?;
    let Some(name) = &model.instance else {
        let id = id.unwrap_or(0);
        return Some(SyncDaemon { id, ..model });
    };
    let Some(instance) = instances.iter().find(|i| i.name == *name) else {
        let text = format!("lvs_sync_daemon: instance {name} not found - ignoring");
        diags.push(Diag::at(span, Code::NotFound, text).weighing(Weight::Log));
        return None;
    };
    let id = id.unwrap_or(instance.vrid.0.get());
    Some(SyncDaemon { id, ..model })
}
