//! Two routers, one address, and what happens to it when a router dies.
//!
//!     cargo run --release --example failover
//!
//! Starts two keepalived-rs with the files `examples/failover-lb1.conf` and `failover-lb2.conf` on a LAN of network
//! namespaces, pings the address that they share 200 times per second, and does to them what life does to routers. Ends
//! with a table: how long the address was silent each time, and how long the protocol allows it to be. The exit status
//! is 0 only if everything happened as it should.
//!
//! Needs neither root nor anything but Rust and iproute2: it makes a user namespace of its own. Nothing outside of its
//! own namespaces is touched.

#[path = "../../tests/lab/mod.rs"]
mod lab;
mod probe;
mod screen;
mod timeline;
#[path = "../../tests/lab/world.rs"]
mod world;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use lab::Lan;
use lab::daemon::{Daemon, now};
use lab::frame::Seen;
use lab::witness::stood_still;
use probe::Probe;
use screen::{Kind, Screen};
use timeline::Line;

const ROUTERS: [&str; 2] = ["lb1", "lb2"];
const CONFS: [&str; 2] = [
    include_str!("../failover-lb1.conf"),
    include_str!("../failover-lb2.conf"),
];
const VIP: &str = "192.0.2.100";
/// What a busy machine may add to the protocol's bound before the demonstration counts as failed.
const GRACE: Duration = Duration::from_secs(1);

/// Why there is nothing to see.
type Failure = String;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            let _ = writeln!(io::stderr(), "failover: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Failure> {
    let daemon = build()?;
    // Before the first thread: a process of several cannot enter a user namespace.
    become_root().and_then(|()| world::enter()).map_err(|e| {
        format!(
            "this kernel gives an unprivileged user no namespaces of their own ({e}).
Either allow it (one of: sysctl kernel.unprivileged_userns_clone=1, sysctl kernel.apparmor_restrict_unprivileged_userns=0,
sysctl user.max_user_namespaces=1000), or run the demonstration as root; it touches nothing outside of its namespaces."
        )
    })?;
    install().map_err(|e| format!("the files of the demonstration: {e}"))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(|e| e.to_string())?;
    }
    let lan = Lan::new("eth0", &["192.0.2.11/24", "192.0.2.12/24", "192.0.2.50/24"]);
    let vip = VIP.parse().expect("an address");
    let probe =
        Probe::start(&lan.node(2).ns, vip).map_err(|e| format!("a socket for pings: {e}"))?;
    let screen = Screen::new();
    screen.print(&screen.paint(
        "1",
        &format!("Two routers share {VIP}; a third machine pings it 200 times per second."),
    ));
    screen.print("");
    let stop = AtomicBool::new(false);
    let (rows, end) = std::thread::scope(|scope| {
        let (deeds, deed) = channel();
        let (lan, probe, screen, stop) = (&lan, &probe, &screen, &stop);
        scope.spawn(move || timeline::tell(lan, probe, screen, &deed, stop));
        let mut show = Show {
            lan,
            probe,
            deeds,
            daemon: &daemon,
            interrupted: &interrupted,
            rows: Vec::new(),
        };
        let end = show.play();
        stop.store(true, Ordering::Relaxed);
        (show.rows, end)
    });
    table(&screen, &rows);
    end.map(|()| rows.iter().all(Row::kept))
}

/// Makes the caller root of a user namespace, unless it is root already. Only possible before threads are started.
///
/// # Errors
/// Where the kernel does not let unprivileged users have one.
fn become_root() -> io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Builds the daemon beside this program, with the same profile; without cargo, takes the one that is there.
fn build() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|e| format!("where this program is: {e}"))?;
    let profile = own
        .parent()
        .and_then(Path::parent)
        .ok_or("this program is not where cargo puts examples")?;
    let daemon = profile.join("keepalived-rs");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut command = Command::new(cargo);
        command.args([
            "build",
            "--quiet",
            "--bin",
            "keepalived-rs",
            "--manifest-path",
        ]);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        if profile.ends_with("release") {
            command.arg("--release");
        }
        let status = command.status().map_err(|e| format!("cargo: {e}"))?;
        if !status.success() {
            return Err("the daemon does not build".to_owned());
        }
    }
    if daemon.exists() {
        Ok(daemon)
    } else {
        Err(format!(
            "{} is not built: run this through cargo",
            daemon.display()
        ))
    }
}

/// Puts the script, and the service that it looks after, into the private view of the file system.
fn install() -> io::Result<()> {
    let script = Path::new("/etc/keepalived/check_web");
    fs::write(script, include_str!("../check_web"))?;
    fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
    for router in ROUTERS {
        fs::create_dir(format!("/run/{router}"))?;
        fs::write(format!("/run/{router}/web"), "")?;
    }
    Ok(())
}

/// One line of the table at the end.
struct Row {
    event: &'static str,
    silent: Duration,
    bound: Duration,
    /// For how long the machine itself stood still meanwhile.
    stalled: Duration,
    reason: &'static str,
}

impl Row {
    fn kept(&self) -> bool {
        self.silent <= self.bound + GRACE + self.stalled
    }
}

struct Show<'a> {
    lan: &'a Lan,
    probe: &'a Probe,
    deeds: Sender<Line>,
    daemon: &'a Path,
    interrupted: &'a AtomicBool,
    rows: Vec<Row>,
}

impl Show<'_> {
    fn play(&mut self) -> Result<(), Failure> {
        let (skew, down) = (skew_time(100), down_interval(100));

        let began = self.deed("both routers start");
        let mut lb1 = self.start(0);
        let _lb2 = self.start(1);
        self.advert(0, began, 150)?;
        let first = self.answered(began)?;
        let silent = Duration::from_nanos(first - began);
        self.rows.push(Row {
            event: "both routers start",
            silent,
            bound: down_interval(150),
            stalled: stood_still(began, first),
            reason: "master down interval",
        });

        self.calm(0)?;
        let at = self.deed("lb1 dies: SIGKILL, and its power is gone");
        lb1.kill();
        self.lan.cable(0, false);
        self.advert(1, at, 100)?;
        self.row("lb1 dies (SIGKILL)", at, down, "master down interval")?;

        self.calm(1)?;
        let at = self.deed("lb1 is repaired and starts again");
        // What a machine that was switched off does not remember.
        self.lan.node(0).ip(&format!("addr del {VIP}/24 dev eth0"));
        self.lan.cable(0, true);
        let mut lb1 = self.start(0);
        self.advert(0, at, 150)?;
        self.row(
            "lb1 comes back",
            at,
            Duration::ZERO,
            "handed over, alive to alive",
        )?;

        self.calm(0)?;
        let at = self.deed("the web server of lb1 breaks");
        fs::remove_file("/run/lb1/web").map_err(|e| e.to_string())?;
        self.advert(0, at, 0)?;
        self.advert(1, at, 100)?;
        self.row(
            "the service of lb1 breaks",
            at,
            skew,
            "skew time, after priority 0",
        )?;

        self.calm(1)?;
        let at = self.deed("the web server of lb1 is mended");
        fs::write("/run/lb1/web", "").map_err(|e| e.to_string())?;
        self.advert(0, at, 150)?;
        self.row(
            "the service of lb1 is mended",
            at,
            Duration::ZERO,
            "handed over, alive to alive",
        )?;

        self.calm(0)?;
        let at = self.deed("lb1 is stopped for maintenance: SIGTERM");
        lb1.terminate();
        self.advert(0, at, 0)?;
        self.advert(1, at, 100)?;
        self.row(
            "lb1 is stopped (SIGTERM)",
            at,
            skew,
            "skew time, after priority 0",
        )?;
        if lb1.wait_exit().success() {
            Ok(())
        } else {
            Err(format!("lb1 did not end well:\n{}", lb1.log()))
        }
    }

    fn start(&self, node: usize) -> Daemon {
        self.lan.node(node).start(self.daemon, CONFS[node])
    }

    /// Says what is done; when.
    fn deed(&self, what: &str) -> u64 {
        let at = now();
        // The timeline ends after us.
        let _ = self.deeds.send((at, "", Kind::Deed, what.to_owned()));
        at
    }

    /// Waits for an advertisement of this router with this priority.
    fn advert(&self, node: usize, since: u64, priority: u8) -> Result<Seen, Failure> {
        let found = self.poll(|| {
            let seen = self.lan.capture.events();
            seen.into_iter()
                .find(|s| s.node == node && s.at >= since && s.priority() == Some(priority))
        });
        found.ok_or_else(|| {
            let log = self.lan.node(node).last_log();
            format!(
                "{} never advertised priority {priority}; its log:\n{log}",
                ROUTERS[node]
            )
        })
    }

    /// Waits for an answer of the address after `since`; when it came.
    fn answered(&self, since: u64) -> Result<u64, Failure> {
        let answer = || Some(self.probe.last()).filter(|&last| last > since);
        self.poll(answer)
            .ok_or_else(|| format!("{VIP} does not answer"))
    }

    /// Three more advertisements of the master: whoever watches may read.
    fn calm(&self, master: usize) -> Result<(), Failure> {
        let since = now();
        let three = || {
            let seen = self.lan.capture.events();
            (seen
                .iter()
                .filter(|s| s.node == master && s.at > since && s.advert().is_some())
                .count()
                >= 3)
                .then_some(())
        };
        self.poll(three)
            .ok_or_else(|| format!("{} fell silent", ROUTERS[master]))
    }

    /// Notes how long the address was silent because of what was done `at`, once it answers steadily again.
    fn row(
        &mut self,
        event: &'static str,
        at: u64,
        bound: Duration,
        reason: &'static str,
    ) -> Result<(), Failure> {
        let after = now() + 300_000_000;
        let last = self.answered(after)?;
        self.rows.push(Row {
            event,
            silent: self.probe.silence(at, last),
            bound,
            stalled: stood_still(at, last),
            reason,
        });
        Ok(())
    }

    fn poll<T>(&self, mut check: impl FnMut() -> Option<T>) -> Option<T> {
        let stopped = || self.interrupted.load(Ordering::Relaxed).then_some(None);
        lab::poll(lab::PATIENCE, || check().map(Some).or_else(stopped)).flatten()
    }
}

/// RFC 3768 §6.1 at one second, of a router with this priority.
fn skew_time(priority: u64) -> Duration {
    Duration::from_micros((256 - priority) * 1_000_000 / 256)
}

fn down_interval(priority: u64) -> Duration {
    Duration::from_secs(3) + skew_time(priority)
}

/// "3.609 s".
fn seconds(span: Duration) -> String {
    format!("{}.{:03} s", span.as_secs(), span.subsec_millis())
}

fn table(screen: &Screen, rows: &[Row]) {
    screen.print("");
    let head = format!(
        "{:<30} {:>13}  {:>8}  {}",
        "event", "silent", "bound", "bound by"
    );
    screen.print(&screen.paint("1", &head));
    for row in rows {
        let (colour, mark) = if row.kept() {
            ("32", "✓")
        } else {
            ("1;31", "✗ late")
        };
        let silent = screen.paint(colour, &format!("{:>13}", seconds(row.silent)));
        screen.print(&format!(
            "{:<30} {silent}  {:>8}  {}  {}",
            row.event,
            seconds(row.bound),
            row.reason,
            screen.paint(colour, mark)
        ));
    }
    screen.print("The address is pinged every 5 ms; a silence includes up to two of these, and the time the daemons take.");
}
