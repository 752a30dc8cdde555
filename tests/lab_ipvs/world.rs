//! A director, its real servers and a client, in the guest's kernel.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};

use crate::lab::daemon::Daemon;
use crate::lab::ns::Namespace;
use crate::lab::{TempDir, until_or};

pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_keepalived-rs");
pub(crate) const STOCK: &str = "/usr/sbin/keepalived";

/// How long anything may take: every delay of the configurations in here is some seconds, and the guest is slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// ```text
///   client 10.2.0.10 ── 10.2.0.1 director 10.1.1.160 ─┬─ .163, .164, … real servers
///   client 10.1.1.10 ─────────────────────────────────┘   default route: director
/// ```
/// All interfaces on 10.1.1.0/24 are called eth0, the others eth1.
pub(crate) struct World {
    pub(crate) director: Namespace,
    pub(crate) client: Namespace,
    servers: Vec<(u8, Namespace)>,
    _hub: Namespace,
    dir: TempDir,
    daemons: std::cell::Cell<usize>,
}

impl World {
    /// `servers`: last octets of the real servers.
    pub(crate) fn new(servers: &[u8]) -> Self {
        let hub = Namespace::new();
        hub.ip("link add br0 type bridge mcast_snooping 0 forward_delay 0");
        hub.ip("link set br0 up");
        let plug = |ns: &Namespace, last: u8| {
            hub.ip(&format!(
                "link add p{last} type veth peer name eth0 netns {}",
                ns.path()
            ));
            hub.ip(&format!("link set p{last} master br0 up"));
            ns.ip("link set eth0 up");
            ns.ip(&format!("addr add 10.1.1.{last}/24 dev eth0"));
        };
        let (director, client) = (Namespace::new(), Namespace::new());
        plug(&director, 160);
        plug(&client, 10);
        director.ip(&format!(
            "link add eth1 type veth peer name eth1 netns {}",
            client.path()
        ));
        for (ns, addr) in [(&director, "10.2.0.1/24"), (&client, "10.2.0.10/24")] {
            ns.ip("link set eth1 up");
            ns.ip(&format!("addr add {addr} dev eth1"));
        }
        director.sysctl("net/ipv4/ip_forward", "1");
        let servers = servers.iter().map(|&last| {
            let ns = Namespace::new();
            plug(&ns, last);
            ns.ip("route add default via 10.1.1.160");
            (last, ns)
        });
        let servers = servers.collect();
        Self {
            director,
            client,
            servers,
            _hub: hub,
            dir: TempDir::new(),
            daemons: std::cell::Cell::new(0),
        }
    }

    pub(crate) fn server(&self, last: u8) -> &Namespace {
        let found = self.servers.iter().find(|(n, _)| *n == last);
        &found.expect("a server of this world").1
    }

    /// Lets a real server answer on port 80: with its last octet.
    pub(crate) fn serve(&self, last: u8) -> Server {
        let listener = self
            .server(last)
            .run(|| TcpListener::bind("0.0.0.0:80"))
            .expect("port 80 of a namespace of ours");
        Server::start(listener, move |mut stream| {
            // The client may be gone already.
            let _ = stream.write_all(&[last]);
        })
    }

    /// Lets a real server answer on `port`: with `page`, as a web server.
    pub(crate) fn serve_pages(&self, last: u8, port: u16, page: &'static [u8]) -> Server {
        let listener = self
            .server(last)
            .run(|| TcpListener::bind(("0.0.0.0", port)))
            .expect("a port of a namespace of ours");
        Server::start(listener, move |mut stream| {
            let mut some = [0; 2048];
            let _ = stream.read(&mut some);
            let _ = stream.write_all(page);
        })
    }

    pub(crate) fn configure(&self, conf: &str) -> PathBuf {
        let path = self.dir.path().join("keepalived.conf");
        std::fs::write(&path, conf).expect("a file in our own directory");
        path
    }

    /// Starts a daemon on the director.
    pub(crate) fn start(&self, binary: &str, conf: &str, options: &[&str]) -> Daemon {
        let number = self.daemons.replace(self.daemons.get() + 1);
        let (dir, conf) = (self.dir.path(), self.configure(conf));
        let binary = Path::new(binary);
        Daemon::start(&self.director, binary, dir, number, &conf, options)
    }

    /// Each line of what ipvsadm says with the service that it is about; sorted, since the kernel has no order. Of its
    /// listings only that of the thresholds says more than `-Sn` and [`World::glance`], and each takes a process.
    pub(crate) fn held(&self) -> Vec<String> {
        let mut held: Vec<String> = self
            .ipvsadm("-Sn")
            .lines()
            .map(|l| l.trim_end().to_owned())
            .collect();
        let text = self.ipvsadm("-Ln --thresholds");
        let mut service = String::new();
        // Behind the headings.
        for line in text.lines().skip(3) {
            let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
            match words.strip_prefix("->") {
                Some(_) => held.push(format!("{service} {words}")),
                None => {
                    held.push(words.clone());
                    service = words;
                }
            }
        }
        held.sort();
        held
    }

    /// The table as the kernel itself shows it, with less in it than [`World::held`] has, and without a process; sorted.
    pub(crate) fn glance(&self) -> Vec<String> {
        let text = self
            .director
            .run(|| std::fs::read_to_string("/proc/thread-self/net/ip_vs"));
        // Without the module there is no such file.
        let text = text.unwrap_or_default();
        let mut service = "";
        let mut lines: Vec<_> = text
            .lines()
            .map(|line| match line.trim_start().starts_with("->") {
                true => format!("{service} {line}"),
                false => {
                    service = line;
                    line.to_owned()
                }
            })
            .collect();
        lines.sort();
        lines
    }

    /// # Panics
    /// When ipvsadm fails.
    pub(crate) fn ipvsadm(&self, args: &str) -> String {
        let mut command = Command::new("ipvsadm");
        command.args(args.split_whitespace());
        let out = self.director.run(|| command.output());
        let out = out.expect("ipvsadm is installed");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let why = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "ipvsadm {args}: {why}");
        text
    }

    /// Waits until the rules of the table are these, in any order; see [`World::rules`].
    pub(crate) fn wait_rules(&self, what: &str, daemon: &Daemon, rules: &[&str]) {
        let mut wanted: Vec<_> = rules.iter().map(|r| (*r).to_owned()).collect();
        wanted.sort();
        let story = || format!("{what}: not {wanted:#?} but {:#?}", self.rules());
        self.wait_until(story, daemon, |rules| rules == wanted);
    }

    /// Waits until the rules of the table are as wanted.
    pub(crate) fn wait_rules_that(&self, daemon: &Daemon, wanted: impl Fn(&[String]) -> bool) {
        self.wait_until(|| format!("{:#?}", self.rules()), daemon, wanted);
    }

    /// `story`: what there is instead.
    fn wait_until(
        &self,
        story: impl Fn() -> String,
        daemon: &Daemon,
        wanted: impl Fn(&[String]) -> bool,
    ) {
        let mut looks = Looks::default();
        until_or(
            || format!("{}\n{}", story(), daemon.log()),
            LIMIT,
            || (looks.worth(self) && wanted(&self.rules())).then_some(()),
        );
    }

    /// What `ipvsadm -Sn` says, without `-A`, `-a` and the kind of tunnel; sorted.
    pub(crate) fn rules(&self) -> Vec<String> {
        let text = self.ipvsadm("-Sn");
        let mut rules: Vec<_> = text
            .lines()
            .map(|l| {
                // IP in IP is the default and the only kind of tunnel in here.
                let noise = ["-A", "-a", "--tun-type", "ipip"];
                let words = l.split_whitespace().filter(|w| !noise.contains(w));
                words.collect::<Vec<_>>().join(" ")
            })
            .collect();
        rules.sort();
        rules
    }

    /// One request of the client: who answered.
    pub(crate) fn ask(&self, to: &str) -> io::Result<u8> {
        ask(&self.client, to)
    }
}

/// When to ask ipvsadm again, which takes a process each time: once the table looks otherwise, and now and then in any
/// case, since not everything can be seen in it.
#[derive(Default)]
pub(crate) struct Looks {
    seen: Option<Vec<String>>,
    in_vain: u32,
}

impl Looks {
    /// Looks at the table that leave out ipvsadm, in a row.
    const LEFT_OUT: u32 = 9;

    pub(crate) fn worth(&mut self, world: &World) -> bool {
        let now = Some(world.glance());
        let same = now == self.seen && self.in_vain < Self::LEFT_OUT;
        self.in_vain = if same { self.in_vain + 1 } else { 0 };
        self.seen = now;
        !same
    }
}

/// One request from there: who answered.
pub(crate) fn ask(client: &Namespace, to: &str) -> io::Result<u8> {
    let to: SocketAddr = to.parse().expect("address and port");
    let mut stream = client.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(10)))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(answer[0])
}

impl Drop for World {
    fn drop(&mut self) {
        self.director.kill_everything();
    }
}

/// Answers every connection, and closes it. Ends when dropped: the port is closed then.
pub(crate) struct Server {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(
        listener: TcpListener,
        answer: impl Fn(TcpStream) + Send + 'static,
    ) -> Self {
        let accepting = listener.try_clone().expect("a second descriptor");
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                answer(stream);
            }
        });
        Self {
            listener,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes the thread: `accept` fails from now on.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
