use std::sync::Arc;

use super::*;
use crate::config::fake::Fake;
use crate::daemon::bus::{
    CheckSnapshot, LastRun, MasterSeen, ProcessSnapshot, RunState, ScriptSnapshot,
};
use crate::dump::data::tests::snapshot;
use crate::wire::arp::Mac;

const CONF: &str = "
    vrrp_script chk {
        script /usr/bin/false
    }
    vrrp_instance VI_1 {
        interface eth0
        virtual_router_id 51
        track_script {
            chk
        }
        virtual_ipaddress {
            10.0.0.100
        }
    }
    virtual_server 10.0.0.1 80 {
        protocol TCP
        sorry_server 10.0.0.9 80
        real_server 10.0.1.1 80 {
            TCP_CHECK {
            }
        }
        real_server 10.0.1.2 80 {
            TCP_CHECK {
            }
            MISC_CHECK {
                misc_path /usr/bin/true
            }
        }
    }
";

fn config() -> Arc<Config> {
    let mut fake = Fake::with(CONF);
    fake.scripts_in = Some("/usr/bin/true /usr/bin/false".into());
    fake.load().config
}

const MINUTE: u64 = 60_000_000;

fn page(
    config: &Config,
    instances: &[InstanceSnapshot],
    trackers: &TrackSnapshot,
    services: &[ServiceSnapshot],
    reload: Option<(Mono, bool)>,
) -> (Vec<String>, bool) {
    let found = Found {
        instances,
        trackers,
        services,
        now: Mono::from_micros(100 * MINUTE),
        started: Mono::from_micros(MINUTE),
        reload,
        fetched: u64::from(reload.is_some()) * 3,
        claims: &[Claimed {
            instance: "VI_3".into(),
            addr: [10, 0, 0, 3].into(),
            mac: Mac([2, 0, 0, 0, 0, 3]),
        }],
    };
    let Status { text, well } = status(config, &found, 7);
    (text.lines().map(str::to_owned).collect(), well)
}

fn server(alive: bool, checks: &[(bool, bool)]) -> ServerSnapshot {
    let check = |(up, ran): &(bool, bool)| CheckSnapshot {
        enabled: true,
        up: *up,
        ran: *ran,
        tries: 0,
    };
    ServerSnapshot {
        alive,
        weight: u32::from(alive),
        in_table: alive,
        checks: checks.iter().map(check).collect(),
    }
}

#[test]
fn what_is_well_is_one_line_each() {
    let config = config();
    let mut now = snapshot("VI_1");
    now.since = Some(Mono::from_micros(98 * MINUTE));
    let mut backup = snapshot("VI_2");
    backup.state = VrrpState::Backup;
    backup.master = Some(MasterSeen {
        addr: [10, 0, 0, 2].into(),
        priority: 150,
        interval: Duration::from_secs(1),
    });
    let services = [ServiceSnapshot {
        vs: Arc::clone(&config.virtual_servers[0]),
        quorum_met: true,
        servers: vec![
            server(true, &[(true, true)]),
            server(true, &[(true, true); 2]),
        ],
    }];
    let reload = Some((Mono::from_micros(40 * MINUTE), true));
    let nothing = TrackSnapshot::default();
    let (lines, well) = page(&config, &[now, backup], &nothing, &services, reload);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        lines,
        [
            &format!("keepalived-rs {version} (pid 7), running for 1 h 39 min"),
            "Moved away from a processor that stood still 3 times",
            "Reloaded 1 h 0 min ago",
            "",
            "instance  state   for        priority  interface  vrid  master",
            "VI_1      MASTER  2 min 0 s  98        eth0       51    this machine",
            "VI_2      BACKUP  -          98        eth0       51    10.0.0.2 (priority 150)",
            "",
            "virtual server     real servers  quorum",
            "[10.0.0.1]:tcp:80  2 of 2 up     met",
        ]
    );
    assert!(well);
}

#[test]
fn what_is_not_well_says_why() {
    let config = config();
    let mut now = snapshot("VI_1");
    now.state = VrrpState::Fault;
    now.causes = vec![
        FaultCause::Script("chk".into()),
        FaultCause::ScriptPending("other".into()),
    ];
    now.counters.checksum_errors = 3;
    now.counters.auth_failures = 1;
    now.counters.overslept = 2;
    let mut grouped = snapshot("VI_2");
    grouped.state = VrrpState::Fault;
    let twice = snapshot("VI_3");
    let services = [ServiceSnapshot {
        vs: Arc::clone(&config.virtual_servers[0]),
        quorum_met: false,
        servers: vec![
            server(false, &[(false, false)]),
            server(false, &[(true, true), (false, true)]),
        ],
    }];
    let mut trackers = TrackSnapshot::default();
    let script = ScriptSnapshot {
        good: Some(false),
        result: 0,
        run: RunState::Idle,
        last: Some(LastRun {
            outcome: Outcome::Status(1),
            took: Duration::from_millis(12),
            said: Some("cannot connect\u{1b}[2J".into()),
        }),
        stuck: 0,
    };
    trackers.scripts.insert("chk".into(), script);
    let process = ProcessSnapshot {
        count: 0,
        good: Some(false),
        delayed: false,
    };
    trackers.processes.insert("nginx".into(), process);
    trackers.files.insert("weight".into(), -20);
    let reload = Some((Mono::from_micros(100 * MINUTE - 5_000_000), false));
    let (lines, well) = page(
        &config,
        &[now, grouped, twice],
        &trackers,
        &services,
        reload,
    );
    assert_eq!(
        lines[1..],
        [
            "Moved away from a processor that stood still 3 times",
            "! The reload 5 s ago was refused, the configuration before it is in force",
            "",
            "instance  state   for  priority  interface  vrid  master",
            "VI_1      FAULT   -    98        eth0       51    -",
            "  ! tracked script chk",
            "    waits for the first result of script other",
            "    4 advertisements of others were refused; keepalived.stats tells for what",
            "    woke too late 2 times and listened first",
            "VI_2      FAULT   -    98        eth0       51    -",
            "  ! its sync group is in fault",
            "VI_3      MASTER  -    98        eth0       51    this machine",
            "  ! 10.0.0.3 is on another machine, too: 02:00:00:00:00:03 answers ARP for it",
            "",
            "tracked  name    result  last run",
            "script   chk     BAD     exit status 1 after 12 ms",
            "  ! it said: cannot connect [2J",
            "process  nginx   BAD     0 running",
            "  ! too few or too many of them run",
            "file     weight  -20     -",
            "",
            "virtual server     real servers  quorum",
            "[10.0.0.1]:tcp:80  0 of 2 up     LOST, the sorry server serves",
            "  ! 10.0.1.1:80 is down: TCP_CHECK was not run yet",
            "  ! 10.0.1.2:80 is down: MISC_CHECK fails",
        ]
    );
    assert!(!well);
}

#[test]
fn who_does_not_answer_is_named() {
    let (lines, well) = page(&config(), &[], &TrackSnapshot::default(), &[], None);
    assert!(!well);
    let named = |task: &str| lines.contains(&format!("! The {task} task does not answer"));
    assert!(named("VRRP") && named("LVS"), "{lines:?}");
}

#[test]
fn spans_have_their_two_largest_units() {
    for (seconds, text) in [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3_600, "1 h 0 min"),
        (90_061, "1 d 1 h"),
    ] {
        assert_eq!(span(Duration::from_secs(seconds)), text);
    }
}
