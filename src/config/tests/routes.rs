//! The lines of routes, rules and static addresses.

use std::net::IpAddr;

use super::super::fake::Fake;
use super::INSTANCE;
use crate::model::Config;
use crate::model::net::{Family, Scope};
use crate::model::route::{Encap, Metric, Prefix, Protocol, RouteType, RuleAction, Table};

/// The model and the messages that change an exit status.
fn read(text: &str) -> (Config, Vec<String>) {
    let mut fake = Fake::with(text);
    let tables = b"100 blue\n".to_vec();
    fake.files.insert("/etc/iproute2/rt_tables".into(), tables);
    let loaded = fake.load();
    let said = loaded
        .diags
        .iter()
        .filter(|d| d.weight > super::super::source::Weight::Log);
    let said = said.map(|d| d.text.clone()).collect();
    (Config::clone(&loaded.config), said)
}

fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address of this test")
}

#[test]
fn a_route_is_read_in_any_order_of_its_words() {
    let (config, said) = read(
        "static_routes {\n blackhole 10.6.0.0/16\n table blue dev eth0 default via 192.0.2.1 metric 5 mtu lock 1400 rtt 1.5s\n}\n",
    );
    assert_eq!(said, [""; 0]);
    let [hole, default] = &config.statics.routes[..] else {
        panic!("two routes: {:?}", config.statics.routes);
    };
    assert_eq!((hole.entry.kind, hole.entry.dest.len), (RouteType(6), 16));
    let default = &default.entry;
    assert_eq!(default.dest, Prefix::any(Family::V4));
    assert_eq!(default.via, Some(addr("192.0.2.1")));
    assert_eq!((default.table, default.priority), (Table(100), Some(5)));
    assert_eq!(
        (default.protocol, default.scope),
        (Protocol::KEEPALIVED, Scope(0))
    );
    let mtu = &default.metrics[&Metric::Mtu];
    assert_eq!((mtu.value, mtu.locked), (1400, true));
    assert_eq!(default.metrics[&Metric::Rtt].value, 1500 * 8);
}

#[test]
fn hops_and_tunnels_are_read() {
    let (config, said) = read(
        "static_routes {\n 10.0.0.0/8 nexthop via 192.0.2.1 weight 3 nexthop dev eth1 encap mpls 100/200\n 2001:db8::/32 dev eth0 encap ip6 id 7 dst 2001:db8:1::1 hoplimit 9 metric 1\n}\n",
    );
    assert_eq!(said, [""; 0]);
    let hops = &config.statics.routes[0].entry.nexthops;
    assert_eq!(
        (hops[0].weight, hops[1].encap.clone()),
        (Some(3), Some(Encap::Mpls(vec![100, 200])))
    );
    let six = &config.statics.routes[1].entry;
    assert_eq!((six.family, six.priority), (Family::V6, Some(1)));
    assert!(matches!(&six.encap, Some(Encap::Ip6(h)) if h.id == Some(7) && h.ttl == Some(9)));
}

#[test]
fn a_bad_word_drops_its_line_only() {
    let (config, said) = read(
        "static_routes {\n 10.0.0.0/8 dev eth0 metric x\n 10.1.0.0/16 dev eth0 via 2001:db8::1\n 10.2.0.0/16 dev eth0\n}\n",
    );
    assert_eq!(config.statics.routes.len(), 1);
    assert_eq!(
        said,
        [
            "metric: invalid number 'x'",
            "Cannot mix IPv4 and IPv6 addresses for route"
        ]
    );
}

#[test]
fn a_word_without_its_value_ends_reading() {
    let loaded = Fake::with("static_routes {\n 10.0.0.0/8 dev eth0 mtu\n}\n").load();
    assert_eq!(loaded.test_exit(), 2);
    let text = "*** Configuration line starting `10.0.0.0/8` is missing a parameter after keyword `mtu` at word position 5";
    assert!(loaded.diags.iter().any(|d| d.text == text));
}

#[test]
fn rules_without_a_preference_count_down_in_the_order_of_the_file() {
    let (config, said) = read(&format!(
        "static_rules {{\n from 10.0.0.0/8 table 5\n}}\n{INSTANCE} virtual_rules {{\n to 10.0.0.0/8 lookup blue\n iif eth0 goto 50 preference 10\n }}\n}}\nstatic_rules {{\n not fwmark 0x10/0xff blackhole\n}}\n"
    ));
    let warned = |n: u32| {
        format!(
            "Rule has no preference specified - setting to {n}. This is probably not what you want."
        )
    };
    assert_eq!(said, [warned(16384), warned(16383), warned(16382)]);
    let rules = &config.instances[0].rules;
    assert_eq!(
        (rules[0].preference, rules[0].action),
        (16383, RuleAction::Table(Table(100)))
    );
    assert_eq!(
        (rules[1].preference, rules[1].action),
        (10, RuleAction::Goto(50))
    );
    let last = &config.statics.rules[1].entry;
    assert!(last.invert && last.fwmark.is_some_and(|m| (m.value, m.mask) == (16, 255)));
    assert_eq!(last.preference, 16382);
}

#[test]
fn static_entries_follow_groups_that_are_defined_before_them() {
    let (config, said) = read(&format!(
        "{INSTANCE}}}\ntrack_group G {{\n group {{ V nobody }}\n}}\nstatic_ipaddress {{\n 192.0.2.7/24 track_group G\n 192.0.2.8/24 dev eth1 track_group H\n}}\n"
    ));
    assert_eq!(said, ["track_group H not found"]);
    let [first, second] = &config.statics.addresses[..] else {
        panic!("two addresses: {:?}", config.statics.addresses);
    };
    assert_eq!(first.entry.dev.as_str(), "eth0");
    assert_eq!(
        (first.group.as_deref(), second.group.as_deref()),
        (Some("G"), None)
    );
    assert_eq!(config.track_groups[0].members.len(), 1);
}
