//! Findings for programs: one JSON object.
//!
//! ```json
//! {
//!   "version": 1,
//!   "files": ["a.conf"],
//!   "errors": 1, "warnings": 0, "notes": 0,
//!   "findings": [{
//!     "config": "a.conf",             // the file of the command line that was being read
//!     "file": "a.conf", "line": 3, "column": 5, "length": 5,
//!     "severity": "error",            // error, warning, note
//!     "code": "unknown-keyword",
//!     "message": "Unknown keyword 'bogus'",
//!     "source": "    bogus 3",
//!     "included_from": [{"file": "main.conf", "line": 7}],
//!     "related": [{"config": "a.conf", "file": "a.conf", "line": 1, "column": 1, "text": "..."}]
//!   }]
//! }
//! ```
//!
//! `file`, `line`, `column`, `length`, `source` are null where a finding has no place; lines and columns count from 1,
//! columns and lengths in octets. Names are only ever added.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::finding::{Finding, Node, Severity};
use super::render::Excerpts;
use crate::config::source::{Files, Span};

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
    let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
    let findings: Vec<Value> = found.iter().map(|f| one(nodes, f, excerpts)).collect();
    let all = json!({
        "version": 1,
        "files": names,
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "notes": count(Severity::Note),
        "findings": findings,
    });
    writeln!(out, "{all:#}")
}

fn one(nodes: &[Node], finding: &Finding, excerpts: &Excerpts) -> Value {
    let diag = &finding.diag;
    let node = nodes.get(finding.node);
    let name = |number: usize| nodes.get(number).map(|n| n.name.as_str());
    let file = |number: usize, span: Span| {
        let file = nodes.get(number)?.loaded.files.of(span.file)?;
        Some(file.name.to_string())
    };
    let known = |n: u32| Some(n).filter(|n| *n > 0);
    let span = diag.span.filter(|s| file(finding.node, *s).is_some());
    let related = finding.related.iter().map(|r| {
        json!({
            "config": name(r.node),
            "file": file(r.node, r.span),
            "line": r.span.line,
            "column": known(r.span.col),
            "text": r.text,
        })
    });
    json!({
        "config": name(finding.node),
        "file": span.and_then(|s| file(finding.node, s)),
        "line": span.map(|s| s.line),
        "column": span.and_then(|s| known(s.col)),
        "length": span.and_then(|s| known(s.len)),
        "severity": finding.severity().word(),
        "code": diag.code.slug(),
        "message": diag.text,
        "source": span.and_then(|s| excerpts.line(finding.node, s)),
        "included_from": node.zip(span).map_or_else(Vec::new, |(n, s)| chain(&n.loaded.files, s)),
        "related": related.collect::<Vec<_>>(),
    })
}

/// The includes that led to a place, innermost first.
fn chain(files: &Files, span: Span) -> Vec<Value> {
    let places = files.included_from(span).into_iter();
    let value = |(name, s): (&str, Span)| json!({"file": name, "line": s.line});
    places.map(value).collect()
}
