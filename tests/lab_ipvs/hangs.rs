//! Scripts that never end, and do not mind being asked to: across a reload, and at a stop.

crate::guests! {
    scripts_that_hang_hold_up_neither_a_reload_nor_a_stop
}

mod story {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use nix::sys::signal::Signal;

    use crate::lab::{until, until_or};
    use crate::world::{LIMIT, OURS, World};

    /// What a stop may take: scripts have three seconds, and the guest is slow.
    const STOP: Duration = Duration::from_secs(12);

    fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        let text = text.replace("DIR", &dir.display().to_string());
        fs::write(&path, format!("#!/bin/sh\n{text}")).expect("our own directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
        path
    }

    /// The process numbers of those that have begun.
    fn begun(dir: &Path, name: &str) -> Vec<u32> {
        let text = fs::read_to_string(dir.join(name)).unwrap_or_default();
        text.lines().filter_map(|l| l.trim().parse().ok()).collect()
    }

    fn lives(pid: u32) -> bool {
        // Who has ended and was not yet asked for it is a zombie: without a command line.
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|text| !text.is_empty())
    }

    /// Real servers by last octet, each with its `misc_path`.
    fn conf(dir: &Path, servers: &[(u8, &str)]) -> String {
        let dir = dir.display();
        let mut conf = String::from(
            "global_defs {\nrouter_id r1\nscript_user root\nrs_init_notifies\n}
virtual_server 10.1.1.201 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\ndelay_loop 1\n",
        );
        for (last, path) in servers {
            conf += &format!(
                "real_server 10.1.1.{last} 80 {{\nnotify_up {dir}/told.sh\nMISC_CHECK {{\nmisc_path {path}
misc_timeout 600\nwarmup 0\nretry 0\n}}\n}}\n"
            );
        }
        conf + "}\n"
    }

    pub(super) fn scripts_that_hang_hold_up_neither_a_reload_nor_a_stop() {
        let world = World::new(&[]);
        let dir = world
            .configure("")
            .parent()
            .expect("a directory")
            .to_owned();
        let at = |name: &str| dir.join(name).display().to_string();
        // It takes no notice of SIGTERM, nor does what it has started.
        const DEAF: &str = "trap '' TERM\n(echo $(sh -c 'echo $PPID') >>DIR/NAME; sleep 1000) &\necho $$ >>DIR/NAME\nwait\n";
        script(&dir, "deaf.sh", &DEAF.replace("NAME", "deaf"));
        script(&dir, "told.sh", &DEAF.replace("NAME", "told"));
        // Asked to end, it says that all is lost.
        let text = "trap 'exit 1' TERM\necho $$ >>DIR/old\nwhile :; do sleep 1 & wait; done\n";
        script(&dir, "old.sh", text);
        script(&dir, "well.sh", "exit 0\n");
        let (old, deaf, well) = (at("old.sh"), at("deaf.sh"), at("well.sh"));
        let first = conf(&dir, &[(11, &old), (12, &deaf)]);
        let mut daemon = world.start(OURS, &first, &["-C"]);
        let running = |name: &str, count: usize| {
            until_or(
                || format!("{name}: not {count} but {:?}", begun(&dir, name)),
                LIMIT,
                || {
                    let all = begun(&dir, name);
                    (all.len() >= count).then_some(all)
                },
            )
        };
        // Of each two processes, of the one that is told for each real server.
        let (before, kept) = (running("old", 1), running("deaf", 2));
        let told = running("told", 4);
        let pool = |servers: &[u8]| {
            let mut rules = vec!["-t 10.1.1.201:80 -s rr".to_owned()];
            let dest = |n| format!("-t 10.1.1.201:80 -r 10.1.1.{n}:80 -m -w 1");
            rules.extend(servers.iter().map(dest));
            rules
        };
        let expect = |what: &str, daemon: &_, servers: &[u8]| {
            let rules = pool(servers);
            let rules: Vec<_> = rules.iter().map(String::as_str).collect();
            world.wait_rules(what, daemon, &rules);
        };
        expect("both serve", &daemon, &[11, 12]);
        // One checker is another one now; its old script is ended, and what that says does not count.
        world.configure(&conf(&dir, &[(11, &well), (12, &deaf)]));
        daemon.signal(Signal::SIGHUP);
        daemon.wait_log("well.sh] succeeded.");
        until("the old script has ended", LIMIT, || {
            before.iter().all(|pid| !lives(*pid)).then_some(())
        });
        assert!(!daemon.log().contains("failed"), "{}", daemon.log());
        expect("both serve still", &daemon, &[11, 12]);
        // What did not change goes on, and nobody has ended what was told.
        for pid in kept.iter().chain(&told) {
            assert!(lives(*pid), "{pid} was ended\n{}", daemon.log());
        }
        // The real server goes, and with it its checker with all that this has started.
        world.configure(&conf(&dir, &[(11, &well)]));
        daemon.signal(Signal::SIGHUP);
        expect("one has gone", &daemon, &[11]);
        until("all of its script has ended", LIMIT, || {
            kept.iter().all(|pid| !lives(*pid)).then_some(())
        });
        // A stop waits for nobody.
        world.configure(&conf(&dir, &[(11, &well), (13, &deaf)]));
        daemon.signal(Signal::SIGHUP);
        let last = running("deaf", 4);
        let began = Instant::now();
        assert!(daemon.stop().success(), "{}", daemon.log());
        assert!(began.elapsed() < STOP, "{:?}", began.elapsed());
        assert_eq!(world.rules(), [""; 0]);
        // Nobody is left behind: no checker's script, and none that was told something.
        until("all scripts have ended", LIMIT, || {
            let mut all = last.iter().chain(&told);
            all.all(|pid| !lives(*pid)).then_some(())
        });
    }
}
