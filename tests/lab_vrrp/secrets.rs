//! Keys are nowhere in what a core file would hold, not even after signing, verifying and a reload, nor in what is told.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::lab::daemon::{Daemon, now};
use crate::lab::frame::Seen;
use crate::lab::{PATIENCE, root, until};
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
    let mark = now();
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

/// An instance whose first key is `key`.
fn signed(priority: u8, key: &str) -> String {
    format!(
        "global_defs {{\n router_id lab\n}}
vrrp_instance H {{
    interface eth0
    virtual_router_id 66
    priority {priority}
    version 3
    advert_int 0.1
    down_timer_adverts 20
    auth_hmac {{
        key 1 {key}
        active_key 1
    }}
    virtual_ipaddress {{
        10.66.0.100/24
    }}
}}
"
    )
}

/// Of which one wants to know what it holds.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("our own directory");
    let paths = entries.map(|e| e.expect("our own directory").path());
    paths.filter(|p| p.is_file()).collect()
}

#[test]
fn a_key_from_a_systemd_credential_signs_and_is_told_nowhere() {
    if !root() {
        return;
    }
    let lan = lan();
    let node = lan.node(0);
    let credentials = node.path("credentials");
    fs::create_dir(&credentials).expect("a directory in our own");
    // As `LoadCredential=vrrp:FILE` of a unit makes it; editors end the last line.
    node.file("credentials/vrrp", &format!("{PLAIN}\n"), 0o400);
    let start = format!(
        "#!/bin/sh\nCREDENTIALS_DIRECTORY={} exec {} \"$@\"\n",
        credentials.display(),
        Ours.binary().display()
    );
    let start = node.file("start", &start, 0o755);
    let from_file = |priority| signed(priority, "file:${_ENV CREDENTIALS_DIRECTORY}/vrrp");
    let mut master = node.start(&start, &from_file(150));
    master.wait_log("(H) Entering MASTER STATE");
    let backup = Ours.start(lan.node(1), &signed(100, PLAIN));
    backup.wait_log("(H) Entering BACKUP STATE");
    // It takes no notice of what is not signed with its key.
    let heard = now();
    lan.advert("the master goes on", 0, heard + 1_500_000_000, |a| {
        a.priority == 150
    });
    let spoke = |s: &Seen| s.node == 1 && s.priority() == Some(100);
    assert!(
        !lan.events().iter().any(spoke),
        "two masters\n{}",
        lan.story()
    );
    // What is read again is the file.
    node.configure(&from_file(160));
    master.signal(Signal::SIGHUP);
    let reloaded = lan.advert("it goes on as another", 0, heard, |a| a.priority == 160);
    lan.advert("and on", 0, reloaded.at + 1_000_000_000, |a| {
        a.priority == 160
    });
    assert!(
        !lan.events().iter().any(spoke),
        "two masters\n{}",
        lan.story()
    );
    master.signal(Signal::SIGUSR1);
    let data = node.path("keepalived.data");
    until("the dump", PATIENCE, || data.exists().then_some(()));
    master.stop();
    let all = files(&node.path(""));
    assert!(all.len() > 3, "{all:?}");
    for file in all {
        let octets = fs::read(&file).expect("our own file");
        assert!(!holds(&octets, PLAIN.as_bytes()), "{}", file.display());
    }
    // Without the file there is no key, and so nobody to speak.
    fs::remove_file(credentials.join("vrrp")).expect("our own file");
    let without = node.start(&start, &from_file(150));
    without.wait_log("no key can be read from ");
}
