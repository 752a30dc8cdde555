//! `SMTP_CHECK`: a mail server that greets, and answers `HELO` and `QUIT`, is health.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::connect::{Connect, errno};
use super::{Down, Good};
use crate::config::blocks::checkers::{CheckerDraft, Common, Draft, Kind, Own};
use crate::config::source::Code;
use crate::config::table::{Args, Block, Fault, key, sub};
use crate::sys::swarm::{Link, Swarm};

/// Options of `SMTP_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Smtp {
    /// `helo_name`, default `smtpchecker.keepalived.org`.
    pub(crate) helo_name: Arc<str>,
}

/// What an `SMTP_CHECK` block adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct SmtpDraft {
    helo_name: Option<Arc<str>>,
    /// `host`: each is a checker of its own.
    hosts: Vec<Common>,
}

/// What a `host` block adds: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host;

static HOST: Block<Draft<Host>> = Block {
    name: "virtual_server/real_server/SMTP_CHECK/host",
    rows: Draft::<Host>::CONNECT_ROWS,
    more: &[Draft::<Host>::TIMING_ROWS],
};

pub(crate) static SMTP_CHECK: Block<Draft<SmtpDraft>> = Block {
    name: "virtual_server/real_server/SMTP_CHECK",
    rows: &[
        key("helo_name", "<STRING>", |v, a| {
            a.present()?;
            match v.own.helo_name.replace(a.word()?.into()) {
                Some(_) => {
                    Err(a.whole_fault(Code::Repeated, "SMTP_CHECK helo name already specified"))
                }
                None => Ok(()),
            }
        }),
        sub("host", &HOST, |v, a| {
            a.remark(
                Code::Deprecated,
                "is deprecated - please use several SMTP_CHECK blocks",
            );
            let mut host = Draft {
                common: v.common.clone(),
                own: Host,
            };
            a.block(&HOST, &mut host);
            v.own.hosts.push(host.common);
            Ok(())
        }),
    ],
    more: &[
        Draft::<SmtpDraft>::CONNECT_ROWS,
        Draft::<SmtpDraft>::TIMING_ROWS,
    ],
};

impl Own for SmtpDraft {
    // keepalived: options of a `host` block act on the checker around it, and what the block makes never answers.
    fn finish(self, common: Common, _: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault> {
        let helo_name = self.helo_name.unwrap_or_else(|| DEFAULT_HELO.into());
        let options = Smtp { helo_name };
        let around = (self.hosts.is_empty()
            || common.connect.as_ref().is_some_and(|c| c.ip.is_some()))
        .then_some(common);
        let all = around.into_iter().chain(self.hosts);
        Ok(all.map(|c| c.with(Kind::Smtp(options.clone()))).collect())
    }
}

const DEFAULT_HELO: &str = "smtpchecker.keepalived.org";

/// Where the dialogue went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It greets with something else than 220.
    Banner,
    /// It answers `HELO` with something else than 250.
    Helo,
    ReadTimeout,
    /// `None`: it has closed the connection, or its line has no end.
    Read(Option<Errno>),
    WriteTimeout,
    Write(Errno),
}

/// The longest line that is understood.
const MAX_LINE: usize = 511;

impl Smtp {
    pub(super) async fn probe(
        &self,
        connect: &Connect,
        patience: Duration,
        swarm: &Rc<Swarm>,
    ) -> Result<Good, Down> {
        let connected = timeout(patience, connect.tcp(swarm)).await;
        let mut stream = connected.map_err(|_| Down::Timeout)??;
        let mut lines = Lines::default();
        let bad = |fault| Err(Down::Smtp(fault));
        if !says(&lines.next(&mut stream, patience).await?, b"220") {
            return bad(Bad::Banner);
        }
        let helo = format!("HELO {}\r\n", self.helo_name);
        send(&mut stream, helo.as_bytes(), patience).await?;
        if !says(&lines.next(&mut stream, patience).await?, b"250") {
            return bad(Bad::Helo);
        }
        send(&mut stream, b"QUIT\r\n", patience).await?;
        lines.next(&mut stream, patience).await?;
        Ok(Good::Plain)
    }
}

async fn send(stream: &mut Link, octets: &[u8], patience: Duration) -> Result<(), Down> {
    match timeout(patience, stream.write_all(octets)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(Down::Smtp(Bad::Write(errno(&e)))),
        Err(_) => Err(Down::Smtp(Bad::WriteTimeout)),
    }
}

/// A code, and behind it a blank or nothing: a line that others follow is no answer to us.
fn says(line: &[u8], code: &[u8]) -> bool {
    line.strip_prefix(code)
        .is_some_and(|rest| matches!(rest.first(), None | Some(b' ')))
}

/// What was read and is not used up.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The next line without the LF at its end.
    async fn next(&mut self, stream: &mut Link, patience: Duration) -> Result<Vec<u8>, Down> {
        let whole = async {
            loop {
                if let Some(end) = self.0.iter().position(|&o| o == b'\n') {
                    let rest = self.0.split_off(end + 1);
                    let mut line = std::mem::replace(&mut self.0, rest);
                    line.pop();
                    return Ok(line);
                }
                let mut some = [0; MAX_LINE];
                let room = MAX_LINE.saturating_sub(self.0.len());
                let room = some.get_mut(..room).filter(|r| !r.is_empty());
                let Some(room) = room else {
                    return Err(Bad::Read(None));
                };
                match stream.read(room).await {
                    Ok(0) => return Err(Bad::Read(None)),
                    Ok(n) => self.0.extend(room.iter().take(n)),
                    Err(e) => return Err(Bad::Read(Some(errno(&e)))),
                }
            }
        };
        match timeout(patience, whole).await {
            Ok(outcome) => outcome.map_err(Down::Smtp),
            Err(_) => Err(Down::Smtp(Bad::ReadTimeout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::super::testserver::{reset, run, tcp};
    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const QUICK: Duration = Duration::from_millis(200);

    fn check() -> Smtp {
        Smtp {
            helo_name: "me".into(),
        }
    }

    async fn tried(server: &Connect, patience: Duration) -> Result<Good, Down> {
        let swarm = Swarm::new().expect("a runtime");
        swarm.drive(check().probe(server, patience, &swarm)).await
    }

    /// The verdict on a server that says these, one after each line of ours.
    fn verdict(lines: &'static [&'static str]) -> Result<Good, Down> {
        run(async move {
            let server = tcp(move |mut s: TcpStream| async move {
                let mut expected = [&b"HELO me\r\n"[..], b"QUIT\r\n"].into_iter();
                for line in lines {
                    let _ = s.write_all(line.as_bytes()).await;
                    let Some(expected) = expected.next() else {
                        return;
                    };
                    let mut came = vec![0; expected.len()];
                    if s.read_exact(&mut came).await.is_err() {
                        return;
                    }
                    assert_eq!(came, expected);
                }
            })
            .await;
            tried(&server, SOON).await
        })
    }

    #[test]
    fn a_greeting_and_two_answers_are_health() {
        const GOOD: &[&str] = &[
            "220 mail.example ESMTP\r\n",
            "250 hello\r\n",
            "500 what?\r\n",
        ];
        assert_eq!(verdict(GOOD), Ok(Good::Plain));
        assert_eq!(verdict(&["220\n", "250\n", "221\n"]), Ok(Good::Plain));
    }

    #[test]
    fn other_codes_and_lines_that_go_on_are_failures() {
        let bad = |why| Err(Down::Smtp(why));
        assert_eq!(verdict(&["554 no\r\n"]), bad(Bad::Banner));
        assert_eq!(verdict(&["220-more\r\n"]), bad(Bad::Banner));
        assert_eq!(verdict(&["220\r\n"]), bad(Bad::Banner));
        assert_eq!(verdict(&["220 \r\n", "250-more\r\n"]), bad(Bad::Helo));
        assert_eq!(verdict(&["220 \r\n", "250 \r\n", ""]), bad(Bad::Read(None)));
    }

    #[test]
    fn a_line_without_end_silence_and_resets_are_failures_in_time() {
        run(async {
            let endless = tcp(|mut s: TcpStream| async move {
                while s.write_all(&[b'2'; 100]).await.is_ok() {}
            })
            .await;
            let outcome = tried(&endless, SOON).await;
            assert_eq!(outcome, Err(Down::Smtp(Bad::Read(None))));
            let silent = tcp(|s| async move {
                let _s = s;
                std::future::pending::<()>().await;
            })
            .await;
            let outcome = tried(&silent, QUICK).await;
            assert_eq!(outcome, Err(Down::Smtp(Bad::ReadTimeout)));
            let resets = tcp(|s| async move { reset(s) }).await;
            let outcome = tried(&resets, SOON).await;
            assert!(
                matches!(outcome, Err(Down::Smtp(Bad::Read(_)))),
                "{outcome:?}"
            );
        });
    }
}
