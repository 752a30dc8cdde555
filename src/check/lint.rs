//! Rules beyond stock keepalived: what loads without a complaint and still is hardly meant. They read the model and the
//! statements of one node, and never change what `-t` or a start says.

mod servers;
mod trackers;
mod vrrp;

pub(crate) use self::servers::{place, shown};
pub(crate) use self::trackers::weighted;
use super::finding::Finding;
use super::places::Places;

/// Looks at one node and adds what it finds.
pub(crate) type Lint = fn(&Places<'_>, &mut Vec<Finding>);

/// All rules, in the order in which they look.
pub(crate) const LINTS: &[Lint] = &[
    vrrp::owner_by_accident,
    vrrp::address_twice,
    vrrp::own_peer,
    vrrp::owner_elsewhere,
    vrrp::vrid_on_bridge,
    vrrp::group_members_differ,
    vrrp::outside_prefix,
    vrrp::strict_drops,
    vrrp::mail_nowhere,
    trackers::weight_of_owner,
    trackers::weight_without_room,
    trackers::slow_script,
    trackers::unused,
    servers::real_is_virtual,
    servers::sorry_is_real,
    servers::slow_check,
    servers::server_nowhere,
    servers::ops_persistent,
];

#[cfg(test)]
mod tests;
