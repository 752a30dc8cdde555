//! How running trackers, groups and servers take a change: what each of them keeps is decided by whoever runs it, and said
//! here once for whoever tells about it. Every field is classed; a new one must be. Source: [`super::diff`].

use super::bfd::BfdInstance;
use super::diff::Reload;
use super::lvs::{RealServer, VirtualServer};
use super::track::{TrackFile, TrackProcess};
use super::vrrp::SyncGroup;

impl TrackFile {
    /// Another path is another number, which is not known yet. `init_file` takes effect at the start only.
    pub(crate) fn reload_class(&self, new: &Self) -> Reload {
        let Self {
            name: _,
            path,
            weight,
            reverse,
            init: _,
        } = new;
        let adjust = (*weight, *reverse) != (self.weight, self.reverse);
        Reload::of(*path != self.path, adjust)
    }
}

impl TrackProcess {
    /// What looks for other processes counts anew; limits and delays are compared with what was counted.
    pub(crate) fn reload_class(&self, new: &Self) -> Reload {
        let Self {
            name: _,
            process,
            arguments,
            full_command,
            weight,
            reverse,
            quorum,
            quorum_max,
            fork_delay,
            terminate_delay,
        } = new;
        let restart = *process != self.process
            || *arguments != self.arguments
            || *full_command != self.full_command;
        let adjust = *weight != self.weight
            || *reverse != self.reverse
            || *quorum != self.quorum
            || *quorum_max != self.quorum_max
            || *fork_delay != self.fork_delay
            || *terminate_delay != self.terminate_delay;
        Reload::of(restart, adjust)
    }
}

impl BfdInstance {
    /// Other addresses are another session; intervals and the multiplier are negotiated while it is up.
    pub(crate) fn reload_class(&self, new: &Self) -> Reload {
        let Self {
            name: _,
            neighbor,
            source,
            multihop,
            min_rx,
            min_tx,
            idle_tx,
            multiplier,
            passive,
            ttl,
            max_hops,
            weight,
            reverse,
            tells_vrrp,
            tells_checkers,
        } = new;
        let restart =
            *neighbor != self.neighbor || *source != self.source || *multihop != self.multihop;
        let adjust = *min_rx != self.min_rx
            || *min_tx != self.min_tx
            || *idle_tx != self.idle_tx
            || *multiplier != self.multiplier
            || *passive != self.passive
            || *ttl != self.ttl
            || *max_hops != self.max_hops
            || *weight != self.weight
            || *reverse != self.reverse
            || *tells_vrrp != self.tells_vrrp
            || *tells_checkers != self.tells_checkers;
        Reload::of(restart, adjust)
    }
}

impl SyncGroup {
    /// Nobody changes state for it; members that come or go follow the others from then on.
    pub(crate) fn reload_class(&self, new: &Self) -> Reload {
        Reload::of(false, self != new)
    }
}

impl VirtualServer {
    /// The kernel's service is edited in place: connections stay.
    pub(crate) fn reload_class(&self, new: &Self) -> Reload {
        Reload::of(false, self != new)
    }
}

impl RealServer {
    /// A check that is not the same as one before begins anew; while it does, a server that serves goes on serving. All
    /// else is edited in place.
    pub(crate) fn reload_class(&self, new: &Self) -> Reload {
        let mut old: Vec<_> = self.checkers.iter().map(|c| &c.check).collect();
        let fresh = |check| match old.iter().position(|o| *o == check) {
            Some(at) => {
                old.swap_remove(at);
                false
            }
            None => true,
        };
        let restart = new.checkers.iter().map(|c| &c.check).any(fresh);
        Reload::of(restart, self != new)
    }
}
