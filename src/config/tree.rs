//! Lines → statements with blocks.
//!
//! Which keyword opens which block is asked of a [`Shape`]; no keyword is known here. The statements of many blocks lie in
//! one array and their text in one string: a large file costs little more than itself, and what was read of it can be
//! given up while the rest is read. Source: keepalived's behaviour.

mod build;

pub(crate) use self::build::{Mend, build};
use super::lex;
use super::source::{FileId, Grammar, Span};

/// What a block knows about the keywords in it.
pub(crate) trait Shape: Sync {
    /// The row of a keyword and what it opens.
    fn find(&self, keyword: &str) -> Option<(u16, Opens)>;
    /// The path of keywords that lead to the block; empty at the top level.
    fn name(&self) -> &'static str;
    /// Every keyword that is still read, and what it opens; for suggestions.
    fn keywords(&self) -> Vec<(&'static str, Opens)>;
    /// What a keyword takes.
    fn grammar(&self, keyword: &str) -> Option<Grammar>;
    /// What replaces a keyword that no release reads any more; empty: nothing does.
    fn gone(&self, keyword: &str) -> Option<&'static str>;
}

/// What stands between the braces of a keyword.
#[derive(Clone, Copy)]
pub(crate) enum Opens {
    /// It takes no braces.
    Nothing,
    /// Keywords.
    Block(&'static dyn Shape),
    /// Lines that do not begin with a keyword.
    Values,
    /// No braces; it changes how includes after it are checked.
    Includes,
}

/// The row of a statement that no row reads: a line of a value block.
pub(crate) const NO_ROW: u16 = u16::MAX;

/// The row of a statement whose keyword its block does not know. Whoever reads the block complains; nobody does about a
/// block that is not read.
pub(crate) const UNKNOWN_ROW: u16 = u16::MAX - 1;

/// A statement: where its text, its row and its block are.
#[derive(Clone, Debug)]
struct Stmt {
    /// Where its text begins; it ends where that of the next statement begins.
    text: u32,
    file: FileId,
    line: u32,
    via: u32,
    col: u16,
    row: u16,
    /// Behind the last statement of its block.
    end: u32,
}

/// Statements of a part when the next block of the top level begins a new one.
const PART: usize = 1024;

/// Some blocks of the top level, one after the other.
#[derive(Clone, Debug, Default)]
struct Part {
    text: String,
    stmts: Vec<Stmt>,
    /// How many statements stand before it.
    before: u32,
}

/// A configuration as statements, in parts that can be given up one by one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    parts: Vec<Part>,
    /// An end is missing, and a keyword that only the top level knows stands in a block.
    pub(in crate::config) swallows: bool,
    /// Where the last word or brace stands.
    pub(in crate::config) last: Option<Span>,
}

/// The statements of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'t> {
    /// The block is in the first one; at the top level it goes on in all others.
    parts: &'t [Part],
    at: u32,
    end: u32,
}

/// One statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement<'t> {
    /// Keyword and arguments.
    pub(crate) text: &'t str,
    /// See [`Shape::find`]; [`NO_ROW`] in a value block.
    pub(crate) row: u16,
    pub(crate) span: Span,
    /// Its place in the order of reading.
    pub(crate) number: u32,
    /// Empty where there is no block.
    pub(crate) body: Body<'t>,
}

impl Tree {
    /// The top level.
    pub(crate) fn root(&self) -> Body<'_> {
        Body::of(&self.parts)
    }

    /// There is no statement at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.stmts.is_empty())
    }

    /// How many parts there are.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The statements of the top level in one part.
    pub(crate) fn part(&self, number: usize) -> Body<'_> {
        Body::of(self.parts.get(number..=number).unwrap_or_default())
    }

    /// Gives up the statements of a part.
    pub(crate) fn forget(&mut self, number: usize) {
        if let Some(part) = self.parts.get_mut(number) {
            *part = Part::default();
        }
    }

    /// The part that statements are added to.
    fn last(&mut self) -> &mut Part {
        if self.parts.is_empty() {
            self.parts.push(Part::default());
        }
        self.parts.last_mut().expect("one was just added")
    }

    /// Between two blocks of the top level: what follows is another part when this one is large enough.
    fn between(&mut self) {
        let last = self.last();
        if last.stmts.len() >= PART {
            last.text.shrink_to_fit();
            last.stmts.shrink_to_fit();
            let before = last.before + index(last.stmts.len());
            self.parts.push(Part {
                before,
                ..Part::default()
            });
        }
    }
}

impl Part {
    fn text_of(&self, at: u32) -> &str {
        let start = |n: u32| self.stmts.get(n as usize).map(|s| s.text as usize);
        let end = start(at + 1).unwrap_or(self.text.len());
        start(at).map_or("", |start| &self.text[start..end])
    }

    fn push(&mut self, text: &str, span: Span, row: u16) -> u32 {
        let start = index(self.text.len());
        self.text.push_str(text);
        let at = index(self.stmts.len());
        self.stmts.push(Stmt {
            text: start,
            file: span.file,
            line: span.line,
            via: span.via,
            col: u16::try_from(span.col).unwrap_or(0),
            row,
            end: at + 1,
        });
        at
    }
}

impl<'t> Body<'t> {
    /// Everything in some parts.
    fn of(parts: &'t [Part]) -> Self {
        let first = parts.first().map_or(0, |p| p.stmts.len());
        Self {
            parts,
            at: 0,
            end: index(first),
        }
    }

    /// In the order of reading.
    pub(crate) fn statements(self) -> impl Iterator<Item = Statement<'t>> {
        let Self {
            mut parts,
            mut at,
            mut end,
        } = self;
        std::iter::from_fn(move || {
            while at >= end {
                parts = parts.get(1..)?;
                Self { at, end, .. } = Self::of(parts);
            }
            let part = parts.first()?;
            let stmt = part.stmts.get(at as usize)?;
            let text = part.text_of(at);
            let len = if stmt.col == 0 { 0 } else { index(text.len()) };
            let span = Span {
                file: stmt.file,
                line: stmt.line,
                col: stmt.col.into(),
                len,
                via: stmt.via,
            };
            let number = part.before + at;
            let body = Self {
                parts: &parts[..1],
                at: at + 1,
                end: stmt.end,
            };
            at = stmt.end;
            Some(Statement {
                text,
                row: stmt.row,
                span,
                number,
                body,
            })
        })
    }

    /// Those that begin with that keyword.
    pub(crate) fn with_keyword(self, keyword: &'t str) -> impl Iterator<Item = Statement<'t>> {
        let fits = move |s: &Statement<'t>| lex::first_word(s.text) == Some(keyword);
        self.statements().filter(fits)
    }
}

fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
