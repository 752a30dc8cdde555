use proptest::prelude::*;

use super::*;
use crate::wire::ip::{Ipv4Header, VRRP};
use crate::wire::packets;

const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

fn v2(auth: &[u8; 8], advert_int: u8, last: &[u8]) -> Advert {
    Advert {
        vrid: 51,
        priority: 150,
        timing: Timing::V2 {
            auth_type: u8::from(auth != &[0; 8]),
            advert_int,
            auth_data: *auth,
        },
        addresses: Addresses::V4(last.iter().map(|n| Ipv4Addr::new(10, 0, 0, *n)).collect()),
    }
}

fn v3(cs: u16) -> Advert {
    Advert {
        timing: Timing::V3 {
            max_advertise_interval: Centis(cs),
        },
        ..v2(&[0; 8], 0, &[100])
    }
}

fn with_priority(priority: u8, advert: Advert) -> Advert {
    Advert { priority, ..advert }
}

fn over_v6(timing: Timing, priority: u8) -> Advert {
    let listed = ["fe80::100", "2001:db8::100"].map(|a| a.parse().expect("an address"));
    Advert {
        vrid: 51,
        priority,
        timing,
        addresses: Addresses::V6(listed.to_vec()),
    }
}

#[test]
fn packets_over_ipv4_equal_those_of_keepalived() {
    let none = [0; 8];
    let owner = Advert {
        vrid: 255,
        priority: 255,
        ..v3(4095)
    };
    for (name, advert) in [
        ("v2-none", v2(&none, 1, &[100])),
        ("v2-none-ka227", v2(&none, 1, &[100])),
        ("v2-none-prio0", with_priority(0, v2(&none, 1, &[100]))),
        ("v2-owner", with_priority(255, v2(&none, 1, &[100]))),
        ("v2-3vips", v2(&none, 2, &[100, 101, 9])),
        ("v2-pass", v2(b"s3cret\0\0", 1, &[100])),
        ("v2-pass-ka227", v2(b"s3cret\0\0", 1, &[100])),
        (
            "v2-pass-prio0",
            with_priority(0, v2(b"s3cret\0\0", 1, &[100])),
        ),
        ("v2-pass-truncated", v2(b"abcdefgh", 1, &[100])),
        ("v3-ipv4", v3(50)),
        ("v3-ipv4-ka227", v3(50)),
        ("v3-ipv4-prio0", with_priority(0, v3(50))),
        ("v3-ipv4-mcastsrc", owner),
    ] {
        let packet = packets::ip(name);
        let (ip, pdu) = Ipv4Header::parse(&packet).expect("a captured packet");
        let pseudo = match advert.timing {
            Timing::V2 { .. } => Sum::ZERO,
            Timing::V3 { .. } => Sum::pseudo_v4(ip.src, ip.dst, VRRP, ip.total_length - 20),
        };
        assert_eq!(advert.emit(pseudo), pdu, "{name}");
        assert_eq!(Advert::parse(pdu, Over::V4, pseudo), Ok(advert), "{name}");
    }
}

#[test]
fn packets_over_ipv6_equal_those_of_keepalived() {
    let second = Timing::V3 {
        max_advertise_interval: Centis(100),
    };
    let seconds = Timing::V2 {
        auth_type: 0,
        advert_int: 1,
        auth_data: [0; 8],
    };
    let (src, dst) = (
        "fe80::1".parse().expect("an address"),
        "ff02::12".parse().expect("an address"),
    );
    for (name, advert) in [
        ("v3-ipv6", over_v6(second, 150)),
        ("v3-ipv6-ka227", over_v6(second, 150)),
        ("v3-ipv6-prio0", over_v6(second, 0)),
        ("v2-ipv6", over_v6(seconds, 150)),
    ] {
        let pdu = packets::ip(name).split_off(40);
        let pseudo = Sum::pseudo_v6(src, dst, VRRP, 40);
        assert_eq!(advert.emit(pseudo), pdu, "{name}");
        assert_eq!(Advert::parse(&pdu, Over::V6, pseudo), Ok(advert), "{name}");
    }
}

#[test]
fn every_cut_and_flip_is_refused() {
    let pseudo = Sum::pseudo_v4(NODE, GROUP, VRRP, 12);
    let six = Sum::pseudo_v6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, VRRP, 40);
    let second = Timing::V3 {
        max_advertise_interval: Centis(100),
    };
    for (advert, over, pseudo) in [
        (v2(b"s3cret\0\0", 1, &[100, 101]), Over::V4, Sum::ZERO),
        (v3(136), Over::V4, pseudo),
        (over_v6(second, 1), Over::V6, six),
    ] {
        let pdu = advert.emit(pseudo);
        assert_eq!(Advert::parse(&pdu, over, pseudo), Ok(advert));
        for cut in 0..pdu.len() {
            assert!(
                Advert::parse(&pdu[..cut], over, pseudo).is_err(),
                "{cut} octets accepted"
            );
        }
        for bit in 0..pdu.len() * 8 {
            assert!(
                Advert::parse(&packets::flip(&pdu, bit), over, pseudo).is_err(),
                "bit {bit} accepted"
            );
        }
    }
}

#[test]
fn addresses_past_the_255th_are_left_out() {
    let many = Advert {
        addresses: Addresses::V4(vec![NODE; 300]),
        ..v3(100)
    };
    let pdu = many.emit(Sum::ZERO);
    assert_eq!(pdu.len(), HEADER + 255 * 4);
    assert!(Advert::parse(&pdu, Over::V4, Sum::ZERO).is_ok());
}

proptest! {
    #[test]
    fn any_octets_are_taken(octets in prop::collection::vec(any::<u8>(), 0..120)) {
        for over in [Over::V4, Over::V6] {
            if let Ok(advert) = Advert::parse(&octets, over, Sum::ZERO) {
                prop_assert_eq!(Advert::parse(&advert.emit(Sum::ZERO), over, Sum::ZERO), Ok(advert));
            }
        }
    }

    #[test]
    fn what_is_emitted_is_parsed(
        vrid: u8, priority: u8, cs in 0..4096_u16, auth: [u8; 8], seconds: u8,
        four in prop::collection::vec(any::<[u8; 4]>(), 0..20), six in prop::collection::vec(any::<[u8; 16]>(), 0..20),
        is_v2: bool, is_v6: bool,
    ) {
        let timing = match (is_v2, is_v6) {
            (true, false) => Timing::V2 { auth_type: 1, advert_int: seconds, auth_data: auth },
            (true, true) => Timing::V2 { auth_type: 0, advert_int: seconds, auth_data: [0; 8] },
            (false, _) => Timing::V3 { max_advertise_interval: Centis(cs) },
        };
        let (over, addresses) = if is_v6 {
            (Over::V6, Addresses::V6(six.into_iter().map(Ipv6Addr::from).collect()))
        } else {
            (Over::V4, Addresses::V4(four.into_iter().map(Ipv4Addr::from).collect()))
        };
        let advert = Advert { vrid, priority, timing, addresses };
        let pseudo = Sum::ZERO.add_word(0xabcd);
        prop_assert_eq!(Advert::parse(&advert.emit(pseudo), over, pseudo), Ok(advert));
    }
}
