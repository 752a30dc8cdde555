//! What of ours may be in the kernel, on file: should we die at once, the next run finds also what has left the
//! configuration meanwhile.
//!
//! Written before anything is set, in the run directory, which does not outlive the machine: what is in the kernel does
//! not either. Each line is the request that removes one thing.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Kernel;
use super::entry::{self, Entry, Key};
use crate::model::Config;
use crate::sys::addr;
use crate::sys::netlink::Request;
use crate::vrrp::desired::Desired;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// `None`: nothing is recorded.
    path: Option<PathBuf>,
    /// What stands on file, in order, as digests: the lines themselves would be a good part of what an instance costs.
    known: Vec<u64>,
}

fn digest(line: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

impl Record {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            known: Vec::new(),
        }
    }

    /// From now on these. What is to be written where, if there is anything to write.
    pub(super) fn replace(&mut self, lines: &BTreeSet<String>) -> Option<(PathBuf, String)> {
        let mut known: Vec<u64> = lines.iter().map(|line| digest(line)).collect();
        known.sort_unstable();
        if known == self.known {
            return None;
        }
        self.known = known;
        let lines = lines.iter().flat_map(|line| [line.as_str(), "\n"]);
        Some((self.path.clone()?, lines.collect()))
    }

    /// One of these stands not on file yet.
    pub(super) fn misses(&self, lines: &[String]) -> bool {
        let is_new = |line: &String| self.known.binary_search(&digest(line)).is_err();
        self.path.is_some() && lines.iter().any(is_new)
    }

    /// What an earlier run wrote.
    fn earlier(&self) -> BTreeSet<String> {
        let text = self.path.as_ref().map(fs::read_to_string);
        match text {
            Some(Ok(text)) => text.lines().map(ToOwned::to_owned).collect(),
            Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(err = %e, "cannot read what an earlier run has left");
                BTreeSet::new()
            }
            Some(Err(_)) | None => BTreeSet::new(),
        }
    }

    /// Nothing of ours is left.
    pub(super) fn remove(&self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path); // there may have been nothing to write
        }
    }
}

/// A line of the record.
pub(super) fn line(key: &Key, entry: &Entry) -> Option<String> {
    entry.del(key).map(|request| request.to_line())
}

impl Kernel {
    /// Everything that `config` may want in the kernel as it is now.
    fn lines_of(&self, config: &Config) -> BTreeSet<String> {
        let statics = &config.statics;
        let fixed = Desired {
            guarded: false,
            addresses: entry::fixed(statics),
            routes: statics.routes.iter().map(|s| s.entry.clone()).collect(),
            rules: statics.rules.iter().map(|s| s.entry.clone()).collect(),
        };
        let virtuals = config.instances.iter().map(|i| Desired {
            guarded: false,
            addresses: i.addresses.iter().chain(&i.excluded).cloned().collect(),
            routes: i.routes.clone(),
            rules: i.rules.clone(),
        });
        let wanted = virtuals
            .chain([fixed])
            .flat_map(|desired| entry::wanted(desired, self.monitor.view()).0);
        wanted
            .filter_map(|(key, entry)| line(&key, &entry))
            .collect()
    }

    /// Puts on file what `config` may want, and what there is.
    pub(super) fn record(&mut self, config: &Arc<Config>) {
        self.config = Some(Arc::clone(config));
        self.record_with(Vec::new());
    }

    /// Before these are added to what there is.
    pub(super) fn note(&mut self, additions: Vec<String>) {
        if self.record.misses(&additions) {
            self.record_with(additions);
        }
    }

    fn record_with(&mut self, more: Vec<String>) {
        let mut lines: BTreeSet<String> = more.into_iter().collect();
        if let Some(config) = &self.config {
            lines.extend(self.lines_of(config));
        }
        lines.extend(self.holdings.removals().iter().map(Request::to_line));
        let news = self.record.replace(&lines);
        self.save(news);
    }

    /// Removes what an earlier run left and `config` does not want any more.
    pub(super) fn discard_forgotten(&mut self, config: &Config) {
        let wanted = self.lines_of(config);
        let mut requests = Vec::new();
        for line in self.record.earlier().difference(&wanted) {
            let Some(request) = Request::from_line(line) else {
                continue;
            };
            if let Some(key) = addr::key_of(&request) {
                let view = self.monitor.view();
                let there = view.address_options(&key).is_some();
                // Somebody else may have set it meanwhile.
                let ours = view.address_proto(&key).is_none_or(|p| p == addr::PROTO);
                if !(there && ours) {
                    continue;
                }
                tracing::info!(addr = %key.local, "found an address of an earlier run that has left the configuration");
            }
            requests.push(request);
        }
        if !requests.is_empty() {
            self.depart_unasked(requests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::record::write;

    #[test]
    fn only_news_are_written_and_what_is_written_is_read() {
        let name = format!("keepalived-rs-record-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut record = Record::new(Some(path.clone()));
        let both = ["b".to_owned(), "a".to_owned()];
        assert!(record.misses(&both));
        let (at, text) = record.replace(&both.clone().into()).expect("news");
        assert_eq!((&at, &*text), (&path, "a\nb\n"));
        assert!(!record.misses(&both));
        write(&at, &text).expect("written");
        assert_eq!(record.earlier().len(), 2);
        assert!(record.replace(&["c".to_owned()].into()).is_some());
        assert_eq!(record.replace(&["c".to_owned()].into()), None);
        record.remove();
        assert!(record.earlier().is_empty());
        assert!(!Record::new(None).misses(&both));
    }
}
