//! A machine of its own: network, mounts and processes that nobody else sees, with the daemon as /usr/sbin/keepalived.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::lab::{TempDir, install, until, until_or, witness};

/// A busy machine needs its time.
pub(crate) const LIMIT: Duration = crate::lab::PATIENCE;

/// Ends, with every process in it, when dropped.
pub(crate) struct Machine {
    holder: Child,
    /// Its first process, by the number it has outside.
    init: u32,
    pub(crate) dir: TempDir,
}

impl Machine {
    /// With `eth0` (10.9.0.1/24), an empty /run, and an init that reaps.
    pub(crate) fn new() -> Self {
        Self::with(
            "ip link add eth0 type veth peer name peer0; ip link set peer0 up
            ip addr add 10.9.0.1/24 dev eth0; ip link set eth0 up",
        )
    }

    /// With what a shell script makes instead of `eth0`.
    pub(crate) fn with(network: &str) -> Self {
        witness::start();
        let binary = env!("CARGO_BIN_EXE_keepalived-rs");
        // The init ignores SIGCHLD, so the kernel reaps for it; it lives until its input ends.
        let script = format!(
            "set -e; mount -t tmpfs none /mnt; cp {binary} /mnt/keepalived
            mount --bind /mnt/keepalived /usr/sbin/keepalived
            mount -t tmpfs none /run; mkdir /run/netns
            ip link set lo up
            {network}
            echo ready
            exec env --ignore-signal=CHLD cat"
        );
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--"]);
        command.args(["sh", "-c", &script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("util-linux is installed");
        let mut said = [0; 6];
        let stdout = holder.stdout.as_mut().expect("a pipe");
        stdout.read_exact(&mut said).expect("namespaces of our own");
        let id = holder.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let init = children.expect("procfs").trim().parse();
        Self {
            holder,
            init: init.expect("one child"),
            dir: TempDir::new(),
        }
    }

    /// A path of the machine as the test sees it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        format!("/proc/{}/root{path}", self.init).into()
    }

    /// A file of the test, at the same path inside and outside.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("a file of ours");
        path.to_string_lossy().into_owned()
    }

    /// As [`Machine::file`], a program.
    pub(crate) fn program(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        install(text.as_bytes(), &path, 0o755);
        path.to_string_lossy().into_owned()
    }

    /// A shell command inside; dump files go to the test's directory.
    pub(crate) fn command(&self, shell: &str) -> Command {
        let mut command = Command::new("nsenter");
        let init = self.init.to_string();
        let wd = format!("--wd={}", self.dir.path().display());
        command.args([
            "-t", &init, "-n", "-m", "-p", &wd, "--", "bash", "-c", shell,
        ]);
        command
            .stdin(Stdio::null())
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TMPDIR", self.dir.path());
        command
    }

    pub(crate) fn run(&self, shell: &str) -> Output {
        self.command(shell).output().expect("nsenter is installed")
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn sh(&self, shell: &str) -> String {
        let o = self.run(shell);
        let err = String::from_utf8_lossy(&o.stderr);
        assert!(o.status.success(), "{shell}: {}: {err}", o.status);
        String::from_utf8_lossy(&o.stdout).into_owned()
    }

    pub(crate) fn works(&self, shell: &str) -> bool {
        self.run(shell).status.success()
    }

    /// Waits until a command succeeds.
    pub(crate) fn wait(&self, shell: &str) {
        let tell = || {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            format!("{shell}\n{log}")
        };
        until_or(tell, LIMIT, || self.works(shell).then_some(()));
    }

    /// Starts a command that goes on running, everything it says in the file `log`.
    pub(crate) fn start(&self, shell: &str) -> Started {
        let log = fs::File::create(self.dir.path().join("log")).expect("a log file");
        let err = log.try_clone().expect("a second descriptor");
        let mut command = self.command(&format!("exec {shell}"));
        command.stdout(log).stderr(err);
        Started(command.spawn().expect("nsenter is installed"))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn wait_log(&self, text: &str) {
        until_or(
            || format!("{text} in\n{}", self.log()),
            LIMIT,
            || self.log().contains(text).then_some(()),
        );
    }

    /// The text of a file of the test's directory, once it is there. Whoever writes it puts it there whole, or it is
    /// empty at first.
    pub(crate) fn written(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        until(name, LIMIT, || {
            fs::read_to_string(&path)
                .ok()
                .filter(|text| !text.is_empty())
        })
    }
}

/// What [`Machine::start`] has started; ends with its owner.
pub(crate) struct Started(Child);

impl Started {
    /// Waits for its end: the exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = until("the daemon ends", LIMIT, || {
            self.0.try_wait().expect("our child")
        });
        status.code()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With the first process of its pid namespace everything in it ends.
        let init = nix::unistd::Pid::from_raw(i32::try_from(self.init).expect("a pid fits"));
        let _ = nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL);
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// One instance that is master after 0.4 s, behind what `before` says.
pub(crate) fn one_master(before: &str) -> String {
    format!(
        "{before}
vrrp_instance VI_1 {{
    interface eth0
    virtual_router_id 51
    version 3
    priority 150
    advert_int 0.1
    virtual_ipaddress {{
        10.9.0.100/24
    }}
}}
"
    )
}
