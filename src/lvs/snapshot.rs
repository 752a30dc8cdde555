//! Virtual servers as they stand, for the dumps.

use super::director::Director;
use super::service::Service;
use crate::daemon::bus::{CheckSnapshot, ServerSnapshot, ServiceSnapshot};

impl Director {
    /// Every virtual server, in file order.
    pub(crate) fn snapshot(&self) -> Vec<ServiceSnapshot> {
        let servers = self.config().virtual_servers.iter();
        servers
            .filter_map(|vs| self.service(&vs.key))
            .map(Service::snapshot)
            .collect()
    }
}

impl Service {
    fn snapshot(&self) -> ServiceSnapshot {
        let cfg = self.cfg();
        let servers = cfg.real_servers.iter().enumerate().map(|(n, rs)| {
            let alive = self.is_alive(n);
            let checks = self.verdicts(n).map(|v| CheckSnapshot {
                enabled: true,
                up: v.is_up(),
                ran: v.has_run(),
                tries: v.tries(),
            });
            ServerSnapshot {
                alive,
                weight: self.weight(n),
                in_table: alive || rs.inhibit_on_failure,
                checks: checks.collect(),
            }
        });
        ServiceSnapshot {
            vs: cfg.clone(),
            quorum_met: self.quorum_met(),
            servers: servers.collect(),
        }
    }
}
