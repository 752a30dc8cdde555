//! `global_defs`: chains, sets and tables of the firewall.

use std::sync::Arc;

use super::super::source::Code;
use super::super::table::{Args, Fault, Row, key};
use super::checks::short;
use super::global::GlobalDraft;
use super::global_process::once;
use crate::model::firewall::{Ipsets, Iptables, Nftables, NftablesIpvs};

/// Longest name of an ipset, in octets (`IPSET_MAXNAMELEN` - 1).
const MAX_IPSET: usize = 31;
/// Longest name that may be given, so that one character can be added.
const MAX_GIVEN_IPSET: usize = 30;
/// Longest name of a chain of iptables.
const MAX_CHAIN: usize = 27;
/// Longest name of a table of nftables.
const MAX_TABLE: usize = 254;

/// `[<IN> [<OUT>]]`: no name means INPUT and OUTPUT, one name an input chain only.
fn iptables(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    once(&mut v.iptables, a)?;
    let input = short(a, MAX_CHAIN)?;
    let output = short(a, MAX_CHAIN)?;
    if input.is_some() && input == output {
        a.log(Code::Repeated, "both chains have the same name - ignored");
        return Ok(());
    }
    v.model.firewall.iptables = Some(match (input, output) {
        (None, _) => Iptables {
            input: Some("INPUT".into()),
            output: Some("OUTPUT".into()),
        },
        (Some(input), output) => Iptables {
            input: Some(input.into()),
            output: output.map(Into::into),
        },
    });
    Ok(())
}

/// `base` and `end`, cut in the base.
fn derived(base: &str, end: &str) -> Arc<str> {
    let mut keep = base.len().min(MAX_IPSET - end.len());
    while !base.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{end}", &base[..keep]).into()
}

/// Up to six names, all different; none: no sets.
fn ipsets(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let mut names: Vec<&str> = Vec::new();
    while let Some(name) = short(a, MAX_GIVEN_IPSET)? {
        if names.contains(&name) {
            return Err(a.fault(Code::Repeated, format!("the name '{name}' is used twice")));
        }
        names.push(name);
    }
    let sets = &mut v.model.firewall.ipsets;
    let Some(base) = names.first() else {
        sets.used = false;
        return Ok(());
    };
    let nth = |n: usize, end| {
        let given = names.get(n).map(|name| Arc::from(*name));
        given.unwrap_or_else(|| derived(base, end))
    };
    *sets = Ipsets {
        used: true,
        address: nth(0, ""),
        address6: nth(1, "6"),
        address_if6: nth(2, "_if6"),
        igmp: nth(3, "_igmp"),
        mld: nth(4, "_mld"),
        vmac_nd: nth(5, "_nd"),
    };
    Ok(())
}

/// `nftables [<TABLE>]`, which also sets the priority back. The first one counts.
fn nftables(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    once(&mut v.nftables, a)?;
    let name = short(a, MAX_TABLE)?;
    let Nftables {
        wanted,
        table,
        priority,
        ifindex: _,
    } = &mut v.model.firewall.nftables;
    *wanted = true;
    *priority = Nftables::default().priority;
    if let Some(name) = name {
        *table = name.into();
    }
    Ok(())
}

/// `nftables_ipvs [<TABLE>]`, which also sets priority and mark back. The first one counts.
fn nftables_ipvs(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    once(&mut v.nftables_ipvs, a)?;
    let name = short(a, MAX_TABLE)?;
    let fresh = NftablesIpvs::default();
    v.model.firewall.nftables_ipvs = NftablesIpvs {
        wanted: true,
        table: name.map_or(fresh.table, Into::into),
        priority: fresh.priority,
        start_fwmark: fresh.start_fwmark,
    };
    Ok(())
}

/// Firewall.
pub(super) const FIREWALL_ROWS: &[Row<GlobalDraft>] = &[
    key("vrrp_iptables", "[<IN> [<OUT>]]", iptables),
    key(
        "vrrp_ipsets",
        "[<ADDR> [<ADDR6> [<ADDR6_IF> [<IGMP> [<MLD> [<VMAC_ND>]]]]]]",
        ipsets,
    ),
    key("nftables", "[<TABLE>]", nftables),
    key("nftables_priority", "number, default -1", |v, a| {
        a.strict(i32::MIN..=i32::MAX)
            .map(|n| v.model.firewall.nftables.priority = n)
    }),
    key("nftables_ifindex", "flag", |v, a| {
        a.flag().map(|on| v.model.firewall.nftables.ifindex = on)
    }),
    key("nftables_ipvs", "[<TABLE>]", nftables_ipvs),
    key("nftables_ipvs_priority", "number, default -1", |v, a| {
        a.strict(i32::MIN..=i32::MAX)
            .map(|n| v.model.firewall.nftables_ipvs.priority = n)
    }),
    key(
        "nftables_ipvs_start_fwmark",
        "≥ 1, default 1000",
        |v, a| {
            a.strict(1..=u32::MAX)
                .map(|n| v.model.firewall.nftables_ipvs.start_fwmark = n)
        },
    ),
    key("nftables_counters", "flag", |v, a| {
        a.flag().map(|on| v.model.firewall.counters = on)
    }),
];
