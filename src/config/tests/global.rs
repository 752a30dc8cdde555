//! `global_defs`: what each family of keywords means, and who is told of scripts without security.

use std::time::Duration;

use super::super::fake::Fake;
use crate::config::blocks::ROOT;
use crate::config::blocks::global::GLOBAL_DEFS;
use crate::config::blocks::inert::INERT;
use crate::config::blocks::real_server::REAL_SERVER;
use crate::config::blocks::sync_group::VRRP_SYNC_GROUP;
use crate::config::blocks::virtual_server::VIRTUAL_SERVER;
use crate::config::blocks::vrrp_instance::VRRP_INSTANCE;
use crate::config::tree::Shape;
use crate::model::firewall::Iptables;
use crate::model::global::{ExtraIf, FlushOnStop, Global};
use crate::model::process::{AutoPriority, PacketBuffer};

fn global(text: &str) -> Global {
    let loaded = Fake::with(format!("global_defs {{\n{text}\n}}")).load();
    Global::clone(&loaded.config.global)
}

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(global(""), Global::default());
}

#[test]
fn a_remark_about_a_keyword_names_it() {
    let loaded = Fake::with("global_defs {\n random_seed 5\n vrrp_rlimit_rtime 50\n}").load();
    let said: Vec<String> = loaded.messages().map(|(_, text)| text).collect();
    let all = said.join("\n");
    assert!(all.contains(") random_seed has no effect"), "{all}");
    assert!(all.contains(") vrrp_rlimit_rtime is deprecated"), "{all}");
}

#[test]
fn scheduling_of_each_part_is_its_own() {
    let p = global(
        "vrrp_priority -10\nchecker_no_swap\nbfd_rt_priority 120\nvrrp_cpu_affinity 0 2\nchecker_cpu_affinity 1\n\
         checker_cpu_affinity 99\nvrrp_rlimit_rttime 1\nmax_auto_priority\nmin_auto_priority_delay 5",
    )
    .process;
    assert_eq!((p.vrrp.nice, p.checker.nice), (-10, 0));
    assert_eq!((p.checker.no_swap, p.vrrp.no_swap), (true, false));
    assert_eq!((p.bfd.rt_priority, p.vrrp.rt_priority), (Some(99), None));
    assert_eq!(p.vrrp.cpus, [0, 2].into());
    assert_eq!(p.checker.cpus, [].into(), "a bad number empties the set");
    assert_eq!(p.vrrp.rlimit_rttime, Duration::from_micros(2));
    assert_eq!(p.auto_priority, AutoPriority::UpTo(99));
    assert_eq!(p.auto_priority_delay, Duration::from_micros(5));
}

#[test]
fn names_files_and_buffers_are_kept() {
    let p = global(
        "vrrp_process_name lost\nprocess_names\nchecker_process_name a-name-of-more-than-fifteen\n\
         umask IRUSR|IWGRP|IRWXO\nreload_file\nstate_dump_file /x/\nvrrp_rx_bufs_policy advert\n\
         vrrp_rx_bufs_policy MTU\nvrrp_netlink_cmd_rcv_bufs 5\nvrrp_netlink_cmd_rcv_bufs 0\n\
         vrrp_netlink_cmd_rcv_bufs_force",
    )
    .process;
    assert_eq!(p.names.vrrp.as_deref(), Some("keepalived_vrrp"));
    assert_eq!(p.names.checker.as_deref(), Some("a-name-of-more-"));
    assert_eq!(p.names.main, None);
    assert_eq!(p.files.umask, 0o427);
    assert_eq!(p.buffers.vrrp_packets, PacketBuffer::Mtu);
    assert_eq!(p.buffers.vrrp_command.octets, Some(5));
    assert!(p.buffers.vrrp_command.force);
}

#[test]
fn listeners_are_kept() {
    let g = global(
        "enable_snmp_rfc\n\
         snmp_vs_stats_update_interval 2.5\nenable_dbus\ndbus_service_name a.b",
    );
    assert_eq!((g.snmp.rfc2787, g.snmp.rfc6527), (true, true));
    assert_eq!(g.snmp.rs_stats_interval, Duration::from_millis(2500));
    assert_eq!(&*g.dbus.service_name, "a.b");
}

#[test]
fn a_fifo_without_its_owner_is_none() {
    let fifos = "notify_fifo /run/f nobody\nvrrp_notify_fifo /run/g nosuchuser\n";
    let instance = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n";
    let loaded = Fake::with(format!("global_defs {{\n{fifos}}}\n{instance}")).load();
    let notify = &loaded.config.global.notify;
    let owner = notify.fifo.as_ref().map(|f| f.owner);
    assert_eq!(owner, Some(Some((65534, 65534))));
    assert_eq!(notify.vrrp_fifo, None);
}

#[test]
fn firewall_names_are_resolved() {
    let f =
        global("vrrp_iptables A\nvrrp_ipsets mine other\nnftables_priority 5\nnftables t").firewall;
    let chains = Iptables {
        input: Some("A".into()),
        output: None,
    };
    assert_eq!(f.iptables, Some(chains));
    assert_eq!(&*f.ipsets.address6, "other");
    assert_eq!(&*f.ipsets.igmp, "mine_igmp");
    assert_eq!((&*f.nftables.table, f.nftables.priority), ("t", -1));
    let long = global("vrrp_ipsets abcdefghijklmnopqrstuvwxyz1234").firewall;
    assert_eq!(&*long.ipsets.address_if6, "abcdefghijklmnopqrstuvwxyz1_if6");
}

#[test]
fn ipvs_and_vrrp_details_are_kept() {
    let g = global(
        "lvs_timeouts tcp 5 udp 0\nlvs_flush_on_stop VS\nlvs_sync_daemon eth0 id 7 group 224.0.0.5\n\
         vrrp_garp_master_repeat 3\nvrrp_min_garp\nvrrp_garp_extra_if all 60\nvmac_prefix v",
    );
    assert_eq!(g.ipvs.timeouts.tcp, Some(Duration::from_secs(5)));
    assert_eq!(g.ipvs.timeouts.udp, None);
    assert_eq!(g.ipvs.flush_on_stop, FlushOnStop::Services);
    assert_eq!(g.ipvs.sync_daemon.map(|d| d.id), Some(7));
    assert_eq!(
        (g.garp.master_repeat, g.garp.master_delay),
        (3, Duration::ZERO)
    );
    let extra = ExtraIf {
        all: true,
        interval: Duration::from_secs(60),
    };
    assert_eq!(g.garp_extra_if, Some(extra));
    assert_eq!((&*g.vmac_prefix, &*g.vmac_addr_prefix), ("v", "v"));
}

#[test]
fn the_sync_daemon_takes_the_id_of_its_instance() {
    let instance = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n";
    let found = |name: &str| {
        let text = format!("{instance}global_defs {{\nlvs_sync_daemon eth1 {name}\n}}");
        let loaded = Fake::with(text).load();
        loaded.config.global.ipvs.sync_daemon.clone().map(|d| d.id)
    };
    assert_eq!(found("V"), Some(9));
    assert_eq!(found("W"), None);
}

#[test]
fn the_older_words_of_an_instance_name_a_sync_daemon_and_a_link_to_ask() {
    let instance = |name: &str, vrid: u8, more: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n{more}\nvirtual_ipaddress {{\n10.0.0.{vrid}\n}}\n}}\n"
        )
    };
    let text = instance(
        "V",
        8,
        "linkbeat_use_polling\nlvs_sync_daemon_interface eth1",
    ) + &instance("W", 9, "lvs_sync_daemon_interface eth2");
    let loaded = Fake::with(&*text).load();
    let daemon = loaded.config.global.ipvs.sync_daemon.clone();
    let daemon = daemon.map(|d| (d.interface.to_string(), d.instance, d.id));
    assert_eq!(daemon, Some(("eth1".into(), Some("V".into()), 0)));
    let asked: Vec<_> = loaded.config.linkbeat.iter().collect();
    assert_eq!((asked.len(), asked[0].kind), (1, None));
    let global = "global_defs {\nlvs_sync_daemon eth3 id 5\n}\n".to_owned() + &text;
    let daemon = Fake::with(global)
        .load()
        .config
        .global
        .ipvs
        .sync_daemon
        .clone();
    assert_eq!(daemon.map(|d| (d.instance, d.id)), Some((None, 5)));
}

#[test]
fn scripts_of_the_whole_daemon_count_for_security_where_they_run() {
    let with = |global: &str, rest: &str| {
        let mut fake = Fake::with(format!("global_defs {{\n{global}\n}}\n{rest}"));
        fake.programs = vec!["/bin/x".into()];
        fake.load().test_exit()
    };
    let instance = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n";
    assert_eq!(with("startup_script /bin/x", ""), 6);
    assert_eq!(with("startup_script /bin/nosuch", ""), 0);
    assert_eq!(with("notify_fifo_script /bin/x", ""), 0);
    assert_eq!(with("notify_fifo_script /bin/x", instance), 6);
    assert_eq!(with("vrrp_notify_fifo_script /bin/x", instance), 6);
    assert_eq!(with("lvs_notify_fifo_script /bin/x", instance), 0);
}

#[test]
fn the_password_of_a_key_is_never_shown() {
    let loaded = Fake::with("SSL {\npassword secret\nkey /k\n}").load();
    let ssl = &loaded.config.global.ssl;
    assert_eq!(ssl.password.as_deref(), Some("secret"));
    assert!(!format!("{ssl:?}").contains("secret"));
}

/// Prints the keywords that have no effect yet (`cargo test inert -- --nocapture`); none may be there that no table has.
#[test]
#[expect(
    clippy::print_stderr,
    reason = "the report is what the test is run for"
)]
fn inert_keywords_exist() {
    let tables: &[&dyn Shape] = &[
        &ROOT,
        &GLOBAL_DEFS,
        &VRRP_INSTANCE,
        &VRRP_SYNC_GROUP,
        &VIRTUAL_SERVER,
        &REAL_SERVER,
    ];
    let mut report = String::new();
    let mut count = 0;
    for (block, keywords) in INERT {
        for keyword in *keywords {
            let known = tables
                .iter()
                .any(|t| t.keywords().iter().any(|(k, _)| k == keyword));
            assert!(
                known || *block == "address",
                "{block}: no table knows {keyword}"
            );
        }
        count += keywords.len();
        report += &format!("{block}: {}\n", keywords.join(" "));
    }
    eprintln!("{count} keywords have no effect yet\n{report}");
}
