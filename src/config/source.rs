//! Files, places in them, and what is said about them.
//!
//! A finding has a stable [`Code`] and a [`Weight`], from which the exit status follows; its text keeps keepalived's
//! words where people search for them. Nothing here reads a file or knows a keyword. Source: keepalived's behaviour.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use super::code::Code;
pub(crate) use super::outcome::{Concern, Diags, Outcomes, Weight};
use super::secret;
use super::tree::Shape;

/// Number of a file in [`Files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub(crate) u32);

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub(crate) file: FileId,
    /// From 1.
    pub(crate) line: u32,
    /// First octet, from 1. 0: only the line is known. With `via` it counts in the statement, not in the line.
    pub(crate) col: u32,
    /// Octets; 0: the whole line.
    pub(crate) len: u32,
    /// Number of the expansion that made the text, see [`Files::expansion`]. 0: it stands in the file as it is.
    pub(crate) via: u32,
}

impl Span {
    /// No place in any file.
    pub(crate) const NOWHERE: Self = Self {
        file: FileId(u32::MAX),
        line: 0,
        col: 0,
        len: 0,
        via: 0,
    };

    /// In which order places are shown. What one line expands to stays in the order of reading.
    pub(crate) fn order(self) -> (FileId, u32, u32) {
        let col = if self.via == 0 { self.col } else { 0 };
        (self.file, self.line, col)
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// As it was written in the `include`, or on the command line.
    pub(crate) name: Arc<str>,
    /// Where it is, to read it again when a finding shows one of its lines.
    pub(crate) path: PathBuf,
    /// The `include` that named it; none for the main file.
    pub(crate) included_at: Option<Span>,
}

/// A use of definitions: what made a text that stands in no file.
#[derive(Clone, Debug)]
pub(crate) struct Expansion {
    /// The reference, in a line that may itself come from an expansion.
    pub(crate) at: Span,
    /// The names that were replaced, and where each got its value. Predefined names are not among them.
    pub(crate) names: Vec<(Arc<str>, Span)>,
}

/// Most expansions that are told apart; later ones are only known by their line.
const MAX_EXPANSIONS: usize = 50_000;

/// Every file that was read, in the order of opening, and what made text that stands in none of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    files: Vec<File>,
    expansions: Vec<Expansion>,
}

impl Files {
    /// Notes a file that is being opened.
    pub(crate) fn add(&mut self, name: &str, path: &Path, included_at: Option<Span>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(File {
            name: name.into(),
            path: path.to_path_buf(),
            included_at,
        });
        id
    }

    /// The includes that led to a place, innermost first: the name of the including file, and where in it.
    pub(crate) fn included_from(&self, span: Span) -> Vec<(&str, Span)> {
        let mut from = Vec::new();
        let mut at = self.of(span.file).and_then(|f| f.included_at);
        // A file is added after the one that includes it, so this ends.
        while let Some((span, file)) = at.and_then(|s| Some((s, self.of(s.file)?))) {
            from.push((&*file.name, span));
            at = file.included_at;
        }
        from
    }

    /// Every file that was opened, in that order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|f| f.path.as_path())
    }

    /// The file of that number.
    pub(crate) fn of(&self, id: FileId) -> Option<&File> {
        self.files.get(id.0 as usize)
    }

    /// Notes an expansion; `None`: there are too many to tell them apart.
    pub(crate) fn expand(&mut self, expansion: Expansion) -> Option<u32> {
        if self.expansions.len() >= MAX_EXPANSIONS {
            return None;
        }
        self.expansions.push(expansion);
        u32::try_from(self.expansions.len()).ok()
    }

    /// What made the text of a place.
    pub(crate) fn expansion(&self, span: Span) -> Option<&Expansion> {
        let at = span.via.checked_sub(1)?;
        self.expansions.get(at as usize)
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diag {
    pub(crate) code: Code,
    pub(crate) weight: Weight,
    /// Known when it is kept ([`Diags::push`]).
    pub(crate) concern: Concern,
    pub(crate) span: Option<Span>,
    /// Whether the message starts with its place, as keepalived's messages made while reading do.
    pub(crate) placed: bool,
    pub(crate) text: String,
    /// What helps to understand it.
    pub(crate) detail: Option<Box<Detail>>,
}

/// What helps to understand a finding; costs nothing where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    /// The statement as its definitions made it. The columns of a span with `via` count in it.
    pub(crate) expanded: Option<Box<str>>,
    /// What the keyword takes.
    pub(crate) grammar: Option<Grammar>,
    /// The statement that opened the block around it.
    pub(crate) block: Option<Span>,
    /// A keyword that the block does not know.
    pub(crate) unknown: Option<Unknown>,
}

/// What a keyword takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grammar {
    pub(crate) keyword: &'static str,
    /// Of its row: arguments, then unit, range, default.
    pub(crate) manual: &'static str,
}

/// A keyword that a block does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) word: Box<str>,
    /// The block that it stands in.
    pub(crate) inside: ShapeRef,
}

/// A block's keywords, compared by its name.
#[derive(Clone, Copy)]
pub(crate) struct ShapeRef(pub(crate) &'static dyn Shape);

impl fmt::Debug for ShapeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl PartialEq for ShapeRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for ShapeRef {}

impl Diag {
    /// A finding at a place, with the weight that its code usually has.
    pub(crate) fn at(span: Span, code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            weight: code.weight(),
            concern: Concern::default(),
            span: Some(span),
            placed: true,
            text: text.into(),
            detail: None,
        }
    }

    /// A finding that is worded without its place; `span` may still be known.
    pub(crate) fn bare(span: Option<Span>, code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            weight: code.weight(),
            concern: Concern::default(),
            span,
            placed: false,
            text: text.into(),
            detail: None,
        }
    }

    /// The same with another weight.
    pub(crate) fn weighing(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// The same with more to say.
    pub(crate) fn explained(mut self, detail: Detail) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }

    /// Whether its statement stands where nearly every value is a key or a password, or becomes one by its definitions.
    pub(crate) fn tells_a_secret(&self) -> bool {
        let Some(detail) = self.detail.as_deref() else {
            return false;
        };
        let unknown = detail.unknown.as_ref();
        let inside = unknown.map_or("", |u| u.inside.0.name().rsplit('/').next().unwrap_or(""));
        let expanded = detail.expanded.as_deref().unwrap_or("");
        secret::BLOCKS.contains(&inside) || secret::masked(expanded) != expanded
    }

    /// `(FILE: Line N) text`, or the text alone.
    pub(crate) fn message(&self, files: &Files) -> String {
        let Some(span) = self.span.filter(|_| self.placed) else {
            return self.text.clone();
        };
        match files.of(span.file) {
            Some(f) => format!("({}: Line {}) {}", f.name, span.line, self.text),
            None => self.to_string(),
        }
    }
}

/// `(Line N) text`, or the text alone.
impl fmt::Display for Diag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.span.filter(|_| self.placed) {
            Some(span) => write!(f, "(Line {}) {}", span.line, self.text),
            None => f.write_str(&self.text),
        }
    }
}
