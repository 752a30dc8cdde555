//! Many virtual servers in simulated time.

use super::*;
use crate::lvs::checker::Down;
use crate::lvs::service::tests::{moved, rs, vs};
use crate::model::lvs::{Listen, Transport};
use crate::time::MICROSECOND;
use nix::errno::Errno;

fn config(virtual_servers: Vec<VirtualServer>) -> Arc<Config> {
    Arc::new(Config {
        virtual_servers: virtual_servers.into_iter().map(Arc::new).collect(),
        ..Config::default()
    })
}

fn at(port: u16, servers: &[u8]) -> VirtualServer {
    moved(vs(servers.iter().map(|&n| rs(n)).collect()), port)
}

fn probes(actions: &[Action]) -> Vec<CheckId> {
    let found = actions.iter().filter_map(|a| match a {
        Action::Probe(attempt) => Some(attempt.id),
        Action::Cancel(_) | Action::Converge(_) | Action::Notice(_) | Action::Report(_) => None,
    });
    found.collect()
}

fn converges(actions: &[Action]) -> usize {
    let asked = |a: &&Action| matches!(a, Action::Converge(_));
    actions.iter().filter(asked).count()
}

const GOOD: Result<Good, Down> = Ok(Good::Plain);
const BAD: Result<Good, Down> = Err(Down::Connect(Errno::ECONNREFUSED));
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn first_checks_come_after_a_second_and_within_the_warmup() {
    let mut d = Director::new(1, 1000);
    let mut cfg = at(80, &(1..=200).collect::<Vec<_>>());
    for rs in &mut cfg.real_servers {
        rs.checkers[0].warmup = SECOND * 4;
    }
    d.on_event(Mono::ZERO, Event::Apply(config(vec![cfg])));
    let (mut first, mut last) = (Mono::NEVER, Mono::ZERO);
    let mut seen = 0;
    while seen < 200 {
        let now = d.deadline();
        assert_eq!(probes(&d.on_event(now - MICROSECOND, Event::Wake)), []);
        for id in probes(&d.on_event(now, Event::Wake)) {
            (first, last, seen) = (first.min(now), last.max(now), seen + 1);
            let result = GOOD;
            d.on_event(now, Event::Probed { id, result });
        }
    }
    assert!(first >= Mono::ZERO + SECOND && first < Mono::ZERO + SECOND * 2);
    assert!(last <= Mono::ZERO + SECOND * 5 && last > Mono::ZERO + SECOND * 4);
}

#[test]
fn the_next_check_counts_from_the_end_of_the_last_one() {
    let mut d = Director::new(1, 10);
    d.on_event(Mono::ZERO, Event::Apply(config(vec![at(80, &[11])])));
    let start = Mono::ZERO + SECOND;
    assert_eq!(d.deadline(), start);
    let id = probes(&d.on_event(start, Event::Wake))[0];
    let end = start + Duration::from_millis(300);
    d.on_event(end, Event::Probed { id, result: GOOD });
    assert_eq!(d.deadline(), end + SECOND * 6);
}

#[test]
fn an_attempt_is_given_up_exactly_at_its_timeout() {
    let mut d = Director::new(1, 10);
    d.on_event(Mono::ZERO, Event::Apply(config(vec![at(80, &[11])])));
    let start = Mono::ZERO + SECOND;
    let id = probes(&d.on_event(start, Event::Wake))[0];
    let end = start + SECOND * 5;
    assert_eq!(d.deadline(), end);
    assert_eq!(d.on_event(end - MICROSECOND, Event::Wake), []);
    let actions = d.on_event(end, Event::Wake);
    assert!(actions.contains(&Action::Cancel(id)));
    assert_eq!(converges(&actions), 1);
    let late = d.on_event(end, Event::Probed { id, result: GOOD });
    assert_eq!(late, [], "nobody waits for it any more");
}

#[test]
fn no_more_attempts_run_than_the_budget_allows() {
    let mut d = Director::new(1, 3);
    let cfg = at(80, &(1..=10).collect::<Vec<_>>());
    d.on_event(Mono::ZERO, Event::Apply(config(vec![cfg])));
    let start = Mono::ZERO + SECOND;
    let mut running = probes(&d.on_event(start, Event::Wake));
    assert_eq!(running.len(), 3);
    assert_eq!(
        d.deadline(),
        start + SECOND * 5,
        "sleeps although checks are due"
    );
    let mut seen = 3;
    while let Some(id) = running.pop() {
        d.on_event(start, Event::Probed { id, result: GOOD });
        let next = probes(&d.on_event(start, Event::Wake));
        assert!(next.len() <= 1);
        seen += next.len();
        running.extend(next);
    }
    assert_eq!(seen, 10);
}

#[test]
fn a_reload_touches_only_what_changed() {
    let mut d = Director::new(1, 1000);
    let many = |changed: u32| {
        let mut all: Vec<_> = (1..=50).map(|p| at(p, &[11, 12, 13])).collect();
        all[20].real_servers[1].weight = changed;
        config(all)
    };
    let actions = d.on_event(Mono::ZERO, Event::Apply(many(1)));
    assert_eq!(converges(&actions), 50);
    let start = Mono::ZERO + SECOND;
    let mut running = probes(&d.on_event(start, Event::Wake));
    assert_eq!(running.len(), BURST, "the others wait for their turn");
    while d.deadline() <= start {
        running.extend(probes(&d.on_event(start, Event::Wake)));
    }
    assert_eq!(running.len(), 150);
    let bad = running[0];
    for id in running {
        let result = if id == bad { BAD } else { GOOD };
        d.on_event(start, Event::Probed { id, result });
    }
    let due = d.deadline();
    assert_eq!(d.on_event(start, Event::Apply(many(1))), []);
    let actions = d.on_event(start, Event::Apply(many(5)));
    assert_eq!(actions.len(), 2, "one line, one convergence: {actions:?}");
    assert_eq!(d.deadline(), due, "no check is moved");
    let first = ServiceKey::Address {
        addr: [10, 9, 9, 9].into(),
        port: 1,
        transport: crate::model::lvs::Transport::Tcp,
    };
    assert_eq!(d.desired(&first)[0].dests.len(), 2, "the verdict is kept");
}

#[test]
fn a_server_that_leaves_while_it_is_checked_is_forgotten() {
    let mut d = Director::new(1, 1000);
    d.on_event(Mono::ZERO, Event::Apply(config(vec![at(80, &[11, 12])])));
    let start = Mono::ZERO + SECOND;
    let running = probes(&d.on_event(start, Event::Wake));
    let actions = d.on_event(start, Event::Apply(config(vec![at(80, &[12])])));
    assert!(actions.contains(&Action::Cancel(running[0])));
    for id in running {
        d.on_event(start, Event::Probed { id, result: GOOD });
    }
    assert_eq!(d.agenda.running(), 0);
    assert!(d.deadline() < Mono::NEVER, "the other one goes on");
    d.on_event(start, Event::Apply(config(vec![])));
    assert_eq!((d.deadline(), d.agenda.running()), (Mono::NEVER, 0));
}

#[test]
fn a_shorter_interval_holds_at_once() {
    let mut d = Director::new(1, 10);
    let mut slow = at(80, &[11]);
    slow.real_servers[0].checkers[0].delay_loop = SECOND * 600;
    d.on_event(Mono::ZERO, Event::Apply(config(vec![slow])));
    let start = Mono::ZERO + SECOND;
    let id = probes(&d.on_event(start, Event::Wake))[0];
    d.on_event(start, Event::Probed { id, result: GOOD });
    assert_eq!(d.deadline(), start + SECOND * 600);
    d.on_event(start, Event::Apply(config(vec![at(80, &[11])])));
    assert_eq!(d.deadline(), start + SECOND * 6);
}

#[test]
fn stop_wants_nothing_in_the_kernel_and_runs_nothing() {
    let mut d = Director::new(1, 10);
    let cfg = config(vec![at(80, &[11]), at(81, &[12])]);
    d.on_event(Mono::ZERO, Event::Apply(Arc::clone(&cfg)));
    let running = probes(&d.on_event(Mono::ZERO + SECOND, Event::Wake));
    let actions = d.on_event(Mono::ZERO + SECOND, Event::Stop);
    assert_eq!(converges(&actions), 2);
    for id in running {
        assert!(actions.contains(&Action::Cancel(id)));
    }
    for vs in &cfg.virtual_servers {
        assert_eq!(d.desired(&vs.key), []);
    }
    assert_eq!(d.deadline(), Mono::NEVER);
}

#[test]
fn any_address_of_a_group_ends_the_pause() {
    let mut vs = at(80, &[1]);
    vs.key = ServiceKey::Group {
        name: "G".into(),
        number: 0,
    };
    let range = |first: u8, last: u8| Listen::Addresses {
        first: [10, 9, 9, first].into(),
        last: [10, 9, 9, last].into(),
        port: 80,
    };
    vs.listen = vec![range(1, 1), range(20, 29)];
    vs.ha_suspend = true;
    for (last, expected) in [(1, 1), (2, 0), (19, 0), (20, 1), (25, 1), (29, 1), (30, 0)] {
        let mut d = Director::new(1, 9);
        d.on_event(Mono::ZERO, Event::Apply(config(vec![vs.clone()])));
        let addr = [10, 9, 9, last].into();
        d.on_event(Mono::ZERO, Event::Address { addr, up: true });
        let now = d.deadline();
        let made = probes(&d.on_event(now, Event::Wake));
        assert_eq!(made.len(), expected, "10.9.9.{last}");
    }
}

#[test]
fn checks_pause_while_no_address_of_the_virtual_server_is_here() {
    let mut vs = at(80, &[1]);
    vs.ha_suspend = true;
    let mut d = Director::new(1, 9);
    let mut now = Mono::from_micros(0);
    d.on_event(now, Event::Apply(config(vec![vs])));
    for _ in 0..5 {
        now = d.deadline();
        let actions = d.on_event(now, Event::Wake);
        assert_eq!(probes(&actions), []);
    }
    let addr = |up| Event::Address {
        addr: [10, 9, 9, 9].into(),
        up,
    };
    let said = |actions: Vec<Action>| -> Vec<String> {
        let line = |a: &Action| match a {
            Action::Report(report) => Some(report.to_string()),
            Action::Probe(_) | Action::Cancel(_) | Action::Converge(_) | Action::Notice(_) => None,
        };
        actions.iter().filter_map(line).collect()
    };
    let name = "healthchecker for service [10.0.0.1]:tcp:80 for VS [10.9.9.9]:tcp:80";
    let came = said(d.on_event(now, addr(true)));
    assert_eq!(came, [format!("Activating {name}")]);
    now = d.deadline();
    assert_eq!(probes(&d.on_event(now, Event::Wake)).len(), 1);
    let left = said(d.on_event(now, addr(false)));
    assert_eq!(left, [format!("Suspending {name}")]);
}

#[test]
fn who_is_out_since_the_last_run_is_looked_at_at_once() {
    let mut d = Director::new(1, 9);
    let front = Front::At(([10, 9, 9, 9], 80).into(), Some(Transport::Tcp));
    let left = HashSet::from([(front, ([10, 0, 0, 2], 80).into())]);
    d.on_event(Mono::ZERO, Event::Left(left));
    let both = config(vec![at(80, &[1, 2])]);
    d.on_event(Mono::ZERO, Event::Apply(Arc::clone(&both)));
    let key = &both.virtual_servers[0].key;
    let pool = |d: &Director| d.desired(key)[0].dests.len();
    assert_eq!((pool(&d), d.deadline()), (1, Mono::ZERO));
    let result = GOOD;
    let [id] = probes(&d.on_event(Mono::ZERO, Event::Wake))[..] else {
        panic!("one check is due");
    };
    d.on_event(Mono::ZERO, Event::Probed { id, result });
    assert_eq!(pool(&d), 2);
    assert!(d.deadline() >= Mono::ZERO + SECOND);
}

/// What one real server with one checker costs for as long as it is there, besides one entry in a set: there may be tens of
/// thousands, and stock has 670 octets.
#[test]
fn a_real_server_is_small() {
    let parts = [
        (
            "configuration",
            size_of::<crate::model::lvs::RealServer>(),
            112,
        ),
        ("what is believed", crate::lvs::service::CHECKER, 32),
        ("agenda", Agenda::<Place>::ENTRY, 40),
        ("kernel", size_of::<crate::sys::ipvs::dest::Dest>(), 56),
    ];
    for (part, size, most) in parts {
        assert!(size <= most, "{part}: {size}");
    }
}
