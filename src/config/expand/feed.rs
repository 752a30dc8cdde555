//! Where lines come from: files, sequences, definitions of several lines, and what follows a brace.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::super::source::{Code, Diag, Diags, FileId, Span};
use super::Text;
use super::include::Checks;

/// Longest line, in octets without the line feed.
pub(crate) const MAX_LINE: usize = 1022;

/// A line before anything was done with it.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) text: Text,
    pub(super) span: Span,
}

impl Raw {
    /// The place of a part of the line.
    pub(super) fn span_of(&self, start: usize, len: usize) -> Span {
        super::part(self.span, start, len)
    }
}

/// A source of lines.
pub(super) enum Feed {
    /// One after the other.
    Files(Pending),
    File(OpenFile),
    Sequence(Sequence),
    Stored(Stored),
    /// Once.
    Rest(Option<Raw>),
}

impl Feed {
    /// Where it comes from, for complaints.
    pub(super) fn span(&self) -> Span {
        match self {
            Self::Files(f) => f.from.unwrap_or(Span::NOWHERE),
            Self::File(f) => f.here(1, 0),
            Self::Sequence(s) => s.span,
            Self::Stored(s) => s.span,
            Self::Rest(r) => r.as_ref().map_or(Span::NOWHERE, |r| r.span),
        }
    }

    /// Whether it is certain that no line is left.
    pub(super) fn is_used_up(&self) -> bool {
        match self {
            Self::File(_) | Self::Files(_) => false,
            Self::Sequence(s) => s.values.is_empty(),
            Self::Stored(s) => s.next >= s.lines.len(),
            Self::Rest(r) => r.is_none(),
        }
    }
}

/// Files that are still to be opened.
#[derive(Debug)]
pub(super) struct Pending {
    /// The next one last.
    pub(super) names: Vec<String>,
    /// The `include` that matched them; none for the main files.
    pub(super) from: Option<Span>,
    /// One that cannot be read is an error.
    pub(super) read: bool,
}

/// A file that is being read.
pub(super) struct OpenFile {
    pub(super) id: FileId,
    /// Without links, to find loops.
    pub(super) real: PathBuf,
    /// What relative names in it are relative to.
    pub(super) dir: PathBuf,
    /// What its includes are checked for.
    pub(super) checks: Checks,
    content: Content,
    at: usize,
    line: u32,
}

/// What a file holds.
enum Content {
    Text(Rc<String>),
    /// Somewhere it is no UTF-8.
    Octets(Vec<u8>),
}

impl Content {
    fn octets(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Octets(octets) => octets,
        }
    }

    /// What is left from there, and where its first line ends.
    fn from(&self, at: usize) -> Option<(&[u8], Option<usize>)> {
        let (rest, end) = match self {
            Self::Text(text) => {
                let rest = text.get(at..)?;
                (rest.as_bytes(), rest.find('\n'))
            }
            Self::Octets(octets) => {
                let rest = octets.get(at..)?;
                (rest, rest.iter().position(|b| *b == b'\n'))
            }
        };
        Some((rest, end)).filter(|_| !rest.is_empty())
    }

    /// A part of it, with U+FFFD for what is no UTF-8.
    fn part(&self, at: usize, octets: &[u8]) -> Text {
        let shared = match self {
            Self::Text(text) => Text::of(text, at, octets.len()),
            Self::Octets(_) => None,
        };
        shared.unwrap_or_else(|| String::from_utf8_lossy(octets).into_owned().into())
    }
}

impl OpenFile {
    pub(super) fn new(
        id: FileId,
        real: PathBuf,
        dir: PathBuf,
        checks: Checks,
        content: Vec<u8>,
    ) -> Self {
        Self {
            id,
            real,
            dir,
            checks,
            content: match String::from_utf8(content) {
                Ok(text) => Content::Text(Rc::new(text)),
                Err(e) => Content::Octets(e.into_bytes()),
            },
            at: 0,
            line: 0,
        }
    }

    fn here(&self, col: u32, len: u32) -> Span {
        Span {
            file: self.id,
            line: self.line,
            col,
            len,
            via: 0,
        }
    }

    /// The next line, or with `skip_empty` the next one that is not empty.
    pub(super) fn next(&mut self, skip_empty: bool, diags: &mut Diags) -> Option<Raw> {
        loop {
            // A file may hold very many of them.
            while skip_empty && self.content.octets().get(self.at) == Some(&b'\n') {
                self.at += 1;
                self.line = self.line.saturating_add(1);
            }
            let begin = self.at;
            let (rest, end) = self.content.from(begin)?;
            let mut line = &rest[..end.unwrap_or(rest.len())];
            self.at += end.map_or(rest.len(), |e| e + 1);
            self.line = self.line.saturating_add(1);
            while let [before @ .., b'\r'] = line {
                line = before;
            }
            if skip_empty && line.is_empty() {
                continue;
            }
            let mut start = 0;
            if line.len() > MAX_LINE {
                // keepalived: reads what is beyond the limit as a line of its own, and loses what is before it.
                diags.push(Diag::at(
                    self.here(1, 0),
                    Code::LineTooLong,
                    "line too long - its beginning is ignored",
                ));
                start = line.len() / (MAX_LINE + 1) * (MAX_LINE + 1);
                line = &line[start..];
            }
            if line.contains(&0) {
                diags.push(Diag::at(
                    self.here(1, 0),
                    Code::NulByte,
                    "line contains a NUL byte - ignored",
                ));
                continue;
            }
            let col = u32::try_from(start + 1).unwrap_or(0);
            let text = self.content.part(begin + start, line);
            return Some(Raw {
                text,
                span: self.here(col, 0),
            });
        }
    }
}

/// The remaining lines of a definition.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) name: Arc<str>,
    pub(super) lines: Rc<[String]>,
    /// Where each line was defined.
    pub(super) from: Rc<[Span]>,
    pub(super) next: usize,
    /// The reference to it.
    pub(super) span: Span,
}

impl Stored {
    /// The next line, and where it was defined.
    pub(super) fn next(&mut self) -> Option<(String, Span)> {
        let text = self.lines.get(self.next)?.clone();
        let from = self.from.get(self.next).copied();
        self.next += 1;
        Some((text, from.unwrap_or(Span::NOWHERE)))
    }
}

/// The values of a sequence that are still to come.
#[derive(Clone, Debug)]
pub(super) enum Values {
    /// From `next` to `end`, both included; `None`: done.
    Range {
        next: Option<i64>,
        step: i64,
        end: i64,
        hex: bool,
    },
    /// Sets of values, the next one last.
    List(Vec<Vec<String>>),
}

impl Values {
    fn is_empty(&self) -> bool {
        match self {
            Self::Range { next, .. } => next.is_none(),
            Self::List(sets) => sets.is_empty(),
        }
    }

    fn next(&mut self) -> Option<Vec<String>> {
        match self {
            Self::Range {
                next,
                step,
                end,
                hex,
            } => {
                let n = (*next)?;
                let after = n.checked_add(*step);
                *next = after.filter(|a| if *step > 0 { *a <= *end } else { *a >= *end });
                Some(vec![if *hex {
                    format!("{n:x}")
                } else {
                    n.to_string()
                }])
            }
            Self::List(sets) => sets.pop(),
        }
    }
}

/// A running `~SEQ` or `~LST`.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub(super) names: Vec<String>,
    pub(super) values: Values,
    pub(super) text: Text,
    /// The place of the text.
    pub(super) span: Span,
    /// The place of the whole statement, where the variables get their values.
    pub(super) from: Rc<[Span]>,
}

impl Sequence {
    /// The variables of the next round and the line to use them in.
    pub(super) fn next(&mut self) -> Option<(Vec<(String, String)>, Raw)> {
        let mut values = self.values.next()?.into_iter();
        let variables = self
            .names
            .iter()
            .cloned()
            .map(|n| (n, values.next().unwrap_or_default()))
            .collect();
        Some((
            variables,
            Raw {
                text: self.text.clone(),
                span: self.span,
            },
        ))
    }
}
