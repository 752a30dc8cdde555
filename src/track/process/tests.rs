//! Real processes, counted both ways.

use std::path::PathBuf;
use std::process::{Child, Command};

use super::*;
use crate::model::track::{Arguments, Weight};

/// A program with a name that nobody else has.
struct Program(PathBuf);

impl Program {
    fn new(name: &str) -> Self {
        let name = format!("ka{name}{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // By another process: what is open for writing here is in the children of other tests, and then nobody can run it.
        let mut copy = std::process::Command::new("cp");
        let copied = copy.arg("/bin/sleep").arg(&path).status();
        assert!(copied.expect("a copy").success());
        Self(path)
    }

    fn start(&self) -> Child {
        let mut command = Command::new(&self.0);
        command.arg("1000").spawn().expect("our program")
    }

    fn kind(&self) -> Arc<TrackProcess> {
        let name = self.0.file_name().and_then(|n| n.to_str());
        Arc::new(TrackProcess {
            name: "p".into(),
            process: vec![name.expect("a name").into()],
            arguments: Arguments::Any,
            full_command: false,
            weight: Weight::Fault,
            reverse: false,
            quorum: 1,
            quorum_max: None,
            fork_delay: Duration::ZERO,
            terminate_delay: Duration::ZERO,
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn block_on<F: Future>(f: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(f)
}

async fn next(processes: &mut Processes) -> bool {
    let next = tokio::time::timeout(Duration::from_secs(20), processes.next()).await;
    next.expect("a verdict").1
}

fn comes_and_goes(name: &str, polling: bool) {
    let program = Program::new(name);
    block_on(async {
        let mut processes = Processes::new();
        assert_eq!(processes.apply(&[program.kind()], &Buffer::default()), []);
        if polling {
            processes.source = Source::Polling;
        }
        assert!(!next(&mut processes).await);
        let mut one = program.start();
        assert!(next(&mut processes).await);
        let kept = processes.apply(&[program.kind()], &Buffer::default());
        assert_eq!(kept, [("p".into(), true)]);
        one.kill().expect("our child");
        one.wait().expect("our child");
        assert!(!next(&mut processes).await);
    });
}

#[test]
fn a_process_that_comes_and_goes_is_counted_where_the_kernel_tells() {
    comes_and_goes("t", false);
}

#[test]
fn a_process_that_comes_and_goes_is_counted_where_nobody_tells() {
    comes_and_goes("p", true);
}

#[test]
fn what_the_connector_loses_is_counted_anew() {
    let program = Program::new("l");
    block_on(async {
        let mut processes = Processes::new();
        let small = Buffer {
            octets: Some(2048),
            force: false,
        };
        processes.apply(&[program.kind()], &small);
        assert!(!next(&mut processes).await);
        let listens = |p: &Processes| {
            matches!(
                p.source,
                Source::Connector {
                    listening: true,
                    ..
                }
            )
        };
        if !listens(&processes) {
            return; // Nobody tells here, so nothing can be lost.
        }
        // Nobody listens meanwhile, and the buffer is full before ours begins.
        for _ in 0..200 {
            Command::new("/bin/true").status().expect("a process");
        }
        let mut one = program.start();
        assert!(next(&mut processes).await);
        one.kill().expect("our child");
        one.wait().expect("our child");
        assert!(!next(&mut processes).await);
        assert!(listens(&processes));
    });
}
