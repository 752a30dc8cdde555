//! What checkers put on the wire: the same octets as stock keepalived, for each kind.

crate::guests! {
    the_first_octets_of_each_checker_are_those_of_stock
}

pub(crate) mod story {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use socket2::{Domain, Protocol, Socket, Type};

    use crate::lab::poll;
    use crate::world::{LIMIT, OURS, STOCK, World};

    /// Port, checker.
    const TCP: &[(u16, &str)] = &[
        (81, "TCP_CHECK {\n}"),
        (
            82,
            "HTTP_GET {\nurl {\npath /some/where?a=b\nstatus_code 200\n}\n}",
        ),
        (
            83,
            "HTTP_GET {\nhttp_protocol 1.0C\nvirtualhost www.example.com\nurl {\npath /\nstatus_code 200\n}\n}",
        ),
        (
            84,
            "HTTP_GET {\nhttp_protocol 1.1\nurl {\npath /\nvirtualhost other.example\nstatus_code 200\n}\n}",
        ),
        (85, "SSL_GET {\nurl {\npath /\nstatus_code 200\n}\n}"),
        (
            86,
            "SSL_GET {\nenable_sni\nvirtualhost www.example.com\nurl {\npath /\nstatus_code 200\n}\n}",
        ),
        (25, "SMTP_CHECK {\nhelo_name me.example\n}"),
        (26, "SMTP_CHECK {\n}"),
    ];
    const UDP: &[(u16, &str)] = &[
        (53, "DNS_CHECK {\ntype AAAA\nname www.example.com\n}"),
        (54, "DNS_CHECK {\n}"),
        (5000, "UDP_CHECK {\nconnect_timeout 1\n}"),
        (5001, "UDP_CHECK {\npayload 0a0B 0c f\nrequire_reply\n}"),
    ];
    /// Not a port: the echo request.
    const PING: u16 = 0;

    pub(crate) fn conf() -> String {
        let mut conf = String::new();
        let servers = TCP
            .iter()
            .map(|c| ("TCP", c))
            .chain(UDP.iter().map(|c| ("UDP", c)));
        for (protocol, (port, checker)) in servers.chain([("TCP", &(99, "PING_CHECK {\n}"))]) {
            // A String takes all.
            let _ = write!(
                conf,
                "virtual_server 10.1.1.200 {port} {{\nlb_algo rr\nlb_kind NAT\nprotocol {protocol}\ndelay_loop 30\nwarmup 0
real_server 10.1.1.11 {port} {{\n{checker}\n}}\n}}\n"
            );
        }
        conf
    }

    /// All that a client says to a server that answers it as it wishes.
    fn heard(mut stream: TcpStream, port: u16) -> Vec<u8> {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let mut all = Vec::new();
        let mut some = [0; 4096];
        let replies: &[&[u8]] = match port {
            25 | 26 => &[b"220 hello\r\n", b"250 hello\r\n", b"221 bye\r\n"],
            _ => &[],
        };
        for reply in replies {
            let _ = stream.write_all(reply);
            let n = stream.read(&mut some).unwrap_or(0);
            all.extend(&some[..n]);
        }
        if replies.is_empty() {
            let n = stream.read(&mut some).unwrap_or(0);
            all.extend(&some[..n]);
        }
        if port == 85 || port == 86 {
            mask_hello(&mut all);
        }
        all
    }

    /// Takes out what is random in a ClientHello (RFC 8446 §4.1.2): random, session, the key at its end.
    fn mask_hello(hello: &mut [u8]) {
        let end = hello.len();
        for part in [11..43, 44..76, end.saturating_sub(32)..end] {
            if let Some(part) = hello.get_mut(part) {
                part.fill(0);
            }
        }
    }

    fn record(world: &World, tell: &Sender<(u16, Vec<u8>)>) {
        for (port, _) in TCP {
            let listener = world
                .server(11)
                .run(|| TcpListener::bind(("0.0.0.0", *port)))
                .expect("a port of a namespace of ours");
            let (tell, port) = (tell.clone(), *port);
            std::thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    // The test may be over.
                    let _ = tell.send((port, heard(stream, port)));
                }
            });
        }
        for (port, _) in UDP {
            let socket = world
                .server(11)
                .run(|| UdpSocket::bind(("0.0.0.0", *port)))
                .expect("a port of a namespace of ours");
            let (tell, port) = (tell.clone(), *port);
            std::thread::spawn(move || {
                let mut some = [0; 2048];
                while let Ok((n, _)) = socket.recv_from(&mut some) {
                    let mut came = some[..n].to_vec();
                    if port < 100 {
                        // The identifier.
                        came[..2].fill(0);
                    }
                    let _ = tell.send((port, came));
                }
            });
        }
        let socket = world
            .server(11)
            .run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)))
            .expect("root may");
        let tell = tell.clone();
        std::thread::spawn(move || {
            let mut some = [0; 2048];
            // Behind the header of IPv4: type and code, then what is sent along; the rest differs from request to request.
            while let Ok(n) = (&socket).read(&mut some) {
                let message = some.get(20..n).unwrap_or_default();
                if let [8, code, _, _, _, _, _, _, data @ ..] = message {
                    let _ = tell.send((PING, [&[8, *code], data].concat()));
                }
            }
        });
    }

    pub(super) fn the_first_octets_of_each_checker_are_those_of_stock() {
        let [stock, ours] = [STOCK, OURS].map(|binary| {
            let world = World::new(&[11]);
            let (tell, told) = channel();
            record(&world, &tell);
            let daemon = world.start(binary, &conf(), &["-C"]);
            let mut all: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
            let complete = poll(LIMIT, || {
                for (port, octets) in told.try_iter() {
                    all.entry(port).or_insert(octets);
                }
                (all.len() > TCP.len() + UDP.len()).then_some(())
            });
            assert!(
                complete.is_some(),
                "{binary}: only {:?}\n{}",
                all.keys(),
                daemon.log()
            );
            all
        });
        let shown = |all: &BTreeMap<u16, Vec<u8>>| {
            let line =
                |(port, octets): (&u16, &Vec<u8>)| format!("{port}: {}", octets.escape_ascii());
            all.iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(shown(&ours), shown(&stock), "ours, then stock's");
        assert!(ours[&81].is_empty() && ours[&82].starts_with(b"GET /some/where"));
    }
}
