use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::model::global::Global;
use crate::model::net::IfName;
use crate::model::vrrp::{Instance, Vrid};

fn wishes(config: &Config) -> Wishes<'_> {
    Wishes {
        path: "x.conf",
        config,
        errors: 0,
        warnings: 0,
        without_effect: Vec::new(),
        default_user: false,
    }
}

fn marks(lines: &Lines, text: &str) -> Vec<Mark> {
    let about = lines.0.iter().filter(|l| l.text.contains(text));
    about.map(|l| l.mark).collect()
}

fn stock() -> Daemon {
    let words = [
        "/usr/sbin/keepalived",
        "--dont-fork",
        "-D",
        "-f",
        "/etc/other.conf",
    ];
    Daemon {
        pid: 7,
        exe: PathBuf::from("/usr/sbin/keepalived"),
        words: words.map(str::to_owned).to_vec(),
        version: Some("Keepalived v2.2.7 (01/16,2022)".into()),
        unit: Some("keepalived.service".into()),
        ..Daemon::default()
    }
}

#[test]
fn errors_stop_the_move_and_say_where_to_look() {
    let config = Config::default();
    let wishes = Wishes {
        errors: 2,
        ..wishes(&config)
    };
    let lines = report(&Facts::default(), &wishes);
    assert_eq!(marks(&lines, "keepalived-rs check x.conf"), [Mark::Stop]);
}

#[test]
fn what_has_no_effect_yet_differs() {
    let config = Config::default();
    let wishes = Wishes {
        without_effect: vec!["enable_dbus has no effect yet".into()],
        ..wishes(&config)
    };
    assert_eq!(
        marks(&report(&Facts::default(), &wishes), "enable_dbus"),
        [Mark::Differs]
    );
}

#[test]
fn filters_need_nftables() {
    let iface = IfName::new("eth0").expect("a name");
    let vrid = Vrid(5.try_into().expect("not zero"));
    let mut instance = Instance::new("V", iface, vrid, &Global::default());
    instance.no_accept = true;
    let config = Config {
        instances: vec![Arc::new(instance)],
        ..Config::default()
    };
    let without = Facts {
        nftables: Some(false),
        ..Facts::default()
    };
    assert_eq!(
        marks(&report(&without, &wishes(&config)), "nftables"),
        [Mark::Stop]
    );
    assert!(marks(&report(&Facts::default(), &wishes(&config)), "nftables").is_empty());
}

#[test]
fn who_runs_otherwise_than_the_package_is_told() {
    let config = Config::default();
    let own = |daemon: Daemon| {
        report(
            &Facts {
                daemon: Some(daemon),
                ..Facts::default()
            },
            &wishes(&config),
        )
    };
    let plain = own(stock());
    assert_eq!(marks(&plain, "-D -f /etc/other.conf"), [Mark::Same]);
    assert_eq!(marks(&plain, "unprivileged").len(), 0);
    let odd = own(Daemon {
        uid: 998,
        unit: Some("lb.service".into()),
        confinement: Some("system_u:system_r:keepalived_t:s0".into()),
        ..stock()
    });
    for text in ["unprivileged", "lb.service", "keepalived_t"] {
        assert_eq!(marks(&odd, text), [Mark::Differs], "{text}");
    }
}

#[test]
fn the_file_of_the_running_daemon_counts() {
    let of = |words: &[&str]| {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        let daemon = Some(Daemon { words, ..stock() });
        Facts {
            daemon,
            ..Facts::default()
        }
        .config_file()
    };
    assert_eq!(of(&["k", "-nlf", "a.conf"]).as_deref(), Some("a.conf"));
    assert_eq!(of(&["k", "-nf/b.conf"]).as_deref(), Some("/b.conf"));
    assert_eq!(
        of(&["k", "--use-file=c.conf", "-D"]).as_deref(),
        Some("c.conf")
    );
    assert_eq!(of(&["k", "-p", "x.pid", "-D"]), None);
    assert_eq!(Facts::default().config_file(), None);
}

#[test]
fn the_way_that_keeps_the_addresses_is_told_where_a_daemon_runs() {
    let facts = Facts {
        daemon: Some(stock()),
        ..Facts::default()
    };
    assert!(commands(&facts).contains("keepalived-rs adopt"));
    assert!(!commands(&Facts::default()).contains("keepalived-rs adopt"));
    let rpm = Facts {
        packages: Packages::Rpm,
        ..Facts::default()
    };
    assert!(commands(&rpm).contains("dnf install ./keepalived-rs-*.rpm"));
}
