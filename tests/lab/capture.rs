//! The witness: every frame that the nodes send, with the kernel's timestamp.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt,
    sockopt::{RcvBufForce, ReceiveTimestampns},
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::frame::Seen;
use super::ns::Namespace;

/// Frames older than this many are forgotten: no test looks back further, and a flood must not fill the memory.
const KEPT: usize = 200_000;

#[derive(Default)]
struct Heard {
    seen: Mutex<Vec<Seen>>,
    more: Condvar,
}

pub(crate) struct Capture {
    heard: Arc<Heard>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Listens in `hub` to what comes in at `ports`; the node's number is the port's.
    pub(crate) fn start(hub: &Namespace, ports: &[String]) -> Self {
        let socket = hub.run(|| open(ports)).expect("a packet socket");
        let nodes: HashMap<usize, usize> = hub.run(|| {
            let index = |(n, port): (usize, &String)| (interface_index(port) as usize, n);
            ports.iter().enumerate().map(index).collect()
        });
        let heard = Arc::new(Heard::default());
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (heard, stop) = (Arc::clone(&heard), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some((at, index, octets)) = receive(&socket) else {
                        continue;
                    };
                    let Some(&node) = nodes.get(&index) else {
                        continue;
                    };
                    let mut seen = heard.seen();
                    if seen.len() >= KEPT {
                        seen.drain(..KEPT / 2);
                    }
                    seen.push(Seen::new(at, node, octets));
                    heard.more.notify_all();
                }
            }
        });
        Self {
            heard,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn events(&self) -> Vec<Seen> {
        let mut seen = self.heard.seen().clone();
        seen.sort_by_key(|s| s.at);
        seen
    }

    /// What came after the first `skip` frames, in the order of arrival.
    pub(crate) fn since(&self, skip: usize) -> Vec<Seen> {
        self.heard.seen().get(skip..).unwrap_or_default().to_vec()
    }

    /// What `check` found, or nothing when `limit` has passed.
    pub(crate) fn wait<T>(
        &self,
        limit: Duration,
        mut check: impl FnMut(&[Seen]) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + limit;
        let mut seen = self.heard.seen();
        loop {
            if let Some(found) = check(&seen) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            seen = self
                .heard
                .more
                .wait_timeout(seen, left)
                .unwrap_or_else(|e| e.into_inner())
                .0;
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Heard {
    /// A test that panicked while it looked has not harmed the list.
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn interface_index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap_or_else(|e| panic!("interface {name}: {e}"))
}

fn open(ports: &[String]) -> io::Result<Socket> {
    const ETH_P_ALL: u16 = 3;
    let socket = Socket::new(
        Domain::PACKET,
        Type::RAW,
        Some(Protocol::from(i32::from(ETH_P_ALL.to_be()))),
    )?;
    socket.attach_filter(&filter(ports))?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    // Denied in a user namespace, where the default has to do.
    let _ = setsockopt(&socket, RcvBufForce, &(16 << 20));
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

/// In the kernel: only frames that came in, only at these ports. Whatever others send must not cost us time.
fn filter(ports: &[String]) -> Vec<SockFilter> {
    const LD_BYTE: u16 = 0x30;
    const LD_WORD: u16 = 0x20;
    const JEQ: u16 = 0x15;
    const RET: u16 = 0x06;
    const AD_PKTTYPE: u32 = 0xffff_f004;
    const AD_IFINDEX: u32 = 0xffff_f008;
    const OUTGOING: u32 = 4;
    let n = u8::try_from(ports.len()).expect("few ports");
    let mut code = vec![
        SockFilter::new(LD_BYTE, 0, 0, AD_PKTTYPE),
        SockFilter::new(JEQ, n + 1, 0, OUTGOING),
        SockFilter::new(LD_WORD, 0, 0, AD_IFINDEX),
    ];
    // From rule i it is n - 1 - i rules to "drop", one more to "take".
    code.extend(
        (0..n)
            .zip(ports)
            .map(|(i, port)| SockFilter::new(JEQ, n - i, 0, interface_index(port))),
    );
    code.extend([
        SockFilter::new(RET, 0, 0, 0),
        SockFilter::new(RET, 0, 0, 0x4_0000),
    ]);
    code
}

fn receive(socket: &Socket) -> Option<(u64, usize, Vec<u8>)> {
    let mut octets = vec![0; 2048];
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(&mut octets)];
    let message = recvmsg::<LinkAddr>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )
    .ok()?;
    let index = message.address?.ifindex();
    let at = message.cmsgs().ok()?.find_map(|c| {
        let ControlMessageOwned::ScmTimestampns(t) = c else {
            return None;
        };
        Some(u64::try_from(t.tv_sec()).ok()? * 1_000_000_000 + u64::try_from(t.tv_nsec()).ok()?)
    })?;
    let len = message.bytes;
    octets.truncate(len);
    Some((at, index, octets))
}
