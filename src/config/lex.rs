//! Characters → text without comments, words, braces, and the argument lists of scripts.
//!
//! Three different rules about quotes live here, as keepalived has them: the comment scanner (a backslash hides the next
//! character), the word splitter (no escapes at all) and the splitter of script commands (shell-like). None of them
//! knows a keyword, none of them can fail on any text. Source: keepalived's behaviour.

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_till, take_while, take_while_m_n, take_while1};
use nom::character::complete::{anychar, char, one_of};
use nom::combinator::{map, opt, recognize, value, verify};
use nom::error::{Error, ErrorKind};
use nom::multi::{fold_many0, many0_count, many1_count};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// A line without its comment and outer blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uncommented<'a> {
    pub(crate) text: &'a str,
    /// Octets of the line before `text`.
    pub(crate) start: usize,
    /// The line ends inside double quotes.
    pub(crate) open_quote: bool,
}

/// Cuts a line at the first `#` or `!` outside double quotes, wherever it stands, and trims spaces and tabs.
///
/// A backslash hides the next character, except that `\#` and `\!` outside quotes are comments too: no version of
/// keepalived lets them through.
pub(crate) fn uncomment(line: &str) -> Uncommented<'_> {
    let start = line.len() - line.trim_start_matches(BLANK).len();
    let rest = &line[start..];
    // Most lines have nothing to look at.
    if !rest
        .bytes()
        .any(|b| matches!(b, b'"' | b'\\' | b'#' | b'!'))
    {
        return Uncommented {
            text: rest.trim_end_matches(BLANK),
            start,
            open_quote: false,
        };
    }
    let (after, kept) = code(rest).unwrap_or((rest, ""));
    // An unterminated quote is text up to the end of the line.
    let open_quote = after.starts_with('"');
    Uncommented {
        text: if open_quote { rest } else { kept }.trim_end_matches(BLANK),
        start,
        open_quote,
    }
}

const BLANK: [char; 2] = [' ', '\t'];

/// Text up to a comment, an unterminated quote or the end.
fn code(i: &str) -> IResult<&str, &str> {
    let plain = recognize(is_not("\"\\#!"));
    let escape = recognize((
        char('\\'),
        opt(verify(anychar, |c| !matches!(c, '#' | '!'))),
    ));
    let escape = verify(escape, |s: &str| s.len() > 1);
    recognize(many0_count(alt((
        plain,
        quoted_with_escapes,
        escape,
        last_backslash,
    ))))
    .parse(i)
}

/// A backslash that nothing follows.
fn last_backslash(i: &str) -> IResult<&str, &str> {
    verify(tag("\\"), |_: &str| i.len() == 1).parse(i)
}

fn quoted_with_escapes(i: &str) -> IResult<&str, &str> {
    let inner = many0_count(alt((
        recognize(is_not("\"\\")),
        recognize((char('\\'), anychar)),
    )));
    recognize((char('"'), inner, char('"'))).parse(i)
}

/// Where the first brace outside double quotes is. Behind an unbalanced quote nothing is a brace.
pub(crate) fn find_brace(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.bytes().position(|b| {
        quoted ^= b == b'"';
        !quoted && (b == b'{' || b == b'}')
    })
}

/// A word of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// Without its quotes.
    pub(crate) text: &'a str,
    /// Octets before it in the statement.
    pub(crate) at: usize,
}

/// What blanks between words are.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

/// Splits a statement at blanks. `"` starts a word that ends at the next `"`, even in the middle of one; there are no
/// escapes. The second value says that a quote is unmatched: its word and all behind it are left out.
pub(crate) fn words(text: &str) -> (Vec<Word<'_>>, bool) {
    let mut found = Vec::with_capacity(4);
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_blank);
        if rest.is_empty() {
            return (found, false);
        }
        let (after, word) = match word(rest) {
            Ok(done) => done,
            Err(_) => return (found, true),
        };
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        found.push(Word { text: word, at });
        rest = after;
    }
}

/// The first word of a statement; `None` when its quote is unmatched.
pub(crate) fn first_word(text: &str) -> Option<&str> {
    word(text.trim_start_matches(is_blank))
        .ok()
        .map(|(_, word)| word)
}

fn word(i: &str) -> IResult<&str, &str> {
    if i.starts_with('"') {
        return delimited(char('"'), take_till(|c| c == '"'), char('"')).parse(i);
    }
    // All that ends a word is one octet.
    let ends = |b: u8| is_blank(char::from(b)) || b == b'"';
    let len = i.bytes().position(ends).unwrap_or(i.len());
    // Octets, where nom would count characters.
    match i.split_at(len) {
        ("", _) => Err(nom::Err::Error(Error::new(i, ErrorKind::Verify))),
        (word, rest) => Ok((rest, word)),
    }
}

/// A script command that was split into its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine<'a> {
    /// At least one, unless the command is empty.
    pub(crate) argv: Vec<String>,
    /// What follows the command: user and group.
    pub(crate) rest: &'a str,
}

/// A quote in a script command that nothing closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unterminated;

/// Reads `<command> [user [group]]`: the first word is the command, split again at blanks when it is quoted with either
/// kind of quote.
pub(crate) fn command(text: &str) -> Result<CommandLine<'_>, Unterminated> {
    let text = text.trim_start_matches(is_blank);
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let end = text.find(is_blank).unwrap_or(text.len());
        let argv = arguments(&text[..end])?;
        return Ok(CommandLine {
            argv,
            rest: &text[end..],
        });
    };
    let hidden = recognize((char::<&str, nom::error::Error<&str>>('\\'), anychar));
    let stop: String = ['\\', quote].iter().collect();
    let plain = recognize(is_not(stop.as_str()));
    let mut body = delimited(
        char(quote),
        recognize(many0_count(alt((plain, hidden)))),
        char(quote),
    );
    let (rest, inner) = body.parse(text).map_err(|_| Unterminated)?;
    Ok(CommandLine {
        argv: arguments(inner)?,
        rest,
    })
}

/// Splits at blanks, with `'…'`, `"…"` and the escapes of C; parts may touch: `a"b c"d` is one argument.
pub(crate) fn arguments(text: &str) -> Result<Vec<String>, Unterminated> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(is_blank);
    while !rest.is_empty() {
        let (after, argument) = argument(rest).map_err(|_| Unterminated)?;
        if after.len() == rest.len() {
            return Err(Unterminated);
        }
        found.push(argument);
        rest = after.trim_start_matches(is_blank);
    }
    Ok(found)
}

fn argument(i: &str) -> IResult<&str, String> {
    let plain = map(
        take_while1(|c: char| !is_blank(c) && !matches!(c, '"' | '\'' | '\\')),
        str::to_owned,
    );
    let join = |mut all: String, part: String| {
        all.push_str(&part);
        all
    };
    let part = alt((plain, quoted_argument('"'), quoted_argument('\''), escape));
    let (rest, joined) = fold_many0(part, String::new, join).parse(i)?;
    let stuck = rest.len() == i.len() || rest.starts_with(['"', '\'']);
    if stuck {
        return Err(nom::Err::Error(nom::error::Error::new(
            rest,
            nom::error::ErrorKind::Char,
        )));
    }
    Ok((rest, joined))
}

fn quoted_argument<'a>(
    quote: char,
) -> impl Parser<&'a str, Output = String, Error = nom::error::Error<&'a str>> {
    let plain = map(take_while1(move |c| c != quote && c != '\\'), str::to_owned);
    let join = |mut all: String, part: String| {
        all.push_str(&part);
        all
    };
    let inner = fold_many0(alt((plain, escape)), String::new, join);
    delimited(char(quote), inner, char(quote))
}

/// `\n`, `\033`, `\x1b`, `\cA` and so on; any other `\X` is X. A backslash at the end is itself.
fn escape(i: &str) -> IResult<&str, String> {
    let code = |n: u32| String::from(char::from_u32(n & 0xff).unwrap_or('\u{fffd}'));
    let named = alt((
        value("\x07", char('a')),
        value("\x08", char('b')),
        value("\x1b", char('E')),
        value("\x0c", char('f')),
        value("\n", char('n')),
        value("\r", char('r')),
        value("\t", char('t')),
        value("\x0b", char('v')),
    ));
    let octal = map(take_while_m_n(1, 3, |c: char| c.is_digit(8)), move |d| {
        code(u32::from_str_radix(d, 8).unwrap_or(0))
    });
    let hex = map(
        preceded(
            char('x'),
            take_while_m_n(1, 2, |c: char| c.is_ascii_hexdigit()),
        ),
        move |d| code(u32::from_str_radix(d, 16).unwrap_or(0)),
    );
    let control = map(preceded(char('c'), anychar), move |c| {
        code(u32::from(c) & 0x1f)
    });
    let other = map(anychar, String::from);
    let after = alt((map(named, str::to_owned), octal, hex, control, other));
    let end = map(verify(tag("\\"), |_: &str| i.len() == 1), str::to_owned);
    alt((preceded(char('\\'), after), end)).parse(i)
}

/// The name of a definition at the start of the text: a letter or `_`, then letters, digits, `_`.
pub(crate) fn name(i: &str) -> IResult<&str, &str> {
    let first = take_while_m_n(1, 1, |c: char| c.is_ascii_alphabetic() || c == '_');
    recognize((
        first,
        take_while(|c: char| c.is_ascii_alphanumeric() || c == '_'),
    ))
    .parse(i)
}

/// `$NAME=`: the name, and the rest as the remainder.
pub(crate) fn definition(i: &str) -> IResult<&str, &str> {
    delimited(char('$'), name, char('=')).parse(i)
}

/// What a `$` refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) name: &'a str,
    /// `${NAME A B}`.
    pub(crate) arguments: Vec<&'a str>,
    /// Octets of the whole reference.
    pub(crate) len: usize,
}

/// `${NAME}` and `${NAME args}` anywhere, `$NAME` before a blank, `,`, `)` or the end; `None`: an ordinary `$`.
pub(crate) fn reference(i: &str) -> Option<Reference<'_>> {
    let argument = |i| {
        preceded(
            take_while1(|c| BLANK.contains(&c)),
            take_while1(is_argument),
        )
        .parse(i)
    };
    let mut arguments = Vec::new();
    let (rest, name) = match preceded(tag("${"), name).parse(i) {
        Ok((mut rest, name)) => {
            while let Ok((after, found)) = argument(rest) as IResult<&str, &str> {
                arguments.push(found);
                rest = after;
            }
            (rest.strip_prefix('}')?, name)
        }
        Err(_) => {
            let (rest, name) = preceded(char('$'), name).parse(i).ok()?;
            let ends = rest.is_empty()
                || one_of::<_, _, nom::error::Error<&str>>(" \t,)")
                    .parse(rest)
                    .is_ok();
            (ends.then_some(rest)?, name)
        }
    };
    Some(Reference {
        name,
        arguments,
        len: i.len() - rest.len(),
    })
}

fn is_argument(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `~SEQ(`, `~SEQx(` or `~LST(` at the start: the word, what the parentheses hold, and the text behind them.
pub(crate) fn sequence(i: &str) -> Option<(&str, Option<&str>, &str)> {
    if !i.starts_with('~') {
        return None;
    }
    let words = alt((tag("~SEQx"), tag("~SEQ"), tag("~LST")));
    let (rest, word) = (words, char::<&str, nom::error::Error<&str>>('('))
        .parse(i)
        .map(|(r, (w, _))| (r, w))
        .ok()?;
    Some(match rest.find(')') {
        Some(end) => (word, Some(&rest[..end]), &rest[end + 1..]),
        None => (word, None, ""),
    })
}

/// `@id text` or `@^id text`: whether it is negated, the id, the text. `None` inside: dropped silently.
pub(crate) fn condition(i: &str) -> Option<Option<(bool, &str, &str)>> {
    let rest = i.strip_prefix('@')?;
    let (negated, rest) = rest.strip_prefix('^').map_or((false, rest), |r| (true, r));
    let parts = rest
        .split_once(BLANK)
        .map(|(id, text)| (id, text.trim_start_matches(BLANK)));
    Some(
        parts
            .filter(|(id, text)| !text.is_empty() && (negated || !id.is_empty()))
            .map(|(id, text)| (negated, id, text)),
    )
}

/// `include`, `includer` …: the letter and the pattern.
pub(crate) fn include(i: &str) -> Option<(Option<char>, &str)> {
    if !i.starts_with("include") {
        return None;
    }
    let word = preceded(
        tag::<_, _, nom::error::Error<&str>>("include"),
        opt(one_of("rmwba")),
    );
    let (pattern, (letter, _)) = (word, many1_count(one_of(" \t"))).parse(i).ok()?;
    Some((letter, pattern.trim_matches(BLANK)))
}

/// The members of a `~LST` list: words, or sets of words in braces, between commas.
pub(crate) fn list(text: &str) -> Option<Vec<Vec<&str>>> {
    let mut members = Vec::new();
    let mut rest = text.trim_matches(BLANK);
    loop {
        let (member, after) = match rest.strip_prefix('{') {
            Some(inner) => {
                let (inner, after) = inner.split_once('}')?;
                let words: Vec<&str> = inner.split(',').map(|w| w.trim_matches(BLANK)).collect();
                (words, after.trim_start_matches(BLANK))
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (vec![rest[..end].trim_matches(BLANK)], &rest[end..])
            }
        };
        if member.iter().any(|w| w.contains(char::is_whitespace)) {
            return None;
        }
        members.push(member);
        if after.is_empty() {
            return Some(members);
        }
        rest = after.strip_prefix(',')?.trim_start_matches(BLANK);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Vec<&str> {
        words(line).0.iter().map(|w| w.text).collect()
    }

    #[test]
    fn words_are_of_any_characters() {
        assert_eq!(
            texts("é \u{a0}x 说明：作用"),
            ["é", "\u{a0}x", "说明：作用"]
        );
    }

    #[test]
    fn a_comment_starts_anywhere_outside_quotes() {
        assert_eq!(uncomment("  FOO#BAR").text, "FOO");
        assert_eq!(uncomment("a \"b#c!\" d ! e").text, "a \"b#c!\" d");
        assert_eq!(uncomment("a '#' b").text, "a '");
        assert_eq!(uncomment("a \\# b").text, "a");
        assert_eq!(uncomment("a \\x b\\").text, "a \\x b\\");
        assert_eq!(uncomment("a \"b\\\"#\" c # d").text, "a \"b\\\"#\" c");
        assert_eq!(uncomment("\t x").start, 2);
    }

    #[test]
    fn an_open_quote_is_text_to_the_end() {
        let u = uncomment("a \"b # c ");
        assert!(u.open_quote);
        assert_eq!(u.text, "a \"b # c");
        assert!(!uncomment("a \"b\" # \"").open_quote);
    }

    #[test]
    fn a_quote_splits_words_and_takes_everything_as_is() {
        assert_eq!(texts("abc\"d e\"f"), ["abc", "d e", "f"]);
        assert_eq!(texts("a \"\" b"), ["a", "", "b"]);
        assert_eq!(texts("a 'b c'"), ["a", "'b", "c'"]);
        assert_eq!(words("a \"b c").0.len(), 1);
        assert!(words("a \"b c").1);
        assert_eq!(
            words("  x \"y\"")
                .0
                .iter()
                .map(|w| w.at)
                .collect::<Vec<_>>(),
            [2, 5]
        );
    }

    #[test]
    fn braces_are_found_outside_double_quotes_only() {
        assert_eq!(find_brace("a{"), Some(1));
        assert_eq!(find_brace("\"{\" }"), Some(4));
        assert_eq!(find_brace("'{'"), Some(1));
        assert_eq!(find_brace("\" {"), None);
    }

    #[test]
    fn commands_are_split_like_a_shell_does() {
        let argv = |t: &str| command(t).map(|c| c.argv);
        assert_eq!(argv("/bin/x a b"), Ok(vec!["/bin/x".into()]));
        assert_eq!(command("/bin/x a b").map(|c| c.rest), Ok(" a b"));
        assert_eq!(
            argv(r#""/bin/x a 'b c'" u"#),
            Ok(vec!["/bin/x".into(), "a".into(), "b c".into()])
        );
        assert_eq!(
            argv(r#"'/bin/x "a b"c'"#),
            Ok(vec!["/bin/x".into(), "a bc".into()])
        );
        assert_eq!(
            argv(r#""/bin/x \n\x41\101\cA""#),
            Ok(vec!["/bin/x".into(), "\nAA\x01".into()])
        );
        assert_eq!(argv(r#""/bin/x"#), Err(Unterminated));
        assert_eq!(argv(r#""/bin/x 'a""#), Err(Unterminated));
        assert_eq!(argv("\"\""), Ok(vec![]));
    }

    #[test]
    fn references_need_their_terminator() {
        let name = |t| reference(t).map(|r| (r.name, r.len));
        assert_eq!(name("$A b"), Some(("A", 2)));
        assert_eq!(name("$A,"), Some(("A", 2)));
        assert_eq!(name("$A.b"), None);
        assert_eq!(name("${A}.b"), Some(("A", 4)));
        assert_eq!(name("${A"), None);
        assert_eq!(name("${A }"), None);
        assert_eq!(name("$1"), None);
        assert_eq!(
            reference("${_RANDOM 1 9}").map(|r| r.arguments),
            Some(vec!["1", "9"])
        );
    }

    #[test]
    fn conditions_includes_and_lists_are_taken_apart() {
        assert_eq!(condition("@a b c"), Some(Some((false, "a", "b c"))));
        assert_eq!(condition("@^a b"), Some(Some((true, "a", "b"))));
        assert_eq!(condition("@^ b"), Some(Some((true, "", "b"))));
        assert_eq!(condition("@a"), Some(None));
        assert_eq!(condition("@ b"), Some(None));
        assert_eq!(condition("a"), None);
        assert_eq!(include("include a b"), Some((None, "a b")));
        assert_eq!(include("includer  x"), Some((Some('r'), "x")));
        assert_eq!(include("includex x"), None);
        assert_eq!(include("include"), None);
        assert_eq!(
            list("{a,b}, {1, 2},{3}"),
            Some(vec![vec!["a", "b"], vec!["1", "2"], vec!["3"]])
        );
        assert_eq!(
            list("x, 1,, 2"),
            Some(vec![vec!["x"], vec!["1"], vec![""], vec!["2"]])
        );
        assert_eq!(list("x, a b"), None);
    }

    proptest! {
        #[test]
        fn no_text_upsets_the_scanners(text in "[\"'\\\\#!{}$~@ a-z(),]{0,60}|\\PC{0,60}") {
            let u = uncomment(&text);
            prop_assert!(text[u.start..].starts_with(u.text));
            let _ = (words(u.text), find_brace(u.text), command(&text), arguments(&text));
            let _ = (reference(&text), sequence(&text), condition(&text), include(&text), list(&text), definition(&text).is_ok());
        }
    }
}
