//! `global_defs`: firewall, IPVS and what instances start from.

use std::net::IpAddr;

use super::super::source::Code;
use super::super::table::{Args, Fault, Row, key, renamed};
use super::super::value;
use super::checks::{boolean, extra_if, flag, short};
use super::global::{GlobalDraft, MAX_DECIMAL};
use super::global_process::once;
use crate::model::net::IfName;

/// `lvs_timeouts`: pairs of a name and seconds.
fn timeouts(_: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    while let Some(name) = a.opt() {
        if !matches!(name, "tcp" | "tcpfin" | "udp") {
            a.warn(Code::UnknownWord, format!("unknown timeout '{name}'"));
            continue;
        }
        a.present()?;
        if let Err(fault) = a.strict(0..=2_678_400_u32) {
            a.report(fault);
        }
    }
    Ok(())
}

/// `lvs_sync_daemon <IFNAME> [[inst] <INSTANCE>] [id N] [maxlen N] [port N] [ttl N] [group <IP>]`
fn sync_daemon(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let name = a.word()?;
    if IfName::new(name).is_none() {
        return Err(a.fault(
            Code::TooLong,
            format!("'{name}' cannot be the name of an interface"),
        ));
    }
    once(&mut v.sync_daemon, a)?;
    let mut place = 0;
    while let Some(word) = a.opt() {
        place += 1;
        let range = match word {
            "inst" => {
                a.opt();
                continue;
            }
            "id" => 0..=255_u32,
            "maxlen" => 1..=65_507,
            "port" => 1..=65_535,
            "ttl" => 1..=255,
            "group" => {
                let group = a.opt().and_then(value::address);
                if !group.is_some_and(|g: IpAddr| g.is_multicast()) {
                    a.warn(Code::InvalidAddress, "not a multicast address");
                }
                continue;
            }
            number if place == 2 && value::whole(number).is_some() => {
                a.warn(Code::Deprecated, "please use 'id'");
                continue;
            }
            _ if place == 1 => continue,
            _ => {
                a.warn(Code::UnknownWord, format!("unknown option '{word}'"));
                continue;
            }
        };
        a.present()?;
        if let Err(fault) = a.strict(range) {
            a.report(fault);
        }
    }
    Ok(())
}

fn flush_on_stop(_: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    match a.opt() {
        None | Some("VS") => Ok(()),
        Some(word) => Err(a.fault(Code::BadValue, format!("unknown word '{word}' - ignored"))),
    }
}

/// The first one counts; at most 254 characters.
fn table(seen: &mut bool, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    once(seen, a)?;
    short(a, 254)
}

fn priority(_: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.strict(i32::MIN..=i32::MAX).map(drop)
}

/// Firewall, IPVS, VRRP details.
pub(super) const NET_ROWS: &[Row<GlobalDraft>] = &[
    key("checker_log_all_failures", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.log_all_failures = on)
    }),
    key("disable_local_igmp", "flag", flag),
    key("v3_checksum_as_v2", "flag", flag),
    key("lvs_timeouts", "[tcp N] [tcpfin N] [udp N]", timeouts),
    key("lvs_flush", "flag", flag),
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
    key("vrrp_min_garp", "[<bool>]", boolean),
    key("vrrp_garp_extra_if", "[all] seconds, 1..=86400", |_, a| {
        extra_if(a, 1)
    }),
    renamed("vrrp_vmac_garp_intvl", "vrrp_garp_extra_if"),
    key("vrrp_iptables", "[<IN> [<OUT>]]", |v, a| {
        once(&mut v.iptables, a)?;
        short(a, 27)?;
        short(a, 27)
    }),
    key("nftables", "[<TABLE>]", |v, a| table(&mut v.nftables, a)),
    key("nftables_priority", "number", priority),
    key("nftables_ifindex", "flag", flag),
    key("nftables_ipvs", "[<TABLE>]", |v, a| {
        table(&mut v.nftables_ipvs, a)
    }),
    key("nftables_ipvs_priority", "number", priority),
    key(
        "nftables_ipvs_start_fwmark",
        "≥ 1, default 1000",
        |_, a| a.strict(1..=u32::MAX).map(drop),
    ),
    key("nftables_counters", "flag", flag),
    key("vrrp_check_unicast_src", "flag", flag),
    key("vrrp_owner_ignore_adverts", "[<bool>]", boolean),
    key(
        "vrrp_delay_after_boot",
        "seconds, 0.001..=4294.967295",
        |_, a| {
            a.secs(std::time::Duration::from_millis(1)..=MAX_DECIMAL)
                .map(drop)
        },
    ),
];
