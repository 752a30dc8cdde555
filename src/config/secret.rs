//! What must never be shown: keys and passwords in lines that a message would quote.
//!
//! Better too much is hidden than too little: a keyword may be misspelt, a value may stand in a definition, and a log is
//! read by many. Source: the keywords of keepalived.conf(5) whose value is a secret.

use std::borrow::Cow;

/// Keywords whose value is a secret, as they may be misspelt, too.
const WORDS: &[&str] = &["auth_pass", "smtp_auth"];
/// Parts of words that tell of a secret.
const PARTS: &[&str] = &["pass", "secret", "pwd"];
/// Words that hold such a part and tell of none.
const HARMLESS: &[&str] = &["passive"];
/// Blocks of which nearly every value is a secret.
pub(crate) const BLOCKS: &[&str] = &["authentication", "auth_hmac"];

/// The line without its secrets, octet for octet as long as before.
pub(crate) fn masked(line: &str) -> Cow<'_, str> {
    match secret_from(line) {
        Some(at) => Cow::Owned(hidden(line, at)),
        None => Cow::Borrowed(line),
    }
}

/// The line with everything behind its first word hidden, conditions and `$NAME=` apart.
pub(crate) fn without_values(line: &str) -> String {
    let mut words = words(line).skip_while(|(_, w)| w.starts_with('@'));
    let end = words.next().map_or(line.len(), |(at, w)| {
        let value = w.split_once('=').filter(|(name, _)| name.starts_with('$'));
        at + value.map_or(w.len(), |(name, _)| name.len() + 1)
    });
    hidden(line, end)
}

/// Words as they stand, each with its place.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = |w: &str| w.as_ptr() as usize - line.as_ptr() as usize;
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '{' | '}');
    let all = line.split(is_end).filter(|w| !w.is_empty());
    all.map(move |w| (start(w), w))
}

/// Where the secret begins.
fn secret_from(line: &str) -> Option<usize> {
    let mut before = "";
    for (at, word) in words(line) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with('$') => (name, value),
            Some(_) | None => (word, ""),
        };
        // `key 1 VALUE`; the `key` of a certificate is a path.
        let numbered = before == "key" && word.bytes().all(|b| b.is_ascii_digit());
        if numbered {
            return Some(at + word.len());
        }
        if tells(name) {
            return Some(at + name.len() + usize::from(name.len() < word.len()));
        }
        if tells(value) {
            return Some(at + word.len());
        }
        before = word;
    }
    None
}

/// Whether a secret follows such a word.
fn tells(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let harmless = HARMLESS.contains(&&*word) || word.contains('/');
    let near = |known: &&str| distance(known, &word) <= 2;
    !harmless && (PARTS.iter().any(|p| word.contains(p)) || WORDS.iter().any(near))
}

/// Changes that make one word of the other; 3 and more are one.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return 3;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let swapped = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = swapped.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// Everything from there on, but blanks, quotes, braces and names of files.
fn hidden(line: &str, from: usize) -> String {
    let mut out = line.to_owned();
    for (at, word) in words(line).filter(|(at, w)| *at >= from && !w.starts_with("file:")) {
        out.replace_range(at..at + word.len(), &"*".repeat(word.len()));
    }
    // `$NAME=value` is one word.
    if let Some((at, word)) = words(line).find(|(at, w)| *at < from && at + w.len() > from) {
        out.replace_range(from..at + word.len(), &"*".repeat(at + word.len() - from));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_keywords_are_hidden_and_nothing_moves() {
        for (line, shown) in [
            ("  auth_pass s3cret # why", "  auth_pass ****** * ***"),
            ("auth_pas s3cret", "auth_pas ******"),
            ("@node1 auth_pass \"a b\"", "@node1 auth_pass \"* *\""),
            ("$PASS=abc", "$PASS=***"),
            ("$A=auth_pass abc \\", "$A=auth_pass *** *"),
            ("key 1 hex:abcd", "key 1 ********"),
            ("key 1 file:/etc/key", "key 1 file:/etc/key"),
            (
                "authentication { auth_pass é }",
                "authentication { auth_pass ** }",
            ),
            ("smtp_auth me it", "smtp_auth ** **"),
            ("key /etc/ssl/my.key", "key /etc/ssl/my.key"),
            ("auth_type PASS", "auth_type PASS"),
            ("passive", "passive"),
            (
                "script \"/bin/check_pass x\"",
                "script \"/bin/check_pass x\"",
            ),
        ] {
            assert_eq!(masked(line), shown);
            assert_eq!(shown.len(), line.len());
        }
        assert_eq!(without_values("@a foo s3cret { "), "@a foo ****** { ");
        assert_eq!(without_values("$K=s3cret x"), "$K=****** *");
    }
}
