//! One line of `static_rules` or `virtual_rules`, in the words of `ip rule`.
//!
//! keepalived cannot read a single port and leaves the selector out, so that the rule matches more than was asked for;
//! here the port counts, with a complaint. Source: keepalived.conf(5), ip-rule(8).

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::super::names::Names;
use super::super::source::{Code, Span};
use super::super::table::{Args, Block, Fault, Row, key};
use super::super::value;
use super::ip_line;
use super::route_words::{force_family, interface, named_octet, realms};
use crate::model::net::Family;
use crate::model::route::{Mark, Prefix, Protocol, Rule, RuleAction, Table};

/// A rule while its line is read.
#[derive(Clone, Debug)]
pub(crate) struct RuleLine {
    rule: Rule,
    family: Option<Family>,
    action: Option<RuleAction>,
    preference: Option<u32>,
    protocol: Option<Protocol>,
    group: Option<Arc<str>>,
    dynamic: bool,
}

/// A rule whose preference may not be known yet: it depends on the rules before it.
#[derive(Clone, Debug)]
pub(crate) struct RuleDraft {
    rule: Rule,
    numbered: bool,
    pub(crate) span: Span,
    /// `track_group`, not yet looked up.
    pub(crate) group: Option<Arc<str>>,
}

impl RuleDraft {
    /// The rule; `next` numbers those without a preference.
    pub(crate) fn numbered(self, next: impl FnOnce() -> u32) -> Rule {
        match self.numbered {
            true => self.rule,
            false => Rule {
                preference: next(),
                ..self.rule
            },
        }
    }

    pub(crate) fn family(&self) -> Family {
        self.rule.family
    }

    /// Whether somebody else's deletion matters.
    pub(crate) fn tracked(&self) -> bool {
        self.rule.track
    }

    /// Whether it names an input interface.
    pub(crate) fn has_iif(&self) -> bool {
        self.rule.iif.is_some()
    }
}

fn refuse<T>(a: &Args<'_, '_>, text: impl Into<String>) -> Result<T, Fault> {
    Err(a.whole_fault(Code::BadValue, text))
}

/// A second action drops the line.
fn act(v: &mut RuleLine, a: &Args<'_, '_>, action: RuleAction) -> Result<(), Fault> {
    if v.action.is_some() {
        return refuse(
            a,
            "Cannot specify more than one of table/nop/goto/blackhole/prohibit/unreachable/l3mdev for rule",
        );
    }
    v.action = Some(action);
    Ok(())
}

/// `<IP>[/<plen>]|default|any|all`
fn selector(v: &mut RuleLine, a: &mut Args<'_, '_>) -> Result<Option<Prefix>, Fault> {
    let word = a.word()?;
    if ["default", "any", "all"].contains(&word) {
        return Ok(None);
    }
    let Some((addr, len)) = ip_line::prefix(a, word) else {
        return refuse(a, format!("Invalid {} address {word}", a.keyword()));
    };
    if *v.family.get_or_insert(addr.into()) != Family::from(addr) {
        return Err(a.whole_fault(
            Code::WrongFamily,
            "rule specification has mixed IPv4 and IPv6",
        ));
    }
    Ok(Some(Prefix { addr, len }))
}

fn lookup(v: &mut RuleLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let word = a.word()?;
    match a.named(Names::Table, word) {
        Some(0) => refuse(a, "Table 0 is not valid"),
        Some(n) => act(v, a, RuleAction::Table(Table(n))),
        None => refuse(a, format!("Routing table {word} not found for rule")),
    }
}

/// A number in any radix.
fn number(a: &mut Args<'_, '_>) -> Result<u32, Fault> {
    let word = a.word()?;
    match value::any_radix(word).and_then(|n| u32::try_from(n).ok()) {
        Some(n) => Ok(n),
        None => refuse(a, format!("Invalid rule {} {word} specified", a.keyword())),
    }
}

fn preference(v: &mut RuleLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    number(a).map(|n| v.preference = Some(n))
}

fn tos(v: &mut RuleLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    named_octet(a, Names::DsField, "TOS value").map(|n| v.rule.tos = Some(n))
}

fn iif(v: &mut RuleLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    interface(a, v.dynamic, "rule").map(|dev| v.rule.iif = Some(dev))
}

fn suppress_prefixlength(v: &mut RuleLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.strict(0..=2_147_483_647_u32)
        .map(|n| v.rule.suppress_prefixlength = Some(n))
}

fn suppress_ifgroup(v: &mut RuleLine, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let word = a.word()?;
    let group = a.named(Names::Group, word);
    v.rule.suppress_ifgroup = group.filter(|n| i32::try_from(*n).is_ok());
    match v.rule.suppress_ifgroup {
        Some(_) => Ok(()),
        None => refuse(a, format!("Invalid suppress_ifgroup {word} specified")),
    }
}

/// `<n>-<n>`
fn range<N: std::str::FromStr>(word: &str) -> Option<RangeInclusive<N>> {
    let (first, last) = word.split_once('-')?;
    Some(first.parse().ok()?..=last.parse().ok()?)
}

fn ports(a: &mut Args<'_, '_>) -> Result<Option<RangeInclusive<u16>>, Fault> {
    let word = a.word()?;
    if let Ok(port) = word.parse() {
        let text = format!("keepalived needs {port}-{port} for the single port {port}");
        a.warn(Code::Conflict, text);
        return Ok(Some(port..=port));
    }
    let found = range(word);
    if found.is_none() {
        let text = format!("invalid {} range {word}", a.keyword());
        let fault = a.whole_fault(Code::BadValue, text);
        a.report(fault);
    }
    Ok(found)
}

/// The number of a protocol, or of its name or alias in protocols(5); the kernel's range is 0..=127.
fn ip_protocol(a: &Args<'_, '_>, word: &str) -> Option<u8> {
    let number = word.parse().ok().or_else(|| {
        let text = a.host().read("/etc/protocols".as_ref()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let listed = text.lines().find_map(|line| {
            let mut words = line.split('#').next()?.split_ascii_whitespace();
            let (name, number) = (words.next()?, words.next()?);
            (name == word || words.any(|alias| alias == word)).then(|| number.parse().ok())?
        });
        listed.or(match word {
            "icmp" => Some(1),
            "tcp" => Some(6),
            "udp" => Some(17),
            "sctp" => Some(132),
            _ => None,
        })
    });
    number.filter(|n| *n <= 127)
}

/// An action without arguments.
const fn action(keyword: &'static str, set: Put) -> Row<RuleLine> {
    key(keyword, "action", set)
}

type Put = fn(&mut RuleLine, &mut Args<'_, '_>) -> Result<(), Fault>;

const NOP: Put = |v, a| act(v, a, RuleAction::Nop);
const BLACKHOLE: Put = |v, a| act(v, a, RuleAction::Blackhole);
const UNREACHABLE: Put = |v, a| act(v, a, RuleAction::Unreachable);
const PROHIBIT: Put = |v, a| act(v, a, RuleAction::Prohibit);
const GOTO: Put = |v, a| {
    let target = a.strict(0..=u32::MAX)?;
    act(v, a, RuleAction::Goto(target))
};

pub(crate) static RULE_LINE: Block<RuleLine> = Block {
    name: "rule",
    rows: &[
        key("inet", "IPv4", |v, a| {
            force_family(a, &mut v.family, Family::V4, "rule")
        }),
        key("inet6", "IPv6", |v, a| {
            force_family(a, &mut v.family, Family::V6, "rule")
        }),
        key("from", "<IP>[/<plen>]|default|any|all", |v, a| {
            selector(v, a).map(|p| v.rule.from = p)
        }),
        key("to", "<IP>[/<plen>]|default|any|all", |v, a| {
            selector(v, a).map(|p| v.rule.to = p)
        }),
        key("table", "<uint>|name of rt_tables", lookup),
        key("lookup", "as table", lookup),
        key("not", "flag", |v, a| a.flag().map(|on| v.rule.invert = on)),
        key("preference", "<uint>, 0x and 0 prefixes", preference),
        key("order", "as preference", preference),
        key("priority", "as preference", preference),
        key("tos", "0..=255|name of rt_dsfield", tos),
        key("dsfield", "as tos", tos),
        key("fwmark", "<uint>[/<mask>]", |v, a| {
            let word = a.word()?;
            let part = |w: &str| value::any_radix(w).and_then(|n| u32::try_from(n).ok());
            let (mark, mask) = match word.split_once('/') {
                None => (word, Some(u32::MAX)),
                // keepalived: nothing is compared, so that every packet fits.
                Some((mark, "")) => (mark, Some(0)),
                Some((mark, mask)) => (mark, part(mask)),
            };
            match part(mark).zip(mask) {
                Some((value, mask)) => {
                    v.rule.fwmark = Some(Mark { value, mask });
                    Ok(())
                }
                None => refuse(a, format!("Invalid rule fwmark {word} specified")),
            }
        }),
        key("realms", "<realm>[/<realm>], IPv4 only", |v, a| {
            realms(a, "rule").map(|r| v.rule.realms = Some(r))
        }),
        key("suppress_prefixlength", "<uint>", suppress_prefixlength),
        key("sup_pl", "as suppress_prefixlength", suppress_prefixlength),
        key("suppress_ifgroup", "<uint>|name of group", suppress_ifgroup),
        key("sup_group", "as suppress_ifgroup", suppress_ifgroup),
        key("dev", "as iif", iif),
        key("iif", "<IFNAME>", iif),
        key("oif", "<IFNAME>", |v, a| {
            interface(a, v.dynamic, "rule").map(|dev| v.rule.oif = Some(dev))
        }),
        key("tunnel-id", "<uint>", |v, a| {
            a.strict(0..=u64::MAX).map(|n| v.rule.tunnel_id = Some(n))
        }),
        key("uidrange", "<uint>-<uint>", |v, a| {
            let word = a.word()?;
            v.rule.uids = range(word);
            match v.rule.uids {
                Some(_) => Ok(()),
                None => refuse(a, format!("Invalid uidrange {word} specified")),
            }
        }),
        action("l3mdev", |v, a| act(v, a, RuleAction::L3Mdev)),
        key("protocol", "0..=255, default keepalived", |v, a| {
            match a.strict(0..=u8::MAX) {
                Ok(n) => v.protocol = Some(Protocol(n)),
                Err(fault) if fault.is_missing() => return Err(fault),
                Err(fault) => a.report(fault),
            }
            Ok(())
        }),
        key("ipproto", "0..=127|name of protocols(5)", |v, a| {
            let word = a.word()?;
            v.rule.ip_protocol = ip_protocol(a, word);
            if v.rule.ip_protocol.is_none() {
                let fault = a.whole_fault(Code::BadValue, format!("Invalid ipproto {word}"));
                a.report(fault);
            }
            Ok(())
        }),
        key("sport", "<port>-<port>", |v, a| {
            ports(a).map(|p| v.rule.sport = p)
        }),
        key("dport", "<port>-<port>", |v, a| {
            ports(a).map(|p| v.rule.dport = p)
        }),
        action("goto", GOTO),
        action("nop", NOP),
        action("blackhole", BLACKHOLE),
        action("unreachable", UNREACHABLE),
        action("prohibit", PROHIBIT),
        key(
            "type",
            "nop|goto <n>|blackhole|unreachable|prohibit",
            |v, a| match a.word()? {
                "nop" => NOP(v, a),
                "goto" => GOTO(v, a),
                "blackhole" => BLACKHOLE(v, a),
                "unreachable" => UNREACHABLE(v, a),
                "prohibit" => PROHIBIT(v, a),
                word => refuse(a, format!("Unknown rule option {word}")),
            },
        ),
        key("no_track", "flag", |v, a| {
            a.flag().map(|on| v.rule.track = !on)
        }),
        key("track_group", "<NAME>, static rules only", |v, a| {
            v.group = Some(a.word()?.into());
            Ok(())
        }),
    ],
    more: &[],
};

/// Reads a line. `dynamic`: its interfaces need not exist.
pub(crate) fn read(a: &mut Args<'_, '_>, dynamic: bool) -> Result<RuleDraft, Fault> {
    let mut v = RuleLine {
        rule: Rule::new(Family::V4, 0, RuleAction::Nop),
        family: None,
        action: None,
        preference: None,
        protocol: None,
        group: None,
        dynamic,
    };
    a.inline(&RULE_LINE, &mut v, |_, a| {
        refuse(a, format!("Unknown rule option {}", a.last()))
    })?;
    finish(v, a)
}

/// Which words need or exclude each other.
fn finish(v: RuleLine, a: &mut Args<'_, '_>) -> Result<RuleDraft, Fault> {
    let Some(action) = v.action else {
        return refuse(
            a,
            "No table/nop/goto/blackhole/prohibit/unreachable/l3mdev specified for rule",
        );
    };
    let family = v.family.unwrap_or(Family::V4);
    let mut rule = Rule {
        family,
        action,
        ..v.rule
    };
    let looks_up = matches!(action, RuleAction::Table(_) | RuleAction::L3Mdev);
    let narrowed = rule.realms.is_some()
        || rule.suppress_prefixlength.is_some()
        || rule.suppress_ifgroup.is_some();
    if narrowed && !looks_up {
        return refuse(
            a,
            "suppressor/realm specified for non table action - skipping",
        );
    }
    if rule.realms.is_some() && family == Family::V6 {
        return refuse(a, "realms is only valid for IPv4 - skipping");
    }
    if let RuleAction::Goto(target) = action {
        match v.preference {
            None => {
                let text =
                    format!("Invalid rule - goto target {target} specified without preference");
                return refuse(a, text);
            }
            Some(own) if target <= own => {
                let text = format!("Invalid rule - preference {own} >= goto target {target}");
                return refuse(a, text);
            }
            Some(_) => {}
        }
    }
    let usual = if rule.track {
        Protocol::KEEPALIVED
    } else {
        Protocol::UNSPEC
    };
    rule.protocol = v.protocol.unwrap_or(usual);
    if rule.track && rule.protocol != Protocol::KEEPALIVED {
        let text =
            "Rule cannot be tracked if protocol is not RTPROT_KEEPALIVED(18), resetting protocol";
        let fault = a.whole_fault(Code::Conflict, text);
        a.report(fault);
        rule.protocol = Protocol::KEEPALIVED;
    }
    rule.preference = v.preference.unwrap_or_default();
    Ok(RuleDraft {
        rule,
        numbered: v.preference.is_some(),
        span: a.span(),
        group: v.group,
    })
}

/// Reads a line that is no static one.
pub(crate) fn read_virtual(a: &mut Args<'_, '_>, dynamic: bool) -> Result<RuleDraft, Fault> {
    let found = read(a, dynamic)?;
    match found.group {
        None => Ok(found),
        Some(_) => refuse(a, "Unknown rule option track_group"),
    }
}
