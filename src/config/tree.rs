//! Lines → statements with blocks.
//!
//! Which keyword opens which block is asked of a [`Shape`]; no keyword is known here. What is wrong with the braces is
//! said here and mended so that as little as possible is lost: an unknown block is skipped as a whole, the words of a
//! brace that nothing asked for stay in the enclosing block, blocks that never end are closed at the end of the file.
//! The statements of a whole configuration lie in one array and their text in one string: a large file costs little more
//! than itself. Source: keepalived's behaviour.

use std::ops::Range;

use super::expand::{Expander, Kind};
use super::lex;
use super::source::{Code, Diag, Diags, FileId, Span, Weight};

/// What a block knows about the keywords in it.
pub(crate) trait Shape: Sync {
    /// The row of a keyword and what it opens.
    fn find(&self, keyword: &str) -> Option<(u16, Opens)>;
    /// Every keyword, for suggestions.
    #[allow(dead_code, reason = "suggestions come next")]
    fn keywords(&self) -> Vec<&'static str>;
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
    text: Range<u32>,
    file: FileId,
    line: u32,
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
            let text = &self.text[stmt.text.start as usize..stmt.text.end as usize];
            let len = if stmt.col == 0 { 0 } else { index(text.len()) };
            let span = Span {
                file: stmt.file,
                line: stmt.line,
                col: stmt.col.into(),
                len,
            };
            Some(Statement {
                text,
                row: stmt.row,
                span,
                body: Body(inside),
            })
        })
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

    /// The first block of that keyword and name at the top level, such as `vrrp_instance VI_1`.
    pub(crate) fn block<'t>(&'t self, keyword: &'t str, name: &str) -> Option<Statement<'t>> {
        let root = self.root();
        let mut all = self.with_keyword(&root, keyword);
        all.find(|s| lex::words(s.text).0.get(1).is_some_and(|w| w.text == name))
    }

    fn push(&mut self, text: &str, span: Span, row: u16) -> u32 {
        let start = index(self.text.len());
        self.text.push_str(text);
        let at = index(self.stmts.len());
        self.stmts.push(Stmt {
            text: start..index(self.text.len()),
            file: span.file,
            line: span.line,
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

/// An open block.
struct Frame {
    inside: Inside,
    /// The statement that opened it; none at the top level, in a skipped block and for a brace that nothing asked for.
    stmt: Option<u32>,
    /// Whether a brace was seen. Without one its end is not missing either.
    braced: bool,
}

#[derive(Clone, Copy)]
enum Inside {
    Keywords(&'static dyn Shape),
    Values,
    /// An unknown block.
    Unknown,
}

/// What the last statement expects.
enum Pending {
    /// No brace.
    None,
    /// Its block.
    Block {
        inside: Inside,
        stmt: u32,
        keyword: String,
        span: Span,
    },
    /// It is unknown; if a brace follows, it is a block.
    Unknown,
}

/// Reads everything that the expander has to say. `root`: the shape of the top level.
pub(crate) fn build(lines: &mut Expander<'_>, root: &'static dyn Shape, diags: &mut Diags) -> Tree {
    let mut b = Builder {
        tree: Tree::default(),
        frames: Vec::new(),
        root,
        pending: Pending::None,
    };
    let mut last = None;
    while let Some(piece) = lines.next(diags) {
        last = Some(piece.span);
        match piece.kind {
            Kind::Open => b.open(piece.span, diags),
            Kind::Close => b.close(piece.span, diags),
            Kind::Text(text) => b.text(&text, piece.span, lines, diags),
        }
    }
    b.finish(last, diags)
}

struct Builder {
    tree: Tree,
    frames: Vec<Frame>,
    root: &'static dyn Shape,
    pending: Pending,
}

impl Builder {
    fn inside(&self) -> Inside {
        self.frames
            .last()
            .map_or(Inside::Keywords(self.root), |f| f.inside)
    }

    /// A statement expected a brace and got something else: keepalived goes on inside the block anyway.
    fn open_without_brace(&mut self, diags: &mut Diags) {
        if let Pending::Block {
            inside,
            stmt,
            keyword,
            span,
        } = std::mem::replace(&mut self.pending, Pending::None)
        {
            let weight = match inside {
                Inside::Values => Weight::Log,
                Inside::Keywords(_) | Inside::Unknown => Weight::Complaint,
            };
            let text = format!("Missing '{{' at beginning of configuration block {keyword}");
            diags.push(Diag::at(span, Code::MissingOpen, text).weighing(weight));
            self.frames.push(Frame {
                inside,
                stmt: Some(stmt),
                braced: false,
            });
        }
    }

    fn text(&mut self, text: &str, span: Span, lines: &mut Expander<'_>, diags: &mut Diags) {
        self.open_without_brace(diags);
        self.pending = Pending::None;
        let Inside::Keywords(shape) = self.inside() else {
            if let Inside::Values = self.inside() {
                self.tree.push(text, span, NO_ROW);
            }
            return;
        };
        let Some(keyword) = lex::first_word(text) else {
            diags.push(Diag::at(
                span,
                Code::UnmatchedQuote,
                "Unmatched quote - statement ignored",
            ));
            return;
        };
        let Some((row, opens)) = shape.find(keyword) else {
            self.tree.push(text, span, UNKNOWN_ROW);
            self.pending = Pending::Unknown;
            return;
        };
        let inside = match opens {
            Opens::Nothing => None,
            Opens::Block(shape) => Some(Inside::Keywords(shape)),
            Opens::Values => Some(Inside::Values),
            Opens::Includes => {
                let (words, _) = lex::words(text);
                for word in lines.set_checks(words.iter().skip(1).map(|w| w.text)) {
                    diags.push(Diag::at(
                        span,
                        Code::BadValue,
                        format!("{keyword}: unknown check '{word}' - ignored"),
                    ));
                }
                None
            }
        };
        let stmt = self.tree.push(text, span, row);
        if let Some(inside) = inside {
            self.pending = Pending::Block {
                inside,
                stmt,
                keyword: keyword.to_owned(),
                span,
            };
        }
    }

    fn open(&mut self, span: Span, diags: &mut Diags) {
        let frame = match std::mem::replace(&mut self.pending, Pending::None) {
            Pending::Block { inside, stmt, .. } => Frame {
                inside,
                stmt: Some(stmt),
                braced: true,
            },
            Pending::Unknown => Frame {
                inside: Inside::Unknown,
                stmt: None,
                braced: true,
            },
            Pending::None => {
                if !matches!(self.inside(), Inside::Unknown) {
                    diags.push(Diag::at(
                        span,
                        Code::UnexpectedOpen,
                        "Unexpected '{' - ignoring",
                    ));
                }
                Frame {
                    inside: self.inside(),
                    stmt: None,
                    braced: true,
                }
            }
        };
        self.frames.push(frame);
    }

    fn close(&mut self, span: Span, diags: &mut Diags) {
        self.open_without_brace(diags);
        self.pending = Pending::None;
        match self.frames.pop() {
            Some(frame) => self.end(&frame),
            None => {
                diags.push(Diag::at(span, Code::ExtraClose, "Extra '}' found"));
                diags.push(Diag::at(span, Code::UnknownKeyword, "Unknown keyword '}'"));
            }
        }
    }

    fn end(&mut self, frame: &Frame) {
        let end = index(self.tree.stmts.len());
        if let Some(stmt) = frame.stmt.and_then(|s| self.tree.stmts.get_mut(s as usize)) {
            stmt.end = end;
        }
    }

    fn finish(mut self, last: Option<Span>, diags: &mut Diags) -> Tree {
        self.open_without_brace(diags);
        let missing = self.frames.iter().filter(|f| f.braced).count();
        if missing > 0 {
            let text = format!("There are {missing} missing '}}'s or extra '{{'s");
            diags.push(Diag::bare(last, Code::MissingClose, text));
        }
        while let Some(frame) = self.frames.pop() {
            self.end(&frame);
        }
        self.tree
    }
}
