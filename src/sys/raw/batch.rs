//! Many packets per system call, into buffers that are used again and again. Source: recvmmsg(2), ipv6(7), cmsg(3),
//! socket(7).

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use crate::sys::clock;

/// Packets per call.
pub(super) const PACKETS: usize = 16;
/// Longest packet: 255 IPv6 addresses, and room for headers and authentication.
const OCTETS: usize = 4608;
/// Room for three control messages: packet info (20 octets), hop limit (4) and time stamp (16), each with a header of
/// 16 and filled up to a multiple of 8.
const CONTROL: usize = 96;
/// A packet that seems to have waited longer than this is taken as if it came now: more likely somebody has set the
/// clock.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// As control messages must lie in memory.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// What came with an IPv6 payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeaderV6 {
    pub(super) src: Ipv6Addr,
    pub(super) dst: Ipv6Addr,
    pub(super) hop_limit: u8,
}

/// The buffers.
#[derive(Debug)]
pub(super) struct Batch {
    octets: Vec<u8>,
    names: [libc::sockaddr_in6; PACKETS],
    controls: [Control; PACKETS],
    heads: [libc::mmsghdr; PACKETS],
    got: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        // SAFETY: all three are plain C structures for which all-zero octets are a valid value.
        let (name, head) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            octets: vec![0; PACKETS * OCTETS],
            names: [name; PACKETS],
            controls: [Control([0; CONTROL]); PACKETS],
            heads: [head; PACKETS],
            got: 0,
        }
    }

    /// Reads up to `limit` packets that wait, and says how many there were: fewer than asked for, no more wait.
    ///
    /// # Errors
    /// `WouldBlock`: none.
    pub(super) fn fill(&mut self, fd: BorrowedFd<'_>, limit: usize) -> io::Result<usize> {
        self.got = 0;
        let limit = limit.min(PACKETS);
        let mut parts: [libc::iovec; PACKETS] = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: OCTETS,
        }; PACKETS];
        let slots = self.octets.chunks_exact_mut(OCTETS);
        let rest = parts.iter_mut().zip(&mut self.names);
        let rest = rest.zip(&mut self.controls).zip(&mut self.heads);
        for (slot, (((part, name), control), head)) in slots.zip(rest) {
            part.iov_base = slot.as_mut_ptr().cast();
            head.msg_len = 0;
            head.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            head.msg_hdr.msg_iov = part;
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            head.msg_hdr.msg_controllen = CONTROL as _;
            head.msg_hdr.msg_flags = 0;
        }
        // SAFETY: each of the first `limit` heads points to a name, a part and a control buffer of the sizes given,
        // all alive and not used otherwise during the call.
        let got = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.heads.as_mut_ptr(),
                limit as _,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        // Negative: an error.
        self.got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        Ok(self.got)
    }

    /// The packets of the last filling, each with the time that it has waited for us.
    pub(super) fn packets(&self) -> impl Iterator<Item = (&[u8], Option<HeaderV6>, Duration)> {
        let now = clock::wall();
        (0..self.got).map(move |n| {
            let len = usize::try_from(self.heads[n].msg_len).unwrap_or(0);
            let from = n * OCTETS;
            let octets = &self.octets[from..from + len.min(OCTETS)];
            (octets, self.header_v6(n), self.waited(n, now))
        })
    }

    /// `None` for IPv4, or when the kernel did not say all of it.
    fn header_v6(&self, n: usize) -> Option<HeaderV6> {
        let name = &self.names[n];
        if i32::from(name.sin6_family) != libc::AF_INET6 {
            return None;
        }
        let (mut dst, mut hop_limit) = (None, None);
        for (kind, value) in controls(self.written(n), libc::IPPROTO_IPV6) {
            match kind {
                libc::IPV6_PKTINFO => dst = value.first_chunk::<16>().copied(),
                libc::IPV6_HOPLIMIT => {
                    let limit = value.first_chunk().map(|l| i32::from_ne_bytes(*l));
                    hop_limit = limit.and_then(|l| u8::try_from(l).ok());
                }
                _ => {}
            }
        }
        Some(HeaderV6 {
            src: name.sin6_addr.s6_addr.into(),
            dst: dst?.into(),
            hop_limit: hop_limit?,
        })
    }

    /// From the kernel's time stamp to `now`, both by the wall clock. Zero when it did not tell.
    fn waited(&self, n: usize, now: Duration) -> Duration {
        let stamp = controls(self.written(n), libc::SOL_SOCKET)
            .find(|(kind, _)| *kind == libc::SCM_TIMESTAMPNS)
            .and_then(|(_, value)| {
                let secs = i64::from_ne_bytes(*value.first_chunk()?);
                let nanos = i64::from_ne_bytes(*value.get(8..)?.first_chunk()?);
                Some(Duration::new(secs.try_into().ok()?, nanos.try_into().ok()?))
            });
        stamp
            .and_then(|stamp| now.checked_sub(stamp))
            .filter(|waited| *waited <= LONGEST_WAIT)
            .unwrap_or_default()
    }

    /// The part of a control buffer that the kernel wrote.
    fn written(&self, n: usize) -> &[u8] {
        let len = self.heads[n].msg_hdr.msg_controllen;
        &self.controls[n].0[..len.min(CONTROL)]
    }
}

/// Type and value of each control message of one level: `struct cmsghdr` is length, level, type; messages are aligned
/// like the length.
fn controls(mut octets: &[u8], of: libc::c_int) -> impl Iterator<Item = (libc::c_int, &[u8])> {
    const WORD: usize = size_of::<usize>();
    const HEAD: usize = (WORD + 8).next_multiple_of(WORD);
    let int = |at: &[u8]| at.first_chunk().map(|i| libc::c_int::from_ne_bytes(*i));
    std::iter::from_fn(move || {
        loop {
            let len = usize::from_ne_bytes(*octets.first_chunk::<WORD>()?);
            let level = int(octets.get(WORD..)?)?;
            let kind = int(octets.get(WORD + 4..)?)?;
            let value = octets.get(HEAD..len)?;
            octets = octets.get(len.next_multiple_of(WORD)..).unwrap_or_default();
            if level == of {
                return Some((kind, value));
            }
        }
    })
}
