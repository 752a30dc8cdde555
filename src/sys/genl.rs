//! Generic netlink: requests go out in batches, in order; answers come back in the same order.
//!
//! A socket of our own and not netlink-proto's connection, for three reasons: that one sends a single queue entry per
//! wake-up, it hides who sent an answer, and it needs a task of its own, so that nothing could be withdrawn while a
//! panic unwinds. Only the kernel's answers (port 0) are believed, and only those to a request that is on its way.
//! Never waits for the kernel except where it says so. Source: netlink(7), linux/genetlink.h.

mod attrs;

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname,
    recv, recvmsg, sendto, socket,
};
use rtnetlink::packet_core::NetlinkBuffer;

pub(crate) use attrs::{Attrs, attrs};

use super::fd::WatchedFd;
use super::netns::Place;

/// Requests on their way at once: an answer takes at most 1.3 KiB of the receive buffer, which holds 208 KiB.
const BATCH: usize = 32;
/// The kernel fills at most 32 KiB at a time when it dumps (`NLMSG_GOODSIZE`, raised to what the reader offers).
const BUFFER: usize = 64 << 10;

const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
const NLM_F_REQUEST_ACK: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
const NLM_F_DUMP: u16 = libc::NLM_F_DUMP as u16;
const NLM_F_DUMP_INTR: u16 = 0x10;

const NLMSG_HDRLEN: u32 = 16;
const GENL_HDRLEN: usize = 4;

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// Of the controller and of every family used here.
const VERSION: u8 = 1;

/// One request; always acknowledged by the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) cmd: u8,
    /// All objects of a kind instead of one.
    pub(crate) dump: bool,
    pub(crate) attrs: Attrs,
}

impl Request {
    /// Appends the message to `out`. The kernel knows our port and ignores the field.
    fn emit(&self, family: u16, seq: u32, out: &mut Vec<u8>) {
        let body = u32::try_from(GENL_HDRLEN + self.attrs.0.len());
        let len = NLMSG_HDRLEN + body.expect("attributes are built here, a few hundred octets");
        let flags = NLM_F_REQUEST_ACK | if self.dump { NLM_F_DUMP } else { 0 };
        out.extend(len.to_ne_bytes());
        out.extend(family.to_ne_bytes());
        out.extend(flags.to_ne_bytes());
        out.extend(seq.to_ne_bytes());
        out.extend(0_u32.to_ne_bytes());
        out.extend([self.cmd, VERSION, 0, 0]);
        out.extend(&self.attrs.0);
    }
}

/// One message of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) cmd: u8,
    /// Read them with [`attrs`].
    pub(crate) attrs: Vec<u8>,
}

/// Why there is no answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GenlError {
    /// The kernel said no.
    Refused(Errno),
    /// The receive buffer overflowed: whether the request was carried out is not known.
    Lost,
    /// What was being dumped changed meanwhile.
    Interrupted,
    /// The answer cannot be read; names the part.
    Malformed(&'static str),
    /// The network namespace cannot be used.
    Namespace,
    /// The socket failed: whether the request was carried out is not known.
    Socket(Errno),
}

impl fmt::Display for GenlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => write!(f, "{}({})", errno.desc(), *errno as i32),
            Self::Lost => f.write_str("the answer was lost, the receive buffer is full"),
            Self::Interrupted => f.write_str("the table changed while it was read"),
            Self::Malformed(what) => write!(f, "unreadable {what} in the answer"),
            Self::Namespace => f.write_str("the network namespace cannot be used"),
            Self::Socket(errno) => write!(f, "netlink socket: {}", errno.desc()),
        }
    }
}

impl std::error::Error for GenlError {}

/// What became of one request: the messages before its acknowledgement, or why not.
pub(crate) type Answer = Result<Vec<Reply>, GenlError>;

/// Puts the pieces of answers together: no socket in here.
#[derive(Debug)]
struct Assembly<T> {
    in_flight: VecDeque<(u32, T, Vec<Reply>)>,
    done: Vec<(T, Answer)>,
}

impl<T> Assembly<T> {
    /// Takes in one datagram of the kernel. What does not belong to a request of ours is dropped.
    fn take_in(&mut self, mut datagram: &[u8], port: u32) {
        while !datagram.is_empty() {
            let Ok(message) = NetlinkBuffer::new_checked(datagram) else {
                return self.fail_all(GenlError::Malformed("message"));
            };
            let len = usize::try_from(message.length()).unwrap_or(usize::MAX);
            datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
            if message.port_number() != port {
                continue;
            }
            let (kind, flags, seq) = (
                message.message_type(),
                message.flags(),
                message.sequence_number(),
            );
            self.message(kind, flags, seq, message.payload());
        }
    }

    fn message(&mut self, kind: u16, flags: u16, seq: u32, payload: &[u8]) {
        let Some(at) = self.in_flight.iter().position(|(s, ..)| *s == seq) else {
            return;
        };
        if kind == NLMSG_ERROR || kind == NLMSG_DONE {
            let Some((_, tag, replies)) = self.in_flight.remove(at) else {
                return;
            };
            let outcome = match payload.first_chunk::<4>().copied().map(i32::from_ne_bytes) {
                Some(0) if flags & NLM_F_DUMP_INTR != 0 => Err(GenlError::Interrupted),
                Some(0) => Ok(replies),
                Some(negative) => Err(GenlError::Refused(Errno::from_raw(
                    negative.saturating_neg(),
                ))),
                // Kernels may end a dump without a status.
                None if kind == NLMSG_DONE => Ok(replies),
                None => Err(GenlError::Malformed("acknowledgement")),
            };
            self.done.push((tag, outcome));
        } else if let (Some((.., replies)), Some((&[cmd, ..], attrs))) = (
            self.in_flight.get_mut(at),
            payload.split_first_chunk::<GENL_HDRLEN>(),
        ) {
            replies.push(Reply {
                cmd,
                attrs: attrs.to_vec(),
            });
        }
    }

    fn fail_all(&mut self, error: GenlError) {
        let failed = self
            .in_flight
            .drain(..)
            .map(|(_, tag, _)| (tag, Err(error)));
        self.done.extend(failed);
    }
}

/// A connection to one family. `T` says, to whoever asked, what a request was for.
#[derive(Debug)]
pub(crate) struct Genl<T> {
    socket: WatchedFd,
    /// Our address, as the kernel quotes it in answers.
    port: u32,
    family: u16,
    next_seq: u32,
    queue: VecDeque<(T, Request)>,
    assembly: Assembly<T>,
    buffer: Box<[u8]>,
}

impl<T> Genl<T> {
    /// Opens a socket in the network namespace `place` and looks the family up.
    ///
    /// # Errors
    /// [`GenlError::Refused`] with `ENOENT` when the kernel has no such family; [`GenlError::Namespace`].
    pub(crate) async fn open(name: &str, place: &Place) -> Result<Self, GenlError> {
        let made = place.run(Self::socket).map_err(|e| {
            tracing::error!(err = %e, "cannot open a socket in another network namespace");
            GenlError::Namespace
        })?;
        let (fd, port) = made.map_err(GenlError::Socket)?;
        let mut controller: Genl<()> = Genl::watching(fd, port).map_err(GenlError::Socket)?;
        let attrs = Attrs::default().text(CTRL_ATTR_FAMILY_NAME, name);
        controller.submit(
            (),
            Request {
                cmd: CTRL_CMD_GETFAMILY,
                dump: false,
                attrs,
            },
        );
        let (_, answer) = controller
            .next_done()
            .await
            .pop()
            .ok_or(GenlError::Malformed("family"))?;
        let family = family_id(&answer?)?;
        Ok(Self {
            socket: controller.socket,
            port: controller.port,
            family,
            next_seq: controller.next_seq,
            queue: VecDeque::new(),
            assembly: Assembly {
                in_flight: VecDeque::new(),
                done: Vec::new(),
            },
            buffer: controller.buffer,
        })
    }

    fn socket() -> nix::Result<(OwnedFd, u32)> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkGeneric,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        let port = getsockname::<NetlinkAddr>(fd.as_raw_fd())?.pid();
        Ok((fd, port))
    }

    fn watching(fd: OwnedFd, port: u32) -> nix::Result<Self> {
        let socket = WatchedFd::readable_only(fd)
            .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
        Ok(Self {
            socket,
            port,
            family: GENL_ID_CTRL,
            next_seq: 1,
            queue: VecDeque::new(),
            assembly: Assembly {
                in_flight: VecDeque::new(),
                done: Vec::new(),
            },
            buffer: vec![0; BUFFER].into(),
        })
    }

    /// Queues a request; it leaves in [`Genl::next_done`] or [`Genl::finish_now`].
    pub(crate) fn submit(&mut self, tag: T, request: Request) {
        self.queue.push_back((tag, request));
    }

    /// Sends some of what is queued and returns what was answered, oldest first; never nothing. Waits for ever when
    /// nothing is queued. Cancel safe. The kernel mostly answers at once: whoever calls this in a loop has to let the
    /// other tasks of the thread have their turn.
    pub(crate) async fn next_done(&mut self) -> Vec<(T, Answer)> {
        loop {
            if self.assembly.in_flight.is_empty() {
                if !self.assembly.done.is_empty() {
                    return std::mem::take(&mut self.assembly.done);
                }
                if self.queue.is_empty() {
                    return pending().await;
                }
                self.send_batch();
            }
            // The kernel answers while it is being asked: usually everything is here already.
            if let Err(Errno::EAGAIN) = self.receive() {
                if self.socket.readable().await.is_err() {
                    self.assembly.fail_all(GenlError::Socket(Errno::EIO));
                } else {
                    // Tells the reactor when it was mistaken; anything else `receive` will meet in the next round.
                    _ = self.socket.read(peek);
                }
            }
        }
    }

    /// Sends everything that is queued and drops the answers, without waiting: for a destructor.
    pub(crate) fn finish_now(&mut self) {
        while !self.queue.is_empty() || !self.assembly.in_flight.is_empty() {
            if self.assembly.in_flight.is_empty() {
                self.send_batch();
            }
            if self.receive().is_err() {
                self.assembly.fail_all(GenlError::Lost);
            }
        }
        self.assembly.done.clear();
    }

    /// A dump goes alone: the kernel carries it out bit by bit, and what came after it would overtake it.
    fn send_batch(&mut self) {
        let mut datagram = Vec::with_capacity(BATCH * 192);
        let mut first = true;
        while self.assembly.in_flight.len() < BATCH
            && self.queue.front().is_some_and(|(_, r)| first || !r.dump)
            && let Some((tag, request)) = self.queue.pop_front()
        {
            let seq = self.next_seq;
            self.next_seq = seq.wrapping_add(1).max(1);
            request.emit(self.family, seq, &mut datagram);
            self.assembly.in_flight.push_back((seq, tag, Vec::new()));
            if request.dump {
                break;
            }
            first = false;
        }
        if self.queue.is_empty() {
            // What a start queued is not needed again for long.
            self.queue.shrink_to(BATCH);
        }
        let kernel = NetlinkAddr::new(0, 0);
        let fd = self.socket.as_fd().as_raw_fd();
        if let Err(errno) = sendto(fd, &datagram, &kernel, MsgFlags::MSG_DONTWAIT) {
            self.assembly.fail_all(GenlError::Socket(errno));
        }
    }

    /// Takes in one datagram. `EAGAIN`: there is none. Other failures end the requests that are on their way.
    fn receive(&mut self) -> nix::Result<()> {
        let fd = self.socket.as_fd().as_raw_fd();
        let (len, sender, flags) = {
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            match recvmsg::<NetlinkAddr>(fd, &mut parts, None, MsgFlags::MSG_DONTWAIT) {
                Ok(got) => (got.bytes, got.address, got.flags),
                Err(Errno::EAGAIN) => return Err(Errno::EAGAIN),
                Err(Errno::EINTR) => return Ok(()),
                Err(Errno::ENOBUFS) => {
                    // Until nothing is left to receive, the kernel drops all further answers, and says no more of it.
                    while matches!(
                        recv(fd, &mut self.buffer, MsgFlags::MSG_DONTWAIT),
                        Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR)
                    ) {}
                    self.assembly.fail_all(GenlError::Lost);
                    return Ok(());
                }
                Err(errno) => {
                    self.assembly.fail_all(GenlError::Socket(errno));
                    return Ok(());
                }
            }
        };
        if sender.is_none_or(|s| s.pid() != 0) {
            return Ok(()); // Any process may write to our port; only the kernel is believed.
        }
        if flags.contains(MsgFlags::MSG_TRUNC) {
            self.assembly.fail_all(GenlError::Malformed("length"));
            return Ok(());
        }
        let datagram = self.buffer.get(..len).unwrap_or_default();
        self.assembly.take_in(datagram, self.port);
        Ok(())
    }
}

/// Looks whether there is anything to receive, and leaves it there.
fn peek(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    match recv(fd.as_raw_fd(), &mut [0; 1], flags) {
        Err(Errno::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn family_id(replies: &[Reply]) -> Result<u16, GenlError> {
    for found in replies.iter().flat_map(|r| attrs(&r.attrs)) {
        if let (CTRL_ATTR_FAMILY_ID, &[a, b]) = found? {
            return Ok(u16::from_ne_bytes([a, b]));
        }
    }
    Err(GenlError::Malformed("family"))
}

#[cfg(test)]
pub(crate) mod tests;
