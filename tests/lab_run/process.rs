//! Keywords and options about the process itself: files, names, scheduling, time limits, its log.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use crate::lab::daemon::now;
use crate::lab::witness::stood_still;
use crate::lab::{root, until, until_or};
use crate::machine::{LIMIT, Machine, one_master};

fn conf(global: &str) -> String {
    one_master(&format!(
        "global_defs {{\n    router_id lab\n    {global}\n}}"
    ))
}

#[test]
fn names_masks_and_places_are_as_the_file_says() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let dir = m.dir.path().display();
    let file = m.file(
        "keepalived.conf",
        &conf(&format!(
            "process_name ka_main
    vrrp_process_name ka_vrrp
    checker_priority -7
    checker_cpu_affinity 0
    iproute_etc_dir {dir}/iproute2
    checker_no_swap
    vrrp_priority -9
    umask 022
    random_seed 5
    tmp_config_directory /tmp
    config_save_dir {dir}/saved"
        )),
    );
    m.sh(&format!(
        "mkdir {dir}/iproute2; echo '77 of_the_lab' >{dir}/iproute2/rt_tables
        echo 'static_routes {{ 10.77.0.0/16 via 10.9.0.2 dev eth0 table of_the_lab }}' >>{file}"
    ));
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -m -f {file}"));
    m.wait_log("Startup complete");
    assert!(!m.log().contains("no effect yet"), "{}", m.log());
    // Names of tables are those of that directory.
    m.wait("ip route show table 77 | grep -q '10.77.0.0/16 via 10.9.0.2'");
    let pid = m.sh("cat /run/keepalived.pid");
    let pid = pid.trim();
    assert_eq!(m.sh(&format!("cat /proc/{pid}/comm")).trim(), "ka_main");
    let threads = m.sh(&format!(
        "for t in /proc/{pid}/task/*; do echo $(cat $t/comm) $(cut -d' ' -f19 $t/stat); done"
    ));
    assert!(threads.lines().any(|l| l == "ka_main -7"), "{threads}");
    assert!(threads.lines().any(|l| l == "ka_vrrp -9"), "{threads}");
    let status = m.sh(&format!("cat /proc/{pid}/status /proc/{pid}/limits"));
    assert!(!status.contains("VmLck:\t       0 kB"), "{status}");
    let cpus = status.lines().find(|l| l.starts_with("Cpus_allowed_list:"));
    assert_eq!(cpus, Some("Cpus_allowed_list:\t0"));
    let core = status.lines().find(|l| l.starts_with("Max core file size"));
    assert!(core.is_some_and(|l| l.contains("unlimited")), "{status}");
    m.sh(&format!("kill -USR1 {pid}"));
    m.written("keepalived.data");
    let mode = |name: &str| {
        let about = fs::metadata(m.dir.path().join(name)).expect("a file");
        about.permissions().mode() & 0o777
    };
    assert_eq!(mode("keepalived.data"), 0o644);
    let saved = fs::read_to_string(m.dir.path().join("saved/keepalived.conf.0"));
    assert!(saved.expect("a copy").contains("vrrp_process_name ka_vrrp"));
    // A reload puts all of it back.
    m.file("keepalived.conf", &conf(""));
    m.sh("/usr/sbin/keepalived reload --timeout 60");
    m.sh(&format!("rm -f $TMPDIR/keepalived.data; kill -USR1 {pid}"));
    m.written("keepalived.data");
    assert_eq!(mode("keepalived.data"), 0o600);
    assert_eq!(m.sh(&format!("cat /proc/{pid}/comm")).trim(), "keepalived");
    m.sh(&format!("kill -TERM {pid}"));
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn a_file_says_when_to_reload_and_another_that_it_is_being_done() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let dir = m.dir.path().display().to_string();
    let more = format!("reload_time_file {dir}/when\n reload_file {dir}/busy");
    let file = m.file("keepalived.conf", &conf(&more));
    let mut watch = inotify::Inotify::init().expect("inotify");
    let mask = inotify::WatchMask::CREATE | inotify::WatchMask::DELETE;
    watch
        .watches()
        .add(m.dir.path(), mask)
        .expect("our directory");
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -D -f {file}"));
    m.wait_log("Startup complete");
    m.sh("echo nonsense >$TMPDIR/when");
    m.wait_log("Reload time nonsense format is incorrect - ignoring");
    m.sh("date -d '1 hour ago' '+%Y-%m-%d %H:%M:%S' >$TMPDIR/when");
    m.wait_log("is in the past - ignoring");
    m.sh("date -d '1 hour' '+%Y-%m-%d %H:%M:%S' >$TMPDIR/when");
    m.wait_log("Scheduling reload for 2");
    m.sh("rm $TMPDIR/when");
    m.wait_log("Cancelling reload scheduled for 2");
    m.sh("date -d '1 hour' '+%H:%M:%S' >$TMPDIR/when");
    until_or(
        || m.log(),
        LIMIT,
        || (m.log().matches("Scheduling reload for 2").count() == 2).then_some(()),
    );
    // Whole, and so late that it has not passed before it is read.
    m.sh(
        "date -u -d '6 seconds' '+%y-%m-%d %H:%M:%SZ' >$TMPDIR/next; mv $TMPDIR/next $TMPDIR/when",
    );
    m.wait_log("Reload time updated from 2");
    m.wait_log("Reload complete");
    m.wait("! test -e $TMPDIR/when");
    let mut room = [0; 65536];
    let mut marked = Vec::new();
    until("the marker came and went, twice", LIMIT, || {
        for e in watch.read_events(&mut room).ok()? {
            if e.name == Some("busy".as_ref()) {
                marked.push(e.mask == inotify::EventMask::CREATE);
            }
        }
        (marked == [true, false, true, false]).then_some(())
    });
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn a_stop_takes_no_longer_than_child_wait_time() {
    if !root() {
        return;
    }
    let m = Machine::new();
    // A script that does not end when it is told to.
    let deaf = m.program(
        "deaf.sh",
        "#!/bin/bash\ntrap '' TERM\nwhile :; do sleep 1; done\n",
    );
    let script = format!("vrrp_script deaf {{\n script {deaf}\n interval 1\n timeout 100\n}}\n");
    let text = format!("child_wait_time 1\n{}", conf("script_user root"));
    let text = text.replace("vrrp_instance", &format!("{script}vrrp_instance"));
    let text = text.replace(
        "advert_int 0.1",
        "advert_int 0.1\n track_script {\n deaf weight 1\n }",
    );
    let file = m.file("keepalived.conf", &text);
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -D -f {file}"));
    m.wait("pgrep -f deaf.sh");
    m.wait_log("Entering MASTER STATE");
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    m.wait_log("Stopping");
    let begun = now();
    daemon.ended();
    let ended = now();
    let took = Duration::from_nanos(ended - begun);
    let most = Duration::from_secs(4) + stood_still(begun, ended);
    assert!(took < most, "{took:?}\n{}", m.log());
    assert!(!m.works("ip -o addr show dev eth0 | grep -q 10.9.0.100"));
}

#[test]
fn the_log_goes_to_files_too_and_is_json_on_request() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let dir = m.dir.path().display();
    let file = m.file("keepalived.conf", &conf(""));
    let mut daemon = m.start(&format!(
        "/usr/sbin/keepalived -n -l -G -g{dir}/ka.log --log-format=json --log-level vrrp=debug -f {file}"
    ));
    m.wait_log("Entering MASTER STATE");
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
    let objects = |text: &str| -> Vec<serde_json::Value> {
        text.lines()
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect()
    };
    let console = objects(&m.log());
    let said = |all: &[serde_json::Value], ident: &str, message: &str| {
        all.iter().any(|o| {
            o["ident"] == ident && o["message"].as_str().is_some_and(|t| t.contains(message))
        })
    };
    assert!(said(&console, "Keepalived", "Startup complete"));
    assert!(said(
        &console,
        "Keepalived_vrrp",
        "(VI_1) Receive advertisement timeout"
    ));
    let parent = objects(&m.written("ka.log"));
    let vrrp = objects(&m.written("ka_vrrp.log"));
    assert!(said(&parent, "Keepalived", "Startup complete"));
    assert!(said(
        &vrrp,
        "Keepalived_vrrp",
        "(VI_1) Entering MASTER STATE"
    ));
    assert!(!said(&parent, "Keepalived_vrrp", ""));
}

#[test]
fn nobody_waits_for_whoever_reads_the_log() {
    if !root() {
        return;
    }
    let m = Machine::new();
    // A syslogd that never reads, and a console that nobody reads.
    m.sh("mount -t tmpfs none /srv; mkdir /srv/dev; mknod -m 666 /srv/dev/null c 1 3; mount --bind /srv/dev /dev");
    let log = UnixDatagram::bind(m.path("/dev/log")).expect("a socket in the machine");
    let file = m.file("keepalived.conf", &conf(""));
    let mut command = m.command(&format!("exec /usr/sbin/keepalived -n -l -D -D -f {file}"));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut daemon = command.spawn().expect("nsenter is installed");
    m.wait("ip -o addr show dev eth0 | grep -q 10.9.0.100");
    // More than any pipe and any queue holds.
    m.sh("for i in $(seq 300); do kill -HUP $(cat /run/keepalived.pid); sleep 0.005; done");
    m.sh("rm -f $TMPDIR/keepalived.stats; kill -USR2 $(cat /run/keepalived.pid)");
    let sent = |text: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix("    Sent: "));
        line.and_then(|n| n.parse::<u64>().ok())
    };
    let first = sent(&m.written("keepalived.stats")).expect("a number");
    until("advertisements go on", LIMIT, || {
        let _ = m.run("kill -USR2 $(cat /run/keepalived.pid)");
        sent(&m.written("keepalived.stats")).filter(|n| *n > first + 5)
    });
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    let begun = now();
    let status = until("it ends all the same", LIMIT, || {
        daemon.try_wait().expect("our child")
    });
    let ended = now();
    assert!(status.success(), "{status}");
    let took = Duration::from_nanos(ended - begun);
    let most = Duration::from_secs(10) + stood_still(begun, ended);
    assert!(took < most, "{took:?}");
    let mut rest = String::new();
    if let Some(mut err) = daemon.stderr.take() {
        let _ = err.read_to_string(&mut rest);
    }
    assert!(rest.contains("Startup complete"));
    drop(log);
}

#[test]
fn what_is_kept_on_request_is_kept() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let file = m.file("keepalived.conf", &conf(""));
    let has = || m.works("ip -o addr show dev eth0 | grep -q 10.9.0.100");
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -V -X -a -f {file}"));
    m.wait_log("Entering MASTER STATE");
    m.sh("ip addr add 10.9.7.7/32 dev eth0; ip addr del 10.9.7.7/32 dev eth0");
    m.wait_log("Netlink reflector reports IP 10.9.7.7 added to eth0");
    m.wait_log("Netlink reflector reports IP 10.9.7.7 removed from eth0");
    m.wait("ip -o addr show dev eth0 | grep -q 10.9.0.100");
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
    assert!(has(), "-V leaves the addresses");
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -f {file}"));
    m.wait_log("Entering MASTER STATE");
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
    assert!(!has(), "the next one takes them over and away");
    // Lines for this node only.
    let text = conf("").replace("priority 150", "@one priority 200\n @^one priority 50");
    let file = m.file("keepalived.conf", &text);
    for (id, priority) in [("one", 200), ("two", 50)] {
        let mut daemon = m.start(&format!(
            "/usr/sbin/keepalived -n -l --config-id={id} -f {file}"
        ));
        m.wait_log("Startup complete");
        m.sh("rm -f $TMPDIR/keepalived.data; kill -USR1 $(cat /run/keepalived.pid)");
        let line = format!("   Priority = {priority}");
        assert!(
            m.written("keepalived.data").lines().any(|l| l == line),
            "{id}"
        );
        m.sh("kill -TERM $(cat /run/keepalived.pid)");
        assert_eq!(daemon.ended(), Some(0));
    }
}

/// The option, which counts more than the keyword: everything happens in the named namespace, and nothing elsewhere.
#[test]
fn with_s_it_lives_in_the_namespace_of_that_name() {
    if !root() {
        return;
    }
    let m = Machine::new();
    for (name, host) in [("right", 1), ("wrong", 2)] {
        m.sh(&format!(
            "ip netns add {name}; ip link add {name} type veth peer name eth0 netns {name}; ip link set {name} up
            ip -n {name} addr add 10.9.0.{host}/24 dev eth0; ip -n {name} link set eth0 up; ip -n {name} link set lo up"
        ));
    }
    let conf = m.file("keepalived.conf", &one_master("net_namespace wrong"));
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -s right -f {conf}"));
    m.wait("ip -n right -o addr | grep -q 'eth0 *inet 10.9.0.100/24'");
    for elsewhere in ["", "-n wrong"] {
        assert!(!m.works(&format!("ip {elsewhere} -o addr | grep -q 10.9.0.100")));
    }
    // Its files are apart from those of a daemon of the machine, and of other namespaces.
    let pid = m.sh("cat /run/keepalived/right/keepalived.pid");
    let pid = pid.trim();
    assert!(!m.works("test -e /run/keepalived.pid"));
    assert_eq!(
        m.sh(&format!("readlink /proc/{pid}/ns/net")),
        m.sh("ip netns exec right readlink /proc/self/ns/net")
    );
    m.file(
        "keepalived.conf",
        &one_master("").replace("10.9.0.100", "10.9.0.101"),
    );
    m.sh(&format!("kill -HUP {pid}"));
    m.wait("ip -n right -o addr | grep -q 10.9.0.101");
    m.wait("! ip -n right -o addr | grep -q 10.9.0.100");
    m.sh(&format!("kill -TERM {pid}"));
    assert_eq!(daemon.ended(), Some(0), "{}", m.log());
    assert!(!m.works("ip -n right -o addr | grep -q 10.9.0.101"));
    assert!(!m.works("test -e /run/keepalived/right/keepalived.pid"));
    let mut nowhere = m.start(&format!("/usr/sbin/keepalived -n -l -s nowhere -f {conf}"));
    assert_eq!(nowhere.ended(), Some(0), "{}", m.log());
    m.wait_log("Unable to set network namespace nowhere - exiting");
}
