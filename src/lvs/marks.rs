//! Marks in place of addresses: with `nftables_ipvs` the firewall marks what is sent to a group of virtual servers, and one
//! service of the kernel serves the mark, however many addresses the group has. Pure: says which mark and what is marked.
//!
//! A virtual server keeps its mark for as long as it is configured. Source: keepalived.conf(5), `nftables_ipvs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::Config;
use crate::model::lvs::{Listen, ServiceKey, Transport, VirtualServer};

/// What the firewall should do. Empty `spans`: nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marking {
    /// Its name is that of `nftables_ipvs`.
    pub(crate) table: Arc<str>,
    pub(crate) priority: i32,
    /// `nftables_counters`.
    pub(crate) counters: bool,
    /// No two are equal but for the mark.
    pub(crate) spans: Vec<Span>,
}

/// Addresses of one family whose packets get a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: IpAddr,
    /// Included.
    pub(crate) last: IpAddr,
    /// 0: every port.
    pub(crate) port: u16,
    pub(crate) transport: Transport,
    pub(crate) mark: u32,
}

/// Who has which mark.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    given: BTreeMap<ServiceKey, u32>,
    start: u32,
}

/// Only a group of addresses with a protocol is marked.
fn is_marked(vs: &VirtualServer) -> Option<Transport> {
    let addresses = |l: &Listen| matches!(l, Listen::Addresses { .. });
    let group = matches!(vs.key, ServiceKey::Group { .. });
    vs.transport
        .filter(|_| group && vs.listen.iter().all(addresses))
}

impl Marks {
    /// Start or reload.
    pub(crate) fn apply(&mut self, config: &Config) {
        let nft = &config.global.firewall.nftables_ipvs;
        let wanted = |vs: &&Arc<VirtualServer>| nft.wanted && is_marked(vs).is_some();
        let servers: Vec<_> = config.virtual_servers.iter().filter(wanted).collect();
        if self.start != nft.start_fwmark {
            (self.given, self.start) = (BTreeMap::new(), nft.start_fwmark);
        }
        let names: BTreeSet<_> = servers.iter().map(|vs| &vs.key).collect();
        self.given.retain(|key, _| names.contains(key));
        let configured = config.virtual_servers.iter().flat_map(|vs| &vs.listen);
        let mut taken: BTreeSet<u32> = configured
            .filter_map(|l| match l {
                Listen::Fwmark { mark, .. } => Some(*mark),
                Listen::Addresses { .. } => None,
            })
            .collect();
        self.given.retain(|_, mark| !taken.contains(mark));
        taken.extend(self.given.values());
        let mut next = self.start.max(1);
        for vs in servers {
            if !self.given.contains_key(&vs.key) {
                while !taken.insert(next) {
                    next = next.saturating_add(1);
                }
                self.given.insert(vs.key.clone(), next);
            }
        }
    }

    /// The mark that stands for all addresses of a virtual server, if one does.
    pub(crate) fn of(&self, key: &ServiceKey) -> Option<u32> {
        self.given.get(key).copied()
    }

    /// What is to be marked for this configuration, which was applied last.
    pub(crate) fn marking(&self, config: &Config) -> Marking {
        let firewall = &config.global.firewall;
        let mut seen = BTreeSet::new();
        let mut spans = Vec::new();
        for vs in &config.virtual_servers {
            let (Some(mark), Some(transport)) = (self.of(&vs.key), is_marked(vs)) else {
                continue;
            };
            for listen in &vs.listen {
                if let Listen::Addresses { first, last, port } = *listen
                    && seen.insert((first, last, port, transport as u8))
                {
                    spans.push(Span {
                        first,
                        last,
                        port,
                        transport,
                        mark,
                    });
                }
            }
        }
        Marking {
            table: Arc::clone(&firewall.nftables_ipvs.table),
            priority: firewall.nftables_ipvs.priority,
            counters: firewall.counters,
            spans,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::service::tests::vs;

    fn group(name: &str, transport: Transport, listen: Vec<Listen>) -> Arc<VirtualServer> {
        let mut group = vs(Vec::new());
        group.key = ServiceKey::Group {
            name: name.into(),
            number: 0,
        };
        (group.transport, group.listen) = (Some(transport), listen);
        Arc::new(group)
    }

    fn addresses(first: &str, last: &str, port: u16) -> Listen {
        let addr = |text: &str| text.parse().expect("an address");
        Listen::Addresses {
            first: addr(first),
            last: addr(last),
            port,
        }
    }

    fn config(virtual_servers: Vec<Arc<VirtualServer>>) -> Config {
        let mut config = Config {
            virtual_servers,
            ..Config::default()
        };
        Arc::make_mut(&mut config.global)
            .firewall
            .nftables_ipvs
            .wanted = true;
        config
    }

    #[test]
    fn groups_of_addresses_get_marks_that_they_keep() {
        let web = || {
            group(
                "web",
                Transport::Tcp,
                vec![addresses("10.0.0.1", "10.0.0.9", 80)],
            )
        };
        let dns = || {
            group(
                "dns",
                Transport::Udp,
                vec![addresses("fe80::1", "fe80::1", 53)],
            )
        };
        let fixed = Listen::Fwmark {
            mark: 1001,
            family: crate::model::net::Family::V4,
        };
        let marked = group("marked", Transport::Tcp, vec![fixed]);
        let single = Arc::new(vs(Vec::new()));
        let mut marks = Marks::default();
        let all = config(vec![web(), Arc::clone(&marked), single, dns()]);
        marks.apply(&all);
        // 1001 is somebody else's.
        assert_eq!(
            (marks.of(&web().key), marks.of(&dns().key)),
            (Some(1000), Some(1002))
        );
        assert_eq!(marks.of(&marked.key), None);
        let spans = marks.marking(&all).spans;
        let seen: Vec<_> = spans.iter().map(|s| (s.port, s.mark)).collect();
        assert_eq!(seen, [(80, 1000), (53, 1002)]);
        marks.apply(&config(vec![dns()]));
        assert_eq!(
            (marks.of(&web().key), marks.of(&dns().key)),
            (None, Some(1002))
        );
        marks.apply(&config(vec![web(), dns()]));
        assert_eq!(
            (marks.of(&web().key), marks.of(&dns().key)),
            (Some(1000), Some(1002))
        );
        let mut off = config(vec![web(), dns()]);
        Arc::make_mut(&mut off.global).firewall.nftables_ipvs.wanted = false;
        marks.apply(&off);
        assert_eq!(marks.of(&dns().key), None);
        assert_eq!(marks.marking(&off).spans, []);
    }
}
