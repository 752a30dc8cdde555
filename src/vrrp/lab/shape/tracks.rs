//! What the routers of the simulated LAN watch besides each other. The things are on every node, and well unless a story
//! says otherwise.

use std::net::IpAddr;
use std::time::Duration;

use super::{Dice, SECOND, eth1};
use crate::model::bfd::BfdInstance;
use crate::model::track::{
    Arguments, InterfaceTrack, OtherTracks, ScriptTrack, TrackFile, TrackProcess, Tracked, Weight,
};
use crate::model::vrrp::Instance as Model;

/// Which of the things below a router watches, and what they weigh.
#[derive(Clone, Debug)]
pub(super) struct Tracks {
    pub(super) weight: Weight,
    pub(super) reverse: bool,
    pub(super) script: bool,
    pub(super) file: bool,
    pub(super) process: bool,
    pub(super) bfd: bool,
    pub(super) interface: bool,
}

impl Tracks {
    pub(super) fn random(dice: &mut Dice) -> Self {
        let weight = match dice.below(3) {
            0 => Weight::Fault,
            1 => Weight::Adjust(60),
            _ => Weight::Adjust(-60),
        };
        Self {
            weight,
            // With weight 0 it would be a fault when all is well.
            reverse: weight != Weight::Fault && dice.one_in(4),
            script: !dice.one_in(3),
            file: !dice.one_in(3),
            process: dice.one_in(3),
            bfd: dice.one_in(3),
            interface: dice.one_in(3),
        }
    }

    pub(super) fn give(self, model: &mut Model) {
        model.track_interfaces = self.interfaces();
        model.track_scripts = self.scripts();
        model.other_tracks = self.others();
    }

    pub(super) fn interfaces(&self) -> Vec<InterfaceTrack> {
        let track = || InterfaceTrack {
            interface: eth1(),
            weight: self.weight,
            reverse: self.reverse,
        };
        self.interface.then(track).into_iter().collect()
    }

    pub(super) fn scripts(&self) -> Vec<ScriptTrack> {
        let track = || ScriptTrack {
            script: "chk".into(),
            weight: self.weight,
            reverse: self.reverse,
        };
        self.script.then(track).into_iter().collect()
    }

    pub(super) fn others(&self) -> OtherTracks {
        let some = |wanted: bool, name: &str| {
            let track = || Tracked {
                name: name.into(),
                weight: self.weight,
                reverse: self.reverse,
            };
            wanted.then(track).into_iter().collect()
        };
        OtherTracks {
            files: some(self.file, "number"),
            processes: some(self.process, "worker"),
            bfds: some(self.bfd, "path"),
        }
    }
}

pub(super) fn number_file() -> TrackFile {
    TrackFile {
        name: "number".into(),
        path: "/run/number".into(),
        weight: Weight::Adjust(1),
        reverse: false,
        init: None,
    }
}

pub(super) fn worker() -> TrackProcess {
    TrackProcess {
        name: "worker".into(),
        process: vec!["worker".into()],
        arguments: Arguments::Any,
        full_command: false,
        weight: Weight::Fault,
        reverse: false,
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    }
}

pub(super) fn path() -> BfdInstance {
    BfdInstance {
        name: "path".into(),
        neighbor: IpAddr::from([10, 0, 0, 250]),
        source: None,
        min_rx: SECOND,
        min_tx: SECOND,
        idle_tx: SECOND,
        multiplier: 5,
        passive: false,
        ttl: 255,
        max_hops: Some(0),
        multihop: false,
        weight: Weight::Fault,
        reverse: false,
        tells_vrrp: true,
        tells_checkers: false,
    }
}
