//! Framing against captured messages, and the kernel's own controller family, which is always there.

use super::*;

/// The octets of a captured message: lines of hexadecimal, `#` begins a comment.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    text.lines()
        .filter(|l| !l.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|octet| u8::from_str_radix(octet, 16).expect("a fixture is hexadecimal"))
        .collect()
}

/// `request` as it crosses the kernel's border, with the family number of the captures.
pub(crate) fn emitted(request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    request.emit(0x1c, 0, &mut out);
    out
}

/// What is made of `datagram` as the answer to request 0 of a process whose port is 0, as captures have it.
pub(crate) fn assembled(datagram: &[u8]) -> Vec<Answer> {
    let mut a = Assembly {
        in_flight: VecDeque::from([(0, (), Vec::new())]),
        done: Vec::new(),
    };
    a.take_in(datagram, 0);
    a.done.into_iter().map(|((), answer)| answer).collect()
}

#[test]
fn the_family_is_looked_up_as_captured() {
    let attrs = Attrs::default().text(CTRL_ATTR_FAMILY_NAME, "IPVS");
    let request = Request {
        cmd: CTRL_CMD_GETFAMILY,
        dump: false,
        attrs,
    };
    let mut out = Vec::new();
    request.emit(GENL_ID_CTRL, 0, &mut out);
    assert_eq!(
        out,
        hex(include_str!("../../../tests/packets/ipvs/getfamily.hex"))
    );
    let mut answer = hex(include_str!(
        "../../../tests/packets/ipvs/getfamily_reply.hex"
    ));
    answer.extend(hex(include_str!("../../../tests/packets/ipvs/ack_ok.hex")));
    let replies = assembled(&answer).remove(0).expect("acknowledged");
    assert_eq!(family_id(&replies), Ok(28));
}

#[test]
fn acknowledgements_carry_the_error() {
    let ack = |text| assembled(&hex(text)).remove(0);
    assert_eq!(
        ack(include_str!("../../../tests/packets/ipvs/ack_ok.hex")),
        Ok(vec![])
    );
    for (text, errno) in [
        (
            include_str!("../../../tests/packets/ipvs/ack_eexist.hex"),
            Errno::EEXIST,
        ),
        (
            include_str!("../../../tests/packets/ipvs/ack_esrch.hex"),
            Errno::ESRCH,
        ),
        (
            include_str!("../../../tests/packets/ipvs/ack_enoent.hex"),
            Errno::ENOENT,
        ),
        (
            include_str!("../../../tests/packets/ipvs/ack_einval.hex"),
            Errno::EINVAL,
        ),
    ] {
        assert_eq!(ack(text), Err(GenlError::Refused(errno)));
    }
}

#[test]
fn any_cut_or_flip_of_an_answer_is_survived() {
    let whole = hex(include_str!(
        "../../../tests/packets/ipvs/get_service_dump_entry.hex"
    ));
    for cut in 0..whole.len() {
        assembled(&whole[..cut]);
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assembled(&flipped);
        attrs(flipped.get(20..).unwrap_or_default()).for_each(drop);
    }
}

#[test]
fn answers_to_somebody_else_are_dropped() {
    let mut a = Assembly {
        in_flight: VecDeque::from([(7, (), Vec::new())]),
        done: Vec::new(),
    };
    a.take_in(
        &hex(include_str!("../../../tests/packets/ipvs/ack_ok.hex")),
        0,
    ); // answers request 0
    let mut mine = hex(include_str!("../../../tests/packets/ipvs/ack_ok.hex"));
    mine[8] = 7;
    a.take_in(&mine, 99); // says it is for port 0
    assert!(a.done.is_empty());
    a.take_in(&mine, 0);
    assert_eq!(a.done, [((), Ok(vec![]))]);
}

#[tokio::test]
async fn a_family_that_nobody_has_is_reported_as_missing() {
    let opened = Genl::<()>::open("KA_NONE", &Place::Here).await;
    assert_eq!(opened.err(), Some(GenlError::Refused(Errno::ENOENT)));
}

#[tokio::test]
async fn the_controller_answers_a_batch_in_order_and_a_dump_between_them() {
    let (fd, port) = Genl::<u32>::socket().expect("netlink sockets are for everybody");
    let mut genl: Genl<u32> = Genl::watching(fd, port).expect("a runtime");
    let ask = |dump| Request {
        cmd: CTRL_CMD_GETFAMILY,
        dump,
        attrs: if dump {
            Attrs::default()
        } else {
            Attrs::default().text(CTRL_ATTR_FAMILY_NAME, "nlctrl")
        },
    };
    for n in 0..100 {
        genl.submit(n, ask(n == 50));
    }
    let mut seen = Vec::new();
    while seen.len() < 100 {
        for (n, answer) in genl.next_done().await {
            let replies = answer.expect("the controller is always there");
            assert!(n == 50 || family_id(&replies) == Ok(GENL_ID_CTRL));
            seen.push(n);
        }
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

/// What netlink(7) calls ENOBUFS: more answers than the receive buffer holds.
#[tokio::test]
async fn answers_that_overflow_the_buffer_are_told_as_lost_and_later_ones_come() {
    let (fd, port) = Genl::<usize>::socket().expect("a socket");
    // The kernel makes it the least that it allows.
    let least = nix::sys::socket::sockopt::RcvBuf;
    nix::sys::socket::setsockopt(&fd, least, &1).expect("anybody may have less");
    let mut genl: Genl<usize> = Genl::watching(fd, port).expect("inside a runtime");
    let ask = || Request {
        cmd: CTRL_CMD_GETFAMILY,
        dump: false,
        attrs: Attrs::default().text(CTRL_ATTR_FAMILY_NAME, "nlctrl"),
    };
    (0..BATCH).for_each(|n| genl.submit(n, ask()));
    let mut answers = Vec::new();
    while answers.len() < BATCH {
        answers.extend(genl.next_done().await);
    }
    let tags: Vec<usize> = answers.iter().map(|(n, _)| *n).collect();
    assert_eq!(
        tags,
        (0..BATCH).collect::<Vec<_>>(),
        "each is answered, in order"
    );
    let lost = |(_, a): &(usize, Answer)| matches!(a, Err(GenlError::Lost));
    assert!(answers.iter().any(lost));
    genl.submit(BATCH, ask());
    let [(BATCH, Ok(_))] = &genl.next_done().await[..] else {
        panic!("the connection goes on");
    };
}
