//! A file that says what in IPVS, and which marks, may be ours: should we be killed, the next run removes what is no longer in
//! its configuration, and puts timeouts back.
//!
//! Written before the kernel is asked for anything, beside the pid file of the checkers; believed only in the network
//! namespace of the same boot that it was written for. Entries that were never ours are never in it. Of what is on file only
//! a number for each virtual service is kept in memory: a reload that names the same servers touches no file.

use std::collections::{BTreeSet, HashSet};
use std::fmt::{self, Write as _};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::terms;
use crate::lvs::desired::Front;
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

/// What belongs together of what may be ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Claim {
    /// A service with all destinations that the configuration names.
    Service(ServiceId, Vec<SocketAddr>),
    Table(Arc<str>),
    SyncDaemons,
    Timeouts(Timeouts),
}

impl Claim {
    pub(super) fn of((front, dests): (Front, Vec<SocketAddr>)) -> Self {
        Self::Service(terms::service_id(&front), dests)
    }

    /// One by one.
    pub(super) fn entries(self) -> Vec<Entry> {
        match self {
            Self::Service(id, dests) => {
                let dests = dests.into_iter().map(|addr| Entry::Dest(id, addr));
                std::iter::once(Entry::Service(id)).chain(dests).collect()
            }
            Self::Table(name) => vec![Entry::Table(name)],
            Self::SyncDaemons => vec![Entry::SyncDaemons],
            Self::Timeouts(found) => vec![Entry::Timeouts(found)],
        }
    }

    /// A digest: two claims that differ practically never have the same.
    fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// The words of a service; read by [`service`].
struct Words<'a>(&'a ServiceId);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ServiceId::Address { addr, protocol } => write!(f, "{protocol} {addr}"),
            ServiceId::Fwmark { mark, ipv6 } => {
                write!(f, "{} {mark}", if *ipv6 { "mark6" } else { "mark" })
            }
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
    fn line(&self, text: &mut String) {
        // A String takes all.
        _ = match self {
            Self::Service(id) => writeln!(text, "service {}", Words(id)),
            Self::Dest(id, addr) => writeln!(text, "dest {} {addr}", Words(id)),
            Self::Table(name) => writeln!(text, "table {name}"),
            Self::SyncDaemons => writeln!(text, "sync"),
            Self::Timeouts(t) => writeln!(text, "timeouts {} {} {}", t.tcp, t.tcp_fin, t.udp),
        };
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
    /// Of what is on file.
    prints: HashSet<u64>,
    /// There is a file, and it holds here.
    stands: bool,
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
        let left = self.read();
        self.stands = left.is_some();
        let left = left.unwrap_or_default();
        self.wide = !left.is_empty();
        left
    }

    /// `None`: nothing that holds here. A line without an end was not written to its end.
    fn read(&self) -> Option<BTreeSet<Entry>> {
        let text = fs::read_to_string(self.path.as_ref()?).ok()?;
        let mut lines = text.split_inclusive('\n');
        let mut lines = lines.by_ref().filter_map(|l| l.strip_suffix('\n'));
        if lines.next() != Some(&self.place) {
            return None;
        }
        Some(lines.filter_map(Entry::parse).collect())
    }

    /// These are about to be made. Returns when they are on file, beside what was there.
    pub(super) fn widen(&mut self, claims: impl Iterator<Item = Claim>) {
        if self.path.is_none() {
            return;
        }
        let (mut text, mut prints) = (String::new(), HashSet::new());
        for claim in claims {
            let print = claim.print();
            if prints.insert(print) && !self.prints.contains(&print) {
                claim.entries().iter().for_each(|e| e.line(&mut text));
            }
        }
        self.wide |= !self.prints.is_subset(&prints);
        if !text.is_empty() {
            self.tell(match self.stands {
                true => self.append(&text),
                false => self.replace(&text),
            });
            self.stands = true;
        }
        self.prints.extend(prints);
        self.prints.shrink_to_fit();
    }

    /// Whether what is on file can be made less once the kernel has followed.
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// The kernel holds nothing but these.
    pub(super) fn narrow(&mut self, claims: impl Iterator<Item = Claim>) {
        self.wide = false;
        let Some(path) = &self.path else {
            return;
        };
        let mut text = String::new();
        self.prints = HashSet::new();
        for claim in claims {
            self.prints.insert(claim.print());
            claim.entries().iter().for_each(|e| e.line(&mut text));
        }
        let done = match text.is_empty() {
            true => match fs::remove_file(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                done => done,
            },
            false => self.replace(&text),
        };
        self.stands = !text.is_empty();
        self.tell(done);
    }

    fn replace(&self, lines: &str) -> io::Result<()> {
        match &self.path {
            Some(path) => record::write(path, &format!("{}\n{lines}", self.place)),
            None => Ok(()),
        }
    }

    fn append(&self, lines: &str) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut file = fs::OpenOptions::new().append(true).open(path)?;
        file.write_all(lines.as_bytes())
    }

    fn tell(&self, done: io::Result<()>) {
        if let (Err(e), Some(path)) = (done, &self.path) {
            tracing::warn!(path = %path.display(), err = %e, "cannot put on file what of IPVS is ours");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> [Claim; 7] {
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
            Claim::Service(tcp, vec![at(v4), at("10.0.0.2:80")]),
            Claim::Service(none, vec![at(v6)]),
            Claim::Service(mark, vec![at(v4)]),
            Claim::Service(mark, vec![]),
            Claim::Table("keepalived_ipvs".into()),
            Claim::SyncDaemons,
            Claim::Timeouts(Timeouts {
                tcp: 900,
                tcp_fin: 120,
                udp: 300,
            }),
        ]
    }

    fn entries(claims: &[Claim]) -> BTreeSet<Entry> {
        claims.iter().cloned().flat_map(Claim::entries).collect()
    }

    #[test]
    fn every_line_is_read_as_it_was_meant() {
        for entry in entries(&claims()) {
            let mut text = String::new();
            entry.line(&mut text);
            assert_eq!(Entry::parse(text.trim_end()), Some(entry));
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
        let all = claims();
        let (few, others) = all.split_at(2);
        let mut one = Legacy::new(Some(path.clone()));
        assert!(one.settle_in(&netns::Place::Here).is_empty());
        one.widen(few.iter().cloned());
        assert!(!one.is_wide());
        // The same again touches nothing.
        fs::remove_file(&path).expect("it is there");
        one.widen(few.iter().rev().cloned());
        assert!(!one.is_wide() && !path.exists());
        one.narrow(few.iter().cloned());
        let mut next = Legacy::new(Some(path.clone()));
        assert_eq!(next.settle_in(&netns::Place::Here), entries(few));
        next.widen(others.iter().cloned());
        assert!(next.is_wide());
        assert_eq!(next.read(), Some(entries(&all)));
        next.narrow(others.iter().cloned());
        assert_eq!(
            (next.is_wide(), next.read()),
            (false, Some(entries(others)))
        );
        next.widen(all.iter().cloned());
        assert!(!next.is_wide());
        assert_eq!(next.read(), Some(entries(&all)));
        next.widen(few.iter().cloned());
        assert!(next.is_wide());
        // A process that is killed while it writes may leave half a line, which means something else.
        let text = fs::read_to_string(&path).expect("it is there");
        fs::write(&path, text.trim_end_matches('0').trim_end()).expect("our own file");
        let whole = next.read().expect("the rest holds");
        assert_eq!(whole.len() + 1, entries(&all).len());
        assert!(whole.is_subset(&entries(&all)));
        next.place = "place elsewhere".to_owned();
        assert_eq!(next.read(), None);
        next.narrow(std::iter::empty());
        assert!(!path.exists());
    }
}
