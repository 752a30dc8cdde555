//! `static_ipaddress`, `static_routes`, `static_rules` and the `track_group`s that they name.

use std::sync::Arc;

use super::super::source::{Code, Span};
use super::super::table::{Args, Block, Fault, Row, lines, sub, values};
use super::ip_line::{self, AddressDraft};
use super::root::Draft;
use super::rule_line::{self, RuleDraft};
use super::{route_line, vrrp_instance};
use crate::model::route::{Route, Static};

/// The static entries, rules not numbered yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct StaticsDraft {
    pub(crate) addresses: Vec<Static<AddressDraft>>,
    pub(crate) routes: Vec<Static<Route>>,
    pub(crate) rules: Vec<RuleDraft>,
}

/// A `track_group` block.
#[derive(Clone, Debug)]
pub(crate) struct TrackGroupDraft {
    pub(crate) name: Arc<str>,
    pub(crate) members: Vec<(Arc<str>, Span)>,
    /// A second `group` does not count.
    read: bool,
}

/// A group that is defined before this place; a complaint and none otherwise.
fn group(v: &Draft, a: &mut Args<'_, '_>, name: Option<Arc<str>>) -> Option<Arc<str>> {
    let name = name?;
    if v.track_groups.iter().any(|g| g.name == name) {
        return Some(name);
    }
    let fault = a.whole_fault(Code::NotFound, format!("track_group {name} not found"));
    a.report(fault);
    None
}

/// `no_track` and an entry without an interface leave nothing to follow.
fn follows(
    v: &Draft,
    a: &mut Args<'_, '_>,
    name: Option<Arc<str>>,
    track: bool,
    has_dev: bool,
) -> Option<Arc<str>> {
    let name = group(v, a, name)?;
    if !track {
        a.log(
            Code::Conflict,
            format!("no_track specified with track_group {name} - ignoring track_group"),
        );
        return None;
    }
    if !has_dev {
        let text = format!("track_group {name} needs an interface - ignoring track_group");
        let fault = a.whole_fault(Code::Useless, text);
        a.report(fault);
        return None;
    }
    Some(name)
}

fn address(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let dynamic = v.global.model.dynamic_interfaces;
    let (address, named) = ip_line::read_static(a, dynamic)?;
    if address.dev.is_none() {
        let default = v.global.model.static_interface();
        if !dynamic && a.host().interface(default).is_none() {
            let text = format!("Default interface {default} does not exist for static address");
            return Err(a.whole_fault(Code::NoInterface, text));
        }
    }
    let group = follows(v, a, named, address.tracked(), true);
    v.statics.addresses.push(Static {
        entry: address,
        group,
    });
    Ok(())
}

fn route(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let (route, named) = route_line::read(a, v.global.model.dynamic_interfaces)?;
    let has_dev = route.dev.is_some() || route.nexthops.iter().any(|h| h.dev.is_some());
    let group = follows(v, a, named, route.track, has_dev);
    v.statics.routes.push(Static {
        entry: route,
        group,
    });
    Ok(())
}

fn rule(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let mut rule = rule_line::read(a, v.global.model.dynamic_interfaces)?;
    rule.group = follows(v, a, rule.group.take(), rule.tracked(), rule.has_iif());
    v.statics.rules.push(rule);
    Ok(())
}

static GROUP: Block<TrackGroupDraft> = Block {
    name: "track_group",
    rows: &[values("group", "{ <INSTANCE> ... }", |v, a| {
        a.no_more();
        if v.read {
            return Err(a.fault(Code::Repeated, "a second group - block ignored"));
        }
        v.read = true;
        a.entries(true, |a| {
            while let Some(name) = a.opt() {
                v.members.push((name.into(), a.here()));
            }
            Ok(())
        });
        Ok(())
    })],
    more: &[],
};

pub(super) const TRACK_GROUP: Row<Draft> = sub("track_group", &GROUP, |v, a| {
    let name = vrrp_instance::name(a)?;
    if v.track_groups.iter().any(|g| *g.name == *name) {
        return Err(a.whole_fault(
            Code::Duplicate,
            format!("track_group {name} already defined"),
        ));
    }
    let mut group = TrackGroupDraft {
        name: name.into(),
        members: Vec::new(),
        read: false,
    };
    a.block(&GROUP, &mut group);
    if group.members.is_empty() {
        let text = format!("track_group {name} has no members - removing");
        return Err(a.whole_fault(Code::EmptyBlock, text));
    }
    v.track_groups.push(group);
    Ok(())
});

pub(super) const ADDRESSES: Row<Draft> =
    lines("static_ipaddress", "{ <address line>... }", address);
pub(super) const ROUTES: Row<Draft> = lines("static_routes", "{ <route line>... }", route);
pub(super) const RULES: Row<Draft> = lines("static_rules", "{ <rule line>... }", rule);
