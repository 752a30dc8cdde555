//! Findings for people: keepalived's line, then the source with the word underlined, and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::finding::{Finding, Node, Severity};
use crate::config::host::Host;
use crate::config::source::{FileId, Span};

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
        let own = found.iter().filter_map(|f| Some((f.node, f.diag.span?)));
        let related = found
            .iter()
            .flat_map(|f| &f.related)
            .map(|r| (r.node, r.span));
        let mut wanted: BTreeMap<(usize, FileId), BTreeSet<u32>> = BTreeMap::new();
        for (node, span) in own.chain(related) {
            wanted
                .entry((node, span.file))
                .or_default()
                .insert(span.line);
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
                let text = String::from_utf8_lossy(line)
                    .trim_end_matches('\r')
                    .to_owned();
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
    let mut group = Group::with_title(title);
    if let Some(span) = diag.span {
        group = place(group, nodes, excerpts, (finding.node, span), None);
    }
    for r in &finding.related {
        group = place(group, nodes, excerpts, (r.node, r.span), Some(&r.text));
    }
    let help = format!("keepalived-rs check --explain {}", diag.code.slug());
    group = group.element(Level::HELP.message(help));
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    renderer.render(&[group])
}

/// Adds a line of source with its word underlined, and the includes that lead there.
fn place<'a>(
    mut group: Group<'a>,
    nodes: &[Node],
    excerpts: &Excerpts,
    (number, span): (usize, Span),
    label: Option<&str>,
) -> Group<'a> {
    let Some(files) = nodes.get(number).map(|n| &n.loaded.files) else {
        return group;
    };
    let Some(file) = files.of(span.file) else {
        return group;
    };
    let name = clean(&file.name);
    let Some(line) = excerpts.line(number, span) else {
        return group.element(Origin::path(name).line(span.line as usize));
    };
    let kind = if label.is_some() {
        AnnotationKind::Context
    } else {
        AnnotationKind::Primary
    };
    let annotation = kind.span(underlined(line, span)).label(label.map(clean));
    let snippet = Snippet::source(clean(line))
        .line_start(span.line as usize)
        .path(name);
    group = group.element(snippet.annotation(annotation));
    for (name, from) in files.included_from(span) {
        let text = format!("included from {}:{}", clean(name), from.line);
        group = group.element(Level::NOTE.message(text));
    }
    group
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
        c if c.is_ascii_control() => '?',
        c => c,
    };
    text.chars().map(harmless).collect()
}
