//! How advertisements prove where they come from: `authentication` and `auth_hmac`.
//!
//! Keys are [`Secret`]: nothing here shows one. Source: RFC 2338 §5.3.6, RFC 2402, keepalived.conf(5).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use zeroize::Zeroizing;

/// What keys are masked with; nothing until [`mask_keys`].
static MASK: OnceLock<&'static [u8]> = OnceLock::new();

/// Has every key that is read from now on kept in memory combined with `pad`, which no core file contains. To be called
/// before the first one is; later calls have no effect.
pub(crate) fn mask_keys(pad: &'static [u8]) {
    // Two masks at a time would make equal keys differ.
    let _ = MASK.set(pad);
}

/// A key. It is not shown by any output, and its memory is wiped when it is given back.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the octets; whoever had them before wipes them.
    pub(crate) fn new(mut octets: Vec<u8>) -> Self {
        mask(&mut octets, pad());
        Self(Zeroizing::new(octets))
    }

    /// For computing digests, and for nothing else: a copy that is wiped soon.
    pub(crate) fn expose(&self) -> Zeroizing<Vec<u8>> {
        let mut octets = self.0.clone();
        mask(&mut octets, pad());
        octets
    }
}

fn pad() -> &'static [u8] {
    MASK.get().copied().unwrap_or_default()
}

/// Masks, or unmasks.
fn mask(octets: &mut [u8], pad: &[u8]) {
    for (octet, pad) in octets.iter_mut().zip(pad.iter().cycle()) {
        *octet ^= pad;
    }
}

/// Never shows the key, nor its length.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// `authentication` (version 2 over IPv4 only) or `auth_hmac`, which excludes it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Auth {
    None,
    /// `auth_type PASS`: 8 octets, zero padded, sent in clear text (RFC 2338 §5.3.6.2).
    Pass([u8; 8]),
    /// `auth_type AH`: the password, 8 octets, zero padded, as the key of HMAC-MD5-96 (RFC 2402, RFC 2403).
    Ah(Secret),
    /// `auth_hmac`: HMAC-SHA-256 behind the advertisement, both versions and families.
    Hmac(Arc<Hmac>),
}

/// Never shows the key.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Pass(_) => f.write_str("Pass(********)"),
            Self::Ah(key) => f.debug_tuple("Ah").field(key).finish(),
            Self::Hmac(hmac) => f.debug_tuple("Hmac").field(hmac).finish(),
        }
    }
}

/// One `auth_hmac` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hmac {
    /// `key`: number 1..=255 and 32..=64 octets. All of them verify.
    pub(crate) keys: BTreeMap<u8, Secret>,
    /// `active_key`: the one that signs; it is in `keys`.
    pub(crate) active: u8,
    pub(crate) replay: AntiReplay,
    pub(crate) mode: HmacMode,
}

/// `anti_replay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AntiReplay {
    /// Sequence numbers grow, and are no further from our clock than this: `time_window`, 1..=300 s, default three
    /// times `advert_int`, at least 5 s.
    Time(Duration),
    /// Sequence numbers grow.
    Monotonic,
}

/// `mode`: a step on the way from none to all routers that sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HmacMode {
    /// Signs; obeys only what is signed.
    Enforce,
    /// Signs; obeys what is not signed too.
    Permissive,
    /// Does not sign; obeys both.
    ReceiveOnly,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_key_is_still_the_key() {
        let octets = (0..80).collect::<Vec<u8>>();
        assert_eq!(*Secret::new(octets.clone()).expose(), octets);
        let mut masked = octets.clone();
        mask(&mut masked, &[0x5a; 64]);
        assert!(masked.iter().zip(&octets).all(|(a, b)| a != b));
        mask(&mut masked, &[0x5a; 64]);
        assert_eq!(masked, octets);
    }

    #[test]
    fn no_key_is_ever_shown() {
        let key = Secret::new(b"s3cret and more than that, 32 oct".to_vec());
        let hmac = Hmac {
            keys: BTreeMap::from([(7, key.clone())]),
            active: 7,
            replay: AntiReplay::Monotonic,
            mode: HmacMode::Enforce,
        };
        for auth in [
            Auth::Pass(*b"s3cret\0\0"),
            Auth::Ah(key),
            Auth::Hmac(Arc::new(hmac)),
        ] {
            let text = format!("{auth:?} {auth:#?}");
            assert!(text.contains("********") && !text.contains("115"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
