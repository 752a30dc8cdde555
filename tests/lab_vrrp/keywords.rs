//! Keywords of `global_defs` and of an instance that change what is sent or what the kernel holds: the same with ours and
//! with stock, each on its own. And every keyword of VRRP has a test that plays it, here or elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use crate::lab::frame::Event;
use crate::lab::{Lan, PATIENCE, root, until_or};
use crate::routers::Which::{self, Ours, Stock};
use crate::vmac;

/// Lines of `global_defs` (and what follows it), lines of the instance, the address to wait for, where it is. The last: what
/// must show in the answers, or else the sample proves nothing.
type Sample = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const V4: &str = "virtual_ipaddress {\n 10.66.0.100/24\n }";

const SAMPLES: &[Sample] = &[
    (
        "default_interface eth1\n }\n static_ipaddress {\n 10.5.0.1/24\n }\n global_defs {",
        V4,
        "eth0",
        "10.66.0.100",
        "inet 10.5.0.1/24 scope global eth1",
    ),
    ("disable_local_igmp", V4, "eth0", "10.66.0.100", "igmp 0"),
    (
        "vrrp_mcast_group4 224.0.0.99",
        V4,
        "eth0",
        "10.66.0.100",
        "advert 01005e000063",
    ),
    (
        "vrrp_mcast_group6 ff02::99",
        "virtual_ipaddress {\n fe80::100\n }",
        "eth0",
        "fe80::100",
        "advert 333300000099",
    ),
    (
        "vrrp_min_garp",
        V4,
        "eth0",
        "10.66.0.100",
        "announcements 1",
    ),
    (
        "vrrp_garp_master_repeat 3",
        V4,
        "eth0",
        "10.66.0.100",
        "announcements 3",
    ),
    (
        "nftables_priority 5",
        "no_accept\n virtual_ipaddress {\n 10.66.0.100/24\n }",
        "eth0",
        "10.66.0.100",
        "priority filter + 5",
    ),
    (
        "nftables other",
        "no_accept\n virtual_ipaddress {\n 10.66.0.100/24\n }",
        "eth0",
        "10.66.0.100",
        "table ip other",
    ),
    (
        "nftables_ifindex",
        "no_accept\n virtual_ipaddress {\n fe80::100 dev eth1\n }",
        "eth1",
        "fe80::100",
        "nftables",
    ),
    (
        "vmac_prefix vx",
        "use_vmac\n virtual_ipaddress {\n 10.66.0.100/24\n }",
        "vx.51",
        "10.66.0.100",
        "link vx.51",
    ),
    (
        "vmac_addr_prefix va",
        "virtual_ipaddress {\n 10.66.0.100/24\n 10.67.0.100/24 dev eth1 use_vmac\n }",
        "va.51",
        "10.67.0.100",
        "link va.51",
    ),
    (
        "",
        "native_ipv6\n virtual_ipaddress {\n fe80::100\n }",
        "eth0",
        "fe80::100",
        "advert 333300000012",
    ),
    (
        "vrrp_strict",
        V4,
        "eth0",
        "10.66.0.100",
        "advert 01005e000012",
    ),
    (
        "",
        "strict_mode on\n virtual_ipaddress {\n 10.66.0.100/24\n }",
        "eth0",
        "10.66.0.100",
        "advert 01005e000012",
    ),
];

/// Lines of `global_defs`, what is not compared, why.
const EXPLAINED: &[(&str, &str, &str)] = &[(
    "vmac_addr_prefix",
    "nftables",
    "2.2.7 lets the VMAC of a single address speak by itself",
)];

/// What there is once it is master.
fn held(which: Which, sample: &Sample) -> BTreeMap<String, String> {
    let (global, lines, interface, addr, _) = sample;
    let lan = Lan::new("eth0", &["10.66.0.1/24"]);
    let node = lan.node(0);
    node.ip("addr add fe80::1/64 dev eth0 nodad");
    node.ip(
        "link add eth1 address 02:00:00:00:01:01 type veth peer name far address 02:00:00:00:01:02",
    );
    node.ip("link set eth1 up");
    node.ip("link set far up");
    let conf = format!(
        "global_defs {{\n router_id lab\n vrrp_version 3\n {global}\n}}\nvrrp_instance V {{\n interface eth0\n virtual_router_id 51\n \
         priority 150\n advert_int 0.2\n {lines}\n}}\n"
    );
    let mut daemon = which.start(node, &conf);
    let addr: std::net::IpAddr = addr.parse().expect("an address");
    until_or(
        || format!("{which:?}: {addr} on {interface}\n{conf}{}", daemon.log()),
        PATIENCE,
        || {
            let all = node.ns.addresses();
            all.contains(&((*interface).to_owned(), addr)).then_some(())
        },
    );
    let ours = |s: &&crate::lab::frame::Seen| s.node == 0 && s.advert().is_some();
    // The burst is over when none has come for a second; the next one is due after five. Whose address is elsewhere is not
    // heard at all.
    let (first, announced) = lan.wait("a burst and what follows", PATIENCE, |seen| {
        let first = seen.iter().find(ours)?;
        let (mut announced, mut quiet) = (0, 0);
        for s in seen {
            match &s.event {
                Event::Announce(_) => (announced, quiet) = (announced + 1, 0),
                Event::Advert(_) => quiet += 1,
                Event::Other => {}
            }
            if quiet == if announced > 0 { 5 } else { 15 } {
                return Some((first.clone(), announced));
            }
        }
        None
    });
    let mut all = vmac::kernel(node);
    let octets: String = crate::wire::blanked(&first.octets)
        .iter()
        .map(|o| format!("{o:02x}"))
        .collect();
    all.insert("advert".to_owned(), octets);
    all.insert("announcements".to_owned(), announced.to_string());
    let igmp = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports";
    let igmp = node.ns.run(|| fs::read_to_string(igmp)).expect("a setting");
    all.insert("igmp".to_owned(), igmp.trim().to_owned());
    daemon.stop();
    all
}

#[test]
fn each_keyword_has_the_effect_that_stock_gives_it() {
    if !root() {
        return;
    }
    let mut wrong = String::new();
    for some in SAMPLES.chunks(5) {
        let all = std::thread::scope(|scope| {
            let run = |sample| [Ours, Stock].map(|which| scope.spawn(move || held(which, sample)));
            let running: Vec<_> = some.iter().map(run).collect();
            let ended = running
                .into_iter()
                .map(|both| both.map(|one| one.join().expect("it has told why")));
            ended.collect::<Vec<_>>()
        });
        for (sample, [ours, stock]) in some.iter().zip(all) {
            let keys: BTreeSet<_> = ours.keys().chain(stock.keys()).collect();
            for key in keys {
                let (a, b) = (ours.get(key), stock.get(key));
                let explained = EXPLAINED
                    .iter()
                    .any(|(g, k, _)| sample.0.contains(g) && key == k);
                if a != b && !explained {
                    wrong += &format!("{sample:?}: {key}:\n  ours  {a:?}\n  stock {b:?}\n");
                }
            }
            let shows = ours
                .iter()
                .any(|(key, value)| format!("{key} {value}").contains(sample.4));
            if !shows {
                wrong += &format!("{sample:?}: {} does not show\n", sample.4);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Nice value, scheduling, processors, limit, locked memory of whoever speaks VRRP.
fn place(which: Which, global: &str) -> (Vec<String>, String) {
    let lan = Lan::new("eth0", &["10.66.0.1/24"]);
    let node = lan.node(0);
    let conf = format!(
        "global_defs {{\n router_id lab\n vrrp_version 3\n {global}\n}}\nvrrp_instance V {{\n interface eth0\n virtual_router_id 51\n \
         priority 150\n advert_int 0.1\n {V4}\n}}\n"
    );
    let mut daemon = which.start(node, &conf);
    daemon.wait_log("(V) Entering MASTER STATE");
    let pid = fs::read_to_string(node.path("vrrp.pid")).expect("the VRRP process");
    let pid = pid.trim().to_owned();
    let read = |path: String| fs::read_to_string(path).unwrap_or_default();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process of ours");
    let tasks = tasks.map(|t| t.expect("a process of ours").file_name());
    let mut tasks = tasks.map(|t| t.to_string_lossy().into_owned());
    let vrrp =
        |tid: &String| read(format!("/proc/{pid}/task/{tid}/comm")).trim() == "keepalived_vrrp";
    let tid = tasks.find(vrrp).unwrap_or_else(|| pid.clone());
    let line = |text: &str, what: &str| {
        let found = text.lines().find(|l| l.starts_with(what));
        found
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let status = read(format!("/proc/{pid}/task/{tid}/status"));
    let stat = read(format!("/proc/{pid}/task/{tid}/stat"));
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let real_time = fields.get(37).copied().unwrap_or("?");
    let told = vec![
        format!("nice {}", fields.get(16).copied().unwrap_or("?")),
        format!(
            "real-time priority {real_time}, policy {}",
            fields.get(38).copied().unwrap_or("?")
        ),
        line(&status, "Cpus_allowed_list:"),
        format!("locked: {}", line(&status, "VmLck:") != "VmLck: 0 kB"),
    ];
    // Stock warns at half of it and is killed at the limit; ours becomes an ordinary thread for a while.
    let limits = read(format!("/proc/{pid}/limits"));
    let limit = line(&limits, "Max realtime timeout");
    daemon.stop();
    (told, limit)
}

#[test]
fn who_speaks_has_the_place_among_others_that_stock_gives_it() {
    if !root() {
        return;
    }
    let plain = place(Ours, "");
    for global in [
        "vrrp_priority -5",
        "vrrp_rt_priority 3\n vrrp_rlimit_rttime 9000000",
        "vrrp_rt_priority 4\n vrrp_rlimit_rtime 8000000",
        "vrrp_no_swap",
        "vrrp_cpu_affinity 0",
    ] {
        let (ours, stock) = (place(Ours, global), place(Stock, global));
        assert_eq!(ours.0, stock.0, "{global}: ours, then stock's");
        assert_ne!(ours.0, plain.0, "{global}");
        let time = global.split_once("time ").map(|(_, time)| time);
        if let Some(time) = time {
            assert!(
                ours.1.contains(time) && stock.1.contains(time),
                "{global}: {} {}",
                ours.1,
                stock.1
            );
        }
    }
}

#[test]
fn a_vmac_has_what_its_words_say() {
    if !root() {
        return;
    }
    for tells in [false, true] {
        let lan = Lan::new("eth0", &["10.66.0.1/24"]);
        let node = lan.node(0);
        let word = if tells { "netlink_notify_msg" } else { "" };
        // What the kernel tells of a cable that was plugged comes a moment later.
        crate::kernel::wait_shows(node, "link show dev eth0", "state UP", true);
        let (_monitor, told) = crate::kernel::monitor(node);
        let mut daemon = Ours.start(
            node,
            &format!(
                "vrrp_instance V {{\n interface eth0\n virtual_router_id 51\n version 3\n advert_int 0.1\n \
                  use_vmac name vv0 group 7 {word}\n {V4}\n}}\n"
            ),
        );
        daemon.wait_log("(V) Entering MASTER STATE");
        let shown = node.ip("-o link show dev vv0");
        assert!(shown.contains(" group 7 "), "{shown}");
        // Whoever listens hears of what comes after it, too.
        node.ip("addr add 127.0.0.8/32 dev lo");
        let until_then = until_or(
            || "ip monitor is silent".to_owned(),
            PATIENCE,
            || {
                let text = fs::read_to_string(&told).ok()?;
                let end = text.find("127.0.0.8")?;
                Some(text[..end].to_owned())
            },
        );
        let (_, since) = until_then.split_once("vv0@eth0").expect("it was made");
        let base = since.lines().filter(|l| l.contains(": eth0@")).count();
        assert_eq!(base > 0, tells, "{word}: {until_then}");
        daemon.stop();
        assert!(!node.ip("-o link show").contains("vv0"), "{}", daemon.log());
    }
}

#[test]
fn an_instance_that_is_to_have_no_address_advertises_none() {
    if !root() {
        return;
    }
    let lan = Lan::new("eth0", &["10.66.0.1/24"]);
    let daemon = Ours.start(
        lan.node(0),
        "vrrp_instance V {\n interface eth0\n virtual_router_id 51\n version 3\n advert_int 0.1\n no_virtual_ipaddress\n}\n",
    );
    daemon.wait_log("(V) Entering MASTER STATE");
    let advert = lan.wait("an advertisement", PATIENCE, |seen| {
        let mut adverts = seen.iter().filter(|s| s.advert().is_some());
        adverts.next().map(|s| s.octets.clone())
    });
    let vrrp = &advert[34..]; // after the headers of Ethernet and of IPv4
    assert_eq!(vrrp[..4], [0x31, 51, 100, 0], "{advert:02x?}");
    assert!(!daemon.log().contains("no-address"), "{}", daemon.log());
    assert!(!daemon.log().contains("No VIP"), "{}", daemon.log());
}

/// Sizes of the receive buffers of sockets of rtnetlink.
fn buffers(which: Which, global: &str) -> BTreeSet<String> {
    let lan = Lan::new("eth0", &["10.66.0.1/24"]);
    let node = lan.node(0);
    let sizes = || {
        let mut ss = std::process::Command::new("ss");
        ss.args(["-n", "-m", "-f", "netlink"]);
        let out = node.ns.run(|| ss.output()).expect("ss runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let own = text.lines().filter(|l| !l.contains("kernel"));
        let size = |l: &str| {
            let (_, rest) = l.split_once("skmem:(")?;
            Some(rest.split(',').nth(1)?.to_owned())
        };
        // What ss itself asks with is of another family.
        let own = own.filter(|l| l.split_whitespace().any(|w| w.starts_with("0:")));
        own.filter_map(size).collect::<BTreeSet<_>>()
    };
    let conf = format!(
        "global_defs {{\n router_id lab\n {global}\n}}\nvrrp_instance V {{\n interface eth0\n virtual_router_id 51\n \
         advert_int 1\n {V4}\n}}\n"
    );
    let mut daemon = which.start(node, &conf);
    daemon.wait_log("Entering BACKUP STATE");
    // Some are open for a moment only, at the start.
    let (mut last, mut since) = (sizes(), Instant::now());
    let all = until_or(
        || daemon.log(),
        PATIENCE,
        || {
            let now = sizes();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_millis(300)).then(|| last.clone())
        },
    );
    daemon.stop();
    all
}

#[test]
fn sockets_have_the_buffers_that_stock_gives_them() {
    if !root() {
        return;
    }
    let default = [Ours, Stock].map(|which| buffers(which, ""));
    for global in [
        "vrrp_netlink_cmd_rcv_bufs 300000",
        "vrrp_netlink_monitor_rcv_bufs 400000",
        "vrrp_netlink_monitor_rcv_bufs 90000000",
        "vrrp_netlink_monitor_rcv_bufs 90000000\n vrrp_netlink_monitor_rcv_bufs_force",
        "vrrp_netlink_cmd_rcv_bufs 80000000\n vrrp_netlink_cmd_rcv_bufs_force",
    ] {
        let [ours, stock] = &default;
        let (ours, stock) = (
            &buffers(Ours, global) - ours,
            &buffers(Stock, global) - stock,
        );
        assert!(!ours.is_empty(), "{global}");
        assert_eq!(ours, stock, "{global}: ours, then stock's");
    }
}

/// All keywords, by block.
const KEYWORDS: &str = include_str!("../../src/config/tests/keywords.tsv");

/// Those of VRRP, with the test of each.
const TESTS: &str = include_str!("keywords.tsv");

/// Blocks and keywords of other parts: beginnings of the block, of the keyword.
const OTHERS: &[(&str, &str)] = &[
    ("virtual_server", ""),
    ("SSL", ""),
    ("bfd_instance", ""),
    ("(any)", ""),
    ("block", ""),
    ("(root)", "virtual_server"),
    ("(root)", "SSL"),
    ("(root)", "bfd_instance"),
    ("(root)", "net_namespace_ipvs"),
    ("global_defs", "checker_"),
    ("global_defs", "lvs_"),
    ("global_defs", "bfd_"),
    ("global_defs", "nftables_ipvs"),
    ("global_defs", "rs_init_notifies"),
    ("global_defs", "smtp_alert_checker"),
    ("global_defs", "no_checker_emails"),
    ("global_defs", "snmp_"),
    ("global_defs", "enable_snmp"),
    ("global_defs", "enable_traps"),
    ("global_defs", "enable_dbus"),
    ("global_defs", "dbus_"),
    ("global_defs", "plugin_dir"),
];

/// Whether a file has a test of this name, or a story that is told in one.
fn is_there(path: &str, test: &str) -> bool {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let named = format!("fn {test}(");
    text.contains(&named)
}

#[test]
fn every_keyword_of_vrrp_has_a_test() {
    let mut wrong = Vec::new();
    let mut played = BTreeSet::new();
    for line in TESTS.lines().filter(|l| !l.starts_with('#')) {
        let &[block, keywords, path, test] = line.split('\t').collect::<Vec<_>>().as_slice() else {
            panic!("four columns: {line}");
        };
        if !is_there(path, test) {
            wrong.push(format!("{path} has no test {test}"));
        }
        for keyword in keywords.split(' ') {
            if !played.insert((block, keyword)) {
                wrong.push(format!("{block}: {keyword} twice"));
            }
        }
    }
    let mut used = BTreeSet::new();
    for line in KEYWORDS.lines().filter(|l| !l.starts_with('#')) {
        let mut columns = line.split('\t');
        let (Some(block), Some(keyword)) = (columns.next(), columns.next()) else {
            continue;
        };
        let other = |(b, k): &(&str, &str)| block.starts_with(b) && keyword.starts_with(k);
        if keyword.starts_with('(') || OTHERS.iter().any(other) {
            continue;
        }
        let entry = [(block, keyword), (block, "*")];
        match entry.into_iter().find(|e| played.contains(e)) {
            Some(entry) => _ = used.insert(entry),
            None => wrong.push(format!("{block}: {keyword} has no test")),
        }
    }
    for (block, keyword) in played.difference(&used) {
        wrong.push(format!("{block}: {keyword} is no keyword"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
