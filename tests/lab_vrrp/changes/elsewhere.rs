//! What a router holds on other interfaces than its own: such an interface must be up, too, or somebody else had better be
//! master. Beside stock, for everything that names an interface.

use crate::kernel::{PATIENCE, conf};
use crate::lab::daemon::now;
use crate::lab::frame::Seen;
use crate::lab::{poll, root};
use crate::routers::Which::{self, Ours, Stock};
use crate::routers::{VIP, lan};

/// Whether a master gives up when eth1 goes down; then it must come back with it.
fn gives_up(which: Which, addresses: &str, more: &str) -> bool {
    let lan = lan();
    let node = lan.node(0);
    node.ip("link add eth1 type veth peer name far");
    node.ip("link set far up");
    node.ip("link set eth1 up");
    node.ip("addr add 10.67.0.1/24 dev eth1");
    let router = which.start(node, &conf("", &format!("{VIP}/24\n {addresses}"), more));
    node.wait_has(VIP, true);
    router.wait_log("(V) Entering MASTER STATE");
    node.ip("link set eth1 down");
    let down = now();
    let decided = poll(PATIENCE, || {
        let goes_on = |s: &&Seen| s.at > down && s.priority() == Some(150);
        let adverts = lan.events().iter().filter(goes_on).count();
        match router.log().contains("(V) Entering FAULT STATE") {
            true => Some(true),
            false => (adverts > 15).then_some(false),
        }
    });
    let gave_up = decided.unwrap_or_else(|| panic!("neither\n{}", lan.story()));
    if gave_up {
        node.wait_has(VIP, false);
        node.ip("link set eth1 up");
        router.wait_log_times("(V) Entering MASTER STATE", 2);
        node.wait_has(VIP, true);
    }
    gave_up
}

fn as_stock(wanted: bool, addresses: &str, more: &str) {
    if !root() {
        return;
    }
    let both = std::thread::scope(|scope| {
        let stock = scope.spawn(|| gives_up(Stock, addresses, more));
        (
            gives_up(Ours, addresses, more),
            stock.join().expect("stock runs"),
        )
    });
    assert_eq!(both, (wanted, wanted), "{addresses} {more}: ours, stock");
}

macro_rules! cases {
    ($($name:ident: $wanted:literal, $addresses:literal, $more:literal;)*) => {$(
        #[test]
        fn $name() {
            as_stock($wanted, $addresses, $more);
        }
    )*};
}

cases! {
    an_address_elsewhere_needs_its_interface: true, "10.67.0.100/24 dev eth1", "dont_track_primary";
    an_address_elsewhere_that_is_not_tracked_does_not: false, "10.67.0.100/24 dev eth1 no_track", "";
    a_weight_of_its_interface_changes_nothing: true, "10.67.0.100/24 dev eth1", "track_interface {\n eth1 weight 10\n }";
    an_address_with_a_vmac_elsewhere_needs_it: true, "10.67.0.100/24 dev eth1 use_vmac", "";
    an_excluded_address_needs_its_interface: true, "", "virtual_ipaddress_excluded {\n 10.67.0.100/24 dev eth1\n }";
    a_route_needs_its_interface: true, "", "virtual_routes {\n 10.70.0.0/16 via 10.67.0.9 dev eth1\n }";
    a_route_that_is_not_tracked_does_not: false, "", "virtual_routes {\n 10.70.0.0/16 via 10.67.0.9 dev eth1 no_track\n }";
    a_route_with_several_hops_does_not: false, "", "virtual_routes {\n 10.70.0.0/16 nexthop via 10.67.0.9 dev eth1 nexthop via 10.66.0.9 dev eth0\n }";
    a_rule_needs_where_packets_come_from: true, "", "virtual_rules {\n iif eth1 table 7 priority 70\n }";
    a_rule_needs_where_packets_go: true, "", "virtual_rules {\n oif eth1 table 7 priority 70\n }";
}
