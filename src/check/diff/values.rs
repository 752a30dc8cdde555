//! Values of a block, as `--effective` writes them, and what changes between two such lists.

use std::fmt;

use super::super::effective::Sheet;
use super::super::finding::Node;
use crate::config::host::Host;

/// One line: the blocks inside which it stands, its keyword, and all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    path: String,
    keyword: String,
    text: String,
}

/// What `emit` writes, without the outermost braces and names.
pub(super) fn of(emit: impl FnOnce(&mut Sheet<'_>), node: &Node, host: &dyn Host) -> Vec<Value> {
    let mut sheet = Sheet::plain(node, host);
    emit(&mut sheet);
    let page = sheet.finish();
    let mut open: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for line in page.lines() {
        let line = line.trim();
        let (off, line) = match line.strip_prefix("# ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if let Some(header) = line.strip_suffix(" {") {
            open.push(header);
        } else if line == "}" {
            open.pop();
        } else {
            // The name of the outermost block is said elsewhere.
            let path = open.get(1..).unwrap_or_default().join(", ");
            let (keyword, text) = match line.split_once(": ").filter(|_| off) {
                Some((keyword, value)) => (keyword.to_owned(), value.to_owned()),
                None => match line.split_once(' ') {
                    Some((keyword, value)) => (keyword.to_owned(), value.to_owned()),
                    None => (line.to_owned(), "on".to_owned()),
                },
            };
            found.push(Value {
                path,
                keyword,
                text,
            });
        }
    }
    found
}

/// `keyword: from -> to`; a line that only one side has lacks the other value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValueChange {
    path: String,
    keyword: String,
    from: Option<String>,
    to: Option<String>,
}

impl fmt::Display for ValueChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        let keyword = &self.keyword;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{keyword} {from} -> {to}"),
            (Some(from), None) => write!(f, "{keyword} {from}: removed"),
            (None, Some(to)) => write!(f, "{keyword} {to}: added"),
            (None, None) => write!(f, "{keyword}"),
        }
    }
}

/// Lines that only one of the lists has; those of one keyword in one block belong together.
pub(super) fn changes(old: &[Value], new: &[Value]) -> Vec<ValueChange> {
    let mut added: Vec<&Value> = new.iter().filter(|n| !old.contains(n)).collect();
    let mut found = Vec::new();
    for o in old.iter().filter(|o| !new.contains(o)) {
        let same = |n: &&Value| (&n.path, &n.keyword) == (&o.path, &o.keyword);
        let to = added.iter().position(same).map(|at| added.remove(at));
        found.push(ValueChange {
            path: o.path.clone(),
            keyword: o.keyword.clone(),
            from: Some(o.text.clone()),
            to: to.map(|n| n.text.clone()),
        });
    }
    // A block or a list that was empty has a line of its own for that.
    found.retain(|c| c.to.is_some() || c.from.as_deref() != Some("none"));
    found.extend(
        added
            .into_iter()
            .filter(|n| n.text != "none")
            .map(|n| ValueChange {
                path: n.path.clone(),
                keyword: n.keyword.clone(),
                from: None,
                to: Some(n.text.clone()),
            }),
    );
    found
}
