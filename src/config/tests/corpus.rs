//! Configuration files that people published, and what stock keepalived says about each. The files are not part of the
//! project: `KEEPALIVED_CORPUS` or `../shared/corpus` names the folder that holds `conf/` and `verdict/`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::super::fake::{Fake, MAIN};
use super::super::host::{FileFacts, FileKind};
use super::super::{LoadOptions, Loaded, load};
use super::complaints::{self, Said};

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

/// From here on, a code says that stock hung or crashed.
const CRASHED: i32 = 124;

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
    for dir in ["/tmp", "/run", "/var/run", "/var/lib", "/usr/local/bin"] {
        fake.programs.push(Path::new(dir).join("x"));
    }
    fake.cpus = 2;
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
        let all = named.concat();
        let lines = all
            .lines()
            .filter(|l| !l.trim_start().starts_with("include"));
        let text = lines.map(|l| format!("{l}\n")).collect::<String>();
        let words = text.split(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        let plain = |w: &&str| !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric());
        for path in words.filter(plain).map(|w| Path::new("/usr/bin").join(w)) {
            let facts = FileFacts {
                kind: FileKind::Regular,
                mode: 0o700,
                uid: 0,
                gid: 0,
            };
            if !fake.programs.contains(&path) {
                fake.facts.insert(path, facts);
            }
        }
        fake.scripts_in = Some(text);
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

/// A file in one of the three modes.
struct Case<'a> {
    name: &'a str,
    mode: usize,
    loaded: Loaded,
    /// The exit codes of 2.4.3 and 2.2.7.
    stock: [i32; 2],
}

impl Case<'_> {
    fn title(&self) -> String {
        format!("{} {}", self.name, MODES[self.mode])
    }

    /// Whether there is nothing to compare with.
    fn is_crash(&self) -> bool {
        self.stock.iter().any(|code| *code >= CRASHED)
    }

    /// What the version said whose exit code is ours, preferably the newer one; and that code.
    fn verdict(&self, folder: &Path) -> (i32, BTreeSet<Said>) {
        let ours = i32::from(self.loaded.test_exit());
        let label = match self.stock[0] == ours {
            true => "24",
            false => "227",
        };
        let number = self.name.split('-').next().unwrap_or_default();
        let mode = ["", ".bare", ".full"][self.mode];
        let said = fs::read(folder.join(format!("verdict/{number}.{label}{mode}.txt")));
        let said = said.unwrap_or_default();
        (ours, complaints::of_stock(&String::from_utf8_lossy(&said)))
    }
}

/// Reads every file in every mode, those whose name holds `CORPUS_ONLY`. `None`: there is no corpus.
#[expect(clippy::print_stderr, reason = "nothing was compared")]
fn each(mut judge: impl FnMut(&Path, Case<'_>)) -> Option<()> {
    let Some(folder) = folder() else {
        eprintln!("corpus: skipped, 0 files: KEEPALIVED_CORPUS names no folder");
        return None;
    };
    let (new, old) = (exits(&folder, "24"), exits(&folder, "227"));
    let mut names: Vec<_> = new.keys().cloned().collect();
    names.sort();
    let only = std::env::var("CORPUS_ONLY").unwrap_or_default();
    for name in names.iter().filter(|n| n.contains(&only)) {
        let conf = folder.join("conf").join(name);
        let args = fs::read_to_string(conf.with_extension("args")).unwrap_or_default();
        let id = args.split_whitespace().skip_while(|w| *w != "-i").nth(1);
        let options = LoadOptions {
            path: MAIN.into(),
            config_id: id.map(Into::into),
            ..LoadOptions::default()
        };
        for mode in 0..MODES.len() {
            let loaded = load(&options, &machine(&conf, mode));
            let stock = [new[name][mode], old.get(name).map_or(-1, |o| o[mode])];
            let case = Case {
                name,
                mode,
                loaded,
                stock,
            };
            judge(&folder, case);
        }
    }
    Some(())
}

#[expect(clippy::print_stderr, reason = "the count of what was compared")]
#[test]
fn published_files_get_the_exit_code_of_stock() {
    let (mut good, mut crashed, mut bad) = (0, 0, Vec::new());
    let compared = each(|_, case| {
        let ours = i32::from(case.loaded.test_exit());
        let title = case.title();
        if case.stock.contains(&ours) {
            good += 1;
        } else if case.is_crash() {
            crashed += 1;
        } else {
            bad.push(format!("{title}: ours {ours}, stock {:?}", case.stock));
        }
    });
    if compared.is_some() {
        eprintln!(
            "corpus: {good} exit codes equal, {crashed} where stock crashes, others: {bad:#?}"
        );
    }
    assert!(bad.is_empty(), "exit codes differ without a reason");
}

#[expect(clippy::print_stderr, reason = "the count of what was compared")]
#[test]
fn published_files_get_the_complaints_of_stock() {
    let (mut equal, mut explained, mut bad) = (0, BTreeMap::new(), Vec::new());
    // Whether differences that have a reason are shown one by one.
    let shown = std::env::var_os("CORPUS_SHOW").is_some();
    let compared = each(|folder, case| {
        if case.is_crash() {
            return;
        }
        let (exit, stock) = case.verdict(folder);
        let ours = complaints::of_ours(&case.loaded);
        let judged = complaints::Case {
            loaded: &case.loaded,
            exit,
            stock: &stock,
        };
        let (lost, more) = complaints::differences(&stock, &ours);
        let all = lost.iter().map(|s| (s, false));
        let mut reasons = BTreeSet::new();
        for (said, is_ours) in all.chain(more.iter().map(|s| (s, true))) {
            match complaints::reason(&judged, said, is_ours) {
                Some(why) => {
                    if shown {
                        let who = if is_ours { "only ours" } else { "only stock's" };
                        eprintln!("{}: {who}: {said:?}: {why}", case.title());
                    }
                    reasons.insert(why);
                }
                None => {
                    let who = if is_ours { "only ours" } else { "only stock's" };
                    bad.push(format!("{}: {who}: {said:?}", case.title()));
                }
            }
        }
        equal += usize::from(lost.is_empty() && more.is_empty());
        for why in reasons {
            *explained.entry(why).or_insert(0) += 1;
        }
    });
    if compared.is_some() {
        eprintln!(
            "corpus: complaints of {equal} equal; with differences that have a reason: {explained:#?}"
        );
        bad.iter().for_each(|b| eprintln!("{b}"));
    }
    assert!(
        bad.is_empty(),
        "{} complaints differ without a reason",
        bad.len()
    );
}
