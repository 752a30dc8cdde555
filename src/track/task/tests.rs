//! Real scripts in real processes, all as words for `/bin/sh -c`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::model::global::Global;
use crate::model::net::IfName;
use crate::model::track::{Command, ScriptTrack, Weight};
use crate::model::vrrp::{Instance, Vrid};

const LONG: Duration = Duration::from_secs(60);

fn block_on<F: Future>(f: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(f)
}

async fn within<F: Future>(what: &str, f: F) -> F::Output {
    tokio::time::timeout(LONG, f)
        .await
        .unwrap_or_else(|_| panic!("not within {LONG:?}: {what}"))
}

fn script(name: &str, path: &str, argv: &[&str]) -> Script {
    Script {
        name: name.into(),
        command: Command {
            path: PathBuf::from(path),
            argv: argv.iter().map(|w| String::from(*w)).collect(),
            user: None,
        },
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(5),
        rise: 1,
        fall: 1,
        init_fail: false,
        weight: Weight::Fault,
        reverse: false,
    }
}

fn shell(name: &str, text: &str) -> Script {
    script(name, "/bin/sh", &["sh", "-c", text])
}

/// One instance that tracks all `scripts` whose names do not begin with `un`.
fn config(scripts: Vec<Script>) -> Arc<Config> {
    let interface = IfName::new("lo").expect("a name");
    let vrid = Vrid(std::num::NonZeroU8::MIN);
    let mut instance = Instance::new("V1", interface, vrid, &Global::default());
    instance.track_scripts = scripts
        .iter()
        .filter(|s| !s.name.starts_with("un"))
        .map(|s| ScriptTrack {
            script: Arc::clone(&s.name),
            weight: Weight::Fault,
            reverse: false,
        })
        .collect();
    Arc::new(Config {
        instances: vec![Arc::new(instance)],
        scripts: scripts.into_iter().map(Arc::new).collect(),
        ..Config::default()
    })
}

/// A running task and the other ends of its channels.
struct Running {
    commands: mpsc::Sender<TrackCommand>,
    updates: mpsc::Receiver<TrackerUpdate>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(capacity: usize, scripts: Vec<Script>) -> Self {
        let (commands, inbox) = mpsc::channel(4);
        let (sender, updates) = mpsc::channel(capacity);
        let task = tokio::spawn(run(Inbox {
            commands: inbox,
            updates: sender,
            checkers: mpsc::channel(1).0,
        }));
        let running = Self {
            commands,
            updates,
            task,
        };
        running.apply(scripts).await;
        running
    }

    async fn apply(&self, scripts: Vec<Script>) {
        let (done, answer) = oneshot::channel();
        let config = config(scripts);
        let command = TrackCommand::Apply { config, done };
        within("room", self.commands.send(command))
            .await
            .expect("a task");
        within("apply", answer).await.expect("an answer");
    }

    async fn update(&mut self) -> (String, bool) {
        let update = within("an update", self.updates.recv()).await;
        let Some(TrackerUpdate::Script { name, good }) = update else {
            panic!("no word on a script: {update:?}");
        };
        (name.to_string(), good)
    }

    async fn stop(self) {
        let (done, answer) = oneshot::channel();
        let command = TrackCommand::Stop { done };
        within("room", self.commands.send(command))
            .await
            .expect("a task");
        within("stop", answer).await.expect("an answer");
        within("the end of the task", self.task)
            .await
            .expect("no panic");
    }
}

/// A path of its own for what a script leaves, removed at the end of the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("keepalived-rs-task-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(String::from).collect()
    }

    async fn wait_for_lines(&self, n: usize) {
        within("lines", async {
            while self.lines().len() < n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

async fn wait_until_gone(pids: Vec<String>) {
    within("the end of all processes", async {
        while pids.iter().any(|pid| is_alive(pid)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[test]
fn what_scripts_say_reaches_the_vrrp_task_when_it_changes() {
    let flag = Scratch::new("flag");
    std::fs::write(&flag.0, "").expect("a file");
    block_on(async {
        let test = format!("test -e {}", flag.0.display());
        let mut running = Running::start(16, vec![shell("a", &test)]).await;
        assert_eq!(running.update().await, ("a".into(), true));
        std::fs::remove_file(&flag.0).expect("the file");
        assert_eq!(running.update().await, ("a".into(), false));
        std::fs::write(&flag.0, "").expect("a file");
        assert_eq!(running.update().await, ("a".into(), true));
        running.stop().await;
    });
}

#[test]
fn what_cannot_be_run_fails_and_so_does_what_is_killed() {
    block_on(async {
        let scripts = vec![
            script("missing", "/nonexistent/check", &["check"]),
            script("directory", "/tmp", &["tmp"]),
            script("forbidden", "/etc/hostname", &["hostname"]),
            shell("killed", "kill -9 $$"),
            shell("status", "exit 3"),
            shell("flood", "yes | head -c 100000000; exit 1"),
        ];
        let mut names: Vec<_> = scripts.iter().map(|s| s.name.to_string()).collect();
        let mut running = Running::start(16, scripts).await;
        let mut failed = Vec::new();
        for _ in 0..names.len() {
            let (name, good) = running.update().await;
            assert!(!good, "{name}");
            failed.push(name);
        }
        names.sort();
        failed.sort();
        assert_eq!(failed, names);
        running.stop().await;
    });
}

#[test]
fn a_hanging_script_fails_at_its_timeout_and_is_ended_with_all_its_group() {
    let pids = Scratch::new("hanging");
    block_on(async {
        let text = format!(
            "trap '' TERM; echo $$ >> {0}; sleep 1000 & echo $! >> {0}; wait; sleep 1000",
            pids.0.display()
        );
        let mut hanging = shell("a", &text);
        hanging.interval = Duration::from_secs(100);
        // Time enough to say who it is, on a busy machine, too.
        hanging.timeout = Duration::from_millis(1500);
        let started = Instant::now();
        let mut running = Running::start(16, vec![hanging]).await;
        assert_eq!(running.update().await, ("a".into(), false));
        assert!(started.elapsed() >= Duration::from_millis(1500));
        pids.wait_for_lines(2).await;
        wait_until_gone(pids.lines()).await;
        assert!(started.elapsed() >= Duration::from_millis(3500));
        running.stop().await;
    });
}

#[test]
fn only_what_somebody_tracks_is_run() {
    let out = Scratch::new("untracked");
    block_on(async {
        let touch = format!("touch {}", out.0.display());
        let scripts = vec![shell("untracked", &touch), shell("a", "exit 0")];
        let mut running = Running::start(16, scripts).await;
        assert_eq!(running.update().await, ("a".into(), true));
        running.stop().await;
        assert!(!out.0.exists());
    });
}

#[test]
fn a_daemon_that_a_script_leaves_is_not_ours_to_end() {
    let out = Scratch::new("daemon");
    block_on(async {
        let text = format!(
            "[ -s {0} ] || {{ sleep 1000 & echo $! > {0}; }}",
            out.0.display()
        );
        let mut running = Running::start(16, vec![shell("a", &text)]).await;
        assert_eq!(running.update().await, ("a".into(), true));
        running.stop().await;
        let pid = out.lines().pop().expect("a number");
        assert!(is_alive(&pid));
        let number = pid.parse().expect("a number");
        let kill = nix::sys::signal::Signal::SIGKILL;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), kill).expect("a signal");
        wait_until_gone(vec![pid]).await;
    });
}

#[test]
fn a_stop_ends_what_runs_even_what_ignores_sigterm() {
    let pids = Scratch::new("stop");
    block_on(async {
        let obey = format!("echo $$ >> {}; sleep 1000", pids.0.display());
        let ignore = format!("trap '' TERM; {obey}");
        let running = Running::start(16, vec![shell("a", &obey), shell("b", &ignore)]).await;
        pids.wait_for_lines(2).await;
        let started = Instant::now();
        running.stop().await;
        assert!(started.elapsed() < Duration::from_secs(10));
        wait_until_gone(pids.lines()).await;
    });
}

#[test]
fn a_full_channel_delays_nobody_and_the_last_verdict_arrives() {
    let flag = Scratch::new("full");
    let runs = Scratch::new("full-runs");
    std::fs::write(&flag.0, "").expect("a file");
    block_on(async {
        let test = format!("echo >> {}; test -e {}", runs.0.display(), flag.0.display());
        let scripts = vec![
            shell("a", "exit 0"),
            shell("b", "exit 0"),
            shell("c", &test),
        ];
        let mut running = Running::start(1, scripts).await;
        runs.wait_for_lines(3).await;
        std::fs::remove_file(&flag.0).expect("the file");
        let seen = runs.lines().len();
        runs.wait_for_lines(seen + 3).await;
        let mut last = std::collections::HashMap::new();
        while last.len() < 3 || last.get("c") == Some(&true) {
            let (name, good) = running.update().await;
            last.insert(name, good);
        }
        assert_eq!((last["a"], last["b"], last["c"]), (true, true, false));
        running.stop().await;
    });
}

#[test]
fn a_reload_keeps_the_verdict_and_says_it_again() {
    block_on(async {
        let mut running = Running::start(16, vec![shell("a", "exit 0")]).await;
        assert_eq!(running.update().await, ("a".into(), true));
        let mut slower = shell("a", "exit 0");
        slower.interval = Duration::from_secs(100);
        running.apply(vec![slower, shell("b", "exit 1")]).await;
        assert_eq!(running.update().await, ("a".into(), true));
        assert_eq!(running.update().await, ("b".into(), false));
        running.apply(Vec::new()).await;
        running.stop().await;
    });
}

#[test]
fn instances_and_checkers_are_told_of_the_same_file() {
    block_on(async {
        let (commands, from_daemon) = mpsc::channel(4);
        let (updates, mut to_vrrp) = mpsc::channel(4);
        let (checkers, mut to_lvs) = mpsc::channel(4);
        let task = tokio::spawn(run(Inbox {
            commands: from_daemon,
            updates,
            checkers,
        }));
        let file = crate::model::track::TrackFile {
            name: "f".into(),
            path: std::env::temp_dir().join("keepalived-rs-no-such-file"),
            weight: crate::model::track::Weight::Fault,
            reverse: false,
            init: None,
        };
        let config = Arc::new(Config {
            track_files: vec![Arc::new(file)],
            ..Config::default()
        });
        let (done, answer) = oneshot::channel();
        let command = TrackCommand::Apply { config, done };
        within("room", commands.send(command))
            .await
            .expect("a task");
        within("apply", answer).await.expect("an answer");
        let told = Some(TrackerUpdate::File {
            name: "f".into(),
            value: 0,
        });
        assert_eq!(within("an instance", to_vrrp.recv()).await, told);
        assert_eq!(within("a checker", to_lvs.recv()).await, told);
        drop(commands);
        within("the end of the task", task).await.expect("no panic");
    });
}
