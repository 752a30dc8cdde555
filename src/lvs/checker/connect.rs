//! Where a checker connects to and from where, and what a failure to connect means.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Down, Local, Step};
use crate::model::net::IfName;
use crate::sys::swarm::{Link, Seat, Swarm};

/// The options of all checkers that connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    /// `connect_ip`, `connect_port`, default the real server's.
    pub(crate) target: SocketAddr,
    /// Where from, if the options say anything about it.
    pub(crate) from: Option<Box<Source>>,
}

/// Where a checker connects from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// `bindto`: source address, default the kernel's choice.
    pub(crate) addr: Option<IpAddr>,
    /// `bind_port`: source port, default 0 = the kernel's choice.
    pub(crate) port: u16,
    /// `bind_if`: source interface (`SO_BINDTODEVICE`).
    pub(crate) interface: Option<IfName>,
    /// `fwmark` on the connection (`SO_MARK`), 0 = none.
    pub(crate) fwmark: u32,
}

impl Connect {
    /// Nothing but where to.
    pub(crate) fn to(target: SocketAddr) -> Self {
        Self { target, from: None }
    }

    /// Where from.
    pub(crate) fn source(&self) -> &Source {
        static ANYWHERE: Source = Source {
            addr: None,
            port: 0,
            interface: None,
            fwmark: 0,
        };
        self.from.as_deref().unwrap_or(&ANYWHERE)
    }

    /// A connection over TCP.
    ///
    /// # Errors
    /// [`Down::Connect`] is a verdict, [`Down::Local`] is not.
    pub(super) async fn tcp(&self, swarm: &Rc<Swarm>) -> Result<Link, Down> {
        let socket = self
            .socket(Type::STREAM, Protocol::TCP)
            .map_err(Down::Local)?;
        let outcome = swarm.connect(socket.into(), self.target).await;
        outcome.map_err(|e| refusal(errno(&e)))
    }

    /// Begins a connection over TCP of which `swarm` will say, by `name`, whether it could be made.
    ///
    /// # Errors
    /// As [`Connect::tcp`].
    pub(crate) fn dial(&self, swarm: &Swarm, name: u64) -> Result<Seat, Down> {
        let socket = self
            .socket(Type::STREAM, Protocol::TCP)
            .map_err(Down::Local)?;
        let begun = swarm.dial(name, socket.into(), self.target);
        begun.map_err(|e| refusal(errno(&e)))
    }

    /// A non-blocking socket that is bound as the options say, not yet connected.
    pub(super) fn socket(&self, kind: Type, protocol: Protocol) -> Result<Socket, Local> {
        let local = |step| {
            move |e: io::Error| Local {
                step,
                errno: errno(&e),
            }
        };
        let Source {
            addr,
            port,
            interface,
            fwmark,
        } = self.source();
        let domain = Domain::for_address(self.target);
        let socket =
            Socket::new(domain, kind.nonblocking(), Some(protocol)).map_err(local(Step::Socket))?;
        if let Some(device) = interface {
            socket
                .bind_device(Some(device.as_str().as_bytes()))
                .map_err(local(Step::Device))?;
        }
        if *fwmark != 0 {
            socket.set_mark(*fwmark).map_err(local(Step::Mark))?;
        }
        if addr.is_some() || *port != 0 {
            let any = match self.target {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let from = SocketAddr::new(addr.unwrap_or(any), *port);
            // Its last connection from a fixed port may still be in TIME_WAIT.
            socket
                .set_reuse_address(*port != 0)
                .and_then(|()| socket.bind(&from.into()))
                .map_err(local(Step::Bind))?;
        }
        Ok(socket)
    }
}

/// The kernel's reason.
pub(crate) fn errno(e: &io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The result of an attempt that is only a connection. One that was made and has been closed since counts as made: how soon
/// we look must not decide.
pub(crate) fn made(result: io::Result<()>) -> Result<(), Down> {
    match result.map_err(|e| errno(&e)) {
        // Before it is made, a reset is a refusal (tcp(7)).
        Ok(()) | Err(Errno::ECONNRESET | Errno::EPIPE) => Ok(()),
        Err(errno) => Err(refusal(errno)),
    }
}

/// Which failures of `connect(2)` are a verdict; all others are trouble of this machine.
pub(crate) fn refusal(errno: Errno) -> Down {
    const VERDICTS: [Errno; 8] = [
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
        Errno::ECONNREFUSED,
        Errno::EHOSTDOWN,
        Errno::ENETDOWN,
        Errno::ECONNRESET,
        Errno::ECONNABORTED,
        Errno::ETIMEDOUT,
    ];
    if VERDICTS.contains(&errno) {
        Down::Connect(errno)
    } else {
        Down::Local(Local {
            step: Step::Connect,
            errno,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: SocketAddr) -> Connect {
        Connect::to(target)
    }

    fn listener() -> (std::net::TcpListener, SocketAddr) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let addr = listener.local_addr().expect("it is bound");
        (listener, addr)
    }

    async fn tried(connect: &Connect) -> Result<(), Down> {
        let swarm = Swarm::new().expect("a runtime");
        let dialled = match connect.dial(&swarm, 7) {
            Err(down) => Err(down),
            Ok(_) => loop {
                if let Some((name, result)) = swarm.dialled() {
                    assert_eq!(name, 7);
                    break result.map_err(|e| refusal(errno(&e)));
                }
                swarm.turn().await;
            },
        };
        let connected = swarm.drive(connect.tcp(&swarm)).await.map(drop);
        assert_eq!(connected, dialled, "both ways find the same");
        connected
    }

    #[tokio::test]
    async fn a_connection_that_is_accepted_is_health() {
        let (listener, addr) = listener();
        assert_eq!(tried(&check(addr)).await, Ok(()));
        let (mut peer, from) = listener.accept().expect("the probe was here");
        let mut sent = Vec::new();
        std::io::Read::read_to_end(&mut peer, &mut sent).expect("closed in good order");
        assert!(sent.is_empty(), "nothing is ever sent");
        assert_eq!(from.ip(), addr.ip());
    }

    #[tokio::test]
    async fn a_connection_that_is_reset_before_anybody_looks_was_made() {
        let (listener, addr) = listener();
        let swarm = Swarm::new().expect("a runtime");
        let seat = check(addr).dial(&swarm, 1);
        assert!(seat.is_ok());
        let (peer, _) = listener.accept().expect("the probe is here");
        let _ = socket2::Socket::from(peer).set_linger(Some(std::time::Duration::ZERO));
        // Loopback: it has been reset when this returns.
        swarm.turn().await;
        let (_, result) = swarm.dialled().expect("it is known");
        assert_eq!(made(result), Ok(()));
        let refused = Err(io::Error::from_raw_os_error(Errno::ECONNREFUSED as i32));
        assert_eq!(made(refused), Err(Down::Connect(Errno::ECONNREFUSED)));
    }

    #[tokio::test]
    async fn a_port_without_listener_is_down() {
        let (listener, addr) = listener();
        drop(listener);
        assert_eq!(
            tried(&check(addr)).await,
            Err(Down::Connect(Errno::ECONNREFUSED))
        );
    }

    #[tokio::test]
    async fn the_source_is_what_the_options_say() {
        let (listener, addr) = listener();
        let mut from = check(addr);
        let source = from.from.get_or_insert_default();
        source.addr = Some([127, 0, 0, 7].into());
        assert_eq!(tried(&from).await, Ok(()));
        let (_, peer) = listener.accept().expect("the probe was here");
        assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 7]));
    }

    #[tokio::test]
    async fn trouble_of_this_machine_is_no_verdict() {
        let (_listener, addr) = listener();
        let mut foreign = check(addr);
        let source = foreign.from.get_or_insert_default();
        source.addr = Some([192, 0, 2, 1].into());
        let trouble = |step, errno| Err(Down::Local(Local { step, errno }));
        assert_eq!(
            tried(&foreign).await,
            trouble(Step::Bind, Errno::EADDRNOTAVAIL)
        );
        let mut nowhere = check(addr);
        let source = nowhere.from.get_or_insert_default();
        source.interface = IfName::new("ka-none");
        let result = tried(&nowhere).await;
        // Without privileges the kernel does not even look for the interface.
        assert!(
            result == trouble(Step::Device, Errno::ENODEV)
                || result == trouble(Step::Device, Errno::EPERM),
            "{result:?}"
        );
    }
}
