//! The checker blocks of a real server. Only `TCP_CHECK` is built; the others are read and checked.

use std::sync::Arc;

use super::super::lex;
use super::super::source::Code;
use super::super::table::{Args, Block, Fault, Row, key, raw, renamed, sub};
use super::super::value;
use super::checks::{boolean, flag, ifname, text};
use super::command;
use super::virtual_server::{
    CheckerDraft, CheckerKind, connect_timeout, delay_before_retry, delay_loop, warmup,
};

/// An address of the family that the other end has, if that is known.
fn same_family(
    slot: &mut Option<std::net::IpAddr>,
    other: Option<std::net::IpAddr>,
    a: &mut Args<'_, '_>,
) -> Result<(), Fault> {
    *slot = None;
    let addr = a.addr()?;
    if other.is_some_and(|o| o.is_ipv4() != addr.is_ipv4()) {
        return Err(a.fault(
            Code::WrongFamily,
            format!("{addr} is of the other family than its other end - ignored"),
        ));
    }
    *slot = Some(addr);
    Ok(())
}

/// How often and how patiently.
pub(super) const TIMING_ROWS: &[Row<CheckerDraft>] = &[
    key("alpha", "[<bool>]", |v, a| {
        a.bool().map(|on| v.timing.alpha = Some(on))
    }),
    key("retry", "number", |v, a| {
        a.int(0..=u32::MAX).map(|n| v.timing.retry = Some(n))
    }),
    key("delay_before_retry", "seconds", delay_before_retry),
    key("warmup", "seconds", warmup),
    key("delay_loop", "seconds, > 0", delay_loop),
    key("log_all_failures", "[<bool>]", |v, a| {
        a.bool().map(|on| v.log_all_failures = Some(on))
    }),
];

/// Where to connect to, and from where.
pub(super) const CONNECT_ROWS: &[Row<CheckerDraft>] = &[
    key(
        "connect_ip",
        "<IP>, default that of the real server",
        |v, a| {
            let other = v.connect.bind_ip;
            same_family(&mut v.connect.ip, other, a)
        },
    ),
    key(
        "connect_port",
        "1..=65535, default that of the real server",
        |v, a| a.int(1..=u16::MAX).map(|n| v.connect.port = Some(n)),
    ),
    key("bindto", "<IP>", |v, a| {
        let other = v.connect.ip.or(v.connect.real);
        same_family(&mut v.connect.bind_ip, other, a)
    }),
    key("bind_if", "<IFNAME>", |v, a| {
        ifname(a).map(|i| v.connect.bind_if = Some(i))
    }),
    key("bind_port", "1..=65535", |v, a| {
        a.int(1..=u16::MAX).map(|n| v.connect.bind_port = n)
    }),
    key("connect_timeout", "seconds, > 0", connect_timeout),
    key("fwmark", "mark of the connection", |v, a| {
        a.int(0..=u32::MAX).map(|n| v.connect.fwmark = n)
    }),
];

/// What `HTTP_GET` and `SSL_GET` have in common.
const HTTP_ROWS: &[Row<CheckerDraft>] = &[
    renamed("nb_get_retry", "retry"),
    key("virtualhost", "<STRING>", |v, a| {
        text(&mut v.virtualhost, a)
    }),
    key("http_protocol", "1.0|1.0C|1.1", |_, a| match a.opt() {
        Some("1.0" | "1.0C" | "1.0c" | "1.1") => Ok(()),
        Some(other) => Err(a.fault(
            Code::BadValue,
            format!("unknown protocol version '{other}' - ignored"),
        )),
        None => a.present(),
    }),
    key("enable_sni", "[<bool>]", boolean),
    key("sni_name", "[<STRING>]", |v, a| match a.peek() {
        Some(_) => text(&mut v.sni_name, a),
        None if v.sni_name.is_some() => {
            Err(a.fault(Code::Repeated, "a name was given before - ignored"))
        }
        None => Ok(()),
    }),
    key("fast_recovery", "[<bool>]", boolean),
    sub("url", &URL, |v, a| {
        let mut url = UrlDraft::default();
        a.block(&URL, &mut url);
        match url.path {
            true => {
                v.complete = true;
                Ok(())
            }
            false => Err(a.fault(Code::NoValue, "a url needs a path - ignored")),
        }
    }),
];

/// A `url` block.
#[derive(Debug, Default)]
pub(crate) struct UrlDraft {
    path: bool,
    digests: Vec<String>,
    virtualhost: Option<Arc<str>>,
}

fn status_code(_: &mut UrlDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let code = |w: &str| {
        value::whole(w)
            .filter(|n| !n.junk && (100..600).contains(&n.value))
            .map(|n| n.value)
    };
    while let Some(word) = a.opt() {
        let good = match word.split_once('-') {
            Some((low, high)) => code(low).zip(code(high)).is_some_and(|(l, h)| l <= h),
            None => code(word).is_some(),
        };
        if !good {
            a.warn(Code::OutOfRange, format!("invalid status code '{word}'"));
        }
    }
    Ok(())
}

pub(crate) static URL: Block<UrlDraft> = Block {
    name: "virtual_server/real_server/HTTP_GET/url",
    rows: &[
        key("path", "<STRING>", |v, a| {
            a.word()?;
            if std::mem::replace(&mut v.path, true) {
                let text = "Duplicate path - overwriting";
                return Err(a.whole_fault(Code::Repeated, text));
            }
            Ok(())
        }),
        key("digest", "32 hexadecimal digits", |v, a| {
            let word = a.word()?;
            if word.len() != 32 || !word.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(a.fault(Code::BadValue, format!("invalid digest '{word}' - ignored")));
            }
            if v.digests.iter().any(|d| d == word) {
                return Err(
                    a.whole_fault(Code::Duplicate, format!("Digest '{word}' is a duplicate"))
                );
            }
            v.digests.push(word.to_owned());
            Ok(())
        }),
        key("status_code", "<code|code-code>...", status_code),
        key("virtualhost", "<STRING>", |v, a| {
            text(&mut v.virtualhost, a)
        }),
        raw(key("regex", "<STRING>", |_, a| {
            let raw = a.raw().trim();
            match lex::arguments(raw) {
                Ok(words) if words.len() == 1 => Ok(()),
                Ok(_) => Err(a.fault(Code::BadValue, "exactly one value is needed - ignored")),
                Err(lex::Unterminated) => {
                    Err(a.fault(Code::UnmatchedQuote, "missing terminating quote"))
                }
            }
        })),
        key("regex_no_match", "flag", flag),
        key("regex_options", "<option>...", flag),
        key("regex_min_offset", "number", flag),
        key("regex_max_offset", "number", flag),
        key("regex_stack", "<start> <max>", flag),
        key("tls_compliant", "[<bool>]", boolean),
    ],
    more: &[],
};

fn hex(a: &mut Args<'_, '_>, wild: bool) -> Result<(), Fault> {
    let good = |c: char| c.is_ascii_hexdigit() || (wild && matches!(c, 'x' | 'X'));
    let words: Vec<&str> = a.rest().collect();
    match words.iter().all(|w| w.chars().all(good)) {
        true => Ok(()),
        false => Err(a.fault(Code::BadValue, "not hexadecimal digits - ignored")),
    }
}

/// A block that takes connection rows, timing rows and some of its own.
macro_rules! checker {
    ($(#[$doc:meta])* $name:ident, $block:literal, [$($row:expr),* $(,)?], $($group:expr),*) => {
        $(#[$doc])*
        pub(crate) static $name: Block<CheckerDraft> = Block {
            name: concat!("virtual_server/real_server/", $block),
            rows: &[$($row),*],
            more: &[$($group),*],
        };
    };
}

checker!(TCP_CHECK, "TCP_CHECK", [], CONNECT_ROWS, TIMING_ROWS);
checker!(
    HTTP_GET,
    "HTTP_GET",
    [],
    HTTP_ROWS,
    CONNECT_ROWS,
    TIMING_ROWS
);
checker!(
    SSL_GET,
    "SSL_GET",
    [key("tls_compliant", "[<bool>]", boolean)],
    HTTP_ROWS,
    CONNECT_ROWS,
    TIMING_ROWS
);
checker!(PING_CHECK, "PING_CHECK", [], CONNECT_ROWS, TIMING_ROWS);
checker!(
    UDP_CHECK,
    "UDP_CHECK",
    [
        key("payload", "<HEX STRING>", |_, a| {
            a.present()?;
            hex(a, false)
        }),
        key("require_reply", "[<HEX STRING>]", |_, a| hex(a, true)),
        key("min_reply_length", "0..=65535", |_, a| a
            .strict(0..=u16::MAX)
            .map(drop)),
        key("max_reply_length", "0..=65535", |_, a| a
            .strict(0..=u16::MAX)
            .map(drop)),
    ],
    CONNECT_ROWS,
    TIMING_ROWS
);
checker!(SMTP_HOST, "SMTP_CHECK/host", [], CONNECT_ROWS, TIMING_ROWS);
checker!(
    SMTP_CHECK,
    "SMTP_CHECK",
    [
        key("helo_name", "<STRING>", |v, a| {
            a.present()?;
            match std::mem::replace(&mut v.named, true) {
                true => {
                    Err(a.whole_fault(Code::Repeated, "SMTP_CHECK helo name already specified"))
                }
                false => Ok(()),
            }
        }),
        sub("host", &SMTP_HOST, |v, a| {
            a.log(
                Code::Deprecated,
                "is deprecated - please use several SMTP_CHECK blocks",
            );
            a.block(&SMTP_HOST, v);
            Ok(())
        }),
    ],
    CONNECT_ROWS,
    TIMING_ROWS
);
checker!(
    DNS_CHECK,
    "DNS_CHECK",
    [
        key("type", "A|NS|CNAME|SOA|MX|TXT|AAAA|RRSIG|DNSKEY", |_, a| {
            let known = [
                "A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "RRSIG", "DNSKEY",
            ];
            let word = a.word()?;
            match known.iter().any(|k| k.eq_ignore_ascii_case(word)) {
                true => Ok(()),
                false => Err(a.fault(
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
            match std::mem::replace(&mut v.named, true) {
                true => Err(a.fault(Code::Repeated, "already specified - overwriting")),
                false => Ok(()),
            }
        }),
    ],
    CONNECT_ROWS,
    TIMING_ROWS
);
checker!(
    MISC_CHECK,
    "MISC_CHECK",
    [
        raw(key(
            "misc_path",
            "<CMD|\"CMD ARGS...\">, one word",
            |v, a| {
                v.script = None;
                let Ok(line) = lex::command(a.raw()) else {
                    return Err(a.fault(Code::UnmatchedQuote, "missing terminating quote"));
                };
                let span = a.span();
                v.script = (!line.argv.is_empty()).then_some(command::CommandDraft {
                    argv: line.argv,
                    user: None,
                    span,
                });
                v.complete = v.script.is_some();
                Ok(())
            }
        )),
        key("misc_timeout", "seconds, 0..=4294", |_, a| a
            .int(0..=4294_u32)
            .map(drop)),
        key("misc_dynamic", "flag", flag),
        key("user", "<USER> [[:]<GROUP>]", |v, a| {
            a.present()?;
            let name = a.word()?;
            let group = a.opt();
            v.user = command::credentials(a.host(), name, group);
            v.bad_user = v.user.is_none();
            match v.bad_user {
                true => {
                    let argv = v.script.as_ref().map_or(&[][..], |s| &s.argv);
                    let shown: Vec<String> = argv.iter().map(|w| format!("'{w}'")).collect();
                    let text = format!(
                        "Failed to set uid/gid for misc checker script {} - removing",
                        shown.join(" ")
                    );
                    Err(a.whole_fault(Code::Script, text).complaint())
                }
                false => Ok(()),
            }
        }),
    ],
    TIMING_ROWS
);
checker!(
    FILE_CHECK,
    "FILE_CHECK",
    [
        key("track_file", "<NAME>", |v, a| {
            let name = a.word()?;
            match v.known.files.contains(name) {
                true => {
                    v.complete = true;
                    Ok(())
                }
                false => Err(a.fault(
                    Code::NotFound,
                    format!("track_file {name} not found - ignored"),
                )),
            }
        }),
        key("weight", "<int> [reverse|noreverse]", |_, a| {
            a.present()?;
            a.int(-2_147_483_647..=2_147_483_647_i32)?;
            match a.opt() {
                None | Some("reverse" | "noreverse") => Ok(()),
                Some(word) => Err(a.fault(
                    Code::UnknownWord,
                    format!("unknown word '{word}' - ignored"),
                )),
            }
        }),
    ],
    TIMING_ROWS
);
checker!(
    BFD_CHECK,
    "BFD_CHECK",
    [
        key("name", "<NAME>", |v, a| {
            let name = a.only()?;
            match v.known.bfds.contains(name) {
                true => {
                    v.complete = true;
                    Ok(())
                }
                false => Err(a.fault(
                    Code::NotFound,
                    format!("BFD instance {name} not found - ignored"),
                )),
            }
        }),
        key("alpha", "[<bool>]", boolean),
    ],
);

/// What a checker block must hold to be one.
pub(super) fn finish(v: &CheckerDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let needs = match v.kind {
        CheckerKind::Tcp
        | CheckerKind::Udp
        | CheckerKind::Smtp
        | CheckerKind::Dns
        | CheckerKind::Ping => None,
        CheckerKind::Http => Some("a url"),
        CheckerKind::Misc => Some("misc_path"),
        CheckerKind::File => Some("track_file"),
        CheckerKind::Bfd => Some("name"),
    };
    match needs {
        Some(what) if !v.complete => Err(a.whole_fault(
            Code::NoValue,
            format!("{} needs {what} - removing", a.keyword()),
        )),
        Some(_) | None => Ok(()),
    }
}
