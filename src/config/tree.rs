//! Lines → statements with blocks.
//!
//! Which keyword opens which block is asked of a [`Shape`]; no keyword is known here. The statements of a whole configuration lie in one array and their text in one string: a large file costs little more
//! than itself. Source: keepalived's behaviour.

mod build;

use std::ops::Range;

pub(crate) use self::build::{Mend, build};
use super::lex;
use super::source::{FileId, Span};

/// What a block knows about the keywords in it.
pub(crate) trait Shape: Sync {
    /// The row of a keyword and what it opens.
    fn find(&self, keyword: &str) -> Option<(u16, Opens)>;
    /// The path of keywords that lead to the block; empty at the top level.
    fn name(&self) -> &'static str;
    /// Every keyword that is still read, and what it opens; for suggestions.
    fn keywords(&self) -> Vec<(&'static str, Opens)>;
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

/// A configuration as statements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    text: String,
    stmts: Vec<Stmt>,
}

/// The statements of a block.
#[derive(Clone, Debug)]
pub(crate) struct Body(Range<u32>);

/// One statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement<'t> {
    /// Keyword and arguments.
    pub(crate) text: &'t str,
    /// See [`Shape::find`]; [`NO_ROW`] in a value block.
    pub(crate) row: u16,
    pub(crate) span: Span,
    /// Empty where there is no block.
    pub(crate) body: Body,
}

impl Tree {
    /// The top level.
    pub(crate) fn root(&self) -> Body {
        Body(0..index(self.stmts.len()))
    }

    /// The statements of a block, in reading order.
    pub(crate) fn statements(&self, body: &Body) -> impl Iterator<Item = Statement<'_>> {
        let mut at = body.0.start;
        let end = body.0.end;
        std::iter::from_fn(move || {
            let stmt = self.stmts.get(at as usize).filter(|_| at < end)?;
            let inside = at + 1..stmt.end;
            at = stmt.end;
            let text = self.text_of(inside.start - 1);
            let len = if stmt.col == 0 { 0 } else { index(text.len()) };
            let span = Span {
                file: stmt.file,
                line: stmt.line,
                col: stmt.col.into(),
                len,
                via: stmt.via,
            };
            Some(Statement {
                text,
                row: stmt.row,
                span,
                body: Body(inside),
            })
        })
    }

    fn text_of(&self, at: u32) -> &str {
        let start = |n: u32| self.stmts.get(n as usize).map(|s| s.text as usize);
        let end = start(at + 1).unwrap_or(self.text.len());
        start(at).map_or("", |start| &self.text[start..end])
    }

    /// The statements of a block that begin with that keyword.
    pub(crate) fn with_keyword<'t>(
        &'t self,
        body: &Body,
        keyword: &'t str,
    ) -> impl Iterator<Item = Statement<'t>> {
        let fits = move |s: &Statement<'t>| lex::first_word(s.text) == Some(keyword);
        self.statements(body).filter(fits)
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

fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
