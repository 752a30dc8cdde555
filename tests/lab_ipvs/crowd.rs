//! Hundreds of real servers that die in the same second and come back in another one: told as stock tells it, by as many
//! threads as one server needs, while VRRP in the same daemon goes on.

crate::guests! {
    hundreds_die_and_come_back_together
}

mod story {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, UdpSocket};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::Duration;

    use crate::lab::daemon::Daemon;
    use crate::lab::ns::Namespace;
    use crate::lab::until_or;
    use crate::world::{LIMIT, OURS, STOCK, Server, World};

    /// Real servers of each virtual server.
    const POOL: usize = 50;

    /// Between two looks: they take time from those who are looked at.
    const PACE: Duration = Duration::from_millis(200);

    /// Last octet, options of the virtual server, port of its real servers, their checker.
    const SERVERS: &[(u8, &str, u16, &str)] = &[
        (201, "", 8080, "TCP_CHECK {\nconnect_timeout 5"),
        (
            202,
            "quorum 25\nhysteresis 5\nquorum_up /bin/true\nquorum_down /bin/true",
            8081,
            "HTTP_GET {\nconnect_timeout 5\nurl {\npath /\nstatus_code 200\n}",
        ),
        (
            203,
            "quorum 50\nsorry_server 10.1.1.14 80",
            8080,
            "TCP_CHECK {\nconnect_timeout 5",
        ),
        (
            204,
            "quorum 15\ninhibit_on_failure",
            8082,
            "UDP_CHECK {\nconnect_timeout 1",
        ),
    ];

    fn conf(dir: &Path) -> String {
        let mut conf = format!(
            "global_defs {{\nrouter_id r1\nscript_user root\nlvs_notify_fifo {0}/fifo\nlvs_notify_fifo_script {0}/r.sh\n}}\n{1}",
            dir.display(),
            vrrp(255),
        );
        for (n, (vs, options, port, checker)) in SERVERS.iter().enumerate() {
            let _ = write!(
                conf,
                "virtual_server 10.1.1.{vs} 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\ndelay_loop 1\n{options}\n"
            );
            for rs in 1..=POOL {
                let _ = write!(
                    conf,
                    "real_server 10.77.{n}.{rs} {port} {{\nnotify_down /bin/true\n{checker}\nretry 0\nwarmup 0\n}}\n}}\n"
                );
            }
            conf += "}\n";
        }
        conf
    }

    fn vrrp(priority: u8) -> String {
        format!(
            "vrrp_instance V {{\nstate BACKUP\ninterface eth0\nvirtual_router_id 51\npriority {priority}\nadvert_int 2
virtual_ipaddress {{\n10.1.1.99/24\n}}\n}}\n"
        )
    }

    /// All real servers at once: whoever is asked in 10.77.0.0/16.
    struct Crowd {
        _listening: [Server; 2],
        /// It hears, and says nothing.
        _silent: UdpSocket,
    }

    impl Crowd {
        fn serve(director: &Namespace) -> Self {
            let listen = |port: u16| {
                let socket =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
                socket.set_reuse_address(true)?;
                socket.bind(&SocketAddr::from(([0, 0, 0, 0], port)).into())?;
                socket.listen(1024)?;
                std::io::Result::Ok(TcpListener::from(socket))
            };
            let serve = |port: u16| {
                let listener = director.run(|| listen(port));
                Server::start(listener.expect("a port of our own"), move |mut stream| {
                    if port == 8081 {
                        let _ = stream.read(&mut [0; 1024]);
                        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok\n");
                    }
                })
            };
            let silent = director.run(|| UdpSocket::bind("0.0.0.0:8082"));
            Self {
                _listening: [serve(8080), serve(8081)],
                _silent: silent.expect("a port of our own"),
            }
        }
    }

    /// Destinations, and the sum of their weights, by virtual server.
    fn pools(world: &World) -> Vec<(usize, u32)> {
        let table = world.glance();
        let of = |vs: u8| {
            // As the kernel writes it: 10.1.1.VS:80.
            let service = format!("TCP  0A0101{vs:02X}:0050");
            let dests = table.iter().filter(|l| l.starts_with(&service));
            let dests = dests.filter_map(|l| l.split_once("->"));
            let weight = |(_, dest): (&str, &str)| dest.split_whitespace().nth(2)?.parse().ok();
            let weights: Vec<u32> = dests.filter_map(weight).collect();
            (weights.len(), weights.iter().sum())
        };
        SERVERS.iter().map(|(vs, ..)| of(*vs)).collect()
    }

    /// What was told about each virtual server, in order. Which real server is first is left to chance, which is the
    /// one with which the quorum goes or comes is not.
    type Told = BTreeMap<u8, Vec<String>>;

    fn told(text: &str, of: impl Fn(&str) -> Option<String>) -> Told {
        let mut all = Told::new();
        for line in text.lines() {
            for (vs, ..) in SERVERS {
                if let (true, Some(line)) = (line.contains(&format!("[10.1.1.{vs}]")), of(line)) {
                    all.entry(*vs).or_default().push(line);
                }
            }
        }
        all
    }

    fn lines_of_fifo(dir: &Path) -> Told {
        let text = fs::read_to_string(dir.join("lines")).unwrap_or_default();
        told(&text, |line| {
            let words: Vec<_> = line.split_whitespace().collect();
            Some(format!("{} {}", words.first()?, words.last()?))
        })
    }

    fn lines_of_quorum(log: &str) -> Told {
        const ABOUT: [&str; 3] = ["quorum", "sorry server", "alive servers"];
        told(log, |line| {
            let about = ABOUT.iter().any(|a| line.contains(a));
            let (_, text) = line.split_once(": ")?;
            about.then(|| text.to_owned())
        })
    }

    /// Of all processes of the daemon.
    fn threads(daemon: &Daemon) -> usize {
        let count = |pid| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        count(daemon.pid())
    }

    pub(super) fn hundreds_die_and_come_back_together() {
        let all = POOL;
        let full = (all, 50);
        let seen = [STOCK, OURS].map(|binary| {
            let world = World::new(&[]);
            let director = &world.director;
            director.ip("route add local 10.77.0.0/16 dev lo");
            let dir = world
                .configure("")
                .parent()
                .expect("a directory")
                .to_owned();
            let script = dir.join("r.sh");
            let text = format!("#!/bin/sh\nexec cat \"$1\" >>{}/lines\n", dir.display());
            fs::write(&script, text).expect("our own directory");
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("our own file");
            // Another router: silence would make it master.
            let other = dir.join("other");
            fs::create_dir(&other).expect("our own directory");
            let backup = other.join("keepalived.conf");
            fs::write(&backup, vrrp(100)).expect("our own directory");
            let crowd = Crowd::serve(director);
            let daemon = world.start(binary, &conf(&dir), &[]);
            daemon.wait_log("(V) Entering MASTER STATE");
            let peer = Daemon::start(&world.client, Path::new(OURS), &other, 9, &backup, &[]);
            peer.wait_log("(V) Entering BACKUP STATE");
            let mut most = 0;
            let mut expect = |what: &str, wanted: [(usize, u32); 4], lines: usize| {
                until_or(
                    || {
                        let (pools, log) = (pools(&world), daemon.log());
                        let from = log.len().saturating_sub(4000);
                        format!("{binary}, {what}: {pools:?}\n{}", &log[from..])
                    },
                    LIMIT,
                    || {
                        std::thread::sleep(PACE);
                        most = most.max(threads(&daemon));
                        let told = lines_of_fifo(&dir).values().map(Vec::len).sum::<usize>();
                        (pools(&world) == wanted && told >= lines).then_some(())
                    },
                );
            };
            daemon.wait_log_times("success.", 3 * all);
            daemon.wait_log_times("succeed on service.", all);
            expect("all serve", [full; 4], 0);
            drop(crowd);
            // Each real server, and four quorums.
            let lines = 4 * all + 4;
            expect("none serves", [(0, 0), (0, 0), (1, 1), (all, 0)], lines);
            let _crowd = Crowd::serve(director);
            expect("all are back", [full; 4], 2 * lines);
            if binary == OURS {
                let silent = peer.log().contains("MASTER");
                assert!(!silent, "VRRP was late\n{}", peer.log());
                assert!(most <= 8, "{most} threads for {} checks", 4 * all);
            }
            (lines_of_fifo(&dir), lines_of_quorum(&daemon.log()))
        });
        let [stock, ours] = seen;
        assert_eq!(ours, stock, "ours, then stock's");
    }
}
