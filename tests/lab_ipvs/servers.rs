//! Checkers against servers that people run: nginx, in clear and by TLS, dnsmasq, OpenSMTPD, and the kernel's own echo.

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509NameBuilder};

/// A key, and a certificate that nobody has signed but itself.
///
/// # Errors
/// No randomness to be had.
pub(crate) fn identity(name: &str) -> Result<(PKey<Private>, X509), ErrorStack> {
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_text("CN", name)?;
    let subject = subject.build();
    let mut cert = X509::builder()?;
    cert.set_version(2)?;
    cert.set_subject_name(&subject)?;
    cert.set_issuer_name(&subject)?;
    cert.set_pubkey(&key)?;
    cert.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    cert.set_not_after(Asn1Time::days_from_now(1)?.as_ref())?;
    cert.sign(&key, MessageDigest::sha256())?;
    Ok((key, cert.build()))
}

crate::guests! {
    checkers_say_of_real_servers_what_stock_says
}

pub(crate) mod story {
    use std::fmt::Write as _;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};

    use openssl::error::ErrorStack;

    use crate::lab::daemon::Daemon;
    use crate::lab::ns::Namespace;
    use crate::lab::poll;
    use crate::world::{LIMIT, OURS, STOCK, World};

    /// Who has to be there for a virtual server to have its real server.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Needs {
        Web,
        /// Names and mail.
        Names,
        Machine,
        Nobody,
        /// What is asked for cannot be had.
        Miracle,
    }
    use Needs::{Machine, Miracle, Names, Nobody, Web};

    /// Last octet, protocol, port, last octet of the real server.
    type At = (u8, &'static str, u16, u8);

    /// What a virtual server needs, and its checker; `COMMON`: the options that all connections have.
    const SERVERS: &[(At, Needs, &str)] = &[
        (
            (201, "TCP", 80, 11),
            Web,
            "HTTP_GET {; url {; path /; status_code 200; }; url {; path /nowhere; status_code 404; }; connect_timeout 5; retry 0; }",
        ),
        (
            (202, "TCP", 443, 11),
            Web,
            "SSL_GET {; enable_sni; url {; path /; status_code 200; virtualhost www.example.com; }; connect_timeout 5; retry 0; }",
        ),
        (
            (204, "UDP", 53, 12),
            Names,
            "DNS_CHECK {; type A; name ok.test; connect_timeout 5; retry 0; }",
        ),
        (
            (205, "UDP", 53, 12),
            Names,
            "UDP_CHECK {; connect_timeout 5; retry 0; }",
        ),
        (
            (206, "TCP", 80, 12),
            Machine,
            "PING_CHECK {; connect_timeout 5; retry 0; }",
        ),
        (
            (207, "TCP", 25, 12),
            Names,
            "SMTP_CHECK {; connect_timeout 5; retry 0; }",
        ),
        // By another way, and with all that may be asked of a page.
        (
            (208, "TCP", 81, 11),
            Web,
            "HTTP_GET {; COMMON 11 80; http_protocol 1.1; enable_sni; sni_name www.example.com; nb_get_retry 1; virtualhost www.example.com; fast_recovery; url {; path /index.html; status_code 100-199 200 204-299; digest 6f5902ac237024bdd0c176cb93063dc4; }; url {; path /; virtualhost other.example; regex \"W.RLD\"; regex_options caseless dotall; regex_stack 1024 65536; }; url {; path /; regex nowhere; regex_no_match; }; url {; path /gone; status_code 400-499; }; }",
        ),
        (
            (209, "TCP", 82, 11),
            Web,
            "SSL_GET {; COMMON 11 443; http_protocol 1.0C; enable_sni; virtualhost www.example.com; fast_recovery; url {; path /; digest 6f5902ac237024bdd0c176cb93063dc4; status_code 200; }; url {; path /; virtualhost other.example; regex wor; regex_options utf; }; url {; path /; regex nowhere; regex_no_match; regex_stack 1024 65536; tls_compliant; }; }",
        ),
        // Nobody is let in who shows no certificate.
        (
            (210, "TCP", 444, 11),
            Web,
            "SSL_GET {; url {; path /; status_code 200; }; connect_timeout 5; nb_get_retry 1; tls_compliant; sni_name www.example.com; }",
        ),
        (
            (211, "TCP", 83, 12),
            Names,
            "SMTP_CHECK {; COMMON 12 25; helo_name me.example; }",
        ),
        (
            (212, "UDP", 54, 12),
            Names,
            "DNS_CHECK {; COMMON 12 53; bind_port 5054; type TXT; name said.test; }",
        ),
        // Who has ok.test: the answer to this very question.
        (
            (213, "UDP", 55, 12),
            Names,
            "UDP_CHECK {; COMMON 12 53; bind_port 5055; payload 12340100 00010000 00000000 02 6f6b 04 74657374 00 0001 0001; require_reply 1234 8XXX 0001 0001; min_reply_length 12; max_reply_length 200; }",
        ),
        (
            (214, "TCP", 84, 12),
            Machine,
            "PING_CHECK {; COMMON 12 7; bind_port 5056; }",
        ),
        ((215, "TCP", 85, 12), Names, "TCP_CHECK {; COMMON 12 25; }"),
        (
            (216, "TCP", 86, 11),
            Nobody,
            "MISC_CHECK {; misc_path DIR/who.sh; misc_timeout 5; misc_dynamic; user nobody; retry 1; delay_before_retry 1; warmup 0; delay_loop 1; alpha; log_all_failures; }",
        ),
        (
            (217, "TCP", 87, 11),
            Nobody,
            "FILE_CHECK {; track_file none; weight 0; }",
        ),
        (
            (218, "TCP", 88, 11),
            Miracle,
            "FILE_CHECK {; track_file one; weight 0; }",
        ),
        (
            (219, "TCP", 80, 11),
            Miracle,
            "HTTP_GET {; url {; path /; status_code 300-399; }; connect_timeout 5; retry 0; }",
        ),
        (
            (220, "TCP", 80, 11),
            Miracle,
            "HTTP_GET {; url {; path /; digest 00000000000000000000000000000000; }; connect_timeout 5; retry 0; }",
        ),
        (
            (221, "TCP", 80, 11),
            Miracle,
            "HTTP_GET {; url {; path /; regex \"mars\"; }; connect_timeout 5; retry 0; }",
        ),
        (
            (222, "UDP", 53, 12),
            Miracle,
            "DNS_CHECK {; type MX; name nobody.example; connect_timeout 5; retry 0; }",
        ),
        (
            (223, "UDP", 53, 12),
            Miracle,
            "UDP_CHECK {; connect_timeout 1; payload 12340100 00010000 00000000 02 6f6b 04 74657374 00 0001 0001; require_reply 1235; retry 0; }",
        ),
        (
            (224, "TCP", 86, 11),
            Miracle,
            "MISC_CHECK {; misc_path \"/bin/sh -c 'kill -9 $$'\"; retry 0; }",
        ),
        // By addresses that only mean something on one interface.
        (
            (225, "TCP", 80, 11),
            Web,
            "TCP_CHECK {; connect_ip fe80::11; bind_if eth0; connect_timeout 5; retry 0; }",
        ),
        (
            (226, "TCP", 80, 11),
            Web,
            "HTTP_GET {; connect_ip fe80::11; bindto fe80::160; bind_if eth0; url {; path /; status_code 200; }; connect_timeout 5; retry 0; }",
        ),
        (
            (227, "UDP", 53, 12),
            Names,
            "DNS_CHECK {; connect_ip fe80::12; bind_if eth0; type A; name ok.test; connect_timeout 5; retry 0; }",
        ),
    ];

    /// For all of them, with files in `dir`.
    pub(crate) fn conf(dir: &Path) -> String {
        let dir = dir.display().to_string();
        let mut conf = String::from(
"global_defs {\nscript_user root\nchecker_log_all_failures\n}\nSSL {\npassword secret\nca DIR/cert.pem
certificate DIR/client.pem\nkey DIR/client.key\n}\ntrack_file none {\nfile DIR/none\nweight 1\n}\ntrack_file one {\nfile DIR/one\nweight 1\n}\n",
);
        for ((last, protocol, port, server), _, checker) in SERVERS {
            let mut lines = String::new();
            for line in checker.split(';').map(str::trim) {
                lines += &match line.strip_prefix("COMMON ") {
                    None => format!("{line}\n"),
                    Some(to) => {
                        let (last, port) = to.split_once(' ').expect("address and port");
                        format!(
                            "connect_ip 10.1.1.{last}\nconnect_port {port}\nbindto 10.1.1.160\nbind_if eth0\nfwmark 3
retry 1\ndelay_before_retry 1\nwarmup 0\ndelay_loop 1\nalpha\nlog_all_failures\nconnect_timeout 5\n"
                        )
                    }
                };
            }
            let _ = write!(
                conf,
                "virtual_server 10.1.1.{last} {port} {{\ndelay_loop 1\nlb_algo rr\nlb_kind NAT\nprotocol {protocol}
real_server 10.1.1.{server} {port} {{\n{lines}}}\n}}\n"
            );
        }
        conf.replace("DIR", &dir)
    }

    /// One program, killed at the end.
    struct Running(Child);

    impl Running {
        fn start(ns: &Namespace, program: &str, args: &[&str]) -> Self {
            let mut command = Command::new(program);
            command.args(args).stdin(Stdio::null());
            let child = ns.spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
            Self(child.unwrap_or_else(|e| panic!("{program} is installed: {e}")))
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A page, a certificate and how nginx serves both.
    fn site(dir: &Path) -> PathBuf {
        let pem = |who: &str| {
            let (key, cert) = super::identity(who)?;
            Ok::<_, ErrorStack>((key.private_key_to_pem_pkcs8()?, cert.to_pem()?))
        };
        let (key, cert) = pem("server").expect("a key and a certificate");
        let (client, shown) = super::identity("client").expect("another pair");
        let cipher = openssl::symm::Cipher::aes_128_cbc();
        let client = client.private_key_to_pem_pkcs8_passphrase(cipher, b"secret");
        let write = |name: &str, text: &[u8]| {
            let path = dir.join(name);
            fs::write(&path, text).expect("our own directory");
            path
        };
        write("key.pem", &key);
        write("cert.pem", &cert);
        write("client.key", &client.expect("its key"));
        write("client.pem", &shown.to_pem().expect("itself"));
        write("index.html", b"hello world\n");
        write("none", b"0\n");
        write("one", b"1\n");
        let d = dir.display();
        let text = format!(
            "daemon off;\nmaster_process off;\nuser root;\npid {d}/nginx.pid;\nerror_log {d}/error.log;
events {{ }}\nhttp {{\naccess_log off;\nclient_body_temp_path {d}/t1;\nproxy_temp_path {d}/t2;\nfastcgi_temp_path {d}/t3;
uwsgi_temp_path {d}/t4;\nscgi_temp_path {d}/t5;\nserver {{\nlisten 80;\nlisten [::]:80;\nlisten 443 ssl;
ssl_certificate {d}/cert.pem;\nssl_certificate_key {d}/key.pem;\nroot {d};\n}}\nserver {{\nlisten 444 ssl;
ssl_verify_client on;\nssl_client_certificate {d}/client.pem;
ssl_certificate {d}/cert.pem;\nssl_certificate_key {d}/key.pem;\nroot {d};\n}}\n}}\n"
        );
        write("nginx.conf", text.as_bytes())
    }

    /// How a command ends, and what it says.
    type Said = (Option<i32>, String, String);

    fn said(world: &World, binary: &str, args: &str) -> Said {
        let mut command = Command::new(binary);
        command.arg("--genhash").args(args.split_whitespace());
        let out = world.director.run(|| command.output());
        let out = out.expect("it is installed");
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let usage = text(&out.stderr).replace(binary, "BINARY");
        (out.status.code(), text(&out.stdout), usage)
    }

    fn without_time(mut said: Said) -> Said {
        let lines = said.1.lines().map(|l| match l.split_once(" = ") {
            Some((what, _)) if what.contains("time") => what,
            Some(_) | None => l,
        });
        said.1 = lines.collect::<Vec<_>>().join("\n");
        said
    }

    /// `genhash`: of ours and of stock.
    fn digests(world: &World) {
        for args in [
            "-s 10.1.1.11 -p 80 -u /",
            "-s 10.1.1.11 -p 80 -u /nowhere",
            "--server 10.1.1.11 --port 80 --url / --use-virtualhost www.example.com --protocol 1.1",
            "-s 10.1.1.11 -p 80 -u / -P 1.0c -m 5 -t 5",
            "-s 10.1.1.11 -p 80 -u /nowhere -u /index.html -P 1.0C",
            "-S -s 10.1.1.11 -p 443 -u /",
            "-S -I -V www.example.com -s 10.1.1.11 -p 443 -u / -P 1.1",
            "-s 10.1.1.11 -p 9 -u /",
            "-S -s 10.1.1.11 -p 9 -u /",
            "-s 10.1.1.11 -p 80",
            "-h",
        ] {
            let [stock, ours] = [STOCK, OURS].map(|binary| said(world, binary, args));
            assert_eq!(ours, stock, "ours, then stock's: {args}");
        }
        // What differs from second to second: the server's clock, and how long it took.
        for args in [
            "-v -s 10.1.1.11 -p 80 -u /",
            "-v -S -I -V www.example.com -s 10.1.1.11 -p 443 -u / -P 1.1",
        ] {
            let mut both = Vec::new();
            let same = poll(LIMIT, || {
                both = [STOCK, OURS]
                    .map(|b| without_time(said(world, b, args)))
                    .into();
                (both[0] == both[1]).then_some(())
            });
            assert!(same.is_some(), "ours, then stock's: {args}: {both:#?}");
            assert!(both[1].1.contains("68 65 6c 6c 6f"), "{both:#?}");
        }
        let (_, out, _) = said(world, OURS, "-s 10.1.1.11 -p 80 -u /");
        assert_eq!(out, "6f5902ac237024bdd0c176cb93063dc4\n");
    }

    pub(super) fn checkers_say_of_real_servers_what_stock_says() {
        for binary in [STOCK, OURS] {
            let world = World::new(&[11, 12]);
            let dir = world
                .configure("")
                .parent()
                .expect("a directory")
                .to_owned();
            let local = |ns: &Namespace, last: u8| {
                ns.ip(&format!("addr replace fe80::{last}/64 dev eth0 nodad"));
            };
            local(&world.director, 160);
            local(world.server(11), 11);
            local(world.server(12), 12);
            // A kernel says no more often than once a second that nobody listens; here many ask.
            world.server(12).sysctl("net/ipv4/icmp_ratelimit", "0");
            let site = site(&dir).display().to_string();
            let web = || Running::start(world.server(11), "/usr/sbin/nginx", &["-c", &site]);
            let pid = format!("--pid-file={}/dnsmasq.pid", dir.display());
            let names = || {
                let args = [
                    "-k",
                    "-C",
                    "/dev/null",
                    "-R",
                    "-h",
                    "-u",
                    "root",
                    "-A",
                    "/ok.test/10.0.0.1",
                    "--txt-record=said.test,hello",
                    &pid,
                ];
                Running::start(world.server(12), "/usr/sbin/dnsmasq", &args)
            };
            let post = dir.join("smtpd.conf").display().to_string();
            let rules = "listen on 0.0.0.0 port 25 hostname mail.example\naction none relay\nmatch from any for any reject\n";
            fs::write(&post, rules.replace("none", "\"none\"")).expect("our own directory");
            // It asks for its own name first: in the guest, whose files are its own, that shall not take long.
            fs::write("/etc/resolv.conf", "nameserver 127.0.0.1\n").expect("a file of the guest");
            // It reads no file that others may write.
            fs::set_permissions(&post, fs::Permissions::from_mode(0o600)).expect("our own file");
            let mail = || Running::start(world.server(12), "/usr/sbin/smtpd", &["-d", "-f", &post]);
            let (first, second) = (web(), (names(), mail()));
            let who = dir.join("who.sh");
            fs::write(
                &who,
                "#!/bin/sh\n[ $(id -un) = nobody ] && exit 3\nexit 1\n",
            )
            .expect("our own directory");
            fs::set_permissions(&who, fs::Permissions::from_mode(0o755)).expect("our own file");
            let daemon = world.start(binary, &conf(&dir), &["-C"]);
            let expect = |what: &str, daemon: &Daemon, up: &[Needs]| {
                let mut rules = Vec::new();
                for ((last, protocol, port, server), needs, _) in SERVERS {
                    let kind = if *protocol == "UDP" { "-u" } else { "-t" };
                    rules.push(format!("{kind} 10.1.1.{last}:{port} -s rr"));
                    if up.contains(needs) || *needs == Nobody {
                        rules.push(format!(
                            "{kind} 10.1.1.{last}:{port} -r 10.1.1.{server}:{port} -m -w 1"
                        ));
                    }
                }
                let rules: Vec<_> = rules.iter().map(String::as_str).collect();
                world.wait_rules(&format!("{binary}: {what}"), daemon, &rules);
            };
            // What has been checked has been found good.
            for said in [
                "[10.1.1.11]:tcp:80",
                "[10.1.1.11]:tcp:443",
                "SMTP server [10.1.1.12]:tcp:25 succeed",
                "ICMP connection to [10.1.1.12]:tcp:80 success",
            ] {
                daemon.wait_log(said);
            }
            expect("all serve", &daemon, &[Web, Names, Machine]);
            if binary == OURS {
                digests(&world);
            }
            drop(first);
            expect("the web is dead", &daemon, &[Names, Machine]);
            let first = web();
            expect("the web is back", &daemon, &[Web, Names, Machine]);
            drop(second);
            expect("names and mail are dead", &daemon, &[Web, Machine]);
            let _second = (names(), mail());
            expect("all are back", &daemon, &[Web, Names, Machine]);
            // The machine itself is gone, and with it its echo.
            world.server(12).ip("link set eth0 down");
            expect("one machine is dead", &daemon, &[Web]);
            world.server(12).ip("link set eth0 up");
            local(world.server(12), 12);
            world.server(12).ip("route replace default via 10.1.1.160");
            expect("it is back", &daemon, &[Web, Names, Machine]);
            drop(first);
        }
    }
}
