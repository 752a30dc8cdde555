//! `vrrp_instance`.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::source::{Code, Span};
use super::super::table::{Args, Block, Fault, key, lines, raw, sub};
use super::super::value;
use super::auth_hmac::HmacDraft;
use super::command::{self, CommandDraft};
use super::global::{MAX_DELAY, delay, repeat};
use super::instance_more::MORE_ROWS;
use super::ip_line::{self, AddressDraft};
use super::root::Trackers;
use super::route_line;
use super::rule_line::{self, RuleDraft};
use super::sub_links::{SUB_LINK_ROWS, SubLinkDraft};
use super::tracking::{self, TrackDraft};
use crate::model::global::Global;
use crate::model::net::{Family, IfName};
use crate::model::route::Route;
use crate::model::track::InterfaceTrack;
use crate::model::unicast::{OldChecksum, Peer};
use crate::model::vrrp::{Garp, InitialState, Priority, Version, Vrid};

/// The `notify*` statements of an instance or a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotifyDraft {
    pub(crate) master: Option<Box<CommandDraft>>,
    pub(crate) backup: Option<Box<CommandDraft>>,
    pub(crate) fault: Option<Box<CommandDraft>>,
    pub(crate) stop: Option<Box<CommandDraft>>,
    pub(crate) any: Option<Box<CommandDraft>>,
    /// `notify_deleted` stands there, with or without a script.
    pub(crate) tell_deletion: bool,
    pub(crate) deleted: Option<Box<CommandDraft>>,
    pub(crate) rx_lower_pri: Option<Box<CommandDraft>>,
    pub(crate) priority_changes: Option<bool>,
    pub(crate) smtp_alert: Option<bool>,
}

/// `auth_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthType {
    Pass,
    Ah,
}

/// `auth_pass`, zero padded.
#[derive(Clone, Copy)]
pub(crate) struct Password(pub(crate) [u8; 8]);

/// Never shows it.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// Addresses and their interfaces.
type Places = HashSet<(IpAddr, Option<IfName>)>;

/// A `vrrp_instance` block.
#[derive(Clone, Debug)]
pub(crate) struct InstanceDraft {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
    /// How many scripts were known when the block began.
    pub(crate) scripts_before: usize,
    pub(crate) dynamic: bool,
    pub(crate) interface: Option<IfName>,
    pub(crate) vrid: Option<Vrid>,
    pub(crate) version: Option<Version>,
    pub(crate) priority: Option<Priority>,
    pub(crate) advert_int: Option<Duration>,
    pub(crate) state: Option<InitialState>,
    pub(crate) nopreempt: bool,
    pub(crate) preempt_delay: Duration,
    pub(crate) strict: bool,
    pub(crate) auth_type: Option<AuthType>,
    pub(crate) auth_pass: Option<Password>,
    /// With the place of its statement.
    pub(crate) source: Option<(IpAddr, Span)>,
    /// `mcast_dst_ip`.
    pub(crate) group: Option<IpAddr>,
    /// That of the first virtual address.
    pub(crate) family: Option<Family>,
    pub(crate) addresses: Vec<AddressDraft>,
    pub(crate) excluded: Vec<AddressDraft>,
    pub(crate) routes: Vec<Route>,
    pub(crate) rules: Vec<RuleDraft>,
    /// Of addresses and excluded ones, where they are many.
    places: Option<Box<Places>>,
    pub(crate) no_addresses: bool,
    pub(crate) track_interfaces: Vec<InterfaceTrack>,
    pub(crate) track_scripts: Vec<TrackDraft>,
    pub(crate) dont_track_primary: bool,
    pub(crate) garp: Garp,
    pub(crate) lower_prio_delay: Option<Duration>,
    pub(crate) lower_prio_repeat: Option<u32>,
    pub(crate) down_timer_adverts: u32,
    pub(crate) lower_prio_no_advert: Option<bool>,
    pub(crate) higher_prio_send_advert: bool,
    pub(crate) skip_check_adv_addr: bool,
    pub(crate) notify: NotifyDraft,
    /// A keyword that only makes sense with `unicast_peer`.
    pub(crate) unicast: bool,
    pub(crate) unicast_ttl: Option<u8>,
    pub(crate) fault_no_peer: bool,
    /// `check_unicast_src`, or a limit on a peer's TTL.
    pub(crate) check_source: bool,
    pub(crate) old_checksum: OldChecksum,
    pub(crate) peers: Vec<Peer>,
    pub(crate) vrf: Option<IfName>,
    pub(crate) track_source: bool,
    pub(crate) checksum_as_v2: bool,
    pub(crate) owner_ignore_adverts: Option<bool>,
    pub(crate) rx_buffer: Option<u32>,
    /// The highest priority of the others.
    pub(crate) timer_expired_backup: u8,
    pub(crate) links: SubLinkDraft,
    /// `linkbeat_use_polling`: its interface is asked for its link.
    pub(crate) linkbeat: bool,
    /// `lvs_sync_daemon_interface`, with the place of its statement.
    pub(crate) sync_daemon: Option<(IfName, Span)>,
    pub(crate) hmac: Option<Box<HmacDraft>>,
    pub(crate) track_files: Vec<TrackDraft>,
    pub(crate) track_processes: Vec<TrackDraft>,
    pub(crate) track_bfds: Vec<TrackDraft>,
    /// What was defined before the block.
    pub(crate) known: Rc<Trackers>,
}

impl InstanceDraft {
    /// Starts from what `global_defs` says.
    pub(crate) fn new(name: &str, span: Span, global: &Global, known: Rc<Trackers>) -> Self {
        Self {
            name: name.into(),
            span,
            scripts_before: known.scripts.get(),
            dynamic: global.dynamic_interfaces,
            interface: None,
            vrid: None,
            version: None,
            priority: None,
            advert_int: None,
            state: None,
            nopreempt: false,
            preempt_delay: Duration::ZERO,
            strict: global.strict,
            auth_type: None,
            auth_pass: None,
            source: None,
            group: None,
            family: None,
            addresses: Vec::new(),
            excluded: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            places: None,
            no_addresses: false,
            track_interfaces: Vec::new(),
            track_scripts: Vec::new(),
            dont_track_primary: false,
            garp: Garp {
                extra: global.garp_extra_if,
                ..global.garp.clone()
            },
            lower_prio_delay: None,
            lower_prio_repeat: None,
            down_timer_adverts: global.down_timer_adverts,
            lower_prio_no_advert: global.lower_prio_no_advert.then_some(true),
            higher_prio_send_advert: global.higher_prio_send_advert,
            skip_check_adv_addr: global.skip_check_adv_addr,
            notify: NotifyDraft::default(),
            unicast: false,
            unicast_ttl: None,
            fault_no_peer: false,
            check_source: global.check_unicast_src,
            old_checksum: OldChecksum::Recognised,
            peers: Vec::new(),
            vrf: None,
            track_source: false,
            checksum_as_v2: global.v3_checksum_as_v2,
            owner_ignore_adverts: None,
            rx_buffer: None,
            timer_expired_backup: 254,
            links: SubLinkDraft::default(),
            linkbeat: false,
            sync_daemon: None,
            hmac: None,
            track_files: Vec::new(),
            track_processes: Vec::new(),
            track_bfds: Vec::new(),
            known,
        }
    }
}

/// The name in a block header, exactly one word.
pub(crate) fn name<'a>(a: &mut Args<'_, 'a>) -> Result<&'a str, Fault> {
    let keyword = a.keyword();
    let refuse = |a: &Args<'_, '_>| {
        a.whole_fault(
            Code::BadValue,
            format!("{keyword} needs exactly one name - block ignored"),
        )
    };
    let name = a.opt().ok_or_else(|| refuse(a))?;
    match a.opt() {
        Some(_) => Err(refuse(a)),
        None => Ok(name),
    }
}

fn interface(v: &mut InstanceDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    let Some(interface) = IfName::new(name) else {
        return Err(a.fault(
            Code::TooLong,
            format!("'{name}' cannot be the name of an interface"),
        ));
    };
    match a.host().interface(name) {
        Some(facts) if facts.loopback => {
            v.interface = None;
            Err(a.whole_fault(
                Code::BadValue,
                format!("({}) cannot use loopback interface {name} for vrrp", v.name),
            ))
        }
        None if !v.dynamic => {
            let text = format!(
                "WARNING - interface {name} for vrrp_instance {} doesn't exist",
                v.name
            );
            // Keeping it spares the operator a second complaint about a missing interface.
            v.interface = Some(interface);
            let fault = a.whole_fault(Code::NoInterface, text);
            a.report(fault);
            Ok(())
        }
        Some(_) | None => {
            v.interface = Some(interface);
            Ok(())
        }
    }
}

/// `mcast_src_ip` and `unicast_src_ip`.
pub(super) fn source(v: &mut InstanceDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let word = a.word()?;
    let Some((addr, _)) = value::address_of(word) else {
        let text = format!(
            "Configuration error: VRRP instance[{}] malformed src address[{word}]. Skipping...",
            v.name
        );
        return Err(a.whole_fault(Code::InvalidAddress, text));
    };
    v.source = Some((addr, a.span()));
    Ok(())
}

fn virtual_address(v: &mut InstanceDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let address = ip_line::read(a, v.dynamic)?;
    let family = Family::from(address.addr);
    if *v.family.get_or_insert(family) != family {
        let text = format!(
            "({}) address family of {} does not match the instance - ignoring",
            v.name, address.addr
        );
        return Err(a.whole_fault(Code::WrongFamily, text));
    }
    distinct(v, &address, a)?;
    if v.addresses.is_empty() {
        // Mostly there is one.
        v.addresses.reserve_exact(1);
    }
    v.addresses.push(address);
    Ok(())
}

/// Addresses that are compared with each other one by one; more of them are looked up.
const FEW: usize = 32;

/// An address stands once in an instance.
fn distinct(v: &mut InstanceDraft, address: &AddressDraft, a: &Args<'_, '_>) -> Result<(), Fault> {
    let mut all = v.addresses.iter().chain(&v.excluded);
    let double = if v.addresses.len() + v.excluded.len() < FEW {
        all.any(|o| o.addr == address.addr && o.dev == address.dev)
    } else {
        let place = |o: &AddressDraft| (o.addr, o.dev.clone());
        let places = v
            .places
            .get_or_insert_with(|| Box::new(all.map(place).collect()));
        !places.insert(place(address))
    };
    match double {
        true => {
            let text = format!(
                "({}): VIP duplicates a VIP {} - ignoring",
                v.name, address.addr
            );
            Err(a.whole_fault(Code::Duplicate, text))
        }
        false => Ok(()),
    }
}

pub(crate) static AUTHENTICATION: Block<InstanceDraft> = Block {
    name: "vrrp_instance/authentication",
    rows: &[
        key("auth_type", "PASS|AH", |v, a| {
            match a.word()? {
                "PASS" => v.auth_type = Some(AuthType::Pass),
                "AH" => v.auth_type = Some(AuthType::Ah),
                word => {
                    return Err(a.fault(
                        Code::BadValue,
                        format!("unknown authentication type '{word}'"),
                    ));
                }
            }
            Ok(())
        }),
        key("auth_pass", "<STRING>, 8 octets are used", |v, a| {
            let word = a.word()?.as_bytes();
            let mut pass = [0; 8];
            for (to, from) in pass.iter_mut().zip(word) {
                *to = *from;
            }
            v.auth_pass = Some(Password(pass));
            if word.len() > pass.len() {
                let fault = a.whole_fault(Code::TooLong, "Truncating auth_pass to 8 characters");
                a.report(fault);
            }
            Ok(())
        }),
    ],
    more: &[],
};

pub(crate) static VRRP_INSTANCE: Block<InstanceDraft> = Block {
    name: "vrrp_instance",
    rows: &[
        key("state", "MASTER|BACKUP", |v, a| {
            match (a.word()?, v.state) {
                ("MASTER", _) => v.state = Some(InitialState::Master),
                ("BACKUP", Some(InitialState::Master)) => {
                    let text = format!("({}) state BACKUP after state MASTER - ignored", v.name);
                    return Err(a.whole_fault(Code::Repeated, text));
                }
                ("BACKUP", _) => v.state = Some(InitialState::Backup),
                (word, _) => {
                    v.state = Some(InitialState::Backup);
                    let text = format!("({}) unknown state '{word}', defaulting to BACKUP", v.name);
                    return Err(a.whole_fault(Code::BadValue, text));
                }
            }
            Ok(())
        }),
        key("interface", "<IFNAME>", interface),
        key("virtual_router_id", "1..=255", |v, a| {
            let n = a
                .strict(1..=255_u8)
                .map_err(|fault| match fault.is_missing() {
                    true => fault,
                    false => {
                        let text = format!(
                            "({}): VRID '{}' not valid - must be between 1 & 255",
                            v.name,
                            a.last()
                        );
                        a.whole_fault(Code::OutOfRange, text)
                    }
                })?;
            v.vrid = std::num::NonZeroU8::new(n).map(Vrid);
            Ok(())
        }),
        key("version", "2..=3, default vrrp_version", |v, a| {
            let version = if a.int(2..=3_u8)? == 3 {
                Version::V3
            } else {
                Version::V2
            };
            let conflict = v.version.is_some_and(|o| o != version);
            if conflict || (version == Version::V2 && v.family == Some(Family::V6)) {
                return Err(a.fault(
                    Code::BadValue,
                    "conflicts with what was said before - ignored",
                ));
            }
            v.version = Some(version);
            Ok(())
        }),
        key("priority", "1..=255, 255 = address owner", |v, a| {
            match a.strict(1..=255_u8) {
                Ok(n) => {
                    v.priority = Priority::new(n);
                    Ok(())
                }
                Err(fault) if fault.is_missing() => Err(fault),
                Err(_) => {
                    v.priority = Some(Priority::DEFAULT);
                    let text = format!(
                        "({}) Priority not valid! must be between 1 & 255. Using default {}",
                        v.name,
                        Priority::DEFAULT
                    );
                    Err(a.whole_fault(Code::OutOfRange, text))
                }
            }
        }),
        key("advert_int", "seconds, 0.01..=255", |v, a| {
            let (min, max) = (Duration::from_millis(10), Duration::from_secs(255));
            a.secs(min..=max).map(|d| v.advert_int = Some(d))
        }),
        key("nopreempt", "flag", |v, a| {
            a.flag().map(|on| v.nopreempt = on)
        }),
        key("preempt", "flag", |v, a| {
            a.flag().map(|on| v.nopreempt = !on)
        }),
        key("preempt_delay", "seconds, 0..=1000", |v, a| {
            v.preempt_delay = Duration::ZERO;
            a.secs(Duration::ZERO..=Duration::from_secs(1000))
                .map(|d| v.preempt_delay = d)
        }),
        key("strict_mode", "[<bool>]", |v, a| {
            a.bool().map(|on| v.strict = on)
        }),
        sub("authentication", &AUTHENTICATION, |v, a| {
            a.block(&AUTHENTICATION, v);
            Ok(())
        }),
        key("mcast_src_ip", "<IP>", source),
        lines(
            "virtual_ipaddress",
            "{ <address line>... }",
            virtual_address,
        ),
        lines(
            "virtual_ipaddress_excluded",
            "{ <address line>... }",
            |v, a| {
                let address = ip_line::read(a, v.dynamic)?;
                distinct(v, &address, a)?;
                v.excluded.push(address);
                Ok(())
            },
        ),
        lines("virtual_routes", "{ <route line>... }", |v, a| {
            route_line::read_virtual(a, v.dynamic).map(|r| v.routes.push(r))
        }),
        lines("virtual_rules", "{ <rule line>... }", |v, a| {
            rule_line::read_virtual(a, v.dynamic).map(|r| v.rules.push(r))
        }),
        key("no_virtual_ipaddress", "flag", |v, a| {
            a.flag().map(|on| v.no_addresses = on)
        }),
        lines(
            "track_interface",
            "{ <IFNAME> [weight <int> [reverse]] ... }",
            |v, a| tracking::interface(a, &v.name, v.dynamic, &mut v.track_interfaces),
        ),
        lines(
            "track_script",
            "{ <NAME> [weight <int> [reverse|noreverse]] ... }",
            |v, a| tracking::tracked(a, &v.name, &mut v.track_scripts),
        ),
        key("dont_track_primary", "flag", |v, a| {
            a.flag().map(|on| v.dont_track_primary = on)
        }),
        key("garp_master_delay", "seconds, 0..=4294", |v, a| {
            delay(a, MAX_DELAY).map(|d| v.garp.master_delay = d)
        }),
        key("garp_master_repeat", "packets", |v, a| {
            repeat(a).map(|n| v.garp.master_repeat = n)
        }),
        key("garp_master_refresh", "seconds, 0 = off", |v, a| {
            v.garp.master_refresh = Duration::ZERO;
            delay(a, u32::MAX).map(|d| v.garp.master_refresh = d)
        }),
        key("garp_master_refresh_repeat", "packets", |v, a| {
            repeat(a).map(|n| v.garp.master_refresh_repeat = n)
        }),
        key("garp_lower_prio_delay", "seconds, 0..=4294", |v, a| {
            delay(a, MAX_DELAY).map(|d| v.lower_prio_delay = Some(d))
        }),
        key("garp_lower_prio_repeat", "packets", |v, a| {
            a.int(0..=2_147_483_647_u32)
                .map(|n| v.lower_prio_repeat = Some(n))
        }),
        key("down_timer_adverts", "adverts, 1..=100", |v, a| {
            a.int(1..=100).map(|n| v.down_timer_adverts = n)
        }),
        key("lower_prio_no_advert", "[<bool>]", |v, a| {
            a.bool().map(|on| v.lower_prio_no_advert = Some(on))
        }),
        key("higher_prio_send_advert", "[<bool>]", |v, a| {
            a.bool().map(|on| v.higher_prio_send_advert = on)
        }),
        key("skip_check_adv_addr", "[<bool>]", |v, a| {
            a.bool().map(|on| v.skip_check_adv_addr = on)
        }),
        key("smtp_alert", "[<bool>]", |v, a| {
            a.bool().map(|on| v.notify.smtp_alert = Some(on))
        }),
        raw(key(
            "notify_backup",
            "<CMD> [<USER> [[:]<GROUP>]]",
            |v, a| command::script(a, &mut v.notify.backup, v.known.nobody),
        )),
        raw(key(
            "notify_master",
            "<CMD> [<USER> [[:]<GROUP>]]",
            |v, a| command::script(a, &mut v.notify.master, v.known.nobody),
        )),
        raw(key(
            "notify_fault",
            "<CMD> [<USER> [[:]<GROUP>]]",
            |v, a| command::script(a, &mut v.notify.fault, v.known.nobody),
        )),
        raw(key("notify_stop", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.notify.stop, v.known.nobody)
        })),
        raw(key("notify", "<CMD> [<USER> [[:]<GROUP>]]", |v, a| {
            command::script(a, &mut v.notify.any, v.known.nobody)
        })),
    ],
    more: &[MORE_ROWS, SUB_LINK_ROWS],
};
