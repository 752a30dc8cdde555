//! What an unknown keyword may have been meant as: the keywords of its block that are near, the blocks that know it, and
//! what replaced it. Knows no keyword itself.

use std::collections::BTreeSet;

use crate::config::blocks::ROOT;
use crate::config::source::Unknown;
use crate::config::tree::{Opens, Shape};

/// Most suggestions that are made.
const MAX: usize = 3;
/// Longer words are not looked at: no keyword is half as long.
const LONGEST: usize = 80;

/// What may be meant; all empty when nothing comes to mind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Suggestion {
    /// Keywords of the block that look like it, the nearest first.
    pub(super) near: Vec<&'static str>,
    /// Blocks that know the word as it is; empty text: the top level.
    pub(super) valid_in: Vec<&'static str>,
    /// No release reads it any more; this says the same, if that is not empty.
    pub(super) replaced_by: Option<&'static str>,
}

impl Suggestion {
    pub(super) fn of(unknown: &Unknown) -> Self {
        let (word, inside) = (&*unknown.word, unknown.inside.0);
        if word.len() > LONGEST {
            return Self::default();
        }
        let replaced_by = inside.gone(word);
        let mut blocks = BTreeSet::new();
        knows(&ROOT, word, &mut blocks, 0);
        blocks.remove(inside.name());
        let near = match replaced_by {
            Some(_) => Vec::new(),
            None => near(word, inside, blocks.is_empty()),
        };
        Self {
            near,
            valid_in: blocks.into_iter().collect(),
            replaced_by,
        }
    }

    /// In words, if there is anything to say.
    pub(super) fn text(&self) -> Option<String> {
        let quoted = |words: &[&str]| {
            let all: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
            all.join(" or ")
        };
        if let Some(new) = self.replaced_by {
            return Some(match new {
                "" => "no release reads this any more; remove the line".into(),
                new => format!("no release reads this any more; use `{new}`"),
            });
        }
        if !self.near.is_empty() {
            return Some(format!("did you mean {}?", quoted(&self.near)));
        }
        let place = |block: &&str| match *block {
            "" => "at the top level".to_owned(),
            path => format!("in `{}`", path.replace('/', " / ")),
        };
        let mut places: Vec<String> = self.valid_in.iter().map(place).collect();
        let more = places.len().saturating_sub(MAX + 1);
        places.truncate(MAX + 1);
        let more = match more {
            0 => String::new(),
            n => format!(" and {n} more blocks"),
        };
        (!places.is_empty()).then(|| format!("this belongs {}{more}", places.join(", ")))
    }
}

/// Whether a keyword opens a block at the top level and stands nowhere else.
pub(super) fn only_at_the_top(word: &str) -> bool {
    let opens = match ROOT.find(word) {
        Some((_, Opens::Block(_) | Opens::Values)) => true,
        Some((_, Opens::Nothing | Opens::Includes)) | None => false,
    };
    let mut blocks = BTreeSet::new();
    if opens {
        knows(&ROOT, word, &mut blocks, 0);
    }
    blocks.len() == 1
}

/// Adds the names of the blocks that know a keyword.
fn knows(shape: &'static dyn Shape, word: &str, found: &mut BTreeSet<&'static str>, depth: usize) {
    for (keyword, opens) in shape.keywords() {
        if keyword == word {
            found.insert(shape.name());
        }
        if let Opens::Block(inner) = opens
            && depth < 8
        {
            knows(inner, word, found, depth + 1);
        }
    }
}

/// The nearest keywords of a block. `far`: also those that need more than a slip of the finger.
fn near(word: &str, inside: &'static dyn Shape, far: bool) -> Vec<&'static str> {
    let lower = word.to_lowercase();
    let allowed = match (word.chars().count(), far) {
        (0..=2, _) => 0,
        (3..=5, _) | (_, false) => 1,
        (6..=9, true) => 2,
        (_, true) => 3,
    };
    let keywords = inside.keywords().into_iter();
    let mut all: Vec<(usize, &'static str)> = keywords
        .filter(|(k, _)| k.len().abs_diff(word.len()) <= allowed)
        .map(|(k, _)| (distance(&lower, &k.to_lowercase()), k))
        .filter(|(d, _)| *d <= allowed)
        .collect();
    all.sort_unstable();
    all.dedup();
    let best = all.first().map_or(0, |(d, _)| *d);
    all.into_iter()
        .take_while(|(d, _)| *d == best)
        .map(|(_, k)| k)
        .take(MAX)
        .collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::blocks::vrrp_instance::VRRP_INSTANCE;
    use crate::config::source::ShapeRef;

    fn of(word: &str, inside: &'static dyn Shape) -> Suggestion {
        Suggestion::of(&Unknown {
            word: word.into(),
            inside: ShapeRef(inside),
        })
    }

    #[test]
    fn a_swap_of_neighbours_is_one_step() {
        assert_eq!(distance("state", "sttae"), 1);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn slips_of_the_finger_lead_to_the_keyword() {
        for (slip, meant) in [
            ("intreface", "interface"),
            ("virtual_ipadress", "virtual_ipaddress"),
            ("prioriy", "priority"),
            ("STATE", "state"),
            ("virtual_routerid", "virtual_router_id"),
            ("authentification", "authentication"),
        ] {
            assert_eq!(of(slip, &VRRP_INSTANCE).near, [meant], "{slip}");
        }
        assert_eq!(of("bogus", &VRRP_INSTANCE), Suggestion::default());
        assert_eq!(of("x", &VRRP_INSTANCE).near, [] as [&str; 0]);
    }

    #[test]
    fn a_keyword_of_another_block_is_sent_there() {
        let s = of("vrrp_script", &VRRP_INSTANCE);
        assert_eq!(s.text().as_deref(), Some("this belongs at the top level"));
        let s = of("lb_algo", &VRRP_INSTANCE);
        assert_eq!(
            s.text().as_deref(),
            Some("this belongs in `virtual_server`")
        );
        let s = of("interface", &ROOT);
        assert!(s.valid_in.contains(&"vrrp_instance"), "{s:?}");
    }

    #[test]
    fn what_was_removed_names_its_heir() {
        let s = of("lvs_id", &crate::config::blocks::global::GLOBAL_DEFS);
        assert_eq!(
            s.text().as_deref(),
            Some("no release reads this any more; use `router_id`")
        );
    }
}
