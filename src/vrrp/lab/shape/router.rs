//! The configuration of one router of a shape: what it has in common with the others, and what is its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::tracks::{self, Tracks};
use super::{Dice, SECOND, Shape, TWIN, Voice, Way, eth0, eth1, usual_group};
use crate::model::Config;
use crate::model::global::{ExtraIf, Global};
use crate::model::net::{Family, IfName, VirtualAddress};
use crate::model::track::Weight;
use crate::model::unicast::{Peer, Unicast};
use crate::model::vmac::{SubLink, SubLinkKind};
use crate::model::vrrp::{Garp, InitialState, Instance as Model, Priority, SyncGroup};
use crate::vrrp::sample::{group, priority, script, vrid};

impl Shape {
    /// The configuration of the `n`-th router, from 1 on.
    pub(in crate::vrrp::lab) fn config(&self, n: u8, dice: &mut Dice) -> Config {
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
            track_files: vec![Arc::new(tracks::number_file())],
            bfds: vec![Arc::new(tracks::path())],
            track_processes: vec![Arc::new(tracks::worker())],
            instances: models.into_iter().map(Arc::new).collect(),
            groups: group.into_iter().collect(),
            scripts: vec![Arc::new(script("chk", false))],
            ..Config::default()
        }
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
