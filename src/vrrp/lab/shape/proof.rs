//! How the routers of the simulated LAN prove who they are.

use std::sync::Arc;
use std::time::Duration;

use super::Dice;
use crate::model::auth::{AntiReplay, Auth, Hmac, HmacMode, Secret};
use crate::model::net::Family;
use crate::model::vrrp::Version;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vrrp::lab) enum Proof {
    None,
    Pass,
    Ah,
    /// `auth_hmac` on two steps of a migration that understand each other; each router is on one of them.
    Hmac {
        modes: [HmacMode; 2],
        replay: AntiReplay,
    },
}

impl Proof {
    pub(super) fn random(
        dice: &mut Dice,
        version: Version,
        family: Family,
        window: Duration,
        strict: bool,
    ) -> Self {
        use HmacMode::{Enforce, Permissive, ReceiveOnly};
        let legacy = (version, family) == (Version::V2, Family::V4);
        let modes = match dice.below(8) {
            0..3 if strict => return Self::None,
            0 if legacy => return Self::Pass,
            1 | 2 if legacy => return Self::Ah,
            3 => [Enforce, Enforce],
            4 if !strict => [Permissive, Enforce],
            5 if !strict => [ReceiveOnly, Permissive],
            _ => return Self::None,
        };
        let replay = match dice.one_in(3) {
            true => AntiReplay::Monotonic,
            false => AntiReplay::Time(window),
        };
        Self::Hmac { modes, replay }
    }

    pub(super) fn of_one(self, dice: &mut Dice) -> Auth {
        match self {
            Self::None => Auth::None,
            Self::Pass => Auth::Pass(*b"s3cret\0\0"),
            Self::Ah => Auth::Ah(Secret::new(b"s3cret\0\0".to_vec())),
            Self::Hmac { modes, replay } => Auth::Hmac(Arc::new(Hmac {
                keys: [(1, Secret::new(vec![7; 32])), (2, Secret::new(vec![8; 40]))].into(),
                active: if dice.one_in(2) { 1 } else { 2 },
                replay,
                mode: modes[usize::from(dice.one_in(2))],
            })),
        }
    }
}
