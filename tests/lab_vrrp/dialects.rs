//! Every way to speak: passwords, authentication header, unicast, version 3, over IPv4 and IPv6; and what moves along.
//! Election, failover and failback, ours with ours and either with stock.

use crate::with_every_pair;

with_every_pair! {
    version_2_with_a_password
    version_2_with_an_authentication_header
    version_2_unicast
    version_3_unicast_with_checked_peers
    version_3_over_ipv4
    version_3_over_ipv6
    version_3_unicast_over_ipv6
    addresses_that_are_not_listed
    routes_and_rules
}

mod story {
    use std::time::Duration;

    use crate::kernel::wait_shows;
    use crate::lab::daemon::now;
    use crate::lab::witness::stood_still;
    use crate::lab::{Lan, Node, PATIENCE};
    use crate::routers::{LATE, Which, assert_on_time, lan, last};

    /// A way to speak: what stands in the configuration, and the bound on a takeover by priority 100.
    struct Dialect {
        /// Lines of the instance; `@ME` and `@PEER` are the last octets of the routers' addresses.
        lines: &'static str,
        vip: &'static str,
        down: Duration,
        /// What else is on the master and nowhere else: an ip(8) command, and a text that it shows.
        moves: &'static [(&'static str, &'static str)],
    }

    /// Three intervals and the skew time of priority 100.
    const SECOND_V2: Duration = Duration::from_micros(3_609_375);
    const TENTH_V3: Duration = Duration::from_micros(360_937);

    const V4: &str = "virtual_ipaddress {\n 10.66.0.100/24\n }";
    const V6: &str = "virtual_ipaddress {\n fe80::100/64\n 2001:db8::100/64\n }";

    fn conf(dialect: &Dialect, node: usize, priority: u8) -> String {
        let (me, peer) = if node == 0 { ("1", "2") } else { ("2", "1") };
        let lines = dialect.lines.replace("@ME", me).replace("@PEER", peer);
        format!(
            "global_defs {{\n router_id lab\n script_user root\n vrrp_garp_master_repeat 1\n}}
vrrp_instance V {{\n state BACKUP\n interface eth0\n virtual_router_id 66\n priority {priority}\n {lines}\n}}\n"
        )
    }

    /// Each router may be heard over IPv6 too, at once.
    fn both_families(node: &Node, n: usize) {
        node.ip(&format!("addr add 2001:db8::{n}/64 dev eth0 nodad"));
        node.ip(&format!("addr add fe80::{n}/64 dev eth0 nodad"));
    }

    /// Everything is on this node, or nothing.
    fn carries(lan: &Lan, dialect: &Dialect, node: usize, wanted: bool) {
        lan.node(node).wait_has(dialect.vip, wanted);
        for (command, text) in dialect.moves {
            wait_shows(lan.node(node), command, text, wanted);
        }
    }

    /// The better router is elected, replaced when it is killed, and comes back.
    fn comes_and_goes(dialect: &Dialect, a: Which, b: Which) {
        let lan: Lan = lan();
        both_families(lan.node(0), 1);
        both_families(lan.node(1), 2);
        let mut master = a.start(lan.node(0), &conf(dialect, 0, 150));
        carries(&lan, dialect, 0, true);
        let started = now();
        let backup = b.start(lan.node(1), &conf(dialect, 1, 100));
        backup.wait_log("Entering BACKUP STATE");
        carries(&lan, dialect, 1, false);
        // The backup has heard it, and so will not speak.
        let heard = now();
        for n in 1..=4 {
            lan.wait("the master goes on", PATIENCE, |seen| {
                let adverts = seen.iter().filter(|s| s.node == 0 && s.at > heard);
                (adverts.filter(|s| s.priority() == Some(150)).count() >= n).then_some(())
            });
        }
        let killed = master.kill();
        let silent = |s: &&crate::lab::frame::Seen| s.node == 1 && s.at < killed;
        let early = lan
            .events()
            .iter()
            .filter(silent)
            .filter(|s| s.advert().is_some())
            .count();
        // A machine that stands still for a part of the down time makes masters of backups, as the protocol has it.
        let stalled = stood_still(started, killed) > dialect.down / 4;
        assert!(
            stalled || early == 0,
            "the backup spoke beside a live master\n{}",
            lan.story()
        );
        let first = lan.advert("the backup takes over", 1, killed, |a| a.priority == 100);
        let from = last(&lan, 0, 150, &first).at;
        assert_on_time(&lan, "takeover", from, first.at, dialect.down);
        carries(&lan, dialect, 1, true);
        let again = now();
        let _master = a.start(lan.node(0), &conf(dialect, 0, 150));
        let back = lan.advert("the better router is back", 0, again, |a| a.priority == 150);
        carries(&lan, dialect, 1, false);
        carries(&lan, dialect, 0, true);
        let two = |s: &&crate::lab::frame::Seen| {
            let late = s.at > back.at + u64::try_from(LATE.as_nanos()).expect("it fits");
            s.node == 1 && late && s.advert().is_some()
        };
        let stalled = stood_still(back.at, now());
        assert!(
            stalled > dialect.down / 4 || !lan.events().iter().any(|s| two(&s)),
            "two masters\n{}",
            lan.story()
        );
    }

    pub(super) fn version_2_with_a_password(a: Which, b: Which) {
        let lines = format!(
            "advert_int 1\n authentication {{\n auth_type PASS\n auth_pass s3cret\n }}\n {V4}"
        );
        comes_and_goes(
            &Dialect {
                lines: lines.leak(),
                vip: "10.66.0.100",
                down: SECOND_V2,
                moves: &[],
            },
            a,
            b,
        );
    }

    pub(super) fn addresses_that_are_not_listed(a: Which, b: Which) {
        let lines = format!(
            "version 3\n advert_int 0.1\n {V4}
 virtual_ipaddress_excluded {{\n 10.67.0.200/24\n 2001:db8:1::200/64\n }}"
        );
        comes_and_goes(
            &Dialect {
                lines: lines.leak(),
                vip: "10.66.0.100",
                down: TENTH_V3,
                moves: &[
                    ("addr show dev eth0", "10.67.0.200/24"),
                    ("addr show dev eth0", "2001:db8:1::200/64"),
                ],
            },
            a,
            b,
        );
    }

    pub(super) fn routes_and_rules(a: Which, b: Which) {
        let lines = format!(
            "version 3\n advert_int 0.1\n {V4}
 virtual_routes {{\n 10.68.0.0/16 via 10.66.0.9 dev eth0\n 10.69.0.0/16 via 10.66.0.9 dev eth0 table 7\n
 2001:db8:2::/64 via fe80::9 dev eth0\n }}
 virtual_rules {{\n from 10.69.0.0/16 table 7 priority 70\n }}"
        );
        comes_and_goes(
            &Dialect {
                lines: lines.leak(),
                vip: "10.66.0.100",
                down: TENTH_V3,
                moves: &[
                    ("route", "10.68.0.0/16"),
                    ("route show table all", "10.69.0.0/16"),
                    ("-6 route", "2001:db8:2::/64"),
                    ("rule", "from 10.69.0.0/16 lookup 7"),
                ],
            },
            a,
            b,
        );
    }

    pub(super) fn version_2_with_an_authentication_header(a: Which, b: Which) {
        let lines = format!(
            "advert_int 1\n authentication {{\n auth_type AH\n auth_pass s3cret\n }}\n {V4}"
        );
        comes_and_goes(
            &Dialect {
                lines: lines.leak(),
                vip: "10.66.0.100",
                down: SECOND_V2,
                moves: &[],
            },
            a,
            b,
        );
    }

    pub(super) fn version_2_unicast(a: Which, b: Which) {
        let lines =
            format!("unicast_src_ip 10.66.0.@ME\n unicast_peer {{\n 10.66.0.@PEER\n }}\n {V4}");
        comes_and_goes(
            &Dialect {
                lines: lines.leak(),
                vip: "10.66.0.100",
                down: SECOND_V2,
                moves: &[],
            },
            a,
            b,
        );
    }

    pub(super) fn version_3_unicast_with_checked_peers(a: Which, b: Which) {
        let lines = format!(
            "version 3\n advert_int 0.1\n unicast_ttl 9\n unicast_peer {{\n 10.66.0.@PEER min_ttl 9 max_ttl 9\n }}\n {V4}"
        );
        comes_and_goes(
            &Dialect {
                lines: lines.leak(),
                vip: "10.66.0.100",
                down: TENTH_V3,
                moves: &[],
            },
            a,
            b,
        );
    }

    pub(super) fn version_3_over_ipv4(a: Which, b: Which) {
        let lines = format!("version 3\n advert_int 0.1\n mcast_src_ip 10.66.0.@ME\n {V4}");
        comes_and_goes(
            &Dialect {
                lines: lines.leak(),
                vip: "10.66.0.100",
                down: TENTH_V3,
                moves: &[],
            },
            a,
            b,
        );
    }

    pub(super) fn version_3_over_ipv6(a: Which, b: Which) {
        let lines = format!("advert_int 0.1\n {V6}");
        comes_and_goes(
            &Dialect {
                lines: lines.leak(),
                vip: "2001:db8::100",
                down: TENTH_V3,
                moves: &[],
            },
            a,
            b,
        );
    }

    pub(super) fn version_3_unicast_over_ipv6(a: Which, b: Which) {
        let lines = format!(
            "advert_int 0.1\n unicast_src_ip 2001:db8::@ME\n unicast_peer {{\n 2001:db8::@PEER\n }}\n {V6}"
        );
        comes_and_goes(
            &Dialect {
                lines: lines.leak(),
                vip: "2001:db8::100",
                down: TENTH_V3,
                moves: &[],
            },
            a,
            b,
        );
    }
}
