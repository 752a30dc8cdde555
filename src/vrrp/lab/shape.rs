//! Random networks: what all routers of one have in common. What is each one's own is in `router`.
//!
//! Whatever is switched here must let a healthy network come to rest with one master. Left out for that reason: members of
//! a group whose ranks differ, owners of one address that ignore each other, version 2 with different intervals.

mod proof;
mod router;
mod tracks;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

pub(super) use self::proof::Proof;
use super::dice::Dice;
use super::{eth0, eth1};
use crate::model::auth::AntiReplay;
use crate::model::global::Global;
use crate::model::net::Family;
use crate::model::unicast::OldChecksum;
use crate::model::vrrp::Version;
use crate::time::Mono;
use crate::vrrp::instance::skew;

const SECOND: Duration = Duration::from_secs(1);

/// What all nodes have in common.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) version: Version,
    pub(super) family: Family,
    pub(super) vrids: u8,
    grouped: bool,
    /// The longest one.
    pub(super) interval: Duration,
    /// Version 3: some routers speak more often.
    intervals_differ: bool,
    unicast: Option<Way>,
    vmac: Option<Voice>,
    pub(super) proof: Proof,
    /// The most that any router waits for.
    down_timer_adverts: u32,
    pub(super) lower_prio_no_advert: bool,
    higher_prio_send_advert: bool,
    skip_check_adv_addr: bool,
    checksum_as_v2: bool,
    /// `owner_ignore_adverts`; only the first router may be the owner then.
    deaf_owner: bool,
    pub(super) startup_delay: Duration,
    /// `vrrp_delay_after_boot`: until then nobody decides anything.
    pub(super) booted_at: Mono,
    garp_interval: Duration,
    /// `vrrp_strict`.
    strict: bool,
    /// `mcast_dst_ip` of each virtual router, in turn; the usual one where there is none.
    groups: Vec<IpAddr>,
    /// The first router has another instance of virtual router 1, whose peers are the others.
    twins: bool,
    /// Whose checksum it is; each router is one of them.
    checksums: [OldChecksum; 2],
}

/// How unicast finds its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Through the interface, from its first address.
    Interface,
    /// Through the interface, from a configured address.
    Source,
    /// Wherever routes lead.
    Anywhere,
}

/// What a VMAC's advertisements leave through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Vmac,
    Base,
}

fn window_for(interval: Duration) -> Duration {
    (interval * 20).max(SECOND)
}

impl Shape {
    pub(super) fn random(dice: &mut Dice) -> Self {
        let (version, interval) = match dice.below(6) {
            0..3 => (Version::V2, SECOND),
            3 => (Version::V3, SECOND / 100),
            4 => (Version::V3, SECOND / 10),
            _ => (Version::V3, SECOND * 5 / 2),
        };
        let vrids = u8::try_from(1 + dice.below(3)).expect("small");
        let family = if dice.one_in(3) {
            Family::V6
        } else {
            Family::V4
        };
        let some = |dice: &mut Dice, span: Duration| match dice.one_in(4) {
            true => dice.up_to(span),
            false => Duration::ZERO,
        };
        let strict = dice.one_in(8) && (version, family) != (Version::V2, Family::V6);
        let unicast = match dice.below(9) {
            _ if strict => None,
            0 => Some(Way::Interface),
            1 => Some(Way::Source),
            2 => Some(Way::Anywhere),
            _ => None,
        };
        // Unicast never uses the VMAC's own address.
        let vmac = match (dice.below(6), unicast) {
            (0, None) => Some(Voice::Vmac),
            (0 | 1, None | Some(Way::Interface | Way::Source)) if !strict => Some(Voice::Base),
            _ => None,
        };
        let grouped = vrids > 1 && dice.one_in(2);
        let other: IpAddr = match family {
            Family::V4 => [224, 0, 0, 99].into(),
            Family::V6 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x99).into(),
        };
        let groups = match dice.below(4) {
            0 => vec![other],
            1 => vec![usual_group(family), other],
            _ => Vec::new(),
        };
        let checksums = match dice.below(4) {
            0 => [OldChecksum::Always; 2],
            1 => [OldChecksum::Never; 2],
            2 => [OldChecksum::Recognised, OldChecksum::Always],
            _ => [OldChecksum::Recognised; 2],
        };
        Self {
            version,
            family,
            vrids,
            grouped,
            interval,
            intervals_differ: version == Version::V3 && dice.one_in(3),
            unicast,
            vmac,
            proof: Proof::random(dice, version, family, window_for(interval), strict),
            down_timer_adverts: if dice.one_in(4) && !strict { 5 } else { 3 },
            lower_prio_no_advert: strict || dice.one_in(5),
            higher_prio_send_advert: dice.one_in(5) && !strict,
            skip_check_adv_addr: dice.one_in(4),
            checksum_as_v2: dice.one_in(5),
            deaf_owner: strict || dice.one_in(6),
            startup_delay: some(dice, interval * 3),
            booted_at: Mono::from_micros(0) + some(dice, SECOND + interval * 3),
            strict,
            groups,
            twins: unicast.is_some() && vmac.is_none() && !grouped && dice.one_in(3),
            checksums,
            garp_interval: some(dice, interval / 2),
        }
    }

    /// The virtual routers, by the name of their instances.
    pub(super) fn routers(&self) -> Vec<String> {
        let all = (1..=self.vrids).map(|number| format!("V{number}"));
        all.chain(self.twins.then(|| TWIN.to_owned())).collect()
    }

    pub(super) fn is_multicast(&self) -> bool {
        self.unicast.is_none()
    }

    /// One that nobody listens to who is configured as he should be.
    pub(super) fn another_group(&self) -> IpAddr {
        match self.family {
            Family::V4 => [224, 0, 0, 77].into(),
            Family::V6 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x77).into(),
        }
    }

    /// The longest that any backup waits.
    pub(super) fn down(&self) -> Duration {
        self.interval * self.down_timer_adverts + skew(self.version, 1, self.interval)
    }

    /// `time_window`: how far clocks may be apart.
    pub(super) fn window(&self) -> Duration {
        window_for(self.interval)
    }

    /// Who proves himself by the wall clock alone is lost without it.
    pub(super) fn clocks_may_jump(&self) -> bool {
        !matches!(
            self.proof,
            Proof::Hmac {
                replay: AntiReplay::Monotonic,
                ..
            }
        )
    }
}

/// The second instance of the first virtual router.
const TWIN: &str = "T";

fn usual_group(family: Family) -> IpAddr {
    match family {
        Family::V4 => Global::default().vrrp_mcast_group4.into(),
        Family::V6 => Global::default().vrrp_mcast_group6.into(),
    }
}
