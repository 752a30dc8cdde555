//! One line of `virtual_ipaddress`: an address and its options, in the words of `ip address`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Fault};
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
            ..plain
        }
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

/// Names of scopes that are always known; others are numbers.
fn scope(word: &str) -> Option<Scope> {
    Some(Scope(match word {
        "global" => 0,
        "site" => 200,
        "link" => 253,
        "host" => 254,
        "nowhere" => 255,
        number => number.parse().ok()?,
    }))
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
    let word = a.word()?;
    let invalid = |a: &Args<'_, '_>| {
        a.whole_fault(
            Code::InvalidAddress,
            format!("VRRP parsed invalid IP {word}. skipping IP..."),
        )
    };
    let (addr, prefix_len) = prefix(a, word).ok_or_else(|| invalid(a))?;
    let has_prefix = word.contains('/');
    let mut v = AddressDraft {
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
    };
    while let Some(option) = a.opt() {
        match option {
            "dev" => dev(a, &mut v, word, dynamic)?,
            "brd" | "broadcast" => broadcast(a, &mut v, option)?,
            "scope" => {
                let name = value_of(a, option)?;
                match (scope(name), addr.is_ipv4()) {
                    (Some(found), true) => v.scope = found,
                    (Some(_), false) => {
                        let text = format!(
                            "Cannot specify scope for IPv6 addresses ({word}) - ignoring scope"
                        );
                        let fault = a.whole_fault(Code::Useless, text);
                        a.report(fault);
                    }
                    (None, _) => {
                        a.warn(Code::BadValue, format!("invalid scope '{name}' - ignored"))
                    }
                }
            }
            "label" => label(a, &mut v, word)?,
            "peer" => peer(a, &mut v, has_prefix)?,
            "preferred_lft" => match value_of(a, option)? {
                "forever" => v.preferred_lft = Some(PreferredLft::Forever),
                number => match number.parse::<u32>() {
                    Ok(n) => {
                        v.preferred_lft = Some(PreferredLft::For(Duration::from_secs(n.into())))
                    }
                    Err(_) => a.warn(
                        Code::InvalidNumber,
                        format!("invalid preferred_lft '{number}' - ignored"),
                    ),
                },
            },
            "home" => v.home = true,
            "-nodad" => v.nodad = false,
            "mngtmpaddr" => v.mngtmpaddr = true,
            "noprefixroute" => v.noprefixroute = true,
            "autojoin" => v.autojoin = true,
            "no_track" => v.track = false,
            _ => {
                let text =
                    format!("Unknown configuration entry '{option}' for ip address - ignoring");
                let fault = a.whole_fault(Code::UnknownWord, text);
                a.report(fault);
            }
        }
    }
    finish(a, v)
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

/// What the options must not be together.
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
