//! Many health checks at once, ours beside stock keepalived, in a guest kernel that has IPVS.
//!
//!     cargo bench --bench checks -- [--servers N,N] [--seconds N] [--only ours|stock]
//!
//! N real servers (1,000 and 10,000), a hundred to a virtual server, each checked every second by TCP; then 500 by HTTP
//! and by TLS. All answers come from a process of the guest. What comes out:
//!
//! | column | |
//! |---|---|
//! | all checked | from the start to the first check of the last server, in ms; stock and ours both begin after a second |
//! | checks/s | that ended in a second, afterwards |
//! | CPU | of all processes of the daemon for 10,000 checks, in ms |
//! | KiB/server | resident memory of all its processes by the number of servers, and in all (MiB) |
//! | reload | one weight of all is changed: from SIGHUP until it is in the kernel, in ms |
//! | gap | the longest time without a check around that reload, in ms |
//!
//! A guest is several times slower than its host: compare rows. Needs the Debian packages of `tests/lab_ipvs`.
//! `LAB_OURS` and `LAB_STOCK` name other binaries.

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../lab/routers.rs"]
mod routers;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lab::daemon::Daemon;
use lab::ns::Namespace;
use lab::{TempDir, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;
use routers::Which::{self, Ours, Stock};

/// Real servers of one virtual server.
const POOL: usize = 100;
const LIMIT: Duration = Duration::from_secs(120);
/// Servers that are checked by HTTP and by TLS: as many as a guest's processor answers.
const DEAR: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    Tls,
}

impl Kind {
    fn word(self) -> &'static str {
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

struct Settings {
    servers: Vec<usize>,
    seconds: u64,
    only: Option<Which>,
}

fn settings() -> Option<Settings> {
    let mut found = Settings {
        servers: vec![1000, 10_000],
        seconds: 10,
        only: None,
    };
    let mut words = std::env::args().skip(1).filter(|w| w != "--bench");
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()?.as_str()) {
            ("--servers", list) => {
                found.servers = list
                    .split(',')
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .ok()?;
            }
            ("--seconds", n) => found.seconds = n.parse().ok()?,
            ("--only", "ours") => found.only = Some(Ours),
            ("--only", "stock") => found.only = Some(Stock),
            _ => return None,
        }
    }
    Some(found)
}

/// Every answered connection: when, and to which server.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<(Instant, IpAddr)>>>);

impl Journal {
    fn note(&self, stream: &TcpStream) {
        let to = stream.local_addr().map(|a| a.ip());
        if let Ok(to) = to {
            self.lock().push((Instant::now(), to));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, IpAddr)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn acceptor() -> SslAcceptor {
    let made = || {
        let key = PKey::from_rsa(Rsa::generate(2048)?)?;
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
fn answer(director: &Namespace, kind: Kind, journal: &Journal) {
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
                        let _ = stream.shutdown();
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

fn conf(kind: Kind, servers: usize, weight: u32) -> String {
    let mut conf = String::from("global_defs {\n router_id BENCH\n}\n");
    for first in (0..servers).step_by(POOL) {
        let vs = first / POOL;
        // A String takes all.
        let _ = write!(
            conf,
            "virtual_server 10.78.{}.{} 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\ndelay_loop 1\nwarmup 0\n",
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
fn family(pid: Pid) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let mut all = vec![pid];
    for child in children.split_whitespace().filter_map(|w| w.parse().ok()) {
        all.extend(family(Pid::from_raw(child)));
    }
    all
}

/// Of all of them: processor time in milliseconds, and resident memory in KiB.
fn cost(pid: Pid) -> (u64, u64) {
    let (mut cpu, mut memory) = (0, 0);
    for pid in family(pid) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<u64> = fields
            .split_whitespace()
            .map(|w| w.parse().unwrap_or(0))
            .collect();
        let field = |n: usize| fields.get(n).copied().unwrap_or(0);
        cpu += (field(11) + field(12)) * 10; // USER_HZ is 100
        memory += field(21) * 4; // pages
    }
    (cpu, memory)
}

fn weight_in_kernel(director: &Namespace, servers: usize) -> Option<String> {
    let vs = (servers - 1) / POOL;
    let mut command = Command::new("ipvsadm");
    command.args(["-Ln", "-t", &format!("10.78.{}.{}:80", vs >> 8, vs & 255)]);
    let out = director.run(|| command.output()).ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let last = format!("10.77.{}.{}:", (servers - 1) >> 8, (servers - 1) & 255);
    let line = text.lines().find(|l| l.contains(&last))?;
    line.split_whitespace().nth(3).map(str::to_owned)
}

fn row(which: Which, kind: Kind, servers: usize, seconds: u64, reload: bool) -> String {
    let director = Namespace::new();
    director.ip("route add local 10.77.0.0/16 dev lo");
    let journal = Journal::default();
    answer(&director, kind, &journal);
    let dir = TempDir::new();
    let path = dir.path().join("keepalived.conf");
    fs::write(&path, conf(kind, servers, 1)).expect("our own directory");
    let began = Instant::now();
    let start =
        |conf: &Path| Daemon::start(&director, &which.binary(), dir.path(), 1, conf, &["-C"]);
    let mut daemon = start(&path);
    let (mut seen, mut at) = (HashSet::new(), 0);
    let all = poll(LIMIT, || {
        let journal = journal.lock();
        seen.extend(journal.iter().skip(at).map(|(_, to)| *to));
        at = journal.len();
        (seen.len() >= servers).then(|| journal.last().map(|(when, _)| *when))
    });
    let all = all.flatten().map_or(0, |when| (when - began).as_millis());
    let (first, before) = (journal.lock().len(), cost(daemon.pid()));
    let window = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let (last, after) = (journal.lock().len(), cost(daemon.pid()));
    let millis = window.elapsed().as_millis();
    let checks = (last - first) as u64;
    let per_ten_thousand = (after.0 - before.0) * 10_000 / checks.max(1);
    let mut text = format!(
        "{:<6} {:>5} {:>6} {all:>12} {:>9} {per_ten_thousand:>7} {:>8}.{} {:>6}",
        if which == Ours { "ours" } else { "stock" },
        kind.word(),
        servers,
        u128::from(checks) * 1000 / millis.max(1),
        after.1 / servers as u64,
        after.1 * 10 / servers as u64 % 10,
        after.1 / 1024,
    );
    if reload {
        fs::write(&path, conf(kind, servers, 9)).expect("our own directory");
        let (from, began) = (journal.lock().len(), Instant::now());
        daemon.signal(Signal::SIGHUP);
        let there = poll(LIMIT, || {
            (weight_in_kernel(&director, servers).as_deref() == Some("9")).then(|| began.elapsed())
        });
        // Until checks go on.
        poll(LIMIT, || {
            (journal.lock().len() > from + servers).then_some(())
        });
        let times: Vec<Instant> = journal.lock()[from.saturating_sub(1)..]
            .iter()
            .map(|(when, _)| *when)
            .collect();
        let gap = times
            .windows(2)
            .map(|t| t[1] - t[0])
            .max()
            .unwrap_or_default();
        let _ = write!(
            text,
            " {:>7} {:>5}",
            there.unwrap_or_default().as_millis(),
            gap.as_millis()
        );
    }
    daemon.kill();
    text + "\n"
}

/// Inside the guest.
fn measure(settings: &Settings) -> String {
    let mut table = String::from(
        "        kind servers  all checked  checks/s CPU/10k KiB/server    MiB  reload   gap\n",
    );
    let mut rows: Vec<(Kind, usize, bool)> = settings
        .servers
        .iter()
        .map(|n| (Kind::Tcp, *n, true))
        .collect();
    rows.extend([(Kind::Http, DEAR, false), (Kind::Tls, DEAR / 5, false)]);
    for (kind, servers, reload) in rows {
        for which in [Stock, Ours] {
            if settings.only.is_none_or(|only| only == which) {
                let row = row(which, kind, servers, settings.seconds, reload);
                let _ = std::io::stderr().write_all(row.as_bytes());
                table += &row;
            }
        }
    }
    table
}

fn main() -> ExitCode {
    let mut err = std::io::stderr();
    let Some(settings) = settings() else {
        let _ = writeln!(
            err,
            "usage: [--servers N,N] [--seconds N] [--only ours|stock]"
        );
        return ExitCode::FAILURE;
    };
    if std::env::var_os("UML_RUN").is_some() {
        let table = measure(&settings);
        let _ = std::io::stdout().write_all(table.as_bytes());
        return ExitCode::SUCCESS;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut guest = Command::new(root.join("tests/uml/uml-run"));
    guest.args(["--timeout", "900", "--mem", "1024M", "--share"]);
    guest.arg(Ours.binary().parent().expect("a file is in a directory"));
    for name in ["LAB_OURS", "LAB_STOCK"] {
        if std::env::var_os(name).is_some() {
            guest.args(["--env", name]);
        }
    }
    guest
        .arg("--")
        .arg(std::env::current_exe().expect("this binary"));
    guest.args(std::env::args_os().skip(1)).current_dir(root);
    match guest.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}
