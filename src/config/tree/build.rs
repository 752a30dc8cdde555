//! Pieces → the tree: which block each statement stands in.
//!
//! Faults in the braces are reported here and mended so that as little as possible is lost. An unknown block is skipped, except
//! for top-level blocks inside one at the top level; the content of a brace that nothing asked for stays in the enclosing
//! block; blocks that never end are closed where a top-level block begins, or else at the end of the file. No keyword is known
//! here. Source: keepalived's behaviour.

use std::collections::{BTreeMap, BTreeSet};

use super::super::expand::{Expander, Kind};
use super::super::lex;
use super::super::source::{Code, Detail, Diag, Diags, Span, Weight};
use super::{NO_ROW, Opens, Shape, Tree, UNKNOWN_ROW, index};

const QUOTED_OPEN: &str = "\"{\"";
const QUOTED_CLOSE: &str = "\"}\"";

/// An open block.
struct Frame {
    inside: Inside,
    /// The statement that opened it; none at the top level, in a skipped block and for a brace that nothing asked for.
    stmt: Option<u32>,
    /// Where the statement, or the brace, is.
    span: Span,
}

impl Frame {
    fn unknown(span: Span) -> Self {
        Self {
            inside: Inside::Unknown,
            stmt: None,
            span,
        }
    }
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
        span: Span,
    },
    /// The keyword there is unknown; if a brace follows, it is a block.
    Unknown(Span),
    /// The keyword there is unknown, but not at the top level, and an end is missing somewhere; if a brace follows, it was
    /// missing before this.
    Outermost { text: String, span: Span },
}

/// Braces to read otherwise than they stand, by the number of the piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mend {
    dropped: BTreeSet<u64>,
    closed: BTreeMap<u64, u32>,
    /// Blocks that never end are closed where one of the top level begins.
    reopens: bool,
}

impl Mend {
    /// Leaves a brace out.
    pub(crate) fn drop(&mut self, piece: u64) {
        self.dropped.insert(piece);
    }

    /// Reads a `}` before a piece, which may be the end.
    pub(crate) fn close_before(&mut self, piece: u64) {
        *self.closed.entry(piece).or_default() += 1;
    }

    /// The same, and closes blocks that never end where one of the top level begins.
    pub(crate) fn reopening(&self) -> Self {
        Self {
            reopens: true,
            ..self.clone()
        }
    }

    fn closes(&self, piece: u64) -> u32 {
        self.closed.get(&piece).copied().unwrap_or(0)
    }
}

/// Reads all pieces of the expander. `root`: the shape of the top level.
pub(crate) fn build(
    lines: &mut Expander<'_>,
    root: &'static dyn Shape,
    mend: &Mend,
    diags: &mut Diags,
) -> Tree {
    let mut b = Builder {
        tree: Tree::default(),
        frames: Vec::new(),
        root,
        pending: Pending::None,
        depth: 0,
        assumed: 0,
        reopens: mend.reopens,
    };
    let mut last = None;
    let mending = mend != &Mend::default();
    let mut number = 0;
    while let Some(piece) = lines.next(diags) {
        last = Some(piece.span);
        number += 1;
        if mending {
            (0..mend.closes(number - 1)).for_each(|_| b.close(piece.span, diags));
            if mend.dropped.contains(&(number - 1)) {
                continue;
            }
        }
        match piece.kind {
            Kind::Open => b.open(piece.span, diags),
            Kind::Close => b.close(piece.span, diags),
            Kind::Text(text) => b.text(&text, piece.span, lines, diags),
        }
    }
    let at_the_end = last.unwrap_or(Span::NOWHERE);
    (0..mend.closes(number)).for_each(|_| b.close(at_the_end, diags));
    b.finish(last, diags)
}

struct Builder {
    tree: Tree,
    frames: Vec<Frame>,
    root: &'static dyn Shape,
    pending: Pending,
    /// Braces that are open, whatever they belong to: keepalived counts them so.
    depth: usize,
    /// Braces that a block of keywords lacks, after the complaint about that.
    assumed: usize,
    reopens: bool,
}

impl Builder {
    fn inside(&self) -> Inside {
        self.frames
            .last()
            .map_or(Inside::Keywords(self.root), |f| f.inside)
    }

    /// The finding with the block around it, and the statement if an expansion made it.
    fn placed(&self, diag: Diag, text: &str) -> Diag {
        let expanded = diag.span.is_some_and(|s| s.via > 0).then(|| text.into());
        diag.explained(Detail {
            expanded,
            block: self.frames.last().map(|f| f.span),
            ..Detail::default()
        })
    }

    /// A statement expected a brace and got something else: keepalived goes on inside the block anyway.
    fn open_without_brace(&mut self, diags: &mut Diags) {
        if let Pending::Block { inside, stmt, span } =
            std::mem::replace(&mut self.pending, Pending::None)
        {
            let weight = match inside {
                // keepalived: no complaint by itself; a process that does not read the block takes its end for that of the block
                // around it, or at the top level its lines for keywords.
                Inside::Values if !self.frames.is_empty() => Weight::Log,
                Inside::Values => Weight::Complaint,
                Inside::Keywords(_) | Inside::Unknown => {
                    // The brace of the unknown block around it serves both.
                    match self.frames.pop_if(|f| matches!(f.inside, Inside::Unknown)) {
                        Some(_) => {}
                        None => self.assumed += 1,
                    }
                    Weight::Complaint
                }
            };
            let text = self.tree.last().text_of(stmt).to_owned();
            let keyword = lex::first_word(&text).unwrap_or_default();
            let say = format!("Missing '{{' at beginning of configuration block {keyword}");
            let diag = Diag::at(span, Code::MissingOpen, say).weighing(weight);
            diags.push(self.placed(diag, &text));
            self.frames.push(Frame {
                inside,
                stmt: Some(stmt),
                span,
            });
        }
    }

    fn text(&mut self, text: &str, span: Span, lines: &mut Expander<'_>, diags: &mut Diags) {
        if text == QUOTED_OPEN && matches!(self.pending, Pending::Block { .. }) {
            return self.open_quoted();
        }
        self.open_without_brace(diags);
        self.pending = Pending::None;
        if text == QUOTED_CLOSE
            && let Some(frame) = self.frames.pop()
        {
            return self.end(&frame);
        }
        if self.frames.is_empty() {
            self.tree.between();
        }
        let shape = match self.inside() {
            Inside::Keywords(shape) => shape,
            Inside::Values => {
                self.tree.last().push(text, span, NO_ROW);
                return;
            }
            // keepalived: does not know that this is a block, and reads on at the top level.
            Inside::Unknown if self.is_free(text) => {
                self.tree.between();
                self.root
            }
            Inside::Unknown => return,
        };
        let Some(keyword) = lex::first_word(text) else {
            let say = "Unmatched quote - statement ignored";
            diags.push(self.placed(Diag::at(span, Code::UnmatchedQuote, say), text));
            return;
        };
        let Some((row, opens)) = shape.find(keyword) else {
            self.tree.last().push(text, span, UNKNOWN_ROW);
            let outermost = self.is_outermost(keyword);
            self.tree.swallows |= outermost;
            self.pending = match outermost && self.reopens {
                true => Pending::Outermost {
                    text: text.to_owned(),
                    span,
                },
                false => Pending::Unknown(span),
            };
            return;
        };
        let inside = match opens {
            Opens::Nothing => None,
            Opens::Block(shape) => Some(Inside::Keywords(shape)),
            Opens::Values => Some(Inside::Values),
            Opens::Includes => {
                let (words, _) = lex::words(text);
                for word in lines.set_checks(words.iter().skip(1).map(|w| w.text)) {
                    let say = format!("{keyword}: unknown check '{word}' - ignored");
                    diags.push(self.placed(Diag::at(span, Code::BadValue, say), text));
                }
                None
            }
        };
        let header = inside.and_then(|_| text.strip_suffix(QUOTED_OPEN));
        let stmt = self.tree.last().push(header.unwrap_or(text), span, row);
        if let Some(inside) = inside {
            self.pending = Pending::Block { inside, stmt, span };
        }
        if header.is_some() {
            self.open_quoted();
        }
    }

    /// Whether `text` begins a named block of the top level, with nothing but unknown blocks around it.
    fn is_free(&self, text: &str) -> bool {
        let unknown = |f: &Frame| matches!(f.inside, Inside::Unknown);
        let (words, _) = lex::words(text);
        words.len() > 1
            && words.first().is_some_and(|w| self.is_outermost(w.text))
            && self.frames.iter().all(unknown)
    }

    /// Whether the keyword opens a block of the top level.
    fn is_outermost(&self, keyword: &str) -> bool {
        let found = self.root.find(keyword);
        found.is_some_and(|(_, opens)| matches!(opens, Opens::Block(_) | Opens::Values))
    }

    /// Closes everything, and opens the block of the top level that `text` begins.
    ///
    /// keepalived reads its lines as those of the block that does not end, and some of its processes nothing of the rest.
    fn reopen(&mut self, text: &str, span: Span) -> Option<Frame> {
        let (row, opens) = self.root.find(lex::first_word(text)?)?;
        let inside = match opens {
            Opens::Block(shape) => Inside::Keywords(shape),
            Opens::Values => Inside::Values,
            Opens::Nothing | Opens::Includes => return None,
        };
        while let Some(frame) = self.frames.pop() {
            self.end(&frame);
        }
        self.tree.between();
        let stmt = Some(self.tree.last().push(text, span, row));
        Some(Frame { inside, stmt, span })
    }

    /// keepalived: a brace in quotes opens and closes blocks, but is not counted.
    fn open_quoted(&mut self) {
        if let Pending::Block {
            inside, stmt, span, ..
        } = std::mem::replace(&mut self.pending, Pending::None)
        {
            self.frames.push(Frame {
                inside,
                stmt: Some(stmt),
                span,
            });
        }
    }

    fn open(&mut self, span: Span, diags: &mut Diags) {
        self.depth += 1;
        if let (Pending::None, Inside::Values) = (&self.pending, self.inside()) {
            // keepalived: an entry like any other, and the next end is that of this block.
            self.tree.last().push("{", span, NO_ROW);
            return;
        }
        let frame = match std::mem::replace(&mut self.pending, Pending::None) {
            Pending::Block {
                inside, stmt, span, ..
            } => Frame {
                inside,
                stmt: Some(stmt),
                span,
            },
            Pending::Unknown(span) => Frame::unknown(span),
            Pending::Outermost { text, span } => self
                .reopen(&text, span)
                .unwrap_or_else(|| Frame::unknown(span)),
            Pending::None => {
                if !matches!(self.inside(), Inside::Unknown) {
                    let say = "Unexpected '{' - ignoring";
                    diags.push(self.placed(Diag::at(span, Code::UnexpectedOpen, say), "{"));
                }
                Frame {
                    inside: self.inside(),
                    stmt: None,
                    span,
                }
            }
        };
        self.frames.push(frame);
    }

    fn close(&mut self, span: Span, diags: &mut Diags) {
        self.open_without_brace(diags);
        self.pending = Pending::None;
        let extra = match (self.depth, self.assumed) {
            (1.., _) => {
                self.depth -= 1;
                false
            }
            (0, 1..) => {
                self.assumed -= 1;
                false
            }
            (0, 0) => true,
        };
        if extra {
            diags.push(Diag::at(span, Code::ExtraClose, "Extra '}' found"));
        }
        match self.frames.pop() {
            Some(frame) => self.end(&frame),
            None => diags.push(Diag::at(span, Code::UnknownKeyword, "Unknown keyword '}'")),
        }
    }

    fn end(&mut self, frame: &Frame) {
        let part = self.tree.last();
        let end = index(part.stmts.len());
        if let Some(stmt) = frame.stmt.and_then(|s| part.stmts.get_mut(s as usize)) {
            stmt.end = end;
        }
    }

    fn finish(mut self, last: Option<Span>, diags: &mut Diags) -> Tree {
        self.open_without_brace(diags);
        let missing = self.depth;
        self.tree.swallows &= missing > 0;
        self.tree.last = last;
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
