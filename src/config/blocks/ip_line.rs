//! One line of `virtual_ipaddress` or `static_ipaddress`: an address and its options, in the words of `ip address`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::super::names::Names;
use super::super::source::Code;
use super::super::table::{Args, Block, Fault, key};
use super::super::value;
use crate::model::net::{IfName, PreferredLft, Scope, VirtualAddress};

/// A line whose `dev` may still be the instance's interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressDraft {
    pub(crate) addr: IpAddr,
    pub(crate) prefix_len: u8,
    pub(crate) dev: Option<IfName>,
    label: Option<Arc<str>>,
    broadcast: Option<Broadcast>,
    scope: Scope,
    peer: Option<IpAddr>,
    preferred_lft: Option<PreferredLft>,
    home: bool,
    nodad: bool,
    mngtmpaddr: bool,
    noprefixroute: bool,
    autojoin: bool,
    track: bool,
    use_vmac: bool,
}

/// `brd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broadcast {
    Address(Ipv4Addr),
    /// `+`: the host bits all ones.
    Ones,
    /// `-`: the host bits all zeros.
    Zeros,
}

impl AddressDraft {
    /// The model's address, on `interface` unless the line names another one.
    pub(crate) fn on(&self, interface: &IfName) -> VirtualAddress {
        let dev = self.dev.clone().unwrap_or_else(|| interface.clone());
        let plain = VirtualAddress::new(self.addr, self.prefix_len, dev);
        VirtualAddress {
            label: self.label.clone(),
            broadcast: self.broadcast.and_then(|b| self.resolve(b)),
            scope: self.scope,
            peer: self.peer,
            preferred_lft: self.preferred_lft.unwrap_or(plain.preferred_lft),
            home: self.home,
            nodad: self.nodad,
            mngtmpaddr: self.mngtmpaddr,
            noprefixroute: self.noprefixroute,
            autojoin: self.autojoin,
            track: self.track,
            use_vmac: self.use_vmac,
            ..plain
        }
    }

    /// `use_vmac`.
    pub(crate) fn use_vmac(&self) -> bool {
        self.use_vmac
    }

    /// Whether somebody else's deletion matters.
    pub(crate) fn tracked(&self) -> bool {
        self.track
    }

    fn resolve(&self, broadcast: Broadcast) -> Option<Ipv4Addr> {
        let IpAddr::V4(addr) = self.addr else {
            return None;
        };
        let hosts = u32::MAX.checked_shr(self.prefix_len.into()).unwrap_or(0);
        Some(match broadcast {
            Broadcast::Address(addr) => addr,
            Broadcast::Ones => Ipv4Addr::from(u32::from(addr) | hosts),
            Broadcast::Zeros => Ipv4Addr::from(u32::from(addr) & !hosts),
        })
    }
}

/// An address with its prefix length; a bad length is a complaint and means the full one.
pub(crate) fn prefix(a: &mut Args<'_, '_>, word: &str) -> Option<(IpAddr, u8)> {
    let (addr, suffix) = value::with_suffix(word)?;
    let full = if addr.is_ipv4() { 32 } else { 128 };
    let Some(suffix) = suffix.filter(|s| !s.is_empty()) else {
        return Some((addr, full));
    };
    let len = value::whole(suffix);
    let good = len
        .and_then(|w| u8::try_from(w.value).ok())
        .filter(|n| *n <= full);
    if good.is_none() || len.is_some_and(|w| w.junk) {
        a.warn(
            Code::OutOfRange,
            format!("invalid prefix length '{suffix}' of {addr}"),
        );
    }
    Some((addr, good.unwrap_or(full)))
}

/// Reads a line. `dynamic`: its `dev` need not exist.
pub(crate) fn read(a: &mut Args<'_, '_>, dynamic: bool) -> Result<AddressDraft, Fault> {
    let mut v = Line::begin(a, dynamic)?;
    a.inline(&ADDRESS_LINE, &mut v, unknown)?;
    finish(a, v.draft)
}

/// Reads a line of `static_ipaddress`. The second is its `track_group`, not yet looked up.
pub(crate) fn read_static(
    a: &mut Args<'_, '_>,
    dynamic: bool,
) -> Result<(AddressDraft, Option<Arc<str>>), Fault> {
    let mut v = Line::begin(a, dynamic)?;
    v.is_static = true;
    a.inline(&ADDRESS_LINE, &mut v, |v, a| match a.last() {
        "track_group" => {
            let name = value_of(a, "track_group")?;
            if v.group.is_some() {
                a.warn(
                    Code::Repeated,
                    "a second track_group - rest of line ignored",
                );
                a.rest().for_each(drop);
                return Ok(());
            }
            v.group = Some(name.into());
            Ok(())
        }
        _ => unknown(v, a),
    })?;
    Ok((finish(a, v.draft)?, v.group))
}

/// A line while it is read.
pub(crate) struct Line {
    draft: AddressDraft,
    /// The address as it is written.
    word: String,
    group: Option<Arc<str>>,
    /// A line of `static_ipaddress`.
    is_static: bool,
    dynamic: bool,
}

impl Line {
    /// Takes the address.
    fn begin(a: &mut Args<'_, '_>, dynamic: bool) -> Result<Self, Fault> {
        let word = a.word()?;
        let Some((addr, prefix_len)) = prefix(a, word) else {
            let text = format!("VRRP parsed invalid IP {word}. skipping IP...");
            return Err(a.whole_fault(Code::InvalidAddress, text));
        };
        Ok(Self {
            draft: AddressDraft {
                addr,
                prefix_len,
                dev: None,
                label: None,
                broadcast: None,
                scope: Scope(0),
                peer: None,
                preferred_lft: None,
                home: false,
                nodad: true,
                mngtmpaddr: false,
                noprefixroute: false,
                autojoin: false,
                track: true,
                use_vmac: false,
            },
            word: word.to_owned(),
            group: None,
            is_static: false,
            dynamic,
        })
    }
}

fn unknown(_: &mut Line, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let text = format!(
        "Unknown configuration entry '{}' for ip address - ignoring",
        a.last()
    );
    let fault = a.whole_fault(Code::UnknownWord, text);
    a.report(fault);
    Ok(())
}

pub(crate) static ADDRESS_LINE: Block<Line> = Block {
    name: "address",
    rows: &[
        key("dev", "<IFNAME>, default that of the instance", |v, a| {
            dev(a, &mut v.draft, &v.word, v.dynamic)
        }),
        key("brd", "<IPv4>|+|-", |v, a| {
            broadcast(a, &mut v.draft, "brd")
        }),
        key("broadcast", "as brd", |v, a| {
            broadcast(a, &mut v.draft, "broadcast")
        }),
        key("scope", "0..=255|name of rt_scopes, default global", scope),
        key("label", "<STRING>, at most 15 octets", |v, a| {
            label(a, &mut v.draft, &v.word)
        }),
        key("peer", "<IP>", |v, a| {
            let has_prefix = v.word.contains('/');
            peer(a, &mut v.draft, has_prefix)
        }),
        key("preferred_lft", "seconds|forever", |v, a| {
            v.draft.preferred_lft = match value_of(a, "preferred_lft")? {
                "forever" => Some(PreferredLft::Forever),
                number => match number.parse::<u32>() {
                    Ok(n) => Some(PreferredLft::For(Duration::from_secs(n.into()))),
                    Err(_) => {
                        a.warn(
                            Code::InvalidNumber,
                            format!("invalid preferred_lft '{number}' - ignored"),
                        );
                        return Ok(());
                    }
                },
            };
            Ok(())
        }),
        key("home", "flag", |v, a| a.flag().map(|on| v.draft.home = on)),
        key("-nodad", "flag", |v, a| {
            a.flag().map(|on| v.draft.nodad = !on)
        }),
        key("mngtmpaddr", "flag", |v, a| {
            a.flag().map(|on| v.draft.mngtmpaddr = on)
        }),
        key("noprefixroute", "flag", |v, a| {
            a.flag().map(|on| v.draft.noprefixroute = on)
        }),
        key("autojoin", "flag", |v, a| {
            a.flag().map(|on| v.draft.autojoin = on)
        }),
        key("no_track", "flag", |v, a| {
            a.flag().map(|on| v.draft.track = !on)
        }),
        key("use_vmac", "flag, of an instance only", |v, a| {
            match v.is_static {
                true => unknown(v, a),
                false => a.flag().map(|on| v.draft.use_vmac = on),
            }
        }),
    ],
    more: &[],
};

fn scope(v: &mut Line, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = value_of(a, "scope")?;
    let found = a.named(Names::Scope, name);
    match (found.and_then(|n| u8::try_from(n).ok()), v.draft.addr) {
        (Some(found), IpAddr::V4(_)) => v.draft.scope = Scope(found),
        (Some(_), IpAddr::V6(_)) => {
            let text = format!(
                "Cannot specify scope for IPv6 addresses ({}) - ignoring scope",
                v.word
            );
            let fault = a.whole_fault(Code::Useless, text);
            a.report(fault);
        }
        (None, _) => a.warn(Code::BadValue, format!("invalid scope '{name}' - ignored")),
    }
    Ok(())
}

/// The word behind an option; without one the line is dropped.
fn value_of<'a>(a: &mut Args<'_, 'a>, option: &str) -> Result<&'a str, Fault> {
    a.opt().ok_or_else(|| {
        a.fault(
            Code::NoValue,
            format!("{option} needs a value - address ignored"),
        )
    })
}

fn dev(a: &mut Args<'_, '_>, v: &mut AddressDraft, word: &str, dynamic: bool) -> Result<(), Fault> {
    let name = value_of(a, "dev")?;
    if v.dev.is_some() {
        return Err(a.fault(Code::Repeated, "a second dev - address ignored"));
    }
    v.dev = IfName::new(name).filter(|_| dynamic || a.host().interface(name).is_some());
    match v.dev {
        Some(_) => Ok(()),
        None => {
            let text = format!("WARNING - interface {name} for ip address {word} doesn't exist");
            Err(a.whole_fault(Code::NoInterface, text))
        }
    }
}

fn broadcast(a: &mut Args<'_, '_>, v: &mut AddressDraft, option: &str) -> Result<(), Fault> {
    let found = match (value_of(a, option)?, v.addr.is_ipv4()) {
        (_, false) => None,
        ("+", true) => Some(Broadcast::Ones),
        ("-", true) => Some(Broadcast::Zeros),
        (addr, true) => addr.parse().ok().map(Broadcast::Address),
    };
    if found.is_none() {
        return Err(a.fault(
            Code::InvalidAddress,
            "invalid broadcast address - address ignored",
        ));
    }
    v.broadcast = found;
    Ok(())
}

fn label(a: &mut Args<'_, '_>, v: &mut AddressDraft, word: &str) -> Result<(), Fault> {
    let name = value_of(a, "label")?;
    if name.len() > IfName::MAX {
        return Err(a.fault(
            Code::TooLong,
            format!(
                "label '{name}' is longer than {} - address ignored",
                IfName::MAX
            ),
        ));
    }
    match v.addr {
        IpAddr::V4(_) => v.label = Some(name.into()),
        IpAddr::V6(_) => {
            let text = format!("Cannot specify label for IPv6 addresses ({word}) - ignoring label");
            let fault = a.whole_fault(Code::Useless, text);
            a.report(fault);
        }
    }
    Ok(())
}

fn peer(a: &mut Args<'_, '_>, v: &mut AddressDraft, has_prefix: bool) -> Result<(), Fault> {
    let name = value_of(a, "peer")?;
    let found = value::address(name).filter(|p| p.is_ipv4() == v.addr.is_ipv4());
    match found {
        None => {
            let fault = a.whole_fault(Code::InvalidAddress, format!("Invalid peer address {name}"));
            a.report(fault);
        }
        Some(_) if v.peer.is_some() => a.warn(Code::Repeated, "a second peer - ignored"),
        Some(_) => {
            if has_prefix {
                a.warn(
                    Code::Useless,
                    "the prefix length of an address with a peer is that of the peer",
                );
            }
            v.peer = found;
            v.prefix_len = if v.addr.is_ipv4() { 32 } else { 128 };
        }
    }
    Ok(())
}

/// Which options exclude each other.
fn finish(a: &mut Args<'_, '_>, mut v: AddressDraft) -> Result<AddressDraft, Fault> {
    let computed = matches!(v.broadcast, Some(Broadcast::Ones | Broadcast::Zeros));
    if computed && v.prefix_len > 30 {
        a.warn(
            Code::Useless,
            format!(
                "no broadcast address with prefix length {} - ignoring brd",
                v.prefix_len
            ),
        );
        v.broadcast = None;
    }
    if v.broadcast.is_some() && v.peer.is_some() {
        a.warn(
            Code::Useless,
            "brd and peer exclude each other - ignoring brd",
        );
        v.broadcast = None;
    }
    Ok(v)
}
