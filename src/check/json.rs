//! Findings for programs: one JSON object.
//!
//! ```json
//! {
//!   "version": 1,
//!   "files": ["a.conf"],                    // of the command line
//!   "errors": 1, "warnings": 0, "notes": 0,
//!   "findings": [{
//!     "config": "a.conf",                   // the file of the command line that was being read
//!     "file": "sub.conf", "line": 3, "column": 5, "length": 9,
//!     "severity": "error",                  // error, warning, note
//!     "code": "unknown-keyword",            // see `check --explain`
//!     "message": "Unknown keyword 'intreface'",
//!     "source": "    intreface eth0",
//!     "expected": null,                     // the form of the keyword, in words
//!     "block": {"text": "vrrp_instance V", "file": "a.conf", "line": 1, "column": 1},
//!     "suggestion": "interface",            // a keyword that may be meant
//!     "valid_in": [],                       // blocks that know the keyword; "" is the top level
//!     "included_from": [{"file": "a.conf", "line": 7}],
//!     "expansion": null,                    // or {"text", "column", "length", "definitions": [{"name", "file", "line"}]}
//!     "related": [{"config": "a.conf", "file": "a.conf", "line": 1, "column": 1, "text": "..."}],
//!     "notes": []                           // sentences
//!   }]
//! }
//! ```
//!
//! `file`, `line`, `column`, `length`, `source`, `block`, `suggestion` are null where there is none. Lines and columns
//! count from 1, columns and lengths in octets; a line that definitions made has the column of the reference, and that of
//! the word in `expansion`. Names are only ever added.

use std::io::{self, Write};

use serde::Serialize;

use super::facts::Facts;
use super::finding::{Finding, Node, Severity};
use super::render::Excerpts;
use crate::config::source::Span;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    files: Vec<&'a str>,
    errors: usize,
    warnings: usize,
    notes: usize,
    findings: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    config: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    column: Option<u32>,
    length: Option<u32>,
    /// The place is probable: a brace is missing or too many somewhere.
    probable: bool,
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    source: Option<&'a str>,
    expected: Option<String>,
    block: Option<Block>,
    suggestion: Option<&'static str>,
    valid_in: Vec<&'static str>,
    included_from: Vec<Include>,
    expansion: Option<Expansion<'a>>,
    related: Vec<Related<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Block {
    text: String,
    file: String,
    line: u32,
    column: Option<u32>,
}

#[derive(Serialize)]
struct Include {
    file: String,
    line: u32,
}

#[derive(Serialize)]
struct Expansion<'a> {
    text: Option<String>,
    column: Option<u32>,
    length: Option<u32>,
    definitions: Vec<Definition<'a>>,
}

#[derive(Serialize)]
struct Definition<'a> {
    name: String,
    file: Option<&'a str>,
    line: u32,
}

#[derive(Serialize)]
struct Related<'a> {
    config: Option<&'a str>,
    file: Option<&'a str>,
    line: u32,
    column: Option<u32>,
    text: &'a str,
}

/// Writes the object and a line feed.
///
/// # Errors
/// When `out` does not take it.
pub(super) fn write(
    out: &mut dyn Write,
    nodes: &[Node],
    found: &[Finding],
    excerpts: &Excerpts,
) -> io::Result<()> {
    let count = |s: Severity| found.iter().filter(|f| f.severity() == s).count();
    let report = Report {
        version: 1,
        files: nodes.iter().map(|n| n.name.as_str()).collect(),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        notes: count(Severity::Note),
        findings: found.iter().map(|f| item(nodes, f, excerpts)).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

/// 0 is "not known".
fn known(n: u32) -> Option<u32> {
    Some(n).filter(|n| *n > 0)
}

fn item<'a>(nodes: &'a [Node], finding: &'a Finding, excerpts: &'a Excerpts) -> Item<'a> {
    let name = |number: usize| nodes.get(number).map(|n| n.name.as_str());
    let file = |number: usize, span: Span| {
        let file = nodes.get(number)?.loaded.files.of(span.file)?;
        Some(&*file.name)
    };
    let diag = &finding.diag;
    let facts = Facts::of(nodes, finding, excerpts);
    let suggestion = facts.suggestion.unwrap_or_default();
    let near = suggestion.replaced_by.filter(|w| !w.is_empty());
    let expansion = facts.expansion.map(|e| Expansion {
        text: e.text,
        column: known(e.col),
        length: known(e.len),
        definitions: e
            .names
            .into_iter()
            .map(|(name, span)| Definition {
                name,
                file: file(finding.node, span),
                line: span.line,
            })
            .collect(),
    });
    let related = finding.related.iter().map(|r| Related {
        config: name(r.node),
        file: file(r.node, r.span),
        line: r.span.line,
        column: known(r.span.col),
        text: &r.text,
    });
    let included_from = facts.included_from.into_iter();
    Item {
        config: name(finding.node),
        file: facts.place.and_then(|s| file(finding.node, s)),
        line: facts.place.map(|s| s.line),
        column: facts.place.and_then(|s| known(s.col)),
        length: facts.place.and_then(|s| known(s.len)),
        probable: finding.pinned,
        severity: finding.severity().word(),
        code: diag.code.slug(),
        message: &diag.text,
        source: facts.place.and_then(|s| excerpts.line(finding.node, s)),
        expected: facts.expected,
        block: facts.block.map(|b| Block {
            text: b.text,
            file: b.file,
            line: b.line,
            column: known(b.col),
        }),
        suggestion: near.or(suggestion.near.first().copied()),
        valid_in: suggestion.valid_in,
        included_from: included_from
            .map(|(file, line)| Include { file, line })
            .collect(),
        expansion,
        related: related.collect(),
        notes: &finding.notes,
    }
}
