//! What `keepalived-rs status` prints: how everything is, for people. stock keepalived has nothing like it.
//!
//! What is well is one line, what is not says why. Instances of the file come in its order; of real servers only those
//! that do not serve have a line.

use std::fmt::Write as _;
use std::time::Duration;

use crate::daemon::bus::{
    Claimed, InstanceSnapshot, ServerSnapshot, ServiceSnapshot, TrackSnapshot, VrrpState,
};
use crate::model::Config;
use crate::model::lvs::RealServer;
use crate::model::net::Family;
use crate::model::track::Script;
use crate::time::Mono;
use crate::track::command::Outcome;
use crate::vrrp::{Counters, FaultCause};

/// What the tasks answered, all of one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) instances: &'a [InstanceSnapshot],
    pub(crate) trackers: &'a TrackSnapshot,
    pub(crate) services: &'a [ServiceSnapshot],
    pub(crate) now: Mono,
    /// When the process started.
    pub(crate) started: Mono,
    /// Addresses of ours that others answer for.
    pub(crate) claims: &'a [Claimed],
    /// How often a thread was moved away from a processor that stood still.
    pub(crate) fetched: u64,
    /// The last reload: when, and whether it was taken.
    pub(crate) reload: Option<(Mono, bool)>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Ends with a newline.
    pub(crate) text: String,
    /// Nothing is there that somebody should look at.
    pub(crate) well: bool,
}

/// `pid`: of the daemon.
pub(crate) fn status(config: &Config, found: &Found<'_>, pid: u32) -> Status {
    let mut page = Page {
        text: String::new(),
        well: true,
        now: found.now,
    };
    page.process(found, pid);
    page.instances(config, found);
    page.trackers(config, found.trackers);
    page.servers(config, found.services);
    Status {
        text: page.text,
        well: page.well,
    }
}

struct Page {
    text: String,
    well: bool,
    now: Mono,
}

impl Page {
    fn line(&mut self, line: &str) {
        _ = writeln!(self.text, "{line}"); // writing to a String cannot fail
    }

    /// Something that somebody should look at.
    fn trouble(&mut self, line: &str) {
        self.well = false;
        self.line(line);
    }

    fn ago(&self, at: Mono) -> String {
        span(self.now.since(at))
    }

    fn process(&mut self, found: &Found<'_>, pid: u32) {
        let up = self.ago(found.started);
        self.line(&format!(
            "keepalived-rs {} (pid {pid}), running for {up}",
            env!("CARGO_PKG_VERSION")
        ));
        if found.fetched > 0 {
            self.line(&format!(
                "Moved away from a processor that stood still {} times",
                found.fetched
            ));
        }
        match found.reload {
            None => {}
            Some((at, true)) => {
                let ago = self.ago(at);
                self.line(&format!("Reloaded {ago} ago"));
            }
            Some((at, false)) => {
                let ago = self.ago(at);
                self.trouble(&format!(
                    "! The reload {ago} ago was refused, the configuration before it is in force"
                ));
            }
        }
    }

    fn instances(&mut self, config: &Config, found: &Found<'_>) {
        let all = found.instances;
        if config.instances.is_empty() {
            return;
        }
        self.line("");
        if all.is_empty() {
            self.trouble("! The VRRP task does not answer");
            return;
        }
        let mut table = Table::new([
            "instance",
            "state",
            "for",
            "priority",
            "interface",
            "vrid",
            "master",
        ]);
        for now in all {
            let i = &now.instance;
            let master = match (now.state, now.master) {
                (VrrpState::Master, _) => "this machine".to_owned(),
                (_, Some(seen)) => format!("{} (priority {})", seen.addr, seen.priority),
                (_, None) => "-".to_owned(),
            };
            let mut under = self.remarks(now);
            for claim in found.claims.iter().filter(|c| c.instance == i.name) {
                let Claimed { addr, mac, .. } = claim;
                under.push(format!(
                    "! {addr} is on another machine, too: {mac} answers ARP for it"
                ));
                self.well = false;
            }
            table.row(
                [
                    i.name.to_string(),
                    now.state.word().to_owned(),
                    now.since.map_or("-".to_owned(), |at| self.ago(at)),
                    now.effective_priority.to_string(),
                    i.interface
                        .as_ref()
                        .map_or("-".to_owned(), ToString::to_string),
                    i.vrid.0.to_string(),
                    master,
                ],
                under,
            );
        }
        self.text += &table.text();
    }

    /// What there is to say of an instance besides its row.
    fn remarks(&mut self, now: &InstanceSnapshot) -> Vec<String> {
        let mut remarks = Vec::new();
        for cause in &now.causes {
            let (text, fault) = why(cause);
            remarks.push(format!("{} {text}", if fault { "!" } else { " " }));
            self.well &= !fault;
        }
        if now.state == VrrpState::Fault && now.causes.is_empty() {
            remarks.push("! its sync group is in fault".to_owned());
            self.well = false;
        }
        let refused = refused(&now.counters);
        if refused > 0 {
            remarks.push(format!(
                "  {refused} advertisements of others were refused; keepalived.stats tells for what"
            ));
        }
        if now.counters.overslept > 0 {
            remarks.push(format!(
                "  woke too late {} times and listened first",
                now.counters.overslept
            ));
        }
        remarks
    }

    fn trackers(&mut self, config: &Config, found: &TrackSnapshot) {
        let mut table = Table::new(["tracked", "name", "result", "last run"]);
        for script in &config.scripts {
            self.script(script, found, &mut table);
        }
        for (name, process) in &found.processes {
            let (word, remarks) = match process.good {
                Some(true) => ("good", None),
                Some(false) => ("BAD", Some("! too few or too many of them run".to_owned())),
                None => ("unknown", None),
            };
            self.well &= remarks.is_none();
            let count = format!("{} running", process.count);
            table.row(
                ["process".into(), name.to_string(), word.into(), count],
                remarks,
            );
        }
        for (name, value) in &found.files {
            table.row(
                [
                    "file".into(),
                    name.to_string(),
                    value.to_string(),
                    "-".into(),
                ],
                None,
            );
        }
        if !table.rows.is_empty() {
            self.line("");
            self.text += &table.text();
        }
    }

    fn script(&mut self, script: &Script, found: &TrackSnapshot, table: &mut Table<4>) {
        let Some(now) = found.scripts.get(&script.name) else {
            return; // nobody follows it
        };
        let (word, bad) = match now.good {
            Some(true) => ("good", false),
            Some(false) => ("BAD", true),
            None => ("unknown", false),
        };
        self.well &= !bad;
        let last = now.last.as_ref().map_or("-".to_owned(), |last| {
            let end = match last.outcome {
                Outcome::Status(status) => format!("exit status {status}"),
                Outcome::Signal(signal) => format!("killed by signal {signal}"),
            };
            format!("{end} after {} ms", last.took.as_millis())
        });
        let mut remarks = Vec::new();
        if let (true, Some(said)) = (bad, now.last.as_ref().and_then(|last| last.said.as_ref())) {
            remarks.push(format!(
                "! it said: {}",
                said.replace(char::is_control, " ")
            ));
        }
        if now.stuck > 0 {
            remarks.push(format!("! {} of its runs cannot be killed", now.stuck));
            self.well = false;
        }
        table.row(
            ["script".into(), script.name.to_string(), word.into(), last],
            remarks,
        );
    }

    fn servers(&mut self, config: &Config, found: &[ServiceSnapshot]) {
        if config.virtual_servers.is_empty() {
            return;
        }
        self.line("");
        if found.is_empty() {
            self.trouble("! The LVS task does not answer");
            return;
        }
        let mut table = Table::new(["virtual server", "real servers", "quorum"]);
        for service in found {
            let vs = &service.vs;
            let both = || vs.real_servers.iter().zip(&service.servers);
            let up = both().filter(|(_, now)| now.alive).count();
            let quorum = match (service.quorum_met, vs.sorry_server.is_some()) {
                (true, _) => "met",
                (false, true) => "LOST, the sorry server serves",
                (false, false) => "LOST",
            };
            self.well &= service.quorum_met;
            let down: Vec<_> = both().filter_map(|(rs, now)| serving(rs, now)).collect();
            self.well &= down.iter().all(|line| !line.starts_with('!'));
            table.row(
                [
                    vs.key.to_string(),
                    format!("{up} of {} up", vs.real_servers.len()),
                    quorum.to_owned(),
                ],
                down,
            );
        }
        self.text += &table.text();
    }
}

/// Why that server has no full share of the requests; `None`: it has.
fn serving(rs: &RealServer, now: &ServerSnapshot) -> Option<String> {
    let addr = rs.addr;
    if now.alive {
        return (now.weight == 0).then(|| format!("  {addr} is up, with weight 0"));
    }
    if now.checks.iter().any(|check| !check.enabled) {
        return Some(format!("  {addr} is suspended until its address is here"));
    }
    let failed: Vec<_> = rs
        .checkers
        .iter()
        .zip(&now.checks)
        .filter(|(_, check)| !check.up)
        .map(|(checker, check)| match check.ran {
            true => format!("{} fails", checker.check.keyword()),
            false => format!("{} was not run yet", checker.check.keyword()),
        })
        .collect();
    Some(format!("! {addr} is down: {}", failed.join(", ")))
}

/// In words, and whether it is anything to look at.
fn why(cause: &FaultCause) -> (String, bool) {
    let text = match cause {
        FaultCause::InterfaceDown(name) => format!("interface {name} is down or missing"),
        FaultCause::InterfaceUp(name) => format!("interface {name} is up"),
        FaultCause::NoSource(Family::V4) => "the interface has no IPv4 address".to_owned(),
        FaultCause::NoSource(Family::V6) => {
            "the interface has no IPv6 link-local address".to_owned()
        }
        FaultCause::SourceMissing(addr) => format!("the source address {addr} is missing"),
        FaultCause::NoPeer => "there are no unicast peers".to_owned(),
        FaultCause::Script(name) => format!("tracked script {name}"),
        FaultCause::File(name) => format!("tracked file {name}"),
        FaultCause::Process(name) => format!("tracked process {name}"),
        FaultCause::Bfd(name) => format!("BFD session {name}"),
        FaultCause::ScriptPending(name) => {
            return (
                format!("waits for the first result of script {name}"),
                false,
            );
        }
    };
    (text, true)
}

/// Advertisements that were not believed.
fn refused(counters: &Counters) -> u64 {
    let Counters {
        advert_received: _,
        advert_sent: _,
        became_master: _,
        released_master: _,
        packet_length_errors,
        ttl_errors,
        invalid_type,
        advert_interval_errors,
        address_list_errors,
        invalid_auth_type,
        auth_type_mismatch,
        auth_failures,
        version_errors,
        checksum_errors,
        hmac_missing,
        hmac_malformed,
        hmac_unknown_key,
        hmac_invalid,
        hmac_stale,
        hmac_replay,
        priority_zero_received: _,
        priority_zero_sent: _,
        overslept: _,
    } = *counters;
    [
        packet_length_errors,
        ttl_errors,
        invalid_type,
        advert_interval_errors,
        address_list_errors,
        invalid_auth_type,
        auth_type_mismatch,
        auth_failures,
        version_errors,
        checksum_errors,
        hmac_missing,
        hmac_malformed,
        hmac_unknown_key,
        hmac_invalid,
        hmac_stale,
        hmac_replay,
    ]
    .iter()
    .sum()
}

/// The two largest units.
fn span(span: Duration) -> String {
    let s = span.as_secs();
    let (days, hours, minutes) = (s / 86_400, s / 3_600 % 24, s / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{minutes} min {} s", s % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        (..) => format!("{days} d {hours} h"),
    }
}

/// Columns as wide as they must be, and lines under rows.
struct Table<const N: usize> {
    rows: Vec<([String; N], Vec<String>)>,
    head: [&'static str; N],
}

impl<const N: usize> Table<N> {
    fn new(head: [&'static str; N]) -> Self {
        Self {
            rows: Vec::new(),
            head,
        }
    }

    fn row(&mut self, cells: [String; N], under: impl IntoIterator<Item = String>) {
        self.rows.push((cells, under.into_iter().collect()));
    }

    fn text(&self) -> String {
        let width = |n: usize| {
            let cells = self.rows.iter().filter_map(|(cells, _)| cells.get(n));
            let widest = cells.map(|c| c.chars().count()).max().unwrap_or(0);
            widest.max(self.head.get(n).map_or(0, |h| h.len()))
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let line = |cells: [&str; N]| {
            let padded = cells.iter().zip(widths);
            let padded: Vec<_> = padded
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            format!("{}\n", padded.join("  ").trim_end())
        };
        let mut text = line(self.head);
        for (cells, under) in &self.rows {
            text += &line(cells.each_ref().map(String::as_str));
            for remark in under {
                _ = writeln!(text, "  {remark}"); // writing to a String cannot fail
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
