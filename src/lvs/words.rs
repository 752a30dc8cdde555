//! What the operator reads: keepalived's words where people search for them, and keepalived's names of things.
//!
//! Pure: makes text, never logs. Source: messages of keepalived 2.2.7 and 2.4.3.

mod checks;

use std::fmt;

pub(super) use self::checks::mail;
use super::{Absence, QuorumChange, Report, Rs, ServerChange, SorryChange, Sums, Way};
use crate::model::lvs::{Scheduler, ServiceKey, Transport};

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

impl Scheduler {
    /// Its name in the kernel and in the configuration.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Dh => "dh",
            Self::Sh => "sh",
            Self::Mh => "mh",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
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
            Self::Check { rs, check, said } => f.write_str(&checks::told(rs, check, said)),
            Self::Server { rs, what } => server(rs, *what, f),
            Self::Quorum { vs, what, sums } => write!(f, "{} for VS {vs}", quorum(*what, sums)),
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

/// Without the name of the virtual server.
pub(super) fn quorum(what: QuorumChange, sums: &Sums) -> String {
    let (q, h, sum) = (sums.quorum, sums.hysteresis, sums.alive);
    let above = u64::from(q) + u64::from(h);
    match what {
        QuorumChange::Gained => format!("Gained quorum {q}+{h}={above} <= {sum}"),
        QuorumChange::StartingUp => format!("Starting with quorum up {q}+{h}={above} <= {sum}"),
        QuorumChange::Lost => {
            let below = q.saturating_sub(h);
            format!("Lost quorum {q}-{h}={below} > {sum}")
        }
        // keepalived: shows a difference and gives the sum; log readers know the line so.
        QuorumChange::StartingDown => {
            format!("Starting with quorum down {q}-{h}={above} > {sum}")
        }
    }
}
