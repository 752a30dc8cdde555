//! The interfaces of the machine for the dump files, asked of the kernel anew each time: the VRRP task is not disturbed.

use std::io;
use std::net::IpAddr;

use crate::dump::data::{Hardware, Interface};
use crate::sys::{link, sysctl};

/// All of them, by their numbers.
///
/// # Errors
/// No netlink, no memory, no descriptors.
pub(super) fn list() -> io::Result<Vec<Interface>> {
    let facts: Vec<_> = nix::ifaddrs::getifaddrs()?.collect();
    let all = link::list()?.into_iter().map(|told| {
        let mut hardware = Hardware::Other(0);
        let mut addresses = Vec::new();
        for about in facts.iter() {
            // A labelled address comes under its label, "eth0:1".
            let name = about.interface_name.split(':').next();
            let Some(address) = about.address.filter(|_| name == Some(&told.name)) else {
                continue;
            };
            if let Some(link) = address.as_link_addr() {
                hardware = match link.hatype() {
                    libc::ARPHRD_ETHER => Hardware::Ethernet,
                    libc::ARPHRD_LOOPBACK => Hardware::Loopback,
                    other => Hardware::Other(other),
                };
            }
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
            let v6 = || address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip()));
            addresses.extend(v4.or_else(v6));
        }
        let setting = |key: &str| {
            let text = sysctl::read(&format!("ipv4/conf/{}/{key}", told.name)).ok();
            text.and_then(|t| t.parse().ok()).unwrap_or(0) // gone meanwhile
        };
        Interface {
            index: told.index,
            flags: told.flags,
            mtu: told.mtu,
            group: told.group,
            mac: (hardware == Hardware::Ethernet).then_some(told.mac),
            hardware,
            addresses,
            arp_ignore: setting("arp_ignore"),
            arp_filter: setting("arp_filter"),
            rp_filter: setting("rp_filter"),
            promote_secondaries: setting("promote_secondaries"),
            name: told.name,
        }
    });
    let mut all: Vec<Interface> = all.collect();
    all.sort_by_key(|i| i.index);
    Ok(all)
}
