//! Stories told step by step; those that chance tells are in `random`.

mod random;

use std::path::PathBuf;

use super::Action::{Kill, Start, Terminate};
use super::*;
use crate::model::track::Command;
use crate::model::track::Weight;
use crate::track::run::{KILL_GRACE, TERM_GRACE};

const SECOND: Duration = Duration::from_secs(1);

fn script(name: &str, interval: Duration, timeout: Duration) -> Arc<Script> {
    Arc::new(Script {
        name: name.into(),
        command: Command {
            path: PathBuf::from("/bin/check"),
            argv: vec!["check".into()],
            user: None,
        },
        interval,
        timeout,
        rise: 1,
        fall: 1,
        init_fail: false,
        weight: Weight::Fault,
        reverse: false,
    })
}

fn at(secs: u64) -> Mono {
    Mono::from_micros(secs * 1_000_000)
}

fn scripts(list: &[Arc<Script>]) -> Scripts {
    let mut scripts = Scripts::default();
    assert_eq!(scripts.apply(Mono::ZERO, list), []);
    scripts
}

fn verdict(health: Health) -> Action {
    Action::Verdict {
        script: "a".into(),
        health,
    }
}

fn report(report: Report) -> Action {
    Action::Report {
        script: "a".into(),
        report,
    }
}

/// The run that `actions` start, when that is all they do.
fn started(actions: &[Action]) -> RunId {
    let [Start { run, .. }] = actions else {
        panic!("not one start: {actions:?}");
    };
    *run
}

fn wake(scripts: &mut Scripts, now: Mono) -> Vec<Action> {
    scripts.on_event(now, Event::Wake)
}

fn end(scripts: &mut Scripts, now: Mono, run: RunId, outcome: Outcome) -> Vec<Action> {
    let said = None;
    scripts.on_event(now, Event::Ended { run, outcome, said })
}

#[test]
fn a_script_that_nearly_takes_too_long_is_told_once_until_it_is_fast_again() {
    let mut all = scripts(&[script("a", SECOND * 10, SECOND * 4)]);
    let slow = |actions: &[Action]| {
        let like = |a: &&Action| {
            matches!(
                a,
                Action::Report {
                    report: Report::Slow { .. },
                    ..
                }
            )
        };
        actions.iter().filter(like).count()
    };
    for (turn, took, told) in [
        (0, 2, 0),
        (1, 3, 0),
        (2, 4, 1),
        (3, 4, 0),
        (4, 1, 0),
        (5, 4, 1),
    ] {
        let begun = at(turn * 10);
        let run = started(&wake(&mut all, begun));
        // A little less, or it is a timeout.
        let ended = begun + SECOND * took - Duration::from_millis(1);
        let actions = end(&mut all, ended, run, Outcome::Status(0));
        assert_eq!(slow(&actions), told, "turn {turn}");
    }
}

#[test]
fn periods_are_counted_from_start_to_start() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    for n in 0..5 {
        assert_eq!(s.deadline(), at(n));
        let run = started(&wake(&mut s, at(n)));
        let late = at(n) + Duration::from_millis(700);
        end(&mut s, late, run, Outcome::Status(0));
    }
}

#[test]
fn periods_that_nobody_was_awake_for_are_not_made_up_for() {
    let mut s = scripts(&[script("a", SECOND, SECOND * 100)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    end(&mut s, Mono::ZERO, run, Outcome::Status(0));
    let late = at(7) + Duration::from_millis(300);
    started(&wake(&mut s, late));
    assert_eq!(s.deadline(), at(8));
}

#[test]
fn the_first_result_and_every_change_are_told_and_worded_as_keepalived_does() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    let expected = [
        (
            Outcome::Status(3),
            vec![
                verdict(Health::Bad),
                report(Report::NowReturning(3)),
                report(Report::Failed(Failure::Status(3))),
            ],
        ),
        (Outcome::Status(3), vec![]),
        (Outcome::Status(4), vec![report(Report::NowReturning(4))]),
        (Outcome::Signal(9), vec![]),
        (
            Outcome::Status(0),
            vec![
                verdict(Health::Good),
                report(Report::NowReturning(0)),
                report(Report::Succeeded),
            ],
        ),
        (
            Outcome::Signal(9),
            vec![
                verdict(Health::Bad),
                report(Report::Failed(Failure::Signal(9))),
            ],
        ),
    ];
    for (n, (outcome, actions)) in (0..).zip(expected) {
        let run = started(&wake(&mut s, at(n)));
        assert_eq!(end(&mut s, at(n), run, outcome), actions, "result {n}");
    }
}

#[test]
fn a_timeout_fails_at_once_and_ends_the_group_in_steps() {
    let mut s = scripts(&[script("a", SECOND * 100, SECOND)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    assert_eq!(s.deadline(), at(1));
    let timed_out = report(Report::Failed(Failure::TimedOut));
    let told = [Terminate(run), verdict(Health::Bad), timed_out];
    assert_eq!(wake(&mut s, at(1)), told);
    assert_eq!(s.deadline(), at(3));
    assert_eq!(wake(&mut s, at(3)), [Kill(run)]);
    assert_eq!(s.deadline(), at(5));
    assert_eq!(wake(&mut s, at(5)), [report(Report::GivenUp { stuck: 1 })]);
    assert_eq!(s.deadline(), at(100));
    started(&wake(&mut s, at(100)));
    assert_eq!(end(&mut s, at(100), run, Outcome::Signal(9)), []);
}

#[test]
fn exit_status_0_after_a_timeout_is_no_success() {
    let mut s = scripts(&[script("a", SECOND * 10, SECOND)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    wake(&mut s, at(1));
    assert_eq!(end(&mut s, at(1), run, Outcome::Status(0)), [Kill(run)]);
    let run = started(&wake(&mut s, at(10)));
    let good = [verdict(Health::Good), report(Report::Succeeded)];
    assert_eq!(end(&mut s, at(10), run, Outcome::Status(0)), good);
}

#[test]
fn skipped_periods_are_said_once_per_run() {
    let mut s = scripts(&[script("a", SECOND, SECOND * 10)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    assert_eq!(wake(&mut s, at(1)), [report(Report::StillRunning)]);
    assert_eq!(wake(&mut s, at(2)), []);
    end(&mut s, at(2), run, Outcome::Status(0));
    started(&wake(&mut s, at(3)));
    assert_eq!(wake(&mut s, at(4)), [report(Report::StillRunning)]);
}

#[test]
fn a_script_that_hangs_in_every_run_fills_no_log() {
    let mut s = scripts(&[script("a", SECOND, SECOND * 3 / 2)]);
    let mut skips = 0;
    for _ in 0..40 {
        let now = s.deadline();
        for action in wake(&mut s, now) {
            match action {
                Terminate(run) => drop(end(&mut s, now, run, Outcome::Signal(15))),
                Action::Report { report, .. } => {
                    skips += u32::from(report == Report::StillRunning);
                }
                Start { .. } | Kill(_) | Action::Verdict { .. } => {}
            }
        }
    }
    assert_eq!(skips, 1);
}

#[test]
fn what_never_ends_does_not_pile_up() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    let (mut starts, mut now) = (Vec::new(), Mono::ZERO);
    while now < at(1000) {
        now = s.deadline();
        starts.extend(wake(&mut s, now).iter().filter_map(|a| match a {
            Start { run, .. } => Some(*run),
            Terminate(_) | Kill(_) | Action::Verdict { .. } | Action::Report { .. } => None,
        }));
    }
    assert_eq!(starts.len(), MAX_STUCK);
    end(&mut s, now, starts[3], Outcome::Signal(9));
    now = s.deadline();
    started(&wake(&mut s, now));
}

#[test]
fn init_fail_is_told_before_the_first_result() {
    let mut failing = (*script("a", SECOND, SECOND)).clone();
    failing.init_fail = true;
    let mut s = Scripts::default();
    let told = s.apply(Mono::ZERO, &[Arc::new(failing)]);
    assert_eq!(told, [verdict(Health::Bad)]);
}

#[test]
fn a_reload_keeps_the_verdict_of_an_unchanged_command_and_its_periods() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    let run = started(&wake(&mut s, Mono::ZERO));
    end(&mut s, Mono::ZERO, run, Outcome::Status(0));
    let considered = [
        verdict(Health::Good),
        report(Report::Considered(Health::Good)),
    ];
    let half = Mono::ZERO + SECOND / 2;
    assert_eq!(s.apply(half, &[script("a", SECOND, SECOND)]), considered);
    assert_eq!(s.deadline(), at(1));
    assert_eq!(
        s.apply(half, &[script("a", SECOND * 9, SECOND)]),
        considered
    );
    started(&wake(&mut s, at(1)));
    assert_eq!(
        wake(&mut s, at(2)).first(),
        Some(&Terminate(RunId { script: 1, run: 2 }))
    );
}

#[test]
fn a_changed_command_begins_without_a_verdict_and_ends_the_old_run() {
    let mut s = scripts(&[script("a", SECOND, SECOND)]);
    let old = started(&wake(&mut s, Mono::ZERO));
    let mut other = (*script("a", SECOND, SECOND)).clone();
    other.command.argv.push("-x".into());
    let half = Mono::ZERO + SECOND / 2;
    assert_eq!(s.apply(half, &[Arc::new(other)]), [Terminate(old)]);
    let new = started(&wake(&mut s, half));
    assert_eq!(end(&mut s, half, old, Outcome::Status(1)), [Kill(old)]);
    let good = [verdict(Health::Good), report(Report::Succeeded)];
    assert_eq!(end(&mut s, half, new, Outcome::Status(0)), good);
}

#[test]
fn what_is_removed_while_running_is_ended_and_forgotten() {
    let mut s = scripts(&[script("a", SECOND, SECOND), script("b", SECOND, SECOND)]);
    let a = started(&wake(&mut s, Mono::ZERO));
    assert_eq!(s.apply(Mono::ZERO, &[]), [Terminate(a)]);
    assert!(!s.is_empty());
    assert_eq!(wake(&mut s, at(2)), [Kill(a)]);
    assert_eq!(end(&mut s, at(2), a, Outcome::Signal(9)), [Kill(a)]);
    assert!(s.is_empty());
    assert_eq!(s.deadline(), Mono::NEVER);
}

#[test]
fn a_snapshot_tells_the_result_the_last_run_and_what_goes_on() {
    let mut s = scripts(&[script("s", SECOND, SECOND)]);
    let now = |s: &Scripts| s.snapshot()["s"].clone();
    let fresh = now(&s);
    assert_eq!(
        (fresh.good, fresh.run, fresh.last),
        (None, RunState::Idle, None)
    );
    let run = started(&wake(&mut s, at(0)));
    assert_eq!(now(&s).run, RunState::Running);
    end(&mut s, at(0) + SECOND / 4, run, Outcome::Status(3));
    let failed = now(&s);
    let last = Some(LastRun {
        outcome: Outcome::Status(3),
        took: SECOND / 4,
        said: None,
    });
    assert_eq!(
        (failed.good, failed.result, failed.last),
        (Some(false), 0, last)
    );
}
