//! What somebody else has put where a FIFO should be.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use nix::sys::stat::Mode;
use nix::unistd::{Uid, chown, mkfifo};

use crate::routers::Which::Ours;
use crate::routers::{conf, lan};

/// The log of a daemon whose FIFO is that path.
fn log_with(fifo: &str, lan: &crate::lab::Lan) -> String {
    let global = format!("global_defs {{\n vrrp_notify_fifo {fifo}\n}}");
    let mut daemon = Ours.start(lan.node(0), &conf(150, &global, ""));
    daemon.wait_log("Entering BACKUP STATE (init)");
    daemon.stop();
    daemon.log()
}

#[test]
fn planted_files_are_refused_with_a_clear_word_and_left_alone() {
    if !crate::lab::root() {
        return;
    }
    let lan = lan();
    let node = lan.node(0);
    let path = |name: &str| node.path(name).display().to_string();
    let precious = node.file("precious", "precious", 0o600);
    assert!(log_with(&path("precious"), &lan).contains("exists and is not a fifo"));
    mkfifo(&node.path("theirs"), Mode::from_bits_truncate(0o666)).expect("a FIFO");
    symlink(node.path("theirs"), node.path("link")).expect("a link");
    assert!(log_with(&path("link"), &lan).contains("exists and is not a fifo"));
    chown(&node.path("theirs"), Some(Uid::from_raw(65534)), None).expect("root may");
    assert!(log_with(&path("theirs"), &lan).contains("belongs to another user (65534)"));
    assert_eq!(fs::read_to_string(precious).expect("a file"), "precious");
}

#[test]
fn a_fifo_has_the_mode_and_the_owner_that_stock_gives_it() {
    if !crate::lab::root() {
        return;
    }
    let facts = |which: crate::routers::Which| {
        let lan = lan();
        let fifo = lan.node(0).path("fifo");
        let global = format!(
            "global_defs {{\n vrrp_notify_fifo {} nobody\n}}",
            fifo.display()
        );
        let daemon = which.start(lan.node(0), &conf(150, &global, ""));
        daemon.wait_log("Entering BACKUP STATE (init)");
        let facts = fs::symlink_metadata(&fifo).expect("the FIFO");
        let mode = facts.permissions().mode();
        (facts.file_type().is_fifo(), mode, facts.uid(), facts.gid())
    };
    assert_eq!(facts(Ours), facts(crate::routers::Which::Stock));
}
