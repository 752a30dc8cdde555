//! What was found while reading, made fit for people: where braces do not match, their probable places stand for all that
//! follows from them.

use super::braces::{self, Pin, Wrong};
use super::finding::{Finding, Node};
use crate::config;
use crate::config::host::Host;
use crate::config::source::{Code, Diag, Diags, Span};

/// Findings that tell of braces, but not where the mistake is.
const BRACES: &[Code] = &[Code::ExtraClose, Code::MissingClose, Code::UnexpectedOpen];

/// The findings of a node, in any order.
pub(super) fn found(node: &Node, host: &dyn Host) -> Vec<Finding> {
    let diags = &node.loaded.diags;
    if !diags.iter().any(|d| BRACES.contains(&d.code)) {
        return diags.iter().map(|d| plain(node, d)).collect();
    }
    let lines = config::lines(&node.options, host, &mut Diags::default());
    let (pins, mend) = braces::locate(lines);
    if pins.is_empty() {
        return diags
            .iter()
            .filter(|d| !twice(d))
            .map(|d| plain(node, d))
            .collect();
    }
    let mended = config::load_mended(&node.options, host, &mend);
    let about_braces = |all: &[Diag]| all.iter().filter(|d| BRACES.contains(&d.code)).count();
    if about_braces(&mended.diags) >= about_braces(diags) {
        // It mends nothing: better keepalived's own places than wrong ones.
        return diags
            .iter()
            .filter(|d| !twice(d))
            .map(|d| plain(node, d))
            .collect();
    }
    let left = mended.diags.iter().filter(|d| !twice(d));
    let mut all: Vec<Finding> = left.map(|d| plain(node, d)).collect();
    // Each pin stands for a complaint of its own.
    let said = diags.iter().filter(|d| !twice(d)).count();
    let follow = said.saturating_sub(all.len() + pins.len());
    let total = pins.iter().filter(|p| p.wrong != Wrong::ExtraClose).count();
    for (n, pin) in pins.iter().enumerate() {
        let follow = if n == 0 { follow } else { 0 };
        all.push(pinned(node, pin, total, follow));
    }
    all
}

/// Stock says about a brace too many also that it is no keyword: once is enough.
pub(super) fn twice(diag: &Diag) -> bool {
    diag.code == Code::UnknownKeyword && diag.text == "Unknown keyword '}'"
}

pub(super) fn plain(node: &Node, diag: &Diag) -> Finding {
    Finding {
        node: node.number,
        diag: diag.clone(),
        related: Vec::new(),
        notes: Vec::new(),
        pinned: false,
    }
}

/// The finding for a probable place. `total`: braces that are not closed; `follow`: complaints that come from them.
fn pinned(node: &Node, pin: &Pin, total: usize, follow: usize) -> Finding {
    let missing = format!("There are {total} missing '}}'s or extra '{{'s");
    let (diag, opener) = match pin.wrong {
        Wrong::MissingClose => (
            Diag::bare(Some(pin.span), Code::MissingClose, missing),
            "this block is not closed: a `}` is probably missing at the place above",
        ),
        Wrong::ExtraClose => (
            Diag::at(pin.span, Code::ExtraClose, "Extra '}' found"),
            "this block is probably closed too early by it",
        ),
        Wrong::ExtraOpen => (
            Diag::at(pin.span, Code::UnexpectedOpen, "Unexpected '{' - ignoring"),
            "this statement takes no block, or has one already",
        ),
    };
    let mut finding = plain(node, &diag);
    finding.pinned = true;
    if let Some(span) = pin.opener.filter(|s| *s != Span::NOWHERE) {
        finding = finding.with(node, span, opener);
    }
    if follow > 0 {
        finding
            .notes
            .push(format!("{follow} more complaints of -t follow from this"));
    }
    finding
}
