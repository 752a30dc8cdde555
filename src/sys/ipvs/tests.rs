//! Every message against what keepalived 2.4.3 (`get_*_dump`: ipvsadm 1.31) sent and Linux 6.1 answered.

use super::dest::{Forward, Tunnel, TunnelChecksum};
use super::service::{Granularity, Persistence};
use super::*;
use crate::sys::genl::tests::{assembled, emitted, hex};

macro_rules! captured {
    ($name:literal) => {
        hex(include_str!(concat!(
            "../../../tests/packets/ipvs/",
            $name,
            ".hex"
        )))
    };
}

fn address(addr: &str, protocol: u8, scheduler: &str) -> Service {
    Service {
        id: ServiceId::Address {
            addr: addr.parse().expect("address and port"),
            protocol,
        },
        scheduler: scheduler.into(),
        flags: 0,
        persistence: None,
    }
}

fn fwmark(mark: u32, ipv6: bool, scheduler: &str) -> Service {
    Service {
        id: ServiceId::Fwmark { mark, ipv6 },
        scheduler: scheduler.into(),
        flags: 0,
        persistence: None,
    }
}

fn persistence(timeout: u32, granularity: Granularity) -> Option<Persistence> {
    Some(Persistence {
        timeout,
        granularity,
        engine: None,
    })
}

fn dest(addr: &str, forward: Forward, weight: u32) -> Dest {
    Dest {
        addr: addr.parse().expect("address and port"),
        forward,
        weight,
        upper_threshold: 0,
        lower_threshold: 0,
    }
}

fn web(scheduler: &str) -> Service {
    address("192.0.2.100:80", 6, scheduler)
}

fn check(call: Call<'_>, captured: &[u8]) {
    assert_eq!(emitted(&call.request()), captured, "{call:?}");
}

#[test]
fn services_are_sent_as_keepalived_sends_them() {
    check(
        Call::NewService(&web("wlc")),
        &captured!("new_service_tcp4"),
    );
    check(
        Call::SetService(&web("rr")),
        &captured!("set_service_sched"),
    );
    check(Call::DelService(&web("rr")), &captured!("del_service"));
    let mut s = address("[2001:db8::100]:53", 17, "rr");
    s.flags = 4;
    check(Call::NewService(&s), &captured!("new_service_udp6_ops"));
    check(
        Call::NewService(&address("192.0.2.100:2905", 132, "lc")),
        &captured!("new_service_sctp4"),
    );
    let mut s = fwmark(1234, false, "sh");
    s.flags = 0x18;
    s.persistence = persistence(300, Granularity::V4([255, 255, 255, 0].into()));
    check(
        Call::NewService(&s),
        &captured!("new_service_fwmark4_persistent"),
    );
    let mut s = fwmark(77, true, "rr");
    s.persistence = persistence(30, Granularity::V6(96));
    check(
        Call::NewService(&s),
        &captured!("new_service_fwmark6_persistent"),
    );
    let mut s = address("192.0.2.100:5060", 17, "mh");
    s.flags = 0x10;
    s.persistence = Some(Persistence {
        timeout: 30,
        granularity: Granularity::host(false),
        engine: Some("sip".into()),
    });
    check(Call::NewService(&s), &captured!("new_service_pe_sip"));
    let mut s = address("[2001:db8::100]:80", 6, "wrr");
    s.flags = 0x28;
    s.persistence = persistence(360, Granularity::V6(64));
    check(Call::NewService(&s), &captured!("new_service_flag1_flag3"));
}

#[test]
fn destinations_are_sent_as_keepalived_sends_them() {
    let mut d = dest("192.0.2.11:8080", Forward::Masquerade, 3);
    (d.upper_threshold, d.lower_threshold) = (100, 50);
    check(
        Call::NewDest(&web("wlc"), &d),
        &captured!("new_dest_nat4_thresholds"),
    );
    d.weight = 7;
    check(Call::SetDest(&web("rr"), &d), &captured!("set_dest_weight"));
    check(Call::DelDest(&web("rr"), &d), &captured!("del_dest"));
    let d = dest("192.0.2.12:8080", Forward::Masquerade, 0);
    check(
        Call::SetDest(&web("wlc"), &d),
        &captured!("set_dest_weight0"),
    );
    let d = dest("192.0.2.12:8080", Forward::Masquerade, 2_147_483_647);
    check(
        Call::NewDest(&web("rr"), &d),
        &captured!("new_dest_weight_max"),
    );
    let mut s = address("[2001:db8::100]:53", 17, "rr");
    s.flags = 4;
    check(
        Call::NewDest(&s, &dest("[2001:db8::11]:53", Forward::DirectRoute, 2)),
        &captured!("new_dest_dr6"),
    );
}

#[test]
fn tunnels_are_sent_as_keepalived_sends_them() {
    // The persistence of the service does not travel with its destinations.
    let mut s = fwmark(1234, false, "sh");
    s.flags = 0x18;
    s.persistence = persistence(300, Granularity::V4([255, 255, 255, 0].into()));
    let tun = |addr, tunnel, weight| dest(addr, Forward::Tunnel(tunnel), weight);
    check(
        Call::NewDest(&s, &tun("192.0.2.16:0", Tunnel::Ipip, 4)),
        &captured!("new_dest_tun_ipip"),
    );
    let gue = |checksum| Tunnel::Gue {
        port: 6080,
        checksum,
    };
    let d = tun("192.0.2.13:0", gue(TunnelChecksum::Checksum), 2);
    check(Call::NewDest(&s, &d), &captured!("new_dest_tun_gue_csum"));
    let s = fwmark(1234, false, "wrr");
    let d = tun("192.0.2.13:0", gue(TunnelChecksum::Remote), 2);
    check(
        Call::NewDest(&s, &d),
        &captured!("new_dest_tun_gue_remcsum"),
    );
    let gre = Tunnel::Gre {
        checksum: TunnelChecksum::Checksum,
    };
    check(
        Call::NewDest(&s, &tun("[2001:db8::14]:0", gre, 4)),
        &captured!("new_dest_tun_gre_csum_mixed"),
    );
}

#[test]
fn questions_are_sent_as_ipvsadm_sends_them() {
    check(Call::AllServices, &captured!("get_service_dump"));
    check(Call::AllDests(&web("rr").id), &captured!("get_dest_dump"));
    check(Call::Info, &captured!("get_info"));
}

/// What is made of `message` once it is acknowledged.
fn told(mut message: Vec<u8>) -> Told {
    message.extend(captured!("ack_ok"));
    let replies = assembled(&message).remove(0).expect("acknowledged");
    Told::parse(&replies).expect("a captured message is readable")
}

#[test]
fn answers_are_read() {
    assert_eq!(
        told(captured!("get_service_dump_entry")).services,
        [web("rr")]
    );
    assert_eq!(
        told(captured!("get_dest_dump_entry")).dests,
        [dest("192.0.2.11:80", Forward::Masquerade, 0)]
    );
    let info = Info {
        version: 0x10201,
        conn_tab_size: 4096,
    };
    assert_eq!(told(captured!("get_info_reply")).info, Some(info));
}

#[test]
fn what_is_sent_can_be_read_back() {
    let mut s = fwmark(77, true, "mh");
    s.flags = 0x38;
    s.persistence = persistence(30, Granularity::V6(96));
    let octets = emitted(&Call::NewService(&s).request());
    assert_eq!(Service::parse(&octets[24..]), Ok(s.clone()));
    for forward in [
        Forward::DirectRoute,
        Forward::Local,
        Forward::Bypass,
        Forward::Tunnel(Tunnel::Ipip),
        Forward::Tunnel(Tunnel::Gue {
            port: 6080,
            checksum: TunnelChecksum::Remote,
        }),
        Forward::Tunnel(Tunnel::Gre {
            checksum: TunnelChecksum::None,
        }),
    ] {
        let d = dest("[2001:db8::11]:0", forward, 9);
        let mut message = captured!("get_dest_dump_entry")[..20].to_vec();
        let nest = Attrs::default().nest(IPVS_CMD_ATTR_DEST, &d.attrs());
        let attrs = emitted(&Request {
            cmd: 5,
            dump: false,
            attrs: nest,
        })
        .split_off(20);
        message.extend(&attrs);
        let len = u32::try_from(message.len()).expect("a small message");
        message[..4].copy_from_slice(&len.to_ne_bytes());
        assert_eq!(told(message).dests, [d]);
    }
}

#[test]
fn any_cut_or_flip_of_an_answer_is_survived() {
    for whole in [
        captured!("get_service_dump_entry"),
        captured!("get_dest_dump_entry"),
    ] {
        let body = &whole[24..]; // behind the headers and that of the nest
        for cut in 0..body.len() {
            _ = Service::parse(&body[..cut]);
            _ = Dest::parse(&body[..cut]);
        }
        for bit in 0..body.len() * 8 {
            let mut flipped = body.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            _ = Service::parse(&flipped);
            _ = Dest::parse(&flipped);
        }
    }
}

#[test]
fn timeouts_and_sync_daemons_are_sent_as_keepalived_sends_them() {
    let daemon = |id, maxlen, port, ttl, group: Option<&str>| SyncDaemon {
        interface: "dum0".into(),
        id,
        maxlen,
        port,
        ttl,
        group: group.map(|g| g.parse().expect("an address")),
    };
    let four = daemon(5, Some(1400), Some(8850), Some(3), Some("224.0.0.90"));
    check(
        Call::NewDaemon(Role::Master, &four),
        &captured!("new_daemon_master_v4"),
    );
    check(
        Call::NewDaemon(Role::Backup, &four),
        &captured!("new_daemon_backup_v4"),
    );
    let six = daemon(7, None, Some(9000), None, Some("ff02::5"));
    check(
        Call::NewDaemon(Role::Master, &six),
        &captured!("new_daemon_master_v6"),
    );
    for (role, name) in [
        (Role::Master, captured!("del_daemon_master_id0")),
        (Role::Backup, captured!("del_daemon_backup_id0")),
    ] {
        check(Call::DelDaemon(role, 0), &name);
    }
    let timeouts = Timeouts {
        tcp: 1000,
        tcp_fin: 61,
        udp: 120,
    };
    check(Call::SetConfig(timeouts), &captured!("set_config"));
    check(Call::Config, &captured!("get_config"));
    check(Call::Flush, &captured!("flush"));
    let told = told(captured!("get_config_reply"));
    let of_linux = Timeouts {
        tcp: 900,
        tcp_fin: 120,
        udp: 300,
    };
    assert_eq!(told.timeouts, Some(of_linux));
}
