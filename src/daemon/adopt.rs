//! `keepalived-rs adopt`: ends a keepalived that runs so suddenly that it cannot give anything back, and leaves word for which
//! instances it was master: the daemon that is started next goes on where the other one was, before anybody has noticed.
//!
//! Never touches the kernel's addresses, routes or tables, and nothing at all if the configuration is refused.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::identity::{Identity, PidFiles};
use super::load_options;
use super::reload::{self, Parts};
use crate::cli::Options;
use crate::model::Config;
use crate::model::vrrp::Instance;
use crate::sys::{netns, procfs};
use crate::vrrp::task::bequeath;

/// Exit code when there is nothing to adopt, or nothing was changed.
const REFUSED: u8 = 1;
/// Exit code when the other daemon is gone but no word could be left.
const HALF: u8 = 70;
/// How long the kernel may take to end a process.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns the exit code: 0 when whoever starts now goes on as master.
pub(crate) fn run(options: &Options) -> u8 {
    let source = load_options(options);
    if let Some(name) = &options.namespace
        && let Err(e) = netns::enter(name)
    {
        return refuse(&format!("{e}"));
    }
    let parts = Parts {
        vrrp: !options.no_vrrp,
        checkers: !options.no_checkers,
        bfd: !options.no_bfd,
    };
    let Ok(config) = reload::read(&source, parts).config else {
        return refuse(&format!(
            "{} is not usable: `keepalived-rs check` says why. Nothing was changed",
            source.path
        ));
    };
    if options.namespace.is_none()
        && let Some(name) = &config.global.net_namespace
        && let Err(e) = netns::enter(name)
    {
        return refuse(&format!("{e}"));
    }
    let paths = PidFiles::paths(options, &Identity::new(options, &config));
    let Some(daemon) = running(&paths[0]) else {
        return refuse(&format!(
            "no keepalived runs by its pid file {}: nothing was changed",
            paths[0].display()
        ));
    };
    let masters = match masters(&config) {
        Ok(masters) => masters,
        Err(e) => return refuse(&format!("cannot read the addresses of this machine: {e}")),
    };
    end(daemon);
    if let Err(e) = bequeath(&PidFiles::held_of(&paths), &masters) {
        complain(&format!(
            "the other daemon has ended, but no word can be left to the next one: {e}"
        ));
        return HALF;
    }
    let names: Vec<&str> = masters.iter().map(|i| &*i.name).collect();
    let names = match names[..] {
        [] => "no instance".to_owned(),
        _ => names.join(", "),
    };
    complain(&format!(
        "keepalived (pid {daemon}) has ended; it was master of {names}"
    ));
    0
}

/// The daemon that a pid file names, if it lives.
fn running(pid_file: &Path) -> Option<i32> {
    let text = fs::read_to_string(pid_file).ok()?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 1)?;
    let binary = procfs::binary(pid)?;
    matches!(&*binary, "keepalived" | "keepalived-rs").then_some(pid)
}

/// Instances whose first address this machine has.
fn masters(config: &Config) -> io::Result<Vec<Arc<Instance>>> {
    let there: BTreeSet<IpAddr> = nix::ifaddrs::getifaddrs()?
        .filter_map(|i| {
            let addr = i.address?;
            let v4 = addr.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| addr.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect();
    let carried = |i: &&Arc<Instance>| i.addresses.first().is_some_and(|a| there.contains(&a.addr));
    Ok(config.instances.iter().filter(carried).cloned().collect())
}

/// Ends a daemon and its own processes (not its scripts) at once. It is stopped first, so that it neither starts them
/// anew nor hears of their end.
fn end(daemon: i32) {
    let exe = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let binary = exe(daemon);
    // Who is gone already needs no signal.
    let send = |pid: i32, signal| _ = kill(Pid::from_raw(pid), signal);
    send(daemon, Signal::SIGSTOP);
    let own = |pid: &i32| procfs::parent(*pid) == Some(daemon) && exe(*pid) == binary;
    let children: Vec<i32> = procfs::processes().into_iter().filter(own).collect();
    let all: Vec<i32> = children.into_iter().chain([daemon]).collect();
    for pid in &all {
        send(*pid, Signal::SIGKILL);
    }
    let until = Instant::now() + PATIENCE;
    while all.iter().any(|pid| exe(*pid).is_some()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1)); // there is nothing to wait on: they are not our children
    }
}

fn refuse(why: &str) -> u8 {
    complain(why);
    REFUSED
}

/// A line on standard error, which may be closed.
fn complain(line: &str) {
    _ = writeln!(io::stderr(), "{line}");
}
