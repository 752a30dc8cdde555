//! `virtual_server`: inheritance, and the corrections after reading.

mod checkers;
mod claims;
mod real;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::claims::{Claims, Refused};
use super::scripts::Scripts;
use crate::config::blocks::command::CommandDraft;
use crate::config::blocks::real_server::RealDraft;
use crate::config::blocks::virtual_server::{ServerDraft, Target};
use crate::config::source::{Code, Diag, Diags, Span, Weight};
use crate::model::global::{Global, Ssl};
use crate::model::lvs::{
    Granularity, GroupEntry, Hooks, Listen, Persistence, RealServer, RealTerms, Scheduler,
    ServerGroup, ServiceKey, Timing, Transport, VirtualServer,
};
use crate::model::net::Family;
use crate::model::track::{NotifyScript, TrackFile};

/// Persistence that a server without a port must have.
const PERSISTENCE: Duration = Duration::from_secs(360);

/// What virtual servers need of the rest of the configuration.
pub(super) struct Around<'a, 'h> {
    pub(super) global: &'a Global,
    pub(super) files: &'a [Arc<TrackFile>],
    pub(super) scripts: &'a mut Scripts<'h>,
    pub(super) diags: &'a mut Diags,
}

/// Virtual servers that are made one by one, and what they share.
pub(super) struct Servers<'g> {
    groups: HashMap<&'g str, &'g Arc<ServerGroup>>,
    /// The `SSL` block.
    ssl: Arc<Ssl>,
    claims: Claims,
    timings: Shared<Timing>,
    terms: Shared<RealTerms>,
    seen: usize,
    made: Vec<Arc<VirtualServer>>,
}

impl<'g> Servers<'g> {
    pub(super) fn new(groups: &'g [Arc<ServerGroup>], global: &Global) -> Self {
        Self {
            groups: groups.iter().map(|g| (&*g.name, g)).collect(),
            ssl: Arc::new(global.ssl.clone()),
            claims: Claims::default(),
            timings: Shared::default(),
            terms: Shared::default(),
            seen: 0,
            made: Vec::new(),
        }
    }

    /// Whether none was there yet, good or bad.
    pub(super) fn is_first(&self) -> bool {
        self.seen == 0
    }

    /// Makes one, if it can be used.
    pub(super) fn link(&mut self, mut draft: ServerDraft, around: Around<'_, '_>) {
        self.seen += 1;
        let real = std::mem::take(&mut draft.real);
        let settling = Settling::of(&draft, real, self, around);
        let made = settling.and_then(|s| s.finish());
        self.made.extend(made.map(Arc::new));
    }

    /// Those that can be used, in file order.
    pub(super) fn into_model(self) -> Vec<Arc<VirtualServer>> {
        self.made
    }
}

/// Keeps equal parts once: where there are thousands of servers, most of them share these.
struct Shared<T>(HashSet<Arc<T>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Eq + Hash> Shared<T> {
    fn shared(&mut self, one: T) -> Arc<T> {
        if let Some(known) = self.0.get(&one) {
            return Arc::clone(known);
        }
        let one = Arc::new(one);
        self.0.insert(Arc::clone(&one));
        one
    }
}

/// How messages name the transport.
fn word(transport: Option<Transport>) -> &'static str {
    match transport {
        Some(Transport::Tcp) => "tcp",
        Some(Transport::Udp) => "udp",
        Some(Transport::Sctp) => "sctp",
        None => "none",
    }
}

/// A virtual server whose settings are being completed and corrected, in keepalived's order.
struct Settling<'s, 'g, 'a, 'h> {
    draft: &'s ServerDraft,
    /// Its real servers, until they are made.
    real: Vec<RealDraft>,
    servers: &'s mut Servers<'g>,
    around: Around<'a, 'h>,
    /// Without an address: by fwmark or group.
    at: Option<SocketAddr>,
    /// The entries of its group.
    entries: &'g [GroupEntry],
    /// Which use of its group it is.
    number: u32,
    transport: Option<Transport>,
    /// Known from the start, or from the first real server that decides it.
    family: Option<Family>,
    name: String,
}

impl<'s, 'g, 'a, 'h> Settling<'s, 'g, 'a, 'h> {
    /// `None`: its group does not exist, which is only logged, or it cannot be.
    fn of(
        draft: &'s ServerDraft,
        real: Vec<RealDraft>,
        servers: &'s mut Servers<'g>,
        around: Around<'a, 'h>,
    ) -> Option<Self> {
        let (mut entries, mut number, mut at) = (&[][..], 0, None);
        match &draft.target {
            Target::Address(addr) => at = Some(*addr),
            Target::Fwmark(0) => {
                let text = "virtual_server fwmark 0: packets without a mark cannot be told apart - ignoring";
                around
                    .diags
                    .push(Diag::at(draft.span, Code::BadValue, text));
                return None;
            }
            Target::Fwmark(_) => {}
            Target::Group(name) => {
                let Some(group) = servers.groups.get(name.as_str()) else {
                    let text = format!("Virtual server group {name} does not exist - ignoring");
                    around.diags.push(
                        Diag::bare(Some(draft.span), Code::NotFound, text).weighing(Weight::Log),
                    );
                    return None;
                };
                entries = &group.entries;
                number = servers.claims.number(&group.name);
            }
        }
        let mut s = Self {
            draft,
            real,
            servers,
            around,
            at,
            entries,
            number,
            transport: draft.transport,
            family: None,
            name: String::new(),
        };
        s.family = s.known_family();
        s.rename();
        Some(s)
    }

    /// What messages call it.
    fn rename(&mut self) {
        self.name = match (&self.draft.target, self.at) {
            (Target::Fwmark(mark), _) => format!("FWM {mark}"),
            (Target::Group(name), _) => format!("[{name}]:{}", self.number),
            (Target::Address(at), _) => {
                format!("[{}]:{}:{}", at.ip(), word(self.transport), at.port())
            }
        };
    }

    fn say(&mut self, code: Code, text: String) {
        self.say_at(self.draft.span, code, text);
    }

    fn say_at(&mut self, span: Span, code: Code, text: String) {
        self.around.diags.push(Diag::bare(Some(span), code, text));
    }

    /// Nothing that keepalived complains about.
    fn log(&mut self, code: Code, text: String) {
        let diag = Diag::bare(Some(self.draft.span), code, text).weighing(Weight::Log);
        self.around.diags.push(diag);
    }

    /// `None`: it cannot be used.
    fn finish(mut self) -> Option<VirtualServer> {
        let draft = self.draft;
        if self.real.is_empty() {
            return self.no_real_server();
        }
        let up = self.script(draft.quorum_up.clone());
        let down = self.script(draft.quorum_down.clone());
        let ops = self.protocol();
        let persistence = self.persistence();
        let scheduler = draft.scheduler.unwrap_or_else(|| {
            let text = format!(
                "Virtual server {}: no scheduler set, setting default 'wlc'",
                self.name
            );
            self.say(Code::Defaulted, text);
            Scheduler::Wlc
        });
        let real_servers = self.real_servers()?;
        let sorry_server = self.sorry_server(&real_servers);
        let (quorum, hysteresis) = self.quorum(&real_servers);
        let family = self.family_of(&real_servers);
        let key = self.key(family);
        let listen = self.listen(family, &real_servers)?;
        let mail = &self.around.global.mail;
        let alert = mail.alert_checker.or(mail.alert);
        Some(VirtualServer {
            key,
            listen,
            transport: self.transport,
            scheduler,
            flags: draft.flags,
            ops,
            persistence,
            ha_suspend: draft.ha_suspend,
            quorum,
            hysteresis,
            alpha: draft.timing.alpha.unwrap_or(false),
            omega: draft.omega,
            virtualhost: draft.virtualhost.clone(),
            snmp_name: draft.snmp_name.clone(),
            real_servers,
            sorry_server,
            hooks: Hooks {
                up,
                down,
                mail: draft.smtp_alert.or(alert).unwrap_or(false),
            },
        })
    }

    /// Whether there is nothing but marks.
    fn only_marks(&self) -> bool {
        self.at.is_none()
            && !self
                .entries
                .iter()
                .any(|e| matches!(e, GroupEntry::Addresses { .. }))
    }

    /// The family, where it does not depend on the real servers.
    fn known_family(&self) -> Option<Family> {
        self.at
            .map(|at| Family::from(at.ip()))
            .or(self.draft.family)
            .or(self.draft.granularity.map(|g| match g {
                Granularity::V4(_) => Family::V4,
                Granularity::V6(_) => Family::V6,
            }))
    }

    fn family_of(&self, real_servers: &[RealServer]) -> Family {
        let first = real_servers.first();
        self.family.unwrap_or_else(|| {
            let first = first.map_or(Family::V4, |rs| Family::from(rs.addr.ip()));
            let same = |rs: &RealServer| Family::from(rs.addr.ip()) == first;
            match real_servers.iter().all(same) {
                true => first,
                false => Family::V4,
            }
        })
    }

    fn key(&self, family: Family) -> ServiceKey {
        match &self.draft.target {
            Target::Address(at) => ServiceKey::Address {
                addr: at.ip(),
                port: at.port(),
                transport: self.transport.unwrap_or(Transport::Udp),
            },
            Target::Fwmark(mark) => ServiceKey::Fwmark {
                mark: *mark,
                family,
            },
            Target::Group(name) => ServiceKey::Group {
                name: name.as_str().into(),
                number: self.number,
            },
        }
    }

    /// What it stands for: addresses first, then marks.
    fn listen(&mut self, family: Family, real_servers: &[RealServer]) -> Option<Vec<Listen>> {
        let mut wanted: Vec<Listen> = match &self.draft.target {
            Target::Address(at) => vec![Listen::Addresses {
                first: at.ip(),
                last: at.ip(),
                port: at.port(),
            }],
            Target::Fwmark(mark) => vec![Listen::Fwmark {
                mark: *mark,
                family,
            }],
            Target::Group(_) => self.entries.iter().map(|e| entry(e, family)).collect(),
        };
        wanted.sort_by_key(|l| matches!(l, Listen::Fwmark { .. }));
        let foreign = |l: &Listen| family_of_entry(l) != family;
        if wanted.iter().any(foreign) && !real_servers.iter().all(|r| r.method.is_tunnel()) {
            let text = format!(
                "Virtual server {}: its group and its real servers are of different families - ignoring",
                self.name
            );
            self.log(Code::WrongFamily, text);
            return None;
        }
        let mut found = Vec::with_capacity(wanted.len());
        for one in wanted {
            let why = match self.servers.claims.take(&one, self.transport) {
                Ok(()) => {
                    found.push(one);
                    continue;
                }
                Err(Refused::Taken) => "has another virtual server already",
                Err(Refused::TooLarge) => "are too many addresses",
            };
            let text = format!(
                "Virtual server {}: {} {why} - ignoring",
                self.name,
                shown(&one)
            );
            self.log(Code::Duplicate, text);
        }
        (!found.is_empty()).then_some(found)
    }

    /// Whether one-packet scheduling remains.
    fn protocol(&mut self) -> bool {
        let draft = self.draft;
        match (self.only_marks(), self.transport) {
            (false, None) => {
                let text = format!(
                    "Virtual server {}: no protocol set - defaulting to UDP",
                    self.name
                );
                self.say(Code::Defaulted, text);
                self.transport = Some(Transport::Udp);
                self.rename();
            }
            (true, Some(_)) => {
                let text = format!(
                    "Warning: Virtual server {}: protocol specified for fwmark - protocol will be ignored",
                    self.name
                );
                self.say(Code::Useless, text);
                self.transport = None;
            }
            (false, Some(_)) | (true, None) => {}
        }
        let fits = self.transport.is_none_or(|t| t == Transport::Udp);
        if draft.ops && !fits {
            let text = format!(
                "Virtual server {}: one packet scheduling requires UDP - resetting",
                self.name
            );
            self.say(Code::Conflict, text);
        }
        draft.ops && fits
    }

    /// Without a port there must be persistence.
    fn persistence(&mut self) -> Option<Persistence> {
        let draft = self.draft;
        let no_port = match self.at {
            Some(at) => at.port() == 0,
            None => self.entries.iter().any(no_port),
        };
        let timeout = match draft.persistence {
            Some(timeout) => timeout,
            None if no_port => {
                let text = format!(
                    "Virtual server {}: zero port only valid for persistent services - setting",
                    self.name
                );
                self.say(Code::Defaulted, text);
                PERSISTENCE
            }
            None => return None,
        };
        Some(Persistence {
            timeout,
            granularity: draft.granularity,
            engine: draft.engine.clone(),
        })
    }

    fn script(&mut self, draft: Option<Box<CommandDraft>>) -> Option<Arc<NotifyScript>> {
        let Around { scripts, diags, .. } = &mut self.around;
        scripts.notify(draft, diags)
    }
}

fn no_port(entry: &GroupEntry) -> bool {
    match entry {
        GroupEntry::Addresses { port, .. } => *port == 0,
        GroupEntry::Fwmark { .. } => false,
    }
}

fn entry(entry: &GroupEntry, servers: Family) -> Listen {
    match *entry {
        GroupEntry::Addresses { first, last, port } => Listen::Addresses { first, last, port },
        GroupEntry::Fwmark { mark, family } => Listen::Fwmark {
            mark,
            family: family.unwrap_or(servers),
        },
    }
}

fn family_of_entry(entry: &Listen) -> Family {
    match *entry {
        Listen::Addresses { first, .. } => first.into(),
        Listen::Fwmark { family, .. } => family,
    }
}

/// As it is written in the group.
fn shown(entry: &Listen) -> String {
    match entry {
        Listen::Addresses { first, last, .. } if first == last => first.to_string(),
        Listen::Addresses { first, last, .. } => format!("{first}-{last}"),
        Listen::Fwmark { mark, .. } => format!("fwmark {mark}"),
    }
}
