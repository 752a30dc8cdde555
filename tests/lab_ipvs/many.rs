//! More than sixty configurations, each loaded on its own: at every stage the kernel holds the same for stock keepalived and for
//! ours, down to flags, timeouts and thresholds.

crate::guests! {
    many_configurations_are_in_the_kernel_as_stock_puts_them_there = 0
    many_others_are_in_the_kernel_as_stock_puts_them_there = 1
}

pub(crate) mod story {
    use std::fmt::Write as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::sys::signal::Signal;

    use crate::lab::daemon::Daemon;
    use crate::stages::{Stages, at_rest};
    use crate::world::{OURS, STOCK, World};

    /// Options of a virtual server, of its first real server (.11) and of its second (.12).
    type Options = (&'static str, &'static str, &'static str);

    /// Lines are separated by `;`.
    const TCP: &[Options] = &[
        ("lb_algo rr; lb_kind NAT", "weight 3", ""),
        ("lb_algo wrr; lb_kind NAT", "weight 3", "weight 7"),
        ("lb_algo lc; lb_kind DR", "", "weight 0"),
        ("lb_algo wlc; lb_kind TUN", "weight 3", ""),
        ("lb_algo lblc; lb_kind NAT", "", ""),
        ("lb_algo lblcr; lb_kind DR", "weight 3", ""),
        ("lb_algo dh; lb_kind NAT", "weight 3", "weight 2"),
        ("lb_algo sh; lb_kind NAT", "", ""),
        ("lb_algo sh; sh-port; lb_kind DR", "", ""),
        ("lb_algo sh; sh-fallback; lb_kind DR", "weight 3", ""),
        ("lb_algo sh; sh-port; sh-fallback; lb_kind TUN", "", ""),
        ("lb_algo mh; lb_kind NAT", "weight 3", "weight 3"),
        ("lb_algo mh; mh-port; lb_kind NAT", "", ""),
        (
            "lb_algo mh; mh-fallback; mh-port; lb_kind DR",
            "",
            "weight 9",
        ),
        ("lb_algo sed; lb_kind NAT", "weight 3", ""),
        ("lb_algo nq; lb_kind NAT", "", "weight 2147483647"),
        ("lb_algo fo; lb_kind NAT", "weight 3", ""),
        ("lb_algo ovf; lb_kind NAT", "weight 3", "weight 100"),
        ("lb_algo wlc; flag-1; lb_kind NAT", "", ""),
        ("lb_algo wlc; flag-2; flag-3; lb_kind DR", "weight 3", ""),
        ("lb_algo rr; lb_kind TUN type ipip", "", ""),
        (
            "lb_algo rr; lb_kind TUN type gue port 6080 nocsum",
            "weight 3",
            "",
        ),
        ("lb_algo rr; lb_kind TUN type gue port 6081 csum", "", ""),
        (
            "lb_algo rr; lb_kind TUN type gue port 6082 remcsum",
            "",
            "weight 2",
        ),
        ("lb_algo rr; lb_kind TUN type gre nocsum", "weight 3", ""),
        ("lb_algo rr; lb_kind TUN type gre csum", "", ""),
        ("lb_algo rr; lb_kind NAT", "lvs_method DR", "lvs_method TUN"),
        (
            "lb_algo rr; lb_kind DR",
            "lvs_method NAT",
            "lvs_method TUN type gre",
        ),
        (
            "lb_algo rr; lb_kind TUN",
            "",
            "lvs_method TUN type gue port 7000",
        ),
        (
            "lb_algo rr; lb_kind NAT; persistence_timeout 360",
            "weight 3",
            "",
        ),
        ("lb_algo rr; lb_kind NAT; persistence_timeout", "", ""),
        (
            "lb_algo wlc; lb_kind DR; persistence_timeout 50; persistence_granularity 255.255.255.0",
            "",
            "",
        ),
        (
            "lb_algo wlc; lb_kind DR; persistence_timeout 7200; persistence_granularity 255.255.0.0",
            "weight 3",
            "",
        ),
        (
            "lb_algo rr; lb_kind NAT",
            "uthreshold 100",
            "uthreshold 100; lthreshold 10",
        ),
        (
            "lb_algo rr; lb_kind DR",
            "weight 3; uthreshold 7; lthreshold 3",
            "",
        ),
        (
            "lb_algo rr; lb_kind NAT",
            "inhibit_on_failure",
            "inhibit_on_failure",
        ),
        (
            "lb_algo wrr; lb_kind DR",
            "weight 3",
            "weight 4; inhibit_on_failure",
        ),
        ("lb_algo rr; lb_kind NAT; quorum 2", "", ""),
        (
            "lb_algo rr; lb_kind NAT; quorum 2; sorry_server 10.1.1.14 80",
            "",
            "",
        ),
        (
            "lb_algo rr; lb_kind NAT; quorum 3; hysteresis 1; sorry_server 10.1.1.14 81",
            "weight 2",
            "weight 2",
        ),
        (
            "lb_algo rr; lb_kind DR; quorum 2; sorry_server 10.1.1.14 80; sorry_server_inhibit",
            "weight 1",
            "",
        ),
        (
            "lb_algo rr; lb_kind DR; quorum 2; sorry_server 10.1.1.14 80; sorry_server_lvs_method TUN",
            "",
            "",
        ),
        (
            "lb_algo rr; lb_kind NAT; quorum 2; sorry_server 10.1.1.14 80",
            "inhibit_on_failure",
            "inhibit_on_failure",
        ),
        (
            "lb_algo wlc; lb_kind NAT; quorum 4; hysteresis 2",
            "weight 3",
            "weight 3",
        ),
        ("lb_algo rr; lb_kind NAT; alpha", "weight 3", ""),
        ("lb_algo rr; lb_kind NAT; omega", "", ""),
        ("lb_algo rr; lb_kind DR; alpha; omega; quorum 2", "", ""),
    ];

    /// Each of another kind; real servers are checked where it says so.
    const OTHERS: &[&str] = &[
        "virtual_server 10.1.2.1 5060 { ; lb_algo rr; lb_kind NAT; protocol UDP; ops; real_server 10.1.1.11 5061 { ; weight 3; } ; }",
        "virtual_server 10.1.2.2 5060 { ; lb_algo wlc; lb_kind NAT; protocol UDP; persistence_timeout 60; persistence_engine sip; real_server 10.1.1.11 5060 { ; } ; real_server 10.1.1.12 5060 { ; } ; }",
        "virtual_server 10.1.2.3 53 { ; lb_algo sh; lb_kind DR; protocol UDP; real_server 10.1.1.11 5353 { ; } ; }",
        "virtual_server 10.1.2.4 2905 { ; lb_algo wlc; lb_kind NAT; protocol SCTP; real_server 10.1.1.11 2905 { ; weight 3; } ; real_server 10.1.1.12 2906 { ; } ; }",
        "virtual_server 10.1.2.5 { ; lb_algo lc; lb_kind NAT; protocol TCP; persistence_timeout 100; real_server 10.1.1.11 { ; weight 3; } ; }",
        "virtual_server fwmark 7 { ; lb_algo wrr; lb_kind DR; real_server 10.1.1.11 80 { ; weight 3; } ; real_server 10.1.1.12 81 { ; } ; }",
        "virtual_server fwmark 8 { ; lb_algo rr; lb_kind NAT; persistence_timeout 30; persistence_granularity 255.255.255.0; real_server 10.1.1.11 8080 { ; } ; }",
        "virtual_server fwmark 9 { ; lb_algo sed; lb_kind TUN; ip_family inet6; real_server fd00::11 80 { ; weight 3; } ; }",
        "virtual_server fd00::100 80 { ; lb_algo rr; lb_kind NAT; protocol TCP; real_server fd00::11 8080 { ; } ; real_server fd00::12 80 { ; weight 3; } ; }",
        "virtual_server fd00::101 443 { ; lb_algo wlc; lb_kind DR; protocol TCP; persistence_timeout 300; persistence_granularity 64; real_server fd00::11 443 { ; } ; }",
        "virtual_server fd00::102 80 { ; lb_algo rr; lb_kind TUN; protocol TCP; real_server fd00::11 80 { ; } ; real_server 10.1.1.11 80 { ; } ; }",
        "virtual_server 10.1.2.6 80 { ; lb_algo rr; lb_kind TUN; protocol TCP; real_server fd00::11 80 { ; } ; }",
        "virtual_server 10.1.2.7 80 { ; lb_algo wrr; lb_kind NAT; protocol TCP; delay_loop 1; real_server 10.1.1.11 80 { ; weight 3; MISC_CHECK { ; misc_path \"/bin/sh -c 'exit 22'\"; misc_dynamic; misc_timeout 20; } ; } ; }",
        "virtual_server 10.1.2.8 80 { ; lvs_sched sh; hashed; lvs_method NAT; protocol TCP; weight 4; delay_loop 1; retry 1; delay_before_retry 1; warmup 0; connect_timeout 2; virtualhost www.example.com; snmp_name one; inhibit_on_failure; smtp_alert off; quorum_up /bin/true; quorum_down /bin/true; real_server 10.1.1.11 80 { ; snmp_name first; virtualhost rs.example; smtp_alert off; alpha off; retry 1; delay_before_retry 1; warmup 0; delay_loop 1; connect_timeout 2; notify_up /bin/true; notify_down /bin/true; TCP_CHECK { ; } ; } ; real_server 10.1.1.12 80 { ; inhibit_on_failure off; TCP_CHECK { ; retry 0; } ; } ; }",
        "virtual_server 10.1.1.160 81 { ; lb_algo rr; lb_kind NAT; protocol TCP; ha_suspend; delay_loop 1; real_server 10.1.1.11 80 { ; weight 3; TCP_CHECK { ; warmup 0; retry 0; connect_timeout 1; } ; } ; real_server 10.1.1.12 80 { ; TCP_CHECK { ; warmup 0; retry 0; connect_timeout 1; } ; } ; }",
    ];

    fn lines(text: &str) -> String {
        text.split(';').fold(String::new(), |all, line| {
            let line = line.trim();
            if line.is_empty() {
                all
            } else {
                all + line + "\n"
            }
        })
    }

    /// Each of them is loaded on its own.
    pub(crate) fn configurations() -> Vec<String> {
        let checked = TCP.iter().map(|(vs, first, second)| {
            let mut conf = format!(
                "virtual_server 10.1.1.100 80 {{\ndelay_loop 1\nprotocol TCP\n{}",
                lines(vs)
            );
            for (last, options) in [(11, first), (12, second)] {
                let _ = write!(
                    conf,
                    "real_server 10.1.1.{last} 80 {{\n{}TCP_CHECK {{\nconnect_timeout 2\nretry 0\n}}\n}}\n",
                    lines(options)
                );
            }
            conf + "}\n"
        });
        let others = OTHERS.iter().map(|text| lines(text));
        let global = "global_defs {\n script_user root\n}\n";
        checked
            .chain(others)
            .map(|c| format!("{global}{c}"))
            .collect()
    }

    fn story(world: &World, binary: &str, conf: &str, stages: &mut Stages) {
        let mut expect = |what: &str, daemon: &Daemon| {
            stages.expect(&format!("{conf}{what}"), world, daemon, at_rest());
        };
        let checks = conf.matches("TCP_CHECK").count();
        let of_second = checks.min(1);
        let _first = world.serve(11);
        let second = world.serve(12);
        let mut daemon = world.start(binary, conf, &["-C"]);
        daemon.wait_log("Startup complete");
        daemon.wait_log_times("success.", checks);
        daemon.wait_log_times("] succeeded.", conf.matches("MISC_CHECK").count());
        expect("checked", &daemon);
        drop(second);
        daemon.wait_log_times("TCP_CHECK on service [10.1.1.12]:tcp:80 failed", of_second);
        expect("one is dead", &daemon);
        let _second = world.serve(12);
        let back = "TCP connection to [10.1.1.12]:tcp:80 success.";
        daemon.wait_log_times(back, 2 * of_second);
        expect("it is back", &daemon);
        let other = conf
            .replace("weight 3", "weight 5")
            .replace("lb_algo rr", "lb_algo lc")
            .replace("persistence_timeout 50", "persistence_timeout 55")
            .replace("quorum 4", "quorum 2")
            .replace("port 6080", "port 6090");
        world.configure(&other);
        daemon.signal(Signal::SIGHUP);
        daemon.wait_log("eload");
        expect("reloaded", &daemon);
        assert!(daemon.stop().success(), "{}", daemon.log());
        expect("stopped", &daemon);
    }

    /// Stories at once: most of the time they wait.
    const TELLERS: usize = 12;

    pub(super) fn many_configurations_are_in_the_kernel_as_stock_puts_them_there() {
        play(0);
    }

    pub(super) fn many_others_are_in_the_kernel_as_stock_puts_them_there() {
        play(1);
    }

    /// Two guests, since one has a single processor.
    fn play(half: usize) {
        let all = configurations();
        assert!(all.len() >= 60);
        let (first, second) = all.split_at(all.len() / 2);
        let all = if half == 0 { first } else { second };
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..TELLERS {
                scope.spawn(|| {
                    let world = World::new(&[11, 12]);
                    while let Some(conf) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut stages = Stages::default();
                        story(&world, STOCK, conf, &mut stages);
                        stages.again();
                        story(&world, OURS, conf, &mut stages);
                    }
                });
            }
        });
    }
}
