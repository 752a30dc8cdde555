//! What is said about checkers, kind by kind.

use crate::lvs::checker::http::{Judged, Lengths};
use crate::lvs::checker::{Check, Down, Local, Step, dns, http, misc, smtp, udp};
use crate::lvs::{Rs, Said, Way};

/// What the words for the kinds are about.
#[derive(Clone, Copy, Debug)]
enum News {
    Good,
    Page {
        page: usize,
        judged: Judged,
    },
    Attempt(Down),
    Failed {
        retries: Option<u32>,
        down: Option<Down>,
    },
}

/// One line of the log.
pub(super) fn told(rs: &Rs, check: &Check, said: &Said) -> String {
    let news = match *said {
        Said::Activating => return health(rs, check, "Activating"),
        Said::Deactivating => return health(rs, check, "Deactivating"),
        Said::Suspending => return health(rs, check, "Suspending"),
        Said::Trouble(local) => return trouble(rs, check, local),
        Said::PageLength { page, lengths } => return length(rs, check, page, lengths),
        Said::Success => News::Good,
        Said::PageGood { page, judged } => News::Page { page, judged },
        Said::AttemptFailed(down) => News::Attempt(down),
        Said::Failed { retries, down } => News::Failed { retries, down },
    };
    match check {
        Check::Tcp(_) => connection(rs, news, "TCP connection", "TCP_CHECK", ""),
        Check::Udp(..) => connection(rs, news, "UDP connection", "UDP_CHECK", ""),
        Check::Ping(_) => connection(rs, news, "ICMP connection", "ICMP CHECK", "address "),
        Check::Http(_, http) => page(rs, http, news),
        Check::Smtp(connect, _) => mail_server(rs, &connect.target.to_string(), news),
        Check::Dns(..) => name_server(rs, news),
        Check::Misc(misc) => script(rs, misc, news),
        Check::File(file) => {
            let change = match news {
                News::Failed { .. } | News::Attempt(_) => "now",
                News::Good | News::Page { .. } => "leaving",
            };
            format!("({rs}): tracked file {} {change} FAULT state", file.file)
        }
        Check::Bfd(bfd) => {
            let state = match news {
                News::Failed { .. } | News::Attempt(_) => "DOWN",
                News::Good | News::Page { .. } => "UP",
            };
            format!("BFD check of [{}] RS({rs}) is {state}", bfd.name)
        }
    }
}

fn health(rs: &Rs, check: &Check, verb: &str) -> String {
    let kind = match check {
        Check::Bfd(_) => "BFD ",
        Check::Tcp(_)
        | Check::Udp(..)
        | Check::Http(..)
        | Check::Smtp(..)
        | Check::Dns(..)
        | Check::Ping(_)
        | Check::Misc(_)
        | Check::File(_) => "",
    };
    format!(
        "{verb} {kind}healthchecker for service {rs} for VS {}",
        rs.vs
    )
}

/// The kind of checker as it is named where this machine is in trouble.
fn kind(check: &Check) -> &'static str {
    match check {
        Check::Tcp(_) => "TCP",
        Check::Udp(..) => "UDP",
        Check::Ping(_) => "ICMP",
        Check::Http(_, http) if http.tls.is_some() => "SSL",
        Check::Http(..) => "HTTP",
        Check::Smtp(..) => "SMTP",
        Check::Dns(..) => "DNS",
        Check::Misc(_) => "MISC",
        Check::File(_) => "FILE",
        Check::Bfd(_) => "BFD",
    }
}

fn trouble(rs: &Rs, check: &Check, Local { step, errno }: Local) -> String {
    let what = match step {
        Step::Socket => "socket create",
        Step::Device | Step::Mark | Step::Bind => "socket bind",
        Step::Connect => "socket connect",
        Step::Tls => "context",
        Step::Process => "process start",
    };
    let (kind, why) = (kind(check), errno.desc());
    format!("{kind} {what} failed for {rs}: {why}. Rescheduling.")
}

fn length(rs: &Rs, check: &Check, page: usize, Lengths { told, came }: Lengths) -> String {
    let url = if let Check::Http(_, http) = check {
        http.urls.get(page)
    } else {
        None
    };
    let host = url.and_then(|u| u.host.as_deref()).unwrap_or_default();
    let path = url.map_or("", |u| &u.path);
    format!(
        "http_check for RS {rs} VS {} url {host}{path}: content_length ({told}) does not match received bytes ({came})",
        rs.vs
    )
}

/// Kinds that connect and are done. `of`: what stands before the server where time ran out.
fn connection(rs: &Rs, news: News, connection: &str, check: &str, of: &str) -> String {
    match news {
        News::Attempt(Down::Timeout) => format!("{connection} to {of}{rs} timeout."),
        News::Attempt(Down::Udp(udp::Bad::Mismatch)) => {
            format!("UDP check to {rs} reply data mismatch.")
        }
        News::Attempt(_) => format!("{connection} to {rs} failed."),
        News::Failed { retries: None, .. } => format!("{check} on service {rs} failed."),
        News::Failed {
            retries: Some(n), ..
        } => format!("{check} on service {rs} failed after {n} retries."),
        News::Good | News::Page { .. } => format!("{connection} to {rs} success."),
    }
}

fn page(rs: &Rs, http: &http::Http, news: News) -> String {
    let check = match &http.tls {
        Some(_) => "SSL_CHECK",
        None => "HTTP_CHECK",
    };
    match news {
        News::Page { page, judged } => {
            let what = match judged {
                Judged::Status => "HTTP status code",
                Judged::Digest => "MD5 digest",
                Judged::Regex => "Regex match",
            };
            let path = http.urls.get(page).map_or("", |u| &u.path);
            format!("{what} success to {rs} url({path})")
        }
        News::Attempt(down) => format!("{} server {rs}.", page_reason(down)),
        News::Failed { retries: None, .. } => format!("{check} on service {rs} failed."),
        News::Failed {
            retries: Some(n), ..
        } => format!("{check} on service {rs} failed after {n} retries."),
        News::Good => format!("Remote Web server {rs} succeed on service."),
    }
}

fn page_reason(down: Down) -> &'static str {
    use http::Bad;
    match down {
        Down::Connect(_) if down.is_out_of_reach() => "HTTP/SSL_CHECK - network unreachable",
        Down::Connect(_) => "Error connecting",
        Down::Timeout => "Timeout connecting",
        Down::Http(Bad::Tls) => "SSL handshake/communication error connecting to",
        Down::Http(Bad::TlsTimeout) => "Timeout connecting",
        Down::Http(Bad::Send) => "Cannot send get request to",
        Down::Http(Bad::ReadTimeout) => "Timeout HTTP read",
        Down::Http(Bad::Read(_)) => "Read error with",
        Down::Http(Bad::NoData) => "Read, no data received from ",
        Down::Http(Bad::Status(_)) => "HTTP status code error to",
        Down::Http(Bad::Digest) => "MD5 digest error to",
        Down::Http(Bad::Regex) => "Regex match failed",
        Down::Local(_) | Down::Udp(_) | Down::Smtp(_) | Down::Dns(_) | Down::Misc(_) => {
            "Connection failed"
        }
    }
}

/// `to`: what it connected to.
fn mail_server(rs: &Rs, to: &str, news: News) -> String {
    match news {
        News::Attempt(down)
        | News::Failed {
            down: Some(down), ..
        } => format!("SMTP_CHECK {}", mail_reason(down, to)),
        News::Failed { down: None, .. } => format!("SMTP_CHECK Error connecting to server {to}"),
        News::Good | News::Page { .. } => format!("Remote SMTP server {rs} succeed on service."),
    }
}

fn mail_reason(down: Down, to: &str) -> String {
    use smtp::Bad;
    match down {
        Down::Connect(_) => format!("Error connecting to server {to}"),
        Down::Timeout => format!("Connection timeout to server {to}"),
        Down::Smtp(Bad::ReadTimeout) => format!("Read timeout from server {to}"),
        Down::Smtp(Bad::Read(_)) => format!("Read failure from server {to}"),
        Down::Smtp(Bad::Banner) => format!("Bad greeting banner from server {to}"),
        Down::Smtp(Bad::Helo) => format!("Bad HELO response from server {to}"),
        Down::Smtp(Bad::WriteTimeout) => format!("Write timeout to server {to}"),
        Down::Smtp(Bad::Write(_)) => format!("Write failure to server {to}"),
        Down::Local(_) | Down::Udp(_) | Down::Http(_) | Down::Dns(_) | Down::Misc(_) => {
            format!("Could not connect to server {to}")
        }
    }
}

/// keepalived says nothing when it is well again.
fn name_server(rs: &Rs, news: News) -> String {
    let reason = |down: Option<Down>| match down {
        Some(Down::Dns(dns::Bad::Timeout)) => "read timeout from socket".to_owned(),
        Some(Down::Dns(dns::Bad::Read(errno))) => {
            let (number, text) = (errno as i32, errno.desc());
            format!("failed to read socket; errno {number} ({text})")
        }
        Some(Down::Dns(dns::Bad::Refused(rcode))) => {
            format!("read error occurred. (rcode = {rcode})")
        }
        Some(down @ Down::Connect(_)) if down.is_out_of_reach() => {
            format!("network unreachable for {rs}")
        }
        _ => "connection error.".to_owned(),
    };
    match news {
        News::Attempt(down) => format!("DNS_CHECK ({rs}) {}", reason(Some(down))),
        News::Failed { retries, down } => {
            let after = retries.map_or(String::new(), |n| format!(" after {n} retries"));
            format!("DNS_CHECK ({rs}) {}{after}", reason(down))
        }
        News::Good | News::Page { .. } => format!("DNS_CHECK ({rs}) success"),
    }
}

fn script(rs: &Rs, misc: &misc::Misc, news: News) -> String {
    let path = misc.command.path.display();
    let name = format!("Misc check for [{rs} VS {}] by [{path}]", rs.vs);
    let how = |down: Option<Down>, suffix: &str| match down {
        Some(Down::Misc(misc::Bad::TimedOut)) => format!("{name} timed out{suffix}."),
        Some(Down::Misc(misc::Bad::Exited(n))) => {
            format!("{name} failed{suffix} (exited with status {n}).")
        }
        Some(Down::Misc(misc::Bad::Signal(n))) => {
            format!("{name} failed{suffix} (due to signal {n}).")
        }
        _ => format!("{name} failed{suffix}."),
    };
    match news {
        News::Attempt(down) => how(Some(down), ""),
        News::Failed { retries, down } => {
            let suffix = match retries {
                None => " with retry disabled".to_owned(),
                Some(1) => " after 1 retry".to_owned(),
                Some(n) => format!(" after {n} retries"),
            };
            how(down, &suffix)
        }
        News::Good | News::Page { .. } => format!("{name} succeeded."),
    }
}

/// What stands between `=> ` and ` <=` in a mail about a real server.
pub(in crate::lvs) fn mail(check: &Check, way: Way, down: Option<Down>) -> String {
    let up = way == Way::In;
    let plain = |name: &str, good: &str, bad: &str| {
        let word = if up { good } else { bad };
        format!("{name} {word} on service")
    };
    match check {
        Check::Tcp(_) => plain("TCP CHECK", "succeed", "failed"),
        Check::Udp(..) => plain("UDP CHECK", "succeed", "failed"),
        Check::Ping(_) => plain("ICMP CHECK", "succeed", "failed"),
        Check::Http(..) if up => "CHECK succeed on service".to_owned(),
        Check::Http(..) => "CHECK failed on service : HTTP/SSL request failed".to_owned(),
        Check::Smtp(..) if up => "CHECK succeed on service".to_owned(),
        Check::Smtp(connect, _) => {
            let to = connect.target.to_string();
            let why = down.map_or(String::new(), |d| mail_reason(d, &to));
            format!("CHECK failed on service : {why}")
        }
        Check::Dns(..) => plain("DNS_CHECK:", "succeed", "failed"),
        Check::Misc(_) => match down {
            Some(Down::Misc(misc::Bad::TimedOut)) => "MISC CHECK timed out on service".to_owned(),
            _ => plain("MISC CHECK", "succeeded", "failed"),
        },
        Check::File(file) => plain(&format!("FILE CHECK {}", file.file), "succeeded", "failed"),
        Check::Bfd(bfd) => plain(&format!("BFD CHECK {}", bfd.name), "succeeded", "failed"),
    }
}
