//! `global_defs`: processes, files, buffers, interfaces to other programs.

use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Fault, Row, includes, key, raw};
use super::super::value;
use super::checks::{
    boolean, buffer, cpus, flag, nice, old_rttime, only_word, process_name, rt_priority, rttime,
    short, some_text, word,
};
use super::command::{self, CommandDraft};
use super::global::{FifoDraft, GlobalDraft};

/// Seconds that a start or stop script may take.
fn script_timeout(slot: &mut Option<Duration>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    a.int(1..=1000_u32)
        .map(|n| *slot = Some(Duration::from_secs(n.into())))
}

/// `startup_script` and `shutdown_script`: unlike other scripts, a user that does not exist is a complaint.
fn lifecycle_script(slot: &mut Option<CommandDraft>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let had = slot.is_some();
    command::optional_script(a, slot, false)?;
    match slot.is_some() || had {
        true => Ok(()),
        false => Err(a
            .fault(
                Code::Script,
                "the script or its user is not usable - ignored",
            )
            .complaint()),
    }
}

/// A FIFO: `<PATH> [<USER> [<GROUP>]]`, the first one counts.
fn fifo(slot: &mut Option<FifoDraft>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    if slot.is_some() {
        return Err(a.fault(Code::Repeated, "already specified - ignoring"));
    }
    let path = a.word()?.into();
    let mut owner = None;
    if let Some(user) = a.opt() {
        let group = a.opt();
        let found = command::credentials(a.host(), user, group);
        owner = found.map(|c| (c.uid, c.gid));
        if owner.is_none() {
            a.log(
                Code::Script,
                format!("unknown user or group '{user}' - ignored"),
            );
        }
    }
    *slot = Some(FifoDraft { path, owner });
    Ok(())
}

fn fifo_script(slot: &mut Option<CommandDraft>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    command::optional_script(a, slot, false)
}

/// The first one counts.
pub(super) fn once(seen: &mut bool, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    match std::mem::replace(seen, true) {
        true => Err(a.fault(Code::Repeated, "already specified - ignoring")),
        false => Ok(()),
    }
}

/// A file mode mask: a number, or names of permission bits.
fn umask(_: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let word = a.word()?;
    let named = |bit: &str| {
        let classes = ["USR", "GRP", "OTH"];
        let single = ["IR", "IW", "IX"]
            .iter()
            .find_map(|p| bit.strip_prefix(p))
            .is_some_and(|c| classes.contains(&c));
        single || ["IRWXU", "IRWXG", "IRWXO"].contains(&bit)
    };
    let number = value::any_radix(word).is_some_and(|n| n <= 0o777);
    match number || word.split('|').all(|b| named(b.trim())) {
        true => Ok(()),
        false => Err(a.fault(Code::BadValue, format!("invalid umask '{word}'"))),
    }
}

/// `MTU`, `ADVERT` or a number of octets.
fn rx_policy(_: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let words: Vec<&str> = a.rest().collect();
    let is = |w: &str, name: &str| w.eq_ignore_ascii_case(name);
    let known = |w: &&str| {
        is(w, "MTU") || is(w, "ADVERT") || value::whole(w).is_some_and(|n| !n.junk && n.value >= 0)
    };
    match words.iter().find(|w| !known(w)) {
        Some(bad) => Err(a.fault(Code::BadValue, format!("unknown policy '{bad}'"))),
        None if words.len() > 1 => Err(a.fault(Code::Conflict, "only one policy is possible")),
        None => Ok(()),
    }
}

/// Where everything but VRRP and LVS itself is tuned.
pub(super) const PROCESS_ROWS: &[Row<GlobalDraft>] = &[
    key("process_names", "flag", flag),
    key("process_name", "1..15 characters", process_name),
    key("vrrp_process_name", "1..15 characters", process_name),
    key("checker_process_name", "1..15 characters", process_name),
    key(
        "lvs_process_name",
        "deprecated: checker_process_name",
        process_name,
    ),
    key("bfd_process_name", "1..15 characters", process_name),
    key("use_symlink_paths", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.symlink_paths = on)
    }),
    key("set_supplementary_groups", "[<bool>]", boolean),
    raw(key(
        "startup_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| lifecycle_script(&mut v.startup, a),
    )),
    key(
        "startup_script_timeout",
        "seconds, 1..=1000, default 10",
        |v, a| script_timeout(&mut v.startup_timeout, a),
    ),
    raw(key(
        "shutdown_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| lifecycle_script(&mut v.shutdown, a),
    )),
    key(
        "shutdown_script_timeout",
        "seconds, 1..=1000, default 10",
        |v, a| script_timeout(&mut v.shutdown_timeout, a),
    ),
    key("max_auto_priority", "[-1..=99]", |_, a| match a.peek() {
        Some(_) => a.int(-1..=99_i32).map(drop),
        None => Ok(()),
    }),
    key(
        "min_auto_priority_delay",
        "microseconds, 1..=10000000",
        |_, a| {
            a.present()?;
            a.int(1..=10_000_000_u32).map(drop)
        },
    ),
    key("vrrp_priority", "nice, -20..=19", nice),
    key("vrrp_no_swap", "flag", flag),
    key("vrrp_rt_priority", "1..=99", rt_priority),
    key("vrrp_cpu_affinity", "<cpu>...", cpus),
    key("vrrp_rlimit_rttime", "microseconds, ≥ 1", rttime),
    key(
        "vrrp_rlimit_rtime",
        "deprecated: vrrp_rlimit_rttime",
        old_rttime,
    ),
    key("checker_priority", "nice, -20..=19", nice),
    key("checker_no_swap", "flag", flag),
    key("checker_rt_priority", "1..=99", rt_priority),
    key("checker_cpu_affinity", "<cpu>...", cpus),
    key("checker_rlimit_rttime", "microseconds, ≥ 1", rttime),
    key(
        "checker_rlimit_rtime",
        "deprecated: checker_rlimit_rttime",
        old_rttime,
    ),
    key("bfd_priority", "nice, -20..=19", nice),
    key("bfd_no_swap", "flag", flag),
    key("bfd_rt_priority", "1..=99", rt_priority),
    key("bfd_cpu_affinity", "<cpu>...", cpus),
    key("bfd_rlimit_rttime", "microseconds, ≥ 1", rttime),
    key(
        "bfd_rlimit_rtime",
        "deprecated: bfd_rlimit_rttime",
        old_rttime,
    ),
    key("notify_fifo", "<PATH> [<USER> [<GROUP>]]", |v, a| {
        fifo(&mut v.fifo, a)
    }),
    raw(key(
        "notify_fifo_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| fifo_script(&mut v.fifo_script, a),
    )),
    key("vrrp_notify_fifo", "<PATH> [<USER> [<GROUP>]]", |v, a| {
        fifo(&mut v.vrrp_fifo, a)
    }),
    raw(key(
        "vrrp_notify_fifo_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| fifo_script(&mut v.vrrp_fifo_script, a),
    )),
    key("lvs_notify_fifo", "<PATH> [<USER> [<GROUP>]]", |v, a| {
        fifo(&mut v.lvs_fifo, a)
    }),
    raw(key(
        "lvs_notify_fifo_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| fifo_script(&mut v.lvs_fifo_script, a),
    )),
    key("fifo_write_vrrp_states_on_reload", "flag", |v, a| {
        a.flag().map(|on| v.model.notify.states_on_reload = on)
    }),
    key("snmp_socket", "<SOCKET>", |v, a| {
        a.only()?;
        once(&mut v.snmp_socket, a)
    }),
    key("enable_traps", "flag", flag),
    key("enable_snmp_vrrp", "flag", flag),
    key(
        "enable_snmp_keepalived",
        "deprecated: enable_snmp_vrrp",
        flag,
    ),
    key("enable_snmp_rfc", "flag", flag),
    key("enable_snmp_rfcv2", "flag", flag),
    key("enable_snmp_rfcv3", "flag", flag),
    key("enable_snmp_checker", "flag", flag),
    key(
        "snmp_vs_stats_update_interval",
        "seconds, 0.001..=30, default 5",
        |_, a| {
            a.secs(Duration::from_millis(1)..=Duration::from_secs(30))
                .map(drop)
        },
    ),
    key(
        "snmp_rs_stats_update_interval",
        "seconds, 0.001..=30",
        |_, a| {
            a.secs(Duration::from_millis(1)..=Duration::from_secs(30))
                .map(drop)
        },
    ),
    key("enable_dbus", "flag", flag),
    key("dbus_service_name", "<NAME>", some_text),
    key("dbus_no_interface_name", "<NAME>", some_text),
    key("vrrp_netlink_cmd_rcv_bufs", "octets", buffer),
    key("vrrp_netlink_cmd_rcv_bufs_force", "[<bool>]", boolean),
    key("vrrp_netlink_monitor_rcv_bufs", "octets", buffer),
    key("vrrp_netlink_monitor_rcv_bufs_force", "[<bool>]", boolean),
    key("lvs_netlink_cmd_rcv_bufs", "octets", buffer),
    key("lvs_netlink_cmd_rcv_bufs_force", "[<bool>]", boolean),
    key("lvs_netlink_monitor_rcv_bufs", "octets", buffer),
    key("lvs_netlink_monitor_rcv_bufs_force", "[<bool>]", boolean),
    key("process_monitor_rcv_bufs", "octets", buffer),
    key("process_monitor_rcv_bufs_force", "[<bool>]", boolean),
    key("vrrp_rx_bufs_policy", "MTU|ADVERT|octets", rx_policy),
    key("vrrp_rx_bufs_multiplier", "≥ 1, default 3", |_, a| {
        a.only()?;
        a.back();
        a.strict(1..=u32::MAX).map(drop)
    }),
    key("umask", "0..=0777 or names of bits", umask),
    key("random_seed", "number", |_, a| {
        a.strict(0..=u32::MAX).map(drop)
    }),
    key("reload_check_config", "[<LOGFILE>]", |v, a| {
        a.flag().map(|on| v.model.reload_check_config = on)
    }),
    key("reload_time_file", "<PATH>", only_word),
    key("reload_repeat", "flag", flag),
    key("reload_file", "[<PATH>]", flag),
    includes(key(
        "include_check",
        "[[+|-]read|match|wildcard_match|brace_match ...]",
        flag,
    )),
    key("config_save_dir", "<DIR>", word),
    key("tmp_config_directory", "<DIR>", |v, a| {
        a.present()?;
        once(&mut v.tmp_directory, a)
    }),
    key("data_use_instance", "[<bool>]", boolean),
    key("json_version", "1..=2, default 1", |_, a| {
        a.present()?;
        a.int(1..=2_u8).map(drop)
    }),
    key("iproute_usr_dir", "<DIR>", only_word),
    key("iproute_etc_dir", "<DIR>", only_word),
    key("state_dump_file", "<PATH>", only_word),
    key("stats_dump_file", "<PATH>", only_word),
    key("json_dump_file", "<PATH>", only_word),
    key("no_email_faults", "flag", |v, a| {
        a.flag().map(|on| v.model.mail.faults = !on)
    }),
    key("rs_init_notifies", "[<bool>]", boolean),
    key("no_checker_emails", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.mail.every_checker = !on)
    }),
    key("log_unknown_vrids", "flag", flag),
    key("vrrp_notify_priority_changes", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.notify.priority_changes = on)
    }),
    key("vmac_prefix", "<STRING>", |v, a| {
        a.word()?;
        once(&mut v.vmac_prefix, a)
    }),
    key("vmac_addr_prefix", "<STRING>", |v, a| {
        a.word()?;
        once(&mut v.vmac_addr_prefix, a)
    }),
    key("vrrp_ipsets", "[<ADDR> ...]", |_, a| {
        let mut seen = Vec::new();
        while let Some(name) = a.peek() {
            short(a, 30)?;
            if seen.contains(&name) {
                return Err(a.fault(Code::Repeated, format!("the name '{name}' is used twice")));
            }
            seen.push(name);
        }
        Ok(())
    }),
];
