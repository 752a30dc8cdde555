//! The keywords of `HTTP_GET`, `SSL_GET` and their `url` blocks.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Http, Protocol, Regex, RegexOptions, Tls, Url};
use crate::config::blocks::checkers::{CheckerDraft, Common, Draft, Kind, Own};
use crate::config::blocks::checks::text;
use crate::config::lex;
use crate::config::source::Code;
use crate::config::table::{Args, Block, Fault, Row, key, raw, renamed, sub};
use crate::config::value;
use crate::model::global::Ssl;
use crate::sys::regex::Pattern;

/// What an `HTTP_GET` or `SSL_GET` block adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpDraft {
    tls: bool,
    virtualhost: Option<Arc<str>>,
    protocol: Protocol,
    enable_sni: bool,
    sni_name: Option<Arc<str>>,
    fast_recovery: bool,
    tls_compliant: Option<bool>,
    urls: Vec<UrlDraft>,
}

/// A `url` block.
#[derive(Clone, Debug, Default)]
pub(crate) struct UrlDraft {
    path: Option<Arc<str>>,
    digests: Vec<[u8; 16]>,
    status: Vec<RangeInclusive<u16>>,
    virtualhost: Option<Arc<str>>,
    tls_compliant: Option<bool>,
    pattern: Option<Arc<str>>,
    no_match: bool,
    options: RegexOptions,
    min_offset: usize,
    max_offset: Option<usize>,
    stack: Option<(u32, u32)>,
    /// An option that needs a pattern was given.
    optioned: bool,
}

const HTTP_ROWS: &[Row<Draft<HttpDraft>>] = &[
    renamed("nb_get_retry", "retry"),
    key("virtualhost", "<STRING>", |v, a| {
        text(&mut v.own.virtualhost, a)
    }),
    key("http_protocol", "1.0|1.0C|1.1", |v, a| {
        v.own.protocol = match a.opt() {
            Some("1.0") => Protocol::V10,
            Some("1.0C" | "1.0c") => Protocol::V10Close,
            Some("1.1") => Protocol::V11,
            Some(other) => {
                return Err(a.fault(
                    Code::BadValue,
                    format!("unknown protocol version '{other}' - ignored"),
                ));
            }
            None => return a.present(),
        };
        Ok(())
    }),
    key("enable_sni", "[<bool>]", |v, a| {
        a.bool().map(|on| v.own.enable_sni = on)
    }),
    key("sni_name", "[<STRING>]", |v, a| match a.peek() {
        Some(_) => {
            v.own.enable_sni = true;
            text(&mut v.own.sni_name, a)
        }
        None if v.own.sni_name.is_some() => {
            Err(a.fault(Code::Repeated, "a name was given before - ignored"))
        }
        None => {
            v.own.enable_sni = true;
            Ok(())
        }
    }),
    key("fast_recovery", "[<bool>]", |v, a| {
        a.bool().map(|on| v.own.fast_recovery = on)
    }),
    sub("url", &URL, |v, a| {
        let mut url = UrlDraft::default();
        a.block(&URL, &mut url);
        if url.path.is_none() {
            return Err(a.fault(Code::NoValue, "a url needs a path - ignored"));
        }
        if url.pattern.is_none() && url.optioned {
            a.log(Code::Useless, "regex options without a regex - ignored");
        }
        if url.max_offset.is_some_and(|max| url.min_offset > max) {
            a.log(
                Code::Conflict,
                "regex_min_offset is above regex_max_offset - both ignored",
            );
            (url.min_offset, url.max_offset) = (0, None);
        }
        v.own.urls.push(url);
        Ok(())
    }),
];

const ROWS: &[&[Row<Draft<HttpDraft>>]] = &[
    HTTP_ROWS,
    Draft::<HttpDraft>::CONNECT_ROWS,
    Draft::<HttpDraft>::TIMING_ROWS,
];

pub(crate) static HTTP_GET: Block<Draft<HttpDraft>> = Block {
    name: "virtual_server/real_server/HTTP_GET",
    rows: &[],
    more: ROWS,
};

pub(crate) static SSL_GET: Block<Draft<HttpDraft>> = Block {
    name: "virtual_server/real_server/SSL_GET",
    rows: &[key("tls_compliant", "[<bool>]", |v, a| {
        a.bool().map(|on| v.own.tls_compliant = Some(on))
    })],
    more: ROWS,
};

fn status_code(v: &mut UrlDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let code = |w: &str| {
        let n = value::whole(w).filter(|n| !n.junk)?;
        u16::try_from(n.value)
            .ok()
            .filter(|n| (100..600).contains(n))
    };
    while let Some(word) = a.opt() {
        let range = match word.split_once('-') {
            Some((low, high)) => code(low).zip(code(high)).filter(|(l, h)| l <= h),
            None => code(word).map(|n| (n, n)),
        };
        match range {
            Some((low, high)) => v.status.push(low..=high),
            None => a.warn(Code::OutOfRange, format!("invalid status code '{word}'")),
        }
    }
    Ok(())
}

fn digest(v: &mut UrlDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let word = a.word()?;
    let mut sum = [0; 16];
    let hex = word.len() == 32 && word.bytes().all(|c| c.is_ascii_hexdigit());
    for (octet, at) in sum.iter_mut().zip((0..).step_by(2)).filter(|_| hex) {
        *octet = u8::from_str_radix(&word[at..at + 2], 16).unwrap_or(0);
    }
    if !hex {
        return Err(a.fault(Code::BadValue, format!("invalid digest '{word}' - ignored")));
    }
    if v.digests.contains(&sum) {
        return Err(a.whole_fault(Code::Duplicate, format!("Digest '{word}' is a duplicate")));
    }
    v.digests.push(sum);
    Ok(())
}

/// `regex`: exactly one word, whose quotes and escapes are those of C.
fn pattern(v: &mut UrlDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    match lex::arguments(a.raw().trim()) {
        Ok(words) => match <[String; 1]>::try_from(words) {
            Ok([word]) => {
                v.pattern = Some(word.into());
                Ok(())
            }
            Err(_) => Err(a.fault(Code::BadValue, "exactly one value is needed - ignored")),
        },
        Err(lex::Unterminated) => Err(a.fault(Code::UnmatchedQuote, "missing terminating quote")),
    }
}

/// One number; anything else is only logged.
fn offset(a: &mut Args<'_, '_>) -> Option<usize> {
    let number = a.opt().and_then(value::whole).filter(|n| !n.junk);
    let number = number.and_then(|n| usize::try_from(n.value).ok());
    if number.is_none() || a.peek().is_some() {
        a.remark(Code::InvalidNumber, "is not one number - ignored");
        return None;
    }
    number
}

pub(crate) static URL: Block<UrlDraft> = Block {
    name: "virtual_server/real_server/HTTP_GET/url",
    rows: &[
        key("path", "<STRING>", |v, a| {
            match v.path.replace(a.word()?.into()) {
                None => Ok(()),
                Some(_) => Err(a.whole_fault(Code::Repeated, "Duplicate path - overwriting")),
            }
        }),
        key("digest", "32 hexadecimal digits", digest),
        key("status_code", "<code|code-code>...", status_code),
        key("virtualhost", "<STRING>", |v, a| {
            text(&mut v.virtualhost, a)
        }),
        raw(key("regex", "<STRING>", pattern)),
        key("regex_no_match", "flag", |v, a| {
            v.optioned = true;
            a.flag().map(|on| v.no_match = on)
        }),
        key("regex_options", "<option>...", |v, a| {
            v.optioned = true;
            // keepalived: unknown words are ignored silently.
            let bits = |word: &str| RegexOptions::WORDS.iter().find(|(w, _)| *w == word);
            let found = a.rest().filter_map(bits).map(|(_, bit)| bit);
            v.options.0 = found.fold(v.options.0, |all, bit| all | bit);
            Ok(())
        }),
        key("regex_min_offset", "octets, default 0", |v, a| {
            v.optioned = true;
            v.min_offset = offset(a).unwrap_or(0);
            Ok(())
        }),
        key("regex_max_offset", "octets, default any", |v, a| {
            v.optioned = true;
            v.max_offset = offset(a);
            Ok(())
        }),
        key("regex_stack", "<start> <max>, octets", |v, a| {
            v.optioned = true;
            let number = |w| value::whole(w).and_then(|n| u32::try_from(n.value).ok());
            let words: Vec<&str> = a.rest().collect();
            v.stack = match words[..] {
                [start, max] => number(start).zip(number(max)).filter(|(s, m)| s <= m),
                _ => None,
            };
            if v.stack.is_none() {
                a.remark(Code::BadValue, "is not two sizes - ignored");
            }
            Ok(())
        }),
        key("tls_compliant", "[<bool>]", |v, a| {
            a.bool().map(|on| v.tls_compliant = Some(on))
        }),
    ],
    more: &[],
};

impl Own for HttpDraft {
    fn finish(mut self, common: Common, a: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault> {
        let patterns = self
            .urls
            .iter()
            .filter_map(|u| Some((u, u.pattern.as_ref()?)));
        for (url, pattern) in patterns {
            // keepalived: only logs it, and dies at the first check.
            if let Err(why) = Pattern::compile(pattern, url.options.0, url.stack) {
                a.log(
                    Code::BadValue,
                    format!(
                        "{}: invalid regex '{pattern}': {why} - removing",
                        a.keyword()
                    ),
                );
                return Ok(Vec::new());
            }
        }
        if self.urls.is_empty() {
            let text = format!("{} needs a url - removing", a.keyword());
            return Err(a.whole_fault(Code::NoValue, text));
        }
        self.tls = a.keyword() == "SSL_GET";
        Ok(vec![common.with(Kind::Http(Box::new(self)))])
    }
}

impl HttpDraft {
    /// The options with what they inherit. `around`: `virtualhost` of the real or the virtual server.
    pub(crate) fn resolve(self, around: Option<Arc<str>>, ssl: &Arc<Ssl>) -> Http {
        let around = self.virtualhost.or(around);
        let urls = self.urls.into_iter().map(|u| {
            let host = u.virtualhost.or_else(|| around.clone());
            let sni = self.sni_name.clone().or_else(|| host.clone());
            let compliant = u.tls_compliant.or(self.tls_compliant);
            Url {
                path: u.path.unwrap_or_default(),
                sni: sni.filter(|_| self.tls && self.enable_sni),
                host,
                digests: u.digests,
                status: match u.status.is_empty() {
                    true => vec![200..=299],
                    false => u.status,
                },
                regex: u.pattern.map(|pattern| Regex {
                    pattern,
                    options: u.options,
                    no_match: u.no_match,
                    min_offset: u.min_offset,
                    max_offset: u.max_offset,
                    stack: u.stack,
                }),
                tls_compliant: compliant.unwrap_or(false),
            }
        });
        Http {
            urls: urls.collect(),
            tls: self.tls.then(|| Tls {
                identity: Arc::clone(ssl),
            }),
            protocol: self.protocol,
            fast_recovery: self.fast_recovery,
        }
    }
}
