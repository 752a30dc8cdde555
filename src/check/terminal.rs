//! `-t` on a terminal: keepalived's line for each finding, and below it what `check` has to say.

use std::io::{self, Write};

use super::finding::{Finding, Node};
use super::render::{Excerpts, Style, below};
use super::{locate, own};
use crate::config::host::Host;
use crate::config::source::{Code, Diag};
use crate::config::{LoadOptions, Loaded, Loudness};

/// Writes what `-t` says about `loaded`, which was read with `options`.
///
/// # Errors
/// When `out` does not take it.
pub(crate) fn write(
    out: &mut dyn Write,
    options: LoadOptions,
    loaded: Loaded,
    host: &dyn Host,
) -> io::Result<()> {
    let nodes = [Node {
        number: 0,
        name: options.path.clone(),
        options,
        loaded,
    }];
    let [node] = &nodes;
    let all = own::found(node, host);
    let mut pins: Vec<&Finding> = all.iter().filter(|f| f.pinned).collect();
    let mut shown: Vec<Finding> = node
        .loaded
        .diags
        .iter()
        .map(|d| own::plain(node, d))
        .collect();
    locate::explain(&nodes, &mut shown);
    let every: Vec<Finding> = shown.iter().chain(&all).cloned().collect();
    let excerpts = Excerpts::of(&nodes, &every, host);
    let style = Style::of_terminal();
    for ((loudness, line), finding) in node.loaded.messages().zip(&shown) {
        if loudness == Loudness::Log {
            continue;
        }
        writeln!(out, "{line}")?;
        let places = places_for(&finding.diag, &mut pins);
        if own::twice(&finding.diag) {
            continue;
        }
        match places.is_empty() {
            true => writeln!(out, "{}\n", below(&nodes, finding, &excerpts, style))?,
            false => {
                for pin in places {
                    writeln!(out, "{}\n", below(&nodes, pin, &excerpts, style))?;
                }
            }
        }
    }
    Ok(())
}

/// The probable places that a finding about braces stands for; each is shown once.
fn places_for<'a>(diag: &Diag, pins: &mut Vec<&'a Finding>) -> Vec<&'a Finding> {
    // The end of the file stands for all blocks that are open there.
    let most = if diag.code == Code::MissingClose {
        usize::MAX
    } else {
        1
    };
    let mut taken = Vec::new();
    pins.retain(|p| {
        let take = taken.len() < most && p.diag.code == diag.code;
        if take {
            taken.push(*p);
        }
        !take
    });
    taken
}
