//! What the station has changed, on file: should we die at once, the next run puts settings back, and removes
//! interfaces and tables that its own configuration does not want.
//!
//! Written before anything is changed, beside the record of addresses. Believed only in the same network namespace of
//! the same boot: elsewhere it tells of things that are not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::sys::record;

/// One thing that may be ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leaving {
    /// A kernel setting, a path below /proc/sys/net.
    Setting {
        key: String,
        before: String,
        ours: String,
    },
    /// An interface; a macvlan or ipvlan, or it is none of ours.
    Link(String),
    /// A table of nftables, of either family.
    Table(String),
}

impl Leaving {
    fn line(&self) -> String {
        match self {
            Self::Setting { key, before, ours } => format!("setting {key} {before} {ours}"),
            Self::Link(name) => format!("link {name}"),
            Self::Table(name) => format!("table {name}"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Some(match *words.as_slice() {
            ["setting", key, before, ours] => Self::Setting {
                key: key.to_owned(),
                before: before.to_owned(),
                ours: ours.to_owned(),
            },
            ["link", name] => Self::Link(name.to_owned()),
            ["table", name] => Self::Table(name.to_owned()),
            _ => return None,
        })
    }
}

/// See the module. The default records nothing.
#[derive(Debug, Default)]
pub(super) struct Leavings {
    path: Option<PathBuf>,
    /// Where and when it holds.
    place: String,
    written: BTreeSet<Leaving>,
}

impl Leavings {
    /// Must be made in the network namespace that it is about.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            place: record::place(),
            written: BTreeSet::new(),
        }
    }

    /// What an earlier run wrote; the file counts as ours from now on.
    pub(super) fn earlier(&mut self) -> BTreeSet<Leaving> {
        let text = self.path.as_ref().and_then(|p| fs::read_to_string(p).ok());
        let text = text.unwrap_or_default();
        let mut lines = text.lines();
        if lines.next() == Some(&self.place) {
            self.written = lines.filter_map(Leaving::parse).collect();
        }
        self.written.clone()
    }

    /// From now on these. Returns when they are on file.
    pub(super) fn replace(&mut self, now: BTreeSet<Leaving>) {
        if now == self.written {
            return;
        }
        let Some(path) = &self.path else {
            return;
        };
        let done = if now.is_empty() {
            fs::remove_file(path)
        } else {
            let lines: Vec<String> = now.iter().map(Leaving::line).collect();
            record::write(path, &format!("{}\n{}\n", self.place, lines.join("\n")))
        };
        match done {
            Ok(()) => self.written = now,
            Err(e) => {
                tracing::warn!(path = %path.display(), err = %e, "cannot put on file what is ours");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_the_same_place_only() {
        let name = format!("keepalived-rs-leavings-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let all = BTreeSet::from([
            Leaving::Setting {
                key: "ipv4/conf/eth0.5/arp_ignore".to_owned(),
                before: "0".to_owned(),
                ours: "1".to_owned(),
            },
            Leaving::Link("vrrp.51".to_owned()),
            Leaving::Table("keepalived".to_owned()),
        ]);
        let mut one = Leavings::new(Some(path.clone()));
        one.replace(all.clone());
        let mut next = Leavings::new(Some(path.clone()));
        assert_eq!(next.earlier(), all);
        let mut elsewhere = Leavings::new(Some(path.clone()));
        elsewhere.place = "place elsewhere".to_owned();
        assert!(elsewhere.earlier().is_empty());
        next.replace(BTreeSet::new());
        assert!(!path.exists());
    }
}
