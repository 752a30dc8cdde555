//! Several IPv4 packets in one system call. Source: sendmmsg(2), ip(7).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Packets per call.
const PACKETS: usize = 32;

/// Sends as many as one call takes, in order; headers included. The number that left, ≥ 1.
///
/// # Errors
/// The first packet did not leave.
pub(super) fn send(
    fd: BorrowedFd<'_>,
    flags: libc::c_int,
    packets: &[(Ipv4Addr, &[u8])],
) -> io::Result<usize> {
    // SAFETY: all three are plain C structures for which all-zero octets are a valid value.
    let (mut names, mut parts, mut heads): (
        [libc::sockaddr_in; PACKETS],
        [libc::iovec; PACKETS],
        [libc::mmsghdr; PACKETS],
    ) = unsafe { std::mem::zeroed() };
    let count = packets.len().min(PACKETS);
    for (n, (dst, octets)) in packets.iter().take(count).enumerate() {
        names[n].sin_family = libc::AF_INET.unsigned_abs().try_into().unwrap_or(0);
        names[n].sin_addr.s_addr = u32::from_ne_bytes(dst.octets());
        // The kernel only reads what is sent.
        parts[n].iov_base = octets.as_ptr().cast_mut().cast();
        parts[n].iov_len = octets.len();
        let head = &mut heads[n].msg_hdr;
        head.msg_name = (&raw mut names[n]).cast();
        head.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        head.msg_iov = &raw mut parts[n];
        head.msg_iovlen = 1;
    }
    // SAFETY: each of the first `count` heads points to a name and a part, and each part to octets of its length, all of
    // them alive during the call.
    let sent =
        unsafe { libc::sendmmsg(fd.as_raw_fd(), heads.as_mut_ptr(), count as _, flags as _) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
