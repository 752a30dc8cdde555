//! What systemd is told, in the protocol of sd_notify(3): one datagram to a Unix socket. Nothing happens elsewhere.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";

/// Where to tell it; nowhere without a socket.
#[derive(Debug)]
pub(crate) struct Systemd(Option<(UnixDatagram, SocketAddr)>);

impl Systemd {
    /// `socket`: the value of [`VARIABLE`].
    pub(crate) fn new(socket: Option<OsString>) -> Self {
        Self(socket.and_then(|name| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address(&name).ok()?))
        }))
    }

    /// The start or a reload is complete.
    pub(crate) fn ready(&self, status: &str) {
        let pid = std::process::id();
        self.tell(&format!("READY=1\nMAINPID={pid}\nSTATUS={status}"));
    }

    /// A reload begins; `now` in microseconds of `CLOCK_MONOTONIC`.
    pub(crate) fn reloading(&self, now: u64) {
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=Reloading"
        ));
    }

    /// The stop begins.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Stopping");
    }

    fn tell(&self, message: &str) {
        if let Some((socket, to)) = &self.0
            && let Err(e) = socket.send_to_addr(message.as_bytes(), to)
        {
            tracing::warn!(reason = %e, "systemd was not told");
        }
    }
}

/// A leading `@` stands for the NUL of an abstract address.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_arrive_at_the_socket() {
        let name = format!("keepalived-test-{}", std::process::id());
        let at = SocketAddr::from_abstract_name(&name).expect("a short name");
        let heard = UnixDatagram::bind_addr(&at).expect("a new name");
        let systemd = Systemd::new(Some(format!("@{name}").into()));
        systemd.ready("Running");
        systemd.stopping();
        let mut octets = [0; 200];
        let mut next = || {
            let n = heard.recv(&mut octets).expect("a datagram");
            String::from_utf8_lossy(&octets[..n]).into_owned()
        };
        let pid = std::process::id();
        assert_eq!(next(), format!("READY=1\nMAINPID={pid}\nSTATUS=Running"));
        assert_eq!(next(), "STOPPING=1\nSTATUS=Stopping");
    }
}
