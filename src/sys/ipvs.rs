//! IPVS over generic netlink: virtual services and their destinations, in the kernel's terms.
//!
//! Requests carry what keepalived sends, octet for octet. Never interprets an error: what `EEXIST` means depends on who
//! asked. Source: linux/ip_vs.h.

pub(crate) mod dest;
pub(crate) mod service;
pub(crate) mod whole;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dest::Dest;
use service::{Service, ServiceId};
use whole::{Role, SyncDaemon, Timeouts};

use super::genl::{Attrs, Genl, GenlError, Reply, Request, attrs};
use super::netns::Place;

/// `IPVS_GENL_NAME`.
pub(crate) const FAMILY: &str = "IPVS";

const IPVS_CMD_NEW_SERVICE: u8 = 1;
const IPVS_CMD_SET_SERVICE: u8 = 2;
const IPVS_CMD_DEL_SERVICE: u8 = 3;
const IPVS_CMD_GET_SERVICE: u8 = 4;
const IPVS_CMD_NEW_DEST: u8 = 5;
const IPVS_CMD_SET_DEST: u8 = 6;
const IPVS_CMD_DEL_DEST: u8 = 7;
const IPVS_CMD_GET_DEST: u8 = 8;
const IPVS_CMD_NEW_DAEMON: u8 = 9;
const IPVS_CMD_DEL_DAEMON: u8 = 10;
const IPVS_CMD_SET_CONFIG: u8 = 12;
const IPVS_CMD_GET_CONFIG: u8 = 13;
const IPVS_CMD_GET_INFO: u8 = 15;
const IPVS_CMD_FLUSH: u8 = 17;

const IPVS_CMD_ATTR_SERVICE: u16 = 1;
const IPVS_CMD_ATTR_DEST: u16 = 2;

const IPVS_INFO_ATTR_VERSION: u16 = 1;
const IPVS_INFO_ATTR_CONN_TAB_SIZE: u16 = 2;

const AF_INET: u16 = libc::AF_INET as u16;
const AF_INET6: u16 = libc::AF_INET6 as u16;

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call<'a> {
    NewService(&'a Service),
    SetService(&'a Service),
    /// Takes the destinations along.
    DelService(&'a Service),
    NewDest(&'a Service, &'a Dest),
    SetDest(&'a Service, &'a Dest),
    DelDest(&'a Service, &'a Dest),
    /// Answered by one service, or `ESRCH`.
    OneService(&'a ServiceId),
    AllServices,
    /// Answered by nothing when there is no such service.
    AllDests(&'a ServiceId),
    Info,
    /// Takes all services of everybody away.
    Flush,
    /// Answered by the timeouts.
    Config,
    SetConfig(Timeouts),
    NewDaemon(Role, &'a SyncDaemon),
    /// Role and id.
    DelDaemon(Role, u8),
}

impl Call<'_> {
    /// The call as octets, for [`Ipvs::submit`].
    pub(crate) fn request(&self) -> Request {
        let service = |attrs: &Attrs| Attrs::default().nest(IPVS_CMD_ATTR_SERVICE, attrs);
        let dest = |s: &Service, d: &Dest| {
            service(&s.without_persistence()).nest(IPVS_CMD_ATTR_DEST, &d.attrs())
        };
        let nested = |daemon: &Attrs| Attrs::default().nest(whole::IPVS_CMD_ATTR_DAEMON, daemon);
        let (cmd, dump, attrs) = match self {
            Self::NewService(s) => (IPVS_CMD_NEW_SERVICE, false, service(&s.attrs())),
            Self::SetService(s) => (IPVS_CMD_SET_SERVICE, false, service(&s.attrs())),
            Self::DelService(s) => (IPVS_CMD_DEL_SERVICE, false, service(&s.attrs())),
            Self::NewDest(s, d) => (IPVS_CMD_NEW_DEST, false, dest(s, d)),
            Self::SetDest(s, d) => (IPVS_CMD_SET_DEST, false, dest(s, d)),
            Self::DelDest(s, d) => (IPVS_CMD_DEL_DEST, false, dest(s, d)),
            Self::OneService(id) => (IPVS_CMD_GET_SERVICE, false, service(&id.attrs())),
            Self::AllServices => (IPVS_CMD_GET_SERVICE, true, Attrs::default()),
            Self::AllDests(id) => (IPVS_CMD_GET_DEST, true, service(&id.attrs())),
            Self::Info => (IPVS_CMD_GET_INFO, false, Attrs::default()),
            Self::Flush => (IPVS_CMD_FLUSH, false, Attrs::default()),
            Self::Config => (IPVS_CMD_GET_CONFIG, false, Attrs::default()),
            Self::SetConfig(timeouts) => (IPVS_CMD_SET_CONFIG, false, timeouts.attrs()),
            Self::NewDaemon(role, daemon) => {
                (IPVS_CMD_NEW_DAEMON, false, nested(&daemon.attrs(*role)))
            }
            Self::DelDaemon(role, id) => (
                IPVS_CMD_DEL_DAEMON,
                false,
                nested(&whole::end_of(*role, *id)),
            ),
        };
        Request { cmd, dump, attrs }
    }
}

/// What the kernel told; which fields are filled follows from the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) services: Vec<Service>,
    pub(crate) dests: Vec<Dest>,
    pub(crate) info: Option<Info>,
    pub(crate) timeouts: Option<Timeouts>,
}

/// The kernel's IPVS itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// Major, minor and patch level in an octet each.
    pub(crate) version: u32,
    /// Buckets of the connection table.
    pub(crate) conn_tab_size: u32,
}

impl Told {
    fn parse(replies: &[Reply]) -> Result<Self, GenlError> {
        let mut told = Self::default();
        for reply in replies {
            let (mut version, mut size) = (None, None);
            let mut timeouts = whole::Parts::default();
            for found in attrs(&reply.attrs) {
                match (reply.cmd, found?) {
                    (IPVS_CMD_NEW_SERVICE, (IPVS_CMD_ATTR_SERVICE, nest)) => {
                        told.services.push(Service::parse(nest)?);
                    }
                    (IPVS_CMD_NEW_DEST, (IPVS_CMD_ATTR_DEST, nest)) => {
                        told.dests.push(Dest::parse(nest)?);
                    }
                    (IPVS_CMD_SET_CONFIG, (kind, value)) => timeouts.take(kind, value),
                    (_, (IPVS_INFO_ATTR_VERSION, value)) => version = u32_of(value),
                    (_, (IPVS_INFO_ATTR_CONN_TAB_SIZE, value)) => size = u32_of(value),
                    _ => {}
                }
            }
            told.timeouts = told.timeouts.or(timeouts.whole());
            if let (Some(version), Some(conn_tab_size)) = (version, size) {
                told.info = Some(Info {
                    version,
                    conn_tab_size,
                });
            }
        }
        Ok(told)
    }
}

/// The kernel's table in the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Ipvs<T>(Genl<T>);

impl<T> Ipvs<T> {
    /// # Errors
    /// [`GenlError::Refused`] with `ENOENT` when the kernel has no IPVS (the module `ip_vs` is not loaded).
    pub(crate) async fn open(place: &Place) -> Result<Self, GenlError> {
        Genl::open(FAMILY, place).await.map(Self)
    }

    /// Queues a call; calls are carried out in order.
    pub(crate) fn submit(&mut self, tag: T, request: Request) {
        self.0.submit(tag, request);
    }

    /// Carries out what is queued and returns what is done, oldest first. Cancel safe.
    pub(crate) async fn next_done(&mut self) -> Vec<(T, Result<Told, GenlError>)> {
        let done = self.0.next_done().await;
        done.into_iter()
            .map(|(tag, answer)| (tag, answer.and_then(|replies| Told::parse(&replies))))
            .collect()
    }

    /// Carries out what is queued without waiting, whatever comes of it: for a destructor.
    pub(crate) fn finish_now(&mut self) {
        self.0.finish_now();
    }
}

/// Sixteen octets, an IPv4 address in the first four.
fn addr_octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&v4.octets());
            octets
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn addr_of(octets: &[u8; 16], ipv6: bool) -> IpAddr {
    let &[a, b, c, d, ..] = octets;
    if ipv6 {
        Ipv6Addr::from(*octets).into()
    } else {
        Ipv4Addr::new(a, b, c, d).into()
    }
}

fn u16_of(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_of(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests;
