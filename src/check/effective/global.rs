//! `global_defs`, `SSL` and the words of the top level.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::process;
use super::sheet::{Said, Sheet, seconds, word, words};
use crate::model::firewall::{Firewall, Ipsets, Iptables, Nftables, NftablesIpvs};
use crate::model::global::{
    ExtraIf, FlushOnStop, Global, IpvsSettings, IpvsTimeouts, Ssl, SyncDaemon,
};
use crate::model::listeners::{Dbus, Snmp};
use crate::model::mail::{Login, Mail, Server, Tls};
use crate::model::notify::{Fifo, GlobalNotify, Lifecycle};
use crate::model::vrrp::{Garp, Version};

/// A path as a word.
pub(super) fn path(path: &Path) -> String {
    word(&path.to_string_lossy()).into_owned()
}

/// A text that may be left out.
pub(super) fn text(text: Option<&Arc<str>>) -> Option<String> {
    text.map(|t| word(t).into_owned())
}

/// Everything of [`Global`], the words of the top level first.
pub(super) fn global(s: &mut Sheet<'_>, global: &Global) {
    // No `..`: a new field must be written.
    let Global {
        router_id,
        net_namespace,
        vrrp_version,
        vrrp_mcast_group4,
        vrrp_mcast_group6,
        garp,
        garp_interval,
        gna_interval,
        down_timer_adverts,
        lower_prio_no_advert,
        higher_prio_send_advert,
        skip_check_adv_addr,
        strict,
        startup_delay,
        delay_after_boot,
        garp_extra_if,
        check_unicast_src,
        owner_ignore_adverts,
        v3_checksum_as_v2,
        log_unknown_vrids,
        disable_local_igmp,
        vmac_prefix,
        vmac_addr_prefix,
        default_interface,
        dynamic_interfaces,
        arp_probe,
        restore_deleted,
        script_security,
        script_user,
        symlink_paths,
        supplementary_groups,
        reload_check_config,
        reload_check_log,
        log_all_failures,
        rs_init_notifies,
        ipvs,
        mail,
        notify,
        snmp,
        dbus,
        firewall,
        ssl,
        process,
    } = global;
    s.option("net_namespace", text(net_namespace.as_ref()));
    process::top_level(s, process);
    let blocks = s.inner("global_defs");
    s.block("global_defs", &blocks, |s| {
        s.option("router_id", text(router_id.as_ref()));
        s.key("vrrp_version", version(*vrrp_version));
        s.key("vrrp_mcast_group4", vrrp_mcast_group4);
        s.key("vrrp_mcast_group6", vrrp_mcast_group6);
        garp_defaults(s, garp);
        interval(s, "vrrp_garp_interval", *garp_interval);
        interval(s, "vrrp_gna_interval", *gna_interval);
        match garp_extra_if {
            Some(extra) => s.key("vrrp_garp_extra_if", extra_if(*extra)),
            None => s.remark("vrrp_garp_extra_if: none"),
        }
        s.key("vrrp_down_timer_adverts", down_timer_adverts);
        s.toggle("vrrp_lower_prio_no_advert", *lower_prio_no_advert);
        s.toggle("vrrp_higher_prio_send_advert", *higher_prio_send_advert);
        s.toggle("vrrp_skip_check_adv_addr", *skip_check_adv_addr);
        s.toggle("vrrp_strict", *strict);
        interval(s, "vrrp_startup_delay", *startup_delay);
        interval(s, "vrrp_delay_after_boot", *delay_after_boot);
        s.flag("vrrp_check_unicast_src", *check_unicast_src);
        s.toggle("vrrp_owner_ignore_adverts", *owner_ignore_adverts);
        s.flag("v3_checksum_as_v2", *v3_checksum_as_v2);
        s.flag("log_unknown_vrids", *log_unknown_vrids);
        s.flag("disable_local_igmp", *disable_local_igmp);
        s.key("vmac_prefix", word(vmac_prefix));
        let from = [Said::Here("vmac_addr_prefix"), Said::Here("vmac_prefix")];
        s.key_from("vmac_addr_prefix", &word(vmac_addr_prefix), &from);
        s.option("default_interface", text(default_interface.as_ref()));
        s.flag("dynamic_interfaces", *dynamic_interfaces);
        s.toggle("vrrp_arp_probe", *arp_probe);
        s.toggle("vrrp_restore_deleted", *restore_deleted);
        s.option("script_user", script_user.as_ref().map(|u| s.user(u)));
        s.toggle("use_symlink_paths", *symlink_paths);
        s.toggle("set_supplementary_groups", *supplementary_groups);
        match (reload_check_config, reload_check_log) {
            (true, Some(log)) => s.key("reload_check_config", path(log)),
            (on, _) => s.flag("reload_check_config", *on),
        }
        s.toggle("checker_log_all_failures", *log_all_failures);
        s.toggle("rs_init_notifies", *rs_init_notifies);
        ipvs_settings(s, ipvs);
        mails(s, mail);
        notifications(s, notify);
        listeners(s, snmp, dbus);
        firewalls(s, firewall);
        process::process(s, process);
        // Behind whatever runs as the daemon's own user because there is no other.
        s.flag("enable_script_security", *script_security);
    });
    ssl_block(s, ssl);
}

/// 2 or 3.
pub(super) fn version(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}

/// `[all] SECONDS`
pub(super) fn extra_if(extra: ExtraIf) -> String {
    let ExtraIf { all, interval } = extra;
    format!("{}{}", if all { "all " } else { "" }, seconds(interval))
}

/// Zero cannot be written and is the default.
fn interval(s: &mut Sheet<'_>, keyword: &str, interval: std::time::Duration) {
    s.option(
        keyword,
        Some(interval).filter(|d| !d.is_zero()).map(seconds),
    );
}

fn garp_defaults(s: &mut Sheet<'_>, garp: &Garp) {
    let Garp {
        master_delay,
        master_repeat,
        master_refresh,
        master_refresh_repeat,
        lower_prio_delay,
        lower_prio_repeat,
        extra: _, // only instances have it; theirs begins as `vrrp_garp_extra_if`
    } = garp;
    let said = |keyword| [Said::Here(keyword), Said::Here("vrrp_min_garp")];
    let keyword = "vrrp_garp_master_delay";
    s.key_from(keyword, &seconds(*master_delay), &said(keyword));
    let keyword = "vrrp_garp_master_repeat";
    s.key_from(keyword, &master_repeat.to_string(), &said(keyword));
    s.key("vrrp_garp_master_refresh", seconds(*master_refresh));
    s.key("vrrp_garp_master_refresh_repeat", master_refresh_repeat);
    let said = |keyword, follows| [Said::Here(keyword), Said::Here(follows)];
    let keyword = "vrrp_garp_lower_prio_delay";
    let from = said(keyword, "vrrp_garp_master_delay");
    s.key_from(keyword, &seconds(*lower_prio_delay), &from);
    let keyword = "vrrp_garp_lower_prio_repeat";
    let from = said(keyword, "vrrp_garp_master_repeat");
    s.key_from(keyword, &lower_prio_repeat.to_string(), &from);
}

fn ipvs_settings(s: &mut Sheet<'_>, ipvs: &IpvsSettings) {
    let IpvsSettings {
        timeouts: IpvsTimeouts { tcp, tcp_fin, udp },
        flush,
        flush_on_stop,
        sync_daemon,
    } = ipvs;
    let times = [("tcp", tcp), ("tcpfin", tcp_fin), ("udp", udp)];
    let times: Vec<String> = times
        .iter()
        .filter_map(|(name, time)| Some(format!("{name} {}", seconds((**time)?))))
        .collect();
    s.option(
        "lvs_timeouts",
        Some(times.join(" ")).filter(|t| !t.is_empty()),
    );
    s.flag("lvs_flush", *flush);
    let from = [
        Said::Here("lvs_flush_on_stop"),
        Said::Here("lvs_flush_onstop"),
    ];
    match flush_on_stop {
        FlushOnStop::No => s.flag("lvs_flush_on_stop", false),
        FlushOnStop::Services => s.key_from("lvs_flush_on_stop", "VS", &from),
        FlushOnStop::Table => s.flag_from("lvs_flush_on_stop", true, &from),
    }
    s.option("lvs_sync_daemon", sync_daemon.as_ref().map(daemon));
}

fn daemon(daemon: &SyncDaemon) -> String {
    let SyncDaemon {
        interface,
        instance,
        id,
        maxlen,
        port,
        ttl,
        group,
    } = daemon;
    let mut out = word(interface.as_str()).into_owned();
    if let Some(instance) = instance {
        out += &format!(" inst {}", word(instance));
    }
    out += &format!(" id {id}");
    let options = [
        ("maxlen", maxlen.map(|n| n.to_string())),
        ("port", port.map(|n| n.to_string())),
        ("ttl", ttl.map(|n| n.to_string())),
        ("group", group.map(|g| g.to_string())),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            out += &format!(" {name} {value}");
        }
    }
    out
}

fn mails(s: &mut Sheet<'_>, mail: &Mail) {
    let Mail {
        to,
        from,
        server,
        backups,
        tls,
        login,
        helo_name,
        connect_timeout,
        alert,
        alert_vrrp,
        alert_checker,
        faults,
        every_checker,
    } = mail;
    s.lines(
        "notification_email",
        to,
        |to, said| **to == *said,
        |_, to| word(to).into_owned(),
    );
    s.option("notification_email_from", text(from.as_ref()));
    let relay = |Server { name, addr }: &Server| format!("{} {}", word(name), addr.port());
    s.option("smtp_server", server.as_ref().map(relay));
    for backup in backups {
        s.key("smtp_backup_server", relay(backup));
    }
    s.key(
        "smtp_tls",
        match tls {
            Tls::Off => "off",
            Tls::Opportunistic => "opportunistic",
            Tls::RequiredUnverified => "required noverify",
            Tls::Required => "required",
        },
    );
    let login = login.as_ref().map(|Login { user, password }| {
        let password = s.secret(|| word(password).into_owned());
        format!("{} {password}", word(user))
    });
    s.option("smtp_auth", login);
    s.option("smtp_helo_name", text(helo_name.as_ref()));
    s.key("smtp_connect_timeout", seconds(*connect_timeout));
    let said = |on: Option<bool>| on.map(|on| if on { "on" } else { "off" });
    s.option("smtp_alert", said(*alert));
    s.option("smtp_alert_vrrp", said(*alert_vrrp));
    s.option("smtp_alert_checker", said(*alert_checker));
    s.flag("no_email_faults", !faults);
    s.toggle("no_checker_emails", !every_checker);
}

/// `ADDRESS PORT`
pub(super) fn endpoint(at: &SocketAddr) -> String {
    format!("{} {}", at.ip(), at.port())
}

fn notifications(s: &mut Sheet<'_>, notify: &GlobalNotify) {
    let GlobalNotify {
        fifo,
        vrrp_fifo,
        lvs_fifo,
        priority_changes,
        states_on_reload,
        startup,
        shutdown,
    } = notify;
    fifos(s, "notify_fifo", "notify_fifo_script", fifo.as_ref());
    let (keyword, script) = ("vrrp_notify_fifo", "vrrp_notify_fifo_script");
    fifos(s, keyword, script, vrrp_fifo.as_ref());
    let (keyword, script) = ("lvs_notify_fifo", "lvs_notify_fifo_script");
    fifos(s, keyword, script, lvs_fifo.as_ref());
    s.toggle("vrrp_notify_priority_changes", *priority_changes);
    s.flag("fifo_write_vrrp_states_on_reload", *states_on_reload);
    let (keyword, timeout) = ("startup_script", "startup_script_timeout");
    lifecycle(s, keyword, timeout, startup.as_ref());
    let (keyword, timeout) = ("shutdown_script", "shutdown_script_timeout");
    lifecycle(s, keyword, timeout, shutdown.as_ref());
}

fn fifos(s: &mut Sheet<'_>, keyword: &str, script_keyword: &str, fifo: Option<&Fifo>) {
    let Some(Fifo {
        path: at,
        owner,
        script,
    }) = fifo
    else {
        return s.remark(&format!("{keyword}: none"));
    };
    let mut value = path(at);
    if let Some((uid, gid)) = owner {
        value += &format!(" {} {}", s.user_name(*uid), s.group_name(*gid));
    }
    s.key(keyword, value);
    s.script(script_keyword, script.as_ref().map(|n| &n.command));
}

fn lifecycle(s: &mut Sheet<'_>, keyword: &str, timeout_keyword: &str, found: Option<&Lifecycle>) {
    let Some(Lifecycle { script, timeout }) = found else {
        return s.remark(&format!("{keyword}: none"));
    };
    s.script(keyword, Some(&script.command));
    s.key(timeout_keyword, seconds(*timeout));
}

fn listeners(s: &mut Sheet<'_>, snmp: &Snmp, dbus: &Dbus) {
    let Snmp {
        socket,
        traps,
        vrrp,
        checker,
        rfc2787,
        rfc6527,
        vs_stats_interval,
        rs_stats_interval,
    } = snmp;
    s.key("snmp_socket", word(socket));
    s.flag("enable_traps", *traps);
    let old = Said::Here("enable_snmp_keepalived");
    let from = [Said::Here("enable_snmp_vrrp"), old];
    s.flag_from("enable_snmp_vrrp", *vrrp, &from);
    s.flag("enable_snmp_checker", *checker);
    let both = Said::Here("enable_snmp_rfc");
    let from = [Said::Here("enable_snmp_rfcv2"), both];
    s.flag_from("enable_snmp_rfcv2", *rfc2787, &from);
    let from = [Said::Here("enable_snmp_rfcv3"), both];
    s.flag_from("enable_snmp_rfcv3", *rfc6527, &from);
    let of_vs = "snmp_vs_stats_update_interval";
    s.key(of_vs, seconds(*vs_stats_interval));
    let of_rs = "snmp_rs_stats_update_interval";
    let from = [Said::Here(of_rs), Said::Here(of_vs)];
    s.key_from(of_rs, &seconds(*rs_stats_interval), &from);
    let Dbus {
        enabled,
        service_name,
        no_interface_name,
    } = dbus;
    s.flag("enable_dbus", *enabled);
    s.key("dbus_service_name", word(service_name));
    s.key("dbus_no_interface_name", word(no_interface_name));
}

fn firewalls(s: &mut Sheet<'_>, firewall: &Firewall) {
    let Firewall {
        iptables,
        ipsets,
        nftables,
        nftables_ipvs,
        counters,
    } = firewall;
    s.option(
        "vrrp_iptables",
        iptables.as_ref().map(|Iptables { input, output }| {
            let chains = [input, output].into_iter().flatten();
            words(chains.map(|c| &**c))
        }),
    );
    let Ipsets {
        used,
        address,
        address6,
        address_if6,
        igmp,
        mld,
        vmac_nd,
    } = ipsets;
    let names = [address, address6, address_if6, igmp, mld, vmac_nd];
    match used {
        true if *ipsets == Ipsets::default() => s.remark("vrrp_ipsets: the usual names"),
        true => s.key("vrrp_ipsets", words(names.map(|n| &**n))),
        false => s.flag("vrrp_ipsets", true),
    }
    let Nftables {
        wanted,
        table,
        priority,
        ifindex,
    } = nftables;
    s.option("nftables", wanted.then(|| word(table)));
    s.key("nftables_priority", priority);
    s.flag("nftables_ifindex", *ifindex);
    let NftablesIpvs {
        wanted,
        table,
        priority,
        start_fwmark,
    } = nftables_ipvs;
    s.option("nftables_ipvs", wanted.then(|| word(table)));
    s.key("nftables_ipvs_priority", priority);
    s.key("nftables_ipvs_start_fwmark", start_fwmark);
    s.flag("nftables_counters", *counters);
}

fn ssl_block(s: &mut Sheet<'_>, ssl: &Ssl) {
    let Ssl {
        password,
        ca,
        certificate,
        key,
    } = ssl;
    if *ssl == Ssl::default() {
        return s.remark("SSL: none");
    }
    let blocks = s.inner("SSL");
    s.block("SSL", &blocks, |s| {
        s.option(
            "password",
            password.as_ref().map(|p| s.secret(|| word(p).into_owned())),
        );
        for (keyword, file) in [("ca", ca), ("certificate", certificate), ("key", key)] {
            s.option(keyword, file.as_ref().map(|f| path(f)));
        }
    });
}
