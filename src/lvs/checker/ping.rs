//! `PING_CHECK`: an answer to an ICMP echo request is health.
//!
//! One socket per attempt, so that a late answer to an earlier one is never taken for this one's. Where datagram sockets
//! are denied (`ping_group_range`), a raw one does. Sources: RFC 792, RFC 4443 §4.1, icmp(7).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use nix::errno::Errno;
use socket2::{Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::connect::{Connect, errno};
use super::udp::connected;
use super::{Down, Good, Local, Step};

/// What is sent along: 128 octets of this, again and again.
const FILLER: &[u8] = b"keepalived check - ";
const FILLER_LENGTH: usize = 128;
const SEQUENCE: [u8; 2] = [0, 1];
/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;

/// One kind of socket.
struct Ping {
    socket: UdpSocket,
    /// It hears everybody's ICMP, with the header of IPv4.
    raw: bool,
}

pub(super) async fn probe(connect: &Connect) -> Result<Good, Down> {
    // A port means nothing here, and none may be bound.
    let mut connect = connect.clone();
    connect.target.set_port(0);
    if let Some(source) = &mut connect.from {
        source.port = 0;
    }
    let ping = open(&connect)?;
    let [a, b, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
    let request = request(connect.target.is_ipv6(), [a, b]);
    let failed = |e: io::Error| Down::Connect(errno(&e));
    ping.socket.send(&request).await.map_err(failed)?;
    let mut reply = [0; 512];
    loop {
        let length = ping.socket.recv(&mut reply).await.map_err(failed)?;
        let reply = reply.get(..length).unwrap_or(&reply);
        if is_answer(reply, &request, ping.raw) {
            return Ok(Good::Plain);
        }
    }
}

fn open(connect: &Connect) -> Result<Ping, Down> {
    let protocol = match connect.target.is_ipv4() {
        true => Protocol::ICMPV4,
        false => Protocol::ICMPV6,
    };
    let (socket, raw) = match connect.socket(Type::DGRAM, protocol) {
        Err(Local {
            step: Step::Socket,
            errno: Errno::EACCES | Errno::EPERM,
        }) => (connect.socket(Type::RAW, protocol), true),
        other => (other, false),
    };
    let socket: Socket = socket.map_err(Down::Local)?;
    connected(&socket, connect)?;
    let local = |e: io::Error| {
        Down::Local(Local {
            step: Step::Socket,
            errno: errno(&e),
        })
    };
    // The runtime only polls and calls send and recv: any datagram socket will do.
    let socket = UdpSocket::from_std(socket.into()).map_err(local)?;
    Ok(Ping { socket, raw })
}

/// Of a datagram socket the kernel chooses the identifier, and of ICMPv6 also the checksum.
fn request(ipv6: bool, id: [u8; 2]) -> Vec<u8> {
    let kind = if ipv6 { 128 } else { 8 };
    let mut octets = vec![kind, 0, 0, 0, id[0], id[1], SEQUENCE[0], SEQUENCE[1]];
    octets.extend(FILLER.iter().copied().cycle().take(FILLER_LENGTH));
    let sum = crate::wire::checksum::Sum::default()
        .add(&octets)
        .checksum();
    octets[2..4].copy_from_slice(&sum.to_be_bytes());
    octets
}

fn is_answer(reply: &[u8], request: &[u8], raw: bool) -> bool {
    let ipv6 = request.first() == Some(&128);
    let message = match (raw && !ipv6, reply.first()) {
        // The length of the header of IPv4, in words.
        (true, Some(first)) => reply.get(usize::from(first & 0xf) * 4..).unwrap_or(&[]),
        (true, None) => &[],
        (false, _) => reply,
    };
    let kind = if ipv6 { 129 } else { 0 };
    let same = |range: std::ops::Range<usize>| message.get(range.clone()) == request.get(range);
    message.len() >= HEADER
        && message.first() == Some(&kind)
        && same(6..8)
        && (!raw || same(4..6))
        && message.get(HEADER..) == request.get(HEADER..)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_the_answer_to_this_request_counts() {
        let sent = request(false, [7, 9]);
        let mut good = sent.clone();
        good[0] = 0;
        assert!(is_answer(&good, &sent, false));
        let mut with_header = vec![0x45; 20];
        with_header.extend(&good);
        assert!(is_answer(&with_header, &sent, true));
        assert!(!is_answer(&sent, &sent, false), "our own request");
        for cut in 0..good.len() {
            assert!(!is_answer(&good[..cut], &sent, false), "{cut} octets");
        }
        good[7] = 2;
        assert!(!is_answer(&good, &sent, false), "another number");
    }

    /// Stock keeps a socket for each.
    #[tokio::test]
    async fn an_address_that_is_not_ours_costs_no_descriptor() {
        let mut to = Connect::to(([127, 0, 0, 1], 0).into());
        to.from.get_or_insert_default().addr = Some([192, 0, 2, 1].into());
        let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let before = open();
        for _ in 0..1000 {
            let outcome = probe(&to).await;
            assert!(matches!(outcome, Err(Down::Local(_))), "{outcome:?}");
        }
        // Other tests have some open meanwhile.
        assert!(open() < before + 500, "{before}, then {}", open());
    }

    #[tokio::test]
    async fn this_machine_answers() {
        let to = Connect::to(([127, 0, 0, 1], 80).into());
        let outcome = tokio::time::timeout(Duration::from_secs(20), probe(&to)).await;
        match outcome.expect("an answer or a refusal in time") {
            Ok(good) => assert_eq!(good, Good::Plain),
            // Without privileges there may be no socket for it.
            Err(down) => assert!(matches!(down, Down::Local(_)), "{down:?}"),
        }
    }
}
