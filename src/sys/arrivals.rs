//! Waits until the kernel tells of IPv6 addresses that were just added.
//!
//! A request for one is granted at once, but it is told, and can be spoken from, only when a work queue of the kernel has come
//! to it; a deletion is told at once. Whoever wants to be sure that an address is there before he goes on asks here. Source:
//! measured; linux/rtnetlink.h.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::addr::{AddressKey, told};
use super::netlink::{self, DATAGRAM};

/// `RTNLGRP_IPV6_IFADDR`, as a bit.
const GROUP: u32 = 1 << 8;
/// `RTM_NEWADDR`.
const NEW: u16 = 20;

/// A subscription. Opened before the request, so that nothing is missed.
#[derive(Debug)]
pub(crate) struct Arrivals(OwnedFd);

impl Arrivals {
    /// # Errors
    /// No netlink, no memory, no descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        netlink::open(GROUP).map(Self)
    }

    /// Blocks until all of `keys` were told, for `patience` at most. Returns those that were not.
    ///
    /// # Errors
    /// The kernel has dropped notifications, or lets nobody wait.
    pub(crate) fn wait(
        self,
        mut keys: BTreeSet<AddressKey>,
        patience: Duration,
    ) -> io::Result<BTreeSet<AddressKey>> {
        let until = Instant::now() + patience;
        let mut buffer = vec![0; DATAGRAM];
        while !keys.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Rounded up, so that the last part of a millisecond is no busy loop.
            let left = left + Duration::from_millis(1);
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, left) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let got = match netlink::receive(self.0.as_fd(), &mut buffer) {
                Ok(got) => got,
                Err(Errno::EINTR | Errno::EAGAIN) => continue,
                Err(errno) => return Err(errno.into()),
            };
            for (header, payload) in netlink::messages(&buffer[..got]) {
                if header.message_type == NEW {
                    keys.retain(|key| told(payload).as_ref() != Some(key));
                }
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::super::addr::{self, AddressOptions, flag};
    use super::super::netlink::RouteSocket;
    use super::super::testnet::{in_namespace, index, ip, veth};
    use super::*;

    fn added(route: &mut RouteSocket, on: &str, last: u16) -> AddressKey {
        let local = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 9, last).into();
        let key = AddressKey {
            index: index(on),
            local,
            remote: local,
            prefix_len: 64,
        };
        let options = AddressOptions {
            label: None,
            broadcast: None,
            scope: 253,
            flags: flag::NODAD,
            preferred_lft: None,
        };
        let answers = route.execute(vec![addr::add(&key, &options)]);
        assert_eq!(answers, [Ok(())]);
        key
    }

    #[test]
    fn an_address_is_there_when_the_kernel_says_so_and_not_before() {
        in_namespace(|| {
            veth("a", "b");
            let mut route = RouteSocket::open().expect("netlink");
            for last in 1..40 {
                let arrivals = Arrivals::open().expect("netlink");
                let key = added(&mut route, "a", last);
                let left = arrivals.wait([key].into(), Duration::from_secs(10));
                assert!(left.expect("an answer").is_empty());
                let shown = ip(&format!("-6 addr show to {}", key.local));
                assert!(
                    shown.contains("nodad") && !shown.contains("tentative"),
                    "{shown}"
                );
            }
        });
    }

    #[test]
    fn one_that_does_not_come_is_not_waited_for_beyond_patience() {
        in_namespace(|| {
            veth("a", "b");
            let mut route = RouteSocket::open().expect("netlink");
            let key = added(&mut route, "a", 1);
            let never = AddressKey {
                prefix_len: 65,
                ..key
            };
            let arrivals = Arrivals::open().expect("netlink");
            let left = arrivals.wait([never].into(), Duration::from_millis(20));
            assert_eq!(left.expect("an answer"), [never].into());
        });
    }
}
