//! What concerns interfaces and not instances: `garp_group`, `linkbeat_interfaces`, `interface_up_down_delays`.

use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Block, Fault, Row, filled, key, lines, sub, words};
use super::global::MAX_DECIMAL;
use super::root::Draft;
use crate::model::links::{GarpGroup, Linkbeat, LinkbeatKind, UpDownDelay};
use crate::model::net::IfName;

/// A `garp_group` block.
#[derive(Debug)]
pub(crate) struct GarpGroupDraft {
    /// Interfaces of the groups before.
    taken: Vec<IfName>,
    interfaces: Vec<IfName>,
    garp_interval: Option<Duration>,
    gna_interval: Option<Duration>,
    dynamic: bool,
}

/// Intervals from this on are unusual enough for a message.
const LONG: Duration = Duration::from_secs(1);

fn interval(a: &mut Args<'_, '_>) -> Result<Duration, Fault> {
    let found = a.secs(Duration::ZERO..=MAX_DECIMAL)?;
    if found >= LONG {
        a.log(Code::Useless, format!("{} is very large", a.last()));
    }
    Ok(found)
}

fn interface(v: &mut GarpGroupDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    let found = IfName::new(name).filter(|_| v.dynamic || a.host().interface(name).is_some());
    let Some(found) = found else {
        let text = format!("WARNING - interface {name} specified for garp_group doesn't exist");
        return Err(a.whole_fault(Code::NoInterface, text));
    };
    if v.taken.contains(&found) || v.interfaces.contains(&found) {
        let text = format!("garp_group already specified for {name} - ignoring");
        return Err(a.whole_fault(Code::Duplicate, text));
    }
    v.interfaces.push(found);
    Ok(())
}

static GARP_GROUP: Block<GarpGroupDraft> = Block {
    name: "garp_group",
    rows: &[
        key("garp_interval", "seconds", |v, a| {
            interval(a).map(|d| v.garp_interval = Some(d))
        }),
        key("gna_interval", "seconds", |v, a| {
            interval(a).map(|d| v.gna_interval = Some(d))
        }),
        key("interface", "<IFNAME>", interface),
        filled(words("interfaces", "{ <IFNAME> ... }", interface)),
    ],
    more: &[],
};

pub(super) const GARP: Row<Draft> = sub("garp_group", &GARP_GROUP, |v, a| {
    let taken = v.garp_groups.iter().flat_map(|g| g.interfaces.clone());
    let mut group = GarpGroupDraft {
        taken: taken.collect(),
        interfaces: Vec::new(),
        garp_interval: None,
        gna_interval: None,
        dynamic: v.global.model.dynamic_interfaces,
    };
    a.block(&GARP_GROUP, &mut group);
    if group.garp_interval.or(group.gna_interval).is_none() {
        let text = "garp group does not have any delay set - removing";
        return Err(a.whole_fault(Code::NoValue, text));
    }
    v.garp_groups.push(GarpGroup {
        interfaces: group.interfaces,
        garp_interval: group.garp_interval,
        gna_interval: group.gna_interval,
    });
    Ok(())
});

/// An interface that does not exist is a complaint of the fatal class, and its line is skipped.
fn existing(a: &mut Args<'_, '_>) -> Result<Option<IfName>, Fault> {
    let name = a.word()?;
    let found = IfName::new(name).filter(|_| a.host().interface(name).is_some());
    if found.is_none() {
        a.fatal(
            Code::NoInterface,
            format!("unknown interface {name} - ignored"),
        );
    }
    Ok(found)
}

pub(super) const LINKBEAT: Row<Draft> = lines(
    "linkbeat_interfaces",
    "{ <IFNAME> [MII|ETHTOOL|IOCTL] ... }",
    |v, a| {
        let Some(interface) = existing(a)? else {
            return Ok(());
        };
        let kind = match a.opt() {
            None => None,
            Some("MII") => Some(LinkbeatKind::Mii),
            Some("ETHTOOL") => Some(LinkbeatKind::Ethtool),
            Some("IOCTL") => Some(LinkbeatKind::Ioctl),
            Some(kind) => {
                a.warn(
                    Code::BadValue,
                    format!("unknown type '{kind}' - using the default"),
                );
                None
            }
        };
        v.linkbeat.push(Linkbeat { interface, kind });
        Ok(())
    },
);

pub(super) const DELAYS: Row<Draft> = lines(
    "interface_up_down_delays",
    "{ <IFNAME> <down> [<up>] ... }",
    |v, a| {
        let Some(interface) = existing(a)? else {
            return Ok(());
        };
        if a.peek().is_none() {
            return Ok(());
        }
        let range = Duration::ZERO..=Duration::from_secs(255);
        let down = a.secs(range.clone())?;
        let up = match a.peek() {
            Some(_) => a.secs(range)?,
            None => Duration::ZERO,
        };
        v.delays.retain(|d| d.interface != interface);
        v.delays.push(UpDownDelay {
            interface,
            down,
            up,
        });
        Ok(())
    },
);
