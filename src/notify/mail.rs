//! Mail about state changes: who is written to, what, and in which order it leaves.
//!
//! One mail at a time, in the order of events. A mail that no server takes now is tried again after a while and keeps
//! the later ones waiting; what is refused for good is dropped. The queue has a bound, beyond which the oldest goes: the
//! last state is the one that arrives. Nobody ever waits for mail. Source: keepalived.conf(5), `smtp_alert`; wording of
//! keepalived 2.2.7 and 2.4.3.
// keepalived: one connection for each mail, all at once, and no second try.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use super::smtp::{self, Mail, Manners};
use super::told_state;
use crate::daemon::bus::{Notice, VrrpState};
use crate::model::diff::Keyed;
use crate::model::global::Global;
use crate::model::mail::Server;
use crate::model::vrrp::InstanceKey;
use crate::sys::log::Local;
use crate::sys::whoami;

/// Mails that wait; several for every instance of a usual configuration.
const MAX_WAITING: usize = 256;
/// Pauses before the second, third... try of a mail; after the last of them it is dropped.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
];

/// Whose last mailed state is remembered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    Instance(InstanceKey),
    Group(Arc<str>),
}

/// Who writes to whom, and how.
#[derive(Clone, Debug)]
struct Letterhead {
    /// The first one and the others in turn.
    servers: Vec<Server>,
    manners: Manners,
    /// As configured, for headers.
    from: String,
    to: Vec<Arc<str>>,
    /// `router_id`.
    router: Arc<str>,
    faults: bool,
}

impl Letterhead {
    /// `None`: nobody to write to, or no server.
    fn of(global: &Global) -> Option<Self> {
        let mail = &global.mail;
        let server = mail.server.clone()?;
        if mail.to.is_empty() {
            return None;
        }
        let host = whoami::host_name();
        let from = match &mail.from {
            Some(from) => from.to_string(),
            None => format!("{}@{host}", whoami::user_name()),
        };
        Some(Self {
            servers: std::iter::once(server)
                .chain(mail.backups.iter().cloned())
                .collect(),
            manners: Manners {
                helo_name: mail.helo_name.as_deref().unwrap_or(&host).to_owned(),
                patience: mail.connect_timeout,
                tls: mail.tls,
                login: mail.login.clone(),
            },
            from,
            to: mail.to.clone(),
            router: global.router_id.clone().unwrap_or_else(|| host.into()),
            faults: mail.faults,
        })
    }

    fn mail(&self, what: &str, body: &str, at: SystemTime) -> Mail {
        let subject = format!("[{}] {what}", self.router);
        let mut text = String::new();
        let date = Local::of(at).in_mail();
        // A String takes all.
        let _ = write!(text, "Date: {date}\r\nFrom: {}\r\n", line(&self.from));
        let _ = write!(
            text,
            "Subject: {}\r\nX-Mailer: Keepalived\r\n",
            line(&subject)
        );
        let to: Vec<String> = self.to.iter().map(|a| line(a)).collect();
        let _ = write!(text, "To: {}\r\n\r\n=> {body} <=\r\n", to.join(",\r\n "));
        Mail {
            from: address(&self.from).to_owned(),
            to: self.to.iter().map(|a| address(a).to_owned()).collect(),
            text,
            subject,
        }
    }
}

/// What stands in the last pair of brackets, or all of it.
fn address(written: &str) -> &str {
    let inner = written.rsplit_once('<').map(|(_, a)| a);
    let inner = inner.and_then(|a| a.split_once('>')).map(|(a, _)| a);
    inner.unwrap_or(written).trim()
}

/// Nothing that is written in a configuration can begin a header of its own.
fn line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

type Sending = Pin<Box<dyn Future<Output = bool>>>;

/// All mail: what is being sent and what waits.
#[derive(Default)]
pub(crate) struct Mails {
    letterhead: Option<Letterhead>,
    mailed: BTreeMap<Object, VrrpState>,
    waiting: VecDeque<Mail>,
    /// Delivers one mail, for as long as that takes.
    sending: Option<Sending>,
    /// Mails were dropped and that was said, and since then the queue was not empty.
    complained: bool,
}

impl std::fmt::Debug for Mails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("Mails");
        f.field("waiting", &self.waiting.len());
        f.field("sending", &self.sending.is_some()).finish()
    }
}

impl Mails {
    /// Start or reload. What waits is sent by the old rules for its text and by the new ones for its way.
    pub(crate) fn apply(&mut self, global: &Global) {
        self.letterhead = Letterhead::of(global);
        if self.letterhead.is_none() {
            self.waiting.clear();
        }
    }

    /// Queues the mail that `notice` asks for. Never waits.
    pub(crate) fn accept(&mut self, notice: &Notice) {
        let Some(letterhead) = &self.letterhead else {
            return;
        };
        let Some(Asked { of, what, body }) = asked_for(notice) else {
            return;
        };
        if let Some((object, state)) = of {
            let unwanted = state == VrrpState::Fault && !letterhead.faults;
            if unwanted || self.mailed.get(&object) == Some(&state) {
                return;
            }
            self.mailed.insert(object, state);
        }
        let mail = letterhead.mail(&what, &body, SystemTime::now());
        self.waiting.push_back(mail);
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
            if !std::mem::replace(&mut self.complained, true) {
                warn!("mail waits for its server: the oldest is dropped");
            }
        }
    }

    /// See [`super::Notifier::progress`].
    pub(crate) async fn progress(&mut self) {
        if self.sending.is_none()
            && let Some(letterhead) = &self.letterhead
            && let Some(mail) = self.waiting.pop_front()
        {
            let (servers, manners) = (letterhead.servers.clone(), letterhead.manners.clone());
            self.sending = Some(Box::pin(send(servers, manners, mail)));
        }
        let Some(sending) = &mut self.sending else {
            return pending().await;
        };
        sending.await;
        self.sending = None;
        if self.waiting.is_empty() {
            self.complained = false;
        }
    }

    /// At stop: sends what can be sent until `deadline`.
    pub(crate) async fn drain(&mut self, deadline: Instant) {
        let all = async {
            while self.sending.is_some() || !self.waiting.is_empty() {
                self.progress().await;
            }
        };
        if timeout_at(deadline, all).await.is_err() {
            let count = self.waiting.len() + 1;
            warn!(count, "mail is not sent: the daemon stops");
        }
        *self = Self::default();
    }
}

/// Delivers a mail to the first server that takes it. False: it was dropped.
async fn send(servers: Vec<Server>, manners: Manners, mail: Mail) -> bool {
    let mut pauses = PAUSES.iter();
    loop {
        let mut later = false;
        for server in &servers {
            match smtp::deliver(server, &manners, &mail).await {
                Ok(()) => return true,
                Err(e) => {
                    warn!(server = %server.addr, subject = mail.subject, err = %e, "mail is not taken");
                    later |= e.is_transient();
                }
            }
        }
        match pauses.next().filter(|_| later) {
            Some(pause) => sleep(*pause).await,
            None => {
                warn!(subject = mail.subject, "mail is given up");
                return false;
            }
        }
    }
}

/// A mail that is to be written.
struct Asked {
    /// Whose state it tells; the same one is not told twice.
    of: Option<(Object, VrrpState)>,
    /// The subject, without the router's name.
    what: String,
    body: String,
}

fn asked_for(notice: &Notice) -> Option<Asked> {
    match notice {
        Notice::Instance {
            instance, state, ..
        } => instance.notify.mail.then(|| {
            let state = told_state(instance, *state);
            Asked {
                of: Some((Object::Instance(instance.key()), state)),
                what: format!("VRRP Instance {} - {}", instance.name, headline(state)),
                body: String::from(match state {
                    VrrpState::Master => "VRRP Instance is now owning VRRP VIPs",
                    VrrpState::Backup | VrrpState::Fault => {
                        "VRRP Instance is no longer owning VRRP VIPs"
                    }
                    VrrpState::Stop => "VRRP Instance stopping",
                    VrrpState::Deleted => "VRRP Deleted at reload",
                }),
            }
        }),
        Notice::Group { group, state } => group.notify.mail.then(|| Asked {
            of: Some((Object::Group(Arc::clone(&group.name)), *state)),
            what: format!("VRRP Group {} - {}", group.name, headline(*state)),
            body: match state {
                VrrpState::Master | VrrpState::Backup | VrrpState::Fault | VrrpState::Deleted => {
                    let state = state.word();
                    format!("All VRRP group instances are now in {state} state")
                }
                VrrpState::Stop => "All VRRP group instances are now stopping".to_owned(),
            },
        }),
        Notice::ServerMail { vs, rs, up, text } => {
            let way = if *up { "UP" } else { "DOWN" };
            Some(Asked {
                of: None,
                what: match rs {
                    Some(rs) => format!("Realserver {rs} of virtual server {vs} - {way}"),
                    None => format!("Virtualserver {vs} - {way}"),
                },
                body: text.to_string(),
            })
        }
        Notice::LowerPriorityHeard { .. }
        | Notice::PriorityChanged { .. }
        | Notice::RealServer { .. }
        | Notice::VirtualServer { .. } => None,
    }
}

fn headline(state: VrrpState) -> &'static str {
    match state {
        VrrpState::Master => "Entering MASTER state",
        VrrpState::Backup => "Entering BACKUP state",
        VrrpState::Fault => "Entering FAULT state",
        VrrpState::Stop => "Stopping",
        VrrpState::Deleted => "Deleted",
    }
}

#[cfg(test)]
mod tests;
