//! Lines that wait until a reader of a FIFO makes room. A pure core.
//!
//! Lines keep their order. There are [`MAX_LINES`] at most, unless there are more objects than that: then one for each.
//! What goes first is old news: incidents, and states that a later line of the same object replaces. The last state of
//! an object always stays.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::queue::About;

/// Lines that wait, beside those in the pipe itself (64 KiB by default).
pub(crate) const MAX_LINES: usize = 4096;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Whose state it tells: lines with equal subjects replace each other.
    pub(crate) subject: Arc<str>,
    pub(crate) about: About,
    /// With the line feed.
    pub(crate) text: Arc<str>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    lines: VecDeque<Line>,
    /// How many states of each subject are among them; never 0.
    states: HashMap<Arc<str>, usize>,
    /// Octets of the first line that are written already.
    written: usize,
}

impl Backlog {
    /// Puts a line behind the others. True if an older one had to go.
    pub(crate) fn push(&mut self, line: Line) -> bool {
        if line.about == About::State {
            *self.states.entry(Arc::clone(&line.subject)).or_default() += 1;
        }
        self.lines.push_back(line);
        self.lines.len() > MAX_LINES && self.drop_old_news()
    }

    /// What to write next: the rest of the first line.
    pub(crate) fn next(&self) -> Option<&[u8]> {
        self.lines.front()?.text.as_bytes().get(self.written..)
    }

    /// So many octets of it were written.
    pub(crate) fn wrote(&mut self, octets: usize) {
        self.written += octets;
        let done = |line: &Line| self.written >= line.text.len();
        if self.lines.front().is_some_and(done) {
            self.written = 0;
            self.remove(0);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn drop_old_news(&mut self) -> bool {
        let stale = |line: &Line| match line.about {
            About::Incident => true,
            About::State => self.states.get(&line.subject).is_some_and(|n| *n > 1),
        };
        // What is written in part must be written in whole.
        let begun = usize::from(self.written > 0);
        let found = self.lines.iter().skip(begun).position(stale);
        if let Some(at) = found {
            self.remove(begun + at);
        }
        found.is_some()
    }

    fn remove(&mut self, at: usize) {
        let Some(line) = self.lines.remove(at) else {
            return;
        };
        if line.about == About::State
            && let Some(count) = self.states.get_mut(&line.subject)
        {
            *count -= 1;
            if *count == 0 {
                self.states.remove(&line.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(subject: u32, n: usize, about: About) -> Line {
        Line {
            subject: subject.to_string().into(),
            about,
            text: format!("{subject} {n}\n").into(),
        }
    }

    #[test]
    fn a_line_is_written_in_as_many_pieces_as_it_takes() {
        let mut b = Backlog::default();
        b.push(line(1, 1, About::State));
        b.push(line(2, 2, About::State));
        b.wrote(2);
        assert_eq!(b.next(), Some(&b"1\n"[..]));
        b.wrote(2);
        assert_eq!(b.next(), Some(&b"2 2\n"[..]));
        b.wrote(4);
        assert!(b.is_empty() && b.states.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        /// Subjects 0 to 9 have states, 10 has incidents; the reader takes some lines now and then.
        #[test]
        fn the_last_state_of_everybody_arrives_in_order_however_slow_the_reader(
            story in proptest::collection::vec((0_u32..11, 0_usize..3), MAX_LINES..MAX_LINES * 2)
        ) {
            let (mut b, mut told, mut last) = (Backlog::default(), Vec::new(), HashMap::new());
            let read = |b: &mut Backlog, told: &mut Vec<String>| {
                if let Some(text) = b.next().map(|t| String::from_utf8_lossy(t).into_owned()) {
                    b.wrote(text.len());
                    told.push(text);
                }
            };
            for (n, (subject, reads)) in story.into_iter().enumerate() {
                let about = if subject == 10 { About::Incident } else { About::State };
                let line = line(subject, n, about);
                if about == About::State {
                    last.insert(subject, line.text.to_string());
                }
                b.push(line);
                prop_assert!(b.lines.len() <= MAX_LINES);
                for _ in 0..reads / 2 {
                    read(&mut b, &mut told);
                }
            }
            while !b.is_empty() {
                read(&mut b, &mut told);
            }
            let number = |t: &String| t.split_whitespace().nth(1).and_then(|n| n.parse::<usize>().ok());
            prop_assert!(told.iter().map(number).is_sorted());
            for (subject, text) in last {
                let mine = format!("{subject} ");
                prop_assert_eq!(told.iter().rev().find(|t| t.starts_with(&mine)), Some(&text));
            }
        }
    }
}
