//! How wrong a sequence of statements and braces looks, with a brace more or less.

use std::collections::HashMap;

use crate::config::blocks::ROOT;
use crate::config::source::Span;
use crate::config::tree::{Opens, Shape};

/// A statement or a brace.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Which piece of the configuration it is, from 0.
    pub(super) number: u64,
    pub(super) sort: Sort,
    pub(super) span: Span,
    /// It is the first of its line, and the line stands in a file as it is: its column is an indentation.
    pub(super) first: bool,
}

/// See [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Open,
    Close,
    /// A statement; the number of its first word in [`Known`].
    Text(u32),
}

/// A change that may mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// A `}` before this event.
    Close(usize),
    /// This brace left out.
    Drop(usize),
}

/// Words, and what they open in which block; remembered, since each is asked often.
#[derive(Default)]
pub(super) struct Known {
    numbers: HashMap<String, u32>,
    words: Vec<String>,
    found: HashMap<(&'static str, u32), Option<Opened>>,
}

#[derive(Clone, Copy)]
enum Opened {
    Nothing,
    Block(&'static dyn Shape),
    Values,
}

impl Known {
    pub(super) fn number(&mut self, word: &str) -> u32 {
        if let Some(n) = self.numbers.get(word) {
            return *n;
        }
        let n = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.numbers.insert(word.to_owned(), n);
        self.words.push(word.to_owned());
        n
    }

    fn find(&mut self, shape: &'static dyn Shape, word: u32) -> Option<Opened> {
        let text = self.words.get(word as usize)?;
        let entry = self.found.entry((shape.name(), word));
        *entry.or_insert_with(|| {
            shape.find(text).map(|(_, opens)| match opens {
                Opens::Nothing | Opens::Includes => Opened::Nothing,
                Opens::Block(inner) => Opened::Block(inner),
                Opens::Values => Opened::Values,
            })
        })
    }
}

#[derive(Clone, Copy)]
enum Inside {
    Keywords(&'static dyn Shape),
    Values,
    Unknown,
}

#[derive(Clone, Copy)]
struct Level {
    inside: Inside,
    /// The statement that opened it.
    opener: Span,
    /// Its indentation, where it has one.
    indent: Option<u32>,
    /// That of the first statement in it.
    inner: Option<u32>,
    braced: bool,
}

#[derive(Clone, Copy)]
enum Pending {
    None,
    Block(Inside),
    Unknown,
}

/// What is wrong with a keyword or a brace outweighs what is odd about indentation.
const UNKNOWN: u32 = 20;
const BELONGS_OUTSIDE: u32 = 10;
const BRACE: u32 = 25;
const CLOSES_ELSEWHERE: u32 = 4;
const NOT_DEEPER: u32 = 4;
const UNEVEN: u32 = 2;

/// Reading, as far as braces matter.
#[derive(Clone)]
struct State {
    levels: Vec<Level>,
    pending: Pending,
    /// The last statement: its place and indentation.
    last: (Span, Option<u32>),
    cost: u32,
    /// Closing braces without a block.
    extra: u32,
    /// Statements that are deeper than their block's, and that are not.
    deeper: (u32, u32),
    /// Whether the file is indented at all.
    indented: bool,
}

impl State {
    fn new(indented: bool) -> Self {
        Self {
            levels: Vec::new(),
            pending: Pending::None,
            last: (Span::NOWHERE, None),
            cost: 0,
            extra: 0,
            deeper: (0, 0),
            indented,
        }
    }

    fn inside(&self) -> Inside {
        self.levels
            .last()
            .map_or(Inside::Keywords(&ROOT), |l| l.inside)
    }

    fn odd(&mut self, cost: u32) {
        if self.indented {
            self.cost += cost;
        }
    }

    fn push(&mut self, inside: Inside, braced: bool) {
        self.levels.push(Level {
            inside,
            opener: self.last.0,
            indent: self.last.1,
            inner: None,
            braced,
        });
    }

    fn unopened(&mut self) {
        if let Pending::Block(inside) = std::mem::replace(&mut self.pending, Pending::None) {
            self.cost += BRACE;
            self.push(inside, false);
        }
    }

    fn step(&mut self, event: &Event, known: &mut Known) {
        let indent = event.first.then_some(event.span.col);
        match event.sort {
            Sort::Open => {
                let inside = match std::mem::replace(&mut self.pending, Pending::None) {
                    Pending::Block(inside) => inside,
                    Pending::Unknown => Inside::Unknown,
                    Pending::None => {
                        self.cost += BRACE;
                        self.inside()
                    }
                };
                self.push(inside, true);
            }
            Sort::Close => {
                self.unopened();
                match self.levels.pop() {
                    Some(level) => {
                        if let (Some(own), Some(opener)) = (indent, level.indent)
                            && own != opener
                        {
                            self.odd(CLOSES_ELSEWHERE);
                        }
                    }
                    None => {
                        self.cost += BRACE;
                        self.extra += 1;
                    }
                }
            }
            Sort::Text(word) => self.text(word, event.span, indent, known),
        }
    }

    fn text(&mut self, word: u32, span: Span, indent: Option<u32>, known: &mut Known) {
        self.unopened();
        self.pending = Pending::None;
        self.indentation(indent);
        match self.inside() {
            Inside::Keywords(shape) => match known.find(shape, word) {
                Some(Opened::Nothing) => {}
                Some(Opened::Block(inner)) => {
                    self.pending = Pending::Block(Inside::Keywords(inner))
                }
                Some(Opened::Values) => self.pending = Pending::Block(Inside::Values),
                None => {
                    self.cost += UNKNOWN;
                    if self.outside(word, known) {
                        self.cost += BELONGS_OUTSIDE;
                    }
                    self.pending = Pending::Unknown;
                }
            },
            Inside::Values | Inside::Unknown => {
                if self.outside(word, known) {
                    self.cost += BELONGS_OUTSIDE;
                }
            }
        }
        self.last = (span, indent);
    }

    /// Whether a block further out knows the keyword.
    fn outside(&self, word: u32, known: &mut Known) -> bool {
        let outer = self.levels.iter().rev().skip(1).map(|l| l.inside);
        let mut outer = outer.chain([Inside::Keywords(&ROOT)]);
        outer.any(|inside| match inside {
            Inside::Keywords(shape) => known.find(shape, word).is_some(),
            Inside::Values | Inside::Unknown => false,
        })
    }

    fn indentation(&mut self, indent: Option<u32>) {
        let Some((own, level)) = indent.zip(self.levels.last_mut()) else {
            if let Some(own) = indent.filter(|own| *own > 1 && self.levels.is_empty()) {
                // At the top level, but indented.
                self.odd(NOT_DEEPER.min(own));
            }
            return;
        };
        let (mut cost, opener) = (0, level.indent);
        match level.inner {
            None => level.inner = Some(own),
            Some(inner) if inner != own => cost += UNEVEN,
            Some(_) => {}
        }
        match opener {
            Some(opener) if own <= opener => {
                self.deeper.1 += 1;
                cost += NOT_DEEPER;
            }
            Some(_) => self.deeper.0 += 1,
            None => {}
        }
        self.odd(cost);
    }

    fn end(&mut self) -> u32 {
        self.unopened();
        let open = self.levels.iter().filter(|l| l.braced).count();
        self.cost += BRACE * u32::try_from(open).unwrap_or(1000);
        self.cost
    }
}

/// The change after which the least is wrong, and the statement whose block it is about. `None`: the braces match.
pub(super) fn best(events: &[Event], known: &mut Known) -> Option<(Edit, Option<Span>)> {
    let run = |indented: bool, known: &mut Known| {
        let mut state = State::new(indented);
        events.iter().for_each(|e| state.step(e, known));
        let open = state.levels.iter().any(|l| l.braced);
        let extra = state.extra > 0;
        (open, extra, state.deeper)
    };
    let (open, extra, deeper) = run(false, known);
    if !open && !extra {
        return None;
    }
    let indented = deeper.0 > deeper.1;
    let mut least = u32::MAX;
    let mut found = None;
    // Up to the place of a change all is the same: it is gone through once.
    let mut before = State::new(indented);
    for at in 0..=events.len() {
        let event = events.get(at);
        let mut tries: [Option<Edit>; 2] = [None, None];
        if open && at > 0 && event.is_none_or(|e| e.first || e.sort == Sort::Close) {
            tries[0] = Some(Edit::Close(at));
        }
        let droppable = match event.map(|e| e.sort) {
            Some(Sort::Close) => extra,
            Some(Sort::Open) => open && matches!(before.pending, Pending::None),
            Some(Sort::Text(_)) | None => false,
        };
        if droppable {
            tries[1] = Some(Edit::Drop(at));
        }
        for edit in tries.into_iter().flatten() {
            let mut state = before.clone();
            let opener = state.levels.last().map(|l| l.opener);
            let rest = match edit {
                Edit::Close(_) => {
                    if state.levels.pop().is_none() {
                        continue;
                    }
                    state.pending = Pending::None;
                    at
                }
                Edit::Drop(_) => at + 1,
            };
            for event in events.get(rest..).unwrap_or_default() {
                state.step(event, known);
                if state.cost > least {
                    break;
                }
            }
            let cost = state.end();
            // Of two braces that may both be the one too many, it is the second.
            let later = cost == least && matches!(edit, Edit::Drop(_));
            if cost < least || later {
                least = cost;
                found = Some((edit, opener));
            }
        }
        if let Some(event) = event {
            before.step(event, known);
        }
    }
    found
}
