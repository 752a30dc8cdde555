//! Mail: `smtp_server` and its kin. Source: keepalived.conf(5); what keepalived has not is marked as ours.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where and about what mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    /// `notification_email`.
    pub(crate) to: Vec<Arc<str>>,
    /// `notification_email_from`, default user and host name.
    pub(crate) from: Option<Arc<str>>,
    /// `smtp_server`, looked up when the configuration is read; none: no mail.
    pub(crate) server: Option<Server>,
    /// `smtp_backup_server` (ours), in file order: tried in turn when `server` does not take a mail.
    pub(crate) backups: Vec<Server>,
    /// `smtp_tls` (ours).
    pub(crate) tls: Tls,
    /// `smtp_auth` (ours).
    pub(crate) login: Option<Login>,
    /// `smtp_helo_name`, default the host's name.
    pub(crate) helo_name: Option<Arc<str>>,
    /// `smtp_connect_timeout`, ≥ 1 s, default 30 s; for each step of the dialogue.
    pub(crate) connect_timeout: Duration,
    /// `smtp_alert`.
    pub(crate) alert: Option<bool>,
    /// `smtp_alert_vrrp`, default `alert`.
    pub(crate) alert_vrrp: Option<bool>,
    /// `smtp_alert_checker`, default `alert`.
    pub(crate) alert_checker: Option<bool>,
    /// False with `no_email_faults`: no mail about FAULT.
    pub(crate) faults: bool,
    /// False with `no_checker_emails`: a mail only when a real server comes up or goes down, not for each checker.
    pub(crate) every_checker: bool,
}

/// A mail relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// As written: a host name or an address. What its certificate must be for.
    pub(crate) name: Arc<str>,
    pub(crate) addr: SocketAddr,
}

/// `smtp_tls`: whether STARTTLS is used (RFC 3207).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tls {
    /// As keepalived.
    #[default]
    Off,
    /// Where it is offered; the certificate does not matter.
    Opportunistic,
    /// No mail without it; the certificate does not matter.
    RequiredUnverified,
    /// No mail without it, and without a certificate that the system trusts.
    Required,
}

impl Tls {
    /// No mail without it.
    pub(crate) fn is_required(self) -> bool {
        match self {
            Self::Off | Self::Opportunistic => false,
            Self::RequiredUnverified | Self::Required => true,
        }
    }

    /// The certificate must be good.
    pub(crate) fn verifies(self) -> bool {
        self == Self::Required
    }
}

/// `smtp_auth`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: Arc<str>,
    pub(crate) password: Arc<str>,
}

/// Never shows the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}, ********)", self.user)
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            from: None,
            server: None,
            backups: Vec::new(),
            tls: Tls::Off,
            login: None,
            helo_name: None,
            connect_timeout: Duration::from_secs(30),
            alert: None,
            alert_vrrp: None,
            alert_checker: None,
            faults: true,
            every_checker: true,
        }
    }
}
