//! Reports about small changes.

use super::report;
use crate::check::finding::Node;
use crate::config::fake::{Fake, MAIN};

fn node(text: &str, number: usize) -> (Node, Fake) {
    let mut fake = Fake::with(text);
    fake.programs = vec!["/bin/x".into()];
    let node = Node {
        options: crate::config::LoadOptions::default(),
        number,
        name: MAIN.into(),
        loaded: fake.load(),
    };
    (node, fake)
}

fn told(old: &str, new: &str) -> String {
    let ((old, _), (new, host)) = (node(old, 0), node(new, 1));
    report(&old, &new, &host)
}

const A: &str = "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 10.0.0.1/24\n }\n}\n";

#[test]
fn nothing_changes_when_a_line_moves() {
    let moved = format!("# a comment\n\n{A}");
    assert_eq!(told(A, &moved), "vrrp_instance: 1 block kept as they run\n");
}

#[test]
fn a_new_name_is_a_change_and_values_are_told_from_old_to_new() {
    let new = A.replace("vrrp_instance A", "vrrp_instance OUT").replace(
        "virtual_router_id 51",
        "virtual_router_id 51\n priority 150\n nopreempt",
    );
    let new = new.replace(" 10.0.0.1/24\n", " 10.0.0.1/24\n 10.0.0.2/24\n");
    let lines = told(A, &new);
    for line in [
        "vrrp_instance OUT (eth0, IPv4, VRID 51): adjusted while it runs",
        "    was called A (eth0, IPv4, VRID 51)",
        "    priority 100 -> 150",
        "    nopreempt off -> on",
        "    virtual_ipaddress: 10.0.0.2/24 dev eth0 scope 0 preferred_lft forever: added",
    ] {
        assert!(lines.lines().any(|l| l == line), "{line}\n{lines}");
    }
    assert_eq!(lines.lines().count(), 5, "{lines}");
}

#[test]
fn another_vrid_is_another_instance() {
    let lines = told(A, &A.replace("51", "52"));
    assert!(lines.contains("VRID 51): removed"), "{lines}");
    assert!(lines.contains("VRID 52): added"), "{lines}");
}

#[test]
fn a_key_is_told_without_being_shown() {
    let with = |pass: &str| {
        let auth = format!("authentication {{\n auth_type PASS\n auth_pass {pass}\n }}\n");
        A.replace(" virtual_ipaddress", &(auth + " virtual_ipaddress"))
    };
    let lines = told(&with("older"), &with("newer"));
    assert!(lines.contains("a value that is not shown"), "{lines}");
    assert!(!lines.contains("newer"), "{lines}");
}

#[test]
fn what_would_be_refused_is_said_first() {
    let lines = told(A, &A.replace("eth0", "nosuch"));
    assert!(
        lines.contains("the old configuration stays in force"),
        "{lines}"
    );
    assert_eq!(lines.lines().count(), 1);
}

#[test]
fn trackers_are_told_as_the_daemon_takes_them() {
    let text = |file: &str, process: &str, quorum: &str| {
        format!(
            "track_file F {{\n file {file}\n}}\nvrrp_track_process P {{\n process {process}\n quorum {quorum}\n}}\n{A}"
        )
    };
    let old = text("/etc/keepalived/a", "one", "1");
    let lines = told(&old, &text("/etc/keepalived/b", "two", "1"));
    assert!(
        lines.contains("track_file F: restarted: its number"),
        "{lines}"
    );
    assert!(
        lines.contains("vrrp_track_process P: restarted: its processes"),
        "{lines}"
    );
    let lines = told(&old, &text("/etc/keepalived/a", "one", "2"));
    assert!(
        lines.contains("vrrp_track_process P: adjusted while it runs"),
        "{lines}"
    );
}

#[test]
fn a_check_that_is_another_one_begins_anew() {
    let server = |check: &str| {
        format!(
            "virtual_server 10.0.0.1 80 {{\n lvs_sched rr\n lvs_method NAT\n protocol TCP\n real_server 10.0.0.2 80 \
             {{\n TCP_CHECK {{\n{check}}}\n }}\n}}\n"
        )
    };
    let lines = told(&server(""), &server(" connect_port 8080\n"));
    assert!(lines.contains("with checks that begin anew"), "{lines}");
    let lines = told(&server(""), &server(" delay_loop 3\n"));
    assert!(
        lines.contains("10.0.0.2 80: adjusted while it runs\n"),
        "{lines}"
    );
}

#[test]
fn real_servers_are_told_one_by_one() {
    let server = |real: &str| {
        format!(
            "virtual_server 10.0.0.1 80 {{\n lvs_sched rr\n lvs_method NAT\n protocol TCP\n{real}}}\n"
        )
    };
    let old = server(" real_server 10.0.0.2 80 {\n weight 1\n }\n real_server 10.0.0.3 80 {\n }\n");
    let new = server(" real_server 10.0.0.2 80 {\n weight 5\n }\n real_server 10.0.0.4 80 {\n }\n");
    let lines = told(&old, &new);
    for line in [
        "virtual_server 10.0.0.1 80, real_server 10.0.0.3 80: removed",
        "virtual_server 10.0.0.1 80, real_server 10.0.0.4 80: added",
        "virtual_server 10.0.0.1 80, real_server 10.0.0.2 80: adjusted while it runs",
        "    weight 1 -> 5",
    ] {
        assert!(lines.lines().any(|l| l == line), "{line}\n{lines}");
    }
}
