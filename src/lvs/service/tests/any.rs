//! Any virtual server, with any results.

use proptest::prelude::*;

use super::*;

fn any_cfg() -> impl Strategy<Value = VirtualServer> {
    let server = (11_u8..17, 0_u32..4, any::<bool>(), any::<bool>(), 0_u32..3);
    (
        proptest::collection::vec(server, 1..6),
        1_u32..8,
        0_u32..3,
        proptest::option::of(any::<bool>()),
    )
        .prop_map(|(servers, quorum, hysteresis, with_sorry)| {
            let mut cfg = vs(vec![]);
            for (last, weight, inhibit, alpha, retry) in servers {
                let mut rs = rs(last);
                (rs.weight, rs.inhibit_on_failure) = (weight, inhibit);
                (rs.checkers[0].alpha, rs.checkers[0].retry) = (alpha, retry);
                if cfg.real_servers.iter().all(|r| r.addr != rs.addr) {
                    cfg.real_servers.push(rs);
                }
            }
            (cfg.quorum, cfg.hysteresis) = (quorum, hysteresis.min(quorum - 1));
            cfg.sorry_server = with_sorry.map(|inhibit| SorryServer { inhibit, ..sorry() });
            cfg
        })
}

proptest! {
    #[test]
    fn the_pool_follows_from_who_is_alive(
        cfg in any_cfg(),
        results in proptest::collection::vec((0_usize..6, any::<bool>()), 0..60),
    ) {
        let mut s = Story::start(cfg.clone());
        let mut met = false;
        for (server, good) in std::iter::once((99, true)).chain(results) {
            if server < cfg.real_servers.len() {
                s.result(server, if good { GOOD } else { BAD });
            }
            let n = cfg.real_servers.len();
            let alive: Vec<bool> = (0..n).map(|i| s.service.is_alive(i)).collect();
            let sum: u32 = cfg.real_servers.iter().zip(&alive).filter(|(_, a)| **a).map(|(r, _)| r.weight).sum();
            met = if met { sum > 0 && sum >= cfg.quorum - cfg.hysteresis } else { sum >= cfg.quorum + cfg.hysteresis };
            prop_assert_eq!(s.service.quorum_met(), met);
            let sorry_serves = !met && cfg.sorry_server.is_some();
            let mut pool: Vec<(u8, u32)> = Vec::new();
            for (rs, alive) in cfg.real_servers.iter().zip(alive) {
                let serves = alive && !sorry_serves;
                if serves || rs.inhibit_on_failure {
                    let std::net::IpAddr::V4(v4) = rs.addr.ip() else { unreachable!() };
                    pool.push((v4.octets()[3], if serves { rs.weight } else { 0 }));
                }
            }
            let doubled = cfg.real_servers.iter().any(|r| r.addr == sorry().addr);
            if sorry_serves {
                pool.retain(|(last, _)| *last != 14);
                pool.push((14, 1));
            } else if cfg.sorry_server.as_ref().is_some_and(|s| s.inhibit) && !doubled {
                pool.push((14, 0));
            }
            prop_assert_eq!(s.pool(), pool);
        }
    }

    #[test]
    fn a_reload_and_back_changes_no_verdict(
        cfg in any_cfg(),
        other in any_cfg(),
        results in proptest::collection::vec((0_usize..6, any::<bool>()), 0..30),
    ) {
        let mut s = Story::start(cfg.clone());
        for (server, good) in results {
            if server < cfg.real_servers.len() {
                s.result(server, if good { GOOD } else { BAD });
            }
        }
        // With every server of the first one in it, so that none is forgotten on the way.
        let mut both = cfg.clone();
        (both.quorum, both.sorry_server) = (other.quorum, other.sorry_server);
        for rs in other.real_servers {
            if both.real_servers.iter().all(|r| r.addr != rs.addr) {
                both.real_servers.insert(0, rs);
            }
        }
        let n = cfg.real_servers.len();
        let alive: Vec<bool> = (0..n).map(|i| s.service.is_alive(i)).collect();
        s.reload(both.clone());
        s.reload(both);
        s.reload(cfg);
        let after: Vec<bool> = (0..n).map(|i| s.service.is_alive(i)).collect();
        prop_assert_eq!(alive, after);
    }
}
