//! Files → lines: comments, `@conditions`, `$definitions`, `~SEQ`, `~LST`, `include`, and the cut at braces.
//!
//! Lines are handed out one by one, so that `include_check`, which stands in the text, can act on the includes after it.
//! Whatever the input, the work is bounded: files, generated lines, replacements and nesting have limits, and reaching
//! one is a complaint. Source: keepalived's behaviour.

mod define;
mod feed;
mod include;
mod text;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use self::define::{Definition, Random};
use self::feed::{Feed, OpenFile, Raw};
pub(crate) use self::include::Checks;
pub(crate) use self::text::Text;
use super::host::Host;
use super::lex;
use super::secret;
use super::source::{Code, Diag, Diags, Files, Span};

/// Lines that sequences, definitions and repeated includes may add to what the files hold. A sequence that makes 100,000
/// real servers of eight lines fits.
const MAX_LINES: usize = 1_000_000;
/// Statements and braces of a configuration: twice the largest one we want to be fast with.
const MAX_PIECES: usize = 3_500_000;
/// Octets of all statements together, expanded.
const MAX_TEXT: usize = 192 << 20;
/// Definitions that are replaced in a configuration.
const MAX_REPLACED: usize = 3_000_000;
/// Files that are opened, each as often as it is named.
const MAX_FILES: usize = 50_000;
/// Names in directories that the patterns of includes are compared with.
const MAX_NAMES: usize = 300_000;
/// Lines that grow beyond the limit by their definitions: only definitions that never end make many.
const MAX_ENDLESS: usize = 100;
/// Files within files, sequences within sequences.
const MAX_DEPTH: usize = 256;

/// A piece of the configuration in reading order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// See [`Piece`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Words, never empty, without an unquoted brace.
    Text(Text),
    /// `{`
    Open,
    /// `}`
    Close,
}

/// Reads files and hands out what they say.
pub(crate) struct Expander<'h> {
    host: &'h dyn Host,
    config_id: String,
    pub(crate) files: Files,
    feeds: Vec<Feed>,
    definitions: HashMap<String, Definition>,
    /// The definition whose value goes on in the next line.
    open: Option<(String, Vec<(String, Span)>)>,
    /// The expansions in `files`, by reference and defining line.
    expansions: HashMap<(Span, Span), u32>,
    random: Random,
    /// `-e`: what the includes of the main file are checked for.
    checks: Checks,
    /// The working directory.
    cwd: PathBuf,
    /// Files being read, to find loops.
    reading: HashSet<PathBuf>,
    lines_left: usize,
    endless_left: usize,
    pieces_left: usize,
    text_left: usize,
    replaced_left: usize,
    names_left: usize,
    files_left: usize,
    bytes_left: u64,
    /// A limit was reached: nothing is read any more.
    stopped: bool,
}

impl<'h> Expander<'h> {
    /// `config_id`: what `@id` is compared with.
    pub(crate) fn new(host: &'h dyn Host, config_id: String, checks: Checks) -> Self {
        Self {
            host,
            config_id,
            files: Files::default(),
            feeds: Vec::new(),
            definitions: HashMap::new(),
            open: None,
            expansions: HashMap::new(),
            random: Random::new(host.seconds()),
            checks,
            cwd: host.cwd(),
            reading: HashSet::new(),
            lines_left: MAX_LINES,
            endless_left: MAX_ENDLESS,
            pieces_left: MAX_PIECES,
            text_left: MAX_TEXT,
            replaced_left: MAX_REPLACED,
            names_left: MAX_NAMES,
            files_left: MAX_FILES,
            bytes_left: super::host::MAX_FILE,
            stopped: false,
        }
    }

    /// The file that is being read.
    fn file(&self) -> Option<&OpenFile> {
        self.feeds.iter().rev().find_map(|f| match f {
            Feed::File(file) => Some(file),
            Feed::Files(_) | Feed::Sequence(_) | Feed::Stored(_) | Feed::Rest(_) => None,
        })
    }

    /// What relative names are relative to.
    fn dir(&self) -> &Path {
        self.file().map_or(&self.cwd, |f| &f.dir)
    }

    /// What includes are checked for here.
    fn checks(&self) -> Checks {
        self.file().map_or(self.checks, |f| f.checks)
    }

    /// Applies an `include_check` statement to the includes from here to the end of the file; gives back the words that
    /// it does not know.
    pub(crate) fn set_checks<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut checks = self.checks();
        let unknown = checks.apply(words);
        for feed in self.feeds.iter_mut().rev() {
            if let Feed::File(file) = feed {
                file.checks = checks;
                return unknown;
            }
        }
        unknown
    }

    /// The next piece; `None` at the end of everything.
    pub(crate) fn next(&mut self, diags: &mut Diags) -> Option<Piece> {
        loop {
            let raw = self.next_raw(diags)?;
            if let Some(piece) = self.process(raw, diags) {
                return Some(piece);
            }
        }
    }

    /// The innermost source that still has a line.
    fn next_raw(&mut self, diags: &mut Diags) -> Option<Raw> {
        loop {
            if self.stopped {
                return None;
            }
            let generates = match self.feeds.last()? {
                Feed::Files(_) => {
                    self.next_file(diags);
                    continue;
                }
                Feed::File(_) | Feed::Rest(_) => false,
                Feed::Sequence(_) | Feed::Stored(_) => true,
            };
            if generates {
                match self.lines_left.checked_sub(1) {
                    Some(left) => self.lines_left = left,
                    None => {
                        let span = self.feeds.last().map(Feed::span)?;
                        let text = format!(
                            "sequences and definitions make more than {MAX_LINES} lines - reading ends"
                        );
                        self.stop(span, text, diags);
                        return None;
                    }
                }
            }
            let raw = match self.feeds.last_mut()? {
                Feed::Files(_) => continue,
                Feed::File(file) => file.next(self.open.is_none(), diags),
                Feed::Sequence(sequence) => sequence.next().map(|(variables, raw)| {
                    for (name, value) in variables {
                        let value = Definition::single(value, Rc::clone(&sequence.from));
                        self.definitions.insert(name, value);
                    }
                    raw
                }),
                Feed::Stored(stored) => {
                    let (at, name) = (stored.span, Arc::clone(&stored.name));
                    stored.next().map(|(text, from)| {
                        let span = self.stored(at, from, &name);
                        Raw {
                            text: text.into(),
                            span,
                        }
                    })
                }
                Feed::Rest(rest) => rest.take(),
            };
            match raw {
                Some(raw) => {
                    // What is used up goes first, so that a definition that ends in a reference does not nest.
                    if self.feeds.last().is_some_and(Feed::is_used_up) {
                        self.feeds.pop();
                    }
                    return Some(raw);
                }
                None => self.end_of_feed(),
            }
        }
    }

    fn end_of_feed(&mut self) {
        if let Some(Feed::File(file)) = self.feeds.pop() {
            self.reading.remove(&file.real);
        }
    }

    /// Adds a source on top, unless the nesting has no end.
    fn push(&mut self, feed: Feed, diags: &mut Diags) {
        if self.feeds.len() < MAX_DEPTH {
            self.feeds.push(feed);
        } else {
            let text = format!(
                "more than {MAX_DEPTH} files or sequences within each other - reading ends"
            );
            self.stop(feed.span(), text, diags);
        }
    }

    /// A limit is reached: what would follow is not read, and nothing may run that is only a part.
    fn stop(&mut self, span: Span, text: impl Into<String>, diags: &mut Diags) {
        diags.push(Diag::at(span, Code::TooLarge, text));
        self.stopped = true;
    }

    /// Counts a piece and its octets.
    fn spend(&mut self, octets: usize, span: Span, diags: &mut Diags) {
        let pieces = self.pieces_left.checked_sub(1);
        let text = self.text_left.checked_sub(octets);
        match (pieces, text, self.replaced_left, self.names_left) {
            (Some(pieces), Some(text), 1.., 1..) => {
                (self.pieces_left, self.text_left) = (pieces, text);
            }
            _ => self.stop(span, "the configuration is too large - reading ends", diags),
        }
    }

    /// Notes a line that its definitions made too long; too many of them end reading.
    fn endless(&mut self, span: Span, diags: &mut Diags) {
        let text = "expanded line is too long - the rest is not expanded";
        diags.push(Diag::at(span, Code::ExpansionTooLong, text));
        self.endless_left = self.endless_left.saturating_sub(1);
        if self.endless_left == 0 {
            self.stop(span, "definitions that never end - reading ends", diags);
        }
    }

    /// One line through everything; `None` when nothing of it is left to hand out.
    fn process(&mut self, raw: Raw, diags: &mut Diags) -> Option<Piece> {
        let cut = lex::uncomment(&raw.text);
        let mut span = raw.span_of(cut.start, cut.text.len());
        if cut.open_quote {
            diags.push(Diag::at(
                span,
                Code::UnterminatedQuote,
                format!("Unterminated quote '{}'", secret::masked(cut.text)),
            ));
        }
        if let Some((name, mut lines)) = self.open.take() {
            if define::collect(&mut lines, cut.text, span) {
                self.open = Some((name, lines));
            } else {
                self.definitions.insert(name, Definition::multi(lines));
            }
            return None;
        }
        let mut text = cut.text;
        match lex::condition(text) {
            Some(None) => return None,
            Some(Some((negated, id, rest))) if (id == self.config_id) != negated => {
                span = part(span, offset(rest, text), rest.len());
                text = rest;
            }
            Some(Some(_)) => return None,
            None => {}
        }
        if let Ok((value, name)) = lex::definition(text) {
            let mut lines = Vec::new();
            if define::collect(&mut lines, value, span) {
                self.open = Some((name.to_owned(), lines));
            } else {
                let (value, _) = lines.pop().unwrap_or_else(|| (String::new(), span));
                let value = Definition::single(value, Rc::from([span]));
                self.definitions.insert(name.to_owned(), value);
            }
            return None;
        }
        if let Some((word, inside, each)) = lex::sequence(text) {
            let each = each.trim_matches([' ', '\t']);
            let each_span = part(span, offset(each, text), each.len());
            match self.sequence(word, inside, each, each_span, span) {
                Ok(sequence) => self.push(Feed::Sequence(sequence), diags),
                Err(why) => {
                    diags.push(Diag::at(span, Code::BadSequence, why));
                    diags.push(Diag::at(
                        span,
                        Code::BadSequence,
                        format!("invalid {word} specification '{}'", &*raw.text),
                    ));
                }
            }
            return None;
        }
        let expanded = if text.contains('$') {
            self.replace(text, span, diags)
        } else {
            None
        };
        let Some(expanded) = expanded else {
            return self.cut(&raw.text, text, span, diags);
        };
        span = expanded.span;
        for stored in expanded.more {
            self.push(Feed::Stored(stored), diags);
        }
        // A value that begins with a condition, a sequence or a definition is used as a line of its own.
        let of_its_own =
            expanded.text.starts_with(['@', '~']) || lex::definition(&expanded.text).is_ok();
        if text.starts_with('$') && of_its_own {
            self.push(
                Feed::Rest(Some(Raw {
                    text: expanded.text.into(),
                    span,
                })),
                diags,
            );
            return None;
        }
        let line = Text::from(expanded.text);
        let again = lex::uncomment(&line);
        self.cut(&line, again.text, span, diags)
    }

    /// Includes, and the cut at the first brace. `text`: a part of `line`.
    fn cut(&mut self, line: &Text, text: &str, span: Span, diags: &mut Diags) -> Option<Piece> {
        if text.is_empty() {
            return None;
        }
        self.spend(text.len(), span, diags);
        if self.stopped {
            return None;
        }
        if let Some((letter, pattern)) = lex::include(text) {
            self.include(letter, pattern, span, diags);
            return None;
        }
        let (kind, used) = match (lex::find_brace(text), text.as_bytes().first()) {
            (Some(0), Some(b'{')) => (Kind::Open, 1),
            (Some(0), _) => (Kind::Close, 1),
            (Some(at), _) => (
                Kind::Text(line.part(text[..at].trim_end_matches([' ', '\t']))),
                at,
            ),
            (None, _) => (Kind::Text(line.part(text)), text.len()),
        };
        let rest = &text[used..];
        let piece = Piece {
            span: part(span, 0, used),
            kind,
        };
        if !rest.is_empty() {
            let span = part(span, used, rest.len());
            self.push(
                Feed::Rest(Some(Raw {
                    text: line.part(rest),
                    span,
                })),
                diags,
            );
        }
        Some(piece)
    }
}

/// A part of what a span covers, as a text of its own: columns in what an expansion made count from the part.
fn part(span: Span, start: usize, len: usize) -> Span {
    within(span, if span.via > 0 { 0 } else { start }, len)
}

/// A part of what a span covers.
fn within(span: Span, start: usize, len: usize) -> Span {
    if span.col == 0 {
        return span;
    }
    let at = |n: usize| u32::try_from(n).unwrap_or(0);
    Span {
        col: span.col + at(start),
        len: at(len),
        ..span
    }
}

/// Octets of `whole` before its part `rest`; nothing is a part at the end.
fn offset(rest: &str, whole: &str) -> usize {
    match rest.is_empty() {
        true => whole.len(),
        false => rest.as_ptr() as usize - whole.as_ptr() as usize,
    }
}
