//! A virtual server whose configuration changes.

use super::*;

#[test]
fn a_reload_keeps_what_is_known_and_tells_what_changes() {
    let mut s = Story::start(vs(vec![rs(11), rs(12), rs(13)]));
    s.result(1, BAD);
    s.log();
    let mut cfg = vs(vec![rs(10), rs(12), rs(13)]);
    cfg.real_servers[2].weight = 7;
    s.reload(cfg.clone());
    assert_eq!(s.pool(), [(10, 1), (13, 7)], "the failed one stays out");
    assert_eq!(
        s.log(),
        [
            "service [10.0.0.11]:tcp:80 no longer exist",
            "Removing service [10.0.0.11]:tcp:80 from VS [10.9.9.9]:tcp:80",
            "Changing weight from 1 to 7 for active service [10.0.0.13]:tcp:80 of VS [10.9.9.9]:tcp:80",
        ]
    );
    s.reload(cfg.clone());
    assert_eq!(s.log(), [""; 0]);
    cfg.real_servers[1].checkers = Vec::new().into();
    s.reload(cfg);
    assert_eq!(s.pool(), [(10, 1), (12, 1), (13, 7)]);
    assert_eq!(
        s.log(),
        ["Adding service [10.0.0.12]:tcp:80 to VS [10.9.9.9]:tcp:80"]
    );
}

#[test]
fn a_reload_that_takes_the_sorry_server_away_puts_the_alive_back() {
    let mut cfg = vs(vec![rs(11), rs(12)]);
    (cfg.quorum, cfg.sorry_server) = (2, Some(sorry()));
    let mut s = Story::start(cfg.clone());
    s.result(0, BAD);
    assert_eq!(s.pool(), [(14, 1)]);
    s.log();
    cfg.sorry_server = None;
    s.reload(cfg);
    assert_eq!(s.pool(), [(12, 1)]);
    assert_eq!(
        s.log(),
        [
            "Removing sorry server [10.0.0.14]:tcp:80 from VS [10.9.9.9]:tcp:80",
            "Adding alive servers to the pool for VS [10.9.9.9]:tcp:80",
        ]
    );
}

/// Stock puts a server that has failed back into the table with its full weight.
#[test]
fn a_reload_with_another_method_leaves_a_server_out_that_has_failed() {
    let mut cfg = vs(vec![rs(1), rs(2)]);
    let mut s = Story::start(cfg.clone());
    s.result(0, BAD);
    assert_eq!(s.pool(), [(2, 1)]);
    cfg.real_servers[0].method = Method::Dr;
    s.reload(cfg);
    assert_eq!(s.pool(), [(2, 1)]);
}

/// Stock sends nothing.
#[test]
fn thresholds_that_a_reload_changes_are_wanted_in_the_kernel() {
    let mut cfg = vs(vec![rs(1)]);
    let mut s = Story::start(cfg.clone());
    (
        cfg.real_servers[0].uthreshold,
        cfg.real_servers[0].lthreshold,
    ) = (9, 3);
    s.out.clear();
    s.reload(cfg.clone());
    assert!(s.out.contains(&Action::Converge(cfg.key.clone())));
    let dest = desired(&s.service, None)[0].dests[0];
    assert_eq!((dest.uthreshold, dest.lthreshold), (9, 3));
}
