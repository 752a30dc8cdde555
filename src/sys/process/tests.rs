//! Real processes. Scripts are words for `/bin/sh -c`, so that no test writes a file that another one's fork holds open.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn block_on<F: Future>(f: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(f)
}

fn program(path: &str, argv: &[&str]) -> Program {
    Program::new(Path::new(path), argv.iter().map(OsStr::new), None).expect("no zero octets")
}

fn shell(script: &str) -> Program {
    program("/bin/sh", &["sh", "-c", script])
}

fn start(program: &Program) -> Child {
    program.start().expect("a process")
}

async fn end_of(child: &Child) -> Ended {
    tokio::time::timeout(LONG, child.ended())
        .await
        .expect("the child ends")
}

fn run(program: &Program) -> Ended {
    block_on(async { end_of(&start(program)).await })
}

/// Of everything that is alive, so not of zombies.
fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A file of its own, removed at the end of the test.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("keepalived-rs-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a plain name")
    }

    /// Written by another process: a descriptor that is open for writing here would be in the children of other tests.
    fn holding(name: &str, text: &str, mode: &str) -> Self {
        let scratch = Self::new(name);
        let script = r#"printf %s "$2" > "$1" && chmod "$3" "$1""#;
        let argv = ["sh", "-c", script, "sh", scratch.path(), text, mode];
        assert!(matches!(run(&program("/bin/sh", &argv)), Ended::Status(0)));
        scratch
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn exit_status_and_signal_are_told_apart() {
    assert!(matches!(run(&shell("exit 0")), Ended::Status(0)));
    assert!(matches!(run(&shell("exit 3")), Ended::Status(3)));
    assert!(matches!(run(&shell("kill -9 $$")), Ended::Signal(9)));
    assert!(matches!(run(&shell("kill -40 $$")), Ended::Signal(40)));
}

#[test]
fn a_script_that_exits_with_127_did_run() {
    assert!(matches!(run(&shell("exit 127")), Ended::Status(127)));
}

#[test]
fn what_cannot_be_executed_says_why() {
    let reason = |path: &str| {
        let ended = run(&program(path, &[path]));
        let Ended::NotRun { step, source } = ended else {
            panic!("{path}: {ended:?}");
        };
        (step, source.raw_os_error())
    };
    assert_eq!(reason("/nonexistent/x"), (Step::Exec, Some(libc::ENOENT)));
    assert_eq!(reason("/tmp"), (Step::Exec, Some(libc::EACCES)));
    let plain = Scratch::holding("plain", "#!/bin/sh\n", "600");
    assert_eq!(reason(plain.path()), (Step::Exec, Some(libc::EACCES)));
    let lost = Scratch::holding("lost", "#!/nonexistent/interpreter\n", "700");
    assert_eq!(reason(lost.path()), (Step::Exec, Some(libc::ENOENT)));
}

#[test]
fn a_file_without_interpreter_line_runs_through_the_shell_with_its_arguments() {
    let script = Scratch::holding("bare", "[ \"$1 $2\" = \"a b\" ] && exit 5\n", "700");
    let ended = run(&program(script.path(), &["called", "a", "b"]));
    assert!(matches!(ended, Ended::Status(5)), "{ended:?}");
}

#[test]
fn words_with_a_zero_octet_are_refused() {
    let error = Program::new(Path::new("/bin/sh"), [OsStr::new("a\0b")], None).expect_err("a zero");
    assert_eq!(error.to_string(), r#"word "a\0b" holds a zero octet"#);
}

#[test]
fn a_child_has_nothing_of_ours() {
    let out = Scratch::new("inside");
    let script = r#"
        exec > "$1"
        while read name set; do case $name in SigBlk: | SigIgn:) echo "$name $set" ;; esac; done < /proc/self/status
        ls -l /proc/$$/fd
        echo "group $(cut -d' ' -f5 /proc/$$/stat) $$"
        echo "ifs ${LD_PRELOAD-none} ${NOTIFY_SOCKET-none}"
    "#;
    // Neither close-on-exec nor ours to keep: what a careless library would leave open.
    let leaked = nix::unistd::dup(std::fs::File::open("/dev/zero").expect("a file")).expect("dup");
    nix::fcntl::fcntl(
        &leaked,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .expect("a flag");
    let ended = run(&program("/bin/sh", &["sh", "-c", script, "sh", out.path()]));
    drop(leaked);
    assert!(matches!(ended, Ended::Status(0)), "{ended:?}");
    let text = out.text();
    let fds: Vec<_> = text.lines().filter_map(|l| l.split_once(" -> ")).collect();
    let targets: Vec<_> = fds.iter().map(|(_, target)| *target).collect();
    assert_eq!(targets, ["/dev/null", out.path(), "/dev/null"]);
    assert!(text.contains("SigBlk: 0000000000000000"), "{text}");
    // Signals 32 and 33 are the thread library's own; it lets nobody change them.
    let ignored = text.lines().find_map(|l| l.strip_prefix("SigIgn: "));
    let ignored = ignored.and_then(|hex| u64::from_str_radix(hex, 16).ok());
    assert_eq!(ignored.map(|set| set & !(0b11 << 31)), Some(0), "{text}");
    let group = text.lines().find_map(|l| l.strip_prefix("group "));
    let (group, pid) = group.and_then(|g| g.split_once(' ')).expect("two numbers");
    assert_eq!(group, pid);
    assert!(text.contains("ifs none none"), "{text}");
}

#[test]
fn a_signal_reaches_the_whole_group() {
    let out = Scratch::new("group");
    block_on(async {
        let script = r#"sleep 1000 & echo $! > "$1"; wait"#;
        let child = start(&program("/bin/sh", &["sh", "-c", script, "sh", out.path()]));
        wait_until("the grandchild's number", || out.text().ends_with('\n'));
        let grandchild: i32 = out.text().trim().parse().expect("a number");
        assert!(alive(grandchild));
        child.signal(Signal::Term).expect("a signal");
        assert!(matches!(end_of(&child).await, Ended::Signal(libc::SIGTERM)));
        wait_until("the grandchild's end", || !alive(grandchild));
    });
}

#[test]
fn the_group_can_be_ended_after_its_leader() {
    let out = Scratch::new("leader");
    block_on(async {
        let script = r#"trap '' TERM; sleep 1000 & echo $! > "$1""#;
        let child = start(&program("/bin/sh", &["sh", "-c", script, "sh", out.path()]));
        assert!(matches!(end_of(&child).await, Ended::Status(0)));
        let grandchild: i32 = out.text().trim().parse().expect("a number");
        assert!(
            alive(grandchild),
            "what a script leaves running is left alone"
        );
        child.signal(Signal::Term).expect("a signal");
        assert!(alive(grandchild));
        child.signal(Signal::Kill).expect("a signal");
        wait_until("the grandchild's end", || !alive(grandchild));
    });
}

#[test]
fn a_flood_of_output_goes_nowhere() {
    assert!(matches!(
        run(&shell("yes | head -c 1000000000")),
        Ended::Status(0)
    ));
}

#[test]
fn the_last_line_is_kept_and_no_flood_stops_its_program() {
    let said = |script: &str| {
        block_on(async {
            let child = shell(script).heard().start().expect("a process");
            let ended = end_of(&child).await;
            assert!(matches!(ended, Ended::Status(0)), "{ended:?}");
            child.last_line()
        })
    };
    assert_eq!(said("exit 0"), None);
    assert_eq!(said("echo one; echo two >&2").as_deref(), Some("two"));
    let flood = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end";
    assert_eq!(said(flood).as_deref(), Some("end"));
}

#[test]
fn who_is_left_behind_may_still_speak() {
    let out = Scratch::new("speaks");
    // It waits until its parent is gone, and then says more than a pipe holds.
    let script = r#"(
        while [ -e "$1.wait" ]; do sleep 0.01; done
        head -c 300000 /dev/zero && echo spoken > "$1"
    ) & exit 0"#;
    let wait = format!("{}.wait", out.path());
    std::fs::write(&wait, "").expect("a file");
    block_on(async {
        let program = program("/bin/sh", &["sh", "-c", script, "sh", out.path()]);
        let child = program.heard().start().expect("a process");
        let ended = end_of(&child).await;
        assert!(matches!(ended, Ended::Status(0)), "{ended:?}");
        drop(child);
    });
    std::fs::remove_file(&wait).expect("our file");
    wait_until("it has spoken", || {
        collect_left();
        std::fs::read_to_string(out.path()).is_ok_and(|text| text == "spoken\n")
    });
}

#[test]
fn nothing_is_left_of_children_that_are_dropped_while_running() {
    let pids: Vec<i32> = block_on(async {
        let children: Vec<_> = (0..20)
            .map(|_| start(&shell("trap '' TERM; while :; do sleep 1000; done")))
            .collect();
        children.iter().map(Child::pid).collect()
    });
    wait_until("no zombie", || {
        collect_left();
        !pids.iter().any(|pid| exists(*pid))
    });
}

#[test]
fn the_status_is_told_again_until_the_child_is_dropped() {
    block_on(async {
        let child = start(&shell("exit 4"));
        for _ in 0..3 {
            assert!(matches!(end_of(&child).await, Ended::Status(4)));
        }
        assert!(exists(child.pid()));
        let pid = child.pid();
        drop(child);
        assert!(!exists(pid));
    });
}

#[test]
fn a_child_dies_with_the_thread_that_started_it() {
    let (pid, child) = std::thread::spawn(|| {
        block_on(async {
            let child = start(&program("/bin/sleep", &["sleep", "1000"]));
            // Not before it is its program: exec is what the signal must survive.
            wait_until("sleep", || {
                std::fs::read_to_string(format!("/proc/{}/comm", child.pid()))
                    .is_ok_and(|comm| comm == "sleep\n")
            });
            (child.pid(), std::mem::ManuallyDrop::new(child))
        })
    })
    .join()
    .expect("a thread");
    wait_until("the end of the child", || !alive(pid));
    drop(std::mem::ManuallyDrop::into_inner(child));
}

#[test]
fn a_child_runs_as_the_user_it_is_given() {
    if !nix::unistd::geteuid().is_root() {
        let mut err = std::io::stderr();
        let _ = std::io::Write::write_all(&mut err, b"skipped: needs root\n");
        return;
    }
    let script = r#"[ "$(id -u):$(id -g):$(id -G)" = "1234:4321:4321 77" ]"#;
    let argv = ["sh", "-c", script].map(OsStr::new);
    let credentials = Credentials {
        uid: 1234,
        gid: 4321,
        groups: vec![4321, 77],
    };
    let program = Program::new(Path::new("/bin/sh"), argv, Some(credentials)).expect("words");
    let ended = run(&program);
    assert!(matches!(ended, Ended::Status(0)), "{ended:?}");
}

#[test]
fn a_user_that_may_not_be_assumed_is_reported() {
    // Group numbers stop below this one, so that even root is refused.
    let credentials = Credentials {
        uid: u32::MAX,
        gid: u32::MAX,
        groups: Vec::new(),
    };
    let argv = [OsStr::new("true")];
    let program = Program::new(Path::new("/bin/true"), argv, Some(credentials)).expect("words");
    let ended = run(&program);
    assert!(
        matches!(
            ended,
            Ended::NotRun {
                step: Step::Credentials,
                ..
            }
        ),
        "{ended:?}"
    );
}

/// Runs a test again in a process of its own, where it is the only one. True: this is that process.
fn alone(test: &str) -> bool {
    const MARK: &str = "KEEPALIVED_RS_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let name = format!("sys::process::tests::{test}");
    let exe = std::env::current_exe().expect("a path");
    let output = std::process::Command::new(exe)
        .args(["--exact", &name, "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    false
}

fn descriptors() -> usize {
    let list = std::fs::read_dir("/proc/self/fd").expect("a list");
    list.count()
}

/// Children of this process, zombies too.
fn children() -> String {
    let mut all = String::new();
    for task in std::fs::read_dir("/proc/self/task").expect("a list") {
        let path = task.expect("an entry").path().join("children");
        all += &std::fs::read_to_string(path).unwrap_or_default();
    }
    all
}

#[test]
fn nothing_stays_behind_neither_descriptor_nor_zombie() {
    if !alone("nothing_stays_behind_neither_descriptor_nor_zombie") {
        return;
    }
    block_on(async {
        end_of(&start(&shell("exit 0"))).await;
        let before = descriptors();
        let programs = [
            shell("exit 1"),
            shell("kill -9 $$"),
            shell("sleep 1000"),
            shell("trap '' TERM; sleep 1000; sleep 1000"),
            shell("yes").heard(),
            program("/nonexistent", &["x"]),
            program("/tmp", &["tmp"]),
        ];
        let mut set = Children::default();
        for key in 0..140_u32 {
            set.insert(key, programs[key as usize % programs.len()].start());
        }
        // Four of seven kinds end by themselves; the rest is dropped.
        for _ in 0..80 {
            let (key, _) = tokio::time::timeout(LONG, set.next())
                .await
                .expect("an end");
            if key % 2 == 0 {
                set.release(key);
            }
        }
        drop(set);
        wait_until("no child", || {
            collect_left();
            children().is_empty()
        });
        wait_until("no descriptor", || {
            collect_left();
            descriptors() == before
        });
        assert!(book().is_empty());
    });
}

#[test]
fn the_first_process_of_a_container_collects_strangers_and_leaves_ours_alone() {
    if !alone("the_first_process_of_a_container_collects_strangers_and_leaves_ours_alone") {
        return;
    }
    nix::sys::prctl::set_child_subreaper(true).expect("a subreaper");
    block_on(async {
        let ours = start(&shell("exit 3"));
        // Each leaves an orphan that ends later.
        for _ in 0..5 {
            end_of(&start(&shell("sleep 0.05 & exit 0"))).await;
        }
        assert!(matches!(end_of(&ours).await, Ended::Status(3)));
        drop(ours);
        wait_until("no child", || {
            collect_left();
            children().is_empty()
        });
    });
}
