//! Network namespaces without a name.

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Output, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A network namespace; gone once this and every process in it are.
pub(crate) struct Namespace(File);

impl Namespace {
    /// Makes one, with its loopback interface up.
    pub(crate) fn new() -> Self {
        let made = std::thread::scope(|scope| {
            let thread = scope.spawn(|| -> io::Result<File> {
                unshare(CloneFlags::CLONE_NEWNET)?;
                File::open("/proc/thread-self/ns/net")
            });
            thread.join().expect("nothing in the thread panics")
        });
        let ns = Self(made.expect("a new network namespace"));
        ns.ip("link set lo up");
        ns
    }

    /// A path to it that other processes can open.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Runs `inside` on a thread that is in the namespace. Sockets opened and processes started there stay in it.
    pub(crate) fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.0, CloneFlags::CLONE_NEWNET).expect("entering our own namespace");
                inside()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.run(|| command.spawn())
    }

    /// `ip ARGS`, its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub(crate) fn ip(&self, args: &str) -> String {
        let out = self.try_ip(args);
        assert!(
            out.status.success(),
            "ip {args}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    pub(crate) fn try_ip(&self, args: &str) -> Output {
        let mut command = Command::new("ip");
        command.args(args.split_whitespace()).stdin(Stdio::null());
        self.run(|| command.output())
            .expect("iproute2 is installed")
    }

    /// `bridge ARGS`, its standard output.
    pub(crate) fn try_bridge(&self, args: &str) -> String {
        let mut command = Command::new("bridge");
        command.args(args.split_whitespace()).stdin(Stdio::null());
        let out = self.run(|| command.output());
        let out = out.expect("iproute2 is installed");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Writes `value` below /proc/sys.
    pub(crate) fn sysctl(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{key}");
        self.run(|| fs::write(&path, value))
            .unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    /// Every address of every interface.
    pub(crate) fn addresses(&self) -> Vec<(String, IpAddr)> {
        self.run(|| {
            let all = nix::ifaddrs::getifaddrs().expect("the addresses of our own namespace");
            all.filter_map(|i| {
                let addr = i.address?;
                let v4 = || Some(IpAddr::from(addr.as_sockaddr_in()?.ip()));
                let v6 = || Some(IpAddr::from(addr.as_sockaddr_in6()?.ip()));
                let ip = v4().or_else(v6)?;
                // A labelled address comes under its label, "eth0:1".
                let interface = i.interface_name.split(':').next()?.to_owned();
                Some((interface, ip))
            })
            .collect()
        })
    }

    /// The processes in it.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let Ok(own) = self.0.metadata() else {
            return Vec::new();
        };
        let Ok(proc) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        proc.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                fs::metadata(format!("/proc/{pid}/ns/net"))
                    .is_ok_and(|theirs| theirs.ino() == own.ino() && theirs.dev() == own.dev())
            })
            .map(Pid::from_raw)
            .collect()
    }

    /// Ends them all, whatever they are doing.
    pub(crate) fn kill_everything(&self) {
        // A second look catches what was forked during the first.
        for _ in 0..2 {
            for pid in self.processes() {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
    }
}
