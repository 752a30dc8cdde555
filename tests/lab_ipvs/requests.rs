//! What it is all for: requests are answered, whoever dies.

crate::guests! {
    nat_requests_are_answered_throughout_the_death_of_a_server
    dr_requests_are_answered_throughout_the_death_of_a_server
    tunnelled_requests_are_answered_throughout_the_death_of_a_server
}

mod story {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use crate::lab::until;
    use crate::world::{LIMIT, OURS, World};

    /// The virtual address comes with VRRP, as on a machine of a person.
    fn conf(vip: &str, interface: &str, method: &str) -> String {
        let servers: String = [163, 164, 165]
            .iter()
            .map(|last| {
                format!(
                    "  real_server 10.1.1.{last} 80 {{\n    TCP_CHECK {{\n      connect_timeout 1\n      retry 1\n      \
                     delay_before_retry 1\n    }}\n  }}\n"
                )
            })
            .collect();
        format!(
            "vrrp_instance VI_1 {{\n  state MASTER\n  interface {interface}\n  virtual_router_id 51\n  priority 255\n  \
             virtual_ipaddress {{\n    {vip}\n  }}\n}}\n\
             virtual_server {vip} 80 {{\n  delay_loop 1\n  lb_algo rr\n  lb_kind {method}\n  protocol TCP\n{servers}}}\n"
        )
    }

    pub(super) fn nat_requests_are_answered_throughout_the_death_of_a_server() {
        let world = World::new(&[163, 164, 165]);
        death(&world, &conf("10.2.0.100", "eth1", "NAT"), "10.2.0.100:80");
    }

    pub(super) fn dr_requests_are_answered_throughout_the_death_of_a_server() {
        let world = World::new(&[163, 164, 165]);
        for last in [163, 164, 165] {
            let ns = world.server(last);
            ns.sysctl("net/ipv4/conf/all/arp_ignore", "1");
            ns.sysctl("net/ipv4/conf/all/arp_announce", "2");
            ns.ip("addr add 10.1.1.166/32 dev lo");
        }
        death(&world, &conf("10.1.1.166", "eth0", "DR"), "10.1.1.166:80");
    }

    pub(super) fn tunnelled_requests_are_answered_throughout_the_death_of_a_server() {
        let world = World::new(&[163, 164, 165]);
        for last in [163, 164, 165] {
            let ns = world.server(last);
            ns.ip(&format!(
                "link add t0 type ipip local 10.1.1.{last} remote any"
            ));
            ns.ip("link set t0 up");
            ns.sysctl("net/ipv4/conf/all/rp_filter", "0");
            ns.sysctl("net/ipv4/conf/t0/rp_filter", "0");
            ns.sysctl("net/ipv4/conf/all/arp_ignore", "1");
            ns.sysctl("net/ipv4/conf/all/arp_announce", "2");
            ns.ip("addr add 10.1.1.166/32 dev lo");
        }
        death(&world, &conf("10.1.1.166", "eth0", "TUN"), "10.1.1.166:80");
    }

    fn death(world: &World, conf: &str, to: &str) {
        let _first = world.serve(163);
        let second = world.serve(164);
        let _third = world.serve(165);
        let mut daemon = world.start(OURS, conf, &[]);
        let answerers =
            |n: usize| -> BTreeSet<u8> { (0..n).filter_map(|_| world.ask(to).ok()).collect() };
        let all = BTreeSet::from([163, 164, 165]);
        until("all three answer", LIMIT, || {
            (answerers(6) == all).then_some(())
        });
        daemon.wait_log_times("success.", 3);

        drop(second);
        let died = Instant::now();
        let mut refused = 0;
        // Until the check has seen it, every third request meets the closed port: at most two intervals and a retry.
        until("the dead one is out", LIMIT, || {
            if world.ask(to).is_err() {
                refused += 1;
            }
            (world.rules().len() == 3).then_some(())
        });
        let out = died.elapsed();
        assert!(out < Duration::from_secs(6), "{refused} refused in {out:?}");
        for n in 0..30 {
            let who = world.ask(to);
            assert!(matches!(who, Ok(163 | 165)), "request {n}: {who:?}");
        }

        let _second = world.serve(164);
        until("it answers again", LIMIT, || {
            (answerers(6) == all).then_some(())
        });
        assert!(daemon.stop().success(), "{}", daemon.log());
        assert_eq!(world.rules(), [""; 0]);
    }
}
