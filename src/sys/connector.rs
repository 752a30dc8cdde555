//! The process connector: the kernel tells of every process that is started, renamed or ended.
//!
//! Only those events are let through that tell of whole processes, by a filter in the kernel. The kernel serves the
//! first network namespace alone, so the socket is made there. Sources: linux/connector.h, linux/cn_proc.h, bpf(2).

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::sched::{CloneFlags, setns};

use super::fd::{WatchedFd, set_option};

const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const PROC_CN_MCAST_LISTEN: u32 = 1;

const PROC_EVENT_NONE: u32 = 0;
const PROC_EVENT_FORK: u32 = 0x0000_0001;
const PROC_EVENT_EXEC: u32 = 0x0000_0002;
const PROC_EVENT_COMM: u32 = 0x0000_0200;
const PROC_EVENT_EXIT: u32 = 0x8000_0000;

/// `nlmsghdr` and `cn_msg`.
const HEADERS: usize = 16 + 20;
/// Where `proc_event.event_data` begins.
const DATA: usize = HEADERS + 16;

/// What happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessEvent {
    /// The kernel has taken note that we listen; not zero: why it does not tell us (an errno).
    Listening(i32),
    Forked {
        parent: i32,
        child: i32,
    },
    /// It runs another program, or has another name.
    Changed(i32),
    Ended(i32),
}

/// A socket that hears of processes.
#[derive(Debug)]
pub(crate) struct Connector {
    fd: WatchedFd,
}

impl Connector {
    /// Opens it and asks for events; the answer is [`ProcessEvent::Listening`]. `buffer`: octets of the receive buffer,
    /// and whether beyond the limit of the system. Must be called inside a runtime.
    ///
    /// # Errors
    /// No such protocol, not allowed, or not in the first network namespace and not allowed to go there.
    pub(crate) fn open(buffer: Option<(u32, bool)>) -> io::Result<Self> {
        let here = listening(buffer);
        let fd = match here {
            // It is not served here.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                let there = std::thread::spawn(move || {
                    let first = File::open("/proc/1/ns/net")?;
                    setns(&first, CloneFlags::CLONE_NEWNET)?;
                    listening(buffer)
                });
                there
                    .join()
                    .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?
            }
            here => here?,
        };
        let fd = WatchedFd::readable_only(fd)?;
        Ok(Self { fd })
    }

    /// Waits for events. Cancel safe.
    ///
    /// # Errors
    /// `ENOBUFS`: some were lost. Anything else: there will be no more.
    pub(crate) async fn next(&self) -> io::Result<Vec<ProcessEvent>> {
        loop {
            self.fd.readable().await?;
            let mut octets = [0; 4096];
            let got = self.fd.read(|fd| {
                // SAFETY: `octets` is valid for its length.
                let n = unsafe {
                    libc::recv(
                        fd.as_raw_fd(),
                        octets.as_mut_ptr().cast(),
                        octets.len(),
                        libc::MSG_DONTWAIT,
                    )
                };
                usize::try_from(n).map_err(|_| io::Error::last_os_error())
            });
            match got {
                Ok(n) => return Ok(parse(octets.get(..n).unwrap_or_default())),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// A bound socket that has asked for events, in the network namespace of the calling thread.
fn listening(buffer: Option<(u32, bool)>) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain numbers; the result is checked.
    let raw = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_CONNECTOR) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was opened just now and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    if let Some((octets, force)) = buffer {
        let name = if force {
            libc::SO_RCVBUFFORCE
        } else {
            libc::SO_RCVBUF
        };
        set_option(fd.as_fd(), libc::SOL_SOCKET, name, &octets)?;
    }
    filter(&fd)?;
    // SAFETY: all zero is a valid address; the family and the group follow.
    let mut addr: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    addr.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    addr.nl_groups = CN_IDX_PROC;
    // SAFETY: `addr` outlives the call and its true size is given.
    let rc = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            (&raw const addr).cast(),
            size_of::<libc::sockaddr_nl>() as libc::socklen_t,
        )
    };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    let request = request();
    // SAFETY: `request` is valid for its length.
    let sent = unsafe { libc::send(fd.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

fn request() -> Vec<u8> {
    let length = u32::try_from(HEADERS + 4).unwrap_or(u32::MAX);
    let mut octets = Vec::with_capacity(HEADERS + 4);
    octets.extend(length.to_ne_bytes());
    octets.extend((libc::NLMSG_DONE as u16).to_ne_bytes());
    octets.extend([0; 10]); // flags, sequence, port
    octets.extend(CN_IDX_PROC.to_ne_bytes());
    octets.extend(CN_VAL_PROC.to_ne_bytes());
    octets.extend([0; 8]); // sequence, acknowledgement
    octets.extend(4_u16.to_ne_bytes());
    octets.extend([0; 2]); // flags
    octets.extend(PROC_CN_MCAST_LISTEN.to_ne_bytes());
    octets
}

/// Lets through what [`ProcessEvent`] knows, and nothing about threads.
fn filter(fd: &OwnedFd) -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const EQUAL_X: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_X) as u16;
    const TO_X: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code: u16, jt: u8, jf: u8, k: u32| libc::sock_filter { code, jt, jf, k };
    let at = |offset: usize| step(LOAD, 0, 0, u32::try_from(offset).unwrap_or(u32::MAX));
    // The filter reads big-endian.
    let is = |what: u32, jt: u8| step(EQUAL, jt, 0, what.to_be());
    let mut program = [
        at(HEADERS),
        is(PROC_EVENT_FORK, 9),
        is(PROC_EVENT_EXIT, 4),
        is(PROC_EVENT_COMM, 3),
        is(PROC_EVENT_EXEC, 10),
        is(PROC_EVENT_NONE, 9),
        step(RETURN, 0, 0, 0),
        // An end or a name: process and thread group are the same.
        at(DATA + 4),
        step(TO_X, 0, 0, 0),
        at(DATA),
        step(EQUAL_X, 4, 5, 0),
        // A start: those of the child are.
        at(DATA + 12),
        step(TO_X, 0, 0, 0),
        at(DATA + 8),
        step(EQUAL_X, 0, 1, 0),
        step(RETURN, 0, 0, u32::MAX),
        step(RETURN, 0, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_mut_ptr(),
    };
    set_option(
        fd.as_fd(),
        libc::SOL_SOCKET,
        libc::SO_ATTACH_FILTER,
        &program,
    )
}

/// Whatever is in `octets`: what is cut short or unknown is passed over.
fn parse(mut octets: &[u8]) -> Vec<ProcessEvent> {
    let mut events = Vec::new();
    while let Some(length) = number(octets, 0) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let message = octets.get(..length).unwrap_or(octets);
        events.extend(event(message));
        let aligned = length.saturating_add(3) & !3;
        if aligned < 16 {
            break;
        }
        octets = octets.get(aligned..).unwrap_or_default();
    }
    events
}

fn event(message: &[u8]) -> Option<ProcessEvent> {
    if (number(message, 16)?, number(message, 20)?) != (CN_IDX_PROC, CN_VAL_PROC) {
        return None;
    }
    let field = |n: usize| number(message, DATA + 4 * n).map(u32::cast_signed);
    Some(match number(message, HEADERS)? {
        PROC_EVENT_NONE => ProcessEvent::Listening(field(0)?),
        PROC_EVENT_FORK => ProcessEvent::Forked {
            parent: field(1)?,
            child: field(3)?,
        },
        PROC_EVENT_EXEC | PROC_EVENT_COMM => ProcessEvent::Changed(field(1)?),
        PROC_EVENT_EXIT => ProcessEvent::Ended(field(1)?),
        _ => return None,
    })
}

fn number(octets: &[u8], at: usize) -> Option<u32> {
    let word = octets.get(at..at.checked_add(4)?)?;
    word.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(what: u32, fields: [u32; 4]) -> Vec<u8> {
        let mut m = request();
        m.truncate(HEADERS);
        m.extend(what.to_ne_bytes());
        m.extend([0; 12]);
        fields.iter().for_each(|f| m.extend(f.to_ne_bytes()));
        let length = u32::try_from(m.len()).expect("short").to_ne_bytes();
        m[..4].copy_from_slice(&length);
        m
    }

    #[test]
    fn events_are_read_and_every_cut_and_odd_length_is_survived() {
        let fork = ProcessEvent::Forked {
            parent: 2,
            child: 4,
        };
        let mut all = message(PROC_EVENT_FORK, [1, 2, 3, 4]);
        all.extend(message(PROC_EVENT_EXEC, [5, 5, 0, 0]));
        all.extend(message(PROC_EVENT_EXIT, [6, 6, 0, 0]));
        let expected = [fork, ProcessEvent::Changed(5), ProcessEvent::Ended(6)];
        assert_eq!(parse(&all), expected);
        for cut in 0..all.len() {
            parse(&all[..cut]);
        }
        for length in [0_u32, 1, 15, 16, u32::MAX] {
            all[..4].copy_from_slice(&length.to_ne_bytes());
            parse(&all);
        }
    }
}
