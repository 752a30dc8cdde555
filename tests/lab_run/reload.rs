//! Samples of the reload table (tests/reload.tsv) on the wire, beside the keepalived that is installed: which change makes
//! a master resign, and which does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use nix::sys::signal::Signal;

use crate::lab::daemon::now;
use crate::lab::{Lan, PATIENCE, root, until_or};
use crate::routers::Which;

/// A statement of an instance, and what becomes of the master.
struct Sample {
    keyword: String,
    statement: String,
    class: String,
}

/// Keywords of `vrrp_instance` that stand on one line, and whose statement concerns nobody else.
fn samples() -> Vec<Sample> {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reload.tsv");
    let table = fs::read_to_string(table).expect("a file of the project");
    let lines = table.lines().filter(|l| !l.starts_with('#'));
    let rows = lines.filter_map(|l| {
        let fields: Vec<&str> = l.split('\t').collect();
        let &[block, keyword, statement, class, others] = fields.as_slice() else {
            panic!("{l}");
        };
        let plain = block == "vrrp_instance" && others == "-";
        let one_line = !statement.contains([';', '{']);
        let here = ["keep", "adjust", "restart"].contains(&class);
        (plain && one_line && here).then(|| Sample {
            keyword: keyword.to_owned(),
            statement: statement.to_owned(),
            class: class.to_owned(),
        })
    });
    // What says where an instance is cannot stand twice.
    let rows: Vec<Sample> = rows
        .filter(|s| {
            // keepalived: the last one ends the process where the kernel has no IPVS.
            let left_out = [
                "interface",
                "virtual_router_id",
                "lvs_sync_daemon_interface",
            ];
            // The table's sample has a peer beside it, too.
            !s.keyword.contains("unicast") && !left_out.contains(&s.keyword.as_str())
        })
        .collect();
    assert!(rows.len() > 30, "{}", rows.len());
    rows
}

/// One instance for each sample; `changed`: with its statement.
fn conf(samples: &[Sample], changed: bool) -> String {
    let mut text = "global_defs {\n vrrp_garp_master_repeat 1\n vrrp_garp_master_delay 0\n \
                    script_user root\n}\n"
        .to_owned();
    for (n, s) in samples.iter().enumerate() {
        let vrid = n + 1;
        let statement = if changed { s.statement.as_str() } else { "" };
        // Writing to a String cannot fail.
        _ = write!(
            text,
            "vrrp_instance I{vrid} {{\n interface eth0\n virtual_router_id {vrid}\n priority 150\n \
             advert_int 1\n virtual_ipaddress {{\n 10.66.1.{vrid}/32\n }}\n {statement}\n}}\n"
        );
    }
    text
}

/// What departs from stock: a master that gets an interface for its addresses need not resign, and one that moves to
/// an ipvlan is another one on the wire.
const KNOWINGLY: &[&str] = &["use_vmac_addr", "use_ipvlan"];

/// VRID → whether it resigned at the reload.
fn resigned(which: Which, samples: &[Sample]) -> BTreeMap<u8, bool> {
    let lan = Lan::new("eth0", &["10.66.0.1/24"]);
    let node = lan.node(0);
    let mut daemon = which.start(node, &conf(samples, false));
    let masters = || daemon.log().matches("Entering MASTER STATE").count();
    until_or(
        || format!("{} masters\n{}", masters(), daemon.log()),
        PATIENCE,
        || (masters() >= samples.len()).then_some(()),
    );
    let signalled = now();
    node.configure(&conf(samples, true));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("Reload complete");
    let at = now();
    // Each has spoken again, as master or as one that resigns; some change their address or group and are not heard.
    let speaking = || {
        let seen = lan.capture.events();
        let after = seen.iter().filter(|s| s.at > at + 2_000_000_000);
        let vrids: BTreeSet<u8> = after.filter_map(|s| Some(s.advert()?.vrid)).collect();
        vrids.len()
    };
    until_or(
        || format!("{} have spoken\n{}", speaking(), daemon.log()),
        PATIENCE,
        || (speaking() + 8 >= samples.len()).then_some(()),
    );
    let mut found = BTreeMap::new();
    for seen in lan.events().iter().filter(|s| s.at > signalled) {
        if let Some(advert) = seen.advert() {
            *found.entry(advert.vrid).or_insert(false) |= advert.priority == 0;
        }
    }
    if which == Which::Ours {
        assert!(daemon.running(), "{}", daemon.log());
        daemon.stop();
    }
    found
}

#[test]
fn a_master_takes_each_change_as_the_table_says_and_stock_does() {
    if !root() {
        return;
    }
    let samples = samples();
    let (ours, stock) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| resigned(Which::Ours, &samples));
        let stock = resigned(Which::Stock, &samples);
        (ours.join().expect("ours"), stock)
    });
    let mut odd = Vec::new();
    for (n, s) in samples.iter().enumerate() {
        let vrid = u8::try_from(n + 1).expect("few samples");
        let (ours, stock) = (ours.get(&vrid), stock.get(&vrid));
        let wanted = s.class == "restart";
        if ours.is_some_and(|ours| *ours != wanted) {
            odd.push(format!("{}: the table says {}", s.statement, s.class));
        }
        if let (Some(ours), Some(stock)) = (ours, stock)
            && ours != stock
            && !KNOWINGLY.contains(&s.keyword.as_str())
        {
            odd.push(format!("{}: resigned {ours}, stock {stock}", s.statement));
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
}
