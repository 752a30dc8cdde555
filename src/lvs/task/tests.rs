//! The loop, as far as it goes on a machine without IPVS; with one: `tests/lab_ipvs.rs`.

use super::*;

struct Daemon {
    to: mpsc::Sender<LvsCommand>,
    _vrrp: mpsc::Sender<VrrpUpdate>,
    _trackers: mpsc::Sender<TrackerUpdate>,
    _notices: mpsc::Receiver<Notice>,
}

fn inbox() -> (Daemon, Inbox) {
    let (to, commands) = mpsc::channel(bus::COMMANDS);
    let (vrrp_to, vrrp) = mpsc::channel(bus::VRRP_UPDATES);
    let (trackers_to, trackers) = mpsc::channel(bus::TRACKER_UPDATES);
    let (notices, heard) = mpsc::channel(bus::NOTICES);
    let daemon = Daemon {
        to,
        _vrrp: vrrp_to,
        _trackers: trackers_to,
        _notices: heard,
    };
    (
        daemon,
        Inbox {
            commands,
            vrrp,
            trackers,
            notices,
            held: None,
        },
    )
}

#[tokio::test]
async fn answers_commands_and_ends_at_stop() {
    let (daemon, inbox) = inbox();
    let (done, applied) = oneshot::channel();
    let config = Arc::default();
    let sent = daemon.to.send(LvsCommand::Apply { config, done }).await;
    assert!(sent.is_ok());
    let (done, stopped) = oneshot::channel();
    let release = Release::All;
    let sent = daemon.to.send(LvsCommand::Stop { release, done }).await;
    assert!(sent.is_ok());
    run(inbox).await;
    assert_eq!((applied.await, stopped.await), (Ok(()), Ok(())));
}

#[tokio::test]
async fn ends_when_the_daemon_is_gone() {
    let (daemon, inbox) = inbox();
    drop(daemon);
    run(inbox).await;
}

#[test]
fn attempts_are_as_many_as_checkers_and_files_allow() {
    assert_eq!(attempts_for(&Config::default()), 1);
    let vs =
        super::super::service::tests::vs((1..=9).map(super::super::service::tests::rs).collect());
    let config = Config {
        virtual_servers: vec![Arc::new(vs)],
        ..Config::default()
    };
    assert_eq!(attempts_for(&config), 9);
}

#[test]
fn a_deadline_moves_to_the_next_tick_and_never_back() {
    let at = Mono::from_micros;
    assert_eq!(next_tick(at(0)), at(0));
    assert_eq!(next_tick(at(1)), at(10_000));
    assert_eq!(next_tick(at(10_000)), at(10_000));
    assert_eq!(next_tick(Mono::NEVER), Mono::NEVER);
}

/// Runs this test again in `tests/uml/uml-run`, a kernel with IPVS. False: this is the inner run.
fn in_a_guest(name: &str) -> bool {
    use std::io::Write as _;
    use std::process::Command;

    if std::env::var_os("UML_RUN").is_some() {
        return false;
    }
    let uml_run = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/uml/uml-run");
    let check = Command::new(uml_run).arg("--check").output();
    if !check.is_ok_and(|out| out.status.success()) {
        // Not through `println!`: the test runner would keep it to itself.
        let _ = writeln!(std::io::stderr(), "skipped: needs packages: {name}");
        return true;
    }
    let inner = Command::new(uml_run)
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", name, "--nocapture"])
        .output()
        .expect("uml-run runs");
    let said = String::from_utf8_lossy(&inner.stdout);
    let complained = String::from_utf8_lossy(&inner.stderr);
    let well = inner.status.success() && said.contains("1 passed");
    assert!(well, "{}\n{said}\n{complained}", inner.status);
    true
}

fn ipvsadm() -> String {
    let out = std::process::Command::new("ipvsadm").arg("-Sn").output();
    let out = out.expect("ipvsadm is in the guest");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn a_panic_withdraws_what_is_ours_and_nothing_else() {
    use super::super::service::tests::{moved, rs, vs};

    const FOREIGN: &str = "-A -t 10.1.1.9:80 -s lc\n";
    let name = "lvs::task::tests::a_panic_withdraws_what_is_ours_and_nothing_else";
    if in_a_guest(name) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let now = clock::now();
        let mut table = Table::open(now, &crate::sys::netns::Place::Here)
            .await
            .expect("the guest has IPVS");
        let foreign = std::process::Command::new("ipvsadm")
            .args(FOREIGN.split_whitespace())
            .status();
        assert!(foreign.is_ok_and(|s| s.success()));
        let mut director = Director::new(1, 1);
        let all = (1..=200).map(|port| Arc::new(moved(vs((1..=9).map(rs).collect()), port)));
        let config = Arc::new(Config {
            virtual_servers: all.collect(),
            ..Config::default()
        });
        director.on_event(now, Event::Apply(Arc::clone(&config)));
        for vs in &config.virtual_servers {
            table.mark(&vs.key);
        }
        // All but the last: those are still on their way when it happens.
        while !table.is_idle() && ipvsadm().lines().count() < 1 + 150 * 10 {
            while let Some(key) = table.next_ready() {
                table.converge(now, &key, &director.desired(&key));
            }
            let batch = table.progress().await;
            table.settle(now, batch);
        }
        assert!(ipvsadm().lines().count() > 1 + 100 * 10);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _table = table;
            panic!("as a bug would");
        }));
        assert!(unwound.is_err());
        assert_eq!(ipvsadm(), FOREIGN);
    });
}
