//! `global_defs`: mail.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Fault, Row, filled, key, words};
use super::super::value;
use super::global::{GlobalDraft, MAX_DELAY, delay, text};
use crate::model::mail::{Login, Server, Tls};

fn server(a: &mut Args<'_, '_>) -> Result<Server, Fault> {
    let host = a.word()?;
    let shown = a.peek().unwrap_or("25");
    let invalid = |a: &Args<'_, '_>| {
        a.whole_fault(
            Code::BadValue,
            format!("Invalid smtp server {host} {shown}"),
        )
    };
    let port = match a.peek() {
        Some(_) => a.strict(1..=u16::MAX).map_err(|_| invalid(a))?,
        None => 25,
    };
    let addr = value::address(host)
        .or_else(|| a.host().resolve(host))
        .ok_or_else(|| invalid(a))?;
    Ok(Server {
        name: host.into(),
        addr: SocketAddr::new(addr, port),
    })
}

/// A password as it stands there, or `file:PATH`: the first line of that file.
fn password(a: &mut Args<'_, '_>) -> Result<String, Fault> {
    let word = a.word()?;
    let Some(path) = word.strip_prefix("file:") else {
        return Ok(word.to_owned());
    };
    let octets = a.host().read(Path::new(path)).ok();
    let text = octets.and_then(|o| String::from_utf8(o).ok());
    let line = text.as_deref().and_then(|t| t.lines().next());
    let line = line.map(str::to_owned).filter(|l| !l.is_empty());
    line.ok_or_else(|| a.fault(Code::BadValue, format!("no password in {path}")))
}

/// Where mail goes to, and about what there is any.
pub(super) const MAIL_ROWS: &[Row<GlobalDraft>] = &[
    filled(words("notification_email", "{ <ADDRESS> ... }", |v, a| {
        v.model.mail.to.push(a.word()?.into());
        Ok(())
    })),
    key("notification_email_from", "<ADDRESS>", |v, a| {
        v.model.mail.from = Some(text(a)?);
        if let Some(extra) = a.opt() {
            let text = format!("emailfrom - ignoring extra entries '{extra}' ...");
            let fault = a.whole_fault(Code::ExtraArgument, text);
            a.report(fault);
        }
        Ok(())
    }),
    key("smtp_server", "<IP|HOST> [<PORT>]", |v, a| {
        v.model.mail.server = None;
        server(a).map(|s| v.model.mail.server = Some(s))
    }),
    key("smtp_helo_name", "<STRING>", |v, a| {
        v.model.mail.helo_name = a.opt().map(Into::into);
        Ok(())
    }),
    key(
        "smtp_connect_timeout",
        "seconds, 1..=4294, default 30",
        |v, a| {
            let mut timeout = delay(a, MAX_DELAY)?;
            if timeout.is_zero() {
                a.warn(Code::OutOfRange, "0 is not possible - using 1");
                timeout = Duration::from_secs(1);
            }
            v.model.mail.connect_timeout = timeout;
            Ok(())
        },
    ),
    key("smtp_alert", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.mail.alert = Some(on))
    }),
    key("smtp_alert_vrrp", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.mail.alert_vrrp = Some(on))
    }),
    key("smtp_alert_checker", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.mail.alert_checker = Some(on))
    }),
    key("no_email_faults", "flag", |v, a| {
        a.flag().map(|on| v.model.mail.faults = !on)
    }),
    key("no_checker_emails", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.mail.every_checker = !on)
    }),
    // Ours; keepalived has nothing like these.
    key(
        "smtp_backup_server",
        "<IP|HOST> [<PORT>], repeatable: tried in turn after smtp_server; not in keepalived",
        |v, a| server(a).map(|s| v.model.mail.backups.push(s)),
    ),
    key(
        "smtp_tls",
        "off|opportunistic|required [noverify], default off; not in keepalived",
        |v, a| {
            v.model.mail.tls = match (a.word()?, a.opt()) {
                ("off", None) => Tls::Off,
                ("opportunistic", None) => Tls::Opportunistic,
                ("required", None) => Tls::Required,
                ("required", Some("noverify")) => Tls::RequiredUnverified,
                (word, _) => {
                    return Err(a.fault(Code::BadValue, format!("unknown word in '{word}'")));
                }
            };
            Ok(())
        },
    ),
    key(
        "smtp_auth",
        "<USER> <PASSWORD|file:PATH>, sent over TLS or to this machine only; not in keepalived",
        |v, a| {
            let user = a.word()?.into();
            let password = password(a)?.into();
            v.model.mail.login = Some(Login { user, password });
            Ok(())
        },
    ),
];
