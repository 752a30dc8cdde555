//! What of IPVS and of marks may be ours, on file: should we die at once, the next run removes what has left its
//! configuration, and puts timeouts back.
//!
//! Written before the kernel is asked for anything, beside the pid file of the checkers; believed only in the network
//! namespace of the same boot that it was written for. Entries that were never ours are never in it. Nothing of it is
//! kept in memory.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::terms;
use crate::lvs::desired::Wanted;
use crate::sys::ipvs::service::ServiceId;
use crate::sys::ipvs::whole::Timeouts;
use crate::sys::netns;
use crate::sys::record;

/// One thing that may be ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    Service(ServiceId),
    Dest(ServiceId, SocketAddr),
    /// A table of nftables, of either family.
    Table(Arc<str>),
    /// The sync daemons, of either role.
    SyncDaemons,
    /// What was there before ours.
    Timeouts(Timeouts),
}

/// The words of a service; read by [`service`].
fn words_of(id: &ServiceId) -> String {
    match id {
        ServiceId::Address { addr, protocol } => format!("{protocol} {addr}"),
        ServiceId::Fwmark { mark, ipv6 } => {
            format!("{} {mark}", if *ipv6 { "mark6" } else { "mark" })
        }
    }
}

fn service(kind: &str, what: &str) -> Option<ServiceId> {
    Some(match kind {
        "mark" | "mark6" => ServiceId::Fwmark {
            mark: what.parse().ok()?,
            ipv6: kind == "mark6",
        },
        protocol => ServiceId::Address {
            addr: what.parse().ok()?,
            protocol: protocol.parse().ok()?,
        },
    })
}

impl Entry {
    /// Everything of one virtual server.
    pub(super) fn of(wanted: &Wanted) -> impl Iterator<Item = Self> + '_ {
        let id = terms::service_id(&wanted.front);
        let dests = wanted.configured.iter();
        std::iter::once(Self::Service(id)).chain(dests.map(move |addr| Self::Dest(id, *addr)))
    }

    fn line(&self) -> String {
        match self {
            Self::Service(id) => format!("service {}", words_of(id)),
            Self::Dest(id, addr) => format!("dest {} {addr}", words_of(id)),
            Self::Table(name) => format!("table {name}"),
            Self::SyncDaemons => "sync".to_owned(),
            Self::Timeouts(t) => format!("timeouts {} {} {}", t.tcp, t.tcp_fin, t.udp),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Some(match *words.as_slice() {
            ["service", kind, what] => Self::Service(service(kind, what)?),
            ["dest", kind, what, addr] => Self::Dest(service(kind, what)?, addr.parse().ok()?),
            ["table", name] => Self::Table(name.into()),
            ["sync"] => Self::SyncDaemons,
            ["timeouts", tcp, tcp_fin, udp] => Self::Timeouts(Timeouts {
                tcp: tcp.parse().ok()?,
                tcp_fin: tcp_fin.parse().ok()?,
                udp: udp.parse().ok()?,
            }),
            _ => return None,
        })
    }
}

/// See the module. The default records nothing.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    path: Option<PathBuf>,
    /// Where and when it holds.
    place: String,
    /// More is on file than is wanted by now.
    wide: bool,
}

impl Legacy {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// From now on it is about IPVS there. Returns what an earlier run has left.
    pub(super) fn settle_in(&mut self, there: &netns::Place) -> BTreeSet<Entry> {
        // Where that namespace cannot be entered there is no table either.
        self.place = there.run(record::place).unwrap_or_default();
        self.read()
    }

    fn text(&self) -> Option<String> {
        fs::read_to_string(self.path.as_ref()?).ok()
    }

    fn read(&self) -> BTreeSet<Entry> {
        let text = self.text().unwrap_or_default();
        let mut lines = text.lines();
        match lines.next() == Some(&self.place) {
            true => lines.filter_map(Entry::parse).collect(),
            false => BTreeSet::new(),
        }
    }

    /// These are about to be made. Returns when they are on file, beside what was there.
    pub(super) fn widen(&mut self, mut wanted: BTreeSet<Entry>) {
        if self.path.is_none() {
            return;
        }
        let there = self.read();
        self.wide |= !there.is_subset(&wanted);
        wanted.extend(there);
        self.write(&wanted);
    }

    /// Whether what is on file can be made less once the kernel has followed.
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// The kernel holds nothing but these.
    pub(super) fn narrow(&mut self, wanted: &BTreeSet<Entry>) {
        self.wide = false;
        self.write(wanted);
    }

    fn write(&self, entries: &BTreeSet<Entry>) {
        let Some(path) = &self.path else {
            return;
        };
        let lines = entries.iter().map(Entry::line);
        let lines: Vec<String> = [self.place.clone()].into_iter().chain(lines).collect();
        let text = lines.join("\n") + "\n";
        let old = self.text();
        let done = match old {
            old if old.as_ref() == Some(&text) => Ok(()),
            None if entries.is_empty() => Ok(()),
            Some(_) if entries.is_empty() => fs::remove_file(path),
            Some(_) | None => record::write(path, &text),
        };
        if let Err(e) = done {
            tracing::warn!(path = %path.display(), err = %e, "cannot put on file what of IPVS is ours");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> [Entry; 7] {
        let at = |text: &str| text.parse::<SocketAddr>().expect("address and port");
        let (v4, v6) = ("10.0.0.1:80", "[2001:db8::1]:0");
        let tcp = ServiceId::Address {
            addr: at(v4),
            protocol: 6,
        };
        let none = ServiceId::Address {
            addr: at(v6),
            protocol: 0,
        };
        let mark = ServiceId::Fwmark {
            mark: 7,
            ipv6: true,
        };
        [
            Entry::Service(tcp),
            Entry::Dest(none, at(v6)),
            Entry::Service(mark),
            Entry::Dest(mark, at(v4)),
            Entry::Table("keepalived_ipvs".into()),
            Entry::SyncDaemons,
            Entry::Timeouts(Timeouts {
                tcp: 900,
                tcp_fin: 120,
                udp: 300,
            }),
        ]
    }

    #[test]
    fn every_line_is_read_as_it_was_meant() {
        for entry in entries() {
            assert_eq!(Entry::parse(&entry.line()), Some(entry));
        }
        for bad in [
            "",
            "service",
            "service 6",
            "service 6 x",
            "dest mark 1",
            "x y",
        ] {
            assert_eq!(Entry::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_gone_from_the_wishes_stays_on_file_until_it_is_gone_from_the_kernel() {
        let name = format!("keepalived-rs-legacy-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let all = entries();
        let few: BTreeSet<_> = all.iter().take(2).cloned().collect();
        let others: BTreeSet<_> = all.iter().skip(2).cloned().collect();
        let mut one = Legacy::new(Some(path.clone()));
        assert!(one.settle_in(&netns::Place::Here).is_empty());
        one.widen(few.clone());
        assert!(!one.is_wide());
        let mut next = Legacy::new(Some(path.clone()));
        assert_eq!(next.settle_in(&netns::Place::Here), few);
        next.widen(others.clone());
        assert!(next.is_wide());
        assert_eq!(next.read(), all.into());
        next.narrow(&others);
        assert_eq!((next.is_wide(), next.read()), (false, others));
        next.place = "place elsewhere".to_owned();
        assert!(next.read().is_empty());
        next.narrow(&BTreeSet::new());
        assert!(!path.exists());
    }
}
