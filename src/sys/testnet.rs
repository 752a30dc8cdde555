//! Network namespaces for tests that need a kernel. Without root they say so and pass.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread of its own in a new network namespace, which ends with it.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: needs root");
        return;
    }
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        ip("link set lo up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// [`in_namespace`], inside a runtime.
pub(crate) fn in_namespace_async<F: Future<Output = ()>>(
    test: impl FnOnce() -> F + Send + 'static,
) {
    in_namespace(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(test());
    });
}

/// Runs ip(8) in this thread's namespace and returns what it prints. Words are separated by single spaces.
pub(crate) fn ip(args: &str) -> String {
    let out = Command::new("ip")
        .args(args.split(' '))
        .output()
        .expect("ip runs");
    assert!(
        out.status.success(),
        "ip {args}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).expect("text")
}

/// A pair of connected interfaces, both up.
pub(crate) fn veth(a: &str, b: &str) {
    ip(&format!("link add name {a} type veth peer name {b}"));
    ip(&format!("link set dev {a} up"));
    ip(&format!("link set dev {b} up"));
}

/// Index of an interface.
pub(crate) fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).expect("an interface")
}

/// Looks again and again until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
