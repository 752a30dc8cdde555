//! The machine that a file of another node is for: this one, except that whatever the file names exists.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::config::host::{FileFacts, FileKind, Host, Interface, ReadError, SubLinkFacts, User};

/// See the module. Files that are there are read as they are.
pub(crate) struct Elsewhere<'a>(pub(crate) &'a dyn Host);

/// A file of root that everybody may execute and nobody else may change.
const SAFE: u32 = 0o755;

impl Host for Elsewhere<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        self.0.read(path)
    }

    fn list(&self, dir: &Path) -> Vec<String> {
        self.0.list(dir)
    }

    fn lstat(&self, path: &Path) -> Option<FileFacts> {
        let here = self.0.lstat(path);
        let kind = here.map_or(FileKind::Regular, |f| f.kind);
        Some(FileFacts {
            kind,
            mode: here.map_or(SAFE, |f| f.mode | SAFE),
            uid: 0,
            gid: 0,
        })
    }

    fn real_path(&self, path: &Path) -> Option<PathBuf> {
        let here = self.0.real_path(path);
        here.or_else(|| Some(path.to_path_buf()))
    }

    fn cwd(&self) -> PathBuf {
        self.0.cwd()
    }

    fn enter(&self, _: &str) -> bool {
        true
    }

    fn resolve(&self, name: &str) -> Option<IpAddr> {
        self.0.resolve(name)
    }

    fn interface(&self, name: &str) -> Option<Interface> {
        Some(Interface {
            loopback: name == "lo",
            mtu: 1500,
        })
    }

    fn groups_of_uid(&self, uid: u32, gid: u32) -> Vec<u32> {
        self.0.groups_of_uid(uid, gid)
    }

    fn sub_links(&self) -> Vec<SubLinkFacts> {
        Vec::new()
    }

    fn is_vrf(&self, _: &str) -> bool {
        true
    }

    fn user(&self, name: &str) -> Option<User> {
        let unknown = User { uid: 0, gid: 0 };
        let here = self.0.user(name);
        here.or_else(|| (name != "keepalived_script").then_some(unknown))
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.0.group(name).or(Some(0))
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        self.0.user_name(uid)
    }

    fn group_name(&self, gid: u32) -> Option<String> {
        self.0.group_name(gid)
    }

    fn groups_of(&self, user: &str, gid: u32) -> Vec<u32> {
        self.0.groups_of(user, gid)
    }

    fn myself(&self) -> User {
        self.0.myself()
    }

    fn node_name(&self) -> String {
        self.0.node_name()
    }

    fn env(&self, name: &str) -> Option<String> {
        self.0.env(name)
    }

    fn seconds(&self) -> u64 {
        self.0.seconds()
    }

    fn cpus(&self) -> usize {
        self.0.cpus()
    }
}
