//! Raw IP sockets for one protocol number, and Ethernet frames out.
//!
//! [`Ears`] hear multicast groups on interfaces, or one address of ours; a [`Speaker`] sends on one interface, or wherever
//! routes lead. Both are shared by everybody who speaks the protocol there. Nothing here waits. Sources: raw(7), ip(7), ipv6(7), packet(7),
//! socket(7).

mod batch;
mod ears;
mod volley;

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg, sendto};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

pub(crate) use ears::{Ear, Ears, Heard};

use super::fd::set_option;

/// An interface, by index, and by name where the kernel wants that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) index: u32,
    pub(crate) name: String,
}

/// What protocol to speak and where its checksum is, which the kernel fills in and verifies over IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Proto {
    pub(crate) number: u8,
    /// Octets from the start of the payload.
    pub(crate) checksum_at: u8,
}

/// Type of service and traffic class of everything sent: DSCP CS6, network control.
const CLASS: u32 = 0xC0;
/// `BPF_RET | BPF_K`.
const BPF_RET: u16 = 0x06;

/// Opens a non-blocking raw socket on `device`.
fn open(proto: Proto, v6: bool) -> io::Result<Socket> {
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let kind = Type::RAW.nonblocking().cloexec();
    let number = Protocol::from(i32::from(proto.number));
    let socket = Socket::new(domain, kind, Some(number))?;
    if v6 {
        let at = libc::c_int::from(proto.checksum_at);
        set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_CHECKSUM, &at)?;
    }
    Ok(socket)
}

/// A socket that hears `local`, a multicast group or an address that may still be missing, on `device`. Reading is up
/// to [`Ears`].
fn listen(proto: Proto, device: Option<&Device>, local: IpAddr) -> io::Result<OwnedFd> {
    let socket = open(proto, local.is_ipv6())?;
    let on: libc::c_int = 1;
    let index = device.map_or(0, |device| device.index);
    match local {
        IpAddr::V4(local) => {
            socket.set_multicast_all_v4(false)?;
            if local.is_multicast() {
                socket.join_multicast_v4_n(&local, &InterfaceIndexOrAddress::Index(index))?;
            } else {
                socket.set_freebind_v4(true)?;
            }
            socket.bind(&SocketAddrV4::new(local, 0).into())?;
        }
        IpAddr::V6(local) => {
            socket.set_multicast_all_v6(false)?;
            if local.is_multicast() {
                socket.join_multicast_v6(&local, index)?;
            } else {
                socket.set_freebind_v6(true)?;
            }
            for option in [libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVPKTINFO] {
                set_option(socket.as_fd(), libc::IPPROTO_IPV6, option, &on)?;
            }
            socket.bind(&SocketAddrV6::new(local, 0, 0, index).into())?;
        }
    }
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &on)?;
    socket.bind_device(device.map(|device| device.name.as_bytes()))?;
    Ok(socket.into())
}

/// Sends on one interface or on any, one family. IPv4: whole packets, header included. IPv6: payloads.
#[derive(Debug)]
pub(crate) struct Speaker {
    socket: Socket,
    /// 0: any.
    index: u32,
}

/// Where a packet goes. IPv4 has all but `dst` in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    /// IPv6: instead of the kernel's choice (255 for multicast, 64 for unicast).
    pub(crate) hop_limit: Option<u8>,
}

impl Speaker {
    /// The descriptor, for people.
    pub(crate) fn fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }

    /// # Errors
    /// Not privileged; no such interface.
    pub(crate) fn open(proto: Proto, device: Option<&Device>, v6: bool) -> io::Result<Self> {
        let index = device.map_or(0, |device| device.index);
        let socket = open(proto, v6)?;
        // Hears nothing: the smallest buffer, and a filter that takes no packet.
        socket.set_recv_buffer_size(0)?;
        socket.attach_filter(&[SockFilter::new(BPF_RET, 0, 0, 0)])?;
        if v6 {
            socket.set_multicast_all_v6(false)?;
            socket.set_multicast_hops_v6(255)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_if_v6(index)?;
            socket.set_tclass_v6(CLASS)?;
            socket.set_freebind_v6(true)?;
        } else {
            socket.set_multicast_all_v4(false)?;
            socket.set_header_included_v4(true)?;
            socket.set_multicast_loop_v4(false)?;
            let how = libc::ip_mreqn {
                imr_multiaddr: libc::in_addr { s_addr: 0 },
                imr_address: libc::in_addr { s_addr: 0 },
                imr_ifindex: index.cast_signed(),
            };
            if device.is_some() {
                set_option(
                    socket.as_fd(),
                    libc::IPPROTO_IP,
                    libc::IP_MULTICAST_IF,
                    &how,
                )?;
            }
            socket.set_tos_v4(CLASS)?;
        }
        socket.bind_device(device.map(|device| device.name.as_bytes()))?;
        Ok(Self { socket, index })
    }

    /// One packet, now or not at all: to a multicast group past all routes, to a neighbour or a far peer along them.
    ///
    /// # Errors
    /// The interface is down, the queue is full, there is no route, the addresses are of different families.
    pub(crate) fn send(&self, route: &Route, octets: &[u8]) -> io::Result<()> {
        let mut flags = MsgFlags::MSG_DONTWAIT;
        if route.dst.is_multicast() {
            flags |= MsgFlags::from_bits_retain(libc::MSG_DONTROUTE);
        }
        match (route.src, route.dst) {
            (IpAddr::V4(_), IpAddr::V4(dst)) => {
                let to = SockaddrIn::from(SocketAddrV4::new(dst, 0));
                sendto(self.socket.as_raw_fd(), octets, &to, flags)?;
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                self.send_v6(src, dst, route.hop_limit, octets, flags)?;
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
        Ok(())
    }

    /// Several packets in as few system calls as possible, in order. `failed`: what did not leave, and why.
    pub(crate) fn send_all(
        &self,
        packets: &[(Route, Vec<u8>)],
        mut failed: impl FnMut(&Route, io::Error),
    ) {
        let multicast = |(route, _): &(Route, Vec<u8>)| route.dst.is_multicast();
        for alike in packets.chunk_by(|a, b| multicast(a) == multicast(b)) {
            let v4 = alike.iter().map(|(route, octets)| match route.dst {
                IpAddr::V4(dst) => Some((dst, &octets[..])),
                IpAddr::V6(_) => None,
            });
            let v4: Option<Vec<_>> = v4.collect();
            let Some(v4) = v4.filter(|packets| packets.len() > 1) else {
                for (route, octets) in alike {
                    self.send(route, octets)
                        .unwrap_or_else(|e| failed(route, e));
                }
                continue;
            };
            let past_routes = if multicast(&alike[0]) {
                libc::MSG_DONTROUTE
            } else {
                0
            };
            let mut done = 0;
            while done < v4.len() {
                let flags = libc::MSG_DONTWAIT | past_routes;
                done += volley::send(self.socket.as_fd(), flags, &v4[done..]).unwrap_or_else(|e| {
                    failed(&alike[done].0, e);
                    1
                });
            }
        }
    }

    fn send_v6(
        &self,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        hop_limit: Option<u8>,
        octets: &[u8],
        flags: MsgFlags,
    ) -> io::Result<()> {
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: src.octets(),
            },
            ipi6_ifindex: self.index,
        };
        let to = SockaddrIn6::from(SocketAddrV6::new(dst, 0, 0, self.index));
        let parts = [io::IoSlice::new(octets)];
        let limit = libc::c_int::from(hop_limit.unwrap_or(255));
        let control = [
            ControlMessage::Ipv6PacketInfo(&info),
            ControlMessage::Ipv6HopLimit(&limit),
        ];
        let control = &control[..if hop_limit.is_some() { 2 } else { 1 }];
        sendmsg(self.socket.as_raw_fd(), &parts, control, flags, Some(&to))?;
        Ok(())
    }
}

/// Sends Ethernet frames, header included, on any interface. Hears nothing: it is open for no protocol.
#[derive(Debug)]
pub(crate) struct FrameSocket(OwnedFd);

impl FrameSocket {
    /// # Errors
    /// Not privileged, out of descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new(Domain::PACKET, kind, None)?;
        Ok(Self(socket.into()))
    }

    /// One frame, now. `WouldBlock`: the queue is full, try again after [`FrameSocket::room`].
    ///
    /// # Errors
    /// The interface is down or gone.
    pub(crate) fn send(&self, index: u32, octets: &[u8]) -> io::Result<()> {
        let ethertype = octets.get(12..14).and_then(|t| t.try_into().ok());
        let to = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET.unsigned_abs().try_into().unwrap_or(0),
            // In network order, as it stands in the frame.
            sll_protocol: ethertype.map_or(0, u16::from_ne_bytes),
            sll_ifindex: index.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: `octets` and `to` outlive the call, and their true sizes are given.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                octets.as_ptr().cast(),
                octets.len(),
                libc::MSG_DONTWAIT,
                (&raw const to).cast(),
                size_of_val(&to) as libc::socklen_t,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Blocks until a frame that was refused may be accepted, or `patience` (up to 65 s) has passed.
    pub(crate) fn room(&self, patience: Duration) {
        let timeout = u16::try_from(patience.as_millis()).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        // An interruption makes the caller try a little early.
        let _ = poll(&mut fds, timeout);
    }
}

#[cfg(test)]
mod tests;
