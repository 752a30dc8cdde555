//! Who we are, and whom we stand in for: exporters and configuration management parse the first line of `-v`.
//! Source: keepalived(8) `-v`.

use std::fmt::Write as _;

/// The keepalived that this replaces; its features are there, its bugs are not.
pub(crate) const STANDS_FOR: &str = "Keepalived v2.4.3 (08/13,2026)";
/// Our own name and version.
const OURS: &str = concat!("keepalived-rs v", env!("CARGO_PKG_VERSION"));
/// What tools look for in the version text; only what is there.
const FEATURES: &str = "NFTABLES LVS REGEX VRRP VRRP_AUTH VRRP_VMAC JSON OLD_CHKSUM_COMPAT \
    IPROUTE_ETC_DIR=/etc/iproute2 IPROUTE_USR_DIR=/usr/share/iproute2 FILE_LOGGING LOG_FILE_APPEND INIT=systemd \
    SYSTEMD_NOTIFY";
/// The kernel whose uapi headers say what the numbers in here mean.
const HEADERS: &str = "6.1.0";
/// As keepalived's would have to be called to have the same.
const CONFIGURE: &str = "--prefix=/usr --sysconfdir=/etc --with-init=systemd --enable-json --enable-regex \
    --enable-log-file --disable-bfd --disable-snmp --disable-dbus";
/// What of the system is used, in keepalived's words; only what is there.
const SYSTEM: &str = "IPV4_DEVCONF RTA_ENCAP RTA_EXPIRES RTA_PREF FRA_SUPPRESS_PREFIXLEN \
    FRA_SUPPRESS_IFGROUP FRA_TUN_ID RTAX_CC_ALGO RTAX_QUICKACK FRA_L3MDEV FRA_UID_RANGE RTAX_FASTOPEN_NO_COOKIE \
    RTA_VIA FRA_PROTOCOL FRA_IP_PROTO FRA_SPORT_RANGE FRA_DPORT_RANGE RTA_TTL_PROPAGATE IFA_FLAGS F_OFD_SETLK IFA_PROTO \
    LWTUNNEL_ENCAP_MPLS LWTUNNEL_ENCAP_ILA LIBIPVS_NETLINK IPVS_DEST_ATTR_ADDR_FAMILY IPVS_SYNCD_ATTRIBUTES \
    IPVS_TUN_TYPE IPVS_TUN_CSUM IPVS_TUN_GRE VRRP_IPVLAN IFLA_LINK_NETNSID INET6_ADDR_GEN_MODE VRF SO_MARK";

/// What `-v` prints.
pub(crate) fn text() -> String {
    let license = env!("CARGO_PKG_LICENSE");
    let mut text = format!("{STANDS_FOR}\n\nThis is {OURS}, licence {license}\n\n");
    // Writing to a String cannot fail.
    _ = writeln!(text, "Built with kernel headers for Linux {HEADERS}");
    _ = writeln!(text, "Running on {}", kernel());
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let distro = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    if let Some(name) = distro {
        _ = writeln!(text, "Distro: {}", name.trim_matches('"'));
    }
    _ = writeln!(text, "\nconfigure options: {CONFIGURE}");
    _ = writeln!(text, "\nConfig options:  {FEATURES}");
    _ = writeln!(text, "\nSystem options:  {SYSTEM}");
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
