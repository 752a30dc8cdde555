//! What reading a configuration asks of the machine, as a trait, so that tests decide what the machine is like.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Longest file that is read, in octets, and the most of all files together; several times the largest configuration we
/// want to be fast with.
pub(crate) const MAX_FILE: u64 = 128 << 20;

/// Why a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// There is no such file.
    Missing,
    /// A directory, a FIFO, a device; or an execute permission bit is set.
    NotPlain,
    /// Permissions, or the medium.
    Denied,
    /// Longer than [`MAX_FILE`].
    TooLong,
}

/// A network interface, as far as the configuration cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// `IFF_LOOPBACK`: no instance can run on it.
    pub(crate) loopback: bool,
    /// Octets of an IP packet; bounds the address list of an advertisement.
    pub(crate) mtu: u32,
}

/// An interface on top of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubLinkFacts {
    pub(crate) name: String,
    /// Name of the interface below.
    pub(crate) base: String,
    pub(crate) mac: [u8; 6],
    pub(crate) sort: SubLinkSort,
}

/// The sorts that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubLinkSort {
    PrivateMacvlan,
    OtherMacvlan,
    Ipvlan,
}

impl SubLinkSort {
    /// Both are macvlans, or neither is.
    pub(crate) fn is_like(self, other: Self) -> bool {
        (self == Self::Ipvlan) == (other == Self::Ipvlan)
    }
}

/// An entry of the user data base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    /// Its primary group.
    pub(crate) gid: u32,
}

/// What a path component is (`lstat(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    pub(crate) kind: FileKind,
    /// Permission bits, `0o7777`.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The kinds of files that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Regular,
    Directory,
    Symlink,
    Other,
}

/// The machine. Nothing here changes it.
pub(crate) trait Host {
    /// The whole content of a regular, non-executable file; never waits (a FIFO is refused, not opened).
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError>;
    /// Names in a directory without `.` and `..`, in any order; empty when it cannot be read.
    fn list(&self, dir: &Path) -> Vec<String>;
    /// Facts about the path itself, a link not followed.
    fn lstat(&self, path: &Path) -> Option<FileFacts>;
    /// The path without links (`realpath(3)`).
    fn real_path(&self, path: &Path) -> Option<PathBuf>;
    /// The working directory.
    fn cwd(&self) -> PathBuf;
    /// Makes the interfaces those of the network namespace of that name (`ip netns`); false: there is none.
    fn enter(&self, namespace: &str) -> bool;
    /// The first address of a host name; may take as long as the resolver does.
    fn resolve(&self, name: &str) -> Option<IpAddr>;
    /// The interface of that name in the daemon's network namespace.
    fn interface(&self, name: &str) -> Option<Interface>;
    /// The macvlans and ipvlans of the daemon's network namespace.
    fn sub_links(&self) -> Vec<SubLinkFacts>;
    /// The addresses of an interface with their prefix lengths; none where that is not known.
    fn prefixes(&self, _: &str) -> Vec<(IpAddr, u8)> {
        Vec::new()
    }
    /// Every address of the machine; none where that is not known.
    fn addresses(&self) -> Vec<IpAddr> {
        Vec::new()
    }
    /// The bridge or bond that an interface is part of.
    fn bridge_of(&self, _: &str) -> Option<String> {
        None
    }
    /// Whether the interface of that name is a VRF.
    fn is_vrf(&self, name: &str) -> bool;
    /// A user by name.
    fn user(&self, name: &str) -> Option<User>;
    /// A group's number by name.
    fn group(&self, name: &str) -> Option<u32>;
    /// The name of a user.
    fn user_name(&self, uid: u32) -> Option<String>;
    /// The name of a group.
    fn group_name(&self, gid: u32) -> Option<String>;
    /// The groups that the user is a member of, `gid` among them.
    fn groups_of(&self, user: &str, gid: u32) -> Vec<u32>;
    /// The same for the user of that number; only `gid` where there is no such user.
    fn groups_of_uid(&self, uid: u32, gid: u32) -> Vec<u32>;
    /// Who the daemon runs as.
    fn myself(&self) -> User;
    /// `uname -n`.
    fn node_name(&self) -> String;
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
    /// Seconds since the epoch: the seed of `${_RANDOM}`.
    fn seconds(&self) -> u64;
    /// Processors that are online, ≥ 1.
    fn cpus(&self) -> usize;
}
