//! One brace deleted from or inserted into good files: is it found?

use std::fs;
use std::path::{Path, PathBuf};

use super::super::finding::Node;
use super::super::own;
use crate::config::expand::Kind;
use crate::config::fake::{Fake, MAIN};
use crate::config::source::{Code, Diags};
use crate::config::{LoadOptions, lines, load};

fn options() -> LoadOptions {
    LoadOptions {
        config_id: Some("lb1".into()),
        ..LoadOptions::default()
    }
}

/// The lines of the findings about braces, in order of place, as `check` shows them.
fn told(text: &str) -> Vec<u32> {
    let host = Fake::with(text);
    let options = options();
    let node = Node {
        number: 0,
        name: MAIN.into(),
        loaded: load(&options, &host),
        options,
    };
    let codes = [
        Code::MissingOpen,
        Code::MissingClose,
        Code::ExtraClose,
        Code::UnexpectedOpen,
    ];
    let found = own::found(&node, &host);
    let mut at: Vec<u32> = found
        .iter()
        .filter(|f| codes.contains(&f.diag.code))
        .filter_map(|f| f.diag.span)
        .map(|s| s.line)
        .collect();
    at.sort_unstable();
    at
}

/// The braces of a text: line and octet, from 0, and whether it opens.
fn braces(text: &str) -> Vec<(usize, usize, bool)> {
    let host = Fake::with(text);
    let mut diags = Diags::default();
    let mut lines = lines(&options(), &host, &mut diags);
    let mut all = Vec::new();
    while let Some(piece) = lines.next(&mut diags) {
        let open = match piece.kind {
            Kind::Open => true,
            Kind::Close => false,
            Kind::Text(_) => continue,
        };
        if piece.span.via == 0 && piece.span.file.0 == 0 {
            all.push((
                piece.span.line as usize - 1,
                piece.span.col as usize - 1,
                open,
            ));
        }
    }
    all
}

/// Files that people wrote: the examples, and the corpus if it is there.
fn files() -> (Vec<PathBuf>, usize) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("KEEPALIVED_CORPUS")
        .map_or_else(|| top.join("../shared/corpus"), PathBuf::from);
    let list = |dir: PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut all: Vec<PathBuf> = entries
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "conf"))
            .collect();
        all.sort();
        all
    };
    let mut all = list(top.join("examples"));
    let corpus = list(folder.join("conf"));
    let count = corpus.len();
    all.extend(corpus);
    (all, count)
}

/// A kind of change, how often it was made, and how often it was found.
#[derive(Default)]
struct Tally {
    made: usize,
    found: usize,
}

#[expect(
    clippy::print_stderr,
    reason = "the measured rates, or that nothing was measured"
)]
#[test]
fn one_brace_more_or_less_is_found_within_a_line() {
    let (files, corpus) = files();
    if corpus == 0 {
        eprintln!("braces: corpus skipped, 0 files: KEEPALIVED_CORPUS names no folder");
    }
    let per_file = std::env::var("BRACES_PER_FILE")
        .ok()
        .and_then(|n| n.parse().ok());
    let per_file: usize = per_file.unwrap_or(if corpus == 0 { 40 } else { 1 });
    let show = std::env::var_os("BRACES_SHOW").is_some();
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap_or(0) % below.max(1)
    };
    let mut tallies: [Tally; 4] = Default::default();
    let mut good = 0;
    for path in &files {
        let Ok(text) = fs::read_to_string(path) else {
            continue;
        };
        if text.contains("include") || text.contains('\r') || !told(&text).is_empty() {
            continue;
        }
        let all = braces(&text);
        if all.is_empty() {
            continue;
        }
        good += 1;
        let lines: Vec<&str> = text.lines().collect();
        for _ in 0..per_file {
            for (kind, tally) in tallies.iter_mut().enumerate() {
                let (mut changed, at) = (
                    lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>(),
                    random(1 << 20),
                );
                let opens = kind % 2 == 0;
                let line = if kind < 2 {
                    let of: Vec<_> = all.iter().filter(|b| b.2 == opens).collect();
                    let Some((line, octet, _)) = of.get(at % of.len().max(1)) else {
                        continue;
                    };
                    changed[*line].replace_range(*octet..octet + 1, "");
                    *line
                } else {
                    // Behind a line that holds text, in what a brace before it opened.
                    let within = all[0].0..all[all.len() - 1].0;
                    let texts: Vec<usize> = within
                        .filter(|n| {
                            !lines[*n].trim().is_empty()
                                && !lines[*n].contains(['#', '!', '"', '$', '~'])
                        })
                        .collect();
                    let Some(line) = texts.get(at % texts.len().max(1)) else {
                        continue;
                    };
                    changed[*line].push_str(if opens { " {" } else { " }" });
                    *line
                };
                let told = told(&(changed.join("\n") + "\n"));
                let near = told
                    .first()
                    .is_some_and(|t| (*t as usize - 1).abs_diff(line) <= 1);
                tally.made += 1;
                tally.found += usize::from(near);
                if show && !near {
                    eprintln!(
                        "{} kind {kind} line {} told {told:?}",
                        path.display(),
                        line + 1
                    );
                }
            }
        }
    }
    let (mut made, mut found) = (0, 0);
    for (t, what) in tallies
        .iter()
        .zip(["{ deleted", "} deleted", "{ inserted", "} inserted"])
    {
        eprintln!("braces: {what}: {} of {} within a line", t.found, t.made);
        made += t.made;
        found += t.found;
    }
    eprintln!("braces: {found} of {made} in {good} good files");
    assert!(found * 10 >= made * 9, "{found} of {made}");
}
