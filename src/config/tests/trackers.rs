//! What is tracked besides scripts, and what concerns interfaces.

use std::time::Duration;

use super::super::fake::Fake;
use super::INSTANCE;
use crate::model::Config;
use crate::model::links::LinkbeatKind;
use crate::model::track::{Arguments, InitFile, Weight};

/// The model of a text about which nothing is complained.
fn read(text: &str) -> Config {
    let loaded = Fake::with(text).load();
    let said: Vec<String> = loaded.messages().map(|(_, m)| m).collect();
    assert_eq!(loaded.test_exit(), 0, "{said:?}");
    Config::clone(&loaded.config)
}

const TARGETS: &str = "\
track_file F {\n file /etc/keepalived/f\n weight 3 reverse\n init_file 7 overwrite\n}
vrrp_track_process P {\n process /bin/sleep 5\n quorum 2\n quorum_max 4\n delay 1.5\n}
bfd_instance B {\n neighbor_ip 2001:db8::1\n min_rx 50.5\n max_hops -1\n weight 9\n vrrp\n}
";

#[test]
fn trackers_are_found_by_name_with_their_weights() {
    let lists = " track_file {\n F\n }\n track_process {\n P weight -5\n }\n track_bfd {\n B weight 0 reverse\n }\n";
    let config = read(&format!("{TARGETS}{INSTANCE}{lists}}}\n"));
    let tracks = &config.instances[0].other_tracks;
    let of = |t: &crate::model::track::Tracked| (t.weight, t.reverse);
    assert_eq!(of(&tracks.files[0]), (Weight::Adjust(3), true));
    assert_eq!(of(&tracks.processes[0]), (Weight::Adjust(-5), false));
    assert_eq!(of(&tracks.bfds[0]), (Weight::Fault, true));
}

#[test]
fn trackers_are_modelled_with_all_that_is_said() {
    let config = read(&format!("{TARGETS}{INSTANCE}}}\n"));
    let init = InitFile {
        value: 7,
        overwrite: true,
    };
    assert_eq!(config.track_files[0].init, Some(init));
    let process = &config.track_processes[0];
    assert_eq!((process.quorum, process.quorum_max), (2, Some(4)));
    assert_eq!(
        (process.process.len(), process.arguments),
        (2, Arguments::Exact)
    );
    assert_eq!(process.fork_delay, Duration::from_millis(1500));
    assert_eq!(process.fork_delay, process.terminate_delay);
    let bfd = &config.bfds[0];
    assert_eq!(bfd.min_rx, Duration::from_micros(50_500));
    assert_eq!((bfd.ttl, bfd.max_hops), (64, None));
    assert!(bfd.tells_vrrp && !bfd.tells_checkers);
}

#[test]
fn a_tracker_must_be_defined_before_its_use() {
    let list = " track_file {\n F\n }\n";
    let loaded = Fake::with(format!("{INSTANCE}{list}}}\n{TARGETS}")).load();
    assert_eq!(loaded.test_exit(), 5);
    assert_eq!(loaded.config.instances[0].other_tracks.files, []);
}

#[test]
fn settings_of_interfaces_are_modelled() {
    let config = read(
        "garp_group {\n garp_interval 0.1\n interfaces {\n eth0 eth1\n }\n}\nlinkbeat_interfaces {\n eth0 MII\n eth1\n}\ninterface_up_down_delays {\n eth0 1.5 2\n eth0 3\n}\n",
    );
    assert_eq!(config.garp_groups[0].interfaces.len(), 2);
    assert_eq!(
        config.garp_groups[0].garp_interval,
        Some(Duration::from_millis(100))
    );
    let kinds: Vec<_> = config.linkbeat.iter().map(|l| l.kind).collect();
    assert_eq!(kinds, [Some(LinkbeatKind::Mii), None]);
    let delay = &config.delays[0];
    assert_eq!(
        (config.delays.len(), delay.down, delay.up),
        (1, Duration::from_secs(3), Duration::ZERO)
    );
}

#[test]
fn scripts_have_the_groups_of_their_user_where_that_is_asked_for() {
    let load = |more: &str| {
        let global =
            format!("global_defs {{\n enable_script_security\n script_user root\n{more}}}\n");
        let script = "vrrp_script S {\n script true\n}\n";
        let list = " track_script {\n S\n }\n";
        let mut fake = Fake::with(format!("{global}{script}{INSTANCE}{list}}}\n"));
        fake.programs.push("/usr/bin/true".into());
        let user = fake.load().config.scripts[0].command.user.clone();
        user.expect("a user").groups
    };
    assert!(load("").is_empty());
    assert!(load("set_supplementary_groups\n").contains(&4711));
}
