//! What concerns the process: words of the top level, and its part of `global_defs`.

use super::global::{path, text};
use super::sheet::{Said, Sheet, micros, seconds, word};
use crate::model::process::{
    AutoPriority, Buffer, Buffers, Files, IpvsNamespace, Names, PacketBuffer, Process,
    ReloadMarker, Scheduling,
};

/// The words that stand outside any block.
pub(super) fn top_level(s: &mut Sheet<'_>, process: &Process) {
    let Process {
        ipvs_namespace,
        namespace_with_ipsets,
        pid_dir,
        instance,
        child_wait_time,
        linkbeat_polling,
        names: _,
        vrrp: _,
        checker: _,
        bfd: _,
        auto_priority: _,
        auto_priority_delay: _,
        buffers: _,
        files: _,
    } = process;
    match ipvs_namespace {
        IpvsNamespace::Own => s.remark("net_namespace_ipvs: none"),
        IpvsNamespace::Default => s.flag("net_namespace_ipvs", true),
        IpvsNamespace::Named(name) => s.key("net_namespace_ipvs", word(name)),
    }
    s.flag("namespace_with_ipsets", *namespace_with_ipsets);
    s.flag("use_pid_dir", *pid_dir);
    s.option("instance", text(instance.as_ref()));
    s.key("child_wait_time", seconds(*child_wait_time));
    s.flag("linkbeat_use_polling", *linkbeat_polling);
}

/// The keywords of `global_defs`.
pub(super) fn process(s: &mut Sheet<'_>, process: &Process) {
    let Process {
        ipvs_namespace: _,
        namespace_with_ipsets: _,
        pid_dir: _,
        instance: _,
        child_wait_time: _,
        linkbeat_polling: _,
        names: process_names,
        vrrp,
        checker,
        bfd,
        auto_priority,
        auto_priority_delay,
        buffers: socket_buffers,
        files: all_files,
    } = process;
    names(s, process_names);
    scheduling(s, "vrrp", vrrp);
    scheduling(s, "checker", checker);
    scheduling(s, "bfd", bfd);
    s.key(
        "max_auto_priority",
        match auto_priority {
            AutoPriority::Off => 0,
            AutoPriority::Silent => -1,
            AutoPriority::UpTo(n) => i16::from(*n),
        },
    );
    s.key("min_auto_priority_delay", micros(*auto_priority_delay));
    buffers(s, socket_buffers);
    files(s, all_files);
}

fn names(s: &mut Sheet<'_>, names: &Names) {
    let Names {
        main,
        vrrp,
        checker,
        bfd,
    } = names;
    s.option("process_name", text(main.as_ref()));
    let parts = [
        ("vrrp_process_name", vrrp),
        ("checker_process_name", checker),
        ("bfd_process_name", bfd),
    ];
    for (keyword, name) in parts {
        let from = [
            Said::Here(keyword),
            Said::Here("lvs_process_name"),
            Said::Here("process_names"),
        ];
        let from = match keyword {
            "checker_process_name" => &from[..],
            _ => &[from[0], from[2]],
        };
        match name {
            Some(name) => s.key_from(keyword, &word(name), from),
            None => s.remark(&format!("{keyword}: none")),
        }
    }
}

fn scheduling(s: &mut Sheet<'_>, part: &str, scheduling: &Scheduling) {
    let Scheduling {
        nice,
        no_swap,
        rt_priority,
        cpus,
        rlimit_rttime,
    } = scheduling;
    s.key(&format!("{part}_priority"), nice);
    s.flag(&format!("{part}_no_swap"), *no_swap);
    s.option(&format!("{part}_rt_priority"), *rt_priority);
    let cpus: Vec<String> = cpus.iter().map(u32::to_string).collect();
    let cpus = Some(cpus.join(" ")).filter(|c| !c.is_empty());
    s.option(&format!("{part}_cpu_affinity"), cpus);
    let (limit, old) = (
        format!("{part}_rlimit_rttime"),
        format!("{part}_rlimit_rtime"),
    );
    let from = [Said::Here(&limit), Said::Here(&old)];
    s.key_from(&limit, &micros(*rlimit_rttime).to_string(), &from);
}

fn buffers(s: &mut Sheet<'_>, buffers: &Buffers) {
    let Buffers {
        vrrp_command,
        vrrp_monitor,
        lvs_command,
        lvs_monitor,
        process_monitor,
        vrrp_packets,
        vrrp_packets_multiplier,
    } = buffers;
    let sockets = [
        ("vrrp_netlink_cmd_rcv_bufs", vrrp_command),
        ("vrrp_netlink_monitor_rcv_bufs", vrrp_monitor),
        ("lvs_netlink_cmd_rcv_bufs", lvs_command),
        ("lvs_netlink_monitor_rcv_bufs", lvs_monitor),
        ("process_monitor_rcv_bufs", process_monitor),
    ];
    for (keyword, Buffer { octets, force }) in sockets {
        s.option(keyword, *octets);
        s.toggle(&format!("{keyword}_force"), *force);
    }
    let policy = match vrrp_packets {
        PacketBuffer::System => None,
        PacketBuffer::Mtu => Some("MTU".to_owned()),
        PacketBuffer::Advert => Some("ADVERT".to_owned()),
        PacketBuffer::Octets(n) => Some(n.to_string()),
    };
    s.option("vrrp_rx_bufs_policy", policy);
    s.key("vrrp_rx_bufs_multiplier", vrrp_packets_multiplier);
}

fn files(s: &mut Sheet<'_>, files: &Files) {
    let Files {
        umask,
        state_dump,
        stats_dump,
        json_dump,
        data_use_instance,
        json_version,
        reload_time,
        reload_repeat,
        reload_marker,
        config_save,
        tmp_config,
        iproute_usr,
        iproute_etc,
    } = files;
    s.key("umask", format!("0{umask:o}"));
    s.option("state_dump_file", state_dump.as_ref().map(|p| path(p)));
    s.option("stats_dump_file", stats_dump.as_ref().map(|p| path(p)));
    s.option("json_dump_file", json_dump.as_ref().map(|p| path(p)));
    s.toggle("data_use_instance", *data_use_instance);
    s.key("json_version", json_version);
    s.option("reload_time_file", reload_time.as_ref().map(|p| path(p)));
    s.flag("reload_repeat", *reload_repeat);
    match reload_marker {
        ReloadMarker::None => s.remark("reload_file: none"),
        ReloadMarker::BesidePidFile => s.flag("reload_file", true),
        ReloadMarker::At(file) => s.key("reload_file", path(file)),
    }
    s.option("config_save_dir", config_save.as_ref().map(|p| path(p)));
    s.option("tmp_config_directory", tmp_config.as_ref().map(|p| path(p)));
    s.option("iproute_usr_dir", iproute_usr.as_ref().map(|p| path(p)));
    s.option("iproute_etc_dir", iproute_etc.as_ref().map(|p| path(p)));
}
