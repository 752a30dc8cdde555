//! Files and processes that change what a router is worth, and whether it runs at all.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::lab::{PATIENCE, install, until_or};
use crate::routers::Which::Ours;
use crate::routers::lan;

#[test]
fn a_file_and_a_process_change_the_priority_and_end_a_fault() {
    if !crate::lab::root() {
        return;
    }
    let lan = lan();
    let node = lan.node(0);
    let path = |name: &str| node.path(name).display().to_string();
    // A program with a name that nobody else has.
    let program = node.path("katracked");
    let sleep = fs::read("/bin/sleep").expect("coreutils are installed");
    install(&sleep, &program, 0o755);
    let conf = format!(
        "global_defs {{\n vrrp_notify_fifo {fifo}\n vrrp_notify_fifo_script \"{reader}\"\n script_user root
 vrrp_notify_priority_changes\n}}
track_file weighted {{\n file {weighted}\n init_file 5\n}}
track_file fatal {{\n file {fatal}\n weight 0\n}}
vrrp_track_process running {{\n process katracked\n weight 20\n}}
vrrp_instance V {{\n interface eth0\n version 3\n virtual_router_id 66\n priority 100\n advert_int 0.3
 virtual_ipaddress {{\n 10.66.0.100/24\n }}
 track_file {{\n weighted\n fatal\n }}\n track_process {{\n running\n }}\n}}\n",
        fifo = path("fifo"),
        reader = node
            .file("r.sh", &format!("#!/bin/sh\nexec cat \"$1\" >>{}\n", path("lines")), 0o755)
            .display(),
        weighted = path("weighted"),
        fatal = path("fatal"),
    );
    let mut daemon = Ours.start(node, &conf);
    let heard = |line: &str| {
        let lines = || fs::read_to_string(node.path("lines")).unwrap_or_default();
        until_or(
            || format!("{line} in\n{}\n{}", lines(), daemon.log()),
            PATIENCE,
            || lines().lines().any(|l| l == line).then_some(()),
        );
    };
    heard("INSTANCE \"V\" MASTER 105");
    let mut running = Command::new(&program)
        .arg("1000")
        .spawn()
        .expect("our program");
    heard("INSTANCE \"V\" MASTER_PRIORITY 125");
    fs::write(path("weighted"), "-10\n").expect("our file");
    heard("INSTANCE \"V\" MASTER_PRIORITY 110");
    running.kill().expect("our child");
    running.wait().expect("our child");
    heard("INSTANCE \"V\" MASTER_PRIORITY 90");
    fs::write(path("fatal"), "1").expect("our file");
    heard("INSTANCE \"V\" FAULT 90");
    fs::remove_file(path("fatal")).expect("our file");
    heard("INSTANCE \"V\" BACKUP 90");
    heard("INSTANCE \"V\" MASTER 90");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_log("Reload complete");
    fs::write(path("weighted"), "1").expect("our file");
    heard("INSTANCE \"V\" MASTER_PRIORITY 101");
    daemon.stop();
}
