//! Hears of routes and rules of keepalived's protocol number that go away.
//!
//! A router may learn hundreds of thousands of routes: a filter in the kernel lets only those through that can be ours.
//! Never waits. Source: rtnetlink(7), bpf in linux/filter.h.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;

use super::fd::{WatchedFd, set_option};
use super::fib::{KEEPALIVED, RTM_DELROUTE, RTM_DELRULE, RouteTold, RuleTold};
use super::netlink::{self, DATAGRAM};

/// Octets of notifications that may wait. The kernel takes the memory only when needed.
const BUFFER: usize = 1 << 20;
/// Datagrams per reading, so that a storm of changes does not delay a deadline.
const TURN: usize = 256;
/// Bit n-1 for group n: `RTNLGRP_IPV4_ROUTE` 7, `IPV4_RULE` 8, `IPV6_ROUTE` 11, `IPV6_RULE` 19.
const GROUPS: u32 = 1 << 6 | 1 << 7 | 1 << 10 | 1 << 18;

/// What is gone. `by`: the port of the socket that asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FibChange {
    Route {
        told: RouteTold,
        by: u32,
    },
    Rule {
        told: RuleTold,
        by: u32,
    },
    /// The kernel had to drop notifications: anything may be gone.
    Unknown,
}

/// The subscription.
#[derive(Debug)]
pub(crate) struct FibWatch {
    fd: WatchedFd,
    buffer: Vec<u8>,
}

impl FibWatch {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// No netlink, no memory, no descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        let fd = netlink::open(GROUPS)?;
        netlink::enlarge(fd.as_fd(), BUFFER);
        let filter = filter();
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap_or_default(),
            filter: filter.as_ptr().cast_mut(),
        };
        set_option(
            fd.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            &program,
        )?;
        Ok(Self {
            fd: WatchedFd::readable_only(fd)?,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// Waits until there is something to read. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.fd.readable().await
    }

    /// Reads what waits, up to a bounded number of datagrams.
    pub(crate) fn turn(&mut self) -> Vec<FibChange> {
        let mut changes = Vec::new();
        for _ in 0..TURN {
            match netlink::receive(self.fd.as_fd(), &mut self.buffer) {
                Ok(got) => {
                    let messages = netlink::messages(&self.buffer[..got]);
                    changes.extend(messages.filter_map(|(header, payload)| {
                        let by = header.port_number;
                        match header.message_type {
                            RTM_DELROUTE => {
                                RouteTold::parse(payload).map(|told| FibChange::Route { told, by })
                            }
                            RTM_DELRULE => {
                                RuleTold::parse(payload).map(|told| FibChange::Rule { told, by })
                            }
                            _ => None,
                        }
                    }));
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => changes.push(FibChange::Unknown),
                Err(_) => {
                    // Nothing waits.
                    self.fd.exhausted();
                    break;
                }
            }
        }
        changes
    }
}

/// Takes deletions of rules, and of routes whose `rtm_protocol` is keepalived's.
fn filter() -> [libc::sock_filter; 7] {
    /// `BPF_LD | BPF_H | BPF_ABS`, `BPF_LD | BPF_B | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_RET | BPF_K`.
    const HALF: u16 = 0x28;
    const BYTE: u16 = 0x30;
    const EQUAL: u16 = 0x15;
    const RET: u16 = 0x06;
    // The machine loads in network order, netlink writes in that of the host.
    let kind = |kind: u16| u32::from(u16::from_be_bytes(kind.to_ne_bytes()));
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    [
        step(HALF, 0, 0, 4),
        step(EQUAL, 3, 0, kind(RTM_DELRULE)),
        step(EQUAL, 0, 3, kind(RTM_DELROUTE)),
        // Behind the header of 16 octets: rtm_protocol.
        step(BYTE, 0, 0, 21),
        step(EQUAL, 0, 1, KEEPALIVED.into()),
        step(RET, 0, 0, u32::MAX),
        step(RET, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testnet::{in_namespace_async, ip, veth};

    #[test]
    fn only_what_can_be_ours_is_heard_of() {
        in_namespace_async(|| async {
            veth("a", "b");
            let mut watch = FibWatch::open().expect("a watch");
            ip("route add 10.9.0.0/16 dev a proto static");
            ip("route add 10.8.0.0/16 dev a proto 18");
            ip("rule add from 10.9.0.0/16 table 9 priority 99");
            ip("route del 10.9.0.0/16 dev a");
            ip("route del 10.8.0.0/16 dev a");
            ip("rule del priority 99");
            watch.readable().await.expect("news");
            let heard = watch.turn();
            let [
                FibChange::Route { told: route, by },
                FibChange::Rule { told: rule, .. },
            ] = &*heard
            else {
                panic!("{heard:?}");
            };
            assert_eq!(route.dst(), Some([10, 8, 0, 0].into()));
            assert_eq!((route.head.dst_len, route.head.table), (16, 254));
            assert_ne!(*by, 0);
            assert_eq!((rule.head.src_len, rule.head.table), (16, 9));
        });
    }
}
