//! Text that is cut up without copying it.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

/// A part of a text that is shared with others.
#[derive(Clone)]
pub(crate) struct Text {
    whole: Rc<String>,
    at: usize,
    len: usize,
}

impl Text {
    /// `len` octets of `whole` from `at`; `None`: they begin or end within a character, or beyond the end.
    pub(super) fn of(whole: &Rc<String>, at: usize, len: usize) -> Option<Self> {
        whole.get(at..at + len)?;
        Some(Self {
            whole: Rc::clone(whole),
            at,
            len,
        })
    }

    /// A part of it as a text.
    pub(super) fn part(&self, part: &str) -> Self {
        let before = (part.as_ptr() as usize).checked_sub(self.as_ptr() as usize);
        let inside = before.filter(|at| at + part.len() <= self.len);
        match inside {
            Some(before) => Self {
                whole: Rc::clone(&self.whole),
                at: self.at + before,
                len: part.len(),
            },
            None => part.to_owned().into(),
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        // Both ends are those of characters, or nothing of this type was made.
        self.whole.get(self.at..self.at + self.len).unwrap_or("")
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self {
            at: 0,
            len: text.len(),
            whole: Rc::new(text),
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_shares_what_it_is_a_part_of() {
        let text = Text::from("abc déf".to_owned());
        let part = text.part(&text[4..]);
        assert_eq!((&*part, &*part.part(&part[3..])), ("déf", "f"));
        assert!(Rc::ptr_eq(&text.whole, &part.whole));
        assert_eq!(&*part.part(""), "");
        assert_eq!(&*part.part("elsewhere"), "elsewhere");
        assert_eq!(Text::of(&text.whole, 0, 6), None);
        assert_eq!(Text::of(&text.whole, 5, 9), None);
    }
}
