//! What it is all for: requests are answered, whoever dies.

crate::guests! {
    nat_requests_are_answered_throughout_the_death_of_a_server
    dr_requests_are_answered_throughout_the_death_of_a_server
    tunnelled_requests_are_answered_throughout_the_death_of_a_server
}

mod story {
    use std::collections::BTreeSet;
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use crate::lab::daemon::now;
    use crate::lab::ns::Namespace;
    use crate::lab::witness::stood_still;
    use crate::lab::{until, witness};
    use crate::world::{LIMIT, OURS, World, ask};

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

    /// Who ask at the same time.
    const CLIENTS: usize = 3;

    /// One request.
    #[derive(Debug)]
    struct Asked {
        began: Instant,
        ended: Instant,
        who: io::Result<u8>,
    }

    /// One request after the other.
    fn asks(client: &Namespace, to: &str, over: &AtomicBool) -> Vec<Asked> {
        let mut all = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            let who = ask(client, to);
            let ended = Instant::now();
            all.push(Asked { began, ended, who });
        }
        all
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

        witness::start();
        let mut stalled = Duration::ZERO;
        let over = AtomicBool::new(false);
        let (asked, died, out) = std::thread::scope(|scope| {
            let (client, over) = (&world.client, &over);
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(move || asks(client, to, over)))
                .collect();
            // It ends within this line, some time before that returns.
            let died = Instant::now();
            let dead_at = now();
            drop(second);
            until("the dead one is out", LIMIT, || {
                (world.rules().len() == 3).then_some(())
            });
            let out = Instant::now();
            stalled = stood_still(dead_at, now());
            let _second = world.serve(164);
            world.wait_rules_that(&daemon, |rules| rules.len() == 4);
            until("it answers again", LIMIT, || {
                (answerers(6) == all).then_some(())
            });
            over.store(true, Ordering::Relaxed);
            let asked = clients.into_iter().flat_map(|c| c.join());
            (asked.flatten().collect::<Vec<_>>(), died, out)
        });
        // Until the check has seen it: at most two intervals and a retry.
        let took = out - died;
        let most = Duration::from_secs(6) + stalled;
        assert!(took < most, "out after {took:?}");
        let meanwhile = |a: &&Asked| a.ended >= died && a.began <= out;
        let total = asked.iter().filter(meanwhile).count();
        let lost: Vec<&Asked> = asked.iter().filter(|a| a.who.is_err()).collect();
        let others: Vec<_> = lost.iter().filter(|a| !meanwhile(a)).collect();
        assert!(others.is_empty(), "lost, and nobody had died: {others:?}");
        // Each third one goes to the dead one; each client had one on its way when it began and when it ended.
        let most = total.div_ceil(3) + 2 * CLIENTS;
        let lost = lost.len();
        assert!(lost <= most, "{lost} of {total} lost, not at most {most}");
        assert!(total > 3 * CLIENTS, "there was something to lose: {total}");
        assert!(daemon.stop().success(), "{}", daemon.log());
        assert_eq!(world.rules(), [""; 0]);
    }
}
