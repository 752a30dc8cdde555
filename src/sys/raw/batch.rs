//! Many packets per system call, into buffers that are used again and again. Source: recvmmsg(2), ipv6(7), cmsg(3),
//! socket(7).

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use crate::sys::clock;
use crate::time::Mono;

/// Packets per call.
pub(super) const PACKETS: usize = 16;
/// Longest packet: 255 IPv6 addresses, and room for headers and authentication.
const OCTETS: usize = 4608;
/// Room for three control messages: packet info (20 octets), hop limit (4) and time stamp (16), each with a header of
/// 16 and filled up to a multiple of 8.
const CONTROL: usize = 96;
/// A packet that seems to have waited longer than this is taken as if it came now, where somebody may have set the clock
/// meanwhile.
const DOUBTFUL: Duration = Duration::from_millis(20);
/// So is one that has waited longer than this, in any case: this machine was asleep, and who sent it may be gone.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// A wall clock that has moved by less against ours since the last look was not set.
const SLEW: Duration = Duration::from_millis(1);

/// How far the kernel's stamps can be believed: they are of the wall clock, which somebody may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Trust {
    /// The wall clock at the origin of [`Mono`].
    origin: Duration,
    /// Nobody has set it since then.
    since: Mono,
}

impl Trust {
    /// The wall clock shows `wall` at some instant from `before` to `after`. The longest wait that is believed.
    fn look(&mut self, before: Mono, wall: Duration, after: Mono) -> Duration {
        if after.since(before) > SLEW {
            return DOUBTFUL; // Interrupted between two looks.
        }
        let origin = wall.saturating_sub(Duration::from_micros(after.as_micros()));
        if origin.abs_diff(self.origin) > SLEW {
            self.since = after;
        }
        self.origin = origin;
        after.since(self.since).clamp(DOUBTFUL, LONGEST_WAIT)
    }
}

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
    trust: Trust,
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
            trust: Trust::default(),
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
    pub(super) fn packets(&mut self) -> impl Iterator<Item = (&[u8], Option<HeaderV6>, Duration)> {
        let (before, now) = (clock::now(), clock::wall());
        let longest = self.trust.look(before, now, clock::now());
        let this = &*self;
        (0..this.got).map(move |n| {
            let len = usize::try_from(this.heads[n].msg_len).unwrap_or(0);
            let from = n * OCTETS;
            let octets = &this.octets[from..from + len.min(OCTETS)];
            (octets, this.header_v6(n), this.waited(n, now, longest))
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

    /// From the kernel's time stamp to `now`, both by the wall clock. Zero when it did not tell, or it is more than `longest`.
    fn waited(&self, n: usize, now: Duration, longest: Duration) -> Duration {
        let stamp = controls(self.written(n), libc::SOL_SOCKET)
            .find(|(kind, _)| *kind == libc::SCM_TIMESTAMPNS)
            .and_then(|(_, value)| {
                let secs = i64::from_ne_bytes(*value.first_chunk()?);
                let nanos = i64::from_ne_bytes(*value.get(8..)?.first_chunk()?);
                Some(Duration::new(secs.try_into().ok()?, nanos.try_into().ok()?))
            });
        stamp
            .and_then(|stamp| now.checked_sub(stamp))
            .filter(|waited| *waited <= longest)
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_long_wait_is_believed_unless_the_clock_was_set_meanwhile() {
        let mut trust = Trust::default();
        let at = |ms: u32| Mono::ZERO + MS * ms;
        let mut look = |ms, ahead| trust.look(at(ms), DAY + MS * ms + ahead, at(ms));
        assert_eq!(look(5_000, MS), DOUBTFUL, "the first look");
        assert_eq!(look(5_010, MS), DOUBTFUL);
        assert_eq!(look(5_100, MS), MS * 100);
        assert_eq!(look(9_000, MS), LONGEST_WAIT);
        // Somebody makes it go a little faster.
        for step in 1..=10 {
            let gained = MS * step / 2;
            assert_eq!(look(9_000 + step * 1_000, MS + gained), LONGEST_WAIT);
        }
        assert_eq!(look(20_000, MS * 40), DOUBTFUL, "set");
        assert_eq!(look(20_050, MS * 40), MS * 50);
        let interrupted = trust.look(at(21_000), DAY + MS * 21_040, at(21_002));
        assert_eq!(interrupted, DOUBTFUL);
        assert_eq!(
            trust.look(at(22_000), DAY + MS * 22_040, at(22_000)),
            LONGEST_WAIT
        );
    }
}
