//! `global_defs`: names of processes, scripts around their life, files, buffers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Fault, Row, includes, key, raw};
use super::super::value;
use super::checks::flag;
use super::command::{self, CommandDraft};
use super::global::GlobalDraft;
use super::listeners::nobody_for;
use crate::model::process::{Buffer, PacketBuffer, ReloadMarker};

/// Seconds that a start or stop script may take.
fn script_timeout(a: &mut Args<'_, '_>) -> Result<Duration, Fault> {
    a.present()?;
    let seconds = a.int(1..=1000_u16)?;
    Ok(Duration::from_secs(seconds.into()))
}

/// `startup_script` and `shutdown_script`: unlike other scripts, a user that does not exist is a complaint.
fn lifecycle_script(
    v: &mut GlobalDraft,
    a: &mut Args<'_, '_>,
    slot: fn(&mut GlobalDraft) -> &mut Option<Box<CommandDraft>>,
) -> Result<(), Fault> {
    a.present()?;
    let nobody = nobody_for(v, a, slot);
    command::optional_script(a, slot(v), nobody)?;
    match slot(v) {
        Some(_) => Ok(()),
        None => {
            let which = a.keyword().replace('_', " ");
            Err(a
                .whole_fault(Code::Script, format!("Invalid {which}"))
                .complaint())
        }
    }
}

/// The first one counts.
pub(super) fn once(seen: &mut bool, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    match std::mem::replace(seen, true) {
        true => Err(a.fault(Code::Repeated, "already specified - ignoring")),
        false => Ok(()),
    }
}

/// A name that is cut to the longest the kernel takes for a process.
fn process_name(slot: &mut Option<Arc<str>>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    let mut end = name.len().min(15);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    if end < name.len() {
        a.warn(Code::TooLong, "longer than 15 characters - cut");
    }
    *slot = Some(name[..end].into());
    Ok(())
}

/// A file mode mask: a number, or names of permission bits.
fn umask(a: &mut Args<'_, '_>) -> Result<u32, Fault> {
    let word = a.word()?;
    let named = |bit: &str| {
        let (kinds, class) = match bit.strip_prefix("IRWX") {
            Some(class) => (0o7, class),
            None => match bit.split_at_checked(2)? {
                ("IR", class) => (0o4, class),
                ("IW", class) => (0o2, class),
                ("IX", class) => (0o1, class),
                _ => return None,
            },
        };
        match (class, kinds) {
            ("USR", _) | ("U", 0o7) => Some(kinds << 6),
            ("GRP", _) | ("G", 0o7) => Some(kinds << 3),
            ("OTH", _) | ("O", 0o7) => Some(kinds),
            _ => None,
        }
    };
    let number = value::any_radix(word).filter(|n| *n <= 0o777);
    let number = number.and_then(|n| u32::try_from(n).ok());
    let names = || {
        let mut bits = word.split('|').map(|b| named(b.trim()));
        bits.try_fold(0, |all, bit| bit.map(|b| all | b))
    };
    number
        .or_else(names)
        .ok_or_else(|| a.fault(Code::BadValue, format!("invalid umask '{word}'")))
}

/// `MTU`, `ADVERT` or a number of octets; a size goes before a policy, and MTU before ADVERT.
fn rx_policy(slot: &mut PacketBuffer, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let words: Vec<&str> = a.rest().collect();
    let mut found = *slot;
    for word in &words {
        let policy = match () {
            () if word.eq_ignore_ascii_case("MTU") => PacketBuffer::Mtu,
            () if word.eq_ignore_ascii_case("ADVERT") => PacketBuffer::Advert,
            () => value::whole(word)
                .filter(|n| !n.junk)
                .and_then(|n| u32::try_from(n.value).ok())
                .map(PacketBuffer::Octets)
                .ok_or_else(|| a.fault(Code::BadValue, format!("unknown policy '{word}'")))?,
        };
        if rank(policy) >= rank(found) {
            found = policy;
        }
    }
    *slot = found;
    if words.len() > 1 {
        a.warn(Code::Conflict, "only one policy is possible");
    }
    Ok(())
}

/// The higher one counts.
fn rank(policy: PacketBuffer) -> u8 {
    match policy {
        PacketBuffer::System => 0,
        PacketBuffer::Advert => 1,
        PacketBuffer::Mtu => 2,
        PacketBuffer::Octets(_) => 3,
    }
}

/// Octets of a socket buffer; 0 changes nothing.
fn buffer(slot: &mut Buffer, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let octets = a.strict(0..=u32::MAX)?;
    if octets > 0 {
        slot.octets = Some(octets);
    }
    Ok(())
}

fn force(slot: &mut Buffer, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.bool().map(|on| slot.force = on)
}

/// Exactly one word, a path.
fn only_path(slot: &mut Option<PathBuf>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.only().map(|path| *slot = Some(path.into()))
}

/// Names, scripts, files.
pub(super) const PROCESS_ROWS: &[Row<GlobalDraft>] = &[
    key("process_names", "flag", |v, a| {
        let names = &mut v.model.process.names;
        names.vrrp = Some("keepalived_vrrp".into());
        names.checker = Some("keepalived_lvs".into());
        names.bfd = Some("keepalived_bfd".into());
        a.flag().map(drop)
    }),
    key("process_name", "1..15 characters", |v, a| {
        process_name(&mut v.model.process.names.main, a)
    }),
    key("vrrp_process_name", "1..15 characters", |v, a| {
        process_name(&mut v.model.process.names.vrrp, a)
    }),
    key("checker_process_name", "1..15 characters", |v, a| {
        process_name(&mut v.model.process.names.checker, a)
    }),
    key(
        "lvs_process_name",
        "deprecated: checker_process_name",
        |v, a| process_name(&mut v.model.process.names.checker, a),
    ),
    key("bfd_process_name", "1..15 characters", |v, a| {
        process_name(&mut v.model.process.names.bfd, a)
    }),
    key("use_symlink_paths", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.symlink_paths = on)
    }),
    key("set_supplementary_groups", "[<bool>]", |v, a| {
        a.bool().map(|on| v.model.supplementary_groups = on)
    }),
    raw(key(
        "startup_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| lifecycle_script(v, a, |v| &mut v.startup),
    )),
    key(
        "startup_script_timeout",
        "seconds, 1..=1000, default 10",
        |v, a| script_timeout(a).map(|d| v.startup_timeout = Some(d)),
    ),
    raw(key(
        "shutdown_script",
        "<CMD> [<USER> [[:]<GROUP>]]",
        |v, a| lifecycle_script(v, a, |v| &mut v.shutdown),
    )),
    key(
        "shutdown_script_timeout",
        "seconds, 1..=1000, default 10",
        |v, a| script_timeout(a).map(|d| v.shutdown_timeout = Some(d)),
    ),
    key("umask", "0..=0777 or names of bits", |v, a| {
        umask(a).map(|mask| v.model.process.files.umask = mask)
    }),
    key("random_seed", "number", |_, a| {
        // keepalived: the generator is seeded before this is read, so it has none either.
        a.strict(0..=u32::MAX)?;
        a.remark(Code::NoEffect, "has no effect, as in keepalived");
        Ok(())
    }),
    key("reload_check_config", "[<LOGFILE>]", |v, a| {
        v.model.reload_check_log = a.opt().map(Into::into);
        a.flag().map(|on| v.model.reload_check_config = on)
    }),
    key("reload_time_file", "<PATH>", |v, a| {
        only_path(&mut v.model.process.files.reload_time, a)
    }),
    key("reload_repeat", "flag", |v, a| {
        a.flag().map(|on| v.model.process.files.reload_repeat = on)
    }),
    key("reload_file", "[<PATH>]", |v, a| {
        v.model.process.files.reload_marker = match a.opt() {
            Some(path) => ReloadMarker::At(path.into()),
            None => ReloadMarker::BesidePidFile,
        };
        Ok(())
    }),
    includes(key(
        "include_check",
        "[[+|-]read|match|wildcard_match|brace_match ...]",
        flag,
    )),
    key("config_save_dir", "<DIR>", |v, a| {
        v.model.process.files.config_save = Some(a.word()?.into());
        Ok(())
    }),
    key("tmp_config_directory", "<DIR>", |v, a| {
        a.present()?;
        let dir = a.word()?;
        once(&mut v.tmp_directory, a)?;
        v.model.process.files.tmp_config = Some(dir.into());
        a.remark(
            Code::NoEffect,
            "has no effect: the configuration is read once, and no copy of it is kept",
        );
        Ok(())
    }),
    key("data_use_instance", "[<bool>]", |v, a| {
        a.bool()
            .map(|on| v.model.process.files.data_use_instance = on)
    }),
    key("json_version", "1..=2, default 1", |v, a| {
        a.present()?;
        a.int(1..=2_u8)
            .map(|n| v.model.process.files.json_version = n)
    }),
    key("iproute_usr_dir", "<DIR>", |v, a| {
        only_path(&mut v.model.process.files.iproute_usr, a)
    }),
    key("iproute_etc_dir", "<DIR>", |v, a| {
        only_path(&mut v.model.process.files.iproute_etc, a)
    }),
    key("state_dump_file", "<PATH>", |v, a| {
        only_path(&mut v.model.process.files.state_dump, a)
    }),
    key("stats_dump_file", "<PATH>", |v, a| {
        only_path(&mut v.model.process.files.stats_dump, a)
    }),
    key("json_dump_file", "<PATH>", |v, a| {
        only_path(&mut v.model.process.files.json_dump, a)
    }),
];

/// Receive buffers of sockets.
pub(super) const BUFFER_ROWS: &[Row<GlobalDraft>] = &[
    key("vrrp_netlink_cmd_rcv_bufs", "octets", |v, a| {
        buffer(&mut v.model.process.buffers.vrrp_command, a)
    }),
    key("vrrp_netlink_cmd_rcv_bufs_force", "[<bool>]", |v, a| {
        force(&mut v.model.process.buffers.vrrp_command, a)
    }),
    key("vrrp_netlink_monitor_rcv_bufs", "octets", |v, a| {
        buffer(&mut v.model.process.buffers.vrrp_monitor, a)
    }),
    key("vrrp_netlink_monitor_rcv_bufs_force", "[<bool>]", |v, a| {
        force(&mut v.model.process.buffers.vrrp_monitor, a)
    }),
    key("lvs_netlink_cmd_rcv_bufs", "octets", |v, a| {
        buffer(&mut v.model.process.buffers.lvs_command, a)
    }),
    key("lvs_netlink_cmd_rcv_bufs_force", "[<bool>]", |v, a| {
        force(&mut v.model.process.buffers.lvs_command, a)
    }),
    key("lvs_netlink_monitor_rcv_bufs", "octets", |v, a| {
        buffer(&mut v.model.process.buffers.lvs_monitor, a)
    }),
    key("lvs_netlink_monitor_rcv_bufs_force", "[<bool>]", |v, a| {
        force(&mut v.model.process.buffers.lvs_monitor, a)
    }),
    key("process_monitor_rcv_bufs", "octets", |v, a| {
        buffer(&mut v.model.process.buffers.process_monitor, a)
    }),
    key("process_monitor_rcv_bufs_force", "[<bool>]", |v, a| {
        force(&mut v.model.process.buffers.process_monitor, a)
    }),
    key("vrrp_rx_bufs_policy", "MTU|ADVERT|octets", |v, a| {
        rx_policy(&mut v.model.process.buffers.vrrp_packets, a)
    }),
    key("vrrp_rx_bufs_multiplier", "≥ 1, default 3", |v, a| {
        a.only()?;
        a.back();
        let n = a.strict(1..=u32::MAX)?;
        v.model.process.buffers.vrrp_packets_multiplier = n;
        Ok(())
    }),
];
