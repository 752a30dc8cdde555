//! Names and numbers of the firewall rules that `no_accept`, VMACs and groups of virtual servers need.
//! Source: keepalived.conf(5).

use std::sync::Arc;

/// What `vrrp_iptables`, `vrrp_ipsets` and `nftables*` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Firewall {
    /// `vrrp_iptables`; `None`: nftables is used where rules are needed.
    pub(crate) iptables: Option<Iptables>,
    /// `vrrp_ipsets`; used with `iptables` only.
    pub(crate) ipsets: Ipsets,
    pub(crate) nftables: Nftables,
    pub(crate) nftables_ipvs: NftablesIpvs,
    /// `nftables_counters`: rules count what they drop.
    pub(crate) counters: bool,
}

/// Chains that rules go to, 1..=27 octets each; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Iptables {
    /// Default INPUT.
    pub(crate) input: Option<Arc<str>>,
    /// Default OUTPUT; none if only an input chain is named.
    pub(crate) output: Option<Arc<str>>,
}

/// Sets that hold the addresses of rules, 1..=30 octets each, all different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ipsets {
    /// False: `vrrp_ipsets` without a name, a rule per address.
    pub(crate) used: bool,
    /// Default keepalived; the others are by default this and what is said there, cut to 31 octets.
    pub(crate) address: Arc<str>,
    /// Default with `6` behind it.
    pub(crate) address6: Arc<str>,
    /// `_if6`
    pub(crate) address_if6: Arc<str>,
    /// `_igmp`
    pub(crate) igmp: Arc<str>,
    /// `_mld`
    pub(crate) mld: Arc<str>,
    /// `_nd`
    pub(crate) vmac_nd: Arc<str>,
}

impl Default for Ipsets {
    fn default() -> Self {
        Self {
            used: true,
            address: "keepalived".into(),
            address6: "keepalived6".into(),
            address_if6: "keepalived_if6".into(),
            igmp: "keepalived_igmp".into(),
            mld: "keepalived_mld".into(),
            vmac_nd: "keepalived_nd".into(),
        }
    }
}

/// The tables `ip` and `ip6` of instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nftables {
    /// `nftables` was given; without it nftables is used where rules are needed and `vrrp_iptables` does not say.
    pub(crate) wanted: bool,
    /// `nftables`: name of the table, 1..=254 octets, default keepalived.
    pub(crate) table: Arc<str>,
    /// `nftables_priority` of base chains, default -1.
    pub(crate) priority: i32,
    /// `nftables_ifindex`: sets of link-local addresses know interfaces by number, not by name.
    pub(crate) ifindex: bool,
}

impl Default for Nftables {
    fn default() -> Self {
        Self {
            wanted: false,
            table: "keepalived".into(),
            priority: -1,
            ifindex: false,
        }
    }
}

/// Marks for groups of virtual servers, so that one IPVS service serves a whole group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NftablesIpvs {
    /// `nftables_ipvs` was given.
    pub(crate) wanted: bool,
    /// `nftables_ipvs`: name of the table, 1..=254 octets, default keepalived_ipvs.
    pub(crate) table: Arc<str>,
    /// `nftables_ipvs_priority`, default -1.
    pub(crate) priority: i32,
    /// `nftables_ipvs_start_fwmark`: the first mark that is used, ≥ 1, default 1000.
    pub(crate) start_fwmark: u32,
}

impl Default for NftablesIpvs {
    fn default() -> Self {
        Self {
            wanted: false,
            table: "keepalived_ipvs".into(),
            priority: -1,
            start_fwmark: 1000,
        }
    }
}
