//! The dump files: which there are, what they are called, when they are written.
//!
//! Names come from the configuration in force; the default is keepalived's. Source: keepalived.conf(5) `state_dump_file`,
//! `stats_dump_file`, `json_dump_file`, `data_use_instance`.

use std::path::{Path, PathBuf};

use super::bus::{InstanceSnapshot, ServiceSnapshot, TrackSnapshot};
use super::{dumpfile, interfaces};
use crate::dump::data::Now;
use crate::dump::{self, Times};
use crate::model::Config;
use crate::sys::clock;
use crate::sys::log::Local;
use crate::time::Mono;

/// One of the files that tell the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Vrrp,
    Parent,
    Checkers,
    Bfd,
}

/// Writes dump files into one directory, unless the configuration names another.
#[derive(Debug)]
pub(crate) struct Dumps {
    dir: PathBuf,
    /// `-s`.
    namespace: Option<String>,
}

impl Dumps {
    /// `tmpdir`: the value of `TMPDIR`.
    pub(crate) fn new(tmpdir: Option<std::ffi::OsString>, namespace: Option<String>) -> Self {
        Self {
            dir: dumpfile::directory(tmpdir),
            namespace,
        }
    }

    /// The state, as USR1 asks for it.
    pub(crate) fn data(
        &self,
        config: &Config,
        instances: &[InstanceSnapshot],
        trackers: &TrackSnapshot,
    ) {
        let pid = std::process::id();
        if !config.instances.is_empty() {
            tracing::info!("Printing VRRP data for process({pid}) on signal");
            let interfaces = interfaces::list().unwrap_or_else(|e| {
                tracing::warn!(reason = %e, "Unable to list the network interfaces");
                Vec::new()
            });
            let now = Now {
                instances,
                trackers: Some(trackers),
                interfaces: &interfaces,
            };
            let text = dump::data::data(config, &now, &times());
            write(&self.state_file(config, Of::Vrrp), &text);
        }
        if !config.bfds.is_empty() {
            tracing::info!("Printing BFD data for process({pid}) on signal");
            write(&self.state_file(config, Of::Bfd), &dump::bfd::bfd(config));
        }
        tracing::info!("Printing parent data for process({pid}) on signal");
        write(&self.state_file(config, Of::Parent), &dump::parent(config));
    }

    /// The state of the virtual servers, likewise.
    pub(crate) fn checkers(
        &self,
        config: &Config,
        services: &[ServiceSnapshot],
        trackers: &TrackSnapshot,
    ) {
        let pid = std::process::id();
        tracing::info!("Printing checker data for process({pid}) on signal");
        let text = dump::check::check(config, services, trackers);
        write(&self.state_file(config, Of::Checkers), &text);
    }

    /// keepalived: without an instance there is no such file.
    pub(crate) fn json(
        &self,
        config: &Config,
        instances: &[InstanceSnapshot],
        trackers: &TrackSnapshot,
    ) {
        if instances.is_empty() {
            return;
        }
        let pid = std::process::id();
        tracing::info!("Printing VRRP as json for process({pid}) on signal");
        let named = config.global.process.files.json_dump.as_deref();
        let text = dump::json::json(config, instances, trackers, &times());
        write(&self.path(named, "keepalived.json"), &text);
    }

    /// `clearing`: what the log line says about that.
    pub(crate) fn stats(&self, config: &Config, instances: &[InstanceSnapshot], clearing: &str) {
        if instances.is_empty() {
            return;
        }
        let pid = std::process::id();
        tracing::info!("Printing{clearing} VRRP stats for process({pid}) on signal");
        let named = config.global.process.files.stats_dump.as_deref();
        let text = dump::stats::stats(instances);
        write(&self.path(named, "keepalived.stats"), &text);
    }

    /// Directory and name of a file of which the configuration may name either or both.
    fn path(&self, named: Option<&Path>, name: &str) -> PathBuf {
        let Some(named) = named else {
            return self.dir.join(name);
        };
        let below = self.dir.join(named); // an absolute path stays what it is
        if named.as_os_str().as_encoded_bytes().ends_with(b"/") {
            below.join(name)
        } else {
            below
        }
    }

    /// What tells the parts apart stands before the extension.
    fn state_file(&self, config: &Config, of: Of) -> PathBuf {
        let process = &config.global.process;
        let path = self.path(process.files.state_dump.as_deref(), "keepalived.data");
        let mut stem = path.file_stem().unwrap_or_default().to_owned();
        stem.push(match of {
            Of::Vrrp => "",
            Of::Parent => "_parent",
            Of::Checkers => "_check",
            Of::Bfd => "_bfd",
        });
        if process.files.data_use_instance {
            let namespace = self.namespace.as_deref();
            let namespace = namespace.or(config.global.net_namespace.as_deref());
            let parts: Vec<_> = namespace
                .into_iter()
                .chain(process.instance.as_deref())
                .collect();
            if !parts.is_empty() {
                stem.push(format!(".{}", parts.join("_")));
            }
        }
        if let Some(extension) = path.extension() {
            stem.push(".");
            stem.push(extension);
        }
        path.with_file_name(stem)
    }
}

fn write(path: &Path, text: &str) {
    let (dir, name) = (path.parent(), path.file_name().and_then(|n| n.to_str()));
    let written = match (dir, name) {
        (Some(dir), Some(name)) => dumpfile::write(dir, name, text),
        (None, _) | (_, None) => Err(std::io::ErrorKind::InvalidFilename.into()),
    };
    if let Err(e) = written {
        tracing::error!(file = %path.display(), reason = %e, "Unable to write a dump file");
    }
}

/// How the dump files tell instants.
pub(crate) fn times() -> Times {
    Times {
        origin: clock::wall().saturating_sub(clock::now().since(Mono::from_micros(0))),
        local: |at| Local::of(std::time::UNIX_EPOCH + at).with_year(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn config(change: impl FnOnce(&mut crate::model::process::Process)) -> Config {
        let mut config = Config::default();
        change(&mut Arc::make_mut(&mut config.global).process);
        config
    }

    fn names(dumps: &Dumps, config: &Config) -> [PathBuf; 3] {
        [Of::Vrrp, Of::Parent, Of::Bfd].map(|of| dumps.state_file(config, of))
    }

    #[test]
    fn the_parts_of_a_name_come_from_the_configuration() {
        let dumps = Dumps::new(None, None);
        let plain = config(|_| {});
        assert_eq!(
            names(&dumps, &plain),
            [
                "/tmp/keepalived.data",
                "/tmp/keepalived_parent.data",
                "/tmp/keepalived_bfd.data"
            ]
            .map(PathBuf::from)
        );
        let below = config(|p| p.files.state_dump = Some("ka/".into()));
        assert_eq!(
            names(&dumps, &below)[1],
            Path::new("/tmp/ka/keepalived_parent.data")
        );
        let elsewhere = config(|p| p.files.state_dump = Some("/run/x.txt".into()));
        assert_eq!(
            names(&dumps, &elsewhere),
            ["/run/x.txt", "/run/x_parent.txt", "/run/x_bfd.txt"].map(PathBuf::from)
        );
        let instance = config(|p| {
            (p.files.data_use_instance, p.instance) = (true, Some("foo".into()));
        });
        assert_eq!(
            names(&dumps, &instance)[1],
            Path::new("/tmp/keepalived_parent.foo.data")
        );
        let both = Dumps::new(None, Some("ns".into()));
        assert_eq!(
            names(&both, &instance)[0],
            Path::new("/tmp/keepalived.ns_foo.data")
        );
    }
}
