//! Every advertisement that was captured from keepalived (`tests/packets`): we send the same octets, and take them as
//! keepalived takes them. None may be left out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::advert::{Seal, Template};
use super::auth::{Form, Replay};
use super::receive::{Arrival, Circumstances, Heard, Memory, check};
use super::sample::{listing, vrid};
use super::tally::Tally;
use super::{Packet, PacketFault};
use crate::model::auth::{AntiReplay, Auth, Hmac, HmacMode, Secret};
use crate::model::net::Family;
use crate::model::unicast::{OldChecksum, Peer, Unicast};
use crate::model::vrrp::{Instance, Version};
use crate::wire::packets;
use crate::wire::trailer::{Signed, TRAILER};
use crate::wire::vrrp as wire;

/// One file, and the instance that sent it.
struct Captured {
    name: &'static str,
    model: Instance,
    src: &'static str,
    /// IPv4 identification: the how-manieth advertisement.
    id: u16,
    priority: u8,
    /// Which of the targets it was sent to.
    target: usize,
}

fn unicast(model: Instance, peers: &[&str]) -> Instance {
    let peer = |addr: &&str| Peer::new(addr.parse().expect("an address"));
    {
        let mut i = model;
        i.unicast = Some(Unicast {
            peers: peers.iter().map(peer).collect(),
            fault_no_peer: false,
            check_source: false,
            ttl: None,
            old_checksum: OldChecksum::Recognised,
        });
        i
    }
}

fn ttl(mut model: Instance, ttl: u8) -> Instance {
    if let Some(unicast) = &mut model.unicast {
        unicast.ttl = Some(ttl);
    }
    model
}

fn old(mut model: Instance) -> Instance {
    if let Some(unicast) = &mut model.unicast {
        unicast.old_checksum = OldChecksum::Always;
    }
    model
}

fn every(secs: Duration, model: Instance) -> Instance {
    let mut i = model;
    i.advert_int = secs;
    i
}

fn three(model: Instance) -> Instance {
    let mut i = model;
    i.version = Version::V3;
    i
}

fn with(model: &Instance, auth: Auth) -> Instance {
    let mut i = model.clone();
    i.auth = auth;
    i
}

fn signed(id: u8, key: Vec<u8>, replay: AntiReplay) -> Auth {
    Auth::Hmac(Arc::new(Hmac {
        keys: BTreeMap::from([(id, Secret::new(key))]),
        active: id,
        replay,
        mode: HmacMode::Enforce,
    }))
}

fn all() -> Vec<Captured> {
    const HALF: Duration = Duration::from_millis(500);
    let one = || listing(&["10.0.0.100"]);
    let six = || listing(&["fe80::100", "2001:db8::100"]);
    let v3 = || every(HALF, three(one()));
    let (one_peer, two_peers) = (&["10.0.0.2"][..], &["10.0.0.2", "10.0.0.3"][..]);
    let pass = |text: &[u8; 8]| with(&one(), Auth::Pass(*text));
    let ah = Auth::Ah(Secret::new(b"s3cret\0\0".to_vec()));
    let window = AntiReplay::Time(Duration::from_secs(5));
    let hmac = signed(1, (0..32).collect(), window);
    let ascii = b"0123456789abcdef0123456789abcdef".to_vec();
    let hmac2 = with(&one(), signed(7, ascii, AntiReplay::Monotonic));
    let hmac3 = with(&three(one()), hmac.clone());
    let mut long = every(Duration::from_millis(40_950), three(one()));
    long.vrid = vrid(255);
    let far = {
        let mut i = v3();
        i.checksum_as_v2 = true;
        i
    };
    let three_vips = listing(&["10.0.0.100", "10.0.0.101", "10.0.0.9"]);
    let mut old_six = six();
    old_six.version = Version::V2;
    let both = || unicast(v3(), two_peers);
    let six_unicast = || ttl(unicast(six(), &["2001:db8::2"]), 7);
    let peer_ttl = ttl(unicast(pass(b"s3cret\0\0"), one_peer), 64);
    let rows = [
        ("v2-none", one(), 1, 150),
        ("v2-none-ka227", one(), 1, 150),
        ("v2-none-prio0", one(), 4, 0),
        ("v2-owner", one(), 1, 255),
        ("v2-pass", pass(b"s3cret\0\0"), 1, 150),
        ("v2-pass-ka227", pass(b"s3cret\0\0"), 1, 150),
        ("v2-pass-prio0", pass(b"s3cret\0\0"), 4, 0),
        ("v2-pass-truncated", pass(b"abcdefgh"), 1, 150),
        ("v2-3vips", every(HALF * 4, three_vips), 1, 150),
        ("v2-ah", with(&one(), ah.clone()), 1, 150),
        ("v2-ah-second", with(&one(), ah.clone()), 2, 150),
        ("v2-ah-prio0", with(&one(), ah.clone()), 4, 0),
        ("v2-ah-ka227", with(&one(), ah.clone()), 1, 150),
        ("v2-ah-ka227-second", with(&one(), ah.clone()), 2, 150),
        ("v2-unicast", unicast(one(), one_peer), 1, 150),
        ("v2-unicast-ka227", unicast(one(), one_peer), 1, 150),
        ("v2-unicast-pass-ttl", peer_ttl, 1, 150),
        ("v2-unicast-ah", unicast(with(&one(), ah), one_peer), 1, 150),
        ("v2-ipv4-vmac-xmitbase", one(), 1, 150),
        ("v2-ipv4-hmac", hmac2.clone(), 1, 150),
        ("v2-ipv4-hmac-second", hmac2, 2, 150),
        ("v2-ipv6", old_six, 1, 150),
        ("v3-ipv4", v3(), 1, 150),
        ("v3-ipv4-ka227", v3(), 1, 150),
        ("v3-ipv4-prio0", v3(), 7, 0),
        ("v3-ipv4-mcastsrc", long, 1, 255),
        ("v3-ipv4-vmac", three(one()), 1, 150),
        ("v3-ipv4-cksum-as-v2", far, 1, 150),
        ("v3-ipv4-unicast", both(), 1, 150),
        ("v3-ipv4-unicast-second", both(), 1, 150),
        ("v3-ipv4-unicast-ka227", both(), 1, 150),
        ("v3-ipv4-unicast-ka227-second", both(), 1, 150),
        ("v3-ipv4-unicast-prio0", both(), 6, 0),
        (
            "v3-ipv4-unicast-oldcksum",
            old(unicast(v3(), one_peer)),
            1,
            150,
        ),
        (
            "v3-ipv4-unicast-oldcksum-ka227",
            old(unicast(v3(), one_peer)),
            1,
            150,
        ),
        ("v3-ipv4-hmac", hmac3.clone(), 1, 150),
        ("v3-ipv4-hmac-second", hmac3.clone(), 2, 150),
        (
            "v3-ipv4-unicast-hmac",
            unicast(hmac3.clone(), two_peers),
            1,
            150,
        ),
        (
            "v3-ipv4-unicast-hmac-second",
            unicast(hmac3, two_peers),
            1,
            150,
        ),
        ("v3-ipv6", six(), 1, 150),
        ("v3-ipv6-ka227", six(), 1, 150),
        ("v3-ipv6-prio0", six(), 1, 0),
        ("v3-ipv6-vmac", six(), 1, 150),
        ("v3-ipv6-hmac", with(&six(), hmac), 1, 150),
        ("v3-ipv6-unicast", six_unicast(), 1, 150),
        ("v3-ipv6-unicast-ka227", six_unicast(), 1, 150),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, model, id, priority)| Captured {
            src: match (name, model.family, &model.unicast) {
                ("v3-ipv4-mcastsrc", ..) => "10.0.0.77",
                (_, Family::V4, _) => "10.0.0.1",
                (_, Family::V6, None) => "fe80::1",
                (_, Family::V6, Some(_)) => "2001:db8::1",
            },
            // The second of two peers; elsewhere the second packet.
            target: usize::from(name.contains("unicast") && name.ends_with("-second")),
            name,
            model,
            id,
            priority,
        });
    rows.collect()
}

/// As the kernel hands it over.
fn received(name: &str) -> Packet {
    let ip = packets::ip(name);
    if ip[0] >> 4 == 4 {
        return Packet::V4(ip);
    }
    let addr =
        |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).expect("16 octets"));
    Packet::V6 {
        src: addr(8),
        dst: addr(24),
        hop_limit: ip[7],
        payload: ip[40..].to_vec(),
    }
}

/// When a signed packet left, by its own trailer.
fn signed_at(name: &str) -> Duration {
    let octets = packets::ip(name);
    let trailer: &[u8; TRAILER] = octets.last_chunk().expect("a trailer");
    let secs = u32::from_be_bytes(*trailer[4..].first_chunk().expect("seconds"));
    let fraction = u16::from_be_bytes(*trailer[8..].first_chunk().expect("a fraction"));
    let nanos = (u64::from(fraction) * 1_000_000_000).div_ceil(65_536);
    Duration::from_secs(secs.into()) + Duration::from_nanos(nanos)
}

fn judge(model: &Instance, name: &str) -> Result<Heard, PacketFault> {
    let packet = received(name);
    let arrival = Arrival::of(&packet).expect("no runt");
    let signed = matches!(model.auth, Auth::Hmac(_)) && name.contains("hmac");
    let circumstances = Circumstances {
        master: None,
        wall: if signed {
            signed_at(name)
        } else {
            Duration::ZERO
        },
        deaf: false,
    };
    let mut counters = Tally::default();
    check(
        model,
        &arrival,
        circumstances,
        &mut Memory::default(),
        &mut counters,
    )
}

/// A receiver with the sender's settings; a peer of a unicast sender has the sender for a peer.
fn peer(captured: &Captured) -> Instance {
    let mut model = captured.model.clone();
    if let Some(unicast) = &mut model.unicast {
        unicast.peers = vec![Peer::new(captured.src.parse().expect("an address"))];
        unicast.check_source = true;
    }
    model
}

#[test]
fn no_captured_packet_is_left_out() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packets");
    let files: BTreeSet<String> = std::fs::read_dir(dir)
        .expect("the captured packets")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".hex").map(str::to_owned))
        // Gratuitous ARP and neighbour advertisements: `wire::arp`, `wire::ndisc`.
        .filter(|name| !name.contains("-garp") && !name.contains("-na"))
        .collect();
    let known: BTreeSet<String> = all().iter().map(|c| c.name.to_owned()).collect();
    assert_eq!(files, known);
}

#[test]
fn every_packet_equals_that_of_keepalived() {
    for c in all() {
        let src = c.src.parse().expect("an address");
        let template = Template::new(&c.model, src).expect("one family");
        let target = template.targets[c.target];
        let trailer = match &c.model.auth {
            Auth::Hmac(hmac) => {
                let what = Signed {
                    src,
                    pdu: &template.pdu(c.priority),
                };
                Replay::default().sign(hmac, what, signed_at(c.name))
            }
            Auth::None | Auth::Pass(_) | Auth::Ah(_) => None,
        };
        let seal = match (&c.model.auth, &trailer) {
            (Auth::Ah(key), _) => Seal::Ah(key, c.id.into()),
            (_, Some(trailer)) => Seal::Trailer(trailer),
            (Auth::None | Auth::Pass(_) | Auth::Hmac(_), None) => Seal::None,
        };
        let octets = template.emit(&target, c.id, c.priority, seal);
        let mut want = packets::ip(c.name);
        match c.model.family {
            // The kernel writes the checksum of the header.
            Family::V4 => want[10..12].fill(0),
            // The kernel writes the header and the checksum.
            Family::V6 => {
                want.drain(..40);
                want[wire::CHECKSUM_AT..wire::CHECKSUM_AT + 2].fill(0);
            }
        }
        assert_eq!(octets, want, "{}", c.name);
    }
}

#[test]
fn every_packet_is_accepted_as_keepalived_accepts_it() {
    for c in all() {
        let heard =
            judge(&peer(&c), c.name).unwrap_or_else(|fault| panic!("{}: {fault:?}", c.name));
        let form = match c.model.auth {
            Auth::Hmac(_) => Form::Signed,
            Auth::None | Auth::Pass(_) | Auth::Ah(_) => Form::Plain,
        };
        assert_eq!(
            (heard.priority, heard.oddities, heard.form),
            (c.priority, [None; 3], form),
            "{}",
            c.name
        );
        assert_eq!(
            heard.old_checksum,
            c.name.contains("oldcksum"),
            "{}",
            c.name
        );
    }
}

#[test]
fn a_receiver_with_other_settings_refuses_as_keepalived_does() {
    let find = |name: &str| {
        let mut found = all();
        found.retain(|c| c.name == name);
        peer(&found.remove(0))
    };
    let (plain, pass, v3) = (find("v2-none"), find("v2-pass"), find("v3-ipv4"));
    // Who does not sign cannot read what is signed.
    let long = PacketFault::TooLong { got: 60, want: 32 };
    let second = every(Duration::from_secs(1), v3.clone());
    assert_eq!(judge(&second, "v3-ipv4-hmac"), Err(long));
    // Who signs does not believe what is not.
    let signs = every(Duration::from_millis(500), find("v3-ipv4-hmac"));
    assert_eq!(judge(&signs, "v3-ipv4"), Err(PacketFault::HmacMissing));
    let none = PacketFault::AuthTypeMismatch { got: 0, want: 1 };
    assert_eq!(judge(&pass, "v2-none"), Err(none));
    assert_eq!(
        judge(&pass, "v2-pass-truncated"),
        Err(PacketFault::Password)
    );
    let ah = find("v2-ah");
    let other = with(&ah, Auth::Ah(Secret::new(b"another\0".to_vec())));
    assert_eq!(judge(&other, "v2-ah"), Err(PacketFault::AhDigest));
    let got = |n| PacketFault::AuthTypeMismatch { got: n, want: 2 };
    assert_eq!(judge(&ah, "v2-none"), Err(got(0)));
    // The old checksum of unicast: recognised unless it is forbidden.
    let current = find("v3-ipv4-unicast");
    let heard = judge(&current, "v3-ipv4-unicast-oldcksum").expect("recognised");
    assert!(heard.old_checksum);
    let mut never = current.clone();
    if let Some(unicast) = &mut never.unicast {
        unicast.old_checksum = OldChecksum::Never;
    }
    let wrong = Err(PacketFault::Checksum);
    assert_eq!(judge(&never, "v3-ipv4-unicast-oldcksum"), wrong);
    assert_eq!(judge(&old(current.clone()), "v3-ipv4-unicast"), wrong);
    // A receiver configured for the checksum without pseudo header accepts that one, and the other one too.
    assert_eq!(judge(&v3, "v3-ipv4-cksum-as-v2"), wrong);
    assert!(judge(&find("v3-ipv4-cksum-as-v2"), "v3-ipv4").is_ok());
    // Unicast has no rule about the TTL, but for what a peer may have.
    assert!(judge(&find("v2-unicast-pass-ttl"), "v2-unicast-pass-ttl").is_ok());
    let mut near = find("v2-unicast-pass-ttl");
    if let Some(unicast) = &mut near.unicast {
        unicast.peers[0].ttl = 65..=255;
    }
    let far = Err(PacketFault::PeerTtl(64));
    assert_eq!(judge(&near, "v2-unicast-pass-ttl"), far);
    let stranger = unicast(plain, &["10.0.0.9"]);
    assert!(judge(&stranger, "v2-unicast").is_ok());
    let mut strict = stranger;
    if let Some(unicast) = &mut strict.unicast {
        unicast.check_source = true;
    }
    assert_eq!(judge(&strict, "v2-unicast"), Err(PacketFault::NotAPeer));
}

#[test]
fn an_authenticated_packet_is_taken_once_and_our_own_go_on_behind_it() {
    let find = all().into_iter().find(|c| c.name == "v2-ah");
    let model = find.expect("a captured packet").model;
    let mut memory = Memory::default();
    let mut hear = |name: &str| {
        let packet = received(name);
        let arrival = Arrival::of(&packet).expect("no runt");
        let circumstances = Circumstances {
            master: None,
            wall: Duration::ZERO,
            deaf: false,
        };
        let mut counters = Tally::default();
        let result = check(&model, &arrival, circumstances, &mut memory, &mut counters);
        (
            result.map(|heard| heard.priority),
            counters.all().auth_failures,
        )
    };
    assert_eq!(hear("v2-ah-second"), (Ok(150), 0));
    let again = PacketFault::AhReplay { got: 2, last: 2 };
    assert_eq!(hear("v2-ah-second"), (Err(again), 1));
    let before = PacketFault::AhReplay { got: 1, last: 2 };
    assert_eq!(hear("v2-ah"), (Err(before), 1));
    assert_eq!(hear("v2-ah-prio0"), (Ok(0), 0));
    assert_eq!(memory.seals().ah.advance(), 5);
}
