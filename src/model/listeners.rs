//! How other programs ask for the state and hear of events: SNMP, D-Bus. Source: keepalived.conf(5).

use std::sync::Arc;
use std::time::Duration;

/// SNMP through an AgentX master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snmp {
    /// `snmp_socket`, at most 4095 octets, default `unix:/var/agentx/master`; the command line goes first.
    pub(crate) socket: Arc<str>,
    /// `enable_traps`.
    pub(crate) traps: bool,
    /// `enable_snmp_vrrp`: instances, in keepalived's MIB.
    pub(crate) vrrp: bool,
    /// `enable_snmp_checker`: servers, in keepalived's MIB.
    pub(crate) checker: bool,
    /// `enable_snmp_rfcv2` or `enable_snmp_rfc`: RFC 2787.
    pub(crate) rfc2787: bool,
    /// `enable_snmp_rfcv3` or `enable_snmp_rfc`: RFC 6527.
    pub(crate) rfc6527: bool,
    /// `snmp_vs_stats_update_interval`: how old counters of virtual servers may be, 1 ms..=30 s, default 5 s.
    pub(crate) vs_stats_interval: Duration,
    /// `snmp_rs_stats_update_interval`: the same for real servers, default `vs_stats_interval`.
    pub(crate) rs_stats_interval: Duration,
}

impl Default for Snmp {
    fn default() -> Self {
        Self {
            socket: "unix:/var/agentx/master".into(),
            traps: false,
            vrrp: false,
            checker: false,
            rfc2787: false,
            rfc6527: false,
            vs_stats_interval: Duration::from_secs(5),
            rs_stats_interval: Duration::from_secs(5),
        }
    }
}

/// The D-Bus interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dbus {
    /// `enable_dbus`.
    pub(crate) enabled: bool,
    /// `dbus_service_name`, default `org.keepalived.Vrrp1`.
    pub(crate) service_name: Arc<str>,
    /// `dbus_no_interface_name`: part of the path of an instance without an interface, default `none`.
    pub(crate) no_interface_name: Arc<str>,
}

impl Default for Dbus {
    fn default() -> Self {
        Self {
            enabled: false,
            service_name: "org.keepalived.Vrrp1".into(),
            no_interface_name: "none".into(),
        }
    }
}
