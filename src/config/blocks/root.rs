//! The top level of the file.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use super::super::host::Host;
use super::super::source::{Code, Span};
use super::super::table::{Args, Block, Fault, Row, early, key, lines, sub, values};
use super::checks::flag;
use super::global::{GLOBAL_DEFS, GlobalDraft};
use super::global_process::once;
use super::other::{
    BFD_INSTANCE, BfdDraft, GARP_GROUP, GarpGroupDraft, SSL, SslDraft, TRACK_FILE, TRACK_PROCESS,
    TrackFileDraft, TrackProcessDraft,
};
use super::script::{ScriptDraft, VRRP_SCRIPT};
use super::server_group::ServerGroupDraft;
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
    /// `virtual_server_group`, those that can be used.
    pub(crate) server_groups: HashMap<String, Vec<u16>>,
    /// Trackers defined so far: names must come before their use.
    known: Rc<Trackers>,
    names: HashSet<String>,
    /// `net_namespace`.
    pub(crate) namespace: Option<(String, Span)>,
    net_namespace_ipvs: bool,
    instance_name: bool,
    ssl: bool,
    /// Interfaces that a `garp_group` has.
    garp_interfaces: HashSet<String>,
}

/// Names that instances, groups and checkers may refer to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trackers {
    /// How many scripts there are.
    pub(crate) scripts: usize,
    pub(crate) files: HashSet<String>,
    pub(crate) processes: HashSet<String>,
    pub(crate) bfds: HashSet<String>,
    /// Scripts that name no user cannot run.
    pub(crate) no_script_user: bool,
}

impl Draft {
    /// After the global settings are read, before all else.
    pub(crate) fn settle(&mut self, host: &dyn Host) {
        self.global.settle(host);
        Rc::make_mut(&mut self.known).no_script_user = !self.global.has_script_user();
    }
}

fn vrrp_script(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    let mut script = ScriptDraft::new(name, a.span());
    a.block(&VRRP_SCRIPT, &mut script);
    if script.finish(&v.global, a) {
        v.scripts.push(script);
        Rc::make_mut(&mut v.known).scripts += 1;
    }
    Ok(())
}

fn vrrp_instance(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = super::vrrp_instance::name(a)?;
    if !v.names.insert(name.to_owned()) {
        return Err(a.whole_fault(
            Code::Duplicate,
            format!("vrrp instance {name} already defined"),
        ));
    }
    let mut instance = InstanceDraft::new(name, a.span(), &v.global.model, Rc::clone(&v.known));
    a.block(&VRRP_INSTANCE, &mut instance);
    v.instances.push(instance);
    Ok(())
}

fn vrrp_sync_group(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = super::vrrp_instance::name(a)?;
    if v.groups.iter().any(|g| *g.name == *name) {
        return Err(a.whole_fault(
            Code::Duplicate,
            format!("vrrp sync group {name} already defined"),
        ));
    }
    let dynamic = v.global.model.dynamic_interfaces;
    let mut group = GroupDraft::new(name, a.span(), Rc::clone(&v.known), dynamic);
    a.block(&VRRP_SYNC_GROUP, &mut group);
    v.groups.push(group);
    Ok(())
}

fn virtual_server(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let mut server = ServerDraft::header(a, Rc::clone(&v.known), v.known.no_script_user)?;
    a.block(&VIRTUAL_SERVER, &mut server);
    v.servers.push(server);
    Ok(())
}

fn virtual_server_group(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    let mut group = ServerGroupDraft::new(name);
    a.entries(false, |a| group.entry(a));
    if !group.is_usable() {
        let text = format!("virtual_server_group {name} cannot be used - removing");
        return Err(a.whole_fault(Code::EmptyBlock, text));
    }
    v.server_groups.insert(group.name, group.ports);
    Ok(())
}

fn track_file(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    if a.keyword() == "vrrp_track_file" {
        a.log(Code::Deprecated, "is deprecated - please use 'track_file'");
    }
    let mut file = TrackFileDraft::default();
    a.block(&TRACK_FILE, &mut file);
    if !file.file {
        return Err(a.whole_fault(
            Code::NoValue,
            format!("No file set for track_file {name} - ignoring"),
        ));
    }
    if file.unusable {
        return Ok(());
    }
    Rc::make_mut(&mut v.known).files.insert(name.to_owned());
    Ok(())
}

fn track_process(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    let mut process = TrackProcessDraft::default();
    a.block(&TRACK_PROCESS, &mut process);
    if !process.process {
        return Err(a.whole_fault(
            Code::NoValue,
            format!("No process set for track_process {name} - ignoring"),
        ));
    }
    Rc::make_mut(&mut v.known).processes.insert(name.to_owned());
    Ok(())
}

fn bfd_instance(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let name = a.word()?;
    if name.len() > 31 {
        return Err(a.fault(Code::TooLong, "longer than 31 characters - block ignored"));
    }
    if v.known.bfds.contains(name) {
        return Err(a.whole_fault(
            Code::Duplicate,
            format!("BFD instance {name} already defined"),
        ));
    }
    let mut bfd = BfdDraft::default();
    a.block(&BFD_INSTANCE, &mut bfd);
    if bfd.dropped {
        return Ok(());
    }
    let Some(neighbor) = bfd.neighbor else {
        return Err(a.whole_fault(
            Code::NoValue,
            format!("BFD instance {name} has no neighbor_ip - disabled"),
        ));
    };
    if bfd
        .source
        .is_some_and(|s| s.is_ipv4() != neighbor.is_ipv4())
    {
        return Err(a.whole_fault(
            Code::WrongFamily,
            format!("BFD instance {name}: source and neighbor differ in family"),
        ));
    }
    Rc::make_mut(&mut v.known).bfds.insert(name.to_owned());
    Ok(())
}

fn garp_group(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.no_more();
    let grouped = std::mem::take(&mut v.garp_interfaces);
    let mut group = GarpGroupDraft {
        dynamic: v.global.model.dynamic_interfaces,
        ..GarpGroupDraft::default()
    };
    group.grouped = grouped;
    a.block(&GARP_GROUP, &mut group);
    v.garp_interfaces = std::mem::take(&mut group.grouped);
    match group.delay {
        true => Ok(()),
        false => Err(a.whole_fault(
            Code::NoValue,
            "garp group does not have any delay set - removing",
        )),
    }
}

/// An interface that does not exist is a complaint of the fatal class, and its line is skipped.
fn existing(a: &mut Args<'_, '_>) -> Result<bool, Fault> {
    let name = a.word()?;
    if a.host().interface(name).is_some() {
        return Ok(true);
    }
    a.fatal(
        Code::NoInterface,
        format!("unknown interface {name} - ignored"),
    );
    Ok(false)
}

fn linkbeat(_: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    if !existing(a)? {
        return Ok(());
    }
    match a.opt() {
        None | Some("MII" | "ETHTOOL" | "IOCTL") => Ok(()),
        Some(kind) => Err(a.fault(
            Code::BadValue,
            format!("unknown type '{kind}' - using the default"),
        )),
    }
}

fn up_down_delay(_: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    if !existing(a)? {
        return Ok(());
    }
    let max = Duration::from_secs(255);
    for _ in 0..2 {
        if a.peek().is_some() {
            a.secs(Duration::ZERO..=max)?;
        }
    }
    Ok(())
}

pub(crate) static ROOT: Block<Draft> = Block {
    name: "",
    rows: &[
        early(sub("global_defs", &GLOBAL_DEFS, |v, a| {
            a.no_more();
            a.block(&GLOBAL_DEFS, &mut v.global);
            Ok(())
        })),
        sub("vrrp_script", &VRRP_SCRIPT, vrrp_script),
        sub("vrrp_instance", &VRRP_INSTANCE, vrrp_instance),
        sub("vrrp_sync_group", &VRRP_SYNC_GROUP, vrrp_sync_group),
        sub("virtual_server", &VIRTUAL_SERVER, virtual_server),
        values(
            "virtual_server_group",
            "<NAME> { <entry>... }",
            virtual_server_group,
        ),
        sub("track_file", &TRACK_FILE, track_file),
        sub("vrrp_track_file", &TRACK_FILE, track_file),
        sub("vrrp_track_process", &TRACK_PROCESS, track_process),
        sub("bfd_instance", &BFD_INSTANCE, bfd_instance),
        sub("garp_group", &GARP_GROUP, garp_group),
        sub("SSL", &SSL, |v, a| {
            a.no_more();
            a.block(&SSL, &mut SslDraft::default());
            once(&mut v.ssl, a)
        }),
        statics::TRACK_GROUP,
        statics::ADDRESSES,
        statics::ROUTES,
        statics::RULES,
        lines(
            "linkbeat_interfaces",
            "{ <IFNAME> [MII|ETHTOOL|IOCTL] ... }",
            linkbeat,
        ),
        lines(
            "interface_up_down_delays",
            "{ <IFNAME> <down> [<up>] ... }",
            up_down_delay,
        ),
    ],
    more: &[WORDS],
};

/// Words that concern the whole process.
const WORDS: &[Row<Draft>] = &[
    early(key("linkbeat_use_polling", "flag", flag)),
    early(key("net_namespace", "<NAME>", |v, a| {
        a.present()?;
        let name = a.word()?;
        if v.namespace.is_some() {
            a.log(
                Code::Repeated,
                format!("already specified - ignoring {name}"),
            );
            return Ok(());
        }
        v.namespace = Some((name.to_owned(), a.span()));
        v.global.model.net_namespace = Some(name.into());
        Ok(())
    })),
    early(key("net_namespace_ipvs", "[<NAME>]", |v, a| {
        once(&mut v.net_namespace_ipvs, a)
    })),
    early(key("namespace_with_ipsets", "flag", flag)),
    early(key("use_pid_dir", "flag", flag)),
    early(key("instance", "<NAME>", |v, a| {
        a.present()?;
        once(&mut v.instance_name, a)
    })),
    early(key("child_wait_time", "seconds, default 5", |_, a| {
        a.strict(0..=u32::MAX).map(drop)
    })),
];
