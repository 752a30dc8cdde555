//! The checkers of a real server.

use std::fmt::Write as _;

use super::sheet::{Said, Sheet, escaped, seconds, switch, word};
use crate::lvs::checker::Check;
use crate::lvs::checker::bfd::Bfd;
use crate::lvs::checker::connect::{Connect, Source};
use crate::lvs::checker::dns::{Dns, QueryType};
use crate::lvs::checker::file::File;
use crate::lvs::checker::http::{Http, Protocol, Regex, RegexOptions, Url};
use crate::lvs::checker::misc::Misc;
use crate::lvs::checker::smtp::Smtp;
use crate::lvs::checker::udp::{Octet, Reply, Udp};
use crate::model::lvs::{Checker, Timing};

/// Whether it connects: the others inherit what they have no keyword for.
fn connects(check: &Check) -> bool {
    match check {
        Check::Tcp(_)
        | Check::Udp(..)
        | Check::Http(..)
        | Check::Smtp(..)
        | Check::Dns(..)
        | Check::Ping(_) => true,
        Check::Misc(_) | Check::File(_) | Check::Bfd(_) => false,
    }
}

/// A keyword of a checker, which its real or its virtual server may have said.
fn nearest(keyword: &str) -> [Said<'_>; 3] {
    [
        Said::Here(keyword),
        Said::Outer(keyword),
        Said::Outermost(keyword),
    ]
}

/// What the real server must say for checkers without keywords of their own for it.
pub(super) fn inherited(s: &mut Sheet<'_>, checkers: &[Checker]) {
    let not_connecting = checkers.iter().find(|c| !connects(&c.check));
    if let Some(checker) = not_connecting {
        let from = nearest("connect_timeout");
        let value = seconds(checker.connect_timeout);
        s.key_from("connect_timeout", &value, &from[..2]);
    }
    let bfd = checkers.iter().find(|c| matches!(c.check, Check::Bfd(_)));
    if let Some(checker) = bfd {
        let from = nearest("delay_loop");
        s.key_from("delay_loop", &seconds(checker.delay_loop), &from[..2]);
        let from = nearest("delay_before_retry");
        let value = seconds(checker.delay_before_retry);
        s.key_from("delay_before_retry", &value, &from[..2]);
        let from = nearest("warmup");
        s.key_from("warmup", &seconds(checker.warmup), &from[..2]);
        if checker.retry > 0 {
            let from = nearest("retry");
            s.key_from("retry", &checker.retry.to_string(), &from[..2]);
        }
    }
}

/// What the virtual server must say: a timeout that is no whole number of seconds has no keyword.
pub(super) fn odd_timeout<'m>(mut checkers: impl Iterator<Item = &'m Checker>) -> Option<String> {
    checkers.find_map(|c| match &c.check {
        Check::Misc(misc) if misc.timeout.subsec_nanos() > 0 => Some(seconds(misc.timeout)),
        Check::Tcp(_)
        | Check::Udp(..)
        | Check::Http(..)
        | Check::Smtp(..)
        | Check::Dns(..)
        | Check::Ping(_)
        | Check::Misc(_)
        | Check::File(_)
        | Check::Bfd(_) => None,
    })
}

/// All checkers, in file order.
pub(super) fn checkers(s: &mut Sheet<'_>, checkers: &[Checker]) {
    let mut nth = std::collections::HashMap::new();
    for checker in checkers {
        let (keyword, connects) = (checker.check.keyword(), connects(&checker.check));
        let count = nth.entry(keyword).or_insert(0_usize);
        let said = s.inner(keyword);
        let from = said.get(*count..=*count).unwrap_or_default();
        *count += 1;
        s.block(keyword, from, |s| {
            timing(s, checker, connects);
            options(s, &checker.check);
        });
    }
}

/// What every checker has; the nearest one who says it counts.
fn timing(s: &mut Sheet<'_>, checker: &Checker, connects: bool) {
    let Checker { check, timing } = checker;
    let Timing {
        delay_loop,
        connect_timeout,
        retry,
        delay_before_retry,
        warmup,
        alpha,
        log_all_failures,
    } = &**timing;
    s.key_from("alpha", switch(*alpha), &nearest("alpha"));
    if matches!(check, Check::Bfd(_)) {
        return;
    }
    if connects {
        let from = nearest("connect_timeout");
        s.key_from("connect_timeout", &seconds(*connect_timeout), &from);
    }
    let times = [
        ("delay_loop", delay_loop),
        ("delay_before_retry", delay_before_retry),
    ];
    for (keyword, time) in times {
        s.key_from(keyword, &seconds(*time), &nearest(keyword));
    }
    let [here, outer, outermost] = nearest("retry");
    let from = [here, Said::Here("nb_get_retry"), outer, outermost];
    s.key_from("retry", &retry.to_string(), &from);
    let [here, outer, outermost] = nearest("warmup");
    let [of_loop, of_outer, of_outermost] = nearest("delay_loop");
    let from = [here, outer, outermost, of_loop, of_outer, of_outermost];
    s.key_from("warmup", &seconds(*warmup), &from);
    let on = *log_all_failures;
    s.toggle_of("log_all_failures", on, "checker_log_all_failures");
}

fn options(s: &mut Sheet<'_>, check: &Check) {
    match check {
        Check::Tcp(connect) | Check::Ping(connect) => connection(s, connect),
        Check::Udp(connect, options) => {
            connection(s, connect);
            udp(s, options);
        }
        Check::Http(connect, options) => {
            connection(s, connect);
            http(s, options);
        }
        Check::Smtp(connect, smtp) => {
            let Smtp { helo_name } = &**smtp;
            connection(s, connect);
            s.key("helo_name", word(helo_name));
        }
        Check::Dns(connect, options) => {
            let Dns { kind, name } = &**options;
            connection(s, connect);
            let kind = QueryType::ALL.iter().find(|(_, k)| k == kind);
            s.key("type", kind.map_or("SOA", |(name, _)| name));
            s.key("name", word(&format!("{name}.")));
        }
        Check::Misc(options) => misc(s, options),
        Check::File(File {
            file,
            weight,
            reverse,
        }) => {
            s.key("track_file", word(file));
            let reverse = if *reverse { "reverse" } else { "noreverse" };
            s.key("weight", format_args!("{weight} {reverse}"));
        }
        Check::Bfd(Bfd { name }) => s.key("name", word(name)),
    }
}

fn connection(s: &mut Sheet<'_>, connect: &Connect) {
    let Connect { target, from: _ } = connect;
    let Source {
        addr,
        port,
        interface,
        fwmark,
    } = connect.source();
    s.key("connect_ip", target.ip());
    s.option("connect_port", Some(target.port()).filter(|n| *n > 0));
    s.option("bindto", *addr);
    s.option("bind_port", Some(*port).filter(|n| *n > 0));
    s.option("bind_if", interface.as_ref().map(|i| word(i.as_str())));
    s.option("fwmark", Some(*fwmark).filter(|n| *n > 0));
}

fn misc(s: &mut Sheet<'_>, misc: &Misc) {
    let Misc {
        command,
        timeout,
        dynamic,
    } = misc;
    s.key("misc_path", super::sheet::command(&command.argv));
    if let Some(user) = &command.user {
        let user = s.user(user);
        s.key_from(
            "user",
            &user,
            &[Said::Here("user"), Said::Global("script_user")],
        );
    }
    if timeout.subsec_nanos() == 0 {
        let from = [Said::Here("misc_timeout"), Said::Outermost("delay_loop")];
        s.key_from("misc_timeout", &seconds(*timeout), &from);
    }
    s.flag("misc_dynamic", *dynamic);
}

/// Two hexadecimal digits each; `x` where nothing is compared.
fn pattern(octets: &[Octet]) -> String {
    let mut out = String::new();
    for Octet { value, mask } in octets {
        for (digit, counts) in [(value >> 4, mask >> 4), (value & 0xf, mask & 0xf)] {
            match counts {
                0 => out.push('x'),
                _ => _ = write!(out, "{digit:x}"),
            }
        }
    }
    out
}

fn udp(s: &mut Sheet<'_>, udp: &Udp) {
    let Udp {
        payload,
        reply,
        min_length,
        max_length,
    } = udp;
    let hex = |octets: &Vec<u8>| {
        octets
            .iter()
            .map(|o| format!("{o:02x}"))
            .collect::<String>()
    };
    let payload = payload.as_ref().map(hex);
    s.option("payload", payload.as_ref().map(|p| word(p)));
    match reply {
        Reply::NotNeeded => s.flag("require_reply", false),
        Reply::Any => s.flag("require_reply", true),
        Reply::Like(octets) => s.key("require_reply", pattern(octets)),
    }
    s.key("min_reply_length", min_length);
    s.key("max_reply_length", max_length);
}

fn http(s: &mut Sheet<'_>, http: &Http) {
    let Http {
        tls,
        protocol,
        urls,
        fast_recovery,
    } = http;
    s.key(
        "http_protocol",
        match protocol {
            Protocol::V10 => "1.0",
            Protocol::V10Close => "1.0C",
            Protocol::V11 => "1.1",
        },
    );
    s.toggle("fast_recovery", *fast_recovery);
    let named = urls.iter().find_map(|u| u.sni.as_ref());
    let by_host = urls.iter().all(|u| u.sni == u.host);
    match named {
        _ if tls.is_none() => {}
        None => s.toggle("enable_sni", false),
        Some(_) if by_host => {
            let from = [Said::Here("enable_sni"), Said::Here("sni_name")];
            s.key_from("enable_sni", "on", &from);
        }
        Some(name) => s.key("sni_name", word(name)),
    }
    let said = s.inner("url");
    for (n, url) in urls.iter().enumerate() {
        let from = said.get(n..=n).unwrap_or_default();
        s.block("url", from, |s| self::url(s, url));
    }
}

fn url(s: &mut Sheet<'_>, url: &Url) {
    let Url {
        path,
        host,
        sni: _,
        digests,
        status,
        regex,
        tls_compliant,
    } = url;
    s.key("path", word(path));
    let host = host.as_ref();
    match host {
        Some(host) => s.key_from("virtualhost", &word(host), &nearest("virtualhost")),
        None => s.remark("virtualhost: none"),
    }
    for digest in digests {
        let hex: String = digest.iter().map(|o| format!("{o:02x}")).collect();
        s.key("digest", hex);
    }
    let codes = status.iter().map(|r| match (r.start(), r.end()) {
        (low, high) if low == high => low.to_string(),
        (low, high) => format!("{low}-{high}"),
    });
    s.key("status_code", codes.collect::<Vec<_>>().join(" "));
    match regex {
        Some(regex) => self::regex(s, regex),
        None => s.remark("regex: none"),
    }
    let from = [Said::Here("tls_compliant"), Said::Outer("tls_compliant")];
    s.key_from("tls_compliant", switch(*tls_compliant), &from);
}

fn regex(s: &mut Sheet<'_>, regex: &Regex) {
    let Regex {
        pattern,
        options: RegexOptions(bits),
        no_match,
        min_offset,
        max_offset,
        stack,
    } = regex;
    s.key("regex", format_args!("\"{}\"", escaped(pattern)));
    let words = RegexOptions::WORDS.iter();
    let words: Vec<&str> = words
        .filter(|(_, bit)| bits & bit != 0)
        .map(|(word, _)| *word)
        .collect();
    s.option(
        "regex_options",
        Some(words.join(" ")).filter(|w| !w.is_empty()),
    );
    s.flag("regex_no_match", *no_match);
    s.option("regex_min_offset", Some(*min_offset).filter(|n| *n > 0));
    s.option("regex_max_offset", *max_offset);
    s.option(
        "regex_stack",
        stack.map(|(start, max)| format!("{start} {max}")),
    );
}
