//! A machine for tests.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use super::host::{FileFacts, FileKind, Host, Interface, ReadError, SubLinkFacts, User};
use super::{LoadOptions, Loaded, load};

/// A machine that is what the test says. The default: interfaces `lo`, `eth0` and `eth1`, user root, no files.
pub(crate) struct Fake {
    /// Path → content.
    pub(crate) files: BTreeMap<PathBuf, Vec<u8>>,
    /// Executable files, owned by root, 0755.
    pub(crate) programs: Vec<PathBuf>,
    /// Facts about single paths, before all else.
    pub(crate) facts: HashMap<PathBuf, FileFacts>,
    /// `None`: every interface exists whose name holds a letter.
    pub(crate) interfaces: Option<Vec<String>>,
    /// Macvlans and ipvlans.
    pub(crate) sub_links: Vec<SubLinkFacts>,
    /// User → uid and gid; `None`: every user exists.
    pub(crate) users: Option<Vec<(String, u32)>>,
    /// Every script whose path stands in this text exists.
    pub(crate) scripts_in: Option<String>,
    /// Network namespaces.
    pub(crate) namespaces: Vec<String>,
    pub(crate) node: String,
    /// Processors.
    pub(crate) cpus: usize,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            programs: Vec::new(),
            facts: HashMap::new(),
            interfaces: Some(vec!["eth0".into(), "eth1".into()]),
            sub_links: Vec::new(),
            users: Some(vec![("root".into(), 0), ("nobody".into(), 65534)]),
            scripts_in: None,
            namespaces: Vec::new(),
            node: "oracle".into(),
            cpus: 4,
        }
    }
}

/// Where the main file of tests is.
pub(crate) const MAIN: &str = "/etc/keepalived/keepalived.conf";

impl Fake {
    /// A machine with that main file.
    pub(crate) fn with(text: impl AsRef<[u8]>) -> Self {
        let mut fake = Self::default();
        fake.files.insert(MAIN.into(), text.as_ref().to_vec());
        fake
    }

    /// Reads the main file.
    pub(crate) fn load(&self) -> Loaded {
        load(&LoadOptions::default(), self)
    }

    /// Whether the text names exactly that path.
    fn names_script(&self, path: &Path) -> bool {
        let (text, path) = (self.scripts_in.as_deref(), path.to_string_lossy());
        let text = text.unwrap_or_default();
        let mut found = text.match_indices(&*path);
        found.any(|(at, _)| {
            text[at + path.len()..]
                .chars()
                .next()
                .is_none_or(|c| ENDS.contains(&c))
        })
    }

    /// Whether the text names a path below that one.
    fn names_script_in(&self, path: &Path) -> bool {
        let below = format!("{}/", path.display());
        self.scripts_in.as_ref().is_some_and(|t| t.contains(&below))
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let is_file = self.files.contains_key(path) || self.programs.iter().any(|p| p == path);
        let below = |p: &PathBuf| p.starts_with(path) && p != path;
        if is_file {
            Some(FileKind::Regular)
        } else if path == Path::new("/")
            || self.files.keys().any(below)
            || self.programs.iter().any(below)
            || self.names_script_in(path)
        {
            Some(FileKind::Directory)
        } else if self.names_script(path) {
            Some(FileKind::Regular)
        } else {
            None
        }
    }
}

/// What may follow the path of a script.
const ENDS: [char; 6] = [' ', '\t', '\n', '\r', '"', '\''];

fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => out.push(part),
        }
    }
    out
}

impl Host for Fake {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        let path = normal(path);
        match (self.files.get(&path), self.kind(&path)) {
            (Some(content), _) => Ok(content.clone()),
            (None, Some(_)) => Err(ReadError::NotPlain),
            (None, None) => Err(ReadError::Missing),
        }
    }

    fn list(&self, dir: &Path) -> Vec<String> {
        let dir = normal(dir);
        let mut names: Vec<String> = self
            .files
            .keys()
            .filter_map(|p| p.strip_prefix(&dir).ok()?.components().next())
            .map(|c| c.as_os_str().to_string_lossy().into_owned())
            .collect();
        names.dedup();
        names
    }

    fn lstat(&self, path: &Path) -> Option<FileFacts> {
        let path = normal(path);
        if let Some(facts) = self.facts.get(&path) {
            return Some(*facts);
        }
        let kind = self.kind(&path)?;
        let mode = if self.files.contains_key(&path) {
            0o644
        } else {
            0o755
        };
        Some(FileFacts {
            kind,
            mode,
            uid: 0,
            gid: 0,
        })
    }

    fn real_path(&self, path: &Path) -> Option<PathBuf> {
        let path = normal(path);
        self.lstat(&path).map(|_| path)
    }

    fn cwd(&self) -> PathBuf {
        "/".into()
    }

    fn enter(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|n| n == namespace)
    }

    fn resolve(&self, name: &str) -> Option<std::net::IpAddr> {
        (name == "localhost").then_some(std::net::Ipv4Addr::LOCALHOST.into())
    }

    fn sub_links(&self) -> Vec<SubLinkFacts> {
        self.sub_links.clone()
    }

    fn is_vrf(&self, _: &str) -> bool {
        false
    }

    fn interface(&self, name: &str) -> Option<Interface> {
        if name == "lo" {
            return Some(Interface {
                loopback: true,
                mtu: 65_536,
            });
        }
        let real = name.contains(|c: char| c.is_alphabetic());
        let known = self
            .interfaces
            .as_ref()
            .map_or(real, |all| all.iter().any(|i| i == name));
        known.then_some(Interface {
            loopback: false,
            mtu: 1500,
        })
    }

    fn user(&self, name: &str) -> Option<User> {
        let Some(users) = &self.users else {
            let id = if name == "root" { 0 } else { 1000 };
            let named = |l: &&str| !l.trim_start().starts_with('#') && l.contains(name);
            let text = self.scripts_in.as_deref().unwrap_or_default();
            if name == "keepalived_script" && text.lines().find(named).is_none() {
                return None;
            }
            return Some(User { uid: id, gid: id });
        };
        users
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, id)| User { uid: *id, gid: *id })
    }

    fn group(&self, name: &str) -> Option<u32> {
        let as_user = |text: &String| text.contains(&format!("user {name}"));
        let known = self.users.is_some() || self.scripts_in.as_ref().is_none_or(as_user);
        self.user(name).filter(|_| known).map(|u| u.gid)
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        match &self.users {
            Some(users) => users.iter().find(|u| u.1 == uid).map(|u| u.0.clone()),
            None if uid == 0 => Some("root".into()),
            None => Some("somebody".into()),
        }
    }

    fn group_name(&self, gid: u32) -> Option<String> {
        self.user_name(gid)
    }

    fn groups_of(&self, _: &str, gid: u32) -> Vec<u32> {
        vec![gid]
    }

    fn groups_of_uid(&self, _: u32, gid: u32) -> Vec<u32> {
        vec![gid, 4711]
    }

    fn myself(&self) -> User {
        User { uid: 0, gid: 0 }
    }

    fn node_name(&self) -> String {
        self.node.clone()
    }

    fn env(&self, name: &str) -> Option<String> {
        match name {
            "PATH" => Some("/usr/sbin:/usr/bin".into()),
            "HOME" => Some("/root".into()),
            _ => None,
        }
    }

    fn seconds(&self) -> u64 {
        1
    }

    fn cpus(&self) -> usize {
        self.cpus
    }
}
