//! Configuration files that people published, and what stock keepalived says about each. The files are not part of the
//! project: `KEEPALIVED_CORPUS` or `../shared/corpus` names the folder that holds `conf/` and `verdict/`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::fake::{Fake, MAIN};
use super::super::{LoadOptions, load};

/// What the machine has in each of the three ways the verdicts were made.
const MODES: [&str; 3] = ["ifaces", "bare", "full"];

/// Programs of the machine that the verdicts were made on.
const PROGRAMS: &[&str] = &[
    "kill",
    "killall",
    "pkill",
    "pidof",
    "ps",
    "curl",
    "netstat",
    "service",
    "systemctl",
    "nft",
    "ip",
    "sh",
    "bash",
    "test",
    "true",
    "false",
    "ls",
    "cat",
    "grep",
    "echo",
    "touch",
    "date",
    "logger",
    "pgrep",
    "sleep",
    "env",
    "id",
    "wc",
];

/// Files where we differ, and why.
const EXPLAINED: &[(&str, &str)] = &[
    ("371-devtools-check-align-old.conf full", "stock crashes"),
    ("544-devtools-check-align-2.conf full", "stock crashes"),
    (
        "546-devtools-773b.conf full",
        "the script's line was overlooked when the stub files were made",
    ),
];

fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = std::env::var_os("KEEPALIVED_CORPUS").map_or(beside, PathBuf::from);
    folder.join("index.tsv").is_file().then_some(folder)
}

/// A table's column by file name.
fn exits(folder: &Path, label: &str) -> HashMap<String, [i32; 3]> {
    let table =
        fs::read_to_string(folder.join(format!("verdict/results.{label}.tsv"))).unwrap_or_default();
    let row = |line: &str| {
        let f: Vec<&str> = line.split('\t').collect();
        let code = |n: usize| f.get(n).and_then(|c| c.parse().ok()).unwrap_or(-1);
        (f[1].to_owned(), [code(2), code(4), code(6)])
    };
    table.lines().skip(1).map(row).collect()
}

fn machine(conf: &Path, mode: usize) -> Fake {
    let mut fake = Fake::with(fs::read(conf).unwrap_or_default());
    if let Ok(root) = conf.with_extension("root").canonicalize() {
        add(&mut fake, &root, &root);
    }
    for p in PROGRAMS {
        for dir in ["/usr/bin", "/bin", "/usr/sbin", "/sbin"] {
            fake.programs.push(Path::new(dir).join(p));
        }
    }
    // So that the directory exists.
    fake.programs.push("/tmp/x".into());
    fake.interfaces = if mode == 1 { Some(Vec::new()) } else { None };
    if mode != 1 {
        let text: Vec<u8> = fake.files.values().flatten().copied().collect();
        let text = String::from_utf8_lossy(&text).into_owned();
        let named = text.lines().filter_map(|l| l.split_once("net_namespace "));
        let named = named.filter_map(|(_, name)| name.split_whitespace().next().map(str::to_owned));
        fake.namespaces = named.collect();
    }
    if mode == 2 {
        let named: Vec<String> = fake
            .files
            .values()
            .map(|t| String::from_utf8_lossy(t).into_owned())
            .collect();
        fake.scripts_in = Some(named.concat());
        fake.users = None;
    }
    fake
}

fn add(fake: &mut Fake, root: &Path, dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            add(fake, root, &path);
        } else if let (Ok(inside), Ok(content)) = (path.strip_prefix(root), fs::read(&path)) {
            fake.files.insert(Path::new("/").join(inside), content);
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the count of what was compared, or that nothing was"
)]
#[test]
fn published_files_get_the_exit_code_of_stock() {
    let Some(folder) = folder() else {
        eprintln!("corpus: skipped, 0 files: KEEPALIVED_CORPUS names no folder");
        return;
    };
    let (new, old) = (exits(&folder, "24"), exits(&folder, "227"));
    let mut names: Vec<_> = new.keys().cloned().collect();
    names.sort();
    let only = std::env::var("CORPUS_ONLY").unwrap_or_default();
    let (mut good, mut bad) = (0, Vec::new());
    for name in names.iter().filter(|n| n.contains(&only)) {
        let conf = folder.join("conf").join(name);
        let args = fs::read_to_string(conf.with_extension("args")).unwrap_or_default();
        let id = args.split_whitespace().skip_while(|w| *w != "-i").nth(1);
        for (mode, label) in MODES.iter().enumerate() {
            let options = LoadOptions {
                path: MAIN.into(),
                config_id: id.map(Into::into),
                strict_includes: false,
                in_namespace: false,
            };
            let loaded = load(&options, &machine(&conf, mode));
            let ours = i32::from(loaded.test_exit());
            let expected = [new[name][mode], old.get(name).map_or(-1, |o| o[mode])];
            if expected.contains(&ours) {
                good += 1;
            } else if EXPLAINED
                .iter()
                .all(|(e, _)| *e != format!("{name} {label}"))
            {
                bad.push(format!("{name} {label}: ours {ours}, stock {expected:?}"));
            }
            if std::env::var_os("CORPUS_SHOW").is_some() {
                loaded
                    .messages()
                    .for_each(|(l, m)| eprintln!("  {name} {label} {l:?} {m}"));
            }
        }
    }
    bad.iter().for_each(|b| eprintln!("{b}"));
    eprintln!("corpus: {good} of {} verdicts equal", good + bad.len());
    assert!(
        bad.is_empty(),
        "{} verdicts differ without a reason",
        bad.len()
    );
}
