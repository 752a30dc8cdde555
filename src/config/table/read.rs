//! Statements → rows: which row reads which statement, and what follows a mistake. It knows no keyword.

use std::collections::HashSet;

use super::super::host::Host;
use super::super::lex;
use super::super::names::Folders;
use super::super::source::{Code, Concern, Detail, Diag, Diags, ShapeRef, Span, Unknown};
use super::super::tree::{Body, Shape, Statement, UNKNOWN_ROW};
use super::args::Args;
use super::{Block, Row, Run};

/// Features that are not there yet: block, keywords.
pub(crate) type Inert = &'static [(&'static str, &'static [&'static str])];

/// What reading gathers besides the model.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) diags: Diags,
    /// Statements that were not taken over.
    pub(crate) rejected: HashSet<Span>,
    /// The statement whose block is being read.
    pub(super) block: Option<Span>,
    inert: Inert,
    /// `iproute_etc_dir`, `iproute_usr_dir`: where names of tables and the like are looked up.
    pub(crate) folders: Folders,
    pub(super) noted: HashSet<(&'static str, &'static str)>,
}

impl Gathered {
    pub(crate) fn new(diags: Diags, inert: Inert) -> Self {
        Self {
            diags,
            inert,
            ..Self::default()
        }
    }
}

/// Reads statements, on a machine.
pub(crate) struct Reader<'r, 'a> {
    pub(crate) host: &'a dyn Host,
    pub(super) gathered: &'r mut Gathered,
}

/// Which statements of a block to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Those of early rows.
    Early,
    /// Those that are neither early nor last.
    Late,
    /// Those of last rows.
    Last,
    /// All.
    Whole,
}

impl<'r, 'a> Reader<'r, 'a> {
    pub(crate) fn new(host: &'a dyn Host, gathered: &'r mut Gathered) -> Self {
        Self { host, gathered }
    }

    /// The same for a part of the work.
    pub(super) fn again(&mut self) -> Reader<'_, 'a> {
        Reader {
            host: self.host,
            gathered: self.gathered,
        }
    }

    /// Reads the statements of a block into `v`.
    pub(crate) fn read<T>(
        &mut self,
        block: &'static Block<T>,
        body: Body<'a>,
        pass: Pass,
        v: &mut T,
    ) {
        for statement in body.statements() {
            if statement.row == UNKNOWN_ROW && matches!(pass, Pass::Early | Pass::Whole) {
                self.unknown(block, &statement);
            }
            let Some(row) = block.row(statement.row) else {
                continue;
            };
            if pass != Pass::Whole && pass != row.pass {
                continue;
            }
            let around = match row.concern {
                Concern::Daemon => None,
                concern @ (Concern::Vrrp | Concern::Checkers) => {
                    Some(self.gathered.diags.about(concern))
                }
            };
            self.statement(block, row, &statement, v);
            self.note_inert(block.name, row.keyword, statement.span);
            if let Some(around) = around {
                self.gathered.diags.about(around);
            }
        }
    }

    /// Whether there are statements that this pass reads.
    pub(crate) fn has<T>(block: &'static Block<T>, body: Body<'_>, pass: Pass) -> bool {
        let mut rows = body.statements().filter_map(|s| block.row(s.row));
        rows.any(|row| row.pass == pass)
    }

    /// Complains about a keyword that its block does not know.
    fn unknown(&mut self, inside: &'static dyn Shape, statement: &Statement<'_>) {
        if self.gathered.diags.is_full() {
            return self.gathered.diags.count(Code::UnknownKeyword.weight());
        }
        let keyword = lex::first_word(statement.text).unwrap_or_default();
        let len = match statement.span.col {
            0 => 0,
            _ => u32::try_from(keyword.len()).unwrap_or(0),
        };
        let span = Span {
            len,
            ..statement.span
        };
        let text = format!("Unknown keyword '{keyword}'");
        let detail = Detail {
            expanded: (span.via > 0).then(|| statement.text.into()),
            grammar: None,
            block: self.gathered.block,
            unknown: Some(Unknown {
                word: keyword.into(),
                inside: ShapeRef(inside),
            }),
        };
        let diag = Diag::at(span, Code::UnknownKeyword, text);
        self.gathered.diags.push(diag.explained(detail));
    }

    /// Says once that a keyword has no effect, if so.
    pub(super) fn note_inert(&mut self, block: &'static str, keyword: &'static str, span: Span) {
        let listed = self.gathered.inert.iter().find(|(name, _)| *name == block);
        if listed.is_some_and(|(_, words)| words.contains(&keyword))
            && self.gathered.noted.insert((block, keyword))
        {
            let text = format!("{keyword} is understood but has no effect yet");
            self.gathered
                .diags
                .push(Diag::at(span, Code::NoEffectYet, text));
        }
    }

    fn statement<T>(
        &mut self,
        block: &'static Block<T>,
        row: &Row<T>,
        statement: &Statement<'a>,
        v: &mut T,
    ) {
        let mut row = row;
        let named = row.keyword;
        if let Run::Renamed(to) = row.run {
            match block.named(to) {
                Some(new) => row = new,
                None => return,
            }
            let text = format!("{named} is deprecated - please use '{to}'");
            let mut args = Args::of(self.again(), statement, row.grammar(named), true);
            args.push(Diag::at(statement.span, Code::Deprecated, text));
        }
        let mut args = Args::of(self.again(), statement, row.grammar(named), row.raw);
        let result = match row.run {
            Run::Set(set) => set(v, &mut args),
            Run::Lines(line) => {
                args.no_more();
                args.entries(row.filled, |a| line(v, a));
                Ok(())
            }
            Run::Words(word) => {
                args.no_more();
                args.entries(row.filled, |a| {
                    while a.peek().is_some() {
                        word(v, a)?;
                    }
                    Ok(())
                });
                Ok(())
            }
            Run::Renamed(_) | Run::Gone(_) => Ok(()),
        };
        if let Err(fault) = result {
            args.reject(fault);
        }
    }
}
