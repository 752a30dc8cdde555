use std::fmt::Write;
use std::io::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::sys::addr::{self, AddressKey, AddressOptions};
use crate::sys::netlink::RouteSocket;
use crate::sys::testnet::{eventually, in_namespace_async, index, ip, veth};

fn plain(index: u32, addr: &str, prefix_len: u8) -> (AddressKey, AddressOptions) {
    let local = addr.parse().expect("an address");
    let key = AddressKey {
        index,
        local,
        remote: local,
        prefix_len,
    };
    let options = AddressOptions {
        label: None,
        broadcast: None,
        scope: 0,
        flags: if local.is_ipv6() {
            addr::flag::NODAD
        } else {
            0
        },
        preferred_lft: None,
    };
    (key, options)
}

/// Addresses of an interface in ip(8)'s order, one per line.
fn shown(name: &str) -> String {
    let mut lines = String::new();
    for line in ip(&format!("-o addr show dev {name}")).lines() {
        let addr = line.split_whitespace().nth(3).expect("an address");
        writeln!(lines, "{addr}").expect("memory");
    }
    lines
}

/// The same by the picture.
fn pictured(view: &View, index: u32) -> String {
    let mut lines = String::new();
    for key in view.addresses().filter(|key| key.index == index) {
        writeln!(lines, "{}/{}", key.local, key.prefix_len).expect("memory");
    }
    lines
}

/// Link-local addresses of veth pairs end their duplicate address detection at some time: without it, now.
fn settle(names: &[&str]) {
    for name in names {
        eventually("duplicate address detection ends", || {
            !ip(&format!("-o addr show dev {name}")).contains("tentative")
        });
    }
}

#[test]
fn the_first_reading_holds_links_and_addresses_that_were_there() {
    in_namespace_async(|| async {
        veth("a", "b");
        ip("addr add 10.0.0.1/24 dev a");
        ip("link set dev b mtu 1400 address 02:00:00:00:00:07");
        let mut monitor = Monitor::open().expect("a monitor");
        let changes = monitor.drain();
        let link = |name: &str| {
            let mut of_name = changes.iter().filter_map(|c| match c {
                Change::Link(link) if link.name == name => Some(link.clone()),
                Change::Link(_)
                | Change::LinkGone(_)
                | Change::AddressNew(_)
                | Change::AddressChecked { .. }
                | Change::AddressGone { .. } => None,
            });
            of_name.next_back().expect("the link")
        };
        let (a, b) = (link("a"), link("b"));
        assert_eq!(a.index, index("a"));
        assert_eq!(a.flags & 0x41, 0x41);
        assert_eq!(a.addresses[0].local.to_string(), "10.0.0.1");
        assert_eq!((b.mtu, b.mac), (1400, [2, 0, 0, 0, 0, 7]));
        assert_eq!(monitor.view().index_of("b"), Some(index("b")));
        assert!(monitor.view().has("127.0.0.1".parse().expect("an address")));
    });
}

#[test]
fn changes_say_who_made_them() {
    in_namespace_async(|| async {
        veth("a", "b");
        settle(&["a", "b"]);
        let mut monitor = Monitor::open().expect("a monitor");
        let mut route = RouteSocket::open().expect("a socket");
        monitor.drain();
        let (key, options) = plain(index("a"), "10.0.0.1", 24);
        assert_eq!(route.execute(vec![addr::add(&key, &options)]), [Ok(())]);
        assert_eq!(route.execute(vec![addr::del(&key)]), [Ok(())]);
        let changes = monitor.drain();
        assert_eq!(changes[0], Change::AddressNew(key));
        let by = Some(route.port());
        assert_eq!(changes[1], Change::AddressGone { key, by });
        assert!(matches!(&changes[2], Change::Link(link) if link.name == "a"));
        assert_eq!(changes.len(), 3);

        route.execute(vec![addr::add(&key, &options)]);
        ip("addr del 10.0.0.1/24 dev a");
        let changes = monitor.drain();
        assert!(matches!(changes[1], Change::AddressGone { by, .. } if by != Some(route.port())));
    });
}

#[test]
fn a_link_that_goes_down_and_up_is_told_twice_and_its_end_once() {
    in_namespace_async(|| async {
        veth("a", "b");
        settle(&["a", "b"]);
        let mut monitor = Monitor::open().expect("a monitor");
        monitor.drain();
        let a = index("a");
        ip("link set dev a down");
        ip("link set dev a up");
        ip("link set dev a name c");
        let running: Vec<_> = monitor
            .drain()
            .iter()
            .filter_map(|change| match change {
                Change::Link(link) if link.index == a => Some((link.name.clone(), link.flags & 1)),
                Change::Link(_)
                | Change::LinkGone(_)
                | Change::AddressNew(_)
                | Change::AddressChecked { .. }
                | Change::AddressGone { .. } => None,
            })
            .collect();
        assert!(running.contains(&("a".to_owned(), 0)));
        assert_eq!(running.last(), Some(&("c".to_owned(), 1)));
        assert_eq!(monitor.view().index_of("a"), None);
        assert_eq!(monitor.view().index_of("c"), Some(a));
        ip("link del dev c");
        let gone = Change::LinkGone(a);
        assert_eq!(monitor.drain().iter().filter(|c| **c == gone).count(), 1);
        assert_eq!(monitor.view().index_of("c"), None);
    });
}

#[test]
fn forwarding_is_followed() {
    in_namespace_async(|| async {
        veth("a", "b");
        let mut monitor = Monitor::open().expect("a monitor");
        monitor.drain();
        let switch = "/proc/sys/net/ipv6/conf/a/forwarding";
        if std::fs::write(switch, "1").is_err() {
            let _ = writeln!(std::io::stderr(), "skipped: procfs is read-only");
            return;
        }
        let on =
            |c: &Change| matches!(c, Change::Link(link) if link.name == "a" && link.forwarding);
        assert!(monitor.drain().iter().any(on));
    });
}

#[test]
fn after_an_overrun_the_picture_is_that_of_the_kernel() {
    in_namespace_async(|| async {
        veth("a", "b");
        settle(&["a", "b"]);
        let a = index("a");
        let mut monitor = Monitor::open_with(4096).expect("a monitor");
        monitor.drain();
        let mut route = RouteSocket::open().expect("a socket");
        let all: Vec<_> = (0..250)
            .map(|n| plain(a, &format!("10.0.{}.{n}", n % 3), 24))
            .collect();
        route.execute(all.iter().map(|(key, o)| addr::add(key, o)).collect());
        let first = monitor.drain();
        assert_eq!(pictured(monitor.view(), a), shown("a"));
        assert_eq!(
            first
                .iter()
                .filter(|c| matches!(c, Change::AddressNew(_)))
                .count(),
            250
        );
        // Deletions that nobody told us about: who made them is not known.
        route.execute(
            all[10..]
                .iter()
                .rev()
                .map(|(key, _)| addr::del(key))
                .collect(),
        );
        ip("link add name d type veth peer name e");
        ip("link del dev b");
        let second = monitor.drain();
        assert!(second.contains(&Change::LinkGone(a)));
        assert!(
            second
                .iter()
                .any(|c| matches!(c, Change::AddressGone { by: None, .. }))
        );
        assert_eq!(monitor.view().index_of("d"), Some(index("d")));
    });
}

/// One step of a random story: add or delete, which address, which prefix length, which scope.
fn story() -> impl Strategy<Value = Vec<(bool, u8, bool, u8)>> {
    let scope = prop_oneof![Just(0_u8), Just(253), Just(200)];
    proptest::collection::vec((any::<bool>(), 0_u8..16, any::<bool>(), scope), 1..40)
}

#[test]
fn addresses_stand_in_the_order_of_the_kernel() {
    in_namespace_async(|| async {
        veth("a", "b");
        settle(&["a", "b"]);
        let a = index("a");
        let mut monitor = Monitor::open().expect("a monitor");
        let mut route = RouteSocket::open().expect("a socket");
        monitor.drain();
        for promote in ["0", "1"] {
            // Where procfs is read-only, the second round is like the first.
            let _ = std::fs::write("/proc/sys/net/ipv4/conf/a/promote_secondaries", promote);
            let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            let mut runner = TestRunner::new_with_rng(Config::with_cases(60), rng);
            for _ in 0..60 {
                let tree = story().new_tree(&mut runner).expect("a story");
                let steps = tree.current();
                for &(add, n, v6, scope) in &steps {
                    let (key, mut options) = match v6 {
                        false => plain(a, &format!("10.0.{}.{n}", n % 3), 24),
                        true if n % 4 == 0 => plain(a, &format!("fe80::{n}"), 64),
                        true => plain(a, &format!("fd00::{n}"), 64),
                    };
                    options.scope = if v6 { 0 } else { scope };
                    let request = if add {
                        addr::add(&key, &options)
                    } else {
                        addr::del(&key)
                    };
                    route.execute(vec![request]);
                }
                // New IPv6 addresses are told of a moment later, by a worker of the kernel.
                eventually(&format!("{steps:?}"), || {
                    monitor.drain();
                    pictured(monitor.view(), a) == shown("a")
                });
            }
        }
    });
}
