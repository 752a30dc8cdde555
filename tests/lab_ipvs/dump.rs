//! What USR1 writes about virtual servers that are served and checked, beside the file that keepalived 2.4.3 wrote for the
//! same configuration and the same real servers (tests/dumps/stock).

crate::guests! {
    the_file_of_the_checkers_is_that_of_stock_field_by_field
}

mod story {
    use std::fs;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::path::Path;

    use nix::sys::signal::Signal;

    use crate::lab::daemon::Daemon;
    use crate::lab::ns::Namespace;
    use crate::lab::{TempDir, until, until_or};
    use crate::world::{LIMIT, OURS};

    const STOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dumps/stock");

    /// Answers every connection on a thread, for as long as the guest lives.
    fn listen(rs: &Namespace, at: &str, answer: fn(TcpStream)) {
        let listener = rs.run(|| TcpListener::bind(at)).expect("a free port");
        std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    }

    fn http(stream: TcpStream) {
        let mut reader = BufReader::new(&stream);
        let mut request = String::new();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
            request += &line;
            line.clear();
        }
        let body = match request.split(' ').nth(1) {
            Some("/other") => "other\n",
            Some(_) | None => "hello\n",
        };
        let length = body.len();
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
        // Whoever does not wait for the answer does not want it.
        let _ = (&stream).write_all((head + body).as_bytes());
    }

    fn smtp(stream: TcpStream) {
        let mut say = &stream;
        let _ = say.write_all(b"220 rs ESMTP\r\n");
        for line in BufReader::new(&stream).lines().map_while(Result::ok) {
            let quit = line.to_uppercase().starts_with("QUIT");
            let word: &[u8] = if quit { b"221 bye\r\n" } else { b"250 ok\r\n" };
            let _ = say.write_all(word);
            if quit {
                return;
            }
        }
    }

    fn udp(rs: &Namespace, at: &str, answer: fn(&[u8]) -> Vec<u8>) {
        let socket = rs.run(|| UdpSocket::bind(at)).expect("a free port");
        std::thread::spawn(move || {
            let mut room = [0; 2048];
            while let Ok((n, from)) = socket.recv_from(&mut room) {
                let _ = socket.send_to(&answer(&room[..n]), from);
            }
        });
    }

    /// The question again, with one address for it.
    fn dns(question: &[u8]) -> Vec<u8> {
        let mut answer = question.to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        answer[6..8].copy_from_slice(&[0, 1]);
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
        answer
    }

    /// The network that the file was written in.
    fn network() -> [Namespace; 2] {
        let (director, rs) = (Namespace::new(), Namespace::new());
        for name in ["eth0", "eth1"] {
            director.ip(&format!("link add {name} type dummy"));
            director.ip(&format!("link set {name} up"));
        }
        director.ip("addr add 10.10.0.1/24 dev eth0");
        let path = rs.path();
        director.ip(&format!(
            "link add lb0 type veth peer name rs0 netns {path}"
        ));
        for (ns, interface, last) in [(&director, "lb0", 1), (&rs, "rs0", 11)] {
            ns.ip(&format!("link set {interface} up"));
            ns.ip(&format!("addr add 10.40.0.{last}/24 dev {interface}"));
            ns.ip(&format!("addr add fd40::{last}/64 dev {interface} nodad"));
        }
        for last in [12, 13, 19] {
            rs.ip(&format!("addr add 10.40.0.{last}/24 dev rs0"));
        }
        for last in [11, 13, 19] {
            listen(&rs, &format!("10.40.0.{last}:80"), http);
        }
        listen(&rs, "10.40.0.12:2525", smtp);
        udp(&rs, "10.40.0.11:53", dns);
        udp(&rs, "10.40.0.12:53", |_| b"pong".to_vec());
        [director, rs]
    }

    /// What differs from run to run, or is nobody's business.
    fn is_of_the_moment(line: &str) -> bool {
        [
            // of its libraries
            " libnftnl version",
            // keepalived: how many of the group's services count as alive, never put right in 2.4.3
            "     Alive: ",
            // of the script and the echo request that were last
            "   Last ",
            "     ICMP seq no",
            "     Last SSL error",
            // settings that are inherited by checkers, and that nobody asks once they are
            "   connection timeout = ",
            // between two evaluations only
            "   previous effective_weight = ",
            "     Reloaded = ",
            // keepalived: without the global setting
            "   Log all failures = ",
            // it tells what a script or a file adds now, which the effective weight tells
            "   Current weight = ",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    }

    /// What a server is like just now.
    fn is_state(line: &str) -> bool {
        let labels = [
            "quorum_state_up",
            "effective weight",
            "alive",
            "num failed checkers",
            "RS set",
            "Up",
            "Has run",
            "Retries iterations",
        ];
        let label = line.trim_start().split(" = ").next();
        label.is_some_and(|l| labels.contains(&l))
    }

    /// The lines that count. The virtual server that speaks TLS is left out: its certificate was another one. The states
    /// of that with a BFD_CHECK, too: its session was down, here none is run.
    fn lines(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        let (mut tls, mut bfd) = (false, false);
        for line in text.lines() {
            if line.starts_with(" VS ") || line.starts_with(" [") || line.starts_with("------<") {
                tls = line.contains("VIP = fd40::100") || line.contains("-> [fd40::11]");
                bfd = line.contains("[VSG]:0");
            }
            let of_bfd = bfd && is_state(line);
            if !tls && !of_bfd && !is_of_the_moment(line) {
                out.push(line.to_owned());
            }
        }
        // keepalived: where SMTP_CHECK has a host, there is another, broken one for the default address.
        if let Some(at) = out.iter().position(|l| l == "     Timeout = 0.000000") {
            let from = out[..at].iter().rposition(|l| l.starts_with(" [VSG]:0"));
            let to = out[at..].iter().position(|l| l.starts_with(" ["));
            if let (Some(from), Some(to)) = (from, to) {
                out.drain(from..at + to);
            }
        }
        out
    }

    pub(super) fn the_file_of_the_checkers_is_that_of_stock_field_by_field() {
        let [director, _rs] = network();
        let dir = TempDir::new();
        fs::write("/tmp/misc-good", "").expect("the guest's own");
        for name in ["cfile", "track"] {
            fs::write(format!("/run/ka-{name}"), "0\n").expect("the guest's own");
        }
        let conf = fs::read_to_string(format!("{STOCK}/main.conf")).expect("a file of the project");
        let conf = conf.replace(
            "include /etc/keepalived/extra.conf",
            "global_defs {\n json_version 2\n}",
        );
        let path = dir.path().join("keepalived.conf");
        fs::write(&path, conf).expect("our own directory");
        let mut daemon = Daemon::start(&director, Path::new(OURS), dir.path(), 1, &path, &["-C"]);
        daemon.wait_log("Startup complete");
        let wanted = fs::read_to_string(format!("{STOCK}/keepalived_check.data"));
        let wanted = lines(&wanted.expect("a file of the project"));
        let file = dir.path().join("keepalived_check.data");
        let got = std::cell::RefCell::new(Vec::new());
        // Until the last checker has had its turn.
        until_or(
            || {
                let got = got.borrow();
                let same = got.iter().zip(&wanted).take_while(|(g, w)| g == w).count();
                let few =
                    |lines: &[String]| lines[same..].iter().take(20).cloned().collect::<Vec<_>>();
                let (got, wanted) = (few(&got), few(&wanted));
                format!(
                    "after {same} lines {got:#?}\ninstead of {wanted:#?}\n{}",
                    daemon.log()
                )
            },
            LIMIT,
            || {
                let _ = fs::remove_file(&file);
                daemon.signal(Signal::SIGUSR1);
                let text = until("the file", LIMIT, || fs::read_to_string(&file).ok());
                *got.borrow_mut() = lines(&text);
                (*got.borrow() == wanted).then_some(())
            },
        );
        // As many files as stock has children with work.
        let bfd = fs::read_to_string(dir.path().join("keepalived_bfd.data"));
        assert!(bfd.is_ok_and(|text| text.contains(" BFD Instance = bfd_peer")));
        assert!(daemon.stop().success(), "{}", daemon.log());
    }
}
