//! `virtual_server_group`.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::super::source::Code;
use super::super::table::{Args, Fault, Row, values};
use super::super::value;
use super::root::Draft;
use crate::model::lvs::{GroupEntry, ServerGroup};
use crate::model::net::Family;

pub(super) const GROUP: Row<Draft> =
    values("virtual_server_group", "<NAME> { <entry>... }", |v, a| {
        let name = a.word()?;
        let mut entries = Vec::new();
        a.entries(false, |a| entry(a).map(|e| entries.push(e)));
        if !usable(&entries) {
            let text = format!("virtual_server_group {name} cannot be used - removing");
            return Err(a.whole_fault(Code::EmptyBlock, text));
        }
        v.server_groups.push(Arc::new(ServerGroup {
            name: name.into(),
            entries,
        }));
        Ok(())
    });

/// The last one of each name.
pub(crate) fn unique(mut groups: Vec<Arc<ServerGroup>>) -> Vec<Arc<ServerGroup>> {
    let mut names = HashSet::new();
    groups.reverse();
    groups.retain(|g| names.insert(Arc::clone(&g.name)));
    groups.reverse();
    groups
}

/// A mark without a family fits nothing when the addresses are of both.
fn usable(entries: &[GroupEntry]) -> bool {
    let family = |e: &GroupEntry| match e {
        GroupEntry::Addresses { first, .. } => Some(Family::from(*first)),
        GroupEntry::Fwmark { family, .. } => *family,
    };
    let has = |wanted| entries.iter().any(|e| family(e) == wanted);
    let mixed = has(Some(Family::V4)) && has(Some(Family::V6));
    !(entries.is_empty() || mixed && has(None))
}

fn entry(a: &mut Args<'_, '_>) -> Result<GroupEntry, Fault> {
    let word = a.word()?;
    if word == "fwmark" {
        let mark = a.strict(0..=u32::MAX)?;
        let family = match a.opt() {
            None => None,
            Some("inet") => Some(Family::V4),
            Some("inet6") => Some(Family::V6),
            Some(family) => {
                return Err(a.fault(Code::BadValue, format!("unknown family '{family}'")));
            }
        };
        return Ok(GroupEntry::Fwmark { mark, family });
    }
    let shown = a.peek().unwrap_or_default();
    let text = format!("Invalid virtual server group IP address {word} {shown} - skipping");
    let Some((first, last)) = range(word) else {
        return Err(a.whole_fault(Code::InvalidAddress, text));
    };
    let port = match a.peek() {
        Some(_) => a
            .strict(0..=u16::MAX)
            .map_err(|_| a.whole_fault(Code::InvalidAddress, text))?,
        None => 0,
    };
    Ok(GroupEntry::Addresses { first, last, port })
}

/// `<IP>`, `<IP>-<last part>`, `<IP>-<IP>`, `<IP>/<prefix length>` without host bits: the first and the last address.
fn range(word: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some((addr, len)) = word.split_once('/') {
        let first = value::address(addr)?;
        let full: u8 = if first.is_ipv4() { 32 } else { 128 };
        let len = value::whole(len).filter(|w| !w.junk)?.value;
        let len = u8::try_from(len).ok().filter(|n| (1..=full).contains(n))?;
        let last = match first {
            IpAddr::V4(first) => {
                let hosts = u32::MAX.checked_shr(len.into()).unwrap_or(0);
                let clean = u32::from(first) & hosts == 0;
                clean.then(|| Ipv4Addr::from(u32::from(first) | hosts).into())
            }
            IpAddr::V6(first) => {
                let hosts = u128::MAX.checked_shr(len.into()).unwrap_or(0);
                let clean = u128::from(first) & hosts == 0;
                clean.then(|| Ipv6Addr::from(u128::from(first) | hosts).into())
            }
        };
        return Some((first, last?));
    }
    let Some((from, to)) = word.split_once('-') else {
        return value::address(word).map(|a| (a, a));
    };
    let first = value::address(from)?;
    if let Some(last) = value::address(to) {
        return (last.is_ipv4() == first.is_ipv4() && last >= first).then_some((first, last));
    }
    let last: IpAddr = match first {
        IpAddr::V4(addr) => {
            let [a, b, c, _] = addr.octets();
            Ipv4Addr::new(a, b, c, to.parse().ok()?).into()
        }
        IpAddr::V6(addr) => {
            let mut segments = addr.segments();
            segments[7] = u16::from_str_radix(to, 16).ok()?;
            Ipv6Addr::from(segments).into()
        }
    };
    (last > first).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_from_the_first_to_the_last_address() {
        let said = |word| range(word).map(|(a, b)| format!("{a} {b}"));
        let good = [
            ("10.0.0.1", "10.0.0.1 10.0.0.1"),
            ("10.0.0.1-5", "10.0.0.1 10.0.0.5"),
            ("10.0.0.1-10.0.1.5", "10.0.0.1 10.0.1.5"),
            ("10.0.0.0/30", "10.0.0.0 10.0.0.3"),
            ("2001:db8::1-ff", "2001:db8::1 2001:db8::ff"),
            ("2001:db8::/112", "2001:db8:: 2001:db8::ffff"),
        ];
        for (word, expected) in good {
            assert_eq!(said(word).as_deref(), Some(expected), "{word}");
        }
        for word in [
            "10.0.0.5-5",
            "10.0.0.5-1",
            "10.0.0.1/24",
            "10.0.0.0/0",
            "10.0.0.1-256",
            "x",
        ] {
            assert_eq!(said(word), None, "{word}");
        }
    }
}
