//! One delivery of one mail, by lettre.
//!
//! Source: RFC 5321; the dialogue of keepalived, but for EHLO in place of HELO.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tokio::time::timeout;
use tracing::debug;

use crate::model::mail::{Login, Server, Tls};

/// The step that changes to TLS.
const STARTTLS: &str = "STARTTLS";

/// A mail, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    /// What goes into `MAIL FROM` and `RCPT TO`, without brackets.
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// Headers, an empty line, the body; lines end in CRLF.
    pub(crate) text: String,
    /// For the log.
    pub(crate) subject: String,
}

/// How to talk to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manners {
    pub(crate) helo_name: String,
    /// For each step.
    pub(crate) patience: Duration,
    pub(crate) tls: Tls,
    pub(crate) login: Option<Login>,
}

/// Why a mail was not taken.
#[derive(Debug)]
pub(crate) enum SmtpError {
    TimedOut {
        step: &'static str,
    },
    Step {
        step: &'static str,
        source: lettre::transport::smtp::Error,
    },
    /// No recipient was accepted.
    NoRecipient,
    /// The server does not offer what `smtp_tls` demands.
    NoTls,
    /// The password would go in clear text over the network.
    InClear,
}

impl SmtpError {
    /// Whether another try may have more luck.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Step { source, .. } => !source.is_permanent() && !source.is_client(),
            Self::NoRecipient | Self::NoTls | Self::InClear => false,
        }
    }
}

impl SmtpError {
    /// Where in the dialogue.
    fn step(&self) -> Option<&'static str> {
        match self {
            Self::TimedOut { step } | Self::Step { step, .. } => Some(step),
            Self::NoRecipient | Self::NoTls | Self::InClear => None,
        }
    }
}

impl fmt::Display for SmtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { step } => write!(f, "{step}: no answer in time"),
            // lettre: names its cause itself.
            Self::Step { step, source } => write!(f, "{step}: {source}"),
            Self::NoRecipient => f.write_str("every recipient was refused"),
            Self::NoTls => f.write_str("the server does not offer STARTTLS"),
            Self::InClear => f.write_str("smtp_auth needs smtp_tls with a server elsewhere"),
        }
    }
}

impl std::error::Error for SmtpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Step { source, .. } => Some(source),
            Self::TimedOut { .. } | Self::NoRecipient | Self::NoTls | Self::InClear => None,
        }
    }
}

/// Sends `mail` to `server`. Recipients that it refuses are passed over as long as it takes one.
///
/// # Errors
/// See [`SmtpError`]; the server has not taken the mail then, as far as can be known.
pub(crate) async fn deliver(
    server: &Server,
    manners: &Manners,
    mail: &Mail,
) -> Result<(), SmtpError> {
    let hello = ClientId::Domain(manners.helo_name.clone());
    let patience = Some(manners.patience);
    let connecting = AsyncSmtpConnection::connect_tokio1(server.addr, patience, &hello, None, None);
    let mut talk = step("connect", manners, connecting).await?;
    debug!(
        "Remote SMTP server [{}]:{} connected.",
        server.addr.ip(),
        server.addr.port()
    );
    let said = converse(&mut talk, &hello, server, manners, mail).await;
    if let Err(e) = said {
        // After a failed handshake there is nothing left to talk through; lettre panics when asked to.
        if e.step() == Some(STARTTLS) {
            return Err(e);
        }
        let _ = timeout(manners.patience, talk.abort()).await; // it failed before, and that is what counts
        return Err(e);
    }
    let _ = timeout(manners.patience, talk.quit()).await; // the mail is taken, whatever this says
    debug!("SMTP alert successfully sent.");
    Ok(())
}

async fn converse(
    talk: &mut AsyncSmtpConnection,
    hello: &ClientId,
    server: &Server,
    manners: &Manners,
    mail: &Mail,
) -> Result<(), SmtpError> {
    let wanted = manners.tls != Tls::Off;
    if wanted && talk.can_starttls() {
        let parameters = TlsParameters::builder(server.name.to_string())
            .dangerous_accept_invalid_certs(!manners.tls.verifies())
            .dangerous_accept_invalid_hostnames(!manners.tls.verifies())
            .build()
            .map_err(|source| SmtpError::Step {
                step: STARTTLS,
                source,
            })?;
        step(STARTTLS, manners, talk.starttls(parameters, hello)).await?;
    } else if manners.tls.is_required() {
        return Err(SmtpError::NoTls);
    }
    if let Some(Login { user, password }) = &manners.login {
        if !talk.is_encrypted() && !server.addr.ip().is_loopback() {
            return Err(SmtpError::InClear);
        }
        let credentials = Credentials::new(user.to_string(), password.to_string());
        let mechanisms = [Mechanism::Plain, Mechanism::Login];
        step("AUTH", manners, talk.auth(&mechanisms, &credentials)).await?;
    }
    // Not through lettre's own addresses, which must have a domain: `root` is good enough for many a relay.
    let from = format!("MAIL FROM:<{}>\r\n", mail.from);
    step("MAIL FROM", manners, talk.command(from)).await?;
    let (mut accepted, mut refused) = (0, None);
    for to in &mail.to {
        let line = format!("RCPT TO:<{to}>\r\n");
        match step("RCPT TO", manners, talk.command(line)).await {
            Ok(_) => accepted += 1,
            Err(SmtpError::Step { source, .. }) if source.status().is_some() => {
                debug!(to, err = %source, "a recipient was refused");
                refused = Some(SmtpError::Step {
                    step: "RCPT TO",
                    source,
                });
            }
            Err(e) => return Err(e),
        }
    }
    if accepted == 0 {
        return Err(refused.unwrap_or(SmtpError::NoRecipient));
    }
    step("DATA", manners, talk.command("DATA\r\n")).await?;
    step("message", manners, talk.message(mail.text.as_bytes())).await?;
    Ok(())
}

async fn step<T>(
    step: &'static str,
    manners: &Manners,
    what: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
) -> Result<T, SmtpError> {
    match timeout(manners.patience, what).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(source)) => Err(SmtpError::Step { step, source }),
        Err(_) => Err(SmtpError::TimedOut { step }),
    }
}
