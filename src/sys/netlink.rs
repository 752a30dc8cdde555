//! Route netlink: one socket for requests, and the walk over what such sockets deliver.
//!
//! The kernel carries a request out inside send(2) and queues its answer before the call returns. Requests therefore
//! go out many per call and their answers are read at once: nothing here waits, and no task stands between a request
//! and its answer. Never sends without asking for an acknowledgement. Source: netlink(7), rtnetlink(7),
//! linux/netlink.h.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname,
    recvmsg, send, setsockopt, socket, sockopt,
};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_REQUEST, NLMSG_ERROR, NetlinkBuffer,
    NetlinkHeader, NetlinkSerializable, NlasIterator,
};
use rtnetlink::packet_route::RouteNetlinkMessage;

use super::fd::set_option;

/// Requests per call. Their answers must fit the receive buffer (212,992 octets where nobody changed it; an answer
/// takes about 1,300 there), and a call of this many takes well below a millisecond.
pub(crate) const BATCH: usize = 64;

/// Octets to receive at once: what the kernel uses for dumps.
pub(crate) const DATAGRAM: usize = 32 * 1024;

/// `NLMSGERR_ATTR_MSG`: the kernel's own words.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Why the kernel did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    /// What the kernel says beyond the number, where it does.
    pub(crate) text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.errno.desc())?;
        match &self.text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// What to ask for; the flags `NLM_F_REQUEST` and `NLM_F_ACK` are always added.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `RTM_*`.
    kind: u16,
    /// `NLM_F_CREATE`, `NLM_F_EXCL`, `NLM_F_REPLACE`, `NLM_F_APPEND`.
    flags: u16,
    /// All behind the netlink header.
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(message: &RouteNetlinkMessage, flags: u16) -> Self {
        let mut body = vec![0; message.buffer_len()];
        message.serialize(&mut body);
        Self::raw(message.message_type(), flags, body)
    }

    /// In one line of text: type, flags and octets.
    pub(crate) fn to_line(&self) -> String {
        let mut line = format!("{} {} ", self.kind, self.flags);
        for octet in &self.body {
            // Writing to a string does not fail.
            let _ = fmt::Write::write_fmt(&mut line, format_args!("{octet:02x}"));
        }
        line
    }

    /// `None`: no such line.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (kind, flags) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let pairs = words.next()?.as_bytes().chunks(2);
        let body = pairs.map(octet).collect::<Option<_>>()?;
        Some(Self::raw(kind, flags, body))
    }

    /// `RTM_*`, and all behind the netlink header.
    pub(crate) fn parts(&self) -> (u16, &[u8]) {
        (self.kind, &self.body)
    }

    /// For messages that are put together octet by octet.
    pub(crate) fn raw(kind: u16, flags: u16, body: Vec<u8>) -> Self {
        Self { kind, flags, body }
    }
}

/// A socket for requests.
#[derive(Debug)]
pub(crate) struct RouteSocket {
    fd: OwnedFd,
    /// Names this socket in notifications about what it changed.
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl RouteSocket {
    /// # Errors
    /// No netlink, no memory, no descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        let fd = open(0)?;
        let on: libc::c_int = 1;
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            // Kernels before 4.12 lack the first: then there are numbers without words.
            let _ = set_option(fd.as_fd(), libc::SOL_NETLINK, option, &on);
        }
        let port = port_of(fd.as_fd())?;
        Ok(Self {
            fd,
            port,
            sequence: 0,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// Another descriptor of the socket, to be kept by whoever gives the socket away.
    ///
    /// # Errors
    /// Out of descriptors.
    pub(crate) fn handle(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Sender of our requests, as it stands in the notifications they cause.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Carries out all requests in order, each whether or not those before it were refused. One answer per request.
    pub(crate) fn execute(&mut self, requests: Vec<Request>) -> Vec<Result<(), Refusal>> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut rest = requests.into_iter().peekable();
        while rest.peek().is_some() {
            answers.extend(self.batch(rest.by_ref().take(BATCH)));
        }
        answers
    }

    fn batch(&mut self, requests: impl Iterator<Item = Request>) -> Vec<Result<(), Refusal>> {
        let first = self.sequence.wrapping_add(1);
        let mut octets = Vec::with_capacity(BATCH * 96);
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            append(&mut octets, self.sequence, &request);
        }
        let count = self.sequence.wrapping_sub(first).wrapping_add(1);
        // Overwritten by the answers; what stays is what happens when an answer is lost.
        let lost = Err(refusal(Errno::ENOBUFS));
        let mut answers = vec![lost; usize::try_from(count).unwrap_or(0)];
        if let Err(errno) = send_all(self.fd.as_fd(), &octets) {
            answers.fill(Err(refusal(errno)));
            return answers;
        }
        let mut missing = answers.len();
        while missing > 0 {
            let got = match receive(self.fd.as_fd(), &mut self.buffer) {
                Ok(got) => got,
                Err(Errno::EINTR | Errno::ENOBUFS) => continue,
                // All that will come is here, see the head of this module.
                Err(_) => break,
            };
            for (header, payload) in messages(&self.buffer[..got]) {
                let place = usize::try_from(header.sequence_number.wrapping_sub(first));
                if header.message_type != NLMSG_ERROR {
                    continue;
                }
                if let Some(answer) = place.ok().and_then(|p| answers.get_mut(p)) {
                    *answer = verdict(header.flags, payload);
                    missing = missing.saturating_sub(1);
                }
            }
        }
        answers
    }
}

fn refusal(errno: Errno) -> Refusal {
    Refusal { errno, text: None }
}

/// Appends one message to a datagram, aligned as the next one needs it.
pub(crate) fn append(octets: &mut Vec<u8>, sequence: u32, request: &Request) {
    let Request { kind, flags, body } = request;
    let len = u32::try_from(body.len() + 16).unwrap_or(u32::MAX);
    octets.extend(len.to_ne_bytes());
    octets.extend(kind.to_ne_bytes());
    octets.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    octets.extend(sequence.to_ne_bytes());
    // The sender: the kernel puts in who it is.
    octets.extend([0; 4]);
    octets.extend(body);
    octets.resize(octets.len().next_multiple_of(4), 0);
}

/// Reads an `NLMSG_ERROR`: a number, the request's header (and the request, unless capped), attributes.
fn verdict(flags: u16, payload: &[u8]) -> Result<(), Refusal> {
    let Some((number, echo)) = payload.split_first_chunk::<4>() else {
        return Err(refusal(Errno::EBADMSG));
    };
    let number = i32::from_ne_bytes(*number);
    if number == 0 {
        return Ok(());
    }
    let echoed = match echo.first_chunk::<4>() {
        Some(len) if flags & NLM_F_CAPPED == 0 => {
            usize::try_from(u32::from_ne_bytes(*len)).unwrap_or(usize::MAX)
        }
        Some(_) | None => 16,
    };
    let attributes = match echo.get(echoed..) {
        Some(rest) if flags & NLM_F_ACK_TLVS != 0 => rest,
        Some(_) | None => &[],
    };
    let text = NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|nla| nla.kind() == NLMSGERR_ATTR_MSG)
        .map(|nla| {
            let text = String::from_utf8_lossy(nla.value());
            text.trim_end_matches('\0').to_owned()
        });
    Err(Refusal {
        errno: Errno::from_raw(number.saturating_neg()),
        text,
    })
}

/// All messages of one datagram; stops at the first that makes no sense.
pub(crate) fn messages(mut octets: &[u8]) -> impl Iterator<Item = (NetlinkHeader, &[u8])> {
    std::iter::from_fn(move || {
        if octets.is_empty() {
            return None;
        }
        let message = NetlinkBuffer::new_checked(octets).ok()?;
        let len = usize::try_from(message.length()).ok()?;
        let mut header = NetlinkHeader::default();
        header.length = message.length();
        header.message_type = message.message_type();
        header.flags = message.flags();
        header.sequence_number = message.sequence_number();
        header.port_number = message.port_number();
        let payload = octets.get(16..len)?;
        octets = octets.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((header, payload))
    })
}

/// A non-blocking route netlink socket that belongs to `groups` (bit n-1 for group n).
pub(super) fn open(groups: u32) -> io::Result<OwnedFd> {
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkRoute,
    )?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// The port that the kernel gave to a bound socket.
pub(super) fn port_of(fd: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(getsockname::<NetlinkAddr>(fd.as_raw_fd())?.pid())
}

/// A receive buffer of `octets`: within `net.core.rmem_max`, or beyond it with `force`.
///
/// # Errors
/// Not privileged to go beyond.
pub(crate) fn resize(fd: BorrowedFd<'_>, octets: usize, force: bool) -> io::Result<()> {
    let done = match force {
        true => setsockopt(&fd, sockopt::RcvBufForce, &octets),
        false => setsockopt(&fd, sockopt::RcvBuf, &octets),
    };
    Ok(done?)
}

/// Asks for `octets` of receive buffer, beyond `net.core.rmem_max` where we may.
pub(super) fn enlarge(fd: BorrowedFd<'_>, octets: usize) {
    if setsockopt(&fd, sockopt::RcvBufForce, &octets).is_err() {
        // Not privileged: as much as everybody gets. More overruns then, each of which only costs a dump.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &octets);
    }
}

/// One datagram from the kernel, without waiting. What others send is dropped, and is 0 octets long here.
pub(super) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<NetlinkAddr>(fd.as_raw_fd(), &mut parts, None, MsgFlags::MSG_DONTWAIT)?;
    let kernel = message.address.is_some_and(|from| from.pid() == 0);
    Ok(if kernel { message.bytes } else { 0 })
}

/// Who a notification names, in words. The kernel calls the first socket of a process by the number of the process.
pub(crate) fn who(port: u32) -> String {
    let comm = std::fs::read_to_string(format!("/proc/{port}/comm"));
    match (comm, i32::try_from(port)) {
        (Ok(comm), Ok(_)) => format!("{} (pid {port})", comm.trim_end()),
        (Err(_), Ok(_)) => format!("pid {port}, which has ended"),
        (_, Err(_)) => "a process that the kernel does not name".to_owned(),
    }
}

/// Sends one datagram to the kernel.
pub(super) fn send_all(fd: BorrowedFd<'_>, octets: &[u8]) -> Result<(), Errno> {
    loop {
        match send(fd.as_raw_fd(), octets, MsgFlags::empty()) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_octets_are_walked_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let total: usize = messages(&octets).map(|(_, payload)| payload.len() + 16).sum();
            prop_assert!(total <= octets.len());
            for (header, payload) in messages(&octets) {
                let _ = verdict(header.flags, payload);
            }
        }
    }

    #[test]
    fn a_request_survives_being_written_down() {
        let request = Request::raw(21, 0x400, vec![0, 1, 0xfe, 0xff]);
        let again = Request::from_line(&request.to_line()).expect("a request");
        assert_eq!(again.parts(), request.parts());
        for bad in ["", "21", "21 0", "21 0 0g", "x 0 00"] {
            assert!(Request::from_line(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let mut answer = (-17_i32).to_ne_bytes().to_vec();
        answer.extend([0; 16]);
        answer.extend([12, 0, 1, 0]);
        answer.extend(b"no way\0\0");
        let refusal = verdict(NLM_F_CAPPED | NLM_F_ACK_TLVS, &answer).expect_err("a refusal");
        assert_eq!(refusal.errno, Errno::EEXIST);
        assert_eq!(refusal.to_string(), "File exists (no way)");
    }
}
