//! A LAN in a box: network namespaces joined by a bridge, daemons in them, and a witness on the wire.
//!
//! Every [`Lan`] is made for one test and shares no name with any other: its namespaces have none (they live as long
//! as a descriptor or a process holds them), its files lie in a directory of their own. Whatever a test starts ends
//! with the `Lan`, also when the test fails. Nothing here waits for a fixed time: [`until`] and [`Lan::wait`] wait for
//! a condition and have a deadline.
//!
//! Time is the kernel's: frames carry the timestamp they got on the hub, so what is measured is what another machine
//! on the LAN would have seen.
#![allow(
    dead_code,
    reason = "shared by several binaries, none of which uses all of it"
)]

pub(crate) mod capture;
pub(crate) mod daemon;
pub(crate) mod frame;
pub(crate) mod ns;
pub(crate) mod witness;

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use capture::Capture;
use daemon::Daemon;
use frame::{Event, Seen};
use ns::Namespace;

/// Whether this process may make network namespaces. Where it may not, says so in the words that `tests/run` counts.
pub(crate) fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        // Not through `println!`: the test runner would keep it to itself.
        let _ = writeln!(std::io::stderr(), "skipped: needs root: {test}");
    }
    root
}

/// How long anything may take that has no bound of its own. It ends a test that would never end, and measures nothing: a
/// machine may be slow, and may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Polls `check` until it answers, for as long as a condition has no event to wait for; nothing when `limit` has passed.
pub(crate) fn poll<T>(limit: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let found = check();
        if found.is_some() || Instant::now() >= end {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As [`poll`].
///
/// # Panics
/// When `limit` has passed: names `what`.
pub(crate) fn until<T>(what: &str, limit: Duration, check: impl FnMut() -> Option<T>) -> T {
    until_or(|| what.to_owned(), limit, check)
}

/// As [`until`]; `story` is told at the end, when it is known what there was instead.
pub(crate) fn until_or<T>(
    story: impl FnOnce() -> String,
    limit: Duration,
    check: impl FnMut() -> Option<T>,
) -> T {
    poll(limit, check).unwrap_or_else(|| panic!("not within {limit:?}: {}", story()))
}

/// Puts a program at `to`. Another process does: what is open for writing here is inherited by whatever another test
/// starts in that moment, and for as long as anybody has a file open for writing, nobody can run it.
pub(crate) fn install(text: &[u8], to: &Path, mode: u32) {
    let mut command = Command::new("install");
    command.arg(format!("--mode={mode:o}"));
    command.arg("/dev/stdin").arg(to).stdin(Stdio::piped());
    let mut child = command.spawn().expect("coreutils are installed");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(text).expect("a reader");
    drop(input);
    let status = child.wait().expect("our child");
    assert!(status.success(), "{}", to.display());
}

/// A directory below the system's temporary one that goes away with its owner.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// Readable by everybody, so that scripts with other users' rights can be tested.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "keepalived-rs-lab-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory below the temporary one");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .expect("mode of our own directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        // What daemons that were killed have put into memory, since the directory is on a disk.
        let words = self.0.iter().skip(1).map(|part| part.to_string_lossy());
        let ours = format!("keepalived-rs-{}-", words.collect::<Vec<_>>().join("-"));
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&ours) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Some machines on one LAN. Node `n` has one interface with the MAC 02:00:00:00:00:0n (from 1).
pub(crate) struct Lan {
    nodes: Vec<Node>,
    hub: Namespace,
    pub(crate) capture: Capture,
    dir: TempDir,
}

/// One machine.
pub(crate) struct Node {
    pub(crate) ns: Namespace,
    pub(crate) interface: String,
    dir: PathBuf,
    index: usize,
}

impl Lan {
    /// `addrs`: one machine each, with this address and prefix on `interface`.
    pub(crate) fn new(interface: &str, addrs: &[&str]) -> Self {
        Self::make(interface, addrs, addrs.len())
    }

    /// As [`Lan::new`], with one more machine at the end, to whose frames the capture does not listen: it may flood.
    pub(crate) fn with_stranger(interface: &str, addrs: &[&str], stranger: &str) -> Self {
        let all: Vec<&str> = addrs.iter().copied().chain([stranger]).collect();
        Self::make(interface, &all, addrs.len())
    }

    fn make(interface: &str, addrs: &[&str], heard: usize) -> Self {
        witness::start();
        let dir = TempDir::new();
        let hub = Namespace::new();
        hub.ip("link add br0 type bridge mcast_snooping 0 forward_delay 0");
        hub.sysctl("net/ipv6/conf/br0/disable_ipv6", "1");
        hub.ip("link set br0 up");
        let mut nodes = Vec::new();
        for (index, addr) in addrs.iter().enumerate() {
            let ns = Namespace::new();
            let port = format!("p{index}");
            hub.ip(&format!(
                "link add {port} type veth peer name {interface} address 02:00:00:00:00:{:02x} netns {}",
                index + 1,
                ns.path()
            ));
            hub.sysctl(&format!("net/ipv6/conf/{port}/disable_ipv6"), "1");
            hub.ip(&format!("link set {port} master br0 up"));
            ns.ip(&format!("link set {interface} up"));
            if !addr.is_empty() {
                ns.ip(&format!("addr add {addr} dev {interface}"));
            }
            let dir = dir.path().join(format!("node{index}"));
            fs::create_dir(&dir).expect("a directory for the node");
            nodes.push(Node {
                ns,
                interface: interface.to_owned(),
                dir,
                index,
            });
        }
        let ports: Vec<String> = (0..heard).map(|i| format!("p{i}")).collect();
        let capture = Capture::start(&hub, &ports);
        Self {
            nodes,
            hub,
            capture,
            dir,
        }
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Plugs or pulls the cable of a node, at the hub's end: the node loses its carrier.
    pub(crate) fn cable(&self, node: usize, plugged: bool) {
        self.hub.ip(&format!(
            "link set p{node} {}",
            if plugged { "up" } else { "down" }
        ));
    }

    /// Gives a node that has lost its interface another one. The capture does not hear it.
    pub(crate) fn plug(&self, node: usize, addr: &str, mac: &str) {
        let (port, node) = (format!("q{node}"), self.node(node));
        self.hub.ip(&format!(
            "link add {port} type veth peer name {} address {mac} netns {}",
            node.interface,
            node.ns.path()
        ));
        self.hub.ip(&format!("link set {port} master br0 up"));
        node.ip(&format!("link set {} up", node.interface));
        node.ip(&format!("addr add {addr} dev {}", node.interface));
    }

    /// The port at which the bridge has learned a MAC.
    pub(crate) fn port_of(&self, mac: [u8; 6]) -> Option<String> {
        let table = self.hub.try_bridge("fdb show br br0");
        let mac = mac.map(|octet| format!("{octet:02x}")).join(":");
        let line = table.lines().find(|line| line.starts_with(&mac))?;
        let mut words = line.split_whitespace();
        words.find(|word| *word == "dev")?;
        words.next().map(str::to_owned)
    }

    /// Everything the hub heard so far, in the order of its timestamps.
    pub(crate) fn events(&self) -> Vec<Seen> {
        self.capture.events()
    }

    /// Waits until `check` finds in the events what it looks for.
    ///
    /// # Panics
    /// When `limit` has passed: shows `what` and the events.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        check: impl FnMut(&[Seen]) -> Option<T>,
    ) -> T {
        match self.capture.wait(limit, check) {
            Some(found) => found,
            None => panic!("not within {limit:?}: {what}\n{}", self.story()),
        }
    }

    /// Waits for the first advertisement of `node` after `since` that `like` accepts.
    pub(crate) fn advert(
        &self,
        what: &str,
        node: usize,
        since: u64,
        like: impl Fn(&frame::Advert) -> bool,
    ) -> Seen {
        self.wait(what, PATIENCE, |seen| {
            seen.iter()
                .find(|s| s.node == node && s.at >= since && s.advert().is_some_and(&like))
                .cloned()
        })
    }

    /// The events and the logs, for a person who wants to know why a test failed.
    pub(crate) fn story(&self) -> String {
        let seen = self.events();
        let start = seen.first().map_or(0, |s| s.at);
        let mut text = String::new();
        let skip = seen.len().saturating_sub(120);
        for s in seen.iter().skip(skip).filter(|s| s.event != Event::Other) {
            text += &format!(
                "{:>12} ms  node {}  {}\n",
                millis(s.at - start),
                s.node,
                s.event
            );
        }
        for node in &self.nodes {
            for log in node.logs() {
                text += &format!(
                    "--- {}\n{}\n",
                    log.display(),
                    fs::read_to_string(&log).unwrap_or_default()
                );
            }
        }
        text
    }
}

/// Nanoseconds as milliseconds with three decimals, for people.
pub(crate) fn millis(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1_000_000, nanos / 1_000 % 1_000)
}

impl Drop for Lan {
    fn drop(&mut self) {
        // Daemons that a test still holds have been ended by their own drop; what is left are their scripts' children.
        for ns in self.nodes.iter().map(|n| &n.ns).chain([&self.hub]) {
            ns.kill_everything();
        }
    }
}

impl Node {
    /// Starts `binary` with `conf`; everything it writes goes to files of this node.
    pub(crate) fn start(&self, binary: &Path, conf: &str) -> Daemon {
        self.start_with(binary, conf, &[])
    }

    /// As [`Node::start`], with more options on the command line.
    pub(crate) fn start_with(&self, binary: &Path, conf: &str, options: &[&str]) -> Daemon {
        let number = self.logs().len();
        Daemon::start(
            &self.ns,
            binary,
            &self.dir,
            number,
            &self.configure(conf),
            options,
        )
    }

    /// Writes the configuration file, for a start or for a reload.
    pub(crate) fn configure(&self, conf: &str) -> PathBuf {
        self.file("keepalived.conf", conf, 0o644)
    }

    /// Writes a file in this node's directory.
    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.dir.join(name);
        if mode & 0o111 == 0 {
            fs::write(&path, text).expect("a file in our own directory");
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, mode).expect("mode of our own file");
        } else {
            install(text.as_bytes(), &path, mode);
        }
        path
    }

    /// A path in this node's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn ip(&self, args: &str) -> String {
        self.ns.ip(args)
    }

    /// Whether the interface carries this address, with any prefix.
    pub(crate) fn has(&self, addr: &str) -> bool {
        let addr: IpAddr = addr.parse().expect("an address");
        self.ns
            .addresses()
            .contains(&(self.interface.clone(), addr))
    }

    /// Waits until the interface carries the address, or does not.
    pub(crate) fn wait_has(&self, addr: &str, wanted: bool) {
        let verb = if wanted { "has" } else { "lacks" };
        until_or(
            || {
                format!(
                    "node {} {verb} {addr}; its log:\n{}",
                    self.index,
                    self.last_log()
                )
            },
            PATIENCE,
            || (self.has(addr) == wanted).then_some(()),
        );
    }

    /// What the daemon that was started last has logged.
    pub(crate) fn last_log(&self) -> String {
        self.logs()
            .pop()
            .and_then(|log| fs::read_to_string(log).ok())
            .unwrap_or_default()
    }

    /// `ip addr show` of the interface, without what differs from lab to lab (interface numbers) and from version to
    /// version of keepalived (the address protocol, which 2.4 sets and 2.2 does not).
    pub(crate) fn ip_addr(&self) -> String {
        let text = self.ip(&format!("addr show dev {}", self.interface));
        let mut out = String::new();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let mut kept = Vec::new();
            let mut i = 0;
            while i < words.len() {
                match words[i] {
                    "proto" | "link-netnsid" => i += 2,
                    word => {
                        kept.push(word);
                        i += 1;
                    }
                }
            }
            out += &kept.join(" ");
            out.push('\n');
        }
        out
    }

    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        (0..)
            .map(|n| self.dir.join(format!("log{n}")))
            .take_while(|p| p.exists())
            .collect()
    }
}
