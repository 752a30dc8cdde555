//! What there is to say about a finding besides its message; the same for people and for programs.

use super::expected;
use super::finding::{Finding, Node};
use super::render::Excerpts;
use super::suggest::Suggestion;
use crate::config::secret;
use crate::config::source::{Code, Files, Span};

/// Findings that a look at the keyword's form helps with.
const FORM_MATTERS: &[Code] = &[
    Code::MissingArgument,
    Code::NoValue,
    Code::ExtraArgument,
    Code::EmptyBlock,
    Code::InvalidNumber,
    Code::OutOfRange,
    Code::Rounded,
    Code::InvalidBoolean,
    Code::InvalidAddress,
    Code::BadValue,
    Code::UnknownWord,
    Code::TooLong,
    Code::Deprecated,
    Code::UnmatchedQuote,
    Code::NoVrid,
    Code::NoInterfaceGiven,
    Code::NoAddress,
    Code::SameVrid,
    Code::NoRealServer,
    Code::SmallGroup,
];
/// Most definitions that are shown for one finding.
const MAX_DEFINITIONS: usize = 4;
/// Most includes that are shown for one place.
const MAX_INCLUDES: usize = 8;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Where it is: a place in a file, that of the reference if an expansion made the text.
    pub(super) place: Option<Span>,
    /// The includes that led there, innermost first.
    pub(super) included_from: Vec<(String, u32)>,
    /// What definitions made of the line.
    pub(super) expansion: Option<Expanded>,
    /// The form of the keyword.
    pub(super) expected: Option<String>,
    /// The block around it.
    pub(super) block: Option<Opened>,
    pub(super) suggestion: Option<Suggestion>,
}

/// What definitions made of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The statement, if it came that far.
    pub(super) text: Option<String>,
    /// The word in it: first octet from 1, and octets; 0: all of it.
    pub(super) col: u32,
    pub(super) len: u32,
    /// The names that were replaced, and where each got its value.
    pub(super) names: Vec<(String, Span)>,
}

/// The block around a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// The statement that opened it, as it stands in the file.
    pub(super) text: String,
    pub(super) file: String,
    pub(super) line: u32,
    /// 0: unknown.
    pub(super) col: u32,
}

impl Facts {
    pub(super) fn of(nodes: &[Node], finding: &Finding, excerpts: &Excerpts) -> Self {
        let Some(files) = nodes.get(finding.node).map(|n| &n.loaded.files) else {
            return Self::default();
        };
        let diag = &finding.diag;
        let detail = diag.detail.as_deref();
        let place = diag
            .span
            .map(|s| root(files, s))
            .filter(|s| files.of(s.file).is_some());
        let grammar = detail
            .and_then(|d| d.grammar)
            .filter(|_| FORM_MATTERS.contains(&diag.code));
        let unknown = detail.and_then(|d| d.unknown.as_ref());
        Self {
            place,
            included_from: place.map_or_else(Vec::new, |s| included_from(files, s)),
            expansion: diag.span.and_then(|s| {
                files.expansion(s)?;
                Some(Expanded {
                    text: detail.and_then(|d| d.expanded.as_deref()).map(|text| {
                        match diag.tells_a_secret() {
                            true => secret::without_values(text),
                            false => secret::masked(text).into_owned(),
                        }
                    }),
                    col: s.col,
                    len: s.len,
                    names: names(files, s),
                })
            }),
            expected: grammar.and_then(expected::text),
            block: detail.and_then(|d| d.block).and_then(|span| {
                let at = root(files, span);
                let line = excerpts.line(finding.node, at)?;
                Some(Opened {
                    text: header(line, at).to_owned(),
                    file: files.of(at.file)?.name.to_string(),
                    line: at.line,
                    col: at.col,
                })
            }),
            suggestion: unknown.map(Suggestion::of),
        }
    }

    /// The places whose lines a finding shows.
    pub(super) fn places(files: &Files, span: Span) -> Vec<Span> {
        let mut all = vec![root(files, span)];
        all.extend(names(files, span).into_iter().map(|(_, s)| root(files, s)));
        all
    }
}

/// The place in a file: through all expansions to the reference that began them.
fn root(files: &Files, span: Span) -> Span {
    let mut at = span;
    // Expansions refer to earlier ones only, so this ends.
    while let Some(expansion) = files.expansion(at) {
        at = expansion.at;
    }
    at
}

/// The names that were replaced on the way to a place, the innermost first, but those that are defined in its line.
fn names(files: &Files, span: Span) -> Vec<(String, Span)> {
    let mut all: Vec<(String, Span)> = Vec::new();
    let mut at = span;
    while let Some(expansion) = files.expansion(at) {
        for (name, from) in &expansion.names {
            let here = (from.file, from.line) == (span.file, span.line);
            if !here && all.len() < MAX_DEFINITIONS && all.iter().all(|(n, _)| **n != **name) {
                all.push((name.to_string(), *from));
            }
        }
        at = expansion.at;
    }
    all
}

fn included_from(files: &Files, span: Span) -> Vec<(String, u32)> {
    let all = files.included_from(span).into_iter().take(MAX_INCLUDES);
    all.map(|(name, s)| (name.to_owned(), s.line)).collect()
}

/// The statement that opened a block, without its brace and comment.
fn header(line: &str, at: Span) -> &str {
    let from = (at.col as usize).saturating_sub(1);
    let text = line.get(from..).unwrap_or(line);
    let end = match at.len as usize {
        0 => text.find(['{', '#', '!']).unwrap_or(text.len()),
        len => len.min(text.len()),
    };
    text.get(..end).unwrap_or(text).trim()
}
