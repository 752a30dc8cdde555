//! How several daemons on one machine are told apart: `net_namespace`, `instance`, `use_pid_dir`.
//!
//! The names of pid files and of the log follow from these; they last until the daemon ends. Source:
//! keepalived.conf(5), keepalived(8).

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pidfile::{PidFile, PidFileError};
use crate::cli::Options;
use crate::model::Config;
use crate::model::process::ReloadMarker;
use crate::sys::netns;

/// Where pid files live.
const RUN_DIR: &str = "/run";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// `-s`, else `net_namespace`.
    pub(super) namespace: Option<Arc<str>>,
    /// `instance`.
    instance: Option<Arc<str>>,
    /// `use_pid_dir`.
    pid_dir: bool,
}

impl Identity {
    pub(super) fn new(options: &Options, config: &Config) -> Self {
        let given = options.namespace.as_deref().map(Into::into);
        Self {
            namespace: given.or_else(|| config.global.net_namespace.clone()),
            instance: config.global.process.instance.clone(),
            pid_dir: config.global.process.pid_dir,
        }
    }

    /// What follows the names in syslog: `_NAMESPACE_INSTANCE`.
    pub(super) fn log_suffix(&self) -> String {
        let parts = self.namespace.iter().chain(&self.instance);
        parts.map(|part| format!("_{part}")).collect()
    }

    /// The default path of a pid file: `vrrp` → `/run/vrrp.pid`.
    fn pid_path(&self, stem: &str) -> PathBuf {
        let instance = self.instance.iter().map(|name| format!("_{name}"));
        let name = format!("{stem}{}.pid", instance.collect::<String>());
        Path::new(if self.has_dir() {
            netns::RUN_DIR
        } else {
            RUN_DIR
        })
        .join(name)
    }

    fn has_dir(&self) -> bool {
        self.pid_dir || self.namespace.is_some() || self.instance.is_some()
    }

    /// What must not change while the daemon runs, in the words of the configuration. `given`: the namespace of `-s`, beside
    /// which the file's does not count.
    pub(super) fn fixed_word(
        old: &Config,
        new: &Config,
        given: Option<&str>,
    ) -> Option<&'static str> {
        let (o, n) = (&old.global, &new.global);
        let words = [
            (
                "net_namespace",
                given.is_some() || o.net_namespace == n.net_namespace,
            ),
            (
                "net_namespace_ipvs",
                o.process.ipvs_namespace == n.process.ipvs_namespace,
            ),
            ("instance", o.process.instance == n.process.instance),
            (
                "nftables table name",
                o.firewall.nftables.table == n.firewall.nftables.table,
            ),
        ];
        words.iter().find(|(_, same)| !same).map(|(word, _)| *word)
    }
}

/// The pid files of this process: one always, one for each part that has work.
pub(super) struct PidFiles {
    paths: [PathBuf; 4],
    /// Held, not read: its lock says that we are alive.
    main: Option<PidFile>,
    vrrp: Option<PidFile>,
    checkers: Option<PidFile>,
    bfd: Option<PidFile>,
}

impl PidFiles {
    /// # Errors
    /// Another daemon lives; a permission.
    pub(super) fn claim(
        options: &Options,
        identity: &Identity,
        config: &Config,
    ) -> Result<Self, PidFileError> {
        let given = [
            &options.pid_file,
            &options.vrrp_pid_file,
            &options.checkers_pid_file,
            &options.bfd_pid_file,
        ];
        if identity.has_dir() && given.iter().any(|path| path.is_none()) {
            make_dir();
        }
        let paths = Self::paths(options, identity);
        let mut files = Self {
            main: Some(PidFile::claim(&paths[0])?),
            paths,
            vrrp: None,
            checkers: None,
            bfd: None,
        };
        files.extend(config).map(|()| files)
    }

    /// Where they are: of the daemon, of the VRRP part, of the checkers, of BFD.
    pub(super) fn paths(options: &Options, identity: &Identity) -> [PathBuf; 4] {
        let path = |(given, stem): (&Option<PathBuf>, &str)| {
            given.clone().unwrap_or_else(|| identity.pid_path(stem))
        };
        [
            (&options.pid_file, "keepalived"),
            (&options.vrrp_pid_file, "vrrp"),
            (&options.checkers_pid_file, "checkers"),
            (&options.bfd_pid_file, "bfd"),
        ]
        .map(path)
    }

    /// The files that tell a successor what of ours may be in the kernel, of the VRRP task and of the LVS task: beside
    /// the pid files, two for each daemon too.
    pub(super) fn held(&self) -> [PathBuf; 2] {
        let of_checkers = self.paths[2].with_extension("held");
        [Self::held_of(&self.paths), of_checkers]
    }

    pub(super) fn held_of(paths: &[PathBuf; 4]) -> PathBuf {
        paths[1].with_extension("held")
    }

    /// The one that is always there.
    pub(super) fn main(&self) -> &Path {
        &self.paths[0]
    }

    /// `reload_file`, if there is to be one.
    pub(super) fn marker(&self, config: &Config) -> Option<PathBuf> {
        match &config.global.process.files.reload_marker {
            ReloadMarker::None => None,
            ReloadMarker::BesidePidFile => Some(self.paths[0].with_file_name("keepalived.reload")),
            ReloadMarker::At(path) => Some(path.clone()),
        }
    }

    /// Those of the parts that have work now. A part that once had work keeps its file.
    ///
    /// # Errors
    /// As for [`PidFiles::claim`].
    pub(super) fn extend(&mut self, config: &Config) -> Result<(), PidFileError> {
        let pid = std::process::id();
        let [_, vrrp, checkers, bfd] = &self.paths;
        if self.checkers.is_none() && !config.virtual_servers.is_empty() {
            self.checkers = Some(PidFile::claim(checkers)?);
            tracing::info!("Starting Healthcheck child process, pid={pid}");
        }
        if self.vrrp.is_none() && !config.instances.is_empty() {
            self.vrrp = Some(PidFile::claim(vrrp)?);
            tracing::info!("Starting VRRP child process, pid={pid}");
        }
        if self.bfd.is_none() && !config.bfds.is_empty() {
            self.bfd = Some(PidFile::claim(bfd)?);
            tracing::info!("Starting BFD child process, pid={pid}");
        }
        if self.vrrp.is_none() && self.checkers.is_none() && self.bfd.is_none() {
            tracing::warn!("Warning - keepalived has no configuration to run");
        }
        Ok(())
    }
}

impl Drop for PidFiles {
    fn drop(&mut self) {
        drop((
            self.bfd.take(),
            self.checkers.take(),
            self.vrrp.take(),
            self.main.take(),
        ));
        if self
            .paths
            .iter()
            .any(|path| path.starts_with(netns::RUN_DIR))
        {
            _ = fs::remove_dir(netns::RUN_DIR); // while another daemon uses it, it is not empty
        }
    }
}

/// 0755 whatever the umask. What goes wrong here is reported where the file is made.
fn make_dir() {
    let made = DirBuilder::new().mode(0o755).create(netns::RUN_DIR);
    if made.is_ok() {
        _ = fs::set_permissions(netns::RUN_DIR, fs::Permissions::from_mode(0o755)); // as above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(namespace: Option<&str>, instance: Option<&str>, pid_dir: bool) -> Identity {
        Identity {
            namespace: namespace.map(Into::into),
            instance: instance.map(Into::into),
            pid_dir,
        }
    }

    #[test]
    fn names_tell_daemons_apart() {
        let path = |i: &Identity| i.pid_path("vrrp").to_string_lossy().into_owned();
        let plain = identity(None, None, false);
        assert_eq!(path(&plain), "/run/vrrp.pid");
        assert_eq!(plain.log_suffix(), "");
        assert_eq!(
            path(&identity(None, None, true)),
            "/run/keepalived/vrrp.pid"
        );
        let blue = identity(Some("blue"), None, false);
        assert_eq!(path(&blue), "/run/keepalived/vrrp.pid");
        assert_eq!(blue.log_suffix(), "_blue");
        let both = identity(Some("blue"), Some("one"), false);
        assert_eq!(path(&both), "/run/keepalived/vrrp_one.pid");
        assert_eq!(both.log_suffix(), "_blue_one");
    }

    #[test]
    fn what_lasts_until_the_end_is_named() {
        let old = Config::default();
        assert_eq!(Identity::fixed_word(&old, &old, None), None);
        let mut new = old.clone();
        Arc::make_mut(&mut new.global).process.instance = Some("x".into());
        assert_eq!(Identity::fixed_word(&old, &new, None), Some("instance"));
        let mut new = old.clone();
        Arc::make_mut(&mut new.global).net_namespace = Some("x".into());
        let word = Some("net_namespace");
        assert_eq!(Identity::fixed_word(&old, &new, None), word);
        assert_eq!(Identity::fixed_word(&old, &new, Some("y")), None);
    }
}
