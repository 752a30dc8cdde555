//! Virtual servers on a kernel that has IPVS, beside stock keepalived on the same one.
//!
//! Each test runs twice: outside it starts `tests/uml/uml-run`, a throw-away User Mode Linux kernel, with this very
//! binary in it; inside, the test proper. Needs the Debian packages user-mode-linux, kmod, iproute2, ipvsadm and, as
//! oracle, keepalived; needs no root.

#[path = "../lab/mod.rs"]
mod lab;

mod crowd;
mod dump;
mod features;
mod hangs;
mod hostile;
mod kernel;
mod keywords;
#[path = "../lab_notify/mailbox.rs"]
mod mailbox;
mod many;
mod oracle;
mod requests;
#[path = "../lab/routers.rs"]
mod routers;
mod servers;
mod stages;
mod stories;
mod tells;
mod vrrp;
mod wire;
mod world;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Condvar, Mutex, PoisonError};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Guests at once; each takes 512 MiB and a processor while it works.
const GUESTS: usize = 4;

/// Those that take long: what is left to the end has a processor to itself, and the other one idles.
const LONG: [&str; 4] = ["many::", "oracle::", "servers::", "stories::"];

/// Whoever came first goes first, but for the long ones.
struct Queue {
    running: usize,
    /// Whether it is short, and its number.
    waiting: BTreeSet<(bool, usize)>,
    came: usize,
}

static QUEUE: (Mutex<Queue>, Condvar) = {
    let queue = Queue {
        running: 0,
        waiting: BTreeSet::new(),
        came: 0,
    };
    (Mutex::new(queue), Condvar::new())
};

/// The right to run a guest.
struct Place;

impl Place {
    /// Waits for one.
    fn take(name: &str) -> Self {
        let (queue, changed) = &QUEUE;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (!LONG.iter().any(|l| name.starts_with(l)), queue.came);
        queue.came += 1;
        queue.waiting.insert(turn);
        while queue.running >= GUESTS || queue.waiting.first() != Some(&turn) {
            queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.waiting.remove(&turn);
        queue.running += 1;
        // There may be a place for one more.
        changed.notify_all();
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (queue, changed) = &QUEUE;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.running -= 1;
        changed.notify_all();
    }
}

/// Has `command` run on the `nth` of the processors that this process may use: a guest's kernel and its programs take turns,
/// thousands of times a second, and a turn between two processors costs much more than one on the same.
fn on_one_processor(nth: usize, command: &mut Command) -> io::Result<Output> {
    let all = sched_getaffinity(Pid::from_raw(0))?;
    let mut may = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).is_ok_and(|may| may));
    let mut one = CpuSet::new();
    // A machine may have fewer.
    one.set(may.clone().nth(nth).or_else(|| may.next()).unwrap_or(0))?;
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            sched_setaffinity(Pid::from_raw(0), &one)?;
            command.output()
        });
        inside.join().expect("nothing in the thread panics")
    })
}

/// Runs `inside` in a kernel of its own. `name`: what the test runner calls the test; `processor`: the one where it
/// stays, for what keeps one busy.
fn in_guest(name: &str, inside: fn(), processor: Option<usize>) {
    if std::env::var_os("UML_RUN").is_some() {
        return inside();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let uml_run = root.join("tests/uml/uml-run");
    let check = Command::new(&uml_run).arg("--check").output();
    let missing = match check {
        Ok(out) if out.status.success() => Path::new(world::STOCK).exists().then_some(()),
        Ok(_) | Err(_) => None,
    };
    if missing.is_none() {
        // Not through `println!`: the test runner would keep it to itself.
        let _ = writeln!(std::io::stderr(), "skipped: needs packages: {name}");
        return;
    }
    let ours = Path::new(env!("CARGO_BIN_EXE_keepalived-rs"));
    // Many kills take their time.
    let limit = std::env::var_os("LAB_KILLS").map_or("480", |_| "3600");
    let mut command = Command::new(&uml_run);
    command
        .args([
            "--timeout",
            limit,
            "--env",
            "LAB_KILLS",
            "--env",
            "LAB_SEED",
        ])
        .args(["--modules", "ipvlan vrf", "--share"])
        .arg(ours.parent().expect("a file is in a directory"))
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", name, "--nocapture"])
        .current_dir(root);
    let place = Place::take(name);
    let out = match processor {
        Some(nth) => on_one_processor(nth, &mut command),
        None => command.output(),
    };
    drop(place);
    let out = out.expect("uml-run runs");
    let (said, complained) = (
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    );
    assert!(
        out.status.success() && said.contains("1 passed"),
        "{}\n{}",
        out.status,
        quoted(&format!("{said}\n{complained}"))
    );
}

/// What was said inside, so that its summary is not taken for one of this machine's.
fn quoted(said: &str) -> String {
    said.lines().map(|line| format!("  | {line}\n")).collect()
}

/// Tests that take place inside; `= N`: on the N-th processor, see `in_guest`.
macro_rules! guests {
    ($($name:ident $(= $nth:literal)?)*) => {$(
        #[test]
        fn $name() {
            let name = concat!(module_path!(), "::", stringify!($name));
            let name = name.split_once("::").map_or(name, |(_, rest)| rest);
            crate::in_guest(name, story::$name, None::<usize>$(.or(Some($nth)))?);
        }
    )*};
}
use guests;
