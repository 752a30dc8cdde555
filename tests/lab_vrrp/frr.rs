//! Ours beside FRR's vrrpd, which speaks through a macvlan with the virtual MAC: election, failover and failback in both
//! roles, and never two masters for longer than a packet takes.
//!
//! FRR leaves making the macvlan, and its addresses, to the operator; it only takes the carrier from it while it is
//! backup. So whether FRR is master is read off the wire.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::lab::daemon::now;
use crate::lab::frame::Seen;
use crate::lab::witness::stood_still;
use crate::lab::{Lan, Node, PATIENCE, until};
use crate::routers::{LATE, VIP, Which, assert_on_time, lan, last};

const BINARIES: &str = "/usr/lib/frr";
/// Both routers', in version 2 the least there is.
const INTERVAL: Duration = Duration::from_secs(1);
/// Three intervals and the skew time of priority 100, which is the same in both versions at one second.
const DOWN: Duration = Duration::from_micros(3_609_375);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    V4,
    V6,
}

impl Over {
    fn vip(self) -> &'static str {
        match self {
            Self::V4 => VIP,
            Self::V6 => "fe80::100",
        }
    }
}

/// zebra and vrrpd on one machine; killed when dropped.
struct Frr {
    zebra: Child,
    vrrpd: Child,
}

impl Frr {
    fn start(node: &Node, version: u8, over: Over, priority: u8) -> Self {
        let (mac, family) = match over {
            Over::V4 => ("00:00:5e:00:01:42", "ip"),
            Over::V6 => ("00:00:5e:00:02:42", "ipv6"),
        };
        let vip = over.vip();
        if !node.ip("-o link").contains("vr66") {
            node.ip("link add vr66 link eth0 type macvlan mode bridge");
            node.ip(&format!("link set vr66 address {mac}"));
            let len = if over == Over::V4 { 24 } else { 64 };
            let nodad = if over == Over::V4 { "" } else { "nodad" };
            node.ip(&format!("addr add {vip}/{len} dev vr66 {nodad}"));
            node.ip("link set vr66 up");
        }
        // FRR gives up root, and wants a place for its sockets all the same.
        let dir = node.path("frr");
        if !dir.is_dir() {
            fs::create_dir(&dir).expect("a directory of our own");
            let all = fs::Permissions::from_mode(0o777);
            fs::set_permissions(&dir, all).expect("mode of our own directory");
        }
        let none = node.file("zebra.conf", "", 0o644);
        let conf = node.file(
            "vrrpd.conf",
            &format!(
                "interface eth0\n vrrp 66 version {version}\n vrrp 66 priority {priority}\n \
                 vrrp 66 advertisement-interval 1000\n vrrp 66 {family} {vip}\n"
            ),
            0o644,
        );
        let zebra = spawn(node, "zebra", &dir, &none);
        until("zebra listens", PATIENCE, || {
            dir.join("api").exists().then_some(())
        });
        let vrrpd = spawn(node, "vrrpd", &dir, &conf);
        Self { zebra, vrrpd }
    }

    /// Without a farewell. When.
    fn kill(&mut self) -> u64 {
        let at = now();
        for child in [&mut self.vrrpd, &mut self.zebra] {
            let _ = child.kill();
            let _ = child.wait();
        }
        at
    }
}

impl Drop for Frr {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(node: &Node, name: &str, dir: &Path, conf: &Path) -> Child {
    let api = dir.join("api");
    if name == "zebra" {
        let _ = fs::remove_file(&api); // that of one that was killed
    }
    let number = node.logs().len();
    let log = File::create(node.path(&format!("log{number}"))).expect("a log file");
    let mut command = Command::new(Path::new(BINARIES).join(name));
    command
        .arg("-f")
        .arg(conf)
        .arg("-i")
        .arg(dir.join(format!("{name}.pid")))
        .arg("-z")
        .arg(api)
        .arg("--vty_socket")
        .arg(dir)
        .args(["-P", "0", "--log", "stdout"])
        .stdin(Stdio::null())
        .stderr(log.try_clone().expect("a second descriptor"))
        .stdout(log);
    let child = node.ns.spawn(&mut command);
    child.unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Whether FRR can be had; says so in the words that `tests/run` counts.
fn installed() -> bool {
    let there = Path::new(BINARIES).join("vrrpd").exists();
    if !there {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        let _ = writeln!(std::io::stderr(), "skipped: needs frr: {test}");
    }
    there
}

fn conf(version: u8, over: Over, priority: u8) -> String {
    let vip = over.vip();
    let len = if over == Over::V4 { 24 } else { 64 };
    format!(
        "global_defs {{\n router_id lab\n}}\nvrrp_instance V {{\n state BACKUP\n interface eth0\n \
         virtual_router_id 66\n version {version}\n priority {priority}\n advert_int 1\n \
         virtual_ipaddress {{\n {vip}/{len}\n }}\n}}\n"
    )
}

/// Both may be heard over IPv6 at once.
fn prepared() -> Lan {
    let lan = lan();
    for n in 0..2 {
        lan.node(n)
            .ip(&format!("addr add fe80::{}/64 dev eth0 nodad", n + 1));
    }
    lan
}

/// Waits until one node alone has advertised for three intervals.
fn alone(lan: &Lan, what: &str, node: usize, since: u64) {
    let quiet = u64::try_from((3 * INTERVAL).as_nanos()).expect("seconds fit");
    lan.wait(what, PATIENCE, |seen| {
        let of = |n: usize, s: &&Seen| s.node == n && s.priority().is_some_and(|p| p > 0);
        let last = seen.iter().rfind(|s| of(node, s))?.at;
        let rival = seen.iter().rfind(|s| of(1 - node, s)).map_or(0, |s| s.at);
        (last > since.max(rival) + quiet).then_some(())
    });
}

/// The better router's first advertisement was the end of the other one's, but for one that was on its way.
fn gave_way(lan: &Lan, better: usize, since: u64) {
    let first = lan.advert("the better router is back", better, since, |a| {
        a.priority == 150
    });
    alone(lan, "the better router is alone", better, first.at);
    let grace = INTERVAL + LATE + stood_still(first.at, now());
    let grace = u64::try_from(grace.as_nanos()).expect("seconds fit");
    let after = |s: &&Seen| {
        s.node != better && s.at > first.at + grace && s.priority().is_some_and(|p| p > 0)
    };
    let seen = lan.events();
    let late = seen.iter().find(after);
    assert_eq!(late, None, "two masters\n{}", lan.story());
}

fn frr_is_the_better_one(version: u8, over: Over) {
    let lan = prepared();
    let mut better = Frr::start(lan.node(0), version, over, 150);
    let ours = Which::Ours.start(lan.node(1), &conf(version, over, 100));
    ours.wait_log("Entering BACKUP STATE");
    alone(&lan, "FRR is master", 0, now());
    let killed = better.kill();
    let first = lan.advert("ours takes over", 1, killed, |a| a.priority == 100);
    let from = last(&lan, 0, 150, &first).at;
    assert_on_time(&lan, "takeover", from, first.at, DOWN);
    lan.node(1).wait_has(over.vip(), true);
    let again = now();
    let _better = Frr::start(lan.node(0), version, over, 150);
    gave_way(&lan, 0, again);
    lan.node(1).wait_has(over.vip(), false);
}

fn ours_is_the_better_one(version: u8, over: Over) {
    let lan = prepared();
    let mut better = Which::Ours.start(lan.node(0), &conf(version, over, 150));
    let _frr = Frr::start(lan.node(1), version, over, 100);
    alone(&lan, "ours is master", 0, now());
    lan.node(0).wait_has(over.vip(), true);
    let killed = better.kill();
    let first = lan.advert("FRR takes over", 1, killed, |a| a.priority == 100);
    alone(&lan, "FRR is alone", 1, first.at);
    let again = now();
    let _better = Which::Ours.start(lan.node(0), &conf(version, over, 150));
    gave_way(&lan, 0, again);
    lan.node(0).wait_has(over.vip(), true);
}

macro_rules! with_both_roles {
    ($($name:ident: $version:expr, $over:expr;)*) => {$(
        mod $name {
            #[test]
            fn frr_is_the_better_one() {
                if crate::lab::root() && super::installed() {
                    super::frr_is_the_better_one($version, $over);
                }
            }

            #[test]
            fn ours_is_the_better_one() {
                if crate::lab::root() && super::installed() {
                    super::ours_is_the_better_one($version, $over);
                }
            }
        }
    )*};
}

with_both_roles! {
    version_2: 2, super::Over::V4;
    version_3: 3, super::Over::V4;
    version_3_over_ipv6: 3, super::Over::V6;
}
