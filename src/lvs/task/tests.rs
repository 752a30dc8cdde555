//! The loop, as far as it goes on a machine without IPVS; with one: `tests/lab_ipvs.rs`.

use super::*;

struct Daemon {
    to: mpsc::Sender<LvsCommand>,
    _vrrp: mpsc::Sender<VrrpUpdate>,
    _notices: mpsc::Receiver<Notice>,
}

fn inbox() -> (Daemon, Inbox) {
    let (to, commands) = mpsc::channel(bus::COMMANDS);
    let (vrrp_to, vrrp) = mpsc::channel(bus::VRRP_UPDATES);
    let (notices, heard) = mpsc::channel(bus::NOTICES);
    let daemon = Daemon {
        to,
        _vrrp: vrrp_to,
        _notices: heard,
    };
    (
        daemon,
        Inbox {
            commands,
            vrrp,
            notices,
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
