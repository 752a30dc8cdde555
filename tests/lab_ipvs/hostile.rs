//! Servers that behave as badly as they can, for every kind of checker: the right verdict in time, and nothing is kept.

crate::guests! {
    whatever_servers_do_the_verdict_is_right_and_nothing_is_kept
}

mod story {
    use std::fmt::Write as _;
    use std::fs;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use openssl::ssl::{SslAcceptor, SslMethod, SslStream};
    use socket2::SockRef;

    use crate::lab::daemon::Daemon;
    use crate::lab::until_or;
    use crate::world::{LIMIT, OURS, World};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Verdict {
        Up,
        Down,
    }
    use Verdict::{Down, Up};

    /// One step of a server that talks over TCP.
    #[derive(Clone, Copy)]
    enum Step {
        /// From here on by TLS.
        Shakes,
        Says(&'static [u8]),
        /// One octet at a time.
        Drips(&'static [u8]),
        /// Waits until the client has said something.
        Hears,
        /// The same for ever, as long as anybody listens.
        Endless(&'static [u8]),
        /// Says nothing and keeps the connection.
        Stays,
        Resets,
        /// Says that it is done, and keeps the connection.
        Ends,
    }
    use Step::{Drips, Endless, Ends, Hears, Resets, Says, Shakes, Stays};

    const HTTP: &str = "HTTP_GET {\nurl {\npath /\nstatus_code 200\n}";
    const DIGEST: &str = "HTTP_GET {\nurl {\npath /\ndigest 6f5902ac237024bdd0c176cb93063dc4\n}";
    const SSL: &str = "SSL_GET {\nurl {\npath /\nstatus_code 200\n}";
    const SMTP: &str = "SMTP_CHECK {";
    const PAGE: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nhello world\n";

    const TCP: &[(&str, &str, Verdict, &[Step])] = &[
        ("half open", "TCP_CHECK {", Up, &[Stays]),
        ("talks without end", "TCP_CHECK {", Up, &[Endless(b"noise")]),
        // Whoever accepts a connection is there, whatever follows, and however late it is noticed.
        ("reset once accepted", "TCP_CHECK {", Up, &[Resets]),
        ("closed once accepted", "TCP_CHECK {", Up, &[]),
        ("a good page", DIGEST, Up, &[Hears, Says(PAGE)]),
        ("slow octets", DIGEST, Up, &[Hears, Drips(PAGE)]),
        ("speaks first", HTTP, Up, &[Says(PAGE), Hears]),
        (
            "too short",
            HTTP,
            Up,
            &[
                Hears,
                Says(b"HTTP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nshort"),
            ],
        ),
        (
            "too long",
            DIGEST,
            Up,
            &[Hears, Says(PAGE), Says(b"and more")],
        ),
        (
            "negative length",
            HTTP,
            Up,
            &[
                Hears,
                Says(b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\nx"),
            ],
        ),
        (
            "endless header",
            HTTP,
            Down,
            &[
                Hears,
                Says(b"HTTP/1.0 200 OK\r\n"),
                Endless(b"X-More: and more\r\n"),
            ],
        ),
        (
            "endless body",
            HTTP,
            Down,
            &[
                Hears,
                Says(b"HTTP/1.0 200 OK\r\n\r\n"),
                Endless(&[b'a'; 4096]),
            ],
        ),
        (
            "redirects to itself",
            HTTP,
            Down,
            &[Hears, Says(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")],
        ),
        ("no header", HTTP, Down, &[Hears]),
        (
            "half a header",
            HTTP,
            Down,
            &[Hears, Says(b"HTTP/1.0 200 OK\r\nA: b\r\n")],
        ),
        ("zeros", HTTP, Down, &[Hears, Says(&[0; 5000])]),
        ("silence", HTTP, Down, &[Hears, Stays]),
        (
            "keeps the connection open",
            HTTP,
            Down,
            &[Hears, Says(PAGE), Stays],
        ),
        ("reset at once", HTTP, Down, &[Resets]),
        ("reset for an answer", HTTP, Down, &[Hears, Resets]),
        (
            "reset in the header",
            HTTP,
            Down,
            &[Hears, Says(b"HTTP/1.0 20"), Hears, Resets],
        ),
        (
            "reset in the body",
            HTTP,
            Down,
            &[Hears, Says(b"HTTP/1.0 200 OK\r\n\r\nhel"), Hears, Resets],
        ),
        (
            "reset behind the body",
            HTTP,
            Down,
            &[Hears, Says(PAGE), Resets],
        ),
        ("half closed", HTTP, Up, &[Hears, Says(PAGE), Ends, Stays]),
        // Without a word of TLS that it is over.
        ("a good page", SSL, Up, &[Shakes, Hears, Says(PAGE)]),
        (
            "too short",
            SSL,
            Up,
            &[
                Shakes,
                Hears,
                Says(b"HTTP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nshort"),
            ],
        ),
        (
            "endless header",
            SSL,
            Down,
            &[
                Shakes,
                Hears,
                Says(b"HTTP/1.0 200 OK\r\n"),
                Endless(b"X-More: and more\r\n"),
            ],
        ),
        (
            "endless body",
            SSL,
            Down,
            &[
                Shakes,
                Hears,
                Says(b"HTTP/1.0 200 OK\r\n\r\n"),
                Endless(&[b'a'; 4096]),
            ],
        ),
        (
            "redirects to itself",
            SSL,
            Down,
            &[
                Shakes,
                Hears,
                Says(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"),
            ],
        ),
        (
            "half a header",
            SSL,
            Down,
            &[Shakes, Hears, Says(b"HTTP/1.0 200 OK\r\nA: b\r\n")],
        ),
        (
            "silence behind the handshake",
            SSL,
            Down,
            &[Shakes, Hears, Stays],
        ),
        (
            "reset behind the handshake",
            SSL,
            Down,
            &[Shakes, Hears, Resets],
        ),
        (
            "reset in the body",
            SSL,
            Down,
            &[
                Shakes,
                Hears,
                Says(b"HTTP/1.0 200 OK\r\n\r\nhel"),
                Hears,
                Resets,
            ],
        ),
        (
            "garbage behind the handshake",
            SSL,
            Down,
            &[Shakes, Hears, Says(&[0x55; 600])],
        ),
        ("silence", SSL, Down, &[Stays]),
        ("no TLS", SSL, Down, &[Hears, Says(PAGE)]),
        ("garbage", SSL, Down, &[Hears, Says(&[0x55; 600])]),
        (
            "garbage without end",
            SSL,
            Down,
            &[Hears, Endless(&[0x16; 512])],
        ),
        (
            "a record that never ends",
            SSL,
            Down,
            &[
                Hears,
                Says(&[0x16, 3, 3, 0x40, 0, 2, 0, 0x3f]),
                Endless(&[0; 2]),
            ],
        ),
        (
            "an alert",
            SSL,
            Down,
            &[Hears, Says(&[0x15, 3, 3, 0, 2, 2, 40])],
        ),
        ("reset at once", SSL, Down, &[Resets]),
        ("reset for an answer", SSL, Down, &[Hears, Resets]),
        (
            "reset in the handshake",
            SSL,
            Down,
            &[Hears, Says(&[0x16, 3, 3, 0, 80, 2]), Hears, Resets],
        ),
        (
            "slow octets",
            SMTP,
            Up,
            &[
                Drips(b"220 hi\r\n"),
                Hears,
                Drips(b"250 hi\r\n"),
                Hears,
                Drips(b"221\r\n"),
            ],
        ),
        ("a line without end", SMTP, Down, &[Endless(&[b'2'; 100])]),
        (
            "lines without end",
            SMTP,
            Down,
            &[Endless(b"220-and more\r\n")],
        ),
        ("silence", SMTP, Down, &[Stays]),
        ("zeros", SMTP, Down, &[Says(&[0; 2000])]),
        ("not now", SMTP, Down, &[Says(b"421 not now\r\n")]),
        (
            "no answer to HELO",
            SMTP,
            Down,
            &[Says(b"220 hi\r\n"), Hears, Stays],
        ),
        (
            "no answer to QUIT",
            SMTP,
            Down,
            &[Says(b"220 hi\r\n"), Hears, Says(b"250 hi\r\n"), Hears],
        ),
        ("reset at once", SMTP, Down, &[Resets]),
        (
            "reset for an answer",
            SMTP,
            Down,
            &[Says(b"220 hi\r\n"), Hears, Resets],
        ),
        (
            "reset for a farewell",
            SMTP,
            Down,
            &[
                Says(b"220 hi\r\n"),
                Hears,
                Says(b"250 hi\r\n"),
                Hears,
                Resets,
            ],
        ),
        (
            "half an answer",
            SMTP,
            Down,
            &[Says(b"220 hi\r\n"), Hears, Says(b"25"), Stays],
        ),
    ];

    const DNS: &str = "DNS_CHECK {\ntype A\nname www.example.com";
    const ANSWER: &str =
        "UDP_CHECK {\nrequire_reply 61 62 63\nmin_reply_length 2\nmax_reply_length 4";

    /// What a server makes of a datagram; in an answer to a question the first two octets are its identifier.
    type Answers = fn(&[u8]) -> Vec<Vec<u8>>;

    /// Header with these flags, the question, and an answer whose name points at itself.
    fn answered(question: &[u8], flags: [u8; 2]) -> Vec<u8> {
        let mut all = question.to_vec();
        all[2..4].copy_from_slice(&flags);
        let at = all.len();
        let pointer = 0xc000 | u16::try_from(at).unwrap_or(0);
        all.extend(pointer.to_be_bytes());
        all.extend([0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1]);
        all
    }

    fn other_id(question: &[u8]) -> Vec<u8> {
        let mut all = answered(question, [0x81, 0x80]);
        all[0] ^= 0xff;
        all
    }

    const UDP: &[(&str, &str, Verdict, Answers)] = &[
        ("names that point at themselves", DNS, Up, |q| {
            vec![answered(q, [0x81, 0x80])]
        }),
        ("another identifier first", DNS, Up, |q| {
            vec![other_id(q), vec![], answered(q, [0x81, 0x80])]
        }),
        ("another identifier", DNS, Down, |q| vec![other_id(q); 50]),
        ("the question again", DNS, Down, |q| vec![q.to_vec()]),
        ("cut short", DNS, Down, |q| {
            vec![answered(q, [0x81, 0x80])[..11].to_vec(), q[..2].to_vec()]
        }),
        ("server failure", DNS, Down, |q| {
            vec![answered(q, [0x81, 0x82])]
        }),
        ("nothing in it", DNS, Down, |_| vec![vec![]; 20]),
        ("silence", DNS, Down, |_| vec![]),
        ("silence", "UDP_CHECK {", Up, |_| vec![]),
        ("a flood", "UDP_CHECK {", Up, |_| vec![vec![7; 1400]; 200]),
        ("the answer", ANSWER, Up, |_| vec![b"abc".to_vec()]),
        ("silence", ANSWER, Down, |_| vec![]),
        ("other octets", ANSWER, Down, |_| vec![b"abd".to_vec()]),
        ("too short", ANSWER, Down, |_| vec![b"a".to_vec()]),
        ("too long", ANSWER, Down, |_| vec![b"abcde".to_vec()]),
        ("nothing in it", ANSWER, Down, |_| vec![vec![]]),
    ];

    /// Name of the script, verdict, text.
    const SCRIPTS: &[(&str, Verdict, &str)] = &[
        (
            "says-much",
            Up,
            "head -c 300000 /dev/zero\nhead -c 300000 /dev/zero >&2\nexit 0",
        ),
        ("leaves-somebody-behind", Up, "sleep 2 &\nexit 0"),
        ("kills-itself", Down, "kill -SEGV $$"),
        (
            "does-not-end",
            Down,
            "trap '' TERM\nwhile :; do sleep 1; done",
        ),
        ("fails", Down, "exit 255"),
    ];

    /// Name of the file, verdict of `weight 0`, content.
    const FILES: &[(&str, Verdict, &str)] = &[
        ("words", Up, "no number\n"),
        ("zero", Up, "0"),
        ("number", Down, "  7 and more"),
    ];

    /// A connection, as it is or by TLS.
    trait Stream: Read + Write {
        fn socket(&self) -> &TcpStream;
    }

    impl Stream for TcpStream {
        fn socket(&self) -> &TcpStream {
            self
        }
    }

    impl Stream for SslStream<TcpStream> {
        fn socket(&self) -> &TcpStream {
            self.get_ref()
        }
    }

    /// What a server needs that talks TLS.
    fn acceptor() -> SslAcceptor {
        let (key, cert) = crate::servers::identity("hostile").expect("a key and a certificate");
        let made = || {
            let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
            acceptor.set_private_key(&key)?;
            acceptor.set_certificate(&cert)?;
            Ok::<_, openssl::error::ErrorStack>(acceptor.build())
        };
        made().expect("an acceptor")
    }

    /// A server's whole life with one client.
    fn talk(stream: TcpStream, steps: &[Step], tls: &SslAcceptor) {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(700)));
        let mut stream: Box<dyn Stream> = Box::new(stream);
        let mut some = [0; 4096];
        for step in steps {
            let going = match *step {
                Shakes => {
                    let plain = stream.socket().try_clone();
                    let shaken = plain.ok().and_then(|plain| tls.accept(plain).ok());
                    let Some(shaken) = shaken else { return };
                    stream = Box::new(shaken);
                    true
                }
                Says(text) => stream.write_all(text).is_ok(),
                Drips(text) => text.iter().all(|octet| {
                    std::thread::sleep(Duration::from_millis(10));
                    stream.write_all(&[*octet]).is_ok()
                }),
                // Whatever it is, and not for ever.
                Hears => {
                    let _ = stream.read(&mut some);
                    true
                }
                Endless(text) => {
                    while stream.write_all(text).is_ok() {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    false
                }
                Stays => {
                    let _ = stream.socket().set_read_timeout(None);
                    while stream.read(&mut some).is_ok_and(|n| n > 0) {}
                    false
                }
                Resets => {
                    let _ = SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO));
                    return;
                }
                Ends => stream.socket().shutdown(Shutdown::Write).is_ok(),
            };
            if !going {
                return;
            }
        }
    }

    const FIRST_TCP: u16 = 2000;
    const FIRST_UDP: u16 = 3000;
    const FIRST_SCRIPT: u16 = 4000;
    const FIRST_FILE: u16 = 5000;
    const FIRST_PING: u16 = 6000;

    /// Connections so far.
    static SERVED: AtomicUsize = AtomicUsize::new(0);

    fn serve(world: &World) {
        let ns = world.server(11);
        let tls = Arc::new(acceptor());
        for (n, (.., steps)) in (FIRST_TCP..).zip(TCP) {
            let listener = ns.run(|| TcpListener::bind(("0.0.0.0", n)));
            let listener = listener.expect("a port of a namespace of ours");
            let tls = Arc::clone(&tls);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    SERVED.fetch_add(1, Ordering::Relaxed);
                    let tls = Arc::clone(&tls);
                    std::thread::spawn(move || talk(stream, steps, &tls));
                }
            });
        }
        for (n, (.., answers)) in (FIRST_UDP..).zip(UDP) {
            let socket = ns.run(|| UdpSocket::bind(("0.0.0.0", n)));
            let socket = socket.expect("a port of a namespace of ours");
            std::thread::spawn(move || {
                let mut some = [0; 2048];
                while let Ok((len, from)) = socket.recv_from(&mut some) {
                    for answer in answers(&some[..len]) {
                        // The client may be gone.
                        let _ = socket.send_to(&answer, from);
                    }
                }
            });
        }
    }

    /// Every case: number (the port of its virtual server), name, verdict.
    struct Case {
        number: u16,
        name: String,
        verdict: Verdict,
        /// Until when the verdict has come.
        limit: Duration,
    }

    /// The first check, a retry, a second for the connection and for each step: ten seconds, and four times that on a machine
    /// that is slow. Who waits without end is found all the same.
    const SOON: Duration = Duration::from_secs(50);
    /// Thirty times `connect_timeout` is the longest that a page may take, and a retry.
    const LATE: Duration = Duration::from_secs(100);
    /// Rounds of all, on such a machine.
    const ROUNDS: Duration = Duration::from_secs(180);

    fn conf(dir: &Path) -> (String, Vec<Case>) {
        let mut conf = String::from("global_defs {\nscript_user root\n}\n");
        let mut cases = Vec::new();
        for (file, _, text) in FILES {
            fs::write(dir.join(file), text).expect("our own directory");
        }
        // Nobody ever writes into it.
        mkfifo(&dir.join("pipe"), Mode::S_IRWXU).expect("our own directory");
        let files = FILES.iter().map(|(file, verdict, _)| (*file, *verdict));
        let files: Vec<_> = files
            .chain([("pipe", Up), (".", Up), ("missing", Up)])
            .collect();
        for (n, (file, _)) in files.iter().enumerate() {
            let path = dir.join(file);
            let _ = write!(
                conf,
                "track_file f{n} {{\nfile {}\nweight 0\n}}\n",
                path.display()
            );
        }
        let mut add = |number: u16, name: String, verdict: Verdict, server: u8, checker: &str| {
            // Who begins in the table leaves it by a failure only, who begins outside comes in by a success only.
            let alpha = match verdict {
                Up if checker.starts_with("FILE") => "",
                Up => "alpha\n",
                Down => "",
            };
            let _ = write!(
                conf,
                "virtual_server 10.1.1.200 {number} {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\ndelay_loop 1\nretry 1
delay_before_retry 1\nwarmup 0\n{alpha}real_server 10.1.1.{server} {number} {{\n{checker}\n}}\n}}\n"
            );
            cases.push(Case {
                number,
                limit: if name == "endless body" { LATE } else { SOON },
                name: format!("{checker}: {name}"),
                verdict,
            });
        };
        for (n, (name, checker, verdict, _)) in (FIRST_TCP..).zip(TCP) {
            add(
                n,
                (*name).into(),
                *verdict,
                11,
                &format!("{checker}\nconnect_timeout 1\n}}"),
            );
        }
        for (n, (name, checker, verdict, _)) in (FIRST_UDP..).zip(UDP) {
            add(
                n,
                (*name).into(),
                *verdict,
                11,
                &format!("{checker}\nconnect_timeout 1\n}}"),
            );
        }
        for (n, (name, verdict, text)) in (FIRST_SCRIPT..).zip(SCRIPTS) {
            let path = dir.join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("our own directory");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("our own file");
            let checker = format!(
                "MISC_CHECK {{\nmisc_path {}\nmisc_timeout 3\n}}",
                path.display()
            );
            add(n, (*name).into(), *verdict, 11, &checker);
        }
        for (n, (file, verdict)) in files.iter().enumerate() {
            let number = FIRST_FILE + u16::try_from(n).unwrap_or(0);
            let checker = format!("FILE_CHECK {{\ntrack_file f{n}\nweight 0\n}}");
            add(number, (*file).into(), *verdict, 11, &checker);
        }
        // Nobody there; there, and deaf; no port there; what it says is lost on the way.
        let deaf = "PING_CHECK {\nconnect_timeout 1\n}";
        add(FIRST_PING, "nobody there".into(), Down, 99, deaf);
        add(FIRST_PING + 1, "deaf".into(), Down, 12, deaf);
        add(FIRST_PING + 2, "answers".into(), Up, 11, deaf);
        for (n, (checker, server)) in [
            (HTTP, 99),
            (SSL, 99),
            (SMTP, 99),
            ("TCP_CHECK {", 99),
            (DNS, 99),
        ]
        .iter()
        .chain(&[
            (HTTP, 12),
            (SMTP, 12),
            ("TCP_CHECK {", 12),
            (DNS, 12),
            ("UDP_CHECK {", 12),
            (HTTP, 13),
            (SSL, 13),
            (SMTP, 13),
            ("TCP_CHECK {", 13),
            (DNS, 13),
            (ANSWER, 13),
            ("PING_CHECK {", 13),
        ])
        .enumerate()
        {
            let number = FIRST_PING + 10 + u16::try_from(n).unwrap_or(0);
            let checker = format!("{checker}\nconnect_timeout 1\n}}");
            add(
                number,
                format!("nothing at {server}"),
                Down,
                *server,
                &checker,
            );
        }
        (conf, cases)
    }

    /// The cases that are not as they should be.
    fn wrong<'a>(world: &World, cases: &'a [Case]) -> Vec<&'a str> {
        let rules = world.rules();
        let wrong = cases.iter().filter(|case| {
            let of = format!("-t 10.1.1.200:{} -r ", case.number);
            rules.iter().any(|r| r.starts_with(&of)) != (case.verdict == Up)
        });
        wrong.map(|case| case.name.as_str()).collect()
    }

    /// Open files, and KiB of memory.
    fn kept(daemon: &Daemon) -> (usize, u64) {
        let pid = daemon.pid();
        let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let memory = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
        (files, memory.unwrap_or(0))
    }

    pub(super) fn whatever_servers_do_the_verdict_is_right_and_nothing_is_kept() {
        let world = World::new(&[11, 12, 13]);
        serve(&world);
        world.server(13).ip("route add blackhole 10.1.1.160/32");
        world
            .server(12)
            .sysctl("net/ipv4/icmp_echo_ignore_all", "1");
        let dir = world.configure("");
        let (conf, cases) = conf(dir.parent().expect("a directory"));
        let mut daemon = world.start(OURS, &conf, &["-C"]);
        let as_they_should = || {
            until_or(
                || format!("wrong: {:#?}\n{}", wrong(&world, &cases), daemon.log()),
                LIMIT,
                || wrong(&world, &cases).is_empty().then_some(()),
            );
        };
        let began = Instant::now();
        let mut late: Vec<&Case> = cases.iter().collect();
        until_or(
            || format!("wrong: {:#?}\n{}", wrong(&world, &cases), daemon.log()),
            LATE * 2,
            || {
                let wrong = wrong(&world, &cases);
                late.retain(|case| wrong.contains(&case.name.as_str()));
                let late = late.iter().find(|case| began.elapsed() > case.limit);
                let late = late.map(|case| &case.name);
                assert!(late.is_none(), "{late:?} in vain\n{}", daemon.log());
                wrong.is_empty().then_some(())
            },
        );
        let before = kept(&daemon);
        // Many more rounds of all of them.
        let more = SERVED.load(Ordering::Relaxed) + 12 * TCP.len();
        until_or(
            || format!("no check goes on\n{}", daemon.log()),
            ROUNDS,
            || (SERVED.load(Ordering::Relaxed) > more).then_some(()),
        );
        as_they_should();
        // How many checks are on their way differs from moment to moment; what is kept does not go away.
        let after = until_or(
            || format!("open files: {before:?}, then {:?}", kept(&daemon)),
            LIMIT,
            || {
                Some(kept(&daemon))
                    .filter(|after| after.0 <= before.0 + 20 && after.0 <= cases.len() + 40)
            },
        );
        assert!(
            after.1 <= before.1 + 1024,
            "memory: {before:?}, then {after:?}"
        );
        assert!(daemon.stop().success(), "{}", daemon.log());
        assert_eq!(world.rules(), [""; 0]);
    }
}
