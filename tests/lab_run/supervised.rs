//! Under systemd, played by a socket of the test, and asked by `keepalived-rs reload` and `keepalived-rs status`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

use crate::lab::root;
use crate::machine::{LIMIT, Machine, one_master};

/// What comes to a socket. It is read at once: the kernel keeps ten messages, and whoever sends one more loses it.
fn listen(socket: UnixDatagram) -> Receiver<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut octets = [0; 4096];
        while let Ok(n) = socket.recv(&mut octets) {
            let message = String::from_utf8_lossy(&octets[..n]).into_owned();
            if tell.send(message).is_err() {
                return; // the test is over
            }
        }
    });
    told
}

/// Waits for a message that `like` accepts; the others before it are gone.
fn heard(told: &Receiver<String>, what: &str, like: impl Fn(&str) -> bool) -> String {
    let mut others = String::new();
    let end = Instant::now() + LIMIT;
    loop {
        let message = match told.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(e) => panic!("{what}: {e}; heard until then:\n{others}"),
        };
        if like(&message) {
            return message;
        }
        others += &format!("{message}\n--\n");
    }
}

#[test]
fn systemd_is_told_of_each_step_and_how_it_is() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let path = m.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket of ours");
    // It ends with the last word, or when nothing has come for so long.
    socket.set_read_timeout(Some(LIMIT)).expect("a time limit");
    let socket = listen(socket);
    let file = m.file("keepalived.conf", &one_master(""));
    let mut daemon = m.start(&format!(
        "env NOTIFY_SOCKET={} WATCHDOG_USEC=200000 /usr/sbin/keepalived -n -l -f {file}",
        path.display()
    ));
    let ready = heard(&socket, "READY", |l| l.starts_with("READY=1\n"));
    let pid = m.sh("cat /run/keepalived.pid");
    assert!(
        ready.contains(&format!("\nMAINPID={}\n", pid.trim())),
        "{ready}"
    );
    assert!(ready.contains("\nSTATUS=Running 1 instance"), "{ready}");
    heard(&socket, "the state", |l| {
        l == "STATUS=Running 1 instance: VI_1 master"
    });
    for _ in 0..3 {
        heard(&socket, "a sign of life", |l| l == "WATCHDOG=1");
    }
    m.sh("kill -HUP $(cat /run/keepalived.pid)");
    let reloading = heard(&socket, "RELOADING", |l| l.starts_with("RELOADING=1\n"));
    let since = reloading
        .lines()
        .find_map(|l| l.strip_prefix("MONOTONIC_USEC="));
    let since: u64 = since.expect("when").parse().expect("a number");
    let uptime = fs::read_to_string("/proc/uptime").expect("procfs");
    let uptime: f64 = uptime
        .split(' ')
        .next()
        .expect("a word")
        .parse()
        .expect("a number");
    let age = Duration::from_secs_f64(uptime).abs_diff(Duration::from_micros(since));
    assert!(age < LIMIT, "{reloading}");
    heard(&socket, "READY again", |l| l.starts_with("READY=1\n"));
    m.file(
        "keepalived.conf",
        &one_master("").replace("eth0", "nosuch0"),
    );
    m.sh("kill -HUP $(cat /run/keepalived.pid)");
    heard(&socket, "the refusal", |l| {
        l.starts_with("READY=1\n") && l.contains("the last reload was refused")
    });
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    heard(&socket, "STOPPING", |l| l.starts_with("STOPPING=1\n"));
    assert_eq!(daemon.ended(), Some(0));
    // Scripts must not speak to systemd in our name.
    assert!(!m.log().contains("NOTIFY_SOCKET"));
}

#[test]
fn the_reload_command_tells_what_became_of_it() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let ask = "/usr/sbin/keepalived reload --timeout 60";
    let none = m.run(ask);
    assert_eq!(none.status.code(), Some(2), "nobody runs");
    let file = m.file("keepalived.conf", &one_master(""));
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -f {file}"));
    m.wait_log("Startup complete");
    let taken = m.run(ask);
    assert_eq!(taken.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&taken.stdout).contains("in force"));
    // Complaints are shown, and are no refusal.
    m.file(
        "keepalived.conf",
        &one_master("").replace("priority 150", "bogus 1"),
    );
    let complained = m.run(ask);
    assert_eq!(complained.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&complained.stderr).contains("Unknown keyword 'bogus'"));
    m.file(
        "keepalived.conf",
        &one_master("").replace("eth0", "nosuch0"),
    );
    let refused = m.run(ask);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("nosuch0") && said.contains("Reload refused"),
        "{said}"
    );
    // What cannot change while it runs is refused, too.
    m.file("keepalived.conf", &one_master("instance other"));
    let fixed = m.run(ask);
    assert_eq!(fixed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&fixed.stderr).contains("Cannot change instance"));
    // Many at once: each gets an answer of a reload that began after its question.
    m.file("keepalived.conf", &one_master(""));
    m.sh(&format!(
        "for i in 1 2 3 4; do kill -HUP $(cat /run/keepalived.pid); done; {ask}"
    ));
    assert!(!m.path("/run/keepalived.outcome").exists());
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn the_status_command_tells_how_it_is() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let ask = "/usr/sbin/keepalived status";
    assert_eq!(m.run(ask).status.code(), Some(2), "nobody runs");
    let file = m.file("keepalived.conf", &one_master(""));
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -f {file}"));
    m.wait_log("Entering MASTER STATE");
    let said = m.sh(ask); // all is well
    let row = |said: &str, state: &str| {
        let row = said.lines().find(|l| l.starts_with("VI_1 "));
        row.is_some_and(|l| l.contains(state))
    };
    assert!(
        row(&said, "MASTER") && said.contains("this machine"),
        "{said}"
    );
    m.sh("ip link set eth0 down");
    m.wait_log("Entering FAULT STATE");
    let bad = m.run(ask);
    let said = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert_eq!(bad.status.code(), Some(1), "{said}");
    assert!(
        row(&said, "FAULT") && said.contains("! interface eth0 is down"),
        "{said}"
    );
    // The signal alone means nothing.
    m.sh("kill -URG $(cat /run/keepalived.pid)");
    m.sh(&format!("{ask} || test $? = 1"));
    assert!(!m.path("/run/keepalived.status").exists());
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
}

/// Two masters; where a file could be cut, the second one is at the end.
fn two_masters() -> String {
    let one = one_master("");
    let two = one
        .replace("VI_1", "VI_2")
        .replace("id 51", "id 52")
        .replace("9.0.100", "9.0.101");
    format!("# two\nglobal_defs {{\n    router_id a\n}}\n{one}{two}")
}

#[test]
fn a_file_that_is_half_written_changes_nothing() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let text = two_masters();
    let file = m.file("keepalived.conf", &text);
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -f {file}"));
    m.wait_log("(VI_1) Entering MASTER STATE");
    m.wait_log("(VI_2) Entering MASTER STATE");
    let quiet = m.log().len();
    // Cut anywhere, and left like that.
    let end_of_block = |at: usize| text[..at].trim_end().ends_with("\n}");
    let cuts = (0..text.len()).filter(|at| at % 7 == 0 && !end_of_block(*at));
    let cuts: Vec<usize> = cuts.collect();
    assert!(cuts.len() > 30);
    for at in cuts {
        m.file("keepalived.conf", &text[..at]);
        let o = m.run("/usr/sbin/keepalived reload --timeout 60");
        let said = String::from_utf8_lossy(&o.stderr).into_owned();
        assert_eq!(o.status.code(), Some(1), "{:?}: {said}", &text[..at]);
        assert!(said.contains("Reload refused"), "{said}");
    }
    // Written slowly, and asked for in the middle, where the text by itself is a whole configuration.
    let second = text.rfind("vrrp_instance").expect("it is there");
    let mut slow = fs::File::create(&file).expect("a file of ours");
    slow.write_all(&text.as_bytes()[..second])
        .expect("room on the disk");
    m.sh("kill -HUP $(cat /run/keepalived.pid)");
    m.wait_log("Reloading ...");
    std::thread::sleep(Duration::from_millis(300)); // how slow it is
    slow.write_all(&text.as_bytes()[second..])
        .expect("room on the disk");
    drop(slow);
    m.wait_log("Reload complete");
    assert!(!m.log()[quiet..].contains("STATE"), "{}", &m.log()[quiet..]);
    // Who began with such a file may go on with one.
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
    let cut = text.trim_end().trim_end_matches('}');
    m.file("keepalived.conf", cut);
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -n -l -f {file}"));
    m.wait_log("Startup complete");
    m.file("keepalived.conf", &cut.replace("150", "151"));
    m.sh("/usr/sbin/keepalived reload --timeout 60");
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn signals_of_any_kind_and_number_are_safe_at_any_moment() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let file = m.file("keepalived.conf", &one_master(""));
    // From the first instruction on: the shell's process becomes the daemon.
    let mut daemon = m.start(&format!(
        "bash -c 'trap \"\" HUP USR1 USR2 36 63; \
         for n in 0 1 2 3 4 5 6 7 8 9; do (for i in 1 2 3 4 5 6 7 8 9 10; do \
         for s in HUP USR1 USR2 36 63; do kill -$s $$ 2>/dev/null; done; done) & done; \
         exec /usr/sbin/keepalived -n -l -D -f {file}'"
    ));
    m.wait_log("Startup complete");
    m.wait_log("Entering MASTER STATE");
    // A burst becomes a few: one that runs, and one more.
    let before = m.log().matches("Reload complete").count();
    m.sh("p=$(cat /run/keepalived.pid); for i in $(seq 100); do kill -HUP $p; done");
    m.sh("/usr/sbin/keepalived reload --timeout 60");
    let reloads = m.log().matches("Reload complete").count() - before;
    assert!((1..=60).contains(&reloads), "{reloads}");
    m.sh("for i in $(seq 50); do for s in USR1 USR2 36 63; do kill -$s $(cat /run/keepalived.pid); done; done");
    m.sh("kill -TERM $(cat /run/keepalived.pid); kill -TERM $(cat /run/keepalived.pid); true");
    assert_eq!(daemon.ended(), Some(0), "{}", m.log());
}

/// A pipe of the machine, in the test's directory, that is full.
fn full_pipe(m: &Machine) -> fs::File {
    let path = m.dir.path().join("full");
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe of ours");
    let mut options = fs::OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK);
    let mut pipe = options.open(&path).expect("a pipe of ours");
    while pipe.write(&[0; 4096]).is_ok() {}
    pipe
}

#[test]
fn signals_that_come_before_anybody_can_take_them_are_neither_lost_nor_deadly() {
    if !root() {
        return;
    }
    let m = Machine::new();
    let file = m.file("keepalived.conf", &one_master(""));
    let mut pipe = full_pipe(&m);
    // It stops as soon as it reads its command line: nobody takes what it says about a word too many.
    let mut begin = |signals: &str| {
        while pipe.write(&[0; 4096]).is_ok() {}
        let daemon = m.start(&format!(
            "bash -c 'echo $$ >pid; exec /usr/sbin/keepalived -n -l -D -f {file} stray >full'"
        ));
        m.wait("read p <pid && grep -q keepalived /proc/$p/comm && grep -q pipe /proc/$p/wchan");
        m.sh(&format!(
            "for s in {signals}; do kill -$s $(cat pid); done; rm pid"
        ));
        while pipe.read(&mut [0; 4096]).is_ok() {}
        daemon
    };
    let mut daemon = begin("HUP USR1 USR2 URG 36 63");
    m.wait_log("Startup complete");
    m.wait_log("Reload complete");
    m.written("keepalived.data");
    m.written("keepalived.stats");
    m.sh("kill -TERM $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0), "{}", m.log());
    let mut daemon = begin("TERM");
    assert_eq!(daemon.ended(), Some(0), "{}", m.log());
}
