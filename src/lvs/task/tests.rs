//! The loop, as far as it goes on a machine without IPVS; with one: `tests/lab_ipvs.rs`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::*;
use crate::lvs::checker::Check;
use crate::lvs::checker::connect::Connect;
use crate::lvs::checker::http::{Http, Protocol, Url};

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

/// A task that has just begun to look at one real server, which has so long to answer.
fn looking(check: Check, patience: Duration) -> Task {
    use super::super::service::tests::{rs, vs};

    let mut server = rs(1);
    server.checkers[0].check = check;
    server.checkers[0].connect_timeout = patience;
    server.checkers[0].alpha = true;
    let config = Arc::new(Config {
        virtual_servers: vec![Arc::new(vs(vec![server]))],
        ..Config::default()
    });
    let mut task = Task::new(Tools::new().expect("an epoll"), None);
    // The machine has been up for longer than the first look waits.
    let actions = task.director.on_event(Mono::ZERO, Event::Apply(config));
    actions.into_iter().for_each(|a| task.execute(a));
    assert_eq!(task.cancels.len(), 0);
    task.event(Event::Wake);
    assert_eq!(task.cancels.len(), 1, "it is on its way");
    task
}

/// Its real server was found to be up.
fn is_up(task: &Task) -> bool {
    let up = |n: &Notice| matches!(n, Notice::RealServer { up: true, .. });
    task.cancels.is_empty() && task.pending.iter().any(up)
}

#[tokio::test]
async fn a_connection_that_was_made_in_time_counts_however_late_we_look() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let target = listener.local_addr().expect("it is bound");
    let patience = Duration::from_millis(50);
    let mut task = looking(Check::Tcp(Connect::to(target)), patience);
    std::thread::sleep(patience * 2); // What this is about: nothing of ours runs.
    task.wake();
    assert!(is_up(&task));
}

/// A page that came while this thread stood still for longer than its server has time; then `late` happens.
async fn a_page_in_time(late: impl AsyncFnOnce(&mut Task)) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let target = listener.local_addr().expect("it is bound");
    let (asked, mut is_asked) = oneshot::channel();
    let (go, may_answer) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it connects");
        let lines = BufReader::new(&stream).lines();
        let head = lines.take_while(|line| line.as_ref().is_ok_and(|l| !l.is_empty()));
        assert!(head.count() > 1, "it asks");
        asked.send(()).expect("it waits");
        may_answer.recv().expect("it says when");
        let page = b"HTTP/1.0 200 OK\r\n\r\nhi";
        stream.write_all(page).expect("it listens");
    });
    let http = Http {
        tls: None,
        protocol: Protocol::V10,
        urls: vec![Url::new("/")],
        fast_recovery: false,
    };
    let patience = Duration::from_secs(2);
    let mut task = looking(Check::Http(Connect::to(target), Arc::new(http)), patience);
    let swarm = Rc::clone(&task.tools.swarm);
    loop {
        tokio::select! {
            over = next_over(&mut task.probes, &swarm) => panic!("too early: {over:?}"),
            () = swarm.turn() => {}
            _ = &mut is_asked => break,
        }
    }
    go.send(()).expect("it waits");
    server.join().expect("it answers");
    std::thread::sleep(patience + Duration::from_millis(100)); // What this is about: nothing of ours runs.
    tokio::task::yield_now().await; // The runtime sees what time it is.
    late(&mut task).await;
    assert!(is_up(&task));
}

#[tokio::test]
async fn a_page_that_came_in_time_counts_however_late_it_is_read() {
    a_page_in_time(async |task| {
        let swarm = Rc::clone(&task.tools.swarm);
        while !task.cancels.is_empty() {
            let over = next_over(&mut task.probes, &swarm).await;
            task.probed(over.expect("nothing was dialled"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_that_came_in_time_counts_however_late_time_is_called() {
    a_page_in_time(async |task| task.wake()).await;
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
