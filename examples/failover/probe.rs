//! Pings the shared address all the time, and knows when it was silent.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::daemon::now;
use crate::lab::ns::Namespace;

/// Between two requests: 200 per second.
const EVERY: Duration = Duration::from_millis(5);
/// RFC 792.
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;

pub(crate) struct Probe {
    /// When answers came, in nanoseconds since the epoch.
    answers: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Probe {
    /// # Errors
    /// Of opening a raw ICMP socket.
    pub(crate) fn start(ns: &Namespace, to: Ipv4Addr) -> io::Result<Self> {
        let sender = ns.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)))?;
        let receiver = sender.try_clone()?;
        receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
        let (answers, stop) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let asking = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut sequence = 0_u16;
                while !stop.load(Ordering::Relaxed) {
                    // What cannot be sent, because nobody resolves the address, is a silence like any other.
                    let _ = sender.send_to(&request(sequence), &SocketAddrV4::new(to, 0).into());
                    sequence = sequence.wrapping_add(1);
                    std::thread::sleep(EVERY);
                }
            }
        });
        let hearing = std::thread::spawn({
            let (answers, stop) = (Arc::clone(&answers), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if answered(&receiver, to) {
                        lock(&answers).push(now());
                    }
                }
            }
        });
        Ok(Self {
            answers,
            stop,
            threads: vec![asking, hearing],
        })
    }

    /// The longest time without an answer that overlaps `from..to`: from the answer before it to the one after it.
    pub(crate) fn silence(&self, from: u64, to: u64) -> Duration {
        let answers = lock(&self.answers);
        let pairs = answers.windows(2).filter(|p| p[1] >= from && p[0] <= to);
        Duration::from_nanos(pairs.map(|p| p[1] - p[0]).max().unwrap_or(0))
    }

    /// When the last answer came; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        lock(&self.answers).last().copied().unwrap_or(0)
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.answers).len()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock(answers: &Mutex<Vec<u64>>) -> std::sync::MutexGuard<'_, Vec<u64>> {
    answers.lock().unwrap_or_else(|e| e.into_inner())
}

/// An echo request without data, identifier "KA".
fn request(sequence: u16) -> [u8; 8] {
    let [hi, lo] = sequence.to_be_bytes();
    let sum = u32::from(u16::from_be_bytes([ECHO_REQUEST, 0]))
        + u32::from(u16::from_be_bytes(*b"KA"))
        + u32::from(sequence);
    let folded = (sum & 0xffff) + (sum >> 16);
    let [c0, c1] = (!u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)).to_be_bytes();
    [ECHO_REQUEST, 0, c0, c1, b'K', b'A', hi, lo]
}

fn answered(mut socket: &Socket, from: Ipv4Addr) -> bool {
    let mut packet = [0; 128];
    let Ok(len) = socket.read(&mut packet) else {
        return false;
    };
    // A raw socket hears every ICMP packet of this machine, also that an address is unreachable.
    len >= 28 && packet[12..16] == from.octets() && packet[20] == ECHO_REPLY
}
