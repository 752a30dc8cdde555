//! `check --diff OLD NEW`: what a reload would do, in words.
//!
//! Identity and class are those that the daemon itself goes by ([`Keyed`], `reload_class`); the values are those of
//! `--effective`, so that neither can say something else. Source: [`crate::model::diff`].

mod values;

use std::borrow::Borrow;
use std::io::{self, Write as _};

use self::values::{Value, changes};
use super::effective;
use super::finding::{Finding, Node, Severity};
use super::lint::shown;
use super::run::{complain, own};
use crate::config::host::Host;
use crate::model::bfd::BfdInstance;
use crate::model::diff::{Change, Keyed, Reload, diff};
use crate::model::lvs::{RealServer, VirtualServer};
use crate::model::net::Family;
use crate::model::track::{Script, TrackFile, TrackProcess};
use crate::model::vrrp::{Instance, SyncGroup};

/// Writes to standard output what a reload from the first node to the second one would do. Returns the exit status of
/// the worst complaint about the new one.
pub(super) fn run(nodes: &[Node], host: &dyn Host) -> u8 {
    let [old, new] = nodes else {
        complain("--diff needs two files, the old one and the new one");
        return super::run::NOTHING_CHECKED;
    };
    let found = own(std::slice::from_ref(new));
    for f in found.iter().filter(|f| f.severity() > Severity::Note) {
        complain(&f.diag.message(&new.loaded.files));
    }
    // Standard output may be closed; nothing depends on it.
    _ = io::stdout().write_all(report(old, new, host).as_bytes());
    let worst = found.iter().map(Finding::severity).max();
    worst.map_or(0, Severity::exit)
}

/// The report as text.
pub(super) fn report(old: &Node, new: &Node, host: &dyn Host) -> String {
    let mut r = Report {
        out: String::new(),
        old,
        new,
        host,
    };
    if let Some(code) = new.loaded.refusal() {
        r.line(&format!(
            "{}: refused (a start would end with {code}): the old configuration stays in force",
            new.name
        ));
        return r.out;
    }
    r.global();
    r.instances();
    r.groups();
    r.scripts();
    r.servers();
    r.out
}

struct Report<'n> {
    out: String,
    old: &'n Node,
    new: &'n Node,
    host: &'n dyn Host,
}

/// What messages call it, and what a change does to it.
struct Told {
    what: String,
    name: String,
    added: &'static str,
    removed: &'static str,
}

impl Report<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn values(&mut self, old: &[Value], new: &[Value]) -> bool {
        let found = changes(old, new);
        for change in &found {
            self.line(&format!("    {change}"));
        }
        !found.is_empty()
    }

    fn global(&mut self) {
        let of = |node: &Node| values::of(|s| effective::emit_global(s, node), node, self.host);
        let (old, new) = (of(self.old), of(self.new));
        if changes(&old, &new).is_empty() {
            return;
        }
        self.line("global_defs and words of the top level: adjusted");
        self.values(&old, &new);
    }

    fn instances(&mut self) {
        let (old, new) = (&self.old.loaded.config, &self.new.loaded.config);
        let (old, new) = (old.instances.clone(), new.instances.clone());
        let name = |i: &Instance| {
            let family = match i.family {
                Family::V4 => "IPv4",
                Family::V6 => "IPv6",
            };
            let on = i.interface.as_ref().map_or("no interface", |i| i.as_str());
            format!("{} ({on}, {family}, VRID {})", i.name, i.vrid)
        };
        let told = |i: &Instance| Told {
            what: "vrrp_instance".into(),
            name: name(i),
            added: "added: starts as backup, unless it owns its addresses",
            removed: "removed: a master resigns, and its addresses go",
        };
        let restarted = "restarted: it resigns and starts anew";
        self.list(
            &old,
            &new,
            told,
            Instance::reload_class,
            restarted,
            effective::emit_instance,
        );
    }

    fn groups(&mut self) {
        let (old, new) = (&self.old.loaded.config, &self.new.loaded.config);
        let (old, new) = (old.groups.clone(), new.groups.clone());
        let told = |g: &SyncGroup| Told {
            what: "vrrp_sync_group".into(),
            name: g.name.to_string(),
            added: "added",
            removed: "removed: its members go on by themselves",
        };
        self.list(
            &old,
            &new,
            told,
            SyncGroup::reload_class,
            "",
            effective::emit_group,
        );
    }

    fn scripts(&mut self) {
        let (old, new) = (&self.old.loaded.config, &self.new.loaded.config);
        let (old_scripts, new_scripts) = (old.scripts.clone(), new.scripts.clone());
        let (old_files, new_files) = (old.track_files.clone(), new.track_files.clone());
        let (old_processes, new_processes) =
            (old.track_processes.clone(), new.track_processes.clone());
        let (old_bfds, new_bfds) = (old.bfds.clone(), new.bfds.clone());
        let told = |what: &str, name: &str| Told {
            what: what.into(),
            name: name.into(),
            added: "added",
            removed: "removed",
        };
        let restarted = "restarted: its verdict starts anew";
        let read = "restarted: its number is that of the new file once it is read";
        let counted = "restarted: its processes are counted anew";
        let session = "restarted: the session comes up anew";
        self.list(
            &old_scripts,
            &new_scripts,
            |s: &Script| told("vrrp_script", &s.name),
            Script::reload_class,
            restarted,
            effective::emit_script,
        );
        self.list(
            &old_files,
            &new_files,
            |f: &TrackFile| told("track_file", &f.name),
            TrackFile::reload_class,
            read,
            effective::emit_file,
        );
        self.list(
            &old_processes,
            &new_processes,
            |x: &TrackProcess| told("vrrp_track_process", &x.name),
            TrackProcess::reload_class,
            counted,
            effective::emit_process,
        );
        self.list(
            &old_bfds,
            &new_bfds,
            |b: &BfdInstance| told("bfd_instance", &b.name),
            BfdInstance::reload_class,
            session,
            effective::emit_bfd,
        );
    }

    fn servers(&mut self) {
        let (old, new) = (&self.old.loaded.config, &self.new.loaded.config);
        let (old, new) = (old.virtual_servers.clone(), new.virtual_servers.clone());
        let told = |v: &VirtualServer| Told {
            what: "virtual_server".into(),
            name: shown(v),
            added: "added",
            removed: "removed from IPVS",
        };
        let bare = |s: &mut effective::Sheet<'_>, v: &VirtualServer| {
            let without = VirtualServer {
                real_servers: Vec::new(),
                ..v.clone()
            };
            effective::emit_server(s, &without);
        };
        self.list(&old, &new, told, VirtualServer::reload_class, "", bare);
        for n in &new {
            let Some(o) = old.iter().find(|o| o.key == n.key) else {
                continue;
            };
            let name = shown(n);
            let told = |r: &RealServer| Told {
                what: format!("virtual_server {name}, real_server"),
                name: format!("{} {}", r.addr.ip(), r.addr.port()),
                added: "added",
                removed: "removed",
            };
            let (o, n) = (&o.real_servers, &n.real_servers);
            let class = RealServer::reload_class;
            let checked = "adjusted while it runs, with checks that begin anew";
            self.list(o, n, told, class, checked, effective::emit_real);
        }
    }

    /// One kind of thing: removed, added, changed with values; then how many are kept.
    fn list<B, T>(
        &mut self,
        old: &[B],
        new: &[B],
        told: impl Fn(&T) -> Told,
        class: impl Fn(&T, &T) -> Reload,
        restarted: &str,
        emit: impl Fn(&mut effective::Sheet<'_>, &T),
    ) where
        B: Borrow<T>,
        T: Keyed,
    {
        let steps = diff::<B, T>(old, new);
        let changed = |s: &Change<'_, B>| matches!(s, Change::Changed(..));
        let added = |s: &Change<'_, B>| matches!(s, Change::Added(_));
        let touched = steps.iter().filter(|s| changed(s) || added(s)).count();
        let kept = new.len().saturating_sub(touched);
        for step in steps {
            match step {
                Change::Removed(o) => {
                    let t = told(o.borrow());
                    self.line(&format!("{} {}: {}", t.what, t.name, t.removed));
                }
                Change::Added(n) => {
                    let t = told(n.borrow());
                    self.line(&format!("{} {}: {}", t.what, t.name, t.added));
                }
                Change::Changed(o, n) => {
                    let (o, n): (&T, &T) = (o.borrow(), n.borrow());
                    let (was, t) = (told(o), told(n));
                    let does = match class(o, n) {
                        Reload::Keep => "kept as it runs",
                        Reload::Adjust => "adjusted while it runs",
                        Reload::Restart => restarted,
                    };
                    self.line(&format!("{} {}: {does}", t.what, t.name));
                    if was.name != t.name {
                        self.line(&format!("    was called {}", was.name));
                    }
                    let old = values::of(|s| emit(s, o), self.old, self.host);
                    let new = values::of(|s| emit(s, n), self.new, self.host);
                    if !self.values(&old, &new) {
                        self.line("    (a value that is not shown, such as a key)");
                    }
                }
            }
        }
        if kept > 0
            && let Some(first) = new.first()
        {
            let what = told(first.borrow()).what;
            let s = if kept == 1 { "" } else { "s" };
            self.line(&format!("{what}: {kept} block{s} kept as they run"));
        }
    }
}

#[cfg(test)]
mod tests;
