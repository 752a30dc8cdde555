//! A small SMTP server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::lab::ns::Namespace;

/// Where it listens, in the namespace of who sends.
pub(crate) const PORT: u16 = 2525;

/// One mail, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    /// `MAIL FROM`, then each `RCPT TO`.
    pub(crate) envelope: Vec<String>,
    /// Headers without the date, folded ones in one line; an empty line; the body.
    pub(crate) text: Vec<String>,
}

impl Mail {
    /// Its subject, split before the dash: who, and what.
    pub(crate) fn subject(&self) -> (String, String) {
        let line = self.text.iter().find_map(|l| l.strip_prefix("Subject: "));
        let (who, what) = line.and_then(|l| l.split_once(" - ")).unwrap_or_default();
        (who.to_owned(), what.to_owned())
    }
}

/// What has come so far.
#[derive(Clone, Default)]
pub(crate) struct Mailbox(Arc<Mutex<Vec<Mail>>>);

impl Mailbox {
    /// Listens in `ns` until the process ends.
    pub(crate) fn open(ns: &Namespace) -> Self {
        let mailbox = Self::default();
        let listener = ns.run(|| TcpListener::bind(("127.0.0.1", PORT)).expect("a free port"));
        let all = mailbox.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = all.clone();
                std::thread::spawn(move || {
                    if let Some(mail) = converse(stream) {
                        all.0
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(mail);
                    }
                });
            }
        });
        mailbox
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn converse(mut out: TcpStream) -> Option<Mail> {
    let lines = BufReader::new(out.try_clone().ok()?).lines();
    let mut say = move |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).ok();
    let (mut envelope, mut text): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let (mut data, mut taken) = (false, false);
    say("220 mailbox")?;
    for line in lines {
        let line = line.ok()?;
        if data {
            if line == "." {
                (data, taken) = (false, true);
                say("250 taken")?;
            } else if let (Some(rest), Some(last)) = (line.strip_prefix(' '), text.last_mut()) {
                last.push(' ');
                last.push_str(rest);
            } else if !line.starts_with("Date: ") {
                text.push(line);
            }
            continue;
        }
        match line.split(' ').next()? {
            "DATA" => {
                data = true;
                say("354 go on")?;
            }
            "QUIT" => {
                say("221 bye");
                break;
            }
            "MAIL" | "RCPT" => {
                envelope.push(line);
                say("250 fine")?;
            }
            _ => say("250 fine")?,
        }
    }
    taken.then_some(Mail { envelope, text })
}
