//! The command line, exit codes, pid files, signals and log lines of the built binary, as scripts and supervisors see
//! them. Source: keepalived(8) as measured.

#[path = "lab/mod.rs"]
mod lab;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lab::{TempDir, root, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const BINARY: &str = env!("CARGO_BIN_EXE_keepalived-rs");
const LIMIT: Duration = Duration::from_secs(60);

const GOOD: &str = "vrrp_instance VI {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.9.0.100/24
    }
}
";
const UNKNOWN: &str = "vrrp_instance VI {
    interface eth0
    bogus 3
    virtual_router_id 51
    virtual_ipaddress {
        10.9.0.100/24
    }
}
";
const NO_INTERFACE: &str = "vrrp_instance VI {
    interface nosuch0
    virtual_router_id 51
    virtual_ipaddress {
        10.9.0.100/24
    }
}
";

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(args).stdin(Stdio::null());
    command.output().expect("the built binary")
}

fn out(o: &Output) -> String {
    String::from_utf8_lossy(&o.stdout).into_owned()
}

fn err(o: &Output) -> String {
    String::from_utf8_lossy(&o.stderr).into_owned()
}

/// Namespaces of its own for network and mounts, with an empty /run and /dev/log of the test: whatever runs in it
/// meets no other daemon. Everything in it ends when dropped.
struct Machine {
    holder: Child,
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        let script = "mount -t tmpfs none /run && mount -t tmpfs none /mnt && mkdir /mnt/dev && \
            mknod -m 666 /mnt/dev/null c 1 3 && mount --bind /mnt/dev /dev && \
            ip link set lo up && ip link add eth0 type veth peer name peer0 && ip link set peer0 up && ip addr add 10.9.0.1/24 dev eth0 && \
            ip link set eth0 up && mkdir /run/netns && echo ready && exec cat";
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--", "sh", "-c", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("util-linux is installed");
        let mut said = [0; 6];
        let stdout = holder.stdout.as_mut().expect("a pipe");
        stdout.read_exact(&mut said).expect("namespaces of our own");
        let dir = TempDir::new();
        Self { holder, dir }
    }

    /// A path of the machine as the test sees it.
    fn path(&self, path: &str) -> PathBuf {
        format!("/proc/{}/root{path}", self.holder.id()).into()
    }

    /// A file of the test, at the same path inside and outside.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("a file of ours");
        path.to_string_lossy().into_owned()
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let holder = self.holder.id().to_string();
        let wd = format!("--wd={}", self.dir.path().display());
        command
            .args(["-t", &holder, "-n", "-m", &wd, "--", program])
            .args(args);
        command
            .stdin(Stdio::null())
            .env("LC_ALL", "C")
            .env("TMPDIR", self.dir.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(BINARY, args)
            .output()
            .expect("the built binary")
    }

    /// In the foreground, standard error in a file.
    fn start(&self, args: &[&str]) -> Foreground {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = self.dir.path().join(format!("stderr{n}"));
        let mut command = self.command(BINARY, args);
        command
            .stderr(fs::File::create(&log).expect("a log file"))
            .stdout(Stdio::null());
        let child = command.spawn().expect("the built binary");
        Foreground { child, log }
    }

    fn pid_of(&self, path: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.path(path)).ok()?;
        Some(Pid::from_raw(text.strip_suffix('\n')?.parse().ok()?))
    }

    /// Our daemons in it.
    fn daemons(&self) -> Vec<Pid> {
        let ns = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let own = ns(&self.holder.id().to_string());
        let pids = fs::read_dir("/proc").expect("procfs").filter_map(|entry| {
            let pid = entry.ok()?.file_name().into_string().ok()?;
            let number = pid.parse().ok()?;
            let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
            (own.is_some() && ns(&pid) == own && exe == Path::new(BINARY)).then_some(number)
        });
        pids.map(Pid::from_raw).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for pid in self.daemons() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A daemon with -n.
struct Foreground {
    child: Child,
    log: PathBuf,
}

impl Foreground {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a log file")
    }

    fn wait_log(&self, text: &str) {
        let end = Instant::now() + LIMIT;
        while !self.log().contains(text) {
            assert!(
                Instant::now() < end,
                "not in the log: {text}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid fits"))
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(status.expect("kill").success());
    }

    fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn exit_code(&mut self) -> Option<i32> {
        until("the daemon ends", LIMIT, || {
            self.child.try_wait().expect("our child")
        })
        .code()
    }
}

fn gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // An init that does not reap leaves a zombie.
    stat.rsplit(')')
        .next()
        .is_none_or(|s| s.trim().is_empty() || s.trim().starts_with('Z'))
}

// --- without a machine ---

#[test]
fn the_first_line_of_the_version_is_what_exporters_parse() {
    for option in ["-v", "--version", "--ver"] {
        let o = run(&[option]);
        assert_eq!((o.status.code(), out(&o).as_str()), (Some(0), ""));
        let text = err(&o);
        let line = text.lines().next().expect("a line");
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("Keepalived"));
        let version = words
            .next()
            .expect("a version")
            .strip_prefix('v')
            .expect("a v");
        let numbers: Vec<u32> = version
            .split('.')
            .map(|n| n.parse().expect("a number"))
            .collect();
        assert!(numbers.as_slice() >= [2, 4, 3].as_slice(), "{line}");
        let date = words.next().expect("a date");
        assert!(
            date.starts_with('(') && date.ends_with(')') && date.contains(','),
            "{line}"
        );
        assert!(text.contains(concat!("keepalived-rs v", env!("CARGO_PKG_VERSION"))));
        // The lines that tools look for, in keepalived's order.
        let mut lines = text.lines();
        for start in [
            "Built with kernel headers for Linux ",
            "Running on Linux ",
            "configure options: ",
            "Config options:  ",
            "System options:  ",
        ] {
            assert!(lines.any(|l| l.starts_with(start)), "{start} in {text}");
        }
        let line = |start| text.lines().find(|l| l.starts_with(start));
        let features = line("Config options:").expect("a line");
        for word in [
            "JSON",
            "LVS",
            "VRRP",
            "VRRP_VMAC",
            "NFTABLES",
            "SYSTEMD_NOTIFY",
        ] {
            assert!(features.split_whitespace().any(|w| w == word), "{word}");
        }
        // What does nothing yet is not promised.
        for word in ["SNMP_VRRP", "SNMP_CHECKER", "DBUS", "BFD"] {
            assert!(!features.split_whitespace().any(|w| w == word), "{word}");
        }
    }
}

#[test]
fn the_help_lists_the_options_and_fits_a_terminal() {
    let o = run(&["-h"]);
    assert_eq!(o.status.code(), Some(0));
    let text = err(&o);
    assert!(text.starts_with("Usage: keepalived [OPTION...]\n"));
    assert!(text.contains("-f, --use-file=FILE"));
    assert!(text.lines().all(|l| l.chars().count() <= 100));
}

#[test]
fn the_manual_has_every_option_in_both_spellings() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/man/keepalived-rs.8");
    let page = fs::read_to_string(page).expect("the manual");
    let page = page.replace("\\-", "-");
    let spelt = |option: &str| {
        let mut found = page.match_indices(option);
        found.any(|(at, _)| {
            let next = page[at + option.len()..].chars().next();
            next.is_none_or(|c| !(c.is_alphanumeric() || c == '-' || c == '_'))
        })
    };
    let help = err(&run(&["-h"]));
    let mut options = 0;
    for line in help.lines().filter(|l| l.trim_start().starts_with('-')) {
        let names = line.split_whitespace().take_while(|w| w.starts_with('-'));
        for name in names {
            let name = name.trim_end_matches(',');
            let name = name.split(['=', '[']).next().expect("a name");
            assert!(spelt(name), "{name} is not in the manual");
            options += 1;
        }
    }
    assert!(options > 60, "{options}");
}

#[test]
fn signum_prints_the_numbers_that_scripts_have_built_in() {
    let numbers = [
        ("STOP", 15),
        ("RELOAD", 1),
        ("DATA", 10),
        ("STATS", 12),
        ("STATS_CLEAR", 63),
        ("JSON", 36),
    ];
    for (name, number) in numbers {
        let o = run(&[&format!("--signum={name}")]);
        assert_eq!(
            (o.status.code(), out(&o), err(&o)),
            (Some(0), format!("{number}\n"), String::new())
        );
    }
    for wrong in ["stop", "FOO"] {
        let o = run(&["--signum", wrong]);
        assert_eq!(o.status.code(), Some(1));
        assert_eq!(
            (out(&o), err(&o)),
            (String::new(), format!("Unknown sigfunc {wrong}\n"))
        );
    }
}

#[test]
fn mistakes_in_the_options_are_told_in_the_usual_words() {
    let cases: [(&[&str], &str); 6] = [
        (&["--nosuch"], "Unknown option --nosuch\n"),
        (&["-Z"], "Unknown option -Z\n"),
        (&["-f"], "Missing parameter for option -f\n"),
        (&["--signum"], "Missing parameter for option --signum\n"),
        (&["--signum="], "Missing parameter for option --signum\n"),
        (&["--log"], "Unknown option --log\n"),
    ];
    for (args, text) in cases {
        let o = run(args);
        assert_eq!(
            (o.status.code(), err(&o).as_str()),
            (Some(1), text),
            "{args:?}"
        );
    }
    let o = run(&["-Z", "-v"]);
    assert_eq!(o.status.code(), Some(0));
    assert!(err(&o).starts_with("Unknown option -Z\nKeepalived v"));
    let o = run(&["-S", "9", "-u", "999", "extra", "args", "-v"]);
    assert_eq!(o.status.code(), Some(0));
    assert!(
        err(&o).starts_with("Invalid log facility '9'\nInvalid --umask option 999\nKeepalived v")
    );
    assert_eq!(out(&o), "Unexpected argument(s): extra args \n");
}

#[test]
fn the_name_it_is_called_by_does_not_matter_except_genhash() {
    let dir = TempDir::new();
    let link = |name: &str| {
        let path = dir.path().join(name);
        std::os::unix::fs::symlink(BINARY, &path).expect("a link");
        path
    };
    let o = Command::new(link("keepalived"))
        .arg("--signum=JSON")
        .output()
        .expect("a link to it");
    assert_eq!(out(&o), "36\n");
    let o = Command::new(link("genhash"))
        .arg("-v")
        .output()
        .expect("a link to it");
    assert_eq!(o.status.code(), Some(1));
    assert!(err(&o).contains("genhash"), "{}", err(&o));
}

#[test]
fn a_configuration_that_is_absent_passes_the_test_and_fails_the_daemon() {
    let o = run(&["-t", "-f", "/nonexistent/x.conf"]);
    assert_eq!(o.status.code(), Some(0), "{}", err(&o));
    assert!(err(&o).contains("/nonexistent/x.conf"));
    let o = run(&["-n", "-G", "-f", "/nonexistent/x.conf"]);
    assert_eq!((o.status.code(), err(&o).as_str()), (Some(6), ""));
    let o = run(&["-G", "-f", "/nonexistent/x.conf"]);
    assert_eq!(o.status.code(), Some(6));
    let o = run(&["-nl", "-G", "-f", "/nonexistent/x.conf"]);
    let text = err(&o);
    let messages: Vec<_> = text
        .lines()
        .map(|l| l.splitn(6, ' ').last().unwrap_or(""))
        .collect();
    assert!(
        messages
            .first()
            .is_some_and(|m| m.contains("Starting Keepalived v2")),
        "{text}"
    );
    assert!(
        messages
            .last()
            .is_some_and(|m| m.contains("Stopped Keepalived v2")),
        "{text}"
    );
}

// --- in a machine ---

#[test]
fn the_config_test_tells_complaints_by_line_and_exit_code() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let (good, unknown) = (m.file("good.conf", GOOD), m.file("unknown.conf", UNKNOWN));
    let missing = m.file("missing.conf", NO_INTERFACE);
    let o = m.run(&["-t", "-f", &good]);
    assert_eq!((o.status.code(), err(&o).as_str()), (Some(0), ""));
    let o = m.run(&["--config-test", "-f", &unknown]);
    assert_eq!(o.status.code(), Some(5));
    assert!(
        err(&o).contains("Line 3) Unknown keyword 'bogus'"),
        "{}",
        err(&o)
    );
    let o = m.run(&["-t", "-f", &missing]);
    assert_eq!(o.status.code(), Some(5));
    assert!(err(&o).contains("nosuch0"), "{}", err(&o));
    // Into a file: appended to, 0644 less the umask.
    let log = m.dir.path().join("test.log");
    let option = format!("--config-test={}", log.display());
    for lines in 1..=2 {
        let o = m.run(&[&option, "-f", &unknown]);
        assert_eq!((o.status.code(), err(&o).as_str()), (Some(5), ""));
        let text = fs::read_to_string(&log).expect("a log");
        assert_eq!(text.matches("Unknown keyword 'bogus'").count(), lines);
    }
    let mode = fs::metadata(&log).expect("a log").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let glued = format!("-t{}", log.display());
    assert_eq!(m.run(&[&glued, "-f", &good]).status.code(), Some(0));
    assert!(!m.path("/run/keepalived.pid").exists());
}

#[test]
fn the_foreground_daemon_has_pid_files_while_it_runs() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("good.conf", GOOD);
    let mut d = m.start(&["-nlGf", &conf]);
    d.wait_log("Startup complete");
    for file in ["/run/keepalived.pid", "/run/vrrp.pid"] {
        assert_eq!(m.pid_of(file), Some(d.pid()), "{file}");
        let mode = fs::metadata(m.path(file))
            .expect("a pid file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
    }
    assert!(!m.path("/run/checkers.pid").exists(), "nothing to check");
    d.signal("TERM");
    d.signal("TERM");
    assert_eq!(d.exit_code(), Some(0));
    assert!(d.log().contains("Stopped Keepalived v2"));
    let left = fs::read_dir(m.path("/run")).expect("a directory");
    let names = left.map(|e| {
        e.expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    let ours: Vec<_> = names.filter(|n| n.contains("pid")).collect();
    assert_eq!(ours, Vec::<String>::new(), "stay behind");
}

#[test]
fn the_pid_files_are_where_the_options_say() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("good.conf", GOOD);
    let mut d = m.start(&[
        "-nlG",
        "-p/run/a",
        "-r",
        "/run/b",
        "--checkers_pid=/run/c",
        "-f",
        &conf,
    ]);
    d.wait_log("Startup complete");
    assert_eq!(
        (m.pid_of("/run/a"), m.pid_of("/run/b")),
        (Some(d.pid()), Some(d.pid()))
    );
    assert!(!m.path("/run/keepalived.pid").exists());
    // -C: no VRRP, hence no file of it.
    let mut other = m.start(&["-nlGC", "-p/run/d", "-r/run/e", "-f", &conf]);
    other.wait_log("Startup complete");
    assert!(
        other
            .log()
            .contains("keepalived has no configuration to run"),
        "{}",
        other.log()
    );
    assert!(!m.path("/run/e").exists());
    for daemon in [&mut d, &mut other] {
        daemon.signal("INT");
        assert_eq!(daemon.exit_code(), Some(0));
    }
}

#[test]
fn the_launcher_leaves_when_the_daemon_runs() {
    if !root() {
        return;
    }
    let m = Machine::new();
    m.file("good.conf", GOOD);
    // Relative: read again by the daemon, which works in `/`.
    let o = m.run(&["-G", "-f", "good.conf"]);
    assert_eq!(
        (o.status.code(), out(&o), err(&o)),
        (Some(0), String::new(), String::new())
    );
    let pid = m
        .pid_of("/run/keepalived.pid")
        .expect("a pid file when the launcher has left");
    assert_eq!(m.pid_of("/run/vrrp.pid"), Some(pid));
    let proc = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).expect("a link");
    assert_eq!(proc("cwd"), Path::new("/"));
    for fd in 0..3 {
        assert_eq!(proc(&format!("fd/{fd}")), Path::new("/dev/null"));
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .expect("fields")
        .split_whitespace()
        .collect();
    assert_eq!(fields[3], pid.to_string(), "leads a session of its own");
    let again = m.run(&["-G", "-f", "good.conf"]);
    assert_eq!(again.status.code(), Some(0), "a daemon runs already");
    until("the second one is gone", LIMIT, || {
        (m.daemons() == [pid]).then_some(())
    });
    kill(pid, Signal::SIGHUP).expect("our daemon");
    kill(pid, Signal::SIGTERM).expect("our daemon");
    until("the daemon ends", LIMIT, || gone(pid).then_some(()));
    assert!(!m.path("/run/keepalived.pid").exists());
}

#[test]
fn a_second_daemon_leaves_and_a_stale_file_does_not_matter() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("good.conf", GOOD);
    // The number of a process that lives, in a file that nobody holds.
    fs::write(m.path("/run/keepalived.pid"), "1\n").expect("a stale file");
    let mut d = m.start(&["-nlGf", &conf]);
    d.wait_log("Startup complete");
    let o = m.run(&["-nlGf", &conf]);
    assert_eq!(o.status.code(), Some(0));
    assert!(err(&o).contains("daemon is already running"), "{}", err(&o));
    assert!(err(&o).contains("Another process has pid file /run/keepalived.pid locked"));
    assert_eq!(m.pid_of("/run/keepalived.pid"), Some(d.pid()), "untouched");
    d.signal("KILL");
    assert_eq!(d.exit_code(), None);
    assert!(
        m.path("/run/keepalived.pid").exists(),
        "nobody could remove it"
    );
    let mut next = m.start(&["-nlGf", &conf]);
    next.wait_log("Startup complete");
    assert_eq!(m.pid_of("/run/keepalived.pid"), Some(next.pid()));
    next.signal("TERM");
    assert_eq!(next.exit_code(), Some(0));
}

#[test]
fn a_broken_file_does_not_disturb_what_runs() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("x.conf", GOOD);
    let mut d = m.start(&["-nlGf", &conf]);
    d.wait_log("Startup complete");
    // keepalived would leave with exit code 2, and its addresses behind.
    m.file("x.conf", NO_INTERFACE);
    d.signal("HUP");
    d.wait_log("Reload refused, the old configuration stays in force");
    fs::remove_file(&conf).expect("our file");
    d.signal("HUP");
    until("a second refusal", LIMIT, || {
        (d.log().matches("Reload refused").count() == 2).then_some(())
    });
    assert!(d.running());
    // A complaint is no reason to refuse.
    m.file("x.conf", UNKNOWN);
    d.signal("HUP");
    d.wait_log("Reload complete");
    assert!(d.log().contains("Unknown keyword 'bogus'"));
    d.signal("TERM");
    assert_eq!(d.exit_code(), Some(0));
}

#[test]
fn signals_that_mean_nothing_do_nothing() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("good.conf", GOOD);
    let mut d = m.start(&["-nlG", "--ignore-sigint", "-f", &conf]);
    d.wait_log("Startup complete");
    for signal in [
        "QUIT", "ALRM", "PIPE", "34", "35", "37", "39", "64", "TSTP", "INT",
    ] {
        d.signal(signal);
    }
    d.signal("USR2");
    let stats = m.dir.path().join("keepalived.stats");
    let text = until("the statistics", LIMIT, || fs::read_to_string(&stats).ok());
    assert!(d.running(), "{}", d.log());
    assert!(
        text.is_empty() || text.starts_with("VRRP Instance: VI\n"),
        "{text}"
    );
    d.signal("TERM");
    assert_eq!(d.exit_code(), Some(0));
}

#[test]
fn dump_files_are_written_on_signal() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("good.conf", GOOD);
    let mut d = m.start(&["-nlGf", &conf]);
    d.wait_log("Startup complete");
    d.signal("USR1");
    let file = m.dir.path().join("keepalived.data");
    let text = until("the data", LIMIT, || fs::read_to_string(&file).ok());
    for line in [
        " VRRP Instance = VI",
        "   Interface = eth0",
        "   Virtual Router ID = 51",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    let mode = fs::metadata(&file).expect("the data").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "0666 less the umask");
    for signal in ["USR2", "63"] {
        let file = m.dir.path().join("keepalived.stats");
        d.signal(signal);
        let text = until("the statistics", LIMIT, || fs::read_to_string(&file).ok());
        assert!(
            text.starts_with("VRRP Instance: VI\n  Advertisements:\n    Received: 0\n"),
            "{text}"
        );
        fs::remove_file(&file).expect("the statistics");
    }
    d.signal("TERM");
    assert_eq!(d.exit_code(), Some(0));
}

#[test]
fn every_line_goes_to_syslog_with_identity_and_pid() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let log = UnixDatagram::bind(m.path("/dev/log")).expect("a socket in the machine");
    log.set_read_timeout(Some(LIMIT)).expect("a time limit");
    // As a syslogd reads: at once, since the kernel keeps ten lines.
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut octets = [0; 4096];
        while let Ok(n) = log.recv(&mut octets) {
            let line = String::from_utf8_lossy(&octets[..n]).into_owned();
            if tell.send(line).is_err() {
                return; // the test is over
            }
        }
    });
    let conf = m.file("good.conf", GOOD);
    let mut d = m.start(&["-n", "-S", "local3", "-f", &conf]);
    let next = || told.recv_timeout(LIMIT).expect("a log line");
    let first = next();
    // local3 (19) and info (6)
    assert!(first.starts_with("<158>"), "{first}");
    let end = format!(
        " Keepalived[{}]: Starting Keepalived v2.4.3 (08/13,2026)",
        d.pid()
    );
    assert!(first.ends_with(&end), "{first}");
    while !next().contains("Startup complete") {}
    d.signal("TERM");
    assert_eq!(d.exit_code(), Some(0));
    while !next().contains("Stopped Keepalived v2") {}
    assert_eq!(d.log(), "", "-n without -l is silent");
}

#[test]
fn options_without_effect_are_named() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("good.conf", GOOD);
    let mut d = m.start(&["-nlG", "-x", "-A", "tcp:localhost:705", "-f", &conf]);
    d.wait_log("Startup complete");
    for option in ["--snmp", "--snmp-agent-socket"] {
        assert_eq!(
            d.log()
                .matches(&format!("Option {option} is accepted"))
                .count(),
            1
        );
    }
    d.signal("TERM");
    assert_eq!(d.exit_code(), Some(0));
}

#[test]
fn the_file_may_name_the_namespace_and_the_instance() {
    if !root() {
        return;
    }
    let m = Machine::new();
    for args in [
        "netns add green",
        "-n green link set lo up",
        "-n green link add eth8 type veth peer name peer8",
        "-n green link set peer8 up",
        "-n green addr add 10.8.0.1/24 dev eth8",
        "-n green link set eth8 up",
    ] {
        let args: Vec<_> = args.split(' ').collect();
        let status = m.command("ip", &args).status().expect("iproute2");
        assert!(status.success(), "{args:?}");
    }
    let text = |instance: &str| {
        format!("net_namespace green\ninstance {instance}\nglobal_defs {{\ndata_use_instance\n}}\n")
            + &GOOD.replace("eth0", "eth8")
    };
    let conf = m.file("green.conf", &text("one"));
    let mut d = m.start(&["-nlG", "-f", &conf]);
    d.wait_log("Startup complete");
    for stem in ["keepalived", "vrrp"] {
        let path = format!("/run/keepalived/green/{stem}_one.pid");
        assert_eq!(m.pid_of(&path), Some(d.pid()), "{path}");
    }
    d.wait_log("Entering MASTER STATE");
    m.file("green.conf", &text("two"));
    d.signal("HUP");
    d.wait_log("Cannot change instance at a reload - please restart keepalived");
    let dumped = m.dir.path().join("keepalived.green_one.data");
    d.signal("USR1");
    d.wait_log("Printing VRRP data");
    let end = Instant::now() + LIMIT;
    while !dumped.exists() {
        assert!(Instant::now() < end, "no {}", dumped.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    d.signal("TERM");
    assert_eq!(d.exit_code(), Some(0));
}

#[test]
fn use_pid_dir_makes_a_directory_for_as_long_as_it_is_needed() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("dir.conf", &format!("use_pid_dir\n{GOOD}"));
    let mut d = m.start(&["-nlG", "-f", &conf]);
    d.wait_log("Startup complete");
    assert_eq!(m.pid_of("/run/keepalived/keepalived.pid"), Some(d.pid()));
    assert!(!m.path("/run/keepalived.pid").exists());
    d.signal("TERM");
    assert_eq!(d.exit_code(), Some(0));
    assert!(!m.path("/run/keepalived").exists());
}

#[test]
fn a_namespace_has_pid_files_of_its_own() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("good.conf", GOOD.replace("eth0", "eth7").as_str());
    let o = m.run(&["-nlG", "-s", "nosuch", "-f", &conf]);
    assert_eq!(o.status.code(), Some(0));
    assert!(err(&o).contains("Unable to set network namespace nosuch - exiting"));
    for args in [
        "netns add blue",
        "-n blue link set lo up",
        "-n blue link add eth7 type veth peer name peer7",
        "-n blue link set peer7 up",
        "-n blue addr add 10.9.0.1/24 dev eth7",
        "-n blue link set eth7 up",
    ] {
        let args: Vec<_> = args.split(' ').collect();
        assert!(
            m.command("ip", &args).status().expect("iproute2").success(),
            "{args:?}"
        );
    }
    let mut d = m.start(&["-nlG", "--namespace=blue", "-f", &conf]);
    d.wait_log("Startup complete");
    assert_eq!(
        m.pid_of("/run/keepalived/blue/keepalived.pid"),
        Some(d.pid())
    );
    assert_eq!(m.pid_of("/run/keepalived/blue/vrrp.pid"), Some(d.pid()));
    assert!(!m.path("/run/keepalived.pid").exists());
    let inside = format!("/proc/{}/root/run/keepalived/keepalived.pid", d.pid());
    assert!(Path::new(&inside).exists());
    d.signal("TERM");
    assert_eq!(d.exit_code(), Some(0));
    assert!(!m.path("/run/keepalived/blue/keepalived.pid").exists());
}
