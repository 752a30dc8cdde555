//! `global_defs` and the words that stand at the top level of the file.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::vrrp::{Garp, Version};

/// Settings of the whole daemon. [`Global::default`] is what an empty file means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Global {
    /// `router_id`, default the host's name.
    pub(crate) router_id: Option<Arc<str>>,
    /// `vrrp_version`, default 2; IPv4 only.
    pub(crate) vrrp_version: Version,
    /// `vrrp_mcast_group4`, default 224.0.0.18.
    pub(crate) vrrp_mcast_group4: Ipv4Addr,
    /// `vrrp_mcast_group6`, default ff02::12.
    pub(crate) vrrp_mcast_group6: Ipv6Addr,
    /// `vrrp_garp_*`: what instances start from.
    pub(crate) garp: Garp,
    /// `dynamic_interfaces`: an interface may be missing when the configuration is read.
    pub(crate) dynamic_interfaces: bool,
    /// `enable_script_security`.
    pub(crate) script_security: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            router_id: None,
            vrrp_version: Version::V2,
            vrrp_mcast_group4: Ipv4Addr::new(224, 0, 0, 18),
            vrrp_mcast_group6: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            garp: Garp::default(),
            dynamic_interfaces: false,
            script_security: false,
        }
    }
}
