//! The top level of the file.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::host::Host;
use super::super::source::{Code, Concern, Span};
use super::super::table::{Args, Block, Fault, Row, about, early, key, last, sub};
use super::command::Nobody;
use super::global::{GLOBAL_DEFS, GlobalDraft};
use super::global_process::once;
use super::other::SSL;
use super::script::{ScriptDraft, VRRP_SCRIPT};
use super::statics::{self, StaticsDraft, TrackGroupDraft};
use super::sync_group::{GroupDraft, VRRP_SYNC_GROUP};
use super::virtual_server::{ServerDraft, VIRTUAL_SERVER};
use super::vrrp_instance::{InstanceDraft, VRRP_INSTANCE};
use super::{bfd, links, server_group, tracked_things};
use crate::model::bfd::BfdInstance;
use crate::model::global::Ssl;
use crate::model::links::{GarpGroup, Linkbeat, UpDownDelay};
use crate::model::lvs::ServerGroup;
use crate::model::process::IpvsNamespace;
use crate::model::track::{TrackFile, TrackProcess};

/// Everything that was read, names not yet resolved.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) global: GlobalDraft,
    pub(crate) scripts: Vec<ScriptDraft>,
    #[expect(
        clippy::vec_box,
        reason = "a draft is large, and each is given up when its instance is made"
    )]
    pub(crate) instances: Vec<Box<InstanceDraft>>,
    pub(crate) groups: Vec<GroupDraft>,
    pub(crate) servers: Vec<ServerDraft>,
    pub(crate) track_files: Vec<Arc<TrackFile>>,
    pub(crate) track_processes: Vec<Arc<TrackProcess>>,
    pub(crate) bfds: Vec<Arc<BfdInstance>>,
    pub(crate) garp_groups: Vec<GarpGroup>,
    pub(crate) linkbeat: Vec<Linkbeat>,
    pub(crate) delays: Vec<UpDownDelay>,
    pub(crate) statics: StaticsDraft,
    pub(crate) track_groups: Vec<TrackGroupDraft>,
    /// `virtual_server_group`, those that can be used; of two with one name the last one counts.
    pub(crate) server_groups: Vec<Arc<ServerGroup>>,
    /// Trackers defined so far: names must come before their use.
    pub(crate) known: Rc<Trackers>,
    names: HashSet<Arc<str>>,
    group_names: HashSet<Arc<str>>,
    /// `net_namespace`.
    pub(crate) namespace: Option<(String, Span)>,
    net_namespace_ipvs: bool,
    instance_name: bool,
    ssl: bool,
}

/// Names that instances, groups and checkers may refer to; shared by all of them while reading.
#[derive(Debug, Default)]
pub(crate) struct Trackers {
    /// How many scripts there are.
    pub(crate) scripts: Cell<usize>,
    pub(crate) files: Names,
    pub(crate) processes: Names,
    pub(crate) bfds: Names,
    /// Who runs scripts that name no user.
    pub(crate) nobody: Nobody,
}

/// Names of one kind, and which statement defined each: it must stand before its use, in whatever order they are read.
#[derive(Debug, Default)]
pub(crate) struct Names(RefCell<HashMap<String, u32>>);

impl Names {
    /// A statement defines a name; false: another one did.
    pub(crate) fn define(&self, name: &str, a: &Args<'_, '_>) -> bool {
        match self.0.borrow_mut().entry(name.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(a.number());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Whether a statement before this one defines the name.
    pub(crate) fn knows(&self, name: &str, a: &Args<'_, '_>) -> bool {
        let names = self.0.borrow();
        names.get(name).is_some_and(|at| *at < a.number())
    }
}

impl Draft {
    /// After the global settings are read, before all else.
    pub(crate) fn settle(&mut self, host: &dyn Host) {
        self.global.settle(host);
        self.known = Rc::new(Trackers {
            nobody: self.global.nobody(),
            ..Trackers::default()
        });
    }
}

fn vrrp_script(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    let mut script = ScriptDraft::new(name, a.span());
    a.block(&VRRP_SCRIPT, &mut script);
    if script.finish(v.known.nobody, a) {
        v.scripts.push(script);
        v.known.scripts.update(|n| n + 1);
    }
    Ok(())
}

fn vrrp_instance(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = super::vrrp_instance::name(a)?;
    if v.names.contains(name) {
        return Err(a.whole_fault(
            Code::Duplicate,
            format!("vrrp instance {name} already defined"),
        ));
    }
    let mut instance = InstanceDraft::new(name, a.span(), &v.global.model, Rc::clone(&v.known));
    v.names.insert(Arc::clone(&instance.name));
    a.block(&VRRP_INSTANCE, &mut instance);
    v.instances.push(Box::new(instance));
    Ok(())
}

fn vrrp_sync_group(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = super::vrrp_instance::name(a)?;
    if v.group_names.contains(name) {
        return Err(a.whole_fault(
            Code::Duplicate,
            format!("vrrp sync group {name} already defined"),
        ));
    }
    let dynamic = v.global.model.dynamic_interfaces;
    let mut group = GroupDraft::new(name, a.span(), Rc::clone(&v.known), dynamic);
    a.block(&VRRP_SYNC_GROUP, &mut group);
    if group.members.is_empty() {
        let text = format!("Sync group {name} has no members - removing");
        return Err(a.whole_fault(Code::SmallGroup, text));
    }
    v.group_names.insert(Arc::clone(&group.name));
    v.groups.push(group);
    Ok(())
}

fn virtual_server(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let mut server = ServerDraft::header(a, Rc::clone(&v.known), v.known.nobody)?;
    a.block(&VIRTUAL_SERVER, &mut server);
    v.servers.push(server);
    Ok(())
}

pub(crate) static ROOT: Block<Draft> = Block {
    name: "",
    rows: &[
        early(sub("global_defs", &GLOBAL_DEFS, |v, a| {
            a.block(&GLOBAL_DEFS, &mut v.global);
            Ok(())
        })),
        // Instances and checkers both use them.
        tracked_things::FILE,
        tracked_things::OLD_FILE,
        bfd::BFD,
    ],
    more: &[OF_VRRP, OF_CHECKERS, WORDS],
};

/// What is nothing to a daemon without VRRP.
const OF_VRRP: &[Row<Draft>] = &[
    vrrp(sub("vrrp_script", &VRRP_SCRIPT, vrrp_script)),
    vrrp(sub("vrrp_instance", &VRRP_INSTANCE, vrrp_instance)),
    vrrp(sub("vrrp_sync_group", &VRRP_SYNC_GROUP, vrrp_sync_group)),
    vrrp(tracked_things::PROCESS),
    vrrp(links::GARP),
    vrrp(links::LINKBEAT),
    vrrp(links::DELAYS),
    vrrp(statics::TRACK_GROUP),
    vrrp(statics::ADDRESSES),
    vrrp(statics::ROUTES),
    vrrp(statics::RULES),
];

/// What is nothing to a daemon without checkers.
const OF_CHECKERS: &[Row<Draft>] = &[
    // There may be very many of them.
    checkers(last(sub("virtual_server", &VIRTUAL_SERVER, virtual_server))),
    checkers(server_group::GROUP),
    checkers(sub("SSL", &SSL, |v, a| {
        v.global.model.ssl = Ssl::default();
        a.block(&SSL, &mut v.global.model.ssl);
        once(&mut v.ssl, a)
    })),
];

const fn vrrp(row: Row<Draft>) -> Row<Draft> {
    about(Concern::Vrrp, row)
}

const fn checkers(row: Row<Draft>) -> Row<Draft> {
    about(Concern::Checkers, row)
}

/// Words that concern the whole process.
const WORDS: &[Row<Draft>] = &[
    early(key("linkbeat_use_polling", "flag", |v, a| {
        a.flag()
            .map(|on| v.global.model.process.linkbeat_polling = on)
    })),
    early(key("net_namespace", "<NAME>", |v, a| {
        a.present()?;
        let name = a.word()?;
        if v.namespace.is_some() {
            let text = format!("Duplicate net_namespace definition {name} - ignoring");
            a.print(Code::Repeated, text);
            return Ok(());
        }
        v.namespace = Some((name.to_owned(), a.span()));
        v.global.model.net_namespace = Some(name.into());
        Ok(())
    })),
    early(key("net_namespace_ipvs", "[<NAME>]", |v, a| {
        once(&mut v.net_namespace_ipvs, a)?;
        v.global.model.process.ipvs_namespace = match a.opt() {
            Some(name) => IpvsNamespace::Named(name.into()),
            None => IpvsNamespace::Default,
        };
        Ok(())
    })),
    early(key("namespace_with_ipsets", "flag", |v, a| {
        a.flag()?;
        v.global.model.process.namespace_with_ipsets = true;
        a.remark(
            Code::NoEffect,
            "changes nothing: the sets of nftables are used inside a namespace anyway",
        );
        Ok(())
    })),
    early(key("use_pid_dir", "flag", |v, a| {
        a.flag().map(|on| v.global.model.process.pid_dir = on)
    })),
    early(key("instance", "<NAME>", |v, a| {
        a.present()?;
        let name = a.word()?;
        once(&mut v.instance_name, a)?;
        v.global.model.process.instance = Some(name.into());
        Ok(())
    })),
    early(key("child_wait_time", "seconds, default 5", |v, a| {
        let seconds = a.strict(0..=u32::MAX)?;
        v.global.model.process.child_wait_time = Duration::from_secs(seconds.into());
        Ok(())
    })),
];
