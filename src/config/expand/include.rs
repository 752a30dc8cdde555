//! `include`: patterns, the files they name, and when a problem is an error.

use std::path::{Path, PathBuf};

use super::super::host::{Host, ReadError};
use super::super::source::{Code, Diag, Diags, Span, Weight};
use super::feed::{Feed, OpenFile, Pending};
use super::{Expander, MAX_FILES};

/// Alternatives of one pattern with braces.
const MAX_ALTERNATIVES: usize = 10_000;

/// Which problems of an `include` are errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checks {
    /// A match that is not a readable plain file.
    read: bool,
    /// No match at all, unless it is a wildcard's.
    matches: bool,
    /// A wildcard without a match.
    wildcard: bool,
    /// An alternative in braces without a match.
    brace: bool,
}

impl Checks {
    /// `-e`, `includea`.
    pub(crate) const ALL: Self = Self {
        read: true,
        matches: true,
        wildcard: true,
        brace: true,
    };

    /// What the letter behind `include` adds.
    fn of_letter(letter: Option<char>) -> Self {
        let (matches, wildcard, brace) = match letter {
            None => return Self::default(),
            Some('m') => (true, false, false),
            Some('w') => (true, true, false),
            Some('b') => (false, false, true),
            Some('a') => (true, true, true),
            Some(_) => (false, false, false),
        };
        Self {
            read: true,
            matches,
            wildcard,
            brace,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            matches: self.matches || other.matches,
            wildcard: self.wildcard || other.wildcard,
            brace: self.brace || other.brace,
        }
    }

    /// Applies the words of an `include_check` statement; gives back the words that it does not know.
    pub(crate) fn apply<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut unknown = Vec::new();
        let mut words = words.enumerate().peekable();
        if words.peek().is_none() {
            *self = Self::ALL;
        }
        for (n, word) in words {
            let (on, name) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
                (Some(name), _) => (true, name),
                (None, Some(name)) => (false, name),
                (None, None) => (true, word),
            };
            let fresh = Self {
                read: true,
                ..Self::default()
            };
            let mut next = if n == 0 && name.len() == word.len() {
                fresh
            } else {
                *self
            };
            let field = match name {
                "read" => &mut next.read,
                "match" => &mut next.matches,
                "wildcard_match" => &mut next.wildcard,
                "brace_match" => &mut next.brace,
                _ => {
                    unknown.push(word);
                    continue;
                }
            };
            if n > 0 && name.len() == word.len() {
                unknown.push(word);
                continue;
            }
            *field = on;
            *self = next;
        }
        unknown
    }
}

impl Expander<'_> {
    /// Opens the main file, or files: the path of `-f` is a pattern too.
    pub(crate) fn open_main(&mut self, pattern: &str, diags: &mut Diags) {
        let found = self.glob(pattern);
        let found: Vec<String> = found.into_iter().flat_map(|a| a.paths).collect();
        if found.is_empty() {
            let text = format!("Unable to find configuration file {pattern}");
            diags.push(Diag::bare(None, Code::NoFile, text));
        }
        if found.len() > 1 {
            let text = format!("Multiple configuration files match {pattern}");
            diags.push(Diag::bare(None, Code::SeveralFiles, text));
        }
        if let [name] = &found[..] {
            if let Err((why, text)) = self.open(name, None, diags) {
                diags.push(Diag::bare(None, Code::NoFile, text.clone()));
                self.unreadable(why, text, diags);
            }
        } else {
            self.push_files(found, None, false, diags);
        }
    }

    /// Says that a main file exists and cannot be used.
    fn unreadable(&mut self, why: ReadError, text: String, diags: &mut Diags) {
        let code = match why {
            ReadError::Denied => Code::Unreadable,
            ReadError::TooLong => Code::TooLarge,
            ReadError::Missing | ReadError::NotPlain => return,
        };
        diags.push(Diag::bare(None, code, text));
    }

    fn push_files(
        &mut self,
        names: Vec<String>,
        from: Option<Span>,
        read: bool,
        diags: &mut Diags,
    ) {
        let names = names.into_iter().rev().collect();
        self.push(Feed::Files(Pending { names, from, read }), diags);
    }

    /// Opens the next one of several files.
    pub(super) fn next_file(&mut self, diags: &mut Diags) {
        let Some(Feed::Files(pending)) = self.feeds.last_mut() else {
            return;
        };
        let (name, from, read) = (pending.names.pop(), pending.from, pending.read);
        let Some(name) = name else {
            self.feeds.pop();
            return;
        };
        match (self.open(&name, from, diags), from) {
            (Ok(()), _) => {}
            (Err((_, text)), Some(span)) => complain(span, read, text, diags),
            (Err((why, text)), None) => self.unreadable(why, text, diags),
        }
    }

    /// Handles an `include` statement.
    pub(super) fn include(
        &mut self,
        letter: Option<char>,
        pattern: &str,
        span: Span,
        diags: &mut Diags,
    ) {
        let checks = self.checks().or(Checks::of_letter(letter));
        let alternatives = self.glob(pattern);
        let none = alternatives.iter().all(|a| a.paths.is_empty());
        let mut names = Vec::new();
        for a in &alternatives {
            let text = || format!("include: nothing matches {}", a.pattern);
            match (a.paths.is_empty(), none, a.wildcard && a.dir_exists) {
                (false, ..) => {}
                (true, true, true) if !checks.wildcard => {}
                (true, true, true) => complain(span, true, text(), diags),
                (true, true, false) => complain(span, checks.matches, text(), diags),
                (true, false, _) => complain(span, checks.brace, text(), diags),
            }
            names.extend(a.paths.iter().cloned());
        }
        names.sort();
        match &names[..] {
            [] => {}
            [name] => {
                if let Err((_, text)) = self.open(name, Some(span), diags) {
                    complain(span, checks.read, text, diags);
                }
            }
            _ => self.push_files(names, Some(span), checks.read, diags),
        }
    }

    fn glob(&mut self, pattern: &str) -> Vec<Alternative> {
        let mut left = self.names_left;
        let found = glob(self.host, self.dir(), pattern, &mut left);
        self.names_left = left;
        found
    }

    fn open(
        &mut self,
        name: &str,
        from: Option<Span>,
        diags: &mut Diags,
    ) -> Result<(), (ReadError, String)> {
        let path = self.dir().join(name);
        let real = self.host.real_path(&path).unwrap_or_else(|| path.clone());
        if self.reading.contains(&real) {
            if let Some(span) = from {
                let text = format!("{name} includes itself - ignored");
                diags.push(Diag::at(span, Code::IncludeLoop, text));
            }
            return Ok(());
        }
        match self.files_left.checked_sub(1) {
            Some(left) => self.files_left = left,
            None => {
                let text = format!("more than {MAX_FILES} files - reading ends");
                self.stop(from.unwrap_or(Span::NOWHERE), text, diags);
                return Ok(());
            }
        }
        let content = self.host.read(&path).and_then(|content| {
            let left = self.bytes_left.checked_sub(content.len() as u64);
            self.bytes_left = left.ok_or(ReadError::TooLong)?;
            Ok(content)
        });
        let content = content.map_err(|why| {
            let what = match why {
                ReadError::Missing => "does not exist",
                ReadError::NotPlain => "is not a regular non-executable file",
                ReadError::Denied => "cannot be read",
                ReadError::TooLong => "is too large, or all files together are",
            };
            (why, format!("Configuration file {name} {what}"))
        })?;
        let id = self.files.add(name, &path, from);
        let dir = name
            .contains('/')
            .then(|| path.parent().map(Path::to_path_buf))
            .flatten();
        let dir = dir.unwrap_or_else(|| self.dir().to_path_buf());
        let file = OpenFile::new(id, real.clone(), dir, self.checks(), content);
        self.reading.insert(real);
        self.push(Feed::File(file), diags);
        Ok(())
    }
}

/// `error`: the checks of the `include` want it.
fn complain(span: Span, error: bool, text: String, diags: &mut Diags) {
    let weight = match error {
        true => Weight::Include,
        false => Weight::Printed,
    };
    diags.push(Diag::at(span, Code::Include, text).weighing(weight));
}

/// One alternative of a pattern, and the paths it matches, sorted.
struct Alternative {
    pattern: String,
    wildcard: bool,
    /// Whether the directory exists that the wildcard is looked for in.
    dir_exists: bool,
    paths: Vec<String>,
}

/// Names matching a pattern with `* ? [..]` and `{a,b}`. `left`: how many names may still be looked at.
fn glob(host: &dyn Host, base: &Path, pattern: &str, left: &mut usize) -> Vec<Alternative> {
    let mut patterns = Vec::new();
    braces(pattern, &mut patterns);
    let patterns = patterns.into_iter();
    patterns.map(|p| walk(host, base, p, left)).collect()
}

/// Expands the first `{a,b}` and goes on with what that makes.
fn braces(pattern: &str, all: &mut Vec<String>) {
    let mut pending = vec![pattern.to_owned()];
    while let Some(pattern) = pending.pop() {
        let Some((before, inside, after)) = first_brace(&pattern) else {
            all.push(pattern);
            if all.len() >= MAX_ALTERNATIVES {
                return;
            }
            continue;
        };
        let made: Vec<_> = inside
            .iter()
            .map(|i| format!("{before}{i}{after}"))
            .collect();
        pending.extend(made.into_iter().rev());
    }
}

fn first_brace(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = pattern.find('{')?;
    let (mut depth, mut start, mut inside) = (0, open + 1, Vec::new());
    for (at, c) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                inside.push(&pattern[start..at]);
                start = at + 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    inside.push(&pattern[start..at]);
                    return Some((&pattern[..open], inside, &pattern[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

fn walk(host: &dyn Host, base: &Path, pattern: String, left: &mut usize) -> Alternative {
    let is_wild = |part: &str| part.contains(['*', '?', '[']);
    let mut paths = vec![String::new()];
    let mut dir_exists = true;
    let mut parts = pattern.split('/').peekable();
    while let Some(part) = parts.next() {
        let separator = if parts.peek().is_some() { "/" } else { "" };
        if !is_wild(part) {
            paths
                .iter_mut()
                .for_each(|p| *p += &format!("{part}{separator}"));
            continue;
        }
        let mut next = Vec::new();
        dir_exists = false;
        for path in &paths {
            if *left == 0 {
                break;
            }
            let dir = if path.is_empty() {
                PathBuf::from(".")
            } else {
                PathBuf::from(path)
            };
            let dir = base.join(dir);
            dir_exists |= host.real_path(&dir).is_some();
            let mut names = host.list(&dir);
            // Looking at a directory is work even when it is empty.
            *left = left.saturating_sub(names.len() + 1);
            names.retain(|n| matches(part, n));
            names.sort();
            next.extend(names.into_iter().map(|n| format!("{path}{n}{separator}")));
        }
        paths = next;
    }
    paths.retain(|p| !p.is_empty() && host.lstat(&base.join(p)).is_some());
    paths.sort();
    Alternative {
        wildcard: is_wild(&pattern),
        pattern,
        dir_exists,
        paths,
    }
}

/// `fnmatch(3)` for one name: a leading dot must be written.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut pi, mut ni, mut retry) = (0, 0, None);
    while ni < n.len() {
        let step = match p.get(pi) {
            Some('*') => {
                retry = Some((pi, ni));
                pi += 1;
                continue;
            }
            Some('?') => Some(pi + 1),
            Some('[') => class(&p, pi, n[ni]),
            Some('\\') if p.get(pi + 1) == Some(&n[ni]) => Some(pi + 2),
            Some(c) if *c == n[ni] => Some(pi + 1),
            Some(_) | None => None,
        };
        match (step, retry) {
            (Some(next), _) => (pi, ni) = (next, ni + 1),
            (None, Some((star, from))) => {
                retry = Some((star, from + 1));
                (pi, ni) = (star + 1, from + 1);
            }
            (None, None) => return false,
        }
    }
    p[pi..].iter().all(|c| *c == '*')
}

/// Where the pattern goes on after a `[…]` that takes `c`.
fn class(p: &[char], open: usize, c: char) -> Option<usize> {
    let negated = matches!(p.get(open + 1), Some('!' | '^'));
    let mut at = open + 1 + usize::from(negated);
    let first = at;
    let mut found = false;
    while let Some(low) = p.get(at) {
        if *low == ']' && at > first {
            return (found != negated).then_some(at + 1);
        }
        let range = (p.get(at + 1) == Some(&'-'))
            .then(|| p.get(at + 2))
            .flatten();
        match range.filter(|high| **high != ']') {
            Some(high) => {
                found |= (*low..=*high).contains(&c);
                at += 3;
            }
            None => {
                found |= *low == c;
                at += 1;
            }
        }
    }
    // Without its end it is an ordinary character.
    (c == '[').then_some(open + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_the_shell_does() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            ("a*b*c", "aXbYbZc", true),
            ("[a-c]?", "bz", true),
            ("[!a-c]?", "bz", false),
            ("[]]x", "]x", true),
            ("[a", "[a", true),
            ("a\\*", "a*", true),
            ("a", "b", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn braces_make_alternatives_in_order() {
        let mut all = Vec::new();
        braces("a{b,c{d,e}}f", &mut all);
        assert_eq!(all, ["abf", "acdf", "acef"]);
    }

    #[test]
    fn include_check_replaces_adds_and_removes() {
        let mut c = Checks::ALL;
        assert_eq!(
            c.apply(["match", "x", "brace_match"].into_iter()),
            ["x", "brace_match"]
        );
        assert_eq!(
            c,
            Checks {
                read: true,
                matches: true,
                wildcard: false,
                brace: false
            }
        );
        assert!(
            c.apply(["-match", "+wildcard_match"].into_iter())
                .is_empty()
        );
        assert_eq!(
            c,
            Checks {
                read: true,
                matches: false,
                wildcard: true,
                brace: false
            }
        );
        assert_eq!(c.apply(["readable"].into_iter()), ["readable"]);
        assert!(c.apply(std::iter::empty()).is_empty());
        assert_eq!(c, Checks::ALL);
    }
}
