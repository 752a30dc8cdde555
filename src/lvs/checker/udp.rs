//! `UDP_CHECK`: a datagram that is answered, or at least not refused, is health.

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
        Ok(vec![common.with(Kind::Udp(self))])
    }
}
