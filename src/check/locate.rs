//! What stands around findings that were made after reading, when statements are no longer at hand: the block, and what
//! the keyword takes that would have helped. Looks statements up by their place; knows no grammar itself.

use super::finding::{Finding, Node};
use crate::config::blocks::ROOT;
use crate::config::lex;
use crate::config::source::{Code, Detail, Grammar, Span};
use crate::config::tree::{Body, Opens, Shape};

/// Most findings that are looked up: each walks through all statements.
const MOST: usize = 200;

/// The keyword that a block lacks, by what is said about it.
const LACKS: &[(Code, &str, &str)] = &[
    (Code::NoVrid, "vrrp_instance", "virtual_router_id"),
    (Code::NoInterfaceGiven, "vrrp_instance", "interface"),
    (Code::NoAddress, "vrrp_instance", "virtual_ipaddress"),
    (Code::SameVrid, "vrrp_instance", "virtual_router_id"),
    (Code::Rounded, "vrrp_instance", "advert_int"),
    (Code::NoRealServer, "virtual_server", "real_server"),
    (Code::SmallGroup, "vrrp_sync_group", "group"),
];

/// Adds to each finding what is known about its place, where nothing is yet.
pub(super) fn explain(nodes: &[Node], found: &mut [Finding]) {
    let bare = found
        .iter_mut()
        .filter(|f| f.diag.detail.is_none() && !f.pinned);
    for finding in bare.take(MOST) {
        let Some((node, span)) = nodes.get(finding.node).zip(finding.diag.span) else {
            continue;
        };
        let place = find(node.loaded.tree.root(), None, span);
        let code = finding.diag.code;
        if let Some((block, keyword)) = place {
            let lacks = LACKS.iter().find(|(c, of, _)| (*c, *of) == (code, keyword));
            let grammar = lacks.and_then(|(_, of, lacked)| grammar(of, lacked));
            finding.diag.detail = Some(Box::new(Detail {
                block,
                grammar,
                ..Detail::default()
            }));
        }
    }
}

/// What a keyword of a block of the top level takes.
fn grammar(block: &str, keyword: &str) -> Option<Grammar> {
    match ROOT.find(block)?.1 {
        Opens::Block(shape) => shape.grammar(keyword),
        Opens::Nothing | Opens::Values | Opens::Includes => None,
    }
}

/// The block around the statement of that place, and the statement's keyword.
fn find<'t>(body: Body<'t>, around: Option<Span>, wanted: Span) -> Option<(Option<Span>, &'t str)> {
    for statement in body.statements() {
        let at = statement.span;
        let keyword = lex::first_word(statement.text).unwrap_or_default();
        let same = (at.file, at.line, at.via) == (wanted.file, wanted.line, wanted.via);
        if same && (at.col == wanted.col || wanted.col == 0) {
            return Some((around, keyword));
        }
        if let Some(found) = find(statement.body, Some(at), wanted) {
            return Some(found);
        }
    }
    None
}
