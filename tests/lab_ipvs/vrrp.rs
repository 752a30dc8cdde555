//! VRRP on what the kernel of this machine may not have: ipvlans, VRFs, a clock that may be set, IPVS beside it.

crate::guests! {
    ipvlans_vrfs_and_a_clock_that_jumps
    sync_daemons_of_ipvs_follow_their_instance
}

mod story {
    use std::process::Command;

    use nix::sys::signal::Signal;

    use crate::lab::daemon::Daemon;
    use crate::lab::frame::Seen;
    use crate::lab::{Lan, Node, until_or};
    use crate::routers::Which::{self, Ours, Stock};
    use crate::routers::lan;
    use crate::world::LIMIT;

    const VIP: &str = "10.66.0.100";

    fn conf(priority: u8, more: &str) -> String {
        format!(
            "global_defs {{\n router_id lab\n}}
vrrp_instance V {{
    interface eth0
    virtual_router_id 66
    priority {priority}
    version 3
    advert_int 0.5
    {more}
    virtual_ipaddress {{
        {VIP}/24
    }}
}}
"
        )
    }

    pub(super) fn ipvlans_vrfs_and_a_clock_that_jumps() {
        ipvlans();
        vrfs();
        clocks();
    }

    /// What a master, a router in FAULT and nobody at all have for sync daemons; `global` and `inside`: where they are asked for.
    fn followed(which: Which, global: &str, inside: &str) -> [String; 3] {
        let servers =
            "virtual_server 10.66.0.100 80 {\n protocol TCP\n real_server 10.66.0.9 80 {\n }\n}\n";
        let text = conf(150, inside).replace("router_id lab", &format!("router_id lab\n {global}"));
        let lan = lan();
        let node = lan.node(0);
        let look = || {
            let mut ipvsadm = Command::new("ipvsadm");
            let out = node.ns.run(|| ipvsadm.args(["-l", "--daemon"]).output());
            let out = out.expect("ipvsadm is installed").stdout;
            String::from_utf8_lossy(&out).trim().to_owned()
        };
        // One is started and the other one stopped, not both at once.
        let wait = |what: &str| {
            let story = || format!("{which:?}: {what}\n{}\n{}", look(), node.last_log());
            let alone = |l: &String| l.contains(what) && l.lines().count() == 1;
            until_or(story, LIMIT, || Some(look()).filter(alone))
        };
        let mut daemon = which.start(node, &(text + servers));
        wait_on(node, "eth0", true);
        let master = wait("master sync daemon");
        lan.cable(0, false);
        daemon.wait_log("Entering FAULT STATE");
        let fault = wait("backup sync daemon");
        lan.cable(0, true);
        assert_eq!(wait("master sync daemon"), master);
        daemon.stop();
        [master, fault, look()]
    }

    pub(super) fn sync_daemons_of_ipvs_follow_their_instance() {
        for (global, inside, id) in [
            ("lvs_sync_daemon eth0 V", "", 66),
            ("lvs_sync_daemon eth0 inst V id 7", "", 7),
            ("", "lvs_sync_daemon_interface eth0", 0),
        ] {
            let seen = [Stock, Ours].map(|which| followed(which, global, inside));
            assert_eq!(seen[0], seen[1], "{global} {inside}");
            assert_eq!(seen[1][2], "", "{global} {inside}");
            assert!(seen[1][0].contains(&format!("syncid={id},")), "{seen:?}");
        }
    }

    fn wait_on(node: &Node, interface: &str, wanted: bool) {
        let found = || {
            let all = node.ns.addresses();
            let vip = (interface.to_owned(), VIP.parse().expect("an address"));
            (all.contains(&vip) == wanted).then_some(())
        };
        let story = || format!("{VIP} on {interface}: {wanted}\n{}", node.last_log());
        until_or(story, LIMIT, found);
    }

    /// Kind, mode and addresses of the ipvlan of a master.
    fn ipvlan_of(node: &Node) -> (String, Vec<String>) {
        let text = node.ip("-d -o link show dev vrrp.66");
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words
            .iter()
            .position(|w| *w == "ipvlan")
            .expect("an ipvlan");
        let kind = words[at..at + 4].join(" ");
        let addresses = node.ip("-4 -o addr show dev vrrp.66");
        let addresses = addresses.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            words.find(|w| *w == "inet")?;
            words.next().map(str::to_owned)
        });
        (kind, addresses.collect())
    }

    fn ipvlans() {
        let lines = |n: usize| format!("use_ipvlan vrrp.66 10.66.0.{}/24", n + 7);
        let lan = lan();
        let (one, two) = (lan.node(0), lan.node(1));
        let start = |which: Which, n: usize, priority| -> Daemon {
            which.start(lan.node(n), &conf(priority, &lines(n)))
        };
        let mut ours = start(Ours, 0, 150);
        wait_on(one, "vrrp.66", true);
        let mut stock = start(Stock, 1, 100);
        stock.wait_log("Entering BACKUP STATE");
        let made = ipvlan_of(one);
        let gone = ours.terminate();
        lan.advert("stock takes over", 1, gone, |a| a.priority == 100);
        // 2.2 speaks from its ipvlan and leaves the addresses on the base.
        wait_on(two, "eth0", true);
        ours.wait_exit();
        assert!(!one.ns.try_ip("link show dev vrrp.66").status.success());
        let (kind, addresses) = ipvlan_of(two);
        assert_eq!(made.0, kind, "ours, stock");
        assert_eq!(addresses, ["10.66.0.8/24"]);
        assert_eq!(made.1, ["10.66.0.7/24", "10.66.0.100/24"]);
        let _ours = start(Ours, 0, 150);
        wait_on(one, "vrrp.66", true);
        wait_on(two, "eth0", false);
        stock.stop();
    }

    fn vrfs() {
        let lan = lan();
        for n in 0..2 {
            let node = lan.node(n);
            node.ip("link add blue type vrf table 10");
            node.ip("link set blue up");
            node.ip("link set eth0 master blue");
        }
        let mut ours = Ours.start(lan.node(0), &conf(150, ""));
        wait_on(lan.node(0), "eth0", true);
        let stock = Stock.start(lan.node(1), &conf(100, ""));
        stock.wait_log("Entering BACKUP STATE");
        several_adverts(&lan);
        assert!(!stock.log().contains("Entering MASTER"), "{}", stock.log());
        assert!(
            lan.node(0)
                .ip("route show table 10")
                .contains("10.66.0.0/24")
        );
        ours.stop();
        wait_on(lan.node(1), "eth0", true);
        let _ours = Ours.start(lan.node(0), &conf(150, ""));
        wait_on(lan.node(0), "eth0", true);
        wait_on(lan.node(1), "eth0", false);
    }

    /// Longer than a backup's patience.
    fn several_adverts(lan: &Lan) {
        // Counted, not timed: the clock may jump.
        let adverts = |seen: &[Seen]| {
            let of_master = |s: &&Seen| s.node == 0 && s.priority() == Some(150);
            seen.iter().filter(of_master).count()
        };
        let before = adverts(&lan.events());
        lan.wait("adverts of the master", LIMIT, |seen| {
            (adverts(seen) >= before + 8).then_some(())
        });
    }

    fn clocks() {
        let lan = lan();
        let signed = "auth_hmac {\n key 1 quiet-otters-carry-purple-lanterns\n active_key 1\n }";
        let master = Ours.start(lan.node(0), &conf(150, signed));
        wait_on(lan.node(0), "eth0", true);
        let backup = Ours.start(lan.node(1), &conf(100, signed));
        backup.wait_log("Entering BACKUP STATE");
        several_adverts(&lan);
        let before = master.log().matches("Entering").count();
        // Both live by the same clock; what counts for them is the monotonic one.
        for step in ["+1 hour", "-2 hours", "+1 hour"] {
            let set = Command::new("date").args(["-s", step]).output();
            assert!(set.expect("coreutils").status.success(), "date -s {step}");
            several_adverts(&lan);
            assert_eq!(master.log().matches("Entering").count(), before, "{step}");
            assert!(
                !backup.log().contains("MASTER STATE"),
                "{step}\n{}",
                backup.log()
            );
        }
        // Whoever is stopped for longer than others are patient listens first, whatever the clock shows meanwhile.
        master.signal(Signal::SIGSTOP);
        wait_on(lan.node(1), "eth0", true);
        let set = Command::new("date").args(["-s", "-1 hour"]).status();
        assert!(set.expect("coreutils").success());
        master.signal(Signal::SIGCONT);
        master.wait_log("woke up too late");
        wait_on(lan.node(1), "eth0", false);
        wait_on(lan.node(0), "eth0", true);
    }
}
