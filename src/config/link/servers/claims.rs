//! Which service of the kernel belongs to which virtual server: each can have one owner only.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::model::lvs::{Listen, MOST_ADDRESSES, Transport};
use crate::model::net::Family;

/// A service of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Service {
    Address(IpAddr, u16, Option<Transport>),
    Fwmark(u32, Family),
}

/// What is taken already, and how often groups were used.
#[derive(Debug, Default)]
pub(super) struct Claims {
    taken: HashSet<Service>,
    uses: HashMap<Arc<str>, u32>,
}

/// Why an entry cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Another virtual server has it, or part of it.
    Taken,
    /// More than [`MOST_ADDRESSES`].
    TooLarge,
}

impl Claims {
    /// Which use of the group this one is, from 0.
    pub(super) fn number(&mut self, group: &Arc<str>) -> u32 {
        let uses = self.uses.entry(Arc::clone(group)).or_default();
        *uses += 1;
        *uses - 1
    }

    /// Takes an entry for one virtual server.
    ///
    /// # Errors
    /// See [`Refused`]; nothing is taken then.
    pub(super) fn take(&mut self, entry: &Listen, via: Option<Transport>) -> Result<(), Refused> {
        match *entry {
            Listen::Fwmark { mark, family } => {
                let new = self.taken.insert(Service::Fwmark(mark, family));
                new.then_some(()).ok_or(Refused::Taken)
            }
            Listen::Addresses { first, last, port } => {
                let service = |addr| Service::Address(addr, port, via);
                let addrs = addresses(first, last).ok_or(Refused::TooLarge)?;
                if addrs.clone().any(|a| self.taken.contains(&service(a))) {
                    return Err(Refused::Taken);
                }
                self.taken.extend(addrs.map(service));
                Ok(())
            }
        }
    }
}

/// All addresses from `first` to `last`; `None`: too many.
fn addresses(first: IpAddr, last: IpAddr) -> Option<impl Iterator<Item = IpAddr> + Clone> {
    let number = |addr| match addr {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    let (from, to) = (number(first), number(last));
    let addr = move |n: u128| match first {
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(n).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::from(n)),
    };
    (to.saturating_sub(from) < MOST_ADDRESSES).then(|| (from..=to).map(addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> Listen {
        let parse = |a: &str| a.parse().expect("an address");
        Listen::Addresses {
            first: parse(first),
            last: parse(last),
            port: 80,
        }
    }

    #[test]
    fn a_service_has_one_owner() {
        let mut claims = Claims::default();
        let tcp = Some(Transport::Tcp);
        assert_eq!(claims.take(&range("10.0.0.1", "10.0.0.9"), tcp), Ok(()));
        let inner = range("10.0.0.9", "10.0.0.12");
        assert_eq!(claims.take(&inner, tcp), Err(Refused::Taken));
        assert_eq!(claims.take(&inner, Some(Transport::Udp)), Ok(()));
        let mark = |family| Listen::Fwmark { mark: 5, family };
        assert_eq!(claims.take(&mark(Family::V4), None), Ok(()));
        assert_eq!(claims.take(&mark(Family::V6), None), Ok(()));
        assert_eq!(claims.take(&mark(Family::V6), tcp), Err(Refused::Taken));
    }

    #[test]
    fn ranges_cross_every_border_and_have_a_limit() {
        let across: Vec<_> = addresses(
            "2001:db8::fffe".parse().expect("an address"),
            "2001:db8::1:1".parse().expect("an address"),
        )
        .expect("not too many")
        .map(|a| a.to_string())
        .collect();
        let four = [
            "2001:db8::fffe",
            "2001:db8::ffff",
            "2001:db8::1:0",
            "2001:db8::1:1",
        ];
        assert_eq!(across, four);
        let large = range("2001:db8::", "2001:db8::ffff:ffff");
        assert_eq!(Claims::default().take(&large, None), Err(Refused::TooLarge));
    }
}
