//! The engine and the tables together, on a machine that the test makes.

use std::time::Duration;

use proptest::prelude::*;

use super::fake::Fake;

mod complaints;
mod corpus;
mod global;
mod keywords;
mod manual;
mod mutants;
mod reload;
mod routes;
mod servers;
mod trackers;

/// `-t`'s exit code, the daemon's, and the messages.
fn verdict(text: &str) -> (u8, Option<u8>, Vec<String>) {
    let loaded = Fake::with(text).load();
    (
        loaded.test_exit(),
        loaded.refusal(),
        loaded.messages().map(|(_, m)| m).collect(),
    )
}

const INSTANCE: &str = "vrrp_instance V {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 192.0.2.1/24\n }\n";

#[test]
fn the_smallest_instance_is_read() {
    let loaded = Fake::with(format!("{INSTANCE}}}\n")).load();
    assert_eq!(loaded.diags, []);
    assert_eq!(loaded.config.instances.len(), 1);
    assert_eq!(loaded.config.instances[0].addresses[0].prefix_len, 24);
    assert_eq!(loaded.config.instances[0].vrid.0.get(), 51);
}

#[test]
fn one_brace_too_many_is_a_complaint_and_the_daemon_runs() {
    let (test, daemon, messages) = verdict(&format!("{INSTANCE}}}\n}}\n"));
    assert_eq!((test, daemon), (5, None));
    let place = "(/etc/keepalived/keepalived.conf: Line 8)";
    assert_eq!(
        messages,
        [
            format!("{place} Extra '}}' found"),
            format!("{place} Unknown keyword '}}'")
        ]
    );
}

#[test]
fn one_brace_too_few_is_a_complaint_and_the_daemon_runs() {
    let (test, daemon, messages) = verdict(INSTANCE);
    assert_eq!((test, daemon), (5, None));
    assert_eq!(messages, ["There are 1 missing '}'s or extra '{'s"]);
}

/// The end of a block at the top level is the only place where a cut cannot be seen.
#[test]
fn a_file_that_is_cut_is_known_by_its_end() {
    let text = format!(
        "# head\nglobal_defs {{\n router_id a\n}}\n{INSTANCE}}}\nvirtual_server 10.0.0.1 80 {{\n}}\n"
    );
    assert!(!Fake::with(text.clone()).load().torn);
    let mut whole = Vec::new();
    for at in 0..text.len() {
        if !Fake::with(&text[..at]).load().torn {
            whole.push(at);
        }
    }
    for at in &whole {
        assert!(text[..*at].trim_end().ends_with('}'), "{:?}", &text[..*at]);
    }
    assert_eq!(whole.len(), 5, "{whole:?}");
}

#[test]
fn a_block_without_its_end_does_not_swallow_the_blocks_behind_it() {
    let second = INSTANCE
        .replace("V {", "W {")
        .replace("51", "52")
        .replace(".1/", ".2/");
    let server = "virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n }\n}\n";
    // One and two ends are missing.
    for lost in ["", "authentication {\n"] {
        let text = format!("{INSTANCE}{lost}{second}}}\n{server}");
        let loaded = Fake::with(text).load();
        assert_eq!(loaded.test_exit(), 5);
        let names = loaded.config.instances.iter().map(|i| &*i.name);
        assert_eq!(names.collect::<Vec<_>>(), ["V", "W"]);
        assert_eq!(loaded.config.virtual_servers.len(), 1);
        let said: Vec<String> = loaded.messages().map(|(_, m)| m).collect();
        assert!(
            said.iter()
                .any(|m| m.contains("Unknown keyword 'vrrp_instance'"))
        );
        let count = format!("There are {} missing", if lost.is_empty() { 1 } else { 2 });
        assert!(said.iter().any(|m| m.starts_with(&count)), "{said:?}");
    }
    // Where no end is missing, the block is in the wrong place and is skipped.
    let loaded = Fake::with(format!(
        "{INSTANCE} static_routes {{\n }}\n priority 150\n}}\n"
    ))
    .load();
    assert_eq!(loaded.config.instances[0].priority.get(), 150);
}

#[test]
fn a_block_of_lines_may_lack_its_brace() {
    let head = "vrrp_instance V {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress\n 192.0.2.1/24\n";
    // Its end is that of the instance for whoever counts braces only.
    let loaded = Fake::with(format!("{head} }}\n priority 150\n}}\n")).load();
    assert_eq!(loaded.test_exit(), 5);
    assert_eq!(loaded.config.instances[0].addresses.len(), 1);
    assert_eq!(loaded.config.instances[0].priority.get(), 150);
    // With one end for both nothing is missing.
    assert_eq!(verdict(&format!("{head}}}\n")).0, 0);
    let tail = format!("{INSTANCE}}}\n");
    assert_eq!(
        verdict(&format!(
            "static_ipaddress\n 192.0.2.9/24 dev eth0\n}}\n{tail}"
        ))
        .0,
        5
    );
    assert_eq!(
        verdict(&format!("{tail}static_ipaddress\n 192.0.2.9/24 dev eth0\n")).0,
        5
    );
}

#[test]
fn a_brace_in_quotes_opens_and_closes_and_is_not_counted() {
    let body = INSTANCE
        .strip_prefix("vrrp_instance V {")
        .expect("as it begins");
    let loaded = Fake::with(format!("vrrp_instance V \"{{\"{body}}}\n")).load();
    assert_eq!(loaded.config.instances.len(), 1);
    assert_eq!(
        verdict(&format!("vrrp_instance V \"{{\"{body}}}\n"))
            .2
            .len(),
        1
    );
    let (test, _, messages) = verdict(&format!("{INSTANCE}\"}}\"\n"));
    assert_eq!((test, messages.len()), (5, 1), "{messages:?}");
}

#[test]
fn an_unknown_block_is_skipped_and_nothing_else_is_lost() {
    let loaded = Fake::with(format!(
        "{INSTANCE} foo {{\n bar {{ baz }}\n priority 7\n }}\n priority 150\n}}\n"
    ))
    .load();
    assert_eq!(loaded.test_exit(), 5);
    assert_eq!(loaded.diags.len(), 1);
    assert_eq!(loaded.config.instances[0].priority.get(), 150);
}

#[test]
fn blocks_of_the_top_level_in_an_unknown_one_are_read() {
    let real =
        "protocol TCP\n lb_algo rr\n lb_kind NAT\n real_server 192.0.2.9 80 {\n weight 1\n }\n";
    let servers = |text: &str| {
        let loaded = Fake::with(text).load();
        let ports = loaded
            .config
            .virtual_servers
            .iter()
            .map(|s| s.real_servers.len());
        (loaded.diags.len(), ports.collect::<Vec<_>>())
    };
    // Their brace is that of the unknown block, or their own.
    let shared = format!("group g {{\n virtual_server 192.0.2.1 80\n {real}}}\n");
    assert_eq!(servers(&shared), (2, vec![1]));
    let more = shared.replace("2.1 80", "2.2 80");
    assert_eq!(servers(&format!("{shared}{more}")), (4, vec![1, 1]));
    let own = format!("group g {{\n virtual_server 192.0.2.1 80 {{\n {real}}}\n x\n}}\n");
    assert_eq!(servers(&own), (1, vec![1]));
    // A keyword of an instance is not taken for one of the top level.
    let mistyped = "vrrp_instanec V {\n track_file {\n a\n }\n}\n";
    assert_eq!(servers(mistyped), (1, vec![]));
}

#[test]
fn nothing_is_said_about_the_inside_of_a_block_that_is_refused() {
    let (test, _, messages) =
        verdict("virtual_server IP PORT {\n foo\n real_server x {\n bar\n }\n}\n");
    assert_eq!((test, messages.len()), (5, 1), "{messages:?}");
}

#[test]
fn the_missing_default_user_is_named_once() {
    let (_, _, messages) = verdict(&format!(
        "global_defs {{\n enable_script_security\n}}\n{INSTANCE} notify_master /bin/x\n notify_backup /bin/x\n}}\n"
    ));
    let place = "(/etc/keepalived/keepalived.conf: Line 10)";
    let text = format!("{place} Unable to set default user keepalived_script for script");
    assert_eq!(messages, [text]);
}

#[test]
fn the_default_user_is_looked_for_when_the_first_needs_it() {
    let file = |globals: &str| {
        format!("global_defs {{\n{globals}\n}}\n{INSTANCE} notify_master /bin/x\n}}\n")
    };
    let both = "enable_script_security\nscript_user root\n";
    assert_eq!(verdict(&file(both)).0, 0);
    // Too late: whoever needed it has failed, and with it all others.
    for asks in [
        "notify_fifo /run/f",
        "startup_script /bin/x",
        "lvs_notify_fifo_script /bin/x",
    ] {
        let text = file(&format!(
            "enable_script_security\n{asks}\nscript_user root\n"
        ));
        assert_eq!(verdict(&text).0, 5, "{asks}");
        assert_eq!(
            Fake::with(text).load().config.instances[0].notify.master,
            None
        );
        // Not yet secure: the daemon's own user is good enough.
        assert_eq!(
            verdict(&file(&format!("{asks}\nenable_script_security\n"))).0,
            0
        );
        assert_eq!(verdict(&file(&format!("{asks}\n{both}"))).0, 0);
    }
    assert_eq!(
        verdict(&file("script_user nobody-at-all\nscript_user root\n")).0,
        5
    );
}

#[test]
fn equal_routers_with_peers_of_their_own_are_two() {
    let file = |one: &str, other: &str| {
        let peer = |text: &str, peer: &str| format!("{text} unicast_peer {{\n {peer}\n }}\n}}\n");
        let second = INSTANCE
            .replace("V {", "W {")
            .replace("192.0.2.1/24", "192.0.2.2/24");
        peer(INSTANCE, one) + &peer(&second, other)
    };
    let loaded = Fake::with(file("192.0.2.8", "192.0.2.9")).load();
    assert_eq!(loaded.test_exit(), 0, "{:?}", loaded.diags);
    let keys = loaded.config.instances.iter().map(|i| i.twin);
    assert_eq!(keys.collect::<Vec<_>>(), [0, 1]);
    assert_eq!(verdict(&file("192.0.2.8", "192.0.2.8")).0, 5);
}

#[test]
fn what_crashes_stock_is_a_complaint() {
    for text in [
        "bfd_instance {\n}\n",
        "bfd_instance B {\n neighbor_ip\n}\n",
        "virtual_server group {\n}\n",
        "vrrp_script s {\n script \"/bin/true\n}\n",
        "virtual_server 192.0.2.9 80 {\n real_server 192.0.2.8 80 {\n MISC_CHECK {\n misc_path \"/bin/true\n }\n }\n}\n",
        "virtual_server 192.0.2.9 80 {\n real_server 192.0.2.8 80 {\n HTTP_GET {\n }\n }\n}\n",
        "global_defs {\n router_id ${_ENV}\n}\n",
        "global_defs {\n router_id $_ENV\n}\n",
        "$A=@main \\\n x\n$A\n",
        "vrrp_track_file f {\n file /run/f\n}\nvrrp_instance V {\n interface eth0\n virtual_router_id 51\n track_file {\n g\n }\n}\n",
    ] {
        let loaded = Fake::with(format!("{text}{INSTANCE}}}\n")).load();
        assert_ne!(loaded.test_exit(), 0, "{text}");
    }
}

/// keepalived: `skip_check_adv_addr false` skips the check, and `unicast_ttl` without peers lets no packet leave.
#[test]
fn words_that_stock_takes_for_their_contrary() {
    let one = |line: &str| {
        let loaded = Fake::with(format!("{INSTANCE} {line}\n}}\n")).load();
        loaded.config.instances[0].clone()
    };
    assert!(one("skip_check_adv_addr").skip_check_adv_addr);
    assert!(!one("skip_check_adv_addr false").skip_check_adv_addr);
    assert_eq!(one("unicast_ttl 7").unicast, None);
}

#[test]
fn an_interface_that_only_linkbeat_names_does_not_keep_the_daemon_from_running() {
    let fake = |text: String| Fake {
        interfaces: Some(vec!["eth0".into()]),
        ..Fake::with(text)
    };
    let file = fake(format!(
        "linkbeat_interfaces {{\n gone0\n}}\n{INSTANCE}}}\n"
    ));
    let loaded = file.load();
    assert_eq!((loaded.test_exit(), loaded.refusal()), (4, None));
}

#[test]
fn a_script_may_be_a_file_to_open() {
    let file = |script: &str| {
        format!(
            "vrrp_script s {{\n script \"{script}\"\n}}\n{INSTANCE} track_script {{\n s\n }}\n}}\n"
        )
    };
    let loaded = Fake::with(file("</run/up")).load();
    assert_eq!((loaded.test_exit(), loaded.diags.len()), (0, 0));
    let command = &loaded.config.scripts[0].command;
    assert_eq!(command.argv.last().map(String::as_str), Some("/run/up"));
    assert_eq!(verdict(&file("<run/up")).0, 5);
    assert_eq!(verdict(&file("< /run/up")).0, 5);
}

#[test]
fn a_definition_of_several_lines_may_hold_definitions() {
    let loaded = Fake::with(format!(
        "$P= \\\n$X=120 \\\npriority $X\n{INSTANCE} $P\n}}\n"
    ))
    .load();
    assert_eq!(loaded.diags, []);
    assert_eq!(loaded.config.instances[0].priority.get(), 120);
}

#[test]
fn an_absent_namespace_is_the_end_of_reading() {
    let loaded = Fake::with(format!("net_namespace gone\n{INSTANCE}}}\nfoo\n")).load();
    assert_eq!((loaded.test_exit(), loaded.refusal()), (0, Some(0)));
    assert!(loaded.config.instances.is_empty());
}

#[test]
fn the_matches_of_a_pattern_are_read_one_after_the_other_each_in_its_place() {
    let mut fake = Fake::with("include conf.d/*.conf\nglobal_defs {\n enable_script_security\n}\n");
    for n in 100..500 {
        let path = format!("/etc/keepalived/conf.d/{n}.conf").into();
        let text = format!("track_file F{n} {{\n file /etc/keepalived/f{n}\n}}\n");
        fake.files.insert(path, text.into_bytes());
    }
    // A relative name is relative to the file that names it, and a file may name one that comes later anyway.
    let more = b"include 499.conf\n".to_vec();
    fake.files
        .insert("/etc/keepalived/conf.d/000.conf".into(), more);
    let loaded = fake.load();
    assert_eq!(loaded.test_exit(), 0, "{:?}", loaded.diags.first());
    let names = loaded.config.track_files.iter().map(|f| f.name.to_string());
    assert_eq!(names.collect::<Vec<_>>()[..3], ["F499", "F100", "F101"]);
    assert_eq!(loaded.config.track_files.len(), 400);
}

#[test]
fn what_is_too_large_to_be_read_whole_is_not_run() {
    let loaded = Fake::with("~SEQ(x, 1, 1000000000) vrrp_version $x\n").load();
    assert_eq!((loaded.test_exit(), loaded.refusal()), (5, Some(2)));
}

#[test]
fn an_interface_is_tracked_by_the_group_or_by_its_member() {
    let file = |member: &str| {
        format!(
            "{INSTANCE} {member}\n}}\nvrrp_instance W {{\n interface eth1\n virtual_router_id 52\n virtual_ipaddress {{\n \
             192.0.2.2/24\n }}\n}}\nvrrp_sync_group G {{\n group {{\n V\n W\n }}\n track_interface {{\n eth0\n }}\n}}\n"
        )
    };
    let (test, _, messages) = verdict(&file(""));
    assert_eq!((test, messages.len()), (5, 1), "{messages:?}");
    assert_eq!(verdict(&file("dont_track_primary")).0, 0);
}

#[test]
fn a_missing_argument_ends_both() {
    assert_eq!(verdict(&format!("{INSTANCE} priority\n}}")).0, 2);
    assert_eq!(verdict(&format!("{INSTANCE} priority\n}}")).1, Some(2));
}

#[test]
fn global_settings_count_for_blocks_before_them() {
    let loaded = Fake::with(format!(
        "{INSTANCE}}}\nglobal_defs {{\n vrrp_version 3\n}}\n"
    ))
    .load();
    assert_eq!(
        loaded.config.instances[0].version,
        crate::model::vrrp::Version::V3
    );
}

#[test]
fn bursts_after_a_lower_priority_follow_the_global_keywords_not_the_instance() {
    let instance = "vrrp_instance A {\n interface eth0\n virtual_router_id 1\n garp_master_delay 10\n \
                    garp_master_repeat 2\n virtual_ipaddress {\n 10.0.0.100\n }\n}\n";
    for (global, delay, repeat) in [
        ("", 5, 5),
        ("vrrp_garp_master_delay 7\nvrrp_garp_master_repeat 3", 7, 3),
        (
            "vrrp_garp_lower_prio_delay 4\nvrrp_garp_lower_prio_repeat 1",
            4,
            1,
        ),
    ] {
        let loaded = Fake::with(format!("global_defs {{\n{global}\n}}\n{instance}")).load();
        let garp = &loaded.config.instances[0].garp;
        assert_eq!(
            garp.lower_prio_delay,
            Duration::from_secs(delay),
            "{global}"
        );
        assert_eq!(garp.lower_prio_repeat, repeat, "{global}");
    }
}

#[test]
fn a_bad_value_keeps_the_default_and_points_at_the_word() {
    let loaded = Fake::with(format!("{INSTANCE} down_timer_adverts 300\n}}")).load();
    assert_eq!(loaded.config.instances[0].down_timer_adverts, 3);
    assert_eq!(
        loaded.diags[0].to_string(),
        "(Line 7) down_timer_adverts: 300 is not in 1..=100"
    );
    assert_eq!(loaded.diags[0].span.map(|s| (s.col, s.len)), Some((21, 3)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_are_answered(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Fake::with(&text).load();
    }

    #[test]
    fn any_heap_of_words_is_answered(words in proptest::collection::vec(prop_oneof![
        Just("{"), Just("}"), Just("\n"), Just("\n"), Just(" "), Just("\""), Just("#"), Just("$A=x \\\n"), Just("$A"),
        Just("${A}"), Just("$A=${A}$A\n"), Just("~SEQ(i,1,3) "), Just("~LST({a,b},{1,2}) "), Just("@oracle "),
        Just("include /etc/keepalived/keepalived.conf\n"), Just("include *\n"), Just("global_defs"),
        Just("vrrp_instance V"), Just("interface eth0"), Just("virtual_router_id 5"), Just("virtual_ipaddress"),
        Just("10.0.0.1/8 dev eth0"), Just("priority 1x"), Just("vrrp_script s"), Just("script \"/bin/x 'a\""),
        Just("virtual_server 10.0.0.1 80"), Just("real_server 10.0.0.2 80"), Just("TCP_CHECK"), Just("vrrp_sync_group G"),
        Just("group"), Just("track_script"), Just("notify /bin/x"), Just("${_RANDOM 1 5}"), Just("${_ENV}"), Just("é\u{a0}"),
    ], 0..48)) {
        let _ = Fake::with(words.concat()).load();
    }
}

#[test]
fn what_is_wrong_with_a_part_that_is_off_does_not_keep_the_daemon_from_running() {
    use super::source::Concern;
    let only = |part| move |concern| matches!(concern, Concern::Daemon) || concern == part;
    let vrrp = "vrrp_instance V {\n interface nope\n virtual_router_id 1\n}\n";
    let checkers = "virtual_server 10.0.0.1 80 {\n lb_algo\n real_server 10.0.0.2 80 {\n }\n}\n";
    let both = Fake::with(format!("{vrrp}{checkers}")).load();
    assert_eq!(both.test_exit(), 2);
    assert_eq!(both.refusal(), Some(2));
    for (text, part, other) in [
        (vrrp, Concern::Vrrp, Concern::Checkers),
        (checkers, Concern::Checkers, Concern::Vrrp),
    ] {
        let loaded = Fake::with(text).load();
        assert_eq!(loaded.refusal_for(only(part)), Some(2), "{text}");
        assert_eq!(loaded.refusal_for(only(other)), None, "{text}");
        assert_eq!(loaded.messages_for(only(other)).count(), 0, "{text}");
    }
    // Files are everybody's.
    let text = "vrrp_instance V {\n includea /none\n}\n";
    assert_eq!(
        Fake::with(text).load().refusal_for(only(Concern::Checkers)),
        Some(6)
    );
}
