//! One virtual server against a kernel that is a map, with and without somebody else at work in it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::lvs::desired::{Front, WantedDest};
use crate::model::lvs::{Method, Scheduler, SchedulerFlags, Transport};
use crate::sys::ipvs::dest::Forward;

type Table = BTreeMap<ServiceId, (Service, BTreeMap<SocketAddr, Dest>)>;

fn key(port: u16) -> ServiceKey {
    ServiceKey::Address {
        addr: [192, 0, 2, 1].into(),
        port,
        transport: Transport::Tcp,
    }
}

fn addr(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 80).into()
}

/// Destinations by last octet and weight; 1..=9 are configured.
fn wanted(scheduler: Scheduler, dests: &[(u8, u32)]) -> Vec<Wanted> {
    let dests = dests.iter().map(|&(last, weight)| WantedDest {
        addr: addr(last),
        method: Method::Nat,
        weight,
        uthreshold: 0,
        lthreshold: 0,
    });
    vec![Wanted {
        front: Front::At(([192, 0, 2, 1], 80).into(), Some(Transport::Tcp)),
        scheduler,
        flags: SchedulerFlags::default(),
        ops: false,
        persistence: None,
        dests: dests.collect(),
        configured: (1..=9).map(addr).collect(),
    }]
}

/// What Linux does.
fn kernel(table: &mut Table, id: ServiceId, step: &Step) -> Result<Told, GenlError> {
    let no = |errno| Err(GenlError::Refused(errno));
    let mut told = Told::default();
    match step {
        Step::Read => match table.get(&id) {
            Some((service, _)) => told.services.push(service.clone()),
            None => return no(Errno::ESRCH),
        },
        Step::ReadDests => {
            let dests = table.get(&id).map(|(_, dests)| dests.values().copied());
            told.dests.extend(dests.into_iter().flatten());
        }
        Step::Service(Op::Add(_, s)) if s.scheduler == "twos" => return no(Errno::ENOENT),
        Step::Service(Op::Add(id, s)) => {
            if table.contains_key(id) {
                return no(Errno::EEXIST);
            }
            table.insert(*id, (s.clone(), BTreeMap::new()));
        }
        Step::Service(Op::Replace { key, to, .. }) => match table.get_mut(key) {
            Some((service, _)) => *service = to.clone(),
            None => return no(Errno::ESRCH),
        },
        Step::Service(Op::Del(id, _)) => {
            if table.remove(id).is_none() {
                return no(Errno::ESRCH);
            }
        }
        Step::Dest(op) => {
            let Some((_, dests)) = table.get_mut(&id) else {
                return no(Errno::ESRCH);
            };
            match op {
                Op::Add(at, _) if dests.contains_key(at) => return no(Errno::EEXIST),
                Op::Replace { key, .. } if !dests.contains_key(key) => return no(Errno::ENOENT),
                Op::Del(at, _) if !dests.contains_key(at) => return no(Errno::ENOENT),
                Op::Add(at, d) | Op::Replace { key: at, to: d, .. } => _ = dests.insert(*at, *d),
                Op::Del(at, _) => _ = dests.remove(at),
            }
        }
    }
    Ok(told)
}

/// Runs rounds until there is nothing more to do now; says how many requests that took.
fn converge(unit: &mut Unit, table: &mut Table, wanted: &[Wanted]) -> (usize, Again) {
    converge_in_trouble(unit, table, wanted, |_| None)
}

/// The same where answers go wrong: `trouble` with the so many-th request. Who is refused something does not get it; what is
/// only lost was done.
fn converge_in_trouble(
    unit: &mut Unit,
    table: &mut Table,
    wanted: &[Wanted],
    trouble: impl Fn(usize) -> Option<GenlError>,
) -> (usize, Again) {
    let mut count = 0;
    for _ in 0..20 {
        let mut requests = unit.begin_round(wanted);
        while !requests.is_empty() {
            let (id, step, _) = requests.remove(0);
            count += 1;
            let answer = match trouble(count) {
                Some(refused @ GenlError::Refused(_)) => Err(refused),
                Some(lost) => kernel(table, id, &step).and(Err(lost)),
                None => kernel(table, id, &step),
            };
            if let Some((step, request)) = unit.take_in(&key(80), id, step, answer) {
                unit.outstanding += 1;
                requests.push((id, step, request));
            }
        }
        assert_eq!(unit.outstanding, 0);
        match unit.end_round(&key(80)) {
            Again::Now => {}
            again @ (Again::No | Again::Later) => return (count, again),
        }
    }
    panic!("does not come to rest: {unit:?}");
}

/// Last octets and weights of the service's destinations.
fn held(table: &Table) -> Vec<(u8, u32)> {
    let last = |a: &SocketAddr| match a.ip() {
        std::net::IpAddr::V4(v4) => v4.octets()[3],
        std::net::IpAddr::V6(_) => 255,
    };
    let dests = table.values().flat_map(|(_, dests)| dests);
    dests.map(|(a, d)| (last(a), d.weight)).collect()
}

#[test]
fn a_fresh_start_asks_once_and_adds_everything() {
    let (mut unit, mut table) = (Unit::default(), Table::new());
    let want = wanted(Scheduler::Rr, &[(1, 1), (2, 3)]);
    let (count, again) = converge(&mut unit, &mut table, &want);
    assert_eq!((count, again), (4, Again::No));
    assert_eq!(held(&table), [(1, 1), (2, 3)]);
    assert_eq!(converge(&mut unit, &mut table, &want).0, 0);
}

#[test]
fn what_a_dead_predecessor_left_is_taken_over_and_put_right() {
    let mut table = Table::new();
    let before = wanted(Scheduler::Wlc, &[(1, 7), (2, 1), (77, 5)]);
    converge(&mut Unit::default(), &mut table, &before);
    let mut unit = Unit::default();
    let want = wanted(Scheduler::Rr, &[(1, 1), (3, 1)]);
    assert_eq!(converge(&mut unit, &mut table, &want).1, Again::No);
    // 2 is configured and dead; 77 is not ours.
    assert_eq!(held(&table), [(1, 1), (3, 1), (77, 5)]);
    assert!(table.values().all(|(s, _)| s.scheduler == "rr"));
    assert_eq!(converge(&mut unit, &mut table, &[]).1, Again::No);
    assert!(table.is_empty() && unit.is_over());
}

#[test]
fn a_flush_is_repaired_by_the_next_change_and_by_the_audit() {
    let (mut unit, mut table) = (Unit::default(), Table::new());
    let both = wanted(Scheduler::Rr, &[(1, 1), (2, 1)]);
    let one = wanted(Scheduler::Rr, &[(1, 1)]);
    converge(&mut unit, &mut table, &both);
    table.clear();
    assert_eq!(converge(&mut unit, &mut table, &one).1, Again::No);
    assert_eq!(held(&table), [(1, 1)]);
    table.clear();
    assert!(unit.audit(&key(80), &HashMap::new()));
    assert_eq!(converge(&mut unit, &mut table, &both).1, Again::No);
    assert_eq!(held(&table), [(1, 1), (2, 1)]);
    let found = table.values().map(|(s, _)| (s.id, s)).collect();
    assert!(!unit.audit(&key(80), &found));
}

#[test]
fn answers_that_are_lost_are_read_again() {
    let want = wanted(Scheduler::Rr, &[(1, 1), (2, 3), (3, 1)]);
    for first in 1..=5 {
        for count in 1..=5 {
            let (mut unit, mut table) = (Unit::default(), Table::new());
            let lost = |n| {
                (first..first + count)
                    .contains(&n)
                    .then_some(GenlError::Lost)
            };
            // After too many of them it waits a while.
            converge_in_trouble(&mut unit, &mut table, &want, lost);
            let (_, again) = converge(&mut unit, &mut table, &want);
            assert_eq!(again, Again::No, "from {first} on, {count} answers");
            assert_eq!(held(&table), [(1, 1), (2, 3), (3, 1)]);
            assert_eq!(converge(&mut unit, &mut table, &[]).1, Again::No);
            assert!(table.is_empty() && unit.is_over());
        }
    }
}

#[test]
fn a_full_table_is_tried_again_later_and_filled_as_soon_as_there_is_room() {
    let (mut unit, mut table) = (Unit::default(), Table::new());
    let want = wanted(Scheduler::Rr, &[(1, 1), (2, 3)]);
    let full = |n: usize| (n > 2).then_some(GenlError::Refused(Errno::ENOMEM));
    let (_, again) = converge_in_trouble(&mut unit, &mut table, &want, full);
    assert_eq!(again, Again::Later);
    assert_eq!(unit.said.len(), 2, "{:?}", unit.said);
    assert_eq!(converge(&mut unit, &mut table, &want).1, Again::No);
    assert_eq!(held(&table), [(1, 1), (2, 3)]);
    assert!(unit.said.is_empty());
}

#[test]
fn a_refusal_is_told_once_and_tried_again_later() {
    let (mut unit, mut table) = (Unit::default(), Table::new());
    let want = wanted(Scheduler::Twos, &[(1, 1)]);
    for _ in 0..3 {
        assert_eq!(converge(&mut unit, &mut table, &want).1, Again::Later);
        assert_eq!(
            unit.said.iter().collect::<Vec<_>>(),
            [
                "IPVS cmd IP_VS_SO_SET_ADD(1154) error: Scheduler or persistence engine not found(2) \
                 (192.0.2.1:tcp:80)"
            ]
        );
    }
    let want = wanted(Scheduler::Rr, &[(1, 1)]);
    assert_eq!(converge(&mut unit, &mut table, &want).1, Again::No);
    assert_eq!(held(&table), [(1, 1)]);
    assert!(unit.said.is_empty());
}

#[test]
fn a_service_that_was_asked_for_is_ours_before_the_answer() {
    let mut unit = Unit::default();
    let want = wanted(Scheduler::Rr, &[(1, 1)]);
    let (id, step, _) = unit.begin_round(&want).remove(0);
    unit.take_in(&key(80), id, step, Err(GenlError::Refused(Errno::ESRCH)));
    unit.end_round(&key(80));
    assert_eq!(unit.ours().count(), 0);
    unit.begin_round(&want);
    assert_eq!(unit.ours().count(), 1);
}

/// What somebody else does to the table.
#[derive(Clone, Debug)]
enum Meddling {
    Nothing,
    Flush,
    DelDest(u8),
    SetDest(u8),
    AddDest(u8),
}

fn meddle(table: &mut Table, how: &Meddling) {
    let dests = table.values_mut().map(|(_, dests)| dests).next();
    match (how, dests) {
        (Meddling::Flush, _) => table.clear(),
        (Meddling::DelDest(n), Some(dests)) => _ = dests.remove(&addr(*n)),
        (Meddling::SetDest(n) | Meddling::AddDest(n), Some(dests)) => {
            let dest = Dest {
                addr: addr(*n),
                forward: Forward::DirectRoute,
                weight: 99,
                upper_threshold: 0,
                lower_threshold: 0,
            };
            let exists = dests.contains_key(&addr(*n));
            if exists == matches!(how, Meddling::SetDest(_)) {
                dests.insert(addr(*n), dest);
            }
        }
        (_, _) => {}
    }
}

proptest! {
    #[test]
    fn after_a_reread_the_table_is_what_is_wanted_whatever_happened_before(
        steps in proptest::collection::vec(
            (
                proptest::collection::btree_map(1_u8..6, 0_u32..4, 0..5),
                any::<bool>(),
                prop_oneof![
                    Just(Meddling::Nothing),
                    Just(Meddling::Flush),
                    (1_u8..12).prop_map(Meddling::DelDest),
                    (1_u8..12).prop_map(Meddling::SetDest),
                    (1_u8..12).prop_map(Meddling::AddDest),
                ],
            ),
            1..12,
        ),
    ) {
        let (mut unit, mut table) = (Unit::default(), Table::new());
        let mut want = wanted(Scheduler::Rr, &[]);
        for (dests, wlc, meddling) in steps {
            let dests: Vec<_> = dests.into_iter().collect();
            want = wanted(if wlc { Scheduler::Wlc } else { Scheduler::Rr }, &dests);
            let (_, again) = converge(&mut unit, &mut table, &want);
            prop_assert_eq!(again, Again::No);
            meddle(&mut table, &meddling);
        }
        let foreign: Vec<_> = held(&table).into_iter().filter(|(n, _)| *n > 9).collect();
        unit.unread(&terms::service(&want[0]).id);
        converge(&mut unit, &mut table, &want);
        let mut expected: Vec<_> = want[0].dests.iter().map(|d| match d.addr.ip() {
            std::net::IpAddr::V4(v4) => (v4.octets()[3], d.weight),
            std::net::IpAddr::V6(_) => (255, 0),
        }).collect();
        expected.extend(foreign);
        prop_assert_eq!(held(&table), expected);
        prop_assert_eq!(table.len(), 1);
    }
}
