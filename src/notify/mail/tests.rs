//! A small SMTP server on loopback, and what it is told.

mod tls;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::model::mail::Tls;
use crate::model::vrrp::Notify;
use crate::notify::tests::{block_on, entered, instance};

/// Takes connections one after the other; answers `RCPT` of a name with `bad` in it by 550, and the first `busy` mails by
/// 451. What it heard of each connection comes out of the channel.
fn server(mut busy: usize) -> (SocketAddr, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("its address");
    let (heard, all) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut out = stream.expect("a connection");
            let mut lines = BufReader::new(out.try_clone().expect("a second descriptor")).lines();
            let (mut story, mut data) = (Vec::new(), false);
            let mut say = |text: &str| out.write_all(format!("{text}\r\n").as_bytes());
            let _ = say("220 here");
            while let Some(Ok(line)) = lines.next() {
                let answer = match line.split(' ').next().unwrap_or_default() {
                    "." if data => {
                        data = false;
                        "250 taken"
                    }
                    _ if data => "",
                    "EHLO" => "250-here\r\n250 8BITMIME",
                    "MAIL" if busy > 0 => {
                        busy -= 1;
                        "451 later"
                    }
                    "RCPT" if line.contains("bad") => "550 nobody",
                    "DATA" => {
                        data = true;
                        "354 go on"
                    }
                    "QUIT" => "221 bye",
                    _ => "250 fine",
                };
                story.push(line);
                if !answer.is_empty() && say(answer).is_err() {
                    break;
                }
            }
            if heard.send(story).is_err() {
                return;
            }
        }
    });
    (addr, all)
}

fn global(servers: &[SocketAddr]) -> Global {
    let mut global = Global {
        router_id: Some("r1".into()),
        ..Global::default()
    };
    let mut servers = servers.iter().map(|addr| Server {
        name: addr.ip().to_string().into(),
        addr: *addr,
    });
    let mail = &mut global.mail;
    mail.server = servers.next();
    mail.backups = servers.collect();
    mail.to = vec!["ops@example.com".into(), "Two <two@example.com>".into()];
    mail.from = Some("Ka <ka@example.com>".into());
    mail.helo_name = Some("helo.example".into());
    mail.connect_timeout = Duration::from_secs(10);
    global
}

fn mailing() -> Notify {
    Notify {
        mail: true,
        ..Notify::default()
    }
}

fn long() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[test]
fn a_mail_has_the_words_of_keepalived() {
    let (addr, heard) = server(0);
    let v1 = instance("V1", 1, mailing());
    block_on(async {
        let mut mails = Mails::default();
        mails.apply(&global(&[addr]));
        mails.accept(&entered(&v1, VrrpState::Master));
        mails.accept(&entered(&v1, VrrpState::Master));
        mails.drain(long()).await;
    });
    let mut story = heard.recv().expect("a connection");
    assert!(heard.try_recv().is_err(), "the same state twice");
    let date = story.remove(5);
    let day = date.strip_prefix("Date: ").expect("a date");
    assert_eq!(day.len(), "Sat, 21 Nov 2026 13:13:48 +0000".len(), "{day}");
    let expected = [
        "EHLO helo.example",
        "MAIL FROM:<ka@example.com>",
        "RCPT TO:<ops@example.com>",
        "RCPT TO:<two@example.com>",
        "DATA",
        "From: Ka <ka@example.com>",
        "Subject: [r1] VRRP Instance V1 - Entering MASTER state",
        "X-Mailer: Keepalived",
        "To: ops@example.com,",
        " Two <two@example.com>",
        "",
        "=> VRRP Instance is now owning VRRP VIPs <=",
        "",
        ".",
        "QUIT",
    ];
    assert_eq!(story, expected);
}

#[test]
fn no_fault_is_mailed_where_nobody_wants_it_and_what_follows_is_no_news_then() {
    let (addr, heard) = server(0);
    let v1 = instance("V1", 1, mailing());
    block_on(async {
        let mut mails = Mails::default();
        let mut global = global(&[addr]);
        global.mail.faults = false;
        mails.apply(&global);
        for state in [VrrpState::Backup, VrrpState::Fault, VrrpState::Backup] {
            mails.accept(&entered(&v1, state));
        }
        assert_eq!(mails.waiting.len(), 1);
        mails.drain(long()).await;
    });
    heard.recv().expect("one connection");
    assert!(heard.try_recv().is_err());
}

#[test]
fn servers_are_tried_in_turn_and_refused_recipients_passed_over() {
    let dead = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = dead.local_addr().expect("its address");
    drop(dead);
    let (addr, heard) = server(0);
    let v1 = instance("V1", 1, mailing());
    block_on(async {
        let mut mails = Mails::default();
        let mut global = global(&[nobody, addr]);
        global.mail.to.push("bad@example.com".into());
        mails.apply(&global);
        mails.accept(&entered(&v1, VrrpState::Backup));
        mails.drain(long()).await;
    });
    let story = heard.recv().expect("a connection");
    assert!(story.contains(&"QUIT".to_owned()) && story.contains(&".".to_owned()));
}

#[test]
fn a_busy_server_is_tried_again_and_the_order_stays() {
    let (addr, heard) = server(1);
    let v1 = instance("V1", 1, mailing());
    block_on(async {
        let mut mails = Mails::default();
        mails.apply(&global(&[addr]));
        mails.accept(&entered(&v1, VrrpState::Backup));
        mails.accept(&entered(&v1, VrrpState::Master));
        mails.drain(long()).await;
    });
    // One connection for the refusal and one for each mail.
    let subjects = heard.iter().take(3).filter_map(|story| {
        let subject = story.into_iter().find(|l| l.starts_with("Subject"));
        subject.map(|s| s.split(' ').nth_back(1).unwrap_or_default().to_owned())
    });
    assert_eq!(subjects.collect::<Vec<_>>(), ["BACKUP", "MASTER"]);
}

#[test]
fn a_mail_that_must_be_encrypted_or_a_password_never_goes_in_clear_text() {
    let (addr, heard) = server(0);
    let v1 = instance("V1", 1, mailing());
    block_on(async {
        let mut mails = Mails::default();
        let mut global = global(&[addr]);
        global.mail.tls = Tls::Required;
        mails.apply(&global);
        mails.accept(&entered(&v1, VrrpState::Backup));
        mails.drain(long()).await;
    });
    let story = heard.recv().expect("a connection");
    assert!(!story.iter().any(|l| l.starts_with("MAIL")), "{story:?}");
}

#[test]
fn the_queue_has_a_bound_and_keeps_the_newest() {
    let v1 = instance("V1", 1, mailing());
    block_on(async {
        let mut mails = Mails::default();
        mails.apply(&global(&[([127, 0, 0, 1], 9).into()]));
        for n in 0..1001 {
            let state = [VrrpState::Backup, VrrpState::Master][n % 2];
            mails.accept(&entered(&v1, state));
        }
        assert_eq!(mails.waiting.len(), MAX_WAITING);
        let last = mails.waiting.back().expect("a mail");
        assert!(last.subject.contains("BACKUP"));
    });
}
