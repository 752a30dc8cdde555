use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::*;
use crate::sys::testnet::{in_namespace_async, index, ip, veth};

const VRRP: Proto = Proto {
    number: 112,
    checksum_at: 6,
};

fn device(name: &str) -> Device {
    Device {
        index: index(name),
        name: name.to_owned(),
    }
}

fn ear(name: &str, local: IpAddr) -> Ear {
    Ear {
        index: Some(index(name)),
        proto: VRRP,
        local,
    }
}

fn hear(ears: &mut Ears, name: &str, local: IpAddr) {
    ears.add(ear(name, local), Some(&device(name)))
        .expect("a socket");
}

fn speaker(name: &str, v6: bool) -> Speaker {
    Speaker::open(VRRP, Some(&device(name)), v6).expect("a speaker")
}

fn route(src: IpAddr, dst: IpAddr) -> Route {
    Route {
        src,
        dst,
        hop_limit: None,
    }
}

/// The next packet, within ten seconds.
async fn next(ears: &mut Ears, heard: &mut VecDeque<Heard>) -> Option<Heard> {
    tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Some(packet) = heard.pop_front() {
                return packet;
            }
            ears.readable().await.expect("a reactor");
            ears.turn(heard);
        }
    })
    .await
    .ok()
}

/// An IPv4 packet of protocol 112 to 224.0.0.18 with this payload; the kernel writes length and checksum.
fn packet_v4(payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![
        0x45, 0xC0, 0, 0, 0, 1, 0, 0, 255, 112, 0, 0, 10, 0, 1, 77, 224, 0, 0, 18,
    ];
    octets.extend(payload);
    octets
}

#[test]
fn a_packet_is_heard_by_its_group_on_its_interface_only() {
    in_namespace_async(|| async {
        veth("a", "b");
        veth("c", "d");
        ip("addr add 10.0.0.1/24 dev a");
        let group = [224, 0, 0, 18].into();
        let mut heard = VecDeque::new();
        let mut ears = Ears::open().expect("ears");
        for name in ["b", "d"] {
            hear(&mut ears, name, group);
            hear(&mut ears, name, group);
            hear(&mut ears, name, [224, 0, 0, 99].into());
        }
        let speaker = speaker("a", false);
        // The source that the packet names: not one of our own, which the other end would not believe.
        ip("addr add 10.0.1.1/24 dev b");
        let src = [10, 0, 1, 77].into();
        for n in 0..40 {
            speaker
                .send(&route(src, group), &packet_v4(&[n; 8]))
                .expect("sent");
        }
        for n in 0..40 {
            let Some(Heard::V4 { ear, packet, .. }) = next(&mut ears, &mut heard).await else {
                panic!("nothing heard");
            };
            assert_eq!(ear.index, Some(index("b")));
            assert_eq!((packet[1], packet[8], packet[9]), (0xC0, 255, 112));
            assert_eq!(packet[20..], [n; 8]);
        }
        ears.remove(ear("b", group));
        speaker
            .send(&route(src, group), &packet_v4(&[1; 8]))
            .expect("sent");
        hear(&mut ears, "b", group);
        speaker
            .send(&route(src, group), &packet_v4(&[2; 8]))
            .expect("sent");
        assert!(
            matches!(next(&mut ears, &mut heard).await, Some(Heard::V4 { packet, .. }) if packet[20] == 2)
        );
    });
}

#[test]
fn the_time_that_a_packet_has_waited_is_told() {
    in_namespace_async(|| async {
        veth("a", "b");
        ip("addr add 10.0.0.1/24 dev a");
        let group = [224, 0, 0, 18].into();
        let mut ears = Ears::open().expect("ears");
        hear(&mut ears, "b", group);
        let speaker = speaker("a", false);
        let (src, wait) = ([10, 0, 1, 77].into(), Duration::from_millis(3));
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let before = Instant::now();
            speaker
                .send(&route(src, group), &packet_v4(&[1; 8]))
                .expect("sent");
            ears.readable().await.expect("a packet");
            let there = Instant::now();
            while there.elapsed() < wait {
                std::hint::spin_loop();
            }
            let mut heard = VecDeque::new();
            ears.turn(&mut heard);
            let waited = heard.pop_front().expect("a packet").waited();
            // On a machine that is too busy it is taken as if it came now.
            let long = before.elapsed() > Duration::from_millis(20);
            if long || (wait..before.elapsed()).contains(&waited) {
                return;
            }
            // The kernel begins to stamp packets a while after the first socket asks for it.
            assert!(Instant::now() < deadline, "{waited:?}");
        }
    });
}

#[test]
fn an_ipv6_payload_comes_with_its_header_and_a_good_checksum() {
    in_namespace_async(|| async {
        veth("a", "b");
        ip("addr add fe80::a/64 dev a nodad");
        let group = "ff02::12".parse().expect("a group");
        let src = "fe80::a".parse().expect("an address");
        let mut heard = VecDeque::new();
        let mut ears = Ears::open().expect("ears");
        hear(&mut ears, "b", group);
        let speaker = speaker("a", true);
        let sent = [0x31, 1, 100, 0, 0, 100, 0, 0];
        // The address is not usable, and the group not joined, in the same instant.
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut received = None;
        while received.is_none() && Instant::now() < deadline {
            if speaker.send(&route(src, group), &sent).is_ok() {
                let soon =
                    tokio::time::timeout(Duration::from_millis(100), next(&mut ears, &mut heard));
                received = soon.await.unwrap_or_default();
            } else {
                tokio::task::yield_now().await;
            }
        }
        let Some(Heard::V6 {
            ear,
            src: from,
            dst,
            hop_limit,
            payload,
            ..
        }) = received
        else {
            panic!("nothing heard");
        };
        assert_eq!(
            (ear.index, IpAddr::from(from), IpAddr::from(dst), hop_limit),
            (Some(index("b")), src, group, 255)
        );
        assert_eq!(payload[..6], sent[..6]);
        assert_ne!(payload[6..], [0, 0]);
    });
}

#[test]
fn a_speaker_whose_link_is_down_fails_and_does_not_wait() {
    in_namespace_async(|| async {
        veth("a", "b");
        ip("addr add 10.0.0.1/24 dev a");
        let speaker = speaker("a", false);
        ip("link set dev a down");
        let (src, group) = ([10, 0, 0, 1].into(), [224, 0, 0, 18].into());
        assert!(
            speaker
                .send(&route(src, group), &packet_v4(&[0; 8]))
                .is_err()
        );
        let frames = FrameSocket::open().expect("a socket");
        assert!(frames.send(index("a"), &[0; 60]).is_err());
        ip("link set dev a up");
        speaker
            .send(&route(src, group), &packet_v4(&[0; 8]))
            .expect("sent");
        frames.send(index("a"), &[0; 60]).expect("sent");
    });
}

#[test]
fn a_receive_buffer_is_as_large_as_asked_for() {
    in_namespace_async(|| async {
        veth("a", "b");
        let group = IpAddr::from([224, 0, 0, 18]);
        let mut ears = Ears::open().expect("a reactor");
        hear(&mut ears, "a", group);
        ears.resize(ear("a", group), 40_000);
        let fd = ears.descriptor(ear("a", group)).expect("it is open");
        let size = nix::sys::socket::getsockopt(&fd, nix::sys::socket::sockopt::RcvBuf);
        assert_eq!(size, Ok(80_000), "the kernel takes twice as much");
    });
}
