//! Health checks: what each kind of checker does in one attempt. Timing and verdicts are elsewhere.

pub(crate) mod bfd;
pub(crate) mod connect;
pub(crate) mod dns;
pub(crate) mod file;
pub(crate) mod genhash;
pub(crate) mod http;
pub(crate) mod misc;
mod ping;
pub(crate) mod smtp;
#[cfg(test)]
mod testserver;
pub(crate) mod udp;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use connect::Connect;

use crate::sys::swarm::Swarm;

/// The kinds of checkers. Options of the rarer kinds are boxed: there may be hundreds of thousands of checkers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// `TCP_CHECK`: a connection that is accepted is health.
    Tcp(Connect),
    Udp(Connect, Box<udp::Udp>),
    /// `HTTP_GET` and `SSL_GET`.
    Http(Connect, Arc<http::Http>),
    Smtp(Connect, Box<smtp::Smtp>),
    Dns(Connect, Box<dns::Dns>),
    /// `PING_CHECK`; the port means nothing.
    Ping(Connect),
    Misc(Box<misc::Misc>),
    File(file::File),
    Bfd(bfd::Bfd),
}

impl Check {
    /// The name of its block.
    pub(crate) fn keyword(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "TCP_CHECK",
            Self::Udp(..) => "UDP_CHECK",
            Self::Http(_, http) if http.tls.is_some() => "SSL_GET",
            Self::Http(..) => "HTTP_GET",
            Self::Smtp(..) => "SMTP_CHECK",
            Self::Dns(..) => "DNS_CHECK",
            Self::Ping(_) => "PING_CHECK",
            Self::Misc(_) => "MISC_CHECK",
            Self::File(_) => "FILE_CHECK",
            Self::Bfd(_) => "BFD_CHECK",
        }
    }
}

/// What a good attempt has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Good {
    #[default]
    Plain,
    /// A web page, by what it was judged last, and its `Content-Length` if that was wrong.
    Page(http::Judged, Option<http::Lengths>),
    /// `misc_dynamic`: the weight that the server should have; `None`: the configured one.
    Weight(Option<u32>),
}

/// Why an attempt is not a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    /// Refused, reset or out of reach.
    Connect(Errno),
    /// No connection within `connect_timeout`; of `UDP_CHECK` and `PING_CHECK`: no answer.
    Timeout,
    /// This machine could not even try: no verdict on the server.
    Local(Local),
    Udp(udp::Bad),
    Http(http::Bad),
    Smtp(smtp::Bad),
    Dns(dns::Bad),
    Misc(misc::Bad),
}

impl Down {
    /// No way leads there.
    pub(crate) fn is_out_of_reach(self) -> bool {
        matches!(
            self,
            Self::Connect(Errno::ENETUNREACH | Errno::EHOSTUNREACH)
        )
    }
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
    /// The files of the `SSL` block.
    Tls,
    /// There is no process to be had.
    Process,
}

/// What attempts share.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Their connections.
    pub(crate) swarm: Rc<Swarm>,
    tls: http::tls::Contexts,
    /// What is read into, by one attempt at a time.
    room: RefCell<Box<[u8]>>,
}

impl Tools {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            swarm: Swarm::new()?,
            tls: http::tls::Contexts::default(),
            room: RefCell::new(vec![0; http::READ].into()),
        })
    }
}

impl Check {
    /// One attempt. `patience`: `connect_timeout`, for each step that waits. `page`: which `url`. `None` from
    /// [`Check::limit`] means that it watches the time itself; others are dropped when it is over.
    ///
    /// # Errors
    /// See [`Down`].
    pub(crate) async fn probe(
        &self,
        patience: Duration,
        page: usize,
        tools: &Tools,
    ) -> Result<Good, Down> {
        // They are boxed, so that thousands of small ones need not be as large as the largest.
        match self {
            Self::Udp(connect, udp) => Box::pin(udp.probe(connect, patience)).await,
            Self::Http(connect, http) => Box::pin(http.probe(connect, patience, page, tools)).await,
            Self::Smtp(connect, smtp) => {
                Box::pin(smtp.probe(connect, patience, &tools.swarm)).await
            }
            Self::Dns(connect, dns) => Box::pin(dns.probe(connect, patience)).await,
            Self::Ping(connect) => Box::pin(ping::probe(connect)).await,
            Self::Misc(misc) => Box::pin(misc.probe()).await,
            // Dialled, see [`Check::dials`].
            Self::Tcp(_) => Ok(Good::Plain),
            // Told by others; the core makes no such attempt.
            Self::File(_) | Self::Bfd(_) => Ok(Good::Plain),
        }
    }

    /// The commonest attempt is only a connection, and needs nothing that runs: where to, see [`Connect::dial`].
    pub(crate) fn dials(&self) -> Option<&Connect> {
        match self {
            Self::Tcp(connect) => Some(connect),
            Self::Udp(..)
            | Self::Http(..)
            | Self::Smtp(..)
            | Self::Dns(..)
            | Self::Ping(_)
            | Self::Misc(_)
            | Self::File(_)
            | Self::Bfd(_) => None,
        }
    }

    /// When an attempt is given up from outside.
    pub(crate) fn limit(&self, patience: Duration) -> Option<Duration> {
        match self {
            Self::Tcp(_) | Self::Ping(_) => Some(patience),
            // Its time is that of its steps; a server that says a little now and then must not keep it for ever.
            Self::Http(..) => Some(patience * HTTP_STEPS),
            Self::Udp(..)
            | Self::Smtp(..)
            | Self::Dns(..)
            | Self::Misc(_)
            | Self::File(_)
            | Self::Bfd(_) => None,
        }
    }

    /// Whether attempts are made; the others are told by somebody else.
    pub(crate) fn is_tried(&self) -> bool {
        match self {
            Self::Tcp(_)
            | Self::Udp(..)
            | Self::Http(..)
            | Self::Smtp(..)
            | Self::Dns(..)
            | Self::Ping(_)
            | Self::Misc(_) => true,
            Self::File(_) | Self::Bfd(_) => false,
        }
    }

    /// Whether the delays between pages are left out until all were good: `fast_recovery`.
    pub(crate) fn is_hasty(&self) -> bool {
        match self {
            Self::Http(_, http) => http.fast_recovery,
            Self::Tcp(_)
            | Self::Udp(..)
            | Self::Smtp(..)
            | Self::Dns(..)
            | Self::Ping(_)
            | Self::Misc(_)
            | Self::File(_)
            | Self::Bfd(_) => false,
        }
    }

    /// Whether every round has its retries, also the first one and those of a server that is down.
    pub(crate) fn always_retries(&self) -> bool {
        matches!(self, Self::Smtp(..))
    }

    /// Whether the message of the very first failure speaks of retries, too.
    pub(crate) fn always_counts(&self) -> bool {
        matches!(self, Self::Smtp(..) | Self::Http(..))
    }

    /// `HTTP_GET` or `SSL_GET`.
    pub(crate) fn is_page(&self) -> bool {
        matches!(self, Self::Http(..))
    }

    /// Whether the next attempt is counted from the start of the last one, not from its end.
    pub(crate) fn counts_from_start(&self) -> bool {
        matches!(self, Self::Misc(_))
    }

    /// How many pages there are to look at in turn, at least 1.
    pub(crate) fn pages(&self) -> usize {
        match self {
            Self::Http(_, http) => http.urls.len().max(1),
            Self::Tcp(_)
            | Self::Udp(..)
            | Self::Smtp(..)
            | Self::Dns(..)
            | Self::Ping(_)
            | Self::Misc(_)
            | Self::File(_)
            | Self::Bfd(_) => 1,
        }
    }
}

/// The longest a reply may take, in times of `connect_timeout`.
// keepalived: for ever, if something comes within each `connect_timeout`.
const HTTP_STEPS: u32 = 30;
