//! Groups, marks, tunnels, flags, weights and thresholds: the kernel holds the same for stock keepalived and for ours.

crate::guests! {
    the_kernel_holds_the_same_for_stock_and_for_ours
    the_table_is_in_the_namespace_that_is_named
    timeouts_and_sync_daemons_come_and_go
    flushes_take_what_stock_takes
}

mod story {
    use std::process::Command;

    use nix::sys::signal::Signal;

    use crate::lab::daemon::Daemon;
    use crate::lab::{until, until_or};
    use crate::stages::{Stages, both};
    use crate::world::{LIMIT, Looks, OURS, STOCK, World};

    const CONF: &str = include_str!("features.conf");

    /// How many destinations of the group are in the table, and those of the mark with weight 0.
    fn pool(rules: &[String]) -> (usize, usize) {
        let of_group = rules.iter().filter(|r| r.contains("-t 10.1.1.211:80 -r"));
        let inhibited = rules
            .iter()
            .filter(|r| r.ends_with("-w 0") || r.contains("-w 0 "));
        (of_group.count(), inhibited.count())
    }

    pub(super) fn the_kernel_holds_the_same_for_stock_and_for_ours() {
        let mut stages = Stages::default();
        for binary in [STOCK, OURS] {
            let world = World::new(&[11, 12]);
            let _first = world.serve(11);
            let second = world.serve(12);
            let mut daemon = world.start(binary, CONF, &["-C"]);
            let mut expect = |what: &str, daemon: &Daemon, ready: &dyn Fn(&[String]) -> bool| {
                let mut looks = Looks::default();
                stages.expect(what, &world, daemon, |w| {
                    looks.worth(w) && ready(&w.rules())
                });
            };
            daemon.wait_log_times("success.", 4);
            expect("checked", &daemon, &|r| {
                pool(r) == (2, 0) && r.iter().any(|r| r.contains("216") && r.contains("-w 7"))
            });
            drop(second);
            expect("one is dead, and the quorum with it", &daemon, &|r| {
                pool(r) == (1, 1)
            });
            let _second = world.serve(12);
            expect("it is back", &daemon, &|r| pool(r) == (2, 0));
            world.configure(&CONF.replace("weight 3", "weight 5").replace("sh-port", ""));
            daemon.signal(Signal::SIGHUP);
            expect("reloaded", &daemon, &|r| {
                r.iter().any(|r| r.contains("-w 5")) && !r.iter().any(|r| r.contains("sh-port"))
            });
            assert!(daemon.stop().success(), "{}", daemon.log());
            expect("stopped", &daemon, &|r| r.is_empty());
            stages.again();
        }
    }

    fn said(command: &str) -> String {
        let mut words = command.split_whitespace();
        let out = Command::new(words.next().expect("a program"))
            .args(words)
            .output()
            .expect("it is installed");
        let why = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{command}: {why}");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    const SMALL: &str = "\
virtual_server 10.1.1.201 80 {
  lb_algo rr
  lb_kind NAT
  protocol TCP
  real_server 10.1.1.11 80 {
  }
}
";

    pub(super) fn the_table_is_in_the_namespace_that_is_named() {
        let world = World::new(&[11]);
        said("ip netns add ka-ipvs");
        let conf = format!("net_namespace_ipvs ka-ipvs\n{SMALL}");
        let mut daemon = world.start(OURS, &conf, &["-C"]);
        daemon.wait_log_times("Gained quorum", 1);
        let there = || said("nsenter --net=/run/netns/ka-ipvs ipvsadm -Sn");
        let why = || {
            format!(
                "there: {:?}\nhere: {:?}\n{}",
                there(),
                world.rules(),
                daemon.log()
            )
        };
        until_or(why, LIMIT, || {
            there().contains("10.1.1.201:80").then_some(())
        });
        assert_eq!(world.rules(), [""; 0]);
        assert!(daemon.stop().success(), "{}", daemon.log());
        assert_eq!(there(), "");
        said("ip netns del ka-ipvs");
    }

    pub(super) fn timeouts_and_sync_daemons_come_and_go() {
        let seen = [STOCK, OURS].map(|binary| {
            let world = World::new(&[11]);
            let look = || {
                let daemon = world.ipvsadm("-l --daemon");
                world.ipvsadm("-l --timeout") + &daemon
            };
            let before = look();
            let settings = "global_defs {\n lvs_timeouts tcp 7200 udp 77\n \
                            lvs_sync_daemon eth0 id 9 maxlen 1400 port 8850 ttl 3 group 224.0.0.90\n}\n";
            let conf = format!("{settings}{SMALL}");
            let mut daemon = world.start(binary, &conf, &["-C"]);
            let mut found = Vec::new();
            let both = |text: &str| text.contains("master") && text.contains("backup");
            until("both daemons run", LIMIT, || {
                found = vec![look()];
                (both(&found[0]) && found[0].contains("7200")).then_some(())
            });
            world.configure(&conf.replace("tcp 7200 ", "").replace("id 9", "id 8"));
            daemon.signal(Signal::SIGHUP);
            until("they run anew", LIMIT, || {
                let now = look();
                let done = both(&now) && !now.contains("7200") && now.contains("syncid=8");
                done.then(|| found.push(now))
            });
            assert!(daemon.stop().success(), "{}", daemon.log());
            assert_eq!(look(), before, "{binary}");
            found
        });
        assert_eq!(seen[0], seen[1]);
    }

    pub(super) fn flushes_take_what_stock_takes() {
        let seen = both(|binary| {
            let world = World::new(&[]);
            let options = ["", "lvs_flush", "lvs_flush_on_stop", "lvs_flush_on_stop VS"];
            options.map(|option| {
                let mut found = Vec::new();
                // Somebody else's, one of them inside of what is ours.
                world.ipvsadm("-C");
                world.ipvsadm("-A -t 10.9.9.9:80 -s rr");
                world.ipvsadm("-a -t 10.9.9.9:80 -r 10.9.9.1:80 -m");
                let conf = format!("global_defs {{\n {option}\n}}\n{SMALL}");
                let mut daemon = world.start(binary, &conf, &["-C"]);
                let ours = "-t 10.1.1.201:80 -r 10.1.1.11:80 -m -w ";
                let has = |rules: &[String], weight| rules.contains(&format!("{ours}{weight}"));
                world.wait_rules_that(&daemon, |rules| has(rules, 1));
                found.push(world.rules());
                world.ipvsadm("-a -t 10.1.1.201:80 -r 10.1.1.99:80 -m");
                // Only a start flushes, no reload.
                let heavier = conf.replace("11 80 {", "11 80 {\n weight 7");
                world.configure(&heavier);
                daemon.signal(Signal::SIGHUP);
                world.wait_rules_that(&daemon, |rules| has(rules, 7));
                found.push(world.rules());
                assert!(daemon.stop().success(), "{}", daemon.log());
                found.push(world.rules());
                let told = daemon.log().matches("Shutting down service").count();
                (option, found, told)
            })
        });
        assert_eq!(seen[1], seen[0], "ours, then stock's");
    }
}
