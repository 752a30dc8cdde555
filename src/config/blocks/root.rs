//! The top level of the file.

use super::super::source::Code;
use super::super::table::{Block, early, sub};
use super::global::{GLOBAL_DEFS, GlobalDraft};
use super::script::{ScriptDraft, VRRP_SCRIPT};
use super::statics::{self, StaticsDraft, TrackGroupDraft};
use super::sync_group::{GroupDraft, VRRP_SYNC_GROUP};
use super::virtual_server::{ServerDraft, VIRTUAL_SERVER};
use super::vrrp_instance::{InstanceDraft, VRRP_INSTANCE};

/// Everything that was read, names not yet resolved.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) global: GlobalDraft,
    pub(crate) scripts: Vec<ScriptDraft>,
    pub(crate) instances: Vec<InstanceDraft>,
    pub(crate) groups: Vec<GroupDraft>,
    pub(crate) servers: Vec<ServerDraft>,
    pub(crate) statics: StaticsDraft,
    pub(crate) track_groups: Vec<TrackGroupDraft>,
}

pub(crate) static ROOT: Block<Draft> = Block {
    name: "",
    rows: &[
        early(sub("global_defs", &GLOBAL_DEFS, |v, a| {
            a.no_more();
            a.block(&GLOBAL_DEFS, &mut v.global);
            Ok(())
        })),
        sub("vrrp_script", &VRRP_SCRIPT, |v, a| {
            let name = a.word()?;
            let mut script = ScriptDraft::new(name, a.span());
            a.block(&VRRP_SCRIPT, &mut script);
            if script.finish(&v.global, a) {
                v.scripts.push(script);
            }
            Ok(())
        }),
        sub("vrrp_instance", &VRRP_INSTANCE, |v, a| {
            let name = super::vrrp_instance::name(a)?;
            if v.instances.iter().any(|i| *i.name == *name) {
                return Err(a.whole_fault(
                    Code::Duplicate,
                    format!("vrrp instance {name} already defined"),
                ));
            }
            let mut instance = InstanceDraft::new(name, a.span(), &v.global.model, v.scripts.len());
            a.block(&VRRP_INSTANCE, &mut instance);
            v.instances.push(instance);
            Ok(())
        }),
        sub("vrrp_sync_group", &VRRP_SYNC_GROUP, |v, a| {
            let name = super::vrrp_instance::name(a)?;
            if v.groups.iter().any(|g| *g.name == *name) {
                return Err(a.whole_fault(
                    Code::Duplicate,
                    format!("vrrp sync group {name} already defined"),
                ));
            }
            let dynamic = v.global.model.dynamic_interfaces;
            let mut group = GroupDraft::new(name, a.span(), v.scripts.len(), dynamic);
            a.block(&VRRP_SYNC_GROUP, &mut group);
            v.groups.push(group);
            Ok(())
        }),
        sub("virtual_server", &VIRTUAL_SERVER, |v, a| {
            let mut server = ServerDraft::header(a)?;
            a.block(&VIRTUAL_SERVER, &mut server);
            v.servers.push(server);
            Ok(())
        }),
        statics::TRACK_GROUP,
        statics::ADDRESSES,
        statics::ROUTES,
        statics::RULES,
    ],
};
