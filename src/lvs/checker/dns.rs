//! `DNS_CHECK`: a name server that answers a question without an error is health.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Protocol, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::connect::{Connect, errno};
use super::udp::connected;
use super::{Down, Good, Local, Step};
use crate::config::blocks::checkers::{CheckerDraft, Common, Draft, Kind, Own};
use crate::config::source::Code;
use crate::config::table::{Args, Block, Fault, key};

/// `type`; the discriminant is the number on the wire (RFC 1035 §3.2.2, RFC 3596, RFC 4034).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum QueryType {
    A = 1,
    Ns = 2,
    Cname = 5,
    Soa = 6,
    Mx = 15,
    Txt = 16,
    Aaaa = 28,
    Rrsig = 46,
    Dnskey = 48,
}

impl QueryType {
    /// As they are written.
    pub(crate) const ALL: [(&'static str, Self); 9] = [
        ("A", Self::A),
        ("NS", Self::Ns),
        ("CNAME", Self::Cname),
        ("SOA", Self::Soa),
        ("MX", Self::Mx),
        ("TXT", Self::Txt),
        ("AAAA", Self::Aaaa),
        ("RRSIG", Self::Rrsig),
        ("DNSKEY", Self::Dnskey),
    ];
}

/// Options of `DNS_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dns {
    /// `type`, default SOA.
    pub(crate) kind: QueryType,
    /// `name` without its last dot, no label empty; default empty: the root.
    pub(crate) name: Arc<str>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            kind: QueryType::Soa,
            name: "".into(),
        }
    }
}

/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;

pub(crate) static DNS_CHECK: Block<Draft<DnsDraft>> = Block {
    name: "virtual_server/real_server/DNS_CHECK",
    rows: &[
        key("type", "A|NS|CNAME|SOA|MX|TXT|AAAA|RRSIG|DNSKEY", |v, a| {
            let word = a.word()?;
            let mut known = QueryType::ALL.iter();
            match known.find(|(k, _)| k.eq_ignore_ascii_case(word)) {
                Some((_, kind)) => {
                    v.own.options.kind = *kind;
                    Ok(())
                }
                None => Err(a.fault(
                    Code::BadValue,
                    format!("unknown query type '{word}' - ignored"),
                )),
            }
        }),
        key("name", "<DOMAIN>", |v, a| {
            let word = a.word()?;
            let name = word.strip_suffix('.').unwrap_or(word);
            if !name.is_empty() && name.split('.').any(str::is_empty) {
                return Err(a.fault(
                    Code::BadValue,
                    format!("'{word}' has an empty label - ignored"),
                ));
            }
            if name.len() > MAX_NAME || name.split('.').any(|l| l.len() > MAX_LABEL) {
                return Err(a.fault(Code::TooLong, format!("'{word}' is too long - ignored")));
            }
            if std::mem::replace(&mut v.own.named, true) {
                return Err(a.fault(Code::Repeated, "already specified - ignored"));
            }
            v.own.options.name = name.into();
            Ok(())
        }),
    ],
    more: &[
        Draft::<DnsDraft>::CONNECT_ROWS,
        Draft::<DnsDraft>::TIMING_ROWS,
    ],
};

/// What a `DNS_CHECK` block adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct DnsDraft {
    options: Dns,
    named: bool,
}

impl Own for DnsDraft {
    fn finish(self, common: Common, _: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault> {
        Ok(vec![common.with(Kind::Dns(Box::new(self.options)))])
    }
}

/// Why there is no answer, or none that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Nothing that belongs to the question came in time.
    Timeout,
    /// The socket reports an error: no answer will come.
    Read(Errno),
    /// `RCODE` of the answer, never 0.
    Refused(u8),
}

/// RFC 1035 §4.1.1: octets of a header.
const HEADER: usize = 12;
/// Longest answer over UDP without EDNS, octets. What is longer arrives truncated, which does no harm: only the header counts.
const MAX_ANSWER: usize = 512;

impl Dns {
    pub(super) async fn probe(&self, connect: &Connect, patience: Duration) -> Result<Good, Down> {
        let socket = connect
            .socket(Type::DGRAM, Protocol::UDP)
            .map_err(Down::Local)?;
        connected(&socket, connect)?;
        let socket = UdpSocket::from_std(socket.into()).map_err(|e| {
            Down::Local(Local {
                step: Step::Socket,
                errno: errno(&e),
            })
        })?;
        let [a, b, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
        let ask = async {
            let read = |e: std::io::Error| Down::Dns(Bad::Read(errno(&e)));
            socket.send(&self.query([a, b])).await.map_err(read)?;
            let mut answer = [0; MAX_ANSWER];
            loop {
                let length = socket.recv(&mut answer).await.map_err(read)?;
                if let Some(verdict) = judge([a, b], answer.get(..length).unwrap_or(&answer)) {
                    return verdict;
                }
            }
        };
        let outcome = timeout(patience, ask).await;
        outcome.unwrap_or(Err(Down::Dns(Bad::Timeout)))
    }

    /// One question, recursion desired, class IN (RFC 1035 §4.1).
    fn query(&self, id: [u8; 2]) -> Vec<u8> {
        let mut octets = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let labels = self.name.split('.').filter(|l| !l.is_empty());
        for label in labels {
            // No label is longer than 63 octets.
            octets.push(u8::try_from(label.len()).unwrap_or(0));
            octets.extend(label.bytes());
        }
        octets.push(0);
        octets.extend((self.kind as u16).to_be_bytes());
        octets.extend([0, 1]);
        octets
    }
}

/// `None`: it does not belong to the question. Nothing behind the header is looked at.
fn judge(id: [u8; 2], answer: &[u8]) -> Option<Result<Good, Down>> {
    let header = answer.first_chunk::<HEADER>()?;
    let [a, b, flags, more, ..] = *header;
    let is_response = flags & 0x80 != 0;
    if [a, b] != id || !is_response {
        return None;
    }
    Some(match more & 0xf {
        0 => Ok(Good::Plain),
        rcode => Err(Down::Dns(Bad::Refused(rcode))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testserver::{run, udp};
    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const QUICK: Duration = Duration::from_millis(200);

    fn answer(asked: &[u8], rcode: u8) -> Vec<u8> {
        let mut answer = asked.to_vec();
        answer[2] |= 0x80;
        answer[3] = rcode;
        answer
    }

    #[test]
    fn the_question_is_that_of_keepalived() {
        let root = Dns::default().query([0xab, 0xcd]);
        let soa = [0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
        assert_eq!(root, soa);
        let named = Dns {
            kind: QueryType::Aaaa,
            name: "www.example".into(),
        };
        assert_eq!(
            named.query([0, 0])[12..],
            *b"\x03www\x07example\0\0\x1c\0\x01"
        );
    }

    #[test]
    fn the_code_decides_and_what_belongs_to_others_is_not_heard() {
        run(async {
            let check = Dns::default();
            let good = udp(|asked| {
                let mut foreign = answer(asked, 2);
                foreign[0] ^= 0xff;
                // A name that points to itself, behind a good header.
                let mut looped = answer(asked, 0);
                looped.extend([0xc0, 0x0c, 0xc0, 0x0c]);
                vec![foreign, asked.to_vec(), asked[..11].to_vec(), looped]
            })
            .await;
            assert_eq!(check.probe(&good, SOON).await, Ok(Good::Plain));
            let refuses = udp(|asked| vec![answer(asked, 5)]).await;
            let refused = Err(Down::Dns(Bad::Refused(5)));
            assert_eq!(check.probe(&refuses, SOON).await, refused);
            let lies = udp(|asked| {
                let mut foreign = answer(asked, 0);
                foreign[1] ^= 1;
                vec![foreign]
            })
            .await;
            let timeout = Err(Down::Dns(Bad::Timeout));
            assert_eq!(check.probe(&lies, QUICK).await, timeout);
        });
    }

    proptest::proptest! {
        #[test]
        fn no_answer_upsets_the_judge(octets in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let _ = judge([0, 0], &octets);
        }
    }
}
