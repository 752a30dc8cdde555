//! What others tell: scripts, files, sessions, and an earlier run.

use super::*;

#[test]
fn scripts_set_weights_and_a_reload_keeps_what_they_said() {
    let mut cfg = vs(vec![rs(1), rs(2)]);
    cfg.quorum = 2;
    let mut s = Story::start(cfg.clone());
    let weight = |w| Ok(Good::Weight(w));
    s.service.on_result(0, 0, weight(Some(7)), &mut s.out);
    assert_eq!(s.pool(), [(1, 7), (2, 1)]);
    let lines = s.log();
    let changed =
        "Changing weight from 1 to 7 for active service [10.0.0.1]:tcp:80 of VS [10.9.9.9]:tcp:80";
    assert!(lines.iter().any(|l| l == changed), "{lines:?}");
    // What a script sets is the weight, whatever the configuration says next.
    cfg.real_servers[0].weight = 3;
    s.reload(cfg.clone());
    assert_eq!(s.pool(), [(1, 7), (2, 1)]);
    s.service.on_result(0, 0, weight(None), &mut s.out);
    assert_eq!(s.pool(), [(1, 3), (2, 1)]);
    s.reload(cfg);
    assert_eq!(s.pool(), [(1, 3), (2, 1)]);
    // Weight 0 is alive and counts nothing: the quorum can be lost by it.
    s.service.on_result(0, 0, weight(Some(0)), &mut s.out);
    assert!(!s.service.quorum_met());
}

#[test]
fn a_wrong_length_of_a_page_is_told_once_per_change() {
    use crate::lvs::checker::http::{Http, Judged, Lengths, Protocol, Url};
    let elsewhere = Url {
        host: Some("www.example.com".into()),
        ..Url::new("/b")
    };
    let http = Http {
        tls: None,
        protocol: Protocol::V10,
        urls: vec![Url::new("/a"), elsewhere],
        fast_recovery: false,
    };
    let mut cfg = vs(vec![rs(1)]);
    let Check::Tcp(connect) = cfg.real_servers[0].checkers[0].check.clone() else {
        unreachable!("the servers of these tests are checked by TCP");
    };
    cfg.real_servers[0].checkers[0].check = Check::Http(connect, Arc::new(http));
    let mut s = Story::start(cfg);
    // The two pages in turn.
    for told in [
        Some(10),
        None,
        Some(10),
        Some(7),
        Some(12),
        Some(7),
        None,
        None,
        Some(10),
    ] {
        let lengths = told.map(|told| Lengths { told, came: 4 });
        let good = Good::Page(Judged::Status, lengths);
        s.service.on_result(0, 0, Ok(good), &mut s.out);
    }
    let said = |url: &str, told| {
        format!(
            "http_check for RS [10.0.0.1]:tcp:80 VS [10.9.9.9]:tcp:80 url {url}: \
             content_length ({told}) does not match received bytes (4)"
        )
    };
    let lines = s.log().into_iter().filter(|l| l.contains("length"));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            said("/a", 10),
            said("www.example.com/b", 7),
            said("/a", 12),
            said("/a", 10)
        ]
    );
}

#[test]
fn a_number_in_a_file_is_health_or_weight_at_start_as_later() {
    let file = |weight, reverse| {
        let mut server = rs(1);
        server.checkers[0].check = Check::File(crate::lvs::checker::file::File {
            file: "F".into(),
            weight,
            reverse,
        });
        vs(vec![server, rs(2)])
    };
    let told = |value| Told::File {
        name: "F".into(),
        value,
    };
    for (weight, reverse, value, expected) in [
        (0, false, 0, vec![(1, 1), (2, 1)]),
        (0, false, 5, vec![(2, 1)]),
        (0, true, 0, vec![(2, 1)]),
        (0, true, 5, vec![(1, 1), (2, 1)]),
        (2, false, 5, vec![(1, 11), (2, 1)]),
        (2, true, 5, vec![(1, 0), (2, 1)]),
        (2_147_483_647, true, 2, vec![(2, 1)]),
    ] {
        let mut later = Story::start(file(weight, reverse));
        later.service.on_told(&told(value), &mut later.out);
        assert_eq!(later.pool(), expected, "{weight} {reverse} {value}");
        let (mut ids, mut out) = (CheckIds::default(), Vec::new());
        let cfg = Arc::new(file(weight, reverse));
        let (told, nobody) = ([told(value)], HashSet::new());
        let known = (&told[..], &nobody);
        let service = Service::start(cfg, QUIET, known, &mut ids, &mut out);
        let at_start = Story { service, ids, out };
        assert_eq!(at_start.pool(), expected, "{weight} {reverse} {value}");
        // A reload neither adds nor removes anything.
        let mut s = at_start;
        s.out.clear();
        let cfg = Arc::new(file(weight, reverse));
        s.service
            .reload(cfg, QUIET, known.0, &mut s.ids, &mut s.out);
        assert_eq!(s.pool(), expected);
    }
}

#[test]
fn a_session_is_health_at_start_as_later() {
    let mut server = rs(1);
    let name: Arc<str> = "S".into();
    server.checkers[0].check = Check::Bfd(crate::lvs::checker::bfd::Bfd { name });
    let cfg = vs(vec![server, rs(2)]);
    let told = |name: &str, up| Told::Bfd {
        name: name.into(),
        up,
    };
    let mut s = Story::start(cfg.clone());
    for (name, up, pool) in [
        ("S", false, vec![(2, 1)]),
        ("other", true, vec![(2, 1)]),
        ("S", true, vec![(1, 1), (2, 1)]),
        ("S", false, vec![(2, 1)]),
    ] {
        s.service.on_told(&told(name, up), &mut s.out);
        assert_eq!(s.pool(), pool, "{name} {up}");
    }
    let (mut ids, mut out) = (CheckIds::default(), Vec::new());
    let (told, nobody) = ([told("S", false)], HashSet::new());
    let known = (&told[..], &nobody);
    let service = Service::start(Arc::new(cfg), QUIET, known, &mut ids, &mut out);
    assert_eq!(Story { service, ids, out }.pool(), [(2, 1)]);
}

/// A reload neither adds nor removes a server whose file is a fault: the kernel is asked for nothing.
#[test]
fn a_reload_keeps_a_server_out_whose_file_says_so() {
    let mut server = rs(1);
    server.checkers[0].check = Check::File(crate::lvs::checker::file::File {
        file: "F".into(),
        weight: 0,
        reverse: false,
    });
    let cfg = vs(vec![server, rs(2)]);
    let told = Told::File {
        name: "F".into(),
        value: 1,
    };
    let mut s = Story::start(cfg.clone());
    s.service.on_told(&told, &mut s.out);
    assert_eq!(s.pool(), [(2, 1)]);
    s.out.clear();
    let cfg = Arc::new(cfg);
    s.service
        .reload(cfg, QUIET, &[told], &mut s.ids, &mut s.out);
    assert_eq!(s.pool(), [(2, 1)]);
    let told: Vec<_> = s
        .out
        .iter()
        .filter(|a| matches!(a, Action::Notice(_)))
        .collect();
    assert!(told.is_empty(), "{told:?}");
}

fn left(last: &[u8]) -> HashSet<(Front, SocketAddr)> {
    let front = Front::At(([10, 9, 9, 9], 80).into(), Some(Transport::Tcp));
    let dest = |last: &u8| (front, ([10, 0, 0, *last], 80).into());
    last.iter().map(dest).collect()
}

fn start_with(cfg: VirtualServer, left: &HashSet<(Front, SocketAddr)>) -> Story {
    let (mut ids, mut out) = (CheckIds::default(), Vec::new());
    let service = Service::start(Arc::new(cfg), QUIET, (&[], left), &mut ids, &mut out);
    Story { service, ids, out }
}

/// Stock puts all of them back until they have been checked.
#[test]
fn who_was_out_when_the_last_run_crashed_stays_out_until_a_check_says_otherwise() {
    let mut cfg = vs(vec![rs(11), rs(12), rs(13)]);
    cfg.real_servers[2].checkers = Vec::new().into();
    let mut s = start_with(cfg.clone(), &left(&[12, 13]));
    // Nobody looks at the last one.
    assert_eq!(s.pool(), [(11, 1), (13, 1)]);
    assert_eq!(s.notices(), [(0, true)], "nobody dies once more");
    assert!(!s.service.is_recalled(0, 0) && s.service.is_recalled(1, 0));
    s.result(1, BAD);
    assert_eq!(s.notices(), []);
    s.result(1, GOOD);
    assert_eq!(s.notices(), [(12, true)]);
    assert_eq!(s.pool(), [(11, 1), (12, 1), (13, 1)]);
    // In the table with weight 0: kept there, or meant so.
    cfg.real_servers.truncate(2);
    cfg.real_servers[0].weight = 0;
    cfg.real_servers[1].inhibit_on_failure = true;
    cfg.real_servers.push(rs(14));
    let s = start_with(cfg, &left(&[11, 12]));
    assert_eq!(s.pool(), [(11, 0), (12, 0), (14, 1)]);
}

#[test]
fn a_run_that_crashed_with_nobody_in_the_table_has_known_nothing() {
    let mut cfg = vs(vec![rs(11), rs(12)]);
    let s = start_with(cfg.clone(), &left(&[11, 12]));
    assert_eq!(s.pool(), [(11, 1), (12, 1)]);
    cfg.sorry_server = Some(sorry());
    let s = start_with(cfg.clone(), &left(&[11, 12, 14]));
    assert_eq!(s.pool(), [(11, 1), (12, 1)]);
    // Somebody served: all of them were dead.
    let mut s = start_with(cfg, &left(&[11, 12]));
    assert_eq!(s.pool(), [(14, 1)]);
    s.result(0, GOOD);
    assert_eq!(s.pool(), [(11, 1)]);
}
