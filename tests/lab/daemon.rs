//! A daemon with keepalived's command line, in the foreground, with everything it writes in files of the test.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ns::Namespace;
use super::{PATIENCE, poll, until_or};

/// Ends, with everything it started, when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn start(
        ns: &Namespace,
        binary: &Path,
        dir: &Path,
        number: usize,
        conf: &Path,
        options: &[&str],
    ) -> Self {
        let log = dir.join(format!("log{number}"));
        let out = File::create(&log).expect("a log file");
        let mut command = Command::new(binary);
        command
            .args(["-n", "-l", "-D"])
            .arg("-f")
            .arg(conf)
            .args(options);
        for (option, file) in [
            ("-p", "pid"),
            ("-r", "vrrp.pid"),
            ("-c", "checkers.pid"),
            ("-b", "bfd.pid"),
        ] {
            let path = dir.join(file);
            // A daemon that was killed leaves its pid files; they must not stop the next one.
            let _ = fs::remove_file(&path);
            command.arg(option).arg(path);
        }
        let err = out.try_clone().expect("a second descriptor");
        command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .env("TMPDIR", dir)
            .env("LC_ALL", "C")
            // keepalived: at a stop that finds a check's script running it may end its whole process group.
            .process_group(0);
        let child = ns
            .spawn(&mut command)
            .unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid fits"))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line of the log that contains `text`.
    pub(crate) fn wait_log(&self, text: &str) {
        self.wait_log_times(text, 1);
    }

    pub(crate) fn wait_log_times(&self, text: &str, times: usize) {
        until_or(
            || format!("{times} times in the log: {text}\n{}", self.log()),
            PATIENCE,
            || (self.log().matches(text).count() >= times).then_some(()),
        );
    }

    pub(crate) fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("signalling a process of ours");
    }

    /// Sends SIGTERM; answers when it was sent.
    pub(crate) fn terminate(&self) -> u64 {
        let at = now();
        self.signal(Signal::SIGTERM);
        at
    }

    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let exited = poll(PATIENCE, || self.child.try_wait().ok().flatten());
        exited.unwrap_or_else(|| panic!("the daemon does not end\n{}", self.log()))
    }

    /// SIGTERM, and wait for the end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait_exit()
    }

    /// SIGKILL to all of its processes at once: it has no chance to say goodbye. Answers when.
    pub(crate) fn kill(&mut self) -> u64 {
        let at = now();
        if self.running() {
            // Stopped first, so that it neither restarts its children nor lets them end in an orderly way.
            let _ = kill(self.pid(), Signal::SIGSTOP);
            for pid in descendants(self.pid()) {
                let _ = kill(pid, Signal::SIGKILL);
            }
            let _ = kill(self.pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
        at
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Nanoseconds since the epoch, as the capture counts them.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    u64::try_from(since.as_nanos()).expect("before 2554")
}

fn descendants(pid: Pid) -> Vec<Pid> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in text
            .split_whitespace()
            .filter_map(|w| w.parse().ok())
            .map(Pid::from_raw)
        {
            all.push(child);
            all.extend(descendants(child));
        }
    }
    all
}
