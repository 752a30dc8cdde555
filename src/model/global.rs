//! `global_defs` and the words that stand at the top level of the file.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::notify::GlobalNotify;
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
    /// `vrrp_skip_check_adv_addr`.
    pub(crate) skip_check_adv_addr: bool,
    /// `vrrp_strict`: what instances start from.
    pub(crate) strict: bool,
    /// `vrrp_startup_delay`: how long after start nothing is decided, default none.
    pub(crate) startup_delay: Duration,
    /// `default_interface`: that of static addresses that name none, default eth0.
    pub(crate) default_interface: Arc<str>,
    /// `dynamic_interfaces`: an interface may be missing when the configuration is read.
    pub(crate) dynamic_interfaces: bool,
    /// `enable_script_security`.
    pub(crate) script_security: bool,
    /// `script_user`: who runs the scripts that name nobody.
    pub(crate) script_user: Option<Credentials>,
    /// `use_symlink_paths`: scripts are run by their path as written, not by what links lead to.
    pub(crate) symlink_paths: bool,
    /// `reload_check_config`: a configuration with any complaint is refused.
    pub(crate) reload_check_config: bool,
    /// `checker_log_all_failures`.
    pub(crate) log_all_failures: bool,
    pub(crate) mail: Mail,
    pub(crate) notify: GlobalNotify,
    pub(crate) process: Process,
}

/// The words of the top level that concern the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// `net_namespace_ipvs`.
    pub(crate) ipvs_namespace: IpvsNamespace,
    /// `namespace_with_ipsets`: ipsets are used inside a namespace, too.
    pub(crate) namespace_with_ipsets: bool,
    /// `use_pid_dir`: pid files go to a directory of their own; `net_namespace` and `instance` imply it.
    pub(crate) pid_dir: bool,
    /// `instance`: part of the names of pid files and of the log's identity.
    pub(crate) instance: Option<Arc<str>>,
    /// `child_wait_time`: how long a stop may take, default 5 s.
    pub(crate) child_wait_time: Duration,
    /// `linkbeat_use_polling`: the links of all interfaces that are used are polled.
    pub(crate) linkbeat_polling: bool,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            ipvs_namespace: IpvsNamespace::Own,
            namespace_with_ipsets: false,
            pid_dir: false,
            instance: None,
            child_wait_time: Duration::from_secs(5),
            linkbeat_polling: false,
        }
    }
}

/// `net_namespace_ipvs`: where the IPVS tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IpvsNamespace {
    /// In the namespace of the daemon.
    Own,
    /// In the namespace that the daemon was started in.
    Default,
    Named(Arc<str>),
}

/// Where and about what mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    /// `notification_email`.
    pub(crate) to: Vec<Arc<str>>,
    /// `notification_email_from`, default user and host name.
    pub(crate) from: Option<Arc<str>>,
    /// `smtp_server`, looked up when the configuration is read; none: no mail.
    pub(crate) server: Option<SocketAddr>,
    /// `smtp_helo_name`, default the host's name.
    pub(crate) helo_name: Option<Arc<str>>,
    /// `smtp_connect_timeout`, ≥ 1 s, default 30 s.
    pub(crate) connect_timeout: Duration,
    /// `smtp_alert`.
    pub(crate) alert: Option<bool>,
    /// `smtp_alert_vrrp`, default `alert`.
    pub(crate) alert_vrrp: Option<bool>,
    /// `smtp_alert_checker`, default `alert`.
    pub(crate) alert_checker: Option<bool>,
    /// False with `no_email_faults`: no mail about FAULT.
    pub(crate) faults: bool,
    /// False with `no_checker_emails`: a mail only when a real server comes up or goes down, not for each checker.
    pub(crate) every_checker: bool,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            from: None,
            server: None,
            helo_name: None,
            connect_timeout: Duration::from_secs(30),
            alert: None,
            alert_vrrp: None,
            alert_checker: None,
            faults: true,
            every_checker: true,
        }
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
            skip_check_adv_addr: false,
            strict: false,
            startup_delay: Duration::ZERO,
            default_interface: "eth0".into(),
            dynamic_interfaces: false,
            script_security: false,
            script_user: None,
            symlink_paths: false,
            reload_check_config: false,
            log_all_failures: false,
            mail: Mail::default(),
            notify: GlobalNotify::default(),
            process: Process::default(),
        }
    }
}
