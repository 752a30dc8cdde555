//! `vrrp_instance`: the interfaces that an instance brings along.

use std::net::IpAddr;

use super::super::names::Names;
use super::super::source::Code;
use super::super::table::{Args, Fault, Row, key};
use super::super::value;
use super::checks::ifname;
use super::global_process::once;
use super::ip_line;
use super::vrrp_instance::InstanceDraft;
use crate::model::net::IfName;
use crate::model::vmac::IpvlanMode;

/// What an instance asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubLinkDraft {
    /// `use_vmac`.
    pub(crate) vmac: Option<Box<VmacDraft>>,
    /// `use_ipvlan`.
    pub(crate) ipvlan: Option<Box<IpvlanDraft>>,
    seen_ipvlan: bool,
    /// `vmac_xmit_base`.
    pub(crate) xmit_base: bool,
    /// `use_vmac_addr`.
    pub(crate) addresses: bool,
    /// `accept`, `no_accept`.
    pub(crate) accept: Option<bool>,
    /// `promote_secondaries`.
    pub(crate) promote_secondaries: bool,
}

/// `use_vmac`; several lines add up.
#[derive(Clone, Debug, Default)]
pub(crate) struct VmacDraft {
    pub(crate) name: Option<IfName>,
    /// Five octets: the VRID follows.
    pub(crate) mac: Option<Vec<u8>>,
    pub(crate) group: Option<u32>,
    pub(crate) tell_base: bool,
}

/// `use_ipvlan`.
#[derive(Clone, Debug, Default)]
pub(crate) struct IpvlanDraft {
    pub(crate) name: Option<IfName>,
    pub(crate) addr: Option<(IpAddr, u8)>,
    pub(crate) mode: Option<IpvlanMode>,
    pub(crate) group: Option<u32>,
}

fn group(slot: &mut Option<u32>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let word = a.word()?;
    match a.named(Names::Group, word) {
        Some(n) => *slot = Some(n),
        None => a.warn(Code::BadValue, format!("unknown group '{word}'")),
    }
    Ok(())
}

fn name(slot: &mut Option<IfName>, word: &str, a: &mut Args<'_, '_>) {
    match (IfName::new(word), &slot) {
        (_, Some(_)) => a.warn(Code::Repeated, format!("a second name '{word}' - ignored")),
        (Some(name), None) => *slot = Some(name),
        (None, None) => a.warn(
            Code::TooLong,
            format!("'{word}' cannot be the name of an interface"),
        ),
    }
}

/// Hexadecimal digits and colons. IPv6 addresses do not stand in `use_vmac`.
fn is_mac(word: &str) -> bool {
    let octet = |o: &str| !o.is_empty() && o.chars().all(|c| c.is_ascii_hexdigit());
    word.contains(':') && word.split(':').all(octet)
}

/// `[[name] <IFNAME>] [<MAC>] [netlink_notify_msg] [group <GROUP>]`
fn use_vmac(v: &mut InstanceDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let v = v.links.vmac.get_or_insert_default();
    while let Some(word) = a.opt() {
        match word {
            "name" => {
                let found = ifname(a)?;
                name(&mut v.name, found.as_str(), a);
            }
            "group" => group(&mut v.group, a)?,
            "netlink_notify_msg" => v.tell_base = true,
            mac if is_mac(mac) => {
                let rfc = |o: &[u8]| {
                    o.starts_with(&[0, 0, 0x5e, 0, 1]) || o.starts_with(&[0, 0, 0x5e, 0, 2])
                };
                let octets = value::link_address(mac, 5, 6);
                match octets.filter(|o| o[0] & 1 == 0 && !rfc(o)) {
                    None => a.warn(
                        Code::InvalidAddress,
                        format!("invalid MAC address '{mac}' - ignored"),
                    ),
                    Some(_) if v.mac.is_some() => a.warn(
                        Code::Repeated,
                        format!("a second MAC address '{mac}' - ignored"),
                    ),
                    Some(octets) => v.mac = Some(octets.to_vec()),
                }
            }
            word => name(&mut v.name, word, a),
        }
    }
    Ok(())
}

/// `[[name] <IFNAME>] [<IP>[/PLEN]] [bridge|private|vepa] [group <GROUP>]`
fn use_ipvlan(v: &mut InstanceDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    once(&mut v.links.seen_ipvlan, a)?;
    let v = v.links.ipvlan.get_or_insert_default();
    while let Some(word) = a.opt() {
        let mode = match word {
            "bridge" => IpvlanMode::Bridge,
            "private" => IpvlanMode::Private,
            "vepa" => IpvlanMode::Vepa,
            "name" => {
                let found = ifname(a)?;
                name(&mut v.name, found.as_str(), a);
                continue;
            }
            "group" => {
                group(&mut v.group, a)?;
                continue;
            }
            word if value::with_suffix(word).is_some() => {
                let found = ip_line::prefix(a, word);
                if v.addr.is_some() {
                    a.warn(
                        Code::Repeated,
                        format!("a second address '{word}' - ignored"),
                    );
                } else {
                    v.addr = found;
                }
                continue;
            }
            word => {
                name(&mut v.name, word, a);
                continue;
            }
        };
        if v.mode.is_some() {
            a.warn(Code::Repeated, format!("a second mode '{word}' - ignored"));
        } else {
            v.mode = Some(mode);
        }
    }
    Ok(())
}

pub(super) const SUB_LINK_ROWS: &[Row<InstanceDraft>] = &[
    key(
        "use_vmac",
        "[[name] <IFNAME>] [<MAC>] [netlink_notify_msg] [group <GROUP>]",
        use_vmac,
    ),
    key("use_vmac_addr", "flag", |v, a| {
        a.flag().map(|on| v.links.addresses = on)
    }),
    key("vmac_xmit_base", "flag", |v, a| {
        a.flag().map(|on| v.links.xmit_base = on)
    }),
    key(
        "use_ipvlan",
        "[[name] <IFNAME>] [<IP>] [bridge|private|vepa] [group <GROUP>]",
        use_ipvlan,
    ),
];
