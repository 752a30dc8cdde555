//! Sync groups, and what instances and groups have in common: what they track, whom they call.

use super::{Text, Weighted};
use crate::daemon::bus::{InstanceSnapshot, VrrpState};
use crate::dump::lines::Lines as _;
use crate::dump::words::{Quoted, yes};
use crate::model::track::{InterfaceTrack, OtherTracks, ScriptTrack, Tracked};
use crate::model::vrrp::{Deletion, Notify, SyncGroup};

impl Text {
    pub(super) fn group(&mut self, g: &SyncGroup, snapshots: &[InstanceSnapshot]) {
        let members = || {
            let mine = |s: &&InstanceSnapshot| g.members.contains(&s.instance.name);
            snapshots.iter().filter(mine)
        };
        // The members of a group are in one state, or on their way to it.
        let state = members().next().map_or("INIT", |s| s.state.word());
        self.line(format_args!(" VRRP Sync Group = {}, {state}", g.name));
        let faulty = members().filter(|s| s.state == VrrpState::Fault).count();
        let init = members().filter(|s| s.since.is_none()).count();
        self.line(format_args!(
            "   Num member fault {faulty}, num member init {init}"
        ));
        self.list("VRRP member instances", &g.members);
        self.pair("Using smtp notification", yes(g.notify.mail));
        self.tracked(&g.track_interfaces, &g.track_scripts, &g.other_tracks);
        self.notify(&g.notify);
    }

    pub(super) fn tracked(
        &mut self,
        interfaces: &[InterfaceTrack],
        scripts: &[ScriptTrack],
        others: &OtherTracks,
    ) {
        let line =
            |name: &str, weight, reverse| format!("{name} weight {}", Weighted(weight, reverse));
        let lines = interfaces
            .iter()
            .map(|t| line(t.interface.as_str(), t.weight, t.reverse));
        self.list("Tracked interfaces", lines);
        let lines = scripts.iter().map(|t| line(&t.script, t.weight, t.reverse));
        self.list("Tracked scripts", lines);
        let OtherTracks {
            files,
            processes,
            bfds,
        } = others;
        for (label, tracked, mark) in [
            ("Tracked files", files, ','),
            ("Tracked processes", processes, ','),
            ("Tracked BFDs", bfds, ':'),
        ] {
            let line =
                |t: &Tracked| format!("{}{mark} weight {}", t.name, Weighted(t.weight, t.reverse));
            self.list(label, tracked.iter().map(line));
        }
    }

    pub(super) fn notify(&mut self, n: &Notify) {
        let deleted = match &n.deletion {
            Deletion::Told(script) => script.as_ref(),
            Deletion::AsFault => None,
        };
        let scripts = [
            ("Backup", n.backup.as_ref()),
            ("Master", n.master.as_ref()),
            ("Fault", n.fault.as_ref()),
            ("Stop", n.stop.as_ref()),
            ("Deleted", deleted),
            ("Generic", n.any.as_ref()),
            ("Master rx lower pri", n.rx_lower_pri.as_ref()),
        ];
        for (event, script) in scripts {
            if let Some(script) = script {
                let label = format!("{event} state transition script");
                self.pair(&label, Quoted(&script.command));
            }
        }
    }
}
