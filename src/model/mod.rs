//! What the operator asked for: plain, immutable data, compared with `==` and shared as [`Arc`].
//!
//! Every value is final: defaults are filled in and references are resolved while the configuration is read. Runtime
//! state never lives here. Source: keepalived.conf(5) as described by the keyword list.

pub(crate) mod auth;
pub(crate) mod bfd;
mod classes;
pub(crate) mod diff;
pub(crate) mod few;
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
pub(crate) mod terms;
pub(crate) mod track;
pub(crate) mod twins;
pub(crate) mod unicast;
pub(crate) mod vmac;
pub(crate) mod vrrp;

use std::sync::Arc;

use self::lvs::VirtualServer;
use self::net::VirtualAddress;

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

impl Config {
    /// The same with its instances and its virtual servers next to each other in memory. They were made bit by bit among what
    /// reading the files took, and would keep most of its pages: to be called when that is gone.
    pub(crate) fn laid_together(&self) -> Self {
        let again = |addr: &Arc<VirtualAddress>| Arc::new(VirtualAddress::clone(addr));
        let instance = |old: &Arc<vrrp::Instance>| {
            let mut new = vrrp::Instance::clone(old);
            new.name = Arc::from(&*old.name);
            new.addresses = old.addresses.iter().map(again).collect();
            Arc::new(new)
        };
        let mut config = self.clone();
        config.instances = self.instances.iter().map(instance).collect();
        let servers = self.virtual_servers.iter();
        config.virtual_servers = servers
            .map(|vs| Arc::new(VirtualServer::clone(vs)))
            .collect();
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::global::Global;
    use crate::model::vrrp::{Instance, Vrid};

    #[test]
    fn what_is_laid_together_is_the_same() {
        let eth0 = net::IfName::new("eth0").expect("a name");
        let vrid = Vrid(1.try_into().expect("not zero"));
        let mut instance = Instance::new("V1", eth0.clone(), vrid, &Global::default());
        let addr = VirtualAddress::new([10, 0, 0, 1].into(), 24, eth0);
        instance.addresses.push(addr.into());
        let old = Config {
            instances: vec![Arc::new(instance)],
            ..Config::default()
        };
        let new = old.laid_together();
        assert_eq!(new, old);
        let [before, after] = [&old, &new].map(|c| &c.instances[0]);
        assert!(!Arc::ptr_eq(before, after) && Arc::ptr_eq(&before.terms, &after.terms));
    }
}
