//! Which interfaces and kernel settings a configuration wants, whatever state its instances are in. Pure.
//!
//! The settings keep the kernel from answering for a VMAC's addresses on its base and the other way round, and let it
//! accept what comes in on an interface that has no address of the source's network. Source: what keepalived sets; the
//! kernel's ip-sysctl.rst.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::model::Config;
use crate::model::firewall::Firewall;
use crate::model::net::{Family, IfName};
use crate::model::vmac::SubLink;

/// See the module. The order is that of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) links: Vec<WantedLink>,
    /// Virtual addresses, none of which is ever copied to a VMAC.
    virtual_addresses: BTreeSet<IpAddr>,
    /// Interfaces whose `promote_secondaries` is set.
    promote: BTreeSet<IfName>,
    /// `disable_local_igmp`.
    no_local_igmp: bool,
    /// Families of the addresses whose packets are dropped (`no_accept`).
    pub(crate) guarded: BTreeSet<Family>,
    /// Names and kind of the rules.
    pub(crate) firewall: Firewall,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedLink {
    /// Name of the instance, for the log.
    pub(crate) instance: Arc<str>,
    pub(crate) link: Arc<SubLink>,
}

/// Path below /proc/sys/net → value.
pub(crate) type Settings = BTreeMap<String, String>;

impl Wanted {
    /// What `config` wants.
    pub(crate) fn of(config: &Config) -> Self {
        let mut wanted = Self {
            no_local_igmp: config.global.disable_local_igmp,
            firewall: config.global.firewall.clone(),
            ..Self::default()
        };
        for instance in &config.instances {
            let all = instance.addresses.iter().chain(&instance.excluded);
            if instance.no_accept {
                let families = all.clone().map(|a| Family::from(a.addr));
                wanted.guarded.extend(families);
            }
            let link_local = all.map(|a| a.addr).filter(|addr| match addr {
                IpAddr::V4(_) => false,
                IpAddr::V6(addr) => addr.is_unicast_link_local(),
            });
            wanted.virtual_addresses.extend(link_local);
            wanted
                .links
                .extend(instance.links.iter().map(|link| WantedLink {
                    instance: Arc::clone(&instance.name),
                    link: Arc::clone(link),
                }));
            if instance.links.promote_secondaries && instance.links.own.is_none() {
                wanted.promote.extend(instance.interface.clone());
            }
        }
        wanted
    }

    /// There is nothing to be made or set.
    pub(crate) fn is_nothing(&self) -> bool {
        self.links.is_empty() && self.guarded.is_empty() && self.settings().is_empty()
    }

    /// An interface of ours by this name.
    pub(crate) fn has(&self, name: &IfName) -> bool {
        self.links.iter().any(|w| w.link.name == *name)
    }

    /// Settings of interfaces that others made, and of the whole machine; to be undone one day.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::new();
        for name in &self.promote {
            let key = format!("ipv4/conf/{}/promote_secondaries", name.as_str());
            settings.insert(key, "1".to_owned());
        }
        for base in self.v4_vmacs().map(|link| link.base.as_str()) {
            for setting in ["arp_ignore", "arp_filter"] {
                settings.insert(format!("ipv4/conf/{base}/{setting}"), "1".to_owned());
            }
        }
        if self.no_local_igmp {
            let key = "ipv4/igmp_link_local_mcast_reports".to_owned();
            settings.insert(key, "0".to_owned());
        }
        settings
    }

    /// Whether the filter of source addresses must be that of each interface: that of `all` would count for VMACs, too.
    pub(crate) fn needs_own_rp_filters(&self) -> bool {
        self.v4_vmacs().next().is_some()
    }

    /// What `net.ipv4.conf.*.rp_filter` become where they are `now`: nobody's filter gets laxer but ours. Empty where
    /// nothing has to be done.
    pub(crate) fn rp_filters(&self, now: &BTreeMap<String, u8>) -> Settings {
        let all = now.get("all").copied().unwrap_or(0);
        if all == 0 {
            return Settings::new();
        }
        let ours = |name: &str| self.links.iter().any(|w| w.link.name.as_str() == name);
        let key = |name: &str| format!("ipv4/conf/{name}/rp_filter");
        let mut settings: Settings = now
            .iter()
            .filter(|(name, value)| *name != "all" && **value < all && !ours(name))
            .map(|(name, _)| (key(name), all.to_string()))
            .collect();
        settings.insert(key("all"), "0".to_owned());
        settings
    }

    fn v4_vmacs(&self) -> impl Iterator<Item = &Arc<SubLink>> {
        let links = self.links.iter().map(|w| &w.link);
        links.filter(|link| link.v4 && link.is_vmac())
    }

    /// The address of the base that an IPv6 VMAC shares: advertisements come from it. `addrs`: those of the base.
    pub(crate) fn copied(
        &self,
        link: &SubLink,
        addrs: impl Iterator<Item = (IpAddr, u8)>,
    ) -> Option<(Ipv6Addr, u8)> {
        if !link.v6 || !link.is_vmac() {
            return None;
        }
        let mut addrs = addrs.filter(|(addr, _)| !self.virtual_addresses.contains(addr));
        addrs.find_map(|(addr, len)| match addr {
            IpAddr::V6(addr) if addr.is_unicast_link_local() => Some((addr, len)),
            IpAddr::V6(_) | IpAddr::V4(_) => None,
        })
    }
}

/// Settings of an interface of ours, in the order in which they are made, before it is up.
pub(crate) fn own_settings(link: &SubLink) -> Vec<(String, &'static str)> {
    let name = link.name.as_str();
    let v4 = |setting: &str| format!("ipv4/conf/{name}/{setting}");
    let v6 = |setting: &str| format!("ipv6/conf/{name}/{setting}");
    let mut settings = Vec::new();
    if !link.is_vmac() {
        return settings;
    }
    if link.v4 {
        settings.extend([
            (v4("accept_local"), "1"),
            (v4("promote_secondaries"), "1"),
            (v4("rp_filter"), "0"),
        ]);
    }
    settings.push((v4("arp_ignore"), "1"));
    // IN6_ADDR_GEN_MODE_NONE
    settings.push((v6("addr_gen_mode"), "1"));
    settings.push((v6("disable_ipv6"), if link.v6 { "0" } else { "1" }));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::vmac::SubLinkKind;

    fn wanted(v6: bool) -> Wanted {
        let name = |n| IfName::new(n).expect("a name");
        let link = SubLink {
            name: name("vrrp.1"),
            base: name("eth0"),
            kind: SubLinkKind::Macvlan {
                mac: [0, 0, 0x5e, 0, 1, 1],
            },
            group: None,
            v4: !v6,
            v6,
            tell_base: false,
        };
        Wanted {
            links: vec![WantedLink {
                instance: "V".into(),
                link: Arc::new(link),
            }],
            ..Wanted::default()
        }
    }

    #[test]
    fn nobodys_filter_gets_laxer_but_that_of_the_vmac() {
        let now = |list: &[(&str, u8)]| {
            let pairs = list.iter().map(|&(name, value)| (name.to_owned(), value));
            pairs.collect::<BTreeMap<_, _>>()
        };
        let w = wanted(false);
        assert!(w.rp_filters(&now(&[("all", 0), ("eth0", 1)])).is_empty());
        let plan = w.rp_filters(&now(&[
            ("all", 1),
            ("default", 0),
            ("eth0", 0),
            ("eth1", 2),
            ("vrrp.1", 0),
        ]));
        let plan: Vec<_> = plan.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "1"),
            ("ipv4/conf/eth0/rp_filter", "1"),
        ];
        assert_eq!(plan, expected);
    }

    #[test]
    fn an_ipv6_vmac_leaves_its_base_alone_and_shares_its_own_address() {
        let mut w = wanted(true);
        assert!(w.settings().is_empty() && !w.needs_own_rp_filters());
        let addr = |a: &str| a.parse::<IpAddr>().expect("an address");
        w.virtual_addresses.insert(addr("fe80::100"));
        let addrs = ["2001:db8::1", "fe80::100", "fe80::1"].map(|a| (addr(a), 64));
        let link = Arc::clone(&w.links[0].link);
        let copied = w.copied(&link, addrs.into_iter());
        assert_eq!(copied, Some(("fe80::1".parse().expect("an address"), 64)));
        let link = Arc::clone(&wanted(false).links[0].link);
        assert_eq!(w.copied(&link, addrs.into_iter()), None);
    }
}
