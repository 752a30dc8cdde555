//! `UDP_CHECK`: a datagram that is answered, or at least not refused, is health.

use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::connect::{Connect, errno};
use super::{Down, Good, Local, Step};
use crate::config::blocks::checkers::{CheckerDraft, Common, Draft, Kind, Own};
use crate::config::source::Code;
use crate::config::table::{Args, Block, Fault, key};

/// An octet of a reply that is compared where `mask` has ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Octet {
    /// 0 where `mask` is 0.
    pub(crate) value: u8,
    /// 0x00, 0x0f, 0xf0 or 0xff.
    pub(crate) mask: u8,
}

/// `require_reply`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Silence is health, too.
    NotNeeded,
    /// Any datagram will do.
    Any,
    /// Reply and pattern agree as far as the shorter of them goes.
    Like(Vec<Octet>),
}

/// Options of `UDP_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Udp {
    /// `payload`, default 32 octets of text.
    pub(crate) payload: Option<Vec<u8>>,
    /// Default not needed.
    pub(crate) reply: Reply,
    /// `min_reply_length`, default 0.
    pub(crate) min_length: u16,
    /// `max_reply_length`, default 255.
    pub(crate) max_length: u16,
}

impl Default for Udp {
    fn default() -> Self {
        Self {
            payload: None,
            reply: Reply::NotNeeded,
            min_length: 0,
            max_length: 255,
        }
    }
}

/// Digits pair up from the left of each word; one that is left over is an octet of its own. `wild`: `x` stands for any
/// digit.
fn hex(a: &mut Args<'_, '_>, wild: bool) -> Result<Vec<Octet>, Fault> {
    let nibble = |c: u8| match (c, char::from(c).to_digit(16)) {
        (b'x' | b'X', _) if wild => Some((0, 0)),
        (_, Some(digit)) => u8::try_from(digit).ok().map(|d| (d, 0xf)),
        (_, None) => None,
    };
    let octet = |pair: &[u8]| {
        let (mut value, mut mask) = (0, 0);
        for &c in pair {
            let (v, m) = nibble(c)?;
            (value, mask) = (value << 4 | v, mask << 4 | m);
        }
        // A digit alone is the lower half; the upper one is zero.
        let mask = if pair.len() == 1 { mask | 0xf0 } else { mask };
        Some(Octet { value, mask })
    };
    let words: Vec<&str> = a.rest().collect();
    let pairs = words.iter().flat_map(|w| w.as_bytes().chunks(2));
    pairs
        .map(octet)
        .collect::<Option<_>>()
        .ok_or_else(|| a.fault(Code::BadValue, "not hexadecimal digits - ignored"))
}

pub(crate) static UDP_CHECK: Block<Draft<Udp>> = Block {
    name: "virtual_server/real_server/UDP_CHECK",
    rows: &[
        key("payload", "<HEX STRING>", |v, a| {
            a.present()?;
            v.own.payload = None;
            let octets = hex(a, false)?;
            v.own.payload = Some(octets.iter().map(|o| o.value).collect());
            Ok(())
        }),
        key("require_reply", "[<HEX STRING>]", |v, a| {
            v.own.reply = Reply::Any;
            let octets = hex(a, true)?;
            if !octets.is_empty() {
                v.own.reply = Reply::Like(octets);
            }
            Ok(())
        }),
        key("min_reply_length", "0..=65535, default 0", |v, a| {
            a.strict(0..=u16::MAX).map(|n| v.own.min_length = n)
        }),
        key("max_reply_length", "0..=65535, default 255", |v, a| {
            a.strict(0..=u16::MAX).map(|n| v.own.max_length = n)
        }),
    ],
    more: &[Draft::<Udp>::CONNECT_ROWS, Draft::<Udp>::TIMING_ROWS],
};

impl Own for Udp {
    fn finish(self, common: Common, a: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault> {
        if self.min_length > self.max_length {
            let text = format!(
                "min_reply_length {} is above max_reply_length {}",
                self.min_length, self.max_length
            );
            a.warn(Code::Conflict, text);
        }
        Ok(vec![common.with(Kind::Udp(Box::new(self)))])
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It is not the one that is required.
    Mismatch,
}

/// What is sent where nothing is configured: 32 octets of this, again and again.
const FILLER: &[u8] = b"keepalived check - ";
const FILLER_LENGTH: usize = 32;

impl Udp {
    pub(super) async fn probe(&self, connect: &Connect, patience: Duration) -> Result<Good, Down> {
        let socket = socket(connect)?;
        let filler: Vec<u8>;
        let payload = match &self.payload {
            Some(payload) => payload,
            None => {
                filler = FILLER.iter().copied().cycle().take(FILLER_LENGTH).collect();
                &filler
            }
        };
        let failed = |e: std::io::Error| Down::Connect(errno(&e));
        socket.send(payload).await.map_err(failed)?;
        // One octet more than any reply that is wanted, so that longer ones are seen.
        let mut reply = vec![0; usize::from(self.max_length) + 1];
        match timeout(patience, socket.recv(&mut reply)).await {
            Ok(Ok(length)) => self.judge(reply.get(..length).unwrap_or(&reply)),
            Ok(Err(e)) => Err(failed(e)),
            Err(_) if self.reply == Reply::NotNeeded => Ok(Good::Plain),
            Err(_) => Err(Down::Timeout),
        }
    }

    // keepalived: without a pattern the lengths mean nothing.
    fn judge(&self, reply: &[u8]) -> Result<Good, Down> {
        let lengths = usize::from(self.min_length)..=usize::from(self.max_length);
        let good = match &self.reply {
            Reply::NotNeeded => true,
            Reply::Any => lengths.contains(&reply.len()),
            Reply::Like(pattern) => {
                let alike = |(got, want): (&u8, &Octet)| got & want.mask == want.value;
                lengths.contains(&reply.len()) && reply.iter().zip(pattern).all(alike)
            }
        };
        match good {
            true => Ok(Good::Plain),
            false => Err(Down::Udp(Bad::Mismatch)),
        }
    }
}

/// A connected socket that is told of every ICMP error about what it sends.
fn socket(connect: &Connect) -> Result<UdpSocket, Down> {
    let socket = connect
        .socket(Type::DGRAM, Protocol::UDP)
        .map_err(Down::Local)?;
    let heard = match connect.target.is_ipv4() {
        true => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
        false => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
    };
    heard.map_err(|errno| {
        Down::Local(Local {
            step: Step::Socket,
            errno,
        })
    })?;
    connected(&socket, connect)?;
    UdpSocket::from_std(socket.into()).map_err(|e| {
        Down::Local(Local {
            step: Step::Socket,
            errno: errno(&e),
        })
    })
}

/// Connects a datagram socket, which never blocks.
pub(super) fn connected(socket: &Socket, connect: &Connect) -> Result<(), Down> {
    let outcome = socket.connect(&connect.target.into());
    outcome.map_err(|e| super::connect::refusal(errno(&e)))
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::super::testserver::{run, udp};
    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const QUICK: Duration = Duration::from_millis(200);

    fn like(octets: &[(u8, u8)]) -> Reply {
        let octets = octets.iter();
        Reply::Like(octets.map(|&(value, mask)| Octet { value, mask }).collect())
    }

    #[test]
    fn silence_is_health_unless_an_answer_is_required() {
        run(async {
            let silent = udp(|_| Vec::new()).await;
            let mut check = Udp::default();
            assert_eq!(check.probe(&silent, QUICK).await, Ok(Good::Plain));
            check.reply = Reply::Any;
            assert_eq!(check.probe(&silent, QUICK).await, Err(Down::Timeout));
        });
    }

    #[test]
    fn a_closed_port_is_down() {
        run(async {
            let gone = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
            let to = Connect::to(gone.local_addr().expect("it is bound"));
            drop(gone);
            let outcome = Udp::default().probe(&to, SOON).await;
            assert_eq!(outcome, Err(Down::Connect(Errno::ECONNREFUSED)));
        });
    }

    #[test]
    fn the_payload_is_sent_and_the_answer_compared_as_far_as_both_go() {
        run(async {
            let echo = udp(|asked| vec![asked.to_vec()]).await;
            let mut check = Udp {
                payload: Some(vec![0xab, 0x12]),
                reply: like(&[(0xa0, 0xf0), (0x12, 0xff), (0x99, 0xff)]),
                ..Udp::default()
            };
            assert_eq!(check.probe(&echo, SOON).await, Ok(Good::Plain));
            check.reply = like(&[(0xa0, 0xf0), (0x13, 0xff)]);
            let mismatch = Err(Down::Udp(Bad::Mismatch));
            assert_eq!(check.probe(&echo, SOON).await, mismatch);
            // The lengths count without a pattern, too.
            check.reply = Reply::Any;
            check.min_length = 3;
            assert_eq!(check.probe(&echo, SOON).await, mismatch);
            (check.min_length, check.max_length) = (0, 1);
            assert_eq!(check.probe(&echo, SOON).await, mismatch);
            let filler = udp(|asked| vec![asked.to_vec()]).await;
            let text = b"keepalived check - keepalived ch";
            let check = Udp {
                reply: like(&text.map(|o| (o, 0xff))),
                min_length: 32,
                ..Udp::default()
            };
            assert_eq!(check.probe(&filler, SOON).await, Ok(Good::Plain));
        });
    }
}
