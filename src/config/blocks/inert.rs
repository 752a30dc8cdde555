//! Keywords whose feature is not built yet: they are read, checked and modelled, and one note says that they have no
//! effect. This list must become empty.

use super::super::table::Inert;

/// Block, keywords.
pub(crate) const INERT: Inert = &[
    (
        "",
        &["namespace_with_ipsets", "child_wait_time", "bfd_instance"],
    ),
    ("global_defs", GLOBAL),
    ("vrrp_instance", INSTANCE),
    ("virtual_server", &["snmp_name"]),
    ("virtual_server/real_server", &["snmp_name", "BFD_CHECK"]),
];

const GLOBAL: &[&str] = &[
    "process_names",
    "process_name",
    "vrrp_process_name",
    "checker_process_name",
    "lvs_process_name",
    "bfd_process_name",
    "checker_priority",
    "checker_no_swap",
    "checker_rt_priority",
    "checker_cpu_affinity",
    "checker_rlimit_rttime",
    "checker_rlimit_rtime",
    "bfd_priority",
    "bfd_no_swap",
    "bfd_rt_priority",
    "bfd_cpu_affinity",
    "bfd_rlimit_rttime",
    "bfd_rlimit_rtime",
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
    "vrrp_netlink_cmd_rcv_bufs",
    "vrrp_netlink_cmd_rcv_bufs_force",
    "vrrp_netlink_monitor_rcv_bufs",
    "vrrp_netlink_monitor_rcv_bufs_force",
    "lvs_netlink_cmd_rcv_bufs",
    "lvs_netlink_cmd_rcv_bufs_force",
    "lvs_netlink_monitor_rcv_bufs",
    "lvs_netlink_monitor_rcv_bufs_force",
    "vrrp_rx_bufs_policy",
    "vrrp_rx_bufs_multiplier",
    "umask",
    "random_seed",
    "reload_time_file",
    "reload_repeat",
    "reload_file",
    "config_save_dir",
    "tmp_config_directory",
    "iproute_usr_dir",
    "iproute_etc_dir",
];

const INSTANCE: &[&str] = &[
    "track_bfd",
    "lvs_sync_daemon_interface",
    "kernel_rx_buf_size",
];
