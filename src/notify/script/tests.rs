//! Real scripts in real processes.

use std::path::PathBuf;

use super::*;
use crate::model::track::Command;
use crate::model::vrrp::{Deletion, SyncGroup};
use crate::notify::Notifier;
use crate::notify::tests::{block_on, entered, instance, soon};

const LONG: Duration = Duration::from_secs(20);

/// A file that scripts write lines to, removed at the end of the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("keepalived-rs-notify-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(String::from).collect()
    }

    /// A script that does `before`, then writes a line: `tag` and its arguments. `$out` is the file.
    fn script(&self, tag: &str, before: &str) -> Option<Arc<NotifyScript>> {
        let text = format!(
            "out={}; {before}; echo {tag} \"$@\" >> $out",
            self.0.display()
        );
        Some(Arc::new(NotifyScript {
            command: Command {
                path: PathBuf::from("/bin/sh"),
                argv: vec!["sh".into(), "-c".into(), text, "sh".into()],
                user: None,
            },
        }))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Drives the notifier until `done`.
async fn until(notifier: &mut Notifier, what: &str, mut done: impl FnMut() -> bool) {
    let work = async {
        while !done() {
            // The pause is for what happens outside of the notifier.
            let pause = Duration::from_millis(5);
            let _ = tokio::time::timeout(pause, notifier.progress()).await;
        }
    };
    let in_time = tokio::time::timeout(LONG, work).await;
    assert!(in_time.is_ok(), "not within {LONG:?}: {what}");
}

#[test]
fn the_script_of_the_state_comes_first_and_notify_gets_the_arguments() {
    let out = Scratch::new("order");
    let notify = Notify {
        master: out.script("master", "sleep 0.05"),
        backup: out.script("backup", "sleep 0.05"),
        fault: out.script("fault", ":"),
        stop: out.script("stop", ":"),
        any: out.script("any", ":"),
        deletion: Deletion::Told(out.script("deleted", ":")),
        rx_lower_pri: out.script("lower", ":"),
        ..Notify::default()
    };
    let v1 = instance("V1", 1, notify.clone());
    let group = Arc::new(SyncGroup {
        name: "SG".into(),
        members: vec!["V1".into()],
        tracking_weight: false,
        track_interfaces: Vec::new(),
        track_scripts: Vec::new(),
        other_tracks: crate::model::track::OtherTracks::default(),
        notify: Notify {
            any: out.script("group", ":"),
            ..Notify::default()
        },
    });
    block_on(async {
        let mut notifier = Notifier::new();
        let states = [
            VrrpState::Backup,
            VrrpState::Master,
            VrrpState::Fault,
            VrrpState::Deleted,
            VrrpState::Stop,
        ];
        for state in states {
            notifier.accept(entered(&v1, state));
            if state == VrrpState::Master {
                notifier.accept(Notice::LowerPriorityHeard {
                    instance: Arc::clone(&v1),
                    priority: 150,
                });
            }
        }
        until(&mut notifier, "all scripts", || out.lines().len() == 11).await;
        notifier.accept(Notice::Group {
            group,
            state: VrrpState::Master,
        });
        notifier.drain(soon()).await;
    });
    let expected = [
        "backup",
        "any INSTANCE V1 BACKUP 150",
        "master",
        "any INSTANCE V1 MASTER 150",
        "lower",
        "fault",
        "any INSTANCE V1 FAULT 150",
        "deleted",
        "any INSTANCE V1 DELETED 150",
        "stop",
        "any INSTANCE V1 STOP 150",
        "group GROUP SG MASTER 0",
    ];
    assert_eq!(out.lines(), expected);
}

#[test]
fn a_hanging_script_delays_no_other_object() {
    let out = Scratch::new("hang");
    let hang = Notify {
        any: out.script("never", "sleep 1000"),
        ..Notify::default()
    };
    let fine = Notify {
        any: out.script("fine", ":"),
        ..Notify::default()
    };
    let (v1, v2) = (instance("V1", 1, hang), instance("V2", 2, fine));
    block_on(async {
        let mut notifier = Notifier::new();
        notifier.accept(entered(&v1, VrrpState::Master));
        notifier.accept(entered(&v2, VrrpState::Master));
        until(&mut notifier, "the other script", || {
            !out.lines().is_empty()
        })
        .await;
        let deadline = Instant::now() + Duration::from_millis(50);
        notifier.drain(deadline).await;
        assert!(deadline.elapsed() < Duration::from_secs(5));
    });
    assert_eq!(out.lines(), ["fine INSTANCE V2 MASTER 150"]);
}

#[test]
fn the_stop_is_told_in_time_behind_a_script_that_hangs_and_ignores_sigterm() {
    let out = Scratch::new("stop");
    let notify = Notify {
        master: out.script(
            "never",
            "echo hangs >> $out; trap '' TERM; sleep 1000; sleep 1000",
        ),
        stop: out.script("stop", ":"),
        any: out.script("any", ":"),
        ..Notify::default()
    };
    let v1 = instance("V1", 1, notify);
    block_on(async {
        let mut notifier = Notifier::new();
        notifier.accept(entered(&v1, VrrpState::Master));
        until(&mut notifier, "the hanging script", || {
            !out.lines().is_empty()
        })
        .await;
        notifier.accept(entered(&v1, VrrpState::Backup));
        notifier.accept(entered(&v1, VrrpState::Stop));
        let started = Instant::now();
        notifier.drain(soon()).await;
        assert!(started.elapsed() < Duration::from_secs(15));
    });
    assert_eq!(out.lines(), ["hangs", "stop", "any INSTANCE V1 STOP 150"]);
}

#[test]
fn what_cannot_be_run_is_passed_over() {
    let out = Scratch::new("missing");
    let command = |path: &str| {
        Some(Arc::new(NotifyScript {
            command: Command {
                path: PathBuf::from(path),
                argv: vec![path.into()],
                user: None,
            },
        }))
    };
    let notify = Notify {
        master: command("/nonexistent/notify"),
        backup: command("/tmp"),
        any: out.script("any", ":"),
        ..Notify::default()
    };
    let v1 = instance("V1", 1, notify);
    block_on(async {
        let mut notifier = Notifier::new();
        notifier.accept(entered(&v1, VrrpState::Backup));
        notifier.accept(entered(&v1, VrrpState::Master));
        until(&mut notifier, "both", || out.lines().len() == 2).await;
    });
    let expected = ["any INSTANCE V1 BACKUP 150", "any INSTANCE V1 MASTER 150"];
    assert_eq!(out.lines(), expected);
}

#[test]
fn after_a_storm_the_last_line_of_every_instance_names_its_last_state() {
    let out = Scratch::new("storm");
    let notify = Notify {
        any: out.script("any", ":"),
        ..Notify::default()
    };
    let instances: Vec<_> = (1..=10)
        .map(|n| instance(&format!("V{n}"), n, notify.clone()))
        .collect();
    block_on(async {
        let mut notifier = Notifier::new();
        for round in 0..100_usize {
            for (n, instance) in instances.iter().enumerate() {
                let states = [VrrpState::Backup, VrrpState::Master, VrrpState::Fault];
                notifier.accept(entered(instance, states[(round + n) % 3]));
            }
            let _ = tokio::time::timeout(Duration::from_millis(1), notifier.progress()).await;
        }
        let last = |n: usize| {
            let (name, state) = (n + 1, ["BACKUP", "MASTER", "FAULT"][(99 + n) % 3]);
            format!("any INSTANCE V{name} {state} 150")
        };
        let in_time = tokio::time::timeout(LONG, notifier.scripts.settle()).await;
        assert!(in_time.is_ok(), "scripts run for longer than {LONG:?}");
        assert!(notifier.scripts.runs.is_empty() && notifier.scripts.children.is_empty());
        let lines = out.lines();
        for n in 0..instances.len() {
            let mine = format!(" V{} ", n + 1);
            let told = lines.iter().rev().find(|l| l.contains(&mine));
            assert_eq!(told, Some(&last(n)));
        }
    });
}

#[test]
fn servers_have_scripts_of_their_own_which_keep_their_order() {
    let out = Scratch::new("servers");
    let real = |rs: &str, up: bool| Notice::RealServer {
        vs: "[10.0.0.100]:tcp:80".into(),
        rs: rs.into(),
        up,
        script: out.script(&format!("{rs} {up}"), "sleep 0.02"),
    };
    let quorum = |up: bool| Notice::VirtualServer {
        vs: "[10.0.0.100]:tcp:80".into(),
        up,
        script: out.script(&format!("quorum {up}"), ":"),
    };
    block_on(async {
        let mut notifier = Notifier::new();
        for up in [true, false, true] {
            notifier.accept(real("one", up));
            notifier.accept(real("two", up));
            notifier.accept(quorum(up));
        }
        notifier.drain(soon()).await;
    });
    let lines = out.lines();
    for who in ["one", "two", "quorum"] {
        let told = lines.iter().filter_map(|l| l.strip_prefix(who));
        let told: Vec<&str> = told.map(str::trim).collect();
        assert_eq!(told.last(), Some(&"true"), "{who}: {told:?}");
    }
}
