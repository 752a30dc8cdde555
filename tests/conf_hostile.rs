//! Configurations that nobody means well with: whatever a file holds, `-t` answers soon, in bounded memory, and lives.
//!
//! Time is processor time, because other tests run beside these; without optimisation the longest ones are left out.
//! `prlimit` sets the limits. `LAB_OURS` names another binary, such as one of a release build, for which all of it counts:
//! `cargo test --release --test conf_hostile` builds one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The binary, and whether it is optimised.
fn ours() -> (OsString, bool) {
    match std::env::var_os("LAB_OURS") {
        Some(path) => (path, true),
        None => {
            let path = env!("CARGO_BIN_EXE_keepalived-rs").into();
            (path, !cfg!(debug_assertions))
        }
    }
}

/// Processor time of one test of a configuration: a second, and much more without optimisation.
fn limit() -> Duration {
    match ours() {
        (_, true) => Duration::from_secs(1),
        (_, false) => Duration::from_secs(30),
    }
}
/// Address space where the input is small.
const SMALL: u64 = 512 << 20;
/// Address space where the input is as large as is read at all.
const LARGE: u64 = 1 << 30;

/// A directory of a test's own.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keepalived-rs-hostile-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory below the temporary one");
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file in our own directory");
        path
    }
}

impl Dir {
    /// A file of the same octets over and over.
    fn repeat(&self, name: &str, piece: &[u8], times: usize, end: &str) -> PathBuf {
        let path = self.0.join(name);
        let file = File::create(&path).expect("a file in our own directory");
        let mut file = std::io::BufWriter::new(file);
        for _ in 0..times {
            file.write_all(piece).expect("room for it");
        }
        file.write_all(end.as_bytes()).expect("room for it");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Asserts what `-t` of that path ends with and a word that it says, within the time and the memory.
fn holds(path: &Path, code: i32, word: &str, memory: u64) {
    holds_within(limit(), path, code, word, memory);
}

fn holds_within(time: Duration, path: &Path, code: i32, word: &str, memory: u64) {
    let mut command = Command::new("prlimit");
    command.arg(format!("--as={memory}"));
    command.arg(format!("--cpu={}", time.as_secs()));
    command.args(["timeout", "-s", "KILL", "300"]).arg(ours().0);
    command.args(["-t", "-n", "-l", "-f"]);
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::null());
    let out = command.output().expect("util-linux is installed");
    let said = String::from_utf8_lossy(&out.stderr);
    let tail = said.get(said.len().saturating_sub(300)..).unwrap_or(&said);
    let name = path.display();
    assert_eq!(out.status.code(), Some(code), "{name}: {tail}");
    assert!(said.contains(word), "{name}: no {word:?} in {tail}");
}

/// A file of so many octets that takes no room.
fn sparse(dir: &Dir, octets: u64) -> PathBuf {
    let path = dir.0.join("sparse.conf");
    let file = File::create(&path).expect("a file in our own directory");
    file.set_len(octets).expect("a size");
    path
}

#[test]
fn a_gigabyte_is_refused_before_it_is_read() {
    let dir = Dir::new();
    holds(&sparse(&dir, 1 << 30), 5, "is too large", SMALL);
}

#[test]
fn the_largest_file_that_is_read_may_hold_anything() {
    let dir = Dir::new();
    holds(&sparse(&dir, 120 << 20), 5, "NUL byte", LARGE);
    let line = dir.repeat("line.conf", &[b'x'; 1 << 10], 100 << 10, "");
    holds(&line, 5, "line too long", LARGE);
    // Octets as they come: xorshift, the same on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let noise: Vec<u8> = (0..128 << 10).flat_map(|_| next()).collect();
    let noise = dir.repeat("noise.conf", &noise, 16, "");
    holds(&noise, 5, "more complaints", LARGE);
}

#[test]
fn includes_that_never_end_are_ended() {
    let dir = Dir::new();
    holds(
        &dir.file("loop.conf", "include loop.conf\n"),
        5,
        "includes itself",
        SMALL,
    );
    holds(
        &dir.file("other.conf", "include third.conf\n"),
        0,
        "third.conf",
        SMALL,
    );
    dir.file("third.conf", "include other.conf\n");
    holds(&dir.0.join("other.conf"), 5, "includes itself", SMALL);
    for n in 0..10_000 {
        dir.file(&format!("{n}.conf"), format!("include {}.conf\n", n + 1));
    }
    holds(&dir.0.join("0.conf"), 5, "within each other", SMALL);
    // Ten thousand files side by side are no mistake.
    holds(&dir.file("all.conf", "include [0-9]*.conf\n"), 5, "", SMALL);
    // More than fifty thousand are.
    fs::create_dir(dir.0.join("d")).expect("a directory of our own");
    let one = dir.file("d/one", "");
    for n in 0..60_000 {
        fs::hard_link(&one, dir.0.join(format!("d/{n}"))).expect("a name of our own");
    }
    holds(
        &dir.file("glob.conf", "include d/*\n"),
        5,
        "files - reading ends",
        SMALL,
    );
    let again = dir.repeat("again.conf", b"include d/one\n", 100_000, "");
    holds(&again, 5, "files - reading ends", SMALL);
    holds(
        &dir.file("stars.conf", "include /*/*/*/*/*/*/*/*/*\nfoo\n"),
        5,
        "",
        SMALL * 2,
    );
}

#[test]
fn what_is_no_file_is_not_opened() {
    let dir = Dir::new();
    let fifo = dir.0.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("a FIFO");
    let _socket = std::os::unix::net::UnixListener::bind(dir.0.join("socket")).expect("a socket");
    let word = "is not a regular non-executable file";
    for path in [
        fifo.as_path(),
        Path::new("/dev/zero"),
        dir.0.as_path(),
        &dir.0.join("socket"),
    ] {
        holds(path, 0, word, SMALL);
        let text = format!("include {}\nincluder {0}\n", path.display());
        holds(&dir.file("main.conf", text), 6, word, SMALL);
    }
}

#[test]
fn sequences_and_definitions_that_never_end_are_ended() {
    let dir = Dir::new();
    let billion = "~SEQ(x, 1, 1000000000)";
    let (quick, slow) = (
        [
            format!("{billion} # $x\n"),
            format!("{billion} ~SEQ(y, 1, 1000000000) $z=1\n"),
        ],
        [
            format!("{billion} router_id ${{x}}${{x}}${{x}}${{x}}${{x}}${{x}}${{x}}${{x}}\n"),
            format!("{billion} vrrp_script s$x\n"),
            format!("{billion} {{\n"),
        ],
    );
    let slow = slow.iter().filter(|_| ours().1);
    for text in quick.iter().chain(slow) {
        holds(&dir.file("sequence", text), 5, "reading ends", LARGE);
    }
    // Each holds the one before three times.
    let mut laughs = String::from("$L0=lol\n$M0= \\\n foo \\\n bar\n\n");
    for n in 1..40 {
        let b = n - 1;
        laughs += &format!(
            "$L{n}=${{L{b}}}${{L{b}}}${{L{b}}}\n$M{n}= \\\n $M{b} \\\n $M{b} \\\n $M{b}\n\n"
        );
    }
    holds(
        &dir.file("laughs", format!("{laughs}router_id ${{L39}}\n")),
        5,
        "",
        SMALL,
    );
    holds(
        &dir.file("laughs_of_lines", format!("{laughs}$M39\n")),
        5,
        "reading ends",
        LARGE,
    );
    let selves = "$A=${A}\n${A}\n$B=x$B\n$B\n$D=${E}\n$E=${D}\n${D}\n$A= \\\n $A \\\n foo\n\n$A\n";
    holds(&dir.file("selves", selves), 5, "", SMALL);
    holds(
        &dir.file("env", "${_ENV}\n$_ENV\n${_RANDOM 9 5}\n"),
        5,
        "",
        SMALL,
    );
}

#[test]
fn a_million_of_anything_is_answered() {
    let dir = Dir::new();
    // Blocks that are understood cost more than lines that are not.
    let holds = |path: &Path, code, word, memory| {
        holds_within(limit() * 3, path, code, word, memory);
    };
    let many = |line: &str| dir.repeat("many.conf", line.as_bytes(), 1_000_000, "}\n");
    holds(&many("a {\n"), 5, "missing '}'s", LARGE);
    holds(&many("{}}\n"), 5, "more complaints", LARGE);
    holds(&many("foo bar\n"), 5, "more complaints", LARGE);
    holds(
        &many("global_defs {\n vrrp_version 9\n}\n"),
        5,
        "more complaints",
        LARGE,
    );
    holds(&many("\"\n"), 5, "more complaints", LARGE);
    let nuls = dir.repeat("nuls", b"a\0b\n\xff\xfe\x80 {\n", 100_000, "");
    holds(&nuls, 5, "", LARGE);
}

#[test]
fn the_test_ends_when_nobody_reads_what_it_says() {
    let dir = Dir::new();
    let file = dir.file("wrong", "foo\n".repeat(100_000));
    let mut command = Command::new(ours().0);
    command
        .args(["-t", "-n", "-l", "-f"])
        .arg(file)
        .stdin(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stderr.take());
    let began = Instant::now();
    while child.try_wait().expect("our child").is_none() {
        if began.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            let _ = writeln!(std::io::stderr(), "it hung");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(began.elapsed() < Duration::from_secs(60));
}
