//! Web servers that behave, and others that do not.

use std::cell::RefCell;
use std::rc::Rc;

use nix::errno::Errno;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::super::Check;
use super::super::testserver::{request, reset, run, says, tcp};
use super::*;

const SOON: Duration = Duration::from_secs(20);
const QUICK: Duration = Duration::from_millis(300);

fn url() -> Url {
    Url::new("/x")
}

fn regex(pattern: &str) -> Regex {
    Regex {
        pattern: pattern.into(),
        options: RegexOptions::default(),
        no_match: false,
        min_offset: 0,
        max_offset: None,
        stack: None,
    }
}

fn http(url: Url) -> Http {
    Http {
        tls: None,
        protocol: Protocol::V10,
        urls: vec![url],
        fast_recovery: false,
    }
}

async fn get(http: &Http, connect: &Connect, patience: Duration) -> Result<Good, Down> {
    let tools = Tools::new().expect("a runtime");
    let probe = http.probe(connect, patience, 0, &tools);
    tools.swarm.drive(probe).await
}

/// What a page with that url is worth when the server says `reply`.
fn verdict(url: Url, reply: &[u8]) -> Result<Good, Down> {
    let reply = reply.to_vec();
    run(async move {
        let server = tcp(move |s| says(s, reply.clone())).await;
        get(&http(url), &server, SOON).await
    })
}

const OK: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nhello world\n";
const BY_STATUS: Result<Good, Down> = Ok(Good::Page(Judged::Status, None));

fn bad(why: Bad) -> Result<Good, Down> {
    Err(Down::Http(why))
}

#[test]
fn requests_are_those_of_keepalived_octet_for_octet() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&seen);
        let server = tcp(move |mut s| {
            let keep = Rc::clone(&keep);
            async move {
                let came = request(&mut s).await;
                keep.borrow_mut().push(came);
            }
        })
        .await;
        let at = server.target;
        for (protocol, host) in [
            (Protocol::V10, None),
            (Protocol::V10Close, None),
            (Protocol::V11, Some("www.example.com")),
        ] {
            let mut one = http(url());
            one.protocol = protocol;
            one.urls[0].host = host.map(Into::into);
            assert_eq!(get(&one, &server, SOON).await, bad(Bad::NoData));
        }
        let text = |o: &Vec<u8>| String::from_utf8_lossy(o).into_owned();
        let seen: Vec<_> = seen.borrow().iter().map(text).collect();
        let agent = "User-Agent: KeepAliveClient\r\n";
        let close = "Connection: close\r\n";
        assert_eq!(
            seen,
            [
                format!("GET /x HTTP/1.0\r\n{agent}Host: {at}\r\n\r\n"),
                format!("GET /x HTTP/1.0\r\n{agent}{close}Host: {at}\r\n\r\n"),
                format!("GET /x HTTP/1.1\r\n{agent}{close}Host: www.example.com\r\n\r\n"),
            ]
        );
    });
}

#[test]
fn the_status_decides_and_redirects_are_not_followed() {
    assert_eq!(verdict(url(), OK), BY_STATUS);
    let moved = b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n";
    assert_eq!(verdict(url(), moved), bad(Bad::Status(302)));
    let mut any = url();
    any.status = vec![100..=199, 302..=302];
    assert_eq!(verdict(any, moved), BY_STATUS);
    // keepalived: without a reason phrase there is no blank behind the status.
    assert_eq!(verdict(url(), b"HTTP/1.0 200\r\n\r\n"), bad(Bad::NoData));
    assert_eq!(verdict(url(), b"HTTP/1.0 200 OK\n\nbody"), bad(Bad::NoData));
    assert_eq!(verdict(url(), b"\x16\x03\x01\x02"), bad(Bad::NoData));
}

#[test]
fn a_length_that_is_wrong_comes_with_the_verdict_on_a_good_page() {
    let says = |length| format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\nbody");
    let found = |lengths| Ok(Good::Page(Judged::Status, lengths));
    let came = 4;
    for told in [0, 3, 5, 1 << 40] {
        let reply = says(told);
        let wrong = Some(Lengths { told, came });
        assert_eq!(verdict(url(), reply.as_bytes()), found(wrong));
    }
    assert_eq!(verdict(url(), says(4).as_bytes()), found(None));
    let other = says(5).replace("200", "404");
    assert_eq!(verdict(url(), other.as_bytes()), bad(Bad::Status(404)));
}

#[test]
fn the_digest_is_that_of_the_body_up_to_its_length() {
    let mut with = url();
    let sum = 0x6f59_02ac_2370_24bd_d0c1_76cb_9306_3dc4_u128;
    with.digests = vec![sum.to_be_bytes()];
    let by_digest = Ok(Good::Page(Judged::Digest, None));
    assert_eq!(verdict(with.clone(), OK), by_digest);
    let longer = [OK, b"more than it said"].concat();
    let wrong = Lengths { told: 12, came: 29 };
    assert_eq!(
        verdict(with.clone(), &longer),
        Ok(Good::Page(Judged::Digest, Some(wrong)))
    );
    let without = b"HTTP/1.0 200 OK\r\n\r\nhello world\n";
    assert_eq!(verdict(with.clone(), without), by_digest);
    let other = b"HTTP/1.0 200 OK\r\n\r\nhello world!";
    assert_eq!(verdict(with, other), bad(Bad::Digest));
}

#[test]
fn a_pattern_is_searched_in_the_body_across_reads_and_within_its_offsets() {
    let by_regex = Ok(Good::Page(Judged::Regex, None));
    let mut with = url();
    with.regex = Some(regex("lo w"));
    assert_eq!(verdict(with.clone(), OK), by_regex);
    with.regex = Some(regex("HTTP"));
    assert_eq!(verdict(with.clone(), OK), bad(Bad::Regex));
    let mut none = regex("lo w");
    none.no_match = true;
    with.regex = Some(none);
    assert_eq!(verdict(with.clone(), OK), bad(Bad::Regex));
    for (min, max, good) in [(3, 3, true), (0, 2, false), (4, 9, false)] {
        let mut between = regex("lo w");
        (between.min_offset, between.max_offset) = (min, Some(max));
        with.regex = Some(between);
        assert_eq!(verdict(with.clone(), OK).is_ok(), good, "{min}..={max}");
    }

    with.regex = Some(regex("(?<=needle )in a haystack"));
    let page = with.clone();
    let found = run(async move {
        let server = tcp(|mut s: TcpStream| async move {
            request(&mut s).await;
            let _ = s.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await;
            let body = [vec![b'.'; 100_000], b"needle in a haystack".to_vec()].concat();
            for part in body.chunks(7001) {
                let _ = s.write_all(part).await;
                tokio::task::yield_now().await;
            }
        })
        .await;
        get(&http(page), &server, SOON).await
    });
    assert_eq!(found, by_regex);
}

#[test]
fn a_header_without_end_is_no_data_and_a_body_without_end_is_not_kept() {
    let endless = |start: &'static [u8], part: &'static [u8], patience: Duration| {
        run(async move {
            let server = tcp(move |mut s: TcpStream| async move {
                request(&mut s).await;
                let mut sent = s.write_all(start).await;
                while sent.is_ok() {
                    sent = s.write_all(part).await;
                }
            })
            .await;
            let mut page = url();
            page.regex = Some(regex("a.*never"));
            let probe = http(page);
            let outcome = tokio::time::timeout(patience, get(&probe, &server, SOON)).await;
            outcome.ok()
        })
    };
    let header = endless(b"HTTP/1.0 200 OK\r\n", b"X-More: and more\r\n", SOON);
    assert_eq!(header, Some(bad(Bad::NoData)));
    // Given up from outside, see `Check::limit`.
    let body = endless(b"HTTP/1.0 200 OK\r\n\r\n", &[b'a'; 4096], QUICK * 4);
    assert_eq!(body, None);
    let probe = Check::Http(
        Connect::to(([127, 0, 0, 1], 80).into()),
        Arc::new(http(url())),
    );
    assert!(probe.limit(SOON).is_some());
}

#[test]
fn each_read_has_its_time_and_silence_ends_it() {
    run(async {
        let silent = tcp(|mut s: TcpStream| async move {
            request(&mut s).await;
            std::future::pending::<()>().await;
        })
        .await;
        let began = Instant::now();
        assert_eq!(
            get(&http(url()), &silent, QUICK).await,
            bad(Bad::ReadTimeout)
        );
        assert!(began.elapsed() < QUICK * 20);

        // A busy machine lets none of them wait for so long, and all of them take longer.
        let patience = QUICK * 5;
        let drips = tcp(move |mut s: TcpStream| async move {
            request(&mut s).await;
            for octet in OK {
                let _ = s.write_all(&[*octet]).await;
                tokio::time::sleep(patience / 30).await;
            }
        })
        .await;
        assert_eq!(get(&http(url()), &drips, patience).await, BY_STATUS);
    });
}

#[test]
fn resets_at_every_stage_are_failures() {
    run(async {
        let at_once = tcp(|s| async move { reset(s) }).await;
        let outcome = get(&http(url()), &at_once, SOON).await;
        assert!(
            matches!(
                outcome,
                Err(Down::Http(Bad::Read(_) | Bad::Send | Bad::NoData))
            ),
            "{outcome:?}"
        );
        let midway = tcp(|mut s: TcpStream| async move {
            request(&mut s).await;
            let _ = s.write_all(&OK[..30]).await;
            reset(s);
        })
        .await;
        let outcome = get(&http(url()), &midway, SOON).await;
        assert_eq!(outcome, bad(Bad::Read(Errno::ECONNRESET)));
    });
}

mod over_tls {
    use std::path::PathBuf;

    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::{PKey, Private};
    use openssl::rsa::Rsa;
    use openssl::ssl::{Ssl as Session, SslAcceptor, SslMethod, SslVerifyMode};
    use openssl::x509::{X509, X509NameBuilder};
    use tokio_openssl::SslStream;

    use super::*;
    use crate::model::global::Ssl;

    fn identity(name: &str) -> (PKey<Private>, X509) {
        let key = Rsa::generate(2048).and_then(PKey::from_rsa).expect("a key");
        let mut subject = X509NameBuilder::new().expect("a name");
        subject.append_entry_by_text("CN", name).expect("a name");
        let subject = subject.build();
        let mut made = X509::builder().expect("a certificate");
        let begins = Asn1Time::days_from_now(0).expect("a time");
        let ends = Asn1Time::days_from_now(1).expect("a time");
        made.set_version(2).expect("version 3");
        made.set_subject_name(&subject).expect("a subject");
        made.set_issuer_name(&subject).expect("itself");
        made.set_pubkey(&key).expect("its key");
        made.set_not_before(&begins).expect("a begin");
        made.set_not_after(&ends).expect("an end");
        made.sign(&key, MessageDigest::sha256()).expect("signed");
        (key, made.build())
    }

    /// A server with a certificate that nobody has signed; `asks`: for one of the client.
    async fn server(asks: bool, seen: Rc<RefCell<Vec<String>>>) -> Connect {
        let (key, certificate) = identity("server");
        let mut acceptor =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("an acceptor");
        acceptor.set_private_key(&key).expect("its key");
        acceptor.set_certificate(&certificate).expect("its own");
        if asks {
            let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
            acceptor.set_verify_callback(mode, |_, _| true);
        }
        let acceptor = Rc::new(acceptor.build());
        tcp(move |stream| {
            let (acceptor, seen) = (Rc::clone(&acceptor), Rc::clone(&seen));
            async move {
                let session = Session::new(acceptor.context()).expect("a session");
                let mut stream = SslStream::new(session, stream).expect("a stream");
                if Pin::new(&mut stream).accept().await.is_err() {
                    return;
                }
                let sni = stream.ssl().servername(openssl::ssl::NameType::HOST_NAME);
                let peer = stream.ssl().peer_certificate();
                let peer = peer.and_then(|c| {
                    let name = c.subject_name().entries().next()?;
                    Some(String::from_utf8_lossy(name.data().as_slice()).into_owned())
                });
                let line = format!("{} {}", sni.unwrap_or("-"), peer.as_deref().unwrap_or("-"));
                seen.borrow_mut().push(line);
                let mut some = [0; 1024];
                let _ = stream.read(&mut some).await;
                // Without a word at the end, as many do.
                let _ = stream.write_all(OK).await;
            }
        })
        .await
    }

    fn over_tls(identity: Ssl, sni: Option<&str>) -> Http {
        let mut page = http(url());
        page.tls = Some(Tls {
            identity: Arc::new(identity),
        });
        page.urls[0].sni = sni.map(Into::into);
        page.urls[0].tls_compliant = sni.is_some();
        page
    }

    #[test]
    fn nothing_is_verified_and_names_are_shown_on_request() {
        run(async {
            let seen = Rc::default();
            let server = server(false, Rc::clone(&seen)).await;
            let plain = over_tls(Ssl::default(), None);
            assert_eq!(get(&plain, &server, SOON).await, BY_STATUS);
            let named = over_tls(Ssl::default(), Some("www.example.com"));
            assert_eq!(get(&named, &server, SOON).await, BY_STATUS);
            assert_eq!(*seen.borrow(), ["- -", "www.example.com -"]);
        });
    }

    #[test]
    fn whoever_asks_is_shown_the_certificate_of_the_ssl_block() {
        let dir = std::env::temp_dir().join(format!("ka-tls-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory of our own");
        let (key, certificate) = identity("client");
        let cipher = openssl::symm::Cipher::aes_128_cbc();
        let key = key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret");
        let write = |name: &str, pem: Vec<u8>| -> PathBuf {
            let path = dir.join(name);
            std::fs::write(&path, pem).expect("a file in our own directory");
            path
        };
        let block = Ssl {
            password: Some("secret".into()),
            ca: None,
            certificate: Some(write("cert.pem", certificate.to_pem().expect("pem"))),
            key: Some(write("key.pem", key.expect("pem"))),
        };
        run(async {
            let seen = Rc::default();
            let server = server(true, Rc::clone(&seen)).await;
            let ours = over_tls(block.clone(), None);
            assert_eq!(get(&ours, &server, SOON).await, BY_STATUS);
            assert_eq!(*seen.borrow(), ["- client"]);
            let nobody = over_tls(Ssl::default(), None);
            assert!(get(&nobody, &server, SOON).await.is_err());
            let broken = Ssl {
                password: Some("wrong".into()),
                ..block
            };
            let broken = get(&over_tls(broken, None), &server, SOON).await;
            assert!(matches!(broken, Err(Down::Local(_))), "{broken:?}");
        });
        std::fs::remove_dir_all(&dir).expect("our own directory");
    }

    #[test]
    fn garbage_and_silence_instead_of_a_handshake_are_failures() {
        run(async {
            let garbage = tcp(|mut s: TcpStream| async move {
                let _ = s.write_all(&[0x55; 600]).await;
            })
            .await;
            let page = over_tls(Ssl::default(), None);
            assert_eq!(get(&page, &garbage, SOON).await, bad(Bad::Tls));
            let silent = tcp(|s| async move {
                let _s = s;
                std::future::pending::<()>().await;
            })
            .await;
            assert_eq!(get(&page, &silent, QUICK).await, bad(Bad::TlsTimeout));
        });
    }
}
