//! What the software around keepalived does with it, each as its own few lines. Source: ops §12, public sources.

use std::fs;
use std::time::Duration;

use crate::lab::daemon::now;
use crate::lab::witness::stood_still;
use crate::lab::{root, until};
use crate::machine::{LIMIT, Machine, one_master};

/// OpenStack Neutron: an HA router.
#[test]
fn neutron_starts_watches_and_ends_a_router() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file(
        "keepalived.conf",
        "global_defs {
    notification_email_from neutron@openstack.local
    router_id neutron
    vrrp_notify_priority_changes
}
vrrp_instance VR_1 {
    state BACKUP
    interface eth0
    virtual_router_id 1
    priority 50
    garp_master_delay 60
    nopreempt
    advert_int 1
    track_interface {
        eth0
    }
    virtual_ipaddress {
        169.254.0.1/24 dev eth0
    }
    virtual_ipaddress_excluded {
        10.9.0.101/32 dev eth0 no_track
        fe80::f816:3eff:fe6f:1/64 dev eth0 scope link no_track
    }
    virtual_routes {
        0.0.0.0/0 via 10.9.0.254 dev eth0 no_track protocol static
    }
}
",
    );
    let dir = m.dir.path().display();
    let mut monitor = m.command("exec ip -o monitor address");
    let seen = m.dir.path().join("monitor");
    monitor.stdout(fs::File::create(&seen).expect("our file"));
    let mut monitor = monitor.spawn().expect("iproute2");
    // Only once it listens.
    until("the monitor listens", LIMIT, || {
        let _ = m.run("ip addr add 10.9.9.9/32 dev lo; ip addr del 10.9.9.9/32 dev lo");
        let said = fs::read_to_string(&seen).unwrap_or_default();
        said.contains("10.9.9.9").then_some(())
    });
    m.sh(&format!(
        "keepalived -P -f {conf} -p {dir}/1.pid.keepalived -r {dir}/1.pid.keepalived-vrrp -D"
    ));
    // The process is recognised by its command line.
    let pid = m.written("1.pid.keepalived").trim().to_owned();
    assert_eq!(m.written("1.pid.keepalived-vrrp").trim(), pid);
    let cmdline = fs::read(m.path(&format!("/proc/{pid}/cmdline"))).expect("a process");
    assert!(
        String::from_utf8_lossy(&cmdline)
            .split('\0')
            .any(|word| word == conf)
    );
    m.wait("ip -o addr show dev eth0 | grep -q 'inet 169.254.0.1/24'");
    m.wait("ip route | grep -q 'default via 10.9.0.254'");
    m.sh(&format!("kill -TERM {pid}"));
    let begun = now();
    until("it has ended", LIMIT, || {
        (!m.path(&format!("/proc/{pid}")).exists()).then_some(())
    });
    let ended = now();
    let took = Duration::from_nanos(ended - begun);
    let most = Duration::from_secs(5) + stood_still(begun, ended);
    assert!(took < most, "{took:?}");
    assert!(!m.works("ip -o addr show dev eth0 | grep -q 169.254.0.1"));
    let said = until("its going is told", LIMIT, || {
        let said = fs::read_to_string(&seen).expect("our file");
        (said.matches("inet 169.254.0.1/24").count() >= 2).then_some(said)
    });
    let _ = monitor.kill();
    let _ = monitor.wait();
    let lines: Vec<_> = said
        .lines()
        .filter(|l| l.contains("inet 169.254.0.1/24"))
        .collect();
    let gone = lines.iter().filter(|l| l.starts_with("Deleted")).count();
    assert_eq!(
        (lines.len(), gone),
        (2, 1),
        "it came once and went once\n{said}"
    );
}

/// OpenStack Octavia: a unit of Type=forking, and everything inside a namespace that the file names.
#[test]
fn octavia_forks_and_finds_the_pid_file_in_a_namespace() {
    if !root() {
        return;
    }
    let m = Machine::new();
    m.sh("ip netns add amphora-haproxy
        ip -n amphora-haproxy link set lo up
        ip link add veth1 type veth peer name eth1 netns amphora-haproxy
        ip link set veth1 up
        ip -n amphora-haproxy addr add 10.8.0.1/24 dev eth1
        ip -n amphora-haproxy link set eth1 up");
    let conf = m.file(
        "octavia-keepalived.conf",
        "net_namespace amphora-haproxy
vrrp_script check_script {
  script \"/usr/bin/true\"
  interval 5
  fall 2
  rise 2
}
vrrp_instance a1b2 {
  state MASTER
  interface eth1
  virtual_router_id 1
  priority 100
  nopreempt
  accept
  garp_master_refresh 5
  garp_master_refresh_repeat 2
  advert_int 1
  authentication {
    auth_type PASS
    auth_pass f0f0f0f
  }
  unicast_src_ip 10.8.0.1
  unicast_peer {
    10.8.0.2
  }
  virtual_ipaddress {
    10.8.0.10
  }
  track_script {
    check_script
  }
}
",
    );
    let pid_file = m.dir.path().join("octavia-keepalived.pid");
    m.sh(&format!(
        "/usr/sbin/keepalived -D -d -f {conf} -p {}",
        pid_file.display()
    ));
    // Type=forking: when the launcher has left, the file is there, and its process lives.
    let pid = fs::read_to_string(&pid_file).expect("the pid file");
    let pid = pid.trim();
    m.sh(&format!("kill -0 {pid}"));
    m.wait("ip -n amphora-haproxy -o addr | grep -q 'inet 10.8.0.10/32'");
    m.sh(&format!("kill -HUP {pid}"));
    m.sh(&format!("kill -TERM {pid}"));
    m.wait(&format!("! test -d /proc/{pid}"));
    assert!(!pid_file.exists());
    assert!(!m.works("ip -n amphora-haproxy -o addr | grep -q 10.8.0.10"));
}

/// OpenShift: the liveness probe of the keepalived-ipfailover and of the bare-metal static pods.
#[test]
fn the_probe_of_openshift_finds_the_state() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("keepalived.conf", &one_master(""));
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n --log-console -f {conf}"));
    m.wait_log("Startup complete");
    m.sh(
        "rm -f \"$TMPDIR/keepalived.data\"; kill -s SIGUSR1 \"$(pgrep -o keepalived)\"
        for i in $(seq 60); do
            grep -q 'VRRP Instance' \"$TMPDIR/keepalived.data\" 2>/dev/null && exit 0
            sleep 1
        done
        exit 1",
    );
    m.sh("kill -s SIGUSR1 $(pgrep -x -o keepalived); kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
}

/// VyOS: the JSON of `show vrrp`, awaited by inotify, and its reader of the FIFO.
#[test]
fn vyos_waits_for_the_json_and_reads_the_fifo() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let lines = m.dir.path().join("lines");
    let reader = m.program(
        "fifo.sh",
        &format!("#!/bin/sh\nexec cat \"$1\" >>{}\n", lines.display()),
    );
    let conf = m.file(
        "keepalived.conf",
        &one_master(&format!(
            "global_defs {{
    dynamic_interfaces
    script_user root
    notify_fifo /run/keepalived_notify_fifo
    notify_fifo_script {reader}
}}"
        )),
    );
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -f {conf}"));
    m.wait_log("Entering MASTER STATE");
    let mut watch = inotify::Inotify::init().expect("inotify");
    watch
        .watches()
        .add(m.dir.path(), inotify::WatchMask::CLOSE_WRITE)
        .expect("our directory");
    m.sh("kill -s $(keepalived --signum=JSON) $(cat /run/vrrp.pid)");
    let mut room = [0; 4096];
    until("closed after writing, under its own name", LIMIT, || {
        let events = watch.read_events(&mut room).ok()?;
        let mut names = events.filter_map(|e| e.name.map(|n| n.to_string_lossy().into_owned()));
        names.any(|name| name == "keepalived.json").then_some(())
    });
    let text = m.written("keepalived.json");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let data = &json[0]["data"];
    assert_eq!(data["iname"], "VI_1");
    assert_eq!((&data["state"], &data["vrid"]), (&2.into(), &51.into()));
    assert!(data["last_transition"].as_f64().is_some_and(|t| t > 1e9));
    m.sh("kill -s TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
    // ^(?P<type>\w+)\s+"(?P<name>[^"]+)"\s+(?P<state>\w+)\s+(?P<priority>\d+)$
    let shape = "^[A-Z]+ \"[^\"]+\" [A-Z_]+ [0-9]+$";
    let odd = m.run(&format!("grep -Ev '{shape}' {}", lines.display()));
    assert_eq!(String::from_utf8_lossy(&odd.stdout), "");
    for state in ["BACKUP", "MASTER", "STOP"] {
        m.sh(&format!(
            "grep -Eq '^INSTANCE \"VI_1\" {state} [0-9]+$' {}",
            lines.display()
        ));
    }
}

/// Puppet (and Ansible, and every ExecStartPre): the check of a file before it is put in place.
#[test]
fn puppet_checks_a_file_before_it_is_used() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let good = m.file("good.conf", &one_master(""));
    let bad = m.file(
        "bad.conf",
        &one_master("").replace("priority 150", "bogus 1"),
    );
    m.sh(&format!("/usr/sbin/keepalived -l -t -f {good}"));
    let o = m.run(&format!("/usr/sbin/keepalived -l -t -f {bad}"));
    assert!(!o.status.success());
    assert!(String::from_utf8_lossy(&o.stderr).contains("bogus"));
    assert!(!m.path("/run/keepalived.pid").exists());
}

/// Exporters: a number by name, a signal, a file 10 ms later; some send 37 to a daemon that has no such signal.
#[test]
fn exporters_signal_and_read_a_moment_later() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("keepalived.conf", &one_master(""));
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -f {conf}"));
    m.wait_log("Entering MASTER STATE");
    let version = m.run("keepalived -v 2>&1 >/dev/null | head -n 1 | cut -d' ' -f2");
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("v2."));
    for (name, file) in [
        ("DATA", "keepalived.data"),
        ("STATS", "keepalived.stats"),
        ("JSON", "keepalived.json"),
    ] {
        // The control software removes the file and waits for it to come.
        m.sh(&format!(
            "rm -f $TMPDIR/{file}; kill -$(keepalived --signum={name}) $(cat /var/run/keepalived.pid)"
        ));
        assert!(!m.written(file).is_empty(), "{file}");
    }
    m.sh("for n in 36 37 36 37 34 35 38; do kill -$n $(cat /run/keepalived.pid); done");
    m.sh("kill -USR1 $(cat /run/vrrp.pid)");
    let text = m.written("keepalived.data");
    // What the Prometheus exporter reads of an instance.
    let value = |name: &str| {
        let prefix = format!("   {name} = ");
        text.lines()
            .find_map(|l| l.strip_prefix(&prefix))
            .map(str::to_owned)
    };
    assert_eq!(value("State").as_deref(), Some("MASTER"));
    assert_eq!(value("Interface").as_deref(), Some("eth0"));
    assert_eq!(value("Virtual Router ID").as_deref(), Some("51"));
    let vip = text.lines().find(|l| l.starts_with("     10.9.0.100"));
    assert_eq!(vip.and_then(|l| l.split_whitespace().nth(2)), Some("eth0"));
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
}

/// Cron jobs, track scripts of other daemons, people.
#[test]
fn everybody_finds_it_by_its_name() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let conf = m.file("keepalived.conf", &one_master(""));
    assert!(!m.works("killall -0 keepalived") && !m.works("pidof keepalived"));
    m.sh(&format!("keepalived -f {conf}"));
    let pid = m.sh("cat /run/keepalived.pid");
    let pid = pid.trim();
    for command in [
        "pidof keepalived",
        "pidof -s keepalived",
        "pidof /usr/sbin/keepalived",
        "pgrep keepalived",
        "pgrep -x keepalived",
        "pgrep -of '^keepalived -f'",
        "ps -C keepalived -o pid= | tr -d ' '",
    ] {
        let found = m.sh(command);
        assert!(
            found.split_whitespace().any(|p| p == pid),
            "{command}: {found}"
        );
    }
    m.sh("killall -0 keepalived");
    m.wait("ip -o addr show dev eth0 | grep -q 10.9.0.100");
    // To parents and children at once, in the old days.
    m.sh("rm -f $TMPDIR/keepalived.data; killall -USR1 keepalived");
    assert!(
        m.written("keepalived.data")
            .contains("VRRP Instance = VI_1")
    );
    m.sh("killall -HUP keepalived");
    m.sh("killall keepalived");
    m.wait("! killall -0 keepalived 2>/dev/null");
    assert!(!m.path("/run/keepalived.pid").exists());
    assert!(!m.works("ip -o addr show dev eth0 | grep -q 10.9.0.100"));
}
