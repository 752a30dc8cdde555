//! All listening sockets as one source of packets.
//!
//! An epoll instance holds the sockets and is itself what the runtime watches: the cost of a wake-up does not grow
//! with the number of sockets, and reading is bounded and fair. Source: epoll(7).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

use super::super::fd::{WatchedFd, set_option};
use super::batch::Batch;
use super::{Device, Proto, listen};

/// Sockets asked for per call; the rest comes next time.
const SOCKETS: usize = 32;

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Header included.
    V4 {
        ear: Ear,
        packet: Vec<u8>,
        /// From its arrival until it was read.
        waited: Duration,
    },
    /// Without its header.
    V6 {
        ear: Ear,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        hop_limit: u8,
        payload: Vec<u8>,
        /// From its arrival until it was read.
        waited: Duration,
    },
}

impl Heard {
    /// From its arrival until it was read.
    pub(crate) fn waited(&self) -> Duration {
        match self {
            Self::V4 { waited, .. } | Self::V6 { waited, .. } => *waited,
        }
    }
}

/// What one of the sockets hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ear {
    /// Index of an interface; `None`: on any.
    pub(crate) index: Option<u32>,
    pub(crate) proto: Proto,
    /// A multicast group, or an address of ours.
    pub(crate) local: IpAddr,
}

/// The sockets.
#[derive(Debug)]
pub(crate) struct Ears {
    epoll: WatchedFd,
    sockets: HashMap<u64, (Ear, OwnedFd)>,
    tokens: HashMap<Ear, u64>,
    next: u64,
    /// Sockets that had more than they were allowed to deliver.
    ready: VecDeque<u64>,
    batch: Batch,
}

impl Ears {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// Out of descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: no pointers are passed; the result is checked below.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` is a descriptor that was opened just now and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self {
            epoll: WatchedFd::readable_only(fd)?,
            sockets: HashMap::new(),
            tokens: HashMap::new(),
            next: 0,
            ready: VecDeque::new(),
            batch: Batch::new(),
        })
    }

    /// Listens. Does nothing where we listen already. `device`: that of the index.
    ///
    /// # Errors
    /// The interface is gone, the group cannot be joined.
    pub(crate) fn add(&mut self, ear: Ear, device: Option<&Device>) -> io::Result<()> {
        if self.tokens.contains_key(&ear) {
            return Ok(());
        }
        let fd = listen(ear.proto, device, ear.local)?;
        let token = self.next;
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN.cast_unsigned(),
            u64: token,
        };
        // SAFETY: both descriptors are open, the event is valid during the call.
        let rc = unsafe {
            libc::epoll_ctl(
                self.epoll.as_fd().as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &raw mut event,
            )
        };
        if rc < 0 {
            return Err(io::Error::last_os_error());
        }
        self.next += 1;
        self.tokens.insert(ear, token);
        self.sockets.insert(token, (ear, fd));
        Ok(())
    }

    /// Sets the receive buffer of a socket, octets: past `net.core.rmem_max` where we may, or else as far as that lets it.
    pub(crate) fn resize(&self, ear: Ear, octets: u32) {
        let socket = self
            .tokens
            .get(&ear)
            .and_then(|token| self.sockets.get(token));
        if let Some((_, fd)) = socket {
            let set = |option| set_option(fd.as_fd(), libc::SOL_SOCKET, option, &octets);
            // The kernel bounds the size, it does not refuse.
            let _ = set(libc::SO_RCVBUFFORCE).or_else(|_| set(libc::SO_RCVBUF));
        }
    }

    #[cfg(test)]
    pub(super) fn descriptor(&self, ear: Ear) -> Option<BorrowedFd<'_>> {
        let (_, fd) = self.sockets.get(self.tokens.get(&ear)?)?;
        Some(fd.as_fd())
    }

    /// Stops listening. Closing the socket takes it out of the epoll instance: nobody else has it open.
    pub(crate) fn remove(&mut self, ear: Ear) {
        if let Some(token) = self.tokens.remove(&ear) {
            self.sockets.remove(&token);
        }
    }

    /// The descriptor of a socket, for people.
    pub(crate) fn fd(&self, ear: Ear) -> Option<i32> {
        let (_, fd) = self.sockets.get(self.tokens.get(&ear)?)?;
        Some(fd.as_raw_fd())
    }

    /// Waits until a packet may be there. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.ready.is_empty() {
            self.epoll.readable().await
        } else {
            Ok(())
        }
    }

    /// Whether a socket has something now. The kernel is asked, not the reactor.
    pub(crate) fn has_more(&mut self) -> bool {
        if self.ready.is_empty() {
            let ready = &mut self.ready;
            // Nothing (`WouldBlock`) sends the reactor back to waiting.
            let _ = self.epoll.read(|fd| poll(fd, ready));
        }
        !self.ready.is_empty()
    }

    /// Appends the packets of one socket, at most a batch; each call serves the next socket.
    pub(crate) fn turn(&mut self, heard: &mut VecDeque<Heard>) {
        self.has_more();
        let Some(token) = self.ready.pop_front() else {
            return;
        };
        let Some((ear, fd)) = self.sockets.get(&token) else {
            return;
        };
        let ear = *ear;
        // Whatever else a raw socket reports (the network is down) is told by other means.
        if self.batch.fill(fd.as_fd(), usize::MAX).is_err() {
            return;
        }
        for (octets, v6, waited) in self.batch.packets() {
            let octets = octets.to_vec();
            heard.push_back(match v6 {
                None => Heard::V4 {
                    ear,
                    packet: octets,
                    waited,
                },
                Some(header) => Heard::V6 {
                    ear,
                    src: header.src,
                    dst: header.dst,
                    hop_limit: header.hop_limit,
                    payload: octets,
                    waited,
                },
            });
        }
    }
}

/// Which sockets have something.
fn poll(fd: BorrowedFd<'_>, ready: &mut VecDeque<u64>) -> io::Result<()> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; SOCKETS];
    // SAFETY: `events` has room for the number of events given and outlives the call, which does not wait.
    let got = unsafe {
        libc::epoll_wait(
            fd.as_raw_fd(),
            events.as_mut_ptr(),
            SOCKETS as libc::c_int,
            0,
        )
    };
    match usize::try_from(got) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(0) => Err(Errno::EAGAIN.into()),
        Ok(got) => {
            ready.extend(events[..got].iter().map(|event| event.u64));
            Ok(())
        }
    }
}
