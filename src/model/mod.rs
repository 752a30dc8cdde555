//! What the operator asked for: plain, immutable data, compared with `==` and shared as [`Arc`].
//!
//! Every value is final: defaults are filled in and references are resolved while the configuration is read. Runtime
//! state never lives here. Source: keepalived.conf(5) as described by the keyword list.

pub(crate) mod auth;
pub(crate) mod bfd;
mod classes;
pub(crate) mod diff;
pub(crate) mod firewall;
pub(crate) mod global;
pub(crate) mod links;
pub(crate) mod listeners;
pub(crate) mod lvs;
pub(crate) mod mail;
pub(crate) mod net;
pub(crate) mod notify;
pub(crate) mod process;
pub(crate) mod route;
pub(crate) mod track;
pub(crate) mod unicast;
pub(crate) mod vmac;
pub(crate) mod vrrp;

use std::sync::Arc;

/// A whole configuration. [`Config::default`] is the empty one: start is a difference from it, stop a difference to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) global: Arc<global::Global>,
    /// `vrrp_instance`, in file order.
    pub(crate) instances: Vec<Arc<vrrp::Instance>>,
    /// `vrrp_sync_group`, in file order; members name existing instances.
    pub(crate) groups: Vec<Arc<vrrp::SyncGroup>>,
    /// `vrrp_script`, in file order; only those that may run.
    pub(crate) scripts: Vec<Arc<track::Script>>,
    /// `track_file`, in file order.
    pub(crate) track_files: Vec<Arc<track::TrackFile>>,
    /// `vrrp_track_process`, in file order.
    pub(crate) track_processes: Vec<Arc<track::TrackProcess>>,
    /// `bfd_instance`, in file order.
    pub(crate) bfds: Vec<Arc<bfd::BfdInstance>>,
    /// `garp_group`, in file order.
    pub(crate) garp_groups: Vec<links::GarpGroup>,
    /// `linkbeat_interfaces`, in file order.
    pub(crate) linkbeat: Vec<links::Linkbeat>,
    /// `interface_up_down_delays`, one per interface.
    pub(crate) delays: Vec<links::UpDownDelay>,
    /// `static_ipaddress`, `static_routes`, `static_rules`.
    pub(crate) statics: route::Statics,
    /// `track_group`, in file order.
    pub(crate) track_groups: Vec<Arc<route::TrackGroup>>,
    /// `virtual_server_group`, in file order.
    pub(crate) server_groups: Vec<Arc<lvs::ServerGroup>>,
    /// `virtual_server`, in file order.
    pub(crate) virtual_servers: Vec<Arc<lvs::VirtualServer>>,
}
