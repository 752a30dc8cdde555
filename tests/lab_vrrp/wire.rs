//! What goes onto the wire: octet for octet what stock keepalived sends from the same file, and clean to a decoder.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::lab::frame::{Event, Seen};
use crate::lab::{Lan, PATIENCE, root};
use crate::routers::Which::{self, Ours, Stock};

/// One instance named V on eth0, with these lines in it.
fn instance(lines: &str) -> String {
    format!(
        "global_defs {{\n router_id lab\n script_user root\n}}\nvrrp_instance V {{\n interface eth0\n {lines}\n}}\n"
    )
}

/// Runs the file alone on a LAN from its start to its stop; the frames it sent.
fn life(which: Which, conf: &str, addresses: usize) -> Vec<Seen> {
    let lan = Lan::new("eth0", &["10.66.0.1/24", "10.66.0.2/24"]);
    // Without its own answer the neighbour of a unicast configuration could not be resolved.
    lan.node(0)
        .ip("neigh add 10.66.0.2 lladdr 02:00:00:00:00:02 dev eth0");
    lan.node(0)
        .ip("neigh add fe80::67 lladdr 02:00:00:00:00:02 dev eth0");
    lan.node(0).ip("addr add fe80::66/64 dev eth0 nodad");
    let mut daemon = which.start(lan.node(0), conf);
    lan.wait("three advertisements and one burst", PATIENCE, |seen| {
        let adverts = seen
            .iter()
            .filter(|s| s.node == 0 && s.advert().is_some())
            .count();
        let announced = seen
            .iter()
            .filter(|s| matches!(s.event, Event::Announce(_)) && s.node == 0)
            .count();
        (adverts >= 3 && announced >= 5 * addresses).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    lan.advert("the last word", 0, 0, |a| a.priority == 0);
    daemon.wait_exit();
    lan.events()
        .into_iter()
        .filter(|s| s.node == 0 && s.event != Event::Other)
        .collect()
}

/// The first three advertisements, the first burst, the last advertisement; identification and checksum of the IPv4
/// header blanked, since the one is free to choose and the other follows from it.
fn essence(frames: &[Seen], addresses: usize) -> Vec<String> {
    let adverts: Vec<&Seen> = frames.iter().filter(|s| s.advert().is_some()).collect();
    let announced = frames
        .iter()
        .filter(|s| matches!(s.event, Event::Announce(_)))
        .take(5 * addresses);
    let resigned = adverts.iter().filter(|s| s.priority() == Some(0));
    adverts
        .iter()
        .take(3)
        .chain(resigned)
        .copied()
        .chain(announced)
        .map(|s| hex(&blanked(&s.octets)))
        .collect()
}

pub(crate) fn blanked(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[12..14] == [0x08, 0x00] {
        frame[18..20].fill(0);
        frame[24..26].fill(0);
    }
    frame
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|o| format!("{o:02x}")).collect()
}

fn same_octets(lines: &str, addresses: usize) {
    if root() {
        decodes(&compared(lines, addresses));
    }
}

/// What we send, which is what stock sends.
fn compared(lines: &str, addresses: usize) -> Vec<Seen> {
    let conf = instance(lines);
    let (ours, stock) = std::thread::scope(|scope| {
        let stock = scope.spawn(|| life(Stock, &conf, addresses));
        let ours = life(Ours, &conf, addresses);
        (ours, stock.join().expect("stock keepalived runs"))
    });
    assert_eq!(
        essence(&ours, addresses),
        essence(&stock, addresses),
        "ours, then stock's"
    );
    ours
}

/// tshark finds nothing to complain about.
fn decodes(frames: &[Seen]) {
    let dir = crate::lab::TempDir::new();
    let file = dir.path().join("frames.pcap");
    fs::write(&file, pcap(frames)).expect("a file in our own directory");
    let complaints = tshark(&file, &["-Y", "_ws.expert.severity >= \"Warning\"", "-V"]);
    assert_eq!(complaints, "", "tshark complains");
    let known = tshark(
        &file,
        &[
            "-Y",
            "vrrp || arp || icmpv6.type == 136",
            "-T",
            "fields",
            "-e",
            "frame.number",
        ],
    );
    assert_eq!(
        known.lines().count(),
        frames.len(),
        "tshark does not know all frames"
    );
}

fn tshark(file: &Path, args: &[&str]) -> String {
    let mut command = Command::new("tshark");
    command
        .args(["-o", "ip.check_checksum:TRUE", "-n", "-r"])
        .arg(file)
        .args(args);
    let out = command.output().expect("tshark is installed");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The classic capture format, in nanoseconds.
fn pcap(frames: &[Seen]) -> Vec<u8> {
    let word = |n: u64| u32::try_from(n).expect("fits until 2106").to_le_bytes();
    let mut out = Vec::new();
    for n in [0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 1] {
        out.extend(word(n));
    }
    for frame in frames {
        let len = frame.octets.len() as u64;
        for n in [frame.at / 1_000_000_000, frame.at % 1_000_000_000, len, len] {
            out.extend(word(n));
        }
        out.extend(&frame.octets);
    }
    out
}

#[test]
fn version_2_without_authentication() {
    same_octets(
        "virtual_router_id 66\n priority 150\n virtual_ipaddress {\n 10.66.0.100/24\n }",
        1,
    );
}

#[test]
fn version_2_with_a_password() {
    same_octets(
        "virtual_router_id 51\n priority 100\n advert_int 1\n authentication {\n auth_type PASS\n auth_pass 1111\n }
 virtual_ipaddress {\n 10.66.0.100\n }",
        1,
    );
}

#[test]
fn a_password_of_more_than_eight_characters_is_cut() {
    same_octets(
        "virtual_router_id 51\n priority 100\n authentication {\n auth_type PASS\n auth_pass 1234567890\n }
 virtual_ipaddress {\n 10.66.0.100\n }",
        1,
    );
}

#[test]
fn several_addresses_in_their_order_without_the_excluded() {
    same_octets(
        "virtual_router_id 7\n priority 120\n virtual_ipaddress {\n 10.66.0.103/24\n 10.66.0.101\n 10.66.0.102/32 dev eth0\n }
 virtual_ipaddress_excluded {\n 10.66.0.104\n }",
        4,
    );
}

#[test]
fn the_owner_of_the_address() {
    same_octets(
        "state MASTER\n virtual_router_id 9\n priority 255\n virtual_ipaddress {\n 10.66.0.100/24\n }",
        1,
    );
}

#[test]
fn a_longer_interval() {
    same_octets(
        "virtual_router_id 66\n priority 250\n advert_int 2\n virtual_ipaddress {\n 10.66.0.100\n }",
        1,
    );
}

#[test]
fn version_3_over_ipv4() {
    same_octets(
        "version 3\n virtual_router_id 66\n priority 150\n advert_int 0.25\n virtual_ipaddress {\n 10.66.0.100/24\n }",
        1,
    );
}

#[test]
fn version_3_over_ipv6() {
    same_octets(
        "virtual_router_id 66\n priority 150\n advert_int 0.5\n virtual_ipaddress {\n fe80::100\n 2001:db8::100/64\n }",
        2,
    );
}

#[test]
fn version_2_with_an_authentication_header() {
    same_octets(
        "virtual_router_id 66\n priority 150\n authentication {\n auth_type AH\n auth_pass s3cret\n }
 virtual_ipaddress {\n 10.66.0.100/24\n }",
        1,
    );
}

#[test]
fn unicast_over_ipv4_with_a_ttl() {
    same_octets(
        "virtual_router_id 66\n priority 150\n version 3\n advert_int 0.25\n unicast_src_ip 10.66.0.1\n unicast_ttl 9
 unicast_peer {\n 10.66.0.2\n }\n virtual_ipaddress {\n 10.66.0.100/24\n }",
        1,
    );
}

#[test]
fn unicast_with_the_old_checksum() {
    if !root() {
        return;
    }
    // No decoder knows it.
    compared(
        "virtual_router_id 66\n priority 150\n version 3\n advert_int 0.25\n old_unicast_checksum\n unicast_src_ip 10.66.0.1
 unicast_peer {\n 10.66.0.2\n }\n virtual_ipaddress {\n 10.66.0.100/24\n }",
        1,
    );
}

#[test]
fn unicast_over_ipv6() {
    same_octets(
        "virtual_router_id 66\n priority 150\n advert_int 0.5\n unicast_src_ip fe80::66\n unicast_peer {\n fe80::67\n }
 virtual_ipaddress {\n fe80::100\n 2001:db8::100/64\n }",
        2,
    );
}

#[test]
fn another_group_and_a_source_of_its_own() {
    same_octets(
        "virtual_router_id 66\n priority 150\n version 3\n advert_int 0.25\n mcast_src_ip 10.66.0.1\n mcast_dst_ip 224.0.0.99
 virtual_ipaddress {\n 10.66.0.100/24\n }",
        1,
    );
}
