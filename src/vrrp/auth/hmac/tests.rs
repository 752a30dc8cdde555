use std::collections::BTreeMap;

use super::*;
use crate::model::auth::Secret;
use crate::model::unicast::{OldChecksum, Peer};

const WINDOW: Duration = Duration::from_secs(5);
/// Some day in 2026.
const DAY: Duration = Duration::from_secs(1_795_260_336);
const SECOND: Duration = Duration::from_secs(1);
/// The start of an advertisement of version 3, virtual router 51.
const PDU: &[u8] = &[0x31, 51, 100, 0, 0, 100, 0, 0];

fn hmac(mode: HmacMode, replay: AntiReplay) -> Hmac {
    let keys = [(1, b'a'), (2, b'b')].map(|(id, octet)| (id, Secret::new(vec![octet; 32])));
    Hmac {
        keys: BTreeMap::from(keys),
        active: 1,
        replay,
        mode,
    }
}

fn enforce() -> Hmac {
    hmac(HmacMode::Enforce, AntiReplay::Time(WINDOW))
}

fn from(n: u8) -> Signed<'static> {
    Signed {
        src: [10, 0, 0, n].into(),
        pdu: PDU,
    }
}

fn sealed(hmac: &Hmac, n: u8, wall: Duration) -> [u8; TRAILER] {
    let mut replay = Replay::default();
    replay.sign(hmac, from(n), wall).expect("a key")
}

fn hear(
    replay: &mut Replay,
    hmac: &Hmac,
    n: u8,
    octets: &[u8; TRAILER],
    wall: Duration,
) -> Result<Verdict, PacketFault> {
    replay.check(hmac, None, from(n), Some(octets), wall)
}

#[test]
fn a_signed_packet_is_believed_once() {
    let mut replay = Replay::default();
    let octets = sealed(&enforce(), 2, DAY);
    let good = Verdict {
        form: Form::Signed,
        skewed: None,
    };
    assert_eq!(hear(&mut replay, &enforce(), 2, &octets, DAY), Ok(good));
    let again = hear(&mut replay, &enforce(), 2, &octets, DAY);
    assert_eq!(again, Err(PacketFault::HmacReplay));
    let next = sealed(&enforce(), 2, DAY + SECOND);
    assert_eq!(hear(&mut replay, &enforce(), 2, &next, DAY), Ok(good));
}

#[test]
fn each_fault_is_told_apart() {
    let ours = enforce();
    let judge = |octets: &[u8; TRAILER], wall| hear(&mut Replay::default(), &ours, 2, octets, wall);
    let octets = sealed(&ours, 2, DAY);
    let with = |at: usize, octet: u8| {
        let mut changed = octets;
        changed[at] = octet;
        changed
    };
    assert_eq!(judge(&with(0, 2), DAY), Err(PacketFault::HmacMalformed));
    assert_eq!(judge(&with(3, 1), DAY), Err(PacketFault::HmacMalformed));
    assert_eq!(judge(&with(1, 9), DAY), Err(PacketFault::HmacUnknownKey(9)));
    assert_eq!(judge(&with(1, 2), DAY), Err(PacketFault::HmacInvalid));
    assert_eq!(
        judge(&with(27, octets[27] ^ 1), DAY),
        Err(PacketFault::HmacInvalid)
    );
    assert_eq!(
        judge(&octets, DAY + WINDOW + SECOND),
        Err(PacketFault::HmacStale { off: -6 })
    );
    assert_eq!(
        judge(&octets, DAY - WINDOW - SECOND),
        Err(PacketFault::HmacStale { off: 6 })
    );
    let late = judge(&octets, DAY + SECOND * 3).expect("within the window");
    assert_eq!(late.skewed, Some(3));
    let missing = Replay::default().check(&ours, None, from(2), None, DAY);
    assert_eq!(missing, Err(PacketFault::HmacMissing));
}

#[test]
fn another_key_that_is_configured_verifies_while_keys_are_rotated() {
    let rotated = Hmac {
        active: 2,
        ..enforce()
    };
    let octets = sealed(&rotated, 2, DAY);
    assert!(hear(&mut Replay::default(), &enforce(), 2, &octets, DAY).is_ok());
}

#[test]
fn without_clocks_only_growing_counts() {
    let ours = hmac(HmacMode::Enforce, AntiReplay::Monotonic);
    let mut replay = Replay::default();
    let far = sealed(&ours, 2, DAY * 3 / 2);
    assert!(hear(&mut replay, &ours, 2, &far, DAY).is_ok());
    let earlier = sealed(&ours, 2, DAY);
    assert_eq!(
        hear(&mut replay, &ours, 2, &earlier, DAY),
        Err(PacketFault::HmacReplay)
    );
}

#[test]
fn a_sender_whose_clock_was_set_back_is_believed_again_after_the_window() {
    let mut replay = Replay::default();
    let ahead = sealed(&enforce(), 2, DAY + SECOND * 4);
    assert!(hear(&mut replay, &enforce(), 2, &ahead, DAY).is_ok());
    let back = sealed(&enforce(), 2, DAY + SECOND);
    assert!(hear(&mut replay, &enforce(), 2, &back, DAY + SECOND).is_err());
    let later = DAY + SECOND * 10;
    let back = sealed(&enforce(), 2, later - SECOND * 7 / 2);
    assert!(hear(&mut replay, &enforce(), 2, &back, later).is_ok());
}

#[test]
fn our_own_numbers_grow_when_the_clock_does_not() {
    let mut replay = Replay::default();
    let number = |octets: [u8; TRAILER]| Trailer::parse(&octets).expect("a trailer").sequence;
    let mut sign = |wall| number(replay.sign(&enforce(), from(1), wall).expect("a key"));
    let (first, second, back) = (sign(DAY), sign(DAY), sign(DAY - SECOND));
    assert!(second.is_after(first) && back.is_after(second));
    // A clock that was wrong by more than the window: our peers would call it stale.
    let right = sign(DAY - SECOND * 60);
    assert_eq!(right.ahead_of(DAY - SECOND * 60), 0);
}

#[test]
fn the_longest_silent_sender_of_a_group_is_forgotten_first() {
    let mut replay = Replay::default();
    let ours = hmac(HmacMode::Enforce, AntiReplay::Monotonic);
    let octets: Vec<_> = (0..6).map(|n| sealed(&ours, n, DAY)).collect();
    for n in [0, 1, 2, 3, 4] {
        assert!(hear(&mut replay, &ours, n, &octets[usize::from(n)], DAY).is_ok());
    }
    assert!(hear(&mut replay, &ours, 4, &octets[4], DAY).is_err());
    assert!(hear(&mut replay, &ours, 0, &octets[0], DAY).is_ok());
}

#[test]
fn only_peers_are_believed_in_unicast() {
    let unicast = Unicast {
        peers: vec![Peer::new([10, 0, 0, 2].into())],
        fault_no_peer: false,
        check_source: false,
        ttl: None,
        old_checksum: OldChecksum::Recognised,
    };
    let judge = |n: u8| {
        let octets = sealed(&enforce(), n, DAY);
        Replay::default().check(&enforce(), Some(&unicast), from(n), Some(&octets), DAY)
    };
    assert!(judge(2).is_ok());
    assert_eq!(judge(3), Err(PacketFault::NotAPeer));
}

#[test]
fn a_master_answers_in_the_form_in_which_it_is_spoken_to() {
    use Form::{Plain, Signed};
    for (mode, form, forms) in [
        (HmacMode::Enforce, Plain, &[Signed][..]),
        (HmacMode::Permissive, Signed, &[Signed]),
        (HmacMode::Permissive, Plain, &[Signed, Plain]),
        (HmacMode::ReceiveOnly, Plain, &[Plain]),
        (HmacMode::ReceiveOnly, Signed, &[Plain, Signed]),
    ] {
        let hmac = hmac(mode, AntiReplay::Monotonic);
        let mut replay = Replay::default();
        replay.heard_lower(&hmac, form);
        assert_eq!(replay.forms(&hmac), forms, "{mode:?} {form:?}");
    }
}
