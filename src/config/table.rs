//! The keyword engine: tables of rows, and the arguments that rows read. It knows no keyword.
//!
//! A row names a keyword and what to do with its arguments; the engine finds the row, adds place and keyword to what the
//! row complains about, and goes on with the next statement. Source: the structure of keepalived.conf(5).

mod inline;

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::host::Host;
use super::lex::{self, Word};
use super::source::{Code, Diag, Diags, Span, Weight};
use super::tree::{Body, NO_ROW, Opens, Shape, Statement, Tree, UNKNOWN_ROW};
use super::value;

/// The keywords of one kind of block, which read into a `T`.
pub(crate) struct Block<T: 'static> {
    /// The keyword that opens it; empty at the top level.
    pub(crate) name: &'static str,
    pub(crate) rows: &'static [Row<T>],
    /// Further rows, in groups that several blocks share or that stand in files of their own.
    pub(crate) more: &'static [&'static [Row<T>]],
}

impl<T: 'static> Block<T> {
    fn all(&self) -> impl Iterator<Item = &'static Row<T>> {
        self.rows.iter().chain(self.more.iter().copied().flatten())
    }

    fn row(&self, number: u16) -> Option<&'static Row<T>> {
        let mut at = usize::from(number);
        if let Some(row) = self.rows.get(at) {
            return Some(row);
        }
        at -= self.rows.len();
        for group in self.more {
            match group.get(at) {
                Some(row) => return Some(row),
                None => at -= group.len(),
            }
        }
        None
    }

    /// The row of that name.
    fn named(&self, keyword: &str) -> Option<&'static Row<T>> {
        self.all().find(|r| r.keyword == keyword)
    }
}

/// What a row does with the arguments of its keyword.
type Setter<T> = fn(&mut T, &mut Args<'_, '_>) -> Result<(), Fault>;

/// One keyword.
pub(crate) struct Row<T: 'static> {
    pub(crate) keyword: &'static str,
    /// What the manual says about its arguments.
    #[allow(
        dead_code,
        reason = "read by the command that explains findings, which is to come"
    )]
    pub(crate) manual: &'static str,
    opens: Opens,
    run: Run<T>,
    /// Splits its own words: no complaint about quotes from the engine.
    raw: bool,
    /// Read before everything else, wherever it stands.
    early: bool,
    /// An empty block is a mistake.
    filled: bool,
}

enum Run<T: 'static> {
    Set(Setter<T>),
    /// Once per line of its block.
    Lines(Setter<T>),
    /// Once per word of its block.
    Words(Setter<T>),
    Renamed(&'static str),
    #[allow(
        dead_code,
        reason = "read by the command that explains findings, which is to come"
    )]
    Gone(&'static str),
}

/// A keyword with arguments.
pub(crate) const fn key<T>(keyword: &'static str, manual: &'static str, set: Setter<T>) -> Row<T> {
    Row {
        keyword,
        manual,
        opens: Opens::Nothing,
        run: Run::Set(set),
        raw: false,
        early: false,
        filled: false,
    }
}

/// A keyword with a block of keywords, which `set` reads with [`Args::block`].
pub(crate) const fn sub<T>(
    keyword: &'static str,
    shape: &'static dyn Shape,
    set: Setter<T>,
) -> Row<T> {
    Row {
        opens: Opens::Block(shape),
        ..key(keyword, "{ block }", set)
    }
}

/// A keyword without arguments and with a block of lines.
pub(crate) const fn lines<T>(
    keyword: &'static str,
    manual: &'static str,
    line: Setter<T>,
) -> Row<T> {
    Row {
        opens: Opens::Values,
        run: Run::Lines(line),
        ..key(keyword, manual, line)
    }
}

/// A keyword without arguments and with a block of words, however they are spread over lines.
pub(crate) const fn words<T>(
    keyword: &'static str,
    manual: &'static str,
    word: Setter<T>,
) -> Row<T> {
    Row {
        opens: Opens::Values,
        run: Run::Words(word),
        ..key(keyword, manual, word)
    }
}

/// A keyword with arguments and a block of lines, which `set` reads with [`Args::entries`].
pub(crate) const fn values<T>(
    keyword: &'static str,
    manual: &'static str,
    set: Setter<T>,
) -> Row<T> {
    Row {
        opens: Opens::Values,
        ..key(keyword, manual, set)
    }
}

/// A keyword that is still read, with a deprecation.
pub(crate) const fn renamed<T>(keyword: &'static str, to: &'static str) -> Row<T> {
    Row {
        run: Run::Renamed(to),
        ..key(keyword, "deprecated", |_, _| Ok(()))
    }
}

/// A keyword of old releases that no release reads any more.
pub(crate) const fn gone<T>(keyword: &'static str, instead: &'static str) -> Row<T> {
    Row {
        run: Run::Gone(instead),
        ..key(keyword, "removed", |_, _| Ok(()))
    }
}

/// The row splits the raw text itself ([`Args::raw`]).
pub(crate) const fn raw<T>(row: Row<T>) -> Row<T> {
    Row { raw: true, ..row }
}

/// Read before everything else, wherever it stands.
pub(crate) const fn early<T>(row: Row<T>) -> Row<T> {
    Row { early: true, ..row }
}

/// An empty block is a complaint.
pub(crate) const fn filled<T>(row: Row<T>) -> Row<T> {
    Row {
        filled: true,
        ..row
    }
}

/// It changes how the includes after it are checked.
pub(crate) const fn includes<T>(row: Row<T>) -> Row<T> {
    Row {
        opens: Opens::Includes,
        ..row
    }
}

impl<T: 'static> Shape for Block<T> {
    fn find(&self, keyword: &str) -> Option<(u16, Opens)> {
        let (at, mut row) = self.all().enumerate().find(|(_, r)| r.keyword == keyword)?;
        match row.run {
            Run::Renamed(to) => row = self.named(to)?,
            Run::Gone(_) => return None,
            Run::Set(_) | Run::Lines(_) | Run::Words(_) => {}
        }
        Some((u16::try_from(at).ok()?, row.opens))
    }

    fn keywords(&self) -> Vec<&'static str> {
        self.all().map(|r| r.keyword).collect()
    }
}

/// Features that are not there yet: block, keywords.
pub(crate) type Inert = &'static [(&'static str, &'static [&'static str])];

/// What reading needs besides the statements.
pub(crate) struct Reader<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) host: &'a dyn Host,
    pub(crate) diags: &'a mut Diags,
    inert: Inert,
    noted: HashSet<(&'static str, &'static str)>,
}

/// Which statements of a block to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Those of early rows.
    Early,
    /// The others.
    Late,
    /// All.
    Whole,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        tree: &'a Tree,
        host: &'a dyn Host,
        diags: &'a mut Diags,
        inert: Inert,
    ) -> Self {
        Self {
            tree,
            host,
            diags,
            inert,
            noted: HashSet::new(),
        }
    }

    /// Reads the statements of a block into `v`.
    pub(crate) fn read<T>(&mut self, block: &Block<T>, body: &Body, pass: Pass, v: &mut T) {
        for statement in self.tree.statements(body) {
            if statement.row == UNKNOWN_ROW && pass != Pass::Late {
                self.unknown(&statement);
            }
            let Some(row) = block.row(statement.row) else {
                continue;
            };
            if match pass {
                Pass::Early => !row.early,
                Pass::Late => row.early,
                Pass::Whole => false,
            } {
                continue;
            }
            self.statement(block, row, &statement, v);
            self.note_inert(block.name, row.keyword, statement.span);
        }
    }

    /// Complains about a keyword that its block does not know.
    fn unknown(&mut self, statement: &Statement<'_>) {
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
        self.diags.push(Diag::at(span, Code::UnknownKeyword, text));
    }

    /// Says once that a keyword has no effect, if so.
    fn note_inert(&mut self, block: &'static str, keyword: &'static str, span: Span) {
        let listed = self.inert.iter().find(|(name, _)| *name == block);
        if listed.is_some_and(|(_, words)| words.contains(&keyword))
            && self.noted.insert((block, keyword))
        {
            let text = format!("{keyword} is understood but has no effect yet");
            self.diags.push(Diag::at(span, Code::NoEffectYet, text));
        }
    }

    fn statement<T>(
        &mut self,
        block: &Block<T>,
        row: &Row<T>,
        statement: &Statement<'a>,
        v: &mut T,
    ) {
        let mut row = row;
        let named = row.keyword;
        if let Run::Renamed(to) = row.run {
            let text = format!("{named} is deprecated - please use '{to}'");
            self.diags
                .push(Diag::at(statement.span, Code::Deprecated, text));
            match block.named(to) {
                Some(new) => row = new,
                None => return,
            }
        }
        let mut args = Args::of(self, statement, named, row.raw);
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
            args.report(fault);
        }
    }
}

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
    reader: &'r mut Reader<'a>,
    statement: Statement<'a>,
    keyword: &'static str,
    words: Vec<Word<'a>>,
    next: usize,
}

impl<'r, 'a> Args<'r, 'a> {
    fn of(
        reader: &'r mut Reader<'a>,
        statement: &Statement<'a>,
        keyword: &'static str,
        raw: bool,
    ) -> Self {
        let (words, unmatched) = lex::words(statement.text);
        if unmatched && !raw {
            reader.diags.push(Diag::at(
                statement.span,
                Code::UnmatchedQuote,
                "Unmatched quote",
            ));
        }
        let next = usize::from(statement.row != NO_ROW);
        Self {
            reader,
            statement: statement.clone(),
            keyword,
            words,
            next,
        }
    }

    /// The machine.
    pub(crate) fn host(&self) -> &'a dyn Host {
        self.reader.host
    }

    /// The keyword as it was written.
    pub(crate) fn keyword(&self) -> &'static str {
        self.keyword
    }

    /// The place of the whole statement.
    pub(crate) fn span(&self) -> Span {
        self.statement.span
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
        let text = match fault.whole || self.keyword.is_empty() {
            true => fault.text,
            false => format!("{}: {}", self.keyword, fault.text),
        };
        self.reader
            .diags
            .push(Diag::at(span, fault.code, text).weighing(fault.weight));
    }

    /// Complains about the word that was read last, and goes on.
    pub(crate) fn warn(&mut self, code: Code, text: impl Into<String>) {
        let fault = self.fault(code, text);
        self.report(fault);
    }

    /// Complains in keepalived's own words, unless the very same was said before.
    pub(crate) fn once(&mut self, code: Code, text: &'static str) {
        if self.reader.noted.insert(("", text)) {
            let fault = self.whole_fault(code, text).complaint();
            self.report(fault);
        }
    }

    /// A message that changes no exit status.
    pub(crate) fn log(&mut self, code: Code, text: impl Into<String>) {
        let diag = Diag::at(self.here(), code, text).weighing(Weight::Log);
        self.reader.diags.push(diag);
    }

    /// A message that `-t` shows and that changes no exit status.
    pub(crate) fn print(&mut self, code: Code, text: impl Into<String>) {
        let diag = Diag::at(self.here(), code, text).weighing(Weight::Printed);
        self.reader.diags.push(diag);
    }

    /// A complaint of the fatal class, which does not keep the daemon from running.
    pub(crate) fn fatal(&mut self, code: Code, text: impl Into<String>) {
        let diag = Diag::at(self.here(), code, text).weighing(Weight::Fatal);
        self.reader.diags.push(diag);
    }

    /// Puts the word that was read last back.
    pub(crate) fn back(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// A whole number in a range. Junk behind it is complained about, and the digits are used.
    pub(crate) fn int<N>(&mut self, range: RangeInclusive<N>) -> Result<N, Fault>
    where
        N: Copy + Into<i128> + TryFrom<i128>,
    {
        let word = self.word()?;
        self.int_of(word, range, Junk::Warned)
    }

    /// A whole number in a range, without anything behind it.
    pub(crate) fn strict<N>(&mut self, range: RangeInclusive<N>) -> Result<N, Fault>
    where
        N: Copy + Into<i128> + TryFrom<i128>,
    {
        let word = self.word()?;
        self.int_of(word, range, Junk::Refused)
    }

    fn int_of<N>(&mut self, word: &str, range: RangeInclusive<N>, junk: Junk) -> Result<N, Fault>
    where
        N: Copy + Into<i128> + TryFrom<i128>,
    {
        let (min, max): (i128, i128) = ((*range.start()).into(), (*range.end()).into());
        let invalid = |a: &Self| a.fault(Code::InvalidNumber, format!("invalid number '{word}'"));
        let whole = value::whole(word).ok_or_else(|| invalid(self))?;
        let n = Some(whole.value)
            .filter(|n| (min..=max).contains(n))
            .and_then(|n| N::try_from(n).ok());
        let n = n.ok_or_else(|| {
            self.fault(
                Code::OutOfRange,
                format!("{} is not in {min}..={max}", whole.value),
            )
        })?;
        match (whole.junk, junk) {
            (false, _) => Ok(n),
            (true, Junk::Refused) => Err(invalid(self)),
            (true, Junk::Warned) => {
                let text = format!("WARNING - invalid number '{word}' - using {}", whole.value);
                self.warn(Code::InvalidNumber, text);
                Ok(n)
            }
        }
    }

    /// Seconds with decimals, to a microsecond.
    pub(crate) fn secs(&mut self, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        self.decimal(6, range)
    }

    /// Seconds with decimals, to a millisecond.
    pub(crate) fn millis(&mut self, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        self.decimal(3, range)
    }

    fn decimal(&mut self, places: u32, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        let word = self.word()?;
        let found = value::decimal(word, places);
        let found = found
            .ok_or_else(|| self.fault(Code::InvalidNumber, format!("invalid number '{word}'")))?;
        if found.rounded {
            self.warn(
                Code::Rounded,
                format!("number '{word}' has too many decimal places"),
            );
        }
        if !range.contains(&found.value) {
            let (min, max) = range.into_inner();
            let text = format!(
                "{word} is not in {}..={}",
                min.as_secs_f64(),
                max.as_secs_f64()
            );
            return Err(self.fault(Code::OutOfRange, text));
        }
        Ok(found.value)
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

    /// Complains about words before the brace.
    pub(crate) fn no_more(&mut self) {
        if self.peek().is_some() {
            let extra: Vec<&str> = self.words[self.next..].iter().map(|w| w.text).collect();
            let text = format!(
                "Block {} has extra parameters {} ...",
                self.keyword,
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
    pub(crate) fn block<T>(&mut self, block: &Block<T>, v: &mut T) {
        self.reader
            .read(block, &self.statement.body, Pass::Whole, v);
    }

    /// Reads the lines of this statement's block. `filled`: none is a complaint.
    pub(crate) fn entries(
        &mut self,
        filled: bool,
        mut line: impl FnMut(&mut Args<'_, 'a>) -> Result<(), Fault>,
    ) {
        let body = self.statement.body.clone();
        let mut count = 0;
        for statement in self.reader.tree.statements(&body) {
            count += 1;
            let mut args = Args::of(self.reader, &statement, self.keyword, false);
            if let Err(fault) = line(&mut args) {
                args.report(fault);
            }
        }
        if filled && count == 0 {
            let text = format!("Warning - empty {} block", self.keyword);
            let fault = self.whole_fault(Code::EmptyBlock, text);
            self.report(fault);
        }
    }
}

/// What junk behind a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Junk {
    Warned,
    Refused,
}
