//! Configuration: text → (model, diagnostics). It does not stop at the first error and changes nothing on the machine.
//!
//! `source` (files, findings) ← `lex` (characters) ← `expand` (lines) ← `tree` (blocks) ← `table` (keywords in general) ←
//! `blocks` (each keyword) ← `link` (what needs more than one statement). Source: keepalived.conf(5).

pub(crate) mod blocks;
pub(crate) mod code;
pub(crate) mod expand;
pub(crate) mod host;
pub(crate) mod lex;
mod link;
pub(crate) mod names;
mod outcome;
pub(crate) mod secret;
pub(crate) mod source;
pub(crate) mod table;
pub(crate) mod tree;
pub(crate) mod value;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use self::blocks::inert::INERT;
use self::blocks::{Draft, ROOT};
use self::expand::{Checks, Expander};
use self::host::Host;
use self::source::{Code, Concern, Diag, Diags, Files, Outcomes, Span, Weight};
use self::table::{Gathered, Pass, Reader};
use self::tree::{Mend, Tree};
use crate::model::Config;

/// What the command line says about reading the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadOptions {
    /// `-f`: a path or a glob pattern. Default `/etc/keepalived/keepalived.conf`.
    pub(crate) path: String,
    /// `-i`: what `@id` lines are compared with. Default the node name up to the first dot.
    pub(crate) config_id: Option<String>,
    /// `-s` was given: `net_namespace` does not matter, the host knows the interfaces of the right namespace.
    pub(crate) in_namespace: bool,
    /// `-e`: a missing include is an error.
    pub(crate) strict_includes: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            path: "/etc/keepalived/keepalived.conf".into(),
            config_id: None,
            in_namespace: false,
            strict_includes: false,
        }
    }
}

/// How loudly a message is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loudness {
    /// Worth knowing: an `info` line of the daemon; `-t` shows it too.
    Note,
    /// A `warn` line of the daemon that `-t` does not show.
    Log,
    /// A complaint: a `warn` line of the daemon; `-t` shows it.
    Complaint,
}

/// What was read.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// Everything that could be understood. Run it only when [`Loaded::refusal`] is `None`.
    pub(crate) config: Arc<Config>,
    /// Findings by place.
    pub(crate) diags: Vec<Diag>,
    /// The files that the places in `diags` name.
    pub(crate) files: Files,
    /// The statements, so that `check` finds the place of a setting; after [`load_model`] not all of them.
    pub(crate) tree: Tree,
    /// Places of the statements that were not taken over: what they say is not in force.
    pub(crate) rejected: HashSet<Span>,
    /// It ends inside a block or a keyword, or holds no statement, as a file does that is still being written.
    pub(crate) torn: bool,
    outcomes: Outcomes,
    test_exit: u8,
}

impl Loaded {
    /// The exit code of `-t`.
    // keepalived: whatever the parts of the daemon that are switched off.
    pub(crate) fn test_exit(&self) -> u8 {
        self.test_exit
    }

    /// Why the daemon must not run this: its exit code, 0 (no such network namespace), 2 (unusable) or 6 (no file). On
    /// reload: the old configuration stays in force.
    pub(crate) fn refusal(&self) -> Option<u8> {
        self.refusal_for(|_| true)
    }

    /// The same for a daemon that only has some of its parts.
    pub(crate) fn refusal_for(&self, runs: impl Fn(Concern) -> bool) -> Option<u8> {
        let strict = self.config.global.reload_check_config;
        self.outcomes.of(runs).refusal(strict)
    }

    /// The findings in keepalived's form, by place.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (Loudness, String)> + '_ {
        self.messages_for(|_| true)
    }

    /// Those about the parts of the daemon that run.
    pub(crate) fn messages_for(
        &self,
        runs: impl Fn(Concern) -> bool,
    ) -> impl Iterator<Item = (Loudness, String)> {
        let heard = self.diags.iter().filter(move |d| runs(d.concern));
        heard.map(|d| {
            let loudness = match d.weight {
                Weight::Note => Loudness::Note,
                Weight::Log | Weight::Lint => Loudness::Log,
                Weight::NoFile
                | Weight::Namespace
                | Weight::Fatal
                | Weight::Complaint
                | Weight::Unusable
                | Weight::Security
                | Weight::Missing
                | Weight::Include
                | Weight::Printed => Loudness::Complaint,
            };
            (loudness, d.message(&self.files))
        })
    }
}

/// Reads the configuration that `options` names. Every problem is a finding in [`Loaded::diags`].
pub(crate) fn load(options: &LoadOptions, host: &dyn Host) -> Loaded {
    load_mended(options, host, &Mend::default())
}

/// The lines of the configuration that `options` names, before they are statements.
pub(crate) fn lines<'h>(
    options: &LoadOptions,
    host: &'h dyn Host,
    diags: &mut Diags,
) -> Expander<'h> {
    let node = host.node_name();
    let short = node.split('.').next().unwrap_or_default();
    let config_id = options
        .config_id
        .clone()
        .unwrap_or_else(|| short.to_owned());
    let checks = if options.strict_includes {
        Checks::ALL
    } else {
        Checks::default()
    };
    let mut lines = Expander::new(host, config_id, checks);
    lines.open_main(&options.path, diags);
    lines
}

/// As [`load`], for callers that only want the model and the findings: statements are dropped as soon as they are read, which
/// keeps a large configuration cheap.
pub(crate) fn load_model(options: &LoadOptions, host: &dyn Host) -> Loaded {
    read(options, host, &Mend::default(), Keep::Model)
}

/// As [`load`], with braces mended: what a start would find if the operator did that.
pub(crate) fn load_mended(options: &LoadOptions, host: &dyn Host, mend: &Mend) -> Loaded {
    read(options, host, mend, Keep::Statements)
}

/// What remains of the configuration besides the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Model,
    Statements,
}

fn read(options: &LoadOptions, host: &dyn Host, mend: &Mend, keep: Keep) -> Loaded {
    let loaded = read_once(options, host, mend, keep);
    // What was not read to its end is not run anyway.
    let unread = loaded.diags.iter().any(|d| d.code == Code::TooLarge);
    if !loaded.tree.swallows || unread {
        return loaded;
    }
    // Once more, now that it is known that an end is missing. What `-t` ends with stays what the blocks that keepalived
    // finds lead to: scripts in a block that it loses, say, do not count.
    let (test_exit, torn) = (loaded.test_exit, loaded.torn);
    drop(loaded);
    Loaded {
        test_exit,
        torn,
        ..read_once(options, host, &mend.reopening(), keep)
    }
}

fn read_once(options: &LoadOptions, host: &dyn Host, mend: &Mend, keep: Keep) -> Loaded {
    let mut diags = Diags::default();
    let mut lines = lines(options, host, &mut diags);
    let mut tree = tree::build(&mut lines, &ROOT, mend, &mut diags);
    let files = std::mem::take(&mut lines.files);
    drop(lines);
    let open = tree.is_empty() || diags.has(Code::MissingClose);
    let mut draft = Draft::default();
    let mut gathered = Gathered::new(diags, INERT);
    // Global settings come first wherever they stand: blocks start from them.
    Reader::new(host, &mut gathered).read(&ROOT, tree.root(), Pass::Early, &mut draft);
    draft.settle(host);
    let settings = &draft.global.model.process.files;
    for (slot, given) in gathered
        .folders
        .0
        .iter_mut()
        .zip([&settings.iproute_etc, &settings.iproute_usr])
    {
        if let Some(given) = given {
            slot.clone_from(given);
        }
    }
    let namespace = draft.namespace.clone().filter(|_| !options.in_namespace);
    let gone = namespace.filter(|(name, _)| !host.enter(name));
    match &gone {
        // Everything else would be about the interfaces and files of another place.
        Some((name, span)) => {
            let text = format!("Unable to set network namespace {name} - exiting");
            let diag = Diag::bare(Some(*span), Code::Namespace, text);
            gathered.diags.push(diag);
        }
        None => {
            for part in 0..tree.parts() {
                let body = tree.part(part);
                Reader::new(host, &mut gathered).read(&ROOT, body, Pass::Late, &mut draft);
                if keep == Keep::Model && !Reader::has(&ROOT, body, Pass::Last) {
                    tree.forget(part);
                }
            }
        }
    }
    let parts = if gone.is_some() { 0 } else { tree.parts() };
    let unread = Unread {
        tree: &mut tree,
        parts: 0..parts,
        keep,
    };
    let config = link::link(draft, unread, host, &mut gathered);
    // Half a keyword, or one whose block has not come.
    let half = |d: &Diag| {
        let at_the_end = matches!((d.span, tree.last), (Some(a), Some(b)) if a.file == b.file && a.line == b.line);
        at_the_end && matches!(d.code, Code::UnknownKeyword | Code::MissingOpen)
    };
    let torn = open || gathered.diags.any(half);
    Loaded {
        config: Arc::new(config),
        test_exit: gathered.diags.outcomes().of(|_| true).test_exit(),
        outcomes: gathered.diags.outcomes(),
        diags: gathered.diags.into_sorted(),
        files,
        tree,
        rejected: gathered.rejected,
        torn,
    }
}

/// The statements, with a rest that is still to be read: there may be very many, so each part becomes model before the next
/// one is read.
struct Unread<'t> {
    tree: &'t mut Tree,
    parts: Range<usize>,
    keep: Keep,
}

impl Unread<'_> {
    /// Reads the next part; false: there is none left.
    fn read(&mut self, host: &dyn Host, gathered: &mut Gathered, v: &mut Draft) -> bool {
        let Some(part) = self.parts.next() else {
            return false;
        };
        Reader::new(host, gathered).read(&ROOT, self.tree.part(part), Pass::Last, v);
        match self.keep {
            Keep::Model => self.tree.forget(part),
            Keep::Statements => {}
        }
        true
    }
}
