//! The checkers of real servers.

use std::time::Duration;

use super::{Text, server};
use crate::daemon::bus::CheckSnapshot;
use crate::dump::lines::Lines as _;
use crate::dump::words::{Micros, Words, yes};
use crate::lvs::checker::connect::Connect;
use crate::lvs::checker::dns::QueryType;
use crate::lvs::checker::http::{Http, Protocol, Url};
use crate::lvs::checker::udp::{Reply, Udp};
use crate::lvs::checker::{Check, misc::Misc};
use crate::model::lvs::{Checker, RealServer, VirtualServer};

impl Text {
    pub(super) fn checker(
        &mut self,
        vs: &VirtualServer,
        rs: &RealServer,
        checker: &Checker,
        now: Option<&CheckSnapshot>,
    ) {
        self.line(format_args!(
            " {} -> {}",
            vs.key,
            server(rs.addr, vs.transport)
        ));
        if let Some(now) = now {
            self.pair("Enabled", yes(now.enabled));
            self.pair("Up", yes(now.up));
            self.pair("Has run", yes(now.ran));
        }
        match checker.check {
            Check::File(_) => {}
            Check::Bfd(_) => {
                // keepalived: what means nothing here is as large as can be.
                self.pair("Alpha", yes(checker.alpha));
                self.pair("Delay loop", format_args!("{} us", u64::MAX));
                self.pair("Warmup", format_args!("{} us", u64::MAX));
                self.pair("Retries", u32::MAX);
                self.pair("Delay before retry", format_args!("{} us", u64::MAX));
                self.pair("Retries iterations", u32::MAX);
                self.pair("Default delay before retry", "1000000 us");
            }
            Check::Tcp(_)
            | Check::Udp(..)
            | Check::Http(..)
            | Check::Smtp(..)
            | Check::Dns(..)
            | Check::Ping(_)
            | Check::Misc(_) => self.timing(checker, now),
        }
        self.pair("Log all failures", yes(checker.log_all_failures));
        let timeout = checker.connect_timeout;
        match &checker.check {
            Check::Tcp(connect) => {
                self.connect(connect, timeout);
                self.pair("Keepalive method", "TCP_CHECK");
            }
            Check::Udp(connect, udp) => {
                self.connect(connect, timeout);
                self.udp(udp);
            }
            Check::Http(connect, http) => {
                self.connect(connect, timeout);
                self.http(http);
            }
            Check::Smtp(connect, smtp) => {
                self.connect(connect, timeout);
                self.pair("Keepalive method", "SMTP_CHECK");
                self.pair("helo", &smtp.helo_name);
            }
            Check::Dns(connect, dns) => {
                self.connect(connect, timeout);
                self.pair("Keepalive method", "DNS_CHECK");
                let kind = QueryType::ALL.iter().find(|(_, k)| *k == dns.kind);
                self.pair("Type", kind.map_or("", |(name, _)| name));
                self.pair("Name", &dns.name);
            }
            Check::Ping(connect) => {
                self.connect(connect, timeout);
                self.pair("Keepalive method", "PING_CHECK");
            }
            Check::Misc(misc) => self.misc(misc),
            Check::File(file) => {
                self.pair("Keepalive method", "FILE_CHECK");
                self.line(format_args!("     Tracked file = {}", file.file));
            }
            Check::Bfd(bfd) => {
                self.pair("Keepalive method", "BFD_CHECK");
                self.pair("Name", &bfd.name);
                self.switch("Alpha", checker.alpha);
            }
        }
    }

    fn timing(&mut self, checker: &Checker, now: Option<&CheckSnapshot>) {
        self.pair("Alpha", yes(checker.alpha));
        for (label, span) in [
            ("Delay loop", checker.delay_loop),
            ("Warmup", checker.warmup),
        ] {
            self.pair(label, format_args!("{} us", span.as_micros()));
        }
        self.pair("Retries", checker.retry);
        if checker.retry > 0 {
            let before = checker.delay_before_retry.as_micros();
            self.pair("Delay before retry", format_args!("{before} us"));
            if let Some(now) = now {
                self.pair("Retries iterations", now.tries);
            }
        }
        // keepalived: what `delay_before_retry` is when nobody names it.
        let default = match &checker.check {
            Check::Http(..) => 3_000_000,
            Check::Dns(..) => 0,
            Check::Tcp(_)
            | Check::Udp(..)
            | Check::Smtp(..)
            | Check::Ping(_)
            | Check::Misc(_)
            | Check::File(_)
            | Check::Bfd(_) => 1_000_000,
        };
        self.pair("Default delay before retry", format_args!("{default} us"));
    }

    fn connect(&mut self, c: &Connect, timeout: Duration) {
        self.line("   Connection");
        let (ip, port) = (c.target.ip(), c.target.port());
        self.line(format_args!("     Dest = [{ip}]:{port}"));
        let from = c.source();
        if let Some(addr) = from.addr {
            self.line(format_args!("     Bind to = [{addr}]:{}", from.port));
        }
        if let Some(name) = &from.interface {
            self.line(format_args!("     Bind i/f = {name}"));
        }
        if from.fwmark != 0 {
            self.line(format_args!("     Mark = {}", from.fwmark));
        }
        self.line(format_args!("     Timeout = {}", Micros(timeout)));
    }

    fn udp(&mut self, udp: &Udp) {
        self.pair("Keepalive method", "UDP_CHECK");
        self.pair("Payload specified", yes(udp.payload.is_some()));
        let (required, octets) = match &udp.reply {
            Reply::NotNeeded => (false, 0),
            Reply::Any => (true, 0),
            Reply::Like(pattern) => (true, pattern.len()),
        };
        self.pair("Require reply", yes(required));
        if required {
            self.line(format_args!("     Min reply length = {}", udp.min_length));
            self.line(format_args!("     Max reply length = {}", udp.max_length));
            self.line(format_args!("     Reply data len = {octets}"));
        }
    }

    fn http(&mut self, http: &Http) {
        let kind = if http.tls.is_some() {
            "SSL_GET"
        } else {
            "HTTP_GET"
        };
        let protocol = match http.protocol {
            Protocol::V10 => "1.0",
            Protocol::V10Close => "1.0C",
            Protocol::V11 => "1.1",
        };
        self.pair(
            "Keepalive method",
            format_args!("{kind}, http protocol {protocol}"),
        );
        let sni = http.urls.iter().any(|url| url.sni.is_some());
        self.line(format_args!("   Enable SNI {}", set(sni)));
        self.line(format_args!("   Fast recovery {}", set(http.fast_recovery)));
        if http.tls.is_some() {
            let compliant = http.urls.iter().all(|url| url.tls_compliant);
            self.line(format_args!("   tls_compliant {}", set(compliant)));
        }
        http.urls.iter().for_each(|url| self.url(url));
    }

    fn url(&mut self, url: &Url) {
        self.pair("Checked url", &url.path);
        for digest in &url.digests {
            let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            self.line(format_args!("     digest = {hex}"));
        }
        if let Some(regex) = &url.regex {
            self.line(format_args!("     Regex = \"{}\"", regex.pattern));
        }
        self.line(format_args!(
            "     tls_compliant {}",
            set(url.tls_compliant)
        ));
        self.line("     HTTP Status Code(s)");
        for range in &url.status {
            match (range.start(), range.end()) {
                (a, b) if a == b => self.line(format_args!("       {a}")),
                (a, b) => self.line(format_args!("       {a}-{b}")),
            }
        }
    }

    fn misc(&mut self, misc: &Misc) {
        self.pair("Keepalive method", "MISC_CHECK");
        self.pair("script", Words(&misc.command));
        self.pair("timeout", misc.timeout.as_secs());
        self.pair("dynamic", if misc.dynamic { "YES" } else { "NO" });
        let user = misc.command.user.as_ref();
        let (uid, gid) = user.map_or((0, 0), |u| (u.uid, u.gid));
        self.pair("uid:gid", format_args!("{uid}:{gid}"));
    }
}

fn set(on: bool) -> &'static str {
    if on { "set" } else { "unset" }
}
