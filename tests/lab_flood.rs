//! A flood of invalid packets for a router's VRID: stock keepalived falls silent, ours must not.
//!
//! A test binary of its own, because it takes the whole machine while it runs.

#[path = "lab/mod.rs"]
mod lab;
#[path = "lab/routers.rs"]
mod routers;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, SockaddrIn, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use lab::daemon::now;
use lab::frame::Seen;
use lab::witness::stood_still;
use lab::{Lan, Node, PATIENCE, millis, root};
use routers::Which::Ours;
use routers::{VIP, conf};

/// Sends, until told to stop, packets for the master's VRID of which none is valid; counts them.
fn flood(node: &Node, stop: &AtomicBool, sent: &AtomicU64) {
    let socket = node.ns.run(|| {
        let socket =
            Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("a raw socket");
        socket
            .bind_device(Some(b"eth0"))
            .expect("our own interface");
        socket
            .set_multicast_loop_v4(false)
            .expect("an option of our own socket");
        socket
    });
    let to = SockaddrIn::new(224, 0, 0, 18, 0);
    let packets = bad_packets();
    while !stop.load(Ordering::Relaxed) {
        for packet in &packets {
            let _ = sendto(socket.as_raw_fd(), packet, &to, MsgFlags::empty());
        }
        sent.fetch_add(packets.len() as u64, Ordering::Relaxed);
    }
}

/// Each with one thing wrong: checksum, version, TTL, authentication, interval, length.
fn bad_packets() -> Vec<Vec<u8>> {
    let good = packet(
        255,
        &[
            0x21, 66, 254, 1, 0, 1, 0, 0, 10, 66, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
    );
    let with = |at: usize, value: u8| {
        let mut vrrp = good[20..].to_vec();
        vrrp[at] = value;
        vrrp[6..8].fill(0);
        packet(255, &vrrp)
    };
    let mut checksum = good.clone();
    checksum[26] ^= 0xff;
    let ttl = packet(254, &{
        let mut vrrp = good[20..].to_vec();
        vrrp[6..8].fill(0);
        vrrp
    });
    vec![
        checksum,
        with(0, 0x31),
        ttl,
        with(4, 1),
        with(5, 9),
        good[..34].to_vec(),
    ]
}

fn packet(ttl: u8, vrrp: &[u8]) -> Vec<u8> {
    let mut vrrp = vrrp.to_vec();
    let mut sum: u32 = vrrp
        .chunks(2)
        .map(|c| u32::from(u16::from_be_bytes([c[0], c[1]])))
        .sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from(sum).expect("folded twice");
    vrrp[6..8].copy_from_slice(&sum.to_be_bytes());
    let [hi, lo] = u16::try_from(20 + vrrp.len()).expect("short").to_be_bytes();
    let mut out = vec![0x45, 0xc0, hi, lo, 0, 1, 0, 0, ttl, 112, 0, 0];
    out.extend(Ipv4Addr::new(10, 66, 0, 3).octets());
    out.extend(Ipv4Addr::new(224, 0, 0, 18).octets());
    out.extend(vrrp);
    out
}

#[test]
fn a_flood_of_bad_packets_does_not_silence_the_master() {
    if !root() {
        return;
    }
    let lan = Lan::with_stranger("eth0", &["10.66.0.1/24", "10.66.0.2/24"], "10.66.0.3/24");
    let master = Ours.start(lan.node(0), &conf(150, "", ""));
    let backup = Ours.start(lan.node(1), &conf(100, "", ""));
    lan.advert("the better router is master", 0, 0, |a| a.priority == 150);
    lan.node(0).wait_has(VIP, true);
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = now();
    let of_master = |seen: &[Seen]| -> Vec<u64> {
        seen.iter()
            .filter(|s| s.node == 0 && s.at > began && s.advert().is_some())
            .map(|s| s.at)
            .collect()
    };
    let at = std::thread::scope(|scope| {
        scope.spawn(|| flood(lan.node(2), &stop, &sent));
        let found = lan.capture.wait(PATIENCE, |seen| {
            let at = of_master(seen);
            (at.len() >= 8).then_some(at)
        });
        stop.store(true, Ordering::Relaxed);
        found
    });
    let Some(at) = at else {
        panic!("the master fell silent\n{}", lan.story())
    };
    let rate = sent.load(Ordering::Relaxed) * 1000 / ((now() - began) / 1_000_000).max(1);
    let longest = at.windows(2).max_by_key(|p| p[1] - p[0]);
    let longest = longest.expect("eight of them");
    let stalled = stood_still(longest[0], longest[1]);
    let longest = longest[1] - longest[0];
    let _ = writeln!(
        std::io::stderr(),
        "flood: {rate} bad packets per second, longest interval {} ms",
        millis(longest)
    );
    assert!(
        Duration::from_nanos(longest) < Duration::from_millis(1400) + stalled,
        "{} ms without an advertisement\n{}",
        millis(longest),
        lan.story()
    );
    assert!(
        lan.events()
            .iter()
            .all(|s| s.node != 1 || s.advert().is_none()),
        "the backup rose\n{}",
        lan.story()
    );
    for daemon in [&master, &backup] {
        let lines = daemon.log().lines().count();
        assert!(
            lines < 100,
            "the flood filled the log: {lines} lines\n{}",
            &daemon.log()[..2000]
        );
    }
}
