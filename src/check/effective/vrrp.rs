//! `vrrp_instance` and `vrrp_sync_group`.

use zeroize::Zeroizing;

use super::global::{extra_if, version};
use super::net;
use super::sheet::{Said, Sheet, seconds, switch, word, words};
use super::track;
use crate::model::auth::{AntiReplay, Auth, Hmac, HmacMode};
use crate::model::net::{Family, VirtualAddress};
use crate::model::unicast::{OldChecksum, Peer, Unicast};
use crate::model::vmac::{IpvlanMode, SubLink, SubLinkKind, SubLinks};
use crate::model::vrrp::{
    Deletion, Garp, InitialState, Instance, Notify, Priority, SyncGroup, Terms,
};

/// One instance.
pub(crate) fn instance(s: &mut Sheet<'_>, instance: &Instance) {
    let Instance {
        name,
        interface,
        family,
        vrid,
        priority,
        source,
        addresses,
        // Follows from the peers.
        twin: _,
        terms,
    } = instance;
    let Terms {
        vrf,
        version: number,
        strict,
        advert_int,
        initial_state,
        preempt,
        preempt_delay,
        auth,
        track_source,
        mcast_group,
        unicast: peers,
        checksum_as_v2,
        excluded,
        routes,
        rules,
        track_interfaces,
        track_scripts,
        other_tracks,
        dont_track_primary,
        garp: announcements,
        down_timer_adverts,
        lower_prio_no_advert,
        higher_prio_send_advert,
        no_accept,
        owner_ignore_adverts,
        rx_buffer,
        skip_check_adv_addr,
        notify: hooks,
        links,
        timer_expired_backup,
    } = &**terms;
    let said = s.top("vrrp_instance", name);
    s.block(&format!("vrrp_instance {}", word(name)), &said, |s| {
        s.option("interface", interface.as_ref().map(|i| word(i.as_str())));
        sub_links(s, links);
        let all = addresses.iter().chain(excluded);
        let mut made = all.filter(|a| links.of_addresses.iter().any(|l| l.name == a.dev));
        s.flag("use_vmac_addr", made.any(|a| !a.use_vmac));
        s.option("vrf", vrf.as_ref().map(|v| word(v.as_str())));
        s.key("virtual_router_id", vrid);
        if *family == Family::V6 && addresses.is_empty() {
            s.flag("native_ipv6", true);
        }
        let from = [Said::Here("version"), Said::Global("vrrp_version")];
        s.key_from("version", &version(*number).to_string(), &from);
        s.toggle_of("strict_mode", *strict, "vrrp_strict");
        s.key(
            "state",
            match initial_state {
                InitialState::Master => "MASTER",
                InitialState::Backup => "BACKUP",
            },
        );
        let from = [Said::Here("priority"), Said::Here("state")];
        s.key_from("priority", &priority.to_string(), &from);
        s.key("advert_int", seconds(*advert_int));
        s.flag("nopreempt", !preempt);
        s.key("preempt_delay", seconds(*preempt_delay));
        authentication(s, auth);
        let from = [Said::Here("mcast_src_ip"), Said::Here("unicast_src_ip")];
        match (source, peers) {
            (None, _) => s.remark("mcast_src_ip: none"),
            (Some(addr), None) => s.key_from("mcast_src_ip", &addr.to_string(), &from),
            (Some(addr), Some(_)) => s.key_from("unicast_src_ip", &addr.to_string(), &from),
        }
        s.flag("track_src_ip", *track_source);
        match peers {
            Some(peers) => unicast(s, peers),
            None => multicast(s, *family, *mcast_group),
        }
        s.toggle_of("v3_checksum_as_v2", *checksum_as_v2, "v3_checksum_as_v2");
        s.flag("no_virtual_ipaddress", addresses.is_empty());
        for (keyword, list) in [
            ("virtual_ipaddress", addresses),
            ("virtual_ipaddress_excluded", excluded),
        ] {
            s.lines(
                keyword,
                list,
                |a, said| net::is_address(said, a.addr),
                |_, a| net::address(&below(a, links)),
            );
        }
        let is = net::is_route;
        s.lines("virtual_routes", routes, is, |_, r| net::route(r));
        let is = net::is_rule;
        s.lines("virtual_rules", rules, is, |_, r| net::rule(r));
        track::lists(s, track_interfaces, track_scripts, other_tracks);
        s.flag("dont_track_primary", *dont_track_primary);
        garp(s, announcements);
        s.key("timer_expired_backup", timer_expired_backup);
        let from = |keyword, global| [Said::Here(keyword), Said::Global(global)];
        let keyword = "down_timer_adverts";
        let from = from(keyword, "vrrp_down_timer_adverts");
        s.key_from(keyword, &down_timer_adverts.to_string(), &from);
        let on = *lower_prio_no_advert;
        s.toggle_of("lower_prio_no_advert", on, "vrrp_lower_prio_no_advert");
        let on = *higher_prio_send_advert;
        let global = "vrrp_higher_prio_send_advert";
        s.toggle_of("higher_prio_send_advert", on, global);
        s.flag("no_accept", *no_accept);
        let owner = *priority == Priority::OWNER;
        match *strict && !*no_accept && !owner {
            true => s.flag("accept", true),
            // Not strict, or an owner: no keyword is needed for that.
            false => s.remark(&format!("accept: {}", switch(!*no_accept))),
        }
        let on = *owner_ignore_adverts;
        s.toggle_of("owner_ignore_adverts", on, "vrrp_owner_ignore_adverts");
        s.option("kernel_rx_buf_size", *rx_buffer);
        let on = *skip_check_adv_addr;
        s.toggle_of("skip_check_adv_addr", on, "vrrp_skip_check_adv_addr");
        notify(s, hooks);
        deletion(s, hooks);
    });
}

fn multicast(s: &mut Sheet<'_>, family: Family, group: std::net::IpAddr) {
    let all = match family {
        Family::V4 => "vrrp_mcast_group4",
        Family::V6 => "vrrp_mcast_group6",
    };
    let from = [Said::Here("mcast_dst_ip"), Said::Global(all)];
    s.key_from("mcast_dst_ip", &group.to_string(), &from);
    s.remark("unicast_peer: none");
}

fn unicast(s: &mut Sheet<'_>, unicast: &Unicast) {
    let Unicast {
        peers,
        fault_no_peer,
        check_source,
        ttl,
        old_checksum,
    } = unicast;
    s.lines(
        "unicast_peer",
        peers,
        |p, said| net::is_address(said, p.addr),
        |_, Peer { addr, ttl }| match (ttl.start(), ttl.end()) {
            (0, 255) => addr.to_string(),
            (min, max) => format!("{addr} min_ttl {min} max_ttl {max}"),
        },
    );
    s.flag("unicast_fault_no_peer", *fault_no_peer);
    let from = [
        Said::Here("check_unicast_src"),
        Said::Global("vrrp_check_unicast_src"),
    ];
    s.flag_from("check_unicast_src", *check_source, &from);
    s.option("unicast_ttl", *ttl);
    match old_checksum {
        OldChecksum::Recognised => s.remark("old_unicast_checksum: none"),
        OldChecksum::Always => s.flag("old_unicast_checksum", true),
        OldChecksum::Never => s.key("old_unicast_checksum", "never"),
    }
}

fn authentication(s: &mut Sheet<'_>, auth: &Auth) {
    let (kind, octets) = match auth {
        Auth::None => return s.remark("authentication: none"),
        Auth::Pass(octets) => ("PASS", Zeroizing::new(octets.to_vec())),
        Auth::Ah(key) => ("AH", key.expose()),
        Auth::Hmac(hmac) => return self::hmac(s, hmac),
    };
    let said = s.inner("authentication");
    s.block("authentication", &said, |s| {
        s.key("auth_type", kind);
        let pass = s.secret(|| word(&pass(&octets)).into_owned());
        s.key("auth_pass", pass);
    });
}

fn hmac(s: &mut Sheet<'_>, hmac: &Hmac) {
    let Hmac {
        keys,
        active,
        replay,
        mode,
    } = hmac;
    let said = s.inner("auth_hmac");
    s.block("auth_hmac", &said, |s| {
        for (number, key) in keys {
            let hex = |o: &u8| format!("{o:02x}");
            let octets = || format!("hex:{}", key.expose().iter().map(hex).collect::<String>());
            let octets = s.secret(octets);
            s.key("key", format_args!("{number} {octets}"));
        }
        s.key("active_key", active);
        match replay {
            AntiReplay::Monotonic => s.key("anti_replay", "monotonic"),
            AntiReplay::Time(window) => {
                s.key("anti_replay", "time");
                // A part of a second cannot be written: it is the default then.
                match window.subsec_nanos() {
                    0 => s.key("time_window", seconds(*window)),
                    _ => s.remark("time_window: three times advert_int"),
                }
            }
        }
        let mode = match mode {
            HmacMode::Enforce => "enforce",
            HmacMode::Permissive => "permissive",
            HmacMode::ReceiveOnly => "receive-only",
        };
        s.key("mode", mode);
    });
}

/// The octets as text. A character that was cut is completed: only 8 octets count.
fn pass(octets: &[u8]) -> String {
    let end = octets
        .iter()
        .rposition(|o| *o != 0)
        .map_or(0, |last| last + 1);
    let used = &octets[..end];
    for tail in [
        &[][..],
        &[0x80],
        &[0x80, 0x80],
        &[0x80; 3],
        &[0xa0, 0x80],
        &[0x90, 0x80, 0x80],
    ] {
        if let Ok(text) = std::str::from_utf8(&[used, tail].concat()) {
            return text.to_owned();
        }
    }
    String::from_utf8_lossy(used).into_owned()
}

fn garp(s: &mut Sheet<'_>, garp: &Garp) {
    let Garp {
        master_delay,
        master_repeat,
        master_refresh,
        master_refresh_repeat,
        lower_prio_delay,
        lower_prio_repeat,
        extra,
    } = garp;
    let values = [
        (
            "garp_master_delay",
            seconds(*master_delay),
            "garp_master_delay",
        ),
        (
            "garp_master_repeat",
            master_repeat.to_string(),
            "garp_master_repeat",
        ),
        (
            "garp_master_refresh",
            seconds(*master_refresh),
            "garp_master_refresh",
        ),
        (
            "garp_master_refresh_repeat",
            master_refresh_repeat.to_string(),
            "garp_master_refresh_repeat",
        ),
        (
            "garp_lower_prio_delay",
            seconds(*lower_prio_delay),
            "garp_master_delay",
        ),
        (
            "garp_lower_prio_repeat",
            lower_prio_repeat.to_string(),
            "garp_master_repeat",
        ),
    ];
    for (keyword, value, follows) in values {
        let (global, followed) = (format!("vrrp_{keyword}"), format!("vrrp_{follows}"));
        let from = [
            Said::Here(keyword),
            Said::Here(follows),
            Said::Global(&global),
            Said::Global(&followed),
        ];
        s.key_from(keyword, &value, &from);
    }
    let from = [
        Said::Here("garp_extra_if"),
        Said::Global("vrrp_garp_extra_if"),
    ];
    match extra {
        Some(extra) => s.key_from("garp_extra_if", &extra_if(*extra), &from),
        None => s.key_from("garp_extra_if", "0", &from),
    }
}

/// The address as its line has it: on the interface below the VMAC that it was put on.
fn below(a: &VirtualAddress, links: &SubLinks) -> VirtualAddress {
    let mut all = links.own.iter().chain(&links.of_addresses);
    let dev = all.find(|link| link.name == a.dev).map(|link| &link.base);
    VirtualAddress {
        dev: dev.unwrap_or(&a.dev).clone(),
        ..a.clone()
    }
}

/// `use_vmac`, `use_ipvlan` and what belongs to them; `use_vmac` of single addresses stands in their lines.
fn sub_links(s: &mut Sheet<'_>, links: &SubLinks) {
    let SubLinks {
        own,
        xmit_base,
        of_addresses: _,
        promote_secondaries,
    } = links;
    if let Some(own) = own {
        let SubLink {
            name,
            base: _,
            kind,
            group,
            v4: _,
            v6: _,
            tell_base,
        } = &**own;
        let group = group.map(|g| format!(" group {g}")).unwrap_or_default();
        match kind {
            SubLinkKind::Macvlan { mac } => {
                let rfc =
                    mac.starts_with(&[0, 0, 0x5e, 0, 1]) || mac.starts_with(&[0, 0, 0x5e, 0, 2]);
                let octets: Vec<_> = mac[..5].iter().map(|o| format!("{o:02x}")).collect();
                let mac = if rfc {
                    String::new()
                } else {
                    format!(" {}", octets.join(":"))
                };
                let tell = if *tell_base {
                    " netlink_notify_msg"
                } else {
                    ""
                };
                s.key("use_vmac", format_args!("name {name}{mac}{tell}{group}"));
            }
            SubLinkKind::Ipvlan { mode, addr } => {
                let mode = match mode {
                    IpvlanMode::Bridge => "bridge",
                    IpvlanMode::Private => "private",
                    IpvlanMode::Vepa => "vepa",
                };
                let addr = addr
                    .map(|(a, len)| format!(" {a}/{len}"))
                    .unwrap_or_default();
                s.key(
                    "use_ipvlan",
                    format_args!("name {name}{addr} {mode}{group}"),
                );
            }
        }
    }
    s.flag("vmac_xmit_base", *xmit_base);
    s.flag("promote_secondaries", *promote_secondaries);
}

/// The `notify*` keywords that instances and groups share.
fn notify(s: &mut Sheet<'_>, notify: &Notify) {
    let Notify {
        master,
        backup,
        fault,
        stop,
        any,
        deletion: _,
        rx_lower_pri: _,
        priority_changes,
        mail,
    } = notify;
    let scripts = [
        ("notify_master", master),
        ("notify_backup", backup),
        ("notify_fault", fault),
        ("notify_stop", stop),
        ("notify", any),
    ];
    for (keyword, script) in scripts {
        s.script(keyword, script.as_ref().map(|n| &n.command));
    }
    let global = "vrrp_notify_priority_changes";
    s.toggle_of("notify_priority_changes", *priority_changes, global);
    let from = [
        Said::Here("smtp_alert"),
        Said::Global("smtp_alert_vrrp"),
        Said::Global("smtp_alert"),
    ];
    s.key_from("smtp_alert", if *mail { "on" } else { "off" }, &from);
}

/// What only instances have.
fn deletion(s: &mut Sheet<'_>, notify: &Notify) {
    let rx_lower = notify.rx_lower_pri.as_ref();
    let keyword = "notify_master_rx_lower_pri";
    s.script(keyword, rx_lower.map(|n| &n.command));
    match &notify.deletion {
        Deletion::AsFault => s.remark("notify_deleted: none"),
        Deletion::Told(None) => s.flag("notify_deleted", true),
        Deletion::Told(Some(script)) => s.script("notify_deleted", Some(&script.command)),
    }
}

/// One group.
pub(crate) fn group(s: &mut Sheet<'_>, group: &SyncGroup) {
    let SyncGroup {
        name,
        members,
        tracking_weight,
        track_interfaces,
        track_scripts,
        other_tracks,
        notify: hooks,
    } = group;
    let said = s.top("vrrp_sync_group", name);
    s.block(&format!("vrrp_sync_group {}", word(name)), &said, |s| {
        let said = s.inner("group");
        s.block("group", &said, |s| {
            s.entry(&words(members.iter().map(|m| &**m)), &said);
        });
        let from = [
            Said::Here("sync_group_tracking_weight"),
            Said::Here("global_tracking"),
        ];
        s.flag_from("sync_group_tracking_weight", *tracking_weight, &from);
        track::lists(s, track_interfaces, track_scripts, other_tracks);
        notify(s, hooks);
    });
}
