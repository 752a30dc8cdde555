//! What is watched and what is run: `vrrp_script`, `track_script`, `track_interface`, the `notify*` scripts.

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
