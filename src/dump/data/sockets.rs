//! The sockets and who shares them.

use super::{Now, Text};
use crate::daemon::bus::InstanceSnapshot;
use crate::dump::lines::Lines as _;
use crate::vrrp::{Protocol, Socket};

impl Text {
    /// `VRRP Sockpool`: in the order of the first instance of each.
    pub(super) fn sockets(&mut self, now: &Now<'_>) {
        let mut pools: Vec<(Socket, Vec<&InstanceSnapshot>)> = Vec::new();
        for instance in now.instances {
            let Some(socket) = instance.socket else {
                continue;
            };
            match pools.iter_mut().find(|(of, _)| *of == socket) {
                Some((_, users)) => users.push(instance),
                None => pools.push((socket, vec![instance])),
            }
        }
        self.section_of("VRRP Sockpool", &pools);
        for (socket, users) in &pools {
            self.pool(socket, users, now);
        }
    }

    fn pool(&mut self, socket: &Socket, users: &[&InstanceSnapshot], now: &Now<'_>) {
        let (hears, speaks) = users.iter().find_map(|u| u.fds).unwrap_or((-1, -1));
        self.line(format_args!(" fd_in {hears} fd_out = {speaks}"));
        if let Some(index) = socket.interface {
            let found = now.interfaces.iter().find(|i| i.index == index.0);
            if let Some(interface) = found {
                self.pair("Interface", &interface.name);
            }
        }
        let family = if socket.local.is_ipv4() {
            "IPv4"
        } else {
            "IPv6"
        };
        self.pair("Family", family);
        self.pair(
            "Protocol",
            match socket.protocol {
                Protocol::Vrrp => "VRRP",
                Protocol::Ah => "AH",
            },
        );
        if socket.local.is_multicast() {
            self.pair("Type", "Multicast");
        } else {
            self.pair("Type", "Unicast");
            self.pair("Address", socket.local);
        }
        self.pair("Rx buf size", 0);
        self.line("   VRRP instances");
        for user in users {
            let (name, vrid) = (&user.instance.name, user.instance.vrid);
            self.line(format_args!("     {name} vrid {vrid}"));
        }
    }
}
