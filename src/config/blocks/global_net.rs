//! `global_defs`: IPVS, and what instances start from.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::source::{Code, Span};
use super::super::table::{Args, Fault, Row, key, renamed};
use super::super::value;
use super::checks::extra_if;
use super::global::{GlobalDraft, MAX_DECIMAL};
use crate::model::global::{FlushOnStop, IpvsTimeouts, SyncDaemon};
use crate::model::net::IfName;
use crate::model::vrrp::Garp;

/// Longest timeout that IPVS takes, in seconds.
const MAX_TIMEOUT: u32 = 2_678_400;

/// `lvs_sync_daemon`, the instance not looked for yet.
#[derive(Clone, Debug)]
pub(crate) struct SyncDaemonDraft {
    /// `id` is 0 so far.
    pub(crate) model: SyncDaemon,
    pub(crate) id: Option<u8>,
    pub(crate) span: Span,
}

/// `lvs_timeouts`: pairs of a name and seconds; 0 leaves the kernel's.
fn timeouts(v: &mut IpvsTimeouts, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    while let Some(name) = a.opt() {
        let slot = match name {
            "tcp" => &mut v.tcp,
            "tcpfin" => &mut v.tcp_fin,
            "udp" => &mut v.udp,
            _ => {
                a.warn(Code::UnknownWord, format!("unknown timeout '{name}'"));
                continue;
            }
        };
        a.present()?;
        match a.strict(0..=MAX_TIMEOUT) {
            Ok(0) => *slot = None,
            Ok(seconds) => *slot = Some(Duration::from_secs(seconds.into())),
            Err(fault) => a.report(fault),
        }
    }
    Ok(())
}

/// The value of an option, if it is one; else that is complained about.
fn option<N>(a: &mut Args<'_, '_>, range: std::ops::RangeInclusive<N>) -> Result<Option<N>, Fault>
where
    N: Copy + Into<i128> + TryFrom<i128>,
{
    a.present()?;
    match a.strict(range) {
        Ok(n) => Ok(Some(n)),
        Err(fault) => {
            a.report(fault);
            Ok(None)
        }
    }
}

/// `lvs_sync_daemon <IFNAME> [[inst] <INSTANCE>] [id N] [maxlen N] [port N] [ttl N] [group <IP>]`
fn sync_daemon(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let name = a.word()?;
    let Some(interface) = IfName::new(name) else {
        return Err(a.fault(
            Code::TooLong,
            format!("'{name}' cannot be the name of an interface"),
        ));
    };
    if v.sync_daemon.is_some() {
        return Err(a.fault(Code::Repeated, "already specified - ignoring"));
    }
    let mut found = SyncDaemon::on(interface);
    let mut id = None;
    let mut place = 0;
    while let Some(word) = a.opt() {
        place += 1;
        match word {
            "inst" => found.instance = a.opt().map(Into::into),
            "id" => id = option(a, 0..=255)?,
            "maxlen" => found.maxlen = option(a, 1..=65_507)?,
            "port" => found.port = option(a, 1..=65_535)?,
            "ttl" => found.ttl = option(a, 1..=255)?,
            "group" => {
                let group = a.opt().and_then(value::address);
                found.group = group.filter(|g: &IpAddr| g.is_multicast());
                if found.group.is_none() {
                    a.warn(Code::InvalidAddress, "not a multicast address");
                }
            }
            number if place == 2 && value::whole(number).is_some() => {
                a.warn(Code::Deprecated, "please use 'id'");
                id = value::whole(number).and_then(|n| u8::try_from(n.value).ok());
            }
            instance if place == 1 => found.instance = Some(instance.into()),
            _ => a.warn(Code::UnknownWord, format!("unknown option '{word}'")),
        }
    }
    v.sync_daemon = Some(SyncDaemonDraft {
        model: found,
        id,
        span: a.span(),
    });
    Ok(())
}

fn flush_on_stop(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    v.model.ipvs.flush_on_stop = match a.opt() {
        None => FlushOnStop::Table,
        Some("VS") => FlushOnStop::Services,
        Some(word) => {
            return Err(a.fault(Code::BadValue, format!("unknown word '{word}' - ignored")));
        }
    };
    Ok(())
}

/// One packet and no second burst, for what still has its default at this place.
// keepalived: it also takes the packets of a refresh away; we send the one.
fn min_garp(garp: &mut Garp, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    if !a.bool()? {
        return Ok(());
    }
    let default = Garp::default();
    if garp.master_delay == default.master_delay {
        garp.master_delay = Duration::ZERO;
    }
    if garp.master_repeat == default.master_repeat {
        garp.master_repeat = 1;
    }
    Ok(())
}

/// The first one counts.
fn prefix(slot: &mut Option<Arc<str>>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let prefix = a.word()?;
    if slot.is_some() {
        return Err(a.fault(Code::Repeated, "already specified - ignoring"));
    }
    *slot = Some(prefix.into());
    Ok(())
}

/// IPVS, VRRP details.
pub(super) const NET_ROWS: &[Row<GlobalDraft>] = &[
    key("checker_log_all_failures", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.log_all_failures = on)
    }),
    key("rs_init_notifies", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.rs_init_notifies = on)
    }),
    key("disable_local_igmp", "flag", |v, a| {
        a.flag().map(|on| v.model.disable_local_igmp = on)
    }),
    key("v3_checksum_as_v2", "flag", |v, a| {
        a.flag().map(|on| v.model.v3_checksum_as_v2 = on)
    }),
    key("log_unknown_vrids", "flag", |v, a| {
        a.flag().map(|on| v.model.log_unknown_vrids = on)
    }),
    key("lvs_timeouts", "[tcp N] [tcpfin N] [udp N]", |v, a| {
        timeouts(&mut v.model.ipvs.timeouts, a)
    }),
    key("lvs_flush", "flag", |v, a| {
        a.flag().map(|on| v.model.ipvs.flush = on)
    }),
    key("lvs_flush_on_stop", "[VS]", flush_on_stop),
    key(
        "lvs_flush_onstop",
        "deprecated: lvs_flush_on_stop",
        flush_on_stop,
    ),
    key(
        "lvs_sync_daemon",
        "<IFNAME> [[inst] <INSTANCE>] ...",
        sync_daemon,
    ),
    key("vrrp_min_garp", "[<bool>]", |v, a| {
        min_garp(&mut v.model.garp, a)
    }),
    key("vrrp_garp_extra_if", "[all] seconds, 1..=86400", |v, a| {
        extra_if(&mut v.model.garp_extra_if, a, 1)
    }),
    renamed("vrrp_vmac_garp_intvl", "vrrp_garp_extra_if"),
    key("vrrp_check_unicast_src", "flag", |v, a| {
        a.flag().map(|on| v.model.check_unicast_src = on)
    }),
    key("vrrp_owner_ignore_adverts", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.owner_ignore_adverts = on)
    }),
    key(
        "vrrp_delay_after_boot",
        "seconds, 0.001..=4294.967295",
        |v, a| {
            let found = a.secs(Duration::from_millis(1)..=MAX_DECIMAL)?;
            v.model.delay_after_boot = v.model.delay_after_boot.max(found);
            Ok(())
        },
    ),
    key("vmac_prefix", "<STRING>, default vrrp", |v, a| {
        prefix(&mut v.vmac_prefix, a)
    }),
    key(
        "vmac_addr_prefix",
        "<STRING>, default vmac_prefix",
        |v, a| prefix(&mut v.vmac_addr_prefix, a),
    ),
];
