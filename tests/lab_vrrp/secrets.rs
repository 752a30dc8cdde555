//! Keys are nowhere in what a core file would hold, not even after signing, verifying and a reload.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use nix::sys::signal::Signal;

use crate::lab::daemon::Daemon;
use crate::lab::root;
use crate::routers::Which::Ours;
use crate::routers::lan;

const PLAIN: &str = "quiet-otters-carry-purple-lanterns-17";
const HEX: &str = "9f3c61d85ab2470ee1d4c6783b905fa2619be8d3c4f70a5d2e8167b3f09ca45d";
const AH: &str = "zq7Lk#9w";

fn conf(priority: u8) -> String {
    format!(
        "global_defs {{
    router_id lab
}}
vrrp_instance H {{
    interface eth0
    virtual_router_id 66
    priority {priority}
    version 3
    advert_int 0.1
    auth_hmac {{
        key 1 {PLAIN}
        key 2 hex:{HEX}
        active_key 1
    }}
    virtual_ipaddress {{
        10.66.0.100/24
    }}
}}
vrrp_instance A {{
    interface eth0
    virtual_router_id 67
    priority {priority}
    advert_int 1
    authentication {{
        auth_type AH
        auth_pass {AH}
    }}
    virtual_ipaddress {{
        10.66.0.101/24
    }}
}}
"
    )
}

/// The octets of the process that a core file would hold, by mapping.
fn dumped(daemon: &Daemon) -> Vec<(String, Vec<u8>)> {
    let pid = daemon.pid();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).expect("a process of ours");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("a process of ours");
    let mut all = Vec::new();
    let mut range = None;
    for line in maps.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let number = |text| u64::from_str_radix(text, 16).ok();
            range = number(start).zip(number(end)).map(|r| (r, line.to_owned()));
        }
        let Some(flags) = line.strip_prefix("VmFlags:") else {
            continue;
        };
        // "rd": readable. "dd": not in core files. "io", "pf": no memory.
        let has = |flag: &str| flags.split(' ').any(|f| f == flag);
        if let Some(((start, end), name)) = range.take()
            && has("rd")
            && !has("dd")
            && !has("io")
        {
            let len = usize::try_from(end - start).expect("it fits");
            let mut octets = vec![0; len];
            if memory.read_exact_at(&mut octets, start).is_ok() {
                all.push((name, octets));
            }
        }
    }
    all
}

fn holds(octets: &[u8], needle: &[u8]) -> bool {
    let starts = octets.iter().enumerate();
    let mut starts = starts.filter(|(_, o)| **o == needle[0]);
    starts.any(|(at, _)| octets[at..].starts_with(needle))
}

#[test]
fn no_key_is_in_a_core_file() {
    if !root() {
        return;
    }
    let lan = lan();
    let mut daemons = [(0, 150), (1, 100)].map(|(n, priority)| {
        let daemon = Ours.start(lan.node(n), &conf(priority));
        daemon.wait_log("(A) Entering BACKUP STATE");
        daemon
    });
    daemons[0].wait_log("(H) Entering MASTER STATE");
    daemons[0].wait_log("(A) Entering MASTER STATE");
    for daemon in &daemons {
        daemon.signal(Signal::SIGHUP);
        daemon.wait_log("Reload complete");
    }
    let mark = crate::lab::daemon::now();
    lan.advert("they go on", 0, mark + 1_500_000_000, |a| a.priority == 150);
    let octets = |at: usize| u8::from_str_radix(&HEX[at..at + 2], 16).expect("hexadecimal");
    let raw: Vec<u8> = (0..HEX.len()).step_by(2).map(octets).collect();
    for daemon in &mut daemons {
        assert!(daemon.running());
        let mappings = dumped(daemon);
        assert!(
            mappings
                .iter()
                .any(|(_, octets)| holds(octets, b"keepalived.conf")),
            "nothing was read"
        );
        for (what, key) in [
            ("plain", PLAIN.as_bytes()),
            ("hex", HEX.as_bytes()),
            ("raw", &raw),
            ("AH", AH.as_bytes()),
        ] {
            for (name, octets) in &mappings {
                assert!(!holds(octets, key), "the {what} key is in {name}");
            }
        }
    }
}
