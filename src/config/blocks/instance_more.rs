//! `vrrp_instance`: the keywords beyond the common ones.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::super::source::Code;
use super::super::table::{Args, Fault, Row, key, lines, raw, renamed, sub, values};
use super::super::value;
use super::auth_hmac::AUTH_HMAC;
use super::checks::{extra_if, ifname};
use super::command;
use super::tracking::other as other_tracker;
use super::vrrp_instance::InstanceDraft;
use crate::model::net::Family;
use crate::model::net::IfName;
use crate::model::unicast::{OldChecksum, Peer};
use crate::model::vrrp::Version;

/// `<IP> [min_ttl N] [max_ttl N]`
fn peer(v: &mut InstanceDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let word = a.word()?;
    let malformed = || {
        format!(
            "Configuration error: VRRP instance[{}] malformed unicast peer address[{word}]. Skipping...",
            v.name
        )
    };
    let addr = value::address_of(word).map(|(addr, _)| addr);
    let family = v.family.or(v.peers.first().map(|p| Family::from(p.addr)));
    let Some(addr) = addr.filter(|p: &IpAddr| family.is_none_or(|f| f == Family::from(*p))) else {
        return Err(a.whole_fault(Code::InvalidAddress, malformed()));
    };
    if v.peers.iter().any(|p| p.addr == addr) {
        return Err(a.whole_fault(
            Code::Duplicate,
            format!("({}) {addr} - duplicate unicast_peer", v.name),
        ));
    }
    let ttl = hops(v, a);
    v.peers.push(Peer {
        addr,
        ttl: ttl.as_ref().map_or(0..=255, Clone::clone),
    });
    ttl.map(drop)
}

/// `[min_ttl N] [max_ttl N]`
fn hops(v: &mut InstanceDraft, a: &mut Args<'_, '_>) -> Result<RangeInclusive<u8>, Fault> {
    let (mut min, mut max) = (0, 255);
    while let Some(option) = a.opt() {
        let slot = match option {
            "min_ttl" => &mut min,
            "max_ttl" => &mut max,
            _ => return Err(a.fault(Code::UnknownWord, format!("unknown option '{option}'"))),
        };
        a.present()?;
        *slot = a.strict(0..=255_u8)?;
        v.check_source = true;
    }
    match min > max {
        true => Err(a.fault(Code::Conflict, "min_ttl is above max_ttl")),
        false => Ok(min..=max),
    }
}

/// The rest of `vrrp_instance`: unicast, trackers, virtual interfaces.
pub(super) const MORE_ROWS: &[Row<InstanceDraft>] = &[
    key("vrf", "<IFNAME>", |v, a| {
        let name = ifname(a)?;
        if v.interface.is_some() {
            let text = format!(
                "({}) Cannot specify VRF interface and interface - ignoring",
                v.name
            );
            return Err(a.whole_fault(Code::Conflict, text));
        }
        match v.dynamic || a.host().is_vrf(name.as_str()) {
            true => {
                v.vrf = Some(name);
                Ok(())
            }
            false => {
                let text = format!("({}) WARNING - VRF interface {name} doesn't exist", v.name);
                Err(a.whole_fault(Code::NoInterface, text))
            }
        }
    }),
    values(
        "unicast_peer",
        "{ <IP> [min_ttl N] [max_ttl N] ... }",
        |v, a| {
            v.unicast = true;
            a.no_more();
            a.entries(false, |a| peer(v, a));
            Ok(())
        },
    ),
    key("unicast_fault_no_peer", "flag", |v, a| {
        a.flag().map(|on| v.fault_no_peer = on)
    }),
    key("check_unicast_src", "flag", |v, a| {
        v.unicast = true;
        a.flag().map(|on| v.check_source = on)
    }),
    key("old_unicast_checksum", "[never]", |v, a| {
        v.unicast = true;
        match a.opt() {
            None => {
                v.old_checksum = OldChecksum::Always;
                Ok(())
            }
            Some("never") => {
                v.old_checksum = OldChecksum::Never;
                Ok(())
            }
            Some(word) => Err(a.fault(Code::BadValue, format!("unknown word '{word}' - ignored"))),
        }
    }),
    key("native_ipv6", "flag", |v, a| match v.family {
        Some(Family::V4) => Err(a.fault(Code::Conflict, "after IPv4 addresses - ignored")),
        Some(Family::V6) | None => {
            v.family = Some(Family::V6);
            v.version = Some(Version::V3);
            Ok(())
        }
    }),
    lines(
        "track_file",
        "{ <NAME> [weight <int> [reverse|noreverse]] ... }",
        |v, a| other_tracker(a, &v.name, &v.known.files, "file", &mut v.track_files),
    ),
    lines(
        "track_process",
        "{ <NAME> [weight <int> [reverse|noreverse]] ... }",
        |v, a| {
            other_tracker(
                a,
                &v.name,
                &v.known.processes,
                "process",
                &mut v.track_processes,
            )
        },
    ),
    lines(
        "track_bfd",
        "{ <NAME> [weight <int> [reverse|noreverse]] ... }",
        |v, a| other_tracker(a, &v.name, &v.known.bfds, "bfd", &mut v.track_bfds),
    ),
    key("unicast_src_ip", "<IP>", |v, a| {
        v.unicast = true;
        super::vrrp_instance::source(v, a)
    }),
    key("mcast_dst_ip", "<multicast IP>", |v, a| {
        v.group = None;
        match a.addr()? {
            group if group.is_multicast() => v.group = Some(group),
            other => {
                return Err(a.fault(
                    Code::InvalidAddress,
                    format!("{other} is not a multicast address"),
                ));
            }
        }
        Ok(())
    }),
    key("track_src_ip", "flag", |v, a| {
        a.flag().map(|on| v.track_source = on)
    }),
    key("unicast_ttl", "0..=255", |v, a| {
        a.strict(0..=255_u8).map(|ttl| v.unicast_ttl = Some(ttl))
    }),
    key("promote_secondaries", "flag", |v, a| {
        a.flag().map(|on| v.links.promote_secondaries = on)
    }),
    key(
        "linkbeat_use_polling",
        "deprecated: linkbeat_interfaces",
        |v, a| {
            v.linkbeat = true;
            Err(a.fault(
                Code::Deprecated,
                "is deprecated - please use linkbeat_interfaces",
            ))
        },
    ),
    key("v3_checksum_as_v2", "[<bool>]", |v, a| {
        a.bool().map(|on| v.checksum_as_v2 = on)
    }),
    key("accept", "flag", |v, a| {
        a.flag().map(|on| v.links.accept = on.then_some(true))
    }),
    key("no_accept", "flag", |v, a| {
        a.flag().map(|on| v.links.accept = on.then_some(false))
    }),
    // keepalived: kept, and of no effect.
    key("debug", "0..=4", |_, a| a.int(0..=4_u8).map(drop)),
    raw(key(
        "notify_master_rx_lower_pri",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| command::script(a, &mut v.notify.rx_lower_pri, v.known.nobody),
    )),
    raw(key(
        "notify_deleted",
        "[<CMD> [<USER> [[:]<GROUP>]]]",
        |v, a| {
            v.notify.tell_deletion = true;
            match a.raw().trim().is_empty() {
                true => Ok(()),
                false => command::optional_script(a, &mut v.notify.deleted, v.known.nobody),
            }
        },
    )),
    key("notify_priority_changes", "[<bool>]", |v, a| {
        a.bool().map(|on| v.notify.priority_changes = Some(on))
    }),
    key(
        "lvs_sync_daemon_interface",
        "deprecated: lvs_sync_daemon",
        |v, a| {
            let interface = IfName::new(a.word()?);
            let span = a.span();
            v.sync_daemon = v.sync_daemon.take().or(interface.map(|i| (i, span)));
            let text = format!(
                "({}) Specifying lvs_sync_daemon_interface against a vrrp is deprecated.",
                v.name
            );
            Err(a.whole_fault(Code::Deprecated, text))
        },
    ),
    key("timer_expired_backup", "[1..=254]", timer_expired),
    renamed("thread_timer_expired", "timer_expired_backup"),
    key("garp_extra_if", "[all] seconds, 0..=86400", |v, a| {
        extra_if(&mut v.garp.extra, a, 0)
    }),
    renamed("vmac_garp_intvl", "garp_extra_if"),
    key("owner_ignore_adverts", "[<bool>]", |v, a| {
        a.bool().map(|on| v.owner_ignore_adverts = Some(on))
    }),
    key("kernel_rx_buf_size", "octets", |v, a| {
        a.present()?;
        a.int(0..=u32::MAX)
            .map(|n| v.rx_buffer = Some(n).filter(|n| *n > 0))
    }),
    sub("auth_hmac", &AUTH_HMAC, |v, a| {
        a.block(&AUTH_HMAC, v.hmac.get_or_insert_default());
        Ok(())
    }),
];

fn timer_expired(v: &mut InstanceDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    if a.peek().is_some() {
        v.timer_expired_backup = a.strict(1..=254_u8)?;
    }
    Ok(())
}
