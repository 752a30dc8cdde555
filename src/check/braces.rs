//! Where a brace is missing or one too many. Braces alone only tell that there is one; which keyword belongs where, and
//! the indentation, tell the place. Every place for a `}` more or less is tried, block by block of the top level, and the
//! one counts after which the least is wrong. Reads the configuration once more, and only when its braces do not match.

mod score;

use std::collections::HashMap;

use self::score::{Edit, Event, Known, Sort};
use super::suggest;
use crate::config::expand::{Expander, Kind};
use crate::config::lex;
use crate::config::source::{Diags, Span};
use crate::config::tree::Mend;

/// Braces that are looked for in one block of the top level, and in all.
const MAX_PER_PART: usize = 4;
const MAX_PINS: usize = 100;
/// Longest block of the top level that is looked at, in statements and braces.
const MAX_EVENTS: usize = 6_000;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A `}` is missing.
    MissingClose,
    /// A `}` is one too many.
    ExtraClose,
    /// A `{` is one too many.
    ExtraOpen,
}

/// A probable place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pin {
    pub(super) wrong: Wrong,
    /// The brace, or the line where it is missing.
    pub(super) span: Span,
    /// The statement whose block is not closed, or is closed too early.
    pub(super) opener: Option<Span>,
}

/// Finds the places, in reading order, and what mends them.
pub(super) fn locate(mut lines: Expander<'_>) -> (Vec<Pin>, Mend) {
    let (mut pins, mut mend) = (Vec::new(), Mend::default());
    let mut known = Known::default();
    let mut anchors: HashMap<String, bool> = HashMap::new();
    let mut part: Vec<Event> = Vec::new();
    let mut last: Option<(u32, u32)> = None;
    let mut nothing = Diags::default();
    let mut number = 0;
    while let Some(piece) = lines.next(&mut nothing) {
        let place = (piece.span.file.0, piece.span.line);
        let sort = match &piece.kind {
            Kind::Open => Sort::Open,
            Kind::Close => Sort::Close,
            Kind::Text(text) => {
                let word = lex::first_word(text).unwrap_or_default();
                let anchor = match anchors.get(word) {
                    Some(known) => *known,
                    None => {
                        let is = suggest::only_at_the_top(word);
                        anchors.insert(word.to_owned(), is);
                        is
                    }
                };
                if anchor {
                    finish(&mut part, &mut known, &mut pins, &mut mend);
                }
                Sort::Text(known.number(word))
            }
        };
        let first = last != Some(place) && piece.span.via == 0;
        last = Some(place);
        part.push(Event {
            number,
            sort,
            span: piece.span,
            first,
        });
        number += 1;
    }
    finish(&mut part, &mut known, &mut pins, &mut mend);
    (pins, mend)
}

/// Looks at one block of the top level and what follows it.
fn finish(part: &mut Vec<Event>, known: &mut Known, pins: &mut Vec<Pin>, mend: &mut Mend) {
    let mut events = std::mem::take(part);
    if events.len() > MAX_EVENTS {
        return;
    }
    for _ in 0..MAX_PER_PART {
        if pins.len() >= MAX_PINS {
            return;
        }
        let Some((edit, opener)) = score::best(&events, known) else {
            return;
        };
        match edit {
            Edit::Close(at) => {
                let (span, before) = gap(&events, at);
                pins.push(Pin {
                    wrong: Wrong::MissingClose,
                    span,
                    opener,
                });
                mend.close_before(before);
                let made = Event {
                    number: before,
                    sort: Sort::Close,
                    span,
                    first: false,
                };
                events.insert(at, made);
            }
            Edit::Drop(at) => {
                let event = events.remove(at);
                let wrong = match event.sort {
                    Sort::Open => Wrong::ExtraOpen,
                    Sort::Close | Sort::Text(_) => Wrong::ExtraClose,
                };
                pins.push(Pin {
                    wrong,
                    span: event.span,
                    opener,
                });
                mend.drop(event.number);
            }
        }
    }
}

/// The line where a `}` belongs that is missing before `at`, and the number of the piece behind it.
fn gap(events: &[Event], at: usize) -> (Span, u64) {
    let before = at.checked_sub(1).and_then(|n| events.get(n));
    let after = events.get(at);
    let line = |e: &Event| Span {
        col: 0,
        len: 0,
        via: 0,
        ..e.span
    };
    let span = match (before, after) {
        (Some(b), Some(a)) if a.span.file == b.span.file && a.span.line > b.span.line + 1 => Span {
            line: b.span.line + 1,
            ..line(b)
        },
        (Some(b), _) => line(b),
        (None, Some(a)) => line(a),
        (None, None) => Span::NOWHERE,
    };
    let number = match (before, after) {
        (_, Some(a)) => a.number,
        (Some(b), None) => b.number + 1,
        (None, None) => 0,
    };
    (span, number)
}

#[cfg(test)]
mod tests;
