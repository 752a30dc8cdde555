//! `virtual_server_group`: what makes one usable, and the ports of its addresses.

use std::net::IpAddr;

use super::super::source::Code;
use super::super::table::{Args, Fault};
use super::super::value;

/// A `virtual_server_group` block.
#[derive(Debug)]
pub(crate) struct ServerGroupDraft {
    pub(crate) name: String,
    v4: bool,
    v6: bool,
    /// An fwmark that fits every family.
    mark: bool,
    entries: usize,
    /// The ports of its addresses.
    pub(crate) ports: Vec<u16>,
}

impl ServerGroupDraft {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            v4: false,
            v6: false,
            mark: false,
            entries: 0,
            ports: Vec::new(),
        }
    }

    /// Whether it can be used.
    pub(crate) fn is_usable(&self) -> bool {
        self.entries > 0 && !(self.v4 && self.v6 && self.mark)
    }

    /// Reads a line.
    pub(crate) fn entry(&mut self, a: &mut Args<'_, '_>) -> Result<(), Fault> {
        let word = a.word()?;
        if word == "fwmark" {
            a.strict(0..=u32::MAX)?;
            match a.opt() {
                None => self.mark = true,
                Some("inet") => self.v4 = true,
                Some("inet6") => self.v6 = true,
                Some(family) => {
                    return Err(a.fault(Code::BadValue, format!("unknown family '{family}'")));
                }
            }
            self.entries += 1;
            return Ok(());
        }
        let shown = a.peek().unwrap_or_default();
        let text = format!("Invalid virtual server group IP address {word} {shown} - skipping");
        let Some(v4) = range(word) else {
            return Err(a.whole_fault(Code::InvalidAddress, text));
        };
        let port = match a.peek() {
            Some(_) => a
                .strict(0..=u16::MAX)
                .map_err(|_| a.whole_fault(Code::InvalidAddress, text))?,
            None => 0,
        };
        if !self.ports.contains(&port) {
            self.ports.push(port);
        }
        self.v4 |= v4;
        self.v6 |= !v4;
        self.entries += 1;
        Ok(())
    }
}

/// `<IP>`, `<IP>-<last part>`, `<IP>-<IP>`, `<IP>/<prefix length>` without host bits; whether it is IPv4.
fn range(word: &str) -> Option<bool> {
    if let Some((addr, len)) = word.split_once('/') {
        let addr = value::address(addr)?;
        let (bits, full) = match addr {
            IpAddr::V4(a) => (u128::from(u32::from(a)), 32),
            IpAddr::V6(a) => (u128::from(a), 128),
        };
        let len =
            value::whole(len).filter(|w| !w.junk && (1..=i128::from(full)).contains(&w.value))?;
        let hosts = u32::try_from(i128::from(full) - len.value).ok()?;
        let clean = bits & (1_u128.checked_shl(hosts).unwrap_or(0).wrapping_sub(1)) == 0;
        return clean.then_some(addr.is_ipv4());
    }
    let Some((from, to)) = word.split_once('-') else {
        return value::address(word).map(|a| a.is_ipv4());
    };
    let from = value::address(from)?;
    if let Some(to) = value::address(to) {
        return (to.is_ipv4() == from.is_ipv4() && to >= from).then_some(from.is_ipv4());
    }
    let good = match from {
        IpAddr::V4(a) => to.parse::<u8>().is_ok_and(|end| end > a.octets()[3]),
        IpAddr::V6(a) => u16::from_str_radix(to, 16).is_ok_and(|end| end > a.segments()[7]),
    };
    good.then_some(from.is_ipv4())
}
