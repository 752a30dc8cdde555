//! What the operator reads: keepalived's words where people search for them, and keepalived's names of things.
//!
//! Pure: makes text, never logs. Source: messages of keepalived 2.2.7 and 2.4.3.

use std::fmt;

use super::checker::{Check, Down, Local, Step};
use super::{Absence, QuorumChange, Report, Rs, Said, ServerChange, SorryChange, Sums, Way};
use crate::model::lvs::{ServiceKey, Transport};

impl Transport {
    /// As it stands in names.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// `[ADDR]:PROTO:PORT`, `FWM N` or `[GROUP]:I`.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address {
                addr,
                port,
                transport,
            } => write!(f, "[{addr}]:{}:{port}", transport.word()),
            Self::Fwmark { mark, .. } => write!(f, "FWM {mark}"),
            Self::Group { name, number } => write!(f, "[{name}]:{number}"),
        }
    }
}

/// `[ADDR]:PROTO:PORT`, with the protocol of the virtual server.
impl fmt::Display for Rs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ip, port) = (self.addr.ip(), self.addr.port());
        let transport = self.transport.map_or("none", Transport::word);
        write!(f, "[{ip}]:{transport}:{port}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check { rs, check, said } => told(rs, check, said, f),
            Self::Server { rs, what } => server(rs, *what, f),
            Self::Quorum { vs, what, sums } => quorum(vs, *what, sums, f),
            Self::Sorry { rs, what } => {
                let (verb, to) = match what {
                    SorryChange::Starts(Absence::Removed) => ("Adding", "to"),
                    SorryChange::Starts(Absence::Inhibited) => ("Enabling", "to"),
                    SorryChange::Ends(Absence::Removed) => ("Removing", "from"),
                    SorryChange::Ends(Absence::Inhibited) => ("Disabling", "from"),
                };
                write!(f, "{verb} sorry server {rs} {to} VS {}", rs.vs)
            }
            Self::AliveServers { vs, into_pool } => match into_pool {
                Way::In => write!(f, "Adding alive servers to the pool for VS {vs}"),
                Way::Out => write!(f, "Removing alive servers from the pool for VS {vs}"),
            },
            Self::Removed(vs) => write!(f, "Removing Virtual Server {vs}"),
        }
    }
}

fn told(rs: &Rs, check: &Check, said: &Said, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if *said == Said::Activating {
        return write!(
            f,
            "Activating healthchecker for service {rs} for VS {}",
            rs.vs
        );
    }
    match check {
        // Nothing is told about checks that are not run.
        Check::Udp(..)
        | Check::Http(..)
        | Check::Smtp(..)
        | Check::Dns(..)
        | Check::Ping(_)
        | Check::Misc(_)
        | Check::File(_)
        | Check::Bfd(_) => Ok(()),
        Check::Tcp(_) => match said {
            Said::Activating => Ok(()),
            Said::Success => write!(f, "TCP connection to {rs} success."),
            Said::AttemptFailed(Down::Timeout) => write!(f, "TCP connection to {rs} timeout."),
            Said::AttemptFailed(Down::Connect(_) | Down::Local(_)) => {
                write!(f, "TCP connection to {rs} failed.")
            }
            Said::Failed { retries: None } => write!(f, "TCP_CHECK on service {rs} failed."),
            Said::Failed { retries: Some(n) } => {
                write!(f, "TCP_CHECK on service {rs} failed after {n} retries.")
            }
            Said::Trouble(Local { step, errno }) => {
                let what = match step {
                    Step::Socket => "create",
                    Step::Device | Step::Mark | Step::Bind => "bind",
                    Step::Connect => "connect",
                };
                let why = errno.desc();
                write!(f, "TCP socket {what} failed for {rs}: {why}. Rescheduling.")
            }
        },
    }
}

fn server(rs: &Rs, what: ServerChange, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let vs = &rs.vs;
    match what {
        ServerChange::Up(Absence::Removed) => write!(f, "Adding service {rs} to VS {vs}"),
        ServerChange::Up(Absence::Inhibited) => write!(f, "Enabling service {rs} of VS {vs}"),
        ServerChange::Down(Absence::Removed) => write!(f, "Removing service {rs} from VS {vs}"),
        ServerChange::Down(Absence::Inhibited) => write!(f, "Disabling service {rs} of VS {vs}"),
        ServerChange::NoLongerExists => write!(f, "service {rs} no longer exist"),
        ServerChange::Weight { from, to, active } => {
            let active = match active {
                Way::In => "active",
                Way::Out => "inactive",
            };
            write!(
                f,
                "Changing weight from {from} to {to} for {active} service {rs} of VS {vs}"
            )
        }
        ServerChange::ShuttingDown(Absence::Removed) => {
            write!(f, "Shutting down service {rs} from VS {vs}")
        }
        ServerChange::ShuttingDown(Absence::Inhibited) => {
            write!(f, "Shutting down (inhibited) service {rs} from VS {vs}")
        }
    }
}

fn quorum(
    vs: &ServiceKey,
    what: QuorumChange,
    sums: &Sums,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let (q, h, sum) = (sums.quorum, sums.hysteresis, sums.alive);
    let above = u64::from(q) + u64::from(h);
    match what {
        QuorumChange::Gained => write!(f, "Gained quorum {q}+{h}={above} <= {sum} for VS {vs}"),
        QuorumChange::Lost => {
            let below = q.saturating_sub(h);
            write!(f, "Lost quorum {q}-{h}={below} > {sum} for VS {vs}")
        }
        // keepalived: shows a difference and gives the sum; log readers know the line so.
        QuorumChange::StartingDown => {
            write!(
                f,
                "Starting with quorum down {q}-{h}={above} > {sum} for VS {vs}"
            )
        }
    }
}
