//! One story, start to stop, told by ours and by stock: the same calls, lines and mails in the same order.

use std::collections::BTreeMap;
use std::fs;

use nix::sys::signal::Signal;

use crate::lab::daemon::Daemon;
use crate::lab::{Lan, Node, PATIENCE, until_or};
use crate::mailbox::{Mail, Mailbox, PORT};
use crate::routers::Which::{self, Ours, Stock};
use crate::routers::lan;

/// Everything that was told.
#[derive(Debug)]
struct Told {
    /// By who was told, in the order of the calls.
    calls: BTreeMap<String, Vec<String>>,
    /// What stands in the FIFOs, by FIFO.
    lines: BTreeMap<&'static str, Vec<String>>,
    /// By whom they are about. Without those about the stop, which stock does not manage to send.
    mails: BTreeMap<String, Vec<Mail>>,
}

/// Seconds from advertisement to advertisement: enough for a busy machine.
const INTERVAL: &str = "0.3";

fn instance(name: &str, vrid: u8, priority: u8, more: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n interface eth0\n state BACKUP\n version 3\n virtual_router_id {vrid}
 priority {priority}\n advert_int {INTERVAL}\n virtual_ipaddress {{\n 10.66.0.{vrid}/24\n }}\n {more}\n}}\n"
    )
}

fn scripts(script: &str, tag: &str) -> String {
    let mut text = String::new();
    for state in ["master", "backup", "fault", "stop"] {
        text += &format!(" notify_{state} \"{script} {tag}-{state} 'two words'\"\n");
    }
    text + &format!(" notify \"{script} {tag}-any\"\n")
}

struct Teller {
    lan: Lan,
    daemon: Daemon,
}

impl Teller {
    fn lines(&self, fifo: &str) -> Vec<String> {
        let text = fs::read_to_string(self.lan.node(0).path(fifo)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until both FIFOs and the scripts of the group have heard that for the `times`th time.
    fn heard(&self, state: &str, times: usize) {
        let line = format!("GROUP \"SG\" {state} 0");
        let call = format!("g-any GROUP SG {state} 0");
        let count = |file: &str, text: &str| {
            self.lines(file)
                .iter()
                .filter(|l| l.as_str() == text)
                .count()
        };
        until_or(
            || format!("{times} times {line}\n{}", self.lan.story()),
            PATIENCE,
            || {
                let told = count("all", &line) >= times && count("vrrp", &line) >= times;
                (told && count("calls", &call) >= times).then_some(())
            },
        );
    }
}

fn tell(which: Which) -> Told {
    let lan = lan();
    let node = lan.node(0);
    let mailbox = Mailbox::open(&node.ns);
    let path = |name: &str| node.path(name).display().to_string();
    let text = format!("#!/bin/sh\necho \"$@\" >>{}\n", path("calls"));
    let script = node.file("n.sh", &text, 0o755).display().to_string();
    // One that reads a FIFO: its own argument says which, the path comes last.
    let text = format!("#!/bin/sh\nexec cat \"$2\" >>{}/$1\n", path("."));
    let reader = node.file("r.sh", &text, 0o755).display().to_string();
    let global = format!(
        "global_defs {{\n router_id r1\n script_user root
 startup_script \"{script} startup\"\n shutdown_script \"{script} shutdown\"
 notify_fifo {all}\n notify_fifo_script \"{reader} all\"
 vrrp_notify_fifo {vrrp}\n vrrp_notify_fifo_script \"{reader} vrrp\"
 smtp_server 127.0.0.1 {PORT}\n smtp_helo_name helo.example\n notification_email_from ka@example.com
 notification_email {{\n ops@example.com\n two@example.com\n }}\n smtp_alert\n}}\n",
        all = path("fifo-all"),
        vrrp = path("fifo-vrrp"),
    );
    let group = format!(
        "vrrp_sync_group SG {{\n group {{\n V1\n V2\n }}\n{}}}\n",
        scripts(&script, "g")
    );
    let conf = |priority: u8| {
        let first = instance("V1", 51, priority, &scripts(&script, "v1"));
        let second = instance("V2", 52, priority, &scripts(&script, "v2"));
        format!("{global}{group}{first}{second}")
    };
    let daemon = which.start(node, &conf(150));
    let mut teller = Teller { lan, daemon };
    teller.heard("MASTER", 1);
    let mut peer = Ours.start(teller.lan.node(1), &instance("V1", 51, 200, ""));
    teller.heard("BACKUP", 2);
    peer.stop();
    teller.heard("MASTER", 2);
    teller.lan.cable(0, false);
    teller.heard("FAULT", 1);
    teller.lan.cable(0, true);
    teller.heard("MASTER", 3);
    // A reload that changes no state tells nothing.
    teller.lan.node(0).configure(&conf(160));
    teller.daemon.signal(Signal::SIGHUP);
    teller.daemon.wait_log("Reload complete");
    peer = Ours.start(teller.lan.node(1), &instance("V1", 51, 200, ""));
    teller.heard("BACKUP", 4);
    peer.stop();
    teller.heard("MASTER", 4);
    let sent = |n: usize| {
        let sent = || {
            mailbox
                .mails()
                .iter()
                .filter(|m| m.subject().0.contains("Group"))
                .count()
        };
        until_or(
            || {
                let subjects: Vec<_> = mailbox.mails().iter().map(Mail::subject).collect();
                format!("{n} mails about the group: {subjects:#?}")
            },
            PATIENCE,
            || (sent() >= n).then_some(()),
        );
    };
    sent(if which == Ours { 9 } else { 6 });
    teller.daemon.stop();
    let left = teller.lan.node(0).ns.processes();
    if which == Ours {
        assert!(left.is_empty(), "left behind: {left:?}");
        for fifo in ["fifo-all", "fifo-vrrp"] {
            assert!(!teller.lan.node(0).path(fifo).exists(), "{fifo} stays");
        }
    }
    // Stock does not wait for its last scripts.
    all_ended(teller.lan.node(0));
    let mut told = Told {
        calls: BTreeMap::new(),
        lines: ["all", "vrrp"].map(|f| (f, teller.lines(f))).into(),
        mails: BTreeMap::new(),
    };
    for call in teller.lines("calls") {
        let (tag, rest) = call.split_once(' ').unwrap_or((&call, ""));
        let calls = told.calls.entry(tag.to_owned()).or_default();
        calls.push(rest.to_owned());
    }
    for mail in mailbox.mails() {
        let (who, what) = mail.subject();
        if what != "Stopping" {
            told.mails.entry(who).or_default().push(mail);
        }
    }
    told
}

/// Waits until no script runs on a node any more.
pub(crate) fn all_ended(node: &Node) {
    until_or(
        || format!("left behind: {:?}", node.ns.processes()),
        PATIENCE,
        || node.ns.processes().is_empty().then_some(()),
    );
}

/// The lines transition by transition, and the place of the group among them. To MASTER the two instances come in any order:
/// which of them begins depends on whose timer is the later one.
fn transitions(lines: &[String]) -> Vec<(Vec<String>, Option<usize>)> {
    let one = |lines: &[String]| {
        let group = lines.iter().position(|l| l.starts_with("GROUP"));
        let mut lines = lines.to_vec();
        if lines.iter().any(|l| l.contains("MASTER")) {
            lines.sort_unstable();
        }
        (lines, group)
    };
    lines.chunks(3).map(one).collect()
}

#[test]
fn scripts_fifos_and_mail_tell_the_story_that_stock_tells() {
    if !crate::lab::root() {
        return;
    }
    let (ours, stock) = std::thread::scope(|scope| {
        let stock = scope.spawn(|| tell(Stock));
        (tell(Ours), stock.join().expect("stock keepalived runs"))
    });
    for (fifo, lines) in &ours.lines {
        let theirs = stock.lines.get(fifo).expect("the same FIFOs");
        let (ours, stop) = lines.split_at(lines.len().saturating_sub(3));
        // Stock ends the readers before they have read of the stop.
        let stock = theirs.get(..ours.len()).unwrap_or(theirs);
        assert_eq!(
            transitions(ours),
            transitions(stock),
            "lines of {fifo}: ours, then stock's"
        );
        let expected = [
            "INSTANCE \"V1\" STOP 160",
            "INSTANCE \"V2\" STOP 160",
            "GROUP \"SG\" STOP 0",
        ];
        assert_eq!(stop, expected, "{fifo}");
    }
    assert_eq!(
        ours.calls, stock.calls,
        "calls of scripts: ours, then stock's"
    );
    // Stock sends all at once, each mail once: they overtake each other, and some never arrive.
    for (who, mails) in &stock.mails {
        let mut ours = ours.mails.get(who).cloned().unwrap_or_default();
        for mail in mails {
            let at = ours.iter().position(|m| m == mail);
            let at = at.unwrap_or_else(|| {
                panic!("only stock sent {mail:#?}, ours about {who}: {ours:#?}")
            });
            ours.remove(at);
        }
    }
    let order = |who: &str| -> Vec<String> {
        let mails = ours.mails.get(who).into_iter().flatten();
        mails.map(|m| m.subject().1).collect()
    };
    let states = [
        "BACKUP", "MASTER", "BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "BACKUP", "MASTER",
    ];
    let expected = states.map(|s| format!("Entering {s} state"));
    for who in [
        "[r1] VRRP Instance V1",
        "[r1] VRRP Instance V2",
        "[r1] VRRP Group SG",
    ] {
        assert_eq!(order(who), expected, "{who}");
    }
}
