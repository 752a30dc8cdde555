//! Virtual servers: what is inherited, what is corrected, what is refused.

use std::sync::Arc;
use std::time::Duration;

use super::super::fake::Fake;
use super::super::source::Code;
use crate::lvs::checker::Check;
use crate::lvs::checker::http::Http;
use crate::lvs::checker::udp::{Octet, Reply};
use crate::model::lvs::{
    Checker, Listen, Method, Persistence, RealServer, ServiceKey, Tunnel, TunnelChecksum,
    VirtualServer,
};
use crate::model::net::Family;

/// The virtual servers of a text, and the codes of what was said about it.
fn read(text: &str) -> (Vec<Arc<VirtualServer>>, Vec<Code>) {
    let mut machine = Fake::with(text);
    machine.programs.push("/bin/true".into());
    let loaded = machine.load();
    let codes = loaded.diags.iter().map(|d| d.code).collect();
    (loaded.config.virtual_servers.clone(), codes)
}

/// A virtual server with these statements in it, its real server and its checker.
fn server(own: &str, real: &str, check: &str) -> RealServer {
    let text = format!(
        "virtual_server 192.0.2.8 80 {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n{own}\n\
         real_server 192.0.2.18 80 {{\n{real}\n{check}\n}}\n}}\n"
    );
    let (servers, codes) = read(&text);
    assert_eq!(servers.len(), 1, "{codes:?}");
    servers[0].real_servers[0].clone()
}

fn checker(own: &str, real: &str, check: &str) -> Checker {
    server(own, real, check).checkers[0].clone()
}

fn http(own: &str, real: &str, check: &str) -> Http {
    let checker = checker(own, real, check);
    let Check::Http(_, http) = &checker.check else {
        panic!("{checker:?}");
    };
    Http::clone(http)
}

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn what_is_said_nearest_wins() {
    let tcp = |more: &str| format!("TCP_CHECK {{\n{more}\n}}");
    let c = checker("", "", &tcp(""));
    assert_eq!((c.retry, c.delay_before_retry), (1, S(1)));
    assert_eq!((c.delay_loop, c.connect_timeout), (S(60), S(5)));
    assert_eq!((c.warmup, c.alpha), (S(60), false));
    let own = "retry 9\ndelay_loop 9\nconnect_timeout 9\ndelay_before_retry 9\nalpha";
    let c = checker(own, "", &tcp(""));
    assert_eq!((c.retry, c.delay_loop, c.warmup), (9, S(9), S(9)));
    assert!(c.alpha);
    let c = checker(
        own,
        "retry 8\ndelay_loop 8\nalpha off",
        &tcp("delay_loop 7\nwarmup 0"),
    );
    assert_eq!((c.retry, c.delay_loop, c.connect_timeout), (8, S(7), S(9)));
    assert_eq!((c.warmup, c.alpha), (S(0), false));
    assert_eq!(checker("retry 3", "", &tcp("retry 0")).retry, 0);
}

#[test]
fn each_kind_has_its_defaults() {
    let of = |check: &str| {
        let c = checker("delay_loop 20", "", check);
        (c.retry, c.delay_before_retry)
    };
    assert_eq!(of("DNS_CHECK {\n}"), (3, S(20)));
    assert_eq!(of("HTTP_GET {\nurl {\npath /\n}\n}"), (1, S(3)));
    assert_eq!(of("MISC_CHECK {\nmisc_path /bin/true\n}"), (0, S(1)));
    assert_eq!(of("PING_CHECK {\n}"), (1, S(1)));
    let misc = checker("delay_loop 20", "", "MISC_CHECK {\nmisc_path /bin/true\n}");
    let Check::Misc(misc) = misc.check else {
        panic!("{misc:?}");
    };
    assert_eq!(misc.timeout, S(20));
}

#[test]
fn a_mail_check_takes_a_connect_timeout_that_follows_it() {
    let text = "SMTP_CHECK {\nhelo_name me\n}\nconnect_timeout 3";
    assert_eq!(checker("", "", text).connect_timeout, S(3));
    let hosts = "SMTP_CHECK {\nhost {\nconnect_ip 192.0.2.1\n}\nhost {\nconnect_port 26\n}\n}";
    let targets: Vec<_> = server("", "", hosts)
        .checkers
        .into_iter()
        .map(|c| {
            let Check::Smtp(connect, _) = &c.check else {
                panic!("{c:?}");
            };
            connect.target.to_string()
        })
        .collect();
    assert_eq!(targets, ["192.0.2.1:80", "192.0.2.18:26"]);
}

#[test]
fn the_name_of_a_page_and_of_its_certificate_have_one_order() {
    let get =
        |more: &str, of_url: &str| format!("SSL_GET {{\n{more}\nurl {{\npath /\n{of_url}\n}}\n}}");
    let names = |own: &str, real: &str, check: &str| {
        let url = http(own, real, check).urls[0].clone();
        let text = |name: Option<Arc<str>>| name.as_deref().unwrap_or("-").to_owned();
        (text(url.host), text(url.sni))
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(names("", "", &get("enable_sni", "")), pair("-", "-"));
    let own = "virtualhost vs";
    assert_eq!(names(own, "", &get("", "")), pair("vs", "-"));
    let real = "virtualhost rs";
    assert_eq!(names(own, real, &get("enable_sni", "")), pair("rs", "rs"));
    let both = get("enable_sni\nvirtualhost c", "virtualhost u");
    assert_eq!(names(own, real, &both), pair("u", "u"));
    assert_eq!(names(own, "", &get("sni_name s", "")), pair("vs", "s"));
}

#[test]
fn pages_are_modelled_with_all_that_is_said() {
    let page = http(
        "",
        "",
        "HTTP_GET {\nhttp_protocol 1.0C\nfast_recovery\nurl {\npath /a\nstatus_code 200 300-302\n\
         digest 6f5902ac237024bdd0c176cb93063dc4\nregex \"a\\tb\"\nregex_options caseless nonsense utf\n\
         regex_min_offset 3\nregex_max_offset 9\nregex_no_match\n}\nurl {\npath /b\n}\n}",
    );
    assert!(page.fast_recovery && page.tls.is_none());
    let [first, second] = &page.urls[..] else {
        panic!("{page:?}");
    };
    assert_eq!(first.status, [200..=200, 300..=302]);
    assert_eq!(second.status, [200..=299]);
    assert_eq!(first.digests[0][..3], [0x6f, 0x59, 0x02]);
    let regex = first.regex.as_ref().expect("a pattern");
    assert_eq!((&*regex.pattern, regex.options.0), ("a\tb", 0x0008_0008));
    assert_eq!((regex.min_offset, regex.max_offset), (3, Some(9)));
    assert!(regex.no_match);
    // A pattern that PCRE2 does not understand.
    let bad = server("", "", "HTTP_GET {\nurl {\npath /\nregex a(\n}\n}");
    assert_eq!(bad.checkers[..], []);
}

/// Stock takes it, and its first check ends the process.
#[test]
fn a_checker_with_a_pattern_that_cannot_be_used_is_removed() {
    let of = |pattern: &str| {
        let page = format!("HTTP_GET {{\nurl {{\npath /\nregex {pattern}\n}}\n}}");
        server("", "", &page).checkers.len()
    };
    assert_eq!((of("ab+c"), of("ab(c")), (1, 0));
    let without = |block: &str| server("", "", block).checkers.len();
    assert_eq!(without("HTTP_GET {\n}"), 0);
    assert_eq!(without("HTTP_GET {\nurl {\nstatus_code 200\n}\n}"), 0);
}

#[test]
fn digits_of_a_datagram_pair_up_within_words() {
    let text = "UDP_CHECK {\npayload Ab12f 3 456\nrequire_reply aX 1\nmax_reply_length 9\n}";
    let Check::Udp(_, udp) = checker("", "", text).check else {
        panic!("not UDP");
    };
    assert_eq!(udp.payload, Some(vec![0xab, 0x12, 0x0f, 3, 0x45, 6]));
    let octet = |value, mask| Octet { value, mask };
    assert_eq!(
        udp.reply,
        Reply::Like(vec![octet(0xa0, 0xf0), octet(1, 0xff)])
    );
    assert_eq!((udp.min_length, udp.max_length), (0, 9));
}

#[test]
fn groups_become_addresses_first_and_then_marks() {
    let text = "virtual_server_group G {\n fwmark 5\n 192.0.2.1-3 80\n}
virtual_server group G {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 192.0.2.18 80 {\n }\n}
virtual_server group G {\n lb_algo rr\n lb_kind DR\n protocol UDP\n real_server 192.0.2.18 80 {\n }\n}
virtual_server fwmark 5 {\n lb_algo rr\n lb_kind DR\n real_server 2001:db8::1 {\n }\n}
virtual_server fwmark 0 {\n lb_algo rr\n lb_kind DR\n real_server 192.0.2.18 {\n }\n}
virtual_server 192.0.2.3 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 192.0.2.18 80 {\n }\n}
";
    let (servers, codes) = read(text);
    let range = Listen::Addresses {
        first: [192, 0, 2, 1].into(),
        last: [192, 0, 2, 3].into(),
        port: 80,
    };
    let mark = |family| Listen::Fwmark { mark: 5, family };
    let listens: Vec<_> = servers.iter().map(|s| s.listen.clone()).collect();
    // The mark has one owner per family, and so has an address; a mark of 0 is none.
    let first = vec![range, mark(Family::V4)];
    assert_eq!(listens, [first, vec![range], vec![mark(Family::V6)]]);
    assert_eq!(codes.iter().filter(|c| **c == Code::Duplicate).count(), 2);
    assert!(codes.contains(&Code::BadValue));
    let number = |s: &VirtualServer| match s.key {
        ServiceKey::Group { number, .. } => Some(number),
        ServiceKey::Address { .. } | ServiceKey::Fwmark { .. } => None,
    };
    let numbers: Vec<_> = servers.iter().map(|s| number(s)).collect();
    assert_eq!(numbers, [Some(0), Some(1), None]);
}

#[test]
fn a_quorum_stays_within_reach_and_thresholds_in_order() {
    let text = "virtual_server 192.0.2.8 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n quorum 5\n hysteresis 7\n\
                real_server 192.0.2.18 80 {\n weight 0\n uthreshold 3\n lthreshold 4\n}\n}\n";
    let (servers, _) = read(text);
    let vs = &servers[0];
    assert_eq!((vs.quorum, vs.hysteresis), (1, 0));
    let rs = &vs.real_servers[0];
    assert_eq!((rs.uthreshold, rs.lthreshold), (3, 0));
}

#[test]
fn tunnels_flags_and_persistence_are_modelled() {
    let text = "virtual_server 2001:db8::8 {\n lb_algo mh\n mh-port\n sh-fallback\n flag-3\n protocol UDP\n ops\n\
                persistence_granularity 64\n persistence_engine sip\n\
                lb_kind TUN type gue port 6080 remcsum\n real_server 192.0.2.18 {\n }\n\
                real_server 2001:db8::18 {\n lvs_method TUN type gre csum\n }\n}\n";
    let (servers, _) = read(text);
    let vs = &servers[0];
    assert!(!vs.flags.first && vs.flags.second && vs.flags.third && vs.ops);
    let kept = Persistence {
        timeout: S(360),
        granularity: Some(crate::model::lvs::Granularity::V6(64)),
        engine: Some("sip".into()),
    };
    assert_eq!(vs.persistence, Some(kept));
    let methods: Vec<_> = vs.real_servers.iter().map(|r| r.method).collect();
    let gue = Tunnel::Gue {
        port: 6080,
        checksum: TunnelChecksum::Remote,
    };
    let gre = Tunnel::Gre {
        checksum: TunnelChecksum::Checksum,
    };
    assert_eq!(methods, [Method::Tun(gue), Method::Tun(gre)]);
}

#[test]
fn alerts_are_on_for_real_servers_and_off_for_virtual_ones_unless_said() {
    let of = |global: &str, own: &str, real: &str| {
        let text = format!(
            "global_defs {{\n{global}\n}}\nvirtual_server 192.0.2.8 80 {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n\
             {own}\nreal_server 192.0.2.18 80 {{\n{real}\n}}\n}}\n"
        );
        let (servers, _) = read(&text);
        (servers[0].hooks.mail, servers[0].real_servers[0].hooks.mail)
    };
    assert_eq!(of("", "", ""), (false, true));
    assert_eq!(of("smtp_alert", "", "smtp_alert off"), (true, false));
    assert_eq!(
        of("smtp_alert\nsmtp_alert_checker off", "smtp_alert", ""),
        (true, false)
    );
}

/// Stock serves both, and each removes what the other one added.
#[test]
fn a_virtual_server_that_is_there_already_is_refused() {
    let server = |at: &str, method: &str, rs: u8| {
        format!(
            "virtual_server {at} {{\n lb_algo rr\n lb_kind {method}\n protocol TCP\n\
             real_server 192.0.2.{rs} 80 {{\n}}\n}}\n"
        )
    };
    let all = [
        server("192.0.2.8 80", "NAT", 18),
        server("192.0.2.8 80", "NAT", 19),
        server("192.0.2.8 81", "NAT", 19),
        server("fwmark 7", "DR", 18),
        server("fwmark 7", "NAT", 19),
    ];
    let (servers, codes) = read(&all.concat());
    let first: Vec<_> = servers
        .iter()
        .map(|vs| vs.real_servers[0].addr.ip().to_string())
        .collect();
    assert_eq!(first, ["192.0.2.18", "192.0.2.19", "192.0.2.18"]);
    let refused = codes.iter().filter(|c| **c == Code::Duplicate).count();
    assert_eq!(refused, 2);
}
