//! Rules beyond stock keepalived: what loads without a complaint and still is hardly meant. They read the model and the
//! statements of one node, and never change what `-t` or a start says.

use super::finding::{Finding, Node};
use crate::config::host::Host;
use crate::config::source::Code;
use crate::model::vrrp::InitialState;

/// Looks at one node and adds what it finds.
pub(crate) type Lint = fn(&Node, &dyn Host, &mut Vec<Finding>);

/// All rules, in the order in which they look.
pub(crate) const LINTS: &[Lint] = &[owner_by_accident];

/// `state MASTER` alone makes an address owner.
fn owner_by_accident(node: &Node, _: &dyn Host, found: &mut Vec<Finding>) {
    let tree = &node.loaded.tree;
    for instance in &node.loaded.config.instances {
        let Some(block) = tree.block("vrrp_instance", &instance.name) else {
            continue;
        };
        let said = tree.with_keyword(&block.body, "priority").next().is_some();
        let state = tree.with_keyword(&block.body, "state").last();
        if let Some(state) = state
            && instance.initial_state == InitialState::Master
            && instance.is_owner()
            && !said
        {
            let text = format!(
                "({}) state MASTER without priority means priority 255: no other router can take over",
                instance.name
            );
            let finding = node.finding(Code::OwnerByAccident, Some(state.span), text);
            found.push(finding.with(node, block.span, "this instance has no priority"));
        }
    }
}
