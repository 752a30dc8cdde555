//! A small SMTP server that encrypts and asks for a password.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::{X509, X509Name};

use super::*;
use crate::model::mail::Login;

/// Stands in what a server heard for the change to TLS.
const ENCRYPTED: &str = "-- encrypted";

trait Talk: Read + Write {}
impl<T: Read + Write> Talk for T {}

/// A key, and a certificate that nobody vouches for but itself.
fn identity() -> (PKey<Private>, X509) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    let key = EcKey::generate(&group).and_then(PKey::from_ec_key);
    let key = key.expect("a key");
    let mut name = X509Name::builder().expect("a name");
    name.append_entry_by_text("CN", "127.0.0.1")
        .expect("an entry");
    let name = name.build();
    let made = || {
        let mut cert = X509::builder()?;
        cert.set_version(2)?;
        cert.set_subject_name(&name)?;
        cert.set_issuer_name(&name)?;
        cert.set_pubkey(&key)?;
        cert.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
        cert.set_not_after(Asn1Time::days_from_now(1)?.as_ref())?;
        cert.sign(&key, MessageDigest::sha256())?;
        Ok::<_, openssl::error::ErrorStack>(cert.build())
    };
    let cert = made().expect("a certificate");
    (key, cert)
}

fn line(talk: &mut dyn Talk) -> Option<String> {
    let mut line = Vec::new();
    let mut octet = [0];
    while talk.read_exact(&mut octet).is_ok() {
        match octet {
            [b'\n'] => return Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
            [other] => line.push(other),
        }
    }
    None
}

/// True: it wants to encrypt.
fn converse(talk: &mut dyn Talk, offers: &str, story: &mut Vec<String>) -> bool {
    let mut data = false;
    while let Some(line) = line(talk) {
        let answer = match line.split(' ').next().unwrap_or_default() {
            "." if data => {
                data = false;
                "250 taken"
            }
            _ if data => "",
            "EHLO" => offers,
            "STARTTLS" => "220 go on",
            // \0user\0secret
            "AUTH" if line == "AUTH PLAIN AHVzZXIAc2VjcmV0" => "235 welcome",
            "AUTH" if line == "AUTH LOGIN" => "334 VXNlcm5hbWU6",
            "dXNlcg==" => "334 UGFzc3dvcmQ6",
            "c2VjcmV0" => "235 welcome",
            "AUTH" => "535 go away",
            "DATA" => {
                data = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
        let encrypt = line == "STARTTLS";
        story.push(line);
        if !answer.is_empty() && talk.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
            return false;
        }
        if encrypt {
            return true;
        }
    }
    false
}

/// What it offers in clear text and when encrypted. What it heard of each connection comes out of the channel.
fn secure(clear: &'static str, encrypted: &'static str) -> (SocketAddr, Receiver<Vec<String>>) {
    let (key, cert) = identity();
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls()).expect("a context");
    acceptor.set_private_key(&key).expect("our key");
    acceptor.set_certificate(&cert).expect("our certificate");
    let acceptor = Arc::new(acceptor.build());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("its address");
    let (heard, all) = channel();
    let serve = move |mut stream: TcpStream| {
        let mut story = Vec::new();
        let _ = stream.write_all(b"220 here\r\n");
        if converse(&mut stream, clear, &mut story)
            && let Ok(mut stream) = acceptor.accept(stream)
        {
            story.push(ENCRYPTED.to_owned());
            converse(&mut stream, encrypted, &mut story);
        }
        heard.send(story).is_ok()
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if !serve(stream) {
                return;
            }
        }
    });
    (addr, all)
}

/// Sends one mail.
fn send_one(servers: &[SocketAddr], tls: Tls, password: Option<&str>) {
    let v1 = instance("V1", 1, mailing());
    block_on(async {
        let mut mails = Mails::default();
        let mut global = global(servers);
        global.mail.tls = tls;
        global.mail.login = password.map(|password| Login {
            user: "user".into(),
            password: password.into(),
        });
        mails.apply(&global);
        mails.accept(&entered(&v1, VrrpState::Backup));
        mails.drain(long()).await;
    });
}

const STARTTLS: &str = "250-here\r\n250 STARTTLS";
const PLAIN: &str = "250-here\r\n250 AUTH PLAIN LOGIN";
const LOGIN: &str = "250-here\r\n250 AUTH LOGIN";
const NOTHING: &str = "250 here";

/// The verbs, in order; an answer to a challenge is one, too.
fn verbs(story: &[String]) -> Vec<&str> {
    let until = story.iter().position(|l| l == "DATA");
    let talk = story.get(..=until.unwrap_or(story.len() - 1));
    let words = talk.into_iter().flatten();
    words.filter_map(|l| l.split(' ').next()).collect()
}

#[test]
fn a_mail_goes_encrypted_and_with_the_password_where_that_is_asked_for() {
    for (tls, offers, talk) in [
        (Tls::RequiredUnverified, PLAIN, &["AUTH"][..]),
        (Tls::Opportunistic, PLAIN, &["AUTH"]),
        (
            Tls::RequiredUnverified,
            LOGIN,
            &["AUTH", "dXNlcg==", "c2VjcmV0"],
        ),
    ] {
        let (addr, heard) = secure(STARTTLS, offers);
        send_one(&[addr], tls, Some("secret"));
        let story = heard.recv().expect("a connection");
        let mut expected = vec!["EHLO", "STARTTLS", "--", "EHLO"];
        expected.extend(talk);
        expected.extend(["MAIL", "RCPT", "RCPT", "DATA"]);
        assert_eq!(verbs(&story), expected, "{tls:?} {story:?}");
        assert!(story.contains(&".".to_owned()), "{story:?}");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_where_it_matters() {
    let (addr, heard) = secure(STARTTLS, PLAIN);
    send_one(&[addr], Tls::Required, Some("secret"));
    let story = heard.recv().expect("a connection");
    assert_eq!(verbs(&story), ["EHLO", "STARTTLS"]);
}

#[test]
fn encryption_that_is_not_offered_is_done_without_where_it_need_not_be() {
    let (addr, heard) = secure(NOTHING, NOTHING);
    send_one(&[addr], Tls::Opportunistic, None);
    let story = heard.recv().expect("a connection");
    assert_eq!(verbs(&story), ["EHLO", "MAIL", "RCPT", "RCPT", "DATA"]);
}

#[test]
fn a_server_that_refuses_the_password_is_followed_by_the_next() {
    let (first, at_first) = secure(STARTTLS, PLAIN);
    let (second, at_second) = server(0);
    send_one(&[first, second], Tls::Opportunistic, Some("wrong"));
    let story = at_first.recv().expect("a connection");
    assert_eq!(story.iter().filter(|l| l.starts_with("MAIL")).count(), 0);
    // It offers no way to log in, so it does not get the mail either; but it was asked.
    let story = at_second.recv().expect("a connection");
    assert_eq!(verbs(&story)[0], "EHLO");
}
