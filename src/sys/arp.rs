//! Hears the ARP of all interfaces of this thread's namespace.
//!
//! Never blocks. Frames of our own are not among them. Source: packet(7).

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Protocol, Socket, Type};

use super::fd::WatchedFd;

/// Octets that may wait: a storm of ARP is not worth more.
const BUFFER: usize = 64 << 10;

/// The open socket.
#[derive(Debug)]
pub(crate) struct ArpSocket(WatchedFd);

impl ArpSocket {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// Not privileged, out of descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        let kind = Type::RAW.nonblocking().cloexec();
        let arp = u16::try_from(libc::ETH_P_ARP).unwrap_or(0).to_be();
        let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(i32::from(arp))))?;
        socket.set_recv_buffer_size(BUFFER)?;
        WatchedFd::readable_only(socket.into()).map(Self)
    }

    /// Waits until there may be a frame. Cancel safe.
    ///
    /// # Errors
    /// The reactor is gone.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// One frame from its Ethernet header on, cut to the buffer: its length.
    ///
    /// # Errors
    /// `WouldBlock`: none is there. An interface went down.
    pub(crate) fn receive(&self, octets: &mut [u8]) -> io::Result<usize> {
        self.0
            .read(|fd| recv(fd.as_raw_fd(), octets, MsgFlags::MSG_DONTWAIT).map_err(Into::into))
    }
}
