//! What stock keepalived complains about, by kind and line, beside what we complain about.
//!
//! Stock's messages are known by their words, ours by their code. Both become a kind and, where stock names one, a line.

use std::collections::BTreeSet;

use super::super::source::{Diag, Files, Weight};
use super::super::{Loaded, fake::MAIN};

/// File and line; the file is empty for the main file.
type Place = (String, u32);

/// A complaint, reduced to what can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Said {
    pub(super) kind: &'static str,
    /// `None`: the message does not say where.
    pub(super) place: Option<Place>,
    /// Whether the message begins with its place.
    pub(super) placed: bool,
    pub(super) text: String,
}

/// Stock's words, with `*` for whatever stands there, and what kind of complaint that is. The first that fits counts.
/// `echo`: said in addition to another complaint about the same.
const KINDS: &[(&str, &str)] = &[
    ("Unknown keyword '}'", "brace"),
    ("Unknown keyword *", "unknown"),
    ("Unexpected '{' - ignoring", "brace"),
    ("Extra '}' found", "brace"),
    ("Missing '{' at beginning of configuration block*", "brace"),
    ("There are * missing '}'s or extra '{'s", "brace"),
    ("Unmatched quote*", "quote"),
    ("Unterminated quote*", "quote"),
    ("*is missing a parameter after keyword*", "missing"),
    ("SECURITY VIOLATION*", "security"),
    ("Please use global lvs_sync_daemon*", "echo"),
    ("Non-existent interface specified in configuration", "echo"),
    ("Error setting global script uid/gid", "script"),
    ("*Unable to set default user*", "script"),
    ("*Unable to set uid/gid for script*", "script"),
    ("Failed to set uid/gid for*", "script"),
    ("Disabling track script*", "script"),
    ("No script set for vrrp_script*", "script"),
    ("Invalid startup script", "script"),
    ("Invalid shutdown script", "script"),
    ("realpath() error*", "file"),
    ("No file set for track_file*", "value"),
    ("Config files missing*", "include"),
    ("* vrrp_instance * already defined", "repeated"),
    ("vrrp instance * already defined", "repeated"),
    ("*already specified*", "repeated"),
    ("*duplicate*", "repeated"),
    ("*duplicates a VIP*", "repeated"),
    ("Duplicate *", "repeated"),
    ("*deprecated*", "deprecated"),
    ("*WARNING - interface * doesn't exist", "interface"),
    ("*WARNING - VRF interface * doesn't exist", "interface"),
    ("*tracked interface * doesn't exist", "interface"),
    ("Default interface * does not exist*", "interface"),
    (
        "Static address * requires either an interface*",
        "interface",
    ),
    ("(*) Unknown interface*", "interface"),
    ("*specified in sync group * doesn't exist*", "absent"),
    ("*not found, ignoring*", "absent"),
    ("*the virtual router id must be set", "vrid"),
    ("*VRID '*' not valid*", "value"),
    ("* both use VRID *", "vrid"),
    ("*No VIP specified*", "no address"),
    ("Sync group *", "group"),
    ("Virtual server *has no real servers*", "value"),
    ("Virtual server *", "value"),
    ("*ports don't match*", "value"),
    ("*has port specified*", "value"),
    ("Warning - quorum * exceeds total weight*", "value"),
    ("Warning: Virtual server *", "value"),
];

/// Stock says these when a block ends, of all lines; ours names the line that the block begins with.
const AT_THE_END: &[&str] = &[
    "Unable to set default user for vrrp script *",
    "Unable to set default user for misc script *",
    "Unable to set default user keepalived_script for script",
    "No script set for vrrp_script *",
    "No file set for track_file*",
    "Warning - empty * block",
    "Sync group * has no members*",
    "Virtual server * has no real servers*",
    "virtual server group * has no entries*",
    "garp group * does not have any delay set*",
    "garp_group already specified*",
    "WARNING - interface * specified for garp_group doesn't exist",
    "Rule has no preference*",
];

/// Whether the text is the pattern, in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// `(FILE: Line N) text` and `(Line N) text` in their parts.
fn place_of(line: &str) -> (Option<Place>, &str) {
    let parts = || {
        let (inside, text) = line.strip_prefix('(')?.split_once(") ")?;
        let (file, number) = match inside.split_once(": Line ") {
            Some((file, number)) => (file, number),
            None => ("", inside.strip_prefix("Line ")?),
        };
        let file = if file == MAIN { "" } else { file };
        Some(((file.to_owned(), number.parse().ok()?), text))
    };
    match parts() {
        Some((place, text)) => (Some(place), text),
        None => (None, line),
    }
}

/// What stock said, each complaint once.
pub(super) fn of_stock(verdict: &str) -> BTreeSet<Said> {
    let lines = verdict.lines().filter(|l| !l.trim().is_empty());
    let said = lines.filter_map(|line| {
        let (place, text) = place_of(line);
        let text = text.trim_start();
        let kind = KINDS.iter().find(|(pattern, _)| fits(pattern, text));
        let kind = kind.map_or("value", |(_, kind)| *kind);
        let placed = place.is_some();
        let late = AT_THE_END.iter().any(|p| fits(p, text));
        let place = place.filter(|_| !late);
        let text = text.to_owned();
        (kind != "echo").then_some(Said {
            kind,
            place,
            placed,
            text,
        })
    });
    said.collect()
}

fn kind_of(d: &Diag) -> &'static str {
    match d.code.slug() {
        "unknown-keyword" if d.text.ends_with("'}'") => "brace",
        "unknown-keyword" => "unknown",
        "unexpected-open" | "missing-open" | "extra-close" | "missing-close" => "brace",
        "unmatched-quote" | "unterminated-quote" => "quote",
        "missing-argument" => "missing",
        "script-security" => "security",
        "no-interface" => "interface",
        "script" => "script",
        "include" | "include-loop" | "no-file" | "unreadable" => "include",
        "repeated" | "duplicate" => "repeated",
        "deprecated" => "deprecated",
        "not-found" => "absent",
        "no-vrid" | "same-vrid" | "no-interface-given" => "vrid",
        "no-address" => "no address",
        "small-group" => "group",
        "file" => "file",
        _ => "value",
    }
}

/// What we say.
pub(super) fn of_ours(loaded: &Loaded) -> BTreeSet<Said> {
    let told = |d: &&Diag| !matches!(d.weight, Weight::Note | Weight::Log | Weight::Namespace);
    let said = loaded.diags.iter().filter(told).map(|d| Said {
        kind: kind_of(d),
        place: place(d, &loaded.files),
        placed: d.placed,
        text: d.text.clone(),
    });
    said.filter(|s| !KINDS.iter().any(|(p, k)| *k == "echo" && fits(p, &s.text)))
        .collect()
}

fn place(d: &Diag, files: &Files) -> Option<Place> {
    let span = d.span?;
    let name = files.of(span.file).map_or("", |f| &f.name);
    let name = if name == MAIN { "" } else { name };
    Some((name.to_owned(), span.line))
}

/// What one said and the other did not: stock's, then ours. Where stock names no line, any line of ours will do.
pub(super) fn differences(stock: &BTreeSet<Said>, ours: &BTreeSet<Said>) -> (Vec<Said>, Vec<Said>) {
    let same = |a: &Said, b: &Said| {
        a.kind == b.kind && (a.place.is_none() || b.place.is_none() || a.place == b.place)
    };
    let lost = stock.iter().filter(|s| !ours.iter().any(|o| same(s, o)));
    let more = ours.iter().filter(|o| !stock.iter().any(|s| same(s, o)));
    (lost.cloned().collect(), more.cloned().collect())
}

/// What is known about a file when a difference in it is judged.
pub(super) struct Case<'a> {
    pub(super) loaded: &'a Loaded,
    /// Exit code and complaints of stock.
    pub(super) exit: i32,
    pub(super) stock: &'a BTreeSet<Said>,
}

/// Why one complains and the other does not: all of it defects of stock that help nobody. `true` for a complaint of ours.
type Reason = (&'static str, fn(&Case<'_>, &Said, bool) -> bool);

/// Every kind of difference there is.
const REASONS: &[Reason] = &[
    (
        "stock stops reading at the first missing parameter, each process at another one; we go on",
        |case, said, ours| {
            let all = of_ours(case.loaded);
            let missing = all.iter().filter(|s| s.kind == "missing");
            let from = missing.map(|s| &s.place).min();
            case.exit == 2 && (ours || from.is_some_and(|from| said.place >= *from))
        },
    ),
    (
        "stock says nothing more when the network namespace cannot be joined",
        |case, _, ours| ours && case.loaded.outcomes.of(|_| true).has(Weight::Namespace),
    ),
    (
        "stock checks no instance after the first one that cannot run",
        |case, said, ours| {
            let stops = |s: &Said| {
                s.kind == "vrid"
                    || fits("*at least one is required", &s.text)
                    || fits("*not supported in strict mode", &s.text)
            };
            ours && !said.placed && case.stock.iter().any(stops)
        },
    ),
    (
        "stock reads an unknown block's lines, and what follows its end, one level too high",
        |case, said, _| {
            let open =
                |s: &&Said| fits("Unexpected '{'*", &s.text) || fits("Missing '{'*", &s.text);
            let from = case.stock.iter().filter(open).map(|s| &s.place).min();
            from.is_some_and(|from| said.place.is_none() || said.place >= *from)
        },
    ),
    (
        "stock 2.4 loses a definition that begins with a condition; 2.2 and the manual have it",
        |case, _, _| {
            let lost = |s: &Said| fits("Unknown keyword '@*", &s.text);
            case.stock.iter().any(lost)
        },
    ),
    (
        "stock refuses a script in a linked directory, such as /bin on most systems",
        |_, said, ours| !ours && fits("Disabling track script * due to insecure", &said.text),
    ),
];

/// The reason for a difference.
pub(super) fn reason(case: &Case<'_>, said: &Said, ours: bool) -> Option<&'static str> {
    let found = REASONS.iter().find(|(_, fits)| fits(case, said, ours));
    found.map(|(why, _)| *why)
}
