use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::*;
use crate::sys::netlink::RouteSocket;
use crate::sys::testnet::{eventually, in_namespace, index, ip, veth};

fn key(index: u32, local: &str, prefix_len: u8) -> AddressKey {
    let local = local.parse().expect("an address");
    AddressKey {
        index,
        local,
        remote: local,
        prefix_len,
    }
}

fn options() -> AddressOptions {
    AddressOptions {
        label: None,
        broadcast: None,
        scope: 0,
        flags: 0,
        preferred_lft: None,
    }
}

/// What ip(8) says about an address, lifetimes included, words only.
fn shown(local: &str) -> Option<String> {
    let all = ip("-d -o addr show dev a");
    let line = all
        .lines()
        .find(|line| line.contains(&format!(" {local}")))?;
    let line = line.replace('\\', " ");
    let words: Vec<_> = line.split_whitespace().skip(2).collect();
    Some(words.join(" "))
}

#[test]
fn every_option_arrives_and_nothing_else_does() {
    in_namespace(|| {
        veth("a", "b");
        let a = index("a");
        let mut route = RouteSocket::open().expect("a socket");
        let v6 = |flags| AddressOptions { flags, ..options() };
        let remote = "10.9.0.9".parse().expect("an address");
        let peer = AddressKey {
            remote,
            ..key(a, "10.9.0.1", 32)
        };
        let forever = "valid_lft forever preferred_lft forever";
        #[rustfmt::skip]
        let table = [
            (key(a, "10.0.0.1", 24), options(), format!("inet 10.0.0.1/24 scope global a {forever}")),
            (key(a, "10.0.0.2", 24), options(), format!("inet 10.0.0.2/24 scope global secondary a {forever}")),
            (key(a, "10.1.0.1", 24), AddressOptions { label: Some("a:vip".into()), ..options() }, format!("inet 10.1.0.1/24 scope global a:vip {forever}")),
            (key(a, "10.2.0.1", 24), AddressOptions { broadcast: Some([10, 2, 0, 255].into()), ..options() }, format!("inet 10.2.0.1/24 brd 10.2.0.255 scope global a {forever}")),
            (key(a, "10.3.0.1", 24), AddressOptions { scope: 253, ..options() }, format!("inet 10.3.0.1/24 scope link a {forever}")),
            (key(a, "10.4.0.1", 24), AddressOptions { scope: 200, ..options() }, format!("inet 10.4.0.1/24 scope site a {forever}")),
            (key(a, "10.5.0.1", 24), v6(flag::NOPREFIXROUTE), format!("inet 10.5.0.1/24 scope global noprefixroute a {forever}")),
            (key(a, "239.0.0.1", 24), v6(flag::MCAUTOJOIN), format!("inet 239.0.0.1/24 scope global autojoin a {forever}")),
            (key(a, "10.6.0.1", 24), AddressOptions { preferred_lft: Some(0), ..options() }, format!("inet 10.6.0.1/24 scope global deprecated a {forever}")),
            (key(a, "10.7.0.1", 31), options(), format!("inet 10.7.0.1/31 scope global a {forever}")),
            (peer, options(), format!("inet 10.9.0.1 peer 10.9.0.9/32 scope global a {forever}")),
            (key(a, "fd00::1", 64), v6(flag::NODAD), format!("inet6 fd00::1/64 scope global nodad {forever}")),
            (key(a, "fd00::2", 128), AddressOptions { preferred_lft: Some(0), ..v6(flag::NODAD) }, "inet6 fd00::2/128 scope global deprecated nodad valid_lft forever preferred_lft 0sec".to_owned()),
            (key(a, "fd00::3", 64), v6(flag::NODAD | flag::HOMEADDRESS), format!("inet6 fd00::3/64 scope global nodad home {forever}")),
            (key(a, "fd00:4::1", 64), v6(flag::NODAD | flag::MANAGETEMPADDR), format!("inet6 fd00:4::1/64 scope global nodad mngtmpaddr {forever}")),
            (key(a, "fd00:5::1", 64), v6(flag::NODAD | flag::NOPREFIXROUTE), format!("inet6 fd00:5::1/64 scope global nodad noprefixroute {forever}")),
        ];
        let adds = table.iter().map(|(k, o, _)| add(k, o)).collect();
        for (answer, (k, ..)) in route.execute(adds).into_iter().zip(&table) {
            assert_eq!(answer, Ok(()), "{k:?}");
        }
        eventually("new addresses are usable", || {
            !ip("-o addr show dev a").contains("tentative")
        });
        let normal = |line: &str| {
            // The order of the flags, and whether the protocol is shown, is a matter of ip's version.
            let mut words: Vec<_> = line
                .replace("proto keepalived ", "")
                .split(' ')
                .map(str::to_owned)
                .collect();
            words.sort();
            words
        };
        for (k, _, expected) in &table {
            let line = shown(&k.local.to_string()).expect("the address");
            assert_eq!(normal(&line), normal(expected), "{line}");
        }
        let dels = table.iter().rev().map(|(k, ..)| del(k)).collect();
        for (answer, (k, ..)) in route.execute(dels).into_iter().zip(table.iter().rev()) {
            assert_eq!(answer, Ok(()), "{k:?}");
        }
        for (k, ..) in &table {
            assert_eq!(shown(&k.local.to_string()), None);
        }
    });
}

#[test]
fn refusals_are_told_apart_and_do_not_stop_the_rest() {
    in_namespace(|| {
        veth("a", "b");
        let a = index("a");
        let mut route = RouteSocket::open().expect("a socket");
        let (one, two) = (key(a, "10.0.0.1", 24), key(a, "10.0.1.1", 24));
        let answers = route.execute(vec![
            add(&one, &options()),
            add(&one, &options()),
            add(&key(999, "10.0.0.9", 24), &options()),
            add(&two, &options()),
            del(&two),
            del(&two),
        ]);
        let errnos: Vec<_> = answers
            .into_iter()
            .map(|a| a.err().map(|r| r.errno))
            .collect();
        assert_eq!(
            errnos,
            [
                None,
                Some(Errno::EEXIST),
                Some(Errno::ENODEV),
                None,
                None,
                Some(Errno::EADDRNOTAVAIL)
            ]
        );
        ip("link del dev a");
        let answers = route.execute(vec![del(&one)]);
        assert_eq!(answers[0].as_ref().map_err(|r| r.errno), Err(Errno::ENODEV));
    });
}

#[test]
fn two_thousand_addresses_come_and_go() {
    in_namespace(|| {
        veth("a", "b");
        let a = index("a");
        let mut route = RouteSocket::open().expect("a socket");
        let all: Vec<_> = (0..2000)
            .map(|n| key(a, &format!("10.{}.{}.1", n / 250, n % 250), 32))
            .collect();
        let start = Instant::now();
        let answers = route.execute(all.iter().map(|k| add(k, &options())).collect());
        assert_eq!(answers.len(), 2000);
        assert!(answers.iter().all(Result::is_ok));
        let added = start.elapsed();
        assert_eq!(ip("-4 -o addr show dev a").lines().count(), 2000);
        let start = Instant::now();
        let answers = route.execute(all.iter().map(del).collect());
        assert!(answers.iter().all(Result::is_ok));
        let deleted = start.elapsed();
        let limit = Duration::from_secs(20);
        assert!(added < limit && deleted < limit, "{added:?}, {deleted:?}");
        assert_eq!(ip("-4 -o addr show dev a").lines().count(), 0);
    });
}
