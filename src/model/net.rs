//! Addresses and interfaces in the words of keepalived.conf; what the kernel calls them is in `sys`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

/// Name of a network interface, 1..=15 octets (`IFNAMSIZ` - 1).
///
/// In place: every instance and every address has some.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IfName {
    /// UTF-8; zero from the end of the name on, so that names are in the order of their octets.
    octets: [u8; Self::MAX],
    len: NonZeroU8,
}

impl IfName {
    /// Longest name the kernel takes, in octets.
    pub(crate) const MAX: usize = 15;

    /// `None` when `name` is empty, longer than [`IfName::MAX`], or holds `/` or white space (linux `dev_valid_name`).
    pub(crate) fn new(name: &str) -> Option<Self> {
        let fits = !name.is_empty() && name.len() <= Self::MAX && name != "." && name != "..";
        let clean = !name
            .chars()
            .any(|c| c == '/' || c == ':' || c == '\0' || c.is_ascii_whitespace());
        let len = u8::try_from(name.len()).ok().and_then(NonZeroU8::new)?;
        let mut octets = [0; Self::MAX];
        octets
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        (fits && clean).then_some(Self { octets, len })
    }

    pub(crate) fn as_str(&self) -> &str {
        let name = self.octets.get(..usize::from(self.len.get()));
        std::str::from_utf8(name.unwrap_or_default()).unwrap_or_default() // it was a str
    }
}

/// As a name, not as octets.
impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IfName").field(&self.as_str()).finish()
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Address family of an instance, a virtual server or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl From<IpAddr> for Family {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Scope of an address, `rtnetlink(7)`: 0 global, 200 site, 253 link, 254 host, 255 nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope(pub(crate) u8);

/// How long an address is preferred as a source (`IFA_CACHEINFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PreferredLft {
    Forever,
    /// Whole seconds; zero: deprecated at once.
    For(Duration),
}

/// One line of `virtual_ipaddress` or `virtual_ipaddress_excluded`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct VirtualAddress {
    pub(crate) addr: IpAddr,
    /// 0..=32 or 0..=128, default the full length.
    pub(crate) prefix_len: u8,
    /// `dev`, default the instance's interface (or its VMAC).
    pub(crate) dev: IfName,
    /// `label`, IPv4 only, at most 15 octets, default none (the kernel then uses the interface's name).
    pub(crate) label: Option<Arc<str>>,
    /// `brd`, IPv4 only; `+` and `-` are resolved. Default none.
    pub(crate) broadcast: Option<Ipv4Addr>,
    /// `scope`, default global.
    pub(crate) scope: Scope,
    /// `peer`: the remote end of a point-to-point address, host length. Default none.
    pub(crate) peer: Option<IpAddr>,
    /// `preferred_lft`; default forever, but zero for an IPv6 /128, so that it is not chosen as a source.
    pub(crate) preferred_lft: PreferredLft,
    /// `home` (IPv6).
    pub(crate) home: bool,
    /// IPv6: skip duplicate address detection. True unless `-nodad` was given.
    pub(crate) nodad: bool,
    /// `mngtmpaddr` (IPv6).
    pub(crate) mngtmpaddr: bool,
    /// `noprefixroute`.
    pub(crate) noprefixroute: bool,
    /// `autojoin`.
    pub(crate) autojoin: bool,
    /// A deletion by someone else makes the instance give up MASTER. True unless `no_track` was given.
    pub(crate) track: bool,
    /// `use_vmac`: on a VMAC of `dev`.
    pub(crate) use_vmac: bool,
}

impl VirtualAddress {
    /// `addr/prefix_len` on `dev` with every option at its default.
    pub(crate) fn new(addr: IpAddr, prefix_len: u8, dev: IfName) -> Self {
        let deprecated = addr.is_ipv6() && prefix_len == 128;
        Self {
            addr,
            prefix_len,
            dev,
            label: None,
            broadcast: None,
            scope: Scope(0),
            peer: None,
            preferred_lft: if deprecated {
                PreferredLft::For(Duration::ZERO)
            } else {
                PreferredLft::Forever
            },
            home: false,
            nodad: true,
            mngtmpaddr: false,
            noprefixroute: false,
            autojoin: false,
            track: true,
            use_vmac: false,
        }
    }
}
