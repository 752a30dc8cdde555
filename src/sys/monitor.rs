//! Follows links, addresses and IPv6 forwarding by netlink notifications.
//!
//! Never waits for the kernel: dumps are answered inside recv(2). When the kernel had to drop notifications
//! (`ENOBUFS`), everything is asked for again and the difference reported. Source: netlink(7), rtnetlink(7).

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};

use super::fd::WatchedFd;
use super::netlink::{self, DATAGRAM};
use super::view::{Change, View};

/// Octets of notifications that may wait: some 8,000 address changes. The kernel takes the memory only when needed.
const BUFFER: usize = 8 << 20;
/// Datagrams per reading, so that a storm of changes does not delay a deadline.
const TURN: usize = 256;
/// How often a dump that the kernel calls inconsistent is repeated before it is taken as it is: each repetition sees
/// fewer changes, and later notifications correct it.
const REPEATS: u32 = 8;

/// Bit n-1 for group n: `RTNLGRP_LINK` 1, `IPV4_IFADDR` 5, `IPV6_IFADDR` 9, `IPV6_NETCONF` 25.
const GROUPS: u32 = 1 | 1 << 4 | 1 << 8 | 1 << 24;

/// Dumps in their order: links come first, since everything else hangs on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dump {
    Links,
    Addresses,
    Forwarding,
}

impl Dump {
    /// `RTM_GETLINK`, `RTM_GETADDR`, `RTM_GETNETCONF`, and the family to ask for.
    fn request(self) -> (u16, libc::c_int) {
        match self {
            Self::Links => (18, libc::AF_UNSPEC),
            Self::Addresses => (22, libc::AF_UNSPEC),
            Self::Forwarding => (82, libc::AF_INET6),
        }
    }

    fn next(self) -> Option<Self> {
        match self {
            Self::Links => Some(Self::Addresses),
            Self::Addresses => Some(Self::Forwarding),
            Self::Forwarding => None,
        }
    }
}

/// The subscription and the picture that it keeps.
#[derive(Debug)]
pub(crate) struct Monitor {
    fd: WatchedFd,
    view: View,
    /// The dump that runs.
    dump: Option<Dump>,
    /// The kernel said that the running dump was disturbed.
    disturbed: bool,
    /// Notifications were lost while a dump ran: another round must follow.
    overrun: bool,
    repeats: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Subscribes and reads the present state. Must be called inside a runtime.
    ///
    /// # Errors
    /// No netlink, no memory, no descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_with(BUFFER)
    }

    /// `buffer`: octets of notifications that may wait.
    fn open_with(buffer: usize) -> io::Result<Self> {
        let fd = netlink::open(GROUPS)?;
        netlink::enlarge(fd.as_fd(), buffer);
        let mut monitor = Self {
            fd: WatchedFd::readable_only(fd)?,
            view: View::default(),
            dump: None,
            disturbed: false,
            overrun: false,
            repeats: 0,
            sequence: 0,
            buffer: vec![0; DATAGRAM],
        };
        monitor.resync();
        Ok(monitor)
    }

    /// See [`netlink::resize`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn resize(&self, octets: usize, force: bool) -> io::Result<()> {
        netlink::resize(self.fd.as_fd(), octets, force)
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Waits until there is something to read. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.fd.readable().await
    }

    /// Reads what waits, up to a bounded number of datagrams.
    pub(crate) fn turn(&mut self) -> Vec<Change> {
        self.read(TURN);
        self.view.changes()
    }

    /// As [`Monitor::turn`], but links of which only addresses changed are told by the next turn: for times when many
    /// addresses come one by one, each of which would cost a list of all.
    pub(crate) fn glance(&mut self) -> Vec<Change> {
        self.read(TURN);
        self.view.urgent_changes()
    }

    /// As [`Monitor::drain`], telling as much as [`Monitor::glance`].
    pub(crate) fn skim(&mut self) -> Vec<Change> {
        self.read(TURN * 64);
        self.view.urgent_changes()
    }

    /// Reads everything that waits: after that the picture holds all that happened before the call.
    pub(crate) fn drain(&mut self) -> Vec<Change> {
        // Bounded all the same: nobody produces notifications faster than we read them, for ever.
        self.read(TURN * 64);
        self.view.changes()
    }

    fn read(&mut self, datagrams: usize) {
        for _ in 0..datagrams {
            match netlink::receive(self.fd.as_fd(), &mut self.buffer) {
                Ok(got) => self.datagram(got),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => {
                    tracing::debug!("netlink notifications were lost, reading everything again");
                    self.resync();
                }
                Err(_) => {
                    // Nothing waits.
                    self.fd.exhausted();
                    break;
                }
            }
        }
    }

    fn datagram(&mut self, got: usize) {
        let Self {
            view,
            buffer,
            dump,
            disturbed,
            sequence,
            ..
        } = self;
        let mut ended = false;
        for (header, payload) in netlink::messages(&buffer[..got]) {
            let dumped = dump.is_some() && header.sequence_number == *sequence;
            if dumped && header.flags & NLM_F_DUMP_INTR != 0 {
                *disturbed = true;
            }
            match header.message_type {
                NLMSG_DONE | NLMSG_ERROR if dumped => ended = true,
                _ => view.apply(&header, payload),
            }
        }
        if ended {
            self.dumped();
        }
    }

    /// Goes on to the next dump, or ends the round.
    fn dumped(&mut self) {
        let Some(done) = self.dump.take() else {
            return;
        };
        if self.disturbed && self.repeats < REPEATS {
            self.repeats += 1;
            self.ask(done);
        } else if let Some(next) = done.next() {
            self.ask(next);
        } else if self.overrun {
            self.resync();
        } else {
            self.view.sweep();
        }
    }

    /// Asks for everything again; the kernel runs one dump per socket, so one that runs is let go on to its end.
    fn resync(&mut self) {
        self.overrun = self.dump.is_some();
        if !self.overrun {
            self.view.begin();
            self.repeats = 0;
            self.ask(Dump::Links);
        }
    }

    fn ask(&mut self, dump: Dump) {
        let (kind, family) = dump.request();
        self.sequence = self.sequence.wrapping_add(1);
        // Header: length, type, flags, sequence, port. Then struct rtgenmsg, padded.
        let mut octets = 20_u32.to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        octets.extend(self.sequence.to_ne_bytes());
        octets.extend([0; 4]);
        octets.extend([u8::try_from(family).unwrap_or_default(), 0, 0, 0]);
        self.disturbed = false;
        match netlink::send_all(self.fd.as_fd(), &octets) {
            Ok(()) => self.dump = Some(dump),
            // What is known stays; what changes from now on is still notified.
            Err(errno) => tracing::error!(err = %errno, "cannot read the state of the interfaces"),
        }
    }
}

#[cfg(test)]
mod tests;
