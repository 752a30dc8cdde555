//! The keyword engine: tables of rows. It knows no keyword.
//!
//! A row names a keyword and what to do with its arguments; `read` finds the row of each statement and goes on after a
//! mistake, `args` and `number` hand the row its arguments and add place and keyword to what it complains about. Source: the structure of keepalived.conf(5).

mod args;
mod inline;
mod number;
mod read;

pub(crate) use self::args::{Args, Fault};
pub(crate) use self::read::{Gathered, Inert, Pass, Reader};
use super::source::{Concern, Grammar};
use super::tree::{Opens, Shape};

/// The keywords of one kind of block, which read into a `T`.
pub(crate) struct Block<T: 'static> {
    /// The keywords that lead to it, with slashes; empty at the top level.
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
    /// What the manual says about its arguments: their form, then unit, range, default.
    pub(crate) manual: &'static str,
    opens: Opens,
    run: Run<T>,
    /// Splits its own words: no complaint about quotes from the engine.
    raw: bool,
    /// When it is read at the top level, wherever it stands.
    pass: Pass,
    /// What findings in it are about; [`Concern::Daemon`]: what those around it are about.
    concern: Concern,
    /// An empty block is a mistake.
    filled: bool,
}

impl<T: 'static> Row<T> {
    /// What its keyword takes; `keyword`: as it was written, which may be an older name.
    fn grammar(&self, keyword: &'static str) -> Grammar {
        Grammar {
            keyword,
            manual: self.manual,
        }
    }
}

enum Run<T: 'static> {
    Set(Setter<T>),
    /// Once per line of its block.
    Lines(Setter<T>),
    /// Once per word of its block.
    Words(Setter<T>),
    Renamed(&'static str),
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
        pass: Pass::Late,
        concern: Concern::Daemon,
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
    Row {
        pass: Pass::Early,
        ..row
    }
}

/// Read after everything else, wherever it stands, and part by part.
pub(crate) const fn last<T>(row: Row<T>) -> Row<T> {
    Row {
        pass: Pass::Last,
        ..row
    }
}

/// What is found in it is about one part of the daemon.
pub(crate) const fn about<T>(concern: Concern, row: Row<T>) -> Row<T> {
    Row { concern, ..row }
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
        let mut before = 0;
        let groups = std::iter::once(&self.rows).chain(self.more);
        let found = groups.into_iter().find_map(|group| {
            let at = group.iter().position(|r| r.keyword == keyword);
            before += group.len();
            at.and_then(|at| Some((before - group.len() + at, group.get(at)?)))
        });
        let (at, mut row) = found?;
        match row.run {
            Run::Renamed(to) => row = self.named(to)?,
            Run::Gone(_) => return None,
            Run::Set(_) | Run::Lines(_) | Run::Words(_) => {}
        }
        Some((u16::try_from(at).ok()?, row.opens))
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn keywords(&self) -> Vec<(&'static str, Opens)> {
        let read = self.all().filter(|r| !matches!(r.run, Run::Gone(_)));
        read.map(|r| (r.keyword, r.opens)).collect()
    }

    fn grammar(&self, keyword: &str) -> Option<Grammar> {
        let row = self.named(keyword)?;
        Some(row.grammar(row.keyword))
    }

    fn gone(&self, keyword: &str) -> Option<&'static str> {
        match self.named(keyword)?.run {
            Run::Gone(instead) => Some(instead),
            Run::Set(_) | Run::Lines(_) | Run::Words(_) | Run::Renamed(_) => None,
        }
    }
}
