//! What is tracked: scripts, files, processes, BFD sessions.

use super::{Text, Weighted};
use crate::daemon::bus::{ProcessSnapshot, RunState, ScriptSnapshot};
use crate::dump::lines::Lines as _;
use crate::dump::words::{Micros, Seconds, Words, parameters};
use crate::model::Config;
use crate::model::track::{Arguments, OtherTracks, Script, TrackFile, TrackProcess, Tracked};
use crate::track::command::Outcome;

impl Text {
    pub(super) fn bfds(&mut self, config: &Config) {
        let bfds: Vec<_> = config.bfds.iter().filter(|b| b.tells_vrrp).collect();
        self.section_of("VRRP Track BFDs", &bfds);
        for bfd in bfds {
            self.line(format_args!(" VRRP Track BFD = {}", bfd.name));
            self.pair("Weight", Weighted(bfd.weight, bfd.reverse));
            self.line("   Bfd is down");
            self.line("   Tracking VRRP instances :");
            self.trackers(config, |t| &t.bfds, &bfd.name);
        }
    }

    pub(super) fn script(&mut self, s: &Script, config: &Config, now: Option<&ScriptSnapshot>) {
        self.line(format_args!(" VRRP Script = {}", s.name));
        self.pair("Command", Words(&s.command));
        self.pair("Interval", Seconds(s.interval));
        // keepalived: 0 stands for the interval.
        let timeout = if s.timeout == s.interval {
            std::time::Duration::ZERO
        } else {
            s.timeout
        };
        self.pair("Timeout", Seconds(timeout));
        self.pair("Weight", Weighted(s.weight, s.reverse));
        self.pair("Rise", s.rise);
        self.pair("Fall", s.fall);
        if let Some(now) = now {
            self.pair("Result", now.result);
            self.pair("Insecure", "no"); // those never run
            let init = if now.good.is_none() {
                "INIT"
            } else {
                "unknown"
            };
            self.pair("Init state", init);
            let good = now.result >= s.rise;
            self.pair("Status", if good { "GOOD" } else { "BAD" });
        }
        let (uid, gid) = s.command.user.as_ref().map_or((0, 0), |u| (u.uid, u.gid));
        self.pair("Script uid:gid", format_args!("{uid}:{gid}"));
        self.line("   VRRP instances :");
        let tracks = config.instances.iter().flat_map(|i| {
            let mine = i.track_scripts.iter().filter(|t| t.script == s.name);
            mine.map(|t| format!("{}, weight {}", i.name, Weighted(t.weight, t.reverse)))
        });
        self.list("Tracking instances", tracks);
        let Some(now) = now else {
            return;
        };
        self.pair(
            "State",
            match now.run {
                RunState::Idle => "idle",
                RunState::Running => "running",
                RunState::Terminated => "requested termination",
                RunState::Killed => "forcing termination",
            },
        );
        // keepalived: says nothing about runs that are over.
        if let Some(last) = &now.last {
            let took = Micros(last.took);
            match last.outcome {
                Outcome::Status(n) => {
                    self.pair("Last run", format_args!("exit status {n} after {took} sec"));
                }
                Outcome::Signal(n) => {
                    self.pair("Last run", format_args!("signal {n} after {took} sec"));
                }
            }
            if let Some(said) = &last.said {
                self.pair("Last output", said);
            }
        }
        if now.stuck > 0 {
            self.pair("Stuck runs", now.stuck);
        }
    }

    pub(super) fn track_file(&mut self, t: &TrackFile, config: &Config, now: Option<&i32>) {
        self.line(format_args!(" Track file = {}", t.name));
        self.pair("File", t.path.display());
        if let Some(value) = now {
            self.pair("Status", value);
        }
        self.pair("Weight", Weighted(t.weight, t.reverse));
        self.trackers(config, |o| &o.files, &t.name);
    }

    pub(super) fn track_process(
        &mut self,
        t: &TrackProcess,
        config: &Config,
        now: Option<&ProcessSnapshot>,
    ) {
        self.line(format_args!(" VRRP Track process = {}", t.name));
        self.pair("Process", t.process.first().map_or("", |p| &**p));
        if let Some(parameters) = parameters(t) {
            self.pair("Parameters", parameters);
        }
        match t.arguments {
            Arguments::Any => {}
            Arguments::Exact => self.pair("Param match", "exact"),
            Arguments::Initial => self.pair("Param match", "initial"),
            Arguments::Partial => self.pair("Param match", "partial"),
        }
        self.pair("Min processes", t.quorum);
        if let Some(max) = t.quorum_max {
            self.pair("Max processes", max);
        }
        if let Some(now) = now {
            self.pair("Current processes", now.count);
            self.pair("Have quorum", now.good == Some(true));
        }
        self.pair("Weight", Weighted(t.weight, t.reverse));
        self.pair(
            "Terminate delay",
            format_args!("{}s", Micros(t.terminate_delay)),
        );
        self.pair("Fork delay", format_args!("{}s", Micros(t.fork_delay)));
        if let Some(now) = now {
            let word = |runs: bool| if runs { "" } else { "not " };
            let (up, down) = (now.good == Some(false), now.good == Some(true));
            let (up, down) = (word(now.delayed && up), word(now.delayed && down));
            self.line(format_args!("   Fork delay timer {up}running"));
            self.line(format_args!("   Terminate delay timer {down}running"));
        }
        self.pair("Full command", t.full_command);
        self.trackers(config, |o| &o.processes, &t.name);
    }

    /// Who tracks the thing of that name.
    pub(super) fn trackers(
        &mut self,
        config: &Config,
        of: impl Fn(&OtherTracks) -> &[Tracked],
        name: &str,
    ) {
        let lines = config.instances.iter().flat_map(|i| {
            let mine = of(&i.other_tracks).iter().filter(|t| &*t.name == name);
            mine.map(|t| format!("{}, weight {}", i.name, Weighted(t.weight, t.reverse)))
        });
        let lines: Vec<_> = lines.collect();
        self.list("Tracking instances", lines);
    }
}
