//! `check --migrate`: what of this machine and its configuration will be the same under keepalived-rs, what will differ, and
//! the commands to switch and to go back.
//!
//! It looks and changes nothing. `machine` gathers facts, [`report`] is a function of them.

mod machine;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use self::machine::{Daemon, Facts, Ipvs, Packages};
use super::finding::{Node, Severity};
use super::{own, run as frame};
use crate::cli::check::CheckOptions;
use crate::config::host::Host;
use crate::config::source::Code;
use crate::model::Config;
use crate::model::lvs::Method;

/// Exit status when something must be mended first.
const STOP: u8 = 2;

/// How a line counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Same,
    /// Works, but not as before.
    Differs,
    /// Must be mended before switching.
    Stop,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Same => "same   ",
            Self::Differs => "differs",
            Self::Stop => "STOP   ",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    mark: Mark,
    text: String,
}

#[derive(Debug, Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, mark: Mark, text: impl Into<String>) {
        let text = text.into();
        self.0.push(Line { mark, text });
    }
}

/// What the configuration says, as far as moving is concerned.
#[derive(Debug)]
struct Wishes<'a> {
    /// As it was given.
    path: &'a str,
    config: &'a Config,
    errors: usize,
    warnings: usize,
    /// Statements that have no effect yet.
    without_effect: Vec<String>,
    /// The scripts' user was not named.
    default_user: bool,
}

/// Returns the exit status: 0 all the same, 1 something differs, 2 something must be mended first.
pub(super) fn run(options: &CheckOptions) -> u8 {
    let facts = Facts::gather();
    let mut options = options.clone();
    // What runs knows best which file counts.
    if let (Some(file), [only]) = (facts.config_file(), &mut options.files[..])
        && *only == "/etc/keepalived/keepalived.conf"
    {
        *only = file;
    }
    let (nodes, host) = match frame::read(&options) {
        Ok(read) => read,
        Err(why) => {
            frame::complain(&why);
            return frame::NOTHING_CHECKED;
        }
    };
    let mut worst = Mark::Same;
    for node in &nodes {
        let lines = report(&facts, &wishes(node, &host));
        worst = lines
            .0
            .iter()
            .map(|l| l.mark)
            .max()
            .unwrap_or(worst)
            .max(worst);
        frame::print(&text(&facts, node, &lines));
    }
    match worst {
        Mark::Same => 0,
        Mark::Differs => 1,
        Mark::Stop => STOP,
    }
}

fn wishes<'a>(node: &'a Node, host: &dyn Host) -> Wishes<'a> {
    let found = own::found(node, host);
    let count = |severity| found.iter().filter(|f| f.severity() == severity).count();
    let of = |code: Code| found.iter().filter(move |f| f.diag.code == code);
    Wishes {
        path: &node.name,
        config: &node.loaded.config,
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        without_effect: of(Code::NoEffectYet).map(|f| f.diag.text.clone()).collect(),
        default_user: found.iter().any(|f| f.diag.text.contains("default user")),
    }
}

/// What will be the same and what will not.
fn report(facts: &Facts, wishes: &Wishes<'_>) -> Lines {
    let mut lines = Lines::default();
    configuration(wishes, &mut lines);
    match &facts.daemon {
        Some(daemon) => running(daemon, &mut lines),
        None => lines.add(
            Mark::Same,
            "no keepalived runs: there is nothing to take over",
        ),
    }
    kernel(facts, wishes.config, &mut lines);
    surroundings(facts, wishes, &mut lines);
    lines
}

fn configuration(wishes: &Wishes<'_>, lines: &mut Lines) {
    let Wishes {
        path,
        config,
        errors,
        warnings,
        ..
    } = wishes;
    if *errors > 0 {
        lines.add(
            Mark::Stop,
            format!("{path} has {errors} error(s): `keepalived-rs check {path}` explains them"),
        );
    } else {
        lines.add(
            Mark::Same,
            format!(
                "{path} is read as it is: {} instance(s), {} virtual server(s), {} script(s)",
                config.instances.len(),
                config.virtual_servers.len(),
                config.scripts.len()
            ),
        );
    }
    if *warnings > 0 {
        lines.add(
            Mark::Same,
            format!(
                "{warnings} warning(s), which keepalived gives too: `keepalived-rs check {path}`"
            ),
        );
    }
    for text in &wishes.without_effect {
        lines.add(Mark::Differs, text.clone());
    }
}

fn running(daemon: &Daemon, lines: &mut Lines) {
    let version = daemon.version.as_deref().unwrap_or("of unknown version");
    let exe = daemon.exe.display();
    lines.add(
        Mark::Same,
        format!(
            "{exe}, {version}, runs as process {}: its options work unchanged: {}",
            daemon.pid,
            daemon.options()
        ),
    );
    if daemon.uid != 0 {
        lines.add(
            Mark::Differs,
            format!(
                "it runs as user {}: use keepalived-rs-unprivileged.service, or give your unit the same capabilities",
                daemon.uid
            ),
        );
    }
    if let Some(unit) = daemon
        .unit
        .as_deref()
        .filter(|unit| *unit != "keepalived.service")
    {
        lines.add(
            Mark::Differs,
            format!("it was started by {unit}, which the package does not replace: let it start /usr/sbin/keepalived as before"),
        );
    }
    if let Some(label) = &daemon.confinement {
        lines.add(
            Mark::Differs,
            format!("it is confined ({label}): ours has a file of another name and runs unconfined until the policy names /usr/sbin/keepalived-rs"),
        );
    }
    lines.add(
        Mark::Differs,
        "one process instead of three: `ps -C keepalived` shows one line, all pid files hold the same number",
    );
}

fn kernel(facts: &Facts, config: &Config, lines: &mut Lines) {
    if !config.virtual_servers.is_empty() {
        match facts.ipvs {
            Ipvs::Loaded => lines.add(
                Mark::Same,
                "IPVS is in the kernel; its table is adopted, no connection is lost",
            ),
            Ipvs::Module => lines.add(
                Mark::Same,
                "IPVS is a module of this kernel and is loaded at start",
            ),
            Ipvs::Missing => lines.add(
                Mark::Stop,
                "this kernel has no IPVS (modprobe ip_vs): virtual servers cannot work",
            ),
        }
        let nat = config.virtual_servers.iter().any(|vs| {
            let mut methods = vs.real_servers.iter().map(|rs| rs.method);
            methods.any(|method| method == Method::Nat)
        });
        if nat && facts.ip_forward == Some(false) {
            lines.add(
                Mark::Differs,
                "net.ipv4.ip_forward is 0, but there are real servers behind NAT: their answers stop here, as they do now",
            );
        }
    }
    let filters =
        config.instances.iter().any(|i| i.no_accept) || config.global.firewall.iptables.is_some();
    if filters && facts.nftables == Some(false) {
        lines.add(
            Mark::Stop,
            "no_accept or vrrp_iptables need nftables, which this kernel does not have",
        );
    } else if config.global.firewall.iptables.is_some() {
        lines.add(
            Mark::Differs,
            format!("vrrp_iptables: its rules are in the nftables table {}, the named chains stay empty", config.global.firewall.nftables.table),
        );
    }
}

fn surroundings(facts: &Facts, wishes: &Wishes<'_>, lines: &mut Lines) {
    if wishes.default_user {
        lines.add(
            Mark::Same,
            "scripts run as keepalived_script or root, as keepalived chooses too: script_user in global_defs says who",
        );
    }
    if facts.selinux == Some(true) {
        lines.add(Mark::Differs, "SELinux is enforcing: see what it says about the new binary with ausearch -m avc -ts recent");
    }
    if !facts.systemd {
        lines.add(Mark::Differs, "no systemd: start /usr/sbin/keepalived from whatever started it, the options are the same");
    }
}

/// The report for people.
fn text(facts: &Facts, node: &Node, lines: &Lines) -> String {
    let mut out = format!("Moving {} to keepalived-rs\n\n", node.name);
    for Line { mark, text } in &lines.0 {
        _ = writeln!(out, "  {}  {text}", mark.word());
    }
    if lines.0.iter().any(|l| l.mark == Mark::Stop) {
        out.push_str("\nMend what says STOP first.\n");
        return out;
    }
    out.push_str(&commands(facts));
    out
}

/// How to switch and to go back.
fn commands(facts: &Facts) -> String {
    let (install, package, remove, back) = match facts.packages {
        Packages::Deb => (
            "apt install",
            "./keepalived-rs_*.deb",
            "apt remove keepalived-rs",
            "apt install keepalived",
        ),
        Packages::Rpm => (
            "dnf install",
            "./keepalived-rs-*.rpm",
            "dnf remove keepalived-rs",
            "dnf install keepalived",
        ),
    };
    let mut out = String::new();
    if facts.daemon.is_some() && facts.packages == Packages::Deb {
        _ = write!(
            out,
            "
To switch without letting go of the addresses (the old daemon goes on running while its package is replaced):

  printf '#!/bin/sh\\nexit 101\\n' | sudo install -m 755 /dev/stdin /usr/sbin/policy-rc.d
  sudo {install} {package}
  sudo rm /usr/sbin/policy-rc.d
  sudo sh -c 'keepalived-rs adopt; systemctl start keepalived-rs'
"
        );
    }
    _ = write!(
        out,
        "
To switch, with one failover:

  sudo {install} {package}
  sudo systemctl enable --now keepalived-rs

To go back, with one failover; /etc/keepalived stays as it is:

  sudo {remove}
  sudo {back}
  sudo systemctl restart keepalived
"
    );
    out
}
