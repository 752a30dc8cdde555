//! Health checks: what each kind of checker does in one attempt. Timing and verdicts are elsewhere.

pub(crate) mod tcp;

/// The kinds of checkers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Tcp(tcp::TcpCheck),
}
