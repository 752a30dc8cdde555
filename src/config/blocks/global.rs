//! `global_defs`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::host::Host;
use super::super::source::Code;
use super::super::table::{Args, Block, Fault, gone, key};
use super::command::{self, CommandDraft, Nobody};
use super::firewall::FIREWALL_ROWS;
use super::global_mail::MAIL_ROWS;
use super::global_net::{NET_ROWS, SyncDaemonDraft};
use super::global_process::{BUFFER_ROWS, PROCESS_ROWS};
use super::listeners::LISTENER_ROWS;
use super::scheduling::{AUTO_ROWS, BFD_ROWS, CHECKER_ROWS, VRRP_ROWS};
use crate::model::global::Global;
use crate::model::vrrp::Version;

/// The global settings while they are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct GlobalDraft {
    pub(crate) model: Global,
    /// Who runs scripts that name nobody, where `script_user` does not say.
    default_user: DefaultUser,
    /// `vrrp_garp_lower_prio_*` given: they no longer follow `vrrp_garp_master_*`.
    lower_prio_delay: Option<Duration>,
    lower_prio_repeat: Option<u32>,
    pub(crate) startup: Option<Box<CommandDraft>>,
    pub(crate) startup_timeout: Option<Duration>,
    pub(crate) shutdown: Option<Box<CommandDraft>>,
    pub(crate) shutdown_timeout: Option<Duration>,
    pub(crate) fifo: Option<FifoDraft>,
    pub(crate) fifo_script: Option<Box<CommandDraft>>,
    pub(crate) vrrp_fifo: Option<FifoDraft>,
    pub(crate) vrrp_fifo_script: Option<Box<CommandDraft>>,
    pub(crate) lvs_fifo: Option<FifoDraft>,
    pub(crate) lvs_fifo_script: Option<Box<CommandDraft>>,
    pub(super) rs_stats_interval: Option<Duration>,
    pub(super) vmac_prefix: Option<Arc<str>>,
    pub(super) vmac_addr_prefix: Option<Arc<str>>,
    pub(crate) sync_daemon: Option<SyncDaemonDraft>,
    // Statements of which the first counts, and whether there was one.
    pub(super) snmp_socket: bool,
    pub(super) tmp_directory: bool,
    pub(super) iptables: bool,
    pub(super) nftables: bool,
    pub(super) nftables_ipvs: bool,
}

/// What became of the account for scripts and FIFOs that name none. It is looked for when the first of them is read, so
/// that a `script_user` behind that comes too late if the search failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum DefaultUser {
    /// Nobody asked.
    #[default]
    Open,
    /// The daemon's own.
    Own,
    /// `script_user` names nobody: every script without its own user is refused.
    Wrong,
    /// There is none, and `enable_script_security` stood before whoever asked.
    Missing,
}

/// A `*notify_fifo` statement.
#[derive(Clone, Debug)]
pub(crate) struct FifoDraft {
    pub(crate) path: PathBuf,
    /// User and group, where they are given and exist.
    pub(crate) owner: Option<(u32, u32)>,
}

impl GlobalDraft {
    /// Fills in what depends on several keywords, once all of `global_defs` is read.
    pub(crate) fn settle(&mut self, host: &dyn Host) {
        let garp = &mut self.model.garp;
        garp.lower_prio_delay = self.lower_prio_delay.unwrap_or(garp.master_delay);
        garp.lower_prio_repeat = self.lower_prio_repeat.unwrap_or(garp.master_repeat);
        let snmp = &mut self.model.snmp;
        snmp.rs_stats_interval = self.rs_stats_interval.unwrap_or(snmp.vs_stats_interval);
        if let Some(prefix) = &self.vmac_prefix {
            self.model.vmac_prefix = Arc::clone(prefix);
        }
        let addr_prefix = self.vmac_addr_prefix.as_ref();
        self.model.vmac_addr_prefix = Arc::clone(addr_prefix.unwrap_or(&self.model.vmac_prefix));
        if self.model.script_user.is_none() && self.default_user == DefaultUser::Open {
            self.model.script_user = command::credentials(host, DEFAULT_SCRIPT_USER, None);
        }
    }

    /// Looks for the default user, as a statement of `global_defs` without a user of its own does.
    pub(super) fn ask_user(&mut self, a: &mut Args<'_, '_>) -> Nobody {
        if self.default_user == DefaultUser::Open && self.model.script_user.is_none() {
            self.model.script_user = command::credentials(a.host(), DEFAULT_SCRIPT_USER, None);
            self.default_user = match (&self.model.script_user, self.model.script_security) {
                (Some(_), _) => DefaultUser::Open,
                (None, true) => DefaultUser::Missing,
                (None, false) => DefaultUser::Own,
            };
        }
        self.nobody()
    }

    /// Whether somebody runs scripts that name no user.
    pub(crate) fn nobody(&self) -> Nobody {
        match self.default_user {
            DefaultUser::Wrong => Nobody::Wrong,
            DefaultUser::Missing => Nobody::Missing,
            DefaultUser::Open if self.model.script_user.is_some() => Nobody::Somebody,
            DefaultUser::Open if self.model.script_security => Nobody::Missing,
            DefaultUser::Open | DefaultUser::Own => Nobody::Somebody,
        }
    }
}

/// Who runs scripts, if the account exists.
pub(crate) const DEFAULT_SCRIPT_USER: &str = "keepalived_script";

/// Longest delay in whole seconds: what fits 32 bits of microseconds.
pub(crate) const MAX_DELAY: u32 = 4294;
/// Shortest and longest decimal delay.
pub(crate) const MICRO: Duration = Duration::from_micros(1);
pub(crate) const MAX_DECIMAL: Duration = Duration::from_micros(4_294_967_295);

/// Whole seconds.
pub(crate) fn delay(a: &mut Args<'_, '_>, max: u32) -> Result<Duration, Fault> {
    a.int(0..=max).map(|n| Duration::from_secs(n.into()))
}

/// How many packets: 0 is a mistake that means 1.
pub(crate) fn repeat(a: &mut Args<'_, '_>) -> Result<u32, Fault> {
    let n = a.int(0..=u32::MAX)?;
    if n == 0 {
        a.warn(Code::OutOfRange, "0 is not possible - using 1");
    }
    Ok(n.max(1))
}

/// A value with words of its own: all of them count as one.
pub(super) fn text(a: &mut Args<'_, '_>) -> Result<Arc<str>, Fault> {
    a.present()?;
    a.word().map(Into::into)
}

pub(crate) static GLOBAL_DEFS: Block<GlobalDraft> = Block {
    name: "global_defs",
    rows: &[
        key("router_id", "<STRING>", |v, a| {
            text(a).map(|t| v.model.router_id = Some(t))
        }),
        key("default_interface", "<IFNAME>, default eth0", |v, a| {
            a.present()?;
            v.model.default_interface = Some(a.word()?.into());
            Ok(())
        }),
        key("dynamic_interfaces", "[allow_if_changes]", |v, a| {
            v.model.dynamic_interfaces = true;
            match a.opt() {
                None | Some("allow_if_changes") => Ok(()),
                Some(word) => Err(a.fault(Code::BadValue, format!("unknown word '{word}'"))),
            }
        }),
        key(
            "vrrp_mcast_group4",
            "<IPv4 multicast>, default 224.0.0.18",
            |v, a| match a.addr()? {
                IpAddr::V4(group) if group.is_multicast() => {
                    v.model.vrrp_mcast_group4 = group;
                    Ok(())
                }
                other @ (IpAddr::V4(_) | IpAddr::V6(_)) => Err(a.fault(
                    Code::InvalidAddress,
                    format!("{other} is not an IPv4 multicast address"),
                )),
            },
        ),
        key(
            "vrrp_mcast_group6",
            "<IPv6 multicast>, default ff02::12",
            |v, a| match a.addr()? {
                IpAddr::V6(group) if group.is_multicast() => {
                    v.model.vrrp_mcast_group6 = group;
                    if group.segments()[0] & 0xf != 2 {
                        a.warn(Code::Useless, format!("{group} is not link-local"));
                    }
                    Ok(())
                }
                other @ (IpAddr::V4(_) | IpAddr::V6(_)) => Err(a.fault(
                    Code::InvalidAddress,
                    format!("{other} is not an IPv6 multicast address"),
                )),
            },
        ),
        key(
            "vrrp_garp_master_delay",
            "seconds, 0..=4294, default 5",
            |v, a| delay(a, MAX_DELAY).map(|d| v.model.garp.master_delay = d),
        ),
        key("vrrp_garp_master_repeat", "packets, default 5", |v, a| {
            repeat(a).map(|n| v.model.garp.master_repeat = n)
        }),
        key(
            "vrrp_garp_master_refresh",
            "seconds, default 0 = off",
            |v, a| {
                v.model.garp.master_refresh = Duration::ZERO;
                delay(a, u32::MAX).map(|d| v.model.garp.master_refresh = d)
            },
        ),
        key(
            "vrrp_garp_master_refresh_repeat",
            "packets, default 1",
            |v, a| repeat(a).map(|n| v.model.garp.master_refresh_repeat = n),
        ),
        key(
            "vrrp_garp_lower_prio_delay",
            "seconds, 0..=4294, default vrrp_garp_master_delay",
            |v, a| delay(a, MAX_DELAY).map(|d| v.lower_prio_delay = Some(d)),
        ),
        key(
            "vrrp_garp_lower_prio_repeat",
            "packets, default vrrp_garp_master_repeat",
            |v, a| {
                a.int(0..=2_147_483_647_u32)
                    .map(|n| v.lower_prio_repeat = Some(n))
            },
        ),
        key(
            "vrrp_down_timer_adverts",
            "adverts, 1..=100, default 3",
            |v, a| a.int(1..=100).map(|n| v.model.down_timer_adverts = n),
        ),
        key(
            "vrrp_garp_interval",
            "seconds, 0.000001..=4294.967295",
            |v, a| {
                a.secs(MICRO..=MAX_DECIMAL)
                    .map(|d| v.model.garp_interval = d)
            },
        ),
        key(
            "vrrp_gna_interval",
            "seconds, 0.000001..=4294.967295",
            |v, a| {
                a.secs(MICRO..=MAX_DECIMAL)
                    .map(|d| v.model.gna_interval = d)
            },
        ),
        key("vrrp_lower_prio_no_advert", "[<bool>]", |v, a| {
            a.bool().map(|on| v.model.lower_prio_no_advert = on)
        }),
        key("vrrp_higher_prio_send_advert", "[<bool>]", |v, a| {
            a.bool().map(|on| v.model.higher_prio_send_advert = on)
        }),
        key("vrrp_arp_probe", "[<bool>], default on", |v, a| {
            a.bool().map(|on| v.model.arp_probe = on)
        }),
        key("vrrp_restore_deleted", "[<bool>], default off", |v, a| {
            a.bool().map(|on| v.model.restore_deleted = on)
        }),
        key("vrrp_skip_check_adv_addr", "[<bool>]", |v, a| {
            a.bool().map(|on| v.model.skip_check_adv_addr = on)
        }),
        key("vrrp_strict", "[<bool>]", |v, a| {
            a.bool().map(|on| v.model.strict = on)
        }),
        key("vrrp_version", "2..=3, default 2", |v, a| {
            v.model.vrrp_version = if a.int(2..=3_u8)? == 3 {
                Version::V3
            } else {
                Version::V2
            };
            Ok(())
        }),
        key(
            "vrrp_startup_delay",
            "seconds, 0.001..=4294.967295",
            |v, a| {
                let found = a.secs(Duration::from_millis(1)..=MAX_DECIMAL)?;
                v.model.startup_delay = v.model.startup_delay.max(found);
                Ok(())
            },
        ),
        key("script_user", "<USER> [[:]<GROUP>]", |v, a| {
            a.present()?;
            let name = a.word()?;
            let group = a.opt();
            let found = command::credentials(a.host(), name, group);
            // keepalived: after a failure no other user counts either.
            let failed = matches!(v.default_user, DefaultUser::Wrong | DefaultUser::Missing);
            if failed || found.is_none() {
                if !failed {
                    v.default_user = DefaultUser::Wrong;
                }
                v.model.script_user = None;
                return Err(a
                    .whole_fault(Code::Script, "Error setting global script uid/gid")
                    .complaint());
            }
            v.model.script_user = found;
            v.default_user = DefaultUser::Open;
            Ok(())
        }),
        key("enable_script_security", "flag", |v, a| {
            a.flag().map(|on| v.model.script_security = on)
        }),
        gone("lvs_id", "router_id"),
        gone("plugin_dir", ""),
    ],
    more: &[
        MAIL_ROWS,
        PROCESS_ROWS,
        BUFFER_ROWS,
        AUTO_ROWS,
        VRRP_ROWS,
        CHECKER_ROWS,
        BFD_ROWS,
        LISTENER_ROWS,
        FIREWALL_ROWS,
        NET_ROWS,
    ],
};
