//! What this machine is, as far as moving is concerned. Reads /proc, /sys and package databases; starts nothing but the
//! running daemon's own binary, for its version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sys::procfs;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The oldest process named keepalived.
    pub(super) daemon: Option<Daemon>,
    pub(super) ipvs: Ipvs,
    /// `None`: nobody can tell.
    pub(super) nftables: Option<bool>,
    /// `net.ipv4.ip_forward`.
    pub(super) ip_forward: Option<bool>,
    /// Enforcing; `None`: no SELinux.
    pub(super) selinux: Option<bool>,
    /// It is the init.
    pub(super) systemd: bool,
    pub(super) packages: Packages,
}

/// A daemon that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Daemon {
    pub(super) pid: i32,
    pub(super) exe: PathBuf,
    /// Its command line, the name first.
    pub(super) words: Vec<String>,
    /// First line of what `-v` prints.
    pub(super) version: Option<String>,
    /// The service it belongs to.
    pub(super) unit: Option<String>,
    pub(super) uid: u32,
    /// Its security label, unless that means nothing.
    pub(super) confinement: Option<String>,
}

/// Whether the kernel can balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ipvs {
    Loaded,
    Module,
    #[default]
    Missing,
}

/// Whose packages this machine takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Packages {
    #[default]
    Deb,
    Rpm,
}

impl Daemon {
    pub(super) fn options(&self) -> String {
        match self.words.get(1..) {
            None | Some([]) => "none".to_owned(),
            Some(words) => words.join(" "),
        }
    }
}

impl Facts {
    pub(super) fn gather() -> Self {
        let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
        let modules = PathBuf::from(format!("/lib/modules/{}", release.trim()));
        let has = |name: &str| {
            let listed = |list: &str| {
                let text = fs::read_to_string(modules.join(list)).unwrap_or_default();
                text.contains(&format!("/{name}.ko"))
            };
            listed("modules.dep") || listed("modules.builtin")
        };
        let is_on = |path: &str| read(path).map(|text| text.trim() == "1");
        let nftables =
            Path::new("/proc/net/netfilter").exists() && (loaded("nf_tables") || has("nf_tables"));
        Self {
            daemon: daemon(),
            ipvs: match () {
                () if Path::new("/proc/net/ip_vs").exists() => Ipvs::Loaded,
                () if has("ip_vs") => Ipvs::Module,
                () => Ipvs::Missing,
            },
            nftables: modules.exists().then_some(nftables),
            ip_forward: is_on("/proc/sys/net/ipv4/ip_forward"),
            selinux: is_on("/sys/fs/selinux/enforce"),
            systemd: Path::new("/run/systemd/system").exists(),
            packages: match Path::new("/var/lib/dpkg/status").exists() {
                true => Packages::Deb,
                false => Packages::Rpm,
            },
        }
    }

    /// The file that the running daemon was started with.
    pub(super) fn config_file(&self) -> Option<String> {
        let words = &self.daemon.as_ref()?.words;
        let mut words = words.iter().skip(1);
        while let Some(word) = words.next() {
            if let Some(file) = word.strip_prefix("--use-file=") {
                return Some(file.to_owned());
            }
            let cluster = word.strip_prefix('-').filter(|w| !w.starts_with('-'));
            match cluster.and_then(|c| c.split_once('f')) {
                Some((_, "")) => return words.next().cloned(),
                Some((flags, file))
                    if !flags
                        .contains(['p', 'r', 'c', 'b', 'i', 's', 'g', 'A', 'S', 'M', 't', 'u']) =>
                {
                    return Some(file.to_owned());
                }
                Some(_) | None => {}
            }
        }
        None
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn loaded(name: &str) -> bool {
    let modules = read("/proc/modules").unwrap_or_default();
    modules
        .lines()
        .any(|line| line.split(' ').next() == Some(name))
}

fn daemon() -> Option<Daemon> {
    let mut pids = procfs::processes();
    pids.sort_unstable();
    let is_daemon = |pid: &i32| {
        *pid != i32::try_from(std::process::id()).unwrap_or(0)
            && procfs::binary(*pid)
                .is_some_and(|name| matches!(&*name, "keepalived" | "keepalived-rs"))
            && !procfs::words(*pid).iter().any(|word| word == b"check")
    };
    let pid = pids.into_iter().find(is_daemon)?;
    let text = |file: &str| read(&format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status = text("status");
    let uid = status.lines().find_map(|line| {
        line.strip_prefix("Uid:")?
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
    });
    let cgroup = text("cgroup");
    let unit = cgroup
        .lines()
        .filter_map(|line| line.rsplit('/').next())
        .find(|unit| unit.ends_with(".service"));
    let label = text("attr/current");
    let label = label.trim_matches(['\0', '\n']);
    let free = ["", "unconfined", "kernel"].contains(&label) || label.contains("unconfined");
    let words = procfs::words(pid)
        .iter()
        .map(|w| String::from_utf8_lossy(w).into_owned())
        .collect();
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(Daemon {
        pid,
        version: version(&format!("/proc/{pid}/exe")),
        exe,
        words,
        unit: unit.map(ToOwned::to_owned),
        uid: uid.unwrap_or(0),
        confinement: (!free).then(|| label.to_owned()),
    })
}

/// What a binary says to `-v`.
fn version(exe: &str) -> Option<String> {
    let mut command = Command::new(exe);
    let output = command
        .arg("-v")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(text.lines().next()?.to_owned())
}
