//! Groups, marks, tunnels, flags, weights and thresholds: the kernel holds the same for stock keepalived and for ours.

crate::guests! {
    the_kernel_holds_the_same_for_stock_and_for_ours
}

mod story {
    use nix::sys::signal::Signal;

    use crate::lab::daemon::Daemon;
    use crate::lab::until;
    use crate::world::{LIMIT, OURS, STOCK, World};

    const CONF: &str = include_str!("features.conf");

    fn rules(world: &World) -> Vec<String> {
        let text = world.ipvsadm("-Sn");
        let mut rules: Vec<_> = text.lines().map(|l| l.trim_end().to_owned()).collect();
        rules.sort();
        rules
    }

    /// How many destinations of the group are in the table, and those of the mark with weight 0.
    fn pool(rules: &[String]) -> (usize, usize) {
        let of_group = rules.iter().filter(|r| r.contains("-t 10.1.1.211:80 -r"));
        let inhibited = rules
            .iter()
            .filter(|r| r.ends_with("-w 0") || r.contains("-w 0 "));
        (of_group.count(), inhibited.count())
    }

    pub(super) fn the_kernel_holds_the_same_for_stock_and_for_ours() {
        let mut stages: Vec<(&str, Vec<String>)> = Vec::new();
        for binary in [STOCK, OURS] {
            let world = World::new(&[11, 12]);
            let _first = world.serve(11);
            let second = world.serve(12);
            let mut daemon = world.start(binary, CONF, &["-C"]);
            let mut known = std::mem::take(&mut stages).into_iter();
            let mut expect =
                |what: &'static str, daemon: &Daemon, ready: &dyn Fn(&[String]) -> bool| {
                    let mut last = Vec::new();
                    let wanted = known.next().map(|(_, rules)| rules);
                    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        until(what, LIMIT, || {
                            last = rules(&world);
                            let done = match &wanted {
                                Some(wanted) => last == *wanted,
                                None => ready(&last),
                            };
                            done.then_some(())
                        });
                    }));
                    assert!(
                        found.is_ok(),
                        "{what}, {binary}: not {wanted:#?} but {last:#?}\n{}",
                        daemon.log()
                    );
                    stages.push((what, last));
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
        }
    }
}
