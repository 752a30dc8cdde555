//! The layout that the house style promises: who may import whom, how long a file may be, where `unsafe` and nom live,
//! what stands at the top level. Reads the sources as text; no compiler is involved, so it sees macros unexpanded.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Everything that may stand at the top level, version control apart.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "examples",
    "packaging",
    "src",
    "systemd",
    "tests",
];

/// Everything that may stand in `src`.
const SRC: &[&str] = &[
    "bfd",
    "check",
    "cli",
    "cli.rs",
    "config",
    "daemon",
    "dump",
    "lvs",
    "main.rs",
    "model",
    "notify",
    "reconcile.rs",
    "sys",
    "time.rs",
    "track",
    "vrrp",
    "wire",
];

/// Soft limits in lines, tests, comments and blank lines apart; the first prefix that fits counts, elsewhere it is [`LIMIT`].
const LIMITS: &[(&str, usize)] = &[
    ("config/tree.rs", 150),
    ("config/table.rs", 300),
    ("main.rs", 150),
    ("cli.rs", 200),
    ("time.rs", 150),
    ("reconcile.rs", 200),
    ("config/source.rs", 250),
    ("config/lex.rs", 300),
    ("config/value.rs", 350),
    ("model/diff.rs", 150),
    ("model/", 300),
    ("wire/", 300),
    ("sys/", 300),
];
const LIMIT: usize = 400;

/// One source file.
struct Source {
    /// Below `src`, with slashes.
    path: String,
    /// Comments, strings and the test module are blanked; lines stay where they are.
    code: String,
    /// Lines of code before the test module.
    lines: usize,
}

/// Modules that stand for a place in the picture, by the file that holds the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Main,
    Cli,
    /// The command that explains; above everything but the daemon's life.
    Check,
    Time,
    Wire,
    Model,
    /// `config` but for its keywords.
    Engine,
    /// `config/blocks`, `config/link` and the entry, `config/mod.rs`.
    Keywords,
    /// Pure: `vrrp`, verdicts, `desired.rs`, `reconcile.rs`.
    Core,
    Checker,
    Tracker,
    Task,
    Notify,
    Dump,
    Daemon,
    Sys,
}

fn part(path: &str) -> Part {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let file = path.rsplit('/').next().unwrap_or(path);
    let is_task = rest.starts_with("task");
    match first {
        "main.rs" => Part::Main,
        "cli.rs" | "cli" => Part::Cli,
        "check" => Part::Check,
        "time.rs" => Part::Time,
        "reconcile.rs" | "bfd" => Part::Core,
        "wire" => Part::Wire,
        "model" => Part::Model,
        "config" if rest.starts_with("blocks") || rest.starts_with("link") || rest == "mod.rs" => {
            Part::Keywords
        }
        "config" => Part::Engine,
        "vrrp" | "lvs" | "track" if is_task => Part::Task,
        "lvs" if rest.starts_with("checker") => Part::Checker,
        "vrrp" | "lvs" => Part::Core,
        "track" if matches!(file, "verdict.rs" | "mod.rs") => Part::Core,
        "track" => Part::Tracker,
        "notify" => Part::Notify,
        "dump" => Part::Dump,
        "daemon" => Part::Daemon,
        "sys" => Part::Sys,
        other => panic!("{other} has no place in the picture"),
    }
}

/// The modules that a part may name, as prefixes below the crate.
fn may_name(part: Part, path: &str) -> &'static [&'static str] {
    match part {
        Part::Main => &[""],
        Part::Cli => &["cli"],
        Part::Check => &[
            "check",
            "cli",
            "config",
            "model",
            "time",
            "daemon::host",
            "sys::netns",
            "sys::procfs",
            "lvs::checker",
            "track",
        ],
        Part::Time => &[],
        Part::Wire => &["wire", "time"],
        Part::Model => &["model", "time", "lvs::checker", "track"],
        Part::Engine => &["config", "time"],
        Part::Keywords => &["config", "model", "time", "lvs::checker", "track"],
        Part::Core if path.starts_with("vrrp/") => {
            &["vrrp", "model", "wire", "time", "daemon::bus", "reconcile"]
        }
        Part::Core if path.starts_with("lvs/") => {
            &["lvs", "model", "wire", "time", "daemon::bus", "reconcile"]
        }
        Part::Core if path.starts_with("track/") => {
            &["track", "model", "wire", "time", "daemon::bus", "reconcile"]
        }
        Part::Core => &["bfd", "model", "wire", "time"],
        // How commands are run, and for how long, is the same for all scripts.
        Part::Checker => &[
            "lvs",
            "model",
            "wire",
            "time",
            "sys",
            "config",
            "track::command",
            "track::run",
        ],
        Part::Tracker => &[
            "track",
            "model",
            "wire",
            "time",
            "daemon::bus",
            "sys",
            "config",
            "bfd",
        ],
        Part::Task => &[
            "vrrp",
            "lvs",
            "track",
            "model",
            "wire",
            "time",
            "daemon::bus",
            "reconcile",
            "sys",
        ],
        // How commands are run, and for how long, is the same for all scripts.
        Part::Notify => &[
            "notify",
            "model",
            "time",
            "daemon::bus",
            "sys",
            "track::command",
            "track::run",
        ],
        Part::Dump => &[
            "dump",
            "model",
            "time",
            "daemon::bus",
            "vrrp",
            "lvs::checker",
            "track::command",
        ],
        Part::Daemon => &[""],
        Part::Sys => &["sys", "wire", "time"],
    }
}

/// Words that must not occur in a part that is a function of its arguments.
const IMPURE: &[&str] = &[
    "tokio",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "libc",
    "nix",
];

#[test]
fn parts_import_in_the_direction_of_the_picture() {
    let mut faults = String::new();
    for source in sources() {
        let part = part(&source.path);
        let allowed = may_name(part, &source.path);
        for name in named(&source) {
            let fits =
                |a: &&str| a.is_empty() || name == **a || name.starts_with(&format!("{a}::"));
            let above = part == Part::Engine
                && (name.starts_with("config::blocks") || name.starts_with("config::link"));
            if above || !allowed.iter().any(fits) {
                writeln!(faults, "src/{} ({part:?}) names crate::{name}", source.path)
                    .expect("a String takes all");
            }
        }
        if matches!(
            part,
            Part::Core | Part::Model | Part::Wire | Part::Time | Part::Engine
        ) {
            for word in IMPURE.iter().filter(|w| has_word(&source.code, w)) {
                writeln!(faults, "src/{} ({part:?}) names {word}", source.path)
                    .expect("a String takes all");
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn files_stay_short() {
    let mut faults = String::new();
    for s in sources() {
        let soft = LIMITS
            .iter()
            .find(|(prefix, _)| s.path.starts_with(prefix))
            .map_or(LIMIT, |(_, n)| *n);
        if s.lines > soft + soft / 2 {
            writeln!(
                faults,
                "src/{}: {} lines, {soft} are meant",
                s.path, s.lines
            )
            .expect("a String takes all");
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn unsafe_lives_in_sys_and_nom_in_three_files_and_nothing_is_left_to_do() {
    let nom = ["config/lex.rs", "config/expand.rs", "config/value.rs"];
    let mut faults = String::new();
    for s in sources() {
        let mut forbid = |word: &str, here: bool| {
            if here && has_word(&s.code, word) {
                writeln!(faults, "src/{} has `{word}`", s.path).expect("a String takes all");
            }
        };
        // "unsafe_code" in an attribute is another word.
        forbid("unsafe", !s.path.starts_with("sys/"));
        forbid("nom", !nom.contains(&s.path.as_str()));
        forbid("todo", true);
        forbid("unimplemented", true);
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn every_defect_of_stock_has_the_test_that_the_list_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("tests/defects.tsv")).expect("the list");
    let mut faults = String::new();
    for line in list.lines().filter(|l| !l.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let found = match columns[..] {
            [_, file, test] => fs::read_to_string(root.join(file))
                .is_ok_and(|text| text.contains(&format!("fn {test}()"))),
            _ => false,
        };
        if !found {
            writeln!(faults, "{line}").expect("a String takes all");
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// The words of a mangled name, each behind its length, up to what does not fit.
fn mangled(mut text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    loop {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        let (len, rest) = text.split_at(digits);
        let Some(word) = len.parse().ok().and_then(|len: usize| rest.get(..len)) else {
            return words;
        };
        words.push(word);
        text = &rest[word.len()..];
    }
}

#[test]
fn the_linker_is_told_of_modules_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(root.join("packaging/link/steady.ld")).expect("a script");
    let mut named = 0;
    for pattern in script.split("13keepalived_rs").skip(1) {
        let (mut module, mut code) = (root.join("src"), String::new());
        for word in mangled(pattern) {
            let below = module.join(word);
            let file = below.with_extension("rs");
            let file = [file, below.join("mod.rs")]
                .into_iter()
                .find(|f| f.exists());
            match file {
                Some(file) => code = fs::read_to_string(file).expect("a module"),
                None => assert!(
                    has_word(&code, word),
                    "no {word} in {}, which packaging/link/steady.ld names",
                    module.display()
                ),
            }
            module = below;
            named += 1;
        }
    }
    assert!(named > 60, "the names are read");
    assert_eq!(mangled("4vrrp4task3run*"), ["vrrp", "task", "run"]);
}

#[test]
fn the_top_level_is_as_agreed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // What git, cargo and proptest leave lying about is theirs.
    let theirs = [".git", "target", "proptest-regressions"];
    let ours = |n: &String| !theirs.contains(&n.as_str());
    let top: BTreeSet<_> = names(root).into_iter().filter(ours).collect();
    let extra: Vec<_> = top
        .iter()
        .filter(|n| !TOP_LEVEL.contains(&n.as_str()))
        .collect();
    assert!(extra.is_empty(), "not agreed at the top level: {extra:?}");
    let src = names(&root.join("src"));
    let extra: Vec<_> = src.iter().filter(|n| !SRC.contains(&n.as_str())).collect();
    assert!(extra.is_empty(), "not agreed in src: {extra:?}");
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir)
        .expect("a readable directory")
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// Every file below `src` but those that are tests as a whole.
fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    files.sort();
    let mut all: Vec<Source> = Vec::new();
    let mut for_tests: Vec<String> = Vec::new();
    for p in &files {
        let path = p.strip_prefix(&src).expect("below src");
        let path = path.to_string_lossy().into_owned();
        let code = blanked(&fs::read_to_string(p).expect("readable source"));
        let dir = path.strip_suffix("mod.rs").or(path.strip_suffix("main.rs"));
        let dir = dir.map_or_else(
            || format!("{}/", path.trim_end_matches(".rs")),
            str::to_owned,
        );
        // A test module within a file is its last item.
        let (mut end, mut at) = (code.len(), 0);
        while let Some(found) = code[at..].find(TEST_MODULE) {
            let name_at = at + found + TEST_MODULE.len();
            let tail = code[name_at..].trim_start_matches("pub(crate) ");
            let tail = tail.strip_prefix("mod ").unwrap_or_default();
            let name: String = tail.chars().take_while(|c| is_word(*c)).collect();
            match tail[name.len()..].trim_start().chars().next() {
                Some('{') => end = end.min(at + found),
                Some(';') => for_tests.push(format!("{dir}{name}")),
                _ => {}
            }
            at = name_at;
        }
        let code = code[..end].to_owned();
        let lines = code.lines().filter(|l| !l.trim().is_empty()).count();
        all.push(Source { path, code, lines });
    }
    all.retain(|s| {
        let test = |t: &String| {
            let tail = s.path.strip_prefix(t.as_str());
            tail.is_some_and(|tail| tail.starts_with('/') || tail == ".rs")
        };
        !for_tests.iter().any(test)
    });
    all
}

/// What stands before a module of tests.
const TEST_MODULE: &str = "#[cfg(test)]\n";

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The source with comments and the insides of strings replaced by blanks, line ends kept.
fn blanked(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    let blank = |s: &str, out: &mut String| {
        out.extend(s.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
    };
    while let Some(c) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |n| n + 2)
        } else if c == '"' {
            string_len(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find('\'').map_or(1, |n| n + 2)
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        blank(&rest[..len], &mut out);
        rest = &rest[len..];
    }
    out
}

/// Octets of the string literal that `text` begins with, quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = true; // the opening quote
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `word` (a word or a path) occurs in `code`, not as a part of a longer one nor as somebody's field or module.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        let after = code[at + word.len()..].chars().next().unwrap_or(' ');
        !is_word(before) && before != '.' && !is_word(after)
    })
}

/// The paths below the crate that a file names: through `use`, or in place.
fn named(source: &Source) -> BTreeSet<String> {
    let module: Vec<&str> = source
        .path
        .trim_end_matches(".rs")
        .split('/')
        .filter(|p| *p != "mod" && *p != "main")
        .collect();
    let mut found = BTreeSet::new();
    for root in ["crate", "super", "self"] {
        for (at, _) in source.code.match_indices(root) {
            let before = source.code[..at].chars().next_back().unwrap_or(' ');
            let tail = &source.code[at + root.len()..];
            if is_word(before) || before == ':' || !tail.starts_with("::") {
                continue;
            }
            let mut base: Vec<&str> = match root {
                "crate" => Vec::new(),
                "self" => module.clone(),
                _ => module[..module.len().saturating_sub(1)].to_vec(),
            };
            let mut tail = &tail[2..];
            while let Some(up) = tail.strip_prefix("super::") {
                base.pop();
                tail = up;
            }
            for leaf in tree(tail) {
                let mut path = base.clone();
                path.extend(leaf.split("::").filter(|s| !s.is_empty() && *s != "self"));
                found.insert(path.join("::"));
            }
        }
    }
    found
}

/// The paths of a use tree: `a::{b, c::d}` → `a::b`, `a::c::d`. What follows the tree is not looked at.
fn tree(text: &str) -> Vec<String> {
    let stop = text
        .find(|c: char| !is_word(c) && c != ':')
        .unwrap_or(text.len());
    let head = &text[..stop];
    let Some(inner) = text[stop..]
        .strip_prefix('{')
        .filter(|_| head.is_empty() || head.ends_with("::"))
    else {
        return vec![head.trim_end_matches(':').to_owned()];
    };
    let (mut depth, mut start, mut leaves) = (0_usize, 0, Vec::new());
    for (i, c) in inner.char_indices() {
        let end = match c {
            '{' => {
                depth += 1;
                false
            }
            '}' if depth > 0 => {
                depth -= 1;
                false
            }
            '}' => true,
            ',' => depth == 0,
            _ => false,
        };
        if end || depth == 0 && c == ',' {
            let item = inner[start..i].trim();
            if !item.is_empty() {
                leaves.extend(tree(item).into_iter().map(|l| format!("{head}{l}")));
            }
            start = i + 1;
        }
        if end && c == '}' {
            break;
        }
    }
    leaves
}

#[test]
fn a_use_tree_unfolds() {
    assert_eq!(
        tree("a::{self, b::{c, d}, e as f};"),
        ["a::self", "a::b::c", "a::b::d", "a::e"]
    );
    assert_eq!(tree("a::B::new()"), ["a::B::new"]);
    assert_eq!(blanked("a \"//\\\"\" b // c\nd"), "a        b     \nd");
}
