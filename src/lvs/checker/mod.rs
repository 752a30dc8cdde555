//! Health checks: what each kind of checker does in one attempt. Timing and verdicts are elsewhere.

pub(crate) mod bfd;
pub(crate) mod connect;
pub(crate) mod dns;
pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod misc;
pub(crate) mod smtp;
pub(crate) mod udp;

use std::sync::Arc;

use nix::errno::Errno;

use connect::Connect;

/// The kinds of checkers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// `TCP_CHECK`: a connection that is accepted is health.
    Tcp(Connect),
    Udp(Connect, udp::Udp),
    /// `HTTP_GET` and `SSL_GET`.
    Http(Connect, Arc<http::Http>),
    Smtp(Connect, smtp::Smtp),
    Dns(Connect, dns::Dns),
    /// `PING_CHECK`; the port means nothing.
    Ping(Connect),
    Misc(misc::Misc),
    File(file::File),
    Bfd(bfd::Bfd),
}

impl Check {
    /// Whether it is run so far; the others are assumed to be good.
    pub(crate) fn runs(&self) -> bool {
        match self {
            Self::Tcp(_) => true,
            Self::Udp(..)
            | Self::Http(..)
            | Self::Smtp(..)
            | Self::Dns(..)
            | Self::Ping(_)
            | Self::Misc(_)
            | Self::File(_)
            | Self::Bfd(_) => false,
        }
    }
}

/// Why an attempt is not a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    /// Refused, reset or out of reach.
    Connect(Errno),
    /// No answer within `connect_timeout`.
    Timeout,
    /// This machine could not even try: no verdict on the server.
    Local(Local),
}

/// What failed on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) step: Step,
    pub(crate) errno: Errno,
}

/// The steps of an attempt that the other side has no part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Socket,
    /// `bind_if`.
    Device,
    /// `fwmark`.
    Mark,
    /// `bindto`, `bind_port`.
    Bind,
    /// `connect(2)` failed in a way that says nothing about the other side.
    Connect,
}

/// One attempt; its timeout is watched from outside, by dropping the future.
pub(crate) trait Probe {
    /// # Errors
    /// See [`Down`].
    async fn probe(&self) -> Result<(), Down>;
}

impl Probe for Check {
    async fn probe(&self) -> Result<(), Down> {
        match self {
            Self::Tcp(connect) => connect.tcp().await.map(drop),
            // Never asked: see `runs`.
            Self::Udp(..)
            | Self::Http(..)
            | Self::Smtp(..)
            | Self::Dns(..)
            | Self::Ping(_)
            | Self::Misc(_)
            | Self::File(_)
            | Self::Bfd(_) => Ok(()),
        }
    }
}
