//! Health checks: what each kind of checker does in one attempt. Timing and verdicts are elsewhere.

pub(crate) mod tcp;

use nix::errno::Errno;

/// The kinds of checkers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Tcp(tcp::TcpCheck),
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
            Self::Tcp(tcp) => tcp.probe().await,
        }
    }
}
