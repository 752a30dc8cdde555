//! What is told beside transitions: an advertisement of lower priority, priorities that trackers change, instances that a
//! reload removes. Told by ours and by stock: the same calls, lines and mails.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;

use nix::sys::signal::Signal;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::lab::{Lan, Node, PATIENCE, until_or};
use crate::mailbox::{Mail, Mailbox, PORT};
use crate::routers::Which::{self, Ours, Stock};
use crate::routers::lan;
use crate::story::all_ended;

/// By whom they are about: lines of the FIFO, calls of scripts, mails.
#[derive(Debug, Default)]
struct Told {
    lines: BTreeMap<String, Vec<String>>,
    calls: BTreeMap<String, Vec<String>>,
    mails: BTreeMap<String, Vec<Mail>>,
}

fn instance(n: u8, more: &str) -> String {
    format!(
        "vrrp_instance V{n} {{\n interface eth0\n state BACKUP\n version 3\n virtual_router_id 5{n}\n priority 100
 advert_int 0.3\n virtual_ipaddress {{\n 10.66.0.5{n}/24\n }}\n {more}\n}}\n"
    )
}

/// A master of priority 50 says that it is there, once.
fn lower_priority(node: &Node, vrid: u8) {
    let (from, to) = (Ipv4Addr::new(10, 66, 0, 2), Ipv4Addr::new(224, 0, 0, 18));
    let mut advert = vec![0x31, vrid, 50, 1, 0, 30, 0, 0, 10, 66, 0, vrid];
    let mut pseudo = [from.octets(), to.octets()].concat();
    pseudo.extend([0, 112, 0, 12]);
    let words = pseudo.chunks(2).chain(advert.chunks(2));
    let sum: u32 = words
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
    advert[6..8].copy_from_slice(&sum.to_be_bytes());
    node.ns.run(|| {
        let kind = Some(Protocol::from(112));
        let socket = Socket::new(Domain::IPV4, Type::RAW, kind).expect("a raw socket");
        let interface = socket.bind_device(Some(b"eth0"));
        interface.expect("our own interface");
        socket.set_multicast_ttl_v4(255).expect("our own socket");
        let to = SockAddr::from(std::net::SocketAddrV4::new(to, 0));
        socket.send_to(&advert, &to).expect("our own network");
    });
}

fn lines(lan: &Lan, file: &str) -> Vec<String> {
    let text = fs::read_to_string(lan.node(0).path(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// By the first or the second word: tags of calls, names in lines.
fn by(lines: Vec<String>, word: usize) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let who = line.split(' ').nth(word).unwrap_or_default().to_owned();
        all.entry(who).or_default().push(line);
    }
    all
}

fn tell(which: Which) -> Told {
    let lan = lan();
    let node = lan.node(0);
    let mailbox = Mailbox::open(&node.ns);
    let path = |name: &str| node.path(name).display().to_string();
    let text = format!("#!/bin/sh\necho \"$@\" >>{}\n", path("calls"));
    let script = node.file("n.sh", &text, 0o755).display().to_string();
    let text = format!("#!/bin/sh\nexec cat \"$1\" >>{}\n", path("lines"));
    let reader = node.file("r.sh", &text, 0o755).display().to_string();
    let file = node.file("number", "0\n", 0o644).display().to_string();
    let global = format!(
        "global_defs {{\n router_id r1\n script_user root\n vrrp_notify_priority_changes
 vrrp_notify_fifo {}\n vrrp_notify_fifo_script \"{reader}\"\n smtp_server 127.0.0.1 {PORT}\n smtp_helo_name helo.example
 notification_email_from ka@example.com\n notification_email {{\n ops@example.com\n }}\n smtp_alert\n}}
track_file number {{\n file {file}\n weight 1\n}}\n",
        path("fifo"),
    );
    let told_of = |n: u8| {
        format!(
            "notify_fault \"{script} v{n}-fault\"\n notify_stop \"{script} v{n}-stop\"\n notify \"{script} v{n}-any\""
        )
    };
    let first = instance(
        1,
        &format!(
            "track_file {{\n number\n }}\n notify_master_rx_lower_pri \"{script} v1-lower 'two words'\"\n {}",
            told_of(1)
        ),
    );
    let deleted = format!(
        "notify_deleted \"{script} v2-deleted 'two words'\"\n {}",
        told_of(2)
    );
    let conf = format!("{global}{first}");
    let more = instance(2, &deleted) + &instance(3, &told_of(3));
    let mut daemon = which.start(node, &format!("{conf}{more}"));
    let heard = |line: &str| {
        until_or(
            || format!("{which:?}: {line} in {:#?}", lines(&lan, "lines")),
            PATIENCE,
            || lines(&lan, "lines").iter().any(|l| l == line).then_some(()),
        );
    };
    for n in 1..=3 {
        heard(&format!("INSTANCE \"V{n}\" MASTER 100"));
    }
    fs::write(&file, "20\n").expect("our file");
    heard("INSTANCE \"V1\" MASTER_PRIORITY 120");
    lower_priority(lan.node(1), 51);
    heard("INSTANCE \"V1\" MASTER_RX_LOWER_PRI 120");
    let mut peer = Ours.start(
        lan.node(1),
        &instance(1, "").replace("priority 100", "priority 200"),
    );
    heard("INSTANCE \"V1\" BACKUP 120");
    fs::write(&file, "-30\n").expect("our file");
    heard("INSTANCE \"V1\" BACKUP_PRIORITY 70");
    let mails = || {
        let mut all: BTreeMap<String, Vec<Mail>> = BTreeMap::new();
        for mail in mailbox.mails() {
            all.entry(mail.subject().0).or_default().push(mail);
        }
        all
    };
    let mailed = |what: &str, n: u8, times: usize| {
        let who = format!("[r1] VRRP Instance V{n}");
        until_or(
            || format!("{which:?}: mails, {what}, of V{n} in {:#?}", mails()),
            PATIENCE,
            || {
                let all = mails();
                let of = all.get(&who).into_iter().flatten();
                (of.filter(|m| m.subject().1 == what).count() >= times).then_some(())
            },
        );
    };
    // A reload of stock drops those that are on their way.
    mailed("Entering BACKUP state", 1, 2);
    lan.node(0).configure(&conf);
    daemon.signal(Signal::SIGHUP);
    heard("INSTANCE \"V2\" DELETED 100");
    let called = |call: &str| {
        until_or(
            || format!("{which:?}: {call} in {:#?}", lines(&lan, "calls")),
            PATIENCE,
            || lines(&lan, "calls").iter().any(|l| l == call).then_some(()),
        );
    };
    called("v2-any INSTANCE V2 DELETED 100");
    called("v3-any INSTANCE V3 FAULT 100");
    // The mails about what is gone.
    mailed("Deleted", 2, 1);
    mailed("Entering FAULT state", 3, 1);
    let told_before = mails();
    daemon.stop();
    peer.stop();
    // Stock does not wait for its last scripts.
    all_ended(node);
    // Stock ends the reader before it has read of the stop.
    let before_stop = lines(&lan, "lines");
    let before_stop = before_stop.into_iter().filter(|l| !l.contains(" STOP "));
    Told {
        lines: by(before_stop.collect(), 1),
        calls: by(lines(&lan, "calls"), 0),
        mails: told_before,
    }
}

#[test]
fn incidents_priorities_and_deletions_are_told_as_stock_tells_them() {
    if !crate::lab::root() {
        return;
    }
    let (ours, stock) = std::thread::scope(|scope| {
        let stock = scope.spawn(|| tell(Stock));
        (tell(Ours), stock.join().expect("stock keepalived runs"))
    });
    // 2.2.7 tells a priority once more when a reload reads the file again; 2.4.3 does not.
    let once = |told: &Told| {
        let mut lines = told.lines.clone();
        lines.values_mut().for_each(Vec::dedup);
        lines
    };
    assert_eq!(ours.lines, once(&stock), "lines: ours, then stock's");
    assert_eq!(ours.calls, stock.calls, "calls: ours, then stock's");
    let subjects = |told: &Told| -> BTreeMap<String, Vec<String>> {
        let all = told.mails.iter();
        all.map(|(who, mails)| {
            let mut what: Vec<_> = mails.iter().map(|m| m.subject().1).collect();
            what.sort(); // stock sends all at once
            (who.clone(), what)
        })
        .collect()
    };
    assert_eq!(
        subjects(&ours),
        subjects(&stock),
        "mails: ours, then stock's"
    );
}
