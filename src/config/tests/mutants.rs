//! Files as people write them, with what editors, disks and hurried people do to them: octets flipped, lines dropped,
//! doubled and swapped, braces lost, halves of two files joined.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::fake::Fake;
use super::super::source::Span;

/// Our examples and the small ones of the golden files.
fn originals() -> &'static [Vec<u8>] {
    static ALL: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let folders =
            ["examples", "tests/conf"].map(|f| Path::new(env!("CARGO_MANIFEST_DIR")).join(f));
        let entries = folders
            .iter()
            .flat_map(|f| fs::read_dir(f).expect("a folder of ours"));
        let mut paths: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
        paths.sort();
        paths.retain(|p| p.extension().is_some_and(|e| e == "conf"));
        let texts = paths.iter().map(|p| fs::read(p).expect("a file of ours"));
        // A number in a sequence that grows by a digit costs time, and is tested elsewhere.
        let small = |t: &Vec<u8>| t.len() < 1500 && !t.windows(4).any(|w| w == b"~SEQ");
        texts.filter(small).collect()
    })
}

#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Drop(Index),
    Double(Index),
    Swap(Index, Index),
    LoseBrace(Index),
    /// The rest is that of another file.
    Splice(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, b)| Change::Flip(i, b)),
        at().prop_map(Change::Drop),
        at().prop_map(Change::Double),
        (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        at().prop_map(Change::LoseBrace),
        (at(), at(), at()).prop_map(|(a, b, c)| Change::Splice(a, b, c)),
    ]
}

fn changed(mut text: Vec<u8>, change: &Change) -> Vec<u8> {
    let joined = |lines: Vec<&[u8]>| lines.join(&b'\n');
    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    match change {
        Change::Flip(at, mask) => {
            if !text.is_empty() {
                let at = at.index(text.len());
                text[at] ^= mask;
            }
            text
        }
        Change::Drop(at) => {
            lines.remove(at.index(lines.len()));
            joined(lines)
        }
        Change::Double(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
            joined(lines)
        }
        Change::Swap(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
            joined(lines)
        }
        Change::LoseBrace(which) => {
            let at = |(at, b): (usize, &u8)| matches!(b, b'{' | b'}').then_some(at);
            let braces: Vec<usize> = text.iter().enumerate().filter_map(at).collect();
            if !braces.is_empty() {
                text.remove(braces[which.index(braces.len())]);
            }
            text
        }
        Change::Splice(at, other, from) => {
            let other = other.get(originals());
            text.truncate(at.index(text.len() + 1));
            text.extend_from_slice(&other[from.index(other.len() + 1)..]);
            text
        }
    }
}

/// A place in the main file is one that it has.
fn inside(span: Span, lines: &[&[u8]]) -> bool {
    if span.file.0 != 0 || span == Span::NOWHERE {
        return true;
    }
    let Some(line) = (span.line as usize)
        .checked_sub(1)
        .and_then(|n| lines.get(n))
    else {
        return false;
    };
    let text = String::from_utf8_lossy(line);
    span.via > 0 || (span.col + span.len) as usize <= text.len() + 1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_was_damaged_is_answered_with_places_that_it_has(
        original in any::<Index>(),
        changes in proptest::collection::vec(change(), 1..5),
    ) {
        let text = original.get(originals()).clone();
        let text = changes.iter().fold(text, changed);
        let began = Instant::now();
        let loaded = Fake::with(&text).load();
        let took = began.elapsed();
        prop_assert!(took < Duration::from_secs(10), "{took:?}");
        let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        let mut before = None;
        for diag in &loaded.diags {
            let order = (diag.span.is_none(), diag.span.map(Span::order));
            prop_assert!(before <= Some(order), "{diag:?} is not in order");
            before = Some(order);
            let places = diag.span.into_iter().chain(diag.detail.as_ref().and_then(|d| d.block));
            for place in places {
                prop_assert!(inside(place, &lines), "{diag:?} {place:?}");
            }
        }
    }
}
