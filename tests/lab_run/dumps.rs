//! The dump files of a rich configuration beside those that keepalived 2.4.3 wrote for it (tests/dumps/stock), line by
//! line and field by field, and beside those of the keepalived that is installed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::root;
use crate::machine::{Machine, Started};

const STOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dumps/stock");

fn stock(name: &str) -> String {
    fs::read_to_string(format!("{STOCK}/{name}")).expect("a file of the project")
}

/// The network that the files were written in. MACs are those of then, so that link-local addresses are the same.
const NETWORK: &str = "
    for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done
    ip netns add peer
    ip link add eth0 address ea:d8:85:8e:85:4a type veth peer name peer0 netns peer
    ip link add eth1 address 6a:04:7d:b7:da:c7 type veth peer name peer1 netns peer
    ip link add eth2 address ca:f7:c1:ed:28:75 type veth peer name peer2 netns peer
    ip link add lb0 address 02:17:f7:8f:72:4d type veth peer name rs0 netns peer
    ip addr add 10.10.0.1/24 dev eth0; ip addr add fd10::1/64 dev eth0 nodad; ip link set eth0 up
    ip addr add 10.60.0.9/24 dev eth1; ip link set eth1 up
    ip addr add 10.40.0.1/24 dev lb0; ip addr add fd40::1/64 dev lb0 nodad; ip link set lb0 up
    ip -n peer link set lo up; ip -n peer link set rs0 up
    ip -n peer addr add 10.10.0.2/24 dev peer0; ip -n peer link set peer0 up
    ip -n peer addr add 10.60.0.2/24 dev peer1; ip -n peer link set peer1 up
    echo 0 >/run/ka-track; mkdir /run/peer";

/// `bfd_instance` and what refers to it are left out: a session needs a partner.
fn without_bfd(conf: &str) -> String {
    let mut kept = String::new();
    let mut skipping = false;
    for line in conf.lines() {
        let word = line.split_whitespace().next().unwrap_or("");
        skipping |= word == "bfd_instance" || word == "track_bfd";
        if !skipping {
            kept += line;
            kept.push('\n');
        } else if word == "}" {
            skipping = false;
        }
    }
    kept
}

/// Starts the router and its peer, and waits until everybody is what he was then. Without `more`: as 2.2.7 takes it.
fn run(m: &Machine, binary: &str, more: Option<&str>) -> Started {
    let main = stock("main.conf");
    let main = main.replace("include /etc/keepalived/extra.conf", more.unwrap_or(""));
    let main = match more {
        Some(_) => main,
        // keepalived: dies of it where the kernel has no IPVS.
        None => main
            .replace("lvs_sync_daemon", "#")
            .replace("lvs_timeouts", "#"),
    };
    let conf = m.file("main.conf", &without_bfd(&main));
    let peer = m.file("peer.conf", &without_bfd(&stock("peer.conf")));
    m.sh(&format!(
        "ip netns exec peer /usr/sbin/keepalived -P -f {peer} -p /run/peer/1 -r /run/peer/2"
    ));
    let daemon = m.start(&format!("{binary} -P -n -l -D -f {conf}"));
    for name in ["VI_1", "VI_6", "VI_UNI", "VI_VMAC"] {
        m.wait_log(&format!("({name}) Entering MASTER STATE"));
    }
    m.wait_log("(VI_BACK) Changing effective priority from 90 to ");
    m.wait("ip -n peer addr | grep -q 10.10.0.102");
    daemon
}

/// What differs from run to run.
fn normal(line: &str) -> String {
    let mut line = line.to_owned();
    for label in [
        "Last transition = ",
        "Read timeout = ",
        "Last advert sent = ",
    ] {
        if let Some(at) = line.find(label) {
            let value = &line[at + label.len()..];
            if value != "DISABLED" && value != "0.000000" {
                line.replace_range(at + label.len().., "TIME");
            }
        }
    }
    let numbers: &[&str] = &["fd_in ", "fd_out = ", "fd_out ", "ifindex ", "   index = "];
    for label in numbers {
        if let Some(at) = line.find(label) {
            let from = at + label.len();
            let digits = line[from..]
                .chars()
                .take_while(char::is_ascii_digit)
                .count();
            if digits > 0 {
                line.replace_range(from..from + digits, "N");
            }
        }
    }
    line
}

/// Lines that are not expected of us.
fn is_stocks_own(line: &str) -> bool {
    [
        // of its libraries
        " libnftnl version",
        // when the next announcement may leave: kept in another way
        " GARP next time",
        " GNA next time",
        // a setting without effect
        "   Debug level",
        // ours: stock forgets the runs that are over
        "   Last run",
        // asked of the kernel where it is needed, not remembered
        "   Not IPv6 forwarding",
        // of then: another run had just ended
        "   Original ",
        // keepalived: reads the value when the first VMAC comes
        "   rp_filter ",
    ]
    .iter()
    .any(|start| line.starts_with(start))
}

/// The lines that count, BFD apart.
fn lines(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let (mut bfd, mut bfds) = (false, false);
    for line in text.lines() {
        if line.starts_with("------<") {
            bfd = line.contains("BFD");
        }
        bfds = line == "   Tracked BFDs :" || bfds && line.starts_with("     ");
        let bfd = bfd || bfds;
        if !bfd && !is_stocks_own(line) {
            out.push(normal(line));
        }
    }
    out
}

/// What one has and the other has not, as a person compares files.
fn differences(wanted: &[String], got: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let (mut w, mut g) = (0, 0);
    while w < wanted.len() || g < got.len() {
        if wanted.get(w) == got.get(g) {
            (w, g) = (w + 1, g + 1);
            continue;
        }
        // The nearest place where they agree again.
        let next = (0..80).find_map(|sum| {
            (0..=sum).map(|n| (n, sum - n)).find(|(a, b)| {
                let (a, b) = (wanted.get(w + a), got.get(g + b));
                a.is_some() && a == b
            })
        });
        let (a, b) = next.unwrap_or((wanted.len() - w, got.len() - g));
        found.extend(wanted[w..w + a].iter().map(|l| format!("- {l}")));
        found.extend(got[g..g + b].iter().map(|l| format!("+ {l}")));
        (w, g) = (w + a, g + b);
    }
    found
}

/// What a value looks like, not what it is, where it differs from run to run.
fn json_normal(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if key == "last_transition" {
                    assert!(value.as_f64().is_some_and(|t| t > 1e9));
                    *value = "TIME".into();
                } else if key == "stats" {
                    for (_, counter) in value.as_object_mut().expect("an object") {
                        assert!(counter.is_u64());
                        *counter = 0.into();
                    }
                } else {
                    json_normal(value);
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(json_normal),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn json(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).expect("JSON");
    json_normal(&mut value);
    value
}

/// The order of all keys, whatever their values.
fn keys(text: &str) -> Vec<String> {
    let quoted = text.split('"').skip(1).step_by(2);
    let keys = quoted.filter(|word| text.contains(&format!("\"{word}\":")));
    keys.map(str::to_owned).collect()
}

#[test]
fn the_files_are_those_of_stock_field_by_field() {
    if !root() {
        return;
    }
    let m = Machine::with(NETWORK);
    let of_then = "global_defs {\n json_version 2\n}";
    let _daemon = run(&m, "/usr/sbin/keepalived", Some(of_then));
    for signal in ["USR1", "USR2", "36"] {
        m.sh(&format!("kill -{signal} $(cat /run/keepalived.pid)"));
    }
    let mut found = Vec::new();
    for name in ["keepalived.data", "keepalived_parent.data"] {
        let got = m.written(name);
        let lost = differences(&lines(&stock(name)), &lines(&got));
        found.extend(lost.into_iter().map(|l| format!("{name}: {l}")));
    }
    // With one BFD less the priority is that much higher or lower; weights are tested elsewhere.
    found.retain(|l| !l.contains("priority = 75") && !l.contains("priority = 70"));
    let labels = |text: &str| -> Vec<String> {
        let digits: &[char] = &['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
        text.lines()
            .map(|l| l.trim_end_matches(digits).to_owned())
            .collect()
    };
    let stats = differences(
        &labels(&stock("keepalived.stats")),
        &labels(&m.written("keepalived.stats")),
    );
    found.extend(stats.into_iter().map(|l| format!("stats: {l}")));
    let (wanted, got) = (stock("keepalived.json"), m.written("keepalived.json"));
    assert_eq!(keys(&wanted), keys(&got), "the order of keys");
    let (wanted, got) = (json(&wanted), json(&got));
    for (w, g) in std::iter::zip(
        wanted["vrrp"].as_array().expect("instances"),
        got["vrrp"].as_array().expect("instances"),
    ) {
        for (key, value) in w["data"].as_object().expect("an object") {
            if *value != g["data"][key] && key != "effective_priority" {
                let got = &g["data"][key];
                found.push(format!("json: {} {key}: {value} {got}", w["data"]["iname"]));
            }
        }
        assert_eq!(w["stats"], g["stats"]);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Label → value of each instance.
fn instances(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut name = None;
    for line in text.lines() {
        if let Some(instance) = line.strip_prefix(" VRRP Instance = ") {
            name = Some(instance.to_owned());
        } else if !line.starts_with("   ") {
            name = None;
        }
        if let (Some(name), Some((label, value))) = (&name, line.split_once(" = ")) {
            let of = all.entry(name.clone()).or_default();
            of.insert(label.trim().to_owned(), value.to_owned());
        }
    }
    all
}

#[test]
fn what_the_installed_keepalived_says_we_say_too() {
    if !root() {
        return;
    }
    let data = |stock: bool| {
        let m = Machine::with(NETWORK);
        let binary = if stock {
            // Ours lies above it.
            m.sh("umount /usr/sbin/keepalived");
            "/usr/sbin/keepalived"
        } else {
            "/usr/sbin/keepalived"
        };
        let _daemon = run(&m, binary, None);
        m.sh("kill -USR1 $(cat /run/vrrp.pid)");
        m.written("keepalived.data");
        // Stock writes line by line into it.
        m.wait("! readlink /proc/[0-9]*/fd/* | grep -q '/keepalived.data$'");
        instances(&m.written("keepalived.data"))
    };
    let (theirs, ours) = (data(true), data(false));
    let mut odd = Vec::new();
    for (name, labels) in &theirs {
        for (label, value) in labels {
            let got = ours.get(name).and_then(|labels| labels.get(label));
            let line = normal(&format!("{label} = {value}"));
            let same = got.is_some_and(|got| normal(&format!("{label} = {got}")) == line);
            // 2.2 shows the password, and has other words for the same.
            let renamed = [
                "Password",
                "Debug level",
                "Number of interface and track script faults",
                "Master advert int",
                "Master advert interval",
            ];
            if !same && !renamed.contains(&label.as_str()) {
                odd.push(format!("{name}: {line}; ours {got:?}"));
            }
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
}

#[test]
fn tracked_processes_are_those_of_stock_in_the_json() {
    if !root() {
        return;
    }
    let m = Machine::with(
        "ip link add eth0 type veth peer name peer0; ip link set peer0 up
        ip addr add 10.1.0.1/24 dev eth0; ip link set eth0 up
        cp /bin/sleep /run/trkproc",
    );
    let _two = [m.start("/run/trkproc 1000"), m.start("/run/trkproc 1000")];
    let conf = m.file("keepalived.conf", &stock("processes.conf"));
    let _daemon = m.start(&format!("/usr/sbin/keepalived -P -n -l -D -f {conf}"));
    for name in ["VI_1", "VI_2"] {
        m.wait_log(&format!("({name}) Entering MASTER STATE"));
    }
    m.wait_log("(VI_1) Changing effective priority from 150 to 160");
    m.sh("kill -36 $(cat /run/keepalived.pid)");
    let (wanted, got) = (stock("processes.json"), m.written("keepalived.json"));
    assert_eq!(keys(&wanted), keys(&got), "the order of keys");
    let (wanted, got) = (json(&wanted), json(&got));
    assert_eq!(wanted["track_process"], got["track_process"]);
    assert_eq!(wanted, got);
}

/// How long after the signal the whole file is there. `LAB_OURS` names an optimised binary, which the bound is for.
#[test]
fn a_thousand_instances_are_written_soon_after_the_signal() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let mut conf = "global_defs {\n vrrp_version 3\n}\n".to_owned();
    for n in 0..1000 {
        let (vrid, base) = (n % 250 + 1, n / 250);
        // Writing to a String cannot fail.
        _ = write!(
            conf,
            "vrrp_instance V{n} {{\n interface eth{base}\n virtual_router_id {vrid}\n advert_int 1\n \
             virtual_ipaddress {{\n 10.{base}.1.{vrid}/32\n }}\n}}\n"
        );
    }
    for base in 1..4 {
        m.sh(&format!(
            "ip link add eth{base} type veth peer name peer{base}; ip link set peer{base} up
            ip addr add 10.{base}.0.1/24 dev eth{base}; ip link set eth{base} up"
        ));
    }
    let conf = m.file("keepalived.conf", &conf);
    let ours = std::env::var("LAB_OURS").ok();
    let binary = ours.as_deref().unwrap_or("/usr/sbin/keepalived");
    let _daemon = m.start(&format!("{binary} -P -n -l -f {conf}"));
    m.wait_log("Startup complete");
    let mut watch = inotify::Inotify::init().expect("inotify");
    let dir = m.dir.path();
    let mask = inotify::WatchMask::CLOSE_WRITE;
    watch.watches().add(dir, mask).expect("our directory");
    let pid = m.sh("cat /run/keepalived.pid");
    let mut told = Vec::new();
    for (signal, file) in [
        ("USR1", "keepalived.data"),
        ("USR2", "keepalived.stats"),
        ("36", "keepalived.json"),
    ] {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let mut room = [0; 4096];
            // The time that a shell takes to start is not the daemon's.
            let mut kill = m.command(&format!("read x; kill -{signal} {}", pid.trim()));
            kill.stdin(std::process::Stdio::piped());
            let mut kill = kill.spawn().expect("a shell");
            let begun = Instant::now();
            drop(kill.stdin.take());
            crate::lab::until(file, crate::machine::LIMIT, || {
                let mut events = watch.read_events(&mut room).ok()?;
                let named = |e: inotify::Event<&std::ffi::OsStr>| e.name == Some(file.as_ref());
                events.any(named).then_some(())
            });
            best = best.min(begun.elapsed());
            kill.wait().expect("our child");
        }
        let size = m.written(file).len();
        told.push(format!("{file}: {size} octets after {best:?}"));
        // Without optimisation, beside other tests: no more than that it comes at all.
        let bound = if ours.is_some() { 50 } else { 5000 };
        assert!(best <= Duration::from_millis(bound), "{told:?}");
    }
    if ours.is_some() {
        // For whoever asked for it; not through `println!`, which the test runner keeps to itself.
        let _ = writeln!(std::io::stderr(), "{}", told.join("\n"));
    }
}
