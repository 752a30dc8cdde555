//! Interfaces that instances bring along: their names, and which address stands on which.
//!
//! A name is final here. One that an earlier run (or this one, before a reload) has given to an interface with the same
//! base and MAC is kept, so that neither a crash nor another order of the instances makes a new one of it. Source:
//! keepalived's behaviour.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::blocks::ip_line::AddressDraft;
use crate::config::blocks::sub_links::VmacDraft;
use crate::config::blocks::vrrp_instance::InstanceDraft;
use crate::config::host::{Host, SubLinkFacts, SubLinkSort};
use crate::config::source::{Code, Diag, Diags};
use crate::model::global::Global;
use crate::model::net::{Family, IfName, VirtualAddress};
use crate::model::vmac::{SubLink, SubLinkKind};
use crate::model::vrrp::{Instance, Vrid};

/// What a VMAC is to the wire: base and MAC.
type Wire = (IfName, [u8; 6]);

/// Hands out names.
pub(super) struct Names<'a> {
    host: &'a dyn Host,
    /// What is there already.
    there: Vec<SubLinkFacts>,
    /// Those of `there` that the configuration wants.
    kept: HashMap<Wire, IfName>,
    taken: HashSet<IfName>,
    /// Which instance a VMAC belongs to.
    owners: HashMap<Wire, Arc<str>>,
}

/// RFC 9568 §7.3.
fn mac(family: Family, vrid: Vrid) -> [u8; 6] {
    let kind = match family {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    [0, 0, 0x5e, 0, kind, vrid.0.get()]
}

/// `given`: five octets, which the VRID completes, or six.
fn own_mac(given: Option<&[u8]>, family: Family, vrid: Vrid) -> [u8; 6] {
    match given {
        Some(&[a, b, c, d, e]) => [a, b, c, d, e, vrid.0.get()],
        Some(&[a, b, c, d, e, f]) => [a, b, c, d, e, f],
        Some(_) | None => mac(family, vrid),
    }
}

/// Strict mode knows the MAC of the RFC only.
fn custom<'a>(draft: &InstanceDraft, vmac: &'a VmacDraft) -> Option<&'a [u8]> {
    vmac.mac.as_deref().filter(|_| !draft.strict)
}

fn family_of(draft: &InstanceDraft) -> Family {
    let excluded = || draft.excluded.first().map(|a| a.addr.into());
    draft.family.or_else(excluded).unwrap_or(Family::V4)
}

impl<'a> Names<'a> {
    /// Looks at what all `drafts` want, so that nobody gets a name that another one has or names.
    /// Octets of an IP packet on an interface that there is.
    pub(super) fn mtu(&self, name: &IfName) -> Option<u32> {
        Some(self.host.interface(name.as_str())?.mtu)
    }

    pub(super) fn new(drafts: &[Box<InstanceDraft>], host: &'a dyn Host) -> Self {
        let there = host.sub_links();
        let mut kept = HashMap::new();
        let mut taken = HashSet::new();
        for draft in drafts {
            let (Some(interface), Some(vrid)) = (&draft.interface, draft.vrid) else {
                continue;
            };
            let family = family_of(draft);
            let mut wanted = Vec::new();
            if let Some(vmac) = &draft.links.vmac {
                let mac = own_mac(custom(draft, vmac), family, vrid);
                wanted.push((interface.clone(), mac));
                taken.extend(vmac.name.clone());
            }
            if let Some(ipvlan) = &draft.links.ipvlan {
                taken.extend(ipvlan.name.clone());
            }
            wanted.extend(draft.addresses.iter().chain(&draft.excluded).map(|a| {
                let base = a.dev.as_ref().unwrap_or(interface);
                (base.clone(), mac(a.addr.into(), vrid))
            }));
            for wire in wanted {
                let same = |l: &&SubLinkFacts| {
                    l.sort == SubLinkSort::PrivateMacvlan
                        && l.mac == wire.1
                        && l.base == wire.0.as_str()
                };
                if let Some(name) = there.iter().find(same).and_then(|l| IfName::new(&l.name)) {
                    taken.insert(name.clone());
                    kept.insert(wire, name);
                }
            }
        }
        Self {
            host,
            there,
            kept,
            taken,
            owners: HashMap::new(),
        }
    }

    /// Nobody has it, or only an interface of the sort `sort`, which then makes room.
    fn is_free(&self, name: &IfName, sort: SubLinkSort) -> bool {
        let same = |l: &SubLinkFacts| l.name == name.as_str() && l.sort.is_like(sort);
        let there = self.host.interface(name.as_str()).is_some();
        !self.taken.contains(name) && (!there || self.there.iter().any(same))
    }

    /// `PREFIX.VRID`, or with a number (for IPv6 first with a 6) behind the prefix.
    fn generate(&mut self, prefix: &str, vrid: Vrid, family: Family, sort: SubLinkSort) -> IfName {
        let six = (family == Family::V6).then(|| "6".to_owned());
        let numbers = (1_u32..).map(|n| n.to_string());
        let infixes = std::iter::once(String::new()).chain(six).chain(numbers);
        let names = infixes.filter_map(|infix| {
            let tail = format!("{infix}.{vrid}");
            let room = IfName::MAX.saturating_sub(tail.len());
            let head: String = prefix.chars().filter(char::is_ascii).take(room).collect();
            IfName::new(&format!("{head}{tail}"))
        });
        let free = names.take(1000).find(|name| self.is_free(name, sort));
        let name = free.unwrap_or_else(|| {
            // No machine has a thousand interfaces of that name. Making this one will fail and be reported.
            IfName::new(&format!("vrrp.{vrid}")).expect("a short name without blanks")
        });
        self.taken.insert(name.clone());
        name
    }

    /// The name of a VMAC. `Err`: who has it already.
    fn vmac(&mut self, owner: &Arc<str>, wire: &Wire, new: New<'_>) -> Result<IfName, Arc<str>> {
        let first = self
            .owners
            .entry(wire.clone())
            .or_insert_with(|| Arc::clone(owner));
        if first != owner {
            return Err(Arc::clone(first));
        }
        if let Some(name) = self.kept.get(wire) {
            return Ok(name.clone());
        }
        let name = match new.given {
            Some(name) => name.clone(),
            None => self.generate(
                new.prefix,
                new.vrid,
                new.family,
                SubLinkSort::PrivateMacvlan,
            ),
        };
        self.kept.insert(wire.clone(), name.clone());
        Ok(name)
    }
}

/// How a new VMAC is named.
struct New<'a> {
    given: Option<&'a IfName>,
    prefix: &'a str,
    vrid: Vrid,
    family: Family,
}

/// Complains in the instance's name.
fn say(draft: &InstanceDraft, code: Code, text: &str, diags: &mut Diags) {
    let text = format!("({}) {text}", draft.name);
    diags.push(Diag::bare(Some(draft.span), code, text));
}

/// Gives `v`, whose family and version are known, its interface and its addresses. False: another instance has the same
/// VMAC, and this one must not run.
pub(super) fn link(
    v: &mut Instance,
    draft: &InstanceDraft,
    global: &Global,
    names: &mut Names<'_>,
    diags: &mut Diags,
) -> bool {
    let default = global.default_interface.as_deref().and_then(IfName::new);
    let base = v.interface.clone();
    if let (Some(vmac), Some(base)) = (&draft.links.vmac, &base) {
        if draft.strict && vmac.mac.is_some() {
            let text = "a MAC address of its own is not possible in strict mode - clearing";
            say(draft, Code::Conflict, text, diags);
        }
        match own_vmac(v, base, (vmac, custom(draft, vmac)), global, names) {
            Ok(link) => {
                if vmac.name.as_ref().is_some_and(|name| *name != link.name) {
                    let text = format!(
                        "vmac name {} is given up, the interface exists as {}",
                        vmac.name.as_ref().map_or("", IfName::as_str),
                        link.name
                    );
                    say(draft, Code::Useless, &text, diags);
                }
                v.links.own = Some(Arc::new(link));
            }
            Err(other) => {
                let text = format!(
                    "uses the same VMAC as VRRP instance {other} - the instance is not run"
                );
                say(draft, Code::Conflict, &text, diags);
                return false;
            }
        }
    } else if let Some(base) = &base {
        own_ipvlan(v, base, draft, global, names, diags);
    }
    v.links.xmit_base = draft.links.xmit_base && draft.links.vmac.is_some();
    v.links.promote_secondaries = draft.links.promote_secondaries;
    if draft.links.promote_secondaries && v.links.own.is_some() {
        let text = "promote_secondaries is automatically set for vmacs - ignoring";
        say(draft, Code::Useless, text, diags);
        v.links.promote_secondaries = false;
    }
    let base = base.or(default);
    let mut good = true;
    let mut place = |a: &AddressDraft, v: &mut Instance| -> Option<VirtualAddress> {
        let Some(base) = a.dev.clone().or_else(|| base.clone()) else {
            let text = format!(
                "({}): no interface for vip {} - removing",
                draft.name, a.addr
            );
            diags.push(Diag::bare(Some(draft.span), Code::NoValue, text));
            return None;
        };
        match on(a, &base, v, draft, global, names) {
            Ok(placed) => Some(placed),
            Err(other) => {
                let text = format!(
                    "VIP/eVIP {}/{} uses same VMAC as VRRP instance {other}, disabling {}",
                    a.addr, a.prefix_len, draft.name
                );
                say(draft, Code::Conflict, &text, diags);
                good = false;
                Some(a.on(&base))
            }
        }
    };
    let all = draft.addresses.iter();
    v.addresses = all.filter_map(|a| place(a, v)).map(Arc::new).collect();
    v.addresses.shrink_to_fit();
    let all = draft.excluded.iter();
    v.excluded = all.filter_map(|a| place(a, v)).map(Arc::new).collect();
    // Kept as long as the configuration is, for each of thousands of instances.
    v.addresses.shrink_to_fit();
    v.excluded.shrink_to_fit();
    for a in draft.addresses.iter().chain(&draft.excluded) {
        if a.use_vmac() && draft.links.vmac.is_some() && on_own(a, v) {
            let text = format!(
                "use_vmac specified for VIP/eVIP {}/{} and vrrp instance",
                a.addr, a.prefix_len
            );
            say(draft, Code::Useless, &text, diags);
        }
    }
    good
}

/// The address belongs where the advertisements are, so to speak.
fn on_own(a: &AddressDraft, v: &Instance) -> bool {
    let here = a.dev.is_none() || a.dev == v.interface;
    here && Family::from(a.addr) == v.family
}

fn own_vmac(
    v: &Instance,
    base: &IfName,
    (vmac, given): (&VmacDraft, Option<&[u8]>),
    global: &Global,
    names: &mut Names<'_>,
) -> Result<SubLink, Arc<str>> {
    let mac = own_mac(given, v.family, v.vrid);
    let new = New {
        given: vmac.name.as_ref(),
        prefix: &global.vmac_prefix,
        vrid: v.vrid,
        family: v.family,
    };
    let name = names.vmac(&v.name, &(base.clone(), mac), new)?;
    Ok(SubLink {
        name,
        base: base.clone(),
        kind: SubLinkKind::Macvlan { mac },
        group: vmac.group,
        v4: v.family == Family::V4,
        v6: v.family == Family::V6,
        tell_base: vmac.tell_base,
    })
}

/// The addresses stand on it, as on a VMAC: the interface of an entry without `dev` is that of its instance. 2.2 speaks from its
/// ipvlan and leaves them on the base; 2.4 was not measured.
fn own_ipvlan(
    v: &mut Instance,
    base: &IfName,
    draft: &InstanceDraft,
    global: &Global,
    names: &mut Names<'_>,
    diags: &mut Diags,
) {
    let Some(ipvlan) = &draft.links.ipvlan else {
        return;
    };
    let name = ipvlan.name.clone().unwrap_or_else(|| {
        names.generate(&global.vmac_prefix, v.vrid, v.family, SubLinkSort::Ipvlan)
    });
    let addr = ipvlan.addr.filter(|(addr, _)| {
        let fits = Family::from(*addr) == v.family;
        if !fits {
            let text = format!("ipvlan address {addr} is of the other family - ignoring");
            say(draft, Code::WrongFamily, &text, diags);
        }
        fits
    });
    if v.family == Family::V4 && addr.is_none() {
        let text = "use_ipvlan needs an address with IPv4 - the instance stays in FAULT state";
        say(draft, Code::NoAddress, text, diags);
    }
    v.links.own = Some(Arc::new(SubLink {
        name,
        base: base.clone(),
        kind: SubLinkKind::Ipvlan {
            mode: ipvlan.mode.unwrap_or_default(),
            addr,
        },
        group: ipvlan.group,
        v4: v.family == Family::V4,
        v6: v.family == Family::V6,
        tell_base: false,
    }));
}

/// The address in its place. `Err`: who has its VMAC already.
fn on(
    a: &AddressDraft,
    base: &IfName,
    v: &mut Instance,
    draft: &InstanceDraft,
    global: &Global,
    names: &mut Names<'_>,
) -> Result<VirtualAddress, Arc<str>> {
    if let Some(link) = v.links.own.as_ref().filter(|_| on_own(a, v)) {
        let mut placed = a.on(&link.name);
        placed.dev = link.name.clone();
        return Ok(placed);
    }
    let elsewhere = !on_own(a, v);
    let own = a.use_vmac() || (draft.links.addresses && elsewhere);
    if !own {
        return Ok(a.on(base));
    }
    let family = Family::from(a.addr);
    let mac = mac(family, v.vrid);
    let new = New {
        given: None,
        prefix: &global.vmac_addr_prefix,
        vrid: v.vrid,
        family,
    };
    let name = names.vmac(&v.name, &(base.clone(), mac), new)?;
    let known = v.links.iter().any(|link| link.name == name);
    if !known {
        v.links.of_addresses.push(Arc::new(SubLink {
            name: name.clone(),
            base: base.clone(),
            kind: SubLinkKind::Macvlan { mac },
            group: None,
            v4: matches!(a.addr, IpAddr::V4(_)),
            v6: matches!(a.addr, IpAddr::V6(_)),
            tell_base: false,
        }));
    }
    let mut placed = a.on(&name);
    placed.dev = name;
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::Fake;
    use crate::model::Config;

    fn load(fake: &Fake) -> Arc<Config> {
        fake.load().config
    }

    /// Interface of the instance, interfaces of its addresses; for each instance.
    fn placed(config: &Config) -> Vec<(String, Vec<String>)> {
        let name = |name: &IfName| name.as_str().to_owned();
        let one = |i: &Arc<Instance>| {
            let all = i.addresses.iter().chain(&i.excluded);
            (
                i.voice().map(name).unwrap_or_default(),
                all.map(|a| name(&a.dev)).collect(),
            )
        };
        config.instances.iter().map(one).collect()
    }

    fn instance(name: &str, body: &str) -> String {
        format!("vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id 51\n{body}\n}}\n")
    }

    const V4: &str = "virtual_ipaddress {\n10.0.0.1/24\n}";
    const V6: &str = "virtual_ipaddress {\nfe80::1\n}";

    #[test]
    fn two_families_of_one_router_have_two_names_whichever_comes_first() {
        let text =
            instance("V", &format!("use_vmac\n{V4}")) + &instance("W", &format!("use_vmac\n{V6}"));
        let first = load(&Fake::with(&text));
        let names = |config: &Config| -> Vec<_> {
            placed(config).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&first), ["vrrp.51", "vrrp6.51"]);
        // They exist now, and the file has another order.
        let text =
            instance("W", &format!("use_vmac\n{V6}")) + &instance("V", &format!("use_vmac\n{V4}"));
        let mut fake = Fake::with(&text);
        for i in &first.instances {
            let link = i.links.own.as_ref().expect("a VMAC");
            let SubLinkKind::Macvlan { mac } = link.kind else {
                panic!("no macvlan");
            };
            fake.sub_links.push(SubLinkFacts {
                name: link.name.as_str().to_owned(),
                base: "eth0".to_owned(),
                mac,
                sort: SubLinkSort::PrivateMacvlan,
            });
        }
        let there = fake.interfaces.as_mut().expect("a list");
        there.extend(["vrrp.51".to_owned(), "vrrp6.51".to_owned()]);
        assert_eq!(names(&load(&fake)), ["vrrp6.51", "vrrp.51"]);
    }

    #[test]
    fn a_name_that_something_else_has_is_avoided_and_a_long_prefix_is_cut() {
        let text = "global_defs {\nvmac_prefix averylongprefix\n}\n".to_owned()
            + &instance("V", &format!("use_vmac\n{V4}"));
        let mut fake = Fake::with(&text);
        assert_eq!(placed(&load(&fake))[0].0, "averylongpre.51");
        let there = fake.interfaces.as_mut().expect("a list");
        there.push("averylongpre.51".to_owned());
        assert_eq!(placed(&load(&fake))[0].0, "averylongpr1.51");
    }

    #[test]
    fn addresses_of_the_other_family_stay_on_the_base_unless_they_have_a_vmac_of_their_own() {
        let more = "virtual_ipaddress_excluded {\n2001:db8::1/64\n10.0.1.1/24 dev eth1\n10.0.0.2/24 dev eth0\n}";
        let plain = instance("V", &format!("use_vmac\n{V4}\n{more}"));
        let (voice, devs) = placed(&load(&Fake::with(&plain))).remove(0);
        assert_eq!(voice, "vrrp.51");
        assert_eq!(devs, ["vrrp.51", "eth0", "eth1", "vrrp.51"]);
        let own = instance("V", &format!("use_vmac\nuse_vmac_addr\n{V4}\n{more}"));
        let config = load(&Fake::with(&own));
        let devs = &placed(&config)[0].1;
        assert_eq!(devs, &["vrrp.51", "vrrp6.51", "vrrp1.51", "vrrp.51"]);
        assert_eq!(config.instances[0].links.of_addresses.len(), 2);
    }

    #[test]
    fn an_address_may_have_a_vmac_without_the_instance() {
        let text = "global_defs {\nvmac_addr_prefix ad\n}\n".to_owned()
            + &instance(
                "V",
                "virtual_ipaddress {\n10.0.0.1/24 use_vmac\n10.0.1.1/24 dev eth1 use_vmac\n10.0.1.2/24 dev eth1\n}
virtual_ipaddress_excluded {\n2001:db8::1/64 dev eth1 use_vmac\n}",
            );
        let config = load(&Fake::with(text));
        let (voice, devs) = placed(&config).remove(0);
        assert_eq!(voice, "eth0");
        assert_eq!(devs, ["ad.51", "ad1.51", "eth1", "ad6.51"]);
    }

    #[test]
    fn of_two_instances_with_one_vmac_only_the_first_runs() {
        let text = instance("V", &format!("use_vmac\n{V4}")).replace("10.0.0.1", "10.0.0.9")
            + &instance("W", "virtual_ipaddress {\n10.0.0.1/24 use_vmac\n}");
        let config = load(&Fake::with(text));
        assert_eq!(placed(&config).len(), 1);
    }

    #[test]
    fn five_octets_of_a_mac_are_completed_and_strict_mode_knows_none() {
        let mac = |body: &str| {
            let config = load(&Fake::with(instance("V", &format!("{body}\n{V4}"))));
            let link = config.instances[0].links.own.clone().expect("a VMAC");
            match link.kind {
                SubLinkKind::Macvlan { mac } => mac,
                SubLinkKind::Ipvlan { .. } => panic!("no macvlan"),
            }
        };
        assert_eq!(mac("use_vmac 02:00:00:00:07"), [2, 0, 0, 0, 7, 51]);
        assert_eq!(mac("use_vmac x 02:00:00:00:07:01"), [2, 0, 0, 0, 7, 1]);
        let rfc = [0, 0, 0x5e, 0, 1, 51];
        assert_eq!(mac("strict_mode\nuse_vmac 02:00:00:00:07"), rfc);
    }

    #[test]
    fn an_ipvlan_has_a_name_a_mode_and_the_source_address() {
        let text = instance("V", &format!("use_ipvlan 10.0.0.9/24 private\n{V4}"));
        let config = load(&Fake::with(text));
        let instance = &config.instances[0];
        let link = instance.links.own.as_ref().expect("an ipvlan");
        assert_eq!(link.name.as_str(), "vrrp.51");
        let addr: IpAddr = "10.0.0.9".parse().expect("an address");
        assert_eq!(instance.source, Some(addr));
        assert_eq!(
            link.kind,
            SubLinkKind::Ipvlan {
                mode: crate::model::vmac::IpvlanMode::Private,
                addr: Some((addr, 24)),
            }
        );
    }
}
