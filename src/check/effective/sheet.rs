//! The page that is written: blocks, lines, quotes, and behind each line where its value comes from.
//!
//! What is quoted here is read back by `config::lex` as the same word: blanks, comment characters and braces count for
//! nothing inside double quotes. Source: the lexical rules of keepalived.conf(5).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use crate::check::finding::Node;
use crate::config::host::Host;
use crate::config::lex;
use crate::config::source::Span;
use crate::config::tree::{Body, Statement};
use crate::model::track::{Command, Credentials};

/// Longest line that keepalived reads, in octets.
const MAX_LINE: usize = 1022;
/// Column of the comments.
const COMMENT_AT: usize = 48;

/// Whether keys and passwords are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// As asterisks: the page cannot be loaded in place of the files.
    Masked,
    Shown,
}

impl Secrets {
    /// `show`: `--show-secrets`.
    pub(crate) fn of(show: bool) -> Self {
        if show { Self::Shown } else { Self::Masked }
    }
}

/// Where a value may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said<'k> {
    /// A keyword of the block that is being written.
    Here(&'k str),
    /// A keyword of the block around it.
    Outer(&'k str),
    /// A keyword of the block around that.
    Outermost(&'k str),
    /// A keyword of `global_defs`.
    Global(&'k str),
}

/// What stands behind a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Nothing: a closing brace, a remark.
    None,
    Default,
    At(Span),
}

/// The page while it is written.
pub(crate) struct Sheet<'a> {
    text: String,
    node: &'a Node,
    pub(super) host: &'a dyn Host,
    pub(super) secrets: Secrets,
    /// The statements of the open blocks, innermost last. Blocks of one kind may stand several times and add up.
    open: Vec<Vec<Body<'a>>>,
    /// Named blocks of the top level: keyword, name → statements.
    blocks: HashMap<(&'a str, String), Vec<Statement<'a>>>,
    global: Vec<Body<'a>>,
    /// Statements that have no effect.
    rejected: &'a HashSet<Span>,
    /// Whether they are written.
    origins: bool,
}

impl<'a> Sheet<'a> {
    /// An empty page about `node`.
    pub(super) fn new(node: &'a Node, host: &'a dyn Host, secrets: Secrets) -> Self {
        let tree = &node.loaded.tree;
        let mut blocks: HashMap<_, Vec<Statement<'a>>> = HashMap::new();
        let mut global = Vec::new();
        for statement in tree.root().statements() {
            let (words, _) = lex::words(statement.text);
            let Some(keyword) = words.first() else {
                continue;
            };
            if keyword.text == "global_defs" {
                global.push(statement.body);
            }
            let name = words[1..].iter().map(|w| w.text).collect::<Vec<_>>();
            let key = (keyword.text, name.join(" "));
            blocks.entry(key).or_default().push(statement);
        }
        Self {
            text: String::new(),
            node,
            host,
            secrets,
            open: vec![vec![tree.root()]],
            blocks,
            global,
            rejected: &node.loaded.rejected,
            origins: true,
        }
    }

    /// A page without origins, for comparing: whose it is does not matter.
    pub(crate) fn plain(node: &'a Node, host: &'a dyn Host) -> Self {
        Self {
            text: String::new(),
            node,
            host,
            secrets: Secrets::Masked,
            open: vec![Vec::new()],
            blocks: HashMap::new(),
            global: Vec::new(),
            rejected: &node.loaded.rejected,
            origins: false,
        }
    }

    /// The whole page.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// A statement of the top level by keyword and what follows it.
    pub(super) fn top(&self, keyword: &'a str, name: &str) -> Vec<Statement<'a>> {
        let key = (keyword, name.to_owned());
        let found = self.blocks.get(&key).map(Vec::as_slice).unwrap_or_default();
        let mut kept = found.to_vec();
        kept.retain(|s| !self.rejected.contains(&s.span));
        kept
    }

    /// Every block of that keyword in the block that is being written.
    pub(super) fn inner(&self, keyword: &str) -> Vec<Statement<'a>> {
        let here = self.open.last().into_iter().flatten();
        here.flat_map(|body| body.statements())
            .filter(|s| lex::first_word(s.text) == Some(keyword))
            .filter(|s| !self.rejected.contains(&s.span))
            .collect()
    }

    /// `HEADER { … }`; `from`: the statements that say so, none where nobody does.
    pub(super) fn block(
        &mut self,
        header: &str,
        from: &[Statement<'a>],
        write: impl FnOnce(&mut Self),
    ) {
        let origin = from.last().map_or(Origin::Default, |s| Origin::At(s.span));
        self.put(&format!("{header} {{"), origin);
        self.open.push(from.iter().map(|s| s.body).collect());
        write(self);
        self.open.pop();
        self.put("}", Origin::None);
    }

    /// A block of lines, left out when it is empty. Each line is found again by its first word, as `same` compares it.
    pub(super) fn lines<T>(
        &mut self,
        keyword: &str,
        entries: &[T],
        same: impl Fn(&T, &str) -> bool,
        emit: impl Fn(&Self, &T) -> String,
    ) {
        if entries.is_empty() {
            return self.remark(&format!("{keyword}: none"));
        }
        let blocks = self.inner(keyword);
        let mut said: Vec<Statement<'a>> = blocks
            .iter()
            .flat_map(|b| b.body.statements())
            .filter(|s| !self.rejected.contains(&s.span))
            .collect();
        self.block(keyword, &blocks, |s| {
            for entry in entries {
                let fits = |l: &Statement<'_>| {
                    let (words, _) = lex::words(l.text);
                    words.iter().any(|w| same(entry, w.text))
                };
                let origin = match said.iter().position(fits) {
                    Some(at) => Origin::At(said.remove(at).span),
                    None => blocks
                        .last()
                        .map_or(Origin::Default, |b| Origin::At(b.span)),
                };
                let text = emit(s, entry);
                s.put(&text, origin);
            }
        });
    }

    /// A line of a block of lines, said by `from`.
    pub(super) fn entry(&mut self, text: &str, from: &[Statement<'a>]) {
        let origin = from.last().map_or(Origin::Default, |s| Origin::At(s.span));
        self.put(text, origin);
    }

    /// A keyword with its value; the first of `from` that somebody wrote counts.
    pub(super) fn key_from(&mut self, keyword: &str, value: &str, from: &[Said<'_>]) {
        let origin = self.origin(from);
        self.put(&format!("{keyword} {value}"), origin);
    }

    /// A keyword with its value.
    pub(super) fn key(&mut self, keyword: &str, value: impl std::fmt::Display) {
        self.key_from(keyword, &value.to_string(), &[Said::Here(keyword)]);
    }

    /// A keyword with `on` or `off`.
    pub(super) fn toggle(&mut self, keyword: &str, on: bool) {
        self.key(keyword, switch(on));
    }

    /// The same, where the default is that of `global_defs`.
    pub(super) fn toggle_of(&mut self, keyword: &str, on: bool, global: &str) {
        let from = [Said::Here(keyword), Said::Global(global)];
        self.key_from(keyword, switch(on), &from);
    }

    /// A keyword that says all by being there.
    pub(super) fn flag(&mut self, keyword: &str, on: bool) {
        self.flag_from(keyword, on, &[Said::Here(keyword)]);
    }

    /// The same with other places that may have set it.
    pub(super) fn flag_from(&mut self, keyword: &str, on: bool, from: &[Said<'_>]) {
        if on {
            let origin = self.origin(from);
            self.put(keyword, origin);
        } else {
            self.remark(&format!("{keyword}: off"));
        }
    }

    /// A keyword that may be left out, and then means nothing.
    pub(super) fn option(&mut self, keyword: &str, value: Option<impl std::fmt::Display>) {
        match value {
            Some(value) => self.key(keyword, value),
            None => self.remark(&format!("{keyword}: none")),
        }
    }

    /// A comment: what no keyword can say.
    pub(super) fn remark(&mut self, text: &str) {
        self.put(&format!("# {text}"), Origin::None);
    }

    /// A script with its user behind it.
    pub(super) fn script(&mut self, keyword: &str, command: Option<&Command>) {
        let value = command.map(|c| {
            let user = c.user.as_ref().map(|u| self.user(u));
            match user {
                Some(user) => format!("{} {user}", self::command(&c.argv)),
                None => self::command(&c.argv),
            }
        });
        self.option(keyword, value);
    }

    /// `USER [:]GROUP`
    pub(super) fn user(&self, who: &Credentials) -> String {
        let Credentials { uid, gid, groups } = who;
        let colon = if groups.is_empty() { "" } else { ":" };
        format!("{} {colon}{}", self.user_name(*uid), self.group_name(*gid))
    }

    /// The name of a user, or the number where nobody has it.
    pub(super) fn user_name(&self, uid: u32) -> String {
        self.host.user_name(uid).unwrap_or_else(|| uid.to_string())
    }

    /// The same for a group.
    pub(super) fn group_name(&self, gid: u32) -> String {
        self.host.group_name(gid).unwrap_or_else(|| gid.to_string())
    }

    /// A secret as [`Secrets`] asks.
    pub(super) fn secret(&self, written: impl FnOnce() -> String) -> String {
        match self.secrets {
            Secrets::Masked => "********".into(),
            Secrets::Shown => written(),
        }
    }

    fn origin(&self, from: &[Said<'_>]) -> Origin {
        let level = |n: usize| self.open.iter().rev().nth(n).map_or(&[][..], Vec::as_slice);
        for place in from {
            let (bodies, keyword) = match place {
                Said::Here(keyword) => (level(0), *keyword),
                Said::Outer(keyword) => (level(1), *keyword),
                Said::Outermost(keyword) => (level(2), *keyword),
                Said::Global(keyword) => (&self.global[..], *keyword),
            };
            let said = bodies.iter().flat_map(|b| b.statements());
            let said = said.filter(|s| lex::first_word(s.text) == Some(keyword));
            if let Some(found) = said.filter(|s| !self.rejected.contains(&s.span)).last() {
                return Origin::At(found.span);
            }
        }
        Origin::Default
    }

    fn put(&mut self, text: &str, origin: Origin) {
        let mut line = "    ".repeat(self.open.len() - 1);
        line.push_str(text);
        let comment = match origin {
            _ if !self.origins => None,
            Origin::None => None,
            Origin::Default => Some("# default".to_owned()),
            Origin::At(span) => {
                let file = self.node.loaded.files.of(span.file);
                let name = file.map_or("?", |f| &f.name);
                Some(format!("# {name}:{}", span.line))
            }
        };
        if let Some(comment) = comment {
            let width = line.chars().count();
            // One blank more than the column leaves no room for a line that is too long to be read.
            if line.len() + comment.len() + COMMENT_AT.saturating_sub(width) < MAX_LINE {
                let gap = COMMENT_AT.saturating_sub(width).max(1);
                _ = write!(line, "{:gap$}{comment}", "");
            }
        }
        self.text.push_str(&line);
        self.text.push('\n');
    }
}

/// As booleans are written.
pub(super) fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// A word as it must be written to be read as that word: in double quotes if anything in it has a meaning.
pub(super) fn word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+./:,%=*()[]|\\@~".contains(c);
    let bare = !text.is_empty() && text.chars().all(plain) && !text.starts_with(['@', '~']);
    if bare {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("\"{text}\""))
    }
}

/// Words as they must be written.
pub(super) fn words<'t>(all: impl IntoIterator<Item = &'t str>) -> String {
    all.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

/// What may stand between double quotes and is unescaped after that. Whatever has a meaning there, or to what replaces
/// definitions, is written as its number.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' | '\0'..='\x1f' | '\x7f' => {
                _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

/// A command with its arguments, in double quotes.
pub(super) fn command(argv: &[String]) -> String {
    let argument = |text: &String| {
        if text.is_empty() {
            return "''".to_owned();
        }
        let out = escaped(text).replace(' ', "\\x20").replace('\'', "\\x27");
        // A blank is easier to read in quotes.
        match out.contains("\\x20") && !out.replace("\\x20", "").contains('\\') {
            true => format!("'{}'", out.replace("\\x20", " ")),
            false => out,
        }
    };
    let all: Vec<_> = argv.iter().map(argument).collect();
    format!("\"{}\"", all.join(" "))
}

/// Seconds with as many decimals as are needed.
pub(super) fn seconds(time: Duration) -> String {
    decimal(time.as_nanos(), 1_000_000_000)
}

/// Milliseconds with as many decimals as are needed.
pub(super) fn millis(time: Duration) -> String {
    decimal(time.as_nanos(), 1_000_000)
}

/// Whole microseconds.
pub(super) fn micros(time: Duration) -> u128 {
    time.as_micros()
}

fn decimal(nanos: u128, unit: u128) -> String {
    let (whole, rest) = (nanos / unit, nanos % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let places = unit.ilog10() as usize;
    let digits = format!("{rest:0places$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_the_decimals_they_need() {
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5");
        assert_eq!(seconds(Duration::from_micros(1)), "0.000001");
        assert_eq!(seconds(Duration::from_secs(60)), "60");
        assert_eq!(millis(Duration::from_micros(10_500)), "10.5");
    }

    #[test]
    fn commands_are_easy_to_read_where_they_can_be() {
        let argv = ["/bin/sh", "-c", "test -e /x", "it's", ""];
        let argv = argv.map(str::to_owned);
        assert_eq!(command(&argv), r#""/bin/sh -c 'test -e /x' it\x27s ''""#);
    }

    proptest! {
        #[test]
        fn a_word_is_read_back(text in "[^\"\\p{C}]{0,30}") {
            let written = format!("router_id {} # default", word(&text));
            let (words, unmatched) = lex::words(&written);
            prop_assert!(!unmatched);
            prop_assert_eq!(words[1].text, text);
        }

        #[test]
        fn a_command_is_read_back(argv in proptest::collection::vec("[^\\x00]{0,12}", 1..5)) {
            let written = command(&argv);
            let read = lex::command(&written).expect("terminated");
            prop_assert_eq!(read.argv, argv);
            prop_assert!(!written.contains('$') && !written.contains('\n'));
        }
    }
}
