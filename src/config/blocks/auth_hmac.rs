//! `auth_hmac`: keys from the line or from a file.
//!
//! Keys go straight into a [`Secret`]; no complaint repeats one. A systemd credential is a file:
//! `key 1 file:${_ENV CREDENTIALS_DIRECTORY}/NAME`. Source: keywords of keepalived 2.4.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::super::source::Code;
use super::super::table::{Args, Block, Fault, key};
use crate::model::auth::{HmacMode, Secret};

/// Octets of a key.
const LENGTH: std::ops::RangeInclusive<usize> = 32..=64;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// The `auth_hmac` blocks of an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct HmacDraft {
    pub(crate) keys: BTreeMap<u8, Secret>,
    pub(crate) active: Option<u8>,
    pub(crate) window: Option<Duration>,
    pub(crate) monotonic: bool,
    pub(crate) mode: Option<HmacMode>,
}

/// `<id> <value>`
fn one_key(v: &mut HmacDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let id = a.strict(1..=255_u8)?;
    a.present()?;
    let value = a.word()?;
    if v.keys.contains_key(&id) {
        return Err(a.whole_fault(Code::Duplicate, format!("a second key {id} - ignored")));
    }
    let octets = if let Some(digits) = value.strip_prefix("hex:") {
        from_hex(digits)
    } else if let Some(path) = value.strip_prefix("file:") {
        from_file(Path::new(path), a)?
    } else {
        Some(Zeroizing::new(value.as_bytes().to_vec()))
    };
    let Some(octets) = octets.filter(|octets| LENGTH.contains(&octets.len())) else {
        let text = format!("key {id} must have 32 to 64 octets - ignored");
        return Err(a.whole_fault(Code::OutOfRange, text));
    };
    v.keys.insert(id, Secret::new(octets.to_vec()));
    Ok(())
}

/// `None`: an odd number of digits, or something that is none.
fn from_hex(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    let digit = |d: u8| u8::try_from(char::from(d).to_digit(16)?).ok();
    let octet = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    let octets: Option<Vec<u8>> = pairs.iter().map(octet).collect();
    octets.filter(|_| odd.is_empty()).map(Zeroizing::new)
}

/// The content, without the end of its last line.
fn from_file(path: &Path, a: &mut Args<'_, '_>) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    let real = a.host().real_path(path);
    let facts = real.and_then(|real| a.host().lstat(&real));
    if facts.is_some_and(|facts| facts.mode & OTHERS != 0) {
        let text = format!(
            "the key in {} can be read by others than its owner",
            path.display()
        );
        let fault = a.whole_fault(Code::ReadableKey, text);
        a.report(fault);
    }
    let Ok(octets) = a.host().read(path) else {
        let text = format!("no key can be read from {} - ignored", path.display());
        return Err(a.whole_fault(Code::Unreadable, text).complaint());
    };
    let mut octets = Zeroizing::new(octets);
    for end in [b'\n', b'\r'] {
        if octets.last() == Some(&end) {
            octets.pop();
        }
    }
    Ok(Some(octets))
}

pub(crate) static AUTH_HMAC: Block<HmacDraft> = Block {
    name: "vrrp_instance/auth_hmac",
    rows: &[
        key("key", "<id> <value>|hex:<digits>|file:<path>", one_key),
        key("active_key", "1..=255", |v, a| {
            a.strict(1..=255_u8).map(|id| v.active = Some(id))
        }),
        key("time_window", "seconds, 1..=300", |v, a| {
            let secs = a.strict(1..=300_u16)?;
            v.window = Some(Duration::from_secs(secs.into()));
            Ok(())
        }),
        key("anti_replay", "time|monotonic", |v, a| {
            match a.word()? {
                "time" => v.monotonic = false,
                "monotonic" => v.monotonic = true,
                word => {
                    return Err(a.fault(Code::BadValue, format!("unknown word '{word}' - ignored")));
                }
            }
            Ok(())
        }),
        key("mode", "enforce|permissive|receive-only", |v, a| {
            v.mode = Some(match a.word()? {
                "enforce" => HmacMode::Enforce,
                "permissive" => HmacMode::Permissive,
                "receive-only" => HmacMode::ReceiveOnly,
                word => {
                    return Err(a.fault(Code::BadValue, format!("unknown word '{word}' - ignored")));
                }
            });
            Ok(())
        }),
    ],
    more: &[],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::Fake;
    use crate::config::host::{FileFacts, FileKind};
    use crate::model::auth::{AntiReplay, Auth, Hmac};

    /// What becomes of an instance with this block, and the complaints.
    fn load(lines: &str, more: impl FnOnce(&mut Fake)) -> (Option<Hmac>, Vec<String>) {
        let text = format!(
            "vrrp_instance V {{\n interface eth0\n virtual_router_id 51\n advert_int 4\n auth_hmac {{\n{lines}\n}}
 virtual_ipaddress {{\n 192.0.2.51/24\n }}\n}}\n"
        );
        let mut fake = Fake::with(text);
        more(&mut fake);
        let loaded = fake.load();
        let said = loaded.messages().map(|(_, m)| m).collect();
        let auth = loaded.config.instances[0].auth.clone();
        match auth {
            Auth::Hmac(hmac) => (Some(Hmac::clone(&hmac)), said),
            Auth::None | Auth::Pass(_) | Auth::Ah(_) => (None, said),
        }
    }

    #[test]
    fn keys_come_from_the_line_from_hex_and_from_a_file() {
        let lines = "key 1 0123456789abcdef0123456789abcdef\nkey 2 hex:\
                     000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\nkey 3 file:/run/key\nactive_key 2";
        let (hmac, said) = load(lines, |fake| {
            let text = b"the third key is in a file of 0600\n".to_vec();
            fake.files.insert("/run/key".into(), text);
            let facts = FileFacts {
                kind: FileKind::Regular,
                mode: 0o600,
                uid: 0,
                gid: 0,
            };
            fake.facts.insert("/run/key".into(), facts);
        });
        let hmac = hmac.expect("a usable block");
        assert_eq!(said, Vec::<String>::new());
        let key = |id: u8| hmac.keys[&id].expose().to_vec();
        assert_eq!(key(1), b"0123456789abcdef0123456789abcdef");
        assert_eq!(key(2), (0..32).collect::<Vec<u8>>());
        assert_eq!(key(3), b"the third key is in a file of 0600");
        assert_eq!((hmac.active, hmac.mode), (2, HmacMode::Enforce));
        // Three intervals of 4 s.
        assert_eq!(hmac.replay, AntiReplay::Time(Duration::from_secs(12)));
    }

    #[test]
    fn an_active_key_that_is_not_there_disables_the_whole_block() {
        for lines in [
            "active_key 1",
            "key 1 0123456789abcdef0123456789abcdef",
            "key 1 too-short\nactive_key 1",
            "key 1 hex:zz\nactive_key 1",
            "key 1 file:/none\nactive_key 1",
        ] {
            let (hmac, said) = load(lines, |_| ());
            assert_eq!(hmac, None, "{lines}");
            assert!(
                !said.is_empty() && !said.iter().any(|m| m.contains("too-short")),
                "{said:?}"
            );
        }
    }
}
