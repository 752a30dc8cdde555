//! Every way to speak: authentication header, unicast, version 3, over IPv4 and IPv6. Election, failover and failback,
//! ours with ours and either with stock.

use crate::with_every_pair;

with_every_pair! {
    version_2_with_an_authentication_header
    version_2_unicast
    version_3_unicast_with_checked_peers
    version_3_over_ipv4
    version_3_over_ipv6
    version_3_unicast_over_ipv6
}

mod story {
    use std::time::Duration;

    use crate::lab::daemon::now;
    use crate::lab::{Lan, Node};
    use crate::routers::{Which, assert_on_time, lan};

    /// A way to speak: what stands in the configuration, and the bound on a takeover by priority 100.
    struct Dialect {
        /// Lines of the instance; `@ME` and `@PEER` are the last octets of the routers' addresses.
        lines: &'static str,
        vip: &'static str,
        down: Duration,
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

    /// The better router is elected, replaced when it is killed, and comes back.
    fn comes_and_goes(dialect: &Dialect, a: Which, b: Which) {
        let lan: Lan = lan();
        both_families(lan.node(0), 1);
        both_families(lan.node(1), 2);
        let mut master = a.start(lan.node(0), &conf(dialect, 0, 150));
        lan.node(0).wait_has(dialect.vip, true);
        let backup = b.start(lan.node(1), &conf(dialect, 1, 100));
        backup.wait_log("Entering BACKUP STATE");
        // The backup has heard it, and so will not speak.
        let heard = now();
        for n in 1..=4 {
            lan.wait("the master goes on", Duration::from_secs(20), |seen| {
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
        assert_eq!(
            early,
            0,
            "the backup spoke beside a live master\n{}",
            lan.story()
        );
        let last = lan
            .events()
            .into_iter()
            .rfind(|s| s.node == 0 && s.priority() == Some(150));
        let last = last.expect("it was master").at;
        let first = lan.advert("the backup takes over", 1, killed, |a| a.priority == 100);
        assert_on_time(&lan, "takeover", last, first.at, dialect.down);
        lan.node(1).wait_has(dialect.vip, true);
        let again = now();
        let _master = a.start(lan.node(0), &conf(dialect, 0, 150));
        lan.advert("the better router is back", 0, again, |a| a.priority == 150);
        lan.node(1).wait_has(dialect.vip, false);
        lan.node(0).wait_has(dialect.vip, true);
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
            },
            a,
            b,
        );
    }
}
