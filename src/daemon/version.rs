//! Who we are, and whom we stand in for: exporters and configuration management parse the first line of `-v`.
//! Source: keepalived(8) `-v`.

use std::fmt::Write as _;

/// The keepalived that this replaces; its features are there, its bugs are not.
pub(crate) const STANDS_FOR: &str = "Keepalived v2.4.3 (08/13,2026)";
/// Our own name and version.
const OURS: &str = concat!("keepalived-rs v", env!("CARGO_PKG_VERSION"));
/// What tools look for in the version text; only what is there.
const FEATURES: &str = "NFTABLES LVS REGEX VRRP VRRP_AUTH VRRP_VMAC VRRP_IPVLAN JSON FILE_LOGGING \
    INIT=systemd SYSTEMD_NOTIFY";

/// What `-v` prints.
pub(crate) fn text() -> String {
    let license = env!("CARGO_PKG_LICENSE");
    let mut text = format!("{STANDS_FOR}\n\nThis is {OURS}, licence {license}\n\n");
    // Writing to a String cannot fail.
    _ = writeln!(text, "Running on {}", kernel());
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let distro = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    if let Some(name) = distro {
        _ = writeln!(text, "Distro: {}", name.trim_matches('"'));
    }
    _ = writeln!(text, "\nConfig options:  {FEATURES}");
    text
}

/// `SYSNAME RELEASE VERSION`.
pub(crate) fn kernel() -> String {
    match nix::sys::utsname::uname() {
        Ok(u) => [u.sysname(), u.release(), u.version()]
            .map(|s| s.to_string_lossy().into_owned())
            .join(" "),
        Err(e) => e.to_string(),
    }
}
