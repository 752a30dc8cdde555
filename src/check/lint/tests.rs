//! Each rule on a file that it is about, and silence on a sane one.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::LINTS;
use crate::check::finding::{Finding, Node};
use crate::check::places::Places;
use crate::config::fake::{Fake, MAIN};
use crate::config::host::Host;
use crate::config::source::Code;
use crate::config::{LoadOptions, load};

/// The codes of all rules about a file, and the line of each.
pub(crate) fn lint(text: &str) -> Vec<(Code, u32)> {
    let mut fake = Fake::with(text);
    fake.programs = vec!["/bin/x".into()];
    let line = |f: &Finding| f.diag.span.map_or(0, |s| s.line);
    let found = findings(&fake);
    found.iter().map(|f| (f.diag.code, line(f))).collect()
}

/// What all rules say of the file of `host`.
fn findings(host: &impl Host) -> Vec<Finding> {
    let options = LoadOptions {
        path: MAIN.into(),
        ..LoadOptions::default()
    };
    let node = Node {
        options: LoadOptions::default(),
        number: 0,
        name: MAIN.into(),
        loaded: load(&options, host),
    };
    let mut found = Vec::new();
    let places = Places::new(&node, host);
    LINTS.iter().for_each(|lint| lint(&places, &mut found));
    found
}

fn instance(name: &str, vrid: u8, address: &str, more: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n virtual_ipaddress {{\n {address}\n }}\n {more}\n}}\n"
    )
}

const SCRIPT: &str = "vrrp_script S {\n script /bin/x\n interval 2\n timeout 1\n}\n";

#[test]
fn a_sane_file_is_left_alone() {
    let tracked = "priority 150\n track_script {\n S weight -60\n }";
    let text = SCRIPT.to_owned()
        + &instance("A", 51, "10.0.0.1/24", tracked)
        + &instance("B", 52, "10.0.0.2/24", "");
    assert_eq!(lint(&text), []);
}

#[test]
fn what_is_hardly_meant_is_found_at_its_place() {
    let two = instance("A", 51, "10.0.0.1/24", "") + &instance("B", 52, "10.0.0.1/24", "");
    assert_eq!(lint(&two), [(Code::AddressTwice, 12)]);
    let own = "unicast_src_ip 10.0.0.9\n unicast_peer {\n 10.0.0.9\n }";
    assert_eq!(
        lint(&instance("A", 51, "10.0.0.1/24", own)),
        [(Code::OwnPeer, 8)]
    );
    assert_eq!(
        lint(&instance("A", 51, "10.0.0.1/24", "strict_mode on")),
        [(Code::StrictDrops, 7)]
    );
    assert_eq!(
        lint(&instance("A", 51, "10.0.0.1/24", "state MASTER")),
        [(Code::OwnerByAccident, 7)]
    );
    let mail = "global_defs {\n notification_email {\n a@b.c\n }\n}\n".to_owned();
    assert_eq!(
        lint(&(mail + &instance("A", 51, "10.0.0.1/24", ""))),
        [(Code::MailNowhere, 2)]
    );
}

#[test]
fn trackers_that_cannot_matter_are_found() {
    let a = |more: &str| SCRIPT.to_owned() + &instance("A", 51, "10.0.0.1/24", more);
    assert_eq!(lint(&a("")), [(Code::Unused, 1)]);
    let owner = "priority 255\n track_process {\n P weight -60\n }";
    let process = "vrrp_track_process P {\n process sleep\n}\n";
    assert_eq!(
        lint(&(process.to_owned() + &instance("A", 51, "10.0.0.1/24", owner))),
        [(Code::WeightOfOwner, 11)]
    );
    let high = "priority 254\n track_script {\n S weight 5\n }";
    assert_eq!(lint(&a(high)), [(Code::WeightWithoutRoom, 13)]);
    let slow = SCRIPT.replace("timeout 1", "timeout 5");
    let used = instance("A", 51, "10.0.0.1/24", "track_script {\n S\n }");
    assert_eq!(lint(&(slow + &used)), [(Code::SlowScript, 4)]);
}

#[test]
fn virtual_servers_that_go_in_circles_are_found() {
    let server = |more: &str| {
        format!(
            "virtual_server 10.0.0.1 80 {{\n lvs_sched rr\n lvs_method NAT\n protocol TCP\n{more}}}\n"
        )
    };
    let real = |addr: &str, more: &str| format!(" real_server {addr} 80 {{\n{more} }}\n");
    assert_eq!(lint(&server(&real("10.0.0.2", ""))), []);
    assert_eq!(
        lint(&server(&real("10.0.0.1", ""))),
        [(Code::RealIsVirtual, 5)]
    );
    let sorry = " sorry_server 10.0.0.2 80\n".to_owned();
    assert_eq!(
        lint(&server(&(sorry + &real("10.0.0.2", "")))),
        [(Code::SorryIsReal, 5)]
    );
    let check = " MISC_CHECK {\n misc_path /bin/x\n misc_timeout 90\n }\n";
    assert_eq!(
        lint(&server(&real("10.0.0.2", check))),
        [(Code::SlowCheck, 5)]
    );
}

/// A machine with addresses.
struct Wired(Fake);

macro_rules! hand_on {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        impl Host for Wired {
            $(fn $name(&self, $($arg: $ty),*) -> $out { self.0.$name($($arg),*) })*

            fn prefixes(&self, name: &str) -> Vec<(IpAddr, u8)> {
                match name {
                    "eth0" => vec![([10, 0, 0, 5].into(), 24), ([10, 9, 9, 9].into(), 32)],
                    _ => Vec::new(),
                }
            }
        }
    };
}

use crate::config::host::{FileFacts, Interface, ReadError, SubLinkFacts, User};

hand_on! {
    read(path: &Path) -> Result<Vec<u8>, ReadError>;
    list(dir: &Path) -> Vec<String>;
    lstat(path: &Path) -> Option<FileFacts>;
    real_path(path: &Path) -> Option<PathBuf>;
    cwd() -> PathBuf;
    enter(name: &str) -> bool;
    resolve(name: &str) -> Option<IpAddr>;
    interface(name: &str) -> Option<Interface>;
    sub_links() -> Vec<SubLinkFacts>;
    is_vrf(name: &str) -> bool;
    user(name: &str) -> Option<User>;
    group(name: &str) -> Option<u32>;
    user_name(uid: u32) -> Option<String>;
    group_name(gid: u32) -> Option<String>;
    groups_of(user: &str, gid: u32) -> Vec<u32>;
    groups_of_uid(uid: u32, gid: u32) -> Vec<u32>;
    myself() -> User;
    node_name() -> String;
    env(name: &str) -> Option<String>;
    seconds() -> u64;
    cpus() -> usize;
}

#[test]
fn an_address_belongs_to_a_network_of_its_interface() {
    let text = instance("A", 51, "192.0.2.1", "") + &instance("B", 52, "10.0.0.2", "");
    let host = Wired(Fake::with(text));
    let codes: Vec<Code> = findings(&host).iter().map(|f| f.diag.code).collect();
    assert_eq!(codes, [Code::OutsidePrefix]);
}
