//! Where the model's objects are written: blocks by keyword and name, keywords in them.

use std::collections::HashMap;

use super::finding::Node;
use crate::config::host::Host;
use crate::config::lex;
use crate::config::source::Span;
use crate::config::tree::Statement;

/// A node with an index of the blocks of its top level.
pub(crate) struct Places<'a> {
    pub(crate) node: &'a Node,
    /// The machine that the files are for, as far as it is known.
    pub(crate) host: &'a dyn Host,
    /// Keyword and all words behind it, a blank between → the first such block.
    blocks: HashMap<String, Statement<'a>>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(node: &'a Node, host: &'a dyn Host) -> Self {
        let tree = &node.loaded.tree;
        let mut blocks = HashMap::new();
        for statement in tree.root().statements() {
            let (words, _) = lex::words(statement.text);
            let key = words.iter().map(|w| w.text).collect::<Vec<_>>().join(" ");
            blocks.entry(key).or_insert(statement);
        }
        Self { node, host, blocks }
    }

    /// The first block of that keyword and name.
    pub(crate) fn block(&self, keyword: &str, name: &str) -> Option<&Statement<'a>> {
        self.blocks.get(&format!("{keyword} {name}"))
    }

    /// Where a block says `keyword` for the last time and it counts.
    pub(crate) fn said(&self, block: &Statement<'a>, keyword: &str) -> Option<Span> {
        let said = block.body.statements();
        let said = said.filter(|s| lex::first_word(s.text) == Some(keyword));
        let counts = |s: &Statement<'a>| !self.node.loaded.rejected.contains(&s.span);
        said.filter(counts).last().map(|s| s.span)
    }

    /// Where the block of that keyword and name says one of `keywords`, or else where the block begins.
    pub(crate) fn of(&self, block: &str, name: &str, keywords: &[&str]) -> Option<Span> {
        let block = self.block(block, name)?;
        let said = keywords.iter().find_map(|k| self.said(block, k));
        Some(said.unwrap_or(block.span))
    }

    /// The same for an instance.
    pub(crate) fn of_instance(&self, name: &str, keywords: &[&str]) -> Option<Span> {
        self.of("vrrp_instance", name, keywords)
    }

    /// Where any `global_defs` says one of `keywords`.
    pub(crate) fn global(&self, keywords: &[&str]) -> Option<Span> {
        let tree = &self.node.loaded.tree;
        let root = tree.root();
        let blocks = root.statements();
        let mut blocks = blocks.filter(|s| lex::first_word(s.text) == Some("global_defs"));
        blocks.find_map(|b| keywords.iter().find_map(|k| self.said(&b, k)))
    }
}
