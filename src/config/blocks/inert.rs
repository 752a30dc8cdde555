//! Keywords whose feature is not built yet: they are read, checked and modelled, and one note says that they have no
//! effect. This list must become empty.

use super::super::table::Inert;

/// Block, keywords.
pub(crate) const INERT: Inert = &[
    ("", &["bfd_instance"]),
    ("global_defs", GLOBAL),
    ("vrrp_instance", INSTANCE),
    ("virtual_server", &["snmp_name"]),
    ("virtual_server/real_server", &["snmp_name", "BFD_CHECK"]),
];

const GLOBAL: &[&str] = &[
    "snmp_socket",
    "enable_traps",
    "enable_snmp_vrrp",
    "enable_snmp_keepalived",
    "enable_snmp_rfc",
    "enable_snmp_rfcv2",
    "enable_snmp_rfcv3",
    "enable_snmp_checker",
    "snmp_vs_stats_update_interval",
    "snmp_rs_stats_update_interval",
    "enable_dbus",
    "dbus_service_name",
    "dbus_no_interface_name",
];

const INSTANCE: &[&str] = &["track_bfd"];
