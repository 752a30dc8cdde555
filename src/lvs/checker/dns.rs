//! `DNS_CHECK`: a name server that answers a question without an error is health.

use std::sync::Arc;

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
        Ok(vec![common.with(Kind::Dns(self.options))])
    }
}
