//! What is checked: thousands of addresses, one process behind all of them, and the configuration that names them.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;

use crate::lab::ns::Namespace;

/// Real servers of one virtual server.
const POOL: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Http,
    Tls,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Http => "HTTP",
            Self::Tls => "SSL",
        }
    }

    fn checker(self) -> &'static str {
        match self {
            Self::Tcp => "TCP_CHECK {\nconnect_timeout 5\n}\n",
            Self::Http => "HTTP_GET {\nurl {\npath /\nstatus_code 200\n}\nconnect_timeout 5\n}\n",
            Self::Tls => "SSL_GET {\nurl {\npath /\nstatus_code 200\n}\nconnect_timeout 5\n}\n",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Tcp => 8080,
            Self::Http => 8081,
            Self::Tls => 8443,
        }
    }
}

/// Every answered connection: when, and to which server.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<(Instant, IpAddr)>>>);

impl Journal {
    fn note(&self, stream: &TcpStream) {
        let to = stream.local_addr().map(|a| a.ip());
        if let Ok(to) = to {
            self.lock().push((Instant::now(), to));
        }
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, IpAddr)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn acceptor() -> SslAcceptor {
    let made = || {
        let key = PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(
            Nid::X9_62_PRIME256V1,
        )?)?)?;
        let mut cert = X509::builder()?;
        cert.set_pubkey(&key)?;
        cert.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
        cert.set_not_after(Asn1Time::days_from_now(1)?.as_ref())?;
        cert.sign(&key, MessageDigest::sha256())?;
        let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls())?;
        acceptor.set_private_key(&key)?;
        acceptor.set_certificate(&cert.build())?;
        Ok::<_, openssl::error::ErrorStack>(acceptor.build())
    };
    made().expect("a key and a certificate")
}

const PAGE: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// Answers on a thread of its own until the guest ends.
pub(crate) fn answer(director: &Namespace, kind: Kind, journal: &Journal) {
    let listener = director.run(|| {
        let kind_of = (socket2::Domain::IPV4, socket2::Type::STREAM);
        let socket = socket2::Socket::new(kind_of.0, kind_of.1, None)?;
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], kind.port())).into())?;
        socket.listen(16384)?;
        std::io::Result::Ok(TcpListener::from(socket))
    });
    let listener = listener.expect("a port of our own");
    let (journal, tls) = (journal.clone(), (kind == Kind::Tls).then(acceptor));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            journal.note(&stream);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            let mut request = [0; 1024];
            match (kind, &tls) {
                (Kind::Tcp, _) => {}
                (_, Some(tls)) => {
                    if let Ok(mut stream) = tls.accept(stream) {
                        let _ = stream
                            .read(&mut request)
                            .and_then(|_| stream.write_all(PAGE));
                    }
                }
                (_, None) => {
                    let _ = stream
                        .read(&mut request)
                        .and_then(|_| stream.write_all(PAGE));
                }
            }
        }
    });
}

/// Where the virtual server of a real one is, and the real one, by TCP.
pub(crate) fn place(server: usize) -> (SocketAddrV4, SocketAddrV4) {
    let at = |net: u8, n: usize, port: u16| {
        let [.., a, b] = n.to_be_bytes();
        SocketAddrV4::new([10, net, a, b].into(), port)
    };
    (at(78, server / POOL, 80), at(77, server, Kind::Tcp.port()))
}

/// `weight`: of the last server, all others have 1. `delay`: `delay_loop`.
pub(crate) fn conf(kind: Kind, servers: usize, weight: u32, delay: u32) -> String {
    let mut conf = String::from("global_defs {\n router_id BENCH\n}\n");
    let warmup = if delay == 1 { 0 } else { delay };
    for first in (0..servers).step_by(POOL) {
        let vs = first / POOL;
        // A String takes all.
        let _ = write!(
            conf,
            "virtual_server 10.78.{}.{} 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\ndelay_loop {delay}\nwarmup {warmup}\n",
            vs >> 8,
            vs & 255
        );
        for n in first..(first + POOL).min(servers) {
            let weight = if n == servers - 1 { weight } else { 1 };
            let _ = write!(
                conf,
                "real_server 10.77.{}.{} {} {{\nweight {weight}\n{}}}\n",
                n >> 8,
                n & 255,
                kind.port(),
                kind.checker()
            );
        }
        conf += "}\n";
    }
    conf
}

/// The daemon's processes.
pub(crate) fn family(pid: Pid) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let mut all = vec![pid];
    for child in children.split_whitespace().filter_map(|w| w.parse().ok()) {
        all.extend(family(Pid::from_raw(child)));
    }
    all
}
