//! Findings for people: keepalived's line, then the source with the word underlined, and what to do.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::facts::{Expanded, Facts};
use super::finding::{Finding, Node, Severity};
use super::suggest::Suggestion;
use crate::config::host::Host;
use crate::config::secret;
use crate::config::source::{FileId, Span};

/// Most octets of a line that are shown; a line that is read holds fewer.
const MAX_SHOWN: usize = 1100;

/// Whether the text has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Coloured,
}

/// The lines of source that findings show. The files are read again for them, one after the other, so that nothing but
/// these lines is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Excerpts(BTreeMap<(usize, FileId, u32), String>);

impl Excerpts {
    /// Reads the lines that `found` needs.
    pub(crate) fn of(nodes: &[Node], found: &[Finding], host: &dyn Host) -> Self {
        let mut wanted: BTreeMap<(usize, FileId), BTreeSet<u32>> = BTreeMap::new();
        let mut secret: HashSet<(usize, FileId, u32)> = HashSet::new();
        let mut want = |node: usize, span: Span| {
            let Some(files) = nodes.get(node).map(|n| &n.loaded.files) else {
                return;
            };
            for s in Facts::places(files, span) {
                wanted.entry((node, s.file)).or_default().insert(s.line);
            }
        };
        for f in found {
            let block = f.diag.detail.as_ref().and_then(|d| d.block);
            f.diag
                .span
                .iter()
                .chain(&block)
                .for_each(|s| want(f.node, *s));
            f.related.iter().for_each(|r| want(r.node, r.span));
            if let Some(span) = f.diag.span.filter(|_| f.diag.tells_a_secret())
                && let Some(files) = nodes.get(f.node).map(|n| &n.loaded.files)
            {
                // The line, and the definitions that made it.
                let places = Facts::places(files, span);
                secret.extend(places.into_iter().map(|s| (f.node, s.file, s.line)));
            }
        }
        let mut lines = BTreeMap::new();
        for ((node, file), numbers) in wanted {
            let path = nodes.get(node).and_then(|n| n.loaded.files.of(file));
            let Some(content) = path.and_then(|f| host.read(&f.path).ok()) else {
                continue;
            };
            let mut last = 0;
            let mut rest = content.split(|b| *b == b'\n');
            for number in numbers {
                let Some(line) = rest.nth((number - last).saturating_sub(1) as usize) else {
                    break;
                };
                last = number;
                let line = &line[..line.len().min(MAX_SHOWN)];
                let text = String::from_utf8_lossy(line);
                let text = text.trim_end_matches('\r');
                let text = match secret.contains(&(node, file, number)) {
                    true => secret::without_values(text),
                    false => secret::masked(text).into_owned(),
                };
                lines.insert((node, file, number), text);
            }
        }
        Self(lines)
    }

    /// The line of a place, if it could be read.
    pub(super) fn line(&self, node: usize, span: Span) -> Option<&str> {
        self.0
            .get(&(node, span.file, span.line))
            .map(String::as_str)
    }
}

/// Writes all findings and a line that counts them.
///
/// # Errors
/// When `out` does not take it.
pub(super) fn write(
    out: &mut dyn Write,
    nodes: &[Node],
    found: &[Finding],
    excerpts: &Excerpts,
    style: Style,
) -> io::Result<()> {
    for finding in found {
        writeln!(out, "{}\n", one(nodes, finding, excerpts, style))?;
    }
    writeln!(out, "{}", summary(found))
}

fn summary(found: &[Finding]) -> String {
    let count = |severity: Severity| {
        let n = found.iter().filter(|f| f.severity() == severity).count();
        let plural = if n == 1 { "" } else { "s" };
        (n > 0).then(|| format!("{n} {}{plural}", severity.word()))
    };
    let all = [Severity::Error, Severity::Warning, Severity::Note];
    let parts: Vec<String> = all.into_iter().filter_map(count).collect();
    match parts.is_empty() {
        true => "nothing to complain about".into(),
        false => parts.join(", "),
    }
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    }
}

/// One finding, without a line feed at its end.
fn one(nodes: &[Node], finding: &Finding, excerpts: &Excerpts, style: Style) -> String {
    let diag = &finding.diag;
    let message = match nodes.get(finding.node) {
        Some(node) => diag.message(&node.loaded.files),
        None => diag.to_string(),
    };
    let title = level(finding.severity())
        .primary_title(clean(&message))
        .id(diag.code.slug());
    let group = explain(Group::with_title(title), nodes, finding, excerpts);
    renderer(style).render(&[group])
}

/// What there is to say below keepalived's line, without a line feed at its end.
pub(super) fn below(
    nodes: &[Node],
    finding: &Finding,
    excerpts: &Excerpts,
    style: Style,
) -> String {
    let group = Group::with_level(level(finding.severity()));
    renderer(style).render(&[explain(group, nodes, finding, excerpts)])
}

fn renderer(style: Style) -> Renderer {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    renderer.term_width(MAX_SHOWN)
}

/// Adds everything but the message.
fn explain<'a>(
    mut group: Group<'a>,
    nodes: &[Node],
    finding: &Finding,
    excerpts: &Excerpts,
) -> Group<'a> {
    let facts = Facts::of(nodes, finding, excerpts);
    let suggestion = facts.suggestion.as_ref().and_then(Suggestion::text);
    if let Some(span) = facts.place {
        group = place(group, nodes, excerpts, (finding.node, span), None);
    }
    if let Some(expansion) = &facts.expansion {
        for (name, from) in &expansion.names {
            let label = format!("`${name}` gets its value here");
            group = place(group, nodes, excerpts, (finding.node, *from), Some(&label));
        }
    }
    for r in &finding.related {
        group = place(group, nodes, excerpts, (r.node, r.span), Some(&r.text));
    }
    let note = |text: String| Level::NOTE.message(clean(&text));
    if let Some(text) = facts.expansion.as_ref().and_then(expanded) {
        group = group.element(note(text));
    }
    for (name, line) in &facts.included_from {
        group = group.element(note(format!("included from {name}:{line}")));
    }
    if let Some(b) = &facts.block {
        let text = format!("in `{}`, opened at {}:{}", b.text, b.file, b.line);
        group = group.element(note(text));
    }
    if let Some(expected) = facts.expected {
        group = group.element(note(format!("expected {expected}")));
    }
    for text in &finding.notes {
        group = group.element(note(text.clone()));
    }
    let help = suggestion.into_iter().chain([format!(
        "keepalived-rs check --explain {}",
        finding.diag.code.slug()
    )]);
    for text in help {
        group = group.element(Level::HELP.message(clean(&text)));
    }
    group
}

/// What definitions made of the line, the word underlined.
fn expanded(e: &Expanded) -> Option<String> {
    let text = e.text.as_deref()?;
    let before = "the line becomes `";
    let start = (e.col as usize).saturating_sub(1);
    let word = text.get(start..start + e.len as usize)?;
    let mut shown = format!("{before}{text}`");
    if !word.is_empty() && word.len() < text.len() {
        let indent = before.chars().count() + text.get(..start)?.chars().count();
        shown += &format!(
            "\n{}{}",
            " ".repeat(indent),
            "^".repeat(word.chars().count())
        );
    }
    Some(shown)
}

/// Adds a line of source with its word underlined.
fn place<'a>(
    group: Group<'a>,
    nodes: &[Node],
    excerpts: &Excerpts,
    (number, span): (usize, Span),
    label: Option<&str>,
) -> Group<'a> {
    let file = nodes.get(number).and_then(|n| n.loaded.files.of(span.file));
    let Some(name) = file.map(|f| clean(&f.name)) else {
        return group;
    };
    let Some(line) = excerpts.line(number, span) else {
        return group.element(Origin::path(name).line(span.line as usize));
    };
    let kind = match label {
        Some(_) => AnnotationKind::Context,
        None => AnnotationKind::Primary,
    };
    let annotation = kind.span(underlined(line, span)).label(label.map(clean));
    let snippet = Snippet::source(clean(line))
        .line_start(span.line as usize)
        .path(name);
    group.element(snippet.annotation(annotation))
}

/// The octets to underline: the word, or all of the line but its outer blanks.
fn underlined(line: &str, span: Span) -> std::ops::Range<usize> {
    let start = (span.col as usize).saturating_sub(1);
    let end = start + span.len as usize;
    let fits =
        span.col > 0 && span.len > 0 && line.is_char_boundary(start) && line.is_char_boundary(end);
    if fits {
        return start..end;
    }
    let text = line.trim();
    let start = line.len() - line.trim_start().len();
    start..start + text.len()
}

/// Without characters that a terminal would obey; as many octets as before.
fn clean(text: &str) -> String {
    let harmless = |c: char| match c {
        '\t' => '\t',
        '\n' => '\n',
        c if c.is_ascii_control() => '?',
        c => c,
    };
    text.chars().map(harmless).collect()
}
