//! The firewall's part of `nftables_ipvs`: a table of our own, made anew as a whole whenever it should say something else.
//!
//! Nobody else writes to that table. Dropping this removes it. Source: linux/netfilter/nf_tables.h; the tables of
//! keepalived.

use std::net::IpAddr;

use tracing::error;

use crate::lvs::marks::{Marking, Span};
use crate::model::lvs::Transport;
use crate::sys::netns::Place;
use crate::sys::nft::{Batch, Family, Header, NftError, NftSocket, Range, Rule, key, meta};

const CHAIN: &str = "in";
/// `NF_INET_LOCAL_IN`.
const HOOK: u32 = 1;
const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];
const TRANSPORTS: [(Transport, &str); 3] = [
    (Transport::Tcp, "tcp_map"),
    (Transport::Udp, "udp_map"),
    (Transport::Sctp, "sctp_map"),
];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Marker {
    socket: Option<NftSocket>,
    held: Option<Marking>,
}

impl Marker {
    /// Makes the kernel hold this. `place`: where IPVS is; of the first call only.
    pub(super) fn converge(&mut self, wanted: Marking, place: &Place) {
        let wanted = Some(wanted).filter(|m| !m.spans.is_empty());
        if wanted == self.held {
            return;
        }
        match self.commit(wanted.as_ref(), place) {
            Ok(()) => self.held = wanted,
            Err(e) => error!("nftables: packets for virtual_server_group are not marked: {e}"),
        }
    }

    /// Removes a table that an earlier run has left.
    pub(super) fn discard(&mut self, table: &str, place: &Place) {
        let mut batch = Batch::default();
        for family in FAMILIES {
            batch.del_table(family, table);
        }
        if let Err(e) = self.send(batch, place) {
            error!("nftables: cannot remove table {table} of an earlier run: {e}");
        }
    }

    /// Leaves everything as it is, for good.
    pub(super) fn forget(&mut self) {
        self.held = None;
    }

    fn commit(&mut self, wanted: Option<&Marking>, place: &Place) -> Result<(), NftError> {
        let mut batch = Batch::default();
        let old = self.held.as_ref().map(|m| &m.table);
        let new = wanted.map(|m| &m.table);
        for family in FAMILIES {
            if let Some(table) = old.filter(|old| Some(*old) != new) {
                batch.del_table(family, table);
            }
            if let Some(wanted) = wanted {
                table(&mut batch, family, wanted);
            }
        }
        self.send(batch, place)
    }

    fn send(&mut self, batch: Batch, place: &Place) -> Result<(), NftError> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                let opened = place.run(NftSocket::open);
                let opened = opened.map_err(|e| NftError::Socket(std::io::Error::other(e)))?;
                none.insert(opened.map_err(NftError::Socket)?)
            }
        };
        socket.commit(batch)
    }
}

/// Withdraws what is ours: nothing after an orderly stop, everything when the task unwinds.
impl Drop for Marker {
    fn drop(&mut self) {
        if self.held.is_some()
            && let Err(e) = self.commit(None, &Place::Here)
        {
            error!("nftables: marks for virtual_server_group stay behind: {e}");
        }
    }
}

/// The whole table of one family; none where nothing of that family is marked.
fn table(batch: &mut Batch, family: Family, wanted: &Marking) {
    let name = &*wanted.table;
    let of_family = |s: &&Span| s.first.is_ipv4() == (family == Family::Ip);
    let spans: Vec<&Span> = wanted.spans.iter().filter(of_family).collect();
    if spans.is_empty() {
        return batch.del_table(family, name);
    }
    batch.fresh_table(family, name);
    batch.base_chain(family, name, CHAIN, (HOOK, wanted.priority));
    let (kind, octets, offset) = match family {
        Family::Ip => (key::IP_ADDR, 4, 16),
        Family::Ip6 => (key::IP6_ADDR, 16, 24),
    };
    for (transport, map) in TRANSPORTS {
        let ranges = spans.iter().filter(|s| s.transport == transport);
        let ranges: Vec<Range> = ranges.map(|s| range(s)).collect();
        if ranges.is_empty() {
            continue;
        }
        let key = key::pair(kind, key::INET_SERVICE);
        batch.range_map(family, name, map, (key, &[octets, 2]), (key::MARK, 4));
        batch.add_ranges(family, name, map, &ranges);
        let rule = Rule::default()
            .meta(meta::L4PROTO)
            .is(&[transport as u8])
            .payload(Header::Network, offset, octets)
            .payload_behind(octets, Header::Transport, 2, 2)
            .looked_up(map)
            .set_mark()
            .back(wanted.counters);
        batch.rule(family, name, CHAIN, &rule);
    }
}

/// Address and port, one after the other in whole words.
fn range(span: &Span) -> Range {
    let key = |addr: IpAddr, port: u16| {
        let mut octets = match addr {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.extend(port.to_be_bytes());
        octets.extend([0; 2]);
        octets
    };
    let top = if span.port == 0 { u16::MAX } else { span.port };
    Range {
        first: key(span.first, span.port),
        last: key(span.last, top),
        data: span.mark.to_ne_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::sys::testnet::in_namespace;

    fn listed() -> String {
        let out = Command::new("nft").args(["-s", "list", "ruleset"]).output();
        let text = String::from_utf8(out.expect("nft runs").stdout).expect("text");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn span(first: &str, last: &str, port: u16, transport: Transport, mark: u32) -> Span {
        let addr = |text: &str| text.parse().expect("an address");
        Span {
            first: addr(first),
            last: addr(last),
            port,
            transport,
            mark,
        }
    }

    #[test]
    fn the_table_says_what_is_wanted_and_goes_with_it() {
        in_namespace(|| {
            let mut marker = Marker::default();
            let mut wanted = Marking {
                table: "keepalived_ipvs".into(),
                priority: -1,
                counters: true,
                spans: vec![
                    span("10.0.0.1", "10.0.0.1", 80, Transport::Tcp, 1000),
                    span("10.0.0.5", "10.0.0.9", 80, Transport::Tcp, 1000),
                    span("10.0.0.1", "10.0.0.1", 0, Transport::Udp, 1001),
                    span("fd00::1", "fd00::2", 443, Transport::Tcp, 1002),
                ],
            };
            marker.converge(wanted.clone(), &Place::Here);
            let text = listed();
            for part in [
                "table ip keepalived_ipvs {",
                "map tcp_map { type ipv4_addr . inet_service : mark flags interval elements = { \
                 10.0.0.1 . 80 : 0x000003e8, 10.0.0.5-10.0.0.9 . 80 : 0x000003e8 } }",
                "map udp_map { type ipv4_addr . inet_service : mark flags interval elements = { \
                 10.0.0.1 . 0-65535 : 0x000003e9 } }",
                "chain in { type filter hook input priority filter - 1; policy accept; \
                 meta mark set ip daddr . tcp dport map @tcp_map counter return",
                "meta mark set ip daddr . udp dport map @udp_map counter return",
                "table ip6 keepalived_ipvs {",
                "fd00::1-fd00::2 . 443 : 0x000003ea",
                "meta mark set ip6 daddr . tcp dport map @tcp_map counter return",
            ] {
                assert!(text.contains(part), "no {part} in {text}");
            }
            wanted.spans.truncate(1);
            (wanted.table, wanted.counters) = ("other".into(), false);
            marker.converge(wanted.clone(), &Place::Here);
            let text = listed();
            assert!(text.starts_with("table ip other {"), "{text}");
            assert!(
                !text.contains("keepalived_ipvs") && !text.contains("ip6"),
                "{text}"
            );
            assert!(!text.contains("counter"), "{text}");
            drop(marker);
            assert_eq!(listed(), "");
        });
    }
}
