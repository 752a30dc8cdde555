//! `global_defs` and the words that stand at the top level of the file.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::firewall::Firewall;
use super::listeners::{Dbus, Snmp};
use super::mail::Mail;
use super::net::IfName;
use super::notify::GlobalNotify;
use super::process::Process;
use super::track::Credentials;
use super::vrrp::{Garp, Version};

/// Settings of the whole daemon. [`Global::default`] is what an empty file means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Global {
    /// `router_id`, default the host's name.
    pub(crate) router_id: Option<Arc<str>>,
    /// `net_namespace`: where the daemon works, default where it was started.
    pub(crate) net_namespace: Option<Arc<str>>,
    /// `vrrp_version`, default 2; IPv4 only.
    pub(crate) vrrp_version: Version,
    /// `vrrp_mcast_group4`, default 224.0.0.18.
    pub(crate) vrrp_mcast_group4: Ipv4Addr,
    /// `vrrp_mcast_group6`, default ff02::12.
    pub(crate) vrrp_mcast_group6: Ipv6Addr,
    /// `vrrp_garp_*`: what instances start from.
    pub(crate) garp: Garp,
    /// `vrrp_garp_interval`: least time between two gratuitous ARPs of an interface, default none.
    pub(crate) garp_interval: Duration,
    /// `vrrp_gna_interval`: the same for neighbour advertisements.
    pub(crate) gna_interval: Duration,
    /// `vrrp_down_timer_adverts`, 1..=100, default 3.
    pub(crate) down_timer_adverts: u32,
    /// `vrrp_lower_prio_no_advert`.
    pub(crate) lower_prio_no_advert: bool,
    /// `vrrp_higher_prio_send_advert`.
    pub(crate) higher_prio_send_advert: bool,
    /// `vrrp_arp_probe`: masters look whether somebody else answers for their addresses. Default true.
    pub(crate) arp_probe: bool,
    /// `vrrp_restore_deleted`: what others delete of a master's addresses, routes and rules is put back at once, up to
    /// a limit, instead of giving up MASTER. Not known to keepalived.
    pub(crate) restore_deleted: bool,
    /// `vrrp_skip_check_adv_addr`.
    pub(crate) skip_check_adv_addr: bool,
    /// `vrrp_strict`: what instances start from.
    pub(crate) strict: bool,
    /// `vrrp_startup_delay`: how long after start nothing is decided, default none.
    pub(crate) startup_delay: Duration,
    /// `vrrp_delay_after_boot`: how long after the boot of the machine nothing is decided, default none.
    pub(crate) delay_after_boot: Duration,
    /// `vrrp_garp_extra_if`: what instances start from, default never.
    pub(crate) garp_extra_if: Option<ExtraIf>,
    /// `vrrp_check_unicast_src`: what instances start from.
    pub(crate) check_unicast_src: bool,
    /// `vrrp_owner_ignore_adverts`: what instances start from.
    pub(crate) owner_ignore_adverts: bool,
    /// `v3_checksum_as_v2`: what instances start from.
    pub(crate) v3_checksum_as_v2: bool,
    /// `log_unknown_vrids`.
    pub(crate) log_unknown_vrids: bool,
    /// `disable_local_igmp`: the kernel sends no IGMP reports for 224.0.0.0/24.
    pub(crate) disable_local_igmp: bool,
    /// `vmac_prefix`: the first part of the names of VMACs that are not named, default vrrp.
    pub(crate) vmac_prefix: Arc<str>,
    /// `vmac_addr_prefix`: the same for VMACs that single addresses need, default `vmac_prefix`.
    pub(crate) vmac_addr_prefix: Arc<str>,
    /// `default_interface`: that of addresses that name none, for static ones eth0 if none is given.
    pub(crate) default_interface: Option<Arc<str>>,
    /// `dynamic_interfaces`: an interface may be missing when the configuration is read.
    pub(crate) dynamic_interfaces: bool,
    /// `enable_script_security`.
    pub(crate) script_security: bool,
    /// `script_user`: who runs the scripts that name nobody.
    pub(crate) script_user: Option<Credentials>,
    /// `use_symlink_paths`: scripts are run by their path as written, not by what links lead to.
    pub(crate) symlink_paths: bool,
    /// `set_supplementary_groups`: scripts have the groups of their user.
    pub(crate) supplementary_groups: bool,
    /// `reload_check_config`: a configuration with any complaint is refused.
    pub(crate) reload_check_config: bool,
    /// Where `reload_check_config` writes the complaints, default nowhere.
    pub(crate) reload_check_log: Option<PathBuf>,
    /// `checker_log_all_failures`.
    pub(crate) log_all_failures: bool,
    /// `rs_init_notifies`: what real servers are at start is told, too.
    pub(crate) rs_init_notifies: bool,
    pub(crate) ipvs: IpvsSettings,
    pub(crate) mail: Mail,
    pub(crate) notify: GlobalNotify,
    pub(crate) snmp: Snmp,
    pub(crate) dbus: Dbus,
    pub(crate) firewall: Firewall,
    pub(crate) ssl: Ssl,
    pub(crate) process: Process,
}

/// `garp_extra_if`: addresses on other interfaces than that of the instance are announced again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExtraIf {
    /// `all`: on every such interface; else on VMACs only.
    pub(crate) all: bool,
    /// Time between two announcements, 1..=86400 s.
    pub(crate) interval: Duration,
}

/// The `lvs_*` settings of the whole of IPVS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpvsSettings {
    /// `lvs_timeouts`.
    pub(crate) timeouts: IpvsTimeouts,
    /// `lvs_flush`: the tables are emptied at start.
    pub(crate) flush: bool,
    /// `lvs_flush_on_stop`.
    pub(crate) flush_on_stop: FlushOnStop,
    /// `lvs_sync_daemon`, default none.
    pub(crate) sync_daemon: Option<SyncDaemon>,
}

/// How long idle connections are kept, 1..=2678400 s; `None`: as the kernel has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpvsTimeouts {
    pub(crate) tcp: Option<Duration>,
    /// After a FIN.
    pub(crate) tcp_fin: Option<Duration>,
    pub(crate) udp: Option<Duration>,
}

/// How services leave IPVS at a stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FlushOnStop {
    /// Server by server, and that is told.
    #[default]
    No,
    /// `VS`: service by service, without a word.
    Services,
    /// The whole table, whosever it is.
    Table,
}

/// `lvs_sync_daemon`: connections are told to the other director. `None`: the kernel's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncDaemon {
    pub(crate) interface: IfName,
    /// Names an existing instance: it sends while MASTER and hears otherwise. `None`: both at once.
    pub(crate) instance: Option<Arc<str>>,
    /// `id`, default the VRID of the instance, or 0.
    pub(crate) id: u8,
    /// `maxlen`: octets of a message, 1..=65507.
    pub(crate) maxlen: Option<u16>,
    /// `port`, 1..=65535.
    pub(crate) port: Option<u16>,
    /// `ttl`, 1..=255.
    pub(crate) ttl: Option<u8>,
    /// `group`, multicast.
    pub(crate) group: Option<IpAddr>,
}

impl SyncDaemon {
    /// With nothing but its interface given.
    pub(crate) fn on(interface: IfName) -> Self {
        Self {
            interface,
            instance: None,
            id: 0,
            maxlen: None,
            port: None,
            ttl: None,
            group: None,
        }
    }
}

/// The block `SSL`: what `SSL_GET` shows and trusts.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Ssl {
    /// `password` of the key.
    pub(crate) password: Option<Arc<str>>,
    /// `ca`: a file.
    pub(crate) ca: Option<PathBuf>,
    /// `certificate`: a file.
    pub(crate) certificate: Option<PathBuf>,
    /// `key`: a file.
    pub(crate) key: Option<PathBuf>,
}

/// Never shows the password.
impl fmt::Debug for Ssl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "********");
        f.debug_struct("Ssl")
            .field("password", &password)
            .field("ca", &self.ca)
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish()
    }
}

impl Global {
    /// Where static addresses go that name no interface.
    pub(crate) fn static_interface(&self) -> &str {
        self.default_interface.as_deref().unwrap_or("eth0")
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            router_id: None,
            net_namespace: None,
            vrrp_version: Version::V2,
            vrrp_mcast_group4: Ipv4Addr::new(224, 0, 0, 18),
            vrrp_mcast_group6: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            garp: Garp::default(),
            garp_interval: Duration::ZERO,
            gna_interval: Duration::ZERO,
            down_timer_adverts: 3,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            arp_probe: true,
            restore_deleted: false,
            skip_check_adv_addr: false,
            strict: false,
            startup_delay: Duration::ZERO,
            delay_after_boot: Duration::ZERO,
            garp_extra_if: None,
            check_unicast_src: false,
            owner_ignore_adverts: false,
            v3_checksum_as_v2: false,
            log_unknown_vrids: false,
            disable_local_igmp: false,
            vmac_prefix: "vrrp".into(),
            vmac_addr_prefix: "vrrp".into(),
            default_interface: None,
            dynamic_interfaces: false,
            script_security: false,
            script_user: None,
            symlink_paths: false,
            supplementary_groups: false,
            reload_check_config: false,
            reload_check_log: None,
            log_all_failures: false,
            rs_init_notifies: false,
            ipvs: IpvsSettings::default(),
            mail: Mail::default(),
            notify: GlobalNotify::default(),
            snmp: Snmp::default(),
            dbus: Dbus::default(),
            firewall: Firewall::default(),
            ssl: Ssl::default(),
            process: Process::default(),
        }
    }
}
