use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::model::vrrp::Auth;
use crate::vrrp::sample::listing;
use crate::vrrp::{Counters, Packet};
use crate::wire::ip::Ipv4Header;
use crate::wire::packets;

const SECOND: Duration = Duration::from_secs(1);
/// Nobody was heard before.
const FIRST: Circumstances = Circumstances {
    master: None,
    wall: Duration::ZERO,
    deaf: false,
};

/// The receiver that the captured packets were meant for.
fn one() -> Instance {
    listing(&["10.0.0.100"])
}

fn with_password() -> Instance {
    let mut i = one();
    i.auth = Auth::Pass(*b"s3cret\0\0");
    i
}

fn version_3() -> Instance {
    let mut i = one();
    i.version = Version::V3;
    i.advert_int = SECOND / 2;
    i
}

fn over_v6(version: Version) -> Instance {
    let mut i = listing(&["fe80::100", "2001:db8::100"]);
    i.version = version;
    i
}

/// What `model` makes of a packet heard for the first time.
fn judge(model: &Instance, packet: &Packet) -> (Result<Heard, PacketFault>, Counters) {
    let mut counters = Tally::default();
    let arrival = Arrival::of(packet).expect("no runt");
    let result = check(
        model,
        &arrival,
        FIRST,
        &mut Memory::default(),
        &mut counters,
    );
    (result, counters.all())
}

fn fault(model: &Instance, octets: Vec<u8>) -> PacketFault {
    judge(model, &Packet::V4(octets))
        .0
        .expect_err("it must be refused")
}

#[test]
fn every_check_has_its_fault() {
    let good = packets::ip("v2-none");
    let with = |at: usize, octet: u8| {
        let mut octets = good.clone();
        octets[at] = octet;
        octets
    };
    let length = |octets: Vec<u8>| fault(&one(), octets);
    assert_eq!(
        length(good[..36].to_vec()),
        PacketFault::TooShort { got: 36, want: 40 }
    );
    assert_eq!(
        length([&good[..], &[0; 4]].concat()),
        PacketFault::TooLong { got: 44, want: 40 }
    );
    assert_eq!(
        length(with(23, 2)),
        PacketFault::TooShort { got: 40, want: 44 }
    );
    assert_eq!(fault(&one(), with(8, 254)), PacketFault::Ttl(254));
    assert_eq!(
        fault(&one(), with(20, 0x31)),
        PacketFault::Version { got: 3, want: 2 }
    );
    assert_eq!(fault(&one(), with(24, 3)), PacketFault::AuthTypeUnknown(3));
    let other_type = PacketFault::AuthTypeMismatch { got: 1, want: 0 };
    assert_eq!(fault(&one(), packets::ip("v2-pass")), other_type);
    let none = PacketFault::AuthTypeMismatch { got: 0, want: 1 };
    assert_eq!(fault(&with_password(), good.clone()), none);
    assert_eq!(
        fault(&with_password(), packets::ip("v2-pass-truncated")),
        PacketFault::Password
    );
    assert_eq!(
        fault(&one(), with(25, 2)),
        PacketFault::Interval { got: 2, want: 1 }
    );
    assert_eq!(fault(&one(), with(20, 0x22)), PacketFault::Type(2));
    assert_eq!(
        fault(&one(), with(3, 41)),
        PacketFault::TotalLength { got: 41, want: 40 }
    );
    assert_eq!(fault(&one(), with(22, 151)), PacketFault::Checksum);
    // The pseudo header counts: the same packet for another group.
    let mut elsewhere = packets::ip("v3-ipv4");
    elsewhere[19] = 19;
    assert_eq!(fault(&version_3(), elsewhere), PacketFault::Checksum);
}

/// keepalived: with `v3_checksum_as_v2` it believes any checksum.
#[test]
fn with_v3_checksum_as_v2_a_wrong_checksum_is_still_wrong() {
    let mut model = version_3();
    model.checksum_as_v2 = true;
    let mut octets = packets::ip("v3-ipv4-cksum-as-v2");
    model.advert_int = SECOND;
    assert!(judge(&model, &Packet::V4(octets.clone())).0.is_ok());
    octets[27] ^= 1;
    assert_eq!(fault(&model, octets), PacketFault::Checksum);
}

#[test]
fn the_first_check_that_fails_decides() {
    // TTL before version before type before checksum.
    let mut octets = packets::ip("v2-none");
    octets[22] = 9;
    let refused = |octets: &[u8]| fault(&one(), octets.to_vec());
    assert_eq!(refused(&octets), PacketFault::Checksum);
    octets[20] = 0x25;
    assert_eq!(refused(&octets), PacketFault::Type(5));
    octets[25] = 7;
    assert_eq!(refused(&octets), PacketFault::Interval { got: 7, want: 1 });
    octets[20] = 0x45;
    assert_eq!(refused(&octets), PacketFault::Version { got: 4, want: 2 });
    octets[8] = 1;
    assert_eq!(refused(&octets), PacketFault::Ttl(1));
}

#[test]
fn padding_of_a_short_frame_is_no_fault() {
    let padded = [&packets::ip("v2-none")[..], &[0; 6]].concat();
    assert!(judge(&one(), &Packet::V4(padded)).0.is_ok());
    let padded = [&packets::ip("v3-ipv4")[..], &[0; 14]].concat();
    assert!(judge(&version_3(), &Packet::V4(padded)).0.is_ok());
}

#[test]
fn each_fault_has_its_counter() {
    let good = packets::ip("v2-none");
    let count = |model: &Instance, octets: Vec<u8>| judge(model, &Packet::V4(octets)).1;
    let with = |at: usize, octet: u8| {
        let mut octets = good.clone();
        octets[at] = octet;
        count(&one(), octets)
    };
    let zero = Counters::default();
    let expected = [
        (
            count(&one(), good[..36].to_vec()),
            Counters {
                packet_length_errors: 1,
                ..zero
            },
        ),
        (
            with(8, 1),
            Counters {
                ttl_errors: 1,
                ..zero
            },
        ),
        (
            with(20, 0x31),
            Counters {
                version_errors: 1,
                ..zero
            },
        ),
        (
            with(24, 9),
            Counters {
                invalid_auth_type: 1,
                ..zero
            },
        ),
        (
            with(24, 1),
            Counters {
                auth_type_mismatch: 1,
                ..zero
            },
        ),
        (
            count(&with_password(), packets::ip("v2-pass-truncated")),
            Counters {
                auth_failures: 1,
                ..zero
            },
        ),
        (with(25, 2), zero),
        (
            with(20, 0x20),
            Counters {
                invalid_type: 1,
                ..zero
            },
        ),
        (
            with(3, 99),
            Counters {
                packet_length_errors: 1,
                ..zero
            },
        ),
        (
            with(22, 1),
            Counters {
                checksum_errors: 1,
                ..zero
            },
        ),
        (
            count(&listing(&["10.0.0.7"]), good.clone()),
            Counters {
                advert_received: 1,
                address_list_errors: 1,
                ..zero
            },
        ),
    ];
    for (at, (got, want)) in expected.into_iter().enumerate() {
        assert_eq!(got, want, "number {at}");
    }
}

#[test]
fn another_address_list_is_odd_and_obeyed() {
    let odd = |model: &Instance| {
        judge(model, &Packet::V4(packets::ip("v2-none")))
            .0
            .map(|h| h.oddities[1])
    };
    let missing = PacketFault::AddressMissing([10, 0, 0, 7].into());
    assert_eq!(odd(&listing(&["10.0.0.7"])), Ok(Some(missing)));
    let count = PacketFault::AddressCount { got: 1, want: 2 };
    assert_eq!(odd(&listing(&["10.0.0.100", "10.0.0.7"])), Ok(Some(count)));
    // The order makes no difference.
    let shuffled = {
        let mut i = listing(&["10.0.0.9", "10.0.0.100", "10.0.0.101"]);
        i.advert_int = SECOND * 2;
        i
    };
    let (result, _) = judge(&shuffled, &Packet::V4(packets::ip("v2-3vips")));
    assert_eq!(result.map(|h| h.oddities[1]), Ok(None));
}

#[test]
fn with_skip_check_adv_addr_the_list_of_a_known_master_is_trusted() {
    let packet = Packet::V4(packets::ip("v2-none"));
    let arrival = Arrival::of(&packet).expect("no runt");
    let odd = |skip_check_adv_addr, master: Option<IpAddr>, ours: &[&str]| {
        let model = {
            let mut i = listing(ours);
            i.skip_check_adv_addr = skip_check_adv_addr;
            i
        };
        let (mut memory, mut counters) = (Memory::default(), Tally::default());
        let circumstances = Circumstances { master, ..FIRST };
        let heard = check(&model, &arrival, circumstances, &mut memory, &mut counters);
        heard.expect("obeyed").oddities[1].is_some()
    };
    let (sender, other) = (Some(arrival.src), Some([10, 0, 0, 9].into()));
    assert!(odd(true, None, &["10.0.0.7"]));
    assert!(odd(true, other, &["10.0.0.7"]));
    assert!(odd(false, sender, &["10.0.0.7"]));
    assert!(!odd(true, sender, &["10.0.0.7"]));
    // Their number is compared all the same.
    assert!(odd(true, sender, &["10.0.0.7", "10.0.0.8"]));
}

#[test]
fn a_repetition_is_taken_without_checks_and_anything_else_is_not() {
    let (model, mut memory, mut counters) = (one(), Memory::default(), Tally::default());
    let mut hear = |octets: &[u8]| {
        let packet = Packet::V4(octets.to_vec());
        let arrival = Arrival::of(&packet).expect("no runt");
        (
            memory
                .known
                .as_ref()
                .is_some_and(|k| k.matches(&arrival).is_some()),
            check(&model, &arrival, FIRST, &mut memory, &mut counters).is_ok(),
        )
    };
    let mut octets = packets::ip("v2-none");
    assert_eq!(hear(&octets), (false, true));
    octets[5] = 2; // The next identification.
    assert_eq!(hear(&octets), (true, true));
    for bit in 0..octets.len() * 8 {
        let (at, flipped) = (bit / 8, packets::flip(&octets, bit));
        let Ok((_, pdu)) = Ipv4Header::parse(&flipped) else {
            continue;
        };
        if flipped[9] != ip::VRRP || pdu.len() != 20 {
            continue;
        }
        // Nobody reads type of service, identification, flags, header checksum and destination.
        let unread = matches!(at, 1 | 4..8 | 10..12 | 16..20);
        let another_source = matches!(at, 12..16);
        let expected = (unread, unread || another_source);
        if matches!(at, 2 | 3) {
            // The total length may be that of a padded packet, but then every check runs.
            assert!(!hear(&flipped).0, "octet {at}");
        } else {
            assert_eq!(hear(&flipped), expected, "octet {at}");
        }
        assert!(hear(&octets).1);
    }
}

proptest! {
    #[test]
    fn any_octets_are_judged(octets in prop::collection::vec(any::<u8>(), 0..100), v6_octets in prop::collection::vec(any::<u8>(), 0..100)) {
        let src = Ipv6Addr::LOCALHOST;
        let six = Packet::V6 { src, dst: src, hop_limit: 255, payload: v6_octets };
        for packet in [Packet::V4(octets.clone()), six] {
            for model in [one(), with_password(), version_3(), over_v6(Version::V2), over_v6(Version::V3)] {
                if Arrival::of(&packet).is_some() {
                    let _ = judge(&model, &packet);
                }
            }
        }
    }

    #[test]
    fn any_octets_after_a_plausible_beginning_are_judged(tail in prop::collection::vec(any::<u8>(), 0..60), first in prop::sample::select(vec![0x21_u8, 0x31]), count: u8) {
        let mut octets = packets::ip("v2-none")[..20].to_vec();
        octets.extend([first, 51, 100, count, 0, 1]);
        octets.extend(tail);
        octets[3] = u8::try_from(octets.len()).expect("short");
        if let Some(arrival) = Arrival::of(&Packet::V4(octets)) {
            for model in [one(), version_3()] {
                let result = check(&model, &arrival, FIRST, &mut Memory::default(), &mut Tally::default());
                prop_assert!(result.is_err() || arrival.pdu.len() >= 8);
            }
        }
    }
}
