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

mod story {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};

    use openssl::error::ErrorStack;

    use crate::lab::daemon::Daemon;
    use crate::lab::ns::Namespace;
    use crate::world::{OURS, STOCK, World};

    const CONF: &str = "\
virtual_server 10.1.1.201 80 {
  delay_loop 1
  lb_algo rr
  lb_kind NAT
  protocol TCP
  real_server 10.1.1.11 80 {
    HTTP_GET {
      url {
        path /
        status_code 200
      }
      url {
        path /nowhere
        status_code 404
      }
      connect_timeout 5
      retry 0
    }
  }
}
virtual_server 10.1.1.202 443 {
  delay_loop 1
  lb_algo rr
  lb_kind NAT
  protocol TCP
  real_server 10.1.1.11 443 {
    SSL_GET {
      enable_sni
      url {
        path /
        status_code 200
        virtualhost www.example.com
      }
      connect_timeout 5
      retry 0
    }
  }
}
virtual_server 10.1.1.204 53 {
  delay_loop 1
  lb_algo rr
  lb_kind NAT
  protocol UDP
  real_server 10.1.1.12 53 {
    DNS_CHECK {
      type A
      name ok.test
      connect_timeout 5
      retry 0
    }
  }
}
virtual_server 10.1.1.205 53 {
  delay_loop 1
  lb_algo rr
  lb_kind NAT
  protocol UDP
  real_server 10.1.1.12 53 {
    UDP_CHECK {
      connect_timeout 5
      retry 0
    }
  }
}
virtual_server 10.1.1.206 80 {
  delay_loop 1
  lb_algo rr
  lb_kind NAT
  protocol TCP
  real_server 10.1.1.12 80 {
    PING_CHECK {
      connect_timeout 5
      retry 0
    }
  }
}
virtual_server 10.1.1.207 25 {
  delay_loop 1
  lb_algo rr
  lb_kind NAT
  protocol TCP
  real_server 10.1.1.12 25 {
    SMTP_CHECK {
      connect_timeout 5
      retry 0
    }
  }
}
";

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
        let write = |name: &str, text: &[u8]| {
            let path = dir.join(name);
            fs::write(&path, text).expect("our own directory");
            path
        };
        write("key.pem", &key);
        write("cert.pem", &cert);
        write("index.html", b"it works\n");
        let d = dir.display();
        let text = format!(
            "daemon off;\nmaster_process off;\nuser root;\npid {d}/nginx.pid;\nerror_log {d}/error.log;
events {{ }}\nhttp {{\naccess_log off;\nclient_body_temp_path {d}/t1;\nproxy_temp_path {d}/t2;\nfastcgi_temp_path {d}/t3;
uwsgi_temp_path {d}/t4;\nscgi_temp_path {d}/t5;\nserver {{\nlisten 80;\nlisten 443 ssl;
ssl_certificate {d}/cert.pem;\nssl_certificate_key {d}/key.pem;\nroot {d};\n}}\n}}\n"
        );
        write("nginx.conf", text.as_bytes())
    }

    pub(super) fn checkers_say_of_real_servers_what_stock_says() {
        for binary in [STOCK, OURS] {
            let world = World::new(&[11, 12]);
            let dir = world
                .configure("")
                .parent()
                .expect("a directory")
                .to_owned();
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
            let daemon = world.start(binary, CONF, &["-C"]);
            // By last octet: who is in the table.
            let expect = |what: &str, daemon: &Daemon, up: &[u8]| {
                let of = |vs: u8| match vs {
                    201 => ("-t", 80, "11:80"),
                    202 => ("-t", 443, "11:443"),
                    206 => ("-t", 80, "12:80"),
                    207 => ("-t", 25, "12:25"),
                    _ => ("-u", 53, "12:53"),
                };
                let mut rules = Vec::new();
                for vs in [201, 202, 204, 205, 206, 207] {
                    let (kind, port, server) = of(vs);
                    rules.push(format!("{kind} 10.1.1.{vs}:{port} -s rr"));
                    if up.contains(&vs) {
                        rules.push(format!(
                            "{kind} 10.1.1.{vs}:{port} -r 10.1.1.{server} -m -w 1"
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
            expect("all serve", &daemon, &[201, 202, 204, 205, 206, 207]);
            drop(first);
            expect("the web is dead", &daemon, &[204, 205, 206, 207]);
            let first = web();
            expect("the web is back", &daemon, &[201, 202, 204, 205, 206, 207]);
            drop(second);
            expect("names and mail are dead", &daemon, &[201, 202, 206]);
            let _second = (names(), mail());
            expect("all are back", &daemon, &[201, 202, 204, 205, 206, 207]);
            // The machine itself is gone, and with it its echo.
            world.server(12).ip("link set eth0 down");
            expect("one machine is dead", &daemon, &[201, 202]);
            world.server(12).ip("link set eth0 up");
            world.server(12).ip("route replace default via 10.1.1.160");
            expect("it is back", &daemon, &[201, 202, 204, 205, 206, 207]);
            drop(first);
        }
    }
}
