//! The sample configurations load without a word, on a machine that has what they name; with stock keepalived too.

#[path = "lab/mod.rs"]
mod lab;
#[path = "lab/routers.rs"]
mod routers;
#[path = "lab/world.rs"]
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lab::ns::Namespace;
use routers::Which::{self, Ours, Stock};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

fn samples() -> Vec<PathBuf> {
    let files = fs::read_dir(EXAMPLES)
        .expect("the examples")
        .map(|e| e.expect("an example").path());
    let mut files: Vec<PathBuf> = files
        .filter(|p| p.extension().is_some_and(|e| e == "conf"))
        .collect();
    files.sort();
    files
}

/// What `-t` says of each sample, and its exit status.
fn verdicts(which: Which) -> Vec<(PathBuf, Option<i32>, String)> {
    // A view of the file system belongs to a thread; the test's own must keep the host's.
    let thread = std::thread::spawn(move || {
        world::enter().expect("a private view of the file system");
        let script = Path::new("/etc/keepalived/check_web");
        fs::copy(format!("{EXAMPLES}/check_web"), script).expect("a file in our own directory");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755))
            .expect("mode of our own file");
        let ns = Namespace::new();
        for (n, interface) in ["eth0", "eth1"].into_iter().enumerate() {
            ns.ip(&format!("link add {interface} type veth peer name peer{n}"));
            ns.ip(&format!("link set peer{n} up"));
            ns.ip(&format!("link set {interface} up"));
            ns.ip(&format!("addr add 192.0.{n}.11/24 dev {interface}"));
        }
        let verdict = |file: PathBuf| {
            let mut command = Command::new(which.binary());
            command.arg("-t").arg("-f").arg(&file).stdin(Stdio::null());
            let out = ns.run(|| command.output()).expect("the daemon runs");
            let said = [out.stdout, out.stderr].concat();
            (
                file,
                out.status.code(),
                String::from_utf8_lossy(&said).into_owned(),
            )
        };
        samples().into_iter().map(verdict).collect::<Vec<_>>()
    });
    thread.join().expect("nothing in the thread panics")
}

fn all_quiet(which: Which) {
    if !lab::root() {
        return;
    }
    let verdicts = verdicts(which);
    assert!(verdicts.len() >= 4, "where are the samples? {verdicts:?}");
    for (file, status, said) in verdicts {
        assert_eq!((status, said.as_str()), (Some(0), ""), "{}", file.display());
    }
}

#[test]
fn ours_reads_the_samples_without_a_word() {
    all_quiet(Ours);
}

#[test]
fn stock_reads_the_samples_without_a_word() {
    all_quiet(Stock);
}
