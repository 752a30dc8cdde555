//! What systemd is told, in the protocol of sd_notify(3): one datagram to a Unix socket. Nothing happens elsewhere.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::time::Duration;

/// The variable that names the socket.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The variables of its watchdog: how long it waits, in microseconds, and for which process.
pub(crate) const WATCHDOG: [&str; 2] = ["WATCHDOG_USEC", "WATCHDOG_PID"];

/// How often the watchdog is to be fed: twice in the time that it waits. `None`: it does not watch us. `of`: the values
/// of [`WATCHDOG`].
pub(crate) fn watchdog(of: [Option<OsString>; 2]) -> Option<Duration> {
    let number = |value: &OsString| value.to_str()?.parse::<u64>().ok();
    let [waits, pid] = of;
    let ours = pid.is_none_or(|pid| number(&pid) == Some(std::process::id().into()));
    let waits = number(&waits?).filter(|n| *n > 0 && ours)?;
    Some(Duration::from_micros(waits) / 2)
}

/// Where to tell it; nowhere without a socket.
#[derive(Clone, Debug)]
pub(crate) struct Systemd(Option<Rc<(UnixDatagram, SocketAddr)>>);

impl Systemd {
    /// `socket`: the value of [`VARIABLE`].
    pub(crate) fn new(socket: Option<OsString>) -> Self {
        Self(socket.and_then(|name| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(Rc::new((socket, address(&name).ok()?)))
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

    /// How it is.
    pub(crate) fn status(&self, status: &str) {
        self.tell(&format!("STATUS={status}"));
    }

    /// All tasks turn.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// The stop begins.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Stopping");
    }

    fn tell(&self, message: &str) {
        if let Some(open) = &self.0
            && let (socket, to) = &**open
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

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_it_looks() {
        let of = |usec: &str, pid: Option<&str>| {
            let usec = (!usec.is_empty()).then(|| OsString::from(usec));
            watchdog([usec, pid.map(OsString::from)])
        };
        let own = std::process::id().to_string();
        assert_eq!(of("3000000", None), Some(Duration::from_millis(1500)));
        assert_eq!(of("2000", Some(&own)), Some(Duration::from_millis(1)));
        assert_eq!(of("2000", Some("1")), None);
        assert_eq!(
            (of("", None), of("0", None), of("x", None)),
            (None, None, None)
        );
    }
}
