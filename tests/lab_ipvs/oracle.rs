//! The same configuration and the same deaths, played to stock keepalived and to ours: the same tables, the same log.

crate::guests! {
    the_master_of_the_tutorial
    the_backup_of_the_tutorial
    every_option_of_virtual_servers
}

mod story {
    use nix::sys::signal::Signal;

    use crate::lab::daemon::Daemon;
    use crate::stages::{Stages, both};
    use crate::world::{Looks, World};

    pub(super) fn the_master_of_the_tutorial() {
        tutorial(include_str!("../lab_vrrp/tutorials/lvs-1.conf"));
    }

    pub(super) fn the_backup_of_the_tutorial() {
        tutorial(include_str!("../lab_vrrp/tutorials/lvs-2.conf"));
    }

    const SERVICE: &str = "-t 10.1.1.166:80 -s rr";
    const FIRST: &str = "-t 10.1.1.166:80 -r 10.1.1.163:80 -g -w 1";
    const SECOND: &str = "-t 10.1.1.166:80 -r 10.1.1.164:80 -g -w 1";

    fn tutorial(conf: &str) {
        let told = both(|binary| {
            let mut stages = Stages::default();
            let world = World::new(&[163, 164]);
            let mut first = world.serve(163);
            let second = world.serve(164);
            let mut daemon = world.start(binary, conf, &[]);
            let mut expect = |what: &str, daemon: &Daemon, rules: &[&str]| {
                let mut looks = Looks::default();
                stages.expect(what, &world, daemon, |w| {
                    looks.worth(w) && w.rules() == rules
                });
            };
            expect("start", &daemon, &[FIRST, SECOND, SERVICE]);
            daemon.wait_log_times("success.", 2);
            expect("checked", &daemon, &[FIRST, SECOND, SERVICE]);
            drop(first);
            expect("one is dead", &daemon, &[SECOND, SERVICE]);
            first = world.serve(163);
            expect("it is back", &daemon, &[FIRST, SECOND, SERVICE]);
            drop(first);
            drop(second);
            expect("both are dead", &daemon, &[SERVICE]);
            assert!(daemon.stop().success(), "{}", daemon.log());
            expect("stopped", &daemon, &[]);
            let mut told = lines(&daemon.log());
            // Which of two that die together is the first is left to chance.
            told.sort_by_key(|line| {
                let named = ["10.1.1.163", "10.1.1.164"].map(|rs| line.find(rs));
                named.iter().position(Option::is_some)
            });
            (stages, told)
        });
        assert_eq!(told[0], told[1]);
    }

    const OPTIONS: &str = include_str!("options.conf");

    /// Rules of a service, by last octet, with these destinations: last octet and weight.
    fn pool(vs: u8, sched: &str, method: &str, dests: &[(u8, u32)]) -> Vec<String> {
        let vs = format!("-t 10.1.1.{vs}:80");
        let mut rules = vec![format!("{vs} -s {sched}")];
        rules.extend(
            dests
                .iter()
                .map(|(last, weight)| format!("{vs} -r 10.1.1.{last}:80 {method} -w {weight}")),
        );
        rules
    }

    pub(super) fn every_option_of_virtual_servers() {
        let told = both(|binary| {
            let mut stages = Stages::default();
            let world = World::new(&[11, 12]);
            let (first, second) = (world.serve(11), world.serve(12));
            let mut told = Vec::new();
            let mut daemon = world.start(binary, OPTIONS, &["-C"]);
            let mut log = 0;
            let mut expect = |what: &str, daemon: &Daemon, pools: [Vec<String>; 4]| {
                let mut rules = pools.concat();
                rules.sort();
                let mut looks = Looks::default();
                stages.expect(what, &world, daemon, |w| {
                    looks.worth(w) && w.rules() == rules
                });
                let all = daemon.log();
                let mut new = lines(&all[log..]);
                log = all.len();
                // Which of several checks is first is left to chance.
                new.sort();
                told.push((what.to_owned(), new));
            };
            daemon.wait_log_times("success.", 7);
            expect(
                "checked",
                &daemon,
                [
                    pool(201, "wrr", "-m", &[(14, 1)]),
                    pool(202, "wlc -p 90", "-g", &[(11, 1), (12, 1), (14, 0)]),
                    pool(203, "rr", "-g", &[(11, 1), (12, 1)]),
                    pool(204, "sh", "-i", &[(11, 2), (13, 0)]),
                ],
            );
            drop(second);
            daemon.wait_log_times("TCP_CHECK on service [10.1.1.12]:tcp:80 failed after", 3);
            expect(
                "the second is dead",
                &daemon,
                [
                    pool(201, "wrr", "-m", &[(14, 1)]),
                    pool(202, "wlc -p 90", "-g", &[(11, 0), (12, 0), (14, 1)]),
                    pool(203, "rr", "-g", &[(11, 1)]),
                    pool(204, "sh", "-i", &[(11, 2), (13, 0)]),
                ],
            );
            drop(first);
            daemon.wait_log_times("TCP_CHECK on service [10.1.1.11]:tcp:80 failed after", 4);
            expect(
                "both are dead",
                &daemon,
                [
                    pool(201, "wrr", "-m", &[(14, 1)]),
                    pool(202, "wlc -p 90", "-g", &[(11, 0), (12, 0), (14, 1)]),
                    pool(203, "rr", "-g", &[]),
                    pool(204, "sh", "-i", &[(13, 0)]),
                ],
            );
            let _both = (world.serve(11), world.serve(12));
            daemon.wait_log_times("success.", 14);
            expect(
                "both are back",
                &daemon,
                [
                    pool(201, "wrr", "-m", &[(14, 1)]),
                    pool(202, "wlc -p 90", "-g", &[(11, 1), (12, 1), (14, 0)]),
                    pool(203, "rr", "-g", &[(11, 1), (12, 1)]),
                    pool(204, "sh", "-i", &[(11, 2), (13, 0)]),
                ],
            );
            world.configure(
                &OPTIONS
                    .replace("weight 2", "weight 5")
                    .replace("lb_algo rr", "lb_algo lc"),
            );
            daemon.signal(Signal::SIGHUP);
            expect(
                "reloaded",
                &daemon,
                [
                    pool(201, "wrr", "-m", &[(14, 1)]),
                    pool(202, "wlc -p 90", "-g", &[(11, 1), (12, 1), (14, 0)]),
                    pool(203, "lc", "-g", &[(11, 1), (12, 1)]),
                    pool(204, "sh", "-i", &[(11, 5), (13, 0)]),
                ],
            );
            assert!(daemon.stop().success(), "{}", daemon.log());
            world.wait_rules("stopped", &daemon, &[]);
            (stages, told)
        });
        assert_eq!(told[0], told[1]);
    }

    /// What a log says about virtual servers, without the time. Reloads: stock activates every checker again, ours
    /// leaves alone what has not changed.
    fn lines(log: &str) -> Vec<String> {
        const ABOUT: [&str; 9] = [
            "TCP connection",
            "TCP_CHECK",
            "ing service",
            "quorum",
            "sorry server",
            "alive servers",
            "Shutting down",
            "Changing weight",
            "no longer exist",
        ];
        let about = |l: &&str| ABOUT.iter().any(|a| l.contains(a));
        log.lines()
            .filter(about)
            .map(|l| l.splitn(5, ':').last().unwrap_or(l).to_owned())
            .map(|l| {
                l.split_once(' ')
                    .map_or(l.clone(), |(_, rest)| rest.to_owned())
            })
            .collect()
    }
}
