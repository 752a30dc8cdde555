//! `check --effective`: the configuration in force as a file, every value with where it comes from.
//!
//! Emission mirrors reading: what is written here is read back as the same model, which a test shows. Each struct of the
//! model is taken apart without `..`, so that the compiler asks for the line of a new field: it goes where its
//! neighbours are, as `s.key("keyword", value)`, `s.flag("keyword", on)`, `s.toggle("keyword", on)` or
//! `s.option("keyword", value)`; [`sheet::Said`] names the other keywords that may have set it.
//! Sequences, definitions, conditions and includes are resolved. Source: keepalived.conf(5).

mod checks;
mod global;
mod lvs;
mod net;
mod process;
mod sheet;
#[cfg(test)]
mod tests;
mod track;
mod vrrp;

use std::io::{self, Write as _};

pub(crate) use self::sheet::Secrets;
pub(crate) use self::sheet::Sheet;
use super::finding::{Finding, Node, Severity};
use super::run::{complain, own};
use crate::config::host::Host;
use crate::model::Config;

/// Writes the page about each node to standard output, and what was complained about to standard error. Returns the exit
/// status of the worst finding.
pub(super) fn run(nodes: &[Node], host: &dyn Host, secrets: Secrets) -> u8 {
    let found = own(nodes);
    for f in &found {
        if f.severity() > Severity::Note {
            let files = nodes.get(f.node).map(|n| &n.loaded.files);
            complain(&files.map_or_else(|| f.diag.to_string(), |fs| f.diag.message(fs)));
        }
    }
    for node in nodes {
        let page = emit(node, host, secrets);
        // Standard output may be closed; nothing depends on it.
        _ = io::stdout().write_all(page.as_bytes());
    }
    let worst = found.iter().map(Finding::severity).max();
    worst.map_or(0, Severity::exit)
}

/// The page about `node`.
pub(crate) fn emit(node: &Node, host: &dyn Host, secrets: Secrets) -> String {
    let mut s = Sheet::new(node, host, secrets);
    // Trackers and groups of them come before what names them.
    let Config {
        global,
        instances,
        groups,
        scripts,
        track_files,
        track_processes,
        bfds,
        garp_groups,
        linkbeat,
        delays,
        statics,
        track_groups,
        server_groups,
        virtual_servers,
    } = &*node.loaded.config;
    global::global(&mut s, global);
    net::links(&mut s, garp_groups, linkbeat, delays);
    net::statics(&mut s, track_groups, statics);
    scripts.iter().for_each(|x| track::script(&mut s, x));
    track_files.iter().for_each(|x| track::file(&mut s, x));
    track_processes
        .iter()
        .for_each(|x| track::process(&mut s, x));
    bfds.iter().for_each(|x| track::bfd(&mut s, x));
    groups.iter().for_each(|x| vrrp::group(&mut s, x));
    instances.iter().for_each(|x| vrrp::instance(&mut s, x));
    server_groups.iter().for_each(|x| lvs::group(&mut s, x));
    virtual_servers.iter().for_each(|x| lvs::server(&mut s, x));
    s.finish()
}

/// `global_defs` and the words of the top level.
pub(super) fn emit_global(s: &mut Sheet<'_>, node: &Node) {
    let config = &node.loaded.config;
    global::global(s, &config.global);
    net::links(s, &config.garp_groups, &config.linkbeat, &config.delays);
    net::statics(s, &config.track_groups, &config.statics);
}

pub(super) use self::lvs::{bare_real as emit_real, server as emit_server};
pub(super) use self::track::{
    bfd as emit_bfd, file as emit_file, process as emit_process, script as emit_script,
};
pub(super) use self::vrrp::{group as emit_group, instance as emit_instance};
