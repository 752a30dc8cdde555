//! Random configurations: what the routers of a network have in common, and what is each one's own.
//!
//! Whatever is switched here must let a healthy network come to rest with one master. Left out for that reason: members of
//! a group whose ranks differ, owners of one address that ignore each other, version 2 with different intervals.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::{Dice, eth0, eth1};
use crate::model::Config;
use crate::model::auth::{AntiReplay, Auth, Hmac, HmacMode, Secret};
use crate::model::bfd::BfdInstance;
use crate::model::global::{ExtraIf, Global};
use crate::model::net::{Family, IfName, VirtualAddress};
use crate::model::track::{
    Arguments, InterfaceTrack, OtherTracks, ScriptTrack, TrackFile, TrackProcess, Tracked, Weight,
};
use crate::model::unicast::{OldChecksum, Peer, Unicast};
use crate::model::vmac::{SubLink, SubLinkKind};
use crate::model::vrrp::{Garp, InitialState, Instance as Model, Priority, SyncGroup, Version};
use crate::time::Mono;
use crate::vrrp::instance::skew;
use crate::vrrp::sample::{group, priority, script, vrid};

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

/// How routers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
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
    fn random(
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

    fn of_one(self, dice: &mut Dice) -> Auth {
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

    fn priority(&self, n: u8, dice: &mut Dice) -> Priority {
        let value = match dice.below(10) {
            0 if self.deaf_owner && n != 1 => 254,
            0 => 255,
            1..4 => 100,
            _ => 1 + dice.below(254),
        };
        priority(u8::try_from(value).expect("small"))
    }

    /// The configuration of the `n`-th router, from 1 on.
    pub(super) fn config(&self, n: u8, dice: &mut Dice) -> Config {
        let priority = self.priority(n, dice);
        let tracks = Tracks::random(dice);
        let preempt = !dice.one_in(3);
        let preempt_delay = match dice.one_in(4) && !self.strict {
            true => dice.up_to(self.interval * 5),
            false => Duration::ZERO,
        };
        let initial_state = match dice.one_in(2) {
            true => InitialState::Master,
            false => InitialState::Backup,
        };
        // Members may track on their own as long as it makes no difference in good times.
        let own_tracks = !self.grouped || dice.one_in(3);
        let faster = u32::from(self.intervals_differ && dice.one_in(2)) + 1;
        let mut models: Vec<Model> = Vec::new();
        for vrid in 1..=self.vrids {
            let mut model = self.model(vrid, n, dice);
            // Members of a group that disagree about their rank can wait for each other for ever, in keepalived too.
            model.priority = if self.grouped {
                priority
            } else {
                self.priority(n, dice)
            };
            model.advert_int = (self.interval / faster).max(SECOND / 100);
            (model.preempt, model.preempt_delay, model.initial_state) =
                (preempt, preempt_delay, initial_state);
            if self.strict {
                // keepalived: only owners start as masters there, and they do.
                model.initial_state = match model.is_owner() {
                    true => InitialState::Master,
                    false => InitialState::Backup,
                };
            }
            if own_tracks && !self.grouped {
                tracks.clone().give(&mut model);
            } else if own_tracks {
                let only_malus = Tracks {
                    weight: Weight::Adjust(-40),
                    reverse: false,
                    ..Tracks::random(dice)
                };
                only_malus.give(&mut model);
            }
            models.push(model);
        }
        if self.twins {
            self.part(&mut models, n);
        }
        let group = self.grouped.then(|| {
            Arc::new(SyncGroup {
                tracking_weight: own_tracks,
                track_interfaces: tracks.interfaces(),
                track_scripts: tracks.scripts(),
                other_tracks: tracks.others(),
                ..group(&models)
            })
        });
        Config {
            global: Arc::new(Global {
                startup_delay: self.startup_delay,
                delay_after_boot: Duration::from_micros(self.booted_at.as_micros()),
                garp_interval: self.garp_interval,
                gna_interval: self.garp_interval,
                ..Global::default()
            }),
            track_files: vec![Arc::new(number_file())],
            bfds: vec![Arc::new(path())],
            track_processes: vec![Arc::new(worker())],
            instances: models.into_iter().map(Arc::new).collect(),
            groups: group.into_iter().collect(),
            scripts: vec![Arc::new(script("chk", false))],
            ..Config::default()
        }
    }

    /// Routers 1 and 2 share the first virtual router; the others, and router 1 with a second instance, share another one of
    /// the same number.
    fn part(&self, models: &mut Vec<Model>, n: u8) {
        let own = |model: &mut Model, wanted: fn(u8) -> bool| {
            if let Some(unicast) = &mut model.unicast {
                let all = peers(self.family).into_iter().zip(1..);
                let some = all.filter(|(_, number)| wanted(*number));
                unicast.peers = some.map(|(peer, _)| peer).collect();
            }
        };
        let mut twin = models[0].clone();
        own(&mut models[0], |n| n <= 2);
        if n == 2 {
            return;
        }
        twin.name = TWIN.into();
        own(&mut twin, |n| n != 2);
        twin.excluded.clear();
        for addr in &mut twin.addresses {
            let addr = Arc::make_mut(addr);
            addr.addr = match addr.addr {
                IpAddr::V4(v4) => (v4 | Ipv4Addr::new(0, 0, 128, 0)).into(),
                IpAddr::V6(v6) => (v6 | Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0x80, 0)).into(),
            };
        }
        if n > 2 {
            models[0] = twin;
            return;
        }
        twin.twin = 1;
        models.push(twin);
    }

    fn model(&self, number: u8, n: u8, dice: &mut Dice) -> Model {
        let mut model = Model::new(
            &format!("V{number}"),
            eth0(),
            vrid(number),
            &Global::default(),
        );
        (model.version, model.family) = (self.version, self.family);
        let addr = |host: u16| -> IpAddr {
            let [high, low] = host.to_be_bytes();
            match self.family {
                Family::V4 => [10, high, number, low].into(),
                Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, number.into(), host).into(),
            }
        };
        let turn = usize::from(number) % self.groups.len().max(1);
        let group = self.groups.get(turn).copied();
        model.mcast_group = group.unwrap_or_else(|| usual_group(self.family));
        model.strict = self.strict;
        self.place(&mut model, number, n, dice);
        let carrier = model.links.own.as_ref().map_or(eth0(), |l| l.name.clone());
        for host in 0..1 + u16::try_from(dice.below(3)).expect("small") {
            let vip = VirtualAddress::new(addr(100 + host), 24, carrier.clone());
            model.addresses.push(vip.into());
        }
        if dice.one_in(3) {
            let mut aside = VirtualAddress::new(addr(200), 24, eth1());
            aside.track = dice.one_in(2);
            model.excluded.push(aside.into());
        }
        let span = |dice: &mut Dice| dice.up_to(self.interval * 8);
        model.garp = Garp {
            master_delay: span(dice),
            master_repeat: 1 + u32::try_from(dice.below(3)).expect("small"),
            master_refresh: match dice.one_in(3) {
                true => self.interval / 2 + span(dice),
                false => Duration::ZERO,
            },
            master_refresh_repeat: 1,
            lower_prio_delay: if self.strict {
                Duration::ZERO
            } else {
                span(dice)
            },
            lower_prio_repeat: match self.strict {
                true => 0,
                false => u32::try_from(dice.below(3)).expect("small"),
            },
            extra: dice.one_in(4).then(|| ExtraIf {
                all: dice.one_in(2),
                interval: SECOND,
            }),
        };
        model.auth = self.proof.of_one(dice);
        model.dont_track_primary = dice.one_in(8);
        model.down_timer_adverts = match dice.one_in(2) {
            true => self.down_timer_adverts,
            false => 3,
        };
        model.timer_expired_backup = u8::try_from(1 + dice.below(254)).expect("small");
        model.lower_prio_no_advert = self.strict || self.lower_prio_no_advert && dice.one_in(2);
        model.higher_prio_send_advert = self.higher_prio_send_advert && dice.one_in(2);
        model.skip_check_adv_addr = self.skip_check_adv_addr;
        model.checksum_as_v2 = self.checksum_as_v2;
        model.owner_ignore_adverts = self.deaf_owner;
        model
    }

    /// Where the instance lives, and how it speaks.
    fn place(&self, model: &mut Model, number: u8, n: u8, dice: &mut Dice) {
        let own: IpAddr = match self.family {
            Family::V4 => [10, 0, 0, n].into(),
            Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n.into()).into(),
        };
        if let Some(Way::Source | Way::Anywhere) = self.unicast {
            model.source = Some(own);
            model.track_source = dice.one_in(2);
        }
        if self.unicast == Some(Way::Anywhere) {
            model.interface = None;
        }
        model.unicast = self.unicast.map(|_| Unicast {
            peers: peers(self.family),
            fault_no_peer: dice.one_in(2),
            check_source: dice.one_in(2),
            ttl: dice.one_in(2).then_some(9),
            old_checksum: self.checksums[usize::from(dice.one_in(2))],
        });
        if let Some(voice) = self.vmac {
            let v6 = self.family == Family::V6;
            let mac = [0, 0, 0x5e, 0, if v6 { 2 } else { 1 }, number];
            model.links.own = Some(Arc::new(SubLink {
                name: IfName::new(&format!("vrrp.{number}")).expect("a name"),
                base: eth0(),
                kind: SubLinkKind::Macvlan { mac },
                group: dice.one_in(2).then_some(7),
                v4: !v6,
                v6,
                tell_base: false,
            }));
            model.links.xmit_base = voice == Voice::Base;
        }
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

/// What is watched; the things exist on every node.
#[derive(Clone, Debug)]
struct Tracks {
    weight: Weight,
    reverse: bool,
    script: bool,
    file: bool,
    process: bool,
    bfd: bool,
    interface: bool,
}

impl Tracks {
    fn random(dice: &mut Dice) -> Self {
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

    fn give(self, model: &mut Model) {
        model.track_interfaces = self.interfaces();
        model.track_scripts = self.scripts();
        model.other_tracks = self.others();
    }

    fn interfaces(&self) -> Vec<InterfaceTrack> {
        let track = || InterfaceTrack {
            interface: eth1(),
            weight: self.weight,
            reverse: self.reverse,
        };
        self.interface.then(track).into_iter().collect()
    }

    fn scripts(&self) -> Vec<ScriptTrack> {
        let track = || ScriptTrack {
            script: "chk".into(),
            weight: self.weight,
            reverse: self.reverse,
        };
        self.script.then(track).into_iter().collect()
    }

    fn others(&self) -> OtherTracks {
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

/// Every machine that the lab may have; nobody minds to be a peer of himself.
fn peers(family: Family) -> Vec<Peer> {
    let addr = |n: u8| -> IpAddr {
        match family {
            Family::V4 => [10, 0, 0, n].into(),
            Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n.into()).into(),
        }
    };
    (1..=4).map(|n| Peer::new(addr(n))).collect()
}

fn number_file() -> TrackFile {
    TrackFile {
        name: "number".into(),
        path: "/run/number".into(),
        weight: Weight::Adjust(1),
        reverse: false,
        init: None,
    }
}

fn worker() -> TrackProcess {
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

fn path() -> BfdInstance {
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
