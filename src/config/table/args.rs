//! The arguments of a statement, as a row reads them. It knows no keyword.

use std::net::IpAddr;

use super::super::host::Host;
use super::super::lex::{self, Word};
use super::super::names::Names;
use super::super::source::{Code, Detail, Diag, Grammar, Span, Weight};
use super::super::tree::{NO_ROW, Statement};
use super::super::value;
use super::{Block, Pass, Reader};

/// Why a statement is not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    code: Code,
    text: String,
    /// The word it is about; 0 is the keyword.
    word: usize,
    /// The text stands for itself: the keyword is not put before it.
    whole: bool,
    weight: Weight,
}

impl Fault {
    /// Whether it is the lack of an argument, which ends reading.
    pub(crate) fn is_missing(&self) -> bool {
        self.code == Code::MissingArgument
    }

    /// The same as a complaint, whatever its code usually leads to.
    pub(crate) fn complaint(self) -> Self {
        Self {
            weight: Weight::Complaint,
            ..self
        }
    }
}

/// The arguments of one statement, read from left to right.
pub(crate) struct Args<'r, 'a> {
    pub(super) reader: Reader<'r, 'a>,
    statement: Statement<'a>,
    pub(super) grammar: Grammar,
    words: Vec<Word<'a>>,
    next: usize,
}

impl<'r, 'a> Args<'r, 'a> {
    pub(super) fn of(
        reader: Reader<'r, 'a>,
        statement: &Statement<'a>,
        grammar: Grammar,
        raw: bool,
    ) -> Self {
        let (words, unmatched) = lex::words(statement.text);
        let next = usize::from(statement.row != NO_ROW);
        let mut args = Self {
            reader,
            statement: statement.clone(),
            grammar,
            words,
            next,
        };
        if unmatched && !raw {
            args.push(Diag::at(
                args.span(),
                Code::UnmatchedQuote,
                "Unmatched quote",
            ));
        }
        args
    }

    /// Keeps a finding, with what helps to understand it.
    pub(super) fn push(&mut self, diag: Diag) {
        let expanded = diag.span.is_some_and(|s| s.via > 0);
        let detail = Detail {
            expanded: expanded.then(|| self.statement.text.into()),
            grammar: Some(self.grammar),
            block: self.reader.gathered.block,
            unknown: None,
        };
        self.reader.gathered.diags.push(diag.explained(detail));
    }

    /// The machine.
    /// The number of a routing table, a scope and the like.
    pub(crate) fn named(&self, names: Names, word: &str) -> Option<u32> {
        names.number(word, &self.reader.gathered.folders, self.reader.host)
    }

    pub(crate) fn host(&self) -> &'a dyn Host {
        self.reader.host
    }

    /// The keyword as it was written.
    pub(crate) fn keyword(&self) -> &'static str {
        self.grammar.keyword
    }

    /// The place of the whole statement.
    pub(crate) fn span(&self) -> Span {
        self.statement.span
    }

    /// The place of the statement in the order of reading.
    pub(crate) fn number(&self) -> u32 {
        self.statement.number
    }

    /// The place of the word that was read last.
    pub(crate) fn here(&self) -> Span {
        self.span_of(self.next.saturating_sub(1))
    }

    fn span_of(&self, word: usize) -> Span {
        let span = self.statement.span;
        match self.words.get(word) {
            Some(w) if span.col > 0 => {
                let at = |n: usize| u32::try_from(n).unwrap_or(0);
                Span {
                    col: span.col + at(w.at),
                    len: at(w.text.len()),
                    ..span
                }
            }
            Some(_) | None => span,
        }
    }

    /// The next word, if there is one, without taking it.
    pub(crate) fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).map(|w| w.text)
    }

    /// Takes the next word, if there is one.
    pub(crate) fn opt(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.next += 1;
        Some(word)
    }

    /// Takes the next word. Without one, reading ends, in the test as in the daemon.
    pub(crate) fn word(&mut self) -> Result<&'a str, Fault> {
        self.opt().ok_or_else(|| Fault {
            code: Code::MissingArgument,
            text: format!(
                "*** Configuration line starting `{}` is missing a parameter after keyword `{}` at word position {}",
                self.words.first().map_or("", |w| w.text),
                self.last(),
                self.words.len() + 1
            ),
            word: 0,
            whole: true,
            weight: Code::MissingArgument.weight(),
        })
    }

    /// Complains when no word follows.
    pub(crate) fn present(&self) -> Result<(), Fault> {
        match self.peek() {
            Some(_) => Ok(()),
            None => Err(Fault {
                word: 0,
                ..self.fault(Code::NoValue, "a value is missing - ignored")
            }),
        }
    }

    /// The text behind the keyword as it stands, quotes included.
    pub(crate) fn raw(&self) -> &'a str {
        let end = match self.words.first() {
            Some(w) => w.at + w.text.len(),
            None => return "",
        };
        let rest = &self.statement.text[end..];
        rest.strip_prefix('"')
            .filter(|_| self.statement.text.starts_with('"'))
            .unwrap_or(rest)
    }

    /// A complaint about the word that was read last.
    pub(crate) fn fault(&self, code: Code, text: impl Into<String>) -> Fault {
        Fault {
            code,
            text: text.into(),
            word: self.next.saturating_sub(1),
            whole: false,
            weight: code.weight(),
        }
    }

    /// A complaint in keepalived's own words, to which nothing is added.
    pub(crate) fn whole_fault(&self, code: Code, text: impl Into<String>) -> Fault {
        Fault {
            whole: true,
            ..self.fault(code, text)
        }
    }

    /// Complains and goes on.
    pub(crate) fn report(&mut self, fault: Fault) {
        let span = self.span_of(fault.word);
        let text = match fault.whole || self.keyword().is_empty() {
            true => fault.text,
            false => format!("{}: {}", self.keyword(), fault.text),
        };
        self.push(Diag::at(span, fault.code, text).weighing(fault.weight));
    }

    /// Complains: the statement is not taken over.
    pub(super) fn reject(&mut self, fault: Fault) {
        let span = self.statement.span;
        self.reader.gathered.rejected.insert(span);
        self.report(fault);
    }

    /// Complains about the word that was read last, and goes on.
    pub(crate) fn warn(&mut self, code: Code, text: impl Into<String>) {
        let fault = self.fault(code, text);
        self.report(fault);
    }

    /// Complains in keepalived's own words, unless the very same was said before.
    pub(crate) fn once(&mut self, code: Code, text: &'static str) {
        if self.reader.gathered.noted.insert(("", text)) {
            let fault = self.whole_fault(code, text).complaint();
            self.report(fault);
        }
    }

    /// A message that changes no exit status.
    pub(crate) fn log(&mut self, code: Code, text: impl Into<String>) {
        let diag = Diag::at(self.here(), code, text).weighing(Weight::Log);
        self.push(diag);
    }

    /// The same about the keyword itself, which becomes the subject of the sentence.
    pub(crate) fn remark(&mut self, code: Code, predicate: &str) {
        self.log(code, format!("{} {predicate}", self.keyword()));
    }

    /// A message that `-t` shows and that changes no exit status.
    pub(crate) fn print(&mut self, code: Code, text: impl Into<String>) {
        let diag = Diag::at(self.here(), code, text).weighing(Weight::Printed);
        self.push(diag);
    }

    /// A complaint of the fatal class, which does not keep the daemon from running.
    pub(crate) fn fatal(&mut self, code: Code, text: impl Into<String>) {
        let diag = Diag::at(self.here(), code, text).weighing(Weight::Fatal);
        self.push(diag);
    }

    /// Puts the word that was read last back.
    pub(crate) fn back(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// `on off true false yes no`; no word: on.
    pub(crate) fn bool(&mut self) -> Result<bool, Fault> {
        match self.opt() {
            None => Ok(true),
            Some(word) => value::boolean(word).ok_or_else(|| {
                self.fault(Code::InvalidBoolean, format!("invalid boolean '{word}'"))
            }),
        }
    }

    /// Complains unless exactly one word follows, and takes it.
    pub(crate) fn only(&mut self) -> Result<&'a str, Fault> {
        match self.words.get(self.next..) {
            Some([_]) => self.word(),
            Some(_) | None => {
                Err(self.fault(Code::NoValue, "exactly one value is needed - ignored"))
            }
        }
    }

    /// A keyword that says all by being there; further words are ignored.
    pub(crate) fn flag(&mut self) -> Result<bool, Fault> {
        Ok(true)
    }

    /// An address.
    pub(crate) fn addr(&mut self) -> Result<IpAddr, Fault> {
        let word = self.word()?;
        value::address(word)
            .ok_or_else(|| self.fault(Code::InvalidAddress, format!("malformed address '{word}'")))
    }

    /// The word that was read last.
    pub(crate) fn last(&self) -> &'a str {
        self.words
            .get(self.next.saturating_sub(1))
            .map_or("", |w| w.text)
    }

    /// The rest of the words.
    pub(crate) fn rest(&mut self) -> impl Iterator<Item = &'a str> {
        let rest = self.words.split_off(self.next.min(self.words.len()));
        rest.into_iter().map(|w| w.text)
    }

    /// Complains about words before the brace of a block of lines or words; before that of keywords nobody minds them.
    pub(crate) fn no_more(&mut self) {
        if self.peek().is_some() {
            let extra: Vec<&str> = self.words[self.next..].iter().map(|w| w.text).collect();
            let text = format!(
                "Block {} has extra parameters {} ...",
                self.keyword(),
                extra.join(" ")
            );
            let fault = Fault {
                word: self.next,
                ..self.whole_fault(Code::ExtraArgument, text)
            };
            self.report(fault);
        }
    }

    /// Reads the keywords of this statement's block.
    pub(crate) fn block<T>(&mut self, block: &'static Block<T>, v: &mut T) {
        let around = self.reader.gathered.block.replace(self.span());
        self.reader.read(block, self.statement.body, Pass::Whole, v);
        self.reader.gathered.block = around;
    }

    /// Reads the lines of this statement's block. `filled`: none is a complaint.
    pub(crate) fn entries(
        &mut self,
        filled: bool,
        mut line: impl FnMut(&mut Args<'_, 'a>) -> Result<(), Fault>,
    ) {
        let around = self.reader.gathered.block.replace(self.span());
        let mut count = 0;
        for statement in self.statement.body.statements() {
            count += 1;
            let mut args = Args::of(self.reader.again(), &statement, self.grammar, false);
            if args.peek().is_none() {
                // All of it stands behind a quote that nothing closes.
                continue;
            }
            if let Err(fault) = line(&mut args) {
                args.reject(fault);
            }
        }
        self.reader.gathered.block = around;
        if filled && count == 0 {
            let text = format!("Warning - empty {} block", self.keyword());
            let fault = self.whole_fault(Code::EmptyBlock, text);
            self.report(fault);
        }
    }
}
