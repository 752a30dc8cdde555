//! What is told of one life of an instance, beside what the keepalived that is installed tells of the same.

use std::time::Instant;

use crate::lab::root;
use crate::machine::{LIMIT, Machine};

const CONF: &str = "
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    version 3
    priority 150
    advert_int 0.1
    garp_master_delay 0
    garp_master_repeat 2
    virtual_ipaddress {
        10.9.0.100/24
    }
    virtual_ipaddress_excluded {
        10.9.0.101/24
        fd09::101/64
    }
    virtual_routes {
        10.90.0.0/24 via 10.9.0.200 dev eth0
    }
    virtual_rules {
        from 10.91.0.0/24 table 91 preference 900
    }
}
";

/// Becomes master, loses its link, gets it back, is told to read again, ends.
fn life(stock: bool) -> Vec<String> {
    let m = Machine::new();
    if stock {
        m.sh("umount /usr/sbin/keepalived"); // ours lies above it
    }
    let conf = m.file("keepalived.conf", CONF);
    let mut daemon = m.start(&format!("/usr/sbin/keepalived -P -n -l -D -f {conf}"));
    let told = |text: &str, times: usize| {
        let end = Instant::now() + LIMIT;
        while m.log().matches(text).count() < times {
            assert!(Instant::now() < end, "{text}: {}", m.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    // The last frame of the burst.
    let last = "Sending unsolicited Neighbour Advert on eth0 for fd09::101";
    told(last, 2);
    m.sh("ip link set eth0 down");
    told("(VI_1) Entering FAULT STATE", 1);
    m.sh("ip link set eth0 up");
    told(last, 4);
    m.sh("kill -HUP $(cat /run/keepalived.pid)");
    told("Reload complete", 1);
    if stock {
        // Its parent is through before its child: the last that this says of it.
        told("VRRP sockpool: ", 2);
    }
    m.sh("kill $(cat /run/keepalived.pid)");
    assert_eq!(daemon.ended(), Some(0), "{}", m.log());
    let text = |line: &str| {
        line.split_once(" 2")
            .and_then(|(_, l)| l.split_once(": "))
            .map(|(_, t)| t.to_owned())
    };
    m.log().lines().filter_map(text).collect()
}

const RESIGNED: &str = "(VI_1) sent 0 priority";

/// From the first takeover on: what stands before it depends on what an earlier run may have left. Without the
/// resignations, which leave before anything else here.
fn of_instance(lines: &[String]) -> Vec<&str> {
    let mut kept = Vec::new();
    let (mut begun, mut reloading) = (false, false);
    for line in lines {
        begun |= line.ends_with("Receive advertisement timeout");
        // keepalived: says again that it sets what is there, at each reload.
        reloading = (reloading || line == "Reloading ...") && line != "Stopping";
        if begun && !reloading && line.starts_with("(VI_1) ") && line != RESIGNED {
            kept.push(line.as_str());
        }
    }
    kept
}

#[test]
fn an_instance_is_told_of_as_keepalived_tells() {
    if !root() {
        return;
    }
    let (ours, theirs) = (life(false), life(true));
    assert_eq!(
        of_instance(&ours),
        of_instance(&theirs),
        "{ours:#?} {theirs:#?}"
    );
    for line in [
        "Startup complete",
        "Reloading ...",
        "Reload complete",
        "Netlink reports eth0 down",
        "Netlink reports eth0 up",
        "Sending gratuitous ARP on eth0 for 10.9.0.100",
        "Stopping",
        RESIGNED,
    ] {
        let count = |lines: &[String]| lines.iter().filter(|l| *l == line).count();
        assert_eq!(
            count(&ours),
            count(&theirs),
            "{line}: {ours:#?} {theirs:#?}"
        );
    }
    for beginning in [
        "Opening file '",
        "Configuration file ",
        "Starting VRRP child process, pid=",
    ] {
        let count = |lines: &[String]| lines.iter().filter(|l| l.starts_with(beginning)).count();
        assert_eq!(
            count(&ours),
            count(&theirs),
            "{beginning}: {ours:#?} {theirs:#?}"
        );
    }
}
