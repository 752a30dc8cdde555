//! Kernels as they come: without IPVS, without a scheduler, with somebody else's hands in the table.

crate::guests! {
    without_ipvs_there_is_one_clear_error_and_vrrp_goes_on
    the_module_is_loaded_when_it_is_needed_and_not_before
    a_missing_scheduler_costs_only_the_service_that_asks_for_it
    what_others_put_into_the_table_stays_there
    a_flushed_table_comes_back
    after_a_kill_everything_is_taken_over
    after_a_kill_the_dead_stay_out
    what_a_killed_run_has_left_and_nobody_wants_goes_and_nothing_else
    killed_at_any_moment_the_next_start_leaves_the_table_as_a_fresh_one
    ipvs_may_be_left_behind_on_request
    core_files_have_the_name_that_was_asked_for_while_it_runs
}

mod story {
    use std::fs;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use nix::sys::signal::Signal;

    use crate::lab::daemon::Daemon;
    use crate::lab::{until, until_or};
    use crate::world::{LIMIT, OURS, World};

    const VRRP: &str = "vrrp_instance VI_1 {\n  state MASTER\n  interface eth0\n  virtual_router_id 51\n  \
                        priority 255\n  virtual_ipaddress {\n    10.1.1.166\n  }\n}\n";

    /// A virtual server by last octet, with real servers that are never checked.
    fn service(last: u8, sched: &str, servers: &[u8]) -> String {
        let servers: String = servers
            .iter()
            .map(|n| format!("  real_server 10.1.1.{n} 80 {{\n    weight 1\n  }}\n"))
            .collect();
        format!(
            "virtual_server 10.1.1.{last} 80 {{\n  delay_loop 1\n  lb_algo {sched}\n  lb_kind NAT\n  protocol TCP\n\
             {servers}}}\n"
        )
    }

    /// The same with a check.
    fn checked(last: u8, servers: &[u8]) -> String {
        service(last, "rr", servers).replace(
            "    weight 1\n",
            "    TCP_CHECK {\n      connect_timeout 1\n      warmup 0\n      retry 0\n    }\n",
        )
    }

    fn modules() -> String {
        fs::read_to_string("/proc/modules").expect("a kernel with modules")
    }

    fn unload_ipvs() {
        for _ in 0..3 {
            let loaded = modules();
            let ours = loaded.split_whitespace().filter(|w| w.starts_with("ip_vs"));
            let mut names: Vec<_> = ours
                .flat_map(|w| w.trim_end_matches(',').split(','))
                .collect();
            names.sort_by_key(|n| std::cmp::Reverse(n.len()));
            names.dedup();
            for name in names {
                let _ = Command::new("rmmod").arg(name).output();
            }
        }
        assert!(!modules().contains("ip_vs"), "{}", modules());
    }

    pub(super) fn without_ipvs_there_is_one_clear_error_and_vrrp_goes_on() {
        let world = World::new(&[]);
        unload_ipvs();
        let modprobe = fs::read_to_string("/proc/sys/kernel/modprobe").expect("it has a name");
        fs::write("/proc/sys/kernel/modprobe", "/bin/false").expect("guest root may");
        let conf = VRRP.to_owned() + &checked(166, &[163]);
        let mut daemon = world.start(OURS, &conf, &[]);
        daemon.wait_log("kernel module ip_vs is not loaded and cannot be");
        daemon.wait_log("(VI_1) Entering MASTER STATE");
        let errors = |log: &str| log.matches("IPVS: Can't initialize ipvs").count();
        assert_eq!(errors(&daemon.log()), 1, "{}", daemon.log());

        // A reload tries again, and succeeds once the module can be had.
        daemon.signal(Signal::SIGHUP);
        until("the second try", LIMIT, || {
            (errors(&daemon.log()) == 2).then_some(())
        });
        fs::write("/proc/sys/kernel/modprobe", modprobe.trim()).expect("guest root may");
        daemon.signal(Signal::SIGHUP);
        daemon.wait_log("TCP_CHECK on service [10.1.1.163]:tcp:80 failed.");
        world.wait_rules("dead and out", &daemon, &["-t 10.1.1.166:80 -s rr"]);
        assert!(daemon.running());
        assert!(daemon.stop().success(), "{}", daemon.log());
    }

    pub(super) fn the_module_is_loaded_when_it_is_needed_and_not_before() {
        let world = World::new(&[]);
        unload_ipvs();
        let mut daemon = world.start(OURS, VRRP, &[]);
        daemon.wait_log("(VI_1) Entering MASTER STATE");
        assert!(!modules().contains("ip_vs"), "nobody asked for it");
        world.configure(&(VRRP.to_owned() + &service(166, "wrr", &[163])));
        daemon.signal(Signal::SIGHUP);
        world.wait_rules(
            "added by the reload",
            &daemon,
            &[
                "-t 10.1.1.166:80 -s wrr",
                "-t 10.1.1.166:80 -r 10.1.1.163:80 -m -w 1",
            ],
        );
        world.configure(VRRP);
        daemon.signal(Signal::SIGHUP);
        world.wait_rules("removed by the reload", &daemon, &[]);
        assert!(daemon.stop().success(), "{}", daemon.log());
    }

    /// The guest's kernel has no `twos`.
    pub(super) fn a_missing_scheduler_costs_only_the_service_that_asks_for_it() {
        let world = World::new(&[]);
        let conf = service(166, "twos", &[163]) + &service(167, "rr", &[163]);
        let mut daemon = world.start(OURS, &conf, &["-C"]);
        daemon.wait_log(
            "IPVS cmd IP_VS_SO_SET_ADD(1154) error: Scheduler or persistence engine not found(2) \
             (10.1.1.166:tcp:80)",
        );
        let healthy = [
            "-t 10.1.1.167:80 -s rr",
            "-t 10.1.1.167:80 -r 10.1.1.163:80 -m -w 1",
        ];
        world.wait_rules("the other one", &daemon, &healthy);
        assert_eq!(
            daemon.log().matches("IPVS cmd").count(),
            1,
            "{}",
            daemon.log()
        );
        assert!(daemon.stop().success(), "{}", daemon.log());
        world.wait_rules("stopped", &daemon, &[]);
    }

    pub(super) fn what_others_put_into_the_table_stays_there() {
        let world = World::new(&[]);
        for line in [
            "-A -t 10.1.1.9:80 -s lc",
            "-a -t 10.1.1.9:80 -r 10.1.1.99:80 -g -w 4",
            // Ours by configuration, with other values, and with a guest in it.
            "-A -t 10.1.1.166:80 -s wlc -p 100",
            "-a -t 10.1.1.166:80 -r 10.1.1.163:80 -g -w 9",
            "-a -t 10.1.1.166:80 -r 10.1.1.98:80 -m -w 5",
        ] {
            world.ipvsadm(line);
        }
        let foreign = [
            "-t 10.1.1.9:80 -s lc",
            "-t 10.1.1.9:80 -r 10.1.1.99:80 -g -w 4",
        ];
        let mut rules = vec![
            "-t 10.1.1.166:80 -s rr",
            "-t 10.1.1.166:80 -r 10.1.1.163:80 -m -w 1",
            "-t 10.1.1.166:80 -r 10.1.1.164:80 -m -w 1",
            "-t 10.1.1.166:80 -r 10.1.1.98:80 -m -w 5",
        ];
        rules.extend(foreign);
        let mut daemon = world.start(OURS, &service(166, "rr", &[163, 164]), &["-C"]);
        world.wait_rules("taken over", &daemon, &rules);
        assert!(daemon.stop().success(), "{}", daemon.log());
        world.wait_rules("stopped", &daemon, &foreign);
    }

    pub(super) fn a_flushed_table_comes_back() {
        let world = World::new(&[163]);
        let conf = checked(166, &[163]) + &service(167, "rr", &[164]);
        let server = world.serve(163);
        let mut daemon = world.start(OURS, &conf, &["-C"]);
        let quiet = [
            "-t 10.1.1.167:80 -s rr",
            "-t 10.1.1.167:80 -r 10.1.1.164:80 -m -w 1",
        ];
        let up = [
            "-t 10.1.1.166:80 -s rr",
            "-t 10.1.1.166:80 -r 10.1.1.163:80 -m -w 1",
            quiet[0],
            quiet[1],
        ];
        world.wait_rules("start", &daemon, &up);
        daemon.wait_log("TCP connection to [10.1.1.163]:tcp:80 success.");
        world.ipvsadm("-C");
        // The next change of the first one meets the hole at once; the audit finds the other.
        drop(server);
        world.wait_rules("dead, and all back", &daemon, &[up[0], quiet[0], quiet[1]]);
        let _server = world.serve(163);
        world.wait_rules("alive", &daemon, &up);
        daemon.wait_log("somebody else changed the IPVS table");
        assert!(daemon.stop().success(), "{}", daemon.log());
    }

    pub(super) fn after_a_kill_everything_is_taken_over() {
        let world = World::new(&[]);
        let both = service(166, "rr", &[163, 164]);
        let mut daemon = world.start(OURS, &both, &["-C"]);
        let up = [
            "-t 10.1.1.166:80 -s rr",
            "-t 10.1.1.166:80 -r 10.1.1.163:80 -m -w 1",
            "-t 10.1.1.166:80 -r 10.1.1.164:80 -m -w 1",
        ];
        world.wait_rules("start", &daemon, &up);
        daemon.kill();
        world.wait_rules("killed", &daemon, &up);
        let mut daemon = world.start(OURS, &both.replace("weight 1", "weight 3"), &["-C"]);
        let heavier = up.map(|rule| rule.replace("-w 1", "-w 3"));
        let heavier = heavier.each_ref().map(String::as_str);
        world.wait_rules("taken over", &daemon, &heavier);
        assert!(daemon.stop().success(), "{}", daemon.log());
        world.wait_rules("stopped", &daemon, &[]);
    }

    /// Stock puts them back until they have been checked.
    pub(super) fn after_a_kill_the_dead_stay_out() {
        let world = World::new(&[163, 164]);
        let _first = world.serve(163);
        let conf = checked(166, &[163, 164]);
        let mut daemon = world.start(OURS, &conf, &["-C"]);
        let out = [
            "-t 10.1.1.166:80 -s rr",
            "-t 10.1.1.166:80 -r 10.1.1.163:80 -m -w 1",
        ];
        world.wait_rules("one is dead", &daemon, &out);
        daemon.kill();
        // Whoever is put back, too early or not, is added to the table and to the log.
        let mut daemon = world.start(OURS, &conf, &["-C"]);
        daemon.wait_log("TCP connection to [10.1.1.163]:tcp:80 success.");
        world.wait_rules("still out", &daemon, &out);
        let log = daemon.log();
        let lost = "TCP_CHECK on service [10.1.1.164]:tcp:80 failed";
        assert!(!log.contains(lost), "it never was back\n{log}");
        let _second = world.serve(164);
        let back = "-t 10.1.1.166:80 -r 10.1.1.164:80 -m -w 1";
        world.wait_rules("it is back", &daemon, &[out[0], out[1], back]);
        assert!(daemon.stop().success(), "{}", daemon.log());
        world.wait_rules("stopped", &daemon, &[]);
    }

    /// All of IPVS that a daemon may change.
    fn picture(world: &World) -> Vec<String> {
        let mut all = world.rules();
        for args in ["-L --timeout", "-L --daemon"] {
            all.extend(world.ipvsadm(args).lines().map(str::to_owned));
        }
        let nft = world
            .director
            .run(|| Command::new("nft").args(["list", "tables"]).output());
        let tables = nft.expect("nftables is installed").stdout;
        all.extend(String::from_utf8_lossy(&tables).lines().map(str::to_owned));
        all
    }

    /// Once it has been the same for a while.
    fn picture_at_rest(world: &World) -> Vec<String> {
        let (mut last, mut since) = (picture(world), Instant::now());
        until("nothing changes any more", LIMIT, || {
            let now = picture(world);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_secs(1)).then(|| last.clone())
        })
    }

    fn settles(world: &World, daemon: &Daemon, what: &str, wanted: &[String]) {
        until_or(
            || format!("{what}: {:#?}\n{}", picture(world), daemon.log()),
            LIMIT,
            || (picture(world) == wanted).then_some(()),
        );
    }

    /// Two configurations; the first has much that the second lacks.
    fn two() -> [String; 2] {
        let group = "virtual_server_group G {\n  10.1.1.170-172 80\n}\nvirtual_server group G {\n  lb_algo rr\n  \
                     lb_kind NAT\n  protocol TCP\n  real_server 10.1.1.163 80 {\n    weight 1\n  }\n}\n";
        let first = "global_defs {\n  nftables_ipvs\n  lvs_timeouts tcp 800 udp 70\n  \
                     lvs_sync_daemon eth0 id 7\n}\n"
            .to_owned()
            + &service(166, "rr", &[163, 164])
            + &service(167, "wrr", &[163])
            + group;
        let second = service(166, "rr", &[164, 165]) + &service(168, "lc", &[163]);
        [first, second]
    }

    pub(super) fn what_a_killed_run_has_left_and_nobody_wants_goes_and_nothing_else() {
        let world = World::new(&[]);
        for line in [
            "-A -t 10.1.1.9:80 -s lc",
            "-a -t 10.1.1.9:80 -r 10.1.1.163:80 -g -w 4",
        ] {
            world.ipvsadm(line);
        }
        let before = picture(&world);
        let [first, second] = two();
        let mut daemon = world.start(OURS, &second, &["-C"]);
        daemon.wait_log("Startup complete");
        let fresh = picture_at_rest(&world);
        assert!(daemon.stop().success(), "{}", daemon.log());
        settles(&world, &daemon, "stopped", &before);
        let mut daemon = world.start(OURS, &first, &["-C"]);
        daemon.wait_log("Startup complete");
        // A guest in a service of ours that stays, one in a service that goes.
        world.ipvsadm("-a -t 10.1.1.166:80 -r 10.1.1.98:80 -m -w 5");
        daemon.kill();
        let left = picture(&world);
        assert!(left.len() > before.len() + 6, "{left:#?}");
        let mut daemon = world.start(OURS, &second, &["-C"]);
        daemon.wait_log("IPVS: removed 10.1.1.167:tcp:80");
        daemon.wait_log("IPVS: removed 10.1.1.166:tcp:80 -> 10.1.1.163:80");
        daemon.wait_log("Startup complete");
        world.ipvsadm("-d -t 10.1.1.166:80 -r 10.1.1.98:80"); // still there
        settles(&world, &daemon, "the next one", &fresh);
        assert!(daemon.stop().success(), "{}", daemon.log());
        settles(&world, &daemon, "stopped again", &before);
        // Somebody who serves nothing any more cleans up all the same.
        let mut daemon = world.start(OURS, &first, &["-C"]);
        daemon.wait_log("Startup complete");
        daemon.kill();
        let mut daemon = world.start(OURS, VRRP, &["-C"]);
        settles(&world, &daemon, "nothing is served", &before);
        assert!(daemon.stop().success(), "{}", daemon.log());
    }

    pub(super) fn killed_at_any_moment_the_next_start_leaves_the_table_as_a_fresh_one() {
        let world = World::new(&[]);
        let before = picture(&world);
        let confs = two();
        let fresh = confs.each_ref().map(|conf| {
            let mut daemon = world.start(OURS, conf, &["-C"]);
            daemon.wait_log("Startup complete");
            let picture = picture_at_rest(&world);
            assert!(daemon.stop().success(), "{}", daemon.log());
            settles(&world, &daemon, "stopped", &before);
            picture
        });
        // `LAB_KILLS` for more of them.
        let kills = std::env::var("LAB_KILLS").ok();
        let kills = kills.and_then(|n| n.parse().ok()).unwrap_or(16);
        for turn in 0..kills {
            let (first, second) = (turn / 3 % 2, turn / 6 % 2);
            let mut daemon = world.start(OURS, &confs[first], &["-C"]);
            if turn % 3 > 0 {
                settles(&world, &daemon, "started", &fresh[first]);
                world.configure(&confs[second]);
                let signal = [Signal::SIGHUP, Signal::SIGTERM][usize::from(turn % 3 == 2)];
                daemon.signal(signal);
            }
            // The moment is what is tried, in a start, a reload and a stop.
            std::thread::sleep(Duration::from_millis(turn as u64 * 7919 % 101));
            daemon.kill();
            let mut daemon = world.start(OURS, &confs[second], &["-C"]);
            daemon.wait_log("Startup complete");
            settles(&world, &daemon, "taken over", &fresh[second]);
            assert!(daemon.stop().success(), "{}", daemon.log());
            settles(&world, &daemon, "stopped", &before);
        }
    }

    pub(super) fn ipvs_may_be_left_behind_on_request() {
        let world = World::new(&[]);
        let mut daemon = world.start(OURS, &service(166, "rr", &[163]), &["-C", "-I"]);
        let up = [
            "-t 10.1.1.166:80 -s rr",
            "-t 10.1.1.166:80 -r 10.1.1.163:80 -m -w 1",
        ];
        world.wait_rules("start", &daemon, &up);
        let log = daemon.log();
        assert!(daemon.stop().success(), "{log}");
        world.wait_rules("stopped", &daemon, &up);
        assert!(!daemon.log().contains("Shutting down service"));
    }

    /// The pattern is the machine's, so only a guest's may be changed.
    pub(super) fn core_files_have_the_name_that_was_asked_for_while_it_runs() {
        let world = World::new(&[]);
        let pattern = || fs::read_to_string("/proc/sys/kernel/core_pattern").expect("it has one");
        let before = pattern();
        for (option, wanted) in [("-M", "core\n"), ("-M/tmp/ka.%e.%p", "/tmp/ka.%e.%p\n")] {
            fs::write("/proc/sys/kernel/core_pattern", "of the machine").expect("guest root may");
            let mut daemon = world.start(OURS, VRRP, &["-P", option]);
            daemon.wait_log("Startup complete");
            assert_eq!(pattern(), wanted);
            let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid()));
            let limits = limits.expect("it runs");
            let core = limits.lines().find(|l| l.starts_with("Max core file size"));
            assert!(core.is_some_and(|l| l.contains("unlimited")), "{limits}");
            assert!(daemon.stop().success(), "{}", daemon.log());
            assert_eq!(pattern(), "of the machine\n");
        }
        fs::write("/proc/sys/kernel/core_pattern", before.trim()).expect("guest root may");
    }
}
