//! What is watched and what is run: `vrrp_script`, `track_file`, `vrrp_track_process`, the `track_*` lists, the `notify*`
//! scripts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::diff::{Keyed, Reload};
use super::net::IfName;

/// A weight on the priority, -253..=253. `Fault`: weight 0, the tracker decides whether the instance may run at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Weight {
    /// 0 in the file: a failure puts the instance into FAULT.
    Fault,
    /// Never 0. Positive: added while good. Negative: added while bad.
    Adjust(i16),
}

/// Who runs a script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups; empty: none are set.
    pub(crate) groups: Vec<u32>,
}

/// A command split into words as keepalived.conf says; no shell is involved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Command {
    /// The file to execute, absolute.
    pub(crate) path: PathBuf,
    /// All arguments, `argv[0]` (as written in the file) included.
    pub(crate) argv: Vec<String>,
    /// `None`: as the daemon itself.
    pub(crate) user: Option<Credentials>,
}

/// A shell that opens the file that follows for reading.
const OPENS: [&str; 3] = ["sh", "-c", "exec <\"$0\""];

impl Command {
    /// `</path`: succeeds if the file can be opened for reading.
    pub(crate) fn opening(path: &str, user: Option<Credentials>) -> Self {
        let argv = OPENS.into_iter().chain([path]).map(str::to_owned);
        Self {
            path: "/bin/sh".into(),
            argv: argv.collect(),
            user,
        }
    }

    /// The file, if that is all it does.
    pub(crate) fn opened(&self) -> Option<&str> {
        match &self.argv[..] {
            [sh, c, exec, path] if [sh, c, exec] == OPENS => Some(path),
            _ => None,
        }
    }
}

/// A `notify*` script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NotifyScript {
    pub(crate) command: Command,
}

/// One `vrrp_script`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// Name of the block; unique.
    pub(crate) name: Arc<str>,
    /// `script`.
    pub(crate) command: Command,
    /// `interval`: from start to start, 1 ms..=4294 s, default 1 s.
    pub(crate) interval: Duration,
    /// `timeout`: how long a run may take, default `interval`.
    pub(crate) timeout: Duration,
    /// `rise`: successes in a row until good, ≥ 1, default 1.
    pub(crate) rise: u32,
    /// `fall`: failures in a row until bad, ≥ 1, default 1.
    pub(crate) fall: u32,
    /// `init_fail`: counts as bad until the first result.
    pub(crate) init_fail: bool,
    /// What `track_script` lines start from, default `Fault`; of no effect by itself.
    pub(crate) weight: Weight,
    pub(crate) reverse: bool,
}

impl Keyed for Script {
    type Key = Arc<str>;

    fn key(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

impl Script {
    /// How a running script takes `new`: another command is another script, whose verdict starts anew.
    pub(crate) fn reload_class(&self, new: &Self) -> Reload {
        let Self {
            name: _,
            command,
            interval,
            timeout,
            rise,
            fall,
            init_fail,
            weight: _,
            reverse: _,
        } = new;
        let restart = *command != self.command;
        let adjust = *interval != self.interval
            || *timeout != self.timeout
            || *rise != self.rise
            || *fall != self.fall
            || *init_fail != self.init_fail;
        Reload::of(restart, adjust)
    }
}

/// One line of `track_script`; weight and `reverse` default to those of the `vrrp_script`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScriptTrack {
    /// Names an existing [`Script`].
    pub(crate) script: Arc<str>,
    pub(crate) weight: Weight,
    /// Good and bad change places.
    pub(crate) reverse: bool,
}

/// One line of `track_interface`; default weight 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InterfaceTrack {
    pub(crate) interface: IfName,
    pub(crate) weight: Weight,
    pub(crate) reverse: bool,
}

/// One `track_file`: a number in a file, times `weight`, is added to the priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrackFile {
    /// Name of the block; unique.
    pub(crate) name: Arc<str>,
    /// `file`: its first line is the number; missing, empty or anything else is 0.
    pub(crate) path: PathBuf,
    /// What the number is multiplied with, default 1. `Fault`: any number but 0 is a failure.
    pub(crate) weight: Weight,
    pub(crate) reverse: bool,
    /// `init_file`: the file is made at start, never on reload.
    pub(crate) init: Option<InitFile>,
}

impl Keyed for TrackFile {
    type Key = Arc<str>;

    fn key(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

/// `init_file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InitFile {
    pub(crate) value: i32,
    /// Written even if the file is there.
    pub(crate) overwrite: bool,
}

/// How the arguments of a process are compared with those of `process`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arguments {
    /// Not at all: none are configured, and there is no `param_match`.
    Any,
    /// All are equal, and there are no others.
    Exact,
    /// The first ones are equal, the last of them may go on.
    Initial,
    /// The first ones are equal.
    Partial,
}

/// One `vrrp_track_process`: good while enough processes of a kind run, and not too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrackProcess {
    /// Name of the block; unique.
    pub(crate) name: Arc<str>,
    /// `process`: name or path, then arguments; at least one word.
    pub(crate) process: Vec<Arc<str>>,
    pub(crate) arguments: Arguments,
    /// `full_command`: the whole command line is looked at, not the process's name.
    pub(crate) full_command: bool,
    /// Default `Fault`.
    pub(crate) weight: Weight,
    pub(crate) reverse: bool,
    /// `quorum`: least number of processes, 0..=65535, default 1.
    pub(crate) quorum: u32,
    /// `quorum_max`: largest number of processes, default any.
    pub(crate) quorum_max: Option<u32>,
    /// `fork_delay`: how long enough processes must run to be good, default 0.
    pub(crate) fork_delay: Duration,
    /// `terminate_delay`: how long they must be too few to be bad, default 0.
    pub(crate) terminate_delay: Duration,
}

impl Keyed for TrackProcess {
    type Key = Arc<str>;

    fn key(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

/// One line of `track_file`, `track_process` or `track_bfd`; weight and `reverse` default to those of what is tracked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tracked {
    /// Names an existing [`TrackFile`], [`TrackProcess`] or bfd instance.
    pub(crate) name: Arc<str>,
    pub(crate) weight: Weight,
    /// Good and bad change places; of a file: the sign of its number.
    pub(crate) reverse: bool,
}

/// What an instance or a group tracks besides scripts and interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct OtherTracks {
    pub(crate) files: Vec<Tracked>,
    pub(crate) processes: Vec<Tracked>,
    pub(crate) bfds: Vec<Tracked>,
}
