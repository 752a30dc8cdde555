//! Keywords whose feature is not built yet: they are read, checked and modelled, and one note says that they have no
//! effect. This list must become empty.

use super::super::table::Inert;

/// Block, keywords.
pub(crate) const INERT: Inert = &[
    (
        "global_defs",
        &[
            "notification_email",
            "notification_email_from",
            "smtp_server",
            "smtp_helo_name",
            "smtp_connect_timeout",
            "smtp_alert",
            "smtp_alert_vrrp",
            "smtp_alert_checker",
            "vrrp_garp_interval",
            "vrrp_gna_interval",
            "vrrp_startup_delay",
        ],
    ),
    (
        "",
        &[
            "static_ipaddress",
            "static_routes",
            "static_rules",
            "track_group",
        ],
    ),
    (
        "vrrp_instance",
        &["smtp_alert", "virtual_routes", "virtual_rules"],
    ),
    (
        "vrrp_sync_group",
        &["smtp_alert", "sync_group_tracking_weight"],
    ),
];
