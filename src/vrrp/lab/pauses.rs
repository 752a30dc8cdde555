//! Machines that pause for some milliseconds while 10 ms count: what a pause costs, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::daemon::bus::{Notice, VrrpState};
use crate::model::track::{ScriptTrack, Weight};
use crate::model::vrrp::Version;
use crate::vrrp::sample::{config, model, script, vrid};

const MS: Duration = Duration::from_millis(1);

fn run(lab: &mut Lab, span: Duration) {
    lab.run_for(span)
        .unwrap_or_else(|broken| panic!("{broken}"));
}

/// Eight virtual routers at 10 ms between two machines on a fast network.
fn dense() -> Lab {
    let names: Vec<String> = (1..=8).map(|n| format!("V{n}")).collect();
    let mut lab = Lab::new(7, names, false);
    lab.latency = Duration::from_micros(100);
    for priority in [200, 100] {
        let instance = |n: u8| {
            let mut model = model(priority);
            model.name = format!("V{n}").into();
            model.vrid = vrid(n);
            model.version = Version::V3;
            model.advert_int = MS * 10;
            model
        };
        let models: Vec<_> = (1..=8).map(instance).collect();
        lab.add(config(&models));
    }
    for n in [0, 1] {
        lab.start(n).expect("a start");
    }
    run(&mut lab, MS * 1000);
    for at in 0..8 {
        assert_eq!(lab.masters_of(at), [0]);
    }
    lab
}

/// How often instances of node `n` became master.
fn takeovers(lab: &Lab, n: usize) -> usize {
    let is_master = |notice: &&Notice| {
        matches!(
            notice,
            Notice::Instance {
                state: VrrpState::Master,
                ..
            }
        )
    };
    lab.nodes[n].notices.iter().filter(is_master).count()
}

#[test]
fn a_host_that_pauses_with_both_routers_on_it_has_no_takeover() {
    for first in [0, 1] {
        let mut lab = dense();
        let before = takeovers(&lab, 1);
        for pause in 1..=150 {
            run(&mut lab, MS * 40 + Duration::from_micros(pause * 770));
            lab.freeze(0);
            lab.freeze(1);
            run(&mut lab, MS * u32::try_from(pause).expect("short"));
            lab.stir(first).expect("nothing breaks");
            lab.stir(1 - first).expect("nothing breaks");
            run(&mut lab, MS * 40);
            let more = takeovers(&lab, 1) - before;
            assert_eq!(more, 0, "after {pause} ms, node {first} first");
        }
    }
}

#[test]
fn a_master_that_pauses_costs_each_instance_one_takeover_at_most_and_is_back_at_once() {
    let mut lab = dense();
    for pause in 1..=150 {
        let before = takeovers(&lab, 1);
        run(&mut lab, MS * 40 + Duration::from_micros(pause * 770));
        lab.freeze(0);
        run(&mut lab, MS * u32::try_from(pause).expect("short"));
        lab.stir(0).expect("nothing breaks");
        run(&mut lab, MS * 3);
        let more = takeovers(&lab, 1) - before;
        // 36 ms after the last word, which was up to 10 ms before the pause.
        let (least, most) = match pause {
            0..25 => (0, 0),
            25..38 => (0, 8),
            _ => (8, 8),
        };
        assert!(more >= least && more <= most, "{more} after {pause} ms");
        for at in 0..8 {
            assert_eq!(lab.masters_of(at), [0], "after {pause} ms");
        }
        run(&mut lab, MS * 100);
        assert_eq!(takeovers(&lab, 1) - before, more, "again after {pause} ms");
    }
    assert_eq!(takeovers(&lab, 0), 8);
}

/// A master whose priority a script can lower by 100, and its backup, with so much between advertisements.
fn weighted(interval: Duration) -> Lab {
    let mut lab = Lab::new(7, vec!["V1".to_owned()], false);
    lab.latency = Duration::from_micros(100);
    for priority in [150, 100] {
        let mut model = model(priority);
        model.version = Version::V3;
        model.advert_int = interval;
        model.track_scripts = vec![ScriptTrack {
            script: "chk".into(),
            weight: Weight::Adjust(-100),
            reverse: false,
        }];
        let mut config = config(&[model]);
        config.scripts.push(Arc::new(script("chk", false)));
        lab.add(config);
    }
    for n in [0, 1] {
        lab.start(n).expect("a start");
    }
    run(&mut lab, interval * 20);
    assert_eq!(lab.masters_of(0), [0]);
    lab
}

/// From the last advertisement of a better priority until the backup's first, if the master gets worse (or crashes) right
/// after one, and the backup pauses from `at` after it.
fn takeover(interval: Duration, crash: bool, at: Duration, pause: Duration) -> Duration {
    let mut lab = weighted(interval);
    let spoken = lab.nodes[0].sent.len();
    while lab.nodes[0].sent.len() == spoken {
        run(&mut lab, Duration::from_micros(50));
    }
    let (last, _, priority) = *lab.nodes[0].sent.last().expect("it spoke");
    assert_eq!(priority, 150);
    if crash {
        run(&mut lab, Duration::from_micros(100));
        lab.crash(0);
    } else {
        lab.alter(0, |node| node.trackers.script = false)
            .expect("nothing breaks");
    }
    lab.run_until(last + at).expect("nothing breaks");
    lab.freeze(1);
    run(&mut lab, pause);
    lab.stir(1).expect("nothing breaks");
    run(&mut lab, interval * 8);
    assert_eq!(lab.masters_of(0), [1]);
    let first = lab.nodes[1].sent.iter().find(|(at, ..)| *at > last);
    first.expect("it took over").0.since(last)
}

#[test]
fn a_backup_that_pauses_takes_over_when_its_time_is_up_or_as_soon_as_it_can() {
    let interval = MS * 100;
    let down = Duration::from_micros(360_937);
    let exact = MS;
    for crash in [false, true] {
        for begin in [10, 110, 250, 330, 359] {
            for pause in [1, 20, 48, 97, 150, 300] {
                let (begin, pause) = (MS * begin, MS * pause);
                let took = takeover(interval, crash, begin, pause);
                let soonest = down.max(begin + pause);
                // One that crashed may be asleep like us: it is given an interval more after a long pause.
                let more = if crash && pause > interval {
                    interval
                } else {
                    Duration::ZERO
                };
                assert!(
                    took >= down && took <= soonest + more + exact,
                    "{took:?} with {pause:?} from {begin:?}, crash: {crash}"
                );
            }
        }
    }
}
