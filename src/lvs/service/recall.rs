//! What an earlier run knew: after a crash the kernel goes on sending to the servers that were found well, and so do we.
// keepalived: a restart puts all servers back until they have been checked.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::Service;
use crate::lvs::desired::{Front, one_by_one};
use crate::lvs::verdict::Verdict;

impl Service {
    /// Servers that had been taken out stay out until a check finds them well. `left`: destinations that get nothing new.
    pub(super) fn recall(&mut self, left: &HashSet<(Front, SocketAddr)>) {
        let cfg = &self.cfg;
        let Some(front) = one_by_one(cfg).next().filter(|_| !left.is_empty()) else {
            return;
        };
        let out = |addr, method| left.contains(&(front, front.dest(addr, method)));
        let sorry_serves = cfg
            .sorry_server
            .as_ref()
            .is_some_and(|s| !out(s.addr, s.method));
        let servers = cfg.real_servers.iter();
        // With nobody in it, that run ended before it had begun, or its service is gone: nothing is known.
        if !sorry_serves && servers.clone().all(|rs| out(rs.addr, rs.method)) {
            return;
        }
        for (server, rs) in servers.enumerate() {
            if rs.weight == 0 || !out(rs.addr, rs.method) {
                continue;
            }
            for (check, checker) in rs.checkers.iter().enumerate() {
                if let Some(health) = self.servers.at_mut(server, check)
                    && checker.check.is_tried()
                {
                    health.verdict = Verdict::found_down();
                }
            }
        }
    }

    /// Whether all that is known of a checker is what an earlier run knew, right after the start.
    pub(crate) fn is_recalled(&self, server: usize, check: usize) -> bool {
        let health = self.servers.get(server).and_then(|s| s.get(check));
        health.is_some_and(|h| h.verdict == Verdict::found_down())
    }
}
